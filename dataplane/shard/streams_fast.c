/* SPDX-License-Identifier: BSD-3-Clause */

/* Once per question, and once per stream and link. */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>

#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/shard/streams_impl.h"

#define ROOM_UNIT 16u
#define ACK_UNITS                                                                      \
	((HR_WIRE_HEADER_BYTES + HR_ACK_BYTES + HR_WIRE_TAG_BYTES + ROOM_UNIT - 1) /   \
	 ROOM_UNIT)
/* What a datagram of usual size takes in an epoch, for the credit. */
#define DATAGRAM_BYTES (HR_ITEM_DATAGRAM_BYTES + HR_WIRE_DATAGRAM_MAX)
/* A stream may park in the place of one that has not been heard of for so long. */
#define CROWDED_OUT_MS 1000u
#define ACCEPTED_BURST 16u

/* ---- the table ------------------------------------------------------------------ */

uint32_t hr_streams_hash(const struct hr_streams *s, uint64_t birth, uint64_t random)
{
	const uint64_t id[2] = { birth, random };

	return (uint32_t)(XXH3_64bits_withSeed(id, sizeof(id), s->conf.seed) >> 32);
}

void hr_streams_prefetch_slot(const struct hr_streams *s, uint32_t hash)
{
	__builtin_prefetch(&s->slots[hash & s->slot_mask]);
}

void hr_streams_prefetch_line(const struct hr_streams *s, uint32_t hash)
{
	const struct hr_line_slot *slot = &s->slots[hash & s->slot_mask];

	if (slot->line == HR_NO_LINE)
		return;
	__builtin_prefetch(&s->lines[slot->line], 1);
	__builtin_prefetch(&s->lines[slot->line].heard_ms, 1);
}

/* The stream's slot, or the empty one where its search ends. */
static uint32_t slot_find(const struct hr_streams *s, uint32_t hash, uint64_t birth,
			  uint64_t random)
{
	uint32_t at = hash & s->slot_mask;

	for (;; at = (at + 1) & s->slot_mask) {
		const struct hr_line_slot *slot = &s->slots[at];

		if (slot->line == HR_NO_LINE)
			return at;
		if (slot->hash == hash && s->lines[slot->line].birth == birth &&
		    s->lines[slot->line].random == random)
			return at;
	}
}

static uint32_t line_find(const struct hr_streams *s, uint64_t birth, uint64_t random)
{
	const uint32_t hash = hr_streams_hash(s, birth, random);

	return s->slots[slot_find(s, hash, birth, random)].line;
}

/* Close the hole: whatever stands behind it and may stand nearer to its home moves
 * up, so that no search ends early. */
static void slot_clear(struct hr_streams *s, uint32_t hole)
{
	const uint32_t mask = s->slot_mask;

	for (uint32_t at = (hole + 1) & mask; s->slots[at].line != HR_NO_LINE;
	     at = (at + 1) & mask) {
		const uint32_t home = s->slots[at].hash & mask;

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		s->slots[hole] = s->slots[at];
		hole = at;
	}
	s->slots[hole].line = HR_NO_LINE;
}

static void list_remove(struct hr_streams *s, struct hr_line_list *list,
			const struct hr_stream_line *line)
{
	if (line->older == HR_NO_LINE)
		list->oldest = line->newer;
	else
		s->lines[line->older].newer = line->newer;
	if (line->newer == HR_NO_LINE)
		list->newest = line->older;
	else
		s->lines[line->newer].older = line->older;
}

static void list_append(struct hr_streams *s, struct hr_line_list *list, uint32_t at)
{
	struct hr_stream_line *line = &s->lines[at];

	line->older = list->newest;
	line->newer = HR_NO_LINE;
	if (list->newest == HR_NO_LINE)
		list->oldest = at;
	else
		s->lines[list->newest].newer = at;
	list->newest = at;
}

static struct hr_line_list *list_of(struct hr_streams *s,
				    const struct hr_stream_line *line)
{
	return line->flags & HR_LINE_ACTIVE ? &s->active : &s->quiet;
}

/* ---- streams that fold does not know yet, by key -------------------------------- */

static struct hr_key_count *key_find(struct hr_streams *s, uint32_t key_id)
{
	uint32_t at = key_id * 2654435769u >> 21; /* 2,048 places */

	while (s->keys[at].is_used && s->keys[at].key_id != key_id)
		at = (at + 1) % HR_KEY_PLACES;
	return &s->keys[at];
}

_Static_assert(HR_KEY_PLACES == 1u << (32 - 21), "the shift above");

static void count_new(struct hr_streams *s, struct hr_stream_line *line)
{
	struct hr_key_count *key = key_find(s, line->key_id);

	*key = (struct hr_key_count){ line->key_id, key->n + 1, true };
	line->flags |= HR_LINE_NEW;
	s->n_new++;
}

