/* SPDX-License-Identifier: BSD-3-Clause */

/* The whole SDK, threads and sockets, against appliances that acknowledge. */

#include <errno.h>
#include <sys/wait.h>

#include "tests/unit/sdk/against_fakes.h"

static bool numbers_add_up(const struct headrace_counts *s, uint64_t calls)
{
	return s->events_tracked + s->events_refused + s->events_dropped == calls &&
	       s->events_tracked + s->events_restored ==
		       s->events_committed + s->events_expired + s->events_unknown +
			       s->events_waiting;
}

/* ---- promises ---- */

static void flush_means_committed(void)
{
	const struct headrace_config conf = config();
	struct headrace *h = open_with(&conf);
	struct headrace_counts s;

	for (uint32_t i = 1; i <= 20; i++) {
		CU_ASSERT_EQUAL(headrace_track(h, "user_1", "click", NULL, 0),
				HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
		pthread_mutex_lock(&other.lock);
		CU_ASSERT_EQUAL(read_logs(N_SHARDS), i);
		pthread_mutex_unlock(&other.lock);
		CU_ASSERT_EQUAL(headrace_waiting(h), 0);
	}
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(numbers_add_up(&s, 20));
	CU_ASSERT_EQUAL(s.events_committed, 20);
	CU_ASSERT_EQUAL(s.streams, 1);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	CU_ASSERT_TRUE(are_unique(read_logs(N_SHARDS)));
}

#define N_THREADS 4
#define EVENTS_EACH 5000
#define LEARNING_ROUNDS 20
#define LEARNING_EACH 2000

struct tracker {
	struct headrace *h;
	int number;
};

static void *track_many(void *arg)
{
	const struct tracker *t = arg;
	char user[16], id[32];

	for (int i = 0; i < EVENTS_EACH; i++) {
		snprintf(user, sizeof(user), "user_%d", i % 97);
		snprintf(id, sizeof(id), "%d-%06d", t->number, i);
		while (track_as(t->h, user, id) == HEADRACE_QUEUE_FULL)
			usleep(1000);
	}
	return NULL;
}

static void four_threads_lose_and_double_nothing_on_a_bad_network(void)
{
	static char last[N_THREADS][97][65];
	struct headrace_config conf = config();
	struct tracker trackers[N_THREADS];
	pthread_t threads[N_THREADS];
	struct headrace_counts s;
	struct headrace *h;
	uint32_t n;

	memset(last, 0, sizeof(last));
	other.loss = 50;
	conf.queue_bytes = 256 << 10;
	h = open_with(&conf);
	for (int i = 0; i < N_THREADS; i++) {
		trackers[i] = (struct tracker){ h, i };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, track_many, &trackers[i]), 0);
	}
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(headrace_flush(h, 30000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(numbers_add_up(&s, N_THREADS * EVENTS_EACH + s.events_dropped));
	CU_ASSERT_EQUAL(s.events_committed, N_THREADS * EVENTS_EACH);
	CU_ASSERT_TRUE(s.datagrams_resent > 0);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	n = read_logs(N_SHARDS);
	CU_ASSERT_EQUAL(n, N_THREADS * EVENTS_EACH);
	for (uint32_t i = 0; i < n; i++) {
		char *newest = last[logged[i].id[0] - '0'][atoi(logged[i].user + 5)];

		CU_ASSERT_TRUE_FATAL(strcmp(newest, logged[i].id) < 0);
		strcpy(newest, logged[i].id);
	}
	CU_ASSERT_TRUE(are_unique(n));
}

static void the_number_of_shards_is_learned(void)
{
	static const uint32_t wrong[] = { 1, 3, 40 };

	for (size_t i = 0; i < HR_COUNT(wrong); i++) {
		struct headrace_config conf = config();
		struct headrace *h;
		char user[16];

		conf.n_shards = wrong[i];
		h = open_with(&conf);
		for (int k = 0; k < 300; k++) {
			snprintf(user, sizeof(user), "user_%d", k);
			CU_ASSERT_EQUAL(headrace_track(h, user, "click", NULL, 0),
					HEADRACE_OK);
		}
		CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	}
	acknowledging_stop(&other);
	for (uint32_t s = 0; s < N_SHARDS; s++)
		CU_ASSERT_TRUE(fake_log_items(other.cluster, s) > 0);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 900);
	for (uint32_t i = 0; i < 900; i++)
		CU_ASSERT_TRUE(headrace_shard(logged[i].user, strlen(logged[i].user),
					      N_SHARDS) < N_SHARDS);
	CU_ASSERT_TRUE(are_unique(900));
}

static void *track_on(void *arg)
{
	struct headrace *h = arg;

	for (int i = 0; i < LEARNING_EACH; i++) {
		char user[16];

		snprintf(user, sizeof(user), "user_%d", i % 97);
		while (headrace_track(h, user, "click", NULL, 0) == HEADRACE_QUEUE_FULL)
			usleep(1000);
	}
	return NULL;
}

