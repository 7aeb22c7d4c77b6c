/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * sim - run schedules of the simulator, or prove that it notices a mutant.
 *
 *     sim [--schedules N] [--seed FIRST] [--jobs N] [--trace]
 *     sim --mutant NAME[,NAME...]|all|list [--rate] [--schedules N] ...
 *
 * --jobs: so many processes at a time. --rate: do not stop at the first schedule that
 * catches a mutant, count them. Exit code: 0 no violation (with --mutant: every one was
 * caught), 1 else, 2 usage.
 */

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/mutant.h"
#include "tests/sim/run.h"

#define JOBS_MAX 64u
#define SHORT_TRACE 400u
#define LONG_TRACE 100000u
#define STUCK_SECONDS 120u /* of one schedule, which takes some milliseconds */

struct wish {
	uint64_t schedules, seed;
	uint32_t jobs;
	uint32_t trace_lines;
	bool counts;
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

static const char *const happenings[] = {
	[SIM_SNAPSHOTS] = "records of snapshots",
	[SIM_STARTS] = "starts behind one",
	[SIM_REPLAYS] = "replays",
	[SIM_TRIMS] = "trims",
	[SIM_CUTS] = "cuts",
	[SIM_LOSSES] = "losses accepted",
	[SIM_TAKES] = "shards taken",
	[SIM_RESTORES] = "restored while they ran",
	[SIM_CLONES] = "clones",
};

/* What a process says of its schedules, in memory that it shares with its parent. */
struct tally {
	uint64_t seed; /* of the schedule that runs, or ran last */
	uint64_t n_schedules, n_violated, first; /* the first violated one, from 1 */
	uint64_t n_events, n_records, n_kills, n_faults, simulated_us;
	uint64_t happened[SIM_HAPPENINGS];
	struct sim_result caught;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED) {
		perror("sim: mmap");
		exit(2);
	}
	return p;
}

static void run_one(uint64_t seed, int mutant, uint32_t trace_lines, struct tally *t,
		    struct sim_result *r)
{
	t->seed = seed;
	alarm(STUCK_SECONDS);
	sim_run(seed, mutant, trace_lines, r);
	alarm(0);
	t->n_schedules++;
	t->n_events += r->n_events;
	t->n_records += r->n_records;
	t->n_kills += r->n_kills;
	t->n_faults += r->n_faults;
	t->simulated_us += r->simulated_us;
	for (int h = 0; h < SIM_HAPPENINGS; h++)
		t->happened[h] += r->happened[h];
	if (r->is_violated && t->n_violated++ == 0) {
		t->first = t->n_schedules;
		t->caught = *r;
	}
}

/* ---- schedules without a mutant ---- */

/* Every so many-th seed from this one. */
static void run_share(const struct wish *w, uint64_t from, struct tally *t)
{
	for (uint64_t i = from; i < w->schedules; i += w->jobs) {
		struct sim_result r;

		run_one(w->seed + i, HR_MUTANTS, w->trace_lines, t, &r);
		if (!r.is_violated)
			continue;
		printf("seed %" PRIu64 ": %s: %s\n", w->seed + i, r.invariant,
		       r.sentence);
		if (t->n_violated == 1 && w->trace_lines == 0)
			sim_run(w->seed + i, HR_MUTANTS, SHORT_TRACE, &r);
		(void)fflush(stdout);
	}
}

/* A process each; one that died has violated something. */
static void run_shares(const struct wish *w, struct tally *tallies)
{
	pid_t pids[JOBS_MAX];

	for (uint32_t i = 0; i < w->jobs; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			run_share(w, i, &tallies[i]);
			(void)fflush(stdout);
			_exit(0);
		}
	}
	for (uint32_t i = 0; i < w->jobs; i++) {
		int status = 0;

		if (pids[i] > 0 && waitpid(pids[i], &status, 0) > 0 && status == 0)
			continue;
		tallies[i].n_violated++;
		printf("seed %" PRIu64 ": its process ended with status %#x\n",
		       tallies[i].seed, (unsigned int)status);
	}
}

static int run_all(const struct wish *w)
{
	struct tally *tallies = shared(w->jobs * sizeof(*tallies)), sum = { 0 };
	double began = seconds();

	if (w->jobs == 1)
		run_share(w, 0, &tallies[0]);
	else
		run_shares(w, tallies);
	for (uint32_t i = 0; i < w->jobs; i++) {
		sum.n_schedules += tallies[i].n_schedules;
		sum.n_violated += tallies[i].n_violated;
		sum.n_events += tallies[i].n_events;
		sum.n_records += tallies[i].n_records;
		sum.n_kills += tallies[i].n_kills;
		sum.n_faults += tallies[i].n_faults;
		sum.simulated_us += tallies[i].simulated_us;
		for (int h = 0; h < SIM_HAPPENINGS; h++)
			sum.happened[h] += tallies[i].happened[h];
	}
	for (int h = 0; h < SIM_HAPPENINGS; h++)
		printf("%" PRIu64 " %s%s", sum.happened[h], happenings[h],
		       h + 1 < SIM_HAPPENINGS ? ", " : "\n");
	printf("%" PRIu64 " schedules from seed %" PRIu64 ", %" PRIu64
	       " events, %" PRIu64 " records, %" PRIu64 " kills, %" PRIu64
	       " other faults, %.0f simulated seconds in %.1f: %" PRIu64
	       " violations\n",
	       sum.n_schedules, w->seed, sum.n_events, sum.n_records, sum.n_kills,
	       sum.n_faults, (double)sum.simulated_us / 1e6, seconds() - began,
	       sum.n_violated);
	return sum.n_violated == 0 ? 0 : 1;
}

