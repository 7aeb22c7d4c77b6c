/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Records asked for again, by a thread with a consumer of its own: librdkafka reads a
 * partition once a client. It starts each partition at the offset in question, takes
 * one message, and stops it.
 *
 * That an offset is gone is said only when the partition's leader confirms it: a new
 * leader may know less of the high watermark for a moment than the old one told, and
 * then nothing seems to stand where the last record does. Asked for its offsets it
 * refuses to answer until it knows (KIP-207).
 */

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "dataplane/log/log_kafka_impl.h"

#define ANSWER_US 5000000u
#define CONFIRM_MS 2000
#define LOOK_MS 50

static int open_client(struct hr_log *log, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", "read_uncommitted" },
		{ "queued.min.messages", "1" },
	};
	const struct hr_kafka_conf conf = {
		.config = &log->config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "log",
		.name = "log verifier",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	struct hr_kafka_verifier *v = &log->verifier;
	rd_kafka_queue_t *queue;
	int r = hr_kafka_open(&v->client, &conf, err);

	if (r < 0) {
		v->client = NULL;
		return r;
	}
	v->topic = rd_kafka_topic_new(hr_kafka_handle(v->client), log->set.log_topic,
				      NULL);
	queue = rd_kafka_queue_new(hr_kafka_handle(v->client));
	pthread_mutex_lock(&v->lock);
	v->queue = queue;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* Under the lock: what was asked is answered, unless nobody wants it any more. */
static void settle(struct hr_kafka_look *look, enum hr_log_read result,
		   const struct hr_log_message *message, const struct hr_err *err)
{
	if (!look->is_stale) {
		look->state = HR_LOOK_ANSWERED;
		look->result = result;
		if (message != NULL)
			look->message = *message;
		if (err != NULL)
			look->err = *err;
		return;
	}
	if (message != NULL) {
		struct hr_log_message dropped = *message;

		dropped.free(&dropped);
	}
	look->state = look->is_asked_anew ? HR_LOOK_ASKED : HR_LOOK_NONE;
	look->offset = look->next_offset;
	look->is_stale = look->is_asked_anew = false;
}

static void answer(struct hr_log *log, int32_t shard, enum hr_log_read result,
		   rd_kafka_message_t *m, const struct hr_err *err)
{
	struct hr_kafka_verifier *v = &log->verifier;
	struct hr_log_message message;

	rd_kafka_consume_stop(v->topic, shard);
	if (m != NULL)
		hr_log_kafka_message(&message, v->client, m);
	pthread_mutex_lock(&v->lock);
	settle(&v->looks[shard], result, m != NULL ? &message : NULL, err);
	pthread_mutex_unlock(&v->lock);
	hr_log_kafka_wake(log);
}

/* Nothing seems to stand there. */
static void confirm(struct hr_log *log, int32_t shard, int64_t offset)
{
	struct hr_kafka_verifier *v = &log->verifier;
	int64_t low = -1, high = -1;
	struct hr_err err;
	rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(
		hr_kafka_handle(v->client), log->set.log_topic, shard, &low, &high,
		CONFIRM_MS);
	bool is_gone =
		e == RD_KAFKA_RESP_ERR_NO_ERROR && (offset >= high || offset < low);

	if (is_gone)
		hr_fail(&err, -ENODATA,
			"offset %lld of partition %d of topic %s is gone: %lld to "
			"%lld are there",
			(long long)offset, shard, log->set.log_topic, (long long)low,
			(long long)high);
	else
		hr_fail(&err, -EIO, "%s",
			e == RD_KAFKA_RESP_ERR_NO_ERROR ? "asked again"
							: rd_kafka_err2str(e));
	answer(log, shard, is_gone ? HR_LOG_GONE : HR_LOG_TROUBLE, NULL, &err);
}

/* The thread alone leaves the state ON, and offset does not change in it. */
static bool is_on(struct hr_log *log, const struct hr_kafka_look *look)
{
	bool is;

	pthread_mutex_lock(&log->verifier.lock);
	is = look->state == HR_LOOK_ON;
	pthread_mutex_unlock(&log->verifier.lock);
	return is;
}

static void judge(struct hr_log *log, rd_kafka_message_t *m)
{
	struct hr_kafka_look *look = &log->verifier.looks[m->partition];
	struct hr_err err;

	if (!is_on(log, look)) {
		rd_kafka_message_destroy(m);
	} else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset == look->offset) {
		answer(log, m->partition, HR_LOG_RECORD, m, NULL);
	} else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset < look->offset) {
		rd_kafka_message_destroy(m); /* of an earlier question */
	} else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
		   m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
		   hr_log_kafka_is_gone(m->err)) {
		confirm(log, m->partition, look->offset);
		rd_kafka_message_destroy(m);
	} else {
		hr_fail(&err, -EIO, "%s", rd_kafka_message_errstr(m));
		answer(log, m->partition, HR_LOG_TROUBLE, NULL, &err);
		rd_kafka_message_destroy(m);
	}
}

