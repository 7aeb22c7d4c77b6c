/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "common/mutant.h"
#include "dataplane/log/start.h"

static bool is_link(const struct hr_log_start *start, const struct hr_record *record)
{
	const struct hr_chain *chain = &start->chain;
	struct hr_id128 hash;

	if (record->type != HR_RECORD_LINK || record->shard != chain->shard ||
	    record->generation != chain->set->generation ||
	    !hr_id128_equals(&record->data_set, &chain->set->id) ||
	    record->link.n != chain->n)
		return false;
	hr_link_hash(chain->set, chain->shard, &record->link, &hash);
	return hr_id128_equals(&hash, &chain->hash) &&
	       (HR_MUTANT(snapshot_no_owner) ||
		hr_id128_equals(&record->link.owner, &chain->owner));
}

int hr_log_start_check(const struct hr_log_start *start, int64_t offset,
		       const uint8_t *bytes, size_t n, struct hr_err *err)
{
	struct hr_record record;

	if (offset == start->offset && hr_record_decode(&record, bytes, n, NULL) == 0 &&
	    is_link(start, &record))
		return 0;
	return hr_fail(err, -ESTALE,
		       "at offset %lld of the log, where link %llu should be, is "
		       "something else",
		       (long long)offset, (unsigned long long)start->chain.n);
}
