/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The metadata pairs of a parsed event, which lie in the payload as they came. The
 * parser has judged them; the walk below keeps inside the span all the same, and
 * ends where it meets what cannot be.
 */

#include <assert.h>

#include "common/wire.h"
#include "dataplane/beacon/event_impl.h"
#include "dataplane/beacon/protobuf_impl.h"

static inline bool pb_pair(struct hr_str message, struct raw_pair *out)
{
	struct pb c = { message.p, message.p + message.n };
	uint32_t tag;
	uint64_t v = 0;

	while (c.at < c.end) {
		if (!pb_take_tag(&c, &tag))
			return false;
		switch (tag) {
		case PAIR_KEY:
			if (!pb_take_bytes(&c, &out->key))
				return false;
			break;
		case PAIR_TEXT:
		case PAIR_NUMBER:
			out->form = tag == PAIR_TEXT ? HR_PAIR_TEXT : HR_PAIR_NUMBER;
			if (!pb_take_bytes(&c, &out->text))
				return false;
			break;
		case PAIR_INTEGER:
		case PAIR_BOOL:
			if (!pb_take_varint(&c, &v))
				return false;
			out->is_integer = tag == PAIR_INTEGER;
			out->integer = (int64_t)v;
			out->form = out->is_integer ? HR_PAIR_NUMBER
				    : v != 0        ? HR_PAIR_TRUE
						    : HR_PAIR_FALSE;
			break;
		default: /* null, and what later writers add */
			if (!pb_skip(&c, tag))
				return false;
		}
	}
	return true;
}

/* Other fields of the event may lie between its pairs. */
static inline bool pb_next(struct hr_str metadata, uint32_t *cursor,
			   struct raw_pair *out)
{
	struct pb c = { metadata.p + *cursor, metadata.p + metadata.n };
	struct hr_str message;
	uint32_t tag;

	while (c.at < c.end) {
		if (!pb_take_tag(&c, &tag))
			return false;
		if (tag == EVENT_PAIRS) {
			if (!pb_take_bytes(&c, &message))
				return false;
			*cursor = (uint32_t)(c.at - metadata.p);
			return pb_pair(message, out);
		}
		if (!pb_skip(&c, tag))
			return false;
	}
	return false;
}

static inline bool json_value(struct json *j, struct raw_pair *out)
{
	const uint8_t *first = j->at;
	struct json_string text;
	bool is_integer;

	switch (json_peek(j)) {
	case '"':
		if (json_string(j, &text) != HR_REJECT_NONE)
			return false;
		out->form = HR_PAIR_TEXT;
		out->text = text.raw;
		out->text_is_escaped = text.is_escaped;
		return true;
	case 't':
		out->form = HR_PAIR_TRUE;
		return json_word(j, "true", 4);
	case 'f':
		out->form = HR_PAIR_FALSE;
		return json_word(j, "false", 5);
	case 'n':
		return json_word(j, "null", 4);
	default:
		first = j->at;
		j->at = hr_number_end(first, j->end, &is_integer);
		if (j->at == NULL)
			return false;
		out->form = HR_PAIR_NUMBER;
		out->text = (struct hr_str){ first, (uint32_t)(j->at - first) };
		return true;
	}
}

static inline bool json_next(struct hr_str metadata, uint32_t *cursor,
			     struct raw_pair *out)
{
	struct json j = { metadata.p + *cursor, metadata.p + metadata.n };
	struct json_string key;
	bool more;

	if (json_peek(&j) == 0 ||
	    json_member(&j, *cursor == 0, &more, &key) != HR_REJECT_NONE || !more)
		return false;
	out->key = key.raw;
	out->key_is_escaped = key.is_escaped;
	if (!json_value(&j, out))
		return false;
	*cursor = (uint32_t)(j.at - metadata.p);
	return true;
}

bool hr_raw_pair_next(const struct hr_event *ev, uint32_t *cursor, struct raw_pair *out)
{
	raw_pair_clear(out);
	if (*cursor >= ev->metadata.n)
		return false;
	return ev->codec == HR_CODEC_PROTOBUF ? pb_next(ev->metadata, cursor, out)
					      : json_next(ev->metadata, cursor, out);
}

static inline struct hr_str decoded(struct hr_arena *arena, struct hr_str raw,
				    bool is_escaped)
{
	struct hr_str text = { arena->at, 0 };

	if (!is_escaped)
		return raw;
	assert((size_t)(arena->end - arena->at) >= raw.n);
	text.n = hr_json_decode(arena->at, raw);
	arena->at += text.n;
	return text;
}

static inline struct hr_str digits(struct hr_arena *arena, int64_t v)
{
	uint8_t out[HR_INTEGER_CHARS];
	struct hr_str text = { arena->at, hr_number_write(v, out) };

	assert((size_t)(arena->end - arena->at) >= text.n);
	memcpy(arena->at, out, text.n);
	arena->at += text.n;
	return text;
}

bool hr_event_pair_next(const struct hr_event *ev, uint32_t *cursor,
			struct hr_arena *arena, struct hr_pair *out)
{
	struct raw_pair pair;

	if (!hr_raw_pair_next(ev, cursor, &pair))
		return false;
	out->key = decoded(arena, pair.key, pair.key_is_escaped);
	out->text = pair.is_integer && pair.form == HR_PAIR_NUMBER
			    ? digits(arena, pair.integer)
			    : decoded(arena, pair.text, pair.text_is_escaped);
	out->form = pair.form;
	return true;
}
