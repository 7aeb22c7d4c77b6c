/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/model.h"

/* ---- names ---- */

static uint32_t slot_of(const struct hr_model_names *names, struct hr_str text)
{
	uint64_t h = text.n;
	uint32_t at;

	for (uint32_t i = 0; i < text.n; i++)
		h = hr_mix(h ^ text.p[i]);
	at = (uint32_t)h & (names->n_slots - 1);
	while (names->slots[at] != 0 &&
	       !hr_str_equals(names->texts[names->slots[at] - 1], text))
		at = (at + 1) & (names->n_slots - 1);
	return at;
}

/* A larger array with zeroes behind what was in it. */
static bool widen(void *array, size_t size, uint32_t n, uint32_t more)
{
	void **at = array;
	uint8_t *fresh = realloc(*at, more * size);

	if (fresh == NULL)
		return false;
	memset(fresh + n * size, 0, (more - n) * size);
	*at = fresh;
	return true;
}

/* Room for more names, and for what is counted by name. */
static bool grow(struct hr_model *model)
{
	struct hr_model_names *names = &model->names;
	const uint32_t more = names->max == 0 ? 1024 : names->max * 2;
	uint32_t *slots = calloc(more * 2, sizeof(*slots));

	if (slots == NULL ||
	    !widen(&names->texts, sizeof(*names->texts), names->max, more) ||
	    !widen(&model->scores, sizeof(*model->scores), names->max, more) ||
	    !widen(&model->scored, sizeof(*model->scored), names->max, more)) {
		free(slots);
		return false;
	}
	free(names->slots);
	names->slots = slots;
	names->n_slots = more * 2;
	names->max = more;
	for (uint32_t i = 0; i < names->n; i++)
		names->slots[slot_of(names, names->texts[i])] = i + 1;
	return true;
}

/* Its number; new texts are copied. HR_PLANNED_NONE without memory. */
static uint32_t name(struct hr_model *model, struct hr_str text)
{
	struct hr_model_names *names = &model->names;
	uint32_t at;
	uint8_t *copy;

	if (names->n == names->max && !grow(model))
		return HR_PLANNED_NONE;
	at = slot_of(names, text);
	if (names->slots[at] != 0)
		return names->slots[at] - 1;
	copy = malloc(text.n + 1u);
	if (copy == NULL)
		return HR_PLANNED_NONE;
	memcpy(copy, text.p, text.n);
	names->texts[names->n] = (struct hr_str){ copy, text.n };
	names->slots[at] = ++names->n;
	return names->n - 1;
}

uint32_t hr_model_find(const struct hr_model *model, struct hr_str text)
{
	return model->names.slots[slot_of(&model->names, text)] - 1;
}

static void names_fini(struct hr_model_names *names)
{
	for (uint32_t i = 0; i < names->n; i++)
		free((void *)(uintptr_t)names->texts[i].p);
	free(names->texts);
	free(names->slots);
}

static bool name_products(struct hr_model *model)
{
	char text[HR_PRODUCT_NAME];

	for (uint32_t p = 0; p < model->known->n_products; p++) {
		const struct hr_str s = { (const uint8_t *)text,
					  hr_product_name(p, text) };

		if (name(model, s) != p)
			return false;
	}
	return true;
}

/* ---- made and unmade ---- */

int hr_model_init(struct hr_model *model, const struct hr_known *known,
		  uint32_t recent_max, uint32_t members_max, struct hr_err *err)
{
	const uint32_t n = known->n_products;

	*model = (struct hr_model){
		.known = known,
		.recent_max = recent_max,
		.members_max = members_max,
		.similar_first = calloc(n, sizeof(uint32_t)),
		.similar_n = calloc(n, sizeof(uint32_t)),
		.in_category = calloc((size_t)known->n_plans * n / 8 + 1, 1),
		.recent = calloc(recent_max, sizeof(uint32_t)),
		.counts = calloc(known->n_categories, sizeof(uint64_t)),
		.counted = calloc(known->n_categories, sizeof(uint32_t)),
	};
	if (model->similar_first == NULL || model->similar_n == NULL ||
	    model->in_category == NULL || model->recent == NULL ||
	    model->counts == NULL || model->counted == NULL || !name_products(model))
		return hr_fail(err, -ENOMEM, "no memory for the model of %u products",
			       n);
	return 0;
}

void hr_model_fini(struct hr_model *model)
{
	names_fini(&model->names);
	free(model->similar_first);
	free(model->similar_n);
	free(model->members);
	free(model->in_category);
	free(model->recent);
	free(model->scores);
	free(model->scored);
	free(model->counts);
	free(model->counted);
	memset(model, 0, sizeof(*model));
}

int hr_model_similar(struct hr_model *model, uint32_t product,
		     const struct hr_str *members, uint32_t n, struct hr_err *err)
{
	if (model->n_members + n > model->max_members) {
		const uint32_t more = (model->n_members + n) * 2 + 1024;
		uint32_t *fresh = realloc(model->members, more * sizeof(*fresh));

		if (fresh == NULL)
			return hr_fail(err, -ENOMEM, "no memory for similar products");
		model->members = fresh;
		model->max_members = more;
	}
	model->similar_first[product] = model->n_members;
	model->similar_n[product] = n;
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t number = name(model, members[i]);

		if (number == HR_PLANNED_NONE)
			return hr_fail(err, -ENOMEM, "no memory for similar products");
		model->members[model->n_members++] = number;
	}
	return 0;
}

