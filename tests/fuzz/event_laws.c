/* SPDX-License-Identifier: BSD-3-Clause */

/* See event_laws.h. */

#include "tests/fuzz/event_laws.h"

#include <jansson.h>

#include "headrace.h"
#include "tests/fuzz/fuzz.h"

void taken_parse(struct taken *t, uint8_t codec, const void *bytes, uint32_t n)
{
	struct hr_arena arena;

	t->bytes = exact_copy(bytes, n);
	t->room = malloc(n);
	t->n = n;
	arena = (struct hr_arena){ t->room, t->room + n };
	t->verdict = codec == HR_CODEC_JSON
			     ? hr_event_parse_json(&t->ev, &arena, t->bytes, n,
						   LAWS_RECEIVED_MS)
			     : hr_event_parse_protobuf(&t->ev, &arena, t->bytes, n,
						       LAWS_RECEIVED_MS);
	HOLDS(t->verdict < HR_REJECT_COUNT);
	HOLDS(arena.at >= t->room && arena.at <= t->room + n);
}

void taken_free(struct taken *t)
{
	free(t->bytes);
	free(t->room);
}

/* UTF-8 as RFC 3629's grammar has it, written down another way than the parser's. */
static bool is_utf8(struct hr_str s)
{
	for (uint32_t i = 0; i < s.n;) {
		const uint32_t first = s.p[i];
		const uint32_t n = first < 0x80           ? 1
				   : (first >> 5) == 0x06 ? 2
				   : (first >> 4) == 0x0e ? 3
				   : (first >> 3) == 0x1e ? 4
							  : 0;
		static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
		uint32_t c = n == 1 ? first : first & (0x7fu >> n);

		if (n == 0 || s.n - i < n)
			return false;
		for (uint32_t k = 1; k < n; k++) {
			if (s.p[i + k] >> 6 != 2)
				return false;
			c = c << 6 | (s.p[i + k] & 0x3fu);
		}
		if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
		i += n;
	}
	return true;
}

