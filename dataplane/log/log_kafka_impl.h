/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LOG_KAFKA_IMPL_H
#define HR_LOG_KAFKA_IMPL_H

/*
 * Inside of the log on Kafka: log_kafka.c reads, log_kafka_writer.c appends,
 * log_kafka_verify.c asks for single records again.
 *
 *   caller's thread ── read, append, report ──▶ consumer, producer (one a partition)
 *                   ── renew, seek ──▶ job thread: calls that may block
 *                   ── verify ──▶ verifier thread with a consumer of its own
 *
 * Messages that were handed out keep their client: it is counted.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "common/config.h"
#include "dataplane/log/kafka.h"
#include "dataplane/log/log.h"

/* An append without a report. */
struct hr_kafka_sent {
	struct hr_kafka_sent *next;
	void *cookie;
	rd_kafka_resp_err_t err;
};

/* Work for a thread: close a producer, start reading anew, open a producer. */
struct hr_kafka_job {
	pthread_t thread;
	bool is_running;     /* the thread has to be joined */
	atomic_bool is_over; /* release; pairs with the caller's acquire */
	struct hr_log_part *part;
	/* In. */
	struct hr_kafka *old;
	rd_kafka_topic_t *old_topic;
	struct hr_kafka_sent *old_sent;
	bool opens, seeks;
	int64_t from;
	/* Out. */
	struct hr_kafka *fresh;
	rd_kafka_topic_t *fresh_topic;
	struct hr_err err; /* why there is none, or a remark on it */
};

struct hr_log_part {
	struct hr_log *log;
	struct hr_log_part *next;
	uint16_t shard;

	/* Reading. */
	rd_kafka_queue_t *inbox;
	int64_t from;       /* what comes from before was on its way when we seeked */
	bool must_seek;     /* not begun yet */
	bool is_gone;       /* until the next seek */
	int32_t broker;     /* that sent the last record; -1: none yet */
	uint64_t n_leaders; /* how often it was another one */

	/* Appending. */
	struct hr_kafka *producer;
	rd_kafka_topic_t *topic;
	struct hr_kafka_sent *sent;                  /* not reported */
	struct hr_kafka_sent *reports, **reports_at; /* to be told, oldest first */
	struct hr_kafka_job job;
	bool wants_writer, must_renew;
	struct hr_err writer_err;
	/* Of producers that are gone, up to the moment when they had to go: what is
	 * closed on purpose was not lost. */
	uint64_t retired_errors, retired_lost;
};

/* A record asked for again. Under the verifier's lock. */
enum hr_kafka_look_state {
	HR_LOOK_NONE,
	HR_LOOK_ASKED,
	HR_LOOK_ON,       /* the thread is at it */
	HR_LOOK_ANSWERED, /* result, and message where it is a record */
};

struct hr_kafka_look {
	enum hr_kafka_look_state state;
	int64_t offset;
	bool is_stale;      /* another question came meanwhile, or nobody asks */
	bool is_asked_anew; /* and this is its offset: */
	int64_t next_offset;
	uint64_t deadline_us; /* the thread's own */
	enum hr_log_read result;
	struct hr_log_message message;
	struct hr_err err;
};

struct hr_kafka_verifier {
	pthread_t thread;
	bool is_running;
	bool ends; /* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t asked;
	/* The thread's own, made by it; the queue is set under the lock. */
	struct hr_kafka *client;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	struct hr_kafka_look *looks; /* by shard */
};

struct hr_log {
	struct hr_config config;
	struct hr_data_set set;
	char name[48];
	int wake_fd;
	struct hr_kafka *consumer;
	rd_kafka_topic_t *topic;
	struct hr_log_part *parts;
	struct hr_kafka_verifier verifier;
};

void hr_log_kafka_wake(struct hr_log *log);
/* A message as the interface shows it; takes it over. */
void hr_log_kafka_message(struct hr_log_message *out, struct hr_kafka *client,
			  rd_kafka_message_t *m);
/* What stood there is no more. */
bool hr_log_kafka_is_gone(rd_kafka_resp_err_t e);

/* log_kafka_writer.c */
void hr_log_kafka_renew(struct hr_log_part *part);
void hr_log_kafka_retire(struct hr_log_part *part);
enum hr_log_writer hr_log_kafka_writer(struct hr_log_part *part, struct hr_err *err);
int hr_log_kafka_append(struct hr_log_part *part, const uint8_t *bytes,
			uint32_t n_bytes, bool copies, void *cookie,
			struct hr_err *err);
int hr_log_kafka_report(struct hr_log_part *part, struct hr_log_report *out,
			struct hr_err *err);
bool hr_log_kafka_is_broken(struct hr_log_part *part, struct hr_err *err);
/* Adopt what a job brought, start the next one, collect reports. */
void hr_log_kafka_writer_poll(struct hr_log_part *part);
/* Blocks until producer and jobs are gone. */
void hr_log_kafka_writer_close(struct hr_log_part *part);

/* log_kafka_verify.c */
int hr_log_kafka_verifier_init(struct hr_log *log);
void hr_log_kafka_verifier_fini(struct hr_log *log);
void hr_log_kafka_verify(struct hr_log_part *part, int64_t offset);
enum hr_log_read hr_log_kafka_verified(struct hr_log_part *part,
				       struct hr_log_message *out, struct hr_err *err);
/* The part is going: no answer is wanted. */
void hr_log_kafka_verify_forget(struct hr_log_part *part);

#endif
