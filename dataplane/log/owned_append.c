/* SPDX-License-Identifier: BSD-3-Clause */

/* Epochs: taken, sent, given back. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/log/owned_impl.h"

#define IDLE_LINK_US (3600ull * 1000000u)

/* ---- taken, given back ------------------------------------------------------- */

void hr_owned_waiting_push(struct hr_owned *s, struct hr_epoch *epoch)
{
	assert(s->n_waiting < s->max_waiting);
	s->waiting[(s->waiting_at + s->n_waiting++) % s->max_waiting] = epoch;
}

static void waiting_push_front(struct hr_owned *s, struct hr_epoch *epoch)
{
	assert(s->n_waiting < s->max_waiting);
	s->waiting_at = (s->waiting_at + s->max_waiting - 1) % s->max_waiting;
	s->waiting[s->waiting_at] = epoch;
	s->n_waiting++;
}

struct hr_epoch *hr_owned_waiting_pop(struct hr_owned *s)
{
	struct hr_epoch *epoch = s->waiting[s->waiting_at];

	s->waiting_at = (s->waiting_at + 1) % s->max_waiting;
	s->n_waiting--;
	return epoch;
}

void hr_owned_reap(struct hr_owned *s)
{
	struct hr_append **at = &s->appends;

	while (*at != NULL) {
		struct hr_append *a = *at;

		if (!a->is_done || !a->is_reported) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		if (a->epoch != NULL)
			s->conf->hooks.put_epoch(s->conf->hooks.ctx, a->epoch);
		free(a);
	}
}

static void count_dropped(struct hr_owned *s, const struct hr_epoch *epoch)
{
	hr_stat_add(s->phase == HR_PHASE_FENCED ? s->cells.dropped_fenced
						: s->cells.dropped_stopped,
		    epoch->n_items);
	hr_owned_add(&s->view.items_dropped, epoch->n_items);
	hr_owned_add(&s->view.epochs_done, 1);
}

/* Fenced or stopped: nothing of ours will be accepted any more. */
void hr_owned_drop_all(struct hr_owned *s)
{
	if (s->flight != NULL) {
		s->flight->is_done = true;
		if (s->flight->epoch != NULL)
			count_dropped(s, s->flight->epoch);
		s->flight = NULL;
	}
	while (s->n_waiting > 0) {
		struct hr_epoch *epoch = hr_owned_waiting_pop(s);

		count_dropped(s, epoch);
		s->conf->hooks.put_epoch(s->conf->hooks.ctx, epoch);
	}
	hr_owned_reap(s);
}

void hr_owned_flight_back(struct hr_owned *s)
{
	struct hr_append *a = s->flight;

	if (a == NULL)
		return;
	assert(a->is_reported); /* its writer is gone */
	if (a->epoch != NULL)
		waiting_push_front(s, a->epoch);
	a->epoch = NULL;
	a->is_done = true;
	s->flight = NULL;
	hr_owned_reap(s);
}

bool hr_owned_filter(struct hr_owned *s, struct hr_epoch *epoch)
{
	uint32_t n_events, n_items;

	if (epoch->fence_no == s->fence_no || HR_MUTANT(tentative_kept))
		return true;
	n_items = hr_epoch_filter(epoch, &n_events);
	epoch->fence_no = s->fence_no;
	hr_stat_add(s->cells.dropped_fenced, n_items);
	hr_owned_add(&s->view.items_dropped, n_items);
	if (epoch->body_bytes > 0)
		return true;
	hr_owned_add(&s->view.epochs_done, 1);
	s->conf->hooks.put_epoch(s->conf->hooks.ctx, epoch);
	return false;
}

/* n is given when an epoch is sent, not here: HR_MUTANT(n_at_close) does it here, and
 * keeps it where only the worker had something. */
static void give_n(struct hr_owned *s, struct hr_epoch *epoch)
{
	if (HR_MUTANT(n_at_close))
		epoch->opened_mono_us =
			s->chain.n + 1 + s->n_waiting + (s->flight != NULL);
}

void hr_owned_take(struct hr_owned *s, struct hr_epoch *epoch)
{
	/* A worker that had not seen our newest FENCE yet when it opened it. */
	if (!hr_owned_filter(s, epoch))
		return;
	give_n(s, epoch);
	hr_owned_waiting_push(s, epoch);
	if (s->phase == HR_PHASE_FENCED || s->phase == HR_PHASE_STOPPED)
		hr_owned_drop_all(s);
}

