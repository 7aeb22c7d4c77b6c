/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The hot half of fold: once per item in hr_fold_raise(), once per event in
 * hr_fold_step(). A step takes batches: first every event of the batch is parsed and
 * its user's hash started on its way into the cache, then the table's slots, then the
 * rows, and only then they are touched.
 */

#include "dataplane/fold/fold_impl.h"

#include "common/crash_point.h"
#include "common/murmur2.h"
#include "common/mutant.h"
#include "common/siphash.h"
#include "common/wire.h"
#include "dataplane/poison/notes.h"

/* An event that will be counted, on its way to its user's row. */
struct lane {
	uint32_t event;
	uint32_t hash;
	uint32_t slot;
};

struct batch {
	uint32_t first; /* entry */
	uint32_t n_lanes;
	uint32_t n_missing; /* behind the batch's last entry; ends a batch */
	struct lane lanes[HR_FOLD_BATCH];
};

/* ---- once per item ---- */

static bool holds_events(const struct hr_item *item)
{
	return item->kind == HR_ITEM_DATAGRAM || item->kind == HR_ITEM_EVENT;
}

/* The next items that a stream or an event has to do with, at most a burst of them. */
static uint32_t items_take(struct hr_str body, uint32_t *cursor, struct hr_item *items)
{
	uint32_t n = 0;

	while (n < HR_WINDOWS_BURST && hr_item_next(body, cursor, &items[n]) > 0)
		n += holds_events(&items[n]) || items[n].kind == HR_ITEM_SKIP;
	return n;
}

/* Only what holds events has a fate. */
static uint32_t fates_keep(const struct hr_item *items, const uint8_t *verdicts,
			   uint32_t n, uint8_t *fates)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		if (holds_events(&items[i]))
			fates[kept++] = verdicts[i];
	return kept;
}

static uint64_t expiry_clock_us(const struct hr_link *link)
{
	if (HR_MUTANT(expiry_by_wall) && link->oldest_received_us != 0)
		return link->oldest_received_us;
	return link->clock_us;
}

void hr_fold_raise(struct hr_fold *fold, const struct hr_link *link,
		   struct hr_window_gaps *gaps)
{
	const struct hr_window_rules rules = hr_fold_rules(fold, expiry_clock_us(link));
	struct hr_item items[HR_WINDOWS_BURST];
	uint8_t verdicts[HR_WINDOWS_BURST];
	uint32_t cursor = 0, at = 0, n;

	hr_windows_expire(&fold->windows, &rules, HR_FOLD_EXPIRE_MAX);
	hr_dedup_expire(&fold->dedup, &fold->dedup_rules, HR_FOLD_EXPIRE_MAX);
	while ((n = items_take(link->body, &cursor, items)) > 0) {
		hr_windows_judge_burst(&fold->windows, &rules, items, n, verdicts,
				       gaps);
		at += fates_keep(items, verdicts, n, fold->fates + at);
	}
}

/* ---- what the receive path asks, once per datagram ---- */

enum hr_floor_is hr_fold_floor(const struct hr_fold *fold, uint64_t birth,
			       uint64_t random, uint32_t key_id, uint64_t clock_us,
			       uint64_t *floor)
{
	const struct hr_window_rules rules = hr_fold_rules(fold, clock_us);
	const struct hr_stream *s =
		hr_windows_find(&fold->windows, &rules, birth, random);

	*floor = 0;
	if (s == NULL)
		return HR_FLOOR_UNKNOWN;
	if (s->key_id != key_id)
		return HR_FLOOR_FOREIGN;
	if (s->seen != 0)
		return HR_FLOOR_WINDOW;
	*floor = s->highest;
	return HR_FLOOR_KNOWN;
}

bool hr_fold_has_stream_room(const struct hr_fold *fold, uint32_t key_id,
			     uint32_t n_tentative, uint32_t n_tentative_of_key,
			     uint64_t clock_us)
{
	const struct hr_window_rules rules = hr_fold_rules(fold, clock_us);

	return hr_windows_has_room(&fold->windows, &rules, key_id, n_tentative,
				   n_tentative_of_key);
}

/* ---- once per item, for its events ---- */

static int64_t received_ms(const struct hr_item *item)
{
	const uint64_t ms = item->received_us / 1000, last = 253402300799999u;

	return (int64_t)(ms < last ? ms : last);
}

