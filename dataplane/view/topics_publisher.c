/* SPDX-License-Identifier: BSD-3-Clause */

/* A publisher's thread: links in order, each once, and when they are written. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/poison/poison.h"
#include "dataplane/view/topics_impl.h"

#define IDLE_MS 200u /* a look at the feed even if nobody woke us */
#define REPLAY_MS 100u
#define ALARM_US 1000000u
/* Beginning in vain: before that is told, and between two lines about it. */
#define VAIN_US 5000000u
#define SAY_US 30000000u
#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 2000u
#define AWAY_US 50000u /* between two looks at whose the shard is */
/* Fenced and still the owner: if it goes on, we hold for ever longer. */
#define FENCE_MIN_MS 200u
#define FENCE_MAX_MS 60000u
#define FENCE_FORGET_US 300000000u
#define FENCE_FOLD_US 10000000u
#define FOLD_POLL_MS 20u
/* Without event records only the position is written, and nothing waits for it. */
#define BARE_INTERVAL_US 1000000u
/* Batches of all publishers together. */
#define BATCHES_MAX_BYTES (256ull << 20)
#define BATCH_MIN_BYTES (1ull << 20)
/* A transaction that takes longer than its time-out is written in vain: what a batch
 * may hold is halved when one takes long, and doubled when one does not. */
#define BATCH_FLOOR_BYTES (128ull << 10)
#define CYCLE_LONG_US 2000000u
#define CYCLE_SHORT_US 500000u
#define BATCH_MAX_LINKS 65536u
/* How often it is looked whether what was committed is there. No marker is on its way for
 * that long. */
#define LOOK_US 1000000u

/* ---- making ----------------------------------------------------------------------- */

static uint64_t batch_max(const struct hr_view *v)
{
	uint64_t share = BATCHES_MAX_BYTES / v->set.n_shards;
	uint64_t max = v->config->topics_batch_bytes;

	if (share < BATCH_MIN_BYTES)
		share = BATCH_MIN_BYTES;
	return max < share ? max : share;
}

static uint64_t least_interval(const struct hr_view *v)
{
	uint64_t us = v->config->topics_interval_us;

	return v->writes_events || us > BARE_INTERVAL_US ? us : BARE_INTERVAL_US;
}

int hr_topics_publisher_init(struct hr_topics_publisher *p, struct hr_view *view,
			     uint16_t shard, struct hr_err *err)
{
	pthread_condattr_t attr;

	p->view = view;
	hr_topics_shape_of(&p->shape, view->config, &view->set, shard);
	p->batch_max_bytes = batch_max(view);
	p->batch_bytes = p->batch_max_bytes;
	p->interval_us = least_interval(view);
	p->backoff_ms = BACKOFF_MIN_MS;
	p->fence_backoff_ms = FENCE_MIN_MS;
	atomic_init(&p->state, HR_VIEW_CONNECTING);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	p->position_text = malloc(hr_topics_position_max(&p->shape));
	if (p->position_text != NULL &&
	    hr_topics_batch_init(&p->batch, &p->shape) == 0 &&
	    hr_topics_ends_init(&p->ends, &p->shape) == 0 &&
	    hr_topics_ends_init(&p->fresh, &p->shape) == 0)
		return 0;
	hr_topics_publisher_fini(p);
	return hr_fail(err, -ENOMEM, "no memory for the topics publisher of shard %u",
		       shard);
}

void hr_topics_publisher_fini(struct hr_topics_publisher *p)
{
	if (p->left != NULL)
		rd_kafka_topic_partition_list_destroy(p->left);
	hr_replay_close(p->replay);
	hr_topics_batch_fini(&p->batch);
	hr_topics_ends_fini(&p->ends);
	hr_topics_ends_fini(&p->fresh);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		free(p->lag[t]);
	free(p->position_text);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
}

/* ---- state and waiting ---------------------------------------------------------------- */

void hr_topics_tell(struct hr_topics_publisher *p, enum hr_view_state state,
		    const char *reason)
{
	pthread_mutex_lock(&p->lock);
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	pthread_mutex_unlock(&p->lock);
	atomic_store_explicit(&p->state, state, memory_order_release);
}

