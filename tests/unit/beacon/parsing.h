/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PARSING_H
#define PARSING_H

/*
 * parsing - events as tests want them: bytes in memory exactly as long as they are,
 * so that a sanitizer sees every read beyond; an arena of the size the contract
 * says is enough; protobuf written by hand.
 */

#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "common/wire.h"
#include "dataplane/beacon/event.h"

#define RECEIVED_MS 1700000000123

/* What one event points into, until the next parsed() with the same. */
struct parsing {
	uint8_t *bytes, *room;
	struct hr_event ev;
};

static inline void parsing_free(struct parsing *p)
{
	free(p->bytes);
	free(p->room);
	memset(p, 0, sizeof(*p));
}

static inline enum hr_reject parsed(struct parsing *p, uint8_t codec, const void *bytes,
				    size_t n)
{
	struct hr_arena arena;

	parsing_free(p);
	p->bytes = malloc(n);
	p->room = malloc(n);
	CU_ASSERT_FATAL(n == 0 || (p->bytes != NULL && p->room != NULL));
	if (n > 0)
		memcpy(p->bytes, bytes, n);
	arena = (struct hr_arena){ p->room, p->room + n };
	return codec == HR_CODEC_JSON
		       ? hr_event_parse_json(&p->ev, &arena, p->bytes, (uint32_t)n,
					     RECEIVED_MS)
		       : hr_event_parse_protobuf(&p->ev, &arena, p->bytes, (uint32_t)n,
						 RECEIVED_MS);
}

static inline bool is_text(struct hr_str s, const char *text)
{
	return s.n == strlen(text) && (s.n == 0 || memcmp(s.p, text, s.n) == 0);
}

/* The record, as a C string in memory of the size the contract says is enough;
 * free() it. */
static inline char *rendered(const struct hr_event *ev, size_t event_bytes)
{
	const uint32_t max = HR_RENDER_BYTES(event_bytes);
	uint8_t *exact = malloc(max);
	uint32_t n = hr_event_render(ev, exact, max);
	char *text = malloc(n + 1);

	CU_ASSERT_FATAL(n > 0 && n <= max);
	memcpy(text, exact, n);
	text[n] = '\0';
	free(exact);
	return text;
}

/* A protobuf message in the making. */
struct message {
	uint32_t n;
	uint8_t bytes[4096];
};

static inline void add_varint(struct message *m, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		m->bytes[m->n++] = (uint8_t)(v | 0x80);
	m->bytes[m->n++] = (uint8_t)v;
}

static inline void add_integer(struct message *m, uint32_t field, uint64_t v)
{
	add_varint(m, field << 3);
	add_varint(m, v);
}

static inline void add_bytes(struct message *m, uint32_t field, const void *p, size_t n)
{
	add_varint(m, field << 3 | 2);
	add_varint(m, n);
	CU_ASSERT_FATAL(m->n + n <= sizeof(m->bytes));
	memcpy(m->bytes + m->n, p, n);
	m->n += (uint32_t)n;
}

static inline void add_text(struct message *m, uint32_t field, const char *text)
{
	add_bytes(m, field, text, strlen(text));
}

static inline void add_message(struct message *m, uint32_t field,
			       const struct message *inner)
{
	add_bytes(m, field, inner->bytes, inner->n);
}

#endif
