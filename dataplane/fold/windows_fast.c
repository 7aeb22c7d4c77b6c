/* SPDX-License-Identifier: BSD-3-Clause */

/* The hot half of windows: once per datagram of an accepted link. */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/fold/windows.h"

#define WINDOW_BITS 64u

static inline uint32_t hash_of(const struct hr_windows *w, const struct hr_item *item)
{
	const uint64_t id[2] = { item->birth, item->random };

	return (uint32_t)(XXH3_64bits_withSeed(id, sizeof(id), w->seed) >> 32);
}

static void list_remove(struct hr_windows *w, const struct hr_stream *s)
{
	if (s->older == HR_NO_STREAM)
		w->oldest = s->newer;
	else
		w->streams[s->older].newer = s->newer;
	if (s->newer == HR_NO_STREAM)
		w->newest = s->older;
	else
		w->streams[s->newer].older = s->older;
}

static void list_append(struct hr_windows *w, uint32_t at)
{
	struct hr_stream *s = &w->streams[at];

	s->older = w->newest;
	s->newer = HR_NO_STREAM;
	if (w->newest == HR_NO_STREAM)
		w->oldest = at;
	else
		w->streams[w->newest].newer = at;
	w->newest = at;
}

static inline bool is_dead(const struct hr_stream *s,
			   const struct hr_window_rules *rules)
{
	return rules->clock_us - s->last_clock_us > rules->max_age_us;
}

/* Slot of the stream, or the empty one where its search ends. */
static inline uint32_t slot_find(const struct hr_windows *w, uint32_t hash,
				 const struct hr_item *item)
{
	uint32_t at = hash & w->slot_mask;

	for (;; at = (at + 1) & w->slot_mask) {
		const struct hr_stream_slot *slot = &w->slots[at];

		if (slot->stream == HR_NO_STREAM)
			return at;
		if (slot->hash == hash &&
		    w->streams[slot->stream].birth == item->birth &&
		    w->streams[slot->stream].random == item->random)
			return at;
	}
}

/* Close the hole: whatever stands behind it and may stand nearer to its home moves
 * up, so that no search ends early and no marks of the dead pile up. */
static void slot_clear(struct hr_windows *w, uint32_t hole)
{
	const uint32_t mask = w->slot_mask;

	for (uint32_t at = (hole + 1) & mask; w->slots[at].stream != HR_NO_STREAM;
	     at = (at + 1) & mask) {
		uint32_t home = w->slots[at].hash & mask;

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		w->slots[hole] = w->slots[at];
		hole = at;
	}
	w->slots[hole].stream = HR_NO_STREAM;
}

static void forget(struct hr_windows *w, uint32_t at)
{
	struct hr_stream *s = &w->streams[at];
	const struct hr_item key = { .birth = s->birth, .random = s->random };

	slot_clear(w, slot_find(w, s->hash, &key));
	list_remove(w, s);
	s->newer = w->free;
	w->free = at;
	w->n_streams--;
}

void hr_windows_expire(struct hr_windows *w, const struct hr_window_rules *rules,
		       uint32_t at_most)
{
	for (; at_most > 0 && w->oldest != HR_NO_STREAM; at_most--) {
		if (!is_dead(&w->streams[w->oldest], rules))
			return;
		forget(w, w->oldest);
	}
}

static enum hr_window_verdict stream_begin(struct hr_windows *w,
					   const struct hr_window_rules *rules,
					   uint32_t hash, const struct hr_item *item)
{
	struct hr_stream *s;
	uint32_t at;

	if (w->n_streams >= rules->max_streams) /* more: the chain lowered it */
		hr_windows_expire(w, rules,
				  w->n_streams - (uint32_t)rules->max_streams + 1);
	if (w->n_streams >= rules->max_streams || w->free == HR_NO_STREAM)
		return HR_WINDOW_FULL;
	at = w->free;
	s = &w->streams[at];
	w->free = s->newer;
	*s = (struct hr_stream){
		.birth = item->birth,
		.random = item->random,
		.highest = item->sequence,
		.seen = 1,
		.first = item->sequence,
		.last_clock_us = rules->clock_us,
		.hash = hash,
	};
	list_append(w, at);
	w->n_streams++;
	/* Only now: expiry may have moved slots. */
	w->slots[slot_find(w, hash, item)] = (struct hr_stream_slot){ hash, at };
	return HR_WINDOW_FRESH;
}

/* The newest stay at the end of the list; within one clock there is no order. */
static void touch(struct hr_windows *w, uint32_t at, uint64_t clock_us)
{
	struct hr_stream *s = &w->streams[at];

	if (s->last_clock_us == clock_us)
		return;
	s->last_clock_us = clock_us;
	if (w->newest == at)
		return;
	list_remove(w, s);
	list_append(w, at);
}

static inline void move_up(struct hr_stream *s, uint64_t by,
			   struct hr_window_gaps *gaps)
{
	s->seen = by < WINDOW_BITS ? s->seen << by | 1 : 1;
	s->highest += by;
	gaps->gaps += by - 1;
}

static inline enum hr_window_verdict
window_judge(struct hr_stream *s, uint64_t sequence, struct hr_window_gaps *gaps)
{
	uint64_t below, bit;

	if (sequence > s->highest) {
		move_up(s, sequence - s->highest, gaps);
		return HR_WINDOW_FRESH;
	}
	below = s->highest - sequence;
	if (below >= WINDOW_BITS)
		return HR_WINDOW_REPEATED;
	bit = 1ull << below;
	if ((s->seen & bit) != 0)
		return HR_WINDOW_REPEATED;
	s->seen |= bit;
	if (sequence > s->first)
		gaps->filled++;
	return HR_WINDOW_FRESH;
}

static enum hr_window_verdict judge(struct hr_windows *w,
				    const struct hr_window_rules *rules, uint32_t hash,
				    const struct hr_item *item,
				    struct hr_window_gaps *gaps)
{
	uint32_t at = w->slots[slot_find(w, hash, item)].stream;

	if (at != HR_NO_STREAM && is_dead(&w->streams[at], rules)) {
		forget(w, at); /* nobody has come by to do it */
		at = HR_NO_STREAM;
	}
	if (at == HR_NO_STREAM)
		return stream_begin(w, rules, hash, item);
	touch(w, at, rules->clock_us);
	return window_judge(&w->streams[at], item->sequence, gaps);
}

static inline void prefetch_stream(const struct hr_windows *w, uint32_t hash)
{
	const struct hr_stream_slot *slot = &w->slots[hash & w->slot_mask];

	if (slot->stream != HR_NO_STREAM)
		__builtin_prefetch(&w->streams[slot->stream], 1);
}

void hr_windows_judge_burst(struct hr_windows *w, const struct hr_window_rules *rules,
			    const struct hr_item *items, uint32_t n, uint8_t *verdicts,
			    struct hr_window_gaps *gaps)
{
	uint32_t hashes[HR_WINDOWS_BURST];

	for (uint32_t i = 0; i < n; i++) {
		hashes[i] = hash_of(w, &items[i]);
		__builtin_prefetch(&w->slots[hashes[i] & w->slot_mask]);
	}
	for (uint32_t i = 0; i < n; i++)
		prefetch_stream(w, hashes[i]);
	for (uint32_t i = 0; i < n; i++)
		verdicts[i] = (uint8_t)judge(w, rules, hashes[i], &items[i], gaps);
}
