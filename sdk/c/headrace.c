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
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static inline uint16_t load16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

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

/* ---- what is inside a datagram, read again ---- */

/* The events of a payload that append_checked() wrote, one after the other: bytes,
 * user and event id. Only ever applied to this file's own encoding. */
struct event_walk {
	enum headrace_codec codec;
	const uint8_t *p, *end;
	const uint8_t *event; /* the present one, with its frame */
	size_t event_bytes;
	char user[USER_MAX], id[EVENT_ID_MAX];
	size_t user_bytes, id_bytes;
};

static struct event_walk walk_begin(enum headrace_codec codec, const uint8_t *p,
				    const uint8_t *end)
{
	struct event_walk w;

	memset(&w, 0, sizeof(w));
	w.codec = codec;
	w.p = p;
	w.end = end;
	return w;
}

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (unsigned int shift = 0; *p < end && shift < 64; shift += 7) {
		*v |= (uint64_t)(**p & 0x7f) << shift;
		if ((*(*p)++ & 0x80) == 0)
			return true;
	}
	return false;
}

/* "field length bytes" with this tag, or nothing. */
static bool pb_take_text(const uint8_t **p, const uint8_t *end, uint8_t tag, char *out,
			 size_t max, size_t *n)
{
	const uint8_t *at = *p;
	uint64_t bytes;

	if (at == end || *at++ != tag || !take_varint(&at, end, &bytes) ||
	    bytes > (uint64_t)(end - at) || bytes > max)
		return false;
	memcpy(out, at, bytes);
	*n = (size_t)bytes;
	*p = at + bytes;
	return true;
}

static bool pb_walk(struct event_walk *w)
{
	const uint8_t *p = w->p, *end;
	char type[TYPE_MAX];
	size_t type_bytes;
	uint64_t n;

	if (p == w->end || *p++ != BATCH_EVENTS || !take_varint(&p, w->end, &n) ||
	    n > (uint64_t)(w->end - p))
		return false;
	end = p + n;
	if (!pb_take_text(&p, end, EVENT_USER, w->user, sizeof(w->user),
			  &w->user_bytes) ||
	    !pb_take_text(&p, end, EVENT_TYPE, type, sizeof(type), &type_bytes))
		return false;
	w->id_bytes = 0;
	(void)pb_take_text(&p, end, EVENT_ID, w->id, sizeof(w->id), &w->id_bytes);
	w->event = w->p;
	w->event_bytes = (size_t)(end - w->p);
	w->p = end;
	return true;
}

/* A text without control characters, as users, types and ids are. */
static bool json_take_text(const uint8_t **p, const uint8_t *end, char *out, size_t max,
			   size_t *n)
{
	const uint8_t *at = *p;

	*n = 0;
	if (at == end || *at++ != '"')
		return false;
	for (; at < end && *at != '"'; at++) {
		if (*at == '\\' && ++at == end)
			return false;
		if (*n == max)
			return false;
		out[(*n)++] = (char)*at;
	}
	*p = at + 1;
	return at < end;
}

static bool json_take_word(const uint8_t **p, const uint8_t *end, const char *word)
{
	const size_t n = strlen(word);

	if ((size_t)(end - *p) < n || memcmp(*p, word, n) != 0)
		return false;
	*p += n;
	return true;
}

static bool json_walk(struct event_walk *w)
{
	const uint8_t *p = w->p;
	const uint8_t *line = p < w->end ? memchr(p, '\n', (size_t)(w->end - p)) : NULL;
	char type[TYPE_MAX];
	size_t type_bytes;

	if (line == NULL || !json_take_word(&p, line, JSON_USER) ||
	    !json_take_text(&p, line, w->user, sizeof(w->user), &w->user_bytes) ||
	    !json_take_word(&p, line, JSON_TYPE) ||
	    !json_take_text(&p, line, type, sizeof(type), &type_bytes))
		return false;
	w->id_bytes = 0;
	if (json_take_word(&p, line, JSON_ID) &&
	    !json_take_text(&p, line, w->id, sizeof(w->id), &w->id_bytes))
		return false;
	w->event = w->p;
	w->event_bytes = (size_t)(line + 1 - w->p);
	w->p = line + 1;
	return true;
}

static bool walk_next(struct event_walk *w)
{
	return w->codec == HEADRACE_JSON ? json_walk(w) : pb_walk(w);
}

/* ---- the core: reliable delivery without input, output, threads or clock ----
 *
 *     core_take(batch)      core_answer(bytes)
 *           |                     |
 *           v                     v
 *     flow of its shard:   [ first ... | unsent ... | unbound ... last ]
 *           |                 in flight   bound        no sequence yet
 *           v
 *     core_run(now) -> calls.record, calls.sync, calls.send -> when to run again
 *
 * One thread. Time comes in as an argument and never goes back; all else goes out
 * through struct core_calls. Batches belong to the core from core_take() until
 * calls.give_back().
 *
 * A batch is bound to {stream, shard, sequence} right before its first
 * transmission, and never to another identity after that. A flow speaks on one
 * stream at a time: only when everything of it is decided, here and by the owner's
 * floor, it goes on to the next, so order holds across streams.
 */

/* A rule that a test of ours leaves out, to see that it would notice. */
#ifndef HEADRACE_MUTANT
#define HEADRACE_MUTANT(name) 0
#endif

#define NEVER UINT64_MAX
#define CACHE_LINE 64
#define SECOND 1000000u
#define MINUTE (60u * SECOND)

#define KIND_HELLO 2
#define KIND_CHALLENGE 3
#define KIND_ACK 4
#define KIND_PROBE 5
#define KIND_PROBE_ANSWER 6
#define KIND_SKIP 7
#define KIND_NOT_OWNER 8
#define KIND_BUSY 9
#define KIND_EXPIRED 10
#define KIND_WRONG_SHARD 11
#define FROM_APPLIANCE 1

#define HELLO_BYTES 32
#define PROBE_BYTES 160
#define SKIP_BYTES 32
#define MESSAGE_MAX (HEADRACE_HEADER_BYTES + PROBE_BYTES + HEADRACE_TAG_BYTES)
#define OWNER_ADDRESSES_MAX 128

#define RECEIVED 1
#define COMMITTED 2

#define CLASS_DISK ((uint64_t)1 << 63)
#define BIRTH_MASK (CLASS_DISK - 1)

#define TARGETS_MAX 256
#define AHEAD_MAX 64         /* an appliance parks no further ahead of its floor */
#define FIRST_CREDIT 16      /* datagrams, until the first answer tells */
#define WINDOW_LEAST 4       /* after time-outs */
#define WINDOW_AGAIN 16      /* when somebody answers again */
#define WINDOW_MOST 65535    /* what a credit can say */
#define RTO_FIRST_US 300000u /* a commit's latency is not known yet */
#define RTO_LEAST_US 100000u /* some commits at their slowest, not one round trip */
#define RTO_MOST_US 10000000u
#define RTO_HOLE_US 30000u
#define RTT_COMMITS 8u
#define HEARD_US 1000000u         /* who answered so lately is there: it is the way */
#define RTO_HEARD_MOST_US 400000u /* that loses, and more patience brings nothing */
#define PROBE_LEAST_US 200000u
#define PROBE_MOST_US 10000000u
/* Time-outs and PROBEs without an answer: fewer are no silence, DATA may be lost where
 * PROBE is not. And: so many, then another address is tried. */
#define SILENCE 3
#define SILENCE_ELSEWHERE 4
#define TOKEN_LIFE_MS 1800000u /* until a CHALLENGE tells */
#define STREAMS_ROOM 64        /* beside those restored */
#define COMMITTED_KEPT 1024    /* per shard: how many events each datagram had */

/* What names a run of sequences. Held by the flows that speak on it, and by the
 * core while it is the newest. */
struct stream {
	uint64_t birth, random; /* birth 0: this place is free */
	uint8_t key[HEADRACE_KEY_BYTES];
	uint32_t key_id;   /* an earlier process may have had another write key */
	uint64_t begun_us; /* core time, and never younger than the birth */
	uint32_t n_users;
	uint32_t n_shards, generation;
	bool is_restored; /* of an earlier process: takes no new events */
	uint64_t drops_before, drops_end;
};

/*
 * What survives the process of a batch that is in the disk queue's file not yet:
 * docs/sdk-queue.md has the layout. The batches of a handle with a disk queue lie in a
 * mapped file, so whatever an event was written into is the kernel's; `held` is
 * written last and says how much of it counts.
 */
struct slot {
	uint64_t held; /* events << 32 | end of the payload in the datagram; 0: none */
	uint64_t number;    /* with the file's origin: the datagram's in the queue */
	uint64_t serial;    /* 0: it is still open */
	uint64_t opened_us; /* CLOCK_BOOTTIME */
	uint16_t shard, n_shards;
	uint8_t codec;
	uint8_t was_sent; /* or may have been: then the queue's file has it */
	uint8_t zero[2];
};

_Static_assert(sizeof(struct slot) == 40, "docs/sdk-queue.md says so");

/* A datagram in the making, then on its way. */
struct batch {
	struct slot slot; /* first: the layout says so */
	struct batch *next;
	struct headrace_encoder encoder;
	uint64_t opened_us; /* of its first event */
	uint64_t serial;    /* the how many-th that was sealed */
	uint64_t sequence;  /* 0: not bound */
	uint32_t shard, n_shards;
	uint32_t datagram_bytes; /* once it is finished */

	/* Without handshake: bound when it is sealed. */
	uint64_t stream_no, birth, random;

	/* With it: the core's. */
	struct stream *stream;
	uint64_t record_no;         /* in the disk queue; 0: not there */
	uint64_t origin;            /* whose number that is */
	uint64_t tracked_us;        /* of an earlier process: server time; 0: ours */
	uint64_t first_us, sent_us; /* first and newest transmission */
	uint32_t n_sent, attempt;
	uint8_t buffer[];
};

/* An address as the core knows it. */
struct core_target {
	uint64_t token, token_us; /* token_us 0: none */
	uint64_t heard_us;        /* the newest answer */
};

/* One shard's way to the log. Tokens are a write key's: for a stream that began under
 * another one than ours the flow has its own, of the address other_target. */
struct flow {
	struct batch *first, *last; /* everything that waits, oldest first */
	struct batch *unsent;       /* first never transmitted by this process */
	struct batch *again;        /* first that may be lost: sent before lost_us */
	uint64_t lost_us;
	struct batch *unbound;    /* first without a sequence */
	struct batch *unrecorded; /* first that is not in the disk queue */
	uint32_t n_batches;

	struct stream *stream; /* NULL: none yet */
	uint64_t next_sequence;
	uint64_t highest_sent;
	uint64_t floor;             /* told as committed, */
	uint64_t floor_incarnation; /* by this owner */
	uint64_t received; /* told as received, under the present incarnation */
	uint64_t parked_floor, parked;
	uint64_t limit;      /* the highest sequence that credit allows */
	uint64_t answer_us;  /* appliance's clock: of the newest ACK */
	uint32_t window;     /* datagrams beyond what is received */
	uint16_t *committed; /* events of sequence % COMMITTED_KEPT */

	uint64_t incarnation; /* highest seen of the shard's owners */
	uint32_t target, other_target;
	struct core_target other;
	uint32_t hops;    /* NOT_OWNER since the last ACK */
	uint32_t attempt; /* of PROBE and SKIP */
	uint32_t backoff; /* time-outs since the last progress */
	uint32_t silent;  /* time-outs and probes since the last answer */
	uint32_t n_probes;
	bool wants_probe;   /* an address that has not answered yet */
	uint64_t probe_us;  /* when the next is due; 0: at once */
	uint64_t timer_us;  /* when what is under way is late; NEVER: nothing is */
	uint64_t skip_us;   /* when SKIP is due again */
	uint64_t paused_us; /* BUSY: nothing before that */
	/* From transmission to the news of the commit: the least of lately (0: not
	 * known), what it will be, of how many so far, and commits that told nothing. */
	uint64_t rtt_us, rtt_next_us;
	uint32_t n_rtt, n_unclear;
	uint64_t resent_us; /* when something was sent again */
};

struct hello {
	bool is_wanted; /* a stream for new events is */
	bool is_out;    /* and asked for */
	uint64_t random;
	uint64_t first_us, due_us;
	uint32_t n_sent, attempt, target;
};

enum core_counter {
	SENT_EVENTS, /* first transmissions */
	COMMITTED_EVENTS,
	DROPPED_EVENTS,
	UNKNOWN_EVENTS,
	LOST_EVENTS,
	LOST_DATAGRAMS,
	SENT_DATAGRAMS,
	RESENT_DATAGRAMS,
	SENT_BYTES,
	SENT_PROBES,
	SENT_SKIPS,
	SENT_HELLOS,
	ANSWERS,
	ANSWERS_IGNORED,
	FAILOVERS,
	STREAMS,
	CORE_COUNTERS
};

/* What the core cannot do itself. */
struct core_calls {
	void *arg;
	uint64_t (*random)(void *arg);
	/* Hand over a datagram, whose bytes stay as they are until core_run() or
	 * core_answer() returns. False: no room, try again later. */
	bool (*send)(void *arg, uint32_t target, const uint8_t *p, uint32_t n);
	/* The number of an address "host:port[-port]", one of the commas' items, or
	 * -1. May add one. */
	int (*find_target)(void *arg, struct headrace_slice addresses, uint32_t shard);
	struct batch *(*take)(void *arg);
	void (*give_back)(void *arg, struct batch *batch);
	/* Trackers are to use the core's n_shards and datagram_bytes from now on, and
	 * the disk queue is to be written anew: batches are others than they were. */
	void (*reshaped)(void *arg);
	/* NULL: nobody asks. */
	void (*decided)(void *arg, const struct headrace_outcome *outcome);

	/* The disk queue; record NULL: none. False: not now. `moves`: events go into
	 * other batches now, and may be in both until the queue is written anew. */
	void (*moves)(void *arg);
	bool (*record)(void *arg, struct batch *batch);
	bool (*sync)(void *arg);
	void (*done)(void *arg, const struct stream *stream, uint32_t shard,
		     uint64_t up_to);
	void (*gone)(void *arg, const struct batch *batch);
};

struct core_config {
	uint8_t write_key[HEADRACE_KEY_BYTES];
	uint32_t key_id, n_shards, generation, n_targets;
	uint32_t datagram_bytes;
	uint64_t max_age_us, ttl_us;
	uint64_t wall_us, now_us; /* the wall clock at core time now_us */
	unsigned int outcomes;    /* bits of enum headrace_state that are asked for */
	uint32_t n_restored;      /* streams of earlier processes, at most */
};

struct hr_sdk_core {
	struct core_config conf;
	struct core_calls calls;
	uint64_t max_age_us; /* the lesser of ours and the appliance's */
	uint32_t n_shards, generation, datagram_bytes;
	bool is_confirmed; /* an owner has answered for this n_shards */
	struct flow *flows;
	struct stream *streams, *current;
	uint32_t n_streams;
	struct core_target targets[TARGETS_MAX];
	uint64_t token_life_us;
	struct hello hello;
	bool took_since_birth; /* events came since the current stream began */

	/* Server time = core time + offset, within error at error_us. */
	bool has_clock;
	uint64_t clock_offset_us, clock_error_us, clock_at_us;
	uint64_t wall_offset_us; /* wire time of our own clock, fixed */

	uint64_t drops; /* events dropped before they had a sequence */
	uint64_t drops_told;
	bool is_blocked; /* send() had no room */
	uint64_t counts[CORE_COUNTERS];
	uint8_t messages[64][MESSAGE_MAX];
	uint32_t message_no;
};

/* Another event is whole in it, or all are gone. */
static void slot_hold(struct batch *b)
{
	const uint64_t held = (uint64_t)b->encoder.n_events << 32 | b->encoder.end;

	/* A process that dies has done everything up to one instruction: the events'
	 * bytes, then this. */
	__atomic_store_n(&b->slot.held, held, __ATOMIC_RELEASE);
}

static void slot_free(struct batch *b)
{
	__atomic_store_n(&b->slot.held, 0, __ATOMIC_RELEASE);
}

/* Before its first event. */
static void slot_begin(struct batch *b, uint32_t shard, uint32_t n_shards,
		       uint64_t opened_us)
{
	b->slot.shard = (uint16_t)shard;
	b->slot.n_shards = (uint16_t)n_shards;
	b->slot.codec = (uint8_t)b->encoder.codec;
	b->slot.opened_us = opened_us;
}

static void flow_begin(struct flow *f)
{
	f->timer_us = f->skip_us = NEVER;
	f->window = FIRST_CREDIT;
	f->wants_probe = true;
}

static struct flow *flows_new(uint32_t n, uint32_t n_targets)
{
	struct flow *flows = calloc(n, sizeof(*flows));
	uint16_t *kept = calloc((size_t)n * COMMITTED_KEPT, sizeof(*kept));

	if (flows == NULL || kept == NULL) {
		free(flows);
		free(kept);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		flow_begin(&flows[i]);
		flows[i].committed = kept + (size_t)i * COMMITTED_KEPT;
		flows[i].target = i % n_targets;
	}
	return flows;
}

static void flows_free(struct flow *flows)
{
	if (flows != NULL)
		free(flows[0].committed);
	free(flows);
}

static void core_fini(struct hr_sdk_core *c)
{
	flows_free(c->flows);
	free(c->streams);
	c->flows = NULL;
	c->streams = NULL;
}

static int core_init(struct hr_sdk_core *c, const struct core_config *conf,
		     const struct core_calls *calls)
{
	memset(c, 0, sizeof(*c));
	c->conf = *conf;
	c->calls = *calls;
	c->n_shards = conf->n_shards;
	c->generation = conf->generation;
	c->datagram_bytes = conf->datagram_bytes;
	c->max_age_us = conf->max_age_us;
	c->token_life_us = TOKEN_LIFE_MS * 1000u;
	c->wall_offset_us = conf->wall_us - conf->now_us;
	c->n_streams = conf->n_restored + STREAMS_ROOM + conf->n_shards;
	c->streams = calloc(c->n_streams, sizeof(*c->streams));
	c->flows = flows_new(conf->n_shards, conf->n_targets);
	c->hello.is_wanted = true; /* it also sets the clock */
	if (c->streams != NULL && c->flows != NULL)
		return HEADRACE_OK;
	core_fini(c);
	return HEADRACE_SYSTEM;
}

static uint64_t since(uint64_t now_us, uint64_t then_us)
{
	return now_us > then_us ? now_us - then_us : 0;
}

/* Three quarters to five quarters of it: senders that fail together do not come
 * back together. */
static uint64_t jittered(struct hr_sdk_core *c, uint64_t us)
{
	return us * 3 / 4 + c->calls.random(c->calls.arg) % (us / 2 + 1);
}

/* An eighth longer each time: an appliance that is back goes unnoticed for about an
 * eighth of how long it was away, at most. */
static uint64_t probe_pause(uint32_t times)
{
	uint64_t us = PROBE_LEAST_US;

	while (times-- > 0 && us < PROBE_MOST_US)
		us += us / 8;
	return us < PROBE_MOST_US ? us : PROBE_MOST_US;
}

static uint64_t doubled(uint64_t least_us, uint32_t times, uint64_t most_us)
{
	const uint64_t us = least_us << (times < 16 ? times : 16);

	return us < most_us ? us : most_us;
}

/* Server time; the wall clock's as long as nobody told. */
static uint64_t server_time(const struct hr_sdk_core *c, uint64_t now_us)
{
	return now_us + (c->has_clock ? c->clock_offset_us : c->wall_offset_us);
}

/* ---- the core: streams ---- */

static struct stream *stream_find(struct hr_sdk_core *c, uint64_t birth,
				  uint64_t random)
{
	for (uint32_t i = 0; i < c->n_streams; i++)
		if (c->streams[i].birth == birth && c->streams[i].random == random &&
		    birth != 0)
			return &c->streams[i];
	return NULL;
}

/* NULL: no place is free. */
static struct stream *stream_new(struct hr_sdk_core *c, uint64_t birth, uint64_t random)
{
	struct stream *s = NULL;

	for (uint32_t i = 0; i < c->n_streams && s == NULL; i++)
		if (c->streams[i].birth == 0)
			s = &c->streams[i];
	if (s == NULL)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->birth = birth;
	s->random = random;
	s->n_shards = c->n_shards;
	s->generation = c->generation;
	s->key_id = c->conf.key_id;
	headrace_stream_key(c->conf.write_key, birth, random, s->key);
	return s;
}

