/* SPDX-License-Identifier: BSD-3-Clause */

/* What an owner had acknowledged is not in its log any more. */

#include <string.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/log/owned_world.h"

/* All links of the box are those of the log, and each number is there once. */
static void all_is_there_again(struct world *w, const struct box *b, uint64_t n)
{
	uint64_t links;

	for (uint64_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(world_finds(w, i, NULL), 1);
	(void)world_finds(w, 0, &links);
	CU_ASSERT_EQUAL(links, b->n_links);
	CU_ASSERT_TRUE(box_may_ack(b));
	CU_ASSERT_EQUAL(b->n_told[HR_TOLD_STATE], 0);
}

static void what_a_cut_log_lost_is_appended_again_from_memory(void)
{
	/* Of 12 records: FENCE, CONFIG, ten links. 0: all of it. */
	for (int64_t left = 0; left < 12; left++) {
		struct world w;
		struct box *b = world_init_owner(&w, 10);
		struct hr_id128 hash = b->links[10]->hash;

		fake_store_cut(w.store, 0, left);
		world_run(&w,
			  1500); /* nobody tells: the look of each second finds it */
		CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 3000));
		world_run(&w, 100);
		all_is_there_again(&w, b, 10);
		CU_ASSERT_TRUE(hr_id128_equals(&b->links[10]->hash, &hash));
		CU_ASSERT_FALSE(b->was_cloned);
		box_close(b, 10, true);
		world_run(&w, 100);
		all_is_there_again(&w, b, 11);
		world_fini(&w);
	}
}

static void a_log_that_was_cut_and_grew_again_is_noticed(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 10);

	fake_store_cut(w.store, 0, 6);
	for (int i = 0; i < 20; i++)
		fake_store_put(w.store, 0, "rubbish", 7);
	world_run(&w, 1500);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 3000));
	world_run(&w, 100);
	all_is_there_again(&w, b, 10);
	world_fini(&w);
}

static void what_is_in_flight_when_the_log_is_cut_is_not_lost(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 5);

	fake_store_fate(w.store, FAKE_LOST, 1);
	box_close(b, 77, false);
	world_run(&w, 3);
	fake_store_cut(w.store, 0, 4);
	world_run(&w, 8000);
	CU_ASSERT_EQUAL(world_finds(&w, 77, NULL), 1);
	all_is_there_again(&w, b, 5);
	world_fini(&w);
}

static void what_another_appended_again_in_our_place_is_not_sent_twice(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 5), *b;

	box_close(a, 77, false);
	world_run(&w, 1);
	a->is_paused = true; /* its link is on its way */
	b = box_start(&w, 9);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 1000));
	CU_ASSERT_EQUAL_FATAL(world_finds(&w, 77, NULL), 1);
	fake_store_cut(w.store, 0, 4);
	world_run(&w, 3000);
	CU_ASSERT_EQUAL_FATAL(world_finds(&w, 77, NULL), 1);
	a->is_paused = false;
	world_run(&w, 8000);
	CU_ASSERT_EQUAL(world_finds(&w, 77, NULL), 1);
	world_fini(&w);
}

static void beyond_memory_the_shard_stops_with_the_list(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 10);
	uint64_t n;

	b->forgets = 9;                /* links 9, 10 and 11 are held */
	fake_store_cut(w.store, 0, 5); /* FENCE and links 1 to 4 are left */
	world_run(&w, 3000);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_FALSE(box_may_ack(b));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "links 5 to 11 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "accept-loss 0"));
	(void)world_finds(&w, 0, &n);
	CU_ASSERT_EQUAL(n, 4); /* nothing was written */
	world_fini(&w);
}

