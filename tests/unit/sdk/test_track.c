/* SPDX-License-Identifier: BSD-3-Clause */

/* From track() over real sockets on loopback to the bytes that arrive. */

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "headrace.h"

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/children.h"
#include "tests/unit/sdk/events.h"
#include "tests/unit/sdk/receiver.h"

#define N_SHARDS 5
#define EVENTS_MAX 200000

static struct receiver receiver;

static void setup(void)
{
	receiver_start(&receiver);
}

static void teardown(void)
{
	receiver_free(&receiver);
}

static struct headrace_config config(void)
{
	return (struct headrace_config){
		.address = receiver.address,
		.key_id = 7,
		.key_hex = WRITE_KEY_HEX,
		.n_shards = N_SHARDS,
		.handshake = HEADRACE_HANDSHAKE_OFF,
	};
}

static struct headrace *open_with(const struct headrace_config *c)
{
	struct headrace *h;
	char error[256] = "";

	CU_ASSERT_EQUAL(headrace_open(c, &h, error, sizeof(error)), HEADRACE_OK);
	CU_ASSERT_STRING_EQUAL(error, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	return h;
}

static int track_view(struct headrace *h, const char *user, const char *id)
{
	const struct headrace_pair pairs[] = {
		headrace_text("product_id", "product_456"),
		headrace_text("category", "electronics"),
	};
	const struct headrace_event ev = {
		.user = headrace_str(user),
		.type = headrace_str("product_view"),
		.id = headrace_str(id),
		.pairs = pairs,
		.n_pairs = HR_COUNT(pairs),
	};

	return headrace_track_event(h, &ev);
}

/* ---- what arrived ---- */

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->id, ((const struct seen *)b)->id);
}

/* Everything received, sorted by event id; *n of them. The caller frees it. */
static struct seen *arrived(uint32_t *n)
{
	const uint32_t total = atomic_load(&receiver.n_events);
	struct seen *all = calloc(total + 1, sizeof(*all));

	CU_ASSERT_PTR_NOT_NULL_FATAL(all);
	*n = 0;
	for (uint32_t i = 0; i < atomic_load(&receiver.n_datagrams); i++) {
		const struct received *d = &receiver.datagrams[i];

		CU_ASSERT_TRUE(tag_fits(d->bytes, d->n));
		*n += see_events(d->bytes, d->n, all + *n, total - *n);
	}
	CU_ASSERT_EQUAL_FATAL(*n, total);
	qsort(all, *n, sizeof(*all), by_id);
	return all;
}

static bool ids_are_unique(const struct seen *all, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (strcmp(all[i - 1].id, all[i].id) == 0)
			return false;
	return true;
}

/* Of every stream and shard: 1, 2, 3, ... in the order of arrival. */
static bool sequences_are_dense(void)
{
	const uint32_t n = atomic_load(&receiver.n_datagrams);

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *d = receiver.datagrams[i].bytes;
		uint64_t want = 1;

		for (uint32_t j = 0; j < i; j++)
			want += memcmp(receiver.datagrams[j].bytes + 24, d + 24, 16) ==
					0 &&
				hr_load16(receiver.datagrams[j].bytes + 10) ==
					hr_load16(d + 10);
		if (hr_load64(d + 40) != want)
			return false;
	}
	return true;
}

static uint32_t streams_seen(void)
{
	const uint32_t n = atomic_load(&receiver.n_datagrams);
	uint32_t streams = 0;

	for (uint32_t i = 0; i < n; i++) {
		bool known = false;

		for (uint32_t j = 0; j < i && !known; j++)
			known = memcmp(receiver.datagrams[j].bytes + 24,
				       receiver.datagrams[i].bytes + 24, 16) == 0;
		streams += !known;
	}
	return streams;
}

static bool laws_hold(const struct headrace_counts *s, uint64_t calls)
{
	return s->events_tracked + s->events_refused + s->events_dropped == calls &&
	       s->events_sent + s->events_failed + s->events_waiting ==
		       s->events_tracked;
}

/* ---- promises ---- */

