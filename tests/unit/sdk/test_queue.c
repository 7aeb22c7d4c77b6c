/* SPDX-License-Identifier: BSD-3-Clause */

/* The disk queue: processes that die, files that are torn, disks that are full. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/siphash.h"
#include "tests/unit/sdk/against_fakes.h"

#define HEADS_BYTES (32 + 96) /* docs/sdk-queue.md: of the file and of a record */

static char dir[64];

/* So many, where a forked child may have threads. */
static uint32_t if_children(uint32_t n)
{
	return CHILDREN_TRACK ? n : 0;
}

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "sdk-queue-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

/* The name of the last file there that ends so, or "". Returns how many there are. */
static int find_file(const char *suffix, char out[600])
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	out[0] = '\0';
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	while ((e = readdir(d)) != NULL)
		if (strstr(e->d_name, suffix) != NULL) {
			snprintf(out, 600, "%s/%s", dir, e->d_name);
			n++;
		}
	closedir(d);
	return n;
}

/* Files that hold something for the next process. What was killed while it wrote one
 * anew leaves a `.tmp`, for an hour. */
static int n_left(void)
{
	char path[600];

	return find_file(".", path) - 2 /* . and .. */ - find_file(".tmp", path);
}

static int find_queue(char out[600])
{
	return find_file(".queue", out);
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
	conf.queue_bytes = 16384; /* a thousand handles: less to make each time */
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
		while (track_as(h, user, id) == HEADRACE_QUEUE_FULL)
			usleep(100);
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
	uint64_t restored = 0, n_tracked = 0;
	char path[600];
	uint32_t n;

	make_dir();
	other.loss = 200;
	for (int round = 0; round < (int)if_children(12); round++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			die_in_mid_load(round);
		CU_ASSERT_TRUE_FATAL(child > 0);
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_TRUE(WIFSIGNALED(status));
		n_tracked += 100u * (uint32_t)(round + 1);
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
	CU_ASSERT_EQUAL(n, n_tracked); /* nor loses it any */
	memset(last, 0, sizeof(last));
	for (uint32_t i = 0; i < n; i++) {
		char *newest = last[atoi(logged[i].user + 5)];

		CU_ASSERT_TRUE_FATAL(strcmp(newest, logged[i].id) < 0);
		strcpy(newest, logged[i].id);
	}
	CU_ASSERT_TRUE(are_unique(n));
	remove_dir();
}

/* ---- what track() took, and the sender had not ---- */

#define USERS 11u

static void track_numbers(struct headrace *h, uint32_t from, uint32_t to)
{
	char user[16], id[32];

	for (uint32_t i = from; i < to; i++) {
		snprintf(user, sizeof(user), "user_%u", i % USERS);
		snprintf(id, sizeof(id), "e%06u", i);
		if (track_as(h, user, id) != HEADRACE_OK)
			_exit(1);
	}
}

/* A process that tracks so many events and dies as soon as track() has returned. */
static void die_after(uint32_t from, uint32_t to, uint32_t flush_ms)
{
	int status;
	const pid_t child = fork();

	if (child == 0) {
		struct headrace_config conf = disk_config();
		struct headrace *h;

		conf.flush_ms = flush_ms;
		if (headrace_open(&conf, &h, NULL, 0) != HEADRACE_OK)
			_exit(1);
		track_numbers(h, from, to);
		kill(getpid(), SIGKILL);
	}
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE_FATAL(WIFSIGNALED(status));
}

/* The next process sends what is there, and then nothing is. */
static uint64_t send_rest(void)
{
	struct headrace_config conf = disk_config();
	struct headrace *h = open_with(&conf);
	struct headrace_counts s;

	CU_ASSERT_EQUAL(headrace_flush(h, 20000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(s.events_committed, s.events_restored);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_EQUAL(n_left(), 0);
	return s.events_restored;
}

/* e000000 to n - 1, each once and each user's in order. */
static void all_are_logged(uint32_t n)
{
	static char last[USERS][65];

	CU_ASSERT_EQUAL_FATAL(read_logs(N_SHARDS), n);
	memset(last, 0, sizeof(last));
	for (uint32_t i = 0; i < n; i++) {
		char *newest = last[atoi(logged[i].user + 5)];

		CU_ASSERT_TRUE(strcmp(newest, logged[i].id) < 0);
		strcpy(newest, logged[i].id);
	}
	CU_ASSERT_TRUE(are_unique(n));
}

static void what_track_took_outlives_the_process(void)
{
	static const uint32_t n_events[] = { 1, 2, 60, 61, 700, 3000 };
	uint64_t restored;
	uint32_t n = 0;

	make_dir();
	for (size_t i = 0; i < if_children(HR_COUNT(n_events)); i++)
		for (int is_down = 0; is_down < 2; is_down++)
			for (uint32_t flush_ms = 1; flush_ms < 60000;
			     flush_ms += 50000) {
				set_down(is_down);
				die_after(n, n + n_events[i], flush_ms);
				n += n_events[i];
				set_down(false);
				restored = send_rest();
				CU_ASSERT_TRUE(!is_down || restored == n_events[i]);
			}
	acknowledging_stop(&other);
	all_are_logged(n);
	remove_dir();
}

/* Process after process, while nobody is there: nothing comes twice of it. */
static void what_is_left_is_left_once(void)
{
	make_dir();
	set_down(true);
	for (uint32_t i = 0; i < if_children(8); i++)
		die_after(i * 100, i * 100 + 100, i % 2 == 0 ? 1 : 50000);
	set_down(false);
	if (CHILDREN_TRACK)
		CU_ASSERT_EQUAL(send_rest(), 800);
	acknowledging_stop(&other);
	all_are_logged(if_children(800));
	remove_dir();
}

/* A forked child has batches of its own, and its parent keeps its. */
static void a_forked_child_and_its_parent_lose_nothing_of_each_other(void)
{
	struct headrace_config conf;
	struct headrace *h;
	char path[600];
	int status;
	pid_t child;

	make_dir();
	set_down(true);
	conf = disk_config();
	conf.flush_ms = 60000;
	conf.close_ms = 10;
	h = open_with(&conf);
	track_numbers(h, 0, 30);
	child = CHILDREN_TRACK ? fork() : 0;
	if (CHILDREN_TRACK && child == 0) {
		track_numbers(h, 30, 70);
		kill(getpid(), SIGKILL);
	}
	if (CHILDREN_TRACK) {
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_EQUAL(find_file(".open", path), 2);
		child = fork(); /* as before exec(): it tracks nothing */
		if (child == 0)
			_exit(0);
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_EQUAL(find_file(".open", path), 2);
	} else {
		track_numbers(h, 30, 70);
	}
	track_numbers(h, 70, 90);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_TIMEOUT);
	CU_ASSERT_EQUAL(find_file(".open", path), CHILDREN_TRACK ? 1 : 0);
	set_down(false);
	CU_ASSERT_EQUAL(send_rest(), 90);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL_FATAL(read_logs(N_SHARDS), 90);
	CU_ASSERT_TRUE(are_unique(90));
	remove_dir();
}

/* docs/sdk-queue.md: the file of batches. */
#define OPEN_HEADER_BYTES 4096
#define AT_BOOT 24
#define AT_STRIDE 40
#define AT_N_BATCHES 48
#define AT_CHECK 56
#define AT_MOVING 68
#define SLOT_WAS_SENT 37

struct open_file {
	int fd;
	uint8_t head[OPEN_HEADER_BYTES];
	uint32_t stride, n_batches;
	uint8_t batch[4096];
};

static void open_file(struct open_file *f)
{
	char path[600];

	CU_ASSERT_EQUAL_FATAL(find_file(".open", path), 1);
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(pread(f->fd, f->head, sizeof(f->head), 0),
			      sizeof(f->head));
	memcpy(&f->stride, f->head + AT_STRIDE, 4);
	memcpy(&f->n_batches, f->head + AT_N_BATCHES, 4);
	CU_ASSERT_FATAL(f->stride <= sizeof(f->batch));
}

/* Events of the i-th batch. */
static uint32_t read_batch(struct open_file *f, uint32_t i)
{
	uint64_t held;

	CU_ASSERT_EQUAL_FATAL(pread(f->fd, f->batch, f->stride,
				    OPEN_HEADER_BYTES + (off_t)i * f->stride),
			      f->stride);
	memcpy(&held, f->batch, 8);
	return (uint32_t)(held >> 32);
}

static void write_batch(struct open_file *f, uint32_t i)
{
	CU_ASSERT_EQUAL_FATAL(pwrite(f->fd, f->batch, f->stride,
				     OPEN_HEADER_BYTES + (off_t)i * f->stride),
			      f->stride);
}

static void write_head(struct open_file *f)
{
	static const uint8_t key[] = "headrace queue 1";
	uint8_t hash[16];

	hr_siphash128(key, f->head, AT_CHECK, hash);
	memcpy(f->head + AT_CHECK, hash, 8);
	CU_ASSERT_EQUAL(pwrite(f->fd, f->head, sizeof(f->head), 0), sizeof(f->head));
}

static uint64_t restored_with(struct open_file *f, uint64_t *n_errors)
{
	struct headrace_config conf = disk_config();
	struct headrace_counts s;
	struct headrace *h;

	close(f->fd);
	h = open_with(&conf);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	*n_errors = s.queue_errors;
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	return s.events_restored;
}

/* Each batch, once more in a free one's place, as if events had been on their way. */
static uint32_t double_batches(struct open_file *f)
{
	uint32_t n = 0, n_events, free_one = f->n_batches;

	for (uint32_t i = 0; i < f->n_batches && i < free_one; i++) {
		uint64_t number;

		n_events = read_batch(f, i);
		if (n_events == 0)
			continue;
		n += n_events;
		memcpy(&number, f->batch + 8, 8);
		number += 1000000;
		memcpy(f->batch + 8, &number, 8);
		write_batch(f, --free_one);
	}
	return n;
}

static void events_that_were_moving_come_once(void)
{
	static struct open_file f;
	uint64_t n_errors;

	make_dir();
	set_down(true);
	for (uint32_t is_moving = 0; is_moving < if_children(2); is_moving++) {
		set_down(true);
		die_after(is_moving * 50, is_moving * 50 + 50, 50000);
		open_file(&f);
		CU_ASSERT_EQUAL(double_batches(&f), 50);
		f.head[AT_MOVING] = (uint8_t)is_moving;
		write_head(&f);
		set_down(false);
		CU_ASSERT_EQUAL(restored_with(&f, &n_errors), is_moving ? 50 : 100);
		CU_ASSERT_EQUAL(n_errors, 0);
	}
	acknowledging_stop(&other);
	remove_dir();
}

/* Not of this start of the kernel: the pages may be older than what was sent since. */
static void batches_of_another_boot_are_left_alone(void)
{
	static struct open_file f;
	uint64_t n_errors;

	make_dir();
	if (CHILDREN_TRACK) {
		set_down(true);
		die_after(0, 50, 50000);
		open_file(&f);
		f.head[AT_BOOT] ^= 1;
		write_head(&f);
		set_down(false);
		CU_ASSERT_EQUAL(restored_with(&f, &n_errors), 0);
	}
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 0);
	remove_dir();
}

/* One that may have been sent has an identity, which only the queue's file knows. */
static void a_batch_that_was_sent_goes_out_under_its_own_identity_or_not_at_all(void)
{
	static struct open_file f;
	uint64_t n_errors;
	char path[600];
	uint32_t n_batches = 0;

	make_dir();
	if (CHILDREN_TRACK) {
		set_down(true);
		die_after(0, 50, 50000);
		open_file(&f);
		for (uint32_t i = 0; i < f.n_batches; i++) {
			if (read_batch(&f, i) == 0)
				continue;
			f.batch[SLOT_WAS_SENT] = 1;
			write_batch(&f, i);
			n_batches++;
		}
		CU_ASSERT_EQUAL_FATAL(find_queue(path), 1);
		CU_ASSERT_EQUAL(unlink(path), 0);
		set_down(false);
		CU_ASSERT_EQUAL(restored_with(&f, &n_errors), 0);
		CU_ASSERT_EQUAL(n_errors, n_batches);
		CU_ASSERT_TRUE(n_batches > 0);
	}
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 0);
	remove_dir();
}

