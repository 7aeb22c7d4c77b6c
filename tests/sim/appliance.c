/* SPDX-License-Identifier: BSD-3-Clause */

/* An appliance's life and death. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "common/clock.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owned.h"
#include "dataplane/shard/intake.h"
#include "dataplane/shard/ring.h"
#include "dataplane/shard/streams.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/snapshot/snapshotter.h"
#include "dataplane/view/feed.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/trimmer.h"
#include "tests/sim/views.h"
#include "tests/sim/world.h"

#define TICK_US 20000u

static void on_enter(void *arg)
{
	struct sim_appliance *a = arg;

	sim_redis_use(a->stores.redis);
	sim_snapshots_use(a->stores.snapshots);
	if (a->stores.kafka != NULL)
		sim_kafka_use(a->stores.kafka, a);
}

static void tick(struct sim *sim, void *arg, uint64_t life)
{
	struct sim_appliance *a = arg;

	if (a->life != life || !a->is_open)
		return;
	sim_appliance_step_soon(a);
	sim_after(sim, TICK_US, tick, a, life);
}

static void shard_start(struct sim_appliance *a, uint16_t i)
{
	struct hr_recovered *found = &a->recovery->shards[i];
	struct hr_owned_cells cells;
	struct shard *s = &a->shards[i];
	struct hr_err err;

	for (hr_cell **c = (hr_cell **)&cells; c < (hr_cell **)(&cells + 1); c++)
		*c = a->cells;
	s->fold = found->fold;
	found->fold = NULL;
	if (s->fold != NULL)
		sim_happened(a->stores.sim, SIM_STARTS);
	if ((s->fold == NULL && hr_fold_new(&s->fold, a->stores.set, i,
					    a->stores.config->stream_max) < 0) ||
	    hr_owned_init(&s->owned, &a->conf, i, &found->start, &cells, &err) < 0)
		abort();
	hr_feed_begin(a->feed, i, found->start.chain.n);
	s->intake = (struct hr_intake){
		.pool = a->pool,
		.closed_ring = a->closed,
		.closed_us = &a->closed_us,
		.view = &s->owned.view,
		.shard = i,
		.reserve = 1,
		.max_events = a->stores.config->epoch_max_events,
	};
	if (hr_fold_n(s->fold) > 0)
		sim_appliance_obey_chain(s);
	if (hr_streams_new(&s->streams,
			   &(struct hr_streams_conf){
				   .intake = &s->intake,
				   .fold = s->fold,
				   .shard = i,
				   .max_streams = a->stores.config->stream_max,
				   .seed = 1 },
			   &err) < 0)
		abort();
}

static void keys_start(struct sim_appliance *a)
{
	struct hr_write_key key = { .id = KEY_ID };
	struct hr_err err;

	memcpy(key.key, a->stores.write_key, sizeof(key.key));
	if (hr_keyring_new(&a->keys, &key, 1, &err) < 0)
		abort();
	a->rules = (struct hr_beacon_rules){
		.keys = a->keys,
		.generation = a->stores.set->generation,
		.n_shards = (uint16_t)a->stores.set->n_shards,
	};
	hr_tokens_init(&a->tokens, a->stores.secret, hr_wall_us());
}

/* All that is made of what was recovered. */
void sim_appliance_open(struct sim_appliance *a)
{
	const uint32_t n = a->stores.set->n_shards;
	const struct hr_config *c = a->stores.config;
	struct hr_log_conf log = { c, a->stores.set, "log" };
	struct hr_err err;

	sim_store_use(a->stores.log, sim_appliance_step_soon, a);
	a->shards = aligned_alloc(64, (n * sizeof(*a->shards) + 63) & ~(size_t)63);
	if (a->shards == NULL ||
	    hr_epoch_pool_new(&a->pool, n, EPOCHS_A_SHARD, &err) < 0 ||
	    hr_feed_new(&a->feed, n, c->log_keep_memory_bytes) < 0 ||
	    sim_log_ops.open(&a->log, &log, &err) < 0)
		abort();
	memset(a->shards, 0, n * sizeof(*a->shards));
	a->closed = hr_ring_new(n * EPOCHS_A_SHARD);
	keys_start(a);
	sim_appliance_owner_conf(a);
	a->is_open = true;
	for (uint16_t i = 0; i < n; i++)
		shard_start(a, i);
	sim_appliance_views_start(a);
	sim_appliance_snapshots_start(a);
	tick(a->stores.sim, a, a->life);
	sim_appliance_step_soon(a);
}

