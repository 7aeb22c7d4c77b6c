/* SPDX-License-Identifier: BSD-3-Clause */

/* tests/data/wire_vectors.txt, row by row: datagrams judged, events parsed and
 * written out. */

#include "dataplane/beacon/beacon.h"
#include "tests/unit/beacon/parsing.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/log/vectors.h"

static struct hr_keyring *ring;
static struct hr_beacon_rules rules;
static uint8_t write_key[HR_WIRE_KEY_BYTES];
static uint32_t n_good, n_refused, n_events, n_rejected;
static bool seen_drop[HR_DROP_COUNT], seen_reject[HR_REJECT_COUNT];

static enum hr_drop drop_by_label(const char *label)
{
	for (int d = HR_DROP_NONE + 1; d < HR_DROP_COUNT; d++)
		if (strcmp(hr_drop_rows[d].label, label) == 0)
			return (enum hr_drop)d;
	return HR_DROP_NONE; /* "ok" */
}

static enum hr_reject reject_by_label(const char *label)
{
	for (int r = HR_REJECT_NONE + 1; r < HR_REJECT_COUNT; r++)
		if (strcmp(hr_reject_rows[r].label, label) == 0)
			return (enum hr_reject)r;
	return HR_REJECT_NONE; /* "ok" */
}

static void take_set(const struct vector_row *row)
{
	struct hr_write_key key = { .id = (uint32_t)vector_number(row, "key_id") };

	vector_unhex(vector_get(row, "key"), key.key);
	memcpy(write_key, key.key, sizeof(write_key));
	CU_ASSERT_EQUAL_FATAL(hr_keyring_new(&ring, &key, 1, NULL), 0);
	rules.keys = ring;
	rules.generation = (uint32_t)vector_number(row, "generation");
	rules.n_shards = (uint16_t)vector_number(row, "shards");
	CU_ASSERT_EQUAL(vector_number(row, "received_ms"), RECEIVED_MS);
}

static void check_header(const struct vector_row *row, const struct hr_wire *w)
{
	uint8_t want[16], key[HR_WIRE_KEY_BYTES];

	CU_ASSERT_EQUAL(w->kind, vector_number(row, "kind"));
	CU_ASSERT_EQUAL(w->codec, vector_number(row, "codec"));
	CU_ASSERT_EQUAL(w->shard, vector_number(row, "shard"));
	CU_ASSERT_EQUAL(w->n_events, vector_number(row, "events"));
	CU_ASSERT_EQUAL(w->birth, vector_number(row, "birth"));
	CU_ASSERT_EQUAL(w->random, vector_number(row, "random"));
	CU_ASSERT_EQUAL(w->sequence, vector_number(row, "sequence"));
	vector_unhex(vector_get(row, "stream_key"), want);
	hr_wire_stream_key(write_key, w->birth, w->random, key);
	CU_ASSERT_EQUAL(memcmp(key, want, sizeof(key)), 0);
}

/* hr_wire_encode() of what was read gives the same bytes. */
static void check_encoder(const struct vector_row *row, const struct hr_wire *w)
{
	uint8_t key[HR_WIRE_KEY_BYTES], out[HR_WIRE_DATAGRAM_MAX];

	hr_wire_stream_key(write_key, w->birth, w->random, key);
	CU_ASSERT_EQUAL_FATAL(hr_wire_encode(w, key, out), row->n_bytes);
	CU_ASSERT_EQUAL(memcmp(out, row->bytes, row->n_bytes), 0);
}

/* Every field of the one row that sets them all to other bytes. */
static void check_every_byte(const struct hr_wire *w)
{
	CU_ASSERT_EQUAL(w->attempt, 0x1b1a1918);
	CU_ASSERT_EQUAL(w->client_drops, 0x1f1e1d1c);
	CU_ASSERT_EQUAL(w->sent_us, 0x2726252423222120);
	CU_ASSERT_EQUAL(w->token, 0x2f2e2d2c2b2a2928);
}

static void judge_datagram(const struct vector_row *row)
{
	const enum hr_drop want = drop_by_label(row->word[1]);
	struct hr_wire w;
	const enum hr_drop found =
		hr_beacon_read(&rules, row->bytes, (uint32_t)row->n_bytes, &w);

	if (found != want)
		printf("\n    %s: found %s", vector_get(row, "name"),
		       hr_drop_rows[found].label);
	CU_ASSERT_EQUAL(found, want);
	CU_ASSERT_TRUE(want != HR_DROP_NONE || strcmp(row->word[1], "ok") == 0);
	seen_drop[found] = true;
	if (want != HR_DROP_NONE) {
		n_refused++;
		return;
	}
	n_good++;
	check_header(row, &w);
	check_encoder(row, &w);
	if (strcmp(vector_get(row, "name"), "every_header_byte") == 0)
		check_every_byte(&w);
}

