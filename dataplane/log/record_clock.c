/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/log/record_clock.h"

int64_t hr_record_clock_take(struct hr_record_clock *clock,
			     const struct hr_fence_times *times)
{
	/* The stamp is cut to milliseconds. */
	int64_t latest = times->stamped_ms * 1000 + 999 + HR_RECORD_CLOCK_SLACK_US;
	int64_t earliest = times->stamped_ms * 1000 - HR_RECORD_CLOCK_SLACK_US;
	int64_t believed = (int64_t)times->seen_wall_us - (int64_t)times->seen_mono_us;

	clock->is_set = true;
	clock->offset_us = believed;
	if ((int64_t)times->sent_wall_us > latest)
		clock->offset_us = latest - (int64_t)times->sent_mono_us;
	else if ((int64_t)times->seen_wall_us < earliest)
		clock->offset_us = earliest - (int64_t)times->seen_mono_us;
	return clock->offset_us - believed;
}
