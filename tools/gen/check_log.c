/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/wire.h"
#include "tools/gen/batcher.h"
#include "tools/gen/check_log.h"

#define NAME_BYTES 256
#define SHOWN_BYTES 700

static uint64_t hash_of(struct hr_str bytes)
{
	uint64_t h = bytes.n;

	for (uint32_t i = 0; i < bytes.n; i++)
		h = hr_mix(h ^ bytes.p[i]);
	return h;
}

void hr_check_log_fini(struct hr_check_log *check)
{
	free(check->others);
	check->others = NULL;
}

/* Where an event stands, for texts. */
struct position {
	uint16_t shard;
	uint64_t link;
	uint8_t codec;
	const struct hr_item *item;
};

static void add_other(struct hr_check_log *check, struct hr_str event)
{
	if (check->n_others == check->max_others) {
		const uint64_t more = check->max_others * 2 + 1024;
		uint64_t *fresh = realloc(check->others, more * sizeof(*fresh));

		if (fresh == NULL) {
			check->is_out_of_memory = true;
			return;
		}
		check->others = fresh;
		check->max_others = more;
	}
	check->others[check->n_others++] = hash_of(event);
}

static void other(struct hr_check_log *check, const struct position *at,
		  struct hr_str event)
{
	char shown[SHOWN_BYTES];

	add_other(check, event);
	if (!check->takes_others)
		hr_finding(check->findings, HR_AT_LOG, HR_UNEXPECTED,
			   "shard %u, link %" PRIu64 ": an event of no plan: %s",
			   at->shard, at->link,
			   hr_readable(shown, sizeof(shown), event));
}

static void different(struct hr_check_log *check, const struct position *at,
		      const struct hr_planned *planned, struct hr_str event)
{
	uint8_t buffer[HEADRACE_DATAGRAM_MAX];
	struct headrace_encoder encoder;
	char shown[SHOWN_BYTES], should[SHOWN_BYTES];
	struct hr_str made;

	headrace_encoder_init(&encoder,
			      at->codec == HR_CODEC_JSON ? HEADRACE_JSON
							 : HEADRACE_PROTOBUF,
			      buffer, sizeof(buffer));
	headrace_encoder_append(&encoder, &planned->event);
	made.p = buffer + HEADRACE_HEADER_BYTES;
	made.n = encoder.end - HEADRACE_HEADER_BYTES;
	hr_finding(check->findings, HR_AT_LOG, HR_DIFFERENT,
		   "shard %u, link %" PRIu64 ": %.*s: found %s, sent %s", at->shard,
		   at->link, (int)planned->event.id.n, planned->event.id.p,
		   hr_readable(shown, sizeof(shown), event),
		   hr_readable(should, sizeof(should), made));
}

/* The datagram's head is the one the plan's sender wrote. */
static bool head_fits(const struct hr_plan *plan, const struct hr_item *item)
{
	if (plan->headerless)
		return item->kind == HR_ITEM_EVENT;
	return item->kind == HR_ITEM_DATAGRAM && item->key_id == plan->key_id &&
	       (plan->by_sdk != 0 ||
		(item->birth == plan->birth && item->random == plan->random));
}

static void check_place(struct hr_check_log *check, const struct position *at,
			const struct hr_planned *planned, uint32_t ordinal)
{
	const struct headrace_slice user = planned->event.user;
	const struct hr_known *known = check->known;
	const uint32_t shard = headrace_shard(user.p, user.n, check->n_shards);
	const uint32_t plan = hr_known_plan(known, ordinal);

	if (shard != at->shard)
		hr_finding(check->findings, HR_AT_LOG, HR_MISPLACED,
			   "shard %u, link %" PRIu64 ": %.*s belongs to shard %u",
			   at->shard, at->link, (int)planned->event.id.n,
			   planned->event.id.p, shard);
	if (!head_fits(&known->planners[plan].plan, at->item))
		hr_finding(check->findings, HR_AT_LOG, HR_DIFFERENT,
			   "shard %u, link %" PRIu64 ": %.*s: the item (kind %u) has "
			   "another stream or key than the plan",
			   at->shard, at->link, (int)planned->event.id.n,
			   planned->event.id.p, at->item->kind);
}

