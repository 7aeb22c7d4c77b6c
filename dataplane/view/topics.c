/* SPDX-License-Identifier: BSD-3-Clause */

/* The view as others see it, and the thread that looks after its publishers. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/view/topics_impl.h"

#define ENSURE_MS 2000u
#define RETRY_MS 200u
#define LOOK_MS 100u
/* Between two looks at all shards: a link waits this long at most to be noticed. */
#define PAUSE_US 1000u
#define LAG_ROWS_MAX 1024u
#define DRAIN_POLL_US 1000u

/* ---- topics ------------------------------------------------------------------------- */

static const struct hr_kafka_topic_setting position_settings[] = {
	{ "cleanup.policy", "compact", HR_KAFKA_EQUAL },
	/* Small, so that reading them all at a start is quick: only closed segments
	 * are compacted. */
	{ "segment.bytes", "1048576", HR_KAFKA_INITIAL },
	{ "min.cleanable.dirty.ratio", "0.1", HR_KAFKA_INITIAL },
};

static const char *stored_as(const struct hr_config *c)
{
	return strcmp(c->topics_compression, "none") == 0 ? "uncompressed"
							  : c->topics_compression;
}

static int ensure(struct hr_view *v, struct hr_err *err)
{
	const struct hr_config *c = v->config;
	/* A week; then the operator's to change, as is how the broker stores them. */
	const struct hr_kafka_topic_setting event_settings[] = {
		{ "cleanup.policy", "delete", HR_KAFKA_INITIAL },
		{ "retention.ms", "604800000", HR_KAFKA_INITIAL },
		{ "compression.type", stored_as(c), HR_KAFKA_INITIAL },
	};
	const struct {
		uint32_t n_partitions;
		const char *key;
	} shapes[HR_TOPIC_COUNT] = {
		{ c->user_events_partitions, "topics.partitions.user_events" },
		{ c->product_views_partitions, "topics.partitions.product_views" },
		{ c->purchases_partitions, "topics.partitions.purchases" },
		{ c->dead_letters_partitions, "topics.partitions.dead_letters" },
	};
	struct hr_kafka_topic topics[HR_TOPIC_COUNT + 1] = { 0 };
	uint32_t n = 0;

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT && v->writes_events; t++) {
		struct hr_kafka_topic *topic = &topics[n++];

		memcpy(topic->name, v->names[t], sizeof(topic->name));
		topic->n_partitions = shapes[t].n_partitions;
		topic->partitions_key = shapes[t].key;
		topic->is_durable = true;
		topic->settings = event_settings;
		topic->n_settings = sizeof(event_settings) / sizeof(event_settings[0]);
	}
	memcpy(topics[n].name, v->positions_name, sizeof(topics[n].name));
	topics[n].n_partitions = v->set.n_shards;
	topics[n].partitions_key = "data_set.shards";
	topics[n].is_durable = true;
	topics[n].settings = position_settings;
	topics[n].n_settings = sizeof(position_settings) / sizeof(position_settings[0]);
	return hr_kafka_topics_ensure(c, topics, n + 1, true, ENSURE_MS, err);
}

static void reason_set(struct hr_view *v, const char *text)
{
	pthread_mutex_lock(&v->lock);
	snprintf(v->reason, sizeof(v->reason), "%s", text);
	pthread_mutex_unlock(&v->lock);
}

static void wake_all(struct hr_view *v)
{
	for (uint32_t s = 0; s < v->n_publishers; s++)
		hr_topics_publisher_wake(&v->publishers[s]);
}

/* Until the topics are there and right, or are refused, or the view stops. */
static void ensure_all(struct hr_view *v)
{
	struct hr_err err = { "" };

	while (!hr_topics_stops(v)) {
		int r = ensure(v, &err);

		if (r == 0) {
			reason_set(v, "");
			atomic_store_explicit(&v->topics_are_there, true,
					      memory_order_release);
			wake_all(v);
			return;
		}
		reason_set(v, err.text);
		if (r != -EIO && r != -ENOMEM) {
			hr_error("view", "topics: stopped: %s", err.text);
			atomic_store_explicit(&v->is_refused, true,
					      memory_order_release);
			return;
		}
		hr_stat_add(v->error_count, 1);
		usleep(RETRY_MS * 1000);
	}
}

/* ---- state --------------------------------------------------------------------------- */

static enum hr_view_state state_of(const struct hr_topics_publisher *p)
{
	return atomic_load_explicit(
		&((struct hr_topics_publisher *)(uintptr_t)p)->state,
		memory_order_acquire);
}

