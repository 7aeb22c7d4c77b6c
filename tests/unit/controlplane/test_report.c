/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "controlplane/ctl/report.h"
#include "dataplane/stats/names.h"
#include "tests/unit/hr_test.h"

static char folder[32], path[64];
static struct hr_stats *stats;
static struct hr_stats_reader *reader;
static json_t *headraced, *dataplane, *report;

static const char headraced_said[] =
	"{\"name\":\"edge-1\",\"pid\":41,\"version\":\"0.1.0\",\"uptime_s\":7300,"
	"\"config\":\"/etc/headrace/headrace.yaml\","
	"\"metrics_listen\":\"127.0.0.1:9464\",\"ready\":false,"
	"\"reasons\":[\"shard 1 has no owner yet\"],\"stop_within_ms\":15000,"
	"\"supervised\":{\"state\":\"running\",\"pid\":42,\"uptime_s\":125.0,"
	"\"restarts\":2,\"last_end\":\"was killed by signal 9 (Killed) after 3.0 s\"},"
	"\"xdp\":[{\"device\":\"af_xdp:eth0\",\"interface\":\"eth0\","
	"\"attached\":true,\"reason\":\"\",\"frames\":{\"redirected\":1200,"
	"\"not_ip\":0,\"port\":3}}]}";

static const char dataplane_said[] =
	"{\"pid\":42,\"version\":\"0.1.0\",\"state\":\"running\",\"ready\":false,"
	"\"reasons\":[\"shard 1 has no owner yet\"],\"name\":\"edge-1\","
	"\"data_set\":\"000102030405060708090a0b0c0d0e0f\",\"generation\":1,"
	"\"n_shards\":2,\"shards\":["
	"{\"shard\":0,\"state\":\"ready\",\"link\":17,\"reason\":\"\"},"
	"{\"shard\":1,\"state\":\"recovering\",\"link\":16,\"reason\":\"the broker is "
	"down\"}],"
	"\"views\":[{\"name\":\"redis\",\"state\":\"live\",\"reason\":\"\"},"
	"{\"name\":\"topics\",\"state\":\"connecting\",\"reason\":\"no broker\"}],"
	"\"ports\":[{\"device\":\"af_xdp:eth0\",\"up\":true,\"done\":false,"
	"\"packets\":1200,\"missed\":3}]}";

static hr_cell *add(enum hr_metric m, const char *labels, uint64_t v)
{
	hr_cell *cell = hr_stats_add_metric(stats, m, "%s", labels);

	hr_stat_set(cell, v);
	return cell;
}

static void fill(void)
{
	hr_cell *cell;

	add(HR_METRIC_DATAGRAMS_RECEIVED, "worker=\"0\"", 1203);
	add(HR_METRIC_DATAGRAMS_LOGGED, "shard=\"0\"", 700);
	add(HR_METRIC_DATAGRAMS_LOGGED, "shard=\"1\"", 480);
	add(HR_METRIC_DATAGRAMS_IN_FLIGHT, "shard=\"0\"", 0);
	add(HR_METRIC_DATAGRAMS_IN_FLIGHT, "shard=\"1\"", 10);
	add(HR_METRIC_DATAGRAMS_REFUSED, "worker=\"0\",reason=\"tag\"", 10);
	add(HR_METRIC_DATAGRAMS_REFUSED, "worker=\"0\",reason=\"net_port\"", 0);
	add(HR_METRIC_DATAGRAMS_DROPPED, "worker=\"0\",reason=\"port_missed\"", 3);
	add(HR_METRIC_EVENTS_LOGGED, "shard=\"0\"", 14000);
	add(HR_METRIC_EVENTS_LOGGED, "shard=\"1\"", 9600);
	add(HR_METRIC_EVENTS_VERDICT, "shard=\"0\",verdict=\"counted\"", 13999);
	add(HR_METRIC_EVENTS_VERDICT, "shard=\"0\",verdict=\"rejected\"", 1);
	add(HR_METRIC_EVENTS_REJECTED, "shard=\"0\",reason=\"nested\"", 1);
	add(HR_METRIC_EVENTS_VERDICT, "shard=\"1\",verdict=\"counted\"", 9599);
	add(HR_METRIC_VIEW_UP, "view=\"redis\"", 1);
	add(HR_METRIC_VIEW_UP, "view=\"topics\"", 0);
	add(HR_METRIC_VIEW_LAG_LINKS, "view=\"topics\",shard=\"1\"", 12);
	cell = add(HR_METRIC_ACCEPT_LATENCY, "", 0);
	hr_stat_observe_many_us(cell, 900, 1000);
	cell = add(HR_METRIC_ACK_LATENCY, "worker=\"0\"", 0);
	hr_stat_observe_many_us(cell, 900, 1000);
	cell = add(HR_METRIC_VIEW_LATENCY, "view=\"redis\"", 0);
	hr_stat_observe_many_us(cell, 90000, 1000);
}

