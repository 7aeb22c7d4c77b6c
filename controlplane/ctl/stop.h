/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STOP_H
#define HR_STOP_H

/* stop - `headracectl stop`: ask, wait until everything is gone, say what came of it.
 * Returns the exit code: 0 stopped with nothing lost, 1 not (in time) or something
 * left, 3 nothing was running. */
int hr_stop(const char *run_dir);

#endif
