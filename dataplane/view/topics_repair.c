/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a partition lost at its tail is appended again.
 *
 *   fence, position ─▶ which partitions end below what they reached
 *   what is open in them is aborted ─▶ what readers find there is read
 *   fold once ─▶ which of its records they still hold: all up to one, or no repair
 *   fold again ─▶ those behind that one, and the same position with the new ends:
 *                 one transaction
 *
 * One transaction, however long: half of it would put the end of a partition beyond what
 * the position knows, and nothing would tell that records are missing below. All of it
 * runs in the publisher's thread, behind its fence, so nobody else writes meanwhile.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/config.h"
#include "dataplane/view/audit_links.h"
#include "dataplane/view/topics_there.h"

struct repair {
	struct hr_topics_publisher *p;
	struct hr_topics_there there;
	struct hr_topics_ends cut; /* what the cut partitions had reached; 0: others */
	uint64_t began_behind;
	uint64_t n_appended;
	uint32_t n_partitions;
	bool in_transaction;
	/* What is there is no beginning of what fold makes. */
	bool is_other;
	struct hr_err why;
};

static bool wants(void *ctx, enum hr_topic topic, uint32_t own)
{
	const struct repair *x = ctx;

	return x->cut.end[topic][own] > 0;
}

static bool must_end(void *ctx)
{
	const struct repair *x = ctx;

	return hr_topics_must_end(x->p);
}

static int32_t partition_of(const struct repair *x, const struct hr_topics_align *a)
{
	return (int32_t)(x->p->shape.shard + a->own * x->p->shape.n_shards);
}

static void on_gap(void *ctx, const struct hr_topics_align *a,
		   const struct hr_topics_gap *gap)
{
	struct repair *x = ctx;

	if (gap->is_tail || x->is_other)
		return;
	x->is_other = true;
	hr_fail(&x->why, -EBADMSG,
		"shard %u: topic %s, partition %d: %" PRIu64 " records at offsets "
		"%" PRId64 " to %" PRId64
		" are %s: not only its tail was cut, and what is missing before others "
		"cannot be put there any more; headracectl view audit topics has all "
		"of "
		"it; begin a new data set with another kafka.topic_prefix",
		x->p->shape.shard, x->there.names[a->topic], partition_of(x, a),
		gap->count, gap->from, gap->to,
		gap->is_extra ? "none that fold makes" : "missing");
}

/* It is known where the log begins. */
static void begun(struct repair *x)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&x->p->shape, t); i++)
			x->there.of[t][i].may_skip = x->began_behind > 0;
}

/* ---- the log, from as far back as it reaches up to the position --------------------------- */

static int fold(struct repair *x,
		int (*take)(struct repair *x, struct hr_link *link, struct hr_err *err),
		struct hr_err *err)
{
	struct hr_topics_publisher *p = x->p;
	struct hr_audit_links links;
	uint64_t n = 0;
	int r = hr_audit_links_open(&links, p->view->config, &p->view->set,
				    p->shape.shard, 0, true, err);

	while (r == 0 && n < p->at.n) {
		struct hr_link *link;

		r = must_end(x) ? -ECANCELED : hr_audit_links_next(&links, &link, err);
		/* The log makes nothing of it any more. */
		if (r == -ENOENT && links.began_behind >= p->at.n) {
			x->began_behind = links.began_behind;
			begun(x);
			r = 0;
			break;
		}
		if (r < 0)
			break;
		n = link->n;
		if (x->in_transaction && links.began_behind != x->began_behind)
			r = hr_topics_not_now(p, "repairing",
					      "the log was trimmed meanwhile", err);
		x->began_behind = links.began_behind;
		if (r == 0 && n <= p->at.n)
			r = take(x, link, err);
		hr_link_put(link);
	}
	hr_audit_links_close(&links);
	return r;
}

static int compare_link(struct repair *x, struct hr_link *link, struct hr_err *err)
{
	struct hr_topics_batch *batch = &x->p->batch;
	int r = hr_topics_batch_add(batch, link);

	if (link->n == x->began_behind + 1)
		begun(x);
	if (link->n == x->p->at.n && !hr_id128_equals(&link->hash, &x->p->at.hash))
		return hr_fail(err, -EBADMSG,
			       "shard %u: the topics stand at link %" PRIu64
			       " of another chain",
			       x->p->shape.shard, link->n);
	if (r == 0)
		r = hr_topics_there_made(&x->there, batch, link->n, true);
	hr_topics_batch_clear(batch);
	return r < 0 ? hr_fail(err, -EAGAIN,
			       "no memory for the records of link %" PRIu64, link->n)
		     : 0;
}

/* ---- what is missing -------------------------------------------------------------------------- */

static int judge_one(struct repair *x, struct hr_topics_align *a, struct hr_err *err)
{
	hr_topics_align_end(a);
	if (x->is_other) {
		*err = x->why;
		return -EBADMSG;
	}
	if (a->n == 0 && a->begins_late)
		return hr_fail(
			err, -EBADMSG,
			"shard %u: topic %s, partition %d: nothing is left in it, "
			"and its oldest records were deleted before: where it was "
			"cut cannot be told",
			x->p->shape.shard, x->there.names[a->topic],
			partition_of(x, a));
	x->n_appended += a->n_made - a->resume;
	x->n_partitions++;
	return 0;
}

