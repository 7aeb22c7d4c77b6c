/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FATE_H
#define HR_FATE_H

/*
 * fate - what a bad network does to each datagram: lost, doubled, overtaken, late. By
 * phases that follow each other, each way with odds of its own, drawn from a seed: the
 * n-th datagram of a way always meets the same fate. No input, output or clock.
 *
 *     "s=20,loss=10/5,twice=2;s=10,hole-s=10;s=20,loss=30,burst=4,late=5,late-ms=40"
 *
 * Phases have a `;` between them, settings a comma; a number for both ways, or two
 * with a slash between: to the appliance / from it.
 *
 *     s N            how long the phase lasts; 10
 *     hole-s N       nothing gets through for the first N seconds of it
 *     rebind N       1: senders get other source ports when it begins, as behind a NAT
 *     loss P         percent that are lost
 *     burst N        they are lost N in a row, in the mean; without it each by itself
 *     twice P        percent that arrive twice
 *     delay-ms N     on the way; 0
 *     jitter-ms N    and up to so much more; 0
 *     late P         percent that are held up longer than the others, and overtaken
 *     late-ms N      by how much at most; 20
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define HR_PHASES_MAX 64
#define HR_PERCENT 1000u /* odds are in thousandths of a percent */

enum hr_fate_way {
	HR_WAY_UP, /* to the appliance */
	HR_WAY_DOWN,
	HR_FATE_WAYS
};

struct hr_odds {
	uint64_t loss, burst, twice, late; /* burst in thousandths */
	uint64_t delay_us, jitter_us, late_us;
};

struct hr_phase {
	uint64_t us, hole_us;
	bool rebind;
	struct hr_odds ways[HR_FATE_WAYS];
};

/* Returns the number of phases, or -EINVAL with err saying what was found. */
int hr_phases_read(const char *text, struct hr_phase out[HR_PHASES_MAX],
		   struct hr_err *err);

/* What is drawn from, for one way. */
struct hr_dice {
	uint64_t state;
	bool is_losing; /* in the middle of a burst */
};

struct hr_dice hr_dice_new(uint64_t seed, enum hr_fate_way way);

struct hr_fate {
	uint32_t n; /* copies that arrive: 0, 1 or 2 */
	uint64_t after_us[2];
};

struct hr_fate hr_fate_draw(struct hr_dice *dice, const struct hr_odds *odds);

#endif
