/* SPDX-License-Identifier: BSD-3-Clause */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/stats/ledger.h"
#include "dataplane/stats/names.h"
#include "tests/unit/hr_test.h"

static char folder[64];
static struct hr_stats *stats;
static struct hr_stats_reader *reader;

static void setup(void)
{
	char path[96];

	strcpy(folder, "/tmp/hr_ledger_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/stats", folder);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&stats, path, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&reader, stats), 0);
}

static void teardown(void)
{
	hr_stats_close(reader);
	hr_stats_free(stats);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static hr_cell *add(enum hr_metric metric, const char *labels)
{
	return hr_stats_add_metric(stats, metric, "%s", labels);
}

static struct hr_ledger judge(void)
{
	struct hr_ledger l;

	hr_ledger_read(reader, 0, &l);
	return l;
}

static void nothing_at_all_is_balanced(void)
{
	struct hr_ledger l = judge();

	CU_ASSERT_EQUAL(l.datagrams, HR_BALANCED);
	CU_ASSERT_EQUAL(l.events, HR_BALANCED);
	CU_ASSERT_EQUAL(l.events_shard, -1);
}

/* Each term on its side: one more of it is out of balance by one, with its sign. */
static void every_term_of_law_one_counts_on_its_side(void)
{
	const struct {
		enum hr_metric metric;
		const char *labels;
		int sign;
		enum hr_ledger_datagrams term;
	} rows[] = {
		{ HR_METRIC_DATAGRAMS_RECEIVED, "worker=\"0\"", 1, HR_LEDGER_RECEIVED },
		{ HR_METRIC_DATAGRAMS_RECEIVED, "worker=\"1\"", 1, HR_LEDGER_RECEIVED },
		{ HR_METRIC_DATAGRAMS_SPLIT, "worker=\"0\"", 1, HR_LEDGER_SPLIT },
		{ HR_METRIC_DATAGRAMS_LOGGED, "shard=\"4\"", -1, HR_LEDGER_LOGGED },
		{ HR_METRIC_DATAGRAMS_ANSWERED, "worker=\"0\",kind=\"hello\"", -1,
		  HR_LEDGER_ANSWERED },
		{ HR_METRIC_DATAGRAMS_REPEATED, "worker=\"1\"", -1,
		  HR_LEDGER_REPEATED },
		{ HR_METRIC_DATAGRAMS_REFUSED, "worker=\"0\",reason=\"tag\"", -1,
		  HR_LEDGER_REFUSED },
		{ HR_METRIC_DATAGRAMS_DROPPED, "worker=\"1\",reason=\"ring_full\"", -1,
		  HR_LEDGER_DROPPED },
		{ HR_METRIC_DATAGRAMS_IN_FLIGHT, "shard=\"0\"", -1,
		  HR_LEDGER_IN_FLIGHT },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		hr_cell *cell = add(rows[i].metric, rows[i].labels);
		struct hr_ledger l;

		hr_stat_set(cell, 1);
		l = judge();
		CU_ASSERT_EQUAL(l.datagrams, HR_OUT_OF_BALANCE);
		CU_ASSERT_EQUAL(l.datagrams_off, rows[i].sign);
		CU_ASSERT_EQUAL(l.datagram[rows[i].term], 1);
		hr_stat_set(cell, 0);
	}
	hr_stat_set(add(HR_METRIC_DATAGRAMS_RECEIVED, "worker=\"0\""), 10);
	hr_stat_set(add(HR_METRIC_DATAGRAMS_LOGGED, "shard=\"4\""), 7);
	hr_stat_set(add(HR_METRIC_DATAGRAMS_IN_FLIGHT, "shard=\"0\""), 3);
	CU_ASSERT_EQUAL(judge().datagrams, HR_BALANCED);
}

static void law_two_holds_in_every_shard_by_itself(void)
{
	static const char *const verdicts[] = { "counted",  "late",     "repeated",
						"filtered", "rejected", "overflow" };
	char labels[64];
	struct hr_ledger l;

	for (int shard = 0; shard < 2; shard++) {
		(void)snprintf(labels, sizeof(labels), "shard=\"%d\"", shard);
		hr_stat_set(add(HR_METRIC_EVENTS_LOGGED, labels), 6);
		for (size_t v = 0; v < HR_COUNT(verdicts); v++) {
			(void)snprintf(labels, sizeof(labels),
				       "shard=\"%d\",verdict=\"%s\"", shard,
				       verdicts[v]);
			hr_stat_set(add(HR_METRIC_EVENTS_VERDICT, labels), 1);
		}
		(void)snprintf(labels, sizeof(labels), "shard=\"%d\",reason=\"utf8\"",
			       shard);
		hr_stat_set(add(HR_METRIC_EVENTS_REJECTED, labels), 1);
	}
	l = judge();
	CU_ASSERT_EQUAL(l.events, HR_BALANCED);
	CU_ASSERT_EQUAL(l.event[HR_LEDGER_EVENTS_LOGGED], 12);
	CU_ASSERT_EQUAL(l.event[HR_LEDGER_REJECTED_BY_REASON], 2);

	/* One too many here and one too few there: the sum hides it, the law does not. */
	hr_stat_set(add(HR_METRIC_EVENTS_LOGGED, "shard=\"0\""), 7);
	hr_stat_set(add(HR_METRIC_EVENTS_LOGGED, "shard=\"1\""), 5);
	l = judge();
	CU_ASSERT_EQUAL(l.events, HR_OUT_OF_BALANCE);
	CU_ASSERT_EQUAL(l.events_shard, 0);
	CU_ASSERT_EQUAL(l.events_off, 1);
	hr_stat_set(add(HR_METRIC_EVENTS_LOGGED, "shard=\"0\""), 6);
	hr_stat_set(add(HR_METRIC_EVENTS_LOGGED, "shard=\"1\""), 6);

	/* Rejected events must each have a reason. */
	hr_stat_set(add(HR_METRIC_EVENTS_REJECTED, "shard=\"1\",reason=\"utf8\""), 3);
	l = judge();
	CU_ASSERT_EQUAL(l.events, HR_OUT_OF_BALANCE);
	CU_ASSERT_EQUAL(l.events_shard, 1);
	CU_ASSERT_EQUAL(l.events_off, -2);
}

struct traffic {
	atomic_bool stop;
	bool loses; /* every thousandth leaves without a trace */
	hr_cell *received, *logged, *in_flight;
};

/* What workers and committer do, in bursts of 32. */
static void *move(void *arg)
{
	struct traffic *t = arg;

	for (uint64_t i = 1; !atomic_load_explicit(&t->stop, memory_order_relaxed);
	     i++) {
		hr_stat_add(t->received, 32);
		hr_stat_add(t->in_flight, 32);
		if (i % 8 == 0) {
			hr_stat_set(t->in_flight, 0);
			hr_stat_add(t->logged, 8 * 32);
		}
		if (t->loses && i % 1000 == 0)
			hr_stat_add(t->received, 1000000);
	}
	/* At rest nothing is on its way any more. */
	hr_stat_add(t->logged, hr_stat_get(t->in_flight));
	hr_stat_set(t->in_flight, 0);
	return NULL;
}

static struct hr_ledger judge_traffic(bool loses, struct hr_ledger *at_rest)
{
	struct traffic t = {
		.loses = loses,
		.received = add(HR_METRIC_DATAGRAMS_RECEIVED, "worker=\"0\""),
		.logged = add(HR_METRIC_DATAGRAMS_LOGGED, "shard=\"0\""),
		.in_flight = add(HR_METRIC_DATAGRAMS_IN_FLIGHT, "shard=\"0\""),
	};
	struct hr_ledger l = { .datagrams = HR_BALANCED };
	pthread_t mover;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&mover, NULL, move, &t), 0);
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		hr_ledger_read(reader, 200, &l);
		if (!loses)
			CU_ASSERT_NOT_EQUAL(l.datagrams, HR_OUT_OF_BALANCE);
	}
	atomic_store(&t.stop, true);
	pthread_join(mover, NULL);
	hr_ledger_read(reader, 50, at_rest);
	return l;
}

