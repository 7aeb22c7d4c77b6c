/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Whether readers of committed records see what the position says is written.
 *
 * A commit's marker that the brokers left out (topics_leftovers.c) comes with the next
 * transaction of the same producer in that partition; and where that one is aborted, what
 * was committed is aborted with it, and nothing is open that would tell. So at its beginning
 * a publisher looks at the last record that its position counts in each partition.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/view/topics_impl.h"

#define READ_US 10000000u

struct unseen {
	struct hr_topics_publisher *p;
	rd_kafka_topic_t *topics[HR_TOPIC_COUNT];
	rd_kafka_queue_t *queue;
	/* Partitions, each with the offset of the last record that it must have, and
	 * whether that was judged. */
	rd_kafka_topic_partition_list_t *list;
	bool *is_judged;
	int n_left;
};

/* Those in which something must be, and has not been deleted since. */
static int choose(struct unseen *x, struct hr_err *err)
{
	struct hr_topics_publisher *p = x->p;
	rd_kafka_topic_partition_list_t *low = rd_kafka_topic_partition_list_new(64);
	int r;

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT && p->view->writes_events; t++)
		for (uint32_t i = 0; i < hr_topics_own(&p->shape, t); i++)
			if (p->ends.end[t][i] > 0)
				rd_kafka_topic_partition_list_add(
					low, p->view->names[t],
					(int32_t)(p->shape.shard +
						  i * p->shape.n_shards))
					->offset = RD_KAFKA_OFFSET_BEGINNING;
	r = hr_topics_ask_ends(p, p->view->committed, low, err);
	for (int k = 0; k < low->cnt && r == 0; k++) {
		const rd_kafka_topic_partition_t *at = &low->elems[k];
		const int64_t last = *hr_topics_end_of(p, at) - 1;

		if (last >= at->offset)
			rd_kafka_topic_partition_list_add(x->list, at->topic,
							  at->partition)
				->offset = last;
	}
	rd_kafka_topic_partition_list_destroy(low);
	return r;
}

static int start(struct unseen *x, struct hr_err *err)
{
	struct hr_topics_publisher *p = x->p;
	rd_kafka_t *rk = hr_kafka_handle(p->view->committed);

	x->is_judged = calloc((size_t)x->list->cnt + 1, sizeof(*x->is_judged));
	if (x->is_judged == NULL)
		return hr_topics_not_now(p, "reading records", "no memory", err);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		x->topics[t] = rd_kafka_topic_new(rk, p->view->names[t], NULL);
	for (int k = 0; k < x->list->cnt; k++) {
		const rd_kafka_topic_partition_t *at = &x->list->elems[k];

		if (rd_kafka_consume_start_queue(
			    x->topics[hr_topics_topic_of(p, at->topic)], at->partition,
			    at->offset, x->queue) < 0)
			return hr_topics_not_now(
				p, "reading records",
				rd_kafka_err2str(rd_kafka_last_error()), err);
		x->n_left++;
	}
	return 0;
}

static void stop(struct unseen *x)
{
	for (int k = 0; k < x->n_left; k++)
		(void)rd_kafka_consume_stop(
			x->topics[hr_topics_topic_of(x->p, x->list->elems[k].topic)],
			x->list->elems[k].partition);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		if (x->topics[t] != NULL)
			rd_kafka_topic_destroy(x->topics[t]);
	free(x->is_judged);
}

/* The first thing that a partition says: its record, a later one, or its end. Returns 1
 * where that is judged now. What is not seen becomes missing in p->ends. */
static int judge(struct unseen *x, const rd_kafka_message_t *m, uint32_t *n_unseen)
{
	for (int k = 0; k < x->list->cnt; k++) {
		const rd_kafka_topic_partition_t *at = &x->list->elems[k];

		if (at->partition != m->partition ||
		    strcmp(at->topic, rd_kafka_topic_name(m->rkt)) != 0)
			continue;
		if (x->is_judged[k])
			return 0;
		x->is_judged[k] = true;
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset == at->offset)
			return 1;
		hr_warn("view",
			"topics: shard %u: topic %s, partition %d: the record at "
			"offset "
			"%" PRId64 " was committed and readers do not see it: what is "
			"missing is written again",
			x->p->shape.shard, at->topic, at->partition, at->offset);
		*hr_topics_end_of(x->p, at) |= HR_TOPICS_MISSING;
		(*n_unseen)++;
		return 1;
	}
	return 0;
}

static int read_all(struct unseen *x, uint32_t *n_unseen, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + READ_US;
	int r = 0;

	for (int n = 0; r == 0 && n < x->n_left;) {
		rd_kafka_message_t *m = rd_kafka_consume_queue(x->queue, 100);

		if (hr_topics_must_end(x->p))
			r = -ECANCELED;
		else if (m == NULL && hr_mono_us() >= until_us)
			r = hr_topics_not_now(x->p, "reading records",
					      "the brokers do not answer", err);
		if (r == 0 && m != NULL &&
		    (m->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
		     m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF))
			n += judge(x, m, n_unseen);
		if (m != NULL)
			rd_kafka_message_destroy(m);
	}
	return r;
}

int hr_topics_find_unseen(struct hr_topics_publisher *p, struct hr_err *err)
{
	struct unseen x = { .p = p };
	uint32_t n_unseen = 0;
	int r;

	if (HR_MUTANT(unseen_kept))
		return 0;
	x.list = rd_kafka_topic_partition_list_new(64);
	x.queue = rd_kafka_queue_new(hr_kafka_handle(p->view->committed));
	r = choose(&x, err);
	if (r == 0)
		r = start(&x, err);
	if (r == 0)
		r = read_all(&x, &n_unseen, err);
	stop(&x);
	rd_kafka_queue_destroy(x.queue);
	rd_kafka_topic_partition_list_destroy(x.list);
	return r == 0 && n_unseen > 0 ? hr_topics_tell_missing(p, err) : r;
}
