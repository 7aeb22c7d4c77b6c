/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "controlplane/trim/trim.h"
#include "dataplane/log/log.h"
#include "dataplane/log/reader.h"

#define FIND_WAIT_MS 5000u

struct hr_trimmer {
	const struct hr_config *config;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stops, has_wish;
	char data_set[33];
	int64_t before[HR_TRIM_SHARDS_MAX];
	/* The thread's own. */
	int64_t done[HR_TRIM_SHARDS_MAX];
	char last_trouble[sizeof(((struct hr_err *)NULL)->text)];
};

/* ---- what is asked for -------------------------------------------------------------- */

static bool is_owned(const json_t *status, json_int_t shard)
{
	const json_t *s;
	size_t i;

	json_array_foreach(
		json_object_get(status, "shards"), i,
		s) if (json_integer_value(json_object_get(s, "shard")) ==
		       shard) return strcmp(json_string_value(json_object_get(s,
									      "state"))
						    ?: "",
					    "ready") == 0;
	return false;
}

uint32_t hr_trim_wishes(const json_t *status, char data_set[33],
			int64_t before[HR_TRIM_SHARDS_MAX])
{
	const char *id = json_string_value(json_object_get(status, "data_set"));
	const json_t *s;
	uint32_t n = 0;
	size_t i;

	memset(before, 0, HR_TRIM_SHARDS_MAX * sizeof(before[0]));
	data_set[0] = '\0';
	if (id == NULL || strlen(id) != 32)
		return 0;
	memcpy(data_set, id, 33);
	json_array_foreach(json_object_get(status, "snapshots"), i, s)
	{
		const json_int_t shard =
			json_integer_value(json_object_get(s, "shard"));
		const json_int_t offset =
			json_integer_value(json_object_get(s, "trim_before"));

		if (shard < 0 || shard >= HR_TRIM_SHARDS_MAX || offset <= 0 ||
		    !is_owned(status, shard))
			continue;
		before[shard] = offset;
		n++;
	}
	return n;
}

void hr_trimmer_tell(struct hr_trimmer *t, const json_t *status)
{
	int64_t before[HR_TRIM_SHARDS_MAX];
	char data_set[33];

	if (hr_trim_wishes(status, data_set, before) == 0)
		return;
	pthread_mutex_lock(&t->lock);
	if (memcmp(before, t->before, sizeof(before)) != 0) {
		memcpy(t->data_set, data_set, sizeof(data_set));
		memcpy(t->before, before, sizeof(before));
		t->has_wish = true;
		pthread_cond_signal(&t->wake);
	}
	pthread_mutex_unlock(&t->lock);
}

/* ---- the thread ------------------------------------------------------------------- */

/* The data set that the wish is about, or another one's log would be cut. */
static int set_find(const struct hr_trimmer *t, const char *wanted,
		    struct hr_data_set *set, struct hr_err *err)
{
	char found[HR_ID128_TEXT];
	int r = hr_data_set_find(set, t->config, false, FIND_WAIT_MS, err);

	if (r < 0)
		return r;
	hr_id128_print(found, &set->id);
	return strcmp(found, wanted) == 0
		       ? 0
		       : hr_fail(err, -EINVAL,
				 "the dataplane is at work on data set %s: the log is "
				 "of %s",
				 wanted, found);
}

static int trim_shards(struct hr_trimmer *t, const struct hr_log_ops *ops,
		       struct hr_log *log, const int64_t *before, struct hr_err *err)
{
	for (uint16_t s = 0; s < HR_TRIM_SHARDS_MAX; s++) {
		int r;

		if (before[s] <= t->done[s])
			continue;
		r = ops->trim(log, s, before[s], err);
		if (r < 0)
			return r;
		hr_info("trim", "shard %u: the log was trimmed up to offset %lld", s,
			(long long)before[s]);
		t->done[s] = before[s];
	}
	return 0;
}

static int trim(struct hr_trimmer *t, const char *data_set, const int64_t *before,
		struct hr_err *err)
{
	const struct hr_log_ops *ops = hr_log_ops_of(t->config);
	struct hr_data_set set;
	const struct hr_log_conf conf = { t->config, &set, "trimmer" };
	struct hr_log *log;
	int r = set_find(t, data_set, &set, err);

	if (r == 0)
		r = ops->open(&log, &conf, err);
	if (r < 0)
		return r;
	r = trim_shards(t, ops, log, before, err);
	ops->close(log);
	return r;
}

static void tell_trouble(struct hr_trimmer *t, const char *text)
{
	if (text[0] != '\0' && strcmp(text, t->last_trouble) != 0)
		hr_warn("trim", "the log is not trimmed: %s", text);
	snprintf(t->last_trouble, sizeof(t->last_trouble), "%s", text);
}

static void *run(void *arg)
{
	struct hr_trimmer *t = arg;
	int64_t before[HR_TRIM_SHARDS_MAX];
	char data_set[33];

	pthread_mutex_lock(&t->lock);
	while (!t->stops) {
		struct hr_err err = { "" };

		if (!t->has_wish) {
			pthread_cond_wait(&t->wake, &t->lock);
			continue;
		}
		t->has_wish = false;
		memcpy(before, t->before, sizeof(before));
		memcpy(data_set, t->data_set, sizeof(data_set));
		pthread_mutex_unlock(&t->lock);
		/* What failed is tried again with the next wish. */
		tell_trouble(t, trim(t, data_set, before, &err) < 0 ? err.text : "");
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int hr_trimmer_new(struct hr_trimmer **out, const struct hr_config *config,
		   struct hr_err *err)
{
	struct hr_trimmer *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the log's trimmer");
	t->config = config;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	r = -pthread_create(&t->thread, NULL, run, t);
	if (r < 0) {
		free(t);
		return hr_fail(err, r, "no thread for the log's trimmer");
	}
	*out = t;
	return 0;
}

void hr_trimmer_free(struct hr_trimmer *t)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	t->stops = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
