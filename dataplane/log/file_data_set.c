/* SPDX-License-Identifier: BSD-3-Clause */

/* Which data set a folder holds: the first record of its file `meta`. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/config.h"
#include "dataplane/log/file_data_set.h"
#include "dataplane/log/file_shard.h"

struct place {
	const struct hr_disk *disk;
	const struct hr_config *config;
	const char *folder;
	char meta[HR_LOG_FOLDER_MAX];
};

static int disk_fail(struct hr_err *err, int r, const char *path)
{
	return hr_fail(err, r, "%s: %s", path, strerror(-r));
}

/* Each folder on the way, and the one above it synced: a log in a folder that a power
 * cut takes away is no log. */
static int make_folder(const struct place *p, struct hr_err *err)
{
	char path[HR_LOG_FOLDER_MAX], above[HR_LOG_FOLDER_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s", p->folder);
	for (char *end = path + 1; r == 0; end++) {
		char was = *end, *slash;

		if (was != '/' && was != '\0')
			continue;
		*end = '\0';
		r = p->disk->mkdir(p->disk->arg, path);
		if (r == 0) {
			snprintf(above, sizeof(above), "%s", path);
			slash = strrchr(above, '/');
			slash[slash == above ? 1 : 0] = '\0';
			r = p->disk->sync_folder(p->disk->arg, above);
		} else if (r == -EEXIST) {
			r = 0;
		}
		if (r < 0)
			return disk_fail(err, r, path);
		*end = was;
		if (was == '\0')
			break;
	}
	return 0;
}

/* 1 and *out; 0: there is none; or an error. */
static int read_meta(const struct place *p, struct hr_data_set *out, struct hr_err *err)
{
	uint8_t bytes[HR_META_MAX];
	struct hr_record record;
	int fd = p->disk->open(p->disk->arg, p->meta, O_RDONLY);
	ssize_t n;
	uint32_t size;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return disk_fail(err, fd, p->meta);
	n = p->disk->read(p->disk->arg, fd, bytes, sizeof(bytes), 0);
	p->disk->close(p->disk->arg, fd);
	if (n < 0)
		return disk_fail(err, (int)n, p->meta);
	size = n >= (ssize_t)HR_RECORD_HEAD_BYTES ? hr_load32(bytes + 12) : 0;
	if (size == 0 || size > (uint32_t)n ||
	    hr_record_decode(&record, bytes, size, NULL) < 0)
		return hr_fail(
			err, -EBADMSG,
			"%s does not begin with a data set: it is damaged; bring "
			"it back from a copy",
			p->meta);
	if (record.type == HR_RECORD_UNKNOWN)
		return hr_fail(err, -ENOTSUP,
			       "%s was written by a later program (record version %u, "
			       "type %u): use that one",
			       p->meta, record.version, record.type_no);
	if (record.type != HR_RECORD_META)
		return hr_fail(err, -EBADMSG, "%s holds another record than a data set",
			       p->meta);
	*out = record.meta;
	return 1;
}

static int make_set(const struct place *p, struct hr_data_set *out)
{
	memset(out, 0, sizeof(*out));
	out->generation = p->config->generation;
	out->n_shards = p->config->n_shards;
	snprintf(out->log_topic, sizeof(out->log_topic), "headrace.log.g%u",
		 out->generation);
	if (getrandom(&out->id, sizeof(out->id), 0) != sizeof(out->id) ||
	    getrandom(out->hash_key, sizeof(out->hash_key), 0) != sizeof(out->hash_key))
		return -EIO;
	return 0;
}

static int write_file(const struct place *p, const char *path, struct hr_err *err)
{
	uint8_t bytes[HR_META_MAX];
	struct hr_data_set set;
	size_t n;
	int fd, r;

	if (make_set(p, &set) < 0)
		return hr_fail(err, -EIO, "the kernel gave no random bytes");
	n = hr_record_encode_meta(bytes, &set);
	fd = p->disk->open(p->disk->arg, path, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return disk_fail(err, fd, path);
	r = hr_file_write_all(p->disk, fd, bytes, n, 0);
	if (r == 0)
		r = p->disk->sync(p->disk->arg, fd);
	p->disk->close(p->disk->arg, fd);
	return r < 0 ? disk_fail(err, r, path) : 0;
}

/* A data set of our own, unless somebody's is there first. */
static int make_meta(const struct place *p, struct hr_err *err)
{
	char path[HR_LOG_FOLDER_MAX + 32];
	uint64_t random;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return hr_fail(err, -EIO, "the kernel gave no random bytes");
	snprintf(path, sizeof(path), "%s.%016llx", p->meta, (unsigned long long)random);
	r = write_file(p, path, err);
	if (r == 0) {
		r = p->disk->link(p->disk->arg, path, p->meta);
		r = r == 0 || r == -EEXIST ? 0 : disk_fail(err, r, p->meta);
	}
	(void)p->disk->unlink(p->disk->arg, path);
	return r;
}

static int is_log(void *ctx, const char *name)
{
	(void)ctx;
	return strncmp(name, "headrace.log.", strlen("headrace.log.")) == 0;
}

/* A log without its data set would look like a fresh one; nobody would miss the old
 * data until it is too late. */
static int refuse_headless(const struct place *p, struct hr_err *err)
{
	int r = p->disk->list(p->disk->arg, p->folder, is_log, NULL);

	if (r < 0)
		return disk_fail(err, r, p->folder);
	return r == 0 ? 0
		      : hr_fail(err, -EINVAL,
				"%s holds a log, and %s is gone: bring it back, or use "
				"another log.folder",
				p->folder, p->meta);
}

static int agree(const struct place *p, const struct hr_data_set *set,
		 struct hr_err *err)
{
	if (set->n_shards != p->config->n_shards)
		return hr_fail(err, -EINVAL,
			       "the data set in %s has %u shards: data_set.shards says "
			       "%u; S cannot be changed for a data set",
			       p->folder, set->n_shards, p->config->n_shards);
	if (set->generation != p->config->generation)
		return hr_fail(err, -EINVAL,
			       "the data set in %s is of generation %u: this program "
			       "writes generation %u; use the one that made it",
			       p->folder, set->generation, p->config->generation);
	return 0;
}

static int find_or_make(const struct place *p, struct hr_data_set *out, bool make,
			struct hr_err *err)
{
	int r = make ? make_folder(p, err) : 0;

	if (r == 0)
		r = read_meta(p, out, err);
	if (r != 0)
		return r;
	if (!make)
		return hr_fail(err, -ENOENT, "%s holds no data set", p->folder);
	r = refuse_headless(p, err);
	if (r == 0)
		r = make_meta(p, err);
	return r < 0 ? r : read_meta(p, out, err);
}

int hr_file_data_set_find(struct hr_data_set *out, const struct hr_config *config,
			  bool make, const struct hr_disk *disk, struct hr_err *err)
{
	struct place p = {
		.disk = disk,
		.config = config,
		.folder = config->log_folder,
	};
	int r;

	snprintf(p.meta, sizeof(p.meta), "%s/meta", p.folder);
	r = find_or_make(&p, out, make, err);
	if (r == 0)
		return hr_fail(err, -EIO, "%s: the data set just made is not there",
			       p.meta);
	/* Whoever made it: its name is durable before anybody relies on it. */
	if (r > 0 && make) {
		r = disk->sync_folder(disk->arg, p.folder);
		if (r < 0)
			return disk_fail(err, r, p.folder);
	}
	return r < 0 ? r : agree(&p, out, err);
}
