/* SPDX-License-Identifier: BSD-3-Clause */

/* The log as a Kafka topic: handles, reading, trimming. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dataplane/log/log_kafka_impl.h"

#define TRIM_MS 30000

static const uint64_t one = 1;

void hr_log_kafka_wake(struct hr_log *log)
{
	/* Full means that a wake-up is pending. */
	if (write(log->wake_fd, &one, sizeof(one)) < 0)
		return;
}

bool hr_log_kafka_is_gone(rd_kafka_resp_err_t e)
{
	return e == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	       e == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
}

static void message_free(struct hr_log_message *message)
{
	rd_kafka_message_destroy(message->held[0]);
	hr_kafka_put(message->held[1]);
}

void hr_log_kafka_message(struct hr_log_message *out, struct hr_kafka *client,
			  rd_kafka_message_t *m)
{
	rd_kafka_timestamp_type_t type;
	int64_t stamp = rd_kafka_message_timestamp(m, &type);

	*out = (struct hr_log_message){
		.offset = m->offset,
		/* A topic that stamps otherwise is refused at the start; what an
		 * operator changes later makes it a store without a clock. */
		.stamped_ms = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? stamp : 0,
		.bytes = m->payload,
		.n_bytes = (uint32_t)m->len,
		.held = { m, hr_kafka_get(client) },
		.free = message_free,
	};
}

/* ---- handles ----------------------------------------------------------------- */

static int open_consumer(struct hr_log *log, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		/* Nobody writes to the log in a transaction; one that a stranger
		 * left open must not hide what stands behind it. */
		{ "isolation.level", "read_uncommitted" },
		/* Read ahead: per partition, and in one answer. */
		{ "queued.max.messages.kbytes", "8192" },
		{ "fetch.max.bytes", "16777216" },
	};
	const struct hr_kafka_conf conf = {
		.config = &log->config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "log",
		.name = log->name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	int r = hr_kafka_open(&log->consumer, &conf, err);

	if (r < 0)
		return r;
	log->topic = rd_kafka_topic_new(hr_kafka_handle(log->consumer),
					log->set.log_topic, NULL);
	return log->topic != NULL ? 0 : hr_fail(err, -ENOMEM, "no memory for the log");
}

static void log_close(struct hr_log *log)
{
	if (log == NULL)
		return;
	hr_log_kafka_verifier_fini(log);
	if (log->topic != NULL)
		rd_kafka_topic_destroy(log->topic);
	hr_kafka_put(log->consumer); /* it stays as long as somebody holds a message */
	if (log->wake_fd >= 0)
		close(log->wake_fd);
	free(log);
}

static int log_open(struct hr_log **out, const struct hr_log_conf *conf,
		    struct hr_err *err)
{
	struct hr_log *log = calloc(1, sizeof(*log));
	int r = -ENOMEM;

	if (log == NULL)
		return hr_fail(err, r, "no memory for the log");
	log->config = *conf->config;
	log->set = *conf->set;
	snprintf(log->name, sizeof(log->name), "%s", conf->name);
	log->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (log->wake_fd < 0 || hr_log_kafka_verifier_init(log) < 0)
		hr_fail(err, r, "no memory for the log");
	else
		r = open_consumer(log, err);
	if (r < 0) {
		log_close(log);
		return r;
	}
	*out = log;
	return 0;
}

static int log_wake_fd(const struct hr_log *log)
{
	return log->wake_fd;
}

static void log_poll(struct hr_log *log)
{
	rd_kafka_poll(hr_kafka_handle(log->consumer), 0);
	for (struct hr_log_part *p = log->parts; p != NULL; p = p->next)
		hr_log_kafka_writer_poll(p);
}

static uint64_t log_n_lost(const struct hr_log *log)
{
	uint64_t n = hr_kafka_closed(log->consumer);

	for (const struct hr_log_part *p = log->parts; p != NULL; p = p->next)
		n += p->retired_lost + p->n_leaders +
		     (p->producer != NULL ? hr_kafka_closed(p->producer) : 0);
	return n;
}

static void log_errors(const struct hr_log *log, uint64_t *reading, uint64_t *appending)
{
	*reading = hr_kafka_errors(log->consumer);
	*appending = 0;
	for (const struct hr_log_part *p = log->parts; p != NULL; p = p->next)
		*appending += p->retired_errors +
			      (p->producer != NULL ? hr_kafka_errors(p->producer) : 0);
}

/* ---- reading ----------------------------------------------------------------- */

