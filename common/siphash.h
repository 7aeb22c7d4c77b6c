/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SIPHASH_H
#define HR_SIPHASH_H

/*
 * siphash - SipHash-2-4 with 128-bit output: the tag of a beacon and the hash
 * of the chain. Keyed, no nonce, no state outside the struct. Any thread.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF"
 * (2012) and the authors' 128-bit variant; checked against their vectors and
 * against libsodium where it has the same function.
 */

#include <stddef.h>
#include <stdint.h>

#define HR_SIPHASH_KEY_BYTES 16
#define HR_SIPHASH_BYTES 16

struct hr_siphash {
	uint64_t v[4];
	uint64_t tail;        /* bytes not yet compressed, low end first */
	uint64_t total_bytes; /* so far; its low byte closes the hash */
};

void hr_siphash_init(struct hr_siphash *s, const uint8_t key[HR_SIPHASH_KEY_BYTES]);
void hr_siphash_update(struct hr_siphash *s, const void *bytes, size_t n);
/* Leaves s spent: init it again before the next message. */
void hr_siphash_final(struct hr_siphash *s, uint8_t out[HR_SIPHASH_BYTES]);

/* The three in one, for a message that lies in one piece. */
void hr_siphash128(const uint8_t key[HR_SIPHASH_KEY_BYTES], const void *bytes, size_t n,
		   uint8_t out[HR_SIPHASH_BYTES]);

#endif