static void stream_put(struct stream *s)
{
	if (s != NULL && --s->n_users == 0)
		s->birth = 0;
}

/* No new events on it any more; flows that speak on it go on until they drained. */
static void stream_retire(struct hr_sdk_core *c)
{
	if (c->current == NULL)
		return;
	c->current->drops_end = c->drops_told;
	stream_put(c->current);
	c->current = NULL;
	c->hello.is_wanted = true;
}

static uint32_t stream_drops(const struct hr_sdk_core *c, const struct stream *s)
{
	const uint64_t end = s == c->current ? c->drops : s->drops_end;
	const uint64_t n = end - s->drops_before;

	return s->is_restored ? 0 : n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* ---- the core: what is told to the application ---- */

static bool is_asked(const struct hr_sdk_core *c, enum headrace_state state)
{
	return c->calls.decided != NULL && (c->conf.outcomes >> state & 1) != 0;
}

static void tell_event(struct hr_sdk_core *c, const struct batch *b, uint32_t index,
		       const struct event_walk *w, enum headrace_state state)
{
	struct headrace_outcome o;

	memset(&o, 0, sizeof(o));
	o.state = state;
	o.user.p = w->user;
	o.user.n = w->user_bytes;
	o.id.p = w->id;
	o.id.n = w->id_bytes;
	o.n_events = 1;
	o.index = index;
	o.shard = b->shard;
	if (b->sequence != 0) {
		o.birth = b->stream->birth;
		o.random = b->stream->random;
		o.first = o.last = b->sequence;
	}
	c->calls.decided(c->calls.arg, &o);
}

static const enum core_counter counter_of[] = { COMMITTED_EVENTS, DROPPED_EVENTS,
						UNKNOWN_EVENTS, LOST_EVENTS };

static void tell_batch(struct hr_sdk_core *c, const struct batch *b,
		       enum headrace_state state)
{
	struct event_walk w =
		walk_begin(b->encoder.codec, b->buffer + HEADRACE_HEADER_BYTES,
			   b->buffer + b->encoder.end);

	c->counts[counter_of[state]] += b->encoder.n_events;
	if (state == HEADRACE_DROPPED)
		c->drops += b->encoder.n_events;
	for (uint32_t i = 0; is_asked(c, state) && walk_next(&w); i++)
		tell_event(c, b, i, &w, state);
}

/* The memory of datagrams told as committed is gone: a range of them. */
static void tell_lost(struct hr_sdk_core *c, uint32_t shard, uint64_t first,
		      uint64_t last)
{
	const struct flow *f = &c->flows[shard];
	struct headrace_outcome o;

	memset(&o, 0, sizeof(o));
	o.state = HEADRACE_LOST;
	o.shard = shard;
	o.birth = f->stream->birth;
	o.random = f->stream->random;
	o.first = first;
	o.last = last;
	for (uint64_t s = last; s >= first && last - s < COMMITTED_KEPT; s--)
		o.n_events += f->committed[s % COMMITTED_KEPT];
	c->counts[LOST_DATAGRAMS] += last - first + 1;
	c->counts[LOST_EVENTS] += o.n_events;
	if (is_asked(c, HEADRACE_LOST))
		c->calls.decided(c->calls.arg, &o);
}

/* ---- the core: flows ---- */

static bool is_bound_here(const struct flow *f, const struct batch *b)
{
	return b != NULL && b->sequence != 0 && b->stream == f->stream;
}

/* Everything up to here is decided, by the owner or by us. */
static uint64_t decided_floor(const struct flow *f)
{
	return is_bound_here(f, f->first) ? f->first->sequence - 1
					  : f->next_sequence - 1;
}

static bool skip_is_due(const struct flow *f)
{
	return f->stream != NULL && decided_floor(f) > f->floor;
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint32_t max_of32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* In order at the owner, or needed by nobody. */
static uint64_t flow_base(const struct flow *f)
{
	return max_of(max_of(f->floor, f->received), decided_floor(f));
}

static bool flow_has_sent(const struct flow *f)
{
	return is_bound_here(f, f->first) && f->first->n_sent > 0;
}

static void flow_pop(struct hr_sdk_core *c, struct flow *f)
{
	struct batch *b = f->first;

	f->first = b->next;
	if (f->first == NULL)
		f->last = NULL;
	if (f->unsent == b)
		f->unsent = b->next;
	if (f->again == b)
		f->again = b->next;
	if (f->unbound == b)
		f->unbound = b->next;
	if (f->unrecorded == b)
		f->unrecorded = b->next;
	f->n_batches--;
	stream_put(b->stream);
	c->calls.give_back(c->calls.arg, b);
}

static void flow_push(struct flow *f, struct batch *b)
{
	b->next = NULL;
	if (f->first == NULL)
		f->first = b;
	else
		f->last->next = b;
	f->last = b;
	if (f->unsent == NULL)
		f->unsent = b;
	if (f->unbound == NULL && b->sequence == 0)
		f->unbound = b;
	if (f->unrecorded == NULL && b->record_no == 0)
		f->unrecorded = b;
	f->n_batches++;
}

/* Speak on this stream from now on; its floor is told by the next answer. */
static void flow_adopt(struct flow *f, struct stream *s)
{
	f->stream = s;
	s->n_users++;
	f->again = NULL;
	f->next_sequence = 1;
	for (const struct batch *b = f->first; is_bound_here(f, b); b = b->next)
		f->next_sequence = b->sequence + 1;
	f->highest_sent = 0;
	f->floor = f->floor_incarnation = f->received = 0;
	memset(f->committed, 0, COMMITTED_KEPT * sizeof(*f->committed));
	f->parked = f->parked_floor = 0;
	f->limit = FIRST_CREDIT;
	f->answer_us = 0;
	f->timer_us = f->skip_us = NEVER;
	f->other.token_us = 0;
}

static void flow_leave(struct flow *f)
{
	stream_put(f->stream);
	f->stream = NULL;
	f->timer_us = f->skip_us = NEVER;
}

/* It has something to say, and a stream to say it on. */
static bool flow_waits(const struct flow *f)
{
	return f->stream != NULL && (f->first != NULL || skip_is_due(f));
}

/* Nothing of its stream is open any more. */
static bool flow_is_drained(const struct flow *f)
{
	return !is_bound_here(f, f->first) &&
	       (HEADRACE_MUTANT(stream_not_drained) || !skip_is_due(f));
}

/* A stream that can hold nothing which is still worth a SKIP. */
static bool stream_is_over(const struct hr_sdk_core *c, const struct stream *s,
			   uint64_t now_us)
{
	return since(now_us, s->begun_us) > c->max_age_us + c->conf.ttl_us + MINUTE;
}

static void flow_choose_stream(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	if (f->stream != NULL && !is_bound_here(f, f->first) &&
	    (flow_is_drained(f) || stream_is_over(c, f->stream, now_us)) &&
	    (f->stream != c->current || (f->first != NULL && f->first->sequence != 0)))
		flow_leave(f);
	if (f->stream == NULL && f->first != NULL && f->first->sequence != 0)
		flow_adopt(f, f->first->stream);
	else if (f->stream == NULL && f->first != NULL && c->current != NULL)
		flow_adopt(f, c->current);
}

/* Of what an earlier process left nobody knows the age before an appliance has told
 * the time: this machine's clock may have been set since. */
static uint64_t batch_age(const struct hr_sdk_core *c, const struct batch *b,
			  uint64_t now_us)
{
	if (b->tracked_us == 0)
		return since(now_us, b->opened_us);
	return c->has_clock ? since(server_time(c, now_us), b->tracked_us) : 0;
}

/* What is too old is given up: dropped if nobody ever saw it, else unknown, and the
 * owner is told not to wait for it. */
static void flow_expire(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	while (f->first != NULL && batch_age(c, f->first, now_us) >= c->conf.ttl_us) {
		struct batch *b = f->first;

		tell_batch(c, b,
			   b->sequence != 0 ? HEADRACE_UNKNOWN : HEADRACE_DROPPED);
		if (c->calls.gone != NULL)
			c->calls.gone(c->calls.arg, b);
		flow_pop(c, f);
	}
}

/* Everything of the flow's stream becomes unknown: nobody will ever say. */
static void flow_abandon(struct hr_sdk_core *c, struct flow *f)
{
	while (is_bound_here(f, f->first)) {
		tell_batch(c, f->first, HEADRACE_UNKNOWN);
		if (c->calls.gone != NULL)
			c->calls.gone(c->calls.arg, f->first);
		flow_pop(c, f);
	}
	if (f->stream == c->current)
		stream_retire(c);
	flow_leave(f);
}

/* The highest sequence that may leave now. The one behind the floor always may. */
static uint64_t flow_limit(const struct flow *f)
{
	const uint64_t base = flow_base(f);
	const uint64_t window = base + f->window;

	return max_of(base + 1, f->limit < window ? f->limit : window);
}

/* Bind what may leave to sequences of the current stream, and record it. */
static bool flow_bind(struct hr_sdk_core *c, struct flow *f)
{
	bool bound = false;

	while (f->unbound != NULL && f->stream != NULL && f->stream == c->current &&
	       f->next_sequence <= flow_limit(f)) {
		struct batch *b = f->unbound;

		b->stream = f->stream;
		b->sequence = f->next_sequence;
		b->n_sent = b->attempt = 0;
		if (c->calls.record != NULL && !c->calls.record(c->calls.arg, b)) {
			b->stream = NULL;
			b->sequence = 0;
			break;
		}
		if (f->unrecorded == b)
			f->unrecorded = b->next;
		b->stream->n_users++;
		f->next_sequence++;
		f->unbound = b->next;
		bound = true;
	}
	while (c->calls.record != NULL && f->unrecorded != NULL &&
	       c->calls.record(c->calls.arg, f->unrecorded))
		f->unrecorded = f->unrecorded->next;
	return bound;
}

/* ---- the core: messages ---- */

/* A whole message around a payload that is already at p + 80. */
struct message {
	uint8_t kind;
	const uint8_t *key;
	uint64_t birth, random, sequence;
	uint32_t shard, attempt, key_id;
	uint64_t sent_us, token;
	uint32_t payload_bytes;
};

static uint32_t message_write(const struct hr_sdk_core *c, uint8_t *p,
			      const struct message *m)
{
	const uint32_t end = HEADRACE_HEADER_BYTES + m->payload_bytes;

	memset(p, 0, HEADRACE_HEADER_BYTES);
	memcpy(p, "HRB", 3);
	p[3] = WIRE_VERSION;
	p[4] = m->kind;
	p[5] = TO_APPLIANCE;
	p[6] = SUITE_SIPHASH;
	store16(p + 10, (uint16_t)m->shard);
	store16(p + 12, (uint16_t)c->n_shards);
	store32(p + 16, c->generation);
	store32(p + 20, m->key_id);
	store64(p + 24, m->birth);
	store64(p + 32, m->random);
	store64(p + 40, m->sequence);
	store32(p + 48, m->attempt);
	store64(p + 56, m->sent_us);
	store64(p + 64, m->token);
	store16(p + 72, (uint16_t)m->payload_bytes);
	memset(p + HEADRACE_HEADER_BYTES, 0, m->payload_bytes);
	siphash128(m->key, p, end, p + end);
	return end + HEADRACE_TAG_BYTES;
}

/* HELLO and PROBE carry our own clock, which comes back unchanged: it must stay on
 * one scale, whatever is learned meanwhile. */
static bool message_send(struct hr_sdk_core *c, uint32_t target, struct message *m)
{
	uint8_t *p = c->messages[c->message_no++ % 64];

	return c->calls.send(c->calls.arg, target, p, message_write(c, p, m));
}

static bool is_own_key(const struct hr_sdk_core *c, const struct flow *f)
{
	return f->stream == NULL || f->stream->key_id == c->conf.key_id;
}

static const struct core_target *token_of(const struct hr_sdk_core *c,
					  const struct flow *f)
{
	static const struct core_target none;

	if (is_own_key(c, f))
		return &c->targets[f->target];
	return f->other_target == f->target ? &f->other : &none;
}

static bool flow_ask(struct hr_sdk_core *c, uint32_t shard, uint8_t kind,
		     uint64_t now_us)
{
	struct flow *f = &c->flows[shard];
	struct message m;

	memset(&m, 0, sizeof(m));
	m.kind = kind;
	m.key = f->stream->key;
	m.birth = f->stream->birth;
	m.random = f->stream->random;
	m.shard = shard;
	m.key_id = f->stream->key_id;
	m.token = token_of(c, f)->token;
	m.attempt = f->attempt++;
	m.sent_us = now_us + c->wall_offset_us;
	m.sequence = kind == KIND_PROBE ? f->highest_sent : decided_floor(f);
	m.payload_bytes = kind == KIND_PROBE ? PROBE_BYTES : SKIP_BYTES;
	if (!message_send(c, f->target, &m)) {
		c->is_blocked = true;
		return false;
	}
	c->counts[kind == KIND_PROBE ? SENT_PROBES : SENT_SKIPS]++;
	return true;
}

static void hello_send(struct hr_sdk_core *c, uint64_t now_us)
{
	struct hello *o = &c->hello;
	uint8_t key[HEADRACE_KEY_BYTES];
	struct message m;

	if (!o->is_out) {
		o->random = c->calls.random(c->calls.arg);
		o->first_us = now_us;
		o->n_sent = o->attempt = 0;
		o->is_out = true;
	}
	memset(&m, 0, sizeof(m));
	headrace_stream_key(c->conf.write_key, 0, o->random, key);
	m.kind = KIND_HELLO;
	m.key = key;
	m.random = o->random;
	m.key_id = c->conf.key_id;
	m.token = c->targets[o->target].token;
	m.attempt = o->attempt++;
	m.sent_us = now_us + c->wall_offset_us;
	m.payload_bytes = HELLO_BYTES;
	if (!message_send(c, o->target, &m)) {
		c->is_blocked = true;
		return;
	}
	c->counts[SENT_HELLOS]++;
	o->due_us = now_us + jittered(c, probe_pause(o->n_sent));
	if (++o->n_sent >= 2)
		o->target = (o->target + 1) % c->conf.n_targets;
}

static bool batch_send(struct hr_sdk_core *c, struct flow *f, struct batch *b,
		       uint64_t now_us)
{
	struct headrace_datagram d;

	memset(&d, 0, sizeof(d));
	memcpy(d.stream_key, b->stream->key, sizeof(d.stream_key));
	d.key_id = b->stream->key_id;
	d.generation = b->stream->generation;
	d.birth = b->stream->birth;
	d.random = b->stream->random;
	d.sequence = b->sequence;
	d.shard = (uint16_t)b->shard;
	d.n_shards = (uint16_t)b->stream->n_shards;
	d.attempt = b->attempt;
	d.client_drops = stream_drops(c, b->stream);
	d.sent_us = server_time(c, now_us);
	d.token = token_of(c, f)->token;
	b->datagram_bytes = (uint32_t)headrace_encoder_finish(&b->encoder, &d);
	b->slot.was_sent = 1;
	if (!c->calls.send(c->calls.arg, f->target, b->buffer, b->datagram_bytes)) {
		c->is_blocked = true;
		return false;
	}
	if (b->stream == c->current)
		c->drops_told = c->drops;
	if (b->n_sent == 0)
		c->counts[SENT_EVENTS] += b->encoder.n_events;
	c->counts[b->n_sent == 0 ? SENT_DATAGRAMS : RESENT_DATAGRAMS]++;
	c->counts[SENT_BYTES] += b->datagram_bytes;
	b->attempt++;
	if (b->n_sent++ == 0)
		b->first_us = now_us;
	else
		f->resent_us = now_us;
	b->sent_us = now_us;
	f->highest_sent = max_of(f->highest_sent, b->sequence);
	return true;
}

/* ---- the core: sending ---- */

/* The owner said what it holds, and something before that is missing. */
static bool flow_has_hole(const struct flow *f)
{
	return (f->parked & (f->parked + 1)) != 0 && f->parked_floor >= f->floor;
}

static uint64_t flow_rto(const struct flow *f)
{
	const uint64_t least_us = flow_has_hole(f) ? RTO_HOLE_US : RTO_LEAST_US;
	const uint64_t us = f->rtt_us == 0     ? RTO_FIRST_US
			    : flow_has_hole(f) ? 2 * f->rtt_us
					       : 4 * f->rtt_us;

	return us < least_us ? least_us : us < SECOND ? us : SECOND;
}

/* It answers somebody here: what is missing was lost on the way. */
static bool target_is_there(const struct hr_sdk_core *c, uint32_t target,
			    uint64_t now_us)
{
	const uint64_t heard_us = c->targets[target].heard_us;

	return heard_us != 0 && now_us - heard_us < HEARD_US;
}

/* How long what was just sent may take. Patience grows with silence, not with loss. */
static uint64_t flow_patience(struct hr_sdk_core *c, const struct flow *f,
			      uint64_t now_us)
{
	const uint64_t rto_us = flow_rto(f);

	return jittered(c, doubled(rto_us, f->backoff,
				   target_is_there(c, f->target, now_us)
					   ? max_of(rto_us, RTO_HEARD_MOST_US)
					   : RTO_MOST_US));
}

static void flow_arm(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	f->timer_us = flow_has_sent(f) ? now_us + flow_patience(c, f, now_us) : NEVER;
}

/* The owner has it, though not in the log yet. */
static bool is_held(const struct flow *f, uint64_t sequence)
{
	const uint64_t i = sequence - f->parked_floor - 1;

	return sequence <= f->received ||
	       (sequence > f->parked_floor && i < AHEAD_MAX && (f->parked >> i & 1));
}

/* Again, up to n of those the owner can use, verbatim but for attempt, time and
 * token. When nothing moves for long even what it said to hold: it may have
 * restarted unnoticed. */
static void flow_resend(struct hr_sdk_core *c, struct flow *f, uint32_t n,
			uint64_t older_than_us, uint64_t below, uint64_t now_us)
{
	const bool all = f->backoff >= 3;
	struct batch *b = f->first;

	for (uint32_t i = 0; i < AHEAD_MAX && n > 0 && is_bound_here(f, b) &&
			     b->n_sent > 0 && b->sequence < below;
	     b = b->next) {
		i += all || b->sequence > f->received;
		if ((!all && is_held(f, b->sequence)) || b->sent_us > older_than_us)
			continue;
		if (!batch_send(c, f, b, now_us))
			return;
		n--;
	}
}

/* What was sent before then may be lost: it goes again, as far as window and credit
 * go. */
static void flow_presume_lost(struct flow *f, uint64_t lost_us)
{
	f->lost_us = lost_us;
	f->again = flow_has_sent(f) ? f->first : NULL;
}

/* Somebody answers after a silence: all of it at once, no more waiting. */
static void flow_begin_again(struct flow *f, uint64_t now_us)
{
	flow_presume_lost(f, now_us);
	f->window = max_of32(f->window, WINDOW_AGAIN);
	f->backoff = 0;
	if (f->timer_us != NEVER)
		f->timer_us = now_us + flow_rto(f);
	if (f->skip_us != NEVER)
		f->skip_us = now_us;
}

static void flow_send_again(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	const uint64_t limit = flow_limit(f);
	struct batch *b;

	while ((b = f->again) != NULL) {
		if (!is_bound_here(f, b) || b->n_sent == 0) {
			f->again = NULL;
			return;
		}
		if (b->sequence > limit)
			return;
		if (!is_held(f, b->sequence) && b->sent_us < f->lost_us &&
		    !batch_send(c, f, b, now_us))
			return;
		f->again = b->next;
	}
}

static void flow_next_target(struct hr_sdk_core *c, struct flow *f)
{
	const uint32_t shard = (uint32_t)(f - c->flows);

	if (f->target >= c->conf.n_targets) /* one that NOT_OWNER named */
		f->target = shard % c->conf.n_targets;
	else
		f->target = (f->target + 1) % c->conf.n_targets;
	f->wants_probe = true;
	c->counts[FAILOVERS] += c->conf.n_targets > 1;
}

/* Without a token that is still good nothing but PROBE is heard. */
static bool target_is_open(const struct hr_sdk_core *c, const struct flow *f,
			   uint64_t now_us)
{
	const struct core_target *t = token_of(c, f);

	return t->token_us != 0 && now_us - t->token_us < c->token_life_us;
}

static bool target_is_stale(const struct hr_sdk_core *c, const struct flow *f,
			    uint64_t now_us)
{
	const struct core_target *t = token_of(c, f);

	return t->token_us == 0 || now_us - t->token_us >= c->token_life_us / 2;
}

static bool probe_is_due(const struct hr_sdk_core *c, const struct flow *f,
			 uint64_t now_us)
{
	return f->wants_probe || f->silent > 0 || target_is_stale(c, f, now_us) ||
	       f->limit <= flow_base(f);
}

static void flow_probed(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	f->silent++;
	f->probe_us = now_us + jittered(c, probe_pause(f->n_probes++));
}

/* One asks for all that wait for the same address with the same write key: how often it
 * is asked does not depend on the number of shards. (An appliance may have forgotten an
 * earlier key, and is silent to that one alone.) */
static void flow_probe_for_others(struct hr_sdk_core *c, const struct flow *asked,
				  uint64_t now_us)
{
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct flow *f = &c->flows[i];

		if (f != asked && f->target == asked->target && f->silent > 0 &&
		    flow_waits(f) && f->stream->key_id == asked->stream->key_id &&
		    now_us >= f->paused_us)
			flow_probed(c, f, now_us);
	}
}

/* Of an address that answers other shards more: answers get lost. But not for ever, for
 * it may be silent about this shard alone. */
static uint32_t flow_silence_borne(const struct hr_sdk_core *c, const struct flow *f,
				   uint64_t now_us)
{
	return target_is_there(c, f->target, now_us) ? 4 * SILENCE_ELSEWHERE
						     : SILENCE_ELSEWHERE;
}

static void flow_probe(struct hr_sdk_core *c, uint32_t shard, uint64_t now_us)
{
	struct flow *f = &c->flows[shard];

	if (!probe_is_due(c, f, now_us)) {
		f->n_probes = 0;
		f->probe_us = 0;
		return;
	}
	if (f->probe_us == 0 && !f->wants_probe && f->silent == 0) /* credit 0 */
		f->probe_us = now_us + jittered(c, PROBE_LEAST_US);
	if (now_us < f->probe_us)
		return;
	/* Each of those before this one got no answer, or credit 0 as one. */
	if (f->silent >= flow_silence_borne(c, f, now_us))
		flow_next_target(c, f);
	if (!flow_ask(c, shard, KIND_PROBE, now_us))
		return;
	if (f->silent > 0)
		flow_probe_for_others(c, f, now_us);
	flow_probed(c, f, now_us);
}

static void flow_skip(struct hr_sdk_core *c, uint32_t shard, uint64_t now_us)
{
	struct flow *f = &c->flows[shard];

	if (!skip_is_due(f)) {
		f->skip_us = NEVER;
		return;
	}
	if (f->skip_us != NEVER && now_us < f->skip_us)
		return;
	if (f->skip_us != NEVER) {
		f->silent++;
		f->backoff++;
	}
	if (flow_ask(c, shard, KIND_SKIP, now_us))
		f->skip_us = now_us + flow_patience(c, f, now_us);
}

static void flow_time_out(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	static const uint32_t bursts[] = { WINDOW_AGAIN, 8, 2 };
	const uint32_t burst = f->backoff < 3 ? bursts[f->backoff] : 1;
	const uint64_t late_us = since(now_us, flow_rto(f) / 2);

	/* What left just now is not late yet. The others, which may be lost as well,
	 * wait for an answer to these. */
	flow_presume_lost(f, late_us);
	if (f->window > burst)
		f->window = burst > WINDOW_LEAST ? burst : WINDOW_LEAST;
	flow_resend(c, f, burst, late_us, NEVER, now_us);
	if (c->is_blocked)
		return;
	f->backoff++;
	f->silent++;
	flow_arm(c, f, now_us);
}

static void flow_send_new(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	const uint64_t limit = flow_limit(f);

	while (is_bound_here(f, f->unsent) && f->unsent->sequence <= limit) {
		if (!batch_send(c, f, f->unsent, now_us))
			return;
		f->unsent = f->unsent->next;
		if (f->timer_us == NEVER)
			flow_arm(c, f, now_us);
	}
}

static void flow_run(struct hr_sdk_core *c, uint32_t shard, bool may_send_new,
		     uint64_t now_us)
{
	struct flow *f = &c->flows[shard];

	if (!flow_waits(f) || now_us < f->paused_us)
		return;
	flow_probe(c, shard, now_us);
	if (f->wants_probe || !target_is_open(c, f, now_us) || c->is_blocked)
		return;
	flow_skip(c, shard, now_us);
	if (now_us >= f->timer_us && !c->is_blocked)
		flow_time_out(c, f, now_us);
	if (!c->is_blocked)
		flow_send_again(c, f, now_us);
	if (may_send_new && !c->is_blocked)
		flow_send_new(c, f, now_us);
}

static uint64_t flow_due(const struct hr_sdk_core *c, const struct flow *f,
			 uint64_t now_us)
{
	uint64_t due = NEVER;

	if (f->first != NULL)
		due = now_us + since(c->conf.ttl_us, batch_age(c, f->first, now_us));
	if (!flow_waits(f))
		return due;
	if (now_us < f->paused_us)
		return f->paused_us < due ? f->paused_us : due;
	if (probe_is_due(c, f, now_us) && f->probe_us < due)
		due = f->probe_us;
	if (f->wants_probe || !target_is_open(c, f, now_us))
		return due;
	if (f->timer_us < due)
		due = f->timer_us;
	return skip_is_due(f) && f->skip_us < due ? f->skip_us : due;
}

/* A new stream is asked for a little before the old one's age is over, so that
 * nothing has to wait for it. */
static void core_renew(struct hr_sdk_core *c, uint64_t now_us)
{
	const struct stream *s = c->current;
	bool waits = false;

	if (s != NULL) {
		const uint64_t age_us = since(now_us, s->begun_us);

		if (age_us >= c->max_age_us)
			stream_retire(c);
		else if (age_us >= c->max_age_us - c->max_age_us / 10 &&
			 c->took_since_birth)
			c->hello.is_wanted = true;
	}
	for (uint32_t i = 0; i < c->n_shards && !waits; i++)
		waits = c->flows[i].unbound != NULL;
	/* An idle sender asks once, for the clock, and then when it has something. */
	if (c->current == NULL && c->has_clock && !waits && !c->hello.is_out)
		c->hello.is_wanted = false;
	else if (c->current == NULL && waits)
		c->hello.is_wanted = true;
	if (c->hello.is_wanted && (!c->hello.is_out || now_us >= c->hello.due_us))
		hello_send(c, now_us);
}

/*
 * Do everything that is due. Returns when to run again, at the latest; NEVER:
 * when something comes.
 */
static uint64_t core_run(struct hr_sdk_core *c, uint64_t now_us)
{
	uint64_t due = NEVER;
	bool may_send_new = true;

	c->is_blocked = false;
	core_renew(c, now_us);
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct flow *f = &c->flows[i];

		flow_expire(c, f, now_us);
		flow_choose_stream(c, f, now_us);
		(void)flow_bind(c, f);
	}
	/* What is bound must be on the disk before anybody sees it. */
	if (c->calls.sync != NULL)
		may_send_new = c->calls.sync(c->calls.arg);
	for (uint32_t i = 0; i < c->n_shards && !c->is_blocked; i++)
		flow_run(c, i, may_send_new, now_us);
	if (c->is_blocked)
		return now_us + 1000;
	if (c->hello.is_wanted)
		due = c->hello.due_us;
	for (uint32_t i = 0; i < c->n_shards; i++) {
		const uint64_t flow_us = flow_due(c, &c->flows[i], now_us);

		due = flow_us < due ? flow_us : due;
	}
	if (!may_send_new && due > now_us + SECOND)
		due = now_us + SECOND;
	return max_of(due, now_us + 1);
}

