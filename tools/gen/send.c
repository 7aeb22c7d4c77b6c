/* SPDX-License-Identifier: BSD-3-Clause */

/* headrace-gen send: a plan from options, its datagrams out at the asked rate, and the
 * plan written down for verify. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/config.h"
#include "tools/gen/commands.h"
#include "tools/gen/way.h"

static const char help[] =
	"usage: headrace-gen send --to WAY [options]\n"
	"  --to WAY             udp:HOST:PORT[-LAST], memif:client:SOCKET,\n"
	"                       memif:server:SOCKET or pcap:FILE\n"
	"  --plan FILE          write what was sent, for verify\n"
	"  --events N           1000\n"
	"  --seconds N          stop after this time, whatever --events says\n"
	"  --rate N             events a second; without it as fast as it goes\n"
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
	"  --codec C            protobuf, json or half (of the events); half\n"
	"  --datagram-events N  at most so many in a datagram; 20\n"
	"  --datagram-bytes N   at most so many of UDP payload; 1232\n"
	"  --shards N           the data set's; 5\n"
	"  --key-id N           which key of --key-file; 1\n"
	"  --key-file F         lines of id and 32 hex digits\n"
	"  --headerless         JSON without header and tag (insecure: true)\n"
	"  --source A[:PORT]    memif, pcap: where frames come from; 10.99.0.1:40000\n"
	"  --dest A[:PORT]      memif, pcap: and go to; 10.99.0.2:7400\n"
	"  --vlan N             memif, pcap: with this VLAN tag\n"
	"  --memif-id N         0\n"
	"  --queues N           memif: shard s goes to queue s % N; 1\n"
	"  --cpu N              memif: stay on this CPU\n"
	"  --wait SECONDS       memif: for the peer; 10\n"
	"  --stall SECONDS      give up when nothing was taken for so long; 60\n"
	"  --json               the report as JSON\n"
	"Exit code 0: everything was handed over; 1: not; 2: asked wrongly.\n";

enum option_no {
	TO = 256,
	PLAN,
	EVENTS,
	SECONDS,
	RATE,
	USERS,
	PRODUCTS,
	CATEGORIES,
	ZIPF,
	UNIFORM,
	SEED,
	START_MS,
	CODEC,
	DATAGRAM_EVENTS,
	DATAGRAM_BYTES,
	SHARDS,
	KEY_ID,
	KEY_FILE,
	HEADERLESS,
	SOURCE,
	DEST,
	VLAN,
	MEMIF_ID,
	QUEUES,
	CPU,
	WAIT,
	STALL,
	JSON,
	HELP,
};

static const struct option options[] = {
	{ "to", required_argument, NULL, TO },
	{ "plan", required_argument, NULL, PLAN },
	{ "events", required_argument, NULL, EVENTS },
	{ "seconds", required_argument, NULL, SECONDS },
	{ "rate", required_argument, NULL, RATE },
	{ "users", required_argument, NULL, USERS },
	{ "products", required_argument, NULL, PRODUCTS },
	{ "categories", required_argument, NULL, CATEGORIES },
	{ "zipf", required_argument, NULL, ZIPF },
	{ "uniform", no_argument, NULL, UNIFORM },
	{ "seed", required_argument, NULL, SEED },
	{ "start-ms", required_argument, NULL, START_MS },
	{ "codec", required_argument, NULL, CODEC },
	{ "datagram-events", required_argument, NULL, DATAGRAM_EVENTS },
	{ "datagram-bytes", required_argument, NULL, DATAGRAM_BYTES },
	{ "shards", required_argument, NULL, SHARDS },
	{ "key-id", required_argument, NULL, KEY_ID },
	{ "key-file", required_argument, NULL, KEY_FILE },
	{ "headerless", no_argument, NULL, HEADERLESS },
	{ "source", required_argument, NULL, SOURCE },
	{ "dest", required_argument, NULL, DEST },
	{ "vlan", required_argument, NULL, VLAN },
	{ "memif-id", required_argument, NULL, MEMIF_ID },
	{ "queues", required_argument, NULL, QUEUES },
	{ "cpu", required_argument, NULL, CPU },
	{ "wait", required_argument, NULL, WAIT },
	{ "stall", required_argument, NULL, STALL },
	{ "json", no_argument, NULL, JSON },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

struct endpoint {
	char address[64];
	uint16_t port;
};

struct request {
	struct hr_plan plan;
	struct hr_way_conf way;
	const char *plan_path, *key_file;
	struct endpoint source, dest;
	uint64_t rate;    /* events a second; 0: as fast as it goes */
	uint64_t seconds; /* 0: until the plan ends */
	uint32_t vlan;    /* UINT32_MAX: none */
	bool has_events, has_codec, wants_json, wants_help;
	uint8_t key[HEADRACE_KEY_BYTES];
};

