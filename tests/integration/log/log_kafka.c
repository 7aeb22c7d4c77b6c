/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The log on a real broker. tests/integration/test_log starts one and says where:
 *
 *   HR_TEST_BROKERS        its address
 *   HR_TEST_KAFKA_START    a command that starts it again over its data, and waits
 *   HR_TEST_KAFKA_KILL     a command that kills it with SIGKILL
 *   HR_TEST_KAFKA_FREEZE, HR_TEST_KAFKA_THAW
 *
 * Each test has topics of its own, by prefix.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CUnit/Basic.h>
#include <rte_ring.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "dataplane/log/kafka.h"
#include "tests/integration/log/appliance.h"
#include "tests/unit/hr_test.h"

static void command(const char *name)
{
	const char *line = getenv(name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL_FATAL(system(line), 0);
}

static struct app *app_new(void)
{
	return calloc(1, sizeof(struct app));
}

/* A prefix of its own for each call, also when the broker's data was kept. */
static void fresh_config(struct hr_config *config, uint32_t n_shards)
{
	static unsigned int n;
	char prefix[32];

	snprintf(prefix, sizeof(prefix), "t%d.%u.", getpid(), n++);
	app_config(config, prefix, n_shards);
}

static void shows(const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		fprintf(stderr, "found \"%s\", expected \"%s\" in it\n", text, part);
		CU_FAIL("a text does not say what it should");
	}
}

/* ---- a stranger at the log ----------------------------------------------------- */

struct stranger {
	struct hr_kafka *client;
	rd_kafka_topic_t *topic;
};

static void stranger_open(struct stranger *x, const struct hr_config *config,
			  const char *topic)
{
	const struct hr_kafka_conf conf = { .config = config,
					    .kind = HR_KAFKA_PRODUCER,
					    .room = "test",
					    .name = "stranger" };
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_kafka_open(&x->client, &conf, &err), 0);
	x->topic = rd_kafka_topic_new(hr_kafka_handle(x->client), topic, NULL);
}

static void stranger_put(struct stranger *x, int shard, const void *bytes, size_t n)
{
	CU_ASSERT_EQUAL_FATAL(rd_kafka_produce(x->topic, shard, RD_KAFKA_MSG_F_COPY,
					       (void *)(uintptr_t)bytes, n, NULL, 0,
					       NULL),
			      0);
}

static void stranger_flush(struct stranger *x)
{
	CU_ASSERT_EQUAL_FATAL(rd_kafka_flush(hr_kafka_handle(x->client), 20000), 0);
}

static void stranger_append(struct stranger *x, int shard, const void *bytes, size_t n)
{
	stranger_put(x, shard, bytes, n);
	stranger_flush(x);
}

static void stranger_close(struct stranger *x)
{
	rd_kafka_topic_destroy(x->topic);
	hr_kafka_put(x->client);
}

static void delete_topic(const struct hr_config *config, const char *name)
{
	const struct hr_kafka_conf conf = { .config = config,
					    .kind = HR_KAFKA_PRODUCER,
					    .room = "test",
					    .name = "deleter" };
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
	struct hr_kafka *client;
	rd_kafka_queue_t *queue;
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_kafka_open(&client, &conf, &err), 0);
	queue = rd_kafka_queue_new(hr_kafka_handle(client));
	rd_kafka_DeleteTopics(hr_kafka_handle(client), &topic, 1, NULL, queue);
	rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 20000));
	rd_kafka_queue_destroy(queue);
	rd_kafka_DeleteTopic_destroy(topic);
	hr_kafka_put(client);
}

/* ---- the data set and its topics ------------------------------------------------ */

struct first_start {
	struct hr_config config;
	struct hr_data_set set;
	int result;
};

static void *start_first(void *arg)
{
	struct first_start *f = arg;
	struct hr_err err;

	f->result = hr_data_set_find(&f->set, &f->config, true, 20000, &err);
	if (f->result < 0)
		fprintf(stderr, "%s\n", err.text);
	return NULL;
}

static void first_starts_at_once_agree_on_one_data_set(void)
{
	struct first_start starts[6];
	pthread_t threads[HR_COUNT(starts)];

	fresh_config(&starts[0].config, 5);
	for (size_t i = 0; i < HR_COUNT(starts); i++) {
		starts[i].config = starts[0].config;
		pthread_create(&threads[i], NULL, start_first, &starts[i]);
	}
	for (size_t i = 0; i < HR_COUNT(starts); i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < HR_COUNT(starts); i++) {
		CU_ASSERT_EQUAL(starts[i].result, 0);
		CU_ASSERT_TRUE(hr_id128_equals(&starts[i].set.id, &starts[0].set.id));
		CU_ASSERT_EQUAL(
			memcmp(starts[i].set.hash_key, starts[0].set.hash_key, 16), 0);
	}
}

static void a_data_set_that_is_not_there_is_not_made_by_looking(void)
{
	struct hr_config config;
	struct hr_data_set set;
	struct hr_err err;

	fresh_config(&config, 5);
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, false, 5000, &err), -ENOENT);
	shows(err.text, "headrace.meta");
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, false, 5000, &err), -ENOENT);
}

