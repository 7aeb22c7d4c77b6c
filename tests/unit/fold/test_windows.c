/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Windows and floors against a model that remembers everything: all sequence numbers of all
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
					  .age_us = { 100, 200, 300 },
					  .max_streams = max_streams,
					  .max_per_key = UINT64_MAX };
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
	rules.clock_us += rules.age_us[HR_STREAM_OFF];
	CU_ASSERT_EQUAL(judge(1, 10), HR_WINDOW_REPEATED); /* which counts as one */
	rules.clock_us += rules.age_us[HR_STREAM_OFF];
	CU_ASSERT_EQUAL(judge(1, 10), HR_WINDOW_REPEATED);
	rules.clock_us += rules.age_us[HR_STREAM_OFF] + 1;
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
	rules.clock_us += rules.age_us[HR_STREAM_OFF] - 4; /* 0 to 4 are dead */
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

/* ---- floors ---- */

#define DISK HR_BIRTH_DISK_CLASS

static uint8_t judge_item(struct hr_item item)
{
	uint8_t verdict;

	hr_windows_judge_burst(&windows, &rules, &item, 1, &verdict, &gaps);
	return verdict;
}

static uint8_t judge_ordered(uint64_t birth, uint64_t sequence, uint32_t key_id)
{
	struct hr_item item = datagram(birth, sequence);

	item.flags = HR_ITEM_ORDERED;
	item.key_id = key_id;
	return judge_item(item);
}

static void skip(uint64_t birth, uint64_t up_to, uint32_t key_id)
{
	struct hr_item item = datagram(birth, up_to);

	item.kind = HR_ITEM_SKIP;
	item.key_id = key_id;
	judge_item(item);
}

static const struct hr_stream *find(uint64_t birth)
{
	return hr_windows_find(&windows, &rules, birth, ~birth);
}

static void a_floor_rises_and_what_is_at_or_below_it_is_repeated(void)
{
	start(4);
	CU_ASSERT_EQUAL(judge_ordered(1, 1, 7), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge_ordered(1, 1, 7), HR_WINDOW_REPEATED);
	CU_ASSERT_EQUAL(judge_ordered(1, 2, 7), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge_ordered(1, 0, 7), HR_WINDOW_REPEATED);
	CU_ASSERT_EQUAL(gaps.gaps, 0);
	CU_ASSERT_EQUAL(judge_ordered(1, 6, 7), HR_WINDOW_FRESH); /* a bug's */
	CU_ASSERT_EQUAL(gaps.gaps, 3);
	CU_ASSERT_EQUAL(judge_ordered(1, 5, 7), HR_WINDOW_REPEATED);
	CU_ASSERT_EQUAL(gaps.filled, 0);
	skip(1, 10, 7);
	CU_ASSERT_EQUAL(gaps.gaps, 7);
	skip(1, 9, 7);
	CU_ASSERT_EQUAL(find(1)->highest, 10);
	CU_ASSERT_EQUAL(judge_ordered(1, 10, 7), HR_WINDOW_REPEATED);
	CU_ASSERT_EQUAL(judge_ordered(1, 11, 7), HR_WINDOW_FRESH);
	skip(2, 3, 7); /* begins a stream */
	CU_ASSERT_EQUAL(gaps.gaps, 10);
	CU_ASSERT_EQUAL(judge_ordered(2, 3, 7), HR_WINDOW_REPEATED);
	skip(1, UINT64_MAX, 7);
	CU_ASSERT_EQUAL(judge_ordered(1, UINT64_MAX, 7), HR_WINDOW_REPEATED);
	stop();
}

static void a_stream_keeps_what_it_began_with(void)
{
	start(4);
	CU_ASSERT_EQUAL(judge_ordered(1, 1, 0), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge(1, 5), HR_WINDOW_FRESH); /* without the flag */
	CU_ASSERT_EQUAL(judge(1, 4), HR_WINDOW_REPEATED);
	CU_ASSERT_EQUAL(find(1)->seen, 0);
	CU_ASSERT_EQUAL(judge(2, 5), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge_ordered(2, 4, 0), HR_WINDOW_FRESH);
	skip(2, 50, 0); /* nothing */
	CU_ASSERT_EQUAL(find(2)->highest, 5);
	CU_ASSERT_EQUAL(judge_ordered(2, 3, 0), HR_WINDOW_FRESH);
	stop();
}

