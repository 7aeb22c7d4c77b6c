/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_MIRROR_H
#define HR_SNAPSHOT_MIRROR_H

/*
 * mirror - a shard's accepted state, followed beside the worker that folds it: the
 * worker's outputs are applied to a fold of its own, without parsing an event again. It
 * takes links from the feed, so it never sees what is not accepted; behind a GAP it
 * folds the log for itself. One thread.
 */

#include <stdint.h>

#include "common/error.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/start.h"
#include "dataplane/snapshot/format.h"

struct hr_config;
struct hr_feed;
struct hr_reader;

struct hr_mirror {
	const struct hr_config *config;
	const struct hr_data_set *set;
	struct hr_feed *feed;
	uint16_t shard;
	struct hr_fold *fold;     /* NULL until the first link */
	struct hr_log_start at;   /* chain, offset and CONFIG as of fold's n */
	struct hr_reader *reader; /* while it reads for itself */
	uint64_t log_bytes;       /* of the links followed so far */
	uint64_t n_events;        /* and their events */
};

/* Takes over fold (NULL: none) and what it stands at. */
void hr_mirror_init(struct hr_mirror *m, const struct hr_config *config,
		    const struct hr_data_set *set, struct hr_feed *feed, uint16_t shard,
		    struct hr_fold *fold, const struct hr_log_start *at);
void hr_mirror_fini(struct hr_mirror *m);

/* Follow up to so many links. Returns how many, or a negated errno with err: it stands
 * where it stood. Waits only while it reads the log for itself, wait_ms at most. */
int hr_mirror_follow(struct hr_mirror *m, uint32_t at_most, uint32_t wait_ms,
		     struct hr_err *err);

/*
 * The state as an image, in memory of its own: *bytes are for free(). Returns 0, -EAGAIN
 * (no link yet) or -ENOMEM with err.
 */
int hr_mirror_image(const struct hr_mirror *m, uint8_t **image, size_t *bytes,
		    struct hr_err *err);

#endif