/* ---- sent ------------------------------------------------------------------- */

void hr_owned_watch(struct hr_owned *s, const struct hr_now *now)
{
	s->was_delivered = false;
	s->deadline_us = now->mono_us + (uint64_t)s->watchdog_ms * 1000;
}

void hr_owned_sent(struct hr_owned *s, int result, const struct hr_err *err)
{
	if (result == 0)
		return;
	s->has_failed_report = true;
	snprintf(s->failed_report, sizeof(s->failed_report), "%.95s", err->text);
}

/* HR_MUTANT(ack_on_delivery): what was delivered counts as if it had been read. */
static void believe_delivery(struct hr_owned *s, const struct hr_append *a,
			     const struct hr_now *now)
{
	if (HR_MUTANT(ack_on_delivery) && a != NULL && a == s->flight &&
	    a->epoch != NULL)
		hr_owned_read_bytes(s, a->epoch->record, a->bytes, now);
}

void hr_owned_reports(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_log_report report;
	struct hr_err err = { "" };

	while (s->conf->ops->report(s->part, &report, &err) > 0) {
		struct hr_append *a = report.cookie;

		if (a != NULL)
			a->is_reported = true;
		if (!report.was_taken) {
			hr_owned_sent(s, -1, &err);
		} else if (a == NULL || a == s->flight) {
			HR_CRASH_POINT(link_delivered);
			s->was_delivered = true;
			believe_delivery(s, a, now);
		}
	}
	hr_owned_reap(s);
}

/* head: all but the owner. The body of an epoch lies in place already and is not
 * copied; what is small, or sent again, is. */
static void append_link(struct hr_owned *s, struct hr_epoch *epoch, uint8_t *record,
			const struct hr_link_head *wanted, const struct hr_now *now)
{
	struct hr_link_head head = *wanted;
	struct hr_append *a = calloc(1, sizeof(*a));
	struct hr_err err;
	int r;

	if (a == NULL) {
		if (epoch != NULL)
			waiting_push_front(s, epoch);
		return; /* the next step tries again */
	}
	head.owner = s->id;
	a->epoch = epoch;
	a->owner = s->id;
	a->n = head.n;
	a->bytes =
		(uint32_t)hr_record_encode_link(record, s->conf->set, s->shard, &head);
	head.body.p = record + HR_LINK_HEAD_BYTES;
	hr_link_hash(s->conf->set, s->shard, &head, &a->hash);
	a->sent_us = now->mono_us;
	a->next = s->appends;
	s->appends = a;
	s->flight = a;
	s->own_hashes[a->n % HR_OWN_HASHES_KEPT] = a->hash;
	s->own_n = a->n;
	hr_owned_watch(s, now);
	HR_CRASH_POINT(link_before_append);
	r = s->conf->ops->append(s->part, record, a->bytes, epoch == NULL, a, &err);
	HR_CRASH_POINT(link_appended);
	a->is_reported = r < 0;
	hr_owned_sent(s, r, &err);
	if (HR_MUTANT(view_before_accept) && epoch != NULL)
		hr_owned_read_bytes(s, record, a->bytes, now);
}

/* Send a new link: n, prev_hash and clock are given here and nowhere earlier. */
static void append(struct hr_owned *s, struct hr_epoch *epoch, uint8_t *record,
		   uint16_t kind, struct hr_str body, const struct hr_now *now)
{
	const struct hr_link_head head = {
		.n = HR_MUTANT(n_at_close) && epoch != NULL ? epoch->opened_mono_us
							    : s->chain.n + 1,
		.prev_hash = s->chain.hash,
		.clock_us = hr_record_clock_at(s->conf->clock, now->mono_us,
					       s->chain.clock_us),
		.body_kind = kind,
		.body = body,
	};

	append_link(s, epoch, record, &head, now);
}

static void send_small(struct hr_owned *s, uint16_t kind, struct hr_str body,
		       const struct hr_now *now)
{
	uint8_t record[HR_LINK_HEAD_BYTES + HR_PAD8(HR_CHAIN_CONFIG_MAX) +
		       HR_RECORD_TAIL_BYTES];

	append(s, NULL, record, kind, body, now);
}

static void send_empty(struct hr_owned *s, const struct hr_now *now)
{
	static const uint8_t nothing[1];

	send_small(s, HR_BODY_EPOCH, (struct hr_str){ nothing, 0 }, now);
}

