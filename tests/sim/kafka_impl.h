/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_KAFKA_IMPL_H
#define SIM_KAFKA_IMPL_H

/*
 * Inside of the simulated Kafka, for its own files alone: kafka.c has the brokers,
 * kafka_client.c what every client of them needs, kafka_produce.c and kafka_consume.c
 * what producers and readers do. hr_kafka and the library's handle are one.
 */

#include "dataplane/log/kafka.h"
#include "tests/sim/kafka.h"
#include "tests/sim/world.h"

enum state {
	PLAIN,
	OPEN,
	COMMITTED,
	ABORTED,
	MARKER,
};

struct record {
	struct hr_str key, value;
	enum state state;
	uint64_t transaction; /* that it belongs to */
	const struct coordinator *producer;
	bool is_left; /* its marker never came: ends with the producer's next one */
	bool was_committed; /* its coordinator says so */
};

struct partition {
	struct record *records;
	uint32_t n, max;
	uint32_t stable; /* no open record lies before it */
	bool is_robbed;  /* records that were committed were aborted with later ones */
};

struct topic {
	struct topic *next;
	char name[HR_KAFKA_TOPIC_NAME];
	struct partition *partitions;
	uint32_t n_partitions;
};

/* What the coordinator knows of a transactional id. */
struct coordinator {
	struct coordinator *next;
	char id[160];
	uint32_t epoch;
	uint64_t transaction;   /* the open one; 0: none */
	struct late_mark *late; /* markers on their way */
};

struct sim_kafka {
	struct sim *sim;
	struct sim_kafka_faults faults;
	struct topic *topics;
	struct coordinator *coordinators;
	struct hr_kafka *clients;
	uint64_t n_transactions;
	void (*begins)(void *arg, void *owner, uint16_t shard);
	void *begins_arg;
};

#define CONSUMED_MAX 16

struct rd_kafka_topic_s {
	rd_kafka_t *rk;
	char name[HR_KAFKA_TOPIC_NAME];
	/* By partition: several may be consumed at a time. */
	struct {
		int64_t position;
		bool told_end;
	} at[CONSUMED_MAX];
};

struct rd_kafka_queue_s {
	struct {
		rd_kafka_topic_t *topic;
		int32_t partition;
	} of[4 * CONSUMED_MAX];
	uint32_t n;
};

struct queued {
	rd_kafka_message_t message;
	char topic[HR_KAFKA_TOPIC_NAME];
	struct hr_str key, value;
};

struct hr_kafka {
	struct hr_kafka *next;
	struct sim_kafka *kafka;
	void *owner;
	void (*on_delivery)(void *arg, const rd_kafka_message_t *message);
	void (*on_close)(void *arg);
	void *arg;
	char transactional_id[160];
	bool is_committed_reader, is_fatal, has_begun, has_ended;
	uint32_t epoch;
	struct queued *queue;
	uint32_t n_queue, max_queue;
};

struct rd_kafka_s {
	struct hr_kafka kafka;
};

/* kafka.c: NULL where there is none. */
struct topic *sim_kafka_topic_find(const struct sim_kafka *k, const char *name);
/* It must be there. */
struct partition *sim_kafka_partition_find(const struct sim_kafka *k, const char *name,
					   int32_t partition);
/* Takes the record's bytes over; returns its offset. */
int64_t sim_kafka_record_add(struct partition *p, struct record r);
/* The last stable offset. */
uint32_t sim_kafka_stable_end(struct partition *p);
/* Made at the first call. */
struct coordinator *sim_kafka_coordinator_get(struct sim_kafka *k, const char *id);
void sim_kafka_transaction_begin(struct sim_kafka *k, struct coordinator *c);
/* Of the one that is open, if there is one. */
void sim_kafka_transaction_end(struct sim_kafka *k, struct coordinator *c,
			       enum state state);

/* kafka_client.c: the time that a request takes passes; its connection may close. */
void sim_kafka_request(struct hr_kafka *k);
void sim_kafka_queue_drop(struct hr_kafka *k);

#endif
