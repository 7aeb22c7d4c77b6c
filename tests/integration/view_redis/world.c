/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "common/clock.h"
#include "common/murmur2.h"
#include "common/wire.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/replay.h"
#include "tests/integration/view_redis/world.h"

static struct world *the_world; /* of the replays */

static void release(struct hr_link *link)
{
	free(link->release_arg);
}

/* Append the body in hand as the next link of the shard. */
static void append(struct world *w, uint16_t shard, uint16_t kind, uint32_t n_items,
		   uint32_t n_events)
{
	struct hr_link *link = calloc(1, sizeof(*link));
	struct hr_link_head head = { 0 };
	size_t bytes;

	CU_ASSERT_PTR_NOT_NULL_FATAL(link);
	link->shard = shard;
	link->n = w->shards[shard].n + 1;
	if (link->n == 1)
		hr_chain_root(&w->set, shard, &link->prev_hash);
	else
		link->prev_hash = w->shards[shard].links[link->n - 2]->hash;
	link->body_kind = kind;
	link->release_arg = malloc(w->shards[shard].body_bytes + 1);
	memcpy(link->release_arg, w->shards[shard].body, w->shards[shard].body_bytes);
	link->release = release;
	link->body = (struct hr_str){ link->release_arg, w->shards[shard].body_bytes };
	link->n_events = n_events;
	link->n_items = n_items;
	link->record_bytes = HR_LINK_HEAD_BYTES + w->shards[shard].body_bytes;
	link->clock_us = hr_wall_us();
	link->accepted_mono_us = hr_mono_us();
	link->oldest_received_us = n_items > 0 ? hr_wall_us() : 0;
	head.n = link->n;
	head.prev_hash = link->prev_hash;
	head.clock_us = link->clock_us;
	head.body_kind = kind;
	head.body = link->body;
	hr_link_hash(&w->set, shard, &head, &link->hash);
	bytes = (hr_out_bytes(link) + 63) & ~(size_t)63;
	link->held_bytes = bytes + link->record_bytes;
	link->out = hr_out_init(aligned_alloc(64, bytes), link);
	atomic_init(&link->refs, 2);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(w->shards[shard].fold, link), 0);
	while (!hr_fold_step(w->shards[shard].fold, UINT32_MAX))
		;
	CU_ASSERT_EQUAL_FATAL(link->out->verdicts[HR_COUNTED], n_events);

	pthread_mutex_lock(&w->lock);
	if (w->shards[shard].n == w->shards[shard].max) {
		w->shards[shard].max =
			w->shards[shard].max == 0 ? 1024 : 2 * w->shards[shard].max;
		w->shards[shard].links =
			realloc(w->shards[shard].links,
				w->shards[shard].max * sizeof(struct hr_link *));
	}
	w->shards[shard].links[w->shards[shard].n++] = link;
	pthread_mutex_unlock(&w->lock);
	hr_feed_put(w->feed, link);
	hr_feed_read_to(w->feed, shard, (int64_t)w->shards[shard].n, !w->is_reading);
	w->shards[shard].body_bytes = 0;
}

struct world *world_open(uint32_t n_shards, size_t keep_bytes)
{
	struct hr_chain_config config = {
		.fold_version = HR_FOLD_VERSION,
		.setting = { [HR_CHAIN_MAX_EVENTS] = 100000,
			     [HR_CHAIN_MAX_STREAMS] = 1000,
			     [HR_CHAIN_STREAM_MAX_AGE_US] = 3600000000u },
	};
	struct world *w = calloc(1, sizeof(*w));
	char path[96];

	w->is_reading = true; /* until a view starts, or load comes */
	w->set.generation = 1;
	w->set.n_shards = n_shards;
	strcpy(w->set.log_topic, "none");
	for (size_t i = 0; i < 16; i++)
		w->set.id.b[i] = (uint8_t)(hr_mono_us() >> (i % 8));
	hr_config_defaults(&w->config);
	pthread_mutex_init(&w->lock, NULL);
	CU_ASSERT_EQUAL_FATAL(hr_feed_new(&w->feed, n_shards, keep_bytes), 0);
	(void)snprintf(w->folder, sizeof(w->folder), "%s/world.XXXXXX",
		       getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(w->folder));
	(void)snprintf(path, sizeof(path), "%s/stats", w->folder);
	CU_ASSERT_EQUAL_FATAL(hr_stats_create(&w->stats, path, NULL), 0);
	for (uint16_t s = 0; s < n_shards; s++) {
		w->shards[s].body = malloc(HR_BODY_MAX);
		CU_ASSERT_EQUAL_FATAL(hr_fold_new(&w->shards[s].fold, &w->set, s, 1000),
				      0);
		w->shards[s].body_bytes =
			(uint32_t)hr_chain_config_encode(w->shards[s].body, &config);
		append(w, s, HR_BODY_CONFIG, 0, 0);
	}
	w->is_reading = false;
	the_world = w;
	return w;
}

