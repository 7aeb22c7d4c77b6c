/* SPDX-License-Identifier: BSD-3-Clause */

/* The reader's half of stats. Trusts nothing in the file beyond its size. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/process.h"
#include "dataplane/stats/stats_impl.h"

struct hr_stats_reader {
	struct hr_stats_map map;
	bool is_own; /* the writer's own mapping: not ours to unmap */
};

static bool is_this_boot(const struct hr_stats_header *h)
{
	char now[40] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, now, 36);

	if (fd >= 0)
		close(fd);
	now[n > 0 ? n : 0] = '\0';
	return strncmp(now, h->boot_id, sizeof(now)) == 0;
}

static bool writer_lives(const struct hr_stats_header *h)
{
	return h->pid > 0 && h->pid <= INT32_MAX &&
	       hr_process_is((int)h->pid, h->start_ticks) && is_this_boot(h);
}

static int check_header(const struct hr_stats_header *h, const char *path,
			struct hr_err *err)
{
	if (h->magic != HR_STATS_MAGIC)
		return hr_fail(err, -EPROTO, "%s is not a statistics segment", path);
	if (h->version != HR_STATS_VERSION ||
	    h->row_bytes != sizeof(struct hr_stats_file_row) ||
	    h->max_rows != HR_STATS_ROWS_MAX || h->max_cells != HR_STATS_CELLS_MAX ||
	    h->rows_at != HR_STATS_ROWS_AT || h->cells_at != HR_STATS_CELLS_AT)
		return hr_fail(
			err, -EPROTO,
			"%s has version %u of the statistics segment, this "
			"program reads version %u: use the programs of one build",
			path, h->version, HR_STATS_VERSION);
	if (!writer_lives(h))
		return hr_fail(err, -ESRCH,
			       "%s was left by process %lld, which is gone: the "
			       "dataplane died without stopping",
			       path, (long long)h->pid);
	return 0;
}

static int map_file(struct hr_stats_map *map, const char *path, struct hr_err *err)
{
	struct stat st;
	void *base;
	int fd, rc = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return hr_fail(err, -errno, "%s: %s", path,
			       errno == ENOENT ? "no statistics segment: no dataplane "
						 "is running here"
					       : strerror(errno));
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)HR_STATS_FILE_BYTES) {
		rc = hr_fail(err, -EPROTO,
			     "%s is not a statistics segment of this build: found %lld "
			     "bytes, expected %lld",
			     path, (long long)st.st_size,
			     (long long)HR_STATS_FILE_BYTES);
		goto out;
	}
	base = mmap(NULL, HR_STATS_FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		rc = hr_fail(err, -errno, "cannot map %s: %s", path, strerror(errno));
		goto out;
	}
	hr_stats_map_set(map, base, HR_STATS_FILE_BYTES);
out:
	close(fd);
	return rc;
}

int hr_stats_open(struct hr_stats_reader **out, const char *path, struct hr_err *err)
{
	struct hr_stats_reader *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return hr_fail(err, -ENOMEM, "no memory to read statistics");
	rc = map_file(&r->map, path, err);
	if (rc < 0)
		goto fail;
	rc = check_header(r->map.header, path, err);
	if (rc < 0)
		goto fail;
	*out = r;
	return 0;
fail:
	hr_stats_close(r);
	return rc;
}

int hr_stats_open_own(struct hr_stats_reader **out, const struct hr_stats *stats)
{
	struct hr_stats_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->map = *hr_stats_map_of(stats);
	r->is_own = true;
	*out = r;
	return 0;
}

void hr_stats_close(struct hr_stats_reader *r)
{
	if (r == NULL)
		return;
	if (!r->is_own && r->map.base != NULL)
		munmap(r->map.base, r->map.bytes);
	free(r);
}

bool hr_stats_is_alive(const struct hr_stats_reader *r)
{
	return r->is_own || writer_lives(r->map.header);
}

int hr_stats_writer_pid(const struct hr_stats_reader *r)
{
	return (int)r->map.header->pid;
}

uint64_t hr_stats_made_us(const struct hr_stats_reader *r)
{
	return r->map.header->made_us;
}

