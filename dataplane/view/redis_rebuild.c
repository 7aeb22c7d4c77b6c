/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/murmur2.h"
#include "dataplane/beacon/event.h"
#include "dataplane/view/audit_links.h"
#include "dataplane/view/redis_keys.h"
#include "dataplane/view/redis_rebuild.h"
#include "dataplane/view/view.h"

struct rebuild {
	struct hr_redis_rebuilt *out;
	const struct hr_config *config;
	const struct hr_data_set *set;
	int shard;
	redisContext *redis;
	struct hr_position *begin; /* by shard: where it is written anew from */
	char mark[64];             /* what stands in the place of our positions */
};

static bool is_ours(const struct rebuild *b, uint32_t shard)
{
	return b->shard < 0 || (uint32_t)b->shard == shard;
}

/* ---- Redis -------------------------------------------------------------------------- */

static int reply_get(struct rebuild *b, redisReply **out, struct hr_err *err)
{
	if (redisGetReply(b->redis, (void **)out) != REDIS_OK)
		return hr_fail(err, -EIO, "Redis: %s", b->redis->errstr);
	if ((*out)->type != REDIS_REPLY_ERROR)
		return 0;
	hr_fail(err, -EIO, "Redis: %.300s", (*out)->str);
	freeReplyObject(*out);
	return -EIO;
}

static int replies_pass(struct rebuild *b, uint32_t n, struct hr_err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		redisReply *reply;

		r = reply_get(b, &reply, err);
		if (r == 0)
			freeReplyObject(reply);
	}
	return r;
}

/* ---- the beginning: positions ----------------------------------------------------------- */

static int mark(struct rebuild *b, struct hr_err *err)
{
	char when[HR_TIME_ISO_BYTES];
	uint32_t n = 2;

	hr_time_iso((int64_t)(hr_wall_us() / 1000), when);
	(void)snprintf(b->mark, sizeof(b->mark), HR_REDIS_REBUILDING " %.*s %ld",
		       HR_TIME_ISO_BYTES, when, (long)getpid());
	redisAppendCommand(b->redis, "MULTI");
	for (uint32_t s = 0; s < b->set->n_shards; s++)
		if (is_ours(b, s)) {
			redisAppendCommand(b->redis, "SET " HR_REDIS_SHARD_KEY "%u %s",
					   s, b->mark);
			n++;
		}
	redisAppendCommand(b->redis, "EXEC");
	return replies_pass(b, n, err);
}

/* ---- keys --------------------------------------------------------------------------------- */

static bool must_go(const struct rebuild *b, const redisReply *key)
{
	struct hr_redis_key k;

	hr_redis_key_read(
		&k, (struct hr_str){ (const uint8_t *)key->str, (uint32_t)key->len });
	if (k.kind == HR_REDIS_KEY_CATEGORY)
		return b->shard < 0;
	return k.kind == HR_REDIS_KEY_USER &&
	       is_ours(b, hr_kafka_partition(k.name.p, k.name.n, b->set->n_shards));
}

static int page_delete(struct rebuild *b, const redisReply *keys, struct hr_err *err)
{
	uint32_t n = 0;

	for (size_t i = 0; i < keys->elements; i++)
		if (must_go(b, keys->element[i])) {
			redisAppendCommand(b->redis, "UNLINK %b", keys->element[i]->str,
					   keys->element[i]->len);
			n++;
		}
	b->out->n_keys += n;
	return replies_pass(b, n, err);
}

static int keys_delete(struct rebuild *b, struct hr_err *err)
{
	char cursor[32] = "0";
	int r;

	do {
		redisReply *page;

		redisAppendCommand(b->redis, "SCAN %s COUNT 1000", cursor);
		r = reply_get(b, &page, err);
		if (r < 0)
			return r;
		(void)snprintf(cursor, sizeof(cursor), "%s", page->element[0]->str);
		r = page_delete(b, page->element[1], err);
		freeReplyObject(page);
	} while (r == 0 && strcmp(cursor, "0") != 0);
	return r;
}

/* ---- where it begins anew ------------------------------------------------------------------- */

/* Link 1, or the oldest snapshot. */
static int begin_find(struct rebuild *b, uint16_t shard, struct hr_err *err)
{
	struct hr_position *begin = &b->begin[shard];
	struct hr_audit_links links;
	struct hr_link *link;
	int r = hr_audit_links_open(&links, b->config, b->set, shard, 0, true, err);

	*begin = (struct hr_position){ .generation = b->set->generation };
	if (r == 0)
		r = hr_audit_links_next(&links, &link, err);
	if (r == 0)
		hr_link_put(link);
	if (r == 0 || r == -ENOENT) {
		r = 0;
		*begin = links.began;
		begin->generation = b->set->generation;
		if (links.began_behind != begin->n)
			r = hr_fail(err, -EIO,
				    "shard %u: the snapshot of link %" PRIu64
				    " cannot be begun from: try again",
				    shard, begin->n);
	}
	hr_audit_links_close(&links);
	b->out->complete_from[shard] = begin->n + 1;
	return r;
}

