/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The Kafka topics view on a real broker. tests/integration/test_view_topics starts
 * one and says where:
 *
 *   HR_TEST_BROKERS                            its address
 *   HR_TEST_KAFKA_START, HR_TEST_KAFKA_KILL    commands
 *   HR_TEST_KAFKA_DATA                         the folder of its logs
 *
 * Each test has topics of its own, by prefix. With --publish PREFIX SHARDS this
 * program is a view that runs until it is killed.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/stats/names.h"
#include "dataplane/view/view.h"
#include "tests/integration/view_topics/bench.h"
#include "tests/integration/view_topics/outcome.h"
#include "tests/unit/hr_test.h"

#define KEEP_BYTES (64u << 20)

static void command(const char *name)
{
	const char *line = getenv(name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL_FATAL(system(line), 0);
}

static void shows(const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		fprintf(stderr, "found \"%s\", expected \"%s\" in it\n", text, part);
		CU_FAIL("a text does not say what it should");
	}
}

/* ---- a view and what stands before it ------------------------------------------------ */

struct rig {
	struct source *source;
	struct follower follower;
	struct hr_view *view;
};

static struct hr_view *view_start(const struct source *x, struct hr_feed *feed,
				  struct hr_stats *stats)
{
	const struct hr_view_conf conf = {
		.config = &x->config, .set = &x->set, .feed = feed, .stats = stats
	};
	struct hr_err err = { "" };
	struct hr_view *view;

	if (hr_view_topics.start(&view, &conf, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		CU_FAIL_FATAL("no view");
	}
	return view;
}

static void rig_start(struct rig *rig, uint32_t n_shards)
{
	rig->source = source_open(n_shards);
	follower_start(&rig->follower, &rig->source->config, &rig->source->set,
		       KEEP_BYTES);
	rig->view = view_start(rig->source, rig->follower.feed, NULL);
}

static void rig_end(struct rig *rig)
{
	follower_stop(&rig->follower);
	source_close(rig->source);
}

static bool wait_applied(const struct hr_view *view, const struct source *x,
			 uint32_t wait_ms)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	for (uint16_t s = 0; s < x->set.n_shards; s++)
		while (hr_view_topics.applied(view, s) < x->shards[s].n) {
			if (hr_mono_us() > until_us) {
				char reason[512];

				hr_view_topics.reason(view, reason, sizeof(reason));
				fprintf(stderr,
					"shard %u: %llu of %llu applied, state %d: "
					"%s\n",
					s,
					(unsigned long long)hr_view_topics.applied(view,
										   s),
					(unsigned long long)x->shards[s].n,
					(int)hr_view_topics.state(view), reason);
				return false;
			}
			usleep(1000);
		}
	return true;
}

static bool wait_state(const struct hr_view *view, enum hr_view_state state,
		       uint32_t wait_ms)
{
	for (uint32_t i = 0; i < wait_ms; i++) {
		if (hr_view_topics.state(view) == state)
			return true;
		usleep(1000);
	}
	fprintf(stderr, "the state is %d\n", (int)hr_view_topics.state(view));
	return false;
}

static void stops_saying(struct hr_view *view, const char *a, const char *b,
			 const char *c)
{
	char reason[512];

	CU_ASSERT_TRUE(wait_state(view, HR_VIEW_STOPPED, 20000));
	hr_view_topics.reason(view, reason, sizeof(reason));
	shows(reason, a);
	shows(reason, b);
	shows(reason, c);
}

/* Load, some at a time, so that it takes about this long. */
static void load_for(struct source *x, uint32_t ms, uint32_t n_events)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)ms * 1000;

	while (hr_mono_us() < until_us) {
		source_load(x, 1, n_events);
		usleep(5000);
	}
}

/* ---- tests ---------------------------------------------------------------------------- */