/* Nothing of this shard is written any more. */
static void stop_by_name(struct hr_topics_publisher *p, const struct hr_err *err)
{
	hr_error("view", "topics: stopped: %s", err->text);
	hr_topics_disconnect(p);
	hr_replay_close(p->replay);
	p->replay = NULL;
	hr_topics_tell(p, HR_VIEW_STOPPED, err->text);
}

void hr_topics_publisher_wake(struct hr_topics_publisher *p)
{
	pthread_mutex_lock(&p->lock);
	p->is_woken = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static bool has_news(const struct hr_topics_publisher *p)
{
	return hr_feed_last(p->view->conf.feed, p->shape.shard) > p->at.n;
}

/* Until then, until somebody wakes us, or, where that is waited for, until the feed
 * has more than was taken. */
static void wait_until(struct hr_topics_publisher *p, uint64_t until_us, bool for_news)
{
	struct timespec t = { .tv_sec = (time_t)(until_us / 1000000),
			      .tv_nsec = (long)(until_us % 1000000) * 1000 };

	pthread_mutex_lock(&p->lock);
	/* The view's thread looks at the feed and then at this, we the other way round
	 * (feed and this are sequentially consistent): one sees the other. */
	atomic_store_explicit(&p->is_idle, for_news, memory_order_seq_cst);
	while (!p->is_woken && !hr_topics_stops(p->view) &&
	       !(for_news && has_news(p)) &&
	       pthread_cond_timedwait(&p->wake, &p->lock, &t) == 0)
		;
	p->is_woken = false;
	atomic_store_explicit(&p->is_idle, false, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
}

/* Sleeps through wakes; ends early only when the view stops. */
static void sleep_ms(struct hr_topics_publisher *p, uint32_t ms)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)ms * 1000;

	while (hr_mono_us() < until_us && !hr_topics_must_end(p))
		wait_until(p,
			   until_us < hr_mono_us() + AWAY_US ? until_us
							     : hr_mono_us() + AWAY_US,
			   false);
}

static void count_error(struct hr_topics_publisher *p)
{
	atomic_fetch_add_explicit(&p->errors, 1, memory_order_relaxed);
}

static void lag_tell(struct hr_topics_publisher *p)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0;
		     p->lag[t] != NULL && i < hr_topics_own(&p->shape, t); i++)
			hr_stat_set(p->lag[t][i], p->batch.counts[t][i]);
}

/* ---- fenced ---------------------------------------------------------------------------- */

/* The chain as it is now, to its end, or until it shows a new owner. */
static void read_chain(struct hr_topics_publisher *p)
{
	uint64_t until_us = hr_mono_us() + FENCE_FOLD_US;
	int64_t end = -1;

	while (!hr_topics_must_end(p) && hr_mono_us() < until_us) {
		if (end < 0)
			end = hr_topics_log_end(p);
		if (hr_topics_is_folded(p, end))
			return;
		sleep_ms(p, FOLD_POLL_MS);
	}
}

/*
 * Another publisher of this shard began. The chain says whose the shard is: a new owner
 * fences there before its publisher does here. So it is read to its end first, and only
 * if the shard is still ours its place is taken back. (Without that two appliances
 * fenced each other's publishers for six to nine seconds, and longer.) If a fence comes
 * all the same it was a transaction that timed out, or somebody who is no owner, and each
 * time we wait longer.
 */
static void sit_out_fence(struct hr_topics_publisher *p)
{
	uint64_t now_us = hr_mono_us();
	char text[160];

	p->was_fenced = false;
	read_chain(p);
	if (hr_topics_must_end(p))
		return;
	if (p->fenced_us != 0 && now_us - p->fenced_us > FENCE_FORGET_US)
		p->fence_backoff_ms = FENCE_MIN_MS;
	p->fenced_us = now_us;
	snprintf(text, sizeof(text),
		 "shard %u: another publisher of this data set began although the "
		 "shard is ours (or a transaction timed out); trying again in %u ms",
		 p->shape.shard, p->fence_backoff_ms);
	hr_warn("view", "topics: %s", text);
	hr_topics_tell(p, HR_VIEW_CONNECTING, text);
	/* A jitter of up to a half; the clock's low digits are random enough. */
	sleep_ms(p,
		 p->fence_backoff_ms + (uint32_t)(now_us % (p->fence_backoff_ms / 2)));
	if (p->fence_backoff_ms < FENCE_MAX_MS)
		p->fence_backoff_ms *= 2;
}

