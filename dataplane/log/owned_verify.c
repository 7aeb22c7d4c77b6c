/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Is what was accepted still there? The last accepted link is asked for again by its
 * offset: every link before it is bound to it by hash, and lies before it. So is the last
 * record read, where that is another one: if it was cut away, somebody's FENCE may stand
 * in its place, and a reader that goes on behind it would never see that.
 *
 * In doubt nothing is read on: a link that lies behind a hole would vouch for what is not
 * before it.
 *
 * After trouble nothing is acknowledged until the answer. The look of each second holds
 * nothing up unless its answer is late: it finds what no error told, and an
 * acknowledgement that waited for it each second would wait for nothing, since a log can
 * be cut right behind any answer, too.
 */

#include <stdio.h>
#include <string.h>

#include "common/mutant.h"
#include "common/siphash.h"
#include "dataplane/log/owned_impl.h"

#define EACH_US 1000000u
#define LATE_US 2000000u
#define AGAIN_US 100000u

void hr_owned_doubt(struct hr_owned *s)
{
	s->must_verify = !HR_MUTANT(no_reverify);
	s->has_asked_late = false;
	s->ask_at_us = 0;
	hr_owned_show_ack(s);
}

void hr_owned_ask(struct hr_owned *s, struct hr_link *link, const struct hr_now *now)
{
	if (s->asked != NULL)
		hr_link_put(s->asked);
	hr_link_get(link);
	s->asked = link;
	s->asks_tail = false;
	s->asked_us = now->mono_us;
	s->has_asked_late = true;
	s->conf->ops->verify(s->part, link->offset);
}

static void ask_tail(struct hr_owned *s, const struct hr_now *now)
{
	s->asks_tail = true;
	s->asked_tail = s->tail; /* reading may go on meanwhile */
	s->asked_us = now->mono_us;
	s->conf->ops->verify(s->part, s->tail.offset);
}

static struct hr_id128 hash_of(const struct hr_owned *s, const uint8_t *bytes,
			       uint32_t n)
{
	struct hr_siphash h;
	struct hr_id128 out;

	hr_siphash_init(&h, s->conf->set->hash_key);
	hr_siphash_update(&h, bytes, n);
	hr_siphash_final(&h, out.b);
	return out;
}

void hr_owned_keep_tail(struct hr_owned *s, const struct hr_log_message *m)
{
	s->tail.offset = m->offset;
	s->tail.hash = hash_of(s, m->bytes, m->n_bytes);
}

enum hr_log_read hr_owned_answer(struct hr_owned *s, bool *is_same)
{
	struct hr_log_message m;
	struct hr_err err;
	enum hr_log_read r = s->conf->ops->verified(s->part, &m, &err);

	if (r == HR_LOG_NOTHING)
		return r;
	if (r == HR_LOG_RECORD) {
		struct hr_str record = hr_link_record(s->asked);

		*is_same = m.n_bytes == record.n &&
			   memcmp(m.bytes, record.p, record.n) == 0;
		m.free(&m);
	}
	hr_link_put(s->asked); /* perhaps the last reference: its bytes go too */
	s->asked = NULL;
	return r;
}

static enum hr_log_read tail_answer(struct hr_owned *s, bool *is_same)
{
	struct hr_log_message m;
	struct hr_err err;
	enum hr_log_read r = s->conf->ops->verified(s->part, &m, &err);

	if (r == HR_LOG_NOTHING)
		return r;
	if (r == HR_LOG_RECORD) {
		const struct hr_id128 hash = hash_of(s, m.bytes, m.n_bytes);

		*is_same = hr_id128_equals(&hash, &s->asked_tail.hash);
		m.free(&m);
	}
	s->asks_tail = false;
	return r;
}

static void on_same(struct hr_owned *s, bool was_tail, const struct hr_now *now)
{
	if (!was_tail && s->tail.offset >= 0) {
		ask_tail(s, now);
		return;
	}
	s->ask_at_us = now->mono_us + EACH_US;
	if (!s->must_verify || !s->has_asked_late)
		return;
	s->must_verify = false;
	/* What is on its way could not be read meanwhile, nor what another owner wrote. */
	if (s->is_contested && s->phase == HR_PHASE_WAITING)
		s->not_before_us = now->mono_us + (uint64_t)HR_CONTEST_MS * 1000;
	if (s->deadline_us != 0)
		s->deadline_us = now->mono_us + (uint64_t)s->watchdog_ms * 1000;
	hr_owned_show_ack(s);
}

static void take_answer(struct hr_owned *s, const struct hr_now *now)
{
	const bool is_tail = s->asks_tail;
	const int64_t offset = is_tail ? s->asked_tail.offset : s->asked->offset;
	const uint64_t n = is_tail ? 0 : s->asked->n;
	bool is_same = false;
	char why[120];

	switch (is_tail ? tail_answer(s, &is_same) : hr_owned_answer(s, &is_same)) {
	case HR_LOG_NOTHING:
		if (now->mono_us - s->asked_us > LATE_US && !s->must_verify) {
			s->must_verify = true; /* this answer will do */
			hr_owned_show_ack(s);
		}
		return;
	case HR_LOG_RECORD:
		if (is_same) {
			on_same(s, is_tail, now);
			return;
		}
		break;
	case HR_LOG_GONE:
		break;
	default: /* not known */
		s->must_verify = true;
		s->ask_at_us = now->mono_us + AGAIN_US;
		hr_owned_show_ack(s);
		return;
	}
	if (is_tail)
		snprintf(why, sizeof(why), "the record at offset %lld is another one",
			 (long long)offset);
	else
		snprintf(why, sizeof(why), "link %llu is not at offset %lld any more",
			 (unsigned long long)n, (long long)offset);
	hr_owned_cut(s, now, why);
}

static bool may_take_answer(const struct hr_owned *s)
{
	return (s->asked != NULL || s->asks_tail) &&
	       (s->has_asked_late || !s->must_verify);
}

static void ask(struct hr_owned *s, const struct hr_now *now)
{
	if (s->last != NULL) {
		hr_owned_ask(s, s->last, now);
		return;
	}
	s->has_asked_late = true;
	ask_tail(s, now);
}

bool hr_owned_is_in_doubt(struct hr_owned *s)
{
	const uint64_t n_lost = s->conf->ops->n_lost(s->conf->log);

	if (n_lost != s->n_lost_seen) {
		s->n_lost_seen = n_lost;
		hr_owned_doubt(s);
	}
	return s->must_verify;
}

void hr_owned_verify(struct hr_owned *s, const struct hr_now *now)
{
	if (HR_MUTANT(no_reverify))
		return;
	(void)hr_owned_is_in_doubt(s);
	if (s->phase == HR_PHASE_FENCED || s->phase == HR_PHASE_STOPPED)
		return;
	if (may_take_answer(s))
		take_answer(s, now);
	else if (s->last == NULL && s->tail.offset < 0 && s->must_verify) {
		s->must_verify = false; /* there is nothing yet */
		hr_owned_show_ack(s);
	} else if ((s->last != NULL || s->tail.offset >= 0) &&
		   now->mono_us >= s->ask_at_us)
		ask(s, now);
}
