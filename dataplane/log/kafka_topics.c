/* SPDX-License-Identifier: BSD-3-Clause */

/* Topics: made where they are missing, compared setting by setting where they are. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/log/kafka.h"

#define TEXT_BYTES 256
#define ASK_MS 500u /* one question; asked again until the time is over */
#define PAUSE_US 20000u

struct ensure {
	const struct hr_config *config;
	struct hr_kafka *client;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	uint32_t replication;
	uint64_t until_us;
	uint32_t wait_ms;
};

void hr_kafka_topic_name(char out[HR_KAFKA_TOPIC_NAME], const struct hr_config *config,
			 const char *name)
{
	snprintf(out, HR_KAFKA_TOPIC_NAME, "%s%s", config->topic_prefix, name);
}

struct hr_kafka_topic hr_kafka_topic_kept(const char *name, uint32_t n_partitions)
{
	static const struct hr_kafka_topic_setting settings[] = {
		{ "cleanup.policy", "delete", HR_KAFKA_EQUAL },
		{ "retention.ms", "-1", HR_KAFKA_EQUAL },
		{ "retention.bytes", "-1", HR_KAFKA_EQUAL },
		{ "message.timestamp.type", "LogAppendTime", HR_KAFKA_EQUAL },
		{ "unclean.leader.election.enable", "false", HR_KAFKA_EQUAL },
		/* A record and what Kafka wraps around it. */
		{ "max.message.bytes", "901000", HR_KAFKA_AT_LEAST },
	};
	struct hr_kafka_topic t = {
		.n_partitions = n_partitions,
		.partitions_key = "data_set.shards",
		.is_durable = true,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};

	snprintf(t.name, sizeof(t.name), "%s", name);
	return t;
}

static bool is_over(const struct ensure *e)
{
	return hr_mono_us() >= e->until_us;
}

static int out_of_reach(struct ensure *e, const char *what, struct hr_err *err)
{
	char last[TEXT_BYTES];

	rd_kafka_poll(e->rk, 0);
	hr_kafka_last_error(e->client, last, sizeof(last));
	return hr_fail(err, -EIO, "Kafka at %s: %s was not possible within %u ms%s%s",
		       e->config->kafka_brokers, what, e->wait_ms,
		       last[0] != '\0' ? "; last error: " : "", last);
}

/* Metadata of all topics; the caller destroys it. */
static int metadata_get(struct ensure *e, const struct rd_kafka_metadata **out,
			struct hr_err *err)
{
	while (rd_kafka_metadata(e->rk, 1, NULL, out, (int)ASK_MS) !=
	       RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_poll(e->rk, 0);
		if (is_over(e))
			return out_of_reach(e, "asking for the topics", err);
		usleep(PAUSE_US);
	}
	return 0;
}

