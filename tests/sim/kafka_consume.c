/* SPDX-License-Identifier: BSD-3-Clause */

/* Readers of the run's brokers. */

#include <stdlib.h>
#include <string.h>

#include "tests/sim/coro.h"
#include "tests/sim/kafka_impl.h"

static int64_t end_seen(const struct hr_kafka *k, struct partition *p)
{
	return k->is_committed_reader ? sim_kafka_stable_end(p) : p->n;
}

rd_kafka_resp_err_t rd_kafka_query_watermark_offsets(rd_kafka_t *rk, const char *topic,
						     int32_t partition, int64_t *low,
						     int64_t *high, int timeout_ms)
{
	struct hr_kafka *k = &rk->kafka;
	struct partition *p;

	(void)timeout_ms;
	sim_kafka_request(k);
	if (sim_kafka_topic_find(k->kafka, topic) == NULL)
		return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	p = sim_kafka_partition_find(k->kafka, topic, partition);
	*low = 0;
	*high = end_seen(k, p);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int rd_kafka_consume_start(rd_kafka_topic_t *rkt, int32_t partition, int64_t offset)
{
	if (partition >= CONSUMED_MAX)
		abort();
	rkt->at[partition].position = offset < 0 ? 0 : offset;
	rkt->at[partition].told_end = false;
	return 0;
}

int rd_kafka_consume_stop(rd_kafka_topic_t *rkt, int32_t partition)
{
	(void)rkt;
	(void)partition;
	return 0;
}

static rd_kafka_message_t *message(rd_kafka_topic_t *rkt, int32_t partition,
				   const struct record *r, int64_t offset)
{
	rd_kafka_message_t *m = calloc(1, sizeof(*m));

	if (m == NULL)
		abort();
	m->rkt = rkt;
	m->partition = partition;
	m->offset = offset;
	m->err = r == NULL ? RD_KAFKA_RESP_ERR__PARTITION_EOF
			   : RD_KAFKA_RESP_ERR_NO_ERROR;
	if (r == NULL)
		return m;
	/* The partition may move its rows while the reader looks at this one. */
	m->payload = (void *)(uintptr_t)r->value.p;
	m->len = r->value.n;
	m->key = (void *)(uintptr_t)r->key.p;
	m->key_len = r->key.n;
	return m;
}

rd_kafka_message_t *rd_kafka_consume(rd_kafka_topic_t *rkt, int32_t partition,
				     int timeout_ms)
{
	struct hr_kafka *k = &rkt->rk->kafka;
	struct partition *p = sim_kafka_partition_find(k->kafka, rkt->name, partition);
	uint32_t end;

	end = k->is_committed_reader ? sim_kafka_stable_end(p) : p->n;
	while (rkt->at[partition].position < end) {
		int64_t at = rkt->at[partition].position++;
		const struct record *r = &p->records[at];

		if (r->state != MARKER &&
		    (!k->is_committed_reader || r->state != ABORTED))
			return message(rkt, partition, r, at);
	}
	if (!rkt->at[partition].told_end) {
		rkt->at[partition].told_end = true;
		return message(rkt, partition, NULL, rkt->at[partition].position);
	}
	sim_coro_sleep((uint64_t)timeout_ms * 1000);
	/* What the end is may have changed: it is told anew. */
	rkt->at[partition].told_end = false;
	return NULL;
}

/* Several partitions at once, each up to the end that it has when it is told. */

rd_kafka_queue_t *rd_kafka_queue_new(rd_kafka_t *rk)
{
	rd_kafka_queue_t *q = calloc(1, sizeof(*q));

	(void)rk;
	if (q == NULL)
		abort();
	return q;
}

void rd_kafka_queue_destroy(rd_kafka_queue_t *q)
{
	free(q);
}

int rd_kafka_consume_start_queue(rd_kafka_topic_t *rkt, int32_t partition,
				 int64_t offset, rd_kafka_queue_t *q)
{
	if (q->n == sizeof(q->of) / sizeof(q->of[0]))
		abort();
	q->of[q->n].topic = rkt;
	q->of[q->n++].partition = partition;
	return rd_kafka_consume_start(rkt, partition, offset);
}

rd_kafka_message_t *rd_kafka_consume_queue(rd_kafka_queue_t *q, int timeout_ms)
{
	for (uint32_t i = 0; i < q->n; i++) {
		rd_kafka_topic_t *t = q->of[i].topic;

		if (!t->at[q->of[i].partition].told_end)
			return rd_kafka_consume(t, q->of[i].partition, timeout_ms);
	}
	sim_coro_sleep((uint64_t)timeout_ms * 1000);
	return NULL;
}

/* No record has any: dead letters are never read here. */
rd_kafka_resp_err_t rd_kafka_message_headers(const rd_kafka_message_t *m,
					     rd_kafka_headers_t **out)
{
	(void)m;
	(void)out;
	return RD_KAFKA_RESP_ERR__NOENT;
}

rd_kafka_resp_err_t rd_kafka_header_get_last(const rd_kafka_headers_t *headers,
					     const char *name, const void **value,
					     size_t *n)
{
	(void)headers;
	(void)name;
	(void)value;
	(void)n;
	return RD_KAFKA_RESP_ERR__NOENT;
}

void rd_kafka_message_destroy(rd_kafka_message_t *m)
{
	free(m);
}

rd_kafka_topic_partition_list_t *rd_kafka_topic_partition_list_new(int size)
{
	rd_kafka_topic_partition_list_t *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->size = size > 0 ? size : 1;
	l->elems = calloc((size_t)l->size, sizeof(*l->elems));
	if (l->elems == NULL)
		abort();
	return l;
}

rd_kafka_topic_partition_t *
rd_kafka_topic_partition_list_add(rd_kafka_topic_partition_list_t *l, const char *topic,
				  int32_t partition)
{
	rd_kafka_topic_partition_t *e;

	if (l->cnt == l->size) {
		l->size *= 2;
		l->elems = realloc(l->elems, (size_t)l->size * sizeof(*l->elems));
		if (l->elems == NULL)
			abort();
	}
	e = &l->elems[l->cnt++];
	memset(e, 0, sizeof(*e));
	e->topic = strdup(topic);
	e->partition = partition;
	return e;
}

void rd_kafka_topic_partition_list_destroy(rd_kafka_topic_partition_list_t *l)
{
	for (int i = 0; i < l->cnt; i++)
		free(l->elems[i].topic);
	free(l->elems);
	free(l);
}

rd_kafka_resp_err_t rd_kafka_offsets_for_times(rd_kafka_t *rk,
					       rd_kafka_topic_partition_list_t *offsets,
					       int timeout_ms)
{
	(void)timeout_ms;
	sim_kafka_request(&rk->kafka);
	for (int i = 0; i < offsets->cnt; i++) {
		rd_kafka_topic_partition_t *e = &offsets->elems[i];

		e->offset = e->offset == RD_KAFKA_OFFSET_BEGINNING
				    ? 0
				    : end_seen(&rk->kafka,
					       sim_kafka_partition_find(rk->kafka.kafka,
									e->topic,
									e->partition));
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
