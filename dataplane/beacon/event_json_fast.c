/* SPDX-License-Identifier: BSD-3-Clause */

/* One JSON object to an event. */

#include <assert.h>

#include "common/wire.h"
#include "dataplane/beacon/event_impl.h"

enum member {
	MEMBER_OTHER,
	MEMBER_USER,
	MEMBER_TYPE,
	MEMBER_ID,
	MEMBER_TIME,
	MEMBER_METADATA,
};

static inline enum member member_of(struct hr_str key)
{
	switch (key.n) {
	case 7:
		return TEXT_IS(key, "user_id") ? MEMBER_USER : MEMBER_OTHER;
	case 8:
		if (TEXT_IS(key, "event_id"))
			return MEMBER_ID;
		return TEXT_IS(key, "metadata") ? MEMBER_METADATA : MEMBER_OTHER;
	case 9:
		return TEXT_IS(key, "timestamp") ? MEMBER_TIME : MEMBER_OTHER;
	case 10:
		return TEXT_IS(key, "event_type") ? MEMBER_TYPE : MEMBER_OTHER;
	default:
		return MEMBER_OTHER;
	}
}

/* The text itself: in the payload, or decoded into the arena. */
static inline struct hr_str text_of(struct hr_arena *arena, const struct json_string *s)
{
	struct hr_str text = s->raw;

	if (!s->is_escaped)
		return text;
	assert((size_t)(arena->end - arena->at) >= s->raw.n);
	text.p = arena->at;
	text.n = hr_json_decode(arena->at, s->raw);
	arena->at += text.n;
	return text;
}

static inline bool take_null(struct json *j)
{
	return j->at < j->end && *j->at == 'n' && json_word(j, "null", 4);
}

/* At the value. null stands for "absent": *to stays empty. */
static inline enum hr_reject take_name(struct json *j, struct hr_arena *arena,
				       struct hr_str *to, uint32_t max,
				       enum hr_reject bad_length)
{
	struct json_string s;
	struct hr_str text;
	enum hr_reject r;

	if (j->at == j->end)
		return HR_REJECT_SYNTAX;
	if (*j->at != '"') {
		if (take_null(j))
			return HR_REJECT_NONE;
		r = hr_json_skip(j);
		return r == HR_REJECT_NONE ? HR_REJECT_FIELD_TYPE : r;
	}
	r = json_string(j, &s);
	if (r != HR_REJECT_NONE)
		return r;
	text = text_of(arena, &s);
	if (text.n == 0 || text.n > max)
		return bad_length;
	if (s.has_control)
		return HR_REJECT_CONTROL;
	*to = text;
	return HR_REJECT_NONE;
}

static inline enum hr_reject take_millis(struct json *j, struct hr_event *ev)
{
	const uint8_t *first = j->at;
	bool is_integer;
	const uint8_t *end = hr_number_end(first, j->end, &is_integer);
	int64_t ms;

	if (end == NULL) {
		enum hr_reject r = hr_json_skip(j);

		return r == HR_REJECT_NONE ? HR_REJECT_FIELD_TYPE : r;
	}
	j->at = end;
	if (!is_integer || (*first == '-' && first[1] == '0'))
		return HR_REJECT_TIMESTAMP;
	if (*first == '-' ||
	    !hr_number_to_ms((struct hr_str){ first, (uint32_t)(end - first) }, &ms))
		return HR_REJECT_TIME_RANGE;
	return event_set_millis(ev, ms);
}

static inline enum hr_reject take_time(struct json *j, struct hr_arena *arena,
				       struct hr_event *ev)
{
	struct json_string s;
	enum hr_reject r;

	if (j->at < j->end && *j->at == '"') {
		r = json_string(j, &s);
		if (r != HR_REJECT_NONE)
			return r;
		return event_set_time_text(ev, text_of(arena, &s));
	}
	return take_null(j) ? HR_REJECT_NONE : take_millis(j, ev);
}

static inline enum hr_reject take_pair_text(struct json *j, struct hr_arena *arena,
					    struct hr_event *ev, enum meaning meaning)
{
	struct json_string s;
	enum hr_reject r = json_string(j, &s);

	if (r != HR_REJECT_NONE)
		return r;
	if (meaning == MEANS_NOTHING)
		return HR_REJECT_NONE;
	return event_see_text(ev, meaning, text_of(arena, &s), s.has_control);
}

/* At a pair's value. */
static inline enum hr_reject take_pair_value(struct json *j, struct hr_arena *arena,
					     struct hr_event *ev, enum meaning meaning)
{
	const uint8_t *first = j->at;
	bool is_integer;

	switch (first < j->end ? *first : 0) {
	case '"':
		return take_pair_text(j, arena, ev, meaning);
	case '{':
	case '[':
		return HR_REJECT_NESTED;
	case 't':
		return json_word(j, "true", 4) ? event_see_word(meaning, HR_PAIR_TRUE)
					       : HR_REJECT_SYNTAX;
	case 'f':
		return json_word(j, "false", 5) ? event_see_word(meaning, HR_PAIR_FALSE)
						: HR_REJECT_SYNTAX;
	case 'n':
		return json_word(j, "null", 4) ? event_see_word(meaning, HR_PAIR_NULL)
					       : HR_REJECT_SYNTAX;
	default:
		j->at = hr_number_end(first, j->end, &is_integer);
		if (j->at == NULL)
			return HR_REJECT_SYNTAX;
		return event_see_number(
			meaning, (struct hr_str){ first, (uint32_t)(j->at - first) });
	}
}

