/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_REBUILD_H
#define HR_REDIS_REBUILD_H

/*
 * redis rebuild - throw away what the view wrote of some shards, and have the running
 * view write it anew:
 *
 *   positions := "rebuild …"      every view of these shards stops, by name
 *   keys deleted                  nobody writes them
 *   positions := where the log begins, damage forgotten       one transaction
 *
 * Whatever dies in between leaves the first: the shard stands still until a rebuild comes
 * to its end; no value is ever computed from half of what was there. The products of
 * categories belong to all shards and go only when all are rebuilt. One thread; blocks.
 */

#include <hiredis/hiredis.h>

#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_config;

struct hr_redis_rebuilt {
	uint64_t n_keys;         /* of all shards, thrown away */
	uint32_t n_forgotten;    /* entries of headrace:damaged */
	uint32_t n_left;         /* entries of categories, which take all shards */
	uint64_t *complete_from; /* by shard; 1: of all that ever was. The caller's */
};

/* shard -1: all. Returns 0, or a negated errno with err: -EIO where log or Redis are out
 * of reach, -EBUSY: another rebuild began meanwhile. */
int hr_redis_rebuild(struct hr_redis_rebuilt *out, const struct hr_config *config,
		     const struct hr_data_set *set, int shard, redisContext *redis,
		     struct hr_err *err);

#endif
