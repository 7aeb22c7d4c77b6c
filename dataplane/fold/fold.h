/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FOLD_H
#define HR_FOLD_H

/*
 * fold - the pure function of the chain: from accepted links to verdicts, per-user
 * aggregates and event outputs. The live path and every replay call it with the
 * same bytes and get the same outputs, to the digest.
 *
 * It reads the link and its own state, nothing else: no clock, no configuration
 * file, no memory limit, no random seed, no float. One thread at a time per
 * struct hr_fold; in production the shard's owning worker.
 *
 *   link body ─▶ items ─▶ window or floor ─▶ events ─▶ verdict
 *                                             └▶ user row (scratch table of the link)
 *
 * State across links: chain configuration, one window or floor per stream, events
 * without a stream that are known, counters (ledger law 2) and the digest.
 * docs/fold.md has the rules, docs/snapshots.md the state's bytes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/beacon/event.h"
#include "dataplane/fold/windows.h"
#include "dataplane/log/link.h"
#include "dataplane/log/record.h"

enum hr_fold_verdict {
	HR_COUNTED,
	HR_LATE,
	HR_REPEATED,
	HR_FILTERED,
	HR_REJECTED,
	HR_OVERFLOW,
	HR_FOLD_VERDICTS
};

#define HR_NO_ROW UINT32_MAX

/* One event of the link, in input order, whatever became of it. */
struct hr_out_event {
	struct hr_event event; /* valid when verdict is HR_COUNTED; when HR_REJECTED,
				* user is a usable id of this shard or empty, and no
				* other field is to be read */
	struct hr_str raw;     /* the event's own bytes */
	uint32_t user_row;     /* index into users; HR_NO_ROW unless counted */
	uint32_t next_of_user; /* next counted event of the same user, in input order;
				* HR_NO_ROW at the last */
	uint32_t item;         /* offset of its item in the body: source, key id,
				* receive time */
	uint8_t verdict;       /* enum hr_fold_verdict */
	uint8_t reject;        /* enum hr_reject */
	uint8_t codec;
	uint8_t has_made_id; /* counted, and its id was not given by its sender */
};

/* One user of the link, in order of the first counted event. */
struct hr_out_user {
	struct hr_str user;
	uint32_t hash;        /* murmur2 of user */
	uint32_t first_event; /* index into events; follow next_of_user */
	uint32_t last_event;
	uint32_t n_events;
	uint32_t n_views;       /* product_view */
	uint32_t n_purchases;   /* purchase */
	int64_t last_active_ms; /* newest event time */
};

/*
 * Outputs of one link. Memory: one allocation, hr_out_bytes() long.
 * n_events counts events that have bytes. What an item claims beyond its bytes (only
 * a bug can have logged it) is in verdicts and rejects and has no entry, so that
 * verdicts always add up to the link's n_events.
 */
struct hr_out {
	uint32_t n_events, n_users;
	uint32_t max_events, n_slots;
	struct hr_out_event *events;
	struct hr_out_user *users;
	uint32_t *slots; /* scratch: open-addressing table of user rows */
	struct hr_arena arena;
	uint64_t verdicts[HR_FOLD_VERDICTS]; /* of this link */
	uint64_t rejects[HR_REJECT_COUNT];
	uint64_t gaps;   /* sequence numbers that this link's datagrams jumped over */
	uint64_t filled; /* and those, of any link, that arrived late in this one */
	uint64_t dedup_hits;    /* events without a stream that were known: repeated */
	uint64_t dedup_evicted; /* known events that left before their time */
	struct hr_id128 digest; /* of the chain up to and with this link */
};

/* Counters of the shard since link 1: ledger law 2 says logged = sum(verdicts). */
struct hr_fold_totals {
	uint64_t logged;
	uint64_t verdicts[HR_FOLD_VERDICTS];
	uint64_t rejects[HR_REJECT_COUNT];
	uint64_t gaps, filled; /* as in struct hr_out; missing now: their difference */
	uint64_t dedup_hits, dedup_evicted;
	uint64_t losses, lost_links; /* LOSS links, and the links they told lost */
	/* Held now. Those past their age leave with the next links, at most 1,024 with
	 * each. */
	uint64_t streams;
	uint64_t streams_of[HR_STREAM_CLASSES]; /* by enum hr_stream_class */
	uint64_t dedup_entries;
};

struct hr_fold;

/* max_streams is what the table is made for; a chain whose CONFIG asks for more
 * cannot be folded by it (hr_fold_begin says -E2BIG). Memory for events that are to be
 * known again is taken when CONFIG asks for it: the one thing that hr_fold_begin() ever
 * allocates. Returns 0 or -ENOMEM. */
int hr_fold_new(struct hr_fold **out, const struct hr_data_set *set, uint16_t shard,
		uint32_t max_streams);
