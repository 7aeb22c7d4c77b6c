/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WORLD_H
#define WORLD_H

/*
 * world - the core of the SDK in simulated time: a tracker, the fake appliances and
 * a network between them that loses, doubles, delays and so reorders. One seed, one
 * course of events. Includes the SDK's source, so that the very code that ships runs
 * here.
 */

#include "sdk/c/headrace.c"

#include <CUnit/Basic.h>

#include "tests/fake/appliance_stream.h"

#define WORLD_USERS 8
#define WORLD_EVENTS 4000
#define WORLD_BATCHES 256
#define FLIGHT_MAX 20000
#define WALL_US 1764547200000000u

struct packet {
	uint64_t at_us;
	uint32_t where, source; /* appliance; or source: target * 2 + generation */
	bool is_answer;
	uint16_t n;
	uint8_t bytes[HEADRACE_DATAGRAM_MAX];
};

struct fate {
	uint16_t user;
	uint32_t number; /* of the user, from 1 */
	uint32_t in_log, committed, dropped, unknown, lost;
	uint64_t birth, random, sequence; /* told with the outcome */
	uint32_t shard;
};

struct world_conf {
	uint64_t seed;
	uint32_t n_shards, n_appliances;
	unsigned int loss, doubling; /* of 1000 */
	uint64_t delay_us;           /* up to, beside 100 */
	uint64_t ttl_us, max_age_us;
	enum headrace_codec codec;
	uint32_t datagram_bytes;
	struct fake_conf fake;
};

struct world {
	struct world_conf conf;
	uint64_t now_us, random;
	struct hr_sdk_core core;
	struct fake_cluster *cluster;
	struct packet *flight[FLIGHT_MAX]; /* a heap by time */
	uint32_t n_flight;
	struct batch *free, *open[64];
	uint8_t *memory;
	uint32_t n_open_shards, open_bytes;
	uint64_t serial;
	struct fate fates[WORLD_EVENTS];
	uint32_t n_events, of_user[WORLD_USERS];
	uint64_t due_us;
	uint32_t refused; /* track() found no memory */
	bool is_cut;      /* no packet arrives any more */
	bool is_busy;     /* the SDK's own network takes nothing */
	/* A look at each answer before it arrives. False: it does not. */
	bool (*meddle)(struct world *w, struct packet *p);
	uint64_t n_sent;
};

