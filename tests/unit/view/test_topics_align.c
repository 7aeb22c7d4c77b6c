/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <string.h>

#include "dataplane/view/topics_align.h"
#include "tests/unit/hr_test.h"

/* Records are letters: `there` stands at offsets 10, 11, …; fold makes the n-th in link
 * n, and those in capitals need not be there. What is found: "-c(12,13)1" misses one
 * record before the one at 13, "+x(12,13)1" is one too many, "<" at the tail. */
struct row {
	const char *there, *made;
	bool begins_late, may_skip;
	const char *found;
};

static char said[400];

static void found(void *ctx, const struct hr_topics_align *a,
		  const struct hr_topics_gap *gap)
{
	size_t n = strlen(said);

	(void)ctx;
	(void)a;
	snprintf(said + n, sizeof(said) - n, "%s%s(%lld,%lld)%llu", n > 0 ? " " : "",
		 gap->is_extra  ? "+"
		 : gap->is_tail ? "<"
				: "-",
		 (long long)gap->from, (long long)gap->to,
		 (unsigned long long)gap->count);
	if (!gap->is_extra)
		snprintf(said + strlen(said), sizeof(said) - strlen(said), ":%llu-%llu",
			 (unsigned long long)gap->first_n,
			 (unsigned long long)gap->last_n);
}

static void play(const struct row *row, struct hr_topics_align *a)
{
	*a = (struct hr_topics_align){ .begins_late = row->begins_late,
				       .may_skip = row->may_skip,
				       .end = 10 + (int64_t)strlen(row->there),
				       .found = found };
	said[0] = '\0';
	for (size_t i = 0; row->there[i] != '\0'; i++)
		CU_ASSERT_EQUAL(hr_topics_align_add(a, (uint64_t)row->there[i],
						    10 + (int64_t)i),
				0);
	for (size_t i = 0; row->made[i] != '\0'; i++) {
		const bool must = row->made[i] >= 'a';
		const uint64_t hash = (uint64_t)row->made[i] | 0x20;

		CU_ASSERT_EQUAL(hr_topics_align_made(a, hash, i + 1, must), 0);
	}
	hr_topics_align_end(a);
}

static void differences_are_found_where_they_are(void)
{
	static const struct row rows[] = {
		{ "abc", "abc", false, false, "" },
		{ "", "", false, false, "" },
		{ "ac", "abc", false, false, "-(11,11)1:2-2" },
		{ "ab", "abcd", false, false, "<(12,12)2:3-4" },
		{ "", "ab", false, false, "<(0,10)2:1-2" },
		{ "abxc", "abc", false, false, "+(12,13)1" },
		{ "abcx", "abc", false, false, "+(13,14)1" },
		{ "axc", "abc", false, false, "-(11,11)1:2-2 +(11,12)1" },
		{ "aabc", "abc", false, false, "+(11,12)1" },
		{ "acb", "abc", false, false, "+(11,12)1 <(13,13)1:3-3" },
		/* What is written while it is read. */
		{ "ab", "abCD", false, false, "" },
		{ "abc", "abCD", false, false, "" },
		{ "abd", "abCD", false, false, "-(12,12)1:3-3" },
		{ "a", "abCD", false, false, "<(11,11)1:2-2" },
		/* Retention. */
		{ "cd", "abcd", true, false, "" },
		{ "cd", "abcd", false, false, "-(0,10)2:1-2" },
		{ "c", "abcd", true, false, "<(11,11)1:4-4" },
		{ "ce", "abcde", true, false, "-(11,11)1:4-4" },
		/* A log that was trimmed. */
		{ "abcd", "cd", false, true, "" },
		{ "abcd", "cd", false, false, "+(10,12)2" },
		{ "ab", "cd", false, true, "<(12,12)2:1-2" },
		{ "abd", "cd", false, true, "-(0,10)1:1-1" },
	};
	struct hr_topics_align a;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		play(&rows[i], &a);
		if (strcmp(said, rows[i].found) != 0)
			fprintf(stderr, "%s of %s: found \"%s\", wanted \"%s\"\n",
				rows[i].there, rows[i].made, said, rows[i].found);
		CU_ASSERT_STRING_EQUAL(said, rows[i].found);
		hr_topics_align_fini(&a);
	}
}

static void it_tells_from_where_on_a_tail_is_missing(void)
{
	static const struct row row = { "abc", "abcde", false, false, "" };
	struct hr_topics_align a;

	play(&row, &a);
	CU_ASSERT_EQUAL(a.resume, 3);
	CU_ASSERT_EQUAL(a.n_made, 5);
	CU_ASSERT_EQUAL(a.n_matched, 3);
	hr_topics_align_fini(&a);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{ "differences are found where they are",
		  differences_are_found_where_they_are },
		{ "it tells from where on a tail is missing",
		  it_tells_from_where_on_a_tail_is_missing },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("topics align", NULL, NULL, tests);
}
