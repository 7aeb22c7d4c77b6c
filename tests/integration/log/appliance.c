/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/Basic.h>
#include <rte_ring.h>

#include "common/clock.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/feed.h"
#include "tests/integration/log/appliance.h"

#define RING_SLOTS 512

/* ---- feed: keeps everything, checks the order ------------------------------- */

struct feed_shard {
	struct hr_link **links;
	uint64_t n, max;
	int64_t read_to; /* the committer's */
	bool is_whole;
};

struct hr_feed {
	pthread_mutex_t lock;
	struct feed_shard shards[HR_SHARDS_MAX];
};

int hr_feed_new(struct hr_feed **out, uint32_t n_shards, size_t keep_bytes)
{
	(void)n_shards;
	(void)keep_bytes;
	*out = calloc(1, sizeof(**out));
	pthread_mutex_init(&(*out)->lock, NULL);
	return 0;
}

void hr_feed_free(struct hr_feed *feed)
{
	for (uint32_t i = 0; i < HR_SHARDS_MAX; i++) {
		for (uint64_t n = 0; n < feed->shards[i].n; n++)
			hr_link_put(feed->shards[i].links[n]);
		free(feed->shards[i].links);
	}
	pthread_mutex_destroy(&feed->lock);
	free(feed);
}

void hr_feed_put(struct hr_feed *feed, struct hr_link *link)
{
	struct feed_shard *s = &feed->shards[link->shard];

	pthread_mutex_lock(&feed->lock);
	CU_ASSERT_EQUAL(link->n, s->n + 1);
	if (s->n > 0)
		CU_ASSERT_TRUE(
			hr_id128_equals(&link->prev_hash, &s->links[s->n - 1]->hash));
	if (s->n == s->max) {
		s->max = s->max == 0 ? 256 : 2 * s->max;
		s->links = realloc(s->links, s->max * sizeof(*s->links));
	}
	s->links[s->n++] = link;
	pthread_mutex_unlock(&feed->lock);
}

int hr_feed_get(struct hr_feed *feed, uint16_t shard, uint64_t n, struct hr_link **out)
{
	struct feed_shard *s = &feed->shards[shard];
	int r = 0;

	pthread_mutex_lock(&feed->lock);
	if (n <= s->n) {
		*out = s->links[n - 1];
		hr_link_get(*out);
		r = 1;
	}
	pthread_mutex_unlock(&feed->lock);
	return r;
}

uint64_t hr_feed_first(struct hr_feed *feed, uint16_t shard)
{
	return feed->shards[shard].n > 0;
}

void hr_feed_restart(struct hr_feed *feed, uint16_t shard, uint64_t n)
{
	(void)feed;
	(void)shard;
	(void)n;
	CU_FAIL_FATAL("nothing is lost in these tests");
}

/* ---- fold: none ---- */

int hr_fold_new(struct hr_fold **out, const struct hr_data_set *set, uint16_t shard,
		uint32_t max_streams)
{
	(void)out;
	(void)set;
	(void)shard;
	(void)max_streams;
	return -1;
}

void hr_fold_free(struct hr_fold *fold)
{
	(void)fold;
}

void hr_feed_read_to(struct hr_feed *feed, uint16_t shard, int64_t offset,
		     bool is_whole)
{
	struct feed_shard *s = &feed->shards[shard];

	s->read_to = offset;
	s->is_whole = is_whole;
}

uint64_t app_feed_last(struct app *app, uint16_t shard)
{
	uint64_t n;

	pthread_mutex_lock(&app->feed->lock);
	n = app->feed->shards[shard].n;
	pthread_mutex_unlock(&app->feed->lock);
	return n;
}

struct hr_link *app_feed_link(struct app *app, uint16_t shard, uint64_t n)
{
	struct hr_link *link;

	pthread_mutex_lock(&app->feed->lock);
	link = app->feed->shards[shard].links[n - 1];
	pthread_mutex_unlock(&app->feed->lock);
	return link;
}

/* ---- outputs: none, but the memory is real ----------------------------------- */

int hr_out_new(struct hr_link *link, struct hr_err *err)
{
	const size_t bytes = sizeof(struct hr_out) + 64 * (size_t)link->n_events;

	link->out = calloc(1, bytes);
	if (link->out == NULL)
		return hr_fail(err, -ENOMEM, "no memory");
	link->held_bytes += bytes;
	return 0;
}

