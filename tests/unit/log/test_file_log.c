/* SPDX-License-Identifier: BSD-3-Clause */

/* The log on files as the program uses it: in a real folder, with its threads. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "dataplane/log/file_data_set.h"
#include "dataplane/log/file_shard.h"
#include "dataplane/log/log.h"
#include "tests/unit/hr_test.h"

#define WAIT_US 20000000u

static struct hr_config config;
static struct hr_data_set set;
static char root[64];

static void setup(void)
{
	struct hr_err err;

	strcpy(root, "/tmp/hr-file-log-XXXXXX");
	if (mkdtemp(root) == NULL)
		abort();
	hr_config_defaults(&config);
	config.log_kind = HR_LOG_KIND_FILE;
	config.log_segment_bytes = 1u << 20;
	snprintf(config.log_folder, sizeof(config.log_folder), "%s/a/log", root);
	if (hr_file_data_set_find(&set, &config, true, &hr_disk_real, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	if (system(command) != 0)
		abort();
}

struct world {
	struct hr_log *log;
	struct hr_log_part *part;
};

static const struct hr_log_ops *const ops = &hr_log_file;

static void world_open(struct world *w, int64_t from)
{
	const struct hr_log_conf conf = { &config, &set, "test" };

	if (ops->open(&w->log, &conf, NULL) < 0 ||
	    ops->part_open(&w->part, w->log, 1, from, NULL) < 0)
		abort();
}

static void world_close(struct world *w)
{
	ops->part_close(w->part);
	ops->close(w->log);
}

static void wait_a_little(struct world *w)
{
	struct pollfd fd = { .fd = ops->wake_fd(w->log), .events = POLLIN };
	uint64_t n;

	if (poll(&fd, 1, 100) > 0 && read(fd.fd, &n, sizeof(n)) < 0)
		return;
}

static enum hr_log_read read_one(struct world *w, struct hr_log_message *m,
				 struct hr_err *err)
{
	uint64_t until = hr_mono_us() + WAIT_US;
	enum hr_log_read r;

	while ((r = ops->read(w->part, m, err)) == HR_LOG_NOTHING &&
	       hr_mono_us() < until)
		wait_a_little(w);
	return r;
}

static enum hr_log_read verify_one(struct world *w, int64_t offset,
				   struct hr_log_message *m, struct hr_err *err)
{
	uint64_t until = hr_mono_us() + WAIT_US;
	enum hr_log_read r;

	ops->verify(w->part, offset);
	while ((r = ops->verified(w->part, m, err)) == HR_LOG_NOTHING &&
	       hr_mono_us() < until)
		wait_a_little(w);
	return r;
}

static enum hr_log_writer become_writer(struct world *w, struct hr_err *err)
{
	uint64_t until = hr_mono_us() + WAIT_US;
	enum hr_log_writer state;

	ops->renew(w->part);
	while ((state = ops->writer(w->part, err)) == HR_LOG_WRITER_OPENING &&
	       hr_mono_us() < until)
		wait_a_little(w);
	return state;
}

static bool report_one(struct world *w, struct hr_log_report *report)
{
	uint64_t until = hr_mono_us() + WAIT_US;

	while (ops->report(w->part, report, NULL) == 0) {
		if (hr_mono_us() > until)
			return false;
		wait_a_little(w);
	}
	return true;
}

/* Append text and wait for its report. */
static bool put(struct world *w, const char *text)
{
	struct hr_log_report report;
	int r = ops->append(w->part, (const uint8_t *)text, (uint32_t)strlen(text),
			    true, w, NULL);

	return r == 0 && report_one(w, &report) && report.was_taken &&
	       report.cookie == w;
}

/* The next record is this text. Ends may have been reached before it was written. */
static bool get(struct world *w, const char *text, int64_t *offset)
{
	struct hr_log_message m;
	enum hr_log_read r;
	bool is_it;

	do
		r = read_one(w, &m, NULL);
	while (r == HR_LOG_END);
	if (r != HR_LOG_RECORD)
		return false;
	is_it = m.n_bytes == strlen(text) && memcmp(m.bytes, text, m.n_bytes) == 0;
	if (offset != NULL)
		*offset = m.offset;
	m.free(&m);
	return is_it;
}

