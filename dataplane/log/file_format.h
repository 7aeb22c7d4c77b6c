/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FILE_FORMAT_H
#define HR_FILE_FORMAT_H

/*
 * file format - the bytes of a segment: head, marks and frames. docs/epoch-log.md, "On
 * files", is the specification. Pure functions over bytes: any thread, no allocation.
 *
 *       0 | head: whose segment this is and at which position it begins
 *     512 | mark                         } the valid one with the higher count holds
 *    1024 | mark                         }
 *    4096 | frame | frame | ... | zeroes or anything
 *
 * A position counts the bytes of a shard's frames from the first one ever, over all its
 * segments. A frame's offset, as the rest of the program sees it, is the position of its
 * last byte: so the next frame begins at offset + 1, and a frame is found from either.
 */

#include "dataplane/log/record.h"

#define HR_SEGMENT_HEAD_BYTES 64u
#define HR_SEGMENT_MARK_BYTES 32u
#define HR_SEGMENT_MARKS 2u
#define HR_SEGMENT_MARK_AT(i) (512u * ((i) + 1u))
#define HR_SEGMENT_FRAMES_AT 4096u
#define HR_FRAME_HEAD_BYTES 16u
#define HR_FRAME_TAIL_BYTES 8u
#define HR_FRAME_BYTES(n)                                                              \
	(HR_FRAME_HEAD_BYTES + HR_PAD8((uint32_t)(n)) + HR_FRAME_TAIL_BYTES)
#define HR_FRAME_MAX HR_FRAME_BYTES(HR_RECORD_MAX)
#define HR_LOG_START_BYTES 32u

struct hr_segment_head {
	struct hr_id128 data_set;
	uint32_t generation;
	uint16_t shard;
	uint64_t number; /* 1, 2, ... */
	int64_t base; /* position of its first frame; its predecessor counts up to here */
	uint64_t made_us; /* wall clock */
};

/* Writes HR_SEGMENT_HEAD_BYTES. */
void hr_segment_head_encode(uint8_t *out, const struct hr_segment_head *head);
/* Returns 0, -EBADMSG (no sound head), or -ENOTSUP (of a later program), with err. */
int hr_segment_head_decode(struct hr_segment_head *out, const uint8_t *bytes,
			   struct hr_err *err);

/* Everything before `position` was synced when this was written. */
struct hr_segment_mark {
	uint64_t count; /* marks written to this segment so far, this one included */
	int64_t position;
};

/* Writes HR_SEGMENT_MARK_BYTES. */
void hr_segment_mark_encode(uint8_t *out, const struct hr_segment_mark *mark);
bool hr_segment_mark_decode(struct hr_segment_mark *out, const uint8_t *bytes);

/* Writes HR_FRAME_BYTES(n_bytes) around a record that begins at `position`; n_bytes is
 * 1 to HR_RECORD_MAX. */
uint32_t hr_frame_encode(uint8_t *out, int64_t position, const uint8_t *bytes,
			 uint32_t n_bytes);
/* What the first HR_FRAME_HEAD_BYTES say: bytes of the whole frame, or 0 where no frame
 * begins at this position. */
uint32_t hr_frame_head_bytes(const uint8_t *head, int64_t position);
/* What the last HR_FRAME_TAIL_BYTES say, or 0; whether it is one hr_frame_check()
 * tells. */
uint32_t hr_frame_tail_bytes(const uint8_t *tail);
/* A whole frame, as long as its head says. */
bool hr_frame_check(const uint8_t *frame, int64_t position);

static inline struct hr_str hr_frame_record(const uint8_t *frame)
{
	return (struct hr_str){ frame + HR_FRAME_HEAD_BYTES, hr_load32(frame + 4) };
}

/* The start mark of a trimmed shard: nothing before `position` is kept. Writes
 * HR_LOG_START_BYTES. */
void hr_log_start_encode(uint8_t *out, uint16_t shard, int64_t position);
bool hr_log_start_decode(uint16_t shard, int64_t *position, const uint8_t *bytes);

#endif
