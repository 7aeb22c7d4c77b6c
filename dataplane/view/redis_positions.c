/* SPDX-License-Identifier: BSD-3-Clause */

/* The Redis view: how far Redis is, and whether it and the log belong together. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/redis_impl.h"
#include "dataplane/view/redis_keys.h"

/* What a position that cannot be read as a text stands as in hr_redis_shard.text. */
#define NO_TEXT "?"

void hr_redis_forget(struct hr_view *v)
{
	hr_redis_tick_drop(&v->tick);
	for (uint32_t s = 0; s < v->n_shards; s++)
		v->shards[s].taken = v->shards[s].in_redis;
}

void hr_redis_stop_shard(struct hr_view *v, uint16_t shard, const char *why)
{
	struct hr_redis_shard *s = &v->shards[shard];

	if (!s->is_stopped || strcmp(s->why, why) != 0)
		hr_error("view", "redis: %s", why);
	s->is_stopped = true;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
}

/* ---- whose ---------------------------------------------------------------------------- */

/* Nothing is known of a shard that comes or goes. */
static void forget_shard(struct hr_view *v, uint16_t shard)
{
	struct hr_redis_shard *s = &v->shards[shard];

	hr_redis_links_leave(&v->links, shard);
	hr_redis_links_done(&v->links, shard, UINT64_MAX);
	s->is_sent = s->is_checked = s->is_stopped = s->is_beyond = false;
	s->beyond_since_us = 0;
}

void hr_redis_look_at_owners(struct hr_view *v)
{
	bool has_changed = false;

	for (uint16_t s = 0; s < v->n_shards; s++) {
		bool is_ours = hr_view_owns(&v->conf, s);

		if (is_ours == v->shards[s].is_ours)
			continue;
		v->shards[s].is_ours = is_ours;
		v->n_ours += is_ours ? 1 : UINT32_MAX;
		has_changed = true;
		forget_shard(v, s);
		if (v->conf.owns != NULL)
			hr_info("view", "redis: shard %u is %s", s,
				is_ours ? "ours" : "another appliance's");
	}
	if (!has_changed)
		return;
	hr_redis_forget(v);
	v->next_audit_us = 0;
}

/* ---- latency and how far ----------------------------------------------------------- */

/* Only what came while this process ran and was not in Redis before. */
static void observe(struct hr_view *v, uint16_t shard, uint64_t n)
{
	const struct hr_link *link = hr_redis_links_kept(&v->links, shard, n);
	uint64_t now = hr_wall_us();

	if (link == NULL || link->n_events == 0 ||
	    link->oldest_received_us < v->started_wall_us)
		return;
	hr_stat_observe_many_us(
		v->latency,
		now > link->oldest_received_us ? now - link->oldest_received_us : 0,
		link->n_events);
}

static void is_in_redis(struct hr_view *v, uint16_t shard, uint64_t n)
{
	struct hr_redis_shard *s = &v->shards[shard];

	for (uint64_t i = s->newest_n + 1; i <= n; i++) {
		if (hr_redis_links_kept(&v->links, shard, i) == NULL)
			break;
		observe(v, shard, i);
	}
	if (n > s->newest_n)
		s->newest_n = n;
	hr_redis_links_done(&v->links, shard, n);
	atomic_store_explicit(&s->applied, n, memory_order_release);
	hr_stat_set(s->applied_link, n);
}

void hr_redis_arrived(struct hr_view *v, uint16_t shard)
{
	struct hr_redis_shard *s = &v->shards[shard];

	s->is_sent = false;
	s->in_redis = s->sent;
	hr_position_print(&s->sent, s->text);
	is_in_redis(v, shard, s->sent.n);
}

/* ---- reading positions --------------------------------------------------------------- */

static void stop_unreadable(struct hr_view *v, uint16_t shard, const char *expected)
{
	struct hr_redis_shard *s = &v->shards[shard];
	struct hr_err err;

	hr_fail(&err, -EPROTO,
		"shard %u: %s holds \"%s\", expected %s; if another Headrace wrote it, "
		"point redis.host at a Redis of this one's own",
		shard, s->key, s->text, expected);
	hr_redis_stop_shard(v, shard, err.text);
}

/* Its keys are being thrown away, or whoever did that died: nothing of it is read or
 * written until that has come to its end. */
