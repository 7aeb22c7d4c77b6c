/* SPDX-License-Identifier: BSD-3-Clause */

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "common/wire.h"
#include "dataplane/shard/ring.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/shard/world.h"

#define MBUFS 4096u

static const uint8_t write_key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

/* EAL's files in a folder of their own: two tests run side by side, and the default is
 * one folder a machine for root. */
static char eal_folder[] = "/tmp/headrace-test.XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int flag,
			struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

static void eal_end(void)
{
	rte_eal_cleanup();
	nftw(eal_folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void world_eal(void)
{
	char *argv[] = { (char *)"test",
			 (char *)"--no-huge",
			 (char *)"--no-pci",
			 (char *)"-m",
			 (char *)"64",
			 (char *)"-l",
			 (char *)"0",
			 (char *)"--no-telemetry",
			 (char *)"--log-level",
			 (char *)"lib.*:error",
			 NULL };
	int argc = (int)HR_COUNT(argv) - 1;

	if (mkdtemp(eal_folder) == NULL ||
	    setenv("RUNTIME_DIRECTORY", eal_folder, 1) < 0 ||
	    rte_eal_init(argc, argv) < 0)
		abort();
	atexit(eal_end);
}

static void make_shards(struct world *w)
{
	for (uint16_t s = 0; s < WORLD_SHARDS; s++) {
		w->worker_of_shard[s] = (uint8_t)(s % w->n_workers);
		memset(&w->views[s], 0, sizeof(w->views[s]));
		atomic_store(&w->views[s].state, HR_SHARD_READY);
		w->intakes[s] = (struct hr_intake){
			.pool = w->pool,
			.closed_ring = w->closed[w->worker_of_shard[s]],
			.closed_us = &w->closed_us[w->worker_of_shard[s]],
			.view = &w->views[s],
			.shard = s,
			.max_events = 65536,
		};
	}
}

static void fold_link(struct world *w, uint16_t shard, struct test_link *l)
{
	struct hr_link *link = &l->link;
	void *memory = aligned_alloc(64, (hr_out_bytes(link) + 63) & ~(size_t)63);

	link->out = hr_out_init(memory, link);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(w->folds[shard], link), 0);
	hr_streams_accepted(w->seats[shard].streams, link, w->now.mono_us);
	while (!hr_fold_step(w->folds[shard], 1000))
		;
	free(memory);
	link->out = NULL;
}

static void make_seat(struct world *w, uint16_t s)
{
	struct hr_chain_config config = test_config(65536, 1024, 3600000000);
	struct hr_streams_conf conf = {
		.intake = &w->intakes[s], .shard = s, .max_streams = 256, .seed = 5
	};
	struct hr_err err;

	config.setting[HR_CHAIN_TTL_MEMORY_US] = 600000000;
	test_chain_init(&w->chains[s], s, WORLD_SHARDS);
	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&w->folds[s], &w->chains[s].set, s, 1024), 0);
	conf.fold = w->seats[s].fold = w->folds[s];
	CU_ASSERT_EQUAL_FATAL(hr_streams_new(&w->seats[s].streams, &conf, &err), 0);
	w->intakes[s].reserve = 1;
	atomic_store(&w->views[s].clock_offset_us,
		     (int64_t)(WORLD_CLOCK - w->now.mono_us));
	atomic_store(&w->views[s].may_ack, true);
	fold_link(w, s, test_chain_add_config(&w->chains[s], WORLD_CLOCK, &config));
	hr_streams_fence(w->seats[s].streams, 1);
}

static void end_seat(struct world *w, uint16_t s)
{
	hr_streams_free(w->seats[s].streams);
	hr_fold_free(w->folds[s]);
	test_chain_fini(&w->chains[s]);
}

void world_fence(struct world *w, uint16_t shard, uint64_t incarnation,
		 uint32_t fence_no)
{
	uint32_t n = hr_streams_fence(w->seats[shard].streams, incarnation);

	n += hr_intake_fence(&w->intakes[shard], fence_no);
	hr_receive_dropped(w->receives[w->worker_of_shard[shard]], HR_DROP_FENCED, n);
}

static void make_receive(struct world *w, uint32_t id, bool insecure)
{
	struct hr_receive_conf conf = {
		.worker = id,
		.n_workers = w->n_workers,
		.worker_of_shard = w->worker_of_shard,
		.rules = { w->keys, 1, WORLD_SHARDS, insecure },
		.udp_ports = &w->ports,
		.barred = &w->barred,
		.intakes = w->intakes,
		.queues = { &w->queues[id] },
		.n_queues = 1,
		.stats = w->stats,
		.seats = w->asks ? w->seats : NULL,
		.secret = { 9 },
	};
	struct hr_err err;

	for (uint32_t other = 0; other < w->n_workers; other++) {
		conf.from[other] = w->handover[other][id];
		conf.to[other] = w->handover[id][other];
	}
	CU_ASSERT_EQUAL_FATAL(hr_receive_new(&w->receives[id], &conf, &err), 0);
}

