/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_WORKER_H
#define HR_WORKER_H

/*
 * worker - one pinned core's loop: receive, close epochs, fold accepted links.
 *
 *   queues, rings ─▶ receive ─▶ intakes ─▶ [closed] ─▶ committer
 *   committer ─▶ [accepted] ─▶ fold, in slices ─▶ [folded] ─▶ committer ─▶ views
 *
 * It never blocks, allocates, logs or calls the kernel, except to sleep when it is
 * idle (poll: adaptive). Main thread and worker meet in the phase, which the main
 * thread raises and each worker follows:
 *
 *   RUN ─▶ QUIET: queues are polled no more ─▶ CLOSE: rings are empty, epochs closed;
 *   folding goes on ─▶ END
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bell.h"
#include "common/error.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owner.h"
#include "dataplane/shard/intake.h"
#include "dataplane/shard/receive.h"
#include "dataplane/stats/stats.h"

enum hr_phase_of_work {
	HR_WORK_RUN,
	HR_WORK_QUIET,
	HR_WORK_CLOSE,
	HR_WORK_END,
};

/* The committer's window and as much again for what is told beside links. */
#define HR_TOLD_MOST (2u * HR_OWNER_WINDOW)

/* What one shard is to its worker. */
struct hr_worker_shard {
	uint16_t shard;
	struct hr_intake *intake;
	struct hr_fold *fold;
	struct hr_seat *seat; /* NULL: nothing is acknowledged */
	/* What the committer told of it and is not done yet, oldest first, as a ring;
	 * the first is being folded where it has begun. */
	struct hr_link *told[HR_TOLD_MOST];
	uint32_t told_at, n_told;
	bool has_begun;
	uint64_t shown_in_flight;
	uint32_t shown_parked;
	hr_cell *in_flight, *parked, *logged, *gaps, *streams;
	hr_cell *streams_of[HR_STREAM_CLASSES];
	hr_cell *dedup_hits, *dedup_entries, *dedup_evicted, *lost_links;
	hr_cell *verdicts[HR_FOLD_VERDICTS];
	hr_cell *rejects[HR_REJECT_COUNT];
};

struct hr_worker {
	/* Main thread writes, worker reads. */
	_Alignas(64) atomic_uint wanted;  /* enum hr_phase_of_work */
	_Atomic uint32_t min_interval_us; /* between two times that epochs close */
	/* Worker writes, main thread reads. */
	_Alignas(64) atomic_uint reached;
	atomic_bool has_failed; /* fold refused a link: failure says why */
	struct hr_err failure;
	/* The worker's own. */
	_Alignas(64) uint32_t id;
	bool polls_busy;
	bool has_company; /* other workers may hand something over */
	struct hr_receive *receive;
	struct rte_ring *accepted, *folded;
	struct hr_bell *accepted_bell; /* ends a nap of this worker's */
	struct hr_bell *closed_bell;   /* tells the committer of closed epochs */
	uint64_t closed_us;            /* monotonic: an epoch was closed last */
	uint64_t n_closed, n_rung;     /* epochs; of them, told */
	uint32_t first_to_fold;        /* of the shards, in the last slice */
	uint32_t n_shards;             /* of this worker */
	struct hr_worker_shard *shards;
	struct hr_worker_shard *by_shard[HR_SHARDS_MAX];
	uint64_t busy_us, second_us, last_us; /* of the second going on */
	uint32_t idle_rounds;
	hr_cell *busy_permille, *sleeps;
};

/* Add the worker's rows (its shards and itself). Cold. */
void hr_worker_add_rows(struct hr_worker *w, struct hr_stats *stats);

/* Take over what the chain says that its fold stands behind. */
void hr_worker_obey_chain(struct hr_worker_shard *s);

/* rte_eal_remote_launch()'s function; arg is the worker. Returns 0. */
int hr_worker_run(void *arg);

/* Main thread: raise the phase, and wait until every worker has reached it. Returns
 * false when wait_ms were not enough. */
bool hr_workers_to(struct hr_worker *workers, uint32_t n, enum hr_phase_of_work phase,
		   uint32_t wait_ms);

#endif
