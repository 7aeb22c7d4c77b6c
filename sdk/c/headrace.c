/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * See headrace.h for what this promises, docs/wire-format.md for the bytes. One
 * file, so that it can be copied; from the top: results, bytes, hashes, checks,
 * protobuf, JSON, encoder, then batches, queue, network, sender, and the calls.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sendmmsg */
#endif

#include "headrace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the loads and stores below are plain copies; a big-endian host needs swaps"
#endif

#define WIRE_VERSION 1
#define KIND_DATA 1
#define TO_APPLIANCE 0
#define SUITE_SIPHASH 1

#define USER_MAX 128
#define TYPE_MAX 64
#define EVENT_ID_MAX 64
#define PAIRS_MAX 64
#define PAIR_KEY_MAX 64
#define PRODUCT_MAX 64
#define CATEGORY_MAX 64
#define TIME_MS_MAX 253402300799999 /* 9999-12-31T23:59:59.999Z */
#define NUMBER_MAX 1000             /* characters */
#define QUANTITY_DIGITS 15          /* price and quantity are below 10^15 in size */

/* ---- results ---- */

static const struct {
	const char *label, *text;
} results[HEADRACE_RESULT_COUNT] = {
#define HEADRACE_RESULT(name, label, sentence) { label, sentence },
	HEADRACE_RESULTS(HEADRACE_RESULT)
#undef HEADRACE_RESULT
};

const char *headrace_result_label(int result)
{
	return result >= 0 && result < HEADRACE_RESULT_COUNT ? results[result].label
							     : "unknown";
}

const char *headrace_result_text(int result)
{
	return result >= 0 && result < HEADRACE_RESULT_COUNT ? results[result].text
							     : "no such result";
}

/* ---- bytes ---- */

static inline uint32_t load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* memcpy for texts of a few bytes: a call to the real one costs as much as all
 * the rest of a pair. Reads and writes nothing outside [0, n). */
static inline uint8_t *put_bytes(uint8_t *to, const void *from, size_t n)
{
	const uint8_t *p = from;

	if (n > 16) {
		memcpy(to, p, n);
	} else if (n >= 8) {
		uint64_t low = load64(p), high = load64(p + n - 8);

		store64(to, low);
		store64(to + n - 8, high);
	} else if (n >= 4) {
		uint32_t low = load32(p), high = load32(p + n - 4);

		store32(to, low);
		store32(to + n - 4, high);
	} else if (n > 0) {
		to[0] = p[0];
		to[n / 2] = p[n / 2];
		to[n - 1] = p[n - 1];
	}
	return to + n;
}

struct headrace_slice headrace_str(const char *text)
{
	struct headrace_slice s = { text, text == NULL ? 0 : strlen(text) };

	return s;
}

static inline bool str_is(struct headrace_slice s, const char *literal, size_t n)
{
	return s.n == n && memcmp(s.p, literal, n) == 0;
}
#define STR_IS(s, literal) str_is((s), (literal), sizeof(literal) - 1)

struct headrace_pair headrace_text(const char *key, const char *text)
{
	struct headrace_pair pair = { .key = headrace_str(key),
				      .text = headrace_str(text),
				      .form = HEADRACE_TEXT };

	return pair;
}

struct headrace_pair headrace_integer(const char *key, int64_t integer)
{
	struct headrace_pair pair = { .key = headrace_str(key),
				      .integer = integer,
				      .form = HEADRACE_INTEGER };

	return pair;
}

struct headrace_pair headrace_number(const char *key, const char *decimal)
{
	struct headrace_pair pair = { .key = headrace_str(key),
				      .text = headrace_str(decimal),
				      .form = HEADRACE_NUMBER };

	return pair;
}

struct headrace_pair headrace_bool(const char *key, bool yes)
{
	struct headrace_pair pair = { .key = headrace_str(key),
				      .form = yes ? HEADRACE_TRUE : HEADRACE_FALSE };

	return pair;
}

/* ---- hashes ---- */

