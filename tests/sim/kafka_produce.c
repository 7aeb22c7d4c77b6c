/* SPDX-License-Identifier: BSD-3-Clause */

/* Producers on the run's brokers, and their transactions. */

#include <stdlib.h>
#include <string.h>

#include "tests/sim/coro.h"
#include "tests/sim/kafka_impl.h"

struct rd_kafka_error_s {
	rd_kafka_resp_err_t code;
	bool is_fatal, is_retriable, requires_abort;
};

static rd_kafka_error_t *error_new(rd_kafka_resp_err_t code, bool is_fatal,
				   bool is_retriable)
{
	rd_kafka_error_t *e = calloc(1, sizeof(*e));

	if (e == NULL)
		abort();
	*e = (struct rd_kafka_error_s){ code, is_fatal, is_retriable, false };
	return e;
}

void rd_kafka_error_destroy(rd_kafka_error_t *e)
{
	free(e);
}

rd_kafka_resp_err_t rd_kafka_error_code(const rd_kafka_error_t *e)
{
	return e->code;
}

const char *rd_kafka_error_string(const rd_kafka_error_t *e)
{
	return e->is_fatal ? "fenced" : "simulated trouble";
}

int rd_kafka_error_is_fatal(const rd_kafka_error_t *e)
{
	return e->is_fatal;
}

int rd_kafka_error_is_retriable(const rd_kafka_error_t *e)
{
	return e->is_retriable;
}

int rd_kafka_error_txn_requires_abort(const rd_kafka_error_t *e)
{
	return e->requires_abort;
}

static struct hr_str copy(const void *p, size_t n)
{
	uint8_t *bytes = malloc(n + 1);

	if (bytes == NULL)
		abort();
	if (n > 0)
		memcpy(bytes, p, n);
	return (struct hr_str){ bytes, (uint32_t)n };
}

static void enqueue(struct hr_kafka *k, const struct queued *q)
{
	if (k->n_queue == k->max_queue) {
		k->max_queue = k->max_queue != 0 ? 2 * k->max_queue : 64;
		k->queue = realloc(k->queue, k->max_queue * sizeof(*k->queue));
		if (k->queue == NULL)
			abort();
	}
	k->queue[k->n_queue++] = *q;
}

static struct coordinator *coordinator_of(struct hr_kafka *k)
{
	return sim_kafka_coordinator_get(k->kafka, k->transactional_id);
}

/* What is queued goes to its partitions; a fenced producer's is refused. */
static void deliver(struct hr_kafka *k)
{
	struct coordinator *c = coordinator_of(k);
	uint32_t n = k->n_queue;

	for (uint32_t i = 0; i < n; i++) {
		struct queued *q = &k->queue[i];
		rd_kafka_topic_t topic = { .rk = hr_kafka_handle(k) };
		struct partition *p;

		memcpy(topic.name, q->topic, sizeof(topic.name));
		q->message.rkt = &topic;
		if (c->epoch != k->epoch || k->is_fatal) {
			k->is_fatal = true;
			q->message.err = RD_KAFKA_RESP_ERR__FENCED;
			k->on_delivery(k->arg, &q->message);
			continue;
		}
		if (c->transaction == 0)
			sim_kafka_transaction_begin(k->kafka, c);
		p = sim_kafka_partition_find(k->kafka, q->topic, q->message.partition);
		q->message.offset = sim_kafka_record_add(
			p, (struct record){ copy(q->key.p, q->key.n),
					    copy(q->value.p, q->value.n), OPEN,
					    c->transaction, c, false, false });
		q->message.err = RD_KAFKA_RESP_ERR_NO_ERROR;
		k->on_delivery(k->arg, &q->message);
	}
	sim_kafka_queue_drop(k);
}

int rd_kafka_produce_batch(rd_kafka_topic_t *rkt, int32_t partition, int msgflags,
			   rd_kafka_message_t *messages, int n)
{
	struct hr_kafka *k = &rkt->rk->kafka;

	(void)partition;
	(void)msgflags;
	for (int i = 0; i < n; i++) {
		struct queued q = { .message = messages[i] };

		memcpy(q.topic, rkt->name, sizeof(q.topic));
		q.key = copy(messages[i].key, messages[i].key_len);
		q.value = copy(messages[i].payload, messages[i].len);
		messages[i].err = RD_KAFKA_RESP_ERR_NO_ERROR;
		enqueue(k, &q);
	}
	return n;
}

rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *rk, const rd_kafka_vu_t *vus, size_t n)
{
	struct queued q = { 0 };

	for (size_t i = 0; i < n; i++) {
		const rd_kafka_vu_t *v = &vus[i];

		switch (v->vtype) {
		case RD_KAFKA_VTYPE_RKT:
			memcpy(q.topic, v->u.rkt->name, sizeof(q.topic));
			break;
		case RD_KAFKA_VTYPE_PARTITION:
			q.message.partition = v->u.i32;
			break;
		case RD_KAFKA_VTYPE_KEY:
			q.key = copy(v->u.mem.ptr, v->u.mem.size);
			break;
		case RD_KAFKA_VTYPE_VALUE:
			q.value = copy(v->u.mem.ptr, v->u.mem.size);
			break;
		case RD_KAFKA_VTYPE_OPAQUE:
			q.message._private = v->u.ptr;
			break;
		default:
			break;
		}
	}
	enqueue(&rk->kafka, &q);
	return NULL;
}

