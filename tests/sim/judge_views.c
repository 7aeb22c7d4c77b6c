/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/view.h"
#include "tests/sim/judge_impl.h"
#include "tests/sim/world.h"

/* ---- the model: what docs/redis.md says, event by event ---- */

void judge_model_clear(struct judge_model *m)
{
	free(m->users);
	*m = (struct judge_model){ 0 };
}

static void text(struct hr_str s, char *out, size_t max)
{
	(void)snprintf(out, max, "%.*s", (int)s.n, (const char *)s.p);
}

static struct judge_user *user_get(struct judge_model *m, const char *name)
{
	struct judge_user *u;

	for (uint32_t i = 0; i < m->n_users; i++)
		if (strcmp(m->users[i].name, name) == 0)
			return &m->users[i];
	if (m->users == NULL)
		m->users = calloc(JUDGE_USERS_MAX, sizeof(*m->users));
	if (m->users == NULL || m->n_users == JUDGE_USERS_MAX)
		abort();
	u = &m->users[m->n_users++];
	(void)snprintf(u->name, sizeof(u->name), "%s", name);
	u->period = UINT64_MAX;
	return u;
}

static void add(struct judge_count *rows, uint32_t *n, const char *name, int64_t by)
{
	for (uint32_t i = 0; i < *n; i++)
		if (strcmp(rows[i].name, name) == 0) {
			rows[i].value += by;
			return;
		}
	if (*n == JUDGE_LIST_MAX)
		abort();
	(void)snprintf(rows[*n].name, sizeof(rows[*n].name), "%s", name);
	rows[(*n)++].value = by;
}

static bool is_lower(const struct judge_count *a, const struct judge_count *b)
{
	return a->value != b->value ? a->value < b->value
				    : strcmp(a->name, b->name) < 0;
}

static void trim(struct judge_user *u, uint32_t max)
{
	while (u->n_scores > max) {
		uint32_t lowest = 0;

		for (uint32_t i = 1; i < u->n_scores; i++)
			if (is_lower(&u->scores[i], &u->scores[lowest]))
				lowest = i;
		u->scores[lowest] = u->scores[--u->n_scores];
	}
}

static void view_product(struct sim_judge *j, struct judge_user *u, const char *product,
			 uint64_t period)
{
	if (u->period != UINT64_MAX && u->period != period)
		trim(u, j->rules.recommendations);
	u->period = period;
	add(u->scores, &u->n_scores, product, 2);
	for (uint32_t i = 0; i < j->n_similar; i++)
		if (strcmp(j->similar[i].product, product) == 0)
			add(u->scores, &u->n_scores, j->similar[i].to, 1);
	memmove(u->recent[1], u->recent[0], sizeof(u->recent) - sizeof(u->recent[0]));
	(void)snprintf(u->recent[0], sizeof(u->recent[0]), "%s", product);
	if (u->n_recent < j->rules.recent_views)
		u->n_recent++;
}

static void model_add(struct sim_judge *j, struct judge_model *m,
		      const struct hr_link *link)
{
	for (uint32_t i = 0; i < link->out->n_events; i++) {
		const struct hr_out_event *e = &link->out->events[i];
		char user[32], product[32], category[32];
		struct judge_user *u;

		if (e->verdict != HR_COUNTED)
			continue;
		text(e->event.user, user, sizeof(user));
		text(e->event.product, product, sizeof(product));
		text(e->event.category, category, sizeof(category));
		u = user_get(m, user);
		if (e->event.type_no == HR_EVENT_PRODUCT_VIEW)
			u->views++;
		if (e->event.type_no == HR_EVENT_PURCHASE)
			u->purchases++;
		if (e->event.time_ms > u->newest_ms)
			u->newest_ms = e->event.time_ms;
		if (category[0] != '\0')
			add(u->categories, &u->n_categories, category, 1);
		if (product[0] != '\0' && e->event.type_no == HR_EVENT_PRODUCT_VIEW)
			view_product(j, u, product, link->n / j->rules.trim_period);
	}
	m->n = link->n;
}

