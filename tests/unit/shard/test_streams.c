/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Acknowledged streams of one shard over a real intake and a real fold, with the test
 * as committer, network and senders. The last tests are random: whatever is lost,
 * doubled, reordered and fenced, each stream is logged in order and once, what is
 * called committed is, and nothing is forgotten.
 */

#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "dataplane/shard/ring.h"
#include "dataplane/shard/streams.h"
#include "tests/unit/fold/chain.h"
#include "tests/unit/hr_test.h"

#define PER_SHARD 6u
#define SHARD 1u
#define KEY 7u
#define CLOCK 1700000000000000ull
#define MAX_AGE 3600000000ull
#define TTL 600000000ull
#define SECOND 1000000ull

static const uint8_t write_key[16] = { 3 };

static struct hr_epoch_pool *pool;
static struct hr_shard_view view;
static struct rte_ring *closed;
static struct hr_intake intake;
static uint64_t closed_us;
static struct hr_fold *fold;
static struct hr_streams *streams;
static struct test_chain chain;
static struct hr_streams_now now;
static struct hr_reply reply;
static struct hr_verdict_of last;
static const struct hr_way way = { .net = { .family = 4, .dest = { 10, 1, 0, 2 } },
				   .worker = 1,
				   .lane = 3 };
static uint64_t n_taken, n_gone, n_logged; /* datagrams: ledger law 1 */

static void fold_link(struct test_link *l)
{
	struct hr_link *link = &l->link;
	void *memory = aligned_alloc(64, (hr_out_bytes(link) + 63) & ~(size_t)63);

	link->out = hr_out_init(memory, link);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(fold, link), 0);
	hr_streams_accepted(streams, link, now.mono_us);
	while (!hr_fold_step(fold, 1000))
		;
	free(memory);
	link->out = NULL;
}

static void make(uint32_t max_streams, uint64_t key_streams)
{
	struct hr_chain_config config = test_config(100000, 64, MAX_AGE);
	struct hr_streams_conf conf = {
		.intake = &intake, .shard = SHARD, .max_streams = max_streams, .seed = 5
	};
	struct hr_err err = { "" };

	memset(&view, 0, sizeof(view));
	atomic_store(&view.state, HR_SHARD_READY);
	CU_ASSERT_EQUAL_FATAL(hr_epoch_pool_new(&pool, 2, PER_SHARD, &err), 0);
	closed = hr_ring_new(2 * PER_SHARD);
	intake = (struct hr_intake){ .pool = pool,
				     .closed_ring = closed,
				     .closed_us = &closed_us,
				     .view = &view,
				     .shard = SHARD,
				     .reserve = 1,
				     .max_events = 100000 };
	test_chain_init(&chain, SHARD, 5);
	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &chain.set, SHARD, 64), 0);
	conf.fold = fold;
	CU_ASSERT_EQUAL_FATAL(hr_streams_new(&streams, &conf, &err), 0);
	config.setting[HR_CHAIN_KEY_STREAMS] = key_streams;
	config.setting[HR_CHAIN_TTL_MEMORY_US] = TTL;
	config.setting[HR_CHAIN_TTL_DISK_US] = 7 * 86400 * SECOND;
	now = (struct hr_streams_now){ .mono_us = 77 * SECOND,
				       .wall_us = CLOCK + 3600 * SECOND,
				       .clock_us = CLOCK,
				       .state = HR_SHARD_READY,
				       .may_ack = true };
	n_taken = n_gone = n_logged = 0;
	CU_ASSERT_EQUAL(hr_streams_fence(streams, 9), 0);
	fold_link(test_chain_add_config(&chain, CLOCK, &config));
}

static void setup(void)
{
	make(64, 0);
}

static void pass(uint64_t us)
{
	now.mono_us += us;
	now.clock_us += us;
}

static struct hr_epoch *take_closed(void)
{
	void *epoch;

	return rte_ring_dequeue(closed, &epoch) == 0 ? epoch : NULL;
}

static void done_with(struct hr_epoch *epoch)
{
	hr_epoch_put(pool, epoch);
	atomic_fetch_add(&view.epochs_done, 1);
}

/* The committer: accept the oldest closed epoch. Returns false where there is none. */
static bool accept_one(void (*look)(const struct hr_item *item))
{
	struct hr_epoch *epoch = take_closed();
	struct hr_item item;
	struct hr_str body;
	uint32_t cursor = 0;

	if (epoch == NULL)
		return false;
	body = (struct hr_str){ hr_epoch_body(epoch), epoch->body_bytes };
	while (look != NULL && hr_item_next(body, &cursor, &item) == 1)
		look(&item);
	n_logged += epoch->n_items;
	atomic_fetch_add(&view.items_accepted, epoch->n_items);
	fold_link(test_chain_add_body(&chain, HR_BODY_EPOCH, now.clock_us, body));
	done_with(epoch);
	return true;
}

static void close_open(void)
{
	hr_intake_step(&intake, now.mono_us, 0, true);
}

static void commit(void)
{
	close_open();
	while (accept_one(NULL))
		;
}

