/* SPDX-License-Identifier: BSD-3-Clause */

/* What writer, reader and trimming share: paths, the list of segments, frames. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/log/file_shard.h"

#define SEGMENT_SUFFIX ".segment"
#define NUMBER_DIGITS 8
#define LIST_AGAIN 16 /* while somebody trims between listing and opening */

void hr_file_folder(char out[HR_LOG_FOLDER_MAX], const struct hr_file_place *place)
{
	snprintf(out, HR_LOG_FOLDER_MAX, "%s/%s/%u", place->root, place->set->log_topic,
		 place->shard);
}

void hr_file_path(char out[HR_LOG_PATH_MAX], const struct hr_file_place *place,
		  const char *name)
{
	char folder[HR_LOG_FOLDER_MAX];

	hr_file_folder(folder, place);
	snprintf(out, HR_LOG_PATH_MAX, "%s/%.40s", folder, name);
}

void hr_file_segment_path(char out[HR_LOG_PATH_MAX], const struct hr_file_place *place,
			  uint64_t number)
{
	char name[40];

	snprintf(name, sizeof(name), "%0*llu" SEGMENT_SUFFIX, NUMBER_DIGITS,
		 (unsigned long long)number);
	hr_file_path(out, place, name);
}

/* 0: the name is none of a segment. */
static uint64_t segment_number(const char *name)
{
	uint64_t number = 0;
	const char *p = name;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (number > UINT64_MAX / 10 - 1)
			return 0;
		number = number * 10 + (uint64_t)(*p - '0');
	}
	return p - name >= NUMBER_DIGITS && strcmp(p, SEGMENT_SUFFIX) == 0 ? number : 0;
}

