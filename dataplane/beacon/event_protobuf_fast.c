/* SPDX-License-Identifier: BSD-3-Clause */

/* One protobuf Event message, walked by hand: docs/headrace.proto is the layout. */

#include "common/wire.h"
#include "dataplane/beacon/event_impl.h"
#include "dataplane/beacon/protobuf_impl.h"

/* Event and its pairs while it is read. */
struct reading {
	struct hr_event *ev;
	struct pb c;
	uint32_t seen; /* a bit for each field number; time_text counts as time_ms */
	struct pair_keys keys;
};

#define SEEN(number) (1u << (number))

static inline enum hr_reject take_name(struct reading *r, struct hr_str *to,
				       uint32_t bit, uint32_t max,
				       enum hr_reject bad_length)
{
	struct hr_str s;
	enum hr_reject verdict;

	if ((r->seen & bit) != 0)
		return HR_REJECT_DUPLICATE_KEY;
	r->seen |= bit;
	if (!pb_take_bytes(&r->c, &s))
		return HR_REJECT_SYNTAX;
	verdict = text_judge_name(s, r->c.end, max, bad_length);
	if (verdict == HR_REJECT_NONE)
		*to = s;
	return verdict;
}

static inline enum hr_reject take_time(struct reading *r, uint32_t tag)
{
	struct hr_str text;
	uint64_t ms;
	enum hr_reject verdict;

	if ((r->seen & SEEN(4)) != 0)
		return HR_REJECT_DUPLICATE_KEY;
	r->seen |= SEEN(4);
	if (tag == EVENT_TIME_MS)
		return pb_take_varint(&r->c, &ms) ? event_set_millis(r->ev, (int64_t)ms)
						  : HR_REJECT_SYNTAX;
	if (!pb_take_bytes(&r->c, &text))
		return HR_REJECT_SYNTAX;
	verdict = event_set_time_text(r->ev, text);
	if (verdict == HR_REJECT_TIMESTAMP && hr_text_judge(text) == HR_REJECT_UTF8)
		return HR_REJECT_UTF8;
	return verdict;
}

/* A pair's value, whichever member of the oneof it is; once a pair. */
static inline enum hr_reject take_value(struct pb *c, uint32_t tag,
					struct raw_pair *pair)
{
	uint64_t v;

	if (tag == PAIR_TEXT || tag == PAIR_NUMBER) {
		pair->form = tag == PAIR_TEXT ? HR_PAIR_TEXT : HR_PAIR_NUMBER;
		return pb_take_bytes(c, &pair->text) ? HR_REJECT_NONE
						     : HR_REJECT_SYNTAX;
	}
	if (!pb_take_varint(c, &v))
		return HR_REJECT_SYNTAX;
	if (tag == PAIR_INTEGER) {
		pair->form = HR_PAIR_NUMBER;
		pair->is_integer = true;
		pair->integer = (int64_t)v;
	} else if (tag == PAIR_BOOL) {
		pair->form = v != 0 ? HR_PAIR_TRUE : HR_PAIR_FALSE;
	} else {
		pair->form = HR_PAIR_NULL;
		if (v == 0)
			return HR_REJECT_FIELD_TYPE;
	}
	return HR_REJECT_NONE;
}

/*
 * A key and then a text, both below 128 bytes, and nothing else: what encoders write
 * and most pairs are. (Through the general walk: 50 ns an event instead of 45.)
 *      0       1      2       2 + k         3 + k   4 + k
 *   | PAIR_KEY | k | key ... | PAIR_TEXT |   n   | text ...
 */
static inline bool take_plain_pair(struct hr_str message, struct raw_pair *pair)
{
	const uint8_t *p = message.p;
	uint32_t k, n;

	if (message.n < 4 || p[0] != PAIR_KEY || p[1] >= 0x80)
		return false;
	k = p[1];
	if (message.n < 4 + k || p[2 + k] != PAIR_TEXT || p[3 + k] >= 0x80)
		return false;
	n = p[3 + k];
	if (message.n != 4 + k + n)
		return false;
	raw_pair_clear(pair);
	pair->key = (struct hr_str){ p + 2, k };
	pair->text = (struct hr_str){ p + 4 + k, n };
	pair->form = HR_PAIR_TEXT;
	return true;
}

static inline enum hr_reject take_pair(struct hr_str message, struct raw_pair *pair)
{
	struct pb c = { message.p, message.p + message.n };
	bool has_key = false, has_value = false;

	if (take_plain_pair(message, pair))
		return HR_REJECT_NONE;
	raw_pair_clear(pair);
	while (c.at < c.end) {
		uint32_t tag;
		enum hr_reject r;

		if (!pb_take_tag(&c, &tag))
			return HR_REJECT_SYNTAX;
		switch (tag) {
		case PAIR_KEY:
			if (has_key)
				return HR_REJECT_DUPLICATE_KEY;
			has_key = true;
			if (!pb_take_bytes(&c, &pair->key))
				return HR_REJECT_SYNTAX;
			break;
		case PAIR_TEXT:
		case PAIR_INTEGER:
		case PAIR_NUMBER:
		case PAIR_BOOL:
		case PAIR_NULL:
			if (has_value)
				return HR_REJECT_DUPLICATE_KEY;
			has_value = true;
			r = take_value(&c, tag, pair);
			if (r != HR_REJECT_NONE)
				return r;
			break;
		default:
			if (tag >> 3 <= PAIR_FIELDS)
				return HR_REJECT_FIELD_TYPE;
			if (!pb_skip(&c, tag))
				return HR_REJECT_SYNTAX;
		}
	}
	return has_value || !has_key ? HR_REJECT_NONE : HR_REJECT_FIELD_TYPE;
}

