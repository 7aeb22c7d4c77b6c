/* SPDX-License-Identifier: BSD-3-Clause */

/* What the owner of an appliance's shards asks of the rest of it. */

#include <stdlib.h>
#include <sys/random.h>

#include "dataplane/fold/fold.h"
#include "dataplane/log/owned.h"
#include "dataplane/snapshot/recovery.h"
#include "dataplane/view/feed.h"
#include "tests/sim/appliance_impl.h"
#include "tests/sim/world.h"

static bool hook_random(void *ctx, void *out, size_t n)
{
	(void)ctx;
	return getrandom(out, n, 0) == (ssize_t)n;
}

static void hook_tell(void *ctx, enum hr_log_level level, const char *line)
{
	struct sim_appliance *a = ctx;

	(void)level;
	sim_trace(a->stores.sim, "    log of appliance %u: %s", a->index, line);
}

static void hook_said(void *ctx, const struct hr_owned *s)
{
	(void)ctx;
	(void)s;
}

static void hook_put_epoch(void *ctx, struct hr_epoch *epoch)
{
	struct sim_appliance *a = ctx;

	hr_epoch_put(a->pool, epoch);
}

static bool hook_has_room(void *ctx, const struct hr_owned *s)
{
	struct sim_appliance *a = ctx;

	return a->shards[s->shard].n_told < TOLD_MAX - 4;
}

static void hook_hand_out(void *ctx, struct hr_owned *s, struct hr_link *link)
{
	struct sim_appliance *a = ctx;
	struct shard *shard = &a->shards[s->shard];

	if (shard->n_told == TOLD_MAX)
		abort();
	shard->told[shard->n_told++] = link;
}

static struct hr_link *hook_kept(void *ctx, const struct hr_owned *s, uint64_t n)
{
	struct sim_appliance *a = ctx;
	struct hr_link *link;

	return hr_feed_get(a->feed, s->shard, n, &link) == 1 ? link : NULL;
}

static uint64_t hook_first_kept(void *ctx, const struct hr_owned *s)
{
	struct sim_appliance *a = ctx;

	return hr_feed_first(a->feed, s->shard);
}

static void state_release(struct hr_link *told)
{
	hr_fold_free(told->fold);
}

static bool hook_forget(void *ctx, struct hr_owned *s)
{
	struct sim_appliance *a = ctx;
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, s->shard);

	if (told == NULL || hr_fold_new(&told->fold, a->stores.set, s->shard,
					a->stores.config->stream_max) < 0)
		abort();
	told->release = state_release;
	hr_feed_restart(a->feed, s->shard, 0);
	hr_owned_hand_out(s, told);
	return true;
}

static void hook_cloned(void *ctx, const char *text)
{
	struct sim_appliance *a = ctx;

	for (uint32_t s = 0; s < a->stores.set->n_shards; s++)
		hr_owned_stop(&a->shards[s].owned, "%s", text);
}

static int hook_keep(void *ctx, const struct hr_owned *s, bool is_ours,
		     struct hr_err *err)
{
	struct sim_appliance *a = ctx;

	(void)err;
	a->others[s->shard] = !is_ours;
	return 0;
}

/* A snapshot, while the process runs: as dataplane/log/owner.c does. */
static void look_for_snapshot(void *arg)
{
	struct sim_appliance *a = arg;
	struct looking *l = &a->looking;

	sim_store_use(a->stores.log, sim_appliance_step_soon, a);
	l->result =
		hr_recovery_newest(&l->fold, l->start, a->stores.config, a->stores.set,
				   l->shard, l->beyond_n, &a->ends, &l->err);
	l->is_over = true;
	sim_appliance_step_soon(a);
}

void sim_appliance_looking_drop(struct looking *l)
{
	sim_coro_free(l->coro);
	hr_fold_free(l->fold);
	free(l->start);
	*l = (struct looking){ .coro = NULL };
}

static enum hr_restore look_begin(struct sim_appliance *a, uint16_t shard,
				  uint64_t beyond_n)
{
	a->looking.shard = shard;
	a->looking.beyond_n = beyond_n;
	a->looking.start = calloc(1, sizeof(*a->looking.start));
	if (a->looking.start == NULL)
		abort();
	a->looking.coro = sim_coro_new(a->stores.sim, look_for_snapshot, a);
	return HR_RESTORE_LOOKING;
}

