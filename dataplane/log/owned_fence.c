/* SPDX-License-Identifier: BSD-3-Clause */

/* Becoming owner, and stepping down. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/log/owned_impl.h"

bool hr_owned_is_own_id(const struct hr_owned *s, const struct hr_id128 *id)
{
	uint32_t n = s->n_ids < HR_OWNER_IDS_KEPT ? s->n_ids : HR_OWNER_IDS_KEPT;

	for (uint32_t i = 0; i < n; i++)
		if (hr_id128_equals(&s->ids[i], id))
			return true;
	return false;
}

/* The process's clock, from the first FENCE that any of its shards reads back. */
static void take_clock(struct hr_owned *s, int64_t stamped_ms, const struct hr_now *now)
{
	int64_t corrected;

	if (s->conf->clock->is_set)
		return;
	s->fence_times.stamped_ms = stamped_ms;
	s->fence_times.seen_mono_us = now->mono_us;
	s->fence_times.seen_wall_us = now->wall_us;
	/* A store without a clock of its own: the wall clock is all there is. */
	if (stamped_ms == 0)
		s->fence_times.stamped_ms = (int64_t)now->wall_us / 1000;
	corrected = hr_record_clock_take(s->conf->clock, &s->fence_times);
	if (corrected != 0)
		hr_owned_log(s, HR_LOG_WARN,
			     "the wall clock is off: record time runs %+lld ms beside "
			     "it, within a second of the broker's",
			     (long long)(corrected / 1000));
}

static void filter_waiting(struct hr_owned *s)
{
	for (uint32_t n = s->n_waiting; n > 0; n--) {
		struct hr_epoch *epoch = hr_owned_waiting_pop(s);

		if (hr_owned_filter(s, epoch))
			hr_owned_waiting_push(s, epoch);
	}
}

/* Our FENCE was accepted: what was in flight under the old id never will be. What is
 * tentative goes, but for what came without acknowledgement: nobody else would send
 * that again. */
static void became_owner(struct hr_owned *s, int64_t stamped_ms,
			 const struct hr_now *now)
{
	HR_CRASH_POINT(fence_accepted);
	take_clock(s, stamped_ms, now);
	atomic_store_explicit(&s->view.clock_offset_us, s->conf->clock->offset_us,
			      memory_order_release);
	s->fence_no++;
	hr_owned_flight_back(s);
	filter_waiting(s);
	s->was_owner = true;
	s->is_claimed = false;
	s->is_contested = false;
	s->phase = HR_PHASE_FIRST;
	hr_owned_told(s, HR_TOLD_FENCE);
	if (s->phase == HR_PHASE_FIRST)
		hr_owned_send_first(s, now);
}

static bool draw_id(struct hr_owned *s)
{
	if (HR_MUTANT(same_owner_id) && s->n_ids > 0)
		return true;
	return s->conf->hooks.random(s->conf->hooks.ctx, &s->id, sizeof(s->id));
}

/* Append FENCE(current + 1) under an owner id that nobody has ever seen. */
void hr_owned_fence(struct hr_owned *s, const struct hr_now *now)
{
	uint8_t record[HR_FENCE_MAX];
	struct hr_fence f = { .incarnation = s->chain.incarnation + 1 };
	struct hr_err err;
	size_t n;
	int r;

	if (!draw_id(s)) {
		hr_owned_stop(s, "the kernel gave no random bytes");
		return;
	}
	if (HR_MUTANT(no_fence) && s->chain.has_owner)
		s->id = s->chain.owner;
	f.owner = s->id;
	f.addresses = (struct hr_str){ (const uint8_t *)s->conf->addresses,
				       (uint32_t)strlen(s->conf->addresses) };
	s->ids[s->n_ids++ % HR_OWNER_IDS_KEPT] = s->id;
	s->fence_times.sent_mono_us = now->mono_us;
	s->fence_times.sent_wall_us = now->wall_us;
	if (HR_MUTANT(no_fence) && s->chain.has_owner) {
		became_owner(s, 0, now);
		return;
	}
	n = hr_record_encode_fence(record, s->conf->set, s->shard, &f);
	s->phase = HR_PHASE_FENCING;
	hr_owned_watch(s, now);
	HR_CRASH_POINT(fence_before_append);
	r = s->conf->ops->append(s->part, record, (uint32_t)n, true, NULL, &err);
	HR_CRASH_POINT(fence_appended);
	hr_owned_sent(s, r, &err);
}

