/* SPDX-License-Identifier: BSD-3-Clause */

/* headrace-gen sdk: a plan's events by the SDK itself, acknowledged, with a ledger of
 * what became of each. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "common/clock.h"
#include "tools/gen/commands.h"
#include "tools/gen/ledger.h"

#define INSTANCES_MAX 64
#define AT_ONCE 64 /* events announced by one write */

static const char help[] =
	"usage: headrace-gen sdk --to ADDRESSES [options]\n"
	"  --to ADDRESSES       HOST:PORT[-LAST], several with commas between\n"
	"  --ledger FILE        what became of each event; continued where it exists\n"
	"  --plan FILE          write what was sent, for verify\n"
	"  --events N           1000\n"
	"  --seconds N          stop after this time, whatever --events says\n"
	"  --rate N             events a second; without it as fast as they are\n"
	"                       committed\n"
	"  --window N           without --rate: so many events under way; 20000\n"
	"  --instances N        handles of the SDK, each with users of its own; 1\n"
	"  --users N            100: user_0 ...\n"
	"  --products N         1000: product_0 ...\n"
	"  --categories N       20\n"
	"  --zipf X             1.0: users and products by Zipf's law with this "
	"exponent\n"
	"  --uniform            every user and product as often as the others\n"
	"  --seed N             1: other events; plans that are verified together "
	"need\n"
	"                       seeds of their own\n"
	"  --start-ms N         event time of the first event; now\n"
	"  --codec C            protobuf, json or half (of the instances, or the one\n"
	"                       protobuf); half\n"
	"  --datagram-bytes N   at most so many of UDP payload; 1232\n"
	"  --flush-ms N         the longest an event waits for company; 5\n"
	"  --shards N           where the SDK begins, the appliance tells; 5\n"
	"  --key-id N           which key of --key-file; 1\n"
	"  --key-file F         lines of id and 32 hex digits\n"
	"  --queue-bytes N      memory of an instance; 4194304\n"
	"  --queue-dir DIR      disk queues, one an instance, in DIR/0, DIR/1, ...\n"
	"  --max-age-ms N       a new stream so often; 3600000\n"
	"  --ttl-ms N           give an event up after this time; the SDK's own\n"
	"  --drain SECONDS      wait so long at the end for what is under way; 60\n"
	"  --json               the report as JSON\n"
	"Exit code 0: everything is committed; 1: not; 2: asked wrongly.\n";

struct request {
	struct hr_plan plan;
	const char *to, *ledger_path, *plan_path, *key_file, *queue_dir;
	uint64_t rate, seconds, window, queue_bytes, max_age_ms, ttl_ms;
	uint32_t n_instances, flush_ms, drain_s;
	bool has_events, wants_json, wants_help;
};

static volatile sig_atomic_t was_told_to_stop;

static void on_signal(int number)
{
	(void)number;
	was_told_to_stop = 1;
}

/* ---- options ---- */

/* Whole numbers: where they go. */
static const struct {
	const char *name;
	size_t offset;
	bool is_wide;
	uint64_t min, max;
} numbers[] = {
#define WIDE(name, member, min, max)                                                   \
	{                                                                              \
		name, offsetof(struct request, member), true, min, max                 \
	}
#define NARROW(name, member, min, max)                                                 \
	{                                                                              \
		name, offsetof(struct request, member), false, min, max                \
	}
	WIDE("events", plan.n_events, 0, HR_PLAN_EVENTS_MAX),
	WIDE("seconds", seconds, 0, 86400 * 7),
	WIDE("rate", rate, 0, 100000000),
	WIDE("window", window, 1, 100000000),
	WIDE("seed", plan.seed, 0, INT64_MAX),
	WIDE("start-ms", plan.start_ms, 0, INT64_MAX),
	WIDE("queue-bytes", queue_bytes, 1, (uint64_t)1 << 36),
	WIDE("max-age-ms", max_age_ms, 1, (uint64_t)366 * 86400000),
	WIDE("ttl-ms", ttl_ms, 0, (uint64_t)7 * 86400000),
	NARROW("instances", n_instances, 1, INSTANCES_MAX),
	NARROW("users", plan.n_users, 0, UINT32_MAX),
	NARROW("products", plan.n_products, 0, UINT32_MAX),
	NARROW("categories", plan.n_categories, 0, UINT32_MAX),
	NARROW("datagram-bytes", plan.datagram_bytes, 0, UINT32_MAX),
	NARROW("flush-ms", flush_ms, 1, 60000),
	NARROW("shards", plan.n_shards, 0, UINT32_MAX),
	NARROW("key-id", plan.key_id, 0, UINT32_MAX),
	NARROW("drain", drain_s, 0, 3600),
#undef WIDE
#undef NARROW
};