/* ---- the core: other shards than thought ---- */

static int append_raw(struct headrace_encoder *e, const uint8_t *p, size_t n)
{
	const int r = room_for(e, n);

	if (r != HEADRACE_OK)
		return r;
	memcpy(e->buffer + e->end, p, n);
	e->end += (uint32_t)n;
	e->n_events++;
	return r;
}

/* One event of `from` into the last batch of the shard it belongs to. */
static void move_event(struct hr_sdk_core *c, const struct batch *from,
		       const struct event_walk *w)
{
	const uint32_t shard = headrace_shard(w->user, w->user_bytes, c->n_shards);
	struct flow *f = &c->flows[shard];
	/* Not into one that is in the disk queue as it was. */
	struct batch *b =
		f->unbound != NULL && f->last->record_no == 0 ? f->last : NULL;
	int r = b == NULL ? HEADRACE_BATCH_FULL
			  : append_raw(&b->encoder, w->event, w->event_bytes);

	if (r == HEADRACE_BATCH_FULL && (b = c->calls.take(c->calls.arg)) != NULL) {
		(void)headrace_encoder_init(&b->encoder, from->encoder.codec, b->buffer,
					    c->datagram_bytes);
		b->opened_us = from->opened_us;
		b->serial = from->serial;
		b->sequence = b->record_no = 0;
		b->tracked_us = from->tracked_us;
		b->stream = NULL;
		b->shard = shard;
		b->n_shards = c->n_shards;
		slot_begin(b, shard, c->n_shards, b->opened_us);
		b->slot.serial = b->serial;
		r = append_raw(&b->encoder, w->event, w->event_bytes);
		if (r == HEADRACE_OK)
			flow_push(f, b);
		else
			c->calls.give_back(c->calls.arg, b);
	}
	if (r == HEADRACE_OK) {
		slot_hold(b);
		return;
	}
	c->counts[DROPPED_EVENTS]++;
	c->drops++;
	if (is_asked(c, HEADRACE_DROPPED))
		tell_event(c, from, 0, w, HEADRACE_DROPPED);
}

/* Spread a batch, which nobody may have taken, over the shards as they are now. */
static void move_batch(struct hr_sdk_core *c, struct batch *b)
{
	struct event_walk w =
		walk_begin(b->encoder.codec, b->buffer + HEADRACE_HEADER_BYTES,
			   b->buffer + b->encoder.end);

	stream_put(b->stream);
	b->stream = NULL;
	b->sequence = 0;
	while (walk_next(&w))
		move_event(c, b, &w);
	c->calls.give_back(c->calls.arg, b);
}

static void core_moves(const struct hr_sdk_core *c)
{
	if (c->calls.moves != NULL)
		c->calls.moves(c->calls.arg);
}

/* What was sent for other shards than the data set has was refused by everybody,
 * so it may be sent again; unless an owner has answered for them, or an earlier
 * process sent it: then nobody knows. */
static bool is_movable(const struct hr_sdk_core *c, const struct batch *b)
{
	return b->sequence == 0 || (!b->stream->is_restored && !c->is_confirmed);
}

static bool fits(const struct hr_sdk_core *c, const struct batch *b)
{
	return b->n_shards == c->n_shards &&
	       b->encoder.end + HEADRACE_TAG_BYTES <= c->datagram_bytes;
}

/* False: no memory; all stays as it was, and the next answer tries again. */
static bool core_reshape(struct hr_sdk_core *c, uint32_t n_shards, uint32_t generation)
{
	struct flow *old = c->flows;
	const uint32_t n_old = c->n_shards;
	struct flow *flows = flows_new(n_shards, c->conf.n_targets);

	if (flows == NULL)
		return false;
	core_moves(c);
	stream_retire(c);
	c->flows = flows;
	c->n_shards = n_shards;
	c->generation = generation;
	for (uint32_t i = 0; i < n_old; i++) {
		struct flow *f = &old[i];

		while (f->first != NULL) {
			struct batch *b = f->first;

			f->first = b->next;
			if (is_movable(c, b)) {
				move_batch(c, b);
				continue;
			}
			tell_batch(c, b, HEADRACE_UNKNOWN);
			stream_put(b->stream);
			c->calls.give_back(c->calls.arg, b);
		}
		stream_put(f->stream);
	}
	flows_free(old);
	c->is_confirmed = false;
	c->calls.reshaped(c->calls.arg);
	return true;
}

/* Smaller datagrams than thought: what has no sequence yet is packed anew. */
static void core_shrink(struct hr_sdk_core *c, uint32_t datagram_bytes)
{
	c->datagram_bytes = datagram_bytes;
	core_moves(c);
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct flow *f = &c->flows[i];
		struct batch *b = f->unbound, *next, **end = &f->first;

		if (b == NULL)
			continue;
		f->last = NULL;
		while (*end != b) {
			f->last = *end;
			end = &(*end)->next;
		}
		*end = NULL;
		if (f->unsent != NULL && f->unsent->sequence == 0)
			f->unsent = NULL;
		if (f->unrecorded != NULL && f->unrecorded->sequence == 0)
			f->unrecorded = NULL;
		f->unbound = NULL;
		for (; b != NULL; b = next) {
			next = b->next;
			f->n_batches--;
			if (fits(c, b))
				flow_push(f, b);
			else
				move_batch(c, b);
		}
	}
	c->calls.reshaped(c->calls.arg);
}

/* A sealed batch without a sequence, from now on the core's. */
static void core_take(struct hr_sdk_core *c, struct batch *b)
{
	c->took_since_birth = true;
	if (fits(c, b)) {
		flow_push(&c->flows[b->shard], b);
		return;
	}
	core_moves(c);
	move_batch(c, b);
}

/* A batch of an earlier process: bound if it has a sequence, and then for ever. */
static void core_restore(struct hr_sdk_core *c, struct batch *b)
{
	struct flow *f;

	if (b->sequence == 0) {
		core_take(c, b);
		return;
	}
	if (b->n_shards != c->n_shards) {
		tell_batch(c, b, HEADRACE_UNKNOWN);
		stream_put(b->stream);
		c->calls.give_back(c->calls.arg, b);
		return;
	}
	f = &c->flows[b->shard];
	b->n_sent = 0;
	b->attempt = (uint32_t)c->calls.random(c->calls.arg) | 1u << 31;
	flow_push(f, b);
}

/* ---- the core: answers ---- */

struct answer {
	uint8_t kind;
	uint32_t shard, n_shards, generation, attempt, key_id;
	uint64_t birth, random, sequence, sent_us, token;
	const uint8_t *payload;
	uint32_t payload_bytes;
};

static bool answer_read(const uint8_t *p, size_t n, struct answer *a)
{
	if (n < HEADRACE_HEADER_BYTES + HEADRACE_TAG_BYTES ||
	    n > HEADRACE_DATAGRAM_MAX || memcmp(p, "HRB", 3) != 0 ||
	    p[3] != WIRE_VERSION || p[5] != FROM_APPLIANCE || p[6] != SUITE_SIPHASH ||
	    p[7] != 0 || load16(p + 8) != 0 || load16(p + 14) != 0 ||
	    load16(p + 72) != n - HEADRACE_HEADER_BYTES - HEADRACE_TAG_BYTES)
		return false;
	a->kind = p[4];
	a->shard = load16(p + 10);
	a->n_shards = load16(p + 12);
	a->generation = load32(p + 16);
	a->birth = load64(p + 24);
	a->random = load64(p + 32);
	a->sequence = load64(p + 40);
	a->key_id = load32(p + 20);
	a->attempt = load32(p + 48);
	a->sent_us = load64(p + 56);
	a->token = load64(p + 64);
	a->payload = p + HEADRACE_HEADER_BYTES;
	a->payload_bytes = load16(p + 72);
	return true;
}

/* In constant time: an answer is the only thing that can free events. */
static bool tag_is_right(const uint8_t key[HEADRACE_KEY_BYTES], const uint8_t *p,
			 size_t n)
{
	uint8_t tag[HEADRACE_TAG_BYTES];
	uint8_t difference = 0;

	siphash128(key, p, n - HEADRACE_TAG_BYTES, tag);
	for (int i = 0; i < HEADRACE_TAG_BYTES; i++)
		difference |= (uint8_t)(tag[i] ^ p[n - HEADRACE_TAG_BYTES + (size_t)i]);
	return difference == 0;
}

/* Server time was told, between asked_us and now. The tighter of what is known
 * stays; what is known loosens by 100 ppm, more than a quartz drifts. */
static void clock_learn(struct hr_sdk_core *c, uint64_t server_us, uint64_t asked_us,
			uint64_t now_us)
{
	const uint64_t error_us = (now_us - asked_us) / 2;
	const uint64_t known_us = c->clock_error_us + (now_us - c->clock_at_us) / 10000;

	if (c->has_clock && error_us > known_us)
		return;
	c->has_clock = true;
	c->clock_offset_us = server_us + error_us - now_us;
	c->clock_error_us = error_us;
	c->clock_at_us = now_us;
}

static void target_learn(struct hr_sdk_core *c, uint32_t target, uint64_t token,
			 uint64_t now_us)
{
	c->targets[target].token = token;
	c->targets[target].token_us = max_of(now_us, 1);
}

static void flow_learn(struct hr_sdk_core *c, struct flow *f, uint32_t target,
		       uint64_t token, uint64_t now_us)
{
	if (is_own_key(c, f)) {
		target_learn(c, target, token, now_us);
		return;
	}
	f->other.token = token;
	f->other.token_us = max_of(now_us, 1);
	f->other_target = target;
}

/* It answers, and has given its token: no need for each shard to ask. */
static void target_opened(struct hr_sdk_core *c, uint32_t target)
{
	for (uint32_t i = 0; i < c->n_shards; i++)
		if (c->flows[i].target == target && c->flows[i].hops == 0)
			c->flows[i].wants_probe = false;
}

/* It answers one shard after a silence: the others need not wait for the end of their
 * pauses. Only then, so a shard that stays silent beside others slows down. */
static void target_is_back(struct hr_sdk_core *c, uint32_t target, uint64_t now_us)
{
	for (uint32_t i = 0; i < c->n_shards; i++) {
		struct flow *f = &c->flows[i];

		if (f->target != target || f->silent == 0)
			continue;
		f->n_probes = 0;
		f->probe_us = now_us;
	}
}

/* The send time of ours that an answer repeats, as core time; NEVER: not ours. */
static uint64_t asked_at(const struct hr_sdk_core *c, uint64_t wire_us, uint64_t now_us)
{
	const uint64_t us = wire_us - c->wall_offset_us;

	return us <= now_us ? us : NEVER;
}

/* What the data set is, as an answer says. True: it was thought otherwise. */
static bool shape_differs(struct hr_sdk_core *c, const struct answer *a)
{
	return a->n_shards != 0 && a->generation != 0 &&
	       (a->n_shards != c->n_shards || a->generation != c->generation);
}

static bool take_challenge(struct hr_sdk_core *c, uint32_t target,
			   const struct answer *a, uint64_t now_us)
{
	const uint64_t server_us = load64(a->payload);
	const uint64_t asked_us = asked_at(c, load64(a->payload + 8), now_us);
	const uint64_t max_age_us = load64(a->payload + 16);
	const uint32_t good_ms = load32(a->payload + 24);
	const uint32_t largest = load16(a->payload + 28);
	struct stream *s;

	if (asked_us == NEVER || asked_us < c->hello.first_us || server_us == 0 ||
	    server_us > BIRTH_MASK)
		return false;
	clock_learn(c, server_us, asked_us, now_us);
	target_learn(c, target, a->token, now_us);
	if (good_ms > 0)
		c->token_life_us = (uint64_t)good_ms * 1000;
	if (max_age_us > 0 && max_age_us < c->conf.max_age_us)
		c->max_age_us = max_age_us;
	else
		c->max_age_us = c->conf.max_age_us;
	if (shape_differs(c, a) && !core_reshape(c, a->n_shards, a->generation))
		return false;
	if (largest >= HEADRACE_DATAGRAM_MIN && largest < c->datagram_bytes)
		core_shrink(c, largest);
	target_opened(c, target);
	if (c->hello.n_sent > 1)
		target_is_back(c, target, now_us);
	stream_retire(c);
	c->hello.is_wanted = c->hello.is_out = false;
	s = stream_new(c, server_us | (c->calls.record != NULL ? CLASS_DISK : 0),
		       a->random);
	if (s == NULL) { /* dozens of streams still drain: ask again later */
		c->hello.is_wanted = true;
		c->hello.due_us = now_us + SECOND;
		c->hello.is_out = true;
		return true;
	}
	s->begun_us = asked_us;
	s->n_users = 1;
	s->drops_before = c->drops_told;
	c->current = s;
	c->took_since_birth = false;
	c->counts[STREAMS]++;
	return true;
}

