/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The Redis view on a real Redis. tests/integration/test_view_redis starts one and says
 * where:
 *
 *   HR_TEST_REDIS_PORT                       on loopback
 *   HR_TEST_REDIS_START, HR_TEST_REDIS_KILL  commands: over its data again; SIGKILL
 *   HR_TEST_REDIS_FREEZE, HR_TEST_REDIS_THAW
 *
 * Links come from a log in memory (world.h), folded by the code that ships; what the
 * keys must be is worked out by model.c, event by event, and every key is compared.
 */

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/integration/view_redis/play.h"
#include "tests/unit/hr_test.h"

static void every_key_is_what_the_contract_says(void)
{
	open_world(5, KEEP, 1000);
	make_similar(some.n_products, 7);
	world_start_view(world);
	for (int i = 0; i < 300; i++) {
		play(&some, 1 + draw(20));
		if (i % 10 == 0)
			CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
	}
	is_exact();
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));
	CU_ASSERT_TRUE(world_stop_view(world, 1000));
	close_world();
}

static void links_of_all_shards_are_one_transaction(void)
{
	open_world(5, KEEP, 1000);
	play(&some, 300);
	play(&some, 300);
	ask("CONFIG RESETSTAT");
	world_start_view(world);
	is_exact();
	CU_ASSERT_EQUAL(info("commandstats", "cmdstat_exec:calls="), 1);
	close_world();
}

static void a_backlog_is_coalesced(void)
{
	unsigned long long execs;

	open_world(5, KEEP, 1000);
	make_similar(some.n_products, 3);
	for (int i = 0; i < 500; i++)
		play(&some, 100);
	ask("CONFIG RESETSTAT");
	world_start_view(world);
	CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
	execs = info("commandstats", "cmdstat_exec:calls=");
	CU_ASSERT_TRUE(execs > 0 && execs <= 100); /* of 2,505 links */
	/* Six commands a user and tick at most. */
	CU_ASSERT_TRUE(info("commandstats", "cmdstat_zadd:calls=") <=
		       some.n_users * execs);
	is_exact();
	close_world();
}

static void batches_do_not_matter_where_sets_are_cut(void)
{
	static const uint32_t ticks[] = { 4096, 65536, 8u << 20 };

	for (size_t i = 0; i < HR_COUNT(ticks); i++) {
		const struct load load = { 20, 300, 5 };

		open_world(2, KEEP, 16);
		make_similar(load.n_products, 11);
		world->config.redis_tick_bytes = ticks[i];
		world->config.redis_tick_us = 500;
		if (i == 0)
			world_start_view(world);
		for (int k = 0; k < 900; k++)
			play(&load, 10);
		if (i > 0)
			world_start_view(world);
		is_exact();
		close_world();
	}
}

static void redis_killed_in_mid_load_loses_and_doubles_nothing(void)
{
	open_world(5, KEEP, 1000);
	make_similar(some.n_products, 7);
	world_start_view(world);
	for (int i = 0; i < 3; i++) {
		play_for(&many, 100, 200, 500);
		command("HR_TEST_REDIS_KILL");
		play_for(&many, 50, 200, 300);
		CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, ""));
		command("HR_TEST_REDIS_START");
		reconnect();
	}
	play_for(&many, 50, 200, 300);
	is_exact();
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));
	close_world();
}

static void cut_connections_lose_and_double_nothing(void)
{
	long long n_cut = 0;

	open_world(5, KEEP, 1000);
	make_similar(some.n_products, 7);
	world->config.redis_tick_us = 500;
	world_start_view(world);
	for (int i = 0; i < 2000 && n_cut < 50; i++) {
		play(&many, 50);
		usleep(draw(10000));
		if (hr_view_redis.state(world->view) != HR_VIEW_CONNECTING)
			n_cut += ask("CLIENT KILL TYPE normal SKIPME yes");
	}
	printf("(%lld cuts) ", n_cut);
	CU_ASSERT_EQUAL(n_cut, 50);
	is_exact();
	close_world();
}

