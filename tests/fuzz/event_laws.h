/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EVENT_LAWS_H
#define EVENT_LAWS_H

/* event_laws - what holds for every event that a parser takes, whatever its bytes. */

#include "common/wire.h"
#include "dataplane/beacon/event.h"

#define LAWS_RECEIVED_MS 1700000000123

/* An event and all it points into. */
struct taken {
	uint8_t *bytes, *room;
	uint32_t n;
	struct hr_event ev;
	enum hr_reject verdict;
};

void taken_parse(struct taken *t, uint8_t codec, const void *bytes, uint32_t n);
void taken_free(struct taken *t);

/* Abort unless: every bound of the contract holds; the record fits its bound, is JSON
 * by another reader's judgement, and gives the same event and record when it is
 * parsed; and what the C SDK encodes of the event is, in either codec, that event. */
void check_event_laws(const struct taken *t);

#endif
