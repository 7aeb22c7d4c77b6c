/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FILE_SHARD_H
#define HR_FILE_SHARD_H

/*
 * file shard - one shard's log on files: a writer, a reader, trimming. Plain calls that
 * do what they say and come back when it is done; file_part.c puts a thread around them.
 *
 *   <log.folder>/meta                        the data set
 *   <log.folder>/headrace.log.g1/<shard>/    lock      whose flock the writer holds
 *                                            start     nothing before this is kept
 *                                            00000001.segment, 00000002.segment, ...
 *
 *   segment k      [ head | marks | frames that count | whatever: counts for nobody ]
 *                                                     ^
 *   segment k + 1  [ head: base ---------------------'| marks | frames ...
 *
 * Rules, each of which a test breaks on purpose:
 * - A segment is made under another name with head, first mark and what it takes over
 *   from its predecessor, synced, given its name, and its folder is synced: then only
 *   anything is appended to it.
 * - A position is marked after the fdatasync that covers it came back 0, and a reader
 *   shows nothing behind the mark. So whatever was shown is on the disk, even when the
 *   mark itself is not.
 * - A segment counts up to its successor's base; the last one up to its mark.
 * - A writer never goes on in a segment that somebody else wrote: it begins its own. What
 *   stands whole behind the last mark is *copied* into it, at the same positions: that an
 *   fdatasync succeeds now does not say that an earlier one did not lose these pages.
 * - Any error of a write or sync is the end of this segment for this process; nothing is
 *   synced a second time.
 *
 * Threads: writer and reader belong to one thread each. A reader needs no lock, sees a
 * writer of any process, and writes nothing.
 */

#include "dataplane/log/file_disk.h"
#include "dataplane/log/file_format.h"

#define HR_LOG_FOLDER_MAX 320u
#define HR_LOG_PATH_MAX (HR_LOG_FOLDER_MAX + 64u)

/* Where a shard's segments lie; constant while somebody uses it. */
struct hr_file_place {
	const struct hr_disk *disk;
	const struct hr_data_set *set;
	char root[HR_LOG_FOLDER_MAX - 96]; /* log.folder */
	uint16_t shard;
	uint64_t segment_bytes;
};

/* Errors of the calls below, with err: -ENODATA (trimmed or cut: what was asked for is
 * not there), -EBADMSG (damaged: it counted and cannot be read), -ENOTSUP (of a later
 * program), -EINVAL (another data set's), -ENOMEM, or what the disk said. */

struct hr_file_segment {
	uint64_t number;
	int64_t base;
	uint64_t made_us;
};

/* The segments in order, without a hole. */
struct hr_file_list {
	struct hr_file_segment *at;
	uint32_t n, max;
	int64_t start; /* nothing before it is kept */
};

void hr_file_folder(char out[HR_LOG_FOLDER_MAX], const struct hr_file_place *place);
void hr_file_path(char out[HR_LOG_PATH_MAX], const struct hr_file_place *place,
		  const char *name);
void hr_file_segment_path(char out[HR_LOG_PATH_MAX], const struct hr_file_place *place,
			  uint64_t number);

/* Read the folder; one that is not there is an empty log. Every head is read. */
int hr_file_list_read(struct hr_file_list *list, const struct hr_file_place *place,
		      struct hr_err *err);
void hr_file_list_fini(struct hr_file_list *list);
/* Forget what was trimmed since; only list->start and the beginning change. Returns how
 * many segments went, or an error. */
int hr_file_list_trimmed(struct hr_file_list *list, const struct hr_file_place *place,
			 struct hr_err *err);
/* The one that holds a position that is not before the start. */
uint32_t hr_file_list_find(const struct hr_file_list *list, int64_t position);
/* The successor of the last one, if there is one by now: 1, or 0. */
int hr_file_list_next(struct hr_file_list *list, const struct hr_file_place *place,
		      struct hr_err *err);
/* The newest mark of an open segment. */
int hr_file_mark_read(struct hr_segment_mark *out, const struct hr_file_place *place,
		      int fd, const struct hr_file_segment *segment,
		      struct hr_err *err);
/* Exactly n bytes. Returns 1, 0 where the file ends before, or an error. */
int hr_file_read_all(const struct hr_disk *disk, int fd, void *out, size_t n,
		     uint64_t at);