/* The last part of the append-only file loses its last bytes, from within the command
 * before the last EXEC on. */
static void cut_in_a_transaction(void)
{
	static char bytes[16 << 20];
	const char *mark = "*1\r\n$4\r\nEXEC", *last = NULL;
	size_t n, mark_bytes = strlen(mark);
	glob_t found;
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/data/appendonlydir/*.incr.aof",
		       getenv("TMPDIR"));
	CU_ASSERT_EQUAL_FATAL(glob(path, 0, NULL, &found), 0);
	f = fopen(found.gl_pathv[found.gl_pathc - 1], "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	for (size_t i = 0; i + mark_bytes <= n; i++)
		if (memcmp(bytes + i, mark, mark_bytes) == 0)
			last = bytes + i;
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT_EQUAL(truncate(found.gl_pathv[found.gl_pathc - 1], last - bytes - 3),
			0);
	globfree(&found);
}

/* Redis itself would execute it with the next one, when the file is loaded again. */
static void half_a_transaction_is_never_made_whole(void)
{
	open_world(2, KEEP, 1000);
	world_start_view(world);
	play_for(&some, 20, 200, 100);
	is_exact();
	usleep(200000);
	command("HR_TEST_REDIS_KILL");
	cut_in_a_transaction();
	command("HR_TEST_REDIS_START");
	reconnect();
	play_for(&some, 20, 200, 100);
	is_exact();
	while (info("persistence", "aof_rewrite_in_progress:") == 1)
		usleep(10000);
	command("HR_TEST_REDIS_KILL");
	command("HR_TEST_REDIS_START");
	reconnect();
	is_exact();
	close_world();
}

static void an_emptied_redis_is_filled_again_from_the_log(void)
{
	open_world(5, 1u << 20, 1000);
	world_start_view(world);
	play_for(&some, 100, 200, 300);
	for (int i = 0; i < 3; i++) {
		ask("FLUSHALL");
		play_for(&some, 50, 200, 200);
	}
	is_exact();
	CU_ASSERT_TRUE(world->n_replays > 0);
	close_world();
}

static void an_idle_redis_that_is_emptied_is_noticed(void)
{
	uint64_t emptied;

	open_world(5, KEEP, 1000);
	world_start_view(world);
	play_for(&some, 20, 100, 50);
	is_exact();
	ask("FLUSHALL");
	emptied = hr_mono_us();
	while (ask("DBSIZE") == 0 && hr_mono_us() < emptied + 10000000)
		usleep(1000);
	CU_ASSERT_TRUE(hr_mono_us() < emptied + 1500000);
	is_exact();
	close_world();
}

/* Its position alone goes back here; whether it is brought forward is what counts. */
static void an_idle_shard_that_goes_back_is_noticed_beside_a_busy_one(void)
{
	static const struct load one = { 1, 50, 3 };
	char key[32], old[256], new[256];
	uint64_t back;

	open_world(2, KEEP, 1000);
	world_start_view(world);
	(void)snprintf(key, sizeof(key), "headrace:shard:%u",
		       1u - world_shard_of(world, 0));
	play_for(&some, 20, 100, 50);
	CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
	strcpy(old, text_of("GET", key));
	play_for(&some, 20, 100, 50);
	is_exact();
	strcpy(new, text_of("GET", key));
	CU_ASSERT_STRING_NOT_EQUAL(old, new);
	freeReplyObject(redisCommand(redis, "SET %s %s", key, old));
	back = hr_mono_us();
	while (strcmp(text_of("GET", key), new) != 0 &&
	       hr_mono_us() < back + 10000000) {
		play(&one, 5);
		usleep(1000);
	}
	CU_ASSERT_TRUE(hr_mono_us() < back + 1500000);
	close_world();
}

static void what_has_left_memory_is_folded_again(void)
{
	open_world(5, 256u << 10, 1000);
	for (int i = 0; i < 200; i++)
		play(&some, 200);
	world_start_view(world);
	play_for(&some, 100, 100, 300);
	is_exact();
	CU_ASSERT_TRUE(world->n_replays >= 5);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));
	close_world();
}

