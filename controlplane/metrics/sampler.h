/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SAMPLER_H
#define HR_SAMPLER_H

/*
 * sampler - follows the statistics segment of whichever dataplane runs: rates and
 * latency of the last second, and totals that go on over its restarts.
 *
 * A restarted dataplane folds the log from its first link again, so its event
 * counters come back to where they were: the total is the highest value seen. Its
 * datagram counters begin at 0: the last value of every dataplane is added up.
 *
 * One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/stats/stats.h"

#define HR_SAMPLER_INTERVAL_US 1000000u

struct hr_rates {
	bool is_measured; /* false: nothing to compare yet */
	double over_s;
	double events_per_s;    /* folded; at a start the log's replay is in it */
	double datagrams_per_s; /* received */
	double accept_p99_s;    /* 0 when nothing was accepted */
};

/* The four old names' two counters. */
struct hr_totals {
	uint64_t processed; /* counted, late and overflow: in every lifetime key */
	uint64_t failed;    /* rejected events, refused and dropped datagrams */
};

/* What a dataplane that has ended did not write out. */
struct hr_left {
	bool is_known; /* false: it had no statistics */
	uint64_t in_flight, dropped, lag_links;
};

/* Two readings of a segment, and what moved between them. */
struct hr_reading {
	uint64_t at_us, events, datagrams;
	uint64_t accept[HR_HIST_CELLS];
};
void hr_reading_take(const struct hr_stats_reader *reader, uint64_t now_us,
		     struct hr_reading *out);
void hr_rates_between(const struct hr_reading *a, const struct hr_reading *b,
		      struct hr_rates *out);

void hr_left_read(const struct hr_stats_reader *reader, struct hr_left *out);
/* Nothing taken was lost. (Links a view lacks are in the log: it goes on there.) */
bool hr_left_is_nothing(const struct hr_left *left);

struct hr_sampler;

/* path: of the segment. Returns 0 or -ENOMEM. */
int hr_sampler_new(struct hr_sampler **out, const char *path);
void hr_sampler_free(struct hr_sampler *sampler); /* NULL is fine */

/* Look for a segment, measure once a second. Returns when the next turn is due. */
uint64_t hr_sampler_turn(struct hr_sampler *sampler, uint64_t now_us);
/* The dataplane has ended: take its last values and let go of its segment. */
void hr_sampler_end(struct hr_sampler *sampler, struct hr_left *left);

/* The segment of a living dataplane, or NULL; valid until the next turn. */
const struct hr_stats_reader *hr_sampler_reader(const struct hr_sampler *sampler);
void hr_sampler_rates(const struct hr_sampler *sampler, struct hr_rates *out);
void hr_sampler_totals(const struct hr_sampler *sampler, struct hr_totals *out);

#endif
