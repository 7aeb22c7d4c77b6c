/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/checkpoint_pins.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/poison/poison.h"
#include "dataplane/snapshot/marks.h"
#include "dataplane/snapshot/mirror.h"
#include "dataplane/snapshot/snapshotter.h"
#include "dataplane/snapshot/vault.h"

#define ROUND_MS 20u
#define FOLLOW_LINKS 256u /* of one shard, then the next one's turn */
#define READ_WAIT_MS 20u
#define STORE_WAIT_MS 10000u
#define AGAIN_US 5000000u /* after trouble with the store */
#define TIDY_US 1000000u  /* a shard without traffic is tidied too: views catch up */
#define VIEWS_MOST 8u

struct shard {
	struct hr_mirror mirror;
	struct hr_vault vault;
	struct hr_marks marks;
	uint64_t written_n;     /* of the newest snapshot */
	uint64_t written_us;    /* when it was written, or this began */
	uint64_t written_bytes; /* mirror.log_bytes at that time */
	uint64_t not_before_us;
	uint64_t tidied_us;
	uint64_t owned_since; /* as of the last look at positions */
	uint64_t
		old[VIEWS_MOST]; /* positions of the views that are not to be trusted */
	bool has_failed;         /* the mirror: told once */
	struct hr_snapshot_said said; /* under the lock */
};

struct hr_snapshotter {
	struct hr_snapshotter_conf conf;
	const struct hr_snapshot_ops *ops;
	struct hr_snapshot_store *store; /* NULL: not open (any more) */
	pthread_t thread;
	pthread_mutex_t lock; /* of what is said, and of the wait */
	pthread_cond_t wake;
	bool stops;
	uint64_t open_not_before_us;
	uint16_t n_shards;
	struct shard shards[];
};

static bool must_stop(struct hr_snapshotter *p)
{
	bool stops;

	pthread_mutex_lock(&p->lock);
	stops = p->stops;
	pthread_mutex_unlock(&p->lock);
	return stops;
}

static void tell_trouble(struct hr_snapshotter *p, struct shard *s, const char *text)
{
	bool is_news;

	pthread_mutex_lock(&p->lock);
	is_news = strcmp(s->said.trouble, text) != 0;
	snprintf(s->said.trouble, sizeof(s->said.trouble), "%.279s", text);
	pthread_mutex_unlock(&p->lock);
	if (is_news && text[0] != '\0')
		hr_warn("snapshot", "shard %u: no snapshot: %s", s->mirror.shard, text);
}

/* ---- following -------------------------------------------------------------------- */

/* Where the mirror stands the log begins no more: another appliance owned the shard
 * meanwhile, wrote snapshots, and trimmed. Returns whether there is one to go on from. */
static bool follow_from_snapshot(struct hr_snapshotter *p, struct shard *s)
{
	struct hr_snapshot_entry *e;
	struct hr_log_start at;
	struct hr_fold *fold;
	struct hr_err err;
	uint8_t *image;
	size_t bytes;
	int r;

	if (p->store == NULL || hr_vault_refresh(&s->vault, &err) < 0)
		return false;
	e = hr_snapshot_index_newest(&s->vault.index, UINT64_MAX);
	if (e == NULL || e->manifest.head.n <= s->mirror.at.chain.n ||
	    hr_vault_load(&s->vault, e, &image, &bytes, &err) < 0)
		return false;
	r = hr_snapshot_restore(&fold, &at, p->conf.set, s->mirror.shard,
				p->conf.config->stream_max, image, bytes, &err);
	free(image);
	if (r < 0)
		return false;
	hr_info("snapshot", "shard %u: follows from the snapshot of link %llu on",
		s->mirror.shard, (unsigned long long)at.chain.n);
	hr_mirror_fini(&s->mirror);
	hr_mirror_init(&s->mirror, p->conf.config, p->conf.set, p->conf.feed,
		       s->mirror.shard, fold, &at);
	s->written_n = at.chain.n;
	s->written_bytes = 0;
	return true;
}

