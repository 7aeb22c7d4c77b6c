/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_INTAKE_H
#define HR_INTAKE_H

/*
 * intake - one shard's way from items to closed epochs: append to the open epoch,
 * close it when the time has come, hand it to the committer.
 *
 *   hr_intake_add ─▶ [ open epoch ] ─close─▶ ring ─▶ committer
 *
 * An epoch closes when nothing of the shard waits for the log any more and the least
 * interval has passed since the last one: so the log clocks itself, and while an
 * append is on its way the next epoch grows instead of queueing up. It also closes
 * when it is full. The first item after a quiet time goes at once.
 *
 * Everything here belongs to the shard's worker. Hot.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/drops.h"
#include "dataplane/log/owner.h"
#include "dataplane/log/record.h"
#include "dataplane/shard/epoch.h"

struct hr_intake {
	/* Set before the first item. */
	struct hr_epoch_pool *pool;
	struct rte_ring *closed_ring; /* to the committer; holds every epoch */
	const struct hr_shard_view *view;
	/* When hr_intake_step() last closed one of any shard of this worker, monotonic:
	 * they share it. */
	uint64_t *closed_us;
	uint16_t shard;
	/* Buffers that only hr_intake_add_next() and hr_intake_skip() may open: 0
	 * where nothing is acknowledged. */
	uint32_t reserve;
	/* The chain's word on events in a link; raised or lowered when its CONFIG
	 * is folded. */
	uint32_t max_events;
	/* Of the newest FENCE of ours that the worker was told of. */
	uint32_t fence_no;

	struct hr_epoch *open;
	uint64_t n_closed;  /* epochs handed to the committer */
	uint64_t n_items;   /* appended to any epoch */
	uint64_t n_dropped; /* of them, by hr_intake_fence() */
};

/*
 * Append one DATAGRAM or EVENT item; its payload is copied. Returns HR_DROP_NONE, or
 * why not: NOT_READY, EPOCH_FULL (the shard's share of epoch.budget is used up),
 * NOT_OWNER, STOPPED. Nothing has changed then.
 */
enum hr_drop hr_intake_add(struct hr_intake *in, const struct hr_item *item,
			   uint64_t now_us);

/* The same for the datagram that its stream waits for: it may use the reserve, so that
 * a stream goes on where everything else has used up the budget. */
enum hr_drop hr_intake_add_next(struct hr_intake *in, const struct hr_item *item,
				uint64_t now_us);
/* Append a SKIP (birth, random, and sequence, up to which); it may use the reserve. It
 * is no datagram of the ledger: not in n_items. */
enum hr_drop hr_intake_skip(struct hr_intake *in, const struct hr_item *item,
			    uint64_t now_us);

/* Bytes of items that hr_intake_add() would still take. */
uint64_t hr_intake_free_bytes(const struct hr_intake *in);

/* A FENCE of ours was accepted: what the open epoch holds of an older one and would be
 * acknowledged goes (hr_epoch_filter()). Returns the datagrams that went, for the
 * caller to count. */
uint32_t hr_intake_fence(struct hr_intake *in, uint32_t fence_no);

/*
 * Close the open epoch if it is due; with must_close if it holds anything. Due it is when
 * nothing of the shard waits for the log, and the least interval is over since its worker
 * closed any, or another one was closed at this very now_us: shards close together, so
 * that their appends wake committer, Kafka's clients and broker once
 * (docs/decisions/2026-11-shards-close-together.md). Returns true when one was closed.
 */
bool hr_intake_step(struct hr_intake *in, uint64_t now_us, uint32_t min_interval_us,
		    bool must_close);

/* Items appended and neither accepted nor dropped yet. */
uint64_t hr_intake_in_flight(const struct hr_intake *in);

/* Something is open or on its way to the log. */
bool hr_intake_is_busy(const struct hr_intake *in);

/* When the committer has ended: give the open epoch back. Returns the items that were
 * in it, for the caller to count. */
uint32_t hr_intake_fini(struct hr_intake *in);

#endif
