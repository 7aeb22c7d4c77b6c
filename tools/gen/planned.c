/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/wire.h"
#include "tools/gen/planned.h"

/* What the i-th use of a plan's randomness is for. */
enum {
	FOR_USER,
	FOR_PRODUCT,
	FOR_SHAPE,
	FOR_TIME,
	FOR_EXTRA,
	PURPOSES = 8, /* a power of two */
};

static const char *const types[] = {
	[HR_PLANNED_VIEW] = "product_view",  [HR_PLANNED_PURCHASE] = "purchase",
	[HR_PLANNED_CART] = "add_to_cart",   [HR_PLANNED_SEARCH] = "search",
	[HR_PLANNED_CLICK] = "click",        [HR_PLANNED_RATING] = "rating",
	[HR_PLANNED_OTHER] = "wishlist_add",
};

/* Of a hundred events, cumulated, in the order of the types. */
static const uint8_t type_below[] = { 70, 80, 86, 91, 96, 99, 100 };

static const char *const phrases[] = {
	"running shoes",
	"caf\u00e9 \"noir\"",
	"back\\slash / and\ttab",
	"two\nlines",
	"\u65e5\u672c\u8a9e",
	"\U0001F6D2 full",
	"",
	"<b>&amp;</b> \x7f\x01",
};

static const char *const decimals[] = { "19.99", "-0.5", "1e3", "0",
					"1.50",  "7",    "-12", "6.02E+23" };

#define PICK_OF(array, bits) ((array)[(bits) % (sizeof(array) / sizeof((array)[0]))])

int hr_planner_init(struct hr_planner *planner, const struct hr_plan *plan,
		    struct hr_err *err)
{
	int r = hr_plan_check(plan, err);

	memset(planner, 0, sizeof(*planner));
	planner->plan = *plan;
	planner->prefix_bytes = hr_plan_id_prefix(plan, planner->prefix);
	if (r == 0)
		r = hr_pick_init(&planner->users, plan->n_users, plan->zipf_milli, err);
	if (r == 0)
		r = hr_pick_init(&planner->products, plan->n_products, plan->zipf_milli,
				 err);
	if (r < 0)
		hr_planner_fini(planner);
	return r;
}

void hr_planner_fini(struct hr_planner *planner)
{
	hr_pick_fini(&planner->users);
	hr_pick_fini(&planner->products);
}

/* ---- spelling ---- */

static char *put(char *to, const char *text, size_t n)
{
	memcpy(to, text, n);
	return to + n;
}
#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

