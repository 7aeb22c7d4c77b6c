/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_CORO_H
#define SIM_CORO_H

/*
 * coro - code that was written for a thread of its own, in a run that has one thread: it
 * runs until it waits, and goes on when simulated time has come to it.
 */

#include "tests/sim/sim.h"

struct sim_coro;

/* Starts with the next event. */
struct sim_coro *sim_coro_new(struct sim *sim, void (*body)(void *arg), void *arg);
/* Where it stands; nothing of it runs any more: its process died. What it held is its
 * maker's to free. */
void sim_coro_free(struct sim_coro *coro);

/* Of the coroutine that runs: let so much time pass, or until somebody wakes it. */
void sim_coro_sleep(uint64_t us);
void sim_coro_wake(struct sim_coro *coro);
struct sim_coro *sim_coro_current(void);
bool sim_coro_is_over(const struct sim_coro *coro);
/* Its process died, and what it holds would be lost: it runs to its end now, and no sleep
 * lasts any more. Its body has to see by itself that it ends. NULL is fine. */
void sim_coro_end(struct sim_coro *coro);
/* Of the one that runs; false: none does. */
bool sim_coro_is_ending(void);
/* It stands still until then (a stopped process). */
void sim_coro_pause(struct sim_coro *coro, uint64_t us);

#endif
