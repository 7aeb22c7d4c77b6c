/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Links that the table of poison.def names: rejected, whatever is in them, and nothing
 * else is another. This program has a table of its own.
 */

#include <assert.h>
#include <stdlib.h>

#include "dataplane/fold/poison.h"
#include "tests/unit/fold/chain.h"
#include "tests/unit/hr_test.h"

#define SEED 5
#define LINKS 60
#define TABLE 64
#define POISON 35 /* link of the chain */

/* The data set of the tests' chains, and what link 35 of SEED's hashes to: everything
 * before it is in there. */
#define DATA_SET "07070700000000000000000000000000"
#define HASH "f1d3ce1f26450afd54fd662f8b65ad8c"

const struct hr_poison_link hr_poison_links[] = {
	{ "ffffffffffffffffffffffffffffffff", 2, POISON, HASH },
	{ DATA_SET, SEED % 3, POISON, HASH },
	{ NULL, 0, 0, NULL },
};

static struct hr_fold *fold_new(const struct test_chain *c)
{
	struct hr_fold *fold;

	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &c->set, c->shard, TABLE), 0);
	return fold;
}

static void fold_one(struct hr_fold *fold, struct hr_link *link, uint32_t step)
{
	link->out = test_out_new(link);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(fold, link), 0);
	while (!hr_fold_step(fold, step))
		;
}

static struct hr_str state_of(const struct hr_fold *fold)
{
	const size_t n = hr_fold_state_bytes(fold);
	uint8_t *bytes = malloc(n);

	CU_ASSERT_FATAL(bytes != NULL);
	CU_ASSERT_EQUAL_FATAL(hr_fold_state_write(fold, bytes), n);
	return (struct hr_str){ bytes, (uint32_t)n };
}

static bool states_equal(const struct hr_fold *a, const struct hr_fold *b)
{
	const struct hr_str x = state_of(a), y = state_of(b);
	const bool is_equal = hr_str_equals(x, y);

	free((void *)(uintptr_t)x.p);
	free((void *)(uintptr_t)y.p);
	return is_equal;
}

static uint64_t logged_of(const struct hr_fold_totals *t)
{
	uint64_t sum = 0;

	for (int i = 0; i < HR_FOLD_VERDICTS; i++)
		sum += t->verdicts[i];
	CU_ASSERT_EQUAL(t->logged, sum); /* law 2 */
	return sum;
}

static bool is_whole_item(const struct hr_link *link, const struct hr_out_event *e)
{
	uint32_t cursor = e->item;
	struct hr_item item;

	CU_ASSERT_FATAL(hr_item_next(link->body, &cursor, &item) > 0);
	return hr_str_equals(item.payload, e->raw);
}

