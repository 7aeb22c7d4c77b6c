/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_OWNED_H
#define HR_OWNED_H

/*
 * owned - one shard of an owner, as a state machine: it reads the chain, fences,
 * appends epochs, reads them back through the accept rule, and hands out what was
 * accepted. It knows a log only through struct hr_log_ops and everything else through
 * hooks; it asks no clock, draws no random bits, starts no thread and takes no lock.
 * So the committer thread and a simulation run the very same code:
 *
 *      for each shard, for ever:  hr_owned_take()   an epoch its worker closed
 *                                 hr_owned_read()   what the log brought
 *                                 hr_owned_step()   time passes
 *                                 hr_owned_back()   what the worker is done with
 *
 * Whatever is appended is read back before it counts; and what counts is asked for
 * again, by offset and to the byte, after every trouble and each second. Where it is not
 * there any more the log was cut: CUT finds out what is left, and what memory still
 * holds is appended again.
 *
 *             ┌────────────── trouble: recover() ───────────────┐
 *             ▼                                                 │
 *   WAITING ──fence()──▶ FENCING ──ours accepted──▶ FIRST ──accepted──▶ READY
 *      ▲                    │                         │                   │
 *      └── somebody else's came first ◀───────────────┴───────────────────┘
 *      │ and shows a link: FENCED          anything that no retry mends: STOPPED
 *      └── claim() ────────── │ (or from the start: it is another appliance's)
 *
 * WAITING holds until the chain was read to its end once, a new writer is there, and
 * the back-off is over.
 *
 * owned.c begins and ends it and passes time; owned_fence.c becomes owner and steps
 * down; owned_append.c sends; owned_read.c judges what comes back; owned_verify.c asks
 * again; owned_cut.c mends; owned_follow.c looks on while it is another's, and
 * owned_restore.c catches up from a snapshot. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/log/log.h"
#include "dataplane/log/owner.h"
#include "dataplane/log/record_clock.h"
#include "dataplane/log/start.h"
#include "dataplane/stats/stats.h"

#define HR_OWNER_IDS_KEPT 64u
#define HR_OWN_HASHES_KEPT 16u
#define HR_REASON_BYTES 320

enum hr_phase {
	HR_PHASE_CUT,       /* looking for what is left */
	HR_PHASE_RESTORING, /* looking for a snapshot */
	HR_PHASE_WAITING,
	HR_PHASE_FENCING,
	HR_PHASE_FIRST,
	HR_PHASE_READY,
	HR_PHASE_FENCED, /* another appliance's: followed */
	HR_PHASE_STOPPED,
};

/* A link on its way: sent, not yet both read back and reported. The writer refers to
 * the epoch's bytes until it reports, or is renewed. */
struct hr_append {
	struct hr_append *next;
	struct hr_epoch *epoch; /* NULL: a small record that was copied */
	struct hr_id128 owner, hash;
	uint64_t n;
	uint64_t sent_us;
	uint32_t bytes;
	bool is_done;     /* accepted, or dropped */
	bool is_reported; /* the writer does not refer to it any more */
};

enum hr_restore {
	HR_RESTORE_LOOKING, /* ask again with the next step */
	HR_RESTORE_NOTHING, /* no snapshot is further */
	HR_RESTORE_FAILED,
	HR_RESTORED,
};

struct hr_owned;

