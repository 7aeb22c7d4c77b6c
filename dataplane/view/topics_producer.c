/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A publisher's transactions. What an error of librdkafka means is asked in this
 * order: fatal - the producer is destroyed; requires abort - aborted, then destroyed,
 * because the outcome is not known before the position was read; retriable - the same
 * call again, for a bounded time; anything else - destroyed.
 *
 * A producer is also replaced when a broker connection was closed between begin and
 * the return of commit, even if commit returned success: the request that ends a
 * transaction may have been sent twice, and the second may end the next one
 * (KAFKA-17754). The library does not tell, so closed sockets are counted.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/view/topics_impl.h"

#define COMMIT_US 30000000u
#define ABORT_US 3000000u
#define BURST 512

/* The library takes records until the first one it has no room for, and none behind
 * it; any other error is of one record alone, and spoils the transaction. */
static int refused(struct hr_topics_publisher *p, const rd_kafka_message_t *burst,
		   int n, struct hr_err *err)
{
	for (int i = 0; i < n; i++) {
		if (burst[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		if (burst[i].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return hr_topics_not_now(p, "producing",
						 rd_kafka_err2str(burst[i].err), err);
		/* Room comes with the next reports. */
		rd_kafka_poll(hr_kafka_handle(p->producer), 10);
		break;
	}
	return hr_topics_must_end(p) ? -ECANCELED : 0;
}

/* n records, of which rows[order[0]] is the first. Returns how many were taken. */
static int produce_some(struct hr_topics_publisher *p, enum hr_topic t,
			const uint32_t *order, int n, struct hr_err *err)
{
	const struct hr_topics_record *rows = p->batch.records[t].rows;
	rd_kafka_message_t burst[BURST];
	int taken, r = 0;

	memset(burst, 0, sizeof(burst[0]) * (size_t)n);
	for (int i = 0; i < n; i++) {
		const struct hr_topics_record *record = &rows[order[i]];
		const uint8_t *key = record->value - record->key_bytes;

		burst[i].partition = record->partition;
		burst[i].payload = (void *)(uintptr_t)record->value;
		burst[i].len = record->value_bytes;
		burst[i].key = (void *)(uintptr_t)key;
		burst[i].key_len = record->key_bytes;
		burst[i]._private = hr_topics_mark(t);
	}
	/* Neither copied nor freed: the batch outlives the transaction. */
	taken = rd_kafka_produce_batch(p->topics[t], 0, RD_KAFKA_MSG_F_PARTITION, burst,
				       n);
	if (taken < n)
		r = refused(p, burst, n, err);
	rd_kafka_poll(hr_kafka_handle(p->producer), 0);
	return r < 0 ? r : taken;
}

/* By partition, and in each in the order of the events. */
static int produce_topic(struct hr_topics_publisher *p, enum hr_topic t,
			 struct hr_err *err)
{
	const uint32_t *order = hr_topics_batch_sort(&p->batch, t);
	uint32_t n = p->batch.records[t].n, done = 0;

	if (order == NULL)
		return hr_topics_not_now(p, "producing",
					 "no memory to sort the records", err);
	while (done < n) {
		int r = produce_some(p, t, order + done,
				     n - done < BURST ? (int)(n - done) : BURST, err);

		if (r < 0)
			return r;
		done += (uint32_t)r;
	}
	return 0;
}

/* One record, by the call that takes headers; waits for room. */
static int produce_one(struct hr_topics_publisher *p, const rd_kafka_vu_t *parts,
		       size_t n, struct hr_err *err)
{
	for (;;) {
		rd_kafka_error_t *e =
			rd_kafka_produceva(hr_kafka_handle(p->producer), parts, n);
		rd_kafka_message_t one = { .err = RD_KAFKA_RESP_ERR_NO_ERROR };
		int r;

		if (e == NULL)
			return 0;
		one.err = rd_kafka_error_code(e);
		rd_kafka_error_destroy(e);
		r = refused(p, &one, 1, err);
		if (r < 0)
			return r;
	}
}

static rd_kafka_headers_t *letter_headers(const struct hr_topics_letter *letter)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(5);
	struct hr_topics_letter_texts t;

	hr_topics_letter_print(letter, &t);
	rd_kafka_header_add(headers, "reason", -1, t.reason, -1);
	rd_kafka_header_add(headers, "detail", -1, t.detail, -1);
	rd_kafka_header_add(headers, "source", -1, t.source, -1);
	rd_kafka_header_add(headers, "key_id", -1, t.key_id, -1);
	rd_kafka_header_add(headers, "received", -1, t.received, sizeof(t.received));
	return headers;
}

static int produce_letter(struct hr_topics_publisher *p, uint32_t i, struct hr_err *err)
{
	const struct hr_topics_record *record =
		&p->batch.records[HR_TOPIC_DEAD_LETTERS].rows[i];
	rd_kafka_headers_t *headers = letter_headers(&p->batch.letters[i]);
	const rd_kafka_vu_t parts[] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT,
		  .u.rkt = p->topics[HR_TOPIC_DEAD_LETTERS] },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0 },
		{ .vtype = RD_KAFKA_VTYPE_VALUE,
		  .u.mem = { (void *)(uintptr_t)record->value, record->value_bytes } },
		{ .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE,
		  .u.ptr = hr_topics_mark(HR_TOPIC_DEAD_LETTERS) },
		{ .vtype = RD_KAFKA_VTYPE_KEY,
		  .u.mem = { (void *)(uintptr_t)(record->value - record->key_bytes),
			     record->key_bytes } },
	};
	size_t n = sizeof(parts) / sizeof(parts[0]);
	/* An empty key is a key; no key is none. */
	int r = produce_one(p, parts, record->key_bytes > 0 ? n : n - 1, err);

	if (r < 0)
		rd_kafka_headers_destroy(headers); /* else the record took them */
	return r;
}

