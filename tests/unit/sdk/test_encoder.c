/* SPDX-License-Identifier: BSD-3-Clause */

#include "headrace.h"

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/events.h"

static const enum headrace_codec codecs[] = { HEADRACE_PROTOBUF, HEADRACE_JSON };

/* A text of n times the same character. */
static struct headrace_slice many(char c, size_t n)
{
	static char room[8][4096];
	static unsigned int next;
	char *p = room[next++ % HR_COUNT(room)];

	CU_ASSERT_FATAL(n < sizeof(room[0]));
	memset(p, c, n);
	return (struct headrace_slice){ p, n };
}

#define STR(literal) ((struct headrace_slice){ (literal), sizeof(literal) - 1 })

static struct headrace_event view(void)
{
	static struct headrace_pair pairs[4];

	pairs[0] = headrace_text("product_id", "product_456");
	pairs[1] = headrace_text("category", "electronics");
	pairs[2] = headrace_number("price", "19.99");
	pairs[3] = headrace_bool("new", true);
	return (struct headrace_event){
		.user = STR("user_123"),
		.type = STR("product_view"),
		.id = STR("user_123_1705314600000"),
		.time_form = HEADRACE_TIME_MILLIS,
		.time_ms = 1705314600000,
		.pairs = pairs,
		.n_pairs = 4,
	};
}

static struct headrace_datagram header(void)
{
	struct headrace_datagram d = {
		.key_id = 0x11223344,
		.generation = 0x55667788,
		.birth = 0x0005f00000000001,
		.random = 0x99aabbccddeeff01,
		.sequence = 0x0102030405060708,
		.shard = 0x1213,
		.n_shards = 0x2223,
		.attempt = 0x31323334,
		.client_drops = 0x41424344,
		.sent_us = 0x5152535455565758,
		.token = 0x6162636465666768,
	};

	headrace_stream_key(write_key, d.birth, d.random, d.stream_key);
	return d;
}

static void every_header_field_lies_where_the_ruler_says(void)
{
	uint8_t b[HEADRACE_DATAGRAM_DEFAULT];
	const struct headrace_datagram d = header();
	const struct headrace_event ev = view();
	struct headrace_encoder e;
	size_t n;

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		CU_ASSERT_EQUAL(headrace_encoder_init(&e, codecs[c], b, sizeof(b)), 0);
		CU_ASSERT_EQUAL(headrace_encoder_append(&e, &ev), HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_encoder_append(&e, &ev), HEADRACE_OK);
		n = headrace_encoder_finish(&e, &d);

		CU_ASSERT_EQUAL(memcmp(b, "HRB\1\1\0\1", 7), 0);
		CU_ASSERT_EQUAL(b[7], codecs[c]);
		CU_ASSERT_EQUAL(hr_load16(b + 8), 0);
		CU_ASSERT_EQUAL(hr_load16(b + 10), d.shard);
		CU_ASSERT_EQUAL(hr_load16(b + 12), d.n_shards);
		CU_ASSERT_EQUAL(hr_load16(b + 14), 2);
		CU_ASSERT_EQUAL(hr_load32(b + 16), d.generation);
		CU_ASSERT_EQUAL(hr_load32(b + 20), d.key_id);
		CU_ASSERT_EQUAL(hr_load64(b + 24), d.birth);
		CU_ASSERT_EQUAL(hr_load64(b + 32), d.random);
		CU_ASSERT_EQUAL(hr_load64(b + 40), d.sequence);
		CU_ASSERT_EQUAL(hr_load32(b + 48), d.attempt);
		CU_ASSERT_EQUAL(hr_load32(b + 52), d.client_drops);
		CU_ASSERT_EQUAL(hr_load64(b + 56), d.sent_us);
		CU_ASSERT_EQUAL(hr_load64(b + 64), d.token);
		CU_ASSERT_EQUAL(hr_load16(b + 72), n - 96);
		CU_ASSERT_EQUAL(hr_load64(b + 72) >> 16, 0);
		CU_ASSERT_TRUE(tag_fits(b, n));
	}
}

