/* SPDX-License-Identifier: BSD-3-Clause */

/* redis_tick: what must be known before the tick can be written. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/redis_tick_impl.h"

enum read_kind {
	READ_STATE,
	READ_CATEGORIES,
	READ_SCORES,
	READ_TRIMMED,
	READ_SIMILAR,
};

struct hr_redis_read {
	enum read_kind kind;
	struct hr_redis_owner *user;
	struct hr_redis_similar *similar;
	uint32_t first, n; /* in asked */
};

/* ---- asking ----------------------------------------------------------------------- */

static struct hr_redis_read *new_read(struct hr_redis_tick *t, enum read_kind kind,
				      struct hr_redis_owner *user)
{
	struct hr_redis_read *r;

	if (t->n_reads == t->max_reads) {
		uint32_t max = t->max_reads == 0 ? 1024 : 2 * t->max_reads;

		r = realloc(t->reads, max * sizeof(*r));
		if (r == NULL)
			return NULL;
		t->reads = r;
		t->max_reads = max;
	}
	r = &t->reads[t->n_reads++];
	*r = (struct hr_redis_read){ .kind = kind, .user = user, .first = t->n_asked };
	return r;
}

static void put_key(struct hr_resp *b, const struct hr_redis_read *r)
{
	struct hr_str user = r->user != NULL ? hr_redis_owner_name(r->user)
					     : (struct hr_str){ NULL, 0 };

	switch (r->kind) {
	case READ_STATE:
		hr_resp_key(b, "headrace:user:", user, ":state");
		break;
	case READ_CATEGORIES:
		hr_resp_key(b, "headrace:user:", user, ":categories");
		break;
	case READ_SCORES:
	case READ_TRIMMED:
		hr_resp_key(b, "user:", user, ":recommendations");
		break;
	case READ_SIMILAR:
		hr_resp_key(b, "product:", hr_redis_similar_name(r->similar),
			    ":similar");
		break;
	}
}

static int ask_state(struct hr_redis_tick *t, struct hr_resp *b,
		     struct hr_redis_owner *user)
{
	struct hr_redis_read *r = new_read(t, READ_STATE, user);

	if (r == NULL)
		return -ENOMEM;
	hr_resp_command(b, 2);
	hr_resp_word(b, "GET");
	put_key(b, r);
	return 0;
}

/* One command for all of a list that are not known. */
static int ask_cells(struct hr_redis_tick *t, struct hr_resp *b, enum read_kind kind,
		     struct hr_redis_cell *touched)
{
	struct hr_redis_read *r = NULL;
	uint32_t first = t->n_asked;

	for (struct hr_redis_cell *c = touched; c != NULL; c = c->next_touched) {
		if (c->owner->is_complete)
			c->is_known = true;
		if (!c->is_known && hr_redis_tick_note(t, c) < 0)
			return -ENOMEM;
	}
	if (t->n_asked == first)
		return 0;
	r = new_read(t, kind, touched->owner);
	if (r == NULL)
		return -ENOMEM;
	r->first = first;
	r->n = t->n_asked - first;
	hr_resp_command(b, 2 + r->n);
	hr_resp_word(b, kind == READ_SCORES ? "ZMSCORE" : "HMGET");
	put_key(b, r);
	for (uint32_t i = first; i < t->n_asked; i++)
		hr_resp_text(b, t->asked[i]->name, t->asked[i]->n);
	return 0;
}

/* The members that go before this tick's come; behind the scores, because a member
 * that goes has none. */
static int ask_trimmed(struct hr_redis_tick *t, struct hr_resp *b,
		       struct hr_redis_owner *user)
{
	struct hr_redis_read *r;

	if (user->members == NULL || user->is_trim_known ||
	    (user->is_known && user->period >= user->tick_period))
		return 0;
	if (user->is_complete && user->n_present <= t->conf.recommendations_max) {
		user->is_trim_known = true;
		return 0;
	}
	r = new_read(t, READ_TRIMMED, user);
	if (r == NULL)
		return -ENOMEM;
	hr_resp_command(b, 4);
	hr_resp_word(b, "ZRANGE");
	put_key(b, r);
	hr_resp_word(b, "0");
	hr_resp_number(b, hr_redis_tick_last_rank(t));
	return 0;
}

