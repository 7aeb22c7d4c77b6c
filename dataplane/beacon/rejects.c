/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/beacon/event.h"

const struct hr_reject_row hr_reject_rows[HR_REJECT_COUNT] = {
	[HR_REJECT_NONE] = { "", "" },
#define HR_REJECT(name, label, text) [HR_REJECT_##name] = { label, text },
#include "dataplane/beacon/rejects.def"
#undef HR_REJECT
};