/* The shard is another's: whatever is open is the next publisher's init to end. */
static void step_down(struct hr_topics_publisher *p)
{
	if (p->producer != NULL)
		hr_info("view", "topics: shard %u is another appliance's now",
			p->shape.shard);
	hr_topics_disconnect(p);
	hr_replay_close(p->replay);
	p->replay = NULL;
	hr_topics_batch_clear(&p->batch);
	lag_tell(p);
	p->was_fenced = false;
	p->backoff_ms = BACKOFF_MIN_MS;
	p->fence_backoff_ms = FENCE_MIN_MS;
	hr_topics_tell(p, HR_VIEW_LIVE, "");
	atomic_store_explicit(&p->is_away, true, memory_order_release);
}

static void come_back(struct hr_topics_publisher *p)
{
	hr_topics_tell(p, HR_VIEW_CONNECTING, "");
	atomic_store_explicit(&p->is_away, false, memory_order_release);
}

/* ---- links ------------------------------------------------------------------------------- */

static bool digest_fits(const struct hr_topics_publisher *p, const struct hr_link *link)
{
	return p->at.n == 0 || link->out == NULL ||
	       hr_id128_equals(&link->out->digest, &p->at.digest);
}

/* link is the one that the position names. */
static int check_here(struct hr_topics_publisher *p, const struct hr_link *link,
		      struct hr_err *err)
{
	if (!hr_id128_equals(&link->hash, &p->at.hash))
		return hr_fail(err, -EBADMSG,
			       "shard %u: the topics stand at link %" PRIu64
			       " of another chain: its hash is not the log's; use the "
			       "log they were written from, or another "
			       "kafka.topic_prefix",
			       p->shape.shard, p->at.n);
	if (!digest_fits(p, link))
		return hr_fail(
			err, -EBADMSG,
			"shard %u: at link %" PRIu64
			" this program folds to another digest than the one that "
			"wrote the topics: use the program that wrote them",
			p->shape.shard, p->at.n);
	p->is_checked = true;
	return 0;
}

/* link is the one behind the position. */
static int check_next(struct hr_topics_publisher *p, const struct hr_link *link,
		      struct hr_err *err)
{
	if (hr_id128_equals(&link->prev_hash, &p->at.hash))
		return 0;
	return hr_fail(
		err, -EBADMSG,
		"shard %u: link %" PRIu64 " of the log does not follow link %" PRIu64
		" that the topics stand at: they hold another chain; use the log "
		"they were written from, or another kafka.topic_prefix",
		p->shape.shard, link->n, p->at.n);
}

/* The position's own link, if it is in memory. */
static int check_position(struct hr_topics_publisher *p, struct hr_err *err)
{
	struct hr_link *link;
	int r;

	if (p->at.n == 0)
		p->is_checked = true;
	if (p->is_checked ||
	    hr_feed_get(p->view->conf.feed, p->shape.shard, p->at.n, &link) != 1)
		return 0;
	r = check_here(p, link, err);
	hr_link_put(link);
	return r;
}

/* Behind what is in memory: the log is folded again. 1, 0 (not yet) or an error. */
static int next_of_replay(struct hr_topics_publisher *p, struct hr_link **out,
			  struct hr_err *err)
{
	struct hr_view *v = p->view;
	int r = 0;

