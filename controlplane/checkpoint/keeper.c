/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/config.h"
#include "common/log.h"
#include "controlplane/checkpoint/checkpoint.h"
#include "controlplane/checkpoint/keeper.h"
#include "dataplane/log/reader.h"

#define AGAIN_S 60
#define LOG_WAIT_MS 5000u

struct hr_keeper {
	const struct hr_config *config;
	pthread_t thread;
	atomic_bool stops;
	pthread_mutex_t lock; /* of the wait, and of what was found */
	pthread_cond_t wake;
	struct hr_keeper_found found;
};

/* Until then, or the end. */
static void wait_until(struct hr_keeper *k, time_t until)
{
	const struct timespec at = { .tv_sec = until };

	pthread_mutex_lock(&k->lock);
	while (!atomic_load(&k->stops) &&
	       pthread_cond_timedwait(&k->wake, &k->lock, &at) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&k->lock);
}

static time_t look(struct hr_keeper *k)
{
	const time_t newest = hr_checkpoint_newest(k->config);

	pthread_mutex_lock(&k->lock);
	k->found.newest = newest;
	pthread_mutex_unlock(&k->lock);
	return newest;
}

static void note(struct hr_keeper *k, bool was_made, const struct hr_err *err)
{
	pthread_mutex_lock(&k->lock);
	k->found.n_made += was_made;
	k->found.n_failed += !was_made;
	k->found.trouble = was_made ? (struct hr_err){ "" } : *err;
	pthread_mutex_unlock(&k->lock);
}

void hr_keeper_read(struct hr_keeper *k, struct hr_keeper_found *out)
{
	pthread_mutex_lock(&k->lock);
	*out = k->found;
	pthread_mutex_unlock(&k->lock);
}

static int make(struct hr_keeper *k, struct hr_err *err)
{
	struct hr_checkpoint made;
	struct hr_data_set set;
	int r = hr_data_set_find(&set, k->config, false, LOG_WAIT_MS, err);

	if (r == 0)
		r = hr_checkpoint_make(&made, k->config, &set, &k->stops, err);
	if (r == 0)
		hr_info("checkpoint", "%s: %llu bytes of Redis, verified", made.name,
			(unsigned long long)made.bytes);
	return r;
}

static void *run(void *arg)
{
	struct hr_keeper *k = arg;
	const time_t interval = (time_t)(k->config->checkpoint_interval_us / 1000000);

	while (!atomic_load(&k->stops)) {
		const time_t newest = look(k), now = time(NULL);
		struct hr_err err = { "" };
		int r;

		/* A clock that was set back is no reason to wait longer. */
		if (newest != 0 && newest <= now && newest + interval > now) {
			wait_until(k, newest + interval);
			continue;
		}
		r = make(k, &err);
		if (r < 0 && atomic_load(&k->stops))
			break;
		note(k, r == 0, &err);
		if (r == 0)
			continue;
		hr_warn("checkpoint", "none was made: %s", err.text);
		wait_until(k, time(NULL) + (interval < AGAIN_S ? interval : AGAIN_S));
	}
	return NULL;
}

int hr_keeper_new(struct hr_keeper **out, const struct hr_config *config,
		  struct hr_err *err)
{
	struct hr_keeper *k;
	int r;

	*out = NULL;
	if (config->checkpoint_folder[0] == '\0' || !config->redis_enabled)
		return 0;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return hr_fail(err, -ENOMEM, "no memory for checkpoints");
	k->config = config;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->wake, NULL);
	r = -pthread_create(&k->thread, NULL, run, k);
	if (r < 0) {
		free(k);
		return hr_fail(err, r, "no thread for checkpoints");
	}
	*out = k;
	return 0;
}

void hr_keeper_free(struct hr_keeper *k)
{
	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	atomic_store(&k->stops, true);
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
