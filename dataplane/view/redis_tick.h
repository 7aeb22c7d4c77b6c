/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_TICK_H
#define HR_REDIS_TICK_H

/*
 * redis_tick - what a run of links does to the keys of docs/redis.md, once per touched
 * key: links are added, what must be known is asked, the absolute values are written.
 *
 *   add(link)... ─▶ ask ⇄ answer (until nothing is missing) ─▶ write ─▶ next tick
 *
 * The keys, as functions of the chain (the order is that of the links, in them that of
 * the input; only counted events matter, and all types alike where none is named):
 *
 *   user:<id>:profile           hash: total_views, total_purchases; last_active; and
 *                               favorite_category once an event had a category
 *   user:<id>:recent_views      list of the products of product_view, newest first
 *   user:<id>:recommendations   sorted set; a product_view adds 1 to its product and 1/2
 *                               to each member of product:<its product>:similar
 *   category:<name>:products    set of the products of events with that category
 *   headrace:user:<id>:categories  hash: category -> number of events with it
 *   headrace:user:<id>:state    text: "1 <trim period> <newest event, ms> <views>
 *                               <purchases> <count of the favourite> <favourite>"
 *
 * Before the first update of a sorted set in a trim period (n div 256) it is cut to
 * its bound: lowest scores go, of equal ones the smaller member. So links of one shard
 * are added to one tick only within one period: hr_redis_tick_takes().
 *
 * At most six commands a user, and one more where members go; one a category. One
 * thread. What fails with -ENOMEM or an answer's error is given up by
 * hr_redis_tick_drop().
 */

#include <hiredis/hiredis.h>

#include "common/error.h"
#include "dataplane/log/link.h"
#include "dataplane/view/redis_damage.h"
#include "dataplane/view/redis_table.h"

#ifndef HR_TRIM_PERIOD_LINKS /* the simulator's is short, so that it ends often */
#define HR_TRIM_PERIOD_LINKS 256
#endif

struct hr_redis_tick_conf {
	uint32_t recent_views_max;
	uint32_t recommendations_max;
	uint32_t similar_cache_entries;
	uint64_t similar_cache_us;
	size_t cache_bytes;
	uint32_t n_shards;
};

struct hr_redis_read;

struct hr_redis_tick {
	struct hr_redis_tick_conf conf;
	struct hr_redis_table table;
	struct hr_redis_damage damage;
	struct hr_redis_owner *users, *categories; /* touched */
	uint32_t n_users;
	uint64_t n_links, n_events;
	size_t bytes;      /* about what will be written */
	size_t held_bytes; /* of the links */
	uint64_t *periods; /* of each shard's links; NO_PERIOD: has none */
	struct hr_redis_read *reads;
	uint32_t n_reads, max_reads;
	struct hr_redis_cell **asked; /* of the reads, and lists in passing */
	uint32_t n_asked, max_asked;
	struct hr_redis_seens *seens, *seens_free;
};

int hr_redis_tick_init(struct hr_redis_tick *t, const struct hr_redis_tick_conf *conf);
void hr_redis_tick_fini(struct hr_redis_tick *t);

/* May link n of the shard be added to what is there? */
bool hr_redis_tick_takes(const struct hr_redis_tick *t, uint16_t shard, uint64_t n);
/* Copies what it needs. Returns 0 or -ENOMEM. */
int hr_redis_tick_add(struct hr_redis_tick *t, const struct hr_link *link);

/*
 * Append the reads of what is not known. Returns how many, 0 when all is known, or
 * -ENOMEM. So many replies must be handed to hr_redis_tick_answer(), in order, before
 * the next call.
 */
int hr_redis_tick_ask(struct hr_redis_tick *t, struct hr_resp *b, uint64_t now_mono_us);
/*
 * Reply i. A key of another type counts as empty and as damaged. Returns 0, -ENOMEM, or
 * -EAGAIN with Redis' words in err.
 */
int hr_redis_tick_answer(struct hr_redis_tick *t, uint32_t i, const redisReply *reply,
			 uint64_t now_mono_us, struct hr_err *err);

/*
 * Append the commands; everything must be known. From then on the table holds the new
 * values and the tick is empty: if the commands do not come to pass, drop it. Returns
 * 0 or -ENOMEM.
 */
int hr_redis_tick_write(struct hr_redis_tick *t, struct hr_resp *b);

/* Forget the open tick and everything known of Redis. */
void hr_redis_tick_drop(struct hr_redis_tick *t);

#endif
