/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The state as bytes: read back at any link it goes on as if nothing had been, a mirror
 * that follows has the same bytes at every link, and damaged bytes are refused.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/siphash.h"
#include "tests/unit/fold/chain.h"
#include "tests/unit/hr_test.h"

#define TABLE 64
#define CHAINS 40
#define LINKS 80

/* Exactly as long as the state: whoever reads or writes beyond meets the sanitizer. */
static struct hr_str state_of(const struct hr_fold *fold)
{
	const size_t n = hr_fold_state_bytes(fold);
	uint8_t *bytes = malloc(n);

	CU_ASSERT_FATAL(bytes != NULL);
	memset(bytes, 0xa5, n);
	CU_ASSERT_EQUAL_FATAL(hr_fold_state_write(fold, bytes), n);
	return (struct hr_str){ bytes, (uint32_t)n };
}

static void drop(struct hr_str state)
{
	free((void *)(uintptr_t)state.p);
}

static bool states_equal(const struct hr_fold *a, const struct hr_fold *b)
{
	const struct hr_str x = state_of(a), y = state_of(b);
	const bool is_equal = hr_str_equals(x, y);

	drop(x);
	drop(y);
	return is_equal;
}

static struct hr_fold *fold_new(const struct test_chain *c, uint32_t max_streams)
{
	struct hr_fold *fold;

	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &c->set, c->shard, max_streams), 0);
	return fold;
}

static struct hr_fold *read_back(const struct test_chain *c, const struct hr_fold *from,
				 uint32_t max_streams)
{
	const struct hr_str state = state_of(from);
	struct hr_fold *fold = NULL;
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL_FATAL(
		hr_fold_state_read(&fold, &c->set, c->shard, max_streams, state, &err),
		0);
	drop(state);
	return fold;
}

static void fold_one(struct hr_fold *fold, struct hr_link *link, uint32_t step)
{
	free(link->out);
	link->out = test_out_new(link);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(fold, link), 0);
	while (!hr_fold_step(fold, step))
		;
}

static bool totals_equal(const struct hr_fold *a, const struct hr_fold *b)
{
	struct hr_fold_totals x, y;

	hr_fold_read_totals(a, &x);
	hr_fold_read_totals(b, &y);
	return memcmp(x.verdicts, y.verdicts, sizeof(x.verdicts)) == 0 &&
	       memcmp(x.rejects, y.rejects, sizeof(x.rejects)) == 0 &&
	       x.logged == y.logged && x.gaps == y.gaps && x.filled == y.filled &&
	       x.dedup_hits == y.dedup_hits && x.dedup_evicted == y.dedup_evicted &&
	       x.losses == y.losses && x.lost_links == y.lost_links;
}

static bool stand_equal(const struct hr_fold *a, const struct hr_fold *b)
{
	return hr_fold_n(a) == hr_fold_n(b) && hr_fold_clock(a) == hr_fold_clock(b) &&
	       hr_id128_equals(hr_fold_hash(a), hr_fold_hash(b)) &&
	       hr_id128_equals(hr_fold_digest(a), hr_fold_digest(b)) &&
	       totals_equal(a, b) && states_equal(a, b);
}

/* Written behind link at and read into another table; then both go on. */
static void resume(uint64_t seed, uint32_t at)
{
	struct hr_fold *whole, *second = NULL;
	struct test_chain a, b;

	test_chain_random(&a, seed, LINKS);
	test_chain_random(&b, seed, LINKS);
	whole = fold_new(&a, TABLE);
	for (uint32_t i = 0; i <= a.n_links; i++) {
		if (i == at)
			second = read_back(&a, whole, 14 + at % 80);
		if (second != NULL)
			CU_ASSERT_FATAL(stand_equal(whole, second));
		if (i == a.n_links)
			break;
		fold_one(whole, &a.links[i].link, 50);
		if (second == NULL)
			continue;
		fold_one(second, &b.links[i].link, 7);
		CU_ASSERT(test_outs_equal(a.links[i].link.out, b.links[i].link.out));
	}
	hr_fold_free(whole);
	hr_fold_free(second);
	test_chain_fini(&a);
	test_chain_fini(&b);
}

