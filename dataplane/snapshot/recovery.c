/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "dataplane/log/reader.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/snapshot/vault.h"

#define THREADS_MOST 4u
#define WAIT_MS 10000u
#define LOOK_MS 100u

struct recovering {
	struct hr_recovery *recovery;
	const struct hr_config *config;
	const struct hr_data_set *set;
	atomic_bool *ends;
	_Atomic uint32_t next; /* shard */
	pthread_mutex_t lock;  /* of what follows */
	int result;
	struct hr_err err;
};

int hr_recovery_new(struct hr_recovery **out, const struct hr_data_set *set)
{
	const uint32_t n = set->n_shards;
	struct hr_recovery *recovery =
		calloc(1, sizeof(*recovery) + n * sizeof(recovery->shards[0]));

	if (recovery == NULL)
		return -ENOMEM;
	recovery->n_shards = n;
	*out = recovery;
	return 0;
}

static void shard_clear(struct hr_recovered *shard)
{
	hr_fold_free(shard->fold);
	hr_fold_free(shard->mirror);
	hr_snapshot_index_fini(&shard->index);
	memset(shard, 0, sizeof(*shard));
}

void hr_recovery_free(struct hr_recovery *recovery)
{
	if (recovery == NULL)
		return;
	for (uint32_t s = 0; s < recovery->n_shards; s++)
		shard_clear(&recovery->shards[s]);
	free(recovery);
}

/* ---- one snapshot ---------------------------------------------------------------- */

/* Is link n where the snapshot says? 0, -ESTALE or -ENODATA (no), another negated errno
 * (not known). */
static int log_check(const struct recovering *r, uint16_t shard,
		     const struct hr_log_start *start, struct hr_err *err)
{
	struct hr_reader *reader;
	int result = hr_reader_open_at(&reader, r->config, r->set, shard, start, err);

	if (result < 0)
		return result;
	for (uint32_t waited = 0; result == 0 && !hr_reader_has_begun(reader);
	     waited += LOOK_MS) {
		struct hr_link *link;

		if (waited >= WAIT_MS || atomic_load(r->ends)) {
			result = hr_fail(
				err, -EIO,
				"the log of shard %u could not be read in time", shard);
			break;
		}
		result = hr_reader_next(reader, LOOK_MS, &link, err);
		if (result == 1) {
			hr_link_put(link);
			result = 0;
		}
	}
	hr_reader_close(reader);
	return result;
}

static int restore_twice(const struct recovering *r, struct hr_recovered *shard,
			 uint16_t s, const uint8_t *image, size_t bytes,
			 struct hr_err *err)
{
	int result = hr_snapshot_restore(&shard->fold, &shard->start, r->set, s,
					 r->config->stream_max, image, bytes, err);

	if (result == 0)
		result = hr_snapshot_restore(&shard->mirror, &shard->start, r->set, s,
					     r->config->stream_max, image, bytes, err);
	return result;
}

static void forget_state(struct hr_recovered *shard)
{
	hr_fold_free(shard->fold);
	hr_fold_free(shard->mirror);
	shard->fold = shard->mirror = NULL;
}

/* What is wrong with the snapshot itself, or with what it says of the log: it is passed
 * over. Everything else may pass. */
static bool is_refusal(int result)
{
	return result != -EIO && result != -ENOMEM;
}

/* The log had this link once. Only the newest counts: it says most. */
static void note_lost(struct hr_log_start *lost, int result,
		      const struct hr_snapshot_head *head)
{
	if ((result != -ESTALE && result != -ENODATA) || lost->lost_n >= head->n)
		return;
	lost->lost_n = head->n;
	lost->lost_hash = head->hash;
}

/* The chain has got to another fold version; nothing older helps. */
static void note_needed(uint32_t *needs_version, const struct hr_snapshot_head *head)
{
	if (hr_fold_version_check(head->fold_version, "", NULL) < 0 &&
	    *needs_version < head->fold_version)
		*needs_version = head->fold_version;
}

static int try_one(const struct recovering *r, struct hr_vault *vault,
		   struct hr_recovered *shard, struct hr_snapshot_entry *entry,
		   struct hr_err *err)
{
	const uint16_t s = vault->index.shard;
	uint8_t *image;
	size_t bytes;
	int result = hr_vault_load(vault, entry, &image, &bytes, err);

	if (result < 0)
		return result;
	result = restore_twice(r, shard, s, image, bytes, err);
	free(image);
	if (result == 0)
		result = log_check(r, s, &shard->start, err);
	if (result < 0)
		forget_state(shard);
	return result;
}

/* ---- one shard ------------------------------------------------------------------- */

static int find_state(const struct recovering *r, struct hr_vault *vault,
		      struct hr_recovered *shard, uint64_t beyond_n, struct hr_err *err)
{
	struct hr_log_start lost = { .lost_n = 0 };
	struct hr_snapshot_entry *entry;
	int result = 1;

