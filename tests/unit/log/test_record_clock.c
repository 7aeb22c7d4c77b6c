/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/log/record_clock.h"
#include "tests/unit/hr_test.h"

#define S_US 1000000ll
#define STAMP_MS 1700000000000ll
#define STAMP_US (STAMP_MS * 1000)

static void the_wall_clock_is_clamped_to_the_brokers_stamp(void)
{
	static const struct {
		int64_t wall_off_us; /* of the wall clock, against the broker's */
		int64_t to_stamp_us; /* from sent to stamped */
		int64_t to_seen_us;  /* from stamped to seen */
		int64_t want_off_us; /* of record time, against the broker's */
	} rows[] = {
		{ 0, 1000, 1000, 0 },
		{ 900000, 0, 0, 900000 },
		{ -900000, 0, 0, -900000 },
		{ 3600 * S_US, 0, 0, S_US + 999 },
		{ -3600 * S_US, 0, 0, -S_US },
		/* A slow broker, a slow read-back: a right clock stays as it is. */
		{ 0, 30 * S_US, 0, 0 },
		{ 0, 0, 30 * S_US, 0 },
		{ 0, 30 * S_US, 30 * S_US, 0 },
		/* And a wrong one is clamped at the end where it shows. */
		{ 3600 * S_US, 10 * S_US, 0, 11 * S_US + 999 },
		{ -3600 * S_US, 0, 10 * S_US, -11 * S_US },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const int64_t boot = 77 * S_US; /* wall - monotonic, of a right clock */
		int64_t sent = STAMP_US - rows[i].to_stamp_us;
		int64_t seen = STAMP_US + rows[i].to_seen_us;
		struct hr_fence_times t = {
			.sent_mono_us = (uint64_t)(sent - boot),
			.sent_wall_us = (uint64_t)(sent + rows[i].wall_off_us),
			.seen_mono_us = (uint64_t)(seen - boot),
			.seen_wall_us = (uint64_t)(seen + rows[i].wall_off_us),
			.stamped_ms = STAMP_MS,
		};
		struct hr_record_clock clock = { false, 0 };
		int64_t corrected = hr_record_clock_take(&clock, &t);

		CU_ASSERT_TRUE(clock.is_set);
		CU_ASSERT_EQUAL(clock.offset_us - boot, rows[i].want_off_us);
		CU_ASSERT_EQUAL(corrected, rows[i].want_off_us - rows[i].wall_off_us);
	}
}

static void record_time_never_runs_backwards(void)
{
	struct hr_record_clock clock = { true, 1000 };

	CU_ASSERT_EQUAL(hr_record_clock_at(&clock, 500, 0), 1500);
	CU_ASSERT_EQUAL(hr_record_clock_at(&clock, 500, 1500), 1500);
	CU_ASSERT_EQUAL(hr_record_clock_at(&clock, 500, 9999), 9999);
	clock.offset_us = -1000;
	CU_ASSERT_EQUAL(hr_record_clock_at(&clock, 500, 7), 7);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the wall clock is clamped to the broker's stamp",
		  the_wall_clock_is_clamped_to_the_brokers_stamp },
		{ "record time never runs backwards",
		  record_time_never_runs_backwards },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("record_clock", NULL, NULL, tests);
}
