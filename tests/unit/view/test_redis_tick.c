/* SPDX-License-Identifier: BSD-3-Clause */

/* A tick as the commands it comes to, over links made by hand. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/redis_tick.h"
#include "tests/unit/hr_test.h"

static struct hr_redis_tick tick;
static struct hr_resp b;

static void setup(void)
{
	const struct hr_redis_tick_conf conf = {
		.recent_views_max = 3,
		.recommendations_max = 2,
		.similar_cache_entries = 16,
		.similar_cache_us = 1000000,
		.cache_bytes = 1 << 20,
		.n_shards = 2,
	};

	CU_ASSERT_EQUAL_FATAL(hr_redis_tick_init(&tick, &conf), 0);
	hr_resp_empty(&b);
}

static void teardown(void)
{
	hr_redis_tick_fini(&tick);
	hr_resp_free(&b);
}

/* ---- a link of one user ---------------------------------------------------------- */

struct one {
	struct hr_link link;
	struct hr_out out;
	struct hr_out_user user;
	struct hr_out_event events[8];
};

static struct hr_str text(const char *s)
{
	return (struct hr_str){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

static void begin(struct one *x, uint16_t shard, uint64_t n, const char *user)
{
	memset(x, 0, sizeof(*x));
	x->link = (struct hr_link){ .shard = shard, .n = n, .out = &x->out };
	x->user.user = text(user);
	x->user.last_active_ms = INT64_MIN;
	x->out.events = x->events;
	x->out.users = &x->user;
	x->out.n_users = 1;
}

static void add(struct one *x, uint8_t type, const char *product, const char *category,
		int64_t time_ms)
{
	uint32_t i = x->out.n_events++;

	x->events[i] = (struct hr_out_event){
		.event = { .product = text(product),
			   .category = text(category),
			   .type_no = type,
			   .time_ms = time_ms },
		.next_of_user = HR_NO_ROW,
	};
	if (i > 0)
		x->events[i - 1].next_of_user = i;
	x->user.n_events++;
	x->out.verdicts[HR_COUNTED]++;
	x->user.n_views += type == HR_EVENT_PRODUCT_VIEW;
	x->user.n_purchases += type == HR_EVENT_PURCHASE;
	if (time_ms > x->user.last_active_ms)
		x->user.last_active_ms = time_ms;
}

/* ---- a Redis that is asked by name --------------------------------------------------- */

struct answer {
	const char *command, *key;
	const char *text[8]; /* NULL alone: nil; else the elements or the text */
};

/* The command's answer out of a list; empty where there is none. */
static redisReply answer_to(uint32_t i, const struct answer *answers, size_t n,
			    redisReply *elements, redisReply **pointers)
{
	struct hr_str name = hr_resp_argument(&b, i, 0),
		      key = hr_resp_argument(&b, i, 1);
	bool is_array = !hr_str_equals(name, text("GET"));
	redisReply r = { .type = is_array ? REDIS_REPLY_ARRAY : REDIS_REPLY_NIL };

	for (size_t a = 0; a < n; a++) {
		if (!hr_str_equals(name, text(answers[a].command)) ||
		    !hr_str_equals(key, text(answers[a].key)))
			continue;
		for (size_t k = 0; k < 8 && answers[a].text[k] != NULL; k++) {
			elements[k] = (redisReply){
				.type = REDIS_REPLY_STRING,
				.str = (char *)(uintptr_t)answers[a].text[k],
				.len = strlen(answers[a].text[k])
			};
			pointers[k] = &elements[k];
			r.elements = k + 1;
		}
		if (!is_array)
			return elements[0];
	}
	r.element = pointers;
	return r;
}

/* Ask and answer until all is known; then write. Returns the rounds it took. */
static int know_and_write(const struct answer *answers, size_t n)
{
	struct hr_err err;
	int rounds = 0;

	for (;; rounds++) {
		int n_reads;

		hr_resp_empty(&b);
		n_reads = hr_redis_tick_ask(&tick, &b, hr_mono_us());
		CU_ASSERT_EQUAL_FATAL(n_reads, (int)b.n_commands);
		if (n_reads == 0)
			break;
		for (uint32_t i = 0; i < (uint32_t)n_reads; i++) {
			redisReply elements[8], *pointers[8];
			redisReply r = answer_to(i, answers, n, elements, pointers);

			CU_ASSERT_EQUAL(
				hr_redis_tick_answer(&tick, i, &r, hr_mono_us(), &err),
				0);
		}
	}
	hr_resp_empty(&b);
	CU_ASSERT_EQUAL(hr_redis_tick_write(&tick, &b), 0);
	return rounds;
}

/* Command i of what was written, its arguments with spaces between. */
static const char *written(uint32_t i)
{
	static char line[512];
	size_t n = 0;

	line[0] = '\0';
	for (uint32_t arg = 0; n < sizeof(line); arg++) {
		struct hr_str x = hr_resp_argument(&b, i, arg);

		if (x.n == 0)
			break;
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%.*s",
				      arg > 0 ? " " : "", (int)x.n, (const char *)x.p);
	}
	return line;
}

/* ---- promises ------------------------------------------------------------------------- */

static void a_new_user_comes_to_six_commands_and_one_for_the_category(void)
{
	static const char *const expected[] = {
		("HSET user:u:profile total_views 2 total_purchases 1 last_active "
		 "2024-01-15T10:30:00.007Z favorite_category shoes"),
		"SET headrace:user:u:state 1 0 1705314600007 2 1 3 shoes",
		"HSET headrace:user:u:categories shoes 3",
		"LPUSH user:u:recent_views a b",
		"ZADD user:u:recommendations 1.5 b 1 a",
		"SADD category:shoes:products b a",
	};
	static const struct answer similar = { "SMEMBERS",
					       "product:a:similar",
					       { "b" } };
	struct one x;

	begin(&x, 1, 5, "u");
	add(&x, HR_EVENT_PRODUCT_VIEW, "a", "shoes", 1705314600007);
	add(&x, HR_EVENT_PRODUCT_VIEW, "b", "shoes", 1705314600003);
	add(&x, HR_EVENT_PURCHASE, "b", "shoes", 1705314600001);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_EQUAL(know_and_write(&similar, 1), 1);
	CU_ASSERT_EQUAL(b.n_commands, HR_COUNT(expected));
	for (uint32_t i = 0; i < HR_COUNT(expected); i++)
		CU_ASSERT_STRING_EQUAL(written(i), expected[i]);

	/* What this connection wrote is not read again, and what did not change is not
	 * written again. */
	begin(&x, 1, 6, "u");
	add(&x, HR_EVENT_PRODUCT_VIEW, "b", "shoes", 1705314600002);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_EQUAL(know_and_write(NULL, 0), 0);
	CU_ASSERT_EQUAL(b.n_commands, 5);
	CU_ASSERT_STRING_EQUAL(written(0), "HSET user:u:profile total_views 3");
	CU_ASSERT_STRING_EQUAL(written(4), "ZADD user:u:recommendations 2.5 b");
}

static void values_are_added_to_what_redis_holds(void)
{
	static const struct answer answers[] = {
		{ "GET", "headrace:user:u:state", { "1 0 5 10 4 7 shoes" } },
		{ "HMGET", "headrace:user:u:categories", { "6" } },
		{ "ZMSCORE", "user:u:recommendations", { "12.5" } },
	};
	struct one x;

	begin(&x, 0, 9, "u");
	add(&x, HR_EVENT_PRODUCT_VIEW, "a", "hats", 3);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_EQUAL(know_and_write(answers, HR_COUNT(answers)), 1);
	CU_ASSERT_STRING_EQUAL(written(0),
			       "HSET user:u:profile total_views 11 total_purchases 4 "
			       "last_active 1970-01-01T00:00:00.005Z favorite_category "
			       "hats");
	CU_ASSERT_STRING_EQUAL(written(1),
			       "SET headrace:user:u:state 1 0 5 11 4 7 hats");
	CU_ASSERT_STRING_EQUAL(written(2), "HSET headrace:user:u:categories hats 7");
	CU_ASSERT_STRING_EQUAL(written(4), "LTRIM user:u:recent_views 0 2");
	CU_ASSERT_STRING_EQUAL(written(5), "ZADD user:u:recommendations 13.5 a");
}

static void ties_of_the_favourite_go_to_the_smaller_text(void)
{
	static const struct {
		const char *first, *second, *favourite;
	} rows[] = {
		{ "b", "a", "a" },  { "a", "b", "a" },        { "a", "ab", "a" },
		{ "ab", "a", "a" }, { "\xc3\xa4", "z", "z" }, { "Z", "a", "Z" },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		char user[8], expected[96];
		struct one x;

		(void)snprintf(user, sizeof(user), "u%zu", i);
		begin(&x, 0, 9, user);
		add(&x, HR_EVENT_CLICK, "", rows[i].first, 0);
		add(&x, HR_EVENT_CLICK, "", rows[i].second, 0);
		CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
		know_and_write(NULL, 0);
		(void)snprintf(expected, sizeof(expected),
			       "SET headrace:user:%s:state 1 0 0 0 0 1 %s", user,
			       rows[i].favourite);
		CU_ASSERT_STRING_EQUAL(written(1), expected);
	}
}

static void members_that_go_start_again_from_nothing(void)
{
	static const struct answer answers[] = {
		{ "GET", "headrace:user:u:state", { "1 0 5 10 4 0 " } },
		{ "ZMSCORE", "user:u:recommendations", { "3" } },
		{ "ZRANGE", "user:u:recommendations", { "x", "a" } },
	};
	struct one x;

	begin(&x, 0, 256, "u");
	add(&x, HR_EVENT_PRODUCT_VIEW, "a", "", 9);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	know_and_write(answers, HR_COUNT(answers));
	CU_ASSERT_STRING_EQUAL(written(0),
			       "ZREMRANGEBYRANK user:u:recommendations 0 -3");
	CU_ASSERT_STRING_EQUAL(written(2), "SET headrace:user:u:state 1 1 9 11 4 0 ");
	CU_ASSERT_STRING_EQUAL(written(5), "ZADD user:u:recommendations 1 a");
}

static void a_tick_does_not_cross_a_trim_period(void)
{
	struct one x;

	CU_ASSERT_TRUE(hr_redis_tick_takes(&tick, 0, 255));
	begin(&x, 0, 255, "u");
	add(&x, HR_EVENT_CLICK, "", "", 0);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_FALSE(hr_redis_tick_takes(&tick, 0, 256));
	CU_ASSERT_TRUE(hr_redis_tick_takes(&tick, 1, 256));
	know_and_write(NULL, 0);
	CU_ASSERT_TRUE(hr_redis_tick_takes(&tick, 0, 256));
}

static void only_the_newest_views_are_listed(void)
{
	struct one x;

	begin(&x, 0, 9, "u");
	for (int i = 0; i < 5; i++)
		add(&x, HR_EVENT_PRODUCT_VIEW,
		    (const char *[]){ "a", "b", "c", "d", "a" }[i], "", 0);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	know_and_write(NULL, 0);
	CU_ASSERT_STRING_EQUAL(written(2), "LPUSH user:u:recent_views c d a");
	CU_ASSERT_STRING_EQUAL(written(3), "LTRIM user:u:recent_views 0 2");
}

static void a_key_of_another_type_counts_as_empty_and_is_noted(void)
{
	redisReply wrong = { .type = REDIS_REPLY_ERROR,
			     .str = (char *)(uintptr_t) "WRONGTYPE Operation against" };
	struct hr_err err;
	struct one x;

	begin(&x, 0, 9, "u");
	add(&x, HR_EVENT_CLICK, "", "", 7);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_EQUAL_FATAL(hr_redis_tick_ask(&tick, &b, 1), 1);
	CU_ASSERT_EQUAL(hr_redis_tick_answer(&tick, 0, &wrong, 1, &err), 0);
	hr_resp_empty(&b);
	CU_ASSERT_EQUAL(hr_redis_tick_write(&tick, &b), 0);
	CU_ASSERT_EQUAL(tick.damage.n, 1);
	hr_resp_empty(&b);
	hr_redis_damage_write(&tick.damage, &b);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(written(0), "HSETNX headrace:damaged headrace:user:u:state "));
	CU_ASSERT_PTR_NOT_NULL(strstr(written(0), "WRONGTYPE"));
}

