/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HAND_H
#define HAND_H

/*
 * hand - the core of the SDK in the hand: time passes when the test says so, what the
 * core sends is noted, and every answer is written by the test, byte by byte if it must
 * be. Includes the SDK's source: the very code that ships.
 */

#include "sdk/c/headrace.c"

#include <CUnit/Basic.h>

#define HAND_SENT 4000
#define HAND_BATCHES 600
#define HAND_OUTCOMES 4000
#define HAND_KEY_ID 7
#define HAND_SERVER_US 1764547200000000u /* server time - ours */
#define HAND_WALL_US 12345u              /* our clock, nowhere near, - core time */
#define HAND_TOKEN 0x1234
#define HAND_MAX_AGE_US 400000000u
#define HAND_TOKEN_MS 200000u
#define HAND_TTL_US 600000000u

struct sent {
	uint64_t at_us, birth, random, sequence, sent_us, token;
	uint32_t target, shard, n_shards, generation, attempt, drops, n, key_id;
	uint8_t kind;
};

struct hand {
	struct hr_sdk_core core;
	uint64_t now_us, due_us, dice;
	uint32_t n_shards, n_targets;
	struct sent sent[HAND_SENT];
	uint32_t n_sent;
	struct headrace_outcome outcomes[HAND_OUTCOMES];
	uint32_t n_outcomes;
	struct batch *free;
	uint8_t *memory;
	uint64_t serial;
	uint32_t n_reshaped, n_given_back;
	bool is_busy; /* the network takes nothing */
	int found;    /* what find_target() comes back with */
	char asked[OWNER_ADDRESSES_MAX + 1];
	uint64_t challenge_us; /* server time of the newest CHALLENGE */
};

static inline uint64_t hand_random(void *arg)
{
	struct hand *h = arg;

	h->dice ^= h->dice << 13;
	h->dice ^= h->dice >> 7;
	h->dice ^= h->dice << 17;
	return h->dice;
}

static inline bool hand_send(void *arg, uint32_t target, const uint8_t *p, uint32_t n)
{
	struct hand *h = arg;
	struct sent *s = &h->sent[h->n_sent];

	if (h->is_busy)
		return false;
	CU_ASSERT_FATAL(h->n_sent + 1 < HAND_SENT);
	h->n_sent++;
	s->at_us = h->now_us;
	s->target = target;
	s->n = n;
	s->kind = p[4];
	s->shard = load16(p + 10);
	s->n_shards = load16(p + 12);
	s->generation = load32(p + 16);
	s->key_id = load32(p + 20);
	s->birth = load64(p + 24);
	s->random = load64(p + 32);
	s->sequence = load64(p + 40);
	s->attempt = load32(p + 48);
	s->drops = load32(p + 52);
	s->sent_us = load64(p + 56);
	s->token = load64(p + 64);
	return true;
}

static inline int hand_find(void *arg, struct headrace_slice a, uint32_t shard)
{
	struct hand *h = arg;

	(void)shard;
	memcpy(h->asked, a.p, a.n);
	h->asked[a.n] = '\0';
	return h->found;
}

static inline struct batch *hand_take(void *arg)
{
	struct hand *h = arg;
	struct batch *b = h->free;

	if (b != NULL)
		h->free = b->next;
	return b;
}

static inline void hand_give_back(void *arg, struct batch *b)
{
	struct hand *h = arg;

	h->n_given_back++;
	b->next = h->free;
	h->free = b;
}

static inline void hand_reshaped(void *arg)
{
	((struct hand *)arg)->n_reshaped++;
}

static inline void hand_decided(void *arg, const struct headrace_outcome *o)
{
	struct hand *h = arg;

	CU_ASSERT_FATAL(h->n_outcomes < HAND_OUTCOMES);
	h->outcomes[h->n_outcomes++] = *o;
}

static const struct core_calls hand_calls = {
	.random = hand_random,
	.send = hand_send,
	.find_target = hand_find,
	.take = hand_take,
	.give_back = hand_give_back,
	.reshaped = hand_reshaped,
	.decided = hand_decided,
};

static inline struct hand *hand_open_as(uint32_t n_shards, uint32_t n_targets,
					uint64_t seed, const struct core_calls *calls)
{
	const size_t one = sizeof(struct batch) + HEADRACE_DATAGRAM_DEFAULT;
	struct hand *h = calloc(1, sizeof(*h));
	struct core_calls mine = *calls;
	struct core_config conf = {
		.key_id = HAND_KEY_ID,
		.n_shards = n_shards,
		.generation = 1,
		.n_targets = n_targets,
		.datagram_bytes = HEADRACE_DATAGRAM_MIN,
		.max_age_us = HAND_MAX_AGE_US,
		.ttl_us = HAND_TTL_US,
		.outcomes = 15,
		.n_restored = 4,
	};

	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	h->now_us = conf.now_us = 1000000;
	conf.wall_us = conf.now_us + HAND_WALL_US;
	h->dice = seed * 0x9e3779b97f4a7c15u + 1;
	h->n_shards = n_shards;
	h->n_targets = n_targets;
	h->found = -1;
	h->memory = calloc(HAND_BATCHES, one);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h->memory);
	for (uint32_t i = 0; i < HAND_BATCHES; i++)
		hand_give_back(h, (struct batch *)(void *)(h->memory + i * one));
	h->n_given_back = 0;
	mine.arg = h;
	conf.write_key[0] = 1;
	CU_ASSERT_EQUAL_FATAL(core_init(&h->core, &conf, &mine), HEADRACE_OK);
	return h;
}

