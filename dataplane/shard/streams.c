/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/config.h"
#include "common/mutant.h"
#include "dataplane/shard/streams_impl.h"

_Static_assert(HR_KEY_PLACES >= 2 * HR_KEYS_MAX, "a search ends at an empty place");
_Static_assert(HR_RECORD_MAX / sizeof(struct hr_parked) < HR_NO_PARKED,
	       "a slot's number fits");

/* Populated now: a worker that meets a page for the first time would wait for the
 * kernel. */
static void *memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t lines_bytes(const struct hr_streams *s)
{
	return (size_t)s->conf.max_streams * sizeof(*s->lines);
}

static size_t slots_bytes(const struct hr_streams *s)
{
	return ((size_t)s->slot_mask + 1) * sizeof(*s->slots);
}

static void forget_all(struct hr_streams *s)
{
	memset(s->slots, 0xff, slots_bytes(s));
	for (uint32_t i = 0; i < s->conf.max_streams; i++)
		s->lines[i].newer = i + 1 < s->conf.max_streams ? i + 1 : HR_NO_LINE;
	s->free = 0;
	s->first_due = s->last_due = HR_NO_LINE;
	s->active = s->quiet = (struct hr_line_list){ HR_NO_LINE, HR_NO_LINE };
	s->n_lines = s->n_active = s->n_new = s->n_due = 0;
	s->n_parked = s->n_touched = s->n_overtaken = 0;
	s->free_parked = HR_NO_PARKED;
	memset(s->keys, 0, sizeof(s->keys));
}

int hr_streams_new(struct hr_streams **out, const struct hr_streams_conf *conf,
		   struct hr_err *err)
{
	struct hr_streams *s = calloc(1, sizeof(*s));
	uint32_t n_slots = 2;

	if (s == NULL)
		goto no_memory;
	s->conf = *conf;
	while (n_slots / 2 < conf->max_streams)
		n_slots *= 2;
	s->slot_mask = n_slots - 1;
	s->lines = memory(lines_bytes(s));
	s->slots = memory(slots_bytes(s));
	s->arena = hr_epoch_get(conf->intake->pool, conf->shard);
	if (s->lines == NULL || s->slots == NULL || s->arena == NULL)
		goto no_memory;
	s->parked = (struct hr_parked *)s->arena->record;
	forget_all(s);
	*out = s;
	return 0;
no_memory:
	hr_streams_free(s);
	return hr_fail(err, -ENOMEM,
		       "no memory for shard %u's %u acknowledged streams: lower "
		       "streams.max",
		       conf->shard, conf->max_streams);
}

uint32_t hr_streams_free(struct hr_streams *s)
{
	uint32_t n_parked;

	if (s == NULL)
		return 0;
	n_parked = hr_streams_parked(s);
	if (s->lines != NULL)
		munmap(s->lines, lines_bytes(s));
	if (s->slots != NULL)
		munmap(s->slots, slots_bytes(s));
	if (s->arena != NULL)
		hr_epoch_put(s->conf.intake->pool, s->arena);
	free(s);
	return n_parked;
}

uint32_t hr_streams_fence(struct hr_streams *s, uint64_t incarnation)
{
	const uint32_t n_parked = hr_streams_parked(s);

	s->incarnation = incarnation;
	if (HR_MUTANT(tentative_kept))
		return 0;
	for (uint32_t at = s->active.oldest, next; at != HR_NO_LINE; at = next) {
		struct hr_stream_line *line = &s->lines[at];

		next = line->newer;
		hr_line_unpark(s, line);
		if (!HR_MUTANT(mark_outlives_epoch))
			line->taken = line->floor;
		hr_line_settle(s, at);
	}
	s->n_overtaken = 0;
	return n_parked;
}

uint32_t hr_streams_set_fold(struct hr_streams *s, const struct hr_fold *fold)
{
	const uint32_t n_parked = hr_streams_parked(s);

	s->conf.fold = fold;
	s->n_waited = 0; /* and nothing is due */
	forget_all(s);
	return n_parked;
}

uint32_t hr_streams_parked(const struct hr_streams *s)
{
	return s->n_parked + s->n_overtaken;
}

bool hr_streams_is_busy(const struct hr_streams *s)
{
	return s->n_parked > 0 || s->n_due > 0;
}

uint32_t hr_streams_count(const struct hr_streams *s)
{
	return s->n_lines;
}