static void every_event_comes_out_once_in_order_and_whole(void)
{
	struct outcome found;
	struct rig rig;

	rig_start(&rig, 5);
	load_for(rig.source, 2000, 100);
	source_flush(rig.source);
	CU_ASSERT_TRUE(wait_applied(rig.view, rig.source, 20000));
	CU_ASSERT_TRUE(wait_state(rig.view, HR_VIEW_LIVE, 1000));
	outcome_check(rig.source, &found);
	CU_ASSERT_TRUE(found.user_events > 10000);
	CU_ASSERT_TRUE(found.product_views > found.purchases);
	CU_ASSERT_TRUE(found.dead_letters > 0);
	CU_ASSERT_TRUE(hr_view_topics.stop(rig.view, 5000));
	rig_end(&rig);
}

static void the_topics_have_the_contracts_partitions_and_one_shard_does(void)
{
	struct source *x = source_open(1);
	struct hr_kafka_topic topic = { .n_partitions = 100,
					.partitions_key = "contract" };
	static const struct hr_kafka_topic_setting settings[] = {
		{ "retention.ms", "604800000", HR_KAFKA_EQUAL },
		{ "compression.type", "snappy", HR_KAFKA_EQUAL },
		{ "cleanup.policy", "delete", HR_KAFKA_EQUAL },
	};
	struct hr_config defaults;
	struct follower f;
	struct hr_view *view;
	struct hr_err err;

	hr_config_defaults(&defaults);
	x->config.user_events_partitions = defaults.user_events_partitions;
	follower_start(&f, &x->config, &x->set, KEEP_BYTES);
	view = view_start(x, f.feed, NULL);
	source_load(x, 3, 50);
	source_flush(x);
	CU_ASSERT_TRUE(wait_applied(view, x, 20000));
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 5000));
	topic.settings = settings;
	topic.n_settings = HR_COUNT(settings);
	hr_kafka_topic_name(topic.name, &x->config, "user_events");
	CU_ASSERT_EQUAL(
		hr_kafka_topics_ensure(&x->config, &topic, 1, false, 5000, &err), 0);
	follower_stop(&f);
	source_close(x);
}

/* The broker's own files: batches of records, not control batches, by codec. */
static void count_batches(const char *path, uint32_t codecs[8], uint32_t *outside)
{
	FILE *f = fopen(path, "rb");
	uint8_t head[61];

	if (f == NULL)
		return;
	while (fread(head, sizeof(head), 1, f) == 1) {
		uint32_t bytes = (uint32_t)head[8] << 24 | (uint32_t)head[9] << 16 |
				 (uint32_t)head[10] << 8 | head[11];
		uint16_t attributes = (uint16_t)(head[21] << 8 | head[22]);

		if (bytes < 49 || head[16] != 2)
			break; /* room kept for more */
		if ((attributes & 0x20) == 0)
			codecs[attributes & 7]++;
		if ((attributes & 0x10) == 0)
			(*outside)++; /* of a transaction */
		fseek(f, (long)bytes - 49, SEEK_CUR);
	}
	fclose(f);
}

static void records_are_written_in_snappy_batches_of_transactions(void)
{
	uint32_t codecs[8] = { 0 }, outside = 0;
	struct rig rig;

	rig_start(&rig, 5);
	source_load(rig.source, 20, 100);
	source_flush(rig.source);
	CU_ASSERT_TRUE(wait_applied(rig.view, rig.source, 20000));
	CU_ASSERT_TRUE(hr_view_topics.stop(rig.view, 5000));
	for (uint32_t p = 0; p < 20; p++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%suser_events-%u/%020d.log",
			 getenv("HR_TEST_KAFKA_DATA"), rig.source->config.topic_prefix,
			 p, 0);
		count_batches(path, codecs, &outside);
	}
	CU_ASSERT_TRUE(codecs[2] >= 20); /* KIP-98's attributes: 2 is snappy */
	CU_ASSERT_EQUAL(codecs[0] + codecs[1] + codecs[3] + codecs[4], 0);
	CU_ASSERT_EQUAL(outside, 0);
	rig_end(&rig);
}

