/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "common/clock.h"
#include "common/murmur2.h"
#include "dataplane/view/view.h"
#include "tests/integration/view_topics/bench.h"
#include "tests/integration/view_topics/outcome.h"

#define SHARDS 5
#define LINKS 240 /* of each shard */
#define EVENTS_A_LINK 500
#define PLAIN_RECORDS 800000
#define PARTITIONS 100
#define WAIT_US 120000000u

struct clocks {
	uint64_t mono_us, cpu_us;
};

static struct clocks now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (struct clocks){
		.mono_us = hr_mono_us(),
		.cpu_us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
			  (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec),
	};
}

static double report(const char *what, struct clocks since, uint64_t records)
{
	struct clocks end = now();
	double cpu = (double)(end.cpu_us - since.cpu_us) / (double)records;

	printf("%-34s %7llu records, %6.0f k/s by the clock, %5.2f CPU s per million "
	       "= %5.0f k/s of a core\n",
	       what, (unsigned long long)records,
	       (double)records * 1000 / (double)(end.mono_us - since.mono_us), cpu,
	       1000 / cpu);
	fflush(stdout);
	return cpu;
}

static struct source *opened(void)
{
	struct source *x = source_open(SHARDS);
	struct hr_config defaults;

	hr_config_defaults(&defaults);
	x->config.user_events_partitions = defaults.user_events_partitions;
	x->config.product_views_partitions = defaults.product_views_partitions;
	x->config.purchases_partitions = defaults.purchases_partitions;
	x->config.dead_letters_partitions = defaults.dead_letters_partitions;
	return x;
}

/* Of the events behind the first few that made the partitions' files. */
static uint64_t records_of(const struct source *x, const uint64_t *from)
{
	uint64_t n = 0;

	for (uint16_t s = 0; s < SHARDS; s++)
		for (uint64_t k = from[s]; k < x->shards[s].next_k; k++) {
			struct source_event e;

			source_event(&e, SHARDS, s, k);
			n++;
			if (e.reject == NULL && (strcmp(e.type, "product_view") == 0 ||
						 strcmp(e.type, "purchase") == 0))
				n++;
		}
	return n;
}

static bool is_done(const struct hr_view *view, const struct source *x)
{
	for (uint16_t s = 0; s < SHARDS; s++)
		if (hr_view_topics.applied(view, s) < x->shards[s].n)
			return false;
	return true;
}

static struct hr_view *view_of(const struct source *x, struct hr_feed *feed)
{
	const struct hr_view_conf conf = { .config = &x->config,
					   .set = &x->set,
					   .feed = feed };
	struct hr_view *view;
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_view_topics.start(&view, &conf, &err), 0);
	return view;
}

static void wait_done(const struct hr_view *view, const struct source *x)
{
	uint64_t until_us = hr_mono_us() + WAIT_US;

	while (!is_done(view, x) && hr_mono_us() < until_us)
		usleep(1000);
	CU_ASSERT_TRUE(is_done(view, x));
}

/* A first view makes the partitions' files. Then everything is folded and in memory,
 * and a second one writes it. */
static double of_view(void)
{
	struct source *x = opened();
	uint64_t from[SHARDS];
	struct follower f;
	struct hr_view *view;
	struct clocks since;
	double cpu;

	follower_start(&f, &x->config, &x->set, (size_t)4 << 30);
	source_load(x, 5, EVENTS_A_LINK);
	source_flush(x);
	view = view_of(x, f.feed);
	wait_done(view, x);
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 1000));
	for (uint16_t s = 0; s < SHARDS; s++)
		from[s] = x->shards[s].next_k;
	source_load(x, LINKS, EVENTS_A_LINK);
	source_flush(x);
	CU_ASSERT_TRUE_FATAL(follower_wait(&f, x, 60000));
	view = view_of(x, f.feed);
	while (hr_view_topics.state(view) == HR_VIEW_CONNECTING)
		usleep(100);
	since = now();
	wait_done(view, x);
	cpu = report("view, 1 producer a shard", since, records_of(x, from));
	CU_ASSERT_TRUE(hr_view_topics.stop(view, 1000));
	follower_stop(&f);
	source_close(x);
	return cpu;
}

/* ---- the plain producer ------------------------------------------------------------- */

