/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_VAULT_H
#define HR_SNAPSHOT_VAULT_H

/*
 * vault - the snapshots of one shard, as one reads and writes them: an index over a
 * store. Several vaults share a store's handle. One thread.
 *
 *   write: image ─▶ chunks ─▶ manifest ─▶ read all of it back ─▶ it exists
 *   load:  entry ─▶ chunks ─▶ image, checked again
 *   tidy:  what nobody needs is deleted, oldest first
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/snapshot/index.h"
#include "dataplane/snapshot/store.h"

struct hr_vault {
	const struct hr_snapshot_ops *ops;
	struct hr_snapshot_store *store; /* the caller's */
	struct hr_snapshot_index index;
	int64_t next;     /* place up to which the index has read */
	uint32_t wait_ms; /* for each call of the store */
	/* Called between two records that are written; it may take a while. Returns
	 * false to give the snapshot up. NULL: nobody. */
	bool (*between)(void *ctx);
	void *ctx;
};

void hr_vault_init(struct hr_vault *v, const struct hr_snapshot_ops *ops,
		   struct hr_snapshot_store *store, const struct hr_data_set *set,
		   uint16_t shard, uint32_t wait_ms);
void hr_vault_fini(struct hr_vault *v);

/* Read what has been appended since, and forget what was deleted, by whomever. 0, -EIO
 * or -ENOMEM with err. */
int hr_vault_refresh(struct hr_vault *v, struct hr_err *err);

/*
 * The image of an entry, in memory of its own: free() it. Returns 0; -EIO; -EBADMSG: it
 * is not what it was when it was read last; -ENOMEM; with err.
 */
int hr_vault_load(struct hr_vault *v, const struct hr_snapshot_entry *entry,
		  uint8_t **image, size_t *bytes, struct hr_err *err);

/* Write an image under a fresh id. Returns 0 when it exists: it was read back, whole.
 * -ECANCELED: between() gave it up. Else a negated errno with err; it may exist. */
int hr_vault_write(struct hr_vault *v, const uint8_t *image, size_t bytes,
		   struct hr_err *err);

/* Whether hr_vault_tidy() would do nothing. */
bool hr_vault_is_tidy(struct hr_vault *v, const struct hr_snapshot_needs *needs);

/*
 * Delete what is not needed, as far as a store can: it is cut off at its beginning. An
 * old snapshot that a view needs for long is copied to the end when more than a few
 * dead ones lie behind it. Returns 0 or a negated errno with err.
 */
int hr_vault_tidy(struct hr_vault *v, const struct hr_snapshot_needs *needs,
		  struct hr_err *err);

#endif
