/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where SDKs are acknowledged: questions to the streams of their shard, answers to the
 * queue that the question came by. Runs for every datagram; calls nothing outside but
 * the rooms it stands between.
 *
 *   lane ─▶ authentic? ─┬─ own shard ─▶ streams ─▶ answer ─▶ its lane, this worker's or
 *                       └─ another's ─▶ [ring] ─▶ streams there      another's [ring]
 */

#include <rte_mbuf.h>

#include "common/crash_point.h"

#include "dataplane/poison/notes.h"
#include "dataplane/shard/receive_impl.h"

#define ACKS_AT_ONCE 16u
#define READ_TRIES 4u

/* Of the header, docs/wire-format.md: looked at before it is judged. */
#define AT_SHARD 10u
#define AT_BIRTH 24u
#define AT_RANDOM 32u

/* ---- what the shard is now ---- */

/* Addresses of the owner, or none where they are being written just now. */
static struct hr_str owner_read(struct hr_receive *r,
				const struct hr_known_owner *known)
{
	uint64_t words[HR_OWNER_WORDS];

	for (uint32_t i = 0; i < READ_TRIES; i++) {
		/* Pairs with the stores of hr_known_owner_set(). */
		uint64_t version =
			atomic_load_explicit(&known->version, memory_order_seq_cst);

		for (uint32_t w = 0; w < HR_OWNER_WORDS; w++)
			words[w] = atomic_load_explicit(&known->words[w],
							memory_order_seq_cst);
		if ((version & 1) != 0 ||
		    version !=
			    atomic_load_explicit(&known->version, memory_order_seq_cst))
			continue;
		memcpy(r->owner, &words[1], sizeof(words) - sizeof(words[0]));
		return (struct hr_str){ (const uint8_t *)r->owner, (uint32_t)words[0] };
	}
	return (struct hr_str){ NULL, 0 };
}

/* Record time by the process' offset; 0: there is none yet. */
static uint64_t clock_at(const struct hr_shard_view *view, uint64_t mono_us)
{
	const int64_t offset_us =
		atomic_load_explicit(&view->clock_offset_us, memory_order_relaxed);

	return offset_us == INT64_MIN ? 0 : (uint64_t)((int64_t)mono_us + offset_us);
}

static struct hr_streams_now shard_now(struct hr_receive *r, uint16_t shard,
				       const struct hr_now *now)
{
	const struct hr_shard_view *view = r->conf.intakes[shard].view;
	const struct hr_seat *seat = &r->conf.seats[shard];
	struct hr_streams_now out = {
		.mono_us = now->mono_us,
		.wall_us = now->wall_us,
		.clock_us = clock_at(view, now->mono_us),
		/* Acquire: what else is read of the view is not older. */
		.state = (enum hr_shard_state)atomic_load_explicit(
			&view->state, memory_order_acquire),
		.may_ack = atomic_load_explicit(&view->may_ack, memory_order_acquire),
		.incarnation =
			atomic_load_explicit(&view->incarnation, memory_order_relaxed),
	};
	const uint64_t last_us = hr_fold_clock(seat->fold);

	/* A chain's time never goes back, whoever's clock it was. */
	if (out.clock_us != 0 && out.clock_us < last_us)
		out.clock_us = last_us;
	if (out.state == HR_SHARD_FENCED)
		out.addresses = owner_read(r, &seat->owner);
	return out;
}

/* ---- answers leave ---- */

static void lose(struct hr_receive *r, struct rte_mbuf *m)
{
	hr_stat_add(r->answers_lost, 1);
	rte_pktmbuf_free(m);
}

static void lane_flush(struct hr_receive *r, struct hr_lane *lane)
{
	struct hr_txq *queue = hr_rxq_answers(lane->queue);
	uint32_t n = 0;

	if (queue != NULL)
		n = hr_txq_burst(queue, lane->answers, lane->n_answers);
	hr_stat_add(r->answers_sent, n);
	HR_CRASH_POINT(ack_sent);
	/* One that finds no place is as good as lost on the way: it is asked again. */
	for (; n < lane->n_answers; n++)
		lose(r, lane->answers[n]);
	lane->n_answers = 0;
}

