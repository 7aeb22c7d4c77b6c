/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/topics_impl.h"
#include "tests/unit/hr_test.h"

#define HASH "000102030405060708090a0b0c0d0e0f"
#define DIGEST "ffffffffffffffffffffffffffffffff"
#define FIRST "1 1234 0 " HASH " " DIGEST "\n"

/* Shard 3 of 5: partitions 3, 8, ... */
static const struct hr_topics_shape shape = {
	.shard = 3,
	.n_shards = 5,
	.n_partitions = { 10, 5, 5, 5 },
};

static struct hr_position position_make(void)
{
	struct hr_position p = { .generation = 1, .n = 1234 };

	for (uint8_t i = 0; i < 16; i++)
		p.hash.b[i] = i;
	memset(p.digest.b, 0xff, 16);
	return p;
}

static void prints_what_is_known_by_topic_and_partition(void)
{
	struct hr_position p = position_make();
	struct hr_topics_ends ends;
	char *out = malloc(hr_topics_position_max(&shape));
	const char *want = FIRST "user_events 3:1000 8:977\npurchases 3:5\n";
	size_t n;

	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&ends, &shape), 0);
	ends.end[HR_TOPIC_USER_EVENTS][0] = 1000;
	ends.end[HR_TOPIC_USER_EVENTS][1] = 977;
	ends.end[HR_TOPIC_PURCHASES][0] = 5;
	n = hr_topics_position_print(&p, &ends, out);
	CU_ASSERT_EQUAL(n, strlen(want));
	CU_ASSERT_EQUAL(memcmp(out, want, n), 0);
	hr_topics_ends_fini(&ends);
	free(out);
}

static void the_longest_record_fits_its_bound_and_comes_back(void)
{
	struct hr_position p = position_make(), found;
	struct hr_topics_ends ends, back;
	size_t max = hr_topics_position_max(&shape), n;
	char *out = malloc(max);

	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&ends, &shape), 0);
	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&back, &shape), 0);
	p.generation = UINT32_MAX;
	p.n = UINT64_MAX;
	p.k = UINT32_MAX;
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&shape, t); i++)
			ends.end[t][i] = INT64_MAX - (int64_t)i;
	n = hr_topics_position_print(&p, &ends, out);
	CU_ASSERT_TRUE(n < max);
	CU_ASSERT_EQUAL_FATAL(hr_topics_position_parse(out, n, &found, &back), 0);
	CU_ASSERT_EQUAL(found.n, p.n);
	CU_ASSERT_TRUE(hr_id128_equals(&found.digest, &p.digest));
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&shape, t); i++)
			CU_ASSERT_EQUAL(back.end[t][i], ends.end[t][i]);
	hr_topics_ends_fini(&ends);
	hr_topics_ends_fini(&back);
	free(out);
}

static void what_the_shape_does_not_have_is_passed_over(void)
{
	static const char text[] = FIRST "recommendations 3:7 8:9\n"
					 "user_events 3:12 4:13 98:14 8:15\n";
	struct hr_position p;
	struct hr_topics_ends ends;

	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&ends, &shape), 0);
	ends.end[HR_TOPIC_PURCHASES][0] = 99; /* of an older record */
	CU_ASSERT_EQUAL(hr_topics_position_parse(text, sizeof(text) - 1, &p, &ends), 0);
	CU_ASSERT_EQUAL(ends.end[HR_TOPIC_USER_EVENTS][0], 12);
	CU_ASSERT_EQUAL(ends.end[HR_TOPIC_USER_EVENTS][1], 15);
	CU_ASSERT_EQUAL(ends.end[HR_TOPIC_PURCHASES][0], 0);
	hr_topics_ends_fini(&ends);
}

static void anything_else_is_refused(void)
{
	static const char *const rows[] = {
		"",
		"\n",
		"1 1234 0 " HASH " " DIGEST,
		"1 1234 0 " HASH "\n",
		FIRST "\n",
		FIRST "user_events",
		FIRST "user_events\n",
		FIRST "user_events 3:12",
		FIRST "user_events 3\n",
		FIRST "user_events 3:\n",
		FIRST "user_events 3:-1\n",
		FIRST "user_events 3:12 \n",
		FIRST "user_events 3:9223372036854775808\n",
		FIRST "user_events 3:12\r\n",
	};
	struct hr_topics_ends ends;

	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&ends, &shape), 0);
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		size_t n = strlen(rows[i]);
		char *exact = malloc(n + 1); /* a read beyond it shall be noticed */
		struct hr_position p;

		memcpy(exact, rows[i], n);
		exact[n] = 'x';
		CU_ASSERT_EQUAL(hr_topics_position_parse(exact, n, &p, &ends),
				-EBADMSG);
		free(exact);
	}
	hr_topics_ends_fini(&ends);
}

static void no_cut_of_a_record_is_taken_for_another(void)
{
	static const char text[] = FIRST "user_events 3:1000 8:977\npurchases 3:5\n";
	size_t whole_lines[3] = { 0 }, n_lines = 0;
	struct hr_topics_ends ends;

	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&ends, &shape), 0);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		if (text[i] == '\n')
			whole_lines[n_lines++] = i + 1;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = malloc(n > 0 ? n : 1);
		bool whole = n == whole_lines[0] || n == whole_lines[1] ||
			     n == whole_lines[2];
		struct hr_position p;

		memcpy(exact, text, n);
		CU_ASSERT_EQUAL(hr_topics_position_parse(exact, n, &p, &ends),
				whole ? 0 : -EBADMSG);
		free(exact);
	}
	hr_topics_ends_fini(&ends);
}

static void ends_only_rise(void)
{
	struct hr_topics_ends ends, fresh;

	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&ends, &shape), 0);
	CU_ASSERT_EQUAL_FATAL(hr_topics_ends_init(&fresh, &shape), 0);
	ends.end[0][0] = 10;
	ends.end[0][1] = 10;
	fresh.end[0][1] = 11;
	hr_topics_ends_raise(&ends, &fresh);
	CU_ASSERT_EQUAL(ends.end[0][0], 10);
	CU_ASSERT_EQUAL(ends.end[0][1], 11);
	hr_topics_ends_fini(&ends);
	hr_topics_ends_fini(&fresh);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "prints what is known, by topic and partition",
		  prints_what_is_known_by_topic_and_partition },
		{ "the longest record fits its bound and comes back",
		  the_longest_record_fits_its_bound_and_comes_back },
		{ "what the shape does not have is passed over",
		  what_the_shape_does_not_have_is_passed_over },
		{ "anything else is refused", anything_else_is_refused },
		{ "no cut of a record is taken for another",
		  no_cut_of_a_record_is_taken_for_another },
		{ "ends only rise", ends_only_rise },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("topics position", NULL, NULL, tests);
}
