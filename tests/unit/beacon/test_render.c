/* SPDX-License-Identifier: BSD-3-Clause */

/* The record of user_events. Which record an event has is in the vectors; here: that
 * it is JSON by another reader's judgement, that it comes back, and its bounds. */

#include <jansson.h>

#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"

static const char *const events[] = {
	"{\"user_id\":\"u\",\"event_type\":\"t\"}",
	"{\"user_id\":\"\\u00e4\\\"\\\\\\/"
	"\",\"event_type\":\"purchase\",\"event_id\":\"i\","
	"\"timestamp\":1705314600000,\"metadata\":{\"a\":"
	"\"\\u0000\\u001f\\u007f\\n\\\"\","
	"\"price\":1.50,\"b\":true,\"c\":null,\"d\":false,\"\\u0065\":"
	"\"\xf0\x9f\x98\x80\"}}",
	"{\"user_id\":\"u\",\"event_type\":\"t\",\"timestamp\":\"2024-01-15T10:30:00.5+"
	"01:00\","
	"\"metadata\":{\"k\":\"0123456\",\"l\":\"01234567\",\"m\":\"012345678\",\"n\":"
	"\"\","
	"\"o\":\"0123456\\\"\",\"p\":\"a\",\"q\":\"ab\",\"r\":\"abc\",\"s\":\"abcd\"}}",
};

static void a_record_is_json_and_says_what_the_event_said(void)
{
	struct parsing p = { 0 };

	for (size_t i = 0; i < HR_COUNT(events); i++) {
		char *record;
		json_t *sent = json_loads(events[i], JSON_ALLOW_NUL, NULL);
		json_t *seen;

		CU_ASSERT_EQUAL_FATAL(
			parsed(&p, HR_CODEC_JSON, events[i], strlen(events[i])),
			HR_REJECT_NONE);
		record = rendered(&p.ev, strlen(events[i]));
		seen = json_loads(record, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES,
				  NULL);
		CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
		CU_ASSERT_PTR_NULL(strchr(record, '\n'));
		CU_ASSERT_EQUAL(json_object_size(seen), 6);
		CU_ASSERT_TRUE(json_equal(json_object_get(seen, "user_id"),
					  json_object_get(sent, "user_id")));
		CU_ASSERT_TRUE(json_equal(json_object_get(seen, "event_type"),
					  json_object_get(sent, "event_type")));
		if (json_object_get(sent, "metadata") != NULL)
			CU_ASSERT_TRUE(json_equal(json_object_get(seen, "metadata"),
						  json_object_get(sent, "metadata")));
		if (json_object_get(sent, "timestamp") != NULL)
			CU_ASSERT_TRUE(json_equal(json_object_get(seen, "timestamp"),
						  json_object_get(sent, "timestamp")));
		json_decref(seen);
		json_decref(sent);
		free(record);
	}
	parsing_free(&p);
}

static void a_record_that_is_sent_again_gives_the_same_record(void)
{
	struct parsing p = { 0 }, again = { 0 };

	for (size_t i = 0; i < HR_COUNT(events); i++) {
		char *first, *second;

		CU_ASSERT_EQUAL_FATAL(
			parsed(&p, HR_CODEC_JSON, events[i], strlen(events[i])),
			HR_REJECT_NONE);
		first = rendered(&p.ev, strlen(events[i]));
		CU_ASSERT_EQUAL_FATAL(
			parsed(&again, HR_CODEC_JSON, first, strlen(first)),
			HR_REJECT_NONE);
		second = rendered(&again.ev, strlen(first));
		CU_ASSERT_STRING_EQUAL(first, second);
		free(first);
		free(second);
	}
	parsing_free(&p);
	parsing_free(&again);
}

static void it_fits_exactly_or_nothing_is_said(void)
{
	struct parsing p = { 0 };

	for (size_t i = 0; i < HR_COUNT(events); i++) {
		char *record;
		uint32_t n;

		CU_ASSERT_EQUAL_FATAL(
			parsed(&p, HR_CODEC_JSON, events[i], strlen(events[i])),
			HR_REJECT_NONE);
		record = rendered(&p.ev, strlen(events[i]));
		n = (uint32_t)strlen(record);
		for (uint32_t max = 0; max <= n + 40; max++) {
			uint8_t *exact = malloc(max + 1);

			CU_ASSERT_EQUAL(hr_event_render(&p.ev, exact, max),
					max < n ? 0 : n);
			if (max >= n)
				CU_ASSERT_EQUAL(memcmp(exact, record, n), 0);
			free(exact);
		}
		free(record);
	}
	parsing_free(&p);
}

/* What grows most: control characters in protobuf, six bytes for one each; and an
 * id that fold made, which is not in the event's bytes. */