static void fence(uint64_t incarnation, uint32_t fence_no)
{
	struct hr_epoch *kept[PER_SHARD];
	uint32_t n = 0, n_events;

	close_open();
	while ((kept[n] = take_closed()) != NULL)
		n++;
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t dropped = hr_epoch_filter(kept[i], &n_events);

		n_gone += dropped;
		atomic_fetch_add(&view.items_dropped, dropped);
		done_with(kept[i]);
	}
	n_gone += hr_intake_fence(&intake, fence_no);
	n_gone += hr_streams_fence(streams, incarnation);
}

static void in_balance(void)
{
	CU_ASSERT_EQUAL(n_taken, n_logged + n_gone + hr_intake_in_flight(&intake) +
					 hr_streams_parked(streams));
}

static void teardown(void)
{
	commit();
	in_balance();
	hr_streams_free(streams);
	hr_fold_free(fold);
	CU_ASSERT_EQUAL(hr_intake_fini(&intake), 0);
	free(closed);
	hr_epoch_pool_free(pool);
	test_chain_fini(&chain);
}

static const uint8_t event[1376] = "{\"user_id\":\"u\"}";

static void small_answer(uint16_t bytes)
{
	uint8_t out[HR_ANSWER_MAX];

	if (reply.answer.kind == 0)
		return;
	CU_ASSERT_TRUE(hr_answer_encode(&reply.answer, write_key, CLOCK, out) <= bytes);
}

static struct hr_question question(uint8_t kind, uint64_t birth, uint64_t random,
				   uint64_t sequence)
{
	struct hr_question q = {
		.wire = { .kind = kind,
			  .shard = SHARD,
			  .n_shards = 5,
			  .generation = 1,
			  .key_id = KEY,
			  .birth = birth,
			  .random = random,
			  .sequence = sequence,
			  .attempt = 4,
			  .sent_us = 1234,
			  .payload = { event,
				       kind == HR_KIND_PROBE ? HR_PROBE_BYTES : 64 } },
		.from = { { 10, 1, 0, 2 }, 40000, 4, KEY },
		.token = 555,
		.received_us = CLOCK,
		.way = &way,
	};

	if (kind == HR_KIND_DATA) {
		q.wire.codec = 2;
		q.wire.n_events = 1;
	}
	q.bytes = (uint16_t)(96 + q.wire.payload.n);
	return q;
}

static enum hr_outcome put(const struct hr_question *q)
{
	last = hr_streams_take(streams, q, &now, &reply);
	n_taken += last.outcome == HR_OUTCOME_TAKEN;
	n_gone += last.n_displaced;
	small_answer(q->bytes);
	return last.outcome;
}

static enum hr_outcome ask(uint8_t kind, uint64_t random, uint64_t sequence)
{
	const struct hr_question q = question(kind, CLOCK, random, sequence);

	return put(&q);
}

static enum hr_outcome data(uint64_t random, uint64_t sequence)
{
	return ask(HR_KIND_DATA, random, sequence);
}

/* The ACK that is due, if it is one. */
static uint32_t due(struct hr_reply *out, uint32_t max)
{
	return hr_streams_due(streams, &now, out, max);
}

/* ---- order ---- */

static void what_comes_in_order_is_committed_and_told(void)
{
	struct hr_reply acks[2];

	for (uint64_t i = 1; i <= 10; i++) {
		CU_ASSERT_EQUAL(data(1, i), HR_OUTCOME_TAKEN);
		CU_ASSERT_EQUAL(reply.answer.kind, 0);
	}
	CU_ASSERT_EQUAL(due(acks, 2), 0);
	commit();
	CU_ASSERT_EQUAL_FATAL(due(acks, 2), 1);
	CU_ASSERT_EQUAL(acks[0].answer.kind, HR_KIND_ACK);
	CU_ASSERT_EQUAL(acks[0].answer.meaning, HR_ACK_COMMITTED);
	CU_ASSERT_EQUAL(acks[0].answer.sequence, 10);
	CU_ASSERT_EQUAL(acks[0].answer.parked, 0);
	CU_ASSERT_EQUAL(acks[0].answer.incarnation, 9);
	CU_ASSERT_EQUAL(acks[0].answer.attempt, 4);
	CU_ASSERT_EQUAL(acks[0].answer.credit, HR_CREDIT_MAX);
	CU_ASSERT_EQUAL(acks[0].way.worker, 1);
	CU_ASSERT_EQUAL(acks[0].way.lane, 3);
	CU_ASSERT_EQUAL(due(acks, 2), 0);
	CU_ASSERT_FALSE(hr_streams_is_busy(streams));
}

/* One datagram, received so long after the others began. */
static void data_at(uint64_t random, uint64_t sequence, uint64_t after_us)
{
	struct hr_question q = question(HR_KIND_DATA, CLOCK, random, sequence);

	q.received_us = CLOCK + after_us;
	CU_ASSERT_EQUAL(put(&q), HR_OUTCOME_TAKEN);
}

