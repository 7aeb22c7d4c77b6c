/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_KAFKA_H
#define HR_KAFKA_H

/*
 * kafka - librdkafka as this program uses it: clients made from the configuration,
 * topics made or checked, trouble reported in few words. Log and views share it.
 *
 *   defaults here < kafka.properties of the configuration < the caller's settings
 *
 * A property that would break a promise of ours (acks, idempotence, offsets,
 * isolation, ...) is refused by name when it comes from the configuration.
 *
 * A client is counted: messages taken from a consumer may outlive the module that
 * opened it (views hold links), so each keeps a reference and the last put destroys
 * the handle. Any thread may get and put; nothing here is called by workers.
 */

#include <stdbool.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>

#include "common/error.h"

struct hr_config;
struct hr_kafka;

enum hr_kafka_kind {
	HR_KAFKA_PRODUCER, /* also for Admin calls */
	HR_KAFKA_CONSUMER,
};

struct hr_kafka_setting {
	const char *name, *value;
};

struct hr_kafka_conf {
	const struct hr_config *config; /* read only while opening */
	enum hr_kafka_kind kind;
	const char *room; /* who speaks in log lines; a literal */
	const char *name; /* for people: "log producer of shard 3"; copied */
	const struct hr_kafka_setting *settings;
	uint32_t n_settings;
	/* Called from rd_kafka_poll() of whoever polls. NULL: not wanted. */
	void (*on_delivery)(void *arg, const rd_kafka_message_t *message);
	/* A broker connection was closed. From librdkafka's own threads. */
	void (*on_close)(void *arg);
	void *arg;
};

/* Returns 0 with one reference of the caller's, or -EINVAL (a property is refused
 * or unknown; err names it), -ENOMEM. Never waits for a broker. */
int hr_kafka_open(struct hr_kafka **out, const struct hr_kafka_conf *conf,
		  struct hr_err *err);
struct hr_kafka *hr_kafka_get(struct hr_kafka *kafka);
/* The last put destroys the handle and waits for its threads: some ten
 * milliseconds. What it had queued is lost without a report. NULL is fine. */
void hr_kafka_put(struct hr_kafka *kafka);

rd_kafka_t *hr_kafka_handle(const struct hr_kafka *kafka);
/* Errors that librdkafka reported to this client so far. */
uint64_t hr_kafka_errors(const struct hr_kafka *kafka);
/* Broker connections of this client that were closed so far, by whichever side. */
uint64_t hr_kafka_closed(const struct hr_kafka *kafka);
/* The newest of its errors, or "" when there was none; for texts. */
void hr_kafka_last_error(struct hr_kafka *kafka, char *out, size_t max);
/* The producer cannot go on: destroy it. */
bool hr_kafka_is_fatal(const struct hr_kafka *kafka);

#define HR_KAFKA_TOPIC_NAME 96

/* topic_prefix of the configuration and name, cut nowhere: prefix has 31 bytes at
 * most, and name is one of our own. */
void hr_kafka_topic_name(char out[HR_KAFKA_TOPIC_NAME], const struct hr_config *config,
			 const char *name);

/* What a topic must be like. */
enum hr_kafka_must {
	HR_KAFKA_EQUAL,    /* made with it, and refused when another is found */
	HR_KAFKA_AT_LEAST, /* a number, the same or more */
	HR_KAFKA_INITIAL,  /* made with it, then the operator's to change */
};

struct hr_kafka_topic_setting {
	const char *name, *value;
	enum hr_kafka_must must;
};

struct hr_kafka_topic {
	char name[HR_KAFKA_TOPIC_NAME]; /* whole, with prefix */
	uint32_t n_partitions;
	const char *partitions_key; /* of the configuration, for texts */
	/* Loses nothing when a broker dies: where it has three replicas,
	 * min.insync.replicas must be 2. */
	bool is_durable;
	const struct hr_kafka_topic_setting *settings;
	uint32_t n_settings;
};

/* Log, meta and snapshots: kept for ever, whole, stamped by the broker, and never led by
 * a replica that had fallen behind. */
struct hr_kafka_topic hr_kafka_topic_kept(const char *name, uint32_t n_partitions);

/*
 * Make the missing topics (make = true) and check the existing ones; when it comes
 * back every partition has a leader. Replication as configured; 0 means 3 where
 * there are three brokers or more, else 1.
 * Returns 0, -ENOENT (missing and not make), -EINVAL (another partition count or
 * setting: err names topic and both values), -EACCES, or -EIO when the brokers were
 * out of reach for wait_ms.
 */
int hr_kafka_topics_ensure(const struct hr_config *config,
			   const struct hr_kafka_topic *topics, uint32_t n_topics,
			   bool make, uint32_t wait_ms, struct hr_err *err);

/*
 * Ask for a topic's metadata, so that the first message does not wait for it. Waits
 * up to wait_ms. Returns true when every partition has a leader; else *is_gone (NULL:
 * not wanted) tells whether a broker said that there is no such topic.
 */
bool hr_kafka_warm(struct hr_kafka *kafka, rd_kafka_topic_t *topic, uint32_t wait_ms,
		   bool *is_gone);

#endif