/* The SDK makes their ids: what is tracked just when the shards become others must not
 * get an id again. */
static void ids_stay_unique_while_shards_are_learned(void)
{
	for (int round = 0; round < LEARNING_ROUNDS; round++) {
		struct headrace_config conf = config();
		pthread_t threads[N_THREADS];
		struct headrace *h;

		conf.n_shards = 1;
		h = open_with(&conf);
		for (int i = 0; i < N_THREADS; i++)
			CU_ASSERT_EQUAL_FATAL(
				pthread_create(&threads[i], NULL, track_on, h), 0);
		for (int i = 0; i < N_THREADS; i++)
			pthread_join(threads[i], NULL);
		CU_ASSERT_EQUAL(headrace_flush(h, 30000), HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	}
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS),
			LEARNING_ROUNDS * N_THREADS * LEARNING_EACH);
	CU_ASSERT_TRUE(are_unique(LEARNING_ROUNDS * N_THREADS * LEARNING_EACH));
}

static void an_owner_that_is_named_is_found(void)
{
	const struct headrace_config conf = config(); /* one address of the two */
	struct headrace *h = open_with(&conf);
	struct headrace_counts s;

	for (int round = 0; round < 6; round++) {
		pthread_mutex_lock(&other.lock);
		for (uint32_t shard = 0; shard < N_SHARDS; shard++) {
			fake_take(other.cluster, (uint32_t)round % 2, shard);
			fake_restart(other.cluster, (uint32_t)(round + 1) % 2);
		}
		pthread_mutex_unlock(&other.lock);
		for (int k = 0; k < 50; k++) {
			char user[16];

			snprintf(user, sizeof(user), "user_%d", k);
			CU_ASSERT_EQUAL(headrace_track(h, user, "click", NULL, 0),
					HEADRACE_OK);
		}
		CU_ASSERT_EQUAL(headrace_flush(h, 10000), HEADRACE_OK);
	}
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(s.failovers > 0);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 300);
	CU_ASSERT_TRUE(are_unique(300));
}

static void a_silent_address_is_left_for_the_next(void)
{
	struct headrace_config conf = config();
	struct headrace *h;
	char both[100];

	pthread_mutex_lock(&other.lock);
	fake_set_down(other.cluster, 0, true);
	for (uint32_t shard = 0; shard < N_SHARDS; shard++)
		fake_take(other.cluster, 1, shard);
	pthread_mutex_unlock(&other.lock);
	snprintf(both, sizeof(both), "%s,%s", other.address[0], other.address[1]);
	conf.address = both;
	h = open_with(&conf);
	for (int k = 0; k < 50; k++) {
		char user[16];

		snprintf(user, sizeof(user), "user_%d", k);
		CU_ASSERT_EQUAL(headrace_track(h, user, "click", NULL, 0), HEADRACE_OK);
	}
	CU_ASSERT_EQUAL(headrace_flush(h, 10000), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 50);
}

struct told {
	uint32_t n[HEADRACE_STATES];
	char user[129], id[65];
};

static void remember(void *arg, const struct headrace_outcome *o)
{
	struct told *t = arg;

	t->n[o->state]++;
	copy_text(t->user, sizeof(t->user), (const uint8_t *)o->user.p, o->user.n);
	copy_text(t->id, sizeof(t->id), (const uint8_t *)o->id.p, o->id.n);
}

static void flush_and_close_tell_what_is_left(void)
{
	struct headrace_config conf = config();
	struct headrace_counts s;
	struct told told = { { 0 }, "", "" };
	struct headrace *h;

	conf.close_ms = 50;
	conf.on_outcome = remember;
	conf.on_outcome_arg = &told;
	conf.outcomes = (1u << HEADRACE_STATES) - 1;
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "one"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	CU_ASSERT_EQUAL(told.n[HEADRACE_COMMITTED], 1);
	CU_ASSERT_STRING_EQUAL(told.id, "one");
	CU_ASSERT_STRING_EQUAL(told.user, "user_1");
	pthread_mutex_lock(&other.lock);
	fake_set_down(other.cluster, 0, true);
	pthread_mutex_unlock(&other.lock);
	CU_ASSERT_EQUAL(track_as(h, "user_1", "two"), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 50), HEADRACE_TIMEOUT);
	CU_ASSERT_EQUAL(headrace_waiting(h), 1);
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(numbers_add_up(&s, 2));
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_TIMEOUT);
	CU_ASSERT_EQUAL(told.n[HEADRACE_UNKNOWN], 1);
	CU_ASSERT_STRING_EQUAL(told.id, "two");
	acknowledging_stop(&other);
}

