/* SPDX-License-Identifier: BSD-3-Clause */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/metrics/exposition.h"
#include "tests/unit/hr_test.h"

static char folder[32], path[64], *text;
static size_t n;
static FILE *to;
static struct hr_stats *stats;
static struct hr_stats_reader *reader;

static void setup(void)
{
	strcpy(folder, "/tmp/hr_expo_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/stats", folder);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&stats, path, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&reader, stats), 0);
	to = open_memstream(&text, &n);
	CU_ASSERT_PTR_NOT_NULL_FATAL(to);
}

static void teardown(void)
{
	if (to != NULL)
		fclose(to);
	to = NULL;
	free(text);
	text = NULL;
	hr_stats_close(reader);
	hr_stats_free(stats);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const char *written(void)
{
	fclose(to);
	to = NULL;
	return text;
}

static void a_head_escapes_backslash_and_newline(void)
{
	hr_exposition_head(to, HR_STAT_COUNTER, "a_total", "one\\two\nthree \"four\"");
	CU_ASSERT_STRING_EQUAL(written(), "# HELP a_total one\\\\two\\nthree \"four\"\n"
					  "# TYPE a_total counter\n");
}

static void labels_stand_in_braces_and_none_without(void)
{
	hr_exposition_count(to, "a_total", "", 7);
	hr_exposition_count(to, "a_total", "shard=\"1\"", UINT64_MAX);
	CU_ASSERT_STRING_EQUAL(written(),
			       "a_total 7\n"
			       "a_total{shard=\"1\"} 18446744073709551615\n");
}

static void a_newline_in_labels_cannot_tear_a_line(void)
{
	hr_exposition_count(to, "a_total", "port=\"a\nb\"", 1);
	CU_ASSERT_STRING_EQUAL(written(), "a_total{port=\"a\\nb\"} 1\n");
}

static void a_label_value_is_escaped(void)
{
	char label[64];

	hr_exposition_label(label, sizeof(label), "port", "pcap:\"a\\b\"\n");
	CU_ASSERT_STRING_EQUAL(label, "port=\"pcap:\\\"a\\\\b\\\"\\n\"");
}

static void real_numbers_have_the_formats_own_words(void)
{
	hr_exposition_real(to, "a", "", 0.0015);
	hr_exposition_real(to, "a", "", NAN);
	hr_exposition_real(to, "a", "", INFINITY);
	hr_exposition_real(to, "a", "", -INFINITY);
	CU_ASSERT_STRING_EQUAL(written(), "a 0.0015\na NaN\na +Inf\na -Inf\n");
}

static void buckets_grow_and_end_in_infinity(void)
{
	uint64_t cells[HR_HIST_CELLS] = { 0 };

	cells[0] = 3;                       /* up to 10 us */
	cells[2] = 1;                       /* up to 20 us */
	cells[HR_HIST_BUCKETS - 1] = 2;     /* beyond */
	cells[HR_HIST_BUCKETS] = 200000050; /* sum, us */
	hr_exposition_histogram(to, "a_seconds", "view=\"x\"", cells);
	(void)written();
	CU_ASSERT_PTR_EQUAL(strstr(text, "a_seconds_bucket{view=\"x\",le=\"0.00001\"} "
					 "3\n"),
			    text);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\na_seconds_bucket{view=\"x\",le=\"0.00002\"} 4\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text,
				      "\na_seconds_bucket{view=\"x\",le=\"+Inf\"} 6\n"
				      "a_seconds_sum{view=\"x\"} 200.00005\n"
				      "a_seconds_count{view=\"x\"} 6\n"));
}

static void a_histogram_without_labels_has_le_alone(void)
{
	uint64_t cells[HR_HIST_CELLS] = { 1 };

	hr_exposition_histogram(to, "a_seconds", "", cells);
	(void)written();
	CU_ASSERT_PTR_EQUAL(strstr(text, "a_seconds_bucket{le=\"0.00001\"} 1\n"), text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\na_seconds_sum 0\na_seconds_count 1\n"));
}

/* Rows of two names, added in turns as two writers do. */
static void rows_of_a_name_stand_together_below_one_head(void)
{
	hr_stat_set(hr_stats_add(stats, HR_STAT_COUNTER, "z_total", "w=\"0\"", "Z"), 1);
	hr_stat_set(hr_stats_add(stats, HR_STAT_GAUGE, "a", "w=\"0\"", "A"),
		    (uint64_t)-5);
	hr_stat_set(hr_stats_add(stats, HR_STAT_COUNTER, "z_total", "w=\"1\"", "Z"), 2);
	hr_stat_set(hr_stats_add(stats, HR_STAT_GAUGE, "a", "w=\"1\"", "A"), 6);
	CU_ASSERT_EQUAL(hr_exposition_segment(to, reader), 0);
	CU_ASSERT_STRING_EQUAL(
		written(),
		"# HELP a A\n# TYPE a gauge\na{w=\"0\"} -5\na{w=\"1\"} 6\n"
		"# HELP headrace_stats_rows_lost_total Metric rows that did not fit "
		"into the statistics segment\n"
		"# TYPE headrace_stats_rows_lost_total counter\n"
		"headrace_stats_rows_lost_total 0\n"
		"# HELP z_total Z\n# TYPE z_total counter\n"
		"z_total{w=\"0\"} 1\nz_total{w=\"1\"} 2\n");
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a head escapes backslash and newline",
		  a_head_escapes_backslash_and_newline },
		{ "labels stand in braces, and none without",
		  labels_stand_in_braces_and_none_without },
		{ "a newline in labels cannot tear a line",
		  a_newline_in_labels_cannot_tear_a_line },
		{ "a label value is escaped", a_label_value_is_escaped },
		{ "real numbers have the format's own words",
		  real_numbers_have_the_formats_own_words },
		{ "buckets grow and end in infinity",
		  buckets_grow_and_end_in_infinity },
		{ "a histogram without labels has le alone",
		  a_histogram_without_labels_has_le_alone },
		{ "rows of a name stand together below one head",
		  rows_of_a_name_stand_together_below_one_head },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("exposition", setup, teardown, tests);
}