static void a_state_read_back_goes_on_as_if_nothing_had_been(void)
{
	for (uint32_t at = 0; at <= LINKS; at++)
		resume(1 + at % 5, at);
	for (uint64_t seed = 10; seed < 10 + CHAINS; seed++)
		resume(seed, (uint32_t)(seed * 7 % LINKS));
}

struct seen {
	uint32_t streams[HR_STREAM_CLASSES], known, full;
};

static void look(struct seen *seen, const struct hr_fold *fold)
{
	struct hr_fold_totals t;

	hr_fold_read_totals(fold, &t);
	for (int i = 0; i < HR_STREAM_CLASSES; i++)
		seen->streams[i] += t.streams_of[i] > 1;
	seen->known += t.dedup_entries > 5;
	seen->full += t.rejects[HR_REJECT_CAPACITY] > 0;
}

static void a_mirror_that_follows_is_equal_at_every_link(void)
{
	struct seen seen = { 0 };

	for (uint64_t seed = 200; seed < 200 + CHAINS; seed++) {
		struct hr_fold *fold, *mirror;
		struct test_chain c;

		test_chain_random(&c, seed, LINKS);
		fold = fold_new(&c, TABLE);
		mirror = fold_new(&c, 14 + (uint32_t)seed % 90);
		for (uint32_t i = 0; i < c.n_links; i++) {
			fold_one(fold, &c.links[i].link, 33);
			CU_ASSERT_EQUAL_FATAL(hr_fold_follow(mirror, &c.links[i].link),
					      0);
			CU_ASSERT_FATAL(stand_equal(fold, mirror));
			look(&seen, fold);
			if (i % 29 == 28) { /* a mirror that starts from a state */
				hr_fold_free(mirror);
				mirror = read_back(&c, fold, TABLE);
			}
		}
		hr_fold_free(fold);
		hr_fold_free(mirror);
		test_chain_fini(&c);
	}
	for (int i = 0; i < HR_STREAM_CLASSES; i++)
		CU_ASSERT(seen.streams[i] > 200);
	CU_ASSERT(seen.known > 200);
	CU_ASSERT(seen.full > 200);
}

/* A fold that goes on by following may take the receive path over at any link. */
static void a_mirror_folds_on_like_the_fold_it_followed(void)
{
	struct hr_fold *fold, *mirror;
	struct test_chain a, b;

	test_chain_random(&a, 77, LINKS);
	test_chain_random(&b, 77, LINKS);
	fold = fold_new(&a, TABLE);
	mirror = fold_new(&a, TABLE);
	for (uint32_t i = 0; i < a.n_links; i++) {
		fold_one(fold, &a.links[i].link, 1000);
		if (i < LINKS / 2) {
			CU_ASSERT_EQUAL(hr_fold_follow(mirror, &a.links[i].link), 0);
			continue;
		}
		fold_one(mirror, &b.links[i].link, 1000);
		CU_ASSERT(test_outs_equal(a.links[i].link.out, b.links[i].link.out));
	}
	CU_ASSERT(stand_equal(fold, mirror));
	hr_fold_free(fold);
	hr_fold_free(mirror);
	test_chain_fini(&a);
	test_chain_fini(&b);
}

static void a_mirror_refuses_what_is_not_the_next_link(void)
{
	struct hr_fold *fold, *mirror;
	struct test_chain c;

	test_chain_random(&c, 3, 6);
	fold = fold_new(&c, TABLE);
	mirror = fold_new(&c, TABLE);
	test_fold_run(&c, fold, 100);
	CU_ASSERT_EQUAL(hr_fold_follow(mirror, &c.links[1].link), -EPROTO);
	CU_ASSERT_EQUAL(hr_fold_follow(mirror, &c.links[0].link), 0);
	CU_ASSERT_EQUAL(hr_fold_follow(mirror, &c.links[0].link), -EPROTO);
	CU_ASSERT_EQUAL(hr_fold_n(mirror), 1);
	hr_fold_free(mirror);
	mirror = fold_new(&c, 3);
	CU_ASSERT_EQUAL(hr_fold_follow(mirror, &c.links[0].link), -E2BIG);
	CU_ASSERT_EQUAL(hr_fold_n(mirror), 0);
	hr_fold_free(mirror);
	hr_fold_free(fold);
	test_chain_fini(&c);
}

