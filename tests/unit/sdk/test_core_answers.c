/* SPDX-License-Identifier: BSD-3-Clause */

/* What the core of the SDK believes: which answers count, and what follows of each. */

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/hand.h"

static uint64_t committed(const struct hand *h)
{
	return h->core.counts[COMMITTED_EVENTS];
}

/* ---- what an answer must look like ---- */

static uint32_t at;
static uint8_t value;

static void flip(uint8_t *p, size_t *n)
{
	if (at < *n)
		p[at] ^= 0x40;
}

static void set(uint8_t *p, size_t *n)
{
	(void)n;
	p[at] = value;
}

static void an_answer_with_any_byte_changed_frees_nothing(void)
{
	struct hand *h = hand_under_way(1, 1, 4);

	for (at = 0; at < 80 + 24 + 16; at++)
		say(h, (struct say){ .kind = KIND_ACK,
				     .floor = 3,
				     .meaning = COMMITTED,
				     .spoil = flip,
				     .is_tagged_before = true });
	CU_ASSERT_EQUAL(committed(h), 1);
	CU_ASSERT_EQUAL(hand_ignored(h), at);
	hand_close(h);
}

static void a_question_of_our_own_is_no_answer(void)
{
	static const struct {
		uint32_t at;
		uint8_t value;
	} rows[] = {
		{ 0, 'h' }, { 3, 2 },   { 4, KIND_DATA }, { 4, KIND_PROBE },
		{ 4, 12 },  { 5, 0 },   { 5, 2 },         { 6, 2 },
		{ 7, 1 },   { 8, 1 },   { 9, 1 },         { 14, 1 },
		{ 20, 8 },  { 72, 23 }, { 72, 25 },       { 73, 1 },
	};
	struct hand *h = hand_under_way(1, 1, 4);

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		at = rows[i].at;
		value = rows[i].value;
		say(h, (struct say){ .kind = KIND_ACK,
				     .floor = 3,
				     .meaning = COMMITTED,
				     .spoil = set });
		CU_ASSERT_EQUAL(hand_ignored(h), i + 1);
	}
	CU_ASSERT_EQUAL(committed(h), 1);
	hand_close(h);
}

static int longer_by;

static void stretch(uint8_t *p, size_t *n)
{
	*n = (size_t)((long)*n + longer_by);
	store16(p + 72, (uint16_t)(*n - HEADRACE_HEADER_BYTES));
}

static void each_kind_has_its_length(void)
{
	static const uint8_t kinds[] = { KIND_ACK, KIND_PROBE_ANSWER, KIND_BUSY,
					 KIND_EXPIRED };
	struct hand *h = hand_under_way(1, 1, 4);
	uint64_t n = 0;

	for (size_t i = 0; i < HR_COUNT(kinds); i++)
		for (longer_by = -1; longer_by <= 1; longer_by += 2) {
			say(h, (struct say){ .kind = kinds[i],
					     .floor = 3,
					     .meaning = COMMITTED,
					     .asked_us = h->now_us + HAND_WALL_US,
					     .oldest_birth = BIRTH_MASK,
					     .spoil = stretch });
			CU_ASSERT_EQUAL(hand_ignored(h), ++n);
		}
	longer_by = 1;
	say(h,
	    (struct say){ .kind = KIND_WRONG_SHARD, .n_shards = 9, .spoil = stretch });
	CU_ASSERT_EQUAL(hand_ignored(h), ++n);
	longer_by = -1;
	say(h, (struct say){ .kind = KIND_NOT_OWNER, .spoil = stretch });
	say(h, (struct say){
		       .kind = KIND_NOT_OWNER, .addresses = "a:1", .spoil = stretch });
	CU_ASSERT_EQUAL(hand_ignored(h), n + 2);
	CU_ASSERT_EQUAL(committed(h), 1);
	CU_ASSERT_EQUAL(h->core.n_shards, 1);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 0);
	hand_close(h);
}

/* Addresses that would lie behind the end. */
static void claim_more(uint8_t *p, size_t *n)
{
	(void)n;
	store16(p + 72, 60);
	p[HEADRACE_HEADER_BYTES + 8] = 44;
}

static void its_length_is_what_came(void)
{
	struct hand *h = hand_under_way(1, 2, 2);

	say(h, (struct say){ .kind = KIND_NOT_OWNER, .spoil = claim_more });
	CU_ASSERT_EQUAL(hand_ignored(h), 1);
	CU_ASSERT_EQUAL(h->core.flows[0].target, 0);
	hand_close(h);
}

