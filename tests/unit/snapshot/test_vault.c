/* SPDX-License-Identifier: BSD-3-Clause */

/* The vault over a real folder: what is written is found, loaded and tidied. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/snapshot/marks.h"
#include "dataplane/snapshot/store_file.h"
#include "dataplane/snapshot/vault.h"
#include "tests/unit/hr_test.h"

#define STATE_BYTES (2u * HR_SNAPSHOT_CHUNK_BYTES + 1000u) /* three chunks */

static const struct hr_data_set set = {
	.id = { { 1 } }, .hash_key = { 2 }, .generation = 1, .n_shards = 2
};
static char folder[64];
static struct hr_snapshot_store *store;
static struct hr_vault vault;
static struct hr_err err;

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/snapshots.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	CU_ASSERT_EQUAL_FATAL(hr_snapshot_folder_open(&store, folder, 2, &err), 0);
	hr_vault_init(&vault, &hr_snapshot_file, store, &set, 1, 1000);
}

static void teardown(void)
{
	char command[96];

	hr_vault_fini(&vault);
	hr_snapshot_file.close(store);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	CU_ASSERT_EQUAL(system(command), 0);
}

static uint8_t *image_of(uint64_t n, size_t *bytes)
{
	const struct hr_snapshot_head head = {
		.format = HR_SNAPSHOT_FORMAT,
		.fold_version = HR_FOLD_VERSION,
		.data_set = set.id,
		.generation = set.generation,
		.shard = 1,
		.n = n,
		.hash = { { (uint8_t)n } },
		.offset = (int64_t)(2 * n),
		.state_bytes = STATE_BYTES,
	};
	uint8_t *image = malloc(hr_snapshot_image_bytes(0, STATE_BYTES, 0));

	for (uint32_t i = 0; i < STATE_BYTES; i++)
		image[hr_snapshot_state_at(0) + i] = (uint8_t)(n + i / 7);
	*bytes = hr_snapshot_image_write(image, &head, (struct hr_str){ NULL, 0 },
					 (struct hr_str){ NULL, 0 }, set.hash_key);
	return image;
}

static int write_one(uint64_t n)
{
	size_t bytes;
	uint8_t *image = image_of(n, &bytes);
	int r = hr_vault_write(&vault, image, bytes, &err);

	free(image);
	return r;
}

static void check_loaded(uint64_t n, uint64_t max_n)
{
	size_t bytes, want_bytes;
	uint8_t *image, *want = image_of(n, &want_bytes);
	struct hr_snapshot_entry *e = hr_snapshot_index_newest(&vault.index, max_n);

	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	CU_ASSERT_EQUAL_FATAL(hr_vault_load(&vault, e, &image, &bytes, &err), 0);
	CU_ASSERT_EQUAL_FATAL(bytes, want_bytes);
	CU_ASSERT_EQUAL(memcmp(image, want, bytes), 0);
	free(image);
	free(want);
}

static void what_is_written_is_found_and_loaded(void)
{
	struct hr_vault other;

	CU_ASSERT_EQUAL(write_one(5), 0);
	CU_ASSERT_EQUAL(write_one(8), 0);
	CU_ASSERT_EQUAL(vault.index.n_entries, 2);
	CU_ASSERT_EQUAL(vault.index.entries[0].manifest.n_chunks, 3);
	check_loaded(8, UINT64_MAX);
	check_loaded(5, 7);
	/* And by somebody who comes later. */
	hr_vault_init(&other, &hr_snapshot_file, store, &set, 1, 1000);
	CU_ASSERT_EQUAL(hr_vault_refresh(&other, &err), 0);
	CU_ASSERT_EQUAL(other.index.n_entries, 2);
	hr_vault_fini(&other);
}

static bool not_the_third(void *ctx)
{
	return ++*(int *)ctx < 3;
}

static void what_is_given_up_does_not_exist(void)
{
	int n_puts = 0;

	vault.between = not_the_third;
	vault.ctx = &n_puts;
	CU_ASSERT_EQUAL(write_one(5), -ECANCELED);
	vault.between = NULL;
	CU_ASSERT_EQUAL(hr_vault_refresh(&vault, &err), 0);
	CU_ASSERT_EQUAL(vault.index.n_entries, 0);
	CU_ASSERT_EQUAL(write_one(6), 0);
	CU_ASSERT_EQUAL(vault.index.n_entries, 1);
}

