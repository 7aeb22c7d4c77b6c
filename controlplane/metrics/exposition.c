/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/metrics/exposition.h"

/* Of a help text or a label value: backslash and newline, and quotes in values. */
static void put_escaped(FILE *to, const char *text, const char *quoted)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			fputs("\\n", to);
		else if (strchr(quoted, *text) != NULL)
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
}

void hr_exposition_head(FILE *to, enum hr_stat_kind kind, const char *name,
			const char *help)
{
	static const char *const types[] = {
		[HR_STAT_COUNTER] = "counter",
		[HR_STAT_GAUGE] = "gauge",
		[HR_STAT_HISTOGRAM] = "histogram",
	};

	fprintf(to, "# HELP %s ", name);
	put_escaped(to, help, "\\");
	fprintf(to, "\n# TYPE %s %s\n", name, types[kind]);
}

/* Labels come escaped; a newline could still tear the line. */
static void put_name(FILE *to, const char *name, const char *suffix, const char *labels)
{
	fprintf(to, "%s%s", name, suffix);
	if (labels[0] == '\0')
		return;
	fputc('{', to);
	put_escaped(to, labels, "");
	fputc('}', to);
}

void hr_exposition_count(FILE *to, const char *name, const char *labels, uint64_t v)
{
	put_name(to, name, "", labels);
	fprintf(to, " %" PRIu64 "\n", v);
}

static void put_gauge(FILE *to, const char *name, const char *labels, uint64_t v)
{
	put_name(to, name, "", labels);
	fprintf(to, " %" PRId64 "\n", (int64_t)v);
}

void hr_exposition_real(FILE *to, const char *name, const char *labels, double v)
{
	put_name(to, name, "", labels);
	if (isnan(v))
		fputs(" NaN\n", to);
	else if (isinf(v))
		fputs(v > 0 ? " +Inf\n" : " -Inf\n", to);
	else
		fprintf(to, " %.9g\n", v);
}

/* Exact: 10 us are "0.00001", never 1.0000000001e-05. */
static void put_seconds(FILE *to, uint64_t us)
{
	char fraction[8];
	size_t n;

	fprintf(to, "%" PRIu64, us / 1000000);
	n = (size_t)snprintf(fraction, sizeof(fraction), "%06u",
			     (unsigned int)(us % 1000000));
	while (n > 0 && fraction[n - 1] == '0')
		fraction[--n] = '\0';
	if (n > 0)
		fprintf(to, ".%s", fraction);
}

static void put_bucket(FILE *to, const char *name, const char *labels, unsigned int i,
		       uint64_t count)
{
	fprintf(to, "%s_bucket{", name);
	put_escaped(to, labels, "");
	fputs(labels[0] == '\0' ? "le=\"" : ",le=\"", to);
	if (i == HR_HIST_BUCKETS - 1)
		fputs("+Inf", to);
	else
		put_seconds(to, hr_hist_bound_us[i]);
	fprintf(to, "\"} %" PRIu64 "\n", count);
}

void hr_exposition_histogram(FILE *to, const char *name, const char *labels,
			     const uint64_t cells[HR_HIST_CELLS])
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < HR_HIST_BUCKETS; i++) {
		count += cells[i];
		put_bucket(to, name, labels, i, count);
	}
	put_name(to, name, "_sum", labels);
	fputc(' ', to);
	put_seconds(to, cells[HR_HIST_BUCKETS]);
	fputc('\n', to);
	put_name(to, name, "_count", labels);
	fprintf(to, " %" PRIu64 "\n", count);
}

void hr_exposition_label(char *out, size_t max, const char *key, const char *value)
{
	FILE *to = fmemopen(out, max, "w");

	out[0] = '\0';
	if (to == NULL)
		return;
	fprintf(to, "%s=\"", key);
	put_escaped(to, value, "\\\"");
	fputc('"', to);
	fclose(to);
}

static int by_name(const void *a, const void *b)
{
	const struct hr_stat_row *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	/* Rows of a name stay in the order they were added. */
	return order != 0 ? order : (x->cells > y->cells) - (x->cells < y->cells);
}

static void put_row(FILE *to, const struct hr_stat_row *row)
{
	uint64_t cells[HR_HIST_CELLS];

	switch (row->kind) {
	case HR_STAT_COUNTER:
		hr_exposition_count(to, row->name, row->labels,
				    hr_stat_get(row->cells));
		break;
	case HR_STAT_GAUGE:
		put_gauge(to, row->name, row->labels, hr_stat_get(row->cells));
		break;
	case HR_STAT_HISTOGRAM:
		for (unsigned int i = 0; i < HR_HIST_CELLS; i++)
			cells[i] = hr_stat_get(&row->cells[i]);
		hr_exposition_histogram(to, row->name, row->labels, cells);
		break;
	}
}

int hr_exposition_segment(FILE *to, const struct hr_stats_reader *reader)
{
	uint32_t n = hr_stats_count(reader), kept = 0;
	struct hr_stat_row *rows = calloc(n + 1, sizeof(*rows));

	if (rows == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		kept += hr_stats_row(reader, i, &rows[kept]);
	qsort(rows, kept, sizeof(*rows), by_name);
	for (uint32_t i = 0; i < kept; i++) {
		if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0)
			hr_exposition_head(to, rows[i].kind, rows[i].name,
					   rows[i].help);
		put_row(to, &rows[i]);
	}
	free(rows);
	return 0;
}
