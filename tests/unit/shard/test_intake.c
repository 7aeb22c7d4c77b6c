/* SPDX-License-Identifier: BSD-3-Clause */

/* Epoch buffers and the intake of one shard, with the test as its committer. */

#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "dataplane/shard/intake.h"
#include "dataplane/shard/ring.h"
#include "tests/unit/hr_test.h"

#define PER_SHARD 4u
#define INTERVAL_US 2000u

static struct hr_epoch_pool *pool;
static struct hr_shard_view view;
static struct rte_ring *closed;
static struct hr_intake intake;
static uint64_t closed_us;
static uint8_t payload[1400];

static void set_state(enum hr_shard_state state)
{
	atomic_store(&view.state, state);
}

static void setup(void)
{
	struct hr_err err = { "" };

	memset(&view, 0, sizeof(view));
	set_state(HR_SHARD_READY);
	CU_ASSERT_EQUAL_FATAL(hr_epoch_pool_new(&pool, 2, PER_SHARD, &err), 0);
	closed = hr_ring_new(2 * PER_SHARD);
	closed_us = 0;
	intake = (struct hr_intake){
		.pool = pool,
		.closed_ring = closed,
		.closed_us = &closed_us,
		.view = &view,
		.shard = 1,
		.max_events = 1000,
	};
}

static struct hr_epoch *take_closed(void)
{
	void *epoch;

	return rte_ring_dequeue(closed, &epoch) == 0 ? epoch : NULL;
}

/* As the committer does when a link was accepted. */
static void accept_epoch(struct hr_epoch *epoch)
{
	atomic_fetch_add(&view.items_accepted, epoch->n_items);
	atomic_fetch_add(&view.epochs_done, 1);
	hr_epoch_put(pool, epoch);
}

static void teardown(void)
{
	struct hr_epoch *epoch;

	hr_intake_step(&intake, 0, 0, true);
	while ((epoch = take_closed()) != NULL)
		accept_epoch(epoch);
	CU_ASSERT_EQUAL(hr_intake_in_flight(&intake), 0);
	CU_ASSERT_EQUAL(hr_intake_fini(&intake), 0);
	free(closed);
	hr_epoch_pool_free(pool);
}

static struct hr_item item_of(uint32_t bytes, uint16_t n_events)
{
	return (struct hr_item){
		.kind = HR_ITEM_DATAGRAM,
		.codec = 1,
		.n_events = n_events,
		.birth = 5,
		.sequence = 7,
		.received_us = 1234,
		.payload = { payload, bytes },
	};
}

static enum hr_drop add(uint32_t bytes, uint16_t n_events, uint64_t now_us)
{
	const struct hr_item item = item_of(bytes, n_events);

	return hr_intake_add(&intake, &item, now_us);
}

static void the_first_item_after_quiet_goes_at_once(void)
{
	struct hr_epoch *epoch;

	CU_ASSERT_EQUAL(add(100, 3, 1000000), HR_DROP_NONE);
	CU_ASSERT_TRUE(hr_intake_is_busy(&intake));
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1000000, INTERVAL_US, false));
	epoch = take_closed();
	CU_ASSERT_PTR_NOT_NULL_FATAL(epoch);
	CU_ASSERT_EQUAL(epoch->shard, 1);
	CU_ASSERT_EQUAL(epoch->n_items, 1);
	CU_ASSERT_EQUAL(epoch->n_events, 3);
	CU_ASSERT_EQUAL(epoch->oldest_received_us, 1234);
	CU_ASSERT_EQUAL(hr_intake_in_flight(&intake), 1);
	accept_epoch(epoch);
	CU_ASSERT_FALSE(hr_intake_is_busy(&intake));
}

static void nothing_closes_while_an_epoch_is_on_its_way(void)
{
	CU_ASSERT_EQUAL(add(100, 1, 1000000), HR_DROP_NONE);
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1000000, INTERVAL_US, false));
	CU_ASSERT_EQUAL(add(100, 1, 1000001), HR_DROP_NONE);
	CU_ASSERT_FALSE(hr_intake_step(&intake, 9000000, INTERVAL_US, false));
	accept_epoch(take_closed());
	CU_ASSERT_TRUE(hr_intake_step(&intake, 9000000, INTERVAL_US, false));
}

static void epochs_keep_the_least_interval(void)
{
	CU_ASSERT_EQUAL(add(100, 1, 1000000), HR_DROP_NONE);
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1000000, INTERVAL_US, false));
	accept_epoch(take_closed());
	CU_ASSERT_EQUAL(add(100, 1, 1000001), HR_DROP_NONE);
	CU_ASSERT_FALSE(hr_intake_step(&intake, 1001999, INTERVAL_US, false));
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1002000, INTERVAL_US, false));
}

