/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BEACON_H
#define HR_BEACON_H

/*
 * beacon - from a UDP payload to something that may be appended to an epoch: who
 * sent it, for which shard, and that its bytes are what they claim to be. Events are
 * not looked into; fold does that when the log has them.
 *
 *   payload ─┬─ "HRB..."  header, key, tag, generation, S, shard, framing ─▶ one item
 *            └─ "{" or "[" (insecure: true) split by user's shard ─▶ a piece a shard
 *
 * Pure functions of the bytes; any worker. Rules and keyring are made before the
 * first packet and immutable from then on.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "common/wire.h"
#include "dataplane/beacon/token.h"
#include "dataplane/drops.h"

/* Write keys by id; open addressing, never full. Hot: find. */
struct hr_keyring;

int hr_keyring_new(struct hr_keyring **out, const struct hr_write_key *keys,
		   uint32_t n_keys, struct hr_err *err);
void hr_keyring_free(struct hr_keyring *ring);
/* The 16 bytes of a key, or NULL. ring may be NULL (no keys). */
const uint8_t *hr_keyring_find(const struct hr_keyring *ring, uint32_t key_id);

struct hr_beacon_rules {
	const struct hr_keyring *keys;
	uint32_t generation;
	uint16_t n_shards;
	bool insecure; /* headerless JSON is taken */
};

/* Headerless JSON: the first byte that is not white space is '{' or '['. Whatever
 * is not that is judged as a datagram with a header. */
bool hr_beacon_is_headerless(const uint8_t *payload, uint32_t n);

/*
 * Judge a datagram with a header, in the order of drops.def: FRAME_*, KEY_UNKNOWN,
 * TAG, GENERATION, WRONG_S, WRONG_SHARD, HANDSHAKE (HELLO, PROBE and SKIP while the
 * handshake is off), FRAMING. HR_DROP_NONE: *out is an authentic DATA datagram with
 * exactly n_events well-framed events, for a shard below S.
 */
enum hr_drop hr_beacon_read(const struct hr_beacon_rules *rules, const uint8_t *payload,
			    uint32_t n, struct hr_wire *out);

/*
 * The same where the handshake is on: FRAME_*, KEY_UNKNOWN, TAG, TOKEN (of DATA and
 * SKIP: the one that from's address was given; its key id is not read), GENERATION,
 * WRONG_S, WRONG_SHARD, FRAMING. HR_DROP_NONE: *out is authentic: DATA, HELLO, PROBE or
 * SKIP. At GENERATION and what follows *out is whole too, so that it can be answered.
 */
enum hr_drop hr_beacon_ask(const struct hr_beacon_rules *rules,
			   const struct hr_tokens *tokens,
			   const struct hr_token_of *from, const uint8_t *payload,
			   uint32_t n, struct hr_wire *out);

/* All events of one headerless datagram that go to one shard. */
struct hr_piece {
	uint16_t shard;
	uint8_t refused; /* HR_DROP_NONE, or HR_DROP_UNKEYED_USER: the events without
			  * a usable user_id, one piece together */
	uint32_t n_events;
	struct hr_str payload; /* JSON lines, in the sender's order; into bytes */
};

#define HR_PIECES_MAX (100u + 1u) /* HR_SHARDS_MAX and the refused one */

struct hr_split {
	uint32_t n_pieces;
	struct hr_piece pieces[HR_PIECES_MAX];
	uint8_t bytes[2 * HR_WIRE_DATAGRAM_MAX];
};

/*
 * Split a headerless datagram (one object, JSON lines, or one array of objects) into
 * pieces. White space between tokens inside an event may change (a newline becomes a
 * blank), everything else is as received. Returns HR_DROP_NONE and at least one
 * piece; else UNKEYED (not allowed), FRAME_LONG, FRAME_COUNT (more than
 * HR_WIRE_EVENTS_MAX events) or UNKEYED_JSON (broken framing) for the whole datagram.
 */
enum hr_drop hr_beacon_split(const struct hr_beacon_rules *rules,
			     const uint8_t *payload, uint32_t n, struct hr_split *out);

#endif
