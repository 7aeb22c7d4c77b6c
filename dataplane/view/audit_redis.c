/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * audit of Redis: every key of docs/redis.md is read once, users in batches, each in a
 * transaction with the position of their shard; then the log is folded, and when it
 * stands at the position of a batch that batch is compared.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/murmur2.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/audit.h"
#include "dataplane/view/audit_links.h"
#include "dataplane/view/audit_model.h"
#include "dataplane/view/redis_keys.h"
#include "dataplane/view/redis_resp.h"
#include "dataplane/view/view.h"

#define BATCH 100 /* users, or categories */
#define SCAN_COUNT "1000"

/* Users of one shard that were read under one position. */
struct batch {
	uint64_t n;
	struct hr_audit_user **users;
	uint32_t n_users;
	uint16_t shard;
};

/* A product's set, and what it was when it was used. */
struct asked {
	char *name;
	uint32_t n;
	uint64_t hash;
};

struct category {
	char *name;
	uint32_t n;
	bool is_wrongtype;
};

struct audit {
	struct hr_audit *a;
	redisContext *redis;
	struct hr_audit_model *model;
	struct hr_position *first, *last; /* by shard: before and behind the reading */
	uint64_t *begins;                 /* complete_from; 1 where nothing is said */
	bool *is_out;                     /* cannot be compared, and that was told */

	struct batch *batches; /* by shard, in it by n */
	uint32_t n_batches, max_batches;
	struct category *categories;
	uint32_t n_categories, max_categories;
	struct asked *asked;
	uint32_t n_asked, max_asked;
};

/* ---- Redis ----------------------------------------------------------------------------- */

static int out_of_reach(struct audit *x, struct hr_err *err)
{
	return hr_fail(err, -EIO, "Redis: %s",
		       x->redis->err != 0 ? x->redis->errstr
					  : "it answers something else than expected");
}

static int reply_get(struct audit *x, int type, redisReply **out, struct hr_err *err)
{
	if (redisGetReply(x->redis, (void **)out) != REDIS_OK)
		return out_of_reach(x, err);
	if ((*out)->type == type)
		return 0;
	hr_fail(err, -EIO, "Redis: %.200s",
		(*out)->type == REDIS_REPLY_ERROR ? (*out)->str
						  : "another answer than expected");
	freeReplyObject(*out);
	return -EIO;
}

static struct hr_str text_of(const redisReply *x)
{
	return (struct hr_str){ (const uint8_t *)x->str, (uint32_t)x->len };
}

__attribute__((format(printf, 5, 6))) static void tell(struct audit *x,
						       enum hr_audit_kind kind,
						       int shard, const char *key,
						       const char *fmt, ...)
{
	struct hr_audit_finding f = {
		.kind = kind, .shard = shard, .key = key, .partition = -1, .count = 1
	};
	char text[400];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	f.text = text;
	hr_audit_tell(x->a, &f);
}

/* A shard that cannot be compared. */
static void leave_out(struct audit *x, uint32_t shard, const char *key, const char *why)
{
	if (!x->is_out[shard])
		tell(x, HR_AUDIT_UNKNOWN, (int)shard, key, "%s", why);
	x->is_out[shard] = true;
}

/* ---- positions --------------------------------------------------------------------------- */

static void understand(struct audit *x, uint32_t shard, const redisReply *reply,
		       struct hr_position *out)
{
	char key[32], why[300];

	*out = (struct hr_position){ .generation = x->a->set->generation };
	if (reply->type == REDIS_REPLY_NIL)
		return;
	if (reply->type == REDIS_REPLY_STRING &&
	    hr_position_parse(reply->str, reply->len, out) == 0 &&
	    out->generation == x->a->set->generation && out->k == 0)
		return;
	(void)snprintf(key, sizeof(key), HR_REDIS_SHARD_KEY "%u", shard);
	(void)snprintf(why, sizeof(why), "holds \"%.120s\", which is no position%s",
		       reply->str != NULL ? reply->str : "",
		       reply->type == REDIS_REPLY_STRING &&
				       strncmp(reply->str, HR_REDIS_REBUILDING,
					       strlen(HR_REDIS_REBUILDING)) == 0
			       ? ": its rebuild has not come to its end"
			       : "");
	leave_out(x, shard, key, why);
}