/* An answer of the shard's owner, or of who was it. False: a former one. */
static bool take_incarnation(struct flow *f, uint64_t incarnation, uint64_t now_us)
{
	if (incarnation < f->incarnation)
		return false;
	if (incarnation > f->incarnation) {
		/* Whatever the former owner only held is gone. */
		f->received = 0;
		f->parked = 0;
		f->answer_us = 0;
		f->limit = f->floor + FIRST_CREDIT;
		if (f->incarnation != 0)
			flow_begin_again(f, now_us);
	}
	f->incarnation = incarnation;
	return true;
}

/* The least of some, not their mean: where answers get lost most commits are heard of
 * late, and to wait longer would only make the next ones later still. */
static void rtt_learn(struct flow *f, uint64_t us)
{
	us = max_of(us, 1);
	if (f->rtt_us == 0 || us < f->rtt_us)
		f->rtt_us = us;
	if (f->n_rtt == 0 || us < f->rtt_next_us)
		f->rtt_next_us = us;
	if (++f->n_rtt == RTT_COMMITS) {
		f->rtt_us = f->rtt_next_us;
		f->n_rtt = 0;
	}
	f->n_unclear = 0;
}

/* A commit that took us at most, for something of it was sent again: which of the two was
 * it? If all are such, commits may take longer than we wait. */
static void rtt_doubt(struct flow *f, uint64_t us)
{
	const uint64_t most_us = f->rtt_us == 0 ? RTO_FIRST_US / 4 : 2 * f->rtt_us;

	if (++f->n_unclear < 2 * RTT_COMMITS)
		return;
	f->n_unclear = f->n_rtt = 0;
	if (us > f->rtt_us)
		f->rtt_us = us < most_us ? us : most_us;
}

/* Returns how many datagrams became free. */
static uint64_t flow_commit(struct hr_sdk_core *c, struct flow *f, uint64_t floor,
			    uint64_t now_us)
{
	uint64_t n = 0, first_us = now_us;
	bool is_clear = false;

	for (; is_bound_here(f, f->first) && f->first->sequence <= floor; n++) {
		struct batch *b = f->first;

		f->committed[b->sequence % COMMITTED_KEPT] =
			(uint16_t)b->encoder.n_events;
		/* One that was sent again held up those sent before that, too. */
		is_clear = b->n_sent == 1 && b->first_us >= f->resent_us;
		first_us = b->first_us;
		tell_batch(c, b, HEADRACE_COMMITTED);
		flow_pop(c, f);
	}
	if (n > 0 && is_clear)
		rtt_learn(f, now_us - first_us);
	else if (n > 0)
		rtt_doubt(f, now_us - first_us);
	if (n > 0 && c->calls.done != NULL)
		c->calls.done(c->calls.arg, f->stream, (uint32_t)(f - c->flows), floor);
	f->floor = floor;
	return n;
}

/* Under a higher incarnation the floor went back: the log lost its end. */
static void flow_lose(struct hr_sdk_core *c, struct flow *f, uint64_t floor)
{
	tell_lost(c, (uint32_t)(f - c->flows), floor + 1, f->floor);
	f->floor = floor;
	f->skip_us = NEVER; /* at once */
}

/* Holes below something parked that are older than a round trip. */
static void flow_fill_holes(struct hr_sdk_core *c, struct flow *f, uint64_t now_us)
{
	uint64_t wait_us = f->rtt_us;
	uint64_t top;

	if (f->parked == 0 || f->parked_floor != flow_base(f))
		return;
	wait_us = wait_us < 2000 ? 2000 : wait_us > 100000 ? 100000 : wait_us;
	top = f->parked_floor + 64 - (uint64_t)__builtin_clzll(f->parked);
	flow_resend(c, f, 16, now_us - wait_us, top, now_us);
}

static bool take_ack(struct hr_sdk_core *c, uint32_t target, struct flow *f,
		     const struct answer *a, uint64_t now_us)
{
	const uint64_t incarnation = load64(a->payload);
	const uint64_t parked = load64(a->payload + 8);
	const uint64_t credit = load32(a->payload + 16);
	const uint8_t meaning = a->payload[22];
	const bool was_silent = f->silent >= SILENCE;
	uint64_t floor = a->sequence, progress = 0;

	if ((meaning != RECEIVED && meaning != COMMITTED) ||
	    incarnation < f->incarnation)
		return false;
	if (floor > f->next_sequence - 1) { /* more than there is */
		if (!f->stream->is_restored)
			return false;
		floor = f->next_sequence - 1; /* the end of the old queue was torn */
	}
	/* A floor that goes back is an ACK overtaken by a newer one, unless another
	 * owner says so. */
	if (floor < f->floor && incarnation == f->floor_incarnation)
		return false;
	if (floor < f->floor)
		flow_lose(c, f, floor);
	f->floor_incarnation = incarnation;
	(void)take_incarnation(f, incarnation, now_us);

	c->is_confirmed = true;
	if (meaning == COMMITTED && floor > f->floor)
		progress = max_of(flow_commit(c, f, floor, now_us), 1);
	if (floor > f->received) {
		progress += floor > flow_base(f);
		f->received = floor;
	}
	if (a->sent_us >= f->answer_us) {
		progress += (parked & ~f->parked) != 0;
		f->answer_us = a->sent_us;
		f->parked = parked;
		f->parked_floor = floor;
		f->limit = floor + credit;
	}
	if (f->target != target && (was_silent || f->wants_probe))
		f->target = target;
	if (f->target == target)
		f->wants_probe = false;
	f->silent = f->hops = 0;
	if (progress > 0) {
		f->window = (uint32_t)(f->window + progress < WINDOW_MOST
					       ? f->window + progress
					       : WINDOW_MOST);
		f->backoff = 0;
		flow_arm(c, f, now_us);
	}
	if (was_silent)
		flow_begin_again(f, now_us);
	flow_fill_holes(c, f, now_us);
	return true;
}

static bool take_probe_answer(struct hr_sdk_core *c, uint32_t target, struct flow *f,
			      const struct answer *a, uint64_t now_us)
{
	const uint64_t asked_us = asked_at(c, load64(a->payload + 32), now_us);

	/* A replayed one tells an old time and perhaps an old token. It is caught by
	 * its age: what is worth anything comes within one probe's patience. */
	if (asked_us == NEVER || now_us - asked_us > PROBE_MOST_US * 5 / 4 ||
	    load64(a->payload) < f->incarnation)
		return false;
	clock_learn(c, load64(a->payload + 24), asked_us, now_us);
	flow_learn(c, f, target, a->token, now_us);
	if (f->target == target)
		f->wants_probe = false;
	return take_ack(c, target, f, a, now_us);
}

static bool take_not_owner(struct hr_sdk_core *c, uint32_t target, struct flow *f,
			   const struct answer *a, uint64_t now_us)
{
	const struct headrace_slice addresses = { (const char *)a->payload + 16,
						  a->payload[8] };
	int found = -1;

	if (addresses.n > OWNER_ADDRESSES_MAX || addresses.n + 16 > a->payload_bytes ||
	    f->target != target || !take_incarnation(f, load64(a->payload), now_us))
		return false;
	if (shape_differs(c, a)) {
		(void)core_reshape(c, a->n_shards, a->generation);
		return true;
	}
	if (addresses.n > 0)
		found = c->calls.find_target(c->calls.arg, addresses, a->shard);
	if (found >= 0 && (uint32_t)found != target) {
		f->target = (uint32_t)found;
		c->counts[FAILOVERS]++;
	} else {
		flow_next_target(c, f);
	}
	/* The first time at once; who is sent to and fro slows down. */
	f->wants_probe = true;
	f->silent = 0;
	f->n_probes = f->hops;
	f->probe_us = f->hops++ == 0
			      ? 0
			      : now_us + jittered(c, doubled(PROBE_LEAST_US / 4,
							     f->hops, PROBE_MOST_US));
	return true;
}

static bool take_busy(struct hr_sdk_core *c, struct flow *f, const struct answer *a,
		      uint64_t now_us)
{
	const uint64_t wait_ms = load32(a->payload + 8);

	if (!take_incarnation(f, load64(a->payload), now_us))
		return false;
	f->silent = f->hops = 0;
	flow_presume_lost(f, now_us); /* what was refused, and what came behind it */
	f->paused_us = now_us + jittered(c, wait_ms < 60000 ? wait_ms * 1000 + 1000
							    : 60 * SECOND);
	if (f->timer_us != NEVER && f->timer_us < f->paused_us)
		f->timer_us = f->paused_us;
	return true;
}

static bool take_expired(struct hr_sdk_core *c, struct flow *f, const struct answer *a,
			 uint64_t now_us)
{
	if ((a->birth & BIRTH_MASK) >= load64(a->payload + 16) ||
	    !take_incarnation(f, load64(a->payload), now_us))
		return false;
	flow_abandon(c, f);
	return true;
}

static bool take_wrong_shard(struct hr_sdk_core *c, const struct answer *a)
{
	return shape_differs(c, a) && core_reshape(c, a->n_shards, a->generation);
}

/* Payloads as docs/wire-format.md says: at least, at most. */
static const struct {
	uint32_t least, most;
} payloads[] = {
	[KIND_CHALLENGE] = { 32, 32 },    [KIND_ACK] = { 24, 24 },
	[KIND_PROBE_ANSWER] = { 40, 40 }, [KIND_NOT_OWNER] = { 16, 144 },
	[KIND_BUSY] = { 16, 16 },         [KIND_EXPIRED] = { 24, 24 },
	[KIND_WRONG_SHARD] = { 0, 0 },
};

static bool flow_take(struct hr_sdk_core *c, uint32_t target, struct flow *f,
		      const struct answer *a, uint64_t now_us)
{
	switch (a->kind) {
	case KIND_ACK:
		return take_ack(c, target, f, a, now_us);
	case KIND_PROBE_ANSWER:
		return take_probe_answer(c, target, f, a, now_us);
	case KIND_NOT_OWNER:
		return take_not_owner(c, target, f, a, now_us);
	case KIND_BUSY:
		return take_busy(c, f, a, now_us);
	default:
		return take_expired(c, f, a, now_us);
	}
}

static bool flow_answer(struct hr_sdk_core *c, uint32_t target, uint32_t shard,
			const struct answer *a, uint64_t now_us)
{
	const bool was_silent = c->flows[shard].silent >= SILENCE;

	if (!flow_take(c, target, &c->flows[shard], a, now_us))
		return false;
	if (was_silent)
		target_is_back(c, target, now_us);
	return true;
}

static bool answer_take(struct hr_sdk_core *c, uint32_t target, const uint8_t *p,
			size_t n, uint64_t now_us)
{
	uint8_t key[HEADRACE_KEY_BYTES];
	struct stream *s;
	struct answer a;

	if (!answer_read(p, n, &a) ||
	    a.kind >= sizeof(payloads) / sizeof(payloads[0]) ||
	    (payloads[a.kind].most == 0 && a.kind != KIND_WRONG_SHARD) ||
	    a.payload_bytes < payloads[a.kind].least ||
	    a.payload_bytes > payloads[a.kind].most)
		return false;
	if (a.kind == KIND_CHALLENGE) {
		if (a.birth != 0 || !c->hello.is_out || a.random != c->hello.random ||
		    a.key_id != c->conf.key_id)
			return false;
		headrace_stream_key(c->conf.write_key, 0, a.random, key);
		return tag_is_right(key, p, n) && take_challenge(c, target, &a, now_us);
	}
	s = stream_find(c, a.birth, a.random);
	if (s == NULL || a.key_id != s->key_id || !tag_is_right(s->key, p, n))
		return false;
	if (a.kind == KIND_WRONG_SHARD)
		return s->n_shards == c->n_shards && s->generation == c->generation &&
		       take_wrong_shard(c, &a);
	if (a.shard >= c->n_shards || c->flows[a.shard].stream != s)
		return false; /* of a stream that is done here */
	return flow_answer(c, target, a.shard, &a, now_us);
}

/* Whatever came in by that address. What does not fit is ignored and counted. */
static void core_answer(struct hr_sdk_core *c, uint32_t target, const uint8_t *p,
			size_t n, uint64_t now_us)
{
	const bool taken = answer_take(c, target, p, n, now_us);

	c->counts[taken ? ANSWERS : ANSWERS_IGNORED]++;
	if (taken)
		c->targets[target].heard_us = now_us;
}

/* The end: what was sent and not answered stays unknown, the rest is dropped. With a
 * disk queue it all stays there and waits for the next start. */
static void core_give_up(struct hr_sdk_core *c)
{
	for (uint32_t i = 0; i < c->n_shards && c->calls.record == NULL; i++) {
		struct flow *f = &c->flows[i];

		while (f->first != NULL) {
			tell_batch(c, f->first,
				   f->first->sequence != 0 ? HEADRACE_UNKNOWN
							   : HEADRACE_DROPPED);
			flow_pop(c, f);
		}
	}
}

/* The serial of the oldest batch that waits; NEVER: none. */
static uint64_t core_oldest(const struct hr_sdk_core *c)
{
	uint64_t oldest = NEVER;

	for (uint32_t i = 0; i < c->n_shards; i++)
		if (c->flows[i].first != NULL && c->flows[i].first->serial < oldest)
			oldest = c->flows[i].first->serial;
	return oldest;
}

/* ---- the handle ---- */

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

#define BURST 64   /* datagrams to one sendmmsg */
#define WAKE_AT 16 /* full datagrams that wake a sender before flush_ms */

struct shard {
	pthread_mutex_t lock;
	struct batch *open;     /* NULL: none */
	uint64_t next_sequence; /* without handshake */
	uint64_t next_id;
	uint64_t events_tracked;
} __attribute__((aligned(CACHE_LINE)));

/*
 * The shards that trackers fill. Where the data set turns out to have another number
 * of them the sender seals all, retires this and publishes another; a tracker that
 * waited for a lock here looks again. Old ones stay until the handle is closed.
 */
struct layout {
	struct layout *older;
	uint32_t n_shards;
	bool is_retired; /* written with all shards locked, read with any of them */
	struct shard *shards;
};

/* Without handshake the stream, with it only what event ids begin with. Written
 * with all shards locked, read with any of them. */
struct event_stream {
	uint64_t no; /* 1, 2, ... of this handle */
	uint64_t birth, random;
	uint64_t opened_us;
	char id_prefix[13];
};

struct target {
	struct sockaddr_storage address;
	socklen_t address_bytes;
	int fd;
};

/* Datagrams to go out together. */
struct burst {
	struct mmsghdr messages[BURST];
	struct iovec bytes[BURST];
	uint32_t targets[BURST];
	unsigned int n;
};

#define OPEN_HEADER_BYTES 4096

/* What the file of the batches begins with; they lie behind OPEN_HEADER_BYTES. */
struct open_header {
	char magic[8];
	uint32_t key_id, zero;
	uint64_t origin;
	uint8_t boot[16];            /* of the kernel whose memory it is in */
	uint32_t stride, payload_at; /* of a batch, and in it */
	uint32_t n_batches, zero_too;
	uint64_t check; /* of what stands before it */
	/* Written while it is used. */
	uint32_t generation;
	uint32_t is_moving; /* events may be in two batches */
};

struct disk {
	char *dir;          /* NULL: no disk queue */
	char name[64];      /* of the queue's file, */
	char open_name[64]; /* and of the one that the batches lie in */
	int fd, open_fd;
	bool no_sync;
	uint64_t origin; /* random: of all this process records */
	uint64_t file_bytes, live_bytes;
	bool is_broken, is_unsynced, wants_rewrite;
	uint64_t retry_us;
	size_t n_buffer;
	uint8_t buffer[65536];
};

/*
 * Locks, in the order of taking: handles_lock, layout_lock, shards by number,
 * queue_lock. The sender holds none of them in a system call of the network.
 */
struct headrace {
	/* Set by open, then only read. */
	uint8_t write_key[HEADRACE_KEY_BYTES];
	uint32_t key_id, generation;
	enum headrace_codec codec;
	bool is_reliable;    /* with handshake */
	clockid_t clock;     /* of all times in us below */
	uint32_t slot_bytes; /* of a datagram's memory */
	uint64_t flush_us, retry_us, max_age_us, ttl_us, close_us;
	headrace_outcome_fn *on_outcome;
	void *on_outcome_arg;
	unsigned int outcomes;
	struct target *targets;
	uint32_t n_targets; /* the sender adds what NOT_OWNER names, under queue_lock */
	uint32_t n_own_targets;
	uint8_t *memory; /* all batches */
	uint32_t n_batches;
	size_t batch_bytes;
	uint8_t *map; /* with a disk queue they lie in it */
	size_t map_bytes;
	struct open_header
		*open_header;     /* NULL: no disk queue, or no file in a child */
	bool batches_are_parents; /* a forked child has no file of its own yet */
	uint64_t next_number;     /* of batches: atomically */
	struct headrace *next;    /* under handles_lock */

	pthread_mutex_t layout_lock; /* held to publish another one, and by fork */
	struct layout *layout;       /* read without it */
	uint32_t datagram_bytes;     /* atomically; never more than slot_bytes */

	struct event_stream stream;
	uint8_t dice[24];   /* the sender's: key and counter of draw() */
	uint8_t seed[16];   /* random, for the streams' random bits */
	uint64_t n_streams; /* of this handle in all its processes */

	/* Any thread, atomically. */
	uint64_t refused[HEADRACE_RESULT_COUNT];
	uint64_t events_dropped;
	uint64_t clock_offset_us; /* event time is h->clock + this; 0: not known yet */
	bool idle; /* nothing is open: who opens a batch must wake the sender */

	/* The sender writes, anyone reads, atomically. */
	uint64_t events_sent, events_failed;
	uint64_t datagrams_sent, datagrams_failed;
	uint64_t bytes_sent, send_retries, send_unreachable;
	uint64_t counts[CORE_COUNTERS];
	int last_send_errno;
	uint64_t events_restored, queue_errors;
	int last_queue_errno;

	/* The sender's own. */
	uint64_t sent_stream_no;
	uint8_t sent_stream_key[HEADRACE_KEY_BYTES];
	uint64_t drops_reported, drops_before_stream;
	struct hr_sdk_core core;
	struct burst burst;
	struct disk disk;
	struct batch *returned, *returned_last; /* decided, to be given back together */
	uint32_t n_returned;
	bool something_is_left; /* read once the sender has ended */

