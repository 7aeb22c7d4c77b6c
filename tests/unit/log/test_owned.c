/* SPDX-License-Identifier: BSD-3-Clause */

/* One shard's owner over a log in memory: fence, append, read back, trouble. */

#include <errno.h>
#include <string.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/log/owned_world.h"

static void an_owner_fences_writes_CONFIG_and_is_ready(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 100));
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), 2); /* FENCE, CONFIG */
	CU_ASSERT_EQUAL_FATAL(b->n_links, 1);
	CU_ASSERT_EQUAL(b->links[0]->body_kind, HR_BODY_CONFIG);
	CU_ASSERT_EQUAL(b->n_told[HR_TOLD_FENCE], 1);
	CU_ASSERT_EQUAL(b->told_incarnation, 1);
	CU_ASSERT_EQUAL(b->told_fence_no, 1);
	world_fini(&w);
}

static void epochs_are_accepted_in_order_once(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	for (uint64_t i = 0; i < BOX_EPOCHS; i++)
		box_close(b, i, i % 2 == 0);
	CU_ASSERT_TRUE(world_until_links(&w, b, 1 + BOX_EPOCHS, 200));
	for (uint64_t i = 0; i < BOX_EPOCHS; i++)
		CU_ASSERT_EQUAL(world_finds(&w, i, NULL), 1);
	CU_ASSERT_EQUAL(box_epochs_out(b), 0);
	CU_ASSERT_TRUE(hr_owned_is_drained(b->owned));
	world_fini(&w);
}

/* Whatever the log did with an append whose outcome is not known: what needs no
 * acknowledgement is in the chain once in the end; what its sender would send again is
 * dropped where it did not come to be. */
static void an_unknown_outcome_is_found_out(void)
{
	static const struct {
		enum fake_fate fate;
		bool ordered;
		uint32_t finds;   /* in the chain, in the end */
		uint32_t dropped; /* counted as fenced */
	} rows[] = {
		{ FAKE_LOST, false, 1, 0 },      { FAKE_LOST, true, 0, 1 },
		{ FAKE_REFUSED, false, 1, 0 },   { FAKE_REFUSED, true, 0, 1 },
		{ FAKE_NO_ANSWER, false, 1, 0 }, { FAKE_NO_ANSWER, true, 1, 0 },
		{ FAKE_LATE, false, 1, 0 },      { FAKE_LATE, true, 0, 1 },
		{ FAKE_TWICE, false, 1, 0 },     { FAKE_TWICE, true, 1, 0 },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct world w;
		struct box *b;

		world_init(&w);
		b = box_start(&w, i + 1);
		/* Later than the watchdog and the fence behind it. */
		fake_store_delays(w.store, 1000, 30000000);
		CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
		fake_store_fate(w.store, rows[i].fate, 1);
		box_close(b, 77, rows[i].ordered);
		world_run(&w, 60000);
		CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_READY);
		CU_ASSERT_EQUAL(world_finds(&w, 77, NULL), rows[i].finds);
		CU_ASSERT_EQUAL(hr_stat_get(&b->dropped_fenced), rows[i].dropped);
		CU_ASSERT_EQUAL(atomic_load(&b->owned->view.items_accepted),
				rows[i].finds);
		CU_ASSERT_EQUAL(atomic_load(&b->owned->view.items_dropped),
				rows[i].dropped);
		CU_ASSERT_EQUAL(box_epochs_out(b), 0);
		CU_ASSERT_FALSE(b->was_cloned);
		world_fini(&w);
	}
}

/* Without a report the writer may still refer to the buffer: until it is another one. */
static void a_writer_that_reports_nothing_is_replaced_before_buffers_run_out(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	fake_store_fate(w.store, FAKE_NO_ANSWER, BOX_EPOCHS);
	for (uint64_t i = 0; i < BOX_EPOCHS; i++)
		box_close(b, i, true);
	CU_ASSERT_TRUE(world_until_links(&w, b, 1 + BOX_EPOCHS, 200));
	world_run(&w, 9000);
	CU_ASSERT_EQUAL(box_epochs_out(b), BOX_EPOCHS);
	CU_ASSERT_EQUAL(b->told_fence_no, 1);
	world_run(&w, 3000);
	CU_ASSERT_EQUAL(box_epochs_out(b), 0);
	CU_ASSERT_EQUAL(b->told_fence_no, 2);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_READY);
	world_fini(&w);
}

