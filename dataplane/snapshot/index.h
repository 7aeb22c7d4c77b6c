/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_INDEX_H
#define HR_SNAPSHOT_INDEX_H

/*
 * index - which snapshots of one shard exist: the complete sets among the records of
 * its partition, found by being handed each record in the order in which they lie.
 *
 *   [A0][A1][B0][A2][A manifest][B1] ...     A exists; B does not (yet)
 *
 * A set is complete when its chunks came in order, their number, bytes and digest are
 * those of the manifest, and the manifest's head is the image's. So an entry was read
 * whole once, and what was written was read back. And it says which of them may go.
 * No I/O; one thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/siphash.h"
#include "dataplane/snapshot/format.h"

struct hr_snapshot_entry {
	struct hr_id128 id;
	struct hr_snapshot_manifest manifest;
	/* Places in the store of its first chunk and its manifest. */
	int64_t first, last;
	bool is_refused; /* it did not fit the log: never asked again, never counted */
};

/* A set whose manifest has not come. */
struct hr_snapshot_open_set {
	struct hr_id128 id;
	int64_t first;
	uint32_t n_chunks;
	uint64_t n_bytes;
	uint8_t head[HR_SNAPSHOT_HEAD_BYTES];
	uint8_t tail[HR_SNAPSHOT_DIGEST_BYTES]; /* the last bytes so far */
	struct hr_siphash hash;                 /* of all but the tail */
};

/* Writers that lie interleaved in one partition: two at most, and what was killed in the
 * middle. The set that is open longest is forgotten when there are more. */
#define HR_SNAPSHOT_OPEN_SETS 16u

struct hr_snapshot_index {
	struct hr_data_set set;
	uint16_t shard;
	struct hr_snapshot_entry *entries; /* in the order of their manifests */
	uint32_t n_entries, max_entries;
	struct hr_snapshot_open_set open[HR_SNAPSHOT_OPEN_SETS]; /* oldest first */
	uint32_t n_open;
	uint64_t n_foreign; /* sound records of another data set or program */
	uint64_t n_broken;  /* manifests whose set was not complete */
};

void hr_snapshot_index_init(struct hr_snapshot_index *ix, const struct hr_data_set *set,
			    uint16_t shard);
void hr_snapshot_index_fini(struct hr_snapshot_index *ix);

/* The next record, whatever it is. Returns 0 or -ENOMEM. */
int hr_snapshot_index_take(struct hr_snapshot_index *ix, int64_t place,
			   const uint8_t *bytes, size_t n);

/* What lay before this place is gone: entries that begin there are no more. */
void hr_snapshot_index_forget(struct hr_snapshot_index *ix, int64_t before);

/* The newest that is not refused, with n at most max_n: highest n, then the later one.
 * NULL: none. */
struct hr_snapshot_entry *hr_snapshot_index_newest(struct hr_snapshot_index *ix,
						   uint64_t max_n);
const struct hr_snapshot_entry *
hr_snapshot_index_find(const struct hr_snapshot_index *ix, const struct hr_id128 *id);

/* Who needs snapshots beside the next start. */
struct hr_snapshot_needs {
	const uint64_t *positions; /* n of each configured view in this shard */
	uint32_t n_positions;
	const struct hr_id128 *named; /* by checkpoints: hashes of their links n */
	uint32_t n_named;
};

/*
 * Which are kept: the newest two, the newest with n <= each position, and the named
 * ones. keep[] is by entry. Returns the oldest kept one by n (whose link n must stay in
 * the log), NULL when there is none at all.
 */
const struct hr_snapshot_entry *
hr_snapshot_index_keep(struct hr_snapshot_index *ix,
		       const struct hr_snapshot_needs *needs, bool *keep);

/* Whether every position has a snapshot to go on from among those that are kept: only
 * then may the log be trimmed. A position of 0 never has one. */
bool hr_snapshot_index_covers(struct hr_snapshot_index *ix,
			      const struct hr_snapshot_needs *needs);

/* The link of the log that stays whatever is trimmed: everything before this offset may
 * go, for this shard's snapshots. */
int64_t hr_snapshot_trim_point(const struct hr_snapshot_entry *oldest_kept);

#endif
