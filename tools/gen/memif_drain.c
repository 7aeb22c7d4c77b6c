/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tools/gen/memif_drain.h"

#define COOKIE 0x3E31F20u
#define HEAD_AT 6
#define TAIL_AT 64
#define DESCRIPTORS_AT 128
#define DESCRIPTOR_BYTES 16
#define REGION "/memfd:memif_region_0"

static int find_region(const uint8_t **from, const uint8_t **to)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int r = -ENOENT;

	if (maps == NULL)
		return -errno;
	while (r < 0 && fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t first, last;

		if (strstr(line, REGION) == NULL ||
		    sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &first, &last) != 2)
			continue;
		*from = (const uint8_t *)first; /* NOLINT(performance-no-int-to-ptr) */
		*to = (const uint8_t *)last;    /* NOLINT(performance-no-int-to-ptr) */
		r = 0;
	}
	fclose(maps);
	return r;
}

static bool is_ring(const uint8_t *at, const uint8_t *end)
{
	uint32_t cookie;

	if (end - at < DESCRIPTORS_AT)
		return false;
	memcpy(&cookie, at, sizeof(cookie));
	return cookie == COOKIE;
}

/* Rings are of one size, a power of two of descriptors: where the second one begins
 * says it. 0: there is no second one. */
static uint32_t descriptors(const uint8_t *from, const uint8_t *to)
{
	for (uint32_t n = 1; n <= 1u << 14; n *= 2)
		if (is_ring(from + DESCRIPTORS_AT + n * DESCRIPTOR_BYTES, to))
			return n;
	return 0;
}

/* Pairs with the peer's release of the same index. */
static uint16_t index_at(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static uint16_t ring_waiting(const uint8_t *ring, bool is_server, uint32_t size)
{
	const uint16_t head = index_at(ring + HEAD_AT), tail = index_at(ring + TAIL_AT);
	const uint16_t between = (uint16_t)(head - tail);

	/* The direction that nobody uses stays at zero. */
	if (!is_server || (head == 0 && tail == 0))
		return between;
	return (uint16_t)(size - between);
}

int hr_memif_waiting(bool is_server, struct hr_err *err)
{
	const uint8_t *from, *to;
	uint32_t size;
	int waiting = 0;
	int r = find_region(&from, &to);

	if (r < 0 || !is_ring(from, to))
		return hr_fail(
			err, -ENOENT,
			"memif: its rings are not in the memory of this process: "
			"the peer went away");
	/* We have a queue in each direction, so there are two rings or more. */
	size = descriptors(from, to);
	if (size == 0)
		return hr_fail(err, -EPROTO, "memif: a ring of unknown size");
	for (const uint8_t *ring = from; is_ring(ring, to);
	     ring += DESCRIPTORS_AT + size * DESCRIPTOR_BYTES)
		waiting += ring_waiting(ring, is_server, size);
	return waiting;
}
