/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LEDGER_H
#define HR_LEDGER_H

/*
 * ledger - the two laws of conservation, read from the statistics segment.
 *
 *   1, in datagrams, per process:
 *      received + split = logged + answered + repeated + refused + dropped + in flight
 *   2, in events, per shard, since link 1:
 *      logged = counted + late + repeated + filtered + rejected + overflow,
 *      and rejected = the sum of its reasons
 *
 * The rows are written by several threads while they are read, so no reading is a
 * snapshot. Two readings are taken, one behind the other. Equal: nothing moved, and
 * a law must fit exactly. Different: what moved between them bounds what the first
 * can be off by, because a cell changes between its reading and the end of the first
 * reading by no more than it changes until its second reading; so the difference
 * must lie within the sum of all movements. A writer that is interrupted between two
 * of its cells makes a law look broken for a moment: only what stays broken for
 * patience_ms is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/stats/stats.h"

enum hr_balance {
	HR_BALANCED,           /* at rest, to the last one */
	HR_BALANCED_IN_MOTION, /* within what moved while it was read */
	HR_OUT_OF_BALANCE,
};

enum hr_ledger_datagrams {
	HR_LEDGER_RECEIVED,
	HR_LEDGER_SPLIT,
	HR_LEDGER_LOGGED,
	HR_LEDGER_ANSWERED,
	HR_LEDGER_REPEATED,
	HR_LEDGER_REFUSED,
	HR_LEDGER_DROPPED,
	HR_LEDGER_IN_FLIGHT,
	HR_LEDGER_DATAGRAM_TERMS
};

enum hr_ledger_events {
	HR_LEDGER_EVENTS_LOGGED,
	HR_LEDGER_COUNTED,
	HR_LEDGER_LATE,
	HR_LEDGER_EVENTS_REPEATED,
	HR_LEDGER_FILTERED,
	HR_LEDGER_REJECTED,
	HR_LEDGER_OVERFLOW,
	HR_LEDGER_REJECTED_BY_REASON,
	HR_LEDGER_EVENT_TERMS
};

extern const char *const hr_ledger_datagram_names[HR_LEDGER_DATAGRAM_TERMS];
extern const char *const hr_ledger_event_names[HR_LEDGER_EVENT_TERMS];

struct hr_ledger {
	enum hr_balance datagrams, events;
	int64_t datagram[HR_LEDGER_DATAGRAM_TERMS];
	int64_t datagrams_off; /* left side - right side */
	uint64_t datagrams_moved;
	int64_t event[HR_LEDGER_EVENT_TERMS]; /* all shards together */
	int64_t events_off;                   /* of the shard that is off most */
	int32_t events_shard;                 /* which; -1 when none is off */
	uint64_t events_moved;
};

/* Read until both laws are seen to hold, or patience_ms is over (0: one try). */
void hr_ledger_read(const struct hr_stats_reader *reader, uint32_t patience_ms,
		    struct hr_ledger *out);

/* "BALANCED", "BALANCED IN MOTION" or "OUT OF BALANCE". */
const char *hr_balance_text(enum hr_balance balance);

#endif
