/* SPDX-License-Identifier: BSD-3-Clause */

/* The model against cases made by hand, and Redis answers against the model: what is
 * right passes, every fault a key can have is noticed. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/gen/world.h"
#include "tests/unit/hr_test.h"
#include "tools/gen/check_redis.h"

#define USER 3

static struct world world;
static struct hr_model model;
static struct hr_check_redis check;
static bool has_check;

/* The plan only lends its events; which user has which, and when, each case says. */
static void setup(void)
{
	struct hr_plan plan;

	hr_plan_defaults(&plan);
	plan.n_events = 5000;
	plan.n_users = 10;
	plan.n_products = 50;
	plan.n_categories = 3;
	world_init(&world, &plan);
	memset(&model, 0, sizeof(model));
	has_check = false;
}

static void teardown(void)
{
	if (has_check)
		hr_check_redis_fini(&check);
	hr_model_fini(&model);
	world_fini(&world);
}

static void make_model(uint32_t recent_max, uint32_t members_max)
{
	CU_ASSERT_FATAL(hr_model_init(&model, &world.known, recent_max, members_max,
				      NULL) == 0);
}

/* The user's next event: a view of this product (HR_PLANNED_NONE: of any), or
 * whatever type is asked for, logged in this link. Returns its ordinal. */
static uint32_t add(enum hr_planned_type type, uint32_t product, uint64_t link)
{
	struct hr_planned planned;

	for (uint32_t i = 0; i < world.known.n_events; i++) {
		hr_planned_make(&world.known.planners[0], i, &planned);
		if (world.known.events[i].rank == 0 && planned.type == type &&
		    (product == HR_PLANNED_NONE || planned.product == product)) {
			CU_ASSERT(hr_known_add(&world.known, i, USER, link, 777));
			return i;
		}
	}
	CU_FAIL_FATAL("the plan has no such event");
	return 0;
}

static uint64_t halves(const char *product)
{
	const struct hr_str text = { (const uint8_t *)product,
				     (uint32_t)strlen(product) };
	const uint32_t number = hr_model_find(&model, text);

	return number == HR_PLANNED_NONE ? 0 : model.scores[number];
}

/* ---- the model ---- */

static void views_and_purchases_are_counted(void)
{
	make_model(100, 1000);
	add(HR_PLANNED_VIEW, 1, 2);
	add(HR_PLANNED_VIEW, 2, 2);
	add(HR_PLANNED_PURCHASE, HR_PLANNED_NONE, 3);
	add(HR_PLANNED_SEARCH, HR_PLANNED_NONE, 3);
	hr_model_fold(&model, USER);
	CU_ASSERT(model.views == 2 && model.purchases == 1);
	CU_ASSERT(halves("product_1") == 2 && halves("product_2") == 2);
	CU_ASSERT(model.n_scored == 2);
	hr_model_fold(&model, USER + 1);
	CU_ASSERT(model.views == 0 && model.n_scored == 0 &&
		  hr_model_recent(&model) == 0);
}

static void recent_views_are_newest_first_and_bounded(void)
{
	make_model(3, 1000);
	for (uint32_t p = 0; p < 5; p++)
		add(HR_PLANNED_VIEW, p, 2);
	hr_model_fold(&model, USER);
	CU_ASSERT(hr_model_recent(&model) == 3);
	CU_ASSERT(hr_model_recent_at(&model, 0) == 4);
	CU_ASSERT(hr_model_recent_at(&model, 1) == 3);
	CU_ASSERT(hr_model_recent_at(&model, 2) == 2);
}

static void similar_products_get_half(void)
{
	const struct hr_str members[] = { HR_STR("product_2"), HR_STR("elsewhere") };

	make_model(100, 1000);
	CU_ASSERT(hr_model_similar(&model, 1, members, 2, NULL) == 0);
	add(HR_PLANNED_VIEW, 1, 2);
	add(HR_PLANNED_VIEW, 1, 2);
	add(HR_PLANNED_VIEW, 2, 2);
	hr_model_fold(&model, USER);
	CU_ASSERT(halves("product_1") == 4);
	CU_ASSERT(halves("product_2") == 4); /* 2 + 1 + 1 */
	CU_ASSERT(halves("elsewhere") == 2);
}

