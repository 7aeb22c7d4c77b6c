/* SPDX-License-Identifier: BSD-3-Clause */

/* Runs for every datagram; calls nothing outside but the rooms it stands between. */

#include <assert.h>

#include "common/mutant.h"
#include "dataplane/poison/notes.h"
#include "dataplane/shard/receive_impl.h"
#include "dataplane/shard/ring.h"
#include <rte_mbuf.h>

/* A further piece of a headerless datagram was received with the first. */
void hr_receive_count(struct hr_receive *r, enum hr_drop verdict, bool is_further)
{
	hr_stat_add(is_further ? r->split : r->received, 1);
	if (verdict != HR_DROP_NONE)
		hr_stat_add(r->verdicts[verdict], 1);
}

/* A lossless source waits for these to pass instead of losing the datagram. */
static bool passes_by_itself(enum hr_drop verdict)
{
	return verdict == HR_DROP_EPOCH_FULL || verdict == HR_DROP_NOT_READY ||
	       verdict == HR_DROP_RING_FULL;
}

static bool is_held(bool is_lossless, enum hr_drop verdict)
{
	return is_lossless && passes_by_itself(verdict);
}

static struct hr_handed *handed(struct rte_mbuf *m)
{
	return (struct hr_handed *)m->buf_addr;
}

static struct hr_item item_of_source(const struct hr_net_beacon *beacon,
				     uint64_t received_us)
{
	struct hr_item item = {
		.family = beacon->family,
		.source_port = beacon->source_port,
		.received_us = received_us,
	};

	memcpy(item.source, beacon->source, sizeof(item.source));
	return item;
}

/* Where an item went: to the epoch, to another worker (who owns the mbuf now), or
 * nowhere (verdict). */
struct route {
	enum hr_drop verdict;
	bool is_handed_over;
};

static struct route to_intake(struct hr_receive *r, uint16_t shard,
			      const struct hr_item *item, const struct hr_now *now)
{
	return (struct route){
		.verdict = hr_intake_add(&r->conf.intakes[shard], item, now->mono_us),
	};
}

static void flush(struct hr_receive *r, uint32_t worker)
{
	struct hr_batch *out = &r->out[worker];
	uint32_t n = rte_ring_enqueue_burst(r->conf.to[worker], (void **)out->mbufs,
					    out->n, NULL);

	assert(n == out->n); /* to_worker() looked: only we make it fuller */
	(void)n;
	out->n = 0;
}

/* m's headroom takes what is known; its payload lies in m. False: no room. */
bool hr_receive_hand_over(struct hr_receive *r, uint32_t worker,
			  const struct hr_handed *what, struct rte_mbuf *m)
{
	struct hr_batch *out = &r->out[worker];

	assert(m->data_off >= sizeof(*what));
	if (hr_ring_room(r->conf.to[worker]) <= out->n)
		return false;
	*handed(m) = *what;
	out->mbufs[out->n++] = m;
	if (out->n == HR_RX_BURST)
		flush(r, worker);
	return true;
}

static struct route to_worker(struct hr_receive *r, const struct hr_handed *what,
			      struct rte_mbuf *m)
{
	if (!hr_receive_hand_over(r, r->conf.worker_of_shard[what->shard], what, m))
		return (struct route){ .verdict = HR_DROP_RING_FULL };
	return (struct route){ .is_handed_over = true };
}

static bool is_own(const struct hr_receive *r, uint16_t shard)
{
	return r->conf.worker_of_shard[shard] == r->conf.worker;
}

/* A datagram with a header. Returns false where it has to wait. */
static bool take_wire(struct hr_receive *r, struct hr_lane *lane,
		      const struct hr_now *now)
{
	const struct hr_net_beacon *beacon = &lane->beacons[lane->at];
	struct rte_mbuf *m = lane->mbufs[lane->at];
	struct route route;
	struct hr_item item;
	struct hr_wire wire;

	route.verdict = hr_beacon_read(&r->conf.rules, beacon->payload,
				       beacon->payload_bytes, &wire);
	if (route.verdict != HR_DROP_NONE) {
		hr_receive_count(r, route.verdict, false);
		rte_pktmbuf_free(m);
		return true;
	}
	item = item_of_source(beacon, lane->received_us);
	item.kind = HR_ITEM_DATAGRAM;
	item.codec = wire.codec;
	item.n_events = wire.n_events;
	item.flags = wire.flags;
	item.key_id = wire.key_id;
	item.client_drops = wire.client_drops;
	item.birth = wire.birth;
	item.random = wire.random;
	item.sequence = wire.sequence;
	item.sent_us = wire.sent_us;
	item.payload = wire.payload;
	if (is_own(r, wire.shard))
		route = to_intake(r, wire.shard, &item, now);
	else
		route = to_worker(r,
				  &(struct hr_handed){ .is_lossless = lane->is_lossless,
						       .shard = wire.shard,
						       .item = item },
				  m);
	if (is_held(lane->is_lossless, route.verdict))
		return false;
	if (route.is_handed_over)
		return true; /* its new owner counts and frees it */
	hr_receive_count(r, route.verdict, false);
	rte_pktmbuf_free(m);
	return true;
}

