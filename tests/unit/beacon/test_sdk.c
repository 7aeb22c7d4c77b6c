/* SPDX-License-Identifier: BSD-3-Clause */

/* What the C SDK sends is what the appliance reads, in both codecs. */

#include "dataplane/beacon/beacon.h"
#include "tests/unit/beacon/parsing.h"
#include "tests/unit/beacon/sdk_events.h"
#include "tests/unit/hr_test.h"

static const enum headrace_codec codecs[] = { HEADRACE_PROTOBUF, HEADRACE_JSON };
static struct hr_keyring *ring;
static struct hr_beacon_rules rules;

static void setup(void)
{
	struct hr_write_key key = { .id = SDK_KEY_ID };

	memcpy(key.key, sdk_write_key, sizeof(key.key));
	CU_ASSERT_EQUAL_FATAL(hr_keyring_new(&ring, &key, 1, NULL), 0);
	rules = (struct hr_beacon_rules){ .keys = ring,
					  .generation = SDK_GENERATION,
					  .n_shards = SDK_S };
}

static void teardown(void)
{
	hr_keyring_free(ring);
}

static void its_datagrams_are_taken_field_by_field(void)
{
	const struct headrace_event events[] = { sdk_full_event(), sdk_bare_event() };
	const struct headrace_datagram d = sdk_header();
	uint8_t b[HEADRACE_DATAGRAM_MAX];

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		const size_t n = sdk_datagram(b, codecs[c], events, 2);
		struct hr_wire w;

		CU_ASSERT_EQUAL(hr_beacon_read(&rules, b, (uint32_t)n, &w),
				HR_DROP_NONE);
		CU_ASSERT_EQUAL(w.kind, HR_KIND_DATA);
		CU_ASSERT_EQUAL(w.direction, HR_TO_APPLIANCE);
		CU_ASSERT_EQUAL(w.suite, HR_SUITE_SIPHASH);
		CU_ASSERT_EQUAL(w.codec, codecs[c]);
		CU_ASSERT_EQUAL(w.flags, 0);
		CU_ASSERT_EQUAL(w.shard, d.shard);
		CU_ASSERT_EQUAL(w.n_shards, d.n_shards);
		CU_ASSERT_EQUAL(w.n_events, 2);
		CU_ASSERT_EQUAL(w.generation, d.generation);
		CU_ASSERT_EQUAL(w.key_id, d.key_id);
		CU_ASSERT_EQUAL(w.birth, d.birth);
		CU_ASSERT_EQUAL(w.random, d.random);
		CU_ASSERT_EQUAL(w.sequence, d.sequence);
		CU_ASSERT_EQUAL(w.attempt, d.attempt);
		CU_ASSERT_EQUAL(w.client_drops, d.client_drops);
		CU_ASSERT_EQUAL(w.sent_us, d.sent_us);
		CU_ASSERT_EQUAL(w.token, d.token);
		CU_ASSERT_EQUAL(w.payload.n, n - 96);
	}
}

static void our_encoder_writes_the_same_bytes(void)
{
	const struct headrace_event event = sdk_full_event();
	const struct headrace_datagram d = sdk_header();
	uint8_t theirs[HEADRACE_DATAGRAM_MAX], ours[HEADRACE_DATAGRAM_MAX];

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		const size_t n = sdk_datagram(theirs, codecs[c], &event, 1);
		uint8_t key[HR_WIRE_KEY_BYTES];
		struct hr_wire w;

		CU_ASSERT_EQUAL_FATAL(hr_wire_decode(&w, theirs, n), 0);
		hr_wire_stream_key(sdk_write_key, d.birth, d.random, key);
		CU_ASSERT_EQUAL(memcmp(key, d.stream_key, sizeof(key)), 0);
		memset(ours, 0xff, sizeof(ours));
		CU_ASSERT_EQUAL_FATAL(hr_wire_encode(&w, key, ours), n);
		CU_ASSERT_EQUAL(memcmp(ours, theirs, n), 0);

		/* The payload may lie in its place already. */
		memset(ours, 0xff, 80);
		w.payload.p = ours + 80;
		CU_ASSERT_EQUAL_FATAL(hr_wire_encode(&w, key, ours), n);
		CU_ASSERT_EQUAL(memcmp(ours, theirs, n), 0);
	}
}

