/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_RECOVERY_H
#define HR_SNAPSHOT_RECOVERY_H

/*
 * recovery - before anybody reads the log: the newest snapshot of each shard that passes
 * every check, as what the rooms begin with. Shards are loaded beside each other.
 *
 *   vault ─▶ newest ─▶ image ─▶ fold state ─▶ is link n where it says? ──▶ recovered
 *              ▲                                   │ no: refused by name
 *              └──────── the next older one ◀──────┘
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/start.h"
#include "dataplane/snapshot/index.h"

struct hr_config;

/* One shard. */
struct hr_recovered {
	/* The state at link n, twice: for the worker and for the snapshots to come. NULL
	 * when there is none: from link 1. Whoever takes one sets it to NULL. */
	struct hr_fold *fold, *mirror;
	struct hr_log_start start;      /* chain.n is 0 when there is none */
	struct hr_snapshot_index index; /* with what was refused */
	int64_t next;                   /* place up to which the index has read */
};

struct hr_recovery {
	uint32_t n_shards;
	_Atomic uint32_t n_done; /* shards, while it runs */
	struct hr_recovered shards[];
};

/*
 * Blocks. Returns 0; -EIO: the store or the log is out of reach (call it again); another
 * negated errno with err. ends: give up, from another thread.
 */
int hr_recovery_run(struct hr_recovery *recovery, const struct hr_config *config,
		    const struct hr_data_set *set, atomic_bool *ends,
		    struct hr_err *err);

/*
 * While everything runs: the newest snapshot of one shard of a link behind beyond_n that
 * fits the log. 1 and *fold (the caller's) and *start; 0: there is none; or a negated
 * errno with err. Blocks; ends as above.
 */
int hr_recovery_newest(struct hr_fold **fold, struct hr_log_start *start,
		       const struct hr_config *config, const struct hr_data_set *set,
		       uint16_t shard, uint64_t beyond_n, atomic_bool *ends,
		       struct hr_err *err);

int hr_recovery_new(struct hr_recovery **out, const struct hr_data_set *set);
/* With everything that was not taken. NULL is fine. */
void hr_recovery_free(struct hr_recovery *recovery);

/*
 * An image as a fold, if it belongs to this shard and is whole: 0 and *fold, with what
 * reading goes on from in *start; or a negated errno with err. max_streams: at least.
 */
int hr_snapshot_restore(struct hr_fold **fold, struct hr_log_start *start,
			const struct hr_data_set *set, uint16_t shard,
			uint32_t max_streams, const uint8_t *image, size_t bytes,
			struct hr_err *err);

#endif
