/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_LOG_WALK_H
#define HR_CTL_LOG_WALK_H

/*
 * log walk - one shard of the log, record by record, from its beginning to the end that
 * is there: each is judged by the accept rule, and what is accepted is folded. It reads
 * the log itself, of either kind; no dataplane has to run. One thread; it blocks.
 *
 * A log that was trimmed is walked from the oldest snapshot whose link is still there;
 * what every snapshot says of its link is compared on the way.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/link.h"
#include "dataplane/log/record.h"

/* A record as it was met. */
struct hr_walked {
	int64_t offset;
	uint32_t n_bytes;
	bool is_record; /* of ours, sound */
	const struct hr_record *record;
	enum hr_verdict verdict;      /* where is_record */
	const struct hr_chain *chain; /* behind it */
	/* An accepted link, folded: link->out is filled. NULL: something else, or fold
	 * has refused it or one before it. */
	const struct hr_link *link;
};

struct hr_walk_sum {
	uint64_t first_n;      /* of the first link that was judged; 0: none */
	uint64_t began_behind; /* a snapshot's link; 0: from link 1 */
	uint64_t n_records, n_links, n_fences, n_none; /* n_none: no record of ours */
	uint64_t verdicts[HR_VERDICT_COUNT];
	uint64_t n_snapshots;  /* that were compared */
	struct hr_chain chain; /* at the end */
	struct hr_id128 digest;
	struct hr_fold_totals totals;
	int64_t next_offset;
	/* The first fault: a sentence; "" where there is none. */
	char fault[400];
	int64_t fault_offset;
};

/* Each record in the order of the log; false: it is enough. */
typedef bool (*hr_walk_take)(void *ctx, const struct hr_walked *walked);

/*
 * Returns 0 when the end was reached, or take() had enough, or at a fault behind which
 * nobody reads on (it is in the sum); a negated errno with err where the log could not be
 * read. sum->chain points into *set.
 */
int hr_walk(struct hr_walk_sum *sum, const struct hr_config *config,
	    const struct hr_data_set *set, uint16_t shard, hr_walk_take take, void *ctx,
	    struct hr_err *err);

#endif
