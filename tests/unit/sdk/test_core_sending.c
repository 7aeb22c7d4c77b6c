/* SPDX-License-Identifier: BSD-3-Clause */

/* When the core of the SDK sends what: credit, window, what is lost, silence, and whom it
 * asks then. */

#include <stdlib.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/hand.h"

#define MS 1000u

static void say_credit(struct hand *h, uint64_t floor, uint32_t credit)
{
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = floor,
			     .meaning = COMMITTED,
			     .target = h->core.flows[0].target,
			     .credit = credit,
			     .credit_is_0 = credit == 0 });
}

static uint64_t highest(const struct hand *h, uint32_t shard)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < h->n_sent; i++)
		if (h->sent[i].kind == KIND_DATA && h->sent[i].shard == shard)
			most = max_of(most, h->sent[i].sequence);
	return most;
}

/* ---- credit and window ---- */

static void credit_bounds_what_leaves(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	hand_track(h, 0, 100);
	say_credit(h, 1, 7);
	hand_run(h);
	CU_ASSERT_EQUAL(highest(h, 0), 8);
	say_credit(h, 3, 10);
	hand_run(h);
	CU_ASSERT_EQUAL(highest(h, 0), 13);
	hand_close(h);
}

static void at_credit_0_the_next_leaves_and_no_other(void)
{
	struct hand *h = hand_under_way(1, 1, 1);
	uint64_t first_us;

	say_credit(h, 1, 0);
	hand_track(h, 0, 5);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 1);
	CU_ASSERT_EQUAL(highest(h, 0), 2);
	first_us = h->now_us;
	hand_pass(h, 149 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_PROBE, 0), 0);
	hand_pass(h, 105 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_PROBE, 0), 1);
	CU_ASSERT(hand_last(h, KIND_PROBE, 0)->at_us >= first_us + 150 * MS);
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 0)->sequence, 2);
	CU_ASSERT_EQUAL(highest(h, 0), 2);
	hand_close(h);
}

static void the_window_begins_with_16_and_grows_with_each_commit(void)
{
	struct hand *h = hand_begun(1, 1);

	hand_track(h, 0, 300);
	hand_run(h);
	CU_ASSERT_EQUAL(highest(h, 0), 16);
	say_credit(h, 16, 1000);
	hand_run(h);
	CU_ASSERT_EQUAL(highest(h, 0), 16 + 32);
	say_credit(h, 48, 1000);
	hand_run(h);
	CU_ASSERT_EQUAL(highest(h, 0), 48 + 64);
	hand_close(h);
}

/* ---- what is lost ---- */

static void a_late_datagram_goes_again_as_it_was(void)
{
	struct hand *h = hand_under_way(1, 1, 1);
	struct sent first;

	hand_track(h, 0, 1);
	hand_run(h);
	first = h->sent[0];
	hand_pass(h, 74 * MS); /* never before a tenth of a second, less jitter */
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 1);
	hand_pass(h, 52 * MS);
	CU_ASSERT_EQUAL_FATAL(hand_count(h, KIND_DATA, 0), 2);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->sequence, first.sequence);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->birth, first.birth);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->attempt, 1);
	CU_ASSERT_NOT_EQUAL(hand_last(h, KIND_DATA, 0)->sent_us, first.sent_us);
	hand_pass(h, 300 * MS);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->attempt, 2);
	hand_close(h);
}

static void a_first_timer_waits_for_three_tenths(void)
{
	struct hand *h = hand_begun(1, 1);

	hand_track(h, 0, 1);
	hand_run(h);
	hand_pass(h, 224 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 1);
	hand_pass(h, 152 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 2);
	hand_close(h);
}

static void time_outs_send_16_then_8_and_narrow_the_window(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	say_credit(h, 1, 1000);
	h->core.flows[0].window = 60;
	hand_track(h, 0, 60);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 60);
	hand_forget(h);
	hand_pass(h, 126 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 16);
	CU_ASSERT_EQUAL(h->core.flows[0].window, 16);
	hand_forget(h);
	while (hand_count(h, KIND_DATA, 0) == 0)
		hand_pass(h, 10 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 8);
	CU_ASSERT_EQUAL(h->core.flows[0].window, 8);
	hand_close(h);
}

