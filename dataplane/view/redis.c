/* SPDX-License-Identifier: BSD-3-Clause */

/* The Redis view: its thread, and the view as others see it. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/fold/fold.h"
#include "dataplane/poison/poison.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/redis_impl.h"

#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 1000u
#define REPLAY_WAIT_MS 5u
#define OWNERS_US 50000u
#define PASSWORD_MAX 512

/* ---- told to others ----------------------------------------------------------------- */

static void tell(struct hr_view *v, enum hr_view_state state, const char *reason)
{
	pthread_mutex_lock(&v->lock);
	(void)snprintf(v->reason, sizeof(v->reason), "%s", reason);
	pthread_mutex_unlock(&v->lock);
	atomic_store_explicit(&v->state, state, memory_order_release);
	hr_stat_set(v->up, state == HR_VIEW_CATCHING_UP || state == HR_VIEW_LIVE);
}

static void tell_lag(struct hr_view *v)
{
	for (uint16_t i = 0; i < v->n_shards; i++) {
		struct hr_redis_shard *s = &v->shards[i];
		uint64_t last = hr_feed_last(v->conf.feed, i);

		hr_stat_set(s->lag_links, s->is_ours && last > s->in_redis.n
						  ? last - s->in_redis.n
						  : 0);
	}
}

/* Of a view that reaches its Redis. */
static void tell_progress(struct hr_view *v)
{
	char reason[sizeof(v->reason)] = "";
	enum hr_view_state state = HR_VIEW_LIVE;

	tell_lag(v);
	for (uint16_t i = 0; i < v->n_shards; i++) {
		const struct hr_redis_shard *s = &v->shards[i];

		if (!s->is_ours)
			continue;
		if (s->is_stopped) {
			tell(v, HR_VIEW_STOPPED, s->why);
			return;
		}
		if (s->is_checked)
			continue;
		state = HR_VIEW_CATCHING_UP;
		(void)snprintf(reason, sizeof(reason),
			       "shard %u: Redis is at link %" PRIu64
			       ", the log is folded up to %" PRIu64 " so far",
			       i, s->in_redis.n, hr_feed_last(v->conf.feed, i));
	}
	if (v->links.replay != NULL) {
		state = HR_VIEW_CATCHING_UP;
		(void)snprintf(
			reason, sizeof(reason),
			"shard %u is behind what is in memory: the log is folded "
			"again, at link %" PRIu64 " now",
			v->links.replay_shard, v->links.replay_next - 1);
	}
	if (v->log_trouble[0] != '\0') {
		state = HR_VIEW_CATCHING_UP;
		(void)snprintf(reason, sizeof(reason), "%s", v->log_trouble);
	}
	if (!v->took_all)
		state = HR_VIEW_CATCHING_UP;
	tell(v, state, reason);
}

/* ---- links into the tick --------------------------------------------------------------- */

/* After failures ticks are smaller, so that a connection that keeps breaking still
 * brings something over. */
static bool is_full(const struct hr_view *v)
{
	size_t bytes = v->conf.config->redis_tick_bytes;

	if (v->n_failures > 0)
		bytes >>= v->n_failures < 8 ? v->n_failures : 8;
	else if (v->is_behind)
		bytes *= HR_REDIS_BEHIND_TIMES;
	return v->tick.bytes >= bytes ||
	       v->tick.held_bytes >= HR_REDIS_TICK_HELD_BYTES ||
	       v->tick.n_links >= HR_REDIS_TICK_LINKS;
}

/* The log itself cannot be read now; the view goes on with its other shards. */
static void note_trouble(struct hr_view *v, const char *text)
{
	if (strcmp(v->log_trouble, text) != 0)
		hr_warn("view", "redis: %s", text);
	(void)snprintf(v->log_trouble, sizeof(v->log_trouble), "%s", text);
	hr_stat_add(v->errors, 1);
}

