/* SPDX-License-Identifier: BSD-3-Clause */

/* JSON objects that are events, and those that are none: every bound by a row. */

#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"

/* With user and type, so that only what a row adds can be wrong. */
#define EVENT(rest) "{\"user_id\":\"u\",\"event_type\":\"t\"" rest "}"
#define PAIRS(pairs) EVENT(",\"metadata\":{" pairs "}")
#define USER(user) "{\"user_id\":" user ",\"event_type\":\"t\"}"
#define TIME(time) EVENT(",\"timestamp\":" time)
#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X128 X64 X64
#define EURO "\xe2\x82\xac"

struct row {
	const char *name, *json;
	size_t n;
	enum hr_reject verdict;
};
#define ROW(name, json, verdict)                                                       \
	{                                                                              \
		name, json, sizeof(json) - 1, HR_REJECT_##verdict                      \
	}

static const struct row rows[] = {
	ROW("bare", EVENT(""), NONE),
	ROW("white space everywhere",
	    " \t\r\n{ \"user_id\" : \"u\" ,\n\"event_type\"\t: \"t\" , \"metadata\" : "
	    "{ \"a\" : 1 , \"b\" : null } , \"timestamp\" : 5 } \r\n",
	    NONE),
	ROW("any order", "{\"event_type\":\"t\",\"metadata\":{},\"user_id\":\"u\"}",
	    NONE),
	ROW("null stands for absent",
	    EVENT(",\"event_id\":null,\"metadata\":null,\"timestamp\":null"), NONE),
	ROW("a record that comes back",
	    EVENT(",\"event_time\":\"2024-01-15 10:30:00.000\""), NONE),
	ROW("unknown fields of any shape",
	    EVENT(",\"a\":[],\"b\":{},\"c\":[1,-2.5e3,{\"d\":[[true,false,null]]},"
		  "\"x\"],"
		  "\"e\":{\"f\":{\"g\":\"\\u00e4\"},\"h\":[{}]},\"\":0,\"a\":1"),
	    NONE),

	ROW("nothing", "", SYNTAX),
	ROW("white space", " \n", SYNTAX),
	ROW("a list", "[]", SYNTAX),
	ROW("a text", "\"user_id\"", SYNTAX),
	ROW("two objects", EVENT("") EVENT(""), SYNTAX),
	ROW("a byte behind it", EVENT("") "x", SYNTAX),
	ROW("a NUL behind it", EVENT("") "\0", SYNTAX),
	ROW("comma at the end", EVENT(","), SYNTAX),
	ROW("comma at the start", "{,\"user_id\":\"u\",\"event_type\":\"t\"}", SYNTAX),
	ROW("no comma", "{\"user_id\":\"u\" \"event_type\":\"t\"}", SYNTAX),
	ROW("no colon", "{\"user_id\" \"u\",\"event_type\":\"t\"}", SYNTAX),
	ROW("no value", "{\"user_id\":,\"event_type\":\"t\"}", SYNTAX),
	ROW("bare key", "{user_id:\"u\",\"event_type\":\"t\"}", SYNTAX),
	ROW("single quotes", "{'user_id':'u','event_type':'t'}", SYNTAX),
	ROW("byte order mark", "\xef\xbb\xbf" EVENT(""), SYNTAX),
	ROW("a comment", EVENT("/* */"), SYNTAX),
	ROW("NaN", PAIRS("\"a\":NaN"), SYNTAX),
	ROW("True", PAIRS("\"a\":True"), SYNTAX),
	ROW("half a word", PAIRS("\"a\":nul"), SYNTAX),
	ROW("half a word elsewhere", EVENT(",\"a\":tru"), SYNTAX),
	ROW("leading zero", PAIRS("\"a\":01"), SYNTAX),
	ROW("leading plus", PAIRS("\"a\":+1"), SYNTAX),
	ROW("point at the end", PAIRS("\"a\":1."), SYNTAX),
	ROW("point at the start", PAIRS("\"a\":.5"), SYNTAX),
	ROW("exponent without digits", PAIRS("\"a\":1e"), SYNTAX),
	ROW("minus alone", PAIRS("\"a\":-"), SYNTAX),
	ROW("hexadecimal", PAIRS("\"a\":0x10"), SYNTAX),
	ROW("unknown field with a list that does not end", EVENT(",\"a\":[1"), SYNTAX),
	ROW("brackets that cross", EVENT(",\"a\":[{]}"), SYNTAX),
	ROW("comma at the end of a list", EVENT(",\"a\":[1,]"), SYNTAX),
	ROW("comma alone in a list", EVENT(",\"a\":[,]"), SYNTAX),
	ROW("64 containers inside each other",
	    EVENT(",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
		  "[[["
		  "0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
	    NONE),
	ROW("65 containers inside each other",
	    EVENT(",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
		  "[[[["
		  "[0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
		  "]"),
	    SYNTAX),
	ROW("unknown escape", USER("\"\\x41\""), SYNTAX),
	ROW("escape of two digits", USER("\"\\u41\""), SYNTAX),
	ROW("escape that is no number", USER("\"\\u00g0\""), SYNTAX),
	ROW("text that does not end", "{\"user_id\":\"u", SYNTAX),
	ROW("text that ends in a backslash", "{\"user_id\":\"u\\", SYNTAX),

	ROW("user of 1", USER("\"u\""), NONE),
	ROW("user of 128", USER("\"" X128 "\""), NONE),
	ROW("user of 128 by escapes",
	    USER("\"" X64 X16 X16 X16 "xxxxxxxxxxxxx\\u20ac\""), NONE),
	ROW("user of 129", USER("\"" X128 "x\""), USER),
	ROW("user of 129 by escapes",
	    USER("\"" X64 X16 X16 X16 "xxxxxxxxxxxxxx\\u20ac\""), USER),
	ROW("user empty", USER("\"\""), USER),
	ROW("user null", USER("null"), USER),
	ROW("user missing", "{\"event_type\":\"t\"}", USER),
	ROW("empty object", "{}", USER),
	ROW("user a number", USER("7"), FIELD_TYPE),
	ROW("user a list", USER("[\"u\"]"), FIELD_TYPE),
	ROW("user twice", EVENT(",\"user_id\":\"u\""), DUPLICATE_KEY),
	ROW("user twice, one escaped", EVENT(",\"user\\u005fid\":\"v\""),
	    DUPLICATE_KEY),
	ROW("user null and then not",
	    "{\"user_id\":null,\"event_type\":\"t\",\"user_id\":\"u\"}", DUPLICATE_KEY),
	ROW("user with a raw NUL", USER("\"a\0b\""), CONTROL),
	ROW("user with an escaped NUL", USER("\"a\\u0000b\""), CONTROL),
	ROW("user with a raw newline", USER("\"a\nb\""), CONTROL),
	ROW("user with an escaped newline", USER("\"a\\nb\""), CONTROL),
	ROW("user with a tab", USER("\"a\\tb\""), CONTROL),
	ROW("user with DEL", USER("\"a\x7f\""), CONTROL),
	ROW("user with an escaped DEL", USER("\"a\\u007f\""), CONTROL),
	ROW("user beyond ASCII", USER("\"\xc3\xa4" EURO "\xf0\x9f\x98\x80\""), NONE),
	ROW("user beyond ASCII by escapes", USER("\"\\u00e4\\u20ac\\ud83d\\ude00\""),
	    NONE),
	ROW("the last character there is", USER("\"\xf4\x8f\xbf\xbf\""), NONE),
	ROW("one beyond it", USER("\"\xf4\x90\x80\x80\""), UTF8),
	ROW("a byte that never occurs", USER("\"\xff\""), UTF8),
	ROW("a continuation alone", USER("\"\x80\""), UTF8),
	ROW("a character cut short", USER("\"\xe2\x82\""), UTF8),
	ROW("a character cut by a letter", USER("\"\xe2\x82x\""), UTF8),
	ROW("overlong slash", USER("\"\xc0\xaf\""), UTF8),
	ROW("overlong NUL", USER("\"\xc0\x80\""), UTF8),
	ROW("overlong of three bytes", USER("\"\xe0\x9f\xbf\""), UTF8),
	ROW("overlong of four bytes", USER("\"\xf0\x8f\xbf\xbf\""), UTF8),
	ROW("raw high surrogate", USER("\"\xed\xa0\x80\""), UTF8),
	ROW("raw low surrogate", USER("\"\xed\xbf\xbf\""), UTF8),
	ROW("what lies around the surrogates", USER("\"\xed\x9f\xbf\xee\x80\x80\""),
	    NONE),
	ROW("high surrogate alone", USER("\"\\ud83d\""), UTF8),
	ROW("high surrogate and a letter", USER("\"\\ud83dx\""), UTF8),
	ROW("two high surrogates", USER("\"\\ud83d\\ud83d\""), UTF8),
	ROW("low surrogate first", USER("\"\\ude00\\ud83d\""), UTF8),
	ROW("surrogate pair cut", USER("\"\\ud83d\\ude0\""), SYNTAX),
	ROW("bad UTF-8 in a field nobody knows", EVENT(",\"x\":\"\xff\""), UTF8),
	ROW("bad UTF-8 in a key nobody knows", EVENT(",\"\xff\":1"), UTF8),

	ROW("type of 64", "{\"user_id\":\"u\",\"event_type\":\"" X64 "\"}", NONE),
	ROW("type of 65", "{\"user_id\":\"u\",\"event_type\":\"" X64 "x\"}", TYPE),
	ROW("type empty", "{\"user_id\":\"u\",\"event_type\":\"\"}", TYPE),
	ROW("type missing", "{\"user_id\":\"u\"}", TYPE),
	ROW("type null", "{\"user_id\":\"u\",\"event_type\":null}", TYPE),
	ROW("type a boolean", "{\"user_id\":\"u\",\"event_type\":true}", FIELD_TYPE),
	ROW("type with a newline", "{\"user_id\":\"u\",\"event_type\":\"a\\n\"}",
	    CONTROL),
	ROW("type twice", EVENT(",\"event_type\":\"t\""), DUPLICATE_KEY),

	ROW("event id of 64", EVENT(",\"event_id\":\"" X64 "\""), NONE),
	ROW("event id of 65", EVENT(",\"event_id\":\"" X64 "x\""), EVENT_ID),
	ROW("event id empty", EVENT(",\"event_id\":\"\""), EVENT_ID),
	ROW("event id a number", EVENT(",\"event_id\":1"), FIELD_TYPE),
	ROW("event id with NUL", EVENT(",\"event_id\":\"\\u0000\""), CONTROL),
	ROW("event id twice", EVENT(",\"event_id\":\"a\",\"event_id\":\"a\""),
	    DUPLICATE_KEY),

	ROW("metadata empty", PAIRS(""), NONE),
	ROW("metadata of every form",
	    PAIRS("\"a\":\"\",\"b\":-0.5e+7,\"c\":true,\"d\":false,\"e\":null,\"f\":0"),
	    NONE),
	ROW("metadata with control characters in a text",
	    PAIRS("\"a\":\"\\u0000\\n\x7f\""), NONE),
	ROW("metadata a list", EVENT(",\"metadata\":[]"), FIELD_TYPE),
	ROW("metadata a text", EVENT(",\"metadata\":\"{}\""), FIELD_TYPE),
	ROW("metadata twice", EVENT(",\"metadata\":{},\"metadata\":{}"), DUPLICATE_KEY),
	ROW("metadata with an object", PAIRS("\"a\":{}"), NESTED),
	ROW("metadata with a list", PAIRS("\"a\":[1]"), NESTED),
	ROW("pair twice", PAIRS("\"a\":1,\"b\":2,\"a\":1"), DUPLICATE_KEY),
	ROW("pair twice, one escaped", PAIRS("\"a\":1,\"\\u0061\":2"), DUPLICATE_KEY),
	ROW("keys that differ in case", PAIRS("\"a\":1,\"A\":2"), NONE),
	ROW("key empty", PAIRS("\"\":1"), PAIRS),
	ROW("key of 64", PAIRS("\"" X64 "\":1"), NONE),
	ROW("key of 65", PAIRS("\"" X64 "x\":1"), PAIRS),
	ROW("key with a newline", PAIRS("\"a\\n\":1"), CONTROL),
	ROW("key that is not UTF-8", PAIRS("\"\xff\":1"), UTF8),
	ROW("text that is not UTF-8", PAIRS("\"a\":\"\xff\""), UTF8),
	ROW("text with a raw newline", PAIRS("\"a\":\"\n\""), CONTROL),
	ROW("comma at the end of metadata", PAIRS("\"a\":1,"), SYNTAX),

	ROW("product of 64", PAIRS("\"product_id\":\"" X64 "\""), NONE),
	ROW("product of 65", PAIRS("\"product_id\":\"" X64 "x\""), PRODUCT),
	ROW("product empty", PAIRS("\"product_id\":\"\""), PRODUCT),
	ROW("product null", PAIRS("\"product_id\":null"), NONE),
	ROW("product a number", PAIRS("\"product_id\":456"), FIELD_TYPE),
	ROW("product true", PAIRS("\"product_id\":true"), FIELD_TYPE),
	ROW("product with a tab", PAIRS("\"product_id\":\"a\\t\""), CONTROL),
	ROW("product twice, one escaped",
	    PAIRS("\"product_id\":\"a\",\"product\\u005fid\":\"b\""), DUPLICATE_KEY),
	ROW("category of 64", PAIRS("\"category\":\"" X64 "\""), NONE),
	ROW("category of 65", PAIRS("\"category\":\"" X64 "x\""), CATEGORY),
	ROW("category empty", PAIRS("\"category\":\"\""), CATEGORY),
	ROW("category null", PAIRS("\"category\":null"), NONE),
	ROW("category false", PAIRS("\"category\":false"), FIELD_TYPE),
	ROW("category with DEL", PAIRS("\"category\":\"\x7f\""), CONTROL),

	ROW("price", PAIRS("\"price\":19.99"), NONE),
	ROW("price 0", PAIRS("\"price\":0"), NONE),
	ROW("price with an exponent", PAIRS("\"price\":1.5E-3"), NONE),
	ROW("price below zero", PAIRS("\"price\":-5"), NONE),
	ROW("price null", PAIRS("\"price\":null"), NONE),
	ROW("price of 15 digits", PAIRS("\"price\":999999999999999.99"), NONE),
	ROW("price of 16 digits", PAIRS("\"price\":1000000000000000"), NUMBER),
	ROW("price of 16 digits below zero", PAIRS("\"price\":-1000000000000000"),
	    NUMBER),
	ROW("price of 15 by its exponent", PAIRS("\"price\":1e14"), NONE),
	ROW("price of 16 by its exponent", PAIRS("\"price\":1e15"), NUMBER),
	ROW("price 0.1 of 15", PAIRS("\"price\":0.001e17"), NONE),
	ROW("price 0.1 of 16", PAIRS("\"price\":0.001e18"), NUMBER),
	ROW("price beyond any double", PAIRS("\"price\":1e400"), NUMBER),
	ROW("price with an endless exponent",
	    PAIRS("\"price\":1e99999999999999999999999"), NUMBER),
	ROW("price of nothing, enlarged", PAIRS("\"price\":0.00e99999999999"), NONE),
	ROW("price too small to matter", PAIRS("\"price\":1e-99999999999"), NONE),
	ROW("price a text", PAIRS("\"price\":\"19.99\""), NUMBER),
	ROW("price true", PAIRS("\"price\":true"), NUMBER),
	ROW("quantity", PAIRS("\"quantity\":2"), NONE),
	ROW("quantity beyond", PAIRS("\"quantity\":1e15"), NUMBER),
	ROW("quantity a text", PAIRS("\"quantity\":\"2\""), NUMBER),
	ROW("other numbers are carried", PAIRS("\"n\":1e400"), NONE),

	ROW("time in ms", TIME("1705314600000"), NONE),
	ROW("time 0", TIME("0"), NONE),
	ROW("the last ms", TIME("253402300799999"), NONE),
	ROW("one beyond it", TIME("253402300800000"), TIME_RANGE),
	ROW("of 19 digits", TIME("9999999999999999999"), TIME_RANGE),
	ROW("of 40 digits", TIME("9999999999999999999999999999999999999999"),
	    TIME_RANGE),
	ROW("before 1970", TIME("-1"), TIME_RANGE),
	ROW("minus nothing", TIME("-0"), TIMESTAMP),
	ROW("with a fraction", TIME("1705314600000.0"), TIMESTAMP),
	ROW("with an exponent", TIME("1e12"), TIMESTAMP),
	ROW("true", TIME("true"), FIELD_TYPE),
	ROW("a list", TIME("[]"), FIELD_TYPE),
	ROW("time as text", TIME("\"2024-01-15T10:30:00.000\""), NONE),
	ROW("time as text with escapes", TIME("\"2024-01-15T10\\u003a30:00\""), NONE),
	ROW("digits as text", TIME("\"1705314600000\""), TIMESTAMP),
	ROW("empty text", TIME("\"\""), TIMESTAMP),
	ROW("1969 as text", TIME("\"1969-12-31T23:59:59.999Z\""), TIME_RANGE),
	ROW("10000 by its zone", TIME("\"9999-12-31T23:59:59-01:00\""), TIME_RANGE),
	ROW("time twice", EVENT(",\"timestamp\":1,\"timestamp\":1"), DUPLICATE_KEY),
};

static void every_row_gets_its_verdict(void)
{
	bool reached[HR_REJECT_COUNT] = { false };
	struct parsing p = { 0 };

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const enum hr_reject found =
			parsed(&p, HR_CODEC_JSON, rows[i].json, rows[i].n);

		reached[found] = true;
		if (found != rows[i].verdict)
			printf("\n    %s: found %s, expected %s", rows[i].name,
			       hr_reject_rows[found].label,
			       hr_reject_rows[rows[i].verdict].label);
		CU_ASSERT_EQUAL(found, rows[i].verdict);
		CU_ASSERT_TRUE(p.ev.user.n == 0 ||
			       (p.ev.user.n <= HR_USER_MAX && p.ev.user.p != NULL));
	}
	for (int r = HR_REJECT_NONE; r <= HR_REJECT_TIME_RANGE; r++)
		CU_ASSERT_TRUE(reached[r]);
	parsing_free(&p);
}