#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

enum option_no {
	TO = 256,
	LEDGER,
	PLAN,
	KEY_FILE,
	QUEUE_DIR,
	ZIPF,
	UNIFORM,
	CODEC,
	JSON,
	HELP,
	NUMBER, /* and those behind it */
};

static int take_codec(struct request *rq, const char *text, struct hr_err *err)
{
	static const char *const names[] = { "protobuf", "json", "half" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			rq->plan.codec = (enum hr_plan_codec)i;
			return 0;
		}
	return hr_fail(err, -EINVAL,
		       "--codec: found %s, expected protobuf, json or half", text);
}

static int take_number(struct request *rq, size_t i, const char *text,
		       struct hr_err *err)
{
	uint8_t *at = (uint8_t *)rq + numbers[i].offset;
	uint64_t v = 0;
	uint32_t narrow;
	int r = hr_gen_number(numbers[i].name, text, numbers[i].min, numbers[i].max, &v,
			      err);

	if (r < 0)
		return r;
	narrow = (uint32_t)v;
	if (numbers[i].is_wide)
		memcpy(at, &v, sizeof(v));
	else
		memcpy(at, &narrow, sizeof(narrow));
	rq->has_events |= numbers[i].offset == offsetof(struct request, plan.n_events);
	return 0;
}

static int take(struct request *rq, int option, const char *value, struct hr_err *err)
{
	uint64_t v = 0;
	int r;

	switch (option) {
	case TO:
		rq->to = value;
		return 0;
	case LEDGER:
		rq->ledger_path = value;
		return 0;
	case PLAN:
		rq->plan_path = value;
		return 0;
	case KEY_FILE:
		rq->key_file = value;
		return 0;
	case QUEUE_DIR:
		rq->queue_dir = value;
		return 0;
	case ZIPF:
		r = hr_gen_thousandths("zipf", value, 5000, &v, err);
		rq->plan.zipf_milli = (uint32_t)v;
		return r;
	case UNIFORM:
		rq->plan.zipf_milli = 0;
		return 0;
	case CODEC:
		return take_codec(rq, value, err);
	case JSON:
		rq->wants_json = true;
		return 0;
	case HELP:
		rq->wants_help = true;
		return 0;
	default:
		return take_number(rq, (size_t)(option - NUMBER), value, err);
	}
}

static int complete(struct request *rq, struct hr_err *err)
{
	if (rq->to == NULL)
		return hr_fail(err, -EINVAL, "--to is missing");
	if (rq->key_file == NULL)
		return hr_fail(err, -EINVAL,
			       "--key-file is missing: the appliance's "
			       "listen.keys_file");
	if (rq->seconds > 0 && !rq->has_events)
		rq->plan.n_events = HR_PLAN_EVENTS_MAX;
	if (rq->rate > 0)
		rq->plan.step_ns = (uint32_t)(1000000000u / rq->rate);
	return hr_plan_check(&rq->plan, err);
}

