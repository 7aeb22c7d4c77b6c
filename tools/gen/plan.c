/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/gen/plan.h"

/* Members of the plan file that are numbers: X(name, C type, least, greatest). The
 * greatest JSON integer that jansson reads is INT64_MAX. */
#define NUMBERS(X)                                                                     \
	X(seed, uint64_t, 0, INT64_MAX)                                                \
	X(n_events, uint64_t, 0, HR_PLAN_EVENTS_MAX)                                   \
	X(n_users, uint32_t, 1, HR_PLAN_USERS_MAX)                                     \
	X(n_products, uint32_t, 1, HR_PLAN_PRODUCTS_MAX)                               \
	X(n_categories, uint32_t, 1, HR_PLAN_CATEGORIES_MAX)                           \
	X(zipf_milli, uint32_t, 0, 5000)                                               \
	X(datagram_events, uint32_t, 1, 512)                                           \
	X(datagram_bytes, uint32_t, HR_PLAN_DATAGRAM_MIN, 1472)                        \
	X(n_shards, uint32_t, 1, HR_PLAN_SHARDS_MAX)                                   \
	X(generation, uint32_t, 1, UINT32_MAX)                                         \
	X(key_id, uint32_t, 0, UINT32_MAX)                                             \
	X(by_sdk, uint32_t, 0, 1)                                                      \
	X(birth, uint64_t, 1, INT64_MAX)                                               \
	X(random, uint64_t, 0, INT64_MAX)                                              \
	X(start_ms, uint64_t, 86400000, 253402214400000)                               \
	X(step_ns, uint32_t, 0, UINT32_MAX)                                            \
	X(unsent_datagrams, uint64_t, 0, INT64_MAX)                                    \
	X(unsent_events, uint64_t, 0, INT64_MAX)

struct number {
	const char *name;
	size_t offset, bytes;
	int64_t min, max;
};

static const struct number numbers[] = {
#define NUMBER(name, type, min, max)                                                   \
	{ #name, offsetof(struct hr_plan, name), sizeof(type), min, max },
	NUMBERS(NUMBER)
#undef NUMBER
};

#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static const char *const codecs[] = {
	[HR_PLAN_PROTOBUF] = "protobuf",
	[HR_PLAN_JSON] = "json",
	[HR_PLAN_HALF] = "half",
};

#define N_CODECS (sizeof(codecs) / sizeof(codecs[0]))