static bool is_known(uint8_t codec)
{
	return codec == HR_CODEC_PROTOBUF || codec == HR_CODEC_JSON;
}

/* Returns false at the end of the body. */
static bool item_open(struct hr_fold *fold)
{
	struct hr_fold_item *it = &fold->item;
	struct hr_item item;

	do {
		it->at = fold->cursor;
		if (hr_item_next(fold->link->body, &fold->cursor, &item) <= 0)
			return false;
	} while (!holds_events(&item));
	it->left = item.n_events;
	it->fate = fold->fates[fold->datagram++];
	it->codec = item.codec;
	it->is_alone = item.kind == HR_ITEM_EVENT;
	it->received_ms = received_ms(&item);
	if (hr_fold_has(fold, 2)) /* of tests alone: whole seconds */
		it->received_ms -= it->received_ms % 1000;
	it->at_byte = item.payload.p;
	it->end = item.payload.p + item.payload.n;
	it->is_framed = is_known(item.codec) && !fold->is_poison;
	if (it->is_framed)
		hr_frames_init(&it->frames, item.codec, item.payload, false);
	return true;
}

/* ---- once per event ---- */

/*
 * The bytes of the item's next event: 1. 0: there are none, and whatever the item
 * still claims is missing. -1: the framing is broken; all that is left of the payload
 * is raw, for whoever looks for the bug that let it into the log.
 */
static int event_find(struct hr_fold_item *it, struct hr_str *raw)
{
	int r = it->is_framed ? hr_frames_next(&it->frames, raw) : -1;

	if (r > 0) {
		it->at_byte = raw->p + raw->n;
		return 1;
	}
	it->is_framed = false;
	*raw = (struct hr_str){ it->at_byte, (uint32_t)(it->end - it->at_byte) };
	it->at_byte = it->end;
	return r < 0 && raw->n > 0 ? -1 : 0;
}

static struct hr_out_event *entry_add(struct hr_fold *fold, struct hr_str raw)
{
	struct hr_out_event *e = &fold->out->events[fold->out->n_events++];

	e->raw = raw;
	e->user_row = HR_NO_ROW;
	e->next_of_user = HR_NO_ROW;
	e->item = fold->item.at;
	e->verdict = HR_COUNTED;
	e->reject = HR_REJECT_NONE;
	e->codec = fold->item.codec;
	e->has_made_id = 0;
	return e;
}

/* Of what cannot be taken apart, and of what must not be. */
static inline enum hr_reject unframed(const struct hr_fold *fold)
{
	return fold->is_poison ? HR_REJECT_POISON : HR_REJECT_SYNTAX;
}

static inline void reject(struct hr_out_event *e, enum hr_reject reason)
{
	e->verdict = HR_REJECTED;
	e->reject = (uint8_t)reason;
}

/* Repeated, without room or of another's stream: its bytes are not looked into. */
static bool is_decided(const struct hr_fold *fold, struct hr_out_event *e)
{
	if (fold->item.fate == HR_WINDOW_REPEATED)
		e->verdict = HR_REPEATED;
	else if (fold->item.fate == HR_WINDOW_FOREIGN)
		reject(e, HR_REJECT_STREAM_KEY);
	else if (fold->item.fate == HR_WINDOW_FULL ||
		 fold->position >= fold->config.setting[HR_CHAIN_MAX_EVENTS])
		reject(e, HR_REJECT_CAPACITY);
	else
		return false;
	memset(&e->event, 0, sizeof(e->event));
	return true;
}

static inline enum hr_reject event_parse(const struct hr_fold *fold,
					 struct hr_out_event *e)
{
	struct hr_arena *arena = &fold->out->arena;

	if (e->codec == HR_CODEC_PROTOBUF)
		return hr_event_parse_protobuf(&e->event, arena, e->raw.p, e->raw.n,
					       fold->item.received_ms);
	return hr_event_parse_json(&e->event, arena, e->raw.p, e->raw.n,
				   fold->item.received_ms);
}

/* "hr-<shard>-<n>-<index>", index being the event's number in the link from 0. */
static void id_make(struct hr_fold *fold, struct hr_str *id)
{
	struct hr_arena *arena = &fold->out->arena;
	uint8_t digits[10];
	uint32_t n = 0, index = fold->position;

	do
		digits[n++] = (uint8_t)('0' + index % 10);
	while ((index /= 10) != 0);
	id->p = arena->at;
	id->n = fold->prefix_bytes + n;
	memcpy(arena->at, fold->prefix, fold->prefix_bytes);
	arena->at += fold->prefix_bytes;
	while (n > 0)
		*arena->at++ = digits[--n];
}

