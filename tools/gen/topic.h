/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TOPIC_H
#define HR_TOPIC_H

/*
 * topic - every record of a topic from its beginning on, all partitions through one
 * queue, by a consumer of its own. One thread.
 */

#include <librdkafka/rdkafka.h>

#include "common/config.h"
#include "common/error.h"

struct hr_topic;

/* name without the configuration's prefix. is_committed: as read_committed readers see
 * it. Returns 0, -ENOENT (no such topic) or -EIO. */
int hr_topic_open(struct hr_topic **out, const struct hr_config *config,
		  const char *name, bool is_committed, struct hr_err *err);
void hr_topic_close(struct hr_topic *topic);
uint32_t hr_topic_partitions(const struct hr_topic *topic);

/*
 * Show records until every partition is at its end, waiting for more for wait_ms at
 * most when they all are. Goes on where it ended before. Returns how many there were,
 * or -EIO (a broker may be away for 30 s).
 */
typedef void (*hr_topic_take)(void *arg, const rd_kafka_message_t *message);
int64_t hr_topic_read(struct hr_topic *topic, uint32_t wait_ms, hr_topic_take take,
		      void *arg, struct hr_err *err);

#endif
