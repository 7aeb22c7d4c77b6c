/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_EXPOSITION_H
#define HR_EXPOSITION_H

/*
 * exposition - Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/): HELP and TYPE once
 * a name, all samples of a name together, texts escaped.
 *
 * Written to a FILE, so that the caller chooses between memory and disk. Errors are
 * the FILE's (ferror).
 */

#include <stdint.h>
#include <stdio.h>

#include "dataplane/stats/stats.h"

#define HR_EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The lines above the samples of a name. */
void hr_exposition_head(FILE *to, enum hr_stat_kind kind, const char *name,
			const char *help);
/* Samples. `labels` is finished text without braces, "" for none. */
void hr_exposition_count(FILE *to, const char *name, const char *labels, uint64_t v);
void hr_exposition_real(FILE *to, const char *name, const char *labels, double v);
/* HR_HIST_CELLS cells, microseconds inside, seconds outside. */
void hr_exposition_histogram(FILE *to, const char *name, const char *labels,
			     const uint64_t cells[HR_HIST_CELLS]);

/* `key="value"` with the value escaped; cut when it does not fit. */
void hr_exposition_label(char *out, size_t max, const char *key, const char *value);

/* Every row of a segment, sorted by name. Returns 0 or -ENOMEM. */
int hr_exposition_segment(FILE *to, const struct hr_stats_reader *reader);

#endif