	if (p->replay == NULL) {
		hr_info("view",
			"topics: shard %u: link %" PRIu64 " has left memory, folding "
			"the log again",
			p->shape.shard, p->at.n + 1);
		r = hr_replay_open(&p->replay, v->config, &v->set, p->shape.shard,
				   p->at.n, err);
		if (r == -EIO)
			return -EAGAIN; /* snapshots cannot be read: see step() */
	}
	while (r == 0 && !hr_topics_must_end(p)) {
		struct hr_link *link;

		r = hr_replay_next(p->replay, REPLAY_MS, &link, err);
		if (r <= 0)
			return r;
		if (link->n == p->at.n + 1) {
			*out = link;
			return 1;
		}
		r = link->n == p->at.n ? check_here(p, link, err) : 0;
		/* The position went back: begin anew. */
		if (link->n > p->at.n) {
			hr_replay_close(p->replay);
			p->replay = NULL;
			hr_link_put(link);
			return r;
		}
		hr_link_put(link);
	}
	return r;
}

/* The position is ahead of what is folded: at a start that passes; else alarm. */
static int look_ahead(struct hr_topics_publisher *p, struct hr_err *err)
{
	uint64_t last = hr_feed_last(p->view->conf.feed, p->shape.shard);
	uint64_t now_us = hr_mono_us();

	if (last >= p->at.n)
		return 0;
	hr_fail(err, -EAGAIN,
		"shard %u: the topics stand at link %" PRIu64
		", the log has been folded up to link %" PRIu64,
		p->shape.shard, p->at.n, last);
	hr_topics_tell(p, HR_VIEW_CATCHING_UP, err->text);
	if (now_us < p->next_alarm_us)
		return 0;
	p->next_alarm_us = now_us + ALARM_US;
	if (!hr_topics_is_folded(p, hr_topics_log_end(p)) ||
	    hr_feed_last(p->view->conf.feed, p->shape.shard) >= p->at.n)
		return 0;
	return hr_fail(err, -ENODATA,
		       "shard %u: the topics stand at link %" PRIu64
		       ", beyond the log, which ends at link %" PRIu64
		       ": the log was truncated or is another one; use the log they "
		       "were written from, or another kafka.topic_prefix",
		       p->shape.shard, p->at.n, last);
}

/*
 * `encoding: none` writes nothing but its position: what has left memory meanwhile
 * needs no folding again, the newest link says as much. (On a machine at its limit
 * five publishers that replayed cost as much CPU as all the rest.)
 */
static bool may_jump(const struct hr_topics_publisher *p)
{
	if (HR_MUTANT(gap_ignored))
		return true;
	return !p->view->writes_events && p->is_checked;
}

static int newest_link(struct hr_topics_publisher *p, struct hr_link **out)
{
	struct hr_feed *feed = p->view->conf.feed;
	const uint16_t shard = p->shape.shard;

	return hr_feed_get(feed, shard, hr_feed_last(feed, shard), out);
}

/* The link behind p->at: 1, 0 when there is none yet, or an error. */
static int next_link(struct hr_topics_publisher *p, struct hr_link **out,
		     struct hr_err *err)
{
	int r = hr_feed_get(p->view->conf.feed, p->shape.shard, p->at.n + 1, out);

	/* Of a shard without news the newest has left too, and may be so for long. */
	if (r == -ENODATA && may_jump(p) && newest_link(p, out) == 1)
		return 1;
	if (r == -ENODATA) {
		if (atomic_load_explicit(&p->state, memory_order_relaxed) !=
		    HR_VIEW_CATCHING_UP)
			hr_topics_tell(p, HR_VIEW_CATCHING_UP, "");
		return next_of_replay(p, out, err);
	}
	hr_replay_close(p->replay);
	p->replay = NULL;
	return r == 0 ? look_ahead(p, err) : r;
}

static bool is_full(const struct hr_topics_publisher *p)
{
	return p->batch.sent_bytes >= p->batch_bytes ||
	       p->batch.n_links >= BATCH_MAX_LINKS;
}

static int take_one(struct hr_topics_publisher *p, const struct hr_link *link,
		    struct hr_err *err)
{
	bool jumps = may_jump(p) && link->n > p->at.n + 1;
	int r = jumps ? 0 : check_next(p, link, err);

	if (r < 0)
		return r;
	r = hr_topics_batch_add(&p->batch, link);
	if (r < 0)
		return hr_fail(err, r,
			       "shard %u: no memory for the records of link "
			       "%" PRIu64,
			       p->shape.shard, link->n);
	p->at.n = link->n;
	p->at.hash = link->hash;
	p->at.digest = link->out->digest;
	p->is_checked = true;
	return 0;
}

