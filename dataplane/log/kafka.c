/* SPDX-License-Identifier: BSD-3-Clause */

/* Clients: made, counted, and their trouble told. Topics are in kafka_topics.c. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/log/kafka.h"

#define NAME_MAX_BYTES 64
#define REASON_BYTES 320
/* One line of trouble this often, from all clients together: with S producers each
 * broker that goes away would be reported S times. */
#define REPORT_EVERY_US 5000000u

struct hr_kafka {
	rd_kafka_t *rk;
	const char *room;
	char name[NAME_MAX_BYTES];
	void (*on_delivery)(void *arg, const rd_kafka_message_t *message);
	void (*on_close)(void *arg);
	void *arg;
	atomic_uint refs;
	atomic_bool is_fatal;
	_Atomic uint64_t errors, closed;
	pthread_mutex_t lock; /* of last_error */
	char last_error[REASON_BYTES + 64];
};

/* Why a property of the configuration's pass-through list is refused. */
static const struct {
	const char *name, *why;
} refused[] = {
	{ "bootstrap.servers", "kafka.brokers names them" },
	{ "metadata.broker.list", "kafka.brokers names them" },
	{ "acks", "an append counts only on all replicas in sync" },
	{ "request.required.acks", "an append counts only on all replicas in sync" },
	{ "enable.idempotence", "without it a retry may append twice" },
	{ "enable.gapless.guarantee", "records are retried, never skipped" },
	{ "max.in.flight", "order in a partition depends on it" },
	{ "max.in.flight.requests.per.connection",
	  "order in a partition depends on it" },
	{ "retries", "appends are retried without a limit" },
	{ "message.send.max.retries", "appends are retried without a limit" },
	{ "message.timeout.ms", "appends are retried without a time-out" },
	{ "delivery.timeout.ms", "appends are retried without a time-out" },
	{ "transactional.id", "it is derived from data set and shard" },
	{ "transaction.timeout.ms", "the topic view sets it" },
	{ "isolation.level", "each reader needs its own" },
	{ "group.id", "no consumer groups are used" },
	{ "group.instance.id", "no consumer groups are used" },
	{ "enable.auto.commit", "positions are kept with the data" },
	{ "auto.commit.enable", "positions are kept with the data" },
	{ "enable.auto.offset.store", "positions are kept with the data" },
	{ "offset.store.method", "positions are kept with the data" },
	{ "auto.offset.reset", "a lost offset must be an error" },
	{ "enable.partition.eof", "readers depend on it" },
	{ "partitioner", "partitions are computed by murmur2" },
	{ "queuing.strategy", "order in a partition depends on it" },
	{ "linger.ms", "each writer has its own" },
	{ "queue.buffering.max.ms", "each writer has its own" },
	{ "queue.buffering.max.messages", "each writer bounds its own memory" },
	{ "queue.buffering.max.kbytes", "each writer bounds its own memory" },
	{ "compression.codec", "topics.compression says it" },
	{ "compression.type", "topics.compression says it" },
	{ "message.max.bytes", "a record of the log has 900,000 bytes" },
	{ "receive.message.max.bytes", "a record of the log has 900,000 bytes" },
	{ "allow.auto.create.topics", "topics are made with settings of their own" },
	{ "topic.blacklist", "every topic is needed" },
	{ "delivery.report.only.error", "every report is needed" },
	{ "enabled_events", "callbacks are used" },
	{ "log.queue", "callbacks are used" },
	{ "test.mock.num.brokers", "a mock keeps nothing" },
};

static const struct hr_kafka_setting for_all[] = {
	{ "socket.nagle.disable", "true" },
	{ "socket.keepalive.enable", "true" },
	{ "log.connection.close", "false" },
	/* With librdkafka's own 100 ms and 10 s a broker that was away for ten seconds
	 * is found again 18 to 28 seconds after it left; with these after 2.5. */
	{ "reconnect.backoff.ms", "20" },
	{ "reconnect.backoff.max.ms", "250" },
	{ "topic.metadata.refresh.fast.interval.ms", "100" },
	/* A producer's default is true: it would make a deleted log anew. */
	{ "allow.auto.create.topics", "false" },
};

