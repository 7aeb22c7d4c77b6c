/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_WORLD_H
#define HR_TEST_WORLD_H

/*
 * world - workers with real receive paths and intakes, queues out of memory, and the
 * test in the committer's place. Whatever a test does, at its end law 1 must hold and
 * every mbuf and every epoch must be back.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "dataplane/net/headers.h"
#include "dataplane/shard/receive.h"
#include "tests/fake/rxq.h"
#include "tests/unit/fold/chain.h"

#define WORLD_SHARDS 5u
#define WORLD_WORKERS 2u
#define WORLD_KEY 7u
#define WORLD_KEY_2 8u                  /* another sender's */
#define WORLD_CLOCK 1700000000000000ull /* record time at the beginning */

struct world {
	struct hr_stats *stats;
	struct hr_stats_reader *reader;
	struct rte_mempool *mbufs;
	struct hr_epoch_pool *pool;
	struct hr_keyring *keys;
	struct hr_net_ports ports;
	uint32_t n_workers;
	uint8_t worker_of_shard[WORLD_SHARDS];
	struct hr_intake intakes[WORLD_SHARDS];
	uint64_t closed_us[WORLD_WORKERS]; /* as each worker has it */
	struct hr_shard_view views[WORLD_SHARDS];
	struct rte_ring *closed[WORLD_WORKERS];
	struct rte_ring *handover[WORLD_WORKERS][WORLD_WORKERS];
	struct hr_rxq queues[WORLD_WORKERS]; /* one a worker */
	struct hr_receive *receives[WORLD_WORKERS];
	/* What the committer saw. */
	uint64_t n_items, n_events;
	/* Where SDKs are acknowledged. */
	bool asks;
	struct hr_barred barred; /* empty, until the test fills it */
	struct hr_seat seats[WORLD_SHARDS];
	struct hr_fold *folds[WORLD_SHARDS];
	struct test_chain chains[WORLD_SHARDS];
	struct hr_now now; /* of all turns */
	void (*on_item)(struct world *w, uint16_t shard, const struct hr_item *item);
	void *arg;
};

/* per_shard: epochs of a shard; slots: of the hand-over rings. */
void world_make(struct world *w, uint32_t n_workers, uint32_t per_shard,
		uint32_t handover_slots, bool insecure);
/* The same with queues that lose nothing. */
void world_make_lossless(struct world *w, uint32_t n_workers, uint32_t per_shard,
			 uint32_t handover_slots, bool insecure);
/* The same with the handshake on: links are folded where they are accepted. */
void world_make_asked(struct world *w, uint32_t n_workers, uint32_t per_shard,
		      uint32_t handover_slots);
/* A FENCE of ours for this shard, as its worker is told. */
void world_fence(struct world *w, uint16_t shard, uint64_t incarnation,
		 uint32_t fence_no);
/* Checks conservation, frees all. */
void world_end(struct world *w);

/* A frame onto a queue: UDP to the appliance with this payload. The bytes live until
 * world_end(). */
void world_frame(struct world *w, uint32_t queue, const void *payload, uint32_t n);
/* A keyed datagram of n_events JSON events for a shard, with a number of the test's as
 * its sequence. */
void world_datagram(struct world *w, uint32_t queue, uint16_t shard, uint64_t sequence,
		    uint16_t n_events);

/* One loop of a worker: poll, take over, close what is due. Returns whether anything
 * happened. */
bool world_turn(struct world *w, uint32_t worker);
/* Accept everything that was closed; returns whether anything was. */
bool world_commit(struct world *w);
/* Turns and commits until nothing happens any more. */
void world_settle(struct world *w);

uint64_t world_sum(const struct world *w, const char *name, const char *label);
uint64_t world_drops(const struct world *w, enum hr_drop drop);
/* received + split = items appended or parked, not gone by a fence + answered + repeated
 * + refused + dropped */
bool world_is_balanced(const struct world *w);

/* Unit tests need EAL without huge pages; once per program. */
void world_eal(void);

#endif