void hr_fold_free(struct hr_fold *fold);

/* Bytes of outputs for a link, from its event count and body; and their making in
 * memory of that size and a cache line's alignment, at its start. Cold. */
size_t hr_out_bytes(const struct hr_link *link);
struct hr_out *hr_out_init(void *memory, const struct hr_link *link);
/* The same in memory that hr_link_put() frees; held_bytes grows by it. 0 or -ENOMEM. */
int hr_out_new(struct hr_link *link, struct hr_err *err);

/*
 * Start folding a link: it must be the one behind the last, which is done. Its out
 * must be ready. Returns 0, or, with nothing changed: -EPROTO: not the next link;
 * -E2BIG: CONFIG of a fold_version, setting, pipeline or size this binary does not
 * know; -ENOMEM: CONFIG asks for more memory than there is; -ENOTSUP, -EBADMSG: a body that hr_body_check() refuses, or that holds
 * other counts than the link says. Marks and floors are raised here, undivided.
 */
int hr_fold_begin(struct hr_fold *fold, struct hr_link *link);

/* Fold up to max_events more of it (then user rows into the digest, as many a call).
 * Returns true when the link is done: at once when none is begun. */
bool hr_fold_step(struct hr_fold *fold, uint32_t max_events);

/* Where the fold stands: link n, its hash, and the digest. */
uint64_t hr_fold_n(const struct hr_fold *fold);
const struct hr_id128 *hr_fold_hash(const struct hr_fold *fold);
const struct hr_id128 *hr_fold_digest(const struct hr_fold *fold);
const struct hr_chain_config *hr_fold_config(const struct hr_fold *fold);
void hr_fold_read_totals(const struct hr_fold *fold, struct hr_fold_totals *out);

/*
 * Questions of the receive path, hot, for the thread that folds. They change nothing,
 * and hold as soon as a link is begun: floors rise there. clock_us is record time, not
 * before hr_fold_clock(); by it a stream past its age is unknown.
 */
enum hr_floor_is {
	HR_FLOOR_UNKNOWN, /* then floor is 0 */
	HR_FLOOR_KNOWN,
	HR_FLOOR_WINDOW,  /* it came without acknowledgements; floor is 0 */
	HR_FLOOR_FOREIGN, /* it began under another write key; floor is 0 */
};

enum hr_floor_is hr_fold_floor(const struct hr_fold *fold, uint64_t birth,
			       uint64_t random, uint32_t key_id, uint64_t clock_us,
			       uint64_t *floor);

/* For a stream that is unknown: whether it was born so long ago that its floor may
 * have been forgotten, and its events been counted. Also when the chain's lifetimes
 * were shorter once. */
bool hr_fold_is_expired(const struct hr_fold *fold, uint64_t birth, uint64_t clock_us);

/* Whether a link would find room for one stream more of that key, beside so many that
 * are on their way there already, so many of those with the same key. */
bool hr_fold_has_stream_room(const struct hr_fold *fold, uint32_t key_id,
			     uint32_t n_tentative, uint32_t n_tentative_of_key,
			     uint64_t clock_us);

/* Record time of the last link begun. */
uint64_t hr_fold_clock(const struct hr_fold *fold);

/*
 * Record time from which on a link without events would have outputs, so that the
 * owner has to send one. UINT64_MAX, always, in this fold version: nothing happens
 * by time alone. Streams and known events that grow too old are gone for every rule at
 * their moment, whether a link came by or not.
 */
uint64_t hr_fold_next_due(const struct hr_fold *fold);

/*
 * The state as bytes, for snapshots: docs/snapshots.md has the layout. Equal states
 * give equal bytes. Cold; the thread that owns the fold, between two links only.
 */
size_t hr_fold_state_bytes(const struct hr_fold *fold);
/* out has that room. Returns the bytes written. */
size_t hr_fold_state_write(const struct hr_fold *fold, uint8_t *out);
/* A fold that stands where the one stood that was written. Returns 0, -ENOMEM, -E2BIG
 * (more streams than max_streams, or a state of a later program), -EINVAL (another data
 * set, generation or shard) or -EBADMSG (damaged), with err. */
int hr_fold_state_read(struct hr_fold **out, const struct hr_data_set *set,
		       uint16_t shard, uint32_t max_streams, struct hr_str bytes,
		       struct hr_err *err);

/*
 * A mirror goes on by a link that another fold has folded: marks from its items, all
 * else from its outputs, no event is parsed again. Its state is then, byte for byte, the
 * other's. Returns as hr_fold_begin(), with nothing changed. Cold, at once, any thread
 * that holds the link.
 */
int hr_fold_follow(struct hr_fold *fold, const struct hr_link *folded);

#endif
