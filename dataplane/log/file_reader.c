/* SPDX-License-Identifier: BSD-3-Clause */

/* Reading a shard: what is marked, and nothing behind it. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "dataplane/log/file_shard.h"
#include "dataplane/log/log.h"

void hr_file_reader_init(struct hr_file_reader *r, const struct hr_file_place *place)
{
	*r = (struct hr_file_reader){
		.place = place, .fd = -1, .last_fd = -1, .end = -1
	};
}

static void close_fd(struct hr_file_reader *r, int *fd)
{
	const struct hr_disk *disk = r->place->disk;

	if (*fd >= 0)
		disk->close(disk->arg, *fd);
	*fd = -1;
}

void hr_file_reader_fini(struct hr_file_reader *r)
{
	close_fd(r, &r->fd);
	close_fd(r, &r->last_fd);
	hr_file_list_fini(&r->list);
}

static int gone(const struct hr_file_reader *r, int64_t offset, struct hr_err *err)
{
	char folder[HR_LOG_FOLDER_MAX];

	hr_file_folder(folder, r->place);
	return hr_fail(err, -ENODATA,
		       "%s: no record at offset %lld (there are %lld to %lld): the log "
		       "was trimmed, cut or made anew",
		       folder, (long long)offset, (long long)r->list.start,
		       (long long)r->end);
}

static int damaged(const struct hr_file_reader *r, const struct hr_file_segment *s,
		   int64_t position, struct hr_err *err)
{
	char path[HR_LOG_PATH_MAX];

	hr_file_segment_path(path, r->place, s->number);
	return hr_fail(err, -EBADMSG,
		       "%s is damaged at byte %llu: a record that was synced there "
		       "cannot be read; bring the file back from a copy",
		       path, (unsigned long long)hr_file_at(s, position));
}

static int open_segment(const struct hr_file_reader *r, const struct hr_file_segment *s,
			struct hr_err *err)
{
	const struct hr_disk *disk = r->place->disk;
	char path[HR_LOG_PATH_MAX];
	int fd;

	hr_file_segment_path(path, r->place, s->number);
	fd = disk->open(disk->arg, path, O_RDONLY);
	if (fd == -ENOENT)
		return hr_fail(err, -ENODATA, "%s is gone: the log was trimmed or cut",
			       path);
	return fd < 0 ? hr_fail(err, fd, "%s: %s", path, strerror(-fd)) : fd;
}

/* ---- how far it is --------------------------------------------------------- */

static int look_at_start(struct hr_file_reader *r, struct hr_err *err)
{
	const struct hr_disk *disk = r->place->disk;
	char path[HR_LOG_PATH_MAX];
	uint64_t id;
	int n;

	hr_file_path(path, r->place, "start");
	if (disk->identify(disk->arg, path, &id) < 0 || id == r->start_id)
		return 0;
	n = hr_file_list_trimmed(&r->list, r->place, err);
	if (n < 0)
		return n;
	r->start_id = id;
	if ((uint32_t)n > r->index) /* it was trimmed under the reader's feet */
		r->index = 0;
	else
		r->index -= (uint32_t)n;
	return 0;
}

/* The last one may be a new one, or another one of the same number. */
static int open_last(struct hr_file_reader *r, struct hr_err *err)
{
	const struct hr_file_segment *last = &r->list.at[r->list.n - 1];
	const struct hr_disk *disk = r->place->disk;
	char path[HR_LOG_PATH_MAX];
	uint64_t id;
	int fd;

	hr_file_segment_path(path, r->place, last->number);
	if (disk->identify(disk->arg, path, &id) < 0)
		return hr_fail(err, -ENODATA,
			       "%s is gone: the log was cut or made anew", path);
	if (r->last_fd >= 0 && r->last_number == last->number && r->last_id == id)
		return 0;
	fd = open_segment(r, last, err);
	if (fd < 0)
		return fd;
	close_fd(r, &r->last_fd);
	r->last_fd = fd;
	r->last_number = last->number;
	r->last_id = id;
	return 0;
}

