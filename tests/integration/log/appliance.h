/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_APPLIANCE_H
#define HR_TEST_APPLIANCE_H

/*
 * The rooms on either side of the log's owner, small and honest: a pool of epoch
 * buffers, one worker thread that fills epochs with numbered items and "folds" by
 * passing links on, and a feed that keeps every link and checks on the way in that
 * each shard's come in order, 1, 2, 3, ..., hash on hash.
 *
 * Every item's bytes are computed from {load, shard, number}: what comes out of the
 * log is compared byte for byte with what went in, and must be there once.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "dataplane/log/owner.h"
#include "dataplane/log/reader.h"

struct app_load {
	uint32_t load;          /* names this run in the items' bytes */
	uint32_t items;         /* per epoch */
	uint32_t payload_bytes; /* per item */
	uint32_t min_interval_us;
	uint64_t max_epochs;   /* per shard; 0: none at all */
	uint32_t most_waiting; /* epochs of a shard not done yet; 0: 1 */
};

struct app {
	struct hr_config config;
	struct hr_data_set set;
	struct hr_owner *owner;
	struct hr_epoch_pool *pool;
	struct hr_feed *feed;
	struct app_load load;
	pthread_t worker[HR_WORKERS_MAX];
	uint32_t n_workers;
	struct rte_ring *closed[HR_WORKERS_MAX];
	struct rte_ring *accepted[HR_WORKERS_MAX];
	struct rte_ring *folded[HR_WORKERS_MAX];
	atomic_bool stops_load, stops_folding;
	bool holds_folding; /* set before app_start(): nothing is folded */
	uint32_t fold_us; /* and this: how long a link takes to be folded; 0: no time */
	_Atomic uint64_t closed_epochs[HR_SHARDS_MAX];
	_Atomic uint64_t closed_items[HR_SHARDS_MAX];
	uint64_t tentative; /* what hr_owner_stop() said */
};

/* Config, data set (unless app->set is filled in), owner, workers. Fails the test
 * when it cannot. */
void app_config(struct hr_config *config, const char *prefix, uint32_t n_shards);
void app_start(struct app *app, const struct hr_config *config, uint32_t n_workers,
	       const struct app_load *load);
/* Stops the load, lets everything be accepted and folded, stops the owner. The feed
 * stays until app_free(). */
void app_stop(struct app *app, uint32_t drain_ms);
void app_free(struct app *app);

bool app_wait_state(struct app *app, uint16_t shard, enum hr_shard_state state,
		    uint32_t wait_ms);
bool app_wait_all(struct app *app, enum hr_shard_state state, uint32_t wait_ms);
/* Every shard's load is closed and accepted. */
bool app_wait_load(struct app *app, uint32_t wait_ms);

/* Links of the feed, by shard; index 0 is link 1. */
uint64_t app_feed_last(struct app *app, uint16_t shard);
struct hr_link *app_feed_link(struct app *app, uint16_t shard, uint64_t n);

/* Items of `load` in the feed's links of a shard: each number from 0 on once, in
 * order, with the right bytes. Returns how many; fails the test otherwise. */
uint64_t app_check_items(struct app *app, uint16_t shard, uint32_t load);

#endif