static void make(struct world *w, uint32_t n_workers, uint32_t per_shard,
		 uint32_t handover_slots, bool insecure, bool is_lossless, bool asks)
{
	static unsigned int number;
	const struct hr_write_key keys[] = {
		{ WORLD_KEY, { 1, 2, 3, 4, 5, 6, 7, 8, 9 } },
		{ WORLD_KEY_2, { 2, 4, 6, 8 } },
	};
	char name[64];
	struct hr_err err;

	memset(w, 0, sizeof(*w));
	w->n_workers = n_workers;
	w->asks = asks;
	w->now = (struct hr_now){ 1000000, 2000000 };
	snprintf(name, sizeof(name), "/tmp/headrace-test-stats.%d.%u", getpid(),
		 number++);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&w->stats, name, &err), 0);
	snprintf(name, sizeof(name), "mbufs%u", number);
	w->mbufs =
		rte_pktmbuf_pool_create(name, MBUFS, 0, 0, 2048 + 128, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->mbufs);
	CU_ASSERT_EQUAL_FATAL(
		hr_epoch_pool_new(&w->pool, WORLD_SHARDS, per_shard, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_keyring_new(&w->keys, keys, 2, &err), 0);
	hr_net_ports_add(&w->ports, 7400);
	for (uint32_t i = 0; i < n_workers; i++) {
		w->closed[i] = hr_ring_new(WORLD_SHARDS * per_shard);
		w->queues[i].pool = w->mbufs;
		w->queues[i].is_lossless = is_lossless;
		for (uint32_t to = 0; to < n_workers; to++)
			if (to != i)
				w->handover[i][to] = hr_ring_new(handover_slots);
	}
	make_shards(w);
	for (uint16_t s = 0; asks && s < WORLD_SHARDS; s++)
		make_seat(w, s);
	for (uint32_t i = 0; i < n_workers; i++)
		make_receive(w, i, insecure);
	CU_ASSERT_EQUAL_FATAL(hr_stats_publish(w->stats, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&w->reader, w->stats), 0);
}

void world_make(struct world *w, uint32_t n_workers, uint32_t per_shard,
		uint32_t handover_slots, bool insecure)
{
	make(w, n_workers, per_shard, handover_slots, insecure, false, false);
}

void world_make_lossless(struct world *w, uint32_t n_workers, uint32_t per_shard,
			 uint32_t handover_slots, bool insecure)
{
	make(w, n_workers, per_shard, handover_slots, insecure, true, false);
}

void world_make_asked(struct world *w, uint32_t n_workers, uint32_t per_shard,
		      uint32_t handover_slots)
{
	make(w, n_workers, per_shard, handover_slots, true, false, true);
}

void world_end(struct world *w)
{
	const struct hr_now now = { 1, 1 };

	for (uint32_t i = 0; i < w->n_workers; i++)
		hr_receive_end_queues(w->receives[i], &now);
	for (uint32_t i = 0; i < w->n_workers; i++)
		hr_receive_end_rings(w->receives[i], &now);
	for (uint16_t s = 0; s < WORLD_SHARDS; s++)
		hr_intake_step(&w->intakes[s], 1, 0, true);
	world_commit(w);
	CU_ASSERT_TRUE(world_is_balanced(w));
	for (uint16_t s = 0; s < WORLD_SHARDS; s++) {
		CU_ASSERT_EQUAL(hr_intake_in_flight(&w->intakes[s]), 0);
		CU_ASSERT_EQUAL(hr_intake_fini(&w->intakes[s]), 0);
	}
	for (uint16_t s = 0; w->asks && s < WORLD_SHARDS; s++)
		end_seat(w, s);
	hr_epoch_pool_free(w->pool);
	for (uint32_t i = 0; i < w->n_workers; i++)
		hr_receive_free(w->receives[i]);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(w->mbufs), MBUFS);
	for (uint32_t i = 0; i < w->n_workers; i++) {
		free(w->closed[i]);
		for (uint32_t to = 0; to < w->n_workers; to++)
			free(w->handover[i][to]);
		for (uint32_t f = 0; f < w->queues[i].n; f++)
			free((void *)w->queues[i].frames[f]);
	}
	hr_keyring_free(w->keys);
	hr_stats_close(w->reader);
	hr_stats_free(w->stats);
	rte_mempool_free(w->mbufs);
}

void world_frame(struct world *w, uint32_t queue, const void *payload, uint32_t n)
{
	struct hr_rxq *q = &w->queues[queue];
	struct hr_headers headers;
	uint8_t *frame = malloc(HR_HEADERS_MAX + n);

	CU_ASSERT_EQUAL_FATAL(
		hr_headers_init(&headers, "10.1.0.2", 40000, "10.1.0.1", 7400), 0);
	memcpy(frame + hr_headers_bytes(&headers), payload, n);
	q->frames[q->n] = frame;
	q->bytes[q->n++] = hr_headers_write(&headers, frame, n);
}