/* Whatever is not the log. None of them calls back, but cloned(). */
struct hr_owned_hooks {
	void *ctx;
	/* Random bytes, for owner ids and for back-off. false: there are none. */
	bool (*random)(void *ctx, void *out, size_t n);
	/* A line for the operator. */
	void (*tell)(void *ctx, enum hr_log_level level, const char *line);
	/* s->reason or s->addresses is another one; and each second, while it is owner. */
	void (*said)(void *ctx, const struct hr_owned *s);
	/* An epoch's buffer is free. */
	void (*put_epoch)(void *ctx, struct hr_epoch *epoch);
	/* May something more be handed out to this shard's worker? */
	bool (*has_room)(void *ctx, const struct hr_owned *s);
	/* An accepted link, or something else that a worker is told; it comes back by
	 * hr_owned_back(). */
	void (*hand_out)(void *ctx, struct hr_owned *s, struct hr_link *link);
	/* An accepted link that is still in memory and was folded, with a reference of
	 * the caller's; NULL: it is not. first_kept: the least n of this shard that is,
	 * 0: none. */
	struct hr_link *(*kept)(void *ctx, const struct hr_owned *s, uint64_t n);
	uint64_t (*first_kept)(void *ctx, const struct hr_owned *s);
	/* Everything handed out so far is void: the worker is to be told an empty state
	 * (HR_TOLD_STATE, by hr_owned_hand_out()), memory forgets the shard's links.
	 * false: no memory for it. */
	bool (*forget)(void *ctx, struct hr_owned *s);
	/* Somebody appends under an id of ours: hr_owned_stop() every shard of this
	 * process, this one too. */
	void (*cloned)(void *ctx, const char *text);
	/* From now on this shard is this appliance's, or another's: a restart has to
	 * know it. Returns 0, or a negated errno with err when it could not be written
	 * down. NULL: nobody keeps it. */
	int (*keep)(void *ctx, const struct hr_owned *s, bool is_ours,
		    struct hr_err *err);
	/* The least link at which a configured view of this shard stands, 0: it is not
	 * known; UINT64_MAX: there is no view. NULL: there never is. */
	uint64_t (*viewed)(void *ctx, const struct hr_owned *s);
	/* Look for a snapshot of a link behind beyond_n; nothing of the shard is out.
	 * RESTORED: the worker was told its state (HR_TOLD_STATE), memory forgot the
	 * shard's links, and *start stays until the next one or the end. FAILED (err):
	 * it is asked again in a while. NULL: there are none. */
	enum hr_restore (*restore)(void *ctx, struct hr_owned *s, uint64_t beyond_n,
				   const struct hr_log_start **start,
				   struct hr_err *err);
	/* Whoever folded this link died of it: it is not handed out, and the shard stops
	 * for the reason in err. NULL: none is. */
	bool (*bars)(void *ctx, const struct hr_owned *s, uint64_t n,
		     const struct hr_id128 *hash, struct hr_err *err);
};

/* Cells of the statistics; all must be set. */
struct hr_owned_cells {
	hr_cell *epochs_accepted, *datagrams_logged, *log_link, *log_bytes,
		*incarnation, *recoveries, *ready;
	hr_cell *append_seconds, *latency_seconds, *dropped_fenced, *dropped_stopped;
};

/* What the shards of a process share; it outlives them. */
struct hr_owned_conf {
	const struct hr_log_ops *ops;
	struct hr_log *log;
	const struct hr_data_set *set;
	struct hr_chain_config file; /* CONFIG as the configuration says it */
	struct hr_record_clock *clock;
	const char *addresses; /* of our listeners, for NOT_OWNER; "": none */
	uint32_t max_waiting;  /* closed epochs of a shard at once */
	const bool *others;    /* by shard: another appliance's at first; NULL: none */
	struct hr_owned_hooks hooks;
};

/* What is seen of a shard that is another appliance's. */
struct hr_followed {
	struct hr_id128 owner;
	uint64_t incarnation;
	uint64_t n;         /* of its newest link, as the record says it */
	int64_t stamped_ms; /* the newest record's; 0: none */
	int64_t next_offset;
	uint64_t again_us; /* trouble: begun again then; 0: there is none */
	uint64_t show_us;
	bool has_gap; /* records were missed */
};

struct hr_owned {
	struct hr_shard_view view; /* read by all */

	const struct hr_owned_conf *conf;
	struct hr_owned_cells cells;
	uint16_t shard;
	enum hr_phase phase;
	bool caught_up; /* the chain was read to its end once */
	bool was_owner; /* a FENCE of ours was accepted in this process */
	bool was_ready;
	bool is_contested; /* fenced by another, who may be dead */
	bool saw_foreign;  /* sound records of another data set */
	bool wants_config; /* the operator: the file's CONFIG into the chain */
	/* Going over to another fold version: epochs wait until then (0: they do not),
	 * so that views reach the last link; after that they go again for a while. */
	uint64_t held_until_us, hold_again_us;
	uint64_t complain_at_us;
	bool accepts_loss; /* the operator said so: the next first link is LOSS */

	/* The chain as handed out: the log may hold less, when it was cut. */
	uint64_t known_n;
	struct hr_id128 known_hash;
	uint32_t n_out;                   /* handed out, and not back */
	const struct hr_log_start *start; /* NULL: from the first link */
	bool has_begun; /* the record at the start was the right one */

