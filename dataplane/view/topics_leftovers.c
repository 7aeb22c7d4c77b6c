/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a transaction that was aborted left behind.
 *
 * Behind init_transactions nothing of this shard's transactional.id is open, and nobody
 * else writes its partitions: each is stable up to its end. But a coordinator that finds
 * no leader for a partition leaves the marker out ("these partitions are likely deleted
 * already and hence can be skipped", Kafka 4.4.0, TransactionMarkerChannelManager): a
 * partition that has its leader back then holds records without an end, and the next
 * transaction of the producer that commits there commits them too. (Seen with a broker
 * that was starved until its controller fenced it: 38,348 records twice.)
 *
 * So they are looked for, and get the marker that they lack: one record without a value
 * is written behind them, and that transaction is aborted. Where it is a commit's marker
 * that is missing, the records are written again behind that (topics_repair.c).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/view/topics_impl.h"

#define SETTLE_US 1000000u
#define LOOK_US 20000u
#define FLUSH_US 5000000u
#define SWEEPS_MOST 3
#define STUCK_US 5000000u

/* The shard's own partitions of all topics, and that of its position: one that is
 * committed and lacks its marker was written again before (topics_hidden.c). */
static rd_kafka_topic_partition_list_t *
own_partitions(const struct hr_topics_publisher *p)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);

	rd_kafka_topic_partition_list_add(list, p->view->positions_name,
					  (int32_t)p->shape.shard)
		->offset = RD_KAFKA_OFFSET_END;
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT && p->view->writes_events; t++)
		for (uint32_t i = 0; i < hr_topics_own(&p->shape, t); i++)
			rd_kafka_topic_partition_list_add(
				list, p->view->names[t],
				(int32_t)(p->shape.shard + i * p->shape.n_shards))
				->offset = RD_KAFKA_OFFSET_END;
	return list;
}

int hr_topics_ask_ends(struct hr_topics_publisher *p, struct hr_kafka *reader,
		       rd_kafka_topic_partition_list_t *list, struct hr_err *err)
{
	rd_kafka_resp_err_t e = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (list->cnt > 0)
		e = rd_kafka_offsets_for_times(hr_kafka_handle(reader), list,
					       2 * HR_TOPICS_ASK_MS);
	for (int i = 0; i < list->cnt && e == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		e = list->elems[i].err;
	return e == RD_KAFKA_RESP_ERR_NO_ERROR
		       ? 0
		       : hr_topics_not_now(p, "asking what is open in the topics",
					   rd_kafka_err2str(e), err);
}

/* HR_TOPIC_COUNT: the positions. */
enum hr_topic hr_topics_topic_of(const struct hr_topics_publisher *p, const char *name)
{
	enum hr_topic t = 0;

	while (t < HR_TOPIC_COUNT && strcmp(p->view->names[t], name) != 0)
		t++;
	return t;
}

int64_t *hr_topics_end_of(struct hr_topics_publisher *p,
			  const rd_kafka_topic_partition_t *at)
{
	return &p->ends.end[hr_topics_topic_of(p, at->topic)]
			   [(uint32_t)at->partition / p->shape.n_shards];
}

/* Some of it is committed, as the position says, and lacks that marker. */
static bool is_committed(const struct hr_topics_publisher *p,
			 const rd_kafka_topic_partition_t *open)
{
	const enum hr_topic t = hr_topics_topic_of(p, open->topic);
	const uint32_t i = (uint32_t)open->partition / p->shape.n_shards;

	return t < HR_TOPIC_COUNT && open->offset < p->ends.end[t][i];
}

/* list: those with something open, by where it begins. */
static int find(struct hr_topics_publisher *p, rd_kafka_topic_partition_list_t **out,
		struct hr_err *err)
{
	rd_kafka_topic_partition_list_t *ends = own_partitions(p),
					*stable = own_partitions(p);
	int r;

	*out = rd_kafka_topic_partition_list_new(8);
	/* In this order: what ends in between is not taken for open. */
	r = hr_topics_ask_ends(p, p->view->uncommitted, ends, err);
	if (r == 0)
		r = hr_topics_ask_ends(p, p->view->committed, stable, err);
	for (int i = 0; i < ends->cnt && r == 0; i++) {
		const rd_kafka_topic_partition_t *s = &stable->elems[i];

		if (s->offset >= ends->elems[i].offset)
			continue;
		rd_kafka_topic_partition_list_add(*out, s->topic, s->partition)
			->offset = s->offset;
	}
	rd_kafka_topic_partition_list_destroy(ends);
	rd_kafka_topic_partition_list_destroy(stable);
	return r;
}

static int write_behind(struct hr_topics_publisher *p,
			const rd_kafka_topic_partition_t *at, struct hr_err *err)
{
	const enum hr_topic t = hr_topics_topic_of(p, at->topic);
	char nothing[] = "";
	const rd_kafka_vu_t parts[] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT,
		  .u.rkt = t < HR_TOPIC_COUNT ? p->topics[t] : p->positions },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = at->partition },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
		{ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { nothing, 0 } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = NULL },
	};
	rd_kafka_error_t *e = rd_kafka_produceva(hr_kafka_handle(p->producer), parts,
						 sizeof(parts) / sizeof(parts[0]));

	hr_warn("view",
		"topics: shard %u: topic %s, partition %d: what begins at offset "
		"%" PRId64 " was aborted and lacks its marker: it is written",
		p->shape.shard, at->topic, at->partition, at->offset);
	return e == NULL ? 0 : hr_topics_judge(p, "ending what was left open", e, err);
}

