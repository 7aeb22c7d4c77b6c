/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_OWN_H
#define HR_OWN_H

/* own - own.def as an enum and a table, and rates as JSON. */

#include <jansson.h>

#include "controlplane/metrics/sampler.h"

enum hr_own {
#define HR_OWN(id, kind, name, label_keys, help) HR_OWN_##id,
#include "controlplane/metrics/own.def"
#undef HR_OWN
	HR_OWN_COUNT
};

struct hr_own_row {
	enum hr_stat_kind kind;
	const char *name;
	const char *label_keys;
	const char *help;
};

extern const struct hr_own_row hr_own_rows[HR_OWN_COUNT];

/* null where nothing was measured yet. */
json_t *hr_own_rates_json(const struct hr_rates *rates);

#endif
