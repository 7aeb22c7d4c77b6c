/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Positions that readers of committed records do not see.
 *
 * Behind init_transactions nothing of this shard's transactional.id is open, so a position
 * behind the newest visible one belongs to a transaction that was aborted. Or so it should
 * be: a coordinator that finds no leader for a partition leaves its marker out, of a
 * commit as of an abort (topics_leftovers.c has the source), and if that partition is the
 * position's, records are visible that no visible position knows of. Taken for aborted
 * they would be written a second time; waited for, the marker never comes.
 *
 * Nobody but the partitions tells what became of such a transaction, and any one of them
 * that has its marker tells it of all: its position names where its records ended, and
 * readers see the last of them or do not. Where none has its marker nobody has seen
 * anything, and it is aborted everywhere. A position whose records are there is written
 * once more, and that commit ends what was open. Whether it did is for the next producer to
 * see.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/view/topics_impl.h"

#define SETTLE_US 1000000u
#define LOOK_US 20000u
#define READ_US 10000000u

enum fate {
	FATE_OPEN, /* no partition of it has a marker yet */
	FATE_ABORTED,
	FATE_COMMITTED,
	FATE_DELETED, /* what would tell is not there any more */
};

struct hidden {
	struct hr_topics_publisher *p;
	char **texts; /* oldest first */
	uint32_t n, max;
	struct hr_topics_ends ends; /* of the one that is judged */
	struct hr_topics_ends seen; /* of all before it */
	struct hr_topics_ends best; /* of the newest so far that was committed */
};

/* ---- which there are ------------------------------------------------------------------ */

static int keep(struct hidden *x, const rd_kafka_message_t *m, struct hr_err *err)
{
	char *text;

	if (!hr_topics_is_position(m))
		return 0;
	if (x->n == x->max) {
		uint32_t max = x->max == 0 ? 8 : 2 * x->max;
		char **texts = realloc(x->texts, max * sizeof(*texts));

		if (texts == NULL)
			return hr_topics_not_now(x->p, "reading positions", "no memory",
						 err);
		x->texts = texts;
		x->max = max;
	}
	text = strndup(m->payload, m->len);
	if (text == NULL)
		return hr_topics_not_now(x->p, "reading positions", "no memory", err);
	x->texts[x->n++] = text;
	return 0;
}

/* Positions from one offset to another, whatever became of their transactions. */
static int read_all(struct hidden *x, int64_t from, int64_t end, struct hr_err *err)
{
	struct hr_topics_publisher *p = x->p;
	const uint64_t until_us = hr_mono_us() + READ_US;
	rd_kafka_topic_t *topic = p->view->uncommitted_positions;
	int64_t reached = from;
	int r = 0;

	if (rd_kafka_consume_start(topic, p->shape.shard, from) < 0)
		return hr_topics_not_now(p, "reading positions",
					 rd_kafka_err2str(rd_kafka_last_error()), err);
	while (r == 0 && reached < end) {
		rd_kafka_message_t *m = rd_kafka_consume(topic, p->shape.shard, 100);

		if (hr_topics_must_end(p))
			r = -ECANCELED;
		else if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			r = keep(x, m, err);
		else if (m == NULL && hr_mono_us() >= until_us)
			r = hr_topics_not_now(p, "reading positions",
					      "the brokers do not answer", err);
		if (m != NULL && (m->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
				  m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF))
			reached = m->offset + (m->err == RD_KAFKA_RESP_ERR_NO_ERROR);
		if (m != NULL)
			rd_kafka_message_destroy(m);
	}
	rd_kafka_consume_stop(topic, p->shape.shard);
	return r;
}

/* ---- what became of one --------------------------------------------------------------- */

