/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_OWNER_H
#define HR_OWNER_H

/*
 * owner - the committer thread: for each shard this appliance owns it fences,
 * appends closed epochs, reads them back through the accept rule, and hands the
 * accepted links to the shard's worker to be folded.
 *
 *               closed (epochs)                  append
 *   worker w ───────────────▶ ┌───────────┐ ──────────────▶ log partition
 *            ◀─────────────── │ committer │ ◀────────────── read back
 *               accepted      └───────────┘
 *            ───────────────▶      │ hr_feed_put(): folded links, in order
 *               folded             ▼ views
 *
 * One ring of each kind a worker, single producer and single consumer; all four
 * arrows carry pointers. Rings are sized so that they cannot overflow (closed: the
 * epoch pool; accepted and folded: HR_OWNER_WINDOW, which the committer keeps).
 * A worker that is full holds back its own shards' partitions and no others.
 *
 * At start each shard's partition is read from its first link, or from behind a snapshot; every accepted link
 * goes through worker and feed like a live one, so replay is not a second path.
 * Then FENCE, CONFIG on an empty chain (else an empty EPOCH), then it is ready. Shards
 * that are another appliance's (holdings.h) are only followed.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/link.h"
#include "dataplane/log/record.h"
#include "dataplane/log/start.h"
#include "dataplane/shard/epoch.h"

struct hr_bell;
struct hr_config;
struct hr_feed;
struct hr_fold;
struct hr_stats;
struct rte_ring;

#define HR_OWNER_WINDOW 256u /* links a worker may have at once, unfolded */
#define HR_SHARDS_MAX 100u
#define HR_WORKERS_MAX 16u

/* Links unfolded at a worker hold at most this much memory (or one link). */
#define HR_OWNER_WINDOW_BYTES (64u << 20)

enum hr_shard_state {
	HR_SHARD_STARTING,   /* reading the chain, fencing */
	HR_SHARD_READY,      /* owner; takes epochs */
	HR_SHARD_RECOVERING, /* outcome unknown: fencing anew; epochs wait */
	HR_SHARD_FENCED,     /* another appliance owns it */
	HR_SHARD_STOPPED,    /* by name: see hr_owner_reason() */
};

/* What a worker reads of a shard without asking: one cache line, written by the
 * committer alone. */
struct hr_shard_view {
	_Alignas(64) atomic_uint state; /* enum hr_shard_state */
	/* Epochs of this shard accepted or dropped since the start. A worker that
	 * closed as many has nothing waiting. (The buffer of the last one may be on
	 * its way back to the pool for another moment.) */
	_Atomic uint64_t epochs_done;
	_Atomic uint64_t accepted_n; /* the newest accepted link of the chain */
	_Atomic uint64_t incarnation;
	/* Items (datagrams or pieces) of this shard's epochs, for the ledger. Dropped
	 * ones are HR_DROP_FENCED or HR_DROP_STOPPED by the state; the owner adds
	 * them to headrace_datagrams_dropped_total itself (worker="log"). */
	_Atomic uint64_t items_accepted;
	_Atomic uint64_t items_dropped;
	/* Record time is CLOCK_MONOTONIC in us plus this; INT64_MIN until it is taken. */
	_Atomic int64_t clock_offset_us;
	/* What was accepted may be acknowledged: false while this shard is no owner, and
	 * from any trouble with the log until its last accepted link was read again with
	 * the same bytes. */
	atomic_bool may_ack;
	/* It takes epochs, and yet somebody has to do something: hr_owner_reason(). */
	atomic_bool complains;
	/* The newest fence of the chain, as far as it is read, is ours: views of this
	 * shard are this process's to run. */
	atomic_bool is_ours;
};
_Static_assert(sizeof(struct hr_shard_view) == 64, "one cache line");

