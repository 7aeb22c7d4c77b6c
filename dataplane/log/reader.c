/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/log/log_impl.h"
#include "dataplane/log/reader.h"

struct hr_reader {
	struct hr_data_set set;
	struct hr_chain chain;
	struct hr_kafka *client;
	rd_kafka_topic_t *rkt;
	uint16_t shard;
	struct hr_log_start *start; /* until the record there was checked */
	bool is_at_end;
};

int hr_reader_open(struct hr_reader **out, const struct hr_config *config,
		   const struct hr_data_set *set, uint16_t shard, struct hr_err *err)
{
	return hr_reader_open_at(out, config, set, shard, NULL, err);
}

bool hr_reader_has_begun(const struct hr_reader *reader)
{
	return reader->start == NULL;
}

static int start_take(struct hr_reader *reader, const struct hr_log_start *start)
{
	if (start == NULL || start->chain.n == 0)
		return 0;
	reader->start = malloc(sizeof(*start));
	if (reader->start == NULL)
		return -ENOMEM;
	*reader->start = *start;
	reader->start->chain.set = &reader->set;
	reader->chain = reader->start->chain;
	return 0;
}

int hr_reader_open_at(struct hr_reader **out, const struct hr_config *config,
		      const struct hr_data_set *set, uint16_t shard,
		      const struct hr_log_start *start, struct hr_err *err)
{
	static const struct hr_kafka_setting settings[] = {
		{ "enable.partition.eof", "true" },
		{ "isolation.level", "read_uncommitted" },
		/* One reader reads ahead this much; several may run. */
		{ "queued.max.messages.kbytes", "16384" },
		{ "fetch.max.bytes", "8388608" },
	};
	char name[64];
	const struct hr_kafka_conf conf = {
		.config = config,
		.kind = HR_KAFKA_CONSUMER,
		.room = "log",
		.name = name,
		.settings = settings,
		.n_settings = sizeof(settings) / sizeof(settings[0]),
	};
	struct hr_reader *reader = calloc(1, sizeof(*reader));
	int r;

	if (reader == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a reader of the log");
	snprintf(name, sizeof(name), "log reader of shard %u", shard);
	reader->set = *set;
	reader->shard = shard;
	hr_chain_init(&reader->chain, &reader->set, shard);
	if (start_take(reader, start) < 0) {
		free(reader);
		return hr_fail(err, -ENOMEM, "no memory for a reader of the log");
	}
	r = hr_kafka_open(&reader->client, &conf, err);
	if (r < 0) {
		free(reader);
		return r;
	}
	reader->rkt = rd_kafka_topic_new(hr_kafka_handle(reader->client),
					 set->log_topic, NULL);
	/* From offset 0, not from the first that is left: a log that lost its
	 * beginning is an error (there are no snapshots to begin from yet). */
	if (rd_kafka_consume_start(reader->rkt, shard,
				   reader->start != NULL ? reader->start->offset : 0) <
	    0) {
		r = hr_fail(err, -EIO, "topic %s: %s", set->log_topic,
			    rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_topic_destroy(reader->rkt);
		hr_kafka_put(reader->client);
		free(reader);
		return r;
	}
	*out = reader;
	return 0;
}

void hr_reader_close(struct hr_reader *reader)
{
	if (reader == NULL)
		return;
	rd_kafka_consume_stop(reader->rkt, reader->shard);
	rd_kafka_topic_destroy(reader->rkt);
	hr_kafka_put(reader->client);
	free(reader->start);
	free(reader);
}

/* What stands in the way, if it does not pass by itself. */
static int trouble(struct hr_reader *reader, const rd_kafka_message_t *m,
		   struct hr_err *err)
{
	if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	    m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
		return hr_fail(
			err, -ENODATA,
			"log of shard %u in topic %s: what stands behind link %llu "
			"is gone (%s): the topic was truncated, trimmed or made "
			"anew",
			reader->shard, reader->set.log_topic,
			(unsigned long long)reader->chain.n,
			rd_kafka_message_errstr(m));
	return 0;
}

static int ends_before(const struct hr_reader *reader, struct hr_err *err)
{
	return hr_fail(err, -ENODATA,
		       "log of shard %u in topic %s: it ends before offset %lld, where "
		       "link %llu was: the topic was truncated or made anew",
		       reader->shard, reader->set.log_topic,
		       (long long)reader->start->offset,
		       (unsigned long long)reader->chain.n);
}

static int begin(struct hr_reader *reader, const rd_kafka_message_t *m,
		 struct hr_err *err)
{
	int r = hr_log_start_check(reader->start, m->offset, m->payload, m->len, err);

	if (r < 0)
		return r;
	free(reader->start);
	reader->start = NULL;
	return 0;
}

/* Takes over the message. 1: *out; 0: not a link; or an error. */
static int offer(struct hr_reader *reader, rd_kafka_message_t *m, struct hr_link **out,
		 struct hr_err *err)
{
	struct hr_record record;
	int r = 0;

	if (reader->start != NULL) {
		r = begin(reader, m, err);
	} else if (hr_record_decode(&record, m->payload, m->len, NULL) == 0) {
		switch (hr_chain_offer(&reader->chain, &record)) {
		case HR_VERDICT_LINK:
			r = hr_link_from_message(out, reader->client, m, &record,
						 &reader->chain, err);
			if (r == 0)
				return 1;
			break;
		case HR_VERDICT_UNKNOWN:
			r = hr_fail(err, -ENOTSUP,
				    "the record at offset %lld is of a later program "
				    "(version %u, type %u): use that one",
				    (long long)m->offset, record.version,
				    record.type_no);
			break;
		default:
			break;
		}
	}
	rd_kafka_message_destroy(m);
	return r < 0 ? hr_fail_in(err, r, reader->set.log_topic) : 0;
}

int hr_reader_next(struct hr_reader *reader, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	for (;;) {
		uint64_t now = hr_mono_us();
		uint64_t left_us = now < until_us ? until_us - now : 0;
		rd_kafka_message_t *m;
		int r = 0;

		rd_kafka_poll(hr_kafka_handle(reader->client), 0);
		m = rd_kafka_consume(reader->rkt, reader->shard,
				     (int)((left_us + 999) / 1000));
		if (m == NULL && left_us == 0)
			return 0;
		if (m == NULL)
			continue;
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			reader->is_at_end = false;
			r = offer(reader, m, out, err);
		} else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			reader->is_at_end = true;
			rd_kafka_message_destroy(m);
			return reader->start == NULL ? 0 : ends_before(reader, err);
		} else {
			r = trouble(reader, m, err);
			rd_kafka_message_destroy(m);
		}
		if (r != 0 || left_us == 0)
			return r;
	}
}

bool hr_reader_is_at_end(const struct hr_reader *reader)
{
	return reader->is_at_end;
}