static const struct rd_kafka_metadata_topic *
topic_find(const struct rd_kafka_metadata *md, const char *name)
{
	for (int i = 0; i < md->topic_cnt; i++)
		if (strcmp(md->topics[i].topic, name) == 0 &&
		    md->topics[i].err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
			return &md->topics[i];
	return NULL;
}

static bool has_leaders(const struct rd_kafka_metadata_topic *t)
{
	for (int i = 0; i < t->partition_cnt; i++)
		if (t->partitions[i].leader < 0)
			return false;
	return t->partition_cnt > 0 && t->err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void replication_choose(struct ensure *e, const struct rd_kafka_metadata *md)
{
	e->replication = e->config->kafka_replication;
	if (e->replication == 0)
		e->replication = md->broker_cnt >= 3 ? 3 : 1;
}

static bool wants_min_insync(const struct ensure *e, const struct hr_kafka_topic *topic)
{
	return topic->is_durable && e->replication >= 3;
}

static rd_kafka_NewTopic_t *new_topic(const struct ensure *e,
				      const struct hr_kafka_topic *topic,
				      struct hr_err *err)
{
	char text[TEXT_BYTES];
	rd_kafka_NewTopic_t *t =
		rd_kafka_NewTopic_new(topic->name, (int)topic->n_partitions,
				      (int)e->replication, text, sizeof(text));

	if (t == NULL) {
		hr_fail(err, -EINVAL, "topic %s: %s", topic->name, text);
		return NULL;
	}
	for (uint32_t i = 0; i < topic->n_settings; i++)
		if (topic->settings[i].must != HR_KAFKA_AT_LEAST)
			rd_kafka_NewTopic_set_config(t, topic->settings[i].name,
						     topic->settings[i].value);
	if (wants_min_insync(e, topic))
		rd_kafka_NewTopic_set_config(t, "min.insync.replicas", "2");
	return t;
}

static rd_kafka_AdminOptions_t *options_new(const struct ensure *e,
					    rd_kafka_admin_op_t op, bool waits)
{
	rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(e->rk, op);

	rd_kafka_AdminOptions_set_request_timeout(o, 10000, NULL, 0);
	if (waits)
		rd_kafka_AdminOptions_set_operation_timeout(o, 8000, NULL, 0);
	return o;
}

static int make_result(const rd_kafka_topic_result_t *result, struct hr_err *err)
{
	rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result);
	const char *text = rd_kafka_topic_result_error_string(result);

	switch (code) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		hr_info("log", "topic %s: made", rd_kafka_topic_result_name(result));
		return 0;
	case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: /* somebody was quicker */
		return 0;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return hr_fail(err, -EACCES, "making topic %s: %s",
			       rd_kafka_topic_result_name(result),
			       text != NULL ? text : rd_kafka_err2str(code));
	case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
	case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
		return hr_fail(err, -EINVAL, "making topic %s: %s",
			       rd_kafka_topic_result_name(result),
			       text != NULL ? text : rd_kafka_err2str(code));
	default:
		return -EAGAIN;
	}
}

/* 0, -EAGAIN (ask again), or a final error. */
static int make_missing_once(struct ensure *e, rd_kafka_NewTopic_t **made,
			     size_t n_made, struct hr_err *err)
{
	rd_kafka_AdminOptions_t *o =
		options_new(e, RD_KAFKA_ADMIN_OP_CREATETOPICS, true);
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	size_t n = 0;
	int r = 0;

	rd_kafka_CreateTopics(e->rk, made, n_made, o, e->queue);
	rd_kafka_AdminOptions_destroy(o);
	event = rd_kafka_queue_poll(e->queue, -1);
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_event_destroy(event);
		return -EAGAIN;
	}
	results = rd_kafka_CreateTopics_result_topics(
		rd_kafka_event_CreateTopics_result(event), &n);
	for (size_t i = 0; i < n; i++) {
		int one = make_result(results[i], err);

		if (r == 0 || (r == -EAGAIN && one != 0))
			r = one;
	}
	rd_kafka_event_destroy(event);
	return r;
}

static int make_missing(struct ensure *e, const struct hr_kafka_topic *topics,
			uint32_t n_topics, const struct rd_kafka_metadata *md,
			struct hr_err *err)
{
	rd_kafka_NewTopic_t **made = calloc(n_topics, sizeof(*made));
	size_t n_made = 0;
	int r = 0;

	if (made == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %u topics", n_topics);
	for (uint32_t i = 0; i < n_topics && r == 0; i++) {
		if (topic_find(md, topics[i].name) != NULL)
			continue;
		made[n_made] = new_topic(e, &topics[i], err);
		if (made[n_made++] == NULL) {
			n_made--;
			r = -EINVAL;
		}
	}
	while (r == 0 && n_made > 0) {
		r = make_missing_once(e, made, n_made, err);
		if (r != -EAGAIN)
			break;
		if (is_over(e)) {
			r = out_of_reach(e, "making topics", err);
			break;
		}
		usleep(PAUSE_US);
		r = 0;
	}
	for (size_t i = 0; i < n_made; i++)
		rd_kafka_NewTopic_destroy(made[i]);
	free(made);
	return r;
}

static int partitions_check(const struct ensure *e, const struct hr_kafka_topic *want,
			    const struct rd_kafka_metadata_topic *found,
			    struct hr_err *err)
{
	int replicas;

