/* SPDX-License-Identifier: BSD-3-Clause */

/* The streams of the SDK's core: birth, rotation, order across them, their end; other
 * shards than thought; and what an earlier process left. */

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/hand.h"

#define MS 1000u

static struct {
	bool record, sync;
	uint32_t n_recorded, n_synced, n_gone;
	uint64_t done_up_to;
} disk;

static bool disk_record_it(void *arg, struct batch *b)
{
	(void)arg;
	if (!disk.record)
		return false;
	b->record_no = ++disk.n_recorded;
	return true;
}

static bool disk_sync_it(void *arg)
{
	(void)arg;
	disk.n_synced += disk.sync;
	return disk.sync;
}

static void disk_done_with(void *arg, const struct stream *s, uint32_t shard,
			   uint64_t up_to)
{
	(void)arg;
	(void)s;
	(void)shard;
	disk.done_up_to = up_to;
}

static void disk_given_up(void *arg, const struct batch *b)
{
	(void)arg;
	(void)b;
	disk.n_gone++;
}

/* With a disk queue, as far as the core knows of it. */
static struct hand *hand_on_disk(uint32_t n_shards)
{
	struct core_calls calls = hand_calls;

	memset(&disk, 0, sizeof(disk));
	disk.record = disk.sync = true;
	calls.record = disk_record_it;
	calls.sync = disk_sync_it;
	calls.done = disk_done_with;
	calls.gone = disk_given_up;
	return hand_open_as(n_shards, 1, 1, &calls);
}

/* ---- birth ---- */

static void a_stream_is_born_when_the_appliance_says(void)
{
	struct hand *h = hand_begun(1, 1);

	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(h->sent[0].birth, h->challenge_us);
	CU_ASSERT_EQUAL(h->sent[0].birth & CLASS_DISK, 0);
	CU_ASSERT_EQUAL(h->sent[0].random, h->core.current->random);
	CU_ASSERT_EQUAL(h->sent[0].sequence, 1);
	CU_ASSERT_EQUAL(h->sent[0].attempt, 0);
	hand_close(h);
}

static void on_disk_its_class_says_so(void)
{
	struct hand *h = hand_on_disk(1);

	hand_run(h);
	say_challenge(h, 1000);
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->birth,
			h->challenge_us | CLASS_DISK);
	hand_close(h);
}

static void nothing_leaves_before_there_is_a_stream(void)
{
	struct hand *h = hand_open(1, 1);

	hand_track(h, 0, 3);
	hand_pass(h, 10 * SECOND);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_EQUAL(h->sent[0].kind, KIND_HELLO);
	CU_ASSERT_EQUAL(h->sent[0].birth, 0);
	CU_ASSERT_EQUAL(h->sent[0].sequence, 0);
	hand_close(h);
}

static void hello_is_asked_of_every_address_and_ever_slower(void)
{
	struct hand *h = hand_open(1, 3);
	uint32_t n;

	hand_pass(h, 100 * SECOND);
	n = hand_count(h, KIND_HELLO, 0);
	CU_ASSERT_FATAL(n > 10);
	CU_ASSERT(n < 60);
	CU_ASSERT_EQUAL(h->sent[0].target, 0);
	CU_ASSERT_EQUAL(h->sent[1].target, 0);
	CU_ASSERT_EQUAL(h->sent[2].target, 1);
	CU_ASSERT_EQUAL(h->sent[3].target, 2);
	CU_ASSERT_EQUAL(h->sent[4].target, 0);
	for (uint32_t i = 1; i < n; i++) {
		CU_ASSERT_EQUAL(h->sent[i].attempt, i);
		CU_ASSERT_EQUAL(h->sent[i].random, h->sent[0].random);
		CU_ASSERT(h->sent[i].at_us - h->sent[i - 1].at_us >=
			  probe_pause(i - 1) * 3 / 4);
	}
	hand_close(h);
}

static void an_idle_sender_asks_once_and_then_when_it_has_something(void)
{
	struct hand *h = hand_begun(1, 1);

	hand_pass(h, 10 * (uint64_t)HAND_MAX_AGE_US);
	CU_ASSERT_EQUAL(h->n_sent, 0);
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_HELLO, 0), 1);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	hand_close(h);
}

