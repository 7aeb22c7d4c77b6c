/* SPDX-License-Identifier: BSD-3-Clause */

/* Protobuf messages that are events, and those that are none: every bound by a row. */

#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"

#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X128 X64 X64

enum {
	USER = 1,
	TYPE,
	ID,
	TIME_MS,
	TIME_TEXT,
	METADATA
};
enum {
	KEY = 1,
	TEXT,
	INTEGER,
	NUMBER,
	BOOL,
	NOTHING
};

/* One event: user "u" and type "t" unless the row says otherwise, then `more`. */
struct row {
	const char *name;
	const char *user, *type; /* NULL: "u", "t"; "-": left out */
	void (*more)(struct message *m);
	enum hr_reject verdict;
};

static void add_pair_text(struct message *m, const char *key, const char *text)
{
	struct message pair = { 0 };

	add_text(&pair, KEY, key);
	add_text(&pair, TEXT, text);
	add_message(m, METADATA, &pair);
}

static void add_pair_integer(struct message *m, const char *key, int64_t v)
{
	struct message pair = { 0 };

	add_text(&pair, KEY, key);
	add_integer(&pair, INTEGER, (uint64_t)v);
	add_message(m, METADATA, &pair);
}

static void add_pair_number(struct message *m, const char *key, const char *number)
{
	struct message pair = { 0 };

	add_text(&pair, KEY, key);
	add_text(&pair, NUMBER, number);
	add_message(m, METADATA, &pair);
}

static void add_pair_word(struct message *m, const char *key, uint32_t field,
			  uint64_t v)
{
	struct message pair = { 0 };

	add_text(&pair, KEY, key);
	add_integer(&pair, field, v);
	add_message(m, METADATA, &pair);
}

static void add_raw(struct message *m, const char *bytes, size_t n)
{
	memcpy(m->bytes + m->n, bytes, n);
	m->n += (uint32_t)n;
}

#define MORE(name, ...)                                                                \
	static void name(struct message *m)                                            \
	{                                                                              \
		__VA_ARGS__;                                                           \
	}
#define RAW(m, bytes) add_raw((m), (bytes), sizeof(bytes) - 1)

MORE(nothing_more, (void)m)
MORE(id_64, add_text(m, ID, X64))
MORE(id_65, add_text(m, ID, X64 "x"))
MORE(id_empty, add_text(m, ID, ""))
MORE(id_nul, add_bytes(m, ID, "a\0", 2))
MORE(id_twice, add_text(m, ID, "a"); add_text(m, ID, "a"))
MORE(id_varint, add_integer(m, ID, 1))
MORE(user_twice, add_text(m, USER, "u"))
MORE(type_twice, add_text(m, TYPE, "t"))
MORE(user_varint, add_integer(m, USER, 1))
MORE(time_ms, add_integer(m, TIME_MS, 1705314600000))
MORE(time_0, add_integer(m, TIME_MS, 0))
MORE(time_last, add_integer(m, TIME_MS, HR_TIME_MS_MAX))
MORE(time_beyond, add_integer(m, TIME_MS, HR_TIME_MS_MAX + 1))
MORE(time_before, add_integer(m, TIME_MS, (uint64_t)-1))
MORE(time_as_bytes, add_text(m, TIME_MS, "5"))
MORE(time_text, add_text(m, TIME_TEXT, "2024-01-15T10:30:00.000Z"))
MORE(time_text_bad, add_text(m, TIME_TEXT, "2024-01-15"))
MORE(time_text_empty, add_text(m, TIME_TEXT, ""))
MORE(time_text_utf8, add_text(m, TIME_TEXT, "2024-01-15T10:30:00\xff"))
MORE(time_text_1969, add_text(m, TIME_TEXT, "1969-12-31T23:59:59"))
MORE(time_text_varint, add_integer(m, TIME_TEXT, 1))
MORE(time_twice, add_integer(m, TIME_MS, 1);
     add_text(m, TIME_TEXT, "2024-01-15T10:30:00"))
MORE(pairs_of_every_form, add_pair_text(m, "a", "");
     add_pair_integer(m, "b", INT64_MIN); add_pair_number(m, "c", "-0.5e+7");
     add_pair_word(m, "d", BOOL, 1); add_pair_word(m, "e", BOOL, 0);
     add_pair_word(m, "f", NOTHING, 1); add_pair_word(m, "g", BOOL, 7))
