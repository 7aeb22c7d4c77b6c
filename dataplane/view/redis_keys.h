/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_KEYS_H
#define HR_REDIS_KEYS_H

/*
 * redis_keys - the names of docs/redis.md taken apart, for commands that look at all of
 * them. Pure functions.
 */

#include "common/bytes.h"
#include "dataplane/beacon/event.h"
#include "dataplane/view/audit_model.h"

#define HR_REDIS_SHARD_KEY "headrace:shard:"
#define HR_REDIS_DAMAGED "headrace:damaged"
#define HR_REDIS_COMPLETE_FROM "headrace:complete_from"
/* In the place of a position: the shard's keys are being thrown away. */
#define HR_REDIS_REBUILDING "rebuild"
#define HR_REDIS_KEY_MAX (HR_USER_MAX + 64)

enum hr_redis_key_kind {
	HR_REDIS_KEY_OTHER,    /* not ours, or not of users or categories */
	HR_REDIS_KEY_USER,     /* name is the user's, key is which */
	HR_REDIS_KEY_CATEGORY, /* name is the category's */
	HR_REDIS_KEY_ODD,      /* headrace:user:…, and none that we make */
};

struct hr_redis_key {
	enum hr_redis_key_kind kind;
	enum hr_audit_key key;
	struct hr_str name;
};

void hr_redis_key_read(struct hr_redis_key *out, struct hr_str text);
void hr_redis_key_print(char out[HR_REDIS_KEY_MAX], struct hr_str user,
			enum hr_audit_key key);
/* Whose it is; -1: of no user. */
int hr_redis_key_shard(struct hr_str text, uint32_t n_shards);

#endif
