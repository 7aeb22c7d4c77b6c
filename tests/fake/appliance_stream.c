/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/siphash.h"
#include "tests/fake/appliance_stream.h"

#define HEADER 80
#define TAG 16
#define AHEAD 64

enum kind {
	DATA = 1,
	HELLO,
	CHALLENGE,
	ACK,
	PROBE,
	PROBE_ANSWER,
	SKIP,
	NOT_OWNER,
	BUSY,
	EXPIRED,
	WRONG_SHARD
};

struct item {
	uint64_t birth, random, sequence;
	uint8_t kind, codec;
	uint32_t n;
	uint8_t bytes[1472];
};

struct list {
	struct item *items;
	uint32_t n, max;
};

struct sender { /* who asked last for a stream */
	uint64_t birth, random;
	uint32_t source, attempt;
	bool wants_ack;
};

/* One appliance's view of one shard. */
struct room {
	bool believes; /* that it owns it */
	uint64_t incarnation;
	struct list tentative, parked;
	struct sender senders[64];
	uint32_t n_senders;
	uint64_t commit_at_us; /* 0: nothing is open */
};

struct appliance {
	bool is_down;
	struct room *rooms;
};

struct chain {
	struct list log;
	uint32_t owner;
	uint64_t incarnation;
};

struct seen { /* everything bound that ever came, for the laws */
	uint64_t birth, random, sequence;
	uint32_t shard;
	uint8_t hash[16];
	uint32_t attempts[512];
	uint64_t sent_us[512];
	uint32_t n_attempts;
};

struct fake_cluster {
	struct fake_conf conf;
	struct appliance appliances[FAKE_APPLIANCES_MAX];
	struct chain *chains;
	struct seen *seen;
	uint32_t n_seen, max_seen;
	uint64_t secret, random;
	uint32_t n_busy;
	struct fake_counts counts;
};

struct question {
	enum kind kind;
	uint32_t appliance, source, shard, attempt, n;
	uint64_t birth, random, sequence, sent_us, token;
	const uint8_t *p;
	uint8_t stream_key[16];
};

static uint64_t draw(struct fake_cluster *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random;
}

static void list_add(struct list *l, const struct item *i)
{
	if (l->n == l->max) {
		l->max = l->max == 0 ? 16 : l->max * 2;
		l->items = realloc(l->items, l->max * sizeof(*l->items));
		if (l->items == NULL)
			abort();
	}
	l->items[l->n++] = *i;
}

static void list_remove(struct list *l, uint32_t at)
{
	memmove(l->items + at, l->items + at + 1, (l->n - at - 1) * sizeof(*l->items));
	l->n--;
}

static void room_clear(struct room *r)
{
	r->tentative.n = r->parked.n = 0;
	r->commit_at_us = 0;
}

struct fake_cluster *fake_cluster_new(const struct fake_conf *conf)
{
	struct fake_cluster *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->conf = *conf;
	c->random = conf->seed * 2 + 1;
	c->secret = draw(c);
	c->chains = calloc(conf->n_shards, sizeof(*c->chains));
	for (uint32_t a = 0; a < conf->n_appliances; a++)
		c->appliances[a].rooms =
			calloc(conf->n_shards, sizeof(*c->appliances[a].rooms));
	for (uint32_t s = 0; s < conf->n_shards; s++)
		fake_take(c, s % conf->n_appliances, s);
	return c;
}

static void forget_shards(struct fake_cluster *c)
{
	for (uint32_t s = 0; s < c->conf.n_shards; s++) {
		free(c->chains[s].log.items);
		for (uint32_t a = 0; a < c->conf.n_appliances; a++) {
			free(c->appliances[a].rooms[s].tentative.items);
			free(c->appliances[a].rooms[s].parked.items);
		}
	}
	for (uint32_t a = 0; a < c->conf.n_appliances; a++)
		free(c->appliances[a].rooms);
	free(c->chains);
}

