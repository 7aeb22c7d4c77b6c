/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "dataplane/poison/deaths.h"

#define MAGIC "HRDEATH1"
#define AT_BUILD 8u
#define AT_FORGOTTEN 28u
#define AT_CRC (HR_DEATH_BYTES - 4)

/* ---- bytes ------------------------------------------------------------------------- */

static void seal(uint8_t bytes[HR_DEATH_BYTES])
{
	hr_store32(bytes + AT_CRC, hr_crc32c(bytes, AT_CRC));
}

static bool is_sealed(const uint8_t bytes[HR_DEATH_BYTES])
{
	return hr_load32(bytes + AT_CRC) == hr_crc32c(bytes, AT_CRC);
}

static void encode(uint8_t out[HR_DEATH_BYTES], const struct hr_death *d)
{
	memset(out, 0, HR_DEATH_BYTES);
	hr_store16(out, d->kind);
	hr_store16(out + 2, d->shard);
	hr_store32(out + 4, d->deaths);
	hr_store64(out + 8, d->number);
	memcpy(out + 16, d->hash.b, 16);
	hr_store32(out + 32, d->bytes);
	hr_store32(out + 36, d->signal);
	hr_store64(out + 40, d->wall_us);
	seal(out);
}

/* False: it is none. */
static bool decode(struct hr_death *d, const uint8_t bytes[HR_DEATH_BYTES])
{
	*d = (struct hr_death){
		.kind = hr_load16(bytes),
		.shard = hr_load16(bytes + 2),
		.deaths = hr_load32(bytes + 4),
		.number = hr_load64(bytes + 8),
		.bytes = hr_load32(bytes + 32),
		.signal = hr_load32(bytes + 36),
		.wall_us = hr_load64(bytes + 40),
	};
	memcpy(d->hash.b, bytes + 16, 16);
	return is_sealed(bytes) && d->deaths > 0 &&
	       (d->kind == HR_DEATH_LINK || d->kind == HR_DEATH_DATAGRAM);
}

void hr_death_write(int fd, uint32_t slot, const struct hr_death *death)
{
	uint8_t bytes[HR_DEATH_BYTES];

	encode(bytes, death);
	/* There is nobody left to tell. */
	if (pwrite(fd, bytes, sizeof(bytes),
		   HR_DEATH_SLOTS_AT + slot * HR_DEATH_BYTES) < 0)
		return;
}

/* ---- the list ---------------------------------------------------------------------- */

static bool is_same(const struct hr_death *a, const struct hr_death *b)
{
	return a->kind == b->kind && a->shard == b->shard && a->number == b->number &&
	       a->bytes == b->bytes && hr_id128_equals(&a->hash, &b->hash);
}

bool hr_death_is_barred(const struct hr_death *death)
{
	return death->deaths >= HR_DEATHS_BORNE;
}

const struct hr_death *hr_deaths_find(const struct hr_deaths *list,
				      const struct hr_death *like)
{
	for (uint32_t i = 0; i < list->n[like->kind]; i++)
		if (is_same(&list->rows[like->kind][i], like))
			return &list->rows[like->kind][i];
	return NULL;
}

/* A place for one more: a free one, or that of the oldest that killed once. */
static struct hr_death *make_room(struct hr_deaths *list, uint32_t kind)
{
	struct hr_death *oldest = NULL;

	if (list->n[kind] < HR_DEATHS_MAX)
		return &list->rows[kind][list->n[kind]++];
	for (uint32_t i = 0; i < HR_DEATHS_MAX; i++) {
		struct hr_death *d = &list->rows[kind][i];

		if (!hr_death_is_barred(d) &&
		    (oldest == NULL || d->wall_us < oldest->wall_us))
			oldest = d;
	}
	return oldest;
}

void hr_deaths_add(struct hr_deaths *list, const struct hr_death *death)
{
	struct hr_death *known =
		(struct hr_death *)(uintptr_t)hr_deaths_find(list, death);

	if (known == NULL) {
		known = make_room(list, death->kind);
		if (known == NULL) {
			list->forgotten++;
			return;
		}
		*known = *death;
		return;
	}
	known->deaths += death->deaths;
	known->is_fresh |= death->is_fresh;
	if (death->wall_us >= known->wall_us) {
		known->wall_us = death->wall_us;
		known->signal = death->signal;
	}
}

