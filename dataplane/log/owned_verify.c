/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Is what was accepted still there? The last accepted link is asked for again by its
 * offset: every link before it is bound to it by hash, and lies before it.
 *
 * After trouble nothing is acknowledged until the answer. The look of each second holds
 * nothing up unless its answer is late: it finds what no error told, and an
 * acknowledgement that waited for it each second would wait for nothing, since a log can
 * be cut right behind any answer, too.
 */

#include <stdio.h>
#include <string.h>

#include "common/mutant.h"
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
	s->asked_us = now->mono_us;
	s->has_asked_late = true;
	s->conf->ops->verify(s->part, link->offset);
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

static void take_answer(struct hr_owned *s, const struct hr_now *now)
{
	bool is_same = false;
	uint64_t n = s->asked->n;
	int64_t offset = s->asked->offset;
	char why[120];

	switch (hr_owned_answer(s, &is_same)) {
	case HR_LOG_NOTHING:
		if (now->mono_us - s->asked_us > LATE_US && !s->must_verify) {
			s->must_verify = true; /* this answer will do */
			hr_owned_show_ack(s);
		}
		return;
	case HR_LOG_RECORD:
		if (is_same) {
			s->must_verify &= !s->has_asked_late;
			s->ask_at_us = now->mono_us + EACH_US;
			hr_owned_show_ack(s);
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
	snprintf(why, sizeof(why), "link %llu is not at offset %lld any more",
		 (unsigned long long)n, (long long)offset);
	hr_owned_cut(s, now, why);
}

void hr_owned_verify(struct hr_owned *s, const struct hr_now *now)
{
	uint64_t n_lost = s->conf->ops->n_lost(s->conf->log);

	if (HR_MUTANT(no_reverify))
		return;
	if (n_lost != s->n_lost_seen) {
		s->n_lost_seen = n_lost;
		hr_owned_doubt(s);
	}
	if (s->phase == HR_PHASE_FENCED || s->phase == HR_PHASE_STOPPED)
		return;
	if (s->asked != NULL && (s->has_asked_late || !s->must_verify))
		take_answer(s, now);
	else if (s->last == NULL && s->must_verify) {
		s->must_verify = false; /* there is nothing yet */
		hr_owned_show_ack(s);
	} else if (s->last != NULL && now->mono_us >= s->ask_at_us)
		hr_owned_ask(s, s->last, now);
}
