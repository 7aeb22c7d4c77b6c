/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TOPICS_THERE_H
#define HR_TOPICS_THERE_H

/*
 * topics there - what readers of committed records find in a shard's partitions, read
 * once from beginning to end, for whoever compares it with what fold makes. Clients of
 * its own. One thread; blocks.
 */

#include "dataplane/view/topics_align.h"
#include "dataplane/view/topics_impl.h"

struct hr_topics_there {
	struct hr_topics_shape shape;
	const struct hr_config *config;
	char names[HR_TOPIC_COUNT][HR_KAFKA_TOPIC_NAME];
	struct hr_topics_align *of[HR_TOPIC_COUNT]; /* by own partition */
	int64_t *end[HR_TOPIC_COUNT]; /* of the partition, open transactions included */
	struct hr_kafka *committed, *uncommitted;
	bool (*must_end)(void *ctx); /* NULL: never */
	void *ctx;
};

/* Opens the clients; hr_topics_there_fini() in any case. */
int hr_topics_there_init(struct hr_topics_there *t, const struct hr_config *config,
			 const struct hr_topics_shape *shape, struct hr_err *err);
void hr_topics_there_fini(struct hr_topics_there *t);

/* Where every partition of the shard begins and ends. 0, -EIO, -ECANCELED. */
int hr_topics_there_look(struct hr_topics_there *t, struct hr_err *err);
/* Read those of which wants() is true (NULL: all); the others are left out from then on. */
int hr_topics_there_read(struct hr_topics_there *t,
			 bool (*wants)(void *ctx, enum hr_topic topic, uint32_t own),
			 struct hr_err *err);
/* The newest position of the shard, as readers of committed records see it. has: there
 * is one. -EBADMSG: it is none. */
int hr_topics_there_position(struct hr_topics_there *t, struct hr_position *at,
			     struct hr_topics_ends *ends, bool *has,
			     struct hr_err *err);

/* A record as it stands for itself when two are compared. */
uint64_t hr_topics_hash(const struct hr_topics_record *record,
			const struct hr_topics_letter *letter);
struct hr_topics_align *hr_topics_there_of(struct hr_topics_there *t,
					   enum hr_topic topic,
					   const struct hr_topics_record *record);
/* Hand all records of the batch to their partitions, as records of link n. 0 or
 * -ENOMEM. */
int hr_topics_there_made(struct hr_topics_there *t, const struct hr_topics_batch *batch,
			 uint64_t n, bool must);

#endif
