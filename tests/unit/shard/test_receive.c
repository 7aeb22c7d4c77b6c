/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "dataplane/beacon/event.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/shard/world.h"

static struct world w;

static struct hr_item last;
static uint16_t last_shard;
static uint8_t last_payload[2048];

static void keep_last(struct world *world, uint16_t shard, const struct hr_item *item)
{
	(void)world;
	last = *item;
	last_shard = shard;
	memcpy(last_payload, item->payload.p, item->payload.n);
	last.payload.p = last_payload;
}

static void a_datagram_of_an_own_shard_keeps_all_that_is_known_of_it(void)
{
	world_make(&w, 1, 4, 1024, false);
	w.on_item = keep_last;
	world_datagram(&w, 0, 3, 17, 2);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 1);
	CU_ASSERT_EQUAL(last_shard, 3);
	CU_ASSERT_EQUAL(last.kind, HR_ITEM_DATAGRAM);
	CU_ASSERT_EQUAL(last.codec, HR_CODEC_JSON);
	CU_ASSERT_EQUAL(last.n_events, 2);
	CU_ASSERT_EQUAL(last.sequence, 17);
	CU_ASSERT_EQUAL(last.key_id, WORLD_KEY);
	CU_ASSERT_EQUAL(last.birth, 1);
	CU_ASSERT_EQUAL(last.family, 4);
	CU_ASSERT_EQUAL(memcmp(last.source, "\x0a\x01\x00\x02", 4), 0);
	CU_ASSERT_EQUAL(last.source_port, 40000);
	CU_ASSERT_EQUAL(last.received_us, 2000000);
	CU_ASSERT_EQUAL(last.payload.n, 2 * strlen("{\"user_id\":\"u0\"}\n"));
	world_end(&w);
}

static void a_datagram_of_anothers_shard_crosses_whole(void)
{
	world_make(&w, 2, 4, 1024, false);
	w.on_item = keep_last;
	world_datagram(&w, 0, 1, 99, 3); /* shard 1 is worker 1's */
	world_turn(&w, 0);
	CU_ASSERT_EQUAL(w.intakes[1].n_items, 0);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_received_total", ""), 0);
	world_turn(&w, 1);
	CU_ASSERT_EQUAL(w.intakes[1].n_items, 1);
	world_settle(&w);
	CU_ASSERT_EQUAL(last_shard, 1);
	CU_ASSERT_EQUAL(last.sequence, 99);
	CU_ASSERT_EQUAL(last.n_events, 3);
	CU_ASSERT_EQUAL(memcmp(last.source, "\x0a\x01\x00\x02", 4), 0);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_received_total", ""), 1);
	world_end(&w);
}

static bool was_in_its_shard[WORLD_SHARDS];

static void check_shard(struct world *world, uint16_t shard, const struct hr_item *item)
{
	struct hr_frames frames;
	struct hr_str event;
	uint32_t n = 0;

	(void)world;
	CU_ASSERT_EQUAL(item->kind, HR_ITEM_EVENT);
	hr_frames_init(&frames, item->codec, item->payload, false);
	while (hr_frames_next(&frames, &event) == 1) {
		uint8_t room[256];
		struct hr_arena arena = { room, room + sizeof(room) };
		struct hr_str user = hr_event_peek_user(&arena, event);

		n++;
		CU_ASSERT_EQUAL(hr_kafka_partition(user.p, user.n, WORLD_SHARDS),
				shard);
	}
	CU_ASSERT_EQUAL(n, item->n_events);
	was_in_its_shard[shard] = true;
}

/* 20 users in one datagram: all shards, both workers, and two without a user. */
static void a_headerless_datagram_goes_to_its_users_shards(uint32_t n_workers)
{
	char text[1400];
	uint32_t n = 0;

	for (int i = 0; i < 20; i++)
		n += (uint32_t)sprintf(text + n, "{\"user_id\":\"user_%d\"}\n", i);
	n += (uint32_t)sprintf(text + n, "{\"user_id\":\"\"}\n{\"nobody\":1}\n");
	memset(was_in_its_shard, 0, sizeof(was_in_its_shard));
	world_make(&w, n_workers, 4, 1024, true);
	w.on_item = check_shard;
	world_frame(&w, 0, text, n);
	world_settle(&w);
	for (uint32_t s = 0; s < WORLD_SHARDS; s++)
		CU_ASSERT_TRUE(was_in_its_shard[s]);
	CU_ASSERT_EQUAL(w.n_items, WORLD_SHARDS);
	CU_ASSERT_EQUAL(w.n_events, 20);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_received_total", ""), 1);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_split_total", ""),
			WORLD_SHARDS);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_UNKEYED_USER), 1);
	world_end(&w);
}

