/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/snapshot/format.h"
#include "dataplane/snapshot/store_file.h"
#include "tests/unit/hr_test.h"

static const struct hr_snapshot_ops *const ops = &hr_snapshot_file;
static const struct hr_data_set set = {
	.id = { { 1 } }, .hash_key = { 2 }, .generation = 1, .n_shards = 2
};
static char folder[64];
static struct hr_snapshot_store *store;
static struct hr_err err;

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/snapshots.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	CU_ASSERT_EQUAL_FATAL(hr_snapshot_folder_open(&store, folder, 2, &err), 0);
}

static void teardown(void)
{
	char command[96];

	ops->close(store);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	CU_ASSERT_EQUAL(system(command), 0);
}

/* One record of the snapshot `name`; the last one is told apart by its index alone. */
static int put(uint16_t shard, uint8_t name, uint32_t index, bool is_last)
{
	const struct hr_id128 id = { { name } };
	uint8_t record[256];
	size_t n = hr_snapshot_chunk_encode(record, &set, shard, &id, index,
					    HR_STR("some bytes"));

	return ops->put(store, shard, &id, record, (uint32_t)n, is_last, 1000, &err);
}

struct seen {
	char names[64]; /* name and index of each record: "a0a1b0" */
	int64_t places[32];
	uint32_t n;
	uint32_t stop_behind; /* records; 0: never */
};

static int see(void *ctx, int64_t place, const uint8_t *bytes, size_t n)
{
	struct hr_snapshot_record record;
	struct seen *s = ctx;

	CU_ASSERT_EQUAL_FATAL(hr_snapshot_record_decode(&record, bytes, n, &err), 0);
	CU_ASSERT_FATAL(s->n < HR_COUNT(s->places));
	if (s->n > 0)
		CU_ASSERT_TRUE(place > s->places[s->n - 1]);
	s->places[s->n] = place;
	s->names[2 * s->n] = (char)record.id.b[0];
	s->names[2 * s->n + 1] = (char)('0' + record.chunk.index);
	return ++s->n == s->stop_behind ? -ECANCELED : 0;
}

static int64_t walk(uint16_t shard, int64_t from, struct seen *seen)
{
	struct hr_snapshot_reach reach;

	memset(seen, 0, sizeof(*seen));
	CU_ASSERT_EQUAL(ops->walk(store, shard, from, 1000, see, seen, &reach, &err),
			0);
	return reach.next;
}

static void put_whole(uint16_t shard, uint8_t name)
{
	CU_ASSERT_EQUAL(put(shard, name, 0, false), 0);
	CU_ASSERT_EQUAL(put(shard, name, 1, false), 0);
	CU_ASSERT_EQUAL(put(shard, name, 2, true), 0);
}

static void what_is_whole_is_found_in_order(void)
{
	struct seen seen;
	int64_t behind;

	put_whole(0, 'a');
	put_whole(1, 'x');
	behind = walk(0, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "a0a1a2");
	put_whole(0, 'b');
	(void)walk(0, behind, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "b0b1b2");
	(void)walk(0, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "a0a1a2b0b1b2");
	(void)walk(0, seen.places[2], &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "a2b0b1b2");
	(void)walk(1, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "x0x1x2");
}

static void what_is_not_whole_is_not_there(void)
{
	struct seen seen;

	CU_ASSERT_EQUAL(put(0, 'a', 0, false), 0);
	CU_ASSERT_EQUAL(put(0, 'a', 1, false), 0);
	(void)walk(0, 0, &seen);
	CU_ASSERT_EQUAL(seen.n, 0);
	ops->close(store); /* as if it had been killed */
	CU_ASSERT_EQUAL_FATAL(hr_snapshot_folder_open(&store, folder, 2, &err), 0);
	put_whole(0, 'b');
	(void)walk(0, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "b0b1b2");
}