static uint64_t get(const struct hr_plan *plan, const struct number *n)
{
	const uint8_t *at = (const uint8_t *)plan + n->offset;
	uint64_t wide;
	uint32_t narrow;

	if (n->bytes == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

static void set(struct hr_plan *plan, const struct number *n, uint64_t v)
{
	uint8_t *at = (uint8_t *)plan + n->offset;
	uint32_t narrow = (uint32_t)v;

	if (n->bytes == sizeof(v))
		memcpy(at, &v, sizeof(v));
	else
		memcpy(at, &narrow, sizeof(narrow));
}

void hr_plan_defaults(struct hr_plan *plan)
{
	*plan = (struct hr_plan){
		.seed = 1,
		.n_events = 1000,
		.n_users = 100,
		.n_products = 1000,
		.n_categories = 20,
		.zipf_milli = 1000,
		.codec = HR_PLAN_HALF,
		.datagram_events = 20,
		.datagram_bytes = 1232,
		.n_shards = 5,
		.generation = 1,
		.key_id = 1,
		.birth = 1705314600000000,
		.random = 1,
		.start_ms = 1705314600000,
		.step_ns = 10000,
	};
}

int hr_plan_check(const struct hr_plan *plan, struct hr_err *err)
{
	for (size_t i = 0; i < N_NUMBERS; i++) {
		const struct number *n = &numbers[i];
		uint64_t v = get(plan, n);

		if (v < (uint64_t)n->min || v > (uint64_t)n->max)
			return hr_fail(err, -EINVAL,
				       "%s: found %" PRIu64 ", expected %" PRId64
				       " to %" PRId64,
				       n->name, v, n->min, n->max);
	}
	if ((unsigned int)plan->codec >= N_CODECS)
		return hr_fail(err, -EINVAL, "codec: found %u", plan->codec);
	if (plan->headerless && plan->codec != HR_PLAN_JSON)
		return hr_fail(err, -EINVAL,
			       "headerless events are JSON: take --codec json");
	if (plan->n_events > 0 &&
	    plan->start_ms + plan->n_events * (uint64_t)plan->step_ns / 1000000 >
		    253402214400000)
		return hr_fail(err, -EINVAL,
			       "%" PRIu64 " events of %" PRIu32
			       " ns each end behind the year 9999",
			       plan->n_events, plan->step_ns);
	return 0;
}

uint32_t hr_plan_id_prefix(const struct hr_plan *plan, char out[HR_PLAN_ID_PREFIX])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	char reversed[HR_PLAN_ID_PREFIX];
	uint32_t n = 0, at = 0;
	uint64_t rest = plan->seed;

	do
		reversed[n++] = digits[rest % 32];
	while ((rest /= 32) != 0);
	out[at++] = 'g';
	while (n > 0)
		out[at++] = reversed[--n];
	out[at++] = '-';
	return at;
}

/* ---- the plan file ---- */

static json_t *to_json(const struct hr_plan *plan)
{
	json_t *all = json_object();

	for (size_t i = 0; i < N_NUMBERS; i++)
		json_object_set_new(all, numbers[i].name,
				    json_integer((json_int_t)get(plan, &numbers[i])));
	json_object_set_new(all, "codec", json_string(codecs[plan->codec]));
	json_object_set_new(all, "headerless", json_boolean(plan->headerless));
	return all;
}

int hr_plan_write(const struct hr_plan *plan, const char *path, struct hr_err *err)
{
	char temporary[4096];
	json_t *all;
	int r = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.%d", path, getpid()) >=
	    (int)sizeof(temporary))
		return hr_fail(err, -ENAMETOOLONG, "%s: the path is too long", path);
	all = to_json(plan);
	if (json_dump_file(all, temporary, JSON_INDENT(2)) < 0 ||
	    rename(temporary, path) < 0) {
		r = hr_fail(err, -EIO, "plan %s: %s", path, strerror(errno));
		unlink(temporary);
	}
	json_decref(all);
	return r;
}

static const struct number *number_named(const char *name)
{
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (strcmp(numbers[i].name, name) == 0)
			return &numbers[i];
	return NULL;
}

static int take_codec(struct hr_plan *plan, const json_t *value, struct hr_err *err)
{
	const char *text = json_string_value(value);

	for (size_t i = 0; text != NULL && i < N_CODECS; i++)
		if (strcmp(codecs[i], text) == 0) {
			plan->codec = (enum hr_plan_codec)i;
			return 0;
		}
	return hr_fail(err, -EINVAL, "codec: expected protobuf, json or half");
}

static int take_member(struct hr_plan *plan, const char *name, const json_t *value,
		       struct hr_err *err)
{
	const struct number *n = number_named(name);

	if (n != NULL) {
		if (!json_is_integer(value) || json_integer_value(value) < n->min ||
		    json_integer_value(value) > n->max)
			return hr_fail(err, -EINVAL,
				       "%s: expected a number from %" PRId64
				       " to %" PRId64,
				       name, n->min, n->max);
		set(plan, n, (uint64_t)json_integer_value(value));
		return 0;
	}
	if (strcmp(name, "codec") == 0)
		return take_codec(plan, value, err);
	if (strcmp(name, "headerless") == 0 && json_is_boolean(value)) {
		plan->headerless = json_is_true(value);
		return 0;
	}
	return hr_fail(err, -EINVAL, "%s: not a member of a plan", name);
}

int hr_plan_read(struct hr_plan *out, const char *path, struct hr_err *err)
{
	json_error_t problem;
	json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
	const char *name;
	json_t *value;
	int r = 0;

	if (all == NULL)
		return hr_fail(err, -EINVAL, "plan %s: line %d: %s", path, problem.line,
			       problem.text);
	memset(out, 0, sizeof(*out));
	if (!json_is_object(all) || json_object_size(all) != N_NUMBERS + 2)
		r = hr_fail(err, -EINVAL,
			    "found %zu members, expected the %zu that `headrace-gen "
			    "send --plan` writes",
			    json_object_size(all), N_NUMBERS + 2);
	if (r == 0)
		json_object_foreach(
			all, name,
			value) if ((r = take_member(out, name, value, err)) < 0) break;
	json_decref(all);
	if (r == 0)
		r = hr_plan_check(out, err);
	return r < 0 ? hr_fail_in(err, r, path) : 0;
}
