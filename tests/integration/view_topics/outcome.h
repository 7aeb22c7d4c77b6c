/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_OUTCOME_H
#define HR_TEST_OUTCOME_H

/*
 * What other people's consumers see: every topic read with isolation read_committed
 * from its beginning to its end, and every record compared with what the source
 * sent: key, partition (by librdkafka's own murmur2), JSON value field by field,
 * each event once, each user's in order. Fails the test where anything differs.
 */

#include "tests/integration/view_topics/source.h"

struct outcome {
	uint64_t user_events, product_views, purchases, dead_letters;
};

void outcome_check(const struct source *source, struct outcome *found);

/* Called for each record a reader of committed data sees, until the partitions' ends
 * as a reader of everything sees them. Returns false when that took too long. */
typedef void (*outcome_record)(void *ctx, const rd_kafka_message_t *m);
bool outcome_read(const struct hr_config *config, const char *name, outcome_record each,
		  void *ctx);

#endif