/* ---- a user ---- */

static void forget(struct hr_model *model)
{
	for (uint32_t i = 0; i < model->n_scored; i++)
		model->scores[model->scored[i]] = 0;
	for (uint32_t i = 0; i < model->n_counted; i++)
		model->counts[model->counted[i]] = 0;
	model->views = 0;
	model->purchases = 0;
	model->last_active_ms = INT64_MIN;
	model->n_recent = 0;
	model->n_scored = 0;
	model->n_counted = 0;
}

static void score(struct hr_model *model, uint32_t number, uint64_t halves)
{
	if (model->scores[number] == 0)
		model->scored[model->n_scored++] = number;
	model->scores[number] += halves;
}

static int by_bytes(struct hr_str a, struct hr_str b)
{
	const uint32_t n = a.n < b.n ? a.n : b.n;
	const int r = memcmp(a.p, b.p, n);

	return r != 0 ? r : (a.n > b.n) - (a.n < b.n);
}

/* The order of a Redis sorted set. */
static int by_rank(const void *a, const void *b, void *arg)
{
	const struct hr_model *model = arg;
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const uint64_t sx = model->scores[x], sy = model->scores[y];

	if (sx != sy)
		return sx < sy ? -1 : 1;
	return by_bytes(model->names.texts[x], model->names.texts[y]);
}

static void trim(struct hr_model *model)
{
	const uint32_t n = model->n_scored;

	if (n <= model->members_max)
		return;
	qsort_r(model->scored, n, sizeof(*model->scored), by_rank, model);
	for (uint32_t i = 0; i < n - model->members_max; i++)
		model->scores[model->scored[i]] = 0;
	memmove(model->scored, model->scored + (n - model->members_max),
		model->members_max * sizeof(*model->scored));
	model->n_scored = model->members_max;
}

static void view(struct hr_model *model, uint32_t product)
{
	const uint32_t first = model->similar_first[product];

	model->views++;
	model->recent[model->n_recent++ % model->recent_max] = product;
	score(model, product, 2);
	for (uint32_t i = 0; i < model->similar_n[product]; i++)
		score(model, model->members[first + i], 1);
}

static void count_category(struct hr_model *model, const struct hr_planned *planned,
			   uint32_t plan)
{
	const size_t bit = (size_t)plan * model->known->n_products + planned->product;

	if (planned->category == HR_PLANNED_NONE)
		return;
	if (model->counts[planned->category]++ == 0)
		model->counted[model->n_counted++] = planned->category;
	model->in_category[bit / 8] |= (uint8_t)(1u << (bit & 7));
}

/* The most frequent; of equally frequent ones the smaller text. */
static uint32_t favourite(const struct hr_model *model)
{
	uint32_t best = HR_PLANNED_NONE;
	char best_text[HR_CATEGORY_NAME], text[HR_CATEGORY_NAME];
	uint32_t best_bytes = 0;

	for (uint32_t i = 0; i < model->n_counted; i++) {
		const uint32_t c = model->counted[i];
		const uint32_t n = hr_category_name(c, text);
		const struct hr_str this = { (const uint8_t *)text, n };
		const struct hr_str that = { (const uint8_t *)best_text, best_bytes };

		if (best != HR_PLANNED_NONE &&
		    (model->counts[c] < model->counts[best] ||
		     (model->counts[c] == model->counts[best] &&
		      by_bytes(this, that) >= 0)))
			continue;
		best = c;
		memcpy(best_text, text, n);
		best_bytes = n;
	}
	return best;
}

void hr_model_fold(struct hr_model *model, uint32_t user)
{
	const struct hr_known *known = model->known;
	uint64_t period = UINT64_MAX;
	struct hr_planned planned;

	forget(model);
	for (uint32_t e = known->users[user].first; e != HR_KNOWN_NONE;
	     e = known->events[e].next) {
		const uint64_t now = known->events[e].link / HR_MODEL_PERIOD_LINKS;

		hr_known_make(known, e, &planned);
		if (planned.time_ms > model->last_active_ms)
			model->last_active_ms = planned.time_ms;
		model->purchases += planned.type == HR_PLANNED_PURCHASE;
		count_category(model, &planned, hr_known_plan(known, e));
		if (planned.type != HR_PLANNED_VIEW)
			continue;
		if (period != UINT64_MAX && now != period)
			trim(model);
		period = now;
		view(model, planned.product);
	}
	model->favourite = favourite(model);
}

uint32_t hr_model_recent(const struct hr_model *model)
{
	return model->n_recent < model->recent_max ? (uint32_t)model->n_recent
						   : model->recent_max;
}

uint32_t hr_model_recent_at(const struct hr_model *model, uint32_t i)
{
	return model->recent[(model->n_recent - 1 - i) % model->recent_max];
}

bool hr_model_has(const struct hr_model *model, uint32_t product, uint32_t category)
{
	const struct hr_known *known = model->known;

	for (uint32_t p = 0; p < known->n_plans; p++) {
		const size_t bit = (size_t)p * known->n_products + product;

		if ((model->in_category[bit / 8] & 1u << (bit & 7)) != 0 &&
		    hr_category_of(product, known->planners[p].plan.n_categories) ==
			    category)
			return true;
	}
	return false;
}
