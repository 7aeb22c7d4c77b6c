/* SPDX-License-Identifier: BSD-3-Clause */

/* What fold refuses as a whole, and what it makes of bytes that no sound program would
 * have logged. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/murmur2.h"
#include "tests/unit/fold/chain.h"
#include "tests/unit/hr_test.h"

#define CLOCK_US 1700000000000000u

static struct test_chain chain;
static struct hr_fold *fold;

/* A chain of one link, CONFIG, folded. */
static void start(uint64_t max_events, uint64_t max_streams)
{
	const struct hr_chain_config config =
		test_config(max_events, max_streams, 1000000);

	test_chain_init(&chain, 0, 1);
	test_chain_add_config(&chain, CLOCK_US, &config);
	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &chain.set, 0, 16), 0);
	test_fold_run(&chain, fold, 1);
}

static void stop(void)
{
	hr_fold_free(fold);
	test_chain_fini(&chain);
}

static int begin(struct hr_link *link)
{
	free(link->out);
	link->out = test_out_new(link);
	return hr_fold_begin(fold, link);
}

static struct hr_out *run(struct test_link *l, uint32_t step)
{
	CU_ASSERT_EQUAL_FATAL(begin(&l->link), 0);
	while (!hr_fold_step(fold, step))
		;
	return l->link.out;
}

static bool law_holds(const struct hr_link *link)
{
	uint64_t sum = 0, rejected = 0;

	for (int i = 0; i < HR_FOLD_VERDICTS; i++)
		sum += link->out->verdicts[i];
	for (int i = 0; i < HR_REJECT_COUNT; i++)
		rejected += link->out->rejects[i];
	return sum == link->n_events && rejected == link->out->verdicts[HR_REJECTED] &&
	       link->out->n_events <= link->n_events;
}

/* One item with n events of users u0, u1, ... in it. */
static struct test_item *item(uint16_t kind, uint8_t codec, uint64_t sequence,
			      uint16_t n)
{
	struct test_item *it = calloc(1, sizeof(*it));

	it->kind = kind;
	it->codec = codec;
	it->sequence = sequence;
	it->birth = kind == HR_ITEM_DATAGRAM ? 5 : 0;
	it->received_us = CLOCK_US;
	it->claimed = ABSENT;
	it->n_events = n;
	for (uint16_t i = 0; i < n; i++)
		it->events[i] = (struct test_event){ .user = { 'u', (char)('0' + i) },
						     .type = "click",
						     .time_ms = 1000 + i };
	return it;
}

/* ---- links ---- */

static void only_the_next_link_begins(void)
{
	struct test_link *l;
	struct hr_link link;

	start(100, 4);
	l = test_chain_add_epoch(&chain, CLOCK_US + 1,
				 item(HR_ITEM_EVENT, HR_CODEC_JSON, 0, 3), 1);
	link = l->link;
	link.n++;
	CU_ASSERT_EQUAL(begin(&link), -EPROTO);
	link.n = 1;
	CU_ASSERT_EQUAL(begin(&link), -EPROTO);
	link.n = l->link.n;
	link.shard = 1;
	CU_ASSERT_EQUAL(begin(&link), -EPROTO);
	link.shard = 0;
	link.prev_hash.b[3] ^= 1;
	CU_ASSERT_EQUAL(begin(&link), -EPROTO);
	link.prev_hash.b[3] ^= 1;
	CU_ASSERT_EQUAL(begin(&link), 0);
	CU_ASSERT_FALSE(hr_fold_step(fold, 1));
	/* The one behind it, but this one is not done. */
	l->link.n++;
	l->link.prev_hash = link.hash;
	CU_ASSERT_EQUAL(begin(&l->link), -EPROTO);
	CU_ASSERT_EQUAL(hr_fold_n(fold), 1);
	while (!hr_fold_step(fold, 1))
		;
	CU_ASSERT_EQUAL(hr_fold_n(fold), 2);
	CU_ASSERT_EQUAL(link.out->verdicts[HR_COUNTED], 3);
	free(link.out);
	stop();
}

static void a_chain_begins_with_config(void)
{
	struct hr_link *link;

	test_chain_init(&chain, 0, 1);
	link = &test_chain_add_epoch(&chain, CLOCK_US, NULL, 0)->link;
	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &chain.set, 0, 4), 0);
	CU_ASSERT_EQUAL(begin(link), -EPROTO);
	stop();
}

