/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STREAMS_H
#define HR_STREAMS_H

/*
 * streams - one shard's acknowledged streams: in which order their datagrams are taken,
 * what waits out of order, and what their senders are told. No clock, no packets, no
 * thread of its own: time comes as an argument, answers leave as structs.
 *
 *   question ─▶ hr_streams_take() ─┬─ next in order ──▶ intake, and what waits behind it
 *                                  ├─ up to 64 ahead ─▶ parked in the arena
 *                                  ├─ known already ──▶ ACK again, at most each 5 ms
 *                                  └─ EXPIRED, BUSY, NOT_OWNER, ...
 *   link begun: floors are up ─▶ hr_streams_accepted() ─▶ due ─▶ hr_streams_due(): ACK
 *   FENCE of ours ─▶ hr_streams_fence(): marks back to the floors, nothing is parked
 *
 * A stream in its shard:
 *
 *      1 ........ floor ........ taken ..................... taken + 64
 *      in the log      in epochs       missing or parked (bit i: taken + 1 + i)
 *
 * Always: floor <= taken; bit 0 of parked is clear unless the budget has no room;
 * floor is what fold says of the last link begun, and nothing else is ever called
 * committed; marks (taken, parked) die with their epochs. The datagram at floor + 1 and
 * SKIP are admitted at credit 0 too: the intake keeps a reserve for them, and the arena
 * is a buffer of its own, so nothing that is parked stands in their way.
 *
 * The table has a line for each stream that has something tentative, parked or to be
 * acknowledged; others stay as long as there is room, so that they need not be looked
 * up in fold, and the one that has been quiet for longest leaves first. Nothing alive
 * is ever put out. What is parked and gets no news for HR_PARKED_STALE_US makes room
 * (`displaced`): its sender has it still.
 *
 * The shard's worker owns all of it. Hot, but for what says cold.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/wire.h"
#include "dataplane/beacon/answer.h"
#include "dataplane/beacon/token.h"
#include "dataplane/drops.h"
#include "dataplane/fold/fold.h"
#include "dataplane/net/net.h"
#include "dataplane/shard/intake.h"

#define HR_PARKED_AHEAD 64u /* of taken: the bitmap's width */
#define HR_CREDIT_MAX 256u  /* datagrams beyond a stream's floor */
#define HR_ACK_AGAIN_MS 5u  /* between two that nothing new has caused */
#ifndef HR_BIRTH_AHEAD_US
#define HR_BIRTH_AHEAD_US 60000000ull /* of the shard's clock, at most */
#endif
#define HR_PARKED_STALE_US 30000000ull
#define HR_BUSY_WAIT_MS 1000u

/* Where a question came from: the way back, and the queue (of which worker, which of
 * its lanes) that answers leave by. */
struct hr_way {
	struct hr_net_way net;
	uint8_t worker, lane;
};

struct hr_question {
	struct hr_wire wire; /* DATA, PROBE or SKIP, authentic: hr_beacon_ask() */
	uint16_t bytes;      /* of the datagram */
	struct hr_token_of from;
	uint64_t token;       /* of PROBE: good for the address that asked */
	uint64_t received_us; /* wall clock */
	const struct hr_way *way;
};

struct hr_reply {
	struct hr_answer answer; /* kind 0: none */
	struct hr_way way;
};

/* What the shard is at the moment. */
struct hr_streams_now {
	uint64_t mono_us, wall_us;
	uint64_t clock_us; /* record time; 0: not taken yet */
	enum hr_shard_state state;
	/* Floors may be told: the last accepted link was verified since the last
	 * trouble. */
	bool may_ack;
	/* Of the owner that is known of, for NOT_OWNER. */
	uint64_t incarnation;
	struct hr_str addresses;
};

