/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "controlplane/ctl/log_walk.h"
#include "dataplane/log/log.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/snapshot/vault.h"

#define STORE_WAIT_MS 10000u
#define NOTHING_US 15000000u /* the log says nothing for so long: it is out of reach */
#define POLL_MS 100

struct walk {
	struct hr_walk_sum *sum;
	const struct hr_config *config;
	const struct hr_data_set *set;
	uint16_t shard;
	hr_walk_take take;
	void *ctx;

	const struct hr_log_ops *ops;
	struct hr_log *log;
	struct hr_log_part *part;
	struct hr_snapshot_store *store;
	struct hr_vault vault;
	struct hr_log_start start; /* of the snapshot it begins behind */
	bool must_begin;           /* the record there is to come yet */
	struct hr_fold *fold;      /* NULL: not yet, or not any more */
	bool has_no_fold;
	bool is_over;
};

__attribute__((format(printf, 3, 4))) static void fault(struct walk *w, int64_t offset,
							const char *fmt, ...)
{
	va_list args;

	if (w->sum->fault[0] != '\0')
		return;
	w->sum->fault_offset = offset;
	va_start(args, fmt);
	(void)vsnprintf(w->sum->fault, sizeof(w->sum->fault), fmt, args);
	va_end(args);
}

/* ---- snapshots ----------------------------------------------------------------- */

static int snapshots_open(struct walk *w, struct hr_err *err)
{
	const struct hr_snapshot_ops *ops = hr_snapshot_ops_of(w->config);
	int r = ops->open(&w->store, w->config, w->set, STORE_WAIT_MS, err);

	if (r < 0) {
		w->store = NULL;
		return r;
	}
	hr_vault_init(&w->vault, ops, w->store, w->set, w->shard, STORE_WAIT_MS);
	return hr_vault_refresh(&w->vault, err);
}

static struct hr_snapshot_entry *oldest(struct walk *w)
{
	struct hr_snapshot_index *ix = &w->vault.index;
	struct hr_snapshot_entry *found = NULL;

	for (uint32_t i = 0; i < ix->n_entries; i++)
		if (!ix->entries[i].is_refused &&
		    (found == NULL ||
		     ix->entries[i].manifest.head.n < found->manifest.head.n))
			found = &ix->entries[i];
	return found;
}

static int restore(struct walk *w, struct hr_snapshot_entry *e, struct hr_err *err)
{
	uint8_t *image;
	size_t bytes;
	int r = hr_vault_load(&w->vault, e, &image, &bytes, err);

	if (r < 0)
		return r;
	r = hr_snapshot_restore(&w->fold, &w->start, w->set, w->shard,
				w->config->stream_max, image, bytes, err);
	free(image);
	return r;
}

/* The log does not begin with link 1 any more. */
static int begin_behind_snapshot(struct walk *w, struct hr_err *err)
{
	struct hr_snapshot_entry *e;

	while ((e = oldest(w)) != NULL) {
		if (restore(w, e, err) == 0)
			break;
		fault(w, e->manifest.head.offset,
		      "the snapshot of link %" PRIu64 " cannot be read: %.250s",
		      e->manifest.head.n, err->text);
		e->is_refused = true;
	}
	if (e == NULL)
		return hr_fail(err, -ENODATA,
			       "shard %u: the log does not begin with link 1 any more, "
			       "and no snapshot can be read",
			       w->shard);
	w->sum->chain = w->start.chain;
	w->sum->chain.set = w->set;
	w->sum->began_behind = w->start.chain.n;
	w->must_begin = true;
	w->ops->seek(w->part, w->start.offset);
	return 0;
}

/* What a snapshot says of the link that was just folded. */
static void compare_snapshots(struct walk *w, int64_t offset)
{
	const struct hr_snapshot_index *ix = &w->vault.index;

	for (uint32_t i = 0; w->fold != NULL && i < ix->n_entries; i++) {
		const struct hr_snapshot_head *head = &ix->entries[i].manifest.head;

		if (head->n != w->sum->chain.n)
			continue;
		w->sum->n_snapshots++;
		if (!hr_id128_equals(&head->hash, &w->sum->chain.hash))
			fault(w, offset,
			      "a snapshot says that link %" PRIu64 " is another one",
			      head->n);
		else if (!hr_id128_equals(&head->digest, hr_fold_digest(w->fold)))
			fault(w, offset,
			      "a snapshot of link %" PRIu64
			      " holds another digest than folding the log gives",
			      head->n);
	}
}