void world_datagram(struct world *w, uint32_t queue, uint16_t shard, uint64_t sequence,
		    uint16_t n_events)
{
	uint8_t payload[1024], datagram[1472], key[HR_WIRE_KEY_BYTES];
	struct hr_wire wire = {
		.kind = HR_KIND_DATA,
		.suite = HR_SUITE_SIPHASH,
		.codec = HR_CODEC_JSON,
		.shard = shard,
		.n_shards = WORLD_SHARDS,
		.n_events = n_events,
		.generation = 1,
		.key_id = WORLD_KEY,
		.birth = 1,
		.random = queue,
		.sequence = sequence,
		.payload = { payload, 0 },
	};

	for (uint16_t i = 0; i < n_events; i++)
		wire.payload.n += (uint32_t)sprintf((char *)payload + wire.payload.n,
						    "{\"user_id\":\"u%u\"}\n", i);
	hr_wire_stream_key(write_key, wire.birth, wire.random, key);
	world_frame(w, queue, datagram, (uint32_t)hr_wire_encode(&wire, key, datagram));
}

bool world_turn(struct world *w, uint32_t worker)
{
	const struct hr_now now = w->now;
	bool any = hr_receive_poll(w->receives[worker], &now) > 0;

	any |= hr_receive_take_over(w->receives[worker], &now) > 0;
	for (uint16_t s = 0; s < WORLD_SHARDS; s++)
		if (w->worker_of_shard[s] == worker)
			any |= hr_intake_step(&w->intakes[s], now.mono_us, 0, false);
	for (uint16_t s = 0; w->asks && s < WORLD_SHARDS; s++)
		if (w->worker_of_shard[s] == worker)
			hr_receive_tell(w->receives[worker], s, &now);
	hr_receive_flush(w->receives[worker]);
	for (uint16_t s = 0; w->asks && s < WORLD_SHARDS; s++)
		if (w->worker_of_shard[s] == worker)
			hr_receive_observe(w->receives[worker], s, now.wall_us);
	return any;
}

static void commit_epoch(struct world *w, struct hr_epoch *epoch)
{
	const struct hr_str body = { hr_epoch_body(epoch), epoch->body_bytes };
	struct hr_item item;
	uint32_t cursor = 0, n_items = 0;

	while (hr_item_next(body, &cursor, &item) == 1) {
		n_items += item.kind != HR_ITEM_SKIP;
		w->n_events += item.n_events;
		if (w->on_item != NULL)
			w->on_item(w, epoch->shard, &item);
	}
	CU_ASSERT_EQUAL(n_items, epoch->n_items);
	w->n_items += n_items;
	atomic_fetch_add(&w->views[epoch->shard].items_accepted, n_items);
	if (w->asks)
		fold_link(w, epoch->shard,
			  test_chain_add_body(&w->chains[epoch->shard], HR_BODY_EPOCH,
					      WORLD_CLOCK + w->now.mono_us, body));
	hr_epoch_put(w->pool, epoch);
	atomic_fetch_add(&w->views[epoch->shard].epochs_done, 1);
}

bool world_commit(struct world *w)
{
	const uint64_t before = w->n_items;
	void *epoch;

	for (uint32_t i = 0; i < w->n_workers; i++)
		while (rte_ring_dequeue(w->closed[i], &epoch) == 0)
			commit_epoch(w, epoch);
	return w->n_items != before;
}

void world_settle(struct world *w)
{
	bool any;

	do {
		any = false;
		for (uint32_t i = 0; i < w->n_workers; i++)
			any |= world_turn(w, i);
		any |= world_commit(w);
	} while (any);
}

uint64_t world_sum(const struct world *w, const char *name, const char *label)
{
	return hr_stats_sum(w->reader, name, label);
}

uint64_t world_drops(const struct world *w, enum hr_drop drop)
{
	char label[64];

	snprintf(label, sizeof(label), "reason=\"%s\"", hr_drop_rows[drop].label);
	return world_sum(w, "headrace_datagrams_refused_total", label) +
	       world_sum(w, "headrace_datagrams_dropped_total", label);
}

bool world_is_balanced(const struct world *w)
{
	uint64_t taken = 0;

	for (uint16_t s = 0; s < WORLD_SHARDS; s++)
		taken += w->intakes[s].n_items - w->intakes[s].n_dropped +
			 (w->asks ? hr_streams_parked(w->seats[s].streams) : 0);
	return world_sum(w, "headrace_datagrams_received_total", "") +
		       world_sum(w, "headrace_datagrams_split_total", "") ==
	       taken + world_sum(w, "headrace_datagrams_refused_total", "") +
		       world_sum(w, "headrace_datagrams_answered_total", "") +
		       world_sum(w, "headrace_datagrams_repeated_total", "") +
		       world_sum(w, "headrace_datagrams_dropped_total", "");
}
