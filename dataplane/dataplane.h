/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_DATAPLANE_H
#define HR_DATAPLANE_H

/*
 * dataplane - all rooms of the packet process, made in the order in which each needs
 * the ones before it, and taken down in the reverse order. Main thread.
 *
 *   stats ─┬─▶ data set (waits for the log) ─▶ snapshots are read ─┬─▶ ports ─▶ owner
 *          └─▶ keys ─▶ EAL ─▶ epoch pool, rings, feed ─────────────┘
 *   ─▶ workers made ─▶ views ─▶ ports start ─▶ workers run
 *
 * No port is opened before: what came by it would find nobody.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/log/owner.h"
#include "dataplane/log/reader.h"
#include "dataplane/net/net.h"
#include "dataplane/pace.h"
#include "dataplane/port/port.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/snapshot/snapshotter.h"
#include "dataplane/stats/stats.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/view.h"
#include "dataplane/worker.h"

#define HR_VIEWS_MAX 2u

/* Exit codes of headrace-dataplane. */
enum hr_exit {
	HR_EXIT_DRAINED = 0,        /* stopped as told, everything is written out */
	HR_EXIT_NO_START = 1,       /* could not start, or had to give up: stderr */
	HR_EXIT_LEFT = 3,           /* stopped; the log names what was left */
	HR_EXIT_OUT_OF_BALANCE = 4, /* stopped; a ledger law does not hold: a bug */
};

enum hr_state {
	HR_STATE_STARTING,
	HR_STATE_RUNNING,
	HR_STATE_STOPPING,
};

struct hr_running_view {
	const struct hr_view_ops *ops;
	struct hr_view *view;
};

/* The search for the data set waits for Kafka on a thread of its own. */
struct hr_search {
	pthread_t thread;
	bool is_started;
	atomic_bool ends; /* main thread: give up */
	atomic_bool is_over;
	int result;
	pthread_mutex_t lock; /* of err */
	struct hr_err err;
};

struct hr_dataplane {
	struct hr_config config;
	enum hr_state state;
	struct hr_stats *stats;
	struct hr_stats_reader *reader; /* of our own segment */
	struct hr_search search;
	/* What the snapshots hold; made by the search's thread. */
	struct hr_recovery *_Atomic recovery;
	struct hr_snapshotter *snapshotter;
	struct hr_data_set set;

	bool has_eal;
	struct hr_ports *ports;
	struct hr_keyring *keys;
	struct hr_net_ports udp_ports;
	struct hr_epoch_pool *pool;
	struct hr_feed *feed;
	struct hr_intake *intakes; /* by shard */
	struct hr_seat *seats;     /* the same; NULL: listen.handshake is off */
	uint8_t worker_of_shard[HR_SHARDS_MAX];
	struct hr_worker *workers; /* config.n_workers */
	struct rte_ring *closed[HR_WORKERS_MAX], *accepted[HR_WORKERS_MAX],
		*folded[HR_WORKERS_MAX];
	/* Of the committer, and of each worker. */
	struct hr_bell closed_bell, accepted_bell[HR_WORKERS_MAX];
	struct rte_ring *handover[HR_WORKERS_MAX][HR_WORKERS_MAX]; /* [from][to] */
	struct hr_owner *owner;
	struct hr_running_view views[HR_VIEWS_MAX];
	uint32_t n_views;
	bool has_workers; /* launched */

	/* Written by the main thread once a slow round. */
	struct hr_port_cells {
		hr_cell *packets, *missed, *sent, *send_failed;
		uint64_t counted_missed;
	} port_cells[HR_PORTS_MAX];
	hr_cell *missed_received, *missed_dropped, *shutdown_dropped, *buffers_free;
	hr_cell *interval, *committer_busy, *spare;
	/* The pace of the log: CPU time of the committer and of its CPUs, and what
	 * follows of it. */
	uint64_t committer_ns, committer_read_us;
	struct hr_pace_cpus cpus_seen;
	uint32_t min_interval_us;
};

/* dataplane_snapshot.c. On the search's thread: read the snapshots. 0 or a negated errno
 * with err. */
int hr_dataplane_recover(struct hr_dataplane *d, struct hr_err *err);
/* How far that is; false when it has not begun. Any thread. */
bool hr_dataplane_recovering(const struct hr_dataplane *d, char *out, size_t max);
/* Where a shard begins; and its state there, which is the caller's, or NULL. */
const struct hr_log_start *hr_dataplane_begins(const struct hr_dataplane *d,
					       uint16_t shard);
struct hr_fold *hr_dataplane_take_fold(struct hr_dataplane *d, uint16_t shard);
/* struct hr_owner_conf's viewed. */
uint64_t hr_dataplane_viewed(const void *ctx, uint16_t shard);
/* struct hr_owner_conf's newest. */
int hr_dataplane_newest(void *ctx, uint16_t shard, uint64_t beyond_n, atomic_bool *ends,
			struct hr_fold **fold, struct hr_log_start *start,
			struct hr_err *err);
void hr_dataplane_begin_feed(struct hr_dataplane *d);
/* Is the shard ours, as far as its chain is read? Of an hr_owner; any thread. */
bool hr_dataplane_owns(const void *owner, uint16_t shard);
int hr_dataplane_start_snapshots(struct hr_dataplane *d, struct hr_err *err);

/* Statistics and the search for the data set. */
int hr_dataplane_begin(struct hr_dataplane *d, struct hr_err *err);
/* 1: the data set is found; 0: still looking; a negated errno: it cannot be used. */
int hr_dataplane_searched(struct hr_dataplane *d, struct hr_err *err);
/* What takes time and needs nothing of the log, while that is searched for. */
int hr_dataplane_prepare(struct hr_dataplane *d, struct hr_err *err);
/* Everything else, up to running workers. On failure hr_dataplane_end() clears up. */
int hr_dataplane_start(struct hr_dataplane *d, struct hr_err *err);
/* Ten times a second: gauges, the ports' counters, the pace of the log. Returns 0, or
 * a negated errno with err where the process must end. */
int hr_dataplane_round(struct hr_dataplane *d, struct hr_err *err);
/* Write everything out within stop_drain_ms and free all. */
enum hr_exit hr_dataplane_end(struct hr_dataplane *d);

/* Ready: every shard takes epochs, every view is up. Else a sentence for each reason
 * into tell. */
typedef void (*hr_reason_tell)(void *ctx, const char *sentence);
bool hr_dataplane_is_ready(const struct hr_dataplane *d, hr_reason_tell tell,
			   void *ctx);

#endif
