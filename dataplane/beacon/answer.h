/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_ANSWER_H
#define HR_ANSWER_H

/*
 * answer - what an appliance says to a sender: CHALLENGE, ACK, PROBE_ANSWER, NOT_OWNER,
 * BUSY, EXPIRED, WRONG_SHARD, byte by byte as docs/wire-format.md lays them out. Whoever
 * decides fills a struct hr_answer, and it becomes bytes where it leaves.
 *
 * An answer is never larger than the question: hr_answer_encode() writes nothing where
 * it would be, so that nobody can use an appliance to send more than was sent to it.
 * Its tag covers the direction, so it never passes for a question. Hot; pure.
 */

#include <stdint.h>

#include "common/wire.h"

struct hr_answer {
	uint8_t kind;    /* enum hr_wire_kind; 0: there is none */
	uint8_t meaning; /* of ACK and PROBE_ANSWER: enum hr_ack_meaning */
	uint8_t reason;  /* of BUSY: enum hr_busy_reason */
	uint16_t room;   /* bytes of the question, or of the largest of several */
	uint16_t shard;
	uint16_t n_shards;   /* CHALLENGE, NOT_OWNER, WRONG_SHARD */
	uint32_t generation; /* the same */
	uint32_t key_id;
	uint32_t attempt; /* of the question */
	uint32_t credit;  /* ACK, PROBE_ANSWER */
	uint32_t wait_ms; /* BUSY: ask again; CHALLENGE: the token is good for */
	uint64_t birth, random;
	uint64_t sequence; /* ACK, PROBE_ANSWER: the floor */
	uint64_t parked;   /* the same: bit i: floor + 1 + i is held */
	uint64_t token;    /* CHALLENGE, PROBE_ANSWER */
	uint64_t incarnation;
	uint64_t server_us; /* record time: CHALLENGE, PROBE_ANSWER, EXPIRED */
	uint64_t echo_us;   /* send time of the question: CHALLENGE, PROBE_ANSWER */
	uint64_t span_us;   /* CHALLENGE: stream.max_age; EXPIRED: the oldest birth,
			     * or HR_EXPIRED_ANY */
	struct hr_str addresses; /* NOT_OWNER: left out where they are too long */
};

/* The largest answer there is. */
#define HR_ANSWER_MAX                                                                  \
	(HR_WIRE_HEADER_BYTES + HR_NOT_OWNER_BYTES + HR_WIRE_ADDRESSES_MAX +           \
	 HR_WIRE_TAG_BYTES)

/*
 * Write the whole datagram, tagged under the stream's key made from write_key; sent_us
 * is the appliance's clock. out has room for HR_ANSWER_MAX. Returns its bytes, or 0
 * where it would be larger than the question.
 */
uint32_t hr_answer_encode(const struct hr_answer *answer,
			  const uint8_t write_key[HR_WIRE_KEY_BYTES], uint64_t sent_us,
			  uint8_t *out);

#endif