static void a_full_redis_is_waited_for(void)
{
	open_world(5, KEEP, 1000);
	make_similar(some.n_products, 7);
	world_start_view(world);
	play_for(&many, 20, 200, 100);
	CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
	ask("CONFIG SET maxmemory %llu", info("memory", "used_memory:") + 1000000);
	play_for(&many, 100, 500, 300);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, "CONFIG SET maxmemory"));
	ask("CONFIG SET maxmemory 0");
	is_exact();
	close_world();
}

static void a_loading_redis_is_waited_for(void)
{
	char start[512];
	bool seen;

	open_world(2, KEEP, 1000);
	world_start_view(world);
	play_for(&some, 20, 200, 100);
	ask("EVAL %s 0", "for i=1,1500000 do redis.call('SET', 'filler:'..i, i) end");
	CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
	command("HR_TEST_REDIS_KILL");
	play_for(&some, 20, 200, 100);
	(void)snprintf(start, sizeof(start), "%s &", getenv("HR_TEST_REDIS_START"));
	CU_ASSERT_EQUAL_FATAL(system(start), 0);
	seen = wait_state(HR_VIEW_CONNECTING, "loading its data");
	CU_ASSERT_TRUE(seen);
	command("HR_TEST_REDIS_START");
	reconnect();
	CU_ASSERT_TRUE_FATAL(world_settle(world, SETTLE_MS));
	CU_ASSERT_EQUAL(model_compare(model, redis, world, 1500000, NOBODY), 0);
	ask("FLUSHALL");
	close_world();
}

static void a_frozen_redis_that_wakes_late_doubles_nothing(void)
{
	open_world(2, KEEP, 1000);
	world_start_view(world);
	play_for(&some, 50, 100, 200);
	command("HR_TEST_REDIS_FREEZE");
	play_for(&some, 20, 100, 100);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, "no answer within"));
	command("HR_TEST_REDIS_THAW");
	play_for(&some, 20, 100, 100);
	is_exact();
	close_world();
}

static void a_key_of_another_type_is_told_and_harms_no_other(void)
{
	redisReply *r;
	char name[32];

	open_world(2, KEEP, 1000);
	world_name_user(0, name);
	ask("SET user:%s:profile foreign", name);
	world_start_view(world);
	play_for(&some, 100, 100, 300);
	CU_ASSERT_TRUE_FATAL(world_settle(world, SETTLE_MS));
	r = redisCommand(redis, "HGETALL headrace:damaged");
	CU_ASSERT_EQUAL(r->elements, 2);
	if (r->elements == 2) {
		CU_ASSERT_STRING_EQUAL(r->element[0]->str, "user:user_0:profile");
		CU_ASSERT_PTR_NOT_NULL(strstr(r->element[1]->str, "WRONGTYPE"));
	}
	freeReplyObject(r);
	CU_ASSERT_EQUAL(model_compare(model, redis, world, 1, 0), 0);
	CU_ASSERT_STRING_EQUAL(text_of("GET", "user:user_0:profile"), "foreign");

	/* Its totals live elsewhere: without the foreigner the key is whole again. */
	ask("DEL user:%s:profile", name);
	for (int i = 0; i < 20; i++)
		play(&some, 100);
	CU_ASSERT_TRUE_FATAL(world_settle(world, SETTLE_MS));
	CU_ASSERT_EQUAL(model_compare(model, redis, world, 1, NOBODY), 0);
	close_world();
}