static void how_long_each_waited_is_known_once_its_ack_is_out(void)
{
	const struct hr_waited *waited;
	struct hr_reply ack;

	data_at(1, 1, 10);
	data_at(1, 2, 10);
	data_at(2, 1, 10);
	data_at(1, 3, 30);
	CU_ASSERT_EQUAL(hr_streams_waited(streams, &waited), 0);
	commit();
	CU_ASSERT_EQUAL(hr_streams_waited(streams, &waited), 0);
	CU_ASSERT_EQUAL(due(&ack, 1), 1);
	CU_ASSERT_EQUAL(hr_streams_waited(streams, &waited), 0); /* the other stream */
	CU_ASSERT_EQUAL(due(&ack, 1), 1);
	CU_ASSERT_EQUAL_FATAL(hr_streams_waited(streams, &waited), 2);
	CU_ASSERT_EQUAL(waited[0].received_us, CLOCK + 10);
	CU_ASSERT_EQUAL(waited[0].n, 3);
	CU_ASSERT_EQUAL(waited[1].received_us, CLOCK + 30);
	CU_ASSERT_EQUAL(waited[1].n, 1);
	CU_ASSERT_EQUAL(hr_streams_waited(streams, &waited), 0);
}

static void of_more_moments_than_are_kept_the_oldest_counts(void)
{
	const struct hr_waited *waited;
	uint32_t n = 0, n_runs;
	struct hr_reply ack;

	for (uint64_t i = 1; i <= HR_WAITED_MAX + 100; i++) {
		data_at(1, i, 2 * i);
		if (i % 50 == 0)
			commit();
	}
	commit();
	CU_ASSERT_EQUAL(due(&ack, 1), 1);
	n_runs = hr_streams_waited(streams, &waited);
	CU_ASSERT_EQUAL_FATAL(n_runs, HR_WAITED_MAX);
	for (uint32_t i = 0; i < n_runs; i++) {
		CU_ASSERT_EQUAL(waited[i].received_us, CLOCK + 2 * (i + 1));
		n += waited[i].n;
	}
	CU_ASSERT_EQUAL(n, HR_WAITED_MAX + 100);
	CU_ASSERT_EQUAL(waited[n_runs - 1].n, 101);
}

static uint64_t seen[256];
static uint32_t n_seen;

static void keep(const struct hr_item *item)
{
	CU_ASSERT_TRUE(item->kind == HR_ITEM_SKIP ||
		       (item->flags & HR_ITEM_ORDERED) != 0);
	seen[n_seen++] = item->sequence | (item->kind == HR_ITEM_SKIP ? 1ull << 63 : 0);
}

static void commit_and_keep(void)
{
	n_seen = 0;
	close_open();
	while (accept_one(keep))
		;
}

static void what_comes_early_waits_for_what_is_missing(void)
{
	CU_ASSERT_EQUAL(data(1, 3), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_ACK);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_RECEIVED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 0);
	CU_ASSERT_EQUAL(reply.answer.parked, 4);
	CU_ASSERT_EQUAL(data(1, 2), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(reply.answer.kind, 0); /* 5 ms are not over */
	CU_ASSERT_EQUAL(data(1, 5), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 3);
	in_balance();
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 1);
	commit_and_keep();
	CU_ASSERT_EQUAL(n_seen, 3);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(seen[i], i + 1);
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.sequence, 3);
	CU_ASSERT_EQUAL(reply.answer.parked, 2);
	CU_ASSERT_EQUAL(data(1, 4), HR_OUTCOME_TAKEN);
	commit_and_keep();
	CU_ASSERT_EQUAL(n_seen, 2);
}

static void sixty_four_ahead_are_parked_and_no_more(void)
{
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(1, 65), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(1, 66), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_AHEAD);
	CU_ASSERT_EQUAL(data(1, 65), HR_OUTCOME_REPEATED);
	for (uint64_t i = 64; i >= 2; i--)
		CU_ASSERT_EQUAL(data(1, i), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 0);
	commit();
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.sequence, 65);
}

static void a_repeat_is_told_again_at_most_each_5_ms(void)
{
	data(1, 1);
	commit();
	due(&reply, 1);
	CU_ASSERT_EQUAL(data(1, 2), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(1, 2), HR_OUTCOME_REPEATED); /* tentative */
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_ACK);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_RECEIVED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 2);
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_REPEATED); /* in the log */
	CU_ASSERT_EQUAL(reply.answer.kind, 0);
	pass(5000);
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_REPEATED);
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_ACK);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_COMMITTED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 1);
	CU_ASSERT_EQUAL(reply.answer.parked, 1); /* 2 is held */
}

/* Between acceptance and the rest of fold the floors are up already. */
static void a_repeat_between_acceptance_and_the_rest_of_fold_is_one(void)
{
	struct hr_epoch *epoch;
	struct test_link *l;
	void *memory;

	for (uint64_t i = 1; i <= 3; i++)
		data(1, i);
	close_open();
	epoch = take_closed();
	CU_ASSERT_EQUAL(data(1, 2), HR_OUTCOME_REPEATED);
	l = test_chain_add_body(
		&chain, HR_BODY_EPOCH, now.clock_us,
		(struct hr_str){ hr_epoch_body(epoch), epoch->body_bytes });
	n_logged += epoch->n_items;
	atomic_fetch_add(&view.items_accepted, epoch->n_items);
	done_with(epoch);
	memory = aligned_alloc(64, (hr_out_bytes(&l->link) + 63) & ~(size_t)63);
	l->link.out = hr_out_init(memory, &l->link);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(fold, &l->link), 0);
	hr_streams_accepted(streams, &l->link, now.mono_us);
	/* Nothing is folded yet. */
	pass(6000);
	CU_ASSERT_EQUAL(data(1, 3), HR_OUTCOME_REPEATED);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_COMMITTED);
	CU_ASSERT_EQUAL(data(1, 4), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.sequence, 3);
	while (!hr_fold_step(fold, 1))
		;
	free(memory);
	l->link.out = NULL;
}

