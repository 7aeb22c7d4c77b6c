/* SPDX-License-Identifier: BSD-3-Clause */

/* Shards of other owners: followed, taken, taken back, gone on with from a snapshot. */

#include <string.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/log/owned_world.h"

static void what_a_fence_says_of_its_owners_addresses_is_known_to_all(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 1);

	CU_ASSERT_STRING_EQUAL(b->owned->addresses, "192.0.2.1:7400");
	CU_ASSERT_EQUAL((int64_t)w.now.mono_us +
				atomic_load(&b->owned->view.clock_offset_us),
			(int64_t)w.now.wall_us);
	world_fini(&w);
}

static void a_shard_that_was_lost_is_taken_back_by_the_operators_word(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 2), *b;
	struct hr_err err;

	CU_ASSERT_EQUAL(hr_owned_claim(a->owned, &err), -EALREADY);
	b = box_start(&w, 5);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_FENCED, 200));
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 200));
	box_close(b, 40, true);
	world_run(&w, 50);
	CU_ASSERT_EQUAL_FATAL(hr_owned_claim(a->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 1000));
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_FENCED, 1000));
	box_close(a, 41, true);
	world_run(&w, 50);
	CU_ASSERT_EQUAL(world_finds(&w, 40, NULL), 1);
	CU_ASSERT_EQUAL(world_finds(&w, 41, NULL), 1);
	world_fini(&w);
}

static void a_shard_of_another_is_followed_and_not_fenced(void)
{
	struct world w;
	struct box *c, *a, *b;
	struct hr_err err;
	int64_t end;

	world_init(&w);
	c = box_look_on(&w, 3);
	world_run(&w, 1000);
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), 0);
	CU_ASSERT_STRING_EQUAL(c->owned->addresses, "");
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	box_close(a, 7, true);
	world_run(&w, 50);
	CU_ASSERT_EQUAL(atomic_load(&c->owned->view.state), HR_SHARD_FENCED);
	CU_ASSERT_STRING_EQUAL(c->owned->addresses, "192.0.2.1:7400");
	CU_ASSERT_EQUAL(atomic_load(&c->owned->view.incarnation), 1);
	CU_ASSERT_EQUAL(c->owned->followed.n, 2);
	CU_ASSERT_EQUAL(c->n_links, 0); /* nothing is folded */
	/* It is told the time, too: by the wall clock. */
	CU_ASSERT_NOT_EQUAL(atomic_load(&c->owned->view.clock_offset_us), INT64_MIN);
	b = box_start(&w, 2);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 3000));
	world_run(&w, 50);
	CU_ASSERT_STRING_EQUAL(c->owned->addresses, "192.0.2.2:7400");
	CU_ASSERT_STRING_EQUAL(a->owned->addresses, "192.0.2.2:7400");
	/* Somebody's fence that is not accepted changes nothing. */
	end = fake_store_end(w.store, 0);
	CU_ASSERT_TRUE(end > 0);
	world_put_fence(&w, 2, "192.0.2.66:7400");
	world_put_fence(&w, 4, "192.0.2.66:7400");
	world_run(&w, 50);
	CU_ASSERT_STRING_EQUAL(c->owned->addresses, "192.0.2.2:7400");
	CU_ASSERT_EQUAL(atomic_load(&c->owned->view.incarnation), 2);
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), end + 2);
	/* Taken: everything from the beginning on. */
	CU_ASSERT_EQUAL_FATAL(hr_owned_claim(c->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, c, HR_SHARD_READY, 1000));
	CU_ASSERT_TRUE(c->n_links >= 4);
	CU_ASSERT_EQUAL(c->links[1]->n_events, 1);
	world_fini(&w);
}

