/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <rte_ring.h>

#include "dataplane/shard/epoch.h"
#include "dataplane/shard/ring.h"
#include "dataplane/shard/shard_impl.h"

/* A record each, apart by whole cache lines. */
#define BUFFER_BYTES ((HR_RECORD_MAX + 63u) & ~63u)

static int shares_fill(struct hr_epoch_pool *pool)
{
	pool->shares = calloc(pool->n_shards, sizeof(*pool->shares));
	pool->epochs = calloc(pool->n_epochs, sizeof(*pool->epochs));
	if (pool->shares == NULL || pool->epochs == NULL)
		return -ENOMEM;
	for (uint32_t s = 0; s < pool->n_shards; s++) {
		pool->shares[s] = hr_ring_new(pool->per_shard);
		if (pool->shares[s] == NULL)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < pool->n_epochs; i++) {
		struct hr_epoch *epoch = &pool->epochs[i];

		epoch->shard = (uint16_t)(i / pool->per_shard);
		epoch->record = pool->memory + (size_t)i * BUFFER_BYTES;
		if (rte_ring_enqueue(pool->shares[epoch->shard], epoch) != 0)
			return -ENOMEM;
	}
	return 0;
}

static void pool_free(struct hr_epoch_pool *pool)
{
	if (pool->shares != NULL)
		for (uint32_t s = 0; s < pool->n_shards; s++)
			free(pool->shares[s]);
	free(pool->shares);
	free(pool->epochs);
	if (pool->memory != NULL)
		munmap(pool->memory, pool->memory_bytes);
	free(pool);
}

int hr_epoch_pool_new(struct hr_epoch_pool **out, uint32_t n_shards, uint32_t per_shard,
		      struct hr_err *err)
{
	struct hr_epoch_pool *pool = calloc(1, sizeof(*pool));
	void *memory;

	if (pool == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the epoch pool");
	pool->n_shards = n_shards;
	pool->per_shard = per_shard;
	pool->n_epochs = n_shards * per_shard;
	pool->memory_bytes = (size_t)pool->n_epochs * BUFFER_BYTES;
	/* Populated now: a worker that meets a page for the first time would wait
	 * for the kernel. */
	memory = mmap(NULL, pool->memory_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory != MAP_FAILED)
		pool->memory = memory;
	if (pool->memory == NULL || shares_fill(pool) < 0) {
		hr_fail(err, -ENOMEM,
			"no memory for %u epoch buffers of %u bytes: lower "
			"epoch.budget or give the machine more",
			pool->n_epochs, BUFFER_BYTES);
		pool_free(pool);
		return -ENOMEM;
	}
	*out = pool;
	return 0;
}

void hr_epoch_pool_free(struct hr_epoch_pool *pool)
{
	if (pool == NULL)
		return;
	assert(hr_epoch_pool_free_count(pool) == pool->n_epochs);
	pool_free(pool);
}

void hr_epoch_put(struct hr_epoch_pool *pool, struct hr_epoch *epoch)
{
	int r = rte_ring_enqueue(pool->shares[epoch->shard], epoch);

	assert(r == 0); /* the share is as large as its ring */
	(void)r;
}

uint32_t hr_epoch_pool_free_count(const struct hr_epoch_pool *pool)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < pool->n_shards; s++)
		n += hr_ring_count(pool->shares[s]);
	return n;
}
