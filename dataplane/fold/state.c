/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The state as bytes, and a mirror that keeps one up to date. docs/snapshots.md has the
 * layout. Streams and known events stand in the order of their lists, so that the lists
 * come back as they were; those past their age are left out, because no rule sees them.
 */

#include <assert.h>
#include <errno.h>

#include "common/mutant.h"
#include "common/siphash.h"
#include "dataplane/fold/fold_impl.h"
#include "dataplane/poison/notes.h"

#define LAYOUT 1u
#define HEAD_BYTES 112u
#define COUNTER_BYTES (7u * 8u + 8u)
#define WINDOW_BYTES 56u
#define FLOOR_BYTES 40u
#define KNOWN_BYTES 24u

static const uint8_t digest_key[] = "headrace: fstate";

_Static_assert(sizeof(digest_key) - 1 == HR_SIPHASH_KEY_BYTES, "16 letters");

/* ---- what there is to write ---- */

static uint32_t alive_from(const struct hr_fold *fold, enum hr_stream_class class,
			   uint32_t *n)
{
	const struct hr_window_rules rules = hr_fold_rules(fold, fold->clock_us);
	const struct hr_windows *w = &fold->windows;
	uint32_t at = w->lists[class].oldest;

	*n = w->lists[class].n;
	while (at != HR_NO_STREAM && hr_stream_is_dead(&w->streams[at], &rules)) {
		at = w->streams[at].newer;
		--*n;
	}
	return at;
}

static uint32_t known_from(const struct hr_fold *fold, uint32_t *n)
{
	const struct hr_dedup *d = &fold->dedup;
	uint32_t at = d->oldest;

	*n = d->n;
	while (at != HR_NOT_KNOWN &&
	       hr_known_is_dead(&d->entries[at], &fold->dedup_rules)) {
		at = d->entries[at].newer;
		--*n;
	}
	return at;
}

static uint32_t config_encode(const struct hr_fold *fold, uint8_t *out)
{
	return fold->n == 0 ? 0 : (uint32_t)hr_chain_config_encode(out, &fold->config);
}

size_t hr_fold_state_bytes(const struct hr_fold *fold)
{
	uint8_t config[HR_CHAIN_CONFIG_MAX];
	size_t bytes = HEAD_BYTES + COUNTER_BYTES +
		       8u * (HR_FOLD_VERDICTS + HR_REJECT_COUNT) + 8u +
		       HR_PAD8(config_encode(fold, config)) + 16u;
	uint32_t n;

	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++) {
		(void)alive_from(fold, i, &n);
		bytes += (size_t)n * (i == HR_STREAM_OFF ? WINDOW_BYTES : FLOOR_BYTES);
	}
	(void)known_from(fold, &n);
	return bytes + (size_t)n * KNOWN_BYTES + HR_SIPHASH_BYTES;
}

/* ---- writing ---- */

struct pen {
	uint8_t *at;
};

static void put(struct pen *p, const void *bytes, size_t n)
{
	memcpy(p->at, bytes, n);
	p->at += n;
}

static void put32(struct pen *p, uint32_t v)
{
	hr_store32(p->at, v);
	p->at += 4;
}

static void put64(struct pen *p, uint64_t v)
{
	hr_store64(p->at, v);
	p->at += 8;
}

static void put_head(struct pen *p, const struct hr_fold *fold)
{
	put(p, "HRFS", 4);
	put32(p, LAYOUT);
	put64(p, hr_fold_state_bytes(fold));
	put(p, &fold->set.id, sizeof(fold->set.id));
	put32(p, fold->set.generation);
	put32(p, fold->set.n_shards);
	put32(p, fold->shard);
	put32(p, fold->config.fold_version);
	put64(p, fold->n);
	put(p, &fold->hash, sizeof(fold->hash));
	put(p, &fold->digest, sizeof(fold->digest));
	put64(p, fold->clock_us);
	put64(p, fold->horizon_us[HR_STREAM_MEMORY]);
	put64(p, fold->horizon_us[HR_STREAM_DISK]);
}

