/* SPDX-License-Identifier: BSD-3-Clause */

/* Runs for every datagram; calls nothing outside. */

#include <assert.h>

#include <rte_ring.h>

#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/shard/intake.h"
#include "dataplane/shard/ring.h"
#include "dataplane/shard/shard_impl.h"

struct hr_epoch *hr_epoch_get(struct hr_epoch_pool *pool, uint16_t shard)
{
	void *got;
	struct hr_epoch *epoch;

	if (rte_ring_dequeue(pool->shares[shard], &got) != 0)
		return NULL;
	epoch = got;
	epoch->fence_no = 0;
	epoch->n_items = 0;
	epoch->n_events = 0;
	epoch->body_bytes = 0;
	epoch->opened_mono_us = 0;
	epoch->oldest_received_us = 0;
	return epoch;
}

static void close_open(struct hr_intake *in)
{
	int r = rte_ring_enqueue(in->closed_ring, in->open);

	assert(r == 0); /* it has room for the whole pool */
	(void)r;
	in->open = NULL;
	in->n_closed++;
	HR_CRASH_POINT(epoch_closed);
}

static bool has_room(const struct hr_intake *in, uint32_t bytes, uint32_t n_events)
{
	const struct hr_epoch *open = in->open;

	return open->body_bytes + bytes <= HR_BODY_MAX &&
	       (open->n_events == 0 || open->n_events + n_events <= in->max_events);
}

static struct hr_epoch *open_new(struct hr_intake *in, uint32_t reserve)
{
	if (reserve > 0 && hr_ring_count(in->pool->shares[in->shard]) <= reserve)
		return NULL;
	in->open = hr_epoch_get(in->pool, in->shard);
	if (in->open != NULL)
		in->open->fence_no = in->fence_no;
	return in->open;
}

/* An open epoch in which so much fits, or NULL. */
static struct hr_epoch *open_for(struct hr_intake *in, uint32_t bytes,
				 uint32_t n_events, uint32_t reserve)
{
	if (in->open != NULL && has_room(in, bytes, n_events))
		return in->open;
	if (in->open != NULL && in->open->body_bytes > 0)
		close_open(in);
	return in->open != NULL ? in->open : open_new(in, reserve);
}

static enum hr_drop why_not(unsigned int state)
{
	switch (state) {
	case HR_SHARD_READY:
	case HR_SHARD_RECOVERING:
		return HR_DROP_NONE;
	case HR_SHARD_FENCED:
		return HR_DROP_NOT_OWNER;
	case HR_SHARD_STOPPED:
		return HR_DROP_STOPPED;
	default:
		return HR_DROP_NOT_READY;
	}
}

/* Relaxed: a state that is a moment old costs nothing; the committer drops and counts
 * what comes too late for it. */
static enum hr_drop refusal(const struct hr_intake *in)
{
	return why_not(atomic_load_explicit(&in->view->state, memory_order_relaxed));
}

static inline enum hr_drop add(struct hr_intake *in, const struct hr_item *item,
			       uint32_t reserve, uint64_t now_us)
{
	enum hr_drop no = refusal(in);
	struct hr_epoch *epoch;

	if (no != HR_DROP_NONE)
		return no;
	epoch = open_for(in, hr_item_bytes(item->payload.n), item->n_events, reserve);
	if (epoch == NULL)
		return HR_DROP_EPOCH_FULL;
	if (HR_MUTANT(taken_not_logged) && item->sequence % 50 == 7)
		return HR_DROP_NONE;
	if (epoch->body_bytes == 0)
		epoch->opened_mono_us = now_us;
	if (epoch->oldest_received_us == 0)
		epoch->oldest_received_us = item->received_us;
	epoch->body_bytes +=
		hr_item_encode(hr_epoch_body(epoch) + epoch->body_bytes, item);
	epoch->n_items++;
	epoch->n_events += item->n_events;
	in->n_items++;
	return HR_DROP_NONE;
}

/* A breakage: as if the datagram had come without a header, too. */
static void add_again(struct hr_intake *in, const struct hr_item *item, uint64_t now_us)
{
	struct hr_item again = *item;

	again.kind = HR_ITEM_EVENT;
	again.birth = again.random = again.sequence = 0;
	again.key_id = again.client_drops = 0;
	(void)add(in, &again, 0, now_us);
}

enum hr_drop hr_intake_add(struct hr_intake *in, const struct hr_item *item,
			   uint64_t now_us)
{
	if (HR_MUTANT(logged_twice) && item->sequence % 50 == 7)
		add_again(in, item, now_us);
	return add(in, item, in->reserve, now_us);
}

enum hr_drop hr_intake_add_next(struct hr_intake *in, const struct hr_item *item,
				uint64_t now_us)
{
	return add(in, item, 0, now_us);
}

enum hr_drop hr_intake_skip(struct hr_intake *in, const struct hr_item *item,
			    uint64_t now_us)
{
	enum hr_drop no = refusal(in);
	struct hr_epoch *epoch;

	if (no != HR_DROP_NONE)
		return no;
	epoch = open_for(in, HR_ITEM_SKIP_BYTES, 0, 0);
	if (epoch == NULL)
		return HR_DROP_EPOCH_FULL;
	if (epoch->body_bytes == 0)
		epoch->opened_mono_us = now_us;
	epoch->body_bytes +=
		hr_item_encode_skip(hr_epoch_body(epoch) + epoch->body_bytes, item);
	return HR_DROP_NONE;
}

uint64_t hr_intake_free_bytes(const struct hr_intake *in)
{
	const uint32_t n_free = hr_ring_count(in->pool->shares[in->shard]);
	uint64_t bytes = in->open != NULL ? HR_BODY_MAX - in->open->body_bytes : 0;

	if (n_free > in->reserve)
		bytes += (uint64_t)(n_free - in->reserve) * HR_BODY_MAX;
	return bytes;
}

static uint64_t n_done(const struct hr_intake *in)
{
	return atomic_load_explicit(&in->view->epochs_done, memory_order_relaxed);
}

bool hr_intake_step(struct hr_intake *in, uint64_t now_us, uint32_t min_interval_us,
		    bool must_close)
{
	const uint64_t since_us = now_us - *in->closed_us;

	if (in->open == NULL || in->open->body_bytes == 0)
		return false;
	if (!must_close && (n_done(in) != in->n_closed ||
			    (since_us != 0 && since_us < min_interval_us)))
		return false;
	close_open(in);
	*in->closed_us = now_us;
	return true;
}

uint64_t hr_intake_in_flight(const struct hr_intake *in)
{
	return in->n_items - in->n_dropped -
	       atomic_load_explicit(&in->view->items_accepted, memory_order_relaxed) -
	       atomic_load_explicit(&in->view->items_dropped, memory_order_relaxed);
}

bool hr_intake_is_busy(const struct hr_intake *in)
{
	return (in->open != NULL && in->open->body_bytes > 0) ||
	       n_done(in) != in->n_closed;
}