/* ---- pool ---------------------------------------------------------------------- */

struct hr_epoch_pool {
	pthread_mutex_t lock;
	struct hr_epoch *epochs;
	struct hr_epoch **free;
	uint32_t n, n_free;
};

int hr_epoch_pool_new(struct hr_epoch_pool **out, uint32_t n_shards, uint32_t n,
		      struct hr_err *err)
{
	struct hr_epoch_pool *p = calloc(1, sizeof(*p));

	(void)n_shards; /* one share for all */
	(void)err;
	pthread_mutex_init(&p->lock, NULL);
	p->epochs = calloc(n, sizeof(*p->epochs));
	p->free = calloc(n, sizeof(struct hr_epoch *));
	for (uint32_t i = 0; i < n; i++) {
		p->epochs[i].record = aligned_alloc(64, (HR_RECORD_MAX + 63) / 64 * 64);
		p->free[p->n_free++] = &p->epochs[i];
	}
	p->n = n;
	*out = p;
	return 0;
}

void hr_epoch_pool_free(struct hr_epoch_pool *p)
{
	CU_ASSERT_EQUAL(p->n_free, p->n);
	for (uint32_t i = 0; i < p->n; i++)
		free(p->epochs[i].record);
	free(p->epochs);
	free(p->free);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct hr_epoch *hr_epoch_get(struct hr_epoch_pool *p, uint16_t shard)
{
	struct hr_epoch *e = NULL;

	(void)shard;
	pthread_mutex_lock(&p->lock);
	if (p->n_free > 0)
		e = p->free[--p->n_free];
	pthread_mutex_unlock(&p->lock);
	return e;
}

void hr_epoch_put(struct hr_epoch_pool *p, struct hr_epoch *e)
{
	pthread_mutex_lock(&p->lock);
	CU_ASSERT_TRUE_FATAL(p->n_free < p->n);
	/* Whoever still reads a buffer that was given back shall notice. */
	memset(e->record, 0xdd, HR_LINK_HEAD_BYTES + e->body_bytes);
	p->free[p->n_free++] = e;
	pthread_mutex_unlock(&p->lock);
}

uint32_t hr_epoch_pool_free_count(const struct hr_epoch_pool *p)
{
	return p->n_free;
}

/* ---- worker ---------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static void item_bytes(uint8_t *out, uint32_t n, uint32_t load, uint16_t shard,
		       uint64_t number)
{
	uint64_t x = mix((uint64_t)load << 32 ^ (uint64_t)shard << 16) ^ number;

	for (uint32_t i = 0; i < n; i += 8) {
		uint64_t word = mix(x + i);

		memcpy(out + i, &word, n - i < 8 ? n - i : 8);
	}
}

/* What one worker thread keeps of a shard. */
struct filling {
	uint64_t accepted; /* seen by watch() */
	uint64_t number, closed, last_us;
};

static void close_epoch(struct app *app, uint32_t worker, uint16_t shard,
			struct filling *f, uint64_t now_us)
{
	struct hr_epoch *e = hr_epoch_get(app->pool, shard);
	uint8_t payload[2048];

	if (e == NULL)
		return; /* a real worker would refuse datagrams now */
	*e = (struct hr_epoch){ .record = e->record,
				.shard = shard,
				.oldest_received_us = hr_wall_us() };
	for (uint32_t i = 0; i < app->load.items; i++) {
		struct hr_item item = {
			.kind = HR_ITEM_DATAGRAM,
			.codec = 1,
			.n_events = 3,
			.birth = app->load.load,
			.random = shard,
			.sequence = f->number,
			.received_us = e->oldest_received_us,
			.payload = { payload, app->load.payload_bytes },
		};

		item_bytes(payload, app->load.payload_bytes, app->load.load, shard,
			   f->number++);
		e->body_bytes +=
			hr_item_encode(hr_epoch_body(e) + e->body_bytes, &item);
		e->n_items++;
		e->n_events += 3;
	}
	f->closed++;
	f->last_us = now_us;
	atomic_fetch_add(&app->closed_items[shard], e->n_items);
	CU_ASSERT_EQUAL_FATAL(rte_ring_enqueue(app->closed[worker], e), 0);
	atomic_fetch_add(&app->closed_epochs[shard], 1);
}

static void fill(struct app *app, uint32_t worker, uint16_t shard, struct filling *f,
		 uint64_t now_us)
{
	const struct hr_shard_view *view = hr_owner_shard(app->owner, shard);
	uint32_t state = atomic_load_explicit(&view->state, memory_order_acquire);
	uint64_t done = atomic_load_explicit(&view->epochs_done, memory_order_acquire);
	uint32_t most = app->load.most_waiting != 0 ? app->load.most_waiting : 1;

	if (state != HR_SHARD_READY && state != HR_SHARD_RECOVERING)
		return;
	if (f->closed >= app->load.max_epochs || f->closed - done >= most ||
	    now_us - f->last_us < app->load.min_interval_us)
		return;
	close_epoch(app, worker, shard, f, now_us);
}

static void fold_some(struct app *app, uint32_t worker)
{
	void *links[32];
	unsigned int n = rte_ring_dequeue_burst(app->accepted[worker], links,
						app->fold_us > 0 ? 1 : 32, NULL);

	if (n > 0 && app->fold_us > 0)
		usleep(app->fold_us);
	for (unsigned int i = 0; i < n; i++)
		CU_ASSERT_EQUAL_FATAL(rte_ring_enqueue(app->folded[worker], links[i]),
				      0);
}

struct worker_arg {
	struct app *app;
	uint32_t worker;
};

/* A worker reads what its shards have come to until its end, which is after the
 * owner's. */
static void watch(const struct app *app, uint32_t worker, struct filling *filling)
{
	for (uint32_t s = worker; s < app->set.n_shards; s += app->n_workers) {
		const struct hr_shard_view *view =
			hr_owner_shard(app->owner, (uint16_t)s);
		const uint64_t n = atomic_load(&view->items_accepted);

		assert(n >= filling[s].accepted);
		filling[s].accepted = n;
	}
}

static void *work(void *p)
{
	struct worker_arg arg = *(struct worker_arg *)p;
	struct filling *filling = calloc(HR_SHARDS_MAX, sizeof(*filling));
	struct app *app = arg.app;

	free(p);
	while (!atomic_load(&app->stops_folding)) {
		uint64_t now_us = hr_mono_us();

		for (uint32_t s = arg.worker;
		     s < app->set.n_shards && !atomic_load(&app->stops_load);
		     s += app->n_workers)
			fill(app, arg.worker, (uint16_t)s, &filling[s], now_us);
		if (!app->holds_folding)
			fold_some(app, arg.worker);
		watch(app, arg.worker, filling);
		usleep(20);
	}
	free(filling);
	return NULL;
}

/* ---- the whole -------------------------------------------------------------------- */

static struct rte_ring *ring_new(void)
{
	ssize_t bytes = rte_ring_get_memsize(RING_SLOTS);
	struct rte_ring *r = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);

	CU_ASSERT_EQUAL_FATAL(
		rte_ring_init(r, "test", RING_SLOTS, RING_F_SP_ENQ | RING_F_SC_DEQ), 0);
	return r;
}