	/* Under queue_lock. */
	pthread_mutex_t queue_lock __attribute__((aligned(CACHE_LINE)));
	pthread_cond_t wake; /* the sender waits, without handshake */
	int wake_fd;         /* and with it */
	pthread_cond_t done; /* flush waits */
	struct batch *free;
	struct batch *first, *last; /* sealed, oldest first */
	uint32_t n_sealed, wake_at;
	uint64_t n_pushed, n_done; /* batches, ever */
	uint64_t judged,
		oldest_serial; /* of those up to `judged` the oldest undecided */
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
static struct headrace_slice make_id(const struct headrace *h, struct layout *layout,
				     uint32_t shard_no, char out[26])
{
	uint64_t v = layout->shards[shard_no].next_id++ * layout->n_shards + shard_no;
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
static void stream_begin(struct headrace *h, struct layout *layout)
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
	h->stream.opened_us = clock_us(h->clock);
	for (size_t i = 0; i < sizeof(h->stream.id_prefix); i++)
		h->stream.id_prefix[i] = base32[random >> (i * 5) & 31];
	for (uint32_t i = 0; i < layout->n_shards; i++)
		layout->shards[i].next_sequence = 1;
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

static void lock_shards(struct layout *layout)
{
	for (uint32_t i = 0; i < layout->n_shards; i++)
		pthread_mutex_lock(&layout->shards[i].lock);
}

static void unlock_shards(struct layout *layout)
{
	for (uint32_t i = layout->n_shards; i-- > 0;)
		pthread_mutex_unlock(&layout->shards[i].lock);
}

static struct layout *layout_new(uint32_t n_shards)
{
	struct layout *layout = calloc(1, sizeof(*layout));
	void *shards = NULL;

	if (layout == NULL || posix_memalign(&shards, CACHE_LINE,
					     n_shards * sizeof(*layout->shards)) != 0) {
		free(layout);
		return NULL;
	}
	memset(shards, 0, n_shards * sizeof(*layout->shards));
	layout->shards = shards;
	layout->n_shards = n_shards;
	for (uint32_t i = 0; i < n_shards; i++)
		lock_init(&layout->shards[i].lock);
	return layout;
}

static void layout_free(struct layout *layout)
{
	for (uint32_t i = 0; i < layout->n_shards; i++)
		pthread_mutex_destroy(&layout->shards[i].lock);
	free(layout->shards);
	free(layout);
}

static struct layout *layout_of(struct headrace *h)
{
	/* Pairs with layout_publish(). */
	return __atomic_load_n(&h->layout, __ATOMIC_ACQUIRE);
}

/* Lock the user's shard, wherever that is by now. */
static struct layout *shard_lock(struct headrace *h, struct headrace_slice user,
				 uint32_t *shard_no)
{
	for (;;) {
		struct layout *layout = layout_of(h);

		*shard_no = headrace_shard(user.p, user.n, layout->n_shards);
		pthread_mutex_lock(&layout->shards[*shard_no].lock);
		if (!layout->is_retired)
			return layout;
		pthread_mutex_unlock(&layout->shards[*shard_no].lock);
	}
}

/* Sequences restart with the stream, and the queue is first in, first out: all of
 * the old stream goes before anything of the new one. */
static void stream_rotate(struct headrace *h, uint64_t now_us)
{
	if (now_us - h->stream.opened_us < h->max_age_us)
		return;
	lock_shards(h->layout);
	stream_begin(h, h->layout);
	unlock_shards(h->layout);
}

/* ---- queue ---- */

static int sender_start(struct headrace *h);
static void *reliable_run(void *arg);
static int own_again(struct headrace *h);
static int open_file_begin(struct headrace *h);

static struct batch *batch_at(struct headrace *h, uint32_t i)
{
	return (struct batch *)(void *)(h->memory + i * h->batch_bytes);
}

/* All of them. */
static void batches_free(struct headrace *h)
{
	h->free = NULL;
	for (uint32_t i = h->n_batches; i-- > 0;) {
		batch_at(h, i)->next = h->free;
		h->free = batch_at(h, i);
	}
}

/* It begins again, as another datagram of the disk queue. */
static void batch_number(struct headrace *h, struct batch *batch)
{
	batch->slot.number =
		1 + __atomic_fetch_add(&h->next_number, 1, __ATOMIC_RELAXED);
	batch->slot.serial = 0;
	batch->slot.was_sent = 0;
}

static struct batch *batch_take(struct headrace *h)
{
	struct batch *batch;

	pthread_mutex_lock(&h->queue_lock);
	if (h->batches_are_parents)
		(void)open_file_begin(h);
	batch = h->free;
	if (batch != NULL)
		h->free = batch->next;
	pthread_mutex_unlock(&h->queue_lock);
	if (batch != NULL)
		batch_number(h, batch);
	return batch;
}

/* The queue is locked. In a forked child this is what starts the sender; where
 * that fails the next call tries again. */
static void sender_wake(struct headrace *h)
{
	const uint64_t one = 1;

	h->poked = true;
	if (!h->sender_is_up)
		(void)sender_start(h);
	else if (!h->is_reliable)
		pthread_cond_signal(&h->wake);
	else if (write(h->wake_fd, &one, sizeof(one)) < 0)
		h->poked = true; /* it counts to its end: then the sender is awake */
}

/* Queue the open batch; without handshake bound to stream and sequence, with it the
 * core does that. The shard is locked. */
static void seal(struct headrace *h, struct layout *layout, uint32_t shard_no)
{
	struct shard *shard = &layout->shards[shard_no];
	struct batch *batch = shard->open;

	shard->open = NULL;
	batch->n_shards = layout->n_shards;
	batch->stream = NULL;
	batch->record_no = batch->tracked_us = 0;
	batch->n_sent = 0;
	batch->stream_no = h->stream.no;
	batch->birth = h->stream.birth;
	batch->random = h->stream.random;
	batch->sequence = h->is_reliable ? 0 : shard->next_sequence++;
	batch->shard = shard_no;
	batch->next = NULL;

	pthread_mutex_lock(&h->queue_lock);
	if (h->first == NULL)
		h->first = batch;
	else
		h->last->next = batch;
	h->last = batch;
	batch->serial = ++h->n_pushed;
	batch->slot.serial = batch->serial;
	if (++h->n_sealed == h->wake_at)
		sender_wake(h);
	pthread_mutex_unlock(&h->queue_lock);
}

static bool has_events(const struct shard *shard)
{
	return shard->open != NULL && shard->open->encoder.n_events > 0;
}

/* Others of the shard wait for credit, so this one may wait for company. (Each held
 * a datagram's memory for the events of 5 ms otherwise, and an outage of seconds
 * filled the queue.) Only the sender asks. */
static bool is_backlogged(const struct headrace *h, uint32_t shard_no)
{
	return h->is_reliable && shard_no < h->core.n_shards &&
	       h->core.flows[shard_no].unbound != NULL;
}

/* Seal what has been open since before `until_us`. Returns when the oldest batch
 * still open was opened, or NEVER. */
static uint64_t seal_older(struct headrace *h, uint64_t until_us)
{
	struct layout *layout = layout_of(h);
	uint64_t oldest_us = NEVER;

	for (uint32_t i = 0; i < layout->n_shards; i++) {
		struct shard *shard = &layout->shards[i];

		if (until_us != NEVER && is_backlogged(h, i))
			continue;
		pthread_mutex_lock(&shard->lock);
		if (has_events(shard)) {
			if (shard->open->opened_us <= until_us)
				seal(h, layout, i);
			else if (shard->open->opened_us < oldest_us)
				oldest_us = shard->open->opened_us;
		}
		pthread_mutex_unlock(&shard->lock);
	}
	return oldest_us;
}

/* The shard is locked. Sets *opened where the event is the first of its batch. */
static int shard_append(struct headrace *h, struct layout *layout, uint32_t shard_no,
			const struct headrace_event *ev, bool *opened)
{
	struct shard *shard = &layout->shards[shard_no];
	int r;

	for (;;) {
		if (shard->open == NULL) {
			shard->open = batch_take(h);
			if (shard->open == NULL)
				return HEADRACE_QUEUE_FULL;
			(void)headrace_encoder_init(
				&shard->open->encoder, h->codec, shard->open->buffer,
				__atomic_load_n(&h->datagram_bytes, __ATOMIC_RELAXED));
		}
		if (shard->open->encoder.n_events == 0) {
			shard->open->opened_us = clock_us(h->clock);
			slot_begin(shard->open, shard_no, layout->n_shards,
				   shard->open->opened_us);
		}
		r = append_checked(&shard->open->encoder, ev);
		if (r != HEADRACE_BATCH_FULL)
			break;
		seal(h, layout, shard_no);
	}
	if (r == HEADRACE_OK) {
		shard->events_tracked++;
		*opened = shard->open->encoder.n_events == 1;
		slot_hold(shard->open);
	}
	return r;
}

/* ---- network ---- */

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

/* Returns 0 or what getaddrinfo() says. */
static int target_resolve(const char *host, unsigned int port, struct target *t)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	const int e = getaddrinfo(host, NULL, &hints, &found);

	if (e != 0)
		return e;
	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->address_bytes = found->ai_addrlen;
	memcpy(&t->address, found->ai_addr, found->ai_addrlen);
	if (t->address.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&t->address)->sin6_port =
			htons((uint16_t)port);
	else
		((struct sockaddr_in *)(void *)&t->address)->sin_port =
			htons((uint16_t)port);
	freeaddrinfo(found);
	return 0;
}

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
	uint64_t until = clock_us(h->clock) + h->retry_us, stop;

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
			if (clock_us(h->clock) < until_us) {
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
		.n_shards = (uint16_t)batch->n_shards,
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
		const uint64_t now_us = clock_us(h->clock);
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

/* ---- the disk queue: docs/sdk-queue.md ----
 *
 *     record() -> buffer -> write -> fdatasync in sync()
 *
 * One file a process, only appended to; when most of it is decided it is written
 * anew beside itself and renamed. A record of a datagram is in it before the datagram
 * is sent, and a datagram that was recorded without a sequence gets a second record
 * when it is bound. Only the sender's thread comes here, and headrace_open().
 */

#define QUEUE_MAGIC "HRQUEUE1"
#define QUEUE_HEADER_BYTES 32
#define QUEUE_SUFFIX ".queue"
#define RECORD_BYTES 96 /* in front of the payload */
#define RECORD_MAX (RECORD_BYTES + HEADRACE_DATAGRAM_MAX)
#define RECORD_DATA 1
#define RECORD_BIND 2
#define RECORD_DONE 3
#define RECORD_GONE 4
#define QUEUE_SLACK ((uint64_t)1 << 20)

/* A record as it lies in the file, all of it but the payload. */
struct record {
	uint8_t kind, codec;
	uint16_t n_events, shard, n_shards;
	uint32_t generation, n_payload;
	uint64_t origin, number, birth, random, sequence, tracked_us;
	uint32_t key_id;
	uint8_t stream_key[HEADRACE_KEY_BYTES];
	const uint8_t *payload;
};

static uint64_t queue_check(const uint8_t *p, size_t n)
{
	static const uint8_t key[16] = "headrace queue 1";
	uint8_t hash[16];

	siphash128(key, p, n, hash);
	return load64(hash);
}

static void record_write(uint8_t *p, const struct record *r)
{
	const uint32_t n = RECORD_BYTES + r->n_payload;

	store32(p + 8, n);
	p[12] = r->kind;
	p[13] = r->codec;
	store16(p + 14, r->n_events);
	store64(p + 16, r->origin);
	store64(p + 24, r->number);
	store64(p + 32, r->birth);
	store64(p + 40, r->random);
	store64(p + 48, r->sequence);
	store64(p + 56, r->tracked_us);
	store16(p + 64, r->shard);
	store16(p + 66, r->n_shards);
	store32(p + 68, r->generation);
	store32(p + 72, r->key_id);
	store32(p + 76, 0);
	memcpy(p + 80, r->stream_key, HEADRACE_KEY_BYTES);
	if (r->n_payload > 0)
		memcpy(p + RECORD_BYTES, r->payload, r->n_payload);
	store64(p, queue_check(p + 8, n - 8));
}

/* Returns the bytes of the record at p; 0: none is whole there. */
static uint32_t record_read(const uint8_t *p, size_t left, struct record *r)
{
	uint32_t n;

	if (left < RECORD_BYTES)
		return 0;
	n = load32(p + 8);
	if (n < RECORD_BYTES || n > RECORD_MAX || n > left ||
	    load64(p) != queue_check(p + 8, n - 8))
		return 0;
	r->kind = p[12];
	r->codec = p[13];
	r->n_events = load16(p + 14);
	r->origin = load64(p + 16);
	r->number = load64(p + 24);
	r->birth = load64(p + 32);
	r->random = load64(p + 40);
	r->sequence = load64(p + 48);
	r->tracked_us = load64(p + 56);
	r->shard = load16(p + 64);
	r->n_shards = load16(p + 66);
	r->generation = load32(p + 68);
	r->key_id = load32(p + 72);
	memcpy(r->stream_key, p + 80, HEADRACE_KEY_BYTES);
	r->payload = p + RECORD_BYTES;
	r->n_payload = n - RECORD_BYTES;
	return n;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? errno : EIO;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Not inherited by a forked child, as flock() is: a dead parent's queue would wait
 * for a child that never touched it. */
static bool queue_lock_file(int fd)
{
	struct flock lock;

	memset(&lock, 0, sizeof(lock));
	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	return fcntl(fd, F_SETLK, &lock) == 0;
}

static int disk_path(const struct disk *d, const char *name, const char *more,
		     char out[4096])
{
	return snprintf(out, 4096, "%s/%s%s", d->dir, name, more) < 4096 ? 0
									 : ENAMETOOLONG;
}

/* ---- the file that the batches lie in ---- */

#define OPEN_MAGIC "HROPEN1"
#define OPEN_SUFFIX ".open"

/* The kernel's, new with each start: zeroes where it does not say. */
static void boot_id(uint8_t out[16])
{
	const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "";

	memset(out, 0, 16);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) >= 36)
		siphash128((const uint8_t *)"headrace boot id", (const uint8_t *)text,
			   36, out);
	close(fd);
}

static uint64_t open_check(const struct open_header *head)
{
	return queue_check((const uint8_t *)head, offsetof(struct open_header, check));
}

static void open_file_moving(struct headrace *h, bool is_moving)
{
	if (h->open_header != NULL)
		__atomic_store_n(&h->open_header->is_moving, is_moving,
				 __ATOMIC_RELEASE);
}

/* calls.moves. */
static void disk_moves(void *arg)
{
	struct headrace *h = arg;

	open_file_moving(h, true);
	h->disk.wants_rewrite = true;
}

/* Names that no other process takes. */
static void disk_name(struct headrace *h)
{
	struct disk *d = &h->disk;
	uint8_t message[24], hash[16];

	store64(message, (uint64_t)getpid());
	store64(message + 8, clock_us(CLOCK_REALTIME));
	store64(message + 16, clock_us(CLOCK_BOOTTIME));
	siphash128(h->seed, message, sizeof(message), hash);
	d->origin = load64(hash);
	snprintf(d->name, sizeof(d->name), "headrace-%ld-%016llx" QUEUE_SUFFIX,
		 (long)getpid(), (unsigned long long)d->origin);
	snprintf(d->open_name, sizeof(d->open_name), "headrace-%ld-%016llx" OPEN_SUFFIX,
		 (long)getpid(), (unsigned long long)d->origin);
}

static void open_header_write(struct headrace *h, struct open_header *head)
{
	memset(head, 0, sizeof(*head));
	memcpy(head->magic, OPEN_MAGIC, sizeof(head->magic));
	head->key_id = h->key_id;
	head->origin = h->disk.origin;
	boot_id(head->boot);
	head->stride = (uint32_t)h->batch_bytes;
	head->payload_at = offsetof(struct batch, buffer) + HEADRACE_HEADER_BYTES;
	head->n_batches = h->n_batches;
	head->check = open_check(head);
	head->generation = h->generation;
}

/* All of it is taken from the disk now: there is no way to say later that it is full. */
static int open_file_map(struct headrace *h, int fd)
{
	void *map;
	int e;

	if (!queue_lock_file(fd))
		return errno;
	e = posix_fallocate(fd, 0, (off_t)h->map_bytes);
	if (e != 0)
		return e;
	map = mmap(h->map, h->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   fd, 0);
	if (map == MAP_FAILED)
		return errno;
	memset(map, 0, h->map_bytes); /* so that each page is there */
	open_header_write(h, map);
	return 0;
}

/* From now on the batches, all of them free, lie in a file, which no other process
 * takes for a dead one's before it is whole. Returns 0 or an errno; then they lie in
 * memory as before. */
static int open_file_begin(struct headrace *h)
{
	struct disk *d = &h->disk;
	char path[4096], temporary[4096];
	int e;

	h->batches_are_parents = false;
	h->open_header = NULL;
	if (d->open_fd >= 0)
		close(d->open_fd); /* the parent's */
	d->open_fd = -1;
	disk_name(h);
	e = disk_path(d, d->open_name, "", path);
	if (e == 0)
		e = disk_path(d, d->open_name, ".tmp", temporary);
	if (e == 0) {
		d->open_fd =
			open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		e = d->open_fd < 0 ? errno : open_file_map(h, d->open_fd);
	}
	if (e == 0 && rename(temporary, path) < 0)
		e = errno;
	if (e == 0)
		h->open_header = (struct open_header *)(void *)h->map;
	else if (d->open_fd >= 0)
		(void)unlink(temporary);
	if (e != 0) {
		__atomic_store_n(&h->last_queue_errno, e, __ATOMIC_RELAXED);
		add(&h->queue_errors, 1);
	}
	batches_free(h);
	return e;
}

/* What it held is elsewhere. */
static void open_file_end(struct headrace *h)
{
	struct disk *d = &h->disk;
	char path[4096];

	if (d->open_fd < 0)
		return;
	if (h->open_header != NULL && disk_path(d, d->open_name, "", path) == 0)
		(void)unlink(path);
	close(d->open_fd);
	d->open_fd = -1;
}

static int sync_dir(const struct disk *d)
{
	const int fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int e = 0;

	if (fd < 0)
		return errno;
	if (!d->no_sync && fsync(fd) < 0)
		e = errno;
	close(fd);
	return e;
}

static void disk_fail(struct headrace *h, int e)
{
	h->disk.is_broken = true;
	h->disk.n_buffer = 0;
	h->disk.retry_us = clock_us(h->clock) + SECOND;
	__atomic_store_n(&h->last_queue_errno, e, __ATOMIC_RELAXED);
	add(&h->queue_errors, 1);
}

static bool disk_write_out(struct headrace *h)
{
	struct disk *d = &h->disk;
	int e;

	if (d->is_broken)
		return false;
	e = write_all(d->fd, d->buffer, d->n_buffer);
	if (e != 0) {
		disk_fail(h, e);
		return false;
	}
	d->file_bytes += d->n_buffer;
	d->n_buffer = 0;
	return true;
}

static bool disk_put(struct headrace *h, const struct record *r)
{
	struct disk *d = &h->disk;
	const size_t n = RECORD_BYTES + r->n_payload;

	if (d->is_broken || (d->n_buffer + n > sizeof(d->buffer) && !disk_write_out(h)))
		return false;
	record_write(d->buffer + d->n_buffer, r);
	d->n_buffer += n;
	return true;
}

static struct record record_of(const struct headrace *h, const struct batch *b)
{
	struct record r;