MORE(pairs_between_fields, add_pair_text(m, "a", "1"); add_text(m, ID, "i");
     add_text(m, 7, "later"); add_pair_text(m, "b", "2"); add_integer(m, 8, 1))
MORE(pair_control, add_pair_text(m, "a", "\n\x7f"))
MORE(pair_twice, add_pair_text(m, "a", "1"); add_pair_integer(m, "a", 1))
MORE(pair_null_false, add_pair_word(m, "a", NOTHING, 0))
MORE(pair_no_value, RAW(m, "\x32\x03\x0a\x01"
			   "a"))
MORE(pair_no_key, RAW(m, "\x32\x03\x12\x01"
			 "a"))
MORE(pair_empty, RAW(m, "\x32\x00"))
MORE(pair_two_keys, RAW(m, "\x32\x08\x0a\x01"
			   "a\x0a\x01"
			   "a\x18\x01"))
MORE(pair_two_values, RAW(m, "\x32\x07\x0a\x01"
			     "a\x18\x01\x28\x01"))
MORE(pair_value_first, RAW(m, "\x32\x05\x18\x05\x0a\x01"
			      "a"))
MORE(pair_later_field, RAW(m, "\x32\x08\x0a\x01"
			      "a\x3a\x01z\x18\x05"))
MORE(pair_key_varint, RAW(m, "\x32\x02\x08\x01"))
MORE(pair_cut, RAW(m, "\x32\x03\x0a\x05"
		      "a"))
MORE(pair_longer_than_event, RAW(m, "\x32\x09\x0a\x01"
				    "a\x18\x01"))
MORE(key_empty, add_pair_text(m, "", "x"))
MORE(key_64, add_pair_text(m, X64, "x"))
MORE(key_65, add_pair_text(m, X64 "x", "x"))
MORE(key_control, add_pair_text(m, "a\n", "x"))
MORE(key_utf8, add_pair_text(m, "\xff", "x"))
MORE(text_utf8, add_pair_text(m, "a", "\xed\xa0\x80"))
MORE(metadata_varint, add_integer(m, METADATA, 0))
MORE(product_64, add_pair_text(m, "product_id", X64))
MORE(product_65, add_pair_text(m, "product_id", X64 "x"))
MORE(product_empty, add_pair_text(m, "product_id", ""))
MORE(product_integer, add_pair_integer(m, "product_id", 456))
MORE(product_number, add_pair_number(m, "product_id", "456"))
MORE(product_true, add_pair_word(m, "product_id", BOOL, 1))
MORE(product_null, add_pair_word(m, "product_id", NOTHING, 1))
MORE(product_tab, add_pair_text(m, "product_id", "a\t"))
MORE(category_64, add_pair_text(m, "category", X64))
MORE(category_65, add_pair_text(m, "category", X64 "x"))
MORE(category_empty, add_pair_text(m, "category", ""))
MORE(price, add_pair_number(m, "price", "19.99"))
MORE(price_integer, add_pair_integer(m, "price", 999999999999999))
MORE(price_large, add_pair_integer(m, "price", 1000000000000000))
MORE(price_small, add_pair_integer(m, "price", -1000000000000000))
MORE(price_exponent, add_pair_number(m, "price", "1e400"))
MORE(price_text, add_pair_text(m, "price", "19.99"))
MORE(price_false, add_pair_word(m, "price", BOOL, 0))
MORE(price_null, add_pair_word(m, "price", NOTHING, 1))
MORE(quantity, add_pair_integer(m, "quantity", 2))
MORE(quantity_text, add_pair_text(m, "quantity", "2"))
MORE(number_no_number, add_pair_number(m, "n", "1.5 "))
MORE(number_empty, add_pair_number(m, "n", ""))
MORE(number_nan, add_pair_number(m, "n", "NaN"))
MORE(number_carried, add_pair_number(m, "n", "1e400"))
MORE(later_fields, add_integer(m, 7, 1); add_text(m, 8, "x");
     RAW(m, "\x49\1\2\3\4\5\6\7\x8\x55\1\2\3\4"); add_text(m, 0x1fffffff, "x"))
