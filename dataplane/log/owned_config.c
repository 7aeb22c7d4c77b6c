/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What an owner goes on with and somebody should know of: a chain whose CONFIG is not
 * the file's (the chain's holds), and record time that is not the wall clock's. It
 * serves meanwhile, and is not ready.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/log/owned_impl.h"

#define EACH_US 1000000u
#define CLOCK_OFF_US 1000000

bool hr_owned_config_lags(const struct hr_owned *s)
{
	const struct hr_chain_config *file = &s->conf->file;

	return s->chain.n > 0 &&
	       (file->fold_version != s->config.fold_version ||
		memcmp(file->setting, s->config.setting, sizeof(file->setting)) != 0);
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
	if (hr_owned_config_lags(s))
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
	if (strcmp(s->reason, text) == 0)
		return;
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
