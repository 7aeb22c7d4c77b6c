/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "common/clock.h"
#include "common/murmur2.h"
#include "common/wire.h"
#include "dataplane/view/replay.h"
#include "tests/integration/view_topics/source.h"

#define FIRST_MS 1705314600000 /* 2024-01-15T10:30:00Z */
#define EVENTS_A_DATAGRAM 6

/* ---- events ------------------------------------------------------------------------- */

/* User number i of the shard; some have characters that JSON escapes. */
static void user_name(char out[64], uint32_t n_shards, uint16_t shard, uint32_t i)
{
	static const char *const forms[] = { "user_%u", "\xc3\xbcser-%u",
					     "u\"quoted\\%u" };

	for (uint32_t k = 0;; k++) {
		int n = snprintf(out, 64, forms[i % 3], k);

		if (hr_kafka_partition(out, (size_t)n, n_shards) == shard && i-- == 0)
			return;
	}
}

static const char *cached_user(uint32_t n_shards, uint16_t shard, uint32_t i)
{
	static char names[SOURCE_SHARDS_MAX][SOURCE_USERS][64];
	static uint32_t made_for;

	if (made_for != n_shards) {
		for (uint16_t s = 0; s < n_shards; s++)
			for (uint32_t u = 0; u < SOURCE_USERS; u++)
				user_name(names[s][u], n_shards, s, u);
		made_for = n_shards;
	}
	return names[shard][i];
}

void source_event(struct source_event *e, uint32_t n_shards, uint16_t shard, uint64_t k)
{
	static const char *const types[] = { "product_view", "purchase", "click",
					     "product_view", "search",   "add_to_cart",
					     "rating",       "wish" };
	uint64_t mixed = k * 2654435761u >> 7;

	memset(e, 0, sizeof(*e));
	snprintf(e->id, sizeof(e->id), "e%u.%llu", shard, (unsigned long long)k);
	snprintf(e->user, sizeof(e->user), "%s",
		 cached_user(n_shards, shard, (uint32_t)(mixed % SOURCE_USERS)));
	e->type = types[k % 8];
	if (k % 5 != 4) {
		snprintf(e->product, sizeof(e->product), "product_%u",
			 (unsigned int)(mixed % 1000));
		snprintf(e->category, sizeof(e->category), "cat \"%u\"",
			 (unsigned int)(k % 7));
		e->quantity = (int)(k % 9) + 1;
	}
	e->time_ms = FIRST_MS + (int64_t)k * 10 + shard;
	e->time_is_text = k % 3 == 0;
	if (k % 101 == 50)
		e->reject = "type";
	else if (k % 101 == 70)
		e->reject = "user";
	else if (k % 101 == 90 && n_shards > 1)
		e->reject = "wrong_shard";
	if (e->reject != NULL && strcmp(e->reject, "type") == 0)
		e->type = "";
	if (e->reject != NULL && strcmp(e->reject, "user") == 0)
		e->user[0] = '\0';
	if (e->reject != NULL && strcmp(e->reject, "wrong_shard") == 0)
		snprintf(e->user, sizeof(e->user), "%s",
			 cached_user(n_shards, (uint16_t)((shard + 1) % n_shards), 0));
}

static char *quote(char *at, const char *text)
{
	*at++ = '"';
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			*at++ = '\\';
		*at++ = *text;
	}
	*at++ = '"';
	return at;
}

uint32_t source_render(const struct source_event *e, char out[SOURCE_EVENT_MAX])
{
	char *at = stpcpy(out, "{\"event_id\":");

	at = quote(at, e->id);
	if (e->user[0] != '\0') {
		at = stpcpy(at, ", \"user_id\":");
		at = quote(at, e->user);
	}
	at = stpcpy(at, ",\"event_type\": ");
	at = quote(at, e->type);
	if (e->product[0] != '\0') {
		at = stpcpy(at, ",\"metadata\":{\"product_id\":");
		at = quote(at, e->product);
		at = stpcpy(at, ",\"category\":");
		at = quote(at, e->category);
		at += sprintf(at, ",\"quantity\":%d,\"note\":\"a\\u0009b\"}",
			      e->quantity);
	}
	if (e->time_is_text) {
		time_t seconds = (time_t)(e->time_ms / 1000);
		struct tm tm;

		gmtime_r(&seconds, &tm);
		at += strftime(at, 64, ",\"timestamp\":\"%Y-%m-%dT%H:%M:%S", &tm);
		at += sprintf(at, ".%03d\"}", (int)(e->time_ms % 1000));
	} else {
		at += sprintf(at, ",\"timestamp\":%lld}", (long long)e->time_ms);
	}
	return (uint32_t)(at - out);
}