static const struct hr_kafka_setting for_consumers[] = {
	{ "enable.auto.commit", "false" },  { "enable.auto.offset.store", "false" },
	{ "auto.offset.reset", "error" },   { "fetch.wait.max.ms", "100" },
	{ "fetch.error.backoff.ms", "50" },
};

static int set_one(rd_kafka_conf_t *conf, const char *name, const char *value,
		   struct hr_err *err)
{
	char text[REASON_BYTES];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) ==
	    RD_KAFKA_CONF_OK)
		return 0;
	return hr_fail(err, -EINVAL, "Kafka client property %s=%s: %s", name, value,
		       text);
}

static int set_all(rd_kafka_conf_t *conf, const struct hr_kafka_setting *s, uint32_t n,
		   struct hr_err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = set_one(conf, s[i].name, s[i].value, err);
	return r;
}

/* NULL: it may be passed through. */
static const char *why_refused(const struct hr_kafka_conf *conf, const char *name)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strcmp(refused[i].name, name) == 0)
			return refused[i].why;
	for (uint32_t i = 0; i < conf->n_settings; i++)
		if (strcmp(conf->settings[i].name, name) == 0)
			return "this client depends on its own value";
	return NULL;
}

/* "name=value\n" each. A consumer's property is no error for a producer. */
static int pass_through(rd_kafka_conf_t *rk_conf, const struct hr_kafka_conf *conf,
			struct hr_err *err)
{
	char text[sizeof(conf->config->kafka_properties)];
	char *save = NULL;
	int r = 0;

	memcpy(text, conf->config->kafka_properties, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line != NULL && r == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		char *equals = strchr(line, '=');
		const char *why;

		if (equals == NULL)
			return hr_fail(
				err, -EINVAL,
				"kafka.properties: found %s, expected name=value",
				line);
		*equals = '\0';
		why = why_refused(conf, line);
		if (why != NULL)
			return hr_fail(err, -EINVAL,
				       "kafka.properties: %s cannot be set: %s", line,
				       why);
		r = set_one(rk_conf, line, equals + 1, err);
		if (r < 0)
			r = hr_fail_in(err, r, "kafka.properties");
	}
	return r;
}

/* At most one line per REPORT_EVERY_US; returns how many were left out since, or
 * UINT64_MAX for "not now". */
static uint64_t may_report(void)
{
	static _Atomic uint64_t last_us, left_out;
	uint64_t now = hr_mono_us();
	uint64_t last = atomic_load_explicit(&last_us, memory_order_relaxed);

	if ((last != 0 && now - last < REPORT_EVERY_US) ||
	    !atomic_compare_exchange_strong(&last_us, &last, now)) {
		atomic_fetch_add_explicit(&left_out, 1, memory_order_relaxed);
		return UINT64_MAX;
	}
	return atomic_exchange_explicit(&left_out, 0, memory_order_relaxed);
}

static void keep_error(struct hr_kafka *k, const char *code, const char *reason)
{
	pthread_mutex_lock(&k->lock);
	snprintf(k->last_error, sizeof(k->last_error), "%s: %s", code, reason);
	pthread_mutex_unlock(&k->lock);
	atomic_fetch_add_explicit(&k->errors, 1, memory_order_relaxed);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct hr_kafka *k = opaque;
	uint64_t left_out;

	if (code == RD_KAFKA_RESP_ERR__FATAL) {
		char text[REASON_BYTES];

		code = rd_kafka_fatal_error(rk, text, sizeof(text));
		keep_error(k, rd_kafka_err2name(code), text);
		atomic_store_explicit(&k->is_fatal, true, memory_order_relaxed);
		hr_warn(k->room, "%s: fatal: %s: %s", k->name, rd_kafka_err2name(code),
			text);
		return;
	}
	keep_error(k, rd_kafka_err2name(code), reason);
	left_out = may_report();
	if (left_out == UINT64_MAX)
		return;
	if (left_out == 0)
		hr_warn(k->room, "%s: %s: %s", k->name, rd_kafka_err2name(code),
			reason);
	else
		hr_warn(k->room, "%s: %s: %s (%llu more like it)", k->name,
			rd_kafka_err2name(code), reason, (unsigned long long)left_out);
}

