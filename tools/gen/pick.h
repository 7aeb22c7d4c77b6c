/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PICK_H
#define HR_PICK_H

/*
 * pick - which of n things comes next: by Zipf's law (thing k with weight
 * 1 / (k + 1)^x) or each as often as the others. Walker's alias method (Vose 1991):
 * one table row and one comparison a pick, whatever n. And the mixing of 64 bits that
 * all of the generator's choices come from.
 *
 * Immutable after init: any thread may pick.
 */

#include <stdint.h>

#include "common/error.h"

/* The finalizer of SplitMix64 (Steele, Lea and Flood 2014): neighbouring numbers in,
 * independent looking bits out. */
static inline uint64_t hr_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* 32 random bits to a number below n, without a division. */
static inline uint32_t hr_below(uint32_t bits, uint32_t n)
{
	return (uint32_t)((uint64_t)bits * n >> 32);
}

struct hr_pick_row {
	uint32_t keep; /* of 2^32: how often the row itself is taken */
	uint32_t alias;
};

struct hr_pick {
	uint32_t n;
	struct hr_pick_row *rows; /* NULL: uniform */
};

/* zipf_milli 0: uniform. Returns 0 or -ENOMEM. */
int hr_pick_init(struct hr_pick *pick, uint32_t n, uint32_t zipf_milli,
		 struct hr_err *err);
void hr_pick_fini(struct hr_pick *pick);

/* bits: 64 random ones. */
static inline uint32_t hr_pick_one(const struct hr_pick *pick, uint64_t bits)
{
	const uint32_t k = hr_below((uint32_t)(bits >> 32), pick->n);

	if (pick->rows == NULL)
		return k;
	return (uint32_t)bits <= pick->rows[k].keep ? k : pick->rows[k].alias;
}

#endif