void fake_cluster_free(struct fake_cluster *c)
{
	forget_shards(c);
	free(c->seen);
	free(c);
}

void fake_set_shape(struct fake_cluster *c, uint32_t n_shards, uint32_t generation)
{
	forget_shards(c);
	c->conf.n_shards = n_shards;
	c->conf.generation = generation;
	c->chains = calloc(n_shards, sizeof(*c->chains));
	for (uint32_t a = 0; a < c->conf.n_appliances; a++)
		c->appliances[a].rooms =
			calloc(n_shards, sizeof(*c->appliances[a].rooms));
	for (uint32_t s = 0; s < n_shards; s++)
		fake_take(c, s % c->conf.n_appliances, s);
}

void fake_take(struct fake_cluster *c, uint32_t appliance, uint32_t shard)
{
	struct room *r = &c->appliances[appliance].rooms[shard];

	c->chains[shard].owner = appliance;
	r->incarnation = ++c->chains[shard].incarnation;
	r->believes = true;
	room_clear(r);
}

void fake_restart(struct fake_cluster *c, uint32_t appliance)
{
	for (uint32_t s = 0; s < c->conf.n_shards; s++) {
		struct room *r = &c->appliances[appliance].rooms[s];

		r->believes = false;
		room_clear(r);
		r->n_senders = 0;
		if (c->chains[s].owner == appliance)
			fake_take(c, appliance, s);
	}
}

void fake_set_down(struct fake_cluster *c, uint32_t appliance, bool is_down)
{
	c->appliances[appliance].is_down = is_down;
}

void fake_truncate(struct fake_cluster *c, uint32_t shard, uint32_t n)
{
	struct list *log = &c->chains[shard].log;

	log->n -= n < log->n ? n : log->n;
	fake_take(c, c->chains[shard].owner, shard);
}

void fake_set_credit(struct fake_cluster *c, uint32_t credit)
{
	c->conf.credit = credit;
}

void fake_set_clock(struct fake_cluster *c, uint64_t wall_us)
{
	c->conf.wall_us = wall_us;
}

void fake_change_secret(struct fake_cluster *c)
{
	c->secret = draw(c);
}

void fake_set_busy(struct fake_cluster *c, uint32_t n)
{
	c->n_busy = n;
}

uint32_t fake_log_items(const struct fake_cluster *c, uint32_t shard)
{
	return c->chains[shard].log.n;
}

struct fake_item fake_log_item(const struct fake_cluster *c, uint32_t shard, uint32_t i)
{
	const struct item *it = &c->chains[shard].log.items[i];

	return (struct fake_item){ it->birth, it->random, it->sequence, it->kind,
				   it->codec, it->bytes,  it->n };
}

struct fake_counts fake_counts(const struct fake_cluster *c)
{
	return c->counts;
}

/* ---- floors ---- */

static uint64_t floor_in(const struct list *l, uint64_t birth, uint64_t random,
			 uint64_t floor)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (l->items[i].birth == birth && l->items[i].random == random &&
		    l->items[i].sequence > floor)
			floor = l->items[i].sequence;
	return floor;
}

static uint64_t accepted(const struct fake_cluster *c, const struct question *q)
{
	return floor_in(&c->chains[q->shard].log, q->birth, q->random, 0);
}

static uint64_t in_order(const struct fake_cluster *c, const struct question *q)
{
	const struct room *r = &c->appliances[q->appliance].rooms[q->shard];

	return floor_in(&r->tentative, q->birth, q->random, accepted(c, q));
}

static uint64_t parked_bits(const struct room *r, uint64_t birth, uint64_t random,
			    uint64_t floor)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < r->parked.n; i++) {
		const struct item *p = &r->parked.items[i];

		if (p->birth == birth && p->random == random && p->sequence > floor &&
		    p->sequence - floor <= AHEAD)
			bits |= (uint64_t)1 << (p->sequence - floor - 1);
	}
	return bits;
}

