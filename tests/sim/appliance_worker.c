/* SPDX-License-Identifier: BSD-3-Clause */

/* An appliance's one worker: when its turns come, and what it does in one. */

#include <string.h>

#include <rte_ring.h>

#include "common/clock.h"
#include "common/mutant.h"
#include "common/wire.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owned.h"
#include "dataplane/shard/intake.h"
#include "dataplane/shard/streams.h"
#include "dataplane/view/feed.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/world.h"

#define SLICE 3u /* events folded between two looks at the rest */

static void step(struct sim_appliance *a);

static void due(struct sim *sim, void *arg, uint64_t life)
{
	struct sim_appliance *a = arg;
	struct sim_env *before;

	if (a->life != life || !a->is_open)
		return;
	if (sim->now_us < a->paused_until_us) {
		sim_after(sim, a->paused_until_us - sim->now_us, due, a, life);
		return;
	}
	a->is_stepping_soon = false;
	before = sim_env_enter(&a->env);
	step(a);
	sim_env_enter(before);
}

void sim_appliance_step_soon(void *arg)
{
	struct sim_appliance *a = arg;
	struct sim *sim = a->stores.sim;

	if (a->is_stepping_soon || !a->is_open)
		return;
	a->is_stepping_soon = true;
	sim_after(sim, 5 + sim_below(&sim->random, 60), due, a, a->life);
}

static void told_pop(struct shard *s)
{
	s->n_told--;
	memmove(&s->told[0], &s->told[1], s->n_told * sizeof(s->told[0]));
	s->has_begun = false;
}

static void feed(struct sim_appliance *a, struct shard *s, struct hr_link *link)
{
	hr_feed_put(a->feed, link);
	sim_appliance_wake_views(a, s);
}

static void done(struct sim_appliance *a, struct shard *s, struct hr_link *link)
{
	told_pop(s);
	hr_owned_back(&s->owned, link);
	if (link->kind == HR_TOLD_LINK)
		feed(a, s, link);
	else
		hr_link_put(link);
}

/* The old one goes back in its place. */
static void swap(struct shard *s, struct hr_link *told)
{
	struct hr_fold *old = s->fold;

	s->fold = told->fold;
	told->fold = old;
	(void)hr_streams_set_fold(s->streams, s->fold);
}

/* As a worker does. */
void sim_appliance_obey_chain(struct shard *s)
{
	if (!HR_MUTANT(local_config))
		s->intake.max_events =
			(uint32_t)hr_fold_config(s->fold)->setting[HR_CHAIN_MAX_EVENTS];
}

static bool is_tentative(const struct hr_epoch *epoch)
{
	const struct hr_str body = { hr_epoch_body(epoch), epoch->body_bytes };
	struct hr_item item;
	uint32_t cursor = 0;

	while (hr_item_next(body, &cursor, &item) > 0)
		if (item.kind == HR_ITEM_SKIP || (item.flags & HR_ITEM_ORDERED) != 0)
			return true;
	return false;
}

/* I4: what was taken in order under an older fence is nowhere any more. */
static void check_fenced(struct sim_appliance *a, const struct shard *s)
{
	bool survives = hr_streams_parked(s->streams) > 0 ||
			(s->intake.open != NULL && is_tentative(s->intake.open));
	const struct hr_owned *o = &s->owned;

	for (uint32_t i = 0; i < o->n_waiting && !survives; i++)
		survives =
			is_tentative(o->waiting[(o->waiting_at + i) % o->max_waiting]);
	if (survives)
		sim_violated(a->stores.sim, "I4",
			     "appliance %u, shard %u: something tentative survives "
			     "fence %llu",
			     a->index, o->shard, (unsigned long long)s->incarnation);
}

static void on_told(struct sim_appliance *a, struct shard *s, struct hr_link *link)
{
	switch (link->kind) {
	case HR_TOLD_FENCE:
		s->incarnation = link->incarnation;
		(void)hr_streams_fence(s->streams, link->incarnation);
		(void)hr_intake_fence(&s->intake, link->fence_no);
		check_fenced(a, s);
		break;
	case HR_TOLD_STATE:
		swap(s, link);
		sim_appliance_obey_chain(s);
		break;
	case HR_TOLD_LOST:
		(void)hr_streams_fence(s->streams, link->incarnation);
		break;
	default:
		break;
	}
	done(a, s, link);
}

