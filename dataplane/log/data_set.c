/* SPDX-License-Identifier: BSD-3-Clause */

/* Which data set this is: the record at the lowest offset of headrace.meta. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/log/file_data_set.h"
#include "dataplane/log/log_impl.h"
#include "dataplane/log/reader.h"

#define POLL_MS 20

void hr_log_topic_name(char out[HR_KAFKA_TOPIC_NAME], const struct hr_config *config,
		       uint32_t generation)
{
	char name[32];

	snprintf(name, sizeof(name), "headrace.log.g%u", generation);
	hr_kafka_topic_name(out, config, name);
}

/* Read the partition from its first record on: 1 and the first META, 0 when its end
 * came first, or an error. */
static int lowest_read(struct hr_kafka *client, rd_kafka_topic_t *rkt,
		       struct hr_data_set *out, uint64_t until_us, struct hr_err *err)
{
	char last[160];

	while (hr_mono_us() < until_us) {
		rd_kafka_message_t *m = rd_kafka_consume(rkt, 0, POLL_MS);
		struct hr_record record;
		bool is_record, is_end;

		rd_kafka_poll(hr_kafka_handle(client), 0);
		if (m == NULL)
			continue;
		is_end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
		is_record = m->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
			    hr_record_decode(&record, m->payload, m->len, NULL) == 0;
		rd_kafka_message_destroy(m);
		if (is_end)
			return 0;
		if (!is_record)
			continue;
		if (record.type == HR_RECORD_UNKNOWN)
			return hr_fail(
				err, -ENOTSUP,
				"topic %s was written by a later program (record "
				"version %u, type %u): use that one",
				rd_kafka_topic_name(rkt), record.version,
				record.type_no);
		if (record.type == HR_RECORD_META) {
			*out = record.meta;
			return 1;
		}
	}
	hr_kafka_last_error(client, last, sizeof(last));
	return hr_fail(err, -EIO, "topic %s could not be read in time%s%s",
		       rd_kafka_topic_name(rkt),
		       last[0] != '\0' ? "; last error: " : "", last);
}

static uint32_t left_ms(uint64_t until_us)
{
	uint64_t now = hr_mono_us();

	return now < until_us ? (uint32_t)((until_us - now) / 1000) + 1 : 1;
}

static int find_lowest(struct hr_data_set *out, const struct hr_config *config,
		       const char *topic, uint64_t until_us, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", "read_uncommitted" },
	};
	const struct hr_kafka_conf conf = {
		.config = config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "log",
		.name = "data set reader",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	struct hr_kafka *client;
	rd_kafka_topic_t *rkt;
	int r = hr_kafka_open(&client, &conf, err);

	if (r < 0)
		return r;
	rkt = rd_kafka_topic_new(hr_kafka_handle(client), topic, NULL);
	/* A client that does not know the leader yet looks for the beginning again only
	 * after half a second. */
	(void)hr_kafka_warm(client, rkt, left_ms(until_us), NULL);
	if (rd_kafka_consume_start(rkt, 0, RD_KAFKA_OFFSET_BEGINNING) == 0) {
		r = lowest_read(client, rkt, out, until_us, err);
		rd_kafka_consume_stop(rkt, 0);
	} else {
		r = hr_fail(err, -EIO, "topic %s: %s", topic,
			    rd_kafka_err2str(rd_kafka_last_error()));
	}
	rd_kafka_topic_destroy(rkt);
	hr_kafka_put(client);
	return r;
}

static int make_set(struct hr_data_set *out, const struct hr_config *config)
{
	char topic[HR_KAFKA_TOPIC_NAME];

	memset(out, 0, sizeof(*out));
	out->generation = config->generation;
	out->n_shards = config->n_shards;
	hr_log_topic_name(topic, config, config->generation);
	memcpy(out->log_topic, topic, strnlen(topic, sizeof(out->log_topic) - 1));
	if (getrandom(&out->id, sizeof(out->id), 0) != sizeof(out->id) ||
	    getrandom(out->hash_key, sizeof(out->hash_key), 0) != sizeof(out->hash_key))
		return -EIO;
	return 0;
}

struct delivery {
	bool is_done;
	rd_kafka_resp_err_t err;
};

