/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_WINDOWS_H
#define HR_WINDOWS_H

/*
 * windows - which datagrams of which stream the chain holds already: one {highest
 * sequence, 64 bits below it} per stream, as RFC 4303 (3.4.3) keeps it against
 * replays. Fixed memory, taken when it is made; open addressing over a pool of
 * streams that hang in one list by the clock of their last datagram.
 *
 *   slots  [  . | hash, 2 | . | hash, 0 | hash, 1 | . ]
 *                    └────────────┐ └─────┐   └───────┐
 *   list by last clock:  oldest ─▶ 1 ─▶ ... ─▶ 0 ─▶ 2 ◀─ newest
 *
 * What comes out depends on the calls alone, never on the size of the memory: a
 * window lives until max_age after its last datagram, by the clock it is told, and
 * the list, whose order is that of the clocks, finds the dead before room is
 * declared to be out. One thread at a time.
 */

#include <stdint.h>

#include "dataplane/log/record.h"

enum hr_window_verdict {
	HR_WINDOW_FRESH,    /* never seen: it is in the window now */
	HR_WINDOW_REPEATED, /* in the window, or too far below it to know */
	HR_WINDOW_FULL,     /* a stream without a window, and no room for one */
};

struct hr_stream {
	uint64_t birth, random;
	uint64_t highest;
	uint64_t seen;  /* bit i: sequence highest - i */
	uint64_t first; /* sequence that the window began with */
	uint64_t last_clock_us;
	uint32_t older, newer; /* neighbours in the list; a free one: newer is the
				* next free one */
	uint32_t hash;
	uint32_t reserved;
};

_Static_assert(sizeof(struct hr_stream) == 64, "a stream is one cache line");

struct hr_stream_slot {
	uint32_t hash;
	uint32_t stream; /* HR_NO_STREAM: empty */
};

#define HR_NO_STREAM UINT32_MAX

struct hr_windows {
	struct hr_stream *streams;
	struct hr_stream_slot *slots;
	uint32_t slot_mask;
	uint32_t max_streams;
	uint32_t n_streams;
	uint32_t free, oldest, newest;
	uint64_t seed; /* of the table's hash: no output depends on it */
};

/* What the chain says, as of the link that is judged. */
struct hr_window_rules {
	uint64_t clock_us; /* never goes back */
	uint64_t max_age_us;
	uint64_t max_streams; /* at most what the memory is made for */
};

/* Sequence numbers that a datagram jumped over, and those that came after all. */
struct hr_window_gaps {
	uint64_t gaps, filled;
};

/* Returns 0 or -ENOMEM. */
int hr_windows_init(struct hr_windows *w, uint32_t max_streams, uint64_t seed);
void hr_windows_fini(struct hr_windows *w);

/* Hot. Forget streams past their age, the oldest first, at most so many: those that
 * stay for a later call are dead all the same to whoever asks for them. */
void hr_windows_expire(struct hr_windows *w, const struct hr_window_rules *rules,
		       uint32_t at_most);

/*
 * Hot. Judge datagrams in their order (birth, random and sequence of the items are
 * read) and note them. Gaps are added to, not set: a jump beyond highest + 1 opens
 * one a number, a number above the window's first that arrives late fills one. What
 * lies before the first datagram of a window is not judged.
 */
void hr_windows_judge_burst(struct hr_windows *w, const struct hr_window_rules *rules,
			    const struct hr_item *items, uint32_t n, uint8_t *verdicts,
			    struct hr_window_gaps *gaps);

#define HR_WINDOWS_BURST 16

#endif
