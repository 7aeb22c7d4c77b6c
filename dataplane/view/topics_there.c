/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/clock.h"
#include "dataplane/view/topics_there.h"

#define ASK_MS 5000
#define POLL_MS 100
#define NOTHING_US 30000000u /* no message and no end for so long */

/* ---- making ---------------------------------------------------------------------------- */

static int open_reader(struct hr_topics_there *t, struct hr_kafka **out,
		       const char *isolation, struct hr_err *err)
{
	const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", isolation },
	};
	const struct hr_kafka_conf conf = {
		.config = t->config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "view",
		.name = "topics reader",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};

	return hr_kafka_open(out, &conf, err);
}

int hr_topics_there_init(struct hr_topics_there *t, const struct hr_config *config,
			 const struct hr_topics_shape *shape, struct hr_err *err)
{
	int r = 0;

	*t = (struct hr_topics_there){ .shape = *shape, .config = config };
	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++) {
		const uint32_t n = hr_topics_own(shape, i) + 1;

		hr_kafka_topic_name(t->names[i], config, hr_topic_names[i]);
		t->of[i] = calloc(n, sizeof(*t->of[i]));
		t->end[i] = calloc(n, sizeof(*t->end[i]));
		if (t->of[i] == NULL || t->end[i] == NULL)
			r = hr_fail(err, -ENOMEM, "no memory to read the topics");
	}
	if (r == 0)
		r = open_reader(t, &t->committed, "read_committed", err);
	if (r == 0)
		r = open_reader(t, &t->uncommitted, "read_uncommitted", err);
	return r;
}

void hr_topics_there_fini(struct hr_topics_there *t)
{
	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++) {
		for (uint32_t p = 0;
		     t->of[i] != NULL && p < hr_topics_own(&t->shape, i); p++)
			hr_topics_align_fini(&t->of[i][p]);
		free(t->of[i]);
		free(t->end[i]);
	}
	hr_kafka_put(t->committed);
	hr_kafka_put(t->uncommitted);
	*t = (struct hr_topics_there){ 0 };
}

static bool must_end(const struct hr_topics_there *t)
{
	return t->must_end != NULL && t->must_end(t->ctx);
}

static int32_t partition_of(const struct hr_topics_there *t, uint32_t own)
{
	return (int32_t)(t->shape.shard + own * t->shape.n_shards);
}

/* ---- where partitions begin and end ------------------------------------------------------ */

static int look_at(struct hr_topics_there *t, enum hr_topic topic, uint32_t own,
		   struct hr_err *err)
{
	struct hr_topics_align *a = &t->of[topic][own];
	const int32_t partition = partition_of(t, own);
	int64_t low, high;
	rd_kafka_resp_err_t e;

	if (must_end(t))
		return -ECANCELED;
	e = rd_kafka_query_watermark_offsets(hr_kafka_handle(t->uncommitted),
					     t->names[topic], partition, &low, &high,
					     ASK_MS);
	if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
		return hr_fail(err, -EIO, "topic %s, partition %d: %s", t->names[topic],
			       partition, rd_kafka_err2str(e));
	a->topic = topic;
	a->own = own;
	a->begins_late = low > 0;
	a->end = high;
	t->end[topic][own] = high;
	return 0;
}

int hr_topics_there_look(struct hr_topics_there *t, struct hr_err *err)
{
	int r = 0;

	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++)
		for (uint32_t p = 0; p < hr_topics_own(&t->shape, i) && r == 0; p++)
			r = look_at(t, i, p, err);
	return r;
}

/* ---- records ------------------------------------------------------------------------------ */

static uint64_t add(uint64_t h, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, h + 1);
}

static uint64_t add_letter(uint64_t h, const char *reason, size_t n_reason,
			   const char *source, size_t n_source, const char *key_id,
			   size_t n_key_id, const char *received, size_t n_received)
{
	h = add(h, reason, n_reason);
	h = add(h, source, n_source);
	h = add(h, key_id, n_key_id);
	return add(h, received, n_received);
}

uint64_t hr_topics_hash(const struct hr_topics_record *record,
			const struct hr_topics_letter *letter)
{
	uint64_t h = add(record->key_bytes > 0, record->value - record->key_bytes,
			 record->key_bytes);
	struct hr_topics_letter_texts t;

	h = add(h, record->value, record->value_bytes);
	if (letter == NULL)
		return h;
	hr_topics_letter_print(letter, &t);
	return add_letter(h, t.reason, strlen(t.reason), t.source, strlen(t.source),
			  t.key_id, strlen(t.key_id), t.received, sizeof(t.received));
}

static const char *header(const rd_kafka_headers_t *headers, const char *name,
			  size_t *n)
{
	const void *value = "";

	*n = 0;
	if (headers == NULL ||
	    rd_kafka_header_get_last(headers, name, &value, n) !=
		    RD_KAFKA_RESP_ERR_NO_ERROR ||
	    value == NULL)
		value = "";
	return value;
}

