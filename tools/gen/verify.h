/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_VERIFY_H
#define HR_VERIFY_H

/*
 * verify - everything one verification holds, and its steps in order:
 *
 *   log ─▶ what is known of each event ─┬─▶ topics
 *                                       ├─▶ Redis
 *                                       └─▶ what is missing, against the refusals
 *
 * A step returns 0 when it could look, whatever it found (that is in the findings), or
 * a negated errno with err when it could not. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "dataplane/log/record.h"
#include "tools/gen/check_log.h"
#include "tools/gen/findings.h"
#include "tools/gen/known.h"
#include "tools/gen/topic.h"

#define HR_VERIFY_STATUS_MAX 16

struct hr_verify_tally {
	bool was_done;
	uint64_t records, others;
};

struct hr_verify {
	/* As asked. */
	struct hr_config config;
	char redis[300]; /* host:port */
	const char *status_paths[HR_VERIFY_STATUS_MAX];
	uint32_t n_status;
	bool demands_zero_refusals; /* --check */
	bool takes_others;          /* --others */
	uint32_t similar;           /* --similar; UINT32_MAX: whatever the shop says */
	bool skips_log, skips_topics, skips_redis;
	uint64_t wait_us, settle_us;

	/* As found. */
	struct hr_findings findings;
	char *told; /* what they say, word for word */
	size_t told_bytes;
	struct hr_known known;
	struct hr_data_set set;
	struct hr_check_log check_log;
	struct hr_chain chains[HR_PLAN_SHARDS_MAX];
	struct hr_topic *log;
	struct hr_verify_files *files; /* the log, where it lies in files */
	uint64_t until_us;             /* monotonic: waiting ends */
	uint64_t n_links;              /* accepted, with events */
	bool is_behind;                /* the log went on while it was compared */
	struct hr_lost lost;
	bool has_status;
	uint64_t refused; /* datagrams, of all reasons */
	uint64_t unsent_datagrams, unsent_events;
	uint64_t users_in_redis, others_in_redis;
	struct hr_verify_tally tallies[HR_PLACE_COUNT];
};

/* verify_log.c: a record of the log, in order. */
void hr_verify_record(struct hr_verify *v, uint16_t shard, int64_t offset,
		      struct hr_str bytes);
/* verify_files.c: the log on files. Read shows what there is to hr_verify_record() and
 * waits up to wait_ms for more when there is nothing; how many, or an error. */
int hr_verify_files_open(struct hr_verify *v, struct hr_err *err);
int64_t hr_verify_files_read(struct hr_verify *v, uint32_t wait_ms, struct hr_err *err);
void hr_verify_files_close(struct hr_verify *v);

/* Finds the data set, reads the log until everything sent is in it, or until nothing
 * came for settle_us (where some may be missing), or until waiting ends. */
int hr_verify_log(struct hr_verify *v, struct hr_err *err);
/* Reads on. Returns 0; is_behind says whether there were further events. */
int hr_verify_log_again(struct hr_verify *v, struct hr_err *err);
int hr_verify_topics(struct hr_verify *v, struct hr_err *err);
int hr_verify_redis(struct hr_verify *v, struct hr_err *err);
/* What is not in the log against the refusals of the status files. */
int hr_verify_refusals(struct hr_verify *v, struct hr_err *err);

#endif
