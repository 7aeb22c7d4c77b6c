/* SPDX-License-Identifier: BSD-3-Clause */

/* Links by number, from memory or from a replay; the replay is the test's own. */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/fold/fold.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/redis_links.h"
#include "dataplane/view/replay.h"
#include "tests/unit/hr_test.h"

#define SHARDS 3u
#define LINK_BYTES 100u

static const struct hr_data_set set = { .n_shards = SHARDS };
static struct hr_view_conf conf = { .set = &set };
static struct hr_redis_links links;
static struct hr_position at[SHARDS]; /* behind the last link of each shard */

static struct hr_id128 hash_of(uint16_t shard, uint64_t n)
{
	struct hr_id128 id = { { 0 } };

	id.b[0] = (uint8_t)shard;
	id.b[1] = (uint8_t)n;
	return id;
}

static struct hr_link *make_link(uint16_t shard, uint64_t n)
{
	struct hr_link *link = calloc(1, sizeof(*link));

	CU_ASSERT_PTR_NOT_NULL_FATAL(link);
	link->out = calloc(1, sizeof(*link->out));
	CU_ASSERT_PTR_NOT_NULL_FATAL(link->out);
	link->shard = shard;
	link->n = n;
	link->prev_hash = hash_of(shard, n - 1);
	link->hash = hash_of(shard, n);
	link->held_bytes = LINK_BYTES;
	atomic_init(&link->refs, 1);
	return link;
}

/* ---- replays: at most one, up to what the shard's log holds ------------------------ */

struct hr_replay {
	uint16_t shard;
	uint64_t next;
};

static uint32_t n_open;
static uint64_t snapshot_n; /* of the snapshot there is; 0: none */

int hr_replay_open(struct hr_replay **out, const struct hr_config *config,
		   const struct hr_data_set *data_set, uint16_t shard,
		   uint64_t behind_n, struct hr_err *err)
{
	(void)config;
	(void)data_set;
	(void)err;
	*out = calloc(1, sizeof(**out));
	CU_ASSERT_PTR_NOT_NULL_FATAL(*out);
	**out = (struct hr_replay){ shard,
				    snapshot_n <= behind_n ? snapshot_n + 1 : 1 };
	n_open++;
	return 0;
}

uint64_t hr_replay_n(const struct hr_replay *replay)
{
	return replay->next - 1;
}

void hr_replay_close(struct hr_replay *replay)
{
	n_open -= replay != NULL;
	free(replay);
}

int hr_replay_next(struct hr_replay *replay, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err)
{
	(void)wait_ms;
	(void)err;
	if (replay->next > hr_feed_last(conf.feed, replay->shard))
		return 0;
	*out = make_link(replay->shard, replay->next++);
	return 1;
}

/* ---- the world: a feed that keeps one link ------------------------------------------ */

static void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(hr_feed_new(&conf.feed, SHARDS, LINK_BYTES), 0);
	CU_ASSERT_EQUAL_FATAL(hr_redis_links_init(&links, &conf), 0);
	for (uint16_t s = 0; s < SHARDS; s++)
		at[s] = (struct hr_position){ .hash = hash_of(s, 0) };
	n_open = 0;
	snapshot_n = 0;
}

static void end(void)
{
	hr_redis_links_fini(&links);
	CU_ASSERT_EQUAL(n_open, 0);
	hr_feed_free(conf.feed);
}

static void put(uint16_t shard, uint64_t last)
{
	for (uint64_t n = hr_feed_last(conf.feed, shard) + 1; n <= last; n++)
		hr_feed_put(conf.feed, make_link(shard, n));
}

/* Take what there is of a shard, as the view does; how far it came. */
static uint64_t take(uint16_t shard)
{
	struct hr_link *link;
	struct hr_err err;

	while (hr_redis_links_next(&links, shard, &at[shard], 0, &link, &err) == 1) {
		CU_ASSERT_EQUAL(link->n, at[shard].n + 1);
		at[shard].n = link->n;
		at[shard].hash = link->hash;
	}
	return at[shard].n;
}

static void shards_without_news_that_left_memory_are_replayed_one_after_another(void)
{
	begin();
	put(0, 5);
	put(1, 4);
	put(2, 3); /* whose newest link is all that is in memory */
	CU_ASSERT_EQUAL(take(0), 5);
	CU_ASSERT_EQUAL(take(1), 4);
	CU_ASSERT_EQUAL(take(2), 3);
	CU_ASSERT_PTR_NULL(links.replay);
	end();
}

static void a_shard_that_is_left_gives_its_replay_up(void)
{
	struct hr_link *link;
	struct hr_err err;

	begin();
	put(0, 5);
	put(1, 4);
	put(2, 1);
	CU_ASSERT_EQUAL(hr_redis_links_next(&links, 0, &at[0], 0, &link, &err), 1);
	CU_ASSERT_EQUAL(take(1), 0);
	hr_redis_links_leave(&links, 1); /* not its */
	CU_ASSERT_EQUAL(take(1), 0);
	hr_redis_links_leave(&links, 0);
	CU_ASSERT_EQUAL(take(1), 4);
	end();
}

static void a_shard_whose_position_does_not_fit_gives_its_replay_up(void)
{
	struct hr_link *link;
	struct hr_err err;

	begin();
	put(0, 5);
	put(1, 4);
	put(2, 1);
	at[0].hash = hash_of(0, 77);
	CU_ASSERT_EQUAL(hr_redis_links_next(&links, 0, &at[0], 0, &link, &err),
			-EPROTO);
	CU_ASSERT_EQUAL(take(1), 4);
	end();
}

static void a_replay_goes_on_from_a_snapshot(void)
{
	begin();
	put(0, 9);
	put(1, 1);
	CU_ASSERT_EQUAL(take(0), 9);
	put(0, 20);
	put(1, 2); /* what was before it has left memory */
	snapshot_n = 7;
	CU_ASSERT_EQUAL(take(0), 20); /* two are passed over */
	at[0].n = 7;
	at[0].hash = hash_of(0, 7);
	hr_redis_links_done(&links, 0, UINT64_MAX);
	CU_ASSERT_EQUAL(take(0), 20); /* none is */
	snapshot_n = 8;
	at[0].n = 7;
	at[0].hash = hash_of(0, 7);
	hr_redis_links_done(&links, 0, UINT64_MAX);
	CU_ASSERT_EQUAL(take(0), 20); /* behind the position: not that one */
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "shards without news that left memory are replayed one after another",
		  shards_without_news_that_left_memory_are_replayed_one_after_another },
		{ "a shard that is left gives its replay up",
		  a_shard_that_is_left_gives_its_replay_up },
		{ "a shard whose position does not fit gives its replay up",
		  a_shard_whose_position_does_not_fit_gives_its_replay_up },
		{ "a replay goes on from a snapshot",
		  a_replay_goes_on_from_a_snapshot },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("redis links", NULL, NULL, tests);
}
