/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Links to records. An event is rendered once, however many topics take it; its
 * bytes stay where they are until the transaction is over, and librdkafka is handed
 * pointers to them.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "common/mutant.h"
#include "common/wire.h"
#include "dataplane/view/topics_impl.h"

#define CHUNK_BYTES (256u << 10)

struct hr_topics_chunk {
	struct hr_topics_chunk *next;
	size_t used, size;
	uint8_t bytes[];
};

int hr_topics_batch_init(struct hr_topics_batch *b, const struct hr_topics_shape *shape)
{
	*b = (struct hr_topics_batch){ .shape = *shape };
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		b->counts[t] = calloc(hr_topics_own(shape, t) + 1, sizeof(uint32_t));
		if (b->counts[t] == NULL) {
			hr_topics_batch_fini(b);
			return -ENOMEM;
		}
	}
	return 0;
}

void hr_topics_batch_fini(struct hr_topics_batch *b)
{
	while (b->first != NULL) {
		struct hr_topics_chunk *next = b->first->next;

		free(b->first);
		b->first = next;
	}
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		free(b->counts[t]);
		free(b->records[t].rows);
	}
	free(b->letters);
	free(b->received);
	free(b->order);
	memset(b, 0, sizeof(*b));
}

void hr_topics_batch_clear(struct hr_topics_batch *b)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		b->records[t].n = 0;
		memset(b->counts[t], 0,
		       hr_topics_own(&b->shape, t) * sizeof(*b->counts[t]));
	}
	b->chunk = b->first;
	if (b->chunk != NULL)
		b->chunk->used = 0;
	b->sent_bytes = 0;
	b->n_received = 0;
	b->n_links = 0;
}

/* Room for `bytes` in one piece: the open chunk, the next one kept, or a new one. */
static uint8_t *room(struct hr_topics_batch *b, size_t bytes)
{
	struct hr_topics_chunk *c = b->chunk, *fresh;
	size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

	if (c != NULL && c->size - c->used >= bytes)
		return c->bytes + c->used;
	if (c != NULL && c->next != NULL && c->next->size >= bytes) {
		b->chunk = c->next;
		b->chunk->used = 0;
		return b->chunk->bytes;
	}
	fresh = malloc(sizeof(*fresh) + size);
	if (fresh == NULL)
		return NULL;
	*fresh = (struct hr_topics_chunk){ .size = size };
	if (c == NULL) {
		b->first = fresh;
	} else {
		fresh->next = c->next;
		c->next = fresh;
	}
	b->chunk = fresh;
	return fresh->bytes;
}

static bool grow(void *rows, size_t size, uint32_t *max, uint32_t want)
{
	void **at = rows;
	uint32_t more = *max == 0 ? 1024 : *max;
	void *fresh;

	if (want <= *max)
		return true;
	while (more < want)
		more *= 2;
	fresh = realloc(*at, more * size);
	if (fresh == NULL)
		return false;
	*at = fresh;
	*max = more;
	return true;
}

/* Room in every list for all of the link's events. */
static bool reserve(struct hr_topics_batch *b, const struct hr_out *out)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		struct hr_topics_records *r = &b->records[t];
		uint64_t most = t == HR_TOPIC_DEAD_LETTERS ? out->verdicts[HR_REJECTED]
							   : out->n_events;

		if (!grow(&r->rows, sizeof(*r->rows), &r->max, r->n + (uint32_t)most))
			return false;
	}
	return grow(&b->letters, sizeof(*b->letters), &b->max_letters,
		    b->records[HR_TOPIC_DEAD_LETTERS].n +
			    (uint32_t)out->verdicts[HR_REJECTED]) &&
	       grow(&b->received, sizeof(*b->received), &b->max_received,
		    b->n_received + 1);
}

static void append(struct hr_topics_batch *b, enum hr_topic topic,
		   struct hr_topics_record record, uint32_t partition)
{
	const struct hr_topics_shape *s = &b->shape;
	struct hr_topics_records *list = &b->records[topic];

	/* Or two publishers would write it. */
	assert(partition % s->n_shards == s->shard);
	record.partition = (uint16_t)partition;
	list->rows[list->n++] = record;
	b->counts[topic][partition / s->n_shards]++;
	b->sent_bytes += record.key_bytes + record.value_bytes;
}

