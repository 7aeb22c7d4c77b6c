/* SPDX-License-Identifier: BSD-3-Clause */

/* Closing a shard's producer and opening the next: calls that may block, in a thread
 * of their own, so that the committer goes on with the other shards. */

#include <errno.h>
#include <stdio.h>

#include "common/log.h"
#include "dataplane/log/owner_impl.h"

#define WARM_MS 1000

/* A retried append gives up only when there is nothing to append to. */
static bool is_gone(rd_kafka_resp_err_t e)
{
	return e == RD_KAFKA_RESP_ERR__DESTROY ||
	       e == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
	       e == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	       e == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static void on_delivery(void *arg, const rd_kafka_message_t *m)
{
	struct hr_owned *s = arg;
	struct hr_append *a = m->_private;

	if (a != NULL)
		a->is_reported = true;
	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (a == NULL || a == s->flight)
			s->was_delivered = true;
		return;
	}
	s->has_failed_report = true;
	snprintf(s->failed_report, sizeof(s->failed_report), "%s",
		 is_gone(m->err) ? "the topic or its partition is not there"
				 : rd_kafka_err2str(m->err));
}

/* What it had queued need not come back: the chain is asked what became of it. */
static void close_old(struct hr_renewal *r)
{
	if (r->old == NULL)
		return;
	rd_kafka_purge(hr_kafka_handle(r->old),
		       RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_topic_destroy(r->old_topic);
	hr_kafka_put(r->old);
	r->old = NULL;
	r->old_topic = NULL;
}

static void restart_fetch(struct hr_renewal *r)
{
	struct hr_owner *o = r->owner;
	int p = r->shard->shard;

	rd_kafka_consume_stop(o->log, p);
	if (rd_kafka_consume_start_queue(o->log, p, r->fetch_from, r->shard->inbox) < 0)
		hr_warn("log", "shard %d: fetching could not be started: %s", p,
			rd_kafka_err2str(rd_kafka_last_error()));
}

static void open_new(struct hr_renewal *r)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "linger.ms", "0" },
		{ "max.in.flight.requests.per.connection", "1" },
		{ "message.timeout.ms", "0" },
	};
	static const uint64_t one = 1;
	char name[64];
	const struct hr_kafka_conf conf = {
		.config = r->owner->conf.config,
		.kind = HR_KAFKA_PRODUCER,
		.room = "log",
		.name = name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
		.on_delivery = on_delivery,
		.arg = r->shard,
	};
	rd_kafka_queue_t *reports;

	snprintf(name, sizeof(name), "log producer of shard %u", r->shard->shard);
	if (hr_kafka_open(&r->fresh, &conf, &r->err) < 0) {
		r->fresh = NULL;
		return;
	}
	r->fresh_topic = rd_kafka_topic_new(hr_kafka_handle(r->fresh),
					    r->owner->set.log_topic, NULL);
	reports = rd_kafka_queue_get_main(hr_kafka_handle(r->fresh));
	rd_kafka_queue_io_event_enable(reports, r->owner->wake_fd, &one, sizeof(one));
	rd_kafka_queue_destroy(reports);
	/* Cold metadata would make the first message wait up to a second. With the
	 * broker away the answer is no, and the message waits in the producer. */
	(void)hr_kafka_warm(r->fresh, r->fresh_topic, WARM_MS, &r->topic_is_gone);
}

void hr_renewal_run(struct hr_renewal *r)
{
	close_old(r);
	if (r->restarts_fetch)
		restart_fetch(r);
	if (r->opens)
		open_new(r);
	/* Pairs with the acquire in hr_renewal_join(). */
	atomic_store_explicit(&r->is_over, true, memory_order_release);
	hr_owner_wake(r->owner);
}

static void *run(void *arg)
{
	hr_renewal_run(arg);
	return NULL;
}

int hr_renewal_start(struct hr_renewal *r)
{
	int e;

	r->fresh = NULL;
	r->fresh_topic = NULL;
	r->err.text[0] = '\0';
	r->topic_is_gone = false;
	atomic_store_explicit(&r->is_over, false, memory_order_relaxed);
	e = pthread_create(&r->thread, NULL, run, r);
	if (e != 0)
		return hr_fail(&r->err, -e, "no thread for a new producer");
	r->is_running = true;
	return 0;
}

bool hr_renewal_join(struct hr_renewal *r)
{
	if (!atomic_load_explicit(&r->is_over, memory_order_acquire))
		return false;
	hr_renewal_wait(r);
	return true;
}

void hr_renewal_wait(struct hr_renewal *r)
{
	if (r->is_running)
		pthread_join(r->thread, NULL);
	r->is_running = false;
}
