/* SPDX-License-Identifier: BSD-3-Clause */

/* The thread of a part. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "dataplane/log/file_part.h"

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hr_log_part *all_parts;

/* ---- the lists ------------------------------------------------------------- */

void hr_file_queue_put(struct hr_file_queue *q, struct hr_file_append *a)
{
	a->next = NULL;
	*q->last = a;
	q->last = &a->next;
}

static struct hr_file_append *take_all(struct hr_file_queue *q)
{
	struct hr_file_append *first = q->first;

	q->first = NULL;
	q->last = &q->first;
	return first;
}

static void free_all(struct hr_file_append *a)
{
	while (a != NULL) {
		struct hr_file_append *next = a->next;

		free(a);
		a = next;
	}
}

void hr_file_queue_free(struct hr_file_queue *q)
{
	free_all(take_all(q));
}

void hr_file_news_free(struct hr_file_news *news)
{
	while (news != NULL) {
		struct hr_file_news *next = news->next;

		free(news->record.memory);
		free(news);
		news = next;
	}
}

static void wake_user(const struct hr_log_part *p)
{
	static const uint64_t one = 1;

	/* Full means that a wake-up is pending. */
	if (write(p->log->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static bool is_same_shard(const struct hr_log_part *a, const struct hr_log_part *b)
{
	return a->place.shard == b->place.shard &&
	       strcmp(a->place.root, b->place.root) == 0;
}

/* This part wrote: the others of its shard in this process read on at once. */
static void tell_others(struct hr_log_part *p)
{
	pthread_mutex_lock(&all_lock);
	for (struct hr_log_part *o = all_parts; o != NULL; o = o->next_of_all) {
		if (o == p || !is_same_shard(o, p))
			continue;
		pthread_mutex_lock(&o->lock);
		o->was_told = true;
		pthread_cond_signal(&o->is_more);
		pthread_mutex_unlock(&o->lock);
	}
	pthread_mutex_unlock(&all_lock);
}

/* Whether somebody of this process will tell this shard's parts. */
static void show_writer(struct hr_log_part *p, bool has)
{
	pthread_mutex_lock(&all_lock);
	for (struct hr_log_part *o = all_parts; o != NULL; o = o->next_of_all) {
		if (!is_same_shard(o, p))
			continue;
		pthread_mutex_lock(&o->lock);
		o->has_writer = has;
		pthread_mutex_unlock(&o->lock);
	}
	pthread_mutex_unlock(&all_lock);
}

/* ---- writing --------------------------------------------------------------- */

static void show_broken(struct hr_log_part *p, const struct hr_err *err)
{
	atomic_fetch_add_explicit(&p->log->n_lost, 1, memory_order_relaxed);
	pthread_mutex_lock(&p->lock);
	p->is_broken = true;
	p->broken_err = *err;
	pthread_mutex_unlock(&p->lock);
	hr_warn("log", "%s", err->text);
}

static bool write_group(struct hr_log_part *p, struct hr_file_append *group)
{
	struct hr_err err;
	int64_t offset;
	int r = 0;

	for (struct hr_file_append *a = group; a != NULL && r == 0; a = a->next)
		r = hr_file_writer_append(&p->writer, a->bytes, a->n_bytes, &offset,
					  &err);
	if (r == 0)
		r = hr_file_writer_sync(&p->writer, &err);
	if (r < 0)
		show_broken(p, &err);
	return r == 0;
}

/* Whatever waited: written, then one sync for all of it. */
static void append_waiting(struct hr_log_part *p)
{
	struct hr_file_append *group;
	bool was_taken, is_broken;
	uint64_t writer_no;

	pthread_mutex_lock(&p->lock);
	group = take_all(&p->waiting);
	writer_no = p->writer_no;
	is_broken = p->is_broken;
	pthread_mutex_unlock(&p->lock);
	if (group == NULL)
		return;
	was_taken = !is_broken && write_group(p, group);
	pthread_mutex_lock(&p->lock);
	while (group != NULL) {
		struct hr_file_append *next = group->next;

		group->was_taken = was_taken;
		if (writer_no == p->writer_no)
			hr_file_queue_put(&p->reports, group);
		else /* its writer was given up meanwhile: no report */
			free(group);
		group = next;
	}
	p->was_told = true;
	pthread_mutex_unlock(&p->lock);
	tell_others(p);
	wake_user(p);
}

static void change_writer(struct hr_log_part *p, bool opens, uint64_t writer_no)
{
	enum hr_log_writer state = HR_LOG_WRITER_NONE;
	struct hr_err err = { "" };

	if (opens)
		state = hr_file_writer_open(&p->writer, &err) == 0
				? HR_LOG_WRITER_READY
				: HR_LOG_WRITER_FAILED;
	else
		hr_file_writer_close(&p->writer);
	show_writer(p, state == HR_LOG_WRITER_READY);
	pthread_mutex_lock(&p->lock);
	if (writer_no == p->writer_no) {
		p->writer_state = state;
		p->writer_err = err;
		p->wish = HR_FILE_WRITER_SAME;
	}
	p->was_told = true; /* opening may have brought something */
	pthread_mutex_unlock(&p->lock);
	tell_others(p);
	wake_user(p);
}

/* ---- reading --------------------------------------------------------------- */

static enum hr_log_read trouble_of(int r)
{
	switch (r) {
	case -ENODATA:
		return HR_LOG_GONE;
	case -EBADMSG:
	case -ENOTSUP:
	case -EINVAL:
		return HR_LOG_DAMAGED;
	default:
		return HR_LOG_TROUBLE;
	}
}

static struct hr_file_news *news_new(enum hr_log_read what)
{
	struct hr_file_news *news = calloc(1, sizeof(*news));

	if (news != NULL)
		news->what = what;
	return news;
}

/* Into the inbox, unless the user has gone elsewhere. Returns whether there is room for
 * more. */
static bool deliver(struct hr_log_part *p, struct hr_file_news *news)
{
	bool has_room = false;

	pthread_mutex_lock(&p->lock);
	if (p->seek_no == p->seek_done) {
		*p->inbox_last = news;
		p->inbox_last = &news->next;
		p->inbox_records++;
		p->inbox_bytes += news->record.n_bytes;
		has_room = p->inbox_bytes < HR_FILE_AHEAD_BYTES &&
			   p->inbox_records < HR_FILE_AHEAD_RECORDS;
		news = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	hr_file_news_free(news);
	wake_user(p);
	return has_room;
}

static void deliver_trouble(struct hr_log_part *p, int r, const struct hr_err *err)
{
	struct hr_file_news *news = news_new(trouble_of(r));

	p->reads = false;
	atomic_fetch_add_explicit(&p->log->n_read_errors, 1, memory_order_relaxed);
	if (news == NULL) /* the next seek tries again; there is no memory to say so */
		return;
	news->err = *err;
	(void)deliver(p, news);
}

static void show_extent(struct hr_log_part *p)
{
	pthread_mutex_lock(&p->lock);
	p->first = hr_file_reader_first(&p->reader);
	p->end = p->reader.end;
	pthread_mutex_unlock(&p->lock);
}

/* Read on until the inbox is full or the end is reached. */
static void read_on(struct hr_log_part *p)
{
	struct hr_err err = { "" };
	bool has_room = true;
	int r;

	r = hr_file_reader_look(&p->reader, &err);
	show_extent(p);
	while (r >= 0 && has_room) {
		struct hr_file_news *news = news_new(HR_LOG_RECORD);

		if (news == NULL) {
			r = hr_fail(&err, -ENOMEM, "no memory for a record");
			break;
		}
		r = hr_file_reader_next(&p->reader, &news->record, &err);
		if (r <= 0)
			free(news);
		if (r == 0 && p->told_end)
			return;
		if (r == 0) {
			news = news_new(HR_LOG_END);
			p->told_end = news != NULL;
			if (news != NULL)
				(void)deliver(p, news);
			return;
		}
		if (r > 0) {
			p->told_end = false;
			has_room = deliver(p, news);
		}
	}
	if (r < 0)
		deliver_trouble(p, r, &err);
}

static void go_to(struct hr_log_part *p, int64_t offset, uint64_t seek_no)
{
	struct hr_err err = { "" };
	int r;

	/* What was learned of the folder may be what is wrong. */
	hr_file_reader_fini(&p->reader);
	hr_file_reader_init(&p->reader, &p->place);
	p->seek_done = seek_no;
	p->told_end = false;
	p->reads = true;
	r = hr_file_reader_seek(&p->reader, offset, &err);
	show_extent(p);
	if (r < 0)
		deliver_trouble(p, r, &err);
}

static void verify(struct hr_log_part *p, int64_t offset)
{
	struct hr_file_news *news = news_new(HR_LOG_RECORD);
	int r;

	if (news == NULL)
		return; /* asked again when no answer comes */
	r = hr_file_reader_at(&p->reader, offset, &news->record, &news->err);
	if (r < 0)
		news->what = trouble_of(r);
	pthread_mutex_lock(&p->lock);
	if (!p->wants_verify) {
		hr_file_news_free(p->verified);
		p->verified = news;
		news = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	hr_file_news_free(news); /* another question came */
	wake_user(p);
}

/* ---- the thread ------------------------------------------------------------ */

/* Until there is something to do, or it is time to look; the lock is held. */
static void wait_for_work(struct hr_log_part *p)
{
	uint32_t ms = p->has_writer ? HR_FILE_LOOK_OWN_MS : HR_FILE_LOOK_MS;
	struct timespec until;

	if (p->quits || p->was_told || p->wish != HR_FILE_WRITER_SAME ||
	    p->waiting.first != NULL || p->wants_verify || p->seek_no != p->seek_done)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	(void)pthread_cond_timedwait(&p->is_more, &p->lock, &until);
}

static void work(struct hr_log_part *p)
{
	bool renews = p->wish == HR_FILE_WRITER_RENEW;
	bool retires = p->wish == HR_FILE_WRITER_RETIRE;
	uint64_t writer_no = p->writer_no, seek_no = p->seek_no;
	bool seeks = p->seek_no != p->seek_done, verifies = p->wants_verify;
	int64_t seek_to = p->seek_to, verify_at = p->verify_at;
	bool has_room = p->inbox_bytes < HR_FILE_AHEAD_BYTES / 2 &&
			p->inbox_records < HR_FILE_AHEAD_RECORDS / 2;

	p->was_told = false;
	p->wants_verify = false;
	pthread_mutex_unlock(&p->lock);
	if (renews || retires)
		change_writer(p, renews, writer_no);
	else
		append_waiting(p);
	if (seeks)
		go_to(p, seek_to, seek_no);
	if (verifies)
		verify(p, verify_at);
	if (p->reads && (has_room || seeks))
		read_on(p);
	pthread_mutex_lock(&p->lock);
}

static void *run(void *arg)
{
	struct hr_log_part *p = arg;

	pthread_setname_np(pthread_self(), "hr-log-file");
	pthread_mutex_lock(&p->lock);
	while (!p->quits) {
		wait_for_work(p);
		if (!p->quits)
			work(p);
	}
	pthread_mutex_unlock(&p->lock);
	hr_file_writer_close(&p->writer);
	return NULL;
}

static void join_all(struct hr_log_part *p)
{
	pthread_mutex_lock(&all_lock);
	for (struct hr_log_part *o = all_parts; o != NULL; o = o->next_of_all)
		if (is_same_shard(o, p) && o->has_writer)
			p->has_writer = true;
	p->next_of_all = all_parts;
	all_parts = p;
	pthread_mutex_unlock(&all_lock);
}

static void leave_all(struct hr_log_part *p)
{
	struct hr_log_part **at = &all_parts;

	pthread_mutex_lock(&all_lock);
	while (*at != p)
		at = &(*at)->next_of_all;
	*at = p->next_of_all;
	pthread_mutex_unlock(&all_lock);
}

int hr_file_part_start(struct hr_log_part *p, struct hr_err *err)
{
	int r;

	join_all(p);
	r = pthread_create(&p->thread, NULL, run, p);
	if (r == 0)
		return 0;
	leave_all(p);
	return hr_fail(err, -ENOMEM, "no thread for the log of shard %u",
		       p->place.shard);
}

void hr_file_part_stop(struct hr_log_part *p)
{
	pthread_mutex_lock(&p->lock);
	p->quits = true;
	pthread_cond_signal(&p->is_more);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	if (p->writer_state == HR_LOG_WRITER_READY)
		show_writer(p, false);
	leave_all(p);
}