static void is_known(struct hr_streams *s, struct hr_stream_line *line)
{
	if ((line->flags & HR_LINE_NEW) == 0)
		return;
	line->flags &= (uint8_t)~HR_LINE_NEW;
	key_find(s, line->key_id)->n--;
	s->n_new--;
}

/* ---- lines come and go ------------------------------------------------------------ */

void hr_line_forget(struct hr_streams *s, uint32_t at)
{
	struct hr_stream_line *line = &s->lines[at];
	const uint32_t hash = hr_streams_hash(s, line->birth, line->random);

	assert(line->parked == 0 && (line->flags & HR_LINE_DUE) == 0);
	is_known(s, line);
	slot_clear(s, slot_find(s, hash, line->birth, line->random));
	list_remove(s, list_of(s, line), line);
	if (line->flags & HR_LINE_ACTIVE)
		s->n_active--;
	line->newer = s->free;
	s->free = at;
	s->n_lines--;
}

static bool is_active(const struct hr_stream_line *line)
{
	return line->taken != line->floor || line->parked != 0 ||
	       (line->flags & HR_LINE_DUE) != 0;
}

static void set_active(struct hr_streams *s, uint32_t at, bool active)
{
	struct hr_stream_line *line = &s->lines[at];

	if (((line->flags & HR_LINE_ACTIVE) != 0) == active)
		return;
	list_remove(s, list_of(s, line), line);
	line->flags ^= HR_LINE_ACTIVE;
	list_append(s, list_of(s, line), at);
	s->n_active += active ? 1 : -1u;
}

void hr_line_settle(struct hr_streams *s, uint32_t at)
{
	const bool active = is_active(&s->lines[at]);

	/* Nothing of it is anywhere: it must not use up its key's share. */
	if (!active && (s->lines[at].flags & HR_LINE_NEW) != 0)
		hr_line_forget(s, at);
	else
		set_active(s, at, active);
}

/* A line for a stream that has none; HR_NO_LINE: all are active. */
static uint32_t line_new(struct hr_streams *s, const struct hr_wire *w, uint64_t floor)
{
	const uint32_t hash = hr_streams_hash(s, w->birth, w->random);
	struct hr_stream_line *line;
	uint32_t at;

	if (s->free == HR_NO_LINE && s->quiet.oldest != HR_NO_LINE)
		hr_line_forget(s, s->quiet.oldest);
	at = s->free;
	if (at == HR_NO_LINE)
		return at;
	line = &s->lines[at];
	s->free = line->newer;
	*line = (struct hr_stream_line){
		.birth = w->birth,
		.random = w->random,
		.floor = floor,
		.taken = floor,
		.key_id = w->key_id,
		.first = HR_NO_PARKED,
	};
	list_append(s, &s->quiet, at);
	s->n_lines++;
	/* Only now: forgetting may have moved slots. */
	s->slots[slot_find(s, hash, w->birth, w->random)] =
		(struct hr_line_slot){ hash, at };
	return at;
}

/* ---- the arena ------------------------------------------------------------------- */

static uint16_t arena_get(struct hr_streams *s)
{
	uint16_t at = s->free_parked;

	if (at != HR_NO_PARKED)
		s->free_parked = s->parked[at].next;
	else if (s->n_touched < HR_PARKED_MAX)
		at = (uint16_t)s->n_touched++;
	s->n_parked += at != HR_NO_PARKED;
	return at;
}

static void arena_put(struct hr_streams *s, uint16_t at)
{
	s->parked[at].next = s->free_parked;
	s->free_parked = at;
	s->n_parked--;
}

uint32_t hr_line_unpark(struct hr_streams *s, struct hr_stream_line *line)
{
	uint32_t n = 0;

	for (uint16_t at = line->first, next; at != HR_NO_PARKED; at = next, n++) {
		next = s->parked[at].next;
		arena_put(s, at);
	}
	line->first = HR_NO_PARKED;
	line->parked = 0;
	return n;
}

/* What is parked of the stream that was active for longest goes, if nothing was heard
 * of it for stale_ms; else that stream goes to the list's other end, and the next call
 * looks at another. */
static uint32_t displace(struct hr_streams *s, uint32_t now_ms, uint32_t stale_ms)
{
	const uint32_t at = s->active.oldest;
	struct hr_stream_line *line;
	uint32_t n;

	if (at == HR_NO_LINE)
		return 0;
	line = &s->lines[at];
	if (line->parked == 0 || now_ms - line->heard_ms < stale_ms) {
		list_remove(s, &s->active, line);
		list_append(s, &s->active, at);
		return 0;
	}
	n = hr_line_unpark(s, line);
	hr_line_settle(s, at);
	return n;
}

