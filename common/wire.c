/* SPDX-License-Identifier: BSD-3-Clause */

/* See wire.h; docs/wire-format.md is the specification. Runs per beacon: calls the
 * hash and nothing else. */

#include "common/wire.h"
#include "common/siphash.h"
#include "dataplane/drops.h"

#define AT_VERSION 3
#define AT_KIND 4
#define AT_DIRECTION 5
#define AT_SUITE 6
#define AT_CODEC 7
#define AT_FLAGS 8
#define AT_SHARD 10
#define AT_N_SHARDS 12
#define AT_N_EVENTS 14
#define AT_GENERATION 16
#define AT_KEY_ID 20
#define AT_BIRTH 24
#define AT_RANDOM 32
#define AT_SEQUENCE 40
#define AT_ATTEMPT 48
#define AT_DROPS 52
#define AT_SENT 56
#define AT_TOKEN 64
#define AT_PAYLOAD_BYTES 72
#define AT_RESERVED 74
#define RESERVED_BYTES 6

_Static_assert(AT_RESERVED + RESERVED_BYTES == HR_WIRE_HEADER_BYTES,
	       "the header's end");
_Static_assert(HR_WIRE_TAG_BYTES == HR_SIPHASH_BYTES, "the tag is the whole hash");
_Static_assert(HR_WIRE_KEY_BYTES == HR_SIPHASH_KEY_BYTES, "the key is the hash's");
_Static_assert(HR_WIRE_PAYLOAD_MAX <= UINT16_MAX, "the length field holds it");

#define STREAM_LABEL "headrace stream 1"
#define LABEL_BYTES (sizeof(STREAM_LABEL) - 1)

static inline bool is_sent_by_clients(uint8_t kind)
{
	return kind == HR_KIND_DATA || kind == HR_KIND_HELLO || kind == HR_KIND_PROBE ||
	       kind == HR_KIND_SKIP;
}

static inline bool codec_fits(const struct hr_wire *w)
{
	if (w->kind != HR_KIND_DATA)
		return w->codec == HR_CODEC_NONE;
	return w->codec == HR_CODEC_PROTOBUF || w->codec == HR_CODEC_JSON;
}

static inline bool count_fits(const struct hr_wire *w)
{
	if (w->kind != HR_KIND_DATA)
		return w->n_events == 0;
	return w->n_events >= 1 && w->n_events <= HR_WIRE_EVENTS_MAX;
}

/* HELLO asks for a birth and has none; PROBE may come before the first DATA. */
static inline bool stream_fits(const struct hr_wire *w)
{
	if (w->kind == HR_KIND_HELLO)
		return w->birth == 0 && w->sequence == 0;
	return HR_BIRTH_US(w->birth) != 0 &&
	       (w->sequence != 0 || w->kind == HR_KIND_PROBE);
}

static inline bool reserved_is_zero(const uint8_t *p)
{
	return (hr_load32(p + AT_RESERVED) | hr_load16(p + AT_RESERVED + 4)) == 0;
}

static inline void load_fields(struct hr_wire *out, const uint8_t *p)
{
	out->kind = p[AT_KIND];
	out->direction = p[AT_DIRECTION];
	out->suite = p[AT_SUITE];
	out->codec = p[AT_CODEC];
	out->flags = hr_load16(p + AT_FLAGS);
	out->shard = hr_load16(p + AT_SHARD);
	out->n_shards = hr_load16(p + AT_N_SHARDS);
	out->n_events = hr_load16(p + AT_N_EVENTS);
	out->generation = hr_load32(p + AT_GENERATION);
	out->key_id = hr_load32(p + AT_KEY_ID);
	out->birth = hr_load64(p + AT_BIRTH);
	out->random = hr_load64(p + AT_RANDOM);
	out->sequence = hr_load64(p + AT_SEQUENCE);
	out->attempt = hr_load32(p + AT_ATTEMPT);
	out->client_drops = hr_load32(p + AT_DROPS);
	out->sent_us = hr_load64(p + AT_SENT);
	out->token = hr_load64(p + AT_TOKEN);
	out->payload.p = p + HR_WIRE_HEADER_BYTES;
	out->payload.n = hr_load16(p + AT_PAYLOAD_BYTES);
}

