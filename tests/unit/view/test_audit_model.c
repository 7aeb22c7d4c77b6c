/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>

#include "dataplane/fold/fold.h"
#include "dataplane/view/audit_model.h"
#include "tests/unit/hr_test.h"

struct row {
	const char *user, *type, *category, *product;
	int64_t time_ms;
	uint8_t verdict;
};

static uint32_t n_made, n_asked;

static struct hr_str str(const char *text)
{
	return (struct hr_str){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static struct hr_audit_model *the_model;

/* Of "a", and nothing else: b and c. */
static int ask_similar(void *ctx, struct hr_str product)
{
	(void)ctx;
	n_asked++;
	if (!hr_str_equals(product, str("a")))
		return 0;
	return hr_audit_model_similar(the_model, str("b")) < 0 ||
			       hr_audit_model_similar(the_model, str("c")) < 0
		       ? -1
		       : 0;
}

static void made(void *ctx, struct hr_audit_member *m, uint16_t shard, uint64_t n)
{
	(void)ctx;
	(void)shard;
	(void)n;
	m->is_made = true;
	n_made++;
}

static struct hr_audit_model *model_new(uint32_t recent_max, uint32_t members_max)
{
	const struct hr_audit_model_conf conf = { .n_shards = 1,
						  .recent_max = recent_max,
						  .members_max = members_max,
						  .ask_similar = ask_similar,
						  .made = made };

	n_made = n_asked = 0;
	CU_ASSERT_EQUAL_FATAL(hr_audit_model_new(&the_model, &conf), 0);
	return the_model;
}

static void link_fold(struct hr_audit_model *m, uint64_t n, const struct row *rows,
		      uint32_t n_rows)
{
	struct hr_out_event *events = calloc(n_rows, sizeof(*events));
	struct hr_out out = { .n_events = n_rows, .events = events };
	struct hr_link link = { .n = n, .out = &out };

	for (uint32_t i = 0; i < n_rows; i++) {
		struct hr_event *ev = &events[i].event;

		events[i].verdict = rows[i].verdict;
		ev->user = str(rows[i].user);
		ev->category = str(rows[i].category);
		ev->product = str(rows[i].product);
		ev->time_ms = rows[i].time_ms;
		ev->type_no = strcmp(rows[i].type, "view") == 0  ? HR_EVENT_PRODUCT_VIEW
			      : strcmp(rows[i].type, "buy") == 0 ? HR_EVENT_PURCHASE
								 : HR_EVENT_OTHER;
	}
	CU_ASSERT_EQUAL(hr_audit_model_link(m, &link), 0);
	free(events);
}

static uint64_t hash_text(const char *text)
{
	return hr_audit_hash_end(hr_audit_hash_next(0, str(text)));
}

static uint64_t hash_list(const char *const *texts, uint32_t n)
{
	uint64_t h = 0;

	for (uint32_t i = 0; i < n; i++)
		h = hr_audit_hash_next(h, str(texts[i]));
	return hr_audit_hash_end(h);
}

static uint64_t hash_of(struct hr_audit_model *m, const char *user, enum hr_audit_key k)
{
	return hr_audit_model_hash(m, hr_audit_model_user(m, str(user)), k);
}

static void every_key_is_what_the_page_says(void)
{
	static const struct row rows[] = {
		{ "u", "view", "toys", "a", 5000, HR_COUNTED },
		{ "u", "view", "books", "d", 4000, HR_COUNTED },
		{ "u", "buy", "books", "a", 3000, HR_COUNTED },
		{ "u", "click", "toys", "", 1000, HR_COUNTED },
		{ "u", "view", "toys", "z", 9000, HR_REPEATED },
		{ "v", "click", "", "", 7, HR_COUNTED },
	};
	struct hr_audit_model *m = model_new(100, 1000);
	uint64_t h;

	link_fold(m, 3, rows, HR_COUNT(rows));
	h = hr_audit_hash_pair(0, str("total_purchases"), str("1"));
	h = hr_audit_hash_pair(h, str("favorite_category"), str("books"));
	h = hr_audit_hash_pair(h, str("last_active"), str("1970-01-01T00:00:05.000Z"));
	h = hr_audit_hash_pair(h, str("total_views"), str("2"));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_PROFILE), hr_audit_hash_end(h));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_RECENT),
			hash_list((const char *const[]){ "d", "a" }, 2));
	h = hr_audit_hash_score(0, str("a"), 64);
	h = hr_audit_hash_score(h, str("b"), 32);
	h = hr_audit_hash_score(h, str("c"), 32);
	h = hr_audit_hash_score(h, str("d"), 64);
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_SCORES), hr_audit_hash_end(h));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_STATE),
			hash_text("1 0 5000 2 1 2 books"));
	h = hr_audit_hash_pair(0, str("books"), str("2"));
	h = hr_audit_hash_pair(h, str("toys"), str("2"));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_CATEGORIES), hr_audit_hash_end(h));
	CU_ASSERT_EQUAL(hash_of(m, "v", HR_AUDIT_STATE), hash_text("1 0 7 0 0 0 "));
	CU_ASSERT_EQUAL(hash_of(m, "v", HR_AUDIT_RECENT), HR_AUDIT_ABSENT);
	CU_ASSERT_EQUAL(hash_of(m, "v", HR_AUDIT_SCORES), HR_AUDIT_ABSENT);
	CU_ASSERT_EQUAL(hash_of(m, "v", HR_AUDIT_CATEGORIES), HR_AUDIT_ABSENT);
	for (enum hr_audit_key k = 0; k < HR_AUDIT_KEYS; k++)
		CU_ASSERT_EQUAL(hash_of(m, "nobody", k), HR_AUDIT_ABSENT);
	CU_ASSERT_EQUAL(n_made, 3);
	CU_ASSERT_EQUAL(n_asked, 2);
	CU_ASSERT_TRUE(hr_audit_model_member(m, str("books"), str("a"))->is_made);
	CU_ASSERT_FALSE(hr_audit_model_member(m, str("books"), str("b"))->is_made);
	hr_audit_model_free(m);
}

