/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PROCESS_H
#define HR_PROCESS_H

/*
 * process - who a process is, beyond its number: pids are used again, a pid with its
 * start time is not (within one boot). Any thread; reads /proc.
 */

#include <stdbool.h>
#include <stdint.h>

/* Start time in clock ticks since boot. Returns 0, -ESRCH when there is no such
 * process, or when only its zombie is left. Calls nothing that is not safe between
 * fork and exec. */
int hr_process_start_ticks(int pid, uint64_t *out);

/* Is this very process still there (a zombie is not)? */
bool hr_process_is(int pid, uint64_t start_ticks);

#endif
