/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "common/mutant.h"
#include "dataplane/fold/fold.h"
#include "tests/sim/judge.h"
#include "tests/sim/judge_impl.h"
#include "tests/sim/world.h"

#define ALL UINT32_MAX

extern int hr_mutant; /* also declared in mutant.h where it is switchable */

/* ---- the ledger of events ---- */

static uint32_t hash_of(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id != '\0'; id++)
		h = (h ^ (uint8_t)*id) * 16777619u;
	return h;
}

static void events_grow(struct sim_judge *j)
{
	struct judge_event *old = j->events;
	uint32_t n = j->max_events;

	j->max_events = n != 0 ? 4 * n : 1024;
	j->events = calloc(j->max_events, sizeof(*j->events));
	if (j->events == NULL)
		abort();
	j->n_events = 0;
	for (uint32_t i = 0; i < n; i++)
		if (old[i].id[0] != '\0')
			*judge_event_get(j, old[i].id) = old[i];
	free(old);
}

struct judge_event *judge_event_get(struct sim_judge *j, const char *id)
{
	uint32_t at;

	if (2 * (j->n_events + 1) > j->max_events)
		events_grow(j);
	at = hash_of(id) & (j->max_events - 1);
	while (j->events[at].id[0] != '\0' && strcmp(j->events[at].id, id) != 0)
		at = (at + 1) & (j->max_events - 1);
	if (j->events[at].id[0] == '\0') {
		(void)snprintf(j->events[at].id, sizeof(j->events[at].id), "%s", id);
		j->n_events++;
	}
	return &j->events[at];
}

static void text(struct hr_str s, char *out, size_t max)
{
	(void)snprintf(out, max, "%.*s", (int)s.n, (const char *)s.p);
}

static uint64_t order_of(const char *id)
{
	const char *dash = strrchr(id, '-');

	return dash != NULL ? strtoull(dash + 1, NULL, 10) : 0;
}

/* ---- the chain ---- */

static void link_release(struct hr_link *link)
{
	free(link->release_arg);
}

static struct hr_link *link_make(const struct hr_record *record,
				 const struct hr_chain *chain)
{
	const struct hr_link_head *head = &record->link;
	struct hr_link *link = calloc(1, sizeof(*link));
	struct hr_body_sum sum;
	uint8_t *body = malloc(head->body.n + 1u);
	size_t bytes;

	if (link == NULL || body == NULL)
		abort();
	memcpy(body, head->body.p, head->body.n);
	if (hr_body_check(head->body_kind, head->body, &sum, NULL) < 0)
		abort(); /* nothing here writes a body that is none */
	link->shard = record->shard;
	link->body_kind = head->body_kind;
	link->n_events = sum.n_events;
	link->n_items = sum.n_items;
	link->n = head->n;
	link->prev_hash = head->prev_hash;
	link->hash = chain->hash;
	link->clock_us = head->clock_us;
	link->body = (struct hr_str){ body, head->body.n };
	link->release = link_release;
	link->release_arg = body;
	bytes = (hr_out_bytes(link) + 63) & ~(size_t)63;
	link->out = hr_out_init(aligned_alloc(64, bytes), link);
	atomic_init(&link->refs, 1);
	return link;
}

static struct judge_order *order_get(struct judge_shard *s, const char *id)
{
	struct judge_order *o;
	char whose[32];

	(void)snprintf(whose, sizeof(whose), "%.*s", (int)(strrchr(id, '-') - id), id);
	for (uint32_t i = 0; i < s->n_orders; i++)
		if (strcmp(s->orders[i].whose, whose) == 0)
			return &s->orders[i];
	if (s->n_orders == JUDGE_ORDERS_MAX)
		abort();
	o = &s->orders[s->n_orders++];
	memcpy(o->whose, whose, sizeof(o->whose));
	o->last = 0;
	return o;
}

/* An event without acknowledgement: it may have no id, but it has a mark. */
static bool is_guest(const struct hr_out_event *e)
{
	return e->event.user.n > 5 && memcmp(e->event.user.p, "guest", 5) == 0;
}

static void mark_of(const struct hr_out_event *e, char *out, size_t max)
{
	static const char key[] = "\"mark\":\"";
	const char *at = memmem(e->raw.p, e->raw.n, key, sizeof(key) - 1);

	if (at == NULL)
		abort();
	at += sizeof(key) - 1;
	(void)snprintf(out, max, "%.*s", (int)strcspn(at, "\""), at);
}

static void count(struct sim_judge *j, struct judge_shard *s,
		  const struct hr_out_event *e)
{
	char id[sizeof(((struct judge_event *)NULL)->id)];
	struct judge_event *known;
	struct judge_order *order;

	if (is_guest(e))
		mark_of(e, id, sizeof(id));
	else
		text(e->event.id, id, sizeof(id));
	known = judge_event_get(j, id);
	known->shard = s->chain.shard;
	if (known->n_counted++ > 0)
		sim_violated(j->sim, "I2", "event %s is counted twice (link %llu)", id,
			     (unsigned long long)s->n_links);
	if (is_guest(e))
		return; /* nobody acknowledged it: its order is not promised */
	order = order_get(s, id);
	/* One that the log lost and that comes again, by a datagram that was late, has lost
	 * its place. */
	if (known->was_cut && s->is_lossy && order_of(id) <= order->last)
		return;
	if (j->rules.is_ordered && order_of(id) <= order->last)
		sim_violated(j->sim, "I7", "event %s is counted behind number %llu", id,
			     (unsigned long long)order->last);
	order->last = order_of(id);
}