/* ---- another one ---- */

static void a_stream_is_renewed_before_its_age_is_over(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	h->now_us += HAND_MAX_AGE_US * 9 / 10 - SECOND;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_HELLO, 0), 0);
	h->now_us += 2 * SECOND;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_HELLO, 0), 1);
	say_challenge(h, 1000);
	CU_ASSERT_EQUAL(h->core.counts[STREAMS], 2);
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->birth, h->challenge_us);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->sequence, 1);
	hand_close(h);
}

static void behind_its_age_it_takes_nothing_new(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	h->core.targets[0].token_us = h->now_us + HAND_MAX_AGE_US;
	h->now_us += HAND_MAX_AGE_US;
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_PTR_NULL(h->core.current);
	hand_close(h);
}

static void the_lesser_age_counts(void)
{
	struct hand *h = hand_open(1, 1);
	const uint64_t ages[] = { HAND_MAX_AGE_US / 2, 2 * (uint64_t)HAND_MAX_AGE_US };

	hand_run(h);
	for (size_t i = 0; i < HR_COUNT(ages); i++) {
		h->core.hello.is_out = true;
		say(h, (struct say){ .kind = KIND_CHALLENGE,
				     .random = h->core.hello.random,
				     .asked_us = h->now_us + HAND_WALL_US,
				     .max_age_us = ages[i] });
		CU_ASSERT_EQUAL(h->core.max_age_us,
				i == 0 ? HAND_MAX_AGE_US / 2 : HAND_MAX_AGE_US);
	}
	hand_close(h);
}

/* A user's events keep their order across streams. */
static void new_events_wait_until_the_old_stream_has_drained_there(void)
{
	struct hand *h = hand_under_way(2, 1, 3);
	const uint64_t first = h->core.current->birth;

	h->core.hello.is_wanted = true;
	hand_run(h);
	say_challenge(h, 1000);
	hand_forget(h);
	hand_track(h, 0, 2);
	hand_track(h, 1, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 1), 1); /* nothing was open there */
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 1)->birth, h->challenge_us);

	say_floor(h, 0, 3, RECEIVED); /* not yet in the log */
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	say_committed(h, 0, 2);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_EQUAL(h->core.flows[0].stream->birth, first);
	say_committed(h, 0, 3);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 2);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->birth, h->challenge_us);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->sequence, 2);
	hand_close(h);
}

/* What was given up is open until the owner knows that it need not wait. */
static void and_until_its_skip_is_committed(void)
{
	struct hand *h = hand_under_way(1, 1, 3);

	h->now_us += HAND_TTL_US;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 2);
	hand_track(h, 0, 1);
	hand_run(h);
	say_challenge(h, 1000); /* the stream was too old besides */
	hand_forget(h);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_EQUAL(hand_count(h, KIND_SKIP, 0), 1);
	say_floor(h, 0, 3, RECEIVED);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	say_committed(h, 0, 3);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 1);
	hand_close(h);
}

/* Nobody remembers such an old stream: its SKIP need not be said for ever. */
static void a_stream_that_is_long_over_is_left_at_last(void)
{
	struct hand *h = hand_under_way(1, 1, 3);

	h->now_us += HAND_MAX_AGE_US + HAND_TTL_US + MINUTE - SECOND;
	hand_run(h);
	CU_ASSERT_PTR_NOT_NULL(h->core.flows[0].stream);
	h->now_us += 2 * SECOND;
	hand_run(h);
	CU_ASSERT_PTR_NULL(h->core.flows[0].stream);
	hand_close(h);
}

static void drops_are_told_of_the_stream_they_fell_in(void)
{
	struct hand *h = hand_under_way(1, 1, 1);

	h->core.drops += 5; /* the queue was full */
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->drops, 5);
	say_committed(h, 0, 2);
	h->core.hello.is_wanted = true;
	hand_run(h);
	say_challenge(h, 1000);
	h->core.drops += 2;
	hand_track(h, 0, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->drops, 2);
	hand_close(h);
}

/* ---- EXPIRED ---- */

