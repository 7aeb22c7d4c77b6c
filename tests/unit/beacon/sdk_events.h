/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SDK_EVENTS_H
#define SDK_EVENTS_H

/* sdk_events - events and datagrams as the C SDK's encoder writes them. */

#include <CUnit/Basic.h>

#include "headrace.h"

static const uint8_t sdk_write_key[16] = { 0, 1, 2,  3,  4,  5,  6,  7,
					   8, 9, 10, 11, 12, 13, 14, 15 };
#define SDK_KEY_ID 0x11223344u
#define SDK_GENERATION 1u
#define SDK_S 5u

#define SLICE(literal) ((struct headrace_slice){ (literal), sizeof(literal) - 1 })

/* Every field, every form of a pair, and texts that JSON has to escape. */
static inline struct headrace_event sdk_full_event(void)
{
	static const struct headrace_pair pairs[] = {
		{ .key = SLICE("product_id"), .text = SLICE("product_456") },
		{ .key = SLICE("category"), .text = SLICE("\xc3\xa4 \"electronics\"") },
		{ .key = SLICE("price"),
		  .form = HEADRACE_NUMBER,
		  .text = SLICE("19.990") },
		{ .key = SLICE("quantity"), .form = HEADRACE_INTEGER, .integer = 2 },
		{ .key = SLICE("q\"\\"),
		  .text = SLICE("a\n\x7f\"\\\0\xf0\x9f\x98\x80") },
		{ .key = SLICE("i"), .form = HEADRACE_INTEGER, .integer = INT64_MIN },
		{ .key = SLICE("j"), .form = HEADRACE_INTEGER, .integer = INT64_MAX },
		{ .key = SLICE("n"),
		  .form = HEADRACE_NUMBER,
		  .text = SLICE("-0.5e+7") },
		{ .key = SLICE("t"), .form = HEADRACE_TRUE },
		{ .key = SLICE("f"), .form = HEADRACE_FALSE },
		{ .key = SLICE("0"), .form = HEADRACE_NULL },
		{ .key = SLICE("empty"), .text = SLICE("") },
	};

	return (struct headrace_event){
		.user = SLICE("user_123"),
		.type = SLICE("product_view"),
		.id = SLICE("user_123_1705314600000"),
		.time_form = HEADRACE_TIME_TEXT,
		.time_text = SLICE("2024-01-15T10:30:00.000"),
		.pairs = pairs,
		.n_pairs = sizeof(pairs) / sizeof(pairs[0]),
	};
}

static inline struct headrace_event sdk_bare_event(void)
{
	return (struct headrace_event){
		.user = SLICE("u"),
		.type = SLICE("my own type"),
	};
}

static inline struct headrace_datagram sdk_header(void)
{
	struct headrace_datagram d = {
		.key_id = SDK_KEY_ID,
		.generation = SDK_GENERATION,
		.birth = 0x0005f00000000001,
		.random = 0x99aabbccddeeff01,
		.sequence = 0x0102030405060708,
		.shard = 3,
		.n_shards = SDK_S,
		.attempt = 0x31323334,
		.client_drops = 0x41424344,
		.sent_us = 0x5152535455565758,
		.token = 0x6162636465666768,
	};

	headrace_stream_key(sdk_write_key, d.birth, d.random, d.stream_key);
	return d;
}

/* A datagram of these events; returns its bytes. out has HEADRACE_DATAGRAM_MAX. */
static inline size_t sdk_datagram(uint8_t *out, enum headrace_codec codec,
				  const struct headrace_event *events, size_t n)
{
	const struct headrace_datagram d = sdk_header();
	struct headrace_encoder e;

	CU_ASSERT_EQUAL_FATAL(
		headrace_encoder_init(&e, codec, out, HEADRACE_DATAGRAM_MAX), 0);
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL_FATAL(headrace_encoder_append(&e, &events[i]), 0);
	return headrace_encoder_finish(&e, &d);
}

#endif
