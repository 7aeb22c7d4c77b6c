/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "common/crc32c.h"
#include "dataplane/log/file_format.h"

#define FORMAT_VERSION 1u
#define MAGIC(letter)                                                                  \
	((uint32_t)'H' | (uint32_t)'R' << 8 | (uint32_t)(letter) << 16 |               \
	 FORMAT_VERSION << 24)
#define MAGIC_HEAD MAGIC('S')
#define MAGIC_MARK MAGIC('M')
#define MAGIC_FRAME MAGIC('F')
#define MAGIC_START MAGIC('B')
#define VERSION_MASK 0xff000000u

/* The last four bytes are the crc of those before. */
static void seal(uint8_t *bytes, size_t n)
{
	hr_store32(bytes + n - 4, hr_crc32c(bytes, n - 4));
}

static bool is_sealed(const uint8_t *bytes, size_t n)
{
	return hr_load32(bytes + n - 4) == hr_crc32c(bytes, n - 4);
}

void hr_segment_head_encode(uint8_t *out, const struct hr_segment_head *head)
{
	memset(out, 0, HR_SEGMENT_HEAD_BYTES);
	hr_store32(out, MAGIC_HEAD);
	hr_store16(out + 4, head->shard);
	hr_store32(out + 8, head->generation);
	memcpy(out + 16, &head->data_set, 16);
	hr_store64(out + 32, head->number);
	hr_store64(out + 40, (uint64_t)head->base);
	hr_store64(out + 48, head->made_us);
	seal(out, HR_SEGMENT_HEAD_BYTES);
}

int hr_segment_head_decode(struct hr_segment_head *out, const uint8_t *bytes,
			   struct hr_err *err)
{
	uint32_t magic = hr_load32(bytes);

	if (((magic ^ MAGIC_HEAD) & ~VERSION_MASK) != 0 ||
	    !is_sealed(bytes, HR_SEGMENT_HEAD_BYTES))
		return hr_fail(err, -EBADMSG,
			       "it does not begin with a segment's head");
	if (magic != MAGIC_HEAD)
		return hr_fail(err, -ENOTSUP,
			       "it was written by a later program (segment version "
			       "%u): use that one",
			       magic >> 24);
	out->shard = hr_load16(bytes + 4);
	out->generation = hr_load32(bytes + 8);
	memcpy(&out->data_set, bytes + 16, 16);
	out->number = hr_load64(bytes + 32);
	out->base = (int64_t)hr_load64(bytes + 40);
	out->made_us = hr_load64(bytes + 48);
	if (out->base < 0 || out->number == 0)
		return hr_fail(err, -EBADMSG, "its head names no position");
	return 0;
}

void hr_segment_mark_encode(uint8_t *out, const struct hr_segment_mark *mark)
{
	memset(out, 0, HR_SEGMENT_MARK_BYTES);
	hr_store32(out, MAGIC_MARK);
	hr_store64(out + 8, mark->count);
	hr_store64(out + 16, (uint64_t)mark->position);
	seal(out, HR_SEGMENT_MARK_BYTES);
}

bool hr_segment_mark_decode(struct hr_segment_mark *out, const uint8_t *bytes)
{
	if (hr_load32(bytes) != MAGIC_MARK || !is_sealed(bytes, HR_SEGMENT_MARK_BYTES))
		return false;
	out->count = hr_load64(bytes + 8);
	out->position = (int64_t)hr_load64(bytes + 16);
	return out->position >= 0;
}

uint32_t hr_frame_encode(uint8_t *out, int64_t position, const uint8_t *bytes,
			 uint32_t n_bytes)
{
	uint32_t frame = HR_FRAME_BYTES(n_bytes);

	hr_store32(out, MAGIC_FRAME);
	hr_store32(out + 4, n_bytes);
	hr_store64(out + 8, (uint64_t)position);
	memcpy(out + HR_FRAME_HEAD_BYTES, bytes, n_bytes);
	memset(out + HR_FRAME_HEAD_BYTES + n_bytes, 0, HR_PAD8(n_bytes) - n_bytes);
	hr_store32(out + frame - 8, n_bytes);
	seal(out, frame);
	return frame;
}

uint32_t hr_frame_head_bytes(const uint8_t *head, int64_t position)
{
	uint32_t n = hr_load32(head + 4);

	if (hr_load32(head) != MAGIC_FRAME || n == 0 || n > HR_RECORD_MAX ||
	    hr_load64(head + 8) != (uint64_t)position)
		return 0;
	return HR_FRAME_BYTES(n);
}

uint32_t hr_frame_tail_bytes(const uint8_t *tail)
{
	uint32_t n = hr_load32(tail);

	return n == 0 || n > HR_RECORD_MAX ? 0 : HR_FRAME_BYTES(n);
}

bool hr_frame_check(const uint8_t *frame, int64_t position)
{
	uint32_t n = hr_frame_head_bytes(frame, position);

	return n != 0 && hr_load32(frame + n - 8) == hr_load32(frame + 4) &&
	       is_sealed(frame, n);
}

void hr_log_start_encode(uint8_t *out, uint16_t shard, int64_t position)
{
	memset(out, 0, HR_LOG_START_BYTES);
	hr_store32(out, MAGIC_START);
	hr_store16(out + 4, shard);
	hr_store64(out + 8, (uint64_t)position);
	seal(out, HR_LOG_START_BYTES);
}

bool hr_log_start_decode(uint16_t shard, int64_t *position, const uint8_t *bytes)
{
	if (hr_load32(bytes) != MAGIC_START || hr_load16(bytes + 4) != shard ||
	    !is_sealed(bytes, HR_LOG_START_BYTES))
		return false;
	*position = (int64_t)hr_load64(bytes + 8);
	return *position >= 0;
}