/* Whether readers see the record at this offset, below which nothing is open. */
static int look(struct hr_topics_publisher *p, const rd_kafka_topic_partition_t *at,
		enum fate *fate, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + READ_US;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(
		hr_kafka_handle(p->view->committed), at->topic, NULL);
	const int64_t offset = at->offset;
	int r = rd_kafka_consume_start(topic, at->partition, offset);

	if (r < 0)
		r = hr_topics_not_now(p, "reading records",
				      rd_kafka_err2str(rd_kafka_last_error()), err);
	for (bool is_over = false; r == 0 && !is_over;) {
		rd_kafka_message_t *m = rd_kafka_consume(topic, at->partition, 100);

		if (hr_topics_must_end(p))
			r = -ECANCELED;
		else if (m == NULL && hr_mono_us() >= until_us)
			r = hr_topics_not_now(p, "reading records",
					      "the brokers do not answer", err);
		is_over = m != NULL && (m->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
					m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF);
		if (is_over)
			*fate = m->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
						m->offset == offset
					? FATE_COMMITTED
					: FATE_ABORTED;
		/* It is told once, and then the partition is silent. */
		if (m != NULL && (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
				  m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)) {
			*fate = FATE_DELETED;
			is_over = true;
		}
		if (m != NULL)
			rd_kafka_message_destroy(m);
	}
	(void)rd_kafka_consume_stop(topic, at->partition);
	rd_kafka_topic_destroy(topic);
	return r;
}

/* Partitions in which that transaction wrote, each with the offset of its last record
 * there: what it wrote lies behind all that those before it did. */
static rd_kafka_topic_partition_list_t *touched(const struct hidden *x)
{
	const struct hr_topics_shape *s = &x->p->shape;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(s, t); i++)
			if (x->ends.end[t][i] > x->seen.end[t][i])
				rd_kafka_topic_partition_list_add(
					list, x->p->view->names[t],
					(int32_t)(s->shard + i * s->n_shards))
					->offset = x->ends.end[t][i] - 1;
	return list;
}

static void ends_set(struct hr_topics_ends *to, const struct hr_topics_ends *from)
{
	hr_topics_ends_clear(to);
	hr_topics_ends_raise(to, from);
}

static bool are_equal(const struct hr_topics_ends *a, const struct hr_topics_ends *b)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		if (memcmp(a->end[t], b->end[t],
			   hr_topics_own(&a->shape, t) * sizeof(*a->end[t])) != 0)
			return false;
	return true;
}

/* Of its partitions that have their marker, until one says which. */
static int ask_them(struct hidden *x, uint64_t n,
		    const rd_kafka_topic_partition_list_t *list,
		    const rd_kafka_topic_partition_list_t *stable, enum fate *fate,
		    struct hr_err *err)
{
	const rd_kafka_topic_partition_t *deleted = NULL;
	int r = 0;

	for (int i = 0; i < list->cnt && r == 0 && *fate == FATE_OPEN; i++) {
		if (stable->elems[i].offset <= list->elems[i].offset)
			continue;
		r = look(x->p, &list->elems[i], fate, err);
		if (*fate == FATE_DELETED) {
			deleted = &list->elems[i];
			*fate = FATE_OPEN;
		}
	}
	if (r < 0 || *fate != FATE_OPEN || deleted == NULL)
		return r;
	return hr_fail(err, -ENODATA,
		       "shard %u: whether readers saw the topics up to link %" PRIu64
		       " cannot be told: the brokers left out its position's marker, "
		       "and its records (topic %s, partition %d, offset %" PRId64
		       ") were deleted since; begin a new data set, or another "
		       "kafka.topic_prefix, and give topics a longer retention than "
		       "the appliance may be away",
		       x->p->shape.shard, n, deleted->topic, deleted->partition,
		       deleted->offset);
}

/* A transaction that wrote nothing but its position has no other partition to tell of it.
 * Whatever became of it, the topics hold what its position says if they held it before. */
static int judge(struct hidden *x, const char *text, enum fate *fate,
		 struct hr_err *err)
{
	struct hr_topics_publisher *p = x->p;
	rd_kafka_topic_partition_list_t *list, *stable;
	struct hr_position at;
	int r;

