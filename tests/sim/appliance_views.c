/* SPDX-License-Identifier: BSD-3-Clause */

/* An appliance's views, and the snapshots and the trimmer that wait for them. */

#include "dataplane/log/owned.h"
#include "dataplane/snapshot/snapshotter.h"
#include "dataplane/view/feed.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/trimmer.h"
#include "tests/sim/views.h"
#include "tests/sim/world.h"

static void redis_due(struct sim *sim, void *arg, uint64_t life)
{
	struct sim_appliance *a = arg;
	struct sim_env *before;
	uint64_t us;

	if (a->life != life || !a->is_open)
		return;
	if (sim->now_us < a->paused_until_us) {
		sim_after(sim, a->paused_until_us - sim->now_us, redis_due, a, life);
		return;
	}
	before = sim_env_enter(&a->env);
	us = sim_redis_view_turn(a->redis);
	sim_env_enter(before);
	if (us != UINT64_MAX)
		sim_after(sim, us, redis_due, a, life);
}

/* There is a link for it. */
static void redis_news(struct sim *sim, void *arg, uint64_t life)
{
	struct sim_appliance *a = arg;

	if (a->life != life || !a->is_open)
		return;
	a->is_redis_soon = false;
	if (sim->now_us < a->paused_until_us)
		return; /* its own turn comes */
	sim_env_enter(&a->env);
	(void)sim_redis_view_turn(a->redis);
	sim_env_enter(NULL);
}

void sim_appliance_wake_views(struct sim_appliance *a, struct shard *s)
{
	struct sim *sim = a->stores.sim;

	if (s->publisher != NULL)
		sim_coro_wake(s->publisher);
	if (a->redis == NULL || a->is_redis_soon)
		return;
	a->is_redis_soon = true;
	sim_after(sim, a->stores.config->redis_tick_us, redis_news, a, a->life);
}

static bool owns(const void *owner, uint16_t shard)
{
	struct sim_appliance *a = (struct sim_appliance *)(uintptr_t)owner;

	return atomic_load(&a->shards[shard].owned.view.is_ours);
}

void sim_appliance_views_start(struct sim_appliance *a)
{
	const struct hr_view_conf conf = {
		.config = a->stores.config,
		.set = a->stores.set,
		.feed = a->feed,
		.owns = owns,
		.owner = a,
	};
	struct sim *sim = a->stores.sim;

	if (a->stores.redis != NULL) {
		a->redis = sim_redis_view_new(&conf);
		sim_after(sim, sim_below(&sim->random, 5000), redis_due, a, a->life);
	}
	if (a->stores.kafka == NULL)
		return;
	a->topics = sim_topics_view_new(&conf);
	for (uint16_t i = 0; i < a->stores.set->n_shards; i++)
		a->shards[i].publisher = sim_coro_new(
			sim, sim_topics_publish, sim_topics_publisher(a->topics, i));
}

static uint64_t position(void *ctx, uint32_t view, uint16_t shard)
{
	struct sim_appliance *a = ctx;
	bool is_redis = view == 0 && a->redis != NULL;

	return is_redis ? hr_view_redis.applied(a->redis, shard)
			: sim_topics_view_settled(a->topics, shard);
}

static uint64_t owned_since(const void *ctx, uint16_t shard)
{
	struct sim_appliance *a = (struct sim_appliance *)(uintptr_t)ctx;

	return owns(a, shard) ? atomic_load(&a->shards[shard].owned.view.incarnation)
			      : 0;
}

static void tell_trimmer(struct sim *sim, void *arg, uint64_t life)
{
	struct sim_appliance *a = arg;
	struct hr_snapshot_said said[SHARDS_MAX];
	bool is_ready[SHARDS_MAX];

	if (a->life != life || !a->is_open)
		return;
	sim_after(sim, SIM_SECOND, tell_trimmer, a, life);
	if (sim->now_us < a->paused_until_us)
		return;
	for (uint16_t s = 0; s < a->stores.set->n_shards; s++) {
		hr_snapshotter_said(a->snapshotter, s, &said[s]);
		is_ready[s] =
			atomic_load(&a->shards[s].owned.view.state) == HR_SHARD_READY;
	}
	sim_trimmer_tell(a->trimmer, said, is_ready);
}

void sim_appliance_snapshots_start(struct sim_appliance *a)
{
	const struct hr_snapshotter_conf conf = {
		.config = a->stores.config,
		.set = a->stores.set,
		.feed = a->feed,
		.recovery = a->recovery,
		.n_views = (a->redis != NULL ? 1u : 0u) + (a->topics != NULL ? 1u : 0u),
		.position = position,
		.owned_since = owned_since,
		.ctx = a,
	};

	if (!a->stores.has_snapshots)
		return;
	a->snapshotter = sim_snapshotter_new(a->stores.sim, &conf);
	if (a->trimmer == NULL)
		a->trimmer =
			sim_trimmer_new(a->stores.sim, a->stores.config, a->stores.set);
	tell_trimmer(a->stores.sim, a, a->life);
}

void sim_appliance_stop_view(struct sim_appliance *a, uint64_t us)
{
	for (uint16_t i = 0; a->is_open && i < a->stores.set->n_shards; i++)
		if (a->shards[i].publisher != NULL)
			sim_coro_pause(a->shards[i].publisher, us);
}

bool sim_appliance_is_owner(const struct sim_appliance *a, uint16_t shard)
{
	return a->is_open && owns(a, shard);
}
