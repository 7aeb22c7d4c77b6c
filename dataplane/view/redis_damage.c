/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/beacon/event.h"
#include "dataplane/view/redis_damage.h"

struct hr_redis_damaged {
	struct hr_redis_damaged *next;
	char what[256];
	uint32_t n;
	char key[];
};

void hr_redis_damage_add(struct hr_redis_damage *d, struct hr_str key, const char *what)
{
	struct hr_redis_damaged *x = calloc(1, sizeof(*x) + key.n + 1);
	char when[HR_TIME_ISO_BYTES];

	if (x == NULL) {
		hr_error("view", "redis: %.*s is damaged and could not be noted: %s",
			 (int)key.n, (const char *)key.p, what);
		return;
	}
	hr_time_iso((int64_t)(hr_wall_us() / 1000), when);
	(void)snprintf(x->what, sizeof(x->what), "%.*s %s", HR_TIME_ISO_BYTES, when,
		       what);
	x->n = key.n;
	memcpy(x->key, key.p, key.n);
	x->next = d->first;
	d->first = x;
	d->n++;
}

void hr_redis_damage_write(const struct hr_redis_damage *d, struct hr_resp *b)
{
	for (const struct hr_redis_damaged *x = d->first; x != NULL; x = x->next) {
		hr_resp_command(b, 4);
		hr_resp_word(b, "HSETNX");
		hr_resp_word(b, "headrace:damaged");
		hr_resp_text(b, x->key, x->n);
		hr_resp_word(b, x->what);
	}
}

void hr_redis_damage_written(const struct hr_redis_damage *d, uint32_t i, bool is_new)
{
	const struct hr_redis_damaged *x = d->first;

	if (!is_new)
		return;
	while (i-- > 0)
		x = x->next;
	hr_error("view",
		 "redis: %s is incomplete from now on (%s); remove the key, and it is "
		 "whole "
		 "again after a rebuild; it is listed in headrace:damaged",
		 x->key, x->what);
}

void hr_redis_damage_clear(struct hr_redis_damage *d)
{
	struct hr_redis_damaged *x, *next;

	for (x = d->first; x != NULL; x = next) {
		next = x->next;
		free(x);
	}
	*d = (struct hr_redis_damage){ 0 };
}
