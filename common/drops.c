/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/drops.h"

const struct hr_drop_row hr_drop_rows[HR_DROP_COUNT] = {
#define HR_DROP(name, stage, label, text)                                              \
	[HR_DROP_##name] = { HR_STAGE_##stage, label, text },
#include "dataplane/drops.def"
#undef HR_DROP
};
