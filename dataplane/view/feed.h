/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FEED_H
#define HR_FEED_H

/*
 * feed - folded links in memory, for the views to take by number.
 *
 *   committer ──put──▶ [ n-3 | n-2 | n-1 | n ] ◀──get(n)── views
 *
 * Bounded by log.keep_memory: when it is full the oldest link leaves, whoever has
 * not read it yet; a view that asks for it is told so (GAP) and folds the log again
 * for itself. So a view that is slow or down holds up nobody. One lock, held for a
 * few instructions; no worker ever takes it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/log/link.h"

struct hr_feed;

int hr_feed_new(struct hr_feed **out, uint32_t n_shards, size_t keep_bytes);
void hr_feed_free(struct hr_feed *feed);

/* Before anything was put: the first link of this shard will be n + 1, because a
 * snapshot holds what is before it. Whoever asks for less is told GAP. */
void hr_feed_begin(struct hr_feed *feed, uint16_t shard, uint64_t n);

/* Committer. Takes over the caller's reference. Per shard in order of n, from 1 or as
 * hr_feed_begin() said. The
 * newest link stays in memory whatever its size. */
void hr_feed_put(struct hr_feed *feed, struct hr_link *link);

/*
 * View. Link n of a shard with a reference of the caller's own: returns 1; 0 when
 * it is not folded yet; -ENODATA when it has left memory (GAP).
 */
int hr_feed_get(struct hr_feed *feed, uint16_t shard, uint64_t n, struct hr_link **out);

/* The least n of a shard that is in memory; 0: none is. */
uint64_t hr_feed_first(struct hr_feed *feed, uint16_t shard);
/* Committer. What was put of this shard never was: the log lost it, and its chain is
 * read anew. The next link is n + 1. */
void hr_feed_restart(struct hr_feed *feed, uint16_t shard, uint64_t n);

/*
 * Committer. Everything of the shard's partition below this offset has been read and
 * judged, and what was accepted of it is put; is_whole: that was the whole chain, as of
 * when reading began or later. Offsets grow, but for a log that was cut; cheap where
 * nothing changed.
 */
void hr_feed_read_to(struct hr_feed *feed, uint16_t shard, int64_t offset,
		     bool is_whole);
/* View. How far that is (0: nothing yet). */
int64_t hr_feed_offset(struct hr_feed *feed, uint16_t shard);
/* View. Was the chain read to its end once? Before, a view may stand beyond the newest
 * link and nothing is wrong. */
bool hr_feed_is_whole(struct hr_feed *feed, uint16_t shard);

/* The newest n of a shard, 0 for none. */
uint64_t hr_feed_last(struct hr_feed *feed, uint16_t shard);

/*
 * View. Wait until something was put after *seen (start with 0) or timeout_ms went
 * by; *seen becomes the number of puts and wakes so far, so that neither is missed by
 * a view that was busy meanwhile. hr_feed_wake() wakes every view once.
 */
void hr_feed_wait(struct hr_feed *feed, uint64_t *seen, uint32_t timeout_ms);
void hr_feed_wake(struct hr_feed *feed);

size_t hr_feed_bytes(struct hr_feed *feed);

#endif
