/* SPDX-License-Identifier: BSD-3-Clause */

#include <nmmintrin.h>

#include "common/bytes.h"
#include "common/crc32c.h"

/* SSE 4.2 has this very polynomial; our -march is above that. */
uint32_t hr_crc32c(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t crc = 0xffffffffu;

	for (; n >= 8; p += 8, n -= 8)
		crc = _mm_crc32_u64(crc, hr_load64(p));
	for (; n > 0; p++, n--)
		crc = _mm_crc32_u8((uint32_t)crc, *p);
	return ~(uint32_t)crc;
}
