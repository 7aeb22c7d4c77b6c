/* SPDX-License-Identifier: BSD-3-Clause */

/* Making all rooms, in order. Taking them down is dataplane_end.c. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "dataplane/dataplane.h"
#include "dataplane/poison/poison.h"
#include "dataplane/shard/ring.h"
#include "dataplane/stats/names.h"

#define PATH_BYTES (HR_CONFIG_TEXT + 32)
#define SEARCH_WAIT_MS 1000u

/* ---- statistics and the data set ------------------------------------------- */

static void *search(void *arg)
{
	struct hr_dataplane *d = arg;
	struct hr_search *s = &d->search;
	struct hr_err err;
	int r;

	pthread_setname_np(pthread_self(), "hr-search");
	do {
		err.text[0] = '\0';
		r = hr_data_set_find(&d->set, &d->config, true, SEARCH_WAIT_MS, &err);
		pthread_mutex_lock(&s->lock);
		if (r < 0 && strcmp(s->err.text, err.text) != 0)
			hr_warn("log", "%s", err.text);
		s->err = err;
		pthread_mutex_unlock(&s->lock);
		/* -EIO: the log is out of reach; it may come. */
	} while (r == -EIO && !atomic_load(&s->ends));
	if (r == 0)
		r = hr_dataplane_recover(d, &err);
	if (r < 0) {
		pthread_mutex_lock(&s->lock);
		s->err = err;
		pthread_mutex_unlock(&s->lock);
	}
	s->result = r;
	/* Pairs with the acquire in hr_dataplane_searched(): it sees set. */
	atomic_store_explicit(&s->is_over, true, memory_order_release);
	return NULL;
}

static void add_rows(struct hr_dataplane *d)
{
	hr_stats_next_writer(d->stats);
	d->missed_received = hr_stats_add_metric(d->stats, HR_METRIC_DATAGRAMS_RECEIVED,
						 "worker=\"ports\"");
	d->missed_dropped = hr_stats_add_metric(
		d->stats, HR_METRIC_DATAGRAMS_DROPPED, "worker=\"ports\",reason=\"%s\"",
		hr_drop_rows[HR_DROP_PORT_MISSED].label);
	d->shutdown_dropped = hr_stats_add_metric(d->stats, HR_METRIC_DATAGRAMS_DROPPED,
						  "worker=\"main\",reason=\"%s\"",
						  hr_drop_rows[HR_DROP_SHUTDOWN].label);
	d->buffers_free =
		hr_stats_add_metric(d->stats, HR_METRIC_EPOCH_BUFFERS_FREE, "%s", "");
	d->interval = hr_stats_add_metric(d->stats, HR_METRIC_EPOCH_INTERVAL, "%s", "");
	d->committer_busy =
		hr_stats_add_metric(d->stats, HR_METRIC_COMMITTER_BUSY, "%s", "");
	d->spare = hr_stats_add_metric(d->stats, HR_METRIC_MAIN_CPUS_SPARE, "%s", "");
	for (uint32_t i = 0; i < d->config.n_ports; i++) {
		char label[HR_CONFIG_TEXT];

		/* A label's text has no quotes and no backslashes. */
		snprintf(label, sizeof(label), "%s", d->config.ports[i].device);
		for (char *p = label; *p != '\0'; p++)
			if (*p == '"' || *p == '\\')
				*p = '_';
		d->port_cells[i].packets = hr_stats_add_metric(
			d->stats, HR_METRIC_PORT_PACKETS, "port=\"%s\"", label);
		d->port_cells[i].missed = hr_stats_add_metric(
			d->stats, HR_METRIC_PORT_MISSED, "port=\"%s\"", label);
		d->port_cells[i].sent = hr_stats_add_metric(
			d->stats, HR_METRIC_PORT_SENT, "port=\"%s\"", label);
		d->port_cells[i].send_failed = hr_stats_add_metric(
			d->stats, HR_METRIC_PORT_SEND_FAILED, "port=\"%s\"", label);
	}
}

