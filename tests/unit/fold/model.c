/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>

#include "common/murmur2.h"
#include "tests/unit/fold/model.h"

enum fate {
	FRESH,
	REPEATED,
	NO_ROOM,
	FOREIGN
};

void model_init(struct model *m, const struct test_chain *c)
{
	memset(m, 0, sizeof(*m));
	m->shard = c->shard;
	m->n_shards = c->set.n_shards;
}

/* ---- streams ---- */

static uint64_t setting(const struct model *m, enum hr_chain_setting id)
{
	return m->config.setting[id];
}

static uint64_t age_of(const struct model *m, const struct model_stream *s)
{
	const uint64_t max_age_us = setting(m, HR_CHAIN_STREAM_MAX_AGE_US);

	if (!s->has_floor)
		return max_age_us;
	return max_age_us + 60000000 +
	       setting(m, s->birth >> 63 != 0 ? HR_CHAIN_TTL_DISK_US
					      : HR_CHAIN_TTL_MEMORY_US);
}

static bool is_alive(const struct model *m, const struct model_stream *s,
		     uint64_t clock_us)
{
	return s->is_alive && clock_us <= s->last_us + age_of(m, s);
}

static struct model_stream *stream_of(struct model *m, const struct test_item *item)
{
	struct model_stream *s;

	for (uint32_t i = 0; i < m->n_streams; i++)
		if (m->streams[i].birth == item->birth &&
		    m->streams[i].random == item->random)
			return &m->streams[i];
	assert(m->n_streams < MODEL_STREAMS);
	s = &m->streams[m->n_streams++];
	s->birth = item->birth;
	s->random = item->random;
	return s;
}

static uint32_t count_alive(const struct model *m, uint64_t clock_us)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n_streams; i++)
		n += is_alive(m, &m->streams[i], clock_us);
	return n;
}

static bool has_room(const struct model *m, uint32_t key_id, uint64_t clock_us)
{
	const uint64_t share = setting(m, HR_CHAIN_KEY_STREAMS);
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n_streams; i++)
		n += m->streams[i].key_id == key_id &&
		     is_alive(m, &m->streams[i], clock_us);
	return count_alive(m, clock_us) < setting(m, HR_CHAIN_MAX_STREAMS) &&
	       (share == 0 || n < share);
}

static enum fate floor_judge(struct model *m, struct model_stream *s,
			     const struct test_item *item)
{
	if (item->sequence <= s->highest)
		return REPEATED;
	for (uint64_t i = s->highest + 1; i <= item->sequence; i++)
		m->gaps += i != item->sequence || item->kind == HR_ITEM_SKIP;
	s->highest = item->sequence;
	return FRESH;
}

static enum fate stream_begin(struct model *m, struct model_stream *s,
			      const struct test_item *item, uint64_t clock_us)
{
	const uint64_t seq = item->sequence;

	if (!has_room(m, item->key_id, clock_us))
		return NO_ROOM;
	memset(s->seen, 0, sizeof(s->seen));
	s->is_alive = true;
	s->key_id = item->key_id;
	s->last_us = clock_us;
	s->has_floor = item->kind == HR_ITEM_SKIP || item->flags != 0;
	s->highest = s->first = s->has_floor ? 0 : seq;
	if (s->has_floor)
		return floor_judge(m, s, item);
	s->seen[seq] = true;
	return FRESH;
}

static enum fate stream_judge(struct model *m, const struct test_item *item,
			      uint64_t clock_us)
{
	struct model_stream *s = stream_of(m, item);
	const uint64_t seq = item->sequence;

	assert(seq < MODEL_NUMBERS);
	if (!is_alive(m, s, clock_us))
		return stream_begin(m, s, item, clock_us);
	if (s->key_id != item->key_id)
		return FOREIGN;
	if (item->kind == HR_ITEM_SKIP && !s->has_floor)
		return FRESH;
	s->last_us = clock_us;
	if (s->has_floor)
		return floor_judge(m, s, item);
	if (s->seen[seq] || seq + 64 <= s->highest)
		return REPEATED;
	s->seen[seq] = true;
	if (seq > s->highest) {
		m->gaps += seq - s->highest - 1;
		s->highest = seq;
	} else if (seq > s->first) {
		m->filled++;
	}
	return FRESH;
}