/* Render what there is, until the batch is full. */
static int take(struct hr_topics_publisher *p, struct hr_err *err)
{
	uint32_t before = p->batch.n_links;
	int r = check_position(p, err);

	while (r == 0 && !is_full(p)) {
		struct hr_link *link;

		r = next_link(p, &link, err);
		if (r <= 0)
			break;
		r = take_one(p, link, err);
		hr_link_put(link);
	}
	atomic_store_explicit(&p->taken, p->at.n, memory_order_relaxed);
	if (p->batch.n_links != before)
		lag_tell(p);
	return r;
}

/* ---- transactions ---------------------------------------------------------------------- */

static void observe_latencies(struct hr_topics_publisher *p)
{
	struct hr_view *v = p->view;
	uint64_t now_us = hr_wall_us();

	pthread_mutex_lock(&v->lock); /* the row has one writer at a time */
	for (uint32_t i = 0; i < p->batch.n_received; i++) {
		const struct hr_topics_received *r = &p->batch.received[i];

		hr_stat_observe_many_us(v->latency, now_us > r->us ? now_us - r->us : 0,
					r->n_events);
	}
	pthread_mutex_unlock(&v->lock);
}

static void batch_adapt(struct hr_topics_publisher *p, uint64_t cycle_us)
{
	if (cycle_us > CYCLE_LONG_US && p->batch_bytes > BATCH_FLOOR_BYTES)
		p->batch_bytes /= 2;
	else if (cycle_us < CYCLE_SHORT_US && p->batch_bytes < p->batch_max_bytes)
		p->batch_bytes *= 2;
	if (p->batch_bytes > p->batch_max_bytes)
		p->batch_bytes = p->batch_max_bytes;
}

static void committed(struct hr_topics_publisher *p, uint64_t cycle_us)
{
	uint64_t began_us = hr_mono_us() - cycle_us, gap_us;

	hr_debug("view",
		 "topics: shard %u: %u links, %" PRIu64 " bytes in %" PRIu64 " us",
		 p->shape.shard, p->batch.n_links, p->batch.sent_bytes, cycle_us);

	/* One that was very long says nothing of the next: the process stood still, or the
	 * brokers did. */
	if (cycle_us > CYCLE_LONG_US)
		cycle_us = CYCLE_LONG_US;
	p->mean_cycle_us = p->mean_cycle_us == 0
				   ? cycle_us
				   : (7 * p->mean_cycle_us + cycle_us) / 8;
	gap_us = 4 * p->mean_cycle_us;
	p->next_begin_us =
		began_us + (gap_us > p->interval_us ? gap_us : p->interval_us);
	p->backoff_ms = BACKOFF_MIN_MS;
	atomic_store_explicit(&p->applied, p->at.n, memory_order_release);
	observe_latencies(p);
	hr_topics_batch_clear(&p->batch);
	lag_tell(p);
}

/* Everything in the batch is for the next producer's position to decide. */
static void give_up_producer(struct hr_topics_publisher *p)
{
	count_error(p);
	hr_topics_disconnect(p);
	hr_topics_batch_clear(&p->batch);
	lag_tell(p);
}

static void back_off(struct hr_topics_publisher *p, const struct hr_err *err)
{
	hr_topics_tell(p, HR_VIEW_CONNECTING, err->text);
	if (p->was_fenced) {
		sit_out_fence(p);
		return;
	}
	sleep_ms(p, p->backoff_ms);
	if (p->backoff_ms < BACKOFF_MAX_MS)
		p->backoff_ms *= 2;
}

/* A process that stood still may not have seen that the shard was another's for a while,
 * whose positions decided what of log and snapshots is still there: the topics may stand
 * further than `at`. Only what is still wrong behind a fresh position is. */
static bool is_doubtful(struct hr_topics_publisher *p)
{
	if (p->doubted_n == p->at.n + 1)
		return false;
	p->doubted_n = p->at.n + 1;
	return true;
}

