/* SPDX-License-Identifier: BSD-3-Clause */

/* Event times: ISO 8601 to milliseconds and back, against the C library's calendar. */

#include <time.h>

#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"

static struct hr_str str(const char *text)
{
	return (struct hr_str){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static void good_times_are_read(void)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00", 0 },
		{ "2024-01-15T10:30:00.000", 1705314600000 },
		{ "2024-01-15T10:30:00", 1705314600000 },
		{ "2024-01-15T10:30", 1705314600000 },
		{ "2024-01-15T10:30Z", 1705314600000 },
		{ "2024-01-15T10:30+01:00", 1705311000000 },
		{ "2024-01-15 10:30:00.000", 1705314600000 },
		{ "2024-01-15t10:30:00z", 1705314600000 },
		{ "2024-01-15T10:30:00Z", 1705314600000 },
		{ "2024-01-15T10:30:00,5Z", 1705314600500 },
		{ "2024-01-15T10:30:00.1234567890123456789Z", 1705314600123 },
		{ "2024-01-15T10:30:00.9999", 1705314600999 },
		{ "2024-01-15T10:30:00.07+00:00", 1705314600070 },
		{ "2024-01-15T10:30:00+01:00", 1705311000000 },
		{ "2024-01-15T10:30:00-0130", 1705320000000 },
		{ "2024-01-15T10:30:00+01", 1705311000000 },
		{ "2024-01-15T10:30:00-00:00", 1705314600000 },
		{ "2024-02-29T23:59:59.999Z", 1709251199999 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "9999-12-31T23:59:59.999Z", HR_TIME_MS_MAX },
		{ "9999-12-31T23:59:59.999-00:01", HR_TIME_MS_MAX + 60000 },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "0000-01-01T00:00:00Z", -62167219200000 },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		int64_t ms = 77;

		CU_ASSERT_TRUE(hr_time_parse(str(rows[i].text), &ms));
		if (ms != rows[i].ms)
			printf("\n    %s: %lld", rows[i].text, (long long)ms);
		CU_ASSERT_EQUAL(ms, rows[i].ms);
	}
}

static void what_is_no_time_is_refused(void)
{
	static const char *const rows[] = {
		"",
		"2024",
		"2024-01-15",
		"2024-01-15T",
		"2024-01-15T10",
		"2024-01-15T10:3",
		"2024-01-15T10:30:",
		"2024-01-15T10:30:0",
		"2024-01-15T10:30.5",
		"2024-01-15T10:30:00.",
		"2024-01-15T10:30:00.Z",
		"2024-01-15T10:30:00 ",
		" 2024-01-15T10:30:00",
		"2024-01-15T10:30:00ZZ",
		"2024-01-15T10:30:00+1",
		"2024-01-15T10:30:00+01:",
		"2024-01-15T10:30:00+01:0",
		"2024-01-15T10:30:00+24:00",
		"2024-01-15T10:30:00+01:60",
		"2024-01-15T10:30:00+01:00x",
		"2024-00-15T10:30:00",
		"2024-13-15T10:30:00",
		"2024-01-00T10:30:00",
		"2024-01-32T10:30:00",
		"2023-02-29T10:30:00",
		"1900-02-29T10:30:00",
		"2024-04-31T10:30:00",
		"2024-01-15T24:00:00",
		"2024-01-15T10:60:00",
		"2024-01-15T10:30:60",
		"2024-1-15T10:30:00",
		"24-01-15T10:30:00",
		"+2024-01-15T10:30:00",
		"2024/01/15T10:30:00",
		"2024-01-15_10:30:00",
		"20240115T103000",
		"2024-W03-1T10:30:00",
		"1705314600000",
	};
	int64_t ms;

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		if (hr_time_parse(str(rows[i]), &ms))
			printf("\n    taken: %s", rows[i]);
		CU_ASSERT_FALSE(hr_time_parse(str(rows[i]), &ms));
	}
	CU_ASSERT_FALSE(hr_time_parse((struct hr_str){ NULL, 0 }, &ms));
}

/* Every day of eight thousand years, at a time of day that moves along. */
static void every_day_is_the_c_librarys(void)
{
	for (int64_t day = 0; day * 86400000 <= HR_TIME_MS_MAX; day++) {
		const int64_t ms = day * 86400000 + day * 7919 % 86400000;
		const time_t seconds = ms / 1000;
		char want[40], sql[HR_TIME_SQL_BYTES + 1] = "", iso[HR_TIME_ISO_BYTES];
		struct tm tm;
		int64_t back = 0;

		gmtime_r(&seconds, &tm);
		strftime(want, sizeof(want), "%Y-%m-%d %H:%M:%S", &tm);
		hr_time_sql(ms, sql);
		hr_time_iso(ms, iso);
		if (memcmp(sql, want, 19) != 0 || atoi(sql + 20) != ms % 1000)
			CU_FAIL_FATAL("another time than gmtime_r's");
		if (!hr_time_parse((struct hr_str){ (const uint8_t *)iso, sizeof(iso) },
				   &back) ||
		    back != ms)
			CU_FAIL_FATAL("does not come back");
	}
	CU_PASS("all days");
}

static void what_lies_outside_four_digits_is_brought_inside(void)
{
	char sql[HR_TIME_SQL_BYTES];

	hr_time_sql(-1, sql);
	CU_ASSERT_EQUAL(memcmp(sql, "1970-01-01 00:00:00.000", sizeof(sql)), 0);
	hr_time_sql(INT64_MIN, sql);
	CU_ASSERT_EQUAL(memcmp(sql, "1970-01-01 00:00:00.000", sizeof(sql)), 0);
	hr_time_sql(HR_TIME_MS_MAX + 1, sql);
	CU_ASSERT_EQUAL(memcmp(sql, "9999-12-31 23:59:59.999", sizeof(sql)), 0);
	hr_time_sql(INT64_MAX, sql);
	CU_ASSERT_EQUAL(memcmp(sql, "9999-12-31 23:59:59.999", sizeof(sql)), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "good times are read", good_times_are_read },
		{ "what is no time is refused", what_is_no_time_is_refused },
		{ "every day is the C library's", every_day_is_the_c_librarys },
		{ "what lies outside four-digit years is brought inside",
		  what_lies_outside_four_digits_is_brought_inside },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("event times", NULL, NULL, tests);
}
