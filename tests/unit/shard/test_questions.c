/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Whole frames in, whole frames out, where SDKs are acknowledged: real receive paths,
 * streams and folds, the test as network and committer. At the end of each, law 1 holds
 * and every buffer is back (world_end).
 */

#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/shard/world.h"

#define HEAD 42u /* Ethernet, IPv4, UDP */

static struct world w;
static const uint8_t write_key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
static const uint8_t write_key_2[16] = { 2, 4, 6, 8 };
static uint64_t asked_bytes;

static uint64_t good_token(void)
{
	const uint8_t secret[16] = { 9 };
	const struct hr_token_of of = { { 10, 1, 0, 2 }, 40000, 4, WORLD_KEY };
	struct hr_tokens t;

	hr_tokens_init(&t, secret, w.now.wall_us);
	return hr_token_make(&t, &of);
}

static struct hr_wire wire_of(uint8_t kind, uint16_t shard, uint64_t random,
			      uint64_t sequence)
{
	static const uint8_t zeroes[160], event[] = "{\"user_id\":\"somebody else\"}";
	struct hr_wire wire = {
		.kind = kind,
		.suite = HR_SUITE_SIPHASH,
		.shard = shard,
		.n_shards = WORLD_SHARDS,
		.generation = 1,
		.key_id = WORLD_KEY,
		.birth = kind == HR_KIND_HELLO ? 0 : WORLD_CLOCK,
		.random = random,
		.sequence = kind == HR_KIND_HELLO ? 0 : sequence,
		.sent_us = 1234,
		.attempt = 3,
		.token = good_token(),
		.payload = { zeroes,
			     kind == HR_KIND_PROBE ? HR_PROBE_BYTES : HR_HELLO_BYTES },
	};

	if (kind == HR_KIND_DATA) {
		wire.codec = HR_CODEC_JSON;
		wire.n_events = 1;
		wire.payload = (struct hr_str){ event, sizeof(event) - 1 };
	}
	return wire;
}

static const uint8_t *key_of(uint32_t key_id)
{
	return key_id == WORLD_KEY ? write_key : write_key_2;
}

static void put(uint32_t queue, const struct hr_wire *wire)
{
	uint8_t key[16], datagram[HR_WIRE_DATAGRAM_MAX];
	uint32_t n;

	hr_wire_stream_key(key_of(wire->key_id), wire->birth, wire->random, key);
	n = (uint32_t)hr_wire_encode(wire, key, datagram);
	asked_bytes += HEAD + n;
	world_frame(&w, queue, datagram, n);
}

static void ask(uint32_t queue, uint8_t kind, uint16_t shard, uint64_t random,
		uint64_t sequence)
{
	const struct hr_wire wire = wire_of(kind, shard, random, sequence);

	put(queue, &wire);
}

static void begin(uint32_t n_workers)
{
	world_make_asked(&w, n_workers, 5, 1024);
	fake_n_answers = 0;
	fake_answered_bytes = asked_bytes = 0;
}

static void end(void)
{
	CU_ASSERT_TRUE(fake_answered_bytes <= asked_bytes);
	world_end(&w);
}

/* The datagram of the i-th answer that left: tagged, and back to who asked. */
static const uint8_t *answer(uint32_t i)
{
	const uint8_t *frame = fake_answers[i];
	const uint8_t *p = frame + HEAD;
	const uint32_t n = fake_answer_bytes[i] - HEAD;
	uint8_t key[16];

	CU_ASSERT_EQUAL(memcmp(frame + 26, "\x0a\x01\x00\x01", 4), 0); /* from us */
	CU_ASSERT_EQUAL(memcmp(frame + 30, "\x0a\x01\x00\x02", 4), 0);
	CU_ASSERT_EQUAL(frame[34] << 8 | frame[35], 7400);
	CU_ASSERT_EQUAL(frame[36] << 8 | frame[37], 40000);
	hr_wire_stream_key(key_of(hr_load32(p + 20)), hr_load64(p + 24),
			   hr_load64(p + 32), key);
	CU_ASSERT_TRUE(hr_wire_tag_fits(key, p, n));
	CU_ASSERT_EQUAL(p[5], HR_FROM_APPLIANCE);
	return p;
}

