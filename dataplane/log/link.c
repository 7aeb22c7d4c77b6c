/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "dataplane/log/log_impl.h"

struct held {
	struct hr_link link;
	struct hr_kafka *client;
	rd_kafka_message_t *message;
};

static void release(struct hr_link *link)
{
	struct held *h = link->release_arg;

	rd_kafka_message_destroy(h->message);
	hr_kafka_put(h->client);
}

int hr_link_from_message(struct hr_link **out, struct hr_kafka *client,
			 rd_kafka_message_t *message, const struct hr_record *record,
			 const struct hr_chain *chain, struct hr_err *err)
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
	h->client = hr_kafka_get(client);
	h->message = message;
	h->link = (struct hr_link){
		.shard = record->shard,
		.body_kind = head->body_kind,
		.n_events = sum.n_events,
		.n_items = sum.n_items,
		.record_bytes = (uint32_t)message->len,
		.n = head->n,
		.prev_hash = head->prev_hash,
		.hash = chain->hash,
		.owner = chain->owner,
		.incarnation = chain->incarnation,
		.clock_us = head->clock_us,
		.offset = message->offset,
		.body = head->body,
		.accepted_mono_us = hr_mono_us(),
		.oldest_received_us = sum.oldest_received_us,
		.held_bytes = sizeof(*h) + message->len,
		.release = release,
		.release_arg = h,
	};
	atomic_init(&h->link.refs, 1);
	*out = &h->link;
	return 0;
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