/* ---- answers ---- */

static void stream_key(const struct fake_cluster *c, uint64_t birth, uint64_t random,
		       uint8_t out[16])
{
	uint8_t message[33] = "headrace stream 1";

	hr_store64(message + 17, birth);
	hr_store64(message + 25, random);
	hr_siphash128(c->conf.key, message, sizeof(message), out);
}

static uint64_t token_for(const struct fake_cluster *c, uint32_t source)
{
	uint8_t key[16] = { 0 }, out[16];

	hr_store64(key, c->secret);
	hr_siphash128(key, &source, sizeof(source), out);
	return hr_load64(out) | 1;
}

static void answer(struct fake_cluster *c, const struct question *q, enum kind kind,
		   uint64_t sequence, uint64_t token, const uint8_t *payload,
		   uint32_t n_payload, uint64_t now_us)
{
	uint8_t p[1472] = { 0 };
	const uint32_t n = HEADER + n_payload + TAG;

	if (n > q->n) {
		c->counts.larger++;
		return;
	}
	memcpy(p, "HRB", 3);
	p[3] = 1;
	p[4] = (uint8_t)kind;
	p[5] = 1;
	p[6] = 1;
	hr_store16(p + 10, (uint16_t)q->shard);
	hr_store16(p + 12, (uint16_t)c->conf.n_shards);
	hr_store32(p + 16, c->conf.generation);
	hr_store32(p + 20, c->conf.key_id);
	hr_store64(p + 24, q->birth);
	hr_store64(p + 32, q->random);
	hr_store64(p + 40, sequence);
	hr_store32(p + 48, q->attempt);
	hr_store64(p + 56, now_us + c->conf.wall_us);
	hr_store64(p + 64, token);
	hr_store16(p + 72, (uint16_t)n_payload);
	if (n_payload > 0)
		memcpy(p + HEADER, payload, n_payload);
	hr_siphash128(q->stream_key, p, n - TAG, p + n - TAG);
	c->conf.emit(c->conf.arg, q->appliance, q->source, p, n);
}

static void ack_payload(const struct fake_cluster *c, const struct room *r,
			const struct question *q, uint64_t floor, uint8_t meaning,
			uint8_t out[40])
{
	memset(out, 0, 40);
	hr_store64(out, r->incarnation);
	hr_store64(out + 8, parked_bits(r, q->birth, q->random, floor));
	hr_store32(out + 16, (uint32_t)c->conf.credit);
	out[22] = meaning;
}

static void ack(struct fake_cluster *c, const struct question *q, uint64_t floor,
		uint8_t meaning, uint64_t now_us)
{
	uint8_t payload[40];

	ack_payload(c, &c->appliances[q->appliance].rooms[q->shard], q, floor, meaning,
		    payload);
	answer(c, q, ACK, floor, 0, payload, 24, now_us);
}

/* ---- taking ---- */

static struct sender *sender_of(struct room *r, const struct question *q)
{
	struct sender *s = NULL;

	for (uint32_t i = 0; i < r->n_senders; i++)
		if (r->senders[i].birth == q->birth &&
		    r->senders[i].random == q->random)
			s = &r->senders[i];
	if (s == NULL)
		s = &r->senders[r->n_senders < 64 ? r->n_senders++ : 0];
	s->birth = q->birth;
	s->random = q->random;
	s->source = q->source;
	s->attempt = q->attempt;
	return s;
}

static struct item item_of(const struct question *q)
{
	struct item i = { .birth = q->birth,
			  .random = q->random,
			  .sequence = q->sequence,
			  .kind = (uint8_t)q->kind,
			  .codec = q->p[7],
			  .n = q->n - HEADER - TAG };

	memcpy(i.bytes, q->p + HEADER, i.n);
	return i;
}

