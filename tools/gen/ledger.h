/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LEDGER_H
#define HR_LEDGER_H

/*
 * ledger - what became of each event of a plan, as the SDK tells it, in a file that
 * is only ever appended to, so that a killed sender leaves a usable one:
 *
 *     # headrace-ledger 1 seed=1 users=100 pid=4711
 *     + <event_id> <user_id> <order>
 *     <event_id> <user_id> <order> <state> <tracked_us> <decided_us>
 *
 * The first line of an event is in the file before track() is called with it: what
 * never came to a second one may be in the log or not. `order` is the running number
 * of the user's track() calls. state: committed, dropped, unknown, lost or pending.
 * Times are us since 1970. A ledger that is there already is continued: its events
 * keep their numbers, and the next event has the next number.
 *
 * Calls come from the tracking thread and from the SDKs' sender threads.
 */

#include <stdbool.h>
#include <stdint.h>

#include "sdk/c/headrace.h"
#include "tools/gen/planned.h"

#define HR_LEDGER_PENDING HEADRACE_STATES
#define HR_LEDGER_STATES (HEADRACE_STATES + 1)

struct hr_ledger;

/* path NULL: nothing is written, everything is counted. The planner must live as
 * long. Returns 0, -EINVAL (a file of another plan) or -errno. */
int hr_ledger_open(struct hr_ledger **out, const char *path,
		   const struct hr_planner *planner, struct hr_err *err);
/* Writes what is undecided as pending. Returns 0, or -EIO where a write failed: then
 * the file does not say everything. */
int hr_ledger_close(struct hr_ledger *ledger, struct hr_err *err);

/* The number of the first event that was never announced. */
uint64_t hr_ledger_next(const struct hr_ledger *ledger);

/* About to be tracked: numbers without gaps. Flush before the first is. */
void hr_ledger_announce(struct hr_ledger *ledger, const struct hr_planned *event,
			uint64_t i);
void hr_ledger_flush(struct hr_ledger *ledger);
/* track() did not take it. */
void hr_ledger_refused(struct hr_ledger *ledger, const struct hr_planned *event,
		       uint64_t i);

/* headrace_outcome_fn; arg is the ledger. */
void hr_ledger_decide(void *arg, const struct headrace_outcome *outcome);

/* Announced, and in no state yet. */
uint64_t hr_ledger_waiting(struct hr_ledger *ledger);

struct hr_ledger_sums {
	uint64_t n, states[HR_LEDGER_STATES];
	uint64_t p50_us, p99_us, p999_us, max_us; /* from track() to committed */
};
struct hr_ledger_sums hr_ledger_sums(struct hr_ledger *ledger);

const char *hr_ledger_state(unsigned int state);

#endif
