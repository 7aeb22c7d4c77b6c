/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STATS_H
#define HR_STATS_H

/*
 * stats - the statistics segment: a mapped file of single-writer counters that any
 * other process reads without stopping anyone.
 *
 *   header | metric rows (name, labels, kind, unit, help, where) | cells of u64
 *
 * The writer side adds rows before the first packet (cold, allocates), keeps the
 * pointer to its cell, and writes it with plain relaxed stores: a cell has one
 * writer. Rows of one writer lie together, on cache lines of their own. Readers map
 * the file read-only, check magic, version and the writer's pid and start time, and
 * walk the rows: what the CLI shows and what is exported is the same list.
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
 * (two buckets an octave, 10 us to about 60 s), the last everything above. */
#define HR_HIST_BUCKETS 48
#define HR_HIST_CELLS (HR_HIST_BUCKETS + 1)
#define HR_HIST_BASE_US 10.0

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

void hr_stat_observe_us(hr_cell *histogram, uint64_t us);

struct hr_stats;

/* Make the segment at path (a new file, renamed into place when published). */
int hr_stats_create(struct hr_stats **out, const char *path, struct hr_err *err);

/*
 * Add a row; cold, one thread at a time, before hr_stats_publish() or at any time
 * after (rows are appended; a reader sees the count last). `labels` is Prometheus
 * text without braces, e.g. `worker="0",reason="tag"`, or "". Names follow the
 * field: headrace_<noun>_<unit>[_total]. Never returns NULL: a full segment aborts
 * in the tests' builds and hands out a private cell otherwise, with a log line.
 */
hr_cell *hr_stats_add(struct hr_stats *stats, enum hr_stat_kind kind, const char *name,
		      const char *labels, const char *help);
int hr_stats_publish(struct hr_stats *stats, struct hr_err *err);
/* Removes the file. */
void hr_stats_free(struct hr_stats *stats);

/* Reader side. */
struct hr_stats_reader;

struct hr_stat_row {
	enum hr_stat_kind kind;
	const char *name, *labels, *help;
	const hr_cell *cells;
};

/* Returns 0; -ENOENT (no segment), -ESRCH (its writer is gone), -EPROTO (another
 * version: err names both). */
int hr_stats_open(struct hr_stats_reader **out, const char *path, struct hr_err *err);
void hr_stats_close(struct hr_stats_reader *reader);
bool hr_stats_is_alive(const struct hr_stats_reader *reader);
uint32_t hr_stats_count(const struct hr_stats_reader *reader);
bool hr_stats_row(const struct hr_stats_reader *reader, uint32_t i,
		  struct hr_stat_row *out);
/* Sum of all rows of a name whose labels contain `label` ("" for all). */
uint64_t hr_stats_sum(const struct hr_stats_reader *reader, const char *name,
		      const char *label);
/* Quantile q (0..1) in microseconds of all rows of that histogram together. */
double hr_stats_quantile_us(const struct hr_stats_reader *reader, const char *name,
			    const char *label, double q);

#endif
