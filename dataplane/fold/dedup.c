/* SPDX-License-Identifier: BSD-3-Clause */

/* The cold half of dedup: memory. */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/fold/dedup.h"

void hr_dedup_init(struct hr_dedup *d)
{
	*d = (struct hr_dedup){ .free = HR_NOT_KNOWN,
				.oldest = HR_NOT_KNOWN,
				.newest = HR_NOT_KNOWN };
}

void hr_dedup_fini(struct hr_dedup *d)
{
	free(d->entries);
	free(d->slots);
	hr_dedup_init(d);
}

/* At least twice as many as entries: a probe is short, and one is always empty. */
static uint32_t slots_for(uint32_t capacity)
{
	uint32_t n = 2;

	while (n / 2 < capacity)
		n *= 2;
	return n;
}

static int make(struct hr_dedup *d, uint32_t capacity)
{
	const uint32_t n_slots = slots_for(capacity);

	hr_dedup_init(d);
	d->entries = malloc(capacity * sizeof(*d->entries));
	d->slots = malloc(n_slots * sizeof(*d->slots));
	if (d->entries == NULL || d->slots == NULL) {
		hr_dedup_fini(d);
		return -ENOMEM;
	}
	/* Written to at once: the first events shall not wait for the kernel's pages. */
	memset(d->slots, 0xff, n_slots * sizeof(*d->slots));
	for (uint32_t i = capacity; i-- > 0;) {
		d->entries[i] = (struct hr_known){ .newer = d->free };
		d->free = i;
	}
	d->slot_mask = n_slots - 1;
	d->capacity = capacity;
	return 0;
}

int hr_dedup_reserve(struct hr_dedup *d, uint32_t capacity)
{
	struct hr_dedup bigger;

	if (capacity <= d->capacity)
		return 0;
	if (make(&bigger, capacity) < 0)
		return -ENOMEM;
	for (uint32_t at = d->oldest; at != HR_NOT_KNOWN; at = d->entries[at].newer)
		(void)hr_dedup_restore(&bigger, &d->entries[at].identity,
				       d->entries[at].first_us);
	hr_dedup_fini(d);
	*d = bigger;
	return 0;
}
