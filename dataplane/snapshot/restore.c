/* SPDX-License-Identifier: BSD-3-Clause */

/* From an image to a fold and the place where reading goes on. */

#include <errno.h>

#include "common/mutant.h"
#include "dataplane/snapshot/format.h"
#include "dataplane/snapshot/recovery.h"

static void start_from(struct hr_log_start *start, const struct hr_data_set *set,
		       const struct hr_snapshot_image *image)
{
	const struct hr_snapshot_head *head = &image->head;

	hr_chain_init(&start->chain, set, head->shard);
	start->chain.has_owner = !HR_MUTANT(snapshot_no_owner);
	start->chain.owner = head->owner;
	start->chain.incarnation = head->incarnation;
	start->chain.n = head->n;
	start->chain.hash = head->hash;
	start->chain.clock_us = head->clock_us;
	if (image->addresses.n > 0)
		memcpy(start->chain.addresses, image->addresses.p, image->addresses.n);
	start->offset = head->offset;
}

static bool is_same(const struct hr_fold *fold, const struct hr_snapshot_head *head)
{
	return hr_fold_n(fold) == head->n &&
	       hr_id128_equals(hr_fold_hash(fold), &head->hash) &&
	       hr_id128_equals(hr_fold_digest(fold), &head->digest);
}

int hr_snapshot_restore(struct hr_fold **fold, struct hr_log_start *start,
			const struct hr_data_set *set, uint16_t shard,
			uint32_t max_streams, const uint8_t *image, size_t bytes,
			struct hr_err *err)
{
	struct hr_snapshot_image parts;
	uint64_t streams;
	int r = hr_snapshot_image_read(&parts, image, bytes, set->hash_key, err);

	if (r == 0)
		r = hr_snapshot_head_fits(&parts.head, set, shard, err);
	memset(start, 0, sizeof(*start));
	if (r == 0)
		r = hr_chain_config_decode(&start->config, parts.config, err);
	if (r < 0)
		return r;
	streams = start->config.setting[HR_CHAIN_MAX_STREAMS];
	if (streams < max_streams)
		streams = max_streams;
	if (streams > UINT32_MAX)
		return hr_fail(err, -E2BIG, "it is of a chain with %llu streams",
			       (unsigned long long)streams);
	start_from(start, set, &parts);
	r = hr_fold_state_read(fold, set, shard, (uint32_t)streams, parts.state, err);
	if (r < 0)
		return r;
	if (is_same(*fold, &parts.head))
		return 0;
	hr_fold_free(*fold);
	*fold = NULL;
	return hr_fail(err, -EBADMSG, "its state is not that of the link it names");
}