	if (found->partition_cnt != (int)want->n_partitions)
		return hr_fail(err, -EINVAL,
			       "topic %s has %d partitions: %s says %u; change the "
			       "configuration, or use another kafka.topic_prefix",
			       want->name, found->partition_cnt, want->partitions_key,
			       want->n_partitions);
	replicas = found->partitions[0].replica_cnt;
	if (want->is_durable && replicas < (int)e->replication)
		return hr_fail(
			err, -EINVAL,
			"topic %s has %d replicas: %u are expected; add replicas, "
			"or say kafka.replication: %d",
			want->name, replicas, e->replication, replicas);
	return 0;
}

/* The topics exist and have leaders and the right partitions. *missing names one
 * that is not there yet. 0, -EAGAIN or a final error. */
static int shape_check(struct ensure *e, const struct hr_kafka_topic *topics,
		       uint32_t n_topics, const struct rd_kafka_metadata *md,
		       const char **missing, struct hr_err *err)
{
	int r = 0;

	*missing = NULL;
	for (uint32_t i = 0; i < n_topics; i++) {
		const struct rd_kafka_metadata_topic *t =
			topic_find(md, topics[i].name);
		int bad;

		if (t == NULL || !has_leaders(t)) {
			if (t == NULL)
				*missing = topics[i].name;
			r = -EAGAIN;
			continue;
		}
		bad = partitions_check(e, &topics[i], t, err);
		if (bad < 0)
			return bad;
	}
	return r;
}

static int setting_check(const char *topic, const struct hr_kafka_topic_setting *want,
			 const char *found, struct hr_err *err)
{
	bool fits = true;

	if (want->must == HR_KAFKA_EQUAL)
		fits = strcmp(found, want->value) == 0;
	else if (want->must == HR_KAFKA_AT_LEAST)
		fits = strtoll(found, NULL, 10) >= strtoll(want->value, NULL, 10);
	if (fits)
		return 0;
	return hr_fail(
		err, -EINVAL,
		"topic %s has %s=%s: expected %s%s; mend it with kafka-configs "
		"--alter --entity-type topics --entity-name %s --add-config %s=%s",
		topic, want->name, found,
		want->must == HR_KAFKA_AT_LEAST ? "at least " : "", want->value, topic,
		want->name, want->value);
}

static const char *entry_value(const rd_kafka_ConfigResource_t *resource,
			       const char *name)
{
	size_t n;
	const rd_kafka_ConfigEntry_t **entries =
		rd_kafka_ConfigResource_configs(resource, &n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0) {
			const char *v = rd_kafka_ConfigEntry_value(entries[i]);

			return v != NULL ? v : "(hidden)";
		}
	return "(not told)";
}

static int settings_check(const struct ensure *e, const struct hr_kafka_topic *want,
			  const rd_kafka_ConfigResource_t *found, struct hr_err *err)
{
	static const struct hr_kafka_topic_setting min_insync = { "min.insync.replicas",
								  "2", HR_KAFKA_EQUAL };
	int r = 0;

	for (uint32_t i = 0; i < want->n_settings && r == 0; i++)
		r = setting_check(want->name, &want->settings[i],
				  entry_value(found, want->settings[i].name), err);
	if (r == 0 && wants_min_insync(e, want))
		r = setting_check(want->name, &min_insync,
				  entry_value(found, min_insync.name), err);
	return r;
}

/* 0, -EAGAIN or a final error. Answers come in the order of the questions. */
static int describe_once(struct ensure *e, rd_kafka_ConfigResource_t **asked,
			 const struct hr_kafka_topic *topics, uint32_t n_topics,
			 struct hr_err *err)
{
	rd_kafka_AdminOptions_t *o =
		options_new(e, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, false);
	const rd_kafka_ConfigResource_t **found;
	rd_kafka_event_t *event;
	size_t n = 0;
	int r = 0;

