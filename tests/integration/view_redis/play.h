/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_PLAY_H
#define HR_TEST_PLAY_H

/*
 * play - what the tests of the Redis view share: a connection of their own, one world
 * and its model, and load that goes to both.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/view_redis/model.h"
#include "tests/unit/hr_test.h"

#define SETTLE_MS 60000
#define NOBODY UINT32_MAX
#define KEEP (64u << 20)

static uint16_t port;
static redisContext *redis;
static struct world *world;
static struct model *model;
static uint64_t rng;

static void reconnect(void)
{
	if (redis != NULL)
		redisFree(redis);
	redis = redisConnect("127.0.0.1", port);
	CU_ASSERT_PTR_NOT_NULL_FATAL(redis);
	CU_ASSERT_EQUAL_FATAL(redis->err, 0);
}

static void command(const char *name)
{
	const char *line = getenv(name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT_EQUAL_FATAL(system(line), 0);
}

/* Sends it; the reply as a number or as whether it was no error. */
static long long __attribute__((format(printf, 1, 2))) ask(const char *fmt, ...)
{
	va_list args;
	redisReply *r;
	long long result;

	va_start(args, fmt);
	r = redisvCommand(redis, fmt, args);
	va_end(args);
	if (r == NULL)
		return -1;
	result = r->type == REDIS_REPLY_INTEGER ? r->integer
						: r->type != REDIS_REPLY_ERROR;
	if (r->type == REDIS_REPLY_ERROR)
		fprintf(stderr, "%s: %s\n", fmt, r->str);
	freeReplyObject(r);
	return result;
}

/* A text of Redis, in a buffer that the next call overwrites. */
static const char *text_of(const char *name, const char *arg)
{
	static char text[65536];
	redisReply *r = arg != NULL ? redisCommand(redis, "%s %s", name, arg)
				    : redisCommand(redis, name);

	text[0] = '\0';
	if (r != NULL && r->type == REDIS_REPLY_STRING)
		(void)snprintf(text, sizeof(text), "%s", r->str);
	if (r != NULL)
		freeReplyObject(r);
	return text;
}

static unsigned long long info(const char *section, const char *field)
{
	const char *at = strstr(text_of("INFO", section), field);

	return at == NULL ? 0 : strtoull(at + strlen(field), NULL, 10);
}

static void open_world(uint32_t n_shards, size_t keep_bytes,
		       uint32_t recommendations_max)
{
	ask("FLUSHALL");
	world = world_open(n_shards, keep_bytes);
	world->config.redis_port = port;
	strcpy(world->config.redis_host, "127.0.0.1");
	world->config.recommendations_max = recommendations_max;
	world->config.similar_cache_ms = 10;
	model = model_new(world->config.recent_views_max, recommendations_max);
	rng = 88172645463325252u;
}

static void close_world(void)
{
	world_close(world);
	model_free(model);
	world = NULL;
	model = NULL;
}

static void setup(void)
{
	reconnect();
	ask("CONFIG RESETSTAT");
}

/* ---- load ------------------------------------------------------------------------------ */

static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 11) % below);
}

/* Small numbers are frequent. */
static uint32_t draw_skewed(uint32_t below)
{
	uint64_t a = draw(1000), b = draw(1000);

	return (uint32_t)(a * b * b * below / 1000000000u);
}

struct load {
	uint32_t n_users, n_products, n_categories;
};

static const struct load some = { 300, 400, 12 };
static const struct load many = { 20000, 5000, 100 };

static struct world_event draw_event(const struct load *load)
{
	return (struct world_event){
		.user = draw_skewed(load->n_users),
		.product = draw(8) > 0 ? (int32_t)draw_skewed(load->n_products) : -1,
		.category = draw(4) > 0 ? (int32_t)draw_skewed(load->n_categories) : -1,
		.type = (uint8_t)(draw(3) > 0 ? 1 : draw(7)),
		.time_ms = 1705314600000 + draw(1000000),
	};
}

/* n events, one link for each shard that has any. */
static void play(const struct load *load, uint32_t n)
{
	static struct world_event events[WORLD_SHARDS_MAX][65536];
	uint32_t counts[WORLD_SHARDS_MAX] = { 0 };

	CU_ASSERT_TRUE_FATAL(n <= 65536);
	for (uint32_t i = 0; i < n; i++) {
		struct world_event ev = draw_event(load);
		uint16_t s = world_shard_of(world, ev.user);

		events[s][counts[s]++] = ev;
		model_event(model, &ev, world_last(world, s) + 1);
	}
	for (uint16_t s = 0; s < world->set.n_shards; s++)
		if (counts[s] > 0)
			world_epoch(world, s, events[s], counts[s]);
}

/* n_epochs of n events each, over that many milliseconds. */
static void play_for(const struct load *load, uint32_t n_epochs, uint32_t n,
		     uint32_t ms)
{
	uint64_t began = hr_mono_us();

	for (uint32_t i = 0; i < n_epochs; i++) {
		uint64_t due = began + (uint64_t)ms * 1000 * i / n_epochs;
		uint64_t now = hr_mono_us();

		if (now < due)
			usleep((useconds_t)(due - now));
		play(load, n);
	}
}

static void make_similar(uint32_t n_products, uint32_t step)
{
	for (uint32_t p = 0; p < n_products; p++) {
		int32_t members[3];
		uint32_t n = p % 4;

		for (uint32_t i = 0; i < n; i++)
			members[i] = (int32_t)((p + step * (i + 1)) % n_products);
		model_similar(model, (int32_t)p, members, n);
	}
	model_write_similar(model, redis);
}

static void is_exact(void)
{
	CU_ASSERT_TRUE_FATAL(world_settle(world, SETTLE_MS));
	CU_ASSERT_EQUAL(model_compare(model, redis, world, 0, NOBODY), 0);
}

static bool wait_state(enum hr_view_state state, const char *words)
{
	uint64_t until = hr_mono_us() + 30000000;
	char reason[480] = "";

	while (hr_mono_us() < until) {
		hr_view_redis.reason(world->view, reason, sizeof(reason));
		if (hr_view_redis.state(world->view) == state &&
		    strstr(reason, words) != NULL)
			return true;
		usleep(1000);
	}
	fprintf(stderr, "state %d, \"%s\"; expected %d, \"%s\"\n",
		hr_view_redis.state(world->view), reason, state, words);
	return false;
}

#endif