static void park(struct hr_streams *s, struct hr_stream_line *line, uint16_t slot,
		 const struct hr_item *item)
{
	struct hr_parked *p = &s->parked[slot];
	uint16_t *at = &line->first;

	p->item = *item;
	p->item.payload.p = p->payload;
	memcpy(p->payload, item->payload.p, item->payload.n);
	while (*at != HR_NO_PARKED && s->parked[*at].item.sequence < item->sequence)
		at = &s->parked[*at].next;
	p->next = *at;
	*at = slot;
	line->parked |= 1ull << (item->sequence - line->taken - 1);
	HR_CRASH_POINT(datagram_parked);
}

/* ---- credit ------------------------------------------------------------------------ */

/* Datagrams beyond its floor that this stream may have under way: its part of what the
 * budget still takes, beside what of it was taken already. */
static uint32_t credit_of(const struct hr_streams *s, const struct hr_stream_line *line)
{
	const uint64_t n_free = hr_intake_free_bytes(s->conf.intake) / DATAGRAM_BYTES;
	const uint64_t under_way = line->taken - line->floor;
	uint64_t share;

	if (n_free == 0)
		return 0;
	share = s->n_active > 1 ? n_free / s->n_active : n_free;
	share = (share > 0 ? share : 1) + under_way;
	return share < HR_CREDIT_MAX ? (uint32_t)share : HR_CREDIT_MAX;
}

/* ---- answers ------------------------------------------------------------------------ */

static struct hr_answer answer_to(const struct hr_streams *s,
				  const struct hr_question *q, uint8_t kind)
{
	return (struct hr_answer){
		.kind = kind,
		.room = q->bytes,
		.shard = s->conf.shard,
		.key_id = q->wire.key_id,
		.attempt = q->wire.attempt,
		.birth = q->wire.birth,
		.random = q->wire.random,
		.incarnation = HR_MUTANT(ack_no_incarnation) ? 0 : s->incarnation,
	};
}

static uint64_t ones(uint64_t n)
{
	return n < 64 ? (1ull << n) - 1 : UINT64_MAX;
}

/* What is held beyond the floor: what was taken in order, and what is parked. */
static uint64_t held(const struct hr_stream_line *line)
{
	const uint64_t n = line->taken - line->floor;

	return ones(n) | (n < 64 ? line->parked << n : 0);
}

static void say_floor(struct hr_answer *a, const struct hr_streams *s,
		      const struct hr_stream_line *line, bool is_committed)
{
	a->credit = credit_of(s, line);
	a->meaning = is_committed ? HR_ACK_COMMITTED : HR_ACK_RECEIVED;
	a->sequence = is_committed ? line->floor : line->taken;
	a->parked = is_committed ? held(line) : line->parked;
}

static void busy(const struct hr_streams *s, const struct hr_question *q,
		 const struct hr_streams_now *now, uint8_t reason,
		 struct hr_reply *reply)
{
	if (!now->may_ack)
		return;
	reply->answer = answer_to(s, q, HR_KIND_BUSY);
	reply->answer.reason = reason;
	reply->answer.wait_ms = HR_BUSY_WAIT_MS;
}

/* To a datagram that brought nothing new. */
static void ack_again(const struct hr_streams *s, struct hr_stream_line *line,
		      const struct hr_question *q, const struct hr_streams_now *now,
		      struct hr_reply *reply)
{
	const uint32_t now_ms = (uint32_t)(now->mono_us / 1000);

	if (!now->may_ack || (uint16_t)(now_ms - line->again_ms) < HR_ACK_AGAIN_MS)
		return;
	line->again_ms = (uint16_t)now_ms;
	reply->answer = answer_to(s, q, HR_KIND_ACK);
	say_floor(&reply->answer, s, line, q->wire.sequence <= line->floor);
}

/* ---- verdicts ------------------------------------------------------------------------ */

static struct hr_verdict_of done(enum hr_outcome outcome)
{
	return (struct hr_verdict_of){ .outcome = outcome };
}

static struct hr_verdict_of drop(enum hr_drop why)
{
	return (struct hr_verdict_of){ .outcome = HR_OUTCOME_DROP, .drop = why };
}

static struct hr_item item_of(const struct hr_question *q)
{
	const struct hr_wire *w = &q->wire;
	struct hr_item item = {
		.kind = HR_ITEM_DATAGRAM,
		.codec = w->codec,
		.family = (uint8_t)q->from.family,
		.n_events = w->n_events,
		.source_port = q->from.source_port,
		.flags = w->flags,
		.key_id = w->key_id,
		.client_drops = w->client_drops,
		.birth = w->birth,
		.random = w->random,
		.sequence = w->sequence,
		.sent_us = w->sent_us,
		.received_us = q->received_us,
		.payload = w->payload,
	};

	if (!HR_MUTANT(floors_not_logged))
		item.flags |= HR_ITEM_ORDERED;
	memcpy(item.source, q->from.source, sizeof(item.source));
	return item;
}

