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
#include <sys/random.h>
#include <unistd.h>

#include <rte_ring.h>

#include "common/bell.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owner_impl.h"
#include "dataplane/poison/poison.h"
#include "dataplane/view/feed.h"

#define BURST 64u

/*
 * How long a wait lasts. The log's threads end it at once (wake_fd), and a worker does
 * that has closed an epoch and is idle. A busy one does not call the kernel, so its
 * rings are looked at when the wait is over: often while epochs come, seldom when
 * nothing has happened for a while.
 */
#define HOT_FOR_US 20000u
#define HOT_WAIT_US 200u
#define WARM_FOR_US 1000000u
#define WARM_WAIT_US 1000u
#define IDLE_WAIT_US 5000u
/* Error callbacks, and whatever a wake-up may have missed. */
#define SLOW_US 50000u

static void wake(struct hr_owner *o)
{
	static const uint64_t one = 1;

	/* Full means that a wake-up is pending. */
	if (write(o->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static bool was_woken(struct hr_owner *o)
{
	uint64_t n;

	return read(o->wake_fd, &n, sizeof(n)) == sizeof(n) ||
	       read(o->common.ops->wake_fd(o->log), &n, sizeof(n)) == sizeof(n);
}

static struct hr_now time_now(void)
{
	return (struct hr_now){ hr_mono_us(), hr_wall_us() };
}

/* ---- what a shard asks for ------------------------------------------------------ */

static uint8_t worker_of(const struct hr_owner *o, const struct hr_owned *s)
{
	return o->conf.worker_of_shard[s->shard];
}

static bool draw_random(void *ctx, void *out, size_t n)
{
	(void)ctx;
	return getrandom(out, n, 0) == (ssize_t)n;
}

static void tell(void *ctx, enum hr_log_level level, const char *line)
{
	(void)ctx;
	hr_log_line(level, "log", "%s", line);
}

static void said(void *ctx, const struct hr_owned *s)
{
	struct hr_owner *o = ctx;
	struct hr_owner_words *words = &o->words[s->shard];
	const bool is_followed = s->phase == HR_PHASE_FENCED;

	pthread_mutex_lock(&words->lock);
	memcpy(words->reason, s->reason, sizeof(words->reason));
	memcpy(words->addresses, s->addresses, sizeof(words->addresses));
	words->seen.owner = is_followed ? s->followed.owner : s->chain.owner;
	words->seen.incarnation = s->followed.incarnation;
	words->seen.n = s->followed.n;
	words->seen.offset = is_followed ? s->followed.next_offset : s->next_offset;
	words->seen.fold_version =
		is_followed || s->chain.n == 0 ? 0 : s->config.fold_version;
	pthread_mutex_unlock(&words->lock);
}

static uint64_t viewed(void *ctx, const struct hr_owned *s)
{
	const struct hr_owner *o = ctx;

	return o->conf.viewed == NULL ? UINT64_MAX
				      : o->conf.viewed(o->conf.viewed_ctx, s->shard);
}

static int keep(void *ctx, const struct hr_owned *s, bool is_ours, struct hr_err *err)
{
	struct hr_owner *o = ctx;

	return hr_holdings_keep(&o->holdings, s->shard, is_ours, err);
}

static void put_epoch(void *ctx, struct hr_epoch *epoch)
{
	struct hr_owner *o = ctx;

	hr_epoch_put(o->conf.pool, epoch);
}

static bool has_room(void *ctx, const struct hr_owned *s)
{
	const struct hr_owner *o = ctx;
	uint8_t worker = worker_of(o, s);

	return o->out_links[worker] == 0 ||
	       (o->out_links[worker] < o->window[worker] &&
		o->out_bytes[worker] < HR_OWNER_WINDOW_BYTES);
}

static void hand_out(void *ctx, struct hr_owned *s, struct hr_link *link)
{
	struct hr_owner *o = ctx;
	uint8_t worker = worker_of(o, s);
	int r;

	o->out_links[worker]++;
	o->out_bytes[worker] += link->held_bytes;
	r = rte_ring_enqueue(o->conf.accepted[worker], link);
	assert(r == 0); /* it cannot be full: see window_of() */
	(void)r;
	if (o->conf.accepted_bell[worker] != NULL)
		hr_bell_ring(o->conf.accepted_bell[worker]);
}

static struct hr_link *kept(void *ctx, const struct hr_owned *s, uint64_t n)
{
	struct hr_owner *o = ctx;
	struct hr_link *link;

	return hr_feed_get(o->conf.feed, s->shard, n, &link) == 1 ? link : NULL;
}

static uint64_t first_kept(void *ctx, const struct hr_owned *s)
{
	struct hr_owner *o = ctx;

	return hr_feed_first(o->conf.feed, s->shard);
}

/* The fold that came back in its place. */
static void release_fold(struct hr_link *told)
{
	if (told->fold != NULL)
		hr_fold_free(told->fold);
}

static bool forget(void *ctx, struct hr_owned *s)
{
	struct hr_owner *o = ctx;
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, s->shard);

	if (told == NULL)
		return false;
	told->release = release_fold;
	if (hr_fold_new(&told->fold, &o->set, s->shard, o->conf.config->stream_max) <
	    0) {
		told->fold = NULL;
		hr_link_put(told);
		return false;
	}
	hr_feed_restart(o->conf.feed, s->shard, 0);
	hr_owned_hand_out(s, told);
	return true;
}

/* ---- a snapshot, while the process runs ------------------------------------------ */

static void *look_for_snapshot(void *arg)
{
	struct hr_owner_restore *job = arg;
	const struct hr_owner_conf *conf = &job->owner->conf;

	pthread_setname_np(pthread_self(), "hr-restore");
	job->result = conf->newest(conf->newest_ctx, job->shard, job->beyond_n,
				   &job->ends, &job->fold, job->start, &job->err);
	atomic_store_explicit(&job->is_over, true, memory_order_release);
	return NULL;
}

static enum hr_restore restore_begin(struct hr_owner *o, uint16_t shard,
				     uint64_t beyond_n, struct hr_err *err)
{
	struct hr_owner_restore *job = &o->restore;

	job->owner = o;
	job->shard = shard;
	job->beyond_n = beyond_n;
	job->fold = NULL;
	atomic_store(&job->ends, false);
	atomic_store(&job->is_over, false);
	job->start = calloc(1, sizeof(*job->start));
	if (job->start != NULL &&
	    pthread_create(&job->thread, NULL, look_for_snapshot, job) == 0) {
		job->is_running = true;
		return HR_RESTORE_LOOKING;
	}
	free(job->start);
	job->start = NULL;
	hr_fail(err, -ENOMEM, "no memory to look for a snapshot");
	return HR_RESTORE_FAILED;
}

static void restore_join(struct hr_owner_restore *job)
{
	pthread_join(job->thread, NULL);
	job->is_running = false;
}

/* What it found is not wanted (any more). */
static void restore_drop(struct hr_owner_restore *job)
{
	if (job->fold != NULL)
		hr_fold_free(job->fold);
	free(job->start);
	job->fold = NULL;
	job->start = NULL;
}

/* The shard that wanted it was stopped meanwhile. */
static void restore_tidy(struct hr_owner *o)
{
	struct hr_owner_restore *job = &o->restore;

	if (!job->is_running || o->shards[job->shard].phase == HR_PHASE_RESTORING ||
	    !atomic_load_explicit(&job->is_over, memory_order_acquire))
		return;
	restore_join(job);
	restore_drop(job);
}

static void restore_end(struct hr_owner *o)
{
	if (!o->restore.is_running)
		return;
	atomic_store(&o->restore.ends, true);
	restore_join(&o->restore);
	restore_drop(&o->restore);
}

static bool take_state(struct hr_owner *o, struct hr_owned *s)
{
	struct hr_owner_restore *job = &o->restore;
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, s->shard);

	if (told == NULL)
		return false;
	told->release = release_fold;
	told->fold = job->fold;
	job->fold = NULL;
	free(o->restored[s->shard]); /* the shard begins behind another one now */
	o->restored[s->shard] = job->start;
	job->start = NULL;
	hr_feed_restart(o->conf.feed, s->shard, o->restored[s->shard]->chain.n);
	hr_owned_hand_out(s, told);
	return true;
}

static enum hr_restore restore(void *ctx, struct hr_owned *s, uint64_t beyond_n,
			       const struct hr_log_start **start, struct hr_err *err)
{
	struct hr_owner *o = ctx;
	struct hr_owner_restore *job = &o->restore;
	enum hr_restore found;

	if (o->conf.newest == NULL)
		return HR_RESTORE_NOTHING;
	if (!job->is_running)
		return restore_begin(o, s->shard, beyond_n, err);
	/* Pairs with the release in look_for_snapshot(). */
	if (job->shard != s->shard ||
	    !atomic_load_explicit(&job->is_over, memory_order_acquire))
		return HR_RESTORE_LOOKING;
	restore_join(job);
	found = job->result < 0    ? HR_RESTORE_FAILED
		: job->result == 0 ? HR_RESTORE_NOTHING
				   : HR_RESTORED;
	if (found == HR_RESTORE_FAILED)
		*err = job->err;
	if (found == HR_RESTORED && !take_state(o, s)) {
		hr_fail(err, -ENOMEM, "no memory to go on from a snapshot");
		found = HR_RESTORE_FAILED;
	}
	restore_drop(job);
	*start = o->restored[s->shard];
	return found;
}

static bool bars(void *ctx, const struct hr_owned *s, uint64_t n,
		 const struct hr_id128 *hash, struct hr_err *err)
{
	const struct hr_owner *o = ctx;

	return hr_poison_bars_link(&o->set, s->shard, n, hash, err);
}

static void cloned(void *ctx, const char *text)
{
	struct hr_owner *o = ctx;

	for (uint32_t i = 0; i < o->n_shards; i++)
		hr_owned_stop(&o->shards[i], "%s", text);
}

/* ---- rings ---------------------------------------------------------------------- */

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
			hr_owned_back(&o->shards[link->shard], link);
			if (link->kind == HR_TOLD_LINK)
				hr_feed_put(o->conf.feed, link);
			else
				hr_link_put(link);
		}
		taken += n;
	}
	return taken;
}