	rd_kafka_DescribeConfigs(e->rk, asked, n_topics, o, e->queue);
	rd_kafka_AdminOptions_destroy(o);
	event = rd_kafka_queue_poll(e->queue, -1);
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		r = -EAGAIN;
	else
		found = rd_kafka_DescribeConfigs_result_resources(
			rd_kafka_event_DescribeConfigs_result(event), &n);
	for (size_t i = 0; i < n && r == 0; i++) {
		rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(found[i]);
		const char *name = rd_kafka_ConfigResource_name(found[i]);

		if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
			r = hr_fail(err, -EACCES,
				    "reading the settings of topic %s: %s", name,
				    rd_kafka_err2str(code));
		else if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
			r = -EAGAIN;
		for (uint32_t t = 0; t < n_topics && r == 0; t++)
			if (strcmp(topics[t].name, name) == 0)
				r = settings_check(e, &topics[t], found[i], err);
	}
	rd_kafka_event_destroy(event);
	return r;
}

static int describe_and_check(struct ensure *e, const struct hr_kafka_topic *topics,
			      uint32_t n_topics, struct hr_err *err)
{
	rd_kafka_ConfigResource_t **asked = calloc(n_topics, sizeof(*asked));
	int r;

	if (asked == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %u topics", n_topics);
	for (uint32_t i = 0; i < n_topics; i++)
		asked[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC,
						       topics[i].name);
	while ((r = describe_once(e, asked, topics, n_topics, err)) == -EAGAIN) {
		if (is_over(e)) {
			r = out_of_reach(e, "reading the topics' settings", err);
			break;
		}
		usleep(PAUSE_US);
	}
	rd_kafka_ConfigResource_destroy_array(asked, n_topics);
	free(asked);
	return r;
}

static int ensure_all(struct ensure *e, const struct hr_kafka_topic *topics,
		      uint32_t n_topics, bool make, struct hr_err *err)
{
	const struct rd_kafka_metadata *md;
	const char *missing;
	int r = metadata_get(e, &md, err);

	if (r < 0)
		return r;
	replication_choose(e, md);
	if (make)
		r = make_missing(e, topics, n_topics, md, err);
	rd_kafka_metadata_destroy(md);

	/* A topic just made takes a moment to reach every broker. */
	while (r == 0) {
		r = metadata_get(e, &md, err);
		if (r < 0)
			return r;
		r = shape_check(e, topics, n_topics, md, &missing, err);
		rd_kafka_metadata_destroy(md);
		if (r != -EAGAIN)
			break;
		if (missing != NULL && !make)
			return hr_fail(err, -ENOENT, "there is no topic %s at %s",
				       missing, e->config->kafka_brokers);
		if (is_over(e))
			return out_of_reach(e, "finding a leader for every partition",
					    err);
		usleep(PAUSE_US);
		r = 0;
	}
	return r < 0 ? r : describe_and_check(e, topics, n_topics, err);
}

int hr_kafka_topics_ensure(const struct hr_config *config,
			   const struct hr_kafka_topic *topics, uint32_t n_topics,
			   bool make, uint32_t wait_ms, struct hr_err *err)
{
	const struct hr_kafka_conf conf = {
		.config = config,
		.kind = HR_KAFKA_PRODUCER,
		.room = "log",
		.name = "topic check",
	};
	struct ensure e = {
		.config = config,
		.wait_ms = wait_ms,
		.until_us = hr_mono_us() + (uint64_t)wait_ms * 1000,
	};
	int r;

	if (n_topics == 0)
		return 0;
	r = hr_kafka_open(&e.client, &conf, err);
	if (r < 0)
		return r;
	e.rk = hr_kafka_handle(e.client);
	e.queue = rd_kafka_queue_new(e.rk);
	r = ensure_all(&e, topics, n_topics, make, err);
	rd_kafka_queue_destroy(e.queue);
	hr_kafka_put(e.client);
	return r;
}

bool hr_kafka_warm(struct hr_kafka *kafka, rd_kafka_topic_t *topic, uint32_t wait_ms,
		   bool *is_gone)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;
	rd_kafka_t *rk = hr_kafka_handle(kafka);
	const struct rd_kafka_metadata *md;
	bool gone = false;

	for (;;) {
		uint64_t now = hr_mono_us();
		uint32_t left_ms =
			now < until_us ? (uint32_t)((until_us - now) / 1000) : 0;
		bool has;

		if (rd_kafka_metadata(rk, 0, topic, &md,
				      (int)(left_ms < ASK_MS ? left_ms + 1 : ASK_MS)) ==
		    RD_KAFKA_RESP_ERR_NO_ERROR) {
			has = md->topic_cnt == 1 && has_leaders(&md->topics[0]);
			gone = md->topic_cnt == 1 &&
			       md->topics[0].err ==
				       RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
			rd_kafka_metadata_destroy(md);
			if (has)
				return true;
		}
		if (left_ms == 0)
			break;
		usleep(PAUSE_US);
	}
	if (is_gone != NULL)
		*is_gone = gone;
	return false;
}
