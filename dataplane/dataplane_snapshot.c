/* SPDX-License-Identifier: BSD-3-Clause */

/* Beginning behind snapshots, and writing them. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "dataplane/dataplane.h"

#define AGAIN_US 200000u

static void say(struct hr_dataplane *d, const char *text)
{
	pthread_mutex_lock(&d->search.lock);
	if (text[0] != '\0' && strcmp(d->search.err.text, text) != 0)
		hr_warn("snapshot", "%s", text);
	(void)hr_fail(&d->search.err, 0, "%s", text);
	pthread_mutex_unlock(&d->search.lock);
}

int hr_dataplane_recover(struct hr_dataplane *d, struct hr_err *err)
{
	struct hr_recovery *recovery;
	int r = hr_recovery_new(&recovery, &d->set);

	if (r < 0)
		return hr_fail(err, r, "no memory for %u shards", d->set.n_shards);
	/* Pairs with the acquire in hr_dataplane_recovering(). */
	atomic_store_explicit(&d->recovery, recovery, memory_order_release);
	say(d, "");
	do {
		r = hr_recovery_run(recovery, &d->config, &d->set, &d->search.ends,
				    err);
		if (r < 0)
			say(d, err->text);
		if (r == -EIO)
			usleep(AGAIN_US);
	} while (r == -EIO && !atomic_load(&d->search.ends));
	return r;
}

bool hr_dataplane_recovering(const struct hr_dataplane *d, char *out, size_t max)
{
	const struct hr_recovery *recovery =
		atomic_load_explicit(&d->recovery, memory_order_acquire);

	if (recovery == NULL)
		return false;
	snprintf(out, max, "reading snapshots: %u of %u shards are done",
		 atomic_load(&recovery->n_done), recovery->n_shards);
	return true;
}

const struct hr_log_start *hr_dataplane_begins(const struct hr_dataplane *d,
					       uint16_t shard)
{
	return &atomic_load(&d->recovery)->shards[shard].start;
}

struct hr_fold *hr_dataplane_take_fold(struct hr_dataplane *d, uint16_t shard)
{
	struct hr_recovered *found = &atomic_load(&d->recovery)->shards[shard];
	struct hr_fold *fold = found->fold;

	found->fold = NULL;
	return fold;
}

void hr_dataplane_begin_feed(struct hr_dataplane *d)
{
	for (uint32_t s = 0; s < d->set.n_shards; s++)
		hr_feed_begin(d->feed, (uint16_t)s,
			      hr_dataplane_begins(d, (uint16_t)s)->chain.n);
}

int hr_dataplane_newest(void *ctx, uint16_t shard, uint64_t beyond_n, atomic_bool *ends,
			struct hr_fold **fold, struct hr_log_start *start,
			struct hr_err *err)
{
	const struct hr_dataplane *d = ctx;

	return hr_recovery_newest(fold, start, &d->config, &d->set, shard, beyond_n,
				  ends, err);
}

static uint64_t settled(const struct hr_running_view *v, uint16_t shard)
{
	return v->ops->settled != NULL ? v->ops->settled(v->view, shard)
				       : v->ops->applied(v->view, shard);
}

static uint64_t position(void *ctx, uint32_t view, uint16_t shard)
{
	return settled(&((struct hr_dataplane *)ctx)->views[view], shard);
}

uint64_t hr_dataplane_viewed(const void *ctx, uint16_t shard)
{
	const struct hr_dataplane *d = ctx;
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < d->n_views; i++) {
		const uint64_t n = settled(&d->views[i], shard);

		if (n < least)
			least = n;
	}
	return least;
}

static uint64_t owned_since(const void *ctx, uint16_t shard)
{
	const struct hr_owner *owner = ((const struct hr_dataplane *)ctx)->owner;

	if (!hr_dataplane_owns(owner, shard))
		return 0;
	return atomic_load_explicit(
		&((struct hr_shard_view *)(uintptr_t)hr_owner_shard(owner, shard))
			 ->incarnation,
		memory_order_relaxed);
}

int hr_dataplane_start_snapshots(struct hr_dataplane *d, struct hr_err *err)
{
	const struct hr_snapshotter_conf conf = {
		.config = &d->config,
		.set = &d->set,
		.feed = d->feed,
		.recovery = atomic_load(&d->recovery),
		.n_views = d->n_views,
		.position = position,
		.owned_since = owned_since,
		.ctx = d,
	};

	return hr_snapshotter_start(&d->snapshotter, &conf, err);
}
