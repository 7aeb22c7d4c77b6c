/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PROTOBUF_IMPL_H
#define HR_PROTOBUF_IMPL_H

/*
 * protobuf - the wire format of docs/headrace.proto from a cursor and an end, one
 * field at a time (https://protobuf.dev/programming-guides/encoding/). As every
 * protobuf reader, this one takes fields in any order, integers that are written
 * longer than they need, and steps over fields it does not know; groups are refused.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

#define PB_VARINT 0
#define PB_FIXED64 1
#define PB_BYTES 2
#define PB_FIXED32 5
#define PB_FIELD(number, type) ((uint32_t)(number) << 3 | (type))

#define BATCH_EVENTS PB_FIELD(1, PB_BYTES)
#define EVENT_USER PB_FIELD(1, PB_BYTES)
#define EVENT_TYPE PB_FIELD(2, PB_BYTES)
#define EVENT_ID PB_FIELD(3, PB_BYTES)
#define EVENT_TIME_MS PB_FIELD(4, PB_VARINT)
#define EVENT_TIME_TEXT PB_FIELD(5, PB_BYTES)
#define EVENT_PAIRS PB_FIELD(6, PB_BYTES)
#define EVENT_FIELDS 6
#define PAIR_KEY PB_FIELD(1, PB_BYTES)
#define PAIR_TEXT PB_FIELD(2, PB_BYTES)
#define PAIR_INTEGER PB_FIELD(3, PB_VARINT)
#define PAIR_NUMBER PB_FIELD(4, PB_BYTES)
#define PAIR_BOOL PB_FIELD(5, PB_VARINT)
#define PAIR_NULL PB_FIELD(6, PB_VARINT)
#define PAIR_FIELDS 6

struct pb {
	const uint8_t *at, *end;
};

/* Two bytes or more, at most ten, at most 64 bits. */
static inline bool pb_take_long_varint(struct pb *c, uint64_t *out)
{
	uint64_t v = 0;

	for (uint32_t shift = 0; shift < 64 && c->at < c->end; shift += 7) {
		const uint8_t byte = *c->at++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*out = v;
			return true;
		}
	}
	return false;
}

static inline bool pb_take_varint(struct pb *c, uint64_t *out)
{
	if (c->at < c->end && *c->at < 0x80) {
		*out = *c->at++;
		return true;
	}
	return pb_take_long_varint(c, out);
}

/* A field's number and type. Number 0 does not exist, the largest is 2^29 - 1. */
static inline bool pb_take_tag(struct pb *c, uint32_t *tag)
{
	uint64_t v;

	if (!pb_take_varint(c, &v) || v < PB_FIELD(1, 0) || v > UINT32_MAX)
		return false;
	*tag = (uint32_t)v;
	return true;
}

static inline bool pb_take_bytes(struct pb *c, struct hr_str *out)
{
	uint64_t n;

	if (!pb_take_varint(c, &n) || n > (uint64_t)(c->end - c->at))
		return false;
	out->p = c->at;
	out->n = (uint32_t)n;
	c->at += n;
	return true;
}

/* Step over the value of a field that is not known. */
static inline bool pb_skip(struct pb *c, uint32_t tag)
{
	struct hr_str bytes;
	uint64_t v;
	int64_t n;

	switch (tag & 7u) {
	case PB_VARINT:
		return pb_take_varint(c, &v);
	case PB_BYTES:
		return pb_take_bytes(c, &bytes);
	case PB_FIXED64:
	case PB_FIXED32:
		n = (tag & 7u) == PB_FIXED64 ? 8 : 4;
		if (c->end - c->at < n)
			return false;
		c->at += n;
		return true;
	default:
		return false;
	}
}

#endif
