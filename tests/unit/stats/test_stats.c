/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/stats/names.h"
#include "dataplane/stats/stats_impl.h"
#include "tests/unit/hr_test.h"

static char folder[64], path[96];
static struct hr_stats *stats;

static void setup(void)
{
	strcpy(folder, "/tmp/hr_stats_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/stats", folder);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&stats, path, NULL), 0);
}

static void teardown(void)
{
	hr_stats_free(stats);
	stats = NULL;
	unlink(path);
	/* Fails, and so tells, when a segment left anything else behind. */
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static struct hr_stats_reader *publish_and_open(void)
{
	struct hr_stats_reader *r = NULL;
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL_FATAL(hr_stats_publish(stats, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open(&r, path, &err), 0);
	return r;
}

static void bounds_are_half_octaves_from_ten_microseconds(void)
{
	for (unsigned int i = 0; i < HR_HIST_BUCKETS - 1; i++) {
		/* bound^2 <= 100 * 2^i < (bound + 1)^2 */
		unsigned __int128 square = (unsigned __int128)100 << i;
		unsigned __int128 b = hr_hist_bound_us[i];

		CU_ASSERT_TRUE(b * b <= square && square < (b + 1) * (b + 1));
	}
	CU_ASSERT_EQUAL(hr_hist_bound_us[HR_HIST_BUCKETS - 1], UINT64_MAX);
}

static void a_value_is_counted_in_the_first_bucket_that_holds_it(void)
{
	hr_cell *h = hr_stats_add(stats, HR_STAT_HISTOGRAM, "h", "", "");

	for (unsigned int i = 0; i < HR_HIST_BUCKETS - 1; i++) {
		uint64_t here = hr_stat_get(&h[i]), next = hr_stat_get(&h[i + 1]);

		hr_stat_observe_us(h, hr_hist_bound_us[i]);
		CU_ASSERT_EQUAL(hr_stat_get(&h[i]), here + 1);
		hr_stat_observe_many_us(h, hr_hist_bound_us[i] + 1, 3);
		CU_ASSERT_EQUAL(hr_stat_get(&h[i + 1]), next + 3);
	}
}

static void what_was_added_is_read_row_by_row(void)
{
	hr_cell *a =
		hr_stats_add(stats, HR_STAT_COUNTER, "a_total", "worker=\"0\"", "A");
	hr_cell *g = hr_stats_add(stats, HR_STAT_GAUGE, "g", "", "G");
	hr_cell *h = hr_stats_add(stats, HR_STAT_HISTOGRAM, "h_seconds", "", "H");
	struct hr_stats_reader *r = publish_and_open();
	struct hr_stat_row row;

	hr_stat_add(a, 41);
	hr_stat_add(a, 1);
	hr_stat_set(g, (uint64_t)-7);
	hr_stat_observe_us(h, 25);
	CU_ASSERT_EQUAL_FATAL(hr_stats_count(r), 4);
	CU_ASSERT_TRUE_FATAL(hr_stats_row(r, 1, &row));
	CU_ASSERT_EQUAL(row.kind, HR_STAT_COUNTER);
	CU_ASSERT_STRING_EQUAL(row.name, "a_total");
	CU_ASSERT_STRING_EQUAL(row.labels, "worker=\"0\"");
	CU_ASSERT_STRING_EQUAL(row.help, "A");
	CU_ASSERT_EQUAL(hr_stat_get(row.cells), 42);
	CU_ASSERT_TRUE_FATAL(hr_stats_row(r, 2, &row));
	CU_ASSERT_EQUAL((int64_t)hr_stat_get(row.cells), -7);
	CU_ASSERT_TRUE_FATAL(hr_stats_row(r, 3, &row));
	CU_ASSERT_EQUAL(hr_stat_get(&row.cells[3]), 1);
	CU_ASSERT_EQUAL(hr_stat_get(&row.cells[HR_HIST_BUCKETS]), 25);
	CU_ASSERT_FALSE(hr_stats_row(r, 4, &row));
	CU_ASSERT_TRUE(hr_stats_is_alive(r));
	CU_ASSERT_EQUAL(hr_stats_writer_pid(r), getpid());
	hr_stats_close(r);
}

static void rows_added_after_publishing_are_seen(void)
{
	struct hr_stats_reader *r = publish_and_open();

	CU_ASSERT_EQUAL(hr_stats_count(r), 1);
	hr_stat_add(hr_stats_add(stats, HR_STAT_COUNTER, "late_total", "", ""), 5);
	CU_ASSERT_EQUAL(hr_stats_count(r), 2);
	CU_ASSERT_EQUAL(hr_stats_sum(r, "late_total", ""), 5);
	hr_stats_close(r);
}

static void nobody_finds_a_segment_before_it_is_published(void)
{
	struct hr_stats_reader *r = NULL;
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL(hr_stats_open(&r, path, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_PTR_NULL(r);
}

static void the_same_row_again_is_the_same_cell(void)
{
	hr_cell *a = hr_stats_add(stats, HR_STAT_COUNTER, "a_total", "s=\"1\"", "");

	CU_ASSERT_PTR_EQUAL(
		hr_stats_add(stats, HR_STAT_COUNTER, "a_total", "s=\"1\"", ""), a);
	CU_ASSERT_PTR_NOT_EQUAL(
		hr_stats_add(stats, HR_STAT_COUNTER, "a_total", "s=\"2\"", ""), a);
}

static uint64_t lost(const struct hr_stats_reader *r)
{
	return hr_stats_sum(r, "headrace_stats_rows_lost_total", "");
}

static void a_row_that_does_not_fit_is_counted_as_lost_and_can_be_written(void)
{
	char labels[HR_STATS_LABELS_MAX + 1];
	struct hr_stats_reader *r = publish_and_open();
	hr_cell *cell;

	memset(labels, 'x', sizeof(labels));
	labels[HR_STATS_LABELS_MAX] = '\0';
	cell = hr_stats_add(stats, HR_STAT_HISTOGRAM, "h", labels, "");
	hr_stat_observe_us(cell, UINT64_MAX);
	CU_ASSERT_EQUAL(lost(r), 1);
	labels[HR_STATS_LABELS_MAX - 1] = '\0';
	(void)hr_stats_add(stats, HR_STAT_HISTOGRAM, "h", labels, "");
	CU_ASSERT_EQUAL(lost(r), 1);
	(void)hr_stats_add(stats, HR_STAT_COUNTER, "h", labels, "");
	CU_ASSERT_EQUAL(lost(r), 2);
	hr_stats_close(r);
}

static void a_full_segment_loses_rows_by_name_and_keeps_the_rest(void)
{
	struct hr_stats_reader *r = publish_and_open();
	char labels[32];

	for (uint32_t i = hr_stats_count(r); i < HR_STATS_ROWS_MAX + 2; i++) {
		(void)snprintf(labels, sizeof(labels), "i=\"%u\"", i);
		hr_stat_add(hr_stats_add(stats, HR_STAT_COUNTER, "n_total", labels, ""),
			    1);
	}
	CU_ASSERT_EQUAL(hr_stats_count(r), HR_STATS_ROWS_MAX);
	CU_ASSERT_EQUAL(lost(r), 2);
	CU_ASSERT_EQUAL(hr_stats_sum(r, "n_total", ""), HR_STATS_ROWS_MAX - 1);
	hr_stats_close(r);
}

static void writers_share_no_cache_line(void)
{
	hr_cell *a = hr_stats_add(stats, HR_STAT_COUNTER, "a", "", "");
	hr_cell *b = hr_stats_add(stats, HR_STAT_COUNTER, "b", "", "");
	hr_cell *c;

	hr_stats_next_writer(stats);
	c = hr_stats_add(stats, HR_STAT_COUNTER, "c", "", "");
	CU_ASSERT_PTR_EQUAL(b, a + 1);
	CU_ASSERT_NOT_EQUAL((uintptr_t)b / 64, (uintptr_t)c / 64);
	CU_ASSERT_EQUAL((uintptr_t)a % 64, 0);
	CU_ASSERT_EQUAL((uintptr_t)c % 64, 0);
}

static void a_label_is_matched_whole(void)
{
	static const struct {
		const char *labels;
		uint64_t value;
	} rows[] = {
		{ "worker=\"1\",reason=\"tag\"", 1 },
		{ "worker=\"11\",reason=\"tag\"", 10 },
		{ "my_worker=\"1\",reason=\"late_tag\"", 100 },
		{ "", 1000 },
	};
	static const struct {
		const char *label;
		uint64_t sum;
	} asked[] = {
		{ "", 1111 },
		{ "worker=\"1\"", 1 },
		{ "worker=\"11\"", 10 },
		{ "reason=\"tag\"", 11 },
		{ "worker=\"1\",reason=\"tag\"", 1 },
		{ "reason=\"none\"", 0 },
	};
	struct hr_stats_reader *r;

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		hr_stat_set(
			hr_stats_add(stats, HR_STAT_COUNTER, "n", rows[i].labels, ""),
			rows[i].value);
	r = publish_and_open();
	for (size_t i = 0; i < HR_COUNT(asked); i++)
		CU_ASSERT_EQUAL(hr_stats_sum(r, "n", asked[i].label), asked[i].sum);
	hr_stats_close(r);
}

static void quantiles_are_straight_inside_a_bucket(void)
{
	hr_cell *a = hr_stats_add(stats, HR_STAT_HISTOGRAM, "h", "view=\"a\"", "");
	hr_cell *b = hr_stats_add(stats, HR_STAT_HISTOGRAM, "h", "view=\"b\"", "");
	struct hr_stats_reader *r = publish_and_open();

	CU_ASSERT_EQUAL(hr_stats_quantile_us(r, "h", "", 0.5), -1);
	hr_stat_observe_many_us(a, 20, 50);  /* 14..20 */
	hr_stat_observe_many_us(b, 100, 50); /* 80..113 */
	CU_ASSERT_DOUBLE_EQUAL(hr_stats_quantile_us(r, "h", "", 0.25), 17, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(hr_stats_quantile_us(r, "h", "", 0.5), 20, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(hr_stats_quantile_us(r, "h", "", 1), 113, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(hr_stats_quantile_us(r, "h", "view=\"a\"", 1), 20, 1e-9);
	hr_stat_observe_many_us(b, UINT64_MAX / 200, 100);
	CU_ASSERT_DOUBLE_EQUAL(hr_stats_quantile_us(r, "h", "", 0.99), 83886080, 1e-9);
	hr_stats_close(r);
}

/* A child that publishes a segment and is killed: nothing tidies up. */
static void a_writer_that_was_killed_is_recognised(void)
{
	struct hr_stats_reader *open_before = NULL, *r = NULL;
	struct hr_err err = { "" };
	char dead[128], go;
	int pipes[2];
	pid_t child;

	(void)snprintf(dead, sizeof(dead), "%s/dead", folder);
	CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
	child = fork();
	CU_ASSERT_FATAL(child >= 0);
	if (child == 0) {
		struct hr_stats *s;

		if (hr_stats_create(&s, dead, NULL) == 0 &&
		    hr_stats_publish(s, NULL) == 0 && write(pipes[1], "p", 1) == 1)
			pause();
		_exit(1);
	}
	CU_ASSERT_EQUAL_FATAL(read(pipes[0], &go, 1), 1);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open(&open_before, dead, &err), 0);
	CU_ASSERT_TRUE(hr_stats_is_alive(open_before));

	kill(child, SIGKILL);
	/* Dead from here on, although its zombie still answers to kill(pid, 0). */
	CU_ASSERT_EQUAL(
		waitid(P_PID, (id_t)child, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	CU_ASSERT_FALSE(hr_stats_is_alive(open_before));
	CU_ASSERT_EQUAL(hr_stats_open(&r, dead, &err), -ESRCH);
	waitpid(child, NULL, 0);
	CU_ASSERT_FALSE(hr_stats_is_alive(open_before));
	CU_ASSERT_EQUAL(hr_stats_open(&r, dead, &err), -ESRCH);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "gone"));

	hr_stats_close(open_before);
	unlink(dead);
	close(pipes[0]);
	close(pipes[1]);
}

/* The pid is alive but belongs to somebody else by now. */
static void a_pid_that_was_used_again_is_not_the_writer(void)
{
	struct hr_stats_reader *r = publish_and_open();
	struct hr_stats_header *h = hr_stats_map_of(stats)->header;

	h->start_ticks++;
	CU_ASSERT_FALSE(hr_stats_is_alive(r));
	h->start_ticks--;
	CU_ASSERT_TRUE(hr_stats_is_alive(r));
	h->boot_id[0] ^= 1;
	CU_ASSERT_FALSE(hr_stats_is_alive(r));
	hr_stats_close(r);
}

static void whatever_is_no_segment_of_this_version_is_refused_by_name(void)
{
	struct hr_stats_header *h;
	struct hr_stats_reader *r = NULL;
	struct hr_err err = { "" };
	char other[128];
	int fd;

	hr_stats_close(publish_and_open());
	h = hr_stats_map_of(stats)->header;
	h->version++;
	CU_ASSERT_EQUAL(hr_stats_open(&r, path, &err), -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "version 2"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "version 1"));
	h->version--;
	h->magic ^= 1;
	CU_ASSERT_EQUAL(hr_stats_open(&r, path, &err), -EPROTO);
	h->magic ^= 1;

	(void)snprintf(other, sizeof(other), "%s/other", folder);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	CU_ASSERT_EQUAL(hr_stats_open(&r, other, &err), -EPROTO);
	CU_ASSERT_EQUAL(ftruncate(fd, 4096), 0);
	CU_ASSERT_EQUAL(hr_stats_open(&r, other, &err), -EPROTO);
	close(fd);
	unlink(other);
}

static void a_damaged_row_is_skipped(void)
{
	hr_cell *a = hr_stats_add(stats, HR_STAT_COUNTER, "a", "", "");
	struct hr_stats_reader *r = publish_and_open();
	struct hr_stats_file_row *rows = hr_stats_map_of(stats)->rows;
	struct hr_stat_row row;

	hr_stat_add(a, 1);
	rows[1].first_cell = HR_STATS_CELLS_MAX;
	CU_ASSERT_FALSE(hr_stats_row(r, 1, &row));
	CU_ASSERT_EQUAL(hr_stats_sum(r, "a", ""), 0);
	rows[1].first_cell = UINT32_MAX;
	CU_ASSERT_FALSE(hr_stats_row(r, 1, &row));
	rows[1].first_cell = 0;
	rows[1].kind = 77;
	CU_ASSERT_FALSE(hr_stats_row(r, 1, &row));
	rows[1].kind = 0;
	memset(rows[1].labels, 'x', sizeof(rows[1].labels));
	CU_ASSERT_FALSE(hr_stats_row(r, 1, &row));
	atomic_store(&hr_stats_map_of(stats)->header->n_rows, UINT32_MAX);
	CU_ASSERT_EQUAL(hr_stats_count(r), HR_STATS_ROWS_MAX);
	hr_stats_close(r);
}

static void rows_of_the_table_carry_its_name_kind_and_help(void)
{
	struct hr_stats_reader *r;
	struct hr_stat_row row;

	hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_REFUSED,
			    "worker=\"%u\",reason=\"%s\"", 3u, "tag");
	hr_stats_add_metric(stats, HR_METRIC_LOG_APPEND, "%s", "");
	r = publish_and_open();
	CU_ASSERT_TRUE_FATAL(hr_stats_row(r, 1, &row));
	CU_ASSERT_STRING_EQUAL(row.name, "headrace_datagrams_refused_total");
	CU_ASSERT_STRING_EQUAL(row.labels, "worker=\"3\",reason=\"tag\"");
	CU_ASSERT_TRUE_FATAL(hr_stats_row(r, 2, &row));
	CU_ASSERT_EQUAL(row.kind, HR_STAT_HISTOGRAM);
	hr_stats_close(r);
}

#define RACE_ROWS 200u
#define RACE_ADDS 100000u

static atomic_bool is_done;

/* One writer: adds to its cells and now and then a row. */
static void *race_writer(void *arg)
{
	hr_cell *h = hr_stats_add(stats, HR_STAT_HISTOGRAM, "h", "", "");
	hr_cell *n = NULL;
	char labels[32];

	(void)arg;
	for (uint32_t i = 0; i < RACE_ADDS; i++) {
		if (i % (RACE_ADDS / RACE_ROWS) == 0) {
			(void)snprintf(labels, sizeof(labels), "i=\"%u\"", i);
			n = hr_stats_add(stats, HR_STAT_COUNTER, "n_total", labels, "");
		}
		hr_stat_add(n, 1);
		hr_stat_observe_us(h, i);
	}
	atomic_store(&is_done, true);
	return NULL;
}

/* Conservation, over the writer's own mapping so that the thread sanitizer sees
 * both sides: sums only grow, rows are complete when seen, nothing is lost. */
static void a_reader_sees_whole_rows_and_growing_sums_while_they_are_written(void)
{
	uint64_t sum = 0, cells[HR_HIST_CELLS], observed = 0;
	struct hr_stats_reader *r = NULL;
	struct hr_stat_row row;
	pthread_t writer;
	bool was_done;

	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&r, stats), 0);
	atomic_store(&is_done, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&writer, NULL, race_writer, NULL), 0);
	do {
		uint64_t now;

		was_done = atomic_load(&is_done);
		for (uint32_t i = 0, n = hr_stats_count(r); i < n; i++)
			if (!hr_stats_row(r, i, &row) || row.name[0] == '\0')
				CU_FAIL("half a row");
		now = hr_stats_sum(r, "n_total", "");
		CU_ASSERT_TRUE(now >= sum);
		sum = now;
	} while (!was_done);
	pthread_join(writer, NULL);
	CU_ASSERT_EQUAL(sum, RACE_ADDS);
	hr_stats_histogram(r, "h", "", cells);
	for (unsigned int i = 0; i < HR_HIST_BUCKETS; i++)
		observed += cells[i];
	CU_ASSERT_EQUAL(observed, RACE_ADDS);
	CU_ASSERT_EQUAL(cells[HR_HIST_BUCKETS],
			(uint64_t)RACE_ADDS * (RACE_ADDS - 1) / 2);
	hr_stats_close(r);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "bounds are half octaves from ten microseconds",
		  bounds_are_half_octaves_from_ten_microseconds },
		{ "a value is counted in the first bucket that holds it",
		  a_value_is_counted_in_the_first_bucket_that_holds_it },
		{ "what was added is read row by row",
		  what_was_added_is_read_row_by_row },
		{ "rows added after publishing are seen",
		  rows_added_after_publishing_are_seen },
		{ "nobody finds a segment before it is published",
		  nobody_finds_a_segment_before_it_is_published },
		{ "the same row again is the same cell",
		  the_same_row_again_is_the_same_cell },
		{ "a row that does not fit is counted as lost and can be written",
		  a_row_that_does_not_fit_is_counted_as_lost_and_can_be_written },
		{ "a full segment loses rows by name and keeps the rest",
		  a_full_segment_loses_rows_by_name_and_keeps_the_rest },
		{ "writers share no cache line", writers_share_no_cache_line },
		{ "a label is matched whole", a_label_is_matched_whole },
		{ "quantiles are straight inside a bucket",
		  quantiles_are_straight_inside_a_bucket },
		{ "a writer that was killed is recognised",
		  a_writer_that_was_killed_is_recognised },
		{ "a pid that was used again is not the writer",
		  a_pid_that_was_used_again_is_not_the_writer },
		{ "whatever is no segment of this version is refused by name",
		  whatever_is_no_segment_of_this_version_is_refused_by_name },
		{ "a damaged row is skipped", a_damaged_row_is_skipped },
		{ "rows of the table carry its name, kind and help",
		  rows_of_the_table_carry_its_name_kind_and_help },
		{ "a reader sees whole rows and growing sums while they are written",
		  a_reader_sees_whole_rows_and_growing_sums_while_they_are_written },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("stats", setup, teardown, tests);
}
