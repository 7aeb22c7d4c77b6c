/* SPDX-License-Identifier: BSD-3-Clause */

/* Appending to a partition, and the job thread: calls that may block, so that one
 * shard's trouble stops no other. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "dataplane/log/log_kafka_impl.h"

#define WARM_MS 1000

/* ---- reports ------------------------------------------------------------------ */

/* A retried append gives up only when there is nothing to append to. */
static bool is_topic_gone(rd_kafka_resp_err_t e)
{
	return e == RD_KAFKA_RESP_ERR__DESTROY ||
	       e == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
	       e == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	       e == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static void free_all(struct hr_kafka_sent *list)
{
	while (list != NULL) {
		struct hr_kafka_sent *next = list->next;

		free(list);
		list = next;
	}
}

/* From rd_kafka_poll() of the caller's thread: never of a producer that was given to
 * a job. */
static void on_delivery(void *arg, const rd_kafka_message_t *m)
{
	struct hr_log_part *part = arg;
	struct hr_kafka_sent *sent = m->_private;
	struct hr_kafka_sent **at = &part->sent;

	while (*at != sent)
		at = &(*at)->next;
	*at = sent->next;
	sent->err = m->err;
	sent->next = NULL;
	*part->reports_at = sent;
	part->reports_at = &sent->next;
}

static void forget_reports(struct hr_log_part *part)
{
	free_all(part->reports);
	part->reports = NULL;
	part->reports_at = &part->reports;
}

int hr_log_kafka_report(struct hr_log_part *part, struct hr_log_report *out,
			struct hr_err *err)
{
	struct hr_kafka_sent *sent = part->reports;

	if (sent == NULL || part->must_renew)
		return 0;
	part->reports = sent->next;
	if (part->reports == NULL)
		part->reports_at = &part->reports;
	out->cookie = sent->cookie;
	out->was_taken = sent->err == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (!out->was_taken)
		hr_fail(err, -EIO, "%s",
			is_topic_gone(sent->err)
				? "the topic or its partition is not there"
				: rd_kafka_err2str(sent->err));
	free(sent);
	return 1;
}

int hr_log_kafka_append(struct hr_log_part *part, const uint8_t *bytes,
			uint32_t n_bytes, bool copies, void *cookie, struct hr_err *err)
{
	struct hr_kafka_sent *sent;

	if (part->producer == NULL || part->must_renew)
		return hr_fail(err, -ENOTCONN, "there is no producer");
	sent = calloc(1, sizeof(*sent));
	if (sent == NULL)
		return hr_fail(err, -ENOMEM, "no memory to append");
	sent->cookie = cookie;
	/* librdkafka does not write to it. */
	if (rd_kafka_produce(part->topic, part->shard, copies ? RD_KAFKA_MSG_F_COPY : 0,
			     (void *)(uintptr_t)bytes, n_bytes, NULL, 0, sent) < 0) {
		free(sent);
		return hr_fail(err, -EIO, "%s",
			       rd_kafka_err2str(rd_kafka_last_error()));
	}
	sent->next = part->sent;
	part->sent = sent;
	return 0;
}

bool hr_log_kafka_is_broken(struct hr_log_part *part, struct hr_err *err)
{
	if (part->producer == NULL || part->must_renew ||
	    !hr_kafka_is_fatal(part->producer))
		return false;
	err->text[0] = '\0';
	hr_kafka_last_error(part->producer, err->text, sizeof(err->text));
	return true;
}

/* ---- the job ------------------------------------------------------------------- */

/* What it had queued need not come back: the chain is asked what became of it. */
static void close_old(struct hr_kafka_job *job)
{
	if (job->old == NULL)
		return;
	rd_kafka_purge(hr_kafka_handle(job->old),
		       RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_topic_destroy(job->old_topic);
	hr_kafka_put(job->old);
	free_all(job->old_sent);
	job->old = NULL;
	job->old_topic = NULL;
	job->old_sent = NULL;
}

static void start_reading(struct hr_kafka_job *job)
{
	struct hr_log_part *part = job->part;
	rd_kafka_topic_t *topic = part->log->topic;

	rd_kafka_consume_stop(topic, part->shard);
	if (rd_kafka_consume_start_queue(topic, part->shard, job->from, part->inbox) <
	    0)
		hr_warn("log", "shard %d: fetching could not be started: %s",
			part->shard, rd_kafka_err2str(rd_kafka_last_error()));
}

static void open_new(struct hr_kafka_job *job)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "linger.ms", "0" },
		{ "max.in.flight.requests.per.connection", "1" },
		{ "message.timeout.ms", "0" },
	};
	static const uint64_t one = 1;
	struct hr_log *log = job->part->log;
	char name[64];
	const struct hr_kafka_conf conf = {
		.config = &log->config,
		.kind = HR_KAFKA_PRODUCER,
		.room = "log",
		.name = name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
		.on_delivery = on_delivery,
		.arg = job->part,
	};
	rd_kafka_queue_t *reports;
	bool is_gone = false;

	snprintf(name, sizeof(name), "log producer of shard %u", job->part->shard);
	if (hr_kafka_open(&job->fresh, &conf, &job->err) < 0) {
		job->fresh = NULL;
		return;
	}
	job->fresh_topic = rd_kafka_topic_new(hr_kafka_handle(job->fresh),
					      log->set.log_topic, NULL);
	reports = rd_kafka_queue_get_main(hr_kafka_handle(job->fresh));
	rd_kafka_queue_io_event_enable(reports, log->wake_fd, &one, sizeof(one));
	rd_kafka_queue_destroy(reports);
	/* Cold metadata would make the first message wait up to a second. With the
	 * broker away the answer is no, and the message waits in the producer. */
	(void)hr_kafka_warm(job->fresh, job->fresh_topic, WARM_MS, &is_gone);
	if (is_gone)
		hr_fail(&job->err, -ENOENT, "the topic is not there");
}

