/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "common/crc32c.h"
#include "dataplane/log/record.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/log/vectors.h"

static const struct {
	const char *word;
	enum hr_verdict verdict;
} verdicts[] = {
	{ "fence", HR_VERDICT_FENCE },
	{ "link", HR_VERDICT_LINK },
	{ "foreign", HR_VERDICT_FOREIGN },
	{ "unknown", HR_VERDICT_UNKNOWN },
	{ "stale-fence", HR_VERDICT_STALE_FENCE },
	{ "not-owner", HR_VERDICT_NOT_OWNER },
	{ "wrong-n", HR_VERDICT_WRONG_N },
	{ "wrong-prev", HR_VERDICT_WRONG_PREV },
	{ "no-config", HR_VERDICT_NO_CONFIG },
	{ "clock", HR_VERDICT_CLOCK },
};

static const struct {
	const char *word;
	int code;
} body_codes[] = {
	{ "ok", 0 },
	{ "bad", -EBADMSG },
	{ "unknown", -ENOTSUP },
};

static struct hr_data_set set;
static struct hr_chain chain;
static unsigned int seen_verdicts[HR_VERDICT_COUNT];
static unsigned int seen_bad;

static void read_set(const struct vector_row *row)
{
	struct hr_record record;
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_record_decode(&record, row->bytes, row->n_bytes, &err),
			      0);
	CU_ASSERT_EQUAL_FATAL(record.type, HR_RECORD_META);
	set = record.meta;
	CU_ASSERT_EQUAL(set.n_shards, vector_number(row, "shards"));
	CU_ASSERT_EQUAL(set.generation, vector_number(row, "generation"));
	CU_ASSERT_STRING_EQUAL(set.log_topic, vector_get(row, "topic"));
}

static void check_hex(const struct hr_id128 *found, const char *hex)
{
	struct hr_id128 want;

	CU_ASSERT_EQUAL_FATAL(strlen(hex), 32);
	vector_unhex(hex, want.b);
	CU_ASSERT_TRUE(hr_id128_equals(found, &want));
}

static void check_body(const struct vector_row *row, const struct hr_link_head *link)
{
	struct hr_body_sum sum;
	struct hr_err err;
	int code = hr_body_check(link->body_kind, link->body, &sum, &err);

	for (size_t i = 0; i < HR_COUNT(body_codes); i++)
		if (strcmp(body_codes[i].word, vector_get(row, "body")) == 0)
			CU_ASSERT_EQUAL(code, body_codes[i].code);
	CU_ASSERT_EQUAL(sum.n_items, vector_number(row, "items"));
	CU_ASSERT_EQUAL(sum.n_events, vector_number(row, "events"));
}

static void check_offer(const struct vector_row *row)
{
	struct hr_record record;
	struct hr_err err;
	enum hr_verdict v;
	int r = hr_record_decode(&record, row->bytes, row->n_bytes, &err);

	if (strcmp(row->word[1], "bad") == 0) {
		seen_bad++;
		CU_ASSERT_EQUAL(r, -EBADMSG);
		return;
	}
	CU_ASSERT_EQUAL_FATAL(r, 0);
	v = hr_chain_offer(&chain, &record);
	seen_verdicts[v]++;
	for (size_t i = 0; i < HR_COUNT(verdicts); i++)
		if (strcmp(verdicts[i].word, row->word[1]) == 0 &&
		    v != verdicts[i].verdict) {
			fprintf(stderr, "%s: %s\n", vector_get(row, "name"),
				hr_verdict_name(v));
			CU_FAIL("a row of the table got another verdict");
		}
	if (v == HR_VERDICT_LINK) {
		CU_ASSERT_EQUAL(chain.n, vector_number(row, "n"));
		check_hex(&chain.hash, vector_get(row, "hash"));
		check_body(row, &record.link);
	} else if (v == HR_VERDICT_FENCE) {
		CU_ASSERT_EQUAL(chain.incarnation, vector_number(row, "incarnation"));
	}
}