static void a_restarted_view_goes_on_where_it_was(void)
{
	struct rig rig;

	rig_start(&rig, 5);
	for (int i = 0; i < 4; i++) {
		load_for(rig.source, 400, 60);
		(void)hr_view_topics.stop(rig.view, i % 2 == 0 ? 0 : 50);
		load_for(rig.source, 50, 60);
		rig.view = view_start(rig.source, rig.follower.feed, NULL);
	}
	source_flush(rig.source);
	CU_ASSERT_TRUE(wait_applied(rig.view, rig.source, 20000));
	CU_ASSERT_TRUE(hr_view_topics.stop(rig.view, 5000));
	outcome_check(rig.source, NULL);
	rig_end(&rig);
}

static pid_t publisher_start(const struct source *x)
{
	char shards[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(shards, sizeof(shards), "%u", x->set.n_shards);
	execl("/proc/self/exe", "test_view_topics", "--publish", x->config.topic_prefix,
	      shards, (char *)NULL);
	_exit(127);
}

static void killed_views_leave_nothing_half_done(void)
{
	struct source *x = source_open(5);
	struct follower f;
	struct hr_view *view;

	for (unsigned int i = 0; i < 8; i++) {
		pid_t pid = publisher_start(x);

		load_for(x, 500 + (i * 137) % 400, 80);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	source_flush(x);
	follower_start(&f, &x->config, &x->set, KEEP_BYTES);
	view = view_start(x, f.feed, NULL);
	CU_ASSERT_TRUE(wait_applied(view, x, 30000));
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 5000));
	outcome_check(x, NULL);
	follower_stop(&f);
	source_close(x);
}

static void a_broker_killed_in_mid_load_costs_nothing_but_time(void)
{
	struct rig rig;

	rig_start(&rig, 5);
	load_for(rig.source, 1500, 80);
	command("HR_TEST_KAFKA_KILL");
	CU_ASSERT_TRUE(wait_state(rig.view, HR_VIEW_CONNECTING, 10000));
	load_for(rig.source, 5000, 20);
	command("HR_TEST_KAFKA_START");
	load_for(rig.source, 1000, 80);
	source_flush(rig.source);
	CU_ASSERT_TRUE(wait_applied(rig.view, rig.source, 60000));
	CU_ASSERT_TRUE(wait_state(rig.view, HR_VIEW_LIVE, 5000));
	CU_ASSERT_TRUE(hr_view_topics.stop(rig.view, 5000));
	outcome_check(rig.source, NULL);
	rig_end(&rig);
}

static void what_left_memory_is_folded_again(void)
{
	struct source *x = source_open(5);
	struct follower f;
	struct hr_view *view;

	source_load(x, 60, 100);
	source_flush(x);
	follower_start(&f, &x->config, &x->set, 256u << 10);
	CU_ASSERT_TRUE_FATAL(follower_wait(&f, x, 20000));
	view = view_start(x, f.feed, NULL);
	load_for(x, 1000, 100);
	source_flush(x);
	CU_ASSERT_TRUE(wait_applied(view, x, 30000));
	CU_ASSERT_TRUE(wait_state(view, HR_VIEW_LIVE, 5000));
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 5000));
	outcome_check(x, NULL);
	follower_stop(&f);
	source_close(x);
}

static void two_publishers_fence_each_other_and_double_nothing(void)
{
	struct hr_view *second;
	struct rig rig;

	rig_start(&rig, 5);
	load_for(rig.source, 700, 80);
	second = view_start(rig.source, rig.follower.feed, NULL);
	load_for(rig.source, 6000, 80);
	source_flush(rig.source);
	(void)hr_view_topics.stop(second, 0);
	CU_ASSERT_TRUE(wait_applied(rig.view, rig.source, 60000));
	CU_ASSERT_TRUE(hr_view_topics.stop(rig.view, 5000));
	outcome_check(rig.source, NULL);
	rig_end(&rig);
}

