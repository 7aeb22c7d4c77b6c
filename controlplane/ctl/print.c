/* SPDX-License-Identifier: BSD-3-Clause */

/* A report for people. Reads the JSON object and nothing else. */

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "controlplane/ctl/report.h"
#include "controlplane/ctl/segment.h"

/* Links of this many shards fit on one line. */
#define LINKS_SHOWN 8u

static const json_t *get(const json_t *from, const char *key)
{
	return json_object_get(from, key);
}

static const char *text(const json_t *from, const char *key)
{
	const char *s = json_string_value(get(from, key));

	return s == NULL ? "" : s;
}

static double number(const json_t *from, const char *key)
{
	return json_number_value(get(from, key));
}

static json_int_t integer(const json_t *from, const char *key)
{
	return json_integer_value(get(from, key));
}

static bool is_true(const json_t *from, const char *key)
{
	return json_is_true(get(from, key));
}

/* The first line of a part has its title, the others stand below. */
static void title(FILE *to, const char *name)
{
	fprintf(to, "%-11s", name);
}

/* 1234567 as "1,234,567". */
static void put_count(FILE *to, json_int_t v)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, v);
	int first = v < 0;

	for (int i = 0; i < n; i++) {
		if (i > first && (n - i) % 3 == 0)
			fputc(',', to);
		fputc(digits[i], to);
	}
}

static void put_duration(FILE *to, double s)
{
	if (s < 60)
		fprintf(to, "%.0f s", s);
	else if (s < 3600)
		fprintf(to, "%.0f min", s / 60);
	else if (s < 86400)
		fprintf(to, "%.1f h", s / 3600);
	else
		fprintf(to, "%.1f days", s / 86400);
}

static void put_ms(FILE *to, const json_t *s)
{
	double ms = json_number_value(s) * 1e3;

	if (!json_is_number(s))
		fputs("-", to);
	else
		fprintf(to, ms < 10 ? "%.2f ms" : ms < 100 ? "%.1f ms" : "%.0f ms", ms);
}

static void print_state(FILE *to, const json_t *report)
{
	const char *name = text(report, "name");
	const json_t *reason;
	size_t i;

	fprintf(to, "%s: %s\n", name[0] != '\0' ? name : "headrace",
		text(report, "state"));
	json_array_foreach(get(report, "reasons"), i, reason)
		fprintf(to, "  - %s\n", json_string_value(reason));
}

static void print_headraced(FILE *to, const json_t *headraced)
{
	title(to, "headraced");
	if (!is_true(headraced, "running")) {
		fputs("not running: no metrics, and nothing restarts the dataplane\n",
		      to);
		return;
	}
	fprintf(to, "process %" JSON_INTEGER_FORMAT ", up ", integer(headraced, "pid"));
	put_duration(to, number(headraced, "uptime_s"));
	fprintf(to, ", metrics at http://%s/metrics\n",
		text(headraced, "metrics_listen"));
}

static void print_dataplane(FILE *to, const json_t *report)
{
	const json_t *d = get(report, "dataplane"),
		     *headraced = get(report, "headraced"),
		     *supervised = get(headraced, "supervised");

	title(to, "dataplane");
	if (is_true(d, "running")) {
		fprintf(to, "%s, process %" JSON_INTEGER_FORMAT,
			is_true(d, "answers") ? text(d, "state") : "does not answer",
			integer(d, "pid"));
		if (json_is_number(get(d, "uptime_s"))) {
			fputs(", up ", to);
			put_duration(to, number(d, "uptime_s"));
		}
	} else {
		fputs(supervised != NULL ? text(supervised, "state") : "not running",
		      to);
	}
	if (supervised != NULL)
		fprintf(to, ", restarts: %" JSON_INTEGER_FORMAT,
			integer(supervised, "restarts"));
	fputc('\n', to);
	if (is_true(d, "running") && text(supervised, "last_end")[0] != '\0') {
		title(to, "");
		fprintf(to, "the one before %s\n", text(supervised, "last_end"));
	}
}

static void print_links(FILE *to, const json_t *shards)
{
	const json_t *shard;
	size_t i;

	if (json_array_size(shards) > LINKS_SHOWN)
		return;
	fputs(", links", to);
	json_array_foreach(shards, i, shard)
		fprintf(to, " %" JSON_INTEGER_FORMAT, integer(shard, "link"));
}

static void print_shards(FILE *to, const json_t *shards)
{
	const json_t *shard;
	size_t i, ready = 0;

	if (json_array_size(shards) == 0)
		return;
	json_array_foreach(shards, i, shard) ready +=
		strcmp(text(shard, "state"), "ready") == 0;
	title(to, "shards");
	fprintf(to, "%zu of %zu ready", ready, json_array_size(shards));
	print_links(to, shards);
	fputc('\n', to);
	json_array_foreach(shards, i, shard)
	{
		if (strcmp(text(shard, "state"), "ready") == 0)
			continue;
		title(to, "");
		fprintf(to, "%" JSON_INTEGER_FORMAT " %s%s%s\n",
			integer(shard, "shard"), text(shard, "state"),
			text(shard, "reason")[0] != '\0' ? ": " : "",
			text(shard, "reason"));
	}
}

