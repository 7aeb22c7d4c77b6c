/* SPDX-License-Identifier: BSD-3-Clause */

/* The worker's half of record: one item per datagram, calls nothing but memcpy. */

#include "dataplane/log/record_impl.h"

static inline void zero_tail(uint8_t *end, uint32_t payload_bytes)
{
	/* Up to 7 bytes of padding; items are multiples of 8, so one whole store
	 * in front of the payload's end never leaves the item. */
	if ((payload_bytes & 7u) != 0)
		hr_store64(end - 8, 0);
}

uint32_t hr_item_encode(uint8_t *out, const struct hr_item *item)
{
	uint32_t bytes = hr_item_bytes(item->payload.n);

	hr_store16(out, item->kind);
	out[2] = item->codec;
	out[3] = item->family;
	hr_store32(out + 4, HR_ITEM_DATAGRAM_BYTES + item->payload.n);
	hr_store64(out + 8, item->birth);
	hr_store64(out + 16, item->random);
	hr_store64(out + 24, item->sequence);
	hr_store32(out + 32, item->key_id);
	hr_store32(out + 36, item->client_drops);
	memcpy(out + 40, item->source, sizeof(item->source));
	hr_store16(out + 56, item->source_port);
	hr_store16(out + 58, item->n_events);
	hr_store16(out + 60, item->flags);
	hr_store16(out + 62, 0);
	hr_store64(out + 64, item->sent_us);
	hr_store64(out + 72, item->received_us);
	zero_tail(out + bytes, item->payload.n);
	if (item->payload.n != 0)
		memcpy(out + HR_ITEM_DATAGRAM_BYTES, item->payload.p, item->payload.n);
	return bytes;
}

uint32_t hr_item_encode_skip(uint8_t *out, const struct hr_item *item)
{
	hr_store16(out, HR_ITEM_SKIP);
	hr_store16(out + 2, 0);
	hr_store32(out + 4, HR_ITEM_SKIP_BYTES);
	hr_store64(out + 8, item->birth);
	hr_store64(out + 16, item->random);
	hr_store64(out + 24, item->sequence);
	hr_store32(out + 32, item->key_id);
	hr_store32(out + 36, 0);
	return HR_ITEM_SKIP_BYTES;
}
