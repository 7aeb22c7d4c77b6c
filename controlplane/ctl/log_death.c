/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "controlplane/ctl/log_death.h"

static char words[640];
static volatile sig_atomic_t n_words;
static char stack[65536]; /* the program's own may have overflowed */

static void last_words(int signal)
{
	(void)!write(STDERR_FILENO, words, (size_t)n_words);
	if (n_words > 0)
		_exit(1);
	(void)raise(signal); /* not fold's doing: as without us (SA_RESETHAND) */
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

void hr_log_death_note(uint16_t shard, const struct hr_link *link)
{
	char hash[HR_ID128_TEXT];
	int n;

	hr_id128_print(hash, &link->hash);
	n = snprintf(words, sizeof(words),
		     "headracectl: shard %u, offset %" PRId64 ": link %" PRIu64
		     " (hash %s) kills fold, and has ended this program; the dataplane "
		     "stops its shard at this link. What to do: docs/operations.md, "
		     "\"What kills the dataplane\"\n",
		     shard, link->offset, link->n, hash);
	n_words = n < (int)sizeof(words) ? n : (int)sizeof(words) - 1;
}

void hr_log_death_clear(void)
{
	n_words = 0;
}