static int positions_read(struct audit *x, struct hr_position *out, struct hr_err *err)
{
	const uint32_t n = x->a->set->n_shards;

	for (uint32_t s = 0; s < n; s++)
		redisAppendCommand(x->redis, "GET " HR_REDIS_SHARD_KEY "%u", s);
	for (uint32_t s = 0; s < n; s++) {
		redisReply *reply;

		if (redisGetReply(x->redis, (void **)&reply) != REDIS_OK)
			return out_of_reach(x, err);
		if (hr_audit_wants(x->a, s))
			understand(x, s, reply, &out[s]);
		freeReplyObject(reply);
	}
	return 0;
}

static int begins_read(struct audit *x, struct hr_err *err)
{
	redisReply *reply;
	int r;

	redisAppendCommand(x->redis, "HGETALL " HR_REDIS_COMPLETE_FROM);
	r = reply_get(x, REDIS_REPLY_ARRAY, &reply, err);
	for (uint32_t s = 0; s < x->a->set->n_shards; s++)
		x->begins[s] = 1;
	for (size_t i = 0; r == 0 && i + 1 < reply->elements; i += 2) {
		unsigned long shard = strtoul(reply->element[i]->str, NULL, 10);

		if (shard < x->a->set->n_shards)
			x->begins[shard] =
				strtoull(reply->element[i + 1]->str, NULL, 10);
	}
	if (r == 0)
		freeReplyObject(reply);
	return r;
}

/* ---- which keys there are ------------------------------------------------------------------ */

static int category_note(struct audit *x, struct hr_str name)
{
	struct category *c;

	if (x->n_categories == x->max_categories) {
		uint32_t max = x->max_categories == 0 ? 64 : 2 * x->max_categories;
		struct category *fresh = realloc(x->categories, max * sizeof(*fresh));

		if (fresh == NULL)
			return -ENOMEM;
		x->categories = fresh;
		x->max_categories = max;
	}
	c = &x->categories[x->n_categories];
	*c = (struct category){ .name = malloc(name.n + 1), .n = name.n };
	if (c->name == NULL)
		return -ENOMEM;
	memcpy(c->name, name.p, name.n);
	c->name[name.n] = '\0';
	x->n_categories++;
	return 0;
}

static int key_note(struct audit *x, const redisReply *key)
{
	struct hr_redis_key k;
	struct hr_audit_user *u;
	uint32_t shard;

	hr_redis_key_read(&k, text_of(key));
	if (k.kind == HR_REDIS_KEY_CATEGORY)
		return category_note(x, k.name);
	if (k.kind == HR_REDIS_KEY_ODD)
		tell(x, HR_AUDIT_EXTRA, -1, key->str, "is no key that Headrace makes");
	if (k.kind != HR_REDIS_KEY_USER)
		return 0;
	shard = hr_kafka_partition(k.name.p, k.name.n, x->a->set->n_shards);
	if (!hr_audit_wants(x->a, shard) || x->is_out[shard])
		return 0;
	u = hr_audit_model_user(x->model, k.name);
	if (u == NULL)
		return -ENOMEM;
	u->shard = (uint16_t)shard;
	u->is_read = true;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct category *x = a, *y = b;

	const int r = memcmp(x->name, y->name, x->n < y->n ? x->n : y->n);

	return r != 0 ? r : (x->n > y->n) - (x->n < y->n);
}