static void traffic_is_balanced_in_motion_and_exactly_at_rest(void)
{
	struct hr_ledger rest;

	(void)judge_traffic(false, &rest);
	CU_ASSERT_EQUAL(rest.datagrams, HR_BALANCED);
	CU_ASSERT_EQUAL(rest.datagrams_off, 0);
	CU_ASSERT_TRUE(rest.datagram[HR_LEDGER_LOGGED] > 0);
}

static void a_loss_is_seen_in_motion_and_at_rest(void)
{
	struct hr_ledger rest, moving = judge_traffic(true, &rest);

	CU_ASSERT_EQUAL(moving.datagrams, HR_OUT_OF_BALANCE);
	CU_ASSERT_EQUAL(rest.datagrams, HR_OUT_OF_BALANCE);
	CU_ASSERT_EQUAL(rest.datagrams_off % 1000000, 0);
	CU_ASSERT_TRUE(rest.datagrams_off > 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "nothing at all is balanced", nothing_at_all_is_balanced },
		{ "every term of law one counts on its side",
		  every_term_of_law_one_counts_on_its_side },
		{ "law two holds in every shard by itself",
		  law_two_holds_in_every_shard_by_itself },
		{ "traffic is balanced in motion and exactly at rest",
		  traffic_is_balanced_in_motion_and_exactly_at_rest },
		{ "a loss is seen in motion and at rest",
		  a_loss_is_seen_in_motion_and_at_rest },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("ledger", setup, teardown, tests);
}