static int read_options(struct request *rq, int argc, char **argv, struct hr_err *err)
{
	static const struct option words[] = {
		{ "to", required_argument, NULL, TO },
		{ "ledger", required_argument, NULL, LEDGER },
		{ "plan", required_argument, NULL, PLAN },
		{ "key-file", required_argument, NULL, KEY_FILE },
		{ "queue-dir", required_argument, NULL, QUEUE_DIR },
		{ "zipf", required_argument, NULL, ZIPF },
		{ "uniform", no_argument, NULL, UNIFORM },
		{ "codec", required_argument, NULL, CODEC },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
	};
	enum {
		N_WORDS = sizeof(words) / sizeof(words[0])
	};
	struct option options[N_WORDS + N_NUMBERS + 1];
	int option, r = 0;

	memset(options, 0, sizeof(options));
	memcpy(options, words, sizeof(words));
	for (size_t i = 0; i < N_NUMBERS; i++)
		options[N_WORDS + i] =
			(struct option){ numbers[i].name, required_argument, NULL,
					 NUMBER + (int)i };
	*rq = (struct request){ .window = 20000,
				.queue_bytes = 4 << 20,
				.max_age_ms = 3600000,
				.n_instances = 1,
				.flush_ms = 5,
				.drain_s = 60 };
	hr_plan_defaults(&rq->plan);
	rq->plan.by_sdk = 1;
	rq->plan.birth = hr_wall_us();
	rq->plan.start_ms = rq->plan.birth / 1000;
	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == '?')
			return hr_fail(err, -EINVAL, "see --help");
		r = take(rq, option, optarg, err);
	}
	if (r < 0 || rq->wants_help)
		return r;
	if (optind < argc)
		return hr_fail(err, -EINVAL, "%s: expected an option", argv[optind]);
	return complete(rq, err);
}

/* ---- sending ---- */

struct run {
	const struct request *rq;
	struct hr_planner planner;
	struct hr_ledger *ledger;
	struct headrace *handles[INSTANCES_MAX];
	struct headrace_counts counts; /* of all handles */
	uint64_t n;                    /* events so far, of this process */
	double seconds;
};

static int open_handle(struct run *run, uint32_t i, struct hr_err *err)
{
	const struct request *rq = run->rq;
	char error[256] = "", dir[4096];
	struct headrace_config conf = {
		.address = rq->to,
		.key_id = rq->plan.key_id,
		.key_file = rq->key_file,
		.n_shards = rq->plan.n_shards,
		.codec = rq->plan.codec == HR_PLAN_JSON ||
					 (rq->plan.codec == HR_PLAN_HALF && i % 2 == 1)
				 ? HEADRACE_JSON
				 : HEADRACE_PROTOBUF,
		.datagram_bytes = rq->plan.datagram_bytes,
		.flush_ms = rq->flush_ms,
		.queue_bytes = rq->queue_bytes,
		.stream_max_age_ms = rq->max_age_ms,
		.event_ttl_ms = rq->ttl_ms,
		.close_ms = rq->drain_s > 0 ? rq->drain_s * 1000 : 1,
		.on_outcome = hr_ledger_decide,
		.on_outcome_arg = run->ledger,
		.outcomes = (1u << HEADRACE_STATES) - 1,
	};

	if (rq->queue_dir != NULL) {
		(void)mkdir(rq->queue_dir, 0755);
		if (snprintf(dir, sizeof(dir), "%s/%u", rq->queue_dir, i) >=
		    (int)sizeof(dir))
			return hr_fail(err, -ENAMETOOLONG, "--queue-dir is too long");
		(void)mkdir(dir, 0755);
		conf.queue_dir = dir;
	}
	if (headrace_open(&conf, &run->handles[i], error, sizeof(error)) != HEADRACE_OK)
		return hr_fail(err, -EINVAL, "%s", error);
	return 0;
}

