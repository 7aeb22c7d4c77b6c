/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/gen/check_redis.h"

#define SHOWN_BYTES 300

int hr_check_redis_init(struct hr_check_redis *check, struct hr_model *model,
			struct hr_findings *findings, struct hr_err *err)
{
	*check = (struct hr_check_redis){
		.model = model,
		.findings = findings,
		.stamps = calloc(model->names.n, sizeof(*check->stamps)),
	};
	return check->stamps != NULL
		       ? 0
		       : hr_fail(err, -ENOMEM, "no memory for comparing %u products",
				 model->names.n);
}

void hr_check_redis_fini(struct hr_check_redis *check)
{
	free(check->stamps);
	check->stamps = NULL;
}

static struct hr_str text_of(const redisReply *reply)
{
	return (struct hr_str){ (const uint8_t *)reply->str, (uint32_t)reply->len };
}

/* The key somebody is told of: "user:user_1:profile". */
struct subject {
	struct hr_check_redis *check;
	char key[160];
};

static void tell(const struct subject *of, enum hr_fault fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(const struct subject *of, enum hr_fault fault, const char *fmt, ...)
{
	char text[900];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	hr_finding(of->check->findings, HR_AT_REDIS, fault, "%s: %s", of->key, text);
}

/* The answer is a list of so many texts; what else it is is told. */
static bool is_list(const struct subject *of, const redisReply *answer)
{
	if (answer->type == REDIS_REPLY_ARRAY)
		return true;
	tell(of, HR_DIFFERENT, "%s",
	     answer->type == REDIS_REPLY_ERROR ? answer->str : "the answer is no list");
	return false;
}

static const redisReply *field(const redisReply *hash, const char *name)
{
	for (size_t i = 0; i + 1 < hash->elements; i += 2)
		if (hash->element[i]->len == strlen(name) &&
		    memcmp(hash->element[i]->str, name, hash->element[i]->len) == 0)
			return hash->element[i + 1];
	return NULL;
}

static void check_field(const struct subject *of, const redisReply *hash,
			const char *name, const char *right)
{
	const redisReply *value = field(hash, name);
	char shown[SHOWN_BYTES];

	if (value == NULL)
		tell(of, HR_MISSING, "%s, should be %s", name, right);
	else if (value->len != strlen(right) ||
		 memcmp(value->str, right, value->len) != 0)
		tell(of, HR_DIFFERENT, "%s is %s, should be %s", name,
		     hr_readable(shown, sizeof(shown), text_of(value)), right);
}

static void spell_number(char out[24], uint64_t v)
{
	snprintf(out, 24, "%" PRIu64, v);
}

static void spell_iso(char out[40], int64_t ms)
{
	const time_t seconds = (time_t)(ms / 1000);
	struct tm t;
	size_t n;

	gmtime_r(&seconds, &t);
	n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &t);
	snprintf(out + n, 40 - n, ".%03dZ", (int)(ms % 1000));
}

static void check_profile(const struct subject *of, const redisReply *answer)
{
	const struct hr_model *model = of->check->model;
	const bool has_favourite = model->favourite != HR_PLANNED_NONE;
	char text[40];

	if (!is_list(of, answer))
		return;
	if (answer->elements == 0) {
		tell(of, HR_MISSING, "the user has events and no profile");
		return;
	}
	spell_number(text, model->views);
	check_field(of, answer, "total_views", text);
	spell_number(text, model->purchases);
	check_field(of, answer, "total_purchases", text);
	spell_iso(text, model->last_active_ms);
	check_field(of, answer, "last_active", text);
	if (has_favourite) {
		text[hr_category_name(model->favourite, text)] = '\0';
		check_field(of, answer, "favorite_category", text);
	} else if (field(answer, "favorite_category") != NULL) {
		tell(of, HR_UNEXPECTED,
		     "favorite_category, and no event had a category");
	}
	if (answer->elements > (has_favourite ? 8u : 6u))
		tell(of, HR_UNEXPECTED, "%zu fields, should be %d",
		     answer->elements / 2, has_favourite ? 4 : 3);
}

static void check_recent(const struct subject *of, const redisReply *answer)
{
	const struct hr_model *model = of->check->model;
	const uint32_t n = hr_model_recent(model);
	char shown[SHOWN_BYTES], right[HR_PRODUCT_NAME];

	if (!is_list(of, answer))
		return;
	if (answer->elements != n)
		tell(of, answer->elements < n ? HR_MISSING : HR_UNEXPECTED,
		     "%zu products, should be %u", answer->elements, n);
	for (uint32_t i = 0; i < n && i < answer->elements; i++) {
		const struct hr_str found = text_of(answer->element[i]);
		const struct hr_str should = {
			(const uint8_t *)right,
			hr_product_name(hr_model_recent_at(model, i), right)
		};

		if (hr_str_equals(found, should))
			continue;
		tell(of, HR_DIFFERENT,
		     "number %u (0 is the newest) is %s, should be "
		     "%.*s",
		     i, hr_readable(shown, sizeof(shown), found), (int)should.n, right);
		return; /* what follows is mostly the same mistake */
	}
}

