/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/murmur2.h"
#include "tests/unit/fold/chain.h"

uint32_t test_below(struct test_random *r, uint32_t n)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)((r->state >> 32) % n);
}

void test_chain_init(struct test_chain *c, uint16_t shard, uint32_t n_shards)
{
	*c = (struct test_chain){ .shard = shard,
				  .set = { .id = { { 7, 7, 7 } },
					   .hash_key = { 3, 1, 4, 1, 5 },
					   .generation = 1,
					   .n_shards = n_shards } };
}

void test_chain_drop_last(struct test_chain *c)
{
	const struct test_link *l = &c->links[--c->n_links];

	free(l->link.out);
	free(l->body);
	free(l->items);
}

void test_chain_fini(struct test_chain *c)
{
	while (c->n_links > 0)
		test_chain_drop_last(c);
	free(c->links);
}

/* ---- payloads ---- */

struct pen {
	uint8_t *at, *end;
};

static void put(struct pen *p, const void *bytes, size_t n)
{
	assert((size_t)(p->end - p->at) >= n);
	memcpy(p->at, bytes, n);
	p->at += n;
}

static void put_text(struct pen *p, const char *text)
{
	put(p, text, strlen(text));
}

static void put_varint(struct pen *p, uint64_t v)
{
	uint8_t byte;

	for (; v >= 0x80; v >>= 7) {
		byte = (uint8_t)(v | 0x80);
		put(p, &byte, 1);
	}
	byte = (uint8_t)v;
	put(p, &byte, 1);
}

static void put_field(struct pen *p, uint32_t number, const void *bytes, size_t n)
{
	put_varint(p, number << 3 | 2);
	put_varint(p, n);
	put(p, bytes, n);
}

static void put_field_text(struct pen *p, uint32_t number, const char *text)
{
	put_field(p, number, text, strlen(text));
}

/* Pair { key = 1; text = 2; } */
static void put_pair(struct pen *p, const char *key, const char *text)
{
	uint8_t bytes[256];
	struct pen inner = { bytes, bytes + sizeof(bytes) };

	put_field_text(&inner, 1, key);
	put_field_text(&inner, 2, text);
	put_field(p, 6, bytes, (size_t)(inner.at - bytes));
}

/* Event { user = 1; type = 2; id = 3; time_ms = 4; pairs = 6; } */
static void put_protobuf(struct pen *p, const struct test_event *ev)
{
	uint8_t bytes[1024];
	struct pen inner = { bytes, bytes + sizeof(bytes) };

	if (ev->user[0] != 0)
		put_field_text(&inner, 1, ev->user);
	put_field_text(&inner, 2, ev->type);
	if (ev->id[0] != 0)
		put_field_text(&inner, 3, ev->id);
	if (ev->time_ms != ABSENT) {
		put_varint(&inner, 4 << 3);
		put_varint(&inner, (uint64_t)ev->time_ms);
	}
	if (ev->product[0] != 0)
		put_pair(&inner, "product_id", ev->product);
	if (ev->is_broken)
		put(&inner, "\x7a\x7f", 2); /* 127 bytes that are not there */
	put_field(p, 1, bytes, (size_t)(inner.at - bytes));
}

static void put_string(struct pen *p, const char *text)
{
	put_text(p, "\"");
	for (; *text != 0; text++) {
		if (*text == '"' || *text == '\\')
			put_text(p, "\\");
		put(p, text, 1);
	}
	put_text(p, "\"");
}

static void put_json(struct pen *p, const struct test_event *ev)
{
	char digits[32];

	put_text(p, "{\"event_type\":");
	put_string(p, ev->type);
	if (ev->user[0] != 0) {
		put_text(p, ",\"user_id\":");
		put_string(p, ev->user);
	}
	if (ev->id[0] != 0) {
		put_text(p, ",\"event_id\":");
		put_string(p, ev->id);
	}
	if (ev->time_ms != ABSENT) {
		snprintf(digits, sizeof(digits), ",\"timestamp\":%lld",
			 (long long)ev->time_ms);
		put_text(p, digits);
	}
	if (ev->product[0] != 0) {
		put_text(p, ",\"metadata\":{\"product_id\":");
		put_string(p, ev->product);
		put_text(p, "}");
	}
	put_text(p, ev->is_broken ? "]\n" : "}\n");
}

