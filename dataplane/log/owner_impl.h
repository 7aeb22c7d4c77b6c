/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_OWNER_IMPL_H
#define HR_OWNER_IMPL_H

/*
 * Inside of the owner: owner.c is the thread (rings, waiting, starting, stopping),
 * owner_shard.c is one shard's way from reading the chain to being fenced. All of it
 * belongs to the committer thread, except where said.
 *
 *             ┌────────────── trouble: recover() ───────────────┐
 *             ▼                                                 │
 *   WAITING ──fence()──▶ FENCING ──ours accepted──▶ FIRST ──accepted──▶ READY
 *      ▲                    │                         │                   │
 *      └── somebody else's came first ◀───────────────┴───────────────────┘
 *      │ and shows a link: FENCED          anything that no retry mends: STOPPED
 *
 * WAITING holds until the chain was read to its end once, a new producer is there,
 * and the back-off is over. Opening and closing a producer may block; a thread of
 * its own does it (struct hr_renewal), so one shard's trouble stops no other.
 */

#include <pthread.h>

#include "dataplane/log/log_impl.h"
#include "dataplane/log/owner.h"
#include "dataplane/log/record_clock.h"
#include "dataplane/stats/names.h"

#define HR_OWNER_IDS_KEPT 64u
#define HR_OWN_HASHES_KEPT 16u
#define HR_REASON_BYTES 320

enum hr_phase {
	HR_PHASE_WAITING,
	HR_PHASE_FENCING,
	HR_PHASE_FIRST,
	HR_PHASE_READY,
	HR_PHASE_FENCED,
	HR_PHASE_STOPPED,
};

/* A link on its way: sent, not yet both read back and reported. The producer refers
 * to the epoch's bytes until it reports delivery or is destroyed. */
struct hr_append {
	struct hr_append *next;
	struct hr_epoch *epoch; /* NULL: a small record that was copied */
	struct hr_id128 owner, hash;
	uint64_t n;
	uint64_t sent_us;
	uint32_t bytes;
	bool is_done;     /* accepted, or dropped */
	bool is_reported; /* delivery report came, or its producer is gone */
};

/* Work for the thread that closes a producer and opens the next. */
struct hr_renewal {
	pthread_t thread;
	bool is_running;     /* the thread has to be joined */
	atomic_bool is_over; /* release; pairs with the committer's acquire */
	struct hr_owner *owner;
	struct hr_owned *shard;
	/* In: what to close (NULL: nothing), whether to open, whether to start
	 * fetching anew, and from where. */
	struct hr_kafka *old;
	rd_kafka_topic_t *old_topic;
	bool opens, restarts_fetch;
	int64_t fetch_from;
	/* Out. */
	struct hr_kafka *fresh;
	rd_kafka_topic_t *fresh_topic;
	bool topic_is_gone; /* a broker said so */
	struct hr_err err;
};

/* One shard of this appliance. */
struct hr_owned {
	struct hr_shard_view view; /* read by all */

	struct hr_owner *owner;
	uint16_t shard;
	uint8_t worker;
	enum hr_phase phase;
	bool caught_up; /* the chain was read to its end once */
	bool was_owner; /* a FENCE of ours was accepted in this process */
	bool was_ready;
	bool is_contested; /* fenced by another, who may be dead */
	bool saw_foreign;  /* sound records of another data set */

	struct hr_chain chain;
	struct hr_chain_config config; /* the newest accepted CONFIG */
	rd_kafka_queue_t *inbox;
	int64_t next_offset;
	int64_t end_at_start; /* of the partition; -1: not known yet */

	struct hr_kafka *producer; /* NULL while it is renewed */
	rd_kafka_topic_t *topic;
	struct hr_renewal renewal;
	uint64_t retired_errors; /* of producers that are gone */
	bool wants_refetch;      /* a fetch error came during a renewal */
	bool has_failed_report;  /* the producer gave up a record */
	char failed_report[96];

	struct hr_id128 id; /* of the newest FENCE of ours */
	struct hr_id128 ids[HR_OWNER_IDS_KEPT];
	uint32_t n_ids;
	struct hr_id128 own_hashes[HR_OWN_HASHES_KEPT]; /* by n */
	struct hr_fence_times fence_times;

	/* Closed epochs, oldest first. */
	struct hr_epoch **waiting;
	uint32_t waiting_at, n_waiting, max_waiting;
	struct hr_append *flight;  /* the one not yet accepted, or NULL */
	struct hr_append *appends; /* all not yet both done and reported */

	uint64_t not_before_us; /* back-off: no FENCE before */
	uint64_t deadline_us;   /* watchdog of what is in flight; 0: nothing is */
	uint32_t watchdog_ms, backoff_ms;
	bool was_delivered; /* what the watchdog waits for has been reported */
	uint64_t last_link_us;
	uint64_t last_progress_us; /* of the reason's text while reading */

	hr_cell *epochs_accepted, *datagrams_logged, *log_link, *log_bytes,
		*incarnation, *recoveries, *ready;

	pthread_mutex_t lock; /* of reason: any thread reads it */
	char reason[HR_REASON_BYTES];
};

struct hr_owner {
	struct hr_owner_conf conf;
	struct hr_data_set set;
	struct hr_owned *shards;
	uint32_t n_shards;

	struct hr_kafka *consumer;
	rd_kafka_topic_t *log;
	int wake_fd; /* librdkafka's threads and renewals write; committer reads */
	struct hr_record_clock clock;
	uint8_t *scratch; /* HR_RECORD_MAX: small records are made here */

	/* Per worker: links that are out to be folded. */
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

	hr_cell *append_seconds, *latency_seconds, *consumer_errors, *producer_errors,
		*dropped_fenced, *dropped_stopped;
	hr_cell no_cells[HR_HIST_CELLS]; /* where rows go without statistics */
};

/* owner_shard.c; all for the committer thread. */
int hr_owned_init(struct hr_owned *s, struct hr_owner *owner, uint16_t shard,
		  struct hr_err *err);
void hr_owned_fini(struct hr_owned *s);
/* A closed epoch, from its worker. */
void hr_owned_take(struct hr_owned *s, struct hr_epoch *epoch);
/* Messages of its partition, as long as the worker has room. Returns how many. */
unsigned int hr_owned_read(struct hr_owned *s);
/* Time passes: renewals, watchdog, fences, appends. */
void hr_owned_step(struct hr_owned *s, uint64_t now_us);
/* Stop by name. */
void hr_owned_stop(struct hr_owned *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Nothing of this shard is tentative. */
bool hr_owned_is_drained(const struct hr_owned *s);
/* The end: closes the producer, gives every epoch back; items that were tentative. */
uint64_t hr_owned_end(struct hr_owned *s);

/* owner_producer.c. Start the thread that does the work; or do it here and now. */
int hr_renewal_start(struct hr_renewal *r);
void hr_renewal_run(struct hr_renewal *r);
/* Join it when it is over; returns false while it is not. */
bool hr_renewal_join(struct hr_renewal *r);
void hr_renewal_wait(struct hr_renewal *r);

/* owner.c */
void hr_owner_wake(struct hr_owner *owner);
bool hr_owner_has_room(const struct hr_owner *owner, uint8_t worker);
void hr_owner_hand_out(struct hr_owner *owner, uint8_t worker, struct hr_link *link);

#endif