/* The shard that wanted it was stopped meanwhile. */
void sim_appliance_looking_tidy(struct sim_appliance *a)
{
	struct looking *l = &a->looking;

	if (l->is_over && a->shards[l->shard].owned.phase != HR_PHASE_RESTORING)
		sim_appliance_looking_drop(l);
}

static void take_state(struct sim_appliance *a, struct hr_owned *s)
{
	struct hr_link *told = hr_told_new(HR_TOLD_STATE, s->shard);
	struct shard *shard = &a->shards[s->shard];

	if (told == NULL)
		abort();
	told->release = state_release;
	told->fold = a->looking.fold;
	a->looking.fold = NULL;
	free(shard->restored);
	shard->restored = a->looking.start;
	a->looking.start = NULL;
	hr_feed_restart(a->feed, s->shard, shard->restored->chain.n);
	hr_owned_hand_out(s, told);
	sim_happened(a->stores.sim, SIM_RESTORES);
	sim_trace(a->stores.sim, "appliance %u: shard %u goes on from link %llu",
		  a->index, s->shard, (unsigned long long)shard->restored->chain.n);
}

static enum hr_restore hook_restore(void *ctx, struct hr_owned *s, uint64_t beyond_n,
				    const struct hr_log_start **start,
				    struct hr_err *err)
{
	struct sim_appliance *a = ctx;
	struct looking *l = &a->looking;
	enum hr_restore found;

	if (l->coro == NULL)
		return look_begin(a, s->shard, beyond_n);
	if (l->shard != s->shard || !l->is_over)
		return HR_RESTORE_LOOKING;
	found = l->result < 0    ? HR_RESTORE_FAILED
		: l->result == 0 ? HR_RESTORE_NOTHING
				 : HR_RESTORED;
	if (found == HR_RESTORE_FAILED)
		*err = l->err;
	if (found == HR_RESTORED)
		take_state(a, s);
	sim_appliance_looking_drop(l);
	*start = a->shards[s->shard].restored;
	return found;
}

static void chain_config(struct sim_appliance *a)
{
	const struct hr_config *c = a->stores.config;
	uint64_t *setting = a->conf.file.setting;

	a->conf.file.fold_version = HR_FOLD_VERSION;
	setting[HR_CHAIN_MAX_EVENTS] = c->epoch_max_events;
	setting[HR_CHAIN_MAX_STREAMS] = a->stores.chain_streams;
	setting[HR_CHAIN_STREAM_MAX_AGE_US] = c->stream_max_age_us;
	setting[HR_CHAIN_KEY_STREAMS] = c->stream_max_per_key;
	setting[HR_CHAIN_TTL_MEMORY_US] = c->stream_ttl_memory_us;
	setting[HR_CHAIN_TTL_DISK_US] = c->stream_ttl_disk_us;
	setting[HR_CHAIN_DEDUP_WINDOW_US] = c->dedup_window_us;
	setting[HR_CHAIN_DEDUP_MAX] = c->dedup_max;
}

void sim_appliance_owner_conf(struct sim_appliance *a)
{
	a->conf = (struct hr_owned_conf){
		.ops = &sim_log_ops,
		.log = a->log,
		.set = a->stores.set,
		.clock = &a->clock,
		.addresses = a->address,
		.max_waiting = EPOCHS_A_SHARD,
		.hooks = { .ctx = a,
			   .random = hook_random,
			   .tell = hook_tell,
			   .said = hook_said,
			   .put_epoch = hook_put_epoch,
			   .has_room = hook_has_room,
			   .hand_out = hook_hand_out,
			   .kept = hook_kept,
			   .first_kept = hook_first_kept,
			   .forget = hook_forget,
			   .cloned = hook_cloned },
	};
	if (a->stores.has_snapshots)
		a->conf.hooks.restore = hook_restore;
	if (a->stores.has_holdings) {
		a->conf.others = a->others;
		a->conf.hooks.keep = hook_keep;
	}
	chain_config(a);
}