/* Nothing is out at the worker: what was read is in the feed. */
static void tell_feed(struct hr_owner *o)
{
	for (uint32_t i = 0; i < o->n_shards; i++) {
		const struct hr_owned *s = &o->shards[i];

		if (o->out_links[worker_of(o, s)] == 0)
			hr_feed_read_to(o->conf.feed, s->shard, s->next_offset,
					s->caught_up);
	}
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

/* ---- what other threads ask ------------------------------------------------------ */

static int obey(struct hr_owner *o, enum hr_owner_command command, struct hr_owned *s,
		struct hr_err *err)
{
	switch (command) {
	case HR_OWNER_TAKE:
		return hr_owned_claim(s, err);
	case HR_OWNER_ACCEPT_LOSS:
		return hr_owned_accept_loss(s, err);
	case HR_OWNER_CONFIG_COMMIT:
		for (uint32_t i = 0; i < o->n_shards; i++)
			hr_owned_config_commit(&o->shards[i]);
		return 0;
	case HR_OWNER_CLOCK_ACCEPT: {
		const struct hr_now now = time_now();

		for (uint32_t i = 0; i < o->n_shards; i++)
			hr_owned_clock_accept(&o->shards[i], &now);
		return 0;
	}
	default:
		return 0;
	}
}

static void obey_asked(struct hr_owner *o)
{
	struct hr_owner_ask *ask = &o->ask;

	pthread_mutex_lock(&ask->lock);
	if (ask->command != HR_OWNER_NOTHING) {
		ask->err.text[0] = '\0';
		ask->result = obey(o, ask->command, &o->shards[ask->shard], &ask->err);
		ask->command = HR_OWNER_NOTHING;
		ask->n_done++;
		pthread_cond_broadcast(&ask->news);
	}
	pthread_mutex_unlock(&ask->lock);
}

static void slow_work(struct hr_owner *o, uint64_t now_us)
{
	uint64_t reading, appending;

	if (now_us < o->next_slow_us)
		return;
	o->next_slow_us = now_us + SLOW_US;
	o->must_poll = true;
	obey_asked(o);
	restore_tidy(o);
	o->common.ops->errors(o->log, &reading, &appending);
	hr_stat_set(o->consumer_errors, reading);
	hr_stat_set(o->producer_errors, appending);
}

/*
 * What there is to read of all shards. Each pass begins with the next shard: where one
 * with a long history uses up its worker's window, the others of that worker would see
 * nothing of their own, and take their appends for lost. At the end only what was taken
 * and is not in the log yet is waited for.
 */
static unsigned int read_shards(struct hr_owner *o, bool stops)
{
	const struct hr_now now = time_now();
	unsigned int busy = 0;

	o->first_to_read = (o->first_to_read + 1) % o->n_shards;
	for (uint32_t i = 0; i < o->n_shards; i++) {
		struct hr_owned *s = &o->shards[(o->first_to_read + i) % o->n_shards];

		if (!stops || !hr_owned_is_drained(s))
			busy += hr_owned_read(s, &now);
	}
	return busy;
}

/* ---- asking ------------------------------------------------------------------ */

static void end_asking(struct hr_owner *o)
{
	pthread_mutex_lock(&o->ask.lock);
	o->ask.is_over = true;
	pthread_cond_broadcast(&o->ask.news);
	pthread_mutex_unlock(&o->ask.lock);
}

/* One command at a time; the committer never waits long for anything. */
static int ask(struct hr_owner *o, enum hr_owner_command command, uint16_t shard,
	       struct hr_err *err)
{
	struct hr_owner_ask *ask = &o->ask;
	uint64_t mine;
	int r;

	if (shard >= o->n_shards)
		return hr_fail(err, -EINVAL, "shard %u: the data set has %u, from 0 on",
			       shard, o->n_shards);
	pthread_mutex_lock(&ask->lock);
	while (ask->command != HR_OWNER_NOTHING && !ask->is_over)
		pthread_cond_wait(&ask->news, &ask->lock);
	ask->command = command;
	ask->shard = shard;
	mine = ask->n_done + 1;
	wake(o);
	while (ask->n_done < mine && !ask->is_over)
		pthread_cond_wait(&ask->news, &ask->lock);
	r = ask->n_done < mine ? hr_fail(err, -ESHUTDOWN, "the owner has ended")
			       : ask->result;
	if (r < 0 && err != NULL && ask->n_done >= mine)
		*err = ask->err;
	pthread_mutex_unlock(&ask->lock);
	return r;
}

int hr_owner_take(struct hr_owner *o, uint16_t shard, struct hr_err *err)
{
	return ask(o, HR_OWNER_TAKE, shard, err);
}

int hr_owner_config_commit(struct hr_owner *o, struct hr_err *err)
{
	return ask(o, HR_OWNER_CONFIG_COMMIT, 0, err);
}

int hr_owner_clock_accept(struct hr_owner *o, struct hr_err *err)
{
	return ask(o, HR_OWNER_CLOCK_ACCEPT, 0, err);
}

int hr_owner_accept_loss(struct hr_owner *o, uint16_t shard, struct hr_err *err)
{
	return ask(o, HR_OWNER_ACCEPT_LOSS, shard, err);
}

/* One look at everything; returns how much there was to do. */
static unsigned int pass(struct hr_owner *o, bool stops)
{
	unsigned int busy = take_folded(o);
	struct hr_now now;
	/* Messages may wait without a wake-up where a worker had no room. */
	bool reads = o->must_poll || busy > 0;

	busy += take_closed(o);
	if (o->must_poll)
		o->common.ops->poll(o->log);
	if (reads)
		busy += read_shards(o, stops);
	now = time_now();
	for (uint32_t i = 0; i < o->n_shards; i++)
		hr_owned_step(&o->shards[i], &now);
	return busy;
}

static void wait_for_work(struct hr_owner *o, uint64_t now_us)
{
	struct hr_bell *bell = o->conf.closed_bell;
	struct pollfd fds[] = {
		{ .fd = o->wake_fd, .events = POLLIN },
		{ .fd = o->common.ops->wake_fd(o->log), .events = POLLIN },
		{ .fd = bell != NULL ? bell->fd : -1, .events = POLLIN },
	};
	uint32_t us = now_us < o->hot_until_us    ? HOT_WAIT_US
		      : now_us < o->warm_until_us ? WARM_WAIT_US
						  : IDLE_WAIT_US;
	const struct timespec wait = { .tv_nsec = us * 1000l };

	if (bell != NULL)
		hr_bell_await(bell);
	(void)ppoll(fds, 3, &wait, NULL);
	if (bell != NULL)
		(void)hr_bell_awoke(bell);
}

static uint64_t end(struct hr_owner *o)
{
	uint64_t tentative = 0;

	restore_end(o);
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
		busy = pass(o, stops);
		tell_feed(o);
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
	end_asking(o);
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

static hr_cell *row_of_shard(struct hr_owner *o, enum hr_metric metric, uint32_t shard)
{
	return o->conf.stats == NULL ? o->no_cells
				     : hr_stats_add_metric(o->conf.stats, metric,
							   "shard=\"%u\"", shard);
}

/* The rows of all shards together; every shard's cells begin as a copy. */
static void add_rows(struct hr_owner *o, struct hr_owned_cells *cells)
{
	struct hr_stats *stats = o->conf.stats;

	cells->append_seconds = cells->latency_seconds = cells->dropped_fenced =
		cells->dropped_stopped = o->consumer_errors = o->producer_errors =
			o->no_cells;
	if (stats == NULL)
		return;
	hr_stats_next_writer(stats);
	cells->append_seconds =
		hr_stats_add_metric(stats, HR_METRIC_LOG_APPEND, "%s", "");
	cells->latency_seconds =
		hr_stats_add_metric(stats, HR_METRIC_ACCEPT_LATENCY, "%s", "");
	o->consumer_errors = hr_stats_add_metric(stats, HR_METRIC_KAFKA_ERRORS,
						 "client=\"log consumer\"");
	o->producer_errors = hr_stats_add_metric(stats, HR_METRIC_KAFKA_ERRORS,
						 "client=\"log producers\"");
	cells->dropped_fenced = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
						    "worker=\"log\",reason=\"fenced\"");
	cells->dropped_stopped =
		hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_DROPPED,
				    "worker=\"log\",reason=\"stopped\"");
}

