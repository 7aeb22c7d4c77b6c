/* SPDX-License-Identifier: BSD-3-Clause */

/* A worker's way from its queue into epochs, without a log behind it: what a datagram of
 * three events costs there. The best of many rounds. */

#include <stdio.h>
#include <time.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/shard/world.h"

#define DATAGRAMS 4096u
#define ROUNDS 200u

static struct world w;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void receive(void)
{
	double best = 1e9;

	world_make(&w, 1, 4, 1024, false);
	for (uint32_t i = 0; i < DATAGRAMS; i++)
		world_datagram(&w, 0, (uint16_t)(i % WORLD_SHARDS), i + 1, 3);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		const struct hr_now now = { 1000000 + round, 2000000 };
		double began;

		w.queues[0].at = 0; /* the same once more */
		began = now_ns();
		while (hr_receive_poll(w.receives[0], &now) > 0)
			;
		began = now_ns() - began;
		if (began / DATAGRAMS < best)
			best = began / DATAGRAMS;
		world_settle(&w);
	}
	printf("receive %6.1f ns a datagram\n", best);
	world_end(&w);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "receive", receive },
		CU_TEST_INFO_NULL,
	};

	world_eal();
	return hr_test_run("bench receive", NULL, NULL, tests);
}
