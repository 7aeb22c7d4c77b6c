/* SPDX-License-Identifier: BSD-3-Clause */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/clock.h"
#include "dataplane/pace.h"
#include "tests/unit/hr_test.h"

/* On CPUs with time enough. */
static uint32_t next(uint32_t us, uint64_t permille, uint32_t share, uint32_t min_us,
		     uint32_t max_us)
{
	const struct hr_pace_found found = { permille, 1000 };

	return hr_pace_next(us, &found, share, min_us, max_us);
}

static void a_committer_above_its_share_is_slowed_down(void)
{
	CU_ASSERT_EQUAL(next(4000, 301, 300, 2000, 20000), 5000);
	/* The share is the configuration's. */
	CU_ASSERT_EQUAL(next(4000, 301, 900, 2000, 20000), 3200);
	CU_ASSERT_EQUAL(next(4000, 301, 301, 2000, 20000), 4000);
}

static void one_far_below_its_share_is_sped_up(void)
{
	CU_ASSERT_EQUAL(next(5000, 199, 300, 2000, 20000), 4000);
}

static void near_its_share_nothing_changes(void)
{
	for (uint32_t permille = 200; permille <= 300; permille++)
		CU_ASSERT_EQUAL(next(5000, permille, 300, 2000, 20000), 5000);
}

static void the_interval_stays_in_its_bounds(void)
{
	uint32_t us = 2000;

	for (int i = 0; i < 100; i++) {
		us = next(us, 1000, 300, 2000, 20000);
		CU_ASSERT_TRUE(us >= 2000 && us <= 20000);
	}
	CU_ASSERT_EQUAL(us, 20000);
	for (int i = 0; i < 100; i++)
		us = next(us, 0, 300, 2000, 20000);
	CU_ASSERT_EQUAL(us, 2000);
	/* Even a fixed one. */
	CU_ASSERT_EQUAL(next(100, 1000, 300, 100, 100), 100);
}

static uint32_t with_left(uint32_t us, uint32_t spare, uint64_t permille)
{
	const struct hr_pace_found found = { permille, spare };

	return hr_pace_next(us, &found, 300, 2000, 20000);
}

static void busy_cpus_get_fewer_links(void)
{
	CU_ASSERT_EQUAL(with_left(4000, HR_PACE_SPARE_LEAST - 1, 0), 5000);
	CU_ASSERT_EQUAL(with_left(4000, HR_PACE_SPARE_LEAST, 0), 4000);
	CU_ASSERT_EQUAL(with_left(4000, HR_PACE_SPARE_ENOUGH, 0), 4000);
	CU_ASSERT_EQUAL(with_left(4000, HR_PACE_SPARE_ENOUGH + 1, 0), 3200);
	/* Not for a committer that has its share. */
	CU_ASSERT_EQUAL(with_left(4000, 1000, 250), 4000);
	CU_ASSERT_EQUAL(with_left(4000, 1000, 301), 5000);
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

static void what_is_left_of_the_cpus_is_read(void)
{
	struct hr_pace_cpus seen = { 0, 0 }, before;
	uint32_t cpus[2] = { 0, 0 }, permille;

	CU_ASSERT_EQUAL(hr_pace_spare(&seen, cpus, 1), 1000);
	CU_ASSERT_TRUE(seen.all > 0 && seen.left <= seen.all);
	/* Counters that went back. */
	seen.left += seen.all;
	CU_ASSERT_EQUAL(hr_pace_spare(&seen, cpus, 1), 1000);
	before = seen;
	seen = (struct hr_pace_cpus){ before.left - before.left / 2,
				      before.all - before.left };
	permille = hr_pace_spare(&seen, cpus, 1);
	CU_ASSERT_TRUE(permille >= 490 && permille <= 510);
	/* A CPU that is not there has no time. */
	cpus[0] = 1023;
	seen = (struct hr_pace_cpus){ 0, 0 };
	CU_ASSERT_EQUAL(hr_pace_spare(&seen, cpus, 1), 1000);
	CU_ASSERT_EQUAL(seen.all, 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a committer above its share is slowed down",
		  a_committer_above_its_share_is_slowed_down },
		{ "one far below its share is sped up",
		  one_far_below_its_share_is_sped_up },
		{ "near its share nothing changes", near_its_share_nothing_changes },
		{ "busy CPUs get fewer links", busy_cpus_get_fewer_links },
		{ "what is left of the CPUs is read",
		  what_is_left_of_the_cpus_is_read },
		{ "the interval stays in its bounds",
		  the_interval_stays_in_its_bounds },
		{ "the CPU time of a thread is found by its name",
		  the_cpu_time_of_a_thread_is_found_by_its_name },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("pace", NULL, NULL, tests);
}