/* A coroutine: as the dataplane begins. */
static void recover(void *arg)
{
	struct sim_appliance *a = arg;
	struct hr_err err;
	int r = 0;

	if (hr_recovery_new(&a->recovery, a->stores.set) < 0)
		abort();
	sim_store_use(a->stores.log, sim_appliance_step_soon, a);
	while (a->stores.has_snapshots &&
	       (r = hr_recovery_run(a->recovery, a->stores.config, a->stores.set,
				    &a->ends, &err)) == -EIO &&
	       !atomic_load(&a->ends))
		sim_coro_sleep(200000);
	if (atomic_load(&a->ends))
		return;
	if (r < 0)
		sim_violated(a->stores.sim, "liveness", "appliance %u: recovery: %s",
			     a->index, err.text);
	else
		sim_appliance_open(a);
}

void sim_appliance_start(struct sim_appliance *a)
{
	struct sim_env *before;

	if (a->is_up)
		return;
	sim_trace(a->stores.sim, "appliance %u starts", a->index);
	a->env.booted_us = sim_now(a->stores.sim) / 2; /* never 0: it is not "never" */
	a->env.not_before_us = 0;
	a->env.has_twin = false;
	before = sim_env_enter(&a->env);
	a->life++;
	a->is_up = true;
	a->is_stepping_soon = a->is_redis_soon = false;
	a->paused_until_us = 0;
	a->clock = (struct hr_record_clock){ 0 };
	atomic_store(&a->ends, false);
	a->opening = sim_coro_new(a->stores.sim, recover, a);
	sim_env_enter(before);
}

static void shard_end(struct sim_appliance *a, struct shard *s)
{
	sim_coro_free(s->publisher);
	(void)hr_streams_free(s->streams);
	(void)hr_owned_end(&s->owned);
	hr_owned_fini(&s->owned);
	(void)hr_intake_fini(&s->intake);
	for (uint32_t i = 0; i < s->n_told; i++)
		hr_link_put(s->told[i]);
	hr_fold_free(s->fold);
	free(s->restored);
	(void)a;
}

static void close_rooms(struct sim_appliance *a)
{
	void *got;

	hr_snapshotter_stop(a->snapshotter);
	a->snapshotter = NULL;
	sim_coro_end(a->looking.coro);
	sim_appliance_looking_drop(&a->looking);
	a->is_open = false;
	while (rte_ring_dequeue(a->closed, &got) == 0)
		hr_epoch_put(a->pool, got);
	for (uint16_t i = 0; i < a->stores.set->n_shards; i++)
		shard_end(a, &a->shards[i]);
	if (a->redis != NULL)
		sim_redis_view_free(a->redis);
	if (a->topics != NULL)
		sim_topics_view_free(a->topics);
	a->redis = a->topics = NULL;
	hr_feed_free(a->feed);
	hr_keyring_free(a->keys);
	sim_log_ops.close(a->log);
	hr_epoch_pool_free(a->pool);
	free(a->closed);
	free(a->shards);
	a->shards = NULL;
}

void sim_appliance_kill(struct sim_appliance *a)
{
	struct sim_env *before;

	if (!a->is_up)
		return;
	sim_trace(a->stores.sim, "appliance %u is killed", a->index);
	before = sim_env_enter(&a->env);
	a->is_up = false;
	a->life++;
	atomic_store(&a->ends, true);
	sim_coro_end(a->opening);
	sim_coro_free(a->opening);
	a->opening = NULL;
	if (a->is_open)
		close_rooms(a);
	hr_recovery_free(a->recovery);
	a->recovery = NULL;
	sim_env_enter(before);
}

void sim_appliance_pause(struct sim_appliance *a, uint64_t us)
{
	if (!a->is_up)
		return;
	sim_trace(a->stores.sim, "appliance %u stands still for %llu ms", a->index,
		  (unsigned long long)us / 1000);
	if (a->paused_until_us < sim_now(a->stores.sim) + us)
		a->paused_until_us = sim_now(a->stores.sim) + us;
	if (!a->is_open)
		sim_coro_pause(a->opening, us);
	if (a->looking.coro != NULL)
		sim_coro_pause(a->looking.coro, us);
	if (a->snapshotter != NULL)
		sim_coro_pause(sim_snapshotter_coro(a->snapshotter), us);
	sim_appliance_stop_view(a, us);
}

bool sim_appliance_is_up(const struct sim_appliance *a)
{
	return a->is_up;
}

void sim_appliance_step_clock(struct sim_appliance *a, int64_t us)
{
	a->env.wall_skew_us += us;
}

struct sim_appliance *sim_appliance_new(const struct sim_stores *stores, uint32_t index)
{
	struct sim_appliance *a = calloc(1, sizeof(*a));

	if (a == NULL)
		abort();
	a->stores = *stores;
	a->index = index;
	(void)snprintf(a->address, sizeof(a->address), "a%u:7400", index);
	a->env = (struct sim_env){ .sim = stores->sim,
				   .store_arg = a,
				   .enter = on_enter };
	return a;
}

void sim_appliance_free(struct sim_appliance *a)
{
	if (a == NULL)
		return;
	sim_appliance_kill(a);
	if (a->trimmer != NULL)
		sim_trimmer_free(a->trimmer);
	free(a);
}