static void a_skip_goes_around_what_is_held(void)
{
	data(1, 1);
	data(1, 4);
	data(1, 6);
	data(1, 9);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 1, 7), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_ACK);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_RECEIVED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 7);
	CU_ASSERT_EQUAL(reply.answer.parked, 2); /* 9 */
	commit_and_keep();
	CU_ASSERT_EQUAL_FATAL(n_seen, 6);
	CU_ASSERT_EQUAL(seen[0], 1);
	CU_ASSERT_EQUAL(seen[1], 3 | 1ull << 63);
	CU_ASSERT_EQUAL(seen[2], 4);
	CU_ASSERT_EQUAL(seen[3], 5 | 1ull << 63);
	CU_ASSERT_EQUAL(seen[4], 6);
	CU_ASSERT_EQUAL(seen[5], 7 | 1ull << 63);
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.sequence, 7);
	/* What was given up and comes all the same is not taken. */
	CU_ASSERT_EQUAL(data(1, 5), HR_OUTCOME_REPEATED);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 1, 3), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_COMMITTED);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 1, UINT64_MAX), HR_OUTCOME_ANSWERED);
	commit();
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.sequence, UINT64_MAX);
}

/* ---- fences ---- */

static void nothing_tentative_outlives_a_fence(void)
{
	data(1, 1);
	commit();
	due(&reply, 1);
	for (uint64_t i = 2; i <= 5; i++)
		data(1, i);
	data(1, 9);
	data(2, 1);
	data(3, 7); /* a new stream of which only something parked is there */
	fence(10, 1);
	in_balance();
	CU_ASSERT_EQUAL(n_gone, 7);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 0);
	CU_ASSERT_EQUAL(hr_streams_count(streams), 1); /* the others are nowhere */
	/* What was tentative is taken again, under the new fence. */
	for (uint64_t i = 2; i <= 5; i++)
		CU_ASSERT_EQUAL(data(1, i), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_REPEATED);
	CU_ASSERT_EQUAL(data(2, 1), HR_OUTCOME_TAKEN);
	commit_and_keep();
	CU_ASSERT_EQUAL(n_seen, 5);
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.sequence, 5);
	CU_ASSERT_EQUAL(reply.answer.incarnation, 10);
}

static void another_fold_is_asked_anew(void)
{
	data(1, 1);
	commit();
	data(1, 2);
	data(1, 4);
	n_gone += hr_streams_set_fold(streams, fold);
	CU_ASSERT_EQUAL(hr_streams_count(streams), 0);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 0);
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_REPEATED);
	CU_ASSERT_EQUAL(data(1, 5), HR_OUTCOME_TAKEN); /* parked: 2 again, later */
}

/* ---- who may begin ---- */

static void birth_decides_about_unknown_streams(void)
{
	static const struct {
		uint64_t birth;
		enum hr_outcome outcome;
		enum hr_drop drop;
	} rows[] = {
		{ CLOCK, HR_OUTCOME_TAKEN, HR_DROP_NONE },
		{ CLOCK + 60 * SECOND, HR_OUTCOME_TAKEN, HR_DROP_NONE },
		{ CLOCK + 60 * SECOND + 1, HR_OUTCOME_DROP, HR_DROP_BIRTH_FUTURE },
		{ CLOCK - MAX_AGE - TTL, HR_OUTCOME_TAKEN, HR_DROP_NONE },
		{ CLOCK - MAX_AGE - TTL - 1, HR_OUTCOME_DROP, HR_DROP_EXPIRED },
		{ (CLOCK - MAX_AGE - TTL - 1) | HR_BIRTH_DISK_CLASS, HR_OUTCOME_TAKEN,
		  HR_DROP_NONE },
		{ (CLOCK - MAX_AGE - 7 * 86400 * SECOND - 1) | HR_BIRTH_DISK_CLASS,
		  HR_OUTCOME_DROP, HR_DROP_EXPIRED },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_question q = question(HR_KIND_DATA, rows[i].birth, i, 1);

		CU_ASSERT_EQUAL(put(&q), rows[i].outcome);
		CU_ASSERT_EQUAL(last.drop, rows[i].drop);
		CU_ASSERT_EQUAL(reply.answer.kind,
				rows[i].drop == HR_DROP_EXPIRED ? HR_KIND_EXPIRED : 0);
		q = question(HR_KIND_SKIP, rows[i].birth, i, 1);
		CU_ASSERT_EQUAL(put(&q) == HR_OUTCOME_ANSWERED,
				rows[i].drop == HR_DROP_NONE);
		q = question(HR_KIND_PROBE, rows[i].birth, i + 100, 0);
		CU_ASSERT_EQUAL(put(&q) == HR_OUTCOME_ANSWERED,
				rows[i].drop == HR_DROP_NONE);
	}
}