/* ---- folding ------------------------------------------------------------------- */

/* As large as the first CONFIG asks, or as the configuration does when that is more. */
static int fold_make(struct walk *w, const struct hr_link *link, struct hr_err *err)
{
	struct hr_chain_config *config = malloc(sizeof(*config));
	uint64_t streams = w->config->stream_max;
	int r = config == NULL ? -ENOMEM : 0;

	if (r == 0 && link->body_kind == HR_BODY_CONFIG)
		r = hr_chain_config_decode(config, link->body, err);
	if (r == 0 && link->body_kind == HR_BODY_CONFIG &&
	    config->setting[HR_CHAIN_MAX_STREAMS] > streams)
		streams = config->setting[HR_CHAIN_MAX_STREAMS];
	free(config);
	if (r == 0 && streams <= UINT32_MAX)
		r = hr_fold_new(&w->fold, w->set, w->shard, (uint32_t)streams);
	return r;
}

static void fold_link(struct walk *w, struct hr_link *link)
{
	struct hr_err err = { "" };
	int r = 0;

	if (w->fold == NULL && !w->has_no_fold)
		r = fold_make(w, link, &err);
	if (w->fold != NULL && r == 0)
		r = hr_out_new(link, &err);
	if (w->fold != NULL && r == 0)
		r = hr_fold_begin(w->fold, link);
	if (w->fold == NULL || r < 0) {
		fault(w, link->offset, "link %" PRIu64 " cannot be folded (%s)%s%.200s",
		      link->n, strerror(-r), err.text[0] != '\0' ? ": " : "", err.text);
		hr_fold_free(w->fold);
		w->fold = NULL;
		w->has_no_fold = true;
		return;
	}
	while (!hr_fold_step(w->fold, UINT32_MAX))
		;
	compare_snapshots(w, link->offset);
}

/* ---- records ------------------------------------------------------------------- */

static void show(struct walk *w, const struct hr_walked *walked)
{
	if (w->take != NULL && !w->take(w->ctx, walked))
		w->is_over = true;
}

/* An accepted link. Takes over the message. */
static void on_link(struct walk *w, struct hr_log_message *m, struct hr_walked *walked)
{
	struct hr_link *link;
	struct hr_err err;

	w->sum->n_links++;
	if (w->sum->first_n == 0)
		w->sum->first_n = w->sum->chain.n;
	if (hr_link_new(&link, m, walked->record, &w->sum->chain, hr_mono_us(), &err) <
	    0) {
		fault(w, m->offset, "link %" PRIu64 ": %.300s", w->sum->chain.n,
		      err.text);
		show(w, walked);
		m->free(m);
		w->is_over = true; /* every reader stops here */
		return;
	}
	fold_link(w, link);
	if (w->fold != NULL)
		walked->link = link;
	show(w, walked);
	hr_link_put(link);
}

/* Takes over the message. */
static void on_record(struct walk *w, struct hr_log_message *m)
{
	struct hr_walk_sum *sum = w->sum;
	struct hr_record record;
	struct hr_walked walked = { .offset = m->offset,
				    .n_bytes = m->n_bytes,
				    .record = &record,
				    .chain = &sum->chain };

	sum->n_records++;
	sum->next_offset = m->offset + 1;
	walked.is_record = hr_record_decode(&record, m->bytes, m->n_bytes, NULL) == 0;
	if (!walked.is_record) {
		sum->n_none++;
		show(w, &walked);
		m->free(m);
		return;
	}
	walked.verdict = hr_chain_offer(&sum->chain, &record);
	sum->verdicts[walked.verdict]++;
	if (walked.verdict == HR_VERDICT_LINK) {
		on_link(w, m, &walked);
		return;
	}
	sum->n_fences += walked.verdict == HR_VERDICT_FENCE;
	if (walked.verdict == HR_VERDICT_UNKNOWN) {
		fault(w, m->offset,
		      "a record of a later program (version %u, type %u): use that one",
		      record.version, record.type_no);
		w->is_over = true;
	}
	show(w, &walked);
	m->free(m);
}