static bool follow_one(struct hr_snapshotter *p, struct shard *s)
{
	struct hr_err err = { "" };
	int n;

	if (s->has_failed)
		return false;
	n = hr_mirror_follow(&s->mirror, FOLLOW_LINKS, READ_WAIT_MS, &err);
	if ((n == -ENODATA || n == -ESTALE) && follow_from_snapshot(p, s))
		return true;
	if (n < 0) {
		/* What is there no more comes no more; what cannot be folded neither. */
		s->has_failed = n != -EIO && n != -ENOMEM;
		tell_trouble(p, s, err.text);
		return false;
	}
	if (n > 0)
		hr_marks_add(&s->marks, s->mirror.at.chain.clock_us,
			     s->mirror.at.offset, p->conf.config->log_min_age_us);
	return n > 0;
}

static bool follow_all(struct hr_snapshotter *p)
{
	bool has_more = false;

	for (uint16_t i = 0; i < p->n_shards; i++)
		has_more |= follow_one(p, &p->shards[i]);
	return has_more;
}

/* Between two chunks: the mirrors go on meanwhile. */
static bool between(void *ctx)
{
	struct hr_snapshotter *p = ctx;

	(void)follow_all(p);
	return !must_stop(p);
}

/* ---- what may go ------------------------------------------------------------------ */

static uint64_t owned_since(const struct hr_snapshotter *p, const struct shard *s)
{
	if (p->conf.owned_since == NULL || HR_MUTANT(tidied_by_other))
		return 1;
	return p->conf.owned_since(p->conf.ctx, s->mirror.shard);
}

/* When the shard comes back from another owner, what our views knew of their positions
 * before is old, until they have moved. (They do: an owner's first link comes at once.)
 * A view that stands still may not even have noticed that the shard was away. */
static void positions_doubt(struct hr_snapshotter *p, struct shard *s)
{
	const uint64_t since = owned_since(p, s);
	const bool was_away = s->owned_since != 0 && since > s->owned_since + 1;

	s->owned_since = since;
	for (uint32_t v = 0; was_away && v < p->conf.n_views; v++)
		s->old[v] = p->conf.position(p->conf.ctx, v, s->mirror.shard);
}

/* Returns false while a view's position is not known: then nothing is deleted. */
static bool positions_read(struct hr_snapshotter *p, struct shard *s, uint64_t *out)
{
	bool all = true;

	positions_doubt(p, s);
	for (uint32_t v = 0; v < p->conf.n_views; v++) {
		out[v] = p->conf.position(p->conf.ctx, v, s->mirror.shard);
		all &= out[v] > 0 && out[v] != s->old[v];
	}
	return all;
}

/* A Redis that is restored from a checkpoint goes on from its positions: they are
 * needed as a view's are. Returns their number; *n_verified of them are of checkpoints
 * that a restart can rely on. Negated errno: nobody knows. */
static int pins_read(struct hr_snapshotter *p, uint16_t shard, uint64_t *out,
		     uint32_t *n_verified)
{
	struct hr_checkpoint_pins pins;
	char id[HR_ID128_TEXT];
	int r;

	hr_id128_print(id, &p->conf.set->id);
	r = hr_checkpoint_pins_read(&pins, p->conf.config->checkpoint_folder, id,
				    shard);
	if (r < 0)
		return r;
	memcpy(out, pins.n, pins.n_pins * sizeof(out[0]));
	*n_verified = pins.n_verified;
	return (int)pins.n_pins;
}

