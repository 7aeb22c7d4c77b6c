/* SPDX-License-Identifier: BSD-3-Clause */

/* A bell between two threads. Times are generous: the machine may be busy. */

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "common/bell.h"
#include "common/clock.h"
#include "tests/unit/hr_test.h"

#define LONG_US 20000000u

static struct hr_bell bell;
static uint64_t slept_us;

static void *sleeper(void *arg)
{
	const uint64_t from_us = hr_mono_us();

	(void)arg;
	hr_bell_wait(&bell, LONG_US);
	slept_us = hr_mono_us() - from_us;
	return NULL;
}

static void a_ring_ends_the_sleep(void)
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(hr_bell_init(&bell), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, sleeper, NULL), 0);
	while (!atomic_load(&bell.is_awaited))
		usleep(100);
	hr_bell_ring(&bell);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(slept_us < LONG_US / 2);
	hr_bell_fini(&bell);
}

static void what_nobody_waits_for_is_not_even_written(void)
{
	uint64_t n;

	CU_ASSERT_EQUAL_FATAL(hr_bell_init(&bell), 0);
	hr_bell_ring(&bell);
	CU_ASSERT_TRUE(read(bell.fd, &n, sizeof(n)) < 0);
	hr_bell_await(&bell);
	hr_bell_ring(&bell);
	hr_bell_ring(&bell);
	CU_ASSERT_EQUAL(read(bell.fd, &n, sizeof(n)), sizeof(n));
	CU_ASSERT_EQUAL(n, 1);
	hr_bell_fini(&bell);
}

static void a_sleep_ends_by_itself_and_leaves_nothing(void)
{
	uint64_t from_us;

	CU_ASSERT_EQUAL_FATAL(hr_bell_init(&bell), 0);
	hr_bell_await(&bell);
	hr_bell_ring(&bell);
	CU_ASSERT_TRUE(hr_bell_awoke(&bell));
	CU_ASSERT_FALSE(hr_bell_awoke(&bell));
	from_us = hr_mono_us();
	hr_bell_wait(&bell, 3000);
	CU_ASSERT_TRUE(hr_mono_us() - from_us >= 3000);
	CU_ASSERT_FALSE(atomic_load(&bell.is_awaited));
	hr_bell_fini(&bell);
}

/* Rings from another thread all the time: nobody hangs, whoever races. */
static void *ringer(void *arg)
{
	atomic_bool *ends = arg;

	while (!atomic_load(ends))
		hr_bell_ring(&bell);
	return NULL;
}

static void many_rings_and_sleeps_race(void)
{
	atomic_bool ends;
	pthread_t thread;

	atomic_init(&ends, false);
	CU_ASSERT_EQUAL_FATAL(hr_bell_init(&bell), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ringer, &ends), 0);
	for (int i = 0; i < 2000; i++)
		hr_bell_wait(&bell, 100000);
	atomic_store(&ends, true);
	pthread_join(thread, NULL);
	hr_bell_fini(&bell);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a ring ends the sleep", a_ring_ends_the_sleep },
		{ "what nobody waits for is not even written",
		  what_nobody_waits_for_is_not_even_written },
		{ "a sleep ends by itself and leaves nothing",
		  a_sleep_ends_by_itself_and_leaves_nothing },
		{ "many rings and sleeps race", many_rings_and_sleeps_race },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("bell", NULL, NULL, tests);
}
