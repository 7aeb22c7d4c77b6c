/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A publisher begins: its producer, the fence before everybody who published for this
 * shard before, and then what the store says of how far it is.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/view/topics_impl.h"

#define WARM_MS 2000
/* Of a transaction: who finds it open waits so long at most. A repair is one, however
 * much it appends. */
#define TIMEOUT_MS "10000"
#define REPAIR_TIMEOUT_MS "600000"
#define MARKER_US 1000000u   /* an end of a transaction is on its way at most */
#define CONNECT_US 20000000u /* a stuck coordinator refresh ends with its producer */

/* ---- what errors mean ------------------------------------------------------------- */

int hr_topics_not_now(struct hr_topics_publisher *p, const char *what, const char *why,
		      struct hr_err *err)
{
	return hr_fail(err, -EAGAIN, "shard %u: %s: %s", p->shape.shard, what, why);
}

bool hr_topics_is_fence(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__FENCED ||
	       code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
	       code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
}

/* Ends the error object. */
int hr_topics_judge(struct hr_topics_publisher *p, const char *what,
		    rd_kafka_error_t *e, struct hr_err *err)
{
	if (hr_topics_is_fence(rd_kafka_error_code(e)))
		p->was_fenced = true;
	hr_topics_not_now(p, what, rd_kafka_error_string(e), err);
	rd_kafka_error_destroy(e);
	return -EAGAIN;
}

/* ---- the producer ------------------------------------------------------------------ */

static void on_delivery(void *arg, const rd_kafka_message_t *m)
{
	struct hr_topics_publisher *p = arg;
	uintptr_t mark = (uintptr_t)m->_private;
	uint32_t i;

	/* Without an offset: a retry found its record already there. The position has to
	 * say where it is, so that transaction is not good either. */
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR || (mark != 0 && m->offset < 0)) {
		if (p->n_failed++ == 0)
			hr_fail(&p->failed, -EIO, "topic %s, partition %d: %s",
				rd_kafka_topic_name(m->rkt), m->partition,
				m->err != RD_KAFKA_RESP_ERR_NO_ERROR
					? rd_kafka_err2str(m->err)
					: "a record was written, its offset is "
					  "not known");
		return;
	}
	if (mark == 0)
		return;
	i = (uint32_t)m->partition / p->shape.n_shards;
	if (m->offset < p->ends.end[mark - 1][i] && !p->is_truncated) {
		p->is_truncated = true;
		atomic_store_explicit(&p->is_cut, true, memory_order_release);
		hr_fail(&p->failed, -ENODATA,
			"topic %s, partition %d: a record was given offset %" PRId64
			", but the partition reached %" PRId64 " with link %" PRIu64
			": it was truncated or made anew; headracectl --shard %u --yes "
			"view repair topics appends what is missing",
			rd_kafka_topic_name(m->rkt), m->partition, m->offset,
			p->ends.end[mark - 1][i],
			atomic_load_explicit(&p->applied, memory_order_relaxed),
			p->shape.shard);
	}
	if (m->offset >= p->fresh.end[mark - 1][i])
		p->fresh.end[mark - 1][i] = m->offset + 1;
}

static void on_close(void *arg)
{
	struct hr_topics_publisher *p = arg;

	/* The sockets are the order: it is read after the commit they belonged to. */
	atomic_fetch_add_explicit(&p->closes, 1, memory_order_acq_rel);
}

static void transactional_id(const struct hr_topics_publisher *p, char *out, size_t max)
{
	char hex[HR_ID128_TEXT];

	hr_id128_print(hex, &p->view->set.id);
	snprintf(out, max, "%sheadrace.%s.topics.%u", p->view->config->topic_prefix,
		 hex, p->shape.shard);
	if (HR_MUTANT(txn_per_appliance))
		snprintf(out, max, "%p.topics.%u", (const void *)p->view,
			 p->shape.shard);
}

