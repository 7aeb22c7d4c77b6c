/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "dataplane/view/feed.h"

/* A queue in a ring that doubles; slots is 0 or a power of two. */
struct shard {
	struct hr_link **links;
	uint64_t slots;
	uint64_t first, end;     /* links first..end-1 are in memory */
	_Atomic int64_t read_to; /* the committer writes these two, without the lock */
	atomic_bool is_whole;
};

/*
 * The order in which links came, over all shards: the shard of each. As each shard
 * is in order of n, the head of this queue is the oldest link of the shard it names.
 *
 * Invariant, under the lock: its length is the sum of the shards' lengths, and
 * held_bytes the sum of their links'.
 */
struct hr_feed {
	pthread_mutex_t lock;
	pthread_cond_t news;
	uint64_t n_news; /* puts and wakes */
	size_t keep_bytes, held_bytes;
	uint16_t *order;
	uint64_t order_slots, order_first, order_end;
	uint32_t n_shards;
	struct shard shards[];
};

/* Makes or doubles a ring of items that are numbered first..end-1 and lie at number
 * mod slots. Without memory it stays as it is. */
static bool grow(void **items, uint64_t *slots, size_t size, uint64_t first,
		 uint64_t end)
{
	uint64_t more = *slots == 0 ? 1024 : 2 * *slots;
	char *fresh = malloc(more * size);

	if (fresh == NULL)
		return false;
	for (uint64_t i = first; i < end; i++)
		memcpy(fresh + (i & (more - 1)) * size,
		       (char *)*items + (i & (*slots - 1)) * size, size);
	free(*items);
	*items = fresh;
	*slots = more;
	return true;
}

static bool grow_shard(struct shard *s)
{
	return grow((void **)&s->links, &s->slots, sizeof(struct hr_link *), s->first,
		    s->end);
}

static bool grow_order(struct hr_feed *f)
{
	return grow((void **)&f->order, &f->order_slots, sizeof(uint16_t),
		    f->order_first, f->order_end);
}

int hr_feed_new(struct hr_feed **out, uint32_t n_shards, size_t keep_bytes)
{
	struct hr_feed *f = calloc(1, sizeof(*f) + n_shards * sizeof(f->shards[0]));
	pthread_condattr_t attr;

	if (f == NULL)
		return -ENOMEM;
	f->n_shards = n_shards;
	f->keep_bytes = keep_bytes;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->news, &attr);
	pthread_condattr_destroy(&attr);
	for (uint32_t i = 0; i < n_shards; i++) {
		f->shards[i].first = f->shards[i].end = 1;
		if (!grow_shard(&f->shards[i]))
			goto fail;
	}
	if (!grow_order(f))
		goto fail;
	*out = f;
	return 0;
fail:
	hr_feed_free(f);
	return -ENOMEM;
}