/* One link more of a shard. Returns 1, 0 or -ENOMEM. */
static int gather_one(struct hr_view *v, uint16_t shard, struct hr_err *err)
{
	struct hr_redis_shard *s = &v->shards[shard];
	uint32_t wait_ms = v->tick.n_links == 0 ? REPLAY_WAIT_MS : 0;
	struct hr_link *link;
	int r;

	if (!s->is_ours || s->is_stopped || !s->is_checked) {
		hr_redis_links_leave(&v->links, shard);
		return 0;
	}
	if (!hr_redis_tick_takes(&v->tick, shard, s->taken.n + 1)) {
		v->took_all &= hr_feed_last(v->conf.feed, shard) <= s->taken.n;
		return 0;
	}
	r = hr_redis_links_next(&v->links, shard, &s->taken, wait_ms, &link, err);
	/* -ENODATA: neither log nor snapshots reach back to its position. */
	if (r == -EPROTO || r == -ENODATA)
		hr_redis_stop_shard(v, shard, err->text);
	else if (r < 0 && r != -ENOMEM)
		note_trouble(v, err->text);
	if (r <= 0)
		return r == -ENOMEM ? r : 0;
	if (hr_redis_tick_add(&v->tick, link) < 0)
		return hr_fail(err, -ENOMEM, "no memory for a tick");
	v->log_trouble[0] = '\0';
	s->taken = (struct hr_position){ .generation = v->conf.set->generation,
					 .n = link->n,
					 .hash = link->hash,
					 .digest = link->out->digest };
	return 1;
}

int hr_redis_gather(struct hr_view *v, struct hr_err *err)
{
	bool is_more = true;

	v->is_behind = !v->took_all;
	v->took_all = true;
	while (is_more) {
		is_more = false;
		for (uint16_t s = 0; s < v->n_shards; s++) {
			int r;

			if (is_full(v)) {
				v->took_all = false;
				return 0;
			}
			r = gather_one(v, s, err);
			if (r < 0)
				return r;
			is_more |= r > 0;
		}
	}
	return 0;
}

/* ---- the thread --------------------------------------------------------------------- */

static bool is_all_applied(struct hr_view *v)
{
	for (uint16_t i = 0; i < v->n_shards; i++) {
		const struct hr_redis_shard *s = &v->shards[i];

		if (s->is_ours && (s->is_stopped || !s->is_checked ||
				   s->in_redis.n < hr_feed_last(v->conf.feed, i)))
			return false;
	}
	return true;
}

/* Waiting brings no shard any further: each has all there is, or is stopped. */
static bool is_over(struct hr_view *v)
{
	for (uint16_t i = 0; i < v->n_shards; i++) {
		const struct hr_redis_shard *s = &v->shards[i];

		if (s->is_ours && !s->is_stopped &&
		    (!s->is_checked || s->in_redis.n < hr_feed_last(v->conf.feed, i)))
			return false;
	}
	return true;
}

static int read_password(const char *path, char out[PASSWORD_MAX], struct hr_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return hr_fail(err, -errno, "redis.password_file %s: %s", path,
			       strerror(errno));
	n = read(fd, out, PASSWORD_MAX - 1);
	close(fd);
	if (n < 0)
		return hr_fail(err, -EIO, "redis.password_file %s cannot be read",
			       path);
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	if (out[0] == '\0')
		return hr_fail(err, -EINVAL,
			       "redis.password_file %s: found an empty first line, "
			       "expected the password",
			       path);
	return 0;
}

static int authenticate(struct hr_view *v, struct hr_err *err)
{
	const char *path = v->conf.config->redis_password_file;
	char password[PASSWORD_MAX];
	int r;

	if (path[0] == '\0')
		return 0;
	r = read_password(path, password, err);
	if (r < 0)
		return r;
	hr_resp_empty(&v->out);
	hr_resp_command(&v->out, 2);
	hr_resp_word(&v->out, "AUTH");
	hr_resp_word(&v->out, password);
	r = hr_redis_conn_send(&v->conn, &v->out, err);
	explicit_bzero(password, sizeof(password));
	if (v->out.p != NULL)
		explicit_bzero(v->out.p, v->out.n);
	return r < 0 ? r : hr_redis_expect_ok(v, err);
}

static int connect_and_sync(struct hr_view *v, struct hr_err *err)
{
	const struct hr_config *c = v->conf.config;
	int r = hr_redis_conn_open(&v->conn, c->redis_host, c->redis_port, err);

	hr_redis_look_at_owners(v);
	if (r == 0)
		r = authenticate(v, err);
	if (r == 0)
		r = hr_redis_sync(v, err);
	if (r < 0)
		return r;
	hr_info("view", "redis: connected to %s:%u", c->redis_host, c->redis_port);
	return 0;
}

static uint64_t end_us(struct hr_view *v)
{
	return atomic_load_explicit(&v->conn.end_mono_us, memory_order_acquire);
}