static void add_rows_of_shard(struct hr_owner *o, struct hr_owned_cells *c,
			      uint32_t shard)
{
	c->epochs_accepted = row_of_shard(o, HR_METRIC_EPOCHS_ACCEPTED, shard);
	c->datagrams_logged = row_of_shard(o, HR_METRIC_DATAGRAMS_LOGGED, shard);
	c->log_link = row_of_shard(o, HR_METRIC_LOG_LINK, shard);
	c->log_bytes = row_of_shard(o, HR_METRIC_LOG_BYTES, shard);
	c->incarnation = row_of_shard(o, HR_METRIC_LOG_INCARNATION, shard);
	c->recoveries = row_of_shard(o, HR_METRIC_LOG_RECOVERIES, shard);
	c->ready = row_of_shard(o, HR_METRIC_SHARD_READY, shard);
}

static void chain_config_from(struct hr_chain_config *out, const struct hr_config *c)
{
	memset(out, 0, sizeof(*out));
	out->fold_version = HR_FOLD_VERSION;
	out->setting[HR_CHAIN_MAX_EVENTS] = c->epoch_max_events;
	out->setting[HR_CHAIN_MAX_STREAMS] = c->stream_max;
	out->setting[HR_CHAIN_STREAM_MAX_AGE_US] = c->stream_max_age_us;
	out->setting[HR_CHAIN_KEY_STREAMS] = c->stream_max_per_key;
	out->setting[HR_CHAIN_TTL_MEMORY_US] = c->stream_ttl_memory_us;
	out->setting[HR_CHAIN_TTL_DISK_US] = c->stream_ttl_disk_us;
	out->setting[HR_CHAIN_DEDUP_WINDOW_US] = c->dedup_window_us;
	out->setting[HR_CHAIN_DEDUP_MAX] = c->dedup_max;
}

