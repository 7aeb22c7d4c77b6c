/* SPDX-License-Identifier: BSD-3-Clause */

/* Links to records, over the real fold. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "common/wire.h"
#include "dataplane/view/topics_impl.h"
#include "tests/unit/hr_test.h"

#define BODY_MAX 262144

static struct hr_data_set set = { .generation = 1, .n_shards = 5 };
static const struct hr_topics_shape shape = {
	.shard = 2,
	.n_shards = 5,
	.n_partitions = { 100, 50, 25, 10 },
};

/* A chain of one shard, folded: CONFIG, then what the test puts in. */
struct chain {
	struct hr_fold *fold;
	struct hr_link *link; /* the newest */
	uint8_t body[BODY_MAX];
	uint32_t body_bytes, n_events, n_items;
	uint64_t sequence;
	struct hr_id128 hash;
};

static void fold_next(struct chain *c, uint16_t kind)
{
	struct hr_link *link = calloc(1, sizeof(*link));
	struct hr_link_head head = { 0 };
	size_t bytes;

	link->shard = shape.shard;
	link->n = c->link != NULL ? c->link->n + 1 : 1;
	link->prev_hash = c->hash;
	link->body_kind = kind;
	link->body = (struct hr_str){ c->body, c->body_bytes };
	link->n_events = c->n_events;
	link->n_items = c->n_items;
	head.n = link->n;
	head.prev_hash = link->prev_hash;
	head.body_kind = kind;
	head.body = link->body;
	hr_link_hash(&set, shape.shard, &head, &link->hash);
	c->hash = link->hash;
	bytes = (hr_out_bytes(link) + 63) & ~(size_t)63;
	link->out = hr_out_init(aligned_alloc(64, bytes), link);
	atomic_init(&link->refs, 1);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(c->fold, link), 0);
	while (!hr_fold_step(c->fold, UINT32_MAX))
		;
	if (c->link != NULL)
		hr_link_put(c->link);
	c->link = link;
	c->body_bytes = c->n_events = c->n_items = 0;
}

static void chain_open(struct chain *c)
{
	struct hr_chain_config config = {
		.fold_version = HR_FOLD_VERSION,
		.setting = { [HR_CHAIN_MAX_EVENTS] = 100000,
			     [HR_CHAIN_MAX_STREAMS] = 1000,
			     [HR_CHAIN_STREAM_MAX_AGE_US] = 3600000000u },
	};

	memset(c, 0, sizeof(*c));
	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&c->fold, &set, shape.shard, 1000), 0);
	hr_chain_root(&set, shape.shard, &c->hash);
	c->body_bytes = (uint32_t)hr_chain_config_encode(c->body, &config);
	fold_next(c, HR_BODY_CONFIG);
}

static void chain_close(struct chain *c)
{
	hr_link_put(c->link);
	hr_fold_free(c->fold);
}

/* A datagram of JSON lines. */
static void put_lines(struct chain *c, const char *lines, uint16_t n)
{
	struct hr_item item = {
		.kind = HR_ITEM_DATAGRAM,
		.codec = HR_CODEC_JSON,
		.family = 4,
		.n_events = n,
		.source_port = 4711,
		.key_id = 77,
		.birth = 1000,
		.random = 5,
		.sequence = ++c->sequence,
		.source = { 192, 0, 2, 1 },
		.received_us = 1705314600000000u,
		.payload = { (const uint8_t *)lines, (uint32_t)strlen(lines) },
	};

	CU_ASSERT_TRUE_FATAL(c->body_bytes + hr_item_bytes(item.payload.n) <= BODY_MAX);
	c->body_bytes += hr_item_encode(c->body + c->body_bytes, &item);
	c->n_events += n;
	c->n_items++;
}

/* Name number i among those of our shard (or of another). */
static const char *user(unsigned int i, bool of_shard)
{
	static char name[32];

	for (unsigned int k = 0;; k++) {
		snprintf(name, sizeof(name), "user_%u", k);
		if ((hr_kafka_partition(name, strlen(name), 5) == shape.shard) ==
			    of_shard &&
		    i-- == 0)
			return name;
	}
}