/* Nothing to write: look after positions each second, else wait for links. */
static void wait_for_links(struct hr_view *v)
{
	uint64_t now = hr_mono_us(), until = v->next_audit_us, end = end_us(v);

	/* Nobody wakes us when a shard becomes ours. */
	if (v->n_ours < v->n_shards && until > now + OWNERS_US)
		until = now + OWNERS_US;
	if (end < until)
		until = end;
	if (v->links.replay != NULL || now >= until)
		return;
	hr_feed_wait(v->conf.feed, &v->news_seen, (uint32_t)((until - now) / 1000 + 1));
}

static int turn(struct hr_view *v, struct hr_err *err)
{
	int r;

	hr_redis_look_at_owners(v);
	hr_redis_check(v);
	if (atomic_load_explicit(&v->drains, memory_order_acquire) && is_over(v)) {
		v->was_drained = is_all_applied(v);
		return -ECANCELED;
	}
	if (hr_mono_us() >= v->next_audit_us) {
		r = hr_redis_sync(v, err);
		if (r < 0)
			return r;
		hr_redis_check(v); /* or a shard without news would wait a second */
	}
	r = hr_redis_gather(v, err);
	if (r < 0)
		return r;
	tell_progress(v);
	if (v->tick.n_links == 0) {
		wait_for_links(v);
		return 0;
	}
	if (!is_full(v) && hr_mono_us() < v->next_tick_us) {
		hr_redis_conn_sleep(&v->conn, v->next_tick_us);
		r = hr_redis_gather(v, err);
		if (r < 0)
			return r;
	}
	r = hr_redis_know(v, err);
	v->next_tick_us = hr_mono_us() + v->conf.config->redis_tick_us;
	return r < 0 ? r : hr_redis_exchange(v, err);
}

static uint32_t backoff_ms(struct hr_view *v, int code)
{
	uint32_t ms = BACKOFF_MIN_MS << (v->n_failures < 6 ? v->n_failures : 6);

	if (ms > BACKOFF_MAX_MS || code == -ENOTSUP)
		ms = BACKOFF_MAX_MS;
	/* Jitter: half of it by the clock's last digits. */
	return ms / 2 + (uint32_t)(hr_mono_us() % (ms / 2 + 1));
}

static void recover(struct hr_view *v, int code, const struct hr_err *err)
{
	const struct hr_config *c = v->conf.config;
	struct hr_err reason;
	uint32_t ms = backoff_ms(v, code);

	hr_fail(&reason, code, "%s:%u: %s", c->redis_host, c->redis_port, err->text);
	/* The thread alone writes it: no lock to read it here. */
	if (strcmp(v->reason, reason.text) != 0)
		hr_warn("view", "redis: %s; it is tried again", reason.text);
	tell(v, code == -ENOTSUP ? HR_VIEW_STOPPED : HR_VIEW_CONNECTING, reason.text);
	tell_lag(v);
	hr_stat_add(v->errors, 1);
	v->n_failures++;
	v->is_synced = false;
	hr_redis_conn_close(&v->conn);
	hr_redis_forget(v);
	/* A view that must not write any more waits for its end. */
	hr_redis_conn_sleep(&v->conn, v->is_dead ? UINT64_MAX
						 : hr_mono_us() + (uint64_t)ms * 1000);
}

static void *run(void *arg)
{
	struct hr_view *v = arg;
	struct hr_err err;
	int r = 0;

	hr_poison_arm_thread();
	while (r != -ECANCELED && hr_mono_us() < end_us(v)) {
		err.text[0] = '\0';
		r = v->is_synced ? turn(v, &err) : connect_and_sync(v, &err);
		if (r < 0 && r != -ECANCELED)
			recover(v, r, &err);
	}
	/* Where the time was over at once nobody has looked yet. */
	v->was_drained |= v->is_synced && is_all_applied(v);
	return NULL;
}

/* ---- the view ----------------------------------------------------------------------- */