static void what_nobody_needs_is_deleted(void)
{
	const struct hr_snapshot_needs none = { NULL, 0, NULL, 0 };

	for (uint64_t n = 1; n <= 5; n++)
		CU_ASSERT_EQUAL(write_one(n), 0);
	CU_ASSERT_EQUAL(hr_vault_tidy(&vault, &none, &err), 0);
	CU_ASSERT_EQUAL(vault.index.n_entries, 2);
	check_loaded(5, UINT64_MAX);
	check_loaded(4, 4);
	CU_ASSERT_EQUAL(hr_vault_tidy(&vault, &none, &err), 0);
	CU_ASSERT_EQUAL(vault.index.n_entries, 2);
}

/* Two owners in turn: what the one deleted the other must not count on. */
static void what_another_deleted_is_forgotten(void)
{
	const uint64_t position = 3;
	const struct hr_snapshot_needs needs = { &position, 1, NULL, 0 };
	const struct hr_snapshot_needs none = { NULL, 0, NULL, 0 };
	struct hr_vault other;

	for (uint64_t n = 1; n <= 5; n++)
		CU_ASSERT_EQUAL(write_one(n), 0);
	CU_ASSERT_TRUE(hr_snapshot_index_covers(&vault.index, &needs));
	hr_vault_init(&other, &hr_snapshot_file, store, &set, 1, 1000);
	CU_ASSERT_EQUAL(hr_vault_refresh(&other, &err), 0);
	CU_ASSERT_FALSE(hr_vault_is_tidy(&other, &none));
	CU_ASSERT_EQUAL(hr_vault_tidy(&other, &none, &err), 0);
	CU_ASSERT_TRUE(hr_vault_is_tidy(&other, &none));
	hr_vault_fini(&other);
	CU_ASSERT_EQUAL(vault.index.n_entries, 5);
	CU_ASSERT_EQUAL(hr_vault_refresh(&vault, &err), 0);
	CU_ASSERT_EQUAL(vault.index.n_entries, 2);
	CU_ASSERT_FALSE(hr_snapshot_index_covers(&vault.index, &needs));
}

/* A view that stands still for long: what it needs stays, and does not keep everything
 * that was written since. */
static void an_old_one_that_is_needed_is_carried_along(void)
{
	const uint64_t position = 3;
	const struct hr_snapshot_needs needs = { &position, 1, NULL, 0 };
	uint32_t most = 0;

	for (uint64_t n = 2; n <= 60; n++) {
		CU_ASSERT_EQUAL(write_one(n), 0);
		CU_ASSERT_EQUAL(hr_vault_tidy(&vault, &needs, &err), 0);
		if (vault.index.n_entries > most)
			most = vault.index.n_entries;
	}
	CU_ASSERT_TRUE(most <= 14);
	check_loaded(3, 3);
	check_loaded(60, UINT64_MAX);
}

static void a_file_that_goes_meanwhile_is_told(void)
{
	struct hr_snapshot_entry *e;
	size_t bytes;
	uint8_t *image;

	CU_ASSERT_EQUAL(write_one(5), 0);
	CU_ASSERT_EQUAL(hr_snapshot_file.drop(store, 1, INT64_MAX, 1000, &err), 0);
	e = hr_snapshot_index_newest(&vault.index, UINT64_MAX);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	CU_ASSERT_EQUAL(hr_vault_load(&vault, e, &image, &bytes, &err), -EBADMSG);
}

static void marks_know_what_is_old_enough(void)
{
	static struct hr_marks m;
	const uint64_t age = 1000;

	CU_ASSERT_EQUAL(hr_marks_older(&m, 10000, age), 0);
	for (uint64_t t = 1; t <= 100000; t++)
		hr_marks_add(&m, t, (int64_t)(10 * t), age);
	CU_ASSERT_EQUAL(m.n, HR_MARKS);
	for (uint64_t now = 99600; now < 101000; now++) {
		const int64_t offset = hr_marks_older(&m, now, age);

		/* Never too much, and at most age / 256 (4 as integers go: 3) short. */
		CU_ASSERT_TRUE(offset <= (int64_t)(10 * (now - age)));
		CU_ASSERT_TRUE(offset > (int64_t)(10 * (now - age - 4)));
	}
	CU_ASSERT_EQUAL(hr_marks_older(&m, 50000, age), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what is written is found and loaded",
		  what_is_written_is_found_and_loaded },
		{ "what is given up does not exist", what_is_given_up_does_not_exist },
		{ "what nobody needs is deleted", what_nobody_needs_is_deleted },
		{ "what another deleted is forgotten",
		  what_another_deleted_is_forgotten },
		{ "an old one that is needed is carried along",
		  an_old_one_that_is_needed_is_carried_along },
		{ "a file that goes meanwhile is told",
		  a_file_that_goes_meanwhile_is_told },
		{ "marks know what is old enough", marks_know_what_is_old_enough },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("snapshot vault", setup, teardown, tests);
}