/* The read-back of the watchdog's own late append: it arrives between trouble and our
 * next fence, and is accepted. */
static void an_append_that_arrives_before_the_next_fence_counts(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 3);
	fake_store_delays(w.store, 1000, 5002000); /* just behind the watchdog */
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	fake_store_fate(w.store, FAKE_LATE, 1);
	box_close(b, 5, true);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_RECOVERING, 6000));
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 6000));
	CU_ASSERT_EQUAL(world_finds(&w, 5, NULL), 1);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.items_accepted), 1);
	CU_ASSERT_EQUAL(hr_stat_get(&b->dropped_fenced), 0);
	world_fini(&w);
}

static void nothing_tentative_survives_a_fence_but_what_nobody_sends_again(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	fake_store_fate(w.store, FAKE_LOST, 1);
	box_close(b, 1, true);
	world_run(&w, 2);
	box_close(b, 2, true);
	box_close(b, 3, false);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_RECOVERING, 6000));
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 6000));
	CU_ASSERT_EQUAL(b->told_fence_no, 2);
	/* A worker that had not been told yet when it opened this one. */
	b->told_fence_no = 1;
	box_close(b, 4, true);
	world_run(&w, 100);
	CU_ASSERT_EQUAL(world_finds(&w, 1, NULL), 0);
	CU_ASSERT_EQUAL(world_finds(&w, 2, NULL), 0);
	CU_ASSERT_EQUAL(world_finds(&w, 3, NULL), 1);
	CU_ASSERT_EQUAL(world_finds(&w, 4, NULL), 0);
	CU_ASSERT_EQUAL(hr_stat_get(&b->dropped_fenced), 3);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.epochs_done), 4);
	world_fini(&w);
}

static void every_fence_has_an_owner_id_of_its_own(void)
{
	struct world w;
	struct box *b;
	struct hr_id128 first;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	first = b->owned->id;
	fake_store_fate(w.store, FAKE_REFUSED, 1);
	box_close(b, 1, false);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_RECOVERING, 100));
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 1000));
	CU_ASSERT_FALSE(hr_id128_equals(&first, &b->owned->id));
	CU_ASSERT_EQUAL(b->owned->chain.incarnation, 2);
	world_fini(&w);
}

static void a_foreign_owner_that_lives_takes_the_shard(void)
{
	struct world w;
	struct box *a, *b;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	b = box_start(&w, 2);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 100));
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_FENCED, 100));
	CU_ASSERT_EQUAL(a->n_told[HR_TOLD_LOST], 1);
	box_close(a, 1, false);
	box_close(b, 2, false);
	world_run(&w, 100);
	CU_ASSERT_EQUAL(world_finds(&w, 1, NULL), 0);
	CU_ASSERT_EQUAL(world_finds(&w, 2, NULL), 1);
	CU_ASSERT_EQUAL(box_epochs_out(a), 0);
	world_fini(&w);
}

static void a_foreign_fence_whose_author_is_dead_is_fenced_again(void)
{
	struct world w;
	struct box *a, *b;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	b = box_start(&w, 2);
	while (b->owned->phase != HR_PHASE_FENCING)
		world_run(&w, 1);
	box_kill(b); /* its fence is on its way */
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_RECOVERING, 100));
	world_run(&w, 1900);
	CU_ASSERT_EQUAL(a->owned->chain.incarnation, 2);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 300));
	CU_ASSERT_EQUAL(a->owned->chain.incarnation, 3);
	world_fini(&w);
}

/* A machine that stood still wakes, and appends as if it were still the owner. */
static void an_owner_that_wakes_up_is_ignored_and_steps_down(void)
{
	struct world w;
	struct box *a, *b;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	a->is_paused = true;
	b = box_start(&w, 2);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 100));
	box_close(a, 1, false);
	hr_owned_step(a->owned, &w.now); /* sends before it reads */
	a->is_paused = false;
	world_run(&w, 200);
	CU_ASSERT_EQUAL(atomic_load(&a->owned->view.state), HR_SHARD_FENCED);
	CU_ASSERT_EQUAL(world_finds(&w, 1, NULL), 0);
	CU_ASSERT_EQUAL(atomic_load(&a->owned->view.items_dropped), 1);
	world_fini(&w);
}

