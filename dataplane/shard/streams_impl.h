/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STREAMS_IMPL_H
#define HR_STREAMS_IMPL_H

/*
 * streams, inside. Open addressing over a pool of lines; a line in use hangs in one of
 * two lists:
 *
 *   slots   [ . | hash, 2 | . | hash, 0 | ... ]
 *   active  something tentative, parked or due; or fold does not know it yet
 *   quiet   nothing of all that, oldest first: leaves when room is needed
 *   due     through next_due, in the order of acceptance
 *
 * The arena is a buffer of the epoch pool, cut into slots of one datagram; a stream's
 * slots hang in its line, by sequence.
 */

#include "dataplane/shard/streams.h"

#define HR_NO_LINE UINT32_MAX
#define HR_NO_PARKED UINT16_MAX

enum hr_line_flag {
	HR_LINE_ACTIVE = 1,
	HR_LINE_DUE = 2,
	HR_LINE_NEW = 4, /* fold does not know the stream yet */
};

/* So long a stream that fold knows is not looked up again. */
#ifndef HR_KNOWN_US
#define HR_KNOWN_US 64000000ull
#endif

struct hr_stream_line {
	/* What a datagram is judged by. */
	uint64_t birth, random;
	uint64_t floor, taken;
	uint64_t parked; /* bit i: taken + 1 + i */
	uint32_t key_id;
	uint32_t older, newer; /* in its list; a free one: newer is the next */
	uint32_t next_due;
	uint16_t first; /* parked slot with the lowest sequence */
	uint8_t flags;  /* enum hr_line_flag */
	uint8_t room; /* bytes / 16 that were asked and not answered: no stream is told
			 * more than it said */
	uint32_t attempt; /* of the last datagram */
	/* What its answers need. */
	uint32_t heard_ms; /* monotonic: the last datagram */
	uint16_t again_ms; /* its low bits: the last ACK again */
	uint16_t
		known_at; /* record time in HR_KNOWN_US: fold knew it for a while then */
	struct hr_way way;
};

_Static_assert(sizeof(struct hr_stream_line) == 128, "a line is two cache lines");

struct hr_line_slot {
	uint32_t hash, line;
};

struct hr_line_list {
	uint32_t oldest, newest;
};

struct hr_parked {
	struct hr_item item; /* its payload lies behind this */
	uint16_t next;
	uint8_t payload[HR_WIRE_PAYLOAD_MAX];
};

#define HR_PARKED_MAX ((uint32_t)(HR_RECORD_MAX / sizeof(struct hr_parked)))

/* Streams of a write key that fold does not know yet. At most as many keys as the key
 * file has, and twice the places. */
#define HR_KEY_PLACES 2048u

struct hr_key_count {
	uint32_t key_id, n;
	bool is_used;
};

struct hr_streams {
	struct hr_streams_conf conf;
	uint64_t incarnation; /* of the last FENCE told */
	struct hr_stream_line *lines;
	struct hr_line_slot *slots;
	uint32_t slot_mask;
	uint32_t n_lines, n_active, n_new, n_due;
	uint32_t free, first_due, last_due;
	struct hr_line_list active, quiet;
	struct hr_epoch *arena;
	struct hr_parked *parked;
	uint32_t n_parked, n_touched; /* slots in use; slots that ever were */
	uint16_t free_parked;
	/* Committed, and not acknowledged yet as far as is known. */
	struct hr_waited waited[HR_WAITED_MAX];
	uint32_t n_waited;
	uint32_t n_overtaken; /* parked ones that went in hr_streams_accepted() */
	struct hr_key_count keys[HR_KEY_PLACES];
};

/* Parked datagrams of a line that go; returns how many. */
uint32_t hr_line_unpark(struct hr_streams *s, struct hr_stream_line *line);
/* The line leaves the table. Nothing of it is parked or due. */
void hr_line_forget(struct hr_streams *s, uint32_t at);
/* Active or quiet, as it now is; forgotten where neither fold nor we know more of it. */
void hr_line_settle(struct hr_streams *s, uint32_t at);

#endif