static void the_set_is_cut_before_the_first_view_of_a_period(void)
{
	make_model(100, 2);
	add(HR_PLANNED_VIEW, 3, 10);
	add(HR_PLANNED_VIEW, 1, 10);
	add(HR_PLANNED_VIEW, 20, 11);
	add(HR_PLANNED_VIEW, 3, 255); /* the same period: not cut, 4 halves */
	hr_model_fold(&model, USER);
	CU_ASSERT(model.n_scored == 3);
	add(HR_PLANNED_VIEW, 4, 256); /* cut first: of equals product_1 goes */
	hr_model_fold(&model, USER);
	CU_ASSERT(halves("product_3") == 4);
	CU_ASSERT(halves("product_1") == 0);
	CU_ASSERT(halves("product_20") == 2);
	CU_ASSERT(halves("product_4") == 2);
	CU_ASSERT(model.n_scored == 3);
}

static void only_views_begin_a_period(void)
{
	make_model(100, 2);
	add(HR_PLANNED_VIEW, 1, 10);
	add(HR_PLANNED_VIEW, 2, 10);
	add(HR_PLANNED_VIEW, 3, 10);
	add(HR_PLANNED_PURCHASE, HR_PLANNED_NONE, 300);
	hr_model_fold(&model, USER);
	CU_ASSERT(model.n_scored == 3);
}

static void what_was_cut_begins_again_at_nothing(void)
{
	make_model(100, 1);
	add(HR_PLANNED_VIEW, 1, 10);
	add(HR_PLANNED_VIEW, 2, 10);
	add(HR_PLANNED_VIEW, 2, 10);
	add(HR_PLANNED_VIEW, 1, 256);
	hr_model_fold(&model, USER);
	CU_ASSERT(halves("product_1") == 2);
	CU_ASSERT(halves("product_2") == 4);
}

/* Two categories with as many events each: the smaller text. */
static void of_equal_categories_the_smaller_is_the_favourite(void)
{
	uint32_t with[3] = { HR_PLANNED_NONE, HR_PLANNED_NONE, HR_PLANNED_NONE };

	make_model(100, 1000);
	for (uint32_t p = 0; p < 50; p++)
		if (with[hr_category_of(p, 3)] == HR_PLANNED_NONE)
			with[hr_category_of(p, 3)] = p;
	/* The last first, so that order of arrival does not decide. */
	for (int c = 2; c >= 0; c--) {
		struct hr_planned planned;

		do {
			const uint32_t e = add(HR_PLANNED_VIEW, with[c], 2);

			hr_known_make(&world.known, e, &planned);
		} while (planned.category == HR_PLANNED_NONE);
	}
	hr_model_fold(&model, USER);
	CU_ASSERT(model.n_counted == 3);
	CU_ASSERT(model.favourite == 0);
}

static void an_event_without_a_time_has_that_of_its_receipt(void)
{
	struct hr_planned planned;

	make_model(100, 1000);
	for (uint32_t i = 0; i < world.known.n_events; i++) {
		hr_planned_make(&world.known.planners[0], i, &planned);
		if (planned.has_time)
			continue;
		hr_known_add(&world.known, i, USER, 2, 424242);
		break;
	}
	hr_model_fold(&model, USER);
	CU_ASSERT(model.last_active_ms == 424242);
}

static void categories_know_their_products(void)
{
	struct hr_planned planned;
	uint32_t e;

	make_model(100, 1000);
	do {
		e = add(HR_PLANNED_VIEW, HR_PLANNED_NONE, 2);
		hr_known_make(&world.known, e, &planned);
	} while (planned.category == HR_PLANNED_NONE);
	hr_model_fold(&model, USER);
	CU_ASSERT(hr_model_has(&model, planned.product, planned.category));
	CU_ASSERT(!hr_model_has(&model, planned.product, (planned.category + 1) % 3));
}

