/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOTTER_H
#define HR_SNAPSHOTTER_H

/*
 * snapshotter - a thread that follows the feed with a mirror of each shard's state and
 * writes it down now and then: every snapshot.interval if anything happened, or when the
 * log grew by snapshot.log_bytes. Nobody waits for it; when it falls behind what is in
 * memory it reads the log for itself.
 *
 *   feed ─▶ mirrors ─▶ image ─▶ vault ─▶ tidy ─▶ up to where the log may be trimmed
 *                                          ▲
 *                         positions of the configured views
 *
 * It trims nothing: what may go is told (hr_snapshotter_said()), and headraced does it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"
#include "dataplane/snapshot/recovery.h"

struct hr_config;
struct hr_feed;
struct hr_snapshotter;

struct hr_snapshotter_conf {
	const struct hr_config *config;
	const struct hr_data_set *set;
	struct hr_feed *feed;
	/* Its mirrors and indexes are taken. */
	struct hr_recovery *recovery;
	/* The n of a configured view in a shard; 0: not known. Any thread. */
	uint32_t n_views;
	uint64_t (*position)(void *ctx, uint32_t view, uint16_t shard);
	/* The incarnation by which the shard is this process's, 0: it is another's. Of
	 * those nothing is deleted, and nothing said to be trimmed: our views do not run
	 * them, so their positions are old. NULL: all are ours. Any thread. */
	uint64_t (*owned_since)(const void *ctx, uint16_t shard);
	void *ctx;
};

/* conf is copied; what it points to must outlive the snapshotter. Returns 0 or -ENOMEM
 * with err. Waits for nobody. */
int hr_snapshotter_start(struct hr_snapshotter **out,
			 const struct hr_snapshotter_conf *conf, struct hr_err *err);
/* Gives up what is being written, and frees. NULL is fine. */
void hr_snapshotter_stop(struct hr_snapshotter *snapshotter);

/* What there is of one shard. Any thread. */
struct hr_snapshot_said {
	uint64_t followed_n; /* the mirror's link */
	uint64_t n;          /* of the newest snapshot; 0: none */
	uint64_t bytes;      /* of it */
	uint64_t at_mono_us; /* when this process wrote it; 0: it found it */
	uint32_t n_kept;     /* snapshots there are */
	int64_t trim_before; /* what lies before this offset may go; 0: nothing */
	uint64_t log_bytes, n_events; /* of the links followed in this process */
	uint64_t since_mono_us;       /* when it began to follow */
	char why_not[200];            /* why nothing is trimmed; "" when it is */
	char trouble[280];            /* of writing; "" when all is well */
};

void hr_snapshotter_said(const struct hr_snapshotter *snapshotter, uint16_t shard,
			 struct hr_snapshot_said *out);

#endif
