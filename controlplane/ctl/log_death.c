/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "controlplane/ctl/log_death.h"
#include "dataplane/poison/notes.h"

static char stack[65536]; /* the program's own may have overflowed */

/* snprintf() is no function for signal handlers by the letter; with integers and texts
 * glibc's takes no lock and no memory, and the program is at its end. */
static void last_words(int signal)
{
	char hash[HR_ID128_TEXT], words[512];
	int n;

	if (!hr_note.has_link) {
		(void)raise(signal); /* SA_RESETHAND: ends it */
		return;
	}
	hr_id128_print(hash, &hr_note.hash);
	n = snprintf(words, sizeof(words),
		     "headracectl: shard %u: link %" PRIu64
		     " (hash %s) kills fold, and has ended this program; the dataplane "
		     "stops its shard at this link. What to do: docs/operations.md, "
		     "\"What kills the dataplane\"\n",
		     hr_note.shard, hr_note.n, hash);
	(void)!write(STDERR_FILENO, words, (size_t)n);
	_exit(1);
}

void hr_log_death_begin(void)
{
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	const stack_t own = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = {
		.sa_handler = last_words,
		.sa_flags = (int)(SA_ONSTACK | SA_RESETHAND | SA_NODEFER),
	};

	(void)sigaltstack(&own, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		(void)sigaction(deadly[i], &action, NULL);
}