int hr_wire_decode(struct hr_wire *out, const uint8_t *datagram, size_t n)
{
	if (n < HR_WIRE_HEADER_BYTES + HR_WIRE_TAG_BYTES)
		return HR_DROP_FRAME_SHORT;
	if (n > HR_WIRE_DATAGRAM_MAX)
		return HR_DROP_FRAME_LONG;
	if (memcmp(datagram, "HRB", AT_VERSION) != 0)
		return HR_DROP_FRAME_MAGIC;
	if (datagram[AT_VERSION] != HR_WIRE_VERSION)
		return HR_DROP_FRAME_VERSION;
	load_fields(out, datagram);
	if (!is_sent_by_clients(out->kind))
		return HR_DROP_FRAME_KIND;
	if (out->direction != HR_TO_APPLIANCE)
		return HR_DROP_FRAME_DIRECTION;
	if (out->suite != HR_SUITE_SIPHASH)
		return HR_DROP_FRAME_SUITE;
	if (!codec_fits(out))
		return HR_DROP_FRAME_CODEC;
	if (out->flags != 0 || !reserved_is_zero(datagram))
		return HR_DROP_FRAME_FLAGS;
	if (out->payload.n != n - HR_WIRE_HEADER_BYTES - HR_WIRE_TAG_BYTES)
		return HR_DROP_FRAME_LENGTH;
	if (!count_fits(out))
		return HR_DROP_FRAME_COUNT;
	if (!stream_fits(out))
		return HR_DROP_FRAME_STREAM;
	return HR_DROP_NONE;
}

size_t hr_wire_encode(const struct hr_wire *w,
		      const uint8_t stream_key[HR_WIRE_KEY_BYTES], uint8_t *out)
{
	const size_t end = HR_WIRE_HEADER_BYTES + w->payload.n;

	if (w->payload.n != 0 && w->payload.p != out + HR_WIRE_HEADER_BYTES)
		memcpy(out + HR_WIRE_HEADER_BYTES, w->payload.p, w->payload.n);
	memcpy(out, "HRB", AT_VERSION);
	out[AT_VERSION] = HR_WIRE_VERSION;
	out[AT_KIND] = w->kind;
	out[AT_DIRECTION] = w->direction;
	out[AT_SUITE] = w->suite;
	out[AT_CODEC] = w->codec;
	hr_store16(out + AT_FLAGS, w->flags);
	hr_store16(out + AT_SHARD, w->shard);
	hr_store16(out + AT_N_SHARDS, w->n_shards);
	hr_store16(out + AT_N_EVENTS, w->n_events);
	hr_store32(out + AT_GENERATION, w->generation);
	hr_store32(out + AT_KEY_ID, w->key_id);
	hr_store64(out + AT_BIRTH, w->birth);
	hr_store64(out + AT_RANDOM, w->random);
	hr_store64(out + AT_SEQUENCE, w->sequence);
	hr_store32(out + AT_ATTEMPT, w->attempt);
	hr_store32(out + AT_DROPS, w->client_drops);
	hr_store64(out + AT_SENT, w->sent_us);
	hr_store64(out + AT_TOKEN, w->token);
	hr_store16(out + AT_PAYLOAD_BYTES, (uint16_t)w->payload.n);
	memset(out + AT_RESERVED, 0, RESERVED_BYTES);
	hr_siphash128(stream_key, out, end, out + end);
	return end + HR_WIRE_TAG_BYTES;
}

void hr_wire_stream_key(const uint8_t write_key[HR_WIRE_KEY_BYTES], uint64_t birth,
			uint64_t random, uint8_t out[HR_WIRE_KEY_BYTES])
{
	uint8_t message[LABEL_BYTES + 16];

	memcpy(message, STREAM_LABEL, LABEL_BYTES);
	hr_store64(message + LABEL_BYTES, birth);
	hr_store64(message + LABEL_BYTES + 8, random);
	hr_siphash128(write_key, message, sizeof(message), out);
}

bool hr_wire_tag_fits(const uint8_t stream_key[HR_WIRE_KEY_BYTES],
		      const uint8_t *datagram, size_t n)
{
	const uint8_t *found = datagram + n - HR_WIRE_TAG_BYTES;
	uint8_t tag[HR_WIRE_TAG_BYTES];

	hr_siphash128(stream_key, datagram, n - HR_WIRE_TAG_BYTES, tag);
	return ((hr_load64(tag) ^ hr_load64(found)) |
		(hr_load64(tag + 8) ^ hr_load64(found + 8))) == 0;
}
