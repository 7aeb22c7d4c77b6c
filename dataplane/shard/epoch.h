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
 * The pool's size is epoch.budget, in equal shares: a shard whose log is behind
 * uses up its own and takes none from the others. No buffer, no epoch, and the
 * datagram is refused as HR_DROP_EPOCH_FULL (or its port is held back). The record
 * is laid out in place: the committer only fills in head and tail.
 *
 * A share is a ring with one producer (the committer) and one consumer (the shard's
 * worker), so neither waits for the other, even where both run on one CPU.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_epoch {
	uint16_t shard;
	/* Of the newest FENCE of ours that the worker knew when it opened this. */
	uint32_t fence_no;
	uint32_t n_items; /* DATAGRAMs and EVENTs: SKIPs are not datagrams of ledger
			   * law 1. What is empty has no body_bytes */
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

/* The least buffers of a shard: one open, one in flight, one waiting, and one for what
 * came out of order (streams.h). */
#define HR_EPOCHS_MIN 4u

/* Takes all memory now: per_shard buffers for each shard. Returns 0 or -ENOMEM
 * with err. */
int hr_epoch_pool_new(struct hr_epoch_pool **out, uint32_t n_shards, uint32_t per_shard,
		      struct hr_err *err);
/* Every epoch must be back (asserted). NULL is fine. */
void hr_epoch_pool_free(struct hr_epoch_pool *pool);

/* An empty epoch of this shard, or NULL when its share is used up. The shard's
 * worker; never blocks. */
struct hr_epoch *hr_epoch_get(struct hr_epoch_pool *pool, uint16_t shard);
/* Committer; or whoever is left when it has ended. */
void hr_epoch_put(struct hr_epoch_pool *pool, struct hr_epoch *epoch);
/*
 * A FENCE of ours was accepted after this epoch was opened: what was taken in order
 * and would be acknowledged (HR_ITEM_ORDERED, SKIP) goes, since its sender sends it
 * again; what came without acknowledgement stays, since nobody else would. In place.
 * Returns the datagrams that went, for the ledger, and their events. Cold; whoever
 * holds the epoch.
 */
uint32_t hr_epoch_filter(struct hr_epoch *epoch, uint32_t *n_events_dropped);
/* Buffers that are free now, of all shards. Any thread. */
uint32_t hr_epoch_pool_free_count(const struct hr_epoch_pool *pool);

#endif