static void an_event_arrives_with_id_and_time_of_its_own(void)
{
	static const enum headrace_codec codecs[] = { HEADRACE_PROTOBUF,
						      HEADRACE_JSON };
	struct headrace_counts s;
	struct seen *all;
	struct timespec t;
	uint32_t n;

	for (size_t c = 0; c < HR_COUNT(codecs); c++) {
		struct headrace_config conf = config();
		struct headrace *h;

		conf.codec = codecs[c];
		h = open_with(&conf);
		CU_ASSERT_EQUAL(HEADRACE_TRACK(h, "user_1", "product_view",
					       headrace_text("product_id", "p_1"),
					       headrace_integer("quantity", 2)),
				HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
		headrace_stats(h, &s);
		CU_ASSERT_TRUE(laws_hold(&s, 1));
		CU_ASSERT_EQUAL(s.events_sent, 1);
		CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	}
	CU_ASSERT_TRUE(receiver_wait(&receiver, 2));
	receiver_stop(&receiver);
	clock_gettime(CLOCK_REALTIME, &t);
	all = arrived(&n);
	CU_ASSERT_EQUAL_FATAL(n, 2);
	CU_ASSERT_TRUE(ids_are_unique(all, n));
	for (uint32_t i = 0; i < n; i++) {
		CU_ASSERT_STRING_EQUAL(all[i].user, "user_1");
		CU_ASSERT_STRING_EQUAL(all[i].type, "product_view");
		CU_ASSERT_STRING_EQUAL(all[i].product, "p_1");
		CU_ASSERT_EQUAL(all[i].n_pairs, 2);
		CU_ASSERT_TRUE(strlen(all[i].id) >= 14);
		CU_ASSERT_TRUE(all[i].time_ms > t.tv_sec * 1000 - 60000 &&
			       all[i].time_ms <= t.tv_sec * 1000 + 1000);
	}
	free(all);
}

static void what_waits_leaves_by_itself_after_flush_ms(void)
{
	struct headrace_config conf = config();
	struct headrace *h;

	conf.flush_ms = 20;
	h = open_with(&conf);
	for (int i = 1; i <= 5; i++) {
		CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
		CU_ASSERT_TRUE(receiver_wait(&receiver, (unsigned int)i));
	}
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	receiver_stop(&receiver);
	CU_ASSERT_EQUAL(atomic_load(&receiver.n_datagrams), 5);
	CU_ASSERT_TRUE(sequences_are_dense());
}

static void close_sends_what_is_left(void)
{
	struct headrace_config conf = config();
	struct headrace *h;
	char user[16];

	conf.flush_ms = 60000;
	h = open_with(&conf);
	for (int i = 0; i < 100; i++) {
		snprintf(user, sizeof(user), "user_%d", i);
		CU_ASSERT_EQUAL(track_view(h, user, NULL), HEADRACE_OK);
	}
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 100));
	receiver_stop(&receiver);
}

static void each_datagram_is_of_one_shard_and_within_its_size(void)
{
	struct headrace_config conf = config();
	struct headrace *h;
	struct seen seen[64];
	char user[16];

	conf.datagram_bytes = 600;
	conf.flush_ms = 60000;
	conf.generation = 3;
	h = open_with(&conf);
	for (int i = 0; i < 300; i++) {
		snprintf(user, sizeof(user), "user_%d", i);
		CU_ASSERT_EQUAL(track_view(h, user, NULL), HEADRACE_OK);
	}
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 300));
	receiver_stop(&receiver);
	CU_ASSERT_TRUE(sequences_are_dense());
	for (uint32_t i = 0; i < atomic_load(&receiver.n_datagrams); i++) {
		const struct received *d = &receiver.datagrams[i];
		const uint32_t n = see_events(d->bytes, d->n, seen, HR_COUNT(seen));

		CU_ASSERT_TRUE(d->n <= 600);
		CU_ASSERT_EQUAL(hr_load16(d->bytes + 12), N_SHARDS);
		CU_ASSERT_EQUAL(hr_load32(d->bytes + 16), 3);
		CU_ASSERT_EQUAL(hr_load32(d->bytes + 20), 7);
		CU_ASSERT_TRUE_FATAL(n > 0 && n <= HR_COUNT(seen));
		for (uint32_t e = 0; e < n; e++)
			CU_ASSERT_EQUAL(headrace_shard(seen[e].user,
						       strlen(seen[e].user), N_SHARDS),
					hr_load16(d->bytes + 10));
	}
}

