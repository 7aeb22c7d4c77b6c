/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A dataplane without packets: the real command link and the real statistics
 * segment, with rows that move as if beacons came in, and switches to misbehave.
 *
 *   fake_dataplane --config FILE
 *
 * Switches are words in the file that HR_FAKE_SWITCHES names, read at the start
 * and ten times a second:
 *
 *   refuse       exit with 1 at the start
 *   die          exit with 7 now
 *   deaf         ignore SIGTERM and the command "stop"
 *   mute         do not serve the command socket (it hangs)
 *   unready      answer "ready": false
 *   leave        at the end, leave something: exit with 3
 *   crooked      break both ledger laws by one
 *   idle         count nothing more
 */

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/control.h"
#include "common/log.h"
#include "dataplane/drops.h"
#include "dataplane/stats/names.h"

#define ROUND_MS 20
#define SHARDS_MAX 128
#define EVENTS 20

struct cells {
	hr_cell *received, *refused, *in_flight_0, *accept, *view, *shutdown;
	hr_cell *logged[SHARDS_MAX], *events[SHARDS_MAX], *counted[SHARDS_MAX];
	hr_cell *rejected[SHARDS_MAX], *reason[SHARDS_MAX], *link[SHARDS_MAX];
};

static struct hr_config config;
static struct cells cells;
static volatile sig_atomic_t told;
static bool stops, crooked;
static char switches[256];

static void read_switches(void)
{
	const char *path = getenv("HR_FAKE_SWITCHES");
	FILE *f = path == NULL ? NULL : fopen(path, "r");
	size_t n = f == NULL ? 0 : fread(switches, 1, sizeof(switches) - 1, f);

	switches[n] = '\0';
	if (f != NULL)
		fclose(f);
}

static bool is_on(const char *word)
{
	return strstr(switches, word) != NULL;
}

static void add_rows(struct hr_stats *stats)
{
	cells.received = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_RECEIVED,
					     "worker=\"0\"");
	cells.refused = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_REFUSED,
					    "worker=\"0\",reason=\"%s\"",
					    hr_drop_rows[HR_DROP_TAG].label);
	cells.shutdown = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
					     "worker=\"0\",reason=\"%s\"",
					     hr_drop_rows[HR_DROP_SHUTDOWN].label);
	cells.accept = hr_stats_add_metric(stats, HR_METRIC_ACCEPT_LATENCY, "%s", "");
	cells.view =
		hr_stats_add_metric(stats, HR_METRIC_VIEW_LATENCY, "view=\"redis\"");
	hr_stat_set(hr_stats_add_metric(stats, HR_METRIC_VIEW_UP, "view=\"redis\""), 1);
	(void)hr_stats_add_metric(stats, HR_METRIC_KAFKA_LAG,
				  "topic=\"user_events\",partition=\"7\"");
	for (uint32_t s = 0; s < config.n_shards; s++) {
		hr_cell *in_flight = hr_stats_add_metric(
			stats, HR_METRIC_DATAGRAMS_IN_FLIGHT, "shard=\"%u\"", s);

		if (s == 0)
			cells.in_flight_0 = in_flight;
		cells.logged[s] = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_LOGGED,
						      "shard=\"%u\"", s);
		cells.events[s] = hr_stats_add_metric(stats, HR_METRIC_EVENTS_LOGGED,
						      "shard=\"%u\"", s);
		cells.counted[s] =
			hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
					    "shard=\"%u\",verdict=\"counted\"", s);
		cells.rejected[s] =
			hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
					    "shard=\"%u\",verdict=\"rejected\"", s);
		cells.reason[s] =
			hr_stats_add_metric(stats, HR_METRIC_EVENTS_REJECTED,
					    "shard=\"%u\",reason=\"syntax\"", s);
		cells.link[s] = hr_stats_add_metric(stats, HR_METRIC_LOG_LINK,
						    "shard=\"%u\"", s);
	}
}

/* A datagram of EVENTS events for every shard, one of them rejected, and one
 * datagram refused. */
