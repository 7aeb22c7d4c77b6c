/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_TICK_IMPL_H
#define HR_REDIS_TICK_IMPL_H

/* Inside of redis_tick: adding links, reading, writing. */

#include "dataplane/view/redis_tick.h"

#define NO_PERIOD UINT64_MAX

/* About what a command of each kind takes beyond the names in it. */
#define USER_WRITE_BYTES 520u
#define CATEGORY_WRITE_BYTES 40u
#define MEMBER_WRITE_BYTES 20u

/* The score of a member, or the count of a category, gets more in this tick. */
void hr_redis_tick_touch(struct hr_redis_tick *t, struct hr_redis_cell *cell,
			 int64_t more);
/* Append to asked; returns 0 or -ENOMEM. */
int hr_redis_tick_note(struct hr_redis_tick *t, struct hr_redis_cell *cell);
/* The tick is over: forget its share, keep what is known. */
void hr_redis_tick_clear(struct hr_redis_tick *t);

/* The text of headrace:user:<id>:state, see redis_tick.h. */
#define HR_STATE_TEXT (6 * 21 + HR_CATEGORY_MAX)
size_t hr_redis_state_print(const struct hr_redis_owner *user, char out[HR_STATE_TEXT]);
bool hr_redis_state_parse(struct hr_redis_owner *user, const char *text, size_t n);
/* Up to 18 decimal digits. */
bool hr_redis_number_parse(const char *text, size_t n, int64_t *out);

/* The bound as the last rank that goes: "-1001" keeps 1,000. */
static inline int64_t hr_redis_tick_last_rank(const struct hr_redis_tick *t)
{
	return -(int64_t)t->conf.recommendations_max - 1;
}

#endif