static void put_counters(struct pen *p, const struct hr_fold_totals *t)
{
	put64(p, t->logged);
	put64(p, t->gaps);
	put64(p, t->filled);
	put64(p, t->dedup_hits);
	put64(p, t->dedup_evicted);
	put64(p, t->losses);
	put64(p, t->lost_links);
	put32(p, HR_FOLD_VERDICTS);
	put32(p, HR_REJECT_COUNT);
	for (uint32_t i = 0; i < HR_FOLD_VERDICTS; i++)
		put64(p, t->verdicts[i]);
	for (uint32_t i = 0; i < HR_REJECT_COUNT; i++)
		put64(p, t->rejects[i]);
}

static void put_config(struct pen *p, const struct hr_fold *fold)
{
	const uint32_t n = config_encode(fold, p->at + 8);

	put32(p, n);
	put32(p, 0);
	memset(p->at + n, 0, HR_PAD8(n) - n);
	p->at += HR_PAD8(n);
}

static void put_stream(struct pen *p, const struct hr_stream *s)
{
	put64(p, s->birth);
	put64(p, s->random);
	put64(p, s->highest + (HR_MUTANT(snapshot_tentative) ? 1 : 0));
	if (hr_stream_class(s) == HR_STREAM_OFF) {
		put64(p, s->seen);
		put64(p, s->first);
	}
	put64(p, s->last_clock_us);
	put32(p, s->key_id);
	put32(p, 0);
}

static void put_streams(struct pen *p, const struct hr_fold *fold,
			enum hr_stream_class class)
{
	const struct hr_stream *streams = fold->windows.streams;
	uint32_t n, at = alive_from(fold, class, &n);

	for (; at != HR_NO_STREAM; at = streams[at].newer)
		put_stream(p, &streams[at]);
}

static void put_known(struct pen *p, const struct hr_fold *fold)
{
	const struct hr_known *entries = fold->dedup.entries;
	uint32_t n, at = known_from(fold, &n);

	for (; at != HR_NOT_KNOWN; at = entries[at].newer) {
		put(p, &entries[at].identity, sizeof(entries[at].identity));
		put64(p, entries[at].first_us);
	}
}

size_t hr_fold_state_write(const struct hr_fold *fold, uint8_t *out)
{
	struct pen p = { out };
	uint32_t n;

	assert(fold->phase == HR_FOLD_IDLE);
	put_head(&p, fold);
	put_counters(&p, &fold->totals);
	put_config(&p, fold);
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++) {
		(void)alive_from(fold, i, &n);
		put32(&p, n);
	}
	(void)known_from(fold, &n);
	put32(&p, n);
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++)
		put_streams(&p, fold, i);
	put_known(&p, fold);
	hr_siphash128(digest_key, out, (size_t)(p.at - out), p.at);
	return (size_t)(p.at - out) + HR_SIPHASH_BYTES;
}

/* ---- reading ---- */

/* Whoever reads beyond the end gets zeroes, and is_short says so. */
struct cursor {
	const uint8_t *at, *end;
	bool is_short;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	static const uint8_t zeroes[64];
	const uint8_t *p = c->at;

	assert(n <= sizeof(zeroes));
	if ((size_t)(c->end - c->at) < n) {
		c->is_short = true;
		c->at = c->end;
		return zeroes;
	}
	c->at += n;
	return p;
}

static uint32_t get32(struct cursor *c)
{
	return hr_load32(take(c, 4));
}

static uint64_t get64(struct cursor *c)
{
	return hr_load64(take(c, 8));
}

static void get_id(struct cursor *c, struct hr_id128 *out)
{
	memcpy(out, take(c, sizeof(*out)), sizeof(*out));
}

