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

struct hr_txq *hr_rxq_answers(struct hr_rxq *q)
{
	return q->capture == NULL ? &q->answers : NULL;
}

struct rte_mempool *hr_txq_pool(const struct hr_txq *q)
{
	return q->pool;
}

/* Who goes to sleep does not wait for the first. */
__attribute__((noinline)) uint64_t hr_txq_flush(struct hr_txq *q, uint64_t now_us,
						bool is_idle)
{
	/* Pairs with the release in hr_port_start(): queue is set. */
	hr_tx_burst tx = atomic_load_explicit(&q->tx, memory_order_acquire);

	if (atomic_load_explicit(&q->is_shut, memory_order_relaxed))
		return UINT64_MAX;
	if (q->flush_us == 0 && !is_idle)
		q->flush_us = now_us + HR_FLUSH_US;
	if (q->flush_us <= now_us) {
		tx(q->queue, NULL, 0);
		q->flush_us = now_us + (HR_FLUSH_US << (HR_FLUSHES - q->flushes_left));
		q->flushes_left--;
	}
	return q->flushes_left > 0 ? q->flush_us - now_us : UINT64_MAX;
}

/*
 * Of a peer without this ring the driver takes another one, which it may be reading
 * from. So nothing is sent before the ring is known to be there; but for the very first
 * frame, without which it cannot become known (see hr_memif_prove()).
 */
static uint32_t guarded_send(struct hr_txq *q, hr_tx_burst tx, struct rte_mbuf **mbufs,
			     uint32_t n)
{
	uint32_t sent = 0;

	/* As in guarded_burst(); the life is looked at under the guard, too: munmap()
	 * of memif.c ends it before it waits. */
	atomic_store_explicit(q->is_in_burst, true, memory_order_seq_cst);
	if (atomic_load_explicit(&q->proven, memory_order_relaxed) !=
	    atomic_load_explicit(q->life, memory_order_seq_cst) + 1)
		n = atomic_load_explicit(&q->sent, memory_order_relaxed) == 0 ? 1 : 0;
	if (n > 0)
		sent = tx(q->queue, mbufs, (uint16_t)n);
	atomic_store_explicit(q->is_in_burst, false, memory_order_release);
	return sent;
}

static inline void count(_Atomic uint64_t *counter, uint64_t n)
{
	/* The only writer. Pairs with the acquire in hr_memif_prove(). */
	uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, before + n, memory_order_release);
}

uint32_t hr_txq_burst(struct hr_txq *q, struct rte_mbuf **mbufs, uint32_t n)
{
	/* Pairs with the release in hr_port_start(): queue is set. */
	hr_tx_burst tx = atomic_load_explicit(&q->tx, memory_order_acquire);
	uint32_t sent = 0;

	assert(n <= UINT16_MAX);
	if (n == 0)
		return 0;
	if (q->is_in_burst != NULL)
		sent = guarded_send(q, tx, mbufs, n);
	else if (!atomic_load_explicit(&q->is_shut, memory_order_relaxed))
		sent = tx(q->queue, mbufs, (uint16_t)n);
	if (q->wants_flushes && sent > 0) {
		q->flushes_left = HR_FLUSHES;
		q->flush_us = 0;
	}
	if (sent > 0)
		count(&q->sent, sent);
	if (sent < n)
		count(&q->failed, n - sent);
	return sent;
}

uint32_t hr_rxq_burst(struct hr_rxq *q, struct rte_mbuf **out, uint32_t max,
		      uint64_t now_us)
{
	uint32_t n;

	assert(max <= UINT16_MAX);
	if (__builtin_expect(q->answers.flushes_left > 0, 0))
		hr_txq_flush(&q->answers, now_us, false);
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
