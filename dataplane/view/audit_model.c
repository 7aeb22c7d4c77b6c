/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "dataplane/fold/fold.h"
#include "dataplane/view/audit_model.h"

#define TRIM_LINKS 256 /* docs/redis.md: a trim period */
#define SCORE_ONE 64
#define SCORE_HALF 32
#define FIRST_SLOTS 1024

/* Names by number, in pieces that never move. */
struct name {
	uint32_t n;
	uint8_t text[];
};

struct similar {
	bool is_asked;
	uint32_t *members; /* numbers + 1 */
	uint32_t n, max;
};

struct hr_audit_model {
	struct hr_audit_model_conf conf;
	struct name **names;
	struct similar *similar; /* by number of the product */
	uint32_t n_names, max_names;
	uint32_t *name_slots, n_name_slots; /* number + 1 */
	struct hr_audit_user **users;       /* in the order of their coming */
	uint64_t n_users, max_users;
	uint64_t *user_slots, n_user_slots; /* index + 1 */
	struct hr_audit_member *members;    /* open addressing */
	uint64_t n_members, max_members;
	uint32_t asking; /* number + 1 of the product whose set is being told */
};

static uint64_t hash_of(struct hr_str s)
{
	return XXH3_64bits(s.p, s.n);
}

/* ---- hashes of values -------------------------------------------------------------- */

uint64_t hr_audit_hash_pair(uint64_t sum, struct hr_str field, struct hr_str value)
{
	return sum + XXH3_64bits_withSeed(field.p, field.n, hash_of(value));
}

uint64_t hr_audit_hash_score(uint64_t sum, struct hr_str member, int64_t score64)
{
	return sum + XXH3_64bits_withSeed(member.p, member.n, (uint64_t)score64);
}

uint64_t hr_audit_hash_next(uint64_t sum, struct hr_str element)
{
	return XXH3_64bits_withSeed(element.p, element.n, sum + 1);
}

uint64_t hr_audit_hash_end(uint64_t sum)
{
	return sum > HR_AUDIT_WRONGTYPE ? sum : sum + 2;
}

static uint64_t hash_number(uint64_t sum, struct hr_str field, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, v);

	return hr_audit_hash_pair(
		sum, field, (struct hr_str){ (const uint8_t *)text, (uint32_t)n });
}

/* ---- tallies ------------------------------------------------------------------------ */

static uint32_t slot_of(const struct hr_audit_tally *t, uint32_t id)
{
	uint32_t i = (id * 2654435761u) & (t->max - 1);

	while (t->ids[i] != 0 && t->ids[i] != id)
		i = (i + 1) & (t->max - 1);
	return i;
}

static int tally_grow(struct hr_audit_tally *t)
{
	struct hr_audit_tally fresh = { .max = t->max == 0 ? 8 : 2 * t->max };

	fresh.ids = calloc(fresh.max, sizeof(*fresh.ids));
	fresh.values = calloc(fresh.max, sizeof(*fresh.values));
	if (fresh.ids == NULL || fresh.values == NULL) {
		free(fresh.ids);
		free(fresh.values);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->max; i++) {
		uint32_t to;

		if (t->ids[i] == 0)
			continue;
		to = slot_of(&fresh, t->ids[i]);
		fresh.ids[to] = t->ids[i];
		fresh.values[to] = t->values[i];
	}
	fresh.n = t->n;
	free(t->ids);
	free(t->values);
	*t = fresh;
	return 0;
}

/* Returns the new value, or -ENOMEM. */
static int64_t tally_add(struct hr_audit_tally *t, uint32_t id, int64_t more)
{
	uint32_t i;

	if (2 * (t->n + 1) > t->max && tally_grow(t) < 0)
		return -ENOMEM;
	i = slot_of(t, id);
	t->n += t->ids[i] == 0;
	t->ids[i] = id;
	t->values[i] += more;
	return t->values[i];
}

static int64_t tally_get(const struct hr_audit_tally *t, uint32_t id)
{
	return t->max == 0 ? 0 : t->values[slot_of(t, id)];
}

static void tally_fini(struct hr_audit_tally *t)
{
	free(t->ids);
	free(t->values);
	*t = (struct hr_audit_tally){ 0 };
}

/* ---- names --------------------------------------------------------------------------- */

struct hr_str hr_audit_model_name(const struct hr_audit_model *m, uint32_t id)
{
	const struct name *x = m->names[id - 1];

	return (struct hr_str){ x->text, x->n };
}

