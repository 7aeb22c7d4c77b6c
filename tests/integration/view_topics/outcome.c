/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>
#include <jansson.h>

#include "common/clock.h"
#include "tests/integration/view_topics/outcome.h"

#define READ_US 60000000u

static struct hr_kafka *open_reader(const struct hr_config *config, const char *level)
{
	const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", level },
		{ "check.crcs", "true" },
	};
	const struct hr_kafka_conf conf = { .config = config,
					    .kind = HR_KAFKA_CONSUMER,
					    .room = "test",
					    .name = "outcome",
					    .settings = settings,
					    .n_settings = 3 };
	struct hr_kafka *client;
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_kafka_open(&client, &conf, &err), 0);
	return client;
}

static int32_t partitions_of(struct hr_kafka *client, rd_kafka_topic_t *topic)
{
	const struct rd_kafka_metadata *md;
	int32_t n;

	CU_ASSERT_TRUE_FATAL(hr_kafka_warm(client, topic, 20000, NULL));
	CU_ASSERT_EQUAL_FATAL(
		rd_kafka_metadata(hr_kafka_handle(client), 0, topic, &md, 10000), 0);
	n = md->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(md);
	return n;
}

static int64_t end_of(struct hr_kafka *client, const char *name, int32_t p)
{
	int64_t low, high;

	CU_ASSERT_EQUAL_FATAL(rd_kafka_query_watermark_offsets(hr_kafka_handle(client),
							       name, p, &low, &high,
							       10000),
			      0);
	return high;
}

static bool read_all(rd_kafka_queue_t *queue, const int64_t *ends, int32_t n_left,
		     outcome_record each, void *ctx)
{
	uint64_t until_us = hr_mono_us() + READ_US;

	while (n_left > 0 && hr_mono_us() < until_us) {
		rd_kafka_message_t *m = rd_kafka_consume_queue(queue, 100);

		if (m == NULL)
			continue;
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			each(ctx, m);
		else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF &&
			 m->offset >= ends[m->partition])
			n_left--;
		rd_kafka_message_destroy(m);
	}
	return n_left == 0;
}

bool outcome_read(const struct hr_config *config, const char *own_name,
		  outcome_record each, void *ctx)
{
	struct hr_kafka *all = open_reader(config, "read_uncommitted");
	struct hr_kafka *committed = open_reader(config, "read_committed");
	rd_kafka_queue_t *queue = rd_kafka_queue_new(hr_kafka_handle(committed));
	char name[HR_KAFKA_TOPIC_NAME];
	rd_kafka_topic_t *topic;
	int64_t ends[512];
	int32_t n;
	bool done;

	hr_kafka_topic_name(name, config, own_name);
	topic = rd_kafka_topic_new(hr_kafka_handle(committed), name, NULL);
	n = partitions_of(committed, topic);
	CU_ASSERT_TRUE_FATAL(n <= 512);
	for (int32_t p = 0; p < n; p++) {
		ends[p] = end_of(all, name, p);
		rd_kafka_consume_start_queue(topic, p, RD_KAFKA_OFFSET_BEGINNING,
					     queue);
	}
	done = read_all(queue, ends, n, each, ctx);
	for (int32_t p = 0; p < n; p++)
		rd_kafka_consume_stop(topic, p);
	rd_kafka_topic_destroy(topic);
	rd_kafka_queue_destroy(queue);
	hr_kafka_put(committed);
	hr_kafka_put(all);
	return done;
}

/* ---- comparing --------------------------------------------------------------------- */

#define TOPICS 4
static const char *const names[TOPICS] = { "user_events", "product_views", "purchases",
					   "dead_letters" };

struct seen {
	const struct source *source;
	int topic;
	uint64_t count;
	uint8_t *times[SOURCE_SHARDS_MAX]; /* of event k */
	struct {
		char user[64];
		int64_t k;
	} users[SOURCE_SHARDS_MAX * SOURCE_USERS];
	uint32_t n_users;
	uint32_t n_bad;
};

