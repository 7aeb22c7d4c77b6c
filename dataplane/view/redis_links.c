/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/redis_links.h"
#include "dataplane/view/replay.h"

/* Links passed over in one call on the way to the one that is wanted. */
#define PASS_MOST 64
#define REPLAY_RETRY_US 1000000u

int hr_redis_links_init(struct hr_redis_links *l, const struct hr_view_conf *conf)
{
	*l = (struct hr_redis_links){ .conf = conf, .n_shards = conf->set->n_shards };
	l->kept = calloc(l->n_shards, sizeof(*l->kept));
	return l->kept == NULL ? -ENOMEM : 0;
}

static void close_replay(struct hr_redis_links *l)
{
	hr_replay_close(l->replay);
	l->replay = NULL;
}

void hr_redis_links_fini(struct hr_redis_links *l)
{
	if (l->kept == NULL)
		return;
	close_replay(l);
	for (uint16_t s = 0; s < l->n_shards; s++) {
		hr_redis_links_done(l, s, UINT64_MAX);
		free(l->kept[s].links);
	}
	free(l->kept);
	l->kept = NULL;
}

/* ---- kept ----------------------------------------------------------------------------- */

void hr_redis_links_done(struct hr_redis_links *l, uint16_t shard, uint64_t n)
{
	struct hr_redis_kept *k = &l->kept[shard];
	uint32_t gone = 0;

	while (gone < k->n && k->first_n + gone <= n)
		hr_link_put(k->links[gone++]);
	if (gone == 0)
		return;
	k->n -= gone;
	k->first_n += gone;
	memmove(k->links, k->links + gone, k->n * sizeof(struct hr_link *));
}

const struct hr_link *hr_redis_links_kept(const struct hr_redis_links *l,
					  uint16_t shard, uint64_t n)
{
	const struct hr_redis_kept *k = &l->kept[shard];

	return n >= k->first_n && n - k->first_n < k->n ? k->links[n - k->first_n]
							: NULL;
}

/* Takes over the reference. Kept are neighbours only. */
static int keep(struct hr_redis_links *l, struct hr_link *link)
{
	struct hr_redis_kept *k = &l->kept[link->shard];

	if (k->n > 0 && link->n != k->first_n + k->n)
		hr_redis_links_done(l, link->shard, UINT64_MAX);
	if (k->n == k->max) {
		uint32_t max = k->max == 0 ? 64 : 2 * k->max;
		struct hr_link **fresh = realloc(k->links, max * sizeof(*fresh));

		if (fresh == NULL) {
			hr_link_put(link);
			return -ENOMEM;
		}
		k->links = fresh;
		k->max = max;
	}
	if (k->n == 0)
		k->first_n = link->n;
	k->links[k->n++] = link;
	return 0;
}

/* ---- judging -------------------------------------------------------------------------- */

