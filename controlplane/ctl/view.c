/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/control.h"
#include "common/log.h"
#include "controlplane/checkpoint/servers.h"
#include "controlplane/ctl/log_death.h"
#include "controlplane/ctl/view.h"
#include "dataplane/log/reader.h"
#include "dataplane/view/audit.h"
#include "dataplane/view/redis_rebuild.h"

#define FIND_WAIT_MS 10000u
#define COMMAND_MS 10000u
#define REPAIR_POLL_US 200000u
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

/* The configuration, which has to have the view (NULL: whichever it has), and the data
 * set of its log. Returns an exit code. */
static int begin(struct hr_config *config, struct hr_data_set *set, const char *path,
		 const char *view, int shard)
{
	struct hr_err err = { "" };

	if (hr_config_read(config, path, &err) < 0) {
		fprintf(stderr, "headracectl: %s\n", err.text);
		return 2;
	}
	if (view != NULL && !(strcmp(view, "redis") == 0 ? config->redis_enabled
							 : config->topics_enabled))
		return no_view(view);
	hr_log_set_level(HR_LOG_ERROR); /* what is in the way is said at the end */
	if (hr_data_set_find(set, config, false, FIND_WAIT_MS, &err) < 0) {
		fprintf(stderr, "headracectl: %s\n", err.text);
		return 1;
	}
	if (shard < (int)set->n_shards)
		return 0;
	fprintf(stderr, "headracectl: shard %d: the data set has %u, from 0 on\n",
		shard, set->n_shards);
	return 1;
}

int hr_view_audit(FILE *to, const char *path, const char *view, int shard, bool json)
{
	json_t *views = json ? json_array() : NULL;
	struct hr_config config;
	struct hr_data_set set;
	int code = begin(&config, &set, path, view, shard);

	hr_log_death_begin();
	if (code == 0) {
		code = audit_all(to, &config, &set, view, shard, views);
		if (views != NULL) {
			json_dumpf(views, to, JSON_INDENT(2));
			fputc('\n', to);
		}
	}
	json_decref(views);
	return code;
}

/* ---- rebuild ---------------------------------------------------------------------------- */

static void rebuilt_print(FILE *to, const struct hr_redis_rebuilt *done,
			  const struct hr_data_set *set, int shard)
{
	fprintf(to,
		"%" PRIu64
		" keys thrown away, %u entries of headrace:damaged cleared\n",
		done->n_keys, done->n_forgotten);
	for (uint32_t s = 0; s < set->n_shards; s++) {
		if (shard >= 0 && s != (uint32_t)shard)
			continue;
		if (done->complete_from[s] <= 1)
			fprintf(to, "shard %u: written anew from link 1\n", s);
		else
			fprintf(to,
				"shard %u: complete_from %" PRIu64
				": log and snapshots begin there, what was before is "
				"not "
				"in counts, lists and scores any more (a checkpoint "
				"that "
				"is restored instead has it)\n",
				s, done->complete_from[s]);
	}
	if (done->n_left > 0)
		fprintf(to,
			"%u entries of headrace:damaged are of categories, which all "
			"shards write: a rebuild without --shard mends them\n",
			done->n_left);
	fprintf(to, "headracectl status shows how far the view is\n");
}

static int rebuild(FILE *to, const struct hr_config *config,
		   const struct hr_data_set *set, int shard)
{
	struct hr_redis_rebuilt done = {
		.complete_from = calloc(set->n_shards, sizeof(*done.complete_from))
	};
	redisContext *redis = NULL;
	struct hr_err err = { "" };
	int r = done.complete_from == NULL
			? hr_fail(&err, -ENOMEM, "no memory")
			: hr_checkpoint_connect(&redis, config, &err);

	if (r == 0)
		r = hr_redis_rebuild(&done, config, set, shard, redis, &err);
	if (r == 0)
		rebuilt_print(to, &done, set, shard);
	else
		fprintf(stderr, "headracectl: %s\n", err.text);
	if (redis != NULL)
		redisFree(redis);
	free(done.complete_from);
	return r < 0;
}

