/* SPDX-License-Identifier: BSD-3-Clause */

/* Headerless datagrams, split by user's shard. */

#include "common/murmur2.h"
#include "dataplane/beacon/beacon.h"
#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"

static const struct hr_beacon_rules rules = { .n_shards = 5, .insecure = true };
static struct hr_split split;

static enum hr_drop split_bytes(const struct hr_beacon_rules *r, const void *bytes,
				size_t n)
{
	uint8_t *exact = malloc(n + 1);
	enum hr_drop drop;

	memcpy(exact + 1, bytes, n);
	memset(&split, 0xaa, sizeof(split));
	drop = hr_beacon_split(r, exact + 1, (uint32_t)n, &split);
	free(exact);
	return drop;
}

static enum hr_drop split_text(const char *text)
{
	return split_bytes(&rules, text, strlen(text));
}

static uint32_t shard_of(const char *user)
{
	return hr_kafka_partition(user, strlen(user), rules.n_shards);
}

static bool piece_is(uint32_t i, uint32_t shard, uint32_t n_events, const char *payload)
{
	const struct hr_piece *piece = &split.pieces[i];

	return i < split.n_pieces && piece->refused == HR_DROP_NONE &&
	       piece->shard == shard && piece->n_events == n_events &&
	       is_text(piece->payload, payload);
}

static void one_object_is_one_piece(void)
{
	CU_ASSERT_EQUAL(split_text("{\"user_id\":\"alice\"}"), HR_DROP_NONE);
	CU_ASSERT_EQUAL(split.n_pieces, 1);
	CU_ASSERT_TRUE(piece_is(0, shard_of("alice"), 1, "{\"user_id\":\"alice\"}\n"));
	CU_ASSERT_EQUAL(split_text("  {\"user_id\":\"alice\"}\n\n"), HR_DROP_NONE);
	CU_ASSERT_TRUE(piece_is(0, shard_of("alice"), 1, "{\"user_id\":\"alice\"}\n"));
}

static void an_object_over_several_lines_becomes_one_line(void)
{
	CU_ASSERT_EQUAL(split_text("{\n\t\"user_id\": \"alice\",\r\n\t\"x\": "
				   "\"a\\nb  c\"\n}\n"),
			HR_DROP_NONE);
	CU_ASSERT_TRUE(
		piece_is(0, shard_of("alice"), 1,
			 "{ \t\"user_id\": \"alice\",\r \t\"x\": \"a\\nb  c\" }\n"));
}

static void events_go_to_their_users_shards_in_order(void)
{
	static const char *const forms[] = {
		"{\"user_id\":\"a\",\"n\":1}\n{\"user_id\":\"b\",\"n\":2}\n"
		"{\"user_id\":\"a\",\"n\":3}\n{\"user_id\":\"\\u0062\",\"n\":4}",
		"{\"user_id\":\"a\",\"n\":1}\r\n{\"user_id\":\"b\",\"n\":2}\n\n \n"
		"{\"user_id\":\"a\",\"n\":3}\n{\"user_id\":\"\\u0062\",\"n\":4}\n",
		"[{\"user_id\":\"a\",\"n\":1},{\"user_id\":\"b\",\"n\":2},"
		"{\"user_id\":\"a\",\"n\":3},{\"user_id\":\"\\u0062\",\"n\":4}]",
		" [ {\"user_id\":\"a\",\"n\":1} ,\n {\"user_id\":\"b\",\"n\":2},"
		"{\"user_id\":\"a\",\"n\":3},\t{\"user_id\":\"\\u0062\",\"n\":4} ] ",
	};

	CU_ASSERT_NOT_EQUAL_FATAL(shard_of("a"), shard_of("b"));
	for (size_t i = 0; i < HR_COUNT(forms); i++) {
		CU_ASSERT_EQUAL(split_text(forms[i]), HR_DROP_NONE);
		CU_ASSERT_EQUAL(split.n_pieces, 2);
		CU_ASSERT_TRUE(piece_is(0, shard_of("a"), 2,
					"{\"user_id\":\"a\",\"n\":1}\n"
					"{\"user_id\":\"a\",\"n\":3}\n"));
		CU_ASSERT_TRUE(piece_is(1, shard_of("b"), 2,
					"{\"user_id\":\"b\",\"n\":2}\n"
					"{\"user_id\":\"\\u0062\",\"n\":4}\n"));
	}
}