static void on_foreign_fence(struct hr_owned *s, const struct hr_now *now)
{
	bool is_owner = s->phase == HR_PHASE_FIRST || s->phase == HR_PHASE_READY;
	unsigned long long i = (unsigned long long)s->chain.incarnation;

	if (!s->caught_up)
		return; /* history */
	if (is_owner || s->was_owner) {
		s->is_contested = true;
		hr_owned_recover(s, now, HR_CONTEST_MS, false,
				 "fenced by another appliance (incarnation %llu); it "
				 "has %u s to show that it is alive",
				 i, HR_CONTEST_MS / 1000);
	} else if (s->phase == HR_PHASE_FENCING) {
		hr_owned_recover(s, now, hr_owned_jitter(s, 400), false,
				 "another appliance fenced first (incarnation %llu); "
				 "tried again",
				 i);
	}
}

void hr_owned_keep_addresses(struct hr_owned *s, const struct hr_fence *f)
{
	uint32_t n =
		f->addresses.n < HR_ADDRESSES_MAX ? f->addresses.n : HR_ADDRESSES_MAX;

	memcpy(s->addresses, f->addresses.p, n);
	s->addresses[n] = '\0';
	s->conf->hooks.said(s->conf->hooks.ctx, s);
}

void hr_owned_on_fence(struct hr_owned *s, const struct hr_fence *f,
		       const struct hr_log_message *m, const struct hr_now *now)
{
	hr_stat_set(s->cells.incarnation, f->incarnation);
	atomic_store_explicit(&s->view.incarnation, f->incarnation,
			      memory_order_relaxed);
	hr_owned_keep_addresses(s, f);
	atomic_store_explicit(&s->view.is_ours, hr_owned_is_own_id(s, &f->owner),
			      memory_order_release);
	if (s->phase == HR_PHASE_FENCING && hr_id128_equals(&f->owner, &s->id))
		became_owner(s, m->stamped_ms, now);
	else if (!hr_owned_is_own_id(s, &f->owner))
		on_foreign_fence(s, now);
	else if (s->phase != HR_PHASE_WAITING)
		hr_owned_recover(s, now, 0, false,
				 "a fence of ours, given up before, arrived late");
}

void hr_owned_on_stale_fence(struct hr_owned *s, const struct hr_fence *f,
			     const struct hr_now *now)
{
	if (s->phase == HR_PHASE_FENCING && hr_id128_equals(&f->owner, &s->id))
		hr_owned_recover(s, now, hr_owned_jitter(s, 400), false,
				 "another appliance fenced first (incarnation %llu); "
				 "tried again",
				 (unsigned long long)s->chain.incarnation);
}

static int keep(const struct hr_owned *s, bool is_ours, struct hr_err *err)
{
	const struct hr_owned_hooks *hooks = &s->conf->hooks;

	return hooks->keep == NULL ? 0 : hooks->keep(hooks->ctx, s, is_ours, err);
}

/* Named by whoever fenced last: this appliance does not fence it back when it starts
 * again. */
static void strike(struct hr_owned *s)
{
	struct hr_err err;

	if (keep(s, false, &err) < 0)
		hr_owned_log(s, HR_LOG_ERROR,
			     "that it is another appliance's could not be written "
			     "down, so a restart would take it back: %s",
			     err.text);
}

void hr_owned_step_down(struct hr_owned *s)
{
	char text[HR_REASON_BYTES];

	snprintf(text, sizeof(text),
		 "another appliance owns this shard since incarnation %llu",
		 (unsigned long long)s->chain.incarnation);
	hr_owned_say(s, text);
	hr_owned_log(s, HR_LOG_WARN, "%s", text);
	hr_owned_leave(s, HR_PHASE_FENCED);
	strike(s);
}

void hr_owned_on_foreign_link(struct hr_owned *s)
{
	if (s->was_owner && s->caught_up) /* else history */
		hr_owned_step_down(s);
}

int hr_owned_claim(struct hr_owned *s, struct hr_err *err)
{
	int r;

	if (s->phase == HR_PHASE_STOPPED)
		return hr_fail(err, -EPERM, "shard %u is stopped: %.300s", s->shard,
			       s->reason);
	if (s->phase != HR_PHASE_FENCED)
		return hr_fail(err, -EALREADY, "shard %u is this appliance's",
			       s->shard);
	r = keep(s, true, err);
	if (r < 0)
		return r;
	s->is_claimed = true;
	s->not_before_us = 0;
	s->tail.offset = -1;
	/* From the newest snapshot, or where it was left, up to what is there now. */
	hr_owned_restore(s, "");
	s->conf->ops->renew(s->part);
	s->is_renewing = true;
	return 0;
}

void hr_owned_on_clone(struct hr_owned *s, uint64_t n)
{
	char text[HR_REASON_BYTES];

	snprintf(text, sizeof(text),
		 "link %llu of shard %u came from this owner's id with other bytes: a "
		 "copy of this machine is running; stop one",
		 (unsigned long long)n, s->shard);
	s->conf->hooks.cloned(s->conf->hooks.ctx, text);
}