static bool get_end(struct world *w)
{
	struct hr_log_message m;

	return read_one(w, &m, NULL) == HR_LOG_END;
}

static void path_of(char out[128], const char *name)
{
	snprintf(out, 128, "%s/a/log/headrace.log.g1/1/%s", root, name);
}

/* ---- promises -------------------------------------------------------------- */

static void what_is_appended_is_reported_and_read_back(void)
{
	struct world w;
	int64_t first, second;

	world_open(&w, 0);
	CU_ASSERT_TRUE(get_end(&w));
	CU_ASSERT_EQUAL(ops->end(w.part), 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "one"));
	CU_ASSERT_TRUE(put(&w, "two, and a bit longer"));
	CU_ASSERT_TRUE(get(&w, "one", &first));
	CU_ASSERT_TRUE(get(&w, "two, and a bit longer", &second));
	CU_ASSERT_TRUE(get_end(&w));
	CU_ASSERT_EQUAL(first, (int64_t)HR_FRAME_BYTES(3) - 1);
	CU_ASSERT(second > first);
	CU_ASSERT_EQUAL(ops->end(w.part), second + 1);
	CU_ASSERT_EQUAL(ops->first(w.part), 0);
	world_close(&w);
}

static void an_offset_finds_its_record_and_the_one_behind_it(void)
{
	struct hr_log_message m;
	struct world w;
	int64_t at[3];
	struct hr_err err;

	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "one") && put(&w, "two") && put(&w, "three"));
	ops->seek(w.part, 0);
	CU_ASSERT_TRUE(get(&w, "one", &at[0]));
	CU_ASSERT_TRUE(get(&w, "two", &at[1]));
	CU_ASSERT_TRUE(get(&w, "three", &at[2]));
	ops->seek(w.part, at[1]);
	CU_ASSERT_TRUE(get(&w, "two", NULL));
	ops->seek(w.part, at[0] + 1);
	CU_ASSERT_TRUE(get(&w, "two", NULL));
	ops->seek(w.part, at[2] + 1);
	CU_ASSERT_TRUE(get_end(&w));
	ops->seek(w.part, at[2] + 2);
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_GONE);
	ops->seek(w.part, at[1] + 9);
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_GONE);
	CU_ASSERT_EQUAL(verify_one(&w, at[1], &m, &err), HR_LOG_RECORD);
	CU_ASSERT_EQUAL(m.n_bytes, 3);
	CU_ASSERT_EQUAL(memcmp(m.bytes, "two", 3), 0);
	m.free(&m);
	CU_ASSERT_EQUAL(verify_one(&w, at[2] + 1, &m, &err), HR_LOG_GONE);
	CU_ASSERT_EQUAL(verify_one(&w, at[1] - 8, &m, &err), HR_LOG_GONE);
	world_close(&w);
}

static void many_large_records_go_over_many_segments(void)
{
	uint8_t *record = malloc(HR_RECORD_MAX);
	struct hr_log_message m;
	struct hr_log_report report;
	struct world w;
	char path[128];
	struct stat st;

	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	for (uint32_t i = 0; i < 12; i++) {
		memset(record, (int)('a' + i), HR_RECORD_MAX);
		CU_ASSERT_EQUAL_FATAL(ops->append(w.part, record, HR_RECORD_MAX - i,
						  false, NULL, NULL),
				      0);
		CU_ASSERT_TRUE_FATAL(report_one(&w, &report) && report.was_taken);
	}
	CU_ASSERT_EQUAL(
		ops->append(w.part, record, HR_RECORD_MAX + 1, true, NULL, NULL),
		-EMSGSIZE);
	ops->seek(w.part, 0);
	for (uint32_t i = 0; i < 12; i++) {
		CU_ASSERT_EQUAL_FATAL(read_one(&w, &m, NULL), HR_LOG_RECORD);
		CU_ASSERT_EQUAL(m.n_bytes, HR_RECORD_MAX - i);
		CU_ASSERT_EQUAL(m.bytes[m.n_bytes - 1], 'a' + i);
		m.free(&m);
	}
	CU_ASSERT_TRUE(get_end(&w));
	path_of(path, "00000012.segment");
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	world_close(&w);
	free(record);
}

