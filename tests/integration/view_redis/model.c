/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/integration/view_redis/model.h"

#define USERS_MAX 200000
#define PRODUCTS_MAX 20000
#define CATEGORIES_MAX 200
#define TOLD_MAX 10

struct tally {
	int32_t no;
	int64_t count; /* of events; of a score: halves */
};

struct tallies {
	struct tally *rows;
	uint32_t n, max;
};

struct user {
	bool is_there;
	int64_t views, purchases, newest_ms;
	uint64_t period;
	struct tallies categories, scores;
	int32_t *recent; /* oldest first */
	uint32_t n_recent;
};

struct model {
	uint32_t recent_max, recommendations_max;
	struct user *users;
	struct tallies *similar; /* by product */
	uint8_t *in_category;    /* [category][product] */
	uint32_t n_told, n_different;
};

struct model *model_new(uint32_t recent_max, uint32_t recommendations_max)
{
	struct model *m = calloc(1, sizeof(*m));

	m->recent_max = recent_max;
	m->recommendations_max = recommendations_max;
	m->users = calloc(USERS_MAX, sizeof(*m->users));
	m->similar = calloc(PRODUCTS_MAX, sizeof(*m->similar));
	m->in_category = calloc(CATEGORIES_MAX, PRODUCTS_MAX);
	return m;
}

void model_free(struct model *m)
{
	for (uint32_t i = 0; i < USERS_MAX; i++) {
		free(m->users[i].categories.rows);
		free(m->users[i].scores.rows);
		free(m->users[i].recent);
	}
	for (uint32_t i = 0; i < PRODUCTS_MAX; i++)
		free(m->similar[i].rows);
	free(m->users);
	free(m->similar);
	free(m->in_category);
	free(m);
}

static struct tally *tally(struct tallies *t, int32_t no)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->rows[i].no == no)
			return &t->rows[i];
	if (t->n == t->max) {
		t->max = t->max == 0 ? 4 : 2 * t->max;
		t->rows = realloc(t->rows, t->max * sizeof(*t->rows));
	}
	t->rows[t->n] = (struct tally){ .no = no };
	return &t->rows[t->n++];
}

void model_similar(struct model *m, int32_t product, const int32_t *members, uint32_t n)
{
	m->similar[product].n = 0;
	for (uint32_t i = 0; i < n; i++)
		tally(&m->similar[product], members[i]);
}

void model_write_similar(struct model *m, redisContext *redis)
{
	for (int32_t p = 0; p < PRODUCTS_MAX; p++) {
		const struct tallies *s = &m->similar[p];

		if (s->max == 0)
			continue;
		freeReplyObject(redisCommand(redis, "DEL product:p%d:similar", p));
		for (uint32_t i = 0; i < s->n; i++)
			freeReplyObject(redisCommand(redis,
						     "SADD product:p%d:similar p%d", p,
						     s->rows[i].no));
	}
}

/* ---- the contract ---------------------------------------------------------------------- */

static int by_score(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;
	char p[16], q[16];

	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	(void)snprintf(p, sizeof(p), "p%d", x->no);
	(void)snprintf(q, sizeof(q), "p%d", y->no);
	return strcmp(p, q);
}

static void cut(struct model *m, struct user *u)
{
	struct tallies *t = &u->scores;
	uint32_t gone =
		t->n > m->recommendations_max ? t->n - m->recommendations_max : 0;

	qsort(t->rows, t->n, sizeof(*t->rows), by_score);
	memmove(t->rows, t->rows + gone, (t->n - gone) * sizeof(*t->rows));
	t->n -= gone;
}

static void view(struct model *m, struct user *u, int32_t product, uint64_t n)
{
	const struct tallies *similar = &m->similar[product];

	if (u->scores.n > 0 && u->period != n / 256)
		cut(m, u);
	u->period = n / 256;
	tally(&u->scores, product)->count += 2;
	for (uint32_t i = 0; i < similar->n; i++)
		tally(&u->scores, similar->rows[i].no)->count += 1;
	if (u->recent == NULL)
		u->recent = malloc((m->recent_max + 1) * sizeof(*u->recent));
	u->recent[u->n_recent++] = product;
	if (u->n_recent > m->recent_max) {
		u->n_recent--;
		memmove(u->recent, u->recent + 1, u->n_recent * sizeof(*u->recent));
	}
}

void model_event(struct model *m, const struct world_event *ev, uint64_t n)
{
	struct user *u = &m->users[ev->user];

	if (!u->is_there || ev->time_ms > u->newest_ms)
		u->newest_ms = ev->time_ms;
	u->is_there = true;
	u->views += ev->type == 1;
	u->purchases += ev->type == 2;
	if (ev->category >= 0)
		tally(&u->categories, ev->category)->count++;
	if (ev->category >= 0 && ev->product >= 0)
		m->in_category[ev->category * PRODUCTS_MAX + ev->product] = 1;
	if (ev->type == 1 && ev->product >= 0)
		view(m, u, ev->product, n);
}