/* A piece for another worker goes in an mbuf of its own. */
static struct route piece_to_worker(struct hr_receive *r, struct hr_handed *what,
				    struct rte_mempool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct hr_str *payload = &what->item.payload;
	struct route route;
	char *at = m != NULL ? rte_pktmbuf_append(m, (uint16_t)payload->n) : NULL;

	if (at == NULL) {
		rte_pktmbuf_free(m);
		return (struct route){ .verdict = HR_DROP_RING_FULL };
	}
	memcpy(at, payload->p, payload->n);
	payload->p = (const uint8_t *)at;
	route = to_worker(r, what, m);
	if (!route.is_handed_over)
		rte_pktmbuf_free(m);
	return route;
}

static struct route take_piece(struct hr_receive *r, struct hr_lane *lane,
			       const struct hr_now *now)
{
	const struct hr_piece *piece = &lane->split.pieces[lane->piece];
	struct hr_handed what = {
		.item = item_of_source(&lane->beacons[lane->at], lane->received_us),
		.shard = piece->shard,
		.is_lossless = lane->is_lossless,
		.is_further = lane->piece > 0,
	};

	if (piece->refused != HR_DROP_NONE)
		return (struct route){ .verdict = piece->refused };
	what.item.kind = HR_ITEM_EVENT;
	what.item.codec = HR_CODEC_JSON;
	what.item.n_events = (uint16_t)piece->n_events;
	what.item.payload = piece->payload;
	return is_own(r, piece->shard)
		       ? to_intake(r, piece->shard, &what.item, now)
		       : piece_to_worker(r, &what, lane->mbufs[lane->at]->pool);
}

/* A datagram without a header; true where all its pieces have a verdict. */
static bool take_headerless(struct hr_receive *r, struct hr_lane *lane,
			    const struct hr_now *now)
{
	const struct hr_net_beacon *beacon = &lane->beacons[lane->at];
	enum hr_drop verdict;

	if (!lane->is_split) {
		verdict = hr_beacon_split(&r->conf.rules, beacon->payload,
					  beacon->payload_bytes, &lane->split);
		if (verdict != HR_DROP_NONE) {
			hr_receive_count(r, verdict, false);
			rte_pktmbuf_free(lane->mbufs[lane->at]);
			return true;
		}
		lane->is_split = true;
		lane->piece = 0;
	}
	for (; lane->piece < lane->split.n_pieces; lane->piece++) {
		struct route route = take_piece(r, lane, now);

		if (is_held(lane->is_lossless, route.verdict))
			return false;
		if (!route.is_handed_over)
			hr_receive_count(r, route.verdict, lane->piece > 0);
	}
	lane->is_split = false;
	rte_pktmbuf_free(lane->mbufs[lane->at]);
	return true;
}

static bool is_barred(const struct hr_receive *r, const struct hr_net_beacon *beacon)
{
	return r->conf.barred != NULL &&
	       hr_barred_has(r->conf.barred, beacon->payload, beacon->payload_bytes);
}

/* Returns false where the datagram has to wait. */
static bool take(struct hr_receive *r, struct hr_lane *lane, const struct hr_now *now)
{
	const struct hr_net_beacon *beacon = &lane->beacons[lane->at];

	if (lane->verdicts[lane->at] == HR_DROP_NONE && is_barred(r, beacon))
		lane->verdicts[lane->at] = HR_DROP_POISON;
	if (lane->verdicts[lane->at] != HR_DROP_NONE) {
		hr_receive_count(r, lane->verdicts[lane->at], false);
		rte_pktmbuf_free(lane->mbufs[lane->at]);
		return true;
	}
	hr_note_datagram(beacon->payload, beacon->payload_bytes);
	if (hr_beacon_is_headerless(beacon->payload, beacon->payload_bytes))
		return take_headerless(r, lane, now);
	if (r->conf.seats != NULL) {
		hr_question_take(r, lane, now);
		return true;
	}
	return take_wire(r, lane, now);
}

static void turn_round(struct rte_mbuf **mbufs, uint32_t n)
{
	for (uint32_t i = 0; i < n / 2; i++) {
		struct rte_mbuf *m = mbufs[i];

		mbufs[i] = mbufs[n - 1 - i];
		mbufs[n - 1 - i] = m;
	}
}