static inline enum hr_reject judge_integer(enum meaning meaning, int64_t v)
{
	const int64_t limit = 1000000000000000; /* 10^HR_NUMBER_DIGITS */

	_Static_assert(HR_NUMBER_DIGITS == 15, "limit is its power of ten");
	if (meaning == MEANS_NUMBER)
		return v > -limit && v < limit ? HR_REJECT_NONE : HR_REJECT_NUMBER;
	return meaning == MEANS_NOTHING ? HR_REJECT_NONE : HR_REJECT_FIELD_TYPE;
}

static inline bool is_number(struct hr_str s)
{
	bool is_integer;

	return hr_number_end(s.p, s.p + s.n, &is_integer) == s.p + s.n;
}

static inline enum hr_reject judge_value(struct reading *r, const struct raw_pair *pair)
{
	const enum meaning meaning = key_meaning(pair->key);
	enum hr_reject verdict;

	switch (pair->form) {
	case HR_PAIR_TEXT:
		verdict = text_judge(pair->text, r->c.end);
		if (verdict == HR_REJECT_UTF8)
			return verdict;
		return event_see_text(r->ev, meaning, pair->text,
				      verdict == HR_REJECT_CONTROL);
	case HR_PAIR_NUMBER:
		if (pair->is_integer)
			return judge_integer(meaning, pair->integer);
		if (!is_number(pair->text))
			return HR_REJECT_NUMBER;
		return event_see_number(meaning, pair->text);
	default:
		return event_see_word(meaning, pair->form);
	}
}

static inline enum hr_reject take_metadata(struct reading *r)
{
	struct hr_str message;
	struct raw_pair pair;
	enum hr_reject verdict;

	if (!pb_take_bytes(&r->c, &message))
		return HR_REJECT_SYNTAX;
	verdict = take_pair(message, &pair);
	if (verdict != HR_REJECT_NONE)
		return verdict;
	verdict = text_judge_name(pair.key, r->c.end, HR_PAIR_KEY_MAX, HR_REJECT_PAIRS);
	if (verdict != HR_REJECT_NONE)
		return verdict;
	verdict = pair_keys_add(&r->keys, pair.key);
	if (verdict != HR_REJECT_NONE)
		return verdict;
	return judge_value(r, &pair);
}

static inline enum hr_reject take_field(struct reading *r)
{
	struct hr_event *ev = r->ev;
	const uint8_t *field = r->c.at;
	uint32_t tag;
	enum hr_reject verdict;

	if (!pb_take_tag(&r->c, &tag))
		return HR_REJECT_SYNTAX;
	switch (tag) {
	case EVENT_USER:
		return take_name(r, &ev->user, SEEN(1), HR_USER_MAX, HR_REJECT_USER);
	case EVENT_TYPE:
		return take_name(r, &ev->type, SEEN(2), HR_TYPE_MAX, HR_REJECT_TYPE);
	case EVENT_ID:
		return take_name(r, &ev->id, SEEN(3), HR_EVENT_ID_MAX,
				 HR_REJECT_EVENT_ID);
	case EVENT_TIME_MS:
	case EVENT_TIME_TEXT:
		return take_time(r, tag);
	case EVENT_PAIRS:
		verdict = take_metadata(r);
		if (ev->metadata.n == 0)
			ev->metadata.p = field;
		ev->metadata.n = (uint32_t)(r->c.at - ev->metadata.p);
		return verdict;
	default:
		if (tag >> 3 <= EVENT_FIELDS)
			return HR_REJECT_FIELD_TYPE;
		return pb_skip(&r->c, tag) ? HR_REJECT_NONE : HR_REJECT_SYNTAX;
	}
}

enum hr_reject hr_event_parse_protobuf(struct hr_event *out, struct hr_arena *arena,
				       const uint8_t *bytes, uint32_t n,
				       int64_t received_ms)
{
	struct reading r;
	enum hr_reject verdict;

	(void)arena; /* protobuf texts lie in the payload as they are */
	event_clear(out, HR_CODEC_PROTOBUF, received_ms);
	r.ev = out;
	r.c.at = bytes;
	r.c.end = bytes_end(bytes, n);
	r.seen = 0;
	r.keys.n = 0;
	r.keys.filter = 0;
	while (r.c.at < r.c.end) {
		verdict = take_field(&r);
		if (verdict != HR_REJECT_NONE)
			return verdict;
	}
	out->type_no = type_no(out->type);
	return event_is_whole(out);
}
