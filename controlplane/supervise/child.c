/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/process.h"
#include "controlplane/supervise/child.h"

#define BOOT_ID_BYTES 36

static void read_boot_id(char out[BOOT_ID_BYTES + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, BOOT_ID_BYTES);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
}

static void say(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

/* Decimal digits and the character behind them. */
static size_t put_number(char *out, uint64_t v, char behind)
{
	char digits[20];
	size_t n = 0, at = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	while (n > 0)
		out[at++] = digits[--n];
	out[at++] = behind;
	return at;
}

/* Between fork and exec: "pid ticks boot", so that a headraced that is killed right
 * after its fork leaves a dataplane its successor can find. */
static void write_pid_file(const char *path, const char *boot_id)
{
	char text[20 + 1 + 20 + 1 + BOOT_ID_BYTES + 1];
	uint64_t ticks = 0;
	size_t n;
	ssize_t wrote = -1;
	int fd;

	if (hr_process_start_ticks(getpid(), &ticks) < 0)
		say("headraced: no start time of the dataplane in /proc\n");
	n = put_number(text, (uint64_t)getpid(), ' ');
	n += put_number(text + n, ticks, ' ');
	memcpy(text + n, boot_id, strlen(boot_id));
	n += strlen(boot_id);
	text[n++] = '\n';
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		wrote = write(fd, text, n);
		close(fd);
	}
	if (wrote != (ssize_t)n)
		say("headraced: cannot write the dataplane's pid file\n");
}

__attribute__((noreturn)) static void become(char *const argv[], const char *pid_file,
					     const char *boot_id)
{
	sigset_t none;
	int null;

	sigemptyset(&none);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	null = open("/dev/null", O_RDONLY);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	write_pid_file(pid_file, boot_id);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	execv(argv[0], argv);
	say("headraced: cannot execute ");
	say(argv[0]);
	say(": ");
	say(strerrordesc_np(errno));
	say("\n");
	_exit(127);
}

/* When a process started, by the wall clock. */
static uint64_t start_wall_us(uint64_t ticks)
{
	struct timespec boot;
	uint64_t since_boot_us, hz = (uint64_t)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &boot);
	since_boot_us =
		(uint64_t)boot.tv_sec * 1000000u + (uint64_t)boot.tv_nsec / 1000;
	return hr_wall_us() - since_boot_us + ticks * 1000000u / hz;
}

int hr_child_start(struct hr_child *out, char *const argv[], const char *pid_file,
		   struct hr_err *err)
{
	char boot_id[BOOT_ID_BYTES + 1];
	pid_t pid;

	read_boot_id(boot_id);
	memset(out, 0, sizeof(*out));
	out->pidfd = -1;
	pid = fork();
	if (pid < 0)
		return hr_fail(err, -errno, "cannot start a process: %s",
			       strerror(errno));
	if (pid == 0)
		become(argv, pid_file, boot_id);
	out->pid = pid;
	/* It cannot vanish before it is waited for. */
	out->pidfd = pidfd_open(pid, 0);
	if (out->pidfd < 0) {
		int code = errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		out->pid = 0;
		return hr_fail(err, -code, "cannot watch a process: pidfd_open: %s",
			       strerror(code));
	}
	if (hr_process_start_ticks(pid, &out->start_ticks) == 0)
		out->started_us = start_wall_us(out->start_ticks);
	else
		out->started_us = hr_wall_us(); /* ended already */
	return 0;
}

/* ticks 0: whatever process has the number now. */
static int adopt(struct hr_child *out, int pid, uint64_t ticks)
{
	uint64_t now_ticks;
	int fd;

	memset(out, 0, sizeof(*out));
	out->pidfd = -1;
	fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (fd < 0)
		return -ESRCH;
	/* Looked at while it is held: this is the process of the descriptor. */
	if (hr_process_start_ticks(pid, &now_ticks) < 0 ||
	    (ticks != 0 && ticks != now_ticks)) {
		close(fd);
		return -ESRCH;
	}
	out->pid = pid;
	out->pidfd = fd;
	out->is_adopted = true;
	out->start_ticks = now_ticks;
	out->started_us = start_wall_us(now_ticks);
	return 0;
}

int hr_child_adopt(struct hr_child *out, int pid)
{
	return adopt(out, pid, 0);
}

static int read_pid_file(const char *path, int *pid, uint64_t *ticks)
{
	char boot_now[BOOT_ID_BYTES + 1], boot[BOOT_ID_BYTES + 1] = "", text[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%d %lu %36s", pid, ticks, boot) != 3)
		return -EPROTO;
	read_boot_id(boot_now);
	return strcmp(boot, boot_now) == 0 && *ticks != 0 ? 0 : -ESRCH;
}

int hr_child_adopt_file(struct hr_child *out, const char *pid_file)
{
	uint64_t ticks;
	int pid;

	memset(out, 0, sizeof(*out));
	out->pidfd = -1;
	if (read_pid_file(pid_file, &pid, &ticks) < 0)
		return -ESRCH;
	return adopt(out, pid, ticks);
}

int hr_child_fd(const struct hr_child *child)
{
	return child->pid == 0 ? -1 : child->pidfd;
}

void hr_child_forget(struct hr_child *child)
{
	if (child->pid != 0 && child->pidfd >= 0)
		close(child->pidfd);
	memset(child, 0, sizeof(*child));
	child->pidfd = -1;
}

bool hr_child_has_ended(struct hr_child *child, struct hr_child_end *end)
{
	int status;

	memset(end, 0, sizeof(*end));
	if (child->pid == 0)
		return false;
	if (child->is_adopted) {
		if (hr_process_is(child->pid, child->start_ticks))
			return false;
		hr_child_forget(child);
		return true;
	}
	if (waitpid(child->pid, &status, WNOHANG) != child->pid)
		return false;
	end->is_known = true;
	end->is_signal = WIFSIGNALED(status);
	end->code = end->is_signal ? WTERMSIG(status) : WEXITSTATUS(status);
	hr_child_forget(child);
	return true;
}

void hr_child_signal(const struct hr_child *child, int signal)
{
	if (child->pid != 0)
		(void)pidfd_send_signal(child->pidfd, signal, NULL, 0);
}

bool hr_child_pid_lives(int pid)
{
	uint64_t ticks;

	return hr_process_start_ticks(pid, &ticks) == 0;
}

bool hr_child_file_lives(const char *pid_file)
{
	uint64_t ticks;
	int pid;

	return read_pid_file(pid_file, &pid, &ticks) == 0 && hr_process_is(pid, ticks);
}
