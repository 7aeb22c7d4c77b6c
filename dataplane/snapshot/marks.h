/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_MARKS_H
#define HR_SNAPSHOT_MARKS_H

/*
 * marks - where in a shard's log something of a certain age begins: pairs of record
 * clock and offset, at most so many, so far apart that they span log.min_age. What is
 * older than the oldest mark is not known, and then nothing is said to be old enough.
 */

#include <stdint.h>

#define HR_MARKS 512u

struct hr_mark {
	uint64_t clock_us;
	int64_t offset;
};

struct hr_marks {
	struct hr_mark marks[HR_MARKS]; /* ascending */
	uint32_t n;
};

/* A link of this clock lies at this offset; ascending. It is remembered unless the last
 * mark is nearer than min_age / 256. */
void hr_marks_add(struct hr_marks *m, uint64_t clock_us, int64_t offset,
		  uint64_t min_age_us);

/* The offset before which everything is older than min_age at now_us; 0: not known, or
 * nothing is. */
int64_t hr_marks_older(const struct hr_marks *m, uint64_t now_us, uint64_t min_age_us);

#endif