static void stop_rebuilding(struct hr_view *v, uint16_t shard)
{
	struct hr_redis_shard *s = &v->shards[shard];
	struct hr_err err;

	hr_fail(&err, -EPROTO,
		"shard %u: what Redis holds of it is being thrown away (%s); if nobody "
		"does any more: headracectl --shard %u --yes view rebuild redis",
		shard, s->text, shard);
	hr_redis_stop_shard(v, shard, err.text);
}

/* The sense of a text that was read. */
static void understand(struct hr_view *v, uint16_t shard)
{
	struct hr_redis_shard *s = &v->shards[shard];
	struct hr_position *p = &s->in_redis;
	char expected[64];

	s->is_stopped = s->is_beyond = s->is_checked = false;
	s->beyond_since_us = 0;
	if (s->text[0] == '\0') {
		*p = (struct hr_position){ .generation = v->conf.set->generation };
		hr_chain_root(v->conf.set, shard, &p->hash);
		return;
	}
	if (strncmp(s->text, HR_REDIS_REBUILDING, strlen(HR_REDIS_REBUILDING)) == 0) {
		*p = (struct hr_position){ 0 };
		stop_rebuilding(v, shard);
	} else if (hr_position_parse(s->text, strlen(s->text), p) < 0) {
		*p = (struct hr_position){ 0 };
		stop_unreadable(v, shard, "the text of a position");
	} else if (p->generation != v->conf.set->generation) {
		(void)snprintf(expected, sizeof(expected), "generation %u",
			       v->conf.set->generation);
		stop_unreadable(v, shard, expected);
	} else if (p->k != 0) {
		stop_unreadable(v, shard, "k = 0: a later version wrote it");
	}
}

void hr_redis_shard_init(struct hr_view *v, uint16_t shard)
{
	struct hr_redis_shard *s = &v->shards[shard];

	(void)snprintf(s->key, sizeof(s->key), "headrace:shard:%u", shard);
	understand(v, shard);
	s->taken = s->in_redis;
}

static void read_text(const redisReply *reply, char out[HR_POSITION_TEXT])
{
	if (reply->type == REDIS_REPLY_NIL)
		out[0] = '\0';
	else if (reply->type != REDIS_REPLY_STRING || reply->len == 0 ||
		 reply->len >= HR_POSITION_TEXT || strlen(reply->str) != reply->len)
		strcpy(out, NO_TEXT);
	else
		memcpy(out, reply->str, reply->len + 1);
}

/* Returns whether it is another one than expected. */
static bool adopt(struct hr_view *v, uint16_t shard, const redisReply *reply)
{
	struct hr_redis_shard *s = &v->shards[shard];
	char text[HR_POSITION_TEXT], sent[HR_POSITION_TEXT];
	uint64_t before = s->in_redis.n;

	read_text(reply, text);
	if (HR_MUTANT(view_no_position) && s->text[0] == '\0')
		text[0] = '\0';
	if (v->is_synced && strcmp(text, s->text) == 0)
		return false;
	if (s->is_sent) {
		hr_position_print(&s->sent, sent);
		if (strcmp(text, sent) == 0) {
			/* The EXEC whose answer was lost had come to pass. */
			hr_redis_arrived(v, shard);
			return true;
		}
	}
	s->is_sent = false;
	if (strcmp(text, s->text) == 0)
		return true;
	strcpy(s->text, text);
	understand(v, shard);
	if (s->in_redis.n < before && !s->is_stopped)
		hr_warn("view",
			"redis: shard %u went back from link %" PRIu64 " to %" PRIu64
			": it is brought forward again from the log",
			shard, before, s->in_redis.n);
	is_in_redis(v, shard, s->in_redis.n);
	return true;
}

void hr_redis_put_watch(struct hr_view *v)
{
	if (v->n_ours == 0)
		return;
	hr_resp_command(&v->out, 1 + v->n_ours);
	hr_resp_word(&v->out, "WATCH");
	for (uint32_t s = 0; s < v->n_shards; s++)
		if (v->shards[s].is_ours)
			hr_resp_word(&v->out, v->shards[s].key);
}

