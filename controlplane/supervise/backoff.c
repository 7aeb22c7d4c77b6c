/* SPDX-License-Identifier: BSD-3-Clause */

#include "controlplane/supervise/backoff.h"

void hr_backoff_init(struct hr_backoff *b, uint32_t first_ms)
{
	b->first_ms = b->next_ms = first_ms;
}

static uint32_t doubled(const struct hr_backoff *b, uint32_t ms)
{
	uint32_t max =
		b->first_ms > HR_BACKOFF_MAX_MS ? b->first_ms : HR_BACKOFF_MAX_MS;

	return ms > max / 2 ? max : ms * 2;
}

uint32_t hr_backoff_next_ms(struct hr_backoff *b, uint64_t lived_ms)
{
	uint32_t now;

	if (lived_ms >= HR_BACKOFF_LIVED_MS) {
		b->next_ms = b->first_ms;
		return 0;
	}
	now = b->next_ms;
	b->next_ms = doubled(b, now);
	return now;
}
