/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "tools/gen/batcher.h"

struct lane {
	struct headrace_encoder encoder;
	uint64_t sequence;
	uint32_t n;
	uint64_t events[HEADRACE_EVENTS_MAX];
	uint8_t buffer[HEADRACE_DATAGRAM_MAX];
};

struct hr_batcher {
	const struct hr_planner *planner;
	uint64_t next, end; /* events */
	uint64_t by_codec[3];
	uint32_t n_lanes;
	uint32_t flushing; /* the next lane to empty at the end */
	bool has_waiting;  /* made, but its lane had to be emptied first */
	struct lane *handed_out;
	struct headrace_datagram header;
	struct hr_planned planned;
	struct lane lanes[];
};

int hr_batcher_new(struct hr_batcher **out, const struct hr_planner *planner,
		   const uint8_t key[HEADRACE_KEY_BYTES], struct hr_err *err)
{
	const struct hr_plan *plan = &planner->plan;
	const uint32_t n_lanes = plan->headerless ? 1 : plan->n_shards;
	struct hr_batcher *b = calloc(1, sizeof(*b) + n_lanes * sizeof(b->lanes[0]));

	if (b == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %u open datagrams",
			       n_lanes);
	b->planner = planner;
	b->n_lanes = n_lanes;
	b->end = plan->n_events;
	b->header = (struct headrace_datagram){
		.key_id = plan->key_id,
		.generation = plan->generation,
		.birth = plan->birth,
		.random = plan->random,
		.n_shards = (uint16_t)plan->n_shards,
	};
	if (!plan->headerless)
		headrace_stream_key(key, plan->birth, plan->random,
				    b->header.stream_key);
	*out = b;
	return 0;
}

void hr_batcher_free(struct hr_batcher *b)
{
	free(b);
}

uint64_t hr_batcher_stop(struct hr_batcher *b)
{
	b->end = b->next + b->has_waiting;
	return b->end;
}

/* Half and half: whoever has had fewer events gets the next datagram. */
static enum headrace_codec codec_of(const struct hr_batcher *b)
{
	switch (b->planner->plan.codec) {
	case HR_PLAN_PROTOBUF:
		return HEADRACE_PROTOBUF;
	case HR_PLAN_JSON:
		return HEADRACE_JSON;
	default:
		return b->by_codec[HEADRACE_PROTOBUF] <= b->by_codec[HEADRACE_JSON]
			       ? HEADRACE_PROTOBUF
			       : HEADRACE_JSON;
	}
}

static uint32_t lane_of(const struct hr_batcher *b)
{
	const struct headrace_slice user = b->planned.event.user;

	return b->n_lanes == 1 ? 0 : headrace_shard(user.p, user.n, b->n_lanes);
}

/* Returns false when the event has to wait until the lane is empty. Every event fits
 * an empty datagram: HR_PLAN_DATAGRAM_MIN sees to that, and a test. */
static bool append(struct hr_batcher *b, struct lane *lane)
{
	if (lane->n == 0)
		(void)headrace_encoder_init(&lane->encoder, codec_of(b), lane->buffer,
					    b->planner->plan.datagram_bytes);
	if (headrace_encoder_append(&lane->encoder, &b->planned.event) != HEADRACE_OK)
		return false;
	lane->events[lane->n++] = b->next;
	b->by_codec[lane->encoder.codec]++;
	return true;
}

static void hand_out(struct hr_batcher *b, struct lane *lane, uint64_t now_us,
		     struct hr_batch *out)
{
	const uint16_t shard = (uint16_t)(lane - b->lanes);

	assert(lane->n > 0);
	*out = (struct hr_batch){
		.n_events = lane->n,
		.events = lane->events,
		.shard = shard,
		.sequence = ++lane->sequence,
		.codec = (uint8_t)lane->encoder.codec,
	};
	b->handed_out = lane;
	if (b->planner->plan.headerless) {
		out->bytes = lane->buffer + HEADRACE_HEADER_BYTES;
		out->n_bytes = lane->encoder.end - HEADRACE_HEADER_BYTES;
		return;
	}
	b->header.shard = shard;
	b->header.sequence = lane->sequence;
	b->header.sent_us = now_us;
	out->bytes = lane->buffer;
	out->n_bytes = (uint32_t)headrace_encoder_finish(&lane->encoder, &b->header);
}

static bool flush(struct hr_batcher *b, uint64_t now_us, struct hr_batch *out)
{
	while (b->flushing < b->n_lanes) {
		struct lane *lane = &b->lanes[b->flushing++];

		if (lane->n == 0)
			continue;
		hand_out(b, lane, now_us, out);
		return true;
	}
	return false;
}

bool hr_batcher_next(struct hr_batcher *b, uint64_t now_us, struct hr_batch *out)
{
	if (b->handed_out != NULL)
		b->handed_out->n = 0;
	b->handed_out = NULL;
	while (b->next < b->end) {
		struct lane *lane;

		if (!b->has_waiting)
			hr_planned_make(b->planner, b->next, &b->planned);
		lane = &b->lanes[lane_of(b)];
		b->has_waiting = !append(b, lane);
		b->next += !b->has_waiting;
		if (b->has_waiting || lane->n == b->planner->plan.datagram_events) {
			hand_out(b, lane, now_us, out);
			return true;
		}
	}
	return flush(b, now_us, out);
}
