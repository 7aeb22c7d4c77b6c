/* SPDX-License-Identifier: BSD-3-Clause */

/* Snapshots in headrace.snapshots: partition = shard, a place is an offset. */

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/config.h"
#include "dataplane/log/kafka.h"
#include "dataplane/snapshot/store.h"

#define SNAPSHOTS_TOPIC "headrace.snapshots"
#define POLL_MS 20
#define PATIENCE_MS "60000"

struct hr_snapshot_store {
	const struct hr_config *config;
	char topic[HR_KAFKA_TOPIC_NAME];
	struct hr_kafka *producer, *consumer; /* NULL: not opened (any more) */
	rd_kafka_topic_t *out, *in;
	/* Of the record under way. */
	bool is_reported;
	rd_kafka_resp_err_t report;
};

static int trouble(struct hr_snapshot_store *store, struct hr_kafka *client,
		   const char *what, struct hr_err *err)
{
	char last[192] = "";

	if (client != NULL)
		hr_kafka_last_error(client, last, sizeof(last));
	return hr_fail(err, -EIO, "topic %s: %s%s%s", store->topic, what,
		       last[0] != '\0' ? "; last error: " : "", last);
}

static uint32_t left_ms(uint64_t until_us)
{
	const uint64_t now = hr_mono_us();

	return now < until_us ? (uint32_t)((until_us - now) / 1000) + 1 : 0;
}

/* ---- clients -------------------------------------------------------------------- */

static void on_delivery(void *arg, const rd_kafka_message_t *m)
{
	struct hr_snapshot_store *store = arg;

	store->is_reported = true;
	store->report = m->err;
}

static void close_producer(struct hr_snapshot_store *store)
{
	if (store->out != NULL)
		rd_kafka_topic_destroy(store->out);
	hr_kafka_put(store->producer);
	store->out = NULL;
	store->producer = NULL;
}

static void close_consumer(struct hr_snapshot_store *store)
{
	if (store->in != NULL)
		rd_kafka_topic_destroy(store->in);
	hr_kafka_put(store->consumer);
	store->in = NULL;
	store->consumer = NULL;
}

/* One record under way at a time, given up when it takes too long: nothing waits for a
 * snapshot, and the next one is another. */
static int open_producer(struct hr_snapshot_store *store, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "linger.ms", "0" },
		{ "message.timeout.ms", PATIENCE_MS },
		{ "message.max.bytes", "1000000" },
	};
	const struct hr_kafka_conf conf = {
		.config = store->config,
		.kind = HR_KAFKA_PRODUCER,
		.room = "snapshot",
		.name = "snapshot writer",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
		.on_delivery = on_delivery,
		.arg = store,
	};
	int r;

	if (store->producer != NULL)
		return 0;
	r = hr_kafka_open(&store->producer, &conf, err);
	if (r == 0)
		store->out = rd_kafka_topic_new(hr_kafka_handle(store->producer),
						store->topic, NULL);
	return r;
}

static int open_consumer(struct hr_snapshot_store *store, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", "read_uncommitted" },
		{ "queued.max.messages.kbytes", "16384" },
		{ "fetch.max.bytes", "8388608" },
		{ "fetch.message.max.bytes", "4194304" },
	};
	const struct hr_kafka_conf conf = {
		.config = store->config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "snapshot",
		.name = "snapshot reader",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	int r;

	if (store->consumer != NULL)
		return 0;
	r = hr_kafka_open(&store->consumer, &conf, err);
	if (r == 0)
		store->in = rd_kafka_topic_new(hr_kafka_handle(store->consumer),
					       store->topic, NULL);
	return r;
}

static void kafka_close(struct hr_snapshot_store *store)
{
	if (store == NULL)
		return;
	close_producer(store);
	close_consumer(store);
	free(store);
}

static int kafka_open(struct hr_snapshot_store **out, const struct hr_config *config,
		      const struct hr_data_set *set, uint32_t wait_ms,
		      struct hr_err *err)
{
	struct hr_snapshot_store *store = calloc(1, sizeof(*store));
	struct hr_kafka_topic topic;
	int r;

