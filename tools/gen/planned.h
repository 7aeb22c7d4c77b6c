/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PLANNED_H
#define HR_PLANNED_H

/*
 * planned - event i of a plan, made from (plan, i) alone: the sender encodes it,
 * verify makes it again to know what should have become of it.
 *
 * Seven in ten events are product views, one in ten a purchase, the others carts,
 * searches, clicks, ratings and a type the appliance does not know. Some carry
 * further pairs: every form of number, truth values, null, texts with quotes,
 * backslashes, control characters and letters beyond ASCII. One in 64 has no time of
 * its own; the others in one of several spellings, a few out of order.
 *
 * A planner is immutable: any thread. An event points into itself and its planner.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "sdk/c/headrace.h"
#include "tools/gen/pick.h"
#include "tools/gen/plan.h"

struct hr_planner {
	struct hr_plan plan;
	struct hr_pick users, products;
	char prefix[HR_PLAN_ID_PREFIX];
	uint32_t prefix_bytes;
};

/* Returns 0, -EINVAL (the plan is impossible) or -ENOMEM. */
int hr_planner_init(struct hr_planner *planner, const struct hr_plan *plan,
		    struct hr_err *err);
void hr_planner_fini(struct hr_planner *planner);

enum hr_planned_type {
	HR_PLANNED_VIEW,
	HR_PLANNED_PURCHASE,
	HR_PLANNED_CART,
	HR_PLANNED_SEARCH,
	HR_PLANNED_CLICK,
	HR_PLANNED_RATING,
	HR_PLANNED_OTHER,
};

#define HR_PLANNED_NONE UINT32_MAX
#define HR_PLANNED_PAIRS 10
#define HR_PLANNED_TEXT 320 /* for what is spelt out: ids, times, numbers */
#define HR_USER_NAME 32
#define HR_PRODUCT_NAME 24
#define HR_CATEGORY_NAME 24

struct hr_planned {
	struct headrace_event event; /* as the SDK takes it */
	uint32_t user;
	uint32_t product;  /* HR_PLANNED_NONE: has none */
	uint32_t category; /* HR_PLANNED_NONE: has none */
	enum hr_planned_type type;
	bool has_time;
	int64_t time_ms; /* event time; where it has none, that of its receipt */

	struct headrace_pair pairs[HR_PLANNED_PAIRS];
	char text[HR_PLANNED_TEXT];
	uint32_t text_bytes;
};

/* i below plan.n_events (or whatever it will be). */
void hr_planned_make(const struct hr_planner *planner, uint64_t i,
		     struct hr_planned *out);

/* Names by number; returns the bytes, without a NUL. A few users have quotes,
 * backslashes or letters beyond ASCII in theirs. */
uint32_t hr_user_name(uint32_t user, char out[HR_USER_NAME]);
uint32_t hr_product_name(uint32_t product, char out[HR_PRODUCT_NAME]);
uint32_t hr_category_name(uint32_t category, char out[HR_CATEGORY_NAME]);
uint32_t hr_category_of(uint32_t product, uint32_t n_categories);

/* The shop's products similar to one: up to k others, each once; returns how many. */
#define HR_SIMILAR_MAX 100
uint32_t hr_similar_to(uint32_t product, uint32_t n_products, uint32_t k,
		       uint32_t out[HR_SIMILAR_MAX]);

/*
 * The number of the plan's event whose id stands in these bytes, whatever codec;
 * the first such id. Returns false where there is none.
 */
bool hr_planned_find_id(const struct hr_planner *planner, struct hr_str bytes,
			uint64_t *i);

/*
 * The events of a payload as the SDK frames them: JSON lines or a protobuf Batch.
 * *cursor starts at 0. Returns 1 and one event's bytes, 0 at the end, -1 where the
 * framing is broken. Knows nothing of what is inside.
 */
int hr_payload_next(uint8_t codec, struct hr_str payload, uint32_t *cursor,
		    struct hr_str *event);

/* These are the very bytes that the SDK makes of this event, in this codec. */
bool hr_planned_is(const struct hr_planned *planned, uint8_t codec,
		   struct hr_str event);

#endif
