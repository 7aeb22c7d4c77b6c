/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "controlplane/metrics/exposition.h"
#include "controlplane/metrics/own.h"
#include "controlplane/metrics/pages.h"
#include "dataplane/stats/ledger.h"

/* A law that looks broken is looked at again for this long: the loop waits. */
#define LEDGER_PATIENCE_MS 20u
/* port="...": a device's name with every character escaped. */
#define PORT_LABEL_BYTES (2 * HR_CONFIG_TEXT + 16)

static void head(FILE *to, enum hr_own own)
{
	const struct hr_own_row *row = &hr_own_rows[own];

	hr_exposition_head(to, row->kind, row->name, row->help);
}

static void count(FILE *to, enum hr_own own, const char *labels, uint64_t v)
{
	hr_exposition_count(to, hr_own_rows[own].name, labels, v);
}

static void one(FILE *to, enum hr_own own, uint64_t v)
{
	head(to, own);
	count(to, own, "", v);
}

static bool is_ready(const struct hr_pages *p)
{
	json_t *reasons;
	bool ready = hr_supervise_is_ready(p->supervise, &reasons);

	json_decref(reasons);
	return ready;
}

static bool is_up(const struct hr_pages *p)
{
	enum hr_dataplane_state state = hr_supervise_state(p->supervise);

	return state == HR_DATAPLANE_RUNNING || state == HR_DATAPLANE_STOPPING;
}

static void put_process(FILE *to, const struct hr_pages *p)
{
	head(to, HR_OWN_BUILD_INFO);
	count(to, HR_OWN_BUILD_INFO, "version=\"" HR_VERSION "\"", 1);
	one(to, HR_OWN_DATAPLANE_UP, is_up(p));
	one(to, HR_OWN_DATAPLANE_RESTARTS, hr_supervise_restarts(p->supervise));
	one(to, HR_OWN_READY, is_ready(p));
}

static void put_old_names(FILE *to, const struct hr_pages *p)
{
	struct hr_totals totals;
	struct hr_rates rates;

	hr_sampler_totals(p->sampler, &totals);
	hr_sampler_rates(p->sampler, &rates);
	one(to, HR_OWN_EVENTS_PROCESSED, totals.processed);
	one(to, HR_OWN_EVENTS_FAILED, totals.failed);
	head(to, HR_OWN_PROCESSING_LATENCY);
	hr_exposition_real(to, hr_own_rows[HR_OWN_PROCESSING_LATENCY].name, "",
			   rates.accept_p99_s);
}

static void put_checkpoints(FILE *to, const struct hr_pages *p)
{
	struct hr_keeper_found found;

	if (p->keeper == NULL)
		return;
	hr_keeper_read(p->keeper, &found);
	head(to, HR_OWN_CHECKPOINTS);
	count(to, HR_OWN_CHECKPOINTS, "result=\"made\"", found.n_made);
	count(to, HR_OWN_CHECKPOINTS, "result=\"failed\"", found.n_failed);
	one(to, HR_OWN_CHECKPOINT_NEWEST, (uint64_t)found.newest);
}

static void put_ledger(FILE *to, const struct hr_stats_reader *reader)
{
	static const char datagrams[] = "law=\"datagrams\"",
			  events[] = "law=\"events\"";
	bool first_holds, second_holds;
	struct hr_ledger ledger;
	const char *name = hr_own_rows[HR_OWN_LEDGER_DIFFERENCE].name;

	hr_ledger_read(reader, LEDGER_PATIENCE_MS, &ledger);
	first_holds = ledger.datagrams != HR_OUT_OF_BALANCE;
	second_holds = ledger.events != HR_OUT_OF_BALANCE;
	head(to, HR_OWN_LEDGER_BALANCED);
	count(to, HR_OWN_LEDGER_BALANCED, datagrams, first_holds);
	count(to, HR_OWN_LEDGER_BALANCED, events, second_holds);
	head(to, HR_OWN_LEDGER_DIFFERENCE);
	hr_exposition_real(to, name, datagrams,
			   first_holds ? 0 : (double)ledger.datagrams_off);
	hr_exposition_real(to, name, events,
			   second_holds ? 0 : (double)ledger.events_off);
}

static void put_frames(FILE *to, const char *port_label,
		       const struct hr_steering_port *port)
{
	for (int v = 0; port->has_counts && v < HR_STEER_COUNT; v++) {
		char labels[PORT_LABEL_BYTES + 64];

		(void)snprintf(labels, sizeof(labels), "%.*s,verdict=\"%s\"",
			       PORT_LABEL_BYTES, port_label, hr_xdp_verdicts[v].label);
		count(to, HR_OWN_XDP_FRAMES, labels, port->counts.frames[v]);
	}
}