static void keys_of_another_type_that_are_read_are_told(void)
{
	open_world(2, KEEP, 1000);
	ask("SET user:user_0:recommendations foreign");
	ask("SET headrace:user:user_1:categories foreign");
	ask("LPUSH headrace:user:user_2:state foreign");
	ask("SET headrace:user:user_3:state foreign");
	ask("SET product:p0:similar foreign");
	world_start_view(world);
	play_for(&some, 100, 100, 300);
	CU_ASSERT_TRUE_FATAL(world_settle(world, SETTLE_MS));
	CU_ASSERT_EQUAL(ask("HLEN headrace:damaged"), 4);
	CU_ASSERT_EQUAL(ask("HEXISTS headrace:damaged user:user_0:recommendations"), 1);
	CU_ASSERT_EQUAL(ask("HEXISTS headrace:damaged headrace:user:user_1:categories"),
			1);
	CU_ASSERT_EQUAL(ask("HEXISTS headrace:damaged headrace:user:user_2:state"), 1);
	CU_ASSERT_EQUAL(ask("HEXISTS headrace:damaged headrace:user:user_3:state"), 1);
	close_world();
}

static void a_redis_of_another_log_stops_the_view_by_name(void)
{
	char text[HR_POSITION_TEXT];
	struct hr_position p = { .generation = 1, .n = 3 };

	open_world(2, KEEP, 1000);
	play_for(&some, 10, 100, 10);
	p.hash.b[0] = 0xab;
	hr_position_print(&p, text);
	ask("SET headrace:shard:1 %s", text);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, "ab000000000000000000000000000000"));
	CU_ASSERT_FALSE(world_stop_view(world, 100));
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, "shard 1: link 3 has the hash"));
	ask("FLUSHALL");
	is_exact();
	close_world();
}

/* The link before the oldest in memory: only the next one's prev_hash can tell. */
static uint64_t before_the_oldest(uint16_t shard)
{
	struct hr_link *link;
	uint64_t n = 1;

	while (hr_feed_get(world->feed, shard, n, &link) < 0)
		n++;
	hr_link_put(link);
	return n - 1;
}

static void so_it_does_where_that_link_has_left_memory(void)
{
	char text[HR_POSITION_TEXT], words[64];
	struct hr_position p = { .generation = 1 };

	open_world(2, 256u << 10, 1000);
	play_for(&some, 200, 100, 10);
	p.n = before_the_oldest(1);
	CU_ASSERT_TRUE_FATAL(p.n > 1);
	(void)snprintf(words, sizeof(words), "shard 1: link %llu has the hash",
		       (unsigned long long)p.n);
	hr_position_print(&p, text);
	ask("SET headrace:shard:1 %s", text);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, words));
	CU_ASSERT_FALSE(world_stop_view(world, 0));

	/* One before it: a replay passes over that link. */
	p.n--;
	(void)snprintf(words, sizeof(words), "shard 1: link %llu has the hash",
		       (unsigned long long)p.n);
	hr_position_print(&p, text);
	ask("SET headrace:shard:1 %s", text);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, words));
	ask("FLUSHALL");
	is_exact();
	close_world();
}

static void another_digest_stops_the_view_by_name(void)
{
	struct hr_position p;
	char text[HR_POSITION_TEXT];

	open_world(2, KEEP, 1000);
	world_start_view(world);
	play_for(&some, 10, 100, 10);
	CU_ASSERT_TRUE_FATAL(world_settle(world, SETTLE_MS));
	CU_ASSERT_TRUE(world_stop_view(world, 1000));
	strcpy(text, text_of("GET", "headrace:shard:0"));
	CU_ASSERT_EQUAL_FATAL(hr_position_parse(text, strlen(text), &p), 0);
	p.digest.b[3] ^= 1;
	hr_position_print(&p, text);
	ask("SET headrace:shard:0 %s", text);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, "has the digest"));
	close_world();
}

static void a_position_beyond_the_log_stops_the_view_by_name(void)
{
	char text[HR_POSITION_TEXT];
	struct hr_position p = { .generation = 1, .n = 4000 };
	uint64_t began;

	open_world(2, KEEP, 1000);
	play_for(&some, 10, 100, 10);
	hr_position_print(&p, text);
	ask("SET headrace:shard:0 %s", text);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CATCHING_UP, "Redis is at link 4000"));
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED,
				  "Redis is at link 4000 and the log is read up to 11"
				  ", its end: Redis was filled from another log"));
	/* Nothing can be waited for. */
	began = hr_mono_us();
	CU_ASSERT_FALSE(world_stop_view(world, 10000));
	CU_ASSERT_TRUE(hr_mono_us() - began < 3000000);
	world_start_view(world);
	ask("FLUSHALL");
	is_exact();
	close_world();
}