static void another_S_is_refused_naming_both(void)
{
	struct hr_config config;
	struct hr_data_set set;
	struct hr_err err;

	fresh_config(&config, 5);
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 20000, &err), 0);
	config.n_shards = 25;
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 20000, &err), -EINVAL);
	shows(err.text, "has 5 shards");
	shows(err.text, "says 25");
	config.n_shards = 5;
	config.generation = 2;
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 20000, &err), -EINVAL);
	shows(err.text, "generation 1");
	shows(err.text, "generation 2");
}

static void topics_with_other_partitions_or_settings_are_refused_naming_both(void)
{
	static const struct hr_kafka_topic_setting made[] = {
		{ "retention.ms", "1000", HR_KAFKA_EQUAL },
		{ "max.message.bytes", "900", HR_KAFKA_INITIAL },
		{ "min.insync.replicas", "1", HR_KAFKA_INITIAL },
	};
	static const struct hr_kafka_topic_setting other[] = {
		{ "retention.ms", "-1", HR_KAFKA_EQUAL },
	};
	static const struct hr_kafka_topic_setting more[] = {
		{ "max.message.bytes", "901", HR_KAFKA_AT_LEAST },
	};
	static const struct hr_kafka_topic_setting enough[] = {
		{ "max.message.bytes", "899", HR_KAFKA_AT_LEAST },
		{ "min.insync.replicas", "7", HR_KAFKA_INITIAL },
	};
	struct hr_kafka_topic topic = { .n_partitions = 3,
					.partitions_key = "some.key",
					.settings = made,
					.n_settings = HR_COUNT(made) };
	struct hr_config config;
	struct hr_err err;

	fresh_config(&config, 5);
	hr_kafka_topic_name(topic.name, &config, "things");
	CU_ASSERT_EQUAL(hr_kafka_topics_ensure(&config, &topic, 1, false, 5000, &err),
			-ENOENT);
	shows(err.text, topic.name);
	CU_ASSERT_EQUAL_FATAL(
		hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err), 0);
	CU_ASSERT_EQUAL(hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err),
			0);

	topic.n_partitions = 4;
	CU_ASSERT_EQUAL(hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err),
			-EINVAL);
	shows(err.text, "has 3 partitions");
	shows(err.text, "some.key says 4");
	topic.n_partitions = 3;
	topic.settings = other;
	topic.n_settings = HR_COUNT(other);
	CU_ASSERT_EQUAL(hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err),
			-EINVAL);
	shows(err.text, "retention.ms=1000");
	shows(err.text, "expected -1");
	topic.settings = more;
	topic.n_settings = HR_COUNT(more);
	CU_ASSERT_EQUAL(hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err),
			-EINVAL);
	shows(err.text, "at least 901");
	topic.settings = enough;
	topic.n_settings = HR_COUNT(enough);
	CU_ASSERT_EQUAL(hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err),
			0);
}

static void a_log_with_another_partition_count_is_refused_naming_both(void)
{
	struct hr_kafka_topic topic = { .n_partitions = 3 };
	struct hr_config config;
	struct hr_data_set set;
	struct hr_err err;

	fresh_config(&config, 5);
	hr_kafka_topic_name(topic.name, &config, "headrace.log.g1");
	CU_ASSERT_EQUAL_FATAL(
		hr_kafka_topics_ensure(&config, &topic, 1, true, 20000, &err), 0);
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 20000, &err), -EINVAL);
	shows(err.text, "has 3 partitions");
	shows(err.text, "says 5");
}

static void properties_that_break_a_promise_are_refused_by_name(void)
{
	static const struct {
		const char *given, *said;
	} rows[] = {
		{ "acks=1", "acks cannot be set" },
		{ "request.required.acks=1", "request.required.acks cannot be set" },
		{ "enable.idempotence=false", "enable.idempotence" },
		{ "transactional.id=x", "transactional.id" },
		{ "isolation.level=read_committed", "isolation.level" },
		{ "message.timeout.ms=1000", "message.timeout.ms" },
		{ "socket.nagle.disable=true\nlinger.ms=5", "linger.ms" },
		{ "no.such.property=1", "no.such.property" },
		{ "socket.timeout.ms=never", "socket.timeout.ms" },
		{ "just words", "just words" },
	};
	struct hr_config config;
	struct hr_data_set set;
	struct hr_err err;

	fresh_config(&config, 5);
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		snprintf(config.kafka_properties, sizeof(config.kafka_properties), "%s",
			 rows[i].given);
		CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 5000, &err),
				-EINVAL);
		shows(err.text, "kafka.properties");
		shows(err.text, rows[i].said);
	}
	strcpy(config.kafka_properties, "socket.keepalive.enable=false\nlog_level=4\n");
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 20000, &err), 0);
}

static void a_broker_out_of_reach_is_told_in_time(void)
{
	struct hr_config config;
	struct hr_data_set set;
	struct hr_err err;
	uint64_t began = hr_mono_us();

	fresh_config(&config, 5);
	strcpy(config.kafka_brokers, "127.0.0.1:1");
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 1500, &err), -EIO);
	CU_ASSERT_TRUE(hr_mono_us() - began < 4000000);
	shows(err.text, "127.0.0.1:1");
	shows(err.text, "refused");
}