static struct judge_floor *floor_get(struct judge_shard *s, const struct hr_item *item)
{
	struct judge_floor *f;

	for (uint32_t i = s->n_floors; i > 0; i--)
		if (s->floors[i - 1].birth == item->birth &&
		    s->floors[i - 1].random == item->random)
			return &s->floors[i - 1];
	if (s->n_floors == JUDGE_FLOORS_MAX)
		abort();
	f = &s->floors[s->n_floors++];
	*f = (struct judge_floor){ item->birth, item->random, 0 };
	return f;
}

/* Each datagram of a stream is accepted once and behind the one before it: nobody takes
 * one twice, and fold has nothing to make good. */
static void check_floors(struct sim_judge *j, struct judge_shard *s,
			 const struct hr_link *link)
{
	struct hr_item item;
	uint32_t cursor = 0;

	if (link->body_kind != HR_BODY_EPOCH)
		return;
	while (hr_item_next(link->body, &cursor, &item) > 0) {
		const bool is_skip = item.kind == HR_ITEM_SKIP;
		struct judge_floor *f;

		if (!is_skip && (item.kind != HR_ITEM_DATAGRAM ||
				 (item.flags & HR_ITEM_ORDERED) == 0))
			continue;
		f = floor_get(s, &item);
		if (item.sequence <= f->floor ||
		    (!is_skip && item.sequence != f->floor + 1))
			sim_violated(j->sim, "I2",
				     "link %llu of shard %u has %s %llu of a stream "
				     "whose floor is %llu",
				     (unsigned long long)link->n, link->shard,
				     is_skip ? "a skip to" : "datagram",
				     (unsigned long long)item.sequence,
				     (unsigned long long)f->floor);
		f->floor = item.sequence;
	}
}

/* The same as was there before, one in the place of another, or a new one. */
static void known_add(struct judge_shard *s, const struct hr_link *link)
{
	if (link->n <= s->n_known) {
		if (hr_id128_equals(&s->known[link->n - 1], &link->hash))
			return;
		s->is_lossy = true;
		s->n_known = link->n - 1;
	}
	if (s->n_known == s->max_known) {
		s->max_known = s->max_known != 0 ? 2 * s->max_known : 256;
		s->known = realloc(s->known, s->max_known * sizeof(*s->known));
		if (s->known == NULL)
			abort();
	}
	s->known[s->n_known++] = link->hash;
}

bool sim_judge_is_whole(const struct sim_judge *j, uint16_t shard)
{
	const struct judge_shard *s = &j->shards[shard];

	return !s->is_lossy && s->n_links == s->n_known;
}

static void add_link(struct sim_judge *j, struct judge_shard *s,
		     const struct hr_record *record)
{
	struct hr_link *link = link_make(record, &s->chain);

	known_add(s, link);
	check_floors(j, s, link);
	if (hr_fold_begin(s->fold, link) < 0) {
		sim_violated(j->sim, "I2", "link %llu of shard %u cannot be folded",
			     (unsigned long long)link->n, link->shard);
		hr_link_put(link);
		return;
	}
	while (!hr_fold_step(s->fold, ALL))
		;
	if (s->n_links == s->max_links) {
		s->max_links = s->max_links != 0 ? 2 * s->max_links : 256;
		s->links = realloc(s->links, s->max_links * sizeof(struct hr_link *));
		if (s->links == NULL)
			abort();
	}
	s->links[s->n_links++] = link;
	for (uint32_t i = 0; i < link->out->n_events; i++)
		if (link->out->events[i].verdict == HR_COUNTED)
			count(j, s, &link->out->events[i]);
}

/* What landed, and what the accept rule says of it. */
static void tell(const struct sim_judge *j, uint16_t shard,
		 const struct hr_record *record, bool is_accepted)
{
	const bool is_fence = record->type == HR_RECORD_FENCE;
	const struct hr_id128 *owner =
		is_fence ? &record->fence.owner : &record->link.owner;

	sim_trace(j->sim, "log of shard %u: %s %llu (kind %u) of owner %02x%02x is %s",
		  shard, is_fence ? "FENCE" : "link",
		  (unsigned long long)(is_fence ? record->fence.incarnation
						: record->link.n),
		  is_fence ? 0u : record->link.body_kind, owner->b[0], owner->b[1],
		  is_accepted ? "accepted" : "ignored");
}

