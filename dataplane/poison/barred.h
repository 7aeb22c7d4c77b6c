/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BARRED_H
#define HR_BARRED_H

/*
 * barred - datagrams that are dropped unread, by a fingerprint of their bytes: 64 bits,
 * and the length. Made before the first packet, immutable from then on; any worker.
 */

#include <stdbool.h>
#include <stdint.h>

#define HR_BARRED_MAX 64u
#define HR_BARRED_LENGTH_BITS 2048u /* more than a datagram has bytes */

struct hr_barred {
	uint32_t n;
	uint64_t lengths[HR_BARRED_LENGTH_BITS / 64]; /* that any of them has */
	struct {
		uint64_t fingerprint;
		uint32_t bytes;
	} rows[HR_BARRED_MAX];
};

/*
 * Of a datagram with a header without what differs between two transmissions of it
 * (attempt, drops, send time, token, tag): its sender repeats it until it is
 * acknowledged. Of any other, of all its bytes. No key: who can make the dataplane die
 * twice needs no second datagram that looks like the first. Pure, and safe in a signal
 * handler.
 */
uint64_t hr_fingerprint(const uint8_t *p, uint32_t n);

/* Cold. False: it is full. */
bool hr_barred_add(struct hr_barred *barred, uint64_t fingerprint, uint32_t bytes);

/* Hot. */
bool hr_barred_has(const struct hr_barred *barred, const uint8_t *p, uint32_t n);

#endif
