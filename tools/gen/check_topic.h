/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECK_TOPIC_H
#define HR_CHECK_TOPIC_H

/*
 * check topic - does a topic hold exactly the log's events (user_events: all,
 * product_views and purchases: those of their type), each once, with every field as it
 * was sent, under the right key, in the right partition, in the order of the log?
 * Values are read with jansson and compared with the event made again from its plan.
 * One thread; no input or output but findings.
 */

#include "tools/gen/findings.h"
#include "tools/gen/known.h"

struct hr_check_topic {
	const struct hr_known *known;
	struct hr_findings *findings;
	enum hr_place place; /* HR_AT_USER_EVENTS, PRODUCT_VIEWS or PURCHASES */
	uint32_t n_partitions;
	bool takes_others; /* records of nobody's plan are counted, not told */
	uint64_t n_others;
	uint64_t n_records; /* planned ones, each counted once */
	uint8_t *seen;      /* a bit an event */
	uint32_t *newest;   /* rank of each user's newest record */
};

/* Returns 0 or -ENOMEM. */
int hr_check_topic_init(struct hr_check_topic *check, const struct hr_known *known,
			struct hr_findings *findings, enum hr_place place,
			uint32_t n_partitions, struct hr_err *err);
void hr_check_topic_fini(struct hr_check_topic *check);

/* The records that must be there. */
uint64_t hr_check_topic_expected(const struct hr_check_topic *check);

/* A record; those of a partition in order. */
void hr_check_record(struct hr_check_topic *check, uint32_t partition,
		     struct hr_str key, struct hr_str value);

/* All records were shown: what is missing? */
void hr_check_topic_end(struct hr_check_topic *check);

#endif