void world_close(struct world *w)
{
	if (w->view != NULL)
		world_stop_view(w, 0);
	the_world = NULL;
	hr_feed_free(w->feed);
	for (uint16_t s = 0; s < w->set.n_shards; s++) {
		for (uint64_t i = 0; i < w->shards[s].n; i++) {
			struct hr_link *link = w->shards[s].links[i];

			CU_ASSERT_EQUAL(atomic_load(&link->refs), 1);
			hr_link_put(link);
		}
		free(w->shards[s].links);
		free(w->shards[s].body);
		hr_fold_free(w->shards[s].fold);
	}
	hr_stats_free(w->stats);
	rmdir(w->folder);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void world_name_user(uint32_t user, char out[32])
{
	(void)snprintf(out, 32, "user_%u", user);
}

uint16_t world_shard_of(const struct world *w, uint32_t user)
{
	char name[32];

	world_name_user(user, name);
	return (uint16_t)hr_kafka_partition(name, strlen(name), w->set.n_shards);
}

static int print_event(char *out, size_t max, const struct world_event *ev)
{
	static const char *const types[] = { "wish",        "product_view", "purchase",
					     "add_to_cart", "search",       "click",
					     "rating" };
	char product[40] = "", category[40] = "", user[32];

	world_name_user(ev->user, user);
	if (ev->product >= 0)
		(void)snprintf(product, sizeof(product), "\"product_id\":\"p%d\"",
			       ev->product);
	if (ev->category >= 0)
		(void)snprintf(category, sizeof(category), "\"category\":\"c %d\"",
			       ev->category);
	return snprintf(
		out, max,
		"{\"user_id\":\"%s\",\"event_type\":\"%s\",\"metadata\":{%s%s%s},"
		"\"timestamp\":%lld}\n",
		user, types[ev->type], product,
		product[0] != '\0' && category[0] != '\0' ? "," : "", category,
		(long long)ev->time_ms);
}

/* Some events a datagram, as many datagrams as it takes. */
void world_epoch(struct world *w, uint16_t shard, const struct world_event *events,
		 uint32_t n)
{
	uint32_t n_items = 0;

	for (uint32_t i = 0; i < n;) {
		char lines[32 * 256];
		struct hr_item item = { .kind = HR_ITEM_DATAGRAM,
					.codec = HR_CODEC_JSON,
					.family = 4,
					.birth = 1000,
					.random = 5,
					.sequence = ++w->shards[shard].sequence,
					.received_us = hr_wall_us() };
		size_t bytes = 0;

		for (; i < n && item.n_events < 32; i++, item.n_events++)
			bytes += (size_t)print_event(lines + bytes,
						     sizeof(lines) - bytes, &events[i]);
		item.payload = (struct hr_str){ (uint8_t *)lines, (uint32_t)bytes };
		CU_ASSERT_TRUE_FATAL(w->shards[shard].body_bytes +
					     hr_item_bytes(item.payload.n) <=
				     HR_BODY_MAX);
		w->shards[shard].body_bytes += hr_item_encode(
			w->shards[shard].body + w->shards[shard].body_bytes, &item);
		n_items++;
	}
	append(w, shard, HR_BODY_EPOCH, n_items, n);
}

uint64_t world_last(struct world *w, uint16_t shard)
{
	return hr_feed_last(w->feed, shard);
}

void world_read(struct world *w)
{
	w->is_reading = false;
	for (uint16_t s = 0; s < w->set.n_shards; s++)
		hr_feed_read_to(w->feed, s, (int64_t)w->shards[s].n, true);
}

static bool owns(const void *owner, uint16_t shard)
{
	return !atomic_load(&((struct world *)(uintptr_t)owner)->away[shard]);
}

static bool owns_others(const void *owner, uint16_t shard)
{
	return !owns(owner, shard);
}

static struct hr_view *start(struct world *w,
			     bool (*whose)(const void *owner, uint16_t shard))
{
	const struct hr_view_conf conf = { .config = &w->config,
					   .set = &w->set,
					   .feed = w->feed,
					   .stats = w->stats,
					   .owns = whose,
					   .owner = w };
	struct hr_view *view;
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_view_redis.start(&view, &conf, &err), 0);
	return view;
}

void world_start_view(struct world *w)
{
	if (!w->is_reading)
		world_read(w);
	w->view = start(w, owns);
}

struct hr_view *world_start_other(struct world *w)
{
	return start(w, owns_others);
}

bool world_stop_view(struct world *w, uint32_t drain_ms)
{
	bool r = hr_view_redis.stop(w->view, drain_ms);

	w->view = NULL;
	return r;
}

bool world_settle(struct world *w, uint32_t timeout_ms)
{
	uint64_t until = hr_mono_us() + (uint64_t)timeout_ms * 1000;
	uint16_t s = 0;

	while (s < w->set.n_shards) {
		if (hr_view_redis.applied(w->view, s) == world_last(w, s)) {
			s++;
			continue;
		}
		if (hr_mono_us() > until) {
			char reason[480];

			hr_view_redis.reason(w->view, reason, sizeof(reason));
			fprintf(stderr, "shard %u: link %llu of %llu is in Redis; %s\n",
				s,
				(unsigned long long)hr_view_redis.applied(w->view, s),
				(unsigned long long)world_last(w, s), reason);
			return false;
		}
		usleep(500);
	}
	return true;
}

/* ---- the log again ------------------------------------------------------------------- */

struct hr_replay {
	uint16_t shard;
	uint64_t next;
};

int hr_replay_open(struct hr_replay **out, const struct hr_config *config,
		   const struct hr_data_set *set, uint16_t shard, uint64_t behind_n,
		   struct hr_err *err)
{
	(void)config;
	(void)behind_n;
	(void)set;
	(void)err;
	*out = calloc(1, sizeof(**out));
	(*out)->shard = shard;
	(*out)->next = 1;
	the_world->n_replays++;
	return 0;
}

uint64_t hr_replay_n(const struct hr_replay *replay)
{
	return replay->next - 1;
}

void hr_replay_close(struct hr_replay *replay)
{
	free(replay);
}

int hr_replay_next(struct hr_replay *replay, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err)
{
	struct world *w = the_world;

	(void)err;
	pthread_mutex_lock(&w->lock);
	if (replay->next > w->shards[replay->shard].n) {
		pthread_mutex_unlock(&w->lock);
		usleep(wait_ms * 1000);
		return 0;
	}
	*out = w->shards[replay->shard].links[replay->next++ - 1];
	hr_link_get(*out);
	pthread_mutex_unlock(&w->lock);
	return 1;
}
