/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_ring.h>

#include "common/clock.h"
#include "common/mutant.h"
#include "common/wire.h"
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

#define EPOCHS_A_SHARD 5u /* one of them is the arena of what is parked */
#define KEY_ID 1u
#define ANSWERS_AT_ONCE 16u
#define TICK_US 20000u
#define MEND_US (5 * SIM_SECOND) /* an operator is not quicker */
#define SLICE 3u                 /* events folded between two looks at the rest */

static void on_enter(void *arg)
{
	struct sim_appliance *a = arg;

	sim_redis_use(a->stores.redis);
	sim_snapshots_use(a->stores.snapshots);
	if (a->stores.kafka != NULL)
		sim_kafka_use(a->stores.kafka, a);
}

/* ---- time ---- */

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

static void step_soon(void *arg)
{
	struct sim_appliance *a = arg;
	struct sim *sim = a->stores.sim;

	if (a->is_stepping_soon || !a->is_open)
		return;
	a->is_stepping_soon = true;
	sim_after(sim, 5 + sim_below(&sim->random, 60), due, a, a->life);
}

static void tick(struct sim *sim, void *arg, uint64_t life)
{
	struct sim_appliance *a = arg;

	if (a->life != life || !a->is_open)
		return;
	step_soon(a);
	sim_after(sim, TICK_US, tick, a, life);
}

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

static void wake_views(struct sim_appliance *a, struct shard *s)
{
	struct sim *sim = a->stores.sim;

	if (s->publisher != NULL)
		sim_coro_wake(s->publisher);
	if (a->redis == NULL || a->is_redis_soon)
		return;
	a->is_redis_soon = true;
	sim_after(sim, a->stores.config->redis_tick_us, redis_news, a, a->life);
}

/* ---- the owner's hooks ---- */

static bool hook_random(void *ctx, void *out, size_t n)
{
	(void)ctx;
	return getrandom(out, n, 0) == (ssize_t)n;
}

static void hook_tell(void *ctx, enum hr_log_level level, const char *line)
{
	struct sim_appliance *a = ctx;

	(void)level;
	sim_trace(a->stores.sim, "    log of appliance %u: %s", a->index, line);
}

static void hook_said(void *ctx, const struct hr_owned *s)
{
	(void)ctx;
	(void)s;
}

static void hook_put_epoch(void *ctx, struct hr_epoch *epoch)
{
	struct sim_appliance *a = ctx;

	hr_epoch_put(a->pool, epoch);
}

static bool hook_has_room(void *ctx, const struct hr_owned *s)
{
	struct sim_appliance *a = ctx;

	return a->shards[s->shard].n_told < TOLD_MAX - 4;
}

static void hook_hand_out(void *ctx, struct hr_owned *s, struct hr_link *link)
{
	struct sim_appliance *a = ctx;
	struct shard *shard = &a->shards[s->shard];

	if (shard->n_told == TOLD_MAX)
		abort();
	shard->told[shard->n_told++] = link;
}

static struct hr_link *hook_kept(void *ctx, const struct hr_owned *s, uint64_t n)
{
	struct sim_appliance *a = ctx;
	struct hr_link *link;

	return hr_feed_get(a->feed, s->shard, n, &link) == 1 ? link : NULL;
}

static uint64_t hook_first_kept(void *ctx, const struct hr_owned *s)
{
	struct sim_appliance *a = ctx;

	return hr_feed_first(a->feed, s->shard);
}

static void state_release(struct hr_link *told)
{
	hr_fold_free(told->fold);
}

static bool hook_forget(void *ctx, struct hr_owned *s)
{
	struct sim_appliance *a = ctx;
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, s->shard);

	if (told == NULL || hr_fold_new(&told->fold, a->stores.set, s->shard,
					a->stores.config->stream_max) < 0)
		abort();
	told->release = state_release;
	hr_feed_restart(a->feed, s->shard, 0);
	hr_owned_hand_out(s, told);
	return true;
}

static void hook_cloned(void *ctx, const char *text)
{
	struct sim_appliance *a = ctx;

	for (uint32_t s = 0; s < a->stores.set->n_shards; s++)
		hr_owned_stop(&a->shards[s].owned, "%s", text);
}