static void tag_and_stream_key_are_libsodiums_at_every_length(void)
{
	uint8_t b[HEADRACE_DATAGRAM_MAX];
	const struct headrace_datagram d = header();
	struct headrace_encoder e;

	for (size_t length = 1; length <= 64; length++) {
		struct headrace_event ev = view();
		size_t n;

		ev.id = many('i', length);
		CU_ASSERT_EQUAL(
			headrace_encoder_init(&e, HEADRACE_PROTOBUF, b, sizeof(b)), 0);
		CU_ASSERT_EQUAL(headrace_encoder_append(&e, &ev), HEADRACE_OK);
		n = headrace_encoder_finish(&e, &d);
		CU_ASSERT_TRUE(tag_fits(b, n));
		b[80 + length % (n - 96)] ^= 1;
		CU_ASSERT_FALSE(tag_fits(b, n));
	}
}

/* Of Kafka's own test (clients, UtilsTest.testMurmur2), and what % 2^31 - 1 does. */
static void shards_are_the_partitions_of_kafkas_java_client(void)
{
	static const struct {
		const char *key;
		int32_t murmur2;
	} rows[] = {
		{ "21", -973932308 },
		{ "foobar", -790332482 },
		{ "a-little-bit-long-string", -985981536 },
		{ "a-little-bit-longer-string", -1486304829 },
		{ "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
		{ "abc", 479470107 },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		for (uint32_t s = 1; s <= 100; s++)
			CU_ASSERT_EQUAL(
				headrace_shard(rows[i].key, strlen(rows[i].key), s),
				((uint32_t)rows[i].murmur2 & 0x7fffffff) % s);
}

static void what_goes_in_comes_out_the_same_in_both_codecs(void)
{
	uint8_t b[HEADRACE_DATAGRAM_DEFAULT];
	const struct headrace_datagram d = header();
	const struct headrace_event ev = view();
	struct headrace_encoder e;

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		struct seen s[2];

		headrace_encoder_init(&e, codecs[c], b, sizeof(b));
		CU_ASSERT_EQUAL(headrace_encoder_append(&e, &ev), HEADRACE_OK);
		CU_ASSERT_EQUAL_FATAL(
			see_events(b, headrace_encoder_finish(&e, &d), s, 2), 1);
		CU_ASSERT_STRING_EQUAL(s[0].user, "user_123");
		CU_ASSERT_STRING_EQUAL(s[0].type, "product_view");
		CU_ASSERT_STRING_EQUAL(s[0].id, "user_123_1705314600000");
		CU_ASSERT_STRING_EQUAL(s[0].product, "product_456");
		CU_ASSERT_EQUAL(s[0].time_ms, 1705314600000);
		CU_ASSERT_EQUAL(s[0].n_pairs, 4);
	}
}

static void json_is_written_as_documented(void)
{
	static const struct headrace_pair pairs[] = {
		{ .key = STR("q\"\\"), .text = STR("a\n\x7f\"\\\xc3\xa4") },
		{ .key = STR("i"), .form = HEADRACE_INTEGER, .integer = INT64_MIN },
		{ .key = STR("j"), .form = HEADRACE_INTEGER, .integer = INT64_MAX },
		{ .key = STR("z"), .form = HEADRACE_INTEGER, .integer = 0 },
		{ .key = STR("n"), .form = HEADRACE_NUMBER, .text = STR("-0.5e+7") },
		{ .key = STR("t"), .form = HEADRACE_TRUE },
		{ .key = STR("f"), .form = HEADRACE_FALSE },
		{ .key = STR("0"), .form = HEADRACE_NULL },
	};
	static const char want[] =
		"{\"user_id\":\"u\",\"event_type\":\"t\",\"event_id\":\"e\","
		"\"timestamp\":\"2024-01-15T10:30:00.000\",\"metadata\":{"
		"\"q\\\"\\\\\":\"a\\u000a\\u007f\\\"\\\\\xc3\xa4\","
		"\"i\":-9223372036854775808,\"j\":9223372036854775807,\"z\":0,"
		"\"n\":-0.5e+7,\"t\":true,\"f\":false,\"0\":null}}\n"
		"{\"user_id\":\"u\",\"event_type\":\"t\"}\n";
	const struct headrace_event full = {
		.user = STR("u"),
		.type = STR("t"),
		.id = STR("e"),
		.time_form = HEADRACE_TIME_TEXT,
		.time_text = STR("2024-01-15T10:30:00.000"),
		.pairs = pairs,
		.n_pairs = HR_COUNT(pairs),
	};
	const struct headrace_event bare = { .user = STR("u"), .type = STR("t") };
	uint8_t b[HEADRACE_DATAGRAM_DEFAULT];
	struct headrace_encoder e;

	headrace_encoder_init(&e, HEADRACE_JSON, b, sizeof(b));
	CU_ASSERT_EQUAL(headrace_encoder_append(&e, &full), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_encoder_append(&e, &bare), HEADRACE_OK);
	CU_ASSERT_EQUAL_FATAL(e.end - HEADRACE_HEADER_BYTES, sizeof(want) - 1);
	CU_ASSERT_EQUAL(memcmp(b + HEADRACE_HEADER_BYTES, want, sizeof(want) - 1), 0);
}

/* Events of every size, against datagrams of every size: guard bytes behind the
 * limit stay as they were, and a refused event leaves no trace. */
static void no_datagram_is_ever_larger_than_its_limit(void)
{
	uint8_t b[HEADRACE_DATAGRAM_MAX + 64];
	const struct headrace_datagram d = header();
	struct headrace_encoder e;
	uint64_t refused = 0;

	for (size_t max = HEADRACE_DATAGRAM_MIN; max <= HEADRACE_DATAGRAM_MAX;
	     max += 19) {
		for (size_t c = 0; c < HR_COUNT(codecs); c++) {
			headrace_encoder_init(&e, codecs[c], b, max);
			memset(b, 0xa5, sizeof(b));
			for (size_t i = 0; i < 64; i++) {
				struct headrace_pair pair = {
					.key = STR("k"),
					.text = many('"', (i * 67 + max) % 300),
				};
				struct headrace_event ev = view();
				const struct headrace_encoder before = e;
				size_t n;
				int r;

				ev.pairs = &pair;
				ev.n_pairs = 1;
				r = headrace_encoder_append(&e, &ev);
				if (r != HEADRACE_OK) {
					refused++;
					CU_ASSERT_TRUE(r == HEADRACE_TOO_LARGE ||
						       r == HEADRACE_BATCH_FULL);
					CU_ASSERT_EQUAL(memcmp(&e, &before, sizeof(e)),
							0);
				}
				n = headrace_encoder_finish(&e, &d);
				CU_ASSERT_TRUE(n <= max);
				CU_ASSERT_TRUE(n == 0 || tag_fits(b, n));
				for (size_t g = max; g < sizeof(b); g++)
					CU_ASSERT_EQUAL_FATAL(b[g], 0xa5);
			}
			CU_ASSERT_TRUE(e.n_events > 0);
		}
	}
	CU_ASSERT_TRUE(refused > 100);
}

/* The last byte counts: an event that fits exactly is taken, one more is not. */
static void an_event_may_fill_a_datagram_to_its_last_byte(void)
{
	uint8_t b[HEADRACE_DATAGRAM_MIN];
	struct headrace_encoder e;

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		size_t most = 0;

		for (size_t n = 1; n < 300; n++) {
			struct headrace_pair pair = { .key = STR("k"),
						      .text = many('x', n) };
			struct headrace_event ev = { .user = STR("u"),
						     .type = STR("t"),
						     .pairs = &pair,
						     .n_pairs = 1 };
			int r;

			headrace_encoder_init(&e, codecs[c], b, sizeof(b));
			r = headrace_encoder_append(&e, &ev);
			if (r != HEADRACE_OK) {
				CU_ASSERT_EQUAL(r, HEADRACE_TOO_LARGE);
				break;
			}
			most = e.end + HEADRACE_TAG_BYTES;
		}
		CU_ASSERT_EQUAL(most, sizeof(b));
	}
}

