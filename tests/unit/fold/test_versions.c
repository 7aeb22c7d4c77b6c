/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Fold versions: what lies before a CONFIG with another one is folded by the old rules,
 * what lies behind it by the new ones, and a program that lacks the version says by name
 * which one is needed. Built as it is shipped, and with a version more that tests alone
 * have: there an event without timestamp gets its time of receipt in whole seconds.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/fold/chain.h"
#include "tests/unit/hr_test.h"

#define CLOCK_US 1700000000000000u
#define RECEIVED_US (CLOCK_US - 1234567u)
#define RECEIVED_MS ((int64_t)(RECEIVED_US / 1000))
#define TABLE 16

static struct test_chain chain;

static void add_config(uint32_t version)
{
	struct hr_chain_config config = test_config(100, TABLE, 1000000);

	config.fold_version = version;
	test_chain_add_config(&chain, CLOCK_US, &config);
}

/* An event without timestamp, and one with. */
static void add_events(uint64_t sequence)
{
	struct test_item *it = calloc(1, sizeof(*it));

	CU_ASSERT_FATAL(it != NULL);
	*it = (struct test_item){ .kind = HR_ITEM_DATAGRAM,
				  .codec = HR_CODEC_JSON,
				  .birth = 5,
				  .sequence = sequence,
				  .received_us = RECEIVED_US,
				  .claimed = ABSENT,
				  .n_events = 2 };
	for (int i = 0; i < 2; i++)
		it->events[i] =
			(struct test_event){ .user = "u",
					     .type = "click",
					     .id = "e",
					     .time_ms = i == 0 ? ABSENT : 1001 };
	test_chain_add_epoch(&chain, CLOCK_US, it, 1);
}

static void start(uint32_t version)
{
	test_chain_init(&chain, 0, 1);
	add_config(version);
	add_events(1);
}

static struct hr_fold *fold_new(void)
{
	struct hr_fold *fold;

	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &chain.set, 0, TABLE), 0);
	return fold;
}

static int64_t time_of(uint32_t link, uint32_t event)
{
	return chain.links[link].link.out->events[event].event.time_ms;
}

static void the_first_version_is_as_it_was(void)
{
	struct hr_fold *fold;

	start(HR_FOLD_VERSION_LEAST);
	fold = fold_new();
	test_fold_run(&chain, fold, 1);
	CU_ASSERT_EQUAL(time_of(1, 0), RECEIVED_MS);
	CU_ASSERT_EQUAL(time_of(1, 1), 1001);
	CU_ASSERT_EQUAL(hr_fold_config(fold)->fold_version, 1);
	hr_fold_free(fold);
	test_chain_fini(&chain);
}

static void a_version_that_is_not_there_is_refused_by_name(void)
{
	const uint32_t absent[] = { 0, HR_FOLD_VERSION + 1, 4000000000u };
	struct hr_body_sum sum;
	struct hr_fold *fold;

	start(HR_FOLD_VERSION);
	fold = fold_new();
	test_fold_run(&chain, fold, 1);
	for (size_t i = 0; i < HR_COUNT(absent); i++) {
		const struct hr_id128 digest = *hr_fold_digest(fold);
		struct hr_err err = { "" };
		struct hr_link *link;
		char needs[40];

		add_config(absent[i]);
		link = &chain.links[2].link;
		link->out = test_out_new(link);
		CU_ASSERT_EQUAL(hr_fold_begin(fold, link), -E2BIG);
		CU_ASSERT_EQUAL(hr_fold_n(fold), 2);
		CU_ASSERT(hr_id128_equals(hr_fold_digest(fold), &digest));
		CU_ASSERT_EQUAL(hr_fold_config(fold)->fold_version, HR_FOLD_VERSION);
		CU_ASSERT_EQUAL(hr_body_check(HR_BODY_CONFIG, link->body, &sum, &err),
				-ENOTSUP);
		snprintf(needs, sizeof(needs), "run one that has version %u",
			 absent[i]);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, needs));
		CU_ASSERT_PTR_NOT_NULL(
			strstr(err.text, "this program has " HR_FOLD_VERSIONS));
		test_chain_drop_last(&chain);
	}
	hr_fold_free(fold);
	test_chain_fini(&chain);
}

#if HR_FOLD_VERSION > 1

static void the_rules_change_behind_config_and_not_before(void)
{
	struct hr_fold *fold;

	start(1);
	add_config(2);
	add_events(2);
	add_config(1); /* nobody writes that; it would be obeyed */
	add_events(3);
	fold = fold_new();
	test_fold_run(&chain, fold, 1);
	CU_ASSERT_EQUAL(time_of(1, 0), RECEIVED_MS);
	CU_ASSERT_EQUAL(time_of(3, 0), RECEIVED_MS / 1000 * 1000);
	CU_ASSERT_NOT_EQUAL(time_of(3, 0), RECEIVED_MS);
	CU_ASSERT_EQUAL(time_of(3, 1), 1001);
	CU_ASSERT_EQUAL(time_of(5, 0), RECEIVED_MS);
	hr_fold_free(fold);
	test_chain_fini(&chain);
}

/* Written behind link at, read by another fold, which goes on. */
static struct hr_id128 digest_by_way_of_state(uint32_t at, uint32_t *version)
{
	struct hr_fold *fold = fold_new();
	struct hr_id128 digest;
	struct hr_err err = { "" };
	uint8_t *state;
	size_t n;

	for (uint32_t i = 0; i < chain.n_links; i++) {
		struct hr_link *link = &chain.links[i].link;

		if (i == at) {
			n = hr_fold_state_bytes(fold);
			state = malloc(n);
			CU_ASSERT_FATAL(state != NULL);
			hr_fold_state_write(fold, state);
			*version = hr_load32(state + 44);
			hr_fold_free(fold);
			CU_ASSERT_EQUAL_FATAL(
				hr_fold_state_read(
					&fold, &chain.set, 0, TABLE,
					(struct hr_str){ state, (uint32_t)n }, &err),
				0);
			free(state);
		}
		free(link->out);
		link->out = test_out_new(link);
		CU_ASSERT_EQUAL_FATAL(hr_fold_begin(fold, link), 0);
		while (!hr_fold_step(fold, 1))
			;
	}
	digest = *hr_fold_digest(fold);
	hr_fold_free(fold);
	return digest;
}

static void a_state_says_whose_rules_it_obeys(void)
{
	static const uint32_t expected[] = { 0, 1, 1, 2 };
	struct hr_id128 whole;
	struct hr_fold *fold;
	uint32_t version;

	start(1);
	add_config(2);
	add_events(2);
	fold = fold_new();
	test_fold_run(&chain, fold, 1);
	whole = *hr_fold_digest(fold);
	hr_fold_free(fold);
	for (uint32_t at = 0; at < 4; at++) {
		const struct hr_id128 digest = digest_by_way_of_state(at, &version);

		CU_ASSERT(hr_id128_equals(&digest, &whole));
		CU_ASSERT_EQUAL(version, expected[at]);
	}
	test_chain_fini(&chain);
}

#endif

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the first version is as it was", the_first_version_is_as_it_was },
		{ "a version that is not there is refused by name",
		  a_version_that_is_not_there_is_refused_by_name },
#if HR_FOLD_VERSION > 1
		{ "the rules change behind CONFIG, and not before",
		  the_rules_change_behind_config_and_not_before },
		{ "a state says whose rules it obeys",
		  a_state_says_whose_rules_it_obeys },
#endif
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("fold versions", NULL, NULL, tests);
}