/* A stream of key 7, with a floor or a window, at 3. */
static void another_key_changes_nothing(bool has_floor)
{
	struct hr_item item = datagram(1, 3);
	struct hr_stream before;

	item.key_id = 7;
	item.flags = has_floor ? HR_ITEM_ORDERED : 0;
	judge_item(item);
	before = *find(1);
	gaps = (struct hr_window_gaps){ 0, 0 };
	rules.clock_us++;
	for (uint32_t flags = 0; flags <= HR_ITEM_ORDERED; flags += HR_ITEM_ORDERED)
		for (uint64_t sequence = 1; sequence <= 100; sequence++) {
			item.flags = (uint16_t)flags;
			item.sequence = sequence;
			item.key_id = 8;
			CU_ASSERT_EQUAL(judge_item(item), HR_WINDOW_FOREIGN);
		}
	skip(1, 50, 8);
	skip(1, 1, 0);
	CU_ASSERT_EQUAL(memcmp(find(1), &before, sizeof(before)), 0);
	CU_ASSERT_EQUAL(gaps.gaps + gaps.filled, 0);
	item.key_id = 7;
	item.sequence = 4;
	CU_ASSERT_EQUAL(judge_item(item), HR_WINDOW_FRESH);
}

static void a_stream_is_its_keys_alone(void)
{
	for (int i = 0; i < 2; i++) {
		start(4);
		another_key_changes_nothing(i == 0);
		/* Once it is dead whoever comes first begins it anew. */
		rules.clock_us += 1000;
		CU_ASSERT_EQUAL(judge_ordered(1, 1, 8), HR_WINDOW_FRESH);
		CU_ASSERT_EQUAL(judge_ordered(1, 2, 7), HR_WINDOW_FOREIGN);
		stop();
	}
}

static void each_class_has_its_own_age(void)
{
	static const struct {
		uint64_t birth, age_us;
		bool is_ordered;
	} rows[] = { { 1, 100, false },
		     { DISK | 1, 100, false },
		     { 2, 200, true },
		     { DISK | 2, 300, true } };

	start(4);
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		const uint64_t birth = rows[i].birth, began_us = rules.clock_us;

		if (rows[i].is_ordered)
			judge_ordered(birth, 1, 7);
		else
			judge(birth, 1);
		rules.clock_us = began_us + rows[i].age_us;
		CU_ASSERT_PTR_NOT_NULL(find(birth));
		rules.clock_us++;
		CU_ASSERT_PTR_NULL(find(birth));
		CU_ASSERT_EQUAL(windows.n_streams, 1); /* asking changes nothing */
		hr_windows_expire(&windows, &rules, 1);
		CU_ASSERT_EQUAL(windows.n_streams, 0);
	}
	stop();
}

static bool has_room(uint32_t key_id, uint32_t n, uint32_t n_of_key)
{
	return hr_windows_has_room(&windows, &rules, key_id, n, n_of_key);
}

static void a_key_has_its_share_and_takes_no_more(void)
{
	start(5);
	rules.max_per_key = 2;
	CU_ASSERT(has_room(7, 4, 1));
	CU_ASSERT_FALSE(has_room(7, 5, 1));
	CU_ASSERT_FALSE(has_room(7, 4, 2));
	judge_ordered(1, 1, 7);
	skip(2, 1, 7);
	CU_ASSERT_FALSE(has_room(7, 0, 0));
	CU_ASSERT_EQUAL(judge_ordered(3, 1, 7), HR_WINDOW_FULL);
	CU_ASSERT_PTR_NULL(find(3));
	CU_ASSERT(has_room(8, 1, 1));
	CU_ASSERT_EQUAL(judge_ordered(3, 1, 8), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge_ordered(1, 2, 8), HR_WINDOW_FOREIGN); /* still 7's */
	CU_ASSERT(has_room(8, 0, 0));
	rules.clock_us += 50;
	judge_ordered(2, 2, 7);
	rules.clock_us += 151; /* 1 and 3 are dead, and still there */
	CU_ASSERT(has_room(7, 3, 0));
	CU_ASSERT_FALSE(has_room(7, 4, 0));
	CU_ASSERT_FALSE(has_room(7, 0, 1));
	CU_ASSERT_EQUAL(windows.n_streams, 3);
	CU_ASSERT_EQUAL(judge_ordered(4, 1, 7), HR_WINDOW_FRESH);
	CU_ASSERT_EQUAL(judge_ordered(5, 1, 7), HR_WINDOW_FULL);
	stop();
}

/* ---- the model ---- */

#define STREAMS 40
#define NUMBERS 2000

struct known {
	bool is_alive, has_floor;
	uint32_t key_id;
	uint64_t last_us, highest, first;
	bool seen[NUMBERS];
};

static struct known known[STREAMS];
static struct hr_window_gaps model_gaps;

static uint64_t birth_of(uint32_t stream)
{
	return stream % 3 == 0 ? DISK | stream : stream;
}

static bool model_is_alive(uint32_t stream)
{
	const struct known *k = &known[stream];
	const uint64_t age = !k->has_floor                    ? 100
			     : (birth_of(stream) & DISK) != 0 ? 300
							      : 200;

	return k->is_alive && rules.clock_us <= k->last_us + age;
}

static bool model_has_room(uint32_t key_id, uint32_t n, uint32_t n_of_key)
{
	for (uint32_t i = 0; i < STREAMS; i++) {
		n += model_is_alive(i);
		n_of_key += model_is_alive(i) && known[i].key_id == key_id;
	}
	return n < rules.max_streams && n_of_key < rules.max_per_key;
}