static void bad(struct seen *seen, const rd_kafka_message_t *m, const char *what)
{
	if (seen->n_bad++ < 5)
		fprintf(stderr, "%s %d@%lld: %s: %.*s\n", names[seen->topic],
			m->partition, (long long)m->offset, what, (int)m->len,
			(const char *)m->payload);
}

static bool belongs(int topic, const struct source_event *e)
{
	switch (topic) {
	case 0:
		return e->reject == NULL;
	case 1:
		return e->reject == NULL && strcmp(e->type, "product_view") == 0;
	case 2:
		return e->reject == NULL && strcmp(e->type, "purchase") == 0;
	default:
		return e->reject != NULL;
	}
}

static bool is_text(json_t *o, const char *key, const char *text)
{
	json_t *v = json_object_get(o, key);

	return json_is_string(v) && strcmp(json_string_value(v), text) == 0;
}

static bool metadata_fits(json_t *o, const struct source_event *e)
{
	json_t *m = json_object_get(o, "metadata");

	if (!json_is_object(m))
		return false;
	if (e->product[0] == '\0')
		return json_object_size(m) == 0;
	return json_object_size(m) == 4 && is_text(m, "product_id", e->product) &&
	       is_text(m, "category", e->category) &&
	       json_integer_value(json_object_get(m, "quantity")) == e->quantity &&
	       is_text(m, "note", "a\tb");
}

