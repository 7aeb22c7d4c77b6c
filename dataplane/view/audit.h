/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_AUDIT_H
#define HR_AUDIT_H

/*
 * audit - what a view's store holds, beside what fold says of the very position that the
 * store stands at.
 *
 *   position, values ──read once──▶ kept ─┐
 *   log ──folded to that position────────▶ compare ─▶ findings
 *
 * Everything is read while the view may go on writing: each value is kept with the
 * position it was read under (one transaction of Redis, one read_committed reading of a
 * partition), and compared when folding stands there. Nothing is written anywhere. One
 * thread; blocks.
 */

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct hr_config;
struct hr_data_set;

enum hr_audit_kind {
	HR_AUDIT_MISSING, /* fold makes it and it is not there */
	HR_AUDIT_WRONG,   /* it says something else than fold */
	HR_AUDIT_EXTRA,   /* it is there and fold does not make it */
	HR_AUDIT_DAMAGED, /* headrace:damaged names it */
	HR_AUDIT_UNKNOWN, /* it could not be compared */
	HR_AUDIT_KINDS
};

extern const char *const hr_audit_kinds[HR_AUDIT_KINDS];

/* A difference. What does not apply: NULL, -1, 0. */
struct hr_audit_finding {
	enum hr_audit_kind kind;
	int shard;         /* -1: of several, as a category is */
	const char *key;   /* of Redis */
	const char *topic; /* then these three */
	int32_t partition;
	int64_t from, to;         /* offsets, to is behind the last one */
	uint64_t first_n, last_n; /* links it belongs to */
	uint64_t count;           /* records, or values of one key */
	const char *text;         /* a sentence without the names above */
};

struct hr_audit_sum {
	uint64_t n;                 /* the position that was compared */
	uint64_t from_n;            /* the first link whose outputs were compared */
	uint64_t n_users, n_values; /* Redis: users, keys */
	uint64_t n_partitions, n_records;
	uint64_t n_findings;
	bool is_compared;
};

struct hr_audit {
	const struct hr_config *config;
	const struct hr_data_set *set;
	int shard; /* -1: all */
	void (*found)(void *ctx, const struct hr_audit_finding *finding);
	void *ctx;
	struct hr_audit_sum *sums; /* of each shard of the data set */
	uint64_t n_findings;
};

void hr_audit_tell(struct hr_audit *a, const struct hr_audit_finding *finding);

static inline bool hr_audit_wants(const struct hr_audit *a, uint32_t shard)
{
	return a->shard < 0 || (uint32_t)a->shard == shard;
}

/*
 * Compare. Differences are told as they are met. Returns 0 when everything that could be
 * was compared, whatever came of it; a negated errno with err where the store or the log
 * was out of reach.
 */
int hr_audit_redis(struct hr_audit *a, redisContext *redis, struct hr_err *err);
int hr_audit_topics(struct hr_audit *a, struct hr_err *err);

#endif
