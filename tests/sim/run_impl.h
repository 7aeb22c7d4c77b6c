/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_RUN_IMPL_H
#define SIM_RUN_IMPL_H

/*
 * Inside of a run, for its own files alone: run.c is its course, run_open.c draws and
 * makes what it consists of, run_deeds.c has what happens in it.
 */

#include "common/config.h"
#include "tests/sim/appliance.h"
#include "tests/sim/judge.h"
#include "tests/sim/sender.h"
#include "tests/sim/world.h"

#define SHARDS 2u
#define APPLIANCES 2u
#define SENDERS 3u
#define USERS 6u
#define PRODUCTS 5u
#define DEDUP_MAX 4096u /* more than a run has events of that kind */
#define STREAMS_MAX 64u /* that there is room for, whatever the chain says */

#define LIVENESS_US (90 * SIM_SECOND) /* behind the last fault all comes together */

#define EVENTS_TOPIC "user_events"
#define POSITIONS_TOPIC "headrace.positions"

struct run {
	struct sim sim;
	struct hr_config config;
	uint32_t chain_streams;               /* that a first CONFIG allows */
	struct hr_config configs[APPLIANCES]; /* as each has it in its file */
	struct hr_data_set set;
	struct sim_store *store;
	struct sim_redis *redis;
	struct sim_kafka *kafka;
	struct sim_judge *judge;
	struct sim_snapshots *snapshots;
	struct sim_network *network;
	struct sim_appliance *appliances[APPLIANCES];
	struct sim_appliance *clones[APPLIANCES]; /* down, nearly always */
	uint64_t orphans[SHARDS]; /* whose clone it was that owned it: index + 1 */
	struct sim_sender *senders[SENDERS];
	uint64_t orders[USERS]; /* events of each user so far */
	uint64_t faults_end_us, end_us;
	uint64_t event_us; /* mean time between two events */
	uint64_t guest_us; /* the same of those without acknowledgement */
	uint64_t n_guests;
	bool is_flooded; /* in the end */
};

/* run_open.c: all but run.sim; nothing happens yet. */
void sim_run_open_all(struct run *r);

/* run_deeds.c: whatever comes again and again has its first time. */
void sim_run_begin(struct run *r);
/* A deed: an appliance starts. */
void sim_run_start_later(struct sim *sim, void *arg, uint64_t number);
/* Nothing where there is none. */
void sim_run_stop_clone(struct run *r, uint64_t i);
/* The appliance of this number, or its clone, while there is one. */
struct sim_appliance *sim_run_at_address(struct run *r, uint64_t i);
/* The next event of a user. */
void sim_run_click_once(struct run *r);

#endif
