/* SPDX-License-Identifier: BSD-3-Clause */

#include "controlplane/metrics/own.h"

const struct hr_own_row hr_own_rows[HR_OWN_COUNT] = {
#define HR_OWN(id, kind, name, label_keys, help)                                       \
	[HR_OWN_##id] = { HR_STAT_##kind, name, label_keys, help },
#include "controlplane/metrics/own.def"
#undef HR_OWN
};

json_t *hr_own_rates_json(const struct hr_rates *rates)
{
	if (!rates->is_measured)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f}", "over_s", rates->over_s,
			 "events_per_s", rates->events_per_s, "datagrams_per_s",
			 rates->datagrams_per_s, "accept_p99_s", rates->accept_p99_s);
}
