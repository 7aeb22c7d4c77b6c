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

#include "dataplane/log/record.h"

struct hr_out; /* dataplane/fold/fold.h */

struct hr_link {
	/* Written by the maker before the link is shown to anybody. */
	uint16_t shard;
	uint16_t body_kind;
	uint32_t n_events; /* sum of the items' counts */
	uint32_t n_items;
	uint32_t record_bytes;
	uint64_t n;
	struct hr_id128 prev_hash, hash;
	struct hr_id128 owner; /* whose record was accepted, ... */
	uint64_t incarnation;  /* ... and of which FENCE that was */
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

	/* References: the feed holds one, each reading view one. */
	atomic_uint refs;
};

static inline void hr_link_get(struct hr_link *link)
{
	atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
}

/* The last put frees outputs, bytes and link. Any thread but a worker. */
void hr_link_put(struct hr_link *link);

#endif
