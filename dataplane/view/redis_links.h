/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_LINKS_H
#define HR_REDIS_LINKS_H

/*
 * redis_links - the links of all shards by number, wherever they are: kept here until
 * they are surely in Redis (so that a tick that came to nothing is made again without
 * asking anybody), in the feed, or in the log itself, folded again.
 *
 * One shard is replayed at a time: a replay is a consumer and a fold. It ends when the
 * shard has caught up with memory, or is left. One thread.
 */

#include "common/error.h"
#include "dataplane/log/link.h"
#include "dataplane/view/view.h"

struct hr_redis_kept {
	struct hr_link **links; /* first_n.. */
	uint32_t n, max;
	uint64_t first_n;
};

struct hr_redis_links {
	const struct hr_view_conf *conf;
	struct hr_redis_kept *kept; /* by shard */
	uint32_t n_shards;
	struct hr_replay *replay; /* NULL: none */
	uint16_t replay_shard;
	uint64_t replay_next; /* the number of what it gives next */
	uint64_t replay_retry_us;
};

int hr_redis_links_init(struct hr_redis_links *l, const struct hr_view_conf *conf);
void hr_redis_links_fini(struct hr_redis_links *l);

/*
 * The link behind a position. Returns 1 and the link, which lives until it is done or
 * another position is asked for; 0 when there is none (yet); -EPROTO when position and
 * log do not fit, err naming both; another negated errno where the log cannot be read,
 * and then 0 until it is time to try again.
 */
int hr_redis_links_next(struct hr_redis_links *l, uint16_t shard,
			const struct hr_position *behind, uint32_t wait_ms,
			struct hr_link **out, struct hr_err *err);

/* No link of this shard is asked for now: others may be replayed. */
void hr_redis_links_leave(struct hr_redis_links *l, uint16_t shard);

/* Does the log say the same of the link at this position? Returns 1, 0 where that
 * cannot be told (yet), -EPROTO with both values in err. */
int hr_redis_links_check(struct hr_redis_links *l, uint16_t shard,
			 const struct hr_position *at, struct hr_err *err);

/* A kept link, or NULL. */
const struct hr_link *hr_redis_links_kept(const struct hr_redis_links *l,
					  uint16_t shard, uint64_t n);
/* Up to link n of a shard nothing is needed any more. */
void hr_redis_links_done(struct hr_redis_links *l, uint16_t shard, uint64_t n);

#endif