/* A score in halves, or UINT64_MAX where it is none. */
static uint64_t halves_of(const redisReply *score)
{
	char *end;
	const double v = strtod(score->str, &end) * 2;

	if (end == score->str || *end != '\0' || v < 0 || v > 1e15 ||
	    v != (double)(uint64_t)v)
		return UINT64_MAX;
	return (uint64_t)v;
}

static void check_member(const struct subject *of, const redisReply *member,
			 const redisReply *score)
{
	struct hr_check_redis *check = of->check;
	const uint32_t number = hr_model_find(check->model, text_of(member));
	const uint64_t halves =
		number == HR_PLANNED_NONE ? 0 : check->model->scores[number];
	char shown[SHOWN_BYTES];

	if (halves == 0) {
		tell(of, HR_UNEXPECTED, "%s with %s",
		     hr_readable(shown, sizeof(shown), text_of(member)), score->str);
		return;
	}
	check->stamps[number] = check->stamp;
	if (halves_of(score) != halves)
		tell(of, HR_DIFFERENT, "%s has %s, should have %" PRIu64 "%s",
		     hr_readable(shown, sizeof(shown), text_of(member)), score->str,
		     halves / 2, halves % 2 != 0 ? ".5" : "");
}

static void check_recommendations(const struct subject *of, const redisReply *answer)
{
	struct hr_check_redis *check = of->check;
	const struct hr_model *model = check->model;

	if (!is_list(of, answer))
		return;
	check->stamp++;
	for (size_t i = 0; i + 1 < answer->elements; i += 2)
		check_member(of, answer->element[i], answer->element[i + 1]);
	for (uint32_t i = 0; i < model->n_scored; i++) {
		const uint32_t number = model->scored[i];
		const struct hr_str text = model->names.texts[number];
		char shown[SHOWN_BYTES];

		if (check->stamps[number] != check->stamp)
			tell(of, HR_MISSING, "%s, should have %" PRIu64 "%s",
			     hr_readable(shown, sizeof(shown), text),
			     model->scores[number] / 2,
			     model->scores[number] % 2 != 0 ? ".5" : "");
	}
}

static void check_categories(const struct subject *of, const redisReply *answer)
{
	const struct hr_model *model = of->check->model;
	char name[HR_CATEGORY_NAME + 1], text[24];

	if (!is_list(of, answer))
		return;
	for (uint32_t i = 0; i < model->n_counted; i++) {
		name[hr_category_name(model->counted[i], name)] = '\0';
		spell_number(text, model->counts[model->counted[i]]);
		check_field(of, answer, name, text);
	}
	if (answer->elements / 2 > model->n_counted)
		tell(of, HR_UNEXPECTED, "%zu categories, should be %u",
		     answer->elements / 2, model->n_counted);
}

static void check_nothing(const struct subject *of, const redisReply *answer)
{
	if (is_list(of, answer) && answer->elements > 0)
		tell(of, HR_UNEXPECTED, "the user has no events in the log");
}

static void name_key(struct subject *of, const char *before, uint32_t user,
		     const char *behind)
{
	char name[HR_USER_NAME];

	snprintf(of->key, sizeof(of->key), "%s%.*s%s", before,
		 (int)hr_user_name(user, name), name, behind);
}

void hr_check_user(struct hr_check_redis *check, uint32_t user,
		   redisReply *const answers[HR_USER_ANSWERS])
{
	static const struct {
		const char *before, *behind;
		void (*check)(const struct subject *of, const redisReply *answer);
	} keys[HR_USER_ANSWERS] = {
		[HR_USER_PROFILE] = { "user:", ":profile", check_profile },
		[HR_USER_RECENT] = { "user:", ":recent_views", check_recent },
		[HR_USER_RECOMMENDATIONS] = { "user:", ":recommendations",
					      check_recommendations },
		[HR_USER_CATEGORIES] = { "headrace:user:", ":categories",
					 check_categories },
	};
	const bool has_events = check->model->known->users[user].n > 0;
	struct subject of = { .check = check };

	if (has_events) {
		check->n_users++;
		hr_model_fold(check->model, user);
	}
	for (int i = 0; i < HR_USER_ANSWERS; i++) {
		name_key(&of, keys[i].before, user, keys[i].behind);
		(has_events ? keys[i].check : check_nothing)(&of, answers[i]);
	}
}

/* ---- categories ---- */

