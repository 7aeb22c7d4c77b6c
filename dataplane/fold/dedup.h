/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_DEDUP_H
#define HR_DEDUP_H

/*
 * dedup - events without a stream that are known again: by (user_id, event_id), inside
 * a window of record clock since the first of them was counted. A table of bounded
 * size: when it is full the oldest is forgotten before its time, and that is counted.
 *
 *   slots  [ . | tag, 1 | . | tag, 0 | . ]
 *                  └──┐         └─┐
 *   entries by clock: 1 ─▶ ... ─▶ 0      {identity, clock of the first}
 *
 * What comes out depends on the calls alone, not on the size of the memory. An entry
 * past the window is gone for every rule, whether it has left the list yet or not. One
 * thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/log/record.h"

/* Entries that a chain can ask for at most. */
#define HR_DEDUP_MAX 16777216u
#define HR_NOT_KNOWN UINT32_MAX

struct hr_known {
	struct hr_id128 identity;
	uint64_t first_us;
	uint32_t older, newer; /* neighbours; a free one: newer is the next free one */
};

struct hr_known_slot {
	uint32_t tag; /* of the identity, where the search begins */
	uint32_t entry;
};

struct hr_dedup {
	struct hr_known *entries;
	struct hr_known_slot *slots;
	uint32_t slot_mask;
	uint32_t capacity;
	uint32_t n;
	uint32_t free, oldest, newest;
};

/* What the chain says. max is 0 where nothing is to be known again. */
struct hr_dedup_rules {
	uint64_t clock_us; /* never goes back */
	uint64_t window_us;
	uint64_t max; /* at most the capacity */
};

/* Without memory and entries. */
void hr_dedup_init(struct hr_dedup *d);
void hr_dedup_fini(struct hr_dedup *d);
/* Cold. Make room for so many, keeping what is there; never makes it smaller. Returns
 * 0, or -ENOMEM with nothing changed. */
int hr_dedup_reserve(struct hr_dedup *d, uint32_t capacity);

/* Hot. Is it known? If not it is from now on. *n_evicted is added to: entries that had
 * to leave before their time. */
bool hr_dedup_take(struct hr_dedup *d, const struct hr_dedup_rules *rules,
		   const struct hr_id128 *identity, uint64_t *n_evicted);

/* Hot. Forget entries past the window, the oldest first, at most so many. */
void hr_dedup_expire(struct hr_dedup *d, const struct hr_dedup_rules *rules,
		     uint32_t at_most);
/* Forget the oldest until there are no more than that; returns how many went. */
uint64_t hr_dedup_shrink(struct hr_dedup *d, uint64_t max);

static inline bool hr_known_is_dead(const struct hr_known *e,
				    const struct hr_dedup_rules *rules)
{
	return rules->clock_us - e->first_us > rules->window_us;
}

/* For reading a state back: as the newest. Returns false when it is there already, or
 * there is no room. */
bool hr_dedup_restore(struct hr_dedup *d, const struct hr_id128 *identity,
		      uint64_t first_us);

#endif