uint32_t test_payload(const struct test_item *item, uint8_t *out, uint32_t max)
{
	struct pen p = { out, out + max };

	for (uint32_t i = 0; i < item->n_events; i++) {
		if (item->codec == HR_CODEC_PROTOBUF)
			put_protobuf(&p, &item->events[i]);
		else
			put_json(&p, &item->events[i]);
	}
	return (uint32_t)(p.at - out);
}

/* ---- links ---- */

static uint32_t item_write(const struct test_item *item, uint8_t *out, uint32_t max)
{
	static uint8_t payload[1 << 16];
	const uint32_t n = test_payload(item, payload, sizeof(payload));
	const struct hr_item encoded = {
		.kind = item->kind,
		.codec = item->codec,
		.family = 4,
		.n_events = item->claimed == ABSENT ? item->n_events
						    : (uint16_t)item->claimed,
		.flags = item->flags,
		.birth = item->birth,
		.random = item->random,
		.sequence = item->sequence,
		.key_id = item->key_id,
		.received_us = item->received_us,
		.sent_us = item->received_us - 500,
		.payload = { payload, n },
	};

	assert(hr_item_bytes(n) <= max);
	if (item->kind == HR_ITEM_SKIP)
		return hr_item_encode_skip(out, &encoded);
	return hr_item_encode(out, &encoded);
}

static struct test_link *add(struct test_chain *c, uint16_t kind, uint64_t clock_us,
			     struct hr_str body)
{
	const uint64_t n = c->n_links + 1;
	struct hr_body_sum sum = { 0 };
	struct hr_link_head head;
	struct test_link *l;

	if (c->n_links == c->room) {
		c->room = 2 * c->room + 8;
		c->links = realloc(c->links, c->room * sizeof(*c->links));
		assert(c->links != NULL);
	}
	l = &c->links[c->n_links++];
	memset(l, 0, sizeof(*l));
	l->kind = kind;
	l->clock_us = clock_us;
	l->body = malloc(body.n + 1u);
	memcpy(l->body, body.p, body.n);
	/* Exactly as long: whoever reads beyond meets the sanitizer. */
	l->body = realloc(l->body, body.n == 0 ? 1 : body.n);
	(void)hr_body_check(kind, (struct hr_str){ l->body, body.n }, &sum, NULL);
	l->link = (struct hr_link){ .shard = c->shard,
				    .body_kind = kind,
				    .n_events = sum.n_events,
				    .n_items = sum.n_items,
				    .n = n,
				    .clock_us = clock_us,
				    .body = { l->body, body.n },
				    .oldest_received_us = sum.oldest_received_us };
	if (n == 1)
		hr_chain_root(&c->set, c->shard, &l->link.prev_hash);
	else
		l->link.prev_hash = c->links[n - 2].link.hash;
	head = (struct hr_link_head){ .n = n,
				      .prev_hash = l->link.prev_hash,
				      .clock_us = clock_us,
				      .body_kind = kind,
				      .body = l->link.body };
	hr_link_hash(&c->set, c->shard, &head, &l->link.hash);
	return l;
}

struct test_link *test_chain_add_body(struct test_chain *c, uint16_t kind,
				      uint64_t clock_us, struct hr_str body)
{
	return add(c, kind, clock_us, body);
}

struct test_link *test_chain_add_epoch(struct test_chain *c, uint64_t clock_us,
				       struct test_item *items, uint32_t n_items)
{
	static uint8_t body[HR_BODY_MAX];
	struct test_link *l;
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_items; i++)
		n += item_write(&items[i], body + n, HR_BODY_MAX - n);
	l = add(c, HR_BODY_EPOCH, clock_us, (struct hr_str){ body, n });
	l->items = items;
	l->n_items = n_items;
	return l;
}

struct test_link *test_chain_add_config(struct test_chain *c, uint64_t clock_us,
					const struct hr_chain_config *config)
{
	uint8_t body[HR_CHAIN_CONFIG_MAX];
	const uint32_t n = (uint32_t)hr_chain_config_encode(body, config);
	struct test_link *l =
		add(c, HR_BODY_CONFIG, clock_us, (struct hr_str){ body, n });

	l->config = *config;
	return l;
}

