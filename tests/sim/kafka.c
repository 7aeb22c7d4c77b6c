/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/log/kafka.h"
#include "tests/sim/coro.h"
#include "tests/sim/kafka.h"
#include "tests/sim/world.h"

/* ---- the brokers ---- */

enum state {
	PLAIN,
	OPEN,
	COMMITTED,
	ABORTED,
	MARKER,
};

struct record {
	struct hr_str key, value;
	enum state state;
	uint64_t transaction; /* that it belongs to */
	const struct coordinator *producer;
	bool is_left; /* its marker never came: ends with the producer's next one */
};

struct partition {
	struct record *records;
	uint32_t n, max;
	uint32_t stable; /* no open record lies before it */
};

struct topic {
	struct topic *next;
	char name[HR_KAFKA_TOPIC_NAME];
	struct partition *partitions;
	uint32_t n_partitions;
};

/* What the coordinator knows of a transactional id. */
struct coordinator {
	struct coordinator *next;
	char id[160];
	uint32_t epoch;
	uint64_t transaction; /* the open one; 0: none */
};

struct sim_kafka {
	struct sim *sim;
	struct sim_kafka_faults faults;
	struct topic *topics;
	struct coordinator *coordinators;
	struct hr_kafka *clients;
	uint64_t n_transactions;
	void (*begins)(void *arg, void *owner, uint16_t shard);
	void *begins_arg;
};

static struct sim_kafka *current;
static void *current_owner;

static struct topic *topic_find(const struct sim_kafka *k, const char *name)
{
	struct topic *t = k->topics;

	while (t != NULL && strcmp(t->name, name) != 0)
		t = t->next;
	return t;
}

static struct partition *partition_find(const struct sim_kafka *k, const char *name,
					int32_t partition)
{
	struct topic *t = topic_find(k, name);

	if (t == NULL || partition < 0 || (uint32_t)partition >= t->n_partitions)
		abort();
	return &t->partitions[partition];
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

static void record_drop(struct record *r)
{
	free((void *)(uintptr_t)r->key.p);
	free((void *)(uintptr_t)r->value.p);
}

static int64_t record_add(struct partition *p, struct record r)
{
	if (p->n == p->max) {
		p->max = p->max != 0 ? 2 * p->max : 16;
		p->records = realloc(p->records, p->max * sizeof(*p->records));
		if (p->records == NULL)
			abort();
	}
	p->records[p->n] = r;
	return p->n++;
}

/* The last stable offset. It is looked for where it was found the last time. */
static uint32_t stable_end(struct partition *p)
{
	while (p->stable < p->n && p->records[p->stable].state != OPEN)
		p->stable++;
	return p->stable;
}

static struct coordinator *coordinator_get(struct sim_kafka *k, const char *id)
{
	struct coordinator *c = k->coordinators;

	while (c != NULL && strcmp(c->id, id) != 0)
		c = c->next;
	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	(void)snprintf(c->id, sizeof(c->id), "%s", id);
	c->next = k->coordinators;
	k->coordinators = c;
	return c;
}

/* A marker ends whatever is open of its producer. */
static void mark_left(struct partition *p, const struct coordinator *producer,
		      enum state state)
{
	for (uint32_t i = stable_end(p); i < p->n; i++)
		if (p->records[i].is_left && p->records[i].producer == producer &&
		    p->records[i].state == OPEN)
			p->records[i].state = state;
}

/* One partition learns how a transaction ended. */
static void mark(struct partition *p, uint64_t transaction, enum state state)
{
	const struct coordinator *producer = NULL;
	bool has = false;

	for (uint32_t i = stable_end(p); i < p->n; i++)
		if (p->records[i].transaction == transaction &&
		    p->records[i].state == OPEN) {
			p->records[i].state = state;
			producer = p->records[i].producer;
			has = true;
		}
	if (has)
		mark_left(p, producer, state);
	if (has)
		record_add(p, (struct record){ .state = MARKER });
}

struct late_mark {
	struct partition *partition;
	uint64_t transaction;
	enum state state;
};

static void mark_late(struct sim *sim, void *arg, uint64_t number)
{
	struct late_mark *l = arg;

	(void)sim;
	(void)number;
	mark(l->partition, l->transaction, l->state);
	sim_drop(l);
}

/* The coordinator found no leader: nobody tells the partition. */
static bool leave_out(struct sim_kafka *k, const struct topic *t, struct partition *p,
		      uint64_t transaction, enum state state)
{
	/* A position without its end would be read by nobody: it is waited for. */
	if (state != ABORTED || strstr(t->name, "positions") != NULL ||
	    !sim_strikes(k->sim, k->faults.lost_markers))
		return false;
	for (uint32_t i = stable_end(p); i < p->n; i++)
		if (p->records[i].transaction == transaction)
			p->records[i].is_left = true;
	return true;
}

static void end_everywhere(struct sim_kafka *k, uint64_t transaction, enum state state)
{
	for (struct topic *t = k->topics; t != NULL; t = t->next)
		for (uint32_t i = 0; i < t->n_partitions; i++) {
			struct late_mark *l;

			if (leave_out(k, t, &t->partitions[i], transaction, state))
				continue;
			if (!sim_strikes(k->sim, k->faults.late_markers)) {
				mark(&t->partitions[i], transaction, state);
				continue;
			}
			l = sim_keep(k->sim, sizeof(*l));
			*l = (struct late_mark){ &t->partitions[i], transaction,
						 state };
			sim_after(k->sim, sim_below(&k->sim->random, k->faults.late_us),
				  mark_late, l, 0);
		}
}

static void transaction_end(struct sim_kafka *k, struct coordinator *c,
			    enum state state)
{
	if (c->transaction != 0)
		sim_trace(k->sim, "topics: transaction %llu of ...%s %s",
			  (unsigned long long)c->transaction, c->id + strlen(c->id) - 1,
			  state == COMMITTED ? "commits" : "aborts");
	if (c->transaction != 0)
		end_everywhere(k, c->transaction, state);
	c->transaction = 0;
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
		transaction_end(h->kafka, h->coordinator, COMMITTED);
	}
	sim_drop(h);
}