static void begin(struct hr_log *log, uint16_t shard)
{
	struct hr_kafka_verifier *v = &log->verifier;
	struct hr_kafka_look *look = &v->looks[shard];
	struct hr_err err;

	if (v->client == NULL && open_client(log, &err) < 0) {
		pthread_mutex_lock(&v->lock);
		settle(look, HR_LOG_TROUBLE, NULL, &err);
		pthread_mutex_unlock(&v->lock);
		hr_log_kafka_wake(log);
		return;
	}
	look->deadline_us = hr_mono_us() + ANSWER_US;
	if (rd_kafka_consume_start_queue(v->topic, shard, look->offset, v->queue) == 0)
		return;
	hr_fail(&err, -EIO, "%s", rd_kafka_err2str(rd_kafka_last_error()));
	answer(log, shard, HR_LOG_TROUBLE, NULL, &err);
}

/* Under the lock. Returns a shard that was asked for, or -1; *n_on: under way. */
static int next_asked(struct hr_log *log, uint32_t *n_on)
{
	int found = -1;

	*n_on = 0;
	for (uint32_t s = 0; s < log->set.n_shards; s++) {
		*n_on += log->verifier.looks[s].state == HR_LOOK_ON;
		if (log->verifier.looks[s].state == HR_LOOK_ASKED && found < 0)
			found = (int)s;
	}
	return found;
}

static void give_up_late(struct hr_log *log)
{
	uint64_t now_us = hr_mono_us();
	struct hr_err err;

	hr_fail(&err, -EIO, "it did not answer within %u s", ANSWER_US / 1000000);
	for (uint32_t s = 0; s < log->set.n_shards; s++) {
		struct hr_kafka_look *look = &log->verifier.looks[s];

		if (is_on(log, look) && now_us > look->deadline_us)
			answer(log, (int32_t)s, HR_LOG_TROUBLE, NULL, &err);
	}
}

static void look_on(struct hr_log *log)
{
	struct hr_kafka_verifier *v = &log->verifier;
	rd_kafka_message_t *m = rd_kafka_consume_queue(v->queue, LOOK_MS);

	rd_kafka_poll(hr_kafka_handle(v->client), 0);
	if (m != NULL)
		judge(log, m);
	give_up_late(log);
}