/* What the queue's file says of it is changed: all of it is sent, or nothing. */
static void damaged_batches_are_passed_over_and_counted(void)
{
	static struct open_file f;
	uint64_t n_errors, restored = 0;
	uint32_t n_live = 0;

	make_dir();
	/* All but its time, by which it would have expired or not. */
	for (uint32_t at = 0; at < if_children(40); at++) {
		if (at >= 24 && at < 32)
			continue;
		set_down(true);
		die_after(at * 40, at * 40 + 40, 50000);
		open_file(&f);
		n_live = 0;
		for (uint32_t i = 0; i < f.n_batches && n_live == 0; i++) {
			n_live = read_batch(&f, i);
			f.batch[at] ^= 0x55;
			if (n_live > 0)
				write_batch(&f, i);
		}
		CU_ASSERT_TRUE(n_live > 0);
		set_down(false);
		restored += restored_with(&f, &n_errors);
		CU_ASSERT_EQUAL(n_errors, at < 8 || (at >= 32 && at < 38));
	}
	acknowledging_stop(&other);
	CU_ASSERT_TRUE(read_logs(N_SHARDS) == restored);
	remove_dir();
}

static void without_room_for_the_batches_it_does_not_open(void)
{
	struct headrace_config conf;
	struct headrace *h;
	struct rlimit before, small;
	char error[300];

	make_dir();
	conf = disk_config();
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 65536;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &small), 0);
	CU_ASSERT_EQUAL(headrace_open(&conf, &h, error, sizeof(error)),
			HEADRACE_BAD_QUEUE);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, strerror(EFBIG)));
	CU_ASSERT_EQUAL(n_left(), 0);
	acknowledging_stop(&other);
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

