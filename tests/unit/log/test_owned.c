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

/* Nothing is read in doubt: what the author wrote meanwhile could not be seen. */
static void in_doubt_nobody_is_taken_for_dead(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 2);
	int64_t end;

	world_put_fence(&w, 2, "192.0.2.9:7400");
	fake_store_hold_verify(w.store, true);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_RECOVERING, 100));
	end = fake_store_end(w.store, 0);
	world_run(&w, 5000);
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), end);
	fake_store_hold_verify(w.store, false);
	world_run(&w, 1900);
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), end);
	CU_ASSERT_TRUE(world_until(&w, a, HR_SHARD_READY, 1000));
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

static void
nothing_is_acknowledged_after_trouble_until_the_last_link_is_read_again(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 3);

	world_run(&w, 5);
	CU_ASSERT_TRUE(box_may_ack(b));
	fake_store_hold_verify(w.store, true);
	fake_store_lose_connections(w.store);
	world_run(&w, 1);
	CU_ASSERT_FALSE(box_may_ack(b));
	/* Nor is anything read: what lies behind a hole would be taken for accepted. */
	box_close(b, 9, true);
	CU_ASSERT_FALSE(world_until_links(&w, b, 5, 1000));
	CU_ASSERT_FALSE(box_may_ack(b));
	fake_store_hold_verify(w.store, false);
	CU_ASSERT_TRUE(world_until_links(&w, b, 5, 100));
	world_run(&w, 3);
	CU_ASSERT_TRUE(box_may_ack(b));
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.incarnation),
			1); /* the same owner */
	world_fini(&w);
}

static void the_last_link_is_asked_for_each_second(void)
{
	struct world w;
	struct box *b = world_init_owner(&w, 1);
	uint64_t before;

	world_run(&w, 2000);
	before = fake_store_verifies(w.store);
	world_run(&w, 10000);
	CU_ASSERT_TRUE(fake_store_verifies(w.store) - before >= 9);
	CU_ASSERT_TRUE(fake_store_verifies(w.store) - before <= 11);
	CU_ASSERT_TRUE(box_may_ack(b));
	/* Without an answer nothing is acknowledged after a while. */
	fake_store_hold_verify(w.store, true);
	world_run(&w, 4000);
	CU_ASSERT_FALSE(box_may_ack(b));
	fake_store_hold_verify(w.store, false);
	world_run(&w, 3);
	CU_ASSERT_TRUE(box_may_ack(b));
	world_fini(&w);
}

static void a_chain_that_is_not_as_the_file_says_complains_until_it_is_committed(void)
{
	struct world w;
	struct box *a = world_init_owner(&w, 1), *b;
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
		struct box *b = world_init_owner(&w, 1);
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

/* ---- what killed whoever folded it ------------------------------------------------ */

static bool bars_link_3(void *ctx, const struct hr_owned *s, uint64_t n,
			const struct hr_id128 *hash, struct hr_err *err)
{
	(void)ctx;
	CU_ASSERT_TRUE(hr_id128_equals(hash, &s->chain.hash));
	if (n == 3)
		hr_fail(err, 0, "link 3 kills");
	return n == 3;
}

static void a_link_that_kills_is_not_handed_out_and_stops_the_shard_by_name(void)
{
	struct hr_err err;
	struct world w;
	struct box *a, *b, *c;
	int64_t end;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	for (uint64_t i = 1; i <= 4; i++) {
		box_close(a, i, true);
		world_run(&w, 20);
	}
	CU_ASSERT_FATAL(a->n_links > 3);
	box_kill(a);
	b = box_start(&w, 2);
	b->conf.hooks.bars = bars_link_3;
	end = fake_store_end(w.store, 0);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_STOPPED, 1000));
	CU_ASSERT_EQUAL(b->n_links, 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(b->owned->reason, "link 3 kills"));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->line, "stopped"));
	world_run(&w, 5000);
	CU_ASSERT_EQUAL(b->n_links, 2);
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), end); /* it fences nobody */
	CU_ASSERT_EQUAL(hr_owned_claim(b->owned, &err), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "link 3 kills"));
	CU_ASSERT_EQUAL(hr_owned_accept_loss(b->owned, &err), -EINVAL);
	box_kill(b);
	c = box_start(&w, 3); /* a program that does not die of it */
	CU_ASSERT_TRUE(world_until(&w, c, HR_SHARD_READY, 1000));
	CU_ASSERT(c->n_links >= 4);
	world_fini(&w);
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
		{ "in doubt nobody is taken for dead",
		  in_doubt_nobody_is_taken_for_dead },
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
		{ "a chain that is not as the file says complains until it is "
		  "committed",
		  a_chain_that_is_not_as_the_file_says_complains_until_it_is_committed },
		{ "a wall clock that steps is told, and never runs the chain back",
		  a_wall_clock_that_steps_is_told_and_never_runs_the_chain_back },
		{ "a link that kills is not handed out, and stops the shard by name",
		  a_link_that_kills_is_not_handed_out_and_stops_the_shard_by_name },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("owned", NULL, NULL, tests);
}
