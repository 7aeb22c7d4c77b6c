/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>

#include "common/clock.h"
#include "common/config.h"
#include "dataplane/snapshot/vault.h"
#include "dataplane/view/audit_links.h"
#include "dataplane/view/replay.h"

#define STORE_WAIT_MS 10000u
#define WAIT_MS 100u
#define NEWEST_US 2000000u /* nothing comes behind a snapshot's link */
#define NOTHING_US 15000000u

int hr_audit_links_open(struct hr_audit_links *l, const struct hr_config *config,
			const struct hr_data_set *set, uint16_t shard,
			uint64_t behind_n, bool may_begin_later, struct hr_err *err)
{
	*l = (struct hr_audit_links){ .config = config,
				      .set = set,
				      .shard = shard,
				      .may_begin_later = may_begin_later,
				      .heard_us = hr_mono_us() };
	return hr_replay_open(&l->replay, config, set, shard, behind_n, err);
}

void hr_audit_links_close(struct hr_audit_links *l)
{
	hr_replay_close(l->replay);
	l->replay = NULL;
}

/* What the oldest snapshot behind link `behind` is of; n = 0: there is none. */
static int oldest_snapshot(const struct hr_audit_links *l, uint64_t behind,
			   struct hr_position *out, struct hr_err *err)
{
	const struct hr_snapshot_ops *ops = hr_snapshot_ops_of(l->config);
	struct hr_snapshot_store *store;
	struct hr_vault vault;
	int r = ops->open(&store, l->config, l->set, STORE_WAIT_MS, err);

	*out = (struct hr_position){ .generation = l->set->generation };
	if (r < 0)
		return r;
	hr_vault_init(&vault, ops, store, l->set, l->shard, STORE_WAIT_MS);
	r = hr_vault_refresh(&vault, err);
	for (uint32_t i = 0; r == 0 && i < vault.index.n_entries; i++) {
		const struct hr_snapshot_head *head =
			&vault.index.entries[i].manifest.head;

		if (head->n <= behind || (out->n != 0 && head->n >= out->n))
			continue;
		out->n = head->n;
		out->hash = head->hash;
		out->digest = head->digest;
	}
	hr_vault_fini(&vault);
	ops->close(store);
	return r;
}

/* The log begins neither with link 1 any more nor with the snapshot that was tried: with
 * the next newer one. */
static int begin_later(struct hr_audit_links *l, struct hr_err *err)
{
	int r = oldest_snapshot(l, l->began.n, &l->began, err);

	if (r < 0)
		return r;
	if (l->began.n == 0)
		return hr_fail(err, -ENODATA,
			       "shard %u: the log does not begin with link 1 any more, "
			       "and reaches back to no snapshot",
			       l->shard);
	hr_audit_links_close(l);
	l->heard_us = hr_mono_us();
	return hr_replay_open(&l->replay, l->config, l->set, l->shard, l->began.n, err);
}

int hr_audit_links_next(struct hr_audit_links *l, struct hr_link **out,
			struct hr_err *err)
{
	for (;;) {
		int r = hr_replay_next(l->replay, WAIT_MS, out, err);

		if (r == -ENODATA && l->may_begin_later && !l->has_begun) {
			r = begin_later(l, err);
			if (r == 0)
				continue;
		}
		if (r < 0)
			return r;
		if (r == 1) {
			if (!l->has_begun)
				l->began_behind = (*out)->n - 1;
			l->has_begun = true;
			l->heard_us = hr_mono_us();
			return 0;
		}
		if (!l->has_begun && l->began.n > 0 &&
		    hr_replay_n(l->replay) == l->began.n &&
		    hr_replay_has_begun(l->replay) &&
		    hr_mono_us() - l->heard_us > NEWEST_US) {
			l->began_behind = l->began.n;
			return hr_fail(err, -ENOENT,
				       "shard %u: link %" PRIu64 " is the newest",
				       l->shard, l->began.n);
		}
		if (hr_mono_us() - l->heard_us > NOTHING_US)
			return hr_fail(err, -EIO,
				       "shard %u: the log has ended behind link "
				       "%" PRIu64 ", or is out of reach",
				       l->shard, hr_replay_n(l->replay));
	}
}