/* What became of a question, as ledger law 1 counts it. */
enum hr_outcome {
	HR_OUTCOME_TAKEN,    /* in an epoch, or parked: in flight from now on */
	HR_OUTCOME_REPEATED, /* in the log or on its way there already */
	HR_OUTCOME_ANSWERED, /* PROBE, SKIP */
	HR_OUTCOME_DROP,     /* refused or dropped: see drop */
};

struct hr_verdict_of {
	enum hr_outcome outcome;
	enum hr_drop drop;
	uint32_t n_displaced; /* parked datagrams that gave way, to be counted */
};

struct hr_streams;

struct hr_streams_conf {
	struct hr_intake *intake;
	const struct hr_fold *fold;
	uint16_t shard;
	uint32_t max_streams; /* lines of the table */
	uint64_t seed;        /* of its hash; nobody outside knows it */
};

/* Takes a buffer of the shard's share as its arena. Returns 0, or -ENOMEM with err.
 * Cold. */
int hr_streams_new(struct hr_streams **out, const struct hr_streams_conf *conf,
		   struct hr_err *err);
/* Gives the arena back. Returns how many datagrams were parked, to be counted. Cold;
 * NULL is fine. */
uint32_t hr_streams_free(struct hr_streams *s);

/* Start the cache misses of a stream, for a whole burst each, in this order. */
uint32_t hr_streams_hash(const struct hr_streams *s, uint64_t birth, uint64_t random);
void hr_streams_prefetch_slot(const struct hr_streams *s, uint32_t hash);
void hr_streams_prefetch_line(const struct hr_streams *s, uint32_t hash);

/* Judge one question and do what it asks. At most one answer comes of it at once;
 * what is committed later is told by hr_streams_due(). */
struct hr_verdict_of hr_streams_take(struct hr_streams *s, const struct hr_question *q,
				     const struct hr_streams_now *now,
				     struct hr_reply *reply);

/* fold has begun this link: its streams are due for an ACK, and what is parked behind
 * them may find room. */
void hr_streams_accepted(struct hr_streams *s, const struct hr_link *link,
			 uint64_t mono_us);

/* ACKs that are due, at most max; none while they may not be told. */
uint32_t hr_streams_due(struct hr_streams *s, const struct hr_streams_now *now,
			struct hr_reply *out, uint32_t max);

/* Datagrams that were received at one moment, and so many of them. */
struct hr_waited {
	uint64_t received_us;
	uint32_t n;
};
/* Runs of equal moments that are told apart between two calls of hr_streams_waited();
 * what comes beyond counts with the oldest moment of the last one. */
#define HR_WAITED_MAX 512u

/* Datagrams that were committed and whose ACKs hr_streams_due() has all given out: from
 * when they waited. They are forgotten by this call, *out is good until the next link.
 * Returns the number of runs; 0 while an ACK is due. */
uint32_t hr_streams_waited(struct hr_streams *s, const struct hr_waited **out);

/* Time passes: what is parked and stale gives way. Returns how many, to be counted as
 * HR_DROP_DISPLACED. Looks at one stream a call. */
uint32_t hr_streams_step(struct hr_streams *s, uint64_t mono_us);

/* A FENCE of ours was accepted (answers carry its incarnation), or the shard was lost:
 * nothing that is tentative will be accepted. Returns how many datagrams were parked,
 * to be counted as HR_DROP_FENCED; the intake's are the caller's. Cold. */
uint32_t hr_streams_fence(struct hr_streams *s, uint64_t incarnation);

/* Another fold, of the same chain: everything that is known of streams is forgotten.
 * Returns as hr_streams_fence(). Cold. */
uint32_t hr_streams_set_fold(struct hr_streams *s, const struct hr_fold *fold);

/* Datagrams that are parked: in flight, and not the intake's. */
uint32_t hr_streams_parked(const struct hr_streams *s);
/* Something is parked or to be told. */
bool hr_streams_is_busy(const struct hr_streams *s);
/* Lines of the table that are in use. */
uint32_t hr_streams_count(const struct hr_streams *s);

#endif
