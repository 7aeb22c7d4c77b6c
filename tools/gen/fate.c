/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/commands.h"
#include "tools/gen/fate.h"

#define ALL (100 * HR_PERCENT)
#define LATE_MS 20u
#define SETTING_MAX 64

/* ---- reading phases ---- */

/* Numbers are read in thousandths and multiplied by this over 1,000. */
static const struct {
	const char *name;
	size_t offset;
	uint64_t most; /* in thousandths */
	uint64_t times;
} of_ways[] = {
	{ "loss", offsetof(struct hr_odds, loss), 100000, 1000 },
	{ "burst", offsetof(struct hr_odds, burst), 1000000, 1000 },
	{ "twice", offsetof(struct hr_odds, twice), 100000, 1000 },
	{ "late", offsetof(struct hr_odds, late), 100000, 1000 },
	{ "delay-ms", offsetof(struct hr_odds, delay_us), 60000000, 1000 },
	{ "jitter-ms", offsetof(struct hr_odds, jitter_us), 60000000, 1000 },
	{ "late-ms", offsetof(struct hr_odds, late_us), 60000000, 1000 },
};

static int take_one(const char *name, const char *text, uint64_t most, uint64_t times,
		    uint64_t *out, struct hr_err *err)
{
	uint64_t v = 0;
	int r = hr_gen_thousandths(name, text, most, &v, err);

	*out = v * times / 1000;
	return r;
}

/* "10", or "10/5" for the two ways. */
static int take_ways(struct hr_phase *phase, size_t which, char *text,
		     struct hr_err *err)
{
	char *slash = strchr(text, '/');
	const char *words[HR_FATE_WAYS] = { text, slash == NULL ? text : slash + 1 };
	int r = 0;

	if (slash != NULL)
		*slash = '\0';
	for (int w = 0; w < HR_FATE_WAYS && r == 0; w++) {
		uint64_t v = 0;

		r = take_one(of_ways[which].name, words[w], of_ways[which].most,
			     of_ways[which].times, &v, err);
		memcpy((uint8_t *)&phase->ways[w] + of_ways[which].offset, &v,
		       sizeof(v));
	}
	return r;
}

static int take_setting(struct hr_phase *phase, char *text, struct hr_err *err)
{
	char *value = strchr(text, '=');
	uint64_t v = 0;
	int r;

	if (value == NULL)
		return hr_fail(err, -EINVAL, "--phases: found %s, expected NAME=VALUE",
			       text);
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(of_ways) / sizeof(of_ways[0]); i++)
		if (strcmp(text, of_ways[i].name) == 0)
			return take_ways(phase, i, value, err);
	if (strcmp(text, "s") == 0)
		return take_one(text, value, 86400000, 1000000, &phase->us, err);
	if (strcmp(text, "hole-s") == 0)
		return take_one(text, value, 86400000, 1000000, &phase->hole_us, err);
	if (strcmp(text, "rebind") == 0) {
		r = hr_gen_number(text, value, 0, 1, &v, err);
		phase->rebind = v == 1;
		return r;
	}
	return hr_fail(err, -EINVAL, "--phases: there is no setting %s", text);
}

static int read_phase(struct hr_phase *phase, const char *text, size_t n,
		      struct hr_err *err)
{
	int r = 0;

	*phase = (struct hr_phase){ .us = 10000000 };
	for (int w = 0; w < HR_FATE_WAYS; w++)
		phase->ways[w].late_us = LATE_MS * 1000;
	while (n > 0 && r == 0) {
		const char *comma = memchr(text, ',', n);
		const size_t bytes = comma == NULL ? n : (size_t)(comma - text);
		char setting[SETTING_MAX];

		if (bytes >= sizeof(setting))
			return hr_fail(err, -EINVAL, "--phases: %.40s... is too long",
				       text);
		memcpy(setting, text, bytes);
		setting[bytes] = '\0';
		r = take_setting(phase, setting, err);
		text += bytes + (comma != NULL);
		n -= bytes + (comma != NULL);
	}
	if (r == 0 && phase->us == 0)
		r = hr_fail(err, -EINVAL, "--phases: a phase of no time");
	return r;
}

int hr_phases_read(const char *text, struct hr_phase out[HR_PHASES_MAX],
		   struct hr_err *err)
{
	int n = 0;

	for (;; n++) {
		const size_t bytes = strcspn(text, ";");
		int r;

		if (n == HR_PHASES_MAX)
			return hr_fail(err, -EINVAL, "--phases: more than %d",
				       HR_PHASES_MAX);
		r = read_phase(&out[n], text, bytes, err);
		if (r < 0)
			return r;
		text += bytes;
		if (*text++ == '\0')
			return n + 1;
	}
}

/* ---- drawing ---- */

/* SplitMix64 (Steele, Lea, Flood, 2014). */
static uint64_t draw(struct hr_dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

struct hr_dice hr_dice_new(uint64_t seed, enum hr_fate_way way)
{
	struct hr_dice dice = { .state = seed * HR_FATE_WAYS + way };

	dice.state = draw(&dice);
	return dice;
}

static bool happens(struct hr_dice *dice, uint64_t odds, uint64_t of)
{
	return draw(dice) % of < odds;
}

/* Gilbert's two states: lost in a row, and not. Bursts shorter than they would be by
 * themselves are not made. */
static bool is_lost(struct hr_dice *dice, const struct hr_odds *odds)
{
	const uint64_t kept = ALL - odds->loss;

	if (odds->loss == 0 || kept == 0 || odds->burst * kept <= 1000ull * ALL) {
		dice->is_losing = false;
		return happens(dice, odds->loss, ALL);
	}
	if (dice->is_losing)
		dice->is_losing = !happens(dice, 1000, odds->burst);
	else
		dice->is_losing = happens(dice, odds->loss * 1000, odds->burst * kept);
	return dice->is_losing;
}

static uint64_t way_us(struct hr_dice *dice, const struct hr_odds *odds)
{
	uint64_t us = odds->delay_us;

	if (odds->jitter_us > 0)
		us += draw(dice) % (odds->jitter_us + 1);
	if (happens(dice, odds->late, ALL))
		us += draw(dice) % (odds->late_us + 1);
	return us;
}

struct hr_fate hr_fate_draw(struct hr_dice *dice, const struct hr_odds *odds)
{
	struct hr_fate fate = { .n = 0 };

	if (is_lost(dice, odds))
		return fate;
	fate.n = 1 + happens(dice, odds->twice, ALL);
	for (uint32_t i = 0; i < fate.n; i++)
		fate.after_us[i] = way_us(dice, odds);
	/* The second copy is a datagram of its own: it comes whenever it likes. */
	if (fate.n == 2)
		fate.after_us[1] += draw(dice) % (odds->late_us + 1);
	return fate;
}