/* ---- the file ---------------------------------------------------------------------- */

/* Two threads of one process died of it. */
static bool was_fresh(const struct hr_deaths *list, const struct hr_death *d)
{
	const struct hr_death *known = hr_deaths_find(list, d);

	return known != NULL && known->is_fresh;
}

static void take(struct hr_deaths *list, const uint8_t *file, bool is_others)
{
	for (uint32_t at = HR_DEATH_BYTES; at < HR_DEATHS_FILE_BYTES;
	     at += HR_DEATH_BYTES) {
		struct hr_death d;

		if (!decode(&d, file + at))
			continue;
		if (is_others) {
			list->n_of_others++;
			continue;
		}
		d.is_fresh = at >= HR_DEATH_SLOTS_AT;
		list->is_unchanged &= !d.is_fresh;
		if (!d.is_fresh || !was_fresh(list, &d))
			hr_deaths_add(list, &d);
	}
}

static void take_file(struct hr_deaths *list, const uint8_t *file, size_t n,
		      const char *path, struct hr_err *err)
{
	uint32_t before;
	bool is_others;

	if (n != HR_DEATHS_FILE_BYTES || memcmp(file, MAGIC, 8) != 0 ||
	    !is_sealed(file)) {
		hr_fail(err, 0,
			"%s is not a list of what killed the dataplane: it is begun "
			"anew",
			path);
		return;
	}
	is_others = memcmp(file + AT_BUILD, list->build, HR_BUILD_ID_BYTES) != 0;
	list->is_unchanged = !is_others;
	if (!is_others)
		list->forgotten = hr_load32(file + AT_FORGOTTEN);
	before = list->forgotten;
	take(list, file, is_others);
	list->n_forgotten = list->forgotten - before;
}

int hr_deaths_read(struct hr_deaths *list, const uint8_t build[HR_BUILD_ID_BYTES],
		   const char *path, struct hr_err *err)
{
	uint8_t file[HR_DEATHS_FILE_BYTES + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	err->text[0] = '\0';
	memset(list, 0, sizeof(*list));
	memcpy(list->build, build, HR_BUILD_ID_BYTES);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return hr_fail(err, -errno, "%s: %m", path);
	n = read(fd, file, sizeof(file));
	close(fd);
	if (n < 0)
		return hr_fail(err, -EIO, "%s cannot be read", path);
	take_file(list, file, (size_t)n, path, err);
	return 0;
}

static void lay_out(const struct hr_deaths *list, uint8_t file[HR_DEATHS_FILE_BYTES])
{
	uint8_t *at = file + HR_DEATH_BYTES;

	memset(file, 0, HR_DEATHS_FILE_BYTES);
	memcpy(file, MAGIC, 8);
	memcpy(file + AT_BUILD, list->build, HR_BUILD_ID_BYTES);
	hr_store32(file + AT_FORGOTTEN, list->forgotten);
	seal(file);
	for (uint32_t kind = HR_DEATH_LINK; kind < HR_DEATH_KINDS; kind++)
		for (uint32_t i = 0; i < list->n[kind]; i++, at += HR_DEATH_BYTES)
			encode(at, &list->rows[kind][i]);
}

static int write_file(const char *path, const uint8_t *file)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, file, HR_DEATHS_FILE_BYTES);
	close(fd);
	return n == HR_DEATHS_FILE_BYTES ? 0 : n < 0 ? -errno : -ENOSPC;
}

int hr_deaths_write(const struct hr_deaths *list, const char *path, struct hr_err *err)
{
	uint8_t file[HR_DEATHS_FILE_BYTES];
	char fresh[512];
	int r;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	lay_out(list, file);
	r = write_file(fresh, file);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	return r == 0 ? 0
		      : hr_fail(err, r, "%s cannot be written: %s", path, strerror(-r));
}