/* ---- Redis answers ---- */

/* From a protocol text; hiredis takes it apart as it would from the wire. */
static redisReply *answer(const char *text)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	redisReaderFeed(reader, text, strlen(text));
	CU_ASSERT_FATAL(redisReaderGetReply(reader, &reply) == REDIS_OK);
	CU_ASSERT_FATAL(reply != NULL);
	redisReaderFree(reader);
	return reply;
}

/* A list of texts, NULL behind the last. */
static redisReply *list(const char *const *texts)
{
	char text[4096];
	size_t n = 0, at;

	while (texts[n] != NULL)
		n++;
	at = (size_t)snprintf(text, sizeof(text), "*%zu\r\n", n);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "$%zu\r\n%s\r\n",
				       strlen(texts[i]), texts[i]);
	return answer(text);
}

/* What is right for a user with two views of product_1 and one of product_2. */
static char last_active[96], favourite[40], counts[3][2][40];

struct answers {
	const char *profile[12], *recent[6], *scores[12], *categories[10];
};

static struct answers right_answers(void)
{
	struct answers a = {
		.profile = { "total_views", "3", "total_purchases", "0", "last_active",
			     last_active, "favorite_category", favourite },
		.recent = { "product_2", "product_1", "product_1" },
		.scores = { "product_2", "1", "shoe", "1", "product_1", "2" },
	};
	size_t at = 0;

	for (uint32_t c = 0; c < 3; c++)
		if (model.counts[c] > 0) {
			a.categories[at++] = counts[c][0];
			a.categories[at++] = counts[c][1];
		}
	return a;
}

static void spell_right_texts(void)
{
	const time_t seconds = (time_t)(model.last_active_ms / 1000);
	struct tm t;

	gmtime_r(&seconds, &t);
	snprintf(last_active, sizeof(last_active),
		 "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900, t.tm_mon + 1,
		 t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
		 (int)(model.last_active_ms % 1000));
	snprintf(favourite, sizeof(favourite), "category_%u", model.favourite);
	for (uint32_t c = 0; c < 3; c++) {
		snprintf(counts[c][0], sizeof(counts[c][0]), "category_%u", c);
		snprintf(counts[c][1], sizeof(counts[c][1]), "%" PRIu64,
			 model.counts[c]);
	}
}

static void make_user(void)
{
	const struct hr_str members[] = { HR_STR("shoe") };

	make_model(100, 1000);
	CU_ASSERT(hr_model_similar(&model, 1, members, 1, NULL) == 0);
	add(HR_PLANNED_VIEW, 1, 2);
	add(HR_PLANNED_VIEW, 1, 2);
	add(HR_PLANNED_VIEW, 2, 3);
	CU_ASSERT(hr_check_redis_init(&check, &model, &world.findings, NULL) == 0);
	has_check = true;
	hr_model_fold(&model, USER);
	spell_right_texts();
}

static uint64_t told(enum hr_fault fault)
{
	fflush(world.findings.to);
	return world.findings.counts[HR_AT_REDIS][fault];
}

/* Shows the answers of a user, forgetting what was found before; returns how much
 * there was to find. */
static uint64_t show(uint32_t user, const struct answers *a)
{
	redisReply *replies[HR_USER_ANSWERS] = {
		[HR_USER_PROFILE] = list(a->profile),
		[HR_USER_RECENT] = list(a->recent),
		[HR_USER_RECOMMENDATIONS] = list(a->scores),
		[HR_USER_CATEGORIES] = list(a->categories),
	};

	memset(world.findings.counts, 0, sizeof(world.findings.counts));
	hr_check_user(&check, user, replies);
	for (int i = 0; i < HR_USER_ANSWERS; i++)
		freeReplyObject(replies[i]);
	return hr_findings_sum(&world.findings);
}

