/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LOG_STORE_H
#define HR_LOG_STORE_H

/*
 * log store - where the epoch log lies: S partitions of records, each an append-only
 * sequence with offsets that grow (and may have gaps). Kafka, files, and the
 * simulator's stand behind this interface; the accept rule, the owner and every reader
 * stand in front of it and know nothing else.
 *
 *      owner, reader ── hr_log_ops ──┬── kafka   a topic, partition s = shard s
 *                                    ├── file    a folder of segments
 *                                    └── (tests/sim) anything that can go wrong
 *
 * A handle (struct hr_log) is one client with its own connections; its partitions are
 * used by one thread, which never waits in a call but in wait() and where said. News
 * (records, reports, a writer that is ready) make wake_fd readable.
 *
 * What a store promises, and no more:
 * - A record that read() brought was durable when it was brought: with acks=all on
 *   min.insync.replicas, or covered by an fdatasync that began after its write returned.
 * - What was appended may come never, once, or several times, at any later time, until
 *   the next record of another writer's FENCE has been read.
 * - Bytes at an offset do not change, unless the store is cut (verify() finds that).
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_config;
struct hr_log;
struct hr_log_part;

/* A record as it lies in the store. It outlives the handle that brought it. */
struct hr_log_message {
	int64_t offset;
	int64_t stamped_ms; /* the store's wall clock when it took it; 0: it has none */
	const uint8_t *bytes;
	uint32_t n_bytes;
	void *held[2]; /* the store's own */
	/* Give it back; any thread. NULL: nothing to give back. */
	void (*free)(struct hr_log_message *message);
};

enum hr_log_read {
	HR_LOG_NOTHING, /* at the moment */
	HR_LOG_RECORD,  /* *out is the caller's until its free() */
	HR_LOG_END,     /* everything that is there has been read; once each time the
			 * end is reached */
	HR_LOG_GONE,    /* the offset asked for is not there: cut, trimmed or made anew.
			 * err says what is; read() brings nothing until seek() */
	HR_LOG_TROUBLE, /* reading failed (err) and has to be started again by seek() */
	HR_LOG_DAMAGED, /* what lies there was counted once and cannot be read any more
			 * (err); nothing mends it by itself: the reader stops by name */
};

enum hr_log_writer {
	HR_LOG_WRITER_NONE,
	HR_LOG_WRITER_OPENING, /* the old one may still be closing */
	HR_LOG_WRITER_READY,
	HR_LOG_WRITER_FAILED, /* err says why; renew() tries again */
};

/* What became of an append, as the writer knows it. It decides nothing: only what is
 * read back counts. */
struct hr_log_report {
	void *cookie;
	bool was_taken; /* false: err of report() says why; the outcome is unknown */
};

/* The first record that is there, whatever was trimmed. (librdkafka's number for it.) */
#define HR_LOG_BEGINNING (-2)

struct hr_log_conf {
	const struct hr_config *config; /* read only while opening */
	const struct hr_data_set *set;  /* copied */
	const char *name;               /* for people: "log", "replay of shard 3" */
};

struct hr_log_ops {
	const char *name; /* "kafka", "file" */

	/* Returns 0, -EINVAL or -ENOMEM with err. Waits for nobody. */
	int (*open)(struct hr_log **out, const struct hr_log_conf *conf,
		    struct hr_err *err);
	/* After its partitions. May wait some ten milliseconds. */
	void (*close)(struct hr_log *log);
	/* Readable when there may be news; the caller polls and reads it empty. */
	int (*wake_fd)(const struct hr_log *log);
	/* Housekeeping that needs the caller's thread; cheap. To be called whenever
	 * wake_fd was readable, and now and then. */
	void (*poll)(struct hr_log *log);

	/* Start reading a shard's partition at offset from (0: its first record ever; a
	 * log that lost its beginning is HR_LOG_GONE; HR_LOG_BEGINNING: the first that
	 * is left). 0, -EIO or -ENOMEM with err. */
	int (*part_open)(struct hr_log_part **out, struct hr_log *log, uint16_t shard,
			 int64_t from, struct hr_err *err);
	/* Closes its writer too; what that had not written is lost without a report. */
	void (*part_close)(struct hr_log_part *part);

	/* Go on reading at this offset, or at the first record that is there
	 * (HR_LOG_BEGINNING). What was on its way is forgotten. */
	void (*seek)(struct hr_log_part *part, int64_t offset);
	enum hr_log_read (*read)(struct hr_log_part *part, struct hr_log_message *out,
				 struct hr_err *err);
	/* First offset that is there, and the one behind the last record, as of the
	 * store's newest answer; -1: not known (Kafka tells the first one seldom). Asks
	 * nobody. */
	int64_t (*first)(const struct hr_log_part *part);
	int64_t (*end)(const struct hr_log_part *part);

	/* Close the writer, if any, and open another; while one is being opened this
	 * changes nothing. From here on report() tells nothing of the old one. Until
	 * writer() says READY, FAILED or NONE, bytes given to the old one may still be
	 * read by it; afterwards never: every append without a report is as good as
	 * reported. */
	void (*renew)(struct hr_log_part *part);
	/* The same, and no new one: it comes to NONE. */
	void (*retire)(struct hr_log_part *part);
	/* err: why it FAILED; of a READY one what people should know of it (the topic
	 * is not there), or "". */
	enum hr_log_writer (*writer)(struct hr_log_part *part, struct hr_err *err);

	/*
	 * Append one record, behind everything this writer was given before. With copies
	 * = false the bytes stay the caller's and unchanged until the report. Returns 0,
	 * or a negated errno with err: nothing was handed over.
	 */
	int (*append)(struct hr_log_part *part, const uint8_t *bytes, uint32_t n_bytes,
		      bool copies, void *cookie, struct hr_err *err);
	/* The next report: 1 and *out; 0: none. */
	int (*report)(struct hr_log_part *part, struct hr_log_report *out,
		      struct hr_err *err);
	/* The writer cannot go on, whatever was reported; err says why. */
	bool (*is_broken)(struct hr_log_part *part, struct hr_err *err);

	/*
	 * Ask for the record at this offset again, beside the reading that goes on; then
	 * verified() brings it once: HR_LOG_RECORD, HR_LOG_GONE (no such offset) or
	 * HR_LOG_TROUBLE (not known: ask again), HR_LOG_NOTHING until then. A further
	 * verify() replaces the question.
	 */
	void (*verify)(struct hr_log_part *part, int64_t offset);
	enum hr_log_read (*verified)(struct hr_log_part *part,
				     struct hr_log_message *out, struct hr_err *err);
	/* Connections of this handle that were lost, and leaders that changed, so far:
	 * whoever sees it grow verifies before it relies on what it read. */
	uint64_t (*n_lost)(const struct hr_log *log);
	/* Errors so far, in reading and in appending; for metrics. */
	void (*errors)(const struct hr_log *log, uint64_t *reading,
		       uint64_t *appending);

	/* Drop what lies before an offset, which must be there. Blocks. The control
	 * plane's alone. 0 or a negated errno with err. */
	int (*trim)(struct hr_log *log, uint16_t shard, int64_t before,
		    struct hr_err *err);
};

extern const struct hr_log_ops hr_log_kafka;
extern const struct hr_log_ops hr_log_file;

/* As config's log.kind says. */
const struct hr_log_ops *hr_log_ops_of(const struct hr_config *config);

#endif