	if (store == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the snapshots' store");
	store->config = config;
	hr_kafka_topic_name(store->topic, config, SNAPSHOTS_TOPIC);
	topic = hr_kafka_topic_kept(store->topic, set->n_shards);
	r = hr_kafka_topics_ensure(config, &topic, 1, true, wait_ms, err);
	if (r < 0) {
		kafka_close(store);
		return r;
	}
	*out = store;
	return 0;
}

/* ---- writing -------------------------------------------------------------------- */

static int produce(struct hr_snapshot_store *store, uint16_t shard,
		   const uint8_t *bytes, uint32_t n, uint64_t until_us)
{
	store->is_reported = false;
	/* The bytes stay the caller's: they are reported, or the producer is gone,
	 * before this returns. */
	if (rd_kafka_produce(store->out, shard, 0, (void *)(uintptr_t)bytes, n, NULL, 0,
			     NULL) < 0) {
		store->report = rd_kafka_last_error();
		return -EIO;
	}
	while (!store->is_reported && hr_mono_us() < until_us)
		rd_kafka_poll(hr_kafka_handle(store->producer), POLL_MS);
	if (!store->is_reported)
		store->report = RD_KAFKA_RESP_ERR__TIMED_OUT;
	return store->report == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : -EIO;
}

static int kafka_put(struct hr_snapshot_store *store, uint16_t shard,
		     const struct hr_id128 *id, const uint8_t *bytes, uint32_t n,
		     bool is_last, uint32_t wait_ms, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;
	int r = open_producer(store, err);

	(void)id;
	(void)is_last;
	if (r < 0)
		return r;
	r = produce(store, shard, bytes, n, until_us);
	if (r == 0)
		return 0;
	close_producer(store);
	return trouble(store, NULL, rd_kafka_err2str(store->report), err);
}

/* What was written stays until drop(): without a manifest nobody takes it. */
static void kafka_abandon(struct hr_snapshot_store *store, uint16_t shard,
			  const struct hr_id128 *id)
{
	(void)store;
	(void)shard;
	(void)id;
}

/* ---- reading -------------------------------------------------------------------- */

static int ask_range(struct hr_snapshot_store *store, uint16_t shard, uint64_t until_us,
		     int64_t *low, int64_t *high, struct hr_err *err)
{
	rd_kafka_resp_err_t code;

	do {
		uint32_t ms = left_ms(until_us);

		code = rd_kafka_query_watermark_offsets(
			hr_kafka_handle(store->consumer), store->topic, shard, low,
			high, (int)(ms < 1000 ? ms + 1 : 1000));
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			return 0;
	} while (left_ms(until_us) > 0);
	return trouble(store, store->consumer, rd_kafka_err2str(code), err);
}

/* The messages of [*next, high), which librdkafka has been told to fetch. */
static int read_to(struct hr_snapshot_store *store, uint16_t shard, int64_t high,
		   uint64_t until_us, hr_snapshot_take take, void *ctx, int64_t *next,
		   struct hr_err *err)
{
	int r = 0;

	while (*next < high && r == 0) {
		rd_kafka_message_t *m = rd_kafka_consume(store->in, shard, POLL_MS);

		rd_kafka_poll(hr_kafka_handle(store->consumer), 0);
		if (m == NULL) {
			if (left_ms(until_us) == 0)
				return trouble(store, store->consumer,
					       "it could not be read in time", err);
			continue;
		}
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			*next = m->offset + 1;
			r = take(ctx, m->offset, m->payload, m->len);
		} else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			*next = m->offset > *next ? m->offset : *next;
			if (m->offset >= high)
				high = *next;
		} else if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
			   m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
			r = trouble(store, NULL, "what is read was deleted meanwhile",
				    err);
		}
		rd_kafka_message_destroy(m);
	}
	return r;
}

static int kafka_walk(struct hr_snapshot_store *store, uint16_t shard, int64_t from,
		      uint32_t wait_ms, hr_snapshot_take take, void *ctx,
		      struct hr_snapshot_reach *reach, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;
	int64_t low, high;
	int r = open_consumer(store, err);

	*reach = (struct hr_snapshot_reach){ 0, from };
	if (r == 0)
		r = ask_range(store, shard, until_us, &low, &high, err);
	if (r < 0)
		return r;
	reach->first = low;
	if (reach->next < low)
		reach->next = low;
	if (reach->next >= high)
		return 0;
	if (rd_kafka_consume_start(store->in, shard, reach->next) < 0)
		return trouble(store, NULL, rd_kafka_err2str(rd_kafka_last_error()),
			       err);
	r = read_to(store, shard, high, until_us, take, ctx, &reach->next, err);
	rd_kafka_consume_stop(store->in, shard);
	return r;
}

/* ---- deleting ------------------------------------------------------------------- */

static int drop_result(struct hr_snapshot_store *store, rd_kafka_event_t *event,
		       struct hr_err *err)
{
	const rd_kafka_DeleteRecords_result_t *result;
	const rd_kafka_topic_partition_list_t *list;

	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return trouble(store, NULL, rd_kafka_event_error_string(event), err);
	result = rd_kafka_event_DeleteRecords_result(event);
	list = rd_kafka_DeleteRecords_result_offsets(result);
	if (list->cnt == 1 && list->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	return trouble(store, NULL,
		       list->cnt == 1 ? rd_kafka_err2str(list->elems[0].err)
				      : "no answer about deleting",
		       err);
}

static int kafka_drop(struct hr_snapshot_store *store, uint16_t shard, int64_t before,
		      uint32_t wait_ms, struct hr_err *err)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_DeleteRecords_t *wish;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;
	rd_kafka_t *rk;
	int r = open_producer(store, err);

	if (r < 0)
		return r;
	rk = hr_kafka_handle(store->producer);
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, store->topic, shard)->offset = before;
	wish = rd_kafka_DeleteRecords_new(list);
	queue = rd_kafka_queue_new(rk);
	options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	rd_kafka_AdminOptions_set_request_timeout(options, (int)wait_ms, NULL, 0);
	rd_kafka_DeleteRecords(rk, &wish, 1, options, queue);
	event = rd_kafka_queue_poll(queue, -1); /* the time-out is the request's */
	r = drop_result(store, event, err);
	rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
	rd_kafka_DeleteRecords_destroy(wish);
	rd_kafka_topic_partition_list_destroy(list);
	return r;
}

const struct hr_snapshot_ops hr_snapshot_kafka = {
	.name = "kafka",
	.open = kafka_open,
	.close = kafka_close,
	.put = kafka_put,
	.abandon = kafka_abandon,
	.walk = kafka_walk,
	.drop = kafka_drop,
};
