/* SPDX-License-Identifier: BSD-3-Clause */

/* redis_tick: the commands of a tick, and the values they leave behind. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dataplane/view/redis_tick_impl.h"

/* Bytewise, the shorter one first where one is the other's beginning. */
static bool is_smaller(struct hr_str a, struct hr_str b)
{
	int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return r < 0 || (r == 0 && a.n < b.n);
}

/*
 * Counts only grow, so the new favourite is the old one or one that was touched: of all
 * others, none has more than the old one had, nor as many and a smaller name.
 */
static void choose_favourite(struct hr_redis_owner *u)
{
	for (struct hr_redis_cell *c = u->categories; c != NULL; c = c->next_touched) {
		struct hr_str name = hr_redis_cell_name(c);
		struct hr_str best = { u->favourite, u->favourite_bytes };

		if (hr_str_equals(name, best))
			u->favourite_count = c->value;
	}
	for (struct hr_redis_cell *c = u->categories; c != NULL; c = c->next_touched) {
		struct hr_str name = hr_redis_cell_name(c);
		struct hr_str best = { u->favourite, u->favourite_bytes };

		if (c->value < u->favourite_count ||
		    (c->value == u->favourite_count && !is_smaller(name, best)))
			continue;
		assert(c->n <= HR_CATEGORY_MAX);
		u->favourite_count = c->value;
		u->favourite_bytes = (uint8_t)c->n;
		memcpy(u->favourite, c->name, c->n);
	}
}

/* What of the profile this tick changes. */
struct profile_changes {
	bool views, purchases, newest, favourite;
};

static void add_cells(struct hr_redis_owner *u)
{
	for (struct hr_redis_cell *c = u->categories; c != NULL; c = c->next_touched) {
		assert(c->is_known && c->value >= 0 && c->delta > 0);
		c->value += c->delta;
	}
	for (struct hr_redis_cell *c = u->members; c != NULL; c = c->next_touched) {
		assert(c->is_known && c->n_viewed == 0 && c->delta > 0);
		u->n_present += c->value == 0;
		c->value += c->delta;
	}
}

/* The tick's share becomes the user's. The first time everything is written, in case
 * somebody removed the profile meanwhile. */
static struct profile_changes add_share(struct hr_redis_owner *u)
{
	struct hr_str before = { u->favourite, u->favourite_bytes };
	uint8_t favourite[HR_CATEGORY_MAX];
	struct profile_changes changes = {
		.views = u->tick_views > 0 || !u->is_profile_written,
		.purchases = u->tick_purchases > 0 || !u->is_profile_written,
		.newest = u->tick_newest_ms > u->newest_ms || !u->is_profile_written,
	};

	memcpy(favourite, u->favourite, u->favourite_bytes);
	before.p = favourite;
	u->views += u->tick_views;
	u->purchases += u->tick_purchases;
	if (u->tick_newest_ms > u->newest_ms)
		u->newest_ms = u->tick_newest_ms;
	add_cells(u);
	choose_favourite(u);
	changes.favourite =
		u->favourite_bytes > 0 &&
		(!u->is_profile_written ||
		 !hr_str_equals(before,
				(struct hr_str){ u->favourite, u->favourite_bytes }));
	u->is_profile_written = true;
	return changes;
}

static void write_trim(struct hr_redis_tick *t, struct hr_resp *b,
		       struct hr_redis_owner *u)
{
	if (u->members == NULL || u->period >= u->tick_period)
		return;
	assert(u->is_trim_known);
	u->period = u->tick_period;
	if (u->n_trimmed == 0)
		return;
	hr_resp_command(b, 4);
	hr_resp_word(b, "ZREMRANGEBYRANK");
	hr_resp_key(b, "user:", hr_redis_owner_name(u), ":recommendations");
	hr_resp_word(b, "0");
	hr_resp_number(b, hr_redis_tick_last_rank(t));
}

static void write_profile(struct hr_resp *b, const struct hr_redis_owner *u,
			  const struct profile_changes *changes)
{
	uint32_t n = (uint32_t)changes->views + changes->purchases + changes->newest +
		     changes->favourite;
	char time[HR_TIME_ISO_BYTES];

	if (n == 0)
		return;
	hr_resp_command(b, 2 + 2 * n);
	hr_resp_word(b, "HSET");
	hr_resp_key(b, "user:", hr_redis_owner_name(u), ":profile");
	if (changes->views) {
		hr_resp_word(b, "total_views");
		hr_resp_number(b, u->views);
	}
	if (changes->purchases) {
		hr_resp_word(b, "total_purchases");
		hr_resp_number(b, u->purchases);
	}
	if (changes->newest) {
		hr_time_iso(u->newest_ms, time);
		hr_resp_word(b, "last_active");
		hr_resp_text(b, time, sizeof(time));
	}
	if (changes->favourite) {
		hr_resp_word(b, "favorite_category");
		hr_resp_text(b, u->favourite, u->favourite_bytes);
	}
}