static int open_producer(struct hr_topics_publisher *p, const char *timeout_ms,
			 struct hr_err *err)
{
	struct hr_view *v = p->view;
	char name[64], id[128];
	const struct hr_kafka_setting settings[] = {
		{ "transactional.id", id },
		{ "transaction.timeout.ms", timeout_ms },
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "compression.codec", v->config->topics_compression },
		/*
		 * What a transaction has for a partition goes in one request: while
		 * more than one batch waits for a partition, librdkafka 2.0.2 (whose
		 * bound of five in flight counts records) turns its broker thread
		 * round and round. Five publishers of 8 MB transactions cost 5.3 CPU
		 * seconds per million records with 64 KB here, 2.75 with 1 MB, on a
		 * busy machine of two cores.
		 */
		{ "batch.size", "1000000" },
		{ "batch.num.messages", "100000" },
		{ "linger.ms", "5" }, /* flush sends what is left at once */
		{ "queue.buffering.max.messages", "1000000" },
	};
	const struct hr_kafka_conf conf = {
		.config = v->config,
		.kind = HR_KAFKA_PRODUCER,
		.room = "view",
		.name = name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
		.on_delivery = on_delivery,
		.on_close = on_close,
		.arg = p,
	};
	rd_kafka_t *rk;
	int r;

	transactional_id(p, id, sizeof(id));
	snprintf(name, sizeof(name), "topics publisher of shard %u", p->shape.shard);
	r = hr_kafka_open(&p->producer, &conf, err);
	if (r < 0) {
		p->producer = NULL;
		return r == -ENOMEM ? -EAGAIN : r;
	}
	rk = hr_kafka_handle(p->producer);
	p->positions = rd_kafka_topic_new(rk, v->positions_name, NULL);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT && v->writes_events; t++)
		p->topics[t] = rd_kafka_topic_new(rk, v->names[t], NULL);
	return 0;
}

void hr_topics_disconnect(struct hr_topics_publisher *p)
{
	if (p->producer == NULL)
		return;
	rd_kafka_purge(hr_kafka_handle(p->producer),
		       RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
			       RD_KAFKA_PURGE_F_NON_BLOCKING);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		if (p->topics[t] != NULL)
			rd_kafka_topic_destroy(p->topics[t]);
		p->topics[t] = NULL;
	}
	rd_kafka_topic_destroy(p->positions);
	p->positions = NULL;
	hr_kafka_put(p->producer);
	p->producer = NULL;
}

static int warm_one(struct hr_topics_publisher *p, rd_kafka_topic_t *topic,
		    struct hr_err *err)
{
	char last[HR_TOPICS_REASON - 120];

	if (hr_kafka_warm(p->producer, topic, WARM_MS, NULL))
		return 0;
	if (hr_topics_must_end(p))
		return -ECANCELED;
	rd_kafka_poll(hr_kafka_handle(p->producer), 0);
	hr_kafka_last_error(p->producer, last, sizeof(last));
	return hr_fail(err, -EAGAIN,
		       "shard %u: topic %s: not every partition has a "
		       "leader%s%s",
		       p->shape.shard, rd_kafka_topic_name(topic),
		       last[0] != '\0' ? "; last error: " : "", last);
}

/* Cold metadata would make the first transaction wait half a second. */
static int warm(struct hr_topics_publisher *p, struct hr_err *err)
{
	int r = warm_one(p, p->positions, err);

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT && r == 0; t++)
		if (p->topics[t] != NULL)
			r = warm_one(p, p->topics[t], err);
	return r;
}

static int init(struct hr_topics_publisher *p, struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + CONNECT_US;
	rd_kafka_t *rk = hr_kafka_handle(p->producer);

	for (;;) {
		rd_kafka_error_t *e = rd_kafka_init_transactions(rk, HR_TOPICS_ASK_MS);

		if (e == NULL)
			return 0;
		if (hr_topics_must_end(p)) {
			rd_kafka_error_destroy(e);
			return -ECANCELED;
		}
		if (rd_kafka_error_is_fatal(e) || !rd_kafka_error_is_retriable(e) ||
		    hr_mono_us() >= until_us)
			return hr_topics_judge(p, "beginning to publish", e, err);
		rd_kafka_error_destroy(e);
	}
}

/* ---- position ------------------------------------------------------------------- */

bool hr_topics_is_position(const rd_kafka_message_t *m)
{
	return m->key_len == sizeof(HR_TOPICS_KEY) - 1 &&
	       memcmp(m->key, HR_TOPICS_KEY, m->key_len) == 0 && m->payload != NULL;
}

static int keep_position(struct hr_topics_publisher *p, const rd_kafka_message_t *m,
			 int64_t *behind, struct hr_err *err)
{
	if (!hr_topics_is_position(m))
		return 0;
	*behind = m->offset + 1;
	if (hr_topics_position_parse(m->payload, m->len, &p->at, &p->ends) == 0)
		return 0;
	return hr_fail(err, -EBADMSG,
		       "topic %s, partition %u: the record at offset %" PRId64
		       " is no position of this program: found \"%.*s\"",
		       p->view->positions_name, p->shape.shard, m->offset,
		       (int)(m->len < 60 ? m->len : 60), (const char *)m->payload);
}

/* Everything before `end`, as a reader of committed records sees it: the reader
 * reaches `end` only when no transaction below it is open any more. One that has not
 * ended in a while lacks its marker. behind: the offset behind the newest position. */
