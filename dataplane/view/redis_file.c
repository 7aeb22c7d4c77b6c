/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The Redis view: nothing is appended to an append-only file whose end may be half a
 * transaction.
 *
 * Where a file ends inside a command inside a MULTI (a crash of the machine, a full
 * disk), Redis drops that command alone and goes on behind the others. They were not
 * executed; but the EXEC of whatever comes next makes them part of it, when the file is
 * loaded the next time: products would be pushed to lists twice. So a process of Redis
 * that is not known to be free of that begins its file anew before anything of ours goes
 * into it. Which one that was stands in headrace:run, with its run_id.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "dataplane/view/redis_impl.h"

#define KEY "headrace:run"

static int send_words(struct hr_view *v, const char *const *words, uint32_t n,
		      struct hr_err *err)
{
	hr_resp_empty(&v->out);
	hr_resp_command(&v->out, n);
	for (uint32_t i = 0; i < n; i++)
		hr_resp_word(&v->out, words[i]);
	return hr_redis_conn_send(&v->conn, &v->out, err);
}

/* Is it the process that the key names? 1, 0 or a negated errno. */
static int is_known(struct hr_view *v, struct hr_err *err)
{
	redisReply *reply;
	int r = send_words(v, (const char *const[]){ "GET", KEY }, 2, err);

	if (r == 0)
		r = hr_redis_conn_reply(&v->conn, &reply, err);
	if (r < 0)
		return r;
	r = reply->type == REDIS_REPLY_STRING &&
	    strcmp(reply->str, v->process.run_id) == 0;
	freeReplyObject(reply);
	return r;
}

static int rewrite(struct hr_view *v, struct hr_err *err)
{
	redisReply *reply;
	int r = send_words(v, (const char *const[]){ "BGREWRITEAOF" }, 1, err);

	if (r == 0)
		r = hr_redis_conn_reply(&v->conn, &reply, err);
	if (r < 0)
		return r;
	r = hr_redis_rewrites(reply->str, reply->type == REDIS_REPLY_ERROR, err);
	if (r == -ENOTSUP)
		hr_warn("view", "redis: %s", err->text);
	else if (r == 0)
		hr_info("view", "redis: its append-only file is written anew: this "
				"process of Redis was not known");
	freeReplyObject(reply);
	return r == -ENOTSUP ? 0 : r;
}

static int remember(struct hr_view *v, struct hr_err *err)
{
	int r = send_words(v, (const char *const[]){ "SET", KEY, v->process.run_id }, 3,
			   err);

	if (r == 0)
		r = hr_redis_expect_ok(v, err);
	if (r == 0)
		memcpy(v->known_run, v->process.run_id, sizeof(v->known_run));
	return r;
}

int hr_redis_begin_file(struct hr_view *v, struct hr_err *err)
{
	int r;

	if (!v->process.has_aof || v->n_ours == 0 ||
	    strcmp(v->known_run, v->process.run_id) == 0)
		return 0;
	r = is_known(v, err);
	if (r == 1) {
		memcpy(v->known_run, v->process.run_id, sizeof(v->known_run));
		return 0;
	}
	if (r == 0 && !v->process.is_rewriting)
		r = rewrite(v, err);
	return r < 0 ? r : remember(v, err);
}