static void setup(void)
{
	strcpy(folder, "/tmp/hr_report_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/stats", folder);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&stats, path, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&reader, stats), 0);
	fill();
	headraced = json_loads(headraced_said, 0, NULL);
	dataplane = json_loads(dataplane_said, 0, NULL);
	CU_ASSERT_FATAL(headraced != NULL && dataplane != NULL);
}

static void teardown(void)
{
	json_decref(report);
	report = NULL;
	json_decref(headraced);
	json_decref(dataplane);
	hr_stats_close(reader);
	hr_stats_free(stats);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void build(const json_t *of_headraced, const json_t *of_dataplane,
		  const struct hr_stats_reader *of_stats)
{
	const struct hr_report_sources from = {
		.run_dir = "/run/headrace",
		.headraced = of_headraced,
		.dataplane = of_dataplane,
		.stats = of_stats,
		.rates = json_pack("{s:f,s:f}", "events_per_s", 12345.4,
				   "datagrams_per_s", 617.0),
		.now_wall_us = hr_wall_us() + 30000000,
	};

	report = hr_report_build(&from);
	CU_ASSERT_PTR_NOT_NULL_FATAL(report);
}

static void prints(const char *wanted)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	CU_ASSERT_PTR_NOT_NULL_FATAL(to);
	hr_report_print(to, report);
	fclose(to);
	if (strcmp(text, wanted) != 0)
		fprintf(stderr, "found:\n%s\nexpected:\n%s\n", text, wanted);
	CU_ASSERT_STRING_EQUAL(text, wanted);
	free(text);
}

static json_int_t at(const char *part, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(report, part), key));
}

static void everything_is_told(void)
{
	build(headraced, dataplane, reader);
	CU_ASSERT_EQUAL(hr_report_state(report), HR_REPORT_NOT_READY);
	prints("edge-1: not ready\n"
	       "  - shard 1 has no owner yet\n"
	       "headraced  process 41, up 2.0 h, metrics at "
	       "http://127.0.0.1:9464/metrics\n"
	       "dataplane  running, process 42, up 2 min, restarts: 2\n"
	       "           the one before was killed by signal 9 (Killed) after 3.0 s\n"
	       "data set   000102030405060708090a0b0c0d0e0f, generation 1\n"
	       "shards     1 of 2 ready, links 17 16\n"
	       "           1 recovering: the broker is down\n"
	       "ports      af_xdp:eth0 up, 1,200 packets, 3 missed\n"
	       "xdp        eth0 attached, redirected 1,200, port 3\n"
	       "views      redis live, 0 links behind\n"
	       "           topics connecting, 12 links behind: no broker\n"
	       "rates      12,345 events/s, 617 datagrams/s\n"
	       "latency    accepted   p50 0.77 ms, p99 0.90 ms\n"
	       "           to ACK     p50 0.77 ms, p99 0.90 ms\n"
	       "           redis      p50 98.9 ms, p99 116 ms\n"
	       "refused    10 tag: tag does not fit: wrong key, or bytes changed on "
	       "the "
	       "way\n"
	       "dropped    3 port_missed: the device's receive ring was full\n"
	       "rejected   1 nested: metadata holds an object or a list: it must be "
	       "flat\n"
	       "datagrams  received 1,203 + split 0 = logged 1,180 + answered 0 + "
	       "repeated 0 + refused 10 + dropped 3 + in flight 10  BALANCED\n"
	       "events     logged 23,600 = counted 23,598 + late 0 + repeated 0 + "
	       "filtered 0 + rejected 1 + overflow 0  OUT OF BALANCE by 1 in shard "
	       "1\n");
}

