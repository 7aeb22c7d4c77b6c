/* SPDX-License-Identifier: BSD-3-Clause */

/* What an appliance's senders ask, and what they are told. */

#include <string.h>

#include "common/clock.h"
#include "common/wire.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/fold/fold.h"
#include "dataplane/shard/streams.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/world.h"

#define ANSWERS_AT_ONCE 16u

static struct hr_streams_now streams_now(const struct shard *s)
{
	const struct hr_shard_view *v = &s->owned.view;
	const int64_t offset_us = atomic_load(&v->clock_offset_us);
	const uint64_t last_us = hr_fold_clock(s->fold);
	const uint64_t mono_us = hr_mono_us();
	const uint64_t wall_us = hr_wall_us();
	struct hr_streams_now now = {
		.mono_us = mono_us,
		.wall_us = wall_us,
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

void sim_appliance_acks_send(struct sim_appliance *a, struct shard *s)
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

static const char *word_of(const struct hr_verdict_of *v)
{
	static const char *const words[] = {
		[HR_OUTCOME_TAKEN] = "taken",
		[HR_OUTCOME_REPEATED] = "repeated",
		[HR_OUTCOME_ANSWERED] = "answered",
	};

	return v->outcome == HR_OUTCOME_DROP ? hr_drop_rows[v->drop].label
					     : words[v->outcome];
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
		  word_of(&verdict), reply.answer.kind);
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
	sim_appliance_step_soon(a);
}