static int ask_similar(struct hr_redis_tick *t, struct hr_resp *b,
		       struct hr_redis_similar *s)
{
	struct hr_redis_read *r;

	if (s->is_asked)
		return 0;
	s->is_asked = true;
	r = new_read(t, READ_SIMILAR, NULL);
	if (r == NULL)
		return -ENOMEM;
	r->similar = s;
	hr_resp_command(b, 2);
	hr_resp_word(b, "SMEMBERS");
	put_key(b, r);
	return 0;
}

static int carry(struct hr_redis_tick *t, struct hr_redis_cell *viewed,
		 const struct hr_redis_similar *s)
{
	for (uint32_t i = 0; i < s->n_members; i++) {
		struct hr_redis_cell *cell = hr_redis_cell_get(
			&t->table, viewed->owner, HR_CELL_MEMBER, s->members[i]);

		if (cell == NULL)
			return -ENOMEM;
		hr_redis_tick_touch(t, cell, (int64_t)viewed->n_viewed * HR_SCORE_HALF);
	}
	viewed->n_viewed = 0;
	return 0;
}

/* A set that was read in this tick counts whatever its age, or a slow Redis and a short
 * life would read it for ever. */
static bool is_fresh(const struct hr_redis_tick *t, const struct hr_redis_similar *s,
		     uint64_t now_us)
{
	return s->read_tick == t->table.tick ||
	       (s->read_mono_us != 0 &&
		now_us - s->read_mono_us <= t->conf.similar_cache_us);
}

/* Views go to similar products as soon as those are known. */
static int carry_views(struct hr_redis_tick *t, struct hr_resp *b,
		       struct hr_redis_owner *user, uint64_t now_us)
{
	struct hr_redis_cell **at = &user->viewed;
	int r = 0;

	while (*at != NULL && r == 0) {
		struct hr_redis_cell *cell = *at;
		struct hr_redis_similar *s =
			hr_redis_similar_get(&t->table, hr_redis_cell_name(cell));

		if (s == NULL)
			return -ENOMEM;
		if (!is_fresh(t, s, now_us)) {
			r = ask_similar(t, b, s);
			at = &cell->next_viewed;
			continue;
		}
		r = carry(t, cell, s);
		*at = cell->next_viewed;
		cell->is_viewed = false;
		cell->next_viewed = NULL;
	}
	return r;
}

static int ask_user(struct hr_redis_tick *t, struct hr_resp *b,
		    struct hr_redis_owner *user, uint64_t now_us)
{
	int r = 0;

	if (!user->is_known)
		r = ask_state(t, b, user);
	if (r == 0)
		r = carry_views(t, b, user, now_us);
	if (r == 0)
		r = ask_cells(t, b, READ_CATEGORIES, user->categories);
	if (r == 0)
		r = ask_cells(t, b, READ_SCORES, user->members);
	if (r == 0)
		r = ask_trimmed(t, b, user);
	return r;
}

int hr_redis_tick_ask(struct hr_redis_tick *t, struct hr_resp *b, uint64_t now_mono_us)
{
	t->n_reads = t->n_asked = 0;
	for (struct hr_redis_owner *u = t->users; u != NULL; u = u->next_touched) {
		int r = ask_user(t, b, u, now_mono_us);

		if (r < 0)
			return r;
	}
	return (int)t->n_reads;
}

/* ---- answers ---------------------------------------------------------------------- */

static void damaged(struct hr_redis_tick *t, const struct hr_redis_read *r,
		    const char *what)
{
	struct hr_resp b = { 0 };
	const char *text;

	put_key(&b, r);
	if (b.failed)
		return;
	text = memchr(b.p, '\n', b.n);
	hr_redis_damage_add(
		&t->damage,
		(struct hr_str){ (const uint8_t *)text + 1,
				 (uint32_t)(b.n - 2 - (size_t)(text + 1 - b.p)) },
		what);
	hr_resp_free(&b);
}

