/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FOLD_POISON_H
#define HR_FOLD_POISON_H

/*
 * poison - links that fold passes over as rejected{poison}: a table that is compiled in,
 * because fold reads nothing but the chain, and everybody who folds it must agree.
 * Who notes which links kill, and stops their shard, is dataplane/poison.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/log/record.h"

struct hr_poison_link {
	const char *data_set; /* hex; NULL: the end of the table */
	uint16_t shard;
	uint64_t n;
	const char *hash; /* hex */
};

/* poison.def. */
extern const struct hr_poison_link hr_poison_links[];

/* Any thread. Cold: once a link. */
bool hr_fold_is_poison(const struct hr_data_set *set, uint16_t shard, uint64_t n,
		       const struct hr_id128 *hash);

#endif