static struct hr_link *add_config(const struct hr_chain_config *config)
{
	return &test_chain_add_config(&chain, CLOCK_US, config)->link;
}

static void a_config_beyond_this_binary_is_refused_and_changes_nothing(void)
{
	struct hr_chain_config config = test_config(100, 17, 1);
	uint8_t body[HR_CHAIN_CONFIG_MAX];
	struct hr_str bytes = { body, 0 };

	start(100, 4);
	CU_ASSERT_EQUAL(begin(add_config(&config)), -E2BIG); /* made for 16 */
	test_chain_drop_last(&chain);

	config = test_config(100, 16, 1);
	memcpy(config.pipeline, "x", config.pipeline_bytes = 1);
	CU_ASSERT_EQUAL(begin(add_config(&config)), -E2BIG);
	test_chain_drop_last(&chain);

	config = test_config(100, 16, 1);
	bytes.n = (uint32_t)hr_chain_config_encode(body, &config);
	hr_store32(body, HR_FOLD_VERSION + 1);
	CU_ASSERT_EQUAL(
		begin(&test_chain_add_body(&chain, HR_BODY_CONFIG, CLOCK_US, bytes)
			       ->link),
		-E2BIG);
	test_chain_drop_last(&chain);

	hr_store32(body, HR_FOLD_VERSION);
	hr_store32(body + 8 + 16 * (HR_CHAIN_SETTINGS - 2), HR_CHAIN_SETTINGS);
	CU_ASSERT_EQUAL(
		begin(&test_chain_add_body(&chain, HR_BODY_CONFIG, CLOCK_US, bytes)
			       ->link),
		-E2BIG);
	CU_ASSERT_EQUAL(hr_fold_config(fold)->setting[HR_CHAIN_MAX_STREAMS], 4);
	CU_ASSERT_EQUAL(hr_fold_n(fold), 1);
	stop();
}

static void config_rules_from_the_next_link_on(void)
{
	struct hr_chain_config config = test_config(2, 16, 1);

	start(100, 4);
	run(test_chain_add_epoch(&chain, CLOCK_US,
				 item(HR_ITEM_EVENT, HR_CODEC_JSON, 0, 5), 1),
	    9);
	CU_ASSERT_EQUAL(chain.links[1].link.out->verdicts[HR_COUNTED], 5);
	run(test_chain_add_config(&chain, CLOCK_US, &config), 9);
	run(test_chain_add_epoch(&chain, CLOCK_US,
				 item(HR_ITEM_EVENT, HR_CODEC_JSON, 0, 5), 1),
	    9);
	CU_ASSERT_EQUAL(chain.links[3].link.out->verdicts[HR_COUNTED], 2);
	CU_ASSERT_EQUAL(chain.links[3].link.out->rejects[HR_REJECT_CAPACITY], 3);
	CU_ASSERT_EQUAL(hr_fold_config(fold)->setting[HR_CHAIN_MAX_EVENTS], 2);
	stop();
}

static void links_without_events_advance_the_digest_too(void)
{
	const uint8_t loss[24] = { 0 };
	struct hr_id128 before;

	start(100, 4);
	before = *hr_fold_digest(fold);
	run(test_chain_add_epoch(&chain, CLOCK_US, NULL, 0), 1);
	CU_ASSERT_FALSE(hr_id128_equals(hr_fold_digest(fold), &before));
	before = *hr_fold_digest(fold);
	run(test_chain_add_body(&chain, HR_BODY_LOSS, CLOCK_US,
				(struct hr_str){ loss, sizeof(loss) }),
	    1);
	CU_ASSERT_FALSE(hr_id128_equals(hr_fold_digest(fold), &before));
	CU_ASSERT(hr_id128_equals(hr_fold_digest(fold),
				  &chain.links[2].link.out->digest));
	CU_ASSERT_TRUE(hr_fold_step(fold, 5)); /* nothing is begun */
	stop();
}

static void a_link_that_lies_about_its_counts_is_refused(void)
{
	struct hr_link *link;

	start(100, 4);
	link = &test_chain_add_epoch(&chain, CLOCK_US,
				     item(HR_ITEM_EVENT, HR_CODEC_JSON, 0, 5), 1)
			->link;
	link->n_events = 4;
	CU_ASSERT_EQUAL(begin(link), -EBADMSG);
	link->n_events = 5;
	CU_ASSERT_EQUAL(begin(link), 0);
	stop();
}