/* ---- append, read back, read again ----------------------------------------------- */

static void reader_agrees(struct app *app)
{
	for (uint16_t s = 0; s < app->set.n_shards; s++) {
		struct hr_reader *reader;
		struct hr_link *link;
		struct hr_err err;
		uint64_t n = 0;
		int r;

		CU_ASSERT_EQUAL_FATAL(
			hr_reader_open(&reader, &app->config, &app->set, s, &err), 0);
		while ((r = hr_reader_next(reader, 10000, &link, &err)) > 0) {
			struct hr_link *same = app_feed_link(app, s, ++n);

			CU_ASSERT_EQUAL(link->n, n);
			CU_ASSERT_TRUE(hr_id128_equals(&link->hash, &same->hash));
			CU_ASSERT_EQUAL(link->offset, same->offset);
			CU_ASSERT_EQUAL(link->n_events, same->n_events);
			CU_ASSERT_TRUE(hr_str_equals(link->body, same->body));
			CU_ASSERT_PTR_NULL(link->out);
			hr_link_put(link);
		}
		CU_ASSERT_EQUAL(r, 0);
		CU_ASSERT_TRUE(hr_reader_is_at_end(reader));
		CU_ASSERT_EQUAL(n, app_feed_last(app, s));
		hr_reader_close(reader);
	}
}

static void what_was_appended_is_read_again_with_the_same_hashes(void)
{
	const struct app_load load = {
		.load = 1, .items = 10, .payload_bytes = 333, .max_epochs = 200
	};
	struct app *first = app_new(), *second = app_new();
	struct hr_config config;

	fresh_config(&config, 5);
	app_start(first, &config, 2, &load);
	CU_ASSERT_TRUE_FATAL(app_wait_all(first, HR_SHARD_READY, 20000));
	CU_ASSERT_TRUE(app_wait_load(first, 30000));
	app_stop(first, 5000);
	CU_ASSERT_EQUAL(first->tentative, 0);

	app_start(second, &config, 1, NULL);
	CU_ASSERT_TRUE_FATAL(app_wait_all(second, HR_SHARD_READY, 20000));
	app_stop(second, 5000);
	for (uint16_t s = 0; s < 5; s++) {
		uint64_t n = app_feed_last(first, s);

		CU_ASSERT_EQUAL(app_check_items(first, s, 1), 2000);
		CU_ASSERT_EQUAL(n, 201); /* CONFIG, and the epochs */
		/* The second owner shows itself by an empty link. */
		CU_ASSERT_EQUAL_FATAL(app_feed_last(second, s), n + 1);
		CU_ASSERT_EQUAL(app_feed_link(second, s, n + 1)->n_items, 0);
		CU_ASSERT_EQUAL(app_feed_link(second, s, 1)->body_kind, HR_BODY_CONFIG);
		for (uint64_t i = 1; i <= n; i++)
			CU_ASSERT_TRUE(
				hr_id128_equals(&app_feed_link(first, s, i)->hash,
						&app_feed_link(second, s, i)->hash));
		CU_ASSERT_EQUAL(app_check_items(second, s, 1), 2000);
		/* Record time goes on where the wall clock is. */
		CU_ASSERT_TRUE(app_feed_link(second, s, n + 1)->clock_us + 2000000 >
			       hr_wall_us() - 30000000);
	}
	reader_agrees(second);
	app_free(first);
	app_free(second);
}

