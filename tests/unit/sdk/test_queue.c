/* SPDX-License-Identifier: BSD-3-Clause */

/* The disk queue: processes that die, files that are torn, disks that are full. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/sdk/against_fakes.h"

#define HEADS_BYTES (32 + 72) /* docs/sdk-queue.md: of the file and of a record */

static char dir[64];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "sdk-queue-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

/* The name of the only queue there, or "". */
static int find_queue(char out[600])
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	out[0] = '\0';
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	while ((e = readdir(d)) != NULL)
		if (strstr(e->d_name, ".queue") != NULL) {
			snprintf(out, 600, "%s/%s", dir, e->d_name);
			n++;
		}
	closedir(d);
	return n;
}

static off_t queue_bytes(void)
{
	struct stat st = { .st_size = 0 };
	char path[600];

	return find_queue(path) > 0 && stat(path, &st) == 0 ? st.st_size : 0;
}

static void remove_dir(void)
{
	char path[600];

	while (find_queue(path) > 0)
		CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static struct headrace_config disk_config(void)
{
	struct headrace_config c = config();

	c.queue_dir = dir;
	return c;
}

static void set_down(bool is_down)
{
	pthread_mutex_lock(&other.lock);
	fake_set_down(other.cluster, 0, is_down);
	pthread_mutex_unlock(&other.lock);
}

static uint32_t logged_now(void)
{
	uint32_t n;

	pthread_mutex_lock(&other.lock);
	n = read_logs(N_SHARDS);
	pthread_mutex_unlock(&other.lock);
	return n;
}

/* Tracks n events, ids ascending, with nobody there, and closes. */
static void leave_behind(uint32_t n)
{
	struct headrace_config conf = disk_config();
	struct headrace *h;
	char id[16];

	set_down(true);
	conf.close_ms = 10;
	conf.flush_ms = 1;
	h = open_with(&conf);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "e%05u", i);
		CU_ASSERT_EQUAL(track_as(h, "user_1", id), HEADRACE_OK);
		while (i == 0 && queue_bytes() <= HEADS_BYTES)
			usleep(1000); /* a record of its own */
	}
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_TIMEOUT);
	set_down(false);
}

/* ---- promises ---- */

static void what_is_left_is_sent_by_the_next_process(void)
{
	struct headrace_counts s;
	struct headrace_config conf;
	struct headrace *h;
	char path[600];

	make_dir();
	leave_behind(20);
	CU_ASSERT_EQUAL(find_queue(path), 1);
	conf = disk_config();
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "z-new"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(s.events_restored, 20);
	CU_ASSERT_EQUAL(s.events_committed, 21);
	CU_ASSERT_EQUAL(s.events_waiting, 0);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_EQUAL(find_queue(path), 0); /* an empty queue leaves no file */
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL_FATAL(read_logs(N_SHARDS), 21);
	for (uint32_t i = 1; i < 21; i++)
		CU_ASSERT_TRUE(strcmp(logged[i - 1].id, logged[i].id) < 0);
	remove_dir();
}

/* Whatever byte the last write came to: what is whole before it is sent, once and in
 * order, and nothing else. */
