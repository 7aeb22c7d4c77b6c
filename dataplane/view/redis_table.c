/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>

#include <xxhash.h>

#include "dataplane/view/redis_table.h"

#define FIRST_SLOTS 1024u

/* ---- maps and lists -------------------------------------------------------------- */

static int map_init(struct hr_redis_map *m)
{
	*m = (struct hr_redis_map){ .n_slots = FIRST_SLOTS };
	m->slots = calloc(FIRST_SLOTS, sizeof(*m->slots));
	return m->slots == NULL ? -ENOMEM : 0;
}

static struct hr_redis_item **slot_of(const struct hr_redis_map *m, uint64_t hash)
{
	return &m->slots[hash & (m->n_slots - 1)];
}

static struct hr_redis_item *map_first(const struct hr_redis_map *m, uint64_t hash)
{
	return *slot_of(m, hash);
}

/* Without memory the chains just get longer. */
static void map_grow(struct hr_redis_map *m)
{
	struct hr_redis_map more = { .n_slots = 2 * m->n_slots, .n = m->n };

	more.slots = calloc(more.n_slots, sizeof(*more.slots));
	if (more.slots == NULL)
		return;
	for (uint64_t i = 0; i < m->n_slots; i++) {
		struct hr_redis_item *x = m->slots[i], *next;

		for (; x != NULL; x = next) {
			struct hr_redis_item **slot = slot_of(&more, x->hash);

			next = x->chain;
			x->chain = *slot;
			*slot = x;
		}
	}
	free(m->slots);
	*m = more;
}

static void map_add(struct hr_redis_map *m, struct hr_redis_item *x)
{
	struct hr_redis_item **slot;

	if (m->n >= m->n_slots)
		map_grow(m);
	slot = slot_of(m, x->hash);
	x->chain = *slot;
	*slot = x;
	m->n++;
}

static void map_remove(struct hr_redis_map *m, struct hr_redis_item *x)
{
	struct hr_redis_item **at = slot_of(m, x->hash);

	while (*at != x)
		at = &(*at)->chain;
	*at = x->chain;
	m->n--;
}

static void list_add(struct hr_redis_list *l, struct hr_redis_item *x)
{
	x->newer = NULL;
	x->older = l->newest;
	if (l->newest != NULL)
		l->newest->newer = x;
	else
		l->oldest = x;
	l->newest = x;
}

static void list_remove(struct hr_redis_list *l, struct hr_redis_item *x)
{
	if (x->newer != NULL)
		x->newer->older = x->older;
	else
		l->newest = x->older;
	if (x->older != NULL)
		x->older->newer = x->newer;
	else
		l->oldest = x->newer;
}

static void list_use(struct hr_redis_list *l, struct hr_redis_item *x)
{
	if (l->newest == x)
		return;
	list_remove(l, x);
	list_add(l, x);
}

static uint64_t hash_of(struct hr_str name, uint64_t seed)
{
	return XXH3_64bits_withSeed(name.p, name.n, seed);
}

/* ---- owners and cells -------------------------------------------------------------- */

static size_t owner_bytes(uint32_t name_bytes)
{
	return sizeof(struct hr_redis_owner) + name_bytes;
}

static size_t cell_bytes(uint32_t name_bytes)
{
	return sizeof(struct hr_redis_cell) + name_bytes;
}

struct hr_redis_owner *hr_redis_owner_get(struct hr_redis_table *t,
					  enum hr_redis_owner_kind kind,
					  struct hr_str name)
{
	uint64_t hash = hash_of(name, kind);
	struct hr_redis_owner *o;

	for (struct hr_redis_item *x = map_first(&t->owners, hash); x; x = x->chain) {
		o = (struct hr_redis_owner *)x;
		if (x->hash != hash || o->kind != kind ||
		    !hr_str_equals(hr_redis_owner_name(o), name))
			continue;
		list_use(&t->owners_by_use, x);
		return o;
	}
	o = calloc(1, owner_bytes(name.n));
	if (o == NULL)
		return NULL;
	o->item.hash = hash;
	o->kind = (uint8_t)kind;
	o->newest_ms = o->tick_newest_ms = INT64_MIN;
	o->n = name.n;
	if (name.n > 0)
		memcpy(o->name, name.p, name.n);
	map_add(&t->owners, &o->item);
	list_add(&t->owners_by_use, &o->item);
	t->bytes += owner_bytes(name.n);
	return o;
}

struct hr_redis_cell *hr_redis_cell_get(struct hr_redis_table *t,
					struct hr_redis_owner *owner,
					enum hr_redis_cell_kind kind,
					struct hr_str name)
{
	uint64_t hash = hash_of(name, owner->item.hash + kind);
	struct hr_redis_cell *c;

	for (struct hr_redis_item *x = map_first(&t->cells, hash); x; x = x->chain) {
		c = (struct hr_redis_cell *)x;
		if (x->hash == hash && c->owner == owner && c->kind == kind &&
		    hr_str_equals(hr_redis_cell_name(c), name))
			return c;
	}
	c = calloc(1, cell_bytes(name.n));
	if (c == NULL)
		return NULL;
	c->item.hash = hash;
	c->owner = owner;
	c->kind = (uint8_t)kind;
	c->n = name.n;
	if (name.n > 0)
		memcpy(c->name, name.p, name.n);
	map_add(&t->cells, &c->item);
	c->item.newer = owner->cells;
	owner->cells = &c->item;
	t->bytes += cell_bytes(name.n);
	return c;
}