static enum hr_drop add_to(struct hr_intake *in, uint32_t bytes)
{
	const struct hr_item item = item_of(bytes, 1);

	return hr_intake_add(in, &item, 1000000);
}

/* Another shard of the same worker, whose committer is slower. */
static void the_shards_of_a_worker_close_together(void)
{
	struct hr_shard_view its_view = { .state = HR_SHARD_READY };
	struct hr_intake other = intake;

	other.shard = 0;
	other.view = &its_view;
	CU_ASSERT_EQUAL(add(100, 1, 1000000), HR_DROP_NONE);
	CU_ASSERT_EQUAL(add_to(&other, 100), HR_DROP_NONE);
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1000000, INTERVAL_US, false));
	CU_ASSERT_TRUE(hr_intake_step(&other, 1000000, INTERVAL_US, false));
	accept_epoch(take_closed());
	hr_epoch_put(pool, take_closed());
	/* Neither gets a time of its own. */
	CU_ASSERT_EQUAL(add_to(&other, 100), HR_DROP_NONE);
	CU_ASSERT_EQUAL(add(100, 1, 1000001), HR_DROP_NONE);
	CU_ASSERT_FALSE(hr_intake_step(&intake, 1001999, INTERVAL_US, false));
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1002000, INTERVAL_US, false));
	/* One whose append is on its way waits for the next time... */
	CU_ASSERT_FALSE(hr_intake_step(&other, 1002000, INTERVAL_US, false));
	atomic_store(&its_view.epochs_done, 1);
	CU_ASSERT_FALSE(hr_intake_step(&other, 1003999, INTERVAL_US, false));
	CU_ASSERT_TRUE(hr_intake_step(&other, 1004000, INTERVAL_US, false));
	/* ...which is then the time of all. */
	accept_epoch(take_closed());
	hr_epoch_put(pool, take_closed());
	CU_ASSERT_EQUAL(add(100, 1, 1004001), HR_DROP_NONE);
	CU_ASSERT_FALSE(hr_intake_step(&intake, 1005999, INTERVAL_US, false));
	CU_ASSERT_EQUAL(hr_intake_fini(&other), 0);
}

static void an_empty_epoch_is_never_closed(void)
{
	CU_ASSERT_FALSE(hr_intake_step(&intake, 1000000, INTERVAL_US, true));
	CU_ASSERT_PTR_NULL(take_closed());
}

static void an_epoch_holds_no_more_than_a_record(void)
{
	struct hr_epoch *epoch;
	uint32_t n = 0;

	intake.max_events = UINT32_MAX;
	do {
		CU_ASSERT_EQUAL_FATAL(add(1400, 1, 1000000 + n++), HR_DROP_NONE);
	} while (rte_ring_count(closed) == 0);
	epoch = take_closed();
	CU_ASSERT_PTR_NOT_NULL_FATAL(epoch);
	CU_ASSERT_TRUE(epoch->body_bytes <= HR_BODY_MAX);
	CU_ASSERT_TRUE(epoch->body_bytes + hr_item_bytes(1400) > HR_BODY_MAX);
	CU_ASSERT_EQUAL(epoch->n_items, n - 1);
	accept_epoch(epoch);
}

static void a_link_holds_no_more_events_than_the_chain_allows(void)
{
	struct hr_epoch *epoch;

	intake.max_events = 600;
	CU_ASSERT_EQUAL(add(100, 400, 1000000), HR_DROP_NONE);
	CU_ASSERT_EQUAL(add(100, 200, 1000000), HR_DROP_NONE);
	CU_ASSERT_EQUAL(add(100, 1, 1000000), HR_DROP_NONE);
	epoch = take_closed();
	CU_ASSERT_PTR_NOT_NULL_FATAL(epoch);
	CU_ASSERT_EQUAL(epoch->n_events, 600);
	accept_epoch(epoch);
}

static void a_share_used_up_refuses_and_takes_again(void)
{
	const struct hr_item item = item_of(1400, 1);
	uint64_t taken = 0;

	intake.max_events = UINT32_MAX;
	while (hr_intake_add(&intake, &item, 1) == HR_DROP_NONE)
		taken++;
	CU_ASSERT_EQUAL(rte_ring_count(closed), PER_SHARD);
	CU_ASSERT_EQUAL(hr_intake_in_flight(&intake), taken);
	CU_ASSERT_EQUAL(hr_intake_add(&intake, &item, 1), HR_DROP_EPOCH_FULL);
	/* The other shard's share is whole. */
	CU_ASSERT_EQUAL(hr_epoch_pool_free_count(pool), PER_SHARD);
	accept_epoch(take_closed());
	CU_ASSERT_EQUAL(hr_intake_add(&intake, &item, 1), HR_DROP_NONE);
}

