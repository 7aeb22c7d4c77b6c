/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STATS_H
#define HR_STATS_H

/*
 * stats - the statistics segment: a mapped file of single-writer counters that any
 * other process reads without stopping anyone.
 *
 *   header | rows (name, labels, kind, help, first cell) | cells of u64
 *
 * The writer side adds rows before the first packet (cold), keeps the pointer to
 * its cell, and writes it with plain relaxed stores: a cell has one writer. Rows of
 * one writer lie together; hr_stats_next_writer() starts a cache line of its own
 * for the next one. Readers map the file read-only, check magic, version and the
 * writer's pid and start time, and walk the rows: what the CLI shows and what is
 * exported is the same list.
 *
 * Names of rows: dataplane/stats/names.def.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum hr_stat_kind {
	HR_STAT_COUNTER,
	HR_STAT_GAUGE,     /* signed, stored as two's complement */
	HR_STAT_HISTOGRAM, /* HR_HIST_BUCKETS counts, then the sum: HR_HIST_CELLS */
};

typedef _Atomic uint64_t hr_cell;

/* Latencies: bucket i counts values <= HR_HIST_BASE_US * 2^(i/2) microseconds
 * (two buckets an octave, 10 us to 84 s), the last everything above. */
#define HR_HIST_BUCKETS 48
#define HR_HIST_CELLS (HR_HIST_BUCKETS + 1)
#define HR_HIST_BASE_US 10.0

/* Upper bounds in whole microseconds; the last is UINT64_MAX. */
extern const uint64_t hr_hist_bound_us[HR_HIST_BUCKETS];

/* Owner side: adds to a cell it alone writes. */
static inline void hr_stat_add(hr_cell *cell, uint64_t n)
{
	atomic_store_explicit(cell,
			      atomic_load_explicit(cell, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void hr_stat_set(hr_cell *cell, uint64_t v)
{
	atomic_store_explicit(cell, v, memory_order_relaxed);
}

static inline uint64_t hr_stat_get(const hr_cell *cell)
{
	return atomic_load_explicit((hr_cell *)cell, memory_order_relaxed);
}

/* Counts one value, or n equal ones. Workers may: calls nothing outside. */
void hr_stat_observe_us(hr_cell *histogram, uint64_t us);
void hr_stat_observe_many_us(hr_cell *histogram, uint64_t us, uint64_t n);

struct hr_stats;

/* What a segment holds at most; the file is sparse, only what is used is memory. */
#define HR_STATS_ROWS_MAX 8192u
#define HR_STATS_CELLS_MAX 65536u
#define HR_STATS_NAME_MAX 64u    /* with its NUL */
#define HR_STATS_LABELS_MAX 320u /* with its NUL */
#define HR_STATS_HELP_MAX 192u   /* with its NUL */

/* Make the segment at path (a new file, renamed into place when published). */
int hr_stats_create(struct hr_stats **out, const char *path, struct hr_err *err);

/*
 * Add a row; cold, any thread, before hr_stats_publish() or at any time after (rows
 * are appended; a reader sees the count last). `labels` is Prometheus text without
 * braces, e.g. `worker="0",reason="tag"`, or "". Names follow the field:
 * headrace_<noun>_<unit>[_total]. The same kind, name and labels again return the
 * cell that is there, so that a restarted part goes on with its counters.
 *
 * Never returns NULL. A row that does not fit (segment full, overlong text) gets a
 * cell nobody can read, an error line in the log, and is counted in
 * headrace_stats_rows_lost_total, which every segment has as its first row.
 */
hr_cell *hr_stats_add(struct hr_stats *stats, enum hr_stat_kind kind, const char *name,
		      const char *labels, const char *help);
/* The rows added from here on belong to another writer. */
void hr_stats_next_writer(struct hr_stats *stats);
int hr_stats_publish(struct hr_stats *stats, struct hr_err *err);
/* Removes the file. NULL is fine. */
void hr_stats_free(struct hr_stats *stats);

/* Reader side. */
struct hr_stats_reader;

struct hr_stat_row {
	enum hr_stat_kind kind;
	const char *name, *labels, *help;
	const hr_cell *cells;
};

/* Returns 0; -ENOENT (no segment), -ESRCH (its writer is gone), -EPROTO (another
 * version, or no segment at all: err names what was found). */
int hr_stats_open(struct hr_stats_reader **out, const char *path, struct hr_err *err);
/* A reader of one's own segment, for answers given inside the writing process. */
int hr_stats_open_own(struct hr_stats_reader **out, const struct hr_stats *stats);
/* NULL is fine. */
void hr_stats_close(struct hr_stats_reader *reader);
bool hr_stats_is_alive(const struct hr_stats_reader *reader);
/* Pid of the writer, and when it made the segment (wall clock, microseconds). */
int hr_stats_writer_pid(const struct hr_stats_reader *reader);
uint64_t hr_stats_made_us(const struct hr_stats_reader *reader);
uint32_t hr_stats_count(const struct hr_stats_reader *reader);
bool hr_stats_row(const struct hr_stats_reader *reader, uint32_t i,
		  struct hr_stat_row *out);
/* Sum of all counter and gauge rows of a name whose labels contain `label` ("" for
 * all; `worker="1"` is matched as a whole, never inside `worker="11"`). */
uint64_t hr_stats_sum(const struct hr_stats_reader *reader, const char *name,
		      const char *label);
/* All histogram rows of that name together: buckets, then the sum. */
void hr_stats_histogram(const struct hr_stats_reader *reader, const char *name,
			const char *label, uint64_t out[HR_HIST_CELLS]);
/* Quantile q (0..1) in microseconds of all rows of that histogram together; -1 when
 * nothing was observed. */
double hr_stats_quantile_us(const struct hr_stats_reader *reader, const char *name,
			    const char *label, double q);
/* The same of buckets already read, e.g. the difference of two readings. Straight
 * lines inside a bucket; the last bucket counts as its lower bound. */
double hr_hist_quantile_us(const uint64_t buckets[HR_HIST_BUCKETS], double q);

#endif