static char *put_number(char *to, uint64_t v)
{
	char digits[20];
	uint32_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

static char *put_padded(char *to, uint32_t v, uint32_t digits)
{
	for (uint32_t at = digits; at > 0; v /= 10)
		to[--at] = (char)('0' + v % 10);
	return to + digits;
}

uint32_t hr_user_name(uint32_t user, char out[HR_USER_NAME])
{
	char *to = out;

	switch (user % 50) {
	case 37:
		to = PUT(to, "us\u00e9r_");
		break;
	case 43:
		to = PUT(to, "us\"er\\_");
		break;
	default:
		to = PUT(to, "user_");
	}
	return (uint32_t)(put_number(to, user) - out);
}

uint32_t hr_product_name(uint32_t product, char out[HR_PRODUCT_NAME])
{
	return (uint32_t)(put_number(PUT(out, "product_"), product) - out);
}

uint32_t hr_category_name(uint32_t category, char out[HR_CATEGORY_NAME])
{
	return (uint32_t)(put_number(PUT(out, "category_"), category) - out);
}

uint32_t hr_category_of(uint32_t product, uint32_t n_categories)
{
	return hr_below((uint32_t)hr_mix(product ^ 0xca7e607a00000000u), n_categories);
}

static bool is_among(const uint32_t *numbers, uint32_t n, uint32_t number)
{
	for (uint32_t i = 0; i < n; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

uint32_t hr_similar_to(uint32_t product, uint32_t n_products, uint32_t k,
		       uint32_t out[HR_SIMILAR_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k; i++) {
		const uint32_t other = hr_below(
			(uint32_t)hr_mix((uint64_t)product << 8 | i), n_products);

		if (other != product && !is_among(out, n, other))
			out[n++] = other;
	}
	return n;
}

/* The next free bytes of the event's own text, and taking what was written. */
static char *room(struct hr_planned *out)
{
	return out->text + out->text_bytes;
}

static struct headrace_slice take(struct hr_planned *out, const char *end)
{
	struct headrace_slice s = { room(out), (size_t)(end - room(out)) };

	out->text_bytes += (uint32_t)s.n;
	return s;
}

/* ---- time ---- */

static char *put_date_time(char *to, int64_t ms, char between)
{
	const time_t seconds = (time_t)(ms / 1000);
	struct tm t;

	gmtime_r(&seconds, &t);
	to = put_padded(to, (uint32_t)t.tm_year + 1900, 4);
	*to++ = '-';
	to = put_padded(to, (uint32_t)t.tm_mon + 1, 2);
	*to++ = '-';
	to = put_padded(to, (uint32_t)t.tm_mday, 2);
	*to++ = between;
	to = put_padded(to, (uint32_t)t.tm_hour, 2);
	*to++ = ':';
	to = put_padded(to, (uint32_t)t.tm_min, 2);
	*to++ = ':';
	return put_padded(to, (uint32_t)t.tm_sec, 2);
}

static char *put_fraction(char *to, int64_t ms)
{
	*to++ = '.';
	return put_padded(to, (uint32_t)(ms % 1000), 3);
}

/* One of four spellings of the same moment. */
static void spell_time(struct hr_planned *out, uint64_t bits)
{
	char *to = room(out);

	switch (bits % 4) {
	case 0:
		to = put_fraction(put_date_time(to, out->time_ms, 'T'), out->time_ms);
		*to++ = 'Z';
		break;
	case 1:
		to = put_fraction(put_date_time(to, out->time_ms, 'T'), out->time_ms);
		break;
	case 2: /* two hours east, and digits that are cut */
		to = put_date_time(to, out->time_ms + 7200000, ' ');
		to = PUT(PUT(put_fraction(to, out->time_ms), "999"), "+02:00");
		break;
	default:
		out->time_ms -= out->time_ms % 1000;
		to = put_date_time(to, out->time_ms, 'T');
		*to++ = 'Z';
	}
	out->event.time_form = HEADRACE_TIME_TEXT;
	out->event.time_text = take(out, to);
}

static void make_time(const struct hr_plan *plan, uint64_t i, uint64_t bits,
		      struct hr_planned *out)
{
	const uint32_t form = bits & 63, late = bits >> 6 & 15;

	out->has_time = form != 0 || plan->by_sdk != 0;
	out->time_ms = 0;
	out->event.time_form = HEADRACE_TIME_NONE;
	if (!out->has_time)
		return;
	out->time_ms = (int64_t)(plan->start_ms + i * plan->step_ns / 1000000);
	if (late == 0)
		out->time_ms -= hr_below((uint32_t)(bits >> 32), 3000);
	if (form < 16) {
		spell_time(out, bits >> 10);
		return;
	}
	out->event.time_form = HEADRACE_TIME_MILLIS;
	out->event.time_ms = out->time_ms;
}

/* ---- pairs ---- */

static void add(struct hr_planned *out, struct headrace_pair pair)
{
	out->pairs[out->event.n_pairs++] = pair;
}

static void add_spelt(struct hr_planned *out, const char *key, enum headrace_form form,
		      const char *end)
{
	struct headrace_pair pair = { .key = headrace_str(key),
				      .text = take(out, end),
				      .form = form };

	add(out, pair);
}

static void add_product(struct hr_planned *out)
{
	add_spelt(out, "product_id", HEADRACE_TEXT,
		  room(out) + hr_product_name(out->product, room(out)));
}

static void add_category(struct hr_planned *out)
{
	if (out->category != HR_PLANNED_NONE)
		add_spelt(out, "category", HEADRACE_TEXT,
			  room(out) + hr_category_name(out->category, room(out)));
}

static void add_price(struct hr_planned *out, uint32_t cents)
{
	char *to = put_number(room(out), cents / 100);

	*to++ = '.';
	add_spelt(out, "price", HEADRACE_NUMBER, put_padded(to, cents % 100, 2));
}

/* What an event of this type is about. */
static void add_pairs(struct hr_planned *out, uint64_t bits)
{
	const uint32_t small = bits >> 8 & 0xff;

	switch (out->type) {
	case HR_PLANNED_VIEW:
		add_product(out);
		add_category(out);
		break;
	case HR_PLANNED_PURCHASE:
		add_product(out);
		add_category(out);
		add_price(out, hr_below((uint32_t)(bits >> 32), 100000));
		add(out, headrace_integer("quantity", 1 + small % 5));
		break;
	case HR_PLANNED_CART:
		add_category(out);
		add(out, headrace_number("quantity", "1"));
		add_product(out);
		break;
	case HR_PLANNED_SEARCH:
		add(out, headrace_text("query", PICK_OF(phrases, small)));
		add(out, headrace_integer("results", small));
		break;
	case HR_PLANNED_CLICK:
		if (out->product != HR_PLANNED_NONE)
			add_product(out);
		add(out, headrace_text("element", "buy-button"));
		break;
	case HR_PLANNED_RATING:
		add_product(out);
		add_category(out);
		add(out, headrace_integer("stars", 1 + small % 5));
		add(out, headrace_text("comment", PICK_OF(phrases, small)));
		break;
	default: /* of a type the appliance does not know; some have no pairs at all */
		if (out->product != HR_PLANNED_NONE)
			add_product(out);
	}
}

/* One event in eight has more to say. */
static void add_extra(struct hr_planned *out, uint64_t bits)
{
	const uint32_t which = bits >> 3 & 7;

	if ((bits & 7) != 0 || out->event.n_pairs == 0)
		return;
	add(out, headrace_text("ref \"\u00fc\\", PICK_OF(phrases, bits >> 6)));
	if (which & 1)
		add(out, headrace_number("weight", PICK_OF(decimals, bits >> 9)));
	if (which & 2)
		add(out, headrace_bool("mobile", (bits >> 12 & 1) != 0));
	if (which & 4) {
		struct headrace_pair null = { .key = headrace_str("coupon"),
					      .form = HEADRACE_NULL };

		add(out, null);
		add(out, headrace_integer("delta", (int64_t)bits));
	}
}

/* ---- the event ---- */

static enum hr_planned_type type_of(uint32_t bits)
{
	const uint32_t percent = hr_below(bits, 100);
	uint32_t type = 0;

	while (percent >= type_below[type])
		type++;
	return (enum hr_planned_type)type;
}

/* What it is about, if anything: searches never, clicks and the unknown type every
 * second time. One product in 32 is named without its category. */
static void choose(const struct hr_planner *planner, uint64_t bits, uint64_t shape,
		   struct hr_planned *out)
{
	const bool may_lack =
		out->type == HR_PLANNED_CLICK || out->type == HR_PLANNED_OTHER;

	out->product = HR_PLANNED_NONE;
	out->category = HR_PLANNED_NONE;
	if (out->type == HR_PLANNED_SEARCH || (may_lack && (shape & 1) != 0))
		return;
	out->product = hr_pick_one(&planner->products, bits);
	if (!may_lack && (shape >> 1 & 31) != 0)
		out->category =
			hr_category_of(out->product, planner->plan.n_categories);
}

void hr_planned_make(const struct hr_planner *planner, uint64_t i,
		     struct hr_planned *out)
{
	const uint64_t base = hr_mix(planner->plan.seed) + i * PURPOSES;
	const uint64_t shape = hr_mix(base + FOR_SHAPE);
	struct headrace_event *ev = &out->event;
	char *to;

	out->text_bytes = 0;
	out->user = hr_pick_one(&planner->users, hr_mix(base + FOR_USER));
	out->type = type_of((uint32_t)(shape >> 32));
	choose(planner, hr_mix(base + FOR_PRODUCT), shape, out);

	ev->user = take(out, room(out) + hr_user_name(out->user, room(out)));
	ev->type = headrace_str(types[out->type]);
	to = put(room(out), planner->prefix, planner->prefix_bytes);
	ev->id = take(out, put_number(to, i));
	make_time(&planner->plan, i, hr_mix(base + FOR_TIME), out);
	ev->pairs = out->pairs;
	ev->n_pairs = 0;
	add_pairs(out, hr_mix(base + FOR_EXTRA));
	add_extra(out, hr_mix(base + FOR_EXTRA + 1));
}

/* ---- and back ---- */

static bool read_index(const uint8_t *p, const uint8_t *end, uint64_t *i)
{
	uint64_t v = 0;
	const uint8_t *from = p;

	for (; p < end && *p >= '0' && *p <= '9' && p - from < 11; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	*i = v;
	return p > from && (*from != '0' || p == from + 1);
}

/* Where the id that starts at `id` ends at the latest: JSON puts a quote in front,
 * protobuf the length, which is never that of a quote (34). */
static const uint8_t *id_end(const uint8_t *id, const uint8_t *end)
{
	return id[-1] == '"' || end - id < id[-1] ? end : id + id[-1];
}

bool hr_planned_find_id(const struct hr_planner *planner, struct hr_str bytes,
			uint64_t *i)
{
	const uint8_t *at = bytes.p, *end = at + bytes.n;
	const uint8_t *id;

	while (at < end && (id = memmem(at + 1, (size_t)(end - at) - 1, planner->prefix,
					planner->prefix_bytes)) != NULL) {
		if (read_index(id + planner->prefix_bytes, id_end(id, end), i) &&
		    *i < planner->plan.n_events)
			return true;
		at = id;
	}
	return false;
}

static int next_line(struct hr_str payload, uint32_t *cursor, struct hr_str *event)
{
	const uint8_t *from = payload.p + *cursor;
	const uint8_t *to = memchr(from, '\n', payload.n - *cursor);

	if (to == NULL)
		to = payload.p + payload.n;
	*event = (struct hr_str){ from, (uint32_t)(to - from) };
	*cursor += event->n + (to < payload.p + payload.n);
	return event->n > 0 ? 1 : -1;
}

/* One field "events = 1" of a Batch: 0x0a, length, bytes. */
static int next_message(struct hr_str payload, uint32_t *cursor, struct hr_str *event)
{
	uint32_t at = *cursor, bytes = 0;

	if (payload.p[at++] != 0x0a)
		return -1;
	for (uint32_t shift = 0;; shift += 7) {
		if (at == payload.n || shift > 14)
			return -1;
		bytes |= (uint32_t)(payload.p[at] & 0x7f) << shift;
		if (payload.p[at++] < 0x80)
			break;
	}
	if (bytes > payload.n - at)
		return -1;
	*event = (struct hr_str){ payload.p + at, bytes };
	*cursor = at + bytes;
	return 1;
}

int hr_payload_next(uint8_t codec, struct hr_str payload, uint32_t *cursor,
		    struct hr_str *event)
{
	if (*cursor >= payload.n)
		return 0;
	return codec == HR_CODEC_JSON ? next_line(payload, cursor, event)
				      : next_message(payload, cursor, event);
}

bool hr_planned_is(const struct hr_planned *planned, uint8_t codec, struct hr_str event)
{
	uint8_t buffer[HEADRACE_DATAGRAM_MAX];
	struct headrace_encoder encoder;
	struct hr_str payload, made;
	uint32_t cursor = 0;

	if (headrace_encoder_init(&encoder,
				  codec == HR_CODEC_JSON ? HEADRACE_JSON
							 : HEADRACE_PROTOBUF,
				  buffer, sizeof(buffer)) != HEADRACE_OK ||
	    headrace_encoder_append(&encoder, &planned->event) != HEADRACE_OK)
		return false;
	payload.p = buffer + HEADRACE_HEADER_BYTES;
	payload.n = encoder.end - HEADRACE_HEADER_BYTES;
	return hr_payload_next(codec, payload, &cursor, &made) == 1 &&
	       hr_str_equals(made, event);
}