static void nap(uint64_t us)
{
	const struct timespec t = { (time_t)(us / 1000000),
				    (long)(us % 1000000) * 1000 };

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* How many events may be tracked now: those that are due, or that the window has
 * room for. */
static uint64_t allowed(const struct run *run, uint64_t spent_us)
{
	const struct request *rq = run->rq;
	uint64_t due;

	if (rq->rate == 0) {
		const uint64_t waiting = hr_ledger_waiting(run->ledger);

		return waiting < rq->window ? rq->window - waiting : 0;
	}
	due = spent_us * rq->rate / 1000000 + 1;
	return due > run->n ? due - run->n : 0;
}

/* Announce, then track: the order that leaves no event out of the ledger. */
static void track_some(struct run *run, uint64_t from, uint32_t n)
{
	struct hr_planned events[AT_ONCE];

	for (uint32_t i = 0; i < n; i++) {
		hr_planned_make(&run->planner, from + i, &events[i]);
		hr_ledger_announce(run->ledger, &events[i], from + i);
	}
	hr_ledger_flush(run->ledger);
	for (uint32_t i = 0; i < n; i++) {
		struct headrace *h =
			run->handles[events[i].user % run->rq->n_instances];

		if (headrace_track_event(h, &events[i].event) != HEADRACE_OK)
			hr_ledger_refused(run->ledger, &events[i], from + i);
	}
	run->n += n;
}

static void pump(struct run *run)
{
	const struct request *rq = run->rq;
	const uint64_t start_us = hr_mono_us();
	uint64_t next = hr_ledger_next(run->ledger);

	while (next < rq->plan.n_events && !was_told_to_stop) {
		const uint64_t spent_us = hr_mono_us() - start_us;
		uint64_t n = allowed(run, spent_us);

		if (rq->seconds > 0 && spent_us >= rq->seconds * 1000000)
			break;
		if (n == 0) {
			nap(rq->rate > 0 ? 500 : 200);
			continue;
		}
		n = n < AT_ONCE ? n : AT_ONCE;
		n = n < rq->plan.n_events - next ? n : rq->plan.n_events - next;
		track_some(run, next, (uint32_t)n);
		next += n;
	}
	run->seconds = (double)(hr_mono_us() - start_us) / 1e6;
}

static void add_counts(struct headrace_counts *all, const struct headrace_counts *one)
{
	all->datagrams_sent += one->datagrams_sent;
	all->datagrams_resent += one->datagrams_resent;
	all->bytes_sent += one->bytes_sent;
	all->probes_sent += one->probes_sent;
	all->answers += one->answers;
	all->answers_ignored += one->answers_ignored;
	all->failovers += one->failovers;
	all->streams += one->streams;
	all->events_restored += one->events_restored;
	all->datagrams_lost += one->datagrams_lost;
	all->queue_errors += one->queue_errors;
}

/* Wait together first: closing one after the other would give each its own time. */
static void close_handles(struct run *run)
{
	const uint64_t until_us = hr_mono_us() + run->rq->drain_s * 1000000u;

	for (uint32_t i = 0; i < run->rq->n_instances; i++) {
		struct headrace_counts counts;
		const uint64_t now_us = hr_mono_us();

		if (run->handles[i] == NULL)
			continue;
		(void)headrace_flush(
			run->handles[i],
			now_us < until_us ? (uint32_t)((until_us - now_us) / 1000) : 0);
		headrace_stats(run->handles[i], &counts);
		add_counts(&run->counts, &counts);
	}
	for (uint32_t i = 0; i < run->rq->n_instances; i++)
		(void)headrace_close(run->handles[i]);
}

/* ---- the report ---- */

static void print_json(const struct run *run, const struct hr_ledger_sums *sums)
{
	const struct {
		const char *name;
		uint64_t v;
	} rows[] = {
		{ "events", run->n },
		{ "ledger_events", sums->n },
		{ "datagrams", run->counts.datagrams_sent },
		{ "resent", run->counts.datagrams_resent },
		{ "bytes", run->counts.bytes_sent },
		{ "probes", run->counts.probes_sent },
		{ "answers", run->counts.answers },
		{ "answers_ignored", run->counts.answers_ignored },
		{ "failovers", run->counts.failovers },
		{ "streams", run->counts.streams },
		{ "restored", run->counts.events_restored },
		{ "queue_errors", run->counts.queue_errors },
		{ "commit_p50_us", sums->p50_us },
		{ "commit_p99_us", sums->p99_us },
		{ "commit_p999_us", sums->p999_us },
		{ "commit_max_us", sums->max_us },
	};
	json_t *all = json_object();

	for (unsigned int s = 0; s < HR_LEDGER_STATES; s++)
		json_object_set_new(all, hr_ledger_state(s),
				    json_integer((json_int_t)sums->states[s]));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_object_set_new(all, rows[i].name,
				    json_integer((json_int_t)rows[i].v));
	json_object_set_new(all, "seconds", json_real(run->seconds));
	json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

static void print_text(const struct run *run, const struct hr_ledger_sums *sums)
{
	printf("tracked %" PRIu64 " events in %.3f s; of %" PRIu64 " in the ledger",
	       run->n, run->seconds, sums->n);
	for (unsigned int s = 0; s < HR_LEDGER_STATES; s++)
		printf(", %" PRIu64 " %s", sums->states[s], hr_ledger_state(s));
	printf("\n%" PRIu64 " datagrams, %" PRIu64 " of them again, %" PRIu64
	       " probes, %" PRIu64 " streams, %" PRIu64 " fail-overs\n",
	       run->counts.datagrams_sent, run->counts.datagrams_resent,
	       run->counts.probes_sent, run->counts.streams, run->counts.failovers);
	printf("committed after p50 %" PRIu64 ", p99 %" PRIu64 ", at most %" PRIu64
	       " us\n",
	       sums->p50_us, sums->p99_us, sums->max_us);
}

static int send_all(struct run *run, struct hr_err *err)
{
	int r = hr_planner_init(&run->planner, &run->rq->plan, err);

	if (r < 0)
		return r;
	r = hr_ledger_open(&run->ledger, run->rq->ledger_path, &run->planner, err);
	for (uint32_t i = 0; i < run->rq->n_instances && r == 0; i++)
		r = open_handle(run, i, err);
	if (r == 0)
		pump(run);
	close_handles(run);
	return r;
}

/* What the SDK gave up, and what it does not know, may be missing in the log. */
static int write_plan(const struct run *run, const struct hr_ledger_sums *sums,
		      struct hr_err *err)
{
	struct hr_plan plan = run->rq->plan;

	plan.n_events = sums->n;
	plan.unsent_events = sums->n - sums->states[HEADRACE_COMMITTED];
	return hr_plan_write(&plan, run->rq->plan_path, err);
}

int hr_gen_sdk(int argc, char **argv)
{
	const struct sigaction stop = { .sa_handler = on_signal };
	struct hr_err err = { "" };
	struct hr_ledger_sums sums = { 0 };
	struct request rq;
	struct run run = { .rq = &rq };
	int r = read_options(&rq, argc, argv, &err);

	if (r < 0)
		return hr_gen_complain("sdk", HR_GEN_USAGE, &err);
	if (rq.wants_help) {
		fputs(help, stdout);
		return 0;
	}
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	r = send_all(&run, &err);
	if (run.ledger != NULL) {
		struct hr_err err_ledger = { "" };

		sums = hr_ledger_sums(run.ledger);
		if (rq.plan_path != NULL && r == 0)
			r = write_plan(&run, &sums, &err);
		if (hr_ledger_close(run.ledger, &err_ledger) < 0 && r == 0) {
			r = -EIO;
			err = err_ledger;
		}
	}
	hr_planner_fini(&run.planner);
	if (r < 0)
		return hr_gen_complain("sdk", HR_GEN_WRONG, &err);
	if (rq.wants_json)
		print_json(&run, &sums);
	else
		print_text(&run, &sums);
	return sums.states[HEADRACE_COMMITTED] == sums.n ? 0 : HR_GEN_WRONG;
}