static void a_topic_with_other_partitions_is_refused_naming_both(void)
{
	struct source *x = source_open(5);
	struct hr_kafka_topic topic = { .n_partitions = 7 };
	struct follower f;
	struct hr_view *view;
	struct hr_err err;

	hr_kafka_topic_name(topic.name, &x->config, "purchases");
	CU_ASSERT_EQUAL_FATAL(
		hr_kafka_topics_ensure(&x->config, &topic, 1, true, 20000, &err), 0);
	follower_start(&f, &x->config, &x->set, KEEP_BYTES);
	view = view_start(x, f.feed, NULL);
	stops_saying(view, "purchases", "has 7 partitions", "says 10");
	CU_ASSERT_FALSE(hr_view_topics.stop(view, 1000));
	follower_stop(&f);
	source_close(x);
}

static void with_encoding_none_only_positions_are_written(void)
{
	struct source *x = source_open(5);
	struct hr_kafka_topic topic = { .n_partitions = 20 };
	struct follower f;
	struct hr_view *view;
	struct hr_err err;

	x->config.topics_encoding = HR_ENCODING_NONE;
	follower_start(&f, &x->config, &x->set, KEEP_BYTES);
	view = view_start(x, f.feed, NULL);
	source_load(x, 10, 50);
	source_flush(x);
	CU_ASSERT_TRUE(wait_applied(view, x, 20000));
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 5000));
	hr_kafka_topic_name(topic.name, &x->config, "user_events");
	CU_ASSERT_EQUAL(
		hr_kafka_topics_ensure(&x->config, &topic, 1, false, 5000, &err),
		-ENOENT);
	/* The position holds: a second view has nothing to do. */
	CU_ASSERT_TRUE(follower_wait(&f, x, 5000));
	view = view_start(x, f.feed, NULL);
	CU_ASSERT_TRUE(wait_state(view, HR_VIEW_LIVE, 20000));
	for (uint16_t s = 0; s < 5; s++)
		CU_ASSERT_EQUAL(hr_view_topics.applied(view, s), x->shards[s].n);
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 0));
	follower_stop(&f);
	source_close(x);
}

static void with_encoding_none_shards_without_news_catch_up(void)
{
	struct source *x = source_open(5);
	struct follower f;
	struct hr_view *view;

	x->config.topics_encoding = HR_ENCODING_NONE;
	source_load(x, 5, 20);
	source_flush(x);
	follower_start(&f, &x->config, &x->set, 1); /* one link of one shard stays */
	CU_ASSERT_TRUE_FATAL(follower_wait(&f, x, 20000));
	view = view_start(x, f.feed, NULL);
	CU_ASSERT_TRUE(wait_applied(view, x, 20000));
	CU_ASSERT_TRUE(wait_state(view, HR_VIEW_LIVE, 5000));
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 5000));
	follower_stop(&f);
	source_close(x);
}

/* A view that wrote something and was stopped. */
static void written(struct rig *rig)
{
	rig_start(rig, 5);
	source_load(rig->source, 20, 60);
	source_flush(rig->source);
	CU_ASSERT_TRUE(wait_applied(rig->view, rig->source, 20000));
	CU_ASSERT_TRUE(hr_view_topics.stop(rig->view, 5000));
}

static void delete_topic(const struct hr_config *config, const char *own_name)
{
	const struct hr_kafka_conf conf = { .config = config,
					    .kind = HR_KAFKA_PRODUCER,
					    .room = "test",
					    .name = "deleter" };
	char name[HR_KAFKA_TOPIC_NAME];
	rd_kafka_DeleteTopic_t *topic;
	struct hr_kafka *client;
	rd_kafka_queue_t *queue;
	struct hr_err err;

	hr_kafka_topic_name(name, config, own_name);
	topic = rd_kafka_DeleteTopic_new(name);
	CU_ASSERT_EQUAL_FATAL(hr_kafka_open(&client, &conf, &err), 0);
	queue = rd_kafka_queue_new(hr_kafka_handle(client));
	rd_kafka_DeleteTopics(hr_kafka_handle(client), &topic, 1, NULL, queue);
	rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 20000));
	rd_kafka_queue_destroy(queue);
	rd_kafka_DeleteTopic_destroy(topic);
	hr_kafka_put(client);
}

