/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SUPERVISE_IMPL_H
#define HR_SUPERVISE_IMPL_H

/* Inside of supervise: what its two halves, doing and telling, share. */

#include "controlplane/supervise/asker.h"
#include "controlplane/supervise/backoff.h"
#include "controlplane/supervise/child.h"
#include "controlplane/supervise/supervise.h"

struct hr_supervise {
	struct hr_supervise_setup setup;
	enum hr_dataplane_state state;
	struct hr_child child;
	struct hr_backoff backoff;
	struct hr_asker *asker;
	struct hr_steering *steering;
	uint64_t due_us;           /* of the next start */
	uint64_t kill_us;          /* of a stopping dataplane */
	uint64_t running_since_us; /* monotonic; from the start of the process */
	uint64_t steering_due_us;
	uint64_t n_started; /* adopted ones included */
	uint64_t restarts;
	struct hr_err hold; /* why it is held */
	char last_end[512]; /* "": none yet */
	bool last_has_drained;
	bool is_killed;
};

#endif
