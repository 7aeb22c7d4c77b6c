/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STATS_IMPL_H
#define HR_STATS_IMPL_H

/* Inside of stats, shared by its writer and its readers: the file, byte by byte. */

#include "dataplane/stats/stats.h"

#define HR_STATS_MAGIC 0x5354415453524148u /* "HARSTATS" in memory */
#define HR_STATS_VERSION 1u

struct hr_stats_header {
	uint64_t magic;
	uint32_t version;
	uint32_t row_bytes; /* sizeof(struct hr_stats_file_row) */
	uint32_t max_rows;
	uint32_t max_cells;
	uint64_t rows_at, cells_at; /* offsets in the file */
	int64_t pid;
	uint64_t start_ticks; /* field 22 of /proc/<pid>/stat */
	char boot_id[40];     /* a pid and its start time are unique in one boot */
	uint64_t made_us;
	_Alignas(64) atomic_uint n_rows; /* released after the row is complete */
};

struct hr_stats_file_row {
	char name[HR_STATS_NAME_MAX];
	char labels[HR_STATS_LABELS_MAX];
	char help[HR_STATS_HELP_MAX];
	uint32_t kind;
	uint32_t first_cell;
	uint8_t pad[56];
};

_Static_assert(sizeof(struct hr_stats_file_row) % 64 == 0, "rows share no line");

struct hr_stats_map {
	uint8_t *base;
	size_t bytes;
	struct hr_stats_header *header;
	struct hr_stats_file_row *rows;
	hr_cell *cells;
};

#define HR_STATS_ROWS_AT 4096u
#define HR_STATS_CELLS_AT                                                              \
	(HR_STATS_ROWS_AT +                                                            \
	 HR_STATS_ROWS_MAX * (uint64_t)sizeof(struct hr_stats_file_row))
#define HR_STATS_FILE_BYTES (HR_STATS_CELLS_AT + HR_STATS_CELLS_MAX * sizeof(uint64_t))

_Static_assert(sizeof(struct hr_stats_header) <= HR_STATS_ROWS_AT, "header fits");

static inline void hr_stats_map_set(struct hr_stats_map *map, void *base, size_t bytes)
{
	map->base = base;
	map->bytes = bytes;
	map->header = base;
	map->rows = (struct hr_stats_file_row *)(map->base + HR_STATS_ROWS_AT);
	map->cells = (hr_cell *)(map->base + HR_STATS_CELLS_AT);
}

struct hr_stats;
const struct hr_stats_map *hr_stats_map_of(const struct hr_stats *stats);

static inline uint32_t hr_stat_cells(enum hr_stat_kind kind)
{
	return kind == HR_STAT_HISTOGRAM ? HR_HIST_CELLS : 1;
}

#endif
