/* SPDX-License-Identifier: BSD-3-Clause */

/* The one who appends to a shard. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/log/file_shard.h"

/* Room is taken ahead in such steps: then a full disk shows before it tears a record,
 * and a sync has no new size to write. */
#define RESERVE_BYTES (8u << 20)
#define NEXT_NAME "next"

int hr_file_writer_init(struct hr_file_writer *w, const struct hr_file_place *place,
			struct hr_err *err)
{
	*w = (struct hr_file_writer){ .place = place, .lock_fd = -1, .fd = -1 };
	w->buffer = malloc(HR_FRAME_MAX);
	return w->buffer != NULL ? 0 : hr_fail(err, -ENOMEM, "no memory for a record");
}

void hr_file_writer_fini(struct hr_file_writer *w)
{
	hr_file_writer_close(w);
	free(w->buffer);
	w->buffer = NULL;
}

static int poison(struct hr_file_writer *w, int r, const char *what, struct hr_err *err)
{
	char path[HR_LOG_PATH_MAX];

	w->is_poisoned = true;
	hr_file_segment_path(path, w->place, w->segment.number);
	return hr_fail(err, r, "%s: %s: %s; nothing more is written to this file", path,
		       what, strerror(-r));
}

static int disk_fail(struct hr_err *err, int r, const char *path)
{
	return hr_fail(err, r, "%s: %s", path, strerror(-r));
}

/* ---- making a segment ------------------------------------------------------ */

static void reserve(struct hr_file_writer *w, uint64_t up_to)
{
	const struct hr_disk *disk = w->place->disk;
	uint64_t step = w->place->segment_bytes < RESERVE_BYTES
				? w->place->segment_bytes
				: RESERVE_BYTES;

	if (!w->may_reserve || up_to <= w->reserved_bytes)
		return;
	if (up_to > w->reserved_bytes + step)
		step = up_to - w->reserved_bytes;
	/* Not possible here, or not so much: what is left is taken as it comes. */
	if (disk->reserve(disk->arg, w->fd, w->reserved_bytes, step) < 0)
		w->may_reserve = false;
	else
		w->reserved_bytes += step;
}

/* What stands whole behind the last mark of the predecessor, to the same positions. */
static int take_over(struct hr_file_writer *w, int from_fd,
		     const struct hr_file_segment *from)
{
	const struct hr_file_place *place = w->place;
	int r = 0;

	while (from_fd >= 0) {
		int n = hr_file_frame_read(place, from_fd, from, w->at, w->buffer);

		if (n <= 0)
			return n;
		reserve(w, hr_file_at(&w->segment, w->at) + (uint32_t)n);
		r = hr_file_write_all(place->disk, w->fd, w->buffer, (size_t)n,
				      hr_file_at(&w->segment, w->at));
		if (r < 0)
			return r;
		w->at += n;
	}
	return 0;
}

static int write_head(struct hr_file_writer *w)
{
	uint8_t page[HR_SEGMENT_FRAMES_AT] = { 0 };
	const struct hr_segment_head head = {
		.data_set = w->place->set->id,
		.generation = w->place->set->generation,
		.shard = w->place->shard,
		.number = w->segment.number,
		.base = w->segment.base,
		.made_us = w->segment.made_us,
	};
	/* Before the folder is synced nobody may see what was taken over. */
	const struct hr_segment_mark mark = { .count = 1, .position = w->segment.base };

	hr_segment_head_encode(page, &head);
	hr_segment_mark_encode(page + HR_SEGMENT_MARK_AT(0), &mark);
	w->n_marks = mark.count;
	w->mark = mark.position;
	return hr_file_write_all(w->place->disk, w->fd, page, sizeof(page), 0);
}

/* In turns to one place and the other: a torn write leaves the older one. */
static int write_mark(struct hr_file_writer *w, int64_t position)
{
	const struct hr_segment_mark mark = { w->n_marks + 1, position };
	uint8_t bytes[HR_SEGMENT_MARK_BYTES];
	int r;

	hr_segment_mark_encode(bytes, &mark);
	r = hr_file_write_all(w->place->disk, w->fd, bytes, sizeof(bytes),
			      HR_SEGMENT_MARK_AT(w->n_marks % HR_SEGMENT_MARKS));
	if (r < 0)
		return r;
	w->n_marks++;
	w->mark = position;
	return 0;
}