static void a_queue_torn_at_any_byte_is_read_up_to_there(void)
{
	static uint8_t bytes[65536];
	struct headrace_config conf;
	char path[600];
	ssize_t n;
	uint64_t most = 0;
	int fd;

	make_dir();
	leave_behind(6);
	CU_ASSERT_EQUAL_FATAL(find_queue(path), 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	CU_ASSERT_FATAL(n > 300 && unlink(path) == 0);
	conf = disk_config();
	conf.queue_no_sync = true;
	for (ssize_t cut = 0; cut <= n; cut++) {
		const uint32_t before = logged_now();
		struct headrace_counts s;
		struct headrace *h;
		uint32_t after;

		snprintf(path, sizeof(path), "%s/headrace-1-1.queue", dir);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		CU_ASSERT_FATAL(fd >= 0 && write(fd, bytes, (size_t)cut) == cut);
		close(fd);
		h = open_with(&conf);
		CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
		headrace_stats(h, &s);
		CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
		after = logged_now();
		CU_ASSERT_EQUAL_FATAL(after - before, s.events_restored);
		CU_ASSERT_TRUE(s.events_restored >= most); /* more bytes, not fewer */
		most = s.events_restored;
		CU_ASSERT_EQUAL_FATAL(find_queue(path), 0);
	}
	CU_ASSERT_EQUAL(most, 6);
	acknowledging_stop(&other);
	remove_dir();
}

static void damage_in_the_middle_costs_one_datagram(void)
{
	struct headrace_config conf;
	struct headrace_counts s;
	struct headrace *h;
	char path[600];
	int fd;

	make_dir();
	leave_behind(6);
	CU_ASSERT_EQUAL_FATAL(find_queue(path), 1);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(pwrite(fd, "\xff", 1, HEADS_BYTES + 5),
			1); /* an event's byte */
	close(fd);
	conf = disk_config();
	h = open_with(&conf);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(s.queue_errors, 1);
	CU_ASSERT_TRUE(s.events_restored > 0 && s.events_restored < 6);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), s.events_restored);
	remove_dir();
}

static void die_in_mid_load(int round)
{
	struct headrace_config conf = disk_config();
	struct headrace *h;
	char user[16], id[32];

	conf.flush_ms = 1;
	conf.stream_max_age_ms = 5;
	if (headrace_open(&conf, &h, NULL, 0) != HEADRACE_OK)
		_exit(1);
	for (int i = 0; i < 100 * (round + 1); i++) {
		snprintf(user, sizeof(user), "user_%d", i % 7);
		snprintf(id, sizeof(id), "%02d-%05d", round, i);
		(void)track_as(h, user, id);
		if (i % 20 == 0)
			usleep(500);
	}
	kill(getpid(), SIGKILL);
}

static void a_killed_process_doubles_and_reorders_nothing(void)
{
	static char last[7][65];
	struct headrace_config conf;
	struct headrace_counts s;
	struct headrace *h;
	uint64_t restored = 0;
	char path[600];
	uint32_t n;

	make_dir();
	other.loss = 200;
	for (int round = 0; round < (CHILDREN_TRACK ? 12 : 0); round++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			die_in_mid_load(round);
		CU_ASSERT_TRUE_FATAL(child > 0);
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_TRUE(WIFSIGNALED(status));
		if (round % 3 != 2)
			continue; /* the next finds the queues of several */
		conf = disk_config();
		h = open_with(&conf);
		CU_ASSERT_EQUAL(headrace_flush(h, 20000), HEADRACE_OK);
		headrace_stats(h, &s);
		restored += s.events_restored;
		CU_ASSERT_EQUAL(s.events_committed, s.events_restored);
		CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
		CU_ASSERT_EQUAL(find_queue(path), 0);
	}
	acknowledging_stop(&other);
	CU_ASSERT_TRUE(restored > 0 || !CHILDREN_TRACK);
	n = read_logs(N_SHARDS);
	memset(last, 0, sizeof(last));
	for (uint32_t i = 0; i < n; i++) {
		char *newest = last[atoi(logged[i].user + 5)];

		CU_ASSERT_TRUE_FATAL(strcmp(newest, logged[i].id) < 0);
		strcpy(newest, logged[i].id);
	}
	CU_ASSERT_TRUE(are_unique(n));
	remove_dir();
}

/* Nothing leaves that could not be recorded, and all of it once it can. */
static void a_full_disk_holds_new_events_back(void)
{
	struct headrace_config conf;
	struct headrace_counts s;
	struct headrace *h;
	struct rlimit before, small;
	uint32_t n;

	make_dir();
	conf = disk_config();
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "a"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 16;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &small), 0);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "b"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 200), HEADRACE_TIMEOUT);
	headrace_stats(h, &s);
	n = logged_now();
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_TRUE(s.queue_errors > 0);
	CU_ASSERT_EQUAL(s.last_queue_errno, EFBIG);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 2);
	remove_dir();
}

