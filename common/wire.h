/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_WIRE_H
#define HR_WIRE_H

/*
 * wire - the beacon datagram, byte by byte. docs/wire-format.md is the
 * specification, with test vectors; this header is its form in C. All integers
 * little-endian.
 *
 *      0       1       2       3       4       5       6       7
 *   0 | 'H'   | 'R'   | 'B'   |version| kind  |direct.| suite | codec |
 *   8 |     flags     |     shard     |       S       | event count   |
 *  16 |          generation           |            key id             |
 *  24 |            stream id: birth, us since 1970 and class bit      |
 *  32 |            stream id: random bits                             |
 *  40 |            sequence, dense per stream and shard, from 1       |
 *  48 |            attempt            |     drops at the client       |
 *  56 |            send time, us since 1970                           |
 *  64 |            address token                                      |
 *  72 |payload length | reserved: 0   |         reserved: 0           |
 *  80 | payload ... | tag (16 bytes, directly behind the payload)     |
 *
 * The tag covers everything before it. Its key is derived from the write key
 * and the stream id (hr_wire_stream_key). What differs between two transmissions
 * of one beacon is attempt, drops, send time, address token and the tag; every
 * other byte is bound to {stream, shard, sequence} for ever.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

#define HR_WIRE_VERSION 1
#define HR_WIRE_HEADER_BYTES 80
#define HR_WIRE_TAG_BYTES 16
#define HR_WIRE_KEY_BYTES 16
/* Never fragmented: 1,280 (IPv6's least MTU) - 40 (IPv6) - 8 (UDP). */
#define HR_WIRE_DATAGRAM_DEFAULT 1232
/* What a receiver takes: an Ethernet frame of 1,500 over IPv4. */
#define HR_WIRE_DATAGRAM_MAX 1472
#define HR_WIRE_PAYLOAD_MAX                                                            \
	(HR_WIRE_DATAGRAM_MAX - HR_WIRE_HEADER_BYTES - HR_WIRE_TAG_BYTES)
#define HR_WIRE_EVENTS_MAX 512

/* The numbers are the format: they never change meaning. */
enum hr_wire_kind {
	HR_KIND_DATA = 1,
	HR_KIND_HELLO = 2,
	HR_KIND_CHALLENGE = 3,
	HR_KIND_ACK = 4,
	HR_KIND_PROBE = 5,
	HR_KIND_PROBE_ANSWER = 6,
	HR_KIND_SKIP = 7,
	HR_KIND_NOT_OWNER = 8,
	HR_KIND_BUSY = 9,
	HR_KIND_EXPIRED = 10,
	HR_KIND_WRONG_SHARD = 11,
};

enum hr_wire_direction {
	HR_TO_APPLIANCE = 0,
	HR_FROM_APPLIANCE = 1,
};

enum hr_wire_suite {
	HR_SUITE_SIPHASH = 1,
	HR_SUITE_AEAD = 2, /* reserved: refused as unknown */
};

enum hr_wire_codec {
	HR_CODEC_NONE = 0, /* kinds without events */
	HR_CODEC_PROTOBUF = 1,
	HR_CODEC_JSON = 2,
};

/* Payload bytes of the kinds without events. Those that ask are padded to the size of
 * their answers. */
#define HR_HELLO_BYTES 32u
#define HR_CHALLENGE_BYTES 32u
#define HR_ACK_BYTES 24u
#define HR_PROBE_BYTES 160u
#define HR_PROBE_ANSWER_BYTES 40u
#define HR_SKIP_BYTES 32u
#define HR_NOT_OWNER_BYTES 16u /* and the addresses */
#define HR_BUSY_BYTES 16u
#define HR_EXPIRED_BYTES 24u
#define HR_EXPIRED_ANY UINT64_MAX /* as oldest birth: whatever its birth is */
#define HR_WIRE_ADDRESSES_MAX 128u

enum hr_ack_meaning {
	HR_ACK_RECEIVED = 1,  /* in order up to the floor, not yet in the log */
	HR_ACK_COMMITTED = 2, /* in the log up to the floor: the sender frees it */
};

enum hr_busy_reason {
	HR_BUSY_STREAMS = 1, /* the write key's share of streams is used up */
	HR_BUSY_BUDGET = 2,  /* the shard's budget is */
};

/* Bit 63 of birth: the stream's class. Set: the SDK keeps its queue on disk. */
#define HR_BIRTH_DISK_CLASS (1ull << 63)
#define HR_BIRTH_US(birth) ((birth) & ~HR_BIRTH_DISK_CLASS)

struct hr_wire {
	uint8_t kind, direction, suite, codec;
	uint16_t flags; /* none defined: must be 0 */
	uint16_t shard;
	uint16_t n_shards;
	uint16_t n_events;
	uint32_t generation;
	uint32_t key_id;
	uint64_t birth;
	uint64_t random;
	uint64_t sequence;
	uint32_t attempt;
	uint32_t client_drops; /* events the sender gave up so far on this stream */
	uint64_t sent_us;
	uint64_t token;
	struct hr_str payload; /* points into the datagram */
};

/*
 * Read the header of one whole datagram: bounds and fixed values only, neither
 * tag nor key nor shard. The length field must account for every byte.
 * Returns 0 or a row of dataplane/drops.def, HR_DROP_FRAME_*; on refusal *out
 * is unspecified. Hot; any thread.
 */
int hr_wire_decode(struct hr_wire *out, const uint8_t *datagram, size_t n);

/*
 * Write header, payload and tag. out has room for HR_WIRE_HEADER_BYTES +
 * payload.n + HR_WIRE_TAG_BYTES; the payload may already lie in its place.
 * Returns the bytes of the datagram.
 */
size_t hr_wire_encode(const struct hr_wire *w,
		      const uint8_t stream_key[HR_WIRE_KEY_BYTES], uint8_t *out);

/* SipHash-2-4-128(write key, "headrace stream 1" ‖ birth ‖ random). */
void hr_wire_stream_key(const uint8_t write_key[HR_WIRE_KEY_BYTES], uint64_t birth,
			uint64_t random, uint8_t out[HR_WIRE_KEY_BYTES]);

/* The datagram's tag is the one this key gives. Time does not depend on where
 * they differ. n is the whole datagram; at least header and tag. */
bool hr_wire_tag_fits(const uint8_t stream_key[HR_WIRE_KEY_BYTES],
		      const uint8_t *datagram, size_t n);

#endif