#define N_THREADS 4
#define EVENTS_EACH 10000
#define WINDOW 400 /* events on their way: what a socket's default buffer holds */

struct tracker {
	struct headrace *h;
	atomic_uint *n_tracked;
	int number;
};

static void *track_many(void *arg)
{
	const struct tracker *t = arg;
	char user[16], id[32];

	for (int i = 0; i < EVENTS_EACH; i++) {
		while (atomic_load(t->n_tracked) >
		       atomic_load(&receiver.n_events) + WINDOW)
			usleep(100);
		snprintf(user, sizeof(user), "user_%d", i % 97);
		snprintf(id, sizeof(id), "%d-%06d", t->number, i);
		if (track_view(t->h, user, id) == HEADRACE_OK)
			atomic_fetch_add(t->n_tracked, 1);
	}
	return NULL;
}

/* Conservation, and order: a user's events of one thread arrive as tracked. */
static void four_threads_lose_and_double_nothing(void)
{
	struct headrace_config conf = config();
	struct tracker trackers[N_THREADS];
	pthread_t threads[N_THREADS];
	atomic_uint n_tracked = 0;
	struct headrace_counts s;
	struct headrace *h;
	struct seen *all;
	uint32_t n;

	conf.flush_ms = 1;
	h = open_with(&conf);
	for (int i = 0; i < N_THREADS; i++) {
		trackers[i] = (struct tracker){ h, &n_tracked, i };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, track_many, &trackers[i]), 0);
	}
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, N_THREADS * EVENTS_EACH));
	receiver_stop(&receiver);

	CU_ASSERT_TRUE(laws_hold(&s, N_THREADS * EVENTS_EACH));
	CU_ASSERT_EQUAL(s.events_sent, N_THREADS * EVENTS_EACH);
	CU_ASSERT_EQUAL(s.datagrams_sent, atomic_load(&receiver.n_datagrams));
	CU_ASSERT_TRUE(sequences_are_dense());
	all = arrived(&n);
	CU_ASSERT_EQUAL_FATAL(n, N_THREADS * EVENTS_EACH);
	for (uint32_t i = 0; i < n; i++) {
		char id[32];

		snprintf(id, sizeof(id), "%d-%06d", (int)(i / EVENTS_EACH),
			 (int)(i % EVENTS_EACH));
		CU_ASSERT_STRING_EQUAL_FATAL(all[i].id, id);
	}
	free(all);
}

static void a_users_events_arrive_in_the_order_of_their_calls(void)
{
	static char last[N_THREADS][97][65]; /* thread, user: newest id */
	struct headrace_config conf = config();
	struct tracker trackers[N_THREADS];
	pthread_t threads[N_THREADS];
	atomic_uint n_tracked = 0;
	struct headrace *h = open_with(&conf);

	memset(last, 0, sizeof(last));
	for (int i = 0; i < N_THREADS; i++) {
		trackers[i] = (struct tracker){ h, &n_tracked, i };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, track_many, &trackers[i]), 0);
	}
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, N_THREADS * EVENTS_EACH));
	receiver_stop(&receiver);
	for (uint32_t i = 0; i < atomic_load(&receiver.n_datagrams); i++) {
		const struct received *d = &receiver.datagrams[i];
		struct seen seen[64];
		const uint32_t n = see_events(d->bytes, d->n, seen, HR_COUNT(seen));

		CU_ASSERT_TRUE_FATAL(n <= HR_COUNT(seen));
		for (uint32_t e = 0; e < n; e++) {
			char *newest =
				last[seen[e].id[0] - '0'][atoi(seen[e].user + 5)];

			CU_ASSERT_TRUE_FATAL(strcmp(newest, seen[e].id) < 0);
			strcpy(newest, seen[e].id);
		}
	}
}

/* A queue of the least size, and calls faster than any sender. Each event is either
 * in a datagram or told as a drop, once. */
