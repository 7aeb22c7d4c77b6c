/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * verify: |sent| - |log| = refusals counted by name. The numbers of the appliance come
 * from `headracectl status --json` ("refused" and "dropped": {reason: datagrams}), one
 * file for each process that had a share in the load.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "tools/gen/verify.h"

/* What every sender sends again: an owner that has not heard of its log for a moment, on a
 * machine that paused, acknowledges nothing and says so by this name. */
static bool is_sent_again(const struct hr_verify *v, const char *reason)
{
	for (uint32_t p = 0; p < v->known.n_plans; p++)
		if (v->known.planners[p].plan.by_sdk == 0)
			return false;
	return v->known.n_plans > 0 && strcmp(reason, "not_ready") == 0;
}

static int add_reasons(struct hr_verify *v, const json_t *status, const char *member,
		       struct hr_err *err)
{
	json_t *reasons = json_object_get(status, member);
	const char *reason;
	json_t *n;

	if (!json_is_object(reasons))
		return hr_fail(err, -EINVAL,
			       "found no object \"%s\": expected what `headracectl "
			       "status --json` says while the dataplane runs",
			       member);
	json_object_foreach(reasons, reason, n)
	{
		const json_int_t count = json_integer_value(n);

		v->refused += (uint64_t)count;
		if (count > 0 && v->demands_zero_refusals && !is_sent_again(v, reason))
			hr_finding(&v->findings, HR_AT_STATUS, HR_UNEXPECTED,
				   "%s: %s: %" JSON_INTEGER_FORMAT " datagrams", member,
				   reason, count);
	}
	return 0;
}

static int add_status(struct hr_verify *v, const char *path, struct hr_err *err)
{
	json_error_t problem;
	json_t *status = json_load_file(path, 0, &problem);
	int r;

	if (status == NULL)
		return hr_fail(err, -EINVAL, "%s:%d: %s", path, problem.line,
			       problem.text);
	r = add_reasons(v, status, "refused", err);
	if (r == 0)
		r = add_reasons(v, status, "dropped", err);
	json_decref(status);
	v->has_status = true;
	return r < 0 ? hr_fail_in(err, r, path) : 0;
}

static void name_lost(struct hr_verify *v)
{
	char name[256];

	for (uint32_t i = 0; i < v->known.n_events; i++)
		if (v->known.events[i].rank == 0)
			hr_finding(&v->findings, HR_AT_LOG, HR_MISSING, "%s",
				   hr_known_name(&v->known, i, name, sizeof(name)));
}

/* With others on the wire some of the refusals are theirs. */
static bool is_explained(const struct hr_verify *v)
{
	const uint64_t gone = v->unsent_datagrams + v->refused;
	bool by_sdk = false;

	/* What an SDK has refused it sends again: such a refusal loses nothing. */
	for (uint32_t p = 0; p < v->known.n_plans; p++)
		by_sdk |= v->known.planners[p].plan.by_sdk != 0;

	return v->takes_others || by_sdk ? v->lost.datagrams <= gone
					 : v->lost.datagrams == gone;
}

int hr_verify_refusals(struct hr_verify *v, struct hr_err *err)
{
	int r = hr_check_lost(&v->check_log, &v->lost, err);

	for (uint32_t i = 0; i < v->n_status && r == 0; i++)
		r = add_status(v, v->status_paths[i], err);
	for (uint32_t p = 0; p < v->known.n_plans; p++) {
		v->unsent_datagrams += v->known.planners[p].plan.unsent_datagrams;
		v->unsent_events += v->known.planners[p].plan.unsent_events;
	}
	if (r < 0)
		return r;
	if (v->demands_zero_refusals && v->lost.events > 0) {
		name_lost(v);
		return 0;
	}
	if (is_explained(v))
		return 0;
	name_lost(v);
	hr_finding(&v->findings, HR_AT_STATUS, HR_DIFFERENT,
		   "%" PRIu64 " datagrams (%" PRIu64
		   " events) are not in the log, %" PRIu64
		   " were refused or dropped under a name%s, %" PRIu64
		   " never left the sender",
		   v->lost.datagrams, v->lost.events, v->refused,
		   v->has_status ? "" : " (no --status was given)",
		   v->unsent_datagrams);
	return 0;
}