/* What matters comes through on_error() as well. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility,
		   const char *text)
{
	const struct hr_kafka *k = rd_kafka_opaque(rk);

	(void)level;
	hr_debug(k->room, "%s: %s: %s", k->name, facility, text);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct hr_kafka *k = opaque;

	(void)rk;
	k->on_delivery(k->arg, m);
}

static int on_closesocket(int fd, void *opaque)
{
	struct hr_kafka *k = opaque;

	atomic_fetch_add_explicit(&k->closed, 1, memory_order_relaxed);
	if (k->on_close != NULL)
		k->on_close(k->arg);
	return close(fd);
}

static int fill(rd_kafka_conf_t *rk_conf, struct hr_kafka *k,
		const struct hr_kafka_conf *conf, struct hr_err *err)
{
	int r = set_all(rk_conf, for_all, sizeof(for_all) / sizeof(for_all[0]), err);

	if (r == 0 && conf->kind == HR_KAFKA_CONSUMER)
		r = set_all(rk_conf, for_consumers,
			    sizeof(for_consumers) / sizeof(for_consumers[0]), err);
	if (r == 0)
		r = set_one(rk_conf, "client.id", conf->config->name, err);
	if (r == 0)
		r = pass_through(rk_conf, conf, err);
	if (r == 0)
		r = set_one(rk_conf, "bootstrap.servers", conf->config->kafka_brokers,
			    err);
	if (r == 0)
		r = set_all(rk_conf, conf->settings, conf->n_settings, err);
	if (r < 0)
		return r;
	rd_kafka_conf_set_opaque(rk_conf, k);
	rd_kafka_conf_set_error_cb(rk_conf, on_error);
	rd_kafka_conf_set_log_cb(rk_conf, on_log);
	if (conf->on_delivery != NULL)
		rd_kafka_conf_set_dr_msg_cb(rk_conf, on_delivery);
	rd_kafka_conf_set_closesocket_cb(rk_conf, on_closesocket);
	return 0;
}

int hr_kafka_open(struct hr_kafka **out, const struct hr_kafka_conf *conf,
		  struct hr_err *err)
{
	rd_kafka_type_t type =
		conf->kind == HR_KAFKA_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
	struct hr_kafka *k = calloc(1, sizeof(*k));
	rd_kafka_conf_t *rk_conf = rd_kafka_conf_new();
	char text[REASON_BYTES];
	int r = -ENOMEM;

	if (k == NULL) {
		hr_fail(err, r, "no memory for a Kafka client");
		goto fail;
	}
	pthread_mutex_init(&k->lock, NULL);
	atomic_init(&k->refs, 1);
	k->room = conf->room;
	snprintf(k->name, sizeof(k->name), "%s", conf->name);
	k->on_delivery = conf->on_delivery;
	k->on_close = conf->on_close;
	k->arg = conf->arg;
	r = fill(rk_conf, k, conf, err);
	if (r < 0)
		goto fail;
	k->rk = rd_kafka_new(type, rk_conf, text, sizeof(text));
	if (k->rk == NULL) {
		r = hr_fail(err, -EINVAL, "%s: %s", conf->name, text);
		goto fail;
	}
	*out = k;
	return 0;
fail:
	rd_kafka_conf_destroy(rk_conf);
	free(k);
	return r;
}

struct hr_kafka *hr_kafka_get(struct hr_kafka *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void hr_kafka_put(struct hr_kafka *k)
{
	/* Release what this thread did with it; acquire what the others did. */
	if (k == NULL ||
	    atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	rd_kafka_destroy(k->rk);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

rd_kafka_t *hr_kafka_handle(const struct hr_kafka *k)
{
	return k->rk;
}

uint64_t hr_kafka_errors(const struct hr_kafka *k)
{
	return atomic_load_explicit(&k->errors, memory_order_relaxed);
}

uint64_t hr_kafka_closed(const struct hr_kafka *k)
{
	return atomic_load_explicit(&k->closed, memory_order_relaxed);
}

void hr_kafka_last_error(struct hr_kafka *k, char *out, size_t max)
{
	pthread_mutex_lock(&k->lock);
	snprintf(out, max, "%s", k->last_error);
	pthread_mutex_unlock(&k->lock);
}

bool hr_kafka_is_fatal(const struct hr_kafka *k)
{
	return atomic_load_explicit(&k->is_fatal, memory_order_relaxed);
}
