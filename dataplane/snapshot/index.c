/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>

#include "common/mutant.h"
#include "dataplane/snapshot/index.h"

void hr_snapshot_index_init(struct hr_snapshot_index *ix, const struct hr_data_set *set,
			    uint16_t shard)
{
	memset(ix, 0, sizeof(*ix));
	ix->set = *set;
	ix->shard = shard;
}

void hr_snapshot_index_fini(struct hr_snapshot_index *ix)
{
	free(ix->entries);
	ix->entries = NULL;
	ix->n_entries = ix->max_entries = ix->n_open = 0;
}

/* ---- open sets ------------------------------------------------------------------ */

static struct hr_snapshot_open_set *open_find(struct hr_snapshot_index *ix,
					      const struct hr_id128 *id)
{
	for (uint32_t i = 0; i < ix->n_open; i++)
		if (hr_id128_equals(&ix->open[i].id, id))
			return &ix->open[i];
	return NULL;
}

static void open_remove(struct hr_snapshot_index *ix, struct hr_snapshot_open_set *o)
{
	const uint32_t at = (uint32_t)(o - ix->open);

	ix->n_open--;
	memmove(o, o + 1, (ix->n_open - at) * sizeof(*o));
}

static struct hr_snapshot_open_set *open_new(struct hr_snapshot_index *ix,
					     const struct hr_id128 *id, int64_t place)
{
	struct hr_snapshot_open_set *o;

	if (ix->n_open == HR_SNAPSHOT_OPEN_SETS)
		open_remove(ix, &ix->open[0]);
	o = &ix->open[ix->n_open++];
	memset(o, 0, sizeof(*o));
	o->id = *id;
	o->first = place;
	hr_siphash_init(&o->hash, ix->set.hash_key);
	return o;
}

/* The last 16 bytes are held back: they are the digest and not part of what it is of. */
static void open_add(struct hr_snapshot_open_set *o, struct hr_str bytes)
{
	uint32_t held = o->n_bytes < sizeof(o->tail) ? (uint32_t)o->n_bytes
						     : (uint32_t)sizeof(o->tail);
	uint8_t both[2 * sizeof(o->tail)];
	uint32_t goes;

	if (o->n_bytes < sizeof(o->head)) {
		uint32_t room = (uint32_t)(sizeof(o->head) - o->n_bytes);

		memcpy(o->head + o->n_bytes, bytes.p, bytes.n < room ? bytes.n : room);
	}
	o->n_bytes += bytes.n;
	if (bytes.n >= sizeof(o->tail)) {
		hr_siphash_update(&o->hash, o->tail, held);
		hr_siphash_update(&o->hash, bytes.p, bytes.n - sizeof(o->tail));
		memcpy(o->tail, bytes.p + bytes.n - sizeof(o->tail), sizeof(o->tail));
		return;
	}
	memcpy(both, o->tail, held);
	memcpy(both + held, bytes.p, bytes.n);
	goes = held + bytes.n > sizeof(o->tail)
		       ? held + bytes.n - (uint32_t)sizeof(o->tail)
		       : 0;
	hr_siphash_update(&o->hash, both, goes);
	memcpy(o->tail, both + goes, held + bytes.n - goes);
}

static void take_chunk(struct hr_snapshot_index *ix, int64_t place,
		       const struct hr_snapshot_record *record)
{
	struct hr_snapshot_open_set *o = open_find(ix, &record->id);

	if (o == NULL && record->chunk.index == 0)
		o = open_new(ix, &record->id, place);
	if (o == NULL)
		return; /* its beginning is not there */
	if (record->chunk.index < o->n_chunks)
		return; /* the same again */
	if (record->chunk.index > o->n_chunks) {
		open_remove(ix, o);
		return;
	}
	o->n_chunks++;
	open_add(o, record->chunk.bytes);
}

static bool is_complete(struct hr_snapshot_open_set *o,
			const struct hr_snapshot_manifest *m, const uint8_t *head)
{
	uint8_t digest[HR_SNAPSHOT_DIGEST_BYTES];

	if (HR_MUTANT(snapshot_incomplete))
		return true;
	if (o->n_chunks != m->n_chunks || o->n_bytes != m->image_bytes ||
	    memcmp(o->head, head, sizeof(o->head)) != 0)
		return false;
	hr_siphash_final(&o->hash, digest);
	return memcmp(digest, o->tail, sizeof(digest)) == 0 &&
	       memcmp(digest, m->digest.b, sizeof(digest)) == 0;
}

/* ---- entries -------------------------------------------------------------------- */

static int entry_add(struct hr_snapshot_index *ix,
		     const struct hr_snapshot_entry *entry)
{
	if (ix->n_entries == ix->max_entries) {
		uint32_t max = ix->max_entries == 0 ? 16 : 2 * ix->max_entries;
		struct hr_snapshot_entry *fresh =
			realloc(ix->entries, max * sizeof(*fresh));

		if (fresh == NULL)
			return -ENOMEM;
		ix->entries = fresh;
		ix->max_entries = max;
	}
	ix->entries[ix->n_entries++] = *entry;
	return 0;
}

static int take_manifest(struct hr_snapshot_index *ix, int64_t place,
			 const struct hr_snapshot_record *record, const uint8_t *head)
{
	struct hr_snapshot_open_set *o = open_find(ix, &record->id);
	struct hr_snapshot_entry entry = {
		.id = record->id,
		.manifest = record->manifest,
		.last = place,
	};
	bool exists;

	if (hr_snapshot_index_find(ix, &record->id) != NULL)
		return 0; /* the same again */
	if (o == NULL) {
		ix->n_broken++;
		return 0;
	}
	entry.first = o->first;
	exists = is_complete(o, &record->manifest, head);
	open_remove(ix, o);
	if (exists)
		return entry_add(ix, &entry);
	ix->n_broken++;
	return 0;
}