static int hook_keep(void *ctx, const struct hr_owned *s, bool is_ours,
		     struct hr_err *err)
{
	struct sim_appliance *a = ctx;

	(void)err;
	a->others[s->shard] = !is_ours;
	return 0;
}

/* ---- a snapshot, while the process runs: as owner.c does ---- */

static void look_for_snapshot(void *arg)
{
	struct sim_appliance *a = arg;
	struct looking *l = &a->looking;

	sim_store_use(a->stores.log, step_soon, a);
	l->result =
		hr_recovery_newest(&l->fold, l->start, a->stores.config, a->stores.set,
				   l->shard, l->beyond_n, &a->ends, &l->err);
	l->is_over = true;
	step_soon(a);
}

static void looking_drop(struct looking *l)
{
	sim_coro_free(l->coro);
	hr_fold_free(l->fold);
	free(l->start);
	*l = (struct looking){ .coro = NULL };
}

static enum hr_restore look_begin(struct sim_appliance *a, uint16_t shard,
				  uint64_t beyond_n)
{
	a->looking.shard = shard;
	a->looking.beyond_n = beyond_n;
	a->looking.start = calloc(1, sizeof(*a->looking.start));
	if (a->looking.start == NULL)
		abort();
	a->looking.coro = sim_coro_new(a->stores.sim, look_for_snapshot, a);
	return HR_RESTORE_LOOKING;
}

/* The shard that wanted it was stopped meanwhile. */
static void looking_tidy(struct sim_appliance *a)
{
	struct looking *l = &a->looking;

	if (l->is_over && a->shards[l->shard].owned.phase != HR_PHASE_RESTORING)
		looking_drop(l);
}

static void take_state(struct sim_appliance *a, struct hr_owned *s)
{
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, s->shard);
	struct shard *shard = &a->shards[s->shard];

	if (told == NULL)
		abort();
	told->release = state_release;
	told->fold = a->looking.fold;
	a->looking.fold = NULL;
	free(shard->restored);
	shard->restored = a->looking.start;
	a->looking.start = NULL;
	hr_feed_restart(a->feed, s->shard, shard->restored->chain.n);
	hr_owned_hand_out(s, told);
	sim_happened(a->stores.sim, SIM_RESTORES);
	sim_trace(a->stores.sim, "appliance %u: shard %u goes on from link %llu",
		  a->index, s->shard, (unsigned long long)shard->restored->chain.n);
}

static enum hr_restore hook_restore(void *ctx, struct hr_owned *s, uint64_t beyond_n,
				    const struct hr_log_start **start,
				    struct hr_err *err)
{
	struct sim_appliance *a = ctx;
	struct looking *l = &a->looking;
	enum hr_restore found;

	if (l->coro == NULL)
		return look_begin(a, s->shard, beyond_n);
	if (l->shard != s->shard || !l->is_over)
		return HR_RESTORE_LOOKING;
	found = l->result < 0    ? HR_RESTORE_FAILED
		: l->result == 0 ? HR_RESTORE_NOTHING
				 : HR_RESTORED;
	if (found == HR_RESTORE_FAILED)
		*err = l->err;
	if (found == HR_RESTORED)
		take_state(a, s);
	looking_drop(l);
	*start = a->shards[s->shard].restored;
	return found;
}

/* ---- the worker's half ---- */

static void told_pop(struct shard *s)
{
	s->n_told--;
	memmove(&s->told[0], &s->told[1], s->n_told * sizeof(s->told[0]));
	s->has_begun = false;
}

static void feed(struct sim_appliance *a, struct shard *s, struct hr_link *link)
{
	hr_feed_put(a->feed, link);
	wake_views(a, s);
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
static void obey_chain(struct shard *s)
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
		obey_chain(s);
		break;
	case HR_TOLD_LOST:
		(void)hr_streams_fence(s->streams, link->incarnation);
		break;
	default:
		break;
	}
	done(a, s, link);
}

/* ---- streams: what senders are told ---- */

