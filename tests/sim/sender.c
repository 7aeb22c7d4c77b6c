/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/mutant.h"
#define HEADRACE_MUTANT(name) HR_MUTANT(name)
#include "sdk/c/headrace.c"

#include "tests/sim/sender.h"
#include "tests/sim/world.h"

#define BATCHES 64u
#define DATAGRAM 512u
#define FLUSH_US 5000u
#define TICK_US 100000u
#define NAME_MAX_BYTES 32u

/* What was told to be committed, so that a loss can be told of it by name. */
struct told {
	char id[NAME_MAX_BYTES];
	uint64_t birth, random, sequence;
	uint32_t shard;
};

struct sim_sender {
	struct sim_sender_conf conf;
	struct hr_sdk_core core;
	uint64_t life;
	uint8_t *memory;
	struct batch *free;
	struct batch *open[16];
	uint32_t n_open_shards, open_bytes;
	uint64_t serial, begun_us;
	struct told *told;
	uint32_t n_told, max_told;
	bool sleeps;
	uint64_t due_us;  /* of the nearest run that is asked for */
	uint64_t wish_no; /* of that wish: older ones do nothing */
};

static uint64_t core_now(const struct sim_sender *s)
{
	return s->conf.sim->now_us - s->begun_us + 1000000;
}

/* ---- what the core asks for ---- */

static uint64_t call_random(void *arg)
{
	struct sim_sender *s = arg;

	return sim_random(&s->conf.sim->random);
}

static bool call_send(void *arg, uint32_t target, const uint8_t *p, uint32_t n)
{
	struct sim_sender *s = arg;

	sim_network_send(s->conf.network, true, target, s->conf.index, p, n);
	return true;
}

/* "a1:7400" */
static int call_find(void *arg, struct headrace_slice addresses, uint32_t shard)
{
	struct sim_sender *s = arg;
	uint32_t i;

	(void)shard;
	if (addresses.n < 2 || addresses.p[0] != 'a')
		return -1;
	i = (uint32_t)(addresses.p[1] - '0');
	return i < s->conf.n_appliances ? (int)i : -1;
}

static struct batch *call_take(void *arg)
{
	struct sim_sender *s = arg;
	struct batch *b = s->free;

	if (b != NULL)
		s->free = b->next;
	return b;
}

static void call_give_back(void *arg, struct batch *b)
{
	struct sim_sender *s = arg;

	b->next = s->free;
	s->free = b;
}

static void run_soon(struct sim_sender *s, uint64_t us);

static void seal_open(struct sim_sender *s, uint32_t shard)
{
	struct batch *b = s->open[shard];

	s->open[shard] = NULL;
	if (b == NULL)
		return;
	b->serial = ++s->serial;
	b->n_shards = s->n_open_shards;
	b->shard = shard;
	b->sequence = b->record_no = 0;
	b->stream = NULL;
	b->n_sent = 0;
	core_take(&s->core, b);
	run_soon(s, 0);
}

static void call_reshaped(void *arg)
{
	struct sim_sender *s = arg;

	for (uint32_t i = 0; i < s->n_open_shards; i++)
		seal_open(s, i);
	s->n_open_shards = s->core.n_shards;
	s->open_bytes = s->core.datagram_bytes;
}

static void told_add(struct sim_sender *s, const char *id,
		     const struct headrace_outcome *o)
{
	struct told *t;

	if (s->n_told == s->max_told) {
		s->max_told = s->max_told != 0 ? 2 * s->max_told : 256;
		s->told = realloc(s->told, s->max_told * sizeof(*s->told));
		if (s->told == NULL)
			abort();
	}
	t = &s->told[s->n_told++];
	*t = (struct told){ .birth = o->birth,
			    .random = o->random,
			    .sequence = o->first,
			    .shard = o->shard };
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
}

static void lost(struct sim_sender *s, const struct headrace_outcome *o)
{
	for (uint32_t i = 0; i < s->n_told; i++) {
		const struct told *t = &s->told[i];

		if (t->birth == o->birth && t->random == o->random &&
		    t->shard == o->shard && t->sequence >= o->first &&
		    t->sequence <= o->last)
			sim_judge_told_lost(s->conf.judge, t->id);
	}
}

static void call_decided(void *arg, const struct headrace_outcome *o)
{
	struct sim_sender *s = arg;
	char id[NAME_MAX_BYTES];

	if (o->state == HEADRACE_LOST) {
		lost(s, o);
		return;
	}
	(void)snprintf(id, sizeof(id), "%.*s", (int)o->id.n, o->id.p);
	sim_trace(s->conf.sim, "sender %u: %s is %s (sequence %llu)", s->conf.index, id,
		  o->state == HEADRACE_COMMITTED ? "committed"
		  : o->state == HEADRACE_DROPPED ? "dropped"
						 : "unknown",
		  (unsigned long long)o->first);
	if (o->state != HEADRACE_COMMITTED)
		return;
	sim_judge_told_committed(s->conf.judge, id);
	told_add(s, id, o);
}

/* ---- time ---- */

static void run(struct sim *sim, void *arg, uint64_t wish_no)
{
	struct sim_sender *s = arg;
	uint64_t now_us = core_now(s), next_us;

	(void)sim;
	if (s->wish_no != wish_no)
		return;
	s->due_us = NEVER;
	if (s->sleeps)
		return;
	for (uint32_t i = 0; i < s->n_open_shards; i++)
		if (s->open[i] != NULL && now_us - s->open[i]->opened_us >= FLUSH_US &&
		    s->core.flows[i].unbound == NULL)
			seal_open(s, i);
	next_us = core_run(&s->core, now_us);
	run_soon(s, next_us == NEVER             ? TICK_US
		    : next_us <= now_us          ? 100
		    : next_us - now_us < TICK_US ? next_us - now_us
						 : TICK_US);
}