struct hr_chain_config test_config(uint64_t max_events, uint64_t max_streams,
				   uint64_t max_age_us)
{
	struct hr_chain_config config = { .fold_version = HR_FOLD_VERSION_LEAST };

	config.setting[HR_CHAIN_MAX_EVENTS] = max_events;
	config.setting[HR_CHAIN_MAX_STREAMS] = max_streams;
	config.setting[HR_CHAIN_STREAM_MAX_AGE_US] = max_age_us;
	return config;
}

void test_user(char out[TEXT_BYTES], uint32_t number, uint16_t shard, uint32_t n_shards,
	       bool is_ours)
{
	for (uint32_t spelling = 0;; spelling++) {
		int n = snprintf(out, TEXT_BYTES, "user_%u.%u", number, spelling);

		if ((hr_kafka_partition(out, (size_t)n, n_shards) == shard) == is_ours)
			return;
	}
}

/* ---- random chains ---- */

#define STREAMS 12
#define USERS 40
#define START_US 1700000000000000u
#define MAX_AGE_US 3000000u

struct maker {
	struct test_random random;
	struct test_chain *chain;
	uint64_t clock_us;
	uint64_t next[STREAMS]; /* sequence */
};

/* One a full expression: compilers differ in which argument they look at first. */
static uint32_t below(struct maker *m, uint32_t n)
{
	return test_below(&m->random, n);
}

static bool one_in(struct maker *m, uint32_t n)
{
	return below(m, n) == 0;
}

static void event_make(struct maker *m, struct test_event *ev)
{
	static const char *const types[] = { "product_view", "product_view", "purchase",
					     "click",        "search",       "wish" };
	const struct test_chain *c = m->chain;
	const uint32_t user = below(m, below(m, USERS) + 1); /* low numbers often */

	test_user(ev->user, user, c->shard, c->set.n_shards, !one_in(m, 40));
	if (one_in(m, 60))
		ev->user[0] = 0;
	snprintf(ev->type, TEXT_BYTES, "%s", types[below(m, 6)]);
	if (one_in(m, 6))
		snprintf(ev->id, TEXT_BYTES, "\"%u\\", below(m, 1u << 30));
	else if (!one_in(m, 3))
		snprintf(ev->id, TEXT_BYTES, "e%u", below(m, 1u << 30));
	if (!one_in(m, 4))
		snprintf(ev->product, TEXT_BYTES, "product_%u", below(m, 500));
	ev->time_ms = one_in(m, 5) ? ABSENT
				   : (int64_t)(m->clock_us / 1000) + 500 -
					     (int64_t)below(m, 4000);
	ev->is_broken = one_in(m, 50);
}

/* A few names again and again. */
static void event_rename(struct maker *m, struct test_event *ev)
{
	const struct test_chain *c = m->chain;

	if (one_in(m, 3))
		return;
	test_user(ev->user, below(m, 4), c->shard, c->set.n_shards, true);
	snprintf(ev->id, TEXT_BYTES, "d%u", below(m, 12));
}

/* Numbers jump, come late, and twice. */
static void number_loosely(struct maker *m, struct test_item *item, uint64_t *next)
{
	if (one_in(m, 15))
		*next += below(m, one_in(m, 5) ? 200 : 10);
	item->sequence = *next;
	if (one_in(m, 3) && *next > 100)
		item->sequence -= below(m, 80); /* late, or a repeat */
	else
		++*next;
}

/* Nearly always the next one. */
static void number_in_order(struct maker *m, struct test_item *item, uint64_t *next)
{
	item->flags = one_in(m, 30) ? 0 : HR_ITEM_ORDERED;
	item->sequence = *next;
	if (one_in(m, 6))
		item->sequence -= below(m, 2); /* a repeat */
	else if (one_in(m, 40))
		item->sequence = *next += below(m, 5); /* a bug's */
	if (item->sequence == *next)
		++*next;
}