/* ---- events ---- */

static void a_repeated_datagram_repeats_all_of_its_events_even_in_one_link(void)
{
	struct test_item *two = calloc(2, sizeof(*two)), *one;
	const struct hr_out *out;

	start(100, 4);
	one = item(HR_ITEM_DATAGRAM, HR_CODEC_PROTOBUF, 9, 4);
	two[0] = two[1] = *one;
	free(one);
	out = run(test_chain_add_epoch(&chain, CLOCK_US, two, 2), 3);
	CU_ASSERT_EQUAL(out->verdicts[HR_COUNTED], 4);
	CU_ASSERT_EQUAL(out->verdicts[HR_REPEATED], 4);
	CU_ASSERT_EQUAL(out->n_events, 8);
	CU_ASSERT_EQUAL(out->n_users, 4);
	CU_ASSERT_EQUAL(out->events[4].verdict, HR_REPEATED);
	CU_ASSERT(hr_str_equals(out->events[4].raw, out->events[0].raw));
	out = run(test_chain_add_epoch(&chain, CLOCK_US + 5,
				       item(HR_ITEM_DATAGRAM, HR_CODEC_JSON, 9, 2), 1),
		  3);
	CU_ASSERT_EQUAL(out->verdicts[HR_REPEATED], 2);
	stop();
}

static void a_stream_without_room_is_rejected_and_never_counted_twice(void)
{
	struct test_item *three = calloc(3, sizeof(*three)), *one;
	const struct hr_out *out;

	start(100, 1);
	one = item(HR_ITEM_DATAGRAM, HR_CODEC_JSON, 1, 2);
	three[0] = three[1] = three[2] = *one;
	free(one);
	three[1].birth = three[2].birth = 6;
	out = run(test_chain_add_epoch(&chain, CLOCK_US, three, 3), 3);
	CU_ASSERT_EQUAL(out->verdicts[HR_COUNTED], 2);
	CU_ASSERT_EQUAL(out->rejects[HR_REJECT_CAPACITY], 4);
	CU_ASSERT_EQUAL(out->events[2].event.user.n, 0);
	stop();
}

static void a_stream_under_another_key_is_rejected_and_stays_as_it_was(void)
{
	struct test_item *four = calloc(4, sizeof(*four)), *one;
	const struct hr_out *out;
	uint64_t floor;

	start(100, 4);
	one = item(HR_ITEM_DATAGRAM, HR_CODEC_JSON, 1, 2);
	one->flags = HR_ITEM_ORDERED;
	one->key_id = 7;
	four[0] = four[1] = four[2] = four[3] = *one;
	four[1].key_id = 8; /* replayed: not even a repeat */
	four[2].key_id = 8;
	four[2].sequence = 2;
	four[3].sequence = 2;
	out = run(test_chain_add_epoch(&chain, CLOCK_US, four, 4), 3);
	CU_ASSERT_EQUAL(out->verdicts[HR_COUNTED], 4);
	CU_ASSERT_EQUAL(out->rejects[HR_REJECT_STREAM_KEY], 4);
	CU_ASSERT_EQUAL(out->events[2].event.user.n, 0);
	CU_ASSERT_EQUAL(out->events[2].user_row, HR_NO_ROW);
	CU_ASSERT_EQUAL(
		hr_fold_floor(fold, one->birth, one->random, 7, CLOCK_US, &floor),
		HR_FLOOR_KNOWN);
	CU_ASSERT_EQUAL(floor, 2);
	CU_ASSERT_EQUAL(
		hr_fold_floor(fold, one->birth, one->random, 8, CLOCK_US, &floor),
		HR_FLOOR_FOREIGN);
	CU_ASSERT_EQUAL(floor, 0);
	free(one);
	stop();
}

static void a_time_of_receipt_beyond_the_year_9999_is_cut(void)
{
	struct test_item *it = item(HR_ITEM_EVENT, HR_CODEC_PROTOBUF, 0, 1);
	const struct hr_out *out;

	start(100, 1);
	it->received_us = UINT64_MAX;
	it->events[0].time_ms = ABSENT;
	out = run(test_chain_add_epoch(&chain, CLOCK_US, it, 1), 1);
	CU_ASSERT_EQUAL(out->verdicts[HR_COUNTED], 1);
	CU_ASSERT_EQUAL(out->events[0].event.time_ms, 253402300799999);
	stop();
}

