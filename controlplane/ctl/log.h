/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_LOG_H
#define HR_CTL_LOG_H

/* log - `headracectl log show` and `log verify`: what stands in the epoch log, for
 * people. Both read the log itself; nothing has to run but the log's store. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Every record from link from_n to link to_n of a shard; from_n = 0: the newest few.
 * Returns the exit code: 0; 1: trouble, or a fault in the log; 2: configuration. */
int hr_log_show(FILE *to, const char *config, uint16_t shard, uint64_t from_n,
		uint64_t to_n, bool json);

/* shard < 0: all of them. Returns 0: no fault; 1: one, or the log could not be read; 2:
 * configuration. */
int hr_log_verify(FILE *to, const char *config, int shard, bool json);

#endif
