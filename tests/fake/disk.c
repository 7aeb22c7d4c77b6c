/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/fake/disk.h"

void fake_disk_init(struct fake_disk *d)
{
	memset(d, 0, offsetof(struct fake_disk, pending));
	d->room_bytes = UINT64_MAX;
	for (int i = 0; i < FAKE_FDS; i++)
		d->fd_file[i] = d->fd_locks[i] = -1;
}

void fake_disk_copy(struct fake_disk *to, const struct fake_disk *from)
{
	memcpy(to, from, offsetof(struct fake_disk, pending));
	memcpy(to->pending, from->pending, from->n_pending * sizeof(from->pending[0]));
}

static int name_at(struct fake_disk *d, const char *path)
{
	for (uint32_t i = 0; i < d->n_names; i++)
		if (strcmp(d->names[i].path, path) == 0)
			return (int)i;
	assert(d->n_names < FAKE_NAMES && strlen(path) < FAKE_NAME_BYTES);
	snprintf(d->names[d->n_names].path, FAKE_NAME_BYTES, "%s", path);
	d->names[d->n_names].cached = d->names[d->n_names].kept = -1;
	return (int)d->n_names++;
}

static size_t parent_bytes(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? 0 : (size_t)(slash - path);
}

/* The power goes off at this call? */
static bool goes_off(struct fake_disk *d)
{
	if (!d->is_off && ++d->n_calls == d->off_at_call)
		d->is_off = true;
	return d->is_off;
}

static struct fake_pending *pend(struct fake_disk *d)
{
	assert(d->n_pending < FAKE_PENDING);
	return &d->pending[d->n_pending++];
}

static void put(uint8_t *bytes, uint32_t *size, const struct fake_pending *p)
{
	if (p->is_truncate) {
		if (p->at > *size)
			memset(bytes + *size, 0, p->at - *size);
		*size = p->at;
		return;
	}
	assert(p->at + p->n <= FAKE_FILE_BYTES);
	if (p->at > *size)
		memset(bytes + *size, 0, p->at - *size);
	memcpy(bytes + p->at, p->bytes, p->n);
	if (p->at + p->n > *size)
		*size = p->at + p->n;
}

static void reach_disk(struct fake_disk *d, const struct fake_pending *p)
{
	if (p->is_name)
		d->names[p->name].kept = p->file;
	else
		put(d->files[p->file].kept, &d->files[p->file].kept_bytes, p);
}

static void rename_to(struct fake_disk *d, int name, int file)
{
	struct fake_pending *p = pend(d);

	p->is_name = true;
	p->name = name;
	p->file = file;
	d->names[name].cached = file;
}

static int fake_open(void *arg, const char *path, int flags)
{
	struct fake_disk *d = arg;
	int name = name_at(d, path), fd = 0;

	if (d->names[name].cached == -1) {
		if ((flags & O_CREAT) == 0)
			return -ENOENT;
		if (goes_off(d))
			return -EIO;
		assert(d->n_files < FAKE_FILES);
		d->files[d->n_files].cached_bytes = 0;
		d->files[d->n_files].kept_bytes = 0;
		rename_to(d, name, (int)d->n_files++);
	} else if ((flags & O_EXCL) != 0) {
		return -EEXIST;
	}
	while (d->fd_file[fd] >= 0)
		assert(++fd < FAKE_FDS);
	d->fd_file[fd] = d->names[name].cached;
	return fd;
}

static void fake_close(void *arg, int fd)
{
	struct fake_disk *d = arg;

	assert(d->fd_file[fd] >= 0);
	d->fd_file[fd] = d->fd_locks[fd] = -1;
}

static ssize_t fake_read(void *arg, int fd, void *out, size_t n, uint64_t at)
{
	struct fake_disk *d = arg;
	const struct fake_file *f = &d->files[d->fd_file[fd]];

	if (at >= f->cached_bytes)
		return 0;
	if (n > f->cached_bytes - at)
		n = f->cached_bytes - (size_t)at;
	memcpy(out, f->cached + at, n);
	return (ssize_t)n;
}

static void write_piece(struct fake_disk *d, int file, const uint8_t *bytes, size_t n,
			uint64_t at)
{
	struct fake_pending *p = pend(d);

	assert(n <= FAKE_PIECE_BYTES);
	p->is_name = p->is_truncate = false;
	p->file = file;
	p->at = (uint32_t)at;
	p->n = (uint32_t)n;
	memcpy(p->bytes, bytes, n);
	put(d->files[file].cached, &d->files[file].cached_bytes, p);
}

