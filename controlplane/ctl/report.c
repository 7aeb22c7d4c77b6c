/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/control.h"
#include "controlplane/ctl/report.h"
#include "controlplane/ctl/segment.h"
#include "controlplane/metrics/own.h"
#include "controlplane/metrics/sampler.h"
#include "controlplane/supervise/run_dir.h"

#define ASK_MS 2000u
#define RATES_S 1
#define LEDGER_PATIENCE_MS 200u

static json_t *share(const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);

	return v == NULL ? json_null() : json_incref(v);
}

static json_t *share_list(const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);

	return json_is_array(v) ? json_incref(v) : json_array();
}

static json_t *headraced_json(const json_t *headraced)
{
	static const char *const keys[] = {
		"pid",        "version",       "uptime_s", "config", "metrics_listen",
		"supervised", "stop_within_ms"
	};
	json_t *out = json_object();

	json_object_set_new(out, "running", json_boolean(headraced != NULL));
	for (size_t i = 0; headraced != NULL && i < sizeof(keys) / sizeof(keys[0]); i++)
		json_object_set_new(out, keys[i], share(headraced, keys[i]));
	return out;
}

/* A pid from whoever knows one. */
static json_int_t dataplane_pid(const struct hr_report_sources *from)
{
	const json_t *supervised = json_object_get(from->headraced, "supervised");
	json_int_t pid = json_integer_value(json_object_get(from->dataplane, "pid"));

	if (pid == 0 && from->stats != NULL)
		pid = hr_stats_writer_pid(from->stats);
	if (pid == 0)
		pid = json_integer_value(json_object_get(supervised, "pid"));
	return pid;
}

static json_t *uptime(const struct hr_report_sources *from)
{
	const json_t *supervised = json_object_get(from->headraced, "supervised");
	uint64_t made_us = from->stats == NULL ? 0 : hr_stats_made_us(from->stats);

	if (json_is_number(json_object_get(supervised, "uptime_s")))
		return share(supervised, "uptime_s");
	if (made_us == 0 || made_us > from->now_wall_us)
		return json_null();
	return json_real((double)(from->now_wall_us - made_us) / 1e6);
}

static json_t *dataplane_json(const struct hr_report_sources *from)
{
	json_int_t pid = dataplane_pid(from);
	const json_t *d = from->dataplane;

	return json_pack("{s:b, s:o, s:o, s:b, s:o, s:o, s:b}", "running", pid != 0,
			 "pid", pid != 0 ? json_integer(pid) : json_null(), "uptime_s",
			 pid != 0 ? uptime(from) : json_null(), "answers", d != NULL,
			 "state", share(d, "state"), "version", share(d, "version"),
			 "ready", json_is_true(json_object_get(d, "ready")));
}

static json_t *not_running(const char *run_dir)
{
	char text[HR_RUN_DIR_PATH_MAX + 64];

	(void)snprintf(text, sizeof(text), "nothing is running in %s", run_dir);
	return json_pack("[s]", text);
}

static json_t *no_answer(const char *trouble)
{
	char text[768];

	(void)snprintf(text, sizeof(text), "the dataplane does not answer: %s",
		       trouble != NULL ? trouble : "nobody serves its socket");
	return json_pack("[s]", text);
}

static void set_state(json_t *out, const char *state, json_t *reasons)
{
	json_object_set_new(out, "state", json_string(state));
	json_object_set_new(out, "ready", json_boolean(strcmp(state, "ready") == 0));
	json_object_set_new(out, "reasons", reasons);
}

/* headraced judges where it runs: it knows of XDP and of restarts. */
static void judge(json_t *out, const struct hr_report_sources *from)
{
	const json_t *says =
		from->headraced != NULL ? from->headraced : from->dataplane;

	if (says == NULL && dataplane_pid(from) == 0)
		set_state(out, "not running", not_running(from->run_dir));
	else if (says == NULL)
		set_state(out, "not ready", no_answer(from->dataplane_trouble));
	else
		set_state(out,
			  json_is_true(json_object_get(says, "ready")) ? "ready"
								       : "not ready",
			  share(says, "reasons"));
}

