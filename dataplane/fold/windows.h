/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_WINDOWS_H
#define HR_WINDOWS_H

/*
 * windows - which datagrams of which stream the chain holds already. A stream that
 * its sender numbers and nobody answers has a *window*: {highest sequence, 64 bits
 * below it}, as RFC 4303 (3.4.3) keeps it against replays. One that an acknowledging
 * appliance took in order has a *floor*: everything up to it is in the chain, or will
 * never be. What a stream has is decided by what it began with.
 *
 * Fixed memory, taken when it is made; open addressing over a pool of streams, which
 * hang in one of three lists by the clock of their last datagram:
 *
 *   slots  [  . | hash, 2 | . | hash, 0 | hash, 1 | . ]
 *                    └────────────┐ └─────┐   └───────┐
 *   off by last clock:    oldest ─▶ 1 ─▶ ... ─▶ 0 ◀─ newest
 *   memory, disk                          2
 *   keys   [ key, streams it has | . | key, streams | . ]
 *
 * What comes out depends on the calls alone, never on the size of the memory: a
 * stream lives until its list's age after its last datagram, by the clock it is told,
 * and the lists, whose order is that of the clocks, find the dead before room is
 * declared to be out. One thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/wire.h"
#include "dataplane/log/record.h"

enum hr_window_verdict {
	HR_WINDOW_FRESH,    /* never seen: it is noted now */
	HR_WINDOW_REPEATED, /* seen, or too far below to know */
	HR_WINDOW_FULL,     /* a stream that is not known, and no room for one */
	HR_WINDOW_FOREIGN,  /* a stream that began under another write key */
};

/* Which list a stream hangs in: how long it lives. */
enum hr_stream_class {
	HR_STREAM_OFF,    /* has a window */
	HR_STREAM_MEMORY, /* floor; its sender queues in memory */
	HR_STREAM_DISK,   /* floor; its sender queues on disk */
	HR_STREAM_CLASSES
};

struct hr_stream {
	uint64_t birth, random;
	uint64_t highest; /* or the floor */
	uint64_t seen;    /* bit i: sequence highest - i; a floor has none set, and a
			   * window has bit 0 */
	uint64_t first;   /* sequence that the window began with; 0 with a floor */
	uint64_t last_clock_us;
	uint32_t older, newer; /* neighbours in the list; a free one: newer is the
				* next free one */
	uint32_t hash;
	uint32_t key_id; /* it began with, and whose share it takes: what comes under
			  * another one changes nothing */
};

_Static_assert(sizeof(struct hr_stream) == 64, "a stream is one cache line");

struct hr_stream_slot {
	uint32_t hash;
	uint32_t stream; /* HR_NO_STREAM: empty */
};

#define HR_NO_STREAM UINT32_MAX

/* Open addressing again; n is 0: empty. There are never more keys than streams. */
struct hr_stream_key {
	uint32_t key_id;
	uint32_t n;
};

struct hr_stream_list {
	uint32_t oldest, newest;
	uint32_t n;
};

struct hr_windows {
	struct hr_stream *streams;
	struct hr_stream_slot *slots;
	struct hr_stream_key *keys;
	uint32_t slot_mask; /* of slots and keys */
	uint32_t max_streams;
	uint32_t n_streams;
	uint32_t free;
	struct hr_stream_list lists[HR_STREAM_CLASSES];
	uint64_t seed; /* of the tables' hashes: no output depends on it */
};

/* What the chain says, as of the link that is judged. */
struct hr_window_rules {
	uint64_t clock_us; /* never goes back */
	uint64_t age_us[HR_STREAM_CLASSES];
	uint64_t max_streams; /* at most what the memory is made for */
	uint64_t max_per_key; /* of them; UINT64_MAX: all */
};

/* Sequence numbers that a datagram jumped over, and those that came after all. */
struct hr_window_gaps {
	uint64_t gaps, filled;
};

/* Returns 0 or -ENOMEM. */
int hr_windows_init(struct hr_windows *w, uint32_t max_streams, uint64_t seed);
void hr_windows_fini(struct hr_windows *w);

static inline enum hr_stream_class hr_stream_class(const struct hr_stream *s)
{
	if (s->seen != 0)
		return HR_STREAM_OFF;
	return (s->birth & HR_BIRTH_DISK_CLASS) != 0 ? HR_STREAM_DISK
						     : HR_STREAM_MEMORY;
}

static inline bool hr_stream_is_dead(const struct hr_stream *s,
				     const struct hr_window_rules *rules)
{
	return rules->clock_us - s->last_clock_us > rules->age_us[hr_stream_class(s)];
}

/* Hot. Forget streams past their age, the oldest of each list first, at most so many:
 * those that stay for a later call are dead all the same to whoever asks for them. */
void hr_windows_expire(struct hr_windows *w, const struct hr_window_rules *rules,
		       uint32_t at_most);

/*
 * Hot. Judge items in their order and note them: DATAGRAMs (birth, random, sequence,
 * key id and flags are read), and SKIPs, which raise a floor to their sequence and
 * get a verdict that means nothing. Any other item is fresh. Gaps are added to, not
 * set: a jump beyond highest + 1 opens one a number, a number above a window's first
 * that arrives late fills one. What lies before the first datagram of a window is not
 * judged; a floor begins at 0.
 */
void hr_windows_judge_burst(struct hr_windows *w, const struct hr_window_rules *rules,
			    const struct hr_item *items, uint32_t n, uint8_t *verdicts,
			    struct hr_window_gaps *gaps);

#define HR_WINDOWS_BURST 16

/* Hot. The living stream, or NULL; whether room would be found for one more beside so
 * many others of which so many have its key. Both change nothing. The second looks at
 * the dead one by one, and only where room is short. */
const struct hr_stream *hr_windows_find(const struct hr_windows *w,
					const struct hr_window_rules *rules,
					uint64_t birth, uint64_t random);
bool hr_windows_has_room(const struct hr_windows *w,
			 const struct hr_window_rules *rules, uint32_t key_id,
			 uint32_t n_others, uint32_t n_others_of_key);

/* For reading a state back: a stream as it was (list and hash are not read), as the
 * newest of its list. Returns false when it is there already, or memory is out. */
bool hr_windows_restore(struct hr_windows *w, const struct hr_stream *stream);

#endif
