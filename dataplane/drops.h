/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_DROPS_H
#define HR_DROPS_H

/* drops - drops.def as an enum and as texts. HR_DROP_NONE is "taken". */

enum hr_drop {
	HR_DROP_NONE,
#define HR_DROP(name, stage, label, text) HR_DROP_##name,
#include "dataplane/drops.def"
#undef HR_DROP
	HR_DROP_COUNT
};

enum hr_drop_stage {
	HR_STAGE_refused,
	HR_STAGE_dropped,
};

struct hr_drop_row {
	enum hr_drop_stage stage;
	const char *label;
	const char *text;
};

/* Indexed by enum hr_drop; row 0 is all empty. In drops.c (hr_common). */
extern const struct hr_drop_row hr_drop_rows[HR_DROP_COUNT];

#endif