static int produce_position(struct hr_topics_publisher *p, struct hr_err *err)
{
	size_t n = hr_topics_position_print(&p->at, &p->ends, p->position_text);
	char key[] = HR_TOPICS_KEY;
	const rd_kafka_vu_t parts[] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = p->positions },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = p->shape.shard },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
		{ .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { key, sizeof(key) - 1 } },
		{ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { p->position_text, n } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = NULL },
	};

	return produce_one(p, parts, sizeof(parts) / sizeof(parts[0]), err);
}

/* Until every record so far has its offset: the position tells the ends with them,
 * so that a topic that lost no more than this transaction is noticed. */
static int flush(struct hr_topics_publisher *p, struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + COMMIT_US;

	while (rd_kafka_flush(hr_kafka_handle(p->producer), HR_TOPICS_ASK_MS) !=
	       RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (hr_topics_must_end(p))
			return -ECANCELED;
		hr_topics_not_now(p, "writing", "the brokers do not answer", err);
		if (hr_mono_us() >= until_us || hr_kafka_is_fatal(p->producer))
			return -EAGAIN;
		hr_topics_tell(p, HR_VIEW_CONNECTING, err->text);
	}
	hr_topics_ends_raise(&p->ends, &p->fresh);
	return 0;
}

int hr_topics_flush(struct hr_topics_publisher *p, struct hr_err *err)
{
	int r = flush(p, err);

	if (r == 0 && p->n_failed > 0)
		r = hr_topics_not_now(p, "writing", p->failed.text, err);
	return r;
}

static int produce_all(struct hr_topics_publisher *p, struct hr_err *err)
{
	int r = 0;

	for (enum hr_topic t = 0; t < HR_TOPIC_DEAD_LETTERS && r == 0; t++)
		if (p->batch.records[t].n > 0)
			r = produce_topic(p, t, err);
	for (uint32_t i = 0; i < p->batch.records[HR_TOPIC_DEAD_LETTERS].n && r == 0;
	     i++)
		r = produce_letter(p, i, err);
	if (r == 0 && p->batch.sent_bytes > 0)
		r = hr_topics_flush(p, err);
	HR_CRASH_POINT(topics_in_transaction);
	if (r < 0 || p->is_truncated || HR_MUTANT(position_never) ||
	    HR_MUTANT(position_outside))
		return r;
	return produce_position(p, err);
}

/* As far as it goes: what stays open ends with the next init, or by its time-out. */
static void abort_it(struct hr_topics_publisher *p)
{
	uint64_t until_us = hr_mono_us() + ABORT_US;
	rd_kafka_t *rk = hr_kafka_handle(p->producer);
	bool again = !hr_kafka_is_fatal(p->producer);

	while (again) {
		rd_kafka_error_t *e = rd_kafka_abort_transaction(rk, HR_TOPICS_ASK_MS);

		again = e != NULL && !rd_kafka_error_is_fatal(e) &&
			rd_kafka_error_is_retriable(e) && hr_mono_us() < until_us &&
			!hr_topics_must_end(p);
		if (e != NULL)
			rd_kafka_error_destroy(e);
	}
}

