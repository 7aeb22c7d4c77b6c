/* SPDX-License-Identifier: BSD-3-Clause */

/* The cold half of fold: memory, the link's way in, and reading. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mutant.h"
#include "dataplane/fold/fold_impl.h"
#include "dataplane/fold/poison.h"
#include "dataplane/poison/notes.h"

#define CACHE_LINE 64u
#define LOSS_BYTES 24u

static size_t whole_lines(size_t bytes)
{
	return (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

int hr_fold_new(struct hr_fold **out, const struct hr_data_set *set, uint16_t shard,
		uint32_t max_streams)
{
	struct hr_fold *fold = aligned_alloc(CACHE_LINE, whole_lines(sizeof(*fold)));

	assert(shard < set->n_shards);
	if (fold == NULL)
		return -ENOMEM;
	memset(fold, 0, sizeof(*fold));
	fold->set = *set;
	fold->shard = shard;
	fold->shard_fraction = UINT64_MAX / set->n_shards + 1;
	hr_chain_root(set, shard, &fold->hash);
	/* Nobody outside knows the key, so nobody can fill one chain of a table. */
	fold->user_seed = hr_load64(set->hash_key);
	if (hr_windows_init(&fold->windows, max_streams, hr_load64(set->hash_key + 8)) <
	    0) {
		free(fold);
		return -ENOMEM;
	}
	hr_dedup_init(&fold->dedup);
	*out = fold;
	return 0;
}

void hr_fold_free(struct hr_fold *fold)
{
	if (fold == NULL)
		return;
	hr_windows_fini(&fold->windows);
	hr_dedup_fini(&fold->dedup);
	free(fold);
}

/* ---- outputs ---- */

/* Where the parts of a link's outputs lie, from the start of their memory. */
struct layout {
	size_t events, users, slots, arena, end;
	uint32_t max_events, n_slots;
};

/* An event that has bytes has one at least, and its item 80; those that an item
 * claims beyond its bytes get no entry. So a count that lies costs no memory. */
static uint32_t entries_max(const struct hr_link *link)
{
	const uint32_t most = link->body.n / 2;

	if (link->body_kind != HR_BODY_EPOCH)
		return 0;
	return link->n_events < most ? link->n_events : most;
}

static uint32_t slots_for(uint32_t max_events)
{
	uint32_t n = 2;

	while (n / 2 < max_events)
		n *= 2;
	return n;
}

static int id_prefix(char out[HR_MADE_PREFIX_MAX + 1], const struct hr_link *link)
{
	return snprintf(out, HR_MADE_PREFIX_MAX + 1, "hr-%u-%llu-", link->shard,
			(unsigned long long)link->n);
}

/* Decoded texts are never longer than the bytes they came in; and every event may
 * lack an id. */
static size_t arena_bytes(const struct hr_link *link, uint32_t max_events)
{
	char text[HR_MADE_PREFIX_MAX + 1];
	size_t id_bytes = (size_t)id_prefix(text, link);
	uint32_t index = link->n_events;

	do
		id_bytes++;
	while ((index /= 10) != 0);
	return link->body.n + max_events * id_bytes;
}

static struct layout layout_of(const struct hr_link *link)
{
	struct layout at = { .max_events = entries_max(link) };

	at.n_slots = slots_for(at.max_events);
	at.events = whole_lines(sizeof(struct hr_out));
	at.users = at.events + whole_lines(at.max_events * sizeof(struct hr_out_event));
	at.slots = at.users + whole_lines(at.max_events * sizeof(struct hr_out_user));
	at.arena = at.slots + whole_lines(at.n_slots * sizeof(uint32_t));
	at.end = at.arena + (at.max_events == 0 ? 0 : arena_bytes(link, at.max_events));
	return at;
}

size_t hr_out_bytes(const struct hr_link *link)
{
	return layout_of(link).end;
}

struct hr_out *hr_out_init(void *memory, const struct hr_link *link)
{
	const struct layout at = layout_of(link);
	uint8_t *base = memory;
	struct hr_out *out = memory;

	memset(out, 0, sizeof(*out));
	out->max_events = at.max_events;
	out->n_slots = at.n_slots;
	out->events = (struct hr_out_event *)(base + at.events);
	out->users = (struct hr_out_user *)(base + at.users);
	out->slots = (uint32_t *)(base + at.slots);
	out->arena = (struct hr_arena){ base + at.arena, base + at.end };
	memset(out->slots, 0xff, at.n_slots * sizeof(uint32_t));
	return out;
}