static int read_to(struct hr_topics_publisher *p, int64_t end, int64_t *behind,
		   bool *is_whole, struct hr_err *err)
{
	const uint64_t now_us = hr_mono_us();
	rd_kafka_topic_t *topic = p->view->committed_positions;
	int64_t reached = 0;
	bool has_end = false;
	int r = 0;

	while (r == 0 && reached < end &&
	       !(has_end && hr_mono_us() >= now_us + MARKER_US)) {
		rd_kafka_message_t *m = rd_kafka_consume(topic, p->shape.shard, 100);

		if (hr_topics_must_end(p))
			r = -ECANCELED;
		else if (hr_mono_us() >= now_us + CONNECT_US)
			r = hr_topics_not_now(p, "reading the position",
					      m != NULL && m->err != 0
						      ? rd_kafka_err2str(m->err)
						      : "the brokers do not answer",
					      err);
		else if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			r = keep_position(p, m, behind, err);
		else if (m != NULL && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			reached = m->offset;
			has_end = true;
		}
		if (m != NULL)
			rd_kafka_message_destroy(m);
	}
	*is_whole = reached >= end;
	return r;
}

/* The chain's root and no ends: nothing was ever written. */
static void position_clear(struct hr_topics_publisher *p)
{
	memset(&p->at, 0, sizeof(p->at));
	p->at.generation = p->view->set.generation;
	hr_chain_root(&p->view->set, p->shape.shard, &p->at.hash);
	hr_topics_ends_clear(&p->ends);
}

static int read_position(struct hr_topics_publisher *p, bool *has, struct hr_err *err)
{
	struct hr_view *v = p->view;
	int64_t low, end, behind = 0;
	rd_kafka_resp_err_t e;
	bool is_whole;
	int r;

	position_clear(p);
	e = rd_kafka_query_watermark_offsets(
		hr_kafka_handle(HR_MUTANT(positions_to_lso) ? v->committed
							    : v->uncommitted),
		v->positions_name, p->shape.shard, &low, &end, 2 * HR_TOPICS_ASK_MS);
	if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
		return hr_topics_not_now(p, "asking for the position",
					 rd_kafka_err2str(e), err);
	if (rd_kafka_consume_start(v->committed_positions, p->shape.shard,
				   RD_KAFKA_OFFSET_BEGINNING) < 0)
		return hr_topics_not_now(p, "reading the position",
					 rd_kafka_err2str(rd_kafka_last_error()), err);
	r = read_to(p, end, &behind, &is_whole, err);
	rd_kafka_consume_stop(v->committed_positions, p->shape.shard);
	/* Behind the newest there is nothing but its own marker, as a rule. */
	if (r == 0 && (!is_whole || end > behind + 1))
		r = hr_topics_find_hidden(p, behind > low ? behind : low, end, err);
	*has = p->at.n > 0;
	if (r == 0 && p->at.generation != v->set.generation)
		return hr_fail(err, -EINVAL,
			       "shard %u: the position of the topics is of generation "
			       "%u, the data set of %u",
			       p->shape.shard, p->at.generation, v->set.generation);
	return r;
}

/* ---- ends of the output partitions ------------------------------------------------ */

static int check_end(struct hr_topics_publisher *p, enum hr_topic t,
		     const rd_kafka_topic_partition_t *found,
		     struct hr_topics_ends *cut, struct hr_err *err)
{
	int64_t known = p->ends.end[t][(uint32_t)found->partition / p->shape.n_shards];

	if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return hr_topics_not_now(p, found->topic, rd_kafka_err2str(found->err),
					 err);
	if (found->offset >= known)
		return 0;
	if (cut != NULL) {
		const uint32_t i = (uint32_t)found->partition / p->shape.n_shards;

		cut->end[t][i] = known;
		p->ends.end[t][i] = 0;
		return 0;
	}
	if (known & HR_TOPICS_MISSING)
		return hr_fail(err, -ENOENT,
			       "shard %u: topic %s, partition %d: records lack their "
			       "commit marker",
			       p->shape.shard, found->topic, found->partition);
	atomic_store_explicit(&p->is_cut, true, memory_order_release);
	return hr_fail(err, -ENODATA,
		       "topic %s, partition %d ends at offset %" PRId64
		       ", but it reached %" PRId64 " before link %" PRIu64
		       ": it was truncated or made anew, and %" PRId64
		       " offsets of links up to that one are missing: headracectl "
		       "--shard %u --yes view repair topics appends their records",
		       found->topic, found->partition, found->offset, known, p->at.n,
		       known - found->offset, p->shape.shard);
}

