/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>

#include "dataplane/view/redis_tick_impl.h"
#include "tests/unit/hr_test.h"

static struct hr_redis_owner *make(const char *favourite)
{
	struct hr_redis_owner *u = calloc(1, sizeof(*u));

	u->period = 12;
	u->newest_ms = 1705314600123;
	u->views = 77;
	u->purchases = 3;
	u->favourite_count = favourite[0] != '\0' ? 5 : 0;
	u->favourite_bytes = (uint8_t)strlen(favourite);
	memcpy(u->favourite, favourite, strlen(favourite));
	return u;
}

static void a_state_is_the_text_the_header_says(void)
{
	struct hr_redis_owner *u = make("home & garden");
	char text[HR_STATE_TEXT];
	size_t n = hr_redis_state_print(u, text);

	CU_ASSERT_EQUAL(n, strlen("1 12 1705314600123 77 3 5 home & garden"));
	CU_ASSERT_EQUAL(memcmp(text, "1 12 1705314600123 77 3 5 home & garden", n), 0);
	free(u);
}

static void what_was_printed_is_read_to_the_same(void)
{
	static const char *const favourites[] = {
		"", "a", "with some spaces", " 1 2 ",
		"0123456789012345678901234567890123456789012345678901234567890123"
	};

	for (size_t i = 0; i < HR_COUNT(favourites); i++) {
		struct hr_redis_owner *u = make(favourites[i]), *v = make("other");
		char text[HR_STATE_TEXT];
		size_t n = hr_redis_state_print(u, text);

		CU_ASSERT_TRUE(hr_redis_state_parse(v, text, n));
		CU_ASSERT_EQUAL(v->period, u->period);
		CU_ASSERT_EQUAL(v->newest_ms, u->newest_ms);
		CU_ASSERT_EQUAL(v->views, u->views);
		CU_ASSERT_EQUAL(v->purchases, u->purchases);
		CU_ASSERT_EQUAL(v->favourite_count, u->favourite_count);
		CU_ASSERT_EQUAL(v->favourite_bytes, u->favourite_bytes);
		CU_ASSERT_EQUAL(memcmp(v->favourite, u->favourite, v->favourite_bytes),
				0);
		free(u);
		free(v);
	}
}

static void every_truncation_before_the_favourite_is_refused(void)
{
	static const char text[] = "1 12 1705314600123 77 3 5 home";
	struct hr_redis_owner *u = make("");

	for (size_t n = 0; n <= strlen(text) - 4; n++)
		CU_ASSERT_FALSE(hr_redis_state_parse(u, text, n));
	CU_ASSERT_TRUE(hr_redis_state_parse(u, text, strlen(text)));
	free(u);
}

static void other_texts_are_refused(void)
{
	static const char *const rows[] = {
		"foreign",
		"2 12 1 77 3 5 home",
		"1 -2 1 77 3 5 home",
		"1 12 1 77 x 5 home",
		"1 12 1 77 3 0 home",
		"1 12 1 77 3 5 ",
		"1  1 77 3 5 home",
		"1 1234567890123456789 1 77 3 5 home",
		("1 12 1 77 3 5 "
		 "01234567890123456789012345678901234567890123456789012345678901234"),
	};
	struct hr_redis_owner *u = make("");

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		CU_ASSERT_FALSE(hr_redis_state_parse(u, rows[i], strlen(rows[i])));
	free(u);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a state is the text the header says",
		  a_state_is_the_text_the_header_says },
		{ "what was printed is read to the same",
		  what_was_printed_is_read_to_the_same },
		{ "every truncation before the favourite is refused",
		  every_truncation_before_the_favourite_is_refused },
		{ "other texts are refused", other_texts_are_refused },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("view redis state", NULL, NULL, tests);
}