/* HR_MUTANT(floors_after_ack): fold begins a link some turns after its ACKs. */
static bool tells_before_folding(struct sim_appliance *a, struct shard *s,
				 struct hr_link *link)
{
	if (!HR_MUTANT(floors_after_ack) || s->n_told_early++ % 4 == 3)
		return false;
	if (s->n_told_early % 4 == 1) {
		hr_streams_accepted(s->streams, link, hr_mono_us());
		sim_appliance_acks_send(a, s);
	}
	return true;
}

/* Returns whether there was something to do. */
static bool work(struct sim_appliance *a, struct shard *s)
{
	struct hr_link *link;

	if (s->n_told == 0)
		return false;
	link = s->told[0];
	if (link->kind != HR_TOLD_LINK) {
		on_told(a, s, link);
		return true;
	}
	if (!s->has_begun) {
		if (tells_before_folding(a, s, link))
			return true;
		if (hr_fold_begin(s->fold, link) < 0) {
			sim_violated(a->stores.sim, "I2",
				     "appliance %u cannot fold link %llu of shard %u",
				     a->index, (unsigned long long)link->n,
				     link->shard);
			return false;
		}
		s->has_begun = true;
		hr_streams_accepted(s->streams, link, hr_mono_us());
		sim_appliance_acks_send(a, s);
	}
	if (!hr_fold_step(s->fold, SLICE))
		return true;
	if (link->body_kind == HR_BODY_CONFIG)
		sim_appliance_obey_chain(s);
	link->next_due_us = hr_fold_next_due(s->fold);
	done(a, s, link);
	return true;
}

static void take_closed(struct sim_appliance *a)
{
	void *got;

	while (rte_ring_dequeue(a->closed, &got) == 0) {
		struct hr_epoch *epoch = got;

		hr_owned_take(&a->shards[epoch->shard].owned, epoch);
	}
}

static bool add_event(struct shard *s, const char *json)
{
	const struct hr_item item = {
		.kind = HR_ITEM_EVENT,
		.codec = HR_CODEC_JSON,
		.n_events = 1,
		.received_us = hr_wall_us(),
		.payload = { (const uint8_t *)json, (uint32_t)strlen(json) },
	};

	return hr_intake_add(&s->intake, &item, hr_mono_us()) == HR_DROP_NONE;
}

/* Whatever became free is used up at once. */
static void fill(struct sim_appliance *a, struct shard *s)
{
	char json[HR_WIRE_DATAGRAM_MAX];

	if (a->flood == NULL)
		return;
	do
		a->flood(a->flood_arg, s->owned.shard, json, sizeof(json));
	while (add_event(s, json));
}

static void step(struct sim_appliance *a)
{
	const uint64_t mono_us = hr_mono_us();
	const uint64_t wall_us = hr_wall_us();
	const struct hr_now now = { mono_us, wall_us };
	const struct hr_config *c = a->stores.config;
	bool is_busy = false;

	sim_log_ops.poll(a->log);
	for (uint16_t i = 0; i < a->stores.set->n_shards; i++) {
		struct shard *s = &a->shards[i];

		is_busy |= hr_owned_read(&s->owned, &now) > 0;
		is_busy |= work(a, s);
		if (s->n_told == 0)
			hr_feed_read_to(a->feed, i, s->owned.next_offset,
					s->owned.caught_up);
		(void)hr_streams_step(s->streams, now.mono_us);
		sim_appliance_acks_send(a, s);
		is_busy |= hr_intake_step(&s->intake, now.mono_us,
					  (uint32_t)c->epoch_min_interval_us, false);
		take_closed(a);
		hr_owned_step(&s->owned, &now);
		fill(a, s);
	}
	sim_appliance_looking_tidy(a);
	if (is_busy)
		sim_appliance_step_soon(a);
}

bool sim_appliance_event(struct sim_appliance *a, uint16_t shard, const char *json)
{
	struct sim_env *before = sim_env_enter(&a->env);
	const bool took = a->is_open && sim_now(a->stores.sim) >= a->paused_until_us &&
			  add_event(&a->shards[shard], json);

	sim_env_enter(before);
	sim_appliance_step_soon(a);
	return took;
}

void sim_appliance_flood(struct sim_appliance *a, sim_flood next, void *arg)
{
	a->flood = next;
	a->flood_arg = arg;
	sim_appliance_step_soon(a);
}
