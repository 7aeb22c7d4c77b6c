/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SUPERVISE_H
#define HR_SUPERVISE_H

/*
 * supervise - keeps one dataplane running, and ends it in good order.
 *
 *      held ──────────────┐            somebody else's XDP program, missing queues
 *       ▲ ▼               ▼
 *     (start) ─▶ running ─▶ waiting ─▶ (start)        it died: back-off
 *                   │
 *                   └─▶ stopping ─▶ ended             told to stop
 *
 * A dataplane that runs already is adopted instead of started: it is found by its
 * pid file, its statistics segment or its command socket. It does not depend on its
 * supervisor: when headraced dies, it goes on, and the next headraced adopts it.
 *
 * One thread, a poll loop's; nothing here waits, except for up to half a second at
 * the very end, for the kernel to take AF_XDP sockets out of their map.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/config.h"
#include "common/error.h"
#include "controlplane/metrics/sampler.h"
#include "controlplane/supervise/steering.h"

enum hr_dataplane_state {
	HR_DATAPLANE_HELD,
	HR_DATAPLANE_WAITING,
	HR_DATAPLANE_RUNNING,
	HR_DATAPLANE_STOPPING,
	HR_DATAPLANE_ENDED,
};

/* Beyond control.stop_drain a stopping dataplane has this long before it is killed. */
#define HR_SUPERVISE_KILL_AFTER_MS 5000u

/* All borrowed until hr_supervise_free(). */
struct hr_supervise_setup {
	const struct hr_config *config;
	const char *config_path; /* handed to the dataplane */
	const char *program;
	struct hr_sampler *sampler;
};

struct hr_supervise;

int hr_supervise_new(struct hr_supervise **out, const struct hr_supervise_setup *setup,
		     struct hr_err *err);
/* Lets go of the dataplane, which runs on unless it was stopped. NULL is fine. */
void hr_supervise_free(struct hr_supervise *s);

/* What to wait for (POLLIN). */
#define HR_SUPERVISE_FDS 2
void hr_supervise_fds(const struct hr_supervise *s,
		      struct pollfd out[HR_SUPERVISE_FDS]);
/* Do what is due. Returns the time of the next turn (monotonic). */
uint64_t hr_supervise_turn(struct hr_supervise *s, uint64_t now_us);

/* Ask the dataplane to stop; it is killed when it takes too long. */
void hr_supervise_stop(struct hr_supervise *s);
/* After hr_supervise_stop(): is everything over? *drained: the dataplane wrote out
 * what it had taken, or there was none. */
bool hr_supervise_is_over(const struct hr_supervise *s, bool *drained);

enum hr_dataplane_state hr_supervise_state(const struct hr_supervise *s);
uint64_t hr_supervise_restarts(const struct hr_supervise *s);
struct hr_steering *hr_supervise_steering(const struct hr_supervise *s);

/* Ready to take beacons? *reasons, a new list of sentences, is empty exactly then. */
bool hr_supervise_is_ready(const struct hr_supervise *s, json_t **reasons);
/* The dataplane as seen from here (docs/operations.md), a new object. */
json_t *hr_supervise_json(const struct hr_supervise *s);
/* What the dataplane last said of itself: a new reference, or null. */
json_t *hr_supervise_answer(const struct hr_supervise *s);

/* "exited with 3 (...)", "was killed by signal 9 (Killed)", ...; for the log, status
 * and tests. */
struct hr_child_end;
void hr_supervise_describe_end(const struct hr_child_end *end, char *out, size_t max);

#endif
