/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FINDINGS_H
#define HR_FINDINGS_H

/*
 * findings - what verify found wrong: the first of each kind at each place word for
 * word, all of them counted. One thread.
 */

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "common/bytes.h"

/* Where: X(NAME, word). */
#define HR_PLACES(X)                                                                   \
	X(LOG, "log")                                                                  \
	X(USER_EVENTS, "user_events")                                                  \
	X(PRODUCT_VIEWS, "product_views")                                              \
	X(PURCHASES, "purchases")                                                      \
	X(DEAD_LETTERS, "dead_letters")                                                \
	X(REDIS, "redis")                                                              \
	X(STATUS, "status")

enum hr_place {
#define HR_PLACE(name, word) HR_AT_##name,
	HR_PLACES(HR_PLACE)
#undef HR_PLACE
	HR_PLACE_COUNT
};

/* What: X(NAME, word). */
#define HR_FAULTS(X)                                                                   \
	X(MISSING, "missing")       /* should be there */                              \
	X(DOUBLED, "doubled")       /* is there again */                               \
	X(UNEXPECTED, "unexpected") /* should not be there */                          \
	X(DIFFERENT, "different")   /* is there and not as it should be */             \
	X(MISPLACED, "misplaced")   /* wrong order, key, partition or shard */

enum hr_fault {
#define HR_FAULT(name, word) HR_##name,
	HR_FAULTS(HR_FAULT)
#undef HR_FAULT
	HR_FAULT_COUNT
};

#define HR_FINDINGS_TOLD 20 /* of a kind at a place */

struct hr_findings {
	FILE *to;
	uint64_t counts[HR_PLACE_COUNT][HR_FAULT_COUNT];
};

/* "log: missing: <text>" */
void hr_finding(struct hr_findings *f, enum hr_place place, enum hr_fault fault,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

uint64_t hr_findings_sum(const struct hr_findings *f);
const char *hr_place_word(enum hr_place place);
const char *hr_fault_word(enum hr_fault fault);

/* Bytes as people can read them, what is not printable as \xNN; cut at the end of
 * out. Returns out. */
const char *hr_readable(char *out, size_t max, struct hr_str bytes);

#endif
