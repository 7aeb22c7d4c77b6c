/* SPDX-License-Identifier: BSD-3-Clause */

/* The hot half of windows: once per datagram of an accepted link. */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/fold/windows.h"

#define WINDOW_BITS 64u

static inline uint32_t hash_of(const struct hr_windows *w, uint64_t birth,
			       uint64_t random)
{
	const uint64_t id[2] = { birth, random };

	return (uint32_t)(XXH3_64bits_withSeed(id, sizeof(id), w->seed) >> 32);
}

/* ---- lists ---- */

static void list_remove(struct hr_windows *w, struct hr_stream_list *list,
			const struct hr_stream *s)
{
	if (s->older == HR_NO_STREAM)
		list->oldest = s->newer;
	else
		w->streams[s->older].newer = s->newer;
	if (s->newer == HR_NO_STREAM)
		list->newest = s->older;
	else
		w->streams[s->newer].older = s->older;
	list->n--;
}

static void list_append(struct hr_windows *w, struct hr_stream_list *list, uint32_t at)
{
	struct hr_stream *s = &w->streams[at];

	s->older = list->newest;
	s->newer = HR_NO_STREAM;
	if (list->newest == HR_NO_STREAM)
		list->oldest = at;
	else
		w->streams[list->newest].newer = at;
	list->newest = at;
	list->n++;
}

/* ---- slots ---- */

/* Slot of the stream, or the empty one where its search ends. */
static inline uint32_t slot_find(const struct hr_windows *w, uint32_t hash,
				 uint64_t birth, uint64_t random)
{
	uint32_t at = hash & w->slot_mask;

	for (;; at = (at + 1) & w->slot_mask) {
		const struct hr_stream_slot *slot = &w->slots[at];

		if (slot->stream == HR_NO_STREAM)
			return at;
		if (slot->hash == hash && w->streams[slot->stream].birth == birth &&
		    w->streams[slot->stream].random == random)
			return at;
	}
}

/* Whether what stands at a slot may not move up to the hole: its home lies between. */
static inline bool is_nearer(uint32_t home, uint32_t at, uint32_t hole, uint32_t mask)
{
	return ((at - home) & mask) < ((at - hole) & mask);
}

/* Close the hole: whatever stands behind it and may stand nearer to its home moves
 * up, so that no search ends early and no marks of the dead pile up. */
static void slot_clear(struct hr_windows *w, uint32_t hole)
{
	const uint32_t mask = w->slot_mask;

	for (uint32_t at = (hole + 1) & mask; w->slots[at].stream != HR_NO_STREAM;
	     at = (at + 1) & mask) {
		if (is_nearer(w->slots[at].hash & mask, at, hole, mask))
			continue;
		w->slots[hole] = w->slots[at];
		hole = at;
	}
	w->slots[hole].stream = HR_NO_STREAM;
}

/* ---- shares of the write keys ---- */

static inline uint32_t key_home(const struct hr_windows *w, uint32_t key_id)
{
	const uint64_t mixed = (key_id ^ w->seed) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(mixed >> 32) & w->slot_mask;
}

/* Its place, or the empty one where its search ends. */
static uint32_t key_find(const struct hr_windows *w, uint32_t key_id)
{
	uint32_t at = key_home(w, key_id);

	while (w->keys[at].n != 0 && w->keys[at].key_id != key_id)
		at = (at + 1) & w->slot_mask;
	return at;
}

static void key_take(struct hr_windows *w, uint32_t key_id)
{
	struct hr_stream_key *key = &w->keys[key_find(w, key_id)];

	key->key_id = key_id;
	key->n++;
}

static void key_give(struct hr_windows *w, uint32_t key_id)
{
	const uint32_t mask = w->slot_mask;
	uint32_t hole = key_find(w, key_id);

	if (--w->keys[hole].n > 0)
		return;
	for (uint32_t at = (hole + 1) & mask; w->keys[at].n != 0;
	     at = (at + 1) & mask) {
		if (is_nearer(key_home(w, w->keys[at].key_id), at, hole, mask))
			continue;
		w->keys[hole] = w->keys[at];
		hole = at;
	}
	w->keys[hole].n = 0;
}