/* SCAN may give a key twice. */
static void categories_once(struct audit *x)
{
	uint32_t n = 0;

	qsort(x->categories, x->n_categories, sizeof(*x->categories), by_name);
	for (uint32_t i = 0; i < x->n_categories; i++)
		if (n > 0 && by_name(&x->categories[n - 1], &x->categories[i]) == 0)
			free(x->categories[i].name);
		else
			x->categories[n++] = x->categories[i];
	x->n_categories = n;
}

static int keys_scan(struct audit *x, struct hr_err *err)
{
	char cursor[32] = "0";
	int r = 0;

	do {
		redisReply *page;

		redisAppendCommand(x->redis, "SCAN %s COUNT " SCAN_COUNT, cursor);
		r = reply_get(x, REDIS_REPLY_ARRAY, &page, err);
		if (r < 0)
			return r;
		(void)snprintf(cursor, sizeof(cursor), "%s", page->element[0]->str);
		for (size_t i = 0; i < page->element[1]->elements && r == 0; i++)
			r = key_note(x, page->element[1]->element[i]);
		freeReplyObject(page);
		if (r < 0)
			return hr_fail(err, r, "no memory for the keys of Redis");
	} while (strcmp(cursor, "0") != 0);
	if (x->n_categories > 0)
		categories_once(x);
	return 0;
}

/* ---- users ---------------------------------------------------------------------------------- */

static uint64_t hash_hash(const redisReply *r)
{
	uint64_t h = 0;

	for (size_t i = 0; i + 1 < r->elements; i += 2)
		h = hr_audit_hash_pair(h, text_of(r->element[i]),
				       text_of(r->element[i + 1]));
	return hr_audit_hash_end(h);
}

static uint64_t hash_list(const redisReply *r)
{
	uint64_t h = 0;

	for (size_t i = 0; i < r->elements; i++)
		h = hr_audit_hash_next(h, text_of(r->element[i]));
	return hr_audit_hash_end(h);
}

/* A score that is no multiple of 1/64 fits nothing. */
static uint64_t hash_scores(const redisReply *r)
{
	uint64_t h = 0;

	for (size_t i = 0; i + 1 < r->elements; i += 2) {
		const redisReply *score = r->element[i + 1];
		int64_t score64;

		if (!hr_score_parse(score->str, score->len, &score64) ||
		    strtod(score->str, NULL) * HR_SCORE_ONE != (double)score64)
			score64 = INT64_MIN;
		h = hr_audit_hash_score(h, text_of(r->element[i]), score64);
	}
	return hr_audit_hash_end(h);
}

static uint64_t hash_of(const redisReply *r, enum hr_audit_key key)
{
	if (r->type == REDIS_REPLY_ERROR)
		return HR_AUDIT_WRONGTYPE;
	if (r->type == REDIS_REPLY_NIL ||
	    (r->type == REDIS_REPLY_ARRAY && r->elements == 0))
		return HR_AUDIT_ABSENT;
	switch (key) {
	case HR_AUDIT_PROFILE:
	case HR_AUDIT_CATEGORIES:
		return hash_hash(r);
	case HR_AUDIT_RECENT:
		return hash_list(r);
	case HR_AUDIT_SCORES:
		return hash_scores(r);
	case HR_AUDIT_STATE:
		return hr_audit_hash_end(hr_audit_hash_next(0, text_of(r)));
	case HR_AUDIT_KEYS:
		break;
	}
	return HR_AUDIT_ABSENT;
}

static void user_ask(struct audit *x, const struct hr_audit_user *u)
{
	const void *name = u->name;
	const size_t n = u->n;

	redisAppendCommand(x->redis, "HGETALL user:%b:profile", name, n);
	redisAppendCommand(x->redis, "LRANGE user:%b:recent_views 0 -1", name, n);
	redisAppendCommand(x->redis, "ZRANGE user:%b:recommendations 0 -1 WITHSCORES",
			   name, n);
	redisAppendCommand(x->redis, "GET headrace:user:%b:state", name, n);
	redisAppendCommand(x->redis, "HGETALL headrace:user:%b:categories", name, n);
}