/* A truncated object is never an event. */
static void no_truncation_of_a_good_event_is_one(void)
{
	struct parsing p = { 0 };

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const char *last = memrchr(rows[i].json, '}', rows[i].n);

		if (rows[i].verdict != HR_REJECT_NONE)
			continue;
		for (size_t n = 0; n < (size_t)(last - rows[i].json); n++)
			CU_ASSERT_NOT_EQUAL(parsed(&p, HR_CODEC_JSON, rows[i].json, n),
					    HR_REJECT_NONE);
	}
	parsing_free(&p);
}

/* Reads nothing outside, loops nowhere, whatever a byte is turned into. */
static void no_changed_byte_of_any_row_breaks_it(void)
{
	static const uint8_t bytes[] = { 0,   '"',  '\\', '{',  '}', '[', ']', ',',
					 ':', 0x80, 0xc3, 0xff, '9', 'u', '\n' };
	struct parsing p = { 0 };
	char room[512];

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		CU_ASSERT_FATAL(rows[i].n <= sizeof(room));
		for (size_t at = 0; at < rows[i].n; at++) {
			for (size_t b = 0; b < sizeof(bytes); b++) {
				memcpy(room, rows[i].json, rows[i].n);
				room[at] = (char)bytes[b];
				if (parsed(&p, HR_CODEC_JSON, room, rows[i].n) ==
				    HR_REJECT_NONE)
					free(rendered(&p.ev, rows[i].n));
			}
		}
	}
	parsing_free(&p);
}

