/* SPDX-License-Identifier: BSD-3-Clause */

/* A faultless log passes, and every fault a log can have is noticed. */

#include <stdio.h>
#include <string.h>

#include "tests/unit/gen/world.h"
#include "tests/unit/hr_test.h"

static struct hr_plan small_plan(void)
{
	struct hr_plan plan;

	hr_plan_defaults(&plan);
	plan.n_events = 3000;
	return plan;
}

static struct world world;

static void setup(void)
{
	const struct hr_plan plan = small_plan();

	world_init(&world, &plan);
}

static void teardown(void)
{
	world_fini(&world);
}

static uint64_t found(enum hr_fault fault)
{
	return world.findings.counts[HR_AT_LOG][fault];
}

static struct hr_lost lost(void)
{
	struct hr_lost out;

	CU_ASSERT(hr_check_lost(&world.log, &out, NULL) == 0);
	fflush(world.findings.to);
	return out;
}

static void a_faultless_log_passes(void)
{
	world_log(&world, NULL, NULL);
	CU_ASSERT(world.known.n_logged == 3000);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
	CU_ASSERT(lost().events == 0);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
}

static void a_faultless_headerless_log_passes(void)
{
	struct hr_plan plan = small_plan();

	plan.headerless = true;
	plan.codec = HR_PLAN_JSON;
	world_fini(&world);
	world_init(&world, &plan);
	world_log(&world, NULL, NULL);
	CU_ASSERT(world.known.n_logged == 3000);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
	CU_ASSERT(lost().events == 0);
}

/* ---- faults: what happens to datagram number 7 ---- */

static int leave_out(struct logged *logged, uint64_t number, void *arg)
{
	if (number == 7)
		*(uint32_t *)arg = logged->item.n_events;
	return number != 7;
}

static void a_lost_datagram_is_counted_whole(void)
{
	uint32_t n = 0;
	struct hr_lost out;

	world_log(&world, leave_out, &n);
	out = lost();
	CU_ASSERT(out.datagrams == 1);
	CU_ASSERT(n > 0 && out.events == n);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0); /* refusals may explain it */
}

static void lost_pieces_are_counted_by_shard(void)
{
	struct hr_plan plan = small_plan();
	uint32_t n = 0;
	struct hr_lost out;

	plan.headerless = true;
	plan.codec = HR_PLAN_JSON;
	world_fini(&world);
	world_init(&world, &plan);
	world_log(&world, leave_out, &n);
	out = lost();
	CU_ASSERT(out.datagrams == 1 && n > 0 && out.events == n);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
}

static int log_twice(struct logged *logged, uint64_t number, void *arg)
{
	if (number == 7)
		*(uint32_t *)arg = logged->item.n_events;
	return number == 7 ? 2 : 1;
}

static void every_doubled_event_is_told(void)
{
	uint32_t n = 0;

	world_log(&world, log_twice, &n);
	CU_ASSERT(n > 0 && found(HR_DOUBLED) == n);
	CU_ASSERT(strstr(world.told, "log: doubled: shard") != NULL);
	CU_ASSERT(hr_findings_sum(&world.findings) == n);
}

/* Its first event is gone, as if the appliance had cut it out. */
static int cut_first(struct logged *logged, uint64_t number, void *arg)
{
	struct hr_item *item = &logged->item;
	struct hr_str first;
	uint32_t cursor = 0;

	(void)arg;
	if (number != 7)
		return 1;
	hr_payload_next(item->codec, item->payload, &cursor, &first);
	item->payload.p += cursor;
	item->payload.n -= cursor;
	item->n_events--;
	return 1;
}

static void a_datagram_in_part_is_told(void)
{
	struct hr_lost out;

	world_log(&world, cut_first, NULL);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
	out = lost();
	CU_ASSERT(out.events == 1 && out.datagrams == 0);
	CU_ASSERT(found(HR_MISSING) == 1);
	CU_ASSERT(strstr(world.told, "1 of the ") != NULL);
}

static int change_byte(struct logged *logged, uint64_t number, void *arg)
{
	static uint8_t bytes[2048];
	struct hr_item *item = &logged->item;
	uint8_t *at;

	(void)arg;
	if (number != 7)
		return 1;
	memcpy(bytes, item->payload.p, item->payload.n);
	item->payload.p = bytes;
	at = memmem(bytes, item->payload.n, "product_", 8);
	at[0] = 'P';
	return 1;
}

static void a_changed_byte_is_told_with_both_values(void)
{
	world_log(&world, change_byte, NULL);
	CU_ASSERT(found(HR_DIFFERENT) == 1);
	CU_ASSERT(strstr(world.told, "Product_") != NULL);
	CU_ASSERT(hr_findings_sum(&world.findings) == 1);
}

static int wrong_count(struct logged *logged, uint64_t number, void *arg)
{
	(void)arg;
	logged->item.n_events = (uint16_t)(logged->item.n_events + (number == 7));
	return 1;
}

