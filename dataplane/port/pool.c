/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#include "dataplane/port/pool.h"

#define CACHE 256        /* buffers a lcore keeps by itself; it overshoots by half */
#define AF_XDP_FILL 2048 /* the driver's fill ring, whatever is asked for */
#define OVERHEAD_MB 12   /* EAL's, the devices' and the rings' own */

#define ELEMENT_BYTES (sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM + HR_BUFFER_BYTES)

/* The header takes a cache line; a further one may go to spreading buffers over the
 * memory channels. */
_Static_assert(HR_BUFFER_MEMORY == ELEMENT_BYTES + 2 * RTE_CACHE_LINE_SIZE &&
		       sizeof(struct rte_mempool_objhdr) <= RTE_CACHE_LINE_SIZE,
	       "the memory of a buffer is counted right");

/* What a port keeps in its rings. memif and pcap are copied when they are read, and when
 * they are written. */
static uint64_t ring_buffers(const struct hr_port_config *port)
{
	switch (port->kind) {
	case HR_PORT_AF_XDP:
		return (uint64_t)port->n_queues * (AF_XDP_FILL + HR_TX_DESCRIPTORS);
	case HR_PORT_PCI:
		return (uint64_t)port->n_queues *
		       (port->rx_descriptors + HR_TX_DESCRIPTORS);
	case HR_PORT_MEMIF:
	case HR_PORT_PCAP:
		break;
	}
	return 0;
}

int hr_pool_fits(const struct hr_config *config, struct hr_err *err)
{
	uint64_t rings = 0, caches = (uint64_t)(config->n_workers + 1) * CACHE * 3 / 2;
	uint64_t need_mb =
		((uint64_t)config->n_mbufs * HR_BUFFER_MEMORY >> 20) + 1 + OVERHEAD_MB;

	for (uint32_t i = 0; i < config->n_ports; i++)
		rings += ring_buffers(&config->ports[i]);
	if (config->n_mbufs < rings + caches)
		return hr_fail(err, -ENOMEM,
			       "dataplane.buffers: found %" PRIu32
			       ", expected at least "
			       "%" PRIu64 ": %" PRIu64 " for the rings of the "
			       "ports and %" PRIu64 " for %" PRIu32 " workers; write "
			       "more, or fewer queues or rx_descriptors",
			       config->n_mbufs, rings + caches, rings, caches,
			       config->n_workers);
	if (config->memory_mb < need_mb)
		return hr_fail(err, -ENOMEM,
			       "dataplane.memory: found %" PRIu32 " MiB, expected at "
			       "least %" PRIu64 " MiB for %" PRIu32 " buffers; write "
			       "more, or fewer dataplane.buffers",
			       config->memory_mb, need_mb, config->n_mbufs);
	return 0;
}

static bool has_kind(const struct hr_config *config, enum hr_port_kind kind)
{
	for (uint32_t i = 0; i < config->n_ports; i++)
		if (config->ports[i].kind == kind)
			return true;
	return false;
}

static void find_end(struct rte_mempool *pool, void *context, void *object,
		     unsigned int index)
{
	uintptr_t *end = context, here;

	(void)index;
	here = (uintptr_t)object + pool->elt_size + pool->trailer_size;
	if (here > *end)
		*end = here;
}

/* See the header: what the driver will register must hold every buffer. */
static bool suits_af_xdp(struct rte_mempool *pool)
{
	const struct rte_mempool_memhdr *memory = STAILQ_FIRST(&pool->mem_list);
	uint64_t stride = pool->header_size + pool->elt_size + pool->trailer_size;
	uintptr_t end = 0;

	if (pool->nb_mem_chunks != 1 || pool->populated_size != pool->size)
		return false;
	rte_mempool_obj_iter(pool, find_end, &end);
	return end <= (uintptr_t)memory->addr + pool->populated_size * stride;
}

static int fill(struct rte_mempool *pool)
{
	struct rte_pktmbuf_pool_private room = {
		.mbuf_data_room_size = RTE_PKTMBUF_HEADROOM + HR_BUFFER_BYTES,
	};
	int r = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);

	if (r < 0)
		return r;
	rte_pktmbuf_pool_init(pool, &room);
	r = rte_mempool_populate_default(pool);
	if (r < 0)
		return r;
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return 0;
}

int hr_pool_make(struct rte_mempool **out, const struct hr_config *config,
		 struct hr_err *err)
{
	unsigned int flags =
		has_kind(config, HR_PORT_PCI) ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
	struct rte_mempool *pool = rte_mempool_create_empty(
		"hr_buffers", config->n_mbufs, ELEMENT_BYTES, CACHE,
		sizeof(struct rte_pktmbuf_pool_private), (int)rte_socket_id(), flags);
	int r = pool == NULL ? -rte_errno : fill(pool);

	if (r < 0) {
		rte_mempool_free(pool);
		return hr_fail(err, -ENOMEM,
			       "dataplane.buffers: %" PRIu32 " buffers could not be "
			       "made in dataplane.memory of %" PRIu32
			       " MiB (%s); write "
			       "more memory or fewer buffers",
			       config->n_mbufs, config->memory_mb, strerror(-r));
	}
	if (has_kind(config, HR_PORT_AF_XDP) && !suits_af_xdp(pool)) {
		rte_mempool_free(pool);
		return hr_fail(err, -ENOMEM,
			       "dataplane.buffers: %" PRIu32
			       " buffers do not lie in one "
			       "piece, which af_xdp needs; %s",
			       config->n_mbufs,
			       has_kind(config, HR_PORT_PCI)
				       ? "put PCI and af_xdp ports into appliances of "
					 "their own"
				       : "write fewer, or more dataplane.memory");
	}
	*out = pool;
	return 0;
}

void hr_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}