void hr_feed_free(struct hr_feed *f)
{
	if (f == NULL)
		return;
	for (uint32_t i = 0; i < f->n_shards; i++) {
		struct shard *s = &f->shards[i];

		for (uint64_t n = s->first; n < s->end; n++)
			hr_link_put(s->links[n & (s->slots - 1)]);
		free(s->links);
	}
	free(f->order);
	pthread_cond_destroy(&f->news);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void hr_feed_begin(struct hr_feed *f, uint16_t shard, uint64_t n)
{
	struct shard *s = &f->shards[shard];

	pthread_mutex_lock(&f->lock);
	assert(shard < f->n_shards && s->first == s->end);
	s->first = s->end = n + 1;
	pthread_mutex_unlock(&f->lock);
}

static bool has_room(struct hr_feed *f, struct shard *s)
{
	return (s->end - s->first < s->slots || grow_shard(s)) &&
	       (f->order_end - f->order_first < f->order_slots || grow_order(f));
}

static struct hr_link *drop_oldest(struct hr_feed *f)
{
	struct shard *s;
	struct hr_link *link;

	s = &f->shards[f->order[f->order_first++ & (f->order_slots - 1)]];
	link = s->links[s->first++ & (s->slots - 1)];
	f->held_bytes -= link->held_bytes;
	return link;
}

static void append(struct hr_feed *f, struct shard *s, struct hr_link *link)
{
	assert(link->n == s->end);
	s->links[s->end++ & (s->slots - 1)] = link;
	f->order[f->order_end++ & (f->order_slots - 1)] = link->shard;
	f->held_bytes += link->held_bytes;
}

static bool is_full(struct hr_feed *f, struct shard *s, size_t bytes)
{
	if (f->order_first == f->order_end)
		return false;
	return f->held_bytes + bytes > f->keep_bytes || !has_room(f, s);
}

/*
 * The newest link stays whatever its size, so that a view which keeps up never meets
 * a GAP. Where memory for one more pointer is refused, the feed is full as if
 * keep_bytes were reached. Links are given back outside the lock: the last reference
 * frees megabytes.
 */
void hr_feed_put(struct hr_feed *f, struct hr_link *link)
{
	struct shard *s = &f->shards[link->shard];
	struct hr_link *old;

	assert(link->shard < f->n_shards);
	pthread_mutex_lock(&f->lock);
	while (is_full(f, s, link->held_bytes)) {
		old = drop_oldest(f);
		pthread_mutex_unlock(&f->lock);
		hr_link_put(old);
		pthread_mutex_lock(&f->lock);
	}
	append(f, s, link);
	f->n_news++;
	pthread_cond_broadcast(&f->news);
	pthread_mutex_unlock(&f->lock);
}

int hr_feed_get(struct hr_feed *f, uint16_t shard, uint64_t n, struct hr_link **out)
{
	struct shard *s = &f->shards[shard];
	int r = 1;

	assert(shard < f->n_shards && n > 0);
	pthread_mutex_lock(&f->lock);
	if (n >= s->end) {
		r = 0;
	} else if (n < s->first) {
		r = -ENODATA;
	} else {
		*out = s->links[n & (s->slots - 1)];
		hr_link_get(*out);
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}

uint64_t hr_feed_first(struct hr_feed *f, uint16_t shard)
{
	const struct shard *s = &f->shards[shard];
	uint64_t n;

	assert(shard < f->n_shards);
	pthread_mutex_lock(&f->lock);
	n = s->first < s->end ? s->first : 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* Under the lock: the shard's places in the order of all. */
static void forget_order(struct hr_feed *f, uint16_t shard)
{
	uint64_t to = f->order_first;

	for (uint64_t i = f->order_first; i < f->order_end; i++) {
		uint16_t of = f->order[i & (f->order_slots - 1)];

		if (of != shard)
			f->order[to++ & (f->order_slots - 1)] = of;
	}
	f->order_end = to;
}

void hr_feed_restart(struct hr_feed *f, uint16_t shard, uint64_t n)
{
	struct shard *s = &f->shards[shard];

	assert(shard < f->n_shards);
	pthread_mutex_lock(&f->lock);
	forget_order(f, shard);
	for (; s->first < s->end; s->first++) {
		struct hr_link *link = s->links[s->first & (s->slots - 1)];

		f->held_bytes -= link->held_bytes;
		hr_link_put(link);
	}
	s->first = s->end = n + 1;
	atomic_store_explicit(&s->is_whole, false, memory_order_release);
	f->n_news++;
	pthread_cond_broadcast(&f->news);
	pthread_mutex_unlock(&f->lock);
}

/* Behind the links that it speaks of: pairs with the acquires below. */
void hr_feed_read_to(struct hr_feed *f, uint16_t shard, int64_t offset, bool is_whole)
{
	struct shard *s = &f->shards[shard];

	assert(shard < f->n_shards);
	if (atomic_load_explicit(&s->read_to, memory_order_relaxed) != offset)
		atomic_store_explicit(&s->read_to, offset, memory_order_release);
	if (atomic_load_explicit(&s->is_whole, memory_order_relaxed) != is_whole)
		atomic_store_explicit(&s->is_whole, is_whole, memory_order_release);
}

int64_t hr_feed_offset(struct hr_feed *f, uint16_t shard)
{
	return atomic_load_explicit(&f->shards[shard].read_to, memory_order_acquire);
}

bool hr_feed_is_whole(struct hr_feed *f, uint16_t shard)
{
	return atomic_load_explicit(&f->shards[shard].is_whole, memory_order_acquire);
}

uint64_t hr_feed_last(struct hr_feed *f, uint16_t shard)
{
	uint64_t n;

	assert(shard < f->n_shards);
	pthread_mutex_lock(&f->lock);
	n = f->shards[shard].end - 1;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void hr_feed_wait(struct hr_feed *f, uint64_t *seen, uint32_t timeout_ms)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&f->lock);
	while (f->n_news == *seen && r == 0)
		r = pthread_cond_timedwait(&f->news, &f->lock, &until);
	*seen = f->n_news;
	pthread_mutex_unlock(&f->lock);
}

void hr_feed_wake(struct hr_feed *f)
{
	pthread_mutex_lock(&f->lock);
	f->n_news++;
	pthread_cond_broadcast(&f->news);
	pthread_mutex_unlock(&f->lock);
}

size_t hr_feed_bytes(struct hr_feed *f)
{
	size_t n;

	pthread_mutex_lock(&f->lock);
	n = f->held_bytes;
	pthread_mutex_unlock(&f->lock);
	return n;
}
