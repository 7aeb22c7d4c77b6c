/* SPDX-License-Identifier: BSD-3-Clause */

/* The log on files, as the rest of the program uses a log store. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/config.h"
#include "dataplane/log/file_part.h"

static int file_open(struct hr_log **out, const struct hr_log_conf *conf,
		     struct hr_err *err)
{
	struct hr_log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the log");
	log->set = *conf->set;
	log->segment_bytes = conf->config->log_segment_bytes;
	snprintf(log->folder, sizeof(log->folder), "%s", conf->config->log_folder);
	log->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (log->wake_fd < 0) {
		free(log);
		return hr_fail(err, -ENOMEM, "no descriptor for the log");
	}
	*out = log;
	return 0;
}

static void file_close(struct hr_log *log)
{
	if (log == NULL)
		return;
	close(log->wake_fd);
	free(log);
}

static int file_wake_fd(const struct hr_log *log)
{
	return log->wake_fd;
}

static void file_poll(struct hr_log *log)
{
	(void)log; /* threads of its own do it */
}

static void place_of(struct hr_file_place *out, const struct hr_log *log,
		     uint16_t shard)
{
	*out = (struct hr_file_place){
		.disk = &hr_disk_real,
		.set = &log->set,
		.shard = shard,
		.segment_bytes = log->segment_bytes,
	};
	/* The configuration takes no longer path. */
	snprintf(out->root, sizeof(out->root), "%.223s", log->folder);
}

static void part_init(struct hr_log_part *p, struct hr_log *log, uint16_t shard,
		      int64_t from)
{
	pthread_condattr_t attr;

	p->log = log;
	place_of(&p->place, log, shard);
	p->first = p->end = -1;
	p->seek_to = from;
	p->seek_no = 1;
	p->inbox_last = &p->inbox;
	p->waiting.last = &p->waiting.first;
	p->reports.last = &p->reports.first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->is_more, &attr);
	pthread_condattr_destroy(&attr);
	hr_file_reader_init(&p->reader, &p->place);
}