static uint32_t step(struct hr_receive *r, struct hr_lane *lane,
		     const struct hr_now *now)
{
	uint32_t before;

	if (lane->at == lane->n) {
		lane->at = 0;
		lane->n = hr_rxq_burst(lane->queue, lane->mbufs, HR_RX_BURST,
				       now->mono_us);
		if (lane->n == 0)
			return 0;
		if (HR_MUTANT(burst_backwards))
			turn_round(lane->mbufs, lane->n);
		lane->received_us = now->wall_us;
		hr_net_parse_burst(lane->mbufs, lane->n, r->conf.udp_ports,
				   lane->beacons, lane->verdicts);
		if (r->conf.seats != NULL)
			hr_questions_prefetch(r, lane);
	}
	before = lane->at;
	while (lane->at < lane->n && take(r, lane, now))
		lane->at++;
	hr_note_datagrams_are_done();
	return lane->at - before;
}

void hr_receive_flush_rings(struct hr_receive *r)
{
	for (uint32_t w = 0; w < r->conf.n_workers; w++)
		if (r->out[w].n > 0)
			flush(r, w);
}

uint32_t hr_receive_poll(struct hr_receive *r, const struct hr_now *now)
{
	uint32_t n = 0;

	if (r->conf.seats != NULL)
		hr_tokens_turn(&r->tokens, now->wall_us);
	for (uint32_t i = 0; i < r->n_lanes; i++)
		n += step(r, &r->lanes[i], now);
	hr_receive_flush(r);
	return n;
}

/* Returns false where it has to wait. */
static bool take_handed(struct hr_receive *r, struct rte_mbuf *m,
			const struct hr_now *now)
{
	const struct hr_handed *h = handed(m);
	enum hr_drop verdict;

	if (h->kind != HR_HANDED_ITEM) {
		hr_question_take_handed(r, m, now);
		return true;
	}
	assert(is_own(r, h->shard));
	verdict = hr_intake_add(&r->conf.intakes[h->shard], &h->item, now->mono_us);
	if (is_held(h->is_lossless, verdict))
		return false;
	hr_receive_count(r, verdict, h->is_further);
	rte_pktmbuf_free(m);
	return true;
}

static uint32_t take_batch(struct hr_receive *r, uint32_t from,
			   const struct hr_now *now)
{
	struct hr_batch *in = &r->in[from];
	uint32_t before;

	if (in->at == in->n) {
		in->at = 0;
		in->n = rte_ring_dequeue_burst(r->conf.from[from], (void **)in->mbufs,
					       HR_RX_BURST, NULL);
	}
	before = in->at;
	while (in->at < in->n && take_handed(r, in->mbufs[in->at], now))
		in->at++;
	hr_note_datagrams_are_done();
	return in->at - before;
}

uint32_t hr_receive_take_over(struct hr_receive *r, const struct hr_now *now)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < r->conf.n_workers; w++)
		if (r->conf.from[w] != NULL)
			n += take_batch(r, w, now);
	return n;
}

static void shut_down_lane(struct hr_receive *r, struct hr_lane *lane,
			   const struct hr_now *now)
{
	for (; lane->at < lane->n; lane->at++) {
		if (take(r, lane, now))
			continue;
		if (!lane->is_split)
			hr_receive_count(r, HR_DROP_SHUTDOWN, false);
		for (; lane->is_split && lane->piece < lane->split.n_pieces;
		     lane->piece++)
			hr_receive_count(r, HR_DROP_SHUTDOWN, lane->piece > 0);
		lane->is_split = false;
		rte_pktmbuf_free(lane->mbufs[lane->at]);
	}
	hr_note_datagrams_are_done();
}

void hr_receive_end_queues(struct hr_receive *r, const struct hr_now *now)
{
	for (uint32_t i = 0; i < r->n_lanes; i++)
		shut_down_lane(r, &r->lanes[i], now);
	hr_receive_flush_rings(r);
}

void hr_receive_end_rings(struct hr_receive *r, const struct hr_now *now)
{
	for (uint32_t w = 0; w < r->conf.n_workers; w++) {
		struct hr_batch *in = &r->in[w];

		while (r->conf.from[w] != NULL &&
		       (take_batch(r, w, now) > 0 || in->at < in->n)) {
			if (in->at == in->n)
				continue;
			hr_receive_count(r, HR_DROP_SHUTDOWN,
					 handed(in->mbufs[in->at])->is_further);
			rte_pktmbuf_free(in->mbufs[in->at++]);
		}
	}
}
