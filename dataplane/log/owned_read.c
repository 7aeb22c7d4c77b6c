/* SPDX-License-Identifier: BSD-3-Clause */

/* Reading back: everything goes through the accept rule. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owned_impl.h"

#define READ_AT_ONCE 64u /* records, then the next shard's turn */

/* ---- to the worker ------------------------------------------------------------ */

void hr_owned_told(struct hr_owned *s, enum hr_told kind)
{
	struct hr_link *told = hr_told_new(kind, s->shard);

	if (told == NULL) {
		hr_owned_stop(s, "no memory to tell the worker what has happened");
		return;
	}
	told->incarnation = s->chain.incarnation;
	told->fence_no = s->fence_no;
	hr_owned_hand_out(s, told);
}

void hr_owned_last(struct hr_owned *s, struct hr_link *link)
{
	if (s->last != NULL)
		hr_link_put(s->last);
	s->last = link;
	if (link != NULL)
		hr_link_get(link);
	else if (s->asked != NULL)
		hr_link_put(s->asked);
	if (link == NULL)
		s->asked = NULL;
}

/* The link for worker and views, with the memory that fold will write to. Takes over
 * the message if it returns true. */
static bool hand_out(struct hr_owned *s, const struct hr_log_message *m,
		     const struct hr_record *record, const struct hr_now *now)
{
	struct hr_link *link;
	struct hr_err err;

	if (hr_link_new(&link, m, record, &s->chain, now->mono_us, &err) < 0) {
		hr_owned_stop(s, "link %llu at offset %lld: %s",
			      (unsigned long long)s->chain.n, (long long)m->offset,
			      err.text);
		return false;
	}
	if (hr_out_new(link, &err) < 0) {
		hr_link_put(link); /* and the message with it */
		hr_owned_stop(s, "%s", err.text);
		return true;
	}
	hr_owned_last(s, link);
	s->known_n = link->n;
	s->known_hash = link->hash;
	hr_owned_hand_out(s, link);
	return true;
}

/* A link that was handed out before the log was cut: it only has to be asked for again
 * where it lies now. Takes over the message if it returns true. */
static bool keep_again(struct hr_owned *s, const struct hr_log_message *m,
		       const struct hr_record *record, const struct hr_now *now)
{
	struct hr_link *link;

	if (!hr_owned_is_known(s) ||
	    hr_link_new(&link, m, record, &s->chain, now->mono_us, NULL) < 0)
		return false;
	hr_owned_last(s, link);
	hr_link_put(link);
	return true;
}

/* ---- accepted ------------------------------------------------------------------ */

/* A link that was not accepted although it carries our current id: a duplicate of
 * one we sent, or a clone's. */
static void on_refused_own(struct hr_owned *s, const struct hr_link_head *link)
{
	struct hr_id128 hash;

	/* A newer one has taken its place. (The chain itself may stand further back, where
	 * the log was cut.) */
	if (link->n + HR_OWN_HASHES_KEPT <= s->own_n)
		return;
	hr_link_hash(s->conf->set, s->shard, link, &hash);
	if (!hr_id128_equals(&hash, &s->own_hashes[link->n % HR_OWN_HASHES_KEPT]))
		hr_owned_on_clone(s, link->n);
}

static void became_ready(struct hr_owned *s)
{
	HR_CRASH_POINT(first_link_accepted);
	hr_owned_log(s, HR_LOG_INFO, "%s at link %llu (incarnation %llu)",
		     s->was_ready ? "owner again" : "owner",
		     (unsigned long long)s->chain.n,
		     (unsigned long long)s->chain.incarnation);
	s->phase = HR_PHASE_READY;
	s->was_ready = true;
	s->accepts_loss = false;
	s->lost_n = 0;
	s->complain_at_us = 0;
	hr_owned_say(s, "");
	hr_owned_show(s);
}

static bool keep_config(struct hr_owned *s, struct hr_str body)
{
	struct hr_err err;

	if (hr_chain_config_decode(&s->config, body, &err) < 0) {
		hr_owned_stop(s, "link %llu: %s", (unsigned long long)s->chain.n,
			      err.text);
		return false;
	}
	s->complain_at_us = 0;
	HR_CRASH_POINT(config_read_back);
	return true;
}

/* By its hash: n alone would take another's link for our own. The owner may be another
 * where the log was cut and somebody who had read it appended it again. */
static bool is_in_flight(const struct hr_owned *s, const struct hr_link_head *link)
{
	return s->flight != NULL &&
	       (HR_MUTANT(own_by_n)
			? s->flight->n == link->n
			: hr_id128_equals(&s->flight->hash, &s->chain.hash));
}

