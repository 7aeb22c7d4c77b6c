/* SPDX-License-Identifier: BSD-3-Clause */

/* Where events begin and end in a payload. */

#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"

struct row {
	uint8_t codec;
	bool allow_array;
	const char *payload;
	size_t n;
	int n_events;       /* -1: broken framing */
	const char *joined; /* the events, with "|" behind each */
};

#define PB(payload, n, joined)                                                         \
	{                                                                              \
		HR_CODEC_PROTOBUF, false, payload, sizeof(payload) - 1, n, joined      \
	}
#define LINES(payload, n, joined)                                                      \
	{                                                                              \
		HR_CODEC_JSON, false, payload, sizeof(payload) - 1, n, joined          \
	}
#define ARRAY(payload, n, joined)                                                      \
	{                                                                              \
		HR_CODEC_JSON, true, payload, sizeof(payload) - 1, n, joined           \
	}

static const struct row rows[] = {
	PB("", 0, ""),
	PB("\x0a\x01"
	   "a",
	   1, "a|"),
	PB("\x0a\x01"
	   "a\x0a\x00\x0a\x02"
	   "bc",
	   3, "a||bc|"),
	PB("\x8a\x00\x81\x00"
	   "a",
	   1, "a|"),
	PB("\x0a", -1, ""),
	PB("\x0a\x02"
	   "a",
	   -1, ""),
	PB("\x0a\x80", -1, ""),
	PB("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -1, ""),
	PB("\x08\x01", -1, ""),
	PB("\x12\x01"
	   "a",
	   -1, ""),
	PB("{}", -1, ""),

	LINES("", 0, ""),
	LINES("{}", 1, "{}|"),
	LINES("{}\n", 1, "{}|"),
	LINES("{}\n{}", 2, "{}|{}|"),
	LINES("{\"a\":1}\r\n{}\n", 2, "{\"a\":1}\r|{}|"),
	LINES("123456789012345\nx\n", 2, "123456789012345|x|"),
	LINES("\n", -1, ""),
	LINES("{}\n\n", -1, "{}|"),
	LINES("\n{}", -1, ""),
	LINES("[{},{}]", 1, "[{},{}]|"), /* not allowed: a line like any */

	ARRAY("{}\n{}\n", 2, "{}|{}|"), /* allowed and not there */
	ARRAY("[{},{}]", 2, "{}|{}|"),
	ARRAY(" \n[ {\"a\":[1,{}]} ,\n{\"b\":\"]},{\\\"\"}\t] \n", 2,
	      "{\"a\":[1,{}]}|{\"b\":\"]},{\\\"\"}|"),
	ARRAY("[]", 0, ""),
	ARRAY(" [ ] ", 0, ""),
	ARRAY("[", -1, ""),
	ARRAY("[{}", -1, ""),
	ARRAY("[{},", -1, ""),
	ARRAY("[{},]", -1, ""),
	ARRAY("[,{}]", -1, ""),
	ARRAY("[{}{}]", -1, ""),
	ARRAY("[{}]]", -1, "{}|"),
	ARRAY("[{}] x", -1, "{}|"),
	ARRAY("[1]", -1, ""),
	ARRAY("[{},1]", -1, ""),
	ARRAY("[[{}]]", -1, ""),
	ARRAY("[{\"a\":[}]}]", -1, ""),
	ARRAY("[{\"a]}", -1, ""),
	ARRAY("[{\"a\\", -1, ""),
	ARRAY("[{\"a\n\"}]", -1, ""),
};

static void every_row_is_cut_as_it_says(void)
{
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		uint8_t *exact = malloc(row->n + 1);
		uint8_t *payload = exact + 1; /* the end is what a sanitizer guards */
		char joined[256] = "";
		struct hr_frames f;
		struct hr_str event;
		int r, n = 0;

		memcpy(payload, row->payload, row->n);
		hr_frames_init(&f, row->codec,
			       (struct hr_str){ payload, (uint32_t)row->n },
			       row->allow_array);
		while ((r = hr_frames_next(&f, &event)) == 1) {
			CU_ASSERT_TRUE(event.p >= payload &&
				       event.p + event.n <= payload + row->n);
			strncat(joined, (const char *)event.p, event.n);
			strcat(joined, "|");
			n++;
		}
		if (r == 0)
			CU_ASSERT_EQUAL(hr_frames_next(&f, &event), 0);
		if (strcmp(joined, row->joined) != 0)
			printf("\n    row %zu: found %s", i, joined);
		CU_ASSERT_EQUAL(r == 0 ? n : -1, row->n_events);
		CU_ASSERT_STRING_EQUAL(joined, row->joined);
		free(exact);
	}
}

static void a_payload_fits_its_own_count_and_no_other(void)
{
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const struct hr_str payload = { (const uint8_t *)rows[i].payload,
						(uint32_t)rows[i].n };

		if (rows[i].allow_array)
			continue;
		for (uint32_t n = 0; n < 6; n++)
			CU_ASSERT_EQUAL(hr_frames_fit(rows[i].codec, payload, n),
					(int)n == rows[i].n_events);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every row is cut as it says", every_row_is_cut_as_it_says },
		{ "a payload fits its own count and no other",
		  a_payload_fits_its_own_count_and_no_other },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("frames", NULL, NULL, tests);
}
