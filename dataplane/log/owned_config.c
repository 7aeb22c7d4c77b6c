/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What an owner goes on with and somebody should know of: a chain whose CONFIG is not
 * the file's (the chain's holds), and record time that is not the wall clock's. It
 * serves meanwhile, and is not ready.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crash_point.h"
#include "dataplane/log/owned_impl.h"

#define EACH_US 1000000u
#define CLOCK_OFF_US 1000000

/* Going over to another fold version: epochs are held back when views are so near, for
 * so long at most, and then not for so long. */
#define NEAR_LINKS 256u
#define HOLD_US 5000000u
#define HOLD_AGAIN_US 5000000u

bool hr_owned_config_lags(const struct hr_owned *s)
{
	const struct hr_chain_config *file = &s->conf->file;

	return s->chain.n > 0 &&
	       (file->fold_version > s->config.fold_version ||
		memcmp(file->setting, s->config.setting, sizeof(file->setting)) != 0);
}

/* ---- another fold version ------------------------------------------------------- */

static bool is_upgrade(const struct hr_owned *s)
{
	return s->chain.n > 0 && s->conf->file.fold_version > s->config.fold_version;
}

static uint64_t viewed(const struct hr_owned *s)
{
	return s->conf->hooks.viewed == NULL
		       ? UINT64_MAX
		       : s->conf->hooks.viewed(s->conf->hooks.ctx, s);
}

static void hold(struct hr_owned *s, const struct hr_now *now)
{
	s->held_until_us = now->mono_us + HOLD_US;
	s->complain_at_us = 0;
	HR_CRASH_POINT(config_held);
}

static void let_go(struct hr_owned *s, const struct hr_now *now)
{
	s->held_until_us = 0;
	s->hold_again_us = now->mono_us + HOLD_AGAIN_US;
	s->complain_at_us = 0;
	hr_owned_log(s, HR_LOG_WARN,
		     "fold version %u has to wait: a view stands at link %llu of %llu",
		     s->conf->file.fold_version, (unsigned long long)viewed(s),
		     (unsigned long long)s->chain.n);
}

/*
 * Views stand at the last link before the rules change, so that none needs the old ones
 * afterwards. Where they are far behind, or stand still, senders do not wait for them.
 */
static enum hr_config_is upgrade_is(struct hr_owned *s, const struct hr_now *now)
{
	const uint64_t at = viewed(s);

	if (at >= s->chain.n) {
		s->held_until_us = s->hold_again_us = 0;
		HR_CRASH_POINT(config_upgrade);
		return HR_CONFIG_DUE;
	}
	if (s->held_until_us == 0 && now->mono_us >= s->hold_again_us &&
	    at + NEAR_LINKS >= s->chain.n)
		hold(s, now);
	if (s->held_until_us != 0 && now->mono_us >= s->held_until_us)
		let_go(s, now);
	return s->held_until_us != 0 ? HR_CONFIG_HOLDS : HR_CONFIG_NOTHING;
}

enum hr_config_is hr_owned_config_is(struct hr_owned *s, const struct hr_now *now)
{
	if (!s->wants_config)
		return HR_CONFIG_NOTHING;
	s->wants_config = hr_owned_config_lags(s);
	if (!s->wants_config)
		return HR_CONFIG_NOTHING;
	return is_upgrade(s) ? upgrade_is(s, now) : HR_CONFIG_DUE;
}

/* ---- complaints ----------------------------------------------------------------- */

static void upgrade_complaint(const struct hr_owned *s, char text[HR_REASON_BYTES])
{
	const unsigned int from = s->config.fold_version,
			   to = s->conf->file.fold_version;
	const unsigned long long at = (unsigned long long)viewed(s),
				 last = (unsigned long long)s->chain.n;

	if (!s->wants_config)
		snprintf(text, HR_REASON_BYTES,
			 "the chain is of fold version %u, and is folded by it; this "
			 "program has %u: `headracectl config commit` goes over to it",
			 from, to);
	else if (s->held_until_us != 0)
		snprintf(text, HR_REASON_BYTES,
			 "it goes over to fold version %u: epochs are held back until "
			 "all views stand at link %llu; one stands at %llu",
			 to, last, at);
	else
		snprintf(text, HR_REASON_BYTES,
			 "it goes over to fold version %u when all views stand at the "
			 "last link, %llu; one stands at %llu",
			 to, last, at);
}

static int64_t clock_off_us(const struct hr_owned *s, const struct hr_now *now)
{
	return (int64_t)now->wall_us -
	       ((int64_t)now->mono_us + s->conf->clock->offset_us);
}

static void find_complaint(const struct hr_owned *s, const struct hr_now *now,
			   char text[HR_REASON_BYTES])
{
	int64_t off_us = clock_off_us(s, now);

	text[0] = '\0';
	if (is_upgrade(s))
		upgrade_complaint(s, text);
	else if (hr_owned_config_lags(s))
		snprintf(text, HR_REASON_BYTES,
			 "the chain's CONFIG is not what the configuration says, and "
			 "holds: `headracectl config commit` writes the "
			 "configuration's into the chain");
	else if (llabs(off_us) > CLOCK_OFF_US)
		snprintf(text, HR_REASON_BYTES,
			 "record time runs %+lld ms beside the wall clock: set the "
			 "clock right, or `headracectl clock accept` takes it as it is",
			 (long long)(-off_us / 1000));
}

void hr_owned_complain(struct hr_owned *s, const struct hr_now *now)
{
	char text[HR_REASON_BYTES];

	if (s->phase != HR_PHASE_READY || now->mono_us < s->complain_at_us)
		return;
	s->complain_at_us = now->mono_us + EACH_US;
	find_complaint(s, now, text);
	atomic_store_explicit(&s->view.complains, text[0] != '\0',
			      memory_order_relaxed);
	if (strcmp(s->reason, text) == 0) {
		s->conf->hooks.said(s->conf->hooks.ctx, s); /* where it stands */
		return;
	}
	/* The distance of two clocks changes: one line when it begins. */
	if (text[0] != '\0' && s->reason[0] == '\0')
		hr_owned_log(s, HR_LOG_WARN, "%s", text);
	hr_owned_say(s, text);
}

void hr_owned_config_commit(struct hr_owned *s)
{
	s->wants_config = true;
}

void hr_owned_clock_accept(struct hr_owned *s, const struct hr_now *now)
{
	s->conf->clock->is_set = true;
	s->conf->clock->offset_us = (int64_t)now->wall_us - (int64_t)now->mono_us;
	atomic_store_explicit(&s->view.clock_offset_us, s->conf->clock->offset_us,
			      memory_order_release);
	s->complain_at_us = 0;
}
