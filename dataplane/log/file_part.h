/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FILE_PART_H
#define HR_FILE_PART_H

/*
 * file part - inside of the log on files: one partition of a handle, and the thread that
 * does its reading, writing and syncing, so that the one who uses the handle never waits
 * for a disk.
 *
 *   user's thread                      thread of the part
 *   append() ─── waiting ───────────▶  write all, one fdatasync, mark
 *   report() ◀── reports ────────────    │ tells the other parts of this shard
 *   read()   ◀── inbox ──────────────  read what is marked, a little ahead
 *
 * Everything both touch is under the part's lock. Parts of the same shard in one process
 * find each other in a list of all parts; those of other processes look at the mark
 * every HR_FILE_LOOK_MS. Locks are taken in the order list, part.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "common/config.h"
#include "dataplane/log/file_shard.h"
#include "dataplane/log/log.h"

#define HR_FILE_LOOK_MS 20u
#define HR_FILE_LOOK_OWN_MS 500u       /* where a writer of this process will tell */
#define HR_FILE_AHEAD_BYTES (2u << 20) /* read ahead, and always one record */
#define HR_FILE_AHEAD_RECORDS 256u

struct hr_log {
	struct hr_data_set set;
	char folder[HR_CONFIG_TEXT];
	uint64_t segment_bytes;
	int wake_fd;
	_Atomic uint64_t n_lost; /* segments given up after an error */
	_Atomic uint64_t n_read_errors;
};

struct hr_file_append {
	struct hr_file_append *next;
	const uint8_t *bytes;
	uint32_t n_bytes;
	void *cookie;
	bool was_taken;
	uint8_t copy[]; /* where bytes were to be copied */
};

struct hr_file_queue {
	struct hr_file_append *first, **last;
};

/* Something for read(). */
struct hr_file_news {
	struct hr_file_news *next;
	enum hr_log_read what;
	struct hr_file_record record;
	struct hr_err err;
};

struct hr_log_part {
	struct hr_log_part *next_of_all; /* under the list's lock */
	struct hr_log *log;
	struct hr_file_place place;
	pthread_t thread;

	/* The thread's own. */
	struct hr_file_writer writer;
	struct hr_file_reader reader;
	uint64_t seek_done; /* the seek that the reader stands on */
	bool reads;         /* nothing stopped it since */
	bool told_end;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t is_more;
	bool quits;
	bool was_told;   /* there may be more to read */
	bool has_writer; /* in this process: it will tell */

	int64_t seek_to;
	uint64_t seek_no;
	struct hr_file_news *inbox, **inbox_last;
	uint32_t inbox_records;
	size_t inbox_bytes;
	int64_t first, end; /* -1: not known yet */

	enum {
		HR_FILE_WRITER_SAME,
		HR_FILE_WRITER_RENEW,
		HR_FILE_WRITER_RETIRE
	} wish;
	uint64_t writer_no; /* of the newest wish: older appends are nobody's */
	enum hr_log_writer writer_state;
	struct hr_err writer_err;
	bool is_broken;
	struct hr_err broken_err;
	struct hr_file_queue waiting, reports;

	bool wants_verify;
	int64_t verify_at;
	struct hr_file_news *verified;
};

/* file_part.c */
int hr_file_part_start(struct hr_log_part *p, struct hr_err *err);
void hr_file_part_stop(struct hr_log_part *p);
void hr_file_queue_free(struct hr_file_queue *q);
void hr_file_queue_put(struct hr_file_queue *q, struct hr_file_append *a);
void hr_file_news_free(struct hr_file_news *news);

#endif