/* Answers to MULTI and n commands, and what EXEC gave. */
static int exec_get(struct audit *x, size_t n, redisReply **out, struct hr_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n + 1 && r == 0; i++) {
		r = reply_get(x, REDIS_REPLY_STATUS, out, err);
		if (r == 0)
			freeReplyObject(*out);
	}
	if (r == 0)
		r = reply_get(x, REDIS_REPLY_ARRAY, out, err);
	if (r == 0 && (*out)->elements != n) {
		r = hr_fail(err, -EIO, "Redis: EXEC has %zu results, expected %zu",
			    (*out)->elements, n);
		freeReplyObject(*out);
	}
	return r;
}

/* Under which position; it must not have gone back. */
static void batch_place(struct audit *x, struct batch *b, const redisReply *position)
{
	struct hr_position at;

	understand(x, b->shard, position, &at);
	b->n = at.n;
	if (at.n < x->last[b->shard].n)
		leave_out(x, b->shard, NULL,
			  "its position went back while it was read: Redis lost data, "
			  "or is being rebuilt; ask again");
	x->last[b->shard] = at;
}

static int batch_read(struct audit *x, struct batch *b, struct hr_err *err)
{
	redisReply *reply;
	int r;

	redisAppendCommand(x->redis, "MULTI");
	redisAppendCommand(x->redis, "GET " HR_REDIS_SHARD_KEY "%u", b->shard);
	for (uint32_t i = 0; i < b->n_users; i++)
		user_ask(x, b->users[i]);
	redisAppendCommand(x->redis, "EXEC");
	r = exec_get(x, 1 + (size_t)b->n_users * HR_AUDIT_KEYS, &reply, err);
	if (r < 0)
		return r;
	batch_place(x, b, reply->element[0]);
	for (uint32_t i = 0; i < b->n_users; i++)
		for (enum hr_audit_key k = 0; k < HR_AUDIT_KEYS; k++)
			b->users[i]->there[k] =
				hash_of(reply->element[1 + i * HR_AUDIT_KEYS + k], k);
	freeReplyObject(reply);
	return 0;
}

static struct batch *batch_new(struct audit *x, uint16_t shard)
{
	struct batch *b;

	if (x->n_batches == x->max_batches) {
		uint32_t max = x->max_batches == 0 ? 64 : 2 * x->max_batches;
		struct batch *fresh = realloc(x->batches, max * sizeof(*fresh));

		if (fresh == NULL)
			return NULL;
		x->batches = fresh;
		x->max_batches = max;
	}
	b = &x->batches[x->n_batches];
	*b = (struct batch){ .shard = shard,
			     .users = calloc(BATCH, sizeof(struct hr_audit_user *)) };
	if (b->users == NULL)
		return NULL;
	x->n_batches++;
	return b;
}

/* The users of one shard. */
static int users_read(struct audit *x, uint16_t shard, struct hr_err *err)
{
	struct hr_audit_user *u;
	struct batch *b = NULL;
	int r = 0;

	for (uint64_t i = 0;
	     r == 0 && (u = hr_audit_model_user_at(x->model, i)) != NULL; i++) {
		if (u->shard != shard)
			continue;
		if (b == NULL && (b = batch_new(x, shard)) == NULL)
			return hr_fail(err, -ENOMEM,
				       "no memory for the users of Redis");
		b->users[b->n_users++] = u;
		if (b->n_users < BATCH)
			continue;
		r = batch_read(x, b, err);
		b = NULL;
	}
	return r == 0 && b != NULL ? batch_read(x, b, err) : r;
}

/* ---- categories --------------------------------------------------------------------------------- */