static void the_appliance_sets_the_clock(void)
{
	const struct headrace_config conf = config();
	struct headrace *h = open_with(&conf);
	uint64_t now_ms;
	uint32_t n;

	CU_ASSERT_EQUAL(headrace_track(h, "user_1", "click", NULL, 0), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_track(h, "user_1", "click", NULL, 0), HEADRACE_OK);
	now_ms = (1764547200000000 + mono_us()) / 1000;
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	acknowledging_stop(&other);
	n = read_logs(N_SHARDS);
	CU_ASSERT_EQUAL_FATAL(n, 2);
	CU_ASSERT_TRUE(llabs(logged[1].time_ms - (int64_t)now_ms) < 100);
}

static void *track_until_told(void *arg)
{
	struct tracker *t = arg;

	while (__atomic_load_n(&t->number, __ATOMIC_RELAXED) == 0) {
		(void)headrace_track(t->h, "busy", "click", NULL, 0);
		usleep(50);
	}
	return NULL;
}

static void be_the_child(struct headrace *h, int number)
{
	struct headrace_counts s;
	char user[16];
	int bad = 0;

	headrace_stats(h, &s);
	bad |= s.events_tracked != 0 || s.events_committed != 0;
	snprintf(user, sizeof(user), "child_%d", number);
	for (int i = 0; i < 20; i++)
		bad |= headrace_track(h, user, "click", NULL, 0) != HEADRACE_OK;
	if (number % 2 == 0)
		bad |= headrace_flush(h, 5000) != HEADRACE_OK;
	bad |= headrace_close(h) != HEADRACE_OK;
	_exit(bad);
}

static void a_forked_child_speaks_for_itself(void)
{
	enum {
		CHILDREN = CHILDREN_TRACK ? 8 : 0
	};
	const struct headrace_config conf = config();
	struct tracker tracker = { open_with(&conf), 0 };
	struct headrace_counts s;
	uint32_t n, of_children = 0;
	pthread_t busy;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&busy, NULL, track_until_told, &tracker),
			      0);
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;
		pid_t child;

		usleep(3000);
		child = fork();
		if (child == 0)
			be_the_child(tracker.h, i);
		CU_ASSERT_TRUE_FATAL(child > 0);
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_EQUAL(status, 0);
	}
	__atomic_store_n(&tracker.number, 1, __ATOMIC_RELAXED);
	pthread_join(busy, NULL);
	CU_ASSERT_EQUAL(headrace_flush(tracker.h, 5000), HEADRACE_OK);
	headrace_stats(tracker.h, &s);
	CU_ASSERT_EQUAL(headrace_close(tracker.h), HEADRACE_OK);
	acknowledging_stop(&other);
	n = read_logs(N_SHARDS);
	CU_ASSERT_TRUE(are_unique(n));
	for (uint32_t i = 0; i < n; i++)
		of_children += strncmp(logged[i].user, "child_", 6) == 0;
	CU_ASSERT_EQUAL(of_children, CHILDREN * 20);
	CU_ASSERT_EQUAL(n - of_children, s.events_committed);
}

/* Nobody answers: track() still returns at once, what does not fit is dropped. */
static void a_dead_appliance_holds_nobody_up(void)
{
	struct headrace_config conf = config();
	struct headrace_counts s;
	struct headrace *h;
	uint64_t start, worst = 0;
	uint32_t full = 0;

	pthread_mutex_lock(&other.lock);
	fake_set_down(other.cluster, 0, true);
	pthread_mutex_unlock(&other.lock);
	conf.queue_bytes = 20000;
	conf.close_ms = 10;
	h = open_with(&conf);
	for (int i = 0; i < 20000; i++) {
		start = mono_us();
		full += headrace_track(h, "user_1", "click", NULL, 0) ==
			HEADRACE_QUEUE_FULL;
		worst = mono_us() - start > worst ? mono_us() - start : worst;
	}
	CU_ASSERT_TRUE(full > 0);
	CU_ASSERT_TRUE(worst < 500000); /* of a machine that others use, too */
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(numbers_add_up(&s, 20000));
	CU_ASSERT_EQUAL(s.events_dropped, full);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_TIMEOUT);
	acknowledging_stop(&other);
	CU_ASSERT_EQUAL(read_logs(N_SHARDS), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "flush means committed", flush_means_committed },
		{ "four threads lose and double nothing on a bad network",
		  four_threads_lose_and_double_nothing_on_a_bad_network },
		{ "the number of shards is learned", the_number_of_shards_is_learned },
		{ "ids stay unique while shards are learned",
		  ids_stay_unique_while_shards_are_learned },
		{ "an owner that is named is found", an_owner_that_is_named_is_found },
		{ "a silent address is left for the next",
		  a_silent_address_is_left_for_the_next },
		{ "flush and close tell what is left",
		  flush_and_close_tell_what_is_left },
		{ "the appliance sets the clock", the_appliance_sets_the_clock },
		{ "a forked child speaks for itself",
		  a_forked_child_speaks_for_itself },
		{ "a dead appliance holds nobody up",
		  a_dead_appliance_holds_nobody_up },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk reliable", setup, teardown, tests);
}
