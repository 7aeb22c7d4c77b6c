/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STATS_NAMES_H
#define HR_STATS_NAMES_H

/* names - names.def as an enum and a table, and the way to add its rows. */

#include "dataplane/stats/stats.h"

enum hr_metric {
#define HR_METRIC(id, kind, name, label_keys, help) HR_METRIC_##id,
#include "dataplane/stats/names.def"
#undef HR_METRIC
	HR_METRIC_COUNT
};

struct hr_metric_row {
	enum hr_stat_kind kind;
	const char *name;
	const char *label_keys; /* "worker,reason"; "" for none */
	const char *help;
};

/* Indexed by enum hr_metric. */
extern const struct hr_metric_row hr_metric_rows[HR_METRIC_COUNT];

/*
 * hr_stats_add() with kind, name and help from the table. `labels` is a format,
 * "" for none:
 *
 *     hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_REFUSED,
 *                         "worker=\"%u\",reason=\"%s\"", w, row->label);
 *
 * Every key of the table's label_keys must be there, in that order (asserted).
 */
hr_cell *hr_stats_add_metric(struct hr_stats *stats, enum hr_metric metric,
			     const char *labels, ...)
	__attribute__((format(printf, 3, 4)));

#endif