MORE(later_field_cut, RAW(m, "\x49\1\2\3\4\5\6\7"))
MORE(group, RAW(m, "\x3b\x3c"))
MORE(field_0, RAW(m, "\x02\x01x"))
MORE(wire_type_6, RAW(m, "\x3e\x01"))
MORE(tag_beyond_32_bits, RAW(m, "\xff\xff\xff\xff\x7f\x01"))
MORE(length_beyond, RAW(m, "\x3a\x7f"))
MORE(length_of_64_bits, RAW(m, "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
MORE(varint_of_11, RAW(m, "\x38\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"))
MORE(varint_beyond_64_bits, RAW(m, "\x38\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"))
MORE(varint_cut, RAW(m, "\x38\x80"))
MORE(tag_alone, RAW(m, "\x1a"))
MORE(longer_than_needed, RAW(m, "\x9a\x80\x00\x81\x00"
				"i"))

static const struct row rows[] = {
	{ "bare", NULL, NULL, nothing_more, HR_REJECT_NONE },
	{ "user of 128", X128, NULL, nothing_more, HR_REJECT_NONE },
	{ "user of 129", X128 "x", NULL, nothing_more, HR_REJECT_USER },
	{ "user empty", "", NULL, nothing_more, HR_REJECT_USER },
	{ "user missing", "-", NULL, nothing_more, HR_REJECT_USER },
	{ "user with a newline", "a\n", NULL, nothing_more, HR_REJECT_CONTROL },
	{ "user with DEL", "a\x7f", NULL, nothing_more, HR_REJECT_CONTROL },
	{ "user with ESC behind 32 bytes", X64 "\x1b", NULL, nothing_more,
	  HR_REJECT_CONTROL },
	{ "user beyond ASCII", "\xc3\xa4\xf4\x8f\xbf\xbf", NULL, nothing_more,
	  HR_REJECT_NONE },
	{ "user overlong", "\xc0\xaf", NULL, nothing_more, HR_REJECT_UTF8 },
	{ "user a surrogate", "\xed\xa0\x80", NULL, nothing_more, HR_REJECT_UTF8 },
	{ "user beyond Unicode", "\xf4\x90\x80\x80", NULL, nothing_more,
	  HR_REJECT_UTF8 },
	{ "user cut", "x\xe2\x82", NULL, nothing_more, HR_REJECT_UTF8 },
	{ "user twice", NULL, NULL, user_twice, HR_REJECT_DUPLICATE_KEY },
	{ "user an integer", "-", NULL, user_varint, HR_REJECT_FIELD_TYPE },
	{ "type of 64", NULL, X64, nothing_more, HR_REJECT_NONE },
	{ "type of 65", NULL, X64 "x", nothing_more, HR_REJECT_TYPE },
	{ "type empty", NULL, "", nothing_more, HR_REJECT_TYPE },
	{ "type missing", NULL, "-", nothing_more, HR_REJECT_TYPE },
	{ "type twice", NULL, NULL, type_twice, HR_REJECT_DUPLICATE_KEY },
	{ "both missing", "-", "-", nothing_more, HR_REJECT_USER },
	{ "id of 64", NULL, NULL, id_64, HR_REJECT_NONE },
	{ "id of 65", NULL, NULL, id_65, HR_REJECT_EVENT_ID },
	{ "id empty", NULL, NULL, id_empty, HR_REJECT_EVENT_ID },
	{ "id with NUL", NULL, NULL, id_nul, HR_REJECT_CONTROL },
	{ "id twice", NULL, NULL, id_twice, HR_REJECT_DUPLICATE_KEY },
	{ "id an integer", NULL, NULL, id_varint, HR_REJECT_FIELD_TYPE },
	{ "time in ms", NULL, NULL, time_ms, HR_REJECT_NONE },
	{ "time 0", NULL, NULL, time_0, HR_REJECT_NONE },
	{ "the last ms", NULL, NULL, time_last, HR_REJECT_NONE },
	{ "one beyond it", NULL, NULL, time_beyond, HR_REJECT_TIME_RANGE },
	{ "before 1970", NULL, NULL, time_before, HR_REJECT_TIME_RANGE },
	{ "ms as bytes", NULL, NULL, time_as_bytes, HR_REJECT_FIELD_TYPE },
	{ "time as text", NULL, NULL, time_text, HR_REJECT_NONE },
	{ "time that is none", NULL, NULL, time_text_bad, HR_REJECT_TIMESTAMP },
	{ "time empty", NULL, NULL, time_text_empty, HR_REJECT_TIMESTAMP },
	{ "time not UTF-8", NULL, NULL, time_text_utf8, HR_REJECT_UTF8 },
	{ "1969 as text", NULL, NULL, time_text_1969, HR_REJECT_TIME_RANGE },
	{ "time text an integer", NULL, NULL, time_text_varint, HR_REJECT_FIELD_TYPE },
	{ "time twice", NULL, NULL, time_twice, HR_REJECT_DUPLICATE_KEY },
	{ "pairs of every form", NULL, NULL, pairs_of_every_form, HR_REJECT_NONE },
	{ "pairs between fields", NULL, NULL, pairs_between_fields, HR_REJECT_NONE },
	{ "text with control characters", NULL, NULL, pair_control, HR_REJECT_NONE },
	{ "pair twice", NULL, NULL, pair_twice, HR_REJECT_DUPLICATE_KEY },
	{ "null that is not", NULL, NULL, pair_null_false, HR_REJECT_FIELD_TYPE },
	{ "pair without a value", NULL, NULL, pair_no_value, HR_REJECT_FIELD_TYPE },
	{ "pair without a key", NULL, NULL, pair_no_key, HR_REJECT_PAIRS },
	{ "pair empty", NULL, NULL, pair_empty, HR_REJECT_PAIRS },
	{ "pair with two keys", NULL, NULL, pair_two_keys, HR_REJECT_DUPLICATE_KEY },
	{ "pair with two values", NULL, NULL, pair_two_values,
	  HR_REJECT_DUPLICATE_KEY },
	{ "pair, value first", NULL, NULL, pair_value_first, HR_REJECT_NONE },
	{ "pair with a later field", NULL, NULL, pair_later_field, HR_REJECT_NONE },
	{ "key an integer", NULL, NULL, pair_key_varint, HR_REJECT_FIELD_TYPE },
	{ "pair cut", NULL, NULL, pair_cut, HR_REJECT_SYNTAX },
	{ "pair longer than event", NULL, NULL, pair_longer_than_event,
	  HR_REJECT_SYNTAX },
	{ "key empty", NULL, NULL, key_empty, HR_REJECT_PAIRS },
	{ "key of 64", NULL, NULL, key_64, HR_REJECT_NONE },
	{ "key of 65", NULL, NULL, key_65, HR_REJECT_PAIRS },
	{ "key with a newline", NULL, NULL, key_control, HR_REJECT_CONTROL },
	{ "key not UTF-8", NULL, NULL, key_utf8, HR_REJECT_UTF8 },
	{ "text not UTF-8", NULL, NULL, text_utf8, HR_REJECT_UTF8 },
	{ "metadata an integer", NULL, NULL, metadata_varint, HR_REJECT_FIELD_TYPE },
	{ "product of 64", NULL, NULL, product_64, HR_REJECT_NONE },
	{ "product of 65", NULL, NULL, product_65, HR_REJECT_PRODUCT },
	{ "product empty", NULL, NULL, product_empty, HR_REJECT_PRODUCT },
	{ "product an integer", NULL, NULL, product_integer, HR_REJECT_FIELD_TYPE },
	{ "product a number", NULL, NULL, product_number, HR_REJECT_FIELD_TYPE },
	{ "product true", NULL, NULL, product_true, HR_REJECT_FIELD_TYPE },
	{ "product null", NULL, NULL, product_null, HR_REJECT_NONE },
	{ "product with a tab", NULL, NULL, product_tab, HR_REJECT_CONTROL },
	{ "category of 64", NULL, NULL, category_64, HR_REJECT_NONE },
	{ "category of 65", NULL, NULL, category_65, HR_REJECT_CATEGORY },
	{ "category empty", NULL, NULL, category_empty, HR_REJECT_CATEGORY },
	{ "price", NULL, NULL, price, HR_REJECT_NONE },
	{ "price of 15 digits", NULL, NULL, price_integer, HR_REJECT_NONE },
	{ "price of 16 digits", NULL, NULL, price_large, HR_REJECT_NUMBER },
	{ "price of 16 below zero", NULL, NULL, price_small, HR_REJECT_NUMBER },
	{ "price beyond any double", NULL, NULL, price_exponent, HR_REJECT_NUMBER },
	{ "price a text", NULL, NULL, price_text, HR_REJECT_NUMBER },
	{ "price false", NULL, NULL, price_false, HR_REJECT_NUMBER },
	{ "price null", NULL, NULL, price_null, HR_REJECT_NONE },
	{ "quantity", NULL, NULL, quantity, HR_REJECT_NONE },
	{ "quantity a text", NULL, NULL, quantity_text, HR_REJECT_NUMBER },
	{ "number with a blank", NULL, NULL, number_no_number, HR_REJECT_NUMBER },
	{ "number empty", NULL, NULL, number_empty, HR_REJECT_NUMBER },
	{ "NaN", NULL, NULL, number_nan, HR_REJECT_NUMBER },
	{ "other numbers are carried", NULL, NULL, number_carried, HR_REJECT_NONE },
	{ "later fields", NULL, NULL, later_fields, HR_REJECT_NONE },
	{ "later field cut", NULL, NULL, later_field_cut, HR_REJECT_SYNTAX },
	{ "a group", NULL, NULL, group, HR_REJECT_SYNTAX },
	{ "field 0", NULL, NULL, field_0, HR_REJECT_SYNTAX },
	{ "wire type 6", NULL, NULL, wire_type_6, HR_REJECT_SYNTAX },
	{ "tag beyond 32 bits", NULL, NULL, tag_beyond_32_bits, HR_REJECT_SYNTAX },
	{ "length beyond the end", NULL, NULL, length_beyond, HR_REJECT_SYNTAX },
	{ "length of 64 bits", NULL, NULL, length_of_64_bits, HR_REJECT_SYNTAX },
	{ "varint of 11 bytes", NULL, NULL, varint_of_11, HR_REJECT_SYNTAX },
	{ "varint beyond 64 bits", NULL, NULL, varint_beyond_64_bits,
	  HR_REJECT_SYNTAX },
	{ "varint cut", NULL, NULL, varint_cut, HR_REJECT_SYNTAX },
	{ "tag alone", NULL, NULL, tag_alone, HR_REJECT_SYNTAX },
	{ "integers longer than needed", NULL, NULL, longer_than_needed,
	  HR_REJECT_NONE },
};

static void build(struct message *m, const struct row *row)
{
	m->n = 0;
	if (row->user == NULL || strcmp(row->user, "-") != 0)
		add_text(m, USER, row->user == NULL ? "u" : row->user);
	if (row->type == NULL || strcmp(row->type, "-") != 0)
		add_text(m, TYPE, row->type == NULL ? "t" : row->type);
	row->more(m);
}

static void every_row_gets_its_verdict(void)
{
	bool reached[HR_REJECT_COUNT] = { false };
	struct parsing p = { 0 };
	struct message m;

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		enum hr_reject found;

		build(&m, &rows[i]);
		found = parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n);
		reached[found] = true;
		if (found != rows[i].verdict)
			printf("\n    %s: found %s, expected %s", rows[i].name,
			       hr_reject_rows[found].label,
			       hr_reject_rows[rows[i].verdict].label);
		CU_ASSERT_EQUAL(found, rows[i].verdict);
	}
	for (int r = HR_REJECT_NONE; r <= HR_REJECT_TIME_RANGE; r++)
		CU_ASSERT_TRUE(reached[r] || r == HR_REJECT_NESTED); /* nothing nests */
	parsing_free(&p);
}