/* ---- streams come and go ---- */

static void forget(struct hr_windows *w, uint32_t at)
{
	struct hr_stream *s = &w->streams[at];

	slot_clear(w, slot_find(w, s->hash, s->birth, s->random));
	key_give(w, s->key_id);
	list_remove(w, &w->lists[hr_stream_class(s)], s);
	s->newer = w->free;
	w->free = at;
	w->n_streams--;
}

/* There is a free one. */
static uint32_t remember(struct hr_windows *w, const struct hr_stream *stream,
			 uint32_t hash)
{
	const uint32_t at = w->free;
	struct hr_stream *s = &w->streams[at];

	w->free = s->newer;
	*s = *stream;
	s->hash = hash;
	list_append(w, &w->lists[hr_stream_class(s)], at);
	key_take(w, s->key_id);
	w->n_streams++;
	w->slots[slot_find(w, hash, s->birth, s->random)] =
		(struct hr_stream_slot){ hash, at };
	return at;
}

static bool expire_one(struct hr_windows *w, const struct hr_window_rules *rules)
{
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++) {
		const uint32_t at = w->lists[i].oldest;

		if (at == HR_NO_STREAM || !hr_stream_is_dead(&w->streams[at], rules))
			continue;
		forget(w, at);
		return true;
	}
	return false;
}

void hr_windows_expire(struct hr_windows *w, const struct hr_window_rules *rules,
		       uint32_t at_most)
{
	while (at_most > 0 && expire_one(w, rules))
		at_most--;
}

static inline bool is_full(const struct hr_windows *w,
			   const struct hr_window_rules *rules, uint32_t key_id)
{
	return w->n_streams >= rules->max_streams || w->free == HR_NO_STREAM ||
	       w->keys[key_find(w, key_id)].n >= rules->max_per_key;
}

/* The newest stay at the end of the list; within one clock there is no order. */
static void touch(struct hr_windows *w, uint32_t at, uint64_t clock_us)
{
	struct hr_stream *s = &w->streams[at];
	struct hr_stream_list *list = &w->lists[hr_stream_class(s)];

	if (s->last_clock_us == clock_us)
		return;
	s->last_clock_us = clock_us;
	if (list->newest == at)
		return;
	list_remove(w, list, s);
	list_append(w, list, at);
}

/* ---- judging ---- */

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

/* A SKIP says that nothing up to its number comes any more: all of them are gaps. */
static inline enum hr_window_verdict floor_judge(struct hr_stream *s,
						 const struct hr_item *item,
						 struct hr_window_gaps *gaps)
{
	if (item->sequence <= s->highest)
		return HR_WINDOW_REPEATED;
	gaps->gaps += item->sequence - s->highest - (item->kind == HR_ITEM_DATAGRAM);
	s->highest = item->sequence;
	return HR_WINDOW_FRESH;
}

static bool has_floor(const struct hr_item *item)
{
	return item->kind == HR_ITEM_SKIP || (item->flags & HR_ITEM_ORDERED) != 0;
}

static enum hr_window_verdict stream_begin(struct hr_windows *w,
					   const struct hr_window_rules *rules,
					   uint32_t hash, const struct hr_item *item,
					   struct hr_window_gaps *gaps)
{
	struct hr_stream s = { .birth = item->birth,
			       .random = item->random,
			       .last_clock_us = rules->clock_us,
			       .key_id = item->key_id };

	while (is_full(w, rules, item->key_id))
		if (!expire_one(w, rules))
			return HR_WINDOW_FULL;
	if (has_floor(item))
		return floor_judge(&w->streams[remember(w, &s, hash)], item, gaps);
	s.highest = s.first = item->sequence;
	s.seen = 1;
	remember(w, &s, hash);
	return HR_WINDOW_FRESH;
}