static void expired_makes_what_was_sent_unknown(void)
{
	struct hand *h = hand_under_way(1, 1, 4);

	hand_track(h, 0, 30); /* more than may leave */
	hand_run(h);
	say(h, (struct say){ .kind = KIND_EXPIRED,
			     .oldest_birth = h->core.current->birth });
	CU_ASSERT_EQUAL(hand_ignored(h), 1); /* it is not older than that */
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 0);
	say(h, (struct say){ .kind = KIND_EXPIRED,
			     .oldest_birth = h->core.current->birth + 1 });
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN),
			h->core.flows[0].next_sequence - 2);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_DROPPED), 0);

	/* The rest goes on a stream of its own, never what was sent before. */
	hand_forget(h);
	hand_run(h);
	CU_ASSERT_EQUAL(h->sent[0].kind, KIND_HELLO);
	say_challenge(h, 1000);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->birth, h->challenge_us);
	CU_ASSERT_EQUAL(h->core.counts[COMMITTED_EVENTS] +
				h->core.counts[UNKNOWN_EVENTS] +
				h->core.flows[0].n_batches,
			34);
	hand_close(h);
}

/* As an appliance says it of one that began under another write key. */
static void a_stream_that_is_over_at_any_age_is_left_for_a_new_one(void)
{
	struct hand *h = hand_under_way(1, 1, 4);
	const uint64_t birth = h->core.current->birth;
	uint64_t n_bound;

	hand_track(h, 0, 30); /* more than may leave */
	hand_run(h);
	n_bound = h->core.flows[0].next_sequence - 2;
	CU_ASSERT_TRUE(n_bound > 0 && n_bound < 33);
	say(h, (struct say){ .kind = KIND_EXPIRED, .oldest_birth = UINT64_MAX });
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), n_bound);
	hand_forget(h);
	hand_run(h);
	CU_ASSERT_EQUAL(h->sent[0].kind, KIND_HELLO);
	say_challenge(h, 1000);
	hand_run(h);
	CU_ASSERT_NOT_EQUAL(hand_last(h, KIND_DATA, 0)->birth, birth);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_DROPPED), 0);
	CU_ASSERT_EQUAL(h->core.flows[0].n_batches, 33 - n_bound);
	hand_close(h);
}

static void the_age_of_an_expired_stream_has_no_class_bit(void)
{
	struct hand *h = hand_on_disk(1);

	hand_run(h);
	say_challenge(h, 1000);
	hand_track(h, 0, 2);
	hand_run(h);
	say(h,
	    (struct say){ .kind = KIND_EXPIRED, .oldest_birth = h->challenge_us + 1 });
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 2);
	CU_ASSERT_EQUAL(disk.n_gone, 2);
	hand_close(h);
}

/* ---- other shards than thought ---- */

static void say_wrong_shard(struct hand *h, const struct stream *s, uint32_t n_shards,
			    uint32_t generation)
{
	say(h, (struct say){ .kind = KIND_WRONG_SHARD,
			     .birth = s->birth,
			     .random = s->random,
			     .n_shards = n_shards,
			     .generation = generation });
}

static void what_everybody_refused_is_spread_anew(void)
{
	struct hand *h = hand_begun(2, 1);
	struct stream old = *h->core.current;
	uint32_t n = 0;

	hand_track(h, 0, 5);
	hand_track(h, 1, 5);
	hand_run(h);
	say_wrong_shard(h, &old, 7, 1);
	CU_ASSERT_EQUAL(h->core.n_shards, 7);
	CU_ASSERT_EQUAL(h->n_reshaped, 1);
	CU_ASSERT_EQUAL(h->n_outcomes, 0);
	h->n_shards = 7; /* as the appliance goes on to say */
	hand_run(h);
	say_challenge(h, 1000);
	hand_forget(h);
	hand_run(h);
	hand_pass(h, SECOND);
	for (uint32_t i = 0; i < h->n_sent; i++) {
		CU_ASSERT_NOT_EQUAL(h->sent[i].birth, old.birth);
		CU_ASSERT_EQUAL(h->sent[i].n_shards, 7);
	}
	for (uint32_t s = 0; s < 7; s++)
		for (const struct batch *b = h->core.flows[s].first; b != NULL;
		     b = b->next)
			n += b->encoder.n_events;
	CU_ASSERT_EQUAL(n, 10);
	CU_ASSERT_EQUAL(h->core.n_shards, 7);
	hand_close(h);
}

