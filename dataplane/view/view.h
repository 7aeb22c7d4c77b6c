/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_VIEW_H
#define HR_VIEW_H

/*
 * view - something folded from the log and written to a store, with its position
 * in that store. The interface behind which Redis and the Kafka topics stand.
 *
 * A view has its own thread (or threads); it takes folded links from the feed by
 * number, the next behind its position, and from a replay when the feed says GAP.
 * It applies a link iff the link follows its position and prev_hash fits; skips it
 * iff its own chain has the same hash there; a position beyond the log is an alarm.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/mutant.h"
#include "dataplane/log/record.h"

struct hr_config;
struct hr_feed;
struct hr_stats;

/* What a store says of one shard: everything up to link n is in it, with the first
 * k outputs of link n + 1 (0 in this version: links are applied whole). */
struct hr_position {
	uint32_t generation;
	uint64_t n;
	uint32_t k;
	struct hr_id128 hash;   /* of link n; of the chain's root for n = 0 */
	struct hr_id128 digest; /* fold's, at n */
};

/* "1 1234 0 <32 hex> <32 hex>": generation n k hash digest. */
#define HR_POSITION_TEXT 160
int hr_position_print(const struct hr_position *p, char out[HR_POSITION_TEXT]);
int hr_position_parse(const char *text, size_t n, struct hr_position *out);

enum hr_view_state {
	HR_VIEW_CONNECTING, /* its store is out of reach; retried */
	HR_VIEW_CATCHING_UP,
	HR_VIEW_LIVE,    /* of all shards that are ours */
	HR_VIEW_STOPPED, /* by name: hr_view_reason() */
};

struct hr_view_conf {
	const struct hr_config *config;
	const struct hr_data_set *set;
	struct hr_feed *feed;
	struct hr_stats *stats;
	/*
	 * Is this process the owner of a shard's chain, as far as it is read? Any thread.
	 * The view runs such shards and leaves the others to their owners: it writes
	 * nothing of theirs, takes nothing from them, and begins behind the position in
	 * the store when a shard is ours (again). NULL: all are, for a process that
	 * stands alone.
	 */
	bool (*owns)(const void *owner, uint16_t shard);
	const void *owner;
};

static inline bool hr_view_owns(const struct hr_view_conf *conf, uint16_t shard)
{
	return conf->owns == NULL || HR_MUTANT(view_by_former_owner) ||
	       conf->owns(conf->owner, shard);
}

struct hr_view;

struct hr_view_ops {
	const char *name; /* "redis", "topics" */
	/* Starts the view's threads; never waits for the store. */
	int (*start)(struct hr_view **out, const struct hr_view_conf *conf,
		     struct hr_err *err);
	enum hr_view_state (*state)(const struct hr_view *view);
	void (*reason)(const struct hr_view *view, char *out, size_t max);
	/* The newest n of a shard that is surely in the store. */
	uint64_t (*applied)(const struct hr_view *view, uint16_t shard);
	/* The newest n behind which the store will not be found any more, whatever dies
	 * there: what is before it the view does not need. NULL: applied. */
	uint64_t (*settled)(const struct hr_view *view, uint16_t shard);
	/* Have a shard (-1: all that need it) that is stopped because its store lost
	 * what was written mended by the view itself. Returns 0: it is being done, -ENOENT:
	 * nothing is to be mended, with err. NULL: it cannot. Any thread. */
	int (*repair)(struct hr_view *view, int shard, struct hr_err *err);
	/* How that goes, or went; "": never asked. */
	void (*repaired)(struct hr_view *view, uint16_t shard, char *out, size_t max);
	/* Wait up to drain_ms until everything in the feed is applied, then end the
	 * threads and free. Returns true when it was. */
	bool (*stop)(struct hr_view *view, uint32_t drain_ms);
};

extern const struct hr_view_ops hr_view_redis;
extern const struct hr_view_ops hr_view_topics;

#endif
