/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "controlplane/ctl/log.h"
#include "controlplane/ctl/log_death.h"
#include "controlplane/ctl/log_print.h"
#include "controlplane/ctl/log_walk.h"
#include "dataplane/log/reader.h"

#define FIND_WAIT_MS 10000u
#define NEWEST 20u /* records, when nobody says which */

/* The configuration, and the data set of its log. Returns an exit code. */
static int begin(struct hr_config *config, struct hr_data_set *set, const char *path)
{
	struct hr_err err = { "" };
	int r = hr_config_read(config, path, &err);

	hr_log_death_begin();
	if (r == 0) {
		hr_log_set_level(
			HR_LOG_ERROR); /* what is in the way is said at the end */
		r = hr_data_set_find(set, config, false, FIND_WAIT_MS, &err);
		if (r == 0)
			return 0;
		fprintf(stderr, "headracectl: %s\n", err.text);
		return 1;
	}
	fprintf(stderr,
		"headracectl: %s\nheadracectl: the log is read by its configuration: "
		"--config FILE says which\n",
		err.text);
	return 2;
}

static int no_such(const struct hr_data_set *set, unsigned int shard)
{
	fprintf(stderr, "headracectl: shard %u: the data set has %u, from 0 on\n",
		shard, set->n_shards);
	return 1;
}

/* ---- show ---------------------------------------------------------------------- */

struct showing {
	FILE *to;
	uint64_t from_n, to_n;
	bool json;
	/* Of the newest, when nobody said which: a ring of texts. */
	char *newest[NEWEST];
	uint64_t n;
};

static void show_one(const struct showing *s, FILE *to, const struct hr_walked *walked)
{
	if (s->json)
		hr_log_print_json(to, walked);
	else
		hr_log_print_text(to, walked);
}

static bool keep_newest(struct showing *s, const struct hr_walked *walked)
{
	char **at = &s->newest[s->n++ % NEWEST];
	size_t bytes;
	FILE *text;

	free(*at);
	*at = NULL;
	text = open_memstream(at, &bytes);
	if (text == NULL)
		return false;
	show_one(s, text, walked);
	fclose(text);
	return true;
}

static bool show(void *ctx, const struct hr_walked *walked)
{
	struct showing *s = ctx;

	if (s->from_n == 0)
		return keep_newest(s, walked);
	if (walked->chain->n > s->to_n)
		return false;
	if (walked->chain->n >= s->from_n)
		show_one(s, s->to, walked);
	return true;
}

static void put_newest(struct showing *s)
{
	for (uint64_t i = 0; i < NEWEST; i++) {
		char **at = &s->newest[(s->n + i) % NEWEST];

		if (*at != NULL)
			fputs(*at, s->to);
		free(*at);
	}
}

int hr_log_show(FILE *to, const char *path, uint16_t shard, uint64_t from_n,
		uint64_t to_n, bool json)
{
	struct showing s = { .to = to, .from_n = from_n, .to_n = to_n, .json = json };
	struct hr_config config;
	struct hr_data_set set;
	struct hr_walk_sum sum;
	struct hr_err err;
	int r = begin(&config, &set, path);

	if (r != 0)
		return r;
	if (shard >= set.n_shards)
		return no_such(&set, shard);
	r = hr_walk(&sum, &config, &set, shard, show, &s, &err);
	put_newest(&s);
	if (r < 0)
		fprintf(stderr, "headracectl: %s\n", err.text);
	else if (sum.fault[0] != '\0')
		fprintf(stderr, "headracectl: at offset %" PRId64 ": %s\n",
			sum.fault_offset, sum.fault);
	return r < 0 || sum.fault[0] != '\0';
}

/* ---- verify -------------------------------------------------------------------- */

/* Returns whether the shard is well. */
static bool verify_one(FILE *to, const struct hr_config *config,
		       const struct hr_data_set *set, uint16_t shard, json_t *list)
{
	struct hr_walk_sum sum;
	struct hr_err err;

	if (hr_walk(&sum, config, set, shard, NULL, NULL, &err) < 0)
		(void)snprintf(sum.fault, sizeof(sum.fault),
			       "not read to its end: %.300s", err.text);
	if (list != NULL)
		json_array_append_new(list, hr_log_sum_json(&sum, shard));
	else
		hr_log_sum_print(to, &sum, shard);
	return sum.fault[0] == '\0';
}

int hr_log_verify(FILE *to, const char *path, int shard, bool json)
{
	json_t *list = json ? json_array() : NULL;
	struct hr_config config;
	struct hr_data_set set;
	bool is_well = true;
	int r = begin(&config, &set, path);

	if (r == 0 && shard >= (int)set.n_shards)
		r = no_such(&set, (unsigned int)shard);
	for (uint32_t s = 0; r == 0 && s < set.n_shards; s++)
		if (shard < 0 || s == (uint32_t)shard)
			is_well &= verify_one(to, &config, &set, (uint16_t)s, list);
	if (r == 0 && json) {
		json_dumpf(list, to, JSON_INDENT(2));
		fputc('\n', to);
	}
	json_decref(list);
	return r != 0 ? r : is_well ? 0 : 1;
}