/* No reader has seen what is written again here: nobody has to be asked. */
static void mend(struct hr_topics_publisher *p)
{
	char said[HR_TOPICS_REASON] = "";
	struct hr_err err = { "" };
	int r = hr_topics_repair(p, said, &err);

	hr_topics_tell_repair(p, "");
	if (r == 0)
		hr_warn("view", "topics: shard %u: what lacked its commit marker: %s",
			p->shape.shard, said);
	else if (r == -EAGAIN || r == -EIO || (r != -ECANCELED && is_doubtful(p)))
		back_off(p, &err); /* somebody else may have done it meanwhile */
	else if (r != -ECANCELED)
		stop_by_name(p, &err);
}

/* The reasons are told by status while they last; a log that says nothing of minutes in
 * which a shard is not published helps nobody. */
static void say_in_vain(struct hr_topics_publisher *p, const struct hr_err *err)
{
	const uint64_t now_us = hr_mono_us();

	if (p->say_us == 0)
		p->say_us = now_us + VAIN_US;
	if (now_us < p->say_us)
		return;
	p->say_us = now_us + SAY_US;
	hr_warn("view", "topics: %s; beginning again", err->text);
}

static void connect_once(struct hr_topics_publisher *p)
{
	struct hr_err err = { "" };
	int r = hr_topics_connect(p, &err);

	if (r == 0) {
		p->say_us = 0;
		p->is_checked = false;
		p->mean_cycle_us = 0;
		p->next_begin_us = 0;
		if (p->batch_bytes > BATCH_MIN_BYTES)
			p->batch_bytes = BATCH_MIN_BYTES;
		atomic_store_explicit(&p->applied, p->at.n, memory_order_release);
		hr_topics_look_begin(p);
		p->look_us = hr_mono_us() + LOOK_US;
		atomic_store_explicit(&p->taken, p->at.n, memory_order_relaxed);
		hr_topics_tell(p, HR_VIEW_CATCHING_UP, "");
		hr_info("view", "topics: shard %u: publishing from link %" PRIu64,
			p->shape.shard, p->at.n + 1);
	} else if (r == -EAGAIN) {
		count_error(p);
		say_in_vain(p, &err);
		back_off(p, &err);
	} else if (r == -ENOENT) {
		mend(p);
	} else if (r != -ECANCELED) {
		stop_by_name(p, &err);
	}
}

static void transact(struct hr_topics_publisher *p)
{
	uint64_t began_us = hr_mono_us(), cycle_us;
	struct hr_err err = { "" };
	int r = hr_topics_transact(p, &err);

	cycle_us = hr_mono_us() - began_us;
	if (r == 0 || cycle_us > CYCLE_LONG_US)
		batch_adapt(p, cycle_us);
	if (r == 0) {
		committed(p, cycle_us);
		if (atomic_load_explicit(&p->state, memory_order_relaxed) ==
		    HR_VIEW_CONNECTING)
			hr_topics_tell(p, HR_VIEW_CATCHING_UP, "");
	} else if (r == -ENODATA) {
		stop_by_name(p, &err);
	} else if (!hr_topics_must_end(p)) {
		hr_warn("view", "topics: %s; reading the position again", err.text);
		give_up_producer(p);
		back_off(p, &err);
	}
}

/* Everything the feed has is written, or on its way in a batch that is not full. */
static void perhaps_live(struct hr_topics_publisher *p)
{
	uint64_t last = hr_feed_last(p->view->conf.feed, p->shape.shard);

	if (p->replay == NULL && last != 0 && p->at.n >= last && p->is_checked &&
	    atomic_load_explicit(&p->state, memory_order_relaxed) ==
		    HR_VIEW_CATCHING_UP)
		hr_topics_tell(p, HR_VIEW_LIVE, "");
}

static bool is_settled(const struct hr_topics_publisher *p)
{
	return atomic_load_explicit(&p->settled, memory_order_relaxed) ==
	       atomic_load_explicit(&p->applied, memory_order_relaxed);
}

/* Between two transactions: a commit of which the brokers left out a marker holds readers
 * up (topics_hidden.c, topics_leftovers.c), and may be lost with an abort. Log and
 * snapshots stay as far as this has not been looked at. */