static void an_ack_means_received_or_committed(void)
{
	struct hand *h = hand_under_way(1, 1, 4);

	say_floor(h, 0, 3, 0);
	say_floor(h, 0, 3, 3);
	CU_ASSERT_EQUAL(hand_ignored(h), 2);
	CU_ASSERT_EQUAL(h->core.flows[0].received, 1);
	say_floor(h, 0, 3, RECEIVED);
	CU_ASSERT_EQUAL(hand_ignored(h), 2);
	CU_ASSERT_EQUAL(h->core.flows[0].received, 3);
	CU_ASSERT_EQUAL(committed(h), 1);
	hand_close(h);
}

static void committed_frees_up_to_the_floor_and_received_nothing(void)
{
	struct hand *h = hand_under_way(1, 1, 6);

	CU_ASSERT_EQUAL(h->n_given_back, 1);
	say_floor(h, 0, 6, RECEIVED);
	CU_ASSERT_EQUAL(h->n_given_back, 1);
	say_committed(h, 0, 4);
	CU_ASSERT_EQUAL(h->n_given_back, 4);
	CU_ASSERT_EQUAL(committed(h), 4);
	say_committed(h, 0, 4); /* once more */
	CU_ASSERT_EQUAL(h->n_given_back, 4);
	CU_ASSERT_EQUAL(h->outcomes[3].first, 4);
	hand_close(h);
}

static void a_floor_beyond_what_there_is_is_ignored(void)
{
	struct hand *h = hand_under_way(1, 1, 4);

	say_committed(h, 0, 5);
	CU_ASSERT_EQUAL(hand_ignored(h), 1);
	CU_ASSERT_EQUAL(committed(h), 1);
	say_committed(h, 0, 4);
	CU_ASSERT_EQUAL(committed(h), 4);
	hand_close(h);
}

static void a_flow_hears_of_its_own_stream_only(void)
{
	struct hand *h = hand_under_way(2, 1, 3);
	const struct stream first = *h->core.current;
	const struct stream *second;

	h->now_us += HAND_MAX_AGE_US;
	hand_track(h, 1, 1);
	hand_run(h);
	say_challenge(h, 1000);
	second = h->core.current;
	CU_ASSERT_NOT_EQUAL(second->random, first.random);
	say(h, (struct say){ .kind = KIND_ACK,
			     .birth = second->birth,
			     .random = second->random,
			     .floor = 2,
			     .meaning = COMMITTED });
	say(h, (struct say){ .kind = KIND_ACK, /* no flow speaks on it there */
			     .shard = 1,
			     .birth = first.birth,
			     .random = first.random,
			     .meaning = COMMITTED });
	say(h, (struct say){ .kind = KIND_ACK, /* nobody's */
			     .birth = first.birth,
			     .random = first.random + 1,
			     .floor = 2,
			     .meaning = COMMITTED });
	CU_ASSERT_EQUAL(hand_ignored(h), 3);
	CU_ASSERT_EQUAL(committed(h), 1);
	say_committed(h, 0, 2);
	CU_ASSERT_EQUAL(committed(h), 2);
	hand_close(h);
}

/* ---- incarnations ---- */

static void an_answer_of_a_former_owner_is_ignored(void)
{
	static const uint8_t kinds[] = { KIND_ACK, KIND_PROBE_ANSWER, KIND_NOT_OWNER,
					 KIND_BUSY, KIND_EXPIRED };
	struct hand *h = hand_under_way(1, 2, 4);
	struct flow before;

	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 1,
			     .incarnation = 5,
			     .meaning = RECEIVED });
	hand_run(h);
	before = h->core.flows[0];
	for (size_t i = 0; i < HR_COUNT(kinds); i++) {
		say(h, (struct say){ .kind = kinds[i],
				     .floor = 3,
				     .incarnation = 4,
				     .meaning = COMMITTED,
				     .wait_ms = 1000,
				     .oldest_birth = BIRTH_MASK,
				     .server_us = h->now_us + 2 * HAND_SERVER_US,
				     .asked_us = h->now_us + HAND_WALL_US,
				     .token = 99 });
		CU_ASSERT_EQUAL(hand_ignored(h), i + 1);
	}
	CU_ASSERT_EQUAL(memcmp(&before, &h->core.flows[0], sizeof(before)), 0);
	CU_ASSERT_EQUAL(h->core.targets[0].token, HAND_TOKEN);
	CU_ASSERT(server_time(&h->core, h->now_us) <
		  h->now_us + HAND_SERVER_US + SECOND);
	CU_ASSERT_EQUAL(committed(h), 1);
	hand_close(h);
}