/* ---- source --------------------------------------------------------------------------- */

static void fresh_config(struct hr_config *config, uint32_t n_shards)
{
	static unsigned int n;

	hr_config_defaults(config);
	snprintf(config->kafka_brokers, sizeof(config->kafka_brokers), "%s",
		 getenv("HR_TEST_BROKERS"));
	snprintf(config->topic_prefix, sizeof(config->topic_prefix), "t%d.%u.",
		 (int)getpid(), n++);
	config->n_shards = n_shards;
	config->stream_max = 1000;
	config->user_events_partitions = 4 * n_shards;
	config->product_views_partitions = 2 * n_shards;
	config->purchases_partitions = 2 * n_shards;
	config->dead_letters_partitions = n_shards;
}

static void produce(struct source *x, uint16_t shard, const void *bytes, size_t n)
{
	while (rd_kafka_produce(x->log, shard, RD_KAFKA_MSG_F_COPY,
				(void *)(uintptr_t)bytes, n, NULL, 0, NULL) < 0) {
		CU_ASSERT_EQUAL_FATAL(rd_kafka_last_error(),
				      RD_KAFKA_RESP_ERR__QUEUE_FULL);
		rd_kafka_poll(hr_kafka_handle(x->producer), 10);
	}
	rd_kafka_poll(hr_kafka_handle(x->producer), 0);
}

static void append_link(struct source *x, uint16_t shard, uint16_t kind,
			uint32_t body_bytes)
{
	struct source_shard *s = &x->shards[shard];
	struct hr_link_head head = {
		.owner = s->owner,
		.n = s->n + 1,
		.prev_hash = s->hash,
		.clock_us = hr_wall_us(),
		.body_kind = kind,
		.body = { x->record + HR_LINK_HEAD_BYTES, body_bytes },
	};
	struct hr_id128 hash;

	hr_link_hash(&x->set, shard, &head, &hash);
	produce(x, shard, x->record,
		hr_record_encode_link(x->record, &x->set, shard, &head));
	s->n = head.n;
	s->hash = hash;
}

static void begin_chain(struct source *x, uint16_t shard)
{
	struct source_shard *s = &x->shards[shard];
	struct hr_chain_config config = {
		.fold_version = HR_FOLD_VERSION,
		.setting = { [HR_CHAIN_MAX_EVENTS] = 100000,
			     [HR_CHAIN_MAX_STREAMS] = 1000,
			     [HR_CHAIN_STREAM_MAX_AGE_US] = 3600000000u },
	};
	struct hr_fence fence = { .incarnation = 1 };

	CU_ASSERT_EQUAL_FATAL(getrandom(&s->owner, sizeof(s->owner), 0), 16);
	fence.owner = s->owner;
	produce(x, shard, x->record,
		hr_record_encode_fence(x->record, &x->set, shard, &fence));
	hr_chain_root(&x->set, shard, &s->hash);
	append_link(x, shard, HR_BODY_CONFIG,
		    (uint32_t)hr_chain_config_encode(x->record + HR_LINK_HEAD_BYTES,
						     &config));
}

struct source *source_open(uint32_t n_shards)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.idempotence", "true" },
		{ "message.timeout.ms", "0" },
		{ "linger.ms", "0" },
	};
	struct source *x = calloc(1, sizeof(*x));
	struct hr_kafka_conf conf = { .config = &x->config,
				      .kind = HR_KAFKA_PRODUCER,
				      .room = "test",
				      .name = "source",
				      .settings = settings,
				      .n_settings = 3 };
	struct hr_err err = { "" };

	fresh_config(&x->config, n_shards);
	if (hr_data_set_find(&x->set, &x->config, true, 20000, &err) < 0 ||
	    hr_kafka_open(&x->producer, &conf, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		CU_FAIL_FATAL("no data set, or no producer");
	}
	x->record = aligned_alloc(64, (HR_RECORD_MAX + 63) / 64 * 64);
	x->log = rd_kafka_topic_new(hr_kafka_handle(x->producer), x->set.log_topic,
				    NULL);
	for (uint16_t s = 0; s < n_shards; s++)
		begin_chain(x, s);
	source_flush(x);
	return x;
}

void source_close(struct source *x)
{
	rd_kafka_topic_destroy(x->log);
	hr_kafka_put(x->producer);
	free(x->record);
	free(x);
}