static void the_largest_epochs_pass_and_memory_stays_bounded(void)
{
	/* 562 items of 1,600 bytes: 899,200 of 899,904. */
	const struct app_load load = { .load = 2,
				       .items = 562,
				       .payload_bytes = 1520,
				       .max_epochs = 40,
				       .most_waiting = 8 };
	struct app *app = app_new();
	struct hr_config config;
	uint64_t began;

	fresh_config(&config, 5);
	app_start(app, &config, 1, &load);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	began = hr_mono_us();
	CU_ASSERT_TRUE(app_wait_load(app, 60000));
	printf("(%.0f MB/s) ",
	       40 * 5 * 0.8992 / ((double)(hr_mono_us() - began) / 1e6));
	app_stop(app, 5000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	for (uint16_t s = 0; s < 5; s++)
		CU_ASSERT_EQUAL(app_check_items(app, s, 2), 40 * 562);
	app_free(app);
}

static void a_worker_that_does_not_fold_holds_back_the_window_and_no_more(void)
{
	const struct app_load load = {
		.load = 3, .items = 1, .payload_bytes = 100, .max_epochs = 400
	};
	struct app *first = app_new(), *second = app_new();
	struct hr_config config;

	fresh_config(&config, 1);
	app_start(first, &config, 1, &load);
	CU_ASSERT_TRUE_FATAL(app_wait_all(first, HR_SHARD_READY, 20000));
	CU_ASSERT_TRUE(app_wait_load(first, 30000));
	app_stop(first, 5000);

	second->holds_folding = true;
	app_start(second, &config, 1, NULL);
	CU_ASSERT_FALSE(app_wait_state(second, 0, HR_SHARD_READY, 1500));
	CU_ASSERT_EQUAL(rte_ring_count(second->accepted[0]), HR_OWNER_WINDOW);
	second->holds_folding = false;
	CU_ASSERT_TRUE(app_wait_state(second, 0, HR_SHARD_READY, 10000));
	app_stop(second, 5000);
	CU_ASSERT_EQUAL(app_check_items(second, 0, 3), 400);
	app_free(first);
	app_free(second);
}

/* Links for a shard by an owner that is nobody else: a history without the time it took. */
static void write_history(const struct hr_config *config, const struct hr_data_set *set,
			  uint16_t shard, uint32_t n_links)
{
	struct hr_fence fence = { .incarnation = 1 };
	struct hr_chain_config settings = { .fold_version = HR_FOLD_VERSION };
	uint8_t record[HR_LINK_HEAD_BYTES + HR_PAD8(HR_CHAIN_CONFIG_MAX) +
		       HR_RECORD_TAIL_BYTES],
		body[HR_CHAIN_CONFIG_MAX];
	struct hr_link_head link = { .body_kind = HR_BODY_CONFIG };
	struct stranger x;

	stranger_open(&x, config, set->log_topic);
	memset(&fence.owner, 9, sizeof(fence.owner));
	stranger_put(&x, shard, record,
		     hr_record_encode_fence(record, set, shard, &fence));
	link.owner = fence.owner;
	link.clock_us = hr_wall_us() - 60000000;
	link.body =
		(struct hr_str){ body,
				 (uint32_t)hr_chain_config_encode(body, &settings) };
	hr_chain_root(set, shard, &link.prev_hash);
	for (link.n = 1; link.n <= n_links; link.n++) {
		stranger_put(&x, shard, record,
			     hr_record_encode_link(record, set, shard, &link));
		hr_link_hash(set, shard, &link, &link.prev_hash);
		link.body_kind = HR_BODY_EPOCH;
		link.body.n = 0;
	}
	stranger_flush(&x);
	stranger_close(&x);
}

static void find_set(struct app *app, const struct hr_config *config)
{
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL_FATAL(hr_data_set_find(&app->set, config, true, 20000, &err),
			      0);
}

static void a_stop_does_not_wait_for_a_long_history(void)
{
	struct app *app = app_new();
	struct hr_config config;
	uint64_t began;

	fresh_config(&config, 1);
	find_set(app, &config);
	write_history(&config, &app->set, 0, 8000);
	app->fold_us = 1000;
	app_start(app, &config, 1, NULL);
	while (app_feed_last(app, 0) == 0)
		usleep(1000);
	began = hr_mono_us();
	app_stop(app, 30000);
	/* What the worker had already: HR_OWNER_WINDOW links. */
	CU_ASSERT_TRUE(hr_mono_us() - began < 4000000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	CU_ASSERT_TRUE(app_feed_last(app, 0) < 4000);
	app_free(app);
}

static void a_long_history_keeps_no_other_shard_of_the_worker_waiting(void)
{
	struct app *app = app_new();
	struct hr_config config;

	fresh_config(&config, 5);
	find_set(app, &config);
	write_history(&config, &app->set, 0, 8000);
	app->fold_us = 1000;
	app_start(app, &config, 1, NULL);
	for (uint16_t s = 1; s < 5; s++)
		CU_ASSERT_TRUE(app_wait_state(app, s, HR_SHARD_READY, 5000));
	CU_ASSERT_TRUE(app_feed_last(app, 0) < 8000);
	for (uint16_t s = 1; s < 5; s++) /* at the first attempt */
		CU_ASSERT_EQUAL(
			atomic_load(&hr_owner_shard(app->owner, s)->incarnation), 1);
	app_stop(app, 10000);
	app_free(app);
}

/* ---- outages -------------------------------------------------------------------- */

static const struct app_load steady = { .load = 4,
					.items = 5,
					.payload_bytes = 1000,
					.min_interval_us = 2000,
					.max_epochs = UINT64_MAX,
					.most_waiting = 8 };

/* Everything that was closed is in the log once, in order, byte for byte. */
static void check_conserved(struct app *app, uint32_t load)
{
	for (uint16_t s = 0; s < app->set.n_shards; s++) {
		CU_ASSERT_TRUE(app->closed_items[s] > 0);
		CU_ASSERT_EQUAL(app_check_items(app, s, load), app->closed_items[s]);
	}
}

static uint64_t accepted_epochs(struct app *app)
{
	uint64_t sum = 0;

	for (uint16_t s = 0; s < app->set.n_shards; s++)
		sum += atomic_load(&hr_owner_shard(app->owner, s)->epochs_done);
	return sum;
}

/* Until every shard has one more epoch accepted; milliseconds, or -1. */
static int wait_progress(struct app *app, uint32_t wait_ms)
{
	uint64_t before[HR_SHARDS_MAX], began = hr_mono_us();

	for (uint16_t s = 0; s < app->set.n_shards; s++)
		before[s] = atomic_load(&hr_owner_shard(app->owner, s)->epochs_done);
	for (uint16_t s = 0; s < app->set.n_shards; s++)
		while (atomic_load(&hr_owner_shard(app->owner, s)->epochs_done) ==
		       before[s]) {
			if (hr_mono_us() - began > (uint64_t)wait_ms * 1000)
				return -1;
			usleep(1000);
		}
	return (int)((hr_mono_us() - began) / 1000);
}

static void outage(uint32_t down_ms, uint32_t back_within_ms)
{
	struct app *app = app_new();
	struct hr_config config;
	int ms;

	fresh_config(&config, 5);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	sleep(2);
	command("HR_TEST_KAFKA_KILL");
	usleep(down_ms * 1000);
	command("HR_TEST_KAFKA_START");
	ms = wait_progress(app, 60000);
	CU_ASSERT_TRUE(ms >= 0);
	CU_ASSERT_TRUE(ms <= (int)back_within_ms);
	printf("(back %d ms after the broker) ", ms);
	sleep(1);
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_READY, 10000));
	app_stop(app, 10000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	check_conserved(app, 4);
	app_free(app);
}

static void a_killed_broker_that_comes_back_costs_nothing(void)
{
	outage(500, 3000);
}

static void a_broker_away_for_longer_than_the_watchdog_costs_nothing(void)
{
	outage(8000, 3000);
}

/* Frozen, the broker holds appends that were given up meanwhile, and takes them when
 * it thaws: outcome unknown, and late. */
static void appends_given_up_and_taken_late_are_neither_lost_nor_doubled(void)
{
	struct app *app = app_new();
	struct hr_config config;
	uint64_t before;

	fresh_config(&config, 5);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	for (int i = 0; i < 2; i++) {
		sleep(1);
		command("HR_TEST_KAFKA_FREEZE");
		/* The watchdog bites after 5 s, and again after 10 more. */
		usleep(i == 0 ? 7000000 : 17000000);
		CU_ASSERT_EQUAL(atomic_load(&hr_owner_shard(app->owner, 0)->state),
				HR_SHARD_RECOVERING);
		before = accepted_epochs(app);
		command("HR_TEST_KAFKA_THAW");
		CU_ASSERT_TRUE(wait_progress(app, 30000) >= 0);
		CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_READY, 30000));
		CU_ASSERT_TRUE(accepted_epochs(app) > before);
	}
	sleep(1);
	app_stop(app, 10000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	check_conserved(app, 4);
	/* Recovered under another fence. */
	app_free(app);
}