static void put_event(struct chain *c, unsigned int user_no, const char *type,
		      unsigned int id)
{
	char line[256];

	snprintf(line, sizeof(line),
		 "{\"event_id\":\"e%u\",\"user_id\":\"%s\",\"event_type\":\"%s\","
		 "\"timestamp\":1705314600000}\n",
		 id, user(user_no, true), type);
	put_lines(c, line, 1);
}

static struct hr_str value(const struct hr_topics_batch *b, enum hr_topic t, uint32_t i)
{
	const struct hr_topics_record *r = &b->records[t].rows[i];

	return (struct hr_str){ r->value, r->value_bytes };
}

static struct hr_str key(const struct hr_topics_batch *b, enum hr_topic t, uint32_t i)
{
	const struct hr_topics_record *r = &b->records[t].rows[i];

	return (struct hr_str){ r->value - r->key_bytes, r->key_bytes };
}

static bool has(struct hr_str s, const char *part)
{
	return memmem(s.p, s.n, part, strlen(part)) != NULL;
}

static bool is(struct hr_str s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static void events_go_to_user_events_and_by_type_to_one_topic_more(void)
{
	static struct chain c;
	struct hr_topics_batch b;

	chain_open(&c);
	CU_ASSERT_EQUAL_FATAL(hr_topics_batch_init(&b, &shape), 0);
	put_event(&c, 0, "product_view", 1);
	put_event(&c, 1, "purchase", 2);
	put_event(&c, 0, "search", 3);
	fold_next(&c, HR_BODY_EPOCH);
	CU_ASSERT_EQUAL(hr_topics_batch_add(&b, c.link), 0);

	CU_ASSERT_EQUAL_FATAL(b.records[HR_TOPIC_USER_EVENTS].n, 3);
	CU_ASSERT_EQUAL_FATAL(b.records[HR_TOPIC_PRODUCT_VIEWS].n, 1);
	CU_ASSERT_EQUAL_FATAL(b.records[HR_TOPIC_PURCHASES].n, 1);
	CU_ASSERT_EQUAL(b.records[HR_TOPIC_DEAD_LETTERS].n, 0);
	CU_ASSERT_TRUE(is(key(&b, HR_TOPIC_USER_EVENTS, 1), user(1, true)));
	CU_ASSERT_TRUE(has(value(&b, HR_TOPIC_USER_EVENTS, 1), "\"event_id\":\"e2\""));
	CU_ASSERT_TRUE(has(value(&b, HR_TOPIC_USER_EVENTS, 2),
			   "\"event_time\":\"2024-01-15 10:30:00.000\""));
	/* One rendering serves both. */
	CU_ASSERT_PTR_EQUAL(b.records[HR_TOPIC_PURCHASES].rows[0].value,
			    b.records[HR_TOPIC_USER_EVENTS].rows[1].value);
	CU_ASSERT_EQUAL(b.records[HR_TOPIC_PURCHASES].rows[0].partition,
			hr_kafka_partition(user(1, true), strlen(user(1, true)), 25));
	CU_ASSERT_EQUAL(b.n_received, 0); /* oldest_received_us is the reader's */
	hr_topics_batch_fini(&b);
	chain_close(&c);
}

static void rejected_events_keep_their_bytes_and_say_why(void)
{
	static struct chain c;
	struct hr_topics_batch b;
	char foreign[256], known[256];

	chain_open(&c);
	CU_ASSERT_EQUAL_FATAL(hr_topics_batch_init(&b, &shape), 0);
	snprintf(foreign, sizeof(foreign),
		 "{\"user_id\":\"%s\",\"event_type\":\"click\"}", user(0, false));
	snprintf(known, sizeof(known), "{\"user_id\":\"%s\",\"event_type\":\"\"}",
		 user(3, true));
	put_lines(&c, "{\"event_type\":\"click\"}", 1);
	put_lines(&c, foreign, 1);
	put_lines(&c, known, 1);
	put_lines(&c, "{]", 1);
	put_event(&c, 1, "click", 9);
	fold_next(&c, HR_BODY_EPOCH);
	CU_ASSERT_EQUAL(hr_topics_batch_add(&b, c.link), 0);

	CU_ASSERT_EQUAL(b.records[HR_TOPIC_USER_EVENTS].n, 1);
	CU_ASSERT_EQUAL_FATAL(b.records[HR_TOPIC_DEAD_LETTERS].n, 4);
	CU_ASSERT_TRUE(
		is(value(&b, HR_TOPIC_DEAD_LETTERS, 0), "{\"event_type\":\"click\"}"));
	CU_ASSERT_EQUAL(b.letters[0].reject, HR_REJECT_USER);
	CU_ASSERT_EQUAL(key(&b, HR_TOPIC_DEAD_LETTERS, 0).n, 0);
	CU_ASSERT_EQUAL(b.records[HR_TOPIC_DEAD_LETTERS].rows[0].partition,
			shape.shard);

	/* A user of another shard would go to a partition of another publisher. */
	CU_ASSERT_TRUE(is(value(&b, HR_TOPIC_DEAD_LETTERS, 1), foreign));
	CU_ASSERT_EQUAL(b.letters[1].reject, HR_REJECT_WRONG_SHARD);
	CU_ASSERT_EQUAL(key(&b, HR_TOPIC_DEAD_LETTERS, 1).n, 0);
	CU_ASSERT_EQUAL(b.records[HR_TOPIC_DEAD_LETTERS].rows[1].partition,
			shape.shard);

	CU_ASSERT_TRUE(is(value(&b, HR_TOPIC_DEAD_LETTERS, 2), known));
	CU_ASSERT_EQUAL(b.letters[2].reject, HR_REJECT_TYPE);
	CU_ASSERT_TRUE(is(key(&b, HR_TOPIC_DEAD_LETTERS, 2), user(3, true)));
	CU_ASSERT_EQUAL(b.records[HR_TOPIC_DEAD_LETTERS].rows[2].partition,
			hr_kafka_partition(user(3, true), strlen(user(3, true)), 10));

	CU_ASSERT_TRUE(is(value(&b, HR_TOPIC_DEAD_LETTERS, 3), "{]"));
	CU_ASSERT_EQUAL(b.letters[3].family, 4);
	CU_ASSERT_EQUAL(b.letters[3].source_port, 4711);
	CU_ASSERT_EQUAL(b.letters[3].key_id, 77);
	CU_ASSERT_EQUAL(b.letters[3].received_us, 1705314600000000u);
	hr_topics_batch_fini(&b);
	chain_close(&c);
}

static void repeated_events_reach_nothing(void)
{
	static struct chain c;
	struct hr_topics_batch b;

	chain_open(&c);
	CU_ASSERT_EQUAL_FATAL(hr_topics_batch_init(&b, &shape), 0);
	put_event(&c, 0, "click", 1);
	c.sequence--;
	put_event(&c, 0, "click", 1);
	fold_next(&c, HR_BODY_EPOCH);
	CU_ASSERT_EQUAL(hr_topics_batch_add(&b, c.link), 0);
	CU_ASSERT_EQUAL(b.records[HR_TOPIC_USER_EVENTS].n, 1);
	hr_topics_batch_fini(&b);
	chain_close(&c);
}

static void sorting_groups_partitions_and_keeps_the_order_inside(void)
{
	static struct chain c;
	struct hr_topics_batch b;
	const uint32_t *order;
	uint32_t n;

	chain_open(&c);
	CU_ASSERT_EQUAL_FATAL(hr_topics_batch_init(&b, &shape), 0);
	for (unsigned int i = 0; i < 400; i++)
		put_event(&c, (i * 7) % 31, i % 2 == 0 ? "click" : "product_view", i);
	fold_next(&c, HR_BODY_EPOCH);
	CU_ASSERT_EQUAL(hr_topics_batch_add(&b, c.link), 0);
	n = b.records[HR_TOPIC_USER_EVENTS].n;
	CU_ASSERT_EQUAL_FATAL(n, 400);
	order = hr_topics_batch_sort(&b, HR_TOPIC_USER_EVENTS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(order);
	for (uint32_t i = 1; i < n; i++) {
		const struct hr_topics_record *rows =
			b.records[HR_TOPIC_USER_EVENTS].rows;
		uint16_t before = rows[order[i - 1]].partition,
			 here = rows[order[i]].partition;

		CU_ASSERT_TRUE(before < here ||
			       (before == here && order[i - 1] < order[i]));
	}
	hr_topics_batch_fini(&b);
	chain_close(&c);
}

/* More than a chunk, cleared and filled again: earlier bytes are never moved. */
static void bytes_stay_where_they_are_until_the_batch_is_cleared(void)
{
	static struct chain c;
	struct hr_topics_batch b;

	chain_open(&c);
	CU_ASSERT_EQUAL_FATAL(hr_topics_batch_init(&b, &shape), 0);
	for (int round = 0; round < 2; round++) {
		for (unsigned int link = 0; link < 8; link++) {
			for (unsigned int i = 0; i < 500; i++)
				put_event(&c, i % 5, "click", link * 500 + i);
			fold_next(&c, HR_BODY_EPOCH);
			CU_ASSERT_EQUAL(hr_topics_batch_add(&b, c.link), 0);
		}
		CU_ASSERT_EQUAL_FATAL(b.records[HR_TOPIC_USER_EVENTS].n, 4000);
		CU_ASSERT_TRUE(b.sent_bytes > 500000);
		CU_ASSERT_EQUAL(b.n_links, 8);
		for (uint32_t i = 0; i < 4000; i++) {
			char id[32];

			snprintf(id, sizeof(id), "\"event_id\":\"e%u\"", i);
			CU_ASSERT_TRUE(has(value(&b, HR_TOPIC_USER_EVENTS, i), id));
			CU_ASSERT_TRUE(is(key(&b, HR_TOPIC_USER_EVENTS, i),
					  user(i % 5, true)));
		}
		hr_topics_batch_clear(&b);
		CU_ASSERT_EQUAL(b.sent_bytes, 0);
		for (uint32_t i = 0; i < hr_topics_own(&shape, 0); i++)
			CU_ASSERT_EQUAL(b.counts[0][i], 0);
	}
	hr_topics_batch_fini(&b);
	chain_close(&c);
}

static void without_event_topics_nothing_is_rendered(void)
{
	static const struct hr_topics_shape bare = { .shard = 2, .n_shards = 5 };
	static struct chain c;
	struct hr_topics_batch b;

	chain_open(&c);
	CU_ASSERT_EQUAL_FATAL(hr_topics_batch_init(&b, &bare), 0);
	put_event(&c, 0, "click", 1);
	put_lines(&c, "{]", 1);
	fold_next(&c, HR_BODY_EPOCH);
	CU_ASSERT_EQUAL(hr_topics_batch_add(&b, c.link), 0);
	CU_ASSERT_EQUAL(b.n_links, 1);
	CU_ASSERT_EQUAL(b.sent_bytes, 0);
	hr_topics_batch_fini(&b);
	chain_close(&c);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "events go to user_events, and by type to one topic more",
		  events_go_to_user_events_and_by_type_to_one_topic_more },
		{ "rejected events keep their bytes and say why",
		  rejected_events_keep_their_bytes_and_say_why },
		{ "repeated events reach nothing", repeated_events_reach_nothing },
		{ "sorting groups partitions and keeps the order inside",
		  sorting_groups_partitions_and_keeps_the_order_inside },
		{ "bytes stay where they are until the batch is cleared",
		  bytes_stay_where_they_are_until_the_batch_is_cleared },
		{ "without event topics nothing is rendered",
		  without_event_topics_nothing_is_rendered },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("topics batch", NULL, NULL, tests);
}