static const char *point_find(struct hr_snapshotter *p, struct shard *s,
			      const struct hr_snapshot_needs *needs,
			      uint32_t n_verified, int64_t *out)
{
	const struct hr_config *config = p->conf.config;
	const struct hr_snapshot_entry *oldest;
	bool *keep = malloc(s->vault.index.n_entries + 1);
	int64_t old;

	*out = 0;
	if (keep == NULL)
		return "no memory to sort snapshots";
	oldest = hr_snapshot_index_keep(&s->vault.index, needs, keep);
	free(keep);
	if (config->redis_enabled && n_verified == 0)
		return "with a Redis view nothing is trimmed before a verified "
		       "checkpoint exists: headracectl checkpoint make";
	if (oldest == NULL || s->vault.index.n_entries < 2)
		return "there are no two snapshots yet";
	if (!hr_snapshot_index_covers(&s->vault.index, needs))
		return "a view or a checkpoint stands before the oldest snapshot";
	old = hr_marks_older(&s->marks, s->mirror.at.chain.clock_us,
			     config->log_min_age_us);
	*out = hr_snapshot_trim_point(oldest);
	if (old < *out)
		*out = old;
	return *out == 0 ? "nothing that was read since the start is older than "
			   "log.min_age"
			 : "";
}

static void tell_state(struct hr_snapshotter *p, struct shard *s, const char *why_not,
		       int64_t trim_before)
{
	struct hr_snapshot_said *said = &s->said;
	const struct hr_snapshot_entry *e =
		hr_snapshot_index_newest(&s->vault.index, UINT64_MAX);

	pthread_mutex_lock(&p->lock);
	said->followed_n = s->mirror.at.chain.n;
	said->n = e == NULL ? 0 : e->manifest.head.n;
	said->bytes = e == NULL ? 0 : e->manifest.image_bytes;
	said->n_kept = s->vault.index.n_entries;
	said->log_bytes = s->mirror.log_bytes;
	said->n_events = s->mirror.n_events;
	if (why_not != NULL) {
		said->trim_before = trim_before;
		snprintf(said->why_not, sizeof(said->why_not), "%s", why_not);
	}
	pthread_mutex_unlock(&p->lock);
}

/* One that stood still believes that the shard is still its own, and its views'
 * positions are old. Snapshots further on than it has followed tell. */
static bool is_behind(struct shard *s)
{
	const struct hr_snapshot_entry *e =
		hr_snapshot_index_newest(&s->vault.index, UINT64_MAX);

	return e != NULL && e->manifest.head.n > s->mirror.at.chain.n &&
	       !HR_MUTANT(tidied_by_other);
}

/* Another owner deletes as its views need it: what is known of the snapshots is looked at
 * again before anything is deleted, or permitted to be trimmed, because of it. */
static int look_again(struct hr_snapshotter *p, struct shard *s,
		      const struct hr_snapshot_needs *needs, uint32_t n_verified,
		      struct hr_err *err)
{
	int64_t point;

	(void)point_find(p, s, needs, n_verified, &point);
	if (hr_vault_is_tidy(&s->vault, needs) && point <= s->said.trim_before)
		return 0;
	return hr_vault_refresh(&s->vault, err);
}

static int tidy(struct hr_snapshotter *p, struct shard *s, struct hr_err *err)
{
	uint64_t positions[VIEWS_MOST + HR_CHECKPOINT_PINS];
	const struct hr_snapshot_needs views = { .positions = positions,
						 .n_positions = p->conf.n_views };
	struct hr_snapshot_needs needs = views;
	uint32_t n_verified;
	const char *why_not;
	int64_t point;
	int r, n_pins;

	s->tidied_us = hr_mono_us();
	if (owned_since(p, s) == 0) {
		tell_state(p, s, "another appliance owns the shard", 0);
		return 0;
	}
	if (!positions_read(p, s, positions)) {
		tell_state(p, s, "the position of a view is not known", 0);
		return 0;
	}
	n_pins = pins_read(p, s->mirror.shard, positions + views.n_positions,
			   &n_verified);
	if (n_pins < 0) {
		tell_state(p, s, "a checkpoint in checkpoint.folder cannot be read", 0);
		return 0;
	}
	needs.n_positions += (uint32_t)n_pins;
	r = look_again(p, s, &needs, n_verified, err);
	if (r < 0)
		return r;
	if (is_behind(s)) {
		tell_state(p, s, "somebody wrote a snapshot of a later link", 0);
		return 0;
	}
	/* A view's position that nothing covers is older than what somebody else has
	 * deleted: the shard may be another's already, with views that stand elsewhere. */
	if (HR_MUTANT(tidied_by_other) ||
	    hr_snapshot_index_covers(&s->vault.index, &views))
		r = hr_vault_tidy(&s->vault, &needs, err);
	why_not = point_find(p, s, &needs, n_verified, &point);
	tell_state(p, s, why_not, point);
	return r;
}

