/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/known.h"

static uint32_t max_of(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static int add_plan(struct hr_known *known, const struct hr_plan *plan,
		    struct hr_err *err)
{
	const uint32_t p = known->n_plans;
	int r;

	for (uint32_t i = 0; i < p; i++)
		if (known->planners[i].plan.seed == plan->seed)
			return hr_fail(err, -EINVAL,
				       "two plans have the seed %" PRIu64
				       ": their events have the same ids",
				       plan->seed);
	r = hr_planner_init(&known->planners[p], plan, err);
	if (r < 0)
		return r;
	known->n_plans++;
	known->first[p + 1] = known->first[p] + plan->n_events;
	known->n_users = max_of(known->n_users, plan->n_users);
	known->n_products = max_of(known->n_products, plan->n_products);
	known->n_categories = max_of(known->n_categories, plan->n_categories);
	return 0;
}

int hr_known_init(struct hr_known *known, const struct hr_plan *plans, uint32_t n,
		  struct hr_err *err)
{
	int r = 0;

	memset(known, 0, sizeof(*known));
	if (n == 0 || n > HR_KNOWN_PLANS_MAX)
		return hr_fail(err, -EINVAL, "expected 1 to %d plans",
			       HR_KNOWN_PLANS_MAX);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = add_plan(known, &plans[i], err);
	if (r < 0)
		return r;
	if (known->first[n] >= HR_KNOWN_NONE)
		return hr_fail(err, -EINVAL, "%" PRIu64 " events are too many",
			       known->first[n]);
	known->n_events = (uint32_t)known->first[n];
	known->events = calloc(known->n_events + 1u, sizeof(*known->events));
	known->users = malloc(known->n_users * sizeof(*known->users));
	if (known->events == NULL || known->users == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %u events and %u users",
			       known->n_events, known->n_users);
	for (uint32_t u = 0; u < known->n_users; u++)
		known->users[u] =
			(struct hr_known_user){ HR_KNOWN_NONE, HR_KNOWN_NONE, 0 };
	return 0;
}

void hr_known_fini(struct hr_known *known)
{
	for (uint32_t i = 0; i < known->n_plans; i++)
		hr_planner_fini(&known->planners[i]);
	free(known->events);
	free(known->users);
	memset(known, 0, sizeof(*known));
}

uint32_t hr_known_find(const struct hr_known *known, struct hr_str bytes)
{
	uint64_t i;

	for (uint32_t p = 0; p < known->n_plans; p++)
		if (hr_planned_find_id(&known->planners[p], bytes, &i))
			return (uint32_t)(known->first[p] + i);
	return HR_KNOWN_NONE;
}

uint32_t hr_known_plan(const struct hr_known *known, uint32_t ordinal)
{
	uint32_t p = 0;

	while (ordinal >= known->first[p + 1])
		p++;
	return p;
}

void hr_known_make(const struct hr_known *known, uint32_t ordinal,
		   struct hr_planned *out)
{
	const uint32_t p = hr_known_plan(known, ordinal);

	hr_planned_make(&known->planners[p], ordinal - known->first[p], out);
	if (!out->has_time)
		out->time_ms = known->events[ordinal].received_ms;
}

bool hr_known_add(struct hr_known *known, uint32_t ordinal, uint32_t user,
		  uint64_t link, int64_t received_ms)
{
	struct hr_known_event *event = &known->events[ordinal];
	struct hr_known_user *of = &known->users[user];

	if (event->rank != 0)
		return false;
	*event = (struct hr_known_event){ HR_KNOWN_NONE, ++of->n, link, received_ms };
	if (of->last == HR_KNOWN_NONE)
		of->first = ordinal;
	else
		known->events[of->last].next = ordinal;
	of->last = ordinal;
	known->n_logged++;
	return true;
}

void hr_known_add_all(struct hr_known *known)
{
	struct hr_planned planned;

	for (uint32_t i = 0; i < known->n_events; i++) {
		hr_known_make(known, i, &planned);
		hr_known_add(known, i, planned.user, 0, HR_KNOWN_NO_TIME);
	}
}

const char *hr_known_name(const struct hr_known *known, uint32_t ordinal, char *out,
			  size_t max)
{
	struct hr_planned planned;

	hr_known_make(known, ordinal, &planned);
	snprintf(out, max, "%.*s (%.*s, %.*s)", (int)planned.event.id.n,
		 planned.event.id.p, (int)planned.event.user.n, planned.event.user.p,
		 (int)planned.event.type.n, planned.event.type.p);
	return out;
}
