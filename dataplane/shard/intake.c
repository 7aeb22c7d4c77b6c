/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/shard/intake.h"
#include "common/mutant.h"

uint32_t hr_intake_fence(struct hr_intake *in, uint32_t fence_no)
{
	uint32_t n_dropped, n_events;

	in->fence_no = fence_no;
	if (in->open == NULL || HR_MUTANT(tentative_kept))
		return 0;
	n_dropped = hr_epoch_filter(in->open, &n_events);
	in->open->fence_no = fence_no;
	in->n_dropped += n_dropped;
	return n_dropped;
}

uint32_t hr_intake_fini(struct hr_intake *in)
{
	uint32_t n_items;

	if (in->open == NULL)
		return 0;
	n_items = in->open->n_items;
	hr_epoch_put(in->pool, in->open);
	in->open = NULL;
	return n_items;
}
