/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_SNAPSHOTS_H
#define SIM_SNAPSHOTS_H

/* snapshots - where snapshots of a run lie, behind the shipped interface of their stores:
 * records are appended, or lost with the rest of their snapshot, and cut off at the
 * beginning. */

#include "dataplane/snapshot/store.h"
#include "tests/sim/sim.h"

struct sim_snapshots;

struct sim_snapshots *sim_snapshots_new(struct sim *sim, uint32_t n_shards);
void sim_snapshots_free(struct sim_snapshots *snapshots);
/* Handles opened from now on are of this store. */
void sim_snapshots_use(struct sim_snapshots *snapshots);

#endif