static uint64_t world_draw(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static bool world_chance(struct world *w, unsigned int of_1000)
{
	return world_draw(w) % 1000 < of_1000;
}

/* ---- the network ---- */

static void flight_push(struct world *w, struct packet *p)
{
	uint32_t i = w->n_flight++;

	CU_ASSERT_FATAL(w->n_flight < FLIGHT_MAX);
	w->flight[i] = p;
	while (i > 0 && w->flight[(i - 1) / 2]->at_us > w->flight[i]->at_us) {
		struct packet *up = w->flight[(i - 1) / 2];

		w->flight[(i - 1) / 2] = w->flight[i];
		w->flight[i] = up;
		i = (i - 1) / 2;
	}
}

static struct packet *flight_pop(struct world *w)
{
	struct packet *top = w->flight[0];
	uint32_t i = 0;

	w->flight[0] = w->flight[--w->n_flight];
	for (;;) {
		uint32_t least = i;

		for (uint32_t c = 2 * i + 1; c <= 2 * i + 2 && c < w->n_flight; c++)
			if (w->flight[c]->at_us < w->flight[least]->at_us)
				least = c;
		if (least == i)
			return top;
		struct packet *t = w->flight[i];

		w->flight[i] = w->flight[least];
		w->flight[least] = t;
		i = least;
	}
}

static void world_fly(struct world *w, uint32_t where, uint32_t source, bool is_answer,
		      const uint8_t *bytes, uint32_t n)
{
	const unsigned int copies = world_chance(w, w->conf.doubling) ? 2 : 1;

	for (unsigned int i = 0; i < copies; i++) {
		struct packet *p;

		if (w->is_cut || world_chance(w, w->conf.loss))
			continue;
		p = malloc(sizeof(*p));
		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		p->at_us = w->now_us + 100 + world_draw(w) % (w->conf.delay_us + 1);
		p->where = where;
		p->source = source;
		p->is_answer = is_answer;
		p->n = (uint16_t)n;
		memcpy(p->bytes, bytes, n);
		flight_push(w, p);
	}
}

static bool world_send(void *arg, uint32_t target, const uint8_t *p, uint32_t n)
{
	struct world *w = arg;

	if (w->is_busy)
		return false;
	w->n_sent++;
	world_fly(w, target % w->conf.n_appliances, target, false, p, n);
	return true;
}

static void world_emit(void *arg, uint32_t appliance, uint32_t source, const uint8_t *p,
		       uint32_t n)
{
	world_fly(arg, appliance, source, true, p, n);
}

static uint64_t world_random(void *arg)
{
	return world_draw(arg);
}

/* Two numbers an appliance: the address of the configuration, and another that its
 * owner names. */
static int world_find(void *arg, struct headrace_slice a, uint32_t shard)
{
	struct world *w = arg;

	(void)shard;
	if (a.n != 16 || memcmp(a.p, "appliance-", 10) != 0)
		return -1;
	return (int)(w->conf.n_appliances + (uint32_t)(a.p[10] - '0'));
}

/* ---- memory ---- */

static struct batch *world_take(void *arg)
{
	struct world *w = arg;
	struct batch *b = w->free;

	if (b != NULL)
		w->free = b->next;
	return b;
}

static void world_give_back(void *arg, struct batch *b)
{
	struct world *w = arg;

	memset(b->buffer, 0xee, HEADRACE_DATAGRAM_DEFAULT);
	b->next = w->free;
	w->free = b;
}

static void world_seal(struct world *w, uint32_t shard)
{
	struct batch *b = w->open[shard];

	w->open[shard] = NULL;
	if (b == NULL)
		return;
	b->serial = ++w->serial;
	b->n_shards = w->n_open_shards;
	b->shard = shard;
	b->sequence = b->record_no = 0;
	b->stream = NULL;
	b->n_sent = 0;
	core_take(&w->core, b);
	w->due_us = 0;
}

static void world_reshaped(void *arg)
{
	struct world *w = arg;

	for (uint32_t i = 0; i < w->n_open_shards; i++)
		world_seal(w, i);
	w->n_open_shards = w->core.n_shards;
	w->open_bytes = w->core.datagram_bytes;
}

/* ---- events ---- */

static bool world_track(struct world *w, uint32_t user)
{
	struct fate *f = &w->fates[w->n_events];
	char name[16], id[32];
	struct headrace_pair pair = headrace_text("product_id", "\"p\\1\"");
	struct headrace_event ev;
	uint32_t shard;
	int r;

	snprintf(name, sizeof(name), "user \"%u\"", user);
	snprintf(id, sizeof(id), "%u", w->n_events);
	memset(&ev, 0, sizeof(ev));
	ev.user = headrace_str(name);
	ev.type = headrace_str("click");
	ev.id = headrace_str(id);
	ev.pairs = &pair;
	ev.n_pairs = 1;
	shard = headrace_shard(ev.user.p, ev.user.n, w->n_open_shards);
	CU_ASSERT_FATAL(w->n_events < WORLD_EVENTS);
	for (;;) {
		struct batch *b = w->open[shard];

		if (b == NULL) {
			b = w->open[shard] = world_take(w);
			if (b == NULL) {
				w->refused++;
				w->core.drops++;
				return false;
			}
			(void)headrace_encoder_init(&b->encoder, w->conf.codec,
						    b->buffer, w->open_bytes);
			b->opened_us = w->now_us;
		}
		r = headrace_encoder_append(&b->encoder, &ev);
		if (r != HEADRACE_BATCH_FULL)
			break;
		world_seal(w, shard);
	}
	CU_ASSERT_EQUAL_FATAL(r, HEADRACE_OK);
	f->user = (uint16_t)user;
	f->number = ++w->of_user[user];
	w->n_events++;
	return true;
}

/* As the sender does: what is old enough, unless others wait for credit. */
static void world_flush(struct world *w, bool all)
{
	for (uint32_t i = 0; i < w->n_open_shards; i++)
		if (w->open[i] != NULL &&
		    (all || (w->now_us - w->open[i]->opened_us >= 5000 &&
			     w->core.flows[i].unbound == NULL)))
			world_seal(w, i);
}

static struct fate *fate_of(struct world *w, const char *id, size_t n)
{
	char text[16] = "";

	CU_ASSERT_FATAL(n > 0 && n < sizeof(text));
	memcpy(text, id, n);
	CU_ASSERT_FATAL((uint32_t)atoi(text) < w->n_events);
	return &w->fates[atoi(text)];
}

static void world_decided(void *arg, const struct headrace_outcome *o)
{
	struct world *w = arg;
	struct fate *f;

	if (o->state == HEADRACE_LOST) {
		for (uint32_t i = 0; i < w->n_events; i++) {
			f = &w->fates[i];
			f->lost += f->committed > 0 && f->birth == o->birth &&
				   f->random == o->random && f->shard == o->shard &&
				   f->sequence >= o->first && f->sequence <= o->last;
		}
		return;
	}
	f = fate_of(w, o->id.p, o->id.n);
	f->committed += o->state == HEADRACE_COMMITTED;
	f->dropped += o->state == HEADRACE_DROPPED;
	f->unknown += o->state == HEADRACE_UNKNOWN;
	f->birth = o->birth;
	f->random = o->random;
	f->shard = o->shard;
	f->sequence = o->first;
}

/* ---- time ---- */

static struct world_conf world_conf(uint64_t seed)
{
	return (struct world_conf){
		.seed = seed,
		.n_shards = 3,
		.n_appliances = 1,
		.delay_us = 2000,
		.ttl_us = 600000000,
		.max_age_us = 3600000000u,
		.codec = HEADRACE_PROTOBUF,
		.datagram_bytes = HEADRACE_DATAGRAM_MIN,
		.fake = { .key = { 1, 2, 3 },
			  .key_id = 7,
			  .n_shards = 3,
			  .generation = 1,
			  .wall_us = WALL_US,
			  .max_age_us = 3600000000u,
			  .ttl_memory_us = 600000000,
			  .ttl_disk_us = (uint64_t)7 * 86400000000u,
			  .token_good_ms = 1800000,
			  .largest = 1472,
			  .credit = 32,
			  .commit_us = 10000,
			  .says_received = seed % 2 == 0 },
	};
}

static void core_open(struct world *w)
{
	const struct core_calls calls = {
		.arg = w,
		.random = world_random,
		.send = world_send,
		.find_target = world_find,
		.take = world_take,
		.give_back = world_give_back,
		.reshaped = world_reshaped,
		.decided = world_decided,
	};
	struct core_config conf = {
		.key_id = w->conf.fake.key_id,
		.n_shards = w->conf.n_shards,
		.generation = 1,
		.n_targets = w->conf.n_appliances,
		.datagram_bytes = w->conf.datagram_bytes,
		.max_age_us = w->conf.max_age_us,
		.ttl_us = w->conf.ttl_us,
		.wall_us = 12345, /* its own clock is nowhere near */
		.now_us = w->now_us,
		.outcomes = 15,
	};

	memcpy(conf.write_key, w->conf.fake.key, sizeof(conf.write_key));
	CU_ASSERT_EQUAL_FATAL(core_init(&w->core, &conf, &calls), HEADRACE_OK);
}

static struct world *world_new(const struct world_conf *conf)
{
	const size_t one = sizeof(struct batch) + HEADRACE_DATAGRAM_DEFAULT;
	struct world *w = calloc(1, sizeof(*w));

	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	w->conf = *conf;
	w->random = conf->seed * 0x9e3779b97f4a7c15u + 1;
	w->now_us = 1000000;
	w->memory = calloc(WORLD_BATCHES, one);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->memory);
	for (uint32_t i = 0; i < WORLD_BATCHES; i++)
		world_give_back(w, (struct batch *)(void *)(w->memory + i * one));
	w->n_open_shards = conf->n_shards;
	w->open_bytes = conf->datagram_bytes;
	w->conf.fake.seed = conf->seed;
	w->conf.fake.n_appliances = conf->n_appliances;
	w->conf.fake.emit = world_emit;
	w->conf.fake.arg = w;
	for (uint32_t i = 0; i < conf->n_appliances; i++)
		snprintf(w->conf.fake.addresses[i], sizeof(w->conf.fake.addresses[i]),
			 "appliance-%u:7400", i);
	w->cluster = fake_cluster_new(&w->conf.fake);
	core_open(w);
	return w;
}