static void look_back(struct hr_topics_publisher *p)
{
	const bool is_stuck = hr_topics_look(p);

	p->look_us = hr_mono_us() + LOOK_US;
	if (is_stuck)
		give_up_producer(p);
}

static void step(struct hr_topics_publisher *p)
{
	struct hr_err err = { "" };
	uint64_t now_us;
	int r = take(p, &err);
	/* Both pass: what is in the batch is written, and the rest is tried again. */
	const bool waits = r == -ENOMEM || r == -EAGAIN;

	if (r < 0 && !waits && is_doubtful(p)) {
		hr_warn("view", "topics: %s; reading the position again", err.text);
		give_up_producer(p);
		hr_replay_close(p->replay);
		p->replay = NULL;
		return;
	}
	if (r < 0 && !waits) {
		stop_by_name(p, &err);
		return;
	}
	now_us = hr_mono_us();
	if (now_us >= p->look_us && !is_settled(p)) {
		look_back(p);
		return; /* that took its time: is the shard ours still? */
	}
	if (p->batch.n_links == 0) {
		if (waits) {
			hr_topics_tell(p, HR_VIEW_CATCHING_UP, err.text);
			sleep_ms(p, IDLE_MS);
		} else {
			perhaps_live(p);
			wait_until(p, now_us + (uint64_t)IDLE_MS * 1000, true);
		}
	} else if (now_us >= p->next_begin_us || is_full(p) || waits ||
		   atomic_load_explicit(&p->view->drains, memory_order_relaxed)) {
		perhaps_live(p);
		transact(p);
	} else {
		wait_until(p, p->next_begin_us, true);
	}
}

void hr_topics_tell_repair(struct hr_topics_publisher *p, const char *text)
{
	pthread_mutex_lock(&p->lock);
	snprintf(p->repair, sizeof(p->repair), "%s", text);
	pthread_mutex_unlock(&p->lock);
}

/* What was asked for by a person: done, or the publisher stands as it stood. */
static void repair(struct hr_topics_publisher *p)
{
	char said[HR_TOPICS_REASON] = "";
	struct hr_err err = { "" };
	int r;

	hr_info("view", "topics: shard %u: repairing", p->shape.shard);
	r = hr_topics_repair(p, said, &err);
	if (r == 0) {
		hr_warn("view", "topics: shard %u: repaired: %s", p->shape.shard, said);
		atomic_store_explicit(&p->is_cut, false, memory_order_release);
		hr_topics_tell(p, HR_VIEW_CONNECTING, "");
	} else {
		hr_warn("view", "topics: not repaired: %s", err.text);
		snprintf(said, sizeof(said), "failed: %.380s", err.text);
		hr_topics_tell(p, HR_VIEW_STOPPED, err.text);
	}
	hr_topics_tell_repair(p, said);
}

static bool is_stopped(const struct hr_topics_publisher *p)
{
	return atomic_load_explicit(&p->state, memory_order_relaxed) == HR_VIEW_STOPPED;
}

void *hr_topics_publish(void *publisher)
{
	struct hr_topics_publisher *p = publisher;
	struct hr_view *v = p->view;

	hr_poison_arm_thread();
	while (!hr_topics_stops(v)) {
		bool is_away = atomic_load_explicit(&p->is_away, memory_order_relaxed);

		bool is_ours = hr_view_owns(&v->conf, p->shape.shard);

		if (!is_ours && !is_away)
			step_down(p);
		else if (!is_ours)
			wait_until(p, hr_mono_us() + AWAY_US, false);
		else if (is_away)
			come_back(p);
		else if (is_stopped(p) &&
			 atomic_exchange_explicit(&p->must_repair, false,
						  memory_order_acq_rel))
			repair(p);
		else if (!atomic_load_explicit(&v->topics_are_there,
					       memory_order_acquire) ||
			 is_stopped(p))
			wait_until(p, hr_mono_us() + (uint64_t)IDLE_MS * 1000, false);
		else if (p->producer == NULL)
			connect_once(p);
		else
			step(p);
	}
	hr_topics_disconnect(p);
	return NULL;
}