/* A long chain, or a slow broker: that takes as long as it takes. */
static void while_the_chain_is_being_read_nothing_is_wrong(void)
{
	char text[HR_POSITION_TEXT];
	struct hr_position p = { .generation = 1, .n = 4000 };

	open_world(2, KEEP, 1000);
	world->is_reading = true;
	play_for(&some, 10, 100, 10);
	hr_position_print(&p, text);
	ask("SET headrace:shard:0 %s", text);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CATCHING_UP, "Redis is at link 4000"));
	for (int i = 0; i < 400; i++) {
		if (hr_view_redis.state(world->view) != HR_VIEW_CATCHING_UP)
			break;
		usleep(10000);
	}
	CU_ASSERT_EQUAL(hr_view_redis.state(world->view), HR_VIEW_CATCHING_UP);
	world_read(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, "its end"));
	ask("FLUSHALL");
	is_exact();
	close_world();
}

static bool arrives(const struct hr_view *view, uint16_t shard)
{
	uint64_t until = hr_mono_us() + SETTLE_MS * 1000ull;

	while (hr_view_redis.applied(view, shard) < world_last(world, shard) &&
	       hr_mono_us() < until)
		usleep(1000);
	return hr_view_redis.applied(view, shard) == world_last(world, shard);
}

static void a_shard_of_another_appliance_is_left_alone(void)
{
	char before[HR_POSITION_TEXT];

	open_world(2, KEEP, 1000);
	atomic_store(&world->away[1], true);
	world_start_view(world);
	play_for(&some, 20, 100, 20);
	CU_ASSERT_TRUE(arrives(world->view, 0));
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));
	CU_ASSERT_EQUAL(ask("EXISTS headrace:shard:1"), 0);

	atomic_store(&world->away[1], false);
	CU_ASSERT_TRUE(arrives(world->view, 1));
	is_exact();

	atomic_store(&world->away[0], true);
	usleep(100000); /* what was on its way has arrived */
	strcpy(before, text_of("GET", "headrace:shard:0"));
	play_for(&some, 20, 100, 20);
	CU_ASSERT_TRUE(arrives(world->view, 1));
	usleep(1200000); /* an audit later, too */
	CU_ASSERT_STRING_EQUAL(text_of("GET", "headrace:shard:0"), before);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));

	/* Where nothing is ours nothing is to be done, and an end comes at once. */
	atomic_store(&world->away[1], true);
	play_for(&some, 5, 100, 5);
	CU_ASSERT_TRUE(world_stop_view(world, 10000));
	atomic_store(&world->away[0], false);
	atomic_store(&world->away[1], false);
	world_start_view(world);
	is_exact();
	close_world();
}

/* Each with its own shards, then with the other's, in mid-load. */
static void two_appliances_share_a_redis_and_do_not_disturb_each_other(void)
{
	struct hr_stats_reader *reader;
	struct hr_view *other;

	open_world(5, KEEP, 1000);
	world->config.redis_tick_us = 500;
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&reader, world->stats), 0);
	for (int s = 0; s < 5; s++)
		atomic_store(&world->away[s], s % 2 != 0);
	world_start_view(world);
	other = world_start_other(world);
	play_for(&some, 300, 50, 600);
	/* Neither made the other's transactions come to nothing. */
	CU_ASSERT_EQUAL(
		hr_stats_sum(reader, "headrace_view_errors_total", "view=\"redis\""),
		0);
	for (int round = 0; round < 4; round++) {
		for (int s = 0; s < 5; s++)
			atomic_store(&world->away[s], (s + round) % 2 == 0);
		play_for(&some, 100, 50, 200);
	}
	for (uint16_t s = 0; s < 5; s++)
		CU_ASSERT_TRUE(
			arrives(atomic_load(&world->away[s]) ? other : world->view, s));
	CU_ASSERT_EQUAL(model_compare(model, redis, world, 0, NOBODY), 0);
	CU_ASSERT_TRUE(hr_view_redis.stop(other, 10000));
	hr_stats_close(reader);
	close_world();
}