/* ---- writing ----------------------------------------------------------------------- */

static bool is_due(const struct hr_snapshotter *p, const struct shard *s,
		   uint64_t now_us)
{
	const struct hr_config *config = p->conf.config;

	if (s->has_failed || s->mirror.at.chain.n <= s->written_n ||
	    now_us < s->not_before_us || owned_since(p, s) == 0)
		return false;
	return now_us - s->written_us >= config->snapshot_interval_us ||
	       s->mirror.log_bytes - s->written_bytes >= config->snapshot_log_bytes;
}

static int write_one(struct hr_snapshotter *p, struct shard *s, struct hr_err *err)
{
	const uint64_t n = s->mirror.at.chain.n, log_bytes = s->mirror.log_bytes;
	uint8_t *image;
	size_t bytes;
	int r = hr_mirror_image(&s->mirror, &image, &bytes, err);

	if (r < 0)
		return r;
	r = hr_vault_write(&s->vault, image, bytes, err);
	free(image);
	if (r < 0)
		return r;
	s->written_n = n;
	s->written_us = hr_mono_us();
	s->written_bytes = log_bytes;
	hr_debug("snapshot", "shard %u: link %llu, %zu bytes", s->mirror.shard,
		 (unsigned long long)n, bytes);
	pthread_mutex_lock(&p->lock);
	s->said.at_mono_us = s->written_us;
	pthread_mutex_unlock(&p->lock);
	return tidy(p, s, err);
}

static bool is_untidy(const struct shard *s, uint64_t now_us)
{
	return !s->has_failed && now_us >= s->not_before_us &&
	       now_us - s->tidied_us >= TIDY_US;
}

static void write_due(struct hr_snapshotter *p)
{
	for (uint16_t i = 0; i < p->n_shards && !must_stop(p); i++) {
		struct shard *s = &p->shards[i];
		const uint64_t now_us = hr_mono_us();
		struct hr_err err = { "" };
		int r;

		if (is_due(p, s, now_us))
			r = write_one(p, s, &err);
		else if (is_untidy(s, now_us))
			r = tidy(p, s, &err);
		else
			continue;
		if (r == -ECANCELED)
			return;
		if (r < 0)
			s->not_before_us = hr_mono_us() + AGAIN_US;
		tell_trouble(p, s, r < 0 ? err.text : "");
	}
}

static void open_store(struct hr_snapshotter *p)
{
	struct hr_err err = { "" };

	if (hr_mono_us() < p->open_not_before_us)
		return;
	if (p->ops->open(&p->store, p->conf.config, p->conf.set, STORE_WAIT_MS, &err) <
	    0) {
		p->store = NULL;
		p->open_not_before_us = hr_mono_us() + AGAIN_US;
	}
	for (uint16_t i = 0; i < p->n_shards; i++) {
		p->shards[i].vault.store = p->store;
		tell_trouble(p, &p->shards[i], err.text);
	}
}

/* ---- the thread --------------------------------------------------------------------- */

static void wait_a_moment(struct hr_snapshotter *p)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ROUND_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&p->lock);
	if (!p->stops)
		pthread_cond_timedwait(&p->wake, &p->lock, &until);
	pthread_mutex_unlock(&p->lock);
}

