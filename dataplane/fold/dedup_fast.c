/* SPDX-License-Identifier: BSD-3-Clause */

/* The hot half of dedup: once per event that came without a stream and named itself. */

#include "dataplane/fold/dedup.h"

/* An identity is a keyed hash: any bits of it are as good as others. */
static inline uint32_t tag_of(const struct hr_id128 *identity)
{
	return hr_load32(identity->b);
}

/* Slot of the identity, or the empty one where its search ends. */
static inline uint32_t slot_find(const struct hr_dedup *d,
				 const struct hr_id128 *identity)
{
	const uint32_t tag = tag_of(identity);
	uint32_t at = tag & d->slot_mask;

	for (;; at = (at + 1) & d->slot_mask) {
		const struct hr_known_slot *slot = &d->slots[at];

		if (slot->entry == HR_NOT_KNOWN)
			return at;
		if (slot->tag == tag &&
		    hr_id128_equals(&d->entries[slot->entry].identity, identity))
			return at;
	}
}

/* Whatever stands behind the hole and may stand nearer to its home moves up. */
static void slot_clear(struct hr_dedup *d, uint32_t hole)
{
	const uint32_t mask = d->slot_mask;

	for (uint32_t at = (hole + 1) & mask; d->slots[at].entry != HR_NOT_KNOWN;
	     at = (at + 1) & mask) {
		if (((at - d->slots[at].tag) & mask) < ((at - hole) & mask))
			continue;
		d->slots[hole] = d->slots[at];
		hole = at;
	}
	d->slots[hole].entry = HR_NOT_KNOWN;
}

static void list_remove(struct hr_dedup *d, const struct hr_known *e)
{
	if (e->older == HR_NOT_KNOWN)
		d->oldest = e->newer;
	else
		d->entries[e->older].newer = e->newer;
	if (e->newer == HR_NOT_KNOWN)
		d->newest = e->older;
	else
		d->entries[e->newer].older = e->older;
}

static void list_append(struct hr_dedup *d, uint32_t at)
{
	struct hr_known *e = &d->entries[at];

	e->older = d->newest;
	e->newer = HR_NOT_KNOWN;
	if (d->newest == HR_NOT_KNOWN)
		d->oldest = at;
	else
		d->entries[d->newest].newer = at;
	d->newest = at;
}

static void forget(struct hr_dedup *d, uint32_t at)
{
	struct hr_known *e = &d->entries[at];

	slot_clear(d, slot_find(d, &e->identity));
	list_remove(d, e);
	e->newer = d->free;
	d->free = at;
	d->n--;
}

void hr_dedup_expire(struct hr_dedup *d, const struct hr_dedup_rules *rules,
		     uint32_t at_most)
{
	for (; at_most > 0 && d->oldest != HR_NOT_KNOWN; at_most--) {
		if (!hr_known_is_dead(&d->entries[d->oldest], rules))
			return;
		forget(d, d->oldest);
	}
}

uint64_t hr_dedup_shrink(struct hr_dedup *d, uint64_t max)
{
	uint64_t n = 0;

	for (; d->n > max; n++)
		forget(d, d->oldest);
	return n;
}

static void remember(struct hr_dedup *d, const struct hr_id128 *identity,
		     uint64_t first_us)
{
	const uint32_t at = d->free;
	struct hr_known *e = &d->entries[at];

	d->free = e->newer;
	e->identity = *identity;
	e->first_us = first_us;
	list_append(d, at);
	d->n++;
	d->slots[slot_find(d, identity)] =
		(struct hr_known_slot){ tag_of(identity), at };
}

static void make_room(struct hr_dedup *d, const struct hr_dedup_rules *rules,
		      uint64_t *n_evicted)
{
	if (d->n < rules->max)
		return;
	if (!hr_known_is_dead(&d->entries[d->oldest], rules))
		++*n_evicted;
	forget(d, d->oldest);
}

bool hr_dedup_take(struct hr_dedup *d, const struct hr_dedup_rules *rules,
		   const struct hr_id128 *identity, uint64_t *n_evicted)
{
	uint32_t at;

	if (rules->max == 0)
		return false;
	at = d->slots[slot_find(d, identity)].entry;
	if (at != HR_NOT_KNOWN) {
		if (!hr_known_is_dead(&d->entries[at], rules))
			return true;
		forget(d, at);
	}
	make_room(d, rules, n_evicted);
	remember(d, identity, rules->clock_us);
	return false;
}

bool hr_dedup_restore(struct hr_dedup *d, const struct hr_id128 *identity,
		      uint64_t first_us)
{
	if (d->free == HR_NOT_KNOWN ||
	    d->slots[slot_find(d, identity)].entry != HR_NOT_KNOWN)
		return false;
	remember(d, identity, first_us);
	return true;
}
