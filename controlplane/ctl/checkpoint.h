/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_CHECKPOINT_H
#define HR_CTL_CHECKPOINT_H

/* headracectl checkpoint make, list, restore NAME FOLDER. */

/* The words behind "checkpoint". Returns an exit code: 0, 1 (refused, told on stderr),
 * or 2 with nothing said: they are no such command. */
int hr_ctl_checkpoint(const char *config_path, int n, char **words);

#endif