static int judge(struct repair *x, struct hr_err *err)
{
	int r = 0;

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&x->p->shape, t) && r == 0; i++)
			if (wants(x, t, i))
				r = judge_one(x, &x->there.of[t][i], err);
	return r;
}

/* Behind the last record that readers see. */
static int64_t last_end(const struct hr_topics_align *a)
{
	return a->n > 0 ? a->there[a->n - 1].offset + 1 : 0;
}

static int find_missing(struct repair *x, struct hr_err *err)
{
	int r = hr_topics_there_init(&x->there, x->p->view->config, &x->p->shape, err);

	x->there.must_end = must_end;
	x->there.ctx = x;
	if (r == 0)
		r = hr_topics_there_look(&x->there, err);
	if (r == 0)
		r = hr_topics_there_read(&x->there, wants, err);
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT && r == 0; t++)
		for (uint32_t i = 0; i < hr_topics_own(&x->p->shape, t); i++) {
			x->there.of[t][i].found = on_gap;
			x->there.of[t][i].ctx = x;
			/* Nothing lands below what is there now. */
			if (wants(x, t, i))
				x->p->ends.end[t][i] = last_end(&x->there.of[t][i]);
		}
	if (r == 0)
		r = fold(x, compare_link, err);
	return r == 0 ? judge(x, err) : r;
}

/* ---- appending ----------------------------------------------------------------------------------- */

/* Of the batch, what is missing; then all of it may go. */
static int append_batch(struct repair *x, struct hr_err *err)
{
	struct hr_topics_batch *batch = &x->p->batch;
	int r = 0;

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < batch->records[t].n && r == 0; i++) {
			struct hr_topics_align *a = hr_topics_there_of(
				&x->there, t, &batch->records[t].rows[i]);

			if (!a->is_left_out && a->n_again++ >= a->resume)
				r = hr_topics_produce(x->p, t, i, err);
		}
	if (r == 0)
		r = hr_topics_flush(x->p, err);
	if (r == 0)
		hr_topics_batch_clear(batch);
	return r;
}

static int append_link(struct repair *x, struct hr_link *link, struct hr_err *err)
{
	struct hr_topics_batch *batch = &x->p->batch;

	if (hr_topics_batch_add(batch, link) < 0)
		return hr_fail(err, -EAGAIN,
			       "no memory for the records of link %" PRIu64, link->n);
	return batch->sent_bytes < x->p->batch_max_bytes && link->n < x->p->at.n
		       ? 0
		       : append_batch(x, err);
}

static int append(struct repair *x, struct hr_err *err)
{
	const unsigned int closes =
		atomic_load_explicit(&x->p->closes, memory_order_acquire);
	int r = must_end(x) ? -ECANCELED : hr_topics_begin(x->p, err);

	if (r < 0)
		return r;
	x->in_transaction = true;
	r = fold(x, append_link, err);
	if (r == 0 && x->p->is_truncated)
		r = hr_topics_not_now(x->p, "repairing", x->p->failed.text, err);
	if (r == 0)
		r = hr_topics_commit(x->p, err);
	if (r < 0)
		return r;
	x->in_transaction = false;
	if (closes != atomic_load_explicit(&x->p->closes, memory_order_acquire))
		return hr_topics_not_now(x->p, "repairing",
					 "a connection was closed meanwhile, so "
					 "whether it is done has to "
					 "be read: ask again, or audit the topics",
					 err);
	return 0;
}

static void tell(struct repair *x, char said[HR_TOPICS_REASON])
{
	int n = snprintf(said, HR_TOPICS_REASON,
			 "done: %" PRIu64 " records appended to %u partitions, up to "
			 "link %" PRIu64,
			 x->n_appended, x->n_partitions, x->p->at.n);

	if (x->began_behind > 0 && n > 0 && n < HR_TOPICS_REASON)
		snprintf(said + n, HR_TOPICS_REASON - (size_t)n,
			 "; complete from link %" PRIu64
			 " on: log and snapshots begin there, records before it that "
			 "were lost are lost",
			 x->began_behind + 1);
}

int hr_topics_repair(struct hr_topics_publisher *p, char said[HR_TOPICS_REASON],
		     struct hr_err *err)
{
	struct repair x = { .p = p };
	int r;

	if (hr_topics_ends_init(&x.cut, &p->shape) < 0)
		return hr_fail(err, -EAGAIN, "no memory to repair the topics");
	hr_topics_tell_repair(p, "running");
	r = hr_topics_connect_to_repair(p, &x.cut, err);
	if (r == 0)
		r = find_missing(&x, err);
	if (r == 0)
		r = append(&x, err);
	if (r < 0 && x.in_transaction)
		hr_topics_abort(p);
	if (r == 0)
		tell(&x, said);
	hr_topics_disconnect(p);
	hr_topics_batch_clear(&p->batch);
	hr_topics_there_fini(&x.there);
	hr_topics_ends_fini(&x.cut);
	return r;
}