static void an_owner_starts_before_its_broker(void)
{
	struct app *app = app_new();
	struct hr_config config;
	char reason[512];

	fresh_config(&config, 5);
	CU_ASSERT_EQUAL_FATAL(hr_data_set_find(&app->set, &config, true, 20000, NULL),
			      0);
	command("HR_TEST_KAFKA_KILL");
	app_start(app, &config, 1, &steady);
	sleep(3);
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_STARTING, 10));
	hr_owner_reason(app->owner, 0, reason, sizeof(reason));
	shows(reason, "reading the chain");
	command("HR_TEST_KAFKA_START");
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_READY, 5000));
	sleep(1);
	app_stop(app, 5000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	check_conserved(app, 4);
	app_free(app);
}

static void what_is_tentative_at_the_end_is_counted(void)
{
	struct app *app = app_new();
	struct hr_config config;
	uint64_t accepted;

	fresh_config(&config, 1);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	sleep(1);
	command("HR_TEST_KAFKA_FREEZE");
	usleep(300000);
	accepted = atomic_load(&hr_owner_shard(app->owner, 0)->items_accepted);
	app_stop(app, 300);
	command("HR_TEST_KAFKA_THAW");
	CU_ASSERT_TRUE(app->tentative > 0);
	CU_ASSERT_EQUAL(app->tentative + accepted, app->closed_items[0]);
	app_free(app);
}

/* ---- other owners, strangers, garbage --------------------------------------------- */

static void of_two_owners_the_first_is_fenced_and_the_chain_stays_one(void)
{
	struct app_load second_load = steady;
	struct app *first = app_new(), *second = app_new();
	struct hr_config config;
	char reason[512];

	second_load.load = 5;
	fresh_config(&config, 1);
	app_start(first, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(first, HR_SHARD_READY, 20000));
	sleep(1);
	app_start(second, &config, 1, &second_load);
	CU_ASSERT_TRUE(app_wait_state(second, 0, HR_SHARD_READY, 20000));
	CU_ASSERT_TRUE(app_wait_state(first, 0, HR_SHARD_FENCED, 5000));
	hr_owner_reason(first->owner, 0, reason, sizeof(reason));
	shows(reason, "another appliance owns this shard since incarnation 2");
	sleep(1);
	CU_ASSERT_EQUAL(atomic_load(&hr_owner_shard(second->owner, 0)->state),
			HR_SHARD_READY);
	uint64_t accepted =
		atomic_load(&hr_owner_shard(first->owner, 0)->items_accepted);
	uint64_t dropped = atomic_load(&hr_owner_shard(first->owner, 0)->items_dropped);
	app_stop(first, 1000);
	app_stop(second, 5000);
	/* What the first took is in the chain or counted as dropped; none is both. */
	CU_ASSERT_EQUAL(accepted + dropped, first->closed_items[0]);
	CU_ASSERT_EQUAL(first->tentative, 0);
	CU_ASSERT_EQUAL(app_check_items(second, 0, 4), accepted);
	CU_ASSERT_EQUAL(app_check_items(second, 0, 5), second->closed_items[0]);
	app_free(first);
	app_free(second);
}

