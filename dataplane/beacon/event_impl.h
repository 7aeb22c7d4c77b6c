/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_EVENT_IMPL_H
#define HR_EVENT_IMPL_H

/* event, inside: what both codecs' parsers do alike, and the walk over pairs that
 * are still encoded. */

#include "dataplane/beacon/event.h"
#include "dataplane/beacon/json_impl.h"
#include "dataplane/beacon/text_impl.h"

#define TEXT_IS(s, literal)                                                            \
	((s).n == sizeof(literal) - 1 &&                                               \
	 memcmp((s).p, literal, sizeof(literal) - 1) == 0)

/* Metadata keys seen so far. The filter says at once that a key is new; only where
 * it doubts are keys compared. Not set up but for n and filter. */
struct pair_keys {
	uint32_t n;
	uint64_t filter;
	struct hr_str key[HR_PAIRS_MAX];
};

/* One pair as it lies in the payload. */
struct raw_pair {
	struct hr_str key, text; /* as hr_pair's, but JSON escapes still in them */
	bool key_is_escaped, text_is_escaped;
	bool is_integer; /* protobuf: NUMBER in `integer`, not in text */
	uint8_t form;
	int64_t integer;
};

static inline void raw_pair_clear(struct raw_pair *pair)
{
	pair->key.p = NULL;
	pair->key.n = 0;
	pair->text.p = NULL;
	pair->text.n = 0;
	pair->integer = 0;
	pair->key_is_escaped = false;
	pair->text_is_escaped = false;
	pair->is_integer = false;
	pair->form = HR_PAIR_NULL;
}

/* Walk pairs of a parsed event: hr_event_pair_next() without decoding. */
bool hr_raw_pair_next(const struct hr_event *ev, uint32_t *cursor,
		      struct raw_pair *out);

/* Field by field: a compiler makes one "rep stos" of an initialiser of this size,
 * which alone took a quarter of a protobuf event's time. */
static inline void event_clear(struct hr_event *ev, uint8_t codec, int64_t received_ms)
{
	const struct hr_str none = { NULL, 0 };

	ev->user = none;
	ev->type = none;
	ev->id = none;
	ev->product = none;
	ev->category = none;
	ev->time_text = none;
	ev->metadata = none;
	ev->time_ms = received_ms;
	ev->type_no = HR_EVENT_OTHER;
	ev->time_form = HR_TIME_ABSENT;
	ev->codec = codec;
	memset(ev->reserved, 0, sizeof(ev->reserved));
}

static inline uint8_t type_no(struct hr_str type)
{
	switch (type.n) {
	case 5:
		return TEXT_IS(type, "click") ? HR_EVENT_CLICK : HR_EVENT_OTHER;
	case 6:
		if (TEXT_IS(type, "search"))
			return HR_EVENT_SEARCH;
		return TEXT_IS(type, "rating") ? HR_EVENT_RATING : HR_EVENT_OTHER;
	case 8:
		return TEXT_IS(type, "purchase") ? HR_EVENT_PURCHASE : HR_EVENT_OTHER;
	case 11:
		return TEXT_IS(type, "add_to_cart") ? HR_EVENT_ADD_TO_CART
						    : HR_EVENT_OTHER;
	case 12:
		return TEXT_IS(type, "product_view") ? HR_EVENT_PRODUCT_VIEW
						     : HR_EVENT_OTHER;
	default:
		return HR_EVENT_OTHER;
	}
}

static inline enum hr_reject event_set_millis(struct hr_event *ev, int64_t ms)
{
	if (ms < 0 || ms > HR_TIME_MS_MAX)
		return HR_REJECT_TIME_RANGE;
	ev->time_ms = ms;
	ev->time_form = HR_TIME_MILLIS;
	return HR_REJECT_NONE;
}

static inline enum hr_reject event_set_time_text(struct hr_event *ev,
						 struct hr_str text)
{
	int64_t ms;