static void open_epoch(struct fake_cluster *c, struct room *r, uint64_t now_us)
{
	if (r->commit_at_us == 0)
		r->commit_at_us = now_us + c->conf.commit_us / 2 +
				  draw(c) % (c->conf.commit_us + 1);
}

/* Parked ones whose turn has come. */
static void unpark(struct fake_cluster *c, struct room *r, const struct question *q)
{
	bool moved = true;

	while (moved) {
		const uint64_t floor = in_order(c, q);

		moved = false;
		for (uint32_t i = 0; i < r->parked.n; i++) {
			const struct item it = r->parked.items[i];

			if (it.birth != q->birth || it.random != q->random ||
			    it.sequence > floor + 1)
				continue;
			list_remove(&r->parked, i);
			if (it.sequence == floor + 1)
				list_add(&r->tentative, &it);
			moved = true;
			break;
		}
	}
}

static void laws_of_senders(struct fake_cluster *c, const struct question *q)
{
	struct seen *s = NULL;
	uint8_t hash[16], key[16] = { 0 };

	hr_siphash128(key, q->p + HEADER, q->n - HEADER - TAG, hash);
	for (uint32_t i = 0; i < c->n_seen && s == NULL; i++)
		if (c->seen[i].birth == q->birth && c->seen[i].random == q->random &&
		    c->seen[i].shard == q->shard && c->seen[i].sequence == q->sequence)
			s = &c->seen[i];
	if (s == NULL) {
		if (c->n_seen == c->max_seen) {
			c->max_seen = c->max_seen == 0 ? 64 : c->max_seen * 2;
			c->seen = realloc(c->seen, c->max_seen * sizeof(*c->seen));
			if (c->seen == NULL)
				abort();
		}
		s = &c->seen[c->n_seen++];
		memset(s, 0, sizeof(*s));
		s->birth = q->birth;
		s->random = q->random;
		s->sequence = q->sequence;
		s->shard = q->shard;
		memcpy(s->hash, hash, sizeof(hash));
	}
	c->counts.rebound += memcmp(s->hash, hash, sizeof(hash)) != 0;
	for (uint32_t i = 0; i < s->n_attempts; i++)
		if (s->attempts[i] == q->attempt) {
			c->counts.same_attempt += s->sent_us[i] != q->sent_us;
			return; /* the network's double */
		}
	if (s->n_attempts < 512) {
		s->attempts[s->n_attempts] = q->attempt;
		s->sent_us[s->n_attempts++] = q->sent_us;
	}
}

static void take_data(struct fake_cluster *c, struct room *r, const struct question *q,
		      uint64_t now_us)
{
	const uint64_t done = accepted(c, q), floor = in_order(c, q);
	const struct item it = item_of(q);

	sender_of(r, q)->wants_ack = true;
	if (q->sequence <= done) {
		c->counts.repeated++;
		ack(c, q, done, 2, now_us);
		return;
	}
	if (q->sequence <= floor) {
		c->counts.repeated++;
	} else if (q->sequence == floor + 1) {
		list_add(&r->tentative, &it);
		unpark(c, r, q);
		open_epoch(c, r, now_us);
	} else if (q->sequence - floor <= AHEAD &&
		   q->sequence - floor <= c->conf.credit &&
		   (parked_bits(r, q->birth, q->random, floor) >>
			    (q->sequence - floor - 1) &
		    1) == 0) {
		c->counts.parked++;
		list_add(&r->parked, &it);
	} else {
		c->counts.dropped++;
	}
	if (c->conf.says_received && draw(c) % 3 == 0)
		ack(c, q, in_order(c, q), 1, now_us);
}

static void take_skip(struct fake_cluster *c, struct room *r, const struct question *q,
		      uint64_t now_us)
{
	struct item it = item_of(q);

	c->counts.skips++;
	sender_of(r, q)->wants_ack = true;
	it.n = 0;
	if (q->sequence <= accepted(c, q)) {
		ack(c, q, accepted(c, q), 2, now_us);
		return;
	}
	if (q->sequence > in_order(c, q)) {
		list_add(&r->tentative, &it);
		unpark(c, r, q);
		open_epoch(c, r, now_us);
	}
}