/* The worst of the shards': one that is stopped, then one that is not connected. */
static const struct hr_topics_publisher *worst(const struct hr_view *v)
{
	static const int badness[] = {
		[HR_VIEW_LIVE] = 0,
		[HR_VIEW_CATCHING_UP] = 1,
		[HR_VIEW_CONNECTING] = 2,
		[HR_VIEW_STOPPED] = 3,
	};
	const struct hr_topics_publisher *found = &v->publishers[0];

	for (uint32_t s = 1; s < v->n_publishers; s++) {
		const struct hr_topics_publisher *p = &v->publishers[s];

		if (badness[state_of(p)] > badness[state_of(found)])
			found = p;
	}
	return found;
}

static bool is_refused(const struct hr_view *v)
{
	return atomic_load_explicit(&((struct hr_view *)(uintptr_t)v)->is_refused,
				    memory_order_acquire);
}

static enum hr_view_state view_state(const struct hr_view *v)
{
	return is_refused(v) ? HR_VIEW_STOPPED : state_of(worst(v));
}

static void view_reason(const struct hr_view *view, char *out, size_t max)
{
	struct hr_view *v = (struct hr_view *)(uintptr_t)view;
	struct hr_topics_publisher *p =
		(struct hr_topics_publisher *)(uintptr_t)worst(view);

	pthread_mutex_lock(&v->lock);
	snprintf(out, max, "%s", v->reason);
	pthread_mutex_unlock(&v->lock);
	if (out[0] != '\0')
		return;
	pthread_mutex_lock(&p->lock);
	snprintf(out, max, "%s", p->reason);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t view_applied(const struct hr_view *view, uint16_t shard)
{
	struct hr_view *v = (struct hr_view *)(uintptr_t)view;

	return shard < v->n_publishers
		       ? atomic_load_explicit(&v->publishers[shard].applied,
					      memory_order_acquire)
		       : 0;
}

static uint64_t view_settled(const struct hr_view *view, uint16_t shard)
{
	struct hr_view *v = (struct hr_view *)(uintptr_t)view;

	return shard < v->n_publishers
		       ? atomic_load_explicit(&v->publishers[shard].settled,
					      memory_order_acquire)
		       : 0;
}

static bool is_away(const struct hr_view *view, uint32_t shard)
{
	struct hr_view *v = (struct hr_view *)(uintptr_t)view;

	return atomic_load_explicit(&v->publishers[shard].is_away,
				    memory_order_acquire);
}

/* ---- statistics: all rows but kafka_lag and the latency are this thread's ------------ */

static void rows_add_lag(struct hr_view *v, struct hr_topics_publisher *p)
{
	struct hr_stats *stats = v->conf.stats;

	hr_stats_next_writer(stats);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		uint32_t n = hr_topics_own(&p->shape, t);

		p->lag[t] = calloc(n + 1, sizeof(hr_cell *));
		for (uint32_t i = 0; i < n && p->lag[t] != NULL; i++)
			p->lag[t][i] = hr_stats_add_metric(
				stats, HR_METRIC_KAFKA_LAG,
				"topic=\"%s\",partition=\"%u\"", v->names[t],
				p->shape.shard + i * p->shape.n_shards);
	}
}

static bool rows_are_few(const struct hr_view *v)
{
	uint64_t n = 0;

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		n += v->publishers[0].shape.n_partitions[t];
	if (n > LAG_ROWS_MAX)
		hr_warn("view",
			"topics: kafka_lag is not exported: the topics have %" PRIu64
			" partitions together, %u at most get a row each",
			n, LAG_ROWS_MAX);
	return n <= LAG_ROWS_MAX;
}

static void rows_add(struct hr_view *v)
{
	struct hr_stats *stats = v->conf.stats;

	hr_stats_next_writer(stats);
	v->latency =
		hr_stats_add_metric(stats, HR_METRIC_VIEW_LATENCY, "view=\"topics\"");
	hr_stats_next_writer(stats);
	v->up = hr_stats_add_metric(stats, HR_METRIC_VIEW_UP, "view=\"topics\"");
	v->error_count =
		hr_stats_add_metric(stats, HR_METRIC_VIEW_ERRORS, "view=\"topics\"");
	for (uint32_t s = 0; s < v->n_publishers; s++) {
		v->applied_link[s] =
			hr_stats_add_metric(stats, HR_METRIC_VIEW_APPLIED_LINK,
					    "view=\"topics\",shard=\"%u\"", s);
		v->lag_links[s] =
			hr_stats_add_metric(stats, HR_METRIC_VIEW_LAG_LINKS,
					    "view=\"topics\",shard=\"%u\"", s);
	}
	if (rows_are_few(v))
		for (uint32_t s = 0; s < v->n_publishers; s++)
			rows_add_lag(v, &v->publishers[s]);
	hr_stats_next_writer(stats);
}