	/* Asking again. */
	struct hr_link *last;  /* the newest accepted link, or NULL */
	struct hr_link *asked; /* what was asked for, or NULL: nothing */
	/* The last record read, where it is none that was accepted as a link: a FENCE, or
	 * one that the accept rule passed over. Offset -1: it is `last`. */
	struct hr_read_tail {
		int64_t offset;
		struct hr_id128 hash;
	} tail, asked_tail;  /* as it was when it was asked for */
	bool asks_tail;      /* that is what was asked for */
	bool must_verify;    /* no acknowledgement before */
	bool has_asked_late; /* after must_verify was set */
	uint64_t n_lost_seen, asked_us, ask_at_us;
	/* Finding what is left: links low..high of those in memory may be it. */
	uint64_t cut_low, cut_high;
	/* A snapshot proves that this link was accepted, and its log was not found to hold
	 * it: 0 once it has turned up, or a LOSS has. */
	uint64_t proved_n;
	struct hr_id128 proved_hash;
	bool is_displaced; /* another link stands in its place */
	uint64_t lost_n;   /* what nobody holds, when stopped for it; 0: nothing */
	struct hr_id128 lost_hash;

	struct hr_chain chain;
	struct hr_chain_config config; /* the newest accepted CONFIG */
	struct hr_log_part *part;
	int64_t next_offset;
	int64_t end_at_start; /* of the partition; -1: not known yet */

	bool is_renewing;       /* the writer */
	bool has_failed_report; /* the writer gave up a record */
	char failed_report[96];

	struct hr_id128 id; /* of the newest FENCE of ours */
	struct hr_id128 ids[HR_OWNER_IDS_KEPT];
	uint32_t n_ids;
	struct hr_id128 own_hashes[HR_OWN_HASHES_KEPT]; /* by n */
	uint64_t own_n;                                 /* the newest of them */
	struct hr_followed followed;                    /* FENCED */
	bool is_claimed;     /* the operator: own it, whoever has it */
	uint64_t look_at_us; /* RESTORING: not before */
	char else_stop
		[HR_REASON_BYTES]; /* RESTORING: when there is none; "": read on */
	struct hr_fence_times fence_times;
	uint32_t fence_no; /* FENCEs of ours that were accepted */

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

	char reason[HR_REASON_BYTES];
	char addresses[HR_ADDRESSES_MAX + 1]; /* of the newest FENCE */
};

/* cells: copied; start: NULL, or what to begin behind; it stays until the end. Starts
 * reading the partition. Returns 0, -ENOMEM or -EIO with err. */
int hr_owned_init(struct hr_owned *s, const struct hr_owned_conf *conf, uint16_t shard,
		  const struct hr_log_start *start, const struct hr_owned_cells *cells,
		  struct hr_err *err);
void hr_owned_fini(struct hr_owned *s);

/* A closed epoch, from its worker. */
void hr_owned_take(struct hr_owned *s, struct hr_epoch *epoch);
/* Records of its partition, as long as its worker has room, some at once. Returns how
 * many. */
unsigned int hr_owned_read(struct hr_owned *s, const struct hr_now *now);
/* Time passes: reports, watchdog, fences, appends. */
void hr_owned_step(struct hr_owned *s, const struct hr_now *now);
/* What was handed out came back. It is still the caller's. */
void hr_owned_back(struct hr_owned *s, const struct hr_link *link);
/* What the worker is told; for forget(). */
void hr_owned_hand_out(struct hr_owned *s, struct hr_link *told);
/* The operator: own it; go on behind what was lost. As hr_owner_take() and
 * hr_owner_accept_loss(). */
int hr_owned_claim(struct hr_owned *s, struct hr_err *err);
int hr_owned_accept_loss(struct hr_owned *s, struct hr_err *err);
/* The file's CONFIG becomes the next link, unless the chain says the same already: at
 * once, or where it asks for another fold version as soon as all views stand at the last
 * link, for which epochs are held back, 5 s at once at most. The
 * wall clock becomes record time, which never runs back. */
void hr_owned_config_commit(struct hr_owned *s);
void hr_owned_clock_accept(struct hr_owned *s, const struct hr_now *now);
/* Stop by name. */
void hr_owned_stop(struct hr_owned *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Nothing of this shard is tentative. */
bool hr_owned_is_drained(const struct hr_owned *s);
/* The end: closes its part of the log, gives every epoch back; returns the items that
 * were tentative. */
uint64_t hr_owned_end(struct hr_owned *s);

#endif
