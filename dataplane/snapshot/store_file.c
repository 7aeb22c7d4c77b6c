/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Snapshots in a folder beside the log's files:
 *
 *   <folder>/<shard>/writing-<id>                 being written
 *                    00000000000000000042.snapshot    whole: chunks, then the manifest
 *
 * A file gets its number, one above the highest, when it is whole and synced; a place is
 * {number, record}. What a killed writer left is taken away by the next one.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "dataplane/snapshot/format.h"
#include "dataplane/snapshot/store_file.h"

#define PATH_BYTES 512
#define NAME_FORMAT "%020" PRIu64 ".snapshot"
#define NAME_BYTES 29 /* 20 digits and ".snapshot" */
#define WRITING "writing-"
#define RECORD_BITS 24 /* of a place: 2^24 chunks are 12 TiB */

struct hr_snapshot_store {
	char folder[PATH_BYTES - 64];
	uint32_t n_shards;
	/* The snapshot being written; fd -1: none. */
	int fd;
	uint16_t shard;
	char writing[PATH_BYTES];
};

static int64_t place_of(uint64_t number, uint32_t record)
{
	return (int64_t)(number << RECORD_BITS | record);
}

static void shard_folder(const struct hr_snapshot_store *store, uint16_t shard,
			 char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/%u", store->folder, shard);
}

static void file_path(const struct hr_snapshot_store *store, uint16_t shard,
		      uint64_t number, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/%u/" NAME_FORMAT, store->folder, shard, number);
}

static int fail(struct hr_err *err, const char *what, const char *path)
{
	const int code = errno;

	hr_fail(err, -EIO, "%s %s: %s", what, path, strerror(code));
	return -EIO;
}

/* Names made or taken away are there after a power loss. */
static int folder_sync(const char *path, struct hr_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return fail(err, "opening", path);
	if (fsync(fd) < 0)
		r = fail(err, "syncing", path);
	close(fd);
	return r;
}

/* ---- names ---------------------------------------------------------------------- */

/* The number in a name; false for every other name. */
static bool number_read(const char *name, uint64_t *out)
{
	char again[NAME_BYTES + 16];
	char *end;

	if (strlen(name) != NAME_BYTES || name[0] < '0' || name[0] > '9')
		return false;
	*out = strtoull(name, &end, 10);
	snprintf(again, sizeof(again), NAME_FORMAT, *out);
	return *out < (uint64_t)1 << (63 - RECORD_BITS) && strcmp(again, name) == 0;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* All numbers of a shard's folder, in order; free() them. */
static int numbers_list(const struct hr_snapshot_store *store, uint16_t shard,
			uint64_t **out, size_t *n, struct hr_err *err)
{
	char path[PATH_BYTES];
	struct dirent *e;
	size_t max = 0;
	DIR *dir;
	int r = 0;

	*out = NULL;
	*n = 0;
	shard_folder(store, shard, path);
	dir = opendir(path);
	if (dir == NULL)
		return fail(err, "reading", path);
	while (r == 0 && (e = readdir(dir)) != NULL) {
		uint64_t number;

		if (!number_read(e->d_name, &number))
			continue;
		if (*n == max) {
			uint64_t *fresh;

			max = max == 0 ? 64 : 2 * max;
			fresh = realloc(*out, max * sizeof(*fresh));
			if (fresh == NULL) {
				r = hr_fail(err, -ENOMEM, "no memory for a list");
				break;
			}
			*out = fresh;
		}
		(*out)[(*n)++] = number;
	}
	closedir(dir);
	if (*n > 1)
		qsort(*out, *n, sizeof(**out), by_number);
	return r;
}

/* ---- opening -------------------------------------------------------------------- */

static int folder_make(const char *path, struct hr_err *err)
{
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return fail(err, "making", path);
	return 0;
}

static void file_close(struct hr_snapshot_store *store)
{
	if (store == NULL)
		return;
	if (store->fd >= 0)
		close(store->fd);
	free(store);
}

int hr_snapshot_folder_open(struct hr_snapshot_store **out, const char *folder,
			    uint32_t n_shards, struct hr_err *err)
{
	struct hr_snapshot_store *store = calloc(1, sizeof(*store));
	char path[PATH_BYTES];
	int r;

	if (store == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the snapshots' store");
	store->fd = -1;
	store->n_shards = n_shards;
	if (strlen(folder) >= sizeof(store->folder)) {
		r = hr_fail(err, -EINVAL,
			    "%s: a folder of snapshots has %zu bytes at "
			    "most",
			    folder, sizeof(store->folder) - 1);
		goto fail;
	}
	snprintf(store->folder, sizeof(store->folder), "%s", folder);
	r = folder_make(store->folder, err);
	for (uint32_t s = 0; s < n_shards && r == 0; s++) {
		shard_folder(store, (uint16_t)s, path);
		r = folder_make(path, err);
	}
	if (r == 0)
		r = folder_sync(store->folder, err);
	if (r < 0)
		goto fail;
	*out = store;
	return 0;
fail:
	file_close(store);
	return r;
}

static int file_open(struct hr_snapshot_store **out, const struct hr_config *config,
		     const struct hr_data_set *set, uint32_t wait_ms,
		     struct hr_err *err)
{
	char folder[PATH_BYTES];

	(void)wait_ms;
	snprintf(folder, sizeof(folder), "%s/snapshots", config->log_folder);
	return hr_snapshot_folder_open(out, folder, set->n_shards, err);
}

/* ---- writing -------------------------------------------------------------------- */

static void file_abandon(struct hr_snapshot_store *store, uint16_t shard,
			 const struct hr_id128 *id)
{
	(void)shard;
	(void)id;
	if (store->fd < 0)
		return;
	close(store->fd);
	store->fd = -1;
	(void)unlink(store->writing);
}

static void take_leftovers_away(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, WRITING, sizeof(WRITING) - 1) == 0)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
}

