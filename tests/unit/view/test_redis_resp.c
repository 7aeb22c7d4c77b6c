/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <string.h>

#include "dataplane/view/redis_resp.h"
#include "tests/unit/hr_test.h"

static struct hr_resp b;

static void setup(void)
{
	hr_resp_empty(&b);
}

static void is_written(const char *expected)
{
	CU_ASSERT_FALSE(b.failed);
	CU_ASSERT_EQUAL(b.n, strlen(expected));
	CU_ASSERT_EQUAL(memcmp(b.p, expected, strlen(expected)), 0);
}

static void a_command_is_an_array_of_texts(void)
{
	hr_resp_command(&b, 3);
	hr_resp_word(&b, "SET");
	hr_resp_key(&b, "user:", HR_STR("a\r\nb"), ":profile");
	hr_resp_text(&b, "", 0);
	is_written("*3\r\n$3\r\nSET\r\n$17\r\nuser:a\r\nb:profile\r\n$0\r\n\r\n");
	CU_ASSERT_EQUAL(b.n_commands, 1);
}

static void numbers_are_decimal(void)
{
	hr_resp_number(&b, 0);
	hr_resp_number(&b, -1);
	hr_resp_number(&b, INT64_MAX);
	hr_resp_number(&b, INT64_MIN);
	is_written("$1\r\n0\r\n$2\r\n-1\r\n$19\r\n9223372036854775807\r\n"
		   "$20\r\n-9223372036854775808\r\n");
}

static void a_buffer_grows_as_it_must(void)
{
	char big[5000];

	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 1000; i++)
		hr_resp_text(&b, big, sizeof(big));
	CU_ASSERT_EQUAL(b.n, 1000 * (5000 + 9));
	CU_ASSERT_EQUAL(memcmp(b.p + 999 * 5009, "$5000\r\nxxx", 10), 0);
}

static void an_argument_is_found_again(void)
{
	static const struct {
		uint32_t command, arg;
		const char *text;
	} rows[] = {
		{ 0, 0, "MULTI" }, { 0, 1, "" },   { 1, 0, "SET" },
		{ 1, 1, "\r\n*" }, { 1, 2, "7" },  { 1, 3, "" },
		{ 2, 1, "k" },     { 2, 4, "$0" }, { 3, 0, "" },
	};

	hr_resp_command(&b, 1);
	hr_resp_word(&b, "MULTI");
	hr_resp_command(&b, 3);
	hr_resp_word(&b, "SET");
	hr_resp_word(&b, "\r\n*");
	hr_resp_number(&b, 7);
	hr_resp_command(&b, 5);
	for (int i = 0; i < 4; i++)
		hr_resp_word(&b, "k");
	hr_resp_word(&b, "$0");
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_str found =
			hr_resp_argument(&b, rows[i].command, rows[i].arg);

		CU_ASSERT_EQUAL(found.n, strlen(rows[i].text));
		CU_ASSERT_EQUAL(memcmp(found.p, rows[i].text, found.n), 0);
	}
}

static void scores_are_printed_exactly(void)
{
	static const struct {
		int64_t score;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ 64, "1" },
		{ 32, "0.5" },
		{ 96, "1.5" },
		{ 1, "0.015625" },
		{ 63, "0.984375" },
		{ 16, "0.25" },
		{ -96, "-1.5" },
		{ 64 * 1000000000000, "1000000000000" },
		{ INT64_MAX, "144115188075855871.984375" },
		{ INT64_MIN, "-144115188075855872" },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		char text[HR_SCORE_TEXT + 1] = "";

		CU_ASSERT_EQUAL(hr_score_print(rows[i].score, text),
				(int)strlen(rows[i].text));
		CU_ASSERT_STRING_EQUAL(text, rows[i].text);
	}
}

static void what_redis_says_of_a_score_is_read_back(void)
{
	static const struct {
		const char *text;
		int64_t score;
	} rows[] = {
		{ "0", 0 },       { "1", 64 },
		{ "2.5", 160 },   { "0.015625", 1 },
		{ "1e+2", 6400 }, { "-0.5", -32 },
		{ "0.3", 19 },    { "140737488355328", (int64_t)1 << 53 },
	};
	static const char *const refused[] = {
		"",
		"x",
		"1x",
		"inf",
		"-inf",
		"nan",
		"140737488355329",
		"1e300",
		"00000000000000000000000000000000000000000",
	};
	int64_t score;

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		CU_ASSERT_TRUE(
			hr_score_parse(rows[i].text, strlen(rows[i].text), &score));
		CU_ASSERT_EQUAL(score, rows[i].score);
	}
	for (size_t i = 0; i < HR_COUNT(refused); i++)
		CU_ASSERT_FALSE(hr_score_parse(refused[i], strlen(refused[i]), &score));
}

static void every_64th_survives_the_way_there_and_back(void)
{
	for (int64_t v = 0; v < 100000; v++) {
		char text[HR_SCORE_TEXT];
		int64_t again = -1;
		int n = hr_score_print(v, text);

		CU_ASSERT_TRUE(hr_score_parse(text, (size_t)n, &again));
		CU_ASSERT_EQUAL(again, v);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a command is an array of texts", a_command_is_an_array_of_texts },
		{ "numbers are decimal", numbers_are_decimal },
		{ "a buffer grows as it must", a_buffer_grows_as_it_must },
		{ "an argument is found again", an_argument_is_found_again },
		{ "scores are printed exactly", scores_are_printed_exactly },
		{ "what Redis says of a score is read back",
		  what_redis_says_of_a_score_is_read_back },
		{ "every 64th survives the way there and back",
		  every_64th_survives_the_way_there_and_back },
		CU_TEST_INFO_NULL,
	};
	int r = hr_test_run("view redis resp", setup, NULL, tests);

	hr_resp_free(&b);
	return r;
}