/* Of the process: what a signal says. */
static volatile sig_atomic_t was_told_to_stop;

static void on_signal(int number)
{
	(void)number;
	was_told_to_stop = 1;
}

/* ---- options ---- */

/* "10.0.0.1", "10.0.0.1:40000", "fd00::1", "[fd00::1]:40000". */
static int take_endpoint(const char *option, const char *text, struct endpoint *out,
			 struct hr_err *err)
{
	const char *from = text[0] == '[' ? text + 1 : text;
	const char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
	uint64_t port = out->port;
	const char *rest;
	size_t n;

	if (text[0] != '[' && end != NULL && strchr(end + 1, ':') != NULL)
		end = NULL; /* IPv6 without a port */
	n = end != NULL ? (size_t)(end - from) : strlen(from);
	rest = end == NULL ? "" : *end == ']' ? end + 1 : end;
	if (n >= sizeof(out->address) || (*rest != '\0' && *rest != ':'))
		return hr_fail(err, -EINVAL, "--%s: found %s, expected ADDRESS[:PORT]",
			       option, text);
	memcpy(out->address, from, n);
	out->address[n] = '\0';
	if (*rest == ':' && hr_gen_number(option, rest + 1, 1, 65535, &port, err) < 0)
		return -EINVAL;
	out->port = (uint16_t)port;
	return 0;
}

static int take_codec(struct request *rq, const char *text, struct hr_err *err)
{
	static const char *const names[] = { "protobuf", "json", "half" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			rq->plan.codec = (enum hr_plan_codec)i;
			rq->has_codec = true;
			return 0;
		}
	return hr_fail(err, -EINVAL,
		       "--codec: found %s, expected protobuf, json or half", text);
}

/* Options whose value is a whole number: where it goes and what it may be. */
static int take_number(struct request *rq, int option, const char *name,
		       const char *text, struct hr_err *err)
{
	struct hr_plan *plan = &rq->plan;
	uint64_t wide = 0, max = UINT32_MAX, *to64 = NULL;
	uint32_t *to32 = NULL, unit = 1;
	int r;

	switch (option) {
	case EVENTS:
		to64 = &plan->n_events;
		max = HR_PLAN_EVENTS_MAX;
		rq->has_events = true;
		break;
	case SECONDS:
		to64 = &rq->seconds;
		max = 86400;
		break;
	case RATE:
		to64 = &rq->rate;
		max = 100000000;
		break;
	case SEED:
		to64 = &plan->seed;
		max = INT64_MAX;
		break;
	case START_MS:
		to64 = &plan->start_ms;
		max = INT64_MAX;
		break;
	case USERS:
		to32 = &plan->n_users;
		break;
	case PRODUCTS:
		to32 = &plan->n_products;
		break;
	case CATEGORIES:
		to32 = &plan->n_categories;
		break;
	case DATAGRAM_EVENTS:
		to32 = &plan->datagram_events;
		break;
	case DATAGRAM_BYTES:
		to32 = &plan->datagram_bytes;
		break;
	case SHARDS:
		to32 = &plan->n_shards;
		break;
	case KEY_ID:
		to32 = &plan->key_id;
		break;
	case VLAN:
		to32 = &rq->vlan;
		max = 4095;
		break;
	case MEMIF_ID:
		to32 = &rq->way.memif_id;
		max = 65535;
		break;
	case QUEUES:
		to32 = &rq->way.n_queues;
		break;
	case CPU:
		to32 = &rq->way.cpu;
		max = 1023;
		break;
	case WAIT:
		to32 = &rq->way.wait_ms;
		max = 86400;
		unit = 1000;
		break;
	case STALL:
		to32 = &rq->way.stall_ms;
		max = 86400;
		unit = 1000;
		break;
	default:
		return hr_fail(err, -EINVAL, "--%s: not known", name);
	}
	r = hr_gen_number(name, text, 0, max, &wide, err);
	if (r == 0 && to64 != NULL)
		*to64 = wide;
	else if (r == 0)
		*to32 = (uint32_t)wide * unit;
	return r;
}