static void a_datagram_holds_512_events_and_no_more(void)
{
	/* Small enough for 512 in one datagram only without limits on size: the bound
	 * is met with the smallest event there is, or the size bound comes first. */
	uint8_t b[HEADRACE_DATAGRAM_MAX];
	const struct headrace_event ev = { .user = STR("u"), .type = STR("t") };
	struct headrace_encoder e;
	int r;

	headrace_encoder_init(&e, HEADRACE_PROTOBUF, b, sizeof(b));
	do
		r = headrace_encoder_append(&e, &ev);
	while (r == HEADRACE_OK);
	CU_ASSERT_EQUAL(r, HEADRACE_BATCH_FULL);
	CU_ASSERT_TRUE(e.n_events <= HEADRACE_EVENTS_MAX);

	headrace_encoder_reset(&e);
	e.n_events = HEADRACE_EVENTS_MAX - 1;
	CU_ASSERT_EQUAL(headrace_encoder_append(&e, &ev), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_encoder_append(&e, &ev), HEADRACE_BATCH_FULL);
}

static void the_same_calls_give_the_same_bytes(void)
{
	uint8_t a[HEADRACE_DATAGRAM_DEFAULT], b[HEADRACE_DATAGRAM_DEFAULT];
	struct headrace_datagram d = header();
	const struct headrace_event ev = view();
	struct headrace_encoder e, f;
	size_t n;

	memset(a, 0x11, sizeof(a));
	memset(b, 0x22, sizeof(b));
	headrace_encoder_init(&e, HEADRACE_PROTOBUF, a, sizeof(a));
	headrace_encoder_init(&f, HEADRACE_PROTOBUF, b, sizeof(b));
	headrace_encoder_append(&e, &ev);
	headrace_encoder_append(&f, &ev);
	n = headrace_encoder_finish(&e, &d);
	CU_ASSERT_EQUAL(headrace_encoder_finish(&f, &d), n);
	CU_ASSERT_EQUAL(memcmp(a, b, n), 0);

	/* Another transmission: the header's four fields and the tag, nothing else. */
	d.attempt++;
	d.client_drops++;
	d.sent_us++;
	d.token++;
	CU_ASSERT_EQUAL(headrace_encoder_finish(&f, &d), n);
	CU_ASSERT_TRUE(tag_fits(b, n));
	CU_ASSERT_EQUAL(memcmp(a, b, 48), 0);
	CU_ASSERT_EQUAL(memcmp(a + 72, b + 72, n - 16 - 72), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(a + n - 16, b + n - 16, 16), 0);
}