static uint64_t answered(const char *kind)
{
	char label[32];

	snprintf(label, sizeof(label), "kind=\"%s\"", kind);
	return world_sum(&w, "headrace_datagrams_answered_total", label);
}

static void a_hello_is_challenged_with_a_token_that_is_good(void)
{
	struct hr_wire data = wire_of(HR_KIND_DATA, 0, 5, 1);
	const uint8_t *p;

	begin(1);
	ask(0, HR_KIND_HELLO, 0, 77, 0);
	world_settle(&w);
	CU_ASSERT_EQUAL_FATAL(fake_n_answers, 1);
	p = answer(0);
	CU_ASSERT_EQUAL(p[4], HR_KIND_CHALLENGE);
	CU_ASSERT_EQUAL(hr_load16(p + 12), WORLD_SHARDS);
	CU_ASSERT_EQUAL(hr_load32(p + 16), 1);
	CU_ASSERT_EQUAL(hr_load64(p + 32), 77);
	CU_ASSERT_EQUAL(hr_load64(p + 80), WORLD_CLOCK);
	CU_ASSERT_EQUAL(hr_load64(p + 88), 1234);
	CU_ASSERT_EQUAL(hr_load64(p + 96), 3600000000);
	data.token = hr_load64(p + 64);
	put(0, &data);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 1);
	CU_ASSERT_EQUAL(answered("hello"), 1);
	end();
}

/* By the queue it came by, whichever worker owns the shard. */
static void what_is_logged_is_acknowledged_where_it_was_asked(void)
{
	begin(2);
	for (uint16_t s = 0; s < 4; s++)
		for (uint64_t i = 1; i <= 3; i++)
			ask(s / 2, HR_KIND_DATA, s, 5, i);
	world_settle(&w);
	for (uint32_t i = 0; i < 2; i++) /* what crossed back in the last round */
		for (uint32_t id = 0; id < 2; id++)
			world_turn(&w, id);
	CU_ASSERT_EQUAL(w.n_items, 12);
	CU_ASSERT_EQUAL_FATAL(fake_n_answers, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const uint8_t *p = answer(i);

		CU_ASSERT_EQUAL(p[4], HR_KIND_ACK);
		CU_ASSERT_EQUAL(p[80 + 22], HR_ACK_COMMITTED);
		CU_ASSERT_EQUAL(hr_load64(p + 40), 3);
		CU_ASSERT_EQUAL(hr_load64(p + 80), 1);
		CU_ASSERT_PTR_EQUAL(fake_answer_queue[i],
				    &w.queues[hr_load16(p + 10) / 2]);
	}
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_answers_sent_total", ""), 4);
	end();
}

static void a_wrong_token_changes_nothing_and_a_probe_brings_the_right_one(void)
{
	struct hr_wire wire;

	begin(2);
	wire = wire_of(HR_KIND_DATA, 1, 5, 1);
	wire.token++;
	put(0, &wire);
	wire = wire_of(HR_KIND_SKIP, 1, 5, 1);
	wire.token = 0;
	put(0, &wire);
	world_settle(&w);
	CU_ASSERT_EQUAL(fake_n_answers, 0);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_TOKEN), 2);
	wire = wire_of(HR_KIND_PROBE, 1, 5, 1);
	wire.token = 4711;
	put(0, &wire);
	world_settle(&w);
	world_turn(&w, 0);
	CU_ASSERT_EQUAL_FATAL(fake_n_answers, 1);
	CU_ASSERT_EQUAL(answer(0)[4], HR_KIND_PROBE_ANSWER);
	CU_ASSERT_EQUAL(hr_load64(answer(0) + 64), good_token());
	CU_ASSERT_EQUAL(w.n_items, 0);
	end();
}