/* A known stream is never expired, however old; its floor is remembered without a
 * line. */
static void a_stream_that_left_the_table_stands_where_it_stood(void)
{
	hr_streams_free(streams);
	hr_fold_free(fold);
	free(closed);
	hr_epoch_pool_free(pool);
	test_chain_fini(&chain);
	make(4, 0); /* lines */
	for (uint64_t s = 1; s <= 12; s++) {
		CU_ASSERT_EQUAL(data(s, 1), HR_OUTCOME_TAKEN);
		CU_ASSERT_EQUAL(data(s, 2), HR_OUTCOME_TAKEN);
		commit();
		CU_ASSERT_EQUAL(due(&reply, 1), 1);
		CU_ASSERT_TRUE(hr_streams_count(streams) <= 4);
	}
	for (uint64_t s = 1; s <= 12; s++) {
		CU_ASSERT_EQUAL(ask(HR_KIND_PROBE, s, 2), HR_OUTCOME_ANSWERED);
		CU_ASSERT_EQUAL(reply.answer.sequence, 2);
		CU_ASSERT_EQUAL(data(s, 2), HR_OUTCOME_REPEATED);
		CU_ASSERT_EQUAL(reply.answer.sequence, 2);
	}
	/* Four that are alive: none of them gives way to a fifth. */
	for (uint64_t s = 1; s <= 4; s++)
		CU_ASSERT_EQUAL(data(s, 3), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(5, 3), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_NO_CREDIT);
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_BUSY);
	CU_ASSERT_EQUAL(reply.answer.reason, HR_BUSY_BUDGET);
	commit();
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(data(5, 3), HR_OUTCOME_TAKEN);
}

static void a_keys_share_of_streams_is_its_own(void)
{
	struct hr_question q;

	teardown();
	make(64, 3);
	for (uint64_t s = 1; s <= 3; s++)
		CU_ASSERT_EQUAL(data(s, 1), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(4, 1), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_STREAM_SHARE);
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_BUSY);
	CU_ASSERT_EQUAL(reply.answer.reason, HR_BUSY_STREAMS);
	/* Known ones go on, another key has its own. */
	CU_ASSERT_EQUAL(data(3, 2), HR_OUTCOME_TAKEN);
	q = question(HR_KIND_DATA, CLOCK, 4, 1);
	q.wire.key_id = KEY + 1;
	CU_ASSERT_EQUAL(put(&q), HR_OUTCOME_TAKEN);
	commit();
	CU_ASSERT_EQUAL(data(5, 1), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_STREAM_SHARE);
}

static void ask_as_other(uint8_t kind, uint64_t sequence)
{
	struct hr_question q = question(kind, CLOCK, 1, sequence);

	q.wire.key_id = KEY + 1;
	CU_ASSERT_EQUAL(put(&q), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_STREAM_KEY);
}

/* Refused, and told so or not. */
static void other_is_refused(uint8_t answer)
{
	static const uint8_t kinds[] = { HR_KIND_DATA, HR_KIND_SKIP, HR_KIND_PROBE };

	for (size_t k = 0; k < HR_COUNT(kinds); k++)
		for (uint64_t i = 1; i <= 70; i++) {
			if (kinds[k] == HR_KIND_PROBE && !now.may_ack)
				continue;
			ask_as_other(kinds[k], i);
			CU_ASSERT_EQUAL(reply.answer.kind, answer);
			if (answer != 0)
				CU_ASSERT_EQUAL(reply.answer.span_us, HR_EXPIRED_ANY);
		}
}

static void a_stream_is_its_keys_alone(void)
{
	struct hr_question q = question(HR_KIND_DATA, CLOCK, 1, 1);

	/* As long as nothing of it is in the log nobody can say whose it is. */
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(1, 3), HR_OUTCOME_TAKEN);
	other_is_refused(0);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 1);
	CU_ASSERT_EQUAL(data(1, 2), HR_OUTCOME_TAKEN);
	commit();
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(reply.answer.key_id, KEY);
	CU_ASSERT_EQUAL(reply.answer.sequence, 3);
	other_is_refused(HR_KIND_EXPIRED);
	now.may_ack = false;
	other_is_refused(0);
	now.may_ack = true;
	/* With something under way, and where the table knows nothing of it. */
	CU_ASSERT_EQUAL(data(1, 4), HR_OUTCOME_TAKEN);
	other_is_refused(HR_KIND_EXPIRED);
	commit();
	CU_ASSERT_EQUAL(due(&reply, 1), 1);
	CU_ASSERT_EQUAL(hr_streams_set_fold(streams, fold), 0);
	other_is_refused(HR_KIND_EXPIRED);
	CU_ASSERT_EQUAL(ask(HR_KIND_PROBE, 1, 4), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 4);
	/* What a fence ended before anything of it was accepted is whose who comes. */
	CU_ASSERT_EQUAL(data(2, 1), HR_OUTCOME_TAKEN);
	fence(11, 1);
	q.wire.random = 2;
	q.wire.key_id = KEY + 1;
	CU_ASSERT_EQUAL(put(&q), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(2, 1), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_STREAM_KEY);
}