static int members_note(struct audit *x, struct category *c, const redisReply *reply)
{
	const struct hr_str name = { (const uint8_t *)c->name, c->n };

	c->is_wrongtype = reply->type == REDIS_REPLY_ERROR;
	for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements;
	     i++) {
		struct hr_audit_member *m = hr_audit_model_member(
			x->model, name, text_of(reply->element[i]));

		if (m == NULL)
			return -ENOMEM;
		m->is_there = true;
	}
	return 0;
}

/* So many in one round trip. */
static int categories_some(struct audit *x, uint32_t first, struct hr_err *err)
{
	const uint32_t left = x->n_categories - first, n = left < BATCH ? left : BATCH;
	int r = 0;

	for (uint32_t i = first; i < first + n; i++)
		redisAppendCommand(x->redis, "SMEMBERS category:%b:products",
				   x->categories[i].name, (size_t)x->categories[i].n);
	for (uint32_t i = first; i < first + n; i++) {
		redisReply *reply;

		if (redisGetReply(x->redis, (void **)&reply) != REDIS_OK)
			return out_of_reach(x, err);
		if (r == 0)
			r = members_note(x, &x->categories[i], reply);
		freeReplyObject(reply);
	}
	return r < 0 ? hr_fail(err, r, "no memory for the categories of Redis") : 0;
}

static int categories_read(struct audit *x, struct hr_err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < x->n_categories && r == 0; i += BATCH)
		r = categories_some(x, i, err);
	return r;
}

/* The model's: this link makes it so. */
static void made(void *ctx, struct hr_audit_member *m, uint16_t shard, uint64_t n)
{
	struct audit *x = ctx;

	m->is_made = true;
	if (n <= x->first[shard].n)
		m->is_wanted = true; /* sets were read behind that */
}

static void category_key(const struct audit *x, const struct hr_audit_member *m,
			 char *out, size_t max)
{
	const struct hr_str name = hr_audit_model_name(x->model, m->category);

	(void)snprintf(out, max, "category:%.*s:products", (int)name.n,
		       (const char *)name.p);
}

static void categories_judge(struct audit *x)
{
	struct hr_audit_member *m;
	bool knows_all = x->a->shard < 0;

	for (uint32_t s = 0; s < x->a->set->n_shards; s++)
		knows_all &= !x->is_out[s] && x->begins[s] <= 1;
	for (uint32_t i = 0; i < x->n_categories; i++) {
		char key[160];

		(void)snprintf(key, sizeof(key), "category:%s:products",
			       x->categories[i].name);
		if (x->categories[i].is_wrongtype)
			tell(x, HR_AUDIT_WRONG, -1, key, "is no set");
	}
	for (uint64_t i = 0; (m = hr_audit_model_member_at(x->model, i)) != NULL; i++) {
		struct hr_str product;
		char key[160];

		if (m->category == 0 || m->is_there == m->is_made ||
		    (m->is_made && !m->is_wanted) || (m->is_there && !knows_all))
			continue;
		product = hr_audit_model_name(x->model, m->product);
		category_key(x, m, key, sizeof(key));
		tell(x, m->is_made ? HR_AUDIT_MISSING : HR_AUDIT_EXTRA, -1, key,
		     m->is_made ? "lacks %.*s" : "has %.*s, which no event had in it",
		     (int)product.n, (const char *)product.p);
	}
}

/* ---- similar products ------------------------------------------------------------------------------ */

/* The hash of a set; its members to the model, where that asks. */
static int similar_read(struct audit *x, struct hr_str product, bool tells,
			uint64_t *hash, struct hr_err *err)
{
	redisReply *reply;
	int r = 0;

	*hash = 0;
	redisAppendCommand(x->redis, "SMEMBERS product:%b:similar", product.p,
			   (size_t)product.n);
	if (redisGetReply(x->redis, (void **)&reply) != REDIS_OK)
		return out_of_reach(x, err);
	for (size_t i = 0;
	     reply->type == REDIS_REPLY_ARRAY && i < reply->elements && r == 0; i++) {
		*hash = hr_audit_hash_score(*hash, text_of(reply->element[i]), 0);
		if (tells)
			r = hr_audit_model_similar(x->model,
						   text_of(reply->element[i]));
	}
	freeReplyObject(reply);
	return r;
}

