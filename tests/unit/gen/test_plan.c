/* SPDX-License-Identifier: BSD-3-Clause */

/* A plan gives the same events and datagrams every time, in order, and is what a plan
 * file says it is. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/wire.h"
#include "tests/unit/hr_test.h"
#include "tools/gen/batcher.h"

static const uint8_t key[HEADRACE_KEY_BYTES] = "0123456789abcde";

static struct hr_planner *plan_for(struct hr_plan *plan)
{
	static struct hr_planner planner;
	struct hr_err err;

	if (hr_planner_init(&planner, plan, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return &planner;
}

static struct hr_plan big_plan(void)
{
	struct hr_plan plan;

	hr_plan_defaults(&plan);
	plan.n_events = 20000;
	plan.n_users = 500;
	return plan;
}

/* All datagrams of a plan, one behind the other. */
static uint8_t *all_bytes(struct hr_plan plan, size_t *n)
{
	struct hr_planner *planner = plan_for(&plan);
	uint8_t *bytes = malloc(plan.n_events * 1500);
	struct hr_batcher *batcher;
	struct hr_batch batch;

	*n = 0;
	CU_ASSERT_FATAL(hr_batcher_new(&batcher, planner, key, NULL) == 0);
	while (hr_batcher_next(batcher, 1234567, &batch)) {
		memcpy(bytes + *n, batch.bytes, batch.n_bytes);
		*n += batch.n_bytes;
	}
	hr_batcher_free(batcher);
	hr_planner_fini(planner);
	return bytes;
}

static void the_same_plan_gives_the_same_bytes(void)
{
	size_t n, n_again;
	uint8_t *bytes = all_bytes(big_plan(), &n);
	uint8_t *again = all_bytes(big_plan(), &n_again);

	CU_ASSERT(n > 1000000);
	CU_ASSERT(n == n_again && memcmp(bytes, again, n) == 0);
	free(bytes);
	free(again);
}

static void another_seed_gives_others(void)
{
	struct hr_plan plan = big_plan();
	size_t n, n_other;
	uint8_t *bytes = all_bytes(plan, &n), *other;

	plan.seed = 2;
	other = all_bytes(plan, &n_other);
	CU_ASSERT(n != n_other || memcmp(bytes, other, n) != 0);
	free(bytes);
	free(other);
}

/* What every datagram of a plan must be like; counts its events. */
struct walk {
	uint64_t n_events, next_of_user[500], sequence[100], by_codec[3];
	uint8_t *seen;
};

static void check_batch(const struct hr_planner *planner, const struct hr_batch *batch,
			struct walk *walk)
{
	const struct hr_plan *plan = &planner->plan;
	struct hr_planned planned;

	CU_ASSERT(batch->n_events >= 1 && batch->n_events <= plan->datagram_events);
	CU_ASSERT(batch->n_bytes <= plan->datagram_bytes);
	CU_ASSERT(batch->sequence == ++walk->sequence[batch->shard]);
	for (uint32_t k = 0; k < batch->n_events; k++) {
		const uint64_t i = batch->events[k];
		struct headrace_slice user;

		hr_planned_make(planner, i, &planned);
		user = planned.event.user;
		CU_ASSERT(!walk->seen[i]);
		walk->seen[i] = 1;
		CU_ASSERT(plan->headerless ||
			  headrace_shard(user.p, user.n, plan->n_shards) ==
				  batch->shard);
		CU_ASSERT(i >= walk->next_of_user[planned.user]);
		walk->next_of_user[planned.user] = i + 1;
	}
	walk->n_events += batch->n_events;
	walk->by_codec[batch->codec] += batch->n_events;
}

static struct walk walk_plan(struct hr_plan plan, uint64_t stop_at)
{
	struct hr_planner *planner = plan_for(&plan);
	struct hr_batcher *batcher;
	struct hr_batch batch;
	struct walk walk = { .seen = calloc(1, plan.n_events) };
	uint64_t end = plan.n_events;

	CU_ASSERT_FATAL(hr_batcher_new(&batcher, planner, key, NULL) == 0);
	while (hr_batcher_next(batcher, 1, &batch)) {
		check_batch(planner, &batch, &walk);
		if (stop_at > 0 && walk.n_events >= stop_at) {
			end = hr_batcher_stop(batcher);
			stop_at = 0;
		}
	}
	CU_ASSERT(walk.n_events == end);
	for (uint64_t i = 0; i < plan.n_events; i++)
		CU_ASSERT(walk.seen[i] == (i < end));
	free(walk.seen);
	walk.seen = NULL;
	hr_batcher_free(batcher);
	hr_planner_fini(planner);
	return walk;
}

static void datagrams_hold_every_event_once_in_order_by_shard(void)
{
	struct walk walk = walk_plan(big_plan(), 0);

	CU_ASSERT(walk.n_events == 20000);
}

static void headerless_datagrams_do_too(void)
{
	struct hr_plan plan = big_plan();

	plan.headerless = true;
	plan.codec = HR_PLAN_JSON;
	walk_plan(plan, 0);
}

