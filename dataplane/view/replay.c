/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/config.h"
#include "common/log.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/reader.h"
#include "dataplane/poison/poison.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/snapshot/vault.h"
#include "dataplane/view/replay.h"

#define ALL_EVENTS UINT32_MAX /* nobody waits between two slices */
#define STORE_WAIT_MS 5000u

struct hr_replay {
	struct hr_data_set set;
	struct hr_reader *reader;
	struct hr_fold *fold; /* NULL until link 1 has said how large it must be */
	const struct hr_config *config;
	uint64_t behind_n;    /* the position it was opened for */
	uint64_t newest_n;    /* of the snapshots that may be begun from */
	uint32_t max_streams; /* of the configuration */
	uint16_t shard;
};

/* ---- from a snapshot --------------------------------------------------------------- */

static int restore(struct hr_replay *replay, struct hr_vault *vault,
		   const struct hr_snapshot_entry *entry, struct hr_log_start *start,
		   struct hr_err *err)
{
	uint8_t *image;
	size_t bytes;
	int r = hr_vault_load(vault, entry, &image, &bytes, err);

	if (r < 0)
		return r;
	r = hr_snapshot_restore(&replay->fold, start, &replay->set, replay->shard,
				replay->max_streams, image, bytes, err);
	free(image);
	return r;
}

/* The newest at or before the position that can be read. 0 also when there is none. */
static int find_state(struct hr_replay *replay, struct hr_vault *vault,
		      struct hr_log_start *start, struct hr_err *err)
{
	struct hr_snapshot_entry *entry;
	int r = hr_vault_refresh(vault, err);

	while (r == 0 && replay->fold == NULL &&
	       (entry = hr_snapshot_index_newest(&vault->index, replay->newest_n)) !=
		       NULL) {
		r = restore(replay, vault, entry, start, err);
		if (r == 0 || r == -EIO || r == -ENOMEM)
			break;
		hr_warn("view", "shard %u: the snapshot of link %llu is refused: %s",
			replay->shard, (unsigned long long)entry->manifest.head.n,
			err->text);
		entry->is_refused = true;
		r = 0;
	}
	if (replay->fold == NULL)
		memset(start, 0, sizeof(*start));
	return r;
}

static int look_for_state(struct hr_replay *replay, struct hr_log_start *start,
			  struct hr_err *err)
{
	const struct hr_config *config = replay->config;
	const struct hr_snapshot_ops *ops = hr_snapshot_ops_of(config);
	struct hr_snapshot_store *store;
	struct hr_vault vault;
	int r;

	memset(start, 0, sizeof(*start));
	if (replay->newest_n == 0)
		return 0;
	r = ops->open(&store, config, &replay->set, STORE_WAIT_MS, err);
	if (r < 0)
		return r;
	hr_vault_init(&vault, ops, store, &replay->set, replay->shard, STORE_WAIT_MS);
	r = find_state(replay, &vault, start, err);
	hr_vault_fini(&vault);
	ops->close(store);
	return r;
}

/* From the newest state that may be begun from. */
static int begin(struct hr_replay *replay, struct hr_err *err)
{
	struct hr_log_start start;
	int r = look_for_state(replay, &start, err);

	if (r == 0)
		r = hr_reader_open_at(&replay->reader, replay->config, &replay->set,
				      replay->shard, &start, err);
	return r;
}

int hr_replay_open(struct hr_replay **out, const struct hr_config *config,
		   const struct hr_data_set *set, uint16_t shard, uint64_t behind_n,
		   struct hr_err *err)
{
	struct hr_replay *replay = calloc(1, sizeof(*replay));
	int r;

	if (replay == NULL)
		return hr_fail(err, -ENOMEM, "no memory to replay the log");
	replay->set = *set;
	replay->shard = shard;
	replay->config = config;
	replay->behind_n = replay->newest_n = behind_n;
	replay->max_streams = config->stream_max;
	r = begin(replay, err);
	if (r < 0) {
		hr_fold_free(replay->fold);
		free(replay);
		return r;
	}
	*out = replay;
	return 0;
}

/* The log does not hold what the snapshot was made from where it says: it was cut, and
 * what had been lost lies elsewhere now, or it was trimmed meanwhile. The next older
 * one, or link 1. */