/* Behind what the log lost and nobody holds: what that was is written down. */
static void send_loss(struct hr_owned *s, const struct hr_now *now)
{
	uint8_t body[24];

	hr_store64(body, s->lost_n);
	memcpy(body + 8, &s->lost_hash, sizeof(s->lost_hash));
	send_small(s, HR_BODY_LOSS, (struct hr_str){ body, sizeof(body) }, now);
}

static void send_config(struct hr_owned *s, const struct hr_now *now)
{
	uint8_t body[HR_CHAIN_CONFIG_MAX];
	struct hr_chain_config config = s->conf->file;
	size_t n;

	/* A chain never goes back to older rules. */
	if (config.fold_version < s->config.fold_version)
		config.fold_version = s->config.fold_version;
	n = hr_chain_config_encode(body, &config);

	send_small(s, HR_BODY_CONFIG, (struct hr_str){ body, (uint32_t)n }, now);
}

/* What the log lost first; then, so that an owner is visible: CONFIG on an empty chain,
 * LOSS where something was given up, else an empty EPOCH. */
void hr_owned_send_first(struct hr_owned *s, const struct hr_now *now)
{
	if (s->chain.n < s->known_n)
		hr_owned_send_again(s, now);
	else if (s->chain.n == 0)
		send_config(s, now);
	else if (s->accepts_loss)
		send_loss(s, now);
	else
		send_empty(s, now);
}

static struct hr_link *first_of_memory(const struct hr_owned *s)
{
	uint64_t n = s->conf->hooks.first_kept(s->conf->hooks.ctx, s);

	return n > 0 ? s->conf->hooks.kept(s->conf->hooks.ctx, s, n) : NULL;
}

/* The same {n, hash} under another owner: only head and crc are written anew. */
void hr_owned_send_again(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_link *link =
		s->conf->hooks.kept(s->conf->hooks.ctx, s, s->chain.n + 1);
	uint8_t *record;

	if (HR_MUTANT(reappend_with_hole) && link == NULL)
		link = first_of_memory(s);
	if (link == NULL) {
		hr_owned_stop(s, "link %llu has left memory while it was needed",
			      (unsigned long long)s->chain.n + 1);
		return;
	}
	record = malloc(link->record_bytes);
	if (record != NULL)
		append_link(s, NULL, record,
			    &(struct hr_link_head){ .n = link->n,
						    .prev_hash = link->prev_hash,
						    .clock_us = link->clock_us,
						    .body_kind = link->body_kind,
						    .body = link->body },
			    now);
	free(record);
	hr_link_put(link);
}

void hr_owned_send_next(struct hr_owned *s, const struct hr_now *now)
{
	const enum hr_config_is config = hr_owned_config_is(s, now);
	struct hr_epoch *epoch;

	if (config == HR_CONFIG_HOLDS)
		return;
	if (config == HR_CONFIG_DUE) {
		send_config(s, now);
	} else if (s->n_waiting > 0) {
		epoch = hr_owned_waiting_pop(s);
		append(s, epoch, epoch->record, HR_BODY_EPOCH,
		       (struct hr_str){ hr_epoch_body(epoch), epoch->body_bytes }, now);
	} else if (now->mono_us > s->last_link_us + IDLE_LINK_US) {
		send_empty(s, now);
	}
}

void hr_owned_flight_accepted(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_append *a = s->flight;

	a->is_done = true;
	s->flight = NULL;
	/* One that was given up may come while our next FENCE is on its way: the
	 * watchdog is the FENCE's then, and without it nobody would send another. */
	if (s->phase != HR_PHASE_FENCING)
		s->deadline_us = 0;
	s->watchdog_ms = HR_WATCHDOG_MIN_MS;
	s->backoff_ms = HR_BACKOFF_MIN_MS;
	hr_stat_observe_us(s->cells.append_seconds, now->mono_us - a->sent_us);
	hr_stat_add(s->cells.log_bytes, a->bytes);
	if (a->epoch != NULL) {
		if (a->epoch->oldest_received_us != 0 &&
		    now->wall_us > a->epoch->oldest_received_us)
			hr_stat_observe_many_us(s->cells.latency_seconds,
						now->wall_us -
							a->epoch->oldest_received_us,
						a->epoch->n_items);
		hr_stat_add(s->cells.epochs_accepted, 1);
		hr_stat_add(s->cells.datagrams_logged, a->epoch->n_items);
		hr_owned_add(&s->view.items_accepted, a->epoch->n_items);
		hr_owned_add(&s->view.epochs_done, 1);
	}
	hr_owned_reap(s);
}
