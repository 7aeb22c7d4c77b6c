/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The accept rule against a model that knows no hashes: writers that fence, append,
 * append late, twice and out of order, from views of the chain that may be old. The
 * model keeps who-built-on-what as plain indices and asks the question anew each time.
 */

#include "dataplane/log/record.h"
#include "tests/unit/hr_test.h"

#define SCHEDULES 2000
#define STEPS 120
#define WRITERS 4
#define NONE (-1)

static const struct hr_data_set set = {
	.id = { { 1 } }, .hash_key = { 2 }, .generation = 1, .n_shards = 1
};

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) % n);
}

/* One record made by a writer; it may be offered any number of times, later. */
struct made {
	bool is_fence;
	uint32_t owner_no; /* every FENCE and its links have their own */
	uint64_t incarnation;
	uint64_t n;
	int built_on; /* index of the record that its writer took for the last link */
	uint64_t clock_us;
	uint16_t kind;
	struct hr_record record;
};

/* What a writer believes; refreshed from the truth now and then. */
struct writer {
	uint32_t owner_no;
	struct hr_chain chain;
	int last;
};

struct world {
	struct made made[STEPS];
	int n_made;
	struct writer writers[WRITERS];
	uint32_t owners;

	/* The rule under test. */
	struct hr_chain chain;

	/* The model. */
	uint64_t incarnation;
	uint32_t owner_no; /* 0: nobody */
	int last;          /* index of the last accepted link */
	uint64_t n, clock_us;
};

static struct hr_id128 owner_id(uint32_t owner_no)
{
	struct hr_id128 id = { { 0 } };

	hr_store32(id.b, owner_no);
	return id;
}

static struct made *add(struct world *w, const struct writer *by, bool is_fence)
{
	struct made *m = &w->made[w->n_made++];

	memset(m, 0, sizeof(*m));
	m->is_fence = is_fence;
	m->owner_no = by->owner_no;
	m->record.generation = set.generation;
	m->record.data_set = set.id;
	m->record.type = is_fence ? HR_RECORD_FENCE : HR_RECORD_LINK;
	return m;
}

static void write_fence(struct world *w, struct writer *by)
{
	struct made *m;

	by->owner_no = ++w->owners;
	m = add(w, by, true);
	m->incarnation = by->chain.incarnation + (below(8) == 0 ? 2 : 1);
	m->record.fence.incarnation = m->incarnation;
	m->record.fence.owner = owner_id(m->owner_no);
}

static void write_link(struct world *w, struct writer *by)
{
	struct made *m = add(w, by, false);
	struct hr_link_head *link = &m->record.link;

	m->n = by->chain.n + (below(8) == 0 ? 2 : 1);
	m->built_on = by->last;
	m->clock_us = by->chain.clock_us + below(3);
	if (m->clock_us > 0 && below(10) == 0)
		m->clock_us--;
	m->kind = m->n == 1 && below(6) != 0 ? HR_BODY_CONFIG : HR_BODY_EPOCH;
	link->owner = owner_id(m->owner_no);
	link->n = m->n;
	link->prev_hash = by->chain.hash;
	link->clock_us = m->clock_us;
	link->body_kind = m->kind;
	/* Differs from every other record's: no two hashes are equal. */
	link->body = (struct hr_str){ (const uint8_t *)&m->owner_no, 4 };
}

/* The rule once more, in words: current owner, next n, built on the last accepted
 * link, first one CONFIG, clock not behind. */
static bool model_accepts(struct world *w, int at)
{
	const struct made *m = &w->made[at];

	if (m->is_fence) {
		if (m->incarnation != w->incarnation + 1)
			return false;
		w->incarnation = m->incarnation;
		w->owner_no = m->owner_no;
		return true;
	}
	if (w->owner_no == 0 || m->owner_no != w->owner_no || m->n != w->n + 1 ||
	    m->built_on != w->last || m->clock_us < w->clock_us ||
	    (m->n == 1 && m->kind != HR_BODY_CONFIG))
		return false;
	w->last = at;
	w->n = m->n;
	w->clock_us = m->clock_us;
	return true;
}

