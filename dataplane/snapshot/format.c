/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>

#include "common/crc32c.h"
#include "common/siphash.h"
#include "dataplane/snapshot/format.h"

#define PAD8_64(n) (((n) + 7u) & ~(uint64_t)7u)

static bool is_zero(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static void id_read(struct hr_id128 *out, const uint8_t *bytes)
{
	memcpy(out->b, bytes, sizeof(out->b));
}

static void id_write(uint8_t *out, const struct hr_id128 *id)
{
	memcpy(out, id->b, sizeof(id->b));
}

/* ---- head ----------------------------------------------------------------------- */

static void head_encode(uint8_t out[HR_SNAPSHOT_HEAD_BYTES],
			const struct hr_snapshot_head *head)
{
	memset(out, 0, HR_SNAPSHOT_HEAD_BYTES);
	hr_store32(out, head->format);
	hr_store32(out + 4, head->fold_version);
	id_write(out + 8, &head->data_set);
	hr_store32(out + 24, head->generation);
	hr_store16(out + 28, head->shard);
	hr_store16(out + 30, head->address_bytes);
	id_write(out + 32, &head->owner);
	hr_store64(out + 48, head->incarnation);
	hr_store64(out + 56, head->n);
	id_write(out + 64, &head->hash);
	hr_store64(out + 80, head->clock_us);
	hr_store64(out + 88, (uint64_t)head->offset);
	id_write(out + 96, &head->digest);
	hr_store32(out + 112, head->config_bytes);
	hr_store64(out + 120, head->state_bytes);
}

static int head_check(const struct hr_snapshot_head *head, const uint8_t *bytes,
		      struct hr_err *err)
{
	if (hr_load32(bytes + 116) != 0)
		return hr_fail(err, -EBADMSG,
			       "reserved bytes of a snapshot's head are not zero");
	if (head->n == 0 || head->offset < 0)
		return hr_fail(err, -EBADMSG, "a snapshot of link %llu at offset %lld",
			       (unsigned long long)head->n, (long long)head->offset);
	if (head->config_bytes > HR_CHAIN_CONFIG_MAX ||
	    head->state_bytes > UINT32_MAX || head->address_bytes > HR_ADDRESSES_MAX)
		return hr_fail(err, -EBADMSG,
			       "a snapshot with a CONFIG of %u, a state of %llu and "
			       "addresses of %u bytes",
			       head->config_bytes,
			       (unsigned long long)head->state_bytes,
			       head->address_bytes);
	return 0;
}

static int head_decode(struct hr_snapshot_head *out, const uint8_t *bytes,
		       struct hr_err *err)
{
	memset(out, 0, sizeof(*out));
	out->format = hr_load32(bytes);
	if (out->format != HR_SNAPSHOT_FORMAT)
		return hr_fail(err, -ENOTSUP,
			       "a snapshot of format %u: this program reads format %u",
			       out->format, HR_SNAPSHOT_FORMAT);
	out->fold_version = hr_load32(bytes + 4);
	id_read(&out->data_set, bytes + 8);
	out->generation = hr_load32(bytes + 24);
	out->shard = hr_load16(bytes + 28);
	out->address_bytes = hr_load16(bytes + 30);
	id_read(&out->owner, bytes + 32);
	out->incarnation = hr_load64(bytes + 48);
	out->n = hr_load64(bytes + 56);
	id_read(&out->hash, bytes + 64);
	out->clock_us = hr_load64(bytes + 80);
	out->offset = (int64_t)hr_load64(bytes + 88);
	id_read(&out->digest, bytes + 96);
	out->config_bytes = hr_load32(bytes + 112);
	out->state_bytes = hr_load64(bytes + 120);
	return head_check(out, bytes, err);
}

int hr_snapshot_head_fits(const struct hr_snapshot_head *head,
			  const struct hr_data_set *set, uint16_t shard,
			  struct hr_err *err)
{
	if (!hr_id128_equals(&head->data_set, &set->id))
		return hr_fail(err, -EINVAL, "it is of another data set");
	if (head->generation != set->generation)
		return hr_fail(err, -EINVAL, "it is of generation %u: expected %u",
			       head->generation, set->generation);
	if (head->shard != shard)
		return hr_fail(err, -EINVAL, "it is of shard %u: expected %u",
			       head->shard, shard);
	return hr_fold_version_check(head->fold_version, "it is of", err);
}

/* ---- image ---------------------------------------------------------------------- */

size_t hr_snapshot_state_at(uint32_t config_bytes)
{
	return HR_SNAPSHOT_HEAD_BYTES + HR_PAD8(config_bytes);
}

uint64_t hr_snapshot_image_bytes(uint32_t config_bytes, uint64_t state_bytes,
				 uint32_t address_bytes)
{
	return hr_snapshot_state_at(config_bytes) + PAD8_64(state_bytes) +
	       HR_PAD8(address_bytes) + HR_SNAPSHOT_DIGEST_BYTES;
}

size_t hr_snapshot_image_write(uint8_t *image, const struct hr_snapshot_head *head,
			       struct hr_str config, struct hr_str addresses,
			       const uint8_t hash_key[16])
{
	const size_t at = hr_snapshot_state_at(config.n);
	const size_t behind = at + PAD8_64(head->state_bytes);
	const size_t end = behind + HR_PAD8(addresses.n);

	assert(config.n == head->config_bytes && addresses.n == head->address_bytes);
	head_encode(image, head);
	if (config.n > 0)
		memcpy(image + HR_SNAPSHOT_HEAD_BYTES, config.p, config.n);
	memset(image + HR_SNAPSHOT_HEAD_BYTES + config.n, 0,
	       at - HR_SNAPSHOT_HEAD_BYTES - config.n);
	memset(image + at + head->state_bytes, 0, end - at - head->state_bytes);
	if (addresses.n > 0)
		memcpy(image + behind, addresses.p, addresses.n);
	hr_siphash128(hash_key, image, end, image + end);
	return end + HR_SNAPSHOT_DIGEST_BYTES;
}

/*
 *   0 | head (128) | CONFIG, padded | state, padded | addresses, padded | digest (16)
 */
int hr_snapshot_image_read(struct hr_snapshot_image *out, const uint8_t *bytes,
			   size_t n, const uint8_t hash_key[16], struct hr_err *err)
{
	uint8_t digest[HR_SNAPSHOT_DIGEST_BYTES];
	const struct hr_snapshot_head *head = &out->head;
	size_t at, behind;
	int r;

	if (n < HR_SNAPSHOT_HEAD_BYTES + HR_SNAPSHOT_DIGEST_BYTES)
		return hr_fail(err, -EBADMSG, "a snapshot of %zu bytes", n);
	r = head_decode(&out->head, bytes, err);
	if (r < 0)
		return r;
	if (n != hr_snapshot_image_bytes(head->config_bytes, head->state_bytes,
					 head->address_bytes))
		return hr_fail(err, -EBADMSG,
			       "a snapshot of %zu bytes: its head says %llu", n,
			       (unsigned long long)hr_snapshot_image_bytes(
				       head->config_bytes, head->state_bytes,
				       head->address_bytes));
	hr_siphash128(hash_key, bytes, n - sizeof(digest), digest);
	if (memcmp(digest, bytes + n - sizeof(digest), sizeof(digest)) != 0)
		return hr_fail(err, -EBADMSG, "its digest is not that of its bytes");
	at = hr_snapshot_state_at(head->config_bytes);
	out->config =
		(struct hr_str){ bytes + HR_SNAPSHOT_HEAD_BYTES, head->config_bytes };
	out->state = (struct hr_str){ bytes + at, (uint32_t)head->state_bytes };
	behind = at + PAD8_64(head->state_bytes);
	out->addresses = (struct hr_str){ bytes + behind, head->address_bytes };
	if (!is_zero(out->config.p + out->config.n,
		     at - HR_SNAPSHOT_HEAD_BYTES - out->config.n) ||
	    !is_zero(out->state.p + out->state.n, behind - at - out->state.n) ||
	    !is_zero(out->addresses.p + out->addresses.n,
		     n - sizeof(digest) - behind - out->addresses.n))
		return hr_fail(err, -EBADMSG, "its padding is not zero");
	return 0;
}

/* ---- records -------------------------------------------------------------------- */

static size_t frame_close(uint8_t *out, enum hr_snapshot_record_type type,
			  const struct hr_data_set *set, uint16_t shard, size_t n)
{
	n += HR_RECORD_TAIL_BYTES;
	memcpy(out, "HRS", 3);
	out[3] = HR_SNAPSHOT_RECORD_VERSION;
	hr_store16(out + 4, (uint16_t)type);
	hr_store16(out + 6, shard);
	hr_store32(out + 8, set->generation);
	hr_store32(out + 12, (uint32_t)n);
	id_write(out + 16, &set->id);
	hr_store32(out + n - 8, 0);
	hr_store32(out + n - 4, hr_crc32c(out, n - 4));
	return n;
}

size_t hr_snapshot_chunk_encode(uint8_t *out, const struct hr_data_set *set,
				uint16_t shard, const struct hr_id128 *id,
				uint32_t index, struct hr_str bytes)
{
	uint8_t *at = out + HR_SNAPSHOT_CHUNK_HEAD_BYTES;
	const uint32_t padded = HR_PAD8(bytes.n);

	assert(bytes.n > 0 && bytes.n <= HR_SNAPSHOT_CHUNK_BYTES);
	id_write(out + 32, id);
	hr_store32(out + 48, index);
	hr_store32(out + 52, bytes.n);
	memcpy(at, bytes.p, bytes.n);
	memset(at + bytes.n, 0, padded - bytes.n);
	return frame_close(out, HR_SNAPSHOT_CHUNK, set, shard,
			   HR_SNAPSHOT_CHUNK_HEAD_BYTES + padded);
}

size_t hr_snapshot_manifest_encode(uint8_t *out, const struct hr_data_set *set,
				   uint16_t shard, const struct hr_id128 *id,
				   const struct hr_snapshot_manifest *m)
{
	id_write(out + 32, id);
	hr_store32(out + 48, m->n_chunks);
	hr_store32(out + 52, 0);
	hr_store64(out + 56, m->image_bytes);
	head_encode(out + 64, &m->head);
	id_write(out + 192, &m->digest);
	return frame_close(out, HR_SNAPSHOT_MANIFEST, set, shard, 208);
}

static int frame_check(const uint8_t *bytes, size_t n, struct hr_err *err)
{
	if (n < HR_RECORD_HEAD_BYTES + HR_RECORD_TAIL_BYTES || n > HR_RECORD_MAX ||
	    n % 8 != 0)
		return hr_fail(err, -EBADMSG,
			       "%zu bytes: a record has 40 to %u, in eights", n,
			       HR_RECORD_MAX);
	if (memcmp(bytes, "HRS", 3) != 0)
		return hr_fail(err, -EBADMSG,
			       "record starts with %02x %02x %02x: expected HRS",
			       bytes[0], bytes[1], bytes[2]);
	if (hr_load32(bytes + 12) != n)
		return hr_fail(err, -EBADMSG, "record says it has %u bytes: it has %zu",
			       hr_load32(bytes + 12), n);
	if (hr_load32(bytes + n - 4) != hr_crc32c(bytes, n - 4))
		return hr_fail(err, -EBADMSG, "record's crc is not that of its bytes");
	return 0;
}

/*  32 | snapshot id (16) | index u32 | bytes u32 | 56 bytes, padded  */
static int chunk_decode(struct hr_snapshot_record *out, const uint8_t *bytes, size_t n,
			struct hr_err *err)
{
	uint32_t n_bytes;

	if (n < HR_SNAPSHOT_CHUNK_HEAD_BYTES + HR_RECORD_TAIL_BYTES)
		return hr_fail(err, -EBADMSG, "a chunk of %zu bytes", n);
	n_bytes = hr_load32(bytes + 52);
	if (n_bytes == 0 || n_bytes > HR_RECORD_MAX ||
	    n != HR_SNAPSHOT_CHUNK_HEAD_BYTES + HR_PAD8(n_bytes) + HR_RECORD_TAIL_BYTES)
		return hr_fail(err, -EBADMSG, "a chunk of %u bytes in a record of %zu",
			       n_bytes, n);
	out->chunk.index = hr_load32(bytes + 48);
	out->chunk.bytes =
		(struct hr_str){ bytes + HR_SNAPSHOT_CHUNK_HEAD_BYTES, n_bytes };
	if (!is_zero(out->chunk.bytes.p + n_bytes, HR_PAD8(n_bytes) - n_bytes))
		return hr_fail(err, -EBADMSG, "a chunk's padding is not zero");
	return 0;
}

/*  32 | id (16) | chunks u32 | 0 u32 | image bytes u64 | 64 head | 192 digest (16)  */
static int manifest_decode(struct hr_snapshot_record *out, const uint8_t *bytes,
			   size_t n, struct hr_err *err)
{
	struct hr_snapshot_manifest *m = &out->manifest;
	const struct hr_snapshot_head *head = &m->head;
	int r;

	if (n != HR_SNAPSHOT_MANIFEST_BYTES || hr_load32(bytes + 52) != 0)
		return hr_fail(err, -EBADMSG, "a manifest of %zu bytes", n);
	m->n_chunks = hr_load32(bytes + 48);
	m->image_bytes = hr_load64(bytes + 56);
	r = head_decode(&m->head, bytes + 64, err);
	if (r < 0)
		return r;
	id_read(&m->digest, bytes + 192);
	if (m->n_chunks == 0 || m->n_chunks > m->image_bytes ||
	    m->image_bytes != hr_snapshot_image_bytes(head->config_bytes,
						      head->state_bytes,
						      head->address_bytes))
		return hr_fail(err, -EBADMSG, "a manifest of %u chunks and %llu bytes",
			       m->n_chunks, (unsigned long long)m->image_bytes);
	if (head->shard != out->shard || head->generation != out->generation ||
	    !hr_id128_equals(&head->data_set, &out->data_set))
		return hr_fail(err, -EBADMSG,
			       "a manifest with the head of another partition");
	return 0;
}

int hr_snapshot_record_decode(struct hr_snapshot_record *out, const uint8_t *bytes,
			      size_t n, struct hr_err *err)
{
	const uint16_t type = n >= 6 ? hr_load16(bytes + 4) : 0;
	int r = frame_check(bytes, n, err);

	if (r < 0)
		return r;
	if (bytes[3] != HR_SNAPSHOT_RECORD_VERSION ||
	    (type != HR_SNAPSHOT_CHUNK && type != HR_SNAPSHOT_MANIFEST))
		return hr_fail(err, -ENOTSUP,
			       "a record of a later program (version %u, type %u)",
			       bytes[3], type);
	if (n < 48 + HR_RECORD_TAIL_BYTES || hr_load32(bytes + n - 8) != 0)
		return hr_fail(err, -EBADMSG, "a record of %zu bytes", n);
	memset(out, 0, sizeof(*out));
	out->type = (enum hr_snapshot_record_type)type;
	out->shard = hr_load16(bytes + 6);
	out->generation = hr_load32(bytes + 8);
	id_read(&out->data_set, bytes + 16);
	id_read(&out->id, bytes + 32);
	return type == HR_SNAPSHOT_CHUNK ? chunk_decode(out, bytes, n, err)
					 : manifest_decode(out, bytes, n, err);
}
