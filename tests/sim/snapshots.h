/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_SNAPSHOTS_H
#define SIM_SNAPSHOTS_H

/* snapshots - where snapshots of a run lie, behind the shipped interface of their stores:
 * records are appended, or lost with the rest of their snapshot, and cut off at the
 * beginning. What was put may lie there with a bit turned, or not at all, although it was
 * reported to be there: only reading it back tells. */

#include "dataplane/snapshot/snapshotter.h"
#include "dataplane/snapshot/store.h"
#include "tests/sim/coro.h"
#include "tests/sim/sim.h"

struct sim_snapshots;

struct sim_snapshots *sim_snapshots_new(struct sim *sim, uint32_t n_shards);
void sim_snapshots_free(struct sim_snapshots *snapshots);
/* Handles opened from now on are of this store. */
void sim_snapshots_use(struct sim_snapshots *snapshots);
/* Some record that lies there loses a bit now. */
void sim_snapshots_damage(struct sim_snapshots *snapshots);

/* The shipped snapshotter of a process; hr_snapshotter_stop() ends it. */
struct hr_snapshotter *sim_snapshotter_new(struct sim *sim,
					   const struct hr_snapshotter_conf *conf);
struct sim_coro *sim_snapshotter_coro(const struct hr_snapshotter *p);

#endif
