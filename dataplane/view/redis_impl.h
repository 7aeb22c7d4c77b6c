/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_IMPL_H
#define HR_REDIS_IMPL_H

/*
 * The Redis view inside: one thread, one connection.
 *
 *     [MULTI tick k, positions, EXEC | WATCH, MGET positions | what tick k+1 must know]
 *       ─▶ Redis ─▶
 *     [did it come to pass | are the positions what we wrote | values of tick k+1]
 *
 * That is one write and one round trip a tick. Positions are watched from before
 * anything of a tick is read until its EXEC, so nobody else has written in between: an
 * EXEC that another view's would double comes to nothing, and so does one of our own
 * that a dead connection left behind. Everything that is not certain (no answer, nil, a
 * position that is not the one written last) ends in the same place: forget what is
 * known, read the positions, go on from there.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "dataplane/stats/names.h"
#include "dataplane/view/redis_conn.h"
#include "dataplane/view/redis_info.h"
#include "dataplane/view/redis_links.h"
#include "dataplane/view/redis_tick.h"
#include "dataplane/view/view.h"

#define HR_REDIS_CACHE_BYTES (128u << 20)
/* Behind, a tick takes so many times redis.tick_bytes: more events share a command. */
#define HR_REDIS_BEHIND_TIMES 4u
#define HR_REDIS_TIMEOUT_MS 10000u
#define HR_REDIS_AUDIT_US 1000000u
/* What a tick holds at most besides redis.tick_bytes: links without users cost
 * nothing there. */
#define HR_REDIS_TICK_LINKS 4096u
#define HR_REDIS_TICK_HELD_BYTES (32u << 20)
/* The log was read to its end and stood below a position for so long: it will not grow
 * there by itself. */
#define HR_REDIS_BEYOND_US 2000000u

struct hr_redis_shard {
	char key[32]; /* headrace:shard:<s> */
	/* What Redis holds: the text as read or written last ("": none) and its sense. */
	char text[HR_POSITION_TEXT];
	struct hr_position in_redis;
	struct hr_position taken; /* in_redis, or the last link of the open tick */
	struct hr_position sent;  /* of the EXEC that is on its way */
	bool is_sent;
	bool is_ours;    /* as of the last look; watched and read if so */
	bool is_checked; /* the log says the same of in_redis, or soon will be asked */
	bool is_stopped; /* until its position changes, or (beyond) the log does */
	bool is_beyond;
	uint64_t beyond_since_us, beyond_last;
	char why[sizeof(((struct hr_err *)NULL)->text)];
	uint64_t newest_n; /* that this process ever saw in Redis */
	_Atomic uint64_t applied;
	hr_cell *applied_link, *lag_links;
};

struct hr_view {
	struct hr_view_conf conf;
	uint32_t n_shards;
	uint32_t n_ours;
	struct hr_redis_shard *shards;
	struct hr_redis_conn conn;
	struct hr_redis_tick tick;
	struct hr_redis_links links;
	struct hr_resp out;
	struct hr_redis_process process; /* of the last INFO */
	/* Its append-only file is known to hold no half transaction. */
	char known_run[sizeof(((struct hr_redis_process *)NULL)->run_id)];
	bool is_synced; /* positions are watched and known */
	bool took_all;  /* at the last look nothing was left behind the open tick */
	bool is_behind; /* at the look before, something was */
	bool is_dead;   /* data without its position: nothing may be written any more */
	uint64_t next_tick_us, next_audit_us;
	uint64_t started_wall_us;
	uint64_t news_seen;
	uint32_t n_failures; /* in a row */
	char log_trouble[sizeof(((struct hr_err *)NULL)->text)];

	hr_cell *latency, *up, *errors;

	pthread_t thread;
	atomic_bool drains;
	bool was_drained;
	_Atomic int state;
	pthread_mutex_t lock;
	char reason[sizeof(((struct hr_err *)NULL)->text)]; /* under the lock */
};

/* ---- redis.c ---------------------------------------------------------------------- */

/* Add what there is to the open tick, up to its bounds. Returns 0 or -ENOMEM. */
int hr_redis_gather(struct hr_view *v, struct hr_err *err);

/* ---- redis_positions.c ------------------------------------------------------------- */

/* As if Redis were empty, which nobody may rely on before hr_redis_sync(). */
void hr_redis_shard_init(struct hr_view *v, uint16_t shard);
/* WATCH and read all positions and INFO anew. What is not as expected makes the view
 * forget. Returns 0 or a negated errno. */
int hr_redis_sync(struct hr_view *v, struct hr_err *err);
/* Forget the open tick and what is known of Redis; the next one starts behind what
 * Redis holds. */
void hr_redis_forget(struct hr_view *v);
/* The position that was sent with the last EXEC is in Redis. */
void hr_redis_arrived(struct hr_view *v, uint16_t shard);
/* Compare unchecked positions with the log. */
void hr_redis_check(struct hr_view *v);
/* Look whose the shards are now. What came or went is forgotten, and the positions are
 * read anew. */
void hr_redis_look_at_owners(struct hr_view *v);
void hr_redis_stop_shard(struct hr_view *v, uint16_t shard, const char *why);

/* ---- redis_file.c ------------------------------------------------------------------ */

/* Before anything is written: its append-only file is begun anew where it may end in
 * half a transaction. Returns 0; -EAGAIN where that has to wait; an errno. */
int hr_redis_begin_file(struct hr_view *v, struct hr_err *err);

/* ---- redis_exchange.c -------------------------------------------------------------- */

/* Ask until everything of the open tick is known. */
int hr_redis_know(struct hr_view *v, struct hr_err *err);
/* Write the open tick, and prepare the next one in the same round trip. */
int hr_redis_exchange(struct hr_view *v, struct hr_err *err);
/* The next reply; an error that Redis answered with is an error here. The caller frees
 * it. */
int hr_redis_expect(struct hr_view *v, redisReply **out, struct hr_err *err);
/* The same, and nothing is wanted of it. */
int hr_redis_expect_ok(struct hr_view *v, struct hr_err *err);
void hr_redis_put_watch(struct hr_view *v);

#endif
