/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TRIM_H
#define HR_TRIM_H

/*
 * trim - the one that makes the log shorter. The dataplane says in its status before
 * which offset of each shard nothing is needed any more (by its snapshots, its views and
 * log.min_age); this obeys, for shards that the dataplane owns, on a thread of its own.
 * What is trimmed is gone for everybody.
 */

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

struct hr_config;
struct hr_trimmer;

#define HR_TRIM_SHARDS_MAX 100u

/* What a status asks for: by shard the offset before which the log may go, 0: nothing.
 * data_set gets its id in hex. Returns the number of shards with a wish. Pure. */
uint32_t hr_trim_wishes(const json_t *status, char data_set[33],
			int64_t before[HR_TRIM_SHARDS_MAX]);

/* config must outlive it. 0, or -ENOMEM or -EAGAIN with err. */
int hr_trimmer_new(struct hr_trimmer **out, const struct hr_config *config,
		   struct hr_err *err);
/* The newest status of the dataplane; NULL or null: there is none. Never waits. */
void hr_trimmer_tell(struct hr_trimmer *trimmer, const json_t *status);
/* Waits for what is under way, some ten seconds at most. NULL is fine. */
void hr_trimmer_free(struct hr_trimmer *trimmer);

#endif
