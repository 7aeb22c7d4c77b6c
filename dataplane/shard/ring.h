/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RING_H
#define HR_RING_H

/* ring - an rte_ring of ordinary memory, for one producer and one consumer. */

#include <stdint.h>

#include <rte_ring.h>

/* Holds at least n pointers; free() it. NULL: no memory. Cold. */
struct rte_ring *hr_ring_new(uint32_t n);

/*
 * The two questions below in atomic loads: rte_ring's own (rte_ring_count,
 * rte_ring_free_count) read what other threads write as if nobody did.
 */

/* Places that are free, asked by the producer: never fewer than it says. */
static inline uint32_t hr_ring_room(const struct rte_ring *ring)
{
	/* Pairs with the release of the consumer's dequeue: what it took it has
	 * read. */
	return ring->capacity + __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE) -
	       ring->prod.tail;
}

/* How many pointers are in it, for people. Any thread. */
static inline uint32_t hr_ring_count(const struct rte_ring *ring)
{
	uint32_t n = __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) -
		     __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);

	return n <= ring->capacity ? n : ring->capacity;
}

#endif