static void print_ports(FILE *to, const json_t *ports)
{
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		title(to, i == 0 ? "ports" : "");
		fprintf(to, "%s %s, ", text(port, "device"),
			is_true(port, "done") ? "done"
			: is_true(port, "up") ? "up"
					      : "down");
		put_count(to, integer(port, "packets"));
		fputs(" packets, ", to);
		put_count(to, integer(port, "missed"));
		fputs(" missed\n", to);
	}
}

static void print_xdp(FILE *to, const json_t *xdp)
{
	const json_t *port, *n;
	const char *verdict;
	size_t i;

	json_array_foreach(xdp, i, port)
	{
		title(to, i == 0 ? "xdp" : "");
		fprintf(to, "%s %s", text(port, "interface"),
			is_true(port, "attached") ? "attached" : "not attached");
		json_object_foreach((json_t *)get(port, "frames"), verdict, n)
		{
			if (json_integer_value(n) == 0)
				continue;
			fprintf(to, ", %s ", verdict);
			put_count(to, json_integer_value(n));
		}
		fputc('\n', to);
	}
}

static void print_views(FILE *to, const json_t *views)
{
	const json_t *view;
	size_t i;

	json_array_foreach(views, i, view)
	{
		title(to, i == 0 ? "views" : "");
		fprintf(to, "%s %s", text(view, "name"), text(view, "state"));
		if (json_is_integer(get(view, "lag_links"))) {
			fputs(", ", to);
			put_count(to, integer(view, "lag_links"));
			fputs(" links behind", to);
		}
		if (text(view, "reason")[0] != '\0')
			fprintf(to, ": %s", text(view, "reason"));
		fputc('\n', to);
	}
}

/* Sentences that all shards share stand there once. */
static void print_snapshots(FILE *to, const json_t *snapshots)
{
	const char *not_trimmed = "";
	const json_t *s;
	size_t i;

	json_array_foreach(snapshots, i, s)
	{
		title(to, i == 0 ? "snapshots" : "");
		fprintf(to, "shard %lld ", (long long)integer(s, "shard"));
		if (integer(s, "link") == 0)
			fputs("none", to);
		else
			fprintf(to, "link %lld, %lld bytes, %lld kept",
				(long long)integer(s, "link"),
				(long long)integer(s, "bytes"),
				(long long)integer(s, "kept"));
		if (text(s, "trouble")[0] != '\0')
			fprintf(to, ": %s", text(s, "trouble"));
		if (strcmp(text(s, "not_trimmed"), not_trimmed) != 0) {
			not_trimmed = text(s, "not_trimmed");
			if (not_trimmed[0] != '\0')
				fprintf(to, "; the log is not trimmed: %s",
					not_trimmed);
		}
		fputc('\n', to);
	}
}

static void print_checkpoints(FILE *to, const json_t *checkpoints)
{
	if (!json_is_object(checkpoints))
		return;
	title(to, "checkpoints");
	if (json_is_number(get(checkpoints, "newest_age_s"))) {
		fputs("the newest ", to);
		put_duration(to, number(checkpoints, "newest_age_s"));
		fputs(" old", to);
	} else {
		fputs("none", to);
	}
	if (text(checkpoints, "trouble")[0] != '\0')
		fprintf(to, "; the last try failed: %s", text(checkpoints, "trouble"));
	fputc('\n', to);
}

static void print_log(FILE *to, const json_t *log)
{
	if (!json_is_number(get(log, "bytes_per_event")))
		return;
	title(to, "log");
	fprintf(to, "%.0f bytes an event", number(log, "bytes_per_event"));
	if (json_is_number(get(log, "hours_left")))
		fprintf(to, ", %.1f hours left on its disk at the pace so far",
			number(log, "hours_left"));
	else if (text(log, "why_unknown")[0] != '\0')
		fprintf(to, "; hours left on disk unknown: %s",
			text(log, "why_unknown"));
	fputc('\n', to);
}

static void print_poison_of(FILE *to, const json_t *rows, bool *is_first)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		title(to, *is_first ? "poison" : "");
		*is_first = false;
		if (json_is_string(get(row, "fingerprint")))
			fprintf(to, "a datagram of %lld bytes, fingerprint %s,",
				(long long)integer(row, "bytes"),
				text(row, "fingerprint"));
		else
			fprintf(to, "link %lld of shard %lld, hash %s,",
				(long long)integer(row, "link"),
				(long long)integer(row, "shard"), text(row, "hash"));
		fprintf(to, " killed the dataplane %s\n",
			is_true(row, "barred") ? "twice: not tried again"
					       : "once: tried once more");
	}
}

/* What killed the dataplane; mostly nothing has. */
static void print_poison(FILE *to, const json_t *poison)
{
	bool is_first = true;

	print_poison_of(to, get(poison, "links"), &is_first);
	print_poison_of(to, get(poison, "datagrams"), &is_first);
	if (json_is_integer(get(poison, "forgotten")) &&
	    integer(poison, "forgotten") > 0) {
		title(to, is_first ? "poison" : "");
		fprintf(to,
			"%lld more found no room in the list: they may kill it "
			"again\n",
			(long long)integer(poison, "forgotten"));
	}
}

