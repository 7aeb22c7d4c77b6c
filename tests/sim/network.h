/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

/* network - datagrams between SDKs and appliances: lost, doubled, late and in any order,
 * some of them much later than anybody waits. Bytes are copied. */

#include "tests/sim/sim.h"

struct sim_network;

/* Sender and appliance are indices; to_appliance says which way it goes. */
typedef void (*sim_arrive)(void *arg, bool to_appliance, uint32_t appliance,
			   uint32_t sender, const uint8_t *bytes, uint32_t n);

struct sim_network *sim_network_new(struct sim *sim, sim_arrive arrive, void *arg);
void sim_network_free(struct sim_network *network);
void sim_network_send(struct sim_network *network, bool to_appliance,
		      uint32_t appliance, uint32_t sender, const uint8_t *bytes,
		      uint32_t n);
/* Nothing gets through until then. */
/* Somebody has recorded old datagrams and sends some again, to every appliance. */
void sim_network_replay(struct sim_network *network, uint32_t n_appliances);
void sim_network_cut(struct sim_network *network, uint64_t us);

#endif