/* The key was changed between two processes: what was sent goes out under the old one,
 * all else under the new one, which the appliance here does not know. */
static void a_queue_outlives_its_write_key(void)
{
	struct headrace_config conf;
	struct headrace_counts s;
	struct headrace *h;
	char path[600];

	make_dir();
	conf = disk_config();
	conf.close_ms = 10;
	conf.flush_ms = 1;
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "e000000"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	set_down(true);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "e000001"), HEADRACE_OK);
	do
		headrace_stats(h, &s);
	while (s.events_sent < 2);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_TIMEOUT);
	CU_ASSERT_EQUAL(find_queue(path), 1);
	set_down(false);

	conf.key_id = 8;
	conf.key_hex = "88888888888888888888888888888888";
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "e000002"), HEADRACE_OK);
	for (int i = 0; i < 200; i++) {
		CU_ASSERT_EQUAL(headrace_flush(h, 100), HEADRACE_TIMEOUT);
		headrace_stats(h, &s);
		if (s.events_committed > 0)
			break;
	}
	CU_ASSERT_EQUAL(s.events_restored, 1);
	CU_ASSERT_EQUAL(s.events_committed, 1);
	CU_ASSERT_EQUAL(s.events_waiting, 1);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_TIMEOUT);
	CU_ASSERT_EQUAL(logged_now(), 2);
	CU_ASSERT_EQUAL(send_rest(), 1); /* it had no identity: any key will do */
	acknowledging_stop(&other);
	all_are_logged(3);
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
	CU_ASSERT_EQUAL(find_queue(path), 1);
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
		{ "what track() took outlives the process",
		  what_track_took_outlives_the_process },
		{ "what is left is left once", what_is_left_is_left_once },
		{ "a forked child and its parent lose nothing of each other",
		  a_forked_child_and_its_parent_lose_nothing_of_each_other },
		{ "events that were moving come once",
		  events_that_were_moving_come_once },
		{ "batches of another boot are left alone",
		  batches_of_another_boot_are_left_alone },
		{ "a batch that was sent goes out under its own identity or not at all",
		  a_batch_that_was_sent_goes_out_under_its_own_identity_or_not_at_all },
		{ "damaged batches are passed over and counted",
		  damaged_batches_are_passed_over_and_counted },
		{ "without room for the batches it does not open",
		  without_room_for_the_batches_it_does_not_open },
		{ "a full disk holds new events back",
		  a_full_disk_holds_new_events_back },
		{ "the file stays small", the_file_stays_small },
		{ "two handles share a folder", two_handles_share_a_folder },
		{ "a queue outlives its write key", a_queue_outlives_its_write_key },
		{ "a queue that cannot be used is refused with a sentence",
		  a_queue_that_cannot_be_used_is_refused_with_a_sentence },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk queue", setup, teardown, tests);
}
