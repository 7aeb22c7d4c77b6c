/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/crash_point.h"
#include "dataplane/snapshot/vault.h"

/* Dead snapshots that may lie behind an old one that is needed. */
#define DEAD_MOST 8u

void hr_vault_init(struct hr_vault *v, const struct hr_snapshot_ops *ops,
		   struct hr_snapshot_store *store, const struct hr_data_set *set,
		   uint16_t shard, uint32_t wait_ms)
{
	memset(v, 0, sizeof(*v));
	v->ops = ops;
	v->store = store;
	v->wait_ms = wait_ms;
	hr_snapshot_index_init(&v->index, set, shard);
}

void hr_vault_fini(struct hr_vault *v)
{
	hr_snapshot_index_fini(&v->index);
}

/* ---- reading -------------------------------------------------------------------- */

static int into_index(void *ctx, int64_t place, const uint8_t *bytes, size_t n)
{
	return hr_snapshot_index_take(ctx, place, bytes, n);
}

int hr_vault_refresh(struct hr_vault *v, struct hr_err *err)
{
	struct hr_snapshot_reach reach;
	int r = v->ops->walk(v->store, v->index.shard, v->next, v->wait_ms, into_index,
			     &v->index, &reach, err);

	v->next = reach.next;
	hr_snapshot_index_forget(&v->index, reach.first);
	return r == -ENOMEM ? hr_fail(err, r, "no memory for the list of snapshots")
			    : r;
}

/* An image that is put together from its chunks. */
struct loading {
	const struct hr_snapshot_entry *entry;
	uint8_t *image;
	size_t n;
	uint32_t n_chunks;
};

static int into_image(void *ctx, int64_t place, const uint8_t *bytes, size_t n)
{
	struct hr_snapshot_record record;
	struct loading *l = ctx;

	if (place >= l->entry->last)
		return -ECANCELED;
	if (hr_snapshot_record_decode(&record, bytes, n, NULL) < 0 ||
	    record.type != HR_SNAPSHOT_CHUNK ||
	    !hr_id128_equals(&record.id, &l->entry->id) ||
	    record.chunk.index != l->n_chunks)
		return 0;
	if (record.chunk.bytes.n > l->entry->manifest.image_bytes - l->n)
		return -EBADMSG;
	memcpy(l->image + l->n, record.chunk.bytes.p, record.chunk.bytes.n);
	l->n += record.chunk.bytes.n;
	l->n_chunks++;
	return 0;
}

int hr_vault_load(struct hr_vault *v, const struct hr_snapshot_entry *entry,
		  uint8_t **image, size_t *bytes, struct hr_err *err)
{
	struct loading l = { .entry = entry };
	struct hr_snapshot_reach reach;
	int r;

	l.image = malloc(entry->manifest.image_bytes);
	if (l.image == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a snapshot of %llu bytes",
			       (unsigned long long)entry->manifest.image_bytes);
	r = v->ops->walk(v->store, v->index.shard, entry->first, v->wait_ms, into_image,
			 &l, &reach, err);
	if (r == -ECANCELED)
		r = 0;
	if (r == -EBADMSG || (r == 0 && l.n != entry->manifest.image_bytes))
		r = hr_fail(err, -EBADMSG, "its chunks are not there any more");
	if (r < 0) {
		free(l.image);
		return r;
	}
	*image = l.image;
	*bytes = l.n;
	return 0;
}

/* ---- writing -------------------------------------------------------------------- */

struct writing {
	struct hr_vault *v;
	struct hr_id128 id;
	uint8_t *record; /* room for one */
	struct hr_err *err;
};

static int put(struct writing *w, size_t n, bool is_last)
{
	struct hr_vault *v = w->v;

	if (v->between != NULL && !v->between(v->ctx))
		return hr_fail(w->err, -ECANCELED, "given up");
	return v->ops->put(v->store, v->index.shard, &w->id, w->record, (uint32_t)n,
			   is_last, v->wait_ms, w->err);
}

static int put_chunks(struct writing *w, const uint8_t *image, size_t bytes,
		      uint32_t *n_chunks)
{
	const struct hr_snapshot_index *ix = &w->v->index;
	int r = 0;

	*n_chunks = 0;
	for (size_t at = 0; at < bytes && r == 0; at += HR_SNAPSHOT_CHUNK_BYTES) {
		const size_t left = bytes - at;
		const struct hr_str part = { image + at,
					     left < HR_SNAPSHOT_CHUNK_BYTES
						     ? (uint32_t)left
						     : HR_SNAPSHOT_CHUNK_BYTES };

		r = put(w,
			hr_snapshot_chunk_encode(w->record, &ix->set, ix->shard, &w->id,
						 (*n_chunks)++, part),
			false);
		HR_CRASH_POINT(snapshot_chunk_written);
	}
	return r;
}

