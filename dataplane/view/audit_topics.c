/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * audit of the topics, shard after shard: the position, then the committed records of all
 * partitions, then the position again; what fold makes up to the first must be there, and
 * nothing that it does not make up to the second.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/config.h"
#include "dataplane/fold/fold.h"
#include "dataplane/view/audit.h"
#include "dataplane/view/audit_links.h"
#include "dataplane/view/topics_there.h"

struct audit {
	struct hr_audit *a;
	struct hr_topics_there there;
	struct hr_topics_batch batch;
	struct hr_topics_ends ends; /* as the first position knows them */
	struct hr_position first, last;
	bool has_first, has_last;
	uint16_t shard;
};

static struct hr_audit_finding at_partition(const struct audit *x,
					    const struct hr_topics_align *a,
					    enum hr_audit_kind kind)
{
	return (struct hr_audit_finding){
		.kind = kind,
		.shard = x->shard,
		.topic = x->there.names[a->topic],
		.partition = (int32_t)(x->shard + a->own * x->there.shape.n_shards),
	};
}

static void on_gap(void *ctx, const struct hr_topics_align *a,
		   const struct hr_topics_gap *gap)
{
	struct audit *x = ctx;
	struct hr_audit_finding f =
		at_partition(x, a, gap->is_extra ? HR_AUDIT_EXTRA : HR_AUDIT_MISSING);

	f.from = gap->from;
	f.to = gap->to;
	f.first_n = gap->first_n;
	f.last_n = gap->last_n;
	f.count = gap->count;
	f.text = gap->is_extra  ? "fold does not make them there"
		 : gap->is_tail ? "they are missing at the end of the partition"
				: "they are missing between these offsets";
	hr_audit_tell(x->a, &f);
}

static void tell_position(struct audit *x, enum hr_audit_kind kind, const char *text)
{
	const struct hr_audit_finding f = { .kind = kind,
					    .shard = x->shard,
					    .key = HR_TOPICS_POSITIONS,
					    .partition = -1,
					    .count = 1,
					    .text = text };

	hr_audit_tell(x->a, &f);
}

/* A partition that ends below where the position knows that it reached. */
static void end_judge(struct audit *x, const struct hr_topics_align *a)
{
	struct hr_audit_finding f = at_partition(x, a, HR_AUDIT_MISSING);

	f.from = x->there.end[a->topic][a->own];
	f.to = x->ends.end[a->topic][a->own];
	f.last_n = x->first.n;
	f.text = "the partition was cut at its tail, or made anew: headracectl view "
		 "repair topics";
	if (f.from < f.to)
		hr_audit_tell(x->a, &f);
}

static int read_shard(struct audit *x, struct hr_err *err)
{
	struct hr_topics_ends ends;
	int r = hr_topics_there_position(&x->there, &x->first, &x->ends, &x->has_first,
					 err);

	if (r == 0)
		r = hr_topics_there_look(&x->there, err);
	if (r == 0)
		r = hr_topics_there_read(&x->there, NULL, err);
	if (r == 0 && hr_topics_ends_init(&ends, &x->there.shape) < 0)
		r = hr_fail(err, -ENOMEM, "no memory to read the topics");
	if (r < 0)
		return r;
	r = hr_topics_there_position(&x->there, &x->last, &ends, &x->has_last, err);
	hr_topics_ends_fini(&ends);
	return r;
}

static void position_judge(struct audit *x, const struct hr_position *at,
			   const struct hr_link *link)
{
	if (at->n != link->n)
		return;
	if (at->generation != x->a->set->generation || at->k != 0)
		tell_position(x, HR_AUDIT_WRONG, "is of another generation or version");
	else if (!hr_id128_equals(&at->hash, &link->hash))
		tell_position(x, HR_AUDIT_WRONG,
			      "has another hash than that link of the log: the topics "
			      "were filled from another log");
	else if (!hr_id128_equals(&at->digest, &link->out->digest))
		tell_position(x, HR_AUDIT_WRONG,
			      "has another digest than folding the log gives");
}

