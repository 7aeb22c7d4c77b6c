/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "controlplane/checkpoint/servers.h"
#include "controlplane/ctl/view.h"
#include "dataplane/log/reader.h"
#include "dataplane/view/audit.h"

#define FIND_WAIT_MS 10000u
#define SHOWN 50u /* differences of each kind that people are shown */

struct auditing {
	FILE *to;
	json_t *list; /* of differences; NULL: for people */
	uint64_t n[HR_AUDIT_KINDS];
};

/* ---- a difference ----------------------------------------------------------------------- */

static void add_place(json_t *o, const struct hr_audit_finding *f)
{
	if (f->shard >= 0)
		json_object_set_new(o, "shard", json_integer(f->shard));
	if (f->key != NULL)
		json_object_set_new(o, "key", json_string(f->key));
	if (f->topic == NULL)
		return;
	json_object_set_new(o, "topic", json_string(f->topic));
	json_object_set_new(o, "partition", json_integer(f->partition));
	json_object_set_new(o, "range",
			    json_pack("[I,I]", (json_int_t)f->from, (json_int_t)f->to));
	json_object_set_new(o, "records", json_integer((json_int_t)f->count));
	if (f->last_n > 0)
		json_object_set_new(o, "n",
				    json_pack("[I,I]", (json_int_t)f->first_n,
					      (json_int_t)f->last_n));
}

static void print_topic(FILE *to, const struct hr_audit_finding *f)
{
	fprintf(to, "%s, partition %d, offsets %" PRId64 " to %" PRId64 ": ", f->topic,
		f->partition, f->from, f->to);
	if (f->count > 0)
		fprintf(to, "%" PRIu64 " record%s", f->count, f->count == 1 ? "" : "s");
	if (f->count > 0 && f->last_n > 0)
		fprintf(to, " of links %" PRIu64 " to %" PRIu64, f->first_n, f->last_n);
	if (f->count > 0)
		fprintf(to, ": ");
}

static void found(void *ctx, const struct hr_audit_finding *f)
{
	struct auditing *x = ctx;

	x->n[f->kind]++;
	if (x->list != NULL) {
		json_t *o = json_pack("{s:s,s:s}", "kind", hr_audit_kinds[f->kind],
				      "text", f->text);

		add_place(o, f);
		json_array_append_new(x->list, o);
		return;
	}
	if (x->n[f->kind] > SHOWN)
		return;
	fprintf(x->to, "  %-8s ", hr_audit_kinds[f->kind]);
	if (f->shard >= 0)
		fprintf(x->to, "shard %d: ", f->shard);
	if (f->topic != NULL)
		print_topic(x->to, f);
	else if (f->key != NULL)
		fprintf(x->to, "%s ", f->key);
	fprintf(x->to, "%s\n", f->text);
}

/* ---- one view -------------------------------------------------------------------------- */

static json_t *sum_json(const struct hr_audit_sum *sum, uint32_t shard, bool is_redis)
{
	json_t *o = json_pack("{s:i,s:b,s:I,s:I,s:I}", "shard", (int)shard, "compared",
			      (int)sum->is_compared, "link", (json_int_t)sum->n,
			      "from_link", (json_int_t)sum->from_n, "differences",
			      (json_int_t)sum->n_findings);

	json_object_set_new(o, is_redis ? "users" : "partitions",
			    json_integer((json_int_t)(is_redis ? sum->n_users
							       : sum->n_partitions)));
	json_object_set_new(
		o, is_redis ? "keys" : "records",
		json_integer((json_int_t)(is_redis ? sum->n_values : sum->n_records)));
	return o;
}

static void sum_print(FILE *to, const char *view, const struct hr_audit_sum *sum,
		      uint32_t shard)
{
	if (!sum->is_compared) {
		fprintf(to, "%s, shard %u: not compared\n", view, shard);
		return;
	}
	fprintf(to, "%s, shard %u: at link %" PRIu64, view, shard, sum->n);
	if (sum->from_n > 1)
		fprintf(to, ", compared from link %" PRIu64 " on", sum->from_n);
	if (strcmp(view, "redis") == 0)
		fprintf(to, ": %" PRIu64 " keys of %" PRIu64 " users", sum->n_values,
			sum->n_users);
	else
		fprintf(to, ": %" PRIu64 " records in %" PRIu64 " partitions",
			sum->n_records, sum->n_partitions);
	fprintf(to, ", %" PRIu64 " difference%s\n", sum->n_findings,
		sum->n_findings == 1 ? "" : "s");
}