	memset(&r, 0, sizeof(r));
	r.kind = RECORD_DATA;
	r.codec = (uint8_t)b->encoder.codec;
	r.n_events = (uint16_t)b->encoder.n_events;
	r.shard = (uint16_t)b->shard;
	r.n_shards = (uint16_t)b->n_shards;
	r.generation = b->stream != NULL ? b->stream->generation : h->core.generation;
	r.origin = b->origin;
	r.number = b->record_no;
	r.tracked_us = b->tracked_us != 0 ? b->tracked_us
					  : server_time(&h->core, b->opened_us);
	r.payload = b->buffer + HEADRACE_HEADER_BYTES;
	r.n_payload = b->encoder.end - HEADRACE_HEADER_BYTES;
	if (b->sequence != 0) {
		r.birth = b->stream->birth;
		r.random = b->stream->random;
		r.sequence = b->sequence;
		r.key_id = b->stream->key_id;
		memcpy(r.stream_key, b->stream->key, sizeof(r.stream_key));
	}
	return r;
}

/* calls.record: of a new one all, of one that is there its sequence. */
static bool disk_record(void *arg, struct batch *b)
{
	struct headrace *h = arg;
	struct disk *d = &h->disk;
	const bool is_new = b->record_no == 0;
	struct record r;

	if (is_new) {
		b->origin = d->origin;
		b->record_no = b->slot.number;
	}
	r = record_of(h, b);
	if (!is_new) {
		r.kind = RECORD_BIND;
		r.n_payload = 0;
	}
	if (!disk_put(h, &r)) {
		if (is_new)
			b->record_no = 0;
		return false;
	}
	if (is_new)
		d->live_bytes += RECORD_BYTES + r.n_payload;
	d->is_unsynced = true;
	return true;
}

static void disk_done(void *arg, const struct stream *stream, uint32_t shard,
		      uint64_t up_to)
{
	struct record r;

	memset(&r, 0, sizeof(r));
	r.kind = RECORD_DONE;
	r.birth = stream->birth;
	r.random = stream->random;
	r.shard = (uint16_t)shard;
	r.sequence = up_to;
	(void)disk_put(arg, &r); /* without it a restart sends again, no more */
}

static void disk_gone(void *arg, const struct batch *b)
{
	struct record r;

	if (b->sequence != 0) {
		disk_done(arg, b->stream, b->shard, b->sequence);
		return;
	}
	if (b->record_no == 0)
		return;
	memset(&r, 0, sizeof(r));
	r.kind = RECORD_GONE;
	r.origin = b->origin;
	r.number = b->record_no;
	(void)disk_put(arg, &r);
}

/* All that the core holds into a new file, which takes the old one's place at once
 * or not at all. Returns 0 or an errno. */
static int disk_rewrite(struct headrace *h)
{
	struct disk *d = &h->disk;
	char path[4096], temporary[4096];
	uint8_t header[QUEUE_HEADER_BYTES] = { 0 };
	int fd, e = disk_path(d, d->name, "", path);

	if (e == 0)
		e = disk_path(d, d->name, ".tmp", temporary);
	if (e != 0)
		return e;
	fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	if (!queue_lock_file(fd)) {
		e = errno;
		close(fd);
		return e;
	}
	memcpy(header, QUEUE_MAGIC, 8);
	store32(header + 8, h->key_id);
	store64(header + 16, d->origin);
	store64(header + 24, queue_check(header, 24));
	e = write_all(fd, header, sizeof(header));
	d->n_buffer = 0;
	d->live_bytes = 0;
	d->file_bytes = sizeof(header);
	for (uint32_t i = 0; i < h->core.n_shards && e == 0; i++) {
		struct batch *b = h->core.flows[i].first;

		for (; b != NULL && e == 0; b = b->next) {
			struct record r;

			if (b->record_no == 0) {
				b->origin = d->origin;
				b->record_no = b->slot.number;
			}
			r = record_of(h, b);
			if (d->n_buffer + RECORD_MAX > sizeof(d->buffer)) {
				e = write_all(fd, d->buffer, d->n_buffer);
				d->n_buffer = 0;
			}
			record_write(d->buffer + d->n_buffer, &r);
			d->n_buffer += RECORD_BYTES + r.n_payload;
			d->file_bytes += RECORD_BYTES + r.n_payload;
			d->live_bytes += RECORD_BYTES + r.n_payload;
		}
		h->core.flows[i].unrecorded = NULL;
	}
	if (e == 0)
		e = write_all(fd, d->buffer, d->n_buffer);
	d->n_buffer = 0;
	if (e == 0 && !d->no_sync && fsync(fd) < 0)
		e = errno;
	if (e == 0 && rename(temporary, path) < 0)
		e = errno;
	if (e != 0) {
		(void)unlink(temporary);
		close(fd);
		return e;
	}
	if (d->fd >= 0)
		close(d->fd);
	d->fd = fd;
	e = sync_dir(d);
	if (e != 0)
		return e;
	d->is_broken = d->is_unsynced = d->wants_rewrite = false;
	open_file_moving(h, false); /* what moved is recorded where it is now */
	return 0;
}

/* calls.sync: everything recorded is on the disk. */
static bool disk_sync(void *arg)
{
	struct headrace *h = arg;
	struct disk *d = &h->disk;
	int e;

	if (d->is_broken && clock_us(h->clock) < d->retry_us)
		return false;
	if (d->is_broken || d->wants_rewrite ||
	    d->file_bytes + d->n_buffer > 2 * d->live_bytes + QUEUE_SLACK) {
		e = disk_rewrite(h);
		if (e != 0)
			disk_fail(h, e);
		return e == 0;
	}
	if (d->n_buffer > 0 && !disk_write_out(h))
		return false;
	if (d->is_unsynced && !d->no_sync && fdatasync(d->fd) < 0) {
		/* What the kernel could not write it may have forgotten: all anew. */
		disk_fail(h, errno);
		return false;
	}
	d->is_unsynced = false;
	return true;
}

/* At the end: an empty queue leaves no file, and one that has all that is left in it
 * needs no other. */
static void disk_close(struct headrace *h)
{
	struct disk *d = &h->disk;
	const bool is_empty = core_oldest(&h->core) == NEVER;
	char path[4096];

	if (d->dir == NULL)
		return;
	if (!is_empty && (d->fd < 0 || !disk_sync(h))) {
		if (d->open_fd >= 0)
			close(d->open_fd); /* and the file stays */
		d->open_fd = -1;
	}
	if (is_empty && d->fd >= 0 && disk_path(d, d->name, "", path) == 0)
		(void)unlink(path);
	open_file_end(h);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

/* ---- the disk queue of an earlier process ---- */

/* What one datagram's records say together. */
struct remembered {
	struct record r;
	uint32_t no; /* as it was read: a shard's are in order */
	bool is_gone;
	uint64_t serial; /* of one that was in a batch alone */
};

struct past {
	struct remembered *items;
	uint32_t n, max;
	uint32_t *places; /* hash of {origin, number} to item + 1 */
	uint32_t n_places;
	struct record *done; /* the highest of each {stream, shard} */
	uint32_t n_done, max_done;
	uint8_t **files; /* their bytes: payloads lie in them */
	char (*names)[256];
	int *fds; /* locked until their queue has moved into ours */
	uint32_t n_files, max_files;
	uint32_t n_damaged;
	bool is_moving; /* events may be in it twice */
};

static bool has_suffix(const char *name, const char *suffix)
{
	const size_t n = strlen(name), m = strlen(suffix);

	return n > m && n < 256 && strcmp(name + n - m, suffix) == 0;
}

/* A file of batches as it is, its pages ours to change. */
static int map_whole(int fd, uint8_t **out, size_t *n)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return errno;
	*n = (size_t)st.st_size;
	map = *n == 0 ? MAP_FAILED
		      : mmap(NULL, *n, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	*out = map == MAP_FAILED ? NULL : map;
	return *out != NULL || *n == 0 ? 0 : errno;
}

static void forget_whole(const char *name, int fd, uint8_t *bytes)
{
	struct stat st;

	if (!has_suffix(name, OPEN_SUFFIX))
		free(bytes);
	else if (bytes != NULL && fstat(fd, &st) == 0)
		munmap(bytes, (size_t)st.st_size);
}

static void past_free(struct past *past)
{
	for (uint32_t i = 0; i < past->n_files; i++) {
		forget_whole(past->names[i], past->fds[i], past->files[i]);
		close(past->fds[i]);
	}
	free(past->items);
	free(past->places);
	free(past->done);
	free(past->files);
	free(past->names);
	free(past->fds);
}

static uint32_t *past_place(struct past *past, uint64_t origin, uint64_t number)
{
	uint64_t at = (origin ^ number * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;

	at = (at >> 32) % past->n_places;
	for (;; at = (at + 1) % past->n_places) {
		const uint32_t i = past->places[at];

		if (i == 0 || (past->items[i - 1].r.origin == origin &&
			       past->items[i - 1].r.number == number))
			return &past->places[at];
	}
}

static int past_grow(struct past *past)
{
	const uint32_t max = past->max == 0 ? 1024 : past->max * 2;
	struct remembered *items = realloc(past->items, max * sizeof(*items));

	if (items == NULL)
		return ENOMEM;
	past->items = items;
	past->max = max;
	free(past->places);
	past->n_places = max * 2;
	past->places = calloc(past->n_places, sizeof(*past->places));
	if (past->places == NULL)
		return ENOMEM;
	for (uint32_t i = 0; i < past->n; i++)
		*past_place(past, past->items[i].r.origin, past->items[i].r.number) =
			i + 1;
	return 0;
}

static int past_done(struct past *past, const struct record *r)
{
	for (uint32_t i = 0; i < past->n_done; i++) {
		struct record *d = &past->done[i];

		if (d->birth != r->birth || d->random != r->random ||
		    d->shard != r->shard)
			continue;
		d->sequence = max_of(d->sequence, r->sequence);
		return 0;
	}
	if (past->n_done == past->max_done) {
		const uint32_t max = past->max_done * 2 + 64;
		struct record *done = realloc(past->done, max * sizeof(*done));

		if (done == NULL)
			return ENOMEM;
		past->done = done;
		past->max_done = max;
	}
	past->done[past->n_done++] = *r;
	return 0;
}

static int past_take(struct past *past, const struct record *r)
{
	struct remembered *m;
	uint32_t *place;

	if (r->kind == RECORD_DONE)
		return past_done(past, r);
	if (past->n == past->max && past_grow(past) != 0)
		return ENOMEM;
	place = past_place(past, r->origin, r->number);
	if (*place == 0) {
		if (r->kind != RECORD_DATA)
			return 0; /* of one that was decided before */
		*place = ++past->n;
		m = &past->items[past->n - 1];
		m->r = *r;
		m->no = past->n;
		m->serial = 0;
		m->is_gone = false;
		return 0;
	}
	m = &past->items[*place - 1];
	if (r->kind == RECORD_GONE)
		m->is_gone = true;
	if (r->kind != RECORD_GONE && r->sequence != 0) {
		m->r.birth = r->birth;
		m->r.random = r->random;
		m->r.sequence = r->sequence;
		m->r.generation = r->generation;
		m->r.key_id = r->key_id;
		memcpy(m->r.stream_key, r->stream_key, sizeof(m->r.stream_key));
	}
	return 0;
}

/* The records of a file up to its torn end. One that is damaged in the middle is
 * stepped over where its length still leads to a whole one. */
static int past_read(struct past *past, const uint8_t *p, size_t n)
{
	size_t at = QUEUE_HEADER_BYTES;
	struct record r;

	while (at < n) {
		uint32_t bytes = record_read(p + at, n - at, &r);

		if (bytes == 0) {
			const uint64_t skip =
				n - at >= RECORD_BYTES ? load32(p + at + 8) : 0;

			past->n_damaged++;
			if (skip < RECORD_BYTES || skip > RECORD_MAX ||
			    skip >= n - at ||
			    record_read(p + at + skip, n - at - skip, &r) == 0)
				return 0;
			at += skip;
			continue;
		}
		if (past_take(past, &r) != 0)
			return ENOMEM;
		at += bytes;
	}
	return 0;
}

static int read_whole(int fd, uint8_t **out, size_t *n)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return errno;
	*n = 0;
	*out = malloc((size_t)st.st_size + 1);
	if (*out == NULL)
		return ENOMEM;
	while (*n < (size_t)st.st_size) {
		const ssize_t r = read(fd, *out + *n, (size_t)st.st_size - *n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			const int e = errno;

			free(*out);
			return e;
		}
		if (r == 0)
			break;
		*n += (size_t)r;
	}
	return 0;
}

static int past_add_file(struct past *past, const char *name, int fd, uint8_t *bytes)
{
	const uint32_t max = past->max_files * 2 + 8;

	if (past->n_files == past->max_files) {
		uint8_t **files = realloc(past->files, max * sizeof(*files));
		char(*names)[256] = NULL;
		int *fds = NULL;

		if (files != NULL)
			past->files = files;
		if (files != NULL)
			names = realloc(past->names, max * sizeof(*names));
		if (names != NULL)
			past->names = names;
		if (names != NULL)
			fds = realloc(past->fds, max * sizeof(*fds));
		if (fds == NULL)
			return ENOMEM;
		past->fds = fds;
		past->max_files = max;
	}
	past->files[past->n_files] = bytes;
	past->fds[past->n_files] = fd;
	snprintf(past->names[past->n_files++], 256, "%s", name);
	return 0;
}

/* Another handle of this process has it: its lock would not keep us out. */
static bool is_ours(const char *name);

/* Of a file of batches: what it says of itself. */
static bool open_header_is_right(const uint8_t *bytes, size_t n)
{
	const struct open_header *head = (const void *)bytes;

	return n >= OPEN_HEADER_BYTES &&
	       memcmp(head->magic, OPEN_MAGIC, sizeof(head->magic)) == 0 &&
	       head->check == open_check(head) && head->stride >= sizeof(struct slot) &&
	       head->payload_at < head->stride &&
	       head->n_batches <= (n - OPEN_HEADER_BYTES) / head->stride;
}

static bool header_is_right(const char *name, const uint8_t *bytes, size_t n)
{
	if (has_suffix(name, OPEN_SUFFIX))
		return open_header_is_right(bytes, n);
	return n < QUEUE_HEADER_BYTES || /* torn when it began */
	       (memcmp(bytes, QUEUE_MAGIC, 8) == 0 &&
		load64(bytes + 24) == queue_check(bytes, 24));
}

/* A file of the folder, if nobody uses it. */
static int past_open(struct headrace *h, struct past *past, const char *name,
		     struct sentence error)
{
	char path[4096];
	struct stat st;
	uint8_t *bytes = NULL;
	size_t n = 0;
	int fd, e = disk_path(&h->disk, name, "", path);

	fd = e == 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return errno == ENOENT ? HEADRACE_OK
				       : fail(error, HEADRACE_BAD_QUEUE, "%s: %s", path,
					      strerror(errno));
	/* Unlinked: it was written anew between our look and our lock. */
	if (!queue_lock_file(fd) || fstat(fd, &st) < 0 || st.st_nlink == 0) {
		close(fd);
		return HEADRACE_OK;
	}
	e = has_suffix(name, OPEN_SUFFIX) ? map_whole(fd, &bytes, &n)
					  : read_whole(fd, &bytes, &n);
	if (e == 0 && !header_is_right(name, bytes, n)) {
		fail(error, HEADRACE_BAD_QUEUE, "%s is no queue: move it away", path);
		e = EINVAL;
	} else if (e == 0) {
		e = past_add_file(past, name, fd, bytes);
		if (e == 0 && n >= QUEUE_HEADER_BYTES && has_suffix(name, QUEUE_SUFFIX))
			e = past_read(past, bytes, n);
		if (e == 0)
			return HEADRACE_OK;
		if (past->n_files > 0 && past->files[past->n_files - 1] == bytes)
			return fail(error, HEADRACE_BAD_QUEUE, "%s: %s", path,
				    strerror(e));
		fail(error, HEADRACE_BAD_QUEUE, "%s: %s", path, strerror(e));
	} else {
		fail(error, HEADRACE_BAD_QUEUE, "%s: %s", path, strerror(e));
	}
	forget_whole(name, fd, bytes);
	close(fd);
	return HEADRACE_BAD_QUEUE;
}

static bool is_decided_before(const struct past *past, const struct remembered *m)
{
	if (m->is_gone)
		return true;
	for (uint32_t i = 0; m->r.sequence != 0 && i < past->n_done; i++)
		if (past->done[i].birth == m->r.birth &&
		    past->done[i].random == m->r.random &&
		    past->done[i].shard == m->r.shard &&
		    m->r.sequence <= past->done[i].sequence)
			return true;
	return false;
}

/* By stream and sequence, those without one last, as they were recorded. */
static int by_age(const void *a, const void *b)
{
	const struct record *x = &((const struct remembered *)a)->r;
	const struct record *y = &((const struct remembered *)b)->r;

	if ((x->sequence == 0) != (y->sequence == 0))
		return x->sequence == 0 ? 1 : -1;
	if (x->sequence == 0) /* times may be of two clocks, one told later */
		return ((const struct remembered *)a)->no <
				       ((const struct remembered *)b)->no
			       ? -1
			       : 1;
	if ((x->birth & BIRTH_MASK) != (y->birth & BIRTH_MASK))
		return (x->birth & BIRTH_MASK) < (y->birth & BIRTH_MASK) ? -1 : 1;
	if (x->random != y->random)
		return x->random < y->random ? -1 : 1;
	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? -1 : 1;
	return x->shard < y->shard ? -1 : x->shard > y->shard;
}

/* ---- what it had not recorded: the batches of a process that died ---- */

static bool is_known(struct past *past, uint64_t origin, uint64_t number)
{
	return past->n_places > 0 && *past_place(past, origin, number) != 0;
}

/* As many whole events as it says, and nothing else. */
static bool is_whole(const struct slot *slot, const uint8_t *payload, uint32_t n)
{
	struct event_walk w =
		walk_begin((enum headrace_codec)slot->codec, payload, payload + n);
	uint32_t n_events = 0;

	if (slot->shard >= slot->n_shards)
		return false;
	for (; walk_next(&w); n_events++)
		if (headrace_shard(w.user, w.user_bytes, slot->n_shards) != slot->shard)
			return false;
	return n > 0 && w.p == w.end && n_events == slot->held >> 32 &&
	       (slot->codec == HEADRACE_PROTOBUF || slot->codec == HEADRACE_JSON);
}

static int past_take_slot(struct past *past, const struct open_header *head,
			  const struct slot *slot, const uint8_t *payload)
{
	const uint32_t end = (uint32_t)slot->held;
	struct remembered *m;

	/* The queue's file knows better: what has an identity, or is decided. */
	if (slot->held == 0 || is_known(past, head->origin, slot->number))
		return 0;
	if (slot->was_sent != 0 || end < HEADRACE_HEADER_BYTES ||
	    end - HEADRACE_HEADER_BYTES > head->stride - head->payload_at ||
	    !is_whole(slot, payload, end - HEADRACE_HEADER_BYTES)) {
		past->n_damaged++;
		return 0;
	}
	if (past->n == past->max && past_grow(past) != 0)
		return ENOMEM;
	m = &past->items[past->n++];
	memset(m, 0, sizeof(*m));
	m->r.kind = RECORD_DATA;
	m->r.codec = slot->codec;
	m->r.n_events = (uint16_t)(slot->held >> 32);
	m->r.shard = slot->shard;
	m->r.n_shards = slot->n_shards;
	m->r.generation = head->generation;
	m->r.origin = head->origin;
	m->r.number = slot->number;
	/* It began when this kernel ran already. */
	m->r.tracked_us =
		clock_us(CLOCK_REALTIME) - clock_us(CLOCK_BOOTTIME) + slot->opened_us;
	m->r.payload = payload;
	m->r.n_payload = end - HEADRACE_HEADER_BYTES;
	m->serial = slot->serial != 0 ? slot->serial : NEVER;
	return 0;
}

static int by_serial(const void *a, const void *b)
{
	const struct remembered *x = a, *y = b;

	if (x->serial != y->serial)
		return x->serial < y->serial ? -1 : 1;
	return x->r.number < y->r.number ? -1 : x->r.number > y->r.number;
}

/* Memory of another start of the kernel may be older than the queue's file. */
static int past_read_open(struct past *past, const uint8_t *p)
{
	const struct open_header *head = (const void *)p;
	const uint32_t before = past->n;
	uint8_t boot[16], none[16] = { 0 };

	boot_id(boot);
	if (memcmp(head->boot, boot, 16) != 0 || memcmp(boot, none, 16) == 0)
		return 0;
	past->is_moving = past->is_moving || head->is_moving != 0;
	for (uint32_t i = 0; i < head->n_batches; i++) {
		const uint8_t *at = p + OPEN_HEADER_BYTES + (size_t)i * head->stride;

		if (past_take_slot(past, head, (const void *)at,
				   at + head->payload_at) != 0)
			return ENOMEM;
	}
	if (past->n == before)
		return 0;
	qsort(past->items + before, past->n - before, sizeof(past->items[0]),
	      by_serial);
	for (uint32_t i = before; i < past->n; i++)
		past->items[i].no = i + 1;
	return 0;
}

/* ---- events that were on their way from one batch to another ---- */

static uint64_t event_mark(const struct event_walk *w)
{
	uint8_t bytes[USER_MAX + 1 + EVENT_ID_MAX];

	memcpy(bytes, w->user, w->user_bytes);
	bytes[w->user_bytes] = 0;
	memcpy(bytes + w->user_bytes + 1, w->id, w->id_bytes);
	return queue_check(bytes, w->user_bytes + 1 + w->id_bytes) | 1;
}

/* True: it was there. */
static bool mark_add(uint64_t *marks, size_t n_places, uint64_t mark)
{
	size_t at = (size_t)(mark >> 1) % n_places;

	for (; marks[at] != 0; at = (at + 1) % n_places)
		if (marks[at] == mark)
			return true;
	marks[at] = mark;
	return false;
}

/* Takes out what was seen; what has an identity stays as it is. */
static void once(struct record *r, uint64_t *marks, size_t n_places)
{
	union {
		const uint8_t *from;
		uint8_t *p; /* of the file as it was read */
	} payload = { r->payload };
	struct event_walk w = walk_begin((enum headrace_codec)r->codec, r->payload,
					 r->payload + r->n_payload);
	uint8_t *to = payload.p;
	uint16_t n_events = 0;

	while (walk_next(&w)) {
		if (mark_add(marks, n_places, event_mark(&w)) && r->sequence == 0)
			continue;
		memmove(to, w.event, w.event_bytes);
		to += w.event_bytes;
		n_events++;
	}
	r->n_payload = (uint32_t)(to - payload.p);
	r->n_events = n_events;
}

static int past_once(struct past *past)
{
	size_t n_places = 16;
	uint32_t n = 0;
	uint64_t *marks;

	for (uint32_t i = 0; i < past->n; i++)
		n_places += 2u * past->items[i].r.n_events;
	marks = calloc(n_places, sizeof(*marks));
	if (marks == NULL)
		return ENOMEM;
	for (uint32_t i = 0; i < past->n; i++) {
		once(&past->items[i].r, marks, n_places);
		if (past->items[i].r.n_events > 0)
			past->items[n++] = past->items[i];
	}
	past->n = n;
	free(marks);
	return 0;
}

/* The queue's file of a living process goes with its file of batches. */
static bool is_in_use(const struct headrace *h, const struct past *past,
		      const char *name)
{
	char open_name[256], path[4096];

	snprintf(open_name, sizeof(open_name), "%.*s" OPEN_SUFFIX,
		 (int)(strlen(name) - strlen(QUEUE_SUFFIX)), name);
	for (uint32_t i = 0; i < past->n_files; i++)
		if (strcmp(past->names[i], open_name) == 0)
			return false;
	return disk_path(&h->disk, open_name, "", path) != 0 || access(path, F_OK) == 0;
}

/* What a process left that died while it wrote a file anew. Of a living one it is not
 * for so long. */
static void remove_stale(const struct headrace *h, const char *name)
{
	const uint64_t now_us = clock_us(CLOCK_REALTIME);
	char path[4096];
	struct stat st;

	if (disk_path(&h->disk, name, "", path) == 0 && stat(path, &st) == 0 &&
	    now_us / SECOND > (uint64_t)st.st_mtime + 3600)
		(void)unlink(path);
}

/* All files of the folder whose names end so, and that nobody uses. */
static int past_open_all(struct headrace *h, struct past *past, const char *suffix,
			 struct sentence error)
{
	DIR *dir = opendir(h->disk.dir);
	struct dirent *entry;
	int r = HEADRACE_OK;

	if (dir == NULL)
		return fail(error, HEADRACE_BAD_QUEUE, "queue_dir %s: %s", h->disk.dir,
			    strerror(errno));
	while (r == HEADRACE_OK && (entry = readdir(dir)) != NULL) {
		if (has_suffix(entry->d_name, QUEUE_SUFFIX ".tmp") ||
		    has_suffix(entry->d_name, OPEN_SUFFIX ".tmp"))
			remove_stale(h, entry->d_name);
		if (has_suffix(entry->d_name, suffix) && !is_ours(entry->d_name) &&
		    (strcmp(suffix, OPEN_SUFFIX) == 0 ||
		     !is_in_use(h, past, entry->d_name)))
			r = past_open(h, past, entry->d_name, error);
	}
	closedir(dir);
	return r;
}

/* Everything that earlier processes left in the folder. */
static int past_load(struct headrace *h, struct past *past, struct sentence error)
{
	uint32_t n = 0;
	int e = 0, r = past_open_all(h, past, OPEN_SUFFIX, error);

	if (r == HEADRACE_OK)
		r = past_open_all(h, past, QUEUE_SUFFIX, error);
	for (uint32_t i = 0; i < past->n_files && r == HEADRACE_OK && e == 0; i++)
		if (has_suffix(past->names[i], OPEN_SUFFIX))
			e = past_read_open(past, past->files[i]);
	if (e != 0)
		return fail(error, HEADRACE_SYSTEM, "no memory");
	for (uint32_t i = 0; i < past->n; i++)
		if (!is_decided_before(past, &past->items[i]))
			past->items[n++] = past->items[i];
	past->n = n;
	if (n > 0)
		qsort(past->items, n, sizeof(past->items[0]), by_age);
	if (n > 0 && past->is_moving && past_once(past) != 0)
		return fail(error, HEADRACE_SYSTEM, "no memory");
	return r;
}

/* What open has to take memory for. */
static uint32_t past_streams(const struct past *past)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < past->n; i++)
		n += past->items[i].r.sequence != 0 &&
		     (i == 0 || past->items[i].r.birth != past->items[i - 1].r.birth ||
		      past->items[i].r.random != past->items[i - 1].r.random);
	return n;
}