static void on_delivery(void *arg, const rd_kafka_message_t *m)
{
	struct delivery *d = arg;

	d->is_done = true;
	d->err = m->err;
}

/* Append a data set of our own. Whether it becomes *the* data set is found out by
 * reading, as it is when this fails with its outcome unknown. */
static int append_meta(const struct hr_config *config, const char *topic,
		       uint64_t until_us, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "linger.ms", "0" },
		{ "message.timeout.ms", "0" },
	};
	struct delivery done = { false, RD_KAFKA_RESP_ERR_NO_ERROR };
	const struct hr_kafka_conf conf = {
		.config = config,
		.kind = HR_KAFKA_PRODUCER,
		.room = "log",
		.name = "data set writer",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
		.on_delivery = on_delivery,
		.arg = &done,
	};
	uint8_t record[HR_META_MAX];
	struct hr_data_set set;
	struct hr_kafka *client;
	rd_kafka_topic_t *rkt;
	size_t n;
	int r;

	if (make_set(&set, config) < 0)
		return hr_fail(err, -EIO, "the kernel gave no random bytes");
	n = hr_record_encode_meta(record, &set);
	r = hr_kafka_open(&client, &conf, err);
	if (r < 0)
		return r;
	rkt = rd_kafka_topic_new(hr_kafka_handle(client), topic, NULL);
	if (rd_kafka_produce(rkt, 0, RD_KAFKA_MSG_F_COPY, record, n, NULL, 0, NULL) < 0)
		done = (struct delivery){ true, rd_kafka_last_error() };
	while (!done.is_done && hr_mono_us() < until_us)
		rd_kafka_poll(hr_kafka_handle(client), POLL_MS);
	if (!done.is_done)
		r = hr_fail(err, -EIO,
			    "topic %s: the data set could not be appended in "
			    "time",
			    topic);
	else if (done.err != RD_KAFKA_RESP_ERR_NO_ERROR)
		r = hr_fail(err, -EIO, "topic %s: appending the data set: %s", topic,
			    rd_kafka_err2str(done.err));
	rd_kafka_topic_destroy(rkt);
	hr_kafka_put(client);
	return r;
}

static int agree(const struct hr_data_set *set, const struct hr_config *config,
		 const char *topic, struct hr_err *err)
{
	if (set->n_shards != config->n_shards)
		return hr_fail(err, -EINVAL,
			       "the data set in %s has %u shards: data_set.shards says "
			       "%u; S cannot be changed for a data set",
			       topic, set->n_shards, config->n_shards);
	if (set->generation != config->generation)
		return hr_fail(err, -EINVAL,
			       "the data set in %s is of generation %u: this program "
			       "writes generation %u; use the one that made it",
			       topic, set->generation, config->generation);
	return 0;
}

int hr_data_set_find(struct hr_data_set *out, const struct hr_config *config, bool make,
		     uint32_t wait_ms, struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;
	char meta_name[HR_KAFKA_TOPIC_NAME];
	struct hr_kafka_topic topic;
	int r;

	if (config->log_kind == HR_LOG_KIND_FILE)
		return hr_file_data_set_find(out, config, make, &hr_disk_real, err);
	hr_kafka_topic_name(meta_name, config, HR_META_TOPIC);
	topic = hr_kafka_topic_kept(meta_name, 1);
	topic.partitions_key = "this program";
	r = hr_kafka_topics_ensure(config, &topic, 1, make, wait_ms, err);
	if (r < 0)
		return r;
	r = find_lowest(out, config, meta_name, until_us, err);
	if (r == 0 && !make)
		return hr_fail(err, -ENOENT, "topic %s holds no data set", meta_name);
	if (r == 0) {
		r = append_meta(config, meta_name, until_us, err);
		if (r == 0)
			r = find_lowest(out, config, meta_name, until_us, err);
		if (r == 0)
			r = hr_fail(err, -EIO,
				    "topic %s: the data set just appended is not there",
				    meta_name);
	}
	if (r < 0)
		return r;
	r = agree(out, config, meta_name, err);
	if (r < 0)
		return r;
	topic = hr_kafka_topic_kept(out->log_topic, out->n_shards);
	return hr_kafka_topics_ensure(config, &topic, 1, make, left_ms(until_us), err);
}