static void *run(void *arg)
{
	struct hr_snapshotter *p = arg;

	pthread_setname_np(pthread_self(), "hr-snapshots");
	hr_poison_arm_thread();
	while (!must_stop(p)) {
		bool has_more = follow_all(p);

		if (p->store == NULL)
			open_store(p);
		if (p->store != NULL)
			write_due(p);
		for (uint16_t i = 0; i < p->n_shards; i++)
			tell_state(p, &p->shards[i], NULL, 0);
		if (!has_more)
			wait_a_moment(p);
	}
	return NULL;
}

/* ---- beginning and end -------------------------------------------------------------- */

static void shard_init(struct hr_snapshotter *p, uint16_t shard)
{
	const struct hr_snapshotter_conf *c = &p->conf;
	struct shard *s = &p->shards[shard];
	struct hr_recovered *found = &c->recovery->shards[shard];
	const struct hr_snapshot_entry *e;

	hr_mirror_init(&s->mirror, c->config, c->set, c->feed, shard, found->mirror,
		       found->mirror != NULL ? &found->start : NULL);
	found->mirror = NULL;
	hr_vault_init(&s->vault, p->ops, NULL, c->set, shard, STORE_WAIT_MS);
	s->vault.between = between;
	s->vault.ctx = p;
	hr_snapshot_index_fini(&s->vault.index);
	s->vault.index = found->index; /* moved */
	s->vault.next = found->next;
	hr_snapshot_index_init(&found->index, c->set, shard);
	e = hr_snapshot_index_newest(&s->vault.index, UINT64_MAX);
	s->written_n = e == NULL ? 0 : e->manifest.head.n;
	s->written_us = s->said.since_mono_us = hr_mono_us();
	if (s->mirror.fold != NULL)
		hr_marks_add(&s->marks, s->mirror.at.chain.clock_us,
			     s->mirror.at.offset, c->config->log_min_age_us);
	tell_state(p, s, "no snapshot was written yet", 0);
}

static void release(struct hr_snapshotter *p)
{
	for (uint16_t i = 0; i < p->n_shards; i++) {
		hr_mirror_fini(&p->shards[i].mirror);
		hr_vault_fini(&p->shards[i].vault);
	}
	p->ops->close(p->store);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int hr_snapshotter_start(struct hr_snapshotter **out,
			 const struct hr_snapshotter_conf *conf, struct hr_err *err)
{
	const uint32_t n = conf->set->n_shards;
	struct hr_snapshotter *p = calloc(1, sizeof(*p) + n * sizeof(p->shards[0]));
	pthread_condattr_t attr;
	int r;

	if (p == NULL)
		return hr_fail(err, -ENOMEM, "no memory for snapshots");
	if (conf->n_views > VIEWS_MOST) {
		free(p);
		return hr_fail(err, -EINVAL, "%u views", conf->n_views);
	}
	p->conf = *conf;
	p->ops = hr_snapshot_ops_of(conf->config);
	p->n_shards = (uint16_t)n;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	for (uint32_t s = 0; s < n; s++)
		shard_init(p, (uint16_t)s);
	r = -pthread_create(&p->thread, NULL, run, p);
	if (r < 0) {
		release(p);
		return hr_fail(err, r, "no thread for snapshots");
	}
	*out = p;
	return 0;
}

void hr_snapshotter_stop(struct hr_snapshotter *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stops = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	release(p);
}

void hr_snapshotter_said(const struct hr_snapshotter *snapshotter, uint16_t shard,
			 struct hr_snapshot_said *out)
{
	/* The lock is not part of what const promises. */
	struct hr_snapshotter *p = (struct hr_snapshotter *)(uintptr_t)snapshotter;

	pthread_mutex_lock(&p->lock);
	*out = p->shards[shard].said;
	pthread_mutex_unlock(&p->lock);
}
