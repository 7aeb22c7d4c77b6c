/* SPDX-License-Identifier: BSD-3-Clause */

/* Everything in here but the last two functions runs in a signal handler. */

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/poison/barred.h"
#include "dataplane/poison/deaths.h"
#include "dataplane/poison/handler.h"
#include "dataplane/poison/notes.h"

#define SIGNALS 5

static const int signals[SIGNALS] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct sigaction before[SIGNALS];
static int list_fd = -1;
static atomic_uint n_slots;

/* Done by this thread, and by what it was doing: the kernel found a fault in its
 * instruction, or it raised the signal itself, as abort() does. */
static bool is_own_doing(int number, const siginfo_t *info)
{
	if (number == SIGBUS &&
	    (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO))
		return false;
	if (info->si_code > 0)
		return number != SIGABRT;
	return info->si_code == SI_TKILL && info->si_pid == getpid();
}

static bool read_note(struct hr_death *death)
{
	const struct hr_note *note = &hr_note;

	if (note->has_link) {
		death->kind = HR_DEATH_LINK;
		death->shard = note->shard;
		death->number = note->n;
		death->hash = note->hash;
		return true;
	}
	if (note->datagram == NULL)
		return false;
	death->kind = HR_DEATH_DATAGRAM;
	death->bytes = note->datagram_bytes;
	death->number = hr_fingerprint(note->datagram, note->datagram_bytes);
	return true;
}

static void write_down(int number)
{
	struct hr_death death = { .deaths = 1, .signal = (uint32_t)number };
	struct timespec now;
	uint32_t slot;

	if (!read_note(&death))
		return;
	slot = atomic_fetch_add(&n_slots, 1);
	if (slot >= HR_DEATH_SLOTS)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	death.wall_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
	hr_death_write(list_fd, slot, &death);
}

/* As if nobody had been here: a fault happens again, with a core that shows its place. */
static void stand_aside(int number)
{
	for (int i = 0; i < SIGNALS; i++)
		if (signals[i] == number)
			sigaction(number, &before[i], NULL);
}

static void on_death(int number, siginfo_t *info, void *context)
{
	(void)context;
	/* First: if the note leads nowhere, the process dies of that. */
	stand_aside(number);
	if (is_own_doing(number, info))
		write_down(number);
	/* One that was sent does not come again by itself. Blocked until the return. */
	if (info->si_code <= 0)
		raise(number);
}

void hr_poison_handler_take(int fd)
{
	struct sigaction action = {
		.sa_sigaction = on_death,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	list_fd = fd;
	atomic_store(&n_slots, 0);
	sigemptyset(&action.sa_mask);
	for (int i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &action, &before[i]);
}

void hr_poison_handler_give_back(void)
{
	for (int i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
	list_fd = -1;
}