static int begins_find(struct rebuild *b, struct hr_err *err)
{
	int r = 0;

	for (uint16_t s = 0; s < b->set->n_shards && r == 0; s++)
		if (is_ours(b, s))
			r = begin_find(b, s, err);
	return r;
}

/* ---- the end: positions, and what was damaged --------------------------------------------------- */

/* Are they still ours? Watches them. */
static int marks_check(struct rebuild *b, struct hr_err *err)
{
	int r = 0;

	for (uint32_t s = 0; s < b->set->n_shards; s++)
		if (is_ours(b, s)) {
			redisAppendCommand(b->redis, "WATCH " HR_REDIS_SHARD_KEY "%u",
					   s);
			redisAppendCommand(b->redis, "GET " HR_REDIS_SHARD_KEY "%u", s);
		}
	for (uint32_t s = 0; s < b->set->n_shards && r == 0; s++) {
		redisReply *reply;

		if (!is_ours(b, s))
			continue;
		r = replies_pass(b, 1, err);
		if (r == 0)
			r = reply_get(b, &reply, err);
		if (r < 0)
			break;
		if (reply->type != REDIS_REPLY_STRING ||
		    strcmp(reply->str, b->mark) != 0)
			r = hr_fail(err, -EBUSY,
				    "shard %u: another rebuild began, or Redis was "
				    "replaced, meanwhile: look at its end, or begin "
				    "again",
				    s);
		freeReplyObject(reply);
	}
	return r;
}

/* Appends the commands that forget what is whole again. Returns their number, or a negated
 * errno. */
static int damage_forget(struct rebuild *b, struct hr_err *err)
{
	redisReply *damaged;
	int n = 0, r;

	redisAppendCommand(b->redis, "HKEYS " HR_REDIS_DAMAGED);
	r = reply_get(b, &damaged, err);
	if (r < 0)
		return r;
	redisAppendCommand(b->redis, "MULTI");
	for (size_t i = 0; i < damaged->elements; i++) {
		const redisReply *key = damaged->element[i];
		struct hr_redis_key k;

		if (must_go(b, key)) {
			redisAppendCommand(b->redis, "HDEL " HR_REDIS_DAMAGED " %b",
					   key->str, key->len);
			n++;
			continue;
		}
		hr_redis_key_read(&k, (struct hr_str){ (const uint8_t *)key->str,
						       (uint32_t)key->len });
		b->out->n_left += k.kind == HR_REDIS_KEY_CATEGORY;
	}
	freeReplyObject(damaged);
	b->out->n_forgotten = (uint32_t)n;
	return n;
}

static void position_put(struct rebuild *b, uint32_t shard)
{
	const struct hr_position *p = &b->begin[shard];
	char text[HR_POSITION_TEXT];

	if (p->n == 0) {
		redisAppendCommand(b->redis, "DEL " HR_REDIS_SHARD_KEY "%u", shard);
		redisAppendCommand(b->redis, "HDEL " HR_REDIS_COMPLETE_FROM " %u",
				   shard);
		return;
	}
	(void)hr_position_print(p, text);
	redisAppendCommand(b->redis, "SET " HR_REDIS_SHARD_KEY "%u %s", shard, text);
	redisAppendCommand(b->redis, "HSET " HR_REDIS_COMPLETE_FROM " %u %llu", shard,
			   (unsigned long long)p->n + 1);
}

static int release(struct rebuild *b, struct hr_err *err)
{
	redisReply *reply;
	int n, r = marks_check(b, err);

	if (r < 0)
		return r;
	n = damage_forget(b, err);
	if (n < 0)
		return n;
	for (uint32_t s = 0; s < b->set->n_shards; s++)
		if (is_ours(b, s)) {
			position_put(b, s);
			n += 2;
		}
	redisAppendCommand(b->redis, "EXEC");
	r = replies_pass(b, 1 + (uint32_t)n, err);
	if (r == 0)
		r = reply_get(b, &reply, err);
	if (r < 0)
		return r;
	if (reply->type != REDIS_REPLY_ARRAY)
		r = hr_fail(err, -EBUSY,
			    "another rebuild began meanwhile: begin again");
	freeReplyObject(reply);
	return r;
}

int hr_redis_rebuild(struct hr_redis_rebuilt *out, const struct hr_config *config,
		     const struct hr_data_set *set, int shard, redisContext *redis,
		     struct hr_err *err)
{
	struct rebuild b = { .out = out,
			     .config = config,
			     .set = set,
			     .shard = shard,
			     .redis = redis,
			     .begin = calloc(set->n_shards, sizeof(*b.begin)) };
	int r = b.begin == NULL ? hr_fail(err, -ENOMEM, "no memory to rebuild Redis")
				: 0;

	/* Once before anything is thrown away: is there a log to write it from? */
	if (r == 0)
		r = begins_find(&b, err);
	if (r == 0)
		r = mark(&b, err);
	if (r == 0)
		r = keys_delete(&b, err);
	/* And again: from now on nothing of it is trimmed. */
	if (r == 0)
		r = begins_find(&b, err);
	if (r == 0)
		r = release(&b, err);
	free(b.begin);
	return r;
}