static void other_texts_at_a_position_stop_the_view_by_name(void)
{
	static const char *const rows[][2] = {
		{ "SET headrace:shard:0 nonsense", "holds \"nonsense\"" },
		{ "LPUSH headrace:shard:0 x", "headrace:shard:0 holds" },
		{ "SET headrace:shard:0 "
		  "2\\x201\\x200",
		  "headrace:shard:0 holds" },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		open_world(2, KEEP, 1000);
		ask(rows[i][0], NULL);
		world_start_view(world);
		play_for(&some, 10, 100, 10);
		CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, rows[i][1]));
		ask("DEL headrace:shard:0");
		is_exact();
		close_world();
	}
}

static void two_views_of_one_log_do_not_double(void)
{
	struct hr_view_conf conf;
	struct hr_view *second;
	struct hr_err err;

	open_world(5, KEEP, 1000);
	world->config.redis_tick_us = 500;
	conf = (struct hr_view_conf){ .config = &world->config,
				      .set = &world->set,
				      .feed = world->feed,
				      .stats = world->stats };
	world_start_view(world);
	CU_ASSERT_EQUAL_FATAL(hr_view_redis.start(&second, &conf, &err), 0);
	play_for(&some, 500, 50, 1000);
	is_exact();
	CU_ASSERT_TRUE(hr_view_redis.stop(second, 10000));
	is_exact();
	close_world();
}

static void changed_similar_sets_count_from_then_on(void)
{
	open_world(2, KEEP, 1000);
	world_start_view(world);
	for (uint32_t step = 1; step <= 5; step++) {
		CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
		make_similar(some.n_products, step);
		usleep(20000); /* similar_cache_ms is 10 */
		play_for(&some, 20, 100, 50);
	}
	is_exact();
	close_world();
}

static void a_small_cache_of_similar_sets_is_enough(void)
{
	open_world(2, KEEP, 1000);
	world->config.similar_cache_entries = 16;
	world->config.similar_cache_ms = 3600000;
	make_similar(some.n_products, 5);
	world_start_view(world);
	play_for(&some, 50, 300, 100);
	is_exact();
	close_world();
}

static void eviction_stops_the_view_by_name(void)
{
	open_world(2, KEEP, 1000);
	ask("CONFIG SET maxmemory-policy allkeys-lru");
	world_start_view(world);
	play_for(&some, 10, 100, 10);
	CU_ASSERT_TRUE(
		wait_state(HR_VIEW_STOPPED, "CONFIG SET maxmemory-policy noeviction"));
	ask("CONFIG SET maxmemory-policy noeviction");
	is_exact();
	ask("CONFIG SET maxmemory-policy volatile-lru");
	CU_ASSERT_TRUE(wait_state(HR_VIEW_STOPPED, "volatile-lru"));
	ask("CONFIG SET maxmemory-policy noeviction");
	play_for(&some, 10, 100, 10);
	is_exact();
	close_world();
}

static void a_replica_is_waited_for(void)
{
	open_world(2, KEEP, 1000);
	world_start_view(world);
	play_for(&some, 10, 100, 10);
	is_exact();
	ask("REPLICAOF 127.0.0.1 1");
	play_for(&some, 10, 100, 10);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, "it is a replica"));
	ask("REPLICAOF NO ONE");
	is_exact();
	close_world();
}