static void whoever_asks_the_wrong_appliance_or_shard_is_told(void)
{
	struct hr_wire wire;

	begin(1);
	wire = wire_of(HR_KIND_DATA, 1, 5, 1);
	wire.n_shards = 25;
	put(0, &wire);
	wire = wire_of(HR_KIND_PROBE, 1, 5, 1);
	wire.generation = 2;
	put(0, &wire);
	wire = wire_of(HR_KIND_SKIP, WORLD_SHARDS, 5, 1);
	put(0, &wire);
	world_settle(&w);
	CU_ASSERT_EQUAL_FATAL(fake_n_answers, 3);
	for (uint32_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(answer(i)[4], HR_KIND_WRONG_SHARD);
		CU_ASSERT_EQUAL(hr_load16(answer(i) + 12), WORLD_SHARDS);
	}
	atomic_store(&w.views[2].state, HR_SHARD_FENCED);
	atomic_store(&w.views[2].may_ack, false);
	atomic_store(&w.views[2].incarnation, 8);
	hr_known_owner_set(&w.seats[2].owner, "10.9.0.1:7400");
	ask(0, HR_KIND_DATA, 2, 5, 1);
	ask(0, HR_KIND_PROBE, 2, 5, 1);
	world_settle(&w);
	CU_ASSERT_EQUAL_FATAL(fake_n_answers, 5);
	for (uint32_t i = 3; i < 5; i++) {
		CU_ASSERT_EQUAL(answer(i)[4], HR_KIND_NOT_OWNER);
		CU_ASSERT_EQUAL(hr_load64(answer(i) + 80), 8);
	}
	/* The DATA was too small for the addresses, the PROBE was not. */
	CU_ASSERT_EQUAL(hr_load16(answer(3) + 88), 0);
	CU_ASSERT_EQUAL(hr_load16(answer(4) + 88), 13);
	CU_ASSERT_EQUAL(memcmp(answer(4) + 96, "10.9.0.1:7400", 13), 0);
	end();
}

/* Every answer that we ever gave, sent to us. */
static void our_own_answers_are_answered_by_nobody(void)
{
	uint32_t n;

	begin(1);
	ask(0, HR_KIND_HELLO, 0, 77, 0);
	ask(0, HR_KIND_DATA, 1, 5, 1);
	ask(0, HR_KIND_DATA, 1, 5, 3);
	ask(0, HR_KIND_PROBE, 1, 5, 1);
	ask(0, HR_KIND_SKIP, 1, 5, 1);
	world_settle(&w);
	n = fake_n_answers;
	CU_ASSERT_TRUE(n >= 4);
	for (uint32_t i = 0; i < n; i++)
		world_frame(&w, 0, fake_answers[i] + HEAD, fake_answer_bytes[i] - HEAD);
	world_settle(&w);
	CU_ASSERT_EQUAL(fake_n_answers, n);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_FRAME_KIND), n);
	end();
}

static void what_is_cut_or_forged_is_answered_by_nobody(void)
{
	static const uint8_t kinds[] = { HR_KIND_DATA, HR_KIND_HELLO, HR_KIND_PROBE,
					 HR_KIND_SKIP };
	uint32_t n_bad = 0;

	begin(1);
	for (size_t k = 0; k < HR_COUNT(kinds); k++) {
		const struct hr_wire wire = wire_of(kinds[k], 1, 5, 1);
		uint8_t key[16] = { 0 }, datagram[HR_WIRE_DATAGRAM_MAX];
		uint32_t n = (uint32_t)hr_wire_encode(&wire, key, datagram);

		world_frame(&w, 0, datagram, n); /* of somebody without the key */
		n_bad++;
		hr_wire_stream_key(write_key, wire.birth, wire.random, key);
		n = (uint32_t)hr_wire_encode(&wire, key, datagram);
		for (uint32_t cut = 1; cut < n; cut++, n_bad++)
			world_frame(&w, 0, datagram, cut);
	}
	world_settle(&w);
	CU_ASSERT_EQUAL(fake_n_answers, 0);
	CU_ASSERT_EQUAL(w.n_items, 0);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_refused_total", ""), n_bad);
	end();
}

/* ---- what strangers can have from us ---- */

