/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REPLAY_H
#define HR_REPLAY_H

/*
 * replay - the log folded again from link 1, for a view whose position is behind
 * what is in memory. The same reader, the same fold, the same outputs and digests
 * as the live path. One thread at a time.
 */

#include "common/error.h"
#include "dataplane/log/link.h"

struct hr_config;
struct hr_replay;

int hr_replay_open(struct hr_replay **out, const struct hr_config *config,
		   const struct hr_data_set *set, uint16_t shard, struct hr_err *err);
void hr_replay_close(struct hr_replay *replay);

/* The next folded link, with a reference of the caller's own: 1; 0 when wait_ms
 * went by; a negated errno with err. */
int hr_replay_next(struct hr_replay *replay, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err);

#endif