static void what_a_former_owner_only_held_goes_again(void)
{
	struct hand *h = hand_under_way(1, 1, 10);

	say_floor(h, 0, 10, RECEIVED);
	hand_run(h);
	CU_ASSERT_EQUAL(h->n_sent, 0);
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .incarnation = 2,
			     .meaning = COMMITTED });
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 6);
	CU_ASSERT_EQUAL(h->sent[0].sequence, 5);
	CU_ASSERT_EQUAL(h->sent[0].attempt, 1);
	hand_close(h);
}

static void what_the_new_owner_holds_does_not(void)
{
	struct hand *h = hand_under_way(1, 1, 10);

	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .incarnation = 2,
			     .parked = 1 << 1 | 1 << 2,
			     .meaning = RECEIVED });
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 4); /* 5, 8, 9, 10 */
	CU_ASSERT_EQUAL(h->sent[0].sequence, 5);
	CU_ASSERT_EQUAL(h->sent[1].sequence, 8);
	hand_close(h);
}

/* ---- floors that go back ---- */

static void a_floor_that_goes_back_is_an_ack_that_was_overtaken(void)
{
	struct hand *h = hand_under_way(1, 1, 10);

	say_committed(h, 0, 8);
	say_committed(h, 0, 5);
	CU_ASSERT_EQUAL(hand_ignored(h), 1);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_LOST), 0);
	CU_ASSERT_EQUAL(h->core.flows[0].floor, 8);
	hand_close(h);
}

static void under_a_higher_incarnation_it_is_a_loss(void)
{
	struct hand *h = hand_begun(1, 1);
	const struct headrace_outcome *o;

	for (unsigned int i = 1; i <= 5; i++)
		core_take(&h->core, hand_batch(h, 0, i));
	hand_run(h);
	say_committed(h, 0, 5);
	hand_forget(h);
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 2,
			     .incarnation = 2,
			     .meaning = COMMITTED });
	CU_ASSERT_EQUAL_FATAL(hand_told(h, HEADRACE_LOST), 1);
	o = &h->outcomes[h->n_outcomes - 1];
	CU_ASSERT_EQUAL(o->state, HEADRACE_LOST);
	CU_ASSERT_EQUAL(o->first, 3);
	CU_ASSERT_EQUAL(o->last, 5);
	CU_ASSERT_EQUAL(o->n_events, 3 + 4 + 5);
	CU_ASSERT_EQUAL(h->core.counts[LOST_EVENTS], 12);
	CU_ASSERT_EQUAL(h->core.counts[LOST_DATAGRAMS], 3);

	/* Nobody has them any more: the owner is not to wait for them. */
	hand_run(h);
	CU_ASSERT_EQUAL_FATAL(hand_count(h, KIND_SKIP, 0), 1);
	CU_ASSERT_EQUAL(hand_last(h, KIND_SKIP, 0)->sequence, 5);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);

	/* Told once; and what the new owner says again is no second loss. */
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 2,
			     .incarnation = 2,
			     .meaning = COMMITTED });
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_LOST), 1);
	hand_close(h);
}

/* ---- ACKs that overtake each other ---- */

static void credit_and_parked_are_the_newest_acks(void)
{
	struct hand *h = hand_under_way(1, 1, 10);
	const uint64_t newer_us = h->now_us + HAND_SERVER_US;
	struct flow *f = &h->core.flows[0];

	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .meaning = COMMITTED,
			     .credit = 50,
			     .parked = 6,
			     .sent_us = newer_us });
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .meaning = COMMITTED,
			     .credit_is_0 = true,
			     .sent_us = newer_us - 10 });
	CU_ASSERT_EQUAL(f->limit, 54);
	CU_ASSERT_EQUAL(f->parked, 6);
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .meaning = COMMITTED,
			     .credit = 7,
			     .sent_us = newer_us + 10 });
	CU_ASSERT_EQUAL(f->limit, 11);
	CU_ASSERT_EQUAL(f->parked, 0);
	CU_ASSERT_EQUAL(hand_ignored(h), 0);
	hand_close(h);
}

/* Two owners' clocks may be a second apart. */
static void a_new_owners_first_ack_is_the_newest(void)
{
	struct hand *h = hand_under_way(1, 1, 10);

	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .meaning = COMMITTED,
			     .sent_us = h->now_us + HAND_SERVER_US + SECOND });
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 4,
			     .meaning = COMMITTED,
			     .incarnation = 2,
			     .credit = 3 });
	CU_ASSERT_EQUAL(h->core.flows[0].limit, 7);
	hand_close(h);
}