static ssize_t fake_write(void *arg, int fd, const void *bytes, size_t n, uint64_t at)
{
	struct fake_disk *d = arg;
	const uint8_t *b = bytes;
	size_t half = (n / 2 + 7) & ~(size_t)7;
	bool off;

	if (d->is_off)
		return -EIO;
	off = goes_off(d);
	if (d->room_bytes < n) {
		n = (size_t)d->room_bytes;
		if (n == 0)
			return -ENOSPC;
		half = (n / 2 + 7) & ~(size_t)7;
	}
	if (half > n)
		half = n;
	write_piece(d, d->fd_file[fd], b, half, at);
	if (off)
		return -EIO;
	if (n > half)
		write_piece(d, d->fd_file[fd], b + half, n - half, at + half);
	if (d->room_bytes != UINT64_MAX)
		d->room_bytes -= n;
	return (ssize_t)n;
}

/* What is pending of a file, or of a folder's names, reaches the disk or is lost. */
static void settle(struct fake_disk *d, int file, const char *folder, bool lost)
{
	uint32_t n = 0, i_of = 0;

	for (uint32_t i = 0; i < d->n_pending; i++) {
		struct fake_pending *p = &d->pending[i];
		bool is_meant;

		if (p->is_name) {
			const char *path = d->names[p->name].path;

			is_meant = folder != NULL &&
				   parent_bytes(path) == strlen(folder) &&
				   strncmp(path, folder, strlen(folder)) == 0;
		} else {
			is_meant = p->file == file;
		}
		if (!is_meant) {
			if (n != i)
				d->pending[n] = *p;
			n++;
			continue;
		}
		if (!lost || (d->fail_keeps_half && i_of % 2 == 0))
			reach_disk(d, p);
		i_of++;
	}
	d->n_pending = n;
}

static int fake_sync(void *arg, int fd)
{
	struct fake_disk *d = arg;
	bool fails;

	if (goes_off(d))
		return -EIO;
	fails = ++d->n_syncs == d->fail_at_sync;
	settle(d, d->fd_file[fd], NULL, fails);
	return fails ? -EIO : 0;
}

static int fake_reserve(void *arg, int fd, uint64_t at, uint64_t n)
{
	(void)arg;
	(void)fd;
	(void)at;
	(void)n;
	return -EOPNOTSUPP;
}

static int fake_truncate(void *arg, int fd, uint64_t n)
{
	struct fake_disk *d = arg;
	struct fake_pending *p;
	int file = d->fd_file[fd];

	if (goes_off(d))
		return -EIO;
	p = pend(d);
	p->is_name = false;
	p->is_truncate = true;
	p->file = file;
	p->at = (uint32_t)n;
	put(d->files[file].cached, &d->files[file].cached_bytes, p);
	return 0;
}

static int fake_lock(void *arg, int fd)
{
	struct fake_disk *d = arg;

	for (int i = 0; i < FAKE_FDS; i++)
		if (i != fd && d->fd_locks[i] == d->fd_file[fd])
			return -EWOULDBLOCK;
	d->fd_locks[fd] = d->fd_file[fd];
	return 0;
}

static int fake_link(void *arg, const char *from, const char *to)
{
	struct fake_disk *d = arg;
	int a = name_at(d, from), b = name_at(d, to);

	if (d->names[a].cached == -1)
		return -ENOENT;
	if (d->names[b].cached != -1)
		return -EEXIST;
	if (goes_off(d))
		return -EIO;
	rename_to(d, b, d->names[a].cached);
	return 0;
}

/* Both names change in one step: the journal of a file system does that. Here the new
 * name may be kept without the old one's end, which is the worse case. */
static int fake_rename(void *arg, const char *from, const char *to)
{
	struct fake_disk *d = arg;
	int a = name_at(d, from), b = name_at(d, to);

	if (d->names[a].cached == -1)
		return -ENOENT;
	if (goes_off(d))
		return -EIO;
	rename_to(d, b, d->names[a].cached);
	rename_to(d, a, -1);
	return 0;
}

