/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BATCHER_H
#define HR_BATCHER_H

/*
 * batcher - a plan's events in order, packed into the plan's datagrams by the SDK's
 * encoder. One open datagram a shard (headerless: one for all), closed when it is
 * full; what is open at the end comes last, by shard. So a user's events keep their
 * order, and the same plan gives the same datagrams with the same events; only send
 * time and tag depend on when it is done. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tools/gen/planned.h"

struct hr_batch {
	const uint8_t *bytes; /* the UDP payload; valid until the next call */
	uint32_t n_bytes;
	uint32_t n_events;
	const uint64_t *events; /* their numbers, in order; valid as long */
	uint16_t shard;         /* headerless: 0 */
	uint64_t sequence;      /* per shard, from 1 */
	uint8_t codec;          /* enum hr_wire_codec */
};

struct hr_batcher;

/* The planner must live as long. key: the write key; not looked at where headerless.
 * Returns 0 or -ENOMEM. */
int hr_batcher_new(struct hr_batcher **out, const struct hr_planner *planner,
		   const uint8_t key[HEADRACE_KEY_BYTES], struct hr_err *err);
void hr_batcher_free(struct hr_batcher *batcher);

/* The next datagram, said to be sent at now_us. Returns false when there is no more. */
bool hr_batcher_next(struct hr_batcher *batcher, uint64_t now_us, struct hr_batch *out);

/* No further events: the plan ends here. What is open is still to come. Returns the
 * number of events the plan has now. */
uint64_t hr_batcher_stop(struct hr_batcher *batcher);

#endif
