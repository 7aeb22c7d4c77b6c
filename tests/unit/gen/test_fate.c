/* SPDX-License-Identifier: BSD-3-Clause */

/* What the relay of headrace-gen does to datagrams: as often as it was told, and the
 * same again for the same seed. */

#include <stdio.h>
#include <string.h>

#include "tests/unit/hr_test.h"
#include "tools/gen/fate.h"

#define DRAWS 200000

static struct hr_phase phases[HR_PHASES_MAX];

static void phases_are_read(void)
{
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL_FATAL(
		hr_phases_read("s=2.5,loss=10/0.5,burst=3;hole-s=10,rebind=1,"
			       "delay-ms=2,jitter-ms=3/4,twice=2,late=5,late-ms=30",
			       phases, &err),
		2);
	CU_ASSERT_EQUAL(phases[0].us, 2500000);
	CU_ASSERT_EQUAL(phases[0].hole_us, 0);
	CU_ASSERT_FALSE(phases[0].rebind);
	CU_ASSERT_EQUAL(phases[0].ways[HR_WAY_UP].loss, 10 * HR_PERCENT);
	CU_ASSERT_EQUAL(phases[0].ways[HR_WAY_DOWN].loss, HR_PERCENT / 2);
	CU_ASSERT_EQUAL(phases[0].ways[HR_WAY_DOWN].burst, 3000);
	CU_ASSERT_EQUAL(phases[1].us, 10000000);
	CU_ASSERT_EQUAL(phases[1].hole_us, 10000000);
	CU_ASSERT_TRUE(phases[1].rebind);
	CU_ASSERT_EQUAL(phases[1].ways[HR_WAY_UP].delay_us, 2000);
	CU_ASSERT_EQUAL(phases[1].ways[HR_WAY_UP].jitter_us, 3000);
	CU_ASSERT_EQUAL(phases[1].ways[HR_WAY_DOWN].jitter_us, 4000);
	CU_ASSERT_EQUAL(phases[1].ways[HR_WAY_UP].twice, 2 * HR_PERCENT);
	CU_ASSERT_EQUAL(phases[1].ways[HR_WAY_UP].late, 5 * HR_PERCENT);
	CU_ASSERT_EQUAL(phases[1].ways[HR_WAY_UP].late_us, 30000);
}

static void what_is_no_phase_is_named(void)
{
	static const char *const bad[] = {
		"loss", "loss=101", "loss=1/",  "loss=x",
		"s=0",  "lost=1",   "rebind=2", "s=1;loss=-1"
	};

	for (size_t i = 0; i < HR_COUNT(bad); i++) {
		struct hr_err err = { "" };

		CU_ASSERT_TRUE(hr_phases_read(bad[i], phases, &err) < 0);
		CU_ASSERT_TRUE(err.text[0] != '\0');
	}
}

struct sums {
	uint64_t n[3], runs, us;
};

/* runs: how often a loss follows what was not lost. */
static struct sums draw_all(const char *text, uint64_t seed)
{
	struct hr_dice dice = hr_dice_new(seed, HR_WAY_UP);
	struct hr_err err = { "" };
	struct sums sums = { .runs = 0 };
	bool was_lost = false;

	CU_ASSERT_EQUAL_FATAL(hr_phases_read(text, phases, &err), 1);
	for (int i = 0; i < DRAWS; i++) {
		struct hr_fate f = hr_fate_draw(&dice, &phases[0].ways[HR_WAY_UP]);

		sums.n[f.n]++;
		sums.runs += f.n == 0 && !was_lost;
		was_lost = f.n == 0;
		sums.us += f.n > 0 ? f.after_us[0] : 0;
	}
	return sums;
}

static bool is_about(double found, double wanted)
{
	const bool is = found > wanted * 0.95 && found < wanted * 1.05;

	if (!is)
		printf("\nfound %f, wanted about %f\n", found, wanted);
	return is;
}

static void losses_and_doubles_are_as_many_as_asked_for(void)
{
	struct sums s = draw_all("loss=30,twice=10", 1);

	CU_ASSERT_TRUE(is_about((double)s.n[0], DRAWS * 0.3));
	CU_ASSERT_TRUE(is_about((double)s.n[2], DRAWS * 0.7 * 0.1));
	/* Each by itself: a run has 1 / 0.7 of them. */
	CU_ASSERT_TRUE(is_about((double)s.n[0] / (double)s.runs, 1 / 0.7));
	s = draw_all("s=1", 1);
	CU_ASSERT_EQUAL(s.n[1], DRAWS);
	CU_ASSERT_EQUAL(s.us, 0);
	s = draw_all("loss=100", 1);
	CU_ASSERT_EQUAL(s.n[0], DRAWS);
	s = draw_all("loss=100,burst=5", 1);
	CU_ASSERT_EQUAL(s.n[0], DRAWS);
}

static void bursts_are_as_long_as_asked_for(void)
{
	struct sums s = draw_all("loss=20,burst=6", 3);

	CU_ASSERT_TRUE(is_about((double)s.n[0], DRAWS * 0.2));
	CU_ASSERT_TRUE(is_about((double)s.n[0] / (double)s.runs, 6));
}

static void delays_are_as_long_as_asked_for(void)
{
	struct sums s = draw_all("delay-ms=3,jitter-ms=4", 1);

	CU_ASSERT_TRUE(is_about((double)s.us / DRAWS, 5000));
	s = draw_all("late=10,late-ms=20", 1);
	CU_ASSERT_TRUE(is_about((double)s.us / DRAWS, 0.1 * 10000));
}

static void one_seed_is_one_course(void)
{
	const char *text = "loss=30,burst=3,twice=5,late=5,jitter-ms=3";
	struct sums a = draw_all(text, 7), b = draw_all(text, 7), c = draw_all(text, 8);

	CU_ASSERT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(&a, &c, sizeof(a)), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "phases are read", phases_are_read },
		{ "what is no phase is named", what_is_no_phase_is_named },
		{ "losses and doubles are as many as asked for",
		  losses_and_doubles_are_as_many_as_asked_for },
		{ "bursts are as long as asked for", bursts_are_as_long_as_asked_for },
		{ "delays are as long as asked for", delays_are_as_long_as_asked_for },
		{ "one seed is one course", one_seed_is_one_course },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("fate", NULL, NULL, tests);
}