static inline struct hand *hand_open(uint32_t n_shards, uint32_t n_targets)
{
	return hand_open_as(n_shards, n_targets, 1, &hand_calls);
}

static inline void hand_close(struct hand *h)
{
	core_fini(&h->core);
	free(h->memory);
	free(h);
}

/* ---- events ---- */

/* A sealed batch of the shard with one event a name; its sequence is not bound yet. */
static inline struct batch *hand_batch(struct hand *h, uint32_t shard,
				       unsigned int n_events)
{
	struct batch *b = hand_take(h);
	struct headrace_event ev = { .type = headrace_str("click") };
	char user[16];
	unsigned int i = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	do
		snprintf(user, sizeof(user), "user%u", i++);
	while (headrace_shard(user, strlen(user), h->core.n_shards) != shard);
	ev.user = headrace_str(user);
	ev.id = headrace_str("id");
	(void)headrace_encoder_init(&b->encoder, HEADRACE_PROTOBUF, b->buffer,
				    h->core.datagram_bytes);
	for (i = 0; i < n_events; i++)
		CU_ASSERT_EQUAL_FATAL(headrace_encoder_append(&b->encoder, &ev),
				      HEADRACE_OK);
	b->opened_us = h->now_us;
	b->serial = ++h->serial;
	b->shard = shard;
	b->n_shards = h->core.n_shards;
	b->sequence = b->record_no = b->tracked_us = 0;
	b->stream = NULL;
	b->n_sent = b->attempt = 0;
	return b;
}

static inline void hand_track(struct hand *h, uint32_t shard, unsigned int n_batches)
{
	while (n_batches-- > 0)
		core_take(&h->core, hand_batch(h, shard, 1));
}

/* ---- time ---- */

static inline void hand_run(struct hand *h)
{
	h->due_us = core_run(&h->core, h->now_us);
}

/* Let time pass; the core runs whenever it asked to. */
static inline void hand_pass(struct hand *h, uint64_t us)
{
	const uint64_t until_us = h->now_us + us;

	hand_run(h);
	while (h->due_us <= until_us) {
		h->now_us = max_of(h->due_us, h->now_us);
		hand_run(h);
	}
	h->now_us = until_us;
}

/* ---- what was sent ---- */

static inline uint32_t hand_count(const struct hand *h, uint8_t kind, uint32_t shard)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->n_sent; i++)
		n += h->sent[i].kind == kind && h->sent[i].shard == shard;
	return n;
}

/* The newest, or NULL. */
static inline const struct sent *hand_last(const struct hand *h, uint8_t kind,
					   uint32_t shard)
{
	for (uint32_t i = h->n_sent; i-- > 0;)
		if (h->sent[i].kind == kind && h->sent[i].shard == shard)
			return &h->sent[i];
	return NULL;
}

static inline void hand_forget(struct hand *h)
{
	h->n_sent = 0;
}

static inline uint32_t hand_told(const struct hand *h, enum headrace_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->n_outcomes; i++)
		n += h->outcomes[i].state == state;
	return n;
}

/* ---- answers ---- */

/* All of a message; what a test leaves 0 is what an honest appliance would say. */
struct say {
	uint8_t kind, meaning, reason;
	uint32_t target, shard, n_shards, generation, wait_ms;
	uint64_t birth, random, floor, sent_us, token, incarnation, parked;
	uint64_t server_us, asked_us, oldest_birth, max_age_us;
	uint32_t credit, good_ms, key_id;
	uint16_t largest;
	const char *addresses;
	bool credit_is_0;
	/* To be dishonest with: */
	void (*spoil)(uint8_t *p, size_t *n);
	bool is_tagged_before; /* spoilt behind the tag's back */
};

static inline uint32_t say_payload(const struct say *s, uint8_t *p)
{
	const size_t n = s->addresses == NULL ? 0 : strlen(s->addresses);

	store64(p, s->incarnation);
	switch (s->kind) {
	case KIND_CHALLENGE:
		store64(p, s->server_us);
		store64(p + 8, s->asked_us);
		store64(p + 16, s->max_age_us);
		store32(p + 24, s->good_ms);
		store16(p + 28, s->largest);
		return 32;
	case KIND_PROBE_ANSWER:
		store64(p + 24, s->server_us);
		store64(p + 32, s->asked_us);
		__attribute__((fallthrough));
	case KIND_ACK:
		store64(p + 8, s->parked);
		store32(p + 16, s->credit);
		p[22] = s->meaning;
		return s->kind == KIND_ACK ? 24 : 40;
	case KIND_NOT_OWNER:
		p[8] = (uint8_t)n;
		memcpy(p + 16, n > 0 ? s->addresses : "", n);
		return (uint32_t)(16 + n);
	case KIND_BUSY:
		store32(p + 8, s->wait_ms);
		store16(p + 12, s->reason);
		return 16;
	case KIND_EXPIRED:
		store64(p + 8, s->server_us);
		store64(p + 16, s->oldest_birth);
		return 24;
	default:
		return 0;
	}
}

