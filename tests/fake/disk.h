/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FAKE_DISK_H
#define HR_FAKE_DISK_H

/*
 * A disk behind hr_disk that forgets. Every write, link, rename and unlink is pending
 * until a sync covers it; a power cut keeps any subset of what is pending, chosen by the
 * test, and loses the rest. Long writes are pending in two pieces, so half a record may
 * stay. What programs see meanwhile is the page cache: everything.
 *
 * At one chosen call the power goes off in the middle of it, and all later calls fail.
 * A sync that is told to fail loses what was pending as Linux does: the cache still shows
 * it, the next sync succeeds, and it never reaches the disk.
 *
 * The struct is plain memory: copy it to try several ends of one history. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/log/file_disk.h"

#define FAKE_FILES 12
#define FAKE_NAMES 24
#define FAKE_PENDING 48
#define FAKE_FILE_BYTES 5120u
#define FAKE_PIECE_BYTES 2560u
#define FAKE_FDS 16
#define FAKE_NAME_BYTES 96
#define FAKE_FOLDER (-2)

struct fake_file {
	uint32_t cached_bytes, kept_bytes;
	uint8_t cached[FAKE_FILE_BYTES], kept[FAKE_FILE_BYTES];
};

/* What a name means; file -1: nothing, FAKE_FOLDER: a folder. */
struct fake_name {
	char path[FAKE_NAME_BYTES];
	int cached, kept;
};

struct fake_pending {
	bool is_name, is_truncate;
	int file; /* written to, or what the name is to mean */
	int name;
	uint32_t at, n;
	uint8_t bytes[FAKE_PIECE_BYTES];
};

struct fake_disk {
	uint32_t n_files, n_names, n_pending;
	int fd_file[FAKE_FDS]; /* -1: free */
	int fd_locks[FAKE_FDS];
	/* The plan; 0 or UINT32_MAX: never. */
	uint32_t off_at_call;  /* of those that change something, from 1 on */
	uint32_t fail_at_sync; /* from 1 on */
	bool fail_keeps_half;
	uint64_t room_bytes; /* of all writes */
	/* What happened. */
	uint32_t n_calls, n_syncs;
	bool is_off;
	struct fake_name names[FAKE_NAMES];
	struct fake_file files[FAKE_FILES];
	struct fake_pending pending[FAKE_PENDING]; /* last: copied as far as used */
};

void fake_disk_init(struct fake_disk *d);
struct hr_disk fake_disk_ops(struct fake_disk *d);
void fake_disk_copy(struct fake_disk *to, const struct fake_disk *from);
/* The process is gone, the machine is not. */
void fake_disk_kill(struct fake_disk *d);
/* The machine goes down and comes up again; bit i of `keeps`: pending i reached the
 * disk. */
void fake_disk_cut(struct fake_disk *d, uint64_t keeps);
/* The file of a path, as everybody sees it; NULL: none. */
struct fake_file *fake_disk_file(struct fake_disk *d, const char *path);

#endif