/* ---- comparison -------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
differ(struct model *m, const char *fmt, ...)
{
	va_list args;

	m->n_different++;
	if (m->n_told++ >= TOLD_MAX)
		return;
	va_start(args, fmt);
	fprintf(stderr, "    ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
}

static bool is_text(const redisReply *r, const char *text)
{
	return r->type == REDIS_REPLY_STRING && strcmp(r->str, text) == 0;
}

static const char *field(const redisReply *hash, const char *name)
{
	for (size_t i = 0; i + 1 < hash->elements; i += 2)
		if (is_text(hash->element[i], name))
			return hash->element[i + 1]->str;
	return "(none)";
}

static void expect_field(struct model *m, uint32_t user, const redisReply *hash,
			 const char *name, const char *expected)
{
	if (strcmp(field(hash, name), expected) != 0)
		differ(m, "user:user_%u:profile %s is %s, expected %s", user, name,
		       field(hash, name), expected);
}

static void expect_number(struct model *m, uint32_t user, const redisReply *hash,
			  const char *name, int64_t expected)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRId64, expected);
	expect_field(m, user, hash, name, text);
}

static void print_time(int64_t ms, char out[64])
{
	time_t s = (time_t)(ms / 1000);
	struct tm t;

	gmtime_r(&s, &t);
	(void)snprintf(out, 64, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900,
		       t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
		       (int)(ms % 1000));
}

static bool favourite(const struct user *u, char out[32])
{
	int64_t best = 0;

	for (uint32_t i = 0; i < u->categories.n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "c %d", u->categories.rows[i].no);
		if (u->categories.rows[i].count < best ||
		    (u->categories.rows[i].count == best && strcmp(name, out) > 0))
			continue;
		best = u->categories.rows[i].count;
		strcpy(out, name);
	}
	return best > 0;
}

static void compare_profile(struct model *m, uint32_t user, const redisReply *r)
{
	const struct user *u = &m->users[user];
	char time[64], category[32] = "";

	print_time(u->newest_ms, time);
	expect_number(m, user, r, "total_views", u->views);
	expect_number(m, user, r, "total_purchases", u->purchases);
	expect_field(m, user, r, "last_active", time);
	if (favourite(u, category))
		expect_field(m, user, r, "favorite_category", category);
	if (r->elements != (category[0] != '\0' ? 8 : 6))
		differ(m, "user:user_%u:profile has %zu fields", user, r->elements / 2);
}

static void compare_recent(struct model *m, uint32_t user, const redisReply *r)
{
	const struct user *u = &m->users[user];
	char name[32];

	if (r->elements != u->n_recent) {
		differ(m, "user:user_%u:recent_views has %zu, expected %u", user,
		       r->elements, u->n_recent);
		return;
	}
	for (uint32_t i = 0; i < u->n_recent; i++) {
		(void)snprintf(name, sizeof(name), "p%d",
			       u->recent[u->n_recent - 1 - i]);
		if (!is_text(r->element[i], name))
			differ(m, "user:user_%u:recent_views %u is %s, expected %s",
			       user, i, r->element[i]->str, name);
	}
}

static void compare_scores(struct model *m, uint32_t user, const redisReply *r)
{
	struct user *u = &m->users[user];
	char name[32], score[48];

	if (u->scores.n > 0)
		qsort(u->scores.rows, u->scores.n, sizeof(struct tally), by_score);
	if (r->elements != 2 * (size_t)u->scores.n) {
		differ(m, "user:user_%u:recommendations has %zu, expected %u", user,
		       r->elements / 2, u->scores.n);
		return;
	}
	for (uint32_t i = 0; i < u->scores.n; i++) {
		const struct tally *t = &u->scores.rows[i];

		(void)snprintf(name, sizeof(name), "p%d", t->no);
		(void)snprintf(score, sizeof(score), "%" PRId64 "%s", t->count / 2,
			       t->count % 2 != 0 ? ".5" : "");
		if (!is_text(r->element[2 * i], name) ||
		    !is_text(r->element[2 * i + 1], score))
			differ(m,
			       "user:user_%u:recommendations %u is %s %s, expected %s "
			       "%s",
			       user, i, r->element[2 * i]->str,
			       r->element[2 * i + 1]->str, name, score);
	}
}

static void compare_categories(struct model *m, uint32_t user, const redisReply *r)
{
	const struct tallies *t = &m->users[user].categories;
	char name[32], count[32];

	if (r->elements != 2 * (size_t)t->n)
		differ(m, "headrace:user:user_%u:categories has %zu, expected %u", user,
		       r->elements / 2, t->n);
	for (uint32_t i = 0; i < t->n; i++) {
		(void)snprintf(name, sizeof(name), "c %d", t->rows[i].no);
		(void)snprintf(count, sizeof(count), "%" PRId64, t->rows[i].count);
		if (strcmp(field(r, name), count) != 0)
			differ(m,
			       "headrace:user:user_%u:categories %s is %s, expected %s",
			       user, name, field(r, name), count);
	}
}

/* Returns how many keys the user must have. */
static uint32_t compare_user(struct model *m, redisContext *redis, uint32_t user,
			     bool is_damaged)
{
	void (*const compare[])(struct model *, uint32_t, const redisReply *) = {
		compare_profile, compare_recent, compare_scores, compare_categories
	};
	const struct user *u = &m->users[user];

	redisAppendCommand(redis, "HGETALL user:user_%u:profile", user);
	redisAppendCommand(redis, "LRANGE user:user_%u:recent_views 0 -1", user);
	redisAppendCommand(redis, "ZRANGE user:user_%u:recommendations 0 -1 WITHSCORES",
			   user);
	redisAppendCommand(redis, "HGETALL headrace:user:user_%u:categories", user);
	for (uint32_t i = 0; i < 4; i++) {
		void *reply = NULL;

		if (redisGetReply(redis, &reply) != REDIS_OK) {
			differ(m, "Redis does not answer: %s", redis->errstr);
			return 0;
		}
		if (!is_damaged || i > 0)
			compare[i](m, user, reply);
		freeReplyObject(reply);
	}
	return 2u + (u->n_recent > 0) + (u->scores.n > 0) + (u->categories.n > 0);
}