/* An owner has answered for the shards as they were: what was sent may be in its log. */
static void what_an_owner_may_have_is_not_sent_under_another_name(void)
{
	struct hand *h = hand_begun(1, 1);
	const struct stream old = *h->core.current;

	hand_track(h, 0, 20);
	hand_run(h); /* 16 leave */
	say_floor(h, 0, 0, RECEIVED);
	say_wrong_shard(h, &old, 3, 1);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 16);
	CU_ASSERT_EQUAL(h->core.counts[UNKNOWN_EVENTS], 16);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_DROPPED), 0);
	hand_close(h);
}

static void another_generation_is_another_shape(void)
{
	struct hand *h = hand_begun(1, 1);
	const struct stream old = *h->core.current;

	hand_track(h, 0, 1);
	hand_run(h);
	say_wrong_shard(h, &old, 1, 2);
	CU_ASSERT_EQUAL(h->core.generation, 2);
	hand_run(h);
	say(h, (struct say){ .kind = KIND_CHALLENGE,
			     .random = h->core.hello.random,
			     .asked_us = h->core.hello.first_us + HAND_WALL_US,
			     .generation = 2,
			     .max_age_us = HAND_MAX_AGE_US,
			     .token = HAND_TOKEN });
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->generation, 2);
	hand_close(h);
}

/* To a question that was asked for the shards of before. */
static void a_late_wrong_shard_changes_nothing(void)
{
	struct hand *h = hand_begun(1, 1);
	const struct stream *old = h->core.current;
	struct stream was = *old;

	hand_track(h, 0, 1);
	hand_run(h);
	old = h->core.flows[0].stream;
	h->core.flows[0].stream->n_users++; /* somebody else speaks on it still */
	say_wrong_shard(h, &was, 3, 1);
	CU_ASSERT_EQUAL(h->core.n_shards, 3);
	say_wrong_shard(h, &was, 5, 1);
	CU_ASSERT_EQUAL(h->core.n_shards, 3);
	CU_ASSERT_EQUAL(hand_ignored(h), 1);
	(void)old;
	hand_close(h);
}

static void wrong_shard_without_another_shape_says_nothing(void)
{
	struct hand *h = hand_begun(1, 1);
	const struct stream old = *h->core.current;

	hand_track(h, 0, 1);
	hand_run(h);
	say_wrong_shard(h, &old, 1, 1);
	CU_ASSERT_EQUAL(hand_ignored(h), 1);
	CU_ASSERT_EQUAL(h->n_reshaped, 0);
	hand_close(h);
}

static void a_challenge_tells_shards_and_size(void)
{
	struct hand *h = hand_open(1, 1);
	struct batch *b;
	uint32_t n = 0;

	b = hand_batch(h, 0, 5);
	core_take(&h->core, b);
	hand_run(h);
	say(h, (struct say){ .kind = KIND_CHALLENGE,
			     .random = h->sent[0].random,
			     .asked_us = h->sent[0].sent_us,
			     .n_shards = 4,
			     .max_age_us = HAND_MAX_AGE_US,
			     .token = HAND_TOKEN });
	CU_ASSERT_EQUAL(h->core.n_shards, 4);
	CU_ASSERT_EQUAL(h->core.current->n_shards, 4);
	for (uint32_t s = 0; s < 4; s++)
		for (const struct batch *i = h->core.flows[s].first; i != NULL;
		     i = i->next)
			n += i->encoder.n_events;
	CU_ASSERT_EQUAL(n, 5);
	hand_close(h);
}