static void fields_come_out_decoded(void)
{
	static const char json[] =
		"{\"user_id\":\"\\u00e4\\/\\\"\\\\\\ud83d\\ude00z\","
		"\"event_type\":\"pur\\u0063hase\",\"event_id\":\"\\u0041b\","
		"\"timestamp\":\"2024-01-15T10\\u003a30:00.5+01:00\",\"metadata\":"
		"{\"product\\u005fid\":\"\\u20ac\",\"category\":\"c\"}}";
	struct parsing p = { 0 };
	struct hr_event *ev = &p.ev;

	CU_ASSERT_EQUAL_FATAL(parsed(&p, HR_CODEC_JSON, json, sizeof(json) - 1),
			      HR_REJECT_NONE);
	CU_ASSERT_TRUE(is_text(ev->user, "\xc3\xa4/\"\\\xf0\x9f\x98\x80z"));
	CU_ASSERT_TRUE(is_text(ev->type, "purchase"));
	CU_ASSERT_EQUAL(ev->type_no, HR_EVENT_PURCHASE);
	CU_ASSERT_TRUE(is_text(ev->id, "Ab"));
	CU_ASSERT_TRUE(is_text(ev->product, EURO));
	CU_ASSERT_TRUE(is_text(ev->category, "c"));
	CU_ASSERT_TRUE(is_text(ev->time_text, "2024-01-15T10:30:00.5+01:00"));
	CU_ASSERT_EQUAL(ev->time_form, HR_TIME_TEXT);
	CU_ASSERT_EQUAL(ev->time_ms, 1705311000500);
	parsing_free(&p);
}