static void a_clone_that_appends_under_our_id_stops_us(void)
{
	struct world w;
	struct box *b;
	struct hr_link_head head;
	uint8_t record[512];
	size_t n;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	head = (struct hr_link_head){ .owner = b->owned->id,
				      .n = b->owned->chain.n + 1,
				      .prev_hash = b->owned->chain.hash,
				      .clock_us = b->owned->chain.clock_us + 1,
				      .body_kind = HR_BODY_EPOCH,
				      .body = { record, 0 } };
	n = hr_record_encode_link(record, &w.set, 0, &head);
	fake_store_put(w.store, 0, record, (uint32_t)n);
	world_run(&w, 10);
	CU_ASSERT_TRUE(b->was_cloned);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "a copy of this machine"));
	world_fini(&w);
}

static void the_same_bytes_twice_are_no_clone(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 1);
	fake_store_delays(w.store, 1000, 50000);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	fake_store_fate(w.store, FAKE_TWICE, 8);
	for (uint64_t i = 0; i < 8; i++)
		box_close(b, i, true);
	world_run(&w, 300);
	CU_ASSERT_FALSE(b->was_cloned);
	for (uint64_t i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(world_finds(&w, i, NULL), 1);
	world_fini(&w);
}

static void two_first_starts_at_once_end_with_one_owner(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world w;
		struct box *a, *b;
		uint64_t n;

		world_init(&w);
		a = box_start(&w, 2 * seed);
		b = box_start(&w, 2 * seed + 1);
		world_run(&w, 10000);
		CU_ASSERT_EQUAL(
			(atomic_load(&a->owned->view.state) == HR_SHARD_READY) +
				(atomic_load(&b->owned->view.state) == HR_SHARD_READY),
			1);
		CU_ASSERT_EQUAL(
			(atomic_load(&a->owned->view.state) == HR_SHARD_FENCED) +
				(atomic_load(&b->owned->view.state) == HR_SHARD_FENCED),
			1);
		(void)world_finds(&w, 0, &n);
		CU_ASSERT_TRUE(n < 10);
		world_fini(&w);
	}
}

static void a_second_start_reads_what_the_first_wrote(void)
{
	struct world w;
	struct box *a, *b;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	for (uint64_t i = 0; i < 5; i++)
		box_close(a, i, true);
	CU_ASSERT_TRUE(world_until_links(&w, a, 6, 200));
	box_kill(a);
	b = box_start(&w, 2);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 200));
	CU_ASSERT_EQUAL(b->n_links, 7);
	for (uint64_t n = 0; n < 6; n++)
		CU_ASSERT_TRUE(hr_id128_equals(&a->links[n]->hash, &b->links[n]->hash));
	CU_ASSERT_EQUAL(b->links[6]->n_items, 0); /* so that it is visible */
	world_fini(&w);
}

static void a_writer_that_cannot_be_opened_is_tried_again(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	fake_store_fail_writers(w.store, true);
	b = box_start(&w, 1);
	CU_ASSERT_FALSE(world_until(&w, b, HR_SHARD_READY, 3000));
	fake_store_fail_writers(w.store, false);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 2000));
	world_fini(&w);
}

static void reading_that_fails_is_begun_again_and_nothing_is_read_twice(void)
{
	struct world w;
	struct box *b;

	world_init(&w);
	b = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 100));
	box_close(b, 1, false);
	CU_ASSERT_TRUE(world_until_links(&w, b, 2, 100));
	fake_store_fail_reads(w.store);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_RECOVERING, 100));
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_READY, 1000));
	box_close(b, 2, false);
	world_run(&w, 100);
	CU_ASSERT_EQUAL(world_finds(&w, 1, NULL), 1);
	CU_ASSERT_EQUAL(world_finds(&w, 2, NULL), 1);
	world_fini(&w);
}

/* ---- asked for again --------------------------------------------------------------- */

static bool may_ack(const struct box *b)
{
	return atomic_load(&b->owned->view.may_ack);
}

/* An owner with n links of one ordered datagram each, numbered from 0. */
static struct box *owner_of(struct world *w, uint64_t n)
{
	struct box *b;

	world_init(w);
	b = box_start(w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(w, b, HR_SHARD_READY, 100));
	for (uint64_t i = 0; i < n; i++) {
		box_close(b, i, true);
		CU_ASSERT_TRUE_FATAL(world_until_links(w, b, 2 + i, 100));
	}
	return b;
}

