/* SPDX-License-Identifier: BSD-3-Clause */

/* Texts that are not plain ASCII, character by character. */

#include "dataplane/beacon/text_impl.h"

static inline uint32_t announced_bytes(uint8_t first)
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
static inline bool second_fits(uint8_t first, uint8_t second)
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

uint32_t hr_utf8_bytes(const uint8_t *p, uint32_t left)
{
	const uint32_t n = announced_bytes(p[0]);

	if (n <= 1)
		return n;
	if (n > left || !second_fits(p[0], p[1]))
		return 0;
	for (uint32_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

enum hr_reject hr_text_judge(struct hr_str s)
{
	enum hr_reject found = HR_REJECT_NONE;

	for (uint32_t i = 0, n; i < s.n; i += n) {
		n = hr_utf8_bytes(s.p + i, s.n - i);
		if (n == 0)
			return HR_REJECT_UTF8;
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			found = HR_REJECT_CONTROL;
	}
	return found;
}