static uint8_t model_floor(struct known *k, const struct hr_item *item)
{
	const uint64_t by = item->sequence - k->highest;

	if (item->sequence <= k->highest)
		return HR_WINDOW_REPEATED;
	model_gaps.gaps += item->kind == HR_ITEM_SKIP ? by : by - 1;
	k->highest = item->sequence;
	return HR_WINDOW_FRESH;
}

static uint8_t model_begin(struct known *k, const struct hr_item *item)
{
	if (!model_has_room(item->key_id, 0, 0))
		return HR_WINDOW_FULL;
	memset(k, 0, sizeof(*k));
	k->is_alive = true;
	k->last_us = rules.clock_us;
	k->key_id = item->key_id;
	k->has_floor = item->kind == HR_ITEM_SKIP || item->flags != 0;
	if (k->has_floor)
		return model_floor(k, item);
	k->highest = k->first = item->sequence;
	k->seen[item->sequence] = true;
	return HR_WINDOW_FRESH;
}

static uint8_t model_judge(const struct hr_item *item)
{
	const uint32_t stream = (uint32_t)item->birth;
	const uint64_t sequence = item->sequence;
	struct known *k = &known[stream];

	if (item->kind == HR_ITEM_EVENT)
		return HR_WINDOW_FRESH;
	if (!model_is_alive(stream))
		return model_begin(k, item);
	if (k->key_id != item->key_id)
		return HR_WINDOW_FOREIGN;
	if (!k->has_floor && item->kind == HR_ITEM_SKIP)
		return HR_WINDOW_FRESH;
	k->last_us = rules.clock_us;
	if (k->has_floor)
		return model_floor(k, item);
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

static void check_questions(void)
{
	const uint32_t stream = below(STREAMS), key_id = below(4), n = below(20),
		       n_of_key = below(9);
	const struct hr_stream *found = find(birth_of(stream));

	CU_ASSERT_EQUAL(found != NULL, model_is_alive(stream));
	CU_ASSERT(found == NULL || found->highest == known[stream].highest);
	CU_ASSERT_EQUAL(has_room(key_id, n, n_of_key),
			model_has_room(key_id, n, n_of_key));
}

/* Numbers drift upwards with time, so that windows move. */
static uint32_t a_sequence(uint32_t step)
{
	return 60 + step / 4 % (NUMBERS - 200) + below(below(10) == 0 ? 140 : 6) -
	       below(below(10) == 0 ? 60 : 3);
}

static struct hr_item an_item(uint32_t step)
{
	const uint32_t stream = below(STREAMS);
	struct hr_item item = datagram(birth_of(stream), a_sequence(step));

	item.kind = below(12) != 0  ? HR_ITEM_DATAGRAM
		    : below(3) != 0 ? HR_ITEM_SKIP
				    : HR_ITEM_EVENT;
	item.key_id = below(30) == 0 ? below(4) : stream % 4;
	/* Mostly as the others of its stream. */
	if ((stream % 5 < 3) == (below(40) != 0))
		item.flags = HR_ITEM_ORDERED;
	return item;
}

static void rules_change(void)
{
	if (below(20) == 0)
		rules.max_streams = below(34);
	if (below(20) == 0)
		rules.max_per_key = below(2) == 0 ? UINT64_MAX : below(11);
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

		rules.clock_us += below(3) == 0 ? below(60) : 0;
		rules_change();
		check_questions();
		hr_windows_expire(&windows, &rules, below(sweep + 1));
		for (uint32_t i = 0; i < n; i++)
			items[i] = an_item(step);
		hr_windows_judge_burst(&windows, &rules, items, n, found, &gaps);
		for (uint32_t i = 0; i < n; i++) {
			const uint8_t expected = model_judge(&items[i]);

			if (items[i].kind == HR_ITEM_DATAGRAM)
				CU_ASSERT_EQUAL_FATAL(found[i], expected);
			verdicts[expected]++;
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
	uint32_t verdicts[HR_WINDOW_FOREIGN + 1] = { 0 };

	for (uint64_t seed = 1; seed <= 20; seed++)
		for (size_t i = 0; i < HR_COUNT(rows); i++)
			run(rows[i].memory, rows[i].sweep, seed, verdicts);
	for (size_t i = 0; i < HR_COUNT(verdicts); i++) /* the streams met them all */
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
		{ "a floor rises, and what is at or below it is repeated",
		  a_floor_rises_and_what_is_at_or_below_it_is_repeated },
		{ "a stream keeps what it began with",
		  a_stream_keeps_what_it_began_with },
		{ "a stream is its key's alone: what comes under another one changes "
		  "nothing",
		  a_stream_is_its_keys_alone },
		{ "each class has its own age", each_class_has_its_own_age },
		{ "a key has its share and takes no more",
		  a_key_has_its_share_and_takes_no_more },
		{ "windows agree with a model, whatever memory and sweeping",
		  windows_agree_with_a_model_whatever_memory_and_sweeping },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("windows", NULL, NULL, tests);
}
