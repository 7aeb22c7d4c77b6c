/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/shard/intake.h"

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