static void receive(void)
{
	for (uint32_t s = 0; s < config.n_shards; s++) {
		hr_stat_add(cells.received, 1);
		hr_stat_add(cells.logged[s], 1);
		hr_stat_add(cells.link[s], 1);
		hr_stat_add(cells.events[s], EVENTS);
		hr_stat_add(cells.counted[s], EVENTS - 1);
		hr_stat_add(cells.rejected[s], 1);
		hr_stat_add(cells.reason[s], 1);
		hr_stat_observe_us(cells.accept, 900);
		hr_stat_observe_us(cells.view, 2500);
	}
	hr_stat_add(cells.received, 1);
	hr_stat_add(cells.refused, 1);
}

static json_t *shards(void)
{
	json_t *list = json_array();

	for (uint32_t s = 0; s < config.n_shards; s++)
		json_array_append_new(list,
				      json_pack("{s:i,s:s,s:I,s:s}", "shard", (int)s,
						"state", "ready", "link",
						(json_int_t)hr_stat_get(cells.link[s]),
						"reason", ""));
	return list;
}

static json_t *handle(void *ctx, const char *command, const json_t *request)
{
	bool ready = !is_on("unready");

	(void)ctx;
	(void)request;
	if (strcmp(command, "stop") == 0) {
		stops = !is_on("deaf");
		return json_pack("{s:b,s:s}", "ok", 1, "state", "stopping");
	}
	if (strcmp(command, "status") != 0)
		return NULL;
	return json_pack(
		"{s:s,s:s,s:i,s:s,s:b,s:o,s:s,s:s,s:i,s:i,s:o,s:[{s:s,s:s,s:s}],s:[{s:"
		"s,"
		"s:b,s:b,s:I,s:i}]}",
		"program", "headrace-dataplane", "version", "0.1.0", "pid",
		(int)getpid(), "state", stops ? "stopping" : "running", "ready", ready,
		"reasons", ready ? json_array() : json_pack("[s]", "told to say so"),
		"name", config.name, "data_set", "00112233445566778899aabbccddeeff",
		"generation", 1, "n_shards", (int)config.n_shards, "shards", shards(),
		"views", "name", "redis", "state", "live", "reason", "", "ports",
		"device", "pcap:fake", "up", 1, "done", 0, "packets",
		(json_int_t)hr_stat_get(cells.received), "missed", 0);
}

static void on_signal(int number)
{
	(void)number;
	told = 1;
}

static void serve(struct hr_control *control)
{
	struct pollfd p = { .fd = hr_control_fd(control), .events = POLLIN };
	uint64_t switches_us = 0;

	while (!stops) {
		(void)poll(&p, is_on("mute") ? 0 : 1, ROUND_MS);
		if (!is_on("mute"))
			hr_control_serve(control);
		if (hr_mono_us() > switches_us + 100000) {
			read_switches();
			switches_us = hr_mono_us();
		}
		if (is_on("die"))
			_exit(7);
		stops |= told != 0 && !is_on("deaf");
		if (!is_on("idle"))
			receive();
		if (is_on("crooked") && !crooked) {
			crooked = true;
			hr_stat_add(cells.received, 1);
			hr_stat_add(cells.events[0], 1);
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct hr_control *control;
	struct hr_stats *stats;
	struct hr_err err = { "" };
	char path[512];
	bool leaves;

	read_switches();
	if (argc != 3 || strcmp(argv[1], "--config") != 0 || is_on("refuse") ||
	    hr_config_read(&config, argv[2], &err) < 0) {
		fprintf(stderr, "fake dataplane: %s\n", err.text);
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	(void)snprintf(path, sizeof(path), "%s/%s", config.run_dir, HR_CONTROL_STATS);
	if (hr_stats_create(&stats, path, &err) < 0) {
		fprintf(stderr, "fake dataplane: %s\n", err.text);
		return 1;
	}
	add_rows(stats);
	(void)snprintf(path, sizeof(path), "%s/%s", config.run_dir,
		       HR_CONTROL_DATAPLANE);
	if (hr_stats_publish(stats, &err) < 0 ||
	    hr_control_listen(&control, path, handle, NULL, &err) < 0) {
		fprintf(stderr, "fake dataplane: %s\n", err.text);
		return 1;
	}
	hr_info("fake", "process %d runs", getpid());
	serve(control);
	read_switches();
	leaves = is_on("leave");
	if (leaves) {
		hr_stat_add(cells.received, 2);
		hr_stat_add(cells.shutdown, 1);
		hr_stat_add(cells.in_flight_0, 1);
	}
	hr_control_close(control);
	hr_stats_free(stats);
	return leaves ? 3 : 0;
}
