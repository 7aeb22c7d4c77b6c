/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Windows against a model that remembers everything: all sequence numbers of all
 * streams since each was last forgotten, in plain arrays.
 */

#include <stdlib.h>

#include "dataplane/fold/windows.h"
#include "tests/unit/hr_test.h"

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) % n);
}

static struct hr_item datagram(uint64_t stream, uint64_t sequence)
{
	return (struct hr_item){ .kind = HR_ITEM_DATAGRAM,
				 .birth = stream,
				 .random = ~stream,
				 .sequence = sequence };
}

static struct hr_windows windows;
static struct hr_window_rules rules;
static struct hr_window_gaps gaps;

static void start(uint32_t max_streams)
{
	CU_ASSERT_EQUAL_FATAL(hr_windows_init(&windows, max_streams, 1), 0);
	rules = (struct hr_window_rules){ .clock_us = 1000,
					  .max_age_us = 100,
					  .max_streams = max_streams };
	gaps = (struct hr_window_gaps){ 0, 0 };
}

static void stop(void)
{
	hr_windows_fini(&windows);
}

static uint8_t judge(uint64_t stream, uint64_t sequence)
{
	const struct hr_item item = datagram(stream, sequence);
	uint8_t verdict;

	hr_windows_judge_burst(&windows, &rules, &item, 1, &verdict, &gaps);
	return verdict;
}

static void a_number_is_taken_once_and_its_late_neighbours_too(void)
{
	static const struct {
		uint64_t sequence;
		uint8_t verdict;
		uint64_t gaps, filled;
	} rows[] = {
		{ 100, HR_WINDOW_FRESH, 0, 0 },
		{ 100, HR_WINDOW_REPEATED, 0, 0 },
		{ 101, HR_WINDOW_FRESH, 0, 0 },
		{ 104, HR_WINDOW_FRESH, 2, 0 }, /* 102 and 103 are missing */
		{ 102, HR_WINDOW_FRESH, 2, 1 }, /* no more */
		{ 102, HR_WINDOW_REPEATED, 2, 1 },
		{ 99, HR_WINDOW_FRESH, 2, 1 }, /* before the first: not judged */
		{ 99, HR_WINDOW_REPEATED, 2, 1 },
		{ 41, HR_WINDOW_FRESH, 2, 1 },    /* the last bit */
		{ 40, HR_WINDOW_REPEATED, 2, 1 }, /* below it nothing is known */
		{ 167, HR_WINDOW_FRESH, 64, 1 },
		{ 104, HR_WINDOW_REPEATED, 64, 1 }, /* still seen, as the last bit */
		{ 103, HR_WINDOW_REPEATED, 64, 1 },
		{ 105, HR_WINDOW_FRESH, 64, 2 },
		{ 231, HR_WINDOW_FRESH, 127, 2 }, /* 64 further: all bits anew */
		{ 168, HR_WINDOW_FRESH, 127, 3 },
		{ 167, HR_WINDOW_REPEATED, 127, 3 },
		{ UINT64_MAX, HR_WINDOW_FRESH, UINT64_MAX - 231 - 1 + 127, 3 },
		{ UINT64_MAX, HR_WINDOW_REPEATED, UINT64_MAX - 231 - 1 + 127, 3 },
		{ 0, HR_WINDOW_REPEATED, UINT64_MAX - 231 - 1 + 127, 3 },
	};

	start(4);
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		CU_ASSERT_EQUAL(judge(1, rows[i].sequence), rows[i].verdict);
		CU_ASSERT_EQUAL(gaps.gaps, rows[i].gaps);
		CU_ASSERT_EQUAL(gaps.filled, rows[i].filled);
	}
	stop();
}