static void an_encoder_without_events_or_sense_makes_nothing(void)
{
	uint8_t b[HEADRACE_DATAGRAM_MAX + 1];
	const struct headrace_datagram d = header();
	struct headrace_encoder e;

	headrace_encoder_init(&e, HEADRACE_JSON, b, HEADRACE_DATAGRAM_MAX);
	CU_ASSERT_EQUAL(headrace_encoder_finish(&e, &d), 0);
	CU_ASSERT_EQUAL(headrace_encoder_init(&e, HEADRACE_JSON, b, 255),
			HEADRACE_BAD_CONFIG);
	CU_ASSERT_EQUAL(headrace_encoder_init(&e, HEADRACE_JSON, b, 1473),
			HEADRACE_BAD_CONFIG);
	CU_ASSERT_EQUAL(headrace_encoder_init(&e, (enum headrace_codec)3, b, 1232),
			HEADRACE_BAD_CONFIG);
}

/* ---- bad input ---- */

static int append_one(const struct headrace_event *ev)
{
	int results[HR_COUNT(codecs)];
	uint8_t b[HEADRACE_DATAGRAM_MAX];
	struct headrace_encoder e;

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		headrace_encoder_init(&e, codecs[c], b, sizeof(b));
		results[c] = headrace_encoder_append(&e, ev);
		CU_ASSERT_EQUAL(e.n_events, results[c] == HEADRACE_OK);
	}
	CU_ASSERT_EQUAL(results[0], results[1]);
	return results[0];
}

static const struct {
	const char *bytes;
	size_t n;
	bool is_utf8, is_name; /* name: no control characters either */
} texts[] = {
#define ROW(literal, is_utf8, is_name)                                                 \
	{                                                                              \
		literal, sizeof(literal) - 1, is_utf8, is_name                         \
	}
	ROW("a", true, true),
	ROW("~", true, true),
	ROW(" ", true, true),
	ROW("a\nb", true, false),
	ROW("\0", true, false),
	ROW("ab\0", true, false),
	ROW("abc\x1f", true, false),
	ROW("\x7f", true, false),
	ROW("abcdefgh\x01", true, false),
	ROW("\x01"
	    "bcdefghi",
	    true, false),
	ROW("abcdefghabcdefg\x7fh", true, false),
	ROW("\xc3\xa4", true, true),
	ROW("\xe2\x82\xac", true, true),
	ROW("\xf0\x9f\x98\x80", true, true),
	ROW("\xf4\x8f\xbf\xbf", true, true),
	ROW("\xed\x9f\xbf", true, true),
	ROW("\xee\x80\x80", true, true),
	ROW("abcdefgh\xc3\xa4", true, true),
	ROW("\xc3\xa4\n", true, false),
	ROW("\x80", false, false),
	ROW("\xc3", false, false),
	ROW("abcdefg\xc3", false, false),
	ROW("\xc0\x80", false, false),
	ROW("\xc1\xbf", false, false),
	ROW("\xe0\x9f\xbf", false, false),
	ROW("\xed\xa0\x80", false, false),
	ROW("\xf0\x8f\xbf\xbf", false, false),
	ROW("\xf4\x90\x80\x80", false, false),
	ROW("\xf5\x80\x80\x80", false, false),
	ROW("\xff", false, false),
	ROW("\xe2\x82", false, false),
	ROW("\xe2\x82"
	    "a",
	    false, false),
	ROW("\xf0\x9f\x98", false, false),
#undef ROW
};

