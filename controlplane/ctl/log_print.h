/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_LOG_PRINT_H
#define HR_CTL_LOG_PRINT_H

/* log print - records of the log, and the sum of a walk, as text and as JSON. Texts of
 * senders are printed as JSON strings, so their control characters are escaped. */

#include <stdio.h>

#include <jansson.h>

#include "controlplane/ctl/log_walk.h"

/* One record as JSON, on one line; and the same for people, on several. */
void hr_log_print_json(FILE *to, const struct hr_walked *walked);
void hr_log_print_text(FILE *to, const struct hr_walked *walked);

json_t *hr_log_sum_json(const struct hr_walk_sum *sum, uint16_t shard);
void hr_log_sum_print(FILE *to, const struct hr_walk_sum *sum, uint16_t shard);

#endif
