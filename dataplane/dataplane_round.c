/* SPDX-License-Identifier: BSD-3-Clause */

/* What the main thread does while workers work. */

#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "dataplane/dataplane.h"

#define PACE_US 500000u

static void set_pace(struct hr_dataplane *d, uint64_t now_us)
{
	const struct hr_config *config = &d->config;
	const uint64_t took_us = now_us - d->committer_read_us;
	struct hr_pace_found found;
	uint64_t ns;

	if (took_us < PACE_US)
		return;
	ns = hr_pace_thread_ns("hr-committer");
	found.committer = (ns - d->committer_ns) / took_us;
	found.spare =
		hr_pace_spare(&d->cpus_seen, config->main_cpus, config->n_main_cpus);
	if (d->committer_read_us != 0 && ns >= d->committer_ns)
		d->min_interval_us = hr_pace_next(
			d->min_interval_us, &found, config->committer_cpu_percent * 10,
			config->epoch_min_interval_us, config->epoch_max_interval_us);
	for (uint32_t w = 0; w < config->n_workers; w++)
		atomic_store(&d->workers[w].min_interval_us, d->min_interval_us);
	hr_stat_set(d->interval, d->min_interval_us);
	if (d->committer_read_us != 0) {
		hr_stat_set(d->committer_busy, found.committer);
		hr_stat_set(d->spare, found.spare);
	}
	d->committer_ns = ns;
	d->committer_read_us = now_us;
}

static void read_ports(struct hr_dataplane *d)
{
	for (uint32_t i = 0; i < d->config.n_ports; i++) {
		struct hr_port_cells *c = &d->port_cells[i];
		struct hr_port_counts counts;
		uint64_t fresh;

		hr_ports_read(d->ports, i, &counts);
		fresh = counts.missed - c->counted_missed;
		c->counted_missed = counts.missed;
		hr_stat_set(c->packets, counts.packets);
		hr_stat_set(c->missed, counts.missed);
		hr_stat_set(c->sent, counts.sent);
		hr_stat_set(c->send_failed, counts.send_failed);
		/* Received by this appliance, if not by a worker. */
		hr_stat_add(d->missed_received, fresh);
		hr_stat_add(d->missed_dropped, fresh);
	}
}

/* Whom senders are sent to where a shard is another appliance's. */
static void tell_owners(struct hr_dataplane *d)
{
	char text[HR_ADDRESSES_MAX + 1];

	for (uint32_t s = 0; d->seats != NULL && s < d->set.n_shards; s++) {
		hr_owner_addresses(d->owner, (uint16_t)s, text);
		hr_known_owner_set(&d->seats[s].owner, text);
	}
}

int hr_dataplane_round(struct hr_dataplane *d, struct hr_err *err)
{
	if (d->ports == NULL || d->workers == NULL)
		return 0;
	read_ports(d);
	if (d->owner != NULL)
		tell_owners(d);
	hr_stat_set(d->buffers_free, hr_epoch_pool_free_count(d->pool));
	set_pace(d, hr_mono_us());
	for (uint32_t w = 0; w < d->config.n_workers; w++) {
		struct hr_worker *worker = &d->workers[w];

		/* Pairs with the release in worker.c: failure is whole. */
		if (!atomic_load_explicit(&worker->has_failed, memory_order_acquire))
			continue;
		*err = worker->failure;
		return -EPROTO;
	}
	return 0;
}

static bool is_shard_ready(const struct hr_dataplane *d, uint16_t shard)
{
	const struct hr_shard_view *view = hr_owner_shard(d->owner, shard);

	return atomic_load(&view->state) == HR_SHARD_READY &&
	       !atomic_load(&view->complains);
}

/* Its owner is ready for it, or not. */
static bool is_anothers(const struct hr_dataplane *d, uint16_t shard)
{
	return atomic_load(&hr_owner_shard(d->owner, shard)->state) == HR_SHARD_FENCED;
}

static bool is_view_well(const struct hr_running_view *v)
{
	enum hr_view_state state = v->ops->state(v->view);

	return state == HR_VIEW_LIVE || state == HR_VIEW_CATCHING_UP;
}

bool hr_dataplane_is_ready(const struct hr_dataplane *d, hr_reason_tell tell, void *ctx)
{
	struct hr_dataplane *m = (struct hr_dataplane *)d; /* its lock */
	bool ready = true;
	char reason[320], sentence[400];
	uint32_t n_others = 0;

	if (d->state == HR_STATE_STOPPING) {
		tell(ctx, "the dataplane is stopping");
		return false;
	}
	if (d->state == HR_STATE_STARTING) {
		if (!hr_dataplane_recovering(d, reason, sizeof(reason)))
			snprintf(reason, sizeof(reason), "the dataplane is starting");
		pthread_mutex_lock(&m->search.lock);
		snprintf(sentence, sizeof(sentence), "%.390s",
			 m->search.err.text[0] != '\0' ? m->search.err.text : reason);
		pthread_mutex_unlock(&m->search.lock);
		tell(ctx, sentence);
		return false;
	}
	for (uint16_t s = 0; s < d->set.n_shards; s++) {
		if (is_anothers(d, s))
			n_others++;
		if (is_anothers(d, s) || is_shard_ready(d, s))
			continue;
		hr_owner_reason(d->owner, s, reason, sizeof(reason));
		snprintf(sentence, sizeof(sentence), "shard %u: %s", s,
			 reason[0] != '\0' ? reason : "is not ready yet");
		tell(ctx, sentence);
		ready = false;
	}
	if (n_others == d->set.n_shards) {
		tell(ctx,
		     "every shard is another appliance's: `headracectl shards take "
		     "SHARD` takes one");
		ready = false;
	}
	for (uint32_t i = 0; i < d->n_views; i++) {
		const struct hr_running_view *v = &d->views[i];

		if (is_view_well(v))
			continue;
		v->ops->reason(v->view, reason, sizeof(reason));
		snprintf(sentence, sizeof(sentence), "view %s: %s", v->ops->name,
			 reason[0] != '\0' ? reason : "its store is out of reach");
		tell(ctx, sentence);
		ready = false;
	}
	return ready;
}
