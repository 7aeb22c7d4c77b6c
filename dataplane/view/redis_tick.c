/* SPDX-License-Identifier: BSD-3-Clause */

/* redis_tick: links into the shares of their users. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/mutant.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/redis_tick_impl.h"

#define SEENS 1023

/* Views of a tick in order, in pieces that are used again. */
struct hr_redis_seens {
	struct hr_redis_seens *next;
	uint32_t n;
	struct hr_redis_seen items[SEENS];
};

int hr_redis_tick_init(struct hr_redis_tick *t, const struct hr_redis_tick_conf *conf)
{
	*t = (struct hr_redis_tick){ .conf = *conf };
	t->periods = malloc(conf->n_shards * sizeof(*t->periods));
	if (t->periods == NULL)
		return -ENOMEM;
	for (uint32_t s = 0; s < conf->n_shards; s++)
		t->periods[s] = NO_PERIOD;
	if (hr_redis_table_init(&t->table, conf->cache_bytes,
				conf->similar_cache_entries) < 0) {
		free(t->periods);
		return -ENOMEM;
	}
	t->table.tick = 1;
	return 0;
}

static void free_seens(struct hr_redis_seens *s)
{
	while (s != NULL) {
		struct hr_redis_seens *next = s->next;

		free(s);
		s = next;
	}
}

void hr_redis_tick_fini(struct hr_redis_tick *t)
{
	hr_redis_tick_drop(t);
	hr_redis_table_fini(&t->table);
	hr_redis_damage_clear(&t->damage);
	free_seens(t->seens_free);
	free(t->periods);
	free(t->reads);
	free(t->asked);
	*t = (struct hr_redis_tick){ 0 };
}

static struct hr_redis_seen *new_seen(struct hr_redis_tick *t)
{
	struct hr_redis_seens *s = t->seens;

	if (s == NULL || s->n == SEENS) {
		s = t->seens_free;
		if (s != NULL)
			t->seens_free = s->next;
		else
			s = malloc(sizeof(*s));
		if (s == NULL)
			return NULL;
		s->n = 0;
		s->next = t->seens;
		t->seens = s;
	}
	return &s->items[s->n++];
}

int hr_redis_tick_note(struct hr_redis_tick *t, struct hr_redis_cell *cell)
{
	if (t->n_asked == t->max_asked) {
		uint32_t max = t->max_asked == 0 ? 1024 : 2 * t->max_asked;
		struct hr_redis_cell **fresh = realloc(t->asked, max * sizeof(*fresh));

		if (fresh == NULL)
			return -ENOMEM;
		t->asked = fresh;
		t->max_asked = max;
	}
	t->asked[t->n_asked++] = cell;
	return 0;
}

static void touch_owner(struct hr_redis_tick *t, struct hr_redis_owner *o)
{
	struct hr_redis_owner **list =
		o->kind == HR_OWNER_USER ? &t->users : &t->categories;

	if (o->is_touched)
		return;
	o->is_touched = true;
	o->next_touched = *list;
	*list = o;
	t->n_users += o->kind == HR_OWNER_USER;
	t->bytes += o->kind == HR_OWNER_USER ? USER_WRITE_BYTES + 5 * o->n
					     : CATEGORY_WRITE_BYTES + o->n;
}

void hr_redis_tick_touch(struct hr_redis_tick *t, struct hr_redis_cell *cell,
			 int64_t more)
{
	struct hr_redis_owner *o = cell->owner;
	bool is_category = cell->kind == HR_CELL_CATEGORY;
	struct hr_redis_cell **list = is_category ? &o->categories : &o->members;

	cell->delta += more;
	if (cell->is_touched)
		return;
	cell->is_touched = true;
	cell->next_touched = *list;
	*list = cell;
	if (is_category)
		o->n_categories++;
	else
		o->n_members++;
	t->bytes += MEMBER_WRITE_BYTES + cell->n;
}

static int add_view(struct hr_redis_tick *t, struct hr_redis_owner *user,
		    struct hr_str product)
{
	struct hr_redis_cell *cell =
		hr_redis_cell_get(&t->table, user, HR_CELL_MEMBER, product);
	struct hr_redis_seen *seen = new_seen(t);

	if (cell == NULL || seen == NULL)
		return -ENOMEM;
	hr_redis_tick_touch(t, cell, HR_SCORE_ONE);
	cell->n_viewed++;
	if (!cell->is_viewed) {
		cell->is_viewed = true;
		cell->next_viewed = user->viewed;
		user->viewed = cell;
	}
	*seen = (struct hr_redis_seen){ user->seen, cell };
	user->seen = seen;
	user->n_seen++;
	t->bytes += user->n_seen <= t->conf.recent_views_max
			    ? MEMBER_WRITE_BYTES + product.n
			    : 0;
	return 0;
}

