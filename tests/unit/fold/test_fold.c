/* SPDX-License-Identifier: BSD-3-Clause */

/* Random chains: fold agrees with the model, and with itself however it is called. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/murmur2.h"
#include "tests/unit/fold/chain.h"
#include "tests/unit/fold/model.h"
#include "tests/unit/hr_test.h"

#define TABLE 64
#define CHAINS 60
#define LINKS 80

static bool is_text(struct hr_str s, const char *text)
{
	return s.n == strlen(text) && (s.n == 0 || memcmp(s.p, text, s.n) == 0);
}

/* In the link's bytes, or in its outputs' arena. */
static bool is_held(const struct hr_link *link, struct hr_str s)
{
	const struct hr_out *out = link->out;
	const uint8_t *memory = (const uint8_t *)out;

	return s.n == 0 ||
	       (s.p >= link->body.p && s.p + s.n <= link->body.p + link->body.n) ||
	       (s.p >= memory && s.p + s.n <= memory + hr_out_bytes(link));
}

static bool is_id(const struct hr_link *link, const struct hr_out_event *e,
		  const struct model_entry *m)
{
	char made[80];

	if (m->ev->id[0] != 0)
		return is_text(e->event.id, m->ev->id);
	snprintf(made, sizeof(made), "hr-%u-%llu-%u", link->shard,
		 (unsigned long long)link->n, m->index);
	return is_text(e->event.id, made);
}

static bool is_counted_as(const struct hr_link *link, const struct hr_out_event *e,
			  const struct model_entry *m)
{
	const struct hr_event *ev = &e->event;

	return is_text(ev->user, m->ev->user) && is_text(ev->type, m->ev->type) &&
	       is_text(ev->product, m->ev->product) && is_id(link, e, m) &&
	       ev->time_ms == m->time_ms && ev->codec == m->item->codec &&
	       is_held(link, ev->user) && is_held(link, ev->id) &&
	       is_held(link, ev->type) && is_held(link, ev->product) &&
	       (ev->metadata.n == 0 ||
		(ev->metadata.p >= e->raw.p &&
		 ev->metadata.p + ev->metadata.n <= e->raw.p + e->raw.n));
}

/* A name only where it may be a key of this shard. */
static bool is_rejected_as(const struct hr_out_event *e, const struct model *all,
			   const struct model_entry *m)
{
	const char *user = m->ev->user;

	if (m->reject == HR_REJECT_CAPACITY || m->reject == HR_REJECT_STREAM_KEY ||
	    hr_kafka_partition(user, strlen(user), all->n_shards) != all->shard)
		user = "";
	return is_text(e->event.user, user);
}

static bool is_entry(const struct hr_link *link, const struct hr_out_event *e,
		     const struct model *all, const struct model_entry *m)
{
	if (e->verdict != m->verdict || e->reject != m->reject ||
	    e->user_row != m->user_row || e->next_of_user != m->next_of_user ||
	    e->codec != m->item->codec || !is_held(link, e->raw))
		return false;
	if (e->verdict == HR_COUNTED)
		return is_counted_as(link, e, m);
	return e->verdict != HR_REJECTED || is_rejected_as(e, all, m);
}

static bool is_user(const struct hr_out_user *u, const struct model_user *m)
{
	return is_text(u->user, m->user) &&
	       u->hash == hr_murmur2(m->user, strlen(m->user)) &&
	       u->first_event == m->first && u->last_event == m->last &&
	       u->n_events == m->n_events && u->n_views == m->n_views &&
	       u->n_purchases == m->n_purchases &&
	       u->last_active_ms == m->last_active_ms;
}

static void check_link(const struct hr_link *link, const struct model *m)
{
	const struct hr_out *out = link->out;

	CU_ASSERT_EQUAL_FATAL(link->n_events, m->n_claimed);
	CU_ASSERT_EQUAL_FATAL(out->n_events, m->n_entries);
	CU_ASSERT_EQUAL_FATAL(out->n_users, m->n_users);
	CU_ASSERT_EQUAL(out->gaps, m->gaps);
	CU_ASSERT_EQUAL(out->filled, m->filled);
	CU_ASSERT_EQUAL(out->dedup_hits, m->dedup_hits);
	CU_ASSERT_EQUAL(out->dedup_evicted, m->dedup_evicted);
	CU_ASSERT_EQUAL(memcmp(out->verdicts, m->verdicts, sizeof(m->verdicts)), 0);
	CU_ASSERT_EQUAL(memcmp(out->rejects, m->rejects, sizeof(m->rejects)), 0);
	for (uint32_t i = 0; i < m->n_entries; i++)
		CU_ASSERT_FATAL(is_entry(link, &out->events[i], m, &m->entries[i]));
	for (uint32_t i = 0; i < m->n_users; i++)
		CU_ASSERT_FATAL(is_user(&out->users[i], &m->users[i]));
}

