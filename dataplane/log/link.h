/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LINK_H
#define HR_LINK_H

/*
 * link - one accepted link of a shard's chain on its way through the process.
 *
 *   committer --[accepted]--> worker (fold) --[folded]--> feed --> views
 *
 * The committer makes it from the record that came back from the log: the bytes
 * that fold reads live are the bytes that a replay reads. The committer also takes
 * the memory that fold writes its outputs to, sized by the event counts of the
 * items, because a worker never allocates. From the moment fold is done
 * everything here is immutable; the last reference frees it.
 *
 * Owner: the thread that holds it, until hr_feed_put(); then the reference count.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "dataplane/log/log.h"
#include "dataplane/log/record.h"

struct hr_fold;
struct hr_out; /* dataplane/fold/fold.h */

/*
 * What the committer tells a shard's worker, in the order in which it happened. All of
 * it comes back through `folded`; only links go on to the feed.
 */
enum hr_told {
	HR_TOLD_LINK,  /* an accepted link, to be folded */
	HR_TOLD_FENCE, /* a FENCE of ours was accepted: incarnation, fence_no. What is
			* tentative under an older fence_no will never be accepted */
	HR_TOLD_STATE, /* fold is what the links before the next one make: take it, put
			* the old one in its place */
	HR_TOLD_LOST,  /* the shard is not ours any more: incarnation */
};

struct hr_link {
	/* Written by the maker before the link is shown to anybody. Of anything but a
	 * link only kind, shard, and what its kind says. */
	enum hr_told kind;
	uint32_t fence_no;
	struct hr_fold *fold;
	uint16_t shard;
	uint16_t body_kind;
	uint32_t n_events; /* sum of the items' counts */
	uint32_t n_items;
	uint32_t record_bytes;
	uint64_t n;
	struct hr_id128 prev_hash, hash;
	struct hr_id128 owner;                /* whose record was accepted, ... */
	uint64_t incarnation;                 /* ... and of which FENCE that was, ... */
	char addresses[HR_ADDRESSES_MAX + 1]; /* ... with what it said */
	uint64_t clock_us;
	int64_t offset; /* in the log partition */
	struct hr_str body;
	uint64_t accepted_mono_us;   /* when this process saw it accepted */
	uint64_t oldest_received_us; /* wall clock of its first datagram; 0: none */
	size_t held_bytes;           /* record and outputs: what it costs in memory */
	/* Gives the record's bytes back to the log that read them. */
	void (*release)(struct hr_link *link);
	void *release_arg;

	/* Written by fold on the owner's core; read by views afterwards. */
	struct hr_out *out;
	/* Written by the worker when it is done with it: the record clock at which fold
	 * has something to do without events; UINT64_MAX: nothing. */
	uint64_t next_due_us;

	/* References: the feed holds one, each reading view one. */
	atomic_uint refs;
};

static inline void hr_link_get(struct hr_link *link)
{
	atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
}

/*
 * The link that chain has just accepted as the record in message. Takes over the
 * message on success. Returns 0, -ENOMEM, or what hr_body_check() says: then the reader
 * stops by name. mono_us is now.
 */
int hr_link_new(struct hr_link **out, const struct hr_log_message *message,
		const struct hr_record *record, const struct hr_chain *chain,
		uint64_t mono_us, struct hr_err *err);

/* Something else to be told. NULL: no memory. Whoever makes a STATE sets release, which
 * frees the fold that comes back. */
struct hr_link *hr_told_new(enum hr_told kind, uint16_t shard);

/* The whole record of a link, as it lies in the log. */
static inline struct hr_str hr_link_record(const struct hr_link *link)
{
	return (struct hr_str){ link->body.p - HR_LINK_HEAD_BYTES, link->record_bytes };
}

/* The last put frees outputs, bytes and link. Any thread but a worker. */
void hr_link_put(struct hr_link *link);

#endif
