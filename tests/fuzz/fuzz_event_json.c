/* SPDX-License-Identifier: BSD-3-Clause */

/* One JSON object, beside another reader of JSON. */

#include <jansson.h>

#include "tests/fuzz/event_laws.h"
#include "tests/fuzz/fuzz.h"

static uint32_t depth_of(const uint8_t *data, size_t n)
{
	uint32_t depth = 0;

	for (size_t i = 0; i < n; i++)
		depth += data[i] == '{' || data[i] == '[';
	return depth;
}

/* What ours takes is JSON to the other, but for numbers beyond a double and NUL in
 * keys, which it cannot hold; what ours calls no JSON is none to it either, unless
 * brackets go deeper than ours follows, or there is a NUL, which jansson 2.14 loses
 * behind a number. */
static void compare(const struct taken *t)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)t->bytes, t->n, JSON_ALLOW_NUL, &error);

	if (t->verdict == HR_REJECT_NONE && json == NULL)
		HOLDS(json_error_code(&error) == json_error_numeric_overflow ||
		      json_error_code(&error) == json_error_null_byte_in_key);
	if (t->verdict == HR_REJECT_SYNTAX || t->verdict == HR_REJECT_UTF8)
		HOLDS(json == NULL || !json_is_object(json) ||
		      depth_of(t->bytes, t->n) > 64 ||
		      memchr(t->bytes, 0, t->n) != NULL);
	json_decref(json);
}

/* Whoever is taken was sent to the shard of the user that was peeked. */
static void check_peek(const struct taken *t)
{
	uint8_t *room = malloc(t->n);
	struct hr_arena arena = { room, room + t->n };
	struct hr_str user =
		hr_event_peek_user(&arena, (struct hr_str){ t->bytes, t->n });

	HOLDS(user.n <= HR_USER_MAX);
	if (t->verdict == HR_REJECT_NONE)
		HOLDS(hr_str_equals(user, t->ev.user));
	free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct taken t;

	if (n > HR_WIRE_DATAGRAM_MAX)
		return 0;
	taken_parse(&t, HR_CODEC_JSON, data, (uint32_t)n);
	compare(&t);
	check_peek(&t);
	if (t.verdict == HR_REJECT_NONE)
		check_event_laws(&t);
	taken_free(&t);
	return 0;
}