static void move_up(struct hr_stream_line *line, uint64_t by)
{
	line->taken += by;
	line->parked = by < 64 ? line->parked >> by : 0;
}

/* The next of its stream into the open epoch; what the sender waits for may use the
 * reserve. */
static enum hr_drop admit(struct hr_streams *s, struct hr_stream_line *line,
			  const struct hr_item *item, bool is_urgent, uint64_t mono_us)
{
	enum hr_drop no = is_urgent ? hr_intake_add_next(s->conf.intake, item, mono_us)
				    : hr_intake_add(s->conf.intake, item, mono_us);

	if (no == HR_DROP_NONE)
		move_up(line, 1);
	return no;
}

/* What is parked at taken + 1 and behind it. */
static enum hr_drop drain(struct hr_streams *s, struct hr_stream_line *line,
			  uint64_t mono_us)
{
	enum hr_drop no = HR_DROP_NONE;

	while ((line->parked & 1) != 0) {
		const uint16_t at = line->first;

		no = admit(s, line, &s->parked[at].item, line->taken == line->floor,
			   mono_us);
		if (no != HR_DROP_NONE)
			break;
		line->first = s->parked[at].next;
		arena_put(s, at);
	}
	return no;
}

static struct hr_verdict_of take_next(struct hr_streams *s, struct hr_stream_line *line,
				      const struct hr_question *q,
				      const struct hr_streams_now *now,
				      struct hr_reply *reply)
{
	const struct hr_item item = item_of(q);
	const bool is_urgent = line->taken == line->floor;
	enum hr_drop no;

	if (HR_MUTANT(floor_next_refused) && credit_of(s, line) == 0)
		return drop(HR_DROP_NO_CREDIT);
	no = admit(s, line, &item, is_urgent, now->mono_us);
	if (no == HR_DROP_NONE) {
		HR_CRASH_POINT(datagram_taken);
		drain(s, line, now->mono_us);
		return done(HR_OUTCOME_TAKEN);
	}
	if (no != HR_DROP_EPOCH_FULL)
		return drop(no);
	if (is_urgent) {
		busy(s, q, now, HR_BUSY_BUDGET, reply);
		return drop(HR_DROP_EPOCH_FULL);
	}
	ack_again(s, line, q, now, reply);
	return drop(HR_DROP_NO_CREDIT);
}

/* A datagram with others missing before it. */
static struct hr_verdict_of take_ahead(struct hr_streams *s,
				       struct hr_stream_line *line,
				       const struct hr_question *q,
				       const struct hr_streams_now *now,
				       struct hr_reply *reply)
{
	const struct hr_item item = item_of(q);
	struct hr_verdict_of v = done(HR_OUTCOME_TAKEN);
	uint16_t slot = HR_NO_PARKED;

	if (q->wire.sequence - line->floor <= credit_of(s, line)) {
		slot = arena_get(s);
		if (slot == HR_NO_PARKED) {
			v.n_displaced = displace(s, (uint32_t)(now->mono_us / 1000),
						 CROWDED_OUT_MS);
			slot = arena_get(s);
		}
	}
	if (slot == HR_NO_PARKED) {
		v.outcome = HR_OUTCOME_DROP;
		v.drop = HR_DROP_NO_CREDIT;
	} else {
		park(s, line, slot, &item);
	}
	ack_again(s, line, q, now, reply);
	return v;
}

static struct hr_verdict_of take_data(struct hr_streams *s, struct hr_stream_line *line,
				      const struct hr_question *q,
				      const struct hr_streams_now *now,
				      struct hr_reply *reply)
{
	const uint64_t ahead = q->wire.sequence - line->taken; /* of a later one */

	if (q->wire.sequence > line->taken) {
		if (ahead == 1 && (line->parked & 1) == 0)
			return take_next(s, line, q, now, reply);
		if (ahead > HR_PARKED_AHEAD) {
			ack_again(s, line, q, now, reply);
			return drop(HR_DROP_AHEAD);
		}
		if ((line->parked >> (ahead - 1) & 1) == 0)
			return take_ahead(s, line, q, now, reply);
		/* It waits for room only: perhaps there is some now. */
		drain(s, line, now->mono_us);
	}
	ack_again(s, line, q, now, reply);
	return done(HR_OUTCOME_REPEATED);
}

/* Up to the next that is parked, or to where the sender says. */
static enum hr_drop skip_hole(struct hr_streams *s, struct hr_stream_line *line,
			      uint64_t up_to, uint64_t mono_us)
{
	struct hr_item item = {
		.kind = HR_ITEM_SKIP,
		.key_id = line->key_id,
		.birth = line->birth,
		.random = line->random,
		.sequence = up_to,
	};
	enum hr_drop no;

	if (line->parked != 0) {
		const uint64_t hole = (uint64_t)__builtin_ctzll(line->parked);

		if (hole < up_to - line->taken)
			item.sequence = line->taken + hole;
	}
	no = hr_intake_skip(s->conf.intake, &item, mono_us);
	if (no == HR_DROP_NONE)
		move_up(line, item.sequence - line->taken);
	return no;
}

