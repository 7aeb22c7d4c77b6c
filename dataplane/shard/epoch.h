/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_EPOCH_H
#define HR_EPOCH_H

/*
 * epoch - the payloads of one shard as received, in order, on their way to the
 * log. The owning worker appends to the open epoch; closed, it is immutable and
 * goes to the committer by pointer; accepted, its buffer returns to the pool.
 *
 *   pool ─get─▶ worker: open ─close─▶ committer: waiting, in flight ─put─▶ pool
 *
 * The pool's size is epoch.budget: no buffer, no epoch, and the datagram is
 * refused as HR_DROP_EPOCH_FULL (or its port is held back). The record is laid
 * out in place: the committer only fills in head and tail.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_epoch {
	uint16_t shard;
	uint32_t n_items;
	uint32_t n_events;
	uint32_t body_bytes;
	uint64_t opened_mono_us;
	uint64_t oldest_received_us; /* wall clock of its first datagram */
	uint8_t *record; /* HR_RECORD_MAX bytes; the body starts behind the head */
};

static inline uint8_t *hr_epoch_body(const struct hr_epoch *epoch)
{
	return epoch->record + HR_LINK_HEAD_BYTES;
}

struct hr_epoch_pool;

/* Takes all memory now: n_epochs buffers. Returns 0 or -ENOMEM with err. */
int hr_epoch_pool_new(struct hr_epoch_pool **out, uint32_t n_epochs,
		      struct hr_err *err);
/* Every epoch must be back (asserted). NULL is fine. */
void hr_epoch_pool_free(struct hr_epoch_pool *pool);

/* An empty epoch, or NULL when the budget is used up. Workers; never blocks. */
struct hr_epoch *hr_epoch_get(struct hr_epoch_pool *pool);
/* Committer (or a worker that never sent it). */
void hr_epoch_put(struct hr_epoch_pool *pool, struct hr_epoch *epoch);
uint32_t hr_epoch_pool_free_count(const struct hr_epoch_pool *pool);

#endif
