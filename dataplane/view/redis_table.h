/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_TABLE_H
#define HR_REDIS_TABLE_H

/*
 * redis_table - what this connection knows of the keys it writes, and what the open
 * tick will add to it.
 *
 *   owner (a user, or a category) ── cell (category count | score | member) ── ...
 *
 * A value is known when it was read under the WATCH or written by this connection;
 * the tick's share waits beside it until the tick is built. Owners leave in the order
 * of their last use when the table is over its bytes, except those of the open tick.
 * hr_redis_table_forget() drops everything: after any doubt about what Redis holds.
 *
 * Sets of similar products are kept apart, bounded by number, each for a time; those
 * the open tick has used stay till it ends, so one tick sees one set.
 *
 * One thread. What returns a pointer returns NULL without memory; then the tick is
 * given up and the table forgotten.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "dataplane/beacon/event.h"

/* The head of everything that lies in a map. newer and older are its place in a list
 * by use; a cell's newer is the next cell of the same owner. */
struct hr_redis_item {
	struct hr_redis_item *chain, *newer, *older;
	uint64_t hash;
};

struct hr_redis_map {
	struct hr_redis_item **slots;
	uint64_t n_slots; /* a power of two */
	uint64_t n;
};

struct hr_redis_list {
	struct hr_redis_item *newest, *oldest;
};

struct hr_redis_similar {
	struct hr_redis_item item;
	uint64_t read_mono_us;    /* 0: not yet */
	uint64_t tick, read_tick; /* the last that used it, and that read it */
	bool is_asked;            /* a read is on its way */
	uint32_t n_members;
	struct hr_str *members; /* one block with their bytes */
	uint32_t n;
	uint8_t name[];
};

enum hr_redis_cell_kind {
	HR_CELL_CATEGORY, /* of a user: events with that category */
	HR_CELL_MEMBER,   /* of a user: score in 64ths; of a category: nothing, once
			   * known it is in the set */
};

struct hr_redis_owner;

struct hr_redis_cell {
	struct hr_redis_item item;
	struct hr_redis_cell *next_touched; /* same owner and kind, this tick */
	struct hr_redis_cell *next_viewed;  /* same owner, this tick */
	struct hr_redis_owner *owner;
	int64_t value;     /* as in Redis, when known */
	int64_t delta;     /* of this tick */
	uint32_t n_viewed; /* views in this tick not yet carried to similar ones */
	uint8_t kind;
	bool is_known, is_touched, is_viewed;
	uint32_t n;
	uint8_t name[];
};

enum hr_redis_owner_kind {
	HR_OWNER_USER,
	HR_OWNER_CATEGORY
};

/* A product viewed in this tick, newest first. */
struct hr_redis_seen {
	struct hr_redis_seen *older;
	struct hr_redis_cell *cell;
};

struct hr_redis_owner {
	struct hr_redis_item item;
	struct hr_redis_item *cells;
	uint8_t kind;

	/* A user as in Redis, when known. */
	bool is_known;
	uint8_t favourite_bytes; /* 0: none yet */
	uint8_t favourite[HR_CATEGORY_MAX];
	int64_t favourite_count;
	int64_t views, purchases;
	int64_t newest_ms; /* INT64_MIN: no event yet */
	uint64_t period;   /* of the last update of the sorted set */
	bool is_complete;  /* what has no cell is not in Redis: the user began here */
	bool is_profile_written; /* by this connection: what did not change may stay */
	uint32_t n_present;      /* when complete: members in the sorted set */

	/* This tick. */
	struct hr_redis_owner *next_touched;
	struct hr_redis_cell *categories, *members, *viewed;
	struct hr_redis_seen *seen;
	uint32_t n_categories, n_members, n_seen;
	bool is_touched, is_trim_known;
	uint32_t n_trimmed; /* members that go before this tick's */
	int64_t tick_views, tick_purchases, tick_newest_ms;
	uint64_t tick_period;

	uint32_t n;
	uint8_t name[];
};

struct hr_redis_table {
	struct hr_redis_map owners, cells, similar;
	struct hr_redis_list owners_by_use, similar_by_use;
	size_t bytes, max_bytes; /* of owners and cells */
	uint32_t max_similar;
	uint64_t tick; /* number of the open tick */
};

int hr_redis_table_init(struct hr_redis_table *t, size_t max_bytes,
			uint32_t max_similar);
void hr_redis_table_fini(struct hr_redis_table *t);
/* Everything but the sets of similar products, which are not ours. */
void hr_redis_table_forget(struct hr_redis_table *t);
/* Members that are known to be in the sorted set no more. */
void hr_redis_owner_prune(struct hr_redis_table *t, struct hr_redis_owner *owner);
/* Between two ticks: down to the bounds. */
void hr_redis_table_trim(struct hr_redis_table *t);

struct hr_redis_owner *hr_redis_owner_get(struct hr_redis_table *t,
					  enum hr_redis_owner_kind kind,
					  struct hr_str name);
struct hr_redis_cell *hr_redis_cell_get(struct hr_redis_table *t,
					struct hr_redis_owner *owner,
					enum hr_redis_cell_kind kind,
					struct hr_str name);
struct hr_redis_similar *hr_redis_similar_get(struct hr_redis_table *t,
					      struct hr_str product);
/* Copies the members. Returns 0 or -ENOMEM: then the set is as before. */
int hr_redis_similar_set(struct hr_redis_table *t, struct hr_redis_similar *s,
			 const struct hr_str *members, uint32_t n_members,
			 uint64_t now_mono_us);

static inline struct hr_str hr_redis_owner_name(const struct hr_redis_owner *o)
{
	return (struct hr_str){ o->name, o->n };
}

static inline struct hr_str hr_redis_cell_name(const struct hr_redis_cell *c)
{
	return (struct hr_str){ c->name, c->n };
}

static inline struct hr_str hr_redis_similar_name(const struct hr_redis_similar *s)
{
	return (struct hr_str){ s->name, s->n };
}

#endif