struct hr_owner_conf {
	const struct hr_config *config;
	const struct hr_data_set *set;
	struct hr_epoch_pool *pool;
	struct hr_feed *feed;
	struct hr_stats *stats;
	uint32_t n_workers;
	uint8_t worker_of_shard[HR_SHARDS_MAX];
	/* Where each shard's chain begins; the workers and the feed begin there, too.
	 * NULL: with link 1. Read while starting. */
	const struct hr_log_start *starts[HR_SHARDS_MAX];
	/*
	 * The newest snapshot of a link behind beyond_n, for a shard that goes on from
	 * one while the process runs: 1, the state (for hr_fold_free()) and where
	 * reading begins; 0: there is none; or a negated errno with err. Blocks, on a
	 * thread of its own; *ends: give up. NULL: nobody writes any.
	 */
	int (*newest)(void *ctx, uint16_t shard, uint64_t beyond_n, atomic_bool *ends,
		      struct hr_fold **fold, struct hr_log_start *start,
		      struct hr_err *err);
	void *newest_ctx;
	/* The least link at which a configured view of this shard stands; 0: not known;
	 * UINT64_MAX: there is no view. The committer's thread, when it is asked to write
	 * a CONFIG of another fold version. NULL: nobody has views. */
	uint64_t (*viewed)(const void *ctx, uint16_t shard);
	const void *viewed_ctx;
	struct rte_ring *closed[HR_WORKERS_MAX];
	struct rte_ring *accepted[HR_WORKERS_MAX];
	struct rte_ring *folded[HR_WORKERS_MAX];
	/* Rung when there is something in closed, and by this thread when there is in
	 * accepted; NULL: the rings are looked at now and then, all the same. */
	struct hr_bell *closed_bell, *accepted_bell[HR_WORKERS_MAX];
};

struct hr_owner;

/*
 * Starts the thread; shards become ready by themselves, whether the broker is there
 * or not. hr_data_set_find() has made and checked the topics before. conf is copied;
 * what it points to must outlive the owner. Returns 0, -EINVAL (a Kafka property is
 * refused, or a shard has no worker) or -ENOMEM, with err.
 */
int hr_owner_start(struct hr_owner **out, const struct hr_owner_conf *conf,
		   struct hr_err *err);

/* Any thread. */
const struct hr_shard_view *hr_owner_shard(const struct hr_owner *owner,
					   uint16_t shard);
/* Why a shard is STOPPED or not yet ready; a sentence, "" when all is well. */
void hr_owner_reason(const struct hr_owner *owner, uint16_t shard, char *out,
		     size_t max);

/* The owner's listeners as the newest FENCE says, a text of at most 128 bytes. Any
 * thread, not often: it takes a lock. */
void hr_owner_addresses(const struct hr_owner *owner, uint16_t shard,
			char out[HR_ADDRESSES_MAX + 1]);

/* A shard that is another appliance's (HR_SHARD_FENCED), as its log shows it. */
struct hr_owner_seen {
	struct hr_id128 owner; /* zero: nobody ever was */
	uint64_t incarnation;
	uint64_t n;     /* of the newest link */
	int64_t offset; /* read so far */
	/* By which its links are folded, of a shard of ours; 0: not known. */
	uint32_t fold_version;
};

/* Any thread, not often. Of a shard of ours: owner, offset and fold version alone, as
 * they were a second ago at most. */
void hr_owner_see(const struct hr_owner *owner, uint16_t shard,
		  struct hr_owner_seen *out);

/*
 * An operator's word, by the control socket; any thread. Returns 0 when it is being
 * done (what comes of it is in state and reason), or a negated errno with err:
 *
 * take         own this shard, whoever has it now, and after a restart, too (it is
 *              written down in appliance.state_dir); -EALREADY: it is ours
 * accept_loss  go on behind what the log lost; -EINVAL: it lost nothing
 */
int hr_owner_take(struct hr_owner *owner, uint16_t shard, struct hr_err *err);
int hr_owner_accept_loss(struct hr_owner *owner, uint16_t shard, struct hr_err *err);
/* config_commit: the configuration's CONFIG becomes a link of every shard whose chain
 * says otherwise; clock_accept: the wall clock becomes record time. */
int hr_owner_config_commit(struct hr_owner *owner, struct hr_err *err);
int hr_owner_clock_accept(struct hr_owner *owner, struct hr_err *err);

/*
 * Stop: the workers have closed their last epochs and go on folding. Waits up to
 * drain_ms until all epochs are accepted and folded into the feed, then ends the
 * thread; every epoch is back in the pool. Links that a worker had not folded by then
 * stay in its rings: hr_link_put() them when the worker has ended. Until then it reads
 * its shards' views, which stay as they are; hr_owner_free() comes behind.
 * Returns the number of datagrams (items) that were still tentative, to be counted
 * as HR_DROP_SHUTDOWN; 0 when everything is in the log.
 */
uint64_t hr_owner_stop(struct hr_owner *owner, uint32_t drain_ms);
/* Of a stopped one, when nobody uses its shards' views any more. NULL is allowed. */
void hr_owner_free(struct hr_owner *owner);

#endif