static void print_hash(const struct hr_id128 *id, char out[33])
{
	for (size_t i = 0; i < sizeof(id->b); i++) {
		out[2 * i] = "0123456789abcdef"[id->b[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[id->b[i] & 15];
	}
	out[32] = '\0';
}

static int other_hash(uint16_t shard, uint64_t n, const struct hr_id128 *in_redis,
		      const struct hr_id128 *in_log, struct hr_err *err)
{
	char a[33], b[33];

	print_hash(in_redis, a);
	print_hash(in_log, b);
	return hr_fail(
		err, -EPROTO,
		"shard %u: link %" PRIu64 " has the hash %s in the position that "
		"Redis keeps, and %s in the log: Redis was filled from another "
		"log; give it the Redis that belongs to it, or delete user:*, "
		"category:* and headrace:* here to have them filled from the log",
		shard, n, a, b);
}

static int fits(const struct hr_position *at, const struct hr_link *link,
		struct hr_err *err)
{
	char a[33], b[33];

	if (!hr_id128_equals(&at->hash, &link->hash))
		return other_hash(link->shard, at->n, &at->hash, &link->hash, err);
	if (hr_id128_equals(&at->digest, &link->out->digest))
		return 1;
	print_hash(&at->digest, a);
	print_hash(&link->out->digest, b);
	return hr_fail(err, -EPROTO,
		       "shard %u: at link %" PRIu64
		       " the position that Redis keeps has "
		       "the digest %s, and this program folds the log to %s: another "
		       "version filled it; run that one, or delete user:*, category:* "
		       "and headrace:* to have them filled from the log",
		       link->shard, at->n, a, b);
}

static int follows(const struct hr_position *behind, const struct hr_link *link,
		   struct hr_err *err)
{
	assert(link->n == behind->n + 1);
	if (hr_id128_equals(&behind->hash, &link->prev_hash))
		return 1;
	return other_hash(link->shard, behind->n, &behind->hash, &link->prev_hash, err);
}

int hr_redis_links_check(struct hr_redis_links *l, uint16_t shard,
			 const struct hr_position *at, struct hr_err *err)
{
	struct hr_link *link;
	int r = hr_feed_get(l->conf->feed, shard, at->n, &link);

	if (r <= 0)
		return 0;
	r = fits(at, link, err);
	hr_link_put(link);
	return r;
}

/* ---- replay --------------------------------------------------------------------------- */

static int open_replay(struct hr_redis_links *l, uint16_t shard, uint64_t behind_n,
		       struct hr_err *err)
{
	int r;

	if (hr_mono_us() < l->replay_retry_us)
		return 0;
	hr_info("view",
		"redis: shard %u is behind what is in memory: the log is folded again",
		shard);
	r = hr_replay_open(&l->replay, l->conf->config, l->conf->set, shard, behind_n,
			   err);
	if (r < 0) {
		l->replay = NULL;
		l->replay_retry_us = hr_mono_us() + REPLAY_RETRY_US;
		return r;
	}
	l->replay_shard = shard;
	l->replay_next = hr_replay_n(l->replay) + 1;
	return 1;
}

/* The next link of the replay on the way to the one behind the position: passed over
 * and judged, or the one that is wanted. Returns 2, 1, 0 or a negated errno. */
static int step_replay(struct hr_redis_links *l, const struct hr_position *behind,
		       uint32_t wait_ms, struct hr_link **out, struct hr_err *err)
{
	int r = hr_replay_next(l->replay, wait_ms, out, err);

	if (r <= 0)
		return r;
	/* It may have begun anew from an older snapshot. */
	l->replay_next = (*out)->n + 1;
	if ((*out)->n == behind->n + 1)
		return 1;
	r = (*out)->n == behind->n ? fits(behind, *out, err) : 1;
	hr_link_put(*out);
	return r < 0 ? r : 2;
}

static int take_replayed(struct hr_redis_links *l, uint16_t shard,
			 const struct hr_position *behind, uint32_t wait_ms,
			 struct hr_link **out, struct hr_err *err)
{
	int r = 2;

	if (l->replay != NULL && l->replay_shard != shard)
		return 0;
	if (l->replay != NULL && behind->n + 1 < l->replay_next)
		close_replay(l);
	if (l->replay == NULL) {
		r = open_replay(l, shard, behind->n, err);
		if (r <= 0)
			return r;
		r = 2;
	}
	for (int i = 0; i < PASS_MOST && r == 2; i++)
		r = step_replay(l, behind, wait_ms, out, err);
	if (r < 0) {
		close_replay(l);
		l->replay_retry_us = hr_mono_us() + REPLAY_RETRY_US;
	}
	return r == 2 ? 0 : r;
}

void hr_redis_links_leave(struct hr_redis_links *l, uint16_t shard)
{
	if (l->replay != NULL && l->replay_shard == shard)
		close_replay(l);
}

/* ---- the next link --------------------------------------------------------------------- */

static int take(struct hr_redis_links *l, uint16_t shard,
		const struct hr_position *behind, uint32_t wait_ms,
		struct hr_link **out, struct hr_err *err)
{
	int r = hr_feed_get(l->conf->feed, shard, behind->n + 1, out);

	if (r == -ENODATA)
		return take_replayed(l, shard, behind, wait_ms, out, err);
	/* Also where there is no next link: a shard without news must not keep the
	 * replay from the others. */
	if (l->replay != NULL && l->replay_shard == shard) {
		hr_info("view", "redis: shard %u has caught up to what is in memory",
			shard);
		close_replay(l);
	}
	return r;
}

int hr_redis_links_next(struct hr_redis_links *l, uint16_t shard,
			const struct hr_position *behind, uint32_t wait_ms,
			struct hr_link **out, struct hr_err *err)
{
	const struct hr_link *kept = hr_redis_links_kept(l, shard, behind->n + 1);
	int r;

	if (kept != NULL) {
		*out = (struct hr_link *)(uintptr_t)kept;
		return follows(behind, *out, err);
	}
	r = take(l, shard, behind, wait_ms, out, err);
	if (r <= 0)
		return r;
	r = follows(behind, *out, err);
	if (r < 0) {
		hr_link_put(*out);
		hr_redis_links_leave(l, shard);
		return r;
	}
	r = keep(l, *out);
	return r < 0 ? hr_fail(err, r, "no memory for a link") : 1;
}