/* One datagram of n events; returns its bytes in the body. */
static uint32_t put_datagram(struct source *x, uint16_t shard, uint8_t *at, uint32_t n)
{
	struct source_shard *s = &x->shards[shard];
	char lines[EVENTS_A_DATAGRAM * (SOURCE_EVENT_MAX + 1)];
	struct hr_item item = {
		.kind = HR_ITEM_DATAGRAM,
		.codec = HR_CODEC_JSON,
		.family = 4,
		.n_events = (uint16_t)n,
		.source_port = 4711,
		.key_id = 77,
		.birth = 1000000,
		.random = shard,
		.sequence = ++s->sequence,
		.source = { 192, 0, 2, 1 },
		.received_us = hr_wall_us(),
		.payload = { (uint8_t *)lines, 0 },
	};
	uint32_t bytes;

	for (uint32_t i = 0; i < n; i++) {
		struct source_event e;

		source_event(&e, x->set.n_shards, shard, s->next_k++);
		item.payload.n += source_render(&e, lines + item.payload.n);
		lines[item.payload.n++] = '\n';
	}
	bytes = hr_item_encode(at, &item);
	if (s->sequence % 10 == 0) /* once more: fold says repeated */
		bytes += hr_item_encode(at + bytes, &item);
	return bytes;
}

void source_append(struct source *x, uint16_t shard, uint32_t n_events)
{
	uint8_t *body = x->record + HR_LINK_HEAD_BYTES;
	uint32_t bytes = 0;

	while (n_events > 0) {
		uint32_t n =
			n_events < EVENTS_A_DATAGRAM ? n_events : EVENTS_A_DATAGRAM;

		bytes += put_datagram(x, shard, body + bytes, n);
		n_events -= n;
		CU_ASSERT_TRUE_FATAL(bytes < HR_BODY_MAX - 16384);
	}
	append_link(x, shard, HR_BODY_EPOCH, bytes);
}

void source_load(struct source *x, uint32_t n_links, uint32_t n_events)
{
	for (uint32_t i = 0; i < n_links; i++)
		for (uint16_t s = 0; s < x->set.n_shards; s++)
			source_append(x, s, n_events);
}

void source_flush(struct source *x)
{
	CU_ASSERT_EQUAL_FATAL(rd_kafka_flush(hr_kafka_handle(x->producer), 60000), 0);
}

/* ---- follower -------------------------------------------------------------------------- */

/* Not by CUnit: also a process without a suite follows. */
static void must(bool is_there, const char *what)
{
	if (is_there)
		return;
	fprintf(stderr, "there is not %s\n", what);
	abort();
}

struct follow_arg {
	struct follower *f;
	uint16_t shard;
};

/* As the committer does; the link is the feed's then. */
static void put(struct hr_feed *feed, struct hr_link *link)
{
	const uint16_t shard = link->shard;
	const int64_t offset = link->offset;

	hr_feed_put(feed, link);
	hr_feed_read_to(feed, shard, offset + 1, false);
}

static void *follow(void *p)
{
	struct follow_arg arg = *(struct follow_arg *)p;
	struct hr_replay *replay;
	struct hr_err err = { "" };
	int r;

	free(p);
	r = hr_replay_open(&replay, arg.f->config, arg.f->set, arg.shard, 0, &err);
	while (r >= 0 && !atomic_load(&arg.f->stops)) {
		struct hr_link *link;

		r = hr_replay_next(replay, 50, &link, &err);
		if (r > 0)
			put(arg.f->feed, link);
	}
	if (r < 0)
		fprintf(stderr, "follower: %s\n", err.text);
	must(r >= 0, "a log to follow");
	hr_replay_close(replay);
	return NULL;
}

void follower_start(struct follower *f, const struct hr_config *config,
		    const struct hr_data_set *set, size_t keep_bytes)
{
	f->config = config;
	f->set = set;
	atomic_store(&f->stops, false);
	must(hr_feed_new(&f->feed, set->n_shards, keep_bytes) == 0, "a feed");
	for (uint16_t s = 0; s < set->n_shards; s++) {
		struct follow_arg *arg = malloc(sizeof(*arg));

		*arg = (struct follow_arg){ f, s };
		must(pthread_create(&f->threads[s], NULL, follow, arg) == 0,
		     "a thread");
	}
}

void follower_stop(struct follower *f)
{
	atomic_store(&f->stops, true);
	for (uint16_t s = 0; s < f->set->n_shards; s++)
		pthread_join(f->threads[s], NULL);
	hr_feed_free(f->feed);
}

bool follower_wait(struct follower *f, const struct source *x, uint32_t wait_ms)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	for (uint16_t s = 0; s < x->set.n_shards; s++)
		while (hr_feed_last(f->feed, s) < x->shards[s].n) {
			if (hr_mono_us() > until_us)
				return false;
			usleep(1000);
		}
	return true;
}