	*fate = FATE_ABORTED;
	if (hr_topics_position_parse(text, strlen(text), &at, &x->ends) < 0 ||
	    at.generation != p->at.generation)
		return 0;
	list = touched(x);
	stable = rd_kafka_topic_partition_list_new(64);
	for (int i = 0; i < list->cnt; i++)
		rd_kafka_topic_partition_list_add(stable, list->elems[i].topic,
						  list->elems[i].partition)
			->offset = RD_KAFKA_OFFSET_END;
	r = hr_topics_ask_ends(p, p->view->committed, stable, err);
	if (list->cnt > 0)
		*fate = FATE_OPEN;
	else if (at.n > p->at.n && are_equal(&x->ends, &x->best))
		*fate = FATE_COMMITTED;
	if (r == 0)
		r = ask_them(x, at.n, list, stable, fate, err);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_topic_partition_list_destroy(stable);
	hr_topics_ends_raise(&x->seen, &x->ends);
	if (*fate == FATE_COMMITTED)
		ends_set(&x->best, &x->ends);
	return r;
}

/* newest: the text of the newest that was committed, NULL for none. A marker may be on its
 * way for a moment. */
static int judge_all(struct hidden *x, const char **newest, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + SETTLE_US;
	bool has_open;

	do {
		int r = 0;

		*newest = NULL;
		has_open = false;
		ends_set(&x->seen, &x->p->ends);
		ends_set(&x->best, &x->p->ends);
		for (uint32_t i = 0; i < x->n && r == 0; i++) {
			enum fate fate;

			r = judge(x, x->texts[i], &fate, err);
			if (r == 0 && fate == FATE_COMMITTED)
				*newest = x->texts[i];
			has_open |= fate == FATE_OPEN;
		}
		if (r == 0 && hr_topics_must_end(x->p))
			r = -ECANCELED;
		if (r < 0)
			return r;
		if (has_open)
			usleep(LOOK_US);
	} while (has_open && hr_mono_us() < until_us);
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------ */

/* Whatever goes wrong here, the next producer finds what this one found. */
static int write_again(struct hr_topics_publisher *p, const char *text,
		       struct hr_err *err)
{
	const uint64_t seen_n = p->at.n;
	int r = hr_topics_position_parse(text, strlen(text), &p->at, &p->ends);

	hr_warn("view",
		"topics: shard %u: what was written up to link %" PRIu64
		" is committed, but the brokers left out its position's marker and "
		"readers see link %" PRIu64 " there: it is written again",
		p->shape.shard, p->at.n, seen_n);
	if (r == 0)
		r = hr_topics_must_end(p) ? -ECANCELED : hr_topics_begin(p, err);
	if (r == 0)
		r = hr_topics_commit(p, err);
	return r < 0 ? r
		     : hr_topics_not_now(p, "reading the position",
					 "it was written again", err);
}

int hr_topics_find_hidden(struct hr_topics_publisher *p, int64_t from, int64_t end,
			  struct hr_err *err)
{
	struct hidden x = { .p = p };
	const char *newest = NULL;
	int r = 0;

	if (HR_MUTANT(hidden_positions))
		return 0;
	if (hr_topics_ends_init(&x.ends, &p->shape) < 0 ||
	    hr_topics_ends_init(&x.seen, &p->shape) < 0 ||
	    hr_topics_ends_init(&x.best, &p->shape) < 0)
		r = hr_topics_not_now(p, "reading positions", "no memory", err);
	if (r == 0)
		r = read_all(&x, from, end, err);
	if (r == 0)
		r = judge_all(&x, &newest, err);
	if (r == 0 && newest != NULL)
		r = write_again(p, newest, err);
	for (uint32_t i = 0; i < x.n; i++)
		free(x.texts[i]);
	free(x.texts);
	hr_topics_ends_fini(&x.ends);
	hr_topics_ends_fini(&x.seen);
	hr_topics_ends_fini(&x.best);
	return r;
}