int hr_out_new(struct hr_link *link, struct hr_err *err)
{
	size_t bytes = whole_lines(hr_out_bytes(link));
	void *memory = aligned_alloc(CACHE_LINE, bytes);

	if (memory == NULL)
		return hr_fail(err, -ENOMEM,
			       "no memory for the outputs of link %llu (%zu bytes)",
			       (unsigned long long)link->n, bytes);
	link->out = hr_out_init(memory, link);
	assert((void *)link->out == memory); /* hr_link_put() frees it */
	link->held_bytes += bytes;
	return 0;
}

/* ---- a link comes in ---- */

static bool is_next(const struct hr_fold *fold, const struct hr_link *link)
{
	return fold->phase == HR_FOLD_IDLE && link->out != NULL &&
	       link->shard == fold->shard && link->n == fold->n + 1 &&
	       hr_id128_equals(&link->prev_hash, &fold->hash) &&
	       (link->n != 1 || link->body_kind == HR_BODY_CONFIG);
}

static uint64_t sum_or_most(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

/* A stream and what its sender may keep of it are over so long after its birth. */
static uint64_t lifetime_us(const struct hr_chain_config *config,
			    enum hr_stream_class class)
{
	const uint64_t ttl =
		config->setting[class == HR_STREAM_DISK ? HR_CHAIN_TTL_DISK_US
							: HR_CHAIN_TTL_MEMORY_US];

	return sum_or_most(config->setting[HR_CHAIN_STREAM_MAX_AGE_US], ttl);
}

static uint64_t floor_age_us(const struct hr_chain_config *config,
			     enum hr_stream_class class)
{
	if (HR_MUTANT(floors_dropped_early))
		return 1000000;
	return sum_or_most(lifetime_us(config, class), HR_BIRTH_AHEAD_MAX_US);
}

static uint64_t dedup_max(const struct hr_chain_config *config)
{
	return config->setting[HR_CHAIN_DEDUP_WINDOW_US] == 0
		       ? 0
		       : config->setting[HR_CHAIN_DEDUP_MAX];
}

void hr_fold_obey(struct hr_fold *fold)
{
	const struct hr_chain_config *config = &fold->config;
	const uint64_t of_key = config->setting[HR_CHAIN_KEY_STREAMS];

	fold->rules = (struct hr_window_rules){
		.age_us = { [HR_STREAM_OFF] =
				    config->setting[HR_CHAIN_STREAM_MAX_AGE_US],
			    [HR_STREAM_MEMORY] = floor_age_us(config, HR_STREAM_MEMORY),
			    [HR_STREAM_DISK] = floor_age_us(config, HR_STREAM_DISK) },
		.max_streams = HR_MUTANT(local_capacity)
				       ? fold->windows.max_streams
				       : config->setting[HR_CHAIN_MAX_STREAMS],
		.max_per_key = of_key == 0 ? UINT64_MAX : of_key,
	};
	fold->dedup_rules = (struct hr_dedup_rules){
		.clock_us = fold->clock_us,
		.window_us = config->setting[HR_CHAIN_DEDUP_WINDOW_US],
		.max = dedup_max(config),
	};
}

/* Whose floors may be gone by the rules so far stays expired when they are eased. */
static void horizon_raise(struct hr_fold *fold, uint64_t clock_us)
{
	for (uint32_t i = HR_STREAM_MEMORY; i < HR_STREAM_CLASSES; i++) {
		const uint64_t life = lifetime_us(&fold->config, i);

		if (clock_us > life && clock_us - life > fold->horizon_us[i])
			fold->horizon_us[i] = clock_us - life;
	}
}

/* An empty pipeline is the default one, and the only one of this fold version. */
int hr_fold_config_check(struct hr_fold *fold, const struct hr_chain_config *config)
{
	if (config->pipeline_bytes != 0 ||
	    config->setting[HR_CHAIN_MAX_STREAMS] > fold->windows.max_streams ||
	    dedup_max(config) > HR_DEDUP_MAX)
		return -E2BIG;
	return hr_dedup_reserve(&fold->dedup, (uint32_t)dedup_max(config));
}

/* What is past its age by the rules so far is gone before the new ones hold. */
static int config_take(struct hr_fold *fold, const struct hr_link *link,
		       uint64_t *n_evicted)
{
	const struct hr_window_rules rules = hr_fold_rules(fold, link->clock_us);
	struct hr_chain_config config;
	int r = hr_chain_config_decode(&config, link->body, NULL);

	if (r == 0)
		r = hr_fold_config_check(fold, &config);
	if (r < 0)
		return r == -ENOTSUP ? -E2BIG : r;
	hr_windows_expire(&fold->windows, &rules, UINT32_MAX);
	fold->dedup_rules.clock_us = link->clock_us;
	hr_dedup_expire(&fold->dedup, &fold->dedup_rules, UINT32_MAX);
	*n_evicted += hr_dedup_shrink(&fold->dedup, dedup_max(&config));
	if (link->n > 1)
		horizon_raise(fold, link->clock_us);
	fold->config = config;
	hr_fold_obey(fold);
	return 0;
}

/* Before anything is raised: afterwards there is no way back. */
static int epoch_check(const struct hr_link *link)
{
	struct hr_body_sum sum = { 0 };
	int r = hr_body_check(HR_BODY_EPOCH, link->body, &sum, NULL);

	if (r < 0)
		return r;
	if (link->body.n > HR_BODY_MAX || sum.n_events != link->n_events ||
	    entries_max(link) != link->out->max_events)
		return -EBADMSG;
	return 0;
}

static int body_take(struct hr_fold *fold, const struct hr_link *link,
		     uint64_t *n_evicted)
{
	switch (link->body_kind) {
	case HR_BODY_CONFIG:
		return config_take(fold, link, n_evicted);
	case HR_BODY_EPOCH:
		return epoch_check(link);
	case HR_BODY_LOSS:
		return link->body.n == LOSS_BYTES ? 0 : -EBADMSG;
	default:
		return -ENOTSUP;
	}
}

int hr_fold_take(struct hr_fold *fold, const struct hr_link *link,
		 struct hr_window_gaps *gaps, uint64_t *n_evicted)
{
	int r;

	if (!is_next(fold, link))
		return -EPROTO;
	r = body_take(fold, link, n_evicted);
	if (r < 0)
		return r;
	fold->clock_us = link->clock_us;
	fold->dedup_rules.clock_us = link->clock_us;
	if (link->body_kind == HR_BODY_EPOCH)
		hr_fold_raise(fold, link, gaps);
	return 0;
}

static int begin(struct hr_fold *fold, struct hr_link *link)
{
	struct hr_window_gaps gaps = { 0, 0 };
	char prefix[HR_MADE_PREFIX_MAX + 1];
	uint64_t n_evicted = 0;
	int r = hr_fold_take(fold, link, &gaps, &n_evicted);

	if (r < 0)
		return r;
	fold->link = link;
	fold->out = link->out;
	fold->is_poison =
		hr_fold_is_poison(&fold->set, link->shard, link->n, &link->hash);
	fold->out->gaps = gaps.gaps;
	fold->out->filled = gaps.filled;
	fold->out->dedup_evicted = n_evicted;
	fold->prefix_bytes = (uint8_t)id_prefix(prefix, link);
	memcpy(fold->prefix, prefix, fold->prefix_bytes);
	fold->cursor = 0;
	fold->datagram = 0;
	fold->position = 0;
	fold->user = 0;
	fold->item.left = 0;
	hr_digest_begin(&fold->rows);
	fold->phase = link->body_kind == HR_BODY_EPOCH ? HR_FOLD_EVENTS : HR_FOLD_USERS;
	return 0;
}

int hr_fold_begin(struct hr_fold *fold, struct hr_link *link)
{
	int r;

	hr_note_link(link->shard, link->n, &link->hash);
	r = begin(fold, link);
	hr_note_link_is_done();
	return r;
}

/* ---- reading ---- */

uint64_t hr_fold_n(const struct hr_fold *fold)
{
	return fold->n;
}

const struct hr_id128 *hr_fold_hash(const struct hr_fold *fold)
{
	return &fold->hash;
}

const struct hr_id128 *hr_fold_digest(const struct hr_fold *fold)
{
	return &fold->digest;
}

const struct hr_chain_config *hr_fold_config(const struct hr_fold *fold)
{
	return &fold->config;
}

void hr_fold_read_totals(const struct hr_fold *fold, struct hr_fold_totals *out)
{
	*out = fold->totals;
	out->streams = fold->windows.n_streams;
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++)
		out->streams_of[i] = fold->windows.lists[i].n;
	out->dedup_entries = fold->dedup.n;
}

uint64_t hr_fold_clock(const struct hr_fold *fold)
{
	return fold->clock_us;
}

uint64_t hr_fold_next_due(const struct hr_fold *fold)
{
	(void)fold;
	return UINT64_MAX;
}

bool hr_fold_is_expired(const struct hr_fold *fold, uint64_t birth, uint64_t clock_us)
{
	const enum hr_stream_class class =
		(birth & HR_BIRTH_DISK_CLASS) != 0 ? HR_STREAM_DISK : HR_STREAM_MEMORY;
	const uint64_t life = lifetime_us(&fold->config, class);
	const uint64_t born = HR_BIRTH_US(birth);

	if (HR_MUTANT(no_birth))
		return false;
	return born < fold->horizon_us[class] ||
	       (clock_us > life && born < clock_us - life);
}
