/* SPDX-License-Identifier: BSD-3-Clause */

/* verify: the log on files. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/log/file_shard.h"
#include "tools/gen/verify.h"

struct hr_verify_files {
	struct hr_file_place places[HR_PLAN_SHARDS_MAX];
	struct hr_file_reader readers[HR_PLAN_SHARDS_MAX];
	uint32_t n;
};

int hr_verify_files_open(struct hr_verify *v, struct hr_err *err)
{
	struct hr_verify_files *f = calloc(1, sizeof(*f));
	int r = 0;

	if (f == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the log");
	v->files = f;
	for (uint32_t s = 0; s < v->set.n_shards && r == 0; s++) {
		struct hr_file_place *place = &f->places[s];

		place->disk = &hr_disk_real;
		place->set = &v->set;
		place->shard = (uint16_t)s;
		/* The configuration takes no longer path. */
		snprintf(place->root, sizeof(place->root), "%.223s",
			 v->config.log_folder);
		hr_file_reader_init(&f->readers[s], place);
		f->n++;
		r = hr_file_reader_seek(&f->readers[s], 0, err);
	}
	return r;
}

void hr_verify_files_close(struct hr_verify *v)
{
	for (uint32_t s = 0; v->files != NULL && s < v->files->n; s++)
		hr_file_reader_fini(&v->files->readers[s]);
	free(v->files);
	v->files = NULL;
}

static int64_t read_shard(struct hr_verify *v, uint16_t shard, struct hr_err *err)
{
	struct hr_file_reader *reader = &v->files->readers[shard];
	struct hr_file_record record;
	int64_t n = 0;
	int r = hr_file_reader_look(reader, err);

	while (r >= 0 && (r = hr_file_reader_next(reader, &record, err)) > 0) {
		hr_verify_record(v, shard, record.offset,
				 (struct hr_str){ record.bytes, record.n_bytes });
		free(record.memory);
		n++;
	}
	return r < 0 ? r : n;
}

static int64_t read_all(struct hr_verify *v, struct hr_err *err)
{
	int64_t sum = 0;

	for (uint32_t s = 0; s < v->files->n; s++) {
		int64_t n = read_shard(v, (uint16_t)s, err);

		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

int64_t hr_verify_files_read(struct hr_verify *v, uint32_t wait_ms, struct hr_err *err)
{
	int64_t n = read_all(v, err);

	if (n != 0)
		return n;
	usleep(wait_ms * 1000);
	return read_all(v, err);
}