static void a_loss_that_is_accepted_is_written_down_and_the_shard_goes_on(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 10);
	struct hr_id128 lost = b->links[10]->hash;
	const struct hr_link *loss;
	struct hr_err err;

	CU_ASSERT_EQUAL(hr_owned_accept_loss(b->owned, &err), -EINVAL);
	b->forgets = 9;
	fake_store_cut(w.store, 0, 5);
	world_run(&w, 3000);
	CU_ASSERT_EQUAL_FATAL(hr_owned_accept_loss(b->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 1000));
	CU_ASSERT_EQUAL(b->n_told[HR_TOLD_STATE], 1); /* the fold begins anew */
	CU_ASSERT_EQUAL_FATAL(b->n_links, 5);
	loss = b->links[4];
	CU_ASSERT_EQUAL_FATAL(loss->body_kind, HR_BODY_LOSS);
	CU_ASSERT_EQUAL(hr_load64(loss->body.p), 11);
	CU_ASSERT_EQUAL(memcmp(loss->body.p + 8, &lost, sizeof(lost)), 0);
	box_close(b, 50, true);
	world_run(&w, 100);
	CU_ASSERT_EQUAL(world_finds(&w, 50, NULL), 1);
	CU_ASSERT_EQUAL(world_finds(&w, 9, NULL), 0);
	world_run(&w, 5000);
	CU_ASSERT_TRUE(box_may_ack(b));
	world_fini(&w);
}

/* The log of a killed owner was cut, and a snapshot knows of link `n` of it. */
static void cut_behind_a_snapshot(struct world *w, uint64_t n,
				  struct hr_log_start *start)
{
	struct box *b = world_init_owner(w, 10); /* 11 links */

	*start = (struct hr_log_start){ .lost_n = n,
					.lost_hash = b->links[n - 1]->hash };
	box_kill(b);
	fake_store_cut(w->store, 0, 5); /* FENCE and links 1 to 4 are left */
}

static void a_link_that_only_a_snapshot_remembers_stops_the_shard(void)
{
	struct hr_log_start start;
	struct hr_err err;
	struct world w;
	struct box *b;

	cut_behind_a_snapshot(&w, 8, &start);
	b = box_start_at(&w, 9, &start);
	world_run(&w, 3000);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "links 5 to 8 "));
	/* Permitted once, it is written down: who begins later needs no permission. */
	CU_ASSERT_EQUAL_FATAL(hr_owned_accept_loss(b->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 1000));
	CU_ASSERT_EQUAL_FATAL(b->n_links, 5);
	CU_ASSERT_EQUAL_FATAL(b->links[4]->body_kind, HR_BODY_LOSS);
	CU_ASSERT_EQUAL(hr_load64(b->links[4]->body.p), 8);
	box_kill(b);
	b = box_start_at(&w, 8, &start);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 3000));
	world_fini(&w);
}

static void a_link_in_the_place_of_one_that_a_snapshot_remembers_stops_the_shard(void)
{
	struct hr_log_start start;
	struct world w;
	struct box *b;

	cut_behind_a_snapshot(&w, 6, &start);
	b = box_start(&w, 9); /* knows nothing of the snapshot */
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 3000));
	for (uint64_t i = 0; i < 5; i++)
		box_close(b, 100 + i, true);
	world_run(&w, 1000);
	box_kill(b);
	b = box_start_at(&w, 8, &start);
	world_run(&w, 3000);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "another link 6 "));
	world_fini(&w);
}

static void a_link_that_a_snapshot_remembers_and_that_is_there_is_no_trouble(void)
{
	struct hr_log_start start;
	struct world w;
	struct box *b;

	cut_behind_a_snapshot(&w, 3, &start);
	b = box_start_at(&w, 9, &start);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 3000));
	world_fini(&w);
}

/* Another appliance took the cut log's place for its own. */
static void links_that_others_wrote_over_lost_ones_stop_the_shard(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 10), *b;

	a->is_paused = true;
	fake_store_cut(w.store, 0, 5);
	b = box_start(&w, 9);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 1000));
	for (uint64_t i = 100; i < 108; i++)
		box_close(b, i, true);
	world_run(&w, 200);
	box_kill(b);
	a->is_paused = false;
	world_run(&w, 5000);
	CU_ASSERT_EQUAL(atomic_load(&a->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_PTR_NOT_NULL(strstr(a->owned->reason, "others have taken"));
	world_fini(&w);
}

/* What is asked for each second is compared with what it was then. */
static void records_that_come_while_one_is_asked_for_are_no_cut(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 3);

	fake_store_put(w.store, 0, "rubbish", 7);
	for (int ms = 0; ms < 3000 && !b->owned->asks_tail; ms++)
		world_run(&w, 1);
	CU_ASSERT_TRUE_FATAL(b->owned->asks_tail);
	fake_store_hold_verify(w.store, true);
	fake_store_put(w.store, 0, "other rubbish", 13);
	world_run(&w, 50);
	fake_store_hold_verify(w.store, false);
	world_run(&w, 500);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.incarnation), 1); /* no new FENCE */
	CU_ASSERT_TRUE(box_may_ack(b));
	world_fini(&w);
}