static void a_topic_that_was_made_anew_stops_the_view_by_name(void)
{
	struct rig rig;

	written(&rig);
	delete_topic(&rig.source->config, "product_views");
	rig.view = view_start(rig.source, rig.follower.feed, NULL);
	stops_saying(rig.view, "product_views, partition", "ends at offset 0",
		     "link 21");
	(void)hr_view_topics.stop(rig.view, 0);
	rig_end(&rig);
}

/* Puts a position into headrace.positions by hand. */
static void put_position(const struct source *x, int32_t shard, const char *text)
{
	const struct hr_kafka_conf conf = { .config = &x->config,
					    .kind = HR_KAFKA_PRODUCER,
					    .room = "test",
					    .name = "stranger" };
	char name[HR_KAFKA_TOPIC_NAME];
	rd_kafka_topic_t *topic;
	struct hr_kafka *client;
	struct hr_err err;

	hr_kafka_topic_name(name, &x->config, "headrace.positions");
	CU_ASSERT_EQUAL_FATAL(hr_kafka_open(&client, &conf, &err), 0);
	topic = rd_kafka_topic_new(hr_kafka_handle(client), name, NULL);
	CU_ASSERT_EQUAL_FATAL(rd_kafka_produce(topic, shard, RD_KAFKA_MSG_F_COPY,
					       (void *)(uintptr_t)text, strlen(text),
					       "topics", 6, NULL),
			      0);
	CU_ASSERT_EQUAL_FATAL(rd_kafka_flush(hr_kafka_handle(client), 20000), 0);
	rd_kafka_topic_destroy(topic);
	hr_kafka_put(client);
}

struct last_position {
	int32_t shard;
	char text[HR_POSITION_TEXT];
};

static void keep_last(void *ctx, const rd_kafka_message_t *m)
{
	struct last_position *last = ctx;
	const char *newline = memchr(m->payload, '\n', m->len);

	CU_ASSERT_EQUAL(m->key_len, 6);
	if (m->partition == last->shard && newline != NULL)
		snprintf(last->text, sizeof(last->text), "%.*s",
			 (int)(newline - (const char *)m->payload),
			 (const char *)m->payload);
}

static void positions_that_do_not_fit_the_log_stop_the_view_by_name(void)
{
	static const struct {
		int what;
		const char *a, *b;
	} rows[] = {
		{ 'h', "another chain", "link 21" },
		{ 'd', "another digest", "link 21" },
		{ 'n', "beyond the log", "ends at link 21" },
		{ 'g', "generation 2", "data set of 1" },
		{ 'x', "no position of this program", "headrace.positions" },
		{ '1', "another chain", "link 1 " }, /* which has left memory */
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct last_position last = { .shard = 3 };
		struct hr_position p;
		char text[HR_POSITION_TEXT + 1];
		struct rig rig;

		written(&rig);
		CU_ASSERT_TRUE(outcome_read(&rig.source->config, "headrace.positions",
					    keep_last, &last));
		CU_ASSERT_EQUAL_FATAL(
			hr_position_parse(last.text, strlen(last.text), &p), 0);
		CU_ASSERT_EQUAL(p.n, 21);
		p.hash.b[3] ^= rows[i].what == 'h' || rows[i].what == '1';
		p.digest.b[3] ^= rows[i].what == 'd';
		p.n = rows[i].what == '1' ? 1 : p.n + (rows[i].what == 'n' ? 1000 : 0);
		p.generation += rows[i].what == 'g';
		hr_position_print(&p, text);
		strcat(text, rows[i].what == 'x' ? "" : "\n");
		put_position(rig.source, 3, text);
		if (rows[i].what == '1') {
			follower_stop(&rig.follower);
			follower_start(&rig.follower, &rig.source->config,
				       &rig.source->set, 1);
			CU_ASSERT_TRUE(follower_wait(&rig.follower, rig.source, 5000));
		}
		rig.view = view_start(rig.source, rig.follower.feed, NULL);
		stops_saying(rig.view, rows[i].a, rows[i].b, "");
		(void)hr_view_topics.stop(rig.view, 0);
		rig_end(&rig);
	}
}

