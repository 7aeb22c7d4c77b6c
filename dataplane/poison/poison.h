/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_POISON_H
#define HR_POISON_H

/*
 * poison - records that kill the process: a link that is folded, a datagram that is
 * looked at. What a thread works on is noted (notes.h); if it dies of it, its signal
 * handler writes that down in appliance.state_dir/deaths (deaths.h); the next process
 * reads it.
 *
 *   thread: note ─▶ fold, parse ─╳ SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT
 *                                ╰▶ handler: one slot of the file, then as without it
 *   next process: slots ─▶ list ─┬─ once: it is tried again
 *                                ╰─ twice: link: its shard stops by name
 *                                          datagram: dropped by its fingerprint
 *
 * Only what the thread itself did counts: a signal that somebody sent (SIGKILL, SIGTERM,
 * the kernel out of memory, a SIGSEGV by kill) says nothing of the record, nor does a
 * broken memory module (SIGBUS with BUS_MCEERR_*).
 *
 * hr_poison_begin() before any other thread is there; what it found is immutable from
 * then on and may be asked by any thread. Without it nothing is barred.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/poison/barred.h"
#include "dataplane/poison/deaths.h"

/*
 * Read the list, log what the last process died of, and take the signals. Returns 0, or
 * a negated errno with err: nothing is remembered then, the program may go on.
 */
int hr_poison_begin(const char *state_dir, struct hr_err *err);
/* Give the signals back; for tests. */
void hr_poison_end(void);

/* Each thread that folds or receives, once: so that its handler has a stack when its own
 * has overflowed. */
void hr_poison_arm_thread(void);

/* Datagrams to be dropped; NULL: none. */
const struct hr_barred *hr_poison_datagrams(void);

/* The link is not to be folded: err says why, and what to do. Not where this program
 * rejects it by poison.def. */
bool hr_poison_bars_link(const struct hr_data_set *set, uint16_t shard, uint64_t n,
			 const struct hr_id128 *hash, struct hr_err *err);

/* All that is known. */
const struct hr_deaths *hr_poison_deaths(void);

#endif
