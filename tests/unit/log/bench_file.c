/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How long an append to the log on files takes until it is read back, and how many syncs
 * a second that makes: records of 1 KB to 900 KB, one and five shards, one record in
 * flight a shard, as an owner does it. Prints figures of this machine's disk and judges
 * nothing.
 *
 *     bench_file [FOLDER [SECONDS]]     default: a folder in the working folder, 2
 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "dataplane/log/file_data_set.h"
#include "dataplane/log/log.h"

#define SHARDS_MAX 5
#define SAMPLES_MAX 1000000u

static const struct hr_log_ops *const ops = &hr_log_file;

struct shard {
	struct hr_log_part *part;
	bool is_ready;
	uint64_t sent_us; /* 0: nothing in flight */
};

static uint32_t samples[SAMPLES_MAX];
static uint32_t n_samples;

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void die(const char *what, const struct hr_err *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static void sample(struct shard *s, uint64_t now_us)
{
	if (n_samples < SAMPLES_MAX)
		samples[n_samples++] = (uint32_t)(now_us - s->sent_us);
	s->sent_us = 0;
}

static void step(struct shard *s, const uint8_t *record, uint32_t bytes)
{
	struct hr_log_report report;
	struct hr_log_message m;
	struct hr_err err = { "" };
	enum hr_log_read r;

	while (ops->report(s->part, &report, &err) > 0)
		if (!report.was_taken)
			die("append", &err);
	while ((r = ops->read(s->part, &m, &err)) != HR_LOG_NOTHING) {
		if (r == HR_LOG_RECORD) {
			m.free(&m);
			sample(s, hr_mono_us());
		} else if (r != HR_LOG_END) {
			die("read", &err);
		}
	}
	if (s->sent_us != 0)
		return;
	s->sent_us = hr_mono_us();
	if (ops->append(s->part, record, bytes, false, NULL, &err) < 0)
		die("append", &err);
}

static void begin(struct hr_log **log, struct shard *shards, uint32_t n_shards,
		  const struct hr_config *config, const struct hr_data_set *set)
{
	const struct hr_log_conf conf = { config, set, "bench" };
	struct hr_err err = { "" };
	struct hr_log_message m;

	if (ops->open(log, &conf, &err) < 0)
		die("open", &err);
	for (uint32_t i = 0; i < n_shards; i++) {
		struct shard *s = &shards[i];

		s->sent_us = 0;
		if (ops->part_open(&s->part, *log, (uint16_t)i, 0, &err) < 0)
			die("open", &err);
		while (ops->read(s->part, &m, &err) != HR_LOG_END)
			usleep(1000);
		ops->renew(s->part);
		while (ops->writer(s->part, &err) == HR_LOG_WRITER_OPENING)
			usleep(1000);
		if (ops->writer(s->part, &err) != HR_LOG_WRITER_READY)
			die("open", &err);
	}
}

static void run(struct hr_config *config, uint32_t n_shards, uint32_t bytes,
		const uint8_t *record, double seconds)
{
	struct shard shards[SHARDS_MAX];
	struct hr_data_set set;
	struct hr_log *log;
	struct hr_err err = { "" };
	uint64_t start, end;
	double took;

	snprintf(config->log_folder + strlen(config->log_folder), 64, "/%u-%u",
		 n_shards, bytes);
	if (hr_file_data_set_find(&set, config, true, &hr_disk_real, &err) < 0)
		die("data set", &err);
	begin(&log, shards, n_shards, config, &set);
	n_samples = 0;
	start = hr_mono_us();
	end = start + (uint64_t)(seconds * 1e6);
	while (hr_mono_us() < end) {
		struct pollfd fd = { .fd = ops->wake_fd(log), .events = POLLIN };
		uint64_t n;

		for (uint32_t i = 0; i < n_shards; i++)
			step(&shards[i], record, bytes);
		if (poll(&fd, 1, 10) > 0 && read(fd.fd, &n, sizeof(n)) < 0)
			continue;
	}
	took = (double)(hr_mono_us() - start) / 1e6;
	for (uint32_t i = 0; i < n_shards; i++)
		ops->part_close(shards[i].part);
	ops->close(log);
	if (n_samples == 0)
		return;
	qsort(samples, n_samples, sizeof(samples[0]), compare);
	/* One record in flight a shard: each was synced alone. */
	printf("%u shards, %6u bytes: p50 %6u us, p99 %6u us, %7.0f syncs/s, %7.1f "
	       "MB/s\n",
	       n_shards, bytes, samples[n_samples / 2],
	       samples[(uint64_t)n_samples * 99 / 100], n_samples / took,
	       (double)n_samples * bytes / took / 1e6);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 1000, 10000, 100000, 900000 };
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	struct hr_config config;
	uint8_t *record = calloc(1, HR_RECORD_MAX);
	char folder[128], command[160];

	snprintf(folder, sizeof(folder), "%.100s/bench-file-XXXXXX",
		 argc > 1 ? argv[1] : ".");
	if (record == NULL || mkdtemp(folder) == NULL) {
		perror(folder);
		return 1;
	}
	for (uint32_t n = 1; n <= SHARDS_MAX; n += SHARDS_MAX - 1)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			hr_config_defaults(&config);
			snprintf(config.log_folder, sizeof(config.log_folder), "%s",
				 folder);
			run(&config, n, sizes[i], record, seconds);
		}
	free(record);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command) != 0;
}
