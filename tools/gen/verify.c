/* SPDX-License-Identifier: BSD-3-Clause */

/* headrace-gen verify: options, the steps, and the verdict. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/clock.h"
#include "tools/gen/commands.h"
#include "tools/gen/verify.h"

static const char help[] =
	"usage: headrace-gen verify --plan FILE [options]\n"
	"  --plan FILE          what `send --plan` wrote; again for each send\n"
	"  --config FILE        the appliance's headrace.yaml: brokers, prefix, "
	"Redis,\n"
	"                       bounds\n"
	"  --brokers LIST       127.0.0.1:9092, or as the configuration says\n"
	"  --topic-prefix TEXT  likewise\n"
	"  --redis HOST:PORT    likewise\n"
	"  --status FILE        `headracectl status --json`, for what was refused; "
	"again\n"
	"                       for each process\n"
	"  --similar K          the shop was made with this, and nobody changed it; "
	"without\n"
	"                       it the sets in Redis are taken as they are\n"
	"  --check              nothing may be missing, and nothing refused, but for\n"
	"                       not_ready where SDKs alone have sent: they send again\n"
	"  --others             others sent to this appliance too: what is of no plan "
	"is\n"
	"                       counted and not judged\n"
	"  --wait SECONDS       30: until log and views are complete\n"
	"  --settle SECONDS     10: nothing new in the log for so long: no more "
	"comes;\n"
	"                       with --check all must come, so --wait alone counts\n"
	"  --skip redis|topics  do not look there\n"
	"  --skip log           where it was trimmed: topics against one plan alone, "
	"all "
	"of\n"
	"                       it, in its order; Redis is skipped too\n"
	"  --json               the report as JSON\n"
	"Compares every user and every event with what the plans say. Exit code 0: all "
	"is\n"
	"right; 1: not, or it could not be found out; 2: asked wrongly.\n";

struct request {
	const char *config, *brokers, *prefix, *redis;
	struct hr_plan plans[HR_KNOWN_PLANS_MAX];
	uint32_t n_plans;
	bool wants_json, wants_help;
};

static int take_plan(struct request *rq, const char *path, struct hr_err *err)
{
	if (rq->n_plans == HR_KNOWN_PLANS_MAX)
		return hr_fail(err, -EINVAL, "--plan: at most %d", HR_KNOWN_PLANS_MAX);
	return hr_plan_read(&rq->plans[rq->n_plans++], path, err);
}

static int take_seconds(const char *name, const char *text, uint64_t *us,
			struct hr_err *err)
{
	uint64_t ms = 0;
	int r = hr_gen_thousandths(name, text, 86400000, &ms, err);

	*us = ms * 1000;
	return r;
}

static int take_skip(struct hr_verify *v, const char *what, struct hr_err *err)
{
	if (strcmp(what, "redis") == 0)
		v->skips_redis = true;
	else if (strcmp(what, "topics") == 0)
		v->skips_topics = true;
	else if (strcmp(what, "log") == 0)
		v->skips_log = v->skips_redis = true;
	else
		return hr_fail(err, -EINVAL,
			       "--skip: found %s, expected log, redis or topics", what);
	return 0;
}

static int take_similar(struct hr_verify *v, const char *text, struct hr_err *err)
{
	uint64_t k = 0;
	int r = hr_gen_number("similar", text, 0, HR_SIMILAR_MAX, &k, err);

	v->similar = (uint32_t)k;
	return r;
}

static int take(struct request *rq, struct hr_verify *v, int option, const char *value,
		struct hr_err *err)
{
	switch (option) {
	case 'p':
		return take_plan(rq, value, err);
	case 'c':
		rq->config = value;
		return 0;
	case 'b':
		rq->brokers = value;
		return 0;
	case 't':
		rq->prefix = value;
		return 0;
	case 'r':
		rq->redis = value;
		return 0;
	case 's':
		if (v->n_status == HR_VERIFY_STATUS_MAX)
			return hr_fail(err, -EINVAL, "--status: at most %d",
				       HR_VERIFY_STATUS_MAX);
		v->status_paths[v->n_status++] = value;
		return 0;
	case 'm':
		return take_similar(v, value, err);
	case 'k':
		v->demands_zero_refusals = true;
		return 0;
	case 'o':
		v->takes_others = true;
		return 0;
	case 'w':
		return take_seconds("wait", value, &v->wait_us, err);
	case 'e':
		return take_seconds("settle", value, &v->settle_us, err);
	case 'x':
		return take_skip(v, value, err);
	case 'j':
		rq->wants_json = true;
		return 0;
	case 'h':
		rq->wants_help = true;
		return 0;
	default:
		return hr_fail(err, -EINVAL, "see --help");
	}
}

static int put_text(char *to, size_t max, const char *option, const char *text,
		    struct hr_err *err)
{
	if (text != NULL && snprintf(to, max, "%s", text) >= (int)max)
		return hr_fail(err, -EINVAL, "--%s: longer than %zu bytes", option,
			       max - 1);
	return 0;
}

/* The configuration, and what options say instead of it. */
static int configure(const struct request *rq, struct hr_verify *v, struct hr_err *err)
{
	struct hr_config *c = &v->config;
	int r = 0;

	hr_config_defaults(c);
	if (rq->config != NULL)
		r = hr_config_read(c, rq->config, err);
	if (r == 0)
		r = put_text(c->kafka_brokers, sizeof(c->kafka_brokers), "brokers",
			     rq->brokers, err);
	if (r == 0)
		r = put_text(c->topic_prefix, sizeof(c->topic_prefix), "topic-prefix",
			     rq->prefix, err);
	snprintf(v->redis, sizeof(v->redis), "%s:%u", c->redis_host, c->redis_port);
	return r == 0 ? put_text(v->redis, sizeof(v->redis), "redis", rq->redis, err)
		      : r;
}