static void write_state(struct hr_resp *b, const struct hr_redis_owner *u)
{
	char text[HR_STATE_TEXT];

	hr_resp_command(b, 3);
	hr_resp_word(b, "SET");
	hr_resp_key(b, "headrace:user:", hr_redis_owner_name(u), ":state");
	hr_resp_text(b, text, hr_redis_state_print(u, text));
}

static void write_categories(struct hr_resp *b, const struct hr_redis_owner *u)
{
	if (u->categories == NULL)
		return;
	hr_resp_command(b, 2 + 2 * u->n_categories);
	hr_resp_word(b, "HSET");
	hr_resp_key(b, "headrace:user:", hr_redis_owner_name(u), ":categories");
	for (struct hr_redis_cell *c = u->categories; c != NULL; c = c->next_touched) {
		hr_resp_text(b, c->name, c->n);
		hr_resp_number(b, c->value);
	}
}

/* LPUSH wants the oldest first. What would be pushed out again is left out. The list
 * is never longer than there were views. */
static int write_recent(struct hr_redis_tick *t, struct hr_resp *b,
			const struct hr_redis_owner *u)
{
	uint32_t max = t->conf.recent_views_max;
	uint32_t n = u->n_seen < max ? u->n_seen : max;
	const struct hr_redis_seen *seen = u->seen;

	if (n == 0)
		return 0;
	t->n_asked = 0;
	for (uint32_t i = 0; i < n; i++, seen = seen->older)
		if (hr_redis_tick_note(t, seen->cell) < 0)
			return -ENOMEM;
	hr_resp_command(b, 2 + n);
	hr_resp_word(b, "LPUSH");
	hr_resp_key(b, "user:", hr_redis_owner_name(u), ":recent_views");
	while (n-- > 0)
		hr_resp_text(b, t->asked[n]->name, t->asked[n]->n);
	if (u->views <= max)
		return 0;
	hr_resp_command(b, 4);
	hr_resp_word(b, "LTRIM");
	hr_resp_key(b, "user:", hr_redis_owner_name(u), ":recent_views");
	hr_resp_word(b, "0");
	hr_resp_number(b, max - 1);
	return 0;
}

static void write_scores(struct hr_resp *b, const struct hr_redis_owner *u)
{
	if (u->members == NULL)
		return;
	hr_resp_command(b, 2 + 2 * u->n_members);
	hr_resp_word(b, "ZADD");
	hr_resp_key(b, "user:", hr_redis_owner_name(u), ":recommendations");
	for (struct hr_redis_cell *c = u->members; c != NULL; c = c->next_touched) {
		hr_resp_score(b, c->value);
		hr_resp_text(b, c->name, c->n);
	}
}

static int write_user(struct hr_redis_tick *t, struct hr_resp *b,
		      struct hr_redis_owner *u)
{
	uint32_t before = b->n_commands;
	struct profile_changes changes;
	int r;

	assert(u->is_known && u->viewed == NULL);
	changes = add_share(u);
	write_trim(t, b, u);
	write_profile(b, u, &changes);
	write_state(b, u);
	write_categories(b, u);
	r = write_recent(t, b, u);
	write_scores(b, u);
	assert(b->failed || b->n_commands - before <= 6 + (u->n_trimmed > 0));
	return r;
}

static void write_category(struct hr_resp *b, const struct hr_redis_owner *o)
{
	hr_resp_command(b, 2 + o->n_members);
	hr_resp_word(b, "SADD");
	hr_resp_key(b, "category:", hr_redis_owner_name(o), ":products");
	for (struct hr_redis_cell *c = o->members; c != NULL; c = c->next_touched) {
		hr_resp_text(b, c->name, c->n);
		c->is_known = true;
	}
}

int hr_redis_tick_write(struct hr_redis_tick *t, struct hr_resp *b)
{
	int r = 0;

	for (struct hr_redis_owner *u = t->users; u != NULL && r == 0;
	     u = u->next_touched)
		r = write_user(t, b, u);
	for (struct hr_redis_owner *o = t->categories; o != NULL; o = o->next_touched)
		write_category(b, o);
	hr_redis_tick_clear(t);
	return r < 0 || b->failed ? -ENOMEM : 0;
}
