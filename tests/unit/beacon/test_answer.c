/* SPDX-License-Identifier: BSD-3-Clause */

/* Answers byte by byte as tests/data/wire_vectors.py writes them from the document, and
 * never larger than the question; what came from an appliance is no question. */

#include <stdlib.h>

#include "dataplane/beacon/answer.h"
#include "dataplane/beacon/beacon.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/log/vectors.h"

#define BIRTH 1700000000000000ull
#define RANDOM 0x0123456789abcdefull

static const uint8_t write_key[16] = { 0, 1, 2,  3,  4,  5,  6,  7,
				       8, 9, 10, 11, 12, 13, 14, 15 };

/* What the table's rows have in common. */
#define ROW                                                                            \
	.room = HR_WIRE_DATAGRAM_MAX, .shard = 3, .n_shards = 5, .generation = 1,      \
	.key_id = 7, .random = RANDOM, .incarnation = 9

static const struct {
	const char *name;
	struct hr_answer answer;
} rows[] = {
	{ "challenge",
	  { ROW, .kind = HR_KIND_CHALLENGE, .token = 99, .server_us = BIRTH + 9,
	    .echo_us = BIRTH + 5, .span_us = 3600000000, .wait_ms = 7200000 } },
	{ "ack",
	  { ROW, .kind = HR_KIND_ACK, .birth = BIRTH, .sequence = 17, .parked = 5,
	    .credit = 64, .meaning = HR_ACK_COMMITTED } },
	{ "probe_answer",
	  { ROW, .kind = HR_KIND_PROBE_ANSWER, .birth = BIRTH, .sequence = 17,
	    .credit = 64, .meaning = HR_ACK_COMMITTED, .token = 99,
	    .server_us = BIRTH + 9, .echo_us = BIRTH + 5 } },
	{ "not_owner",
	  { ROW, .kind = HR_KIND_NOT_OWNER, .birth = BIRTH, .sequence = 1,
	    .addresses = { (const uint8_t *)"10.0.0.1:7400", 13 } } },
	{ "busy",
	  { ROW, .kind = HR_KIND_BUSY, .birth = BIRTH, .sequence = 1, .wait_ms = 1000,
	    .reason = HR_BUSY_STREAMS } },
	{ "expired",
	  { ROW, .kind = HR_KIND_EXPIRED, .birth = BIRTH, .sequence = 1,
	    .server_us = BIRTH + 9, .span_us = BIRTH + 1 } },
	{ "wrong_shard",
	  { ROW, .kind = HR_KIND_WRONG_SHARD, .birth = BIRTH, .sequence = 1 } },
};

static uint32_t n_found;

static void compare(const struct vector_row *row)
{
	uint8_t out[HR_ANSWER_MAX];

	if (strcmp(row->word[0], "datagram") != 0)
		return;
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		if (strcmp(vector_get(row, "name"), rows[i].name) != 0)
			continue;
		memset(out, 0xa5, sizeof(out));
		CU_ASSERT_EQUAL_FATAL(
			hr_answer_encode(&rows[i].answer, write_key, BIRTH + 5, out),
			row->n_bytes);
		CU_ASSERT_EQUAL(memcmp(out, row->bytes, row->n_bytes), 0);
		n_found++;
	}
}

static void answers_are_what_the_documents_author_writes(void)
{
	n_found = 0;
	vectors_walk(compare);
	CU_ASSERT_EQUAL(n_found, HR_COUNT(rows));
}

static void no_answer_is_larger_than_its_question(void)
{
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_answer a = rows[i].answer;
		uint32_t n_empty = 0;

		for (uint16_t room = 0; room <= HR_WIRE_DATAGRAM_MAX; room++) {
			uint8_t out[HR_ANSWER_MAX];
			uint32_t n;

			a.room = room;
			n = hr_answer_encode(&a, write_key, BIRTH, out);
			CU_ASSERT_TRUE(n <= room);
			n_empty += n == 0;
		}
		/* From some size on there is one. */
		CU_ASSERT_TRUE(n_empty >= 96 && n_empty <= 160);
	}
}

/* The addresses go first; the answer itself stays. */
static void addresses_that_do_not_fit_are_left_out(void)
{
	uint8_t text[HR_WIRE_ADDRESSES_MAX + 1], out[HR_ANSWER_MAX];
	struct hr_answer a = { ROW, .kind = HR_KIND_NOT_OWNER, .birth = 1 };

	memset(text, 'a', sizeof(text));
	a.addresses = (struct hr_str){ text, HR_WIRE_ADDRESSES_MAX };
	CU_ASSERT_EQUAL(hr_answer_encode(&a, write_key, 1, out), HR_ANSWER_MAX);
	a.room = HR_ANSWER_MAX - 1;
	CU_ASSERT_EQUAL(hr_answer_encode(&a, write_key, 1, out), 112);
	CU_ASSERT_EQUAL(hr_load16(out + 80 + 8), 0);
	a.room = HR_WIRE_DATAGRAM_MAX;
	a.addresses.n = HR_WIRE_ADDRESSES_MAX + 1;
	CU_ASSERT_EQUAL(hr_answer_encode(&a, write_key, 1, out), 112);
}

static struct hr_keyring *ring;
static struct hr_tokens tokens;
static const struct hr_token_of from = { { 10, 1, 0, 2 }, 40000, 4, 0 };