static void names_are_utf8_without_control_characters(void)
{
	for (size_t i = 0; i < HR_COUNT(texts); i++) {
		const struct headrace_slice s = { texts[i].bytes, texts[i].n };
		const int ok = texts[i].is_name;
		struct headrace_pair pair = { .key = s, .text = STR("x") };
		struct headrace_event ev;

		ev = view();
		ev.user = s;
		CU_ASSERT_EQUAL(append_one(&ev), ok ? HEADRACE_OK : HEADRACE_BAD_USER);
		ev = view();
		ev.type = s;
		CU_ASSERT_EQUAL(append_one(&ev), ok ? HEADRACE_OK : HEADRACE_BAD_TYPE);
		ev = view();
		ev.id = s;
		CU_ASSERT_EQUAL(append_one(&ev),
				ok ? HEADRACE_OK : HEADRACE_BAD_EVENT_ID);
		ev = view();
		ev.pairs = &pair;
		ev.n_pairs = 1;
		CU_ASSERT_EQUAL(append_one(&ev), ok ? HEADRACE_OK : HEADRACE_BAD_KEY);
		pair = (struct headrace_pair){ .key = STR("product_id"), .text = s };
		CU_ASSERT_EQUAL(append_one(&ev), ok ? HEADRACE_OK
						 : texts[i].is_utf8
							 ? HEADRACE_BAD_PRODUCT
							 : HEADRACE_BAD_TEXT);
		pair.key = STR("category");
		CU_ASSERT_EQUAL(append_one(&ev), ok ? HEADRACE_OK
						 : texts[i].is_utf8
							 ? HEADRACE_BAD_CATEGORY
							 : HEADRACE_BAD_TEXT);
		pair.key = STR("anything");
		CU_ASSERT_EQUAL(append_one(&ev),
				texts[i].is_utf8 ? HEADRACE_OK : HEADRACE_BAD_TEXT);
	}
}

static void lengths_end_where_the_contract_says(void)
{
	struct headrace_pair pair = { .key = STR("k"), .text = STR("") };
	struct headrace_event ev = view();

	ev.pairs = &pair;
	ev.n_pairs = 1;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.user = many('u', 128);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.user = many('u', 129);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_USER);
	ev.user = (struct headrace_slice){ NULL, 0 };
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_USER);
	ev.user = STR("u");

	ev.type = many('t', 64);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.type = many('t', 65);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_TYPE);
	ev.type.n = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_TYPE);
	ev.type = STR("t");

	ev.id = many('i', 64);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.id = many('i', 65);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_EVENT_ID);
	ev.id.n = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);

	pair.key = many('k', 64);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	pair.key = many('k', 65);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_KEY);
	pair.key.n = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_KEY);

	pair.key = STR("product_id");
	pair.text = many('p', 64);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	pair.text = many('p', 65);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_PRODUCT);
	pair.text.n = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_PRODUCT);
	pair.key = STR("category");
	pair.text = many('p', 64);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	pair.text = many('p', 65);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_CATEGORY);
	pair.text.n = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_CATEGORY);
	pair.key = STR("k");
	pair.text = many('p', 1400);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_TOO_LARGE);
	pair.text.n = (size_t)1 << 40; /* not a byte of it is looked at */
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_TOO_LARGE);
}

static void each_key_is_there_once_and_no_more_than_64(void)
{
	struct headrace_pair pairs[65];
	struct headrace_event ev = { .user = STR("u"), .type = STR("t") };
	char keys[65][4];

	for (size_t i = 0; i < HR_COUNT(pairs); i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		pairs[i] = headrace_bool(keys[i], true);
	}
	ev.pairs = pairs;
	ev.n_pairs = 64;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.n_pairs = 65;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_TOO_MANY_PAIRS);
	ev.n_pairs = 64;
	pairs[63].key = pairs[0].key;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_DUPLICATE_KEY);
}