static void
nothing_is_acknowledged_after_trouble_until_the_last_link_is_read_again(void)
{
	struct world w;
	struct box *b = owner_of(&w, 3);

	world_run(&w, 5);
	CU_ASSERT_TRUE(may_ack(b));
	fake_store_hold_verify(w.store, true);
	fake_store_lose_connections(w.store);
	world_run(&w, 1);
	CU_ASSERT_FALSE(may_ack(b));
	/* Nor is anything read: what lies behind a hole would be taken for accepted. */
	box_close(b, 9, true);
	CU_ASSERT_FALSE(world_until_links(&w, b, 5, 1000));
	CU_ASSERT_FALSE(may_ack(b));
	fake_store_hold_verify(w.store, false);
	CU_ASSERT_TRUE(world_until_links(&w, b, 5, 100));
	world_run(&w, 3);
	CU_ASSERT_TRUE(may_ack(b));
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.incarnation),
			1); /* the same owner */
	world_fini(&w);
}

static void the_last_link_is_asked_for_each_second(void)
{
	struct world w;
	struct box *b = owner_of(&w, 1);
	uint64_t before;

	world_run(&w, 2000);
	before = fake_store_verifies(w.store);
	world_run(&w, 10000);
	CU_ASSERT_TRUE(fake_store_verifies(w.store) - before >= 9);
	CU_ASSERT_TRUE(fake_store_verifies(w.store) - before <= 11);
	CU_ASSERT_TRUE(may_ack(b));
	/* Without an answer nothing is acknowledged after a while. */
	fake_store_hold_verify(w.store, true);
	world_run(&w, 4000);
	CU_ASSERT_FALSE(may_ack(b));
	fake_store_hold_verify(w.store, false);
	world_run(&w, 3);
	CU_ASSERT_TRUE(may_ack(b));
	world_fini(&w);
}

/* ---- cut ----------------------------------------------------------------------------- */