static void the_others_follow_an_acknowledgement(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	h->core.flows[0].window = 60;
	say_credit(h, 1, 1000);
	h->core.flows[0].window = 60;
	hand_track(h, 0, 60);
	hand_run(h);
	hand_pass(h, 126 * MS); /* 2 to 17 again */
	hand_forget(h);
	say_credit(h, 17, 1000);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 32);
	CU_ASSERT_EQUAL(h->sent[0].sequence, 18);
	CU_ASSERT_EQUAL(h->sent[0].attempt, 1);
	say_credit(h, 61, 1000);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 32);
	hand_close(h);
}

static void what_the_owner_holds_does_not_go_again_soon(void)
{
	struct hand *h = hand_under_way(1, 1, 10);

	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 3,
			     .meaning = RECEIVED,
			     .parked = 1 << 1 | 1 << 4 }); /* 5 and 8 */
	hand_pass(h, 126 * MS);
	for (uint32_t i = 0; i < h->n_sent; i++)
		CU_ASSERT(h->sent[i].kind != KIND_DATA ||
			  (h->sent[i].sequence > 3 && h->sent[i].sequence != 5 &&
			   h->sent[i].sequence != 8));
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->sequence, 10);
	hand_close(h);
}

/* It may have restarted, and nobody noticed. */
static void but_does_when_nothing_moves_for_long(void)
{
	struct hand *h = hand_under_way(1, 1, 3);
	uint64_t waits_us = 0;

	say_floor(h, 0, 3, RECEIVED);
	for (unsigned int i = 0; i < 4000 && hand_count(h, KIND_DATA, 0) == 0; i++) {
		hand_pass(h, 10 * MS);
		say_floor(h, 0, 3, RECEIVED);
		waits_us += 10 * MS;
	}
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->sequence, 2);
	CU_ASSERT(waits_us > 100 * 7 * 3 / 4 * MS); /* three time-outs before it */
	hand_close(h);
}

static void a_hole_below_something_parked_is_filled_early(void)
{
	struct hand *h = hand_under_way(1, 1, 6);

	h->now_us += 1 * MS; /* it may be under way still */
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 1,
			     .meaning = COMMITTED,
			     .parked = 1 << 2 });
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 2); /* 2 and 3, 4 is there */
	CU_ASSERT_EQUAL(h->sent[0].sequence, 2);
	CU_ASSERT_EQUAL(h->sent[1].sequence, 3);
	say(h, (struct say){ .kind = KIND_ACK,
			     .floor = 1,
			     .meaning = COMMITTED,
			     .parked = 1 << 2 });
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 2); /* not twice at once */
	hand_close(h);
}

/* Appends take long, and everything is held. */
static void time_outs_come_ever_slower_and_not_all_at_once(void)
{
	uint64_t fourth_us[20], least_us = NEVER, most_us = 0;

	for (uint32_t seed = 0; seed < HR_COUNT(fourth_us); seed++) {
		struct hand *h = hand_open_as(1, 1, seed + 1, &hand_calls);
		uint64_t begun_us, last_us = 0, gap_us = 0;
		uint32_t n = 0;

		hand_run(h);
		say_challenge(h, 1000);
		hand_track(h, 0, 1);
		hand_run(h);
		begun_us = last_us = h->now_us;
		for (unsigned int i = 0; i < 3000; i++) {
			const uint32_t before = hand_count(h, KIND_PROBE, 0);

			hand_pass(h, 1 * MS);
			if (hand_count(h, KIND_PROBE, 0) == before)
				continue;
			say(h, (struct say){ .kind = KIND_PROBE_ANSWER,
					     .floor = 1,
					     .meaning = RECEIVED,
					     .token = HAND_TOKEN,
					     .asked_us = h->now_us + HAND_WALL_US });
			gap_us = h->now_us - last_us;
			last_us = h->now_us;
			if (++n == 4)
				fourth_us[seed] = h->now_us - begun_us;
		}
		CU_ASSERT(n <= 10);
		CU_ASSERT(gap_us >= 290 * MS); /* not above: it answers */
		CU_ASSERT(gap_us <= 510 * MS);
		least_us = fourth_us[seed] < least_us ? fourth_us[seed] : least_us;
		most_us = max_of(most_us, fourth_us[seed]);
		hand_close(h);
	}
	CU_ASSERT(most_us - least_us > least_us / 10);
}