static unsigned int names_in(uint16_t shard)
{
	char command[128], text[16] = "";
	FILE *p;

	snprintf(command, sizeof(command), "ls %s/%u | wc -l", folder, shard);
	p = popen(command, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_PTR_NOT_NULL(fgets(text, sizeof(text), p));
	pclose(p);
	return (unsigned int)atoi(text);
}

static void what_was_killed_leaves_no_file_for_long(void)
{
	CU_ASSERT_EQUAL(put(0, 'a', 0, false), 0);
	ops->close(store);
	CU_ASSERT_EQUAL_FATAL(hr_snapshot_folder_open(&store, folder, 2, &err), 0);
	CU_ASSERT_EQUAL(names_in(0), 1);
	put_whole(0, 'b');
	CU_ASSERT_EQUAL(names_in(0), 1);
	CU_ASSERT_EQUAL(put(0, 'c', 0, false), 0);
	ops->abandon(store, 0, &(struct hr_id128){ { 'c' } });
	CU_ASSERT_EQUAL(names_in(0), 1);
	put_whole(0, 'd');
	CU_ASSERT_EQUAL(names_in(0), 2);
}

static void files_before_a_place_are_deleted(void)
{
	struct seen seen;

	put_whole(0, 'a');
	put_whole(0, 'b');
	put_whole(0, 'c');
	(void)walk(0, 0, &seen);
	/* In the middle of b: it stays whole. */
	CU_ASSERT_EQUAL(ops->drop(store, 0, seen.places[4], 1000, &err), 0);
	(void)walk(0, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "b0b1b2c0c1c2");
	CU_ASSERT_EQUAL(ops->drop(store, 0, seen.places[3], 1000, &err), 0);
	put_whole(0, 'd'); /* numbers go on */
	(void)walk(0, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "c0c1c2d0d1d2");
}

static void a_walk_ends_when_told(void)
{
	struct seen seen = { .stop_behind = 2 };
	struct hr_snapshot_reach reach;

	put_whole(0, 'a');
	put_whole(0, 'b');
	CU_ASSERT_EQUAL(ops->walk(store, 0, 0, 1000, see, &seen, &reach, &err),
			-ECANCELED);
	CU_ASSERT_STRING_EQUAL(seen.names, "a0a1");
}

/* A file that is cut hands out what is whole; the manifest that is missing then keeps
 * it from being taken. Files of other names are left alone. */
static void a_file_that_was_cut_hands_out_whole_records(void)
{
	char path[128];
	struct seen seen;

	put_whole(0, 'a');
	snprintf(path, sizeof(path), "%s/0/00000000000000000001.snapshot", folder);
	for (long n = 320; n >= 0; n--) {
		struct stat st;

		CU_ASSERT_EQUAL(stat(path, &st), 0);
		if (n >= st.st_size)
			continue;
		CU_ASSERT_EQUAL(truncate(path, n), 0);
		(void)walk(0, 0, &seen);
		CU_ASSERT_EQUAL(seen.n, n / (st.st_size > 0 ? 80 : 1));
	}
	snprintf(path, sizeof(path), "%s/0/notes.txt", folder);
	fclose(fopen(path, "w"));
	put_whole(0, 'b');
	(void)walk(0, 0, &seen);
	CU_ASSERT_STRING_EQUAL(seen.names, "b0b1b2");
	CU_ASSERT_EQUAL(ops->drop(store, 0, INT64_MAX, 1000, &err), 0);
	CU_ASSERT_EQUAL(names_in(0), 1);
}

static void a_folder_that_cannot_be_made_is_named(void)
{
	struct hr_snapshot_store *none;

	err.text[0] = '\0';
	CU_ASSERT_EQUAL(hr_snapshot_folder_open(&none, "/nowhere/at/all", 2, &err),
			-EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nowhere/at/all"));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what is whole is found, in order", what_is_whole_is_found_in_order },
		{ "what is not whole is not there", what_is_not_whole_is_not_there },
		{ "what was killed leaves no file for long",
		  what_was_killed_leaves_no_file_for_long },
		{ "files before a place are deleted",
		  files_before_a_place_are_deleted },
		{ "a walk ends when told", a_walk_ends_when_told },
		{ "a file that was cut hands out whole records",
		  a_file_that_was_cut_hands_out_whole_records },
		{ "a folder that cannot be made is named",
		  a_folder_that_cannot_be_made_is_named },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("snapshot store on files", setup, teardown, tests);
}