static void check_row(const struct vector_row *row)
{
	if (strcmp(row->word[0], "set") == 0) {
		read_set(row);
	} else if (strcmp(row->word[0], "chain") == 0) {
		hr_chain_init(&chain, &set, (uint16_t)vector_number(row, "shard"));
		check_hex(&chain.hash, vector_get(row, "root"));
	} else {
		CU_ASSERT_STRING_EQUAL_FATAL(row->word[0], "offer");
		check_offer(row);
	}
}

static void every_row_of_the_table_gets_its_verdict(void)
{
	CU_ASSERT_TRUE(vectors_walk(check_row) > 100);
	for (int v = 0; v < HR_VERDICT_COUNT; v++)
		CU_ASSERT_TRUE(seen_verdicts[v] > 0);
	CU_ASSERT_TRUE(seen_bad > 20);
}

/* A copy that ends where the bytes end, for the address sanitizer. */
static uint8_t *exactly(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n);

	if (n != 0)
		memcpy(copy, bytes, n);
	return copy;
}

static void no_truncation_is_a_record(const struct vector_row *row)
{
	struct hr_record record;

	if (strcmp(row->word[0], "chain") == 0 || strcmp(row->word[1], "bad") == 0)
		return;
	for (size_t n = 0; n < row->n_bytes; n++) {
		uint8_t *cut = exactly(row->bytes, n);

		CU_ASSERT_EQUAL(hr_record_decode(&record, cut, n, NULL), -EBADMSG);
		free(cut);
	}
}

static void every_truncation_is_refused(void)
{
	CU_ASSERT_TRUE(vectors_walk(no_truncation_is_a_record) > 100);
}