static void what_does_not_fit_the_queue_is_dropped_counted_and_told(void)
{
	struct headrace_config conf = config();
	struct headrace_counts s;
	struct headrace *h;
	uint64_t calls = 0, ok = 0, dropped = 0;
	uint32_t told = 0, n;

	conf.queue_bytes = 1; /* the least: a datagram per shard and one more */
	conf.flush_ms = 60000;
	conf.datagram_bytes = HEADRACE_DATAGRAM_MIN;
	h = open_with(&conf);
	while (dropped < 100 && calls < 50000000) {
		int r = track_view(h, "user_1", NULL);

		calls++;
		ok += r == HEADRACE_OK;
		dropped += r == HEADRACE_QUEUE_FULL;
		if (ok > (uint64_t)atomic_load(&receiver.n_events) + WINDOW / 4)
			usleep(100); /* the receiver's buffer is not what is tested */
	}
	CU_ASSERT_TRUE(dropped >= 100);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	CU_ASSERT_EQUAL(track_view(h, "user_1", NULL),
			HEADRACE_OK); /* tells the rest */
	calls++;
	ok++;
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(laws_hold(&s, calls));
	CU_ASSERT_EQUAL(s.events_tracked, ok);
	CU_ASSERT_EQUAL(s.events_dropped, dropped);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, (unsigned int)ok));
	receiver_stop(&receiver);
	CU_ASSERT_TRUE(sequences_are_dense());
	n = atomic_load(&receiver.n_datagrams);
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t drops = hr_load32(receiver.datagrams[i].bytes + 52);

		CU_ASSERT_TRUE(drops >= told); /* never takes one back */
		told = drops;
	}
	CU_ASSERT_EQUAL(told, dropped);
}

static void bad_input_is_refused_by_name_and_counted(void)
{
	const struct headrace_config conf = config();
	struct headrace *h = open_with(&conf);
	const struct headrace_pair twice[] = { headrace_bool("k", true),
					       headrace_bool("k", false) };
	const struct headrace_pair number = headrace_number("price", "cheap");
	const struct headrace_pair text = headrace_text("k", "\xff");
	const struct headrace_pair product = headrace_text("product_id", "");
	const struct headrace_pair category = headrace_text("category", "a\nb");
	const struct headrace_pair key = headrace_text("", "v");
	struct headrace_event ev = { .user = headrace_str("u"),
				     .type = headrace_str("t"),
				     .id = headrace_str("a\tb") };
	char long_user[130];
	struct headrace_pair large;
	static char large_text[1200];
	const struct {
		const char *user, *type;
		const struct headrace_pair *pairs;
		size_t n;
		int want;
	} rows[] = {
		{ "", "t", NULL, 0, HEADRACE_BAD_USER },
		{ NULL, "t", NULL, 0, HEADRACE_BAD_USER },
		{ "a\nb", "t", NULL, 0, HEADRACE_BAD_USER },
		{ long_user, "t", NULL, 0, HEADRACE_BAD_USER },
		{ "u", "", NULL, 0, HEADRACE_BAD_TYPE },
		{ "u", NULL, NULL, 0, HEADRACE_BAD_TYPE },
		{ "u", "t\x7f", NULL, 0, HEADRACE_BAD_TYPE },
		{ "u", "t", twice, 2, HEADRACE_DUPLICATE_KEY },
		{ "u", "t", &number, 1, HEADRACE_BAD_NUMBER },
		{ "u", "t", &text, 1, HEADRACE_BAD_TEXT },
		{ "u", "t", &product, 1, HEADRACE_BAD_PRODUCT },
		{ "u", "t", &category, 1, HEADRACE_BAD_CATEGORY },
		{ "u", "t", &key, 1, HEADRACE_BAD_KEY },
		{ "u", "t", twice, 65, HEADRACE_TOO_MANY_PAIRS },
		{ "u", "t", &large, 1, HEADRACE_TOO_LARGE },
	};
	uint64_t want[HEADRACE_RESULT_COUNT] = { 0 };
	struct headrace_counts s;

	memset(long_user, 'u', sizeof(long_user) - 1);
	long_user[sizeof(long_user) - 1] = '\0';
	memset(large_text, 'x', sizeof(large_text) - 1);
	large = headrace_text("k", large_text);
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		CU_ASSERT_EQUAL(headrace_track(h, rows[i].user, rows[i].type,
					       rows[i].pairs, rows[i].n),
				rows[i].want);
		want[rows[i].want]++;
	}
	CU_ASSERT_EQUAL(headrace_track_event(h, &ev), HEADRACE_BAD_EVENT_ID);
	want[HEADRACE_BAD_EVENT_ID]++;
	ev.id.n = 0;
	ev.time_form = HEADRACE_TIME_MILLIS;
	ev.time_ms = -1;
	CU_ASSERT_EQUAL(headrace_track_event(h, &ev), HEADRACE_BAD_TIME);
	want[HEADRACE_BAD_TIME]++;

	CU_ASSERT_EQUAL(track_view(h, "u", NULL), HEADRACE_OK); /* goes on */
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_TRUE(laws_hold(&s, HR_COUNT(rows) + 3));
	CU_ASSERT_EQUAL(memcmp(s.refused, want, sizeof(want)), 0);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 1));
	receiver_stop(&receiver);
	CU_ASSERT_EQUAL(atomic_load(&receiver.n_events), 1);
}