static bool is_sent_by_us(const struct hr_owned *s, const struct hr_link_head *link)
{
	return s->flight != NULL && hr_id128_equals(&s->flight->owner, &link->owner);
}

/* Its shard stops here, and no other; the chain of this one is not read on. */
static bool is_barred(struct hr_owned *s, const struct hr_log_message *m)
{
	const struct hr_owned_hooks *hooks = &s->conf->hooks;
	struct hr_err err;

	if (s->chain.n <= s->known_n || hooks->bars == NULL ||
	    !hooks->bars(hooks->ctx, s, s->chain.n, &s->chain.hash, &err))
		return false;
	hr_owned_stop(s, "offset %lld: %s", (long long)m->offset, err.text);
	return true;
}

/* An accepted link, whoever sent it. Returns true when the message was taken. */
static bool on_link(struct hr_owned *s, const struct hr_log_message *m,
		    const struct hr_record *record, const struct hr_now *now)
{
	const struct hr_link_head *link = &record->link;
	bool is_ours;

	HR_CRASH_POINT(link_read_back);
	if (is_barred(s, m))
		return false;
	s->last_link_us = now->mono_us;
	hr_stat_set(s->cells.log_link, s->chain.n);
	if (link->body_kind == HR_BODY_CONFIG && !keep_config(s, link->body))
		return false;
	hr_owned_look_for_proved(s, link);
	is_ours = is_sent_by_us(s, link) && is_in_flight(s, link);
	if (is_in_flight(s, link))
		hr_owned_flight_accepted(s, now);
	if (is_ours) {
		if (s->phase == HR_PHASE_FIRST && s->chain.n > s->known_n)
			became_ready(s);
	} else if (!s->caught_up || s->chain.n <= s->known_n) {
		; /* history, maybe our own, read again */
	} else if (s->n_ids > 0 && hr_id128_equals(&s->id, &link->owner) &&
		   !HR_MUTANT(timeout_means_absent)) {
		hr_owned_on_clone(s, link->n);
	} else if (!hr_owned_is_own_id(s, &link->owner)) {
		hr_owned_on_foreign_link(s);
	}
	/* The floors go up when the worker folds it; it may look at this first. */
	atomic_store_explicit(&s->view.accepted_n, s->chain.n, memory_order_release);
	return s->chain.n <= s->known_n ? keep_again(s, m, record, now)
					: hand_out(s, m, record, now);
}

/* Our own bytes need no second hash. */
static enum hr_verdict offer(struct hr_owned *s, const struct hr_log_message *m,
			     const struct hr_record *record)
{
	const struct hr_append *a = s->flight;
	bool is_same = a != NULL && a->epoch != NULL && m->n_bytes == a->bytes &&
		       memcmp(m->bytes, a->epoch->record, a->bytes) == 0;

	return hr_chain_offer_hashed(&s->chain, record, is_same ? &a->hash : NULL);
}

static void on_unknown(struct hr_owned *s, const struct hr_log_message *m,
		       const struct hr_record *record)
{
	if (record->type == HR_RECORD_LINK)
		hr_owned_stop(
			s,
			"the link at offset %lld has a body of kind %u, of a later "
			"program: use that one",
			(long long)m->offset, record->link.body_kind);
	else
		hr_owned_stop(
			s,
			"the record at offset %lld is of a later program (version "
			"%u, type %u): use that one",
			(long long)m->offset, record->version, record->type_no);
}

/* The record that the start names: it must be that link. */
static bool begin(struct hr_owned *s, const struct hr_log_message *m,
		  const struct hr_now *now)
{
	struct hr_record record;
	struct hr_link *link;
	struct hr_err err;

	if (hr_log_start_check(s->start, m->offset, m->bytes, m->n_bytes, &err) < 0) {
		hr_owned_stop(s, "%s", err.text);
		return false;
	}
	s->has_begun = true;
	if (hr_record_decode(&record, m->bytes, m->n_bytes, NULL) < 0 ||
	    hr_link_new(&link, m, &record, &s->start->chain, now->mono_us, NULL) < 0)
		return false;
	hr_owned_last(s, link);
	hr_link_put(link);
	return true;
}