static void only_an_owner_takes_items(void)
{
	static const struct {
		enum hr_shard_state state;
		enum hr_drop verdict;
	} rows[] = {
		{ HR_SHARD_STARTING, HR_DROP_NOT_READY },
		{ HR_SHARD_READY, HR_DROP_NONE },
		{ HR_SHARD_RECOVERING, HR_DROP_NONE },
		{ HR_SHARD_FENCED, HR_DROP_NOT_OWNER },
		{ HR_SHARD_STOPPED, HR_DROP_STOPPED },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		uint64_t before = intake.n_items;

		set_state(rows[i].state);
		CU_ASSERT_EQUAL(add(100, 1, 1), rows[i].verdict);
		CU_ASSERT_EQUAL(intake.n_items - before,
				rows[i].verdict == HR_DROP_NONE);
	}
}

static void what_is_open_at_the_end_is_given_back_and_told(void)
{
	CU_ASSERT_EQUAL(add(100, 1, 1), HR_DROP_NONE);
	CU_ASSERT_EQUAL(add(100, 1, 1), HR_DROP_NONE);
	CU_ASSERT_EQUAL(hr_intake_fini(&intake), 2);
	CU_ASSERT_EQUAL(hr_epoch_pool_free_count(pool), 2 * PER_SHARD);
	atomic_fetch_add(&view.items_dropped, 2);
}

static void items_come_out_as_they_went_in(void)
{
	struct hr_epoch *epoch;
	struct hr_item out;
	uint32_t cursor = 0;

	for (uint32_t i = 0; i < 50; i++) {
		memset(payload, (int)i, i + 1);
		CU_ASSERT_EQUAL(add(i + 1, 1, 1), HR_DROP_NONE);
	}
	hr_intake_step(&intake, 1, 0, true);
	epoch = take_closed();
	for (uint32_t i = 0; i < 50; i++) {
		const struct hr_str body = { hr_epoch_body(epoch), epoch->body_bytes };

		CU_ASSERT_EQUAL_FATAL(hr_item_next(body, &cursor, &out), 1);
		CU_ASSERT_EQUAL(out.payload.n, i + 1);
		CU_ASSERT_EQUAL(out.payload.p[i], i);
		CU_ASSERT_EQUAL(out.sequence, 7);
	}
	accept_epoch(epoch);
}

/* Items of every sort, by turns; k counts them. */
static enum hr_drop add_sort(uint32_t k)
{
	struct hr_item item = item_of(k % 90 + 1, 2);

	item.sequence = k;
	switch (k % 4) {
	case 0:
		item.flags = HR_ITEM_ORDERED;
		return hr_intake_add(&intake, &item, 1);
	case 1:
		return hr_intake_skip(&intake, &item, 1);
	case 2:
		item.kind = HR_ITEM_EVENT;
		item.sequence = 0;
		return hr_intake_add(&intake, &item, 1);
	default:
		return hr_intake_add(&intake, &item, 1);
	}
}

static void a_fence_takes_what_would_be_acknowledged_and_nothing_else(void)
{
	struct hr_epoch *epoch;
	struct hr_item item;
	struct hr_str body;
	uint32_t cursor = 0, n = 0;

	memset(payload, 'x', sizeof(payload));
	for (uint32_t k = 0; k < 40; k++)
		CU_ASSERT_EQUAL(add_sort(k), HR_DROP_NONE);
	CU_ASSERT_EQUAL(hr_intake_in_flight(&intake), 30);
	CU_ASSERT_EQUAL(hr_intake_fence(&intake, 7), 10);
	CU_ASSERT_EQUAL(hr_intake_in_flight(&intake), 20);
	CU_ASSERT_EQUAL(hr_intake_fence(&intake, 8), 0);
	hr_intake_step(&intake, 1, 0, true);
	epoch = take_closed();
	CU_ASSERT_PTR_NOT_NULL_FATAL(epoch);
	CU_ASSERT_EQUAL(epoch->fence_no, 8);
	CU_ASSERT_EQUAL(epoch->n_items, 20);
	CU_ASSERT_EQUAL(epoch->n_events, 40);
	body = (struct hr_str){ hr_epoch_body(epoch), epoch->body_bytes };
	for (uint32_t k = 0; k < 40; k++) {
		if (k % 4 < 2)
			continue;
		CU_ASSERT_EQUAL_FATAL(hr_item_next(body, &cursor, &item), 1);
		CU_ASSERT_EQUAL(item.kind,
				k % 4 == 2 ? HR_ITEM_EVENT : HR_ITEM_DATAGRAM);
		CU_ASSERT_EQUAL(item.payload.n, k % 90 + 1);
		n++;
	}
	CU_ASSERT_EQUAL(n, 20);
	CU_ASSERT_EQUAL(hr_item_next(body, &cursor, &item), 0);
	accept_epoch(epoch);
	/* The next one knows the fence from its beginning. */
	CU_ASSERT_EQUAL(add(10, 1, 1), HR_DROP_NONE);
	CU_ASSERT_EQUAL(intake.open->fence_no, 8);
}

