/* SPDX-License-Identifier: BSD-3-Clause */

/* verify: the keys in Redis. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "tools/gen/check_redis.h"
#include "tools/gen/redis.h"
#include "tools/gen/verify.h"

#define USERS_AT_ONCE 128
#define PRODUCTS_AT_ONCE 512
#define LOOK_MS 50

static struct hr_str text(const char *s, int n)
{
	return (struct hr_str){ (const uint8_t *)s, (uint32_t)n };
}

static struct hr_str text_of(const redisReply *reply)
{
	return text(reply->str, (int)reply->len);
}

/* ---- positions ---- */

/* Is the view at the last link of every shard? Tells which is not when told to. */
static int are_at_end(struct hr_verify *v, struct hr_redis *redis, bool is_told,
		      bool *are, struct hr_err *err)
{
	*are = true;
	for (uint32_t s = 0; s < v->set.n_shards; s++) {
		const struct hr_chain *chain = &v->chains[s];
		char key[64];
		const struct hr_str words[] = {
			HR_STR("GET"),
			text(key, snprintf(key, sizeof(key), "headrace:shard:%u", s)),
		};
		redisReply *answer;
		uint64_t n;
		int r = hr_redis_add(redis, words, 2, err);

		if (r == 0)
			r = hr_redis_any_answer(redis, &answer, err);
		if (r < 0)
			return r;
		if (!hr_position_is(answer, v->set.generation, chain->n, &chain->hash,
				    &n)) {
			*are = false;
			if (is_told)
				hr_finding(&v->findings, HR_AT_REDIS, HR_DIFFERENT,
					   "%s: at link %" PRIu64
					   ", should be at %" PRIu64
					   " with the log's hash",
					   key, n, chain->n);
		}
		freeReplyObject(answer);
	}
	return 0;
}

/* Waits until it is; the log may grow by empty links meanwhile. */
static int await_end(struct hr_verify *v, struct hr_redis *redis, struct hr_err *err)
{
	for (;;) {
		const bool is_last = hr_mono_us() >= v->until_us;
		bool are = false;
		int r = hr_verify_log_again(v, err);

		if (r == 0)
			r = are_at_end(v, redis, is_last, &are, err);
		if (r < 0 || are || is_last || v->is_behind)
			return r;
		poll(NULL, 0, LOOK_MS);
	}
}

/* ---- the shop ---- */

static int ask_similar(struct hr_redis *redis, uint32_t product, struct hr_err *err)
{
	char name[HR_PRODUCT_NAME], key[64];
	const struct hr_str words[] = {
		HR_STR("SMEMBERS"),
		text(key, snprintf(key, sizeof(key), "product:%.*s:similar",
				   (int)hr_product_name(product, name), name)),
	};

	return hr_redis_add(redis, words, 2, err);
}

static bool has_member(const redisReply *set, struct hr_str member)
{
	for (size_t i = 0; i < set->elements; i++)
		if (hr_str_equals(text_of(set->element[i]), member))
			return true;
	return false;
}

/* Is the set the one that `headrace-gen shop --similar K` made? */
static void check_shop(struct hr_verify *v, uint32_t product, const redisReply *set)
{
	uint32_t others[HR_SIMILAR_MAX];
	const uint32_t n =
		hr_similar_to(product, v->known.n_products, v->similar, others);
	bool is_right = set->elements == n;

	for (uint32_t i = 0; i < n && is_right; i++) {
		char name[HR_PRODUCT_NAME];

		is_right = has_member(
			set, text(name, (int)hr_product_name(others[i], name)));
	}
	if (!is_right)
		hr_finding(&v->findings, HR_AT_REDIS, HR_DIFFERENT,
			   "product:product_%u:similar: not as `shop --products %u "
			   "--similar %u` makes it",
			   product, v->known.n_products, v->similar);
}