static void damaged_value(struct hr_redis_tick *t, const struct hr_redis_read *r,
			  const char *expected, const char *found, size_t n)
{
	char what[160];

	(void)snprintf(what, sizeof(what), "expected %s, found \"%.*s\"", expected,
		       n > 80 ? 80 : (int)n, found);
	damaged(t, r, what);
}

static void take_state(struct hr_redis_tick *t, const struct hr_redis_read *r,
		       const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_STRING &&
	    !hr_redis_state_parse(r->user, reply->str, reply->len))
		damaged_value(t, r, "what this view writes", reply->str, reply->len);
	/* Positions are watched: who has no state has nothing of ours. */
	r->user->is_complete = reply->type == REDIS_REPLY_NIL;
	r->user->is_known = true;
}

static bool parse_cell(const struct hr_redis_read *r, const redisReply *x, int64_t *out)
{
	*out = 0;
	if (x->type == REDIS_REPLY_NIL)
		return true;
	if (x->type != REDIS_REPLY_STRING)
		return false;
	return r->kind == READ_SCORES ? hr_score_parse(x->str, x->len, out)
				      : hr_redis_number_parse(x->str, x->len, out);
}

static void take_cells(struct hr_redis_tick *t, const struct hr_redis_read *r,
		       const redisReply *reply)
{
	bool is_whole = reply->type == REDIS_REPLY_ARRAY && reply->elements == r->n;

	for (uint32_t i = 0; i < r->n; i++) {
		struct hr_redis_cell *c = t->asked[r->first + i];

		if (is_whole && !parse_cell(r, reply->element[i], &c->value))
			damaged_value(t, r, "a number", reply->element[i]->str,
				      reply->element[i]->len);
		c->is_known = true;
	}
}

static struct hr_str text_of(const redisReply *x)
{
	return (struct hr_str){ (const uint8_t *)x->str,
				x->type == REDIS_REPLY_STRING ? (uint32_t)x->len : 0 };
}

static int take_trimmed(struct hr_redis_tick *t, const struct hr_redis_read *r,
			const redisReply *reply)
{
	struct hr_redis_owner *u = r->user;

	u->is_trim_known = true;
	if (u->period >= u->tick_period || reply->type != REDIS_REPLY_ARRAY)
		return 0;
	u->n_trimmed = (uint32_t)reply->elements;
	for (size_t i = 0; i < reply->elements; i++) {
		struct hr_redis_cell *c = hr_redis_cell_get(
			&t->table, u, HR_CELL_MEMBER, text_of(reply->element[i]));

		if (c == NULL)
			return -ENOMEM;
		u->n_present -= u->is_complete && c->value != 0;
		c->value = 0;
		c->is_known = true;
	}
	return 0;
}

static int take_similar(struct hr_redis_tick *t, const struct hr_redis_read *r,
			const redisReply *reply, uint64_t now_us)
{
	size_t n = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
	struct hr_str *members = malloc((n + 1) * sizeof(*members));
	int result;

	if (members == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		members[i] = text_of(reply->element[i]);
	result = hr_redis_similar_set(&t->table, r->similar, members, (uint32_t)n,
				      now_us);
	free(members);
	return result;
}

int hr_redis_tick_answer(struct hr_redis_tick *t, uint32_t i, const redisReply *reply,
			 uint64_t now_mono_us, struct hr_err *err)
{
	const struct hr_redis_read *r = &t->reads[i];

	assert(i < t->n_reads);
	if (reply->type == REDIS_REPLY_ERROR) {
		if (strncmp(reply->str, "WRONGTYPE", 9) != 0)
			return hr_fail(err, -EAGAIN, "%s", reply->str);
		/* The shop's key is not ours to call damaged: it has no members. */
		if (r->kind != READ_SIMILAR)
			damaged(t, r, reply->str);
	}
	switch (r->kind) {
	case READ_STATE:
		take_state(t, r, reply);
		break;
	case READ_CATEGORIES:
	case READ_SCORES:
		take_cells(t, r, reply);
		break;
	case READ_TRIMMED:
		return take_trimmed(t, r, reply);
	case READ_SIMILAR:
		return take_similar(t, r, reply, now_mono_us);
	}
	return 0;
}
