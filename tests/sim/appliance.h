/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_APPLIANCE_H
#define SIM_APPLIANCE_H

/*
 * appliance - a dataplane process of the run: the shipped owner, intake, fold, feed and
 * views, put together without threads. One worker has all shards.
 */

#include "common/config.h"
#include "tests/sim/kafka.h"
#include "tests/sim/network.h"
#include "tests/sim/redis.h"
#include "tests/sim/snapshots.h"
#include "tests/sim/store.h"

struct sim_appliance;

struct sim_stores {
	struct sim *sim;
	const struct hr_data_set *set;
	const struct hr_config *config;
	struct sim_store *log;
	struct sim_redis *redis; /* NULL: no such view */
	struct sim_kafka *kafka; /* NULL: no such view */
	struct sim_snapshots *snapshots;
	bool has_snapshots; /* written and recovered from */
	bool has_holdings;  /* which shards are its own is kept over restarts */
	struct sim_network *network;
	uint32_t n_appliances;
	uint32_t chain_streams; /* what a first CONFIG of it allows */
	uint8_t write_key[16];  /* of key id 1 */
	uint8_t secret[16];
};

/* Down at first. `index` tells appliances apart. */
struct sim_appliance *sim_appliance_new(const struct sim_stores *stores,
					uint32_t index);
void sim_appliance_free(struct sim_appliance *a);

void sim_appliance_start(struct sim_appliance *a);
/* SIGKILL: what it had in memory is gone, what it had sent is not. */
void sim_appliance_kill(struct sim_appliance *a);
/* SIGSTOP until then. */
void sim_appliance_pause(struct sim_appliance *a, uint64_t us);
/* Its topics view alone stands still until then. */
void sim_appliance_stop_view(struct sim_appliance *a, uint64_t us);
bool sim_appliance_is_up(const struct sim_appliance *a);
/* Its wall clock jumps. */
void sim_appliance_step_clock(struct sim_appliance *a, int64_t us);

/* A second process just like it in an appliance that is down, which wakes after so long;
 * not at every moment. */
bool sim_appliance_can_clone(const struct sim_appliance *a);
void sim_appliance_clone(struct sim_appliance *clone, struct sim_appliance *a,
			 uint64_t us);
/* A shard of it is stopped by name. */
bool sim_appliance_is_stopped(const struct sim_appliance *a);

/* A datagram of a sender; answers leave by the network. */
void sim_appliance_datagram(struct sim_appliance *a, uint32_t sender,
			    const uint8_t *bytes, uint32_t n);
/* A headerless JSON event for a shard, nobody acknowledges it. Returns whether it was
 * taken (it may be lost yet). */
bool sim_appliance_event(struct sim_appliance *a, uint16_t shard, const char *json);
/* More of such events than there is ever room for, each as next() writes it; NULL: no
 * more. */
typedef void (*sim_flood)(void *arg, uint16_t shard, char *json, size_t max);
void sim_appliance_flood(struct sim_appliance *a, sim_flood next, void *arg);

/* Every shard is owned and everything taken is in the log and folded. */
bool sim_appliance_is_quiet(const struct sim_appliance *a);
/* A line a shard into the trace. */
void sim_appliance_describe(const struct sim_appliance *a);
bool sim_appliance_owns(const struct sim_appliance *a, uint16_t shard);
/* By what it has read: its newest FENCE is this process's. */
bool sim_appliance_is_owner(const struct sim_appliance *a, uint16_t shard);

/* The operator: `shards take`; and what mends a shard that is stopped by name, if it has
 * been so for a while: `log accept-loss` where that is what it asks for, else another
 * start. */
void sim_appliance_take(struct sim_appliance *a, uint16_t shard);
void sim_appliance_mend(struct sim_appliance *a, uint16_t shard);

#endif