static void the_bound_holds_for_what_grows_most(void)
{
	struct parsing p = { 0 };
	struct message m = { 0 }, pair = { 0 };
	char text[1200], id[HR_EVENT_ID_MAX];

	memset(text, 1, sizeof(text));
	memset(id, 'i', sizeof(id));
	add_text(&m, 1, "u");
	add_text(&m, 2, "t");
	add_text(&pair, 1, "k");
	add_bytes(&pair, 2, text, sizeof(text));
	add_message(&m, 6, &pair);
	CU_ASSERT_EQUAL_FATAL(parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n),
			      HR_REJECT_NONE);
	p.ev.id = (struct hr_str){ (const uint8_t *)id, sizeof(id) };
	free(rendered(&p.ev, m.n));

	CU_ASSERT_EQUAL_FATAL(parsed(&p, HR_CODEC_JSON, events[0], strlen(events[0])),
			      HR_REJECT_NONE);
	p.ev.id = (struct hr_str){ (const uint8_t *)id, sizeof(id) };
	free(rendered(&p.ev, strlen(events[0])));
	parsing_free(&p);
}

/* Texts go over by whole words: one character to be escaped, at every place of texts
 * of every length. */
static void what_must_be_escaped_is_at_every_place(void)
{
	static const struct {
		char c;
		const char *escaped;
	} odd[] = { { '"', "\\\"" },     { '\\', "\\\\" },    { 0, "\\u0000" },
		    { 0x1f, "\\u001f" }, { 0x7f, "\\u007f" }, { ' ', " " } };
	struct parsing p = { 0 };

	for (size_t n = 1; n <= 40; n++) {
		for (size_t at = 0; at < n; at++) {
			for (size_t i = 0; i < HR_COUNT(odd); i++) {
				struct message m = { 0 }, pair = { 0 };
				char text[40], want[64], *record;

				memset(text, 'x', n);
				text[at] = odd[i].c;
				add_text(&m, 1, "u");
				add_text(&m, 2, "t");
				add_text(&pair, 1, "k");
				add_bytes(&pair, 2, text, n);
				add_message(&m, 6, &pair);
				CU_ASSERT_EQUAL_FATAL(
					parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n),
					HR_REJECT_NONE);
				record = rendered(&p.ev, m.n);
				snprintf(want, sizeof(want), "{\"k\":\"%.*s%s%.*s\"}",
					 (int)at, text, odd[i].escaped,
					 (int)(n - at - 1), text + at + 1);
				CU_ASSERT_PTR_NOT_NULL(strstr(record, want));
				free(record);
			}
		}
	}
	parsing_free(&p);
}

static void pairs_come_in_the_senders_order_and_decoded(void)
{
	static const struct {
		const char *key, *text;
		int form;
	} want[] = {
		{ "price", "1.50", HR_PAIR_NUMBER },
		{ "b", "", HR_PAIR_TRUE },
		{ "c", "", HR_PAIR_NULL },
		{ "d", "", HR_PAIR_FALSE },
		{ "e", "\xf0\x9f\x98\x80", HR_PAIR_TEXT },
	};
	struct parsing p = { 0 };
	uint8_t room[64];
	struct hr_arena arena = { room, room + sizeof(room) };
	struct hr_pair pair;
	uint32_t cursor = 0;

	CU_ASSERT_EQUAL_FATAL(parsed(&p, HR_CODEC_JSON, events[1], strlen(events[1])),
			      HR_REJECT_NONE);
	CU_ASSERT_TRUE_FATAL(hr_event_pair_next(&p.ev, &cursor, &arena, &pair));
	CU_ASSERT_EQUAL(pair.text.n, 5);
	CU_ASSERT_EQUAL(memcmp(pair.text.p, "\0\x1f\x7f\n\"", 5), 0);
	for (size_t i = 0; i < HR_COUNT(want); i++) {
		CU_ASSERT_TRUE_FATAL(hr_event_pair_next(&p.ev, &cursor, &arena, &pair));
		CU_ASSERT_TRUE(is_text(pair.key, want[i].key));
		CU_ASSERT_TRUE(is_text(pair.text, want[i].text));
		CU_ASSERT_EQUAL((int)pair.form, want[i].form);
	}
	CU_ASSERT_FALSE(hr_event_pair_next(&p.ev, &cursor, &arena, &pair));
	CU_ASSERT_FALSE(hr_event_pair_next(&p.ev, &cursor, &arena, &pair));
	parsing_free(&p);
}

static void every_reason_has_a_label_and_a_sentence(void)
{
	CU_ASSERT_STRING_EQUAL(hr_reject_rows[HR_REJECT_NONE].label, "");
	for (int r = HR_REJECT_NONE + 1; r < HR_REJECT_COUNT; r++) {
		CU_ASSERT_TRUE(strlen(hr_reject_rows[r].label) > 0);
		CU_ASSERT_TRUE(strlen(hr_reject_rows[r].text) > 0);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a record is JSON and says what the event said",
		  a_record_is_json_and_says_what_the_event_said },
		{ "a record that is sent again gives the same record",
		  a_record_that_is_sent_again_gives_the_same_record },
		{ "it fits exactly, or nothing is said",
		  it_fits_exactly_or_nothing_is_said },
		{ "the bound holds for what grows most",
		  the_bound_holds_for_what_grows_most },
		{ "what must be escaped is, at every place",
		  what_must_be_escaped_is_at_every_place },
		{ "pairs come in the sender's order, and decoded",
		  pairs_come_in_the_senders_order_and_decoded },
		{ "every reason has a label and a sentence",
		  every_reason_has_a_label_and_a_sentence },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("render", NULL, NULL, tests);
}