static void two_handles_of_a_process_see_each_other(void)
{
	struct hr_err err = { "" };
	struct world w, reader;
	int64_t at;

	world_open(&reader, 0);
	CU_ASSERT_TRUE(get_end(&reader));
	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	for (int i = 0; i < 50; i++) {
		CU_ASSERT_TRUE_FATAL(put(&w, "record"));
		CU_ASSERT_TRUE_FATAL(get(&reader, "record", NULL));
		CU_ASSERT_TRUE(get_end(&reader));
	}
	/* One writer: the second is told who has it, and gets it afterwards. */
	CU_ASSERT_EQUAL(become_writer(&reader, &err), HR_LOG_WRITER_FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another process writes"));
	CU_ASSERT_EQUAL(
		ops->append(reader.part, (const uint8_t *)"x", 1, true, NULL, NULL),
		-EAGAIN);
	ops->retire(w.part);
	while (ops->writer(w.part, NULL) == HR_LOG_WRITER_OPENING)
		wait_a_little(&w);
	CU_ASSERT_EQUAL(ops->writer(w.part, NULL), HR_LOG_WRITER_NONE);
	CU_ASSERT_EQUAL(become_writer(&reader, &err), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&reader, "from the other"));
	CU_ASSERT_TRUE(get(&reader, "from the other", &at));
	ops->seek(w.part, at + 1 - HR_FRAME_BYTES(14));
	CU_ASSERT_TRUE(get(&w, "from the other", NULL));
	world_close(&w);
	world_close(&reader);
}

/* This program once more, as another process: append for ever; the number of each
 * reported record goes to standard output. */
static int child_main(const char *folder, uint32_t from)
{
	struct world w;
	char text[32];

	hr_config_defaults(&config);
	config.log_segment_bytes = 1u << 20;
	snprintf(config.log_folder, sizeof(config.log_folder), "%s", folder);
	if (hr_file_data_set_find(&set, &config, false, &hr_disk_real, NULL) < 0)
		return 2;
	world_open(&w, 0);
	if (become_writer(&w, NULL) != HR_LOG_WRITER_READY)
		return 3;
	for (uint32_t i = from;; i++) {
		snprintf(text, sizeof(text), "record %u", i);
		if (!put(&w, text) || write(1, &i, sizeof(i)) != sizeof(i))
			return 4;
	}
}

static pid_t child_start(int pipe_fd, uint32_t from)
{
	char number[16];
	pid_t child;

	snprintf(number, sizeof(number), "%u", from);
	child = fork();
	if (child != 0)
		return child;
	dup2(pipe_fd, 1);
	execl("/proc/self/exe", "writer", config.log_folder, number, NULL);
	_exit(5);
}

/* Whatever a killed process reported is read by the next one, once and in order; and a
 * reader of another process that looked on all the time has missed nothing. */
