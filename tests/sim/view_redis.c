/* SPDX-License-Identifier: BSD-3-Clause */

/* The shipped Redis view, a turn at a time: its thread's loop is the run's. */

#include "dataplane/view/feed.h"

/* A run waits between two turns, not inside of one. */
#define hr_feed_wait(feed, seen, timeout_ms) ((void)(seen), (void)(timeout_ms))
#include "dataplane/view/redis.c"
#undef hr_feed_wait

#include "tests/sim/views.h"

struct hr_view *sim_redis_view_new(const struct hr_view_conf *conf)
{
	struct hr_view *v = view_new(conf);

	if (v == NULL)
		abort();
	return v;
}

void sim_redis_view_free(struct hr_view *v)
{
	view_free(v);
}

uint64_t sim_redis_view_turn(struct hr_view *v)
{
	struct hr_err err = { "" };
	int r = v->is_synced ? turn(v, &err) : connect_and_sync(v, &err);

	if (r < 0 && r != -ECANCELED) {
		recover(v, r, &err);
		return v->is_dead ? UINT64_MAX : (uint64_t)backoff_ms(v, r) * 1000;
	}
	return v->tick.n_links > 0 || !v->took_all ? v->conf.config->redis_tick_us
						   : 100000;
}
