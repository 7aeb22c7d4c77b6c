/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_MODEL_H
#define HR_MODEL_H

/*
 * model - what Redis must say of a user, from the user's events in the order of the
 * log and the shop's similar products: CONTRACT's keys, computed the plain way, one
 * event after the other, with no code of the views.
 *
 *   user's events ─▶ counts, favourite, newest time
 *                 ─▶ product views: newest first, at most recent_max
 *                 ─▶ scores in halves: +2 for the product, +1 for each similar one;
 *                    cut to members_max before a user's first view in a new trim
 *                    period (link number div 256): the lowest scores go, among equal
 *                    ones the member that comes first byte by byte
 *
 * One user at a time is in memory. One thread.
 */

#include "tools/gen/known.h"

#define HR_MODEL_PERIOD_LINKS 256

/* Texts by number: 0 to n_products - 1 are the plans' products, then whatever else the
 * shop knows. */
struct hr_model_names {
	struct hr_str *texts;
	uint32_t n, max;
	uint32_t *slots; /* open addressing: number + 1, 0 is free */
	uint32_t n_slots;
};

struct hr_model {
	const struct hr_known *known;
	uint32_t recent_max, members_max;
	struct hr_model_names names;
	/* By product number: first index into members, and how many. */
	uint32_t *similar_first, *similar_n;
	uint32_t *members;
	uint32_t n_members, max_members;
	/* A bit for each plan and product: seen with its category. */
	uint8_t *in_category;

	/* The user folded last. */
	uint64_t views, purchases;
	int64_t last_active_ms;
	uint32_t favourite; /* category number; HR_PLANNED_NONE: none */
	uint32_t *recent;   /* ring of recent_max product numbers */
	uint64_t n_recent;  /* ever */
	uint64_t *scores;   /* by name number, in halves; 0: no member */
	uint32_t *scored;   /* the numbers that have one */
	uint32_t n_scored;
	uint64_t *counts;  /* by category */
	uint32_t *counted; /* the categories that have one */
	uint32_t n_counted;
};

/* Returns 0 or -ENOMEM; fini is safe after a failure. */
int hr_model_init(struct hr_model *model, const struct hr_known *known,
		  uint32_t recent_max, uint32_t members_max, struct hr_err *err);
void hr_model_fini(struct hr_model *model);

/* What the shop says of a product; before the first fold, each product once. */
int hr_model_similar(struct hr_model *model, uint32_t product,
		     const struct hr_str *members, uint32_t n, struct hr_err *err);

/* The user's answer into the model's fields; forgets the one before. */
void hr_model_fold(struct hr_model *model, uint32_t user);

/* The i-th of recent_views, 0 the newest; i below hr_model_recent(). */
uint32_t hr_model_recent(const struct hr_model *model);
uint32_t hr_model_recent_at(const struct hr_model *model, uint32_t i);

/* Number of a text, HR_PLANNED_NONE if nobody named it. */
uint32_t hr_model_find(const struct hr_model *model, struct hr_str text);

/* After all users were folded: was the product seen in this category? */
bool hr_model_has(const struct hr_model *model, uint32_t product, uint32_t category);

#endif