static void world_free(struct world *w)
{
	while (w->n_flight > 0)
		free(flight_pop(w));
	core_fini(&w->core);
	fake_cluster_free(w->cluster);
	free(w->memory);
	free(w);
}

static void world_arrive(struct world *w, struct packet *p)
{
	if (p->is_answer) {
		if (w->meddle == NULL || w->meddle(w, p))
			core_answer(&w->core, p->source, p->bytes, p->n, w->now_us);
		w->due_us = 0;
	} else {
		fake_question(w->cluster, p->where, p->source, p->bytes, p->n,
			      w->now_us);
	}
	free(p);
}

/* Let time pass until then. */
static void world_run(struct world *w, uint64_t until_us)
{
	while (w->now_us < until_us) {
		uint64_t next_us = w->now_us + 1000; /* appliances and tracker tick */

		if (w->due_us > w->now_us && w->due_us < next_us)
			next_us = w->due_us;
		if (w->n_flight > 0 && w->flight[0]->at_us < next_us)
			next_us = max_of(w->flight[0]->at_us, w->now_us);
		w->now_us = next_us;
		while (w->n_flight > 0 && w->flight[0]->at_us <= w->now_us)
			world_arrive(w, flight_pop(w));
		fake_run(w->cluster, w->now_us);
		world_flush(w, false);
		if (w->now_us >= w->due_us)
			w->due_us = core_run(&w->core, w->now_us);
	}
}

