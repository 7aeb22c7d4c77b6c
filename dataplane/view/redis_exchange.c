/* SPDX-License-Identifier: BSD-3-Clause */

/* The Redis view: what goes over the wire in a tick. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/log.h"
#include "dataplane/view/redis_impl.h"
#include "dataplane/view/redis_info.h"

#define EARLY_BYTES 32768u

int hr_redis_expect(struct hr_view *v, redisReply **out, struct hr_err *err)
{
	int r = hr_redis_conn_reply(&v->conn, out, err);

	if (r < 0 || (*out)->type != REDIS_REPLY_ERROR)
		return r;
	r = hr_redis_refused((*out)->str, err);
	freeReplyObject(*out);
	return r;
}

int hr_redis_expect_ok(struct hr_view *v, struct hr_err *err)
{
	redisReply *reply;
	int r = hr_redis_expect(v, &reply, err);

	if (r == 0)
		freeReplyObject(reply);
	return r;
}

/* ---- reads --------------------------------------------------------------------------- */

static int take_answers(struct hr_view *v, uint32_t n, struct hr_err *err)
{
	uint64_t now = hr_mono_us();

	for (uint32_t i = 0; i < n; i++) {
		redisReply *reply;
		struct hr_err words;
		int r = hr_redis_conn_reply(&v->conn, &reply, err);

		if (r < 0)
			return r;
		r = hr_redis_tick_answer(&v->tick, i, reply, now, &words);
		freeReplyObject(reply);
		if (r == -EAGAIN)
			return hr_redis_refused(words.text, err);
		if (r < 0)
			return hr_fail(err, r, "no memory for what Redis answered");
	}
	return 0;
}

static int ask(struct hr_view *v, struct hr_err *err)
{
	int n = hr_redis_tick_ask(&v->tick, &v->out, hr_mono_us());

	return n < 0 ? hr_fail(err, n, "no memory for a tick") : n;
}

int hr_redis_know(struct hr_view *v, struct hr_err *err)
{
	for (;;) {
		int n, r;

		hr_resp_empty(&v->out);
		n = ask(v, err);
		if (n <= 0)
			return n;
		r = hr_redis_conn_send(&v->conn, &v->out, err);
		if (r == 0)
			r = take_answers(v, (uint32_t)n, err);
		if (r < 0)
			return r;
	}
}

/* ---- the transaction ------------------------------------------------------------------ */

/* Where the commands of one transaction stand, counted from MULTI. */
struct sent {
	uint32_t first_damage, first_position, exec;
};

static void put_positions(struct hr_view *v)
{
	for (uint32_t i = 0; i < v->n_shards; i++) {
		struct hr_redis_shard *s = &v->shards[i];
		char text[HR_POSITION_TEXT];

		s->is_sent = s->taken.n != s->in_redis.n;
		if (!s->is_sent)
			continue;
		assert(s->taken.n > s->in_redis.n);
		s->sent = s->taken;
		hr_resp_command(&v->out, 3);
		hr_resp_word(&v->out, "SET");
		hr_resp_word(&v->out, s->key);
		hr_resp_text(&v->out, text, (size_t)hr_position_print(&s->sent, text));
	}
}

static int put_transaction(struct hr_view *v, struct sent *sent, struct hr_err *err)
{
	hr_resp_empty(&v->out);
	hr_resp_command(&v->out, 1);
	hr_resp_word(&v->out, "MULTI");
	if (hr_redis_tick_write(&v->tick, &v->out) < 0)
		return hr_fail(err, -ENOMEM, "no memory for a tick");
	sent->first_damage = v->out.n_commands;
	hr_redis_damage_write(&v->tick.damage, &v->out);
	sent->first_position = v->out.n_commands;
	put_positions(v);
	sent->exec = v->out.n_commands;
	hr_resp_command(&v->out, 1);
	hr_resp_word(&v->out, "EXEC");
	return 0;
}