static void an_absent_time_is_the_time_of_receipt(void)
{
	struct parsing p = { 0 };

	CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_JSON, EVENT(""), sizeof(EVENT("")) - 1),
			HR_REJECT_NONE);
	CU_ASSERT_EQUAL(p.ev.time_ms, RECEIVED_MS);
	CU_ASSERT_EQUAL(p.ev.time_form, HR_TIME_ABSENT);
	CU_ASSERT_EQUAL(p.ev.time_text.n, 0);
	parsing_free(&p);
}

static size_t many_pairs(char *out, int n_pairs)
{
	char *at = out + sprintf(out, "{\"user_id\":\"u\",\"event_type\":\"t\","
				      "\"metadata\":{");

	for (int i = 0; i < n_pairs; i++)
		at += sprintf(at, "%s\"key%d\":%d", i > 0 ? "," : "", i, i);
	return (size_t)(at + sprintf(at, "}}") - out);
}

static void sixty_four_pairs_are_taken_and_no_more(void)
{
	char json[2048];
	struct parsing p = { 0 };

	CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_JSON, json, many_pairs(json, 64)),
			HR_REJECT_NONE);
	CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_JSON, json, many_pairs(json, 65)),
			HR_REJECT_PAIRS);
	parsing_free(&p);
}

static void a_number_of_a_thousand_characters_is_taken_and_no_longer(void)
{
	char json[2048];
	struct parsing p = { 0 };

	for (int n = 999; n <= 1001; n++) {
		const int bytes =
			snprintf(json, sizeof(json), PAIRS("\"n\":1%0*d"), n - 1, 7);

		CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_JSON, json, (size_t)bytes),
				n <= HR_NUMBER_MAX ? HR_REJECT_NONE : HR_REJECT_NUMBER);
	}
	parsing_free(&p);
}

