/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A headerless datagram to one piece per shard.
 *
 *   {a} {b}      shard of each     count, then lay out     copy, newlines to blanks
 *   {c}      ─▶  3 1 3         ─▶  3: a c   1: b       ─▶  {a}\n{c}\n{b}\n
 */

#include <assert.h>

#include "common/murmur2.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/beacon/brackets_impl.h"
#include "dataplane/beacon/event.h"
#include "dataplane/beacon/json_impl.h"

#define SHARDS_MAX (HR_PIECES_MAX - 1)

/* Every event gets a newline; the shortest event has two bytes. */
_Static_assert(sizeof(((struct hr_split *)0)->bytes) >=
		       HR_WIRE_DATAGRAM_MAX + HR_WIRE_EVENTS_MAX,
	       "all events and their newlines have room");

struct found {
	struct hr_str event;
	uint32_t piece;
};

struct splitting {
	const struct hr_beacon_rules *rules;
	struct hr_split *out;
	uint32_t n_events;
	uint32_t piece_of[HR_PIECES_MAX]; /* by shard; HR_PIECES_MAX: none yet */
	struct found events[HR_WIRE_EVENTS_MAX];
};

/* n_shards stands for "no usable user". */
static uint32_t shard_of(const struct hr_beacon_rules *rules, struct hr_str event)
{
	uint8_t decoded[HR_WIRE_DATAGRAM_MAX];
	struct hr_arena arena = { decoded, decoded + sizeof(decoded) };
	const struct hr_str user = hr_event_peek_user(&arena, event);

	return user.n == 0 ? rules->n_shards
			   : hr_kafka_partition(user.p, user.n, rules->n_shards);
}

/* The shard's piece; pieces stand in the order of their first events. */
static uint32_t piece_for(struct splitting *s, uint32_t shard)
{
	struct hr_piece *piece = &s->out->pieces[s->out->n_pieces];
	const bool is_refused = shard == s->rules->n_shards;

	if (s->piece_of[shard] != HR_PIECES_MAX)
		return s->piece_of[shard];
	*piece = (struct hr_piece){
		.shard = is_refused ? 0 : (uint16_t)shard,
		.refused = is_refused ? HR_DROP_UNKEYED_USER : HR_DROP_NONE,
	};
	s->piece_of[shard] = s->out->n_pieces;
	return s->out->n_pieces++;
}

static enum hr_drop add_event(struct splitting *s, struct hr_str event)
{
	struct found *found = &s->events[s->n_events];
	struct hr_piece *piece;

	if (s->n_events == HR_WIRE_EVENTS_MAX)
		return HR_DROP_FRAME_COUNT;
	s->n_events++;
	found->event = event;
	found->piece = piece_for(s, shard_of(s->rules, event));
	piece = &s->out->pieces[found->piece];
	piece->n_events++;
	piece->payload.n += event.n + 1;
	return HR_DROP_NONE;
}

static enum hr_drop find_in_array(struct splitting *s, struct hr_str payload)
{
	struct hr_frames frames;
	struct hr_str event;
	int r;

	hr_frames_init(&frames, HR_CODEC_JSON, payload, true);
	while ((r = hr_frames_next(&frames, &event)) == 1) {
		const enum hr_drop drop = add_event(s, event);

		if (drop != HR_DROP_NONE)
			return drop;
	}
	return r == 0 ? HR_DROP_NONE : HR_DROP_UNKEYED_JSON;
}

/* White space behind an object; between two there is a newline in it. */
static bool take_gap(struct json *j)
{
	const uint8_t *first = j->at;

	json_space(j);
	for (const uint8_t *p = first; p < j->at; p++)
		if (*p == '\n')
			return true;
	return j->at == j->end;
}

/* One object, which may go over several lines, or several, each on its own. */
static enum hr_drop find_in_lines(struct splitting *s, struct hr_str payload)
{
	struct json j = { payload.p, bytes_end(payload.p, payload.n) };

	json_space(&j);
	while (j.at < j.end) {
		const uint8_t *first = j.at;
		enum hr_drop drop;

		if (*first != '{')
			return HR_DROP_UNKEYED_JSON;
		j.at = hr_brackets_end(first, j.end);
		if (j.at == NULL)
			return HR_DROP_UNKEYED_JSON;
		drop = add_event(s, (struct hr_str){ first, (uint32_t)(j.at - first) });
		if (drop != HR_DROP_NONE)
			return drop;
		if (!take_gap(&j))
			return HR_DROP_UNKEYED_JSON;
	}
	return HR_DROP_NONE;
}

/* Newlines stand between tokens only: hr_brackets_end() saw to that. */
static uint8_t *copy_as_line(uint8_t *to, struct hr_str event)
{
	for (uint32_t i = 0; i < event.n; i++)
		*to++ = event.p[i] == '\n' ? ' ' : event.p[i];
	*to++ = '\n';
	return to;
}

static void lay_out(struct splitting *s)
{
	uint8_t *at[HR_PIECES_MAX], *next = s->out->bytes;

	for (uint32_t i = 0; i < s->out->n_pieces; i++) {
		s->out->pieces[i].payload.p = at[i] = next;
		next += s->out->pieces[i].payload.n;
	}
	for (uint32_t i = 0; i < s->n_events; i++)
		at[s->events[i].piece] =
			copy_as_line(at[s->events[i].piece], s->events[i].event);
}

static void begin(struct splitting *s, const struct hr_beacon_rules *rules,
		  struct hr_split *out)
{
	assert(rules->n_shards >= 1 && rules->n_shards <= SHARDS_MAX);
	s->rules = rules;
	s->out = out;
	s->n_events = 0;
	out->n_pieces = 0;
	for (uint32_t i = 0; i <= rules->n_shards; i++)
		s->piece_of[i] = HR_PIECES_MAX;
}

enum hr_drop hr_beacon_split(const struct hr_beacon_rules *rules,
			     const uint8_t *payload, uint32_t n, struct hr_split *out)
{
	const struct hr_str all = { payload, n };
	struct json j = { payload, bytes_end(payload, n) };
	struct splitting s;
	enum hr_drop drop;

	if (!rules->insecure)
		return HR_DROP_UNKEYED;
	if (n > HR_WIRE_DATAGRAM_MAX)
		return HR_DROP_FRAME_LONG;
	begin(&s, rules, out);
	drop = json_peek(&j) == '[' ? find_in_array(&s, all) : find_in_lines(&s, all);
	if (drop != HR_DROP_NONE)
		return drop;
	if (s.n_events == 0)
		return HR_DROP_FRAME_COUNT;
	lay_out(&s);
	return HR_DROP_NONE;
}
