/* SPDX-License-Identifier: BSD-3-Clause */

/* The rarer half of reading JSON: escapes, characters beyond ASCII, and values that
 * are stepped over. */

#include <assert.h>

#include "dataplane/beacon/json_impl.h"

#define HIGH_SURROGATE 0xd800u
#define LOW_SURROGATE 0xdc00u
#define SURROGATES_END 0xe000u
#define UNICODE_END 0x110000u

static inline uint32_t hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) : 16;
}

/* The four digits behind "\u", or UNICODE_END where they are none. */
static uint32_t hex4(const uint8_t *p, const uint8_t *end)
{
	uint32_t v = 0;

	if (end - p < 4)
		return UNICODE_END;
	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t digit = hex_value(p[i]);

		if (digit > 15)
			return UNICODE_END;
		v = v << 4 | digit;
	}
	return v;
}

/*
 *      \  u  X  X  X  X  [ \  u  X  X  X  X ]
 *      0  1  2              6  7  8
 * *p is at the backslash and is moved behind the escape.
 */
static enum hr_reject take_unicode(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
	const uint8_t *at = *p;
	uint32_t c = hex4(at + 2, end), low;

	if (c == UNICODE_END)
		return HR_REJECT_SYNTAX;
	*p = at + 6;
	if (c < HIGH_SURROGATE || c >= SURROGATES_END) {
		*out = c;
		return HR_REJECT_NONE;
	}
	if (c >= LOW_SURROGATE || end - *p < 2 || at[6] != '\\' || at[7] != 'u')
		return HR_REJECT_UTF8;
	low = hex4(at + 8, end);
	if (low == UNICODE_END)
		return HR_REJECT_SYNTAX;
	if (low < LOW_SURROGATE || low >= SURROGATES_END)
		return HR_REJECT_UTF8;
	*p = at + 12;
	*out = 0x10000 + ((c - HIGH_SURROGATE) << 10) + (low - LOW_SURROGATE);
	return HR_REJECT_NONE;
}

static enum hr_reject take_escape(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
	if (end - *p < 2)
		return HR_REJECT_SYNTAX;
	switch ((*p)[1]) {
	case '"':
	case '\\':
	case '/':
		*out = (*p)[1];
		break;
	case 'b':
		*out = '\b';
		break;
	case 'f':
		*out = '\f';
		break;
	case 'n':
		*out = '\n';
		break;
	case 'r':
		*out = '\r';
		break;
	case 't':
		*out = '\t';
		break;
	case 'u':
		return take_unicode(p, end, out);
	default:
		return HR_REJECT_SYNTAX;
	}
	*p += 2;
	return HR_REJECT_NONE;
}

/* One character of a string, escaped or not, at j->at. */
static enum hr_reject take_character(struct json *j, struct json_string *out)
{
	uint32_t c = *j->at, n;
	enum hr_reject r;

	if (c == '\\') {
		out->is_escaped = true;
		r = take_escape(&j->at, j->end, &c);
		if (r != HR_REJECT_NONE)
			return r;
	} else if (c < 0x20) {
		return HR_REJECT_CONTROL;
	} else {
		n = hr_utf8_bytes(j->at, (uint32_t)(j->end - j->at));
		if (n == 0)
			return HR_REJECT_UTF8;
		j->at += n;
	}
	if (c < 0x20 || c == 0x7f)
		out->has_control = true;
	return HR_REJECT_NONE;
}

enum hr_reject hr_json_string_odd(struct json *j, const uint8_t *first,
				  struct json_string *out)
{
	out->is_escaped = false;
	out->has_control = false;
	while (j->at < j->end && *j->at != '"') {
		enum hr_reject r = take_character(j, out);

		if (r != HR_REJECT_NONE)
			return r;
	}
	if (j->at == j->end)
		return HR_REJECT_SYNTAX;
	out->raw.p = first;
	out->raw.n = (uint32_t)(j->at++ - first);
	return HR_REJECT_NONE;
}