static bool rows_are_written(const struct hr_stats_reader *reader,
			     const struct source *x)
{
	uint64_t n = 0;

	for (uint16_t s = 0; s < x->set.n_shards; s++)
		n += x->shards[s].n;
	return hr_stats_sum(reader, "headrace_view_applied_link", "") == n &&
	       hr_stats_sum(reader, "headrace_view_lag_links", "") == 0;
}

static void statistics_tell_what_is_applied_and_what_is_behind(void)
{
	struct source *x = source_open(5);
	struct hr_stats_reader *reader;
	char path[] = "/tmp/headrace-view-topics-XXXXXX", topic[128];
	struct hr_stats *stats;
	struct follower f;
	struct hr_view *view;
	struct hr_err err;
	int fd = mkstemp(path);

	close(fd);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&stats, path, &err), 0);
	follower_start(&f, &x->config, &x->set, KEEP_BYTES);
	view = view_start(x, f.feed, stats);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&reader, stats), 0);
	load_for(x, 500, 60);
	source_flush(x);
	CU_ASSERT_TRUE(wait_applied(view, x, 20000));
	/* Its rows are written now and then. */
	for (int i = 0; i < 5000 && !rows_are_written(reader, x); i++)
		usleep(1000);
	CU_ASSERT_EQUAL(
		hr_stats_sum(reader, "headrace_view_applied_link", "shard=\"4\""),
		x->shards[4].n);
	CU_ASSERT_EQUAL(hr_stats_sum(reader, "headrace_view_lag_links", ""), 0);
	CU_ASSERT_EQUAL(hr_stats_sum(reader, "headrace_view_up", ""), 1);
	CU_ASSERT_EQUAL(hr_stats_sum(reader, "kafka_lag", ""), 0);
	CU_ASSERT_TRUE(hr_stats_quantile_us(reader, "headrace_view_latency_seconds",
					    "view=\"topics\"", 0.5) > 0);
	snprintf(topic, sizeof(topic), "topic=\"%suser_events\",partition=\"19\"",
		 x->config.topic_prefix);
	{
		uint32_t n = 0, named = 0;

		for (uint32_t i = 0; i < hr_stats_count(reader); i++) {
			struct hr_stat_row row;

			if (!hr_stats_row(reader, i, &row) ||
			    strcmp(row.name, "kafka_lag") != 0)
				continue;
			n++;
			named += strcmp(row.labels, topic) == 0;
		}
		CU_ASSERT_EQUAL(n, 20 + 10 + 10 + 5);
		CU_ASSERT_EQUAL(named, 1);
	}
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 5000));
	CU_ASSERT_EQUAL(hr_stats_sum(reader, "headrace_view_up", ""), 0);
	hr_stats_close(reader);
	hr_stats_free(stats);
	unlink(path);
	follower_stop(&f);
	source_close(x);
}

static void a_view_without_a_broker_starts_and_stops_at_once(void)
{
	struct source *x = source_open(5);
	uint64_t began_us = hr_mono_us();
	struct hr_feed *feed;
	struct hr_view *view;

	strcpy(x->config.kafka_brokers, "127.0.0.1:1");
	CU_ASSERT_EQUAL_FATAL(hr_feed_new(&feed, 5, KEEP_BYTES), 0);
	view = view_start(x, feed, NULL);
	CU_ASSERT_TRUE(hr_mono_us() - began_us < 1000000);
	CU_ASSERT_EQUAL(hr_view_topics.state(view), HR_VIEW_CONNECTING);
	began_us = hr_mono_us();
	(void)hr_view_topics.stop(view, 0);
	CU_ASSERT_TRUE(hr_mono_us() - began_us < 4000000);
	hr_feed_free(feed);
	source_close(x);
}