static enum hr_window_verdict judge(struct hr_windows *w,
				    const struct hr_window_rules *rules, uint32_t hash,
				    const struct hr_item *item,
				    struct hr_window_gaps *gaps)
{
	uint32_t at = w->slots[slot_find(w, hash, item->birth, item->random)].stream;
	struct hr_stream *s;

	if (at != HR_NO_STREAM && hr_stream_is_dead(&w->streams[at], rules)) {
		forget(w, at); /* nobody has come by to do it */
		at = HR_NO_STREAM;
	}
	if (at == HR_NO_STREAM)
		return stream_begin(w, rules, hash, item, gaps);
	s = &w->streams[at];
	if (s->key_id != item->key_id)
		return HR_WINDOW_FOREIGN;
	if (s->seen == 0) {
		touch(w, at, rules->clock_us);
		return floor_judge(s, item, gaps);
	}
	if (item->kind == HR_ITEM_SKIP)
		return HR_WINDOW_FRESH; /* a window has no floor to raise */
	touch(w, at, rules->clock_us);
	return window_judge(s, item->sequence, gaps);
}

static inline bool has_stream(const struct hr_item *item)
{
	return item->kind == HR_ITEM_DATAGRAM || item->kind == HR_ITEM_SKIP;
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
		hashes[i] = hash_of(w, items[i].birth, items[i].random);
		__builtin_prefetch(&w->slots[hashes[i] & w->slot_mask]);
	}
	for (uint32_t i = 0; i < n; i++)
		prefetch_stream(w, hashes[i]);
	for (uint32_t i = 0; i < n; i++)
		verdicts[i] =
			has_stream(&items[i])
				? (uint8_t)judge(w, rules, hashes[i], &items[i], gaps)
				: HR_WINDOW_FRESH;
}

/* ---- questions ---- */

const struct hr_stream *hr_windows_find(const struct hr_windows *w,
					const struct hr_window_rules *rules,
					uint64_t birth, uint64_t random)
{
	const uint32_t hash = hash_of(w, birth, random);
	const uint32_t at = w->slots[slot_find(w, hash, birth, random)].stream;

	if (at == HR_NO_STREAM || hr_stream_is_dead(&w->streams[at], rules))
		return NULL;
	return &w->streams[at];
}

/* The dead that still hang in the lists, of one key or (NULL) of all, up to enough. */
static uint64_t count_dead(const struct hr_windows *w,
			   const struct hr_window_rules *rules, const uint32_t *key_id,
			   uint64_t enough)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++) {
		uint32_t at = w->lists[i].oldest;

		for (; at != HR_NO_STREAM && n < enough; at = w->streams[at].newer) {
			if (!hr_stream_is_dead(&w->streams[at], rules))
				break;
			n += key_id == NULL || w->streams[at].key_id == *key_id;
		}
	}
	return n;
}

bool hr_windows_has_room(const struct hr_windows *w,
			 const struct hr_window_rules *rules, uint32_t key_id,
			 uint32_t n_others, uint32_t n_others_of_key)
{
	const uint64_t n = (uint64_t)w->n_streams + n_others + 1;
	const uint64_t of_key =
		(uint64_t)w->keys[key_find(w, key_id)].n + n_others_of_key + 1;

	if (n > rules->max_streams &&
	    count_dead(w, rules, NULL, n - rules->max_streams) < n - rules->max_streams)
		return false;
	return of_key <= rules->max_per_key ||
	       count_dead(w, rules, &key_id, of_key - rules->max_per_key) >=
		       of_key - rules->max_per_key;
}

bool hr_windows_restore(struct hr_windows *w, const struct hr_stream *stream)
{
	const uint32_t hash = hash_of(w, stream->birth, stream->random);
	const uint32_t at = slot_find(w, hash, stream->birth, stream->random);

	if (w->free == HR_NO_STREAM || w->slots[at].stream != HR_NO_STREAM)
		return false;
	remember(w, stream, hash);
	return true;
}