static void judge_event(const struct vector_row *row)
{
	const enum hr_reject want = reject_by_label(row->word[1]);
	const uint8_t codec = (uint8_t)vector_number(row, "codec");
	const char *hex = vector_get(row, "record");
	struct parsing p = { 0 };
	const enum hr_reject found = parsed(&p, codec, row->bytes, row->n_bytes);
	uint8_t *record;
	char *text;

	if (found != want)
		printf("\n    %s: found %s", vector_get(row, "name"),
		       hr_reject_rows[found].label);
	CU_ASSERT_EQUAL(found, want);
	CU_ASSERT_TRUE(want != HR_REJECT_NONE || strcmp(row->word[1], "ok") == 0);
	seen_reject[found] = true;
	if (found == HR_REJECT_NONE && want == HR_REJECT_NONE) {
		n_events++;
		CU_ASSERT_EQUAL((uint64_t)p.ev.time_ms, vector_number(row, "time_ms"));
		record = calloc(1, strlen(hex) / 2 + 1);
		vector_unhex(hex, record);
		text = rendered(&p.ev, row->n_bytes);
		CU_ASSERT_STRING_EQUAL(text, (char *)record);
		free(text);
		free(record);
	} else {
		n_rejected++;
	}
	parsing_free(&p);
}

static void judge(const struct vector_row *row)
{
	if (strcmp(row->word[0], "set") == 0)
		take_set(row);
	else if (strcmp(row->word[0], "datagram") == 0)
		judge_datagram(row);
	else if (strcmp(row->word[0], "event") == 0)
		judge_event(row);
	else
		CU_FAIL("a row that is not known");
}

static void every_row_gets_its_verdict(void)
{
	CU_ASSERT_TRUE(vectors_walk(judge) > 150);
	CU_ASSERT_TRUE(n_good >= 10 && n_refused >= 50);
	CU_ASSERT_TRUE(n_events >= 30 && n_rejected >= 60);
}

static void every_verdict_is_reached(void)
{
	for (int d = HR_DROP_FRAME_SHORT; d <= HR_DROP_FRAMING; d++)
		CU_ASSERT_TRUE(seen_drop[d] || d == HR_DROP_TOKEN ||
			       d == HR_DROP_NOT_OWNER);
	for (int r = HR_REJECT_NONE; r <= HR_REJECT_TIME_RANGE; r++)
		CU_ASSERT_TRUE(seen_reject[r]);
}

static void try_truncations(const struct vector_row *row)
{
	struct hr_wire w;

	if (strcmp(row->word[0], "datagram") != 0 || strcmp(row->word[1], "ok") != 0)
		return;
	for (size_t n = 0; n < row->n_bytes; n++) {
		uint8_t *exact = malloc(n);
		enum hr_drop drop;

		CU_ASSERT_FATAL(n == 0 || exact != NULL);
		if (n > 0)
			memcpy(exact, row->bytes, n);
		drop = hr_beacon_read(&rules, exact, (uint32_t)n, &w);
		CU_ASSERT_EQUAL(drop,
				n < 96 ? HR_DROP_FRAME_SHORT : HR_DROP_FRAME_LENGTH);
		free(exact);
	}
}

static void every_truncation_is_refused(void)
{
	vectors_walk(try_truncations);
}

static void try_flips(const struct vector_row *row)
{
	struct hr_wire w;

	if (strcmp(row->word[0], "datagram") != 0 || strcmp(row->word[1], "ok") != 0)
		return;
	for (size_t bit = 0; bit < row->n_bytes * 8; bit++) {
		row->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (hr_beacon_read(&rules, row->bytes, (uint32_t)row->n_bytes, &w) ==
		    HR_DROP_NONE)
			CU_FAIL("a datagram with one bit flipped was taken");
		row->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CU_ASSERT_EQUAL(hr_beacon_read(&rules, row->bytes, (uint32_t)row->n_bytes, &w),
			HR_DROP_NONE);
}

static void every_flipped_bit_is_refused(void)
{
	vectors_walk(try_flips);
}

static void free_ring(void)
{
	hr_keyring_free(ring);
	ring = NULL;
	rules.keys = NULL;
}

static void without_keys_nobody_is_known(void)
{
	const struct hr_keyring *keys = rules.keys;
	struct hr_wire w = { 0 };
	uint8_t datagram[128], key[16] = { 0 };
	size_t n;

	w = (struct hr_wire){ .kind = HR_KIND_DATA,
			      .suite = HR_SUITE_SIPHASH,
			      .codec = HR_CODEC_PROTOBUF,
			      .n_events = 1,
			      .birth = 1,
			      .sequence = 1,
			      .n_shards = rules.n_shards,
			      .generation = rules.generation,
			      .payload = HR_STR("\x0a\x00") };
	n = hr_wire_encode(&w, key, datagram);
	rules.keys = NULL;
	CU_ASSERT_EQUAL(hr_beacon_read(&rules, datagram, (uint32_t)n, &w),
			HR_DROP_KEY_UNKNOWN);
	rules.keys = keys;
	free_ring();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every row gets its verdict", every_row_gets_its_verdict },
		{ "every verdict is reached", every_verdict_is_reached },
		{ "every truncation is refused", every_truncation_is_refused },
		{ "every flipped bit is refused", every_flipped_bit_is_refused },
		{ "without keys nobody is known", without_keys_nobody_is_known },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("wire vectors", NULL, NULL, tests);
}
