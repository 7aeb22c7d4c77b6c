/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "dataplane/log/log.h"
#include "dataplane/log/reader.h"

#define AGAIN_US 100000u /* after trouble */
#define POLL_MS 100u     /* the client's housekeeping */

struct hr_reader {
	struct hr_data_set set;
	struct hr_chain chain;
	const struct hr_log_ops *ops;
	struct hr_log *log;
	struct hr_log_part *part;
	uint16_t shard;
	int64_t next;               /* offset to read from after trouble */
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
	reader->next = start->offset;
	return 0;
}

int hr_reader_open_at(struct hr_reader **out, const struct hr_config *config,
		      const struct hr_data_set *set, uint16_t shard,
		      const struct hr_log_start *start, struct hr_err *err)
{
	struct hr_reader *reader = calloc(1, sizeof(*reader));
	char name[64];
	const struct hr_log_conf conf = { config, set, name };
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
	reader->ops = hr_log_ops_of(config);
	r = reader->ops->open(&reader->log, &conf, err);
	if (r < 0) {
		free(reader->start);
		free(reader);
		return r;
	}
	/* From offset 0, not from the first that is left: a log that lost its
	 * beginning is an error for who has nothing to begin from. */
	r = reader->ops->part_open(&reader->part, reader->log, shard, reader->next,
				   err);
	if (r < 0) {
		reader->ops->close(reader->log);
		free(reader->start);
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
	reader->ops->part_close(reader->part);
	reader->ops->close(reader->log);
	free(reader->start);
	free(reader);
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

static int begin(struct hr_reader *reader, const struct hr_log_message *m,
		 struct hr_err *err)
{
	int r = hr_log_start_check(reader->start, m->offset, m->bytes, m->n_bytes, err);

	if (r < 0)
		return r;
	free(reader->start);
	reader->start = NULL;
	return 0;
}

/* 1: *out, which took over the message; 0: not a link; or an error. */
static int offer(struct hr_reader *reader, const struct hr_log_message *m,
		 struct hr_link **out, struct hr_err *err)
{
	struct hr_record record;
	int r;

	if (reader->start != NULL)
		return begin(reader, m, err);
	if (hr_record_decode(&record, m->bytes, m->n_bytes, NULL) < 0)
		return 0;
	switch (hr_chain_offer(&reader->chain, &record)) {
	case HR_VERDICT_LINK:
		r = hr_link_new(out, m, &record, &reader->chain, hr_mono_us(), err);
		return r == 0 ? 1 : hr_fail_in(err, r, reader->set.log_topic);
	case HR_VERDICT_UNKNOWN:
		r = hr_fail(err, -ENOTSUP,
			    "the record at offset %lld is of a later program "
			    "(version %u, type %u): use that one",
			    (long long)m->offset, record.version, record.type_no);
		return hr_fail_in(err, r, reader->set.log_topic);
	default:
		return 0;
	}
}

/* Until there may be news, or the time is over. */
static void wait_for_news(struct hr_reader *reader, uint64_t left_us)
{
	struct pollfd fd = { .fd = reader->ops->wake_fd(reader->log),
			     .events = POLLIN };
	uint64_t ms = (left_us + 999) / 1000, n;

	if (poll(&fd, 1, (int)(ms < POLL_MS ? ms : POLL_MS)) > 0 &&
	    read(fd.fd, &n, sizeof(n)) != sizeof(n))
		return;
}

/* 1: *out; 0: nothing yet; -EAGAIN: the end; or an error. */
static int look(struct hr_reader *reader, struct hr_link **out, struct hr_err *err)
{
	struct hr_log_message m;
	char what[80];
	int r;

	switch (reader->ops->read(reader->part, &m, err)) {
	case HR_LOG_RECORD:
		reader->is_at_end = false;
		reader->next = m.offset + 1;
		r = offer(reader, &m, out, err);
		if (r != 1)
			m.free(&m);
		return r;
	case HR_LOG_END:
		reader->is_at_end = true;
		return reader->start == NULL ? -EAGAIN : ends_before(reader, err);
	case HR_LOG_GONE:
	case HR_LOG_DAMAGED:
		snprintf(what, sizeof(what), "log of shard %u behind link %llu",
			 reader->shard, (unsigned long long)reader->chain.n);
		return hr_fail_in(err, -ENODATA, what);
	case HR_LOG_TROUBLE:
		usleep(AGAIN_US);
		reader->ops->seek(reader->part, reader->next);
		return 0;
	default:
		return 0;
	}
}

int hr_reader_next(struct hr_reader *reader, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	for (;;) {
		const int64_t before = reader->next;
		uint64_t now;
		int r = look(reader, out, err);

		if (r == -EAGAIN)
			return 0;
		if (r != 0)
			return r;
		now = hr_mono_us();
		if (now >= until_us)
			return 0;
		if (reader->next != before)
			continue; /* there may be more */
		wait_for_news(reader, until_us - now);
		reader->ops->poll(reader->log);
	}
}

bool hr_reader_is_at_end(const struct hr_reader *reader)
{
	return reader->is_at_end;
}
