/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECKSUM_H
#define HR_CHECKSUM_H

/*
 * checksum - the Internet checksum of RFC 1071, in host byte order.
 *
 * Ones' complement addition does not care about byte order or about the width of
 * the words, as long as all are read and stored alike (RFC 1071 2.B, 2.C): so the
 * sum runs over 32-bit words in the 64-bit lanes of a vector and is folded to 16 bits
 * once. The result is stored into a header as it
 * is, without a swap.
 */

#include <stdint.h>
#include <string.h>

typedef uint64_t hr_checksum_lanes __attribute__((vector_size(32)));

/* Sum of n <= 65,535 bytes; an odd last byte is the first half of a word. The bytes
 * must begin at an even offset of what the checksum covers. */
static inline uint64_t hr_checksum_add(uint64_t sum, const uint8_t *p, uint32_t n)
{
	if (n >= 32) {
		hr_checksum_lanes low = { 0 }, high = { 0 }, words;

		for (; n >= 32; p += 32, n -= 32) {
			memcpy(&words, p, sizeof(words));
			low += words & 0xffffffffu;
			high += words >> 32;
		}
		low += high;
		sum += low[0] + low[1] + low[2] + low[3];
	}
	for (; n >= 4; p += 4, n -= 4) {
		uint32_t word;

		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (n >= 2) {
		uint16_t half;

		memcpy(&half, p, sizeof(half));
		sum += half;
		p += 2;
		n -= 2;
	}
	if (n == 1)
		sum += *p;
	return sum;
}

/* Ones' complement of the sum, folded to 16 bits: 0 over bytes that hold their own
 * right checksum. */
static inline uint16_t hr_checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)~sum;
}

#endif