static int open_log(struct hr_owner *o, struct hr_err *err)
{
	const struct hr_log_conf conf = { o->conf.config, &o->set, "log consumer" };

	o->common.ops = hr_log_ops_of(o->conf.config);
	return o->common.ops->open(&o->log, &conf, err);
}

/* What a worker may have: what both its rings hold, if they are small; and some of that
 * is kept for what is told beside links. */
static uint32_t window_of(const struct hr_owner_conf *conf, uint32_t worker)
{
	uint32_t accepted = rte_ring_get_capacity(conf->accepted[worker]);
	uint32_t folded = rte_ring_get_capacity(conf->folded[worker]);
	uint32_t window = accepted < folded ? accepted : folded;

	window -= window / 4;
	return window < HR_OWNER_WINDOW ? window : HR_OWNER_WINDOW;
}

void hr_owner_free(struct hr_owner *o)
{
	if (o == NULL)
		return;
	for (uint32_t i = 0; i < o->n_shards; i++)
		hr_owned_fini(&o->shards[i]);
	free(o->shards);
	for (uint32_t i = 0; i < HR_SHARDS_MAX; i++)
		free(o->restored[i]);
	for (uint32_t i = 0; o->words != NULL && i < o->set.n_shards; i++)
		pthread_mutex_destroy(&o->words[i].lock);
	free(o->words);
	/* Messages in the feed's links outlive it. */
	if (o->log != NULL)
		o->common.ops->close(o->log);
	if (o->wake_fd >= 0)
		close(o->wake_fd);
	pthread_cond_destroy(&o->ask.news);
	pthread_mutex_destroy(&o->ask.lock);
	free(o);
}