/* Of what is there: the same as hr_topics_hash() of what it should be. */
static uint64_t hash_message(const rd_kafka_message_t *m, bool is_letter)
{
	uint64_t h = add(m->key_len > 0, m->key, m->key_len);
	size_t n_reason, n_source, n_key_id, n_received;
	const char *reason, *source, *key_id, *received;
	rd_kafka_headers_t *headers = NULL;

	h = add(h, m->payload, m->len);
	if (!is_letter)
		return h;
	(void)rd_kafka_message_headers(m, &headers);
	reason = header(headers, "reason", &n_reason);
	source = header(headers, "source", &n_source);
	key_id = header(headers, "key_id", &n_key_id);
	received = header(headers, "received", &n_received);
	return add_letter(h, reason, n_reason, source, n_source, key_id, n_key_id,
			  received, n_received);
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reading {
	struct hr_topics_there *t;
	rd_kafka_topic_t *topics[HR_TOPIC_COUNT];
	rd_kafka_queue_t *queue;
	uint32_t n_left;
	bool *is_read[HR_TOPIC_COUNT], *is_done[HR_TOPIC_COUNT];
};

static int begin_all(struct reading *g,
		     bool (*wants)(void *ctx, enum hr_topic topic, uint32_t own),
		     struct hr_err *err)
{
	struct hr_topics_there *t = g->t;

	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++)
		for (uint32_t p = 0; p < hr_topics_own(&t->shape, i); p++) {
			t->of[i][p].is_left_out = wants != NULL && !wants(t->ctx, i, p);
			if (t->of[i][p].is_left_out)
				continue;
			if (rd_kafka_consume_start_queue(
				    g->topics[i], partition_of(t, p),
				    RD_KAFKA_OFFSET_BEGINNING, g->queue) < 0)
				return hr_fail(err, -EIO, "topic %s: %s", t->names[i],
					       rd_kafka_err2str(rd_kafka_last_error()));
			g->is_read[i][p] = true;
			g->n_left++;
		}
	return 0;
}

static void stop_all(struct reading *g)
{
	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++)
		for (uint32_t p = 0;
		     g->is_read[i] != NULL && p < hr_topics_own(&g->t->shape, i); p++)
			if (g->is_read[i][p])
				(void)rd_kafka_consume_stop(g->topics[i],
							    partition_of(g->t, p));
}

static enum hr_topic topic_of(const struct reading *g, const rd_kafka_message_t *m)
{
	const char *name = rd_kafka_topic_name(m->rkt);
	enum hr_topic i = 0;

	while (strcmp(g->t->names[i], name) != 0)
		i++;
	return i;
}

/* An end comes where nothing more is there just now: where others write all the time it
 * never does, and where they write again there is a second one. A record from behind what
 * was the end at first says as much. */
static void note_end(struct reading *g, enum hr_topic topic, uint32_t own)
{
	if (!g->is_done[topic][own])
		g->n_left--;
	g->is_done[topic][own] = true;
}

static int take(struct reading *g, const rd_kafka_message_t *m, struct hr_err *err)
{
	const enum hr_topic topic = topic_of(g, m);
	const uint32_t own = (uint32_t)m->partition / g->t->shape.n_shards;
	struct hr_topics_align *a = &g->t->of[topic][own];

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		note_end(g, topic, own);
		return 0;
	}
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return hr_fail(err, -EIO, "topic %s, partition %d: %s",
			       rd_kafka_topic_name(m->rkt), m->partition,
			       rd_kafka_err2str(m->err));
	if (hr_topics_align_add(a, hash_message(m, topic == HR_TOPIC_DEAD_LETTERS),
				m->offset) < 0)
		return hr_fail(err, -ENOMEM, "no memory for the records of topic %s",
			       rd_kafka_topic_name(m->rkt));
	if (m->offset >= g->t->end[topic][own])
		note_end(g, topic, own);
	return 0;
}

static int read_all(struct reading *g, struct hr_err *err)
{
	uint64_t heard_us = hr_mono_us();
	int r = 0;

	while (r == 0 && g->n_left > 0) {
		rd_kafka_message_t *m = rd_kafka_consume_queue(g->queue, POLL_MS);

		if (must_end(g->t))
			r = -ECANCELED;
		else if (m != NULL)
			r = take(g, m, err);
		else if (hr_mono_us() - heard_us > NOTHING_US)
			r = hr_fail(err, -EIO,
				    "the topics say nothing: %u partitions are not "
				    "read to their end",
				    g->n_left);
		if (m != NULL) {
			heard_us = hr_mono_us();
			rd_kafka_message_destroy(m);
		}
	}
	return r;
}