/* ---- clock ---- */

static uint64_t clock_of(const struct hand *h)
{
	return server_time(&h->core, h->now_us) - h->now_us;
}

static void probe_answer(struct hand *h, uint64_t ago_us, uint64_t server_us)
{
	say(h, (struct say){ .kind = KIND_PROBE_ANSWER,
			     .floor = 1,
			     .meaning = COMMITTED,
			     .target = h->core.flows[0].target,
			     .server_us = server_us,
			     .asked_us = h->now_us - ago_us + HAND_WALL_US,
			     .token = HAND_TOKEN });
}

static void challenge_sets_the_clock_by_half_the_round_trip(void)
{
	struct hand *h = hand_open(1, 1);

	hand_run(h);
	CU_ASSERT_FALSE(h->core.has_clock);
	say_challenge(h, 30000);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US);
	hand_close(h);
}

static void the_tighter_answer_keeps_the_clock(void)
{
	struct hand *h = hand_under_way(1, 1, 3); /* CHALLENGE: 1 ms there and back */

	probe_answer(h, 40000, h->now_us + HAND_SERVER_US + 5000);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US);
	probe_answer(h, 200, h->now_us - 100 + HAND_SERVER_US + 300);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US + 300);
	hand_close(h);
}

static void what_is_known_of_the_clock_loosens(void)
{
	struct hand *h = hand_under_way(1, 1, 3);

	h->now_us += 100 * SECOND; /* 10 ms at 100 ppm */
	probe_answer(h, 40000, h->now_us - 20000 + HAND_SERVER_US + 5000);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US);
	probe_answer(h, 18000, h->now_us - 9000 + HAND_SERVER_US + 5000);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US + 5000);
	hand_close(h);
}

static void an_ack_tells_no_time(void)
{
	struct hand *h = hand_under_way(1, 1, 3);

	h->now_us += 1000 * SECOND;
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 2,
			     .meaning = COMMITTED,
			     .sent_us = h->now_us + 2 * HAND_SERVER_US });
	CU_ASSERT_EQUAL(committed(h), 2);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US);
	hand_close(h);
}

static void an_old_probe_answer_is_ignored(void)
{
	struct hand *h = hand_under_way(1, 1, 3);

	h->now_us += 1000 * SECOND;
	probe_answer(h, PROBE_MOST_US * 5 / 4 + 1, h->now_us + 2 * HAND_SERVER_US);
	h->now_us -= 10;
	probe_answer(h, (uint64_t)-5, h->now_us + 2 * HAND_SERVER_US); /* to come */
	CU_ASSERT_EQUAL(hand_ignored(h), 2);
	CU_ASSERT_EQUAL(clock_of(h), HAND_SERVER_US);
	hand_close(h);
}

/* ---- CHALLENGE ---- */

static void at_no_time(uint8_t *p, size_t *n)
{
	(void)n;
	store64(p + HEADRACE_HEADER_BYTES, 0);
}

static void only_the_challenge_that_was_asked_for_counts(void)
{
	struct hand *h = hand_open(1, 1);
	struct say s = { .kind = KIND_CHALLENGE,
			 .max_age_us = HAND_MAX_AGE_US,
			 .token = HAND_TOKEN };

	hand_run(h);
	s.random = h->sent[0].random;
	s.asked_us = h->sent[0].sent_us;
	s.random++; /* another HELLO's */
	say(h, s);
	s.random--;
	s.asked_us--; /* from before it */
	say(h, s);
	s.asked_us += 2; /* to come */
	say(h, s);
	s.asked_us--;
	s.server_us = CLASS_DISK + 1; /* no time */
	say(h, s);
	s.server_us = 0;
	s.spoil = at_no_time;
	say(h, s);
	s.spoil = NULL;
	s.birth = 1;
	say(h, s);
	CU_ASSERT_EQUAL(hand_ignored(h), 6);
	CU_ASSERT_PTR_NULL(h->core.current);
	s.birth = 0;
	say(h, s);
	CU_ASSERT_PTR_NOT_NULL(h->core.current);
	say(h, s); /* once is enough */
	CU_ASSERT_EQUAL(hand_ignored(h), 7);
	CU_ASSERT_EQUAL(h->core.counts[STREAMS], 1);
	hand_close(h);
}

