/* SPDX-License-Identifier: BSD-3-Clause */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/clock.h"
#include "dataplane/pace.h"
#include "tests/unit/hr_test.h"

static void a_committer_above_its_share_is_slowed_down(void)
{
	CU_ASSERT_EQUAL(hr_pace_next(4000, 301, 300, 2000, 20000), 5000);
	/* The share is the configuration's. */
	CU_ASSERT_EQUAL(hr_pace_next(4000, 301, 900, 2000, 20000), 3200);
	CU_ASSERT_EQUAL(hr_pace_next(4000, 301, 301, 2000, 20000), 4000);
}

static void one_far_below_its_share_is_sped_up(void)
{
	CU_ASSERT_EQUAL(hr_pace_next(5000, 199, 300, 2000, 20000), 4000);
}

static void near_its_share_nothing_changes(void)
{
	for (uint32_t permille = 200; permille <= 300; permille++)
		CU_ASSERT_EQUAL(hr_pace_next(5000, permille, 300, 2000, 20000), 5000);
}

static void the_interval_stays_in_its_bounds(void)
{
	uint32_t us = 2000;

	for (int i = 0; i < 100; i++) {
		us = hr_pace_next(us, 1000, 300, 2000, 20000);
		CU_ASSERT_TRUE(us >= 2000 && us <= 20000);
	}
	CU_ASSERT_EQUAL(us, 20000);
	for (int i = 0; i < 100; i++)
		us = hr_pace_next(us, 0, 300, 2000, 20000);
	CU_ASSERT_EQUAL(us, 2000);
	/* Even a fixed one. */
	CU_ASSERT_EQUAL(hr_pace_next(100, 1000, 300, 100, 100), 100);
}

static atomic_bool stops;

static void *spin(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "hr-spins");
	while (!atomic_load(&stops))
		;
	return NULL;
}

static void the_cpu_time_of_a_thread_is_found_by_its_name(void)
{
	const uint64_t until_us = hr_mono_us() + 10000000;
	pthread_t thread;

	CU_ASSERT_EQUAL(hr_pace_thread_ns("hr-nobody"), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, spin, NULL), 0);
	while (hr_pace_thread_ns("hr-spins") < 1000000 && hr_mono_us() < until_us)
		;
	CU_ASSERT_TRUE(hr_pace_thread_ns("hr-spins") >= 1000000);
	atomic_store(&stops, true);
	pthread_join(thread, NULL);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a committer above its share is slowed down",
		  a_committer_above_its_share_is_slowed_down },
		{ "one far below its share is sped up",
		  one_far_below_its_share_is_sped_up },
		{ "near its share nothing changes", near_its_share_nothing_changes },
		{ "the interval stays in its bounds",
		  the_interval_stays_in_its_bounds },
		{ "the CPU time of a thread is found by its name",
		  the_cpu_time_of_a_thread_is_found_by_its_name },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("pace", NULL, NULL, tests);
}
