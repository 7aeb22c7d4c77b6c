/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/murmur2.h"
#include "common/bytes.h"

/* Kafka's Java client signs its bytes; only the last one to three could differ, and
 * there it masks them. */
#define KAFKA_SEED 0x9747b28cu

uint32_t hr_murmur2(const void *key, size_t n)
{
	const uint32_t m = 0x5bd1e995;
	const uint8_t *p = key;
	uint32_t h = KAFKA_SEED ^ (uint32_t)n;

	for (; n >= 4; p += 4, n -= 4) {
		uint32_t k = hr_load32(p) * m;

		k ^= k >> 24;
		h = h * m ^ k * m;
	}
	switch (n) {
	case 3:
		h ^= (uint32_t)p[2] << 16;
		/* fall through */
	case 2:
		h ^= (uint32_t)p[1] << 8;
		/* fall through */
	case 1:
		h ^= p[0];
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	return h ^ h >> 15;
}
