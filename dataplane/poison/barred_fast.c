/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/poison/barred.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/wire.h"

/* Of the header: where what differs begins and ends (common/wire.h). */
#define AT_ATTEMPT 48u
#define AT_PAYLOAD_LENGTH 72u

static bool has_header(const uint8_t *p, uint32_t n)
{
	return n >= HR_WIRE_HEADER_BYTES + HR_WIRE_TAG_BYTES && p[0] == 'H' &&
	       p[1] == 'R' && p[2] == 'B';
}

uint64_t hr_fingerprint(const uint8_t *p, uint32_t n)
{
	if (!has_header(p, n))
		return XXH3_64bits(p, n);
	return XXH3_64bits_withSeed(p + AT_PAYLOAD_LENGTH,
				    n - HR_WIRE_TAG_BYTES - AT_PAYLOAD_LENGTH,
				    XXH3_64bits(p, AT_ATTEMPT));
}

bool hr_barred_add(struct hr_barred *barred, uint64_t fingerprint, uint32_t bytes)
{
	const uint32_t bit = bytes % HR_BARRED_LENGTH_BITS;

	if (barred->n == HR_BARRED_MAX)
		return false;
	barred->rows[barred->n].fingerprint = fingerprint;
	barred->rows[barred->n++].bytes = bytes;
	barred->lengths[bit / 64] |= 1ull << bit % 64;
	return true;
}

bool hr_barred_has(const struct hr_barred *barred, const uint8_t *p, uint32_t n)
{
	const uint32_t bit = n % HR_BARRED_LENGTH_BITS;
	uint64_t fingerprint;

	if ((barred->lengths[bit / 64] >> bit % 64 & 1) == 0)
		return false;
	fingerprint = hr_fingerprint(p, n);
	for (uint32_t i = 0; i < barred->n; i++)
		if (barred->rows[i].fingerprint == fingerprint &&
		    barred->rows[i].bytes == n)
			return true;
	return false;
}