static int take(struct request *rq, int option, const char *name, const char *value,
		struct hr_err *err)
{
	uint64_t v = 0;
	int r;

	switch (option) {
	case TO:
		rq->way.to = value;
		return 0;
	case PLAN:
		rq->plan_path = value;
		return 0;
	case KEY_FILE:
		rq->key_file = value;
		return 0;
	case ZIPF:
		r = hr_gen_thousandths(name, value, 5000, &v, err);
		rq->plan.zipf_milli = (uint32_t)v;
		return r;
	case UNIFORM:
		rq->plan.zipf_milli = 0;
		return 0;
	case CODEC:
		return take_codec(rq, value, err);
	case HEADERLESS:
		rq->plan.headerless = true;
		return 0;
	case SOURCE:
		return take_endpoint(name, value, &rq->source, err);
	case DEST:
		return take_endpoint(name, value, &rq->dest, err);
	case JSON:
		rq->wants_json = true;
		return 0;
	case HELP:
		rq->wants_help = true;
		return 0;
	default:
		return take_number(rq, option, name, value, err);
	}
}

static int random_bits(uint64_t *out, struct hr_err *err)
{
	if (getrandom(out, sizeof(*out), 0) != sizeof(*out))
		return hr_fail(err, -EIO, "the kernel gave no random bytes");
	*out &= INT64_MAX;
	return 0;
}

static int defaults(struct request *rq, struct hr_err *err)
{
	*rq = (struct request){
		.way = { .n_queues = 1,
			 .cpu = UINT32_MAX,
			 .wait_ms = 10000,
			 .stall_ms = 60000 },
		.source = { "10.99.0.1", 40000 },
		.dest = { "10.99.0.2", 7400 },
		.vlan = UINT32_MAX,
	};
	hr_plan_defaults(&rq->plan);
	rq->plan.birth = hr_wall_us();
	rq->plan.start_ms = rq->plan.birth / 1000;
	return random_bits(&rq->plan.random, err);
}

static int find_key(struct request *rq, struct hr_err *err)
{
	struct hr_write_key *keys;
	int n;

	if (rq->plan.headerless)
		return 0;
	if (rq->key_file == NULL)
		return hr_fail(
			err, -EINVAL,
			"--key-file is missing: the appliance's listen.keys_file "
			"(or --headerless where it is insecure)");
	keys = calloc(HR_KEYS_MAX, sizeof(*keys));
	if (keys == NULL)
		return hr_fail(err, -ENOMEM, "no memory for keys");
	n = hr_keys_read(keys, HR_KEYS_MAX, rq->key_file, err);
	for (int i = 0; i < n; i++)
		if (keys[i].id == rq->plan.key_id) {
			memcpy(rq->key, keys[i].key, sizeof(rq->key));
			free(keys);
			return 0;
		}
	free(keys);
	return n < 0 ? n
		     : hr_fail(err, -EINVAL, "%s holds no key %u: --key-id chooses one",
			       rq->key_file, rq->plan.key_id);
}

/* What follows from the options together. */
static int complete(struct request *rq, struct hr_err *err)
{
	int r;

	if (rq->way.to == NULL)
		return hr_fail(err, -EINVAL, "--to is missing");
	if (rq->seconds > 0 && !rq->has_events)
		rq->plan.n_events = HR_PLAN_EVENTS_MAX;
	if (rq->plan.headerless && !rq->has_codec)
		rq->plan.codec = HR_PLAN_JSON;
	if (rq->rate > 0)
		rq->plan.step_ns = (uint32_t)(1000000000u / rq->rate);
	if (hr_headers_init(&rq->way.headers, rq->source.address, rq->source.port,
			    rq->dest.address, rq->dest.port) < 0)
		return hr_fail(err, -EINVAL,
			       "--source %s, --dest %s: expected two IPv4 or two IPv6 "
			       "addresses",
			       rq->source.address, rq->dest.address);
	rq->way.headers.has_vlan = rq->vlan != UINT32_MAX;
	rq->way.headers.vlan = rq->vlan != UINT32_MAX ? (uint16_t)rq->vlan : 0;
	r = hr_plan_check(&rq->plan, err);
	return r == 0 ? find_key(rq, err) : r;
}

