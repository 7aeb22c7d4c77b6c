/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <string.h>

#include "controlplane/ctl/segment.h"
#include "dataplane/drops.h"
#include "dataplane/stats/ledger.h"
#include "dataplane/stats/names.h"

static const struct reject {
	const char *label, *text;
} rejects[] = {
#define HR_REJECT(name, label, text) { label, text },
#include "dataplane/beacon/rejects.def"
#undef HR_REJECT
};
#define N_REJECTS (sizeof(rejects) / sizeof(rejects[0]))

__attribute__((format(printf, 3, 4))) static json_int_t
sum(const struct hr_stats_reader *stats, enum hr_metric metric, const char *fmt, ...)
{
	char label[128];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(label, sizeof(label), fmt, args);
	va_end(args);
	return (json_int_t)hr_stats_sum(stats, hr_metric_rows[metric].name, label);
}

static void set_int(json_t *object, const char *key, json_int_t v)
{
	json_object_set_new(object, key, json_integer(v));
}

json_t *hr_segment_shards(const struct hr_stats_reader *stats, const json_t *dataplane)
{
	const json_t *list = json_object_get(dataplane, "shards");
	json_t *out = json_array();
	const json_t *theirs;
	size_t i;

	json_array_foreach(list, i, theirs)
	{
		json_t *shard = json_copy((json_t *)theirs);
		json_int_t s = json_integer_value(json_object_get(shard, "shard"));

		json_array_append_new(out, shard);
		if (stats == NULL)
			continue;
		set_int(shard, "in_flight",
			sum(stats, HR_METRIC_DATAGRAMS_IN_FLIGHT,
			    "shard=\"%" JSON_INTEGER_FORMAT "\"", s));
		set_int(shard, "events_logged",
			sum(stats, HR_METRIC_EVENTS_LOGGED,
			    "shard=\"%" JSON_INTEGER_FORMAT "\"", s));
	}
	return out;
}

json_t *hr_segment_views(const struct hr_stats_reader *stats, const json_t *dataplane)
{
	const json_t *list = json_object_get(dataplane, "views");
	json_t *out = json_array();
	const json_t *theirs;
	size_t i;

	json_array_foreach(list, i, theirs)
	{
		json_t *view = json_copy((json_t *)theirs);
		const char *name = json_string_value(json_object_get(view, "name"));

		json_array_append_new(out, view);
		if (stats == NULL || name == NULL)
			continue;
		json_object_set_new(view, "up",
				    json_boolean(sum(stats, HR_METRIC_VIEW_UP,
						     "view=\"%s\"", name) != 0));
		set_int(view, "lag_links",
			sum(stats, HR_METRIC_VIEW_LAG_LINKS, "view=\"%s\"", name));
		set_int(view, "errors",
			sum(stats, HR_METRIC_VIEW_ERRORS, "view=\"%s\"", name));
	}
	return out;
}

static json_t *seconds(double us)
{
	return us < 0 ? json_null() : json_real(us / 1e6);
}

static json_t *quantiles(const struct hr_stats_reader *stats, enum hr_metric metric,
			 const char *label)
{
	uint64_t cells[HR_HIST_CELLS], count = 0;

	hr_stats_histogram(stats, hr_metric_rows[metric].name, label, cells);
	for (int i = 0; i < HR_HIST_BUCKETS; i++)
		count += cells[i];
	return json_pack("{s:I, s:o, s:o}", "count", (json_int_t)count, "p50_s",
			 seconds(hr_hist_quantile_us(cells, 0.50)), "p99_s",
			 seconds(hr_hist_quantile_us(cells, 0.99)));
}

json_t *hr_segment_latency(const struct hr_stats_reader *stats)
{
	const char *name = hr_metric_rows[HR_METRIC_VIEW_LATENCY].name;
	struct hr_stat_row row;
	json_t *views;

	if (stats == NULL)
		return json_null();
	views = json_object();
	for (uint32_t i = 0, n = hr_stats_count(stats); i < n; i++) {
		char view[HR_STATS_LABELS_MAX];

		if (hr_stats_row(stats, i, &row) && strcmp(row.name, name) == 0 &&
		    sscanf(row.labels, "view=\"%[^\"]\"", view) == 1)
			json_object_set_new(
				views, view,
				quantiles(stats, HR_METRIC_VIEW_LATENCY, row.labels));
	}
	return json_pack("{s:o, s:o, s:o, s:o}", "accept",
			 quantiles(stats, HR_METRIC_ACCEPT_LATENCY, ""), "ack",
			 quantiles(stats, HR_METRIC_ACK_LATENCY, ""), "log_append",
			 quantiles(stats, HR_METRIC_LOG_APPEND, ""), "views", views);
}