	while (result != 0 &&
	       (entry = hr_snapshot_index_newest(&vault->index, UINT64_MAX)) != NULL &&
	       entry->manifest.head.n > beyond_n) {
		result = try_one(r, vault, shard, entry, err);
		if (result == 0)
			break;
		if (!is_refusal(result))
			return result;
		hr_warn("snapshot",
			"shard %u: the snapshot of link %llu is refused: %s",
			vault->index.shard, (unsigned long long)entry->manifest.head.n,
			err->text);
		note_lost(&lost, result, &entry->manifest.head);
		note_needed(&lost.needs_version, &entry->manifest.head);
		entry->is_refused = true;
	}
	if (shard->fold == NULL)
		memset(&shard->start, 0, sizeof(shard->start));
	shard->start.lost_n = lost.lost_n;
	shard->start.lost_hash = lost.lost_hash;
	if (lost.needs_version > HR_FOLD_VERSION)
		shard->start.needs_version = lost.needs_version;
	return 0;
}

static int recover_shard(const struct recovering *r, struct hr_snapshot_store *store,
			 uint16_t s, struct hr_err *err)
{
	struct hr_recovered *shard = &r->recovery->shards[s];
	struct hr_vault vault;
	int result;

	shard_clear(shard);
	hr_vault_init(&vault, hr_snapshot_ops_of(r->config), store, r->set, s, WAIT_MS);
	result = hr_vault_refresh(&vault, err);
	if (result == 0)
		result = find_state(r, &vault, shard, 0, err);
	if (result < 0) {
		hr_vault_fini(&vault);
		return result;
	}
	shard->index = vault.index; /* moved */
	shard->next = vault.next;
	if (shard->fold != NULL)
		hr_info("snapshot", "shard %u: goes on from the snapshot of link %llu",
			s, (unsigned long long)shard->start.chain.n);
	return 0;
}

int hr_recovery_newest(struct hr_fold **fold, struct hr_log_start *start,
		       const struct hr_config *config, const struct hr_data_set *set,
		       uint16_t shard, uint64_t beyond_n, atomic_bool *ends,
		       struct hr_err *err)
{
	const struct recovering r = { .config = config, .set = set, .ends = ends };
	const struct hr_snapshot_ops *ops = hr_snapshot_ops_of(config);
	struct hr_recovered found = { .fold = NULL };
	struct hr_snapshot_store *store;
	struct hr_vault vault;
	int result = ops->open(&store, config, set, WAIT_MS, err);

	if (result < 0)
		return result;
	hr_vault_init(&vault, ops, store, set, shard, WAIT_MS);
	result = hr_vault_refresh(&vault, err);
	if (result == 0)
		result = find_state(&r, &vault, &found, beyond_n, err);
	hr_vault_fini(&vault);
	ops->close(store);
	hr_fold_free(found.mirror);
	*fold = found.fold;
	*start = found.start;
	if (result == 0 && found.start.needs_version != 0) {
		hr_fold_free(found.fold);
		*fold = NULL;
		return hr_fold_version_check(found.start.needs_version,
					     "its newest snapshot is of", err);
	}
	return result < 0 ? result : found.fold != NULL;
}

/* ---- all ------------------------------------------------------------------------- */

static void fail_all(struct recovering *r, int result, const struct hr_err *err)
{
	pthread_mutex_lock(&r->lock);
	if (r->result == 0) {
		r->result = result;
		r->err = *err;
	}
	pthread_mutex_unlock(&r->lock);
	atomic_store(&r->next, UINT16_MAX); /* the others end, too */
}

static void *recover_some(void *arg)
{
	struct recovering *r = arg;
	struct hr_snapshot_store *store = NULL;
	struct hr_err err = { "" };
	int result = hr_snapshot_ops_of(r->config)->open(&store, r->config, r->set,
							 WAIT_MS, &err);

	while (result == 0 && !atomic_load(r->ends)) {
		const uint32_t s = atomic_fetch_add(&r->next, 1);

		if (s >= r->set->n_shards)
			break;
		result = recover_shard(r, store, (uint16_t)s, &err);
		if (result == 0)
			atomic_fetch_add(&r->recovery->n_done, 1);
	}
	if (result < 0)
		fail_all(r, result, &err);
	hr_snapshot_ops_of(r->config)->close(store);
	return NULL;
}

int hr_recovery_run(struct hr_recovery *recovery, const struct hr_config *config,
		    const struct hr_data_set *set, atomic_bool *ends,
		    struct hr_err *err)
{
	struct recovering r = {
		.recovery = recovery, .config = config, .set = set, .ends = ends
	};
	pthread_t threads[THREADS_MOST];
	uint32_t n = 0;

	atomic_store(&recovery->n_done, 0);
	pthread_mutex_init(&r.lock, NULL);
	while (n < THREADS_MOST && n + 1 < set->n_shards &&
	       pthread_create(&threads[n], NULL, recover_some, &r) == 0)
		n++;
	(void)recover_some(&r); /* this one, too */
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&r.lock);
	if (r.result == 0 && atomic_load(ends))
		return hr_fail(err, -EIO, "recovery was given up");
	if (r.result < 0)
		*err = r.err;
	return r.result;
}
