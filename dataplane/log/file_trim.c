/* SPDX-License-Identifier: BSD-3-Clause */

/* Dropping the beginning of a shard's log: first the start mark, then the files. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crash_point.h"
#include "dataplane/log/file_shard.h"

static int disk_fail(struct hr_err *err, int r, const char *path)
{
	return hr_fail(err, r, "%s: %s", path, strerror(-r));
}

/* Trimmers of two processes wait for nobody: the second comes again. */
static int lock(const struct hr_file_place *place, struct hr_err *err)
{
	char path[HR_LOG_PATH_MAX];
	int fd, r;

	hr_file_path(path, place, "trim.lock");
	fd = place->disk->open(place->disk->arg, path, O_RDWR | O_CREAT);
	if (fd < 0)
		return disk_fail(err, fd, path);
	r = place->disk->lock(place->disk->arg, fd);
	if (r == 0)
		return fd;
	place->disk->close(place->disk->arg, fd);
	return disk_fail(err, r, path);
}

static int write_start(const struct hr_file_place *place, int64_t start,
		       struct hr_err *err)
{
	const struct hr_disk *disk = place->disk;
	char next[HR_LOG_PATH_MAX], path[HR_LOG_PATH_MAX], folder[HR_LOG_FOLDER_MAX];
	uint8_t bytes[HR_LOG_START_BYTES];
	int fd, r;

	hr_file_path(next, place, "start.next");
	hr_file_path(path, place, "start");
	hr_file_folder(folder, place);
	r = disk->unlink(disk->arg, next);
	if (r < 0 && r != -ENOENT)
		return disk_fail(err, r, next);
	fd = disk->open(disk->arg, next, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return disk_fail(err, fd, next);
	hr_log_start_encode(bytes, place->shard, start);
	r = hr_file_write_all(disk, fd, bytes, sizeof(bytes), 0);
	if (r == 0)
		r = disk->sync(disk->arg, fd);
	disk->close(disk->arg, fd);
	if (r == 0)
		r = disk->rename(disk->arg, next, path);
	if (r == 0)
		r = disk->sync_folder(disk->arg, folder);
	return r < 0 ? disk_fail(err, r, path) : 0;
}

struct dropping {
	const struct hr_file_place *place;
	uint64_t before; /* number */
};

static int drop_one(void *ctx, const char *name)
{
	const struct dropping *d = ctx;
	unsigned long long number;
	char path[HR_LOG_PATH_MAX];
	int end = 0, r;

	if (sscanf(name, "%llu.segment%n", &number, &end) != 1 || end == 0 ||
	    name[end] != '\0' || number >= d->before)
		return 0;
	hr_file_path(path, d->place, name);
	r = d->place->disk->unlink(d->place->disk->arg, path);
	return r == -ENOENT ? 0 : r;
}

static int drop(const struct hr_file_place *place, uint64_t before, struct hr_err *err)
{
	struct dropping d = { place, before };
	char folder[HR_LOG_FOLDER_MAX];
	int r;

	hr_file_folder(folder, place);
	r = place->disk->list(place->disk->arg, folder, drop_one, &d);
	return r < 0 ? disk_fail(err, r, folder) : 0;
}

static int trim_locked(const struct hr_file_place *place, int64_t before,
		       struct hr_err *err)
{
	struct hr_file_record record;
	const struct hr_file_segment *s;
	struct hr_file_reader reader;
	int r;

	hr_file_reader_init(&reader, place);
	r = hr_file_reader_at(&reader, before, &record, err);
	if (r > 0) {
		free(record.memory);
		s = &reader.list.at[hr_file_list_find(&reader.list, before)];
		r = s->base > reader.list.start ? write_start(place, s->base, err) : 0;
		HR_CRASH_POINT(file_start_moved);
		if (r == 0) /* what an earlier one did not get to, too */
			r = drop(place, s->number, err);
	}
	hr_file_reader_fini(&reader);
	return r;
}

int hr_file_trim(const struct hr_file_place *place, int64_t before, struct hr_err *err)
{
	int fd = lock(place, err);
	int r;

	if (fd < 0)
		return fd;
	r = trim_locked(place, before, err);
	place->disk->close(place->disk->arg, fd);
	return r;
}
