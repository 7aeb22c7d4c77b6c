/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Records as the dataplane renders them pass; every fault a topic can have is noticed.
 * The records come from the real parser and renderer, so both are tested against the
 * plan here as well.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "dataplane/beacon/event.h"
#include "tests/unit/gen/world.h"
#include "tests/unit/hr_test.h"
#include "tools/gen/check_topic.h"

#define RECORD_BYTES 4096

struct record {
	uint32_t partition;
	char key[HR_USER_NAME];
	uint32_t key_bytes, value_bytes;
	uint8_t value[RECORD_BYTES];
};

/* All records of a topic, in the order of the log. */
struct records {
	struct record *rows;
	uint32_t n, n_partitions;
	enum hr_event_type type; /* OTHER: all */
};

static struct world world;
static struct records records;
static struct hr_check_topic check;

static void render(struct records *out, const struct logged *logged, struct hr_str raw)
{
	struct record *record = &out->rows[out->n];
	uint8_t arena_bytes[2048];
	struct hr_arena arena = { arena_bytes, arena_bytes + sizeof(arena_bytes) };
	struct hr_event ev;
	const int64_t received_ms = (int64_t)(logged->item.received_us / 1000);
	const enum hr_reject r =
		logged->item.codec == 2
			? hr_event_parse_json(&ev, &arena, raw.p, raw.n, received_ms)
			: hr_event_parse_protobuf(&ev, &arena, raw.p, raw.n,
						  received_ms);

	CU_ASSERT_FATAL(r == HR_REJECT_NONE);
	if (out->type != HR_EVENT_OTHER && ev.type_no != out->type)
		return;
	record->partition = hr_kafka_partition(ev.user.p, ev.user.n, out->n_partitions);
	memcpy(record->key, ev.user.p, ev.user.n);
	record->key_bytes = ev.user.n;
	record->value_bytes = hr_event_render(&ev, record->value, RECORD_BYTES);
	out->n++;
}

static int render_all(struct logged *logged, uint64_t number, void *arg)
{
	struct hr_str raw;
	uint32_t cursor = 0;

	(void)number;
	while (hr_payload_next(logged->item.codec, logged->item.payload, &cursor,
			       &raw) > 0)
		render(arg, logged, raw);
	return 1;
}

static void make(enum hr_place place, enum hr_event_type type)
{
	records = (struct records){ .rows = malloc(3000 * sizeof(struct record)),
				    .n_partitions = 100,
				    .type = type };
	world_log(&world, render_all, &records);
	CU_ASSERT(hr_check_topic_init(&check, &world.known, &world.findings, place, 100,
				      NULL) == 0);
}

static void setup(void)
{
	struct hr_plan plan;

	hr_plan_defaults(&plan);
	plan.n_events = 3000;
	world_init(&world, &plan);
}

static void teardown(void)
{
	free(records.rows);
	records.rows = NULL;
	hr_check_topic_fini(&check);
	world_fini(&world);
}

static void show(const struct record *r)
{
	const struct hr_str key = { (const uint8_t *)r->key, r->key_bytes };
	const struct hr_str value = { r->value, r->value_bytes };

	hr_check_record(&check, r->partition, key, value);
}

static void show_all(void)
{
	for (uint32_t i = 0; i < records.n; i++)
		show(&records.rows[i]);
}

static uint64_t found(enum hr_fault fault)
{
	fflush(world.findings.to);
	return world.findings.counts[check.place][fault];
}

static uint64_t found_in_all(void)
{
	return hr_findings_sum(&world.findings);
}

/* ---- what is right ---- */

static void rendered_records_pass(void)
{
	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	show_all();
	hr_check_topic_end(&check);
	CU_ASSERT(check.n_records == 3000);
	CU_ASSERT(hr_check_topic_expected(&check) == 3000);
	CU_ASSERT(found_in_all() == 0);
	if (found_in_all() != 0)
		fprintf(stderr, "%s", world.told);
}

static void routed_records_pass(void)
{
	make(HR_AT_PURCHASES, HR_EVENT_PURCHASE);
	show_all();
	hr_check_topic_end(&check);
	CU_ASSERT(check.n_records > 200 && check.n_records < 400);
	CU_ASSERT(hr_check_topic_expected(&check) == check.n_records);
	CU_ASSERT(found_in_all() == 0);
}

/* ---- what is not ---- */

static void a_missing_record_is_told(void)
{
	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	for (uint32_t i = 0; i < records.n; i++)
		if (i != 1234)
			show(&records.rows[i]);
	hr_check_topic_end(&check);
	CU_ASSERT(found(HR_MISSING) == 1 && found_in_all() == 1);
}

