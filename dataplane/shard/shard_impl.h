/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SHARD_IMPL_H
#define HR_SHARD_IMPL_H

/* What the cold and the hot half of this room share. */

#include "dataplane/shard/epoch.h"

struct rte_ring;

struct hr_epoch_pool {
	uint32_t n_shards, per_shard, n_epochs;
	struct rte_ring **shares; /* by shard: free epochs */
	struct hr_epoch *epochs;
	uint8_t *memory;
	size_t memory_bytes;
};

#endif