static uint32_t partition_of(uint32_t hash, uint32_t n_partitions)
{
	return (hash & 0x7fffffffu) % n_partitions;
}

/* A counted event: to user_events, and by its type to one topic more. */
static int add_event(struct hr_topics_batch *b, const struct hr_out *out,
		     const struct hr_out_event *e)
{
	const struct hr_topics_shape *s = &b->shape;
	const struct hr_event *ev = &e->event;
	uint32_t hash = out->users[e->user_row].hash;
	uint32_t max = HR_RENDER_BYTES(e->raw.n);
	struct hr_topics_record record = { .key_bytes = (uint16_t)ev->user.n };
	uint8_t *at = room(b, ev->user.n + max);

	if (at == NULL)
		return -ENOMEM;
	memcpy(at, ev->user.p, ev->user.n);
	record.value = at + ev->user.n;
	record.value_bytes = hr_event_render(ev, at + ev->user.n, max);
	assert(record.value_bytes != 0); /* max is always enough */
	b->chunk->used += record.key_bytes + record.value_bytes;
	append(b, HR_TOPIC_USER_EVENTS, record,
	       partition_of(hash, s->n_partitions[HR_TOPIC_USER_EVENTS]));
	if (ev->type_no == HR_EVENT_PRODUCT_VIEW)
		append(b, HR_TOPIC_PRODUCT_VIEWS, record,
		       partition_of(hash, s->n_partitions[HR_TOPIC_PRODUCT_VIEWS]));
	else if (ev->type_no == HR_EVENT_PURCHASE && !HR_MUTANT(purchases_unrouted))
		append(b, HR_TOPIC_PURCHASES, record,
		       partition_of(hash, s->n_partitions[HR_TOPIC_PURCHASES]));
	return 0;
}

/* The user of a rejected event, if it has a usable one of this very shard. What fold
 * keeps of a rejected event is its verdict; the bytes are looked at again. */
static struct hr_str usable_user(const struct hr_topics_shape *s,
				 const struct hr_out_event *e, struct hr_event *ev,
				 struct hr_arena *arena)
{
	memset(ev, 0, sizeof(*ev));
	if (e->codec == HR_CODEC_JSON)
		(void)hr_event_parse_json(ev, arena, e->raw.p, e->raw.n, 0);
	else
		(void)hr_event_parse_protobuf(ev, arena, e->raw.p, e->raw.n, 0);
	if (ev->user.n > HR_USER_MAX ||
	    hr_kafka_partition(ev->user.p, ev->user.n, s->n_shards) != s->shard)
		return (struct hr_str){ NULL, 0 };
	return ev->user;
}

/* A rejected event: its bytes as they came, and why. */
static int add_letter(struct hr_topics_batch *b, const struct hr_link *link,
		      const struct hr_out_event *e)
{
	const struct hr_topics_shape *s = &b->shape;
	uint32_t n = s->n_partitions[HR_TOPIC_DEAD_LETTERS];
	uint32_t cursor = e->item, partition = s->shard;
	/* Behind key and value: decoded texts, needed for a moment only. */
	uint8_t *at = room(b, HR_USER_MAX + 2 * (size_t)e->raw.n);
	struct hr_topics_record record = { .value_bytes = e->raw.n };
	struct hr_arena arena;
	struct hr_event ev;
	struct hr_item item;
	struct hr_str user;

	if (at == NULL)
		return -ENOMEM;
	arena.at = at + HR_USER_MAX + e->raw.n;
	arena.end = arena.at + e->raw.n;
	user = usable_user(s, e, &ev, &arena);
	if (user.n > 0) {
		memcpy(at, user.p, user.n);
		partition = hr_kafka_partition(user.p, user.n, n);
	}
	record.key_bytes = (uint16_t)user.n;
	record.value = at + user.n;
	if (e->raw.n > 0)
		memcpy(at + user.n, e->raw.p, e->raw.n);
	b->chunk->used += user.n + e->raw.n;
	if (hr_item_next(link->body, &cursor, &item) != 1)
		memset(&item, 0, sizeof(item)); /* an accepted body has been walked */
	b->letters[b->records[HR_TOPIC_DEAD_LETTERS].n] = (struct hr_topics_letter){
		.reject = e->reject,
		.family = item.family,
		.source_port = item.source_port,
		.key_id = item.key_id,
		.received_us = item.received_us,
	};
	memcpy(b->letters[b->records[HR_TOPIC_DEAD_LETTERS].n].source, item.source,
	       sizeof(item.source));
	append(b, HR_TOPIC_DEAD_LETTERS, record, partition);
	return 0;
}

