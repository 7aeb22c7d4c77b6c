/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Records and images of snapshots. The first byte chooses: 0 the bytes are a record as
 * they are; 1 they are one once magic, size and crc are put right; 2 they are an image
 * as they are; 3 they are one once its digest is put right; from 4 on they are several
 * records, each behind its length (u16), put right and handed to an index.
 */

#include <errno.h>

#include "common/crc32c.h"
#include "common/siphash.h"
#include "dataplane/snapshot/index.h"
#include "tests/fuzz/fuzz.h"

static const struct hr_data_set set = {
	.id = { { 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 } },
	.hash_key = { 1, 2, 3 },
	.generation = 1,
	.n_shards = 5,
};

/* Written again from what was read it is the same, byte by byte. */
static void check_encoder(const struct hr_snapshot_record *record, const uint8_t *bytes,
			  size_t n)
{
	struct hr_data_set mine = set;
	uint8_t *out = calloc(1, n + HR_SNAPSHOT_MANIFEST_BYTES);
	size_t written;

	mine.id = record->data_set;
	mine.generation = record->generation;
	if (record->type == HR_SNAPSHOT_CHUNK)
		written = hr_snapshot_chunk_encode(out, &mine, record->shard,
						   &record->id, record->chunk.index,
						   record->chunk.bytes);
	else
		written = hr_snapshot_manifest_encode(out, &mine, record->shard,
						      &record->id, &record->manifest);
	HOLDS(written == n && memcmp(out, bytes, n) == 0);
	free(out);
}

static void read_record(const uint8_t *bytes, size_t n)
{
	struct hr_snapshot_record record;
	struct hr_err err = { "" };
	const int r = hr_snapshot_record_decode(&record, bytes, n, &err);

	HOLDS(r == 0 || r == -EBADMSG || r == -ENOTSUP);
	HOLDS((r == 0) == (err.text[0] == '\0'));
	if (r == 0)
		check_encoder(&record, bytes, n);
}

static void read_image(const uint8_t *bytes, size_t n)
{
	struct hr_snapshot_image image;
	struct hr_err err = { "" };
	const int r = hr_snapshot_image_read(&image, bytes, n, set.hash_key, &err);
	uint8_t *out;

	HOLDS(r == 0 || r == -EBADMSG || r == -ENOTSUP);
	HOLDS((r == 0) == (err.text[0] == '\0'));
	if (r < 0)
		return;
	out = malloc(n);
	if (image.state.n > 0)
		memcpy(out + hr_snapshot_state_at(image.config.n), image.state.p,
		       image.state.n);
	HOLDS(hr_snapshot_image_write(out, &image.head, image.config, image.addresses,
				      set.hash_key) == n);
	HOLDS(memcmp(out, bytes, n) == 0);
	free(out);
}

static void put_right(uint8_t *bytes, size_t n)
{
	if (n < HR_RECORD_HEAD_BYTES + HR_RECORD_TAIL_BYTES)
		return;
	memcpy(bytes, "HRS", 3);
	hr_store32(bytes + 12, (uint32_t)n);
	memcpy(bytes + 16, set.id.b, sizeof(set.id.b));
	hr_store32(bytes + n - 8, 0);
	hr_store32(bytes + n - 4, hr_crc32c(bytes, n - 4));
}

static void fill_index(const uint8_t *bytes, size_t n)
{
	struct hr_snapshot_index ix;
	int64_t place = 0;

	hr_snapshot_index_init(&ix, &set, 3);
	while (n >= 2) {
		const size_t most = hr_load16(bytes);
		const size_t size = most < n - 2 ? most : n - 2;
		uint8_t *record = exact_copy(bytes + 2, size);

		put_right(record, size);
		HOLDS(hr_snapshot_index_take(&ix, place++, record, size) == 0);
		free(record);
		bytes += 2 + size;
		n -= 2 + size;
	}
	for (uint32_t i = 0; i < ix.n_entries; i++)
		HOLDS(ix.entries[i].first < ix.entries[i].last);
	hr_snapshot_index_forget(&ix, place / 2);
	hr_snapshot_index_fini(&ix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *bytes;

	if (n < 1 || n > 16384)
		return 0;
	bytes = exact_copy(data + 1, --n);
	if (data[0] == 1)
		put_right(bytes, n);
	if (data[0] == 3 && n >= HR_SNAPSHOT_DIGEST_BYTES)
		hr_siphash128(set.hash_key, bytes, n - HR_SNAPSHOT_DIGEST_BYTES,
			      bytes + n - HR_SNAPSHOT_DIGEST_BYTES);
	if (data[0] <= 1)
		read_record(bytes, n);
	else if (data[0] <= 3)
		read_image(bytes, n);
	else
		fill_index(bytes, n);
	free(bytes);
	return 0;
}
