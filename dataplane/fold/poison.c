/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/fold/poison.h"

#include "common/crash_point.h"

static bool id_is(const struct hr_id128 *id, const char *hex)
{
	char text[HR_ID128_TEXT];

	hr_id128_print(text, id);
	return strcmp(text, hex) == 0;
}

static bool is_it(const struct hr_poison_link *row, const struct hr_data_set *set,
		  uint16_t shard, uint64_t n, const struct hr_id128 *hash)
{
	return row->n == n && row->shard == shard && id_is(hash, row->hash) &&
	       id_is(&set->id, row->data_set);
}

bool hr_fold_is_poison(const struct hr_data_set *set, uint16_t shard, uint64_t n,
		       const struct hr_id128 *hash)
{
	const struct hr_poison_link *row = hr_poison_links;

	while (row->data_set != NULL && !is_it(row, set, shard, n, hash))
		row++;
	return row->data_set != NULL ||
	       HR_CRASH_IS_MENDED(set->id.b, shard, n, hash->b);
}
