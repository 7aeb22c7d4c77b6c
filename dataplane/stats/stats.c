/* SPDX-License-Identifier: BSD-3-Clause */

/* The writer's cold half of stats: making the segment and adding rows. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/process.h"
#include "dataplane/stats/names.h"
#include "dataplane/stats/stats_impl.h"

#define CELLS_A_LINE 8u

struct hr_stats {
	struct hr_stats_map map;
	pthread_mutex_t lock; /* rows are added by several threads, all of them cold */
	uint32_t n_cells;
	hr_cell *lost;   /* headrace_stats_rows_lost_total */
	hr_cell *unread; /* where rows that did not fit write */
	char path[4096], making[4096 + 16];
	bool is_published;
};

const struct hr_metric_row hr_metric_rows[HR_METRIC_COUNT] = {
#define HR_METRIC(id, kind, name, label_keys, help)                                    \
	[HR_METRIC_##id] = { HR_STAT_##kind, name, label_keys, help },
#include "dataplane/stats/names.def"
#undef HR_METRIC
};

const struct hr_stats_map *hr_stats_map_of(const struct hr_stats *stats)
{
	return &stats->map;
}

static void read_boot_id(char out[40])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, out, 36);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
}

static void fill_header(struct hr_stats_header *h)
{
	h->version = HR_STATS_VERSION;
	h->row_bytes = sizeof(struct hr_stats_file_row);
	h->max_rows = HR_STATS_ROWS_MAX;
	h->max_cells = HR_STATS_CELLS_MAX;
	h->rows_at = HR_STATS_ROWS_AT;
	h->cells_at = HR_STATS_CELLS_AT;
	h->pid = getpid();
	(void)hr_process_start_ticks(getpid(), &h->start_ticks);
	read_boot_id(h->boot_id);
	h->made_us = hr_wall_us();
	atomic_init(&h->n_rows, 0);
	h->magic = HR_STATS_MAGIC;
}