/* ---- clients: hr_kafka and the library's handle are one ---- */

#define CONSUMED_MAX 16

struct rd_kafka_topic_s {
	rd_kafka_t *rk;
	char name[HR_KAFKA_TOPIC_NAME];
	/* By partition: several may be consumed at a time. */
	struct {
		int64_t position;
		bool told_end;
	} at[CONSUMED_MAX];
};

struct queued {
	rd_kafka_message_t message;
	char topic[HR_KAFKA_TOPIC_NAME];
	struct hr_str key, value;
};

struct hr_kafka {
	struct hr_kafka *next;
	struct sim_kafka *kafka;
	void *owner;
	void (*on_delivery)(void *arg, const rd_kafka_message_t *message);
	void (*on_close)(void *arg);
	void *arg;
	char transactional_id[160];
	bool is_committed_reader, is_fatal, has_begun, has_ended;
	enum state ended_as;
	uint32_t epoch;
	struct queued *queue;
	uint32_t n_queue, max_queue;
};

struct rd_kafka_s {
	struct hr_kafka kafka;
};

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

int hr_kafka_open(struct hr_kafka **out, const struct hr_kafka_conf *conf,
		  struct hr_err *err)
{
	rd_kafka_t *rk = calloc(1, sizeof(*rk));
	struct hr_kafka *k;

	(void)err;
	if (rk == NULL)
		abort();
	k = &rk->kafka;
	k->kafka = current;
	k->owner = current_owner;
	k->on_delivery = conf->on_delivery;
	k->on_close = conf->on_close;
	k->arg = conf->arg;
	for (uint32_t i = 0; i < conf->n_settings; i++) {
		const struct hr_kafka_setting *s = &conf->settings[i];

		if (strcmp(s->name, "transactional.id") == 0)
			(void)snprintf(k->transactional_id, sizeof(k->transactional_id),
				       "%s", s->value);
		if (strcmp(s->name, "isolation.level") == 0)
			k->is_committed_reader =
				strcmp(s->value, "read_committed") == 0;
	}
	k->next = current->clients;
	current->clients = k;
	*out = k;
	return 0;
}

struct hr_kafka *hr_kafka_get(struct hr_kafka *kafka)
{
	return kafka;
}

static void queue_drop(struct hr_kafka *k)
{
	for (uint32_t i = 0; i < k->n_queue; i++) {
		free((void *)(uintptr_t)k->queue[i].key.p);
		free((void *)(uintptr_t)k->queue[i].value.p);
	}
	k->n_queue = 0;
}

void hr_kafka_put(struct hr_kafka *k)
{
	struct hr_kafka **at;

	if (k == NULL)
		return;
	at = &k->kafka->clients;
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	queue_drop(k);
	free(k->queue);
	free(k);
}

rd_kafka_t *hr_kafka_handle(const struct hr_kafka *kafka)
{
	return (rd_kafka_t *)(uintptr_t)kafka;
}

uint64_t hr_kafka_errors(const struct hr_kafka *kafka)
{
	(void)kafka;
	return 0;
}