/* Magic, size and digest are where they are in every layout there will be. */
static int frame_check(struct hr_str bytes, struct hr_err *err)
{
	uint8_t digest[HR_SIPHASH_BYTES];
	const uint32_t text = bytes.n - HR_SIPHASH_BYTES;

	if (bytes.n < HEAD_BYTES + HR_SIPHASH_BYTES || memcmp(bytes.p, "HRFS", 4) != 0)
		return hr_fail(err, -EBADMSG, "%u bytes that are no fold state",
			       bytes.n);
	if (hr_load64(bytes.p + 8) != bytes.n)
		return hr_fail(err, -EBADMSG,
			       "fold state says it has %llu bytes: %u are there",
			       (unsigned long long)hr_load64(bytes.p + 8), bytes.n);
	hr_siphash128(digest_key, bytes.p, text, digest);
	if (memcmp(digest, bytes.p + text, sizeof(digest)) != 0)
		return hr_fail(err, -EBADMSG,
			       "fold state is damaged: its digest does not fit");
	if (hr_load32(bytes.p + 4) != LAYOUT)
		return hr_fail(err, -E2BIG,
			       "fold state of layout %u: this program reads %u; use "
			       "the one that wrote it, or a later one",
			       hr_load32(bytes.p + 4), LAYOUT);
	return 0;
}

static int whose_check(struct cursor *c, const struct hr_data_set *set, uint16_t shard,
		       uint32_t *version, struct hr_err *err)
{
	struct hr_id128 id;
	uint32_t generation, n_shards, found;

	get_id(c, &id);
	generation = get32(c);
	n_shards = get32(c);
	found = get32(c);
	*version = get32(c);
	if (!hr_id128_equals(&id, &set->id))
		return hr_fail(err, -EINVAL, "fold state of another data set");
	if (generation != set->generation || n_shards != set->n_shards ||
	    found != shard)
		return hr_fail(err, -EINVAL,
			       "fold state of generation %u, shard %u of %u: "
			       "expected %u, %u of %u",
			       generation, found, n_shards, set->generation, shard,
			       set->n_shards);
	if (*version != 0 && hr_fold_version_check(*version, "fold state of", err) < 0)
		return -E2BIG;
	return 0;
}

static void get_position(struct cursor *c, struct hr_fold *fold)
{
	fold->n = get64(c);
	get_id(c, &fold->hash);
	get_id(c, &fold->digest);
	fold->clock_us = get64(c);
	fold->horizon_us[HR_STREAM_MEMORY] = get64(c);
	fold->horizon_us[HR_STREAM_DISK] = get64(c);
}

/* Counters are only ever appended: those of a program before this one are fewer. */
static int get_counters(struct cursor *c, struct hr_fold_totals *t, struct hr_err *err)
{
	uint32_t n_verdicts, n_rejects;
	uint64_t sum = 0;

	t->logged = get64(c);
	t->gaps = get64(c);
	t->filled = get64(c);
	t->dedup_hits = get64(c);
	t->dedup_evicted = get64(c);
	t->losses = get64(c);
	t->lost_links = get64(c);
	n_verdicts = get32(c);
	n_rejects = get32(c);
	if (n_verdicts > HR_FOLD_VERDICTS || n_rejects > HR_REJECT_COUNT)
		return hr_fail(err, -E2BIG,
			       "fold state with %u verdicts and %u reasons: this "
			       "program knows %u and %u",
			       n_verdicts, n_rejects, HR_FOLD_VERDICTS,
			       HR_REJECT_COUNT);
	for (uint32_t i = 0; i < n_verdicts; i++)
		sum += t->verdicts[i] = get64(c);
	for (uint32_t i = 0; i < n_rejects; i++)
		t->rejects[i] = get64(c);
	if (sum != t->logged)
		return hr_fail(err, -EBADMSG,
			       "fold state of %llu events with %llu verdicts",
			       (unsigned long long)t->logged, (unsigned long long)sum);
	return 0;
}