/* ---- events that are known again ---- */

static uint64_t dedup_max(const struct model *m)
{
	return setting(m, HR_CHAIN_DEDUP_WINDOW_US) == 0
		       ? 0
		       : setting(m, HR_CHAIN_DEDUP_MAX);
}

static void known_remove(struct model *m, uint32_t at)
{
	m->n_known--;
	memmove(&m->known[at], &m->known[at + 1],
		(m->n_known - at) * sizeof(m->known[0]));
}

static void known_bury(struct model *m, uint64_t clock_us)
{
	for (uint32_t i = m->n_known; i-- > 0;)
		if (clock_us >
		    m->known[i].first_us + setting(m, HR_CHAIN_DEDUP_WINDOW_US))
			known_remove(m, i);
}

static bool is_known(struct model *m, const struct test_event *ev, uint64_t clock_us)
{
	struct model_known *k;

	known_bury(m, clock_us);
	for (uint32_t i = 0; i < m->n_known; i++)
		if (strcmp(m->known[i].user, ev->user) == 0 &&
		    strcmp(m->known[i].id, ev->id) == 0)
			return true;
	if (dedup_max(m) == 0)
		return false;
	if (m->n_known == dedup_max(m)) {
		known_remove(m, 0);
		m->dedup_evicted++;
	}
	assert(m->n_known < MODEL_KNOWN);
	k = &m->known[m->n_known++];
	memcpy(k->user, ev->user, sizeof(k->user));
	memcpy(k->id, ev->id, sizeof(k->id));
	k->first_us = clock_us;
	return false;
}

/* ---- events ---- */

static bool is_ours(const struct model *m, const struct test_event *ev)
{
	return hr_kafka_partition(ev->user, strlen(ev->user), m->n_shards) == m->shard;
}

static uint8_t reject_of(const struct model *m, const struct test_event *ev)
{
	if (ev->is_broken)
		return HR_REJECT_SYNTAX;
	if (ev->user[0] == 0)
		return HR_REJECT_USER;
	return is_ours(m, ev) ? HR_REJECT_NONE : HR_REJECT_WRONG_SHARD;
}

static void user_count(struct model *m, uint32_t entry)
{
	struct model_entry *e = &m->entries[entry];
	struct model_user *u = NULL;

	for (uint32_t i = 0; i < m->n_users && u == NULL; i++)
		if (strcmp(m->users[i].user, e->ev->user) == 0)
			u = &m->users[i];
	if (u == NULL) {
		u = &m->users[m->n_users++];
		*u = (struct model_user){ .user = e->ev->user,
					  .first = entry,
					  .last_active_ms = INT64_MIN };
	} else {
		m->entries[u->last].next_of_user = entry;
	}
	e->user_row = (uint32_t)(u - m->users);
	u->last = entry;
	u->n_events++;
	u->n_views += strcmp(e->ev->type, "product_view") == 0;
	u->n_purchases += strcmp(e->ev->type, "purchase") == 0;
	if (u->last_active_ms < e->time_ms)
		u->last_active_ms = e->time_ms;
}

static void event_fold(struct model *m, const struct test_item *item, uint32_t i,
		       enum fate fate, uint64_t clock_us)
{
	const uint32_t index = m->n_claimed++;
	struct model_entry e = { .item = item,
				 .index = index,
				 .user_row = HR_NO_ROW,
				 .next_of_user = HR_NO_ROW,
				 .verdict = HR_COUNTED };
	const bool is_there = i < item->n_events;

