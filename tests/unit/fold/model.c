/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>

#include "common/murmur2.h"
#include "tests/unit/fold/model.h"

enum fate {
	FRESH,
	REPEATED,
	NO_ROOM
};

void model_init(struct model *m, const struct test_chain *c)
{
	memset(m, 0, sizeof(*m));
	m->shard = c->shard;
	m->n_shards = c->set.n_shards;
}

/* ---- streams ---- */

static bool is_alive(const struct model *m, const struct model_stream *s,
		     uint64_t clock_us)
{
	return s->is_alive && clock_us <= s->last_us + m->max_age_us;
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

static enum fate stream_judge(struct model *m, const struct test_item *item,
			      uint64_t clock_us)
{
	struct model_stream *s = stream_of(m, item);
	const uint64_t seq = item->sequence;

	assert(seq < MODEL_NUMBERS);
	if (!is_alive(m, s, clock_us)) {
		if (count_alive(m, clock_us) >= m->max_streams)
			return NO_ROOM;
		memset(s->seen, 0, sizeof(s->seen));
		s->is_alive = true;
		s->highest = s->first = seq;
		s->seen[seq] = true;
		s->last_us = clock_us;
		return FRESH;
	}
	s->last_us = clock_us;
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
		       enum fate fate)
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
	else if (fate == NO_ROOM || (is_there && index >= m->max_events))
		e.reject = HR_REJECT_CAPACITY;
	else
		e.reject = is_there ? reject_of(m, &item->events[i]) : HR_REJECT_SYNTAX;
	if (e.reject != HR_REJECT_NONE)
		e.verdict = HR_REJECTED;
	m->verdicts[e.verdict]++;
	m->rejects[e.reject] += e.reject != HR_REJECT_NONE;
	if (!is_there)
		return;
	e.ev = &item->events[i];
	e.time_ms = e.ev->time_ms != ABSENT ? e.ev->time_ms
					    : (int64_t)(item->received_us / 1000);
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
	m->max_events = l->config.setting[HR_CHAIN_MAX_EVENTS];
	m->max_streams = l->config.setting[HR_CHAIN_MAX_STREAMS];
	m->max_age_us = l->config.setting[HR_CHAIN_STREAM_MAX_AGE_US];
}

void model_fold(struct model *m, const struct test_link *l)
{
	m->n_entries = m->n_users = m->n_claimed = 0;
	m->gaps = m->filled = 0;
	memset(m->verdicts, 0, sizeof(m->verdicts));
	memset(m->rejects, 0, sizeof(m->rejects));
	if (l->kind == HR_BODY_CONFIG)
		config_take(m, l);
	for (uint32_t i = 0; i < l->n_items; i++) {
		const struct test_item *item = &l->items[i];
		const enum fate fate = item->kind == HR_ITEM_EVENT
					       ? FRESH
					       : stream_judge(m, item, l->clock_us);
		const uint32_t claimed = item->claimed == ABSENT
						 ? item->n_events
						 : (uint32_t)item->claimed;

		for (uint32_t e = 0; e < claimed; e++)
			event_fold(m, item, e, fate);
	}
	m->totals.logged += m->n_claimed;
	for (int i = 0; i < HR_FOLD_VERDICTS; i++)
		m->totals.verdicts[i] += m->verdicts[i];
	for (int i = 0; i < HR_REJECT_COUNT; i++)
		m->totals.rejects[i] += m->rejects[i];
	m->totals.gaps += m->gaps;
	m->totals.filled += m->filled;
	m->totals.streams = count_alive(m, l->clock_us);
}