static void refuse_state(struct hr_replay *replay, const struct hr_err *err)
{
	hr_warn("view", "shard %u: the snapshot of link %llu is refused: %s",
		replay->shard, (unsigned long long)hr_replay_n(replay), err->text);
	replay->newest_n = hr_replay_n(replay) - 1;
	hr_fold_free(replay->fold);
	replay->fold = NULL;
	hr_reader_close(replay->reader);
	replay->reader = NULL;
}

uint64_t hr_replay_n(const struct hr_replay *replay)
{
	return replay->fold == NULL ? 0 : hr_fold_n(replay->fold);
}

bool hr_replay_has_begun(const struct hr_replay *replay)
{
	return hr_replay_n(replay) > 0 && replay->reader != NULL &&
	       hr_reader_has_begun(replay->reader);
}

void hr_replay_close(struct hr_replay *replay)
{
	if (replay == NULL)
		return;
	hr_fold_free(replay->fold);
	hr_reader_close(replay->reader);
	free(replay);
}

/* As large as the chain's first link asks, or as the configuration does when that is
 * more: the live fold has the same room for a later CONFIG. */
static int fold_make(struct hr_replay *replay, const struct hr_link *link,
		     struct hr_err *err)
{
	struct hr_chain_config *config = malloc(sizeof(*config));
	uint64_t max_streams = replay->max_streams;
	int r = 0;

	if (config == NULL)
		return hr_fail(err, -ENOMEM, "no memory to replay the log");
	if (link->body_kind == HR_BODY_CONFIG)
		r = hr_chain_config_decode(config, link->body, err);
	if (r == 0 && link->body_kind == HR_BODY_CONFIG &&
	    config->setting[HR_CHAIN_MAX_STREAMS] > max_streams)
		max_streams = config->setting[HR_CHAIN_MAX_STREAMS];
	free(config);
	if (r < 0)
		return r;
	if (max_streams > UINT32_MAX ||
	    hr_fold_new(&replay->fold, &replay->set, replay->shard,
			(uint32_t)max_streams) < 0) {
		replay->fold = NULL;
		return hr_fail(err, -ENOMEM,
			       "no memory to replay shard %u of the log with the %llu "
			       "streams its first link asks for",
			       replay->shard, (unsigned long long)max_streams);
	}
	return 0;
}

static int fold_link(struct hr_replay *replay, struct hr_link *link, struct hr_err *err)
{
	struct hr_err why;
	int r = 0;

	if (hr_poison_bars_link(&replay->set, link->shard, link->n, &link->hash, &why))
		return hr_fail(err, -ENODATA, "shard %u: %s", link->shard, why.text);
	if (replay->fold == NULL)
		r = fold_make(replay, link, err);
	if (r == 0)
		r = hr_out_new(link, err);
	if (r < 0)
		return r;
	r = hr_fold_begin(replay->fold, link);
	if (r < 0)
		return hr_fail(err, r, "shard %u: link %llu cannot be folded: %s",
			       replay->shard, (unsigned long long)link->n,
			       r == -E2BIG ? "its CONFIG asks for more, or for a later "
					     "fold version, than this program has"
					   : "it is not the next one");
	while (!hr_fold_step(replay->fold, ALL_EVENTS))
		;
	return 0;
}

int hr_replay_next(struct hr_replay *replay, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err)
{
	struct hr_link *link;
	int r = replay->reader == NULL ? begin(replay, err) : 0;

	if (r < 0)
		return r == -EIO ? 0 : r; /* snapshots are out of reach: later */
	r = hr_reader_next(replay->reader, wait_ms, &link, err);
	if ((r == -ESTALE || r == -ENODATA) && hr_replay_n(replay) > 0 &&
	    !hr_reader_has_begun(replay->reader)) {
		refuse_state(replay, err);
		return 0;
	}
	if (r == -ENODATA && hr_replay_n(replay) == 0)
		return hr_fail(
			err, r,
			"shard %u: link %llu is too old to replay from: the log "
			"does not begin with link 1 any more, and no snapshot of "
			"a link up to it is kept",
			replay->shard, (unsigned long long)replay->behind_n);
	if (r <= 0)
		return r;
	r = fold_link(replay, link, err);
	if (r < 0) {
		hr_link_put(link);
		return r;
	}
	*out = link;
	return 1;
}