static void smaller_datagrams_are_packed_anew(void)
{
	struct hand *h = hand_open(1, 1);

	h->core.datagram_bytes = 600;
	for (unsigned int i = 0; i < 3; i++)
		core_take(&h->core, hand_batch(h, 0, 18));
	CU_ASSERT(h->core.flows[0].first->encoder.end > HEADRACE_DATAGRAM_MIN);
	hand_run(h);
	say(h, (struct say){ .kind = KIND_CHALLENGE,
			     .random = h->sent[0].random,
			     .asked_us = h->sent[0].sent_us,
			     .largest = HEADRACE_DATAGRAM_MIN,
			     .max_age_us = HAND_MAX_AGE_US,
			     .token = HAND_TOKEN });
	hand_run(h);
	CU_ASSERT(hand_count(h, KIND_DATA, 0) > 3);
	for (uint32_t i = 0; i < h->n_sent; i++)
		CU_ASSERT(h->sent[i].n <= HEADRACE_DATAGRAM_MIN);
	CU_ASSERT_EQUAL(h->core.counts[SENT_EVENTS], 3 * 18);
	hand_close(h);
}

/* ---- what an earlier process left ---- */

static struct batch *left(struct hand *h, struct stream *s, uint64_t sequence)
{
	struct batch *b = hand_batch(h, 0, 1);

	b->stream = s;
	b->sequence = sequence;
	b->record_no = sequence;
	s->n_users++;
	core_restore(&h->core, b);
	return b;
}

static void what_was_left_goes_first_as_it_was(void)
{
	struct hand *h = hand_on_disk(1);
	struct stream *s = stream_new(&h->core, 4711 | CLASS_DISK, 42);
	const struct sent *d;

	s->is_restored = true;
	s->begun_us = h->now_us;
	left(h, s, 7);
	left(h, s, 8);
	hand_track(h, 0, 1);
	hand_run(h);
	say_challenge(h, 1000);
	hand_forget(h);
	hand_run(h);
	CU_ASSERT_EQUAL_FATAL(hand_count(h, KIND_DATA, 0), 2);
	CU_ASSERT_EQUAL(hand_last(h, KIND_SKIP, 0)->sequence, 6); /* nobody has them */
	d = hand_last(h, KIND_DATA, 0);
	CU_ASSERT_EQUAL(d->birth, 4711 | CLASS_DISK);
	CU_ASSERT_EQUAL(d->random, 42);
	CU_ASSERT_EQUAL(d->sequence, 8);
	CU_ASSERT_EQUAL(d[-1].sequence, 7);
	/* Its first process may have used the low ones. */
	CU_ASSERT(d->attempt >= 1u << 31);

	/* The end of the file was torn: the owner has more of it. */
	say(h, (struct say){ .kind = KIND_ACK, .floor = 9, .meaning = COMMITTED });
	CU_ASSERT_EQUAL(h->core.counts[COMMITTED_EVENTS], 2);
	CU_ASSERT_EQUAL(disk.done_up_to, 8);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->birth,
			h->challenge_us | CLASS_DISK);
	CU_ASSERT_EQUAL(hand_last(h, KIND_DATA, 0)->sequence, 1);
	hand_close(h);
}

/* Of a process that had another write key: bound is bound. */
static void what_another_key_bound_goes_out_under_it(void)
{
	static const uint8_t other_key[16] = { 9, 9, 9 };
	struct hand *h = hand_on_disk(1);
	struct stream *s = stream_new(&h->core, 4711 | CLASS_DISK, 42);
	const struct sent *d;

	s->is_restored = true;
	s->begun_us = h->now_us;
	s->key_id = HAND_KEY_ID + 1;
	headrace_stream_key(other_key, s->birth, s->random, s->key);
	left(h, s, 1);
	left(h, s, 2);
	hand_track(h, 0, 1);
	hand_run(h);
	say_challenge(h, 1000); /* its token is for our own key */
	hand_forget(h);
	hand_pass(h, SECOND);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(hand_last(h, KIND_PROBE, 0));
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 0)->key_id, HAND_KEY_ID + 1);
	CU_ASSERT_EQUAL(hand_last(h, KIND_PROBE, 0)->token, 0);
	say(h, (struct say){ .kind = KIND_ACK,
			     .key_id = HAND_KEY_ID, /* not whose it is */
			     .floor = 2,
			     .meaning = COMMITTED });
	CU_ASSERT_EQUAL(h->core.counts[COMMITTED_EVENTS], 0);
	say(h, (struct say){ .kind = KIND_PROBE_ANSWER,
			     .meaning = COMMITTED,
			     .asked_us = h->now_us + HAND_WALL_US,
			     .token = 99 });
	hand_run(h);
	CU_ASSERT_EQUAL_FATAL(hand_count(h, KIND_DATA, 0), 2);
	d = hand_last(h, KIND_DATA, 0);
	CU_ASSERT_EQUAL(d->sequence, 2);
	CU_ASSERT_EQUAL(d->key_id, HAND_KEY_ID + 1);
	CU_ASSERT_EQUAL(d->token, 99);
	CU_ASSERT_EQUAL(h->core.targets[0].token, HAND_TOKEN);
	say(h, (struct say){ .kind = KIND_ACK, .floor = 2, .meaning = COMMITTED });
	CU_ASSERT_EQUAL(h->core.counts[COMMITTED_EVENTS], 2);
	hand_run(h);
	d = hand_last(h, KIND_DATA, 0);
	CU_ASSERT_EQUAL(d->birth, h->challenge_us | CLASS_DISK);
	CU_ASSERT_EQUAL(d->key_id, HAND_KEY_ID);
	CU_ASSERT_EQUAL(d->token, HAND_TOKEN);
	hand_close(h);
}