static void a_fence_whose_author_is_dead_is_fenced_again(void)
{
	struct app *app = app_new();
	struct hr_config config;
	struct stranger x;
	uint8_t record[HR_FENCE_MAX];
	struct hr_fence fence = { .incarnation = 2 };
	uint64_t began;
	size_t n;

	fresh_config(&config, 1);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	sleep(1);
	stranger_open(&x, &config, app->set.log_topic);
	memset(&fence.owner, 7, sizeof(fence.owner));
	n = hr_record_encode_fence(record, &app->set, 0, &fence);
	stranger_append(&x, 0, record, n);
	began = hr_mono_us();
	CU_ASSERT_TRUE(app_wait_state(app, 0, HR_SHARD_RECOVERING, 1000));
	CU_ASSERT_TRUE(app_wait_state(app, 0, HR_SHARD_READY, 10000));
	CU_ASSERT_TRUE(hr_mono_us() - began > 1900000);
	CU_ASSERT_EQUAL(atomic_load(&hr_owner_shard(app->owner, 0)->incarnation), 3);
	sleep(1);
	app_stop(app, 5000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	check_conserved(app, 4);
	stranger_close(&x);
	app_free(app);
}

static void garbage_and_stale_records_are_ignored(void)
{
	struct app *app = app_new(), *again = app_new();
	struct hr_config config;
	struct hr_data_set other;
	struct stranger x;
	uint8_t record[1024] = { 0 };
	size_t n;

	fresh_config(&config, 1);
	CU_ASSERT_EQUAL_FATAL(hr_data_set_find(&app->set, &config, true, 20000, NULL),
			      0);
	stranger_open(&x, &config, app->set.log_topic);
	stranger_append(&x, 0, "garbage before the first record", 31);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	other = app->set;
	memset(&other.id, 3, sizeof(other.id));
	for (int i = 0; i < 200; i++) {
		struct hr_fence fence = { .incarnation =
						  (uint64_t)(i % 3 == 0 ? 1 : 9) };
		struct hr_link_head link = { .n = (uint64_t)i,
					     .body_kind = HR_BODY_EPOCH,
					     .body = HR_STR("") };

		stranger_append(&x, 0, record, (size_t)i);
		CU_ASSERT_EQUAL(getrandom(record, sizeof(record), 0), sizeof(record));
		stranger_append(&x, 0, record, sizeof(record));
		n = hr_record_encode_fence(record, &app->set, 0, &fence);
		stranger_append(&x, 0, record, n);
		n = hr_record_encode_fence(
			record, &other, 0,
			&(struct hr_fence){
				.incarnation =
					atomic_load(&hr_owner_shard(app->owner, 0)
							     ->incarnation) +
					1 });
		stranger_append(&x, 0, record, n);
		n = hr_record_encode_link(record, &app->set, 0, &link);
		stranger_append(&x, 0, record, n);
		record[n / 2] ^= 1;
		stranger_append(&x, 0, record, n);
		usleep(3000);
	}
	CU_ASSERT_EQUAL(atomic_load(&hr_owner_shard(app->owner, 0)->state),
			HR_SHARD_READY);
	CU_ASSERT_EQUAL(atomic_load(&hr_owner_shard(app->owner, 0)->incarnation), 1);
	app_stop(app, 5000);
	CU_ASSERT_EQUAL(app->tentative, 0);
	check_conserved(app, 4);
	app_start(again, &config, 1, NULL);
	CU_ASSERT_TRUE_FATAL(app_wait_all(again, HR_SHARD_READY, 20000));
	app_stop(again, 5000);
	CU_ASSERT_EQUAL(app_check_items(again, 0, 4), app->closed_items[0]);
	reader_agrees(again);
	stranger_close(&x);
	app_free(app);
	app_free(again);
}

static void a_copy_of_this_machine_stops_every_shard(void)
{
	struct app *app = app_new();
	struct hr_reader *reader;
	struct hr_config config;
	struct hr_record decoded;
	struct hr_link *link = NULL, *last = NULL;
	struct stranger x;
	uint8_t record[1024];
	struct hr_err err;
	char reason[512];
	size_t n;

	fresh_config(&config, 2);
	app_start(app, &config, 1, NULL);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	/* What a clone knows: its owner id and the chain. */
	CU_ASSERT_EQUAL_FATAL(hr_reader_open(&reader, &config, &app->set, 1, &err), 0);
	while (hr_reader_next(reader, 10000, &link, &err) > 0) {
		if (last != NULL)
			hr_link_put(last);
		last = link;
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT_EQUAL_FATAL(hr_record_decode(&decoded,
					       last->body.p - HR_LINK_HEAD_BYTES,
					       last->record_bytes, &err),
			      0);
	struct hr_link_head head = { .owner = decoded.link.owner,
				     .n = last->n + 1,
				     .prev_hash = last->hash,
				     .clock_us = last->clock_us + 1,
				     .body_kind = HR_BODY_EPOCH,
				     .body = { record, 0 } };
	n = hr_record_encode_link(record, &app->set, 1, &head);
	stranger_open(&x, &config, app->set.log_topic);
	stranger_append(&x, 1, record, n);
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_STOPPED, 5000));
	hr_owner_reason(app->owner, 0, reason, sizeof(reason));
	shows(reason, "a copy of this machine");
	app_stop(app, 1000);
	hr_link_put(last);
	hr_reader_close(reader);
	stranger_close(&x);
	app_free(app);
}

