/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <string.h>

#include "dataplane/view/view.h"
#include "tests/unit/hr_test.h"

static const char example[] =
	"1 1234 0 000102030405060708090a0b0c0d0e0f f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

static struct hr_position make_example(void)
{
	struct hr_position p = { .generation = 1, .n = 1234 };

	for (uint8_t i = 0; i < 16; i++) {
		p.hash.b[i] = i;
		p.digest.b[i] = (uint8_t)(0xf0 + i);
	}
	return p;
}

static void a_position_is_printed_as_the_header_says(void)
{
	struct hr_position p = make_example();
	char text[HR_POSITION_TEXT];

	CU_ASSERT_EQUAL(hr_position_print(&p, text), (int)strlen(example));
	CU_ASSERT_STRING_EQUAL(text, example);
}

static void what_was_printed_is_parsed_to_the_same(void)
{
	struct hr_position p = make_example(), q;
	char text[HR_POSITION_TEXT];

	for (int i = 0; i < 3; i++) {
		int n = hr_position_print(&p, text);

		memset(&q, 0x55, sizeof(q));
		CU_ASSERT_EQUAL_FATAL(hr_position_parse(text, (size_t)n, &q), 0);
		CU_ASSERT_EQUAL(q.generation, p.generation);
		CU_ASSERT_EQUAL(q.n, p.n);
		CU_ASSERT_EQUAL(q.k, p.k);
		CU_ASSERT_TRUE(hr_id128_equals(&q.hash, &p.hash));
		CU_ASSERT_TRUE(hr_id128_equals(&q.digest, &p.digest));
		p.n = i == 0 ? 0 : UINT64_MAX;
		p.k = p.generation = i == 0 ? 0 : UINT32_MAX;
	}
}

static void every_truncation_is_refused(void)
{
	struct hr_position p;

	for (size_t n = 0; n < strlen(example); n++)
		CU_ASSERT_EQUAL(hr_position_parse(example, n, &p), -EBADMSG);
}

static void every_other_byte_in_any_place_is_refused_or_means_something_else(void)
{
	char text[sizeof(example)], again[HR_POSITION_TEXT];
	struct hr_position p;
	int n_taken = 0;

	for (size_t at = 0; at < strlen(example); at++) {
		for (int c = 0; c < 256; c++) {
			memcpy(text, example, sizeof(example));
			text[at] = (char)c;
			if (hr_position_parse(text, strlen(example), &p) < 0)
				continue;
			hr_position_print(&p, again);
			CU_ASSERT_EQUAL(memcmp(again, text, strlen(example)), 0);
			n_taken++;
		}
	}
	/* 64 hex digits, digits of 1, 1234 and 0 (no leading zeroes), 4 spaces. */
	CU_ASSERT_EQUAL(n_taken, 64 * 16 + 10 + 9 + 3 * 10 + 10 + 4);
}

static void other_texts_are_refused(void)
{
	static const char *const rows[] = {
		"4294967296 1 0 000102030405060708090a0b0c0d0e0f "
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"1 18446744073709551616 0 000102030405060708090a0b0c0d0e0f "
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"1 01 0 000102030405060708090a0b0c0d0e0f "
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"1 -1 0 000102030405060708090a0b0c0d0e0f "
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"1 1 0 000102030405060708090a0b0c0d0e0f "
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff ",
		"1 1 0 000102030405060708090A0B0C0D0E0F "
		"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"",
	};
	struct hr_position p;

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		CU_ASSERT_EQUAL(hr_position_parse(rows[i], strlen(rows[i]), &p),
				-EBADMSG);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a position is printed as the header says",
		  a_position_is_printed_as_the_header_says },
		{ "what was printed is parsed to the same",
		  what_was_printed_is_parsed_to_the_same },
		{ "every truncation is refused", every_truncation_is_refused },
		{ "every other byte in any place is refused or means something else",
		  every_other_byte_in_any_place_is_refused_or_means_something_else },
		{ "other texts are refused", other_texts_are_refused },
		CU_TEST_INFO_NULL,
	};
	return hr_test_run("view position", NULL, NULL, tests);
}
