/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_OWNER_IMPL_H
#define HR_OWNER_IMPL_H

/*
 * Inside of the owner: the committer thread around the shards of owned.h. What it gives
 * them is time, random bits, rings and a log; what they do with it they decide alone.
 */

#include <pthread.h>

#include "dataplane/log/holdings.h"
#include "dataplane/log/owned.h"
#include "dataplane/stats/names.h"

/* What other threads ask of a shard in words. */
struct hr_owner_words {
	pthread_mutex_t lock;
	char reason[HR_REASON_BYTES];
	char addresses[HR_ADDRESSES_MAX + 1];
	struct hr_owner_seen seen; /* of a followed one */
};

/* A command of another thread, which waits until the committer has done it. */
enum hr_owner_command {
	HR_OWNER_NOTHING,
	HR_OWNER_TAKE,
	HR_OWNER_ACCEPT_LOSS,
	HR_OWNER_CONFIG_COMMIT,
	HR_OWNER_CLOCK_ACCEPT,
};

struct hr_owner_ask {
	pthread_mutex_t lock;
	pthread_cond_t news;
	enum hr_owner_command command; /* not done yet */
	uint16_t shard;
	uint64_t n_done;
	int result;
	struct hr_err err;
	bool is_over; /* the committer has ended */
};

/* The search for a snapshot, one shard at a time. */
struct hr_owner_restore {
	struct hr_owner *owner;
	pthread_t thread;
	bool is_running;
	atomic_bool ends;    /* it is not wanted any more */
	atomic_bool is_over; /* release; pairs with the committer's acquire */
	uint16_t shard;
	uint64_t beyond_n;
	int result;
	struct hr_fold *fold;
	struct hr_log_start *start;
	struct hr_err err;
};

struct hr_owner {
	struct hr_owner_conf conf;
	struct hr_data_set set;
	struct hr_owned_conf common;
	struct hr_holdings holdings; /* the thread's own, once it runs */
	bool others[HR_SHARDS_MAX];
	struct hr_owner_restore restore;
	struct hr_log_start *restored[HR_SHARDS_MAX]; /* what shards go on from */
	struct hr_owned *shards;
	struct hr_owner_words *words; /* by shard */
	struct hr_owner_ask ask;
	uint32_t n_shards;

	struct hr_log *log;
	int wake_fd; /* the end */
	struct hr_record_clock clock;

	/* Per worker: what is out, and links' memory. */
	uint32_t window[HR_WORKERS_MAX];
	uint32_t out_links[HR_WORKERS_MAX];
	size_t out_bytes[HR_WORKERS_MAX];

	uint64_t hot_until_us, warm_until_us; /* how long to look often */
	uint64_t next_slow_us;
	uint32_t first_to_read; /* of the shards, in the last pass */
	bool must_poll;

	pthread_t thread;
	atomic_bool stops; /* release in hr_owner_stop() */
	uint64_t stop_at_us;
	uint64_t tentative_items; /* the thread's last word */

	hr_cell *consumer_errors, *producer_errors;
	hr_cell no_cells[HR_HIST_CELLS]; /* where rows go without statistics */
};

#endif
