/* SPDX-License-Identifier: BSD-3-Clause */

#include "controlplane/supervise/backoff.h"
#include "tests/unit/hr_test.h"

static struct hr_backoff b;

static void the_first_wait_is_the_configured_one(void)
{
	hr_backoff_init(&b, 1000);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, 0), 1000);
}

static void it_doubles_up_to_thirty_seconds_and_stays_there(void)
{
	static const uint32_t waits[] = { 1000,  2000,  4000,  8000,
					  16000, 30000, 30000, 30000 };

	hr_backoff_init(&b, 1000);
	for (size_t i = 0; i < HR_COUNT(waits); i++)
		CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, 10), waits[i]);
}

static void a_long_life_starts_over(void)
{
	hr_backoff_init(&b, 500);
	for (int i = 0; i < 9; i++)
		(void)hr_backoff_next_ms(&b, 0);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, HR_BACKOFF_LIVED_MS - 1), 30000);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, HR_BACKOFF_LIVED_MS), 0);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, HR_BACKOFF_LIVED_MS), 0);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, 0), 500);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, 0), 1000);
}

static void a_delay_beyond_the_maximum_stays_as_configured(void)
{
	hr_backoff_init(&b, 600000);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, 0), 600000);
	CU_ASSERT_EQUAL(hr_backoff_next_ms(&b, 0), 600000);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the first wait is the configured one",
		  the_first_wait_is_the_configured_one },
		{ "it doubles up to thirty seconds and stays there",
		  it_doubles_up_to_thirty_seconds_and_stays_there },
		{ "a long life starts over", a_long_life_starts_over },
		{ "a delay beyond the maximum stays as configured",
		  a_delay_beyond_the_maximum_stays_as_configured },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("backoff", NULL, NULL, tests);
}