static int get_config(struct cursor *c, struct hr_fold *fold, struct hr_err *err)
{
	const uint32_t n = get32(c);
	struct hr_str body = { c->at + 4, n };
	int r;

	if (get32(c) != 0 || (n == 0) != (fold->n == 0) || n > HR_CHAIN_CONFIG_MAX ||
	    (size_t)(c->end - c->at) < HR_PAD8(n))
		return hr_fail(err, -EBADMSG, "fold state with a CONFIG of %u bytes",
			       n);
	c->at += HR_PAD8(n);
	if (n == 0)
		return 0;
	r = hr_chain_config_decode(&fold->config, body, err);
	if (r == 0)
		r = hr_fold_config_check(fold, &fold->config);
	if (r == -E2BIG)
		return hr_fail(
			err, r,
			"fold state whose CONFIG asks for more streams (%llu) "
			"than there is room for (%u), or for what this program "
			"does not know",
			(unsigned long long)fold->config.setting[HR_CHAIN_MAX_STREAMS],
			fold->windows.max_streams);
	if (r == 0)
		hr_fold_obey(fold);
	return r == -ENOTSUP ? -E2BIG : r;
}

static struct hr_stream get_stream(struct cursor *c, enum hr_stream_class class,
				   uint32_t *reserved)
{
	struct hr_stream s = { 0 };

	s.birth = get64(c);
	s.random = get64(c);
	s.highest = get64(c);
	if (class == HR_STREAM_OFF) {
		s.seen = get64(c);
		s.first = get64(c);
	}
	s.last_clock_us = get64(c);
	s.key_id = get32(c);
	*reserved = get32(c);
	return s;
}

/* In the list it says, in the list's order, alive. */
static bool stream_fits(const struct hr_fold *fold, const struct hr_stream *s,
			enum hr_stream_class class, uint64_t last_us)
{
	const struct hr_window_rules rules = hr_fold_rules(fold, fold->clock_us);

	return hr_stream_class(s) == class && s->last_clock_us >= last_us &&
	       s->last_clock_us <= fold->clock_us && !hr_stream_is_dead(s, &rules) &&
	       (class != HR_STREAM_OFF ||
		((s->seen & 1) != 0 && s->first <= s->highest));
}

static int get_streams(struct cursor *c, struct hr_fold *fold,
		       enum hr_stream_class class, uint32_t n, struct hr_err *err)
{
	uint64_t last_us = 0;
	uint32_t reserved;

	for (uint32_t i = 0; i < n; i++) {
		const struct hr_stream s = get_stream(c, class, &reserved);

		if (c->is_short || reserved != 0 ||
		    !stream_fits(fold, &s, class, last_us))
			return hr_fail(err, -EBADMSG,
				       "fold state: stream %u of %u (list %u) is none",
				       i, n, class);
		last_us = s.last_clock_us;
		if (fold->windows.free == HR_NO_STREAM)
			return hr_fail(err, -E2BIG,
				       "fold state with more streams than there is "
				       "room for (%u)",
				       fold->windows.max_streams);
		if (!hr_windows_restore(&fold->windows, &s))
			return hr_fail(err, -EBADMSG,
				       "fold state: stream %u of %u (list %u) stands "
				       "in it twice",
				       i, n, class);
	}
	return 0;
}

static int get_known(struct cursor *c, struct hr_fold *fold, uint32_t n,
		     struct hr_err *err)
{
	uint64_t last_us = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct hr_known e;

		get_id(c, &e.identity);
		e.first_us = get64(c);
		if (c->is_short || e.first_us < last_us ||
		    e.first_us > fold->clock_us ||
		    hr_known_is_dead(&e, &fold->dedup_rules) ||
		    fold->dedup.n >= fold->dedup_rules.max ||
		    !hr_dedup_restore(&fold->dedup, &e.identity, e.first_us))
			return hr_fail(err, -EBADMSG,
				       "fold state: known event %u of %u is none", i,
				       n);
		last_us = e.first_us;
	}
	return 0;
}

