/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_H
#define SIM_H

/*
 * sim - one thread, one seed, simulated time: the shipped code of log, fold, streams,
 * SDK and views among everything that can go wrong.
 *
 *     world: time, random bits, a heap of events, what is true (for the judges)
 *       ├─ store      the epoch log: delays, lost answers, late appends, cuts
 *       ├─ network    loses, doubles, delays, reorders, forges
 *       ├─ appliances die, stand still, come back, are cloned
 *       ├─ SDKs       restart with and without their queue
 *       └─ Redis      goes back, is emptied, loses connections
 *
 * The same seed gives the same run, to the byte: nothing here asks the machine for time
 * or chance, and no two draws or looks at a clock stand where C leaves open which comes
 * first. A run has a time of faults and a time without; at the end of the second
 * everything must have come together.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;

/* ---- chance: xoshiro256**, seeded by splitmix64 (Blackman and Vigna, 2018) ---- */

struct sim_random {
	uint64_t s[4];
};

void sim_random_init(struct sim_random *r, uint64_t seed);
uint64_t sim_random(struct sim_random *r);
/* 0 .. n - 1; n > 0. */
uint64_t sim_below(struct sim_random *r, uint64_t n);
/* True once in so many; 0: never. */
bool sim_once_in(struct sim_random *r, uint32_t n);
/* The same for something that goes wrong; such are counted. */
bool sim_strikes(struct sim *sim, uint32_t once_in);
/* from .. to, more often near from: delays have long tails. */
uint64_t sim_delay(struct sim_random *r, uint64_t from, uint64_t to);

/* ---- time ---- */

typedef void (*sim_deed)(struct sim *sim, void *arg, uint64_t number);

#define SIM_SECOND UINT64_C(1000000)

/* In so many microseconds call deed(arg, number). Deeds of one moment run in the order
 * they were asked for. */
void sim_after(struct sim *sim, uint64_t us, sim_deed deed, void *arg, uint64_t number);
uint64_t sim_now(const struct sim *sim);

/* Zeroed memory of things that events refer to: what is not dropped before ends with the
 * run. */
void *sim_keep(struct sim *sim, size_t bytes);
void sim_drop(void *kept);

/* ---- what a run is made of; drawn from the seed, or set by a test ---- */

struct sim_faults {
	/* Once in so many; 0: never. */
	uint32_t append_lost, append_late, append_doubled, append_rides;
	uint32_t report_lost, append_refused;
	uint32_t read_trouble, connection_lost;
	uint32_t datagram_lost, datagram_doubled, datagram_late;
	uint32_t redis_cut;
	uint32_t snapshot_lost, snapshot_damaged,
		snapshot_refused;    /* records of them, as they are put */
	uint64_t append_us, late_us; /* longest delays */
	uint64_t network_us, network_late_us;
	/* Mean time between two of a kind; 0: never. */
	uint64_t crash_us, pause_us, cut_us, redis_back_us, sdk_restart_us, take_us,
		clock_step_us, view_stop_us, damage_us, replay_us, command_us, clone_us;
};

/* ---- what happened, so that it shows when something never does ---- */

enum sim_happening {
	SIM_SNAPSHOTS, /* records of them that were put */
	SIM_STARTS,    /* of a shard behind a snapshot */
	SIM_REPLAYS,   /* of a view that looked for a snapshot */
	SIM_TRIMS,     /* that took records */
	SIM_CUTS,      /* that took accepted links */
	SIM_LOSSES,    /* accepted by the operator */
	SIM_TAKES,     /* of a shard, by command */
	SIM_RESTORES,  /* of a shard from a snapshot, while its process ran */
	SIM_CLONES,    /* of an appliance */
	SIM_HAPPENINGS,
};

void sim_happened(struct sim *sim, enum sim_happening what);

/* ---- judgement ---- */

/* A violated invariant ends the run; the sentence and the trace are printed. */
void sim_violated(struct sim *sim, const char *invariant, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool sim_is_over(const struct sim *sim);
/* A line of the trace; costs nothing where none is kept. */
void sim_trace(struct sim *sim, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