/* A fence gives back what new streams had of their key's share. */
static void streams_that_a_fence_ended_use_no_share(void)
{
	teardown();
	make(64, 3);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint64_t s = 1; s <= 3; s++)
			CU_ASSERT_EQUAL(data(10 * round + s, s), HR_OUTCOME_TAKEN);
		fence(11 + round, 1 + round);
	}
}

/* ---- budget ---- */

static void fill(void)
{
	/* Stream 1 takes all that others may have. */
	struct hr_question q = question(HR_KIND_DATA, CLOCK, 1, 1);

	q.wire.payload.n = 1376;
	q.bytes = 1472;
	while (put(&q) == HR_OUTCOME_TAKEN)
		q.wire.sequence++;
	CU_ASSERT_EQUAL(last.drop, HR_DROP_NO_CREDIT);
	CU_ASSERT_EQUAL(reply.answer.credit, 0);
}

static void at_credit_0_the_next_of_a_stream_and_a_skip_still_get_in(void)
{
	CU_ASSERT_EQUAL(data(2, 4), HR_OUTCOME_TAKEN); /* parked */
	fill();
	CU_ASSERT_EQUAL(ask(HR_KIND_PROBE, 3, 0), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.credit, 0);
	CU_ASSERT_EQUAL(data(3, 2), HR_OUTCOME_DROP); /* ahead: no credit */
	CU_ASSERT_EQUAL(last.drop, HR_DROP_NO_CREDIT);
	CU_ASSERT_EQUAL(data(3, 1), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 2, 3), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 4, 3), HR_OUTCOME_ANSWERED);
}

static void parking_fills_the_arena_and_the_next_still_gets_in(void)
{
	uint32_t n = 0;
	uint64_t s = 1;

	do {
		for (uint64_t i = 2; i <= 40 && data(s, i) == HR_OUTCOME_TAKEN; i++)
			n++;
		s++;
	} while (last.outcome == HR_OUTCOME_TAKEN && s < 64);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_NO_CREDIT);
	CU_ASSERT_TRUE(n > 500 && n == hr_streams_parked(streams));
	in_balance();
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), n - 39);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 2, 1), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), n - 78);
}

static void what_is_parked_and_stale_gives_way(void)
{
	CU_ASSERT_EQUAL(data(1, 3), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(data(2, 3), HR_OUTCOME_TAKEN);
	pass(HR_PARKED_STALE_US - SECOND);
	CU_ASSERT_EQUAL(data(2, 4), HR_OUTCOME_TAKEN);
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(hr_streams_step(streams, now.mono_us), 0);
	pass(SECOND);
	for (uint32_t i = 0; i < 2; i++)
		n_gone += hr_streams_step(streams, now.mono_us);
	CU_ASSERT_EQUAL(n_gone, 1);
	CU_ASSERT_EQUAL(hr_streams_parked(streams), 2);
	CU_ASSERT_EQUAL(hr_streams_count(streams), 1); /* the other is nowhere */
}

static void nothing_is_promised_that_does_not_fit(void)
{
	fill();
	for (uint64_t s = 10; s < 60; s++) {
		struct hr_question q = question(HR_KIND_DATA, CLOCK, s, 1);

		q.wire.payload.n = 1376;
		while (put(&q) == HR_OUTCOME_TAKEN && q.wire.random < 2000)
			q.wire.random += 64;
	}
	CU_ASSERT_TRUE(last.drop == HR_DROP_EPOCH_FULL ||
		       last.drop == HR_DROP_STREAM_SHARE);
	in_balance();
	commit();
}

/* ---- what may be told, and by whom ---- */

static void nothing_is_told_while_it_may_not(void)
{
	data(1, 1);
	commit();
	now.may_ack = false;
	CU_ASSERT_EQUAL(due(&reply, 1), 0);
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_REPEATED);
	CU_ASSERT_EQUAL(reply.answer.kind, 0);
	CU_ASSERT_EQUAL(data(1, 2), HR_OUTCOME_TAKEN);
	CU_ASSERT_EQUAL(ask(HR_KIND_PROBE, 1, 2), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_NOT_READY);
	CU_ASSERT_EQUAL(ask(HR_KIND_SKIP, 1, 2), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.kind, 0);
	now.may_ack = true;
	CU_ASSERT_EQUAL(due(&reply, 1), 1); /* it was not lost */
	CU_ASSERT_EQUAL(reply.answer.sequence, 1);
}