static void the_file_stays_small(void)
{
	struct headrace_config conf;
	struct headrace *h;
	struct stat st;
	char path[600], user[16];
	off_t most = 0;

	make_dir();
	conf = disk_config();
	conf.queue_no_sync = true;
	conf.queue_bytes = 256 << 10;
	h = open_with(&conf);
	for (int i = 0; i < 100000; i++) {
		snprintf(user, sizeof(user), "user_%d", i % 100);
		while (headrace_track(h, user, "click", NULL, 0) == HEADRACE_QUEUE_FULL)
			usleep(200);
		if (i % 500 == 0 && find_queue(path) > 0 && stat(path, &st) == 0 &&
		    st.st_size > most)
			most = st.st_size;
	}
	CU_ASSERT_EQUAL(headrace_flush(h, 10000), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(most > 0 && most < 2 * (256 << 10) + (1 << 20) + (128 << 10));
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 100000);
	remove_dir();
}

static void two_handles_share_a_folder(void)
{
	struct headrace_config conf;
	struct headrace *a, *b;
	struct headrace_counts s;

	make_dir();
	conf = disk_config();
	conf.close_ms = 10;
	set_down(true);
	a = open_with(&conf);
	CU_ASSERT_EQUAL(track_as(a, "user_1", "a"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(a, 50), HEADRACE_TIMEOUT);
	b = open_with(&conf);
	headrace_stats(b, &s);
	CU_ASSERT_EQUAL(s.events_restored, 0); /* it is in use */
	CU_ASSERT_EQUAL(headrace_close(b), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(a), HEADRACE_TIMEOUT);
	b = open_with(&conf);
	headrace_stats(b, &s);
	CU_ASSERT_EQUAL(s.events_restored, 1);
	set_down(false);
	CU_ASSERT_EQUAL(headrace_flush(b, 5000), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(b), HEADRACE_OK);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 1);
	remove_dir();
}

static void a_queue_that_cannot_be_used_is_refused_with_a_sentence(void)
{
	struct headrace_config conf;
	struct headrace *h;
	char path[600], error[300];
	int fd;

	make_dir();
	leave_behind(1);
	conf = disk_config();
	conf.key_id = 8;
	CU_ASSERT_EQUAL(headrace_open(&conf, &h, error, sizeof(error)),
			HEADRACE_BAD_QUEUE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "key id 7, found 8"));
	CU_ASSERT_EQUAL(find_queue(path), 1); /* untouched */
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(pwrite(fd, "x", 1, 0), 1);
	close(fd);
	conf = disk_config();
	CU_ASSERT_EQUAL(headrace_open(&conf, &h, error, sizeof(error)),
			HEADRACE_BAD_QUEUE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "is no queue"));
	conf.queue_dir = "no-such-folder";
	CU_ASSERT_EQUAL(headrace_open(&conf, &h, error, sizeof(error)),
			HEADRACE_BAD_QUEUE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "no-such-folder"));
	conf.handshake = HEADRACE_HANDSHAKE_OFF;
	CU_ASSERT_EQUAL(headrace_open(&conf, &h, error, sizeof(error)),
			HEADRACE_BAD_CONFIG);
	acknowledging_stop(&other);
	remove_dir();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what is left is sent by the next process",
		  what_is_left_is_sent_by_the_next_process },
		{ "a queue torn at any byte is read up to there",
		  a_queue_torn_at_any_byte_is_read_up_to_there },
		{ "damage in the middle costs one datagram",
		  damage_in_the_middle_costs_one_datagram },
		{ "a killed process doubles and reorders nothing",
		  a_killed_process_doubles_and_reorders_nothing },
		{ "a full disk holds new events back",
		  a_full_disk_holds_new_events_back },
		{ "the file stays small", the_file_stays_small },
		{ "two handles share a folder", two_handles_share_a_folder },
		{ "a queue that cannot be used is refused with a sentence",
		  a_queue_that_cannot_be_used_is_refused_with_a_sentence },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk queue", setup, teardown, tests);
}