uint32_t hr_stats_count(const struct hr_stats_reader *r)
{
	/* Pairs with the release in hr_stats_add(). */
	uint32_t n = atomic_load_explicit(&r->map.header->n_rows, memory_order_acquire);

	return n < HR_STATS_ROWS_MAX ? n : HR_STATS_ROWS_MAX;
}

static bool is_text(const char *s, size_t max)
{
	return memchr(s, '\0', max) != NULL;
}

bool hr_stats_row(const struct hr_stats_reader *r, uint32_t i, struct hr_stat_row *out)
{
	const struct hr_stats_file_row *row;

	if (i >= hr_stats_count(r))
		return false;
	row = &r->map.rows[i];
	if (row->kind > HR_STAT_HISTOGRAM ||
	    row->first_cell > HR_STATS_CELLS_MAX - hr_stat_cells(row->kind) ||
	    !is_text(row->name, sizeof(row->name)) ||
	    !is_text(row->labels, sizeof(row->labels)) ||
	    !is_text(row->help, sizeof(row->help)))
		return false;
	out->kind = row->kind;
	out->name = row->name;
	out->labels = row->labels;
	out->help = row->help;
	out->cells = &r->map.cells[row->first_cell];
	return true;
}

/* A label is matched from its key on, so that shard="1" is not found in
 * log_shard="1"; its closing quote keeps it out of shard="11". */
static bool has_label(const char *labels, const char *label)
{
	if (*label == '\0')
		return true;
	for (const char *at = labels; (at = strstr(at, label)) != NULL; at++)
		if (at == labels || at[-1] == ',')
			return true;
	return false;
}

uint64_t hr_stats_sum(const struct hr_stats_reader *r, const char *name,
		      const char *label)
{
	struct hr_stat_row row;
	uint64_t sum = 0;

	for (uint32_t i = 0, n = hr_stats_count(r); i < n; i++)
		if (hr_stats_row(r, i, &row) && row.kind != HR_STAT_HISTOGRAM &&
		    strcmp(row.name, name) == 0 && has_label(row.labels, label))
			sum += hr_stat_get(row.cells);
	return sum;
}

void hr_stats_histogram(const struct hr_stats_reader *r, const char *name,
			const char *label, uint64_t out[HR_HIST_CELLS])
{
	struct hr_stat_row row;

	memset(out, 0, HR_HIST_CELLS * sizeof(*out));
	for (uint32_t i = 0, n = hr_stats_count(r); i < n; i++) {
		if (!hr_stats_row(r, i, &row) || row.kind != HR_STAT_HISTOGRAM ||
		    strcmp(row.name, name) != 0 || !has_label(row.labels, label))
			continue;
		for (unsigned int c = 0; c < HR_HIST_CELLS; c++)
			out[c] += hr_stat_get(&row.cells[c]);
	}
}

double hr_hist_quantile_us(const uint64_t buckets[HR_HIST_BUCKETS], double q)
{
	uint64_t total = 0;
	double wanted, below = 0;

	for (unsigned int i = 0; i < HR_HIST_BUCKETS; i++)
		total += buckets[i];
	if (total == 0)
		return -1;
	wanted = q * (double)total;
	for (unsigned int i = 0; i < HR_HIST_BUCKETS; i++) {
		double low = i == 0 ? 0 : (double)hr_hist_bound_us[i - 1];
		double n = (double)buckets[i];

		if (buckets[i] != 0 && below + n >= wanted) {
			if (i == HR_HIST_BUCKETS - 1)
				return low;
			return low + ((double)hr_hist_bound_us[i] - low) *
					     (wanted - below) / n;
		}
		below += n;
	}
	return (double)hr_hist_bound_us[HR_HIST_BUCKETS - 2];
}

double hr_stats_quantile_us(const struct hr_stats_reader *r, const char *name,
			    const char *label, double q)
{
	uint64_t cells[HR_HIST_CELLS];

	hr_stats_histogram(r, name, label, cells);
	return hr_hist_quantile_us(cells, q);
}
