/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A shard of another appliance: its partition is read on, by the same consumer, so that
 * senders who ask here are told where its owner listens. Nothing is judged, folded or
 * kept: what counts is in its FENCEs, and which of those are accepted follows from their
 * incarnations alone. Of a link only its head is looked at, not even its crc: what is
 * shown of it is for people. The chain stays where it was left, so that a shard that is
 * taken back goes on from there.
 */

#include <string.h>

#include "dataplane/log/owned_impl.h"

#define READ_AT_ONCE 64u
#define AGAIN_US 1000000u

void hr_owned_follow_begin(struct hr_owned *s)
{
	struct hr_followed *f = &s->followed;

	memset(f, 0, sizeof(*f));
	f->owner = s->chain.owner;
	f->incarnation = s->chain.incarnation;
	f->n = s->chain.n;
	f->next_offset = s->next_offset;
}

/* Accepted: by the rule of incarnations; where records are missed, whatever is higher. */
static bool is_next(const struct hr_followed *f, uint64_t incarnation)
{
	return incarnation == f->incarnation + 1 ||
	       (f->has_gap && incarnation > f->incarnation);
}

static void on_fence(struct hr_owned *s, const struct hr_log_message *m)
{
	const struct hr_data_set *set = s->conf->set;
	struct hr_followed *f = &s->followed;
	struct hr_record record;

	if (hr_record_decode(&record, m->bytes, m->n_bytes, NULL) < 0 ||
	    record.type != HR_RECORD_FENCE || record.shard != s->shard ||
	    record.generation != set->generation ||
	    !hr_id128_equals(&record.data_set, &set->id) ||
	    !is_next(f, record.fence.incarnation))
		return;
	f->owner = record.fence.owner;
	f->incarnation = record.fence.incarnation;
	f->has_gap = false;
	hr_stat_set(s->cells.incarnation, f->incarnation);
	atomic_store_explicit(&s->view.incarnation, f->incarnation,
			      memory_order_relaxed);
	hr_owned_keep_addresses(s, &record.fence);
}

/*
 *   4 | type u16 | ... 32 | owner (16) | n u64 |
 */
static void on_record(struct hr_owned *s, const struct hr_log_message *m)
{
	struct hr_followed *f = &s->followed;
	struct hr_id128 owner;

	f->next_offset = m->offset + 1;
	if (m->stamped_ms > f->stamped_ms)
		f->stamped_ms = m->stamped_ms;
	if (m->n_bytes < HR_RECORD_HEAD_BYTES + 24)
		return;
	if (hr_load16(m->bytes + 4) == HR_RECORD_FENCE)
		on_fence(s, m);
	if (hr_load16(m->bytes + 4) != HR_RECORD_LINK)
		return;
	memcpy(&owner, m->bytes + HR_RECORD_HEAD_BYTES, sizeof(owner));
	if (hr_id128_equals(&owner, &f->owner) &&
	    hr_load64(m->bytes + HR_RECORD_HEAD_BYTES + 16) > f->n)
		f->n = hr_load64(m->bytes + HR_RECORD_HEAD_BYTES + 16);
}

/* What was to be read is gone: trimmed, while this process stood still. */
static void skip(struct hr_owned *s)
{
	s->followed.has_gap = true;
	s->conf->ops->seek(s->part, HR_LOG_BEGINNING);
}

/* Returns false when there is nothing more at the moment. */
static bool follow_one(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_log_message m;
	struct hr_err err;

	switch (s->conf->ops->read(s->part, &m, &err)) {
	case HR_LOG_RECORD:
		on_record(s, &m);
		m.free(&m);
		return true;
	case HR_LOG_END:
		return true;
	case HR_LOG_GONE:
		skip(s);
		return false;
	case HR_LOG_TROUBLE:
	case HR_LOG_DAMAGED:
		/* It is its owner's business; when it is mended this goes on. */
		s->followed.again_us = now->mono_us + AGAIN_US;
		return false;
	default:
		return false;
	}
}

unsigned int hr_owned_follow(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_followed *f = &s->followed;
	unsigned int n = 0;

	if (f->again_us != 0 && now->mono_us < f->again_us)
		return 0;
	if (f->again_us != 0)
		s->conf->ops->seek(s->part, f->next_offset);
	f->again_us = 0;
	while (n < READ_AT_ONCE && follow_one(s, now))
		n++;
	return n;
}

/*
 * Senders are told the time before they are told whom to ask. Who owns nothing has no
 * clock of an own FENCE: the wall clock has to do, which cannot be behind what the log
 * was stamped with.
 */
static void take_clock(struct hr_owned *s, const struct hr_now *now)
{
	int64_t wall_us = (int64_t)now->wall_us;

	if (wall_us < s->followed.stamped_ms * 1000)
		wall_us = s->followed.stamped_ms * 1000;
	atomic_store_explicit(&s->view.clock_offset_us,
			      s->conf->clock->is_set ? s->conf->clock->offset_us
						     : wall_us - (int64_t)now->mono_us,
			      memory_order_release);
}

void hr_owned_step_followed(struct hr_owned *s, const struct hr_now *now)
{
	if (now->mono_us < s->followed.show_us)
		return;
	s->followed.show_us = now->mono_us + AGAIN_US;
	take_clock(s, now);
	s->conf->hooks.said(s->conf->hooks.ctx, s);
}