/* A longer lifetime does not let a stream in whose floor a shorter one may have let go;
 * and a state remembers that. */
static void what_was_expired_stays_so_when_config_grants_more(void)
{
	struct hr_chain_config config = test_config(100, 8, 1000);
	const uint64_t disk = HR_BIRTH_DISK_CLASS;
	struct hr_fold *fold, *again;
	struct test_chain c;

	config.setting[HR_CHAIN_TTL_MEMORY_US] = 200;
	config.setting[HR_CHAIN_TTL_DISK_US] = 5000;
	test_chain_init(&c, 0, 1);
	test_chain_add_config(&c, 10000, &config);
	config.setting[HR_CHAIN_TTL_MEMORY_US] = 100000;
	test_chain_add_config(&c, 20000, &config);
	fold = fold_new(&c, TABLE);
	fold_one(fold, &c.links[0].link, 1);
	CU_ASSERT_FALSE(hr_fold_is_expired(fold, 18800, 20000));
	CU_ASSERT(hr_fold_is_expired(fold, 18799, 20000));
	CU_ASSERT_FALSE(hr_fold_is_expired(fold, disk | 14000, 20000));
	CU_ASSERT(hr_fold_is_expired(fold, disk | 13999, 20000));
	fold_one(fold, &c.links[1].link, 1);
	again = read_back(&c, fold, TABLE);
	CU_ASSERT(hr_fold_is_expired(again, 18799, 20000));
	CU_ASSERT_FALSE(hr_fold_is_expired(again, 18800, 119800));
	CU_ASSERT(hr_fold_is_expired(again, 18800, 119801));
	hr_fold_free(fold);
	hr_fold_free(again);
	test_chain_fini(&c);
}

/* ---- refusals ---- */

static struct test_chain chain;
static struct hr_str state;

static void start(uint64_t seed, uint32_t n_links)
{
	struct hr_fold *fold;

	test_chain_random(&chain, seed, n_links);
	fold = fold_new(&chain, TABLE);
	test_fold_run(&chain, fold, 100);
	state = state_of(fold);
	hr_fold_free(fold);
}

static void stop(void)
{
	drop(state);
	test_chain_fini(&chain);
}

static int read_it(struct hr_str bytes, uint32_t max_streams, struct hr_err *err)
{
	struct hr_fold *fold = NULL;
	const int r = hr_fold_state_read(&fold, &chain.set, chain.shard, max_streams,
					 bytes, err);

	CU_ASSERT_EQUAL(r == 0, fold != NULL);
	hr_fold_free(fold);
	return r;
}

static bool is_refused(struct hr_str bytes)
{
	struct hr_err err = { "" };
	const int r = read_it(bytes, TABLE, &err);

	return r == -EBADMSG && err.text[0] != 0;
}

static void every_truncation_is_refused(void)
{
	start(12, 40);
	for (uint32_t n = 0; n < state.n; n++) {
		uint8_t *cut = malloc(n == 0 ? 1 : n);

		memcpy(cut, state.p, n);
		CU_ASSERT(is_refused((struct hr_str){ cut, n }));
		free(cut);
	}
	stop();
}