static bool times_fit(json_t *o, const struct source_event *e)
{
	time_t seconds = (time_t)(e->time_ms / 1000);
	char day[32], iso[64], sql[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	snprintf(iso, sizeof(iso), "%sT%02d:%02d:%02d.%03d", day, tm.tm_hour, tm.tm_min,
		 tm.tm_sec, (int)(e->time_ms % 1000));
	snprintf(sql, sizeof(sql), "%s %02d:%02d:%02d.%03d", day, tm.tm_hour, tm.tm_min,
		 tm.tm_sec, (int)(e->time_ms % 1000));
	if (!is_text(o, "event_time", sql))
		return false;
	return e->time_is_text ? is_text(o, "timestamp", iso)
			       : json_integer_value(json_object_get(o, "timestamp")) ==
					 e->time_ms;
}

static void check_order(struct seen *seen, const rd_kafka_message_t *m,
			const struct source_event *e, uint64_t k)
{
	uint32_t u = 0;

	while (u < seen->n_users && strcmp(seen->users[u].user, e->user) != 0)
		u++;
	if (u == seen->n_users) {
		snprintf(seen->users[u].user, sizeof(seen->users[u].user), "%s",
			 e->user);
		seen->users[u].k = -1;
		seen->n_users++;
	}
	if ((int64_t)k <= seen->users[u].k)
		bad(seen, m, "a user's events are not in order");
	seen->users[u].k = (int64_t)k;
}

static void check_value(struct seen *seen, const rd_kafka_message_t *m, json_t *o,
			const struct source_event *e, uint64_t k)
{
	if (json_object_size(o) != 6 || !is_text(o, "event_id", e->id) ||
	    !is_text(o, "user_id", e->user) || !is_text(o, "event_type", e->type) ||
	    !metadata_fits(o, e) || !times_fit(o, e))
		bad(seen, m, "its value is another");
	check_order(seen, m, e, k);
}

static bool header_is(rd_kafka_headers_t *headers, const char *name, const char *text)
{
	const void *value;
	size_t n;

	return rd_kafka_header_get_last(headers, name, &value, &n) == 0 &&
	       n == strlen(text) && memcmp(value, text, n) == 0;
}

static void check_letter(struct seen *seen, const rd_kafka_message_t *m,
			 const struct source_event *e)
{
	char bytes[SOURCE_EVENT_MAX];
	uint32_t n = source_render(e, bytes);
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	if (m->len != n || memcmp(m->payload, bytes, n) != 0)
		bad(seen, m, "its bytes are others than were sent");
	if (rd_kafka_message_headers(m, &headers) != 0 ||
	    !header_is(headers, "reason", e->reject) ||
	    !header_is(headers, "source", "192.0.2.1:4711") ||
	    !header_is(headers, "key_id", "77") ||
	    rd_kafka_header_get_last(headers, "detail", &value, &size) != 0 ||
	    size < 10 ||
	    rd_kafka_header_get_last(headers, "received", &value, &size) != 0 ||
	    size != 24 || memcmp(value, "20", 2) != 0)
		bad(seen, m, "its headers are others");
}

/* Letters carry a key if the user is usable and of this shard. */
static void check_key(struct seen *seen, const rd_kafka_message_t *m,
		      const struct source_event *e, uint32_t shard)
{
	const char *key = e->user;
	int32_t n = (int32_t)seen->source->set.n_shards, want = (int32_t)shard;

	if (e->reject != NULL && strcmp(e->reject, "type") != 0)
		key = "";
	switch (seen->topic) {
	case 0:
		n *= 4;
		break;
	case 1:
	case 2:
		n *= 2;
		break;
	default:
		break;
	}
	if (key[0] != '\0')
		want = rd_kafka_msg_partitioner_murmur2(NULL, key, strlen(key), n, NULL,
							NULL);
	if (key[0] == '\0' && m->key != NULL)
		bad(seen, m, "it has a key, if an empty one");
	if (m->key_len != strlen(key) ||
	    (m->key_len > 0 && memcmp(m->key, key, m->key_len) != 0))
		bad(seen, m, "its key is another");
	if (m->partition != want)
		bad(seen, m, "it is in another partition than Kafka's murmur2 says");
}

static void each_record(void *ctx, const rd_kafka_message_t *m)
{
	struct seen *seen = ctx;
	json_t *o = json_loadb(m->payload, m->len, JSON_REJECT_DUPLICATES, NULL);
	const char *id = json_string_value(json_object_get(o, "event_id"));
	struct source_event e;
	unsigned long long k;
	unsigned int shard;

	seen->count++;
	if (id == NULL || sscanf(id, "e%u.%llu", &shard, &k) != 2 ||
	    shard >= seen->source->set.n_shards ||
	    k >= seen->source->shards[shard].next_k) {
		bad(seen, m, "it was never sent");
		json_decref(o);
		return;
	}
	source_event(&e, seen->source->set.n_shards, (uint16_t)shard, k);
	if (!belongs(seen->topic, &e)) {
		bad(seen, m, "it does not belong into this topic");
		json_decref(o);
		return;
	}
	if (seen->times[shard][k]++ != 0)
		bad(seen, m, "it is there twice");
	check_key(seen, m, &e, shard);
	if (seen->topic == 3)
		check_letter(seen, m, &e);
	else
		check_value(seen, m, o, &e, k);
	json_decref(o);
}

static uint64_t missing(const struct seen *seen)
{
	uint64_t n = 0;

	for (uint16_t s = 0; s < seen->source->set.n_shards; s++)
		for (uint64_t k = 0; k < seen->source->shards[s].next_k; k++) {
			struct source_event e;

			source_event(&e, seen->source->set.n_shards, s, k);
			if (!belongs(seen->topic, &e) || seen->times[s][k] != 0)
				continue;
			if (n++ < 5)
				fprintf(stderr, "%s: event %s is missing\n",
					names[seen->topic], e.id);
		}
	return n;
}

static uint64_t check_topic(const struct source *source, int topic)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	uint64_t count;

	seen->source = source;
	seen->topic = topic;
	for (uint16_t s = 0; s < source->set.n_shards; s++)
		seen->times[s] = calloc(source->shards[s].next_k + 1, 1);
	CU_ASSERT_TRUE(outcome_read(&source->config, names[topic], each_record, seen));
	CU_ASSERT_EQUAL(seen->n_bad, 0);
	CU_ASSERT_EQUAL(missing(seen), 0);
	for (uint16_t s = 0; s < source->set.n_shards; s++)
		free(seen->times[s]);
	count = seen->count;
	free(seen);
	return count;
}

void outcome_check(const struct source *source, struct outcome *found)
{
	struct outcome here;

	if (found == NULL)
		found = &here;
	found->user_events = check_topic(source, 0);
	found->product_views = check_topic(source, 1);
	found->purchases = check_topic(source, 2);
	found->dead_letters = check_topic(source, 3);
}
