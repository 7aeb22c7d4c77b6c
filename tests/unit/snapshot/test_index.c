/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "dataplane/snapshot/index.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/snapshot/vectors.h"

static struct hr_snapshot_index ix;
static int64_t place;
static unsigned int n_partitions;

static void check_exist(const struct vector_row *row)
{
	const char *ids = vector_get(row, "ids");
	uint32_t n = 0;

	for (; ids[0] != '\0'; ids += ids[32] == ',' ? 33 : 32) {
		char hex[33] = "";
		struct hr_id128 id;

		memcpy(hex, ids, 32);
		vector_unhex(hex, id.b);
		CU_ASSERT_FATAL(n < ix.n_entries);
		CU_ASSERT_TRUE(hr_id128_equals(&ix.entries[n].id, &id));
		CU_ASSERT_TRUE(ix.entries[n].first < ix.entries[n].last);
		n++;
	}
	CU_ASSERT_EQUAL(ix.n_entries, n);
}

static void check_row(const struct vector_row *row)
{
	if (is_row(row, "set")) {
		read_set(row);
	} else if (is_row(row, "partition")) {
		hr_snapshot_index_fini(&ix);
		hr_snapshot_index_init(&ix, &set, shard);
		place = 0;
		n_partitions++;
	} else if (is_row(row, "message")) {
		CU_ASSERT_EQUAL(
			hr_snapshot_index_take(&ix, place++, row->bytes, row->n_bytes),
			0);
	} else if (is_row(row, "exist")) {
		check_exist(row);
	}
}

static void only_complete_sets_exist(void)
{
	n_partitions = 0;
	vectors_walk(check_row);
	CU_ASSERT_TRUE(n_partitions > 20);
	hr_snapshot_index_fini(&ix);
}

/* ---- sets made here ------------------------------------------------------------- */

/* A whole set of link n; its id begins with `name`. */
static void add(uint64_t n, uint8_t name)
{
	uint8_t image[512], record[1024];
	const struct hr_snapshot_head head = {
		.format = HR_SNAPSHOT_FORMAT,
		.fold_version = HR_FOLD_VERSION,
		.data_set = set.id,
		.generation = set.generation,
		.shard = shard,
		.n = n,
		.hash = { { name } },
		.offset = (int64_t)(10 * n),
		.state_bytes = 16,
	};
	const struct hr_id128 id = { { name } };
	struct hr_snapshot_manifest m = { .n_chunks = 1, .head = head };
	size_t bytes;

	memset(image, name, sizeof(image));
	bytes = hr_snapshot_image_write(image, &head, (struct hr_str){ image, 0 },
					(struct hr_str){ image, 0 }, set.hash_key);
	m.image_bytes = bytes;
	memcpy(m.digest.b, image + bytes - 16, 16);
	bytes = hr_snapshot_chunk_encode(record, &set, shard, &id, 0,
					 (struct hr_str){ image, (uint32_t)bytes });
	CU_ASSERT_EQUAL(hr_snapshot_index_take(&ix, place++, record, bytes), 0);
	bytes = hr_snapshot_manifest_encode(record, &set, shard, &id, &m);
	CU_ASSERT_EQUAL(hr_snapshot_index_take(&ix, place++, record, bytes), 0);
}

static void begin(void)
{
	hr_snapshot_index_init(&ix, &set, shard);
	place = 0;
}

static uint8_t newest_name(uint64_t max_n)
{
	const struct hr_snapshot_entry *e = hr_snapshot_index_newest(&ix, max_n);

	return e == NULL ? 0 : e->id.b[0];
}

static void the_newest_has_the_highest_n_then_the_later_place(void)
{
	begin();
	CU_ASSERT_EQUAL(newest_name(UINT64_MAX), 0);
	add(5, 'a');
	add(9, 'b');
	add(7, 'c'); /* a former owner's, written late */
	add(9, 'd');
	CU_ASSERT_EQUAL(newest_name(UINT64_MAX), 'd');
	CU_ASSERT_EQUAL(newest_name(8), 'c');
	CU_ASSERT_EQUAL(newest_name(7), 'c');
	CU_ASSERT_EQUAL(newest_name(6), 'a');
	CU_ASSERT_EQUAL(newest_name(4), 0);
	hr_snapshot_index_newest(&ix, UINT64_MAX)->is_refused = true;
	CU_ASSERT_EQUAL(newest_name(UINT64_MAX), 'b');
	hr_snapshot_index_fini(&ix);
}

/* The names that are kept, in order; returns the name of the oldest. */
static uint8_t kept_names(const struct hr_snapshot_needs *needs, char *out)
{
	const struct hr_snapshot_entry *oldest;
	bool keep[32];

	CU_ASSERT_FATAL(ix.n_entries <= HR_COUNT(keep));
	oldest = hr_snapshot_index_keep(&ix, needs, keep);
	for (uint32_t i = 0; i < ix.n_entries; i++)
		if (keep[i])
			*out++ = (char)ix.entries[i].id.b[0];
	*out = '\0';
	return oldest == NULL ? 0 : oldest->id.b[0];
}

