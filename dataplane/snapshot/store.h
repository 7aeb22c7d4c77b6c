/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_STORE_H
#define HR_SNAPSHOT_STORE_H

/*
 * store - where the records of snapshots lie: per shard a sequence with places that
 * grow, appended to at its end and cut off at its beginning. Kafka (headrace.snapshots,
 * partition = shard; a place is an offset) and the folder beside the log's files (a
 * place is the number of a file and of a record in it).
 *
 * A handle is used by one thread; every call blocks, at most about as long as it is
 * told. Several handles of one store, in this process or another, may be open.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_config;
struct hr_snapshot_store;

/* Returns 0 to go on; anything else ends the walk with it. */
typedef int (*hr_snapshot_take)(void *ctx, int64_t place, const uint8_t *bytes,
				size_t n);

struct hr_snapshot_reach {
	int64_t first; /* before this place nothing is kept any more; 0: not known */
	int64_t next;  /* the place behind the last record */
};

struct hr_snapshot_ops {
	const char *name; /* "kafka", "file" */

	/*
	 * Makes topic or folder where it is missing, checks the settings it must have.
	 * Returns 0, -EINVAL (another setting; err names both values), -EACCES, -ENOMEM,
	 * or -EIO: out of reach for wait_ms.
	 */
	int (*open)(struct hr_snapshot_store **out, const struct hr_config *config,
		    const struct hr_data_set *set, uint32_t wait_ms,
		    struct hr_err *err);
	void (*close)(struct hr_snapshot_store *store); /* NULL is fine */

	/*
	 * Append the next record of the snapshot `id`: chunks in order, then, with
	 * is_last, the manifest, which makes all of them durable. Returns 0; or -EIO,
	 * with an unknown outcome: the snapshot is given up (drop it with abandon()).
	 */
	int (*put)(struct hr_snapshot_store *store, uint16_t shard,
		   const struct hr_id128 *id, const uint8_t *bytes, uint32_t n,
		   bool is_last, uint32_t wait_ms, struct hr_err *err);
	void (*abandon)(struct hr_snapshot_store *store, uint16_t shard,
			const struct hr_id128 *id);

	/*
	 * Hand every record from place `from` on (0: the first there is) to `take`, up to
	 * the end as of the call. Returns 0, what take returned, or -EIO with err; then
	 * reach->next is where to go on.
	 */
	int (*walk)(struct hr_snapshot_store *store, uint16_t shard, int64_t from,
		    uint32_t wait_ms, hr_snapshot_take take, void *ctx,
		    struct hr_snapshot_reach *reach, struct hr_err *err);

	/* Records before this place are gone. 0 or -EIO with err. */
	int (*drop)(struct hr_snapshot_store *store, uint16_t shard, int64_t before,
		    uint32_t wait_ms, struct hr_err *err);
};

extern const struct hr_snapshot_ops hr_snapshot_kafka;
extern const struct hr_snapshot_ops hr_snapshot_file;

/* As config's log.kind says. */
const struct hr_snapshot_ops *hr_snapshot_ops_of(const struct hr_config *config);

#endif