static int flush(struct hr_topics_publisher *p, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + FLUSH_US;
	rd_kafka_t *rk = hr_kafka_handle(p->producer);

	while (rd_kafka_flush(rk, HR_TOPICS_ASK_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (hr_topics_must_end(p))
			return -ECANCELED;
		if (hr_mono_us() >= until_us || hr_kafka_is_fatal(p->producer))
			return hr_topics_not_now(p, "ending what was left open",
						 "the brokers do not answer", err);
	}
	return p->n_failed == 0 ? 0
				: hr_topics_not_now(p, "ending what was left open",
						    p->failed.text, err);
}

/* Whatever goes wrong here ends with the producer, whose successor looks again. */
static int sweep(struct hr_topics_publisher *p,
		 const rd_kafka_topic_partition_list_t *left, struct hr_err *err)
{
	rd_kafka_t *rk = hr_kafka_handle(p->producer);
	rd_kafka_error_t *e = rd_kafka_begin_transaction(rk);
	int r = 0;

	if (e != NULL)
		return hr_topics_judge(p, "ending what was left open", e, err);
	p->n_failed = 0;
	for (int i = 0; i < left->cnt && r == 0; i++)
		r = write_behind(p, &left->elems[i], err);
	if (r == 0)
		r = flush(p, err);
	if (r < 0)
		return r;
	e = rd_kafka_abort_transaction(rk, FLUSH_US / 1000);
	return e == NULL ? 0 : hr_topics_judge(p, "ending what was left open", e, err);
}

static int still_open(struct hr_topics_publisher *p,
		      const rd_kafka_topic_partition_t *at, struct hr_err *err)
{
	return hr_fail(
		err, -EAGAIN,
		"shard %u: topic %s, partition %d: what begins at offset %" PRId64
		" is open and not this publisher's: nobody else may write that "
		"topic; end it (kafka-transactions.sh find-hanging, abort)",
		p->shape.shard, at->topic, at->partition, at->offset);
}

/*
 * Readers wait where a commit's marker is missing, and nobody but the coordinator can write
 * one. What no reader has seen may be written again, once it is aborted; but before that
 * the position says that it is missing, or a death in between would lose it.
 */
int hr_topics_tell_missing(struct hr_topics_publisher *p, struct hr_err *err)
{
	int r = hr_topics_must_end(p) ? -ECANCELED : hr_topics_begin(p, err);

	if (r == 0)
		r = hr_topics_commit(p, err);
	return r < 0 ? r
		     : hr_topics_not_now(p, "ending what was left open",
					 "what is missing was told", err);
}

static int note_missing(struct hr_topics_publisher *p,
			const rd_kafka_topic_partition_list_t *left, struct hr_err *err)
{
	for (int i = 0; i < left->cnt; i++) {
		const rd_kafka_topic_partition_t *at = &left->elems[i];

		if (!is_committed(p, at))
			continue;
		hr_warn("view",
			"topics: shard %u: topic %s, partition %d: what begins at "
			"offset "
			"%" PRId64 " was committed and lacks its marker: it is written "
			"again",
			p->shape.shard, at->topic, at->partition, at->offset);
		*hr_topics_end_of(p, at) |= HR_TOPICS_MISSING;
	}
	return hr_topics_tell_missing(p, err);
}

/* What is open just now may have its marker on the way: of a transaction that has ended,
 * and of the sweep. */
static int end_them(struct hr_topics_publisher *p,
		    const rd_kafka_topic_partition_list_t *left, uint64_t *until_us,
		    uint32_t *n_sweeps, struct hr_err *err)
{
	if (hr_topics_must_end(p))
		return -ECANCELED;
	if (hr_mono_us() < *until_us) {
		usleep(LOOK_US);
		return 0;
	}
	for (int i = 0; i < left->cnt; i++)
		if (is_committed(p, &left->elems[i]))
			return note_missing(p, left, err);
	if ((*n_sweeps)++ == SWEEPS_MOST)
		return still_open(p, &left->elems[0], err);
	*until_us = hr_mono_us() + SETTLE_US;
	return sweep(p, left, err);
}

int hr_topics_end_leftovers(struct hr_topics_publisher *p, struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + SETTLE_US;
	uint32_t n_sweeps = 0;
	int r, n_left = 1;

	if (HR_MUTANT(leftovers_kept))
		return 0;
	do {
		rd_kafka_topic_partition_list_t *left;

		r = find(p, &left, err);
		n_left = left->cnt;
		if (r == 0 && n_left > 0)
			r = end_them(p, left, &until_us, &n_sweeps, err);
		rd_kafka_topic_partition_list_destroy(left);
	} while (r == 0 && n_left > 0);
	return r;
}

/* One that is in both, or NULL. */
static const rd_kafka_topic_partition_t *
common(const rd_kafka_topic_partition_list_t *a,
       const rd_kafka_topic_partition_list_t *b)
{
	for (int i = 0; a != NULL && i < a->cnt; i++)
		for (int k = 0; k < b->cnt; k++)
			if (a->elems[i].partition == b->elems[k].partition &&
			    a->elems[i].offset == b->elems[k].offset &&
			    strcmp(a->elems[i].topic, b->elems[k].topic) == 0)
				return &a->elems[i];
	return NULL;
}

/* What is open at two looks: whether that is its marker's fault. */
static bool is_left_out(const struct hr_topics_publisher *p,
			const rd_kafka_topic_partition_t *open, uint64_t now_us)
{
	const uint64_t applied =
		atomic_load_explicit(&p->applied, memory_order_relaxed);

	if (applied == p->looked_n && now_us < p->left_us + STUCK_US)
		return false;
	hr_warn("view",
		"topics: shard %u: topic %s, partition %d: what begins at offset "
		"%" PRId64 " is open although link %" PRIu64
		" was committed, %.1f s and %" PRIu64
		" links ago: reading the position again",
		p->shape.shard, open->topic, open->partition, open->offset, p->looked_n,
		(double)(now_us - p->left_us) / 1e6, applied - p->looked_n);
	return true;
}

void hr_topics_look_begin(struct hr_topics_publisher *p)
{
	if (p->left != NULL)
		rd_kafka_topic_partition_list_destroy(p->left);
	p->left = NULL;
	p->looked_n = p->at.n;
	atomic_store_explicit(&p->settled, p->at.n, memory_order_release);
}

/*
 * A coordinator lets nobody into the next transaction before it has written the markers of
 * this one or left them out (until then AddPartitionsToTxn is refused as
 * CONCURRENT_TRANSACTIONS). So what was open at one look and still is, behind another
 * commit, has none coming. Where no other follows only time tells, and brokers that are
 * short of CPU were seen to take seconds for a marker.
 */
bool hr_topics_look(struct hr_topics_publisher *p)
{
	const uint64_t applied =
		atomic_load_explicit(&p->applied, memory_order_relaxed);
	const uint64_t now_us = hr_mono_us();
	const rd_kafka_topic_partition_t *open;
	rd_kafka_topic_partition_list_t *left;
	struct hr_err err;

	if (find(p, &left, &err) < 0 || HR_MUTANT(leftovers_kept)) {
		rd_kafka_topic_partition_list_destroy(left);
		return false;
	}
	open = common(p->left, left);
	if (open != NULL) {
		rd_kafka_topic_partition_list_destroy(left);
		return is_left_out(p, open, now_us);
	}
	atomic_store_explicit(&p->settled, left->cnt == 0 ? applied : p->looked_n,
			      memory_order_release);
	if (p->left != NULL)
		rd_kafka_topic_partition_list_destroy(p->left);
	p->left = left;
	p->left_us = now_us;
	p->looked_n = applied;
	return false;
}
