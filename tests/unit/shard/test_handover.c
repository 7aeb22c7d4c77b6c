/* SPDX-License-Identifier: BSD-3-Clause */

/* Two workers and a committer, each on a thread of its own: what went in comes out once
 * and in order. Meant for the thread sanitizer. */

#include <pthread.h>
#include <stdlib.h>

#include <rte_ring.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/shard/world.h"

#define DATAGRAMS 20000u

static struct world w;
static atomic_uint n_busy; /* workers that have not seen everything yet */
static _Atomic uint64_t n_taken[WORLD_SHARDS];
static uint64_t next_sequence[WORLD_SHARDS][WORLD_WORKERS];

static void *work(void *arg)
{
	const uint32_t id = (uint32_t)(uintptr_t)arg;
	bool was_busy = true;

	/* Until every datagram of both queues has been taken by somebody. */
	while (atomic_load(&n_busy) > 0) {
		uint64_t all = 0;

		world_turn(&w, id);
		for (uint16_t s = 0; s < WORLD_SHARDS; s++) {
			if (w.worker_of_shard[s] == id)
				atomic_store(&n_taken[s], w.intakes[s].n_items);
			all += atomic_load(&n_taken[s]);
		}
		if (was_busy && all == WORLD_WORKERS * DATAGRAMS) {
			was_busy = false;
			atomic_fetch_sub(&n_busy, 1);
		}
	}
	return NULL;
}

/* Of one sender (queue), a shard's datagrams keep their order. */
static void in_order(struct world *world, uint16_t shard, const struct hr_item *item)
{
	(void)world;
	CU_ASSERT_TRUE(item->sequence > next_sequence[shard][item->random]);
	next_sequence[shard][item->random] = item->sequence;
}

static void what_went_in_came_out_once_and_in_order(void)
{
	pthread_t threads[WORLD_WORKERS];

	world_make_lossless(&w, WORLD_WORKERS, 3, 63, false);
	w.on_item = in_order;
	for (uint32_t i = 0; i < DATAGRAMS; i++)
		for (uint32_t q = 0; q < WORLD_WORKERS; q++)
			world_datagram(&w, q, (uint16_t)(i * 7 % WORLD_SHARDS), i + 1,
				       1);
	atomic_store(&n_busy, WORLD_WORKERS);
	for (uint32_t i = 0; i < WORLD_WORKERS; i++)
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i),
			0);
	while (atomic_load(&n_busy) > 0)
		world_commit(&w); /* the committer's thread is this one */
	for (uint32_t i = 0; i < WORLD_WORKERS; i++)
		pthread_join(threads[i], NULL);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, WORLD_WORKERS * DATAGRAMS);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_dropped_total", ""), 0);
	world_end(&w);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what went in came out once and in order",
		  what_went_in_came_out_once_and_in_order },
		CU_TEST_INFO_NULL,
	};

	world_eal();
	return hr_test_run("handover", NULL, NULL, tests);
}