static int part_open(struct hr_log_part **out, struct hr_log *log, uint16_t shard,
		     int64_t from, struct hr_err *err)
{
	struct hr_log_part *part = calloc(1, sizeof(*part));

	if (part == NULL)
		return hr_fail(err, -ENOMEM, "no memory for shard %u of the log",
			       shard);
	part->log = log;
	part->shard = shard;
	part->from = from;
	part->broker = -1;
	part->reports_at = &part->reports;
	part->inbox = rd_kafka_queue_new(hr_kafka_handle(log->consumer));
	rd_kafka_queue_io_event_enable(part->inbox, log->wake_fd, &one, sizeof(one));
	if (rd_kafka_consume_start_queue(log->topic, shard, from, part->inbox) < 0) {
		hr_fail(err, -EIO, "partition %u of topic %s: %s", shard,
			log->set.log_topic, rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_queue_destroy(part->inbox);
		free(part);
		return -EIO;
	}
	part->next = log->parts;
	log->parts = part;
	*out = part;
	return 0;
}

static void part_close(struct hr_log_part *part)
{
	struct hr_log_part **at;

	if (part == NULL)
		return;
	hr_log_kafka_verify_forget(part);
	hr_log_kafka_writer_close(part);
	rd_kafka_consume_stop(part->log->topic, part->shard);
	rd_kafka_queue_destroy(part->inbox);
	for (at = &part->log->parts; *at != part; at = &(*at)->next)
		;
	*at = part->next;
	free(part);
}

static void part_seek(struct hr_log_part *part, int64_t offset)
{
	part->from = offset;
	part->must_seek = true;
	part->is_gone = false;
	hr_log_kafka_writer_poll(part);
}

static bool is_seeking(const struct hr_log_part *part)
{
	return part->must_seek || (part->job.is_running && part->job.seeks);
}

/* The record came from another broker than the one before it. */
static void look_for_leader(struct hr_log_part *part, const rd_kafka_message_t *m)
{
	int32_t broker = rd_kafka_message_broker_id(m);

	if (part->broker != broker && part->broker >= 0)
		part->n_leaders++;
	part->broker = broker;
}

static enum hr_log_read read_error(struct hr_log_part *part,
				   const rd_kafka_message_t *m, struct hr_err *err)
{
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return HR_LOG_END;
	if (!hr_log_kafka_is_gone(m->err)) {
		hr_fail(err, -EIO, "%s", rd_kafka_message_errstr(m));
		return HR_LOG_TROUBLE;
	}
	/* librdkafka keeps such an error in the queue across a seek (it has no version), and
	 * may have stopped to fetch: where it is about another offset it is asked again. */
	if (m->offset != part->from) {
		part_seek(part, part->from);
		return HR_LOG_NOTHING;
	}
	part->is_gone = true;
	hr_fail(err, -ENODATA,
		"what stands at offset %lld of partition %u is gone: topic %s was "
		"truncated, trimmed or made anew",
		(long long)part->from, part->shard, part->log->set.log_topic);
	return HR_LOG_GONE;
}

static enum hr_log_read part_read(struct hr_log_part *part, struct hr_log_message *out,
				  struct hr_err *err)
{
	while (!is_seeking(part) && !part->is_gone) {
		rd_kafka_message_t *m = rd_kafka_consume_queue(part->inbox, 0);
		enum hr_log_read r;

		if (m == NULL)
			return HR_LOG_NOTHING;
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset >= part->from) {
			look_for_leader(part, m);
			part->from = m->offset + 1;
			hr_log_kafka_message(out, part->log->consumer, m);
			return HR_LOG_RECORD;
		}
		r = m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? HR_LOG_NOTHING
							 : read_error(part, m, err);
		rd_kafka_message_destroy(m);
		if (r != HR_LOG_NOTHING)
			return r;
	}
	return HR_LOG_NOTHING;
}

/* As of the newest answer of the broker; asks nobody. */
static int64_t watermark(const struct hr_log_part *part, bool is_high)
{
	const struct hr_log *log = part->log;
	int64_t low = -1, high = -1, found;

	if (rd_kafka_get_watermark_offsets(hr_kafka_handle(log->consumer),
					   log->set.log_topic, part->shard, &low,
					   &high) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return -1;
	found = is_high ? high : low;
	return found >= 0 ? found : -1;
}

static int64_t part_first(const struct hr_log_part *part)
{
	return watermark(part, false);
}

static int64_t part_end(const struct hr_log_part *part)
{
	return watermark(part, true);
}

/* ---- trimming ---------------------------------------------------------------- */

static int trim_result(rd_kafka_event_t *event, const char *topic, uint16_t shard,
		       struct hr_err *err)
{
	rd_kafka_resp_err_t e = event != NULL ? rd_kafka_event_error(event)
					      : RD_KAFKA_RESP_ERR__TIMED_OUT;

	if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
		const rd_kafka_DeleteRecords_result_t *result =
			rd_kafka_event_DeleteRecords_result(event);

		e = rd_kafka_DeleteRecords_result_offsets(result)->elems[0].err;
	}
	if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	return hr_fail(
		err, e == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ? -EACCES : -EIO,
		"trimming partition %u of topic %s: %s", shard, topic,
		rd_kafka_err2str(e));
}

static int log_trim(struct hr_log *log, uint16_t shard, int64_t before,
		    struct hr_err *err)
{
	rd_kafka_t *rk = hr_kafka_handle(log->consumer);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_DeleteRecords_t *deletes;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event;
	int r;

	rd_kafka_topic_partition_list_add(list, log->set.log_topic, shard)->offset =
		before;
	deletes = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(rk, &deletes, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, TRIM_MS);
	r = trim_result(event, log->set.log_topic, shard, err);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_DeleteRecords_destroy(deletes);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
	return r;
}

const struct hr_log_ops hr_log_kafka = {
	.name = "kafka",
	.open = log_open,
	.close = log_close,
	.wake_fd = log_wake_fd,
	.poll = log_poll,
	.part_open = part_open,
	.part_close = part_close,
	.seek = part_seek,
	.read = part_read,
	.first = part_first,
	.end = part_end,
	.renew = hr_log_kafka_renew,
	.retire = hr_log_kafka_retire,
	.writer = hr_log_kafka_writer,
	.append = hr_log_kafka_append,
	.report = hr_log_kafka_report,
	.is_broken = hr_log_kafka_is_broken,
	.verify = hr_log_kafka_verify,
	.verified = hr_log_kafka_verified,
	.n_lost = log_n_lost,
	.errors = log_errors,
	.trim = log_trim,
};