/* The one event of a datagram of one. */
static void parse_one(struct parsing *p, enum headrace_codec codec,
		      const struct headrace_event *event, uint32_t *bytes)
{
	uint8_t b[HEADRACE_DATAGRAM_MAX];
	const size_t n = sdk_datagram(b, codec, event, 1);
	struct hr_frames frames;
	struct hr_str found;
	struct hr_wire w;

	CU_ASSERT_EQUAL_FATAL(hr_wire_decode(&w, b, n), 0);
	hr_frames_init(&frames, w.codec, w.payload, false);
	CU_ASSERT_EQUAL_FATAL(hr_frames_next(&frames, &found), 1);
	CU_ASSERT_EQUAL_FATAL(parsed(p, w.codec, found.p, found.n), HR_REJECT_NONE);
	CU_ASSERT_EQUAL(hr_frames_next(&frames, &found), 0);
	*bytes = found.n;
}

static void check_full_event(const struct hr_event *ev)
{
	CU_ASSERT_TRUE(is_text(ev->user, "user_123"));
	CU_ASSERT_TRUE(is_text(ev->type, "product_view"));
	CU_ASSERT_EQUAL(ev->type_no, HR_EVENT_PRODUCT_VIEW);
	CU_ASSERT_TRUE(is_text(ev->id, "user_123_1705314600000"));
	CU_ASSERT_TRUE(is_text(ev->product, "product_456"));
	CU_ASSERT_TRUE(is_text(ev->category, "\xc3\xa4 \"electronics\""));
	CU_ASSERT_TRUE(is_text(ev->time_text, "2024-01-15T10:30:00.000"));
	CU_ASSERT_EQUAL(ev->time_form, HR_TIME_TEXT);
	CU_ASSERT_EQUAL(ev->time_ms, 1705314600000);
}

static void check_pairs(const struct hr_event *ev, const struct headrace_event *sent)
{
	uint8_t room[256];
	uint32_t cursor = 0, n = 0;
	struct hr_arena arena = { room, room + sizeof(room) };
	struct hr_pair pair;
	char digits[24];

	for (; hr_event_pair_next(ev, &cursor, &arena, &pair); n++) {
		const struct headrace_pair *want = &sent->pairs[n];

		CU_ASSERT_FATAL(n < sent->n_pairs);
		CU_ASSERT_EQUAL(pair.key.n, want->key.n);
		CU_ASSERT_EQUAL(memcmp(pair.key.p, want->key.p, want->key.n), 0);
		switch (want->form) {
		case HEADRACE_INTEGER:
			snprintf(digits, sizeof(digits), "%lld",
				 (long long)want->integer);
			CU_ASSERT_EQUAL(pair.form, HR_PAIR_NUMBER);
			CU_ASSERT_TRUE(is_text(pair.text, digits));
			break;
		case HEADRACE_TEXT:
		case HEADRACE_NUMBER:
			CU_ASSERT_EQUAL(pair.form, want->form == HEADRACE_TEXT
							   ? HR_PAIR_TEXT
							   : HR_PAIR_NUMBER);
			CU_ASSERT_EQUAL_FATAL(pair.text.n, want->text.n);
			CU_ASSERT_TRUE(pair.text.n == 0 ||
				       memcmp(pair.text.p, want->text.p, pair.text.n) ==
					       0);
			break;
		default:
			CU_ASSERT_EQUAL((int)pair.form - HR_PAIR_TRUE,
					(int)want->form - HEADRACE_TRUE);
			CU_ASSERT_EQUAL(pair.text.n, 0);
		}
	}
	CU_ASSERT_EQUAL(n, sent->n_pairs);
}

static void both_codecs_give_the_event_that_was_tracked(void)
{
	const struct headrace_event sent = sdk_full_event();
	struct parsing p = { 0 };
	uint32_t bytes;

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		parse_one(&p, codecs[c], &sent, &bytes);
		check_full_event(&p.ev);
		check_pairs(&p.ev, &sent);
	}
	parsing_free(&p);
}

static void both_codecs_give_the_same_record(void)
{
	const struct headrace_event events[] = { sdk_full_event(), sdk_bare_event() };
	struct parsing p = { 0 };

	for (size_t i = 0; i < HR_COUNT(events); i++) {
		char *record[2];
		uint32_t bytes;

		for (size_t c = 0; c < HR_COUNT(codecs); c++) {
			parse_one(&p, codecs[c], &events[i], &bytes);
			record[c] = rendered(&p.ev, bytes);
		}
		CU_ASSERT_STRING_EQUAL(record[0], record[1]);
		free(record[0]);
		free(record[1]);
	}
	parsing_free(&p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "its datagrams are taken, field by field",
		  its_datagrams_are_taken_field_by_field },
		{ "our encoder writes the same bytes",
		  our_encoder_writes_the_same_bytes },
		{ "both codecs give the event that was tracked",
		  both_codecs_give_the_event_that_was_tracked },
		{ "both codecs give the same record",
		  both_codecs_give_the_same_record },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("beacon and SDK", setup, teardown, tests);
}