static void a_killed_process_loses_nothing_that_it_reported(void)
{
	uint32_t next = 0, reported = 0;
	struct hr_log_message m;
	struct world looker;

	world_open(&looker, 0);
	for (int round = 0; round < 8; round++) {
		uint32_t i, n_here = 0;
		int fds[2], status;
		pid_t child;

		CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
		child = child_start(fds[1], reported + 1);
		close(fds[1]);
		while (n_here < 20 + 3 * (uint32_t)round &&
		       read(fds[0], &i, sizeof(i)) == sizeof(i)) {
			reported = i;
			n_here++;
		}
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		CU_ASSERT_TRUE_FATAL(WIFSIGNALED(status) &&
				     WTERMSIG(status) == SIGKILL);
		CU_ASSERT_FATAL(n_here >= 20);
		while (read(fds[0], &i, sizeof(i)) == sizeof(i))
			reported = i;
		close(fds[0]);
		while (next < reported) {
			uint32_t n = 0;
			enum hr_log_read r = read_one(&looker, &m, NULL);

			if (r == HR_LOG_END)
				continue;
			CU_ASSERT_EQUAL_FATAL(r, HR_LOG_RECORD);
			CU_ASSERT_EQUAL(sscanf((const char *)m.bytes, "record %u", &n),
					1);
			/* One that was not reported may be there, and again. */
			CU_ASSERT(n == next + 1 || n == next);
			next = n;
			m.free(&m);
		}
	}
	world_close(&looker);
}

/* The disk takes half a record, then nothing: reported as not taken, told, and gone on
 * with in another segment. */
static void a_write_that_fails_poisons_the_segment_and_a_new_one_goes_on(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit full = { 4096 + 200, RLIM_INFINITY };
	uint8_t record[500] = "half of this is written";
	struct hr_log_report report;
	struct hr_err err = { "" };
	struct world w;
	uint64_t errors[2];
	char path[128];

	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "one"));
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &full), 0);
	CU_ASSERT_EQUAL(ops->append(w.part, record, sizeof(record), false, NULL, NULL),
			0);
	CU_ASSERT_TRUE(report_one(&w, &report));
	CU_ASSERT_FALSE(report.was_taken);
	CU_ASSERT_TRUE(ops->is_broken(w.part, &err));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(err.text, "nothing more is written to this file"));
	CU_ASSERT_EQUAL(ops->append(w.part, record, 5, true, NULL, &err), -EIO);
	CU_ASSERT_EQUAL(ops->n_lost(w.log), 1);
	ops->errors(w.log, &errors[0], &errors[1]);
	CU_ASSERT_EQUAL(errors[1], 1);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &none), 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_FALSE(ops->is_broken(w.part, &err));
	CU_ASSERT_TRUE(put(&w, "two"));
	CU_ASSERT_TRUE(get(&w, "one", NULL) && get(&w, "two", NULL));
	path_of(path, "00000002.segment");
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	world_close(&w);
}

static void a_torn_tail_is_no_damage(void)
{
	struct world w;
	char path[128];
	uint8_t frame[HR_FRAME_BYTES(24)];
	int64_t end;
	int fd;

	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "one"));
	CU_ASSERT_TRUE(get(&w, "one", &end));
	world_close(&w);
	hr_frame_encode(frame, end + 1, (const uint8_t *)"a record of twenty-four.",
			24);
	path_of(path, "00000001.segment");
	fd = open(path, O_WRONLY);
	CU_ASSERT_EQUAL(pwrite(fd, frame, sizeof(frame) - 3, 4096 + end + 1),
			(ssize_t)sizeof(frame) - 3);
	close(fd);
	world_open(&w, 0);
	CU_ASSERT_TRUE(get(&w, "one", NULL));
	CU_ASSERT_TRUE(get_end(&w));
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "two"));
	CU_ASSERT_TRUE(get(&w, "two", NULL));
	world_close(&w);
}

static void a_flipped_bit_in_what_counts_stops_by_name(void)
{
	struct hr_log_message m;
	struct hr_err err = { "" };
	struct world w;
	int64_t at;
	char path[128];
	uint8_t byte;
	int fd;

	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "one") && put(&w, "two") && put(&w, "three"));
	CU_ASSERT_TRUE(get(&w, "one", &at));
	world_close(&w);
	path_of(path, "00000001.segment");
	fd = open(path, O_RDWR);
	CU_ASSERT_EQUAL(pread(fd, &byte, 1, 4096 + at + 18), 1);
	byte ^= 4;
	CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, 4096 + at + 18), 1);
	close(fd);
	world_open(&w, 0);
	CU_ASSERT_TRUE(get(&w, "one", NULL));
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_DAMAGED);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(err.text, "00000001.segment is damaged at byte 4128"));
	CU_ASSERT_EQUAL(ops->read(w.part, &m, &err), HR_LOG_NOTHING);
	ops->seek(w.part, at + 1); /* its neighbours do not help */
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_DAMAGED);
	world_close(&w);
}

