/* SPDX-License-Identifier: BSD-3-Clause */

/* The shipped publisher of the topics view, as a coroutine instead of a thread. */

#include <pthread.h>

#include "tests/sim/coro.h"

static int sim_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
			      const struct timespec *until);

#define pthread_cond_timedwait sim_cond_timedwait
#include "dataplane/view/topics_publisher.c"
#undef pthread_cond_timedwait

#include "tests/sim/views.h"

/* Until then; who has a link for it wakes it. */
static int sim_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
			      const struct timespec *until)
{
	uint64_t until_us =
		(uint64_t)until->tv_sec * 1000000u + (uint64_t)until->tv_nsec / 1000u;
	uint64_t now_us = hr_mono_us();

	(void)cond;
	if (now_us >= until_us)
		return ETIMEDOUT;
	pthread_mutex_unlock(lock);
	sim_coro_sleep(until_us - now_us);
	pthread_mutex_lock(lock);
	return 0;
}

struct hr_view *sim_topics_view_new(const struct hr_view_conf *conf)
{
	const uint32_t n = conf->set->n_shards;
	struct hr_view *v = calloc(1, sizeof(*v) + n * sizeof(v->publishers[0]));
	const struct hr_kafka_setting committed[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", "read_committed" },
	};
	const struct hr_kafka_setting uncommitted[] = {
		{ "isolation.level", "read_uncommitted" },
	};
	struct hr_err err;

	if (v == NULL)
		abort();
	v->conf = *conf;
	v->config = conf->config;
	v->set = *conf->set;
	v->writes_events = true;
	v->n_publishers = n;
	pthread_mutex_init(&v->lock, NULL);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		hr_kafka_topic_name(v->names[t], v->config, hr_topic_names[t]);
	hr_kafka_topic_name(v->positions_name, v->config, HR_TOPICS_POSITIONS);
	(void)hr_kafka_open(&v->committed,
			    &(struct hr_kafka_conf){ .kind = HR_KAFKA_CONSUMER,
						     .settings = committed,
						     .n_settings = 2 },
			    &err);
	(void)hr_kafka_open(&v->uncommitted,
			    &(struct hr_kafka_conf){ .kind = HR_KAFKA_CONSUMER,
						     .settings = uncommitted,
						     .n_settings = 1 },
			    &err);
	v->committed_positions = rd_kafka_topic_new(hr_kafka_handle(v->committed),
						    v->positions_name, NULL);
	v->uncommitted_positions = rd_kafka_topic_new(hr_kafka_handle(v->uncommitted),
						      v->positions_name, NULL);
	v->latency = v->up = v->error_count = v->no_cells;
	atomic_store(&v->topics_are_there, true);
	for (uint16_t s = 0; s < n; s++)
		if (hr_topics_publisher_init(&v->publishers[s], v, s, &err) < 0)
			abort();
	return v;
}

void sim_topics_view_free(struct hr_view *v)
{
	for (uint32_t s = 0; s < v->n_publishers; s++) {
		hr_topics_disconnect(&v->publishers[s]);
		hr_topics_publisher_fini(&v->publishers[s]);
	}
	rd_kafka_topic_destroy(v->committed_positions);
	rd_kafka_topic_destroy(v->uncommitted_positions);
	hr_kafka_put(v->committed);
	hr_kafka_put(v->uncommitted);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

void sim_topics_publish(void *arg)
{
	(void)hr_topics_publish(arg);
}

void *sim_topics_publisher(struct hr_view *v, uint16_t shard)
{
	return &v->publishers[shard];
}

void sim_topics_view_stop(struct hr_view *v)
{
	atomic_store(&v->stops, true);
}

const char *sim_topics_view_reason(const struct hr_view *v, uint16_t shard)
{
	return v->publishers[shard].reason;
}

uint64_t sim_topics_view_applied(const struct hr_view *v, uint16_t shard)
{
	return atomic_load(
		&((struct hr_view *)(uintptr_t)v)->publishers[shard].applied);
}

uint64_t sim_topics_view_settled(const struct hr_view *v, uint16_t shard)
{
	return atomic_load(
		&((struct hr_view *)(uintptr_t)v)->publishers[shard].settled);
}

bool sim_topics_view_is_stopped(const struct hr_view *v, uint16_t shard)
{
	return atomic_load(
		       &((struct hr_view *)(uintptr_t)v)->publishers[shard].state) ==
	       HR_VIEW_STOPPED;
}