static void add_rows(struct hr_view *v)
{
	struct hr_stats *stats = v->conf.stats;

	hr_stats_next_writer(stats);
	v->latency =
		hr_stats_add_metric(stats, HR_METRIC_VIEW_LATENCY, "view=\"redis\"");
	v->up = hr_stats_add_metric(stats, HR_METRIC_VIEW_UP, "view=\"redis\"");
	v->errors = hr_stats_add_metric(stats, HR_METRIC_VIEW_ERRORS, "view=\"redis\"");
	for (uint32_t s = 0; s < v->n_shards; s++) {
		v->shards[s].applied_link =
			hr_stats_add_metric(stats, HR_METRIC_VIEW_APPLIED_LINK,
					    "view=\"redis\",shard=\"%u\"", s);
		v->shards[s].lag_links =
			hr_stats_add_metric(stats, HR_METRIC_VIEW_LAG_LINKS,
					    "view=\"redis\",shard=\"%u\"", s);
	}
}

static void view_free(struct hr_view *v)
{
	hr_redis_links_fini(&v->links);
	hr_redis_tick_fini(&v->tick);
	hr_redis_conn_fini(&v->conn);
	hr_resp_free(&v->out);
	pthread_mutex_destroy(&v->lock);
	free(v->shards);
	free(v);
}

static struct hr_view *view_new(const struct hr_view_conf *conf)
{
	const struct hr_config *c = conf->config;
	struct hr_view *v = calloc(1, sizeof(*v));
	const struct hr_redis_tick_conf tick = {
		.recent_views_max = c->recent_views_max,
		.recommendations_max = c->recommendations_max,
		.similar_cache_entries = c->similar_cache_entries,
		.similar_cache_us = (uint64_t)c->similar_cache_ms * 1000,
		.cache_bytes = HR_REDIS_CACHE_BYTES,
		.n_shards = conf->set->n_shards,
	};

	if (v == NULL)
		return NULL;
	v->conf = *conf;
	v->n_shards = conf->set->n_shards;
	v->started_wall_us = hr_wall_us();
	v->conn.wake_fd = -1;
	pthread_mutex_init(&v->lock, NULL);
	v->shards = calloc(v->n_shards, sizeof(*v->shards));
	if (v->shards == NULL || hr_redis_links_init(&v->links, &v->conf) < 0 ||
	    hr_redis_conn_init(&v->conn, HR_REDIS_TIMEOUT_MS) < 0 ||
	    hr_redis_tick_init(&v->tick, &tick) < 0) {
		view_free(v);
		return NULL;
	}
	add_rows(v);
	for (uint16_t s = 0; s < v->n_shards; s++)
		hr_redis_shard_init(v, s);
	return v;
}

static int view_start(struct hr_view **out, const struct hr_view_conf *conf,
		      struct hr_err *err)
{
	struct hr_view *v = view_new(conf);
	int r;

	if (v == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the Redis view");
	tell(v, HR_VIEW_CONNECTING, "");
	r = pthread_create(&v->thread, NULL, run, v);
	if (r != 0) {
		view_free(v);
		return hr_fail(err, -r, "the Redis view's thread: %s", strerror(r));
	}
	(void)pthread_setname_np(v->thread, "hr-view-redis");
	*out = v;
	return 0;
}

static enum hr_view_state view_state(const struct hr_view *v)
{
	return (enum hr_view_state)atomic_load_explicit(
		(_Atomic int *)(uintptr_t)&v->state, memory_order_acquire);
}

static void view_reason(const struct hr_view *v, char *out, size_t max)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&v->lock;

	pthread_mutex_lock(lock);
	(void)snprintf(out, max, "%s", v->reason);
	pthread_mutex_unlock(lock);
}

static uint64_t view_applied(const struct hr_view *v, uint16_t shard)
{
	/* Pairs with the release where the transaction's answer was taken. */
	return atomic_load_explicit(
		(_Atomic uint64_t *)(uintptr_t)&v->shards[shard].applied,
		memory_order_acquire);
}

static bool view_stop(struct hr_view *v, uint32_t drain_ms)
{
	bool was_drained;

	/* The deadline last: whoever sees it end has seen that it drains. */
	atomic_store_explicit(&v->drains, true, memory_order_release);
	hr_redis_conn_end(&v->conn, hr_mono_us() + (uint64_t)drain_ms * 1000);
	hr_feed_wake(v->conf.feed);
	pthread_join(v->thread, NULL);
	was_drained = v->was_drained;
	hr_stat_set(v->up, 0);
	view_free(v);
	return was_drained;
}

const struct hr_view_ops hr_view_redis = {
	.name = "redis",
	.start = view_start,
	.state = view_state,
	.reason = view_reason,
	.applied = view_applied,
	.stop = view_stop,
};