static int commit(struct hr_topics_publisher *p, struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + COMMIT_US;
	rd_kafka_t *rk = hr_kafka_handle(p->producer);

	for (;;) {
		rd_kafka_error_t *e = rd_kafka_commit_transaction(rk, HR_TOPICS_ASK_MS);

		if (e == NULL)
			return 0;
		if (!rd_kafka_error_is_fatal(e) &&
		    !rd_kafka_error_txn_requires_abort(e) &&
		    rd_kafka_error_is_retriable(e) && hr_mono_us() < until_us &&
		    !hr_topics_must_end(p)) {
			hr_fail(err, -EAGAIN, "shard %u: committing: %s",
				p->shape.shard, rd_kafka_error_string(e));
			hr_topics_tell(p, HR_VIEW_CONNECTING, err->text);
			rd_kafka_error_destroy(e);
			continue;
		}
		if (!rd_kafka_error_is_fatal(e) && rd_kafka_error_txn_requires_abort(e))
			abort_it(p);
		return hr_topics_judge(p, "committing", e, err);
	}
}

/* What a position outside of its transaction would be; for that mutant alone. */
static int write_position_alone(struct hr_topics_publisher *p, struct hr_err *err)
{
	rd_kafka_error_t *e = rd_kafka_begin_transaction(hr_kafka_handle(p->producer));
	int r;

	if (e != NULL)
		return hr_topics_judge(p, "beginning a transaction", e, err);
	r = produce_position(p, err);
	return r < 0 ? r : commit(p, err);
}

/* A report is more to the point than what commit says of it. */
static int write_batch(struct hr_topics_publisher *p, struct hr_err *err)
{
	rd_kafka_error_t *e;
	int r;

	HR_CRASH_POINT(topics_before_begin);
	e = rd_kafka_begin_transaction(hr_kafka_handle(p->producer));
	if (e != NULL)
		return hr_topics_judge(p, "beginning a transaction", e, err);
	r = produce_all(p, err);
	HR_CRASH_POINT(topics_before_commit);
	if (r < 0 || p->is_truncated)
		abort_it(p);
	else
		r = commit(p, err);
	if (r == 0)
		HR_CRASH_POINT(topics_after_commit);
	if (r == 0 && HR_MUTANT(position_outside))
		r = write_position_alone(p, err);
	if (r < 0 && p->n_failed > 0)
		hr_fail(err, r, "shard %u: %s", p->shape.shard, p->failed.text);
	return r;
}

int hr_topics_begin(struct hr_topics_publisher *p, struct hr_err *err)
{
	rd_kafka_error_t *e = rd_kafka_begin_transaction(hr_kafka_handle(p->producer));

	p->n_failed = 0;
	return e == NULL ? 0 : hr_topics_judge(p, "beginning a transaction", e, err);
}

int hr_topics_produce(struct hr_topics_publisher *p, enum hr_topic topic, uint32_t i,
		      struct hr_err *err)
{
	int r = 0;

	if (topic == HR_TOPIC_DEAD_LETTERS)
		return produce_letter(p, i, err);
	while (r == 0) /* none taken: no room yet */
		r = produce_some(p, topic, &i, 1, err);
	return r < 0 ? r : 0;
}

int hr_topics_commit(struct hr_topics_publisher *p, struct hr_err *err)
{
	int r = produce_position(p, err);

	return r < 0 ? r : commit(p, err);
}

void hr_topics_abort(struct hr_topics_publisher *p)
{
	abort_it(p);
}

int hr_topics_transact(struct hr_topics_publisher *p, struct hr_err *err)
{
	unsigned int closes = atomic_load_explicit(&p->closes, memory_order_acquire);
	int r;

	p->n_failed = 0;
	/* begin may hang with a fatal error pending */
	if (hr_kafka_is_fatal(p->producer)) {
		char last[HR_TOPICS_REASON - 60];

		hr_kafka_last_error(p->producer, last, sizeof(last));
		return hr_topics_not_now(p, "the producer failed", last, err);
	}
	r = hr_topics_check_ends(p, err);
	if (r < 0)
		return r;
	r = write_batch(p, err);
	hr_topics_ends_raise(&p->ends, &p->fresh);
	hr_topics_ends_clear(&p->fresh);
	if (p->is_truncated) {
		*err = p->failed;
		return -ENODATA;
	}
	if (r < 0) {
		/* Reports and produce calls fail before the fence itself is told. */
		if (hr_topics_is_fence(rd_kafka_fatal_error(
			    hr_kafka_handle(p->producer), NULL, 0)))
			p->was_fenced = true;
		return r;
	}
	if (closes != atomic_load_explicit(&p->closes, memory_order_acquire))
		return hr_topics_not_now(
			p, "committing",
			"a connection was closed meanwhile, so the outcome has "
			"to be read",
			err);
	return 0;
}
