/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Going on from a snapshot while the process runs. A shard that is taken back has missed
 * what its other owner wrote, and the log before that owner's snapshots may be trimmed
 * by now; so may the place of a process that stood still for long. What worker and
 * memory hold is given up for the newest snapshot that is further: the record it names
 * is checked as at a start. Where none is further, nothing was trimmed behind our place:
 * the log is read from there.
 */

#include <stdio.h>
#include <string.h>

#include "dataplane/log/owned_impl.h"

#define AGAIN_US 1000000u

void hr_owned_restore(struct hr_owned *s, const char *else_stop)
{
	s->phase = HR_PHASE_RESTORING;
	s->caught_up = false;
	s->end_at_start = -1;
	s->look_at_us = 0;
	snprintf(s->else_stop, sizeof(s->else_stop), "%s", else_stop);
	hr_owned_say(s, "looking for a snapshot to go on from");
	hr_owned_show(s);
}

void hr_owned_start_from(struct hr_owned *s, const struct hr_log_start *start)
{
	s->start = start;
	s->has_begun = false;
	s->chain = start->chain;
	s->chain.set = s->conf->set;
	s->config = start->config;
	s->next_offset = start->offset;
	s->tail.offset = -1;
	s->known_n = s->chain.n;
	s->known_hash = s->chain.hash;
	memcpy(s->addresses, s->chain.addresses, sizeof(s->addresses));
	atomic_store_explicit(&s->view.incarnation, s->chain.incarnation,
			      memory_order_relaxed);
	atomic_store_explicit(&s->view.accepted_n, s->chain.n, memory_order_release);
}

static void read_on(struct hr_owned *s)
{
	s->phase = HR_PHASE_WAITING;
	hr_owned_show(s);
	s->conf->ops->seek(s->part, s->next_offset);
}

static void on_restored(struct hr_owned *s, const struct hr_log_start *start)
{
	hr_owned_last(s, NULL);
	hr_owned_start_from(s, start);
	hr_owned_log(s, HR_LOG_INFO, "goes on from the snapshot of link %llu",
		     (unsigned long long)s->chain.n);
	/* Another appliance has got that far, and nobody told us to take it back: its
	 * FENCE lies before what is read now. */
	if (!s->is_claimed && !hr_owned_is_own_id(s, &s->chain.owner)) {
		hr_owned_step_down(s);
		s->conf->ops->seek(s->part, s->followed.next_offset);
		return;
	}
	read_on(s);
}

static void on_nothing(struct hr_owned *s)
{
	if (s->else_stop[0] != '\0') {
		s->lost_n = 0; /* accepting it again would not help: a start does */
		s->accepts_loss = false;
		hr_owned_stop(s, "%s", s->else_stop);
	} else {
		hr_owned_look_again(s); /* it may have been cut meanwhile */
	}
}

void hr_owned_step_restore(struct hr_owned *s, const struct hr_now *now)
{
	const struct hr_owned_hooks *hooks = &s->conf->hooks;
	const struct hr_log_start *start = NULL;
	enum hr_restore found = HR_RESTORE_NOTHING;
	struct hr_err err = { "" };

	/* All of it has to be in memory before memory forgets it. */
	if (s->n_out > 0 || now->mono_us < s->look_at_us)
		return;
	if (hooks->restore != NULL)
		found = hooks->restore(hooks->ctx, s, s->known_n, &start, &err);
	switch (found) {
	case HR_RESTORE_LOOKING:
		return;
	case HR_RESTORE_FAILED:
		s->look_at_us = now->mono_us + AGAIN_US;
		hr_owned_say(s, err.text);
		return;
	case HR_RESTORE_NOTHING:
		on_nothing(s);
		return;
	case HR_RESTORED:
		on_restored(s, start);
		return;
	}
}
