/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A shard goes over to another fold version: as the next link, when all views stand at
 * the last one, for which epochs wait a bounded while. What needs a version that the
 * program does not have is left alone, by name.
 */

#include <string.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/log/owned_world.h"

#define HOLD_MS 5000u

/* An appliance of the next version on a chain of the one before, of n links. */
static struct box *upgraded(struct world *w, uint64_t n)
{
	struct box *a, *b;

	world_init(w);
	a = box_start(w, 1);
	a->conf.file.fold_version = HR_FOLD_VERSION - 1;
	CU_ASSERT_TRUE_FATAL(world_until(w, a, HR_SHARD_READY, 100));
	while (a->n_links < n) {
		box_close(a, a->n_links, true);
		CU_ASSERT_TRUE_FATAL(world_until_links(w, a, a->n_links + 1, 100));
	}
	box_kill(a);
	b = box_start(w, 2);
	CU_ASSERT_TRUE_FATAL(world_until(w, b, HR_SHARD_READY, 200));
	world_run(w, 1500);
	CU_ASSERT_EQUAL(b->n_links, n + 1);
	return b;
}

static bool says(const struct box *b, const char *words)
{
	return strstr(b->owned->reason, words) != NULL;
}

static uint32_t version_of(const struct box *b, uint64_t n)
{
	const struct hr_link *link = b->links[n - 1];

	return link->body_kind == HR_BODY_CONFIG ? hr_load32(link->body.p) : 0;
}

static void without_a_word_a_chain_keeps_its_version(void)
{
	struct world w;
	struct box *b = upgraded(&w, 3);

	CU_ASSERT_TRUE(atomic_load(&b->owned->view.complains));
	CU_ASSERT_TRUE(says(b, "of fold version 1"));
	CU_ASSERT_TRUE(says(b, "config commit"));
	box_close(b, 50, true);
	world_run(&w, 2 * HOLD_MS);
	CU_ASSERT_EQUAL(b->n_links, 5);
	CU_ASSERT_EQUAL(b->owned->config.fold_version, 1);
	CU_ASSERT_EQUAL(b->links[4]->body_kind, HR_BODY_EPOCH);
	world_fini(&w);
}

static void without_views_it_is_the_next_link(void)
{
	struct world w;
	struct box *b = upgraded(&w, 3);

	hr_owned_config_commit(b->owned);
	box_close(b, 50, true);
	CU_ASSERT_TRUE(world_until_links(&w, b, 6, 100));
	CU_ASSERT_EQUAL(version_of(b, 5), HR_FOLD_VERSION);
	CU_ASSERT_EQUAL(b->owned->config.fold_version, HR_FOLD_VERSION);
	world_run(&w, 1500);
	CU_ASSERT_FALSE(atomic_load(&b->owned->view.complains));
	CU_ASSERT_STRING_EQUAL(b->owned->reason, "");
	hr_owned_config_commit(b->owned); /* once more: nothing to do */
	world_run(&w, 100);
	CU_ASSERT_EQUAL(b->n_links, 6);
	world_fini(&w);
}

static void epochs_wait_until_all_views_stand_at_the_last_link(void)
{
	struct world w;
	struct box *b = upgraded(&w, 3);

	b->viewed = 2;
	hr_owned_config_commit(b->owned);
	box_close(b, 50, true);
	box_close(b, 51, false);
	world_run(&w, 1500);
	CU_ASSERT_EQUAL(b->n_links, 4);
	CU_ASSERT_TRUE(says(b, "held back until all views stand at link 4"));
	CU_ASSERT_TRUE(says(b, "one stands at 2"));
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_READY);
	CU_ASSERT_TRUE(atomic_load(&b->owned->view.may_ack));
	CU_ASSERT_EQUAL(box_epochs_out(b), 2);
	b->viewed = 4;
	CU_ASSERT_TRUE(world_until_links(&w, b, 7, 100));
	CU_ASSERT_EQUAL(version_of(b, 5), HR_FOLD_VERSION);
	CU_ASSERT_EQUAL(world_finds(&w, 50, NULL), 1);
	CU_ASSERT_EQUAL(world_finds(&w, 51, NULL), 1);
	CU_ASSERT_EQUAL(b->dropped_fenced, 0);
	world_fini(&w);
}

/* Senders do not wait for a view that is down; it is tried again by itself. */
static void a_view_that_stands_still_holds_nobody_for_long(void)
{
	struct world w;
	struct box *b = upgraded(&w, 3);

	b->viewed = 1;
	hr_owned_config_commit(b->owned);
	box_close(b, 50, true);
	world_run(&w, HOLD_MS - 100);
	CU_ASSERT_EQUAL(b->n_links, 4);
	CU_ASSERT_TRUE(world_until_links(&w, b, 5, 200));
	CU_ASSERT_PTR_NOT_NULL(strstr(b->line, "has to wait"));
	box_close(b, 51, true);
	CU_ASSERT_TRUE(world_until_links(&w, b, 6, 100));
	CU_ASSERT_EQUAL(version_of(b, 5) + version_of(b, 6), 0);
	world_run(&w, HOLD_MS);
	box_close(b, 52, true); /* and held again */
	world_run(&w, 1000);
	CU_ASSERT_EQUAL(b->n_links, 6);
	b->viewed = 6;
	CU_ASSERT_TRUE(world_until_links(&w, b, 8, 100));
	CU_ASSERT_EQUAL(version_of(b, 7), HR_FOLD_VERSION);
	CU_ASSERT_EQUAL(world_finds(&w, 52, NULL), 1);
	world_fini(&w);
}