static int ask_similar(void *ctx, struct hr_str product)
{
	struct audit *x = ctx;
	struct asked *one;

	if (x->n_asked == x->max_asked) {
		uint32_t max = x->max_asked == 0 ? 64 : 2 * x->max_asked;
		struct asked *fresh = realloc(x->asked, max * sizeof(*fresh));

		if (fresh == NULL)
			return -ENOMEM;
		x->asked = fresh;
		x->max_asked = max;
	}
	one = &x->asked[x->n_asked];
	*one = (struct asked){ .name = malloc(product.n), .n = product.n };
	if (one->name == NULL)
		return -ENOMEM;
	memcpy(one->name, product.p, product.n);
	x->n_asked++;
	return similar_read(x, product, true, &one->hash, NULL);
}

/* The join is made with the sets as they are now: they have to hold still. */
static int similar_again(struct audit *x, struct hr_err *err)
{
	uint32_t n_changed = 0;

	for (uint32_t i = 0; i < x->n_asked; i++) {
		const struct hr_str name = { (const uint8_t *)x->asked[i].name,
					     x->asked[i].n };
		uint64_t hash;
		int r = similar_read(x, name, false, &hash, err);

		if (r < 0)
			return r;
		n_changed += hash != x->asked[i].hash;
	}
	if (n_changed > 0)
		tell(x, HR_AUDIT_UNKNOWN, -1, "product:<id>:similar",
		     "%u of these sets changed while Redis was compared: scores that "
		     "they are part of may be told wrong; ask again while they hold "
		     "still",
		     n_changed);
	return 0;
}

/* ---- damage ------------------------------------------------------------------------------------------- */

static int damage_read(struct audit *x, struct hr_err *err)
{
	redisReply *reply;
	int r;

	redisAppendCommand(x->redis, "HGETALL " HR_REDIS_DAMAGED);
	r = reply_get(x, REDIS_REPLY_ARRAY, &reply, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i + 1 < reply->elements; i += 2) {
		int shard = hr_redis_key_shard(text_of(reply->element[i]),
					       x->a->set->n_shards);

		if (shard < 0 || hr_audit_wants(x->a, (uint32_t)shard))
			tell(x, HR_AUDIT_DAMAGED, shard, reply->element[i]->str,
			     "%.300s", reply->element[i + 1]->str);
	}
	freeReplyObject(reply);
	return 0;
}

/* ---- comparing ------------------------------------------------------------------------------------------ */

static void key_judge(struct audit *x, const struct hr_audit_user *u,
		      enum hr_audit_key k, uint64_t n)
{
	static const char *const types[HR_AUDIT_KEYS] = { "hash", "list", "sorted set",
							  "string", "hash" };
	const uint64_t wanted = hr_audit_model_hash(x->model, u, k);
	char key[HR_REDIS_KEY_MAX], says[300];

	x->a->sums[u->shard].n_values +=
		wanted != HR_AUDIT_ABSENT || u->there[k] != HR_AUDIT_ABSENT;
	if (wanted == u->there[k])
		return;
	hr_redis_key_print(key, (struct hr_str){ u->name, u->n }, k);
	hr_audit_model_print(x->model, u, k, says, sizeof(says));
	if (wanted == HR_AUDIT_ABSENT)
		tell(x, HR_AUDIT_EXTRA, u->shard, key,
		     "fold makes no such key up to link %" PRIu64, n);
	else if (u->there[k] == HR_AUDIT_WRONGTYPE)
		tell(x, HR_AUDIT_WRONG, u->shard, key,
		     "is no %s; at link %" PRIu64 " fold makes: %s", types[k], n, says);
	else
		tell(x,
		     u->there[k] == HR_AUDIT_ABSENT ? HR_AUDIT_MISSING : HR_AUDIT_WRONG,
		     u->shard, key, "at link %" PRIu64 " fold makes: %s", n, says);
}