/* The user's newest event so far, if it is of the same plan, was sent before. */
static void check_order(struct hr_check_log *check, const struct position *at,
			uint32_t user, uint32_t ordinal)
{
	const struct hr_known *known = check->known;
	const uint32_t last = known->users[user].last;
	char name[NAME_BYTES], before[NAME_BYTES];

	if (last == HR_KNOWN_NONE || last < ordinal ||
	    hr_known_plan(known, last) != hr_known_plan(known, ordinal))
		return;
	hr_finding(
		check->findings, HR_AT_LOG, HR_MISPLACED,
		"shard %u, link %" PRIu64 ": %s comes behind %s, but was sent before",
		at->shard, at->link, hr_known_name(known, ordinal, name, sizeof(name)),
		hr_known_name(known, last, before, sizeof(before)));
}

static void check_event(struct hr_check_log *check, const struct position *at,
			struct hr_str event)
{
	struct hr_known *known = check->known;
	const uint32_t ordinal = hr_known_find(known, event);
	struct hr_planned planned;

	if (ordinal == HR_KNOWN_NONE) {
		other(check, at, event);
		return;
	}
	hr_known_make(known, ordinal, &planned);
	if (!hr_planned_is(&planned, at->codec, event))
		different(check, at, &planned, event);
	if (known->events[ordinal].rank != 0) {
		hr_finding(check->findings, HR_AT_LOG, HR_DOUBLED,
			   "shard %u, link %" PRIu64 ": %.*s is in link %" PRIu64
			   " already",
			   at->shard, at->link, (int)planned.event.id.n,
			   planned.event.id.p, known->events[ordinal].link);
		return;
	}
	check_place(check, at, &planned, ordinal);
	check_order(check, at, planned.user, ordinal);
	hr_known_add(known, ordinal, planned.user, at->link,
		     (int64_t)(at->item->received_us / 1000));
}

static void check_item(struct hr_check_log *check, struct position *at)
{
	const struct hr_item *item = at->item;
	uint32_t cursor = 0, n = 0;
	struct hr_str event;
	int r;

	at->codec = item->codec;
	while ((r = hr_payload_next(item->codec, item->payload, &cursor, &event)) > 0) {
		check_event(check, at, event);
		n++;
	}
	if (r < 0 || n != item->n_events)
		hr_finding(check->findings, HR_AT_LOG, HR_DIFFERENT,
			   "shard %u, link %" PRIu64 ": an item says %u events and "
			   "holds %u%s",
			   at->shard, at->link, item->n_events, n,
			   r < 0 ? " before its framing breaks" : "");
}

void hr_check_link(struct hr_check_log *check, uint16_t shard,
		   const struct hr_link_head *link)
{
	struct hr_item item;
	struct position at = { .shard = shard, .link = link->n, .item = &item };
	uint32_t cursor = 0;
	int r = 0;

	if (link->body_kind == HR_BODY_LOSS)
		hr_finding(check->findings, HR_AT_LOG, HR_MISSING,
			   "shard %u, link %" PRIu64 " says that links were lost",
			   shard, link->n);
	if (link->body_kind != HR_BODY_EPOCH)
		return;
	while ((r = hr_item_next(link->body, &cursor, &item)) > 0)
		if (item.kind == HR_ITEM_DATAGRAM || item.kind == HR_ITEM_EVENT)
			check_item(check, &at);
	if (r < 0)
		hr_finding(check->findings, HR_AT_LOG, HR_DIFFERENT,
			   "shard %u, link %" PRIu64 ": its body cannot be read", shard,
			   link->n);
}

/* ---- events of nobody's plan ---- */

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void hr_check_log_sort_others(struct hr_check_log *check)
{
	if (check->n_others > 0)
		qsort(check->others, check->n_others, sizeof(*check->others),
		      by_number);
}

