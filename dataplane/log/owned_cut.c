/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The log was cut: what had been accepted is not there any more, or something else is.
 *
 * Everything handed out stays as it is while the newest link in memory that still lies
 * where it lay is looked for, by halving: what stands before a link that is there is
 * there. From behind it the log is read again. Where it comes to its end before the
 * links that were handed out do, the missing ones are appended again under a new owner,
 * in order and with the same {n, hash}, so that worker and views fit as they are; but
 * only if memory holds all of them. Else the shard stops with the list of what nobody
 * holds, until the operator accepts the loss.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/mutant.h"
#include "dataplane/log/owned_impl.h"

void hr_owned_cut(struct hr_owned *s, const struct hr_now *now, const char *why)
{
	/* Where reading begins nothing is left to look for. */
	if (s->next_offset == 0 || (s->start != NULL && !s->has_begun)) {
		char text[HR_REASON_BYTES];

		if (s->next_offset == 0)
			snprintf(text, sizeof(text),
				 "the log does not begin with link 1 any more, and no "
				 "snapshot says what was before its beginning: bring "
				 "back the log, or the snapshots (%.170s)",
				 why);
		else
			snprintf(text, sizeof(text), "behind link %llu: %.280s",
				 (unsigned long long)s->chain.n, why);
		hr_owned_restore(s, text);
		return;
	}
	hr_owned_recover(s, now, 0, false, "the log was cut: %.200s", why);
	hr_owned_look_again(s);
}

void hr_owned_look_again(struct hr_owned *s)
{
	/* An answer that is on its way may be from before. */
	if (s->asked != NULL)
		hr_link_put(s->asked);
	s->asked = NULL;
	s->asks_tail = false;
	s->phase = HR_PHASE_CUT;
	s->caught_up = false;
	s->ask_at_us = 0;
	s->cut_low = s->cut_high = 0;
	hr_owned_show(s);
}

/* Read on behind link n, with the chain as it was there. */
static void go_on_behind(struct hr_owned *s, const struct hr_link *link)
{
	s->chain.has_owner = true;
	s->chain.owner = link->owner;
	memcpy(s->chain.addresses, link->addresses, sizeof(s->chain.addresses));
	s->chain.incarnation = link->incarnation;
	s->chain.n = link->n;
	s->chain.hash = link->hash;
	s->chain.clock_us = link->clock_us;
	s->next_offset = link->offset + 1;
}

static void go_on_from_the_start(struct hr_owned *s)
{
	if (s->start != NULL) {
		s->chain = s->start->chain;
		s->chain.set = s->conf->set;
		s->next_offset = s->start->offset;
		s->has_begun = false;
		return;
	}
	hr_chain_init(&s->chain, s->conf->set, s->shard);
	s->next_offset = 0;
}

/* cut_low is the newest link that is there, or 0. */
static void read_again(struct hr_owned *s)
{
	struct hr_link *link = NULL;

	if (s->cut_low > 0)
		link = s->conf->hooks.kept(s->conf->hooks.ctx, s, s->cut_low);
	if (link == NULL && s->last != NULL && s->last->n == s->cut_low) {
		link = s->last;
		hr_link_get(link);
	}
	hr_owned_last(s, link);
	if (link != NULL) {
		go_on_behind(s, link);
		hr_link_put(link);
	} else {
		go_on_from_the_start(s);
	}
	s->tail.offset = -1;
	s->end_at_start = -1;
	s->phase = HR_PHASE_WAITING;
	hr_owned_show(s);
	s->conf->ops->seek(s->part, s->next_offset);
}

/* One of the answers: low is there (or 0: not known), high is not. */
static void narrow(struct hr_owned *s, uint64_t asked, const struct hr_now *now)
{
	bool is_same = false;

	switch (hr_owned_answer(s, &is_same)) {
	case HR_LOG_NOTHING:
		return;
	case HR_LOG_RECORD:
	case HR_LOG_GONE:
		if (is_same)
			s->cut_low = asked;
		else
			s->cut_high = asked;
		s->ask_at_us = 0;
		return;
	default: /* not known: from the beginning */
		s->ask_at_us = now->mono_us + 100000;
		s->cut_low = s->cut_high = 0;
		return;
	}
}

void hr_owned_step_cut(struct hr_owned *s, const struct hr_now *now)
{
	uint64_t first, n;
	struct hr_link *link;

	if (s->n_out > 0) /* all of it has to be in memory first */
		return;
	if (s->asked != NULL && s->cut_high > 0) {
		narrow(s, s->asked->n, now);
		return;
	}
	if (now->mono_us < s->ask_at_us)
		return;
	first = s->conf->hooks.first_kept(s->conf->hooks.ctx, s);
	if (s->cut_high == 0) {
		s->cut_high = s->known_n + 1;
		/* Memory has forgotten the shard: the newest is all there is to ask for.
		 * Else it is the last to be asked for: it may have come behind a hole. */
		if (first == 0 && s->last != NULL) {
			hr_owned_ask(s, s->last, now);
			return;
		}
	}
	if (first == 0 || s->cut_low + 1 >= s->cut_high || first >= s->cut_high) {
		read_again(s);
		return;
	}
	n = s->cut_low < first ? first : s->cut_low + (s->cut_high - s->cut_low) / 2;
	link = s->conf->hooks.kept(s->conf->hooks.ctx, s, n);
	if (link == NULL) {
		s->cut_high = n;
		return;
	}
	hr_owned_ask(s, link, now);
	hr_link_put(link);
}