static int read_options(struct request *rq, struct hr_verify *v, int argc, char **argv,
			struct hr_err *err)
{
	static const struct option options[] = {
		{ "plan", required_argument, NULL, 'p' },
		{ "config", required_argument, NULL, 'c' },
		{ "brokers", required_argument, NULL, 'b' },
		{ "topic-prefix", required_argument, NULL, 't' },
		{ "redis", required_argument, NULL, 'r' },
		{ "status", required_argument, NULL, 's' },
		{ "similar", required_argument, NULL, 'm' },
		{ "check", no_argument, NULL, 'k' },
		{ "others", no_argument, NULL, 'o' },
		{ "wait", required_argument, NULL, 'w' },
		{ "settle", required_argument, NULL, 'e' },
		{ "skip", required_argument, NULL, 'x' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int r = 0, option;

	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		r = take(rq, v, option, optarg, err);
	if (r < 0 || rq->wants_help)
		return r;
	if (optind < argc)
		return hr_fail(err, -EINVAL, "%s: expected an option", argv[optind]);
	if (rq->n_plans == 0)
		return hr_fail(err, -EINVAL, "--plan is missing");
	if (v->skips_log && rq->n_plans != 1)
		return hr_fail(err, -EINVAL,
			       "--skip log: found %u plans, expected one: without the "
			       "log nobody knows how they were mixed",
			       rq->n_plans);
	return configure(rq, v, err);
}

/* The log shows what it holds; the views are compared with that. */
static int compare(struct hr_verify *v, struct hr_err *err)
{
	int r;

	if (v->skips_log) {
		hr_known_add_all(&v->known);
		return hr_verify_topics(v, err);
	}
	r = hr_verify_log(v, err);

	if (r == 0)
		r = hr_verify_topics(v, err);
	if (r == 0)
		r = hr_verify_redis(v, err);
	if (r == 0)
		r = hr_verify_log_again(v, err);
	return r == 0 && !v->is_behind ? hr_verify_refusals(v, err) : r;
}

static void forget(struct hr_verify *v)
{
	hr_topic_close(v->log);
	hr_verify_files_close(v);
	hr_check_log_fini(&v->check_log);
	hr_known_fini(&v->known);
	if (v->findings.to != NULL)
		fclose(v->findings.to);
	free(v->told);
	memset(&v->findings, 0, sizeof(v->findings));
	memset(v->tallies, 0, sizeof(v->tallies));
	v->log = NULL;
	v->told = NULL;
	v->n_links = 0;
	v->refused = v->unsent_datagrams = v->unsent_events = 0;
	v->is_behind = false;
}

/* What was found counts only when the log stood still meanwhile; else all over. */
static int verify(struct hr_verify *v, const struct request *rq, struct hr_err *err)
{
	int r;

	v->until_us = hr_mono_us() + v->wait_us;
	do {
		forget(v);
		v->findings.to = open_memstream(&v->told, &v->told_bytes);
		if (v->findings.to == NULL)
			return hr_fail(err, -ENOMEM, "no memory for findings");
		r = hr_known_init(&v->known, rq->plans, rq->n_plans, err);
		if (r == 0)
			r = compare(v, err);
	} while (r == 0 && v->is_behind && hr_mono_us() < v->until_us);
	if (r == 0 && v->is_behind)
		r = hr_fail(err, -EAGAIN,
			    "the log goes on while it is compared: wait until the load "
			    "has ended, or give a longer --wait and --settle");
	fflush(v->findings.to);
	return r;
}

/* ---- the report ---- */

static uint64_t users_in_log(const struct hr_known *known)
{
	uint64_t n = 0;

	for (uint32_t u = 0; known->users != NULL && u < known->n_users; u++)
		n += known->users[u].n > 0;
	return n;
}

static json_t *findings_json(const struct hr_findings *f)
{
	json_t *all = json_object();

	for (int place = 0; place < HR_PLACE_COUNT; place++) {
		json_t *at = json_object();

		for (int fault = 0; fault < HR_FAULT_COUNT; fault++)
			if (f->counts[place][fault] > 0)
				json_object_set_new(
					at, hr_fault_word((enum hr_fault)fault),
					json_integer(
						(json_int_t)f->counts[place][fault]));
		if (json_object_size(at) > 0)
			json_object_set_new(all, hr_place_word((enum hr_place)place),
					    at);
		else
			json_decref(at);
	}
	return all;
}

static void print_json(const struct hr_verify *v, bool is_right, const char *verdict)
{
	json_t *all = json_object(), *records = json_object();
#define NUMBER(to, name, n)                                                            \
	json_object_set_new((to), (name), json_integer((json_int_t)(n)))

	for (int place = 0; place < HR_PLACE_COUNT; place++)
		if (v->tallies[place].was_done && place != HR_AT_REDIS)
			NUMBER(records, hr_place_word((enum hr_place)place),
			       v->tallies[place].records);
	json_object_set_new(all, "is_right", json_boolean(is_right));
	json_object_set_new(all, "verdict", json_string(verdict));
	NUMBER(all, "events_planned", v->known.n_events);
	NUMBER(all, "events_logged", v->known.n_logged);
	NUMBER(all, "events_lost", v->lost.events);
	NUMBER(all, "datagrams_lost", v->lost.datagrams);
	NUMBER(all, "datagrams_unsent", v->unsent_datagrams);
	json_object_set_new(all, "datagrams_refused",
			    v->has_status ? json_integer((json_int_t)v->refused)
					  : json_null());
	NUMBER(all, "events_of_others", v->check_log.n_others);
	NUMBER(all, "users", users_in_log(&v->known));
	NUMBER(all, "users_in_redis", v->users_in_redis);
	json_object_set_new(all, "records", records);
	json_object_set_new(all, "findings", findings_json(&v->findings));
#undef NUMBER
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static void print_text(const struct hr_verify *v)
{
	if (v->skips_log)
		printf("log: not looked at, the plan counts\n");
	else
		printf("log: %" PRIu64 " of %u events, %" PRIu64 " users\n",
		       v->known.n_logged, v->known.n_events, users_in_log(&v->known));
	for (int place = 0; place < HR_PLACE_COUNT; place++)
		if (v->tallies[place].was_done && place != HR_AT_REDIS)
			printf("%s: %" PRIu64 " records\n",
			       hr_place_word((enum hr_place)place),
			       v->tallies[place].records);
	if (v->tallies[HR_AT_REDIS].was_done)
		printf("redis: %" PRIu64 " users\n", v->users_in_redis);
	if (v->lost.events > 0 || v->has_status)
		printf("not in the log: %" PRIu64 " events in %" PRIu64
		       " datagrams; refused or dropped: %" PRIu64
		       " datagrams; never sent: %" PRIu64 "\n",
		       v->lost.events, v->lost.datagrams, v->refused,
		       v->unsent_datagrams);
	if (v->takes_others)
		printf("of others: %" PRIu64 " events in the log, %" PRIu64
		       " keys or members in Redis\n",
		       v->check_log.n_others, v->others_in_redis);
	for (int place = 0; place < HR_PLACE_COUNT; place++)
		for (int fault = 0; fault < HR_FAULT_COUNT; fault++)
			if (v->findings.counts[place][fault] > 0)
				printf("%s: %" PRIu64 " %s\n",
				       hr_place_word((enum hr_place)place),
				       v->findings.counts[place][fault],
				       hr_fault_word((enum hr_fault)fault));
}

/* One line for people: what was proved, or that it was not. */
static void spell_verdict(char *out, size_t max, const struct hr_verify *v, int r,
			  const struct hr_err *err)
{
	const uint64_t n = hr_findings_sum(&v->findings);

	if (r < 0)
		snprintf(out, max, "verify: NOT DONE: %s", err->text);
	else if (n > 0)
		snprintf(out, max, "verify: WRONG: %" PRIu64 " faults", n);
	else if (v->lost.events > 0)
		snprintf(out, max,
			 "verify: %" PRIu64 " of %u events, %" PRIu64
			 " users: everything is right, and what is not in the log was "
			 "refused by name",
			 v->known.n_logged, v->known.n_events, users_in_log(&v->known));
	else
		snprintf(out, max,
			 "verify: %u events, %" PRIu64 " users: everything is right",
			 v->known.n_events, users_in_log(&v->known));
}

static void fini(struct hr_verify *v)
{
	forget(v);
	free(v);
}

int hr_gen_verify(int argc, char **argv)
{
	struct hr_verify *v = calloc(1, sizeof(*v));
	static struct request rq;
	struct hr_err err = { "" };
	char verdict[700];
	int r;

	if (v == NULL)
		return HR_GEN_WRONG;
	v->similar = UINT32_MAX;
	v->wait_us = 30000000;
	v->settle_us = 10000000;
	r = read_options(&rq, v, argc, argv, &err);
	if (r < 0 || rq.wants_help) {
		fini(v);
		if (r < 0)
			return hr_gen_complain("verify", HR_GEN_USAGE, &err);
		fputs(help, stdout);
		return 0;
	}
	r = verify(v, &rq, &err);
	if (v->told != NULL)
		fputs(v->told, rq.wants_json ? stderr : stdout);
	spell_verdict(verdict, sizeof(verdict), v, r, &err);
	r = r < 0 || hr_findings_sum(&v->findings) > 0 ? HR_GEN_WRONG : 0;
	if (rq.wants_json)
		print_json(v, r == 0, verdict);
	else
		print_text(v);
	fprintf(rq.wants_json ? stderr : stdout, "%s\n", verdict);
	fini(v);
	return r;
}