static int words_init(struct hr_owner *o)
{
	o->words = calloc(o->set.n_shards, sizeof(*o->words));
	if (o->words == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < o->set.n_shards; i++)
		pthread_mutex_init(&o->words[i].lock, NULL);
	return 0;
}

/* Epochs of a shard that may wait at once: its worker's ring holds the whole pool. */
static uint32_t most_waiting(const struct hr_owner_conf *conf)
{
	uint32_t most = 0;

	for (uint32_t w = 0; w < conf->n_workers; w++)
		if (rte_ring_get_capacity(conf->closed[w]) > most)
			most = rte_ring_get_capacity(conf->closed[w]);
	return most;
}

static void common_init(struct hr_owner *o)
{
	o->common.log = o->log;
	o->common.set = &o->set;
	o->common.clock = &o->clock;
	o->common.max_waiting = most_waiting(&o->conf);
	o->common.addresses = o->conf.config->advertise;
	chain_config_from(&o->common.file, o->conf.config);
	o->common.hooks = (struct hr_owned_hooks){
		.ctx = o,
		.random = draw_random,
		.tell = tell,
		.said = said,
		.put_epoch = put_epoch,
		.has_room = has_room,
		.hand_out = hand_out,
		.kept = kept,
		.first_kept = first_kept,
		.forget = forget,
		.cloned = cloned,
		.keep = keep,
		.restore = restore,
		.viewed = viewed,
		.bars = bars,
	};
	for (uint32_t i = 0; i < o->set.n_shards; i++)
		o->others[i] = !hr_holdings_has(&o->holdings, (uint16_t)i);
	o->common.others = o->others;
}