static void small_datagrams_do_too(void)
{
	struct hr_plan plan = big_plan();

	plan.datagram_bytes = HR_PLAN_DATAGRAM_MIN;
	plan.datagram_events = 512;
	plan.n_shards = 25;
	walk_plan(plan, 0);
}

static void half_is_half_of_the_events(void)
{
	struct walk walk = walk_plan(big_plan(), 0);

	CU_ASSERT(walk.by_codec[HR_CODEC_JSON] > 9800);
	CU_ASSERT(walk.by_codec[HR_CODEC_PROTOBUF] > 9800);
}

static void a_plan_that_is_stopped_ends_where_it_says(void)
{
	struct walk walk = walk_plan(big_plan(), 7000);

	CU_ASSERT(walk.n_events >= 7000 && walk.n_events < 7200);
}

static void every_event_fits_the_smallest_datagram_in_either_codec(void)
{
	struct hr_plan plan = big_plan();
	struct hr_planner *planner;
	uint8_t buffer[HR_PLAN_DATAGRAM_MIN];

	plan.seed = INT64_MAX;
	plan.n_users = HR_PLAN_USERS_MAX;
	plan.zipf_milli = 0;
	plan.n_events = 200000;
	planner = plan_for(&plan);
	for (uint64_t i = 0; i < plan.n_events; i++) {
		struct hr_planned planned;

		hr_planned_make(planner, i, &planned);
		for (int codec = HEADRACE_PROTOBUF; codec <= HEADRACE_JSON; codec++) {
			struct headrace_encoder encoder;

			headrace_encoder_init(&encoder, (enum headrace_codec)codec,
					      buffer, sizeof(buffer));
			CU_ASSERT(headrace_encoder_append(&encoder, &planned.event) ==
				  HEADRACE_OK);
		}
		CU_ASSERT(planned.text_bytes <= HR_PLANNED_TEXT);
		CU_ASSERT(planned.event.n_pairs <= HR_PLANNED_PAIRS);
	}
	hr_planner_fini(planner);
}

static void an_event_is_found_again_by_its_bytes(void)
{
	struct hr_plan plan = big_plan();
	struct hr_planner *planner;
	struct hr_batcher *batcher;
	struct hr_batch batch;

	plan.n_events = 3000;
	planner = plan_for(&plan);
	CU_ASSERT_FATAL(hr_batcher_new(&batcher, planner, key, NULL) == 0);
	while (hr_batcher_next(batcher, 1, &batch)) {
		struct hr_str payload = { batch.bytes + HEADRACE_HEADER_BYTES,
					  batch.n_bytes - HEADRACE_HEADER_BYTES -
						  HEADRACE_TAG_BYTES };
		struct hr_str event;
		uint32_t cursor = 0;

		for (uint32_t k = 0; k < batch.n_events; k++) {
			struct hr_planned planned;
			uint8_t changed[1500];
			uint64_t i;

			CU_ASSERT(hr_payload_next(batch.codec, payload, &cursor,
						  &event) == 1);
			CU_ASSERT(hr_planned_find_id(planner, event, &i));
			CU_ASSERT(i == batch.events[k]);
			hr_planned_make(planner, i, &planned);
			CU_ASSERT(hr_planned_is(&planned, batch.codec, event));
			memcpy(changed, event.p, event.n);
			changed[event.n / 2] ^= 1;
			event.p = changed;
			CU_ASSERT(!hr_planned_is(&planned, batch.codec, event));
		}
		CU_ASSERT(hr_payload_next(batch.codec, payload, &cursor, &event) == 0);
	}
	hr_batcher_free(batcher);
	hr_planner_fini(planner);
}

static void ids_of_another_plan_are_not_ours(void)
{
	struct hr_plan plan = big_plan();
	struct hr_planner *planner = plan_for(&plan);
	uint64_t i;

	CU_ASSERT(hr_planned_find_id(planner, HR_STR("xx\"g1-19999\""), &i) &&
		  i == 19999);
	CU_ASSERT(hr_planned_find_id(planner, HR_STR("\"g1-x\"g1-7\""), &i) && i == 7);
	/* Protobuf: what follows the id looks like a digit of it. */
	CU_ASSERT(hr_planned_find_id(planner, HR_STR("\x1a\x05g1-1722"), &i) &&
		  i == 17);
	CU_ASSERT(!hr_planned_find_id(planner, HR_STR("\"g1-20000\""), &i));
	CU_ASSERT(!hr_planned_find_id(planner, HR_STR("\"g1-01\""), &i));
	CU_ASSERT(!hr_planned_find_id(planner, HR_STR("\"g2-1\""), &i));
	CU_ASSERT(!hr_planned_find_id(planner, HR_STR("\"g1-"), &i));
	CU_ASSERT(!hr_planned_find_id(planner, HR_STR(""), &i));
	hr_planner_fini(planner);
}

/* ---- the distribution ---- */

