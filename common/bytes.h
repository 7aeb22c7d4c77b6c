/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BYTES_H
#define HR_BYTES_H

/*
 * bytes - integers at any address, little-endian as all our formats are, and a
 * view of bytes that somebody else owns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the loads below are plain copies; a big-endian host needs swaps");

/* Bytes that lie elsewhere; p is NULL only where n is 0. Not terminated. */
struct hr_str {
	const uint8_t *p;
	uint32_t n;
};

#define HR_STR(literal)                                                                \
	((struct hr_str){ (const uint8_t *)(literal), (uint32_t)sizeof(literal) - 1 })

static inline bool hr_str_equals(struct hr_str a, struct hr_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline uint16_t hr_load16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t hr_load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t hr_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void hr_store16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void hr_store32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void hr_store64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

#endif