static void check_totals(const struct hr_fold *fold, const struct model *m)
{
	struct hr_fold_totals t;
	uint64_t sum = 0;

	hr_fold_read_totals(fold, &t);
	for (int i = 0; i < HR_FOLD_VERDICTS; i++)
		sum += t.verdicts[i];
	CU_ASSERT_EQUAL(t.logged, sum); /* law 2 */
	CU_ASSERT_EQUAL(t.logged, m->totals.logged);
	CU_ASSERT_EQUAL(memcmp(t.verdicts, m->totals.verdicts, sizeof(t.verdicts)), 0);
	CU_ASSERT_EQUAL(memcmp(t.rejects, m->totals.rejects, sizeof(t.rejects)), 0);
	CU_ASSERT_EQUAL(t.gaps, m->totals.gaps);
	CU_ASSERT_EQUAL(t.filled, m->totals.filled);
	CU_ASSERT_EQUAL(t.dedup_hits, m->totals.dedup_hits);
	CU_ASSERT_EQUAL(t.dedup_evicted, m->totals.dedup_evicted);
	CU_ASSERT_EQUAL(t.losses, m->totals.losses);
	CU_ASSERT_EQUAL(t.lost_links, m->totals.lost_links);
}

static struct hr_fold *fold_new(const struct test_chain *c, uint32_t max_streams)
{
	struct hr_fold *fold;

	CU_ASSERT_EQUAL_FATAL(hr_fold_new(&fold, &c->set, c->shard, max_streams), 0);
	return fold;
}

static void fold_one(struct hr_fold *fold, struct hr_link *link, uint32_t step)
{
	link->out = test_out_new(link);
	CU_ASSERT_EQUAL_FATAL(hr_fold_begin(fold, link), 0);
	while (!hr_fold_step(fold, step))
		;
}

static void totals_sum(struct hr_fold_totals *sum, const struct hr_fold_totals *t)
{
	for (int i = 0; i < HR_FOLD_VERDICTS; i++)
		sum->verdicts[i] += t->verdicts[i];
	for (int i = 0; i < HR_REJECT_COUNT; i++)
		sum->rejects[i] += t->rejects[i];
	sum->filled += t->filled;
	sum->dedup_hits += t->dedup_hits;
	sum->dedup_evicted += t->dedup_evicted;
	sum->lost_links += t->lost_links;
}

static void agree(uint64_t seed, struct hr_fold_totals *sum)
{
	static struct model m;
	struct hr_fold_totals t;
	struct test_chain c;
	struct hr_fold *fold;

	test_chain_random(&c, seed, LINKS);
	fold = fold_new(&c, TABLE);
	model_init(&m, &c);
	for (uint32_t i = 0; i < c.n_links; i++) {
		fold_one(fold, &c.links[i].link, 1 + (uint32_t)seed % 40);
		model_fold(&m, &c.links[i]);
		check_link(&c.links[i].link, &m);
		check_totals(fold, &m);
		hr_fold_read_totals(fold, &t);
		if (c.links[i].kind != HR_BODY_EPOCH)
			continue;
		CU_ASSERT_EQUAL(t.streams, m.totals.streams);
		CU_ASSERT_EQUAL(t.dedup_entries, m.totals.dedup_entries);
	}
	totals_sum(sum, &m.totals);
	hr_fold_free(fold);
	test_chain_fini(&c);
}

static void fold_agrees_with_a_model_after_every_link(void)
{
	struct hr_fold_totals sum = { 0 };

	for (uint64_t seed = 1; seed <= CHAINS; seed++)
		agree(seed, &sum);
	/* The chains met everything. */
	CU_ASSERT(sum.verdicts[HR_COUNTED] > 50000);
	CU_ASSERT(sum.verdicts[HR_REPEATED] > 5000);
	CU_ASSERT(sum.rejects[HR_REJECT_SYNTAX] > 1000);
	CU_ASSERT(sum.rejects[HR_REJECT_USER] > 500);
	CU_ASSERT(sum.rejects[HR_REJECT_WRONG_SHARD] > 1000);
	CU_ASSERT(sum.rejects[HR_REJECT_CAPACITY] > 1000);
	CU_ASSERT(sum.rejects[HR_REJECT_STREAM_KEY] > 1000);
	CU_ASSERT(sum.filled > 500);
	CU_ASSERT(sum.dedup_hits > 500);
	CU_ASSERT(sum.dedup_evicted > 500);
	CU_ASSERT(sum.lost_links > 5);
}