static void a_doubled_record_is_told(void)
{
	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	show_all();
	show(&records.rows[1234]);
	CU_ASSERT(found(HR_DOUBLED) == 1 && found_in_all() == 1);
}

static void a_record_of_another_type_is_told(void)
{
	make(HR_AT_PURCHASES, HR_EVENT_OTHER);
	show_all();
	CU_ASSERT(found(HR_UNEXPECTED) == 3000 - hr_check_topic_expected(&check));
}

static void a_record_that_is_not_in_the_log_is_told(void)
{
	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	world.known.events[17].rank = 0;
	show_all();
	CU_ASSERT(found(HR_UNEXPECTED) == 1 && found_in_all() == 1);
}

static void a_record_of_no_plan_is_told(void)
{
	const struct record strange = { .value_bytes = 15,
					.value = "{\"event_id\":1}" };

	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	show(&strange);
	CU_ASSERT(found(HR_UNEXPECTED) == 1);
	check.takes_others = true;
	show(&strange);
	CU_ASSERT(found(HR_UNEXPECTED) == 1 && check.n_others == 2);
}

static void a_wrong_key_or_partition_is_told(void)
{
	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	records.rows[5].key[0] = 'U';
	records.rows[6].partition = (records.rows[6].partition + 1) % 100;
	show_all();
	CU_ASSERT(found(HR_MISPLACED) == 2 && found_in_all() == 2);
}

static void the_wrong_order_is_told(void)
{
	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	for (uint32_t i = 0; i < records.n; i++)
		if (i != 5)
			show(&records.rows[i]);
	show(&records.rows[5]);
	hr_check_topic_end(&check);
	CU_ASSERT(found(HR_MISPLACED) == 1 && found_in_all() == 1);
}

/* In every record that has it, `is` becomes `becomes` (of the same length). */
static uint32_t replace(const char *is, const char *becomes)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < records.n; i++) {
		struct record *r = &records.rows[i];
		uint8_t *at = memmem(r->value, r->value_bytes, is, strlen(is));

		if (at == NULL)
			continue;
		memcpy(at, becomes, strlen(is));
		n++;
	}
	return n;
}

static void any_changed_field_is_told(void)
{
	static const char *const changes[][2] = {
		{ "\"user_id\":\"user", "\"user_id\":\"usfr" },
		{ "\"event_type\":\"click", "\"event_type\":\"clock" },
		{ "\"timestamp\":1", "\"timestamp\":2" },
		{ "\"event_time\":\"20", "\"event_time\":\"21" },
		{ "\"product_id\":\"product_1", "\"product_id\":\"product_2" },
		{ "\"quantity\":1", "\"quantity\":6" },
		{ "\"weight\":1.50", "\"weight\":1.5 " },
		{ "\"mobile\":true", "\"mobile\":null" },
		{ "running shoes", "running_shoes" },
		{ "\"event_id\"", "\"event-id\"" },
		{ "\"metadata\":{", "\"metadata\":[" },
	};

	for (size_t c = 0; c < HR_COUNT(changes); c++) {
		uint32_t n;

		if (c > 0) {
			teardown();
			setup();
		}
		make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
		n = replace(changes[c][0], changes[c][1]);
		show_all();
		CU_ASSERT(n > 0);
		CU_ASSERT(found(HR_DIFFERENT) == n);
		CU_ASSERT(found_in_all() == n);
	}
}

static void a_further_member_is_told(void)
{
	struct record *r;

	make(HR_AT_USER_EVENTS, HR_EVENT_OTHER);
	r = &records.rows[3];
	memcpy(r->value + r->value_bytes - 1, ",\"x\":1}", 7);
	r->value_bytes += 6;
	show_all();
	CU_ASSERT(found(HR_DIFFERENT) == 1);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "rendered records pass", rendered_records_pass },
		{ "routed records pass", routed_records_pass },
		{ "a missing record is told", a_missing_record_is_told },
		{ "a doubled record is told", a_doubled_record_is_told },
		{ "a record of another type is told",
		  a_record_of_another_type_is_told },
		{ "a record that is not in the log is told",
		  a_record_that_is_not_in_the_log_is_told },
		{ "a record of no plan is told", a_record_of_no_plan_is_told },
		{ "a wrong key or partition is told",
		  a_wrong_key_or_partition_is_told },
		{ "the wrong order is told", the_wrong_order_is_told },
		{ "any changed field is told", any_changed_field_is_told },
		{ "a further member is told", a_further_member_is_told },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("gen check topic", setup, teardown, tests);
}
