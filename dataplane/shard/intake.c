/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>

#include "dataplane/shard/intake.h"

void hr_intake_fini(struct hr_intake *in)
{
	if (in->open == NULL)
		return;
	assert(in->open->n_items == 0);
	hr_epoch_put(in->pool, in->open);
	in->open = NULL;
}
