/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EVENTS_H
#define EVENTS_H

/*
 * events - the events of a datagram, read without a line of the encoder's: a
 * protobuf walk of a dozen lines, and jansson for JSON. Tag by libsodium.
 */

#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "common/bytes.h"

static const uint8_t write_key[16] = { 0, 1, 2,  3,  4,  5,  6,  7,
				       8, 9, 10, 11, 12, 13, 14, 15 };
#define WRITE_KEY_HEX "000102030405060708090a0b0c0d0e0f"

struct seen {
	char user[129], type[65], id[65], product[65];
	int64_t time_ms;
	uint32_t n_pairs;
};

static inline bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (unsigned int shift = 0; *p < end && shift < 64; shift += 7) {
		*v |= (uint64_t)(**p & 0x7f) << shift;
		if ((*(*p)++ & 0x80) == 0)
			return true;
	}
	return false;
}

/* One field: its number, and its bytes or its integer. */
struct field {
	uint32_t number;
	const uint8_t *p;
	uint64_t n;
};

static inline bool take_field(const uint8_t **p, const uint8_t *end, struct field *f)
{
	uint64_t tag;

	if (*p == end || !take_varint(p, end, &tag) || !take_varint(p, end, &f->n))
		return false;
	f->number = (uint32_t)(tag >> 3);
	f->p = NULL;
	if ((tag & 7) == 0)
		return true;
	CU_ASSERT_EQUAL_FATAL(tag & 7, 2);
	CU_ASSERT_FATAL(f->n <= (uint64_t)(end - *p));
	f->p = *p;
	*p += f->n;
	return true;
}

static inline void copy_text(char *to, size_t max, const uint8_t *p, size_t n)
{
	CU_ASSERT_FATAL(n < max);
	memcpy(to, p, n);
	to[n] = '\0';
}

static inline void see_pair(struct seen *s, const uint8_t *p, const uint8_t *end)
{
	bool is_product = false;
	struct field f;

	s->n_pairs++;
	while (take_field(&p, end, &f)) {
		if (f.number == 1)
			is_product = f.n == 10 && memcmp(f.p, "product_id", 10) == 0;
		else if (f.number == 2 && is_product)
			copy_text(s->product, sizeof(s->product), f.p, f.n);
	}
}

static inline struct seen see_protobuf(const uint8_t *p, const uint8_t *end)
{
	struct seen s = { .time_ms = -1 };
	struct field f;

	while (take_field(&p, end, &f)) {
		if (f.number == 1)
			copy_text(s.user, sizeof(s.user), f.p, f.n);
		else if (f.number == 2)
			copy_text(s.type, sizeof(s.type), f.p, f.n);
		else if (f.number == 3)
			copy_text(s.id, sizeof(s.id), f.p, f.n);
		else if (f.number == 4)
			s.time_ms = (int64_t)f.n;
		else if (f.number == 6)
			see_pair(&s, f.p, f.p + f.n);
	}
	CU_ASSERT_PTR_EQUAL(p, end);
	return s;
}

static inline void copy_member(char *to, size_t max, const json_t *object,
			       const char *name)
{
	const json_t *v = json_object_get(object, name);

	if (v != NULL)
		copy_text(to, max, (const uint8_t *)json_string_value(v),
			  json_string_length(v));
}

static inline struct seen see_json(const uint8_t *p, const uint8_t *end)
{
	struct seen s = { .time_ms = -1 };
	json_error_t e;
	json_t *o = json_loadb((const char *)p, (size_t)(end - p),
			       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	copy_member(s.user, sizeof(s.user), o, "user_id");
	copy_member(s.type, sizeof(s.type), o, "event_type");
	copy_member(s.id, sizeof(s.id), o, "event_id");
	copy_member(s.product, sizeof(s.product), json_object_get(o, "metadata"),
		    "product_id");
	s.n_pairs = (uint32_t)json_object_size(json_object_get(o, "metadata"));
	if (json_is_integer(json_object_get(o, "timestamp")))
		s.time_ms = json_integer_value(json_object_get(o, "timestamp"));
	json_decref(o);
	return s;
}

/* Read up to max events of a whole datagram; returns how many it holds. */
static inline uint32_t see_events(const uint8_t *datagram, size_t n, struct seen *out,
				  uint32_t max)
{
	const uint8_t *p = datagram + 80, *end = datagram + n - 16;
	uint32_t n_events = 0;
	struct field f;

	CU_ASSERT_EQUAL_FATAL(hr_load16(datagram + 72), n - 96);
	if (datagram[7] == 1) {
		for (; take_field(&p, end, &f); n_events++) {
			CU_ASSERT_EQUAL_FATAL(f.number, 1);
			if (n_events < max)
				out[n_events] = see_protobuf(f.p, f.p + f.n);
		}
	} else {
		for (; p < end; n_events++) {
			const uint8_t *line = memchr(p, '\n', (size_t)(end - p));

			CU_ASSERT_PTR_NOT_NULL_FATAL(line);
			if (n_events < max)
				out[n_events] = see_json(p, line);
			p = line + 1;
		}
	}
	CU_ASSERT_EQUAL(hr_load16(datagram + 14), n_events);
	return n_events;
}

/* The tag is the one the write key of these tests gives. */
static inline bool tag_fits(const uint8_t *datagram, size_t n)
{
	uint8_t message[33], key[16], tag[16];

	memcpy(message, "headrace stream 1", 17);
	memcpy(message + 17, datagram + 24, 16);
	crypto_shorthash_siphashx24(key, message, sizeof(message), write_key);
	crypto_shorthash_siphashx24(tag, datagram, n - 16, key);
	return memcmp(tag, datagram + n - 16, 16) == 0;
}

#endif