#define NAMES 300000

struct name {
	uint32_t hash, number;
};

static int by_hash(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Among so many names, some ten pairs share a murmur2. (Counted up, in decimal, they
 * do not: digits differ in too few bits.) */
static int name_print(char out[TEXT_BYTES], uint32_t number)
{
	return snprintf(out, TEXT_BYTES, "like %016llx",
			(unsigned long long)(number * 0x9e3779b97f4a7c15u));
}

static void users_with_one_hash_are_two_users(void)
{
	struct name *names = calloc(NAMES, sizeof(*names));
	char text[TEXT_BYTES];
	uint32_t pairs = 0;

	CU_ASSERT_FATAL(names != NULL);
	for (uint32_t i = 0; i < NAMES; i++) {
		int n = name_print(text, i);

		names[i] = (struct name){ hr_murmur2(text, (size_t)n), i };
	}
	qsort(names, NAMES, sizeof(*names), by_hash);
	start(100, 1);
	for (uint32_t i = 1; i < NAMES; i++) {
		struct test_item *it;

		if (names[i].hash != names[i - 1].hash)
			continue;
		pairs++;
		it = item(HR_ITEM_EVENT, HR_CODEC_JSON, 0, 4);
		for (uint32_t e = 0; e < 4; e++)
			name_print(it->events[e].user, names[i - e % 2].number);
		run(test_chain_add_epoch(&chain, CLOCK_US, it, 1), 9);
		CU_ASSERT_EQUAL(chain.links[pairs].link.out->n_users, 2);
		CU_ASSERT_EQUAL(chain.links[pairs].link.out->users[1].n_events, 2);
	}
	CU_ASSERT(pairs > 0);
	free(names);
	stop();
}

/* Broken behind the second of three claimed events. */
static void what_breaks_the_framing_is_one_entry_and_the_rest_is_counted(void)
{
	static const char payload[] =
		"{\"user_id\":\"a\",\"event_type\":\"b\"}\n"
		"{\"user_id\":\"a\",\"event_type\":\"b\"}\n\n\n{}\n";
	uint8_t body[512];
	struct hr_item it = { .kind = HR_ITEM_EVENT,
			      .codec = HR_CODEC_JSON,
			      .n_events = 6,
			      .payload = HR_STR(payload) };
	struct test_link *l;
	const struct hr_out *out;

	start(100, 1);
	l = test_chain_add_body(&chain, HR_BODY_EPOCH, CLOCK_US,
				(struct hr_str){ body, hr_item_encode(body, &it) });
	out = run(l, 10);
	CU_ASSERT_EQUAL(out->n_events, 3);
	CU_ASSERT_EQUAL(out->verdicts[HR_COUNTED], 2);
	CU_ASSERT_EQUAL(out->rejects[HR_REJECT_SYNTAX], 4);
	CU_ASSERT_EQUAL(out->events[2].reject, HR_REJECT_SYNTAX);
	CU_ASSERT_EQUAL(out->events[2].raw.n, 6); /* "\n\n\n{}\n" */
	CU_ASSERT(law_holds(&l->link));

	it.codec = 77; /* nobody's */
	l = test_chain_add_body(&chain, HR_BODY_EPOCH, CLOCK_US,
				(struct hr_str){ body, hr_item_encode(body, &it) });
	out = run(l, 10);
	CU_ASSERT_EQUAL(out->n_events, 1);
	CU_ASSERT_EQUAL(out->events[0].raw.n, it.payload.n);
	CU_ASSERT_EQUAL(out->rejects[HR_REJECT_SYNTAX], 6);
	CU_ASSERT(law_holds(&l->link));
	stop();
}

static void a_claim_beyond_all_bytes_costs_no_memory(void)
{
	uint8_t body[4096];
	const struct hr_item it = { .kind = HR_ITEM_EVENT,
				    .codec = HR_CODEC_PROTOBUF,
				    .n_events = UINT16_MAX };
	uint32_t n = 0;
	struct test_link *l;

	start(100, 1);
	for (int i = 0; i < 20; i++)
		n += hr_item_encode(body + n, &it);
	l = test_chain_add_body(&chain, HR_BODY_EPOCH, CLOCK_US,
				(struct hr_str){ body, n });
	CU_ASSERT_EQUAL(l->link.n_events, 20u * UINT16_MAX);
	CU_ASSERT(hr_out_bytes(&l->link) < 1000u * n);
	run(l, 10);
	CU_ASSERT_EQUAL(l->link.out->n_events, 0);
	CU_ASSERT_EQUAL(l->link.out->rejects[HR_REJECT_SYNTAX], 20u * UINT16_MAX);
	CU_ASSERT(law_holds(&l->link));
	stop();
}

static void a_body_cut_anywhere_is_refused_or_folded(void)
{
	struct test_item *items = calloc(3, sizeof(*items));
	static uint8_t whole[8192];
	struct hr_str body;
	uint32_t refused = 0;

	start(100, 4);
	for (uint16_t i = 0; i < 3; i++) {
		struct test_item *one =
			item(HR_ITEM_DATAGRAM,
			     i == 1 ? HR_CODEC_PROTOBUF : HR_CODEC_JSON, 7u + i, 3);

		items[i] = *one;
		free(one);
	}
	body = test_chain_add_epoch(&chain, CLOCK_US, items, 3)->link.body;
	CU_ASSERT_FATAL(body.n < sizeof(whole));
	memcpy(whole, body.p, body.n);
	body.p = whole;
	test_chain_drop_last(&chain);
	for (uint32_t n = body.n; n-- > 0;) {
		struct test_link *l = test_chain_add_body(
			&chain, HR_BODY_EPOCH, CLOCK_US, (struct hr_str){ whole, n });

		if (begin(&l->link) == 0) {
			while (!hr_fold_step(fold, 2))
				;
			CU_ASSERT(law_holds(&l->link));
			continue;
		}
		refused++;
		test_chain_drop_last(&chain);
	}
	CU_ASSERT_EQUAL(refused, body.n - 3); /* all but the ends of items */
	stop();
}

/* The item says as many events as before; the payload ends early. */
static void a_payload_cut_anywhere_keeps_the_law(void)
{
	for (int codec = HR_CODEC_PROTOBUF; codec <= HR_CODEC_JSON; codec++) {
		struct test_item *whole = item(HR_ITEM_DATAGRAM, (uint8_t)codec, 1, 5);
		static uint8_t payload[4096], body[8192];
		const uint32_t n = test_payload(whole, payload, sizeof(payload));

		start(100, 4);
		for (uint32_t cut = 0; cut <= n; cut++) {
			const struct hr_item it = { .kind = HR_ITEM_DATAGRAM,
						    .codec = (uint8_t)codec,
						    .birth = 1,
						    .sequence = cut,
						    .n_events = 5,
						    .payload = { payload, cut } };
			struct test_link *l = test_chain_add_body(
				&chain, HR_BODY_EPOCH, CLOCK_US,
				(struct hr_str){ body, hr_item_encode(body, &it) });

			run(l, 1 + cut % 4);
			CU_ASSERT(law_holds(&l->link));
			if (cut < n - 1) /* the last newline may go */
				CU_ASSERT(l->link.out->rejects[HR_REJECT_SYNTAX] > 0);
		}
		CU_ASSERT_EQUAL(
			chain.links[chain.n_links - 1].link.out->verdicts[HR_COUNTED],
			5);
		free(whole);
		stop();
	}
}

/* ---- random bytes ---- */

#define FUZZ_LINKS 400

static uint32_t noise_write(struct test_random *r, uint8_t *body, uint32_t max)
{
	static const char likely[] =
		"{}[]\":,\n\\user_idevent_type\x0a\x12\x1a\x20\x02";
	uint8_t payload[300];
	uint32_t at = 0;

	for (uint32_t i = test_below(r, 12); i > 0; i--) {
		struct hr_item it = { .kind = (uint16_t)(1 + test_below(r, 2)),
				      .codec = (uint8_t)test_below(r, 4),
				      .birth = test_below(r, 8),
				      .sequence = test_below(r, 50),
				      .received_us = UINT64_MAX - test_below(r, 2),
				      .n_events = (uint16_t)test_below(r, 30),
				      .payload = { payload, test_below(r, 300) } };

		for (uint32_t b = 0; b < it.payload.n; b++)
			payload[b] = test_below(r, 3) == 0
					     ? (uint8_t)test_below(r, 256)
					     : (uint8_t)likely[test_below(
						       r, sizeof(likely) - 1)];
		CU_ASSERT_FATAL(at + hr_item_bytes(it.payload.n) <= max);
		at += hr_item_encode(body + at, &it);
	}
	return at;
}

static void random_payloads_keep_the_law_and_the_digest(void)
{
	struct test_random r = { 88172645463325252u };
	static uint8_t body[1 << 15];
	struct hr_id128 digest;

	start(60, 6);
	for (int i = 0; i < FUZZ_LINKS; i++)
		test_chain_add_body(
			&chain, HR_BODY_EPOCH, CLOCK_US,
			(struct hr_str){ body, noise_write(&r, body, sizeof(body)) });
	for (uint32_t i = 1; i < chain.n_links; i++) {
		run(&chain.links[i], 1 + i % 50);
		CU_ASSERT(law_holds(&chain.links[i].link));
	}
	digest = *hr_fold_digest(fold);
	hr_fold_free(fold);
	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &chain.set, 0, 6), 0);
	test_fold_run(&chain, fold, UINT32_MAX);
	CU_ASSERT(hr_id128_equals(&digest, hr_fold_digest(fold)));
	stop();
}

