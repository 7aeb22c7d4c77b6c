/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RECORD_CLOCK_H
#define HR_RECORD_CLOCK_H

/*
 * record_clock - the time that the chain runs on: offset + CLOCK_MONOTONIC, one
 * offset a process, taken when its first FENCE is read back. It advances by what
 * the monotonic clock measured, however the wall clock is set afterwards.
 *
 *   sent ──▶ stamped by the broker ──▶ seen        in true time
 *
 * The wall clock is believed where it can be right: not later than the stamp + 1 s
 * when the FENCE was sent, not earlier than the stamp - 1 s when it was seen. Else
 * it is clamped to that bound. (Comparing the wall clock at `seen` alone would
 * punish a right clock for a slow broker.) One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/mutant.h"

struct hr_record_clock {
	bool is_set;
	int64_t offset_us;
};

struct hr_fence_times {
	uint64_t sent_mono_us, sent_wall_us;
	uint64_t seen_mono_us, seen_wall_us;
	int64_t stamped_ms; /* LogAppendTime */
};

#define HR_RECORD_CLOCK_SLACK_US 1000000

/* Returns by how much the wall clock was corrected, in microseconds; 0: believed. */
int64_t hr_record_clock_take(struct hr_record_clock *clock,
			     const struct hr_fence_times *times);

/* Record time of a link sent now: never before the last link's. */
static inline uint64_t hr_record_clock_at(const struct hr_record_clock *clock,
					  uint64_t mono_us, uint64_t last_link_us)
{
	int64_t t = (int64_t)mono_us + clock->offset_us;

	return (t > 0 && (uint64_t)t > last_link_us) || HR_MUTANT(clock_back)
		       ? (uint64_t)t
		       : last_link_us;
}

#endif