static struct hr_streams_now streams_now(const struct shard *s)
{
	const struct hr_shard_view *v = &s->owned.view;
	const int64_t offset_us = atomic_load(&v->clock_offset_us);
	const uint64_t last_us = hr_fold_clock(s->fold);
	struct hr_streams_now now = {
		.mono_us = hr_mono_us(),
		.wall_us = hr_wall_us(),
		.state = (enum hr_shard_state)atomic_load(&v->state),
		.may_ack = atomic_load(&v->may_ack),
		.incarnation = atomic_load(&v->incarnation),
	};

	now.addresses = (struct hr_str){ (const uint8_t *)s->owned.addresses,
					 (uint32_t)strlen(s->owned.addresses) };
	if (offset_us == INT64_MIN)
		return now;
	now.clock_us = (uint64_t)((int64_t)now.mono_us + offset_us);
	if (now.clock_us < last_us)
		now.clock_us = last_us;
	return now;
}

static void reply_send(struct sim_appliance *a, const struct hr_reply *reply)
{
	uint8_t bytes[HR_ANSWER_MAX];
	uint32_t n = hr_answer_encode(&reply->answer, a->stores.write_key, hr_wall_us(),
				      bytes);

	sim_trace(a->stores.sim,
		  "appliance %u tells sender %u: kind %u, floor %llu, credit %u, %u "
		  "bytes",
		  a->index, reply->way.lane, reply->answer.kind,
		  (unsigned long long)reply->answer.sequence, reply->answer.credit, n);
	if (n > reply->answer.room)
		sim_violated(a->stores.sim, "I8",
			     "an answer is larger than its question");
	/* The lane says which sender it was. */
	if (n > 0)
		sim_network_send(a->stores.network, false, a->index, reply->way.lane,
				 bytes, n);
}

static void acks_send(struct sim_appliance *a, struct shard *s)
{
	const struct hr_streams_now now = streams_now(s);
	struct hr_reply replies[ANSWERS_AT_ONCE];
	uint32_t n = hr_streams_due(s->streams, &now, replies, ANSWERS_AT_ONCE);

	for (uint32_t i = 0; i < n; i++)
		reply_send(a, &replies[i]);
}

static void challenge(struct sim_appliance *a, const struct hr_question *q,
		      const struct shard *s)
{
	const struct hr_streams_now now = streams_now(s);
	struct hr_reply reply = {
		.answer = {
			.kind = HR_KIND_CHALLENGE,
			.room = q->bytes,
			.n_shards = (uint16_t)a->stores.set->n_shards,
			.generation = a->stores.set->generation,
			.key_id = q->wire.key_id,
			.attempt = q->wire.attempt,
			.random = q->wire.random,
			.token = hr_token_make(&a->tokens, &q->from),
			.wait_ms = hr_tokens_good_ms(now.wall_us),
			.server_us = now.clock_us,
			.echo_us = q->wire.sent_us,
			.span_us = a->stores.config->stream_max_age_us,
		},
		.way = *q->way,
	};

	if (now.clock_us != 0)
		reply_send(a, &reply);
}

static void take_datagram(struct sim_appliance *a, uint32_t sender,
			  const uint8_t *bytes, uint32_t n)
{
	const struct hr_way way = { .lane = (uint8_t)sender };
	struct hr_question q = {
		.bytes = (uint16_t)n,
		.from = { .source = { 10, 0, 0, (uint8_t)sender },
			  .source_port = 5000,
			  .family = 4 },
		.received_us = hr_wall_us(),
		.way = &way,
	};
	struct hr_streams_now now;
	struct hr_verdict_of verdict;
	struct hr_reply reply;
	struct shard *s;
	enum hr_drop drop;

	hr_tokens_turn(&a->tokens, q.received_us);
	q.from.key_id = KEY_ID;
	drop = hr_beacon_ask(&a->rules, &a->tokens, &q.from, bytes, n, &q.wire);
	if (drop != HR_DROP_NONE)
		sim_trace(a->stores.sim, "appliance %u refuses sender %u: %s", a->index,
			  sender, hr_drop_rows[drop].label);
	if (drop != HR_DROP_NONE)
		return;
	if (q.wire.kind == HR_KIND_HELLO) {
		challenge(a, &q, &a->shards[0]);
		return;
	}
	s = &a->shards[q.wire.shard];
	now = streams_now(s);
	q.token = hr_token_make(&a->tokens, &q.from);
	verdict = hr_streams_take(s->streams, &q, &now, &reply);
	sim_trace(a->stores.sim,
		  "appliance %u: sender %u shard %u kind %u sequence %llu: outcome %d "
		  "(%s), answer %u",
		  a->index, sender, q.wire.shard, q.wire.kind,
		  (unsigned long long)q.wire.sequence, verdict.outcome,
		  hr_drop_rows[verdict.drop].label, reply.answer.kind);
	if (reply.answer.kind != 0)
		reply_send(a, &reply);
}

