/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEXT_IMPL_H
#define HR_TEXT_IMPL_H

/*
 * text - what kind of characters a text is made of, eight bytes at a time. Nearly
 * every text is printable ASCII, so that is asked first and inline; everything
 * else is walked character by character in text_fast.c.
 *
 * The word tests mark bytes by their high bit. The lowest mark is always right;
 * above a right one there may be wrong ones (a borrow), so only "any?" and "the
 * first?" may be asked.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "dataplane/beacon/event.h"

#define WORD_ONES 0x0101010101010101u
#define WORD_HIGHS 0x8080808080808080u

static inline uint64_t word_equal(uint64_t w, uint8_t c)
{
	const uint64_t x = w ^ (WORD_ONES * c);

	return (x - WORD_ONES) & ~x & WORD_HIGHS;
}

static inline uint64_t word_below(uint64_t w, uint8_t limit)
{
	return (w - WORD_ONES * limit) & ~w & WORD_HIGHS;
}

/* Control characters, DEL, and whatever is not ASCII. */
static inline uint64_t word_odd(uint64_t w)
{
	return (w & WORD_HIGHS) | word_below(w, 0x20) | word_equal(w, 0x7f);
}

/* The index of the first marked byte; marks is not 0. */
static inline uint32_t word_first(uint64_t marks)
{
	return (uint32_t)__builtin_ctzll(marks) / 8;
}

/* n below 8 bytes behind p, blanks above them: touches nothing outside. */
static inline uint64_t word_of_few(const uint8_t *p, uint32_t n)
{
	if (n >= 4)
		return hr_load32(p) | (uint64_t)hr_load32(p + n - 4) << 32;
	if (n == 0)
		return WORD_ONES * ' ';
	return (WORD_ONES * ' ') << 24 | (uint64_t)p[n - 1] << 16 |
	       (uint64_t)p[n / 2] << 8 | p[0];
}

/* Every byte is printable ASCII. */
static inline bool text_is_plain(struct hr_str s)
{
	uint64_t odd;

	if (s.n < 8)
		return word_odd(word_of_few(s.p, s.n)) == 0;
	odd = word_odd(hr_load64(s.p + s.n - 8));
	for (uint32_t i = 0; i + 8 < s.n; i += 8)
		odd |= word_odd(hr_load64(s.p + i));
	return odd == 0;
}

/* The bytes of the UTF-8 character at p as Unicode 15, table 3-7 allows them (no
 * overlong forms, no surrogates, at most U+10FFFF), or 0. left is at least 1. */
uint32_t hr_utf8_bytes(const uint8_t *p, uint32_t left);

/* HR_REJECT_NONE, _UTF8, or _CONTROL (UTF-8 with control characters: below U+0020,
 * and U+007F). */
enum hr_reject hr_text_judge(struct hr_str s);

static inline enum hr_reject text_judge(struct hr_str s)
{
	return text_is_plain(s) ? HR_REJECT_NONE : hr_text_judge(s);
}

/* 1 to max bytes without control characters; bad_length is said otherwise. */
static inline enum hr_reject text_judge_name(struct hr_str s, uint32_t max,
					     enum hr_reject bad_length)
{
	if (s.n == 0 || s.n > max)
		return bad_length;
	return text_judge(s);
}

#endif