/* Good chains with a few bytes of every body turned over: the fold is told about the
 * damaged link as a reader would be, and goes on or stays where it was. */
static void damaged_bodies_are_refused_or_folded(void)
{
	struct test_random r = { 362436069u };
	uint32_t folded = 0;

	for (uint64_t seed = 500; seed < 520; seed++) {
		struct test_chain good;

		start(100, 16);
		test_chain_random(&good, seed, 40);
		for (uint32_t i = 1; i < good.n_links; i++) {
			const struct hr_link *from = &good.links[i].link;
			struct test_link *l;

			if (from->body_kind != HR_BODY_EPOCH || from->body.n == 0)
				continue;
			for (uint32_t k = 0; k < 3; k++)
				good.links[i].body[test_below(&r, from->body.n)] ^=
					(uint8_t)(1u << test_below(&r, 8));
			l = test_chain_add_body(&chain, HR_BODY_EPOCH, CLOCK_US + i,
						from->body);
			if (begin(&l->link) == 0) {
				while (!hr_fold_step(fold, 5))
					;
				CU_ASSERT(law_holds(&l->link));
				folded++;
				continue;
			}
			test_chain_drop_last(&chain);
		}
		test_chain_fini(&good);
		stop();
	}
	CU_ASSERT(folded > 100);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "only the next link begins", only_the_next_link_begins },
		{ "a chain begins with CONFIG", a_chain_begins_with_config },
		{ "a CONFIG beyond this binary is refused and changes nothing",
		  a_config_beyond_this_binary_is_refused_and_changes_nothing },
		{ "CONFIG rules from the next link on",
		  config_rules_from_the_next_link_on },
		{ "links without events advance the digest too",
		  links_without_events_advance_the_digest_too },
		{ "a link that lies about its counts is refused",
		  a_link_that_lies_about_its_counts_is_refused },
		{ "a repeated datagram repeats all of its events, even in one link",
		  a_repeated_datagram_repeats_all_of_its_events_even_in_one_link },
		{ "a stream without room is rejected and never counted twice",
		  a_stream_without_room_is_rejected_and_never_counted_twice },
		{ "a stream under another key is rejected and stays as it was",
		  a_stream_under_another_key_is_rejected_and_stays_as_it_was },
		{ "a time of receipt beyond the year 9999 is cut",
		  a_time_of_receipt_beyond_the_year_9999_is_cut },
		{ "users with one hash are two users",
		  users_with_one_hash_are_two_users },
		{ "what breaks the framing is one entry, and the rest is counted",
		  what_breaks_the_framing_is_one_entry_and_the_rest_is_counted },
		{ "a claim beyond all bytes costs no memory",
		  a_claim_beyond_all_bytes_costs_no_memory },
		{ "a body cut anywhere is refused or folded",
		  a_body_cut_anywhere_is_refused_or_folded },
		{ "a payload cut anywhere keeps the law",
		  a_payload_cut_anywhere_keeps_the_law },
		{ "random payloads keep the law and the digest",
		  random_payloads_keep_the_law_and_the_digest },
		{ "damaged bodies are refused or folded",
		  damaged_bodies_are_refused_or_folded },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("fold refusals", NULL, NULL, tests);
}