static void stream_choose(struct maker *m, struct test_item *item)
{
	const uint32_t stream = below(m, STREAMS);
	uint64_t *next = &m->next[stream];

	item->birth = START_US + stream;
	item->random = 77u * stream;
	item->key_id = one_in(m, 30) ? below(m, 4) : stream % 4;
	if (stream % 3 == 2)
		item->birth |= HR_BIRTH_DISK_CLASS;
	if (stream % 2 == 0)
		number_loosely(m, item, next);
	else
		number_in_order(m, item, next);
}

static void item_make(struct maker *m, struct test_item *item)
{
	item->kind = one_in(m, 10)   ? HR_ITEM_EVENT
		     : one_in(m, 20) ? HR_ITEM_SKIP
				     : HR_ITEM_DATAGRAM;
	item->codec = one_in(m, 2) ? HR_CODEC_PROTOBUF : HR_CODEC_JSON;
	item->received_us = m->clock_us - below(m, 9000);
	item->claimed = ABSENT;
	if (item->kind != HR_ITEM_EVENT)
		stream_choose(m, item);
	if (item->kind == HR_ITEM_SKIP) {
		item->sequence += below(m, 3);
		item->claimed = 0;
		return;
	}
	item->n_events = (uint16_t)below(m, 12);
	if (one_in(m, 40))
		item->claimed = (int)below(m, 16);
	for (uint32_t i = 0; i < item->n_events; i++)
		event_make(m, &item->events[i]);
	for (uint32_t i = 0; item->kind == HR_ITEM_EVENT && i < item->n_events; i++)
		event_rename(m, &item->events[i]);
}

static void epoch_make(struct maker *m)
{
	const uint32_t n = one_in(m, 8) ? 0 : below(m, 30);
	struct test_item *items = calloc(n + 1u, sizeof(*items));

	assert(items != NULL);
	for (uint32_t i = 0; i < n; i++)
		item_make(m, &items[i]);
	test_chain_add_epoch(m->chain, m->clock_us, items, n);
}

/* The first change asks for the next fold version, and all that follow. */
#ifdef HR_TEST_UPGRADES
#define VERSION_THEN HR_FOLD_VERSION
#else
#define VERSION_THEN HR_FOLD_VERSION_LEAST
#endif

static void config_change(struct maker *m, struct hr_chain_config *config)
{
	config->fold_version = VERSION_THEN;
	config->setting[HR_CHAIN_MAX_EVENTS] = 20 + below(m, 300);
	config->setting[HR_CHAIN_MAX_STREAMS] = below(m, STREAMS + 2);
	config->setting[HR_CHAIN_STREAM_MAX_AGE_US] =
		MAX_AGE_US / 2 + below(m, 2 * MAX_AGE_US);
	config->setting[HR_CHAIN_KEY_STREAMS] = one_in(m, 2) ? 0 : 1 + below(m, 4);
	config->setting[HR_CHAIN_TTL_MEMORY_US] = below(m, MAX_AGE_US);
	config->setting[HR_CHAIN_TTL_DISK_US] = below(m, 5 * MAX_AGE_US);
	config->setting[HR_CHAIN_DEDUP_WINDOW_US] =
		one_in(m, 6) ? 0 : MAX_AGE_US / 2 + below(m, 2 * MAX_AGE_US);
	config->setting[HR_CHAIN_DEDUP_MAX] = below(m, 50);
}

static void clock_move(struct maker *m)
{
	m->clock_us += one_in(m, 12) ? below(m, 2 * MAX_AGE_US) : below(m, 20000);
	if (one_in(m, 25)) /* floors die only now */
		m->clock_us += 55000000 + below(m, 6 * MAX_AGE_US);
}

