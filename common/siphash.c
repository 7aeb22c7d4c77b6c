/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/siphash.h"
#include "common/bytes.h"

static inline uint64_t rotl(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void rounds(uint64_t v[4], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

static inline void compress(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

/* n below 8 bytes, the low end first. */
static inline uint64_t load_tail(const uint8_t *p, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

void hr_siphash_init(struct hr_siphash *s, const uint8_t key[HR_SIPHASH_KEY_BYTES])
{
	const uint64_t k0 = hr_load64(key), k1 = hr_load64(key + 8);

	s->v[0] = k0 ^ 0x736f6d6570736575u;
	s->v[1] = k1 ^ 0x646f72616e646f6du ^ 0xee; /* 0xee: 128 bits come out */
	s->v[2] = k0 ^ 0x6c7967656e657261u;
	s->v[3] = k1 ^ 0x7465646279746573u;
	s->tail = 0;
	s->total_bytes = 0;
}

void hr_siphash_update(struct hr_siphash *s, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	const uint8_t *end = p + n;
	const unsigned int held = s->total_bytes % 8;
	uint64_t v[4];

	s->total_bytes += n;
	if (held != 0) {
		const size_t missing = 8 - held;
		const size_t take = n < missing ? n : missing;

		s->tail |= load_tail(p, take) << (8 * held);
		if (take < missing)
			return;
		p += take;
		compress(s->v, s->tail);
	}
	memcpy(v, s->v, sizeof(v)); /* in registers while the words go by */
	for (; end - p >= 8; p += 8)
		compress(v, hr_load64(p));
	memcpy(s->v, v, sizeof(v));
	s->tail = load_tail(p, (size_t)(end - p));
}

void hr_siphash_final(struct hr_siphash *s, uint8_t out[HR_SIPHASH_BYTES])
{
	uint64_t v[4];

	memcpy(v, s->v, sizeof(v));
	compress(v, s->tail | s->total_bytes << 56);
	v[2] ^= 0xee;
	rounds(v, 4);
	hr_store64(out, v[0] ^ v[1] ^ v[2] ^ v[3]);
	v[1] ^= 0xdd;
	rounds(v, 4);
	hr_store64(out + 8, v[0] ^ v[1] ^ v[2] ^ v[3]);
}

void hr_siphash128(const uint8_t key[HR_SIPHASH_KEY_BYTES], const void *bytes, size_t n,
		   uint8_t out[HR_SIPHASH_BYTES])
{
	struct hr_siphash s;

	hr_siphash_init(&s, key);
	hr_siphash_update(&s, bytes, n);
	hr_siphash_final(&s, out);
}