static int take_similar(struct hr_verify *v, struct hr_redis *redis,
			struct hr_model *model, uint32_t product, struct hr_err *err)
{
	struct hr_str members[1024];
	redisReply *answer;
	uint32_t n = 0;
	int r = hr_redis_answer(redis, &answer, err);

	if (r < 0)
		return r;
	for (; n < answer->elements && n < 1024; n++)
		members[n] = text_of(answer->element[n]);
	if (n < answer->elements)
		r = hr_fail(err, -E2BIG, "a product has more than 1,024 similar ones");
	else
		r = hr_model_similar(model, product, members, n, err);
	if (v->similar != UINT32_MAX)
		check_shop(v, product, answer);
	freeReplyObject(answer);
	return r;
}

static int read_shop(struct hr_verify *v, struct hr_redis *redis,
		     struct hr_model *model, struct hr_err *err)
{
	const uint32_t n = model->known->n_products;
	int r = 0;

	for (uint32_t from = 0; from < n && r == 0; from += PRODUCTS_AT_ONCE) {
		const uint32_t to =
			n - from < PRODUCTS_AT_ONCE ? n : from + PRODUCTS_AT_ONCE;

		for (uint32_t p = from; p < to && r == 0; p++)
			r = ask_similar(redis, p, err);
		for (uint32_t p = from; p < to && r == 0; p++)
			r = take_similar(v, redis, model, p, err);
	}
	return r;
}

/* ---- users ---- */

static int ask_user(struct hr_redis *redis, uint32_t user, struct hr_err *err)
{
	char name[HR_USER_NAME], keys[HR_USER_ANSWERS][96];
	const int n = (int)hr_user_name(user, name);
	const struct hr_str key[HR_USER_ANSWERS] = {
		text(keys[0], snprintf(keys[0], 96, "user:%.*s:profile", n, name)),
		text(keys[1], snprintf(keys[1], 96, "user:%.*s:recent_views", n, name)),
		text(keys[2],
		     snprintf(keys[2], 96, "user:%.*s:recommendations", n, name)),
		text(keys[3],
		     snprintf(keys[3], 96, "headrace:user:%.*s:categories", n, name)),
	};
	const struct hr_str profile[] = { HR_STR("HGETALL"), key[0] };
	const struct hr_str recent[] = { HR_STR("LRANGE"), key[1], HR_STR("0"),
					 HR_STR("-1") };
	const struct hr_str scores[] = { HR_STR("ZRANGE"), key[2], HR_STR("0"),
					 HR_STR("-1"), HR_STR("WITHSCORES") };
	const struct hr_str categories[] = { HR_STR("HGETALL"), key[3] };
	int r = hr_redis_add(redis, profile, 2, err);

	if (r == 0)
		r = hr_redis_add(redis, recent, 4, err);
	if (r == 0)
		r = hr_redis_add(redis, scores, 5, err);
	return r == 0 ? hr_redis_add(redis, categories, 2, err) : r;
}

static int take_user(struct hr_redis *redis, struct hr_check_redis *check,
		     uint32_t user, struct hr_err *err)
{
	redisReply *answers[HR_USER_ANSWERS] = { NULL };
	int r = 0;

	for (int i = 0; i < HR_USER_ANSWERS && r == 0; i++)
		r = hr_redis_any_answer(redis, &answers[i], err);
	if (r == 0)
		hr_check_user(check, user, answers);
	for (int i = 0; i < HR_USER_ANSWERS; i++)
		if (answers[i] != NULL)
			freeReplyObject(answers[i]);
	return r;
}

static int check_users(struct hr_redis *redis, struct hr_check_redis *check,
		       struct hr_err *err)
{
	const uint32_t n = check->model->known->n_users;
	int r = 0;

	for (uint32_t from = 0; from < n && r == 0; from += USERS_AT_ONCE) {
		const uint32_t to = n - from < USERS_AT_ONCE ? n : from + USERS_AT_ONCE;

		for (uint32_t u = from; u < to && r == 0; u++)
			r = ask_user(redis, u, err);
		for (uint32_t u = from; u < to && r == 0; u++)
			r = take_user(redis, check, u, err);
	}
	return r;
}