int hr_view_rebuild(FILE *to, const char *path, int shard, bool yes)
{
	struct hr_config config;
	struct hr_data_set set;
	int code = begin(&config, &set, path, "redis", shard);

	if (code != 0)
		return code;
	if (yes)
		return rebuild(to, &config, &set, shard);
	fprintf(stderr,
		"headracectl: this deletes user:<id>:profile, recent_views, "
		"recommendations and headrace:user:* of %s%s from Redis at %s:%u, for "
		"the "
		"running appliance to write anew from the log; until it has, readers "
		"miss "
		"them. With --yes it is done.\n",
		shard < 0 ? "all users" : "the shard's users",
		shard < 0 ? ", and category:*:products," : "", config.redis_host,
		config.redis_port);
	return 1;
}

/* ---- repair ------------------------------------------------------------------------------- */

static bool is_over(const char *said)
{
	return strncmp(said, "done", 4) == 0 || strncmp(said, "failed", 6) == 0;
}

/* How the repairs of the topics go, in an answer of the dataplane. */
static const json_t *repairs_of(const json_t *status)
{
	const json_t *view;
	size_t i;

	json_array_foreach(json_object_get(status, "views"), i, view)
	{
		const char *name = json_string_value(json_object_get(view, "name"));

		if (name != NULL && strcmp(name, "topics") == 0)
			return json_object_get(view, "repairs");
	}
	return NULL;
}

/* Of one shard; "" where nothing is said. */
static const char *said_of(const json_t *repairs, json_int_t shard)
{
	const json_t *row;
	size_t i;

	json_array_foreach(repairs, i, row)
	{
		if (json_integer_value(json_object_get(row, "shard")) == shard)
			return json_string_value(json_object_get(row, "said"));
	}
	return "";
}

/* Returns an exit code, or -1 while it is not over. */
static int shard_look(FILE *to, const char *path, json_int_t shard)
{
	json_t *status = NULL;
	struct hr_err err;
	const char *said;
	int code = -1;

	if (hr_control_ask(path, "status", COMMAND_MS, &status, &err) < 0) {
		fprintf(stderr, "headracectl: %s\n", err.text);
		return 1;
	}
	said = said_of(repairs_of(status), shard);
	if (is_over(said) || said[0] == '\0') {
		fprintf(to, "shard %" JSON_INTEGER_FORMAT ": %s\n", shard,
			said[0] != '\0' ? said
					: "the dataplane was started again: ask again");
		code = strncmp(said, "done", 4) == 0 ? 0 : 1;
	}
	json_decref(status);
	return code;
}

static int shard_await(FILE *to, const char *path, json_int_t shard)
{
	int code;

	while ((code = shard_look(to, path, shard)) < 0)
		usleep(REPAIR_POLL_US);
	return code;
}

int hr_view_repair(FILE *to, const char *run_dir, int shard, bool yes)
{
	char path[HR_CONFIG_TEXT + 32];
	json_t *request, *answer = NULL;
	const json_t *row;
	struct hr_err err = { "" };
	int r, code = 0;
	size_t i;

	if (!yes) {
		fprintf(stderr,
			"headracectl: this appends to the partitions that were cut "
			"what they "
			"lost, as far as the log reaches, and lets the view go on; "
			"consumers that had read beyond the cut read some of it again. "
			"With "
			"--yes it is done.\n");
		return 1;
	}
	(void)snprintf(path, sizeof(path), "%s/" HR_CONTROL_DATAPLANE, run_dir);
	request = json_pack("{s:s,s:s}", "command", "view repair", "view", "topics");
	if (shard >= 0)
		json_object_set_new(request, "shard", json_integer(shard));
	r = hr_control_request(path, request, COMMAND_MS, &answer, &err);
	json_decref(request);
	if (r < 0) {
		fprintf(stderr, "headracectl: %s\n", err.text);
		json_decref(answer);
		return r == -ENOENT || r == -ECONNREFUSED ? 3 : 1;
	}
	json_array_foreach(json_object_get(answer, "repairs"), i, row)
	{
		const char *said = json_string_value(json_object_get(row, "said"));

		if (!is_over(said))
			code |= shard_await(
				to, path,
				json_integer_value(json_object_get(row, "shard")));
	}
	json_decref(answer);
	return code;
}
