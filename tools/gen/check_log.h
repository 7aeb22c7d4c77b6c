/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECK_LOG_H
#define HR_CHECK_LOG_H

/*
 * check log - is the log made of the plans' events, each at most once, byte for byte
 * and in the order in which they were sent? And are datagrams in it whole or not at
 * all? Fills what is known of each event. One thread; no input or output but findings.
 */

#include "dataplane/log/record.h"
#include "tools/gen/findings.h"
#include "tools/gen/known.h"

struct hr_check_log {
	struct hr_known *known;
	struct hr_findings *findings;
	uint32_t n_shards;
	bool takes_others;     /* events of nobody's plan are counted, not told */
	bool is_out_of_memory; /* for others: hr_check_lost() says so */
	uint64_t n_others;
	uint64_t *others; /* hashes of their bytes, for dead_letters */
	uint64_t max_others;
};

void hr_check_log_fini(struct hr_check_log *check);

/* An accepted link's body, links of a shard in order. */
void hr_check_link(struct hr_check_log *check, uint16_t shard,
		   const struct hr_link_head *link);

/* Did an event of nobody's plan with these bytes come by? After sort. */
void hr_check_log_sort_others(struct hr_check_log *check);
bool hr_check_log_has_other(const struct hr_check_log *check, struct hr_str bytes);

/* What was sent and is not in the log. */
struct hr_lost {
	uint64_t events;
	uint64_t datagrams; /* of headerless ones: pieces, all of a shard */
};

/* Datagrams are lost whole: a torn one is a finding. Returns 0 or -ENOMEM. */
int hr_check_lost(struct hr_check_log *check, struct hr_lost *out, struct hr_err *err);

#endif