static void a_view_that_is_far_behind_holds_nobody_at_all(void)
{
	struct world w;
	struct box *b = upgraded(&w, 300);

	b->viewed = 10;
	hr_owned_config_commit(b->owned);
	box_close(b, 500, true);
	CU_ASSERT_TRUE(world_until_links(&w, b, 302, 50));
	world_run(&w, 1500);
	CU_ASSERT_TRUE(says(b, "when all views stand at the last link"));
	b->viewed = 200; /* it comes nearer */
	world_run(&w, 10);
	box_close(b, 501, true);
	world_run(&w, 100);
	CU_ASSERT_EQUAL(b->n_links, 302);
	b->viewed = 302;
	CU_ASSERT_TRUE(world_until_links(&w, b, 304, 100));
	CU_ASSERT_EQUAL(version_of(b, 303), HR_FOLD_VERSION);
	world_fini(&w);
}

/* What the owner wants is in memory alone: the next one has to be told again, and nothing
 * is half done. */
static void one_that_dies_while_it_holds_leaves_the_chain_as_it_was(void)
{
	struct world w;
	struct box *b = upgraded(&w, 3), *c;

	b->viewed = 1;
	hr_owned_config_commit(b->owned);
	box_close(b, 50, true);
	world_run(&w, 100);
	box_kill(b);
	c = box_start(&w, 3);
	CU_ASSERT_TRUE_FATAL(world_until(&w, c, HR_SHARD_READY, 200));
	world_run(&w, 1500);
	CU_ASSERT_EQUAL(c->owned->config.fold_version, 1);
	CU_ASSERT_TRUE(says(c, "config commit"));
	hr_owned_config_commit(c->owned);
	CU_ASSERT_TRUE(world_until_links(&w, c, 6, 100));
	CU_ASSERT_EQUAL(version_of(c, 6), HR_FOLD_VERSION);
	world_fini(&w);
}

/* Written, and its author dead before it was read back. */
static void one_that_died_behind_the_link_has_gone_over(void)
{
	struct world w;
	struct box *b = upgraded(&w, 3), *c;

	fake_store_fate(w.store, FAKE_NO_ANSWER, 1);
	hr_owned_config_commit(b->owned);
	world_run(&w, 1);
	box_kill(b);
	c = box_start(&w, 3);
	CU_ASSERT_TRUE_FATAL(world_until(&w, c, HR_SHARD_READY, 9000));
	world_run(&w, 1500);
	CU_ASSERT_EQUAL(c->owned->config.fold_version, HR_FOLD_VERSION);
	CU_ASSERT_STRING_EQUAL(c->owned->reason, "");
	world_fini(&w);
}

/* ---- downgraded ------------------------------------------------------------------- */

/* What a program of a later version wrote: CONFIG of a version that this one has not. */
static void a_chain_beyond_this_program_is_left_alone_by_name(void)
{
	struct world w;
	struct box *a, *b;
	int64_t end;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	a->conf.file.fold_version = HR_FOLD_VERSION + 1;
	hr_owned_config_commit(a->owned);
	world_run(&w, 50); /* it does not have it either, and says so */
	CU_ASSERT_EQUAL(atomic_load(&a->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_TRUE(says(a, "run one that has version 3"));
	end = fake_store_end(w.store, 0);
	b = box_start(&w, 2);
	CU_ASSERT_TRUE(world_until(&w, b, HR_SHARD_STOPPED, 1000));
	CU_ASSERT_TRUE(says(b, "fold version 3, and this program has 1 and 2"));
	CU_ASSERT_TRUE(says(b, "link 2"));
	box_close(b, 7, true);
	world_run(&w, 2000);
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), end); /* no FENCE, nothing */
	CU_ASSERT_EQUAL(box_epochs_out(b), 0);
	world_fini(&w);
}

static void a_snapshot_beyond_this_program_does_the_same(void)
{
	const struct hr_log_start start = { .needs_version = 7 };
	struct world w;
	struct box *a, *b;
	int64_t end;

	world_init(&w);
	a = box_start(&w, 1);
	CU_ASSERT_TRUE_FATAL(world_until(&w, a, HR_SHARD_READY, 100));
	end = fake_store_end(w.store, 0);
	b = box_start_at(&w, 2, &start);
	world_run(&w, 2000);
	CU_ASSERT_EQUAL(atomic_load(&b->owned->view.state), HR_SHARD_STOPPED);
	CU_ASSERT_TRUE(says(b, "run one that has version 7"));
	CU_ASSERT_EQUAL(fake_store_end(w.store, 0), end);
	CU_ASSERT_EQUAL(atomic_load(&a->owned->view.state), HR_SHARD_READY);
	world_fini(&w);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "without a word a chain keeps its version",
		  without_a_word_a_chain_keeps_its_version },
		{ "without views it is the next link",
		  without_views_it_is_the_next_link },
		{ "epochs wait until all views stand at the last link",
		  epochs_wait_until_all_views_stand_at_the_last_link },
		{ "a view that stands still holds nobody for long",
		  a_view_that_stands_still_holds_nobody_for_long },
		{ "a view that is far behind holds nobody at all",
		  a_view_that_is_far_behind_holds_nobody_at_all },
		{ "one that dies while it holds leaves the chain as it was",
		  one_that_dies_while_it_holds_leaves_the_chain_as_it_was },
		{ "one that died behind the link has gone over",
		  one_that_died_behind_the_link_has_gone_over },
		{ "a chain beyond this program is left alone, by name",
		  a_chain_beyond_this_program_is_left_alone_by_name },
		{ "a snapshot beyond this program does the same",
		  a_snapshot_beyond_this_program_does_the_same },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("log upgrade", NULL, NULL, tests);
}