static unsigned int accepted_links, accepted_fences, refused;

static void offer(struct world *w, int at)
{
	enum hr_verdict v = hr_chain_offer(&w->chain, &w->made[at].record);
	bool accepted = v == HR_VERDICT_LINK || v == HR_VERDICT_FENCE;

	CU_ASSERT_EQUAL_FATAL(accepted, model_accepts(w, at));
	CU_ASSERT_EQUAL(w->chain.n, w->n);
	CU_ASSERT_EQUAL(w->chain.incarnation, w->incarnation);
	CU_ASSERT_EQUAL(w->chain.clock_us, w->clock_us);
	accepted_links += v == HR_VERDICT_LINK;
	accepted_fences += v == HR_VERDICT_FENCE;
	refused += !accepted;
}

static void run(uint64_t seed)
{
	static struct world w;

	random_state = seed * 0x9e3779b97f4a7c15u + 1;
	memset(&w, 0, sizeof(w));
	w.last = NONE;
	hr_chain_init(&w.chain, &set, 0);
	for (int i = 0; i < WRITERS; i++)
		w.writers[i] = (struct writer){ .chain = w.chain, .last = NONE };

	while (w.n_made < STEPS) {
		struct writer *by = &w.writers[below(WRITERS)];
		int fresh = w.n_made;

		if (by->owner_no == 0 || below(12) == 0)
			write_fence(&w, by);
		else
			write_link(&w, by);
		if (below(5) != 0)
			offer(&w, fresh); /* else it is on its way still */
		if (below(4) == 0)
			offer(&w, (int)below((uint32_t)w.n_made));
		if (below(2) == 0) {
			by->chain = w.chain;
			by->last = w.last;
		}
	}
}

static void the_rule_agrees_with_a_model_that_knows_no_hashes(void)
{
	for (uint64_t seed = 1; seed <= SCHEDULES; seed++)
		run(seed);
	/* Each outcome is well represented, or the schedules prove nothing. */
	CU_ASSERT_TRUE(accepted_links > 10 * SCHEDULES);
	CU_ASSERT_TRUE(accepted_fences > 2 * SCHEDULES);
	CU_ASSERT_TRUE(refused > 10 * SCHEDULES);
}

static void a_hash_known_beforehand_gives_the_same_chain(void)
{
	struct hr_chain computed, known;
	struct hr_record fence = {
		.type = HR_RECORD_FENCE,
		.generation = 1,
		.data_set = set.id,
		.fence = { .incarnation = 1, .owner = owner_id(7) },
	};
	struct hr_record link = {
		.type = HR_RECORD_LINK,
		.generation = 1,
		.data_set = set.id,
		.link = { .owner = owner_id(7), .n = 1, .body_kind = HR_BODY_CONFIG },
	};
	struct hr_id128 hash;

	hr_chain_init(&computed, &set, 0);
	known = computed;
	link.link.prev_hash = computed.hash;
	link.link.body = HR_STR("body");
	hr_link_hash(&set, 0, &link.link, &hash);
	CU_ASSERT_EQUAL(hr_chain_offer(&computed, &fence), HR_VERDICT_FENCE);
	CU_ASSERT_EQUAL(hr_chain_offer(&known, &fence), HR_VERDICT_FENCE);
	CU_ASSERT_EQUAL(hr_chain_offer(&computed, &link), HR_VERDICT_LINK);
	CU_ASSERT_EQUAL(hr_chain_offer_hashed(&known, &link, &hash), HR_VERDICT_LINK);
	CU_ASSERT_EQUAL(known.n, computed.n);
	CU_ASSERT_TRUE(hr_id128_equals(&known.hash, &computed.hash));
	CU_ASSERT_TRUE(hr_id128_equals(&known.hash, &hash));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the rule agrees with a model that knows no hashes",
		  the_rule_agrees_with_a_model_that_knows_no_hashes },
		{ "a hash known beforehand gives the same chain",
		  a_hash_known_beforehand_gives_the_same_chain },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("chain", NULL, NULL, tests);
}
