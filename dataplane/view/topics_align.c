/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/topics_align.h"

int hr_topics_align_add(struct hr_topics_align *a, uint64_t hash, int64_t offset)
{
	if (a->n == a->max) {
		uint64_t max = a->max == 0 ? 256 : 2 * a->max;
		struct hr_topics_there_record *fresh =
			realloc(a->there, max * sizeof(*fresh));

		if (fresh == NULL)
			return -ENOMEM;
		a->there = fresh;
		a->max = max;
	}
	a->there[a->n++] = (struct hr_topics_there_record){ hash, offset };
	return 0;
}

void hr_topics_align_fini(struct hr_topics_align *a)
{
	free(a->there);
	free(a->index);
	a->there = NULL;
	a->index = NULL;
	a->n = a->max = 0;
}

/* ---- where a hash is ------------------------------------------------------------------ */

static int by_hash(const void *a, const void *b, void *ctx)
{
	const struct hr_topics_there_record *there = ctx;
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	if (there[x].hash != there[y].hash)
		return there[x].hash < there[y].hash ? -1 : 1;
	return (x > y) - (x < y);
}

static int index_make(struct hr_topics_align *a)
{
	if (a->index != NULL)
		return 0;
	a->index = malloc((a->n + 1) * sizeof(*a->index));
	if (a->index == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < a->n; i++)
		a->index[i] = i;
	qsort_r(a->index, a->n, sizeof(*a->index), by_hash, a->there);
	return 0;
}

/* The first place of this hash from `from` on; n: none. */
static uint64_t find(const struct hr_topics_align *a, uint64_t hash, uint64_t from)
{
	uint64_t low = 0, high = a->n;

	while (low < high) {
		const uint64_t mid = low + (high - low) / 2, at = a->index[mid];

		if (a->there[at].hash < hash ||
		    (a->there[at].hash == hash && at < from))
			low = mid + 1;
		else
			high = mid;
	}
	return low < a->n && a->there[a->index[low]].hash == hash ? a->index[low]
								  : a->n;
}

/* ---- differences ------------------------------------------------------------------------ */

static int64_t behind(const struct hr_topics_align *a)
{
	return a->at == 0 ? 0 : a->there[a->at - 1].offset + 1;
}

static void gap_close(struct hr_topics_align *a)
{
	if (a->gap.count == 0)
		return;
	a->gap.is_tail = a->at == a->n;
	a->gap.to = a->gap.is_tail ? a->end : a->there[a->at].offset;
	a->found(a->ctx, a, &a->gap);
	a->gap = (struct hr_topics_gap){ 0 };
}

static void gap_add(struct hr_topics_align *a, uint64_t n)
{
	if (a->gap.count++ == 0) {
		a->gap.from = behind(a);
		a->gap.first_n = n;
	}
	a->gap.last_n = n;
}

static void extra(struct hr_topics_align *a, uint64_t from, uint64_t to)
{
	const struct hr_topics_gap gap = { .is_extra = true,
					   .from = a->there[from].offset,
					   .to = a->there[to - 1].offset + 1,
					   .count = to - from };

	a->found(a->ctx, a, &gap);
}

static void fits_at(struct hr_topics_align *a, uint64_t at)
{
	gap_close(a);
	if (at > a->at && a->n_matched == 0 && a->may_skip)
		a->n_before = at;
	else if (at > a->at)
		extra(a, a->at, at);
	a->at = at + 1;
	a->n_matched++;
	a->resume = a->n_made;
}

int hr_topics_align_made(struct hr_topics_align *a, uint64_t hash, uint64_t n,
			 bool must)
{
	uint64_t at = a->at;

	a->n_made++;
	if (at < a->n && a->there[at].hash == hash) {
		fits_at(a, at);
		return 0;
	}
	if (at < a->n) {
		if (index_make(a) < 0)
			return -ENOMEM;
		at = find(a, hash, at);
	}
	if (at < a->n)
		fits_at(a, at);
	else if (a->n_matched == 0 && a->begins_late)
		a->n_unseen++;
	else if (must || a->at < a->n)
		gap_add(a, n);
	return 0;
}

void hr_topics_align_end(struct hr_topics_align *a)
{
	/* All of it is older than what fold begins with. */
	if (a->n_matched == 0 && a->may_skip) {
		a->n_before = a->at = a->n;
		a->gap.from = behind(a);
	}
	gap_close(a);
	if (a->at < a->n)
		extra(a, a->at, a->n);
	a->at = a->n;
}
