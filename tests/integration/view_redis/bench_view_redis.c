/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What one Redis takes through the view, run by hand:
 *
 *   tests/integration/test_view_redis --bench [EVENTS [WORDS]]
 *
 * WORDS choose a row by its name.  * Every event is a product_view with a category. A backlog of links is written as fast
 * as it goes; then the same load is offered at a steady rate, for its latency. CPU of
 * Redis is what INFO says, ours that of the view's thread.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/stats/stats.h"
#include "tests/integration/view_redis/world.h"
#include "tests/unit/hr_test.h"

#define PRODUCTS 10000
#define CATEGORIES 100
#define SHARDS 5
#define LINK_EVENTS 100

static uint16_t port;
static redisContext *redis;
static uint64_t rng = 88172645463325252u;
static double *zipf; /* running sums, by user */

static double draw(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (double)(rng >> 11) / 9007199254740992.0;
}

static void make_zipf(uint32_t n)
{
	double sum = 0;

	zipf = realloc(zipf, n * sizeof(*zipf));
	for (uint32_t i = 0; i < n; i++)
		zipf[i] = sum += 1.0 / (i + 1);
	for (uint32_t i = 0; i < n; i++)
		zipf[i] /= sum;
}

static uint32_t draw_zipf(uint32_t n)
{
	double x = draw();
	uint32_t low = 0, high = n - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (zipf[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static double redis_cpu_s(void)
{
	redisReply *r = redisCommand(redis, "INFO cpu");
	const char *user = strstr(r->str, "used_cpu_user:");
	const char *sys = strstr(r->str, "used_cpu_sys:");
	double s = strtod(user + 14, NULL) + strtod(sys + 13, NULL);

	freeReplyObject(r);
	return s;
}

static double our_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void write_similar(uint32_t n_similar)
{
	freeReplyObject(redisCommand(redis, "FLUSHALL"));
	for (uint32_t p = 0; p < PRODUCTS && n_similar > 0; p++)
		for (uint32_t i = 1; i <= n_similar; i++)
			redisAppendCommand(redis, "SADD product:p%u:similar p%u", p,
					   (p + 37 * i) % PRODUCTS);
	for (uint32_t i = 0; i < PRODUCTS * n_similar; i++) {
		void *reply;

		redisGetReply(redis, &reply);
		freeReplyObject(reply);
	}
}

struct row {
	const char *name;
	uint32_t n_users, n_similar;
	bool is_zipf;
};

/* n events over all shards, as links of some LINK_EVENTS. */
static void put_events(struct world *w, const struct row *row, uint32_t n)
{
	static struct world_event held[SHARDS][LINK_EVENTS];
	static uint32_t n_held[SHARDS], next;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t user =
			row->is_zipf ? draw_zipf(row->n_users) : next++ % row->n_users;
		double p = draw();
		uint16_t s = world_shard_of(w, user);

		held[s][n_held[s]++] = (struct world_event){
			.user = user,
			.product = (int32_t)(p * p * PRODUCTS),
			.category = (int32_t)(p * p * CATEGORIES),
			.type = 1,
			.time_ms = (int64_t)(hr_wall_us() / 1000),
		};
		if (n_held[s] == LINK_EVENTS) {
			world_epoch(w, s, held[s], n_held[s]);
			n_held[s] = 0;
		}
	}
	for (uint16_t s = 0; s < SHARDS; s++) {
		if (n_held[s] > 0)
			world_epoch(w, s, held[s], n_held[s]);
		n_held[s] = 0;
	}
}

static struct world *open_world(void)
{
	struct world *w = world_open(SHARDS, (size_t)4 << 30);

	w->config.redis_port = port;
	strcpy(w->config.redis_host, "127.0.0.1");
	return w;
}

static void measure_backlog(const struct row *row, uint32_t n)
{
	struct world *w = open_world();
	double redis_s, ours_s, s;
	uint64_t began;

	write_similar(row->n_similar);
	make_zipf(row->n_users);
	put_events(w, row, n);
	redis_s = redis_cpu_s();
	ours_s = our_cpu_s();
	began = hr_mono_us();
	world_start_view(w);
	if (!world_settle(w, 600000))
		exit(1);
	s = (double)(hr_mono_us() - began) / 1e6;
	redis_s = redis_cpu_s() - redis_s;
	ours_s = our_cpu_s() - ours_s;
	printf("%-34s %7.0f events/s  redis %5.2f us/event  view %5.2f us/event\n",
	       row->name, n / s, redis_s * 1e6 / n, ours_s * 1e6 / n);
	fflush(stdout);
	world_close(w);
}

static void measure_rate(const struct row *row, uint32_t rate, uint32_t seconds)
{
	struct world *w = open_world();
	struct hr_stats_reader *reader;
	double redis_s;
	uint64_t began;

	hr_stats_open_own(&reader, w->stats);
	write_similar(row->n_similar);
	make_zipf(row->n_users);
	world_start_view(w);
	redis_s = redis_cpu_s();
	began = hr_mono_us();
	for (uint32_t i = 0; i < seconds * 200; i++) {
		uint64_t due = began + (uint64_t)i * 5000, now = hr_mono_us();

		if (now < due)
			usleep((useconds_t)(due - now));
		put_events(w, row, rate / 200);
	}
	if (!world_settle(w, 600000))
		exit(1);
	redis_s = redis_cpu_s() - redis_s;
	printf("%-34s %7u events/s offered: redis %.2f cores, latency p50 %.1f p99 "
	       "%.1f "
	       "ms\n",
	       row->name, rate, redis_s * 1e6 / (double)(hr_mono_us() - began),
	       hr_stats_quantile_us(reader, "headrace_view_latency_seconds", "", 0.5) /
		       1e3,
	       hr_stats_quantile_us(reader, "headrace_view_latency_seconds", "", 0.99) /
		       1e3);
	fflush(stdout);
	hr_stats_close(reader);
	world_close(w);
}

static const struct row rows[] = {
	{ "each user once a tick, 0 similar", 50000, 0, false },
	{ "each user once a tick, 3 similar", 50000, 3, false },
	{ "10,000 users, Zipf, 0 similar", 10000, 0, true },
	{ "10,000 users, Zipf, 3 similar", 10000, 3, true },
	{ "1,000,000 users, Zipf, 0 similar", 1000000, 0, true },
};
static uint32_t n_events = 300000;
static const char *words = "";

static void measure(void)
{
	printf("\n");
	for (size_t i = 0; i < HR_COUNT(rows); i++)
		if (strstr(rows[i].name, words) != NULL)
			measure_backlog(&rows[i], n_events);
	if (words[0] != '\0')
		return;
	measure_rate(&rows[2], 20000, 5);
	measure_rate(&rows[2], 100000, 5);
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "the rates", measure },
		CU_TEST_INFO_NULL,
	};

	if (getenv("HR_TEST_REDIS_PORT") == NULL) {
		fprintf(stderr, "run tests/integration/test_view_redis --bench\n");
		return 2;
	}
	if (argc > 1)
		n_events = (uint32_t)atoi(argv[1]);
	if (argc > 2)
		words = argv[2];
	hr_log_set_level(HR_LOG_ERROR);
	port = (uint16_t)atoi(getenv("HR_TEST_REDIS_PORT"));
	redis = redisConnect("127.0.0.1", port);
	if (redis == NULL || redis->err != 0)
		return 1;
	return hr_test_run("bench of the Redis view", NULL, NULL, tests);
}
