/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A machine is copied while it runs: a snapshot of it, restored beside it, at once or a
 * while later. Both have the same disk, address, owner ids, chain and state, each its own
 * connections. It is done at a moment when nothing is under way, so what the code keeps
 * of that is empty in both; the views of the copy connect anew, as they do after any
 * trouble.
 */

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "dataplane/log/owned_impl.h"
#include "dataplane/shard/streams_impl.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/world.h"

/* The copy knows what it owned; what it left, too. */
static bool can_copy(const struct sim_appliance *a, const struct shard *s)
{
	const struct hr_owned *o = &s->owned;

	if (o->phase == HR_PHASE_FENCED)
		return a->stores.has_holdings;
	return o->phase == HR_PHASE_READY && o->caught_up && o->chain.n > 0 &&
	       o->last != NULL && o->asked == NULL && !o->must_verify &&
	       o->flight == NULL && o->appends == NULL && o->n_waiting == 0 &&
	       o->n_out == 0 && s->n_told == 0 && !hr_intake_is_busy(&s->intake) &&
	       s->streams->n_active == 0;
}

bool sim_appliance_can_clone(const struct sim_appliance *a)
{
	bool owns = false;

	if (!a->is_open || a->looking.coro != NULL ||
	    sim_now(a->stores.sim) < a->paused_until_us)
		return false;
	for (uint16_t i = 0; i < a->stores.set->n_shards; i++) {
		if (!can_copy(a, &a->shards[i]))
			return false;
		owns |= a->shards[i].owned.phase == HR_PHASE_READY;
	}
	return owns;
}

static struct hr_fold *copy(const struct hr_fold *fold, const struct sim_appliance *a,
			    uint16_t shard)
{
	const size_t n = hr_fold_state_bytes(fold);
	uint8_t *state = malloc(n);
	struct hr_fold *out;
	struct hr_err err;

	if (state == NULL ||
	    hr_fold_state_read(&out, a->stores.set, shard, a->stores.config->stream_max,
			       (struct hr_str){ state, (uint32_t)hr_fold_state_write(
							       fold, state) },
			       &err) < 0)
		abort();
	free(state);
	return out;
}

/* As if a snapshot of this moment had been found. */
static void recovered(struct sim_appliance *c, const struct sim_appliance *a)
{
	if (hr_recovery_new(&c->recovery, a->stores.set) < 0)
		abort();
	for (uint16_t i = 0; i < a->stores.set->n_shards; i++) {
		struct hr_recovered *r = &c->recovery->shards[i];
		const struct hr_owned *o = &a->shards[i].owned;

		c->others[i] = a->others[i];
		if (o->phase != HR_PHASE_READY)
			continue;
		r->fold = copy(a->shards[i].fold, a, i);
		r->mirror = copy(a->shards[i].fold, a, i);
		r->start = (struct hr_log_start){ .chain = o->chain,
						  .offset = o->last->offset,
						  .config = o->config };
	}
}

/* It is in the midst of its life, and not at a start. */
static void go_on_as(struct shard *c, const struct shard *a)
{
	struct hr_owned *to = &c->owned;
	const struct hr_owned *from = &a->owned;

	to->id = from->id;
	memcpy(to->ids, from->ids, sizeof(to->ids));
	to->n_ids = from->n_ids;
	memcpy(to->own_hashes, from->own_hashes, sizeof(to->own_hashes));
	to->own_n = from->own_n;
	to->fence_no = from->fence_no;
	to->fence_times = from->fence_times;
	to->last_link_us = from->last_link_us;
	to->caught_up = to->was_owner = to->was_ready = to->has_begun = true;
	to->next_offset = from->next_offset;
	to->tail = from->tail;
	hr_owned_last(to, from->last);
	to->conf->ops->seek(to->part, to->next_offset);
	to->conf->ops->renew(to->part);
	to->is_renewing = true;
	to->phase = HR_PHASE_READY;
	atomic_store(&to->view.incarnation, from->chain.incarnation);
	atomic_store(&to->view.clock_offset_us, from->conf->clock->offset_us);
	atomic_store(&to->view.is_ours, true);
	hr_owned_show(to);
	c->incarnation = a->incarnation;
	c->intake.fence_no = a->intake.fence_no;
	c->intake.max_events = a->intake.max_events;
	(void)hr_streams_fence(c->streams, a->incarnation);
}

/* The kernel of a copy may give the same random bytes as that of the original. */
static void share_chance(struct sim_appliance *c, struct sim_appliance *a)
{
	struct sim *sim = a->stores.sim;

	c->env.has_twin = a->env.has_twin = sim_once_in(&sim->random, 2);
	sim_random_init(&a->env.twin, sim_random(&sim->random));
	c->env.twin = a->env.twin;
}

void sim_appliance_clone(struct sim_appliance *c, struct sim_appliance *a, uint64_t us)
{
	struct sim_env *before;

	sim_trace(a->stores.sim, "appliance %u is cloned; the clone wakes in %llu ms",
		  a->index, (unsigned long long)us / 1000);
	/* Its monotonic clock stood still meanwhile. */
	if (sim_now(a->stores.sim) < a->env.booted_us + us + SIM_SECOND)
		us = 0;
	c->env.booted_us = a->env.booted_us + us;
	c->env.wall_skew_us = a->env.wall_skew_us;
	c->env.not_before_us = 0;
	share_chance(c, a);
	before = sim_env_enter(&c->env);
	c->life++;
	c->is_up = true;
	c->is_stepping_soon = c->is_redis_soon = false;
	c->paused_until_us = 0;
	c->clock = a->clock;
	atomic_store(&c->ends, false);
	recovered(c, a);
	sim_appliance_open(c);
	for (uint16_t i = 0; i < a->stores.set->n_shards; i++)
		if (a->shards[i].owned.phase == HR_PHASE_READY)
			go_on_as(&c->shards[i], &a->shards[i]);
	sim_env_enter(before);
	sim_happened(a->stores.sim, SIM_CLONES);
	sim_appliance_pause(c, us);
}