/* "192.0.2.1:5000", "[2001:db8::1]:5000", or "unknown". */
static void print_source(const struct hr_topics_letter *letter, char *out, size_t max)
{
	char address[INET6_ADDRSTRLEN];
	int family = letter->family == 4 ? AF_INET : AF_INET6;

	if ((letter->family != 4 && letter->family != 6) ||
	    inet_ntop(family, letter->source, address, sizeof(address)) == NULL)
		snprintf(out, max, "unknown");
	else
		snprintf(out, max, letter->family == 4 ? "%s:%u" : "[%s]:%u", address,
			 letter->source_port);
}

void hr_topics_letter_print(const struct hr_topics_letter *letter,
			    struct hr_topics_letter_texts *out)
{
	const struct hr_reject_row *row = &hr_reject_rows[letter->reject];

	out->reason = row->label;
	out->detail = row->text;
	print_source(letter, out->source, sizeof(out->source));
	snprintf(out->key_id, sizeof(out->key_id), "%u", letter->key_id);
	hr_time_iso((int64_t)(letter->received_us / 1000), out->received);
}

/* Take back what was added behind `before`. */
static void roll_back(struct hr_topics_batch *b, const struct hr_topics_batch *before,
		      size_t used)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		struct hr_topics_records *list = &b->records[t];

		while (list->n > before->records[t].n)
			b->counts[t][list->rows[--list->n].partition /
				     b->shape.n_shards]--;
	}
	b->sent_bytes = before->sent_bytes;
	b->chunk = before->chunk != NULL ? before->chunk : b->first;
	if (b->chunk != NULL)
		b->chunk->used = used;
}

static int add_events(struct hr_topics_batch *b, const struct hr_link *link)
{
	const struct hr_out *out = link->out;
	int r = reserve(b, out) ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < out->n_events && r == 0; i++) {
		const struct hr_out_event *e = &out->events[i];

		if (e->verdict == HR_COUNTED)
			r = add_event(b, out, e);
		else if (e->verdict == HR_REJECTED)
			r = add_letter(b, link, e);
	}
	return r;
}

int hr_topics_batch_add(struct hr_topics_batch *b, const struct hr_link *link)
{
	const struct hr_topics_batch before = *b;
	size_t used = b->chunk != NULL ? b->chunk->used : 0;

	if (b->shape.n_partitions[HR_TOPIC_USER_EVENTS] != 0 &&
	    add_events(b, link) < 0) {
		roll_back(b, &before, used);
		return -ENOMEM;
	}
	if (link->oldest_received_us != 0 && grow(&b->received, sizeof(*b->received),
						  &b->max_received, b->n_received + 1))
		b->received[b->n_received++] =
			(struct hr_topics_received){ link->oldest_received_us,
						     link->n_events };
	b->n_links++;
	return 0;
}

/* A counting sort: the library looks a partition up once for each run of records. */
const uint32_t *hr_topics_batch_sort(struct hr_topics_batch *b, enum hr_topic topic)
{
	const struct hr_topics_records *list = &b->records[topic];
	uint32_t n_own = hr_topics_own(&b->shape, topic);
	uint32_t *counts = b->counts[topic];
	uint32_t at = 0;

	if (!grow(&b->order, sizeof(*b->order), &b->max_order, list->n + n_own))
		return NULL;
	/* Behind the order: where the next record of each partition goes. */
	for (uint32_t i = 0; i < n_own; i++) {
		b->order[list->n + i] = at;
		at += counts[i];
	}
	for (uint32_t i = 0; i < list->n; i++) {
		uint32_t own = list->rows[i].partition / b->shape.n_shards;

		b->order[b->order[list->n + own]++] = i;
	}
	return b->order;
}