static void a_new_stream_begins_every_max_age(void)
{
	struct headrace_config conf = config();
	struct headrace_counts s;
	struct headrace *h;
	struct seen *all;
	uint32_t n;

	conf.stream_max_age_ms = 30;
	conf.flush_ms = 2;
	h = open_with(&conf);
	for (int i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(track_view(h, i % 2 ? "user_1" : "user_2", NULL),
				HEADRACE_OK);
		usleep(2000);
	}
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 100));
	receiver_stop(&receiver);
	CU_ASSERT_TRUE(s.streams >= 4);
	CU_ASSERT_TRUE(streams_seen() >= 4);
	CU_ASSERT_TRUE(streams_seen() <= s.streams);
	CU_ASSERT_TRUE(sequences_are_dense());
	all = arrived(&n);
	CU_ASSERT_TRUE(ids_are_unique(all, n));
	free(all);
}

static void a_restart_begins_a_stream_of_its_own(void)
{
	const struct headrace_config conf = config();
	struct seen *all;
	uint32_t n;

	for (int i = 0; i < 3; i++) {
		struct headrace *h = open_with(&conf);

		CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	}
	CU_ASSERT_TRUE(receiver_wait(&receiver, 3));
	receiver_stop(&receiver);
	CU_ASSERT_EQUAL(streams_seen(), 3);
	CU_ASSERT_TRUE(sequences_are_dense());
	all = arrived(&n);
	CU_ASSERT_TRUE(ids_are_unique(all, n));
	free(all);
}

static void *track_until_told(void *arg)
{
	struct tracker *t = arg;

	while (atomic_load(t->n_tracked) == 0) {
		(void)track_view(t->h, "busy", NULL);
		usleep(50);
	}
	return NULL;
}

/* Tracks, flushes and closes; the exit code says what went wrong. */
static void be_the_child(struct headrace *h, int number, bool closes_at_once)
{
	struct headrace_counts s;
	char user[16];
	int bad = 0;

	headrace_stats(h, &s);
	bad |= s.events_tracked != 0 || s.events_sent != 0;
	snprintf(user, sizeof(user), "child_%d", number);
	for (int i = 0; i < 20 && !closes_at_once; i++)
		bad |= track_view(h, user, NULL) != HEADRACE_OK;
	if (number % 2 == 0 && !closes_at_once)
		bad |= headrace_flush(h, 5000) != HEADRACE_OK;
	bad |= headrace_close(h) != HEADRACE_OK;
	_exit(bad);
}

/* Forks in the middle of another thread's calls: nothing that waited in the parent
 * leaves twice, and each child speaks with a stream of its own. */