/* What is known when the process begins is what it goes by. */
static void add_poison_rows(struct hr_dataplane *d)
{
	static const char *const labels[HR_DEATH_KINDS] = {
		[HR_DEATH_LINK] = "link",
		[HR_DEATH_DATAGRAM] = "datagram",
	};
	const struct hr_deaths *list = hr_poison_deaths();

	for (uint32_t kind = HR_DEATH_LINK; kind < HR_DEATH_KINDS; kind++) {
		uint32_t n_barred = 0;

		for (uint32_t i = 0; i < list->n[kind]; i++)
			n_barred += hr_death_is_barred(&list->rows[kind][i]);
		hr_stat_set(hr_stats_add_metric(d->stats, HR_METRIC_POISON_RECORDS,
						"what=\"%s\",deaths=\"once\"",
						labels[kind]),
			    list->n[kind] - n_barred);
		hr_stat_set(hr_stats_add_metric(d->stats, HR_METRIC_POISON_RECORDS,
						"what=\"%s\",deaths=\"twice\"",
						labels[kind]),
			    n_barred);
	}
	hr_stat_set(hr_stats_add_metric(d->stats, HR_METRIC_POISON_FORGOTTEN, "%s", ""),
		    list->forgotten);
}

int hr_dataplane_begin(struct hr_dataplane *d, struct hr_err *err)
{
	char path[PATH_BYTES];
	int r;

	snprintf(path, sizeof(path), "%s/" HR_CONTROL_STATS, d->config.run_dir);
	r = hr_stats_create(&d->stats, path, err);
	if (r < 0)
		return r;
	add_rows(d);
	add_poison_rows(d);
	r = hr_stats_publish(d->stats, err);
	if (r == 0)
		r = hr_stats_open_own(&d->reader, d->stats);
	if (r < 0)
		return r;
	pthread_mutex_init(&d->search.lock, NULL);
	r = -pthread_create(&d->search.thread, NULL, search, d);
	if (r < 0)
		return hr_fail(err, r, "no thread to look for the data set");
	d->search.is_started = true;
	return 0;
}

int hr_dataplane_searched(struct hr_dataplane *d, struct hr_err *err)
{
	struct hr_search *s = &d->search;

	/* Pairs with the release in search(). */
	if (!atomic_load_explicit(&s->is_over, memory_order_acquire))
		return 0;
	pthread_join(s->thread, NULL);
	s->is_started = false;
	if (s->result < 0) {
		*err = s->err;
		return s->result;
	}
	return 1;
}

/* ---- rings, intakes, workers ------------------------------------------------- */

static int make_rings(struct hr_dataplane *d, uint32_t n_epochs, struct hr_err *err)
{
	const uint32_t n = d->config.n_workers;
	bool ok = true;

	ok &= hr_bell_init(&d->closed_bell) == 0;
	for (uint32_t w = 0; w < n; w++) {
		ok &= hr_bell_init(&d->accepted_bell[w]) == 0;
		ok &= (d->closed[w] = hr_ring_new(n_epochs)) != NULL;
		ok &= (d->accepted[w] = hr_ring_new(HR_OWNER_WINDOW)) != NULL;
		ok &= (d->folded[w] = hr_ring_new(HR_OWNER_WINDOW)) != NULL;
		for (uint32_t to = 0; to < n; to++)
			if (to != w)
				ok &= (d->handover[w][to] =
					       hr_ring_new(HR_HANDOVER_SLOTS)) != NULL;
	}
	return ok ? 0 : hr_fail(err, -ENOMEM, "no memory for the workers' rings");
}

static int make_keys(struct hr_dataplane *d, struct hr_err *err)
{
	static struct hr_write_key keys[HR_KEYS_MAX];
	int n = 0;
	int r;

	if (d->config.keys_file[0] != '\0') {
		n = hr_keys_read(keys, HR_KEYS_MAX, d->config.keys_file, err);
		if (n < 0)
			return n;
	}
	r = hr_keyring_new(&d->keys, keys, (uint32_t)n, err);
	explicit_bzero(keys, sizeof(keys));
	for (uint32_t i = 0; i < d->config.n_udp_ports; i++)
		hr_net_ports_add(&d->udp_ports, d->config.udp_ports[i]);
	return r;
}

