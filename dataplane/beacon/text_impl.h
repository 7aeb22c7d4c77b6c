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

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/utf8.h"
#include "dataplane/beacon/event.h"

/* Where nothing is, p may be NULL, and NULL has no end to be calculated. */
static inline const uint8_t *bytes_end(const uint8_t *p, uint32_t n)
{
	return n == 0 ? p : p + n;
}

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

/* Some byte is odd. Cheaper than word_odd(): a wrong mark needs a right one. */
static inline uint64_t word_is_odd(uint64_t w)
{
	return (w | (w - WORD_ONES * 0x20) | ((w ^ (WORD_ONES * 0x7f)) - WORD_ONES)) &
	       WORD_HIGHS;
}

/* Every byte is printable ASCII. */
static inline bool text_is_plain(struct hr_str s)
{
	uint64_t odd;

	if (s.n < 8)
		return word_is_odd(word_of_few(s.p, s.n)) == 0;
	odd = word_is_odd(hr_load64(s.p + s.n - 8));
	for (uint32_t i = 0; i + 8 < s.n; i += 8)
		odd |= word_is_odd(hr_load64(s.p + i));
	return odd == 0;
}

/* The same for a text that lies in bytes readable up to end: where there are 32 from
 * its start on, one load judges it whatever its length, so no branch has to guess
 * that. (All texts by words: 50 ns an event instead of 45.) */
static inline bool text_is_plain_before(struct hr_str s, const uint8_t *end)
{
	__m256i bytes, plain;
	uint32_t odd;

	if (s.n > 32 || end - s.p < 32)
		return text_is_plain(s);
	bytes = _mm256_loadu_si256((const __m256i_u *)s.p);
	plain = _mm256_and_si256(_mm256_cmpgt_epi8(bytes, _mm256_set1_epi8(0x1f)),
				 _mm256_cmpgt_epi8(_mm256_set1_epi8(0x7f), bytes));
	odd = ~(uint32_t)_mm256_movemask_epi8(plain);
	return _bzhi_u32(odd, s.n) == 0;
}

/* HR_REJECT_NONE, _UTF8, or _CONTROL (UTF-8 with control characters: below U+0020,
 * and U+007F). */
enum hr_reject hr_text_judge(struct hr_str s);

static inline enum hr_reject text_judge(struct hr_str s, const uint8_t *end)
{
	return text_is_plain_before(s, end) ? HR_REJECT_NONE : hr_text_judge(s);
}

/* 1 to max bytes without control characters; bad_length is said otherwise. */
static inline enum hr_reject text_judge_name(struct hr_str s, const uint8_t *end,
					     uint32_t max, enum hr_reject bad_length)
{
	if (s.n == 0 || s.n > max)
		return bad_length;
	return text_judge(s, end);
}

#endif
