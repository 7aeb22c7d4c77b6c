/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

/* world - the inside of struct sim, for the simulator's own files. */

#include "tests/sim/sim.h"

struct sim_event {
	uint64_t at_us, order;
	sim_deed deed;
	void *arg;
	uint64_t number;
};

/* In front of what sim_keep() gave. */
struct sim_kept {
	_Alignas(16) struct sim_kept *next;
	struct sim_kept **at;
};

struct sim {
	struct sim_kept *kept;
	uint64_t now_us, order, seed;
	struct sim_random random;
	struct sim_faults faults;
	struct sim_event *heap;
	size_t n_heap, max_heap;
	uint64_t n_kills, n_faults;
	uint64_t happened[SIM_HAPPENINGS];
	bool is_over;       /* violated */
	uint32_t max_lines; /* of the trace; 0: there is none */
	char invariant[64];
	char sentence[512];
	/* The last lines of the trace, as a ring. */
	char (*lines)[240];
	uint64_t n_lines;
};

int sim_world_init(struct sim *sim, uint64_t seed, uint32_t trace_lines);
void sim_world_fini(struct sim *sim);
/* Run the next event that is due until then; false: there is none, or it is over. */
bool sim_step(struct sim *sim, uint64_t until_us);
void sim_print_trace(const struct sim *sim);

#endif