static void rows_none(struct hr_view *v)
{
	v->latency = v->up = v->error_count = v->no_cells;
	for (uint32_t s = 0; s < v->n_publishers; s++)
		v->applied_link[s] = v->lag_links[s] = v->no_cells;
}

static void rows_write(struct hr_view *v)
{
	uint64_t errors = 0;

	for (uint32_t s = 0; s < v->n_publishers; s++) {
		uint64_t last = hr_feed_last(v->conf.feed, (uint16_t)s);
		uint64_t applied = view_applied(v, (uint16_t)s);

		hr_stat_set(v->applied_link[s], applied);
		hr_stat_set(v->lag_links[s],
			    last > applied && !is_away(v, s) ? last - applied : 0);
		errors += atomic_load_explicit(&v->publishers[s].errors,
					       memory_order_relaxed);
	}
	if (errors > v->counted_errors)
		hr_stat_add(v->error_count, errors - v->counted_errors);
	v->counted_errors = errors;
	hr_stat_set(v->up, view_state(v) == HR_VIEW_CATCHING_UP ||
				   view_state(v) == HR_VIEW_LIVE);
}

/* ---- the thread ------------------------------------------------------------------------ */

/* Wakes the publishers that have something to take. */
static void wake_some(struct hr_view *v)
{
	for (uint32_t s = 0; s < v->n_publishers; s++) {
		struct hr_topics_publisher *p = &v->publishers[s];
		uint64_t last = hr_feed_last(v->conf.feed, (uint16_t)s);

		/* Pairs with wait_until(). */
		if (atomic_load_explicit(&p->is_idle, memory_order_seq_cst) &&
		    last > atomic_load_explicit(&p->taken, memory_order_relaxed))
			hr_topics_publisher_wake(p);
	}
}

static void *look_after(void *arg)
{
	struct hr_view *v = arg;
	uint64_t seen = 0;

	ensure_all(v);
	while (!hr_topics_stops(v)) {
		hr_feed_wait(v->conf.feed, &seen, LOOK_MS);
		wake_some(v);
		rows_write(v);
		rd_kafka_poll(hr_kafka_handle(v->committed), 0);
		rd_kafka_poll(hr_kafka_handle(v->uncommitted), 0);
		usleep(PAUSE_US);
	}
	return NULL;
}

/* ---- start and stop ------------------------------------------------------------------- */

static int open_reader(struct hr_view *v, struct hr_kafka **out, const char *name,
		       const char *isolation, struct hr_err *err)
{
	const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", isolation },
	};
	const struct hr_kafka_conf conf = {
		.config = v->config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "view",
		.name = name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};

	return hr_kafka_open(out, &conf, err);
}

static int open_readers(struct hr_view *v, struct hr_err *err)
{
	int r = open_reader(v, &v->committed, "topics position reader",
			    "read_committed", err);

	if (r == 0)
		r = open_reader(v, &v->uncommitted, "topics end reader",
				"read_uncommitted", err);
	if (r < 0)
		return r;
	v->committed_positions = rd_kafka_topic_new(hr_kafka_handle(v->committed),
						    v->positions_name, NULL);
	v->uncommitted_positions = rd_kafka_topic_new(hr_kafka_handle(v->uncommitted),
						      v->positions_name, NULL);
	return r;
}