void hr_receive_flush(struct hr_receive *r)
{
	for (uint32_t i = 0; i < r->n_lanes; i++)
		if (r->lanes[i].n_answers > 0)
			lane_flush(r, &r->lanes[i]);
	hr_receive_flush_rings(r);
}

static void leave_by(struct hr_receive *r, uint32_t lane_no, struct rte_mbuf *m)
{
	struct hr_lane *lane;

	if (lane_no >= r->n_lanes) {
		lose(r, m);
		return;
	}
	lane = &r->lanes[lane_no];
	lane->answers[lane->n_answers++] = m;
	if (lane->n_answers == HR_RX_BURST)
		lane_flush(r, lane);
}

static void leave(struct hr_receive *r, const struct hr_way *way, struct rte_mbuf *m)
{
	const struct hr_handed what = { .kind = HR_HANDED_ANSWER,
					.worker = way->worker,
					.lane = way->lane };

	if (way->worker == r->conf.worker)
		leave_by(r, way->lane, m);
	else if (!hr_receive_hand_over(r, way->worker, &what, m))
		lose(r, m);
}

static void answer(struct hr_receive *r, const struct hr_reply *reply, uint64_t wall_us)
{
	const struct hr_net_way *net = &reply->way.net;
	const uint8_t *key = hr_keyring_find(r->conf.rules.keys, reply->answer.key_id);
	struct rte_mbuf *m;
	uint8_t *frame;
	uint32_t n;

	m = key == NULL || net->family == 0 || r->pool == NULL
		    ? NULL
		    : rte_pktmbuf_alloc(r->pool);
	if (m == NULL) {
		lose(r, NULL);
		return;
	}
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	n = hr_answer_encode(&reply->answer, key, wall_us,
			     frame + HR_NET_ANSWER_HEAD(net));
	if (n > 0)
		n = hr_net_answer_write(frame, net, n);
	if (n == 0) {
		rte_pktmbuf_free(m);
		return;
	}
	m->data_len = (uint16_t)n;
	m->pkt_len = n;
	leave(r, &reply->way, m);
}

/* ---- questions ---- */

static void count_asked(struct hr_receive *r, enum hr_asked what)
{
	hr_receive_count(r, HR_DROP_NONE, false);
	hr_stat_add(r->answered[what], 1);
}

/* One offset a process: of whichever shard has been an owner's. */
static uint64_t any_clock(const struct hr_receive *r, uint64_t mono_us)
{
	uint64_t clock_us = 0;

	for (uint32_t s = 0; s < r->conf.rules.n_shards && clock_us == 0; s++)
		clock_us = clock_at(r->conf.intakes[s].view, mono_us);
	return clock_us;
}

/* The chains' word, as soon as one of ours is read. */
static uint64_t max_age_us(const struct hr_receive *r)
{
	for (uint32_t s = r->conf.worker; s < r->conf.rules.n_shards; s++)
		if (r->conf.worker_of_shard[s] == r->conf.worker &&
		    hr_fold_n(r->conf.seats[s].fold) > 0)
			return hr_fold_config(r->conf.seats[s].fold)
				->setting[HR_CHAIN_STREAM_MAX_AGE_US];
	return r->conf.max_age_us;
}

static void challenge(struct hr_receive *r, const struct hr_question *q,
		      const struct hr_now *now)
{
	const uint64_t clock_us = any_clock(r, now->mono_us);
	struct hr_reply reply = {
		.answer = { .kind = HR_KIND_CHALLENGE,
			    .room = q->bytes,
			    .n_shards = r->conf.rules.n_shards,
			    .generation = r->conf.rules.generation,
			    .key_id = q->wire.key_id,
			    .attempt = q->wire.attempt,
			    .wait_ms = hr_tokens_good_ms(now->wall_us),
			    .random = q->wire.random,
			    .token = hr_token_make(&r->tokens, &q->from),
			    .server_us = clock_us,
			    .echo_us = q->wire.sent_us,
			    .span_us = max_age_us(r) },
		.way = *q->way,
	};

	if (clock_us == 0) { /* no time to tell: no owner has a clock yet */
		hr_receive_count(r, HR_DROP_NOT_READY, false);
		return;
	}
	count_asked(r, HR_ASKED_HELLO);
	answer(r, &reply, now->wall_us);
}