static void part_fini(struct hr_log_part *p)
{
	hr_file_reader_fini(&p->reader);
	hr_file_writer_fini(&p->writer);
	hr_file_queue_free(&p->waiting);
	hr_file_queue_free(&p->reports);
	hr_file_news_free(p->inbox);
	hr_file_news_free(p->verified);
	pthread_cond_destroy(&p->is_more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static int file_part_open(struct hr_log_part **out, struct hr_log *log, uint16_t shard,
			  int64_t from, struct hr_err *err)
{
	struct hr_log_part *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the log of shard %u",
			       shard);
	part_init(p, log, shard, from);
	r = hr_file_writer_init(&p->writer, &p->place, err);
	if (r == 0)
		r = hr_file_part_start(p, err);
	if (r < 0) {
		part_fini(p);
		return r;
	}
	*out = p;
	return 0;
}

static void file_part_close(struct hr_log_part *p)
{
	if (p == NULL)
		return;
	hr_file_part_stop(p);
	part_fini(p);
}

/* ---- reading --------------------------------------------------------------- */

static void file_seek(struct hr_log_part *p, int64_t offset)
{
	struct hr_file_news *old;

	pthread_mutex_lock(&p->lock);
	old = p->inbox;
	p->inbox = NULL;
	p->inbox_last = &p->inbox;
	p->inbox_records = 0;
	p->inbox_bytes = 0;
	p->seek_to = offset;
	p->seek_no++;
	pthread_cond_signal(&p->is_more);
	pthread_mutex_unlock(&p->lock);
	hr_file_news_free(old);
}

static void message_free(struct hr_log_message *message)
{
	free(message->held[0]);
}

static enum hr_log_read give(struct hr_file_news *news, struct hr_log_message *out,
			     struct hr_err *err)
{
	enum hr_log_read what = news->what;

	if (what == HR_LOG_RECORD)
		*out = (struct hr_log_message){
			.offset = news->record.offset,
			.bytes = news->record.bytes,
			.n_bytes = news->record.n_bytes,
			.held = { news->record.memory },
			.free = message_free,
		};
	else if (what != HR_LOG_END && err != NULL)
		*err = news->err;
	free(news);
	return what;
}

static enum hr_log_read file_read(struct hr_log_part *p, struct hr_log_message *out,
				  struct hr_err *err)
{
	struct hr_file_news *news;

	pthread_mutex_lock(&p->lock);
	news = p->inbox;
	if (news != NULL) {
		p->inbox = news->next;
		if (p->inbox == NULL)
			p->inbox_last = &p->inbox;
		p->inbox_records--;
		p->inbox_bytes -= news->record.n_bytes;
		/* The thread may have stopped for want of room. */
		if (news->what == HR_LOG_RECORD &&
		    (p->inbox_records == HR_FILE_AHEAD_RECORDS / 4 ||
		     p->inbox == NULL)) {
			p->was_told = true;
			pthread_cond_signal(&p->is_more);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return news == NULL ? HR_LOG_NOTHING : give(news, out, err);
}

static int64_t locked_get(const struct hr_log_part *part, const int64_t *value)
{
	/* The lock is not part of what const promises. */
	struct hr_log_part *p = (struct hr_log_part *)part;
	int64_t v;

	pthread_mutex_lock(&p->lock);
	v = *value;
	pthread_mutex_unlock(&p->lock);
	return v;
}

static int64_t file_first(const struct hr_log_part *p)
{
	return locked_get(p, &p->first);
}

static int64_t file_end(const struct hr_log_part *p)
{
	return locked_get(p, &p->end);
}

static void file_verify(struct hr_log_part *p, int64_t offset)
{
	struct hr_file_news *old;

	pthread_mutex_lock(&p->lock);
	old = p->verified;
	p->verified = NULL;
	p->wants_verify = true;
	p->verify_at = offset;
	pthread_cond_signal(&p->is_more);
	pthread_mutex_unlock(&p->lock);
	hr_file_news_free(old);
}

static enum hr_log_read file_verified(struct hr_log_part *p, struct hr_log_message *out,
				      struct hr_err *err)
{
	struct hr_file_news *news;

	pthread_mutex_lock(&p->lock);
	news = p->verified;
	p->verified = NULL;
	pthread_mutex_unlock(&p->lock);
	return news == NULL ? HR_LOG_NOTHING : give(news, out, err);
}

static uint64_t file_n_lost(const struct hr_log *log)
{
	return atomic_load_explicit(&log->n_lost, memory_order_relaxed);
}

static void file_errors(const struct hr_log *log, uint64_t *reading,
			uint64_t *appending)
{
	*reading = atomic_load_explicit(&log->n_read_errors, memory_order_relaxed);
	*appending = file_n_lost(log);
}

/* ---- writing --------------------------------------------------------------- */

/* What waited or was reported of the old writer is nobody's any more. */
static void wish(struct hr_log_part *p, bool opens)
{
	pthread_mutex_lock(&p->lock);
	if (opens && p->wish == HR_FILE_WRITER_RENEW) { /* under way already */
		pthread_mutex_unlock(&p->lock);
		return;
	}
	p->wish = opens ? HR_FILE_WRITER_RENEW : HR_FILE_WRITER_RETIRE;
	p->writer_no++;
	p->writer_state = HR_LOG_WRITER_OPENING;
	p->is_broken = false;
	hr_file_queue_free(&p->waiting);
	hr_file_queue_free(&p->reports);
	pthread_cond_signal(&p->is_more);
	pthread_mutex_unlock(&p->lock);
}

static void file_renew(struct hr_log_part *p)
{
	wish(p, true);
}

static void file_retire(struct hr_log_part *p)
{
	wish(p, false);
}

static enum hr_log_writer file_writer(struct hr_log_part *p, struct hr_err *err)
{
	enum hr_log_writer state;

	pthread_mutex_lock(&p->lock);
	state = p->writer_state;
	if (err != NULL)
		*err = p->writer_err;
	pthread_mutex_unlock(&p->lock);
	return state;
}

static int file_append(struct hr_log_part *p, const uint8_t *bytes, uint32_t n_bytes,
		       bool copies, void *cookie, struct hr_err *err)
{
	struct hr_file_append *a;
	int r = 0;

	if (n_bytes == 0 || n_bytes > HR_RECORD_MAX)
		return hr_fail(err, -EMSGSIZE, "a record of %u bytes", n_bytes);
	a = malloc(sizeof(*a) + (copies ? n_bytes : 0));
	if (a == NULL)
		return hr_fail(err, -ENOMEM, "no memory for an append");
	*a = (struct hr_file_append){ .bytes = bytes,
				      .n_bytes = n_bytes,
				      .cookie = cookie };
	if (copies) {
		memcpy(a->copy, bytes, n_bytes);
		a->bytes = a->copy;
	}
	pthread_mutex_lock(&p->lock);
	if (p->writer_state != HR_LOG_WRITER_READY)
		r = hr_fail(err, -EAGAIN, "the log of shard %u is not open for writing",
			    p->place.shard);
	else if (p->is_broken) {
		if (err != NULL)
			*err = p->broken_err;
		r = -EIO;
	} else {
		hr_file_queue_put(&p->waiting, a);
		pthread_cond_signal(&p->is_more);
	}
	pthread_mutex_unlock(&p->lock);
	if (r < 0)
		free(a);
	return r;
}

static int file_report(struct hr_log_part *p, struct hr_log_report *out,
		       struct hr_err *err)
{
	struct hr_file_append *a;

	pthread_mutex_lock(&p->lock);
	a = p->reports.first;
	if (a != NULL) {
		p->reports.first = a->next;
		if (a->next == NULL)
			p->reports.last = &p->reports.first;
		if (!a->was_taken && err != NULL)
			*err = p->broken_err;
	}
	pthread_mutex_unlock(&p->lock);
	if (a == NULL)
		return 0;
	*out = (struct hr_log_report){ a->cookie, a->was_taken };
	free(a);
	return 1;
}

static bool file_is_broken(struct hr_log_part *p, struct hr_err *err)
{
	bool is_broken;

	pthread_mutex_lock(&p->lock);
	is_broken = p->is_broken;
	if (is_broken && err != NULL)
		*err = p->broken_err;
	pthread_mutex_unlock(&p->lock);
	return is_broken;
}

static int file_trim(struct hr_log *log, uint16_t shard, int64_t before,
		     struct hr_err *err)
{
	struct hr_file_place place;

	place_of(&place, log, shard);
	return hr_file_trim(&place, before, err);
}

const struct hr_log_ops hr_log_file = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.wake_fd = file_wake_fd,
	.poll = file_poll,
	.part_open = file_part_open,
	.part_close = file_part_close,
	.seek = file_seek,
	.read = file_read,
	.first = file_first,
	.end = file_end,
	.renew = file_renew,
	.retire = file_retire,
	.writer = file_writer,
	.append = file_append,
	.report = file_report,
	.is_broken = file_is_broken,
	.verify = file_verify,
	.verified = file_verified,
	.n_lost = file_n_lost,
	.errors = file_errors,
	.trim = file_trim,
};