/* The first of a list of cells; returns the next one. */
static struct hr_redis_item *cell_free(struct hr_redis_table *t,
				       struct hr_redis_item *x)
{
	struct hr_redis_item *next = x->newer;

	map_remove(&t->cells, x);
	t->bytes -= cell_bytes(((struct hr_redis_cell *)x)->n);
	free(x);
	return next;
}

void hr_redis_owner_prune(struct hr_redis_table *t, struct hr_redis_owner *owner)
{
	struct hr_redis_item **at = &owner->cells;

	while (*at != NULL) {
		const struct hr_redis_cell *c = (struct hr_redis_cell *)*at;

		if (c->kind == HR_CELL_MEMBER && c->value == 0)
			*at = cell_free(t, *at);
		else
			at = &(*at)->newer;
	}
}

static void owner_free(struct hr_redis_table *t, struct hr_redis_owner *o)
{
	while (o->cells != NULL)
		o->cells = cell_free(t, o->cells);
	map_remove(&t->owners, &o->item);
	list_remove(&t->owners_by_use, &o->item);
	t->bytes -= owner_bytes(o->n);
	free(o);
}

/* ---- similar products --------------------------------------------------------------- */

struct hr_redis_similar *hr_redis_similar_get(struct hr_redis_table *t,
					      struct hr_str product)
{
	uint64_t hash = hash_of(product, 0);
	struct hr_redis_similar *s;

	for (struct hr_redis_item *x = map_first(&t->similar, hash); x; x = x->chain) {
		s = (struct hr_redis_similar *)x;
		if (x->hash != hash ||
		    !hr_str_equals(hr_redis_similar_name(s), product))
			continue;
		list_use(&t->similar_by_use, x);
		s->tick = t->tick;
		return s;
	}
	s = calloc(1, sizeof(*s) + product.n);
	if (s == NULL)
		return NULL;
	s->item.hash = hash;
	s->tick = t->tick;
	s->n = product.n;
	if (product.n > 0)
		memcpy(s->name, product.p, product.n);
	map_add(&t->similar, &s->item);
	list_add(&t->similar_by_use, &s->item);
	return s;
}

int hr_redis_similar_set(struct hr_redis_table *t, struct hr_redis_similar *s,
			 const struct hr_str *members, uint32_t n_members,
			 uint64_t now_mono_us)
{
	size_t bytes = n_members * sizeof(*members);
	struct hr_str *copy = NULL;
	uint8_t *at;

	for (uint32_t i = 0; i < n_members; i++)
		bytes += members[i].n;
	if (n_members > 0) {
		copy = malloc(bytes);
		if (copy == NULL)
			return -ENOMEM;
		at = (uint8_t *)(copy + n_members);
		for (uint32_t i = 0; i < n_members; at += members[i++].n) {
			copy[i] = (struct hr_str){ at, members[i].n };
			if (members[i].n > 0)
				memcpy(at, members[i].p, members[i].n);
		}
	}
	free(s->members);
	s->members = copy;
	s->n_members = n_members;
	s->read_mono_us = now_mono_us;
	s->read_tick = t->tick;
	s->is_asked = false;
	return 0;
}

static void similar_free(struct hr_redis_table *t, struct hr_redis_similar *s)
{
	map_remove(&t->similar, &s->item);
	list_remove(&t->similar_by_use, &s->item);
	free(s->members);
	free(s);
}

/* ---- the table ---------------------------------------------------------------------- */

int hr_redis_table_init(struct hr_redis_table *t, size_t max_bytes,
			uint32_t max_similar)
{
	*t = (struct hr_redis_table){ .max_bytes = max_bytes,
				      .max_similar = max_similar };
	if (map_init(&t->owners) < 0 || map_init(&t->cells) < 0 ||
	    map_init(&t->similar) < 0) {
		hr_redis_table_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void hr_redis_table_fini(struct hr_redis_table *t)
{
	hr_redis_table_forget(t);
	while (t->similar_by_use.oldest != NULL)
		similar_free(t, (struct hr_redis_similar *)t->similar_by_use.oldest);
	free(t->owners.slots);
	free(t->cells.slots);
	free(t->similar.slots);
	*t = (struct hr_redis_table){ 0 };
}

void hr_redis_table_forget(struct hr_redis_table *t)
{
	while (t->owners_by_use.oldest != NULL)
		owner_free(t, (struct hr_redis_owner *)t->owners_by_use.oldest);
	for (struct hr_redis_item *x = t->similar_by_use.oldest; x; x = x->newer)
		((struct hr_redis_similar *)x)->is_asked = false;
}

void hr_redis_table_trim(struct hr_redis_table *t)
{
	while (t->bytes > t->max_bytes && t->owners_by_use.oldest != NULL) {
		struct hr_redis_owner *o =
			(struct hr_redis_owner *)t->owners_by_use.oldest;

		if (o->is_touched)
			break;
		owner_free(t, o);
	}
	while (t->similar.n > t->max_similar) {
		struct hr_redis_similar *s =
			(struct hr_redis_similar *)t->similar_by_use.oldest;

		if (s->tick == t->tick)
			break;
		similar_free(t, s);
	}
}