static void take_probe(struct fake_cluster *c, struct room *r, const struct question *q,
		       uint64_t now_us)
{
	uint8_t payload[40];

	c->counts.probes++;
	ack_payload(c, r, q, accepted(c, q), 2, payload);
	hr_store64(payload + 24, now_us + c->conf.wall_us);
	hr_store64(payload + 32, q->sent_us);
	answer(c, q, PROBE_ANSWER, accepted(c, q), token_for(c, q->source), payload, 40,
	       now_us);
}

static void take_hello(struct fake_cluster *c, const struct question *q,
		       uint64_t now_us)
{
	uint8_t payload[32] = { 0 };

	c->counts.hellos++;
	hr_store64(payload, now_us + c->conf.wall_us);
	hr_store64(payload + 8, q->sent_us);
	hr_store64(payload + 16, c->conf.max_age_us);
	hr_store32(payload + 24, c->conf.token_good_ms);
	hr_store16(payload + 28, (uint16_t)c->conf.largest);
	answer(c, q, CHALLENGE, 0, token_for(c, q->source), payload, 32, now_us);
}

static bool is_expired(struct fake_cluster *c, const struct question *q,
		       uint64_t now_us)
{
	const uint64_t ttl =
		q->birth >> 63 ? c->conf.ttl_disk_us : c->conf.ttl_memory_us;
	const uint64_t oldest = now_us + c->conf.wall_us - c->conf.max_age_us - ttl;
	uint8_t payload[24] = { 0 };

	if (in_order(c, q) > 0 || (q->birth & ~((uint64_t)1 << 63)) >= oldest)
		return false;
	c->counts.expired++;
	hr_store64(payload, c->appliances[q->appliance].rooms[q->shard].incarnation);
	hr_store64(payload + 8, now_us + c->conf.wall_us);
	hr_store64(payload + 16, oldest);
	answer(c, q, EXPIRED, 0, 0, payload, 24, now_us);
	return true;
}

static void say_not_owner(struct fake_cluster *c, const struct question *q,
			  uint64_t now_us)
{
	const struct chain *chain = &c->chains[q->shard];
	const char *address = c->conf.addresses[chain->owner];
	const uint32_t n = (uint32_t)strlen(address);
	uint8_t payload[16 + 40] = { 0 };

	c->counts.not_owner++;
	hr_store64(payload, chain->incarnation);
	if (q->n >= HEADER + 16 + n + TAG) {
		memcpy(payload + 16, address, n);
		payload[8] = (uint8_t)n;
	}
	answer(c, q, NOT_OWNER, 0, 0, payload, payload[8] > 0 ? 16u + payload[8] : 16,
	       now_us);
}

static bool say_busy(struct fake_cluster *c, const struct question *q, uint64_t now_us)
{
	uint8_t payload[16] = { 0 };

	if (c->n_busy == 0 || q->kind != DATA)
		return false;
	c->n_busy--;
	c->counts.busy++;
	hr_store64(payload, c->appliances[q->appliance].rooms[q->shard].incarnation);
	hr_store32(payload + 8, 300);
	payload[12] = 2;
	answer(c, q, BUSY, 0, 0, payload, 16, now_us);
	return true;
}

static bool read_question(const struct fake_cluster *c, const uint8_t *p, uint32_t n,
			  struct question *q)
{
	uint8_t tag[16];