static void only_the_link_that_is_named_is_one(void)
{
	struct test_chain c;
	struct hr_data_set other;
	struct hr_id128 hash;

	test_chain_random(&c, SEED, LINKS);
	for (uint32_t i = 0; i < c.n_links; i++) {
		const struct hr_link *link = &c.links[i].link;

		CU_ASSERT_EQUAL(
			hr_fold_is_poison(&c.set, c.shard, link->n, &link->hash),
			link->n == POISON);
	}
	hash = c.links[POISON - 1].link.hash;
	other = c.set;
	other.id.b[15] ^= 1;
	CU_ASSERT_FALSE(hr_fold_is_poison(&other, c.shard, POISON, &hash));
	CU_ASSERT_FALSE(
		hr_fold_is_poison(&c.set, (uint16_t)(c.shard + 1), POISON, &hash));
	CU_ASSERT_FALSE(hr_fold_is_poison(&c.set, c.shard, POISON + 1, &hash));
	for (uint32_t bit = 0; bit < 128; bit++) {
		hash.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT_FALSE(hr_fold_is_poison(&c.set, c.shard, POISON, &hash));
		hash.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	test_chain_fini(&c);
}

/* Nothing of it is looked into; what its stream says of it holds. */
static void all_its_events_are_rejected_and_none_is_lost_from_the_ledger(void)
{
	struct hr_fold_totals t;
	struct test_chain c;
	struct hr_fold *fold;
	const struct hr_out *out;
	const struct hr_link *link;

	test_chain_random(&c, SEED, LINKS);
	fold = fold_new(&c);
	for (uint32_t i = 0; i < c.n_links; i++) {
		fold_one(fold, &c.links[i].link, 3);
		hr_fold_read_totals(fold, &t);
		logged_of(&t);
	}
	link = &c.links[POISON - 1].link;
	out = link->out;
	CU_ASSERT(link->n_events > 20);
	CU_ASSERT_EQUAL(out->n_users, 0);
	CU_ASSERT_EQUAL(out->verdicts[HR_COUNTED], 0);
	CU_ASSERT_EQUAL(out->dedup_hits, 0);
	CU_ASSERT(out->rejects[HR_REJECT_POISON] > 20);
	CU_ASSERT_EQUAL(out->rejects[HR_REJECT_POISON] + out->verdicts[HR_REPEATED] +
				out->rejects[HR_REJECT_CAPACITY] +
				out->rejects[HR_REJECT_STREAM_KEY],
			link->n_events);
	for (uint32_t i = 0; i < out->n_events; i++)
		if (out->events[i].reject == HR_REJECT_POISON)
			CU_ASSERT(is_whole_item(link, &out->events[i]));
	/* The others are what they are. */
	CU_ASSERT_EQUAL(t.rejects[HR_REJECT_POISON], out->rejects[HR_REJECT_POISON]);
	CU_ASSERT(t.verdicts[HR_COUNTED] > 1000);
	hr_fold_free(fold);
	test_outs_free(&c);
	test_chain_fini(&c);
}

/* By slices, by a state that was read back before it, by a mirror: the same. */
static void everybody_passes_it_alike(void)
{
	struct test_chain a, b;
	struct hr_fold *whole, *sliced, *mirror;

	test_chain_random(&a, SEED, LINKS);
	test_chain_random(&b, SEED, LINKS);
	whole = fold_new(&a);
	sliced = fold_new(&b);
	mirror = fold_new(&a);
	for (uint32_t i = 0; i < a.n_links; i++) {
		fold_one(whole, &a.links[i].link, UINT32_MAX);
		fold_one(sliced, &b.links[i].link, 1);
		CU_ASSERT(test_outs_equal(a.links[i].link.out, b.links[i].link.out));
		CU_ASSERT_EQUAL_FATAL(hr_fold_follow(mirror, &a.links[i].link), 0);
		CU_ASSERT(states_equal(whole, sliced));
		CU_ASSERT(states_equal(whole, mirror));
	}
	hr_fold_free(whole);
	hr_fold_free(sliced);
	hr_fold_free(mirror);
	test_outs_free(&a);
	test_outs_free(&b);
	test_chain_fini(&a);
	test_chain_fini(&b);
}

/* What the sender was told is not taken back: a repeat of it is repeated. */
static void its_marks_rise(void)
{
	struct test_chain c;
	struct hr_fold *fold;
	const struct test_link *poison;
	uint32_t n_known = 0;

	test_chain_random(&c, SEED, LINKS);
	fold = fold_new(&c);
	for (uint32_t i = 0; i < POISON; i++)
		fold_one(fold, &c.links[i].link, 3);
	poison = &c.links[POISON - 1];
	for (uint32_t i = 0; i < poison->n_items; i++) {
		const struct test_item *item = &poison->items[i];
		uint64_t floor;
		enum hr_floor_is is =
			hr_fold_floor(fold, item->birth, item->random, item->key_id,
				      poison->clock_us, &floor);

		if (item->kind != HR_ITEM_DATAGRAM || is != HR_FLOOR_KNOWN)
			continue;
		CU_ASSERT(floor >= item->sequence);
		n_known++;
	}
	CU_ASSERT(n_known > 2);
	hr_fold_free(fold);
	test_outs_free(&c);
	test_chain_fini(&c);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "only the link that is named is one",
		  only_the_link_that_is_named_is_one },
		{ "all its events are rejected and none is lost from the ledger",
		  all_its_events_are_rejected_and_none_is_lost_from_the_ledger },
		{ "everybody passes it alike", everybody_passes_it_alike },
		{ "its marks rise", its_marks_rise },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("fold poison", NULL, NULL, tests);
}
