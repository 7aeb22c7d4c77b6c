/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TOKEN_H
#define HR_TOKEN_H

/*
 * token - proof that a sender can be reached where it says it is. CHALLENGE and
 * PROBE_ANSWER bring a token to an address; DATA and SKIP from that address carry it.
 * No state is kept: every appliance with the same cluster secret makes the same token.
 *
 *   hour key = SipHash-2-4-128(cluster secret, "headrace token 1" ‖ hour u64)
 *   token    = the first 8 bytes of SipHash-2-4-128(hour key,
 *                  source address (16) ‖ source port u16 ‖ family u16 ‖ key id u32)
 *
 * The hour is that of the wall clock, since 1970. Tokens of this hour and of the one
 * before it are good. 0 is no token: where the hash gives it, it is 1. A worker has its
 * own struct hr_tokens.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/siphash.h"

#define HR_SECRET_BYTES 16u

struct hr_tokens {
	uint8_t secret[HR_SECRET_BYTES];
	uint64_t hour;
	uint8_t now_key[HR_SIPHASH_BYTES], last_key[HR_SIPHASH_BYTES];
};

/* Whom a token is for. */
struct hr_token_of {
	uint8_t source[16]; /* IPv4 in the first 4, then zeroes */
	uint16_t source_port;
	uint16_t family; /* 4 or 6 */
	uint32_t key_id;
};

/* Cold. */
void hr_tokens_init(struct hr_tokens *t, const uint8_t secret[HR_SECRET_BYTES],
		    uint64_t wall_us);
/* Hot, all of them. Follow the hour: before the others, once a burst. */
void hr_tokens_turn(struct hr_tokens *t, uint64_t wall_us);
uint64_t hr_token_make(const struct hr_tokens *t, const struct hr_token_of *of);
bool hr_token_fits(const struct hr_tokens *t, const struct hr_token_of *of,
		   uint64_t token);
/* How long a token made now stays good. */
uint32_t hr_tokens_good_ms(uint64_t wall_us);

#endif
