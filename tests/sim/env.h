/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_ENV_H
#define SIM_ENV_H

/*
 * env - what a process of the run sees of the machine: its clocks and its random bits.
 * The shipped sources are compiled for the simulator with clock_gettime, getrandom, poll
 * and usleep renamed (tests/sim/meson.build), so nothing of them knows. Who waits in a
 * coroutine waits there; elsewhere the process' clock jumps.
 *
 * Within one moment of simulated time the clocks creep on with every look, so that code
 * which waits by looking at the clock comes to its end.
 */

#include "tests/sim/sim.h"

struct sim_env {
	struct sim *sim;
	uint64_t booted_us;   /* CLOCK_MONOTONIC began there */
	int64_t wall_skew_us; /* the wall clock's error */
	uint64_t
		not_before_us; /* somebody waited until then: its clock never goes back */
	/* Random bits that another process gets, too: one is a clone of the other. */
	struct sim_random twin;
	bool has_twin;
	void *store_arg; /* of sim_store_use(), and so on: see appliance.c */
	void (*enter)(void *arg);
};

/* A run begins: its time is earlier than that of the last one. */
void sim_env_reset(void);
/* From here on code of this process runs; NULL: none. Returns who ran before. */
struct sim_env *sim_env_enter(struct sim_env *env);

#endif
