/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECK_REDIS_H
#define HR_CHECK_REDIS_H

/*
 * check redis - do the keys of a user, a category, a shard say what the model says?
 * Works on answers, wherever they came from. One thread; no input or output but
 * findings.
 */

#include <hiredis/hiredis.h>

#include "dataplane/log/record.h"
#include "tools/gen/findings.h"
#include "tools/gen/model.h"

struct hr_check_redis {
	struct hr_model *model;
	struct hr_findings *findings;
	bool takes_others; /* users and categories of no plan are counted, not told */
	uint64_t n_others;
	uint64_t n_users; /* with events */
	uint32_t *stamps; /* by name number: in which comparison it was seen */
	uint32_t stamp;
};

/* The model must have all of the shop's names by now. 0 or -ENOMEM. */
int hr_check_redis_init(struct hr_check_redis *check, struct hr_model *model,
			struct hr_findings *findings, struct hr_err *err);
void hr_check_redis_fini(struct hr_check_redis *check);

/* What Redis answered for a user: in the order of asking. */
enum {
	HR_USER_PROFILE,         /* HGETALL user:<id>:profile */
	HR_USER_RECENT,          /* LRANGE user:<id>:recent_views 0 -1 */
	HR_USER_RECOMMENDATIONS, /* ZRANGE user:<id>:recommendations 0 -1 WITHSCORES */
	HR_USER_CATEGORIES,      /* HGETALL headrace:user:<id>:categories */
	HR_USER_ANSWERS,
};

void hr_check_user(struct hr_check_redis *check, uint32_t user,
		   redisReply *const answers[HR_USER_ANSWERS]);

/* SMEMBERS category:<name>:products; after all users. */
void hr_check_category(struct hr_check_redis *check, uint32_t category,
		       const redisReply *answer);

/* A key that exists: is it one that may? */
void hr_check_key(struct hr_check_redis *check, struct hr_str key);

/* GET headrace:shard:<s>: the text of a position. Returns true when it is at this
 * link; n_found (0: none) is the link it is at. */
bool hr_position_is(const redisReply *answer, uint32_t generation, uint64_t n,
		    const struct hr_id128 *hash, uint64_t *n_found);

#endif
