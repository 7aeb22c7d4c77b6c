/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_DAMAGE_H
#define HR_REDIS_DAMAGE_H

/*
 * redis_damage - keys that could not be read or written as what they should be, on
 * their way to headrace:damaged (hash: key -> when, and what Redis said). An error of
 * one command inside EXEC does not undo the others, so such a key is incomplete from
 * then on; the first entry of a key stays. One thread.
 */

#include "dataplane/view/redis_resp.h"

struct hr_redis_damage {
	struct hr_redis_damaged *first;
	uint32_t n;
};

void hr_redis_damage_add(struct hr_redis_damage *d, struct hr_str key,
			 const char *what);
/* One command each, in a fixed order. */
void hr_redis_damage_write(const struct hr_redis_damage *d, struct hr_resp *b);
/* Entry i is in Redis now; it is told to the operator when it was new. */
void hr_redis_damage_written(const struct hr_redis_damage *d, uint32_t i, bool is_new);
void hr_redis_damage_clear(struct hr_redis_damage *d);

#endif
