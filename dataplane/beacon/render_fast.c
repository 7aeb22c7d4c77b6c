/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * An event as the record of user_events. Texts are written in one way only, the
 * shortest JSON has for it but for control characters (always \u00XX, DEL too), so
 * that the record does not depend on the codec or the taste of the sender.
 */

#include "dataplane/beacon/event_impl.h"

/* Once something did not fit, at stays at NULL and nothing is written any more. */
struct writer {
	uint8_t *at, *end;
};

static inline bool has_room(struct writer *w, size_t n)
{
	if (w->at != NULL && (size_t)(w->end - w->at) >= n)
		return true;
	w->at = NULL;
	return false;
}

static inline void put(struct writer *w, const void *bytes, uint32_t n)
{
	if (!has_room(w, n) || n == 0)
		return;
	memcpy(w->at, bytes, n);
	w->at += n;
}
#define PUT(w, literal) put((w), (literal), (uint32_t)sizeof(literal) - 1)

static inline bool is_bare(uint8_t c)
{
	return c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
}

static void put_character(struct writer *w, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t escape[6] = { '\\', 'u', '0', '0' };

	if (is_bare(c)) {
		put(w, &c, 1);
	} else if (c == '"' || c == '\\') {
		escape[1] = c;
		put(w, escape, 2);
	} else {
		escape[4] = (uint8_t)hex[c >> 4];
		escape[5] = (uint8_t)hex[c & 15];
		put(w, escape, 6);
	}
}

static inline uint64_t word_is_not_bare(uint64_t w)
{
	return word_below(w, 0x20) | word_equal(w, 0x7f) | word_equal(w, '"') |
	       word_equal(w, '\\');
}

/* Bytes from p on that are written as they are. */
static inline uint32_t bare_bytes(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *first = p;

	for (; end - p >= 8; p += 8) {
		const uint64_t marks = word_is_not_bare(hr_load64(p));

		if (marks != 0)
			return (uint32_t)(p - first) + word_first(marks);
	}
	while (p < end && is_bare(*p))
		p++;
	return (uint32_t)(p - first);
}

static inline void put_inside(struct writer *w, struct hr_str s)
{
	const uint8_t *p = s.p, *end = s.p + s.n;

	while (p < end && w->at != NULL) {
		const uint32_t n = bare_bytes(p, end);

		put(w, p, n);
		p += n;
		if (p < end)
			put_character(w, *p++);
	}
}

/* n below 8: by two pieces that overlap. */
static inline uint64_t copy_few(uint8_t *to, const uint8_t *p, uint32_t n)
{
	if (n >= 4) {
		hr_store32(to, hr_load32(p));
		hr_store32(to + n - 4, hr_load32(p + n - 4));
	} else if (n > 0) {
		to[0] = p[0];
		to[n / 2] = p[n / 2];
		to[n - 1] = p[n - 1];
	}
	return word_is_not_bare(word_of_few(p, n));
}

/* Copy and look in one go; the last word overlaps the one before it. (A call of
 * memcpy for each text: 136 ns a record instead of 115.) */
static inline uint64_t copy_bare(uint8_t *to, const uint8_t *p, uint32_t n)
{
	uint64_t w, marks = 0;

	if (n < 8)
		return copy_few(to, p, n);
	for (uint32_t i = 0; i + 8 < n; i += 8) {
		w = hr_load64(p + i);
		hr_store64(to + i, w);
		marks |= word_is_not_bare(w);
	}
	w = hr_load64(p + n - 8);
	hr_store64(to + n - 8, w);
	return marks | word_is_not_bare(w);
}

static inline void put_text(struct writer *w, struct hr_str s)
{
	if (!has_room(w, (size_t)s.n + 2))
		return;
	*w->at = '"';
	if (copy_bare(w->at + 1, s.p, s.n) == 0) {
		w->at += s.n + 2;
		w->at[-1] = '"';
		return;
	}
	w->at++;
	put_inside(w, s);
	PUT(w, "\"");
}

/* A JSON string as it came, written our way: an escape at a time. */
static void put_escaped_text(struct writer *w, struct hr_str raw)
{
	const uint8_t *p = raw.p, *end = raw.p + raw.n;

	PUT(w, "\"");
	while (p < end && w->at != NULL) {
		uint8_t utf8[4];
		const uint32_t n = bare_bytes(p, end);

		put(w, p, n);
		p += n;
		if (p == end)
			break;
		if (*p == '\\') {
			const struct hr_str c = { utf8, hr_json_decode_escape(&p, end,
									      utf8) };

			put_inside(w, c);
		} else {
			put_character(w, *p++);
		}
	}
	PUT(w, "\"");
}

static inline void put_string(struct writer *w, struct hr_str s, bool is_escaped)
{
	if (is_escaped)
		put_escaped_text(w, s);
	else
		put_text(w, s);
}

static inline void put_integer(struct writer *w, int64_t v)
{
	uint8_t digits[HR_INTEGER_CHARS];

	put(w, digits, hr_number_write(v, digits));
}

static inline void put_value(struct writer *w, const struct raw_pair *pair)
{
	switch (pair->form) {
	case HR_PAIR_TEXT:
		put_string(w, pair->text, pair->text_is_escaped);
		break;
	case HR_PAIR_NUMBER:
		if (pair->is_integer)
			put_integer(w, pair->integer);
		else
			put(w, pair->text.p, pair->text.n);
		break;
	case HR_PAIR_TRUE:
		PUT(w, "true");
		break;
	case HR_PAIR_FALSE:
		PUT(w, "false");
		break;
	default:
		PUT(w, "null");
	}
}

static inline void put_metadata(struct writer *w, const struct hr_event *ev)
{
	struct raw_pair pair;
	uint32_t cursor = 0;
	bool is_first = true;

	PUT(w, ",\"metadata\":{");
	while (hr_raw_pair_next(ev, &cursor, &pair)) {
		if (!is_first)
			PUT(w, ",");
		is_first = false;
		put_string(w, pair.key, pair.key_is_escaped);
		PUT(w, ":");
		put_value(w, &pair);
	}
	PUT(w, "}");
}

static inline void put_timestamp(struct writer *w, const struct hr_event *ev)
{
	char iso[HR_TIME_ISO_BYTES];

	PUT(w, ",\"timestamp\":");
	if (ev->time_form == HR_TIME_TEXT) {
		put_text(w, ev->time_text);
	} else if (ev->time_form == HR_TIME_MILLIS) {
		put_integer(w, ev->time_ms);
	} else {
		hr_time_iso(ev->time_ms, iso);
		put_text(w, (struct hr_str){ (const uint8_t *)iso, sizeof(iso) });
	}
}

uint32_t hr_event_render(const struct hr_event *ev, uint8_t *out, uint32_t max)
{
	struct writer w = { out, out + max };
	char sql[HR_TIME_SQL_BYTES];

	PUT(&w, "{\"event_id\":");
	if (ev->id.n != 0)
		put_text(&w, ev->id);
	else
		PUT(&w, "null");
	PUT(&w, ",\"user_id\":");
	put_text(&w, ev->user);
	PUT(&w, ",\"event_type\":");
	put_text(&w, ev->type);
	put_metadata(&w, ev);
	put_timestamp(&w, ev);
	PUT(&w, ",\"event_time\":\"");
	hr_time_sql(ev->time_ms, sql);
	put(&w, sql, sizeof(sql));
	PUT(&w, "\"}");
	return w.at == NULL ? 0 : (uint32_t)(w.at - out);
}
