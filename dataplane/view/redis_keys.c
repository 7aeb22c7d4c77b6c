/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <string.h>

#include "common/murmur2.h"
#include "dataplane/view/redis_keys.h"

static const struct {
	const char *before, *behind;
} user_keys[HR_AUDIT_KEYS] = {
	[HR_AUDIT_PROFILE] = { "user:", ":profile" },
	[HR_AUDIT_RECENT] = { "user:", ":recent_views" },
	[HR_AUDIT_SCORES] = { "user:", ":recommendations" },
	[HR_AUDIT_STATE] = { "headrace:user:", ":state" },
	[HR_AUDIT_CATEGORIES] = { "headrace:user:", ":categories" },
};

static bool takes(struct hr_str text, const char *before, const char *behind,
		  struct hr_str *name)
{
	const size_t a = strlen(before), b = strlen(behind);

	if (text.n < a + b + 1 || memcmp(text.p, before, a) != 0 ||
	    memcmp(text.p + text.n - b, behind, b) != 0)
		return false;
	*name = (struct hr_str){ text.p + a, text.n - (uint32_t)(a + b) };
	return true;
}

void hr_redis_key_read(struct hr_redis_key *out, struct hr_str text)
{
	static const char odd[] = "headrace:user:";

	*out = (struct hr_redis_key){ .kind = HR_REDIS_KEY_OTHER };
	for (enum hr_audit_key k = 0; k < HR_AUDIT_KEYS; k++) {
		if (!takes(text, user_keys[k].before, user_keys[k].behind,
			   &out->name) ||
		    out->name.n > HR_USER_MAX)
			continue;
		out->kind = HR_REDIS_KEY_USER;
		out->key = k;
		return;
	}
	if (takes(text, "category:", ":products", &out->name) &&
	    out->name.n <= HR_CATEGORY_MAX)
		out->kind = HR_REDIS_KEY_CATEGORY;
	else if (text.n >= sizeof(odd) - 1 && memcmp(text.p, odd, sizeof(odd) - 1) == 0)
		out->kind = HR_REDIS_KEY_ODD;
}

void hr_redis_key_print(char out[HR_REDIS_KEY_MAX], struct hr_str user,
			enum hr_audit_key key)
{
	(void)snprintf(out, HR_REDIS_KEY_MAX, "%s%.*s%s", user_keys[key].before,
		       (int)user.n, (const char *)user.p, user_keys[key].behind);
}

int hr_redis_key_shard(struct hr_str text, uint32_t n_shards)
{
	struct hr_redis_key k;

	hr_redis_key_read(&k, text);
	return k.kind == HR_REDIS_KEY_USER
		       ? (int)hr_kafka_partition(k.name.p, k.name.n, n_shards)
		       : -1;
}