static int link_take(struct audit *x, const struct hr_link *link)
{
	int r = hr_topics_batch_add(&x->batch, link);

	position_judge(x, &x->first, link);
	if (x->last.n != x->first.n)
		position_judge(x, &x->last, link);
	if (r == 0)
		r = hr_topics_there_made(&x->there, &x->batch, link->n,
					 link->n <= x->first.n);
	hr_topics_batch_clear(&x->batch);
	return r;
}

static void aligns_begin(struct audit *x, uint64_t began_behind)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&x->there.shape, t); i++) {
			x->there.of[t][i].may_skip = began_behind > 0;
			x->there.of[t][i].found = on_gap;
			x->there.of[t][i].ctx = x;
		}
}

static void aligns_end(struct audit *x)
{
	struct hr_audit_sum *sum = &x->a->sums[x->shard];

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&x->there.shape, t); i++) {
			struct hr_topics_align *a = &x->there.of[t][i];

			sum->n_partitions++;
			sum->n_records += a->n;
			end_judge(x, a);
			hr_topics_align_end(a);
		}
}

static int fold_shard(struct audit *x, struct hr_err *err)
{
	struct hr_audit_sum *sum = &x->a->sums[x->shard];
	struct hr_audit_links links;
	int r = hr_audit_links_open(&links, x->a->config, x->a->set, x->shard, 0, true,
				    err);

	sum->n = x->last.n;
	sum->from_n = 1;
	for (uint64_t n = 0; r == 0 && n < x->last.n;) {
		struct hr_link *link;

		r = hr_audit_links_next(&links, &link, err);
		/* All that the log still makes lies before its first snapshot. */
		if (r == -ENOENT && links.began_behind >= x->last.n) {
			sum->from_n = links.began_behind + 1;
			aligns_begin(x, links.began_behind);
			r = 0;
			break;
		}
		if (r < 0)
			break;
		n = link->n;
		if (n == links.began_behind + 1) {
			sum->from_n = n;
			aligns_begin(x, links.began_behind);
		}
		r = n <= x->last.n ? link_take(x, link) : 0;
		hr_link_put(link);
		if (r < 0)
			hr_fail(err, r, "no memory for the records of link %" PRIu64,
				n);
	}
	hr_audit_links_close(&links);
	return r;
}

static int shard_audit(struct audit *x, struct hr_err *err)
{
	char why[sizeof(err->text) + 64];
	int r = read_shard(x, err);

	if (r == -EBADMSG) {
		tell_position(x, HR_AUDIT_WRONG, err->text);
		return 0;
	}
	if (r < 0)
		return r;
	aligns_begin(x, 0);
	r = fold_shard(x, err);
	if (r == -ENODATA || r == -ESTALE || r == -EIO) {
		(void)snprintf(why, sizeof(why), "cannot be compared: %s", err->text);
		tell_position(x, HR_AUDIT_UNKNOWN, why);
		return 0;
	}
	if (r < 0)
		return r;
	aligns_end(x);
	x->a->sums[x->shard].is_compared = true;
	return 0;
}

static int shard_begin(struct hr_audit *a, uint16_t shard, struct hr_err *err)
{
	struct audit x = { .a = a, .shard = shard };
	struct hr_topics_shape shape;
	int r;

	hr_topics_shape_of(&shape, a->config, a->set, shard);
	r = hr_topics_there_init(&x.there, a->config, &shape, err);
	if (r == 0 && (hr_topics_batch_init(&x.batch, &shape) < 0 ||
		       hr_topics_ends_init(&x.ends, &shape) < 0))
		r = hr_fail(err, -ENOMEM, "no memory to compare the topics");
	if (r == 0)
		r = shard_audit(&x, err);
	hr_topics_ends_fini(&x.ends);
	hr_topics_batch_fini(&x.batch);
	hr_topics_there_fini(&x.there);
	return r;
}

int hr_audit_topics(struct hr_audit *a, struct hr_err *err)
{
	int r = 0;

	for (uint16_t s = 0; s < a->set->n_shards && r == 0; s++)
		if (hr_audit_wants(a, s))
			r = shard_begin(a, s, err);
	return r;
}