static void stop_with_list(struct hr_owned *s, uint64_t n, const struct hr_id128 *hash,
			   const char *what)
{
	s->lost_n = n;
	s->lost_hash = *hash;
	hr_owned_stop(s,
		      "the log was cut: links %llu to %llu were accepted and %s; "
		      "headracectl log accept-loss %u goes on without them",
		      (unsigned long long)s->chain.n + 1, (unsigned long long)n, what,
		      s->shard);
}

void hr_owned_look_for_proved(struct hr_owned *s, const struct hr_link_head *link)
{
	if (s->proved_n == 0)
		return;
	/* Somebody permitted to go on without it. */
	if (link->body_kind == HR_BODY_LOSS && link->body.n >= 8 &&
	    hr_load64(link->body.p) >= s->proved_n) {
		s->proved_n = 0;
		return;
	}
	if (s->chain.n != s->proved_n)
		return;
	s->is_displaced = !hr_id128_equals(&s->chain.hash, &s->proved_hash);
	if (!s->is_displaced)
		s->proved_n = 0;
}

static void stop_for_proved(struct hr_owned *s)
{
	if (!s->is_displaced) {
		stop_with_list(s, s->proved_n, &s->proved_hash,
			       "are not there, as a snapshot shows");
		return;
	}
	s->lost_n = s->proved_n;
	s->lost_hash = s->proved_hash;
	hr_owned_stop(
		s,
		"the log was cut and grew again: another link %llu stands where a "
		"snapshot shows that one had been accepted; headracectl log "
		"accept-loss %u goes on with what is there",
		(unsigned long long)s->proved_n, s->shard);
}

bool hr_owned_may_mend(struct hr_owned *s)
{
	uint64_t first;

	if (s->proved_n > 0 && !s->was_ready && !s->accepts_loss) {
		stop_for_proved(s);
		return false;
	}
	if (s->chain.n >= s->known_n)
		return true;
	first = s->conf->hooks.first_kept(s->conf->hooks.ctx, s);
	if (HR_MUTANT(reappend_with_hole) && first > 0)
		return true;
	if (first > 0 && first <= s->chain.n + 1)
		return true;
	stop_with_list(s, s->known_n, &s->known_hash,
		       "nobody holds all of them any more");
	return false;
}

bool hr_owned_is_known(struct hr_owned *s)
{
	struct hr_link *link = s->conf->hooks.kept(s->conf->hooks.ctx, s, s->chain.n);
	bool is_same = link == NULL || hr_id128_equals(&link->hash, &s->chain.hash);

	if (s->chain.n == s->known_n)
		is_same &= hr_id128_equals(&s->known_hash, &s->chain.hash);
	if (link != NULL)
		hr_link_put(link);
	if (!is_same) {
		s->chain.n--; /* for the list: from this link on */
		stop_with_list(s, s->known_n, &s->known_hash,
			       "others have taken their place");
	}
	return is_same;
}

int hr_owned_accept_loss(struct hr_owned *s, struct hr_err *err)
{
	if (s->phase != HR_PHASE_STOPPED || s->lost_n == 0)
		return hr_fail(err, -EINVAL, "shard %u has lost nothing", s->shard);
	if (s->n_out > 0)
		return hr_fail(err, -EAGAIN, "shard %u: its worker is still busy",
			       s->shard);
	/* Worker and memory stand where the log does, or have to begin anew: also where the
	 * link that they began from is lost. It may have been cut again since: nobody has
	 * looked. */
	if (s->chain.n != s->known_n || (s->start != NULL && !s->has_begun) ||
	    !hr_id128_equals(&s->chain.hash, &s->known_hash)) {
		if (!s->conf->hooks.forget(s->conf->hooks.ctx, s))
			return hr_fail(err, -ENOMEM, "no memory to begin anew");
		s->start = NULL;
		go_on_from_the_start(s);
		s->known_n = s->chain.n;
		s->known_hash = s->chain.hash;
		hr_owned_last(s, NULL);
	}
	hr_owned_look_again(s);
	hr_owned_log(s, HR_LOG_WARN,
		     "the loss of what was accepted up to link %llu is "
		     "accepted: the chain is read anew",
		     (unsigned long long)s->lost_n);
	s->not_before_us = 0;
	s->accepts_loss = true;
	hr_owned_say(s, "reading the chain, to go on behind what was lost");
	s->conf->ops->renew(s->part);
	s->is_renewing = true;
	return 0;
}
