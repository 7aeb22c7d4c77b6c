/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_APPLIANCE_IMPL_H
#define SIM_APPLIANCE_IMPL_H

/*
 * Inside of an appliance, for these files alone: appliance.c starts and kills it,
 * appliance_worker.c is what runs of it, appliance_streams.c answers senders,
 * appliance_owner.c and appliance_views.c connect its shards' owner and its views,
 * appliance_operator.c stands in for who looks after it, clone.c makes a second one of it.
 */

#include <rte_ring.h>

#include "common/wire.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owned.h"
#include "dataplane/shard/intake.h"
#include "dataplane/shard/streams.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/snapshot/snapshotter.h"
#include "dataplane/view/feed.h"
#include "tests/sim/appliance.h"
#include "tests/sim/coro.h"
#include "tests/sim/env.h"
#include "tests/sim/trimmer.h"

#define TOLD_MAX 64u
#define SHARDS_MAX 16u
#define EPOCHS_A_SHARD 5u /* one of them is the arena of what is parked */
#define KEY_ID 1u

struct shard {
	struct hr_owned owned;
	struct hr_intake intake;
	struct hr_fold *fold;
	struct hr_streams *streams;
	uint64_t incarnation; /* that answers carry */
	/* What the worker was told and has not done yet. */
	struct hr_link *told[TOLD_MAX];
	uint32_t n_told;
	bool has_begun; /* told[0] is being folded */
	uint32_t n_told_early;
	uint64_t stopped_us; /* the operator sees it since then */
	struct sim_coro *publisher;
	struct hr_log_start *restored; /* from, while it ran; NULL: it was not */
};

/* A look for a snapshot while everything runs; one at a time. */
struct looking {
	struct sim_coro *coro; /* NULL: nobody looks */
	uint16_t shard;
	uint64_t beyond_n;
	struct hr_fold *fold;
	struct hr_log_start *start;
	int result;
	bool is_over;
	struct hr_err err;
};

struct sim_appliance {
	struct sim_stores stores;
	struct sim_env env;
	uint32_t index;
	char address[16];
	bool others[SHARDS_MAX]; /* its disk: shards of other appliances */
	uint64_t life;           /* of this start: events of an older one do nothing */
	bool is_up;              /* there is a process */
	bool is_open;            /* and what it begins with was read from snapshots */
	bool is_stepping_soon, is_redis_soon;
	uint64_t paused_until_us;
	uint64_t closed_us; /* as its worker has it */
	sim_flood flood;
	void *flood_arg;

	struct hr_log *log;
	struct hr_owned_conf conf;
	struct hr_record_clock clock;
	hr_cell cells[HR_HIST_CELLS];
	struct hr_epoch_pool *pool;
	struct rte_ring *closed;
	struct hr_feed *feed;
	struct hr_view *redis, *topics;
	struct hr_keyring *keys;
	struct hr_beacon_rules rules;
	struct hr_tokens tokens;
	struct sim_coro *opening;
	struct looking looking;
	atomic_bool ends;
	struct hr_recovery *recovery;
	struct hr_snapshotter *snapshotter;
	struct sim_trimmer *trimmer;
	struct shard *shards;
};

/* All that is made of what was recovered; its environment is entered. */
void sim_appliance_open(struct sim_appliance *a);

/* appliance_worker.c: a turn comes soon; arg is the appliance. */
void sim_appliance_step_soon(void *arg);
/* The worker's intake goes by what the chain says. */
void sim_appliance_obey_chain(struct shard *s);

/* appliance_streams.c: whose ACK is due hears it. */
void sim_appliance_acks_send(struct sim_appliance *a, struct shard *s);

/* appliance_owner.c: what owners of its shards are made with. */
void sim_appliance_owner_conf(struct sim_appliance *a);
/* A look that is wanted by nobody any more ends. */
void sim_appliance_looking_tidy(struct sim_appliance *a);
void sim_appliance_looking_drop(struct looking *l);

/* appliance_views.c: they begin, each where its stores are there. */
void sim_appliance_views_start(struct sim_appliance *a);
void sim_appliance_snapshots_start(struct sim_appliance *a);
/* The feed of this shard has a link for them. */
void sim_appliance_wake_views(struct sim_appliance *a, struct shard *s);

#endif
