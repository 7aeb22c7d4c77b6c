/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/log/owned_world.h"

#define WALL_US 1764460800000000u /* 2025-11-30 */
#define STEP_US 1000u

/* ---- hooks ------------------------------------------------------------------------ */

static uint64_t viewed(void *ctx, const struct hr_owned *s)
{
	const struct box *b = ctx;

	(void)s;
	return b->viewed;
}

static bool draw(void *ctx, void *out, size_t n)
{
	struct box *b = ctx;
	uint8_t *p = out;

	for (size_t i = 0; i < n; i++) {
		b->random ^= b->random << 13;
		b->random ^= b->random >> 7;
		b->random ^= b->random << 17;
		p[i] = (uint8_t)(b->random >> 32);
	}
	return true;
}

static void tell(void *ctx, enum hr_log_level level, const char *line)
{
	struct box *b = ctx;

	(void)level;
	snprintf(b->line, sizeof(b->line), "%s", line);
}

static void said(void *ctx, const struct hr_owned *s)
{
	(void)ctx;
	(void)s;
}

static void put_epoch(void *ctx, struct hr_epoch *epoch)
{
	struct box *b = ctx;
	size_t i = (size_t)(epoch - b->epochs);

	assert(b->is_out[i]);
	b->is_out[i] = false;
	/* Whoever still refers to it is caught. */
	memset(epoch->record, 0xee, HR_RECORD_MAX);
}

static bool has_room(void *ctx, const struct hr_owned *s)
{
	(void)ctx;
	(void)s;
	return true;
}

static void hand_out(void *ctx, struct hr_owned *s, struct hr_link *link)
{
	struct box *b = ctx;

	b->n_told[link->kind]++;
	hr_owned_back(s, link);
	if (link->kind != HR_TOLD_LINK) {
		b->told_incarnation = link->incarnation;
		b->told_fence_no = link->fence_no;
		hr_link_put(link);
		return;
	}
	assert(link->n == b->n_links + 1 && b->n_links < BOX_LINKS);
	if (b->n_links > 0 && b->links[b->n_links - 1] != NULL)
		assert(hr_id128_equals(&link->prev_hash,
				       &b->links[b->n_links - 1]->hash));
	b->links[b->n_links++] = link;
}

static struct hr_link *kept(void *ctx, const struct hr_owned *s, uint64_t n)
{
	struct box *b = ctx;

	(void)s;
	if (n < b->forgets || n == 0 || n > b->n_links)
		return NULL;
	hr_link_get(b->links[n - 1]);
	return b->links[n - 1];
}

static uint64_t first_kept(void *ctx, const struct hr_owned *s)
{
	struct box *b = ctx;

	(void)s;
	if (b->n_links == 0 || b->forgets > b->n_links)
		return 0;
	return b->forgets > 0 ? b->forgets : 1;
}

static void forget_links(struct box *b)
{
	while (b->n_links > 0) {
		struct hr_link *link = b->links[--b->n_links];

		if (link != NULL)
			hr_link_put(link);
		b->links[b->n_links] = NULL;
	}
	b->forgets = 0;
}

static bool forget(void *ctx, struct hr_owned *s)
{
	struct box *b = ctx;
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, 0);

	forget_links(b);
	hr_owned_hand_out(s, told);
	return true;
}

/* Two looks in vain, then what there is. */
static enum hr_restore restore(void *ctx, struct hr_owned *s, uint64_t beyond_n,
			       const struct hr_log_start **start, struct hr_err *err)
{
	struct box *b = ctx;

	b->n_looked++;
	if (b->looks > 0)
		return --b->looks == 0
			       ? (hr_fail(err, -EIO, "out of reach"), HR_RESTORE_FAILED)
			       : HR_RESTORE_LOOKING;
	if (b->snapshot == NULL || b->snapshot->chain.n <= beyond_n)
		return HR_RESTORE_NOTHING;
	forget_links(b);
	b->n_links = b->snapshot->chain.n;
	b->forgets = b->n_links + 1;
	*start = b->snapshot;
	hr_owned_hand_out(s, hr_told_new(HR_TOLD_STATE, 0));
	return HR_RESTORED;
}

static void cloned(void *ctx, const char *text)
{
	struct box *b = ctx;

	b->was_cloned = true;
	hr_owned_stop(b->owned, "%s", text);
}