static void one_worker_splits_a_headerless_datagram(void)
{
	a_headerless_datagram_goes_to_its_users_shards(1);
}

static void pieces_of_a_headerless_datagram_cross_to_their_worker(void)
{
	a_headerless_datagram_goes_to_its_users_shards(2);
}

static void every_refusal_is_counted_under_its_name(void)
{
	uint8_t datagram[200] = "HRB\x01";

	world_make(&w, 1, 4, 1024, false);
	world_frame(&w, 0, "{\"user_id\":\"u\"}", 15);
	world_frame(&w, 0, "rubbish", 7);
	world_frame(&w, 0, datagram, sizeof(datagram));
	datagram[3] = 2;
	world_frame(&w, 0, datagram, sizeof(datagram));
	w.queues[0].frames[w.queues[0].n] = calloc(1, 10);
	w.queues[0].bytes[w.queues[0].n++] = 10;
	world_settle(&w);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_UNKEYED), 1);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_FRAME_SHORT), 1);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_FRAME_KIND), 1);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_FRAME_VERSION), 1);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_NET_SHORT), 1);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_received_total", ""), 5);
	world_end(&w);
}

/* Fills shard 0's share: 3 epochs of some 900 KB. */
static uint32_t fill(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		world_datagram(&w, 0, 0, i + 1, 50);
	return n;
}

static void a_full_share_drops_by_name_where_the_port_cannot_wait(void)
{
	uint32_t n;

	world_make(&w, 1, 3, 1024, false);
	n = fill(4000);
	while (world_turn(&w, 0))
		; /* nothing is committed */
	CU_ASSERT_TRUE(world_drops(&w, HR_DROP_EPOCH_FULL) > 0);
	CU_ASSERT_EQUAL(w.intakes[0].n_items + world_drops(&w, HR_DROP_EPOCH_FULL), n);
	/* Another shard has its own. */
	world_datagram(&w, 0, 1, 1, 1);
	world_turn(&w, 0);
	CU_ASSERT_EQUAL(w.intakes[1].n_items, 1);
	world_end(&w);
}

static void a_lossless_queue_waits_and_loses_nothing(void)
{
	uint32_t n;

	world_make_lossless(&w, 1, 3, 1024, false);
	n = fill(4000);
	while (world_turn(&w, 0))
		;
	CU_ASSERT_TRUE(w.queues[0].at < n);
	CU_ASSERT_TRUE(world_is_balanced(&w));
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, n);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_dropped_total", ""), 0);
	world_end(&w);
}

static void a_queue_that_is_held_back_is_not_waited_for(void)
{
	world_make_lossless(&w, 1, 4, 1024, false);
	atomic_store(&w.views[2].state, HR_SHARD_STARTING);
	hr_receive_wait(w.receives[0], 1);
	CU_ASSERT_EQUAL(fake_waited_for, 1);
	world_datagram(&w, 0, 2, 1, 1);
	world_turn(&w, 0);
	hr_receive_wait(w.receives[0], 1);
	CU_ASSERT_EQUAL(fake_waited_for, 0);
	atomic_store(&w.views[2].state, HR_SHARD_READY);
	world_settle(&w);
	hr_receive_wait(w.receives[0], 1);
	CU_ASSERT_EQUAL(fake_waited_for, 1);
	world_end(&w);
}

static void a_full_ring_drops_by_name_or_holds_the_queue(bool is_lossless)
{
	const uint32_t n = 500;

	if (is_lossless)
		world_make_lossless(&w, 2, 4, 63, false);
	else
		world_make(&w, 2, 4, 63, false);
	for (uint32_t i = 0; i < n; i++)
		world_datagram(&w, 0, 1, i + 1, 1);
	while (world_turn(&w, 0))
		; /* worker 1 does not turn */
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_RING_FULL), is_lossless ? 0 : n - 63);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, is_lossless ? n : 63);
	world_end(&w);
}

static void a_full_ring_drops_by_name(void)
{
	a_full_ring_drops_by_name_or_holds_the_queue(false);
}

static void a_full_ring_holds_a_lossless_queue(void)
{
	a_full_ring_drops_by_name_or_holds_the_queue(true);
}

