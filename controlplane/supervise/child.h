/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHILD_H
#define HR_CHILD_H

/*
 * child - the process of a program that is looked after: started here, or found
 * running and adopted.
 *
 * It must outlive its parent: own session, own pid file, no parent-death signal, and
 * SIGPIPE ignored in case the parent was the reader of its log. A process is held by
 * a pidfd, so a signal never reaches another one that got its number. An adopted
 * process is nobody's child here: its end is seen, its exit status is not.
 *
 * One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct hr_child {
	int pid; /* 0: no process */
	int pidfd;
	bool is_adopted;
	uint64_t start_ticks;
	uint64_t started_us; /* wall clock, from the process's own start time */
};

/* How a process ended. */
struct hr_child_end {
	bool is_known; /* false: it was adopted */
	bool is_signal;
	int code; /* exit status or signal */
};

/* Start argv[0] with its pid file written before anything of it runs. Returns 0 or a
 * negated errno; a program that cannot be executed ends with 127 and says why on
 * standard error. */
int hr_child_start(struct hr_child *out, char *const argv[], const char *pid_file,
		   struct hr_err *err);

/* Hold a process found by its number, or by the pid file that its start left. Returns
 * -ESRCH when there is none. */
int hr_child_adopt(struct hr_child *out, int pid);
int hr_child_adopt_file(struct hr_child *out, const char *pid_file);

/* Readable (POLLIN) when the process has ended; -1 without a process. */
int hr_child_fd(const struct hr_child *child);
/* True once, when it has ended; the child is empty then. */
bool hr_child_has_ended(struct hr_child *child, struct hr_child_end *end);
void hr_child_signal(const struct hr_child *child, int signal);
/* Let go of the process; it runs on. */
void hr_child_forget(struct hr_child *child);

bool hr_child_pid_lives(int pid);
bool hr_child_file_lives(const char *pid_file);

#endif