static void write_password(const char *text)
{
	FILE *f = fopen(world->config.redis_password_file, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static void the_password_is_read_from_its_file(void)
{
	open_world(2, KEEP, 1000);
	ask("CONFIG SET requirepass sesame");
	world_start_view(world);
	play_for(&some, 10, 100, 10);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, "redis.password_file"));
	CU_ASSERT_FALSE(world_stop_view(world, 50));

	(void)snprintf(world->config.redis_password_file, HR_CONFIG_TEXT, "%s/password",
		       world->folder);
	world_start_view(world);
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, "No such file"));
	write_password("barley\n");
	CU_ASSERT_TRUE(wait_state(HR_VIEW_CONNECTING, "is not the one it wants"));
	write_password("sesame\n");
	is_exact();
	ask("CONFIG SET requirepass %s", "");
	unlink(world->config.redis_password_file);
	close_world();
}

static void stopping_writes_out_what_there_is_or_ends_in_time(void)
{
	uint64_t began;

	open_world(5, KEEP, 1000);
	for (int i = 0; i < 100; i++)
		play(&many, 500);
	world_start_view(world);
	CU_ASSERT_TRUE(world_stop_view(world, SETTLE_MS));
	CU_ASSERT_EQUAL(model_compare(model, redis, world, 0, NOBODY), 0);
	world_start_view(world);
	/* LIVE, not only settled: before that the thread has not compared what it read in
	   Redis with the log, and a stop without time says that it does not know. */
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));
	CU_ASSERT_TRUE(world_stop_view(world, 0)); /* nothing is left to write */

	command("HR_TEST_REDIS_KILL");
	world_start_view(world);
	play(&many, 500);
	began = hr_mono_us();
	CU_ASSERT_FALSE(world_stop_view(world, 300));
	CU_ASSERT_TRUE(hr_mono_us() - began < 2000000);
	command("HR_TEST_REDIS_START");
	reconnect();
	command("HR_TEST_REDIS_FREEZE");
	world_start_view(world);
	began = hr_mono_us();
	CU_ASSERT_FALSE(world_stop_view(world, 300));
	CU_ASSERT_TRUE(hr_mono_us() - began < 2000000);
	command("HR_TEST_REDIS_THAW");
	world_start_view(world);
	is_exact();
	close_world();
}