static void a_network_that_takes_nothing_is_tried_again_soon(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	h->is_busy = true;
	hand_track(h, 0, 3);
	hand_run(h);
	CU_ASSERT_EQUAL(h->n_sent, 0);
	CU_ASSERT_EQUAL(h->due_us, h->now_us + 1 * MS);
	h->is_busy = false;
	hand_pass(h, 1 * MS);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 3);
	CU_ASSERT_EQUAL(h->sent[0].attempt, 0);
	hand_close(h);
}

/* ---- silence ---- */

/* The times of all PROBEs of a minute of silence. */
static uint32_t probes_of_a_silence(uint32_t n_shards, uint64_t seed, uint64_t times[],
				    uint32_t max)
{
	struct hand *h = hand_open_as(n_shards, 1, seed, &hand_calls);
	uint32_t n = 0;

	hand_run(h);
	say_challenge(h, 1000);
	for (uint32_t s = 0; s < n_shards; s++)
		hand_track(h, s, 1);
	hand_pass(h, 60 * SECOND);
	for (uint32_t i = 0; i < h->n_sent; i++)
		if (h->sent[i].kind == KIND_PROBE && n < max)
			times[n++] = h->sent[i].at_us;
	hand_close(h);
	return n;
}

static void silence_is_asked_at_once_and_then_ever_slower(void)
{
	uint64_t t[200], pause_us = PROBE_LEAST_US;
	const uint32_t n = probes_of_a_silence(1, 1, t, 200);

	CU_ASSERT_FATAL(n > 20 && n < 60);
	CU_ASSERT(t[0] <= 1001000 + 375 * MS); /* with the first time-out */
	for (uint32_t i = 1; i < n; i++) {
		CU_ASSERT(t[i] - t[i - 1] >= pause_us * 3 / 4);
		CU_ASSERT(t[i] - t[i - 1] <= pause_us * 5 / 4 + 1);
		pause_us += pause_us / 8;
	}
	CU_ASSERT_EQUAL(probe_pause(1000), PROBE_MOST_US);
}

static void senders_that_fall_silent_together_do_not_ask_together(void)
{
	uint64_t least_us = NEVER, most_us = 0, t[200];

	for (uint64_t seed = 1; seed <= 30; seed++) {
		CU_ASSERT_FATAL(probes_of_a_silence(1, seed, t, 200) > 6);
		least_us = t[5] < least_us ? t[5] : least_us;
		most_us = max_of(most_us, t[5]);
	}
	CU_ASSERT(most_us - least_us > 300 * MS);
}

static void one_shard_asks_for_all(void)
{
	uint64_t t[2000];
	const uint32_t alone = probes_of_a_silence(1, 1, t, 2000);
	const uint32_t together = probes_of_a_silence(20, 1, t, 2000);

	CU_ASSERT(together < 2 * alone + 20);
}

/* All of them silent; the last time-out is some while ago. */
static struct hand *silent(uint32_t n_shards, uint64_t for_us)
{
	struct hand *h = hand_begun(n_shards, 1);

	for (uint32_t s = 0; s < n_shards; s++)
		hand_track(h, s, 40);
	hand_run(h);
	hand_pass(h, for_us);
	hand_forget(h);
	return h;
}

static void probe_answered(struct hand *h, uint32_t shard, uint64_t floor,
			   uint64_t incarnation, uint32_t credit)
{
	say(h, (struct say){ .kind = KIND_PROBE_ANSWER,
			     .shard = shard,
			     .floor = floor,
			     .meaning = COMMITTED,
			     .incarnation = incarnation,
			     .credit = credit,
			     .target = h->core.flows[shard].target,
			     .asked_us = h->now_us + HAND_WALL_US,
			     .token = HAND_TOKEN });
}

static void the_first_answer_sends_everything_as_far_as_credit_goes(void)
{
	struct hand *h = silent(1, 5 * SECOND);

	probe_answered(h, 0, 0, 1, 10);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 10);
	CU_ASSERT_EQUAL(highest(h, 0), 10);
	hand_forget(h);
	say_credit(h, 10, 100);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 26); /* 16 and 10 committed */
	hand_close(h);
}

