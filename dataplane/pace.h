/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PACE_H
#define HR_PACE_H

/*
 * pace - how often a shard's epoch closes. Each link costs the committer and the broker
 * some CPU, whatever is in it; the least interval between two links of a shard moves
 * between epoch.min_interval and epoch.max_interval so that the committer stays near
 * its share of a core.
 *
 * Main thread; twice a second is enough.
 */

#include <stdint.h>

/* The next interval, from the last one and the thousandths of a core that the committer
 * took with it: a quarter longer above its share, a fifth shorter below two thirds of
 * it, never outside [min_us, max_us]. */
uint32_t hr_pace_next(uint32_t interval_us, uint64_t permille, uint32_t share_permille,
		      uint32_t min_us, uint32_t max_us);

/* Nanoseconds on a CPU so far of this process's thread of that name; 0: none. Reads
 * /proc. */
uint64_t hr_pace_thread_ns(const char *name);

#endif
