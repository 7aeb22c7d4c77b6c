/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_KEYRING_IMPL_H
#define HR_KEYRING_IMPL_H

/*
 * keyring, inside: open addressing with linear probing in a power of two of slots,
 * at most half of them used, so every search ends at an empty one.
 */

#include <stdbool.h>
#include <stdint.h>

struct keyring_slot {
	uint32_t id;
	bool is_used;
	uint8_t key[16];
};

struct hr_keyring {
	uint32_t shift; /* slots = 2^(32 - shift) */
	struct keyring_slot slots[];
};

/* Fibonacci hashing: the high bits of the product with 2^32 / phi. */
static inline uint32_t keyring_home(const struct hr_keyring *ring, uint32_t id)
{
	return (id * 2654435769u) >> ring->shift;
}

static inline uint32_t keyring_next(const struct hr_keyring *ring, uint32_t slot)
{
	return (slot + 1) & (UINT32_MAX >> ring->shift);
}

#endif