static void a_missing_segment_stops_by_name(void)
{
	char *text = malloc(600001);
	struct hr_log_message m;
	struct hr_err err = { "" };
	struct world w;
	char path[128];

	memset(text, 'x', 600000);
	text[600000] = '\0';
	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_TRUE(put(&w, text));
	world_close(&w);
	path_of(path, "00000002.segment");
	CU_ASSERT_EQUAL(unlink(path), 0);
	world_open(&w, 0);
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_DAMAGED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "segment 3"));
	CU_ASSERT_EQUAL(become_writer(&w, &err), HR_LOG_WRITER_FAILED);
	world_close(&w);
	path_of(path, "00000001.segment");
	CU_ASSERT_EQUAL(unlink(path), 0);
	world_open(&w, 0);
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_DAMAGED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "was not trimmed"));
	world_close(&w);
	free(text);
}

static void trimming_keeps_what_it_was_told_and_moves_the_beginning(void)
{
	char *text = malloc(600001);
	struct hr_log_message m;
	struct hr_err err = { "" };
	struct world w;
	int64_t at[5];
	char path[128];

	memset(text, 'x', 600000);
	text[600000] = '\0';
	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_TRUE(put(&w, text));
	for (int i = 0; i < 5; i++)
		CU_ASSERT_TRUE(get(&w, text, &at[i]));
	CU_ASSERT_EQUAL(ops->trim(w.log, 1, at[4] + 1, &err), -ENODATA);
	CU_ASSERT_EQUAL(ops->trim(w.log, 1, at[2], &err), 0);
	path_of(path, "00000002.segment");
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	path_of(path, "00000003.segment");
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_TRUE(put(&w, "behind"));
	ops->seek(w.part, 0);
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_GONE);
	ops->seek(w.part, at[2]);
	CU_ASSERT_TRUE(get(&w, text, NULL));
	CU_ASSERT_EQUAL(ops->first(w.part), at[1] + 1);
	CU_ASSERT_EQUAL(ops->trim(w.log, 1, at[1], &err), -ENODATA);
	CU_ASSERT_EQUAL(ops->trim(w.log, 1, at[2], &err), 0);
	world_close(&w);
	world_open(&w, at[1] + 1);
	CU_ASSERT_TRUE(get(&w, text, NULL) && get(&w, text, NULL) &&
		       get(&w, text, NULL));
	CU_ASSERT_TRUE(get(&w, "behind", NULL));
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	world_close(&w);
	free(text);
}

