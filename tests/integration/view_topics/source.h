/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_SOURCE_H
#define HR_TEST_SOURCE_H

/*
 * What stands before the view, and knows what has to come out of it.
 *
 *   source ──append──▶ log (the real topic) ──replay──▶ follower ──put──▶ feed
 *
 * Event number k of a shard is a function of {shard, k}: its user, type, metadata,
 * time, and whether fold has to reject it. So what the topics hold can be compared
 * with what was sent, record by record, by anybody who knows how many were sent.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "dataplane/log/kafka.h"
#include "dataplane/log/reader.h"
#include "dataplane/view/feed.h"

#define SOURCE_SHARDS_MAX 25
#define SOURCE_USERS 40 /* of a shard */
#define SOURCE_EVENT_MAX 512

/* What is known of event k of a shard. */
struct source_event {
	char id[32];
	char user[64];
	const char *type;
	char product[32]; /* "": no metadata */
	char category[32];
	int quantity;
	int64_t time_ms;
	bool time_is_text;
	const char *reject; /* NULL: counted; else the label of the reason */
};

void source_event(struct source_event *out, uint32_t n_shards, uint16_t shard,
		  uint64_t k);
/* Its bytes, without newline. */
uint32_t source_render(const struct source_event *e, char out[SOURCE_EVENT_MAX]);

struct source_shard {
	struct hr_id128 owner, hash;
	uint64_t n;        /* newest link */
	uint64_t sequence; /* of the stream */
	uint64_t next_k;   /* events sent */
};

struct source {
	struct hr_config config;
	struct hr_data_set set;
	struct hr_kafka *producer;
	rd_kafka_topic_t *log;
	uint8_t *record;
	struct source_shard shards[SOURCE_SHARDS_MAX];
};

/* Topics of their own under a fresh prefix; data set, FENCE and CONFIG of each
 * shard. Small partition counts. */
struct source *source_open(uint32_t n_shards);
void source_close(struct source *source);
/* One link with this many new events (and some datagrams that are repeated). */
void source_append(struct source *source, uint16_t shard, uint32_t n_events);
/* The same for every shard, n_links times. */
void source_load(struct source *source, uint32_t n_links, uint32_t n_events);
void source_flush(struct source *source);

/* One thread a shard that folds the log into a feed. */
struct follower {
	const struct hr_config *config;
	const struct hr_data_set *set;
	struct hr_feed *feed;
	atomic_bool stops;
	pthread_t threads[SOURCE_SHARDS_MAX];
};

void follower_start(struct follower *f, const struct hr_config *config,
		    const struct hr_data_set *set, size_t keep_bytes);
/* The feed goes with it. */
void follower_stop(struct follower *f);
/* The feed has reached every shard's newest link. */
bool follower_wait(struct follower *f, const struct source *source, uint32_t wait_ms);

#endif