/* Only the nearest wish counts: a later one comes with the next run. */
static void run_soon(struct sim_sender *s, uint64_t us)
{
	const uint64_t due_us = s->conf.sim->now_us + us + 10;

	if (due_us >= s->due_us)
		return;
	s->due_us = due_us;
	sim_after(s->conf.sim, us + 10, run, s, ++s->wish_no);
}

void sim_sender_arrive(struct sim_sender *s, uint32_t appliance, const uint8_t *bytes,
		       uint32_t n)
{
	if (s->sleeps)
		return;
	core_answer(&s->core, appliance, bytes, n, core_now(s));
	run_soon(s, 0);
}

/* ---- events ---- */

static struct batch *open_for(struct sim_sender *s, uint32_t shard)
{
	struct batch *b = s->open[shard];

	if (b != NULL)
		return b;
	b = s->open[shard] = call_take(s);
	if (b == NULL)
		return NULL;
	(void)headrace_encoder_init(&b->encoder, HEADRACE_PROTOBUF, b->buffer,
				    s->open_bytes);
	b->opened_us = core_now(s);
	run_soon(s, FLUSH_US);
	return b;
}

bool sim_sender_track(struct sim_sender *s, const char *user, uint64_t order,
		      bool is_purchase, const char *product, const char *category)
{
	const struct headrace_pair pairs[] = { headrace_text("product_id", product),
					       headrace_text("category", category) };
	struct headrace_event ev = { .user = headrace_str(user),
				     .type = headrace_str(is_purchase ? "purchase"
								      : "product_view"),
				     .pairs = pairs,
				     .n_pairs = 2 };
	uint32_t shard = headrace_shard(user, strlen(user), s->n_open_shards);
	char id[NAME_MAX_BYTES];

	if (s->sleeps)
		return false;
	/* What a dead process had sent may come behind what its successor sends: order
	 * is promised within one. */
	(void)snprintf(id, sizeof(id), "%s.%llu-%llu", user,
		       (unsigned long long)s->life, (unsigned long long)order);
	ev.id = headrace_str(id);
	for (;;) {
		struct batch *b = open_for(s, shard);
		int r;

		if (b == NULL) {
			s->core.drops++;
			return false;
		}
		r = headrace_encoder_append(&b->encoder, &ev);
		if (r == HEADRACE_OK)
			return true;
		if (r != HEADRACE_BATCH_FULL)
			abort();
		seal_open(s, shard);
	}
}

bool sim_sender_is_drained(const struct sim_sender *s)
{
	for (uint32_t i = 0; i < s->n_open_shards; i++)
		if (s->open[i] != NULL)
			return false;
	return core_oldest(&s->core) == NEVER;
}

/* ---- life ---- */

static void begin(struct sim_sender *s)
{
	const size_t one = sizeof(struct batch) + DATAGRAM;
	const struct core_calls calls = {
		.arg = s,
		.random = call_random,
		.send = call_send,
		.find_target = call_find,
		.take = call_take,
		.give_back = call_give_back,
		.reshaped = call_reshaped,
		.decided = call_decided,
	};
	struct core_config conf = {
		.key_id = s->conf.key_id,
		.n_shards = s->conf.n_shards,
		.generation = 1,
		.n_targets = s->conf.n_appliances,
		.datagram_bytes = DATAGRAM,
		.max_age_us = s->conf.max_age_us,
		.ttl_us = s->conf.ttl_us,
		.wall_us = 12345, /* its own clock is nowhere near */
		.outcomes = 15,
	};

	s->life++;
	s->begun_us = s->conf.sim->now_us;
	s->free = NULL;
	memset(s->open, 0, sizeof(s->open));
	for (uint32_t i = 0; i < BATCHES; i++)
		call_give_back(s, (struct batch *)(void *)(s->memory + i * one));
	s->n_open_shards = s->conf.n_shards;
	s->open_bytes = DATAGRAM;
	s->due_us = NEVER;
	s->wish_no++;
	conf.now_us = core_now(s);
	memcpy(conf.write_key, s->conf.write_key, sizeof(conf.write_key));
	if (core_init(&s->core, &conf, &calls) != HEADRACE_OK)
		abort();
	run_soon(s, 0);
}

void sim_sender_restart(struct sim_sender *s)
{
	sim_trace(s->conf.sim, "sender %u restarts", s->conf.index);
	core_fini(&s->core);
	begin(s);
}

void sim_sender_sleep(struct sim_sender *s, bool sleeps)
{
	sim_trace(s->conf.sim, "sender %u %s", s->conf.index,
		  sleeps ? "sleeps" : "wakes up");
	s->sleeps = sleeps;
	run_soon(s, 0);
}

struct sim_sender *sim_sender_new(const struct sim_sender_conf *conf)
{
	struct sim_sender *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->conf = *conf;
	s->memory = calloc(BATCHES, sizeof(struct batch) + DATAGRAM);
	if (s->memory == NULL)
		abort();
	begin(s);
	return s;
}

void sim_sender_free(struct sim_sender *s)
{
	core_fini(&s->core);
	free(s->memory);
	free(s->told);
	free(s);
}
