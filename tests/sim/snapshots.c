/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/snapshots.h"
#include "tests/sim/world.h"

struct record {
	int64_t place;
	uint32_t n;
	uint8_t *bytes;
};

struct shelf {
	struct record *records;
	uint32_t n, max;
	int64_t next;
};

struct sim_snapshots {
	struct sim *sim;
	uint32_t n_shards;
	struct shelf *shelves;
};

struct hr_snapshot_store {
	struct sim_snapshots *all;
};

static struct sim_snapshots *current;

static int open_store(struct hr_snapshot_store **out, const struct hr_config *config,
		      const struct hr_data_set *set, uint32_t wait_ms,
		      struct hr_err *err)
{
	struct hr_snapshot_store *store = calloc(1, sizeof(*store));

	(void)config;
	(void)set;
	(void)wait_ms;
	if (store == NULL)
		return hr_fail(err, -ENOMEM, "no memory");
	store->all = current;
	*out = store;
	return 0;
}

static void close_store(struct hr_snapshot_store *store)
{
	free(store);
}

static int put(struct hr_snapshot_store *store, uint16_t shard,
	       const struct hr_id128 *id, const uint8_t *bytes, uint32_t n,
	       bool is_last, uint32_t wait_ms, struct hr_err *err)
{
	struct sim *sim = store->all->sim;
	struct shelf *s = &store->all->shelves[shard];
	bool is_lost = sim_strikes(sim, sim->faults.report_lost);

	(void)id;
	(void)is_last;
	(void)wait_ms;
	if (sim_strikes(sim, sim->faults.append_lost))
		return hr_fail(err, -EIO, "simulated: not written, it seems");
	if (s->n == s->max) {
		s->max = s->max != 0 ? 2 * s->max : 32;
		s->records = realloc(s->records, s->max * sizeof(*s->records));
		if (s->records == NULL)
			abort();
	}
	s->records[s->n] = (struct record){ s->next, n, malloc(n) };
	if (s->records[s->n].bytes == NULL)
		abort();
	memcpy(s->records[s->n].bytes, bytes, n);
	s->n++;
	s->next += 1 + (int64_t)sim_once_in(&sim->random, 8);
	return is_lost ? hr_fail(err, -EIO, "simulated: written, it seems not") : 0;
}

static void abandon(struct hr_snapshot_store *store, uint16_t shard,
		    const struct hr_id128 *id)
{
	(void)store;
	(void)shard;
	(void)id;
}

static int walk(struct hr_snapshot_store *store, uint16_t shard, int64_t from,
		uint32_t wait_ms, hr_snapshot_take take, void *ctx, int64_t *next,
		struct hr_err *err)
{
	struct shelf *s = &store->all->shelves[shard];
	struct sim *sim = store->all->sim;

	(void)wait_ms;
	*next = from;
	if (sim_strikes(sim, sim->faults.read_trouble != 0 ? 4 : 0))
		return hr_fail(err, -EIO, "simulated: out of reach");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct record *r = &s->records[i];
		int result;

		if (r->place < from)
			continue;
		if (sim_strikes(sim, sim->faults.read_trouble))
			return hr_fail(err, -EIO, "simulated trouble");
		result = take(ctx, r->place, r->bytes, r->n);
		*next = r->place + 1;
		if (result != 0)
			return result;
	}
	return 0;
}

static int drop(struct hr_snapshot_store *store, uint16_t shard, int64_t before,
		uint32_t wait_ms, struct hr_err *err)
{
	struct shelf *s = &store->all->shelves[shard];
	uint32_t n = 0;

	(void)wait_ms;
	(void)err;
	while (n < s->n && s->records[n].place < before)
		free(s->records[n++].bytes);
	memmove(s->records, s->records + n, (s->n - n) * sizeof(*s->records));
	s->n -= n;
	return 0;
}

static const struct hr_snapshot_ops ops = {
	.name = "simulated",
	.open = open_store,
	.close = close_store,
	.put = put,
	.abandon = abandon,
	.walk = walk,
	.drop = drop,
};

const struct hr_snapshot_ops *hr_snapshot_ops_of(const struct hr_config *config)
{
	(void)config;
	return &ops;
}

void sim_snapshots_use(struct sim_snapshots *snapshots)
{
	current = snapshots;
}

struct sim_snapshots *sim_snapshots_new(struct sim *sim, uint32_t n_shards)
{
	struct sim_snapshots *all = calloc(1, sizeof(*all));

	if (all == NULL)
		abort();
	all->sim = sim;
	all->n_shards = n_shards;
	all->shelves = calloc(n_shards, sizeof(*all->shelves));
	if (all->shelves == NULL)
		abort();
	return all;
}

void sim_snapshots_free(struct sim_snapshots *all)
{
	for (uint32_t s = 0; s < all->n_shards; s++) {
		for (uint32_t i = 0; i < all->shelves[s].n; i++)
			free(all->shelves[s].records[i].bytes);
		free(all->shelves[s].records);
	}
	free(all->shelves);
	free(all);
}
