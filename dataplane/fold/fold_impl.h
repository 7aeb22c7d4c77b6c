/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FOLD_IMPL_H
#define HR_FOLD_IMPL_H

/*
 * Inside of fold, shared by its cold half (memory, configuration, reading), the
 * events of a link (fold_fast.c) and the digest (digest_fast.c). docs/fold.md says
 * what they compute.
 */

#include "dataplane/fold/dedup.h"
#include "dataplane/fold/digest.h"
#include "dataplane/fold/fold.h"
#include "dataplane/fold/windows.h"

/* Events whose cache misses are started together. */
#define HR_FOLD_BATCH 32u

/* DATAGRAM and EVENT items that a body can hold at most. */
#define HR_FOLD_DATAGRAMS_MAX (HR_BODY_MAX / HR_ITEM_DATAGRAM_BYTES + 1u)

/* Streams past their age that go with one EPOCH: a burst of dead streams costs many
 * links a little. CONFIG takes them all, because a window that is dead must not come
 * to life when the age is raised; so no verdict depends on this number. */
#define HR_FOLD_EXPIRE_MAX 1024u

/* A stream's birth may be so far ahead of the clock, and no further; so a floor lives
 * that much longer than its stream. */
#ifndef HR_BIRTH_AHEAD_MAX_US
#define HR_BIRTH_AHEAD_MAX_US 60000000u
#endif

/* "hr-<shard>-<n>-<index>": what stands before the index, and all of it. */
#define HR_MADE_PREFIX_MAX (3u + 5u + 1u + 20u + 1u)
#define HR_MADE_ID_MAX (HR_MADE_PREFIX_MAX + 10u)

_Static_assert(HR_MADE_ID_MAX <= HR_EVENT_ID_MAX, "a made id is a valid one");

enum hr_fold_phase {
	HR_FOLD_IDLE,
	HR_FOLD_EVENTS,
	HR_FOLD_USERS, /* their rows enter the digest */
};

/* The item whose events are being folded. */
struct hr_fold_item {
	uint32_t at;   /* its offset in the body */
	uint32_t left; /* events that it claims and that have no verdict yet */
	uint8_t fate;  /* enum hr_window_verdict: of all its events */
	uint8_t codec;
	bool is_alone;  /* an EVENT: it has no stream that would know it again */
	bool is_framed; /* so far */
	int64_t received_ms;
	const uint8_t *at_byte, *end; /* payload behind the last event */
	struct hr_frames frames;
};

struct hr_fold {
	struct hr_data_set set;
	uint16_t shard;
	uint64_t n;
	struct hr_id128 hash;
	struct hr_id128 digest;
	struct hr_chain_config config;
	struct hr_fold_totals totals;
	struct hr_windows windows;
	struct hr_dedup dedup;
	struct hr_window_rules rules; /* what config says; their clock is not used */
	struct hr_dedup_rules dedup_rules;      /* the same; their clock is clock_us */
	uint64_t clock_us;                      /* of the last link begun */
	uint64_t horizon_us[HR_STREAM_CLASSES]; /* streams born before are expired,
						 * whatever a later CONFIG says */
	uint64_t shard_fraction;                /* 2^64 / S, rounded up; 0 for S = 1 */
	uint64_t user_seed; /* of the scratch table: no output depends on it */

	/* The link in work. */
	struct hr_link *link;
	struct hr_out *out;
	uint8_t phase;
	bool is_poison; /* its payloads are not looked into */
	uint8_t prefix_bytes;
	char prefix[HR_MADE_PREFIX_MAX]; /* of ids made for this link */
	uint32_t cursor;                 /* into the body, behind the item */
	uint32_t datagram;               /* index into fates: the next one */
	uint32_t position; /* of the next event, as the items claim them */
	uint32_t user;     /* next row for the digest */
	struct hr_fold_item item;
	struct hr_digest rows;
	uint8_t fates[HR_FOLD_DATAGRAMS_MAX];
};

/* The chain's rules as of a clock. */
static inline struct hr_window_rules hr_fold_rules(const struct hr_fold *fold,
						   uint64_t clock_us)
{
	struct hr_window_rules rules = fold->rules;

	rules.clock_us = clock_us;
	return rules;
}

/* Hot. Whether the chain obeys a rule that came with this version: as long as a program
 * has no such version this is false, and costs nothing. */
static inline bool hr_fold_has(const struct hr_fold *fold, uint32_t version)
{
	return HR_FOLD_VERSION >= version && fold->config.fold_version >= version;
}

/* Hot. Who an event without a stream is: a keyed hash, so that nobody outside can make
 * two of them look alike. */
void hr_fold_identity(const struct hr_fold *fold, const struct hr_event *event,
		      struct hr_id128 *out);

/* Hot: the first step. The items of a body that was looked through already: windows
 * and floors rise, gaps are added up, and fates are written. */
void hr_fold_raise(struct hr_fold *fold, const struct hr_link *link,
		   struct hr_window_gaps *gaps);

/* Hot: the last step. Counters, n, hash and digest go on by a link whose outputs are
 * there. */
void hr_fold_advance(struct hr_fold *fold, const struct hr_link *link);

/* Cold. Whether this program and this fold's memory can obey a CONFIG (and memory for
 * known events, taken here): 0, -E2BIG or -ENOMEM. Then: to make its rules of it. */
int hr_fold_config_check(struct hr_fold *fold, const struct hr_chain_config *config);
void hr_fold_obey(struct hr_fold *fold);

/* A link's way in, up to where it is begun: refuses, or takes CONFIG over, raises
 * windows and floors, sets the clock. Cold. */
int hr_fold_take(struct hr_fold *fold, const struct hr_link *link,
		 struct hr_window_gaps *gaps, uint64_t *n_evicted);

#endif