static struct hr_verdict_of take_skip(struct hr_streams *s, struct hr_stream_line *line,
				      const struct hr_question *q,
				      const struct hr_streams_now *now,
				      struct hr_reply *reply)
{
	enum hr_drop no = HR_DROP_NONE;

	while (line->taken < q->wire.sequence && no == HR_DROP_NONE) {
		const uint16_t at = line->first;

		if ((line->parked & 1) == 0) {
			no = skip_hole(s, line, q->wire.sequence, now->mono_us);
			continue;
		}
		no = admit(s, line, &s->parked[at].item, true, now->mono_us);
		if (no == HR_DROP_NONE) {
			line->first = s->parked[at].next;
			arena_put(s, at);
		}
	}
	if (no == HR_DROP_EPOCH_FULL)
		busy(s, q, now, HR_BUSY_BUDGET, reply);
	if (no != HR_DROP_NONE)
		return drop(no);
	drain(s, line, now->mono_us);
	if (now->may_ack) {
		reply->answer = answer_to(s, q, HR_KIND_ACK);
		say_floor(&reply->answer, s, line, q->wire.sequence <= line->floor);
	}
	return done(HR_OUTCOME_ANSWERED);
}

/* ---- unknown streams, and shards that are not ours ------------------------------------ */

static uint64_t judging_clock(const struct hr_streams_now *now)
{
	return HR_MUTANT(expiry_by_wall) ? now->wall_us : now->clock_us;
}

/* The stream is over for its sender, whatever its birth. */
static void over(const struct hr_streams *s, const struct hr_question *q,
		 const struct hr_streams_now *now, struct hr_reply *reply)
{
	if (!now->may_ack)
		return;
	reply->answer = answer_to(s, q, HR_KIND_EXPIRED);
	reply->answer.server_us = now->clock_us;
	reply->answer.span_us = HR_EXPIRED_ANY;
}

/* Of another write key. Its sender is told when the log says so: what is tentative may
 * come to nothing, and then the stream is nobody's. */
static struct hr_verdict_of foreign(const struct hr_streams *s,
				    const struct hr_question *q,
				    const struct hr_streams_now *now,
				    struct hr_reply *reply)
{
	uint64_t floor;

	if (hr_fold_floor(s->conf.fold, q->wire.birth, q->wire.random, q->wire.key_id,
			  now->clock_us, &floor) == HR_FLOOR_FOREIGN)
		over(s, q, now, reply);
	return drop(HR_DROP_STREAM_KEY);
}

static struct hr_verdict_of expired(const struct hr_streams *s,
				    const struct hr_question *q,
				    const struct hr_streams_now *now,
				    struct hr_reply *reply)
{
	const uint64_t *setting = hr_fold_config(s->conf.fold)->setting;
	const uint64_t lives =
		setting[HR_CHAIN_STREAM_MAX_AGE_US] +
		setting[q->wire.birth & HR_BIRTH_DISK_CLASS ? HR_CHAIN_TTL_DISK_US
							    : HR_CHAIN_TTL_MEMORY_US];

	if (now->may_ack) {
		reply->answer = answer_to(s, q, HR_KIND_EXPIRED);
		reply->answer.server_us = now->clock_us;
		reply->answer.span_us =
			now->clock_us > lives ? now->clock_us - lives : 0;
	}
	return drop(HR_DROP_EXPIRED);
}

/* A stream without a line: where it stands, or why it may not begin. Returns whether
 * *floor says where; is_new: fold does not know it. */
static bool look_up(const struct hr_streams *s, const struct hr_question *q,
		    const struct hr_streams_now *now, uint64_t *floor, bool *is_new,
		    struct hr_verdict_of *v, struct hr_reply *reply)
{
	const struct hr_wire *w = &q->wire;
	const uint64_t clock_us = judging_clock(now);
	enum hr_floor_is is = hr_fold_floor(s->conf.fold, w->birth, w->random,
					    w->key_id, clock_us, floor);

	*is_new = is == HR_FLOOR_UNKNOWN;
	if (is == HR_FLOOR_KNOWN)
		return true;
	if (is == HR_FLOOR_FOREIGN) {
		*v = foreign(s, q, now, reply);
		return false;
	}
	/* A window knows no order: what of it was taken cannot be told. */
	if (is == HR_FLOOR_WINDOW) {
		over(s, q, now, reply);
		*v = drop(HR_DROP_EXPIRED);
		return false;
	}
	if (!HR_MUTANT(no_birth) &&
	    hr_fold_is_expired(s->conf.fold, w->birth, clock_us)) {
		*v = expired(s, q, now, reply);
		return false;
	}
	if (HR_BIRTH_US(w->birth) > clock_us + HR_BIRTH_AHEAD_US) {
		*v = drop(HR_DROP_BIRTH_FUTURE);
		return false;
	}
	return true;
}