int hr_topics_there_read(struct hr_topics_there *t,
			 bool (*wants)(void *ctx, enum hr_topic topic, uint32_t own),
			 struct hr_err *err)
{
	rd_kafka_t *rk = hr_kafka_handle(t->committed);
	struct reading g = { .t = t, .queue = rd_kafka_queue_new(rk) };
	int r = 0;

	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++) {
		g.topics[i] = rd_kafka_topic_new(rk, t->names[i], NULL);
		g.is_read[i] = calloc(hr_topics_own(&t->shape, i) + 1, sizeof(bool));
		g.is_done[i] = calloc(hr_topics_own(&t->shape, i) + 1, sizeof(bool));
		if (g.is_read[i] == NULL || g.is_done[i] == NULL || g.topics[i] == NULL)
			r = hr_fail(err, -ENOMEM, "no memory to read the topics");
	}
	if (r == 0)
		r = begin_all(&g, wants, err);
	if (r == 0)
		r = read_all(&g, err);
	stop_all(&g);
	rd_kafka_queue_destroy(g.queue);
	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++) {
		if (g.topics[i] != NULL)
			rd_kafka_topic_destroy(g.topics[i]);
		free(g.is_read[i]);
		free(g.is_done[i]);
	}
	return r;
}

struct hr_topics_align *hr_topics_there_of(struct hr_topics_there *t,
					   enum hr_topic topic,
					   const struct hr_topics_record *record)
{
	return &t->of[topic][record->partition / t->shape.n_shards];
}

int hr_topics_there_made(struct hr_topics_there *t, const struct hr_topics_batch *batch,
			 uint64_t n, bool must)
{
	for (enum hr_topic i = 0; i < HR_TOPIC_COUNT; i++)
		for (uint32_t k = 0; k < batch->records[i].n; k++) {
			const struct hr_topics_record *record =
				&batch->records[i].rows[k];
			struct hr_topics_align *a = hr_topics_there_of(t, i, record);

			if (!a->is_left_out &&
			    hr_topics_align_made(
				    a,
				    hr_topics_hash(record, i == HR_TOPIC_DEAD_LETTERS
								   ? &batch->letters[k]
								   : NULL),
				    n, must) < 0)
				return -ENOMEM;
		}
	return 0;
}

/* ---- the position ----------------------------------------------------------------------------- */

static bool is_position(const rd_kafka_message_t *m)
{
	return m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->payload != NULL &&
	       m->key_len == sizeof(HR_TOPICS_KEY) - 1 &&
	       memcmp(m->key, HR_TOPICS_KEY, m->key_len) == 0;
}

/* Up to where the partition ended before: it may be written all the time. */
static int read_position(struct hr_topics_there *t, rd_kafka_topic_t *topic,
			 int64_t end, struct hr_position *at,
			 struct hr_topics_ends *ends, bool *has, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + NOTHING_US;
	bool is_over = false;
	int r = 0;

	while (r == 0 && !is_over) {
		rd_kafka_message_t *m =
			rd_kafka_consume(topic, t->shape.shard, POLL_MS);

		if (must_end(t))
			r = -ECANCELED;
		else if (hr_mono_us() > until_us)
			r = hr_fail(err, -EIO, "topic %s cannot be read",
				    rd_kafka_topic_name(topic));
		else if (m != NULL && is_position(m)) {
			*has = true;
			if (hr_topics_position_parse(m->payload, m->len, at, ends) < 0)
				r = hr_fail(err, -EBADMSG,
					    "topic %s, partition %u: the record at "
					    "offset %" PRId64 " is no position",
					    rd_kafka_topic_name(topic), t->shape.shard,
					    m->offset);
		}
		is_over = m != NULL &&
			  (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
			   (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset >= end));
		if (m != NULL)
			rd_kafka_message_destroy(m);
	}
	return r;
}

int hr_topics_there_position(struct hr_topics_there *t, struct hr_position *at,
			     struct hr_topics_ends *ends, bool *has, struct hr_err *err)
{
	char name[HR_KAFKA_TOPIC_NAME];
	rd_kafka_topic_t *topic;
	rd_kafka_resp_err_t e;
	int64_t low, end;
	int r;

	hr_kafka_topic_name(name, t->config, HR_TOPICS_POSITIONS);
	*has = false;
	e = rd_kafka_query_watermark_offsets(hr_kafka_handle(t->uncommitted), name,
					     t->shape.shard, &low, &end, ASK_MS);
	if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
		return hr_fail(err, -EIO, "topic %s, partition %u: %s", name,
			       t->shape.shard, rd_kafka_err2str(e));
	topic = rd_kafka_topic_new(hr_kafka_handle(t->committed), name, NULL);
	if (topic == NULL || rd_kafka_consume_start(topic, t->shape.shard,
						    RD_KAFKA_OFFSET_BEGINNING) < 0)
		r = hr_fail(err, -EIO, "topic %s: %s", name,
			    rd_kafka_err2str(rd_kafka_last_error()));
	else
		r = read_position(t, topic, end, at, ends, has, err);
	if (topic != NULL) {
		(void)rd_kafka_consume_stop(topic, t->shape.shard);
		rd_kafka_topic_destroy(topic);
	}
	return r;
}