static int start_owner(struct hr_dataplane *d, struct hr_err *err)
{
	struct hr_owner_conf conf = {
		.config = &d->config,
		.set = &d->set,
		.pool = d->pool,
		.feed = d->feed,
		.stats = d->stats,
		.n_workers = d->config.n_workers,
		.newest = hr_dataplane_newest,
		.newest_ctx = d,
		.viewed = hr_dataplane_viewed,
		.viewed_ctx = d,
	};

	memcpy(conf.worker_of_shard, d->worker_of_shard, sizeof(conf.worker_of_shard));
	for (uint32_t s = 0; s < d->set.n_shards; s++)
		conf.starts[s] = hr_dataplane_begins(d, (uint16_t)s);
	memcpy(conf.closed, d->closed, sizeof(conf.closed));
	memcpy(conf.accepted, d->accepted, sizeof(conf.accepted));
	memcpy(conf.folded, d->folded, sizeof(conf.folded));
	conf.closed_bell = &d->closed_bell;
	for (uint32_t w = 0; w < d->config.n_workers; w++)
		conf.accepted_bell[w] = &d->accepted_bell[w];
	return hr_owner_start(&d->owner, &conf, err);
}

/* The streams of a shard that acknowledges. */
static int make_seat(struct hr_dataplane *d, struct hr_worker_shard *shard,
		     struct hr_err *err)
{
	struct hr_streams_conf conf = {
		.intake = shard->intake,
		.fold = shard->fold,
		.shard = shard->shard,
		.max_streams = d->config.stream_max,
		.seed = hr_load64(d->set.hash_key),
	};

	if (d->seats == NULL)
		return 0;
	shard->seat = &d->seats[shard->shard];
	shard->seat->fold = shard->fold;
	/* For what a stream waits for, whatever else uses up the budget. */
	shard->intake->reserve = 1;
	return hr_streams_new(&shard->seat->streams, &conf, err);
}

