/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_KNOWN_H
#define HR_KNOWN_H

/*
 * known - all planned events of one verification, and what the log says of each: in
 * which link it was accepted and where it stands among its user's.
 *
 *   ordinal:  plan 0's events | plan 1's events | ...       (event i of plan p is
 *                                                             first[p] + i)
 *   user ──▶ first logged event ──▶ next ──▶ ... ──▶ last    in the order of the log
 *
 * 24 bytes an event and 12 a user; what the events say is made again when it is
 * asked for. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tools/gen/planned.h"

#define HR_KNOWN_PLANS_MAX 64
#define HR_KNOWN_NONE UINT32_MAX
#define HR_KNOWN_NO_TIME INT64_MIN

struct hr_known_event {
	uint32_t next;       /* of the same user; HR_KNOWN_NONE: the last */
	uint32_t rank;       /* 1, 2, ... of its user; 0: not in the log */
	uint64_t link;       /* number in its shard's chain */
	int64_t received_ms; /* by the appliance's clock; HR_KNOWN_NO_TIME */
};

struct hr_known_user {
	uint32_t first, last; /* logged events, HR_KNOWN_NONE: none */
	uint32_t n;
};

struct hr_known {
	struct hr_planner planners[HR_KNOWN_PLANS_MAX];
	uint64_t first[HR_KNOWN_PLANS_MAX + 1];
	uint32_t n_plans;
	uint32_t n_users, n_products, n_categories; /* the most any plan has */
	uint32_t n_events;
	uint64_t n_logged;
	struct hr_known_event *events;
	struct hr_known_user *users;
};

/* Returns 0, -EINVAL (two plans with one seed, impossible plans, too many events) or
 * -ENOMEM. fini is safe after a failure. */
int hr_known_init(struct hr_known *known, const struct hr_plan *plans, uint32_t n,
		  struct hr_err *err);
void hr_known_fini(struct hr_known *known);

/* The ordinal of the planned event whose id stands in these bytes, or HR_KNOWN_NONE. */
uint32_t hr_known_find(const struct hr_known *known, struct hr_str bytes);
/* Which plan it is of. */
uint32_t hr_known_plan(const struct hr_known *known, uint32_t ordinal);
/* The event, with the time it has if it had none: that of its receipt. */
void hr_known_make(const struct hr_known *known, uint32_t ordinal,
		   struct hr_planned *out);

/* It was accepted behind everything added before. Returns false where it was already. */
bool hr_known_add(struct hr_known *known, uint32_t ordinal, uint32_t user,
		  uint64_t link, int64_t received_ms);

/* The plans' word instead of a log's: every event was accepted, in the order of its
 * plan, nobody knows when. */
void hr_known_add_all(struct hr_known *known);

/* "g1-17 (user_3, product_view)" into out; returns out. */
const char *hr_known_name(const struct hr_known *known, uint32_t ordinal, char *out,
			  size_t max);

#endif