static void a_window_outlives_its_last_datagram_by_its_age_and_no_longer(void)
{
	start(4);
	CU_ASSERT_EQUAL(judge(1, 10), HR_WINDOW_FRESH);
	rules.clock_us += rules.max_age_us;
	CU_ASSERT_EQUAL(judge(1, 10), HR_WINDOW_REPEATED); /* which counts as one */
	rules.clock_us += rules.max_age_us;
	CU_ASSERT_EQUAL(judge(1, 10), HR_WINDOW_REPEATED);
	rules.clock_us += rules.max_age_us + 1;
	CU_ASSERT_EQUAL(judge(1, 10), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(gaps.gaps, 0);
	stop();
}

static void a_full_table_refuses_new_streams_and_still_judges_known_ones(void)
{
	start(2);
	CU_ASSERT_EQUAL(judge(1, 1), HR_WINDOW_FRESH);
	rules.clock_us += 60;
	CU_ASSERT_EQUAL(judge(2, 1), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge(3, 1), HR_WINDOW_FULL);
	CU_ASSERT_EQUAL(judge(1, 1), HR_WINDOW_REPEATED);
	CU_ASSERT_EQUAL(judge(2, 2), HR_WINDOW_FRESH);
	rules.clock_us += 90;
	CU_ASSERT_EQUAL(judge(2, 2), HR_WINDOW_REPEATED);
	rules.clock_us += 11; /* stream 1 is past its age, 2 is not */
	CU_ASSERT_EQUAL(judge(3, 1), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge(1, 1), HR_WINDOW_FULL);
	CU_ASSERT_EQUAL(windows.n_streams, 2);
	stop();
}

static void the_dead_go_a_few_at_a_time_the_oldest_first(void)
{
	start(100);
	for (uint32_t i = 0; i < 10; i++) {
		rules.clock_us++;
		judge(i, 1);
	}
	rules.clock_us += rules.max_age_us - 4; /* 0 to 4 are dead */
	hr_windows_expire(&windows, &rules, 3);
	CU_ASSERT_EQUAL(windows.n_streams, 7);
	hr_windows_expire(&windows, &rules, 1000);
	CU_ASSERT_EQUAL(windows.n_streams, 5);
	CU_ASSERT_EQUAL(judge(5, 1), HR_WINDOW_REPEATED);
	stop();
}

static void a_chain_may_remember_no_stream_at_all(void)
{
	start(0);
	CU_ASSERT_EQUAL(judge(1, 1), HR_WINDOW_FULL);
	hr_windows_expire(&windows, &rules, 10);
	stop();
}

/* ---- the model ---- */

#define STREAMS 40
#define NUMBERS 2000

struct known {
	bool is_alive;
	uint64_t last_us, highest, first;
	bool seen[NUMBERS];
};

static struct known known[STREAMS];
static struct hr_window_gaps model_gaps;

static bool model_is_alive(const struct known *k)
{
	return k->is_alive && rules.clock_us <= k->last_us + rules.max_age_us;
}

static uint8_t model_begin(struct known *k, uint32_t sequence)
{
	uint32_t alive = 0;

	for (int i = 0; i < STREAMS; i++)
		alive += model_is_alive(&known[i]);
	if (alive >= rules.max_streams)
		return HR_WINDOW_FULL;
	memset(k, 0, sizeof(*k));
	k->is_alive = true;
	k->last_us = rules.clock_us;
	k->highest = k->first = sequence;
	k->seen[sequence] = true;
	return HR_WINDOW_FRESH;
}

static uint8_t model_judge(uint32_t stream, uint32_t sequence)
{
	struct known *k = &known[stream];

	if (!model_is_alive(k))
		return model_begin(k, sequence);
	k->last_us = rules.clock_us;
	if (k->seen[sequence] || sequence + 64 <= k->highest)
		return HR_WINDOW_REPEATED;
	k->seen[sequence] = true;
	if (sequence < k->highest) {
		model_gaps.filled += sequence > k->first;
		return HR_WINDOW_FRESH;
	}
	model_gaps.gaps += sequence - k->highest - 1;
	k->highest = sequence;
	return HR_WINDOW_FRESH;
}

/* Numbers drift upwards with time, so that windows move. */
static uint32_t a_sequence(uint32_t step)
{
	return 60 + step / 4 % (NUMBERS - 200) + below(below(10) == 0 ? 140 : 6) -
	       below(below(10) == 0 ? 60 : 3);
}

static void run(uint32_t memory, uint32_t sweep, uint64_t seed, uint32_t *verdicts)
{
	random_state = seed * 0x9e3779b97f4a7c15u + 1;
	memset(known, 0, sizeof(known));
	model_gaps = (struct hr_window_gaps){ 0, 0 };
	start(memory);
	for (uint32_t step = 0; step < 7000; step += HR_WINDOWS_BURST) {
		struct hr_item items[HR_WINDOWS_BURST];
		uint8_t found[HR_WINDOWS_BURST];
		const uint32_t n = below(HR_WINDOWS_BURST + 1);

		rules.clock_us += below(3) == 0 ? below(40) : 0;
		if (below(20) == 0)
			rules.max_streams = below(34);
		hr_windows_expire(&windows, &rules, below(sweep + 1));
		for (uint32_t i = 0; i < n; i++)
			items[i] = datagram(below(STREAMS), a_sequence(step));
		hr_windows_judge_burst(&windows, &rules, items, n, found, &gaps);
		for (uint32_t i = 0; i < n; i++) {
			CU_ASSERT_EQUAL_FATAL(found[i],
					      model_judge((uint32_t)items[i].birth,
							  (uint32_t)items[i].sequence));
			verdicts[found[i]]++;
		}
		CU_ASSERT_EQUAL(gaps.gaps, model_gaps.gaps);
		CU_ASSERT_EQUAL(gaps.filled, model_gaps.filled);
	}
	stop();
}

static void windows_agree_with_a_model_whatever_memory_and_sweeping(void)
{
	static const struct {
		uint32_t memory, sweep;
	} rows[] = { { 34, 0 }, { 34, 2 }, { 34, 1000 }, { 900, 1 }, { 64, 7 } };
	uint32_t verdicts[3] = { 0 };

	for (uint64_t seed = 1; seed <= 20; seed++)
		for (size_t i = 0; i < HR_COUNT(rows); i++)
			run(rows[i].memory, rows[i].sweep, seed, verdicts);
	for (int i = 0; i < 3; i++) /* the streams met them all */
		CU_ASSERT(verdicts[i] > 1000);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a number is taken once, and its late neighbours too",
		  a_number_is_taken_once_and_its_late_neighbours_too },
		{ "a window outlives its last datagram by its age and no longer",
		  a_window_outlives_its_last_datagram_by_its_age_and_no_longer },
		{ "a full table refuses new streams and still judges known ones",
		  a_full_table_refuses_new_streams_and_still_judges_known_ones },
		{ "the dead go a few at a time, the oldest first",
		  the_dead_go_a_few_at_a_time_the_oldest_first },
		{ "a chain may remember no stream at all",
		  a_chain_may_remember_no_stream_at_all },
		{ "windows agree with a model, whatever memory and sweeping",
		  windows_agree_with_a_model_whatever_memory_and_sweeping },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("windows", NULL, NULL, tests);
}