/* The last record read was passed over, was cut away, and a FENCE stands in its place:
 * every link is where it was. */
static void a_fence_in_the_place_of_a_record_that_was_read_is_seen(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 3);
	const int64_t end = fake_store_end(w.store, 0);

	fake_store_put(w.store, 0, "rubbish", 7);
	world_run(&w, 5);
	fake_store_cut(w.store, 0, end);
	world_put_fence(&w, 2, "");
	fake_store_lose_connections(w.store);
	world_run(&w, 500);
	/* Seen; and since its author shows no link, fenced in turn. */
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.incarnation), 3);
	CU_ASSERT_TRUE(box_may_ack(b));
	world_fini(&w);
}

/* The one that is stopped has read a fence that is lost since, and another one lies in
 * its place: from behind it nothing would fit. */
static void a_log_that_grew_anew_while_stopped_is_read_from_its_beginning(void)
{
	struct hr_log_start start = { .lost_n = 9 };
	struct hr_err err;
	struct world w;
	struct box *a, *b;

	world_init(&w);
	world_put_fence(&w, 1, "");
	a = box_start_at(&w, 9, &start);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_STOPPED, 1000));
	fake_store_cut(w.store, 0, 0);
	b = box_start(&w, 5);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 1000));
	box_close(b, 40, true);
	world_run(&w, 50);
	box_kill(b);
	CU_ASSERT_EQUAL_FATAL(hr_owned_accept_loss(a->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 1000));
	box_close(a, 41, true);
	world_run(&w, 50);
	CU_ASSERT_EQUAL(world_finds(&w, 40, NULL), 1);
	CU_ASSERT_EQUAL(world_finds(&w, 41, NULL), 1);
	world_fini(&w);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what a cut log lost is appended again from memory",
		  what_a_cut_log_lost_is_appended_again_from_memory },
		{ "records that come while one is asked for are no cut",
		  records_that_come_while_one_is_asked_for_are_no_cut },
		{ "a FENCE in the place of a record that was read is seen",
		  a_fence_in_the_place_of_a_record_that_was_read_is_seen },
		{ "a log that was cut and grew again is noticed",
		  a_log_that_was_cut_and_grew_again_is_noticed },
		{ "what is in flight when the log is cut is not lost",
		  what_is_in_flight_when_the_log_is_cut_is_not_lost },
		{ "what another appended again in our place is not sent twice",
		  what_another_appended_again_in_our_place_is_not_sent_twice },
		{ "beyond memory the shard stops, with the list",
		  beyond_memory_the_shard_stops_with_the_list },
		{ "a loss that is accepted is written down, and the shard goes on",
		  a_loss_that_is_accepted_is_written_down_and_the_shard_goes_on },
		{ "a link that only a snapshot remembers stops the shard",
		  a_link_that_only_a_snapshot_remembers_stops_the_shard },
		{ "a link in the place of one that a snapshot remembers stops it",
		  a_link_in_the_place_of_one_that_a_snapshot_remembers_stops_the_shard },
		{ "a link that a snapshot remembers and that is there is no trouble",
		  a_link_that_a_snapshot_remembers_and_that_is_there_is_no_trouble },
		{ "links that others wrote over lost ones stop the shard",
		  links_that_others_wrote_over_lost_ones_stop_the_shard },
		{ "a log that grew anew while stopped is read from its beginning",
		  a_log_that_grew_anew_while_stopped_is_read_from_its_beginning },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("owned, cut", NULL, NULL, tests);
}