void sim_appliance_datagram(struct sim_appliance *a, uint32_t sender,
			    const uint8_t *bytes, uint32_t n)
{
	struct sim_env *before;

	if (!a->is_open || sim_now(a->stores.sim) < a->paused_until_us)
		return;
	before = sim_env_enter(&a->env);
	take_datagram(a, sender, bytes, n);
	sim_env_enter(before);
	step_soon(a);
}

/* HR_MUTANT(floors_after_ack): fold begins a link some turns after its ACKs. */
static bool tells_before_folding(struct sim_appliance *a, struct shard *s,
				 struct hr_link *link)
{
	if (!HR_MUTANT(floors_after_ack) || s->n_told_early++ % 4 == 3)
		return false;
	if (s->n_told_early % 4 == 1) {
		hr_streams_accepted(s->streams, link, hr_mono_us());
		acks_send(a, s);
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
		acks_send(a, s);
	}
	if (!hr_fold_step(s->fold, SLICE))
		return true;
	if (link->body_kind == HR_BODY_CONFIG)
		obey_chain(s);
	link->next_due_us = hr_fold_next_due(s->fold);
	done(a, s, link);
	return true;
}

/* ---- a turn of everything ---- */

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
	const struct hr_now now = { hr_mono_us(), hr_wall_us() };
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
		acks_send(a, s);
		is_busy |= hr_intake_step(&s->intake, now.mono_us,
					  (uint32_t)c->epoch_min_interval_us, false);
		take_closed(a);
		hr_owned_step(&s->owned, &now);
		fill(a, s);
	}
	looking_tidy(a);
	if (is_busy)
		step_soon(a);
}

bool sim_appliance_event(struct sim_appliance *a, uint16_t shard, const char *json)
{
	struct sim_env *before = sim_env_enter(&a->env);
	const bool took = a->is_open && sim_now(a->stores.sim) >= a->paused_until_us &&
			  add_event(&a->shards[shard], json);

	sim_env_enter(before);
	step_soon(a);
	return took;
}

void sim_appliance_flood(struct sim_appliance *a, sim_flood next, void *arg)
{
	a->flood = next;
	a->flood_arg = arg;
	step_soon(a);
}

/* ---- life and death ---- */

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
		obey_chain(s);
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

static bool owns(const void *owner, uint16_t shard)
{
	struct sim_appliance *a = (struct sim_appliance *)(uintptr_t)owner;

	return atomic_load(&a->shards[shard].owned.view.is_ours);
}

static void views_start(struct sim_appliance *a)
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

static void chain_config(struct sim_appliance *a)
{
	const struct hr_config *c = a->stores.config;
	uint64_t *setting = a->conf.file.setting;

	a->conf.file.fold_version = HR_FOLD_VERSION;
	setting[HR_CHAIN_MAX_EVENTS] = c->epoch_max_events;
	setting[HR_CHAIN_MAX_STREAMS] = a->stores.chain_streams;
	setting[HR_CHAIN_STREAM_MAX_AGE_US] = c->stream_max_age_us;
	setting[HR_CHAIN_KEY_STREAMS] = c->stream_max_per_key;
	setting[HR_CHAIN_TTL_MEMORY_US] = c->stream_ttl_memory_us;
	setting[HR_CHAIN_TTL_DISK_US] = c->stream_ttl_disk_us;
	setting[HR_CHAIN_DEDUP_WINDOW_US] = c->dedup_window_us;
	setting[HR_CHAIN_DEDUP_MAX] = c->dedup_max;
}