static void view_free(struct hr_view *v)
{
	for (uint32_t s = 0; s < v->n_publishers; s++)
		hr_topics_publisher_fini(&v->publishers[s]);
	if (v->committed_positions != NULL)
		rd_kafka_topic_destroy(v->committed_positions);
	if (v->uncommitted_positions != NULL)
		rd_kafka_topic_destroy(v->uncommitted_positions);
	hr_kafka_put(v->committed);
	hr_kafka_put(v->uncommitted);
	free(v->applied_link);
	free(v->lag_links);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static struct hr_view *view_new(const struct hr_view_conf *conf)
{
	uint32_t n = conf->set->n_shards;
	struct hr_view *v = calloc(1, sizeof(*v) + n * sizeof(v->publishers[0]));

	if (v == NULL)
		return NULL;
	v->conf = *conf;
	v->config = conf->config;
	v->set = *conf->set;
	v->writes_events = conf->config->topics_encoding == HR_ENCODING_JSON;
	pthread_mutex_init(&v->lock, NULL);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		hr_kafka_topic_name(v->names[t], v->config, hr_topic_names[t]);
	hr_kafka_topic_name(v->positions_name, v->config, HR_TOPICS_POSITIONS);
	v->applied_link = calloc(n, sizeof(hr_cell *));
	v->lag_links = calloc(n, sizeof(hr_cell *));
	if (v->applied_link == NULL || v->lag_links == NULL) {
		view_free(v);
		return NULL;
	}
	return v;
}

static void threads_end(struct hr_view *v, uint32_t n)
{
	atomic_store_explicit(&v->stops, true, memory_order_release);
	for (uint32_t s = 0; s < n; s++) {
		hr_topics_publisher_wake(&v->publishers[s]);
		pthread_join(v->publishers[s].thread, NULL);
	}
}

static int threads_start(struct hr_view *v, struct hr_err *err)
{
	int e = 0;
	uint32_t n = 0;

	while (n < v->n_publishers && e == 0) {
		e = pthread_create(&v->publishers[n].thread, NULL, hr_topics_publish,
				   &v->publishers[n]);
		n += e == 0;
	}
	if (e == 0)
		e = pthread_create(&v->thread, NULL, look_after, v);
	if (e == 0)
		return 0;
	threads_end(v, n);
	return hr_fail(err, -e, "no thread for the topics view");
}

static int view_start(struct hr_view **out, const struct hr_view_conf *conf,
		      struct hr_err *err)
{
	struct hr_view *v = view_new(conf);
	int r;

	if (v == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the topics view");
	r = open_readers(v, err);
	while (r == 0 && v->n_publishers < v->set.n_shards) {
		r = hr_topics_publisher_init(&v->publishers[v->n_publishers], v,
					     (uint16_t)v->n_publishers, err);
		v->n_publishers += r == 0;
	}
	if (r == 0) {
		if (conf->stats != NULL)
			rows_add(v);
		else
			rows_none(v);
		reason_set(v, "the topics have not been looked at yet");
		r = threads_start(v, err);
	}
	if (r < 0) {
		view_free(v);
		return r;
	}
	*out = v;
	return 0;
}

static bool is_drained(const struct hr_view *v)
{
	for (uint32_t s = 0; s < v->n_publishers; s++)
		if (!is_away(v, s) && view_applied(v, (uint16_t)s) <
					      hr_feed_last(v->conf.feed, (uint16_t)s))
			return false;
	return true;
}

static bool view_stop(struct hr_view *v, uint32_t drain_ms)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)drain_ms * 1000;
	bool drained;

	atomic_store_explicit(&v->drains, true, memory_order_relaxed);
	wake_all(v);
	while (!(drained = is_drained(v)) && hr_mono_us() < until_us &&
	       view_state(v) != HR_VIEW_STOPPED)
		usleep(DRAIN_POLL_US);
	atomic_store_explicit(&v->stops, true, memory_order_release);
	hr_feed_wake(v->conf.feed);
	pthread_join(v->thread, NULL);
	threads_end(v, v->n_publishers);
	hr_stat_set(v->up, 0);
	view_free(v);
	return drained;
}

static bool may_repair(struct hr_view *v, uint32_t shard)
{
	struct hr_topics_publisher *p = &v->publishers[shard];

	return atomic_load_explicit(&p->state, memory_order_acquire) ==
		       HR_VIEW_STOPPED &&
	       atomic_load_explicit(&p->is_cut, memory_order_acquire);
}

static int view_repair(struct hr_view *v, int shard, struct hr_err *err)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < v->n_publishers; s++) {
		if ((shard >= 0 && s != (uint32_t)shard) || !may_repair(v, s))
			continue;
		hr_topics_tell_repair(&v->publishers[s], "asked for");
		atomic_store_explicit(&v->publishers[s].must_repair, true,
				      memory_order_release);
		hr_topics_publisher_wake(&v->publishers[s]);
		n++;
	}
	if (n > 0)
		return 0;
	return hr_fail(err, -ENOENT,
		       "no shard%s of this appliance is stopped because a partition of "
		       "its topics was cut",
		       shard >= 0 ? " of that number" : "");
}

static void view_repaired(struct hr_view *v, uint16_t shard, char *out, size_t max)
{
	struct hr_topics_publisher *p = &v->publishers[shard];

	pthread_mutex_lock(&p->lock);
	snprintf(out, max, "%s", p->repair);
	pthread_mutex_unlock(&p->lock);
}

const struct hr_view_ops hr_view_topics = {
	.name = "topics",
	.start = view_start,
	.state = view_state,
	.reason = view_reason,
	.applied = view_applied,
	.settled = view_settled,
	.repair = view_repair,
	.repaired = view_repaired,
	.stop = view_stop,
};