static void events_without_a_usable_user_are_one_refused_piece(void)
{
	CU_ASSERT_EQUAL(split_text("{}\n{\"user_id\":\"a\"}\n{\"user_id\":7}\n"
				   "{\"user_id\":\"a\\u0000\"}"),
			HR_DROP_NONE);
	CU_ASSERT_EQUAL(split.n_pieces, 2);
	CU_ASSERT_EQUAL(split.pieces[0].refused, HR_DROP_UNKEYED_USER);
	CU_ASSERT_EQUAL(split.pieces[0].n_events, 3);
	CU_ASSERT_TRUE(is_text(split.pieces[0].payload,
			       "{}\n{\"user_id\":7}\n{\"user_id\":\"a\\u0000\"}\n"));
	CU_ASSERT_TRUE(piece_is(1, shard_of("a"), 1, "{\"user_id\":\"a\"}\n"));
}

static void broken_framing_refuses_the_whole_datagram(void)
{
	static const char *const rows[] = {
		"{",
		"{\"user_id\":\"a\"",
		"{\"user_id\":\"a}",
		"{\"user_id\":\"a\"}}",
		"{\"user_id\":\"a\"}x",
		"{\"user_id\":\"a\"} {\"user_id\":\"b\"}",
		"{\"user_id\":\"a\"}{\"user_id\":\"b\"}",
		"{\"user_id\":\"a\"},{\"user_id\":\"b\"}",
		"{\"user_id\":\"a\"}\ngarbage\n{\"user_id\":\"b\"}",
		"{\"user_id\":\"a\"}\n[]",
		"{\"user_id\":\"a\nb\"}",
		"{\"user_id\":\"a\\\nb\"}",
		"{\"user_id\":[}]",
		"[{\"user_id\":\"a\"}",
		"[{\"user_id\":\"a\"},]",
		"[{\"user_id\":\"a\"}]\n{\"user_id\":\"a\"}",
		"[[{\"user_id\":\"a\"}]]",
		"[1]",
		"x",
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		if (split_text(rows[i]) != HR_DROP_UNKEYED_JSON)
			printf("\n    %s", rows[i]);
		CU_ASSERT_EQUAL(split_text(rows[i]), HR_DROP_UNKEYED_JSON);
	}
}

static void nothing_is_taken_where_it_is_not_allowed(void)
{
	const struct hr_beacon_rules strict = { .n_shards = 5 };

	CU_ASSERT_EQUAL(split_bytes(&strict, "{\"user_id\":\"a\"}", 15),
			HR_DROP_UNKEYED);
	CU_ASSERT_EQUAL(split_bytes(&strict, "", 0), HR_DROP_UNKEYED);
}

static void counts_and_lengths_have_their_ends(void)
{
	char text[2048];
	size_t n = 0;

	CU_ASSERT_EQUAL(split_text("[]"), HR_DROP_FRAME_COUNT);
	CU_ASSERT_EQUAL(split_text(" \n"), HR_DROP_FRAME_COUNT);
	for (int i = 0; i < HR_WIRE_EVENTS_MAX + 1; i++)
		n += (size_t)sprintf(text + n, "{}\n");
	CU_ASSERT_TRUE(n > HR_WIRE_DATAGRAM_MAX);
	/* 490 of three bytes fit a datagram; an array of 490 does as well. */
	CU_ASSERT_EQUAL(split_bytes(&rules, text, 490 * 3), HR_DROP_NONE);
	CU_ASSERT_EQUAL(split.n_pieces, 1);
	CU_ASSERT_EQUAL(split.pieces[0].n_events, 490);
	CU_ASSERT_EQUAL(split.pieces[0].payload.n, 490 * 3);
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"user_id\":\"a\"}", 15);
	CU_ASSERT_EQUAL(split_bytes(&rules, text, HR_WIRE_DATAGRAM_MAX), HR_DROP_NONE);
	CU_ASSERT_EQUAL(split_bytes(&rules, text, HR_WIRE_DATAGRAM_MAX + 1),
			HR_DROP_FRAME_LONG);
}

