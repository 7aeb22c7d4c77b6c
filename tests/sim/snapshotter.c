/* SPDX-License-Identifier: BSD-3-Clause */

/* The shipped snapshotter, its thread a coroutine. */

#include "tests/sim/snapshots.h"

static struct sim *world;

#define SIM_THREAD_WORLD world
#include "tests/sim/thread.h"

#include "dataplane/snapshot/snapshotter.c"

struct hr_snapshotter *sim_snapshotter_new(struct sim *sim,
					   const struct hr_snapshotter_conf *conf)
{
	struct hr_snapshotter *p;
	struct hr_err err;

	world = sim;
	if (hr_snapshotter_start(&p, conf, &err) < 0)
		abort();
	return p;
}

struct sim_coro *sim_snapshotter_coro(const struct hr_snapshotter *p)
{
	return sim_thread_coro(p->thread);
}