static bool fold_knows(const struct hr_streams *s, const struct hr_stream_line *line,
		       uint64_t clock_us)
{
	uint64_t floor;

	return hr_fold_floor(s->conf.fold, line->birth, line->random, line->key_id,
			     clock_us, &floor) == HR_FLOOR_KNOWN;
}

#define HEARD_LATELY_MS 3600000u

/* A look at fold's table costs two cache misses a datagram: one that finds the stream
 * alive for three units more does for two. (known_at begins again after seven weeks of
 * them, so a line that was not heard of for an hour is looked up.) */
static bool lives(const struct hr_streams *s, struct hr_stream_line *line,
		  const struct hr_streams_now *now)
{
	const uint16_t at = (uint16_t)(now->clock_us / HR_KNOWN_US);

	if ((uint16_t)(at - line->known_at) <= 1 &&
	    (uint32_t)(now->mono_us / 1000) - line->heard_ms < HEARD_LATELY_MS)
		return true;
	if (!fold_knows(s, line, now->clock_us + 3 * HR_KNOWN_US))
		return fold_knows(s, line, now->clock_us);
	line->known_at = at;
	return true;
}

/* Of streams that fold knew when something of them was taken, and that have died since:
 * when that is accepted they need their place again. */
static void count_returning(struct hr_streams *s, uint32_t key_id, uint64_t clock_us,
			    uint32_t *n, uint32_t *n_of_key)
{
	*n = *n_of_key = 0;
	for (uint32_t at = s->active.oldest; at != HR_NO_LINE;
	     at = s->lines[at].newer) {
		const struct hr_stream_line *line = &s->lines[at];

		if ((line->flags & HR_LINE_NEW) != 0 || fold_knows(s, line, clock_us))
			continue;
		++*n;
		*n_of_key += line->key_id == key_id;
	}
}

static bool has_room(struct hr_streams *s, uint32_t key_id, uint64_t clock_us)
{
	const uint32_t n_new_of_key = key_find(s, key_id)->n;
	uint32_t n, n_of_key;

	/* As if all returned: that is nearly always good enough. */
	if (hr_fold_has_stream_room(s->conf.fold, key_id, s->n_new + s->n_active,
				    n_new_of_key + s->n_active, clock_us))
		return true;
	count_returning(s, key_id, clock_us, &n, &n_of_key);
	return hr_fold_has_stream_room(s->conf.fold, key_id, s->n_new + n,
				       n_new_of_key + n_of_key, clock_us);
}

static uint32_t begin(struct hr_streams *s, const struct hr_question *q,
		      const struct hr_streams_now *now, struct hr_verdict_of *v,
		      struct hr_reply *reply)
{
	uint64_t floor;
	bool is_new;
	uint32_t at;

	if (!look_up(s, q, now, &floor, &is_new, v, reply))
		return HR_NO_LINE;
	if (is_new && !has_room(s, q->wire.key_id, now->clock_us)) {
		busy(s, q, now, HR_BUSY_STREAMS, reply);
		*v = drop(HR_DROP_STREAM_SHARE);
		return HR_NO_LINE;
	}
	at = line_new(s, &q->wire, floor);
	if (at == HR_NO_LINE) {
		busy(s, q, now, HR_BUSY_BUDGET, reply);
		*v = drop(HR_DROP_NO_CREDIT);
		return HR_NO_LINE;
	}
	s->lines[at].again_ms = (uint16_t)(now->mono_us / 1000 - HR_ACK_AGAIN_MS);
	/* Not known to live on, whatever the zero of a new line would mean. */
	s->lines[at].known_at = (uint16_t)(now->clock_us / HR_KNOWN_US - 2);
	if (is_new)
		count_new(s, &s->lines[at]);
	return at;
}

/* The stream's line. One of which nothing is under way may have died: then it begins
 * anew, or not. */
static uint32_t line_of(struct hr_streams *s, const struct hr_question *q,
			const struct hr_streams_now *now)
{
	const uint32_t at = line_find(s, q->wire.birth, q->wire.random);

	if (at == HR_NO_LINE || (s->lines[at].flags & HR_LINE_ACTIVE) != 0 ||
	    lives(s, &s->lines[at], now))
		return at;
	hr_line_forget(s, at);
	return HR_NO_LINE;
}

