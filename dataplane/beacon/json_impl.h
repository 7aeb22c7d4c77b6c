/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_JSON_IMPL_H
#define HR_JSON_IMPL_H

/*
 * json - RFC 8259 from a cursor and an end, one token at a time; nothing is copied
 * and nothing outside [at, end) is read. A string of printable ASCII without
 * escapes, nearly every one, is found eight bytes at a time here; all others are
 * walked in json_fast.c.
 *
 * Functions return HR_REJECT_NONE, SYNTAX, UTF8 (also a \u escape that is half of
 * a surrogate pair) or CONTROL (a raw one in a string).
 */

#include "dataplane/beacon/event.h"
#include "dataplane/beacon/number_impl.h"
#include "dataplane/beacon/text_impl.h"

struct json {
	const uint8_t *at, *end;
};

/* Containers inside each other, where a value is skipped: one bit each. */
#define JSON_DEPTH_MAX 64

struct json_string {
	struct hr_str raw; /* between the quotes, as written */
	bool is_escaped;   /* hr_json_decode() makes the text of it */
	bool has_control;  /* the text has control characters */
};

/* Behind the opening quote, at the first byte the quick way cannot judge. */
enum hr_reject hr_json_string_odd(struct json *j, const uint8_t *first,
				  struct json_string *out);

/* Decode a string that was read before; to has room for raw.n. Returns its bytes. */
uint32_t hr_json_decode(uint8_t *to, struct hr_str raw);

/* One escape of such a string, at *p: up to four bytes. Moves *p behind it. */
uint32_t hr_json_decode_escape(const uint8_t **p, const uint8_t *end, uint8_t to[4]);

/* Step over one value, whatever it is. */
enum hr_reject hr_json_skip(struct json *j);

static inline bool json_is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void json_space(struct json *j)
{
	while (j->at < j->end && json_is_space(*j->at))
		j->at++;
}

/* The next byte that is not white space, or 0 at the end (and where it is one). */
static inline uint8_t json_peek(struct json *j)
{
	json_space(j);
	return j->at < j->end ? *j->at : 0;
}

static inline bool json_take(struct json *j, uint8_t c)
{
	if (json_peek(j) != c)
		return false;
	j->at++;
	return true;
}

/* At the opening quote. */
static inline enum hr_reject json_string(struct json *j, struct json_string *out)
{
	const uint8_t *first = ++j->at;

	while (j->end - j->at >= 8) {
		const uint64_t w = hr_load64(j->at);
		const uint64_t marks =
			word_odd(w) | word_equal(w, '"') | word_equal(w, '\\');

		if (marks == 0) {
			j->at += 8;
			continue;
		}
		j->at += word_first(marks);
		if (*j->at != '"')
			break;
		out->raw.p = first;
		out->raw.n = (uint32_t)(j->at++ - first);
		out->is_escaped = false;
		out->has_control = false;
		return HR_REJECT_NONE;
	}
	return hr_json_string_odd(j, first, out);
}

/* true, false or null, spelled so; what comes behind is the next token's matter. */
static inline bool json_word(struct json *j, const char *word, uint32_t n)
{
	if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
		return false;
	j->at += n;
	return true;
}

/* The next member of an object: *more and its key, or not *more behind the "}".
 * is_first: the "{" is just behind. */
static inline enum hr_reject json_member(struct json *j, bool is_first, bool *more,
					 struct json_string *key)
{
	uint8_t c = json_peek(j);
	enum hr_reject r;

	if (c == '}') {
		j->at++;
		*more = false;
		return HR_REJECT_NONE;
	}
	*more = true;
	if (!is_first) {
		if (c != ',')
			return HR_REJECT_SYNTAX;
		j->at++;
		c = json_peek(j);
	}
	if (c != '"')
		return HR_REJECT_SYNTAX;
	r = json_string(j, key);
	if (r != HR_REJECT_NONE)
		return r;
	return json_take(j, ':') ? HR_REJECT_NONE : HR_REJECT_SYNTAX;
}

#endif
