/* SPDX-License-Identifier: BSD-3-Clause */

/* verify: the data set and the log. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "dataplane/log/file_data_set.h"
#include "tools/gen/verify.h"

#define LOOK_MS 200 /* between two looks for more */

/* ---- headrace.meta: the record at the lowest offset is the data set ---- */

struct lowest {
	bool is_found;
	struct hr_data_set set;
};

static void take_meta(void *arg, const rd_kafka_message_t *m)
{
	struct lowest *lowest = arg;
	struct hr_record record;

	if (lowest->is_found ||
	    hr_record_decode(&record, m->payload, m->len, NULL) < 0 ||
	    record.type != HR_RECORD_META)
		return;
	lowest->is_found = true;
	lowest->set = record.meta;
}

static int find_in_topic(struct hr_verify *v, struct hr_err *err)
{
	struct lowest lowest = { .is_found = false };
	struct hr_topic *meta;
	int r = hr_topic_open(&meta, &v->config, "headrace.meta", false, err);

	if (r < 0)
		return r;
	if (hr_topic_read(meta, 0, take_meta, &lowest, err) < 0)
		r = -EIO;
	else if (!lowest.is_found)
		r = hr_fail(err, -ENOENT, "headrace.meta holds no data set");
	v->set = lowest.set;
	hr_topic_close(meta);
	return r;
}

static int find_data_set(struct hr_verify *v, struct hr_err *err)
{
	int r = v->config.log_kind == HR_LOG_KIND_FILE
			? hr_file_data_set_find(&v->set, &v->config, false,
						&hr_disk_real, err)
			: find_in_topic(v, err);

	if (r == 0 && v->set.n_shards > HR_PLAN_SHARDS_MAX)
		r = hr_fail(err, -EINVAL,
			    "the data set has %u shards, expected at most %u",
			    v->set.n_shards, HR_PLAN_SHARDS_MAX);
	return r;
}

/* ---- the log ---- */

void hr_verify_record(struct hr_verify *v, uint16_t shard, int64_t offset,
		      struct hr_str bytes)
{
	struct hr_record record;

	if (hr_record_decode(&record, bytes.p, bytes.n, NULL) < 0)
		return;
	switch (hr_chain_offer(&v->chains[shard], &record)) {
	case HR_VERDICT_LINK:
		hr_check_link(&v->check_log, shard, &record.link);
		v->n_links += record.link.body_kind == HR_BODY_EPOCH;
		break;
	case HR_VERDICT_UNKNOWN:
		hr_finding(&v->findings, HR_AT_LOG, HR_UNEXPECTED,
			   "shard %u: the record at offset %" PRId64
			   " is of a later program (version %u, type %u)",
			   shard, offset, record.version, record.type_no);
		break;
	default: /* the accept rule passes it over, so does everybody */
		break;
	}
}

static void take_message(void *arg, const rd_kafka_message_t *m)
{
	hr_verify_record(arg, (uint16_t)m->partition, m->offset,
			 (struct hr_str){ m->payload, (uint32_t)m->len });
}

static bool is_on_files(const struct hr_verify *v)
{
	return v->config.log_kind == HR_LOG_KIND_FILE;
}

static int read_log(struct hr_verify *v, struct hr_err *err)
{
	int64_t n = is_on_files(v)
			    ? hr_verify_files_read(v, LOOK_MS, err)
			    : hr_topic_read(v->log, LOOK_MS, take_message, v, err);

	return n < 0 ? (int)n : 0;
}

static int open_topic(struct hr_verify *v, struct hr_err *err)
{
	const char *name = v->set.log_topic;
	const size_t prefix = strlen(v->config.topic_prefix);
	int r;

	if (strncmp(name, v->config.topic_prefix, prefix) != 0)
		return hr_fail(err, -EINVAL,
			       "the data set's log is %s: it lacks topic_prefix %s",
			       name, v->config.topic_prefix);
	r = hr_topic_open(&v->log, &v->config, name + prefix, false, err);
	if (r == 0 && hr_topic_partitions(v->log) != v->set.n_shards)
		r = hr_fail(err, -EINVAL,
			    "%s has %u partitions, the data set %u shards", name,
			    hr_topic_partitions(v->log), v->set.n_shards);
	return r;
}

static int open_log(struct hr_verify *v, struct hr_err *err)
{
	int r = is_on_files(v) ? hr_verify_files_open(v, err) : open_topic(v, err);

	for (uint32_t s = 0; s < v->set.n_shards; s++)
		hr_chain_init(&v->chains[s], &v->set, (uint16_t)s);
	v->check_log = (struct hr_check_log){ .known = &v->known,
					      .findings = &v->findings,
					      .n_shards = v->set.n_shards,
					      .takes_others = v->takes_others };
	return r;
}

int hr_verify_log(struct hr_verify *v, struct hr_err *err)
{
	uint64_t moved_us = hr_mono_us();
	int r = find_data_set(v, err);

	if (r == 0)
		r = open_log(v, err);
	while (r == 0) {
		const uint64_t before = v->n_links;
		const uint64_t now = hr_mono_us();

		if (read_log(v, err) < 0)
			return -EIO;
		if (v->n_links != before)
			moved_us = hr_mono_us();
		if (v->known.n_logged == v->known.n_events || now >= v->until_us ||
		    (!v->demands_zero_refusals && now - moved_us >= v->settle_us))
			break;
	}
	return r;
}

int hr_verify_log_again(struct hr_verify *v, struct hr_err *err)
{
	const uint64_t before = v->known.n_logged + v->check_log.n_others;

	if (read_log(v, err) < 0)
		return -EIO;
	if (v->known.n_logged + v->check_log.n_others != before)
		v->is_behind = true;
	return 0;
}
