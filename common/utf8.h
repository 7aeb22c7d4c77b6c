/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_UTF8_H
#define HR_UTF8_H

/*
 * utf8 - characters of a text by the strict reading, which is Unicode's table 3-7
 * (well-formed byte sequences): no overlong forms, no surrogates, nothing above
 * U+10FFFF. Pure; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t hr_utf8_announced(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2) /* a continuation, or an overlong form of ASCII */
		return 0;
	if (first < 0xe0)
		return 2;
	if (first < 0xf0)
		return 3;
	return first < 0xf5 ? 4 : 0;
}

/* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
static inline bool hr_utf8_second_fits(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

/* The bytes of the character at p, or 0 where there is none. left is at least 1. */
static inline uint32_t hr_utf8_bytes(const uint8_t *p, uint32_t left)
{
	const uint32_t n = hr_utf8_announced(p[0]);

	if (n <= 1)
		return n;
	if (n > left || !hr_utf8_second_fits(p[0], p[1]))
		return 0;
	for (uint32_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

#endif