static bool world_is_drained(const struct world *w)
{
	for (uint32_t i = 0; i < w->n_open_shards; i++)
		if (w->open[i] != NULL)
			return false;
	return core_oldest(&w->core) == NEVER;
}

/* True: everything was decided within that time. */
static bool world_drain(struct world *w, uint64_t within_us)
{
	const uint64_t until_us = w->now_us + within_us;

	world_flush(w, true);
	while (!world_is_drained(w) && w->now_us < until_us)
		world_run(w, w->now_us + 10000);
	return world_is_drained(w);
}

/* ---- what must hold ---- */

#define LAW(w, what)                                                                   \
	do {                                                                           \
		if (!(what)) {                                                         \
			printf("\nseed %llu, event %u: %s\n",                          \
			       (unsigned long long)(w)->conf.seed, i, #what);          \
			return false;                                                  \
		}                                                                      \
	} while (0)

/* Read all logs: where is each event, and is each user in order? */
static bool read_logs(struct world *w)
{
	uint32_t newest[WORLD_USERS] = { 0 };
	uint32_t n_shards = w->core.n_shards;

	for (uint32_t s = 0; s < n_shards; s++)
		for (uint32_t i = 0; i < fake_log_items(w->cluster, s); i++) {
			struct fake_item it = fake_log_item(w->cluster, s, i);
			struct event_walk walk =
				walk_begin((enum headrace_codec)it.codec, it.payload,
					   it.payload + it.n_bytes);

			while (it.kind == KIND_DATA && walk_next(&walk)) {
				struct fate *f = fate_of(w, walk.id, walk.id_bytes);

				f->in_log++;
				LAW(w, f->number > newest[f->user]);
				newest[f->user] = f->number;
			}
			LAW(w, it.kind != KIND_DATA || walk.p == walk.end);
		}
	return true;
}

static bool laws_hold(struct world *w)
{
	const struct fake_counts n = fake_counts(w->cluster);
	const uint64_t *c = w->core.counts;
	uint32_t i = 0;
	uint64_t lost = 0;

	if (!read_logs(w))
		return false;
	LAW(w, n.rebound == 0);
	LAW(w, n.same_attempt == 0);
	for (i = 0; i < w->n_events; i++) {
		const struct fate *f = &w->fates[i];

		LAW(w, f->in_log <= 1);
		LAW(w, f->committed + f->dropped + f->unknown == 1);
		LAW(w, !f->dropped || f->in_log == 0);
		LAW(w, !f->committed || f->lost || f->in_log == 1);
		lost += f->lost > 0;
	}
	LAW(w,
	    c[COMMITTED_EVENTS] + c[DROPPED_EVENTS] + c[UNKNOWN_EVENTS] == w->n_events);
	LAW(w, lost <= c[LOST_EVENTS]);
	return true;
}

static uint64_t total(const struct world *w, enum core_counter counter)
{
	return w->core.counts[counter];
}

#endif