rd_kafka_resp_err_t rd_kafka_flush(rd_kafka_t *rk, int timeout_ms)
{
	struct hr_kafka *k = &rk->kafka;

	sim_kafka_request(k);
	if (sim_strikes(k->kafka->sim, k->kafka->faults.answer_lost)) {
		sim_coro_sleep((uint64_t)timeout_ms * 1000);
		return RD_KAFKA_RESP_ERR__TIMED_OUT;
	}
	deliver(k);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t rd_kafka_purge(rd_kafka_t *rk, int flags)
{
	(void)flags;
	sim_kafka_queue_drop(&rk->kafka);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_error_t *timed_out(void)
{
	return error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, false, true);
}

static rd_kafka_error_t *fenced(struct hr_kafka *k)
{
	k->is_fatal = true;
	return error_new(RD_KAFKA_RESP_ERR__FENCED, true, false);
}

static bool is_lost(struct hr_kafka *k)
{
	return sim_strikes(k->kafka->sim, k->kafka->faults.answer_lost);
}

/* "headrace.<data set>.topics.<shard>" */
static uint16_t shard_of(const struct hr_kafka *k)
{
	return (uint16_t)strtoul(strrchr(k->transactional_id, '.') + 1, NULL, 10);
}

rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms)
{
	struct hr_kafka *k = &rk->kafka;
	struct coordinator *c = coordinator_of(k);

	if (k->kafka->begins != NULL)
		k->kafka->begins(k->kafka->begins_arg, k->owner, shard_of(k));
	sim_kafka_request(k);
	sim_kafka_transaction_end(k->kafka, c, ABORTED);
	k->epoch = ++c->epoch;
	sim_trace(k->kafka->sim, "topics: init of ...%s: epoch %u",
		  c->id + strlen(c->id) - 1, k->epoch);
	if (!is_lost(k))
		return NULL;
	sim_coro_sleep((uint64_t)timeout_ms * 1000);
	return timed_out();
}

rd_kafka_error_t *rd_kafka_begin_transaction(rd_kafka_t *rk)
{
	struct hr_kafka *k = &rk->kafka;

	if (k->is_fatal)
		return fenced(k);
	k->has_begun = true;
	k->has_ended = false;
	return NULL;
}

/* A second EndTxn that the library sent behind its own back: the coordinator takes it
 * for one of the transaction that is open now. */
struct hidden {
	struct sim_kafka *kafka;
	struct coordinator *coordinator;
	uint32_t epoch;
};

static void end_again(struct sim *sim, void *arg, uint64_t number)
{
	struct hidden *h = arg;

	(void)number;
	if (h->coordinator->epoch == h->epoch && h->coordinator->transaction != 0) {
		sim_trace(sim, "topics: a hidden EndTxn ends a later transaction");
		sim_kafka_transaction_end(h->kafka, h->coordinator, COMMITTED);
	}
	sim_drop(h);
}

static void perhaps_again(struct hr_kafka *k, struct coordinator *c)
{
	struct hidden *h;

	if (k->on_close == NULL ||
	    !sim_strikes(k->kafka->sim, k->kafka->faults.hidden_retry))
		return;
	k->on_close(k->arg); /* it happens where a connection breaks */
	h = sim_keep(k->kafka->sim, sizeof(*h));
	*h = (struct hidden){ k->kafka, c, k->epoch };
	sim_after(k->kafka->sim,
		  sim_below(&k->kafka->sim->random, k->kafka->faults.late_us),
		  end_again, h, 0);
}

static rd_kafka_error_t *end(struct hr_kafka *k, enum state state, int timeout_ms)
{
	struct coordinator *c = coordinator_of(k);

	if (k->is_fatal)
		return fenced(k);
	sim_kafka_request(k);
	if (state == COMMITTED)
		deliver(k);
	else
		sim_kafka_queue_drop(k);
	if (k->is_fatal || c->epoch != k->epoch)
		return fenced(k);
	/* The request may be lost on its way there ... */
	if (is_lost(k)) {
		sim_coro_sleep((uint64_t)timeout_ms * 1000);
		return timed_out();
	}
	if (!k->has_ended) {
		sim_kafka_transaction_end(k->kafka, c, state);
		k->has_ended = true;
		perhaps_again(k, c);
	}
	/* ... and its answer on the way back. */
	if (is_lost(k)) {
		sim_coro_sleep((uint64_t)timeout_ms * 1000);
		return timed_out();
	}
	k->has_begun = false;
	return NULL;
}

rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
	return end(&rk->kafka, COMMITTED, timeout_ms);
}

rd_kafka_error_t *rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms)
{
	return end(&rk->kafka, ABORTED, timeout_ms);
}