static struct judge_model *model_at(struct sim_judge *j, struct judge_shard *s,
				    uint64_t n)
{
	if (s->model.n > n)
		judge_model_clear(&s->model);
	while (s->model.n < n)
		model_add(j, &s->model, s->links[s->model.n]);
	return &s->model;
}

/* ---- positions ---- */

/* Returns false where the position is not one of this chain: then it was told. */
static bool position_fits(struct sim_judge *j, uint16_t shard, const char *view,
			  const struct hr_position *p, bool must_be_whole)
{
	const struct judge_shard *s = &j->shards[shard];
	const struct hr_link *link;

	if (must_be_whole && p->n != s->n_links)
		sim_violated(j->sim, "liveness",
			     "shard %u: %s stands at link %llu of %llu", shard, view,
			     (unsigned long long)p->n, (unsigned long long)s->n_links);
	if (p->n == 0)
		return true;
	if (p->n > s->n_links) {
		sim_violated(j->sim, "I3", "shard %u: %s stands beyond the log", shard,
			     view);
		return false;
	}
	link = s->links[p->n - 1];
	if (!hr_id128_equals(&link->hash, &p->hash) ||
	    !hr_id128_equals(&link->out->digest, &p->digest)) {
		sim_violated(j->sim, "I6", "shard %u: %s at link %llu: another digest",
			     shard, view, (unsigned long long)p->n);
		return false;
	}
	return true;
}

/* ---- Redis ---- */

static int64_t number(const struct sim_redis_key *key, const char *field)
{
	const struct hr_str *value = sim_redis_field_find(key, field);

	return value != NULL ? strtoll((const char *)value->p, NULL, 10) : 0;
}

static void differs(struct sim_judge *j, const char *key, uint64_t n, const char *what,
		    int64_t found, int64_t expected)
{
	sim_violated(j->sim, "I3",
		     "Redis at link %llu: %s %s is %lld, and %lld is right",
		     (unsigned long long)n, key, what, (long long)found,
		     (long long)expected);
}

static void check_counts(struct sim_judge *j, const struct sim_redis *redis,
			 const char *name, uint64_t n, const struct judge_count *rows,
			 uint32_t n_rows, double unit)
{
	struct sim_redis_key key = { .n_fields = 0 };

	(void)sim_redis_key_find(redis, name, &key);
	if (key.n_fields != n_rows)
		differs(j, name, n, "size", key.n_fields, n_rows);
	for (uint32_t i = 0; i < n_rows; i++) {
		const struct hr_str *value = sim_redis_field_find(&key, rows[i].name);
		double found =
			value != NULL ? strtod((const char *)value->p, NULL) : -1;

		if (found != (double)rows[i].value * unit)
			differs(j, name, n, rows[i].name, (int64_t)(found * 2),
				rows[i].value);
	}
}

static void check_user(struct sim_judge *j, const struct sim_redis *redis,
		       const struct judge_user *u, uint64_t n)
{
	struct sim_redis_key key = { .n_fields = 0 };
	char name[96];

	(void)snprintf(name, sizeof(name), "user:%s:profile", u->name);
	(void)sim_redis_key_find(redis, name, &key);
	if (number(&key, "total_views") != u->views)
		differs(j, name, n, "total_views", number(&key, "total_views"),
			u->views);
	if (number(&key, "total_purchases") != u->purchases)
		differs(j, name, n, "total_purchases", number(&key, "total_purchases"),
			u->purchases);
	key.n_fields = 0;
	(void)snprintf(name, sizeof(name), "user:%s:recent_views", u->name);
	(void)sim_redis_key_find(redis, name, &key);
	if (key.n_fields != u->n_recent)
		differs(j, name, n, "length", key.n_fields, u->n_recent);
	for (uint32_t i = 0; i < u->n_recent && i < key.n_fields; i++)
		if (strcmp((const char *)key.fields[i].field.p, u->recent[i]) != 0)
			differs(j, name, n, u->recent[i], i, i);
	(void)snprintf(name, sizeof(name), "user:%s:recommendations", u->name);
	check_counts(j, redis, name, n, u->scores, u->n_scores, 0.5);
	(void)snprintf(name, sizeof(name), "headrace:user:%s:categories", u->name);
	check_counts(j, redis, name, n, u->categories, u->n_categories, 1);
}

