/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LOG_START_H
#define HR_LOG_START_H

/*
 * start - where reading a shard's partition begins when it does not begin with link 1:
 * at link n, whose state a snapshot holds. The accept rule goes on behind it with what
 * it knew then. The first record that is read must be link n itself, or the log is
 * another one than the snapshot was made from: so trimming leaves that record there.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_log_start {
	struct hr_chain chain;         /* behind link n; n = 0: from the beginning */
	int64_t offset;                /* of link n */
	struct hr_chain_config config; /* that holds behind link n */
	/* The log held a link of this number once (a snapshot says so) that it does not
	 * hold any more; 0: nothing is known to be gone. A chain that ends before it, or
	 * has another hash there, was cut: see LOSS. */
	uint64_t lost_n;
	struct hr_id128 lost_hash;
	/* A snapshot is of this fold version, which the program does not have: so the
	 * chain goes beyond what it can fold. 0: none is. */
	uint32_t needs_version;
};

/*
 * Is the record at the start's offset link n of that chain? `offset` is where it was
 * found. Returns 0, or -ESTALE with err.
 */
int hr_log_start_check(const struct hr_log_start *start, int64_t offset,
		       const uint8_t *bytes, size_t n, struct hr_err *err);

#endif