static void *run(void *arg)
{
	struct hr_log *log = arg;
	struct hr_kafka_verifier *v = &log->verifier;

	pthread_setname_np(pthread_self(), "hr-verifier");
	pthread_mutex_lock(&v->lock);
	while (!v->ends) {
		uint32_t n_on;
		int shard = next_asked(log, &n_on);

		if (shard >= 0)
			v->looks[shard].state = HR_LOOK_ON;
		else if (n_on == 0) {
			pthread_cond_wait(&v->asked, &v->lock);
			continue;
		}
		pthread_mutex_unlock(&v->lock);
		if (shard >= 0)
			begin(log, (uint16_t)shard);
		else
			look_on(log);
		pthread_mutex_lock(&v->lock);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

int hr_log_kafka_verifier_init(struct hr_log *log)
{
	struct hr_kafka_verifier *v = &log->verifier;

	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->asked, NULL);
	v->looks = calloc(log->set.n_shards, sizeof(*v->looks));
	return v->looks != NULL ? 0 : -ENOMEM;
}

static void free_answers(struct hr_log *log)
{
	struct hr_kafka_look *looks = log->verifier.looks;

	for (uint32_t s = 0; looks != NULL && s < log->set.n_shards; s++)
		if (looks[s].state == HR_LOOK_ANSWERED &&
		    looks[s].result == HR_LOG_RECORD)
			looks[s].message.free(&looks[s].message);
	free(looks);
}

static void stop_partitions(struct hr_log *log)
{
	for (uint32_t s = 0; s < log->set.n_shards; s++)
		if (log->verifier.looks[s].state == HR_LOOK_ON)
			rd_kafka_consume_stop(log->verifier.topic, (int32_t)s);
}

void hr_log_kafka_verifier_fini(struct hr_log *log)
{
	struct hr_kafka_verifier *v = &log->verifier;

	if (v->is_running) {
		pthread_mutex_lock(&v->lock);
		v->ends = true;
		if (v->queue != NULL)
			rd_kafka_queue_yield(v->queue);
		pthread_cond_signal(&v->asked);
		pthread_mutex_unlock(&v->lock);
		pthread_join(v->thread, NULL);
	}
	if (v->client != NULL) {
		stop_partitions(log);
		rd_kafka_queue_destroy(v->queue);
		rd_kafka_topic_destroy(v->topic);
	}
	free_answers(log);
	hr_kafka_put(v->client);
	pthread_cond_destroy(&v->asked);
	pthread_mutex_destroy(&v->lock);
}

/* Under the lock. */
static void drop_answer(struct hr_kafka_look *look)
{
	if (look->state == HR_LOOK_ANSWERED && look->result == HR_LOG_RECORD)
		look->message.free(&look->message);
	if (look->state != HR_LOOK_ON)
		look->state = HR_LOOK_NONE;
	look->is_stale = look->state == HR_LOOK_ON;
	look->is_asked_anew = false;
}

void hr_log_kafka_verify(struct hr_log_part *part, int64_t offset)
{
	struct hr_log *log = part->log;
	struct hr_kafka_verifier *v = &log->verifier;
	struct hr_kafka_look *look = &v->looks[part->shard];

	pthread_mutex_lock(&v->lock);
	drop_answer(look);
	if (look->state == HR_LOOK_ON) {
		look->is_asked_anew = true;
		look->next_offset = offset;
	} else {
		look->state = HR_LOOK_ASKED;
		look->offset = offset;
	}
	if (!v->is_running)
		v->is_running = pthread_create(&v->thread, NULL, run, log) == 0;
	if (v->queue != NULL)
		rd_kafka_queue_yield(v->queue);
	pthread_cond_signal(&v->asked);
	pthread_mutex_unlock(&v->lock);
}

enum hr_log_read hr_log_kafka_verified(struct hr_log_part *part,
				       struct hr_log_message *out, struct hr_err *err)
{
	struct hr_kafka_verifier *v = &part->log->verifier;
	struct hr_kafka_look *look = &v->looks[part->shard];
	enum hr_log_read result = HR_LOG_NOTHING;

	pthread_mutex_lock(&v->lock);
	if (look->state == HR_LOOK_ANSWERED) {
		look->state = HR_LOOK_NONE;
		result = look->result;
		if (result == HR_LOG_RECORD)
			*out = look->message;
		else
			*err = look->err;
	} else if (look->state == HR_LOOK_ASKED && !v->is_running) {
		look->state = HR_LOOK_NONE;
		hr_fail(err, -ENOMEM, "no thread to verify the log");
		result = HR_LOG_TROUBLE;
	}
	pthread_mutex_unlock(&v->lock);
	return result;
}

void hr_log_kafka_verify_forget(struct hr_log_part *part)
{
	struct hr_kafka_verifier *v = &part->log->verifier;

	pthread_mutex_lock(&v->lock);
	drop_answer(&v->looks[part->shard]);
	pthread_mutex_unlock(&v->lock);
}