/* c is no surrogate and below UNICODE_END. */
static inline uint32_t put_utf8(uint8_t *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (uint8_t)(0xc0 | c >> 6);
		to[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (uint8_t)(0xe0 | c >> 12);
		to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		to[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (uint8_t)(0xf0 | c >> 18);
	to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	to[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

uint32_t hr_json_decode_escape(const uint8_t **p, const uint8_t *end, uint8_t to[4])
{
	uint32_t c = 0;
	const enum hr_reject r = take_escape(p, end, &c);

	assert(r == HR_REJECT_NONE); /* it was read before */
	(void)r;
	return put_utf8(to, c);
}

uint32_t hr_json_decode(uint8_t *to, struct hr_str raw)
{
	const uint8_t *p = raw.p, *end = raw.p + raw.n;
	uint32_t n = 0;

	while (p < end) {
		if (*p == '\\')
			n += hr_json_decode_escape(&p, end, to + n);
		else
			to[n++] = *p++;
	}
	return n;
}

static enum hr_reject skip_scalar(struct json *j)
{
	struct json_string s;
	bool is_integer;
	const uint8_t *end;

	switch (*j->at) {
	case '"':
		return json_string(j, &s);
	case 't':
		return json_word(j, "true", 4) ? HR_REJECT_NONE : HR_REJECT_SYNTAX;
	case 'f':
		return json_word(j, "false", 5) ? HR_REJECT_NONE : HR_REJECT_SYNTAX;
	case 'n':
		return json_word(j, "null", 4) ? HR_REJECT_NONE : HR_REJECT_SYNTAX;
	default:
		end = hr_number_end(j->at, j->end, &is_integer);
		if (end == NULL)
			return HR_REJECT_SYNTAX;
		j->at = end;
		return HR_REJECT_NONE;
	}
}

/* The containers around the cursor: the innermost is the lowest bit, 1 an object. */
struct nest {
	uint64_t bits;
	uint32_t depth;
};

/* At the start of a value: opens as many containers as begin here, and reads the
 * scalar, or the end of an empty container, that comes first. */
static enum hr_reject skip_into(struct json *j, struct nest *nest)
{
	for (;;) {
		const uint8_t c = json_peek(j);
		struct json_string key;
		enum hr_reject r;

		if (c != '{' && c != '[')
			return j->at < j->end ? skip_scalar(j) : HR_REJECT_SYNTAX;
		if (nest->depth == JSON_DEPTH_MAX)
			return HR_REJECT_SYNTAX;
		j->at++;
		if (json_take(j, c == '{' ? '}' : ']'))
			return HR_REJECT_NONE;
		nest->bits = nest->bits << 1 | (c == '{');
		nest->depth++;
		if (c == '{') {
			bool more;

			r = json_member(j, true, &more, &key);
			if (r != HR_REJECT_NONE)
				return r;
		}
	}
}

/* Behind a value inside a container: to the next value, or out of the container. */
static enum hr_reject skip_on(struct json *j, struct nest *nest, bool *at_value)
{
	struct json_string key;
	enum hr_reject r;

	if ((nest->bits & 1) != 0) {
		r = json_member(j, false, at_value, &key);
		if (r != HR_REJECT_NONE)
			return r;
	} else {
		*at_value = json_take(j, ',');
		if (!*at_value && !json_take(j, ']'))
			return HR_REJECT_SYNTAX;
	}
	if (!*at_value) {
		nest->bits >>= 1;
		nest->depth--;
	}
	return HR_REJECT_NONE;
}

enum hr_reject hr_json_skip(struct json *j)
{
	struct nest nest = { 0, 0 };
	bool at_value = true;

	do {
		enum hr_reject r = at_value ? skip_into(j, &nest) : HR_REJECT_NONE;

		if (r != HR_REJECT_NONE)
			return r;
		if (nest.depth == 0)
			break;
		r = skip_on(j, &nest, &at_value);
		if (r != HR_REJECT_NONE)
			return r;
	} while (at_value || nest.depth > 0);
	return HR_REJECT_NONE;
}