static void a_later_programs_record_stops_the_shard_by_name_and_no_other(void)
{
	struct app *app = app_new();
	struct hr_config config;
	struct hr_reader *reader;
	struct hr_link *link;
	struct stranger x;
	uint8_t record[HR_FENCE_MAX];
	struct hr_fence fence = { .incarnation = 1 };
	struct hr_err err;
	char reason[512];
	size_t n;
	int r;

	fresh_config(&config, 2);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	n = hr_record_encode_fence(record, &app->set, 1, &fence);
	record[3] = 2; /* version; the frame is sealed again */
	hr_store32(record + n - 4, hr_crc32c(record, n - 4));
	stranger_open(&x, &config, app->set.log_topic);
	stranger_append(&x, 1, record, n);
	CU_ASSERT_TRUE(app_wait_state(app, 1, HR_SHARD_STOPPED, 5000));
	hr_owner_reason(app->owner, 1, reason, sizeof(reason));
	shows(reason, "later program (version 2");
	CU_ASSERT_TRUE(atomic_load(&hr_owner_shard(app->owner, 0)->state) ==
		       HR_SHARD_READY);
	sleep(1);
	uint64_t accepted = atomic_load(&hr_owner_shard(app->owner, 1)->items_accepted);
	uint64_t dropped = atomic_load(&hr_owner_shard(app->owner, 1)->items_dropped);
	app_stop(app, 5000);
	CU_ASSERT_EQUAL(app_check_items(app, 0, 4), app->closed_items[0]);
	CU_ASSERT_EQUAL(accepted + dropped, app->closed_items[1]);
	CU_ASSERT_EQUAL_FATAL(hr_reader_open(&reader, &config, &app->set, 1, &err), 0);
	while ((r = hr_reader_next(reader, 10000, &link, &err)) > 0)
		hr_link_put(link);
	CU_ASSERT_EQUAL(r, -ENOTSUP);
	shows(err.text, "later program (version 2");
	hr_reader_close(reader);
	stranger_close(&x);
	app_free(app);
}

/* What a shard says changes with what its client has learnt: for a moment only that
 * nothing comes back. */
static bool comes_to_say(struct app *app, uint16_t shard, const char *words)
{
	char reason[512];

	for (int i = 0; i < 400; i++) {
		hr_owner_reason(app->owner, shard, reason, sizeof(reason));
		if (strstr(reason, words) != NULL)
			return true;
		usleep(50000);
	}
	printf("found \"%s\", expected \"%s\" in it\n", reason, words);
	return false;
}

static void a_log_that_was_deleted_is_told_and_given_back_from_memory(void)
{
	struct app *app = app_new();
	struct hr_config config;
	struct hr_data_set set;
	struct hr_err err;

	fresh_config(&config, 2);
	app_start(app, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	sleep(1);
	delete_topic(&config, app->set.log_topic);
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_RECOVERING, 20000));
	CU_ASSERT_TRUE(comes_to_say(app, 0, "not there"));
	CU_ASSERT_TRUE(comes_to_say(app, 1, "not there"));
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_RECOVERING, 20000));
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, false, 5000, &err), -ENOENT);
	/* Made again, it is empty; memory still holds the whole chain, and gives it
	 * back: the same links under another owner. */
	CU_ASSERT_EQUAL(hr_data_set_find(&set, &config, true, 20000, &err), 0);
	CU_ASSERT_TRUE(app_wait_all(app, HR_SHARD_READY, 90000));
	app_stop(app, 1000);
	app_free(app);
}

