/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "dataplane/view/feed.h"
#include "tests/unit/hr_test.h"

static atomic_int n_alive; /* links made and not yet freed */

static void released(struct hr_link *link)
{
	(void)link;
	atomic_fetch_sub(&n_alive, 1);
}

static struct hr_link *make_link(uint16_t shard, uint64_t n, size_t bytes)
{
	struct hr_link *link = calloc(1, sizeof(*link));

	CU_ASSERT_PTR_NOT_NULL_FATAL(link);
	link->shard = shard;
	link->n = n;
	link->held_bytes = bytes;
	link->release = released;
	atomic_init(&link->refs, 1);
	atomic_fetch_add(&n_alive, 1);
	return link;
}

static struct hr_feed *make_feed(uint32_t n_shards, size_t keep_bytes)
{
	struct hr_feed *feed;

	atomic_store(&n_alive, 0);
	CU_ASSERT_EQUAL_FATAL(hr_feed_new(&feed, n_shards, keep_bytes), 0);
	return feed;
}

static void end_feed(struct hr_feed *feed)
{
	hr_feed_free(feed);
	CU_ASSERT_EQUAL(atomic_load(&n_alive), 0);
}

static int look(struct hr_feed *feed, uint16_t shard, uint64_t n)
{
	struct hr_link *link;
	int r = hr_feed_get(feed, shard, n, &link);

	if (r == 1) {
		CU_ASSERT_EQUAL(link->n, n);
		CU_ASSERT_EQUAL(link->shard, shard);
		hr_link_put(link);
	}
	return r;
}

static void a_link_is_taken_by_shard_and_number(void)
{
	struct hr_feed *feed = make_feed(3, 1000);

	CU_ASSERT_EQUAL(look(feed, 0, 1), 0);
	CU_ASSERT_EQUAL(hr_feed_last(feed, 0), 0);
	hr_feed_put(feed, make_link(2, 1, 10));
	hr_feed_put(feed, make_link(0, 1, 20));
	hr_feed_put(feed, make_link(2, 2, 30));
	CU_ASSERT_EQUAL(look(feed, 2, 1), 1);
	CU_ASSERT_EQUAL(look(feed, 2, 2), 1);
	CU_ASSERT_EQUAL(look(feed, 2, 3), 0);
	CU_ASSERT_EQUAL(look(feed, 0, 1), 1);
	CU_ASSERT_EQUAL(look(feed, 1, 1), 0);
	CU_ASSERT_EQUAL(hr_feed_last(feed, 2), 2);
	CU_ASSERT_EQUAL(hr_feed_last(feed, 1), 0);
	CU_ASSERT_EQUAL(hr_feed_bytes(feed), 60);
	end_feed(feed);
}

static void a_feed_begins_where_a_snapshot_ends(void)
{
	struct hr_feed *feed = make_feed(2, 1000);

	hr_feed_begin(feed, 1, 41);
	CU_ASSERT_EQUAL(hr_feed_last(feed, 1), 41);
	CU_ASSERT_EQUAL(hr_feed_last(feed, 0), 0);
	CU_ASSERT_EQUAL(look(feed, 1, 1), -ENODATA);
	CU_ASSERT_EQUAL(look(feed, 1, 41), -ENODATA);
	CU_ASSERT_EQUAL(look(feed, 1, 42), 0);
	hr_feed_put(feed, make_link(1, 42, 10));
	hr_feed_put(feed, make_link(0, 1, 10));
	CU_ASSERT_EQUAL(look(feed, 1, 42), 1);
	CU_ASSERT_EQUAL(look(feed, 1, 41), -ENODATA);
	end_feed(feed);
}

static void a_full_feed_lets_the_oldest_of_all_shards_go_and_says_gap(void)
{
	struct hr_feed *feed = make_feed(2, 100);

	hr_feed_put(feed, make_link(1, 1, 40));
	hr_feed_put(feed, make_link(0, 1, 40));
	hr_feed_put(feed, make_link(0, 2, 40));
	CU_ASSERT_EQUAL(look(feed, 1, 1), -ENODATA);
	CU_ASSERT_EQUAL(hr_feed_last(feed, 1), 1);
	CU_ASSERT_EQUAL(look(feed, 0, 1), 1);
	CU_ASSERT_EQUAL(hr_feed_bytes(feed), 80);
	hr_feed_put(feed, make_link(1, 2, 61));
	CU_ASSERT_EQUAL(look(feed, 0, 1), -ENODATA);
	CU_ASSERT_EQUAL(look(feed, 0, 2), -ENODATA);
	CU_ASSERT_EQUAL(look(feed, 1, 2), 1);
	CU_ASSERT_EQUAL(hr_feed_bytes(feed), 61);
	CU_ASSERT_EQUAL(atomic_load(&n_alive), 1);
	end_feed(feed);
}

static void the_newest_link_stays_whatever_its_size(void)
{
	struct hr_feed *feed = make_feed(1, 100);

	for (uint64_t n = 1; n <= 5; n++) {
		hr_feed_put(feed, make_link(0, n, 1000));
		CU_ASSERT_EQUAL(look(feed, 0, n), 1);
		CU_ASSERT_EQUAL(hr_feed_bytes(feed), 1000);
	}
	end_feed(feed);
}

static void a_link_that_left_lives_as_long_as_somebody_reads_it(void)
{
	struct hr_feed *feed = make_feed(1, 10);
	struct hr_link *link;

	hr_feed_put(feed, make_link(0, 1, 10));
	CU_ASSERT_EQUAL_FATAL(hr_feed_get(feed, 0, 1, &link), 1);
	hr_feed_put(feed, make_link(0, 2, 10));
	CU_ASSERT_EQUAL(atomic_load(&n_alive), 2);
	CU_ASSERT_EQUAL(link->n, 1);
	hr_link_put(link);
	CU_ASSERT_EQUAL(atomic_load(&n_alive), 1);
	end_feed(feed);
}