/* An appliance that has forgotten the other key is silent to that one alone. */
static void silence_to_another_key_holds_up_nobody_else(void)
{
	struct hand *h = hand_on_disk(2);
	struct stream *s = stream_new(&h->core, 4711 | CLASS_DISK, 42);

	s->is_restored = true;
	s->begun_us = h->now_us;
	s->key_id = HAND_KEY_ID + 1;
	left(h, s, 1);
	hand_run(h);
	say_challenge(h, 1000);
	hand_track(h, 1, 1);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 1), 1);
	hand_pass(h, 60 * SECOND); /* nobody says anything */
	hand_forget(h);
	hand_pass(h, 200 * SECOND);
	CU_ASSERT(hand_count(h, KIND_PROBE, 0) >= 16);
	CU_ASSERT(hand_count(h, KIND_PROBE, 1) >= 16);
	hand_close(h);
}

static void what_was_left_for_other_shards_is_unknown(void)
{
	struct hand *h = hand_on_disk(1);
	struct stream *s = stream_new(&h->core, 4711 | CLASS_DISK, 42);
	struct batch *b = hand_batch(h, 0, 1);

	s->is_restored = true;
	b->stream = s;
	b->sequence = 7;
	b->n_shards = 3;
	s->n_users = 2;
	core_restore(&h->core, b);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 1);
	left(h, s, 8);
	say_wrong_shard(h, s, 5, 1); /* an earlier process sent it: nobody knows */
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 2);
	hand_close(h);
}

/* The disk has it as it was. */
static void nothing_moves_into_what_is_recorded(void)
{
	struct hand *h = hand_on_disk(1);
	struct batch *b;

	hand_track(h, 0, 2);
	hand_run(h);
	CU_ASSERT_EQUAL(disk.n_recorded, 2);
	b = hand_batch(h, 0, 1);
	b->n_shards = 3;
	core_take(&h->core, b);
	CU_ASSERT_EQUAL(h->core.flows[0].n_batches, 3);
	CU_ASSERT_EQUAL(h->core.flows[0].last->record_no, 0);
	b = hand_batch(h, 0, 1);
	b->n_shards = 3;
	core_take(&h->core, b); /* and together where they may */
	CU_ASSERT_EQUAL(h->core.flows[0].n_batches, 3);
	hand_run(h);
	CU_ASSERT_EQUAL(disk.n_recorded, 3);
	hand_close(h);
}

/* ---- the disk comes first ---- */

static void nothing_leaves_that_is_not_on_the_disk(void)
{
	struct hand *h = hand_on_disk(1);

	hand_run(h);
	say_challenge(h, 1000);
	hand_forget(h);
	disk.record = false;
	hand_track(h, 0, 2);
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT_EQUAL(h->core.flows[0].first->sequence, 0);
	disk.record = true;
	disk.sync = false;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 0);
	CU_ASSERT(h->due_us <= h->now_us + SECOND);
	disk.sync = true;
	hand_run(h);
	CU_ASSERT_EQUAL(hand_count(h, KIND_DATA, 0), 2);
	CU_ASSERT_EQUAL(disk.n_recorded, 2);
	disk.sync = false; /* what was on it before may go again */
	hand_pass(h, 400 * MS);
	CU_ASSERT(hand_count(h, KIND_DATA, 0) >= 4);
	hand_close(h);
}

