/* SPDX-License-Identifier: BSD-3-Clause */

/* The committer thread: rings in, rings out, one pass over the shards, a short wait. */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rte_ring.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/log/owner_impl.h"
#include "dataplane/view/feed.h"

#define BURST 64u

/*
 * How long a wait lasts. librdkafka's threads end it at once (wake_fd); workers never
 * call the kernel, so their rings are looked at when it is over: often while epochs
 * come, seldom when nothing has happened for a while.
 */
#define HOT_FOR_US 20000u
#define HOT_WAIT_US 200u
#define WARM_FOR_US 1000000u
#define WARM_WAIT_US 1000u
#define IDLE_WAIT_US 5000u
/* Error callbacks, and whatever a wake-up may have missed. */
#define SLOW_US 50000u

void hr_owner_wake(struct hr_owner *o)
{
	static const uint64_t one = 1;

	/* Full means that a wake-up is pending. */
	if (write(o->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static bool was_woken(struct hr_owner *o)
{
	uint64_t n;

	return read(o->wake_fd, &n, sizeof(n)) == sizeof(n);
}

bool hr_owner_has_room(const struct hr_owner *o, uint8_t worker)
{
	return o->out_links[worker] == 0 ||
	       (o->out_links[worker] < o->window[worker] &&
		o->out_bytes[worker] < HR_OWNER_WINDOW_BYTES);
}

void hr_owner_hand_out(struct hr_owner *o, uint8_t worker, struct hr_link *link)
{
	int r;

	o->out_links[worker]++;
	o->out_bytes[worker] += link->held_bytes;
	r = rte_ring_enqueue(o->conf.accepted[worker], link);
	assert(r == 0); /* it cannot be full: see hr_owner_has_room() */
	(void)r;
}

/* Folded links: off the window, on to the views. */
static unsigned int take_folded(struct hr_owner *o)
{
	unsigned int taken = 0;

	for (uint32_t w = 0; w < o->conf.n_workers; w++) {
		void *links[BURST];
		unsigned int n =
			rte_ring_dequeue_burst(o->conf.folded[w], links, BURST, NULL);

		for (unsigned int i = 0; i < n; i++) {
			struct hr_link *link = links[i];

			o->out_links[w]--;
			o->out_bytes[w] -= link->held_bytes;
			hr_feed_put(o->conf.feed, link);
		}
		taken += n;
	}
	return taken;
}

static unsigned int take_closed(struct hr_owner *o)
{
	unsigned int taken = 0;

	for (uint32_t w = 0; w < o->conf.n_workers; w++) {
		void *epochs[BURST];
		unsigned int n =
			rte_ring_dequeue_burst(o->conf.closed[w], epochs, BURST, NULL);

		for (unsigned int i = 0; i < n; i++) {
			struct hr_epoch *epoch = epochs[i];

			assert(epoch->shard < o->n_shards);
			hr_owned_take(&o->shards[epoch->shard], epoch);
		}
		taken += n;
	}
	return taken;
}

static bool is_any_out(const struct hr_owner *o)
{
	for (uint32_t w = 0; w < o->conf.n_workers; w++)
		if (o->out_links[w] > 0)
			return true;
	return false;
}

static bool is_drained(const struct hr_owner *o)
{
	for (uint32_t i = 0; i < o->n_shards; i++)
		if (!hr_owned_is_drained(&o->shards[i]))
			return false;
	return !is_any_out(o);
}

static void slow_work(struct hr_owner *o, uint64_t now_us)
{
	uint64_t errors = 0;

	if (now_us < o->next_slow_us)
		return;
	o->next_slow_us = now_us + SLOW_US;
	o->must_poll = true;
	rd_kafka_poll(hr_kafka_handle(o->consumer), 0);
	for (uint32_t i = 0; i < o->n_shards; i++) {
		errors += o->shards[i].retired_errors;
		if (o->shards[i].producer != NULL)
			errors += hr_kafka_errors(o->shards[i].producer);
	}
	hr_stat_set(o->producer_errors, errors);
	hr_stat_set(o->consumer_errors, hr_kafka_errors(o->consumer));
}

/*
 * What there is to read of all shards. Each pass begins with the next shard: where one
 * with a long history uses up its worker's window, the others of that worker would see
 * nothing of their own, and take their appends for lost. At the end only what was taken
 * and is not in the log yet is waited for.
 */
static unsigned int read_shards(struct hr_owner *o, bool stops)
{
	unsigned int busy = 0;

	o->first_to_read = (o->first_to_read + 1) % o->n_shards;
	for (uint32_t i = 0; i < o->n_shards; i++) {
		struct hr_owned *s = &o->shards[(o->first_to_read + i) % o->n_shards];

		if (!stops || !hr_owned_is_drained(s))
			busy += hr_owned_read(s);
	}
	return busy;
}

/* One look at everything; returns how much there was to do. */
static unsigned int pass(struct hr_owner *o, uint64_t now_us, bool stops)
{
	unsigned int busy = take_folded(o);
	/* Messages may wait without a wake-up where a worker had no room. */
	bool reads = o->must_poll || busy > 0;

	busy += take_closed(o);
	if (reads)
		busy += read_shards(o, stops);
	for (uint32_t i = 0; i < o->n_shards; i++)
		hr_owned_step(&o->shards[i], now_us);
	return busy;
}

static void wait_for_work(struct hr_owner *o, uint64_t now_us)
{
	struct pollfd fd = { .fd = o->wake_fd, .events = POLLIN };
	uint32_t us = now_us < o->hot_until_us    ? HOT_WAIT_US
		      : now_us < o->warm_until_us ? WARM_WAIT_US
						  : IDLE_WAIT_US;
	const struct timespec wait = { .tv_nsec = us * 1000l };

	(void)ppoll(&fd, 1, &wait, NULL);
}

static uint64_t end(struct hr_owner *o)
{
	uint64_t tentative = 0;

	(void)take_closed(o);
	for (uint32_t i = 0; i < o->n_shards; i++)
		tentative += hr_owned_end(&o->shards[i]);
	return tentative;
}

static void *run(void *arg)
{
	struct hr_owner *o = arg;

	pthread_setname_np(pthread_self(), "hr-committer");
	prctl(PR_SET_TIMERSLACK, 1000ul); /* 50 us by default: too much for 200 */
	for (;;) {
		/* Pairs with the release in hr_owner_stop(): it sees stop_at_us. */
		bool stops = atomic_load_explicit(&o->stops, memory_order_acquire);
		uint64_t now_us = hr_mono_us();
		unsigned int busy;

		slow_work(o, now_us);
		if (was_woken(o))
			o->must_poll = true;
		busy = pass(o, now_us, stops);
		o->must_poll = busy > 0;
		if (stops && now_us >= o->stop_at_us)
			break;
		if (busy > 0) {
			o->hot_until_us = now_us + HOT_FOR_US;
			o->warm_until_us = now_us + WARM_FOR_US;
			continue;
		}
		if (stops && is_drained(o))
			break;
		wait_for_work(o, now_us);
	}
	o->tentative_items = end(o);
	return NULL;
}

static int check_conf(const struct hr_owner_conf *conf, struct hr_err *err)
{
	uint32_t n = conf->set->n_shards;

	if (n == 0 || n > HR_SHARDS_MAX)
		return hr_fail(err, -EINVAL,
			       "the data set has %u shards: 1 to %u can be "
			       "owned",
			       n, HR_SHARDS_MAX);
	if (conf->n_workers == 0 || conf->n_workers > HR_WORKERS_MAX)
		return hr_fail(err, -EINVAL, "%u workers: expected 1 to %u",
			       conf->n_workers, HR_WORKERS_MAX);
	for (uint32_t i = 0; i < n; i++)
		if (conf->worker_of_shard[i] >= conf->n_workers)
			return hr_fail(err, -EINVAL, "shard %u has no worker", i);
	return 0;
}

static void add_rows(struct hr_owner *o)
{
	struct hr_stats *stats = o->conf.stats;

	o->append_seconds = o->latency_seconds = o->consumer_errors =
		o->producer_errors = o->dropped_fenced = o->dropped_stopped =
			o->no_cells;
	if (stats == NULL)
		return;
	hr_stats_next_writer(stats);
	o->append_seconds = hr_stats_add_metric(stats, HR_METRIC_LOG_APPEND, "%s", "");
	o->latency_seconds =
		hr_stats_add_metric(stats, HR_METRIC_ACCEPT_LATENCY, "%s", "");
	o->consumer_errors = hr_stats_add_metric(stats, HR_METRIC_KAFKA_ERRORS,
						 "client=\"log consumer\"");
	o->producer_errors = hr_stats_add_metric(stats, HR_METRIC_KAFKA_ERRORS,
						 "client=\"log producers\"");
	o->dropped_fenced = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
						"worker=\"log\",reason=\"fenced\"");
	o->dropped_stopped = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
						 "worker=\"log\",reason=\"stopped\"");
}

static int open_consumer(struct hr_owner *o, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		/* Nobody writes to the log in a transaction; one that a stranger
		 * left open must not hide what stands behind it. */
		{ "isolation.level", "read_uncommitted" },
		/* Read ahead: per partition, and in one answer. */
		{ "queued.max.messages.kbytes", "8192" },
		{ "fetch.max.bytes", "16777216" },
	};
	const struct hr_kafka_conf conf = {
		.config = o->conf.config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "log",
		.name = "log consumer",
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	int r = hr_kafka_open(&o->consumer, &conf, err);

	if (r == 0)
		o->log = rd_kafka_topic_new(hr_kafka_handle(o->consumer),
					    o->set.log_topic, NULL);
	return r;
}

/* Links a worker may have: what both its rings hold, if they are small. */
static uint32_t window_of(const struct hr_owner_conf *conf, uint32_t worker)
{
	uint32_t accepted = rte_ring_get_capacity(conf->accepted[worker]);
	uint32_t folded = rte_ring_get_capacity(conf->folded[worker]);
	uint32_t window = accepted < folded ? accepted : folded;

	return window < HR_OWNER_WINDOW ? window : HR_OWNER_WINDOW;
}

void hr_owner_free(struct hr_owner *o)
{
	if (o == NULL)
		return;
	for (uint32_t i = 0; i < o->n_shards; i++)
		hr_owned_fini(&o->shards[i]);
	free(o->shards);
	if (o->log != NULL)
		rd_kafka_topic_destroy(o->log);
	/* Links in the feed keep the client until they are put. */
	hr_kafka_put(o->consumer);
	if (o->wake_fd >= 0)
		close(o->wake_fd);
	free(o->scratch);
	free(o);
}

static int shards_init(struct hr_owner *o, struct hr_err *err)
{
	size_t bytes = o->set.n_shards * sizeof(*o->shards);
	int r = 0;

	o->shards = aligned_alloc(_Alignof(struct hr_owned), bytes);
	if (o->shards == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %u shards",
			       o->set.n_shards);
	memset(o->shards, 0, bytes);
	for (uint32_t i = 0; i < o->set.n_shards && r == 0; i++) {
		o->n_shards++;
		r = hr_owned_init(&o->shards[i], o, (uint16_t)i, err);
	}
	return r;
}

int hr_owner_start(struct hr_owner **out, const struct hr_owner_conf *conf,
		   struct hr_err *err)
{
	struct hr_owner *o;
	int r = check_conf(conf, err);

	if (r < 0)
		return r;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the log's owner");
	o->conf = *conf;
	o->set = *conf->set;
	for (uint32_t w = 0; w < conf->n_workers; w++)
		o->window[w] = window_of(conf, w);
	o->must_poll = true;
	o->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	o->scratch = malloc(HR_LINK_HEAD_BYTES + HR_PAD8(HR_CHAIN_CONFIG_MAX) +
			    HR_RECORD_TAIL_BYTES);
	r = -ENOMEM;
	if (o->wake_fd < 0 || o->scratch == NULL) {
		hr_fail(err, r, "no memory for the log's owner");
		goto fail;
	}
	add_rows(o);
	r = open_consumer(o, err);
	if (r == 0)
		r = shards_init(o, err);
	if (r < 0)
		goto fail;
	r = -pthread_create(&o->thread, NULL, run, o);
	if (r < 0) {
		hr_fail(err, r, "no thread for the log's owner");
		goto fail;
	}
	*out = o;
	return 0;
fail:
	hr_owner_free(o);
	return r;
}

const struct hr_shard_view *hr_owner_shard(const struct hr_owner *o, uint16_t shard)
{
	return &o->shards[shard].view;
}

void hr_owner_reason(const struct hr_owner *o, uint16_t shard, char *out, size_t max)
{
	/* The lock is not part of what const promises. */
	struct hr_owned *s = &o->shards[shard];

	pthread_mutex_lock(&s->lock);
	snprintf(out, max, "%s", s->reason);
	pthread_mutex_unlock(&s->lock);
}

uint64_t hr_owner_stop(struct hr_owner *o, uint32_t drain_ms)
{
	o->stop_at_us = hr_mono_us() + (uint64_t)drain_ms * 1000;
	/* Pairs with the acquire in run(). */
	atomic_store_explicit(&o->stops, true, memory_order_release);
	hr_owner_wake(o);
	pthread_join(o->thread, NULL);
	return o->tentative_items;
}
