/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/config.h"
#include "controlplane/checkpoint/checkpoint.h"
#include "controlplane/ctl/checkpoint.h"
#include "dataplane/log/reader.h"

#define LOG_WAIT_MS 10000u

static int make(const struct hr_config *config, struct hr_err *err)
{
	struct hr_checkpoint made;
	struct hr_data_set set;
	int r = hr_data_set_find(&set, config, false, LOG_WAIT_MS, err);

	if (r == 0)
		r = hr_checkpoint_make(&made, config, &set, NULL, err);
	if (r == 0)
		printf("%s: %llu bytes, loaded and compared: %u positions, %llu "
		       "users\n",
		       made.name, (unsigned long long)made.bytes, set.n_shards,
		       (unsigned long long)made.n_users);
	return r;
}

int hr_ctl_checkpoint(const char *config_path, int n, char **words)
{
	struct hr_err err = { "" };
	struct hr_config config;
	int r = hr_config_read(&config, config_path, &err);

	if (n < 1)
		return 2;
	if (r == 0 && n == 1 && strcmp(words[0], "make") == 0)
		r = make(&config, &err);
	else if (r == 0 && n == 1 && strcmp(words[0], "list") == 0)
		r = hr_checkpoint_list(stdout, &config, &err);
	else if (r == 0 && n == 3 && strcmp(words[0], "restore") == 0)
		r = hr_checkpoint_restore(&config, words[1], words[2], &err);
	else if (r == 0)
		return 2;
	if (r >= 0)
		return 0;
	fprintf(stderr, "headracectl: %s\n", err.text);
	return 1;
}

static bool goes_over(const json_t *status)
{
	const json_int_t own =
		json_integer_value(json_object_get(status, "fold_version"));
	const json_t *shard;
	size_t i;

	json_array_foreach(json_object_get(status, "shards"), i, shard)
	{
		const json_int_t v =
			json_integer_value(json_object_get(shard, "fold_version"));

		if (v != 0 && v < own)
			return true;
	}
	return false;
}

int hr_ctl_checkpoint_first(const char *config_path, const json_t *status)
{
	struct hr_err err = { "" };
	struct hr_config config;
	int r;

	if (!goes_over(status))
		return 0;
	if (config_path == NULL) {
		fprintf(stderr,
			"headracectl: shards go over to another fold version: say "
			"--config FILE and not --run-dir, because a checkpoint of "
			"Redis is taken first where they are configured\n");
		return 1;
	}
	r = hr_config_read(&config, config_path, &err);
	if (r == 0 && config.redis_enabled && config.checkpoint_folder[0] != '\0')
		r = make(&config, &err);
	else if (r == 0)
		printf("no checkpoint of Redis is taken first: %s\n",
		       config.redis_enabled ? "checkpoint.folder is empty"
					    : "the Redis view is off");
	if (r == 0)
		return 0;
	fprintf(stderr,
		"headracectl: nothing was committed, because no checkpoint could be "
		"taken first: %s\n",
		err.text);
	return 1;
}