static void every_flipped_bit_is_refused(void)
{
	uint8_t *bytes;

	start(12, 40);
	bytes = (uint8_t *)(uintptr_t)state.p;
	for (uint32_t bit = 0; bit < 8 * state.n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT(is_refused(state));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CU_ASSERT_EQUAL(read_it(state, TABLE, NULL), 0);
	stop();
}

static void sign(uint8_t *bytes, uint32_t n)
{
	static const char key[] = "headrace: fstate";

	hr_siphash128((const uint8_t *)key, bytes, n - 16, bytes + n - 16);
}

/* A bug's, not a disk's: the digest fits, the inside does not. Whatever is taken is
 * written back as the very same bytes, so nothing was misunderstood. */
static void a_signed_state_that_is_wrong_inside_is_refused_or_means_what_it_says(void)
{
	uint32_t n_refused = 0, n_taken = 0;
	uint8_t *bytes;

	start(12, 40);
	bytes = (uint8_t *)(uintptr_t)state.p;
	for (uint32_t bit = 0; bit < 8 * (state.n - 16); bit++) {
		struct hr_err err = { "" };
		struct hr_fold *fold = NULL;
		int r;

		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		sign(bytes, state.n);
		r = hr_fold_state_read(&fold, &chain.set, chain.shard, TABLE, state,
				       &err);
		n_refused += r < 0;
		n_taken += r == 0;
		if (r < 0) {
			CU_ASSERT(err.text[0] != 0);
		} else {
			const struct hr_str again = state_of(fold);

			CU_ASSERT(hr_str_equals(again, state));
			drop(again);
		}
		hr_fold_free(fold);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CU_ASSERT(n_refused > 1000);
	CU_ASSERT(n_taken > 1000); /* counters, key ids, settings, ... */
	stop();
}

static void a_state_of_somebody_else_is_refused_by_name(void)
{
	struct hr_err err = { "" };
	uint32_t version;
	uint8_t *bytes;

	start(12, 40);
	bytes = (uint8_t *)(uintptr_t)state.p;
	chain.shard ^= 1;
	CU_ASSERT_EQUAL(read_it(state, TABLE, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "shard"));
	chain.shard ^= 1;
	chain.set.generation++;
	CU_ASSERT_EQUAL(read_it(state, TABLE, &err), -EINVAL);
	chain.set.generation--;
	chain.set.id.b[3] ^= 1;
	CU_ASSERT_EQUAL(read_it(state, TABLE, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "data set"));
	chain.set.id.b[3] ^= 1;
	hr_store32(bytes + 4, 2);
	sign(bytes, state.n);
	CU_ASSERT_EQUAL(read_it(state, TABLE, &err), -E2BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "layout 2"));
	hr_store32(bytes + 4, 1);
	version = hr_load32(bytes + 44);
	hr_store32(bytes + 44, HR_FOLD_VERSION + 1);
	sign(bytes, state.n);
	CU_ASSERT_EQUAL(read_it(state, TABLE, &err), -E2BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "fold version"));
	hr_store32(bytes + 44, version);
	sign(bytes, state.n);
	CU_ASSERT_EQUAL(read_it(state, 1, &err), -E2BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "streams"));
	CU_ASSERT_EQUAL(read_it(state, TABLE, &err), 0);
	stop();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a state read back goes on as if nothing had been",
		  a_state_read_back_goes_on_as_if_nothing_had_been },
		{ "a mirror that follows is equal at every link",
		  a_mirror_that_follows_is_equal_at_every_link },
		{ "a mirror folds on like the fold it followed",
		  a_mirror_folds_on_like_the_fold_it_followed },
		{ "a mirror refuses what is not the next link",
		  a_mirror_refuses_what_is_not_the_next_link },
		{ "what was expired stays so when CONFIG grants more",
		  what_was_expired_stays_so_when_config_grants_more },
		{ "every truncation is refused", every_truncation_is_refused },
		{ "every flipped bit is refused", every_flipped_bit_is_refused },
		{ "a signed state that is wrong inside is refused, or means what it "
		  "says",
		  a_signed_state_that_is_wrong_inside_is_refused_or_means_what_it_says },
		{ "a state of somebody else is refused by name",
		  a_state_of_somebody_else_is_refused_by_name },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("fold state", NULL, NULL, tests);
}