static enum hr_drop ask(const uint8_t *bytes, uint32_t n)
{
	const struct hr_beacon_rules rules = { ring, 1, 5, false };
	struct hr_wire w;

	return hr_beacon_ask(&rules, &tokens, &from, bytes, n, &w);
}

static void setup(void)
{
	struct hr_write_key key = { .id = 7 };
	const uint8_t secret[16] = { 1 };

	memcpy(key.key, write_key, 16);
	CU_ASSERT_EQUAL_FATAL(hr_keyring_new(&ring, &key, 1, NULL), 0);
	hr_tokens_init(&tokens, secret, BIRTH);
}

static void teardown(void)
{
	hr_keyring_free(ring);
}

static void our_own_answers_sent_back_are_no_questions(void)
{
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		uint8_t out[HR_ANSWER_MAX];
		uint32_t n = hr_answer_encode(&rows[i].answer, write_key, BIRTH, out);

		CU_ASSERT_EQUAL(ask(out, n), HR_DROP_FRAME_KIND);
		/* Made over into something a client sends, it has the wrong tag. */
		out[5] = HR_TO_APPLIANCE;
		out[4] = HR_KIND_PROBE;
		CU_ASSERT_TRUE(ask(out, n) == HR_DROP_TAG ||
			       ask(out, n) == HR_DROP_FRAME_STREAM);
		out[4] = HR_KIND_SKIP;
		CU_ASSERT_TRUE(ask(out, n) == HR_DROP_TAG ||
			       ask(out, n) == HR_DROP_FRAME_STREAM);
	}
}

/* A question of this kind with its right tag. */
static uint32_t question(uint8_t kind, uint64_t token, uint8_t *out)
{
	static const uint8_t zeroes[160], event[] = "{\"user_id\":\"u\"}";
	struct hr_wire w = {
		.kind = kind,
		.suite = HR_SUITE_SIPHASH,
		.shard = 3,
		.n_shards = 5,
		.generation = 1,
		.key_id = 7,
		.birth = kind == HR_KIND_HELLO ? 0 : BIRTH,
		.random = RANDOM,
		.sequence = kind == HR_KIND_HELLO ? 0 : 4,
		.token = token,
		.payload = { zeroes,
			     kind == HR_KIND_PROBE ? HR_PROBE_BYTES : HR_HELLO_BYTES },
	};
	uint8_t key[16];

	if (kind == HR_KIND_DATA) {
		w.codec = HR_CODEC_JSON;
		w.n_events = 1;
		w.payload = (struct hr_str){ event, sizeof(event) - 1 };
	}
	hr_wire_stream_key(write_key, w.birth, w.random, key);
	return (uint32_t)hr_wire_encode(&w, key, out);
}

static const uint8_t kinds[] = { HR_KIND_DATA, HR_KIND_HELLO, HR_KIND_PROBE,
				 HR_KIND_SKIP };

static void a_token_is_asked_of_what_changes_state(void)
{
	struct hr_token_of of = from;
	uint64_t token;

	of.key_id = 7;
	token = hr_token_make(&tokens, &of);
	for (size_t i = 0; i < HR_COUNT(kinds); i++) {
		const bool needs_it =
			kinds[i] == HR_KIND_DATA || kinds[i] == HR_KIND_SKIP;
		uint8_t out[HR_WIRE_DATAGRAM_MAX];

		CU_ASSERT_EQUAL(ask(out, question(kinds[i], token, out)), HR_DROP_NONE);
		CU_ASSERT_EQUAL(ask(out, question(kinds[i], token + 1, out)),
				needs_it ? HR_DROP_TOKEN : HR_DROP_NONE);
		CU_ASSERT_EQUAL(ask(out, question(kinds[i], 0, out)),
				needs_it ? HR_DROP_TOKEN : HR_DROP_NONE);
	}
}

static void every_kind_cut_anywhere_or_with_one_bit_flipped_is_refused(void)
{
	struct hr_token_of of = from;

	of.key_id = 7;
	for (size_t i = 0; i < HR_COUNT(kinds); i++) {
		uint8_t out[HR_WIRE_DATAGRAM_MAX];
		const uint32_t n = question(kinds[i], hr_token_make(&tokens, &of), out);

		for (uint32_t cut = 0; cut < n; cut++) {
			uint8_t *exact = malloc(cut + 1);

			memcpy(exact, out, cut);
			CU_ASSERT_NOT_EQUAL(ask(exact, cut), HR_DROP_NONE);
			free(exact);
		}
		for (uint32_t bit = 0; bit < n * 8; bit++) {
			out[bit / 8] ^= (uint8_t)(1u << bit % 8);
			CU_ASSERT_NOT_EQUAL(ask(out, n), HR_DROP_NONE);
			out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		CU_ASSERT_EQUAL(ask(out, n), HR_DROP_NONE);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "answers are what the document's author writes",
		  answers_are_what_the_documents_author_writes },
		{ "no answer is larger than its question",
		  no_answer_is_larger_than_its_question },
		{ "addresses that do not fit are left out",
		  addresses_that_do_not_fit_are_left_out },
		{ "our own answers sent back are no questions",
		  our_own_answers_sent_back_are_no_questions },
		{ "a token is asked of what changes state",
		  a_token_is_asked_of_what_changes_state },
		{ "every kind cut anywhere or with one bit flipped is refused",
		  every_kind_cut_anywhere_or_with_one_bit_flipped_is_refused },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("answer", setup, teardown, tests);
}