/* The data set is another one than the sender thinks. */
static void set_right(struct hr_receive *r, const struct hr_question *q,
		      enum hr_drop why, const struct hr_now *now)
{
	struct hr_reply reply = {
		.answer = { .kind = HR_KIND_WRONG_SHARD,
			    .room = q->bytes,
			    .shard = q->wire.shard,
			    .n_shards = r->conf.rules.n_shards,
			    .generation = r->conf.rules.generation,
			    .key_id = q->wire.key_id,
			    .attempt = q->wire.attempt,
			    .birth = q->wire.birth,
			    .random = q->wire.random },
		.way = *q->way,
	};

	hr_receive_count(r, why, false);
	answer(r, &reply, now->wall_us);
}

static void count_verdict(struct hr_receive *r, const struct hr_question *q,
			  const struct hr_verdict_of *v)
{
	switch (v->outcome) {
	case HR_OUTCOME_TAKEN:
		hr_receive_count(r, HR_DROP_NONE, false);
		break;
	case HR_OUTCOME_REPEATED:
		hr_receive_count(r, HR_DROP_NONE, false);
		hr_stat_add(r->repeated, 1);
		break;
	case HR_OUTCOME_ANSWERED:
		count_asked(r, q->wire.kind == HR_KIND_PROBE ? HR_ASKED_PROBE
							     : HR_ASKED_SKIP);
		break;
	case HR_OUTCOME_DROP:
		hr_receive_count(r, v->drop, false);
		break;
	}
	hr_receive_dropped(r, HR_DROP_DISPLACED, v->n_displaced);
}

static void ask_streams(struct hr_receive *r, struct hr_question *q,
			const struct hr_now *now)
{
	const uint16_t shard = q->wire.shard;
	const struct hr_streams_now at = shard_now(r, shard, now);
	struct hr_verdict_of v;
	struct hr_reply reply;

	if (q->wire.kind == HR_KIND_PROBE) /* the only one whose answer brings it */
		q->token = hr_token_make(&r->tokens, &q->from);
	v = hr_streams_take(r->conf.seats[shard].streams, q, &at, &reply);
	count_verdict(r, q, &v);
	if (reply.answer.kind != 0)
		answer(r, &reply, now->wall_us);
}

static struct hr_token_of token_of(const struct hr_net_beacon *beacon, uint32_t key_id)
{
	struct hr_token_of of = {
		.source_port = beacon->source_port,
		.family = beacon->family,
		.key_id = key_id,
	};

	memcpy(of.source, beacon->source, sizeof(of.source));
	return of;
}

/* Everything of a question but its wire form. */
static struct hr_question question_of(struct hr_receive *r,
				      const struct hr_net_beacon *beacon,
				      uint64_t received_us, struct hr_way *way,
				      struct rte_mbuf *m)
{
	hr_net_way_back(rte_pktmbuf_mtod(m, const uint8_t *), beacon, &way->net);
	r->pool = m->pool;
	return (struct hr_question){ .bytes = beacon->payload_bytes,
				     .from = token_of(beacon, 0),
				     .received_us = received_us,
				     .way = way };
}

void hr_question_take(struct hr_receive *r, struct hr_lane *lane,
		      const struct hr_now *now)
{
	const struct hr_net_beacon *beacon = &lane->beacons[lane->at];
	struct rte_mbuf *m = lane->mbufs[lane->at];
	struct hr_way way = { .worker = (uint8_t)r->conf.worker,
			      .lane = (uint8_t)(lane - r->lanes) };
	struct hr_question q = question_of(r, beacon, lane->received_us, &way, m);
	enum hr_drop drop =
		hr_beacon_ask(&r->conf.rules, &r->tokens, &q.from, beacon->payload,
			      beacon->payload_bytes, &q.wire);

	q.from.key_id = q.wire.key_id;
	if (drop == HR_DROP_GENERATION || drop == HR_DROP_WRONG_S ||
	    drop == HR_DROP_WRONG_SHARD) {
		set_right(r, &q, drop, now);
	} else if (drop != HR_DROP_NONE) {
		hr_receive_count(r, drop, false);
	} else if (q.wire.kind == HR_KIND_HELLO) {
		challenge(r, &q, now);
	} else if (r->conf.worker_of_shard[q.wire.shard] == r->conf.worker) {
		ask_streams(r, &q, now);
	} else {
		const struct hr_handed what = {
			.kind = HR_HANDED_QUESTION,
			.worker = way.worker,
			.lane = way.lane,
			.shard = q.wire.shard,
			.question = { *beacon, lane->received_us },
		};

		if (hr_receive_hand_over(r, r->conf.worker_of_shard[q.wire.shard],
					 &what, m))
			return; /* its new owner counts and frees it */
		hr_receive_count(r, HR_DROP_RING_FULL, false);
	}
	rte_pktmbuf_free(m);
}

