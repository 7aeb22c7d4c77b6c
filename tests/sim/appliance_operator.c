/* SPDX-License-Identifier: BSD-3-Clause */

/* What the operator sees of an appliance, and does about it. */

#include "dataplane/log/owned.h"
#include "dataplane/shard/intake.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/views.h"
#include "tests/sim/world.h"

#define MEND_US (5 * SIM_SECOND) /* an operator is not quicker */

bool sim_appliance_is_stopped(const struct sim_appliance *a)
{
	for (uint16_t i = 0; a->is_open && i < a->stores.set->n_shards; i++)
		if (a->shards[i].owned.phase == HR_PHASE_STOPPED)
			return true;
	return false;
}

bool sim_appliance_owns(const struct sim_appliance *a, uint16_t shard)
{
	return a->is_open && a->shards[shard].owned.phase == HR_PHASE_READY;
}

void sim_appliance_take(struct sim_appliance *a, uint16_t shard)
{
	struct sim_env *before;
	struct hr_err err;

	if (!a->is_open || sim_now(a->stores.sim) < a->paused_until_us)
		return;
	before = sim_env_enter(&a->env);
	if (hr_owned_claim(&a->shards[shard].owned, &err) == 0) {
		sim_happened(a->stores.sim, SIM_TAKES);
		sim_trace(a->stores.sim, "appliance %u takes shard %u", a->index,
			  shard);
	}
	sim_env_enter(before);
	sim_appliance_step_soon(a);
}

static void accept_loss(struct sim_appliance *a, struct shard *s)
{
	struct sim_env *before = sim_env_enter(&a->env);
	struct hr_err err;

	if (hr_owned_accept_loss(&s->owned, &err) == 0)
		sim_happened(a->stores.sim, SIM_LOSSES);
	sim_env_enter(before);
	sim_appliance_step_soon(a);
}

void sim_appliance_mend(struct sim_appliance *a, uint16_t shard)
{
	struct sim *sim = a->stores.sim;
	struct shard *s;

	if (!a->is_open || sim->now_us < a->paused_until_us)
		return;
	s = &a->shards[shard];
	if (s->owned.phase != HR_PHASE_STOPPED) {
		s->stopped_us = 0;
	} else if (s->stopped_us == 0) {
		s->stopped_us = sim->now_us;
	} else if (sim->now_us - s->stopped_us < MEND_US) {
		return;
	} else if (s->owned.lost_n != 0) {
		accept_loss(a, s);
	} else {
		sim_appliance_kill(a);
		sim_appliance_start(a);
	}
}

bool sim_appliance_is_quiet(const struct sim_appliance *a)
{
	if (a->is_up && !a->is_open)
		return false;
	for (uint16_t i = 0; a->is_open && i < a->stores.set->n_shards; i++) {
		const struct shard *s = &a->shards[i];

		if (s->n_told > 0 || hr_intake_is_busy(&s->intake) ||
		    !hr_owned_is_drained(&s->owned))
			return false;
	}
	return true;
}

void sim_appliance_describe(const struct sim_appliance *a)
{
	static const char *const phases[] = {
		[HR_PHASE_CUT] = "cut",         [HR_PHASE_RESTORING] = "restoring",
		[HR_PHASE_WAITING] = "waiting", [HR_PHASE_FENCING] = "fencing",
		[HR_PHASE_FIRST] = "first",     [HR_PHASE_READY] = "ready",
		[HR_PHASE_FENCED] = "fenced",   [HR_PHASE_STOPPED] = "stopped",
	};

	for (uint16_t i = 0; a->is_open && i < a->stores.set->n_shards; i++) {
		const struct shard *s = &a->shards[i];
		const struct hr_owned *o = &s->owned;

		sim_trace(a->stores.sim,
			  "appliance %u shard %u: %s, link %llu, incarnation %llu, %u "
			  "epochs wait, %s in flight, %u told, renewing %d: %.60s",
			  a->index, i, phases[o->phase], (unsigned long long)o->chain.n,
			  (unsigned long long)o->chain.incarnation, o->n_waiting,
			  o->flight != NULL ? "one" : "none", s->n_told, o->is_renewing,
			  o->reason);
		if (a->topics != NULL)
			sim_trace(a->stores.sim,
				  "appliance %u shard %u: topics at link %llu: %.120s",
				  a->index, i,
				  (unsigned long long)sim_topics_view_applied(a->topics,
									      i),
				  sim_topics_view_reason(a->topics, i));
	}
}