/* toPositive(hash) % S without a division: the fraction of hash / S, in 64 bits,
 * times S (D. Lemire et al., "Faster remainder by direct computation", 2019; exact
 * for 32 bits). */
static inline bool is_ours(const struct hr_fold *fold, uint32_t hash)
{
	const uint64_t fraction = fold->shard_fraction * (hash & 0x7fffffffu);

	return (uint64_t)((unsigned __int128)fraction * fold->set.n_shards >> 64) ==
	       fold->shard;
}

/* user bytes u32 | user | id */
void hr_fold_identity(const struct hr_fold *fold, const struct hr_event *event,
		      struct hr_id128 *out)
{
	uint8_t bytes[4 + HR_USER_MAX + HR_EVENT_ID_MAX];
	const uint32_t user_bytes = event->user.n, id_bytes = event->id.n;

	hr_store32(bytes, user_bytes);
	memcpy(bytes + 4, event->user.p, user_bytes);
	memcpy(bytes + 4 + user_bytes, event->id.p, id_bytes);
	hr_siphash128(fold->set.hash_key, bytes, 4 + user_bytes + id_bytes, out->b);
}

/* Only an id that its sender gave tells it from others. */
static bool is_known_again(struct hr_fold *fold, const struct hr_event *event)
{
	struct hr_id128 identity;

	if (!fold->item.is_alone || fold->dedup_rules.max == 0)
		return false;
	hr_fold_identity(fold, event, &identity);
	return hr_dedup_take(&fold->dedup, &fold->dedup_rules, &identity,
			     &fold->out->dedup_evicted);
}

static void repeat(struct hr_fold *fold, struct hr_out_event *e)
{
	e->verdict = HR_REPEATED;
	memset(&e->event, 0, sizeof(e->event));
	fold->out->dedup_hits++;
}

/* A user of another shard is not named: whoever writes the event down would take it
 * for a key of this one. */
static void event_judge(struct hr_fold *fold, struct batch *b, struct hr_out_event *e)
{
	struct hr_str *user = &e->event.user;
	const enum hr_reject reason = event_parse(fold, e);
	uint32_t hash;

	HR_CRASH_IF_MARKED(FOLD, e->raw.p, e->raw.n);
	if (reason != HR_REJECT_NONE)
		reject(e, reason);
	if (user->n == 0)
		return;
	hash = hr_murmur2(user->p, user->n);
	if (!is_ours(fold, hash)) {
		*user = (struct hr_str){ NULL, 0 };
		if (reason == HR_REJECT_NONE)
			reject(e, HR_REJECT_WRONG_SHARD);
	}
	if (e->verdict != HR_COUNTED)
		return;
	if (e->event.id.n == 0) {
		id_make(fold, &e->event.id);
		e->has_made_id = 1;
	} else if (is_known_again(fold, &e->event)) {
		repeat(fold, e);
		return;
	}
	b->lanes[b->n_lanes++] =
		(struct lane){ .event = fold->out->n_events - 1, .hash = hash };
}

static void event_take(struct hr_fold *fold, struct batch *b, struct hr_str raw,
		       bool is_framed)
{
	struct hr_out_event *e = entry_add(fold, raw);

	if (!is_decided(fold, e)) {
		if (is_framed) {
			event_judge(fold, b, e);
		} else {
			memset(&e->event, 0, sizeof(e->event));
			reject(e, unframed(fold));
		}
	}
	fold->position++;
	fold->item.left--;
}

/* ---- users ---- */

/* Most are short: eight or four bytes at a time, the last ones overlapping. */
static inline bool users_equal(struct hr_str a, struct hr_str b)
{
	const uint32_t n = a.n;

	if (n != b.n)
		return false;
	if (n < 4)
		return hr_str_equals(a, b);
	if (n < 8)
		return hr_load32(a.p) == hr_load32(b.p) &&
		       hr_load32(a.p + n - 4) == hr_load32(b.p + n - 4);
	for (uint32_t i = 0; i < n - 8; i += 8)
		if (hr_load64(a.p + i) != hr_load64(b.p + i))
			return false;
	return hr_load64(a.p + n - 8) == hr_load64(b.p + n - 8);
}