	if (n < HEADER + TAG || n > 1472 || memcmp(p, "HRB\1", 4) != 0 || p[5] != 0 ||
	    p[6] != 1 || hr_load16(p + 72) != n - HEADER - TAG ||
	    hr_load32(p + 20) != c->conf.key_id)
		return false;
	q->kind = (enum kind)p[4];
	q->shard = hr_load16(p + 10);
	q->birth = hr_load64(p + 24);
	q->random = hr_load64(p + 32);
	q->sequence = hr_load64(p + 40);
	q->attempt = hr_load32(p + 48);
	q->sent_us = hr_load64(p + 56);
	q->token = hr_load64(p + 64);
	q->p = p;
	q->n = n;
	stream_key(c, q->birth, q->random, q->stream_key);
	hr_siphash128(q->stream_key, p, n - TAG, tag);
	return memcmp(tag, p + n - TAG, TAG) == 0;
}

void fake_question(struct fake_cluster *c, uint32_t appliance, uint32_t source,
		   const uint8_t *p, uint32_t n, uint64_t now_us)
{
	struct question q = { .appliance = appliance, .source = source };
	struct room *r;

	if (c->appliances[appliance].is_down)
		return;
	if (!read_question(c, p, n, &q)) {
		c->counts.refused_tag++;
		return;
	}
	if (q.kind == HELLO) {
		take_hello(c, &q, now_us);
		return;
	}
	if (hr_load16(p + 12) != c->conf.n_shards ||
	    hr_load32(p + 16) != c->conf.generation || q.shard >= c->conf.n_shards) {
		c->counts.wrong_shard++;
		answer(c, &q, WRONG_SHARD, 0, 0, NULL, 0, now_us);
		return;
	}
	if (q.kind == DATA)
		laws_of_senders(c, &q);
	r = &c->appliances[appliance].rooms[q.shard];
	if (!r->believes) {
		say_not_owner(c, &q, now_us);
		return;
	}
	if (q.kind == PROBE) {
		if (!is_expired(c, &q, now_us))
			take_probe(c, r, &q, now_us);
		return;
	}
	if (q.token != token_for(c, source)) {
		c->counts.refused_token++;
		return;
	}
	if ((q.kind != DATA && q.kind != SKIP) || q.sequence == 0) {
		c->counts.refused_other++;
		return;
	}
	c->counts.datagrams += q.kind == DATA;
	if (is_expired(c, &q, now_us) || say_busy(c, &q, now_us))
		return;
	if (q.kind == SKIP)
		take_skip(c, r, &q, now_us);
	else
		take_data(c, r, &q, now_us);
}

static void commit(struct fake_cluster *c, uint32_t appliance, uint32_t shard,
		   uint64_t now_us)
{
	struct room *r = &c->appliances[appliance].rooms[shard];
	struct chain *chain = &c->chains[shard];

	if (chain->owner != appliance || chain->incarnation != r->incarnation) {
		r->believes = false; /* it was fenced, and knows now */
		room_clear(r);
		return;
	}
	for (uint32_t i = 0; i < r->tentative.n; i++)
		list_add(&chain->log, &r->tentative.items[i]);
	r->tentative.n = 0;
	r->commit_at_us = 0;
	for (uint32_t i = 0; i < r->n_senders; i++) {
		struct question q = { .appliance = appliance,
				      .source = r->senders[i].source,
				      .shard = shard,
				      .attempt = r->senders[i].attempt,
				      .birth = r->senders[i].birth,
				      .random = r->senders[i].random,
				      .n = 1472 };

		if (!r->senders[i].wants_ack)
			continue;
		r->senders[i].wants_ack = false;
		stream_key(c, q.birth, q.random, q.stream_key);
		ack(c, &q, accepted(c, &q), 2, now_us);
	}
}

void fake_run(struct fake_cluster *c, uint64_t now_us)
{
	for (uint32_t a = 0; a < c->conf.n_appliances; a++)
		for (uint32_t s = 0; s < c->conf.n_shards; s++) {
			struct room *r = &c->appliances[a].rooms[s];

			if (!c->appliances[a].is_down && r->commit_at_us != 0 &&
			    now_us >= r->commit_at_us)
				commit(c, a, s, now_us);
		}
}