/* All links of the box are those of the log, and each number is there once. */
static void all_is_there_again(struct world *w, const struct box *b, uint64_t n)
{
	uint64_t links;

	for (uint64_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(world_finds(w, i, NULL), 1);
	(void)world_finds(w, 0, &links);
	CU_ASSERT_EQUAL(links, b->n_links);
	CU_ASSERT_TRUE(may_ack(b));
	CU_ASSERT_EQUAL(b->n_told[HR_TOLD_STATE], 0);
}

static void what_a_cut_log_lost_is_appended_again_from_memory(void)
{
	/* Of 12 records: FENCE, CONFIG, ten links. 0: all of it. */
	for (int64_t left = 0; left < 12; left++) {
		struct world w;
		struct box *b = owner_of(&w, 10);
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
	struct box *b = owner_of(&w, 10);

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
	struct box *b = owner_of(&w, 5);

	fake_store_fate(w.store, FAKE_LOST, 1);
	box_close(b, 77, false);
	world_run(&w, 3);
	fake_store_cut(w.store, 0, 4);
	world_run(&w, 8000);
	CU_ASSERT_EQUAL(world_finds(&w, 77, NULL), 1);
	all_is_there_again(&w, b, 5);
	world_fini(&w);
}

static void beyond_memory_the_shard_stops_with_the_list(void)
{
	struct world w;
	struct box *b = owner_of(&w, 10);
	uint64_t n;

	b->forgets = 9;                /* links 9, 10 and 11 are held */
	fake_store_cut(w.store, 0, 5); /* FENCE and links 1 to 4 are left */
	world_run(&w, 3000);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_FALSE(may_ack(b));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "links 5 to 11 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "accept-loss 0"));
	(void)world_finds(&w, 0, &n);
	CU_ASSERT_EQUAL(n, 4); /* nothing was written */
	world_fini(&w);
}

static void a_loss_that_is_accepted_is_written_down_and_the_shard_goes_on(void)
{
	struct world w;
	struct box *b = owner_of(&w, 10);
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
	CU_ASSERT_TRUE(may_ack(b));
	world_fini(&w);
}

/* The log of a killed owner was cut, and a snapshot knows of link `n` of it. */
static void cut_behind_a_snapshot(struct world *w, uint64_t n,
				  struct hr_log_start *start)
{
	struct box *b = owner_of(w, 10); /* 11 links */

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
	struct box *a = owner_of(&w, 10), *b;

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

static void what_a_fence_says_of_its_owners_addresses_is_known_to_all(void)
{
	struct world w;
	struct box *b = owner_of(&w, 1);

	CU_ASSERT_STRING_EQUAL(b->owned->addresses, "192.0.2.1:7400");
	CU_ASSERT_EQUAL((int64_t)w.now.mono_us +
				atomic_load(&b->owned->view.clock_offset_us),
			(int64_t)w.now.wall_us);
	world_fini(&w);
}

static void put_fence(struct world *w, uint64_t incarnation, const char *addresses)
{
	const struct hr_fence f = {
		.owner = { { 0x66 } },
		.incarnation = incarnation,
		.addresses = { (const uint8_t *)addresses,
			       (uint32_t)strlen(addresses) },
	};
	uint8_t record[HR_FENCE_MAX];
	size_t n = hr_record_encode_fence(record, &w->set, 0, &f);

	fake_store_put(w->store, 0, record, (uint32_t)n);
}

/* What is asked for each second is compared with what it was then. */
static void records_that_come_while_one_is_asked_for_are_no_cut(void)
{
	struct world w;
	struct box *b = owner_of(&w, 3);

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
	CU_ASSERT_TRUE(may_ack(b));
	world_fini(&w);
}

/* The last record read was passed over, was cut away, and a FENCE stands in its place:
 * every link is where it was. */
static void a_fence_in_the_place_of_a_record_that_was_read_is_seen(void)
{
	struct world w;
	struct box *b = owner_of(&w, 3);
	const int64_t end = fake_store_end(w.store, 0);

	fake_store_put(w.store, 0, "rubbish", 7);
	world_run(&w, 5);
	fake_store_cut(w.store, 0, end);
	put_fence(&w, 2, "");
	fake_store_lose_connections(w.store);
	world_run(&w, 500);
	/* Seen; and since its author shows no link, fenced in turn. */
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.incarnation), 3);
	CU_ASSERT_TRUE(may_ack(b));
	world_fini(&w);
}

static void a_shard_that_was_lost_is_taken_back_by_the_operators_word(void)
{
	struct world w;
	struct box *a = owner_of(&w, 2), *b;
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

/* The one that is stopped has read a fence that is lost since, and another one lies in
 * its place: from behind it nothing would fit. */
static void a_log_that_grew_anew_while_stopped_is_read_from_its_beginning(void)
{
	struct hr_log_start start = { .lost_n = 9 };
	struct hr_err err;
	struct world w;
	struct box *a, *b;

	world_init(&w);
	put_fence(&w, 1, "");
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
	put_fence(&w, 2, "192.0.2.66:7400");
	put_fence(&w, 4, "192.0.2.66:7400");
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
	struct box *a = owner_of(&w, 3), *c;
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
	struct box *a = owner_of(&w, 4), *c = box_look_on(&w, 3), *b;

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
	struct box *a = owner_of(&w, 2), *b;
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

/* ---- from a snapshot while it runs ------------------------------------------------------ */

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
	struct box *a = owner_of(&w, 3), *b = taken_from(&w, a, 4);
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
	struct box *a = owner_of(&w, 3), *b = taken_from(&w, a, 4);
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
	struct box *a = owner_of(&w, 3), *b;
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
	struct box *a = owner_of(&w, 3), *b;

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

/* ---- what is not as it should be ------------------------------------------------------ */

static void a_chain_that_is_not_as_the_file_says_complains_until_it_is_committed(void)
{
	struct world w;
	struct box *a = owner_of(&w, 1), *b;
	uint64_t n;

	world_run(&w, 1500);
	CU_ASSERT_FALSE(atomic_load(&a->owned->view.complains));
	box_kill(a);
	b = box_start(&w, 2);
	b->conf.file.setting[HR_CHAIN_MAX_EVENTS] = 2048;
	CU_ASSERT_TRUE_FATAL(world_until(&w, b, HR_SHARD_READY, 200));
	world_run(&w, 1500);
	CU_ASSERT_TRUE(atomic_load(&b->owned->view.complains));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "config commit"));
	CU_ASSERT_EQUAL(b->owned->config.setting[HR_CHAIN_MAX_EVENTS], 1024);
	n = b->n_links;
	for (int again = 0; again < 2; again++) { /* the second finds nothing to do */
		hr_owned_config_commit(b->owned);
		world_run(&w, 1500);
		CU_ASSERT_EQUAL(b->n_links, n + 1);
	}
	CU_ASSERT_EQUAL(b->links[n]->body_kind, HR_BODY_CONFIG);
	CU_ASSERT_EQUAL(b->owned->config.setting[HR_CHAIN_MAX_EVENTS], 2048);
	CU_ASSERT_FALSE(atomic_load(&b->owned->view.complains));
	CU_ASSERT_STRING_EQUAL(b->owned->reason, "");
	world_fini(&w);
}

static void a_wall_clock_that_steps_is_told_and_never_runs_the_chain_back(void)
{
	static const int64_t steps_us[] = { 3600000000ll, -3600000000ll };

	for (size_t i = 0; i < HR_COUNT(steps_us); i++) {
		struct world w;
		struct box *b = owner_of(&w, 1);
		uint64_t before = b->owned->chain.clock_us;

		w.now.wall_us += (uint64_t)steps_us[i];
		world_run(&w, 1500);
		CU_ASSERT_TRUE(atomic_load(&b->owned->view.complains));
		CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "clock accept"));
		box_close(b, 5, true); /* it goes on meanwhile, by the old offset */
		CU_ASSERT_TRUE_FATAL(world_until_links(&w, b, 3, 100));
		CU_ASSERT_TRUE(b->links[2]->clock_us > before);
		CU_ASSERT_TRUE(b->links[2]->clock_us < before + 60000000);
		hr_owned_clock_accept(b->owned, &w.now);
		world_run(&w, 10);
		CU_ASSERT_FALSE(atomic_load(&b->owned->view.complains));
		box_close(b, 6, true);
		CU_ASSERT_TRUE_FATAL(world_until_links(&w, b, 4, 100));
		CU_ASSERT_TRUE(b->links[3]->clock_us >= b->links[2]->clock_us);
		if (steps_us[i] > 0)
			CU_ASSERT_TRUE(b->links[3]->clock_us > before + 3000000000u);
		world_fini(&w);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an owner fences, writes CONFIG, and is ready",
		  an_owner_fences_writes_CONFIG_and_is_ready },
		{ "epochs are accepted in order, once",
		  epochs_are_accepted_in_order_once },
		{ "an unknown outcome is found out", an_unknown_outcome_is_found_out },
		{ "a writer that reports nothing is replaced before buffers run out",
		  a_writer_that_reports_nothing_is_replaced_before_buffers_run_out },
		{ "an append that arrives before the next fence counts",
		  an_append_that_arrives_before_the_next_fence_counts },
		{ "nothing tentative survives a fence but what nobody sends again",
		  nothing_tentative_survives_a_fence_but_what_nobody_sends_again },
		{ "every fence has an owner id of its own",
		  every_fence_has_an_owner_id_of_its_own },
		{ "a foreign owner that lives takes the shard",
		  a_foreign_owner_that_lives_takes_the_shard },
		{ "a foreign fence whose author is dead is fenced again",
		  a_foreign_fence_whose_author_is_dead_is_fenced_again },
		{ "an owner that wakes up is ignored, and steps down",
		  an_owner_that_wakes_up_is_ignored_and_steps_down },
		{ "a clone that appends under our id stops us",
		  a_clone_that_appends_under_our_id_stops_us },
		{ "the same bytes twice are no clone",
		  the_same_bytes_twice_are_no_clone },
		{ "two first starts at once end with one owner",
		  two_first_starts_at_once_end_with_one_owner },
		{ "a second start reads what the first wrote",
		  a_second_start_reads_what_the_first_wrote },
		{ "a writer that cannot be opened is tried again",
		  a_writer_that_cannot_be_opened_is_tried_again },
		{ "reading that fails is begun again, and nothing is read twice",
		  reading_that_fails_is_begun_again_and_nothing_is_read_twice },
		{ "nothing is acknowledged after trouble until the last link is read "
		  "again",
		  nothing_is_acknowledged_after_trouble_until_the_last_link_is_read_again },
		{ "the last link is asked for each second",
		  the_last_link_is_asked_for_each_second },
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
		{ "what a fence says of its owner's addresses is known to all",
		  what_a_fence_says_of_its_owners_addresses_is_known_to_all },
		{ "a shard that was lost is taken back by the operator's word",
		  a_shard_that_was_lost_is_taken_back_by_the_operators_word },
		{ "a log that grew anew while stopped is read from its beginning",
		  a_log_that_grew_anew_while_stopped_is_read_from_its_beginning },
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
		{ "a chain that is not as the file says complains until it is "
		  "committed",
		  a_chain_that_is_not_as_the_file_says_complains_until_it_is_committed },
		{ "a wall clock that steps is told, and never runs the chain back",
		  a_wall_clock_that_steps_is_told_and_never_runs_the_chain_back },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("owned", NULL, NULL, tests);
}
