/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/snapshot/vectors.h"

static unsigned int n_images, n_records;

static int code_of(const char *word)
{
	return strcmp(word, "bad") == 0       ? -EBADMSG
	       : strcmp(word, "unknown") == 0 ? -ENOTSUP
					      : 0;
}

static void check_hex(struct hr_str found, const char *hex)
{
	uint8_t *want = malloc(strlen(hex) / 2 + 1);
	size_t n = vector_unhex(hex, want);

	CU_ASSERT_EQUAL(found.n, n);
	CU_ASSERT_EQUAL(memcmp(found.p, want, n), 0);
	free(want);
}

/* In memory of its exact size, so that a sanitizer sees what is read beyond it. */
static int image_try(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n);
	struct hr_snapshot_image image;
	struct hr_err err = { "" };
	int r;

	memcpy(copy, bytes, n);
	r = hr_snapshot_image_read(&image, copy, n, set.hash_key, &err);
	CU_ASSERT_EQUAL(r == 0, err.text[0] == '\0');
	free(copy);
	return r;
}

static int record_try(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n);
	struct hr_snapshot_record record;
	struct hr_err err = { "" };
	int r;

	memcpy(copy, bytes, n);
	r = hr_snapshot_record_decode(&record, copy, n, &err);
	CU_ASSERT_EQUAL(r == 0, err.text[0] == '\0');
	free(copy);
	return r;
}

/* Whatever one bit or one byte less makes of good bytes, it is refused. */
static void spoil(int (*try)(const uint8_t *bytes, size_t n), uint8_t *bytes, size_t n)
{
	for (size_t cut = 0; cut < n; cut++)
		CU_ASSERT_TRUE(try(bytes, cut) < 0);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_TRUE(try(bytes, n) < 0);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CU_ASSERT_EQUAL(try(bytes, n), 0);
}

/* What was read is written again, byte by byte. */
static void image_again(const struct vector_row *row,
			const struct hr_snapshot_image *image)
{
	const uint32_t config_bytes = image->head.config_bytes;
	uint8_t *out = malloc(row->n_bytes);

	CU_ASSERT_EQUAL(hr_snapshot_image_bytes(config_bytes, image->head.state_bytes,
						image->head.address_bytes),
			row->n_bytes);
	memset(out, 0xee, row->n_bytes);
	if (image->state.n > 0)
		memcpy(out + hr_snapshot_state_at(config_bytes), image->state.p,
		       image->state.n);
	CU_ASSERT_EQUAL(hr_snapshot_image_write(out, &image->head, image->config,
						image->addresses, set.hash_key),
			row->n_bytes);
	CU_ASSERT_EQUAL(memcmp(out, row->bytes, row->n_bytes), 0);
	free(out);
}

static void check_image(const struct vector_row *row)
{
	struct hr_snapshot_image image;
	struct hr_err err;
	int r = hr_snapshot_image_read(&image, row->bytes, row->n_bytes, set.hash_key,
				       &err);

	n_images++;
	CU_ASSERT_EQUAL(r, code_of(row->word[1]));
	if (r < 0)
		return;
	CU_ASSERT_EQUAL(image.head.n, vector_number(row, "n"));
	check_hex(image.config, vector_get(row, "config"));
	check_hex(image.state, vector_get(row, "state"));
	check_hex(image.addresses, vector_get(row, "addresses"));
	CU_ASSERT_EQUAL(hr_snapshot_head_fits(&image.head, &set, shard, &err), 0);
	image_again(row, &image);
	spoil(image_try, row->bytes, row->n_bytes);
}

static void record_again(const struct vector_row *row,
			 const struct hr_snapshot_record *record)
{
	uint8_t *out = malloc(row->n_bytes + HR_SNAPSHOT_MANIFEST_BYTES);
	size_t n;

	if (record->type == HR_SNAPSHOT_CHUNK)
		n = hr_snapshot_chunk_encode(out, &set, record->shard, &record->id,
					     record->chunk.index, record->chunk.bytes);
	else
		n = hr_snapshot_manifest_encode(out, &set, record->shard, &record->id,
						&record->manifest);
	CU_ASSERT_EQUAL(n, row->n_bytes);
	CU_ASSERT_EQUAL(memcmp(out, row->bytes, row->n_bytes), 0);
	free(out);
}

static void check_record(const struct vector_row *row)
{
	struct hr_snapshot_record record;
	struct hr_err err;
	int r = hr_snapshot_record_decode(&record, row->bytes, row->n_bytes, &err);

	n_records++;
	CU_ASSERT_EQUAL(r, code_of(row->word[1]));
	if (r < 0)
		return;
	CU_ASSERT_EQUAL(record.type == HR_SNAPSHOT_MANIFEST,
			strcmp(row->word[1], "manifest") == 0);
	record_again(row, &record);
	spoil(record_try, row->bytes, row->n_bytes);
}

static void check_row(const struct vector_row *row)
{
	if (is_row(row, "set"))
		read_set(row);
	else if (is_row(row, "image"))
		check_image(row);
	else if (is_row(row, "record"))
		check_record(row);
}

static void the_table_is_read_as_its_author_says(void)
{
	n_images = n_records = 0;
	vectors_walk(check_row);
	CU_ASSERT_TRUE(n_images > 10);
	CU_ASSERT_TRUE(n_records > 20);
}

static void a_head_of_something_else_is_refused(void)
{
	const struct hr_snapshot_head good = {
		.format = HR_SNAPSHOT_FORMAT,
		.fold_version = HR_FOLD_VERSION,
		.data_set = set.id,
		.generation = set.generation,
		.shard = shard,
	};
	struct hr_snapshot_head bad[4] = { good, good, good, good };
	struct hr_err err;

	bad[0].data_set.b[15] ^= 1;
	bad[1].generation++;
	bad[2].shard++;
	bad[3].fold_version++;
	CU_ASSERT_EQUAL(hr_snapshot_head_fits(&good, &set, shard, &err), 0);
	for (size_t i = 0; i < HR_COUNT(bad); i++) {
		err.text[0] = '\0';
		CU_ASSERT_EQUAL(hr_snapshot_head_fits(&bad[i], &set, shard, &err),
				i == 3 ? -ENOTSUP : -EINVAL);
		CU_ASSERT_TRUE(err.text[0] != '\0');
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the table is read as its author says",
		  the_table_is_read_as_its_author_says },
		{ "a head of something else is refused by name",
		  a_head_of_something_else_is_refused },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("snapshot format", NULL, NULL, tests);
}