static void right_answers_pass(void)
{
	struct answers a;

	make_user();
	a = right_answers();
	CU_ASSERT(show(USER, &a) == 0);
	CU_ASSERT(show(USER, &a) == 0);
	CU_ASSERT(check.n_users == 2);
}

static void a_missing_user_is_told(void)
{
	const struct answers none = { .profile = { NULL } };

	make_user();
	CU_ASSERT(show(USER, &none) > 0);
	CU_ASSERT(told(HR_MISSING) >= 4);
}

static void a_user_without_events_is_told(void)
{
	struct answers a;

	make_user();
	a = right_answers();
	CU_ASSERT(show(USER + 1, &a) == 4);
	CU_ASSERT(told(HR_UNEXPECTED) == 4);
}

static void every_wrong_field_is_told(void)
{
	struct answers a;

	make_user();
	for (size_t i = 1; i < 8; i += 2) {
		a = right_answers();
		a.profile[i] = "7";
		CU_ASSERT(show(USER, &a) == 1 && told(HR_DIFFERENT) == 1);
	}
	a = right_answers();
	a.profile[0] = "total_vjews";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_MISSING) == 1);
	a = right_answers();
	a.profile[8] = "more";
	a.profile[9] = "1";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_UNEXPECTED) == 1);
	a = right_answers();
	a.categories[1] = "77";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_DIFFERENT) == 1);
}

static void a_wrong_list_is_told(void)
{
	struct answers a;

	make_user();
	a = right_answers();
	a.recent[0] = "product_1";
	a.recent[1] = "product_2";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_DIFFERENT) == 1); /* order */
	a = right_answers();
	a.recent[2] = NULL;
	CU_ASSERT(show(USER, &a) == 1 && told(HR_MISSING) == 1);
	a = right_answers();
	a.recent[3] = "product_1";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_UNEXPECTED) == 1);
}

static void a_wrong_score_is_told(void)
{
	static const char *const wrong[] = { "1.5", "0.5", "1.25", "-1", "x", "1x" };
	struct answers a;

	make_user();
	for (size_t i = 0; i < HR_COUNT(wrong); i++) {
		a = right_answers();
		a.scores[3] = wrong[i];
		CU_ASSERT(show(USER, &a) == 1 && told(HR_DIFFERENT) == 1);
	}
	a = right_answers();
	a.scores[4] = NULL;
	CU_ASSERT(show(USER, &a) == 1 && told(HR_MISSING) == 1);
	a = right_answers();
	a.scores[6] = "product_9";
	a.scores[7] = "1";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_UNEXPECTED) == 1);
	a.scores[6] = "nobody";
	CU_ASSERT(show(USER, &a) == 1 && told(HR_UNEXPECTED) == 1);
}

static void a_key_of_the_wrong_type_is_told(void)
{
	redisReply *replies[HR_USER_ANSWERS];

	make_user();
	for (int i = 0; i < HR_USER_ANSWERS; i++)
		replies[i] = answer("-WRONGTYPE Operation against a key\r\n");
	hr_check_user(&check, USER, replies);
	CU_ASSERT(told(HR_DIFFERENT) == 4);
	for (int i = 0; i < HR_USER_ANSWERS; i++)
		freeReplyObject(replies[i]);
}

static void category_sets_are_compared(void)
{
	const char *members[60] = { NULL };
	char names[50][HR_PRODUCT_NAME + 1];
	redisReply *reply;
	size_t n = 0;
	uint32_t p = 0;

	make_user();
	for (; p < 50; p++)
		if (hr_model_has(&model, p, model.favourite)) {
			names[n][hr_product_name(p, names[n])] = '\0';
			members[n] = names[n];
			n++;
		}
	CU_ASSERT_FATAL(n >= 1);
	reply = list(members);
	hr_check_category(&check, model.favourite, reply);
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
	freeReplyObject(reply);

	members[n] = "product_49";
	reply = list(members);
	hr_check_category(&check, model.favourite, reply);
	CU_ASSERT(told(HR_UNEXPECTED) == 1);
	freeReplyObject(reply);

	reply = list(members + n + 1);
	hr_check_category(&check, model.favourite, reply);
	CU_ASSERT(told(HR_MISSING) == n);
	freeReplyObject(reply);
}