static void no_bit_flip_is_a_record(const struct vector_row *row)
{
	struct hr_record record;

	if (strcmp(row->word[0], "chain") == 0 || strcmp(row->word[1], "bad") == 0)
		return;
	for (size_t bit = 0; bit < row->n_bytes * 8; bit++) {
		row->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT_EQUAL(
			hr_record_decode(&record, row->bytes, row->n_bytes, NULL),
			-EBADMSG);
		row->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void every_bit_flip_is_refused(void)
{
	CU_ASSERT_TRUE(vectors_walk(no_bit_flip_is_a_record) > 100);
}

static void inside_holds(const uint8_t *bytes, size_t n, struct hr_str inner)
{
	CU_ASSERT_TRUE(inner.n == 0 ||
		       (inner.p >= bytes && inner.p + inner.n <= bytes + n));
}

/* With a mended crc the inside has to defend itself: whatever is accepted points
 * into the record, and walking it ends. */
static void inside_defends_itself(const struct vector_row *row)
{
	struct hr_body_sum sum;
	struct hr_record record;
	uint8_t *copy;

	if (strcmp(row->word[0], "chain") == 0 || strcmp(row->word[1], "bad") == 0 ||
	    row->n_bytes > 1000)
		return;
	copy = exactly(row->bytes, row->n_bytes);
	for (size_t bit = 32 * 8; bit < (row->n_bytes - 4) * 8; bit++) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		hr_store32(copy + row->n_bytes - 4, hr_crc32c(copy, row->n_bytes - 4));
		if (hr_record_decode(&record, copy, row->n_bytes, NULL) == 0 &&
		    record.type == HR_RECORD_LINK) {
			inside_holds(copy, row->n_bytes, record.link.body);
			(void)hr_body_check(record.link.body_kind, record.link.body,
					    &sum, NULL);
		}
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(copy);
}

static void flips_under_a_right_crc_stay_inside_the_record(void)
{
	CU_ASSERT_TRUE(vectors_walk(inside_defends_itself) > 100);
}

static void body_at_every_truncation(const struct vector_row *row)
{
	struct hr_body_sum sum;
	struct hr_record record;

	if (strcmp(row->word[0], "offer") != 0 || strcmp(row->word[1], "link") != 0 ||
	    row->n_bytes > 1000)
		return;
	bool was_ok = strcmp(vector_get(row, "body"), "ok") == 0;
	CU_ASSERT_EQUAL_FATAL(hr_record_decode(&record, row->bytes, row->n_bytes, NULL),
			      0);
	for (uint32_t n = 0; n < record.link.body.n; n++) {
		uint8_t *cut = exactly(record.link.body.p, n);
		int r = hr_body_check(record.link.body_kind, (struct hr_str){ cut, n },
				      &sum, NULL);

		CU_ASSERT_TRUE(r == 0 || r == -EBADMSG || r == -ENOTSUP);
		/* Between two items an EPOCH may end; nothing else may. */
		if (r == 0 && was_ok)
			CU_ASSERT_TRUE(record.link.body_kind == HR_BODY_EPOCH &&
				       n % 8 == 0);
		free(cut);
	}
}

static void a_body_cut_anywhere_is_walked_to_its_end_and_no_further(void)
{
	CU_ASSERT_TRUE(vectors_walk(body_at_every_truncation) > 100);
}

static size_t encode_again(uint8_t *out, const struct hr_record *record)
{
	switch (record->type) {
	case HR_RECORD_META:
		return hr_record_encode_meta(out, &record->meta);
	case HR_RECORD_FENCE:
		return hr_record_encode_fence(out, &set, record->shard, &record->fence);
	default:
		return hr_record_encode_link(out, &set, record->shard, &record->link);
	}
}

static void encode_row(const struct vector_row *row)
{
	uint8_t *out = malloc(HR_RECORD_MAX);
	struct hr_record record;

	if (strcmp(row->word[0], "set") == 0)
		read_set(row);
	if (strcmp(row->word[0], "chain") != 0 && strcmp(row->word[1], "bad") != 0 &&
	    strcmp(row->word[1], "foreign") != 0 &&
	    strcmp(row->word[1], "unknown") != 0) {
		CU_ASSERT_EQUAL_FATAL(
			hr_record_decode(&record, row->bytes, row->n_bytes, NULL), 0);
		memset(out, 0xee, HR_RECORD_MAX);
		CU_ASSERT_EQUAL(encode_again(out, &record), row->n_bytes);
		CU_ASSERT_EQUAL(memcmp(out, row->bytes, row->n_bytes), 0);
		CU_ASSERT_EQUAL(out[row->n_bytes], 0xee);
	}
	free(out);
}

static void writing_gives_the_tables_bytes(void)
{
	CU_ASSERT_TRUE(vectors_walk(encode_row) > 100);
}

static struct hr_item full_item(const uint8_t *payload, uint32_t n)
{
	struct hr_item item = {
		.kind = HR_ITEM_DATAGRAM,
		.codec = 2,
		.family = 6,
		.n_events = 0x1234,
		.source_port = 0x5678,
		.flags = 0x9abc,
		.key_id = 0x01020304,
		.client_drops = 0x05060708,
		.birth = 0x1112131415161718,
		.random = 0x2122232425262728,
		.sequence = 0x3132333435363738,
		.sent_us = 0x4142434445464748,
		.received_us = 0x5152535455565758,
		.payload = { payload, n },
	};

	for (uint8_t i = 0; i < sizeof(item.source); i++)
		item.source[i] = (uint8_t)(0x60 + i);
	return item;
}

static void check_same_item(const struct hr_item *a, const struct hr_item *b)
{
	CU_ASSERT_EQUAL(a->kind, b->kind);
	CU_ASSERT_EQUAL(a->codec, b->codec);
	CU_ASSERT_EQUAL(a->family, b->family);
	CU_ASSERT_EQUAL(a->n_events, b->n_events);
	CU_ASSERT_EQUAL(a->source_port, b->source_port);
	CU_ASSERT_EQUAL(a->flags, b->flags);
	CU_ASSERT_EQUAL(a->key_id, b->key_id);
	CU_ASSERT_EQUAL(a->client_drops, b->client_drops);
	CU_ASSERT_EQUAL(a->birth, b->birth);
	CU_ASSERT_EQUAL(a->random, b->random);
	CU_ASSERT_EQUAL(a->sequence, b->sequence);
	CU_ASSERT_EQUAL(memcmp(a->source, b->source, sizeof(a->source)), 0);
	CU_ASSERT_EQUAL(a->sent_us, b->sent_us);
	CU_ASSERT_EQUAL(a->received_us, b->received_us);
	CU_ASSERT_EQUAL(a->what, b->what);
	CU_ASSERT_EQUAL(a->key.n, b->key.n);
}

/* The image of one item, written down by hand from docs/epoch-log.md. */
static void an_item_lies_as_the_document_draws_it(void)
{
	static const uint8_t want[] = {
		1,    0,    2,    6,    83,   0,    0,    0,    /* 0 */
		0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* 8: birth */
		0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* 16: random */
		0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, /* 24: sequence */
		4,    3,    2,    1,    8,    7,    6,    5,    /* 32: key id, drops */
		0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, /* 40: source */
		0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, /* 48 */
		0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0,    0,    /* 56: port, events */
		0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, /* 64: sent */
		0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51, /* 72: received */
		'a',  'b',  'c',  0,    0,    0,    0,    0,    /* 80: payload */
	};
	struct hr_item item = full_item((const uint8_t *)"abc", 3);
	uint8_t out[sizeof(want)];

	CU_ASSERT_EQUAL(hr_item_encode(out, &item), sizeof(want));
	CU_ASSERT_EQUAL(memcmp(out, want, sizeof(want)), 0);
}

static void an_item_comes_back_as_it_went_in_whatever_its_length(void)
{
	uint8_t payload[1472], out[2048];

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + 1);
	for (uint32_t n = 0; n <= sizeof(payload); n++) {
		struct hr_item in = full_item(payload, n), back;
		uint32_t cursor = 0, bytes;

		memset(out, 0xee, sizeof(out));
		bytes = hr_item_encode(out, &in);
		CU_ASSERT_EQUAL(bytes, hr_item_bytes(n));
		CU_ASSERT_EQUAL(out[bytes], 0xee);
		CU_ASSERT_EQUAL_FATAL(
			hr_item_next((struct hr_str){ out, bytes }, &cursor, &back), 1);
		CU_ASSERT_EQUAL(cursor, bytes);
		CU_ASSERT_TRUE(hr_str_equals(back.payload, in.payload));
		check_same_item(&back, &in);
		CU_ASSERT_EQUAL(
			hr_item_next((struct hr_str){ out, bytes }, &cursor, &back), 0);
	}
}

static void the_largest_link_takes_its_record_to_the_byte(void)
{
	uint8_t *out = malloc(HR_RECORD_MAX);
	struct hr_link_head link = {
		.n = 7,
		.body_kind = HR_BODY_EPOCH,
		.body = { out + HR_LINK_HEAD_BYTES, HR_BODY_MAX },
	};
	struct hr_record record;

	memset(out, 0x55, HR_RECORD_MAX);
	CU_ASSERT_EQUAL(hr_record_encode_link(out, &set, 3, &link), HR_RECORD_MAX);
	CU_ASSERT_EQUAL(hr_record_decode(&record, out, HR_RECORD_MAX, NULL), 0);
	CU_ASSERT_EQUAL(record.link.body.n, HR_BODY_MAX);
	CU_ASSERT_EQUAL(record.link.body.p[HR_BODY_MAX - 1], 0x55);
	free(out);
}

static void a_config_comes_back_as_it_went_in(void)
{
	struct hr_chain_config in = { .fold_version = HR_FOLD_VERSION }, back;
	uint8_t out[HR_CHAIN_CONFIG_MAX];
	size_t n;

	for (uint32_t id = 1; id < HR_CHAIN_SETTINGS; id++)
		in.setting[id] = 0x0102030405060700 + id;
	in.pipeline_bytes = HR_PIPELINE_MAX;
	memset(in.pipeline, 'p', sizeof(in.pipeline));
	n = hr_chain_config_encode(out, &in);
	CU_ASSERT_TRUE(n <= sizeof(out));
	CU_ASSERT_EQUAL_FATAL(hr_chain_config_decode(
				      &back, (struct hr_str){ out, (uint32_t)n }, NULL),
			      0);
	CU_ASSERT_EQUAL(back.fold_version, in.fold_version);
	CU_ASSERT_EQUAL(memcmp(in.setting, back.setting, sizeof(in.setting)), 0);
	CU_ASSERT_EQUAL(back.pipeline_bytes, in.pipeline_bytes);
	CU_ASSERT_EQUAL(memcmp(in.pipeline, back.pipeline, sizeof(in.pipeline)), 0);
}

static void the_hash_covers_the_link_and_not_its_owner(void)
{
	uint8_t body[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct hr_link_head a = {
		.n = 2, .clock_us = 3, .body_kind = HR_BODY_EPOCH, .body = { body, 8 }
	};
	struct hr_link_head b = a;
	struct hr_data_set other = set;
	struct hr_id128 want, found;

	hr_link_hash(&set, 1, &a, &want);
	memset(&b.owner, 9, sizeof(b.owner));
	hr_link_hash(&set, 1, &b, &found);
	CU_ASSERT_TRUE(hr_id128_equals(&want, &found));
#define DIFFERS(what, undo)                                                            \
	do {                                                                           \
		what;                                                                  \
		hr_link_hash(&other, shard, &b, &found);                               \
		CU_ASSERT_FALSE(hr_id128_equals(&want, &found));                       \
		undo;                                                                  \
	} while (0)
	uint16_t shard = 1;
	DIFFERS(shard = 2, shard = 1);
	DIFFERS(other.generation++, other.generation--);
	DIFFERS(other.hash_key[15] ^= 1, other.hash_key[15] ^= 1);
	DIFFERS(b.n++, b.n--);
	DIFFERS(b.clock_us++, b.clock_us--);
	DIFFERS(b.prev_hash.b[0] ^= 1, b.prev_hash.b[0] ^= 1);
	DIFFERS(b.body_kind = HR_BODY_LOSS, b.body_kind = HR_BODY_EPOCH);
	DIFFERS(b.body.n = 7, b.body.n = 8);
	DIFFERS(body[7] ^= 1, body[7] ^= 1);
#undef DIFFERS
	hr_link_hash(&other, shard, &b, &found);
	CU_ASSERT_TRUE(hr_id128_equals(&want, &found));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every row of the table gets its verdict",
		  every_row_of_the_table_gets_its_verdict },
		{ "every truncation is refused", every_truncation_is_refused },
		{ "every bit flip is refused", every_bit_flip_is_refused },
		{ "flips under a right crc stay inside the record",
		  flips_under_a_right_crc_stay_inside_the_record },
		{ "a body cut anywhere is walked to its end and no further",
		  a_body_cut_anywhere_is_walked_to_its_end_and_no_further },
		{ "writing gives the table's bytes", writing_gives_the_tables_bytes },
		{ "an item lies as the document draws it",
		  an_item_lies_as_the_document_draws_it },
		{ "an item comes back as it went in, whatever its length",
		  an_item_comes_back_as_it_went_in_whatever_its_length },
		{ "the largest link takes its record to the byte",
		  the_largest_link_takes_its_record_to_the_byte },
		{ "a config comes back as it went in",
		  a_config_comes_back_as_it_went_in },
		{ "the hash covers the link and not its owner",
		  the_hash_covers_the_link_and_not_its_owner },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("record", NULL, NULL, tests);
}