static bool is_name(struct hr_str s, uint32_t max)
{
	if (s.n == 0 || s.n > max || !is_utf8(s))
		return false;
	for (uint32_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool is_name_or_absent(struct hr_str s, uint32_t max)
{
	return s.n == 0 || is_name(s, max);
}

static bool points_into(const struct taken *t, struct hr_str s)
{
	return s.n == 0 || (s.p >= t->bytes && s.p + s.n <= t->bytes + t->n) ||
	       (s.p >= t->room && s.p + s.n <= t->room + t->n);
}

static void check_fields(const struct taken *t)
{
	const struct hr_event *ev = &t->ev;

	HOLDS(is_name(ev->user, HR_USER_MAX) && points_into(t, ev->user));
	HOLDS(is_name(ev->type, HR_TYPE_MAX) && points_into(t, ev->type));
	HOLDS(is_name_or_absent(ev->id, HR_EVENT_ID_MAX) && points_into(t, ev->id));
	HOLDS(is_name_or_absent(ev->product, HR_PRODUCT_MAX) &&
	      points_into(t, ev->product));
	HOLDS(is_name_or_absent(ev->category, HR_CATEGORY_MAX) &&
	      points_into(t, ev->category));
	HOLDS(points_into(t, ev->metadata) && points_into(t, ev->time_text));
	HOLDS(ev->time_ms >= 0 && ev->time_ms <= HR_TIME_MS_MAX);
	HOLDS((ev->time_text.n != 0) == (ev->time_form == HR_TIME_TEXT));
	HOLDS(ev->time_form != HR_TIME_ABSENT || ev->time_ms == LAWS_RECEIVED_MS);
}

static bool pairs_are_equal(const struct hr_pair *a, const struct hr_pair *b)
{
	return a->form == b->form && hr_str_equals(a->key, b->key) &&
	       hr_str_equals(a->text, b->text);
}

/* All pairs, decoded into room, which holds them: the texts, and the digits of
 * protobuf's integers. */
#define PAIRS_ROOM(n) ((size_t)(n) + 20u * HR_PAIRS_MAX)

static uint32_t read_pairs(const struct hr_event *ev, uint8_t *room, size_t room_bytes,
			   struct hr_pair pairs[HR_PAIRS_MAX])
{
	struct hr_arena arena = { room, room + room_bytes };
	struct hr_pair pair;
	uint32_t cursor = 0, n = 0;

	while (hr_event_pair_next(ev, &cursor, &arena, &pair)) {
		HOLDS(n < HR_PAIRS_MAX);
		pairs[n++] = pair;
	}
	return n;
}

static void check_pairs(const struct hr_pair *pairs, uint32_t n,
			const struct hr_event *ev)
{
	for (uint32_t i = 0; i < n; i++) {
		HOLDS(is_name(pairs[i].key, HR_PAIR_KEY_MAX));
		HOLDS(is_utf8(pairs[i].text));
		HOLDS(pairs[i].form != HR_PAIR_NUMBER || pairs[i].text.n > 0);
		HOLDS(pairs[i].form <= HR_PAIR_NUMBER || pairs[i].text.n == 0);
		for (uint32_t k = 0; k < i; k++)
			HOLDS(!hr_str_equals(pairs[i].key, pairs[k].key));
		if (hr_str_equals(pairs[i].key, HR_STR("product_id")))
			HOLDS(hr_str_equals(pairs[i].text, ev->product));
		if (hr_str_equals(pairs[i].key, HR_STR("category")))
			HOLDS(hr_str_equals(pairs[i].text, ev->category));
	}
}

static struct hr_str render(const struct hr_event *ev, uint32_t event_bytes)
{
	const uint32_t max = HR_RENDER_BYTES(event_bytes);
	uint8_t *out = malloc(max);
	struct hr_str record = { out, hr_event_render(ev, out, max) };

	HOLDS(record.n > 0 && record.n <= max);
	return record;
}

/* Another reader takes it. It knows no number beyond a double and no NUL in a key. */
static void check_json(struct hr_str record)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)record.p, record.n,
				  JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);

	HOLDS(json != NULL || json_error_code(&error) == json_error_numeric_overflow);
	if (json != NULL)
		HOLDS(json_is_object(json) && json_object_size(json) == 6);
	json_decref(json);
	for (uint32_t i = 0; i < record.n; i++)
		HOLDS(record.p[i] >= 0x20 && record.p[i] != 0x7f);
}

/* The record parses to this event, and is then written the same. An absent time comes
 * back as the text that was written for it. */
static void check_comes_back(const struct hr_event *ev, const struct hr_pair *pairs,
			     uint32_t n_pairs, struct hr_str record)
{
	struct hr_pair again_pairs[HR_PAIRS_MAX];
	uint8_t *room = malloc(PAIRS_ROOM(record.n));
	struct hr_str again_record;
	struct taken again;

	taken_parse(&again, HR_CODEC_JSON, record.p, record.n);
	HOLDS(again.verdict == HR_REJECT_NONE);
	HOLDS(hr_str_equals(again.ev.user, ev->user));
	HOLDS(hr_str_equals(again.ev.type, ev->type));
	HOLDS(hr_str_equals(again.ev.id, ev->id));
	HOLDS(hr_str_equals(again.ev.product, ev->product));
	HOLDS(hr_str_equals(again.ev.category, ev->category));
	HOLDS(again.ev.time_ms == ev->time_ms && again.ev.type_no == ev->type_no);
	HOLDS(again.ev.time_form ==
	      (ev->time_form == HR_TIME_ABSENT ? HR_TIME_TEXT : ev->time_form));
	HOLDS(read_pairs(&again.ev, room, PAIRS_ROOM(record.n), again_pairs) ==
	      n_pairs);
	for (uint32_t i = 0; i < n_pairs; i++)
		HOLDS(pairs_are_equal(&again_pairs[i], &pairs[i]));

	again_record = render(&again.ev, record.n);
	HOLDS(hr_str_equals(again_record, record));
	free((void *)again_record.p);
	free(room);
	taken_free(&again);
}

static struct headrace_slice slice(struct hr_str s)
{
	return (struct headrace_slice){ (const char *)s.p, s.n };
}

/* What the SDK is narrower in: null under a key that is understood, and a time
 * without seconds. */
