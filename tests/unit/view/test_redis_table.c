/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/view/redis_table.h"
#include "tests/unit/hr_test.h"

static struct hr_redis_table t;

static void setup(void)
{
	CU_ASSERT_EQUAL_FATAL(hr_redis_table_init(&t, 1 << 20, 16), 0);
	t.tick = 1;
}

static void teardown(void)
{
	hr_redis_table_fini(&t);
}

static struct hr_str name(uint32_t i)
{
	static char text[32];

	return (struct hr_str){ (uint8_t *)text,
				(uint32_t)snprintf(text, sizeof(text), "n%u", i) };
}

static void a_name_is_one_owner_of_each_kind(void)
{
	struct hr_redis_owner *user =
		hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("a"));
	struct hr_redis_owner *category =
		hr_redis_owner_get(&t, HR_OWNER_CATEGORY, HR_STR("a"));

	CU_ASSERT_PTR_NOT_EQUAL(user, category);
	CU_ASSERT_PTR_EQUAL(hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("a")), user);
	CU_ASSERT_PTR_NOT_EQUAL(hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("b")),
				user);
	CU_ASSERT_EQUAL(t.owners.n, 3);
	CU_ASSERT_EQUAL(user->newest_ms, INT64_MIN);
}

static void a_name_is_one_cell_of_each_owner_and_kind(void)
{
	struct hr_redis_owner *a = hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("a"));
	struct hr_redis_owner *b = hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("b"));
	struct hr_redis_cell *c = hr_redis_cell_get(&t, a, HR_CELL_MEMBER, HR_STR("p"));

	CU_ASSERT_PTR_EQUAL(hr_redis_cell_get(&t, a, HR_CELL_MEMBER, HR_STR("p")), c);
	CU_ASSERT_PTR_NOT_EQUAL(hr_redis_cell_get(&t, a, HR_CELL_CATEGORY, HR_STR("p")),
				c);
	CU_ASSERT_PTR_NOT_EQUAL(hr_redis_cell_get(&t, b, HR_CELL_MEMBER, HR_STR("p")),
				c);
	CU_ASSERT_EQUAL(t.cells.n, 3);
	CU_ASSERT_FALSE(c->is_known);
}

static void many_names_are_found_again(void)
{
	struct hr_redis_owner *a = hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("a"));

	for (uint32_t i = 0; i < 20000; i++)
		hr_redis_cell_get(&t, a, HR_CELL_MEMBER, name(i))->value = i;
	for (uint32_t i = 0; i < 20000; i++)
		CU_ASSERT_EQUAL(
			hr_redis_cell_get(&t, a, HR_CELL_MEMBER, name(i))->value, i);
	CU_ASSERT_EQUAL(t.cells.n, 20000);
}

static void the_longest_unused_leave_first_and_touched_ones_stay(void)
{
	struct hr_redis_owner *first = hr_redis_owner_get(&t, HR_OWNER_USER, name(0));
	uint64_t n_left;

	first->is_touched = true;
	for (uint32_t i = 0; i < 10000; i++) {
		struct hr_redis_owner *o =
			hr_redis_owner_get(&t, HR_OWNER_USER, name(i));

		hr_redis_cell_get(&t, o, HR_CELL_MEMBER, HR_STR("p"));
	}
	CU_ASSERT_TRUE(t.bytes > t.max_bytes);
	hr_redis_owner_get(&t, HR_OWNER_USER, name(1));
	first = hr_redis_owner_get(&t, HR_OWNER_USER, name(0));
	hr_redis_table_trim(&t);
	CU_ASSERT_TRUE(t.bytes <= t.max_bytes);
	n_left = t.owners.n;
	CU_ASSERT_EQUAL(t.cells.n, n_left);
	/* Those used last are there: 0 and 1, and the end of the row. */
	CU_ASSERT_PTR_EQUAL(hr_redis_owner_get(&t, HR_OWNER_USER, name(0)), first);
	hr_redis_owner_get(&t, HR_OWNER_USER, name(1));
	hr_redis_owner_get(&t, HR_OWNER_USER, name(9999));
	CU_ASSERT_EQUAL(t.owners.n, n_left);
	hr_redis_owner_get(&t, HR_OWNER_USER, name(2));
	CU_ASSERT_EQUAL(t.owners.n, n_left + 1);
}

static void members_without_a_score_are_pruned(void)
{
	struct hr_redis_owner *a = hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("a"));

	for (uint32_t i = 0; i < 100; i++)
		hr_redis_cell_get(&t, a, HR_CELL_MEMBER, name(i))->value = i % 3;
	hr_redis_cell_get(&t, a, HR_CELL_CATEGORY, HR_STR("c"));
	hr_redis_owner_prune(&t, a);
	CU_ASSERT_EQUAL(t.cells.n, 66 + 1);
	CU_ASSERT_EQUAL(hr_redis_cell_get(&t, a, HR_CELL_MEMBER, name(2))->value, 2);
	CU_ASSERT_EQUAL(t.cells.n, 67);
}

static void similar_sets_are_bounded_except_those_of_the_tick(void)
{
	const struct hr_str members[] = { HR_STR("x"), HR_STR(""), HR_STR("yy") };

	for (uint32_t i = 0; i < 100; i++) {
		struct hr_redis_similar *s = hr_redis_similar_get(&t, name(i));

		CU_ASSERT_EQUAL(hr_redis_similar_set(&t, s, members, 3, 5), 0);
	}
	hr_redis_table_trim(&t);
	CU_ASSERT_EQUAL(t.similar.n, 100);
	t.tick++;
	for (uint32_t i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(hr_redis_similar_get(&t, name(i))->n_members, 3);
	hr_redis_table_trim(&t);
	CU_ASSERT_EQUAL(t.similar.n, 20);
	t.tick++;
	hr_redis_table_trim(&t);
	CU_ASSERT_EQUAL(t.similar.n, 16);
	CU_ASSERT_TRUE(hr_str_equals(hr_redis_similar_get(&t, name(19))->members[2],
				     HR_STR("yy")));
}

static void forgetting_keeps_what_is_not_ours(void)
{
	struct hr_redis_owner *a = hr_redis_owner_get(&t, HR_OWNER_USER, HR_STR("a"));
	struct hr_redis_similar *s = hr_redis_similar_get(&t, HR_STR("p"));

	hr_redis_cell_get(&t, a, HR_CELL_MEMBER, HR_STR("p"));
	s->is_asked = true;
	hr_redis_table_forget(&t);
	CU_ASSERT_EQUAL(t.owners.n, 0);
	CU_ASSERT_EQUAL(t.cells.n, 0);
	CU_ASSERT_EQUAL(t.bytes, 0);
	CU_ASSERT_PTR_EQUAL(hr_redis_similar_get(&t, HR_STR("p")), s);
	CU_ASSERT_FALSE(s->is_asked);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a name is one owner of each kind",
		  a_name_is_one_owner_of_each_kind },
		{ "a name is one cell of each owner and kind",
		  a_name_is_one_cell_of_each_owner_and_kind },
		{ "many names are found again", many_names_are_found_again },
		{ "the longest unused leave first and touched ones stay",
		  the_longest_unused_leave_first_and_touched_ones_stay },
		{ "members without a score are pruned",
		  members_without_a_score_are_pruned },
		{ "similar sets are bounded except those of the tick",
		  similar_sets_are_bounded_except_those_of_the_tick },
		{ "forgetting keeps what is not ours",
		  forgetting_keeps_what_is_not_ours },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("view redis table", setup, teardown, tests);
}