static void user_judge(struct audit *x, const struct hr_audit_user *u, uint64_t n)
{
	x->a->sums[u->shard].n_users++;
	for (enum hr_audit_key k = 0; k < HR_AUDIT_KEYS; k++)
		key_judge(x, u, k, n);
}

/* Batches that were read under position n, from the next one on. */
static void batches_judge(struct audit *x, uint32_t *next, uint16_t shard, uint64_t n)
{
	for (; *next < x->n_batches && x->batches[*next].shard == shard &&
	       x->batches[*next].n <= n;
	     (*next)++)
		for (uint32_t i = 0; i < x->batches[*next].n_users; i++)
			user_judge(x, x->batches[*next].users[i], n);
}

/* Users that fold knew before Redis was scanned, and of whom it holds nothing. */
static void missing_judge(struct audit *x, uint16_t shard, uint64_t n)
{
	struct hr_audit_user *u;

	for (uint64_t i = 0; (u = hr_audit_model_user_at(x->model, i)) != NULL; i++)
		if (u->shard == shard && !u->is_read && u->first_n != 0)
			user_judge(x, u, n);
}

static void position_judge(struct audit *x, const struct hr_position *at,
			   const struct hr_link *link)
{
	char key[32];

	if (at->n != link->n)
		return;
	(void)snprintf(key, sizeof(key), HR_REDIS_SHARD_KEY "%u", link->shard);
	if (!hr_id128_equals(&at->hash, &link->hash))
		tell(x, HR_AUDIT_WRONG, link->shard, key,
		     "has another hash than link %" PRIu64 " of the log: it was filled "
		     "from another log",
		     link->n);
	else if (!hr_id128_equals(&at->digest, &link->out->digest))
		tell(x, HR_AUDIT_WRONG, link->shard, key,
		     "has another digest than folding the log up to link %" PRIu64
		     " gives",
		     link->n);
}

static int link_take(struct audit *x, uint32_t *next, const struct hr_link *link)
{
	const uint16_t s = link->shard;
	int r = 0;

	if (link->n >= x->begins[s])
		r = hr_audit_model_link(x->model, link);
	position_judge(x, &x->first[s], link);
	if (x->last[s].n != x->first[s].n)
		position_judge(x, &x->last[s], link);
	batches_judge(x, next, s, link->n);
	if (link->n == x->first[s].n)
		missing_judge(x, s, link->n);
	return r;
}

static void not_reached(struct audit *x, uint16_t shard, const struct hr_err *err)
{
	char why[sizeof(err->text) + 200];

	(void)snprintf(why, sizeof(why),
		       "stands at link %" PRIu64 ", and cannot be compared: %s%s",
		       x->last[shard].n, err->text,
		       x->begins[shard] <= 1
			       ? " (what is trimmed cannot be folded again; a "
				 "checkpoint, restored, tells what it held)"
			       : "");
	leave_out(x, shard, NULL, why);
}

/* Fold the log up to where the shard was read last. -EIO and -ENODATA are told. */
static int shard_fold(struct audit *x, uint16_t shard, uint32_t *next,
		      struct hr_err *err)
{
	const uint64_t behind = x->begins[shard] - 1;
	struct hr_audit_links links;
	uint64_t n = behind;
	int r = hr_audit_links_open(&links, x->a->config, x->a->set, shard, behind,
				    false, err);

	if (r < 0)
		return r;
	while (n < x->last[shard].n) {
		struct hr_link *link;

		r = hr_audit_links_next(&links, &link, err);
		if (r < 0)
			break;
		n = link->n;
		r = link_take(x, next, link);
		hr_link_put(link);
		if (r < 0) {
			hr_fail(err, r, "shard %u: link %" PRIu64 ": %s", shard, n,
				r == -ENOMEM ? "no memory for what it makes"
					     : "Redis is out of reach");
			break;
		}
	}
	hr_audit_links_close(&links);
	return r;
}