static int keep(void *ctx, const struct hr_owned *s, bool is_ours, struct hr_err *err)
{
	struct box *b = ctx;

	(void)s;
	if (b->fails_to_keep)
		return hr_fail(err, -ENOSPC, "the disk is full");
	b->is_kept = is_ours;
	b->n_kept++;
	return 0;
}

/* ---- boxes ------------------------------------------------------------------------ */

static struct box *start_as(struct world *w, uint64_t seed,
			    const struct hr_log_start *start, bool is_anothers);

struct box *box_start(struct world *w, uint64_t seed)
{
	return box_start_at(w, seed, NULL);
}

struct box *box_start_at(struct world *w, uint64_t seed,
			 const struct hr_log_start *start)
{
	return start_as(w, seed, start, false);
}

struct box *box_look_on_from(struct world *w, uint64_t seed,
			     const struct hr_log_start *start)
{
	return start_as(w, seed, start, true);
}

struct box *box_look_on(struct world *w, uint64_t seed)
{
	return start_as(w, seed, NULL, true);
}

static struct box *start_as(struct world *w, uint64_t seed,
			    const struct hr_log_start *start, bool is_anothers)
{
	const struct hr_log_conf log_conf = { NULL, &w->set, "box" };
	struct box *b = calloc(1, sizeof(*b));
	struct hr_owned_cells cells;
	struct hr_err err;

	b->world = w;
	b->viewed = UINT64_MAX;
	b->random = seed * 0x9e3779b97f4a7c15u + 1;
	fake_store_use(w->store);
	fake_log_ops.open(&b->log, &log_conf, &err);
	snprintf(b->addresses, sizeof(b->addresses), "192.0.2.%llu:7400",
		 (unsigned long long)seed);
	b->others[0] = is_anothers;
	b->conf = (struct hr_owned_conf){
		.ops = &fake_log_ops,
		.log = b->log,
		.set = &w->set,
		.file = { .fold_version = HR_FOLD_VERSION },
		.clock = &b->clock,
		.max_waiting = BOX_EPOCHS,
		.addresses = b->addresses,
		.others = b->others,
		.hooks = { .ctx = b,
			   .random = draw,
			   .tell = tell,
			   .said = said,
			   .put_epoch = put_epoch,
			   .has_room = has_room,
			   .hand_out = hand_out,
			   .kept = kept,
			   .first_kept = first_kept,
			   .forget = forget,
			   .cloned = cloned,
			   .keep = keep,
			   .restore = restore,
			   .viewed = viewed },
	};
	b->conf.file.setting[HR_CHAIN_MAX_EVENTS] = 1024;
	b->conf.file.setting[HR_CHAIN_MAX_STREAMS] = 64;
	for (size_t i = 0; i < sizeof(cells) / sizeof(hr_cell *); i++)
		((hr_cell **)&cells)[i] = b->cells;
	cells.dropped_fenced = &b->dropped_fenced;
	for (uint32_t i = 0; i < BOX_EPOCHS; i++)
		b->epochs[i].record = malloc(HR_RECORD_MAX);
	b->owned = aligned_alloc(_Alignof(struct hr_owned), sizeof(*b->owned));
	if (hr_owned_init(b->owned, &b->conf, 0, start, &cells, &err) < 0)
		abort();
	w->boxes[w->n_boxes++] = b;
	return b;
}

void box_kill(struct box *b)
{
	hr_owned_end(b->owned);
	b->is_gone = true;
}

static void box_free(struct box *b)
{
	if (!b->is_gone)
		box_kill(b);
	assert(box_epochs_out(b) == 0);
	hr_owned_fini(b->owned);
	fake_log_ops.close(b->log);
	forget_links(b);
	for (uint32_t i = 0; i < BOX_EPOCHS; i++)
		free(b->epochs[i].record);
	free(b->owned);
	free(b);
}

void box_close(struct box *b, uint64_t number, bool ordered)
{
	uint8_t payload[8];
	struct hr_item item = {
		.kind = HR_ITEM_DATAGRAM,
		.n_events = 1,
		.flags = ordered ? HR_ITEM_ORDERED : 0,
		.birth = 1,
		.random = number,
		.sequence = 1,
		.payload = { payload, sizeof(payload) },
	};
	uint32_t i = 0;
	struct hr_epoch *e;

	while (b->is_out[i])
		i++;
	assert(i < BOX_EPOCHS);
	hr_store64(payload, number);
	e = &b->epochs[i];
	e->shard = 0;
	e->fence_no = b->told_fence_no;
	e->n_items = e->n_events = 1;
	e->body_bytes = hr_item_encode(hr_epoch_body(e), &item);
	b->is_out[i] = true;
	hr_owned_take(b->owned, e);
}

