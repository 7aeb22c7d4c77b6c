/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "dataplane/log/kafka.h"
#include "tools/gen/topic.h"

#define METADATA_MS 10000
#define SILENCE_US 30000000u /* without a record or an end, where some are due */
#define POLL_MS 100
#define AT_ONCE 8

struct hr_topic {
	struct hr_kafka *client;
	rd_kafka_topic_t *rkt;
	rd_kafka_queue_t *queue;
	uint32_t n_partitions, n_started;
	uint32_t n_at_end;
	bool *is_at_end;
	bool *was_at_end; /* once: another partition was begun for it */
};

static int count_partitions(struct hr_topic *topic, const char *name,
			    struct hr_err *err)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code = rd_kafka_metadata(
		hr_kafka_handle(topic->client), 0, topic->rkt, &metadata, METADATA_MS);
	int r = 0;

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return hr_fail(err, -EIO, "topic %s: %s", name, rd_kafka_err2str(code));
	if (metadata->topic_cnt != 1 ||
	    metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
		r = hr_fail(err, -ENOENT, "topic %s: %s", name,
			    metadata->topic_cnt != 1
				    ? "not there"
				    : rd_kafka_err2str(metadata->topics[0].err));
	else
		topic->n_partitions = (uint32_t)metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return r;
}

static int start_next(struct hr_topic *topic, struct hr_err *err)
{
	if (rd_kafka_consume_start_queue(topic->rkt, (int32_t)topic->n_started,
					 RD_KAFKA_OFFSET_BEGINNING, topic->queue) < 0)
		return hr_fail(err, -EIO, "topic %s: %s",
			       rd_kafka_topic_name(topic->rkt),
			       rd_kafka_err2str(rd_kafka_last_error()));
	topic->n_started++;
	return 0;
}

static int start(struct hr_topic *topic, struct hr_err *err)
{
	topic->queue = rd_kafka_queue_new(hr_kafka_handle(topic->client));
	topic->is_at_end = calloc(topic->n_partitions + 1, sizeof(bool));
	topic->was_at_end = calloc(topic->n_partitions + 1, sizeof(bool));
	if (topic->is_at_end == NULL || topic->was_at_end == NULL)
		return hr_fail(err, -ENOMEM, "no memory for partitions");
	while (topic->n_started < AT_ONCE && topic->n_started < topic->n_partitions) {
		int r = start_next(topic, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int hr_topic_open(struct hr_topic **out, const struct hr_config *config,
		  const char *name, bool is_committed, struct hr_err *err)
{
	const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level",
		  is_committed ? "read_committed" : "read_uncommitted" },
		/* Read ahead of each partition. A full queue costs librdkafka a second
		 * of rest, so rather few partitions at once than little of each. */
		{ "queued.max.messages.kbytes", "16384" },
	};
	const struct hr_kafka_conf conf = {
		.config = config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "verify",
		.name = name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	struct hr_topic *topic = calloc(1, sizeof(*topic));
	char whole[HR_KAFKA_TOPIC_NAME];
	int r;

	if (topic == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a consumer");
	hr_kafka_topic_name(whole, config, name);
	r = hr_kafka_open(&topic->client, &conf, err);
	if (r == 0) {
		topic->rkt =
			rd_kafka_topic_new(hr_kafka_handle(topic->client), whole, NULL);
		r = count_partitions(topic, whole, err);
	}
	if (r == 0)
		r = start(topic, err);
	if (r < 0) {
		hr_topic_close(topic);
		return r;
	}
	*out = topic;
	return 0;
}

void hr_topic_close(struct hr_topic *topic)
{
	if (topic == NULL)
		return;
	for (uint32_t p = 0; p < topic->n_started; p++)
		rd_kafka_consume_stop(topic->rkt, (int32_t)p);
	if (topic->queue != NULL)
		rd_kafka_queue_destroy(topic->queue);
	if (topic->rkt != NULL)
		rd_kafka_topic_destroy(topic->rkt);
	hr_kafka_put(topic->client);
	free(topic->is_at_end);
	free(topic->was_at_end);
	free(topic);
}

uint32_t hr_topic_partitions(const struct hr_topic *topic)
{
	return topic->n_partitions;
}

static void at_end(struct hr_topic *topic, int32_t partition, bool is_at_end)
{
	bool *was = &topic->is_at_end[partition];

	if (*was != is_at_end)
		topic->n_at_end += is_at_end ? 1u : UINT32_MAX;
	*was = is_at_end;
}

/* Whoever comes to its end for the first time makes room for the next one. */
static int came_to_end(struct hr_topic *topic, int32_t partition, struct hr_err *err)
{
	const bool was = topic->was_at_end[partition];

	at_end(topic, partition, true);
	topic->was_at_end[partition] = true;
	return !was && topic->n_started < topic->n_partitions ? start_next(topic, err)
							      : 0;
}

/* 1: a record; 0: something else; or an error. */
static int take_message(struct hr_topic *topic, const rd_kafka_message_t *m,
			hr_topic_take take, void *arg, struct hr_err *err)
{
	switch (m->err) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		at_end(topic, m->partition, false);
		take(arg, m);
		return 1;
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		return came_to_end(topic, m->partition, err);
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		return hr_fail(err, -EIO, "topic %s: %s",
			       rd_kafka_topic_name(topic->rkt),
			       rd_kafka_message_errstr(m));
	default: /* passes by itself, or silence ends it */
		return 0;
	}
}

int64_t hr_topic_read(struct hr_topic *topic, uint32_t wait_ms, hr_topic_take take,
		      void *arg, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;
	uint64_t heard_us = hr_mono_us();
	int64_t n = 0;

	for (;;) {
		const bool is_all = topic->n_at_end == topic->n_partitions;
		const uint64_t now = hr_mono_us();
		rd_kafka_message_t *m;
		int r;

		if (is_all && (n > 0 || now >= until_us))
			return n;
		if (!is_all && now - heard_us > SILENCE_US)
			return hr_fail(err, -EIO, "topic %s: nothing came for 30 s",
				       rd_kafka_topic_name(topic->rkt));
		rd_kafka_poll(hr_kafka_handle(topic->client), 0);
		m = rd_kafka_consume_queue(topic->queue, POLL_MS);
		if (m == NULL)
			continue;
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
		    m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			heard_us = hr_mono_us();
		r = take_message(topic, m, take, arg, err);
		rd_kafka_message_destroy(m);
		if (r < 0)
			return r;
		n += r;
	}
}