/* Questions of every kind, in every way that an answer can depend on. */
static const struct situation {
	const char *name;
	uint16_t shard, n_shards;
	uint32_t generation;
	uint64_t birth, sequence;
} situations[] = {
	{ "the next", 0, WORLD_SHARDS, 1, WORLD_CLOCK, 1 },
	{ "again", 0, WORLD_SHARDS, 1, WORLD_CLOCK, 1 },
	{ "ahead", 0, WORLD_SHARDS, 1, WORLD_CLOCK, 5 },
	{ "far ahead", 0, WORLD_SHARDS, 1, WORLD_CLOCK, 500 },
	{ "of a stream long gone", 0, WORLD_SHARDS, 1, 1000, 1 },
	{ "of a stream to come", 0, WORLD_SHARDS, 1, 2 * WORLD_CLOCK, 1 },
	{ "of another S", 0, 25, 1, WORLD_CLOCK, 1 },
	{ "of another generation", 0, WORLD_SHARDS, 2, WORLD_CLOCK, 1 },
	{ "of no shard", WORLD_SHARDS, WORLD_SHARDS, 1, WORLD_CLOCK, 1 },
	{ "of another's shard", 2, WORLD_SHARDS, 1, WORLD_CLOCK, 1 },
	{ "of a shard that may not tell", 3, WORLD_SHARDS, 1, WORLD_CLOCK, 1 },
};

static const uint8_t questions[] = { HR_KIND_DATA, HR_KIND_SKIP, HR_KIND_PROBE,
				     HR_KIND_HELLO };

static struct hr_wire question_in(const struct situation *in, uint8_t kind)
{
	struct hr_wire wire = wire_of(kind, in->shard, 5, in->sequence);

	wire.n_shards = in->n_shards;
	wire.generation = in->generation;
	if (kind != HR_KIND_HELLO)
		wire.birth = in->birth;
	return wire;
}

static void take_shards_away(void)
{
	atomic_store(&w.views[2].state, HR_SHARD_FENCED);
	atomic_store(&w.views[2].incarnation, 8);
	hr_known_owner_set(&w.seats[2].owner, "10.9.0.1:7400,[fd00::12:34]:7400-7407");
	atomic_store(&w.views[3].may_ack, false);
}

static uint64_t token_for(uint16_t port, uint32_t key_id, uint8_t family)
{
	const uint8_t secret[16] = { 9 };
	const struct hr_token_of of = { { 10, 1, 0, 2 }, port, family, key_id };
	struct hr_tokens t;

	hr_tokens_init(&t, secret, w.now.wall_us);
	return hr_token_make(&t, &of);
}

/* Whoever cannot be reached where he says he is has nothing logged and gets nothing
 * sent there, but for HELLO and PROBE, which are there to find that out. A question
 * that somebody heard and sends again from elsewhere is such a one. */
static void without_a_token_only_hello_and_probe_are_answered(void)
{
	uint64_t n_refused = 0;

	begin(1);
	take_shards_away();
	for (size_t i = 0; i < HR_COUNT(situations); i++)
		for (size_t k = 0; k < HR_COUNT(questions); k++) {
			const uint64_t tokens[] = { 0, good_token() + 1,
						    token_for(40001, WORLD_KEY, 4),
						    token_for(40000, WORLD_KEY + 1, 4),
						    token_for(40000, WORLD_KEY, 6) };
			struct hr_wire wire = question_in(&situations[i], questions[k]);
			const bool asks_for_it = questions[k] == HR_KIND_HELLO ||
						 questions[k] == HR_KIND_PROBE;

			for (size_t t = 0; t < HR_COUNT(tokens); t++) {
				const uint32_t n = fake_n_answers;

				wire.token = tokens[t];
				put(0, &wire);
				world_settle(&w);
				w.now.mono_us += 10000;
				n_refused += !asks_for_it;
				if (!asks_for_it && fake_n_answers != n)
					CU_FAIL("an answer to nobody knows whom");
			}
		}
	CU_ASSERT_EQUAL(w.n_items, 0);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_TOKEN), n_refused);
	CU_ASSERT_TRUE(answered("hello") > 0 && answered("probe") > 0);
	end();
}