/* What Redis said to one command of a transaction that came to pass. */
static int judge(struct hr_view *v, const struct sent *sent, uint32_t command,
		 const redisReply *reply, struct hr_err *err)
{
	if (reply->type != REDIS_REPLY_ERROR)
		return 0;
	if (command >= sent->first_position) {
		v->is_dead = true;
		return hr_fail(
			err, -ENOTSUP,
			"Redis wrote data and refused its position (%.200s): the "
			"keys cannot be trusted any more; mend it, delete "
			"user:*, category:* and headrace:* and start again to have "
			"them filled from the log",
			reply->str);
	}
	hr_stat_add(v->errors, 1);
	if (command >= sent->first_damage)
		hr_error("view", "redis: headrace:damaged cannot be written: %s",
			 reply->str);
	else
		hr_redis_damage_add(&v->tick.damage,
				    hr_resp_argument(&v->out, command, 1), reply->str);
	return 0;
}

/*
 * The results of a transaction that came to pass. Where a command failed, its key is
 * not what the table says: forget it all. Returns the number of those, or a negated
 * errno.
 */
static int take_results(struct hr_view *v, const struct sent *sent,
			const redisReply *reply, struct hr_err *err)
{
	struct hr_redis_damage written = v->tick.damage;
	int r = 0, n_failed = 0;

	if (reply->elements != sent->exec - 1)
		return hr_fail(err, -EPROTO, "EXEC has %zu results, expected %u",
			       reply->elements, sent->exec - 1);
	v->tick.damage = (struct hr_redis_damage){ 0 };
	for (uint32_t i = 1; i < sent->exec; i++) {
		const redisReply *x = reply->element[i - 1];

		n_failed += x->type == REDIS_REPLY_ERROR;
		if (i >= sent->first_damage && i < sent->first_position)
			hr_redis_damage_written(&written, i - sent->first_damage,
						x->type == REDIS_REPLY_INTEGER &&
							x->integer == 1);
		r = judge(v, sent, i, x, err);
		if (r < 0)
			break;
	}
	hr_redis_damage_clear(&written);
	return r < 0 ? r : n_failed;
}

/* The replies up to EXEC's. An error before it says why it was refused. */
static int take_exec(struct hr_view *v, const struct sent *sent, redisReply **exec,
		     struct hr_err *err)
{
	struct hr_err refusal = { "" };
	int refused = 0;

	for (uint32_t i = 0; i <= sent->exec; i++) {
		int r = hr_redis_conn_reply(&v->conn, exec, err);

		if (r < 0)
			return r;
		if ((*exec)->type == REDIS_REPLY_ERROR && refused == 0)
			refused = hr_redis_refused((*exec)->str, &refusal);
		if (i < sent->exec || refused < 0)
			freeReplyObject(*exec);
	}
	if (refused < 0 && err != NULL)
		*err = refusal;
	return refused;
}

/* Damage that EXEC showed goes out at once. */
static int write_damage(struct hr_view *v, struct hr_err *err)
{
	int r;

	hr_resp_empty(&v->out);
	hr_redis_damage_write(&v->tick.damage, &v->out);
	r = hr_redis_conn_send(&v->conn, &v->out, err);
	for (uint32_t i = 0; i < v->tick.damage.n && r == 0; i++) {
		redisReply *reply;

		r = hr_redis_conn_reply(&v->conn, &reply, err);
		if (r < 0)
			break;
		if (reply->type == REDIS_REPLY_ERROR)
			hr_error("view",
				 "redis: headrace:damaged cannot be written: %s",
				 reply->str);
		hr_redis_damage_written(&v->tick.damage, i,
					reply->type == REDIS_REPLY_INTEGER &&
						reply->integer == 1);
		freeReplyObject(reply);
	}
	if (r == 0)
		hr_redis_damage_clear(&v->tick.damage);
	return r;
}

/* ---- the round trip -------------------------------------------------------------------- */