	if (fate == REPEATED)
		e.verdict = HR_REPEATED;
	else if (fate == FOREIGN)
		e.reject = HR_REJECT_STREAM_KEY;
	else if (fate == NO_ROOM ||
		 (is_there && index >= setting(m, HR_CHAIN_MAX_EVENTS)))
		e.reject = HR_REJECT_CAPACITY;
	else
		e.reject = is_there ? reject_of(m, &item->events[i]) : HR_REJECT_SYNTAX;
	if (e.reject != HR_REJECT_NONE)
		e.verdict = HR_REJECTED;
	if (is_there && e.verdict == HR_COUNTED && item->kind == HR_ITEM_EVENT &&
	    item->events[i].id[0] != 0 && is_known(m, &item->events[i], clock_us)) {
		e.verdict = HR_REPEATED;
		m->dedup_hits++;
	}
	m->verdicts[e.verdict]++;
	m->rejects[e.reject] += e.reject != HR_REJECT_NONE;
	if (!is_there)
		return;
	e.ev = &item->events[i];
	e.time_ms = e.ev->time_ms != ABSENT ? e.ev->time_ms
					    : (int64_t)(item->received_us / 1000);
	if (e.ev->time_ms == ABSENT && m->config.fold_version == 2)
		e.time_ms = e.time_ms / 1000 * 1000;
	assert(m->n_entries < MODEL_EVENTS);
	m->entries[m->n_entries++] = e;
	if (e.verdict == HR_COUNTED)
		user_count(m, m->n_entries - 1);
}

/* Who is dead when the age changes stays dead. */
static void config_take(struct model *m, const struct test_link *l)
{
	for (uint32_t i = 0; i < m->n_streams; i++)
		m->streams[i].is_alive = is_alive(m, &m->streams[i], l->clock_us);
	known_bury(m, l->clock_us);
	m->config = l->config;
	for (; m->n_known > dedup_max(m); m->dedup_evicted++)
		known_remove(m, 0);
}

static void loss_take(struct model *m, const struct test_link *l)
{
	const uint64_t lost = hr_load64(l->body);

	m->totals.losses++;
	for (uint64_t n = l->link.n; n <= lost; n++)
		m->totals.lost_links++;
}

void model_fold(struct model *m, const struct test_link *l)
{
	m->n_entries = m->n_users = m->n_claimed = 0;
	m->gaps = m->filled = m->dedup_hits = m->dedup_evicted = 0;
	memset(m->verdicts, 0, sizeof(m->verdicts));
	memset(m->rejects, 0, sizeof(m->rejects));
	if (l->kind == HR_BODY_CONFIG)
		config_take(m, l);
	if (l->kind == HR_BODY_LOSS)
		loss_take(m, l);
	for (uint32_t i = 0; i < l->n_items; i++) {
		const struct test_item *item = &l->items[i];
		const enum fate fate = item->kind == HR_ITEM_EVENT
					       ? FRESH
					       : stream_judge(m, item, l->clock_us);
		const uint32_t claimed = item->claimed == ABSENT
						 ? item->n_events
						 : (uint32_t)item->claimed;

		for (uint32_t e = 0; e < claimed; e++)
			event_fold(m, item, e, fate, l->clock_us);
	}
	m->totals.logged += m->n_claimed;
	for (int i = 0; i < HR_FOLD_VERDICTS; i++)
		m->totals.verdicts[i] += m->verdicts[i];
	for (int i = 0; i < HR_REJECT_COUNT; i++)
		m->totals.rejects[i] += m->rejects[i];
	m->totals.gaps += m->gaps;
	m->totals.filled += m->filled;
	m->totals.dedup_hits += m->dedup_hits;
	m->totals.dedup_evicted += m->dedup_evicted;
	known_bury(m, l->clock_us);
	m->totals.dedup_entries = m->n_known;
	m->totals.streams = count_alive(m, l->clock_us);
}