static struct hr_verdict_of take_probe(struct hr_streams *s,
				       const struct hr_question *q,
				       const struct hr_streams_now *now,
				       struct hr_reply *reply)
{
	const uint32_t at = line_of(s, q, now);
	/* Of a stream that has no line: it stands as fold says. */
	struct hr_stream_line none = { .first = HR_NO_PARKED };
	struct hr_verdict_of v;
	bool is_new;

	if (!now->may_ack)
		return drop(HR_DROP_NOT_READY);
	if (at == HR_NO_LINE) {
		if (!look_up(s, q, now, &none.floor, &is_new, &v, reply))
			return v;
		none.taken = none.floor;
	} else if (s->lines[at].key_id != q->wire.key_id) {
		return foreign(s, q, now, reply);
	}
	reply->answer = answer_to(s, q, HR_KIND_PROBE_ANSWER);
	say_floor(&reply->answer, s, at == HR_NO_LINE ? &none : &s->lines[at], true);
	reply->answer.token = q->token;
	reply->answer.server_us = now->clock_us;
	reply->answer.echo_us = q->wire.sent_us;
	return done(HR_OUTCOME_ANSWERED);
}

static struct hr_verdict_of not_ours(const struct hr_streams *s,
				     const struct hr_question *q,
				     const struct hr_streams_now *now,
				     struct hr_reply *reply)
{
	reply->answer = answer_to(s, q, HR_KIND_NOT_OWNER);
	reply->answer.n_shards = q->wire.n_shards; /* judged: the data set's */
	reply->answer.generation = q->wire.generation;
	reply->answer.incarnation = now->incarnation;
	reply->answer.addresses = now->addresses;
	return drop(HR_DROP_NOT_OWNER);
}

static void hear(struct hr_stream_line *line, const struct hr_question *q,
		 uint64_t mono_us)
{
	line->heard_ms = (uint32_t)(mono_us / 1000);
	line->attempt = q->wire.attempt;
	line->way = *q->way;
}

static void add_room(struct hr_stream_line *line, uint16_t bytes)
{
	const uint32_t room = line->room + bytes / ROOM_UNIT;

	line->room = (uint8_t)(room < UINT8_MAX ? room : UINT8_MAX);
}

struct hr_verdict_of hr_streams_take(struct hr_streams *s, const struct hr_question *q,
				     const struct hr_streams_now *now,
				     struct hr_reply *reply)
{
	struct hr_verdict_of v = done(HR_OUTCOME_DROP);
	uint32_t at;

	reply->answer.kind = 0;
	reply->way = *q->way;
	if (now->state == HR_SHARD_FENCED)
		return not_ours(s, q, now, reply);
	if (now->state == HR_SHARD_STOPPED)
		return drop(HR_DROP_STOPPED);
	if (now->state == HR_SHARD_STARTING || now->clock_us == 0)
		return drop(HR_DROP_NOT_READY);
	if (q->wire.kind == HR_KIND_PROBE)
		return take_probe(s, q, now, reply);
	at = line_of(s, q, now);
	if (at == HR_NO_LINE)
		at = begin(s, q, now, &v, reply);
	if (at == HR_NO_LINE)
		return v;
	if (s->lines[at].key_id != q->wire.key_id)
		return foreign(s, q, now, reply);
	/* First: what was heard of just now is not put out for this datagram. */
	hear(&s->lines[at], q, now->mono_us);
	v = q->wire.kind == HR_KIND_SKIP ? take_skip(s, &s->lines[at], q, now, reply)
					 : take_data(s, &s->lines[at], q, now, reply);
	if (reply->answer.kind == 0)
		add_room(&s->lines[at], q->bytes);
	hr_line_settle(s, at);
	return v;
}

/* ---- what was accepted, and its ACKs -------------------------------------------------- */

static void becomes_due(struct hr_streams *s, uint32_t at)
{
	struct hr_stream_line *line = &s->lines[at];

	if (line->flags & HR_LINE_DUE)
		return;
	line->flags |= HR_LINE_DUE;
	line->next_due = HR_NO_LINE;
	if (s->first_due == HR_NO_LINE)
		s->first_due = at;
	else
		s->lines[s->last_due].next_due = at;
	s->last_due = at;
	s->n_due++;
}

/* Datagrams of a burst were received at the same moment. */
static void waited(struct hr_streams *s, uint64_t received_us)
{
	struct hr_waited *last = s->n_waited > 0 ? &s->waited[s->n_waited - 1] : NULL;
	const bool is_full = s->n_waited == HR_WAITED_MAX;

	if (last == NULL || (last->received_us != received_us && !is_full)) {
		s->waited[s->n_waited++] = (struct hr_waited){ received_us, 1 };
		return;
	}
	last->n++;
	if (received_us < last->received_us)
		last->received_us = received_us;
}

