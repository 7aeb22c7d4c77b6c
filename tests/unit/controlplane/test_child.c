/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "controlplane/supervise/child.h"
#include "controlplane/supervise/supervise.h"
#include "tests/unit/hr_test.h"

#define PATIENCE_MS 10000

static char folder[32], pid_file[64];
static struct hr_child child;

static void setup(void)
{
	strcpy(folder, "/tmp/hr_child_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(pid_file, sizeof(pid_file), "%s/pid", folder);
	memset(&child, 0, sizeof(child));
	child.pidfd = -1;
}

static void teardown(void)
{
	struct hr_child_end end;

	if (child.pid != 0) {
		hr_child_signal(&child, SIGKILL);
		waitpid(child.pid, NULL, 0);
		(void)hr_child_has_ended(&child, &end);
		hr_child_forget(&child);
	}
	unlink(pid_file);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void start(const char *script)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)script, NULL };

	CU_ASSERT_EQUAL_FATAL(hr_child_start(&child, argv, pid_file, NULL), 0);
}

static struct hr_child_end wait_end(void)
{
	struct pollfd p = { .fd = hr_child_fd(&child), .events = POLLIN };
	struct hr_child_end end = { 0 };

	CU_ASSERT_EQUAL(poll(&p, 1, PATIENCE_MS), 1);
	CU_ASSERT_TRUE(hr_child_has_ended(&child, &end));
	CU_ASSERT_EQUAL(hr_child_fd(&child), -1);
	return end;
}

static void an_exit_status_is_told(void)
{
	struct hr_child_end end;

	start("exit 3");
	end = wait_end();
	CU_ASSERT_TRUE(end.is_known && !end.is_signal);
	CU_ASSERT_EQUAL(end.code, 3);
}

static void a_signal_is_told(void)
{
	struct hr_child_end end;

	start("exec sleep 60");
	hr_child_signal(&child, SIGKILL);
	end = wait_end();
	CU_ASSERT_TRUE(end.is_known && end.is_signal);
	CU_ASSERT_EQUAL(end.code, SIGKILL);
}

static void what_cannot_be_executed_ends_with_127(void)
{
	char *argv[] = { (char *)"/nonexistent/program", NULL };

	CU_ASSERT_EQUAL_FATAL(hr_child_start(&child, argv, pid_file, NULL), 0);
	CU_ASSERT_EQUAL(wait_end().code, 127);
}

/* Signals come through although this process blocks them; a session of its own keeps
 * the terminal's Ctrl-C away. */
static void it_is_independent_of_its_parent(void)
{
	sigset_t term, before;
	int pid;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	start("exec sleep 60");
	sigprocmask(SIG_SETMASK, &before, NULL);
	pid = child.pid;
	for (int i = 0; i < PATIENCE_MS && getsid(pid) != pid; i++)
		usleep(1000);
	CU_ASSERT_EQUAL(getsid(pid), pid);
	hr_child_signal(&child, SIGTERM);
	CU_ASSERT_EQUAL(wait_end().code, SIGTERM);
}

static void wait_for_pid_file(void)
{
	for (int i = 0; i < PATIENCE_MS && !hr_child_file_lives(pid_file); i++)
		usleep(1000);
	CU_ASSERT_TRUE_FATAL(hr_child_file_lives(pid_file));
}

static void the_pid_file_leads_to_the_process(void)
{
	struct hr_child found;

	start("exec sleep 60");
	wait_for_pid_file();
	CU_ASSERT_EQUAL_FATAL(hr_child_adopt_file(&found, pid_file), 0);
	CU_ASSERT_EQUAL(found.pid, child.pid);
	CU_ASSERT_TRUE(found.is_adopted);
	CU_ASSERT_TRUE(found.started_us <= hr_wall_us());
	CU_ASSERT_TRUE(found.started_us + 60000000 > hr_wall_us());
	hr_child_forget(&found);
	CU_ASSERT_TRUE(hr_child_pid_lives(child.pid));
}

static void the_end_of_an_adopted_process_is_seen_its_status_is_not(void)
{
	struct hr_child found;
	struct hr_child_end end;
	struct pollfd p;

	start("exec sleep 60");
	wait_for_pid_file();
	CU_ASSERT_EQUAL_FATAL(hr_child_adopt_file(&found, pid_file), 0);
	CU_ASSERT_FALSE(hr_child_has_ended(&found, &end));
	hr_child_signal(&found, SIGKILL);
	p = (struct pollfd){ .fd = hr_child_fd(&found), .events = POLLIN };
	CU_ASSERT_EQUAL(poll(&p, 1, PATIENCE_MS), 1);
	CU_ASSERT_TRUE(hr_child_has_ended(&found, &end));
	CU_ASSERT_FALSE(end.is_known);
	(void)wait_end();
}

static void write_pid_file(const char *text)
{
	FILE *f = fopen(pid_file, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static void a_pid_used_again_is_not_adopted(void)
{
	static const char *const texts[] = {
		"",
		"rubbish\n",
		"-1 5 x\n",
		"99999999999999999999 1 x\n",
	};
	char text[160], boot[37] = "";
	struct hr_child found;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);

	CU_ASSERT_EQUAL_FATAL(read(fd, boot, 36), 36);
	close(fd);
	/* Us, with another start time; and with ours, before the last reboot. */
	(void)snprintf(text, sizeof(text), "%d 1 %s\n", getpid(), boot);
	write_pid_file(text);
	CU_ASSERT_EQUAL(hr_child_adopt_file(&found, pid_file), -ESRCH);
	for (size_t i = 0; i < HR_COUNT(texts); i++) {
		write_pid_file(texts[i]);
		CU_ASSERT_EQUAL(hr_child_adopt_file(&found, pid_file), -ESRCH);
	}
	unlink(pid_file);
	CU_ASSERT_EQUAL(hr_child_adopt_file(&found, pid_file), -ESRCH);
}

static void ends_are_told_in_words(void)
{
	static const struct {
		struct hr_child_end end;
		const char *words;
	} rows[] = {
		{ { true, false, 0 }, "exited with 0 (everything written out)" },
		{ { true, false, 3 },
		  "exited with 3 (something was left; its log names it)" },
		{ { true, false, 42 }, "exited with 42" },
		{ { true, true, SIGKILL }, "was killed by signal 9 (Killed)" },
		{ { false, false, 0 },
		  "ended (it had been adopted: its exit status is not known)" },
	};
	char out[160];

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		hr_supervise_describe_end(&rows[i].end, out, sizeof(out));
		CU_ASSERT_STRING_EQUAL(out, rows[i].words);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an exit status is told", an_exit_status_is_told },
		{ "a signal is told", a_signal_is_told },
		{ "what cannot be executed ends with 127",
		  what_cannot_be_executed_ends_with_127 },
		{ "it is independent of its parent", it_is_independent_of_its_parent },
		{ "the pid file leads to the process",
		  the_pid_file_leads_to_the_process },
		{ "the end of an adopted process is seen, its status is not",
		  the_end_of_an_adopted_process_is_seen_its_status_is_not },
		{ "a pid used again is not adopted", a_pid_used_again_is_not_adopted },
		{ "ends are told in words", ends_are_told_in_words },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("child", setup, teardown, tests);
}