static void many_small_links_are_kept_in_order(void)
{
	struct hr_feed *feed = make_feed(2, 2 * 7000);

	for (uint64_t n = 1; n <= 20000; n++) {
		hr_feed_put(feed, make_link(0, n, 1));
		hr_feed_put(feed, make_link(1, n, 1));
	}
	for (uint16_t s = 0; s < 2; s++) {
		CU_ASSERT_EQUAL(look(feed, s, 13000), -ENODATA);
		for (uint64_t n = 13001; n <= 20000; n++)
			CU_ASSERT_EQUAL_FATAL(look(feed, s, n), 1);
	}
	CU_ASSERT_EQUAL(hr_feed_bytes(feed), 14000);
	end_feed(feed);
}

static void waiting_ends_at_its_time(void)
{
	struct hr_feed *feed = make_feed(1, 100);
	uint64_t seen = 0, began = hr_mono_us();

	hr_feed_wait(feed, &seen, 30);
	CU_ASSERT_TRUE(hr_mono_us() - began >= 30000);
	CU_ASSERT_EQUAL(seen, 0);
	end_feed(feed);
}

static void what_came_while_nobody_waited_is_not_missed(void)
{
	struct hr_feed *feed = make_feed(1, 100);
	uint64_t seen = 0, began = hr_mono_us();

	hr_feed_put(feed, make_link(0, 1, 1));
	hr_feed_wait(feed, &seen, 60000);
	CU_ASSERT_EQUAL(seen, 1);
	hr_feed_wake(feed);
	hr_feed_wait(feed, &seen, 60000);
	CU_ASSERT_EQUAL(seen, 2);
	CU_ASSERT_TRUE(hr_mono_us() - began < 30000000);
	end_feed(feed);
}

/* ---- one committer, several views ------------------------------------------------ */

#define SHARDS 3
#define LINKS 4000u

struct reader {
	struct hr_feed *feed;
	uint32_t pause_every; /* a slow one meets gaps */
	uint64_t n_read, n_gaps, sum;
	bool in_order;
};

/* Every number is read once, or was told as gone; the last is always there. */
static void *read_all(void *arg)
{
	struct reader *r = arg;
	uint64_t next[SHARDS] = { 1, 1, 1 }, seen = 0;
	uint32_t n_done = 0;

	r->in_order = true;
	while (n_done < SHARDS) {
		n_done = 0;
		for (uint16_t s = 0; s < SHARDS; s++) {
			struct hr_link *link;
			int got = 0;

			while (next[s] <= LINKS &&
			       (got = hr_feed_get(r->feed, s, next[s], &link)) != 0) {
				if (got < 0) {
					r->n_gaps++;
					r->sum += next[s]++;
					continue;
				}
				r->in_order &= link->n == next[s] && link->shard == s;
				r->sum += next[s]++;
				hr_link_put(link);
				if (r->pause_every > 0 &&
				    ++r->n_read % r->pause_every == 0)
					sched_yield();
			}
			n_done += next[s] > LINKS;
		}
		if (n_done < SHARDS)
			hr_feed_wait(r->feed, &seen, 10000);
	}
	return NULL;
}

static void views_on_threads_see_every_link_once_or_are_told(void)
{
	struct hr_feed *feed = make_feed(SHARDS, 100);
	struct reader readers[3] = { { .feed = feed },
				     { .feed = feed, .pause_every = 1 },
				     { .feed = feed, .pause_every = 100 } };
	pthread_t threads[HR_COUNT(readers)];
	uint64_t whole = SHARDS * (uint64_t)LINKS * (LINKS + 1) / 2;

	for (size_t i = 0; i < HR_COUNT(readers); i++)
		pthread_create(&threads[i], NULL, read_all, &readers[i]);
	for (uint64_t n = 1; n <= LINKS; n++)
		for (uint16_t s = 0; s < SHARDS; s++) {
			hr_feed_put(feed, make_link(s, n, 1 + n % 3));
			CU_ASSERT_TRUE(hr_feed_bytes(feed) <= 100);
		}
	for (size_t i = 0; i < HR_COUNT(readers); i++) {
		pthread_join(threads[i], NULL);
		CU_ASSERT_EQUAL(readers[i].sum, whole);
		CU_ASSERT_TRUE(readers[i].in_order);
	}
	end_feed(feed);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a link is taken by shard and number",
		  a_link_is_taken_by_shard_and_number },
		{ "a feed begins where a snapshot ends",
		  a_feed_begins_where_a_snapshot_ends },
		{ "a full feed lets the oldest of all shards go and says gap",
		  a_full_feed_lets_the_oldest_of_all_shards_go_and_says_gap },
		{ "the newest link stays whatever its size",
		  the_newest_link_stays_whatever_its_size },
		{ "a link that left lives as long as somebody reads it",
		  a_link_that_left_lives_as_long_as_somebody_reads_it },
		{ "many small links are kept in order",
		  many_small_links_are_kept_in_order },
		{ "waiting ends at its time", waiting_ends_at_its_time },
		{ "what came while nobody waited is not missed",
		  what_came_while_nobody_waited_is_not_missed },
		{ "views on threads see every link once or are told",
		  views_on_threads_see_every_link_once_or_are_told },
		CU_TEST_INFO_NULL,
	};
	return hr_test_run("view feed", NULL, NULL, tests);
}