static void numbers_are_written_as_json_writes_them(void)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "0", true },     { "-0", true },      { "10", true },
		{ "19.99", true }, { "-1.5", true },    { "1e3", true },
		{ "1E+3", true },  { "1.25e-3", true }, { "", false },
		{ "-", false },    { "01", false },     { "+1", false },
		{ ".5", false },   { "5.", false },     { "1e", false },
		{ "1e+", false },  { "1 ", false },     { " 1", false },
		{ "0x10", false }, { "NaN", false },    { "Infinity", false },
		{ "1,5", false },  { "1.2.3", false },  { "--1", false },
		{ "true", false }, { "1}", false },     { "1\n", false },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		static const char *const keys[] = { "price", "quantity", "other" };

		for (size_t k = 0; k < HR_COUNT(keys); k++) {
			struct headrace_pair pair =
				headrace_number(keys[k], rows[i].text);
			struct headrace_event ev = view();

			ev.pairs = &pair;
			ev.n_pairs = 1;
			CU_ASSERT_EQUAL(append_one(&ev),
					rows[i].ok ? HEADRACE_OK : HEADRACE_BAD_NUMBER);
		}
	}
}

static void price_and_quantity_are_below_10_to_the_15(void)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "0", true },
		{ "999999999999999.99", true },
		{ "-999999999999999", true },
		{ "1000000000000000", false },
		{ "-1000000000000000", false },
		{ "1e14", true },
		{ "1e15", false },
		{ "0.001e17", true },
		{ "0.001e18", false },
		{ "1000e-99999999999", true },
		{ "1e99999999999999999999", false },
		{ "0.00e99999999999", true },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		static const char *const keys[] = { "price", "quantity", "other" };

		for (size_t k = 0; k < HR_COUNT(keys); k++) {
			struct headrace_pair pair =
				headrace_number(keys[k], rows[i].text);
			struct headrace_event ev = view();

			ev.pairs = &pair;
			ev.n_pairs = 1;
			CU_ASSERT_EQUAL(append_one(&ev), rows[i].ok || k == 2
								 ? HEADRACE_OK
								 : HEADRACE_BAD_NUMBER);
		}
	}
}

static void a_number_has_at_most_a_thousand_characters(void)
{
	struct headrace_pair pair = headrace_number("other", "");
	struct headrace_event ev = view();

	ev.pairs = &pair;
	ev.n_pairs = 1;
	pair.text = many('7', 1000);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	pair.text = many('7', 1001);
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_NUMBER);
}

static void what_the_appliance_understands_has_its_form(void)
{
	static const struct {
		struct headrace_pair pair;
		int want;
	} rows[] = {
		{ { .key = STR("price"), .text = STR("1") }, HEADRACE_BAD_NUMBER },
		{ { .key = STR("price"), .form = HEADRACE_TRUE }, HEADRACE_BAD_NUMBER },
		{ { .key = STR("price"), .form = HEADRACE_INTEGER }, HEADRACE_OK },
		{ { .key = STR("price"),
		    .form = HEADRACE_INTEGER,
		    .integer = 999999999999999 },
		  HEADRACE_OK },
		{ { .key = STR("quantity"),
		    .form = HEADRACE_INTEGER,
		    .integer = -1000000000000000 },
		  HEADRACE_BAD_NUMBER },
		{ { .key = STR("quantity"), .form = HEADRACE_NULL },
		  HEADRACE_BAD_NUMBER },
		{ { .key = STR("product_id"), .form = HEADRACE_INTEGER },
		  HEADRACE_BAD_PRODUCT },
		{ { .key = STR("category"), .form = HEADRACE_FALSE },
		  HEADRACE_BAD_CATEGORY },
		{ { .key = STR("k"), .form = (enum headrace_form)6 },
		  HEADRACE_BAD_TEXT },
		{ { .key = STR("k"), .form = (enum headrace_form) - 1 },
		  HEADRACE_BAD_TEXT },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct headrace_event ev = view();

		ev.pairs = &rows[i].pair;
		ev.n_pairs = 1;
		CU_ASSERT_EQUAL(append_one(&ev), rows[i].want);
	}
}