static json_t *by_stage(const struct hr_stats_reader *stats, enum hr_drop_stage stage,
			enum hr_metric metric)
{
	json_t *out;

	if (stats == NULL)
		return json_null();
	out = json_object();
	for (int i = HR_DROP_NONE + 1; i < HR_DROP_COUNT; i++)
		if (hr_drop_rows[i].stage == stage)
			set_int(out, hr_drop_rows[i].label,
				sum(stats, metric, "reason=\"%s\"",
				    hr_drop_rows[i].label));
	return out;
}

json_t *hr_segment_refused(const struct hr_stats_reader *stats)
{
	return by_stage(stats, HR_STAGE_refused, HR_METRIC_DATAGRAMS_REFUSED);
}

json_t *hr_segment_dropped(const struct hr_stats_reader *stats)
{
	return by_stage(stats, HR_STAGE_dropped, HR_METRIC_DATAGRAMS_DROPPED);
}

json_t *hr_segment_rejected(const struct hr_stats_reader *stats)
{
	json_t *out;

	if (stats == NULL)
		return json_null();
	out = json_object();
	for (size_t i = 0; i < N_REJECTS; i++)
		set_int(out, rejects[i].label,
			sum(stats, HR_METRIC_EVENTS_REJECTED, "reason=\"%s\"",
			    rejects[i].label));
	return out;
}

json_t *hr_segment_sums(const struct hr_stats_reader *stats)
{
	json_t *out;

	if (stats == NULL)
		return json_null();
	out = json_object();
	for (int i = 0; i < HR_METRIC_COUNT; i++)
		if (hr_metric_rows[i].kind != HR_STAT_HISTOGRAM)
			set_int(out, hr_metric_rows[i].name,
				sum(stats, (enum hr_metric)i, "%s", ""));
	return out;
}

/* "in flight" is in_flight in JSON. */
static void set_term(json_t *law, const char *name, int64_t v)
{
	char key[32];

	(void)snprintf(key, sizeof(key), "%s", name);
	for (char *c = key; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	set_int(law, key, v);
}

static json_t *law(enum hr_balance balance, int64_t off, uint64_t moved)
{
	return json_pack("{s:s, s:b, s:I, s:I}", "balance", hr_balance_text(balance),
			 "balanced", balance != HR_OUT_OF_BALANCE, "off",
			 (json_int_t)off, "moved", (json_int_t)moved);
}

json_t *hr_segment_ledger(const struct hr_stats_reader *stats, uint32_t patience_ms)
{
	struct hr_ledger l;
	json_t *datagrams, *events;

	if (stats == NULL)
		return json_null();
	hr_ledger_read(stats, patience_ms, &l);
	datagrams = law(l.datagrams, l.datagrams_off, l.datagrams_moved);
	for (int i = 0; i < HR_LEDGER_DATAGRAM_TERMS; i++)
		set_term(datagrams, hr_ledger_datagram_names[i], l.datagram[i]);
	events = law(l.events, l.events_off, l.events_moved);
	for (int i = 0; i < HR_LEDGER_EVENT_TERMS; i++)
		set_term(events, hr_ledger_event_names[i], l.event[i]);
	json_object_set_new(events, "shard",
			    l.events_shard < 0 ? json_null()
					       : json_integer(l.events_shard));
	return json_pack("{s:o, s:o}", "datagrams", datagrams, "events", events);
}

const char *hr_segment_refusal_sentence(const char *label)
{
	for (int i = HR_DROP_NONE + 1; i < HR_DROP_COUNT; i++)
		if (strcmp(hr_drop_rows[i].label, label) == 0)
			return hr_drop_rows[i].text;
	return "";
}

const char *hr_segment_reject_sentence(const char *label)
{
	for (size_t i = 0; i < N_REJECTS; i++)
		if (strcmp(rejects[i].label, label) == 0)
			return rejects[i].text;
	return "";
}
