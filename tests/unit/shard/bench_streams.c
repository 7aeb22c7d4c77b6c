/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What an acknowledged stream costs a datagram, without packets, tags and tokens:
 *
 *   intake   hr_intake_add() alone, as with the handshake off
 *   streams  hr_streams_take() of the next in order, intake and prefetch included
 *   told     hr_streams_accepted() and hr_streams_due(), shared by a link's datagrams
 *
 * Figures are this machine's; nothing is judged.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "common/clock.h"
#include "dataplane/shard/ring.h"
#include "dataplane/shard/streams.h"
#include "tests/unit/fold/chain.h"

#define CLOCK 1700000000000000ull
#define STREAMS 20000u
#define BURST 32u
#define DATAGRAMS 2000000u
#define PAYLOAD 512u

static struct hr_epoch_pool *pool;
static struct hr_shard_view view;
static struct rte_ring *closed;
static struct hr_intake intake;
static uint64_t closed_us;
static struct hr_fold *fold;
static struct hr_streams *streams;
static struct test_chain chain;
static struct hr_streams_now now = {
	.mono_us = 1000000, .clock_us = CLOCK, .state = HR_SHARD_READY, .may_ack = true
};
static uint64_t next[STREAMS];
static uint64_t told_ns, n_told;

static void fold_link(struct test_link *l)
{
	struct hr_link *link = &l->link;
	void *memory = aligned_alloc(64, (hr_out_bytes(link) + 63) & ~(size_t)63);
	struct hr_reply replies[BURST];
	uint64_t at_us;
	uint32_t n;

	link->out = hr_out_init(memory, link);
	if (hr_fold_begin(fold, link) < 0)
		abort();
	at_us = hr_mono_us();
	hr_streams_accepted(streams, link, now.mono_us);
	while ((n = hr_streams_due(streams, &now, replies, BURST)) > 0)
		n_told += n;
	told_ns += (hr_mono_us() - at_us) * 1000;
	while (!hr_fold_step(fold, 1000))
		;
	free(memory);
	link->out = NULL;
}

static void make(void)
{
	struct hr_chain_config config = test_config(1000000, 65536, 3600000000);
	struct hr_streams_conf conf = {
		.intake = &intake, .shard = 1, .max_streams = 65536, .seed = 5
	};
	struct hr_err err;

	atomic_store(&view.state, HR_SHARD_READY);
	if (hr_epoch_pool_new(&pool, 5, 8, &err) < 0)
		abort();
	closed = hr_ring_new(40);
	intake = (struct hr_intake){ .pool = pool,
				     .closed_ring = closed,
				     .closed_us = &closed_us,
				     .view = &view,
				     .shard = 1,
				     .reserve = 1,
				     .max_events = 1000000 };
	test_chain_init(&chain, 1, 5);
	if (hr_fold_new(&fold, &chain.set, 1, 65536) < 0)
		abort();
	conf.fold = fold;
	config.setting[HR_CHAIN_TTL_MEMORY_US] = 600000000;
	if (hr_streams_new(&streams, &conf, &err) < 0)
		abort();
	fold_link(test_chain_add_config(&chain, CLOCK, &config));
}

/* Outside of what is measured. */
static void commit(bool folds)
{
	void *got;

	hr_intake_step(&intake, now.mono_us, 0, true);
	while (rte_ring_dequeue(closed, &got) == 0) {
		struct hr_epoch *epoch = got;
		const struct hr_str body = { hr_epoch_body(epoch), epoch->body_bytes };

		if (folds)
			fold_link(test_chain_add_body(&chain, HR_BODY_EPOCH, CLOCK,
						      body));
		hr_epoch_put(pool, epoch);
	}
}

static const uint8_t payload[PAYLOAD];

static double bench_intake(void)
{
	struct hr_item item = { .kind = HR_ITEM_DATAGRAM,
				.codec = 2,
				.n_events = 1,
				.payload = { payload, PAYLOAD } };
	uint64_t ns = 0;

	for (uint32_t i = 0; i < DATAGRAMS; i += 1024) {
		const uint64_t at_us = hr_mono_us();

		for (uint32_t k = 0; k < 1024; k++)
			if (hr_intake_add(&intake, &item, 1) != HR_DROP_NONE)
				abort();
		ns += (hr_mono_us() - at_us) * 1000;
		commit(false);
	}
	return (double)ns / DATAGRAMS;
}

static void ask_burst(struct hr_question *q, uint32_t first)
{
	struct hr_reply reply;
	uint32_t hashes[BURST], at[BURST];

	for (uint32_t i = 0; i < BURST; i++) {
		at[i] = (first + i) * 7919u % STREAMS;
		hashes[i] = hr_streams_hash(streams, CLOCK, at[i]);
		hr_streams_prefetch_slot(streams, hashes[i]);
	}
	for (uint32_t i = 0; i < BURST; i++)
		hr_streams_prefetch_line(streams, hashes[i]);
	for (uint32_t i = 0; i < BURST; i++) {
		q->wire.random = at[i];
		q->wire.sequence = ++next[at[i]];
		if (hr_streams_take(streams, q, &now, &reply).outcome !=
		    HR_OUTCOME_TAKEN)
			abort();
	}
}

static double bench_streams(uint32_t n)
{
	const struct hr_way way = { .net = { .family = 4 } };
	struct hr_question q = {
		.wire = { .kind = HR_KIND_DATA,
			  .codec = 2,
			  .n_events = 1,
			  .birth = CLOCK,
			  .payload = { payload, PAYLOAD } },
		.bytes = 96 + PAYLOAD,
		.from = { .family = 4 },
		.way = &way,
	};
	uint64_t ns = 0;

	told_ns = n_told = 0;
	for (uint32_t i = 0; i < n; i += 1024) {
		const uint64_t at_us = hr_mono_us();

		for (uint32_t k = 0; k < 1024; k += BURST)
			ask_burst(&q, i + k);
		ns += (hr_mono_us() - at_us) * 1000;
		commit(true);
	}
	return (double)ns / n;
}

int main(void)
{
	const uint32_t n = 102400;

	make();
	printf("intake  %6.1f ns a datagram\n", bench_intake());
	bench_streams(20480); /* every stream has its line */
	printf("streams %6.1f ns a datagram, %u streams\n", bench_streams(n), STREAMS);
	printf("told    %6.1f ns a datagram, %.2f ACKs a datagram\n",
	       (double)told_ns / n, (double)n_told / n);
	return 0;
}