/* One question at a time, so that no other's bytes count for it. */
static void no_answer_is_larger_than_its_question(void)
{
	static const uint8_t small[] = "{\"user_id\":\"a\"}";
	bool was_given[HR_KIND_WRONG_SHARD + 1] = { false };

	begin(1);
	take_shards_away();
	for (size_t i = 0; i < HR_COUNT(situations); i++)
		for (size_t k = 0; k < 2 * HR_COUNT(questions); k++) {
			struct hr_wire wire =
				question_in(&situations[i], questions[k / 2]);
			const uint64_t answered_before = fake_answered_bytes;
			const uint64_t asked_before = asked_bytes;
			const uint32_t n = fake_n_answers;

			if (wire.kind == HR_KIND_DATA && k % 2 == 1)
				wire.payload =
					(struct hr_str){ small, sizeof(small) - 1 };
			put(0, &wire);
			world_settle(&w);
			w.now.mono_us += 10000;
			for (uint32_t a = n; a < fake_n_answers; a++)
				was_given[answer(a % FAKE_ANSWERS)[4]] = true;
			CU_ASSERT_TRUE(fake_n_answers - n <= 1);
			if (fake_answered_bytes - answered_before >
			    asked_bytes - asked_before) {
				printf("\nkind %u, %s: %u bytes for %u\n", wire.kind,
				       situations[i].name,
				       (unsigned int)(fake_answered_bytes -
						      answered_before),
				       (unsigned int)(asked_bytes - asked_before));
				CU_FAIL("an answer larger than its question");
			}
		}
	/* BUSY has 16 bytes where ACK has 24: test_streams. */
	CU_ASSERT_TRUE(was_given[HR_KIND_CHALLENGE] && was_given[HR_KIND_ACK] &&
		       was_given[HR_KIND_PROBE_ANSWER] &&
		       was_given[HR_KIND_NOT_OWNER] && was_given[HR_KIND_EXPIRED] &&
		       was_given[HR_KIND_WRONG_SHARD]);
	end();
}

/* Whoever heard a stream's datagrams, and has a write key of his own, sends them again
 * under that: nothing is logged, and an honest sender is told to begin another. */
static void a_stream_is_heard_under_its_own_key_alone(void)
{
	uint64_t items;

	begin(2);
	for (uint64_t i = 1; i <= 3; i++)
		ask(0, HR_KIND_DATA, 1, 5, i);
	world_settle(&w);
	world_turn(&w, 0);
	items = w.n_items;
	for (uint64_t i = 1; i <= 4; i++)
		for (size_t k = 0; k < 3; k++) { /* DATA, SKIP, PROBE */
			struct hr_wire wire = wire_of(questions[k], 1, 5, i);
			const uint32_t n = fake_n_answers;

			wire.key_id = WORLD_KEY_2;
			wire.token = token_for(40000, WORLD_KEY_2, 4);
			put(0, &wire);
			world_settle(&w);
			world_turn(&w, 0);
			CU_ASSERT_EQUAL_FATAL(fake_n_answers, n + 1);
			CU_ASSERT_EQUAL(answer(n)[4], HR_KIND_EXPIRED);
			CU_ASSERT_EQUAL(hr_load32(answer(n) + 20), WORLD_KEY_2);
			CU_ASSERT_EQUAL(hr_load64(answer(n) + 96), HR_EXPIRED_ANY);
		}
	CU_ASSERT_EQUAL(w.n_items, items);
	CU_ASSERT_EQUAL(world_drops(&w, HR_DROP_STREAM_KEY), 12);
	ask(0, HR_KIND_DATA, 1, 5, 4);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, items + 1);
	end();
}

/* All that was ever asked, in another order, often: nothing is logged again. */
static void questions_that_come_again_are_logged_once(void)
{
	struct test_random rnd = { 0x777 };

	begin(2);
	for (uint64_t i = 1; i <= 20; i++)
		ask(0, HR_KIND_DATA, 1, 5, i);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 20);
	for (uint32_t i = 0; i < 400; i++) {
		static const uint8_t kinds[] = { HR_KIND_DATA, HR_KIND_DATA,
						 HR_KIND_PROBE, HR_KIND_HELLO,
						 HR_KIND_SKIP };

		ask(test_below(&rnd, 2), kinds[test_below(&rnd, HR_COUNT(kinds))], 1, 5,
		    1 + test_below(&rnd, 20));
		if (i % 10 == 0) {
			world_settle(&w);
			w.now.mono_us += test_below(&rnd, 8000);
		}
	}
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 20);
	end();
}

static uint64_t n_acknowledged(void)
{
	uint64_t cells[HR_HIST_CELLS], n = 0;

	hr_stats_histogram(w.reader, "headrace_ack_latency_seconds", "", cells);
	for (uint32_t i = 0; i < HR_HIST_BUCKETS; i++)
		n += cells[i];
	return n;
}