static void do_job(struct hr_kafka_job *job)
{
	close_old(job);
	if (job->seeks)
		start_reading(job);
	if (job->opens)
		open_new(job);
}

static void *run(void *arg)
{
	struct hr_kafka_job *job = arg;
	struct hr_log *log = job->part->log;

	do_job(job);
	/* Pairs with the acquire in adopt(). */
	atomic_store_explicit(&job->is_over, true, memory_order_release);
	hr_log_kafka_wake(log);
	return NULL;
}

/* The producer is the job's from here on. */
static void give_up_producer(struct hr_log_part *part)
{
	struct hr_kafka_job *job = &part->job;

	if (part->producer == NULL)
		return;
	part->retired_errors += hr_kafka_errors(part->producer);
	part->retired_lost += hr_kafka_closed(part->producer);
	job->old = part->producer;
	job->old_topic = part->topic;
	job->old_sent = part->sent;
	part->producer = NULL;
	part->topic = NULL;
	part->sent = NULL;
	forget_reports(part);
}

static void start(struct hr_log_part *part)
{
	struct hr_kafka_job *job = &part->job;

	job->part = part;
	job->opens = part->must_renew;
	job->seeks = part->must_seek;
	job->from = part->from;
	job->err.text[0] = '\0';
	if (part->must_renew || !part->wants_writer)
		give_up_producer(part);
	atomic_store_explicit(&job->is_over, false, memory_order_relaxed);
	if (pthread_create(&job->thread, NULL, run, job) != 0)
		return; /* tried again with the next poll */
	job->is_running = true;
	part->must_renew = false;
	part->must_seek = false;
}

static void adopt(struct hr_log_part *part)
{
	struct hr_kafka_job *job = &part->job;

	/* Pairs with the release in run(). */
	if (!atomic_load_explicit(&job->is_over, memory_order_acquire))
		return;
	pthread_join(job->thread, NULL);
	job->is_running = false;
	if (!job->opens)
		return;
	part->producer = job->fresh;
	part->topic = job->fresh_topic;
	part->writer_err = job->err;
	job->fresh = NULL;
	job->fresh_topic = NULL;
}

void hr_log_kafka_writer_poll(struct hr_log_part *part)
{
	if (part->job.is_running)
		adopt(part);
	if (!part->job.is_running &&
	    (part->must_renew || part->must_seek || part->job.old != NULL ||
	     (!part->wants_writer && part->producer != NULL)))
		start(part);
	if (part->producer != NULL)
		rd_kafka_poll(hr_kafka_handle(part->producer), 0);
}

void hr_log_kafka_renew(struct hr_log_part *part)
{
	bool is_opening = part->job.is_running && part->job.opens;

	part->must_renew = !is_opening;
	part->wants_writer = true;
	hr_log_kafka_writer_poll(part);
}

void hr_log_kafka_retire(struct hr_log_part *part)
{
	part->must_renew = false;
	part->wants_writer = false;
	hr_log_kafka_writer_poll(part);
}

enum hr_log_writer hr_log_kafka_writer(struct hr_log_part *part, struct hr_err *err)
{
	const struct hr_kafka_job *job = &part->job;

	*err = part->writer_err;
	if (!part->wants_writer)
		return job->is_running || job->old != NULL || part->producer != NULL
			       ? HR_LOG_WRITER_OPENING
			       : HR_LOG_WRITER_NONE;
	if (part->must_renew || (job->is_running && job->opens))
		return HR_LOG_WRITER_OPENING;
	return part->producer != NULL ? HR_LOG_WRITER_READY : HR_LOG_WRITER_FAILED;
}

void hr_log_kafka_writer_close(struct hr_log_part *part)
{
	struct hr_kafka_job *job = &part->job;

	part->must_renew = part->must_seek = false;
	part->wants_writer = false;
	if (job->is_running) {
		pthread_join(job->thread, NULL);
		job->is_running = false;
		if (job->opens) {
			part->producer = job->fresh;
			part->topic = job->fresh_topic;
		}
	}
	job->opens = job->seeks = false;
	job->part = part;
	give_up_producer(part);
	do_job(job);
	forget_reports(part);
}