static uint32_t past_largest(const struct past *past)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < past->n; i++)
		if (past->items[i].r.n_payload > n)
			n = past->items[i].r.n_payload;
	return n + HEADRACE_HEADER_BYTES + HEADRACE_TAG_BYTES;
}

static struct stream *restored_stream(struct hr_sdk_core *c, const struct record *r)
{
	struct stream *s = stream_find(c, r->birth, r->random);

	if (s == NULL)
		s = stream_new(c, r->birth, r->random);
	if (s == NULL)
		return NULL; /* cannot be: room was made for each of them */
	s->is_restored = true;
	if (r->key_id != c->conf.key_id) { /* bound to it for ever */
		s->key_id = r->key_id;
		memcpy(s->key, r->stream_key, sizeof(s->key));
	}
	s->n_shards = r->n_shards;
	s->generation = r->generation;
	s->begun_us = c->conf.now_us;
	return s;
}

static void past_restore(struct headrace *h, const struct past *past)
{
	for (uint32_t i = 0; i < past->n; i++) {
		const struct record *r = &past->items[i].r;
		struct batch *b = batch_take(h);

		(void)headrace_encoder_init(&b->encoder, (enum headrace_codec)r->codec,
					    b->buffer, h->slot_bytes);
		memcpy(b->buffer + HEADRACE_HEADER_BYTES, r->payload, r->n_payload);
		b->encoder.end = HEADRACE_HEADER_BYTES + r->n_payload;
		b->encoder.n_events = r->n_events;
		b->opened_us = h->core.conf.now_us;
		b->tracked_us = max_of(r->tracked_us, 1);
		b->serial = ++h->n_pushed;
		b->shard = r->shard;
		b->n_shards = r->n_shards;
		b->origin = r->origin;
		b->record_no = r->number;
		b->sequence = r->sequence;
		b->stream = NULL;
		b->n_sent = 0;
		if (r->sequence != 0) {
			b->stream = restored_stream(&h->core, r);
			b->stream->n_users++;
		}
		h->events_restored += r->n_events;
		core_restore(&h->core, b);
	}
}

/* Ours now: the file first, then the old ones go; those of batches first, which mean
 * nothing without the queue's. */
static int past_adopt(struct headrace *h, const struct past *past)
{
	int e = disk_rewrite(h);

	for (uint32_t i = 0; i < past->n_files && e == 0; i++) {
		char path[4096];

		if (disk_path(&h->disk, past->names[i], "", path) == 0 &&
		    unlink(path) < 0 && errno != ENOENT)
			e = errno;
	}
	return e == 0 && past->n_files > 0 ? sync_dir(&h->disk) : e;
}

/* ---- the sender with handshake: what the core cannot do itself ---- */

#define ANSWERS_AT_ONCE 32

/* The seed is only the sender's once streams have begun; a counter makes it new. */
static uint64_t draw(void *arg)
{
	struct headrace *h = arg;
	uint8_t hash[16];

	store64(h->dice + 16, load64(h->dice + 16) + 1);
	siphash128(h->dice, h->dice + 16, 8, hash);
	return load64(hash);
}

/* One send system call per run of the same target. What the network does not take
 * is sent again like what it loses. */
static void burst_flush(struct headrace *h)
{
	struct burst *b = &h->burst;
	unsigned int i = 0, tries = 0;

	while (i < b->n) {
		unsigned int n = 1;
		int sent, e;

		while (i + n < b->n && b->targets[i + n] == b->targets[i])
			n++;
		sent = sendmmsg(h->targets[b->targets[i]].fd, b->messages + i, n, 0);
		e = errno;
		if (sent > 0) {
			i += (unsigned int)sent;
			tries = 0;
			continue;
		}
		if (e == EINTR)
			continue;
		if (e == ECONNREFUSED && tries++ < 3) { /* an earlier one's answer */
			add(&h->send_unreachable, 1);
			continue;
		}
		if (is_busy(e) && tries++ < 3) {
			add(&h->send_retries, 1);
			wait_for_room(h->targets[b->targets[i]].fd, e);
			continue;
		}
		__atomic_store_n(&h->last_send_errno, e, __ATOMIC_RELAXED);
		add(&h->datagrams_failed, 1);
		tries = 0;
		i++;
	}
	b->n = 0;
}

static bool burst_send(void *arg, uint32_t target, const uint8_t *p, uint32_t n)
{
	struct headrace *h = arg;
	struct burst *b = &h->burst;
	union {
		const uint8_t *from;
		void *p;
	} bytes = { p }; /* sendmmsg() only reads, its type does not say so */

	if (b->n == BURST)
		burst_flush(h);
	b->bytes[b->n].iov_base = bytes.p;
	b->bytes[b->n].iov_len = n;
	memset(&b->messages[b->n], 0, sizeof(b->messages[b->n]));
	b->messages[b->n].msg_hdr.msg_iov = &b->bytes[b->n];
	b->messages[b->n].msg_hdr.msg_iovlen = 1;
	b->targets[b->n++] = target;
	return true;
}

/* Batches that are decided go back together, before anybody looks for one. */
static void return_batches(struct headrace *h)
{
	if (h->returned == NULL)
		return;
	h->returned_last->next = h->free;
	h->free = h->returned;
	h->n_done += h->n_returned;
	h->returned = h->returned_last = NULL;
	h->n_returned = 0;
}

static void give_back(void *arg, struct batch *batch)
{
	struct headrace *h = arg;

	if (batch->record_no != 0)
		h->disk.live_bytes -=
			RECORD_BYTES + batch->encoder.end - HEADRACE_HEADER_BYTES;
	slot_free(batch);
	batch->next = h->returned;
	h->returned = batch;
	if (h->returned_last == NULL)
		h->returned_last = batch;
	h->n_returned++;
}

static struct batch *take_batch(void *arg)
{
	struct headrace *h = arg;
	struct batch *batch = h->returned;

	if (batch == NULL)
		return batch_take(h);
	h->returned = batch->next;
	if (h->returned == NULL)
		h->returned_last = NULL;
	h->n_returned--;
	batch_number(h, batch);
	return batch;
}

static void tell(void *arg, const struct headrace_outcome *outcome)
{
	struct headrace *h = arg;

	h->on_outcome(h->on_outcome_arg, outcome);
}

/* Trackers go over to as many shards as the core has now: old ones are sealed while
 * nobody can append, so that nothing of a user overtakes. */
static void layout_publish(void *arg)
{
	struct headrace *h = arg;
	struct layout *old = h->layout, *layout;

	h->disk.wants_rewrite = true;
	if (h->open_header != NULL)
		__atomic_store_n(&h->open_header->generation, h->core.generation,
				 __ATOMIC_RELAXED);
	__atomic_store_n(&h->datagram_bytes, h->core.datagram_bytes, __ATOMIC_RELAXED);
	if (old->n_shards == h->core.n_shards)
		return;
	layout = layout_new(h->core.n_shards);
	if (layout == NULL)
		return; /* what the old one makes is spread over the shards one by one */
	pthread_mutex_lock(&h->layout_lock);
	lock_shards(old);
	for (uint32_t i = 0; i < old->n_shards; i++)
		if (has_events(&old->shards[i]))
			seal(h, old, i);
	old->is_retired = true;
	layout->older = old;
	/* Before anybody sees the new shards: their event numbers begin at 0, under the
	 * old stream's bits those ids were given already. */
	stream_begin(h, layout);
	/* Pairs with layout_of(). */
	__atomic_store_n(&h->layout, layout, __ATOMIC_RELEASE);
	unlock_shards(old);
	pthread_mutex_unlock(&h->layout_lock);
}

/* An owner's address: "host:port[-port]", the shards spread over the ports. Known
 * ones are found again by their numbers; a name is looked up, which may take its
 * time, but only the sender's. */
static int find_target(void *arg, struct headrace_slice addresses, uint32_t shard)
{
	struct headrace *h = arg;
	char text[OWNER_ADDRESSES_MAX + 1], *comma, *host, *ports;
	unsigned int first, last;
	struct target t;

	memcpy(text, addresses.p, addresses.n);
	text[addresses.n] = '\0';
	comma = strchr(text, ',');
	if (comma != NULL)
		*comma = '\0';
	if (!split_address(text, &host, &ports) || !parse_ports(ports, &first, &last) ||
	    target_resolve(host, first + shard % (last - first + 1), &t) != 0)
		return -1;
	for (uint32_t i = 0; i < h->n_targets; i++)
		if (h->targets[i].address_bytes == t.address_bytes &&
		    memcmp(&h->targets[i].address, &t.address, t.address_bytes) == 0)
			return (int)i;
	if (h->n_targets == TARGETS_MAX || target_connect(&t) != 0)
		return -1;
	pthread_mutex_lock(&h->queue_lock);
	h->targets[h->n_targets] = t;
	h->n_targets++;
	pthread_mutex_unlock(&h->queue_lock);
	return (int)h->n_targets - 1;
}

/* The file itself is made by the first sync. */
static void disk_begin(struct headrace *h)
{
	struct disk *d = &h->disk;

	if (d->dir == NULL)
		return;
	d->fd = -1;
	d->n_buffer = 0;
	d->live_bytes = d->file_bytes = 0;
	d->is_broken = d->is_unsynced = false;
	d->wants_rewrite = true;
}

/* A core with nothing in it: at the start, and in a forked child. Returns 0 or an
 * errno. */
static int reliable_begin(struct headrace *h, uint32_t n_streams)
{
	struct core_calls calls = {
		.arg = h,
		.random = draw,
		.send = burst_send,
		.find_target = find_target,
		.take = take_batch,
		.give_back = give_back,
		.reshaped = layout_publish,
		.decided = h->on_outcome != NULL ? tell : NULL,
	};
	struct core_config conf = {
		.key_id = h->key_id,
		.n_shards = h->layout->n_shards,
		.generation = h->generation,
		.n_targets = h->n_own_targets,
		.datagram_bytes = h->slot_bytes,
		.max_age_us = h->max_age_us,
		.ttl_us = h->ttl_us,
		.wall_us = clock_us(CLOCK_REALTIME),
		.now_us = clock_us(h->clock),
		.outcomes = h->outcomes,
		.n_restored = n_streams,
	};
	uint8_t hash[16], message[16];

	if (h->disk.dir != NULL) {
		calls.moves = disk_moves;
		calls.record = disk_record;
		calls.sync = disk_sync;
		calls.done = disk_done;
		calls.gone = disk_gone;
	}

	memcpy(conf.write_key, h->write_key, sizeof(conf.write_key));
	store64(message, (uint64_t)getpid());
	store64(message + 8, conf.wall_us);
	siphash128(h->seed, message, sizeof(message), hash);
	memcpy(h->dice, hash, sizeof(hash));
	store64(h->dice + 16, 0);
	disk_begin(h);
	h->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (h->wake_fd < 0)
		return errno;
	return core_init(&h->core, &conf, &calls) == HEADRACE_OK ? 0 : ENOMEM;
}

/* In a forked child. What the parent's core held was copied in the middle of
 * whatever its sender was doing: it is left behind, not freed. */
static int own_again(struct headrace *h)
{
	targets_reconnect(h);
	if (!h->is_reliable)
		return 0;
	close(h->wake_fd);
	if (h->disk.dir != NULL && h->disk.fd >= 0)
		close(h->disk.fd); /* the parent's file */
	if (h->batches_are_parents)
		(void)open_file_begin(h);
	return reliable_begin(h, 0);
}