/* What stands in front of a cut between two fields may be an event; nothing else. */
static void truncations_are_refused_or_end_between_fields(void)
{
	struct parsing p = { 0 }, whole = { 0 };
	struct message m;

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		build(&m, &rows[i]);
		if (parsed(&whole, HR_CODEC_PROTOBUF, m.bytes, m.n) != HR_REJECT_NONE)
			continue;
		for (uint32_t n = 0; n < m.n; n++) {
			const enum hr_reject r =
				parsed(&p, HR_CODEC_PROTOBUF, m.bytes, n);

			if (n < 6)
				CU_ASSERT_NOT_EQUAL(r, HR_REJECT_NONE);
			if (r == HR_REJECT_NONE)
				CU_ASSERT_TRUE(hr_str_equals(p.ev.user, whole.ev.user));
		}
	}
	parsing_free(&p);
	parsing_free(&whole);
}

static void no_changed_byte_of_any_row_breaks_it(void)
{
	struct parsing p = { 0 };
	struct message m;

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		build(&m, &rows[i]);
		for (uint32_t at = 0; at < m.n; at++) {
			for (uint32_t bit = 0; bit < 8; bit++) {
				m.bytes[at] ^= (uint8_t)(1u << bit);
				if (parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n) ==
				    HR_REJECT_NONE)
					free(rendered(&p.ev, m.n));
				m.bytes[at] ^= (uint8_t)(1u << bit);
			}
		}
	}
	parsing_free(&p);
}

