/* SPDX-License-Identifier: BSD-3-Clause */

/* One shard: its beginning and end, what others see of it, trouble, passing time. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "dataplane/log/owned_impl.h"

#define SECOND_US 1000000u
#define SILENT_US 10000000u

/* ---- what others see ------------------------------------------------------- */

void hr_owned_show(struct hr_owned *s)
{
	static const enum hr_shard_state of_phase[] = {
		[HR_PHASE_CUT] = HR_SHARD_STARTING,
		[HR_PHASE_RESTORING] = HR_SHARD_STARTING,
		[HR_PHASE_WAITING] = HR_SHARD_STARTING,
		[HR_PHASE_FENCING] = HR_SHARD_STARTING,
		[HR_PHASE_FIRST] = HR_SHARD_STARTING,
		[HR_PHASE_READY] = HR_SHARD_READY,
		[HR_PHASE_FENCED] = HR_SHARD_FENCED,
		[HR_PHASE_STOPPED] = HR_SHARD_STOPPED,
	};
	enum hr_shard_state state = of_phase[s->phase];

	if (state == HR_SHARD_STARTING && s->was_ready)
		state = HR_SHARD_RECOVERING;
	hr_stat_set(s->cells.ready, state == HR_SHARD_READY);
	hr_owned_show_ack(s);
	/* Workers acquire it: what they read of the view is not older. */
	atomic_store_explicit(&s->view.state, state, memory_order_release);
}

void hr_owned_show_ack(struct hr_owned *s)
{
	atomic_store_explicit(&s->view.may_ack,
			      s->phase == HR_PHASE_READY && !s->must_verify,
			      memory_order_release);
}

void hr_owned_add(_Atomic uint64_t *cell, uint64_t n)
{
	/* One writer. */
	atomic_store_explicit(cell,
			      atomic_load_explicit(cell, memory_order_relaxed) + n,
			      memory_order_release);
}

void hr_owned_say(struct hr_owned *s, const char *text)
{
	snprintf(s->reason, sizeof(s->reason), "%s", text);
	s->conf->hooks.said(s->conf->hooks.ctx, s);
}

void hr_owned_log(const struct hr_owned *s, enum hr_log_level level, const char *fmt,
		  ...)
{
	char line[HR_REASON_BYTES + 32];
	va_list args;
	int n = snprintf(line, sizeof(line), "shard %u: ", s->shard);

	va_start(args, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, args);
	va_end(args);
	s->conf->hooks.tell(s->conf->hooks.ctx, level, line);
}

uint32_t hr_owned_jitter(const struct hr_owned *s, uint32_t ms)
{
	uint32_t r;

	if (!s->conf->hooks.random(s->conf->hooks.ctx, &r, sizeof(r)))
		r = s->n_ids * 7919u + s->shard; /* better than all at once */
	return ms / 2 + r % (ms / 2 + 1);
}

uint32_t hr_owned_grow(uint32_t ms, uint32_t max)
{
	return 2 * ms < max ? 2 * ms : max;
}

/* ---- trouble ----------------------------------------------------------------- */

/* The writer goes; with renews, another one comes. */
static void drop_writer(struct hr_owned *s, bool renews)
{
	s->is_renewing = true;
	s->has_failed_report = false;
	if (renews)
		s->conf->ops->renew(s->part);
	else
		s->conf->ops->retire(s->part);
}

void hr_owned_leave(struct hr_owned *s, enum hr_phase phase)
{
	s->phase = phase;
	s->deadline_us = 0;
	s->is_contested = false;
	hr_owned_doubt(s);
	atomic_store_explicit(&s->view.is_ours, false, memory_order_release);
	hr_owned_show(s);
	drop_writer(s, false);
	hr_owned_drop_all(s);
	if (s->was_owner)
		hr_owned_told(s, HR_TOLD_LOST);
	s->was_owner = false;
	if (phase == HR_PHASE_FENCED)
		hr_owned_follow_begin(s);
}

void hr_owned_stop(struct hr_owned *s, const char *fmt, ...)
{
	char text[HR_REASON_BYTES];
	va_list args;

	if (s->phase == HR_PHASE_STOPPED)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	hr_owned_say(s, text);
	hr_owned_log(s, HR_LOG_ERROR, "stopped: %s", text);
	hr_owned_leave(s, HR_PHASE_STOPPED);
}

/* HR_MUTANT(timeout_means_absent): what has no outcome is sent again without a look. */
static void believe_absent(struct hr_owned *s)
{
	if (!HR_MUTANT(timeout_means_absent) || s->flight == NULL)
		return;
	s->flight->is_reported = true;
	hr_owned_flight_back(s);
}