void test_chain_random(struct test_chain *c, uint64_t seed, uint32_t n_links)
{
	struct maker m = { .random = { seed * 0x9e3779b97f4a7c15u + 1 },
			   .chain = c,
			   .clock_us = START_US };
	struct hr_chain_config config = test_config(150, STREAMS, MAX_AGE_US);
	const uint8_t loss[24] = { 9 };

	test_chain_init(c, (uint16_t)(seed % 3), 3);
	for (uint32_t i = 0; i < STREAMS; i++)
		m.next[i] = 1 + below(&m, 300);
	config.setting[HR_CHAIN_TTL_DISK_US] = 4 * MAX_AGE_US;
	config.setting[HR_CHAIN_DEDUP_WINDOW_US] = MAX_AGE_US;
	config.setting[HR_CHAIN_DEDUP_MAX] = 30;
	test_chain_add_config(c, m.clock_us, &config);
	while (c->n_links < n_links) {
		clock_move(&m);
		if (one_in(&m, 25)) {
			config_change(&m, &config);
			test_chain_add_config(c, m.clock_us, &config);
		} else if (one_in(&m, 40)) {
			test_chain_add_body(c, HR_BODY_LOSS, m.clock_us,
					    (struct hr_str){ loss, sizeof(loss) });
		} else {
			epoch_make(&m);
		}
	}
}

/* ---- running it ---- */

struct hr_out *test_out_new(struct hr_link *link)
{
	const size_t bytes = (hr_out_bytes(link) + 63) & ~(size_t)63;
	void *memory = aligned_alloc(64, bytes);

	assert(memory != NULL);
	memset(memory, 0xa5, bytes); /* what fold does not write is noticed */
	return hr_out_init(memory, link);
}

void test_fold_run(struct test_chain *c, struct hr_fold *fold, uint32_t step)
{
	test_outs_free(c);
	for (uint32_t i = 0; i < c->n_links; i++) {
		struct hr_link *link = &c->links[i].link;
		int r;

		link->out = test_out_new(link);
		r = hr_fold_begin(fold, link);
		assert(r == 0);
		(void)r;
		while (!hr_fold_step(fold, step))
			;
	}
}

void test_outs_free(struct test_chain *c)
{
	for (uint32_t i = 0; i < c->n_links; i++) {
		free(c->links[i].link.out);
		c->links[i].link.out = NULL;
	}
}

static bool events_equal(const struct hr_event *a, const struct hr_event *b)
{
	return hr_str_equals(a->user, b->user) && hr_str_equals(a->type, b->type) &&
	       hr_str_equals(a->id, b->id) && hr_str_equals(a->product, b->product) &&
	       hr_str_equals(a->category, b->category) &&
	       hr_str_equals(a->time_text, b->time_text) &&
	       hr_str_equals(a->metadata, b->metadata) && a->time_ms == b->time_ms &&
	       a->type_no == b->type_no && a->time_form == b->time_form &&
	       a->codec == b->codec;
}

static bool entries_equal(const struct hr_out_event *a, const struct hr_out_event *b)
{
	if (!hr_str_equals(a->raw, b->raw) || a->user_row != b->user_row ||
	    a->next_of_user != b->next_of_user || a->item != b->item ||
	    a->verdict != b->verdict || a->reject != b->reject || a->codec != b->codec)
		return false;
	if (a->verdict == HR_COUNTED)
		return events_equal(&a->event, &b->event);
	return a->verdict != HR_REJECTED || hr_str_equals(a->event.user, b->event.user);
}

static bool users_equal(const struct hr_out_user *a, const struct hr_out_user *b)
{
	return hr_str_equals(a->user, b->user) && a->hash == b->hash &&
	       a->first_event == b->first_event && a->last_event == b->last_event &&
	       a->n_events == b->n_events && a->n_views == b->n_views &&
	       a->n_purchases == b->n_purchases &&
	       a->last_active_ms == b->last_active_ms;
}

bool test_outs_equal(const struct hr_out *a, const struct hr_out *b)
{
	if (a->n_events != b->n_events || a->n_users != b->n_users ||
	    a->gaps != b->gaps || a->filled != b->filled ||
	    a->dedup_hits != b->dedup_hits || a->dedup_evicted != b->dedup_evicted ||
	    memcmp(a->verdicts, b->verdicts, sizeof(a->verdicts)) != 0 ||
	    memcmp(a->rejects, b->rejects, sizeof(a->rejects)) != 0 ||
	    !hr_id128_equals(&a->digest, &b->digest))
		return false;
	for (uint32_t i = 0; i < a->n_events; i++)
		if (!entries_equal(&a->events[i], &b->events[i]))
			return false;
	for (uint32_t i = 0; i < a->n_users; i++)
		if (!users_equal(&a->users[i], &b->users[i]))
			return false;
	return true;
}