static int take_positions(struct hr_view *v, bool *as_written, struct hr_err *err)
{
	redisReply *reply;
	int r = hr_redis_expect_ok(v, err);

	if (r == 0)
		r = hr_redis_expect(v, &reply, err);
	if (r < 0)
		return r;
	*as_written = reply->type == REDIS_REPLY_ARRAY && reply->elements == v->n_ours;
	for (uint32_t i = 0, at = 0; i < v->n_shards && *as_written; i++) {
		const char *text = v->shards[i].text;
		const redisReply *x;

		if (!v->shards[i].is_ours)
			continue;
		x = reply->element[at++];
		*as_written = x->type == REDIS_REPLY_STRING ? strcmp(x->str, text) == 0
							    : text[0] == '\0';
	}
	freeReplyObject(reply);
	return 0;
}

static int pass_over(struct hr_view *v, uint32_t n, struct hr_err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		redisReply *reply;
		int r = hr_redis_conn_reply(&v->conn, &reply, err);

		if (r < 0)
			return r;
		freeReplyObject(reply);
	}
	return 0;
}

/* Somebody else has moved a position: what was sent did not come to pass. */
static int start_over(struct hr_view *v, uint32_t n_replies, struct hr_err *err)
{
	int r = pass_over(v, n_replies, err);

	hr_stat_add(v->errors, 1);
	for (uint32_t s = 0; s < v->n_shards; s++)
		v->shards[s].is_sent = false;
	hr_redis_forget(v);
	return r < 0 ? r : hr_redis_sync(v, err);
}

static int take_all(struct hr_view *v, const struct sent *sent, uint32_t n_reads,
		    struct hr_err *err)
{
	bool as_written;
	redisReply *exec;
	int n_failed, r = take_exec(v, sent, &exec, err);

	if (r < 0)
		return r;
	if (exec->type == REDIS_REPLY_NIL) {
		freeReplyObject(exec);
		return start_over(v, 2 + n_reads, err);
	}
	n_failed = take_results(v, sent, exec, err);
	freeReplyObject(exec);
	if (n_failed < 0)
		return n_failed;
	for (uint16_t s = 0; s < v->n_shards; s++)
		if (v->shards[s].is_sent)
			hr_redis_arrived(v, s);
	r = take_positions(v, &as_written, err);
	if (r == 0)
		r = take_answers(v, n_reads, err);
	if (r == 0 && n_failed > 0) {
		hr_redis_forget(v);
		r = write_damage(v, err);
	}
	if (r == 0 && !as_written)
		r = hr_redis_sync(v, err);
	return r;
}

int hr_redis_exchange(struct hr_view *v, struct hr_err *err)
{
	struct sent sent;
	int n_reads, r = put_transaction(v, &sent, err);

	/* A large one goes out at once: Redis is busy with it while the next tick is
	 * gathered here. A small one waits for the rest: one write. */
	if (r == 0 && v->out.n >= EARLY_BYTES)
		r = hr_redis_conn_send(&v->conn, &v->out, err);
	if (r == 0)
		r = hr_redis_gather(v, err);
	if (r < 0)
		return r;
	hr_redis_put_watch(v);
	hr_resp_command(&v->out, 1 + v->n_ours);
	hr_resp_word(&v->out, "MGET");
	for (uint32_t s = 0; s < v->n_shards; s++)
		if (v->shards[s].is_ours)
			hr_resp_word(&v->out, v->shards[s].key);
	n_reads = ask(v, err);
	if (n_reads < 0)
		return n_reads;
	HR_CRASH_POINT(redis_before_exec);
	r = hr_redis_conn_send(&v->conn, &v->out, err);
	HR_CRASH_POINT(redis_after_exec);
	if (r == 0)
		r = take_all(v, &sent, (uint32_t)n_reads, err);
	if (r == 0)
		v->n_failures = 0;
	return r;
}