uint32_t box_epochs_out(const struct box *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BOX_EPOCHS; i++)
		n += b->is_out[i];
	return n;
}

/* ---- the world -------------------------------------------------------------------- */

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->set = (struct hr_data_set){ .id = { { 7 } },
				       .hash_key = { 9 },
				       .generation = 1,
				       .n_shards = 1,
				       .log_topic = "log" };
	w->store = fake_store_new(1);
	w->now = (struct hr_now){ 1000000, WALL_US };
	fake_store_stamp(w->store, WALL_US / 1000);
}

void world_fini(struct world *w)
{
	for (uint32_t i = 0; i < w->n_boxes; i++)
		box_free(w->boxes[i]);
	fake_store_free(w->store);
}

static void step(struct world *w)
{
	w->now.mono_us += STEP_US;
	w->now.wall_us += STEP_US;
	fake_store_stamp(w->store, (int64_t)w->now.wall_us / 1000);
	fake_store_time(w->store, w->now.mono_us);
	for (uint32_t i = 0; i < w->n_boxes; i++) {
		struct box *b = w->boxes[i];

		if (b->is_paused || b->is_gone)
			continue;
		hr_owned_read(b->owned, &w->now);
		hr_owned_step(b->owned, &w->now);
	}
}

void world_run(struct world *w, uint32_t ms)
{
	while (ms-- > 0)
		step(w);
}

bool world_until(struct world *w, const struct box *b, enum hr_shard_state state,
		 uint32_t ms)
{
	while (atomic_load(&b->owned->view.state) != state && ms-- > 0)
		step(w);
	return atomic_load(&b->owned->view.state) == state;
}

bool world_until_links(struct world *w, const struct box *b, uint64_t n, uint32_t ms)
{
	while (b->n_links < n && ms-- > 0)
		step(w);
	return b->n_links >= n;
}

static uint32_t finds_in(const struct hr_link_head *link, uint64_t number)
{
	struct hr_item item;
	uint32_t cursor = 0, n = 0;

	if (link->body_kind != HR_BODY_EPOCH)
		return 0;
	while (hr_item_next(link->body, &cursor, &item) == 1)
		n += item.payload.n == 8 && hr_load64(item.payload.p) == number;
	return n;
}

uint32_t world_finds(struct world *w, uint64_t number, uint64_t *n)
{
	struct hr_chain chain;
	uint32_t found = 0;

	hr_chain_init(&chain, &w->set, 0);
	for (int64_t i = 0; i < fake_store_end(w->store, 0); i++) {
		uint32_t n_bytes;
		const uint8_t *bytes = fake_store_at(w->store, 0, i, &n_bytes);
		struct hr_record record;

		if (hr_record_decode(&record, bytes, n_bytes, NULL) == 0 &&
		    hr_chain_offer(&chain, &record) == HR_VERDICT_LINK)
			found += finds_in(&record.link, number);
	}
	if (n != NULL)
		*n = chain.n;
	return found;
}

/* An owner with n links of one ordered datagram each, numbered from 0. */
struct box *world_init_owner(struct world *w, uint64_t n)
{
	struct box *b;

	world_init(w);
	b = box_start(w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(w, b, HR_SHARD_READY, 100));
	for (uint64_t i = 0; i < n; i++) {
		box_close(b, i, true);
		CU_ASSERT_TRUE_FATAL(world_until_links(w, b, 2 + i, 100));
	}
	return b;
}

bool box_may_ack(const struct box *b)
{
	return atomic_load(&b->owned->view.may_ack);
}

void world_put_fence(struct world *w, uint64_t incarnation, const char *addresses)
{
	const struct hr_fence f = {
		.owner = { { 0x66 } },
		.incarnation = incarnation,
		.addresses = { (const uint8_t *)addresses,
			       (uint32_t)strlen(addresses) },
	};
	uint8_t record[HR_FENCE_MAX];
	size_t n = hr_record_encode_fence(record, &w->set, 0, &f);

	fake_store_put(w->store, 0, record, (uint32_t)n);
}
