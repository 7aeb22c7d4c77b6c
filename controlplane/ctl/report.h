/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REPORT_H
#define HR_REPORT_H

/*
 * report - everything `headracectl status` says, as one JSON object, and as text for
 * people made from that object and nothing else. docs/operations.md lists the members.
 *
 * Three sources, each of which may be missing: headraced (its command socket), the
 * dataplane (its own), the statistics segment. One thread; waits for the sockets.
 */

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "dataplane/stats/stats.h"

enum hr_report_state {
	HR_REPORT_READY = 0,
	HR_REPORT_NOT_READY = 1,
	HR_REPORT_NOT_RUNNING = 3,
};

/* What the sources said; each may be NULL. Borrowed. */
struct hr_report_sources {
	const char *run_dir;
	const json_t *headraced, *dataplane;
	const char *dataplane_trouble; /* why it said nothing */
	const struct hr_stats_reader *stats;
	json_t *rates; /* taken over; of headraced, or measured here; NULL: none */
	uint64_t now_wall_us;
	uint32_t ledger_patience_ms;
};

/* A new object. */
json_t *hr_report_build(const struct hr_report_sources *from);
/* The same from the sources of a run folder. Without headraced and with a dataplane
 * it measures rates for a second. */
json_t *hr_report_make(const char *run_dir);

enum hr_report_state hr_report_state(const json_t *report);

/* For people. */
void hr_report_print(FILE *to, const json_t *report);

#endif