static void print_rest(struct auditing *x)
{
	for (uint32_t k = 0; k < HR_AUDIT_KINDS && x->list == NULL; k++)
		if (x->n[k] > SHOWN)
			fprintf(x->to,
				"  and %" PRIu64
				" more of kind \"%s\": --json has all\n",
				x->n[k] - SHOWN, hr_audit_kinds[k]);
}

static int compare(struct hr_audit *a, bool is_redis, struct hr_err *err)
{
	redisContext *redis = NULL;
	int r;

	if (!is_redis)
		return hr_audit_topics(a, err);
	r = hr_checkpoint_connect(&redis, a->config, err);
	if (r == 0)
		r = hr_audit_redis(a, redis, err);
	if (redis != NULL)
		redisFree(redis);
	return r;
}

/* Returns an exit code. */
static int audit_one(FILE *to, const struct hr_config *config,
		     const struct hr_data_set *set, const char *view, int shard,
		     json_t *views)
{
	struct auditing x = { .to = to, .list = views == NULL ? NULL : json_array() };
	struct hr_audit_sum *sums = calloc(set->n_shards, sizeof(*sums));
	struct hr_audit a = { .config = config,
			      .set = set,
			      .shard = shard,
			      .found = found,
			      .ctx = &x,
			      .sums = sums };
	json_t *shards = json_array();
	struct hr_err err = { "" };
	int r = sums == NULL ? -ENOMEM : compare(&a, strcmp(view, "redis") == 0, &err);

	for (uint32_t s = 0; r == 0 && s < set->n_shards; s++)
		if (hr_audit_wants(&a, s) && views == NULL)
			sum_print(to, view, &sums[s], s);
		else if (hr_audit_wants(&a, s))
			json_array_append_new(
				shards,
				sum_json(&sums[s], s, strcmp(view, "redis") == 0));
	print_rest(&x);
	if (r < 0)
		fprintf(stderr, "headracectl: %s: %s\n", view, err.text);
	if (views != NULL)
		json_array_append_new(
			views, json_pack("{s:s,s:b,s:s,s:O,s:o}", "view", view, "right",
					 (int)(r == 0 && a.n_findings == 0), "trouble",
					 r < 0 ? err.text : "", "shards", shards,
					 "differences", x.list));
	json_decref(shards);
	free(sums);
	return r < 0 || a.n_findings > 0;
}

/* ---- both ------------------------------------------------------------------------------- */

static int no_view(const char *view)
{
	fprintf(stderr, "headracectl: the configuration has no %s view\n", view);
	return 2;
}

static int audit_all(FILE *to, const struct hr_config *config,
		     const struct hr_data_set *set, const char *view, int shard,
		     json_t *views)
{
	int code = 0;

	if (config->redis_enabled && (view == NULL || strcmp(view, "redis") == 0))
		code |= audit_one(to, config, set, "redis", shard, views);
	if (config->topics_enabled && (view == NULL || strcmp(view, "topics") == 0))
		code |= audit_one(to, config, set, "topics", shard, views);
	return code;
}

int hr_view_audit(FILE *to, const char *path, const char *view, int shard, bool json)
{
	json_t *views = json ? json_array() : NULL;
	struct hr_err err = { "" };
	struct hr_config config;
	struct hr_data_set set;
	int code = 2;

	if (hr_config_read(&config, path, &err) < 0)
		fprintf(stderr, "headracectl: %s\n", err.text);
	else if (view != NULL && !(strcmp(view, "redis") == 0 ? config.redis_enabled
							      : config.topics_enabled))
		code = no_view(view);
	else
		code = 0;
	hr_log_set_level(HR_LOG_ERROR); /* what is in the way is said at the end */
	if (code == 0 &&
	    hr_data_set_find(&set, &config, false, FIND_WAIT_MS, &err) < 0) {
		fprintf(stderr, "headracectl: %s\n", err.text);
		code = 1;
	} else if (code == 0 && shard >= (int)set.n_shards) {
		fprintf(stderr,
			"headracectl: shard %d: the data set has %u, from 0 on\n",
			shard, set.n_shards);
		code = 1;
	} else if (code == 0) {
		code = audit_all(to, &config, &set, view, shard, views);
		if (views != NULL) {
			json_dumpf(views, to, JSON_INDENT(2));
			fputc('\n', to);
		}
	}
	json_decref(views);
	return code;
}