static uint32_t compare_category(struct model *m, redisContext *redis,
				 uint32_t category)
{
	const uint8_t *in = m->in_category + category * PRODUCTS_MAX;
	redisReply *r;
	char name[48];
	uint32_t n = 0;

	(void)snprintf(name, sizeof(name), "category:c %u:products", category);
	r = redisCommand(redis, "SMEMBERS %s", name);
	for (uint32_t p = 0; p < PRODUCTS_MAX; p++)
		n += in[p];
	if (r->elements != n)
		differ(m, "%s has %zu members, expected %u", name, r->elements, n);
	for (size_t i = 0; i < r->elements; i++) {
		int p = atoi(r->element[i]->str + 1);

		if (p < 0 || p >= PRODUCTS_MAX || !in[p])
			differ(m, "%s has %s", name, r->element[i]->str);
	}
	freeReplyObject(r);
	return n > 0;
}

static uint32_t compare_position(struct model *m, redisContext *redis,
				 const struct world *w, uint16_t shard)
{
	redisReply *r = redisCommand(redis, "GET headrace:shard:%u", shard);
	const struct hr_link *last = w->shards[shard].links[w->shards[shard].n - 1];
	struct hr_position p = { 0 };

	if (r->type != REDIS_REPLY_STRING || hr_position_parse(r->str, r->len, &p) < 0)
		differ(m, "headrace:shard:%u is no position", shard);
	else if (p.n != last->n || p.k != 0 || p.generation != 1 ||
		 !hr_id128_equals(&p.hash, &last->hash))
		differ(m, "headrace:shard:%u is %s, the log is at link %" PRIu64, shard,
		       r->str, last->n);
	freeReplyObject(r);
	return 1;
}

uint32_t model_compare(struct model *m, redisContext *redis, const struct world *w,
		       uint32_t extra_keys, uint32_t damaged_user)
{
	uint32_t n_keys = extra_keys;
	redisReply *size;

	m->n_different = m->n_told = 0;
	for (uint32_t user = 0; user < USERS_MAX; user++)
		if (m->users[user].is_there)
			n_keys += compare_user(m, redis, user, user == damaged_user);
	for (uint32_t c = 0; c < CATEGORIES_MAX; c++)
		n_keys += compare_category(m, redis, c);
	for (uint16_t s = 0; s < w->set.n_shards; s++)
		n_keys += compare_position(m, redis, w, s);
	for (uint32_t p = 0; p < PRODUCTS_MAX; p++)
		n_keys += m->similar[p].n > 0;
	size = redisCommand(redis, "EXISTS headrace:run");
	n_keys += (uint32_t)size->integer;
	freeReplyObject(size);
	size = redisCommand(redis, "DBSIZE");
	if (size->integer != n_keys)
		differ(m, "there are %lld keys, expected %u", size->integer, n_keys);
	freeReplyObject(size);
	return m->n_different;
}