/* Give it its name. An empty one makes room; anything else that bears it stays. */
static int name_it(struct hr_file_writer *w, bool replaces)
{
	const struct hr_disk *disk = w->place->disk;
	char next[HR_LOG_PATH_MAX], path[HR_LOG_PATH_MAX];
	int r;

	hr_file_path(next, w->place, NEXT_NAME);
	hr_file_segment_path(path, w->place, w->segment.number);
	if (replaces)
		return disk->rename(disk->arg, next, path);
	r = disk->link(disk->arg, next, path);
	return r < 0 ? r : disk->unlink(disk->arg, next);
}

struct making {
	uint64_t number;
	int64_t base;
	bool replaces; /* an empty one of this number */
	bool syncs;
	/* Of the predecessor, at base; fd -1: nothing to take over. */
	int from_fd;
	const struct hr_file_segment *from;
};

static int fill_and_name(struct hr_file_writer *w, const struct making *m)
{
	const struct hr_disk *disk = w->place->disk;
	char folder[HR_LOG_FOLDER_MAX];
	int r;

	reserve(w, HR_SEGMENT_FRAMES_AT);
	r = take_over(w, m->from_fd, m->from);
	if (r == 0)
		r = write_head(w);
	if (r == 0 && m->syncs)
		r = disk->sync(disk->arg, w->fd);
	HR_CRASH_POINT(file_segment_written);
	if (r == 0)
		r = name_it(w, m->replaces);
	HR_CRASH_POINT(file_segment_named);
	hr_file_folder(folder, w->place);
	if (r == 0 && m->syncs)
		r = disk->sync_folder(disk->arg, folder);
	if (r == 0 && w->at > w->mark)
		r = write_mark(w, w->at);
	return r;
}

/* The next segment becomes w's. */
static int make(struct hr_file_writer *w, const struct making *m, struct hr_err *err)
{
	const struct hr_disk *disk = w->place->disk;
	char next[HR_LOG_PATH_MAX];
	int r;

	hr_file_path(next, w->place, NEXT_NAME);
	r = disk->unlink(disk->arg, next); /* of one who died over it */
	if (r < 0 && r != -ENOENT)
		return disk_fail(err, r, next);
	if (w->fd >= 0)
		disk->close(disk->arg, w->fd);
	w->fd = disk->open(disk->arg, next, O_RDWR | O_CREAT | O_EXCL);
	if (w->fd < 0)
		return disk_fail(err, w->fd, next);
	w->segment = (struct hr_file_segment){ m->number, m->base, hr_wall_us() };
	w->at = m->base;
	w->reserved_bytes = 0;
	w->may_reserve = true;
	r = fill_and_name(w, m);
	if (r < 0)
		return poison(w, r, "making it", err);
	if (m->number > w->synced_number)
		w->synced_number = m->number;
	return 0;
}

/* ---- becoming the writer --------------------------------------------------- */

static int make_folders(struct hr_file_writer *w, struct hr_err *err)
{
	const struct hr_file_place *place = w->place;
	const struct hr_disk *disk = place->disk;
	char topic[HR_LOG_FOLDER_MAX], folder[HR_LOG_FOLDER_MAX];
	int r;

	snprintf(topic, sizeof(topic), "%s/%s", place->root, place->set->log_topic);
	hr_file_folder(folder, place);
	r = disk->mkdir(disk->arg, topic);
	if (r < 0 && r != -EEXIST)
		return disk_fail(err, r, topic);
	r = disk->mkdir(disk->arg, folder);
	if (r < 0 && r != -EEXIST)
		return disk_fail(err, r, folder);
	if (HR_MUTANT(recovery_no_sync))
		return 0;
	r = disk->sync_folder(disk->arg, place->root);
	if (r == 0)
		r = disk->sync_folder(disk->arg, topic);
	return r < 0 ? disk_fail(err, r, topic) : 0;
}