static void zipf_picks_by_rank(void)
{
	enum {
		N = 1000,
		PICKS = 1000000
	};
	static uint32_t times[N];
	struct hr_pick pick;
	double sum = 0;

	CU_ASSERT_FATAL(hr_pick_init(&pick, N, 1000, NULL) == 0);
	for (uint64_t i = 0; i < PICKS; i++)
		times[hr_pick_one(&pick, hr_mix(i))]++;
	for (int k = 1; k <= N; k++)
		sum += 1.0 / k;
	/* Within five standard deviations of what the law says. */
	for (int k = 0; k < N; k++) {
		const double expected = PICKS / sum / (k + 1);

		CU_ASSERT(fabs(times[k] - expected) < 5 * sqrt(expected) + 1);
	}
	hr_pick_fini(&pick);
}

static void uniform_picks_all_alike(void)
{
	static uint32_t times[100];
	struct hr_pick pick;

	CU_ASSERT_FATAL(hr_pick_init(&pick, 100, 0, NULL) == 0);
	for (uint64_t i = 0; i < 1000000; i++)
		times[hr_pick_one(&pick, hr_mix(i))]++;
	for (int k = 0; k < 100; k++)
		CU_ASSERT(abs((int)times[k] - 10000) < 500);
	hr_pick_fini(&pick);
}

/* ---- the plan file ---- */

static char path[64];

static void write_text(const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
}

static void a_plan_file_brings_the_plan_back(void)
{
	struct hr_plan plan = big_plan(), back;
	struct hr_err err = { "" };

	plan.headerless = true;
	plan.codec = HR_PLAN_JSON;
	plan.unsent_events = 3;
	plan.start_ms = 1800000000123;
	CU_ASSERT(hr_plan_write(&plan, path, &err) == 0);
	CU_ASSERT(hr_plan_read(&back, path, &err) == 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT(back.seed == plan.seed && back.n_events == plan.n_events);
	CU_ASSERT(back.codec == HR_PLAN_JSON && back.headerless);
	CU_ASSERT(back.start_ms == plan.start_ms && back.unsent_events == 3);
	CU_ASSERT(back.zipf_milli == 1000 && back.n_users == 500);
}

static void a_plan_file_with_a_fault_is_refused(void)
{
	struct hr_plan back;
	struct hr_err err = { "" };

	CU_ASSERT(hr_plan_read(&back, "/nonexistent/plan", &err) < 0);
	write_text("{}");
	CU_ASSERT(hr_plan_read(&back, path, &err) == -EINVAL);
	write_text("{\"seed\": 1");
	CU_ASSERT(hr_plan_read(&back, path, &err) == -EINVAL);
	write_text("[]");
	CU_ASSERT(hr_plan_read(&back, path, &err) == -EINVAL);
	unlink(path);
}

static void an_impossible_plan_is_refused(void)
{
	struct hr_plan plan;
	struct hr_err err;

	hr_plan_defaults(&plan);
	CU_ASSERT(hr_plan_check(&plan, &err) == 0);
	plan.n_users = 0;
	CU_ASSERT(hr_plan_check(&plan, &err) == -EINVAL);
	CU_ASSERT(strstr(err.text, "n_users") != NULL);
	hr_plan_defaults(&plan);
	plan.headerless = true;
	CU_ASSERT(hr_plan_check(&plan, &err) == -EINVAL);
	hr_plan_defaults(&plan);
	plan.datagram_bytes = 1473;
	CU_ASSERT(hr_plan_check(&plan, &err) == -EINVAL);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the same plan gives the same bytes",
		  the_same_plan_gives_the_same_bytes },
		{ "another seed gives others", another_seed_gives_others },
		{ "datagrams hold every event once, in order, by shard",
		  datagrams_hold_every_event_once_in_order_by_shard },
		{ "headerless datagrams do too", headerless_datagrams_do_too },
		{ "small datagrams do too", small_datagrams_do_too },
		{ "half is half of the events", half_is_half_of_the_events },
		{ "a plan that is stopped ends where it says",
		  a_plan_that_is_stopped_ends_where_it_says },
		{ "every event fits the smallest datagram in either codec",
		  every_event_fits_the_smallest_datagram_in_either_codec },
		{ "an event is found again by its bytes",
		  an_event_is_found_again_by_its_bytes },
		{ "ids of another plan are not ours",
		  ids_of_another_plan_are_not_ours },
		{ "Zipf picks by rank", zipf_picks_by_rank },
		{ "uniform picks all alike", uniform_picks_all_alike },
		{ "a plan file brings the plan back",
		  a_plan_file_brings_the_plan_back },
		{ "a plan file with a fault is refused",
		  a_plan_file_with_a_fault_is_refused },
		{ "an impossible plan is refused", an_impossible_plan_is_refused },
		CU_TEST_INFO_NULL,
	};

	snprintf(path, sizeof(path), "/tmp/headrace-plan-test.%d", getpid());
	return hr_test_run("gen plan", NULL, NULL, tests);
}