static void whoever_does_not_own_the_shard_keeps_nothing_and_says_who_does(void)
{
	static const uint8_t kinds[] = { HR_KIND_DATA, HR_KIND_PROBE, HR_KIND_SKIP };

	now.state = HR_SHARD_FENCED;
	now.may_ack = false;
	now.incarnation = 12;
	now.addresses = HR_STR("10.0.0.9:7400");
	for (size_t i = 0; i < HR_COUNT(kinds); i++) {
		CU_ASSERT_EQUAL(ask(kinds[i], 1, 1), HR_OUTCOME_DROP);
		CU_ASSERT_EQUAL(last.drop, HR_DROP_NOT_OWNER);
		CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_NOT_OWNER);
		CU_ASSERT_EQUAL(reply.answer.incarnation, 12);
		CU_ASSERT_EQUAL(reply.answer.n_shards, 5);
		CU_ASSERT_EQUAL(reply.answer.generation, 1);
	}
	CU_ASSERT_EQUAL(hr_streams_count(streams), 0);
	now.state = HR_SHARD_STARTING;
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_NOT_READY);
	now.state = HR_SHARD_STOPPED;
	CU_ASSERT_EQUAL(data(1, 1), HR_OUTCOME_DROP);
	CU_ASSERT_EQUAL(last.drop, HR_DROP_STOPPED);
}

static void a_probe_sees_and_changes_nothing(void)
{
	data(1, 1);
	commit();
	due(&reply, 1);
	data(1, 2);
	data(1, 5);
	CU_ASSERT_EQUAL(ask(HR_KIND_PROBE, 1, 5), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.kind, HR_KIND_PROBE_ANSWER);
	CU_ASSERT_EQUAL(reply.answer.meaning, HR_ACK_COMMITTED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 1);
	CU_ASSERT_EQUAL(reply.answer.parked, 9); /* 2 and 5 */
	CU_ASSERT_EQUAL(reply.answer.token, 555);
	CU_ASSERT_EQUAL(reply.answer.server_us, CLOCK);
	CU_ASSERT_EQUAL(reply.answer.echo_us, 1234);
	CU_ASSERT_EQUAL(ask(HR_KIND_PROBE, 77, 0), HR_OUTCOME_ANSWERED);
	CU_ASSERT_EQUAL(reply.answer.sequence, 0);
	CU_ASSERT_EQUAL(hr_streams_count(streams), 1);
}

/* ACKs are never more bytes than were asked with. */
static void acks_are_never_more_than_was_asked(void)
{
	struct hr_question q = question(HR_KIND_DATA, CLOCK, 1, 1);
	uint64_t asked = 0, told = 0;

	q.wire.payload.n = 8; /* smaller than an ACK */
	q.bytes = 104;
	for (; q.wire.sequence <= 200; q.wire.sequence++) {
		CU_ASSERT_EQUAL(put(&q), HR_OUTCOME_TAKEN);
		asked += q.bytes;
		commit();
		if (due(&reply, 1) == 1) {
			uint8_t out[HR_ANSWER_MAX];

			told += hr_answer_encode(&reply.answer, write_key, 1, out);
		}
		CU_ASSERT_TRUE(told <= asked);
	}
	CU_ASSERT_TRUE(told > asked / 2);
}

/* ---- at random ---- */

#define SENDERS 5u
#define NUMBERS 400u
#define WIRE 64u

static struct sender {
	uint64_t floor;   /* told as committed */
	uint64_t logged;  /* what the links say: the slow model */
	uint64_t skipped; /* it gave up to here */
	uint64_t sent;
} senders[SENDERS];

static struct test_random rnd;
static struct hr_question wire[WIRE];
static uint32_t n_wire;
static uint64_t incarnation;
static uint32_t fences;

static void model(const struct hr_item *item)
{
	struct sender *s = &senders[item->random];

	if (item->kind == HR_ITEM_DATAGRAM) {
		/* In order, once, without a hole. */
		CU_ASSERT_EQUAL(item->sequence, s->logged + 1);
	} else {
		CU_ASSERT_TRUE(item->sequence > s->logged);
		CU_ASSERT_TRUE(item->sequence <= s->skipped);
	}
	s->logged = item->sequence;
}

static void hear_answer(void)
{
	const struct hr_answer *a = &reply.answer;
	struct sender *s = &senders[a->random];

	if (a->kind != HR_KIND_ACK && a->kind != HR_KIND_PROBE_ANSWER)
		return;
	CU_ASSERT_EQUAL(a->incarnation, incarnation);
	if (a->meaning != HR_ACK_COMMITTED)
		return;
	CU_ASSERT_TRUE(a->sequence <= s->logged);
	CU_ASSERT_TRUE(a->sequence >= s->floor || s->floor <= s->logged);
	if (a->sequence > s->floor)
		s->floor = a->sequence;
}

static void send(uint8_t kind, uint32_t who, uint64_t sequence)
{
	if (n_wire < WIRE)
		wire[n_wire++] = question(kind, CLOCK, who, sequence);
}

/* Something from the middle of the wire arrives; it may stay there to come again. */
static void arrive(void)
{
	const uint32_t i = n_wire > 0 ? test_below(&rnd, n_wire) : 0;

	if (n_wire == 0)
		return;
	put(&wire[i]);
	hear_answer();
	if (test_below(&rnd, 4) != 0)
		wire[i] = wire[--n_wire];
}

static void send_something(uint32_t who)
{
	struct sender *s = &senders[who];

	if (test_below(&rnd, 60) == 0 && s->sent > s->floor) {
		s->skipped = s->sent;
		send(HR_KIND_SKIP, who, s->sent);
	} else if (test_below(&rnd, 20) == 0) {
		send(HR_KIND_PROBE, who, s->sent);
	} else if (s->sent > s->floor && test_below(&rnd, 3) == 0) {
		send(HR_KIND_DATA, who,
		     s->floor + 1 + test_below(&rnd, (uint32_t)(s->sent - s->floor)));
	} else if (s->sent < NUMBERS && s->sent < s->floor + 90) {
		send(HR_KIND_DATA, who, ++s->sent);
	}
}

