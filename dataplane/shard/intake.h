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
	uint16_t shard;
	/* The chain's word on events in a link; raised or lowered when its CONFIG
	 * is folded. */
	uint32_t max_events;

	struct hr_epoch *open;
	uint64_t n_closed; /* epochs handed to the committer */
	uint64_t n_items;  /* appended to any epoch */
	uint64_t last_close_us;
};

/*
 * Append one DATAGRAM or EVENT item; its payload is copied. Returns HR_DROP_NONE, or
 * why not: NOT_READY, EPOCH_FULL (the shard's share of epoch.budget is used up),
 * NOT_OWNER, STOPPED. Nothing has changed then.
 */
enum hr_drop hr_intake_add(struct hr_intake *in, const struct hr_item *item,
			   uint64_t now_us);

/* Close the open epoch if it is due; with must_close if it holds anything. Returns
 * true when one was closed. */
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
