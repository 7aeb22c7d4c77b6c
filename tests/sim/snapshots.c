/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/snapshots.h"
#include "tests/sim/world.h"

#define WAITS_MS 10000u

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
	bool waits;
};

static struct sim_snapshots *current;

static int open_store(struct hr_snapshot_store **out, const struct hr_config *config,
		      const struct hr_data_set *set, uint32_t wait_ms,
		      struct hr_err *err)
{
	struct hr_snapshot_store *store = calloc(1, sizeof(*store));

	(void)config;
	(void)set;
	if (store == NULL)
		return hr_fail(err, -ENOMEM, "no memory");
	store->all = current;
	/* Recovery and the snapshotter, which are ended in order; a publisher is cut off
	 * where it stands, and would leave behind what it has of a snapshot. */
	store->waits = wait_ms >= WAITS_MS;
	if (!store->waits)
		sim_happened(current->sim, SIM_REPLAYS);
	*out = store;
	return 0;
}

static void close_store(struct hr_snapshot_store *store)
{
	free(store);
}

/* What a call takes. Returns false when its process died meanwhile. */
static bool wait_for_store(struct hr_snapshot_store *store)
{
	struct sim *sim = store->all->sim;

	if (store->waits && sim_coro_current() != NULL)
		sim_coro_sleep(sim_delay(&sim->random, 100, sim->faults.append_us));
	return !sim_coro_is_ending();
}

static void turn_a_bit(struct sim *sim, struct record *r)
{
	const uint64_t bit = sim_below(&sim->random, 8);
	const uint64_t at = sim_below(&sim->random, r->n);

	r->bytes[at] ^= (uint8_t)(1u << bit);
}

static int put(struct hr_snapshot_store *store, uint16_t shard,
	       const struct hr_id128 *id, const uint8_t *bytes, uint32_t n,
	       bool is_last, uint32_t wait_ms, struct hr_err *err)
{
	struct sim *sim = store->all->sim;
	struct shelf *s = &store->all->shelves[shard];
	bool is_lost = sim_strikes(sim, sim->faults.snapshot_refused);

	(void)wait_ms;
	if (!wait_for_store(store) || sim_strikes(sim, sim->faults.snapshot_refused))
		return hr_fail(err, -EIO, "simulated: not written, it seems");
	if (sim_strikes(sim, sim->faults.snapshot_lost))
		return 0;
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
	if (sim_strikes(sim, sim->faults.snapshot_damaged))
		turn_a_bit(sim, &s->records[s->n]);
	sim_trace(sim, "snapshot %02x%02x of shard %u: a %s of link %llu at place %lld",
		  id->b[0], id->b[1], shard, is_last ? "manifest" : "chunk",
		  (unsigned long long)(is_last ? hr_load64(bytes + 64 + 56) : 0),
		  (long long)s->next);
	s->n++;
	sim_happened(sim, SIM_SNAPSHOTS);
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
		uint32_t wait_ms, hr_snapshot_take take, void *ctx,
		struct hr_snapshot_reach *reach, struct hr_err *err)
{
	struct shelf *s = &store->all->shelves[shard];
	struct sim *sim = store->all->sim;

	(void)wait_ms;
	*reach = (struct hr_snapshot_reach){ 0, from };
	if (!wait_for_store(store) ||
	    sim_strikes(sim, sim->faults.read_trouble != 0 ? 4 : 0))
		return hr_fail(err, -EIO, "simulated: out of reach");
	reach->first = s->n > 0 ? s->records[0].place : s->next;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct record *r = &s->records[i];
		int result;

		if (r->place < from)
			continue;
		if (sim_strikes(sim, sim->faults.read_trouble))
			return hr_fail(err, -EIO, "simulated trouble");
		result = take(ctx, r->place, r->bytes, r->n);
		reach->next = r->place + 1;
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
	if (!wait_for_store(store))
		return hr_fail(err, -EIO, "simulated: out of reach");
	while (n < s->n && s->records[n].place < before)
		free(s->records[n++].bytes);
	if (n > 0)
		sim_trace(store->all->sim,
			  "snapshots of shard %u: %u records before place %lld go",
			  shard, n, (long long)before);
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

void sim_snapshots_damage(struct sim_snapshots *all)
{
	struct sim *sim = all->sim;
	struct shelf *s = &all->shelves[sim_below(&sim->random, all->n_shards)];

	if (s->n > 0)
		turn_a_bit(sim, &s->records[sim_below(&sim->random, s->n)]);
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