static uint64_t position(void *ctx, uint32_t view, uint16_t shard)
{
	struct sim_appliance *a = ctx;
	bool is_redis = view == 0 && a->redis != NULL;

	return is_redis ? hr_view_redis.applied(a->redis, shard)
			: sim_topics_view_applied(a->topics, shard);
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

static void snapshots_start(struct sim_appliance *a)
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

/* All that is made of what was recovered. */
void sim_appliance_open(struct sim_appliance *a)
{
	const uint32_t n = a->stores.set->n_shards;
	const struct hr_config *c = a->stores.config;
	struct hr_log_conf log = { c, a->stores.set, "log" };
	struct hr_err err;

	sim_store_use(a->stores.log, step_soon, a);
	a->shards = aligned_alloc(64, (n * sizeof(*a->shards) + 63) & ~(size_t)63);
	if (a->shards == NULL ||
	    hr_epoch_pool_new(&a->pool, n, EPOCHS_A_SHARD, &err) < 0 ||
	    hr_feed_new(&a->feed, n, c->log_keep_memory_bytes) < 0 ||
	    sim_log_ops.open(&a->log, &log, &err) < 0)
		abort();
	memset(a->shards, 0, n * sizeof(*a->shards));
	a->closed = hr_ring_new(n * EPOCHS_A_SHARD);
	keys_start(a);
	a->conf = (struct hr_owned_conf){
		.ops = &sim_log_ops,
		.log = a->log,
		.set = a->stores.set,
		.clock = &a->clock,
		.addresses = a->address,
		.max_waiting = EPOCHS_A_SHARD,
		.hooks = { .ctx = a,
			   .random = hook_random,
			   .tell = hook_tell,
			   .said = hook_said,
			   .put_epoch = hook_put_epoch,
			   .has_room = hook_has_room,
			   .hand_out = hook_hand_out,
			   .kept = hook_kept,
			   .first_kept = hook_first_kept,
			   .forget = hook_forget,
			   .cloned = hook_cloned },
	};
	if (a->stores.has_snapshots)
		a->conf.hooks.restore = hook_restore;
	if (a->stores.has_holdings) {
		a->conf.others = a->others;
		a->conf.hooks.keep = hook_keep;
	}
	chain_config(a);
	a->is_open = true;
	for (uint16_t i = 0; i < n; i++)
		shard_start(a, i);
	views_start(a);
	snapshots_start(a);
	tick(a->stores.sim, a, a->life);
	step_soon(a);
}

/* A coroutine: as the dataplane begins. */
static void recover(void *arg)
{
	struct sim_appliance *a = arg;
	struct hr_err err;
	int r = 0;

	if (hr_recovery_new(&a->recovery, a->stores.set) < 0)
		abort();
	sim_store_use(a->stores.log, step_soon, a);
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
	looking_drop(&a->looking);
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

void sim_appliance_stop_view(struct sim_appliance *a, uint64_t us)
{
	for (uint16_t i = 0; a->is_open && i < a->stores.set->n_shards; i++)
		if (a->shards[i].publisher != NULL)
			sim_coro_pause(a->shards[i].publisher, us);
}

bool sim_appliance_is_up(const struct sim_appliance *a)
{
	return a->is_up;
}

bool sim_appliance_is_stopped(const struct sim_appliance *a)
{
	for (uint16_t i = 0; a->is_open && i < a->stores.set->n_shards; i++)
		if (a->shards[i].owned.phase == HR_PHASE_STOPPED)
			return true;
	return false;
}

void sim_appliance_step_clock(struct sim_appliance *a, int64_t us)
{
	a->env.wall_skew_us += us;
}

bool sim_appliance_owns(const struct sim_appliance *a, uint16_t shard)
{
	return a->is_open && a->shards[shard].owned.phase == HR_PHASE_READY;
}

bool sim_appliance_is_owner(const struct sim_appliance *a, uint16_t shard)
{
	return a->is_open && owns(a, shard);
}

/* ---- the operator ---- */

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
	step_soon(a);
}

static void accept_loss(struct sim_appliance *a, struct shard *s)
{
	struct sim_env *before = sim_env_enter(&a->env);
	struct hr_err err;

	if (hr_owned_accept_loss(&s->owned, &err) == 0)
		sim_happened(a->stores.sim, SIM_LOSSES);
	sim_env_enter(before);
	step_soon(a);
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
