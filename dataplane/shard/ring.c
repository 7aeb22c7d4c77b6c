/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>

#include <rte_ring.h>

#include "dataplane/shard/ring.h"

struct rte_ring *hr_ring_new(uint32_t n)
{
	/* A ring of 2^k slots holds 2^k - 1. */
	uint32_t slots = 1;
	struct rte_ring *ring;
	ssize_t bytes;

	while (slots < n + 1)
		slots *= 2;
	bytes = rte_ring_get_memsize(slots);
	if (bytes < 0)
		return NULL;
	ring = aligned_alloc(64, ((size_t)bytes + 63) & ~(size_t)63);
	if (ring == NULL)
		return NULL;
	if (rte_ring_init(ring, "headrace", slots, RING_F_SP_ENQ | RING_F_SC_DEQ) !=
	    0) {
		free(ring);
		return NULL;
	}
	return ring;
}