static void times_are_iso_8601_or_milliseconds_since_1970(void)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "2024-01-15T10:30:00", true },
		{ "2024-01-15T10:30:00.000", true },
		{ "2024-01-15T10:30:00.123456789Z", true },
		{ "2024-01-15T10:30:00+01:00", true },
		{ "2024-02-29T00:00:00Z", true },
		{ "1970-01-01T00:00:00Z", true },
		{ "9999-12-31T23:59:59.999Z", true },
		{ "1969-12-31T23:59:59Z", false },
		{ "1970-01-01T00:59:59+01:00", false },
		{ "9999-12-31T23:59:59-00:01", false },
		{ "2023-02-29T00:00:00Z", false },
		{ "2024-13-01T00:00:00Z", false },
		{ "2024-00-01T00:00:00Z", false },
		{ "2024-01-32T00:00:00Z", false },
		{ "2024-01-00T00:00:00Z", false },
		{ "2024-01-15T24:00:00Z", false },
		{ "2024-01-15T10:60:00Z", false },
		{ "2024-01-15T10:30:61Z", false },
		{ "2024-01-15T10:30:00.Z", false },
		{ "2024-01-15T10:30:00ZZ", false },
		{ "2024-01-15T10:30:00+1", false },
		{ "2024-01-15T10:30:00+25:00", false },
		{ "2024-1-15T10:30:00Z", false },
		{ "2024-01-15", false },
		{ "yesterday", false },
		{ "", false },
	};
	struct headrace_event ev = view();

	ev.time_form = HEADRACE_TIME_TEXT;
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		ev.time_text = headrace_str(rows[i].text);
		CU_ASSERT_EQUAL(append_one(&ev),
				rows[i].ok ? HEADRACE_OK : HEADRACE_BAD_TIME);
	}
	ev.time_form = HEADRACE_TIME_MILLIS;
	ev.time_ms = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.time_ms = 253402300799999;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_OK);
	ev.time_ms++;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_TIME);
	ev.time_ms = -1;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_TIME);
	ev.time_form = (enum headrace_time)3;
	ev.time_ms = 0;
	CU_ASSERT_EQUAL(append_one(&ev), HEADRACE_BAD_TIME);
}

static void every_result_has_a_name_and_a_sentence(void)
{
	for (int r = -1; r <= HEADRACE_RESULT_COUNT; r++) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(headrace_result_label(r));
		CU_ASSERT_PTR_NOT_NULL_FATAL(headrace_result_text(r));
		CU_ASSERT_TRUE(strlen(headrace_result_text(r)) > 0);
	}
	CU_ASSERT_STRING_EQUAL(headrace_result_label(HEADRACE_BAD_USER), "bad_user");
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every header field lies where the ruler says",
		  every_header_field_lies_where_the_ruler_says },
		{ "tag and stream key are libsodium's at every length",
		  tag_and_stream_key_are_libsodiums_at_every_length },
		{ "shards are the partitions of Kafka's Java client",
		  shards_are_the_partitions_of_kafkas_java_client },
		{ "what goes in comes out, the same in both codecs",
		  what_goes_in_comes_out_the_same_in_both_codecs },
		{ "JSON is written as documented", json_is_written_as_documented },
		{ "no datagram is ever larger than its limit",
		  no_datagram_is_ever_larger_than_its_limit },
		{ "an event may fill a datagram to its last byte",
		  an_event_may_fill_a_datagram_to_its_last_byte },
		{ "a datagram holds 512 events and no more",
		  a_datagram_holds_512_events_and_no_more },
		{ "the same calls give the same bytes",
		  the_same_calls_give_the_same_bytes },
		{ "an encoder without events or sense makes nothing",
		  an_encoder_without_events_or_sense_makes_nothing },
		{ "names are UTF-8 without control characters",
		  names_are_utf8_without_control_characters },
		{ "lengths end where the contract says",
		  lengths_end_where_the_contract_says },
		{ "each key is there once, and no more than 64",
		  each_key_is_there_once_and_no_more_than_64 },
		{ "numbers are written as JSON writes them",
		  numbers_are_written_as_json_writes_them },
		{ "price and quantity are below 10^15",
		  price_and_quantity_are_below_10_to_the_15 },
		{ "a number has at most 1,000 characters",
		  a_number_has_at_most_a_thousand_characters },
		{ "what the appliance understands has its form",
		  what_the_appliance_understands_has_its_form },
		{ "times are ISO 8601 or milliseconds since 1970",
		  times_are_iso_8601_or_milliseconds_since_1970 },
		{ "every result has a name and a sentence",
		  every_result_has_a_name_and_a_sentence },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk encoder", NULL, NULL, tests);
}