static void and_wakes_the_other_shards(void)
{
	struct hand *h = silent(3, 20 * SECOND);

	probe_answered(h, 1, 0, 1, 10);
	hand_run(h);
	CU_ASSERT(hand_count(h, KIND_PROBE, 0) + hand_count(h, KIND_PROBE, 2) >= 1);
	hand_pass(h, 260 * MS);
	CU_ASSERT(hand_count(h, KIND_PROBE, 0) + hand_count(h, KIND_PROBE, 2) >= 2);
	hand_close(h);
}

static void a_new_stream_is_a_sign_of_life_too(void)
{
	struct hand *h = silent(2, 20 * SECOND);

	h->core.hello.is_wanted = true;
	hand_run(h);
	hand_pass(h, SECOND);
	hand_forget(h);
	while (hand_count(h, KIND_HELLO, 0) == 0)
		hand_pass(h, 100 * MS);
	say_challenge(h, 1000);
	h->n_sent = 0;
	hand_run(h);
	CU_ASSERT(hand_count(h, KIND_PROBE, 0) + hand_count(h, KIND_PROBE, 1) >= 1);
	hand_close(h);
}

/* Others of its address are answered all the time: that is no reason to hurry. */
static void a_shard_that_stays_silent_alone_slows_down(void)
{
	struct hand *h = silent(2, 5 * SECOND);
	uint32_t n;

	probe_answered(h, 0, 0, 1, 100);

	say_committed(h, 0, 16);
	say_committed(h, 0, 40);
	for (uint64_t i = 41; i < 640; i++) {
		hand_track(h, 0, 1);
		hand_pass(h, 100 * MS);
		say_committed(h, 0, i);
		CU_ASSERT_EQUAL(h->core.flows[0].silent, 0);
	}
	n = hand_count(h, KIND_PROBE, 1);
	CU_ASSERT(n >= 5);
	CU_ASSERT(n <= 36);
	CU_ASSERT(h->core.flows[1].probe_us >=
		  hand_last(h, KIND_PROBE, 1)->at_us + 3 * SECOND);
	hand_close(h);
}

/* DATA does not pass where PROBE does: time-outs slow down all the same. */
static void a_way_that_only_probes_pass_is_not_flooded(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	hand_track(h, 0, 20);
	for (unsigned int i = 0; i < 30000; i++) {
		const uint32_t before = hand_count(h, KIND_PROBE, 0);

		hand_pass(h, 1 * MS);
		if (hand_count(h, KIND_PROBE, 0) > before)
			probe_answered(h, 0, 1, 1, 100);
	}
	CU_ASSERT(hand_count(h, KIND_DATA, 0) < 16 + 16 + 8 + 30 * 4 * 4);
	hand_close(h);
}

/* ---- other addresses ---- */

static void after_three_questions_another_address_is_asked(void)
{
	struct hand *h = hand_under_way(1, 2, 1);
	uint32_t n_before = 0, i;

	hand_track(h, 0, 3);
	hand_pass(h, 3 * SECOND);
	for (i = 0; i < h->n_sent && h->sent[i].target == 0; i++)
		n_before += h->sent[i].kind == KIND_PROBE;
	CU_ASSERT_FATAL(i < h->n_sent);
	CU_ASSERT_EQUAL(h->sent[i].kind, KIND_PROBE);
	CU_ASSERT_EQUAL(h->sent[i].target, 1);
	CU_ASSERT(n_before >= 2);
	for (; i < h->n_sent; i++) /* nobody has answered there */
		CU_ASSERT_EQUAL(h->sent[i].kind, KIND_PROBE);
	CU_ASSERT(h->core.counts[FAILOVERS] > 0);
	while (h->core.flows[0].target != 1)
		hand_pass(h, 10 * MS);
	hand_forget(h);
	probe_answered(h, 0, 1, 1, 10);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 3);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->target, 1);
	hand_close(h);
}

static void say_not_owner(struct hand *h, uint32_t target, const char *addresses)
{
	say(h, (struct say){ .kind = KIND_NOT_OWNER,
			     .target = target,
			     .addresses = addresses });
}