static void pairs_between_other_fields_are_found(void)
{
	const struct row row = { .more = pairs_between_fields };
	struct parsing p = { 0 };
	struct message m;
	char *record;

	build(&m, &row);
	CU_ASSERT_EQUAL_FATAL(parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n),
			      HR_REJECT_NONE);
	record = rendered(&p.ev, m.n);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(record, "\"metadata\":{\"a\":\"1\",\"b\":\"2\"}"));
	CU_ASSERT_TRUE(is_text(p.ev.id, "i"));
	free(record);
	parsing_free(&p);
}

static void sixty_four_pairs_are_taken_and_no_more(void)
{
	struct parsing p = { 0 };
	struct message m = { 0 };
	char key[16];

	add_text(&m, USER, "u");
	add_text(&m, TYPE, "t");
	for (int i = 0; i < 65; i++) {
		if (i == 64)
			CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n),
					HR_REJECT_NONE);
		snprintf(key, sizeof(key), "key%d", i);
		add_pair_integer(&m, key, i);
	}
	CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n), HR_REJECT_PAIRS);
	parsing_free(&p);
}

static void a_number_of_a_thousand_characters_is_taken_and_no_longer(void)
{
	struct parsing p = { 0 };
	char number[1100];

	for (int n = 999; n <= 1001; n++) {
		struct message m = { 0 };

		snprintf(number, sizeof(number), "1%0*d", n - 1, 7);
		add_text(&m, USER, "u");
		add_text(&m, TYPE, "t");
		add_pair_number(&m, "n", number);
		CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_PROTOBUF, m.bytes, m.n),
				n <= HR_NUMBER_MAX ? HR_REJECT_NONE : HR_REJECT_NUMBER);
	}
	parsing_free(&p);
}

