/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_RUN_H
#define SIM_RUN_H

/*
 * run - one schedule: everything drawn from its seed, a time of faults, a time without,
 * and the judge's word.
 */

#include "tests/sim/sim.h"

struct sim_result {
	bool is_violated;
	char invariant[64], sentence[512];
	uint64_t happened[SIM_HAPPENINGS];
	uint64_t n_events;  /* counted in the log at the end */
	uint64_t n_records; /* in the log */
	uint64_t n_kills;   /* of appliances and of SDKs */
	uint64_t n_faults;  /* everything else that went wrong by chance */
	uint64_t simulated_us;
};

/* mutant: enum hr_mutant, HR_MUTANTS for none. Prints the newest so many lines of
 * what happened. */
void sim_run(uint64_t seed, int mutant, uint32_t trace_lines, struct sim_result *out);

#endif