/* The FENCE lies before what a snapshot holds, and may be trimmed. */
static void a_snapshot_says_where_the_owner_of_a_followed_shard_listens(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 3), *c;
	struct hr_log_start start = { .chain = a->owned->chain,
				      .offset = a->links[3]->offset };

	CU_ASSERT_EQUAL_FATAL(start.chain.n, 4);
	CU_ASSERT_STRING_EQUAL(a->links[3]->addresses, a->addresses);
	fake_store_trim(w.store, 0, start.offset);
	c = box_look_on_from(&w, 3, &start);
	world_run(&w, 10);
	CU_ASSERT_STRING_EQUAL(c->owned->addresses, a->addresses);
	CU_ASSERT_EQUAL(atomic_load(&c->owned->view.incarnation), 1);
	CU_ASSERT_EQUAL(c->owned->followed.n, 4);
	world_fini(&w);
}

/* The log was trimmed while this process stood still. */
static void a_follower_whose_place_is_trimmed_goes_on_with_what_is_left(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 4), *c = box_look_on(&w, 3), *b;

	c->is_paused = true;
	b = box_start(&w, 2);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 3000));
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_FENCED, 3000));
	fake_store_trim(w.store, 0, 4);
	c->is_paused = false;
	world_run(&w, 100);
	CU_ASSERT_STRING_EQUAL(c->owned->addresses, "192.0.2.2:7400");
	CU_ASSERT_EQUAL(atomic_load(&c->owned->view.incarnation), 2);
	world_fini(&w);
}

static void what_is_lost_and_taken_is_written_down(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 2), *b;
	struct hr_err err;

	CU_ASSERT_EQUAL(a->n_kept, 0);
	b = box_start(&w, 5);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_FENCED, 3000));
	CU_ASSERT_EQUAL(a->n_kept, 1);
	CU_ASSERT_FALSE(a->is_kept);
	CU_ASSERT_EQUAL(b->n_kept, 0);
	/* What cannot be written down is not taken: a restart would lose it. */
	a->fails_to_keep = true;
	CU_ASSERT_EQUAL(hr_owned_claim(a->owned, &err), -ENOSPC);
	world_run(&w, 3000);
	CU_ASSERT_EQUAL(atomic_load(&a->owned->view.state), HR_SHARD_FENCED);
	a->fails_to_keep = false;
	CU_ASSERT_EQUAL(hr_owned_claim(a->owned, &err), 0);
	CU_ASSERT_TRUE(a->is_kept);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_FENCED, 3000));
	CU_ASSERT_EQUAL(b->n_kept, 1);
	CU_ASSERT_FALSE(b->is_kept);
	world_fini(&w);
}

/* What a snapshot of link n of this chain says. */
static struct hr_log_start snapshot_of(const struct box *b, uint64_t n)
{
	const struct hr_link *link = b->links[n - 1];
	struct hr_log_start start = { .chain = b->owned->chain,
				      .config = b->owned->config,
				      .offset = link->offset };

	start.chain.owner = link->owner;
	start.chain.incarnation = link->incarnation;
	start.chain.n = link->n;
	start.chain.hash = link->hash;
	start.chain.clock_us = link->clock_us;
	return start;
}

/* a owned it, b took it and wrote on up to link n + 4. */
static struct box *taken_from(struct world *w, struct box *a, uint64_t n)
{
	struct box *b = box_start(w, 9);

	CU_ASSERT_TRUE_FATAL(world_until(w, b, HR_SHARD_READY, 3000));
	CU_ASSERT_TRUE_FATAL(world_until(w, a, HR_SHARD_FENCED, 3000));
	for (uint64_t i = 0; b->n_links < n + 4; i++) {
		box_close(b, 100 + i, true);
		CU_ASSERT_TRUE_FATAL(world_until_links(w, b, b->n_links + 1, 100));
	}
	return b;
}

static void a_shard_taken_back_goes_on_from_the_newest_snapshot(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 3), *b = taken_from(&w, a, 4);
	struct hr_log_start snapshot = snapshot_of(b, 7);
	struct hr_err err;

	fake_store_trim(w.store, 0, snapshot.offset);
	a->snapshot = &snapshot;
	a->looks = 3; /* once in trouble: it is looked for again */
	CU_ASSERT_EQUAL_FATAL(hr_owned_claim(a->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 5000));
	CU_ASSERT_EQUAL(a->n_looked, 4);
	CU_ASSERT_EQUAL(a->n_told[HR_TOLD_STATE], 1);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_FENCED, 3000));
	box_close(a, 55, true);
	CU_ASSERT_TRUE(world_until_links(&w, a, 10, 1000));
	CU_ASSERT_EQUAL(a->links[7]->n, 8); /* behind it, as b wrote it */
	world_fini(&w);
}