	if (!hr_time_parse(text, &ms))
		return HR_REJECT_TIMESTAMP;
	if (ms < 0 || ms > HR_TIME_MS_MAX)
		return HR_REJECT_TIME_RANGE;
	ev->time_ms = ms;
	ev->time_form = HR_TIME_TEXT;
	ev->time_text = text;
	return HR_REJECT_NONE;
}

/* What every event must have, at its end. */
static inline enum hr_reject event_is_whole(const struct hr_event *ev)
{
	if (ev->user.n == 0)
		return HR_REJECT_USER;
	return ev->type.n == 0 ? HR_REJECT_TYPE : HR_REJECT_NONE;
}

/* A new key, judged already. */
static inline enum hr_reject pair_keys_add(struct pair_keys *keys, struct hr_str key)
{
	const uint64_t bit = UINT64_C(1)
			     << ((key.n * 7u + key.p[0] * 5u + key.p[key.n - 1] * 3u) &
				 63u);

	if (keys->n == HR_PAIRS_MAX)
		return HR_REJECT_PAIRS;
	if ((keys->filter & bit) != 0)
		for (uint32_t i = 0; i < keys->n; i++)
			if (hr_str_equals(keys->key[i], key))
				return HR_REJECT_DUPLICATE_KEY;
	keys->filter |= bit;
	keys->key[keys->n++] = key;
	return HR_REJECT_NONE;
}

/* What a pair's key means to us. */
enum meaning {
	MEANS_NOTHING, /* carried */
	MEANS_PRODUCT,
	MEANS_CATEGORY,
	MEANS_NUMBER, /* price, quantity */
};

static inline enum meaning key_meaning(struct hr_str key)
{
	switch (key.n) {
	case 5:
		return TEXT_IS(key, "price") ? MEANS_NUMBER : MEANS_NOTHING;
	case 8:
		if (TEXT_IS(key, "category"))
			return MEANS_CATEGORY;
		return TEXT_IS(key, "quantity") ? MEANS_NUMBER : MEANS_NOTHING;
	case 10:
		return TEXT_IS(key, "product_id") ? MEANS_PRODUCT : MEANS_NOTHING;
	default:
		return MEANS_NOTHING;
	}
}

/* A text that was judged as UTF-8, decoded. */
static inline enum hr_reject event_see_text(struct hr_event *ev, enum meaning meaning,
					    struct hr_str text, bool has_control)
{
	if (meaning == MEANS_NOTHING)
		return HR_REJECT_NONE;
	if (meaning == MEANS_NUMBER)
		return HR_REJECT_NUMBER;
	if (meaning == MEANS_PRODUCT && (text.n == 0 || text.n > HR_PRODUCT_MAX))
		return HR_REJECT_PRODUCT;
	if (meaning == MEANS_CATEGORY && (text.n == 0 || text.n > HR_CATEGORY_MAX))
		return HR_REJECT_CATEGORY;
	if (has_control)
		return HR_REJECT_CONTROL;
	*(meaning == MEANS_PRODUCT ? &ev->product : &ev->category) = text;
	return HR_REJECT_NONE;
}

/* A number that was judged as one. */
static inline enum hr_reject event_see_number(enum meaning meaning, struct hr_str text)
{
	if (text.n > HR_NUMBER_MAX)
		return HR_REJECT_NUMBER;
	if (meaning == MEANS_NOTHING)
		return HR_REJECT_NONE;
	if (meaning != MEANS_NUMBER)
		return HR_REJECT_FIELD_TYPE;
	return hr_number_in_range(text) ? HR_REJECT_NONE : HR_REJECT_NUMBER;
}

/* true and false; null says nothing, whatever the key, and is carried. */
static inline enum hr_reject event_see_word(enum meaning meaning, uint8_t form)
{
	if (meaning == MEANS_NOTHING || form == HR_PAIR_NULL)
		return HR_REJECT_NONE;
	return meaning == MEANS_NUMBER ? HR_REJECT_NUMBER : HR_REJECT_FIELD_TYPE;
}

#endif
