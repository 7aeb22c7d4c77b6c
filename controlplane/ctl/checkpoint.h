/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_CHECKPOINT_H
#define HR_CTL_CHECKPOINT_H

#include <jansson.h>

/* headracectl checkpoint make, list, restore NAME FOLDER. */

/* The words behind "checkpoint". Returns an exit code: 0, 1 (refused, told on stderr),
 * or 2 with nothing said: they are no such command. */
int hr_ctl_checkpoint(const char *config_path, int n, char **words);

/*
 * Before chains go over to another fold version: one is taken, where they are
 * configured, else it is said that there is none. status: the dataplane's; config_path:
 * NULL where it is not known. Returns an exit code: 0, also when no shard would go over,
 * or 1, told on stderr.
 */
int hr_ctl_checkpoint_first(const char *config_path, const json_t *status);

#endif
