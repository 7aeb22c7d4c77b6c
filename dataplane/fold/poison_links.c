/* SPDX-License-Identifier: BSD-3-Clause */

/* Apart from what reads it, so that a test can have a table of its own. */

#include <stddef.h>

#include "dataplane/fold/poison.h"

const struct hr_poison_link hr_poison_links[] = {
#define HR_POISON_LINK(data_set, shard, n, hash) { data_set, shard, n, hash },
#include "dataplane/fold/poison.def"
#undef HR_POISON_LINK
	{ NULL, 0, 0, NULL },
};
