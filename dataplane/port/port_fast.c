/* SPDX-License-Identifier: BSD-3-Clause */

/* The worker's half of port: calls the device's driver and counts. */

#include <assert.h>
#include <stddef.h>

#include "dataplane/port/capture.h"
#include "dataplane/port/port_impl.h"

bool hr_rxq_is_lossless(const struct hr_rxq *q)
{
	return q->is_lossless;
}

uint32_t hr_rxq_port(const struct hr_rxq *q)
{
	return q->port;
}

/* The device's rings may go at any moment, but not inside a burst: munmap() of memif.c
 * waits. The store has to be seen before the driver looks whether they are there. */
static inline uint32_t guarded_burst(struct hr_rxq *q, hr_rx_burst rx,
				     struct rte_mbuf **out, uint32_t max)
{
	uint32_t n;

	atomic_store_explicit(&q->is_in_burst, true, memory_order_seq_cst);
	n = rx(q->rx_queue, out, (uint16_t)max);
	atomic_store_explicit(&q->is_in_burst, false, memory_order_release);
	return n;
}

uint32_t hr_rxq_burst(struct hr_rxq *q, struct rte_mbuf **out, uint32_t max,
		      uint64_t now_us)
{
	uint32_t n;

	assert(max <= UINT16_MAX);
	if (__builtin_expect(q->capture != NULL, 0)) {
		n = hr_capture_burst(q->capture, out, max, now_us);
	} else {
		/* Pairs with the release in hr_port_start(): rx_queue is set. */
		hr_rx_burst rx = atomic_load_explicit(&q->rx, memory_order_acquire);

		n = q->is_memif ? guarded_burst(q, rx, out, max)
				: rx(q->rx_queue, out, (uint16_t)max);
	}
	if (n > 0) {
		uint64_t packets =
			atomic_load_explicit(&q->packets, memory_order_relaxed);

		/* The only writer. Pairs with the acquire in hr_memif_lacks_queues(). */
		atomic_store_explicit(&q->packets, packets + n, memory_order_release);
	}
	return n;
}
