/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_SENDER_H
#define SIM_SENDER_H

/*
 * sender - an application with the SDK: the core of sdk/c, without its threads and
 * sockets. It knows the appliances as addresses "a0:7400", "a1:7400" ... by index.
 */

#include "tests/sim/judge.h"
#include "tests/sim/network.h"

struct sim_sender;

struct sim_sender_conf {
	struct sim *sim;
	struct sim_network *network;
	struct sim_judge *judge;
	uint32_t index, n_appliances, n_shards;
	uint8_t write_key[16];
	uint32_t key_id;
	uint64_t max_age_us, ttl_us;
};

struct sim_sender *sim_sender_new(const struct sim_sender_conf *conf);
void sim_sender_free(struct sim_sender *sender);

/* track(): the user's next event; false: no room, it is dropped and told so. */
bool sim_sender_track(struct sim_sender *sender, const char *user, uint64_t order,
		      bool is_purchase, const char *product, const char *category);
void sim_sender_arrive(struct sim_sender *sender, uint32_t appliance,
		       const uint8_t *bytes, uint32_t n);
/* The process dies with what it had in memory; a new one begins at once. */
void sim_sender_restart(struct sim_sender *sender);
/* Its machine sleeps, or it wakes up: what comes meanwhile is lost, and it tracks
 * nothing. */
void sim_sender_sleep(struct sim_sender *sender, bool sleeps);
/* Nothing waits any more. */
bool sim_sender_is_drained(const struct sim_sender *sender);

#endif