void hr_question_take_handed(struct hr_receive *r, struct rte_mbuf *m,
			     const struct hr_now *now)
{
	/* Out of the headroom: the mbuf may be another answer's soon. */
	const struct hr_handed h = *(const struct hr_handed *)m->buf_addr;
	const struct hr_net_beacon *beacon = &h.question.beacon;
	struct hr_way way = { .worker = h.worker, .lane = h.lane };
	struct hr_question q;

	if (h.kind == HR_HANDED_ANSWER) {
		leave_by(r, h.lane, m);
		return;
	}
	q = question_of(r, beacon, h.question.received_us, &way, m);
	hr_note_datagram(beacon->payload, beacon->payload_bytes);
	/* The worker before has judged these bytes. */
	(void)hr_wire_decode(&q.wire, beacon->payload, beacon->payload_bytes);
	q.from.key_id = q.wire.key_id;
	ask_streams(r, &q, now);
	rte_pktmbuf_free(m);
}

/* What is not authentic yet costs a prefetch at most. */
void hr_questions_prefetch(const struct hr_receive *r, const struct hr_lane *lane)
{
	const struct hr_streams *of[HR_RX_BURST];
	uint32_t hashes[HR_RX_BURST], n = 0;

	for (uint32_t i = 0; i < lane->n; i++) {
		const uint8_t *p = lane->beacons[i].payload;
		uint16_t shard;

		if (lane->verdicts[i] != HR_DROP_NONE ||
		    lane->beacons[i].payload_bytes < HR_WIRE_HEADER_BYTES)
			continue;
		shard = hr_load16(p + AT_SHARD);
		if (shard >= r->conf.rules.n_shards ||
		    r->conf.worker_of_shard[shard] != r->conf.worker)
			continue;
		of[n] = r->conf.seats[shard].streams;
		hashes[n] = hr_streams_hash(of[n], hr_load64(p + AT_BIRTH),
					    hr_load64(p + AT_RANDOM));
		hr_streams_prefetch_slot(of[n], hashes[n]);
		n++;
	}
	for (uint32_t i = 0; i < n; i++)
		hr_streams_prefetch_line(of[i], hashes[i]);
}

/* ---- what is due without a question ---- */

void hr_receive_dropped(struct hr_receive *r, enum hr_drop reason, uint32_t n)
{
	if (n > 0)
		hr_stat_add(r->verdicts[reason], n);
}

void hr_receive_observe(struct hr_receive *r, uint16_t shard, uint64_t wall_us)
{
	const struct hr_waited *w;
	uint32_t n = hr_streams_waited(r->conf.seats[shard].streams, &w);

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t since_us = w[i].received_us;

		hr_stat_observe_many_us(r->ack_latency,
					wall_us > since_us ? wall_us - since_us : 0,
					w[i].n);
	}
}

void hr_receive_tell(struct hr_receive *r, uint16_t shard, const struct hr_now *now)
{
	struct hr_streams *streams = r->conf.seats[shard].streams;
	struct hr_reply replies[ACKS_AT_ONCE];
	struct hr_streams_now at;
	uint32_t n;

	hr_receive_dropped(r, HR_DROP_DISPLACED,
			   hr_streams_step(streams, now->mono_us));
	if (!hr_streams_is_busy(streams))
		return;
	at = shard_now(r, shard, now);
	do {
		n = hr_streams_due(streams, &at, replies, ACKS_AT_ONCE);
		for (uint32_t i = 0; i < n; i++)
			answer(r, &replies[i], now->wall_us);
	} while (n == ACKS_AT_ONCE);
}