static inline void say(struct hand *h, struct say s)
{
	uint8_t p[HEADRACE_DATAGRAM_MAX + 64] = { 0 }, key[16];
	const struct stream *stream =
		s.kind == KIND_CHALLENGE ? NULL : h->core.flows[s.shard].stream;
	size_t n;

	if (s.random == 0 && stream != NULL) {
		s.birth = stream->birth;
		s.random = stream->random;
	}
	if (s.incarnation == 0)
		s.incarnation = 1;
	if (s.credit == 0 && !s.credit_is_0)
		s.credit = 1000;
	if (s.server_us == 0)
		s.server_us = h->now_us + HAND_SERVER_US;
	memcpy(p, "HRB", 3);
	p[3] = WIRE_VERSION;
	p[4] = s.kind;
	p[5] = FROM_APPLIANCE;
	p[6] = SUITE_SIPHASH;
	store16(p + 10, (uint16_t)s.shard);
	store16(p + 12, (uint16_t)(s.n_shards == 0 ? h->n_shards : s.n_shards));
	store32(p + 16, s.generation == 0 ? 1 : s.generation);
	store32(p + 20, s.key_id != 0    ? s.key_id
			: stream != NULL ? stream->key_id
					 : HAND_KEY_ID);
	store64(p + 24, s.birth);
	store64(p + 32, s.random);
	store64(p + 40, s.floor);
	store64(p + 56, s.sent_us == 0 ? h->now_us + HAND_SERVER_US : s.sent_us);
	store64(p + 64, s.token);
	n = HEADRACE_HEADER_BYTES + say_payload(&s, p + HEADRACE_HEADER_BYTES);
	store16(p + 72, (uint16_t)(n - HEADRACE_HEADER_BYTES));
	if (s.spoil != NULL && !s.is_tagged_before)
		s.spoil(p, &n);
	headrace_stream_key(h->core.conf.write_key, s.birth, s.random, key);
	if (stream != NULL && s.birth == stream->birth && s.random == stream->random)
		memcpy(key, stream->key, sizeof(key));
	siphash128(key, p, n, p + n);
	n += HEADRACE_TAG_BYTES;
	if (s.spoil != NULL && s.is_tagged_before)
		s.spoil(p, &n);
	core_answer(&h->core, s.target, p, n, h->now_us);
}

static inline void say_floor(struct hand *h, uint32_t shard, uint64_t floor,
			     uint8_t meaning)
{
	say(h, (struct say){ .kind = KIND_ACK,
			     .shard = shard,
			     .floor = floor,
			     .meaning = meaning,
			     .target = h->core.flows[shard].target });
}

static inline void say_committed(struct hand *h, uint32_t shard, uint64_t floor)
{
	say_floor(h, shard, floor, COMMITTED);
}

/* An honest CHALLENGE to the newest HELLO, after so long on the way there and back. */
static inline void say_challenge(struct hand *h, uint64_t round_trip_us)
{
	const struct sent *hello = hand_last(h, KIND_HELLO, 0);

	CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
	h->now_us = hello->at_us + round_trip_us;
	h->challenge_us = hello->at_us + round_trip_us / 2 + HAND_SERVER_US;
	say(h, (struct say){ .kind = KIND_CHALLENGE,
			     .target = hello->target,
			     .random = hello->random,
			     .server_us = h->challenge_us,
			     .asked_us = hello->sent_us,
			     .max_age_us = HAND_MAX_AGE_US,
			     .good_ms = HAND_TOKEN_MS,
			     .largest = 1472,
			     .token = HAND_TOKEN });
}

/* A stream, ready to send. */
static inline struct hand *hand_begun(uint32_t n_shards, uint32_t n_targets)
{
	struct hand *h = hand_open(n_shards, n_targets);

	hand_run(h);
	say_challenge(h, 1000);
	hand_run(h);
	hand_forget(h);
	return h;
}

/* ... and with so many datagrams of shard 0 under way, the first acknowledged. */
static inline struct hand *hand_under_way(uint32_t n_shards, uint32_t n_targets,
					  unsigned int n_batches)
{
	struct hand *h = hand_begun(n_shards, n_targets);

	hand_track(h, 0, n_batches);
	hand_run(h);
	hand_pass(h, 10000);
	say_committed(h, 0, 1);
	hand_run(h);
	hand_forget(h);
	return h;
}

static inline uint64_t hand_ignored(const struct hand *h)
{
	return h->core.counts[ANSWERS_IGNORED];
}

#endif
