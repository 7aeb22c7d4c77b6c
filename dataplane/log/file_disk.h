/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FILE_DISK_H
#define HR_FILE_DISK_H

/*
 * disk - every system call of the log on files, as one table of functions: the real
 * one below, and tests' own (tests/fake/disk.h), which can lose power at every call,
 * keep any part of what was not synced, fail and fill up. Nothing else in the log on
 * files touches a file.
 *
 * All return 0 (or a count, or a descriptor) or a negated errno. Calls that a signal
 * interrupts are taken up again; reads and writes may still come back short. Any
 * thread; a descriptor belongs to who opened it.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hr_disk {
	void *arg; /* the first argument of each */

	/* flags as open(2)'s; O_CLOEXEC is added, files are made 0640. */
	int (*open)(void *arg, const char *path, int flags);
	void (*close)(void *arg, int fd);
	ssize_t (*read)(void *arg, int fd, void *out, size_t n, uint64_t at);
	ssize_t (*write)(void *arg, int fd, const void *bytes, size_t n, uint64_t at);
	/* fdatasync(2). */
	int (*sync)(void *arg, int fd);
	/* Take the room now; what is there reads as zeroes. */
	int (*reserve)(void *arg, int fd, uint64_t at, uint64_t n);
	int (*truncate)(void *arg, int fd, uint64_t n);
	/* flock(2), exclusive, without waiting: -EWOULDBLOCK while another has it. */
	int (*lock)(void *arg, int fd);

	int (*link)(void *arg, const char *from, const char *to);
	int (*rename)(void *arg, const char *from, const char *to);
	int (*unlink)(void *arg, const char *path);
	int (*mkdir)(void *arg, const char *path);
	/* fsync(2) of a folder: what was linked, renamed and unlinked in it. */
	int (*sync_folder)(void *arg, const char *path);
	/* Which file a path names at the moment: another number, another file. */
	int (*identify)(void *arg, const char *path, uint64_t *id);
	/* Each name in a folder, in no order, until tell() returns something else
	 * than 0, which is then returned. */
	int (*list)(void *arg, const char *path,
		    int (*tell)(void *ctx, const char *name), void *ctx);
};

extern const struct hr_disk hr_disk_real;

#endif
