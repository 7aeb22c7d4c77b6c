/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_NOTES_H
#define HR_NOTES_H

/*
 * notes - what this thread is working on just now, for its signal handler: if it dies of
 * it, the handler writes down of what (poison.h).
 *
 * One cache line a thread, written by that thread alone with plain stores and read by
 * the handler that interrupts it, so that order matters to the compiler only. It lies in
 * ordinary memory, not in the file that outlives the process: a page of a file that is
 * written now and then is made read-only by each write-back, and the next store to it
 * waits in the kernel. A datagram is noted by its place: its fingerprint is taken when
 * somebody died of it, not a million times a second.
 *
 * Hot; any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/log/record.h"

struct hr_note {
	_Alignas(64) const uint8_t *datagram; /* NULL: none */
	uint32_t datagram_bytes;
	bool has_link;
	uint16_t shard;
	uint64_t n;
	struct hr_id128 hash;
};
_Static_assert(sizeof(struct hr_note) == 64, "one cache line");

/* Of the program itself, so that the handler finds it without asking anybody. */
extern _Thread_local struct hr_note hr_note __attribute__((tls_model("initial-exec")));

/* A link is being folded. */
static inline void hr_note_link(uint16_t shard, uint64_t n, const struct hr_id128 *hash)
{
	hr_note.shard = shard;
	hr_note.n = n;
	hr_note.hash = *hash;
	hr_note.has_link = true;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void hr_note_link_is_done(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	hr_note.has_link = false;
}

/* A datagram (the payload of UDP) is being looked at; instead of the one before. */
static inline void hr_note_datagram(const uint8_t *p, uint32_t n)
{
	hr_note.datagram = p;
	hr_note.datagram_bytes = n;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void hr_note_datagrams_are_done(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	hr_note.datagram = NULL;
}

#endif