/* All of them, or an error. */
int hr_file_write_all(const struct hr_disk *disk, int fd, const void *bytes, size_t n,
		      uint64_t at);
/* Whether a whole, sound frame stands at a position of a segment. Returns its bytes and
 * leaves it in buffer (HR_FRAME_MAX); 0: none; or an error. */
int hr_file_frame_read(const struct hr_file_place *place, int fd,
		       const struct hr_file_segment *segment, int64_t position,
		       uint8_t *buffer);

static inline uint64_t hr_file_at(const struct hr_file_segment *segment,
				  int64_t position)
{
	return HR_SEGMENT_FRAMES_AT + (uint64_t)(position - segment->base);
}

/* ---- writer ---------------------------------------------------------------- */

struct hr_file_writer {
	const struct hr_file_place *place;
	uint8_t *buffer; /* a frame is made here */
	int lock_fd, fd;
	bool is_open, is_poisoned;
	struct hr_file_segment segment;
	int64_t at;       /* of the next frame */
	int64_t mark;     /* synced up to here */
	uint64_t n_marks; /* of this segment */
	uint64_t reserved_bytes;
	bool may_reserve;
	/* Segments up to this number were synced by this writer, or failed to be: never
	 * again. It outlives opening and closing. */
	uint64_t synced_number;
};

int hr_file_writer_init(struct hr_file_writer *w, const struct hr_file_place *place,
			struct hr_err *err);
void hr_file_writer_fini(struct hr_file_writer *w);

/*
 * Become the writer: take the lock, sync what is there, take over what stands whole
 * behind the last mark, begin a segment. Everything that counts is on the disk when it
 * comes back 0. -EWOULDBLOCK: another writer has the lock.
 */
int hr_file_writer_open(struct hr_file_writer *w, struct hr_err *err);
/* Give the lock back; with a sound segment its mark is made durable. */
void hr_file_writer_close(struct hr_file_writer *w);
/*
 * Write one record. It counts when the next sync came back 0. May sync and begin another
 * segment first. After any error the writer is poisoned: close it and open it anew.
 */
int hr_file_writer_append(struct hr_file_writer *w, const uint8_t *bytes,
			  uint32_t n_bytes, int64_t *offset, struct hr_err *err);
/* Make durable, and mark, what was appended. */
int hr_file_writer_sync(struct hr_file_writer *w, struct hr_err *err);

/* ---- reader ---------------------------------------------------------------- */

struct hr_file_reader {
	const struct hr_file_place *place;
	struct hr_file_list list;
	uint32_t index;     /* of the one that is read */
	int fd;             /* of one before the last, */
	uint64_t fd_number; /* this one */
	int last_fd;        /* of the last one, whose marks are looked at */
	uint64_t last_number, last_id, start_id;
	int64_t at;  /* of the next frame */
	int64_t end; /* as of the newest look; -1: none yet */
};

/* A record read. memory is the caller's to free(). */
struct hr_file_record {
	int64_t offset;
	uint8_t *memory;
	const uint8_t *bytes; /* in it */
	uint32_t n_bytes;
};

void hr_file_reader_init(struct hr_file_reader *r, const struct hr_file_place *place);
void hr_file_reader_fini(struct hr_file_reader *r);
/* Look how far the log is by now: r->end, hr_file_reader_first(). */
int hr_file_reader_look(struct hr_file_reader *r, struct hr_err *err);
int64_t hr_file_reader_first(const struct hr_file_reader *r);
/* Go on at an offset: of a record, or the one behind a record's. */
int hr_file_reader_seek(struct hr_file_reader *r, int64_t offset, struct hr_err *err);
/* The next record: 1; 0 at the end as of the newest look; or an error, and nothing
 * moved. */
int hr_file_reader_next(struct hr_file_reader *r, struct hr_file_record *out,
			struct hr_err *err);
/* The record at this very offset, beside the reading: 1, or an error. */
int hr_file_reader_at(struct hr_file_reader *r, int64_t offset,
		      struct hr_file_record *out, struct hr_err *err);

/* ---- trimming -------------------------------------------------------------- */

/* Drop the segments that end before the record at this offset, which must be there; any
 * process. The last one always stays. */
int hr_file_trim(const struct hr_file_place *place, int64_t before, struct hr_err *err);

#endif
