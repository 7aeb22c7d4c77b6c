/* SPDX-License-Identifier: BSD-3-Clause */

/* redis_tick: the text of headrace:user:<id>:state. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/view/redis_tick_impl.h"

#define STATE_FORM 1
#define STATE_NUMBERS 6

size_t hr_redis_state_print(const struct hr_redis_owner *u, char out[HR_STATE_TEXT])
{
	int n = snprintf(out, HR_STATE_TEXT,
			 "%d %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
			 " ",
			 STATE_FORM, u->period, u->newest_ms, u->views, u->purchases,
			 u->favourite_count);

	memcpy(out + n, u->favourite, u->favourite_bytes);
	return (size_t)n + u->favourite_bytes;
}

bool hr_redis_number_parse(const char *text, size_t n, int64_t *out)
{
	int64_t v = 0;

	if (n == 0 || n > 18)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (text[i] - '0');
	}
	*out = v;
	return true;
}

bool hr_redis_state_parse(struct hr_redis_owner *u, const char *text, size_t n)
{
	const char *end = text + n;
	int64_t v[STATE_NUMBERS];

	for (size_t i = 0; i < STATE_NUMBERS; i++) {
		const char *space = memchr(text, ' ', (size_t)(end - text));

		if (space == NULL ||
		    !hr_redis_number_parse(text, (size_t)(space - text), &v[i]))
			return false;
		text = space + 1;
	}
	if (v[0] != STATE_FORM || end - text > HR_CATEGORY_MAX ||
	    (v[5] == 0) != (end == text))
		return false;
	u->period = (uint64_t)v[1];
	u->newest_ms = v[2];
	u->views = v[3];
	u->purchases = v[4];
	u->favourite_count = v[5];
	u->favourite_bytes = (uint8_t)(end - text);
	memcpy(u->favourite, text, (size_t)(end - text));
	return true;
}