struct plain {
	char *values; /* PLAIN_RECORDS of them, each at its place */
	uint32_t *at, *bytes;
	char (*keys)[64];
};

static void plain_make(struct plain *p)
{
	size_t used = 0;

	p->values = malloc((size_t)PLAIN_RECORDS * 320);
	p->at = malloc(PLAIN_RECORDS * sizeof(*p->at));
	p->bytes = malloc(PLAIN_RECORDS * sizeof(*p->bytes));
	p->keys = malloc(PLAIN_RECORDS * sizeof(*p->keys));
	for (uint32_t i = 0; i < PLAIN_RECORDS; i++) {
		char text[SOURCE_EVENT_MAX];
		struct source_event e;
		uint32_t n;

		source_event(&e, SHARDS, (uint16_t)(i % SHARDS), i / SHARDS);
		e.time_is_text = true;
		n = source_render(&e, text);
		/* The view's records have the event time as well. */
		n += (uint32_t)sprintf(text + n - 1,
				       ",\"event_time\":\"2024-01-15 10:30:00.000\"}") -
		     1;
		memcpy(p->values + used, text, n);
		p->at[i] = (uint32_t)used;
		p->bytes[i] = n;
		snprintf(p->keys[i], sizeof(p->keys[i]), "%s", e.user);
		used += n;
	}
	printf("\nplain records have %zu bytes each\n", used / PLAIN_RECORDS);
}

static void plain_free(struct plain *p)
{
	free(p->values);
	free(p->at);
	free(p->bytes);
	free(p->keys);
}

static void count_reports(void *arg, const rd_kafka_message_t *m)
{
	*(uint64_t *)arg += m->err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void plain_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic,
			  const struct plain *p)
{
	for (uint32_t i = 0; i < PLAIN_RECORDS; i++) {
		const char *key = p->keys[i];

		while (rd_kafka_produce(topic,
					(int32_t)hr_kafka_partition(key, strlen(key),
								    PARTITIONS),
					RD_KAFKA_MSG_F_COPY, p->values + p->at[i],
					p->bytes[i], key, strlen(key), NULL) < 0)
			rd_kafka_poll(rk, 1);
		if (i % 256 == 0)
			rd_kafka_poll(rk, 0);
	}
	rd_kafka_flush(rk, 60000);
}

static double of_plain(const struct plain *p)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "compression.codec", "snappy" },
		{ "batch.size", "65536" },
		{ "linger.ms", "5" },
	};
	struct source *x = source_open(1);
	struct hr_kafka_topic wanted = { .n_partitions = PARTITIONS };
	uint64_t delivered = 0;
	const struct hr_kafka_conf conf = { .config = &x->config,
					    .kind = HR_KAFKA_PRODUCER,
					    .room = "test",
					    .name = "plain",
					    .settings = settings,
					    .n_settings = 5,
					    .on_delivery = count_reports,
					    .arg = &delivered };
	rd_kafka_topic_t *topic;
	struct hr_kafka *client;
	struct clocks since;
	struct hr_err err;
	double cpu;

	hr_kafka_topic_name(wanted.name, &x->config, "plain");
	CU_ASSERT_EQUAL_FATAL(
		hr_kafka_topics_ensure(&x->config, &wanted, 1, true, 20000, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_kafka_open(&client, &conf, &err), 0);
	topic = rd_kafka_topic_new(hr_kafka_handle(client), wanted.name, NULL);
	CU_ASSERT_TRUE_FATAL(hr_kafka_warm(client, topic, 10000, NULL));
	since = now();
	plain_produce(hr_kafka_handle(client), topic, p);
	cpu = report("plain producer, copied", since, delivered);
	rd_kafka_topic_destroy(topic);
	hr_kafka_put(client);
	source_close(x);
	return cpu;
}

void bench(void)
{
	struct plain plain;
	double view = 1e9, other = 1e9;

	plain_make(&plain);
	for (int i = 0; i < 3; i++) { /* the broker's compiler gets warm */
		double v = of_view(), o = of_plain(&plain);

		view = v < view ? v : view;
		other = o < other ? o : other;
	}
	printf("best of three: the view costs %.2f of the plain producer per record\n",
	       view / other);
	plain_free(&plain);
}