/* ---- mutants ---- */

/* Seeds until it is caught, in a process of its own: the code's own assertions count,
 * and so does a loop without end. */
static void hunt(const struct wish *w, int mutant, struct tally *t)
{
	for (uint64_t i = 0; i < w->schedules; i++) {
		struct sim_result r;

		run_one(w->seed + i, mutant, w->trace_lines, t, &r);
		if (r.is_violated && !w->counts)
			return;
	}
}

static bool told(const struct wish *w, int mutant, const struct tally *t, int status)
{
	const char *name = mutants[mutant].name;

	if (status != 0) {
		printf("%-28s caught by schedule %5" PRIu64 ": its process ended with "
		       "%s\n",
		       name, t->seed - w->seed + 1,
		       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "an error");
		return true;
	}
	if (t->n_violated == 0) {
		printf("%-28s NOT CAUGHT in %" PRIu64 " schedules (%s)\n", name,
		       t->n_schedules, mutants[mutant].sentence);
		return false;
	}
	printf("%-28s caught by schedule %5" PRIu64, name, t->first);
	if (w->counts)
		printf(", by %" PRIu64 " of %" PRIu64, t->n_violated, t->n_schedules);
	printf(": %s: %s\n", t->caught.invariant, t->caught.sentence);
	return true;
}

static bool is_wished(const struct wish *w, int mutant)
{
	const char *name = mutants[mutant].name, *at = w->mutant;
	size_t n = strlen(name);

	if (strcmp(w->mutant, "all") == 0)
		return true;
	for (; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, n) == 0 && (at[n] == '\0' || at[n] == ','))
			return true;
	}
	return false;
}

static uint32_t n_wished(const struct wish *w)
{
	uint32_t n = 1;

	for (const char *at = strchr(w->mutant, ','); at != NULL;
	     at = strchr(at + 1, ','))
		n++;
	return strcmp(w->mutant, "all") == 0 ? HR_MUTANTS : n;
}

static bool one_ends(const struct wish *w, const pid_t *pids,
		     const struct tally *tallies)
{
	int status = 0;
	pid_t pid = wait(&status);

	for (int i = 0; i < HR_MUTANTS; i++)
		if (pids[i] == pid) {
			bool is_caught = told(w, i, &tallies[i], status);

			(void)fflush(stdout);
			return is_caught;
		}
	return false;
}

static int run_mutants(const struct wish *w)
{
	struct tally *tallies = shared(HR_MUTANTS * sizeof(*tallies));
	pid_t pids[HR_MUTANTS] = { 0 };
	uint32_t n_running = 0, n_found = 0, n_caught = 0;

	for (int i = 0; i < HR_MUTANTS; i++) {
		if (!is_wished(w, i))
			continue;
		n_found++;
		if (n_running == w->jobs) {
			n_caught += one_ends(w, pids, tallies);
			n_running--;
		}
		(void)fflush(stdout);
		pids[i] = fork();
		if (pids[i] == 0) {
			hunt(w, i, &tallies[i]);
			(void)fflush(stdout);
			_exit(0);
		}
		n_running++;
	}
	for (; n_running > 0; n_running--)
		n_caught += one_ends(w, pids, tallies);
	if (n_found != n_wished(w)) {
		fprintf(stderr, "sim: %s: not all of them exist; --mutant list\n",
			w->mutant);
		return 2;
	}
	printf("%u of %u mutants caught\n", n_caught, n_found);
	return n_caught == n_found ? 0 : 1;
}

static int list(void)
{
	for (int i = 0; i < HR_MUTANTS; i++)
		printf("%-28s %s\n", mutants[i].name, mutants[i].sentence);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "schedules", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "mutant", required_argument, NULL, 'm' },
		{ "rate", no_argument, NULL, 'r' },
		{ "trace", no_argument, NULL, 't' },
		{ 0 },
	};
	struct wish w = { .schedules = 100, .seed = 1, .jobs = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			w.schedules = strtoull(optarg, NULL, 10);
			break;
		case 's':
			w.seed = strtoull(optarg, NULL, 10);
			break;
		case 'j':
			w.jobs = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			w.mutant = optarg;
			break;
		case 'r':
			w.counts = true;
			break;
		case 't':
			w.trace_lines = LONG_TRACE;
			break;
		default:
			return 2;
		}
	}
	if (w.jobs == 0 || w.jobs > JOBS_MAX)
		return 2;
	if (w.mutant == NULL)
		return run_all(&w);
	return strcmp(w.mutant, "list") == 0 ? list() : run_mutants(&w);
}