static int add_category(struct hr_redis_tick *t, struct hr_redis_owner *user,
			const struct hr_event *ev)
{
	struct hr_redis_cell *count, *product;
	struct hr_redis_owner *category;

	count = hr_redis_cell_get(&t->table, user, HR_CELL_CATEGORY, ev->category);
	if (count == NULL)
		return -ENOMEM;
	hr_redis_tick_touch(t, count, 1);
	if (ev->product.n == 0)
		return 0;
	category = hr_redis_owner_get(&t->table, HR_OWNER_CATEGORY, ev->category);
	if (category == NULL)
		return -ENOMEM;
	product = hr_redis_cell_get(&t->table, category, HR_CELL_MEMBER, ev->product);
	if (product == NULL)
		return -ENOMEM;
	if (product->is_known)
		return 0;
	touch_owner(t, category);
	hr_redis_tick_touch(t, product, 0);
	return 0;
}

static int add_event(struct hr_redis_tick *t, struct hr_redis_owner *user,
		     const struct hr_event *ev)
{
	int r = 0;

	if (ev->category.n > 0)
		r = add_category(t, user, ev);
	if (r == 0 && ev->type_no == HR_EVENT_PRODUCT_VIEW && ev->product.n > 0)
		r = add_view(t, user, ev->product);
	return r;
}

static int add_user(struct hr_redis_tick *t, const struct hr_out *out,
		    const struct hr_out_user *u, uint64_t period)
{
	struct hr_redis_owner *o =
		hr_redis_owner_get(&t->table, HR_OWNER_USER, u->user);
	uint32_t n = 0, i = u->first_event;

	if (o == NULL)
		return -ENOMEM;
	if (HR_MUTANT(merge_skips_one) && o->is_touched) {
		i = out->events[i].next_of_user;
		n = 1;
	}
	touch_owner(t, o);
	o->tick_period = period;
	o->tick_views += u->n_views;
	o->tick_purchases += u->n_purchases;
	if (u->last_active_ms > o->tick_newest_ms)
		o->tick_newest_ms = u->last_active_ms;
	for (; i != HR_NO_ROW; i = out->events[i].next_of_user, n++) {
		int r = add_event(t, o, &out->events[i].event);

		if (r < 0)
			return r;
	}
	assert(n == u->n_events);
	t->n_events += n;
	return 0;
}

bool hr_redis_tick_takes(const struct hr_redis_tick *t, uint16_t shard, uint64_t n)
{
	return t->periods[shard] == NO_PERIOD || HR_MUTANT(merge_across_trim) ||
	       t->periods[shard] == n / HR_TRIM_PERIOD_LINKS;
}

int hr_redis_tick_add(struct hr_redis_tick *t, const struct hr_link *link)
{
	const struct hr_out *out = link->out;
	uint64_t before = t->n_events;
	int r = 0;

	assert(hr_redis_tick_takes(t, link->shard, link->n));
	t->periods[link->shard] = link->n / HR_TRIM_PERIOD_LINKS;
	for (uint32_t i = 0; i < out->n_users && r == 0; i++)
		r = add_user(t, out, &out->users[i], t->periods[link->shard]);
	if (r < 0)
		return r;
	assert(t->n_events - before == out->verdicts[HR_COUNTED]);
	t->n_links++;
	t->held_bytes += link->held_bytes;
	return 0;
}

static void clear_cells(struct hr_redis_cell *c)
{
	while (c != NULL) {
		struct hr_redis_cell *next = c->next_touched;

		c->delta = 0;
		c->n_viewed = 0;
		c->is_touched = c->is_viewed = false;
		c->next_touched = c->next_viewed = NULL;
		c = next;
	}
}

static void clear_owners(struct hr_redis_table *t, struct hr_redis_owner *o)
{
	while (o != NULL) {
		struct hr_redis_owner *next = o->next_touched;

		clear_cells(o->categories);
		clear_cells(o->members);
		if (o->n_trimmed > 0)
			hr_redis_owner_prune(t, o);
		o->next_touched = NULL;
		o->categories = o->members = o->viewed = NULL;
		o->seen = NULL;
		o->n_categories = o->n_members = o->n_seen = o->n_trimmed = 0;
		o->is_touched = o->is_trim_known = false;
		o->tick_views = o->tick_purchases = 0;
		o->tick_newest_ms = INT64_MIN;
		o = next;
	}
}

void hr_redis_tick_clear(struct hr_redis_tick *t)
{
	clear_owners(&t->table, t->users);
	clear_owners(&t->table, t->categories);
	t->users = t->categories = NULL;
	t->n_users = 0;
	t->n_links = t->n_events = 0;
	t->bytes = t->held_bytes = 0;
	t->n_reads = t->n_asked = 0;
	for (uint32_t s = 0; s < t->conf.n_shards; s++)
		t->periods[s] = NO_PERIOD;
	while (t->seens != NULL) {
		struct hr_redis_seens *s = t->seens;

		t->seens = s->next;
		s->next = t->seens_free;
		t->seens_free = s;
	}
	t->table.tick++;
	hr_redis_table_trim(&t->table);
}

void hr_redis_tick_drop(struct hr_redis_tick *t)
{
	hr_redis_tick_clear(t);
	hr_redis_table_forget(&t->table);
}