static int take_lock(struct hr_file_writer *w, struct hr_err *err)
{
	const struct hr_disk *disk = w->place->disk;
	char path[HR_LOG_PATH_MAX];
	int r;

	hr_file_path(path, w->place, "lock");
	w->lock_fd = disk->open(disk->arg, path, O_RDWR | O_CREAT);
	if (w->lock_fd < 0)
		return disk_fail(err, w->lock_fd, path);
	r = disk->lock(disk->arg, w->lock_fd);
	if (r == -EWOULDBLOCK)
		return hr_fail(
			err, r,
			"%s is held: another process writes the log of shard %u; "
			"stop one of them",
			path, w->place->shard);
	return r < 0 ? disk_fail(err, r, path) : 0;
}

/* What others left may be in the page cache only, a copied folder wholly so. */
static int sync_all(struct hr_file_writer *w, const struct hr_file_list *list,
		    struct hr_err *err)
{
	const struct hr_disk *disk = w->place->disk;
	char path[HR_LOG_PATH_MAX];
	int r;

	for (uint32_t i = 0; i < list->n; i++) {
		int fd;

		if (list->at[i].number <= w->synced_number)
			continue;
		hr_file_segment_path(path, w->place, list->at[i].number);
		fd = disk->open(disk->arg, path, O_RDWR);
		if (fd == -ENOENT)
			continue; /* trimmed */
		if (fd < 0)
			return disk_fail(err, fd, path);
		/* Once, whatever comes of it: a second sync would say nothing. What
		 * counts in it was synced when it was marked. */
		w->synced_number = list->at[i].number;
		r = disk->sync(disk->arg, fd);
		disk->close(disk->arg, fd);
		if (r < 0)
			return hr_fail(err, r, "%s: syncing what was found in it: %s",
				       path, strerror(-r));
	}
	hr_file_folder(path, w->place);
	r = disk->sync_folder(disk->arg, path);
	return r < 0 ? disk_fail(err, r, path) : 0;
}

/* Bytes that count for nobody, and room that was taken ahead, go back. Whether they do
 * matters to nobody. */
static void cut_surplus(struct hr_file_writer *w, int fd,
			const struct hr_file_segment *segment, int64_t end)
{
	const struct hr_disk *disk = w->place->disk;
	uint64_t n = hr_file_at(segment, end);
	uint8_t last;

	if (hr_file_read_all(disk, fd, &last, 1, n - 1) > 0)
		(void)disk->truncate(disk->arg, fd, n);
}

static int follow(struct hr_file_writer *w, const struct hr_file_segment *last,
		  bool was_poisoned, struct hr_err *err)
{
	const struct hr_disk *disk = w->place->disk;
	struct making m = { .from = last, .syncs = !HR_MUTANT(recovery_no_sync) };
	struct hr_segment_mark mark;
	char path[HR_LOG_PATH_MAX];
	int fd, r;

	hr_file_segment_path(path, w->place, last->number);
	fd = disk->open(disk->arg, path, O_RDWR);
	if (fd < 0)
		return disk_fail(err, fd, path);
	r = hr_file_mark_read(&mark, w->place, fd, last, err);
	if (r < 0)
		goto out;
	m.from_fd = fd;
	m.base = mark.position;
	r = mark.position > last->base
		    ? 1
		    : hr_file_frame_read(w->place, fd, last, last->base, w->buffer);
	if (r < 0) {
		r = disk_fail(err, r, path);
		goto out;
	}
	/* One that holds nothing is replaced: a disk that fails again and again would
	 * else leave a file each time. */
	m.replaces = r == 0;
	m.number = m.replaces ? last->number : last->number + 1;
	r = make(w, &m, err);
	if (r == 0 && !m.replaces && !was_poisoned)
		cut_surplus(w, fd, last, mark.position);
out:
	disk->close(disk->arg, fd);
	return r;
}

