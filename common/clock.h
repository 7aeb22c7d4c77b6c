/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CLOCK_H
#define HR_CLOCK_H

/* clock - the two clocks of the machine, in microseconds. Any thread. */

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC: for intervals; never steps. */
static inline uint64_t hr_mono_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* CLOCK_REALTIME since 1970 UTC: for what people and other machines read. */
static inline uint64_t hr_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Both, read together, for whoever takes time as an argument. */
struct hr_now {
	uint64_t mono_us, wall_us;
};

#endif