static int put_manifest(struct writing *w, const uint8_t *image, size_t bytes,
			uint32_t n_chunks)
{
	const struct hr_snapshot_index *ix = &w->v->index;
	struct hr_snapshot_manifest m = { .n_chunks = n_chunks, .image_bytes = bytes };
	struct hr_snapshot_image read;
	int r = hr_snapshot_image_read(&read, image, bytes, ix->set.hash_key, w->err);

	if (r < 0)
		return r;
	m.head = read.head;
	memcpy(m.digest.b, image + bytes - sizeof(m.digest.b), sizeof(m.digest.b));
	HR_CRASH_POINT(snapshot_before_manifest);
	r = put(w,
		hr_snapshot_manifest_encode(w->record, &ix->set, ix->shard, &w->id, &m),
		true);
	HR_CRASH_POINT(snapshot_manifest_written);
	return r;
}

/* Only what a reader finds counts. */
static int read_back(struct writing *w)
{
	int r = hr_vault_refresh(w->v, w->err);

	if (r < 0)
		return r;
	if (hr_snapshot_index_find(&w->v->index, &w->id) != NULL)
		return 0;
	return hr_fail(w->err, -EIO, "a snapshot that was written is not there");
}

int hr_vault_write(struct hr_vault *v, const uint8_t *image, size_t bytes,
		   struct hr_err *err)
{
	struct writing w = { .v = v, .err = err };
	uint32_t n_chunks;
	int r;

	if (getrandom(&w.id, sizeof(w.id), 0) != sizeof(w.id))
		return hr_fail(err, -EIO, "the kernel gave no random bytes");
	w.record = malloc(HR_SNAPSHOT_RECORD_MAX);
	if (w.record == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a snapshot's chunks");
	r = put_chunks(&w, image, bytes, &n_chunks);
	if (r == 0)
		r = put_manifest(&w, image, bytes, n_chunks);
	if (r < 0)
		v->ops->abandon(v->store, v->index.shard, &w.id);
	else
		r = read_back(&w);
	free(w.record);
	return r;
}

/* ---- tidying -------------------------------------------------------------------- */

/* The place before which nothing is kept; INT64_MAX: nothing is kept at all. */
static int64_t first_kept(const struct hr_snapshot_index *ix, const bool *keep,
			  uint32_t *n_dead, const struct hr_snapshot_entry **entry)
{
	int64_t first = INT64_MAX;

	*n_dead = 0;
	*entry = NULL;
	for (uint32_t i = 0; i < ix->n_entries; i++)
		if (keep[i] && ix->entries[i].first < first) {
			first = ix->entries[i].first;
			*entry = &ix->entries[i];
		}
	for (uint32_t i = 0; i < ix->n_entries; i++)
		*n_dead += !keep[i] && ix->entries[i].first > first;
	return first;
}

static int copy(struct hr_vault *v, const struct hr_snapshot_entry *entry,
		struct hr_err *err)
{
	uint8_t *image;
	size_t bytes;
	int r = hr_vault_load(v, entry, &image, &bytes, err);

	if (r < 0)
		return r;
	r = hr_vault_write(v, image, bytes, err);
	free(image);
	return r;
}

static int drop(struct hr_vault *v, int64_t before, struct hr_err *err)
{
	int r;

	HR_CRASH_POINT(snapshot_before_deletion);
	r = v->ops->drop(v->store, v->index.shard, before, v->wait_ms, err);
	if (r == 0)
		hr_snapshot_index_forget(&v->index, before);
	return r;
}

/* What is to be done: neither copy nor drop: nothing. */
struct plan {
	const struct hr_snapshot_entry *copy;
	int64_t drop_before; /* 0: nothing to drop */
};

static int plan_make(struct hr_vault *v, const struct hr_snapshot_needs *needs,
		     struct plan *out)
{
	const struct hr_snapshot_entry *oldest;
	bool *keep = malloc(v->index.n_entries + 1);
	uint32_t n_dead;
	int64_t before;

	*out = (struct plan){ NULL, 0 };
	if (keep == NULL)
		return -ENOMEM;
	(void)hr_snapshot_index_keep(&v->index, needs, keep);
	before = first_kept(&v->index, keep, &n_dead, &oldest);
	free(keep);
	if (oldest == NULL)
		return 0;
	/* The copy is the later one of the same n: it is kept, and this one goes. */
	if (n_dead > DEAD_MOST)
		out->copy = oldest;
	else if (before > v->index.entries[0].first)
		out->drop_before = before;
	return 0;
}

bool hr_vault_is_tidy(struct hr_vault *v, const struct hr_snapshot_needs *needs)
{
	struct plan plan;

	return plan_make(v, needs, &plan) == 0 && plan.copy == NULL &&
	       plan.drop_before == 0;
}

int hr_vault_tidy(struct hr_vault *v, const struct hr_snapshot_needs *needs,
		  struct hr_err *err)
{
	struct plan plan;
	int r = plan_make(v, needs, &plan);

	if (r < 0)
		return hr_fail(err, r, "no memory to sort snapshots");
	if (plan.copy != NULL)
		return copy(v, plan.copy, err);
	return plan.drop_before > 0 ? drop(v, plan.drop_before, err) : 0;
}