static bool sdk_has_no_word_for(const struct hr_event *ev, const struct hr_pair *pairs,
				uint32_t n_pairs)
{
	for (uint32_t i = 0; i < n_pairs; i++)
		if (pairs[i].form == HR_PAIR_NULL &&
		    (hr_str_equals(pairs[i].key, HR_STR("product_id")) ||
		     hr_str_equals(pairs[i].key, HR_STR("category")) ||
		     hr_str_equals(pairs[i].key, HR_STR("price")) ||
		     hr_str_equals(pairs[i].key, HR_STR("quantity"))))
			return true;
	return ev->time_form == HR_TIME_TEXT &&
	       (ev->time_text.n == 16 || ev->time_text.p[16] != ':');
}

static void check_sdk_codec(enum headrace_codec codec,
			    const struct headrace_event *event, struct hr_str record)
{
	uint8_t datagram[HEADRACE_DATAGRAM_MAX];
	struct headrace_encoder e;
	struct hr_frames frames;
	struct hr_str found, again;
	struct taken t;
	int r;

	headrace_encoder_init(&e, codec, datagram, sizeof(datagram));
	r = headrace_encoder_append(&e, event);
	if (r == HEADRACE_TOO_LARGE)
		return;
	HOLDS(r == HEADRACE_OK);
	hr_frames_init(&frames, (uint8_t)codec,
		       (struct hr_str){ datagram + HEADRACE_HEADER_BYTES,
					e.end - HEADRACE_HEADER_BYTES },
		       false);
	HOLDS(hr_frames_next(&frames, &found) == 1);
	taken_parse(&t, (uint8_t)codec, found.p, found.n);
	HOLDS(t.verdict == HR_REJECT_NONE);
	again = render(&t.ev, found.n);
	HOLDS(hr_str_equals(again, record));
	HOLDS(hr_frames_next(&frames, &found) == 0);
	free((void *)again.p);
	taken_free(&t);
}

static void check_sdk(const struct hr_event *ev, const struct hr_pair *pairs,
		      uint32_t n_pairs, struct hr_str record)
{
	static const enum headrace_form forms[] = {
		[HR_PAIR_TEXT] = HEADRACE_TEXT, [HR_PAIR_NUMBER] = HEADRACE_NUMBER,
		[HR_PAIR_TRUE] = HEADRACE_TRUE, [HR_PAIR_FALSE] = HEADRACE_FALSE,
		[HR_PAIR_NULL] = HEADRACE_NULL,
	};
	struct headrace_pair out[HR_PAIRS_MAX];
	const struct headrace_event event = {
		.user = slice(ev->user),
		.type = slice(ev->type),
		.id = slice(ev->id),
		.time_form = ev->time_form == HR_TIME_TEXT     ? HEADRACE_TIME_TEXT
			     : ev->time_form == HR_TIME_MILLIS ? HEADRACE_TIME_MILLIS
							       : HEADRACE_TIME_NONE,
		.time_ms = ev->time_ms,
		.time_text = slice(ev->time_text),
		.pairs = out,
		.n_pairs = n_pairs,
	};

	if (sdk_has_no_word_for(ev, pairs, n_pairs))
		return;
	for (uint32_t i = 0; i < n_pairs; i++)
		out[i] = (struct headrace_pair){ .key = slice(pairs[i].key),
						 .text = slice(pairs[i].text),
						 .form = forms[pairs[i].form] };
	check_sdk_codec(HEADRACE_PROTOBUF, &event, record);
	check_sdk_codec(HEADRACE_JSON, &event, record);
}

void check_event_laws(const struct taken *t)
{
	struct hr_pair pairs[HR_PAIRS_MAX];
	uint8_t *room = malloc(PAIRS_ROOM(t->n));
	const uint32_t n_pairs = read_pairs(&t->ev, room, PAIRS_ROOM(t->n), pairs);
	const struct hr_str record = render(&t->ev, t->n);

	check_fields(t);
	check_pairs(pairs, n_pairs, &t->ev);
	check_json(record);
	check_comes_back(&t->ev, pairs, n_pairs, record);
	check_sdk(&t->ev, pairs, n_pairs, record);
	free((void *)record.p);
	free(room);
}