static void print_rates(FILE *to, const json_t *rates)
{
	if (!json_is_object(rates))
		return;
	title(to, "rates");
	put_count(to, (json_int_t)(number(rates, "events_per_s") + 0.5));
	fputs(" events/s, ", to);
	put_count(to, (json_int_t)(number(rates, "datagrams_per_s") + 0.5));
	fputs(" datagrams/s\n", to);
}

static void print_latency(FILE *to, const char *heading, const char *name,
			  const json_t *latency)
{
	if (integer(latency, "count") == 0)
		return;
	title(to, heading);
	fprintf(to, "%-10s p50 ", name);
	put_ms(to, get(latency, "p50_s"));
	fputs(", p99 ", to);
	put_ms(to, get(latency, "p99_s"));
	fputc('\n', to);
}

static void print_latencies(FILE *to, const json_t *latency)
{
	const json_t *view;
	const char *name;

	print_latency(to, "latency", "accepted", get(latency, "accept"));
	print_latency(to, "", "to ACK", get(latency, "ack"));
	json_object_foreach((json_t *)get(latency, "views"), name, view)
		print_latency(to, "", name, view);
}

static void print_reasons(FILE *to, const char *heading, const json_t *counts,
			  const char *(*sentence)(const char *label))
{
	bool is_first = true;
	const char *label;
	const json_t *n;

	json_object_foreach((json_t *)counts, label, n)
	{
		if (json_integer_value(n) == 0)
			continue;
		title(to, is_first ? heading : "");
		is_first = false;
		put_count(to, json_integer_value(n));
		fprintf(to, " %s: %s\n", label, sentence(label));
	}
}

static void put_term(FILE *to, const json_t *law, const char *key, const char *name,
		     const char *before)
{
	fprintf(to, "%s%s ", before, name);
	put_count(to, integer(law, key));
}

static void put_balance(FILE *to, const json_t *law, const char *of)
{
	json_int_t off = integer(law, "off");

	fprintf(to, "  %s", text(law, "balance"));
	if (!is_true(law, "balanced")) {
		fputs(" by ", to);
		put_count(to, off);
		fputs(of, to);
	}
	fputc('\n', to);
}

static void print_ledger(FILE *to, const json_t *ledger)
{
	const json_t *d = get(ledger, "datagrams"), *e = get(ledger, "events");
	char where[32] = "";

	if (d == NULL || e == NULL)
		return;
	title(to, "datagrams");
	put_term(to, d, "received", "received", "");
	put_term(to, d, "split", "split", " + ");
	put_term(to, d, "logged", "logged", " = ");
	put_term(to, d, "answered", "answered", " + ");
	put_term(to, d, "repeated", "repeated", " + ");
	put_term(to, d, "refused", "refused", " + ");
	put_term(to, d, "dropped", "dropped", " + ");
	put_term(to, d, "in_flight", "in flight", " + ");
	put_balance(to, d, "");
	title(to, "events");
	put_term(to, e, "logged", "logged", "");
	put_term(to, e, "counted", "counted", " = ");
	put_term(to, e, "late", "late", " + ");
	put_term(to, e, "repeated", "repeated", " + ");
	put_term(to, e, "filtered", "filtered", " + ");
	put_term(to, e, "rejected", "rejected", " + ");
	put_term(to, e, "overflow", "overflow", " + ");
	if (json_is_integer(get(e, "shard")))
		(void)snprintf(where, sizeof(where), " in shard %" JSON_INTEGER_FORMAT,
			       integer(e, "shard"));
	put_balance(to, e, where);
}

void hr_report_print(FILE *to, const json_t *report)
{
	print_state(to, report);
	if (hr_report_state(report) == HR_REPORT_NOT_RUNNING)
		return;
	print_headraced(to, get(report, "headraced"));
	print_dataplane(to, report);
	if (text(report, "data_set")[0] != '\0') {
		title(to, "data set");
		fprintf(to, "%s, generation %" JSON_INTEGER_FORMAT "\n",
			text(report, "data_set"), integer(report, "generation"));
	}
	print_shards(to, get(report, "shards"));
	print_ports(to, get(report, "ports"));
	print_xdp(to, get(report, "xdp"));
	print_views(to, get(report, "views"));
	print_snapshots(to, get(report, "snapshots"));
	print_checkpoints(to, get(report, "checkpoints"));
	print_log(to, get(report, "log"));
	print_poison(to, get(report, "poison"));
	print_rates(to, get(report, "rates"));
	print_latencies(to, get(report, "latency"));
	print_reasons(to, "refused", get(report, "refused"),
		      hr_segment_refusal_sentence);
	print_reasons(to, "dropped", get(report, "dropped"),
		      hr_segment_refusal_sentence);
	print_reasons(to, "rejected", get(report, "rejected"),
		      hr_segment_reject_sentence);
	print_ledger(to, get(report, "ledger"));
}