void hr_owned_recover(struct hr_owned *s, const struct hr_now *now, uint32_t wait_ms,
		      bool reads_anew, const char *fmt, ...)
{
	uint64_t until_us = now->mono_us + (uint64_t)wait_ms * 1000;
	char text[HR_REASON_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	hr_owned_say(s, text);
	hr_owned_log(s, HR_LOG_WARN, "%s", text);
	hr_stat_add(s->cells.recoveries, 1);
	if (until_us > s->not_before_us)
		s->not_before_us = until_us;
	s->phase = HR_PHASE_WAITING;
	s->deadline_us = 0;
	hr_owned_doubt(s);
	hr_owned_show(s);
	drop_writer(s, true);
	believe_absent(s);
	if (reads_anew)
		s->conf->ops->seek(s->part, s->next_offset);
}

static const char *why_late(struct hr_owned *s, struct hr_err *err)
{
	if (s->was_delivered)
		return "the log has taken it";
	(void)s->conf->ops->writer(s->part, err);
	return err->text[0] != '\0' ? err->text : "the log has not answered";
}

/* Read back long ago, and the writer still refers to its bytes: enough of those, and no
 * buffer is left. */
static bool is_silent(const struct hr_owned *s, const struct hr_now *now)
{
	for (const struct hr_append *a = s->appends; a != NULL; a = a->next)
		if (a->is_done && !a->is_reported &&
		    now->mono_us - a->sent_us > SILENT_US)
			return true;
	return false;
}

/* Returns true when there is trouble: then the shard is recovering. */
static bool has_trouble(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_err err = { "" };
	bool was_fencing = s->phase == HR_PHASE_FENCING;
	bool is_broken = s->conf->ops->is_broken(s->part, &err);

	if (s->has_failed_report || is_broken) {
		char why[96];

		snprintf(why, sizeof(why), "%.95s",
			 s->has_failed_report ? s->failed_report : err.text);
		hr_owned_recover(s, now, hr_owned_jitter(s, s->backoff_ms), false,
				 "appending to the log: %s", why);
		s->backoff_ms = hr_owned_grow(s->backoff_ms, HR_BACKOFF_MAX_MS);
		return true;
	}
	if (is_silent(s, now)) {
		hr_owned_recover(s, now, hr_owned_jitter(s, HR_BACKOFF_MIN_MS), false,
				 "a link was read back, and %u s later its writer has "
				 "not reported it",
				 SILENT_US / SECOND_US);
		return true;
	}
	if (s->deadline_us == 0 || now->mono_us < s->deadline_us)
		return false;
	if (HR_MUTANT(same_n_again) && s->flight != NULL) {
		s->flight->is_reported = true;
		hr_owned_flight_back(s);
		return false; /* and sent again, with what it had and the same n */
	}
	hr_owned_recover(s, now, hr_owned_jitter(s, HR_BACKOFF_MIN_MS),
			 s->was_delivered, "%s was not read back within %u s (%.150s)",
			 was_fencing ? "a fence" : "a link", s->watchdog_ms / 1000,
			 why_late(s, &err));
	s->watchdog_ms = hr_owned_grow(s->watchdog_ms, HR_WATCHDOG_MAX_MS);
	return true;
}

/* ---- time passes ----------------------------------------------------------- */

static void say_progress(struct hr_owned *s, const struct hr_now *now)
{
	char text[HR_REASON_BYTES];

	if (s->caught_up || now->mono_us - s->last_progress_us < SECOND_US)
		return;
	s->last_progress_us = now->mono_us;
	snprintf(text, sizeof(text),
		 "reading the chain in %s: at link %llu, offset %lld",
		 s->conf->set->log_topic, (unsigned long long)s->chain.n,
		 (long long)s->next_offset);
	hr_owned_say(s, text);
}

/* The old writer is gone: nothing refers to epochs it was given. */
static void look_at_writer(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_err err = { "" };
	enum hr_log_writer writer = s->conf->ops->writer(s->part, &err);

	if (writer == HR_LOG_WRITER_OPENING)
		return;
	s->is_renewing = false;
	for (struct hr_append *a = s->appends; a != NULL; a = a->next)
		a->is_reported = true;
	hr_owned_reap(s);
	if (writer != HR_LOG_WRITER_FAILED)
		return;
	s->not_before_us = now->mono_us + SECOND_US;
	hr_owned_log(s, HR_LOG_WARN, "no new writer: %s; tried again", err.text);
}

static void step_waiting(struct hr_owned *s, const struct hr_now *now)
{
	struct hr_err err;

	if (s->is_renewing || now->mono_us < s->not_before_us)
		return;
	if (s->conf->ops->writer(s->part, &err) != HR_LOG_WRITER_READY)
		drop_writer(s, true);
	/* In doubt nothing is read on, so who fenced us may have shown that he is alive. */
	else if (s->caught_up && !(s->is_contested && s->must_verify))
		hr_owned_fence(s, now);
}

void hr_owned_step(struct hr_owned *s, const struct hr_now *now)
{
	if (s->is_renewing)
		look_at_writer(s, now);
	else if (s->appends != NULL || s->deadline_us != 0)
		hr_owned_reports(s, now);
	if (s->phase != HR_PHASE_CUT && s->phase != HR_PHASE_RESTORING)
		hr_owned_verify(s, now);
	switch (s->phase) {
	case HR_PHASE_FENCED:
		hr_owned_step_followed(s, now);
		return;
	case HR_PHASE_STOPPED:
		return;
	case HR_PHASE_CUT:
		hr_owned_step_cut(s, now);
		return;
	case HR_PHASE_RESTORING:
		hr_owned_step_restore(s, now);
		return;
	case HR_PHASE_WAITING:
		say_progress(s, now);
		step_waiting(s, now);
		return;
	case HR_PHASE_READY:
		hr_owned_complain(s, now);
		if (!has_trouble(s, now) && s->flight == NULL)
			hr_owned_send_next(s, now);
		return;
	case HR_PHASE_FIRST:
		if (!has_trouble(s, now) && s->flight == NULL)
			hr_owned_send_first(s, now);
		return;
	case HR_PHASE_FENCING:
		(void)has_trouble(s, now);
		return;
	}
}

void hr_owned_back(struct hr_owned *s, const struct hr_link *link)
{
	(void)link;
	s->n_out--;
}

void hr_owned_hand_out(struct hr_owned *s, struct hr_link *told)
{
	s->n_out++;
	s->conf->hooks.hand_out(s->conf->hooks.ctx, s, told);
}

/* ---- beginning and end ----------------------------------------------------- */

/* Before anything is read or fenced: whoever has that version loses nothing by us. */
static void stop_for_version(struct hr_owned *s, uint32_t version)
{
	struct hr_err err = { "" };

	(void)hr_fold_version_check(version, "its newest snapshot is of", &err);
	hr_owned_stop(s, "%s", err.text);
}

int hr_owned_init(struct hr_owned *s, const struct hr_owned_conf *conf, uint16_t shard,
		  const struct hr_log_start *start, const struct hr_owned_cells *cells,
		  struct hr_err *err)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->conf = conf;
	s->cells = *cells;
	s->shard = shard;
	s->watchdog_ms = HR_WATCHDOG_MIN_MS;
	s->backoff_ms = HR_BACKOFF_MIN_MS;
	s->end_at_start = s->tail.offset = -1;
	s->view.clock_offset_us = INT64_MIN;
	hr_chain_init(&s->chain, conf->set, shard);
	if (start != NULL && start->chain.n > 0) {
		hr_owned_start_from(s, start);
	}
	if (start != NULL) {
		s->proved_n = start->lost_n;
		s->proved_hash = start->lost_hash;
	}
	s->known_n = s->chain.n;
	s->known_hash = s->chain.hash;
	s->max_waiting = conf->max_waiting + 1; /* the one in flight may come back */
	s->waiting = calloc(s->max_waiting, sizeof(struct hr_epoch *));
	if (s->waiting == NULL)
		return hr_fail(err, -ENOMEM, "no memory for shard %u", shard);
	if (conf->others != NULL && conf->others[shard]) {
		s->phase = HR_PHASE_FENCED;
		hr_owned_follow_begin(s);
	} else {
		s->phase = HR_PHASE_WAITING;
	}
	hr_owned_show(s);
	hr_owned_say(s, s->phase == HR_PHASE_FENCED ? "another appliance's"
						    : "reading the chain");
	/* Without a start from offset 0: a log that lost its beginning is told by an
	 * error. */
	r = conf->ops->part_open(&s->part, conf->log, shard, s->next_offset, err);
	if (r == 0 && start != NULL && start->needs_version != 0 &&
	    s->phase == HR_PHASE_WAITING)
		stop_for_version(s, start->needs_version);
	return r;
}

bool hr_owned_is_drained(const struct hr_owned *s)
{
	return s->n_waiting == 0 && (s->flight == NULL || s->flight->epoch == NULL);
}

uint64_t hr_owned_end(struct hr_owned *s)
{
	uint64_t tentative = 0;

	if (s->flight != NULL) {
		if (s->flight->epoch != NULL)
			tentative += s->flight->epoch->n_items;
		s->flight->is_done = true;
		s->flight = NULL;
	}
	hr_owned_last(s, NULL);
	s->conf->ops->part_close(s->part);
	s->part = NULL;
	for (struct hr_append *a = s->appends; a != NULL; a = a->next)
		a->is_reported = true;
	while (s->n_waiting > 0) {
		struct hr_epoch *epoch = hr_owned_waiting_pop(s);

		tentative += epoch->n_items;
		s->conf->hooks.put_epoch(s->conf->hooks.ctx, epoch);
	}
	hr_owned_reap(s);
	assert(s->appends == NULL);
	return tentative;
}

void hr_owned_fini(struct hr_owned *s)
{
	if (s->part != NULL) {
		hr_owned_last(s, NULL);
		s->conf->ops->part_close(s->part);
	}
	free(s->waiting);
}