/* The quick test for ASCII loads 32 bytes where it may: an odd one at every place of
 * texts of every length, with much behind it and with nothing. */
static void an_odd_byte_is_seen_at_every_place(void)
{
	static const struct {
		char byte;
		enum hr_reject verdict;
	} odd[] = {
		{ '\x1f', HR_REJECT_CONTROL }, { '\x7f', HR_REJECT_CONTROL },
		{ '\x80', HR_REJECT_UTF8 },    { '\xff', HR_REJECT_UTF8 },
		{ ' ', HR_REJECT_NONE },       { '~', HR_REJECT_NONE },
	};
	struct parsing p = { 0 };

	for (uint32_t n = 1; n <= HR_TYPE_MAX; n++) {
		for (uint32_t at = 0; at < n; at++) {
			for (size_t i = 0; i < HR_COUNT(odd); i++) {
				struct message first = { 0 }, last = { 0 };
				char text[HR_TYPE_MAX];

				memset(text, 'x', n);
				text[at] = odd[i].byte;
				add_bytes(&first, TYPE, text, n);
				add_text(&first, USER, X128);
				add_text(&last, USER, X128);
				add_bytes(&last, TYPE, text, n);
				CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_PROTOBUF,
						       first.bytes, first.n),
						odd[i].verdict);
				CU_ASSERT_EQUAL(parsed(&p, HR_CODEC_PROTOBUF,
						       last.bytes, last.n),
						odd[i].verdict);
			}
		}
	}
	parsing_free(&p);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every row gets its verdict", every_row_gets_its_verdict },
		{ "truncations are refused, or end between two fields",
		  truncations_are_refused_or_end_between_fields },
		{ "no changed byte of any row breaks it",
		  no_changed_byte_of_any_row_breaks_it },
		{ "pairs between other fields are found",
		  pairs_between_other_fields_are_found },
		{ "64 pairs are taken and no more",
		  sixty_four_pairs_are_taken_and_no_more },
		{ "a number of 1,000 characters is taken and no longer one",
		  a_number_of_a_thousand_characters_is_taken_and_no_longer },
		{ "an odd byte is seen at every place",
		  an_odd_byte_is_seen_at_every_place },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("event from protobuf", NULL, NULL, tests);
}