static inline enum hr_reject judge_key(struct pair_keys *keys, struct hr_str key,
				       bool has_control)
{
	if (key.n == 0 || key.n > HR_PAIR_KEY_MAX)
		return HR_REJECT_PAIRS;
	if (has_control)
		return HR_REJECT_CONTROL;
	return pair_keys_add(keys, key);
}

/* Behind the "{"; leaves the cursor behind the "}". */
static inline enum hr_reject take_pairs(struct json *j, struct hr_arena *arena,
					struct hr_event *ev)
{
	const uint8_t *first = j->at;
	struct pair_keys keys;
	bool more;

	keys.n = 0;
	keys.filter = 0;
	for (;;) {
		struct json_string name;
		struct hr_str key;
		enum hr_reject r = json_member(j, keys.n == 0, &more, &name);

		if (r != HR_REJECT_NONE)
			return r;
		if (!more)
			break;
		key = text_of(arena, &name);
		r = judge_key(&keys, key, name.has_control);
		if (r != HR_REJECT_NONE)
			return r;
		json_space(j);
		r = take_pair_value(j, arena, ev, key_meaning(key));
		if (r != HR_REJECT_NONE)
			return r;
	}
	if (keys.n > 0)
		ev->metadata = (struct hr_str){ first, (uint32_t)(j->at - 1 - first) };
	return HR_REJECT_NONE;
}

static inline enum hr_reject take_metadata(struct json *j, struct hr_arena *arena,
					   struct hr_event *ev)
{
	enum hr_reject r;

	if (j->at < j->end && *j->at == '{') {
		j->at++;
		return take_pairs(j, arena, ev);
	}
	if (take_null(j))
		return HR_REJECT_NONE;
	r = hr_json_skip(j);
	return r == HR_REJECT_NONE ? HR_REJECT_FIELD_TYPE : r;
}

/* At the value of a member; seen has a bit for each member that was there. */
static inline enum hr_reject take_member(struct json *j, struct hr_arena *arena,
					 struct hr_event *ev, enum member member,
					 uint32_t *seen)
{
	if (member == MEMBER_OTHER)
		return hr_json_skip(j);
	if ((*seen & 1u << member) != 0)
		return HR_REJECT_DUPLICATE_KEY;
	*seen |= 1u << member;
	json_space(j);
	switch (member) {
	case MEMBER_USER:
		return take_name(j, arena, &ev->user, HR_USER_MAX, HR_REJECT_USER);
	case MEMBER_TYPE:
		return take_name(j, arena, &ev->type, HR_TYPE_MAX, HR_REJECT_TYPE);
	case MEMBER_ID:
		return take_name(j, arena, &ev->id, HR_EVENT_ID_MAX,
				 HR_REJECT_EVENT_ID);
	case MEMBER_TIME:
		return take_time(j, arena, ev);
	default:
		return take_metadata(j, arena, ev);
	}
}

enum hr_reject hr_event_parse_json(struct hr_event *out, struct hr_arena *arena,
				   const uint8_t *bytes, uint32_t n,
				   int64_t received_ms)
{
	struct json j = { bytes, bytes_end(bytes, n) };
	uint32_t seen = 0;
	bool more;

	event_clear(out, HR_CODEC_JSON, received_ms);
	if (!json_take(&j, '{'))
		return HR_REJECT_SYNTAX;
	for (bool is_first = true;; is_first = false) {
		struct json_string name;
		enum hr_reject r = json_member(&j, is_first, &more, &name);

		if (r != HR_REJECT_NONE)
			return r;
		if (!more)
			break;
		r = take_member(&j, arena, out, member_of(text_of(arena, &name)),
				&seen);
		if (r != HR_REJECT_NONE)
			return r;
	}
	json_space(&j);
	if (j.at != j.end)
		return HR_REJECT_SYNTAX;
	out->type_no = type_no(out->type);
	return event_is_whole(out);
}

struct hr_str hr_event_peek_user(struct hr_arena *arena, struct hr_str json_event)
{
	struct json j = { json_event.p, bytes_end(json_event.p, json_event.n) };
	struct hr_str user = { NULL, 0 };
	bool more = json_take(&j, '{');

	for (bool is_first = true; more; is_first = false) {
		struct json_string name;
		struct hr_arena scratch =
			*arena; /* names of other members are not kept */

		if (json_member(&j, is_first, &more, &name) != HR_REJECT_NONE || !more)
			break;
		if (member_of(text_of(&scratch, &name)) == MEMBER_USER) {
			json_space(&j);
			(void)take_name(&j, arena, &user, HR_USER_MAX, HR_REJECT_USER);
			break;
		}
		if (hr_json_skip(&j) != HR_REJECT_NONE)
			break;
	}
	return user;
}