static void segments_of_another_data_set_are_refused(void)
{
	struct hr_log_message m;
	struct hr_err err = { "" };
	struct world w;

	world_open(&w, 0);
	CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
	CU_ASSERT_TRUE(put(&w, "one"));
	world_close(&w);
	set.id.b[0] ^= 1;
	world_open(&w, 0);
	CU_ASSERT_EQUAL(read_one(&w, &m, &err), HR_LOG_DAMAGED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another data set"));
	CU_ASSERT_EQUAL(become_writer(&w, &err), HR_LOG_WRITER_FAILED);
	world_close(&w);
}

static void restarts_that_write_nothing_leave_no_files(void)
{
	char path[128];
	struct world w;

	for (int i = 0; i < 5; i++) {
		world_open(&w, 0);
		CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
		CU_ASSERT_EQUAL(become_writer(&w, NULL), HR_LOG_WRITER_READY);
		world_close(&w);
	}
	path_of(path, "00000001.segment");
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	path_of(path, "00000002.segment");
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
}

static void the_data_set_is_made_once_and_checked(void)
{
	struct hr_data_set again, other;
	struct hr_err err = { "" };
	char path[320];

	CU_ASSERT_EQUAL(
		hr_file_data_set_find(&again, &config, true, &hr_disk_real, &err), 0);
	CU_ASSERT_EQUAL(memcmp(&again, &set, sizeof(set)), 0);
	config.n_shards = 4;
	CU_ASSERT_EQUAL(
		hr_file_data_set_find(&other, &config, true, &hr_disk_real, &err),
		-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(err.text, "has 5 shards: data_set.shards says 4"));
	config.n_shards = 5;
	snprintf(path, sizeof(path), "%s/meta", config.log_folder);
	CU_ASSERT_EQUAL(truncate(path, 50), 0);
	CU_ASSERT_EQUAL(
		hr_file_data_set_find(&other, &config, true, &hr_disk_real, &err),
		-EBADMSG);
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(
		hr_file_data_set_find(&other, &config, false, &hr_disk_real, &err),
		-ENOENT);
	snprintf(path, sizeof(path), "%s/headrace.log.g1", config.log_folder);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL(
		hr_file_data_set_find(&other, &config, true, &hr_disk_real, &err),
		-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is gone: bring it back"));
}

static void two_first_starts_at_once_agree(void)
{
	for (int round = 0; round < 10; round++) {
		struct hr_data_set sets[4];
		int fds[2];

		snprintf(config.log_folder, sizeof(config.log_folder), "%s/race/%d",
			 root, round);
		CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
		for (int i = 0; i < 4; i++)
			if (fork() == 0) {
				int r = hr_file_data_set_find(&sets[0], &config, true,
							      &hr_disk_real, NULL);

				if (r < 0 || write(fds[1], &sets[0], sizeof(sets[0])) !=
						     sizeof(sets[0]))
					_exit(1);
				_exit(0);
			}
		close(fds[1]);
		for (int i = 0; i < 4; i++) {
			int status;

			CU_ASSERT_EQUAL_FATAL(read(fds[0], &sets[i], sizeof(sets[i])),
					      sizeof(sets[i]));
			CU_ASSERT_EQUAL(memcmp(&sets[i], &sets[0], sizeof(sets[0])), 0);
			CU_ASSERT(wait(&status) > 0 && status == 0);
		}
		close(fds[0]);
	}
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "what is appended is reported and read back",
		  what_is_appended_is_reported_and_read_back },
		{ "an offset finds its record and the one behind it",
		  an_offset_finds_its_record_and_the_one_behind_it },
		{ "many large records go over many segments",
		  many_large_records_go_over_many_segments },
		{ "two handles of a process see each other",
		  two_handles_of_a_process_see_each_other },
		{ "a killed process loses nothing that it reported",
		  a_killed_process_loses_nothing_that_it_reported },
		{ "a write that fails poisons the segment and a new one goes on",
		  a_write_that_fails_poisons_the_segment_and_a_new_one_goes_on },
		{ "a torn tail is no damage", a_torn_tail_is_no_damage },
		{ "a flipped bit in what counts stops by name",
		  a_flipped_bit_in_what_counts_stops_by_name },
		{ "a missing segment stops by name", a_missing_segment_stops_by_name },
		{ "trimming keeps what it was told and moves the beginning",
		  trimming_keeps_what_it_was_told_and_moves_the_beginning },
		{ "segments of another data set are refused",
		  segments_of_another_data_set_are_refused },
		{ "restarts that write nothing leave no files",
		  restarts_that_write_nothing_leave_no_files },
		{ "the data set is made once and checked",
		  the_data_set_is_made_once_and_checked },
		{ "two first starts at once agree", two_first_starts_at_once_agree },
		CU_TEST_INFO_NULL,
	};
	if (argc == 3)
		return child_main(argv[1], (uint32_t)atoi(argv[2]));
	return hr_test_run("log on files", setup, teardown, tests);
}
