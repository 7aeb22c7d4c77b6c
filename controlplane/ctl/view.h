/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_VIEW_H
#define HR_CTL_VIEW_H

/*
 * view - `headracectl view`: what Redis and the topics hold beside what fold says, and how
 * it is made right. `audit` and `rebuild` work on log and stores themselves; nothing else
 * has to run.
 */

#include <stdbool.h>
#include <stdio.h>

/*
 * Prints what was compared of each shard, and every difference. view: "redis", "topics",
 * or NULL: what the configuration has. shard -1: all. json: one object. Returns the exit
 * code of the program: 0 where everything was compared and is right, 1 where not, 2 where
 * the configuration cannot be read or has no such view.
 */
int hr_view_audit(FILE *to, const char *config_path, const char *view, int shard,
		  bool json);

/* Throws Redis' view of a shard (-1: of all) away, for the running view to write anew; says
 * what it would do where `yes` is false. Returns 0: done, 1: refused or not to its end, 2
 * as above. */
int hr_view_rebuild(FILE *to, const char *config_path, int shard, bool yes);

/* Has the running dataplane append what the topics lost at their tail, and waits for it.
 * Returns 0: done, 1: refused or failed, 3: nothing runs. */
int hr_view_repair(FILE *to, const char *run_dir, int shard, bool yes);

#endif