static void a_shard_that_is_not_ready_holds_or_drops(void)
{
	world_make(&w, 1, 4, 1024, false);
	atomic_store(&w.views[2].state, HR_SHARD_STARTING);
	world_datagram(&w, 0, 2, 1, 1);
	world_turn(&w, 0);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_NOT_READY), 1);
	world_end(&w);

	world_make_lossless(&w, 1, 4, 1024, false);
	atomic_store(&w.views[2].state, HR_SHARD_STARTING);
	world_datagram(&w, 0, 2, 1, 1);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 0);
	atomic_store(&w.views[2].state, HR_SHARD_READY);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 1);
	world_end(&w);
}

static void what_waits_at_the_end_is_counted_as_shut_down(void)
{
	char text[400];
	uint32_t n = 0;

	for (int i = 0; i < 10; i++)
		n += (uint32_t)sprintf(text + n, "{\"user_id\":\"user_%d\"}\n", i);
	world_make_lossless(&w, 1, 4, 1024, true);
	for (uint32_t s = 0; s < WORLD_SHARDS; s++)
		atomic_store(&w.views[s].state, HR_SHARD_STARTING);
	world_frame(&w, 0, text, n);
	world_datagram(&w, 0, 2, 1, 1);
	world_turn(&w, 0);
	world_end(&w); /* balances */
}

/* The newest frame's datagram is one that killed. */
static void bar_last(void)
{
	const struct hr_rxq *q = &w.queues[0];
	const uint8_t *payload = q->frames[q->n - 1] + 42; /* Ethernet, IPv4, UDP */
	const uint32_t n = q->bytes[q->n - 1] - 42;

	CU_ASSERT_TRUE(hr_barred_add(&w.barred, hr_fingerprint(payload, n), n));
}

static void what_killed_twice_is_dropped_and_its_neighbours_are_not(void)
{
	static const char json[] = "{\"user_id\":\"user_1\"}",
			  other[] = "{\"user_id\":\"user_2\"}";

	world_make(&w, 2, 4, 1024, true);
	world_datagram(&w, 0, 0, 1, 2);
	world_datagram(&w, 0, 0, 2, 2); /* of its length */
	bar_last();
	world_datagram(&w, 0, 0, 3, 2);
	world_datagram(&w, 0, 1, 1, 2); /* another worker's */
	bar_last();
	world_frame(&w, 0, json, sizeof(json) - 1);
	bar_last();
	world_frame(&w, 0, other, sizeof(other) - 1);
	world_datagram(&w, 0, 0, 2, 2); /* its sender tries again */
	world_datagram(&w, 0, 0, 4, 2);
	world_settle(&w);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_POISON), 4);
	CU_ASSERT_EQUAL(w.n_items, 4);
	world_end(&w); /* balances */
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a datagram of an own shard keeps all that is known of it",
		  a_datagram_of_an_own_shard_keeps_all_that_is_known_of_it },
		{ "a datagram of another's shard crosses whole",
		  a_datagram_of_anothers_shard_crosses_whole },
		{ "one worker splits a headerless datagram",
		  one_worker_splits_a_headerless_datagram },
		{ "pieces of a headerless datagram cross to their worker",
		  pieces_of_a_headerless_datagram_cross_to_their_worker },
		{ "every refusal is counted under its name",
		  every_refusal_is_counted_under_its_name },
		{ "a full share drops by name where the port cannot wait",
		  a_full_share_drops_by_name_where_the_port_cannot_wait },
		{ "a lossless queue waits and loses nothing",
		  a_lossless_queue_waits_and_loses_nothing },
		{ "a queue that is held back is not waited for",
		  a_queue_that_is_held_back_is_not_waited_for },
		{ "a full ring drops by name", a_full_ring_drops_by_name },
		{ "a full ring holds a lossless queue",
		  a_full_ring_holds_a_lossless_queue },
		{ "a shard that is not ready holds or drops",
		  a_shard_that_is_not_ready_holds_or_drops },
		{ "what killed twice is dropped, and its neighbours are not",
		  what_killed_twice_is_dropped_and_its_neighbours_are_not },
		{ "what waits at the end is counted as shut down",
		  what_waits_at_the_end_is_counted_as_shut_down },
		CU_TEST_INFO_NULL,
	};

	world_eal();
	return hr_test_run("receive", NULL, NULL, tests);
}
