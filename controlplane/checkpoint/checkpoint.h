/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECKPOINT_H
#define HR_CHECKPOINT_H

/*
 * checkpoint - Redis as it was at one moment, with its positions, in a folder of its
 * own, and known to load:
 *
 *     <checkpoint.folder>/20261130T101500Z/dump.rdb    as a replica gets it
 *     <checkpoint.folder>/20261130T101500Z/manifest    data set, positions, bytes
 *
 * The manifest is written last and the folder gets its name when all is on the disk: a
 * folder of another name, or without a manifest, is no checkpoint. A Redis that begins
 * with dump.rdb stands at the positions, and the view brings it forward from there.
 *
 * Needs redis-cli and redis-server on this machine, and the memory for a second Redis
 * while one is verified. One at a time in a folder. Blocking; any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "common/error.h"

struct hr_config;
struct hr_data_set;

#define HR_CHECKPOINT_NAME 32
#define HR_CHECKPOINT_PATH 512

struct hr_checkpoint {
	char name[HR_CHECKPOINT_NAME]; /* when it was made, UTC */
	uint64_t bytes;                /* of dump.rdb */
	uint64_t n_users;              /* whose values were compared */
};

/*
 * Take one, verify it in a Redis of its own, give it its name, and delete all but the
 * newest checkpoint.keep. Gives up when *stops (may be NULL). Returns 0 and what was made;
 * or a negated errno with err, and nothing has changed.
 */
int hr_checkpoint_make(struct hr_checkpoint *out, const struct hr_config *config,
		       const struct hr_data_set *set, const atomic_bool *stops,
		       struct hr_err *err);

/* When the newest one was made, by its name; 0: there is none. */
time_t hr_checkpoint_newest(const struct hr_config *config);

/* Each checkpoint with its positions, oldest first, one a line. Returns their number or
 * a negated errno with err. */
int hr_checkpoint_list(FILE *out, const struct hr_config *config, struct hr_err *err);

/*
 * Make a folder that a stopped Redis begins with (its `dir`): as dump.rdb and as
 * appendonly.aof, so that it is read with appendonly no and yes. Returns 0; -EEXIST: the
 * folder holds data of Redis already; another negated errno; with err.
 */
int hr_checkpoint_restore(const struct hr_config *config, const char *name,
			  const char *folder, struct hr_err *err);

#endif