void sim_judge_record(struct sim_judge *j, uint16_t shard, const uint8_t *bytes,
		      uint32_t n_bytes)
{
	struct judge_shard *s = &j->shards[shard];
	int mutant = hr_mutant;
	struct hr_record record;

	hr_mutant = HR_MUTANTS;
	if (hr_record_decode(&record, bytes, n_bytes, NULL) == 0) {
		enum hr_verdict v = hr_chain_offer(&s->chain, &record);

		tell(j, shard, &record, v == HR_VERDICT_LINK || v == HR_VERDICT_FENCE);
		if (v == HR_VERDICT_LINK)
			add_link(j, s, &record);
	}
	hr_mutant = mutant;
}

static void shard_clear(struct sim_judge *j, struct judge_shard *s)
{
	for (uint64_t i = 0; i < s->n_links; i++) {
		const struct hr_out *out = s->links[i]->out;

		for (uint32_t e = 0; e < out->n_events; e++) {
			char id[sizeof(((struct judge_event *)NULL)->id)];

			if (out->events[e].verdict != HR_COUNTED)
				continue;
			if (is_guest(&out->events[e]))
				mark_of(&out->events[e], id, sizeof(id));
			else
				text(out->events[e].event.id, id, sizeof(id));
			judge_event_get(j, id)->n_counted--;
			judge_event_get(j, id)->was_cut = true;
		}
		hr_link_put(s->links[i]);
	}
	s->n_links = s->n_orders = s->n_floors = 0;
	hr_fold_free(s->fold);
	s->fold = NULL;
}

static void shard_begin(struct sim_judge *j, uint16_t shard)
{
	struct judge_shard *s = &j->shards[shard];

	hr_chain_init(&s->chain, &j->set, shard);
	if (hr_fold_new(&s->fold, &j->set, shard, j->max_streams) < 0)
		abort();
}

void sim_judge_cut(struct sim_judge *j, uint16_t shard,
		   const struct sim_record *records, size_t n)
{
	const uint64_t n_before = j->shards[shard].n_links;

	shard_clear(j, &j->shards[shard]);
	judge_model_clear(&j->shards[shard].model);
	shard_begin(j, shard);
	for (size_t i = 0; i < n; i++)
		sim_judge_record(j, shard, records[i].bytes, records[i].n_bytes);
	if (j->shards[shard].n_links < n_before)
		sim_happened(j->sim, SIM_CUTS);
	sim_trace(j->sim, "the log of shard %u is cut: it ends with link %llu of %llu",
		  shard, (unsigned long long)j->shards[shard].n_links,
		  (unsigned long long)n_before);
}

/* ---- what SDKs were told ---- */

void sim_judge_told_committed(struct sim_judge *j, const char *id)
{
	struct judge_event *e = judge_event_get(j, id);

	e->is_committed = true;
	if (e->n_counted == 0 && !e->was_cut)
		sim_violated(j->sim, "I1",
			     "event %s was told to be committed and is not in the log",
			     id);
}

void sim_judge_told_lost(struct sim_judge *j, const char *id)
{
	judge_event_get(j, id)->is_lost = true;
}

bool sim_judge_is_counted(const struct sim_judge *j, const char *id)
{
	return judge_event_get((struct sim_judge *)(uintptr_t)j, id)->n_counted > 0;
}

void sim_judge_end(struct sim_judge *j)
{
	for (uint32_t i = 0; i < j->max_events; i++) {
		const struct judge_event *e = &j->events[i];

		if (e->is_committed && e->n_counted == 0 && !e->is_lost &&
		    !(e->was_cut && j->shards[e->shard].is_lossy))
			sim_violated(j->sim, "I1",
				     "event %s was committed, is gone, and its sender "
				     "was not told",
				     e->id);
	}
}

uint64_t sim_judge_n(const struct sim_judge *j, uint16_t shard)
{
	return j->shards[shard].n_links;
}

uint64_t sim_judge_n_events(const struct sim_judge *j)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < j->max_events; i++)
		n += j->events[i].n_counted > 0;
	return n;
}

/* ---- making ---- */

void sim_judge_similar(struct sim_judge *j, const char *product, const char *to)
{
	struct judge_similar *s;

	if (j->n_similar == JUDGE_SIMILAR_MAX)
		abort();
	s = &j->similar[j->n_similar++];
	(void)snprintf(s->product, sizeof(s->product), "%s", product);
	(void)snprintf(s->to, sizeof(s->to), "%s", to);
}

struct sim_judge *sim_judge_new(struct sim *sim, const struct hr_data_set *set,
				const struct sim_rules *rules, uint32_t max_streams)
{
	struct sim_judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		abort();
	j->sim = sim;
	j->set = *set;
	j->rules = *rules;
	j->max_streams = max_streams;
	j->shards = calloc(set->n_shards, sizeof(*j->shards));
	if (j->shards == NULL)
		abort();
	for (uint16_t s = 0; s < set->n_shards; s++)
		shard_begin(j, s);
	return j;
}

void sim_judge_free(struct sim_judge *j)
{
	for (uint32_t s = 0; s < j->set.n_shards; s++) {
		shard_clear(j, &j->shards[s]);
		judge_model_clear(&j->shards[s].model);
		free(j->shards[s].links);
		free(j->shards[s].known);
	}
	free(j->shards);
	free(j->events);
	free(j);
}
