/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REPLAY_H
#define HR_REPLAY_H

/*
 * replay - the log folded again, for a view whose position is behind what is in memory:
 * from the newest snapshot at or before that position, else from link 1. Never from the
 * position alone: what was folded before it decides what comes behind it. The same
 * reader, the same fold, the same outputs and digests as the live path. One thread at a
 * time.
 */

#include "common/error.h"
#include "dataplane/log/link.h"

struct hr_config;
struct hr_replay;

/*
 * behind_n: the position; links up to it may come and have to be passed over. Blocks
 * while a snapshot is looked for and read, some ten seconds at most. Returns 0 or a
 * negated errno with err: -EIO where snapshots are out of reach for the moment.
 */
int hr_replay_open(struct hr_replay **out, const struct hr_config *config,
		   const struct hr_data_set *set, uint16_t shard, uint64_t behind_n,
		   struct hr_err *err);
void hr_replay_close(struct hr_replay *replay);

/* The link that the next one follows; 0: it is the first. */
uint64_t hr_replay_n(const struct hr_replay *replay);

/* The log holds the link that hr_replay_n() names; false also where it is 0. */
bool hr_replay_has_begun(const struct hr_replay *replay);

/*
 * The next folded link, with a reference of the caller's own: 1; 0 when wait_ms went by;
 * a negated errno with err: -ENODATA when the log does not begin with link 1 any more and
 * no snapshot is old enough: the position is too old to go on from; or the next link is one
 * that is not folded any more (dataplane/poison).
 */
int hr_replay_next(struct hr_replay *replay, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err);

#endif