static void put_xdp(FILE *to, const struct hr_pages *p)
{
	struct hr_steering *steering = hr_supervise_steering(p->supervise);
	struct hr_steering_port ports[HR_PORTS_MAX];
	char labels[HR_PORTS_MAX][PORT_LABEL_BYTES];
	uint32_t n = hr_steering_count(steering);

	if (n == 0)
		return;
	head(to, HR_OWN_XDP_ATTACHED);
	for (uint32_t i = 0; i < n; i++) {
		hr_steering_read(steering, i, &ports[i]);
		hr_exposition_label(labels[i], sizeof(labels[i]), "port",
				    ports[i].device);
		count(to, HR_OWN_XDP_ATTACHED, labels[i], ports[i].is_attached);
	}
	head(to, HR_OWN_XDP_FRAMES);
	for (uint32_t i = 0; i < n; i++)
		put_frames(to, labels[i], &ports[i]);
}

static void get_metrics(void *ctx, struct hr_http_answer *out)
{
	const struct hr_pages *p = ctx;
	const struct hr_stats_reader *reader = hr_sampler_reader(p->sampler);
	FILE *to = open_memstream(&out->body, &out->n);
	int rc = 0;

	out->type = HR_EXPOSITION_TYPE;
	if (to == NULL)
		return;
	put_process(to, p);
	put_checkpoints(to, p);
	put_old_names(to, p);
	put_xdp(to, p);
	if (reader != NULL) {
		put_ledger(to, reader);
		rc = hr_exposition_segment(to, reader);
	}
	if (fclose(to) != 0 || rc < 0) {
		free(out->body);
		out->body = NULL;
	}
}

static void get_livez(void *ctx, struct hr_http_answer *out)
{
	const struct hr_pages *p = ctx;

	hr_http_answer_json(out, 200, "application/json",
			    json_pack("{s:b, s:s, s:i}", "live", 1, "name",
				      p->config->name, "pid", (int)getpid()));
}

static void get_readyz(void *ctx, struct hr_http_answer *out)
{
	const struct hr_pages *p = ctx;
	json_t *reasons;
	bool ready = hr_supervise_is_ready(p->supervise, &reasons);

	hr_http_answer_json(out, ready ? 200 : 503, "application/json",
			    json_pack("{s:b, s:s, s:o}", "ready", ready, "name",
				      p->config->name, "reasons", reasons));
}

const struct hr_http_page hr_pages_table[] = {
	{ "/metrics", get_metrics },
	{ "/livez", get_livez },
	{ "/readyz", get_readyz },
	{ NULL, NULL },
};

static json_t *rates_json(const struct hr_sampler *sampler)
{
	struct hr_rates rates;

	hr_sampler_rates(sampler, &rates);
	return hr_own_rates_json(&rates);
}

static json_t *checkpoints_json(const struct hr_pages *p)
{
	struct hr_keeper_found found;

	if (p->keeper == NULL)
		return json_null();
	hr_keeper_read(p->keeper, &found);
	return json_pack(
		"{s:I, s:I, s:o, s:o}", "made", (json_int_t)found.n_made, "failed",
		(json_int_t)found.n_failed, "newest_age_s",
		found.newest == 0 ? json_null()
				  : json_real(difftime(time(NULL), found.newest)),
		"trouble",
		found.trouble.text[0] == '\0' ? json_null()
					      : json_string(found.trouble.text));
}

json_t *hr_pages_status(const struct hr_pages *p)
{
	json_t *reasons;
	bool ready = hr_supervise_is_ready(p->supervise, &reasons);
	uint64_t up_us = hr_mono_us() - p->started_us;

	return json_pack(
		"{s:s, s:s, s:i, s:f, s:s, s:s, s:s, s:s, s:I, s:b, s:o, s:o, s:o, "
		"s:o, s:o, s:o}",
		"program", "headraced", "version", HR_VERSION, "pid", (int)getpid(),
		"uptime_s", (double)up_us / 1e6, "name", p->config->name, "run_dir",
		p->config->run_dir, "config", p->config->path, "metrics_listen",
		p->metrics_address, "stop_within_ms",
		(json_int_t)p->config->stop_drain_ms + HR_SUPERVISE_KILL_AFTER_MS,
		"ready", ready, "reasons", reasons, "supervised",
		hr_supervise_json(p->supervise), "xdp",
		hr_steering_json(hr_supervise_steering(p->supervise)), "rates",
		rates_json(p->sampler), "checkpoints", checkpoints_json(p), "dataplane",
		hr_supervise_answer(p->supervise));
}
