/* SPDX-License-Identifier: BSD-3-Clause */

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/stats/names.h"
#include "tests/sim/coro.h"
#include "tests/sim/env.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#define LOOKS_A_US 8u

int hr_mutant = HR_MUTANTS;

static struct sim_env *running;
/* What the time was at the last look: it never goes back, and goes on by itself for who
 * looks again and again. */
static uint64_t looked_at_us;
static uint32_t n_looks;

struct sim_env *sim_env_enter(struct sim_env *env)
{
	struct sim_env *before = running;

	running = env;
	if (env != NULL && env->enter != NULL)
		env->enter(env->store_arg);
	return before;
}

void sim_env_reset(void)
{
	running = NULL;
	looked_at_us = n_looks = 0;
}

/* ---- for the shipped sources ---- */

int sim_clock_gettime(clockid_t clock, struct timespec *t);
ssize_t sim_getrandom(void *out, size_t n, unsigned int flags);
int sim_usleep(useconds_t us);
int sim_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

int sim_clock_gettime(clockid_t clock, struct timespec *t)
{
	struct sim *sim = running->sim;
	uint64_t us;

	if (looked_at_us < sim->now_us)
		looked_at_us = sim->now_us;
	looked_at_us += ++n_looks % LOOKS_A_US == 0;
	us = looked_at_us;
	if (us < running->not_before_us)
		us = running->not_before_us;
	if (clock == CLOCK_REALTIME)
		us = (uint64_t)((int64_t)(us + SIM_EPOCH_US) + running->wall_skew_us);
	else
		us -= running->booted_us;
	t->tv_sec = (time_t)(us / SIM_SECOND);
	t->tv_nsec = (long)(us % SIM_SECOND) * 1000;
	return 0;
}

/* The process does nothing for so long. */
static void wait_us(uint64_t us)
{
	struct timespec t;

	if (sim_coro_current() != NULL && !sim_coro_is_ending()) {
		sim_coro_sleep(us);
		return;
	}
	(void)sim_clock_gettime(CLOCK_MONOTONIC, &t);
	running->not_before_us = running->booted_us + (uint64_t)t.tv_sec * SIM_SECOND +
				 (uint64_t)t.tv_nsec / 1000 + us;
}

int sim_usleep(useconds_t us)
{
	wait_us(us);
	return 0;
}

/* There is never anything: who has news for a reader has no file for it. */
int sim_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	for (nfds_t i = 0; i < n; i++)
		fds[i].revents = 0;
	if (timeout_ms > 0)
		wait_us((uint64_t)timeout_ms * 1000);
	return 0;
}

ssize_t sim_getrandom(void *out, size_t n, unsigned int flags)
{
	struct sim_random *random =
		running->has_twin ? &running->twin : &running->sim->random;
	uint8_t *p = out;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)sim_random(random);
	return (ssize_t)n;
}

/* ---- log lines go into the trace ---- */

void hr_log_line(enum hr_log_level level, const char *room, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (running == NULL || running->sim->max_lines == 0 || level > HR_LOG_INFO)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sim_trace(running->sim, "    %s: %s", room, text);
}

/* ---- statistics nobody reads ---- */

static hr_cell no_cells[HR_HIST_CELLS];

void hr_stats_next_writer(struct hr_stats *stats)
{
	(void)stats;
}

hr_cell *hr_stats_add_metric(struct hr_stats *stats, enum hr_metric metric,
			     const char *labels, ...)
{
	(void)stats;
	(void)metric;
	(void)labels;
	return no_cells;
}
