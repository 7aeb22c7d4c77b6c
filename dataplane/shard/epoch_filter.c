/* SPDX-License-Identifier: BSD-3-Clause */

/* Without rings: whoever has epochs of its own makes links it alone. */

#include <assert.h>
#include <string.h>

#include "dataplane/shard/epoch.h"

static bool dies_with_its_fence(const struct hr_item *item)
{
	return item->kind == HR_ITEM_SKIP ||
	       (item->kind == HR_ITEM_DATAGRAM && (item->flags & HR_ITEM_ORDERED) != 0);
}

uint32_t hr_epoch_filter(struct hr_epoch *epoch, uint32_t *n_events_dropped)
{
	uint8_t *to = hr_epoch_body(epoch);
	const struct hr_str body = { to, epoch->body_bytes };
	uint32_t cursor = 0, at = 0, n_dropped = 0;
	struct hr_item item;
	int r;

	*n_events_dropped = 0;
	epoch->oldest_received_us = 0;
	for (; (r = hr_item_next(body, &cursor, &item)) > 0; at = cursor) {
		if (!dies_with_its_fence(&item)) {
			if (epoch->oldest_received_us == 0)
				epoch->oldest_received_us = item.received_us;
			memmove(to, body.p + at, cursor - at);
			to += cursor - at;
			continue;
		}
		n_dropped += item.kind == HR_ITEM_DATAGRAM;
		*n_events_dropped += item.n_events;
	}
	assert(r == 0); /* we laid it out */
	(void)r;
	epoch->body_bytes = (uint32_t)(to - hr_epoch_body(epoch));
	epoch->n_items -= n_dropped;
	epoch->n_events -= *n_events_dropped;
	return n_dropped;
}