static void an_epoch_that_a_fence_emptied_is_used_again(void)
{
	CU_ASSERT_EQUAL(add_sort(4), HR_DROP_NONE);
	CU_ASSERT_EQUAL(add_sort(5), HR_DROP_NONE);
	CU_ASSERT_EQUAL(hr_intake_fence(&intake, 1), 1);
	CU_ASSERT_FALSE(hr_intake_is_busy(&intake));
	CU_ASSERT_FALSE(hr_intake_step(&intake, 1, 0, true));
	CU_ASSERT_EQUAL(add(10, 1, 1), HR_DROP_NONE);
	CU_ASSERT_EQUAL(hr_epoch_pool_free_count(pool), 2 * PER_SHARD - 1);
}

static void a_skip_alone_makes_an_epoch(void)
{
	struct hr_epoch *epoch;

	CU_ASSERT_EQUAL(add_sort(1), HR_DROP_NONE);
	CU_ASSERT_TRUE(hr_intake_is_busy(&intake));
	CU_ASSERT_EQUAL(hr_intake_in_flight(&intake), 0);
	CU_ASSERT_TRUE(hr_intake_step(&intake, 1, 0, false));
	epoch = take_closed();
	CU_ASSERT_EQUAL(epoch->n_items, 0);
	CU_ASSERT_EQUAL(epoch->body_bytes, HR_ITEM_SKIP_BYTES);
	accept_epoch(epoch);
}

static void the_reserve_is_for_what_a_stream_waits_for(void)
{
	const struct hr_item item = item_of(1400, 1);

	intake.max_events = UINT32_MAX;
	intake.reserve = 1;
	while (hr_intake_add(&intake, &item, 1) == HR_DROP_NONE)
		CU_ASSERT_TRUE(hr_intake_free_bytes(&intake) <
			       (uint64_t)PER_SHARD * HR_BODY_MAX);
	CU_ASSERT_EQUAL(rte_ring_count(closed), PER_SHARD - 1);
	CU_ASSERT_EQUAL(hr_intake_free_bytes(&intake), 0);
	CU_ASSERT_EQUAL(hr_intake_add(&intake, &item, 1), HR_DROP_EPOCH_FULL);
	CU_ASSERT_EQUAL(hr_intake_add_next(&intake, &item, 1), HR_DROP_NONE);
	CU_ASSERT_EQUAL(hr_intake_skip(&intake, &item, 1), HR_DROP_NONE);
	while (hr_intake_add_next(&intake, &item, 1) == HR_DROP_NONE)
		;
	CU_ASSERT_EQUAL(hr_intake_skip(&intake, &item, 1), HR_DROP_EPOCH_FULL);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a fence takes what would be acknowledged and nothing else",
		  a_fence_takes_what_would_be_acknowledged_and_nothing_else },
		{ "an epoch that a fence emptied is used again",
		  an_epoch_that_a_fence_emptied_is_used_again },
		{ "a SKIP alone makes an epoch", a_skip_alone_makes_an_epoch },
		{ "the reserve is for what a stream waits for",
		  the_reserve_is_for_what_a_stream_waits_for },
		{ "the first item after quiet goes at once",
		  the_first_item_after_quiet_goes_at_once },
		{ "nothing closes while an epoch is on its way",
		  nothing_closes_while_an_epoch_is_on_its_way },
		{ "epochs keep the least interval", epochs_keep_the_least_interval },
		{ "the shards of a worker close together",
		  the_shards_of_a_worker_close_together },
		{ "an empty epoch is never closed", an_empty_epoch_is_never_closed },
		{ "an epoch holds no more than a record",
		  an_epoch_holds_no_more_than_a_record },
		{ "a link holds no more events than the chain allows",
		  a_link_holds_no_more_events_than_the_chain_allows },
		{ "a share used up refuses and takes again",
		  a_share_used_up_refuses_and_takes_again },
		{ "only an owner takes items", only_an_owner_takes_items },
		{ "what is open at the end is given back and told",
		  what_is_open_at_the_end_is_given_back_and_told },
		{ "items come out as they went in", items_come_out_as_they_went_in },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("intake", setup, teardown, tests);
}