/* Fold both chains, the same bytes at two places, each in its own way. */
static void compare(uint64_t seed, uint32_t step, uint32_t max_streams)
{
	struct test_chain a, b;
	struct hr_fold *fold_a, *fold_b;

	test_chain_random(&a, seed, LINKS);
	test_chain_random(&b, seed, LINKS);
	fold_a = fold_new(&a, TABLE);
	fold_b = fold_new(&b, max_streams);
	test_fold_run(&a, fold_a, UINT32_MAX);
	test_fold_run(&b, fold_b, step);
	for (uint32_t i = 0; i < a.n_links; i++)
		CU_ASSERT(test_outs_equal(a.links[i].link.out, b.links[i].link.out));
	CU_ASSERT(hr_id128_equals(hr_fold_digest(fold_a), hr_fold_digest(fold_b)));
	CU_ASSERT(hr_id128_equals(hr_fold_hash(fold_a), hr_fold_hash(fold_b)));
	CU_ASSERT_EQUAL(hr_fold_n(fold_a), a.n_links);
	hr_fold_free(fold_a);
	hr_fold_free(fold_b);
	test_chain_fini(&a);
	test_chain_fini(&b);
}

static void slices_change_nothing(void)
{
	static const uint32_t steps[] = { 1, 7, 31, 32, 33, 1000 };

	for (uint64_t seed = 1; seed <= 10; seed++)
		for (size_t i = 0; i < HR_COUNT(steps); i++)
			compare(seed, steps[i], TABLE);
}

static void a_replay_from_link_1_is_the_same_to_the_digest(void)
{
	for (uint64_t seed = 100; seed < 130; seed++)
		compare(seed, UINT32_MAX, TABLE);
}

static void a_bigger_table_changes_nothing(void)
{
	static const uint32_t sizes[] = { 14, 100, 5000 };

	for (uint64_t seed = 1; seed <= 10; seed++)
		for (size_t i = 0; i < HR_COUNT(sizes); i++)
			compare(seed, 64, sizes[i]);
}

/* Whoever compiles it. Written down by the first that did; a change of any rule of
 * docs/fold.md changes it, and then fold_version has to change too. */
static void is_committed(const char *what, const uint8_t *id, const char *expected)
{
	char found[33];

	for (int i = 0; i < 16; i++)
		snprintf(found + 2 * i, 3, "%02x", id[i]);
	CU_ASSERT_STRING_EQUAL(found, expected);
	if (strcmp(found, expected) != 0)
		fprintf(stderr, "%s is %s\n", what, found);
}

static void the_digests_of_a_fixed_chain_are_the_committed_ones(void)
{
	static const char digest[] = "4b763b46fdfe2bc5f60e2a00cded311e",
			  state_digest[] = "77f11117d4607f08d421e5c814b96956";
	struct test_chain c;
	struct hr_fold *fold;
	uint8_t *state;
	size_t n;

	test_chain_random(&c, 20240115, 120);
	fold = fold_new(&c, TABLE);
	test_fold_run(&c, fold, 50);
	state = malloc(hr_fold_state_bytes(fold));
	n = hr_fold_state_write(fold, state);
	if (hr_fold_config(fold)->fold_version == 1) {
		is_committed("digest", hr_fold_digest(fold)->b, digest);
		is_committed("digest of the state", state + n - 16, state_digest);
	}
	free(state);
	hr_fold_free(fold);
	test_chain_fini(&c);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "fold agrees with a model after every link",
		  fold_agrees_with_a_model_after_every_link },
		{ "slices change nothing", slices_change_nothing },
		{ "a replay from link 1 is the same, to the digest",
		  a_replay_from_link_1_is_the_same_to_the_digest },
		{ "a bigger table changes nothing", a_bigger_table_changes_nothing },
		{ "the digests of a fixed chain and its state are the committed ones",
		  the_digests_of_a_fixed_chain_are_the_committed_ones },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("fold", NULL, NULL, tests);
}