/* ---- categories, and every key there is ---- */

static int check_categories(struct hr_redis *redis, struct hr_check_redis *check,
			    struct hr_err *err)
{
	int r = 0;

	for (uint32_t c = 0; c < check->model->known->n_categories && r == 0; c++) {
		char name[HR_CATEGORY_NAME], key[96];
		const struct hr_str words[] = {
			HR_STR("SMEMBERS"),
			text(key, snprintf(key, sizeof(key), "category:%.*s:products",
					   (int)hr_category_name(c, name), name)),
		};
		redisReply *answer;

		r = hr_redis_add(redis, words, 2, err);
		if (r == 0)
			r = hr_redis_any_answer(redis, &answer, err);
		if (r < 0)
			break;
		hr_check_category(check, c, answer);
		freeReplyObject(answer);
	}
	return r;
}

static int check_keys(struct hr_redis *redis, struct hr_check_redis *check,
		      struct hr_err *err)
{
	char cursor[32] = "0";

	do {
		const struct hr_str words[] = { HR_STR("SCAN"),
						text(cursor, (int)strlen(cursor)),
						HR_STR("COUNT"), HR_STR("1000") };
		redisReply *answer;
		int r = hr_redis_add(redis, words, 4, err);

		if (r == 0)
			r = hr_redis_answer(redis, &answer, err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < answer->element[1]->elements; i++)
			hr_check_key(check, text_of(answer->element[1]->element[i]));
		snprintf(cursor, sizeof(cursor), "%s", answer->element[0]->str);
		freeReplyObject(answer);
	} while (strcmp(cursor, "0") != 0);
	return 0;
}

static int check_all(struct hr_verify *v, struct hr_redis *redis,
		     struct hr_model *model, struct hr_err *err)
{
	struct hr_check_redis check;
	int r = read_shop(v, redis, model, err);

	if (r < 0)
		return r;
	r = hr_check_redis_init(&check, model, &v->findings, err);
	if (r < 0)
		return r;
	check.takes_others = v->takes_others;
	r = check_users(redis, &check, err);
	if (r == 0)
		r = check_categories(redis, &check, err);
	if (r == 0)
		r = check_keys(redis, &check, err);
	v->users_in_redis = check.n_users;
	v->others_in_redis = check.n_others;
	hr_check_redis_fini(&check);
	return r;
}

/* The first line of the password file, if there is one. */
static int read_password(const char *path, char *out, size_t max, struct hr_err *err)
{
	FILE *f = path[0] != '\0' ? fopen(path, "re") : NULL;

	out[0] = '\0';
	if (path[0] == '\0')
		return 0;
	if (f == NULL)
		return hr_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (fgets(out, (int)max, f) != NULL)
		out[strcspn(out, "\r\n")] = '\0';
	fclose(f);
	return 0;
}

int hr_verify_redis(struct hr_verify *v, struct hr_err *err)
{
	struct hr_redis *redis;
	struct hr_model model;
	char password[512];
	int r;

	if (v->skips_redis || !v->config.redis_enabled)
		return 0;
	r = read_password(v->config.redis_password_file, password, sizeof(password),
			  err);
	if (r == 0)
		r = hr_redis_open(&redis, v->redis,
				  password[0] != '\0' ? password : NULL, err);
	if (r < 0)
		return r;
	r = hr_model_init(&model, &v->known, v->config.recent_views_max,
			  v->config.recommendations_max, err);
	if (r == 0)
		r = await_end(v, redis, err);
	if (r == 0 && !v->is_behind)
		r = check_all(v, redis, &model, err);
	v->tallies[HR_AT_REDIS].was_done = r == 0;
	hr_model_fini(&model);
	hr_redis_close(redis);
	return r;
}