struct siphash {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

static inline void sip_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct siphash *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static inline uint64_t sip_close(struct siphash *s)
{
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* SipHash-2-4 with 128-bit output (Aumasson and Bernstein, 2012). */
static void siphash128(const uint8_t key[16], const uint8_t *p, size_t n,
		       uint8_t out[16])
{
	const uint64_t k0 = load64(key), k1 = load64(key + 8);
	struct siphash s = {
		k0 ^ 0x736f6d6570736575u,
		k1 ^ 0x646f72616e646f6du ^ 0xee,
		k0 ^ 0x6c7967656e657261u,
		k1 ^ 0x7465646279746573u,
	};
	uint64_t last = (uint64_t)n << 56;
	const size_t words = n / 8;

	for (size_t i = 0; i < words; i++)
		sip_word(&s, load64(p + 8 * i));
	for (size_t i = 0; i < n % 8; i++)
		last |= (uint64_t)p[8 * words + i] << (8 * i);
	sip_word(&s, last);

	s.v2 ^= 0xee;
	store64(out, sip_close(&s));
	s.v1 ^= 0xdd;
	store64(out + 8, sip_close(&s));
}

void headrace_stream_key(const uint8_t write_key[HEADRACE_KEY_BYTES], uint64_t birth,
			 uint64_t random, uint8_t out[HEADRACE_KEY_BYTES])
{
	static const char label[] = "headrace stream 1";
	uint8_t message[sizeof(label) - 1 + 16];

	memcpy(message, label, sizeof(label) - 1);
	store64(message + sizeof(label) - 1, birth);
	store64(message + sizeof(label) - 1 + 8, random);
	siphash128(write_key, message, sizeof(message), out);
}

/* MurmurHash2 with the seed of Kafka's Java client. */
static uint32_t murmur2(const uint8_t *p, size_t n)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t h = 0x9747b28cu ^ (uint32_t)n;

	for (; n >= 4; p += 4, n -= 4) {
		uint32_t k = load32(p) * m;

		k ^= k >> 24;
		h = h * m ^ k * m;
	}
	if (n >= 3)
		h ^= (uint32_t)p[2] << 16;
	if (n >= 2)
		h ^= (uint32_t)p[1] << 8;
	if (n >= 1) {
		h ^= p[0];
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	return h ^ h >> 15;
}

uint32_t headrace_shard(const char *user, size_t n, uint32_t n_shards)
{
	return (murmur2((const uint8_t *)user, n) & 0x7fffffff) % n_shards;
}

/* ---- checks ---- */

#define ONES 0x0101010101010101u
#define HIGH 0x8080808080808080u

/* Some byte of the word is 128 or more, below 32, or 127. */
static inline bool word_is_odd(uint64_t w)
{
	const uint64_t del = w ^ (ONES * 0x7f);

	return ((w | (w - ONES * 0x20) | (del - ONES)) & HIGH) != 0;
}

/* Every byte is printable ASCII: nearly all texts, so it is asked first. */
static inline bool is_plain(const char *p, size_t n)
{
	if (n >= 8) {
		size_t i;

		for (i = 0; i + 8 < n; i += 8)
			if (word_is_odd(load64(p + i)))
				return false;
		return !word_is_odd(load64(p + n - 8));
	}
	if (n >= 4)
		return !word_is_odd(load32(p) | (uint64_t)load32(p + n - 4) << 32);
	if (n == 0)
		return true;
	return !word_is_odd((ONES * 0x20) << 24 | (uint64_t)(uint8_t)p[n - 1] << 16 |
			    (uint64_t)(uint8_t)p[n / 2] << 8 | (uint8_t)p[0]);
}

enum text_kind {
	PLAIN,   /* printable ASCII */
	CLEAN,   /* UTF-8 without control characters */
	CONTROL, /* UTF-8 with some */
	NOT_UTF8,
};

/* The bytes of the character at p as its first byte announces them, 0 if none. */
static unsigned int utf8_bytes(const uint8_t *p, size_t left)
{
	const uint8_t c = p[0];
	unsigned int n = c < 0x80   ? 1
			 : c < 0xc2 ? 0
			 : c < 0xe0 ? 2
			 : c < 0xf0 ? 3
			 : c < 0xf5 ? 4
				    : 0;

	if (n == 0 || n > left)
		return 0;
	for (unsigned int i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what lies above U+10FFFF. */
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
	    (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static enum text_kind text_kind(struct headrace_slice s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	enum text_kind kind = CLEAN;

	if (is_plain(s.p, s.n))
		return PLAIN;
	for (size_t i = 0; i < s.n;) {
		unsigned int n = utf8_bytes(p + i, s.n - i);

		if (n == 0)
			return NOT_UTF8;
		if (n == 1 && (p[i] < 0x20 || p[i] == 0x7f))
			kind = CONTROL;
		i += n;
	}
	return kind;
}

/* The whole text is what RFC 8259 calls a number. */
static bool is_number(struct headrace_slice s)
{
	const char *p = s.p, *end = p + s.n;
	const char *digits;

	if (p < end && *p == '-')
		p++;
	digits = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	if (p == digits || (*digits == '0' && p - digits > 1))
		return false;
	if (p < end && *p == '.') {
		digits = ++p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (p == digits)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		digits = p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (p == digits)
			return false;
	}
	return p == end;
}

/* A number, below 10^QUANTITY_DIGITS in size: where its first digit that is not 0
 * stands, counted from the point (123.4 has it at 3, 0.05 at -1), and the exponent. */
static bool is_in_range(struct headrace_slice s)
{
	const char *p = s.p, *end = p + s.n;
	bool has_digit = false, behind_point = false, negative = false;
	long place = 0, exponent = 0;

	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.')
			behind_point = true;
		else if (*p >= '1' && *p <= '9')
			has_digit = true;
		if (*p >= '0' && *p <= '9') {
			if (!behind_point && has_digit)
				place++;
			else if (behind_point && !has_digit)
				place--;
		}
	}
	for (; p < end; p++) {
		negative = negative || *p == '-';
		if (*p >= '0' && *p <= '9' && exponent < 100000)
			exponent = exponent * 10 + (*p - '0');
	}
	return !has_digit ||
	       place + (negative ? -exponent : exponent) <= QUANTITY_DIGITS;
}

static bool take_digits(const char **p, const char *end, int n, int *out)
{
	int v = 0;

	if (end - *p < n)
		return false;
	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		v = v * 10 + (**p - '0');
	}
	*out = v;
	return true;
}

static bool take_char(const char **p, const char *end, const char *any_of)
{
	if (*p == end || **p == '\0' || strchr(any_of, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01, for years from 0 on. (Hinnant's days_from_civil.) */
static int64_t days_since_1970(int year, int month, int day)
{
	const int y = month <= 2 ? year - 1 : year;
	const int era = (y >= 0 ? y : y - 399) / 400;
	const int of_era = y - era * 400;
	const int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

/* "Z", "+01:00", "+0100", "+01" or nothing. */
static bool take_zone(const char **p, const char *end, int *minutes)
{
	int sign, hours, rest = 0;

	*minutes = 0;
	if (*p == end || take_char(p, end, "Zz"))
		return true;
	sign = **p == '-' ? -1 : 1;
	if (!take_char(p, end, "+-") || !take_digits(p, end, 2, &hours))
		return false;
	if (*p < end) {
		(void)take_char(p, end, ":");
		if (!take_digits(p, end, 2, &rest))
			return false;
	}
	*minutes = sign * (hours * 60 + rest);
	return hours <= 23 && rest <= 59;
}

/* "2024-01-15T10:30:00", with a fraction and a zone or without. */
static bool is_time(struct headrace_slice s)
{
	const char *p = s.p, *end = p + s.n;
	int year, month, day, hour, minute, second, zone, ms = 0;
	int64_t t;

	if (!take_digits(&p, end, 4, &year) || !take_char(&p, end, "-") ||
	    !take_digits(&p, end, 2, &month) || !take_char(&p, end, "-") ||
	    !take_digits(&p, end, 2, &day) || !take_char(&p, end, "Tt ") ||
	    !take_digits(&p, end, 2, &hour) || !take_char(&p, end, ":") ||
	    !take_digits(&p, end, 2, &minute) || !take_char(&p, end, ":") ||
	    !take_digits(&p, end, 2, &second))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
	    hour > 23 || minute > 59 || second > 59)
		return false;
	if (take_char(&p, end, ".,")) {
		const char *digits = p;

		for (int scale = 100; p < end && *p >= '0' && *p <= '9'; p++) {
			ms += (*p - '0') * scale;
			scale /= 10;
		}
		if (p == digits)
			return false;
	}
	if (!take_zone(&p, end, &zone) || p != end)
		return false;
	t = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute - zone) *
		    60000 +
	    second * 1000 + ms;
	return t >= 0 && t <= TIME_MS_MAX;
}

/* 1 to max bytes (0: from) of UTF-8 without control characters. */
static bool is_name(struct headrace_slice s, size_t max)
{
	return s.n >= 1 && s.n <= max && text_kind(s) <= CLEAN;
}

static bool is_quantity(const struct headrace_pair *pair)
{
	const int64_t limit = 1000000000000000; /* 10^QUANTITY_DIGITS */

	if (pair->form == HEADRACE_INTEGER)
		return pair->integer > -limit && pair->integer < limit;
	return pair->form == HEADRACE_NUMBER && is_in_range(pair->text);
}

static int check_pair(const struct headrace_pair *pair)
{
	if (!is_name(pair->key, PAIR_KEY_MAX))
		return HEADRACE_BAD_KEY;
	if ((unsigned int)pair->form > HEADRACE_NULL)
		return HEADRACE_BAD_TEXT;
	if (pair->text.n > HEADRACE_DATAGRAM_MAX) /* before anybody reads it all */
		return HEADRACE_TOO_LARGE;
	if (pair->form == HEADRACE_TEXT && text_kind(pair->text) == NOT_UTF8)
		return HEADRACE_BAD_TEXT;
	if (pair->form == HEADRACE_NUMBER &&
	    (pair->text.n > NUMBER_MAX || !is_number(pair->text)))
		return HEADRACE_BAD_NUMBER;
	if (STR_IS(pair->key, "product_id") &&
	    (pair->form != HEADRACE_TEXT || !is_name(pair->text, PRODUCT_MAX)))
		return HEADRACE_BAD_PRODUCT;
	if (STR_IS(pair->key, "category") &&
	    (pair->form != HEADRACE_TEXT || !is_name(pair->text, CATEGORY_MAX)))
		return HEADRACE_BAD_CATEGORY;
	if ((STR_IS(pair->key, "price") || STR_IS(pair->key, "quantity")) &&
	    !is_quantity(pair))
		return HEADRACE_BAD_NUMBER;
	return HEADRACE_OK;
}

static bool key_is_among(const struct headrace_pair *pairs, size_t n,
			 struct headrace_slice key)
{
	for (size_t i = 0; i < n; i++)
		if (pairs[i].key.n == key.n && pairs[i].key.p[0] == key.p[0] &&
		    memcmp(pairs[i].key.p, key.p, key.n) == 0)
			return true;
	return false;
}

static int check_time(const struct headrace_event *ev)
{
	switch (ev->time_form) {
	case HEADRACE_TIME_NONE:
		return HEADRACE_OK;
	case HEADRACE_TIME_MILLIS:
		return ev->time_ms >= 0 && ev->time_ms <= TIME_MS_MAX
			       ? HEADRACE_OK
			       : HEADRACE_BAD_TIME;
	case HEADRACE_TIME_TEXT:
		return is_time(ev->time_text) ? HEADRACE_OK : HEADRACE_BAD_TIME;
	default:
		return HEADRACE_BAD_TIME;
	}
}

static int check_event(const struct headrace_event *ev)
{
	int r;

	if (!is_name(ev->user, USER_MAX))
		return HEADRACE_BAD_USER;
	if (!is_name(ev->type, TYPE_MAX))
		return HEADRACE_BAD_TYPE;
	if (ev->id.n > 0 && !is_name(ev->id, EVENT_ID_MAX))
		return HEADRACE_BAD_EVENT_ID;
	r = check_time(ev);
	if (r != HEADRACE_OK)
		return r;
	if (ev->n_pairs > PAIRS_MAX)
		return HEADRACE_TOO_MANY_PAIRS;
	for (size_t i = 0; i < ev->n_pairs; i++) {
		r = check_pair(&ev->pairs[i]);
		if (r != HEADRACE_OK)
			return r;
		if (key_is_among(ev->pairs, i, ev->pairs[i].key))
			return HEADRACE_DUPLICATE_KEY;
	}
	return HEADRACE_OK;
}

/* ---- protobuf: docs/headrace.proto, fields in the order of their numbers ---- */

#define FIELD(number, type) ((uint8_t)((number) << 3 | (type)))
#define VARINT 0
#define BYTES 2

#define BATCH_EVENTS FIELD(1, BYTES)
#define EVENT_USER FIELD(1, BYTES)
#define EVENT_TYPE FIELD(2, BYTES)
#define EVENT_ID FIELD(3, BYTES)
#define EVENT_TIME_MS FIELD(4, VARINT)
#define EVENT_TIME_TEXT FIELD(5, BYTES)
#define EVENT_PAIRS FIELD(6, BYTES)
#define PAIR_KEY FIELD(1, BYTES)
#define PAIR_TEXT FIELD(2, BYTES)
#define PAIR_INTEGER FIELD(3, VARINT)
#define PAIR_NUMBER FIELD(4, BYTES)
#define PAIR_BOOL FIELD(5, VARINT)
#define PAIR_NULL FIELD(6, VARINT)

static inline size_t varint_bytes(uint64_t v)
{
	size_t n = 1;

	while ((v >>= 7) != 0)
		n++;
	return n;
}

static inline uint8_t *put_varint(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

static inline size_t pb_text_bytes(size_t n)
{
	return 1 + varint_bytes(n) + n;
}

static inline uint8_t *pb_put_text(uint8_t *to, uint8_t field, struct headrace_slice s)
{
	*to++ = field;
	to = put_varint(to, s.n);
	return put_bytes(to, s.p, s.n);
}

static size_t pb_pair_bytes(const struct headrace_pair *pair)
{
	const size_t n = pb_text_bytes(pair->key.n);

	switch (pair->form) {
	case HEADRACE_TEXT:
	case HEADRACE_NUMBER:
		return n + pb_text_bytes(pair->text.n);
	case HEADRACE_INTEGER:
		return n + 1 + varint_bytes((uint64_t)pair->integer);
	default:
		return n + 2;
	}
}

static uint8_t *pb_put_pair(uint8_t *to, const struct headrace_pair *pair)
{
	to = pb_put_text(to, PAIR_KEY, pair->key);
	switch (pair->form) {
	case HEADRACE_TEXT:
		return pb_put_text(to, PAIR_TEXT, pair->text);
	case HEADRACE_NUMBER:
		return pb_put_text(to, PAIR_NUMBER, pair->text);
	case HEADRACE_INTEGER:
		*to++ = PAIR_INTEGER;
		return put_varint(to, (uint64_t)pair->integer);
	case HEADRACE_NULL:
		*to++ = PAIR_NULL;
		*to++ = 1;
		return to;
	default:
		*to++ = PAIR_BOOL;
		*to++ = pair->form == HEADRACE_TRUE;
		return to;
	}
}

static size_t pb_event_bytes(const struct headrace_event *ev)
{
	size_t n = pb_text_bytes(ev->user.n) + pb_text_bytes(ev->type.n);

	if (ev->id.n > 0)
		n += pb_text_bytes(ev->id.n);
	if (ev->time_form == HEADRACE_TIME_MILLIS)
		n += 1 + varint_bytes((uint64_t)ev->time_ms);
	else if (ev->time_form == HEADRACE_TIME_TEXT)
		n += pb_text_bytes(ev->time_text.n);
	for (size_t i = 0; i < ev->n_pairs; i++)
		n += pb_text_bytes(pb_pair_bytes(&ev->pairs[i]));
	return n;
}

static uint8_t *pb_put_event(uint8_t *to, const struct headrace_event *ev)
{
	to = pb_put_text(to, EVENT_USER, ev->user);
	to = pb_put_text(to, EVENT_TYPE, ev->type);
	if (ev->id.n > 0)
		to = pb_put_text(to, EVENT_ID, ev->id);
	if (ev->time_form == HEADRACE_TIME_MILLIS) {
		*to++ = EVENT_TIME_MS;
		to = put_varint(to, (uint64_t)ev->time_ms);
	} else if (ev->time_form == HEADRACE_TIME_TEXT) {
		to = pb_put_text(to, EVENT_TIME_TEXT, ev->time_text);
	}
	for (size_t i = 0; i < ev->n_pairs; i++) {
		*to++ = EVENT_PAIRS;
		to = put_varint(to, pb_pair_bytes(&ev->pairs[i]));
		to = pb_put_pair(to, &ev->pairs[i]);
	}
	return to;
}

/* ---- JSON: one object a line ---- */

#define JSON_USER "{\"user_id\":"
#define JSON_TYPE ",\"event_type\":"
#define JSON_ID ",\"event_id\":"
#define JSON_TIME ",\"timestamp\":"
#define JSON_PAIRS ",\"metadata\":{"
#define LENGTH(literal) (sizeof(literal) - 1)
#define PUT(to, literal) put_bytes((to), (literal), LENGTH(literal))

/* 1: as it is; 2: a backslash in front; 6: \u00XX. */
static inline size_t json_char_bytes(uint8_t c)
{
	return c == '"' || c == '\\' ? 2 : c < 0x20 || c == 0x7f ? 6 : 1;
}

static size_t json_text_bytes(struct headrace_slice s)
{
	size_t n = 2;

	for (size_t i = 0; i < s.n; i++)
		n += json_char_bytes((uint8_t)s.p[i]);
	return n;
}

static uint8_t *json_put_text(uint8_t *to, struct headrace_slice s)
{
	static const char hex[] = "0123456789abcdef";

	*to++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		const uint8_t c = (uint8_t)s.p[i];
		const size_t n = json_char_bytes(c);

		if (n == 6) {
			to = PUT(to, "\\u00");
			*to++ = (uint8_t)hex[c >> 4];
			*to++ = (uint8_t)hex[c & 15];
			continue;
		}
		if (n == 2)
			*to++ = '\\';
		*to++ = c;
	}
	*to++ = '"';
	return to;
}

static size_t decimal(int64_t v, char out[20])
{
	uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	char digits[20];
	size_t n = 0, at = 0;

	do
		digits[n++] = (char)('0' + rest % 10);
	while ((rest /= 10) != 0);
	if (v < 0)
		out[at++] = '-';
	while (n > 0)
		out[at++] = digits[--n];
	return at;
}

/* What stands behind the colon, as characters that need no escapes; TEXT does. */
static struct headrace_slice json_word(const struct headrace_pair *pair,
				       char digits[20])
{
	struct headrace_slice word = pair->text;

	switch (pair->form) {
	case HEADRACE_INTEGER:
		word.p = digits;
		word.n = decimal(pair->integer, digits);
		return word;
	case HEADRACE_TRUE:
		return headrace_str("true");
	case HEADRACE_FALSE:
		return headrace_str("false");
	case HEADRACE_NULL:
		return headrace_str("null");
	default:
		return word;
	}
}

static size_t json_pair_bytes(const struct headrace_pair *pair)
{
	char digits[20];

	return json_text_bytes(pair->key) + 1 +
	       (pair->form == HEADRACE_TEXT ? json_text_bytes(pair->text)
					    : json_word(pair, digits).n);
}

static uint8_t *json_put_pair(uint8_t *to, const struct headrace_pair *pair)
{
	char digits[20];
	struct headrace_slice word;

	to = json_put_text(to, pair->key);
	*to++ = ':';
	if (pair->form == HEADRACE_TEXT)
		return json_put_text(to, pair->text);
	word = json_word(pair, digits);
	return put_bytes(to, word.p, word.n);
}

/* The newline behind the object included. */
static size_t json_event_bytes(const struct headrace_event *ev)
{
	char digits[20];
	size_t n = LENGTH(JSON_USER) + json_text_bytes(ev->user) + LENGTH(JSON_TYPE) +
		   json_text_bytes(ev->type) + LENGTH("}\n");

	if (ev->id.n > 0)
		n += LENGTH(JSON_ID) + json_text_bytes(ev->id);
	if (ev->time_form == HEADRACE_TIME_MILLIS)
		n += LENGTH(JSON_TIME) + decimal(ev->time_ms, digits);
	else if (ev->time_form == HEADRACE_TIME_TEXT)
		n += LENGTH(JSON_TIME) + json_text_bytes(ev->time_text);
	if (ev->n_pairs > 0)
		n += LENGTH(JSON_PAIRS) + ev->n_pairs; /* commas, and one bracket */
	for (size_t i = 0; i < ev->n_pairs; i++)
		n += json_pair_bytes(&ev->pairs[i]);
	return n;
}

static uint8_t *json_put_event(uint8_t *to, const struct headrace_event *ev)
{
	char digits[20];

	to = json_put_text(PUT(to, JSON_USER), ev->user);
	to = json_put_text(PUT(to, JSON_TYPE), ev->type);
	if (ev->id.n > 0)
		to = json_put_text(PUT(to, JSON_ID), ev->id);
	if (ev->time_form == HEADRACE_TIME_MILLIS)
		to = put_bytes(PUT(to, JSON_TIME), digits,
			       decimal(ev->time_ms, digits));
	else if (ev->time_form == HEADRACE_TIME_TEXT)
		to = json_put_text(PUT(to, JSON_TIME), ev->time_text);
	if (ev->n_pairs > 0) {
		to = PUT(to, JSON_PAIRS);
		for (size_t i = 0; i < ev->n_pairs; i++) {
			if (i > 0)
				*to++ = ',';
			to = json_put_pair(to, &ev->pairs[i]);
		}
		*to++ = '}';
	}
	return PUT(to, "}\n");
}

/* ---- encoder ---- */

void headrace_encoder_reset(struct headrace_encoder *e)
{
	e->end = HEADRACE_HEADER_BYTES;
	e->n_events = 0;
}

int headrace_encoder_init(struct headrace_encoder *e, enum headrace_codec codec,
			  void *buffer, size_t datagram_bytes)
{
	if ((codec != HEADRACE_PROTOBUF && codec != HEADRACE_JSON) ||
	    datagram_bytes < HEADRACE_DATAGRAM_MIN ||
	    datagram_bytes > HEADRACE_DATAGRAM_MAX)
		return HEADRACE_BAD_CONFIG;
	e->buffer = buffer;
	e->limit = (uint32_t)datagram_bytes - HEADRACE_TAG_BYTES;
	e->codec = codec;
	headrace_encoder_reset(e);
	return HEADRACE_OK;
}

/* Does an event of so many encoded bytes go in, now or into an empty datagram? */
static inline int room_for(const struct headrace_encoder *e, size_t bytes)
{
	if (bytes > e->limit - HEADRACE_HEADER_BYTES)
		return HEADRACE_TOO_LARGE;
	if (bytes > e->limit - e->end || e->n_events == HEADRACE_EVENTS_MAX)
		return HEADRACE_BATCH_FULL;
	return HEADRACE_OK;
}

/* The event has been checked. */
static int append_checked(struct headrace_encoder *e, const struct headrace_event *ev)
{
	uint8_t *to = e->buffer + e->end;
	size_t n;
	int r;

	if (e->codec == HEADRACE_PROTOBUF) {
		n = pb_event_bytes(ev);
		r = room_for(e, pb_text_bytes(n));
		if (r != HEADRACE_OK)
			return r;
		*to++ = BATCH_EVENTS;
		to = pb_put_event(put_varint(to, n), ev);
	} else {
		r = room_for(e, json_event_bytes(ev));
		if (r != HEADRACE_OK)
			return r;
		to = json_put_event(to, ev);
	}
	e->end = (uint32_t)(to - e->buffer);
	e->n_events++;
	return HEADRACE_OK;
}

int headrace_encoder_append(struct headrace_encoder *e,
			    const struct headrace_event *event)
{
	const int r = check_event(event);

	return r == HEADRACE_OK ? append_checked(e, event) : r;
}

size_t headrace_encoder_finish(struct headrace_encoder *e,
			       const struct headrace_datagram *d)
{
	uint8_t *p = e->buffer;

	if (e->n_events == 0)
		return 0;
	memcpy(p, "HRB", 3);
	p[3] = WIRE_VERSION;
	p[4] = KIND_DATA;
	p[5] = TO_APPLIANCE;
	p[6] = SUITE_SIPHASH;
	p[7] = (uint8_t)e->codec;
	store16(p + 8, 0);
	store16(p + 10, d->shard);
	store16(p + 12, d->n_shards);
	store16(p + 14, (uint16_t)e->n_events);
	store32(p + 16, d->generation);
	store32(p + 20, d->key_id);
	store64(p + 24, d->birth);
	store64(p + 32, d->random);
	store64(p + 40, d->sequence);
	store32(p + 48, d->attempt);
	store32(p + 52, d->client_drops);
	store64(p + 56, d->sent_us);
	store64(p + 64, d->token);
	store16(p + 72, (uint16_t)(e->end - HEADRACE_HEADER_BYTES));
	memset(p + 74, 0, 6);
	siphash128(d->stream_key, p, e->end, p + e->end);
	return e->end + HEADRACE_TAG_BYTES;
}

/* ---- batches and streams ---- */

#define BURST 64   /* datagrams to one sendmmsg */
#define WAKE_AT 16 /* full datagrams that wake a sender before flush_ms */
#define TARGETS_MAX 256
#define CACHE_LINE 64
#define NEVER UINT64_MAX

/* A datagram on its way: filled by trackers under their shard's lock, from seal()
 * on the sender's alone. What identifies it is bound when it is sealed. */
struct batch {
	struct batch *next;
	struct headrace_encoder encoder;
	uint64_t opened_us; /* monotonic: of its first event */
	uint64_t stream_no, birth, random;
	uint64_t sequence;
	uint32_t shard;
	uint32_t datagram_bytes; /* once it is finished */
	uint8_t buffer[];
};

struct shard {
	pthread_mutex_t lock;
	struct batch *open; /* NULL: none */
	uint64_t next_sequence;
	uint64_t next_id;
	uint64_t events_tracked;
} __attribute__((aligned(CACHE_LINE)));

/* Written with all shards locked, read with any of them. */
struct stream {
	uint64_t no; /* 1, 2, ... of this handle */
	uint64_t birth, random;
	uint64_t opened_us; /* monotonic */
	char id_prefix[13];
};

struct target {
	struct sockaddr_storage address;
	socklen_t address_bytes;
	int fd;
};

/*
 * Locks, in the order of taking: handles_lock, shards by number, queue_lock. The
 * sender holds none of them in a system call of the network.
 */
struct headrace {
	/* Set by open, then only read. */
	uint8_t write_key[HEADRACE_KEY_BYTES];
	uint32_t key_id, n_shards, generation;
	enum headrace_codec codec;
	uint32_t datagram_bytes;
	uint64_t flush_us, retry_us, max_age_us;
	struct target *targets;
	uint32_t n_targets;
	uint8_t *memory; /* all batches */
	uint32_t n_batches;
	size_t batch_bytes;
	struct shard *shards;
	struct headrace *next; /* under handles_lock */

	struct stream stream;
	uint8_t seed[16];   /* random, for the streams' random bits */
	uint64_t n_streams; /* of this handle in all its processes */

	/* Any thread, atomically. */
	uint64_t refused[HEADRACE_RESULT_COUNT];
	uint64_t events_dropped;
	bool idle; /* nothing is open: who opens a batch must wake the sender */

	/* The sender writes, anyone reads, atomically. */
	uint64_t events_sent, events_failed;
	uint64_t datagrams_sent, datagrams_failed;
	uint64_t bytes_sent, send_retries, send_unreachable;
	int last_send_errno;

	/* The sender's own. */
	uint64_t sent_stream_no;
	uint8_t sent_stream_key[HEADRACE_KEY_BYTES];
	uint64_t drops_reported, drops_before_stream;

	/* Under queue_lock. */
	pthread_mutex_t queue_lock __attribute__((aligned(CACHE_LINE)));
	pthread_cond_t wake; /* the sender waits */
	pthread_cond_t done; /* flush waits */
	struct batch *free;
	struct batch *first, *last; /* sealed, oldest first */
	uint32_t n_sealed, wake_at;
	uint64_t n_pushed, n_done; /* batches, ever */
	bool poked, stopping;
	uint64_t stop_retry_until_us;
	bool sender_is_up, sockets_are_parents;
	pthread_t sender;
};

static uint64_t clock_us(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static const char base32[] = "0123456789abcdefghijklmnopqrstuv";

/* The stream's 64 random bits, then the number of the event and its shard: short,
 * and no two of a stream alike. */
static struct headrace_slice make_id(const struct headrace *h, struct shard *shard,
				     uint32_t shard_no, char out[26])
{
	uint64_t v = shard->next_id++ * h->n_shards + shard_no;
	char digits[13];
	size_t n = 0;
	struct headrace_slice id = { out, 0 };

	do
		digits[n++] = base32[v & 31];
	while ((v >>= 5) != 0);
	memcpy(out, h->stream.id_prefix, sizeof(h->stream.id_prefix));
	id.n = sizeof(h->stream.id_prefix);
	while (n > 0)
		out[id.n++] = digits[--n];
	return id;
}

/* Begin a stream for what is sealed from now on. All shards are locked. Its random
 * bits are a keyed hash of what no two streams share, so that neither a rotation
 * nor a forked child in a sandbox has to ask the system for more. */
static void stream_begin(struct headrace *h)
{
	uint8_t message[24], hash[16];
	uint64_t random;

	h->stream.birth = clock_us(CLOCK_REALTIME);
	store64(message, ++h->n_streams);
	store64(message + 8, (uint64_t)getpid());
	store64(message + 16, h->stream.birth);
	siphash128(h->seed, message, sizeof(message), hash);
	random = load64(hash);
	h->stream.no++;
	h->stream.random = random;
	h->stream.opened_us = clock_us(CLOCK_MONOTONIC);
	for (size_t i = 0; i < sizeof(h->stream.id_prefix); i++)
		h->stream.id_prefix[i] = base32[random >> (i * 5) & 31];
	for (uint32_t i = 0; i < h->n_shards; i++)
		h->shards[i].next_sequence = 1;
}

/* Held for some 50 ns: a waiter spins before it sleeps. (Without: four trackers on
 * four CPUs took 620 ns a call, most of it in futex calls.) */
static void lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t adaptive;

	pthread_mutexattr_init(&adaptive);
	pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &adaptive);
	pthread_mutexattr_destroy(&adaptive);
}

static void lock_shards(struct headrace *h)
{
	for (uint32_t i = 0; i < h->n_shards; i++)
		pthread_mutex_lock(&h->shards[i].lock);
}

static void unlock_shards(struct headrace *h)
{
	for (uint32_t i = h->n_shards; i-- > 0;)
		pthread_mutex_unlock(&h->shards[i].lock);
}

/* Sequences restart with the stream, and the queue is first in, first out: all of
 * the old stream goes before anything of the new one. */
static void stream_rotate(struct headrace *h, uint64_t now_us)
{
	if (now_us - h->stream.opened_us < h->max_age_us)
		return;
	lock_shards(h);
	stream_begin(h);
	unlock_shards(h);
}

/* ---- queue ---- */

static int sender_start(struct headrace *h);

static struct batch *batch_take(struct headrace *h)
{
	struct batch *batch;

	pthread_mutex_lock(&h->queue_lock);
	batch = h->free;
	if (batch != NULL)
		h->free = batch->next;
	pthread_mutex_unlock(&h->queue_lock);
	return batch;
}

/* The queue is locked. In a forked child this is what starts the sender; where
 * that fails the next call tries again. */
static void sender_wake(struct headrace *h)
{
	h->poked = true;
	if (h->sender_is_up)
		pthread_cond_signal(&h->wake);
	else
		(void)sender_start(h);
}

/* Bind the open batch to stream and sequence and queue it. The shard is locked. */
static void seal(struct headrace *h, uint32_t shard_no)
{
	struct shard *shard = &h->shards[shard_no];
	struct batch *batch = shard->open;

	shard->open = NULL;
	batch->stream_no = h->stream.no;
	batch->birth = h->stream.birth;
	batch->random = h->stream.random;
	batch->sequence = shard->next_sequence++;
	batch->shard = shard_no;
	batch->next = NULL;

	pthread_mutex_lock(&h->queue_lock);
	if (h->first == NULL)
		h->first = batch;
	else
		h->last->next = batch;
	h->last = batch;
	h->n_pushed++;
	if (++h->n_sealed == h->wake_at)
		sender_wake(h);
	pthread_mutex_unlock(&h->queue_lock);
}

static bool has_events(const struct shard *shard)
{
	return shard->open != NULL && shard->open->encoder.n_events > 0;
}

/* Seal what has been open since before `until_us`. Returns when the oldest batch
 * still open was opened, or NEVER. */
static uint64_t seal_older(struct headrace *h, uint64_t until_us)
{
	uint64_t oldest_us = NEVER;

	for (uint32_t i = 0; i < h->n_shards; i++) {
		struct shard *shard = &h->shards[i];

		pthread_mutex_lock(&shard->lock);
		if (has_events(shard)) {
			if (shard->open->opened_us <= until_us)
				seal(h, i);
			else if (shard->open->opened_us < oldest_us)
				oldest_us = shard->open->opened_us;
		}
		pthread_mutex_unlock(&shard->lock);
	}
	return oldest_us;
}

/* The shard is locked. Sets *opened where the event is the first of its batch. */
static int shard_append(struct headrace *h, uint32_t shard_no,
			const struct headrace_event *ev, bool *opened)
{
	struct shard *shard = &h->shards[shard_no];
	int r;

	for (;;) {
		if (shard->open == NULL) {
			shard->open = batch_take(h);
			if (shard->open == NULL)
				return HEADRACE_QUEUE_FULL;
			headrace_encoder_reset(&shard->open->encoder);
		}
		r = append_checked(&shard->open->encoder, ev);
		if (r != HEADRACE_BATCH_FULL)
			break;
		seal(h, shard_no);
	}
	if (r == HEADRACE_OK) {
		shard->events_tracked++;
		*opened = shard->open->encoder.n_events == 1;
		if (*opened)
			shard->open->opened_us = clock_us(CLOCK_MONOTONIC);
	}
	return r;
}

/* ---- network ---- */

/* A connected socket says "port unreachable" and looks no route up per datagram.
 * It never fragments: what does not fit fails with EMSGSIZE. */
static int target_connect(struct target *t)
{
	const int family = t->address.ss_family;
	const int never = IP_PMTUDISC_DO;
	int e;

	t->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return errno;
	if ((family == AF_INET ? setsockopt(t->fd, IPPROTO_IP, IP_MTU_DISCOVER, &never,
					    sizeof(never))
			       : setsockopt(t->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
					    &never, sizeof(never))) == 0 &&
	    connect(t->fd, (const struct sockaddr *)&t->address, t->address_bytes) == 0)
		return 0;
	e = errno;
	close(t->fd);
	t->fd = -1;
	return e;
}

static void targets_close(struct headrace *h)
{
	for (uint32_t i = 0; i < h->n_targets; i++) {
		if (h->targets[i].fd >= 0)
			close(h->targets[i].fd);
		h->targets[i].fd = -1;
	}
}

/* What a forked child inherits is its parent's: it connects sockets of its own. */
static void targets_reconnect(struct headrace *h)
{
	targets_close(h);
	for (uint32_t i = 0; i < h->n_targets; i++)
		(void)target_connect(&h->targets[i]); /* fd -1: sends fail, counted */
}

static bool is_busy(int e)
{
	return e == EAGAIN || e == EWOULDBLOCK || e == ENOBUFS || e == ENOMEM;
}

/* Wait until the socket may take more: poll() for a full socket buffer, and for a
 * full device queue, which poll() does not see, a moment. */
static void wait_for_room(int fd, int e)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (e == EAGAIN || e == EWOULDBLOCK)
		(void)poll(&p, 1, 5);
	else
		(void)poll(NULL, 0, 1);
}

static void count_sent(struct headrace *h, const struct batch *batch)
{
	/* Pairs with headrace_stats(): what is sent was tracked before. */
	__atomic_fetch_add(&h->events_sent, batch->encoder.n_events, __ATOMIC_RELEASE);
	add(&h->bytes_sent, batch->datagram_bytes);
	add(&h->datagrams_sent, 1);
}

static void count_failed(struct headrace *h, const struct batch *batch, int e)
{
	__atomic_fetch_add(&h->events_failed, batch->encoder.n_events,
			   __ATOMIC_RELEASE);
	__atomic_store_n(&h->last_send_errno, e, __ATOMIC_RELAXED);
	add(&h->datagrams_failed, 1);
}

static uint64_t retry_until(struct headrace *h)
{
	uint64_t until = clock_us(CLOCK_MONOTONIC) + h->retry_us, stop;

	pthread_mutex_lock(&h->queue_lock);
	stop = h->stopping ? h->stop_retry_until_us : NEVER;
	pthread_mutex_unlock(&h->queue_lock);
	return until < stop ? until : stop;
}

/*
 * Hand over datagrams of one target, in order; whatever happens, each is counted
 * as sent or failed. An error belongs to the datagram the kernel stopped at,
 * except ECONNREFUSED: that is the answer to an earlier one, given once, and
 * nothing was tried.
 */
static void send_messages(struct headrace *h, int fd, struct mmsghdr *messages,
			  struct batch *const *batches, unsigned int n)
{
	uint64_t until_us = 0;
	unsigned int i = 0, refusals = 0;

	while (i < n) {
		int sent = sendmmsg(fd, messages + i, n - i, 0);
		int e = errno;

		if (sent > 0) {
			for (; sent > 0; sent--)
				count_sent(h, batches[i++]);
			until_us = 0;
			refusals = 0;
			continue;
		}
		if (e == EINTR)
			continue;
		if (e == ECONNREFUSED && refusals++ < 3) {
			add(&h->send_unreachable, 1);
			continue;
		}
		if (is_busy(e)) {
			if (until_us == 0)
				until_us = retry_until(h);
			if (clock_us(CLOCK_MONOTONIC) < until_us) {
				add(&h->send_retries, 1);
				wait_for_room(fd, e);
				continue;
			}
		}
		count_failed(h, batches[i++], e);
		until_us = 0;
		refusals = 0;
	}
}

/* ---- sender ---- */

/* Drops are told per stream. What was dropped but not yet told when a stream ended
 * is told by the next, so that none is told twice or never. */
static uint32_t drops_to_report(struct headrace *h)
{
	uint64_t drops;

	h->drops_reported = get(&h->events_dropped);
	drops = h->drops_reported - h->drops_before_stream;
	return drops < UINT32_MAX ? (uint32_t)drops : UINT32_MAX;
}

static void batch_finish(struct headrace *h, struct batch *batch)
{
	struct headrace_datagram d = {
		.key_id = h->key_id,
		.generation = h->generation,
		.birth = batch->birth,
		.random = batch->random,
		.sequence = batch->sequence,
		.shard = (uint16_t)batch->shard,
		.n_shards = (uint16_t)h->n_shards,
		.sent_us = clock_us(CLOCK_REALTIME),
	};

	if (h->sent_stream_no != batch->stream_no) {
		h->sent_stream_no = batch->stream_no;
		h->drops_before_stream = h->drops_reported;
		headrace_stream_key(h->write_key, batch->birth, batch->random,
				    h->sent_stream_key);
	}
	memcpy(d.stream_key, h->sent_stream_key, sizeof(d.stream_key));
	d.client_drops = drops_to_report(h);
	batch->datagram_bytes = (uint32_t)headrace_encoder_finish(&batch->encoder, &d);
}

static void send_burst(struct headrace *h, struct batch *const *batches, unsigned int n)
{
	struct mmsghdr messages[BURST];
	struct iovec bytes[BURST];
	struct batch *of_target[BURST];

	for (unsigned int i = 0; i < n; i++)
		batch_finish(h, batches[i]);
	for (uint32_t t = 0; t < h->n_targets; t++) {
		unsigned int m = 0;

		for (unsigned int i = 0; i < n; i++) {
			if (batches[i]->shard % h->n_targets != t)
				continue;
			bytes[m].iov_base = batches[i]->buffer;
			bytes[m].iov_len = batches[i]->datagram_bytes;
			memset(&messages[m], 0, sizeof(messages[m]));
			messages[m].msg_hdr.msg_iov = &bytes[m];
			messages[m].msg_hdr.msg_iovlen = 1;
			of_target[m++] = batches[i];
		}
		send_messages(h, h->targets[t].fd, messages, of_target, m);
	}
}

static unsigned int queue_take(struct headrace *h, struct batch **out)
{
	unsigned int n = 0;

	pthread_mutex_lock(&h->queue_lock);
	while (n < BURST && h->first != NULL) {
		out[n++] = h->first;
		h->first = h->first->next;
	}
	h->n_sealed -= n;
	pthread_mutex_unlock(&h->queue_lock);
	return n;
}

static void queue_give_back(struct headrace *h, struct batch *const *batches,
			    unsigned int n)
{
	pthread_mutex_lock(&h->queue_lock);
	for (unsigned int i = 0; i < n; i++) {
		batches[i]->next = h->free;
		h->free = batches[i];
	}
	h->n_done += n;
	pthread_cond_broadcast(&h->done);
	pthread_mutex_unlock(&h->queue_lock);
}

static struct timespec timespec_of(uint64_t us)
{
	struct timespec t = { (time_t)(us / 1000000u), (long)(us % 1000000u) * 1000 };

	return t;
}

/* Sleep until poked, told to stop, or it is time. Returns false to stop. */
static bool sender_wait(struct headrace *h, uint64_t until_us)
{
	const struct timespec until = timespec_of(until_us);
	bool go_on;

	pthread_mutex_lock(&h->queue_lock);
	while (!h->poked && !h->stopping) {
		if (until_us == NEVER)
			pthread_cond_wait(&h->wake, &h->queue_lock);
		else if (pthread_cond_timedwait(&h->wake, &h->queue_lock, &until) ==
			 ETIMEDOUT)
			break;
	}
	h->poked = false;
	go_on = !h->stopping;
	pthread_mutex_unlock(&h->queue_lock);
	return go_on;
}

static void sender_drain(struct headrace *h)
{
	struct batch *batches[BURST];
	unsigned int n;

	while ((n = queue_take(h, batches)) > 0) {
		send_burst(h, batches, n);
		queue_give_back(h, batches, n);
	}
}

/*
 * `idle` is raised before the shards are looked at: a batch opened after the look
 * finds it raised and wakes us, unless another batch was open already, whose
 * deadline comes earlier anyway. The shard's lock orders the two.
 */
static void *sender_run(void *arg)
{
	struct headrace *h = arg;
	uint64_t until_us;

	do {
		const uint64_t now_us = clock_us(CLOCK_MONOTONIC);
		uint64_t oldest_us;

		stream_rotate(h, now_us);
		__atomic_store_n(&h->idle, true, __ATOMIC_RELAXED);
		oldest_us = seal_older(h, now_us - h->flush_us);
		until_us = oldest_us == NEVER ? NEVER : oldest_us + h->flush_us;
		if (until_us != NEVER)
			__atomic_store_n(&h->idle, false, __ATOMIC_RELAXED);
		sender_drain(h);
	} while (sender_wait(h, until_us));

	seal_older(h, NEVER);
	sender_drain(h);
	return NULL;
}

/* The queue is locked, or nobody else has the handle yet. Signals stay with the
 * application's threads. Returns 0 or an errno. */
static int sender_start(struct headrace *h)
{
	sigset_t all, before;
	int e;

	if (h->sockets_are_parents)
		targets_reconnect(h);
	h->sockets_are_parents = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&h->sender, NULL, sender_run, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->sender_is_up = e == 0;
	return e;
}

/* ---- fork ---- */

static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static struct headrace *handles;

static void before_fork(void)
{
	pthread_mutex_lock(&handles_lock);
	for (struct headrace *h = handles; h != NULL; h = h->next) {
		lock_shards(h);
		pthread_mutex_lock(&h->queue_lock);
	}
}

static void unlock_all(void)
{
	for (struct headrace *h = handles; h != NULL; h = h->next) {
		pthread_mutex_unlock(&h->queue_lock);
		unlock_shards(h);
	}
	pthread_mutex_unlock(&handles_lock);
}

static void conditions_init(struct headrace *h)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&h->wake, &monotonic);
	pthread_cond_init(&h->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static struct batch *batch_at(struct headrace *h, uint32_t i)
{
	return (struct batch *)(void *)(h->memory + i * h->batch_bytes);
}

/* Everything free, nothing counted: at the start, and in a forked child, whose
 * parent sends what waited. */
static void queue_empty(struct headrace *h)
{
	h->free = h->first = NULL;
	for (uint32_t i = h->n_batches; i-- > 0;) {
		batch_at(h, i)->next = h->free;
		h->free = batch_at(h, i);
	}
	for (uint32_t i = 0; i < h->n_shards; i++) {
		h->shards[i].open = NULL;
		h->shards[i].events_tracked = 0;
	}
	h->n_sealed = 0;
	h->n_pushed = h->n_done = 0;
	h->poked = false;
	h->idle = true;
	h->sender_is_up = false;
	h->stream.no = h->sent_stream_no = 0;
	h->drops_reported = 0;
	h->events_dropped = h->events_sent = h->events_failed = 0;
	h->datagrams_sent = h->datagrams_failed = h->bytes_sent = 0;
	h->send_retries = h->send_unreachable = 0;
	h->last_send_errno = 0;
	memset(h->refused, 0, sizeof(h->refused));
}

static void child_after_fork(void)
{
	for (struct headrace *h = handles; h != NULL; h = h->next) {
		conditions_init(h); /* the parent's waiters are not ours */
		queue_empty(h);
		h->sockets_are_parents = true;
		stream_begin(h);
	}
	unlock_all();
}

static int fork_handlers_error;

static void fork_handlers(void)
{
	fork_handlers_error = pthread_atfork(before_fork, unlock_all, child_after_fork);
}

/* ---- opening and closing ---- */

/* A sentence for people, in the caller's memory. */
struct sentence {
	char *text;
	size_t bytes;
};

static int fail(struct sentence error, int result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct sentence error, int result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (error.bytes > 0)
		vsnprintf(error.text, error.bytes, fmt, args);
	va_end(args);
	return result;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Exactly 32 hex digits, then the end or white space. */
static bool key_from_hex(const char *hex, uint8_t key[HEADRACE_KEY_BYTES])
{
	for (int i = 0; i < HEADRACE_KEY_BYTES; i++) {
		const int high = hex_digit(hex[2 * i]);
		const int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (low < 0)
			return false;
		key[i] = (uint8_t)(high << 4 | low);
	}
	return strchr(" \t\r\n", hex[2 * HEADRACE_KEY_BYTES]) != NULL;
}

/* The line of key_id; lines that are blank or start with '#' are passed over. */
static int key_from_file(struct headrace *h, const char *path, struct sentence error)
{
	char line[256];
	bool found = false;
	int r = HEADRACE_OK;
	unsigned int line_no = 0;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return fail(error, HEADRACE_BAD_WRITE_KEY, "key file %s: %s", path,
			    strerror(errno));
	while (!found && fgets(line, sizeof(line), f) != NULL) {
		const char *p = line + strspn(line, " \t\r\n");
		char *after;
		unsigned long long id;

		line_no++;
		if (*p == '\0' || *p == '#')
			continue;
		id = strtoull(p, &after, 10);
		if (*p < '0' || *p > '9' || id != h->key_id)
			continue;
		found = true;
		if (!key_from_hex(after + strspn(after, " \t"), h->write_key))
			r = fail(error, HEADRACE_BAD_WRITE_KEY,
				 "%s:%u: expected \"%u <32 hex digits>\"", path,
				 line_no, h->key_id);
	}
	fclose(f);
	return found ? r
		     : fail(error, HEADRACE_BAD_WRITE_KEY, "%s: no line for key id %u",
			    path, h->key_id);
}

static int read_write_key(struct headrace *h, const struct headrace_config *config,
			  struct sentence error)
{
	if ((config->key_hex == NULL) == (config->key_file == NULL))
		return fail(error, HEADRACE_BAD_WRITE_KEY,
			    "expected exactly one of key_hex and key_file");
	if (config->key_file != NULL)
		return key_from_file(h, config->key_file, error);
	if (!key_from_hex(config->key_hex, h->write_key))
		return fail(error, HEADRACE_BAD_WRITE_KEY,
			    "key_hex: expected 32 hex digits, found %zu characters",
			    strlen(config->key_hex));
	return HEADRACE_OK;
}

/* "7400" or "7400-7404". */
static bool parse_ports(const char *text, unsigned int *first, unsigned int *last)
{
	char *end;
	unsigned long a, b;

	if (*text < '0' || *text > '9')
		return false;
	a = b = strtoul(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		b = strtoul(end + 1, &end, 10);
	*first = (unsigned int)a;
	*last = (unsigned int)b;
	return *end == '\0' && a >= 1 && a <= b && b <= 65535;
}

/* Split "host:ports" or "[host]:ports" in place. */
static bool split_address(char *text, char **host, char **ports)
{
	char *colon = strrchr(text, ':');

	if (colon == NULL || colon == text)
		return false;
	*colon = '\0';
	*ports = colon + 1;
	*host = text;
	if (text[0] == '[') {
		if (colon[-1] != ']')
			return false;
		colon[-1] = '\0';
		*host = text + 1;
	}
	return text[0] == '[' || strchr(text, ':') == NULL;
}

static int add_targets(struct headrace *h, char *text, struct sentence error)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	unsigned int first, last;
	char *host, *ports;
	int e;

	if (!split_address(text, &host, &ports) || !parse_ports(ports, &first, &last))
		return fail(error, HEADRACE_BAD_ADDRESS,
			    "address: expected host:port, [address]:port or "
			    "host:first-last, each port 1 to 65535");
	if (h->n_targets + (last - first + 1) > TARGETS_MAX)
		return fail(error, HEADRACE_BAD_ADDRESS,
			    "address: more than %d of them", TARGETS_MAX);
	e = getaddrinfo(host, NULL, &hints, &found);
	if (e != 0)
		return fail(error, HEADRACE_BAD_ADDRESS, "address %s: %s", host,
			    e == EAI_SYSTEM ? strerror(errno) : gai_strerror(e));
	for (unsigned int port = first; port <= last; port++) {
		struct target *t = &h->targets[h->n_targets++];

		t->fd = -1;
		t->address_bytes = found->ai_addrlen;
		memcpy(&t->address, found->ai_addr, found->ai_addrlen);
		if (t->address.ss_family == AF_INET6)
			((struct sockaddr_in6 *)(void *)&t->address)->sin6_port =
				htons((uint16_t)port);
		else
			((struct sockaddr_in *)(void *)&t->address)->sin_port =
				htons((uint16_t)port);
	}
	freeaddrinfo(found);
	return HEADRACE_OK;
}

static int connect_targets(struct headrace *h, struct sentence error)
{
	for (uint32_t i = 0; i < h->n_targets; i++) {
		int e = target_connect(&h->targets[i]);

		if (e != 0)
			return fail(error, HEADRACE_BAD_ADDRESS,
				    "address number %u: %s", i, strerror(e));
	}
	return HEADRACE_OK;
}

static int open_targets(struct headrace *h, const char *address, struct sentence error)
{
	char *copy, *item, *rest = NULL;
	int r = HEADRACE_OK;

	if (address == NULL || *address == '\0')
		return fail(error, HEADRACE_BAD_ADDRESS,
			    "address: expected host:port, found none");
	h->targets = calloc(TARGETS_MAX, sizeof(*h->targets));
	copy = strdup(address);
	if (h->targets == NULL || copy == NULL) {
		free(copy);
		return fail(error, HEADRACE_SYSTEM, "no memory for addresses");
	}
	for (item = strtok_r(copy, ", ", &rest); item != NULL && r == HEADRACE_OK;
	     item = strtok_r(NULL, ", ", &rest))
		r = add_targets(h, item, error);
	free(copy);
	if (r == HEADRACE_OK && h->n_targets == 0)
		r = fail(error, HEADRACE_BAD_ADDRESS,
			 "address: expected host:port, found \"%s\"", address);
	if (r == HEADRACE_OK && h->n_targets > h->n_shards)
		r = fail(error, HEADRACE_BAD_ADDRESS,
			 "address: %u of them for %u shards: some would get nothing",
			 h->n_targets, h->n_shards);
	return r == HEADRACE_OK ? connect_targets(h, error) : r;
}

static uint64_t or_default(uint64_t v, uint64_t standard)
{
	return v != 0 ? v : standard;
}

/* Every number of the configuration: where it lies and what it may be. */
static int read_settings(struct headrace *h, const struct headrace_config *config,
			 uint64_t *queue_bytes, struct sentence error)
{
	const struct {
		const char *name;
		uint64_t v, min, max;
	} rows[] = {
		{ "n_shards", or_default(config->n_shards, 5), 1, UINT16_MAX },
		{ "generation", or_default(config->generation, 1), 1, UINT32_MAX },
		{ "codec", or_default(config->codec, HEADRACE_PROTOBUF), 1, 2 },
		{ "datagram_bytes",
		  or_default(config->datagram_bytes, HEADRACE_DATAGRAM_DEFAULT),
		  HEADRACE_DATAGRAM_MIN, HEADRACE_DATAGRAM_MAX },
		{ "flush_ms", or_default(config->flush_ms, 5), 1, 60000 },
		{ "queue_bytes", or_default(config->queue_bytes, 4u << 20), 1,
		  (uint64_t)1 << 36 },
		{ "send_retry_ms", or_default(config->send_retry_ms, 100), 1, 60000 },
		{ "stream_max_age_ms", or_default(config->stream_max_age_ms, 3600000),
		  1, (uint64_t)366 * 86400 * 1000 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].v < rows[i].min || rows[i].v > rows[i].max)
			return fail(error, HEADRACE_BAD_CONFIG,
				    "%s: expected %llu to %llu, found %llu",
				    rows[i].name, (unsigned long long)rows[i].min,
				    (unsigned long long)rows[i].max,
				    (unsigned long long)rows[i].v);
	h->key_id = config->key_id;
	h->n_shards = (uint32_t)rows[0].v;
	h->generation = (uint32_t)rows[1].v;
	h->codec = (enum headrace_codec)rows[2].v;
	h->datagram_bytes = (uint32_t)rows[3].v;
	h->flush_us = rows[4].v * 1000;
	*queue_bytes = rows[5].v;
	h->retry_us = rows[6].v * 1000;
	h->max_age_us = rows[7].v * 1000;
	return HEADRACE_OK;
}

/* Memory for shards and batches, all of it, touched once so that it is there. */
static int take_memory(struct headrace *h, uint64_t queue_bytes)
{
	const uint64_t wanted = queue_bytes / h->datagram_bytes;
	void *shards = NULL, *memory = NULL;

	h->batch_bytes = (sizeof(struct batch) + h->datagram_bytes + CACHE_LINE - 1) /
			 CACHE_LINE * CACHE_LINE;
	h->n_batches = wanted > h->n_shards ? (uint32_t)wanted : h->n_shards + 1;
	h->wake_at = (h->n_batches - h->n_shards + 1) / 2;
	if (h->wake_at > WAKE_AT)
		h->wake_at = WAKE_AT;
	if (posix_memalign(&shards, CACHE_LINE, h->n_shards * sizeof(*h->shards)) != 0)
		return HEADRACE_SYSTEM;
	h->shards = shards;
	memset(shards, 0, h->n_shards * sizeof(*h->shards));
	for (uint32_t i = 0; i < h->n_shards; i++)
		lock_init(&h->shards[i].lock);
	if (posix_memalign(&memory, CACHE_LINE, h->n_batches * h->batch_bytes) != 0)
		return HEADRACE_SYSTEM;
	h->memory = memory;
	memset(memory, 0, h->n_batches * h->batch_bytes);
	for (uint32_t i = 0; i < h->n_batches; i++)
		(void)headrace_encoder_init(&batch_at(h, i)->encoder, h->codec,
					    batch_at(h, i)->buffer, h->datagram_bytes);
	return HEADRACE_OK;
}

/* Sender stopped, or never started. */
static void handle_free(struct headrace *h)
{
	if (h->targets != NULL)
		targets_close(h);
	free(h->targets);
	for (uint32_t i = 0; h->shards != NULL && i < h->n_shards; i++)
		pthread_mutex_destroy(&h->shards[i].lock);
	free(h->shards);
	free(h->memory);
	pthread_mutex_destroy(&h->queue_lock);
	pthread_cond_destroy(&h->wake);
	pthread_cond_destroy(&h->done);
	free(h);
}

static int handle_start(struct headrace *h, struct sentence error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int e;

	pthread_once(&once, fork_handlers);
	if (fork_handlers_error != 0)
		return fail(error, HEADRACE_SYSTEM, "fork handlers: %s",
			    strerror(fork_handlers_error));
	if (getrandom(h->seed, sizeof(h->seed), 0) != sizeof(h->seed))
		return fail(error, HEADRACE_SYSTEM, "random bits: %s", strerror(errno));
	queue_empty(h);
	stream_begin(h);

	/* Known to the fork handlers before its sender runs. */
	pthread_mutex_lock(&handles_lock);
	pthread_mutex_lock(&h->queue_lock);
	e = sender_start(h);
	pthread_mutex_unlock(&h->queue_lock);
	if (e == 0) {
		h->next = handles;
		handles = h;
	}
	pthread_mutex_unlock(&handles_lock);
	return e == 0 ? HEADRACE_OK
		      : fail(error, HEADRACE_SYSTEM, "sender thread: %s", strerror(e));
}

int headrace_open(const struct headrace_config *config, struct headrace **out,
		  char *error_text, size_t error_bytes)
{
	const struct sentence error = { error_text, error_bytes };
	struct headrace *h = NULL;
	uint64_t queue_bytes = 0;
	void *memory = NULL;
	int r;

	*out = NULL;
	if (posix_memalign(&memory, CACHE_LINE, sizeof(*h)) != 0)
		return fail(error, HEADRACE_SYSTEM, "no memory");
	h = memory;
	memset(h, 0, sizeof(*h));
	lock_init(&h->queue_lock);
	conditions_init(h);

	r = read_settings(h, config, &queue_bytes, error);
	if (r == HEADRACE_OK)
		r = read_write_key(h, config, error);
	if (r == HEADRACE_OK)
		r = open_targets(h, config->address, error);
	if (r == HEADRACE_OK && take_memory(h, queue_bytes) != HEADRACE_OK)
		r = fail(error, HEADRACE_SYSTEM, "no memory for a queue of %llu bytes",
			 (unsigned long long)queue_bytes);
	if (r == HEADRACE_OK)
		r = handle_start(h, error);
	if (r != HEADRACE_OK) {
		handle_free(h);
		return r;
	}
	*out = h;
	return HEADRACE_OK;
}

static void forget_handle(struct headrace *h)
{
	pthread_mutex_lock(&handles_lock);
	for (struct headrace **at = &handles; *at != NULL; at = &(*at)->next) {
		if (*at == h) {
			*at = h->next;
			break;
		}
	}
	pthread_mutex_unlock(&handles_lock);
}

int headrace_close(struct headrace *h)
{
	uint64_t failed_before;
	bool sender_is_up;
	int r;

	if (h == NULL)
		return HEADRACE_OK;
	forget_handle(h);
	failed_before = get(&h->datagrams_failed);
	pthread_mutex_lock(&h->queue_lock);
	h->stopping = true;
	h->stop_retry_until_us = clock_us(CLOCK_MONOTONIC) + h->retry_us;
	pthread_cond_signal(&h->wake);
	sender_is_up = h->sender_is_up;
	pthread_mutex_unlock(&h->queue_lock);

	if (sender_is_up) {
		pthread_join(h->sender, NULL);
	} else { /* a forked child that tracked nothing, or could not start it */
		if (h->sockets_are_parents)
			targets_reconnect(h);
		(void)sender_run(h);
	}
	r = get(&h->datagrams_failed) == failed_before ? HEADRACE_OK
						       : HEADRACE_SEND_FAILED;
	handle_free(h);
	return r;
}

/* ---- tracking ---- */

int headrace_track_event(struct headrace *h, const struct headrace_event *event)
{
	struct headrace_event ev = *event;
	uint32_t shard_no;
	bool opened = false;
	char id[26];
	int r = check_event(&ev);

	if (r != HEADRACE_OK) {
		add(&h->refused[r], 1);
		return r;
	}
	if (ev.time_form == HEADRACE_TIME_NONE) {
		ev.time_form = HEADRACE_TIME_MILLIS;
		ev.time_ms = (int64_t)(clock_us(CLOCK_REALTIME) / 1000);
	}
	shard_no = headrace_shard(ev.user.p, ev.user.n, h->n_shards);

	pthread_mutex_lock(&h->shards[shard_no].lock);
	if (ev.id.n == 0)
		ev.id = make_id(h, &h->shards[shard_no], shard_no, id);
	r = shard_append(h, shard_no, &ev, &opened);
	pthread_mutex_unlock(&h->shards[shard_no].lock);

	if (r == HEADRACE_QUEUE_FULL)
		add(&h->events_dropped, 1);
	else if (r != HEADRACE_OK)
		add(&h->refused[r], 1);
	/* Pairs with sender_run(): see there. */
	if (opened && __atomic_load_n(&h->idle, __ATOMIC_RELAXED)) {
		pthread_mutex_lock(&h->queue_lock);
		sender_wake(h);
		pthread_mutex_unlock(&h->queue_lock);
	}
	return r;
}

int headrace_track(struct headrace *h, const char *user, const char *type,
		   const struct headrace_pair *pairs, size_t n_pairs)
{
	const struct headrace_event ev = {
		.user = headrace_str(user),
		.type = headrace_str(type),
		.pairs = pairs,
		.n_pairs = n_pairs,
	};

	return headrace_track_event(h, &ev);
}

int headrace_flush(struct headrace *h, uint32_t timeout_ms)
{
	const struct timespec until =
		timespec_of(clock_us(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000u);
	const uint64_t failed_before = get(&h->datagrams_failed);
	uint64_t target;
	int e = 0, r = HEADRACE_OK;

	(void)seal_older(h, NEVER);
	pthread_mutex_lock(&h->queue_lock);
	target = h->n_pushed;
	sender_wake(h);
	while (h->n_done < target && e == 0 && h->sender_is_up)
		e = pthread_cond_timedwait(&h->done, &h->queue_lock, &until);
	if (!h->sender_is_up)
		r = HEADRACE_SYSTEM;
	else if (h->n_done < target)
		r = HEADRACE_TIMEOUT;
	else if (get(&h->datagrams_failed) != failed_before)
		r = HEADRACE_SEND_FAILED;
	pthread_mutex_unlock(&h->queue_lock);
	return r;
}

/* The answer "port unreachable" to the last datagram waits in the socket for the
 * next one, which may never come: ask for it. The queue's lock keeps the sockets. */
static void collect_unreachable(struct headrace *h)
{
	pthread_mutex_lock(&h->queue_lock);
	for (uint32_t i = 0; i < h->n_targets && !h->sockets_are_parents; i++) {
		int e = 0;
		socklen_t n = sizeof(e);

		if (getsockopt(h->targets[i].fd, SOL_SOCKET, SO_ERROR, &e, &n) == 0 &&
		    e == ECONNREFUSED)
			add(&h->send_unreachable, 1);
	}
	pthread_mutex_unlock(&h->queue_lock);
}

void headrace_stats(struct headrace *h, struct headrace_counts *out)
{
	memset(out, 0, sizeof(*out));
	collect_unreachable(h);
	/* Sent before tracked: what is sent was tracked, so `waiting` is never below
	 * nothing. */
	out->events_sent = __atomic_load_n(&h->events_sent, __ATOMIC_ACQUIRE);
	out->events_failed = __atomic_load_n(&h->events_failed, __ATOMIC_ACQUIRE);
	out->datagrams_sent = get(&h->datagrams_sent);
	out->datagrams_failed = get(&h->datagrams_failed);
	out->bytes_sent = get(&h->bytes_sent);
	out->send_retries = get(&h->send_retries);
	out->send_unreachable = get(&h->send_unreachable);
	out->last_send_errno = __atomic_load_n(&h->last_send_errno, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < h->n_shards; i++) {
		pthread_mutex_lock(&h->shards[i].lock);
		out->events_tracked += h->shards[i].events_tracked;
		out->streams = h->stream.no;
		pthread_mutex_unlock(&h->shards[i].lock);
	}
	out->events_waiting =
		out->events_tracked - out->events_sent - out->events_failed;
	out->events_dropped = get(&h->events_dropped);
	for (int i = 0; i < HEADRACE_RESULT_COUNT; i++) {
		out->refused[i] = get(&h->refused[i]);
		out->events_refused += out->refused[i];
	}
}
