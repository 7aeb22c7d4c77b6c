/* SPDX-License-Identifier: BSD-3-Clause */

/* The state as bytes: not yet. */

#include <errno.h>

#include "dataplane/fold/fold_impl.h"

size_t hr_fold_state_bytes(const struct hr_fold *fold)
{
	(void)fold;
	return 0;
}

size_t hr_fold_state_write(const struct hr_fold *fold, uint8_t *out)
{
	(void)fold;
	(void)out;
	return 0;
}

int hr_fold_state_read(struct hr_fold **out, const struct hr_data_set *set,
		       uint16_t shard, uint32_t max_streams, struct hr_str bytes,
		       struct hr_err *err)
{
	(void)out;
	(void)set;
	(void)shard;
	(void)max_streams;
	(void)bytes;
	return hr_fail(err, -ENOTSUP, "this build reads no states");
}

int hr_fold_follow(struct hr_fold *fold, const struct hr_link *folded)
{
	(void)fold;
	(void)folded;
	return -ENOTSUP;
}