static uint32_t *name_slot(const struct hr_audit_model *m, struct hr_str s)
{
	uint64_t i = hash_of(s);

	for (;; i++) {
		uint32_t *slot = &m->name_slots[i & (m->n_name_slots - 1)];

		if (*slot == 0 || hr_str_equals(hr_audit_model_name(m, *slot), s))
			return slot;
	}
}

static int names_grow(struct hr_audit_model *m)
{
	uint32_t max = m->max_names == 0 ? FIRST_SLOTS : 2 * m->max_names;
	struct name **names = realloc(m->names, max * sizeof(struct name *));
	struct similar *similar;
	uint32_t *slots;

	if (names == NULL)
		return -ENOMEM;
	m->names = names;
	similar = realloc(m->similar, max * sizeof(*similar));
	if (similar == NULL)
		return -ENOMEM;
	m->similar = similar;
	slots = calloc(2 * (size_t)max, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	free(m->name_slots);
	m->name_slots = slots;
	m->n_name_slots = 2 * max;
	m->max_names = max;
	for (uint32_t id = 1; id <= m->n_names; id++)
		*name_slot(m, hr_audit_model_name(m, id)) = id;
	return 0;
}

/* Its number + 1; 0: no memory. */
static uint32_t name_get(struct hr_audit_model *m, struct hr_str s)
{
	struct name *fresh;
	uint32_t *slot;

	if (m->n_names == m->max_names && names_grow(m) < 0)
		return 0;
	slot = name_slot(m, s);
	if (*slot != 0)
		return *slot;
	fresh = malloc(sizeof(*fresh) + s.n);
	if (fresh == NULL)
		return 0;
	fresh->n = s.n;
	if (s.n > 0)
		memcpy(fresh->text, s.p, s.n);
	m->names[m->n_names] = fresh;
	m->similar[m->n_names] = (struct similar){ 0 };
	*slot = ++m->n_names;
	return *slot;
}

/* ---- users ---------------------------------------------------------------------------- */

static uint64_t *user_slot(const struct hr_audit_model *m, struct hr_str s)
{
	uint64_t i = hash_of(s);

	for (;; i++) {
		uint64_t *slot = &m->user_slots[i & (m->n_user_slots - 1)];
		const struct hr_audit_user *u;

		if (*slot == 0)
			return slot;
		u = m->users[*slot - 1];
		if (hr_str_equals((struct hr_str){ u->name, u->n }, s))
			return slot;
	}
}

static int users_grow(struct hr_audit_model *m)
{
	uint64_t max = m->max_users == 0 ? FIRST_SLOTS : 2 * m->max_users;
	struct hr_audit_user **users =
		realloc(m->users, max * sizeof(struct hr_audit_user *));
	uint64_t *slots;

	if (users == NULL)
		return -ENOMEM;
	m->users = users;
	slots = calloc(2 * max, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	free(m->user_slots);
	m->user_slots = slots;
	m->n_user_slots = 2 * max;
	m->max_users = max;
	for (uint64_t i = 0; i < m->n_users; i++)
		*user_slot(m, (struct hr_str){ users[i]->name, users[i]->n }) = i + 1;
	return 0;
}

struct hr_audit_user *hr_audit_model_user(struct hr_audit_model *m, struct hr_str name)
{
	struct hr_audit_user *u;
	uint64_t *slot;

	if (m->n_users == m->max_users && users_grow(m) < 0)
		return NULL;
	slot = user_slot(m, name);
	if (*slot != 0)
		return m->users[*slot - 1];
	u = calloc(1, sizeof(*u) + name.n);
	if (u == NULL)
		return NULL;
	u->newest_ms = -1;
	u->n = name.n;
	memcpy(u->name, name.p, name.n);
	m->users[m->n_users++] = u;
	*slot = m->n_users;
	return u;
}

struct hr_audit_user *hr_audit_model_user_at(const struct hr_audit_model *m, uint64_t i)
{
	return i < m->n_users ? m->users[i] : NULL;
}

/* ---- products of categories ------------------------------------------------------------ */

static struct hr_audit_member *member_slot(const struct hr_audit_model *m,
					   uint32_t category, uint32_t product)
{
	uint64_t i = ((uint64_t)category << 32 | product) * 0x9e3779b97f4a7c15u >> 20;

	for (;; i++) {
		struct hr_audit_member *x = &m->members[i & (m->max_members - 1)];

		if (x->category == 0 ||
		    (x->category == category && x->product == product))
			return x;
	}
}

static int members_grow(struct hr_audit_model *m)
{
	struct hr_audit_member *old = m->members;
	const uint64_t max = m->max_members;

	m->max_members = max == 0 ? FIRST_SLOTS : 2 * max;
	m->members = calloc(m->max_members, sizeof(*m->members));
	if (m->members == NULL) {
		m->members = old;
		m->max_members = max;
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < max; i++)
		if (old[i].category != 0)
			*member_slot(m, old[i].category, old[i].product) = old[i];
	free(old);
	return 0;
}

struct hr_audit_member *hr_audit_model_member(struct hr_audit_model *m,
					      struct hr_str category,
					      struct hr_str product)
{
	const uint32_t c = name_get(m, category), p = name_get(m, product);
	struct hr_audit_member *x;

	if (c == 0 || p == 0 ||
	    (2 * (m->n_members + 1) > m->max_members && members_grow(m) < 0))
		return NULL;
	x = member_slot(m, c, p);
	m->n_members += x->category == 0;
	x->category = c;
	x->product = p;
	return x;
}

struct hr_audit_member *hr_audit_model_member_at(const struct hr_audit_model *m,
						 uint64_t i)
{
	return i < m->max_members ? &m->members[i] : NULL;
}

/* ---- events ---------------------------------------------------------------------------- */

int hr_audit_model_similar(struct hr_audit_model *m, struct hr_str member)
{
	const uint32_t id = name_get(m, member); /* may move m->similar */
	struct similar *s = &m->similar[m->asking - 1];

	if (id == 0)
		return -ENOMEM;
	if (s->n == s->max) {
		uint32_t max = s->max == 0 ? 8 : 2 * s->max;
		uint32_t *fresh = realloc(s->members, max * sizeof(*fresh));

		if (fresh == NULL)
			return -ENOMEM;
		s->members = fresh;
		s->max = max;
	}
	s->members[s->n++] = id;
	return 0;
}

static int ask_similar(struct hr_audit_model *m, uint32_t product)
{
	int r;

	if (m->similar[product - 1].is_asked)
		return 0;
	m->similar[product - 1].is_asked = true;
	m->asking = product;
	r = m->conf.ask_similar(m->conf.ctx, hr_audit_model_name(m, product));
	m->asking = 0;
	return r;
}

struct scored {
	int64_t score;
	struct hr_str name;
	uint32_t id;
};

/* Highest first; of equal ones the greater name. */
static int by_rank(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;
	int r;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	r = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
	if (r == 0)
		r = (x->name.n > y->name.n) - (x->name.n < y->name.n);
	return -r;
}

static int trim(struct hr_audit_model *m, struct hr_audit_user *u)
{
	struct scored *all = malloc(u->scores.n * sizeof(*all));
	struct hr_audit_tally kept = { 0 };
	uint32_t n = 0;

	if (all == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < u->scores.max; i++)
		if (u->scores.ids[i] != 0)
			all[n++] = (struct scored){ u->scores.values[i],
						    hr_audit_model_name(
							    m, u->scores.ids[i]),
						    u->scores.ids[i] };
	qsort(all, n, sizeof(*all), by_rank);
	for (uint32_t i = 0; i < m->conf.members_max; i++)
		if (tally_add(&kept, all[i].id, all[i].score) < 0) {
			tally_fini(&kept);
			free(all);
			return -ENOMEM;
		}
	free(all);
	tally_fini(&u->scores);
	u->scores = kept;
	return 0;
}

static int push_recent(struct hr_audit_model *m, struct hr_audit_user *u, uint32_t id)
{
	if (u->n_recent == u->max_recent && u->max_recent < m->conf.recent_max) {
		uint32_t max = u->max_recent == 0 ? 4 : 2 * u->max_recent;
		uint32_t *fresh;

		if (max > m->conf.recent_max)
			max = m->conf.recent_max;
		fresh = realloc(u->recent, max * sizeof(*fresh));
		if (fresh == NULL)
			return -ENOMEM;
		u->recent = fresh;
		u->max_recent = max; /* nothing has been pushed out yet */
	}
	u->recent[u->next_recent++ % u->max_recent] = id;
	u->n_recent += u->n_recent < u->max_recent;
	return 0;
}

static int count_view(struct hr_audit_model *m, struct hr_audit_user *u,
		      struct hr_str product, uint64_t period)
{
	const uint32_t id = name_get(m, product);
	int r = id == 0 ? -ENOMEM : ask_similar(m, id);

	if (r == 0 && m->conf.recent_max > 0)
		r = push_recent(m, u, id);
	if (r == 0 && period != u->period && u->scores.n > m->conf.members_max)
		r = trim(m, u);
	u->period = period;
	if (r == 0 && tally_add(&u->scores, id, SCORE_ONE) < 0)
		r = -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < m->similar[id - 1].n; i++)
		if (tally_add(&u->scores, m->similar[id - 1].members[i], SCORE_HALF) <
		    0)
			r = -ENOMEM;
	return r;
}

static bool is_smaller(struct hr_str a, struct hr_str b)
{
	int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return r < 0 || (r == 0 && a.n < b.n);
}

static int count_category(struct hr_audit_model *m, struct hr_audit_user *u,
			  const struct hr_event *ev, uint16_t shard, uint64_t n)
{
	const uint32_t id = name_get(m, ev->category);
	struct hr_audit_member *member;
	int64_t count, best;

	if (id == 0 || (count = tally_add(&u->categories, id, 1)) < 0)
		return -ENOMEM;
	best = u->favourite == 0 ? 0 : tally_get(&u->categories, u->favourite);
	if (count > best ||
	    (count == best &&
	     is_smaller(ev->category, hr_audit_model_name(m, u->favourite))))
		u->favourite = id;
	if (ev->product.n == 0)
		return 0;
	member = hr_audit_model_member(m, ev->category, ev->product);
	if (member == NULL)
		return -ENOMEM;
	m->conf.made(m->conf.ctx, member, shard, n);
	return 0;
}

static int count_event(struct hr_audit_model *m, const struct hr_event *ev,
		       uint16_t shard, uint64_t n)
{
	struct hr_audit_user *u = hr_audit_model_user(m, ev->user);
	int r = 0;

	if (u == NULL)
		return -ENOMEM;
	u->shard = shard;
	if (u->first_n == 0)
		u->first_n = n;
	if (ev->time_ms > u->newest_ms)
		u->newest_ms = ev->time_ms;
	if (ev->category.n > 0)
		r = count_category(m, u, ev, shard, n);
	u->views += ev->type_no == HR_EVENT_PRODUCT_VIEW;
	u->purchases += ev->type_no == HR_EVENT_PURCHASE;
	if (r == 0 && ev->type_no == HR_EVENT_PRODUCT_VIEW && ev->product.n > 0)
		r = count_view(m, u, ev->product, n / TRIM_LINKS);
	return r;
}

int hr_audit_model_link(struct hr_audit_model *m, const struct hr_link *link)
{
	const struct hr_out *out = link->out;
	int r = 0;

	for (uint32_t i = 0; i < out->n_events && r == 0; i++)
		if (out->events[i].verdict == HR_COUNTED)
			r = count_event(m, &out->events[i].event, link->shard, link->n);
	return r;
}

/* ---- what it makes of a key --------------------------------------------------------------- */

static uint64_t hash_profile(const struct hr_audit_model *m,
			     const struct hr_audit_user *u)
{
	char time[HR_TIME_ISO_BYTES];
	uint64_t h = hash_number(0, HR_STR("total_views"), u->views);

	h = hash_number(h, HR_STR("total_purchases"), u->purchases);
	hr_time_iso(u->newest_ms, time);
	h = hr_audit_hash_pair(h, HR_STR("last_active"),
			       (struct hr_str){ (uint8_t *)time, sizeof(time) });
	return u->favourite == 0
		       ? h
		       : hr_audit_hash_pair(h, HR_STR("favorite_category"),
					    hr_audit_model_name(m, u->favourite));
}

static uint64_t hash_recent(const struct hr_audit_model *m,
			    const struct hr_audit_user *u)
{
	uint64_t h = 0;

	for (uint32_t i = 1; i <= u->n_recent; i++)
		h = hr_audit_hash_next(
			h, hr_audit_model_name(
				   m, u->recent[(u->next_recent - i) % u->max_recent]));
	return h;
}

static uint64_t hash_tally(const struct hr_audit_model *m,
			   const struct hr_audit_tally *t, bool is_score)
{
	uint64_t h = 0;

	for (uint32_t i = 0; i < t->max; i++) {
		if (t->ids[i] == 0)
			continue;
		h = is_score ? hr_audit_hash_score(h, hr_audit_model_name(m, t->ids[i]),
						   t->values[i])
			     : hash_number(h, hr_audit_model_name(m, t->ids[i]),
					   t->values[i]);
	}
	return h;
}

static int state_print(const struct hr_audit_model *m, const struct hr_audit_user *u,
		       char *out, size_t max)
{
	const struct hr_str best = u->favourite == 0
					   ? (struct hr_str){ NULL, 0 }
					   : hr_audit_model_name(m, u->favourite);

	return snprintf(out, max,
			"1 %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
			" %.*s",
			u->period, u->newest_ms, u->views, u->purchases,
			u->favourite == 0 ? 0 : tally_get(&u->categories, u->favourite),
			(int)best.n, best.n > 0 ? (const char *)best.p : "");
}

uint64_t hr_audit_model_hash(const struct hr_audit_model *m,
			     const struct hr_audit_user *u, enum hr_audit_key key)
{
	char state[256];

	if (u->first_n == 0)
		return HR_AUDIT_ABSENT;
	switch (key) {
	case HR_AUDIT_PROFILE:
		return hr_audit_hash_end(hash_profile(m, u));
	case HR_AUDIT_RECENT:
		return u->n_recent == 0 ? HR_AUDIT_ABSENT
					: hr_audit_hash_end(hash_recent(m, u));
	case HR_AUDIT_SCORES:
		return u->scores.n == 0
			       ? HR_AUDIT_ABSENT
			       : hr_audit_hash_end(hash_tally(m, &u->scores, true));
	case HR_AUDIT_STATE:
		return hr_audit_hash_end(hr_audit_hash_next(
			0, (struct hr_str){ (uint8_t *)state,
					    (uint32_t)state_print(m, u, state,
								  sizeof(state)) }));
	case HR_AUDIT_CATEGORIES:
		return u->categories.n == 0 ? HR_AUDIT_ABSENT
					    : hr_audit_hash_end(hash_tally(
						      m, &u->categories, false));
	case HR_AUDIT_KEYS:
		break;
	}
	return HR_AUDIT_ABSENT;
}

static void print_profile(const struct hr_audit_model *m, const struct hr_audit_user *u,
			  char *out, size_t max)
{
	const struct hr_str best = u->favourite == 0
					   ? HR_STR("none")
					   : hr_audit_model_name(m, u->favourite);
	char time[HR_TIME_ISO_BYTES];

	hr_time_iso(u->newest_ms, time);
	(void)snprintf(out, max,
		       "total_views %" PRId64 ", total_purchases %" PRId64
		       ", last_active %.*s, favorite_category %.*s",
		       u->views, u->purchases, HR_TIME_ISO_BYTES, time, (int)best.n,
		       (const char *)best.p);
}

void hr_audit_model_print(const struct hr_audit_model *m, const struct hr_audit_user *u,
			  enum hr_audit_key key, char *out, size_t max)
{
	int64_t sum = 0;

	out[0] = '\0';
	switch (key) {
	case HR_AUDIT_PROFILE:
		print_profile(m, u, out, max);
		break;
	case HR_AUDIT_RECENT:
		(void)snprintf(out, max, "%u products", u->n_recent);
		break;
	case HR_AUDIT_SCORES:
		for (uint32_t i = 0; i < u->scores.max; i++)
			sum += u->scores.values[i];
		(void)snprintf(out, max, "%u products, scores of %" PRId64 ".%s in all",
			       u->scores.n, sum / SCORE_ONE,
			       sum % SCORE_ONE == 0 ? "0" : "5");
		break;
	case HR_AUDIT_STATE:
		(void)state_print(m, u, out, max);
		break;
	case HR_AUDIT_CATEGORIES:
		for (uint32_t i = 0; i < u->categories.max; i++)
			sum += u->categories.values[i];
		(void)snprintf(out, max, "%u categories of %" PRId64 " events",
			       u->categories.n, sum);
		break;
	case HR_AUDIT_KEYS:
		break;
	}
}

/* ---- making ------------------------------------------------------------------------------- */

int hr_audit_model_new(struct hr_audit_model **out,
		       const struct hr_audit_model_conf *conf)
{
	struct hr_audit_model *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->conf = *conf;
	*out = m;
	return 0;
}

void hr_audit_model_free(struct hr_audit_model *m)
{
	if (m == NULL)
		return;
	for (uint32_t i = 0; i < m->n_names; i++) {
		free(m->names[i]);
		free(m->similar[i].members);
	}
	for (uint64_t i = 0; i < m->n_users; i++) {
		tally_fini(&m->users[i]->categories);
		tally_fini(&m->users[i]->scores);
		free(m->users[i]->recent);
		free(m->users[i]);
	}
	free(m->names);
	free(m->similar);
	free(m->name_slots);
	free(m->users);
	free(m->user_slots);
	free(m->members);
	free(m);
}