json_t *hr_report_build(const struct hr_report_sources *from)
{
	json_t *out = json_object();
	const json_t *d = from->dataplane;

	judge(out, from);
	json_object_set_new(out, "run_dir", json_string(from->run_dir));
	json_object_set_new(
		out, "name",
		share(from->headraced != NULL ? from->headraced : d, "name"));
	json_object_set_new(out, "headraced", headraced_json(from->headraced));
	json_object_set_new(out, "dataplane", dataplane_json(from));
	json_object_set_new(out, "data_set", share(d, "data_set"));
	json_object_set_new(out, "generation", share(d, "generation"));
	json_object_set_new(out, "n_shards", share(d, "n_shards"));
	json_object_set_new(out, "shards", hr_segment_shards(from->stats, d));
	json_object_set_new(out, "ports", share_list(d, "ports"));
	json_object_set_new(out, "xdp", share_list(from->headraced, "xdp"));
	json_object_set_new(out, "views", hr_segment_views(from->stats, d));
	json_object_set_new(out, "snapshots", share_list(d, "snapshots"));
	json_object_set_new(out, "checkpoints", share(from->headraced, "checkpoints"));
	json_object_set_new(out, "log", share(d, "log"));
	json_object_set_new(out, "poison", share(d, "poison"));
	json_object_set_new(out, "rates",
			    from->rates == NULL ? json_null() : from->rates);
	json_object_set_new(out, "latency", hr_segment_latency(from->stats));
	json_object_set_new(out, "refused", hr_segment_refused(from->stats));
	json_object_set_new(out, "dropped", hr_segment_dropped(from->stats));
	json_object_set_new(out, "rejected", hr_segment_rejected(from->stats));
	json_object_set_new(out, "sums", hr_segment_sums(from->stats));
	json_object_set_new(out, "ledger",
			    hr_segment_ledger(from->stats, from->ledger_patience_ms));
	return out;
}

static json_t *measure_rates(const struct hr_stats_reader *stats)
{
	const struct timespec pause = { .tv_sec = RATES_S };
	struct hr_reading a, b;
	struct hr_rates rates;

	hr_reading_take(stats, hr_mono_us(), &a);
	nanosleep(&pause, NULL);
	hr_reading_take(stats, hr_mono_us(), &b);
	hr_rates_between(&a, &b, &rates);
	return hr_own_rates_json(&rates);
}

json_t *hr_report_make(const char *run_dir)
{
	struct hr_stats_reader *stats = NULL;
	json_t *headraced = NULL, *dataplane = NULL, *out;
	char path[HR_RUN_DIR_PATH_MAX];
	struct hr_err trouble = { "" };
	struct hr_report_sources from = {
		.run_dir = run_dir,
		.ledger_patience_ms = LEDGER_PATIENCE_MS,
	};

	hr_run_dir_path(path, run_dir, HR_CONTROL_HEADRACED);
	if (hr_control_ask(path, "status", ASK_MS, &headraced, NULL) < 0)
		headraced = NULL;
	hr_run_dir_path(path, run_dir, HR_CONTROL_DATAPLANE);
	if (hr_control_ask(path, "status", ASK_MS, &dataplane, &trouble) < 0)
		dataplane = NULL;
	hr_run_dir_path(path, run_dir, HR_CONTROL_STATS);
	if (hr_stats_open(&stats, path, NULL) < 0)
		stats = NULL;

	if (headraced != NULL)
		from.rates = share(headraced, "rates");
	else if (stats != NULL)
		from.rates = measure_rates(stats);
	from.headraced = headraced;
	from.dataplane = dataplane;
	from.dataplane_trouble = trouble.text[0] != '\0' ? trouble.text : NULL;
	from.stats = stats;
	from.now_wall_us = hr_wall_us();
	out = hr_report_build(&from);
	json_decref(headraced);
	json_decref(dataplane);
	hr_stats_close(stats);
	return out;
}

enum hr_report_state hr_report_state(const json_t *report)
{
	const char *state = json_string_value(json_object_get(report, "state"));

	if (state != NULL && strcmp(state, "ready") == 0)
		return HR_REPORT_READY;
	if (state != NULL && strcmp(state, "not ready") == 0)
		return HR_REPORT_NOT_READY;
	return HR_REPORT_NOT_RUNNING;
}