static void known_types_have_their_numbers(void)
{
	static const struct {
		const char *type;
		uint8_t no;
	} types[] = {
		{ "product_view", HR_EVENT_PRODUCT_VIEW },
		{ "purchase", HR_EVENT_PURCHASE },
		{ "add_to_cart", HR_EVENT_ADD_TO_CART },
		{ "search", HR_EVENT_SEARCH },
		{ "click", HR_EVENT_CLICK },
		{ "rating", HR_EVENT_RATING },
		{ "product_viex", HR_EVENT_OTHER },
		{ "Purchase", HR_EVENT_OTHER },
		{ "purchases", HR_EVENT_OTHER },
		{ "clock", HR_EVENT_OTHER },
		{ "seerch", HR_EVENT_OTHER },
		{ "add_to_card", HR_EVENT_OTHER },
		{ "x", HR_EVENT_OTHER },
	};
	struct parsing p = { 0 };

	for (size_t i = 0; i < HR_COUNT(types); i++) {
		char json[128];
		const int n = snprintf(json, sizeof(json),
				       "{\"user_id\":\"u\",\"event_type\":\"%s\"}",
				       types[i].type);

		CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_JSON, json, (size_t)n),
				HR_REJECT_NONE);
		CU_ASSERT_EQUAL(p.ev.type_no, types[i].no);
	}
	parsing_free(&p);
}

