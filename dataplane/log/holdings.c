/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crash_point.h"
#include "common/log.h"
#include "dataplane/log/holdings.h"

#define FILE_MAX 8192u
#define TITLE "headrace-shards 1"

/* ---- reading ------------------------------------------------------------------- */

static int bad(const struct hr_holdings *h, uint32_t line, const char *found,
	       const char *expected, struct hr_err *err)
{
	return hr_fail(
		err, -EBADMSG,
		"%s:%u: found \"%.60s\", expected %s: bring the file back from a "
		"copy; or remove it, and this appliance takes the shards that "
		"appliance.shards names",
		h->path, line, found, expected);
}

/* "taken 3", "struck 1". */
static int read_holding(struct hr_holdings *h, const char *line, uint32_t number,
			struct hr_err *err)
{
	enum hr_holding what;
	unsigned long shard;
	const char *digits;
	char *end;

	if (strncmp(line, "taken ", 6) == 0)
		what = HR_HOLDING_TAKEN;
	else if (strncmp(line, "struck ", 7) == 0)
		what = HR_HOLDING_STRUCK;
	else
		return bad(h, number, line, "\"taken SHARD\" or \"struck SHARD\"", err);
	digits = strchr(line, ' ') + 1;
	shard = strtoul(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end != '\0' || shard >= h->n_shards)
		return bad(h, number, line, "a shard of the data set", err);
	h->holdings[shard] = what;
	return 0;
}

/* 1: the list is of another data set. */
static int read_line(struct hr_holdings *h, const char *line, uint32_t number,
		     bool *is_whole, struct hr_err *err)
{
	char wanted[48] = "data_set ";

	if (*is_whole)
		return bad(h, number, line, "nothing behind \"end\"", err);
	if (number == 1)
		return strcmp(line, TITLE) == 0 ? 0 : bad(h, number, line, TITLE, err);
	if (number == 2) {
		hr_id128_print(wanted + strlen(wanted), &h->data_set);
		if (strncmp(line, "data_set ", 9) != 0)
			return bad(h, number, line, "\"data_set ID\"", err);
		return strcmp(line, wanted) != 0;
	}
	*is_whole = strcmp(line, "end") == 0;
	return *is_whole ? 0 : read_holding(h, line, number, err);
}

static int read_text(struct hr_holdings *h, char *text, struct hr_err *err)
{
	char *rest = text, *line;
	bool is_whole = false;
	uint32_t number = 0;
	int r = 0;

	while (r == 0 && (line = strsep(&rest, "\n")) != NULL && rest != NULL)
		r = read_line(h, line, ++number, &is_whole, err);
	if (r < 0)
		return r;
	if (r == 1) {
		hr_warn("log",
			"%s is of another data set: which shards are this appliance's "
			"is what the configuration says",
			h->path);
		return 0;
	}
	return is_whole ? 0 : bad(h, number + 1, "the end", "\"end\"", err);
}

static void configure(struct hr_holdings *h, const struct hr_config *config)
{
	for (uint32_t s = 0; s < h->n_shards; s++)
		h->is_configured[s] = config->n_own_shards == 0;
	for (uint32_t i = 0; i < config->n_own_shards; i++)
		if (config->own_shards[i] < h->n_shards)
			h->is_configured[config->own_shards[i]] = true;
}

int hr_holdings_read(struct hr_holdings *h, const struct hr_config *config,
		     const struct hr_data_set *set, struct hr_err *err)
{
	char text[FILE_MAX + 1];
	ssize_t n;
	int fd;

	memset(h, 0, sizeof(*h));
	h->data_set = set->id;
	h->n_shards = set->n_shards;
	snprintf(h->folder, sizeof(h->folder), "%s", config->state_dir);
	snprintf(h->path, sizeof(h->path), "%s/shards", h->folder);
	configure(h, config);
	fd = open(h->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return hr_fail(err, -errno, "appliance.state_dir: %s: %m", h->path);
	n = read(fd, text, FILE_MAX);
	close(fd);
	if (n < 0)
		return hr_fail(err, -EIO, "appliance.state_dir: %s: %m", h->path);
	text[n] = '\0';
	return read_text(h, text, err);
}

bool hr_holdings_has(const struct hr_holdings *h, uint16_t shard)
{
	return h->holdings[shard] == HR_HOLDING_TAKEN ||
	       (h->holdings[shard] == HR_HOLDING_AS_CONFIGURED &&
		h->is_configured[shard]);
}

/* ---- writing ------------------------------------------------------------------- */

static size_t text_make(const struct hr_holdings *h, char text[FILE_MAX])
{
	char id[HR_ID128_TEXT];
	size_t n;

	hr_id128_print(id, &h->data_set);
	n = (size_t)snprintf(text, FILE_MAX, TITLE "\ndata_set %s\n", id);
	for (uint32_t s = 0; s < h->n_shards; s++)
		if (h->holdings[s] != HR_HOLDING_AS_CONFIGURED)
			n += (size_t)snprintf(
				text + n, FILE_MAX - n, "%s %u\n",
				h->holdings[s] == HR_HOLDING_TAKEN ? "taken" : "struck",
				s);
	return n + (size_t)snprintf(text + n, FILE_MAX - n, "end\n");
}

static int write_file(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n || fsync(fd) < 0)
		r = errno != 0 ? -errno : -EIO;
	close(fd);
	return r;
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

static int write_list(const struct hr_holdings *h)
{
	char text[FILE_MAX], fresh[sizeof(h->path) + 8];
	size_t n = text_make(h, text);
	int r;

	if (mkdir(h->folder, 0755) == 0) {
		snprintf(fresh, sizeof(fresh), "%s/..", h->folder);
		(void)sync_folder(fresh);
	} else if (errno != EEXIST) {
		return -errno;
	}
	snprintf(fresh, sizeof(fresh), "%s.new", h->path);
	errno = 0;
	r = write_file(fresh, text, n);
	HR_CRASH_POINT(holdings_written);
	if (r == 0 && rename(fresh, h->path) < 0)
		r = -errno;
	HR_CRASH_POINT(holdings_renamed);
	return r < 0 ? r : sync_folder(h->folder);
}

int hr_holdings_keep(struct hr_holdings *h, uint16_t shard, bool is_ours,
		     struct hr_err *err)
{
	const enum hr_holding before = h->holdings[shard];
	int r;

	/* Taken even where the configuration names it, so that the configuration may
	 * change without anything being fenced by mistake. */
	h->holdings[shard] = is_ours ? HR_HOLDING_TAKEN : HR_HOLDING_STRUCK;
	if (h->holdings[shard] == before)
		return 0;
	r = write_list(h);
	if (r == 0)
		return 0;
	h->holdings[shard] = before;
	return hr_fail(err, r, "%s cannot be written: %s", h->path, strerror(-r));
}
