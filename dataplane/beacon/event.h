/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_EVENT_H
#define HR_EVENT_H

/*
 * event - one user event, whatever codec brought it. JSON and protobuf give the
 * same struct, and hr_event_render() gives the same bytes from either.
 *
 * Parsing copies nothing: texts point into the bytes of the payload, except a
 * JSON text with escapes, whose decoded form is put into the caller's arena.
 * Everything is checked here, once, against the bounds of the contract; what a
 * later room finds in a struct hr_event is valid.
 *
 * Hot and pure: no allocation, no clock, no float, no global state.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

#define HR_USER_MAX 128
#define HR_TYPE_MAX 64
#define HR_EVENT_ID_MAX 64
#define HR_PRODUCT_MAX 64
#define HR_CATEGORY_MAX 64
#define HR_PAIRS_MAX 64
#define HR_PAIR_KEY_MAX 64
#define HR_TIME_MS_MAX 253402300799999 /* 9999-12-31T23:59:59.999Z */
/* price and quantity are below 10^15 in size: a double holds 15 digits exactly. */
#define HR_NUMBER_DIGITS 15
/* Characters of any number: Jackson, which Flink reads JSON with, refuses more
 * (StreamReadConstraints.DEFAULT_MAX_NUM_LEN, since its 2.15). */
#define HR_NUMBER_MAX 1000

enum hr_reject {
	HR_REJECT_NONE,
#define HR_REJECT(name, label, text) HR_REJECT_##name,
#include "dataplane/beacon/rejects.def"
#undef HR_REJECT
	HR_REJECT_COUNT
};

struct hr_reject_row {
	const char *label;
	const char *text;
};

extern const struct hr_reject_row hr_reject_rows[HR_REJECT_COUNT];

/* Known types by number; every other type is OTHER and keeps its text. */
enum hr_event_type {
	HR_EVENT_OTHER,
	HR_EVENT_PRODUCT_VIEW,
	HR_EVENT_PURCHASE,
	HR_EVENT_ADD_TO_CART,
	HR_EVENT_SEARCH,
	HR_EVENT_CLICK,
	HR_EVENT_RATING,
};

/* How the sender wrote the event time: it is written out as given. */
enum hr_time_form {
	HR_TIME_ABSENT, /* event time = time of receipt */
	HR_TIME_TEXT,   /* ISO 8601 */
	HR_TIME_MILLIS, /* integer milliseconds since 1970 */
};

struct hr_event {
	struct hr_str user;      /* 1..128 bytes UTF-8, no control characters */
	struct hr_str type;      /* 1..64 */
	struct hr_str id;        /* 0..64; n = 0: absent, fold makes one */
	struct hr_str product;   /* metadata's product_id; n = 0: absent */
	struct hr_str category;  /* metadata's category; n = 0: absent */
	struct hr_str time_text; /* of HR_TIME_TEXT: its characters as given, without
				  * quotes, decoded; otherwise n = 0 (the digits of
				  * HR_TIME_MILLIS are those of time_ms) */
	struct hr_str metadata;  /* the pairs, still encoded; n = 0: none */
	int64_t time_ms;         /* event time, ms since 1970 UTC, 0..HR_TIME_MS_MAX;
				 * the caller's received_ms where absent */
	uint8_t type_no;         /* enum hr_event_type */
	uint8_t time_form;       /* enum hr_time_form */
	uint8_t codec;           /* enum hr_wire_codec of the bytes below metadata */
	uint8_t reserved[5];
};

/* Where decoded texts go. The caller gives it the room: the decoded texts of an
 * event are never longer than its encoded bytes. */
struct hr_arena {
	uint8_t *at, *end;
};

/*
 * Parse one event. bytes/n is exactly one protobuf Event message (without its
 * length prefix) or one JSON object (white space around it allowed).
 * received_ms stands in for an absent timestamp.
 * Returns HR_REJECT_NONE or the first reason found; then *out holds whatever was
 * valid so far, and out->user is either a usable user id or empty.
 */
enum hr_reject hr_event_parse_protobuf(struct hr_event *out, struct hr_arena *arena,
				       const uint8_t *bytes, uint32_t n,
				       int64_t received_ms);
enum hr_reject hr_event_parse_json(struct hr_event *out, struct hr_arena *arena,
				   const uint8_t *bytes, uint32_t n,
				   int64_t received_ms);

/*
 * Frames of a payload. A protobuf payload is a message Batch { repeated Event
 * events = 1; } and nothing else; a JSON payload is one JSON object a line
 * (a last line may lack its newline; no empty lines), and, headerless only, may
 * be one JSON array of objects instead.
 *
 * hr_frames_next() returns 1 and one event's bytes, 0 at the end, or -1 where
 * the framing is broken. It looks at lengths (protobuf), newlines (JSON lines)
 * or brackets outside strings (JSON array), not into events.
 */
struct hr_frames {
	const uint8_t *at, *end;
	uint8_t codec;
	bool is_array; /* set by hr_frames_init() when allowed and found */
};

void hr_frames_init(struct hr_frames *f, uint8_t codec, struct hr_str payload,
		    bool allow_array);
int hr_frames_next(struct hr_frames *f, struct hr_str *event);

/* The whole payload is well framed and holds exactly n_events. */
bool hr_frames_fit(uint8_t codec, struct hr_str payload, uint32_t n_events);

/*
 * The user_id of a headerless JSON event, decoded (into the arena if need be),
 * without judging anything else. Empty (n = 0) when there is no usable one.
 */
struct hr_str hr_event_peek_user(struct hr_arena *arena, struct hr_str json_event);

/* One metadata pair, in the sender's order. Texts are decoded, UTF-8 checked. */
struct hr_pair {
	struct hr_str key;
	struct hr_str text; /* TEXT: the characters. NUMBER: a JSON number as written.
			     * Otherwise empty. */
	enum {
		HR_PAIR_TEXT,
		HR_PAIR_NUMBER,
		HR_PAIR_TRUE,
		HR_PAIR_FALSE,
		HR_PAIR_NULL
	} form;
};

/* Walk the pairs of a parsed event. *cursor starts at 0. Returns true while there
 * is one more. Texts that need decoding go into the arena. */
bool hr_event_pair_next(const struct hr_event *ev, uint32_t *cursor,
			struct hr_arena *arena, struct hr_pair *out);

/*
 * The record of user_events: one JSON object, no newline,
 *   {"event_id":…,"user_id":…,"event_type":…,"metadata":{…},"timestamp":…,
 *    "event_time":"2024-01-15 10:30:00.000"}
 * timestamp as given (text or number; absent: the ISO form of time_ms with Z).
 * Returns the bytes written, or 0 when max is too small: HR_RENDER_BYTES(n) for
 * an event of n encoded bytes is always enough.
 */
#define HR_RENDER_BYTES(n) (256u + 6u * (uint32_t)(n))
uint32_t hr_event_render(const struct hr_event *ev, uint8_t *out, uint32_t max);

/* "2024-01-15 10:30:00.000" and "2024-01-15T10:30:00.000Z", without a NUL. */
#define HR_TIME_SQL_BYTES 23
#define HR_TIME_ISO_BYTES 24
void hr_time_sql(int64_t ms, char out[HR_TIME_SQL_BYTES]);
void hr_time_iso(int64_t ms, char out[HR_TIME_ISO_BYTES]);
/* ISO 8601 with or without zone and fraction (no zone = UTC; digits beyond ms are
 * cut) to ms since 1970. Returns false where it is none. */
bool hr_time_parse(struct hr_str text, int64_t *ms);

#endif