static int get_lists(struct cursor *c, struct hr_fold *fold, struct hr_err *err)
{
	uint32_t n[HR_STREAM_CLASSES], n_known;
	int r = 0;

	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++)
		n[i] = get32(c);
	n_known = get32(c);
	for (uint32_t i = 0; i < HR_STREAM_CLASSES && r == 0; i++)
		r = get_streams(c, fold, i, n[i], err);
	if (r == 0)
		r = get_known(c, fold, n_known, err);
	if (r == 0 && (c->is_short || c->at != c->end))
		return hr_fail(err, -EBADMSG, "fold state is not as long as it says");
	return r;
}

static int state_get(struct cursor *c, struct hr_fold *fold, uint32_t version,
		     struct hr_err *err)
{
	int r;

	get_position(c, fold);
	r = get_counters(c, &fold->totals, err);
	if (r == 0)
		r = get_config(c, fold, err);
	if (r == 0 && fold->config.fold_version != version)
		r = hr_fail(err, -EBADMSG,
			    "fold state of fold version %u whose CONFIG asks for %u",
			    version, fold->config.fold_version);
	if (r == 0)
		r = get_lists(c, fold, err);
	return r;
}

int hr_fold_state_read(struct hr_fold **out, const struct hr_data_set *set,
		       uint16_t shard, uint32_t max_streams, struct hr_str bytes,
		       struct hr_err *err)
{
	struct hr_fold *fold;
	struct cursor c;
	uint32_t version;
	int r = frame_check(bytes, err);

	if (r < 0)
		return r;
	c = (struct cursor){ .at = bytes.p + 16,
			     .end = bytes.p + bytes.n - HR_SIPHASH_BYTES };
	r = whose_check(&c, set, shard, &version, err);
	if (r < 0)
		return r;
	r = hr_fold_new(&fold, set, shard, max_streams);
	if (r == 0)
		r = state_get(&c, fold, version, err);
	else
		fold = NULL;
	if (r == -ENOMEM)
		(void)hr_fail(err, r, "no memory for a fold of %u streams",
			      max_streams);
	if (r == 0)
		*out = fold;
	else
		hr_fold_free(fold);
	return r;
}

/* ---- a mirror ---- */

static bool is_alone(const struct hr_link *link, const struct hr_out_event *e)
{
	return hr_load16(link->body.p + e->item) == HR_ITEM_EVENT;
}

/* What was counted was not known, and is now. */
static void known_follow(struct hr_fold *fold, const struct hr_link *link,
			 uint64_t *n_evicted)
{
	struct hr_id128 identity;

	for (uint32_t i = 0; i < link->out->n_events; i++) {
		const struct hr_out_event *e = &link->out->events[i];

		if (e->verdict != HR_COUNTED || e->has_made_id || !is_alone(link, e))
			continue;
		hr_fold_identity(fold, &e->event, &identity);
		(void)hr_dedup_take(&fold->dedup, &fold->dedup_rules, &identity,
				    n_evicted);
	}
}

static int follow(struct hr_fold *fold, const struct hr_link *folded)
{
	struct hr_window_gaps gaps = { 0, 0 };
	uint64_t n_evicted = 0;
	int r = hr_fold_take(fold, folded, &gaps, &n_evicted);

	if (r < 0)
		return r;
	known_follow(fold, folded, &n_evicted);
	assert(gaps.gaps == folded->out->gaps && gaps.filled == folded->out->filled);
	assert(n_evicted == folded->out->dedup_evicted);
	hr_fold_advance(fold, folded);
	return 0;
}

int hr_fold_follow(struct hr_fold *fold, const struct hr_link *folded)
{
	int r;

	hr_note_link(folded->shard, folded->n, &folded->hash);
	r = follow(fold, folded);
	hr_note_link_is_done();
	return r;
}