static int begin(struct hr_snapshot_store *store, uint16_t shard,
		 const struct hr_id128 *id, struct hr_err *err)
{
	char hex[HR_ID128_TEXT], path[PATH_BYTES];

	shard_folder(store, shard, path);
	take_leftovers_away(path);
	hr_id128_print(hex, id);
	snprintf(store->writing, sizeof(store->writing), "%s/%u/" WRITING "%s",
		 store->folder, shard, hex);
	store->shard = shard;
	store->fd = open(store->writing, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	return store->fd < 0 ? fail(err, "making", store->writing) : 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t wrote = write(fd, bytes, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return -1;
		bytes += wrote;
		n -= (size_t)wrote;
	}
	return 0;
}

/* Whole and synced: it gets its number. link() refuses one that somebody else took. */
static int finish(struct hr_snapshot_store *store, struct hr_err *err)
{
	char path[PATH_BYTES];
	uint64_t *numbers;
	size_t n;
	int r;

	if (fdatasync(store->fd) < 0)
		return fail(err, "syncing", store->writing);
	r = numbers_list(store, store->shard, &numbers, &n, err);
	if (r < 0)
		return r;
	file_path(store, store->shard, n > 0 ? numbers[n - 1] + 1 : 1, path);
	free(numbers);
	if (link(store->writing, path) < 0)
		return fail(err, "naming", path);
	close(store->fd);
	store->fd = -1;
	(void)unlink(store->writing);
	shard_folder(store, store->shard, path);
	return folder_sync(path, err);
}

static int file_put(struct hr_snapshot_store *store, uint16_t shard,
		    const struct hr_id128 *id, const uint8_t *bytes, uint32_t n,
		    bool is_last, uint32_t wait_ms, struct hr_err *err)
{
	int r = 0;

	(void)wait_ms;
	if (store->fd < 0)
		r = begin(store, shard, id, err);
	if (r == 0 && write_all(store->fd, bytes, n) < 0)
		r = fail(err, "writing", store->writing);
	if (r == 0 && is_last)
		r = finish(store, err);
	return r;
}

/* ---- reading -------------------------------------------------------------------- */

/* One record of an open file into room for HR_RECORD_MAX: its bytes, 0 at the end or
 * where the file is none of ours. */
static size_t record_read(FILE *f, uint8_t *room)
{
	uint32_t n;

	if (fread(room, 1, HR_RECORD_HEAD_BYTES, f) != HR_RECORD_HEAD_BYTES)
		return 0;
	n = hr_load32(room + 12);
	if (n < HR_RECORD_HEAD_BYTES + HR_RECORD_TAIL_BYTES || n > HR_RECORD_MAX)
		return 0;
	if (fread(room + HR_RECORD_HEAD_BYTES, 1, n - HR_RECORD_HEAD_BYTES, f) !=
	    n - HR_RECORD_HEAD_BYTES)
		return 0;
	return n;
}

static int file_hand_out(const char *path, uint64_t number, int64_t from, uint8_t *room,
			 hr_snapshot_take take, void *ctx)
{
	FILE *f = fopen(path, "re");
	uint32_t index = 0;
	size_t n;
	int r = 0;

	if (f == NULL)
		return 0; /* deleted meanwhile */
	while (r == 0 && (n = record_read(f, room)) > 0) {
		const int64_t place = place_of(number, index++);

		if (place >= from)
			r = take(ctx, place, room, n);
	}
	fclose(f);
	return r;
}

static int file_walk(struct hr_snapshot_store *store, uint16_t shard, int64_t from,
		     uint32_t wait_ms, hr_snapshot_take take, void *ctx,
		     struct hr_snapshot_reach *reach, struct hr_err *err)
{
	uint8_t *room = malloc(HR_RECORD_MAX);
	char path[PATH_BYTES];
	uint64_t *numbers;
	size_t n;
	int r;

	(void)wait_ms;
	*reach = (struct hr_snapshot_reach){ 0, from };
	if (room == NULL)
		return hr_fail(err, -ENOMEM, "no memory to read a snapshot");
	r = numbers_list(store, shard, &numbers, &n, err);
	if (r == 0)
		reach->first = n > 0 ? place_of(numbers[0], 0) : INT64_MAX;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (place_of(numbers[i] + 1, 0) <= from)
			continue;
		file_path(store, shard, numbers[i], path);
		r = file_hand_out(path, numbers[i], from, room, take, ctx);
		if (r == 0)
			reach->next = place_of(numbers[i] + 1, 0);
	}
	free(numbers);
	free(room);
	return r;
}

/* ---- deleting ------------------------------------------------------------------- */

static int file_drop(struct hr_snapshot_store *store, uint16_t shard, int64_t before,
		     uint32_t wait_ms, struct hr_err *err)
{
	char path[PATH_BYTES];
	uint64_t *numbers;
	size_t n;
	int r = numbers_list(store, shard, &numbers, &n, err);

	(void)wait_ms;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (place_of(numbers[i] + 1, 0) > before)
			break;
		file_path(store, shard, numbers[i], path);
		if (unlink(path) < 0 && errno != ENOENT)
			r = fail(err, "deleting", path);
	}
	free(numbers);
	return r;
}

const struct hr_snapshot_ops hr_snapshot_file = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.put = file_put,
	.abandon = file_abandon,
	.walk = file_walk,
	.drop = file_drop,
};