static void a_lost_meta_topic_is_not_taken_for_an_empty_log(void)
{
	struct app *first = app_new(), *second = app_new();
	char meta[HR_KAFKA_TOPIC_NAME], reason[512];
	struct hr_config config;

	fresh_config(&config, 1);
	app_start(first, &config, 1, &steady);
	CU_ASSERT_TRUE_FATAL(app_wait_all(first, HR_SHARD_READY, 20000));
	app_stop(first, 5000);
	hr_kafka_topic_name(meta, &config, "headrace.meta");
	delete_topic(&config, meta);
	sleep(1);
	app_start(second, &config, 1, NULL);
	CU_ASSERT_FALSE(hr_id128_equals(&second->set.id, &first->set.id));
	CU_ASSERT_TRUE(app_wait_state(second, 0, HR_SHARD_STOPPED, 20000));
	hr_owner_reason(second->owner, 0, reason, sizeof(reason));
	shows(reason, "holds records of another data set");
	app_stop(second, 1000);
	app_free(first);
	app_free(second);
}

/* ---- idle ------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void idle_it_costs_next_to_nothing(void)
{
	struct app *app = app_new();
	struct hr_config config;
	double began;

	fresh_config(&config, 5);
	app_start(app, &config, 1, NULL);
	CU_ASSERT_TRUE_FATAL(app_wait_all(app, HR_SHARD_READY, 20000));
	/* The test's worker sleeps 20 us at a time and would cost more than the
	 * owner does: it rests meanwhile. */
	atomic_store(&app->stops_folding, true);
	sleep(2);
	began = cpu_seconds();
	sleep(5);
	began = (cpu_seconds() - began) / 5;
	printf("(%.2f %% of a core) ", 100 * began);
	CU_ASSERT_TRUE(began < 0.03);
	app_stop(app, 1000);
	app_free(app);
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "first starts at once agree on one data set",
		  first_starts_at_once_agree_on_one_data_set },
		{ "a data set that is not there is not made by looking",
		  a_data_set_that_is_not_there_is_not_made_by_looking },
		{ "another S is refused, naming both",
		  another_S_is_refused_naming_both },
		{ "topics with other partitions or settings are refused, naming both",
		  topics_with_other_partitions_or_settings_are_refused_naming_both },
		{ "a log with another partition count is refused, naming both",
		  a_log_with_another_partition_count_is_refused_naming_both },
		{ "properties that break a promise are refused by name",
		  properties_that_break_a_promise_are_refused_by_name },
		{ "a broker out of reach is told in time",
		  a_broker_out_of_reach_is_told_in_time },
		{ "what was appended is read again with the same hashes",
		  what_was_appended_is_read_again_with_the_same_hashes },
		{ "the largest epochs pass",
		  the_largest_epochs_pass_and_memory_stays_bounded },
		{ "a worker that does not fold holds back the window and no more",
		  a_worker_that_does_not_fold_holds_back_the_window_and_no_more },
		{ "a stop does not wait for a long history",
		  a_stop_does_not_wait_for_a_long_history },
		{ "a long history keeps no other shard of the worker waiting",
		  a_long_history_keeps_no_other_shard_of_the_worker_waiting },
		{ "of two owners the first is fenced and the chain stays one",
		  of_two_owners_the_first_is_fenced_and_the_chain_stays_one },
		{ "a fence whose author is dead is fenced again",
		  a_fence_whose_author_is_dead_is_fenced_again },
		{ "garbage and stale records are ignored",
		  garbage_and_stale_records_are_ignored },
		{ "a copy of this machine stops every shard",
		  a_copy_of_this_machine_stops_every_shard },
		{ "a later program's record stops the shard by name, and no other",
		  a_later_programs_record_stops_the_shard_by_name_and_no_other },
		{ "a log that was deleted is told, and given back from memory where it "
		  "is made again",
		  a_log_that_was_deleted_is_told_and_given_back_from_memory },
		{ "a lost meta topic is not taken for an empty log",
		  a_lost_meta_topic_is_not_taken_for_an_empty_log },
		{ "idle, it costs next to nothing", idle_it_costs_next_to_nothing },
		{ "a killed broker that comes back costs nothing",
		  a_killed_broker_that_comes_back_costs_nothing },
		{ "a broker away for longer than the watchdog costs nothing",
		  a_broker_away_for_longer_than_the_watchdog_costs_nothing },
		{ "appends given up and taken late are neither lost nor doubled",
		  appends_given_up_and_taken_late_are_neither_lost_nor_doubled },
		{ "an owner starts before its broker",
		  an_owner_starts_before_its_broker },
		{ "what is tentative at the end is counted",
		  what_is_tentative_at_the_end_is_counted },
		CU_TEST_INFO_NULL,
	};
	CU_TestInfo chosen[HR_COUNT(tests)];
	size_t n = 0;

	if (getenv("HR_TEST_BROKERS") == NULL) {
		fprintf(stderr, "run tests/integration/test_log: it starts a broker\n");
		return 2;
	}
	hr_log_set_level(getenv("HR_TEST_DEBUG") != NULL ? HR_LOG_DEBUG : HR_LOG_WARN);
	/* With words as arguments: the tests whose names hold one of them. */
	for (size_t i = 0; tests[i].pName != NULL; i++) {
		bool wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted |= strstr(tests[i].pName, argv[a]) != NULL;
		if (wanted)
			chosen[n++] = tests[i];
	}
	chosen[n] = (CU_TestInfo)CU_TEST_INFO_NULL;
	return hr_test_run("log on Kafka", NULL, NULL, chosen);
}
