/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/view/audit.h"

const char *const hr_audit_kinds[HR_AUDIT_KINDS] = {
	[HR_AUDIT_MISSING] = "missing", [HR_AUDIT_WRONG] = "wrong",
	[HR_AUDIT_EXTRA] = "extra",     [HR_AUDIT_DAMAGED] = "damaged",
	[HR_AUDIT_UNKNOWN] = "unknown",
};

void hr_audit_tell(struct hr_audit *a, const struct hr_audit_finding *finding)
{
	a->n_findings++;
	if (finding->shard >= 0)
		a->sums[finding->shard].n_findings++;
	a->found(a->ctx, finding);
}