static void at_the_end_memory_is_given_up_and_the_disk_is_not(void)
{
	struct hand *h = hand_under_way(1, 1, 3);

	say(h,
	    (struct say){
		    .kind = KIND_ACK, .floor = 1, .meaning = COMMITTED, .credit = 2 });
	hand_track(h, 0, 4);
	hand_run(h);
	core_give_up(&h->core);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_UNKNOWN), 2);
	CU_ASSERT_EQUAL(hand_told(h, HEADRACE_DROPPED), 4);
	hand_close(h);
	h = hand_on_disk(1);
	hand_track(h, 0, 4);
	core_give_up(&h->core);
	CU_ASSERT_EQUAL(h->n_outcomes, 0);
	CU_ASSERT_EQUAL(core_oldest(&h->core), 1);
	hand_close(h);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a stream is born when the appliance says",
		  a_stream_is_born_when_the_appliance_says },
		{ "on disk its class says so", on_disk_its_class_says_so },
		{ "nothing leaves before there is a stream",
		  nothing_leaves_before_there_is_a_stream },
		{ "HELLO is asked of every address, and ever slower",
		  hello_is_asked_of_every_address_and_ever_slower },
		{ "an idle sender asks once, and then when it has something",
		  an_idle_sender_asks_once_and_then_when_it_has_something },
		{ "a stream is renewed before its age is over",
		  a_stream_is_renewed_before_its_age_is_over },
		{ "behind its age it takes nothing new",
		  behind_its_age_it_takes_nothing_new },
		{ "the lesser age counts", the_lesser_age_counts },
		{ "new events wait until the old stream has drained there",
		  new_events_wait_until_the_old_stream_has_drained_there },
		{ "and until its SKIP is committed", and_until_its_skip_is_committed },
		{ "a stream that is long over is left at last",
		  a_stream_that_is_long_over_is_left_at_last },
		{ "drops are told of the stream they fell in",
		  drops_are_told_of_the_stream_they_fell_in },
		{ "EXPIRED makes what was sent unknown",
		  expired_makes_what_was_sent_unknown },
		{ "a stream that is over at any age is left for a new one",
		  a_stream_that_is_over_at_any_age_is_left_for_a_new_one },
		{ "the age of an expired stream has no class bit",
		  the_age_of_an_expired_stream_has_no_class_bit },
		{ "what everybody refused is spread anew",
		  what_everybody_refused_is_spread_anew },
		{ "what an owner may have is not sent under another name",
		  what_an_owner_may_have_is_not_sent_under_another_name },
		{ "another generation is another shape",
		  another_generation_is_another_shape },
		{ "a late WRONG_SHARD changes nothing",
		  a_late_wrong_shard_changes_nothing },
		{ "WRONG_SHARD without another shape says nothing",
		  wrong_shard_without_another_shape_says_nothing },
		{ "a CHALLENGE tells shards and size",
		  a_challenge_tells_shards_and_size },
		{ "smaller datagrams are packed anew",
		  smaller_datagrams_are_packed_anew },
		{ "what was left goes first, as it was",
		  what_was_left_goes_first_as_it_was },
		{ "nothing moves into what is recorded",
		  nothing_moves_into_what_is_recorded },
		{ "what another key bound goes out under it",
		  what_another_key_bound_goes_out_under_it },
		{ "silence to another key holds up nobody else",
		  silence_to_another_key_holds_up_nobody_else },
		{ "what was left for other shards is unknown",
		  what_was_left_for_other_shards_is_unknown },
		{ "nothing leaves that is not on the disk",
		  nothing_leaves_that_is_not_on_the_disk },
		{ "at the end memory is given up and the disk is not",
		  at_the_end_memory_is_given_up_and_the_disk_is_not },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk core streams", NULL, NULL, tests);
}
