/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The core of the SDK among enemies on the wire, who have no write key: they change, cut,
 * forge, reflect, repeat and hold back every kind of answer. What is not authentic changes
 * nothing at all; what is repeated or late costs time at most.
 */

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/world.h"

#define SHARDS_MAX 8
#define STREAMS_MAX 128
#define KINDS (KIND_WRONG_SHARD + 1)
#define ARCHIVE_MAX 4000
#define WHOLE 2 /* of each kind so many are tried bit by bit */
#define SEEDS 300

static const uint8_t answer_kinds[] = { KIND_CHALLENGE,  KIND_ACK,  KIND_PROBE_ANSWER,
					KIND_NOT_OWNER,  KIND_BUSY, KIND_EXPIRED,
					KIND_WRONG_SHARD };

/* ---- nothing has changed ---- */

struct frozen {
	struct hr_sdk_core core;
	struct flow flows[SHARDS_MAX];
	struct stream streams[STREAMS_MAX];
};

static void freeze(const struct hr_sdk_core *c, struct frozen *out)
{
	CU_ASSERT_FATAL(c->n_shards <= SHARDS_MAX && c->n_streams <= STREAMS_MAX);
	memset(out, 0, sizeof(*out));
	memcpy(&out->core, c, sizeof(*c));
	out->core.counts[ANSWERS_IGNORED] = 0;
	memcpy(out->flows, c->flows, c->n_shards * sizeof(*c->flows));
	memcpy(out->streams, c->streams, c->n_streams * sizeof(*c->streams));
}

/* Only that one more was ignored. */
static bool is_ignored(struct world *w, uint32_t target, const uint8_t *p, size_t n)
{
	static struct frozen before, after;
	const uint64_t ignored = w->core.counts[ANSWERS_IGNORED];

	freeze(&w->core, &before);
	core_answer(&w->core, target, p, n, w->now_us);
	freeze(&w->core, &after);
	return w->core.counts[ANSWERS_IGNORED] == ignored + 1 &&
	       memcmp(&before, &after, sizeof(before)) == 0;
}

static unsigned int n_tried[KINDS], n_accepted;

static void try_it(struct world *w, const struct packet *p, const uint8_t *bytes,
		   size_t n, const char *what)
{
	if (is_ignored(w, p->source, bytes, n))
		return;
	if (n_accepted++ < 5)
		printf("\nkind %u, %s: was taken\n", p->bytes[4], what);
}

/* ---- changed, cut, forged ---- */

static void flip(struct world *w, const struct packet *p, uint32_t bit)
{
	uint8_t bytes[HEADRACE_DATAGRAM_MAX];

	memcpy(bytes, p->bytes, p->n);
	bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	try_it(w, p, bytes, p->n, "a bit flipped");
}

static void cut_and_forge(struct world *w, const struct packet *p)
{
	static const uint8_t keys[2][HEADRACE_KEY_BYTES] = { { 0 }, { 1, 2, 3 } };
	uint8_t bytes[HEADRACE_DATAGRAM_MAX + 1] = { 0 };

	memcpy(bytes, p->bytes, p->n);
	for (size_t n = 0; n < p->n; n++)
		try_it(w, p, bytes, n, "cut");
	try_it(w, p, bytes, p->n + 1u, "longer");
	/* By somebody without a key; by somebody who has the write key's bytes only as a
	 * stream's key, which it never is. */
	for (int k = 0; k < 2; k++) {
		siphash128(keys[k], bytes, p->n - HEADRACE_TAG_BYTES,
			   bytes + p->n - HEADRACE_TAG_BYTES);
		try_it(w, p, bytes, p->n, "forged");
	}
	/* A tag of another answer's. */
	memset(bytes + p->n - HEADRACE_TAG_BYTES, 0, HEADRACE_TAG_BYTES);
	try_it(w, p, bytes, p->n, "without a tag");
}

/* Under a tag that fits: what only somebody with the key could say, and does not. */
static void say_as_a_question(struct world *w, const struct packet *p)
{
	uint8_t bytes[HEADRACE_DATAGRAM_MAX], key[HEADRACE_KEY_BYTES];

	memcpy(bytes, p->bytes, p->n);
	bytes[5] = TO_APPLIANCE;
	headrace_stream_key(w->conf.fake.key, load64(bytes + 24), load64(bytes + 32),
			    key);
	siphash128(key, bytes, p->n - HEADRACE_TAG_BYTES,
		   bytes + p->n - HEADRACE_TAG_BYTES);
	try_it(w, p, bytes, p->n, "with the other direction");
}

static bool attack(struct world *w, struct packet *p)
{
	const uint8_t kind = p->bytes[4];
	const uint32_t bits = p->n * 8u;

	CU_ASSERT_FATAL(kind < KINDS);
	if (n_tried[kind]++ < WHOLE) {
		for (uint32_t bit = 0; bit < bits; bit++)
			flip(w, p, bit);
		cut_and_forge(w, p);
		say_as_a_question(w, p);
	}
	for (int i = 0; i < 3; i++)
		flip(w, p, (uint32_t)(world_draw(w) % bits));
	/* What the SDK itself has under way, sent back to it. */
	for (uint32_t i = 0; i < w->n_flight && i < 4; i++)
		if (!w->flight[i]->is_answer)
			try_it(w, p, w->flight[i]->bytes, w->flight[i]->n, "reflected");
	return true;
}

static void track_some(struct world *w, unsigned int n, uint64_t for_us)
{
	for (unsigned int i = 0; i < n; i++) {
		(void)world_track(w, (uint32_t)(world_draw(w) % WORLD_USERS));
		world_run(w, w->now_us + for_us / n);
	}
}