static inline uint32_t slot_of(const struct hr_fold *fold, struct hr_str user)
{
	return (uint32_t)XXH3_64bits_withSeed(user.p, user.n, fold->user_seed) &
	       (fold->out->n_slots - 1);
}

static uint32_t user_add(struct hr_out *out, const struct lane *lane)
{
	const uint32_t row = out->n_users++;

	out->users[row] = (struct hr_out_user){
		.user = out->events[lane->event].event.user,
		.hash = lane->hash,
		.first_event = lane->event,
		.last_event = lane->event,
		.last_active_ms = out->events[lane->event].event.time_ms,
	};
	return row;
}

static uint32_t user_find(struct hr_out *out, const struct lane *lane)
{
	const struct hr_str user = out->events[lane->event].event.user;
	uint32_t at = lane->slot;

	for (;; at = (at + 1) & (out->n_slots - 1)) {
		const uint32_t row = out->slots[at];

		if (row == HR_NO_ROW)
			return out->slots[at] = user_add(out, lane);
		if (out->users[row].hash == lane->hash &&
		    users_equal(out->users[row].user, user))
			return row;
	}
}

static void event_count(struct hr_out *out, const struct lane *lane)
{
	struct hr_out_event *e = &out->events[lane->event];
	const uint32_t row = user_find(out, lane);
	struct hr_out_user *u = &out->users[row];

	e->user_row = row;
	if (u->last_event != lane->event)
		out->events[u->last_event].next_of_user = lane->event;
	u->last_event = lane->event;
	u->n_events++;
	u->n_views += e->event.type_no == HR_EVENT_PRODUCT_VIEW;
	u->n_purchases += e->event.type_no == HR_EVENT_PURCHASE;
	if (e->event.time_ms > u->last_active_ms)
		u->last_active_ms = e->event.time_ms;
}

/* ---- batches ---- */

static void slots_prefetch(const struct hr_fold *fold, struct batch *b)
{
	const struct hr_out *out = fold->out;

	for (uint32_t i = 0; i < b->n_lanes; i++) {
		struct lane *lane = &b->lanes[i];

		lane->slot = slot_of(fold, out->events[lane->event].event.user);
		__builtin_prefetch(&out->slots[lane->slot], 1);
	}
}

static void rows_prefetch(const struct hr_out *out, const struct batch *b)
{
	for (uint32_t i = 0; i < b->n_lanes; i++) {
		const uint32_t row = out->slots[b->lanes[i].slot];

		/* Or where a new user will go: nobody can foretell which. */
		__builtin_prefetch(&out->users[row == HR_NO_ROW ? out->n_users : row],
				   1);
	}
}

/* Returns how many events it took of max; fewer: missing ones, or the body's end. */
static uint32_t batch_take(struct hr_fold *fold, struct batch *b, uint32_t max)
{
	struct hr_out *out = fold->out;
	struct hr_str raw;
	uint32_t n = 0;

	while (n < max) {
		int r;

		if (fold->item.left == 0) {
			if (!item_open(fold))
				return n;
			continue;
		}
		r = event_find(&fold->item, &raw);
		if (r == 0 || out->n_events == out->max_events) {
			b->n_missing = fold->item.left;
			return n;
		}
		event_take(fold, b, raw, r > 0);
		n++;
	}
	return n;
}

/* The lanes are counted, and mostly the whole batch is lanes. */
static void verdicts_count(struct hr_out *out, const struct batch *b)
{
	out->verdicts[HR_COUNTED] += b->n_lanes;
	if (b->n_lanes == out->n_events - b->first)
		return;
	for (uint32_t i = b->first; i < out->n_events; i++) {
		const struct hr_out_event *e = &out->events[i];

		if (e->verdict == HR_COUNTED)
			continue;
		out->verdicts[e->verdict]++;
		out->rejects[e->reject]++;
	}
}