static void receive_answers(struct headrace *h, uint64_t now_us)
{
	uint8_t bytes[ANSWERS_AT_ONCE][HEADRACE_DATAGRAM_MAX + 1];
	struct mmsghdr messages[ANSWERS_AT_ONCE];
	struct iovec iov[ANSWERS_AT_ONCE];
	uint32_t target = 0;

	while (target < h->n_targets) {
		int n;

		memset(messages, 0, sizeof(messages));
		for (unsigned int i = 0; i < ANSWERS_AT_ONCE; i++) {
			iov[i].iov_base = bytes[i];
			iov[i].iov_len = sizeof(bytes[i]);
			messages[i].msg_hdr.msg_iov = &iov[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		n = recvmmsg(h->targets[target].fd, messages, ANSWERS_AT_ONCE,
			     MSG_DONTWAIT, NULL);
		if (n < 0 && errno == ECONNREFUSED)
			add(&h->send_unreachable, 1);
		for (int i = 0; i < n; i++) {
			core_answer(&h->core, target, bytes[i], messages[i].msg_len,
				    now_us);
			burst_flush(h); /* before memory is used for others */
		}
		if (n < ANSWERS_AT_ONCE)
			target++;
	}
}

static void take_sealed(struct headrace *h)
{
	struct batch *batches[BURST];
	unsigned int n;

	while ((n = queue_take(h, batches)) > 0)
		for (unsigned int i = 0; i < n; i++)
			core_take(&h->core, batches[i]);
}

/* Let others see what was decided. */
static void counts_publish(struct headrace *h)
{
	const struct hr_sdk_core *c = &h->core;

	for (unsigned int i = 0; i < CORE_COUNTERS; i++) /* Pairs with counts_read() */
		__atomic_store_n(&h->counts[i], c->counts[i], __ATOMIC_RELEASE);
	__atomic_store_n(&h->clock_offset_us, c->has_clock ? c->clock_offset_us : 0,
			 __ATOMIC_RELAXED);
	pthread_mutex_lock(&h->queue_lock);
	return_batches(h);
	h->judged = h->n_pushed;
	h->oldest_serial = core_oldest(c);
	if (h->first != NULL && h->first->serial < h->oldest_serial)
		h->oldest_serial = h->first->serial;
	pthread_cond_broadcast(&h->done);
	pthread_mutex_unlock(&h->queue_lock);
}

/* Sleep until an answer comes, somebody wakes us or it is time. */
static void reliable_wait(struct headrace *h, uint64_t until_us)
{
	struct pollfd fds[TARGETS_MAX + 1];
	const uint64_t now_us = clock_us(h->clock);
	struct timespec left;
	uint64_t n_woken;

	left = timespec_of(until_us > now_us ? until_us - now_us : 0);
	for (uint32_t i = 0; i < h->n_targets; i++) {
		fds[i].fd = h->targets[i].fd;
		fds[i].events = POLLIN;
	}
	fds[h->n_targets].fd = h->wake_fd;
	fds[h->n_targets].events = POLLIN;
	if (ppoll(fds, h->n_targets + 1, until_us == NEVER ? NULL : &left, NULL) > 0 &&
	    (fds[h->n_targets].revents & POLLIN) != 0 &&
	    read(h->wake_fd, &n_woken, sizeof(n_woken)) < 0)
		n_woken = 0; /* somebody else's wish was taken before */
}

/* What is left at the end: on the disk it waits for the next start, in memory it is
 * given up. */
static bool is_over(struct headrace *h, uint64_t now_us)
{
	bool over;

	pthread_mutex_lock(&h->queue_lock);
	over = h->first == NULL &&
	       (core_oldest(&h->core) == NEVER || now_us >= h->stop_retry_until_us);
	pthread_mutex_unlock(&h->queue_lock);
	return over;
}

static bool is_stopping(struct headrace *h)
{
	bool yes;

	pthread_mutex_lock(&h->queue_lock);
	yes = h->stopping;
	pthread_mutex_unlock(&h->queue_lock);
	return yes;
}

/* `idle` is raised before the shards are looked at, as in sender_run(). */
static void *reliable_run(void *arg)
{
	struct headrace *h = arg;
	uint64_t dropped_before = 0;

	for (;;) {
		const bool stopping = is_stopping(h);
		const uint64_t now_us = clock_us(h->clock);
		uint64_t oldest_us, dropped, due_us;

		__atomic_store_n(&h->idle, true, __ATOMIC_RELAXED);
		receive_answers(h, now_us);
		oldest_us = seal_older(h, stopping ? NEVER : now_us - h->flush_us);
		if (oldest_us != NEVER)
			__atomic_store_n(&h->idle, false, __ATOMIC_RELAXED);
		take_sealed(h);
		dropped = get(&h->events_dropped);
		h->core.drops += dropped - dropped_before;
		dropped_before = dropped;
		due_us = core_run(&h->core, now_us);
		burst_flush(h);
		counts_publish(h);
		/* What was open when the end was announced has been sealed above. */
		if (stopping && is_over(h, now_us))
			break;
		if (oldest_us != NEVER && oldest_us + h->flush_us < due_us)
			due_us = oldest_us + h->flush_us;
		if (stopping && h->stop_retry_until_us < due_us)
			due_us = h->stop_retry_until_us;
		reliable_wait(h, due_us);
	}
	h->something_is_left = core_oldest(&h->core) != NEVER;
	core_give_up(&h->core);
	counts_publish(h);
	disk_close(h);
	return NULL;
}

/* The queue is locked, or nobody else has the handle yet. Signals stay with the
 * application's threads. Returns 0 or an errno. */
static int sender_start(struct headrace *h)
{
	sigset_t all, before;
	int e = 0;

	if (h->sockets_are_parents)
		e = own_again(h);
	h->sockets_are_parents = e != 0;
	if (e != 0)
		return e;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&h->sender, NULL, h->is_reliable ? reliable_run : sender_run,
			   h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->sender_is_up = e == 0;
	return e;
}

/* ---- fork ---- */

static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static struct headrace *handles;

static bool is_ours(const char *name)
{
	bool yes = false;

	pthread_mutex_lock(&handles_lock);
	for (struct headrace *h = handles; h != NULL && !yes; h = h->next)
		yes = h->disk.dir != NULL && (strcmp(h->disk.name, name) == 0 ||
					      strcmp(h->disk.open_name, name) == 0);
	pthread_mutex_unlock(&handles_lock);
	return yes;
}

static void before_fork(void)
{
	pthread_mutex_lock(&handles_lock);
	for (struct headrace *h = handles; h != NULL; h = h->next) {
		pthread_mutex_lock(&h->layout_lock);
		lock_shards(h->layout);
		pthread_mutex_lock(&h->queue_lock);
	}
}

static void unlock_all(void)
{
	for (struct headrace *h = handles; h != NULL; h = h->next) {
		pthread_mutex_unlock(&h->queue_lock);
		unlock_shards(h->layout);
		pthread_mutex_unlock(&h->layout_lock);
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

/* Everything free, nothing counted: at the start, and in a forked child, whose
 * parent sends what waited. */
static void queue_empty(struct headrace *h)
{
	h->first = NULL;
	batches_free(h);
	for (struct layout *l = h->layout; l != NULL; l = l->older)
		for (uint32_t i = 0; i < l->n_shards; i++) {
			l->shards[i].open = NULL;
			l->shards[i].events_tracked = 0;
		}
	h->last = NULL;
	h->returned = h->returned_last = NULL;
	h->n_sealed = h->n_returned = 0;
	h->n_pushed = h->n_done = h->judged = 0;
	h->oldest_serial = NEVER;
	h->burst.n = 0;
	h->poked = false;
	h->idle = true;
	h->sender_is_up = false;
	h->stream.no = h->sent_stream_no = 0;
	h->drops_reported = 0;
	h->events_dropped = h->events_sent = h->events_failed = 0;
	h->datagrams_sent = h->datagrams_failed = h->bytes_sent = 0;
	h->send_retries = h->send_unreachable = 0;
	h->last_send_errno = 0;
	memset(h->counts, 0, sizeof(h->counts));
	h->events_restored = h->queue_errors = 0;
	h->last_queue_errno = 0;
	memset(h->refused, 0, sizeof(h->refused));
}

/* The mapped file stays the parent's: other memory takes its place here. */
static void leave_parents_batches(struct headrace *h)
{
	if (h->map == NULL)
		return;
	h->batches_are_parents = true;
	h->open_header = NULL;
	if (mmap(h->map, h->map_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		h->n_batches = 0; /* nothing can be tracked here */
}

static void child_after_fork(void)
{
	for (struct headrace *h = handles; h != NULL; h = h->next) {
		conditions_init(h); /* the parent's waiters are not ours */
		leave_parents_batches(h);
		queue_empty(h);
		h->sockets_are_parents = true;
		h->n_targets = h->n_own_targets;
		stream_begin(h, h->layout);
	}
	unlock_all();
}

static int fork_handlers_error;

static void fork_handlers(void)
{
	fork_handlers_error = pthread_atfork(before_fork, unlock_all, child_after_fork);
}

/* ---- opening and closing ---- */

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

static int add_targets(struct headrace *h, char *text, struct sentence error)
{
	unsigned int first, last;
	char *host, *ports;

	if (!split_address(text, &host, &ports) || !parse_ports(ports, &first, &last))
		return fail(error, HEADRACE_BAD_ADDRESS,
			    "address: expected host:port, [address]:port or "
			    "host:first-last, each port 1 to 65535");
	if (h->n_targets + (last - first + 1) > TARGETS_MAX)
		return fail(error, HEADRACE_BAD_ADDRESS,
			    "address: more than %d of them", TARGETS_MAX);
	for (unsigned int port = first; port <= last; port++) {
		const int e = target_resolve(host, port, &h->targets[h->n_targets]);

		if (e != 0)
			return fail(error, HEADRACE_BAD_ADDRESS, "address %s: %s", host,
				    e == EAI_SYSTEM ? strerror(errno)
						    : gai_strerror(e));
		h->n_targets++;
	}
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
	/* With handshake they are for one another where one fails. */
	if (r == HEADRACE_OK && !h->is_reliable && h->n_targets > h->layout->n_shards)
		r = fail(error, HEADRACE_BAD_ADDRESS,
			 "address: %u of them for %u shards: some would get nothing",
			 h->n_targets, h->layout->n_shards);
	h->n_own_targets = h->n_targets;
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
	const bool has_disk = config->queue_dir != NULL;
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
		{ "handshake", config->handshake, 0, 1 },
		{ "event_ttl_ms",
		  or_default(config->event_ttl_ms,
			     has_disk ? 7 * 86400000u : 10 * 60000u),
		  1, 7 * 86400000u },
		{ "close_ms", or_default(config->close_ms, 5000), 1, 3600000 },
		{ "outcomes", config->outcomes, 0, (1u << HEADRACE_STATES) - 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].v < rows[i].min || rows[i].v > rows[i].max)
			return fail(error, HEADRACE_BAD_CONFIG,
				    "%s: expected %llu to %llu, found %llu",
				    rows[i].name, (unsigned long long)rows[i].min,
				    (unsigned long long)rows[i].max,
				    (unsigned long long)rows[i].v);
	h->key_id = config->key_id;
	h->layout = layout_new((uint32_t)rows[0].v);
	if (h->layout == NULL)
		return fail(error, HEADRACE_SYSTEM, "no memory for shards");
	h->generation = (uint32_t)rows[1].v;
	h->codec = (enum headrace_codec)rows[2].v;
	h->slot_bytes = h->datagram_bytes = (uint32_t)rows[3].v;
	h->flush_us = rows[4].v * 1000;
	*queue_bytes = rows[5].v;
	h->retry_us = rows[6].v * 1000;
	h->max_age_us = rows[7].v * 1000;
	h->is_reliable = rows[8].v == HEADRACE_HANDSHAKE_ON;
	h->clock = h->is_reliable ? CLOCK_BOOTTIME : CLOCK_MONOTONIC;
	h->ttl_us = rows[9].v * 1000;
	h->close_us = rows[10].v * 1000;
	h->outcomes = (unsigned int)rows[11].v;
	h->on_outcome = config->on_outcome;
	h->on_outcome_arg = config->on_outcome_arg;
	h->disk.no_sync = config->queue_no_sync;
	if (has_disk && (h->disk.dir = strdup(config->queue_dir)) == NULL)
		return fail(error, HEADRACE_SYSTEM, "no memory");
	if (!h->is_reliable && (has_disk || h->on_outcome != NULL))
		return fail(error, HEADRACE_BAD_CONFIG,
			    "queue_dir and on_outcome need the handshake: without "
			    "acknowledgements nobody knows what became of an event");
	return HEADRACE_OK;
}

/* Its place; open_file_begin() puts the file there. */
static int take_map(struct headrace *h)
{
	void *map;

	h->map_bytes = OPEN_HEADER_BYTES + h->n_batches * h->batch_bytes;
	map = mmap(NULL, h->map_bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return HEADRACE_SYSTEM;
	h->map = map;
	h->memory = h->map + OPEN_HEADER_BYTES;
	return HEADRACE_OK;
}

/* Memory for batches, all of it, touched once so that it is there. */
static int take_memory(struct headrace *h, uint64_t queue_bytes, uint32_t n_restored)
{
	const uint32_t n_shards = h->layout->n_shards;
	uint64_t wanted = queue_bytes / h->slot_bytes;
	void *memory = NULL;

	/* What was left is taken whole, and there is room for something new. */
	if (n_restored > 0 && wanted < n_restored + n_shards + 1)
		wanted = n_restored + n_shards + 1;

	h->batch_bytes = (sizeof(struct batch) + h->slot_bytes + CACHE_LINE - 1) /
			 CACHE_LINE * CACHE_LINE;
	h->n_batches = wanted > n_shards ? (uint32_t)wanted : n_shards + 1;
	h->wake_at = (h->n_batches - n_shards + 1) / 2;
	if (h->wake_at > WAKE_AT)
		h->wake_at = WAKE_AT;
	if (h->disk.dir != NULL)
		return take_map(h);
	if (posix_memalign(&memory, CACHE_LINE, h->n_batches * h->batch_bytes) != 0)
		return HEADRACE_SYSTEM;
	h->memory = memory;
	memset(memory, 0, h->n_batches * h->batch_bytes);
	return HEADRACE_OK;
}

/* Sender stopped, or never started. */
static void handle_free(struct headrace *h)
{
	if (h->targets != NULL)
		targets_close(h);
	free(h->targets);
	if (h->wake_fd >= 0)
		close(h->wake_fd);
	core_fini(&h->core);
	while (h->layout != NULL) {
		struct layout *older = h->layout->older;

		layout_free(h->layout);
		h->layout = older;
	}
	if (h->disk.dir != NULL)
		open_file_end(h); /* it was opened, and not begun */
	if (h->map != NULL)
		munmap(h->map, h->map_bytes);
	else
		free(h->memory);
	free(h->disk.dir);
	if (h->disk.fd >= 0)
		close(h->disk.fd);
	pthread_mutex_destroy(&h->layout_lock);
	pthread_mutex_destroy(&h->queue_lock);
	pthread_cond_destroy(&h->wake);
	pthread_cond_destroy(&h->done);
	free(h);
}

static int handle_start(struct headrace *h, const struct past *past,
			struct sentence error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int e;

	pthread_once(&once, fork_handlers);
	if (fork_handlers_error != 0)
		return fail(error, HEADRACE_SYSTEM, "fork handlers: %s",
			    strerror(fork_handlers_error));
	if (getrandom(h->seed, sizeof(h->seed), 0) != sizeof(h->seed))
		return fail(error, HEADRACE_SYSTEM, "random bits: %s", strerror(errno));
	if (h->disk.dir != NULL && (e = open_file_begin(h)) != 0)
		return fail(error, HEADRACE_BAD_QUEUE, "queue_dir %s: %s", h->disk.dir,
			    strerror(e));
	queue_empty(h);
	stream_begin(h, h->layout);
	if (h->is_reliable && (e = reliable_begin(h, past_streams(past))) != 0)
		return fail(error, HEADRACE_SYSTEM, "core: %s", strerror(e));
	if (h->disk.dir != NULL) {
		h->queue_errors = past->n_damaged;
		past_restore(h, past);
		e = past_adopt(h, past);
		if (e != 0)
			return fail(error, HEADRACE_BAD_QUEUE, "queue_dir %s: %s",
				    h->disk.dir, strerror(e));
	}

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

/* What is left in the folder, and what it means for what comes: its datagrams may be
 * larger, and it was made for as many shards as an appliance had told. */
static int read_past(struct headrace *h, struct past *past, struct sentence error)
{
	const int r = past_load(h, past, error);
	const struct record *newest = past->n > 0 ? &past->items[past->n - 1].r : NULL;
	struct layout *layout;

	if (r != HEADRACE_OK || newest == NULL)
		return r;
	if (h->slot_bytes < past_largest(past))
		h->slot_bytes = past_largest(past);
	h->generation = newest->generation;
	if (newest->n_shards == h->layout->n_shards || newest->n_shards == 0)
		return r;
	layout = layout_new(newest->n_shards);
	if (layout == NULL)
		return fail(error, HEADRACE_SYSTEM, "no memory for shards");
	layout_free(h->layout);
	h->layout = layout;
	return r;
}

int headrace_open(const struct headrace_config *config, struct headrace **out,
		  char *error_text, size_t error_bytes)
{
	const struct sentence error = { error_text, error_bytes };
	struct headrace *h = NULL;
	struct past past;
	uint64_t queue_bytes = 0;
	void *memory = NULL;
	int r;

	*out = NULL;
	if (posix_memalign(&memory, CACHE_LINE, sizeof(*h)) != 0)
		return fail(error, HEADRACE_SYSTEM, "no memory");
	h = memory;
	memset(h, 0, sizeof(*h));
	memset(&past, 0, sizeof(past));
	h->wake_fd = h->disk.fd = h->disk.open_fd = -1;
	lock_init(&h->queue_lock);
	pthread_mutex_init(&h->layout_lock, NULL);
	conditions_init(h);

	r = read_settings(h, config, &queue_bytes, error);
	if (r == HEADRACE_OK)
		r = read_write_key(h, config, error);
	if (r == HEADRACE_OK)
		r = open_targets(h, config->address, error);
	if (r == HEADRACE_OK && h->disk.dir != NULL)
		r = read_past(h, &past, error);
	if (r == HEADRACE_OK && take_memory(h, queue_bytes, past.n) != HEADRACE_OK)
		r = fail(error, HEADRACE_SYSTEM, "no memory for a queue of %llu bytes",
			 (unsigned long long)queue_bytes);
	if (r == HEADRACE_OK)
		r = handle_start(h, &past, error);
	past_free(&past);
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

/* Events that are not decided. */
static uint64_t waiting(struct headrace *h)
{
	struct headrace_counts counts;

	headrace_stats(h, &counts);
	return counts.events_waiting;
}

uint64_t headrace_waiting(struct headrace *h)
{
	return waiting(h);
}

int headrace_close(struct headrace *h)
{
	uint64_t failed_before;
	bool sender_is_up;
	int r = HEADRACE_OK;

	if (h == NULL)
		return HEADRACE_OK;
	forget_handle(h);
	failed_before = get(&h->datagrams_failed);
	pthread_mutex_lock(&h->queue_lock);
	h->stopping = true;
	h->stop_retry_until_us =
		clock_us(h->clock) + (h->is_reliable ? h->close_us : h->retry_us);
	sender_is_up = h->sender_is_up;
	if (sender_is_up)
		sender_wake(h);
	pthread_mutex_unlock(&h->queue_lock);

	if (sender_is_up) {
		pthread_join(h->sender, NULL);
	} else { /* a forked child that tracked nothing, or could not start it */
		if (h->sockets_are_parents && own_again(h) != 0)
			r = HEADRACE_SYSTEM;
		else
			(void)(h->is_reliable ? reliable_run : sender_run)(h);
	}
	if (h->is_reliable && r == HEADRACE_OK && h->something_is_left)
		r = HEADRACE_TIMEOUT;
	else if (!h->is_reliable && get(&h->datagrams_failed) != failed_before)
		r = HEADRACE_SEND_FAILED;
	handle_free(h);
	return r;
}

/* ---- tracking ---- */

/* The appliances' time as soon as one has told it, this machine's until then. */
static uint64_t event_time_us(const struct headrace *h)
{
	const uint64_t offset_us =
		__atomic_load_n(&h->clock_offset_us, __ATOMIC_RELAXED);

	return offset_us == 0 ? clock_us(CLOCK_REALTIME)
			      : clock_us(h->clock) + offset_us;
}

int headrace_track_event(struct headrace *h, const struct headrace_event *event)
{
	struct headrace_event ev = *event;
	struct layout *layout;
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
		ev.time_ms = (int64_t)(event_time_us(h) / 1000);
	}
	layout = shard_lock(h, ev.user, &shard_no);
	if (ev.id.n == 0)
		ev.id = make_id(h, layout, shard_no, id);
	r = shard_append(h, layout, shard_no, &ev, &opened);
	pthread_mutex_unlock(&layout->shards[shard_no].lock);

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

/* Everything up to this serial is decided. The queue is locked. */
static bool is_decided(const struct headrace *h, uint64_t serial)
{
	return h->is_reliable ? h->judged >= serial && h->oldest_serial > serial
			      : h->n_done >= serial;
}

/* What a flush that comes to its end is to be ashamed of. */
static uint64_t given_up(const struct headrace *h)
{
	return get(&h->datagrams_failed) + get(&h->counts[DROPPED_EVENTS]) +
	       get(&h->counts[UNKNOWN_EVENTS]) + get(&h->counts[LOST_DATAGRAMS]);
}

int headrace_flush(struct headrace *h, uint32_t timeout_ms)
{
	const struct timespec until =
		timespec_of(clock_us(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000u);
	const uint64_t given_up_before = given_up(h);
	uint64_t target;
	int e = 0, r = HEADRACE_OK;

	(void)seal_older(h, NEVER);
	pthread_mutex_lock(&h->queue_lock);
	target = h->n_pushed;
	sender_wake(h);
	while (!is_decided(h, target) && e == 0 && h->sender_is_up)
		e = pthread_cond_timedwait(&h->done, &h->queue_lock, &until);
	if (!h->sender_is_up)
		r = HEADRACE_SYSTEM;
	else if (!is_decided(h, target))
		r = HEADRACE_TIMEOUT;
	else if (given_up(h) != given_up_before)
		r = h->is_reliable ? HEADRACE_GIVEN_UP : HEADRACE_SEND_FAILED;
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

/* Of all layouts: an event is counted where it was appended. */
static uint64_t tracked(struct headrace *h, uint64_t *streams)
{
	uint64_t n = 0;

	for (struct layout *l = layout_of(h); l != NULL; l = l->older)
		for (uint32_t i = 0; i < l->n_shards; i++) {
			pthread_mutex_lock(&l->shards[i].lock);
			n += l->shards[i].events_tracked;
			*streams = h->stream.no;
			pthread_mutex_unlock(&l->shards[i].lock);
		}
	return n;
}

static void counts_read(struct headrace *h, struct headrace_counts *out)
{
	const struct {
		enum core_counter counter;
		uint64_t *to;
	} rows[] = {
		{ COMMITTED_EVENTS, &out->events_committed },
		{ DROPPED_EVENTS, &out->events_expired },
		{ UNKNOWN_EVENTS, &out->events_unknown },
		{ LOST_EVENTS, &out->events_lost },
		{ LOST_DATAGRAMS, &out->datagrams_lost },
		{ RESENT_DATAGRAMS, &out->datagrams_resent },
		{ SENT_PROBES, &out->probes_sent },
		{ ANSWERS, &out->answers },
		{ ANSWERS_IGNORED, &out->answers_ignored },
		{ FAILOVERS, &out->failovers },
	};

	out->events_restored = h->events_restored;
	out->queue_errors = get(&h->queue_errors);
	out->last_queue_errno = __atomic_load_n(&h->last_queue_errno, __ATOMIC_RELAXED);

	/* Pairs with counts_publish(): what is decided was tracked before. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		*rows[i].to =
			__atomic_load_n(&h->counts[rows[i].counter], __ATOMIC_ACQUIRE);
	if (!h->is_reliable)
		return;
	out->events_sent = get(&h->counts[SENT_EVENTS]);
	out->datagrams_sent =
		get(&h->counts[SENT_DATAGRAMS]) + get(&h->counts[RESENT_DATAGRAMS]);
	out->bytes_sent = get(&h->counts[SENT_BYTES]);
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
	counts_read(h, out);
	out->events_tracked = tracked(h, &out->streams);
	if (h->is_reliable) {
		out->streams = get(&h->counts[STREAMS]);
		out->events_waiting = out->events_tracked + out->events_restored -
				      out->events_committed - out->events_expired -
				      out->events_unknown;
	} else {
		out->events_waiting =
			out->events_tracked - out->events_sent - out->events_failed;
	}
	out->events_dropped = get(&h->events_dropped);
	for (int i = 0; i < HEADRACE_RESULT_COUNT; i++) {
		out->refused[i] = get(&h->refused[i]);
		out->events_refused += out->refused[i];
	}
}