static int shard_compare(struct audit *x, uint16_t shard, struct hr_err *err)
{
	struct hr_audit_sum *sum = &x->a->sums[shard];
	uint32_t next = 0;
	int r;

	while (next < x->n_batches && x->batches[next].shard != shard)
		next++;
	batches_judge(x, &next, shard, x->begins[shard] - 1);
	r = shard_fold(x, shard, &next, err);
	if (r == -ENODATA || r == -ESTALE || (r == -EIO && x->redis->err == 0)) {
		not_reached(x, shard, err);
		return 0;
	}
	*sum = (struct hr_audit_sum){ .n = x->last[shard].n,
				      .from_n = x->begins[shard],
				      .n_users = sum->n_users,
				      .n_values = sum->n_values,
				      .n_findings = sum->n_findings,
				      .is_compared = r == 0 };
	return r;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static int read_all(struct audit *x, struct hr_err *err)
{
	const uint32_t n = x->a->set->n_shards;
	int r = positions_read(x, x->first, err);

	memcpy(x->last, x->first, n * sizeof(*x->last));
	if (r == 0)
		r = begins_read(x, err);
	if (r == 0)
		r = keys_scan(x, err);
	for (uint16_t s = 0; s < n && r == 0; s++)
		if (hr_audit_wants(x->a, s) && !x->is_out[s])
			r = users_read(x, s, err);
	if (r == 0)
		r = categories_read(x, err);
	/* What stands in a set of theirs is made by links up to here. */
	if (r == 0)
		r = positions_read(x, x->last, err);
	return r == 0 ? damage_read(x, err) : r;
}

static int compare_all(struct audit *x, struct hr_err *err)
{
	int r = 0;

	for (uint16_t s = 0; s < x->a->set->n_shards && r == 0; s++)
		if (hr_audit_wants(x->a, s) && !x->is_out[s])
			r = shard_compare(x, s, err);
	if (r == 0)
		categories_judge(x);
	return r == 0 ? similar_again(x, err) : r;
}

static void fini(struct audit *x)
{
	for (uint32_t i = 0; i < x->n_batches; i++)
		free(x->batches[i].users);
	for (uint32_t i = 0; i < x->n_categories; i++)
		free(x->categories[i].name);
	for (uint32_t i = 0; i < x->n_asked; i++)
		free(x->asked[i].name);
	hr_audit_model_free(x->model);
	free(x->batches);
	free(x->categories);
	free(x->asked);
	free(x->first);
	free(x->last);
	free(x->begins);
	free(x->is_out);
}

int hr_audit_redis(struct hr_audit *a, redisContext *redis, struct hr_err *err)
{
	const uint32_t n = a->set->n_shards;
	struct audit x = {
		.a = a,
		.redis = redis,
		.first = calloc(n, sizeof(*x.first)),
		.last = calloc(n, sizeof(*x.last)),
		.begins = calloc(n, sizeof(*x.begins)),
		.is_out = calloc(n, sizeof(*x.is_out)),
	};
	const struct hr_audit_model_conf conf = {
		.n_shards = n,
		.recent_max = a->config->recent_views_max,
		.members_max = a->config->recommendations_max,
		.ask_similar = ask_similar,
		.made = made,
		.ctx = &x,
	};
	int r = 0;

	if (x.first == NULL || x.last == NULL || x.begins == NULL || x.is_out == NULL ||
	    hr_audit_model_new(&x.model, &conf) < 0)
		r = hr_fail(err, -ENOMEM, "no memory to compare Redis");
	if (r == 0)
		r = read_all(&x, err);
	if (r == 0)
		r = compare_all(&x, err);
	fini(&x);
	return r;
}