static void a_forked_child_has_a_stream_of_its_own(void)
{
	enum {
		CHILDREN = 10,
		TRACKING = CHILDREN_TRACK ? 8 : 0
	};
	struct headrace_config conf = config();
	atomic_uint stop = 0;
	struct tracker tracker = { NULL, &stop, 0 };
	struct headrace_counts s;
	pthread_t busy;
	struct seen *all;
	uint32_t n, of_children = 0;

	tracker.h = open_with(&conf);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&busy, NULL, track_until_told, &tracker),
			      0);
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;
		pid_t child;

		usleep(3000);
		child = fork();
		if (child == 0)
			be_the_child(tracker.h, i, i >= TRACKING);
		CU_ASSERT_TRUE_FATAL(child > 0);
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_EQUAL(status, 0);
	}
	atomic_store(&stop, 1);
	pthread_join(busy, NULL);
	CU_ASSERT_EQUAL(headrace_flush(tracker.h, 5000), HEADRACE_OK);
	headrace_stats(tracker.h, &s);
	CU_ASSERT_EQUAL(headrace_close(tracker.h), HEADRACE_OK);
	CU_ASSERT_TRUE(
		receiver_wait(&receiver, (unsigned int)s.events_sent + TRACKING * 20));
	receiver_stop(&receiver);

	CU_ASSERT_EQUAL(streams_seen(), 1 + TRACKING);
	CU_ASSERT_TRUE(sequences_are_dense());
	all = arrived(&n);
	CU_ASSERT_TRUE(ids_are_unique(all, n));
	for (uint32_t i = 0; i < n; i++)
		of_children += strncmp(all[i].user, "child_", 6) == 0;
	CU_ASSERT_EQUAL(of_children, TRACKING * 20);
	CU_ASSERT_EQUAL(n - of_children, s.events_sent);
	free(all);
}

static void shards_are_spread_over_the_addresses(void)
{
	struct receiver second;
	struct headrace_config conf = config();
	struct headrace *h;
	char both[80], user[16];

	receiver_start(&second);
	snprintf(both, sizeof(both), "%s, %s", receiver.address, second.address);
	conf.address = both;
	h = open_with(&conf);
	for (int i = 0; i < 200; i++) {
		snprintf(user, sizeof(user), "user_%d", i);
		CU_ASSERT_EQUAL(track_view(h, user, NULL), HEADRACE_OK);
	}
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	for (int i = 0;
	     i < 1000 &&
	     atomic_load(&receiver.n_events) + atomic_load(&second.n_events) < 200;
	     i++)
		usleep(1000);
	receiver_stop(&receiver);
	receiver_stop(&second);
	CU_ASSERT_EQUAL(atomic_load(&receiver.n_events) + atomic_load(&second.n_events),
			200);
	for (uint32_t i = 0; i < atomic_load(&receiver.n_datagrams); i++)
		CU_ASSERT_EQUAL(hr_load16(receiver.datagrams[i].bytes + 10) % 2, 0);
	for (uint32_t i = 0; i < atomic_load(&second.n_datagrams); i++)
		CU_ASSERT_EQUAL(hr_load16(second.datagrams[i].bytes + 10) % 2, 1);
	receiver_free(&second);
}

static void nobody_listening_is_noticed_and_stops_nothing(void)
{
	const struct headrace_config conf = config();
	struct headrace *h = open_with(&conf);
	struct headrace_counts s;

	receiver_stop(&receiver);
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
		CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	}
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(s.events_sent, 10);
	CU_ASSERT_TRUE(s.send_unreachable > 0);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
}

/* What the kernel refuses for good is counted as failed, keeps its sequence, and
 * does not stop what comes after it. */
static void a_datagram_the_network_refuses_is_a_counted_gap(void)
{
	struct headrace_config conf = config();
	struct headrace_counts s;
	struct headrace *h;

	conf.send_retry_ms = 10;
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 1));

	/* Take the socket away from under the sender: the only descriptor that is
	 * connected to the receiver's address. */
	struct sockaddr_in want, peer;
	socklen_t n = sizeof(want);
	int taken = -1, kept = -1;

	CU_ASSERT_EQUAL(getsockname(receiver.fd, (struct sockaddr *)&want, &n), 0);
	for (int fd = 3; fd < 1024 && taken < 0; fd++) {
		n = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0 &&
		    peer.sin_port == want.sin_port)
			taken = fd;
	}
	CU_ASSERT_TRUE_FATAL(taken >= 0);
	kept = dup(taken);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(null >= 0 && dup2(null, taken) == taken);
	CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_SEND_FAILED);
	CU_ASSERT_EQUAL(dup2(kept, taken), taken);
	close(kept);
	close(null);

	CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_flush(h, 5000), HEADRACE_OK);
	headrace_stats(h, &s);
	CU_ASSERT_EQUAL(s.events_sent, 2);
	CU_ASSERT_EQUAL(s.events_failed, 1);
	CU_ASSERT_EQUAL(s.datagrams_failed, 1);
	CU_ASSERT_EQUAL(s.last_send_errno, ENOTSOCK);
	CU_ASSERT_TRUE(laws_hold(&s, 3));
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 2));
	receiver_stop(&receiver);
	CU_ASSERT_EQUAL(hr_load64(receiver.datagrams[0].bytes + 40), 1);
	CU_ASSERT_EQUAL(hr_load64(receiver.datagrams[1].bytes + 40), 3);
	CU_ASSERT_EQUAL(hr_load32(receiver.datagrams[1].bytes + 52), 0);
}