uint32_t hr_streams_waited(struct hr_streams *s, const struct hr_waited **out)
{
	const uint32_t n = s->first_due == HR_NO_LINE ? s->n_waited : 0;

	*out = s->waited;
	if (n > 0)
		s->n_waited = 0;
	return n;
}

static void floor_rises(struct hr_streams *s, const struct hr_item *item,
			uint64_t mono_us)
{
	const uint32_t at = line_find(s, item->birth, item->random);
	struct hr_stream_line *line;

	if (at == HR_NO_LINE)
		return; /* of another owner, or of another process of ours */
	line = &s->lines[at];
	if (line->key_id != item->key_id)
		return; /* for one of the two fold is deaf, and it is asked again */
	is_known(s, line);
	if (item->sequence > line->floor)
		line->floor = item->sequence;
	if (item->kind == HR_ITEM_DATAGRAM)
		waited(s, item->received_us);
	/* Taken by somebody else: what waits here up to there is in the log. */
	if (line->taken < line->floor) {
		s->n_overtaken += hr_line_unpark(s, line);
		line->taken = line->floor;
	}
	drain(s, line, mono_us);
	becomes_due(s, at);
	set_active(s, at, true);
}

static bool has_floor(const struct hr_item *item)
{
	return item->kind == HR_ITEM_SKIP ||
	       (item->kind == HR_ITEM_DATAGRAM &&
		(HR_MUTANT(floors_not_logged) || (item->flags & HR_ITEM_ORDERED) != 0));
}

/* The next items of the body with a floor; their lines are on their way to the cache. */
static uint32_t next_items(const struct hr_streams *s, struct hr_str body,
			   uint32_t *cursor, struct hr_item *out)
{
	uint32_t hashes[ACCEPTED_BURST], n = 0;

	while (n < ACCEPTED_BURST && hr_item_next(body, cursor, &out[n]) > 0) {
		if (!has_floor(&out[n]))
			continue;
		hashes[n] = hr_streams_hash(s, out[n].birth, out[n].random);
		hr_streams_prefetch_slot(s, hashes[n++]);
	}
	for (uint32_t i = 0; i < n; i++)
		hr_streams_prefetch_line(s, hashes[i]);
	return n;
}

void hr_streams_accepted(struct hr_streams *s, const struct hr_link *link,
			 uint64_t mono_us)
{
	struct hr_item items[ACCEPTED_BURST];
	uint32_t cursor = 0, n;

	if (link->body_kind != HR_BODY_EPOCH)
		return;
	while ((n = next_items(s, link->body, &cursor, items)) > 0)
		for (uint32_t i = 0; i < n; i++)
			floor_rises(s, &items[i], mono_us);
}

/* Only what fold says is committed. */
static void committed(struct hr_streams *s, struct hr_stream_line *line,
		      const struct hr_streams_now *now, struct hr_reply *out)
{
	const bool has_room = line->room >= ACK_UNITS;
	uint64_t floor;

	if (!HR_MUTANT(floors_not_logged) && !HR_MUTANT(floors_after_ack) &&
	    hr_fold_floor(s->conf.fold, line->birth, line->random, line->key_id,
			  now->clock_us, &floor) == HR_FLOOR_KNOWN)
		line->floor = floor;
	out->way = line->way;
	out->answer = (struct hr_answer){
		.kind = has_room ? HR_KIND_ACK : 0,
		.room = (uint16_t)(line->room * ROOM_UNIT),
		.shard = s->conf.shard,
		.key_id = line->key_id,
		.attempt = line->attempt,
		.birth = line->birth,
		.random = line->random,
		.incarnation = HR_MUTANT(ack_no_incarnation) ? 0 : s->incarnation,
	};
	say_floor(&out->answer, s, line, true);
	if (has_room)
		line->room = (uint8_t)(line->room - ACK_UNITS);
}

uint32_t hr_streams_due(struct hr_streams *s, const struct hr_streams_now *now,
			struct hr_reply *out, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && now->may_ack && s->first_due != HR_NO_LINE) {
		const uint32_t at = s->first_due;
		struct hr_stream_line *line = &s->lines[at];

		s->first_due = line->next_due;
		if (s->first_due != HR_NO_LINE)
			__builtin_prefetch(&s->lines[s->first_due], 1);
		line->flags &= (uint8_t)~HR_LINE_DUE;
		s->n_due--;
		committed(s, line, now, &out[n]);
		n += out[n].answer.kind != 0;
		hr_line_settle(s, at);
	}
	return n;
}

uint32_t hr_streams_step(struct hr_streams *s, uint64_t mono_us)
{
	const uint32_t n_overtaken = s->n_overtaken;

	s->n_overtaken = 0;
	if (s->n_parked == 0)
		return n_overtaken;
	return n_overtaken +
	       displace(s, (uint32_t)(mono_us / 1000), HR_PARKED_STALE_US / 1000);
}
