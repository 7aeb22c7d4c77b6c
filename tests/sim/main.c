/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * sim - run schedules of the simulator, or prove that it notices a mutant.
 *
 *     sim [--schedules N] [--seed FIRST] [--mutant NAME|all|list] [--trace]
 *
 * Exit code: 0 no violation (with --mutant: every one was caught), 1 else, 2 usage.
 */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mutant.h"
#include "tests/sim/run.h"

struct wish {
	uint64_t schedules, seed;
	bool traces;
	const char *mutant;
};

/* By enum hr_mutant: a row under another number would switch on another rule. */
static const struct {
	const char *name, *sentence;
} mutants[HR_MUTANTS] = {
#define HR_MUTANT_ROW(name, sentence) [HR_MUTANT_##name] = { #name, sentence },
#include "common/breakages.def"
#include "common/mutants.def"
#undef HR_MUTANT_ROW
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_all(const struct wish *w)
{
	uint64_t n_violated = 0, n_events = 0, n_records = 0;
	double began = seconds(), simulated = 0;

	for (uint64_t i = 0; i < w->schedules; i++) {
		struct sim_result r;

		sim_run(w->seed + i, HR_MUTANTS, w->traces, &r);
		n_events += r.n_events;
		n_records += r.n_records;
		simulated += (double)r.simulated_us / 1e6;
		if (!r.is_violated)
			continue;
		printf("seed %" PRIu64 ": %s: %s\n", w->seed + i, r.invariant,
		       r.sentence);
		if (n_violated++ == 0 && !w->traces)
			sim_run(w->seed + i, HR_MUTANTS, true, &r);
	}
	printf("%" PRIu64 " schedules from seed %" PRIu64 ", %" PRIu64
	       " events, %" PRIu64 " records, %.0f simulated seconds in %.1f: "
	       "%" PRIu64 " violations\n",
	       w->schedules, w->seed, n_events, n_records, simulated, seconds() - began,
	       n_violated);
	return n_violated == 0 ? 0 : 1;
}

/* Seeds until it is caught. */
static bool hunt(const struct wish *w, int mutant)
{
	for (uint64_t i = 0; i < w->schedules; i++) {
		struct sim_result r;

		sim_run(w->seed + i, mutant, w->traces, &r);
		if (!r.is_violated)
			continue;
		printf("%-28s caught by schedule %5" PRIu64 ": %s: %s\n",
		       mutants[mutant].name, i + 1, r.invariant, r.sentence);
		return true;
	}
	printf("%-28s NOT CAUGHT in %" PRIu64 " schedules (%s)\n", mutants[mutant].name,
	       w->schedules, mutants[mutant].sentence);
	return false;
}

static int run_mutants(const struct wish *w)
{
	bool is_known = strcmp(w->mutant, "all") == 0, are_caught = true;

	for (int i = 0; i < HR_MUTANTS; i++) {
		if (strcmp(w->mutant, "list") == 0)
			printf("%-28s %s\n", mutants[i].name, mutants[i].sentence);
		if (strcmp(w->mutant, "all") != 0 &&
		    strcmp(w->mutant, mutants[i].name) != 0)
			continue;
		is_known = true;
		are_caught &= hunt(w, i);
	}
	if (!is_known && strcmp(w->mutant, "list") != 0) {
		fprintf(stderr, "sim: no mutant %s; --mutant list names them\n",
			w->mutant);
		return 2;
	}
	return are_caught ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "schedules", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "mutant", required_argument, NULL, 'm' },
		{ "trace", no_argument, NULL, 't' },
		{ 0 },
	};
	struct wish w = { .schedules = 100, .seed = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			w.schedules = strtoull(optarg, NULL, 10);
			break;
		case 's':
			w.seed = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			w.mutant = optarg;
			break;
		case 't':
			w.traces = true;
			break;
		default:
			return 2;
		}
	}
	return w.mutant != NULL ? run_mutants(&w) : run_all(&w);
}
