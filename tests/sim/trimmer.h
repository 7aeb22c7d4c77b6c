/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_TRIMMER_H
#define SIM_TRIMMER_H

/* trimmer - the control plane of an appliance, as far as it trims the log: it outlives
 * the dataplane, and what it was told last may be old. */

#include "dataplane/snapshot/snapshotter.h"
#include "tests/sim/sim.h"

struct sim_trimmer;

struct sim_trimmer *sim_trimmer_new(struct sim *sim, const struct hr_config *config,
				    const struct hr_data_set *set);
void sim_trimmer_free(struct sim_trimmer *t);
/* The dataplane's status: of each shard what its snapshotter says, and whether it is
 * ready. */
void sim_trimmer_tell(struct sim_trimmer *t, const struct hr_snapshot_said *said,
		      const bool *is_ready);

#endif
