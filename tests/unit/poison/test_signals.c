/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What counts as killed by a record: real processes that die in every way there is, and
 * what the next one finds.
 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/poison/notes.h"
#include "dataplane/poison/poison.h"
#include "tests/unit/hr_test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

static char folder[64];
static const struct hr_data_set set = { .n_shards = 5 };
static const struct hr_id128 hash = { { 1, 2, 3, 4 } };
static const uint8_t bytes[] = "{\"user_id\":\"poison\"}";

static void setup(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	snprintf(folder, sizeof(folder), "/tmp/hr-signals.XXXXXX");
	if (mkdtemp(folder) == NULL)
		abort();
}

static void forget_all(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/deaths", folder);
	unlink(path);
}

static void teardown(void)
{
	forget_all();
	rmdir(folder);
}

/* ---- ways to die ---- */

static void write_to_nowhere(void)
{
	volatile int *volatile nowhere = NULL;

	*nowhere = 1;
}

static volatile int deep_enough = 1 << 30;

static int descend(int depth)
{
	volatile char big[1 << 14];

	big[0] = (char)depth;
	if (depth < deep_enough)
		big[0] = (char)descend(depth + 1);
	return big[0]; /* not a tail call */
}

static void overflow_the_stack(void)
{
	descend(0);
}

static void divide_by_zero(void)
{
	volatile int zero = 0;

	__asm__ volatile("cltd; idivl %0" : : "m"(zero) : "eax", "edx", "cc");
}

static void meet_no_instruction(void)
{
	__asm__ volatile("ud2");
}

static void break_an_assertion(void)
{
	abort();
}