void app_config(struct hr_config *config, const char *prefix, uint32_t n_shards)
{
	hr_config_defaults(config);
	snprintf(config->kafka_brokers, sizeof(config->kafka_brokers), "%s",
		 getenv("HR_TEST_BROKERS"));
	snprintf(config->topic_prefix, sizeof(config->topic_prefix), "%s", prefix);
	snprintf(config->state_dir, sizeof(config->state_dir), "%s/%s",
		 getenv("HR_TEST_STATE"), prefix);
	config->n_shards = n_shards;
	config->kafka_properties[0] = '\0';
}

void app_start(struct app *app, const struct hr_config *config, uint32_t n_workers,
	       const struct app_load *load)
{
	struct hr_err err = { "" };
	struct hr_owner_conf conf = { .n_workers = n_workers };
	uint32_t n_epochs = 64;

	memset(app->closed_epochs, 0, sizeof(app->closed_epochs));
	memset(app->closed_items, 0, sizeof(app->closed_items));
	atomic_store(&app->stops_load, false);
	atomic_store(&app->stops_folding, false);
	app->config = *config;
	app->load = load != NULL ? *load : (struct app_load){ .max_epochs = 0 };
	app->n_workers = n_workers;
	if (app->set.n_shards == 0 &&
	    hr_data_set_find(&app->set, config, true, 20000, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		CU_FAIL_FATAL("no data set");
	}
	CU_ASSERT_EQUAL_FATAL(hr_epoch_pool_new(&app->pool, 1, n_epochs, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_feed_new(&app->feed, app->set.n_shards, 0), 0);
	conf.config = &app->config;
	conf.set = &app->set;
	conf.pool = app->pool;
	conf.feed = app->feed;
	for (uint32_t s = 0; s < app->set.n_shards; s++)
		conf.worker_of_shard[s] = (uint8_t)(s % n_workers);
	for (uint32_t w = 0; w < n_workers; w++) {
		conf.closed[w] = app->closed[w] = ring_new();
		conf.accepted[w] = app->accepted[w] = ring_new();
		conf.folded[w] = app->folded[w] = ring_new();
	}
	if (hr_owner_start(&app->owner, &conf, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		CU_FAIL_FATAL("no owner");
	}
	for (uint32_t w = 0; w < n_workers; w++) {
		struct worker_arg *arg = malloc(sizeof(*arg));

		*arg = (struct worker_arg){ app, w };
		pthread_create(&app->worker[w], NULL, work, arg);
	}
}

void app_stop(struct app *app, uint32_t drain_ms)
{
	struct hr_link *link;

	atomic_store(&app->stops_load, true);
	usleep(5000); /* a worker that looked before has closed its last epoch */
	app->tentative = hr_owner_stop(app->owner, drain_ms);
	atomic_store(&app->stops_folding, true);
	for (uint32_t w = 0; w < app->n_workers; w++) {
		pthread_join(app->worker[w], NULL);
		while (rte_ring_dequeue(app->accepted[w], (void **)&link) == 0)
			hr_link_put(link);
		while (rte_ring_dequeue(app->folded[w], (void **)&link) == 0)
			hr_link_put(link);
		CU_ASSERT_TRUE(rte_ring_empty(app->closed[w]));
		free(app->closed[w]);
		free(app->accepted[w]);
		free(app->folded[w]);
	}
	hr_owner_free(app->owner);
	app->owner = NULL;
	hr_epoch_pool_free(app->pool);
}

void app_free(struct app *app)
{
	hr_feed_free(app->feed);
	free(app);
}

bool app_wait_state(struct app *app, uint16_t shard, enum hr_shard_state state,
		    uint32_t wait_ms)
{
	const struct hr_shard_view *view = hr_owner_shard(app->owner, shard);

	for (uint32_t i = 0; i < wait_ms; i++) {
		if (atomic_load(&view->state) == state)
			return true;
		usleep(1000);
	}
	return false;
}

bool app_wait_all(struct app *app, enum hr_shard_state state, uint32_t wait_ms)
{
	for (uint16_t s = 0; s < app->set.n_shards; s++)
		if (!app_wait_state(app, s, state, wait_ms)) {
			char reason[512];

			hr_owner_reason(app->owner, s, reason, sizeof(reason));
			fprintf(stderr, "shard %u is in state %u: %s\n", s,
				atomic_load(&hr_owner_shard(app->owner, s)->state),
				reason);
			return false;
		}
	return true;
}

bool app_wait_load(struct app *app, uint32_t wait_ms)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	for (uint16_t s = 0; s < app->set.n_shards; s++) {
		const struct hr_shard_view *view = hr_owner_shard(app->owner, s);

		while (atomic_load(&view->epochs_done) < app->load.max_epochs) {
			if (hr_mono_us() > until_us)
				return false;
			usleep(1000);
		}
	}
	return true;
}

uint64_t app_check_items(struct app *app, uint16_t shard, uint32_t load)
{
	uint64_t next = 0;

	for (uint64_t n = 1; n <= app_feed_last(app, shard); n++) {
		struct hr_link *link = app_feed_link(app, shard, n);
		uint32_t cursor = 0;
		struct hr_item item;

		if (link->body_kind != HR_BODY_EPOCH)
			continue;
		while (hr_item_next(link->body, &cursor, &item) > 0) {
			uint8_t want[2048];

			if (item.birth != load)
				continue;
			CU_ASSERT_EQUAL(item.random, shard);
			CU_ASSERT_EQUAL_FATAL(item.sequence, next);
			item_bytes(want, item.payload.n, load, shard, next);
			CU_ASSERT_EQUAL_FATAL(
				memcmp(item.payload.p, want, item.payload.n), 0);
			next++;
		}
	}
	return next;
}