static void not_owner_names_whom_to_ask(void)
{
	struct hand *h = hand_under_way(1, 3, 2);

	h->found = 2;
	say_not_owner(h, 1, "b:7400"); /* not where it speaks to */
	CU_ASSERT_EQUAL(hand_ignored(h), 1);
	say_not_owner(h, 0, "b:7400");
	CU_ASSERT_STRING_EQUAL(h->asked, "b:7400");
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_PROBE, 0), 1); /* at once */
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 0)->target, 2);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	probe_answered(h, 0, 1, 1, 10);
	hand_run(h);
	hand_pass(h, 400 * MS);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->target, 2);
	hand_close(h);
}

static void without_a_name_the_next_is_asked(void)
{
	struct hand *h = hand_under_way(1, 3, 2);

	say_not_owner(h, 0, NULL);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 0)->target, 1);
	h->found = 1; /* it names itself */
	h->core.flows[0].target = 1;
	say_not_owner(h, 1, "b:7400");
	CU_ASSERT_EQUAL(h->core.flows[0].target, 2);
	hand_close(h);
}

static void who_is_sent_to_and_fro_slows_down(void)
{
	struct hand *h = hand_under_way(1, 2, 2);
	uint64_t gap_us = 0, last_us = 0;

	for (unsigned int i = 0; i < 12; i++) {
		hand_forget(h);
		say_not_owner(h, h->core.flows[0].target, NULL);
		hand_run(h);
		for (unsigned int k = 0; k < 20000 && h->n_sent == 0; k++)
			hand_pass(h, 1 * MS);
		CU_ASSERT_EQUAL_FATAL(h->n_sent, 1);
		gap_us = h->now_us - last_us;
		last_us = h->now_us;
	}
	CU_ASSERT(gap_us >= 7000 * MS);
	CU_ASSERT(gap_us <= 13000 * MS);
	probe_answered(h, 0, 1, 1, 10); /* found: forgotten */
	hand_forget(h);
	say_not_owner(h, h->core.flows[0].target, NULL);
	hand_run(h);
	CU_ASSERT_EQUAL(h->n_sent, 1);
	hand_close(h);
}

/* ---- BUSY ---- */

static void busy_is_left_alone(uint8_t reason, uint32_t wait_ms, uint64_t expected_us)
{
	struct hand *h = hand_under_way(1, 1, 1);

	hand_track(h, 0, 5);
	hand_run(h);
	hand_forget(h);
	h->now_us += 1 * MS;
	say(h, (struct say){ .kind = KIND_BUSY, .reason = reason, .wait_ms = wait_ms });
	hand_track(h, 0, 5);
	hand_pass(h, expected_us * 3 / 4 - 1);
	CU_ASSERT_EQUAL(h->n_sent, 0);
	hand_pass(h, expected_us / 2 + 2);
	CU_ASSERT(hand_count(h, KIND_DATA, 0) >= 5);
	CU_ASSERT_EQUAL(h->sent[0].sequence, 2);
	hand_close(h);
}

static void busy_is_left_alone_as_long_as_it_says(void)
{
	busy_is_left_alone(1, 500, 501 * MS);
	busy_is_left_alone(2, 20, 21 * MS);
	busy_is_left_alone(2, 3600000, 60 * SECOND);
}

static void not_all_come_back_together(void)
{
	uint64_t least_us = NEVER, most_us = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct hand *h = hand_open_as(1, 1, seed, &hand_calls);

		hand_run(h);
		say_challenge(h, 1000);
		hand_track(h, 0, 1);
		hand_run(h);
		say(h, (struct say){ .kind = KIND_BUSY, .reason = 1, .wait_ms = 1000 });
		least_us = h->core.flows[0].paused_us - h->now_us < least_us
				   ? h->core.flows[0].paused_us - h->now_us
				   : least_us;
		most_us = max_of(most_us, h->core.flows[0].paused_us - h->now_us);
		hand_close(h);
	}
	CU_ASSERT(most_us - least_us > 200 * MS);
}

/* ---- what is too old ---- */