static void read_beyond_a_file(void)
{
	char path[96];
	volatile char *p;
	int fd;

	snprintf(path, sizeof(path), "%s/empty", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	unlink(path);
	(void)p[0];
}

/* ---- processes ---- */

enum what {
	NOTHING,
	LINK,
	DATAGRAM,
	BOTH_DONE
};

static void note(enum what what)
{
	if (what == LINK || what == BOTH_DONE)
		hr_note_link(3, 77, &hash);
	if (what == DATAGRAM || what == BOTH_DONE)
		hr_note_datagram(bytes, sizeof(bytes));
	if (what != BOTH_DONE)
		return;
	hr_note_link_is_done();
	hr_note_datagrams_are_done();
}

struct life {
	enum what what;
	void (*way)(void);
};

static void *live(void *arg)
{
	const struct life *life = arg;

	hr_poison_arm_thread();
	note(life->what);
	life->way();
	return NULL;
}

static void be_quiet(void)
{
	int fd = open("/dev/null", O_WRONLY);

	dup2(fd, 2); /* what a sanitizer says, and the log */
}

/* A process that works on what, in a thread of its own, and dies. Its status. */
static int process(enum what what, void (*way)(void))
{
	struct life life = { what, way };
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		pthread_t thread;
		struct hr_err err;

		be_quiet();
		if (hr_poison_begin(folder, &err) < 0)
			_exit(99);
		pthread_create(&thread, NULL, live, &life);
		pthread_join(thread, NULL);
		_exit(98);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	return status;
}

/* What the next one finds. */
static uint32_t deaths_of(enum hr_death_kind kind, struct hr_death *out)
{
	struct hr_err err = { "" };
	int saved = dup(2);
	uint32_t n;

	be_quiet();
	CU_ASSERT_EQUAL_FATAL(hr_poison_begin(folder, &err), 0);
	dup2(saved, 2);
	close(saved);
	n = hr_poison_deaths()->n[kind];
	if (n > 0 && out != NULL)
		*out = hr_poison_deaths()->rows[kind][0];
	hr_poison_end();
	return n;
}

static bool died_of(int status, int number)
{
	if (HAS_SANITIZER) /* it reports, and exits */
		return !WIFEXITED(status) || WEXITSTATUS(status) < 98;
	return WIFSIGNALED(status) && WTERMSIG(status) == number;
}

static const struct {
	int number;
	void (*way)(void);
} ways[] = {
	{ SIGSEGV, write_to_nowhere },   { SIGSEGV, overflow_the_stack },
	{ SIGFPE, divide_by_zero },      { SIGILL, meet_no_instruction },
	{ SIGABRT, break_an_assertion }, { SIGBUS, read_beyond_a_file },
};

static void whoever_dies_of_a_link_is_written_down_and_dies_as_without(void)
{
	for (uint32_t i = 0; i < HR_COUNT(ways); i++) {
		struct hr_death d = { 0 };

		forget_all();
		CU_ASSERT(died_of(process(LINK, ways[i].way), ways[i].number));
		CU_ASSERT_EQUAL_FATAL(deaths_of(HR_DEATH_LINK, &d), 1);
		CU_ASSERT_EQUAL(deaths_of(HR_DEATH_DATAGRAM, NULL), 0);
		CU_ASSERT(d.shard == 3 && d.number == 77 && d.deaths == 1);
		CU_ASSERT(hr_id128_equals(&d.hash, &hash));
		CU_ASSERT_EQUAL(d.signal, (uint32_t)ways[i].number);
		CU_ASSERT(d.wall_us > 1700000000000000u);
	}
}

static void whoever_dies_of_a_datagram_leaves_its_fingerprint(void)
{
	for (uint32_t i = 0; i < HR_COUNT(ways); i++) {
		struct hr_death d = { 0 };

		forget_all();
		CU_ASSERT(died_of(process(DATAGRAM, ways[i].way), ways[i].number));
		CU_ASSERT_EQUAL_FATAL(deaths_of(HR_DEATH_DATAGRAM, &d), 1);
		CU_ASSERT_EQUAL(deaths_of(HR_DEATH_LINK, NULL), 0);
		CU_ASSERT_EQUAL(d.number, hr_fingerprint(bytes, sizeof(bytes)));
		CU_ASSERT_EQUAL(d.bytes, sizeof(bytes));
	}
}

static void who_works_on_nothing_leaves_nothing(void)
{
	forget_all();
	CU_ASSERT(died_of(process(NOTHING, write_to_nowhere), SIGSEGV));
	CU_ASSERT(died_of(process(BOTH_DONE, write_to_nowhere), SIGSEGV));
	CU_ASSERT(died_of(process(BOTH_DONE, break_an_assertion), SIGABRT));
	CU_ASSERT_EQUAL(deaths_of(HR_DEATH_LINK, NULL), 0);
	CU_ASSERT_EQUAL(deaths_of(HR_DEATH_DATAGRAM, NULL), 0);
}

static void wait_for_a_signal(void)
{
	for (;;)
		pause();
}

/* Killed by somebody, while it folds. */
static int killed(int number)
{
	struct life life = { LINK, wait_for_a_signal };
	int pipe_of[2], status = 0;
	pid_t pid;
	char c;

	CU_ASSERT_EQUAL_FATAL(pipe(pipe_of), 0);
	pid = fork();
	if (pid == 0) {
		struct hr_err err;

		be_quiet();
		if (hr_poison_begin(folder, &err) < 0)
			_exit(99);
		note(LINK);
		if (write(pipe_of[1], "x", 1) != 1)
			_exit(97);
		live(&life);
	}
	CU_ASSERT_EQUAL(read(pipe_of[0], &c, 1), 1);
	kill(pid, number);
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	close(pipe_of[0]);
	close(pipe_of[1]);
	return status;
}

static void what_somebody_sends_never_counts(void)
{
	static const int sent[] = { SIGKILL, SIGTERM, SIGSEGV, SIGBUS,
				    SIGABRT, SIGFPE,  SIGILL };

	forget_all();
	for (uint32_t i = 0; i < HR_COUNT(sent); i++)
		for (int times = 0; times < 10; times++)
			CU_ASSERT(died_of(killed(sent[i]), sent[i]));
	CU_ASSERT_EQUAL(deaths_of(HR_DEATH_LINK, NULL), 0);
}

static void the_second_death_bars_and_says_what_to_do(void)
{
	const struct hr_id128 other = { { 1, 2, 3, 5 } };
	struct hr_err err = { "" };
	int saved = dup(2);

	forget_all();
	process(LINK, write_to_nowhere);
	process(DATAGRAM, break_an_assertion);
	be_quiet();
	CU_ASSERT_EQUAL_FATAL(hr_poison_begin(folder, &err), 0);
	CU_ASSERT_FALSE(hr_poison_bars_link(&set, 3, 77, &hash, &err));
	CU_ASSERT_PTR_NULL(hr_poison_datagrams());
	hr_poison_end();
	process(LINK, overflow_the_stack);
	process(DATAGRAM, write_to_nowhere);
	CU_ASSERT_EQUAL_FATAL(hr_poison_begin(folder, &err), 0);
	dup2(saved, 2);
	close(saved);
	CU_ASSERT_TRUE(hr_poison_bars_link(&set, 3, 77, &hash, &err));
	CU_ASSERT(strstr(err.text, "link 77 (hash 01020304000000000000000000000000) "
				   "has killed the dataplane 2 times") != NULL);
	CU_ASSERT(strstr(err.text, "SIGSEGV") != NULL);
	CU_ASSERT(strlen(err.text) < 300); /* it is a shard's reason */
	CU_ASSERT_FALSE(hr_poison_bars_link(&set, 2, 77, &hash, &err));
	CU_ASSERT_FALSE(hr_poison_bars_link(&set, 3, 78, &hash, &err));
	CU_ASSERT_FALSE(hr_poison_bars_link(&set, 3, 77, &other, &err));
	CU_ASSERT_FATAL(hr_poison_datagrams() != NULL);
	CU_ASSERT_TRUE(hr_barred_has(hr_poison_datagrams(), bytes, sizeof(bytes)));
	hr_poison_end();
	CU_ASSERT_PTR_NULL(hr_poison_datagrams());
}

static void a_folder_that_cannot_be_made_is_told(void)
{
	struct hr_err err = { "" };

	CU_ASSERT(hr_poison_begin("/nowhere/at/all", &err) < 0);
	CU_ASSERT(strstr(err.text, "/nowhere/at/all") != NULL);
	CU_ASSERT_FALSE(hr_poison_bars_link(&set, 3, 77, &hash, &err));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "whoever dies of a link is written down, and dies as without",
		  whoever_dies_of_a_link_is_written_down_and_dies_as_without },
		{ "whoever dies of a datagram leaves its fingerprint",
		  whoever_dies_of_a_datagram_leaves_its_fingerprint },
		{ "who works on nothing leaves nothing",
		  who_works_on_nothing_leaves_nothing },
		{ "what somebody sends never counts",
		  what_somebody_sends_never_counts },
		{ "the second death bars, and says what to do",
		  the_second_death_bars_and_says_what_to_do },
		{ "a folder that cannot be made is told",
		  a_folder_that_cannot_be_made_is_told },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("poison signals", setup, teardown, tests);
}