static int read_positions(struct hr_view *v, bool *changed, struct hr_err *err)
{
	for (uint16_t s = 0; s < v->n_shards; s++) {
		redisReply *reply;
		int r;

		if (!v->shards[s].is_ours)
			continue;
		r = hr_redis_conn_reply(&v->conn, &reply, err);
		if (r < 0)
			return r;
		if (reply->type == REDIS_REPLY_ERROR &&
		    strncmp(reply->str, "WRONGTYPE", 9) != 0)
			r = hr_redis_refused(reply->str, err);
		else if (adopt(v, s, reply))
			*changed = true;
		freeReplyObject(reply);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_info(struct hr_view *v, struct hr_err *err)
{
	redisReply *reply;
	int r = hr_redis_expect(v, &reply, err);

	if (r < 0)
		return r;
	r = reply->type == REDIS_REPLY_STRING
		    ? hr_redis_info_judge(reply->str, err)
		    : hr_fail(err, -EPROTO, "INFO has no text");
	if (r == 0)
		hr_redis_info_process(reply->str, &v->process);
	freeReplyObject(reply);
	return r;
}

/* GET, one by one: MGET would say nothing of a key of another type. */
int hr_redis_sync(struct hr_view *v, struct hr_err *err)
{
	bool changed = !v->is_synced;
	int r;

	hr_resp_empty(&v->out);
	hr_resp_command(&v->out, 1);
	hr_resp_word(&v->out, "INFO");
	hr_resp_command(&v->out, 1);
	hr_resp_word(&v->out, "UNWATCH");
	hr_redis_put_watch(v);
	for (uint32_t s = 0; s < v->n_shards; s++) {
		if (!v->shards[s].is_ours)
			continue;
		hr_resp_command(&v->out, 2);
		hr_resp_word(&v->out, "GET");
		hr_resp_word(&v->out, v->shards[s].key);
	}
	r = hr_redis_conn_send(&v->conn, &v->out, err);
	if (r == 0)
		r = read_info(v, err);
	if (r == 0)
		r = hr_redis_expect_ok(v, err);
	if (r == 0 && v->n_ours > 0)
		r = hr_redis_expect_ok(v, err);
	if (r == 0)
		r = read_positions(v, &changed, err);
	if (r == 0)
		r = hr_redis_begin_file(v, err);
	if (r < 0)
		return r;
	if (changed && !HR_MUTANT(cache_kept))
		hr_redis_forget(v);
	v->is_synced = true;
	v->next_audit_us = hr_mono_us() + HR_REDIS_AUDIT_US;
	return 0;
}

/* ---- against the log ----------------------------------------------------------------- */

static void check_beyond(struct hr_view *v, uint16_t shard, uint64_t last)
{
	struct hr_redis_shard *s = &v->shards[shard];
	uint64_t now = hr_mono_us();
	struct hr_err err;

	if (s->beyond_since_us == 0 || last != s->beyond_last) {
		s->beyond_since_us = now;
		s->beyond_last = last;
		if (s->is_beyond)
			s->is_stopped = s->is_beyond = false;
	}
	/* While the chain is being read nothing is wrong, however long that takes. */
	if (!hr_feed_is_whole(v->conf.feed, shard) ||
	    now - s->beyond_since_us < HR_REDIS_BEYOND_US)
		return;
	hr_fail(&err, -EPROTO,
		"shard %u: Redis is at link %" PRIu64
		" and the log is read up to %" PRIu64
		", its end: Redis was filled from another log, or the log was cut: "
		"give it the Redis that belongs to it, or delete user:*, "
		"category:* and headrace:* here to have them filled from the log",
		shard, s->in_redis.n, last);
	s->is_beyond = true;
	hr_redis_stop_shard(v, shard, err.text);
}

static void check_shard(struct hr_view *v, uint16_t shard)
{
	struct hr_redis_shard *s = &v->shards[shard];
	uint64_t last = hr_feed_last(v->conf.feed, shard);
	struct hr_err err;

	if (last < s->in_redis.n) {
		check_beyond(v, shard, last);
		return;
	}
	if (s->is_beyond)
		s->is_stopped = s->is_beyond = false;
	/* Where the link has left memory, the next one or a replay will tell. */
	s->is_checked = true;
	if (s->in_redis.n > 0 &&
	    hr_redis_links_check(&v->links, shard, &s->in_redis, &err) < 0)
		hr_redis_stop_shard(v, shard, err.text);
}

void hr_redis_check(struct hr_view *v)
{
	for (uint16_t s = 0; s < v->n_shards; s++)
		if (v->shards[s].is_ours && !v->shards[s].is_checked &&
		    (!v->shards[s].is_stopped || v->shards[s].is_beyond))
			check_shard(v, s);
}