void hr_kafka_last_error(struct hr_kafka *kafka, char *out, size_t max)
{
	(void)snprintf(out, max, "%s", kafka->is_fatal ? "fenced" : "");
}

bool hr_kafka_is_fatal(const struct hr_kafka *kafka)
{
	return kafka->is_fatal;
}

void hr_kafka_topic_name(char out[HR_KAFKA_TOPIC_NAME], const struct hr_config *config,
			 const char *name)
{
	(void)config;
	(void)snprintf(out, HR_KAFKA_TOPIC_NAME, "%s", name);
}

bool hr_kafka_warm(struct hr_kafka *kafka, rd_kafka_topic_t *topic, uint32_t wait_ms,
		   bool *is_gone)
{
	(void)kafka;
	(void)topic;
	(void)wait_ms;
	if (is_gone != NULL)
		*is_gone = false;
	return true;
}

/* ---- the library: small things ---- */

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

const char *rd_kafka_err2str(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_NO_ERROR ? "no error" : "simulated trouble";
}

rd_kafka_resp_err_t rd_kafka_last_error(void)
{
	return RD_KAFKA_RESP_ERR__FAIL;
}

rd_kafka_resp_err_t rd_kafka_fatal_error(rd_kafka_t *rk, char *errstr, size_t size)
{
	(void)errstr;
	(void)size;
	return rk->kafka.is_fatal ? RD_KAFKA_RESP_ERR__FENCED
				  : RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_topic_t *rd_kafka_topic_new(rd_kafka_t *rk, const char *topic,
				     rd_kafka_topic_conf_t *conf)
{
	rd_kafka_topic_t *t = calloc(1, sizeof(*t));

	(void)conf;
	if (t == NULL)
		abort();
	t->rk = rk;
	(void)snprintf(t->name, sizeof(t->name), "%s", topic);
	return t;
}

void rd_kafka_topic_destroy(rd_kafka_topic_t *rkt)
{
	free(rkt);
}

const char *rd_kafka_topic_name(const rd_kafka_topic_t *rkt)
{
	return rkt->name;
}

rd_kafka_headers_t *rd_kafka_headers_new(size_t n)
{
	(void)n;
	return (rd_kafka_headers_t *)(uintptr_t)8;
}

void rd_kafka_headers_destroy(rd_kafka_headers_t *headers)
{
	(void)headers;
}

rd_kafka_resp_err_t rd_kafka_header_add(rd_kafka_headers_t *headers, const char *name,
					ssize_t name_size, const void *value,
					ssize_t value_size)
{
	(void)headers;
	(void)name;
	(void)name_size;
	(void)value;
	(void)value_size;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int rd_kafka_poll(rd_kafka_t *rk, int timeout_ms)
{
	(void)rk;
	(void)timeout_ms;
	return 0;
}

/* ---- producing ---- */

static void request(struct hr_kafka *k)
{
	sim_coro_sleep(
		sim_delay(&k->kafka->sim->random, 200, k->kafka->faults.request_us));
	if (k->on_close != NULL &&
	    sim_strikes(k->kafka->sim, k->kafka->faults.connection_closed))
		k->on_close(k->arg);
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
	return coordinator_get(k->kafka, k->transactional_id);
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
			c->transaction = ++k->kafka->n_transactions;
		p = partition_find(k->kafka, q->topic, q->message.partition);
		q->message.offset = record_add(
			p, (struct record){ copy(q->key.p, q->key.n),
					    copy(q->value.p, q->value.n), OPEN,
					    c->transaction, c, false });
		q->message.err = RD_KAFKA_RESP_ERR_NO_ERROR;
		k->on_delivery(k->arg, &q->message);
	}
	queue_drop(k);
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

	request(k);
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
	queue_drop(&rk->kafka);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- transactions ---- */

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
	request(k);
	transaction_end(k->kafka, c, ABORTED);
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
	request(k);
	if (state == COMMITTED)
		deliver(k);
	else
		queue_drop(k);
	if (k->is_fatal || c->epoch != k->epoch)
		return fenced(k);
	/* The request may be lost on its way there ... */
	if (is_lost(k)) {
		sim_coro_sleep((uint64_t)timeout_ms * 1000);
		return timed_out();
	}
	if (!k->has_ended) {
		transaction_end(k->kafka, c, state);
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

/* ---- consuming ---- */

static int64_t end_seen(const struct hr_kafka *k, struct partition *p)
{
	return k->is_committed_reader ? stable_end(p) : p->n;
}

rd_kafka_resp_err_t rd_kafka_query_watermark_offsets(rd_kafka_t *rk, const char *topic,
						     int32_t partition, int64_t *low,
						     int64_t *high, int timeout_ms)
{
	struct hr_kafka *k = &rk->kafka;
	struct partition *p;

	(void)timeout_ms;
	request(k);
	if (topic_find(k->kafka, topic) == NULL)
		return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	p = partition_find(k->kafka, topic, partition);
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
	struct partition *p = partition_find(k->kafka, rkt->name, partition);
	uint32_t end;

	end = k->is_committed_reader ? stable_end(p) : p->n;
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
	request(&rk->kafka);
	for (int i = 0; i < offsets->cnt; i++)
		offsets->elems[i].offset = end_seen(
			&rk->kafka,
			partition_find(rk->kafka.kafka, offsets->elems[i].topic,
				       offsets->elems[i].partition));
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- the run's side ---- */

struct sim_kafka *sim_kafka_new(struct sim *sim, const struct sim_kafka_faults *faults)
{
	struct sim_kafka *k = calloc(1, sizeof(*k));

	if (k == NULL)
		abort();
	k->sim = sim;
	k->faults = *faults;
	return k;
}

void sim_kafka_use(struct sim_kafka *kafka, void *owner)
{
	current = kafka;
	current_owner = owner;
}

void sim_kafka_forget(struct sim_kafka *kafka, void *owner)
{
	struct hr_kafka *k = kafka->clients;

	while (k != NULL) {
		struct hr_kafka *next = k->next;

		if (k->owner == owner)
			hr_kafka_put(k);
		k = next;
	}
}

void sim_kafka_watch(struct sim_kafka *k,
		     void (*begins)(void *arg, void *owner, uint16_t shard), void *arg)
{
	k->begins = begins;
	k->begins_arg = arg;
}

void sim_kafka_calm(struct sim_kafka *kafka)
{
	kafka->faults =
		(struct sim_kafka_faults){ .request_us = kafka->faults.request_us };
}

void sim_kafka_topic_make(struct sim_kafka *kafka, const char *name,
			  uint32_t n_partitions)
{
	struct topic *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	t->n_partitions = n_partitions;
	t->partitions = calloc(n_partitions, sizeof(*t->partitions));
	if (t->partitions == NULL)
		abort();
	t->next = kafka->topics;
	kafka->topics = t;
}

void sim_kafka_cut(struct sim_kafka *kafka, const char *name, int32_t partition,
		   uint32_t n)
{
	struct partition *p = partition_find(kafka, name, partition);

	for (; n > 0 && p->n > 0; n--)
		record_drop(&p->records[--p->n]);
	if (p->stable > p->n)
		p->stable = p->n;
}

static bool is_open(const struct sim_kafka *k, uint64_t transaction)
{
	for (const struct coordinator *c = k->coordinators; c != NULL; c = c->next)
		if (c->transaction == transaction)
			return true;
	return false;
}

bool sim_kafka_is_settled(const struct sim_kafka *kafka, const char *name,
			  int32_t partition)
{
	struct partition *p = partition_find(kafka, name, partition);

	for (uint32_t i = stable_end(p); i < p->n; i++)
		if (p->records[i].state == OPEN &&
		    !is_open(kafka, p->records[i].transaction))
			return false;
	return true;
}

bool sim_kafka_committed(const struct sim_kafka *kafka, const char *name,
			 int32_t partition, int64_t *at, struct sim_kafka_record *out)
{
	struct partition *p = partition_find(kafka, name, partition);
	uint32_t end = stable_end(p);

	for (; *at < end; (*at)++) {
		const struct record *r = &p->records[*at];

		if (r->state != COMMITTED && r->state != PLAIN)
			continue;
		*out = (struct sim_kafka_record){ r->key, r->value, (*at)++ };
		return true;
	}
	return false;
}

void sim_kafka_free(struct sim_kafka *kafka)
{
	while (kafka->clients != NULL)
		hr_kafka_put(kafka->clients);
	while (kafka->topics != NULL) {
		struct topic *t = kafka->topics;

		kafka->topics = t->next;
		for (uint32_t i = 0; i < t->n_partitions; i++) {
			for (uint32_t r = 0; r < t->partitions[i].n; r++)
				record_drop(&t->partitions[i].records[r]);
			free(t->partitions[i].records);
		}
		free(t->partitions);
		free(t);
	}
	while (kafka->coordinators != NULL) {
		struct coordinator *c = kafka->coordinators;

		kafka->coordinators = c->next;
		free(c);
	}
	free(kafka);
}