/* No bytes, so no entry; but the item claims them and the law wants them. */
static void missing_count(struct hr_fold *fold, uint32_t n)
{
	const struct {
		uint8_t verdict, reject;
	} becomes[] = {
		[HR_WINDOW_FRESH] = { HR_REJECTED, (uint8_t)unframed(fold) },
		[HR_WINDOW_REPEATED] = { HR_REPEATED, HR_REJECT_NONE },
		[HR_WINDOW_FULL] = { HR_REJECTED, HR_REJECT_CAPACITY },
		[HR_WINDOW_FOREIGN] = { HR_REJECTED, HR_REJECT_STREAM_KEY },
	};
	const uint8_t verdict = becomes[fold->item.fate].verdict;
	const uint8_t reason = becomes[fold->item.fate].reject;

	fold->out->verdicts[verdict] += n;
	fold->out->rejects[reason] += n;
	hr_digest_missing(&fold->rows, fold->item.at, verdict, reason, n);
	fold->position += n;
	fold->item.left = 0;
}

/* Returns how many of max it used; 0: the body is at its end. */
static uint32_t batch_fold(struct hr_fold *fold, uint32_t max)
{
	struct hr_out *out = fold->out;
	struct batch b;
	uint32_t used;

	b.first = out->n_events;
	b.n_lanes = 0;
	b.n_missing = 0;
	used = batch_take(fold, &b, max < HR_FOLD_BATCH ? max : HR_FOLD_BATCH);
	slots_prefetch(fold, &b);
	rows_prefetch(out, &b);
	for (uint32_t i = 0; i < b.n_lanes; i++)
		event_count(out, &b.lanes[i]);
	verdicts_count(out, &b);
	hr_digest_events(&fold->rows, fold->link, out->events + b.first,
			 out->n_events - b.first);
	if (b.n_missing == 0)
		return used;
	missing_count(fold, b.n_missing);
	return used + 1;
}

/* Their rows are final only now. */
static uint32_t users_fold(struct hr_fold *fold, uint32_t max)
{
	const uint32_t left = fold->out->n_users - fold->user;
	const uint32_t n = left < max ? left : max;

	hr_digest_users(&fold->rows, fold->out->users + fold->user, n);
	fold->user += n;
	return n;
}

static void totals_add(struct hr_fold_totals *totals, const struct hr_link *link)
{
	const struct hr_out *out = link->out;

	totals->logged += link->n_events;
	for (uint32_t i = 0; i < HR_FOLD_VERDICTS; i++)
		totals->verdicts[i] += out->verdicts[i];
	for (uint32_t i = 0; i < HR_REJECT_COUNT; i++)
		totals->rejects[i] += out->rejects[i];
	totals->gaps += out->gaps;
	totals->filled += out->filled;
	totals->dedup_hits += out->dedup_hits;
	totals->dedup_evicted += out->dedup_evicted;
	if (link->body_kind != HR_BODY_LOSS)
		return;
	totals->losses++;
	/* n u64: the last one that was lost; what is n now was the first. */
	if (hr_load64(link->body.p) >= link->n)
		totals->lost_links += hr_load64(link->body.p) - link->n + 1;
}

void hr_fold_advance(struct hr_fold *fold, const struct hr_link *link)
{
	fold->digest = link->out->digest;
	totals_add(&fold->totals, link);
	fold->n = link->n;
	fold->hash = link->hash;
	fold->phase = HR_FOLD_IDLE;
	fold->link = NULL;
	fold->out = NULL;
}

static void link_end(struct hr_fold *fold)
{
	struct hr_out *out = fold->out;

	out->rejects[HR_REJECT_NONE] = 0; /* everything that was not rejected */
	out->digest = fold->digest;
	hr_digest_end(&fold->rows, fold->link, &out->digest);
	hr_fold_advance(fold, fold->link);
}

static void step(struct hr_fold *fold, uint32_t max_events)
{
	while (fold->phase == HR_FOLD_EVENTS && max_events > 0) {
		const uint32_t used = batch_fold(fold, max_events);

		HR_CRASH_POINT(poison_link_half_folded);
		max_events -= used < max_events ? used : max_events;
		if (used == 0)
			fold->phase = HR_FOLD_USERS;
	}
	if (fold->phase == HR_FOLD_USERS) {
		max_events -= users_fold(fold, max_events);
		if (fold->user == fold->out->n_users)
			link_end(fold);
	}
}

bool hr_fold_step(struct hr_fold *fold, uint32_t max_events)
{
	if (fold->phase == HR_FOLD_IDLE)
		return true;
	hr_note_link(fold->shard, fold->link->n, &fold->link->hash);
	step(fold, max_events);
	hr_note_link_is_done();
	return fold->phase == HR_FOLD_IDLE;
}