int hr_snapshot_index_take(struct hr_snapshot_index *ix, int64_t place,
			   const uint8_t *bytes, size_t n)
{
	struct hr_snapshot_record record;
	int r = hr_snapshot_record_decode(&record, bytes, n, NULL);

	if (r == -EBADMSG)
		return 0;
	if (r < 0 || !hr_id128_equals(&record.data_set, &ix->set.id) ||
	    record.generation != ix->set.generation || record.shard != ix->shard) {
		ix->n_foreign++;
		return 0;
	}
	if (record.type == HR_SNAPSHOT_MANIFEST)
		return take_manifest(ix, place, &record, bytes + 64);
	take_chunk(ix, place, &record);
	return 0;
}

void hr_snapshot_index_forget(struct hr_snapshot_index *ix, int64_t before)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ix->n_entries; i++)
		if (ix->entries[i].first >= before)
			ix->entries[kept++] = ix->entries[i];
	ix->n_entries = kept;
	for (uint32_t i = ix->n_open; i-- > 0;)
		if (ix->open[i].first < before)
			open_remove(ix, &ix->open[i]);
}

const struct hr_snapshot_entry *
hr_snapshot_index_find(const struct hr_snapshot_index *ix, const struct hr_id128 *id)
{
	for (uint32_t i = 0; i < ix->n_entries; i++)
		if (hr_id128_equals(&ix->entries[i].id, id))
			return &ix->entries[i];
	return NULL;
}

/* ---- which one, and which may go -------------------------------------------------- */

static bool is_newer(const struct hr_snapshot_entry *a,
		     const struct hr_snapshot_entry *b)
{
	const uint64_t n = a->manifest.head.n, m = b->manifest.head.n;

	return n > m || (n == m && a->last > b->last);
}

/* The newest with n <= max_n that is older than `than` (NULL: any). */
static struct hr_snapshot_entry *newest(struct hr_snapshot_index *ix, uint64_t max_n,
					const struct hr_snapshot_entry *than)
{
	struct hr_snapshot_entry *best = NULL;

	for (uint32_t i = 0; i < ix->n_entries; i++) {
		struct hr_snapshot_entry *e = &ix->entries[i];

		if (e->is_refused || e->manifest.head.n > max_n)
			continue;
		if (than != NULL && (e == than || is_newer(e, than)))
			continue;
		if (best == NULL || is_newer(e, best))
			best = e;
	}
	return best;
}

struct hr_snapshot_entry *hr_snapshot_index_newest(struct hr_snapshot_index *ix,
						   uint64_t max_n)
{
	return newest(ix, max_n, NULL);
}

static void keep_one(const struct hr_snapshot_index *ix, bool *keep,
		     const struct hr_snapshot_entry *e)
{
	if (e != NULL)
		keep[e - ix->entries] = true;
}

static const struct hr_snapshot_entry *
newest_of_link(const struct hr_snapshot_index *ix, const struct hr_id128 *hash)
{
	const struct hr_snapshot_entry *best = NULL;

	for (uint32_t i = 0; i < ix->n_entries; i++) {
		const struct hr_snapshot_entry *e = &ix->entries[i];

		if (!e->is_refused && hr_id128_equals(&e->manifest.head.hash, hash) &&
		    (best == NULL || is_newer(e, best)))
			best = e;
	}
	return best;
}

/* Of the same n two are one too many: a copy stands for what it was made from. */
static void keep_two(struct hr_snapshot_index *ix, bool *keep)
{
	const struct hr_snapshot_entry *first = newest(ix, UINT64_MAX, NULL);

	keep_one(ix, keep, first);
	if (first != NULL)
		keep_one(ix, keep, newest(ix, first->manifest.head.n - 1, NULL));
}

const struct hr_snapshot_entry *
hr_snapshot_index_keep(struct hr_snapshot_index *ix,
		       const struct hr_snapshot_needs *needs, bool *keep)
{
	const struct hr_snapshot_entry *oldest = NULL;

	memset(keep, 0, ix->n_entries * sizeof(*keep));
	keep_two(ix, keep);
	for (uint32_t i = 0; i < needs->n_positions; i++)
		if (!HR_MUTANT(snapshot_below_view_deleted))
			keep_one(ix, keep, newest(ix, needs->positions[i], NULL));
	for (uint32_t i = 0; i < needs->n_named; i++)
		keep_one(ix, keep, newest_of_link(ix, &needs->named[i]));
	for (uint32_t i = 0; i < ix->n_entries; i++)
		if (keep[i] && (oldest == NULL || is_newer(oldest, &ix->entries[i])))
			oldest = &ix->entries[i];
	return oldest;
}

bool hr_snapshot_index_covers(struct hr_snapshot_index *ix,
			      const struct hr_snapshot_needs *needs)
{
	for (uint32_t i = 0; i < needs->n_positions; i++)
		if (newest(ix, needs->positions[i], NULL) == NULL)
			return false;
	return true;
}

int64_t hr_snapshot_trim_point(const struct hr_snapshot_entry *oldest_kept)
{
	const int64_t offset = oldest_kept->manifest.head.offset;

	return HR_MUTANT(last_link_trimmed) ? offset + 1 : offset;
}