static void repeats_are_counted_and_told_once_in_5_ms(void)
{
	begin(1);
	for (uint32_t i = 0; i < 10; i++)
		ask(0, HR_KIND_DATA, 1, 5, 1);
	world_settle(&w);
	CU_ASSERT_EQUAL(w.n_items, 1);
	CU_ASSERT_EQUAL(world_sum(&w, "headrace_datagrams_repeated_total", ""), 9);
	CU_ASSERT_EQUAL(fake_n_answers, 2); /* one again, one for the link */
	CU_ASSERT_EQUAL(n_acknowledged(), 1);
	end();
}

/* Anything in any order, fences at any moment, two workers: law 1 each round. */
static void law_1_holds_whatever_happens(void)
{
	struct test_random rnd = { 0x12345 };
	uint64_t sent[WORLD_SHARDS][4] = { { 0 } };
	uint64_t incarnation = 1;

	begin(2);
	for (uint32_t round = 0; round < 1500; round++) {
		for (uint32_t i = test_below(&rnd, 20); i > 0; i--) {
			const uint16_t s = (uint16_t)test_below(&rnd, WORLD_SHARDS);
			const uint32_t who = test_below(&rnd, 4);
			const uint32_t queue = test_below(&rnd, 2);
			static const uint8_t kinds[] = { HR_KIND_HELLO, HR_KIND_PROBE,
							 HR_KIND_SKIP };

			if (test_below(&rnd, 8) == 0)
				ask(queue, kinds[test_below(&rnd, 3)], s, who,
				    1 + test_below(&rnd, 3));
			else if (test_below(&rnd, 2) == 0)
				ask(queue, HR_KIND_DATA, s, who,
				    1 + test_below(&rnd, (uint32_t)sent[s][who] + 70));
			else
				ask(queue, HR_KIND_DATA, s, who, ++sent[s][who]);
		}
		world_turn(&w, test_below(&rnd, 2));
		if (test_below(&rnd, 3) == 0)
			world_commit(&w);
		if (test_below(&rnd, 15) == 0) {
			const uint16_t s = (uint16_t)test_below(&rnd, WORLD_SHARDS);

			world_commit(&w);
			incarnation++;
			world_fence(&w, s, incarnation, (uint32_t)incarnation);
			for (uint32_t i = 0; i < 4; i++)
				sent[s][i] -= sent[s][i] > 3 ? 3 : 0;
		}
		w.now.mono_us += test_below(&rnd, 4000);
		CU_ASSERT_TRUE(world_is_balanced(&w));
	}
	world_settle(&w);
	CU_ASSERT_TRUE(w.n_items > 2000);
	CU_ASSERT_TRUE(fake_n_answers > 1000);
	CU_ASSERT_TRUE(world_drops(&w, HR_DROP_FENCED) > 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a HELLO is challenged with a token that is good",
		  a_hello_is_challenged_with_a_token_that_is_good },
		{ "what is logged is acknowledged where it was asked",
		  what_is_logged_is_acknowledged_where_it_was_asked },
		{ "a wrong token changes nothing and a PROBE brings the right one",
		  a_wrong_token_changes_nothing_and_a_probe_brings_the_right_one },
		{ "whoever asks the wrong appliance or shard is told",
		  whoever_asks_the_wrong_appliance_or_shard_is_told },
		{ "our own answers are answered by nobody",
		  our_own_answers_are_answered_by_nobody },
		{ "what is cut or forged is answered by nobody",
		  what_is_cut_or_forged_is_answered_by_nobody },
		{ "without a token only HELLO and PROBE are answered",
		  without_a_token_only_hello_and_probe_are_answered },
		{ "no answer is larger than its question",
		  no_answer_is_larger_than_its_question },
		{ "a stream is heard under its own key alone",
		  a_stream_is_heard_under_its_own_key_alone },
		{ "questions that come again are logged once",
		  questions_that_come_again_are_logged_once },
		{ "repeats are counted and told once in 5 ms",
		  repeats_are_counted_and_told_once_in_5_ms },
		{ "law 1 holds whatever happens", law_1_holds_whatever_happens },
		CU_TEST_INFO_NULL,
	};

	world_eal();
	return hr_test_run("questions", NULL, NULL, tests);
}