static int fake_unlink(void *arg, const char *path)
{
	struct fake_disk *d = arg;
	int name = name_at(d, path);

	if (d->names[name].cached == -1)
		return -ENOENT;
	if (goes_off(d))
		return -EIO;
	rename_to(d, name, -1);
	return 0;
}

static int fake_mkdir(void *arg, const char *path)
{
	struct fake_disk *d = arg;
	int name = name_at(d, path);

	if (d->names[name].cached != -1)
		return -EEXIST;
	if (goes_off(d))
		return -EIO;
	rename_to(d, name, FAKE_FOLDER);
	return 0;
}

static int fake_sync_folder(void *arg, const char *path)
{
	struct fake_disk *d = arg;
	bool fails;

	if (goes_off(d))
		return -EIO;
	fails = ++d->n_syncs == d->fail_at_sync;
	/* A journal drops no names; after an error it stops, or takes them later. */
	if (!fails)
		settle(d, -1, path, false);
	return fails ? -EIO : 0;
}

static int fake_identify(void *arg, const char *path, uint64_t *id)
{
	struct fake_disk *d = arg;
	int name = name_at(d, path);

	if (d->names[name].cached == -1)
		return -ENOENT;
	*id = (uint64_t)(d->names[name].cached + 1);
	return 0;
}

static int fake_list(void *arg, const char *path,
		     int (*tell)(void *ctx, const char *name), void *ctx)
{
	struct fake_disk *d = arg;
	size_t n = strlen(path);

	if (d->names[name_at(d, path)].cached != FAKE_FOLDER)
		return -ENOENT;
	for (uint32_t i = 0; i < d->n_names; i++) {
		const char *p = d->names[i].path;
		int r;

		if (d->names[i].cached == -1 || parent_bytes(p) != n ||
		    strncmp(p, path, n) != 0)
			continue;
		r = tell(ctx, p + n + 1);
		if (r != 0)
			return r;
	}
	return 0;
}

struct hr_disk fake_disk_ops(struct fake_disk *d)
{
	return (struct hr_disk){
		.arg = d,
		.open = fake_open,
		.close = fake_close,
		.read = fake_read,
		.write = fake_write,
		.sync = fake_sync,
		.reserve = fake_reserve,
		.truncate = fake_truncate,
		.lock = fake_lock,
		.link = fake_link,
		.rename = fake_rename,
		.unlink = fake_unlink,
		.mkdir = fake_mkdir,
		.sync_folder = fake_sync_folder,
		.identify = fake_identify,
		.list = fake_list,
	};
}

void fake_disk_kill(struct fake_disk *d)
{
	for (int i = 0; i < FAKE_FDS; i++)
		d->fd_file[i] = d->fd_locks[i] = -1;
	d->is_off = false;
	d->off_at_call = 0;
	d->fail_at_sync = 0;
	d->room_bytes = UINT64_MAX;
}

static bool has_folders(struct fake_disk *d, const char *path)
{
	char folder[FAKE_NAME_BYTES];

	snprintf(folder, sizeof(folder), "%s", path);
	for (;;) {
		size_t n = parent_bytes(folder);

		if (n == 0)
			return true;
		folder[n] = '\0';
		if (strcmp(folder, "/log") == 0)
			return true; /* was there before everything */
		if (d->names[name_at(d, folder)].kept == -1)
			return false;
	}
}

void fake_disk_cut(struct fake_disk *d, uint64_t keeps)
{
	for (uint32_t i = 0; i < d->n_pending; i++)
		if (i < 64 && (keeps >> i & 1) != 0)
			reach_disk(d, &d->pending[i]);
	d->n_pending = 0;
	for (uint32_t i = 0; i < d->n_names; i++)
		if (d->names[i].kept != -1 && !has_folders(d, d->names[i].path))
			d->names[i].kept = -1;
	for (uint32_t i = 0; i < d->n_names; i++)
		d->names[i].cached = d->names[i].kept;
	for (uint32_t i = 0; i < d->n_files; i++) {
		struct fake_file *f = &d->files[i];

		f->cached_bytes = f->kept_bytes;
		memcpy(f->cached, f->kept, f->kept_bytes);
	}
	fake_disk_kill(d);
}

struct fake_file *fake_disk_file(struct fake_disk *d, const char *path)
{
	int name = name_at(d, path);

	return d->names[name].cached < 0 ? NULL : &d->files[d->names[name].cached];
}