void sim_judge_redis(struct sim_judge *j, const struct sim_redis *redis,
		     bool must_be_whole)
{
	struct sim_redis_key key;

	for (uint16_t s = 0; s < j->set.n_shards && !j->sim->is_over; s++) {
		struct hr_position p = { 0 };
		const struct judge_model *m;
		char name[32];

		if (!sim_judge_is_whole(j, s))
			continue;
		if (!must_be_whole &&
		    j->shards[s].redis_version == sim_redis_changes(redis))
			continue; /* nothing has happened since the last look */
		(void)snprintf(name, sizeof(name), "headrace:shard:%u", s);
		if (sim_redis_key_find(redis, name, &key) &&
		    hr_position_parse((const char *)key.fields[0].value.p,
				      key.fields[0].value.n, &p) < 0)
			sim_violated(j->sim, "I3", "%s is no position", name);
		if (!position_fits(j, s, "Redis", &p, must_be_whole))
			return;
		m = model_at(j, &j->shards[s], p.n);
		for (uint32_t i = 0; i < m->n_users; i++)
			check_user(j, redis, &m->users[i], p.n);
		j->shards[s].redis_version = sim_redis_changes(redis);
	}
	if (sim_redis_key_find(redis, "headrace:damaged", &key))
		sim_violated(j->sim, "I3", "headrace:damaged exists");
}

/* ---- topics ---- */

static bool names(struct hr_str record, const char *id)
{
	char wanted[64];

	(void)snprintf(wanted, sizeof(wanted), "\"event_id\":\"%s\"", id);
	return memmem(record.p, record.n, wanted, strlen(wanted)) != NULL;
}

/* An end of a partition that says that records are missing (HR_TOPICS_MISSING). */
static bool says_missing(struct hr_str ends)
{
	uint32_t digits = 0;

	for (uint32_t i = 0; i < ends.n && digits < 19; i++)
		digits = ends.p[i] >= '0' && ends.p[i] <= '9' ? digits + 1 : 0;
	return digits == 19;
}

/* The newest committed position of a shard. */
static const struct hr_position *position_read(struct judge_topics *t,
					       const struct sim_kafka *kafka,
					       const char *topic, uint16_t shard)
{
	struct sim_kafka_record r;

	while (sim_kafka_committed(kafka, topic, shard, &t->position_at, &r)) {
		const void *end = memchr(r.value.p, '\n', r.value.n);
		size_t n = end != NULL ? (size_t)((const uint8_t *)end - r.value.p)
				       : r.value.n;

		(void)hr_position_parse((const char *)r.value.p, n, &t->position);
		t->is_missing = says_missing(
			(struct hr_str){ r.value.p + n, r.value.n - (uint32_t)n });
	}
	return &t->position;
}

/* Markers of one transaction reach its partitions one after the other. An aborted position
 * may be one whose commit marker was left out, and that the next transaction's abort ended:
 * a publisher has to find that out first. */
static bool is_settled(const struct sim_judge *j, const struct sim_kafka *kafka,
		       const char *topic, const char *positions, uint16_t shard)
{
	if (!sim_kafka_is_settled(kafka, positions, shard) ||
	    sim_kafka_ends_in_abort(kafka, positions, shard))
		return false;
	for (uint32_t p = shard; p < j->rules.user_events_partitions;
	     p += j->set.n_shards)
		if (!sim_kafka_is_settled(kafka, topic, (int32_t)p))
			return false;
	return true;
}

/* What was taken from readers comes back when a publisher has noticed: at the end. */
static bool is_robbed(const struct sim_judge *j, const struct sim_kafka *kafka,
		      const char *topic, uint16_t shard)
{
	bool robbed = false;

	for (uint32_t p = shard; p < j->rules.user_events_partitions;
	     p += j->set.n_shards)
		robbed |= sim_kafka_is_robbed(kafka, topic, (int32_t)p);
	return robbed;
}