int hr_file_writer_open(struct hr_file_writer *w, struct hr_err *err)
{
	struct hr_file_list list = { 0 };
	bool was_poisoned = w->is_poisoned;
	int r;

	hr_file_writer_close(w);
	w->is_poisoned = false;
	r = make_folders(w, err);
	if (r == 0)
		r = take_lock(w, err);
	if (r == 0)
		r = hr_file_list_read(&list, w->place, err);
	if (r == 0 && !HR_MUTANT(recovery_no_sync))
		r = sync_all(w, &list, err);
	if (r == 0 && list.n > 0)
		r = follow(w, &list.at[list.n - 1], was_poisoned, err);
	else if (r == 0)
		r = make(w,
			 &(struct making){ .number = 1,
					   .from_fd = -1,
					   .syncs = !HR_MUTANT(recovery_no_sync) },
			 err);
	hr_file_list_fini(&list);
	w->is_open = r == 0;
	if (r < 0)
		hr_file_writer_close(w);
	return r;
}

/* A mark on the disk narrows what a later opening has to look through. */
static void finish(struct hr_file_writer *w)
{
	const struct hr_disk *disk = w->place->disk;

	if (!w->is_open || w->is_poisoned || w->at != w->mark)
		return;
	cut_surplus(w, w->fd, &w->segment, w->at);
	(void)disk->sync(disk->arg, w->fd);
}

void hr_file_writer_close(struct hr_file_writer *w)
{
	const struct hr_disk *disk = w->place->disk;

	finish(w);
	if (w->fd >= 0)
		disk->close(disk->arg, w->fd);
	if (w->lock_fd >= 0)
		disk->close(disk->arg, w->lock_fd); /* and unlocks */
	w->fd = w->lock_fd = -1;
	w->is_open = false;
}

/* ---- appending ------------------------------------------------------------- */

static int begin_next(struct hr_file_writer *w, struct hr_err *err)
{
	const struct making m = {
		.number = w->segment.number + 1,
		.base = w->mark,
		.from_fd = -1,
		.syncs = true,
	};

	cut_surplus(w, w->fd, &w->segment, w->mark);
	return make(w, &m, err);
}

int hr_file_writer_append(struct hr_file_writer *w, const uint8_t *bytes,
			  uint32_t n_bytes, int64_t *offset, struct hr_err *err)
{
	uint32_t n = HR_FRAME_BYTES(n_bytes);
	int r = 0;

	if (!w->is_open || w->is_poisoned)
		return hr_fail(err, -EIO, "the log of shard %u is not open",
			       w->place->shard);
	if (w->at > w->segment.base &&
	    hr_file_at(&w->segment, w->at) + n > w->place->segment_bytes) {
		r = hr_file_writer_sync(w, err);
		if (r == 0)
			r = begin_next(w, err);
		if (r < 0) {
			w->is_poisoned = true;
			return r;
		}
	}
	hr_frame_encode(w->buffer, w->at, bytes, n_bytes);
	reserve(w, hr_file_at(&w->segment, w->at) + n);
	r = hr_file_write_all(w->place->disk, w->fd, w->buffer, n,
			      hr_file_at(&w->segment, w->at));
	if (r < 0)
		return poison(w, r, "writing a record", err);
	HR_CRASH_POINT(file_record_written);
	w->at += n;
	*offset = w->at - 1;
	return 0;
}

int hr_file_writer_sync(struct hr_file_writer *w, struct hr_err *err)
{
	const struct hr_disk *disk = w->place->disk;
	int r = 0;

	if (!w->is_open || w->is_poisoned)
		return hr_fail(err, -EIO, "the log of shard %u is not open",
			       w->place->shard);
	if (w->at == w->mark)
		return 0;
	if (!HR_MUTANT(file_no_sync))
		r = disk->sync(disk->arg, w->fd);
	if (r < 0)
		return poison(w, r, "syncing", err);
	HR_CRASH_POINT(file_synced);
	r = write_mark(w, w->at);
	if (r < 0)
		return poison(w, r, "marking what was synced", err);
	HR_CRASH_POINT(file_marked);
	return 0;
}