static void its_rows_tell_how_far_it_is(void)
{
	struct hr_stats_reader *reader;
	uint64_t buckets[HR_HIST_CELLS], n = 0, n_events = 0;

	open_world(2, KEEP, 1000);
	CU_ASSERT_EQUAL_FATAL(hr_stats_open_own(&reader, world->stats), 0);
	world_start_view(world);
	for (int i = 0; i < 50; i++)
		play(&some, 100);
	CU_ASSERT_TRUE(world_settle(world, SETTLE_MS));
	CU_ASSERT_TRUE(wait_state(HR_VIEW_LIVE, ""));
	hr_stats_histogram(reader, "headrace_view_latency_seconds", "view=\"redis\"",
			   buckets);
	for (uint32_t i = 0; i < HR_HIST_BUCKETS; i++)
		n += buckets[i];
	for (uint16_t s = 0; s < 2; s++)
		for (uint64_t i = 0; i < world->shards[s].n; i++)
			n_events += world->shards[s].links[i]->n_events;
	CU_ASSERT_EQUAL(n, n_events);
	CU_ASSERT_EQUAL(
		hr_stats_sum(reader, "headrace_view_applied_link", "view=\"redis\""),
		world_last(world, 0) + world_last(world, 1));
	CU_ASSERT_EQUAL(hr_stats_sum(reader, "headrace_view_up", "view=\"redis\""), 1);
	ask("CLIENT KILL TYPE normal SKIPME yes");
	play(&some, 100);
	is_exact();
	CU_ASSERT_TRUE(hr_stats_sum(reader, "headrace_view_errors_total",
				    "view=\"redis\"") > 0);
	hr_stats_close(reader);
	close_world();
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "every key is what the contract says",
		  every_key_is_what_the_contract_says },
		{ "links of all shards are one transaction",
		  links_of_all_shards_are_one_transaction },
		{ "a backlog is coalesced", a_backlog_is_coalesced },
		{ "batches do not matter where sets are cut",
		  batches_do_not_matter_where_sets_are_cut },
		{ "Redis killed in mid-load loses and doubles nothing",
		  redis_killed_in_mid_load_loses_and_doubles_nothing },
		{ "cut connections lose and double nothing",
		  cut_connections_lose_and_double_nothing },
		{ "an emptied Redis is filled again from the log",
		  an_emptied_redis_is_filled_again_from_the_log },
		{ "half a transaction is never made whole",
		  half_a_transaction_is_never_made_whole },
		{ "an idle Redis that is emptied is noticed",
		  an_idle_redis_that_is_emptied_is_noticed },
		{ "an idle shard that goes back is noticed beside a busy one",
		  an_idle_shard_that_goes_back_is_noticed_beside_a_busy_one },
		{ "what has left memory is folded again",
		  what_has_left_memory_is_folded_again },
		{ "a full Redis is waited for", a_full_redis_is_waited_for },
		{ "a loading Redis is waited for", a_loading_redis_is_waited_for },
		{ "a frozen Redis that wakes late doubles nothing",
		  a_frozen_redis_that_wakes_late_doubles_nothing },
		{ "a key of another type is told and harms no other",
		  a_key_of_another_type_is_told_and_harms_no_other },
		{ "keys of another type that are read are told",
		  keys_of_another_type_that_are_read_are_told },
		{ "a Redis of another log stops the view by name",
		  a_redis_of_another_log_stops_the_view_by_name },
		{ "so it does where that link has left memory",
		  so_it_does_where_that_link_has_left_memory },
		{ "another digest stops the view by name",
		  another_digest_stops_the_view_by_name },
		{ "a position beyond the log stops the view by name",
		  a_position_beyond_the_log_stops_the_view_by_name },
		{ "while the chain is being read nothing is wrong",
		  while_the_chain_is_being_read_nothing_is_wrong },
		{ "a shard of another appliance is left alone",
		  a_shard_of_another_appliance_is_left_alone },
		{ "two appliances share a Redis and do not disturb each other",
		  two_appliances_share_a_redis_and_do_not_disturb_each_other },
		{ "other texts at a position stop the view by name",
		  other_texts_at_a_position_stop_the_view_by_name },
		{ "two views of one log do not double",
		  two_views_of_one_log_do_not_double },
		{ "changed similar sets count from then on",
		  changed_similar_sets_count_from_then_on },
		{ "a small cache of similar sets is enough",
		  a_small_cache_of_similar_sets_is_enough },
		{ "eviction stops the view by name", eviction_stops_the_view_by_name },
		{ "a replica is waited for", a_replica_is_waited_for },
		{ "the password is read from its file",
		  the_password_is_read_from_its_file },
		{ "stopping writes out what there is or ends in time",
		  stopping_writes_out_what_there_is_or_ends_in_time },
		{ "its rows tell how far it is", its_rows_tell_how_far_it_is },
		CU_TEST_INFO_NULL,
	};
	CU_TestInfo chosen[HR_COUNT(tests)];
	size_t n = 0;

	if (getenv("HR_TEST_REDIS_PORT") == NULL) {
		fprintf(stderr,
			"run tests/integration/test_view_redis: it starts a Redis\n");
		return 2;
	}
	port = (uint16_t)atoi(getenv("HR_TEST_REDIS_PORT"));
	hr_log_set_level(getenv("HR_TEST_DEBUG") != NULL ? HR_LOG_DEBUG : HR_LOG_ERROR);
	/* With words as arguments: the tests whose names hold one of them. */
	for (size_t i = 0; tests[i].pName != NULL; i++) {
		bool wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted |= strstr(tests[i].pName, argv[a]) != NULL;
		if (wanted)
			chosen[n++] = tests[i];
	}
	chosen[n] = (CU_TestInfo)CU_TEST_INFO_NULL;
	return hr_test_run("view redis", setup, NULL, chosen);
}