/* A course in which every kind of answer is given. */
static struct world *eventful(uint64_t seed,
			      bool (*meddle)(struct world *w, struct packet *p))
{
	struct world_conf conf = world_conf(seed);
	struct world *w;

	conf.n_appliances = 2;
	conf.max_age_us = 2000000;
	conf.ttl_us = 60000000;
	conf.fake.max_age_us = 2000000;
	conf.fake.ttl_memory_us = 60000000;
	conf.fake.n_shards =
		5; /* not the 3 it thinks: WRONG_SHARD or CHALLENGE tells */
	w = world_new(&conf);
	w->meddle = meddle;
	track_some(w, 40, 800000);
	for (uint32_t s = 0; s < 5; s++) {
		fake_take(w->cluster, (s + 1) % 2, s);
		fake_set_busy(w->cluster, 2);
		track_some(w, 20, 400000);
	}
	fake_restart(w->cluster, 0);
	w->conf.loss = 200;
	track_some(w, 60, 2500000);
	w->conf.loss = 0;
	return w;
}

/* A stream of which nothing was taken is too old by the time that it would be. */
static void expire(struct world *w)
{
	world_run(w, w->now_us + 3 * SECOND); /* the old stream is over */
	fake_set_busy(w->cluster, 1000000);
	track_some(w, 10, 500000);
	fake_set_clock(w->cluster, WALL_US + (uint64_t)7200 * SECOND);
	fake_set_busy(w->cluster, 0);
	world_run(w, w->now_us + 5 * SECOND);
}

/* The data set turns out to have another S when the stream is already there. */
static void reshape(struct world *w)
{
	struct world_conf conf = world_conf(7);

	conf.fake.n_shards = 3;
	w = world_new(&conf);
	w->meddle = attack;
	world_run(w, w->now_us + 300000);
	fake_set_shape(w->cluster, 5, 1);
	track_some(w, 40, 800000);
	CU_ASSERT_TRUE(world_drain(w, 60 * SECOND));
	CU_ASSERT_TRUE(laws_hold(w));
	CU_ASSERT_EQUAL(total(w, COMMITTED_EVENTS), w->n_events);
	world_free(w);
}

static void what_is_not_authentic_changes_nothing(void)
{
	memset(n_tried, 0, sizeof(n_tried));
	n_accepted = 0;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world *w = eventful(seed, attack);

		CU_ASSERT_TRUE(world_drain(w, 100 * SECOND));
		CU_ASSERT_TRUE(laws_hold(w));
		expire(w);
		CU_ASSERT_TRUE(world_drain(w, 100 * SECOND));
		world_free(w);
	}
	reshape(NULL);
	CU_ASSERT_EQUAL(n_accepted, 0);
	for (size_t i = 0; i < HR_COUNT(answer_kinds); i++)
		if (n_tried[answer_kinds[i]] == 0) {
			printf("\nkind %u was never given\n", answer_kinds[i]);
			CU_FAIL("a kind of answer was not tried");
		}
}

/* ---- repeated, held back ---- */

static struct packet *archive[ARCHIVE_MAX];
static uint32_t n_archived, n_repeated;
static bool may_repeat;

/* Each is kept, and old ones come again, to whatever address; some come only then. */
static bool repeat(struct world *w, struct packet *p)
{
	struct packet *kept = malloc(sizeof(*kept));
	uint32_t at = n_archived;

	CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
	memcpy(kept, p, sizeof(*kept));
	if (n_archived < ARCHIVE_MAX) {
		n_archived++;
	} else {
		at = (uint32_t)(world_draw(w) % ARCHIVE_MAX);
		free(archive[at]);
	}
	archive[at] = kept;
	for (uint64_t i = world_draw(w) % 4; may_repeat && i > 0; i--) {
		const struct packet *old = archive[world_draw(w) % n_archived];

		core_answer(&w->core, (uint32_t)(world_draw(w) % w->conf.n_appliances),
			    old->bytes, old->n, w->now_us);
		n_repeated++;
	}
	return !may_repeat || !world_chance(w, 150);
}

static void forget_all(void)
{
	while (n_archived > 0)
		free(archive[--n_archived]);
}

/* While appliances restart, take shards from each other and change their secret: what
 * an answer said once it says again later, when it is not so any more. */
static void what_comes_again_costs_time_at_most(void)
{
	n_repeated = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world_conf conf = world_conf(seed);
		struct world *w;

		conf.n_appliances = 2;
		conf.max_age_us = 2000000;
		w = world_new(&conf);
		w->meddle = repeat;
		may_repeat = true;
		for (int i = 0; i < 10; i++) {
			const uint32_t s = (uint32_t)(world_draw(w) % 3);

			if (i % 3 == 0)
				fake_take(w->cluster, (uint32_t)(world_draw(w) % 2), s);
			if (i % 4 == 1)
				fake_restart(w->cluster, (uint32_t)(world_draw(w) % 2));
			if (i % 5 == 2)
				fake_change_secret(w->cluster);
			if (i % 5 == 3)
				fake_set_busy(w->cluster, 3);
			track_some(w, 20, 400000);
		}
		may_repeat = false;
		if (!world_drain(w, 100 * SECOND) || !laws_hold(w) ||
		    total(w, COMMITTED_EVENTS) != w->n_events ||
		    total(w, LOST_EVENTS) != 0) {
			printf("\nseed %llu\n", (unsigned long long)seed);
			CU_FAIL("a repeated answer did harm");
		}
		forget_all();
		world_free(w);
	}
	CU_ASSERT_TRUE(n_repeated > 10 * SEEDS);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what is not authentic changes nothing",
		  what_is_not_authentic_changes_nothing },
		{ "what comes again costs time at most",
		  what_comes_again_costs_time_at_most },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk hostile", NULL, NULL, tests);
}