static void a_hundred_shards_are_a_hundred_pieces(void)
{
	struct hr_beacon_rules wide = { .n_shards = 100, .insecure = true };
	char text[HR_WIRE_DATAGRAM_MAX], user[8];
	bool has[100] = { false };
	uint32_t n_users = 0, total = 0;
	size_t n = 0;

	for (uint32_t i = 0; n + 24 < sizeof(text); i++) {
		const int c = snprintf(user, sizeof(user), "%u", i);
		const uint32_t shard = hr_kafka_partition(user, (size_t)c, 100);

		if (has[shard])
			continue;
		has[shard] = true;
		n_users++;
		n += (size_t)sprintf(text + n, "{\"user_id\":\"%s\"}\n", user);
	}
	CU_ASSERT_TRUE(n_users > 70);
	CU_ASSERT_EQUAL(split_bytes(&wide, text, n), HR_DROP_NONE);
	CU_ASSERT_EQUAL(split.n_pieces, n_users);
	for (uint32_t i = 0; i < split.n_pieces; i++) {
		CU_ASSERT_TRUE(has[split.pieces[i].shard]);
		CU_ASSERT_EQUAL(split.pieces[i].n_events, 1);
		total += split.pieces[i].payload.n;
	}
	CU_ASSERT_EQUAL(total, n);
}

/* What comes out is framed, counts what it says, and is what would be logged. */
static void every_piece_fits_its_count(void)
{
	static const char text[] = "[{\"user_id\":\"a\"},{\n\"user_id\":\"b\"},"
				   "{},{\"user_id\":\"c\",\"d\":{\"e\":[\"}\"]}}]";

	CU_ASSERT_EQUAL(split_text(text), HR_DROP_NONE);
	for (uint32_t i = 0; i < split.n_pieces; i++)
		CU_ASSERT_TRUE(hr_frames_fit(HR_CODEC_JSON, split.pieces[i].payload,
					     split.pieces[i].n_events));
}

static void no_truncation_and_no_changed_byte_breaks_it(void)
{
	static const char text[] =
		" [ {\"user_id\":\"a\\u0062\"} ,\n{\"x\":{\"y\":[\"\\\\\","
		"null]}, \"user_id\" : \"b\"}, {} ] ";
	static const uint8_t bytes[] = { 0,   '"', '\\', '{',  '}',
					 '[', ']', ',',  '\n', 0xff };
	char room[sizeof(text)];

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		const enum hr_drop drop = split_bytes(&rules, text, n);

		if (n < sizeof(text) - 2)
			CU_ASSERT_TRUE(drop == HR_DROP_UNKEYED_JSON ||
				       drop == HR_DROP_FRAME_COUNT);
		for (size_t b = 0; b < sizeof(bytes); b++) {
			memcpy(room, text, sizeof(text));
			room[n] = (char)bytes[b];
			if (split_bytes(&rules, room, sizeof(text) - 1) != HR_DROP_NONE)
				continue;
			for (uint32_t i = 0; i < split.n_pieces; i++)
				CU_ASSERT_TRUE(hr_frames_fit(HR_CODEC_JSON,
							     split.pieces[i].payload,
							     split.pieces[i].n_events));
		}
	}
}

static void headerless_is_what_begins_with_a_bracket(void)
{
	static const struct {
		const char *text;
		bool is_headerless;
	} rows[] = {
		{ "{", true },      { "[", true },    { " \r\n\t{", true },
		{ "", false },      { " \n", false }, { "HRB\1", false },
		{ "\"{\"", false }, { "x{", false },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		CU_ASSERT_EQUAL(hr_beacon_is_headerless((const uint8_t *)rows[i].text,
							(uint32_t)strlen(rows[i].text)),
				rows[i].is_headerless);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "one object is one piece", one_object_is_one_piece },
		{ "an object over several lines becomes one line",
		  an_object_over_several_lines_becomes_one_line },
		{ "events go to their users' shards, in order",
		  events_go_to_their_users_shards_in_order },
		{ "events without a usable user are one refused piece",
		  events_without_a_usable_user_are_one_refused_piece },
		{ "broken framing refuses the whole datagram",
		  broken_framing_refuses_the_whole_datagram },
		{ "nothing is taken where it is not allowed",
		  nothing_is_taken_where_it_is_not_allowed },
		{ "counts and lengths have their ends",
		  counts_and_lengths_have_their_ends },
		{ "a hundred shards are a hundred pieces",
		  a_hundred_shards_are_a_hundred_pieces },
		{ "every piece fits its count", every_piece_fits_its_count },
		{ "no truncation and no changed byte breaks it",
		  no_truncation_and_no_changed_byte_breaks_it },
		{ "headerless is what begins with a bracket",
		  headerless_is_what_begins_with_a_bracket },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("split", NULL, NULL, tests);
}
