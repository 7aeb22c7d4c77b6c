/* SPDX-License-Identifier: BSD-3-Clause */

/* The disk of this machine. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/log/file_disk.h"

#define FILE_MODE 0640
#define FOLDER_MODE 0750

static int real_open(void *arg, const char *path, int flags)
{
	int fd;

	(void)arg;
	do
		fd = open(path, flags | O_CLOEXEC, FILE_MODE);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static void real_close(void *arg, int fd)
{
	(void)arg;
	close(fd);
}

static ssize_t real_read(void *arg, int fd, void *out, size_t n, uint64_t at)
{
	ssize_t r;

	(void)arg;
	do
		r = pread(fd, out, n, (off_t)at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t real_write(void *arg, int fd, const void *bytes, size_t n, uint64_t at)
{
	ssize_t r;

	(void)arg;
	do
		r = pwrite(fd, bytes, n, (off_t)at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* Once: a sync that failed says nothing any more when it is called again. */
static int real_sync(void *arg, int fd)
{
	(void)arg;
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int real_reserve(void *arg, int fd, uint64_t at, uint64_t n)
{
	int r;

	(void)arg;
	do
		r = fallocate(fd, 0, (off_t)at, (off_t)n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int real_truncate(void *arg, int fd, uint64_t n)
{
	int r;

	(void)arg;
	do
		r = ftruncate(fd, (off_t)n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int real_lock(void *arg, int fd)
{
	int r;

	(void)arg;
	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int real_link(void *arg, const char *from, const char *to)
{
	(void)arg;
	return link(from, to) < 0 ? -errno : 0;
}

static int real_rename(void *arg, const char *from, const char *to)
{
	(void)arg;
	return rename(from, to) < 0 ? -errno : 0;
}

static int real_unlink(void *arg, const char *path)
{
	(void)arg;
	return unlink(path) < 0 ? -errno : 0;
}

static int real_mkdir(void *arg, const char *path)
{
	(void)arg;
	return mkdir(path, FOLDER_MODE) < 0 ? -errno : 0;
}

static int real_sync_folder(void *arg, const char *path)
{
	int fd = real_open(arg, path, O_RDONLY | O_DIRECTORY);
	int r;

	if (fd < 0)
		return fd;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int real_identify(void *arg, const char *path, uint64_t *id)
{
	struct stat st;

	(void)arg;
	if (stat(path, &st) < 0)
		return -errno;
	*id = (uint64_t)st.st_ino;
	return 0;
}

static int real_list(void *arg, const char *path,
		     int (*tell)(void *ctx, const char *name), void *ctx)
{
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	(void)arg;
	dir = opendir(path);
	if (dir == NULL)
		return -errno;
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL) {
			r = -errno;
			break;
		}
		r = tell(ctx, entry->d_name);
		if (r != 0)
			break;
	}
	closedir(dir);
	return r;
}

const struct hr_disk hr_disk_real = {
	.open = real_open,
	.close = real_close,
	.read = real_read,
	.write = real_write,
	.sync = real_sync,
	.reserve = real_reserve,
	.truncate = real_truncate,
	.lock = real_lock,
	.link = real_link,
	.rename = real_rename,
	.unlink = real_unlink,
	.mkdir = real_mkdir,
	.sync_folder = real_sync_folder,
	.identify = real_identify,
	.list = real_list,
};
