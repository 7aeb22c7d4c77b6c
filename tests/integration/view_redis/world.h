/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_WORLD_H
#define HR_TEST_WORLD_H

/*
 * world - a log in memory: epochs of JSON events, hashed and folded by the code that
 * ships, put into a real feed, and kept so that hr_replay_*() (world.c stands in for
 * dataplane/view/replay.c) has them again. One world at a time.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "dataplane/log/link.h"
#include "dataplane/stats/stats.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/view.h"

#define WORLD_SHARDS_MAX 5

/* What a test says of an event; the model knows nothing else. */
struct world_event {
	uint32_t user;
	int32_t product, category; /* -1: none */
	uint8_t type;              /* enum hr_event_type; 0: "wish" */
	int64_t time_ms;
};

struct world {
	struct hr_data_set set;
	struct hr_config config;
	struct hr_feed *feed;
	struct hr_stats *stats;
	char folder[64];
	pthread_mutex_t lock;
	struct {
		struct hr_fold *fold;
		struct hr_link **links; /* n - 1 */
		uint64_t n, max;
		uint64_t sequence;
		uint8_t *body;
		uint32_t body_bytes;
	} shards[WORLD_SHARDS_MAX];
	struct hr_view *view;
	uint32_t n_replays;
	bool is_reading;                    /* the chain's end is not reached yet */
	atomic_bool away[WORLD_SHARDS_MAX]; /* another appliance owns the shard */
};

/* Each shard has its CONFIG link. */
struct world *world_open(uint32_t n_shards, size_t keep_bytes);
void world_close(struct world *w);

void world_name_user(uint32_t user, char out[32]);
uint16_t world_shard_of(const struct world *w, uint32_t user);
/* A link of the shard: its events must be of its users. */
void world_epoch(struct world *w, uint16_t shard, const struct world_event *events,
		 uint32_t n);
uint64_t world_last(struct world *w, uint16_t shard);

void world_start_view(struct world *w);
/* A second one, which owns what the first does not. */
struct hr_view *world_start_other(struct world *w);
/* The end is reached after all. */
void world_read(struct world *w);
bool world_stop_view(struct world *w, uint32_t drain_ms);
/* Everything in the log is in Redis, within that time. */
bool world_settle(struct world *w, uint32_t timeout_ms);

#endif
