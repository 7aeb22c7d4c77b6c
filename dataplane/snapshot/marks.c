/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "dataplane/snapshot/marks.h"

#define MARKS_IN_AGE 256u

void hr_marks_add(struct hr_marks *m, uint64_t clock_us, int64_t offset,
		  uint64_t min_age_us)
{
	const struct hr_mark *last = m->n > 0 ? &m->marks[m->n - 1] : NULL;

	if (last != NULL && (offset <= last->offset ||
			     clock_us - last->clock_us < min_age_us / MARKS_IN_AGE))
		return;
	if (m->n == HR_MARKS) {
		m->n--;
		memmove(m->marks, m->marks + 1, m->n * sizeof(m->marks[0]));
	}
	m->marks[m->n++] = (struct hr_mark){ clock_us, offset };
}

/* A mark's own link is not older than its clock; what lies before it is. */
int64_t hr_marks_older(const struct hr_marks *m, uint64_t now_us, uint64_t min_age_us)
{
	for (uint32_t i = m->n; i-- > 0;)
		if (m->marks[i].clock_us + min_age_us <= now_us)
			return m->marks[i].offset;
	return 0;
}
