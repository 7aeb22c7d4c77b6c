/* SPDX-License-Identifier: BSD-3-Clause */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/checkpoint_pins.h"

#define NAME_BYTES 16u
#define PART ".part"

static bool is_name(const char *name)
{
	return strspn(name, "0123456789") == 8 && name[8] == 'T' &&
	       strspn(name + 9, "0123456789") == 6 && name[15] == 'Z';
}

/* 1: its n; 0: it is another data set's; -ENOENT: no file; -EBADMSG: not understood. */
static int file_read(const char *path, const char *data_set, uint16_t shard,
		     uint64_t *out)
{
	bool is_form = false, is_ours = false, has_n = false, is_whole = false;
	char line[256], id[64];
	FILE *f = fopen(path, "re");
	uint32_t of;

	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		is_form |= strcmp(line, HR_CHECKPOINT_FORM "\n") == 0;
		if (sscanf(line, "data_set %63s", id) == 1)
			is_ours = strcmp(id, data_set) == 0;
		if (sscanf(line, "position %u", &of) == 1 && of == shard) {
			*out = 0; /* none: everything from link 1 on is wanted */
			(void)sscanf(line, "position %*u %*u %" SCNu64, out);
			has_n = true;
		}
		is_whole = strcmp(line, "end\n") == 0;
	}
	fclose(f);
	if (!is_form || !is_whole || (is_ours && !has_n))
		return -EBADMSG;
	return is_ours;
}

static int take(struct hr_checkpoint_pins *out, const char *folder, const char *name,
		const char *data_set, uint16_t shard)
{
	const bool is_part = strcmp(name + NAME_BYTES, PART) == 0;
	char path[512];
	uint64_t n;
	int r = snprintf(path, sizeof(path), "%s/%s/%s", folder, name,
			 is_part ? "wanted" : "manifest");

	if (r < 0 || (size_t)r >= sizeof(path))
		return -ENAMETOOLONG;
	r = file_read(path, data_set, shard, &n);
	/* One that is just begun or just deleted, or what is left of one. */
	if (r == -ENOENT || (is_part && r == -EBADMSG))
		return 0;
	if (r <= 0)
		return r;
	if (out->n_pins == HR_CHECKPOINT_PINS)
		return -E2BIG;
	out->n[out->n_pins++] = n;
	out->n_verified += !is_part;
	return 0;
}

int hr_checkpoint_pins_read(struct hr_checkpoint_pins *out, const char *folder,
			    const char *data_set, uint16_t shard)
{
	const struct dirent *e;
	DIR *dir;
	int r = 0;

	*out = (struct hr_checkpoint_pins){ 0 };
	if (folder[0] == '\0')
		return 0;
	dir = opendir(folder);
	if (dir == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(dir)) != NULL)
		if (is_name(e->d_name) && (e->d_name[NAME_BYTES] == '\0' ||
					   strcmp(e->d_name + NAME_BYTES, PART) == 0))
			r = take(out, folder, e->d_name, data_set, shard);
	closedir(dir);
	return r;
}