/* The next record of the event's partition is this event's. */
static bool check_event(struct sim_judge *j, const struct sim_kafka *kafka,
			const char *topic, struct judge_topics *t,
			const struct hr_out_event *e)
{
	const uint32_t p = (hr_murmur2(e->event.user.p, e->event.user.n) & 0x7fffffff) %
			   j->rules.user_events_partitions;
	struct sim_kafka_record r;
	bool has = sim_kafka_committed(kafka, topic, (int32_t)p, &t->at[p], &r);
	char id[40];

	text(e->event.id, id, sizeof(id));
	if (has && names(r.value, id)) {
		t->n_seen[p]++;
		return true;
	}
	sim_violated(j->sim, "I3",
		     "topic %s, partition %u: record %u is %.60s, not event %s of link "
		     "%llu (position %llu)",
		     topic, p, t->n_seen[p], has ? (const char *)r.value.p : "missing",
		     id, (unsigned long long)t->n_links + 1,
		     (unsigned long long)t->position.n);
	return false;
}

static void check_events(struct sim_judge *j, const struct sim_kafka *kafka,
			 const char *topic, uint16_t shard)
{
	struct judge_topics *t = &j->shards[shard].topics;
	struct sim_kafka_record r;

	for (; t->n_links < t->position.n; t->n_links++) {
		const struct hr_out *out = j->shards[shard].links[t->n_links]->out;

		for (uint32_t i = 0; i < out->n_events; i++)
			if (out->events[i].verdict == HR_COUNTED &&
			    !check_event(j, kafka, topic, t, &out->events[i]))
				return;
	}
	for (uint32_t p = shard; p < j->rules.user_events_partitions;
	     p += j->set.n_shards) {
		int64_t at = t->at[p];

		if (sim_kafka_committed(kafka, topic, (int32_t)p, &at, &r))
			sim_violated(j->sim, "I3",
				     "topic %s, partition %u: a record beyond the "
				     "position (link %llu): %.*s",
				     topic, p, (unsigned long long)t->position.n,
				     (int)(r.value.n < 80 ? r.value.n : 80),
				     (const char *)r.value.p);
	}
}

void sim_judge_topics(struct sim_judge *j, const struct sim_kafka *kafka,
		      const char *events_topic, const char *positions_topic,
		      bool must_be_whole)
{
	for (uint16_t s = 0; s < j->set.n_shards && !j->sim->is_over; s++) {
		struct judge_topics *t = &j->shards[s].topics;
		const uint64_t before = t->position.n;
		const struct hr_position *p;

		if (!sim_judge_is_whole(j, s) ||
		    (!must_be_whole &&
		     (!is_settled(j, kafka, events_topic, positions_topic, s) ||
		      is_robbed(j, kafka, events_topic, s))))
			continue;
		p = position_read(t, kafka, positions_topic, s);
		if (p->n < before)
			sim_violated(j->sim, "I3",
				     "shard %u: the topics' position goes from link "
				     "%llu back to %llu",
				     s, (unsigned long long)before,
				     (unsigned long long)p->n);
		else if (position_fits(j, s, "topics", p, must_be_whole))
			check_events(j, kafka, events_topic, s);
	}
}

const char *sim_judge_what_lags(const struct sim_judge *j,
				const struct sim_redis *redis,
				const struct sim_kafka *kafka, const char *events_topic,
				const char *positions_topic)
{
	for (uint16_t s = 0; s < j->set.n_shards; s++) {
		struct hr_position in_redis = { 0 };
		struct sim_redis_key key;
		char name[32];

		if (j->shards[s].is_lossy)
			continue;
		if (!sim_judge_is_whole(j, s))
			return "the log has not got back what it lost";
		(void)snprintf(name, sizeof(name), "headrace:shard:%u", s);
		if (redis != NULL && sim_redis_key_find(redis, name, &key))
			(void)hr_position_parse((const char *)key.fields[0].value.p,
						key.fields[0].value.n, &in_redis);
		if (redis != NULL && in_redis.n != j->shards[s].n_links)
			return "Redis is behind the log";
		if (!is_settled(j, kafka, events_topic, positions_topic, s) ||
		    position_read(&j->shards[s].topics, kafka, positions_topic, s)->n !=
			    j->shards[s].n_links ||
		    j->shards[s].topics.is_missing)
			return "the topics are behind the log";
	}
	return NULL;
}