static struct hr_str peeked(const char *json, size_t n, uint8_t room[256])
{
	struct hr_arena arena = { room, room + 256 };

	return hr_event_peek_user(
		&arena, (struct hr_str){ (const uint8_t *)json, (uint32_t)n });
}

/* Whatever parses has the user that its shard was chosen by. */
static void the_user_that_is_peeked_is_the_one_that_is_parsed(void)
{
	struct parsing p = { 0 };
	uint8_t room[256];

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_str user = peeked(rows[i].json, rows[i].n, room);

		if (parsed(&p, HR_CODEC_JSON, rows[i].json, rows[i].n) !=
		    HR_REJECT_NONE)
			continue;
		CU_ASSERT_TRUE(hr_str_equals(user, p.ev.user));
	}
	parsing_free(&p);
}

static void what_is_no_usable_user_is_not_peeked(void)
{
	static const struct row without[] = {
		ROW("", "{}", NONE),
		ROW("", "{\"user_id\":\"\"}", NONE),
		ROW("", "{\"user_id\":null}", NONE),
		ROW("", "{\"user_id\":7}", NONE),
		ROW("", "{\"user_id\":\"a\\n\"}", NONE),
		ROW("", "{\"user_id\":\"\xff\"}", NONE),
		ROW("", "{\"user_id\":\"" X128 "x\"}", NONE),
		ROW("", "{\"user_id\":\"u", NONE),
		ROW("", "{\"a\":{\"user_id\":\"u\"}}", NONE),
		ROW("", "{\"a\":nil,\"user_id\":\"u\"}", NONE),
		ROW("", "[{\"user_id\":\"u\"}]", NONE),
		ROW("", "", NONE),
	};
	uint8_t room[256];

	for (size_t i = 0; i < HR_COUNT(without); i++)
		CU_ASSERT_EQUAL(peeked(without[i].json, without[i].n, room).n, 0);
	/* Found, though the rest is not an event. */
	CU_ASSERT_EQUAL(peeked("{\"a\":[{}],\"user_id\":\"u\",!", 26, room).n, 1);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every row gets its verdict", every_row_gets_its_verdict },
		{ "no truncation of a good event is one",
		  no_truncation_of_a_good_event_is_one },
		{ "no changed byte of any row breaks it",
		  no_changed_byte_of_any_row_breaks_it },
		{ "fields come out decoded", fields_come_out_decoded },
		{ "an absent time is the time of receipt",
		  an_absent_time_is_the_time_of_receipt },
		{ "64 pairs are taken and no more",
		  sixty_four_pairs_are_taken_and_no_more },
		{ "a number of 1,000 characters is taken and no longer one",
		  a_number_of_a_thousand_characters_is_taken_and_no_longer },
		{ "known types have their numbers", known_types_have_their_numbers },
		{ "the user that is peeked is the one that is parsed",
		  the_user_that_is_peeked_is_the_one_that_is_parsed },
		{ "what is no usable user is not peeked",
		  what_is_no_usable_user_is_not_peeked },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("event from JSON", NULL, NULL, tests);
}
