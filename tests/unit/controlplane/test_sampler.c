/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/metrics/sampler.h"
#include "dataplane/stats/names.h"
#include "tests/unit/hr_test.h"

static char folder[32], path[64];
static struct hr_sampler *sampler;
static struct hr_stats *stats;
static hr_cell *counted, *late, *overflow, *repeated, *rejected, *refused, *dropped,
	*shutdown_drops, *in_flight, *logged, *received, *accept_latency, *lag;
static uint64_t now_us;

static void new_dataplane(void)
{
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&stats, path, NULL), 0);
	counted = hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
				      "shard=\"0\",verdict=\"counted\"");
	late = hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
				   "shard=\"0\",verdict=\"late\"");
	overflow = hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
				       "shard=\"0\",verdict=\"overflow\"");
	repeated = hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
				       "shard=\"0\",verdict=\"repeated\"");
	rejected = hr_stats_add_metric(stats, HR_METRIC_EVENTS_REJECTED,
				       "shard=\"0\",reason=\"user\"");
	refused = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_REFUSED,
				      "worker=\"0\",reason=\"tag\"");
	dropped = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
				      "worker=\"0\",reason=\"epoch_full\"");
	shutdown_drops = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
					     "worker=\"0\",reason=\"shutdown\"");
	in_flight = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_IN_FLIGHT,
					"shard=\"0\"");
	logged = hr_stats_add_metric(stats, HR_METRIC_EVENTS_LOGGED, "shard=\"0\"");
	received = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_RECEIVED,
				       "worker=\"0\"");
	accept_latency = hr_stats_add_metric(stats, HR_METRIC_ACCEPT_LATENCY, "%s", "");
	lag = hr_stats_add_metric(stats, HR_METRIC_VIEW_LAG_LINKS,
				  "view=\"redis\",shard=\"0\"");
	CU_ASSERT_EQUAL_FATAL(hr_stats_publish(stats, NULL), 0);
}

static void setup(void)
{
	strcpy(folder, "/tmp/hr_sampler_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/stats", folder);
	CU_ASSERT_EQUAL_FATAL(hr_sampler_new(&sampler, path), 0);
	now_us = 1000000;
	new_dataplane();
}

static void teardown(void)
{
	hr_sampler_free(sampler);
	hr_stats_free(stats);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void a_second_passes(void)
{
	now_us += HR_SAMPLER_INTERVAL_US;
	(void)hr_sampler_turn(sampler, now_us);
}

static struct hr_totals totals(void)
{
	struct hr_totals t;

	hr_sampler_totals(sampler, &t);
	return t;
}

static struct hr_left ends(void)
{
	struct hr_left left;

	hr_sampler_end(sampler, &left);
	hr_stats_free(stats);
	stats = NULL;
	return left;
}

static void processed_is_what_every_lifetime_key_shows(void)
{
	a_second_passes();
	hr_stat_set(counted, 100);
	hr_stat_set(late, 20);
	hr_stat_set(overflow, 3);
	hr_stat_set(repeated, 7);
	CU_ASSERT_EQUAL(totals().processed, 123);
	CU_ASSERT_EQUAL(totals().failed, 0);
}

static void failed_is_rejected_refused_and_dropped(void)
{
	a_second_passes();
	hr_stat_set(rejected, 5);
	hr_stat_set(refused, 11);
	hr_stat_set(dropped, 13);
	CU_ASSERT_EQUAL(totals().failed, 29);
}

static void a_restart_takes_nothing_back_and_counts_nothing_twice(void)
{
	a_second_passes();
	hr_stat_set(counted, 100);
	hr_stat_set(rejected, 5);
	hr_stat_set(refused, 11);
	(void)ends();
	CU_ASSERT_EQUAL(totals().processed, 100);
	CU_ASSERT_EQUAL(totals().failed, 16);

	new_dataplane();
	a_second_passes();
	hr_stat_set(counted, 40); /* half of the log folded again */
	hr_stat_set(rejected, 2);
	hr_stat_set(refused, 1);
	CU_ASSERT_EQUAL(totals().processed, 100);
	CU_ASSERT_EQUAL(totals().failed, 17);
	hr_stat_set(counted, 110);
	hr_stat_set(rejected, 6);
	CU_ASSERT_EQUAL(totals().processed, 110);
	CU_ASSERT_EQUAL(totals().failed, 18);
}

static void rates_are_what_moved_in_the_last_second(void)
{
	struct hr_rates rates;

	a_second_passes();
	hr_sampler_rates(sampler, &rates);
	CU_ASSERT_FALSE(rates.is_measured);
	hr_stat_add(logged, 5000);
	hr_stat_add(received, 250);
	hr_stat_observe_many_us(accept_latency, 700, 98);
	hr_stat_observe_many_us(accept_latency, 9000, 2);
	a_second_passes();
	hr_sampler_rates(sampler, &rates);
	CU_ASSERT_TRUE(rates.is_measured);
	CU_ASSERT_DOUBLE_EQUAL(rates.over_s, 1.0, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(rates.events_per_s, 5000, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(rates.datagrams_per_s, 250, 1e-6);
	CU_ASSERT_TRUE(rates.accept_p99_s > 0.007 && rates.accept_p99_s < 0.011);
	a_second_passes();
	hr_sampler_rates(sampler, &rates);
	CU_ASSERT_DOUBLE_EQUAL(rates.events_per_s, 0, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(rates.accept_p99_s, 0, 1e-9);
}

static void what_was_left_is_read_after_the_end(void)
{
	struct hr_left left;

	a_second_passes();
	hr_stat_set(in_flight, 2);
	hr_stat_set(shutdown_drops, 3);
	hr_stat_set(lag, 4);
	left = ends();
	CU_ASSERT_TRUE(left.is_known);
	CU_ASSERT_EQUAL(left.in_flight, 2);
	CU_ASSERT_EQUAL(left.dropped, 3);
	CU_ASSERT_EQUAL(left.lag_links, 4);
	CU_ASSERT_FALSE(hr_left_is_nothing(&left));
}

static void a_view_that_lags_has_lost_nothing(void)
{
	struct hr_left left;

	a_second_passes();
	hr_stat_set(lag, 4);
	left = ends();
	CU_ASSERT_TRUE(hr_left_is_nothing(&left));
}

static void without_statistics_nothing_is_known_to_be_well(void)
{
	struct hr_left left;

	hr_stats_free(stats);
	stats = NULL;
	a_second_passes();
	CU_ASSERT_PTR_NULL(hr_sampler_reader(sampler));
	hr_sampler_end(sampler, &left);
	CU_ASSERT_FALSE(hr_left_is_nothing(&left));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "processed is what every lifetime key shows",
		  processed_is_what_every_lifetime_key_shows },
		{ "failed is rejected, refused and dropped",
		  failed_is_rejected_refused_and_dropped },
		{ "a restart takes nothing back and counts nothing twice",
		  a_restart_takes_nothing_back_and_counts_nothing_twice },
		{ "rates are what moved in the last second",
		  rates_are_what_moved_in_the_last_second },
		{ "what was left is read after the end",
		  what_was_left_is_read_after_the_end },
		{ "a view that lags has lost nothing",
		  a_view_that_lags_has_lost_nothing },
		{ "without statistics nothing is known to be well",
		  without_statistics_nothing_is_known_to_be_well },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sampler", setup, teardown, tests);
}
