/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PACE_H
#define HR_PACE_H

/*
 * pace - how often a shard's epoch closes. Each link costs the committer and the broker
 * some CPU, whatever is in it; the least interval between two links of a shard moves
 * between epoch.min_interval and epoch.max_interval so that the committer stays near
 * its share of a core, and the CPUs it runs on have some time left: where they have
 * none, more links make acknowledgements later, not sooner, and starve the views.
 *
 * Main thread; twice a second is enough.
 */

#include <stdint.h>

/* What was found with the last interval, in thousandths. */
struct hr_pace_found {
	uint64_t committer; /* of a core, that the committer took */
	uint32_t spare;     /* of the CPUs' time, that was left */
};

#define HR_PACE_SPARE_LEAST 120u
#define HR_PACE_SPARE_ENOUGH 200u

/* The next interval, from the last one and what was found with it: a quarter longer
 * where the committer takes more than its share or too little is left, a fifth shorter
 * where it takes less than two thirds and enough is left, never outside [min_us,
 * max_us]. */
uint32_t hr_pace_next(uint32_t interval_us, const struct hr_pace_found *found,
		      uint32_t share_permille, uint32_t min_us, uint32_t max_us);

/* Time of some CPUs, in ticks since the host's start (proc(5)). */
struct hr_pace_cpus {
	uint64_t left, all;
};

/* Thousandths of these CPUs' time since `seen` that were idle or went to processes with
 * a nice value above 0, which make room; the views are among them. Updates `seen`. 1000
 * at first, and where /proc/stat does not tell. */
uint32_t hr_pace_spare(struct hr_pace_cpus *seen, const uint32_t *cpus,
		       uint32_t n_cpus);

/* Nanoseconds on a CPU so far of this process's thread of that name; 0: none. Reads
 * /proc. */
uint64_t hr_pace_thread_ns(const char *name);

#endif