static void what_was_sent_is_unknown_and_skipped_what_was_not_is_dropped(void)
{
	struct hand *h = hand_under_way(1, 1, 4); /* 2, 3, 4 are open */
	const struct sent *skip;

	say_credit(h, 1, 3);
	hand_track(h, 0, 2);
	hand_run(h);
	h->now_us += HAND_TTL_US - 10 * MS - 1;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 0);
	hand_forget(h);
	h->now_us += 11 * MS;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 3);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_DROPPED), 2);
	h->core.targets[0].token_us = h->now_us; /* still somebody's */
	h->core.flows[0].wants_probe = false;
	hand_run(h);
	skip = hand_last(h, KIND_SKIP, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(skip);
	CU_ASSERT_EQUAL(skip->sequence, 4);
	CU_ASSERT_EQUAL(skip->token, HAND_TOKEN); /* without it nobody listens */
	hand_pass(h, SECOND);
	CU_ASSERT(hand_count(h, KIND_SKIP, 0) >= 2);
	CU_ASSERT_NOT_EQUAL(hand_last(h, KIND_SKIP, 0)->attempt, 0);
	say_credit(h, 4, 10);
	hand_forget(h);
	hand_pass(h, 20 * SECOND);
	CU_ASSERT_EQUAL(hand_count(h, KIND_SKIP, 0), 0);
	hand_close(h);
}

/* Sent ones at the head: those behind them need not wait for their turn. */
static void what_is_left_goes_on_behind_the_skipped(void)
{
	struct hand *h = hand_under_way(1, 1, 2);

	h->core.targets[0].token_us = h->now_us + HAND_TTL_US;
	h->now_us += HAND_TTL_US - SECOND;
	hand_track(h, 0, 1);
	hand_run(h);
	h->now_us += SECOND + 1;
	h->core.targets[0].token_us = h->now_us;
	hand_forget(h);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 1);
	h->core.flows[0].wants_probe = false;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_SKIP, 0)->sequence, 2);
	hand_close(h);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "credit bounds what leaves", credit_bounds_what_leaves },
		{ "at credit 0 the next leaves and no other",
		  at_credit_0_the_next_leaves_and_no_other },
		{ "the window begins with 16 and grows with each commit",
		  the_window_begins_with_16_and_grows_with_each_commit },
		{ "a late datagram goes again as it was",
		  a_late_datagram_goes_again_as_it_was },
		{ "a first timer waits for three tenths",
		  a_first_timer_waits_for_three_tenths },
		{ "time-outs send 16, then 8, and narrow the window",
		  time_outs_send_16_then_8_and_narrow_the_window },
		{ "the others follow an acknowledgement",
		  the_others_follow_an_acknowledgement },
		{ "what the owner holds does not go again soon",
		  what_the_owner_holds_does_not_go_again_soon },
		{ "but does when nothing moves for long",
		  but_does_when_nothing_moves_for_long },
		{ "a hole below something parked is filled early",
		  a_hole_below_something_parked_is_filled_early },
		{ "time-outs come ever slower, and not all at once",
		  time_outs_come_ever_slower_and_not_all_at_once },
		{ "a network that takes nothing is tried again soon",
		  a_network_that_takes_nothing_is_tried_again_soon },
		{ "silence is asked at once, and then ever slower",
		  silence_is_asked_at_once_and_then_ever_slower },
		{ "senders that fall silent together do not ask together",
		  senders_that_fall_silent_together_do_not_ask_together },
		{ "one shard asks for all", one_shard_asks_for_all },
		{ "the first answer sends everything, as far as credit goes",
		  the_first_answer_sends_everything_as_far_as_credit_goes },
		{ "and wakes the other shards", and_wakes_the_other_shards },
		{ "a new stream is a sign of life too",
		  a_new_stream_is_a_sign_of_life_too },
		{ "a shard that stays silent alone slows down",
		  a_shard_that_stays_silent_alone_slows_down },
		{ "a way that only PROBEs pass is not flooded",
		  a_way_that_only_probes_pass_is_not_flooded },
		{ "after three questions another address is asked",
		  after_three_questions_another_address_is_asked },
		{ "NOT_OWNER names whom to ask", not_owner_names_whom_to_ask },
		{ "without a name the next is asked",
		  without_a_name_the_next_is_asked },
		{ "who is sent to and fro slows down",
		  who_is_sent_to_and_fro_slows_down },
		{ "BUSY is left alone as long as it says",
		  busy_is_left_alone_as_long_as_it_says },
		{ "not all come back together", not_all_come_back_together },
		{ "what was sent is unknown and skipped, what was not is dropped",
		  what_was_sent_is_unknown_and_skipped_what_was_not_is_dropped },
		{ "what is left goes on behind the skipped",
		  what_is_left_goes_on_behind_the_skipped },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk core sending", NULL, NULL, tests);
}