/* ---- being the view that is killed -------------------------------------------------------- */

static int publish(const char *prefix, const char *shards)
{
	static struct source x;
	struct follower f;
	struct hr_err err;

	hr_config_defaults(&x.config);
	snprintf(x.config.kafka_brokers, sizeof(x.config.kafka_brokers), "%s",
		 getenv("HR_TEST_BROKERS"));
	snprintf(x.config.topic_prefix, sizeof(x.config.topic_prefix), "%s", prefix);
	x.config.n_shards = (uint32_t)atoi(shards);
	x.config.user_events_partitions = 4 * x.config.n_shards;
	x.config.product_views_partitions = 2 * x.config.n_shards;
	x.config.purchases_partitions = 2 * x.config.n_shards;
	x.config.dead_letters_partitions = x.config.n_shards;
	if (hr_data_set_find(&x.set, &x.config, false, 10000, &err) < 0)
		return 1;
	follower_start(&f, &x.config, &x.set, KEEP_BYTES);
	(void)view_start(&x, f.feed, NULL);
	for (;;)
		pause();
}

static CU_TestInfo all[] = {
	{ "every event comes out once, in order and whole",
	  every_event_comes_out_once_in_order_and_whole },
	{ "the topics have the contract's settings, with one shard too",
	  the_topics_have_the_contracts_partitions_and_one_shard_does },
	{ "records are written in snappy batches of transactions",
	  records_are_written_in_snappy_batches_of_transactions },
	{ "a restarted view goes on where it was",
	  a_restarted_view_goes_on_where_it_was },
	{ "killed views leave nothing half done",
	  killed_views_leave_nothing_half_done },
	{ "a broker killed in mid-load costs nothing but time",
	  a_broker_killed_in_mid_load_costs_nothing_but_time },
	{ "what left memory is folded again", what_left_memory_is_folded_again },
	{ "two publishers fence each other and double nothing",
	  two_publishers_fence_each_other_and_double_nothing },
	{ "a topic with other partitions is refused, naming both",
	  a_topic_with_other_partitions_is_refused_naming_both },
	{ "with encoding none only positions are written",
	  with_encoding_none_only_positions_are_written },
	{ "with encoding none shards without news catch up",
	  with_encoding_none_shards_without_news_catch_up },
	{ "a topic that was made anew stops the view by name",
	  a_topic_that_was_made_anew_stops_the_view_by_name },
	{ "positions that do not fit the log stop the view by name",
	  positions_that_do_not_fit_the_log_stop_the_view_by_name },
	{ "statistics tell what is applied and what is behind",
	  statistics_tell_what_is_applied_and_what_is_behind },
	{ "a view without a broker starts and stops at once",
	  a_view_without_a_broker_starts_and_stops_at_once },
	CU_TEST_INFO_NULL,
};

static CU_TestInfo measured[] = {
	{ "beside a plain producer", bench },
	CU_TEST_INFO_NULL,
};

/* Only the tests whose names hold one of the words. */
static void choose(int n_words, char **words)
{
	size_t kept = 0;

	for (size_t i = 0; i + 1 < HR_COUNT(all); i++) {
		bool wanted = n_words == 0;

		for (int w = 0; w < n_words; w++)
			wanted |= strstr(all[i].pName, words[w]) != NULL;
		if (wanted)
			all[kept++] = all[i];
	}
	all[kept] = (CU_TestInfo)CU_TEST_INFO_NULL;
}

int main(int argc, char **argv)
{
	hr_log_set_level(getenv("HR_TEST_LOG") != NULL ? HR_LOG_INFO : HR_LOG_ERROR);
	if (argc == 4 && strcmp(argv[1], "--publish") == 0)
		return publish(argv[2], argv[3]);
	if (argc == 2 && strcmp(argv[1], "--bench") == 0)
		return hr_test_run("topics view, measured", NULL, NULL, measured);
	choose(argc - 1, argv + 1);
	return hr_test_run("topics view on a real broker", NULL, NULL, all);
}