/* Where a topic's own partitions end now, beside where they are known to have ended. */
static int check_topic(struct hr_topics_publisher *p, enum hr_topic t,
		       struct hr_topics_ends *cut, struct hr_err *err)
{
	uint32_t n = hr_topics_own(&p->shape, t);
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new((int)n);
	rd_kafka_resp_err_t e = RD_KAFKA_RESP_ERR_NO_ERROR;
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		if (p->ends.end[t][i] > 0)
			rd_kafka_topic_partition_list_add(
				list, p->view->names[t],
				(int32_t)(p->shape.shard + i * p->shape.n_shards))
				->offset = RD_KAFKA_OFFSET_END;
	if (list->cnt > 0)
		e = rd_kafka_offsets_for_times(hr_kafka_handle(p->view->uncommitted),
					       list, 2 * HR_TOPICS_ASK_MS);
	if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
		r = hr_topics_not_now(p, "asking where the topics end",
				      rd_kafka_err2str(e), err);
	for (int i = 0; i < list->cnt && r == 0; i++)
		r = check_end(p, t, &list->elems[i], cut, err);
	rd_kafka_topic_partition_list_destroy(list);
	return r;
}

/* cut: of those that end below, what they reached, and they are known no more; NULL: one
 * such is an error. */
static int check_ends(struct hr_topics_publisher *p, struct hr_topics_ends *cut,
		      struct hr_err *err)
{
	int r = 0;

	for (enum hr_topic t = 0;
	     t < HR_TOPIC_COUNT && r == 0 && p->view->writes_events; t++)
		r = check_topic(p, t, cut, err);
	return r;
}

int hr_topics_check_ends(struct hr_topics_publisher *p, struct hr_err *err)
{
	const unsigned int closes =
		atomic_load_explicit(&p->closes, memory_order_acquire);
	int r = closes == p->checked_closes ? 0 : check_ends(p, NULL, err);

	if (r == 0)
		p->checked_closes = closes;
	return r;
}

static int connect_and_check(struct hr_topics_publisher *p, const char *timeout_ms,
			     struct hr_topics_ends *cut, bool *has, struct hr_err *err)
{
	int r = open_producer(p, timeout_ms, err);

	p->checked_closes = atomic_load_explicit(&p->closes, memory_order_acquire);

	if (r < 0)
		return r;
	r = warm(p, err);
	if (r == 0)
		r = hr_topics_must_end(p) ? -ECANCELED : init(p, err);
	if (r == 0 && !(HR_MUTANT(positions_kept) && p->at.n > 0))
		r = read_position(p, has, err);
	if (r == 0)
		r = check_ends(p, cut, err);
	if (r == 0)
		r = hr_topics_end_leftovers(p, err);
	if (r == 0 && cut == NULL)
		r = hr_topics_find_unseen(p, err);
	if (r < 0)
		hr_topics_disconnect(p);
	return r;
}

int hr_topics_connect_to_repair(struct hr_topics_publisher *p,
				struct hr_topics_ends *cut, struct hr_err *err)
{
	bool has = false;

	hr_topics_ends_clear(cut);
	hr_topics_batch_clear(&p->batch);
	hr_topics_ends_clear(&p->fresh);
	p->is_truncated = false;
	return connect_and_check(p, REPAIR_TIMEOUT_MS, cut, &has, err);
}

int hr_topics_connect(struct hr_topics_publisher *p, struct hr_err *err)
{
	bool has = false;
	int r = connect_and_check(p, TIMEOUT_MS, NULL, &has, err);

	if (r < 0)
		return r;
	if (!has)
		hr_info("view",
			"topics: shard %u: no position yet, beginning at link 1",
			p->shape.shard);
	hr_topics_batch_clear(&p->batch);
	hr_topics_ends_clear(&p->fresh);
	return 0;
}

int64_t hr_topics_log_end(struct hr_topics_publisher *p)
{
	struct hr_view *v = p->view;
	int64_t low, end;

	return rd_kafka_query_watermark_offsets(hr_kafka_handle(v->uncommitted),
						v->set.log_topic, p->shape.shard, &low,
						&end, HR_TOPICS_ASK_MS) ==
			       RD_KAFKA_RESP_ERR_NO_ERROR
		       ? end
		       : -1;
}

bool hr_topics_is_folded(struct hr_topics_publisher *p, int64_t end)
{
	struct hr_feed *feed = p->view->conf.feed;
	uint64_t n = hr_feed_last(feed, p->shape.shard);
	struct hr_link *link;
	int64_t offset;

	if (end < 0 || n == 0)
		return false;
	if (hr_feed_offset(feed, p->shape.shard) >= end)
		return true;
	if (hr_feed_get(feed, p->shape.shard, n, &link) != 1)
		return false;
	offset = link->offset;
	hr_link_put(link);
	return offset >= end - 1;
}
