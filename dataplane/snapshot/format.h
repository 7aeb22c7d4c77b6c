/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_FORMAT_H
#define HR_SNAPSHOT_FORMAT_H

/*
 * format - a shard's state at link n as bytes (the image), and the records that carry
 * it: chunks, and a manifest behind them. docs/snapshots.md is the specification. Pure
 * functions over bytes: any thread, no allocation.
 *
 *   image   head (128) | CONFIG, padded | fold state, padded | addresses, padded |
 *           digest (16)
 *   records [chunk 0][chunk 1] ... [chunk c-1][manifest: head, c, bytes, digest]
 *
 * Records have the frame of the log's (dataplane/log/record.h) with magic HRS, so that
 * neither is ever taken for the other.
 *
 *  CHUNK     32 | snapshot id (16) | index u32 | bytes u32 |
 *            56 | bytes, padded | 0 u32 | crc
 *  MANIFEST  32 | snapshot id (16) | chunks u32 | 0 u32 | image bytes u64 |
 *            64 | head of the image (128) | digest of the image (16) | 0 u32 | crc
 *
 *  head   0 | format u32 | fold version u32 | data set id (16) |
 *        24 | generation u32 | shard u16 | address bytes u16 | owner (16) | incarnation u64 |
 *        56 | n u64 | hash (16) | clock us u64 | offset of link n u64 |
 *        96 | fold's digest (16) | CONFIG bytes u32 | 0 u32 | state bytes u64
 *
 *  digest(image) = SipHash-2-4-128 with META's key over all that stands before it.
 */

#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "dataplane/log/record.h"

#define HR_SNAPSHOT_RECORD_VERSION 1
#define HR_SNAPSHOT_FORMAT 1u
#define HR_SNAPSHOT_HEAD_BYTES 128u
#define HR_SNAPSHOT_DIGEST_BYTES 16u
#define HR_SNAPSHOT_CHUNK_HEAD_BYTES 56u
#define HR_SNAPSHOT_MANIFEST_BYTES 216u
/* Bytes of every chunk but the last, as written; a reader takes any size. */
#ifndef HR_SNAPSHOT_CHUNK_BYTES /* the simulator's are small */
#define HR_SNAPSHOT_CHUNK_BYTES (768u << 10)
#endif
#define HR_SNAPSHOT_RECORD_MAX                                                         \
	(HR_SNAPSHOT_CHUNK_HEAD_BYTES + HR_SNAPSHOT_CHUNK_BYTES + HR_RECORD_TAIL_BYTES)

_Static_assert(HR_SNAPSHOT_RECORD_MAX <= HR_RECORD_MAX, "a chunk is one message");

/* What the state belongs to: everything that a reader of the log needs to go on behind
 * link n, as if it had read the log from its beginning. */
struct hr_snapshot_head {
	uint32_t format, fold_version;
	struct hr_id128 data_set;
	uint32_t generation;
	uint16_t shard;
	uint16_t address_bytes; /* at most HR_ADDRESSES_MAX */
	/* Of the record that was accepted as link n. */
	struct hr_id128 owner;
	uint64_t incarnation;
	uint64_t n; /* never 0 */
	struct hr_id128 hash;
	uint64_t clock_us;
	int64_t offset;
	struct hr_id128 digest; /* fold's, at n */
	uint32_t config_bytes;
	uint64_t state_bytes;
};

/* An image taken apart; config and state point into it. */
struct hr_snapshot_image {
	struct hr_snapshot_head head;
	struct hr_str config; /* body of a CONFIG */
	struct hr_str state;  /* of hr_fold_state_write() */
	/* Where the owner's listeners are, as its FENCE said: that record may be trimmed. */
	struct hr_str addresses;
};

enum hr_snapshot_record_type {
	HR_SNAPSHOT_CHUNK = 1,
	HR_SNAPSHOT_MANIFEST = 2,
};

struct hr_snapshot_manifest {
	uint32_t n_chunks;
	uint64_t image_bytes;
	struct hr_snapshot_head head;
	struct hr_id128 digest; /* of the image */
};

struct hr_snapshot_record {
	enum hr_snapshot_record_type type;
	uint16_t shard;
	uint32_t generation;
	struct hr_id128 data_set;
	struct hr_id128 id; /* of the snapshot */
	union {
		struct {
			uint32_t index;
			struct hr_str bytes; /* points into the record */
		} chunk;
		struct hr_snapshot_manifest manifest;
	};
};

/* Bytes of an image with a CONFIG, a state and addresses of these sizes. */
uint64_t hr_snapshot_image_bytes(uint32_t config_bytes, uint64_t state_bytes,
				 uint32_t address_bytes);

/*
 * Write an image around a state that lies in place already: at
 * hr_snapshot_state_at(config bytes) from its start. Writes head, CONFIG, addresses, padding
 * and digest; returns the image's bytes.
 */
size_t hr_snapshot_state_at(uint32_t config_bytes);
size_t hr_snapshot_image_write(uint8_t *image, const struct hr_snapshot_head *head,
			       struct hr_str config, struct hr_str addresses,
			       const uint8_t hash_key[16]);

/*
 * Take an image apart. Returns 0, -EBADMSG (not laid out like one, or its digest is
 * another) or -ENOTSUP (a format of a later program), with err. What it belongs to is
 * not looked at: hr_snapshot_head_fits().
 */
int hr_snapshot_image_read(struct hr_snapshot_image *out, const uint8_t *bytes,
			   size_t n, const uint8_t hash_key[16], struct hr_err *err);

/* Is it of this data set, generation and shard, and of a fold version that this program
 * folds? 0, -EINVAL or -ENOTSUP with err. */
int hr_snapshot_head_fits(const struct hr_snapshot_head *head,
			  const struct hr_data_set *set, uint16_t shard,
			  struct hr_err *err);

/*
 * Read one record. 0; -EBADMSG: no record of ours; -ENOTSUP: of a later program, or a
 * manifest of a later format; with err. Both are passed over.
 */
int hr_snapshot_record_decode(struct hr_snapshot_record *out, const uint8_t *bytes,
			      size_t n, struct hr_err *err);

/* Each writes one whole record and returns its bytes; out has room for
 * HR_SNAPSHOT_RECORD_MAX, or for HR_SNAPSHOT_MANIFEST_BYTES. */
size_t hr_snapshot_chunk_encode(uint8_t *out, const struct hr_data_set *set,
				uint16_t shard, const struct hr_id128 *id,
				uint32_t index, struct hr_str bytes);
size_t hr_snapshot_manifest_encode(uint8_t *out, const struct hr_data_set *set,
				   uint16_t shard, const struct hr_id128 *id,
				   const struct hr_snapshot_manifest *manifest);

#endif