/* The link that the snapshot is of. */
static int on_start(struct walk *w, struct hr_log_message *m, struct hr_err *err)
{
	int r = hr_log_start_check(&w->start, m->offset, m->bytes, m->n_bytes, err);

	w->must_begin = false;
	w->sum->next_offset = m->offset + 1;
	m->free(m);
	return r;
}

/* Behind link 1, or in the midst of a trimmed log. */
static bool is_beginning(const struct walk *w)
{
	return w->sum->n_records == 0 && w->sum->began_behind == 0;
}

/* Returns 1 while there may be more, 0 at the end. */
static int look(struct walk *w, uint64_t *heard_us, struct hr_err *err)
{
	struct pollfd fd = { .fd = w->ops->wake_fd(w->log), .events = POLLIN };
	struct hr_log_message m;
	uint64_t n;

	switch (w->ops->read(w->part, &m, err)) {
	case HR_LOG_RECORD:
		*heard_us = hr_mono_us();
		if (w->must_begin)
			return on_start(w, &m, err) < 0 ? -ESTALE : 1;
		on_record(w, &m);
		return !w->is_over;
	case HR_LOG_END:
		if (w->must_begin)
			fault(w, w->start.offset,
			      "the log ends before link %" PRIu64
			      ", of which there is a snapshot",
			      w->start.chain.n);
		return 0;
	case HR_LOG_GONE:
		if (is_beginning(w))
			return begin_behind_snapshot(w, err) < 0 ? -ENODATA : 1;
		fault(w, w->sum->next_offset, "%.300s", err->text);
		return 0;
	case HR_LOG_DAMAGED:
		fault(w, w->sum->next_offset, "%.300s", err->text);
		return 0;
	case HR_LOG_TROUBLE:
		usleep(100000);
		w->ops->seek(w->part,
			     w->must_begin ? w->start.offset : w->sum->next_offset);
		break;
	case HR_LOG_NOTHING:
		if (poll(&fd, 1, POLL_MS) > 0 && read(fd.fd, &n, sizeof(n)) < 0)
			break;
		w->ops->poll(w->log);
		break;
	}
	if (hr_mono_us() - *heard_us < NOTHING_US)
		return 1;
	return hr_fail(err, -EIO, "shard %u: the log could not be read for %u s",
		       w->shard, NOTHING_US / 1000000u);
}

static int walk_all(struct walk *w, struct hr_err *err)
{
	uint64_t heard_us = hr_mono_us();
	int r = snapshots_open(w, err);

	if (r < 0)
		return r;
	r = w->ops->part_open(&w->part, w->log, w->shard, 0, err);
	if (r == 0)
		r = 1;
	while (r == 1)
		r = look(w, &heard_us, err);
	if (w->fold != NULL) {
		w->sum->digest = *hr_fold_digest(w->fold);
		hr_fold_read_totals(w->fold, &w->sum->totals);
	}
	return r;
}

int hr_walk(struct hr_walk_sum *sum, const struct hr_config *config,
	    const struct hr_data_set *set, uint16_t shard, hr_walk_take take, void *ctx,
	    struct hr_err *err)
{
	const struct hr_log_conf conf = { config, set, "log reader" };
	struct walk *w = calloc(1, sizeof(*w));
	int r;

	memset(sum, 0, sizeof(*sum));
	hr_chain_init(&sum->chain, set, shard);
	if (w == NULL)
		return hr_fail(err, -ENOMEM, "no memory to read the log");
	*w = (struct walk){ .sum = sum,
			    .config = config,
			    .set = set,
			    .shard = shard,
			    .take = take,
			    .ctx = ctx,
			    .ops = hr_log_ops_of(config) };
	r = w->ops->open(&w->log, &conf, err);
	if (r == 0) {
		r = walk_all(w, err);
		w->ops->part_close(w->part);
		w->ops->close(w->log);
	}
	hr_fold_free(w->fold);
	if (w->store != NULL) {
		hr_vault_fini(&w->vault);
		hr_snapshot_ops_of(config)->close(w->store);
	}
	free(w);
	return r;
}