static void a_wrong_event_count_is_told(void)
{
	world_log(&world, wrong_count, NULL);
	CU_ASSERT(found(HR_DIFFERENT) == 1);
}

static int other_stream(struct logged *logged, uint64_t number, void *arg)
{
	(void)arg;
	logged->item.random += number == 7;
	return 1;
}

static void another_stream_is_told(void)
{
	world_log(&world, other_stream, NULL);
	CU_ASSERT(found(HR_DIFFERENT) > 0);
}

static int other_shard(struct logged *logged, uint64_t number, void *arg)
{
	if (number == 7) {
		*(uint32_t *)arg = logged->item.n_events;
		logged->shard = (uint16_t)((logged->shard + 1) % 5);
	}
	return 1;
}

static void the_wrong_shard_is_told(void)
{
	uint32_t n = 0;

	world_log(&world, other_shard, &n);
	CU_ASSERT(found(HR_MISPLACED) == n);
}

/* Datagram 7 waits and comes last. */
static int hold_back(struct logged *logged, uint64_t number, void *arg)
{
	static uint8_t bytes[2048];
	struct logged *held = arg;

	if (number != 7)
		return 1;
	*held = *logged;
	memcpy(bytes, logged->item.payload.p, logged->item.payload.n);
	held->item.payload.p = bytes;
	return 0;
}

static void the_wrong_order_is_told(void)
{
	struct logged held;

	world_log(&world, hold_back, &held);
	world_log_item(&world, &held);
	fflush(world.findings.to);
	CU_ASSERT(found(HR_MISPLACED) > 0);
	CU_ASSERT(strstr(world.told, "but was sent before") != NULL);
	CU_ASSERT(hr_findings_sum(&world.findings) == found(HR_MISPLACED));
}

static const struct logged strange = {
	.item = { .kind = HR_ITEM_DATAGRAM,
		  .codec = 2,
		  .n_events = 1,
		  .payload = { (const uint8_t *)"{\"user_id\":1}\n", 14 } },
	.shard = 1,
	.link = 9,
};

static void an_event_of_no_plan_is_told(void)
{
	world_log_item(&world, &strange);
	fflush(world.findings.to);
	CU_ASSERT(found(HR_UNEXPECTED) == 1);
	CU_ASSERT(strstr(world.told, "{\"user_id\":1}") != NULL);
}

static void or_counted_where_others_sent_too(void)
{
	world.log.takes_others = true;
	world_log_item(&world, &strange);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
	CU_ASSERT(world.log.n_others == 1);
	hr_check_log_sort_others(&world.log);
	CU_ASSERT(hr_check_log_has_other(&world.log, HR_STR("{\"user_id\":1}")));
	CU_ASSERT(!hr_check_log_has_other(&world.log, HR_STR("{\"user_id\":2}")));
}

static void only_the_first_of_a_kind_are_told_word_for_word(void)
{
	uint32_t lines = 0;

	for (int i = 0; i < 100; i++)
		world_log_item(&world, &strange);
	fflush(world.findings.to);
	for (const char *p = world.told; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	CU_ASSERT(found(HR_UNEXPECTED) == 100);
	CU_ASSERT(lines == HR_FINDINGS_TOLD + 1);
}

static void two_plans_of_one_seed_are_refused(void)
{
	const struct hr_plan plans[2] = { small_plan(), small_plan() };
	struct hr_known known;
	struct hr_err err;

	CU_ASSERT(hr_known_init(&known, plans, 2, &err) < 0);
	CU_ASSERT(strstr(err.text, "seed") != NULL);
	hr_known_fini(&known);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a faultless log passes", a_faultless_log_passes },
		{ "a faultless headerless log passes",
		  a_faultless_headerless_log_passes },
		{ "a lost datagram is counted whole",
		  a_lost_datagram_is_counted_whole },
		{ "lost pieces are counted by shard",
		  lost_pieces_are_counted_by_shard },
		{ "every doubled event is told", every_doubled_event_is_told },
		{ "a datagram in part is told", a_datagram_in_part_is_told },
		{ "a changed byte is told with both values",
		  a_changed_byte_is_told_with_both_values },
		{ "a wrong event count is told", a_wrong_event_count_is_told },
		{ "another stream is told", another_stream_is_told },
		{ "the wrong shard is told", the_wrong_shard_is_told },
		{ "the wrong order is told", the_wrong_order_is_told },
		{ "an event of no plan is told", an_event_of_no_plan_is_told },
		{ "or counted where others sent too",
		  or_counted_where_others_sent_too },
		{ "only the first of a kind are told word for word",
		  only_the_first_of_a_kind_are_told_word_for_word },
		{ "two plans of one seed are refused",
		  two_plans_of_one_seed_are_refused },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("gen check log", setup, teardown, tests);
}