/* Returns true when the message was taken. */
static bool on_record(struct hr_owned *s, const struct hr_log_message *m,
		      const struct hr_now *now)
{
	struct hr_record record;

	if (s->start != NULL && !s->has_begun)
		return begin(s, m, now);
	if (hr_record_decode(&record, m->bytes, m->n_bytes, NULL) < 0)
		return false;
	switch (offer(s, m, &record)) {
	case HR_VERDICT_LINK:
		return on_link(s, m, &record, now);
	case HR_VERDICT_FENCE:
		hr_owned_on_fence(s, &record.fence, m, now);
		break;
	case HR_VERDICT_STALE_FENCE:
		hr_owned_on_stale_fence(s, &record.fence, now);
		break;
	case HR_VERDICT_UNKNOWN:
		on_unknown(s, m, &record);
		break;
	case HR_VERDICT_FOREIGN:
		s->saw_foreign = true;
		break;
	default:
		if (s->n_ids > 0 && hr_id128_equals(&record.link.owner, &s->id))
			on_refused_own(s, &record.link);
		break;
	}
	return false;
}

static void free_bytes(struct hr_log_message *m)
{
	free(m->held[0]);
}

void hr_owned_read_bytes(struct hr_owned *s, const uint8_t *bytes, uint32_t n,
			 const struct hr_now *now)
{
	struct hr_log_message m = { .offset = -1, .n_bytes = n, .free = free_bytes };

	m.held[0] = malloc(n);
	if (m.held[0] == NULL)
		return;
	memcpy(m.held[0], bytes, n);
	m.bytes = m.held[0];
	if (!on_record(s, &m, now))
		free_bytes(&m);
}

/* ---- the end of what is there ---------------------------------------------------- */

static void on_end(struct hr_owned *s)
{
	if (s->caught_up || s->phase == HR_PHASE_CUT)
		return;
	if (!hr_owned_may_mend(s))
		return;
	s->caught_up = true;
	/* A fresh chain behind somebody else's records is how a lost headrace.meta
	 * would show: nobody would miss the old data until it is too late. */
	if (s->chain.n == 0 && s->saw_foreign)
		hr_owned_stop(s,
			      "%s holds records of another data set and none of this "
			      "one: headrace.meta was lost or made anew; bring it "
			      "back, or use another kafka.topic_prefix",
			      s->conf->set->log_topic);
}

/*
 * The chain counts as read once everything is that was there when reading began: on
 * a partition that somebody appends to all the time the end never comes. What
 * follows is read before our own FENCE is seen.
 */
static void look_for_end(struct hr_owned *s)
{
	if (s->caught_up)
		return;
	if (s->end_at_start < 0)
		s->end_at_start = s->conf->ops->end(s->part);
	if (s->end_at_start >= 0 && s->next_offset >= s->end_at_start)
		on_end(s);
}

static void on_trouble(struct hr_owned *s, const struct hr_err *err,
		       const struct hr_now *now)
{
	hr_owned_recover(s, now, hr_owned_jitter(s, s->backoff_ms), true,
			 "reading the log: %.200s", err->text);
	s->backoff_ms = hr_owned_grow(s->backoff_ms, HR_BACKOFF_MAX_MS);
}

/* Returns false when there is nothing more. */
static bool read_one(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_log_message m;
	struct hr_err err;

	switch (s->conf->ops->read(s->part, &m, &err)) {
	case HR_LOG_RECORD:
		s->next_offset = m.offset + 1;
		if (on_record(s, &m, now)) {
			s->tail.offset = -1;
		} else {
			hr_owned_keep_tail(s, &m);
			m.free(&m);
		}
		break;
	case HR_LOG_END:
		on_end(s);
		break;
	case HR_LOG_GONE:
		hr_owned_cut(s, now, err.text);
		break;
	case HR_LOG_DAMAGED:
		hr_owned_stop(s, "behind link %llu: %s", (unsigned long long)s->chain.n,
			      err.text);
		break;
	case HR_LOG_TROUBLE:
		on_trouble(s, &err, now);
		break;
	case HR_LOG_NOTHING:
		return false;
	}
	look_for_end(s);
	return true;
}

unsigned int hr_owned_read(struct hr_owned *s, const struct hr_now *now)
{
	unsigned int n = 0;

	if (s->phase == HR_PHASE_FENCED)
		return hr_owned_follow(s, now);
	while (n < READ_AT_ONCE && !hr_owned_is_in_doubt(s) &&
	       s->phase != HR_PHASE_CUT && s->phase != HR_PHASE_RESTORING &&
	       s->phase != HR_PHASE_FENCED && s->phase != HR_PHASE_STOPPED &&
	       s->conf->hooks.has_room(s->conf->hooks.ctx, s) && read_one(s, now))
		n++;
	return n;
}