static void the_object_holds_every_reason_and_both_laws(void)
{
	const json_t *ledger, *law;

	build(headraced, dataplane, reader);
	CU_ASSERT_EQUAL(at("refused", "tag"), 10);
	CU_ASSERT_TRUE(json_is_integer(
		json_object_get(json_object_get(report, "refused"), "unkeyed")));
	CU_ASSERT_EQUAL(at("dropped", "port_missed"), 3);
	CU_ASSERT_PTR_NULL(
		json_object_get(json_object_get(report, "refused"), "port_missed"));
	CU_ASSERT_EQUAL(at("rejected", "nested"), 1);
	CU_ASSERT_EQUAL(at("sums", "headrace_events_logged_total"), 23600);
	ledger = json_object_get(report, "ledger");
	law = json_object_get(ledger, "datagrams");
	CU_ASSERT_TRUE(json_is_true(json_object_get(law, "balanced")));
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(law, "in_flight")), 10);
	law = json_object_get(ledger, "events");
	CU_ASSERT_FALSE(json_is_true(json_object_get(law, "balanced")));
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(law, "off")), 1);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(law, "shard")), 1);
}

static void nothing_running_is_told_in_two_lines(void)
{
	build(NULL, NULL, NULL);
	CU_ASSERT_EQUAL(hr_report_state(report), HR_REPORT_NOT_RUNNING);
	prints("headrace: not running\n"
	       "  - nothing is running in /run/headrace\n");
}

static void without_headraced_the_dataplane_speaks(void)
{
	json_object_set_new(dataplane, "ready", json_true());
	json_object_set_new(dataplane, "reasons", json_array());
	build(NULL, dataplane, NULL);
	CU_ASSERT_EQUAL(hr_report_state(report), HR_REPORT_READY);
	prints("edge-1: ready\n"
	       "headraced  not running: no metrics, and nothing restarts the "
	       "dataplane\n"
	       "dataplane  running, process 42\n"
	       "data set   000102030405060708090a0b0c0d0e0f, generation 1\n"
	       "shards     1 of 2 ready, links 17 16\n"
	       "           1 recovering: the broker is down\n"
	       "ports      af_xdp:eth0 up, 1,200 packets, 3 missed\n"
	       "views      redis live\n"
	       "           topics connecting: no broker\n"
	       "rates      12,345 events/s, 617 datagrams/s\n");
}

static void a_segment_alone_still_tells_its_numbers(void)
{
	build(NULL, NULL, reader);
	CU_ASSERT_EQUAL(hr_report_state(report), HR_REPORT_NOT_READY);
	CU_ASSERT_EQUAL(at("dataplane", "pid"), getpid());
	CU_ASSERT_EQUAL(at("sums", "headrace_datagrams_received_total"), 1203);
}

static void a_dataplane_that_waits_says_why(void)
{
	json_t *supervised = json_object_get(headraced, "supervised");

	json_object_set_new(supervised, "state", json_string("waiting"));
	json_object_set_new(supervised, "pid", json_null());
	json_object_set_new(supervised, "uptime_s", json_null());
	json_object_set_new(headraced, "reasons",
			    json_pack("[s]", "the dataplane exited with 1"));
	json_object_set_new(headraced, "xdp", json_array());
	build(headraced, NULL, NULL);
	CU_ASSERT_EQUAL(hr_report_state(report), HR_REPORT_NOT_READY);
	json_object_set_new(report, "rates", json_null());
	prints("edge-1: not ready\n"
	       "  - the dataplane exited with 1\n"
	       "headraced  process 41, up 2.0 h, metrics at "
	       "http://127.0.0.1:9464/metrics\n"
	       "dataplane  waiting, restarts: 2\n");
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "everything is told", everything_is_told },
		{ "the object holds every reason and both laws",
		  the_object_holds_every_reason_and_both_laws },
		{ "nothing running is told in two lines",
		  nothing_running_is_told_in_two_lines },
		{ "without headraced the dataplane speaks",
		  without_headraced_the_dataplane_speaks },
		{ "a segment alone still tells its numbers",
		  a_segment_alone_still_tells_its_numbers },
		{ "a dataplane that waits says why", a_dataplane_that_waits_says_why },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("report", setup, teardown, tests);
}
