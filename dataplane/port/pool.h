/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_POOL_H
#define HR_POOL_H

/*
 * pool - the packet buffers of the process: one pool of dataplane.buffers buffers of
 * 2 KiB, shared by all ports and workers, with a cache per lcore. Main thread.
 *
 * AF_XDP registers the pool itself as its umem, so that the kernel writes into our
 * buffers. For that the buffers must lie back to back in one piece of memory: the
 * driver takes [first page, count × size) and the kernel silently loses frames put
 * into buffers beyond it. A pool of DPDK's usual making leaves a gap at the end of
 * every huge page; without a PCI device there is no need to, so then there is none.
 */

#include "common/config.h"
#include "common/error.h"

struct rte_mempool;

#define HR_BUFFER_BYTES 2048
/* What a device may keep of frames on their way out, a queue. AF_XDP's ring is as long
 * as that for receiving, but in its copy mode the kernel takes frames out of it at once
 * and holds no more than its socket buffer allows, some 280. */
#define HR_TX_DESCRIPTORS 512
/* Of a packet buffer with everything that belongs to it. */
#define HR_BUFFER_MEMORY 2432

/*
 * Are there enough buffers for the rings of all ports, and does dataplane.memory hold
 * them? Pure. Returns 0 or -ENOMEM with the numbers in err.
 */
int hr_pool_fits(const struct hr_config *config, struct hr_err *err);

/* Returns 0, or -ENOMEM with err. */
int hr_pool_make(struct rte_mempool **out, const struct hr_config *config,
		 struct hr_err *err);
/* All buffers must be back, or the devices that hold them be gone. NULL is fine. */
void hr_pool_free(struct rte_mempool *pool);

#endif
