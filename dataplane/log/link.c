/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/log/link.h"

struct held {
	struct hr_link link;
	struct hr_log_message message;
};

static void release(struct hr_link *link)
{
	struct held *h = link->release_arg;

	if (h->message.free != NULL)
		h->message.free(&h->message);
}

int hr_link_new(struct hr_link **out, const struct hr_log_message *message,
		const struct hr_record *record, const struct hr_chain *chain,
		uint64_t mono_us, struct hr_err *err)
{
	const struct hr_link_head *head = &record->link;
	struct hr_body_sum sum;
	struct held *h;
	int r = hr_body_check(head->body_kind, head->body, &sum, err);

	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a link");
	h->message = *message;
	h->link = (struct hr_link){
		.kind = HR_TOLD_LINK,
		.shard = record->shard,
		.body_kind = head->body_kind,
		.n_events = sum.n_events,
		.n_items = sum.n_items,
		.record_bytes = message->n_bytes,
		.n = head->n,
		.prev_hash = head->prev_hash,
		.hash = chain->hash,
		.owner = chain->owner,
		.incarnation = chain->incarnation,
		.clock_us = head->clock_us,
		.offset = message->offset,
		.body = head->body,
		.accepted_mono_us = mono_us,
		.oldest_received_us = sum.oldest_received_us,
		.held_bytes = sizeof(*h) + message->n_bytes,
		.release = release,
		.release_arg = h,
		.next_due_us = UINT64_MAX,
	};
	memcpy(h->link.addresses, chain->addresses, sizeof(h->link.addresses));
	atomic_init(&h->link.refs, 1);
	*out = &h->link;
	return 0;
}

struct hr_link *hr_told_new(enum hr_told kind, uint16_t shard)
{
	struct hr_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return NULL;
	link->kind = kind;
	link->shard = shard;
	link->next_due_us = UINT64_MAX;
	atomic_init(&link->refs, 1);
	return link;
}

void hr_link_put(struct hr_link *link)
{
	/* Release what this thread read of it; acquire before it goes. */
	if (atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(link->out);
	if (link->release != NULL)
		link->release(link);
	free(link);
}