#define KEY_FILE "sdk-test-keys"

static void write_keys(const char *text)
{
	FILE *f = fopen(KEY_FILE, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static void a_wrong_configuration_is_refused_with_a_sentence(void)
{
	static const struct {
		struct headrace_config c;
		const char *keys;
		int want;
		const char *says;
	} rows[] = {
#define KEY .key_id = 7, .key_hex = WRITE_KEY_HEX
#define AT .address = "127.0.0.1:21000"
		{ { KEY }, NULL, HEADRACE_BAD_ADDRESS, "found none" },
		{ { KEY, .address = "" }, NULL, HEADRACE_BAD_ADDRESS, "found none" },
		{ { KEY, .address = ", " }, NULL, HEADRACE_BAD_ADDRESS, "host:port" },
		{ { KEY, .address = "127.0.0.1" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "host:port" },
		{ { KEY, .address = ":7400" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "host:port" },
		{ { KEY, .address = "::1:7400" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "[address]:port" },
		{ { KEY, .address = "[::1:7400" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "[address]:port" },
		{ { KEY, .address = "127.0.0.1:0" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "1 to 65535" },
		{ { KEY, .address = "127.0.0.1:65536" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "1 to 65535" },
		{ { KEY, .address = "127.0.0.1:9-8" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "1 to 65535" },
		{ { KEY, .address = "127.0.0.1:80x" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "1 to 65535" },
		{ { KEY, .address = "127.0.0.1:7400-7405",
		    .handshake = HEADRACE_HANDSHAKE_OFF },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "6 of them for 5 shards" },
		{ { KEY, .address = "127.0.0.1:1-1000" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "more than" },
		{ { KEY, .address = "256.256.256.256:1" },
		  NULL,
		  HEADRACE_BAD_ADDRESS,
		  "256.256.256.256" },
		{ { AT }, NULL, HEADRACE_BAD_WRITE_KEY, "exactly one" },
		{ { AT, KEY, .key_file = KEY_FILE },
		  "",
		  HEADRACE_BAD_WRITE_KEY,
		  "exactly one" },
		{ { AT, .key_hex = "00" },
		  NULL,
		  HEADRACE_BAD_WRITE_KEY,
		  "32 hex digits" },
		{ { AT, .key_hex = WRITE_KEY_HEX "0" },
		  NULL,
		  HEADRACE_BAD_WRITE_KEY,
		  "found 33" },
		{ { AT, .key_hex = "0001020304050607 8090a0b0c0d0e0f" },
		  NULL,
		  HEADRACE_BAD_WRITE_KEY,
		  "32 hex digits" },
		{ { AT, .key_file = "no-such-file" },
		  NULL,
		  HEADRACE_BAD_WRITE_KEY,
		  "no-such-file: No such file" },
		{ { AT, .key_id = 7, .key_file = KEY_FILE },
		  "# keys\n\n8 " WRITE_KEY_HEX "\n",
		  HEADRACE_BAD_WRITE_KEY,
		  "no line for key id 7" },
		{ { AT, .key_id = 7, .key_file = KEY_FILE },
		  "# keys\n7 beef\n",
		  HEADRACE_BAD_WRITE_KEY,
		  KEY_FILE ":2: expected" },
		{ { AT, KEY, .n_shards = 65536 },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "n_shards" },
		{ { AT, KEY, .codec = (enum headrace_codec)3 },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "codec" },
		{ { AT, KEY, .datagram_bytes = 255 },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "datagram_bytes: expected 256 to 1472, found 255" },
		{ { AT, KEY, .datagram_bytes = 1473 },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "datagram_bytes" },
		{ { AT, KEY, .flush_ms = 60001 },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "flush_ms" },
		{ { AT, KEY, .queue_bytes = UINT64_MAX },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "queue_bytes" },
		{ { AT, KEY, .send_retry_ms = 60001 },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "send_retry_ms" },
		{ { AT, KEY, .stream_max_age_ms = UINT64_MAX },
		  NULL,
		  HEADRACE_BAD_CONFIG,
		  "stream_max_age_ms" },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct headrace *h = (struct headrace *)&h;
		char error[200] = "";

		if (rows[i].keys != NULL)
			write_keys(rows[i].keys);
		CU_ASSERT_EQUAL(headrace_open(&rows[i].c, &h, error, sizeof(error)),
				rows[i].want);
		CU_ASSERT_PTR_NULL(h);
		if (strstr(error, rows[i].says) == NULL) {
			printf("\nrow %zu: \"%s\" lacks \"%s\"\n", i, error,
			       rows[i].says);
			CU_FAIL("the sentence does not say so");
		}
		CU_ASSERT_EQUAL(headrace_open(&rows[i].c, &h, NULL, 0), rows[i].want);
	}
	remove(KEY_FILE);
	receiver_stop(&receiver);
}

static void the_key_file_of_the_appliance_will_do(void)
{
	struct headrace_config conf = config();
	struct headrace *h;

	write_keys("# id  key  comment\n"
		   "70 ffffffffffffffffffffffffffffffff another\n"
		   "  7 \t" WRITE_KEY_HEX " the shop\n");
	conf.key_hex = NULL;
	conf.key_file = KEY_FILE;
	h = open_with(&conf);
	CU_ASSERT_EQUAL(track_view(h, "user_1", NULL), HEADRACE_OK);
	CU_ASSERT_EQUAL(headrace_close(h), HEADRACE_OK);
	CU_ASSERT_TRUE(receiver_wait(&receiver, 1));
	receiver_stop(&receiver);
	CU_ASSERT_TRUE(tag_fits(receiver.datagrams[0].bytes, receiver.datagrams[0].n));
	remove(KEY_FILE);
}

static void closing_nothing_is_fine(void)
{
	CU_ASSERT_EQUAL(headrace_close(NULL), HEADRACE_OK);
	receiver_stop(&receiver);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an event arrives with id and time of its own",
		  an_event_arrives_with_id_and_time_of_its_own },
		{ "what waits leaves by itself after flush_ms",
		  what_waits_leaves_by_itself_after_flush_ms },
		{ "close sends what is left", close_sends_what_is_left },
		{ "each datagram is of one shard and within its size",
		  each_datagram_is_of_one_shard_and_within_its_size },
		{ "four threads lose and double nothing",
		  four_threads_lose_and_double_nothing },
		{ "a user's events arrive in the order of their calls",
		  a_users_events_arrive_in_the_order_of_their_calls },
		{ "what does not fit the queue is dropped, counted and told",
		  what_does_not_fit_the_queue_is_dropped_counted_and_told },
		{ "bad input is refused by name and counted",
		  bad_input_is_refused_by_name_and_counted },
		{ "a new stream begins every max_age",
		  a_new_stream_begins_every_max_age },
		{ "a restart begins a stream of its own",
		  a_restart_begins_a_stream_of_its_own },
		{ "a forked child has a stream of its own",
		  a_forked_child_has_a_stream_of_its_own },
		{ "shards are spread over the addresses",
		  shards_are_spread_over_the_addresses },
		{ "nobody listening is noticed and stops nothing",
		  nobody_listening_is_noticed_and_stops_nothing },
		{ "a datagram the network refuses is a counted gap",
		  a_datagram_the_network_refuses_is_a_counted_gap },
		{ "a wrong configuration is refused with a sentence",
		  a_wrong_configuration_is_refused_with_a_sentence },
		{ "the key file of the appliance will do",
		  the_key_file_of_the_appliance_will_do },
		{ "closing nothing is fine", closing_nothing_is_fine },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("sdk track", setup, teardown, tests);
}