int hr_file_reader_look(struct hr_file_reader *r, struct hr_err *err)
{
	struct hr_segment_mark mark;
	int rc = 0;

	if (r->list.n == 0) {
		rc = hr_file_list_read(&r->list, r->place, err);
		r->index = 0;
		if (rc == 0 && r->list.n == 0)
			r->end = 0;
		if (rc < 0 || r->list.n == 0)
			return rc;
	} else {
		do
			rc = hr_file_list_next(&r->list, r->place, err);
		while (rc > 0);
		if (rc == 0)
			rc = look_at_start(r, err);
		if (rc < 0)
			return rc;
	}
	rc = open_last(r, err);
	if (rc == 0)
		rc = hr_file_mark_read(&mark, r->place, r->last_fd,
				       &r->list.at[r->list.n - 1], err);
	/* A mark that is just being written cannot be read, and the older one can. */
	if (rc == 0 && mark.position > r->end)
		r->end = mark.position;
	return rc;
}

int64_t hr_file_reader_first(const struct hr_file_reader *r)
{
	return r->end < 0 ? -1 : r->list.start;
}

/* ---- reading --------------------------------------------------------------- */

static bool is_last(const struct hr_file_reader *r, uint32_t index)
{
	return index + 1 == r->list.n;
}

static int64_t limit(const struct hr_file_reader *r, uint32_t index)
{
	return is_last(r, index) ? r->end : r->list.at[index + 1].base;
}

static int fd_of(struct hr_file_reader *r, uint32_t index, struct hr_err *err)
{
	const struct hr_file_segment *s = &r->list.at[index];

	if (r->last_fd >= 0 && s->number == r->last_number)
		return r->last_fd;
	if (r->fd >= 0 && r->fd_number == s->number)
		return r->fd;
	close_fd(r, &r->fd);
	r->fd = open_segment(r, s, err);
	r->fd_number = s->number;
	return r->fd;
}