int hr_file_read_all(const struct hr_disk *disk, int fd, void *out, size_t n,
		     uint64_t at)
{
	uint8_t *p = out;

	while (n > 0) {
		ssize_t r = disk->read(disk->arg, fd, p, n, at);

		if (r <= 0)
			return (int)r;
		p += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 1;
}

int hr_file_write_all(const struct hr_disk *disk, int fd, const void *bytes, size_t n,
		      uint64_t at)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		ssize_t r = disk->write(disk->arg, fd, p, n, at);

		if (r <= 0)
			return r < 0 ? (int)r : -EIO;
		p += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

int hr_file_frame_read(const struct hr_file_place *place, int fd,
		       const struct hr_file_segment *segment, int64_t position,
		       uint8_t *buffer)
{
	uint64_t at = hr_file_at(segment, position);
	uint32_t n;
	int r = hr_file_read_all(place->disk, fd, buffer, HR_FRAME_HEAD_BYTES, at);

	if (r <= 0)
		return r;
	n = hr_frame_head_bytes(buffer, position);
	if (n == 0)
		return 0;
	r = hr_file_read_all(place->disk, fd, buffer + HR_FRAME_HEAD_BYTES,
			     n - HR_FRAME_HEAD_BYTES, at + HR_FRAME_HEAD_BYTES);
	if (r <= 0)
		return r;
	return hr_frame_check(buffer, position) ? (int)n : 0;
}

static int belongs(const struct hr_file_place *place,
		   const struct hr_segment_head *head, const char *path,
		   uint64_t number, struct hr_err *err)
{
	if (!hr_id128_equals(&head->data_set, &place->set->id) ||
	    head->generation != place->set->generation)
		return hr_fail(err, -EINVAL,
			       "%s is of another data set than %s/meta says: bring the "
			       "right one back, or use another log.folder",
			       path, place->root);
	if (head->shard != place->shard || head->number != number)
		return hr_fail(err, -EBADMSG,
			       "%s says that it is segment %llu of shard %u: it was "
			       "moved or renamed",
			       path, (unsigned long long)head->number, head->shard);
	return 0;
}

static int head_read(struct hr_file_segment *out, const struct hr_file_place *place,
		     uint64_t number, struct hr_err *err)
{
	uint8_t bytes[HR_SEGMENT_HEAD_BYTES];
	struct hr_segment_head head;
	char path[HR_LOG_PATH_MAX];
	int fd, r;

	hr_file_segment_path(path, place, number);
	fd = place->disk->open(place->disk->arg, path, O_RDONLY);
	if (fd < 0)
		return hr_fail(err, fd, "%s: %s", path, strerror(-fd));
	r = hr_file_read_all(place->disk, fd, bytes, sizeof(bytes), 0);
	place->disk->close(place->disk->arg, fd);
	if (r < 0)
		return hr_fail(err, r, "%s: %s", path, strerror(-r));
	if (r == 0)
		return hr_fail(err, -EBADMSG, "%s is damaged: it ends within its head",
			       path);
	r = hr_segment_head_decode(&head, bytes, err);
	if (r < 0)
		return hr_fail_in(err, r, path);
	*out = (struct hr_file_segment){ number, head.base, head.made_us };
	return belongs(place, &head, path, number, err);
}

static int push(struct hr_file_list *list, struct hr_file_segment segment)
{
	if (list->n == list->max) {
		uint32_t max = list->max == 0 ? 16 : 2 * list->max;
		void *more = realloc(list->at, max * sizeof(*list->at));

		if (more == NULL)
			return -ENOMEM;
		list->at = more;
		list->max = max;
	}
	list->at[list->n++] = segment;
	return 0;
}

static int tell(void *ctx, const char *name)
{
	uint64_t number = segment_number(name);

	return number == 0 ? 0
			   : push(ctx, (struct hr_file_segment){ .number = number });
}

static int by_number(const void *a, const void *b)
{
	const struct hr_file_segment *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int start_read(int64_t *start, const struct hr_file_place *place,
		      struct hr_err *err)
{
	uint8_t bytes[HR_LOG_START_BYTES];
	char path[HR_LOG_PATH_MAX];
	int fd, r;

	*start = 0;
	hr_file_path(path, place, "start");
	fd = place->disk->open(place->disk->arg, path, O_RDONLY);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return hr_fail(err, fd, "%s: %s", path, strerror(-fd));
	r = hr_file_read_all(place->disk, fd, bytes, sizeof(bytes), 0);
	place->disk->close(place->disk->arg, fd);
	if (r < 0)
		return hr_fail(err, r, "%s: %s", path, strerror(-r));
	if (r == 0 || !hr_log_start_decode(place->shard, start, bytes))
		return hr_fail(err, -EBADMSG, "%s is damaged", path);
	return 0;
}

/* Segments that a trim has not got to yet count no more. */
static uint32_t forget_trimmed(struct hr_file_list *list)
{
	uint32_t n = 0;

	while (n + 1 < list->n && list->at[n + 1].base <= list->start)
		n++;
	list->n -= n;
	if (n > 0)
		memmove(list->at, list->at + n, list->n * sizeof(*list->at));
	return n;
}

int hr_file_list_trimmed(struct hr_file_list *list, const struct hr_file_place *place,
			 struct hr_err *err)
{
	int r = start_read(&list->start, place, err);

	return r < 0 ? r : (int)forget_trimmed(list);
}

uint32_t hr_file_list_find(const struct hr_file_list *list, int64_t position)
{
	uint32_t i = list->n - 1;

	while (i > 0 && list->at[i].base > position)
		i--;
	return i;
}

static int check_order(const struct hr_file_list *list,
		       const struct hr_file_place *place, struct hr_err *err)
{
	char folder[HR_LOG_FOLDER_MAX];

	hr_file_folder(folder, place);
	if (list->n == 0)
		return list->start == 0 ? 0
					: hr_fail(err, -EBADMSG,
						  "%s holds no segment, and was "
						  "trimmed up to %lld",
						  folder, (long long)list->start);
	if (list->at[0].base > list->start)
		return hr_fail(err, -EBADMSG,
			       "%s: what stands from %lld up to segment %llu, which "
			       "begins at %lld, is gone, and was not trimmed",
			       folder, (long long)list->start,
			       (unsigned long long)list->at[0].number,
			       (long long)list->at[0].base);
	for (uint32_t i = 1; i < list->n; i++)
		if (list->at[i].number != list->at[i - 1].number + 1 ||
		    list->at[i].base < list->at[i - 1].base)
			return hr_fail(
				err, -EBADMSG,
				"%s: segment %llu (from %lld) follows %llu (from "
				"%lld): one is missing or from elsewhere",
				folder, (unsigned long long)list->at[i].number,
				(long long)list->at[i].base,
				(unsigned long long)list->at[i - 1].number,
				(long long)list->at[i - 1].base);
	return 0;
}

static int list_once(struct hr_file_list *list, const struct hr_file_place *place,
		     struct hr_err *err)
{
	char folder[HR_LOG_FOLDER_MAX];
	int r;

	list->n = 0;
	hr_file_folder(folder, place);
	r = place->disk->list(place->disk->arg, folder, tell, list);
	if (r == -ENOENT) {
		list->start = 0;
		return 0;
	}
	if (r < 0)
		return hr_fail(err, r, "%s: %s", folder, strerror(-r));
	if (list->n > 0)
		qsort(list->at, list->n, sizeof(*list->at), by_number);
	/* After the names: whoever trims moves the start first. */
	r = start_read(&list->start, place, err);
	for (uint32_t i = 0; i < list->n && r == 0; i++)
		r = head_read(&list->at[i], place, list->at[i].number, err);
	return r;
}

int hr_file_list_read(struct hr_file_list *list, const struct hr_file_place *place,
		      struct hr_err *err)
{
	int r = 0;

	for (int i = 0; i < LIST_AGAIN; i++) {
		r = list_once(list, place, err);
		if (r != -ENOENT)
			break;
	}
	if (r == 0) {
		forget_trimmed(list);
		r = check_order(list, place, err);
	}
	if (r < 0)
		list->n = 0;
	return r;
}

void hr_file_list_fini(struct hr_file_list *list)
{
	free(list->at);
	*list = (struct hr_file_list){ 0 };
}

int hr_file_list_next(struct hr_file_list *list, const struct hr_file_place *place,
		      struct hr_err *err)
{
	struct hr_file_segment *last = &list->at[list->n - 1], next;
	char path[HR_LOG_PATH_MAX];
	uint64_t id;
	int r;

	hr_file_segment_path(path, place, last->number + 1);
	if (place->disk->identify(place->disk->arg, path, &id) < 0)
		return 0;
	r = head_read(&next, place, last->number + 1, err);
	if (r < 0)
		return r;
	if (next.base < last->base)
		return hr_fail(err, -EBADMSG, "%s begins before its predecessor", path);
	r = push(list, next);
	return r < 0 ? hr_fail(err, r, "no memory for segments") : 1;
}

int hr_file_mark_read(struct hr_segment_mark *out, const struct hr_file_place *place,
		      int fd, const struct hr_file_segment *segment, struct hr_err *err)
{
	uint8_t bytes[HR_SEGMENT_FRAMES_AT];
	char path[HR_LOG_PATH_MAX];
	bool is_there = false;
	int r = hr_file_read_all(place->disk, fd, bytes, sizeof(bytes), 0);

	hr_file_segment_path(path, place, segment->number);
	if (r < 0)
		return hr_fail(err, r, "%s: %s", path, strerror(-r));
	for (uint32_t i = 0; i < HR_SEGMENT_MARKS && r > 0; i++) {
		struct hr_segment_mark mark;

		if (!hr_segment_mark_decode(&mark, bytes + HR_SEGMENT_MARK_AT(i)) ||
		    mark.position < segment->base)
			continue;
		if (!is_there || mark.count > out->count)
			*out = mark;
		is_there = true;
	}
	if (!is_there)
		return hr_fail(err, -EBADMSG, "%s is damaged: it holds no mark", path);
	return 0;
}