static void keys_of_nobody_are_told(void)
{
	static const char *const right[] = {
		"user:user_3:profile",
		"user:user_3:recent_views",
		"headrace:user:user_3:state",
		"headrace:shard:4",
		"headrace:later",
		"product:anything",
		"product:anything:similar",
		"category:category_2:products",
	};
	static const char *const wrong[] = {
		"user:user_4:profile", "user:user_03:profile",
		"user:nobody:profile", "user::profile",
		"user:user_3:profil",  "category:x:products",
		"headrace:damaged",    "headrace:user:user_4:state",
		"something",           "category:category_3:products",
	};

	make_user();
	for (size_t i = 0; i < HR_COUNT(right); i++)
		hr_check_key(&check, (struct hr_str){ (const uint8_t *)right[i],
						      (uint32_t)strlen(right[i]) });
	CU_ASSERT(hr_findings_sum(&world.findings) == 0);
	for (size_t i = 0; i < HR_COUNT(wrong); i++)
		hr_check_key(&check, (struct hr_str){ (const uint8_t *)wrong[i],
						      (uint32_t)strlen(wrong[i]) });
	CU_ASSERT(told(HR_UNEXPECTED) == HR_COUNT(wrong));
}

static void a_position_is_read(void)
{
	struct hr_id128 hash;
	redisReply *reply;
	uint64_t n;

	for (uint8_t i = 0; i < 16; i++)
		hash.b[i] = (uint8_t)(i * 17);
	reply = answer("$74\r\n1 1234 0 00112233445566778899aabbccddeeff "
		       "00000000000000000000000000000000\r\n");
	CU_ASSERT(hr_position_is(reply, 1, 1234, &hash, &n) && n == 1234);
	CU_ASSERT(!hr_position_is(reply, 1, 1235, &hash, &n) && n == 1234);
	CU_ASSERT(!hr_position_is(reply, 2, 1234, &hash, &n));
	hash.b[3]++;
	CU_ASSERT(!hr_position_is(reply, 1, 1234, &hash, &n));
	freeReplyObject(reply);
	reply = answer("$-1\r\n");
	CU_ASSERT(!hr_position_is(reply, 1, 1234, &hash, &n) && n == 0);
	freeReplyObject(reply);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "views and purchases are counted", views_and_purchases_are_counted },
		{ "recent views are newest first and bounded",
		  recent_views_are_newest_first_and_bounded },
		{ "similar products get half", similar_products_get_half },
		{ "the set is cut before the first view of a period",
		  the_set_is_cut_before_the_first_view_of_a_period },
		{ "only views begin a period", only_views_begin_a_period },
		{ "what was cut begins again at nothing",
		  what_was_cut_begins_again_at_nothing },
		{ "of equal categories the smaller is the favourite",
		  of_equal_categories_the_smaller_is_the_favourite },
		{ "an event without a time has that of its receipt",
		  an_event_without_a_time_has_that_of_its_receipt },
		{ "categories know their products", categories_know_their_products },
		{ "right answers pass", right_answers_pass },
		{ "a missing user is told", a_missing_user_is_told },
		{ "a user without events is told", a_user_without_events_is_told },
		{ "every wrong field is told", every_wrong_field_is_told },
		{ "a wrong list is told", a_wrong_list_is_told },
		{ "a wrong score is told", a_wrong_score_is_told },
		{ "a key of the wrong type is told", a_key_of_the_wrong_type_is_told },
		{ "category sets are compared", category_sets_are_compared },
		{ "keys of nobody are told", keys_of_nobody_are_told },
		{ "a position is read", a_position_is_read },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("gen model", setup, teardown, tests);
}