void hr_check_category(struct hr_check_redis *check, uint32_t category,
		       const redisReply *answer)
{
	const struct hr_model *model = check->model;
	struct subject of = { .check = check };
	char name[HR_CATEGORY_NAME], shown[SHOWN_BYTES];

	snprintf(of.key, sizeof(of.key), "category:%.*s:products",
		 (int)hr_category_name(category, name), name);
	if (!is_list(&of, answer))
		return;
	check->stamp++;
	for (size_t i = 0; i < answer->elements; i++) {
		const struct hr_str text = text_of(answer->element[i]);
		const uint32_t p = hr_model_find(model, text);

		if (p < model->known->n_products && hr_model_has(model, p, category))
			check->stamps[p] = check->stamp;
		else if (check->takes_others)
			check->n_others++;
		else
			tell(&of, HR_UNEXPECTED, "%s",
			     hr_readable(shown, sizeof(shown), text));
	}
	for (uint32_t p = 0; p < model->known->n_products; p++)
		if (check->stamps[p] != check->stamp &&
		    hr_model_has(model, p, category))
			tell(&of, HR_MISSING, "%.*s", (int)model->names.texts[p].n,
			     (const char *)model->names.texts[p].p);
}

/* ---- keys ---- */

static bool begins(struct hr_str s, const char *with)
{
	return s.n >= strlen(with) && memcmp(s.p, with, strlen(with)) == 0;
}

static bool ends(struct hr_str s, const char *with)
{
	const size_t n = strlen(with);

	return s.n >= n && memcmp(s.p + s.n - n, with, n) == 0;
}

/* The number a name ends with, if this is how we name that number. */
static uint32_t number_of(struct hr_str name, uint32_t below,
			  uint32_t (*spell)(uint32_t number, char *out))
{
	uint32_t at = name.n;
	uint64_t v = 0, unit = 1;
	char spelt[HR_USER_NAME];

	while (at > 0 && name.p[at - 1] >= '0' && name.p[at - 1] <= '9' &&
	       unit < 1000000000u) {
		v += unit * (uint64_t)(name.p[--at] - '0');
		unit *= 10;
	}
	if (at == name.n || v >= below || spell((uint32_t)v, spelt) != name.n ||
	    memcmp(spelt, name.p, name.n) != 0)
		return HR_PLANNED_NONE;
	return (uint32_t)v;
}

static uint32_t spell_user(uint32_t number, char *out)
{
	return hr_user_name(number, out);
}

static uint32_t spell_category(uint32_t number, char *out)
{
	return hr_category_name(number, out);
}

static struct hr_str between(struct hr_str key, const char *before, const char *behind)
{
	return (struct hr_str){ key.p + strlen(before),
				(uint32_t)(key.n - strlen(before) - strlen(behind)) };
}

static bool is_of_user(const struct hr_check_redis *check, struct hr_str key)
{
	static const char *const parts[][2] = {
		{ "user:", ":profile" },
		{ "user:", ":recent_views" },
		{ "user:", ":recommendations" },
		{ "headrace:user:", ":state" },
		{ "headrace:user:", ":categories" },
	};
	const struct hr_known *known = check->model->known;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		uint32_t user;

		if (!begins(key, parts[i][0]) || !ends(key, parts[i][1]) ||
		    key.n <= strlen(parts[i][0]) + strlen(parts[i][1]))
			continue;
		user = number_of(between(key, parts[i][0], parts[i][1]), known->n_users,
				 spell_user);
		return user != HR_PLANNED_NONE && known->users[user].n > 0;
	}
	return false;
}

static bool is_of_category(const struct hr_check_redis *check, struct hr_str key)
{
	if (!begins(key, "category:") || !ends(key, ":products") ||
	    key.n <= strlen("category::products"))
		return false;
	return number_of(between(key, "category:", ":products"),
			 check->model->known->n_categories,
			 spell_category) != HR_PLANNED_NONE;
}

void hr_check_key(struct hr_check_redis *check, struct hr_str key)
{
	char shown[SHOWN_BYTES];

	if (hr_str_equals(key, HR_STR("headrace:damaged"))) {
		hr_finding(check->findings, HR_AT_REDIS, HR_UNEXPECTED,
			   "headrace:damaged exists: the view says that keys are not "
			   "what they should be");
		return;
	}
	if (begins(key, "product:") || begins(key, "headrace:shard:") ||
	    is_of_user(check, key) || is_of_category(check, key) ||
	    (begins(key, "headrace:") && !begins(key, "headrace:user:")))
		return;
	check->n_others++;
	if (!check->takes_others)
		hr_finding(check->findings, HR_AT_REDIS, HR_UNEXPECTED,
			   "the key %s: nobody in the log should have it",
			   hr_readable(shown, sizeof(shown), key));
}

bool hr_position_is(const redisReply *answer, uint32_t generation, uint64_t n,
		    const struct hr_id128 *hash, uint64_t *n_found)
{
	char right[HR_ID128_TEXT];
	char found[33];
	uint32_t g;

	*n_found = 0;
	if (answer->type != REDIS_REPLY_STRING ||
	    sscanf(answer->str, "%" SCNu32 " %" SCNu64 " %*u %32s", &g, n_found,
		   found) != 3)
		return false;
	hr_id128_print(right, hash);
	return g == generation && *n_found == n && strcmp(found, right) == 0;
}