bool hr_check_log_has_other(const struct hr_check_log *check, struct hr_str bytes)
{
	const uint64_t hash = hash_of(bytes);

	return check->n_others > 0 && bsearch(&hash, check->others, check->n_others,
					      sizeof(hash), by_number) != NULL;
}

/* ---- what did not arrive ---- */

/* Events of one datagram (or piece) that are in the log, and that are not. */
struct share {
	uint32_t in, out;
};

static void count_batch(const struct hr_check_log *check, uint32_t plan,
			const struct hr_batch *batch, struct share *shares)
{
	const struct hr_known *known = check->known;

	for (uint32_t k = 0; k < batch->n_events; k++) {
		const uint64_t i = batch->events[k];
		const uint32_t ordinal = (uint32_t)(known->first[plan] + i);
		uint32_t shard = batch->shard;

		if (known->planners[plan].plan.headerless) {
			struct hr_planned planned;

			hr_planned_make(&known->planners[plan], i, &planned);
			shard = headrace_shard(planned.event.user.p,
					       planned.event.user.n, check->n_shards);
		}
		if (known->events[ordinal].rank != 0)
			shares[shard].in++;
		else
			shares[shard].out++;
	}
}

static void judge_batch(const struct hr_check_log *check, uint32_t plan,
			const struct hr_batch *batch, struct hr_lost *lost)
{
	struct share shares[HR_PLAN_SHARDS_MAX] = { { 0, 0 } };
	char name[NAME_BYTES];

	count_batch(check, plan, batch, shares);
	for (uint32_t s = 0; s < HR_PLAN_SHARDS_MAX; s++) {
		if (shares[s].out == 0)
			continue;
		lost->events += shares[s].out;
		lost->datagrams += shares[s].in == 0;
		if (shares[s].in == 0)
			continue;
		hr_known_name(check->known,
			      (uint32_t)(check->known->first[plan] + batch->events[0]),
			      name, sizeof(name));
		hr_finding(check->findings, HR_AT_LOG, HR_MISSING,
			   "%u of the %u events of a datagram (shard %u, sequence "
			   "%" PRIu64 ", from %s on), while the others are there",
			   shares[s].out, shares[s].out + shares[s].in, s,
			   batch->sequence, name);
	}
}

/* What an SDK sent is judged by the event: its datagrams are nobody's plan. Only what
 * it said it gave up may be missing. */
static void judge_sdk(const struct hr_check_log *check, uint32_t plan,
		      struct hr_lost *lost)
{
	const struct hr_known *known = check->known;
	const struct hr_plan *p = &known->planners[plan].plan;
	uint64_t n = 0;

	for (uint64_t i = 0; i < p->n_events; i++)
		n += known->events[known->first[plan] + i].rank == 0;
	lost->events += n;
	if (n > p->unsent_events)
		hr_finding(check->findings, HR_AT_LOG, HR_MISSING,
			   "%" PRIu64 " events of the plan with seed %" PRIu64
			   ", of which the SDK gave up %" PRIu64,
			   n, p->seed, p->unsent_events);
}

int hr_check_lost(struct hr_check_log *check, struct hr_lost *out, struct hr_err *err)
{
	static const uint8_t no_key[HEADRACE_KEY_BYTES];

	*out = (struct hr_lost){ 0, 0 };
	if (check->is_out_of_memory)
		return hr_fail(err, -ENOMEM, "no memory for events of no plan");
	if (check->known->n_logged == check->known->n_events)
		return 0;
	for (uint32_t p = 0; p < check->known->n_plans; p++) {
		struct hr_batcher *batcher;
		struct hr_batch batch;
		int r;

		if (check->known->planners[p].plan.by_sdk != 0) {
			judge_sdk(check, p, out);
			continue;
		}
		r = hr_batcher_new(&batcher, &check->known->planners[p], no_key, err);

		if (r < 0)
			return r;
		while (hr_batcher_next(batcher, 0, &batch))
			judge_batch(check, p, &batch, out);
		hr_batcher_free(batcher);
	}
	return 0;
}