static void any_other_error_gives_the_tick_up(void)
{
	redisReply loading = { .type = REDIS_REPLY_ERROR,
			       .str = (char *)(uintptr_t) "LOADING Redis is loading" };
	struct hr_err err;
	struct one x;

	begin(&x, 0, 9, "u");
	add(&x, HR_EVENT_PRODUCT_VIEW, "a", "c", 7);
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_TRUE(hr_redis_tick_ask(&tick, &b, 1) > 0);
	CU_ASSERT_EQUAL(hr_redis_tick_answer(&tick, 0, &loading, 1, &err), -EAGAIN);
	CU_ASSERT_STRING_EQUAL(err.text, "LOADING Redis is loading");
	hr_redis_tick_drop(&tick);
	CU_ASSERT_EQUAL(tick.n_users, 0);
	CU_ASSERT_EQUAL(tick.table.owners.n, 0);
	/* Made again, it is asked again. */
	CU_ASSERT_EQUAL(hr_redis_tick_add(&tick, &x.link), 0);
	CU_ASSERT_EQUAL(know_and_write(NULL, 0), 1);
	CU_ASSERT_EQUAL(b.n_commands, 6);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a new user comes to six commands and one for the category",
		  a_new_user_comes_to_six_commands_and_one_for_the_category },
		{ "values are added to what Redis holds",
		  values_are_added_to_what_redis_holds },
		{ "ties of the favourite go to the smaller text",
		  ties_of_the_favourite_go_to_the_smaller_text },
		{ "members that go start again from nothing",
		  members_that_go_start_again_from_nothing },
		{ "a tick does not cross a trim period",
		  a_tick_does_not_cross_a_trim_period },
		{ "only the newest views are listed",
		  only_the_newest_views_are_listed },
		{ "a key of another type counts as empty and is noted",
		  a_key_of_another_type_counts_as_empty_and_is_noted },
		{ "any other error gives the tick up",
		  any_other_error_gives_the_tick_up },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("view redis tick", setup, teardown, tests);
}