static void the_list_of_views_keeps_the_newest(void)
{
	static const char *const names[] = { "p", "q", "r", "s", "t", "x", "y" };
	struct hr_audit_model *m = model_new(5, 1000);

	for (uint32_t i = 0; i < HR_COUNT(names); i++) {
		const struct row row = { "u", "view", "", names[i], 1, HR_COUNTED };
		const char *newest[HR_COUNT(names)];
		uint32_t n = 0;

		link_fold(m, i + 1, &row, 1);
		for (uint32_t k = i + 1; k > 0 && n < 5; k--)
			newest[n++] = names[k - 1];
		CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_RECENT), hash_list(newest, n));
	}
	hr_audit_model_free(m);
}

/* With place for two, before the first view in a new run of 256 links: of equal scores the
 * smaller name goes, and who comes back starts from nothing. */
static void scores_are_trimmed_when_a_period_begins(void)
{
	static const struct row first[] = {
		{ "u", "view", "", "x", 1, HR_COUNTED },
		{ "u", "view", "", "y", 1, HR_COUNTED },
		{ "u", "view", "", "y", 1, HR_COUNTED },
		{ "u", "view", "", "w", 1, HR_COUNTED },
	};
	static const struct row second[] = { { "u", "view", "", "w", 1, HR_COUNTED } };
	struct hr_audit_model *m = model_new(100, 2);
	uint64_t h;

	link_fold(m, 255, first, HR_COUNT(first));
	h = hr_audit_hash_score(0, str("x"), 64);
	h = hr_audit_hash_score(h, str("y"), 128);
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_SCORES),
			hr_audit_hash_end(hr_audit_hash_score(h, str("w"), 64)));
	link_fold(m, 256, second, HR_COUNT(second));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_SCORES),
			hr_audit_hash_end(hr_audit_hash_score(h, str("w"), 64)));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_STATE), hash_text("1 1 1 5 0 0 "));
	link_fold(m, 511, second, HR_COUNT(second));
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_SCORES),
			hr_audit_hash_end(hr_audit_hash_score(h, str("w"), 128)));
	link_fold(m, 512, second, HR_COUNT(second));
	h = hr_audit_hash_score(0, str("y"), 128);
	CU_ASSERT_EQUAL(hash_of(m, "u", HR_AUDIT_SCORES),
			hr_audit_hash_end(hr_audit_hash_score(h, str("w"), 192)));
	hr_audit_model_free(m);
}

static void many_users_and_products_find_their_places(void)
{
	struct hr_audit_model *m = model_new(100, 1000);
	char user[16], product[16];

	for (uint32_t i = 0; i < 20000; i++) {
		const struct row row = { user, "view", "c", product, 1, HR_COUNTED };

		snprintf(user, sizeof(user), "u%u", i % 5000);
		snprintf(product, sizeof(product), "p%u", i % 3001);
		link_fold(m, 1, &row, 1);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(user, sizeof(user), "u%u", i);
		CU_ASSERT_EQUAL(hash_of(m, user, HR_AUDIT_STATE),
				hash_text("1 0 1 4 0 4 c"));
	}
	CU_ASSERT_EQUAL(n_asked, 3001);
	hr_audit_model_free(m);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every key is what the page says", every_key_is_what_the_page_says },
		{ "the list of views keeps the newest",
		  the_list_of_views_keeps_the_newest },
		{ "scores are trimmed when a period begins",
		  scores_are_trimmed_when_a_period_begins },
		{ "many users and products find their places",
		  many_users_and_products_find_their_places },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("audit model", NULL, NULL, tests);
}
