/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_MODEL_H
#define HR_TEST_MODEL_H

/*
 * model - what the keys of the contract must say, worked out slowly, one event after
 * the other, from the contract's words; and the comparison of every key in Redis.
 */

#include <hiredis/hiredis.h>

#include "tests/integration/view_redis/world.h"

struct model;

struct model *model_new(uint32_t recent_max, uint32_t recommendations_max);
void model_free(struct model *m);

/* product:<p>:similar as the shop has it from now on; replaces. */
void model_similar(struct model *m, int32_t product, const int32_t *members,
		   uint32_t n);
/* Write those sets to Redis, removing what is no more. */
void model_write_similar(struct model *m, redisContext *redis);

/* The event is in link n of its shard. */
void model_event(struct model *m, const struct world_event *ev, uint64_t n);

/* Returns the number of differences, and tells the first ones. extra_keys: how many
 * keys the test itself has put there. A user given is expected damaged in its profile
 * (UINT32_MAX: none). */
uint32_t model_compare(struct model *m, redisContext *redis, const struct world *w,
		       uint32_t extra_keys, uint32_t damaged_user);

#endif