static int shards_init(struct hr_owner *o, struct hr_err *err)
{
	size_t bytes = o->set.n_shards * sizeof(*o->shards);
	struct hr_owned_cells cells;
	int r = 0;

	o->shards = aligned_alloc(_Alignof(struct hr_owned), bytes);
	if (o->shards == NULL || words_init(o) < 0)
		return hr_fail(err, -ENOMEM, "no memory for %u shards",
			       o->set.n_shards);
	memset(o->shards, 0, bytes);
	common_init(o);
	add_rows(o, &cells);
	for (uint32_t i = 0; i < o->set.n_shards && r == 0; i++) {
		add_rows_of_shard(o, &cells, i);
		r = hr_owned_init(&o->shards[i], &o->common, (uint16_t)i,
				  o->conf.starts[i], &cells, err);
		o->n_shards++;
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
	pthread_mutex_init(&o->ask.lock, NULL);
	pthread_cond_init(&o->ask.news, NULL);
	o->conf = *conf;
	o->set = *conf->set;
	for (uint32_t w = 0; w < conf->n_workers; w++)
		o->window[w] = window_of(conf, w);
	o->must_poll = true;
	o->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r = o->wake_fd >= 0 ? open_log(o, err)
			    : hr_fail(err, -ENOMEM, "no memory for the log's owner");
	if (r == 0)
		r = hr_holdings_read(&o->holdings, conf->config, conf->set, err);
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
	struct hr_owner_words *words = &o->words[shard];

	pthread_mutex_lock(&words->lock);
	snprintf(out, max, "%s", words->reason);
	pthread_mutex_unlock(&words->lock);
}

void hr_owner_addresses(const struct hr_owner *o, uint16_t shard,
			char out[HR_ADDRESSES_MAX + 1])
{
	struct hr_owner_words *words = &o->words[shard];

	pthread_mutex_lock(&words->lock);
	memcpy(out, words->addresses, sizeof(words->addresses));
	pthread_mutex_unlock(&words->lock);
}

void hr_owner_see(const struct hr_owner *o, uint16_t shard, struct hr_owner_seen *out)
{
	struct hr_owner_words *words = &o->words[shard];

	pthread_mutex_lock(&words->lock);
	*out = words->seen;
	pthread_mutex_unlock(&words->lock);
}

uint64_t hr_owner_stop(struct hr_owner *o, uint32_t drain_ms)
{
	o->stop_at_us = hr_mono_us() + (uint64_t)drain_ms * 1000;
	/* Pairs with the acquire in run(). */
	atomic_store_explicit(&o->stops, true, memory_order_release);
	wake(o);
	pthread_join(o->thread, NULL);
	return o->tentative_items;
}