static int map_new_file(struct hr_stats *s, struct hr_err *err)
{
	void *base;
	int fd, rc = 0;

	fd = open(s->making, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return hr_fail(err, -errno,
			       "cannot make the statistics segment %s: %s; the folder "
			       "must exist and be writable (appliance.run_dir)",
			       s->making, strerror(errno));
	if (ftruncate(fd, (off_t)HR_STATS_FILE_BYTES) < 0) {
		rc = hr_fail(err, -errno, "cannot size %s to %zu bytes: %s", s->making,
			     (size_t)HR_STATS_FILE_BYTES, strerror(errno));
		goto out;
	}
	base = mmap(NULL, HR_STATS_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	if (base == MAP_FAILED) {
		rc = hr_fail(err, -errno, "cannot map %s: %s", s->making,
			     strerror(errno));
		goto out;
	}
	hr_stats_map_set(&s->map, base, HR_STATS_FILE_BYTES);
out:
	close(fd);
	if (rc < 0)
		unlink(s->making);
	return rc;
}

int hr_stats_create(struct hr_stats **out, const char *path, struct hr_err *err)
{
	struct hr_stats *s;
	int rc = -ENOMEM;

	if (strlen(path) >= sizeof(s->path))
		return hr_fail(err, -ENAMETOOLONG, "the path %s is too long", path);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return hr_fail(err, -ENOMEM, "no memory for statistics");
	s->unread = aligned_alloc(64, 64 * ((HR_HIST_CELLS + 7) / 8));
	if (s->unread == NULL) {
		(void)hr_fail(err, -ENOMEM, "no memory for statistics");
		goto fail;
	}
	memset((void *)s->unread, 0, 64 * ((HR_HIST_CELLS + 7) / 8));
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	(void)snprintf(s->making, sizeof(s->making), "%s.%d", path, getpid());
	rc = map_new_file(s, err);
	if (rc < 0)
		goto fail;
	fill_header(s->map.header);
	pthread_mutex_init(&s->lock, NULL);
	s->lost = hr_stats_add(s, HR_STAT_COUNTER, "headrace_stats_rows_lost_total", "",
			       "Metric rows that did not fit into the statistics "
			       "segment");
	hr_stats_next_writer(s);
	*out = s;
	return 0;
fail:
	free((void *)s->unread);
	free(s);
	return rc;
}

static struct hr_stats_file_row *find_row(const struct hr_stats *s, const char *name,
					  const char *labels)
{
	uint32_t n = atomic_load_explicit(&s->map.header->n_rows, memory_order_relaxed);

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(s->map.rows[i].name, name) == 0 &&
		    strcmp(s->map.rows[i].labels, labels) == 0)
			return &s->map.rows[i];
	return NULL;
}

/* Two writers take turns here by the lock; the count itself is one more cell that
 * only holders of the lock write. */
static hr_cell *lose(struct hr_stats *s, const char *name, const char *labels,
		     const char *why)
{
	hr_error("stats", "no row for %s{%s}: %s; it is counted nowhere", name, labels,
		 why);
	hr_stat_add(s->lost, 1);
	return s->unread;
}

static hr_cell *add_locked(struct hr_stats *s, enum hr_stat_kind kind, const char *name,
			   const char *labels, const char *help)
{
	uint32_t n = atomic_load_explicit(&s->map.header->n_rows, memory_order_relaxed);
	struct hr_stats_file_row *row;

	if (strlen(name) >= HR_STATS_NAME_MAX ||
	    strlen(labels) >= HR_STATS_LABELS_MAX || strlen(help) >= HR_STATS_HELP_MAX)
		return lose(s, name, labels, "name, labels or help are too long");
	row = find_row(s, name, labels);
	if (row != NULL)
		return row->kind == kind
			       ? &s->map.cells[row->first_cell]
			       : lose(s, name, labels, "it is there as another kind");
	if (n == HR_STATS_ROWS_MAX ||
	    s->n_cells + hr_stat_cells(kind) > HR_STATS_CELLS_MAX)
		return lose(s, name, labels, "the segment is full");

	row = &s->map.rows[n];
	strcpy(row->name, name);
	strcpy(row->labels, labels);
	strcpy(row->help, help);
	row->kind = kind;
	row->first_cell = s->n_cells;
	s->n_cells += hr_stat_cells(kind);
	/* Pairs with the acquire in hr_stats_count(): the row is complete. */
	atomic_store_explicit(&s->map.header->n_rows, n + 1, memory_order_release);
	return &s->map.cells[row->first_cell];
}

hr_cell *hr_stats_add(struct hr_stats *s, enum hr_stat_kind kind, const char *name,
		      const char *labels, const char *help)
{
	hr_cell *cell;

	pthread_mutex_lock(&s->lock);
	cell = add_locked(s, kind, name, labels, help);
	pthread_mutex_unlock(&s->lock);
	return cell;
}

/* Do the labels have exactly the keys of "worker,reason", in that order? */
static bool has_keys(const char *labels, const char *keys)
{
	while (*keys != '\0') {
		size_t n = strcspn(keys, ",");

		if (strncmp(labels, keys, n) != 0 || strncmp(labels + n, "=\"", 2) != 0)
			return false;
		labels = strchr(labels + n + 2, '"');
		if (labels == NULL)
			return false;
		labels += 1 + (labels[1] == ',');
		keys += n + (keys[n] == ',');
	}
	return *labels == '\0';
}

hr_cell *hr_stats_add_metric(struct hr_stats *stats, enum hr_metric metric,
			     const char *labels, ...)
{
	const struct hr_metric_row *row = &hr_metric_rows[metric];
	char text[HR_STATS_LABELS_MAX + 1]; /* one more: overlong is seen as such */
	va_list args;

	va_start(args, labels);
	(void)vsnprintf(text, sizeof(text), labels, args);
	va_end(args);
	assert(has_keys(text, row->label_keys) || strlen(text) == HR_STATS_LABELS_MAX);
	return hr_stats_add(stats, row->kind, row->name, text, row->help);
}

void hr_stats_next_writer(struct hr_stats *s)
{
	pthread_mutex_lock(&s->lock);
	s->n_cells = (s->n_cells + CELLS_A_LINE - 1) / CELLS_A_LINE * CELLS_A_LINE;
	pthread_mutex_unlock(&s->lock);
}

int hr_stats_publish(struct hr_stats *s, struct hr_err *err)
{
	if (rename(s->making, s->path) < 0)
		return hr_fail(err, -errno, "cannot rename %s to %s: %s", s->making,
			       s->path, strerror(errno));
	s->is_published = true;
	return 0;
}

void hr_stats_free(struct hr_stats *s)
{
	if (s == NULL)
		return;
	unlink(s->is_published ? s->path : s->making);
	munmap(s->map.base, s->map.bytes);
	pthread_mutex_destroy(&s->lock);
	free((void *)s->unread);
	free(s);
}