static void kept_are_two_and_what_others_need(void)
{
	const struct hr_id128 named[] = { { { 'b' } } };
	const struct {
		uint64_t positions[2];
		uint32_t n_positions, n_named;
		const char *kept;
		char oldest;
		bool covers;
	} rows[] = {
		{ { 0 }, 0, 0, "ef", 'e', true },
		{ { 60, 60 }, 2, 0, "ef", 'e', true },
		{ { 60, 39 }, 2, 0, "cef", 'c', true },
		{ { 40, 39 }, 2, 0, "cdef", 'c', true },
		{ { 60, 10 }, 2, 0, "aef", 'a', true },
		{ { 60, 9 }, 2, 0, "ef", 'e', false },
		{ { 60, 0 }, 2, 0, "ef", 'e', false },
		{ { 60, 60 }, 2, 1, "bef", 'b', true },
		{ { 39 }, 1, 1, "bcef", 'b', true },
	};

	begin();
	for (uint8_t i = 0; i < 6; i++)
		add(10 * (i + 1u), (uint8_t)('a' + i));
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const struct hr_snapshot_needs needs = { rows[i].positions,
							 rows[i].n_positions, named,
							 rows[i].n_named };
		char kept[32];

		CU_ASSERT_EQUAL(kept_names(&needs, kept), rows[i].oldest);
		CU_ASSERT_STRING_EQUAL(kept, rows[i].kept);
		CU_ASSERT_EQUAL(hr_snapshot_index_covers(&ix, &needs), rows[i].covers);
	}
	hr_snapshot_index_fini(&ix);
}

static void two_of_the_same_link_are_one(void)
{
	const struct hr_snapshot_needs none = { NULL, 0, NULL, 0 };
	char kept[32];

	begin();
	add(10, 'a');
	add(20, 'b');
	add(20, 'c');
	CU_ASSERT_EQUAL(kept_names(&none, kept), 'a');
	CU_ASSERT_STRING_EQUAL(kept, "ac");
	hr_snapshot_index_fini(&ix);
}

static void the_link_of_the_oldest_kept_stays(void)
{
	const struct hr_snapshot_needs none = { NULL, 0, NULL, 0 };
	bool keep[8];

	begin();
	CU_ASSERT_PTR_NULL(hr_snapshot_index_keep(&ix, &none, keep));
	add(10, 'a');
	add(20, 'b');
	CU_ASSERT_EQUAL(
		hr_snapshot_trim_point(hr_snapshot_index_keep(&ix, &none, keep)), 100);
	hr_snapshot_index_fini(&ix);
}

static void what_was_deleted_is_forgotten(void)
{
	begin();
	add(10, 'a');
	add(20, 'b');
	hr_snapshot_index_forget(&ix, 1); /* its manifest alone is left */
	CU_ASSERT_EQUAL(newest_name(15), 0);
	CU_ASSERT_EQUAL(newest_name(UINT64_MAX), 'b');
	CU_ASSERT_EQUAL(ix.n_entries, 1);
	hr_snapshot_index_fini(&ix);
}

static void many_that_were_killed_leave_room_for_the_next(void)
{
	uint8_t record[256];

	begin();
	for (uint32_t i = 0; i < 3 * HR_SNAPSHOT_OPEN_SETS; i++) {
		struct hr_id128 id = { { 0xff, (uint8_t)i } };
		size_t n = hr_snapshot_chunk_encode(record, &set, shard, &id, 0,
						    HR_STR("12345678"));

		CU_ASSERT_EQUAL(hr_snapshot_index_take(&ix, place++, record, n), 0);
	}
	CU_ASSERT_EQUAL(ix.n_open, HR_SNAPSHOT_OPEN_SETS);
	add(10, 'a');
	CU_ASSERT_EQUAL(newest_name(UINT64_MAX), 'a');
	hr_snapshot_index_fini(&ix);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "only complete sets exist", only_complete_sets_exist },
		{ "the newest has the highest n, then the later place",
		  the_newest_has_the_highest_n_then_the_later_place },
		{ "kept are two, what views go on from, and what is named",
		  kept_are_two_and_what_others_need },
		{ "two of the same link are one", two_of_the_same_link_are_one },
		{ "the link of the oldest kept one stays in the log",
		  the_link_of_the_oldest_kept_stays },
		{ "what was deleted is forgotten", what_was_deleted_is_forgotten },
		{ "many that were killed leave room for the next",
		  many_that_were_killed_leave_room_for_the_next },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("snapshot index", NULL, NULL, tests);
}