/* The frame at a position, into memory of its own: its bytes; 0: none is there. */
static int take_frame(struct hr_file_reader *r, int fd, const struct hr_file_segment *s,
		      int64_t position, uint8_t **out, struct hr_err *err)
{
	const struct hr_disk *disk = r->place->disk;
	uint64_t at = hr_file_at(s, position);
	uint8_t head[HR_FRAME_HEAD_BYTES];
	char path[HR_LOG_PATH_MAX];
	uint32_t n = 0;
	uint8_t *frame;
	int rc = hr_file_read_all(disk, fd, head, sizeof(head), at);

	hr_file_segment_path(path, r->place, s->number);
	if (rc < 0)
		return hr_fail(err, rc, "%s: %s", path, strerror(-rc));
	if (rc > 0)
		n = hr_frame_head_bytes(head, position);
	if (n == 0)
		return 0;
	frame = malloc(n);
	if (frame == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a record of %u bytes", n);
	memcpy(frame, head, sizeof(head));
	rc = hr_file_read_all(disk, fd, frame + sizeof(head), n - sizeof(head),
			      at + sizeof(head));
	if (rc > 0 && hr_frame_check(frame, position)) {
		*out = frame;
		return (int)n;
	}
	free(frame);
	return rc < 0 ? hr_fail(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

static void give(struct hr_file_record *out, uint8_t *frame, int64_t position, int n)
{
	struct hr_str record = hr_frame_record(frame);

	*out = (struct hr_file_record){
		.offset = position + n - 1,
		.memory = frame,
		.bytes = record.p,
		.n_bytes = record.n,
	};
}

static bool ends_before(const struct hr_file_reader *r)
{
	if (HR_MUTANT(segment_no_mark) && !is_last(r, r->index))
		return false;
	return r->at >= limit(r, r->index);
}

int hr_file_reader_next(struct hr_file_reader *r, struct hr_file_record *out,
			struct hr_err *err)
{
	while (r->list.n > 0) {
		const struct hr_file_segment *s = &r->list.at[r->index];
		uint8_t *frame = NULL;
		int fd, n = 0;

		if (!ends_before(r)) {
			fd = fd_of(r, r->index, err);
			if (fd < 0)
				return fd;
			n = take_frame(r, fd, s, r->at, &frame, err);
			if (n < 0)
				return n;
			if (n > 0 && (HR_MUTANT(segment_no_mark) ||
				      r->at + n <= limit(r, r->index))) {
				give(out, frame, r->at, n);
				r->at += n;
				return 1;
			}
			free(frame);
			if (!HR_MUTANT(segment_no_mark))
				return damaged(r, s, r->at, err);
		}
		if (is_last(r, r->index))
			return 0;
		if (!HR_MUTANT(segment_no_mark) && r->at > s[1].base)
			return gone(r, r->at, err);
		r->index++;
		r->at = s[1].base;
	}
	return 0;
}

/* ---- finding an offset ----------------------------------------------------- */

/* The record whose last byte is at this offset: where it begins; 0 bytes: there is
 * none. */
static int find_ending_at(struct hr_file_reader *r, int fd,
			  const struct hr_file_segment *s, int64_t offset,
			  uint8_t **frame, int64_t *position, struct hr_err *err)
{
	uint8_t tail[HR_FRAME_TAIL_BYTES];
	int64_t end = offset + 1;
	uint32_t n;
	int rc;

	*frame = NULL;
	if (end - s->base < HR_FRAME_BYTES(1))
		return 0;
	rc = hr_file_read_all(r->place->disk, fd, tail, sizeof(tail),
			      hr_file_at(s, end) - sizeof(tail));
	if (rc <= 0)
		return rc;
	n = hr_frame_tail_bytes(tail);
	if (n == 0 || n > end - s->base)
		return 0;
	*position = end - n;
	rc = take_frame(r, fd, s, *position, frame, err);
	if (rc > 0 && (uint32_t)rc != n) {
		free(*frame);
		*frame = NULL;
		return 0;
	}
	return rc;
}

/* Whether a record may begin here: one does, or one ends right before. */
static int is_boundary(struct hr_file_reader *r, int fd,
		       const struct hr_file_segment *s, int64_t offset,
		       struct hr_err *err)
{
	uint8_t head[HR_FRAME_HEAD_BYTES], *frame;
	int64_t position;
	int rc;

	if (offset == s->base || offset == r->end)
		return 1;
	rc = hr_file_read_all(r->place->disk, fd, head, sizeof(head),
			      hr_file_at(s, offset));
	if (rc < 0 || (rc > 0 && hr_frame_head_bytes(head, offset) != 0))
		return rc;
	rc = find_ending_at(r, fd, s, offset - 1, &frame, &position, err);
	free(frame);
	return rc;
}

int hr_file_reader_seek(struct hr_file_reader *r, int64_t offset, struct hr_err *err)
{
	int64_t position;
	uint32_t index;
	uint8_t *frame;
	int fd, rc;

	rc = hr_file_reader_look(r, err);
	if (rc < 0)
		return rc;
	if (offset == HR_LOG_BEGINNING)
		offset = r->list.start;
	position = offset;
	if (offset < r->list.start || offset > r->end)
		return gone(r, offset, err);
	if (r->list.n == 0) {
		r->at = offset;
		return 0;
	}
	index = hr_file_list_find(&r->list, offset);
	fd = fd_of(r, index, err);
	if (fd < 0)
		return fd;
	rc = is_boundary(r, fd, &r->list.at[index], offset, err);
	if (rc == 0) {
		rc = find_ending_at(r, fd, &r->list.at[index], offset, &frame,
				    &position, err);
		free(frame);
	}
	if (rc < 0)
		return rc;
	if (rc == 0)
		return gone(r, offset, err);
	r->index = index;
	r->at = position;
	return 0;
}

int hr_file_reader_at(struct hr_file_reader *r, int64_t offset,
		      struct hr_file_record *out, struct hr_err *err)
{
	int64_t position;
	uint32_t index;
	uint8_t *frame;
	int fd, n;

	n = hr_file_reader_look(r, err);
	if (n < 0)
		return n;
	if (offset < r->list.start || offset >= r->end || r->list.n == 0)
		return gone(r, offset, err);
	index = hr_file_list_find(&r->list, offset);
	fd = fd_of(r, index, err);
	if (fd < 0)
		return fd;
	n = find_ending_at(r, fd, &r->list.at[index], offset, &frame, &position, err);
	if (n == 0)
		return gone(r, offset, err);
	if (n < 0)
		return n;
	give(out, frame, position, n);
	return 1;
}