/* Nothing newer: what it has in memory is what the log goes on from. */
static void a_shard_taken_back_without_a_newer_snapshot_reads_on(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 3), *b = taken_from(&w, a, 4);
	struct hr_log_start snapshot = snapshot_of(a, 2);
	struct hr_err err;

	a->snapshot = &snapshot;
	CU_ASSERT_EQUAL_FATAL(hr_owned_claim(a->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 5000));
	CU_ASSERT_EQUAL(a->n_told[HR_TOLD_STATE], 0);
	CU_ASSERT_TRUE(a->n_links > b->n_links - 1);
	world_fini(&w);
}

/* It stood still while another owned the shard, wrote snapshots and trimmed: it does not
 * fence that one, and knows whose the shard is. */
static void who_wakes_up_behind_a_trimmed_log_steps_down(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 3), *b;
	struct hr_log_start snapshot;
	struct hr_err err;

	a->is_paused = true;
	b = box_start(&w, 9);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 3000));
	for (uint64_t i = 0; i < 4; i++)
		box_close(b, 100 + i, true);
	CU_ASSERT_TRUE_FATAL(world_until_links(&w, b, 9, 1000));
	snapshot = snapshot_of(b, 8);
	fake_store_trim(w.store, 0, snapshot.offset);
	a->snapshot = &snapshot;
	a->is_paused = false;
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_FENCED, 9000));
	world_run(&w, 5000);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_READY);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.incarnation), 2);
	CU_ASSERT_STRING_EQUAL(a->owned->addresses, b->addresses);
	CU_ASSERT_EQUAL(a->n_kept, 1);
	CU_ASSERT_FALSE(a->is_kept);
	/* And takes it back from there. */
	CU_ASSERT_EQUAL_FATAL(hr_owned_claim(a->owned, &err), 0);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 5000));
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_FENCED, 5000));
	world_fini(&w);
}

static void without_any_snapshot_a_trimmed_log_stops_the_shard(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 3), *b;

	a->is_paused = true;
	b = box_start(&w, 9);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 3000));
	fake_store_trim(w.store, 0, fake_store_end(w.store, 0) - 1);
	a->is_paused = false;
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_STOPPED, 9000));
	CU_ASSERT_PTR_NOT_NULL(strstr(a->owned->reason, "is gone"));
	CU_ASSERT_EQUAL(a->n_looked, 1);
	world_fini(&w);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what a fence says of its owner's addresses is known to all",
		  what_a_fence_says_of_its_owners_addresses_is_known_to_all },
		{ "a shard that was lost is taken back by the operator's word",
		  a_shard_that_was_lost_is_taken_back_by_the_operators_word },
		{ "a shard of another is followed, and not fenced",
		  a_shard_of_another_is_followed_and_not_fenced },
		{ "a snapshot says where the owner of a followed shard listens",
		  a_snapshot_says_where_the_owner_of_a_followed_shard_listens },
		{ "a follower whose place is trimmed goes on with what is left",
		  a_follower_whose_place_is_trimmed_goes_on_with_what_is_left },
		{ "what is lost, and what is taken, is written down",
		  what_is_lost_and_taken_is_written_down },
		{ "a shard that is taken back goes on from the newest snapshot",
		  a_shard_taken_back_goes_on_from_the_newest_snapshot },
		{ "a shard that is taken back without a newer snapshot reads on",
		  a_shard_taken_back_without_a_newer_snapshot_reads_on },
		{ "who wakes up behind a trimmed log steps down",
		  who_wakes_up_behind_a_trimmed_log_steps_down },
		{ "without any snapshot a trimmed log stops the shard",
		  without_any_snapshot_a_trimmed_log_stops_the_shard },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("owned, taken", NULL, NULL, tests);
}