static void a_challenge_with_any_byte_changed_is_ignored(void)
{
	struct hand *h = hand_open(1, 1);

	hand_run(h);
	for (at = 0; at < 80 + 32 + 16; at++)
		say(h, (struct say){ .kind = KIND_CHALLENGE,
				     .random = h->sent[0].random,
				     .asked_us = h->sent[0].sent_us,
				     .max_age_us = HAND_MAX_AGE_US,
				     .token = HAND_TOKEN,
				     .spoil = flip,
				     .is_tagged_before = true });
	CU_ASSERT_EQUAL(hand_ignored(h), at);
	CU_ASSERT_PTR_NULL(h->core.current);
	CU_ASSERT_FALSE(h->core.has_clock);
	hand_close(h);
}

/* ---- tokens ---- */

static void everything_carries_the_token_of_its_address(void)
{
	struct hand *h = hand_under_way(2, 2, 3);

	CU_ASSERT_EQUAL(h->core.targets[0].token, HAND_TOKEN);
	say(h, (struct say){ .kind = KIND_PROBE_ANSWER,
			     .floor = 1,
			     .meaning = COMMITTED,
			     .asked_us = h->now_us + HAND_WALL_US,
			     .token = 77 });
	hand_track(h, 0, 1);
	hand_track(h, 1, 1); /* its address is another, and has none */
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->token, 77);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 1), 0);
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 1)->token, 0);
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 1)->target, 1);
	hand_close(h);
}

static void a_token_is_renewed_at_half_its_life_and_not_used_behind_it(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	h->now_us += 99 * SECOND;
	hand_track(h, 0, 1);
	hand_run(h);
	say_committed(h, 0, 2);
	CU_ASSERT_EQUAL(h->due_us > h->now_us + 10000, true);
	h->now_us += 10 * SECOND;
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 2);
	h->core.flows[0].timer_us = h->now_us + SECOND;
	hand_pass(h, 260000);
	CU_ASSERT(hand_count(h, KIND_PROBE, 0) >= 1);

	say_committed(h, 0, 3);
	hand_forget(h);
	h->now_us += 201 * SECOND;
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	say(h, (struct say){ .kind = KIND_PROBE_ANSWER,
			     .floor = 3,
			     .meaning = COMMITTED,
			     .asked_us = h->now_us + HAND_WALL_US,
			     .token = 88 });
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 1);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->token, 88);
	hand_close(h);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an answer with any byte changed frees nothing",
		  an_answer_with_any_byte_changed_frees_nothing },
		{ "a question of our own is no answer",
		  a_question_of_our_own_is_no_answer },
		{ "each kind has its length", each_kind_has_its_length },
		{ "its length is what came", its_length_is_what_came },
		{ "an ACK means received or committed",
		  an_ack_means_received_or_committed },
		{ "committed frees up to the floor, and received nothing",
		  committed_frees_up_to_the_floor_and_received_nothing },
		{ "a floor beyond what there is is ignored",
		  a_floor_beyond_what_there_is_is_ignored },
		{ "a flow hears of its own stream only",
		  a_flow_hears_of_its_own_stream_only },
		{ "an answer of a former owner is ignored",
		  an_answer_of_a_former_owner_is_ignored },
		{ "what a former owner only held goes again",
		  what_a_former_owner_only_held_goes_again },
		{ "what the new owner holds does not",
		  what_the_new_owner_holds_does_not },
		{ "a floor that goes back is an ACK that was overtaken",
		  a_floor_that_goes_back_is_an_ack_that_was_overtaken },
		{ "under a higher incarnation it is a loss",
		  under_a_higher_incarnation_it_is_a_loss },
		{ "credit and parked are the newest ACK's",
		  credit_and_parked_are_the_newest_acks },
		{ "a new owner's first ACK is the newest",
		  a_new_owners_first_ack_is_the_newest },
		{ "CHALLENGE sets the clock by half the round trip",
		  challenge_sets_the_clock_by_half_the_round_trip },
		{ "the tighter answer keeps the clock",
		  the_tighter_answer_keeps_the_clock },
		{ "what is known of the clock loosens",
		  what_is_known_of_the_clock_loosens },
		{ "an ACK tells no time", an_ack_tells_no_time },
		{ "an old PROBE_ANSWER is ignored", an_old_probe_answer_is_ignored },
		{ "only the CHALLENGE that was asked for counts",
		  only_the_challenge_that_was_asked_for_counts },
		{ "a CHALLENGE with any byte changed is ignored",
		  a_challenge_with_any_byte_changed_is_ignored },
		{ "everything carries the token of its address",
		  everything_carries_the_token_of_its_address },
		{ "a token is renewed at half its life and not used behind it",
		  a_token_is_renewed_at_half_its_life_and_not_used_behind_it },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk core answers", NULL, NULL, tests);
}