/* The committer writes what a worker reads: intakes come after the owner. */
static int make_shards(struct hr_dataplane *d, struct hr_worker *w, struct hr_err *err)
{
	const uint32_t n = d->set.n_shards;

	w->shards = calloc(n, sizeof(*w->shards));
	if (w->shards == NULL)
		return hr_fail(err, -ENOMEM, "no memory for worker %u", w->id);
	for (uint32_t s = w->id; s < n; s += d->config.n_workers) {
		struct hr_worker_shard *shard = &w->shards[w->n_shards++];
		int r;

		shard->shard = (uint16_t)s;
		shard->intake = &d->intakes[s];
		*shard->intake = (struct hr_intake){
			.pool = d->pool,
			.closed_ring = d->closed[w->id],
			.closed_us = &w->closed_us,
			.view = hr_owner_shard(d->owner, (uint16_t)s),
			.shard = (uint16_t)s,
			.max_events = d->config.epoch_max_events,
		};
		shard->fold = hr_dataplane_take_fold(d, (uint16_t)s);
		r = shard->fold != NULL
			    ? 0
			    : hr_fold_new(&shard->fold, &d->set, (uint16_t)s,
					  d->config.stream_max);
		if (r < 0)
			return hr_fail(err, r,
				       "no memory for shard %u's %u streams: lower "
				       "streams.max",
				       s, d->config.stream_max);
		if (hr_fold_n(shard->fold) > 0)
			hr_worker_obey_chain(shard);
		w->by_shard[s] = shard;
		r = make_seat(d, shard, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_worker(struct hr_dataplane *d, uint32_t id, struct hr_err *err)
{
	struct hr_worker *w = &d->workers[id];
	struct hr_receive_conf conf = {
		.worker = id,
		.n_workers = d->config.n_workers,
		.worker_of_shard = d->worker_of_shard,
		.rules = { .keys = d->keys,
			   .generation = d->set.generation,
			   .n_shards = (uint16_t)d->set.n_shards,
			   .insecure = d->config.insecure },
		.udp_ports = &d->udp_ports,
		.barred = hr_poison_datagrams(),
		.intakes = d->intakes,
		.seats = d->seats,
		.max_age_us = d->config.stream_max_age_us,
		.stats = d->stats,
	};
	int r = 0;

	if (d->seats != NULL && d->config.cluster_secret_file[0] != '\0')
		r = hr_secret_read(conf.secret, d->config.cluster_secret_file, err);
	if (r < 0)
		return r;
	conf.n_queues = hr_ports_queues(d->ports, id, conf.queues, HR_QUEUES_MAX);
	for (uint32_t other = 0; other < d->config.n_workers; other++) {
		conf.from[other] = d->handover[other][id];
		conf.to[other] = d->handover[id][other];
	}
	w->id = id;
	w->polls_busy = d->config.poll_busy;
	w->has_company = d->config.n_workers > 1;
	w->accepted = d->accepted[id];
	w->folded = d->folded[id];
	w->accepted_bell = &d->accepted_bell[id];
	w->closed_bell = &d->closed_bell;
	atomic_store(&w->min_interval_us, d->min_interval_us);
	r = make_shards(d, w, err);
	if (r == 0)
		r = hr_receive_new(&w->receive, &conf, err);
	if (r == 0)
		hr_worker_add_rows(w, d->stats);
	return r;
}

static int make_workers(struct hr_dataplane *d, struct hr_err *err)
{
	size_t bytes = d->config.n_workers * sizeof(*d->workers);

	d->min_interval_us = d->config.epoch_min_interval_us;
	d->workers = aligned_alloc(_Alignof(struct hr_worker), bytes);
	if (d->workers == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the workers");
	memset(d->workers, 0, bytes);
	for (uint32_t w = 0; w < d->config.n_workers; w++) {
		int r = make_worker(d, w, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- who goes first ----------------------------------------------------------- */

/*
 * On a CPU that they share, the log goes before the views: an acknowledgement waits for
 * the one and never for the others. Threads inherit the nice value of the thread that
 * makes them, librdkafka's too, so each room is started from a thread that has it.
 * Without the permission to go below 0 the log stays there.
 */
#define LOG_NICE (-10)
#define VIEW_NICE 10

struct start {
	int nice;
	int (*call)(struct hr_dataplane *d, struct hr_err *err);
	struct hr_dataplane *dataplane;
	struct hr_err *err;
	int result;
};

static void *start_here(void *arg)
{
	struct start *s = arg;

	(void)setpriority(PRIO_PROCESS, 0, s->nice); /* of this thread alone */
	s->result = s->call(s->dataplane, s->err);
	return NULL;
}

static int start_with_nice(struct hr_dataplane *d, int nice,
			   int (*call)(struct hr_dataplane *d, struct hr_err *err),
			   struct hr_err *err)
{
	struct start s = { nice, call, d, err, 0 };
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, start_here, &s);

	if (r < 0)
		return hr_fail(err, r, "no thread to start a room from");
	pthread_join(thread, NULL);
	return s.result;
}

/* ---- views ----------------------------------------------------------------------- */

bool hr_dataplane_owns(const void *ctx, uint16_t shard)
{
	const struct hr_owner *owner = ctx;

	return atomic_load_explicit(
		&((struct hr_shard_view *)(uintptr_t)hr_owner_shard(owner, shard))
			 ->is_ours,
		memory_order_acquire);
}

static int start_view(struct hr_dataplane *d, const struct hr_view_ops *ops,
		      struct hr_err *err)
{
	const struct hr_view_conf conf = {
		.config = &d->config,
		.set = &d->set,
		.feed = d->feed,
		.stats = d->stats,
		.owns = hr_dataplane_owns,
		.owner = d->owner,
	};
	int r = ops->start(&d->views[d->n_views].view, &conf, err);

	if (r < 0)
		return hr_fail_in(err, r, ops->name);
	d->views[d->n_views++].ops = ops;
	return 0;
}

static int start_views(struct hr_dataplane *d, struct hr_err *err)
{
	int r = 0;

	if (d->config.redis_enabled)
		r = start_view(d, &hr_view_redis, err);
	if (r == 0 && d->config.topics_enabled)
		r = start_view(d, &hr_view_topics, err);
	return r;
}

/* ---- the whole -------------------------------------------------------------------- */

static int make_memory(struct hr_dataplane *d, struct hr_err *err)
{
	const uint32_t n = d->config.n_shards; /* as the data set must have */
	uint32_t per_shard =
		(uint32_t)(d->config.epoch_budget_bytes / HR_RECORD_MAX / n);
	int r;

	if (per_shard < HR_EPOCHS_MIN)
		return hr_fail(
			err, -EINVAL,
			"epoch.budget: found %llu bytes, expected at least %u "
			"buffers of %u bytes for each of %u shards: write %u MiB "
			"or more",
			(unsigned long long)d->config.epoch_budget_bytes, HR_EPOCHS_MIN,
			HR_RECORD_MAX, n,
			n * HR_EPOCHS_MIN * HR_RECORD_MAX / (1u << 20) + 1);
	for (uint32_t s = 0; s < n; s++)
		d->worker_of_shard[s] = (uint8_t)(s % d->config.n_workers);
	d->intakes = calloc(n, sizeof(*d->intakes));
	if (d->config.handshake)
		d->seats = aligned_alloc(64, n * sizeof(*d->seats));
	if (d->intakes == NULL || (d->config.handshake && d->seats == NULL))
		return hr_fail(err, -ENOMEM, "no memory for %u shards", n);
	if (d->seats != NULL)
		memset(d->seats, 0, n * sizeof(*d->seats));
	r = hr_epoch_pool_new(&d->pool, n, per_shard, err);
	if (r == 0)
		r = make_rings(d, n * per_shard, err);
	if (r < 0)
		return r;
	r = hr_feed_new(&d->feed, n, d->config.log_keep_memory_bytes);
	return r < 0 ? hr_fail(err, r, "no memory for folded links") : 0;
}

static int launch(struct hr_dataplane *d, struct hr_err *err)
{
	for (uint32_t w = 0; w < d->config.n_workers; w++) {
		int r = rte_eal_remote_launch(hr_worker_run, &d->workers[w], w + 1);

		if (r < 0)
			return hr_fail(err, r, "worker %u cannot be started on CPU %u",
				       w, d->config.worker_cpus[w]);
		d->has_workers = true;
	}
	return 0;
}

int hr_dataplane_prepare(struct hr_dataplane *d, struct hr_err *err)
{
	int r = make_keys(d, err);

	if (r == 0)
		r = hr_eal_start(&d->config, "headrace-dataplane", err);
	if (r < 0)
		return r;
	d->has_eal = true;
	return make_memory(d, err);
}

int hr_dataplane_start(struct hr_dataplane *d, struct hr_err *err)
{
	int r;

	hr_dataplane_begin_feed(d);
	if ((r = hr_ports_open(&d->ports, &d->config, err)) < 0 ||
	    (r = start_with_nice(d, LOG_NICE, start_owner, err)) < 0 ||
	    (r = make_workers(d, err)) < 0 ||
	    (r = start_with_nice(d, VIEW_NICE, start_views, err)) < 0 ||
	    (r = start_with_nice(d, VIEW_NICE, hr_dataplane_start_snapshots, err)) <
		    0 ||
	    (r = hr_ports_start(d->ports, err)) < 0)
		return r;
	r = launch(d, err);
	if (r == 0)
		d->state = HR_STATE_RUNNING;
	return r;
}
