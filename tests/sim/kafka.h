/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_KAFKA_H
#define SIM_KAFKA_H

/*
 * kafka - brokers of a run, as far as the topics view uses them: topics, transactions
 * with their coordinator, a last stable offset; behind librdkafka's own functions, so
 * that the view's code is the shipped one. Its calls are made from coroutines and wait
 * in simulated time.
 *
 * What goes wrong here: requests take long and their answers are lost; markers of an
 * ended transaction come to some partitions later than to others; a connection closes
 * and the request that ends a transaction is sent a second time behind the library's
 * back, where it may end a later one (KAFKA-17754); a zombie's records come after it was
 * fenced (and are refused); an abort marker is left out for good, and what it should have
 * ended ends with the producer's next transaction there; partitions lose their end.
 */

#include "common/bytes.h"
#include "tests/sim/sim.h"

struct sim_kafka;

struct sim_kafka_faults {
	/* Once in so many; 0: never. */
	uint32_t answer_lost, connection_closed, late_markers, hidden_retry,
		lost_markers;
	uint64_t request_us, late_us; /* longest */
};

struct sim_kafka *sim_kafka_new(struct sim *sim, const struct sim_kafka_faults *faults);
void sim_kafka_free(struct sim_kafka *kafka);
/* Clients opened from now on are of these brokers, and of this owner. */
void sim_kafka_use(struct sim_kafka *kafka, void *owner);
/* The process of these clients died: they are gone, what they had sent is not. */
void sim_kafka_forget(struct sim_kafka *kafka, void *owner);
/* Called before a producer of this owner fences every other one of the shard. */
void sim_kafka_watch(struct sim_kafka *kafka,
		     void (*begins)(void *arg, void *owner, uint16_t shard), void *arg);
/* No more faults from here on. */
void sim_kafka_calm(struct sim_kafka *kafka);

void sim_kafka_topic_make(struct sim_kafka *kafka, const char *name,
			  uint32_t n_partitions);
/* The partition loses its newest n records. */
void sim_kafka_cut(struct sim_kafka *kafka, const char *name, int32_t partition,
		   uint32_t n);

/* ---- for the judges: what a reader of committed records sees ---- */

struct sim_kafka_record {
	struct hr_str key, value;
	int64_t offset;
};

/* No record waits for the marker of a transaction that has ended. */
bool sim_kafka_is_settled(const struct sim_kafka *kafka, const char *name,
			  int32_t partition);
/* Committed records of it became aborted ones, for want of a marker: until they are written
 * again readers do not have them. Once true, true for ever. */
bool sim_kafka_is_robbed(const struct sim_kafka *kafka, const char *name,
			 int32_t partition);
/* The newest record with a key was aborted. */
bool sim_kafka_ends_in_abort(const struct sim_kafka *kafka, const char *name,
			     int32_t partition);
/* The next committed record from offset *at on, below the last stable offset; *at becomes
 * the offset behind it. false: there is none. */
bool sim_kafka_committed(const struct sim_kafka *kafka, const char *name,
			 int32_t partition, int64_t *at, struct sim_kafka_record *out);

#endif
