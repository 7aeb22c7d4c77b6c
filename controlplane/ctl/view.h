/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_VIEW_H
#define HR_CTL_VIEW_H

/* view - `headracectl view audit`: what Redis and the topics hold beside what fold says.
 * It reads log and stores itself; nothing else has to run. */

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

#endif