static int read_options(struct request *rq, int argc, char **argv, struct hr_err *err)
{
	int r = defaults(rq, err);
	int index = 0, option;

	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "", options, &index)) >= 0) {
		if (option == '?')
			return hr_fail(err, -EINVAL, "see --help");
		r = take(rq, option, options[index].name, optarg, err);
	}
	if (r < 0 || rq->wants_help)
		return r;
	if (optind < argc)
		return hr_fail(err, -EINVAL, "%s: expected an option", argv[optind]);
	return complete(rq, err);
}

/* ---- sending ---- */

struct report {
	uint64_t planned_events, planned_datagrams;
	uint64_t datagrams, events, bytes;
	double seconds;
	bool is_behind; /* the rate that was asked for could not be kept */
};

struct pace {
	uint64_t start_mono_us, start_wall_us;
	uint64_t rate;
	bool is_timeless;
};

/* When the event with this number is due, in us from the start. */
static uint64_t due_us(const struct pace *pace, uint64_t event)
{
	return pace->rate == 0 ? 0 : event * 1000000 / pace->rate;
}

static void sleep_until(uint64_t mono_us)
{
	const struct timespec t = { (time_t)(mono_us / 1000000),
				    (long)(mono_us % 1000000) * 1000 };

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Wait until the event is due, with everything before it on its way. */
static int keep_pace(const struct pace *pace, uint64_t event, struct hr_way *way,
		     const struct hr_way_ops *ops, struct hr_err *err)
{
	const uint64_t due = pace->start_mono_us + due_us(pace, event);
	int r = 0;

	if (pace->is_timeless || pace->rate == 0 || hr_mono_us() >= due)
		return 0;
	r = ops->flush(way, err);
	if (r == 0)
		sleep_until(due);
	return r;
}

/* The plan ends where time or a signal says so; the events already taken still go. */
static bool is_over(const struct request *rq, const struct pace *pace, uint64_t events)
{
	const uint64_t spent_us = pace->is_timeless
					  ? due_us(pace, events)
					  : hr_mono_us() - pace->start_mono_us;

	return was_told_to_stop ||
	       (rq->seconds > 0 && spent_us >= rq->seconds * 1000000);
}

static int pump(const struct request *rq, struct hr_batcher *batcher,
		struct hr_way *way, const struct hr_way_ops *ops, struct report *report,
		struct hr_err *err)
{
	struct pace pace = { hr_mono_us(), hr_wall_us(), rq->rate, ops->is_timeless };
	bool is_stopping = false;
	struct hr_batch batch;
	int r = 0;

	while (r == 0 && hr_batcher_next(batcher, hr_wall_us(), &batch)) {
		report->planned_events += batch.n_events;
		report->planned_datagrams++;
		r = ops->put(way, &batch,
			     pace.start_wall_us + due_us(&pace, report->planned_events),
			     err);
		report->bytes += batch.n_bytes;
		if (r == 0)
			r = keep_pace(&pace, report->planned_events, way, ops, err);
		if (!is_stopping && is_over(rq, &pace, report->planned_events)) {
			is_stopping = true;
			(void)hr_batcher_stop(batcher);
		}
	}
	if (r == 0)
		r = ops->flush(way, err);
	if (r == 0)
		r = ops->drain(way, err);
	report->seconds = (double)(hr_mono_us() - pace.start_mono_us) / 1e6;
	return r;
}

/* What is left of the plan, only to be counted. */
static void count_rest(struct hr_batcher *batcher, struct report *report)
{
	struct hr_batch batch;

	while (hr_batcher_next(batcher, 0, &batch)) {
		report->planned_events += batch.n_events;
		report->planned_datagrams++;
	}
}

static int send_all(struct request *rq, const struct hr_way_ops *ops,
		    struct report *report, struct hr_err *err)
{
	struct hr_planner planner;
	struct hr_batcher *batcher = NULL;
	struct hr_way *way = NULL;
	int r = hr_planner_init(&planner, &rq->plan, err);

	if (r < 0)
		return r;
	r = hr_batcher_new(&batcher, &planner, rq->key, err);
	if (r == 0)
		r = ops->open(&way, &rq->way, err);
	if (r == 0) {
		r = pump(rq, batcher, way, ops, report, err);
		if (r < 0) {
			(void)hr_batcher_stop(batcher);
			count_rest(batcher, report);
		}
		ops->sent(way, &report->datagrams, &report->events);
		ops->close(way);
	}
	rq->plan.n_events = report->planned_events;
	rq->plan.unsent_datagrams = report->planned_datagrams - report->datagrams;
	rq->plan.unsent_events = report->planned_events - report->events;
	hr_batcher_free(batcher);
	hr_planner_fini(&planner);
	return r;
}

/* ---- the report ---- */

/* The asked rate counts as kept within one part in fifty. */
static bool is_behind(const struct request *rq, const struct report *report)
{
	return rq->rate > 0 &&
	       (double)report->events < 0.98 * (double)rq->rate * report->seconds;
}

static double per_second(const struct report *report)
{
	return report->seconds > 0 ? (double)report->events / report->seconds : 0;
}

static void print_json(const struct request *rq, const struct report *report)
{
	json_t *all = json_object();

	json_object_set_new(all, "datagrams",
			    json_integer((json_int_t)report->datagrams));
	json_object_set_new(all, "events", json_integer((json_int_t)report->events));
	json_object_set_new(all, "bytes", json_integer((json_int_t)report->bytes));
	json_object_set_new(all, "seconds", json_real(report->seconds));
	json_object_set_new(all, "events_per_second", json_real(per_second(report)));
	json_object_set_new(all, "asked_events_per_second",
			    json_integer((json_int_t)rq->rate));
	json_object_set_new(all, "is_behind", json_boolean(report->is_behind));
	json_object_set_new(all, "unsent_datagrams",
			    json_integer((json_int_t)rq->plan.unsent_datagrams));
	json_object_set_new(all, "unsent_events",
			    json_integer((json_int_t)rq->plan.unsent_events));
	json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

static void print_text(const struct request *rq, const struct report *report)
{
	printf("sent %" PRIu64 " events in %" PRIu64 " datagrams, %" PRIu64
	       " bytes, in %.3f s: %.0f events/s",
	       report->events, report->datagrams, report->bytes, report->seconds,
	       per_second(report));
	if (rq->rate > 0)
		printf(" (asked %" PRIu64 "%s)", rq->rate,
		       report->is_behind ? ": not kept" : "");
	putchar('\n');
	if (rq->plan.unsent_datagrams > 0)
		printf("NOT sent: %" PRIu64 " events in %" PRIu64 " datagrams\n",
		       rq->plan.unsent_events, rq->plan.unsent_datagrams);
}

int hr_gen_send(int argc, char **argv)
{
	const struct sigaction stop = { .sa_handler = on_signal };
	const struct hr_way_ops *ops;
	struct report report = { 0 };
	struct request rq;
	struct hr_err err = { "" }, err_plan = { "" };
	int r = read_options(&rq, argc, argv, &err), written = 0;

	if (r < 0)
		return hr_gen_complain("send", HR_GEN_USAGE, &err);
	if (rq.wants_help) {
		fputs(help, stdout);
		return 0;
	}
	ops = hr_way_find(rq.way.to, &err);
	if (ops == NULL)
		return hr_gen_complain("send", HR_GEN_USAGE, &err);
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	r = send_all(&rq, ops, &report, &err);
	report.is_behind = is_behind(&rq, &report);
	if (rq.plan_path != NULL)
		written = hr_plan_write(&rq.plan, rq.plan_path, &err_plan);
	if (rq.wants_json)
		print_json(&rq, &report);
	else
		print_text(&rq, &report);
	if (r < 0)
		(void)hr_gen_complain("send", 0, &err);
	if (written < 0)
		(void)hr_gen_complain("send", 0, &err_plan);
	return r < 0 || written < 0 ? HR_GEN_WRONG : 0;
}