static void random_step(void)
{
	switch (test_below(&rnd, 40)) {
	case 0:
		fence(++incarnation, ++fences);
		break;
	case 1:
	case 2:
		close_open();
		break;
	case 3:
	case 4:
	case 5:
		accept_one(model);
		break;
	case 6:
		while (due(&reply, 1) == 1)
			if (test_below(&rnd, 3) != 0)
				hear_answer();
		break;
	case 7:
		n_gone += hr_streams_step(streams, now.mono_us);
		break;
	case 8:
		now.may_ack = test_below(&rnd, 4) != 0;
		break;
	case 9:
		n_wire -= n_wire > 0; /* lost */
		break;
	default:
		send_something(test_below(&rnd, SENDERS));
		arrive();
		pass(test_below(&rnd, 3000));
	}
	in_balance();
}

/* No more faults: whoever still has something sends it until it is told. */
static bool settle(void)
{
	bool all = true;

	now.may_ack = true;
	for (uint32_t i = 0; i < SENDERS; i++) {
		struct sender *s = &senders[i];

		for (uint64_t n = s->floor + 1; n <= s->sent && n < s->floor + 60;
		     n++) {
			ask(HR_KIND_DATA, i, n);
			hear_answer();
		}
		all &= s->floor == s->sent;
	}
	close_open();
	while (accept_one(model))
		;
	while (due(&reply, 1) == 1)
		hear_answer();
	pass(20000);
	return all;
}

static void whatever_happens_streams_are_logged_in_order_and_once(void)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		uint32_t rounds = 0;

		teardown();
		make(seed % 2 == 0 ? 3 : 64, 0); /* fewer lines than senders, too */
		memset(senders, 0, sizeof(senders));
		rnd.state = seed * 0x9e3779b97f4a7c15ull;
		n_wire = 0;
		incarnation = 9;
		fences = 0;
		for (uint32_t i = 0; i < 6000; i++)
			random_step();
		while (!settle() && rounds < 400)
			rounds++;
		CU_ASSERT_TRUE(rounds < 400);
		for (uint32_t i = 0; i < SENDERS; i++) {
			CU_ASSERT_EQUAL(senders[i].logged, senders[i].sent);
			CU_ASSERT_TRUE(senders[i].sent > 20);
		}
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what comes in order is committed and told",
		  what_comes_in_order_is_committed_and_told },
		{ "how long each waited is known once its ACK is out",
		  how_long_each_waited_is_known_once_its_ack_is_out },
		{ "of more moments than are kept the oldest counts",
		  of_more_moments_than_are_kept_the_oldest_counts },
		{ "what comes early waits for what is missing",
		  what_comes_early_waits_for_what_is_missing },
		{ "sixty-four ahead are parked and no more",
		  sixty_four_ahead_are_parked_and_no_more },
		{ "a repeat is told again at most each 5 ms",
		  a_repeat_is_told_again_at_most_each_5_ms },
		{ "a repeat between acceptance and the rest of fold is one",
		  a_repeat_between_acceptance_and_the_rest_of_fold_is_one },
		{ "a SKIP goes around what is held", a_skip_goes_around_what_is_held },
		{ "nothing tentative outlives a fence",
		  nothing_tentative_outlives_a_fence },
		{ "another fold is asked anew", another_fold_is_asked_anew },
		{ "birth decides about unknown streams",
		  birth_decides_about_unknown_streams },
		{ "a stream that left the table stands where it stood",
		  a_stream_that_left_the_table_stands_where_it_stood },
		{ "a key's share of streams is its own",
		  a_keys_share_of_streams_is_its_own },
		{ "a stream is its key's alone", a_stream_is_its_keys_alone },
		{ "streams that a fence ended use no share",
		  streams_that_a_fence_ended_use_no_share },
		{ "at credit 0 the next of a stream and a SKIP still get in",
		  at_credit_0_the_next_of_a_stream_and_a_skip_still_get_in },
		{ "parking fills the arena and the next still gets in",
		  parking_fills_the_arena_and_the_next_still_gets_in },
		{ "what is parked and stale gives way",
		  what_is_parked_and_stale_gives_way },
		{ "nothing is promised that does not fit",
		  nothing_is_promised_that_does_not_fit },
		{ "nothing is told while it may not",
		  nothing_is_told_while_it_may_not },
		{ "whoever does not own the shard keeps nothing and says who does",
		  whoever_does_not_own_the_shard_keeps_nothing_and_says_who_does },
		{ "a PROBE sees and changes nothing",
		  a_probe_sees_and_changes_nothing },
		{ "ACKs are never more than was asked",
		  acks_are_never_more_than_was_asked },
		{ "whatever happens, streams are logged in order and once",
		  whatever_happens_streams_are_logged_in_order_and_once },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("streams", setup, teardown, tests);
}
