/* SPDX-License-Identifier: BSD-3-Clause */

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "dataplane/dataplane.h"
#include "dataplane/stats/ledger.h"

#define PHASE_WAIT_MS 5000u
#define LEDGER_PATIENCE_MS 1000u

static uint32_t left_ms(uint64_t until_us)
{
	uint64_t now_us = hr_mono_us();

	return now_us < until_us ? (uint32_t)((until_us - now_us) / 1000) : 0;
}

/* Everything taken goes to the log, or is counted. Returns whether all is in it. */
static bool drain_log(struct hr_dataplane *d, uint64_t until_us)
{
	uint64_t tentative;

	if (d->has_workers) {
		/* The second is asked of those that answer, whoever does not. */
		bool quiet = hr_workers_to(d->workers, d->config.n_workers,
					   HR_WORK_QUIET, PHASE_WAIT_MS);
		bool closed = hr_workers_to(d->workers, d->config.n_workers,
					    HR_WORK_CLOSE, PHASE_WAIT_MS);

		if (!quiet || !closed)
			hr_error("worker", "a worker does not answer: what it closes "
					   "later is counted as shut down");
	}
	if (d->owner == NULL)
		return true;
	tentative = hr_owner_stop(d->owner, left_ms(until_us));
	if (tentative > 0)
		hr_error("log",
			 "%llu datagrams were taken and not read back from the log "
			 "until control.stop_drain was over: it was out of reach; "
			 "those that were sent last may be in it, no others are",
			 (unsigned long long)tentative);
	hr_stat_add(d->shutdown_dropped, tentative);
	return tentative == 0;
}

static void end_workers(struct hr_dataplane *d)
{
	if (!d->has_workers)
		return;
	hr_workers_to(d->workers, d->config.n_workers, HR_WORK_END, PHASE_WAIT_MS);
	rte_eal_mp_wait_lcore();
	d->has_workers = false;
}

static bool stop_views(struct hr_dataplane *d, uint64_t until_us)
{
	bool all = true;

	for (uint32_t i = 0; i < d->n_views; i++) {
		const struct hr_running_view *v = &d->views[i];

		if (v->ops->stop(v->view, left_ms(until_us)))
			continue;
		hr_warn("view",
			"%s: not everything in the log was written when "
			"control.stop_drain was over; the next start goes on from "
			"there",
			v->ops->name);
		all = false;
	}
	d->n_views = 0;
	return all;
}

static void free_ring(struct rte_ring *ring)
{
	void *link;

	while (ring != NULL && rte_ring_dequeue(ring, &link) == 0)
		hr_link_put(link);
	free(ring);
}

/* Epochs that a late worker closed when the committer had ended. */
static uint64_t take_back(struct hr_dataplane *d, struct rte_ring *closed)
{
	uint64_t n_items = 0;
	void *got;

	while (closed != NULL && rte_ring_dequeue(closed, &got) == 0) {
		struct hr_epoch *epoch = got;

		n_items += epoch->n_items;
		hr_epoch_put(d->pool, epoch);
	}
	return n_items;
}

/* Returns how many of its datagrams were neither in the log nor on their way. */
static uint64_t free_shard(struct hr_worker_shard *s)
{
	uint64_t left = 0;

	if (s->seat != NULL)
		left += hr_streams_free(s->seat->streams);
	left += hr_intake_fini(s->intake);
	for (uint32_t i = 0; i < s->n_told; i++)
		hr_link_put(s->told[(s->told_at + i) % HR_TOLD_MOST]);
	hr_fold_free(s->fold);
	return left;
}

/* Returns how many datagrams were in epochs that nobody takes any more. */
static uint64_t free_workers(struct hr_dataplane *d)
{
	uint64_t left = 0;

	for (uint32_t i = 0; d->workers != NULL && i < d->config.n_workers; i++) {
		struct hr_worker *w = &d->workers[i];

		for (uint32_t s = 0; s < w->n_shards; s++) {
			if (w->shards[s].in_flight != NULL)
				hr_stat_set(w->shards[s].in_flight, 0);
			left += free_shard(&w->shards[s]);
		}
		free(w->shards);
		hr_receive_free(w->receive);
	}
	free(d->workers);
	d->workers = NULL;
	hr_bell_fini(&d->closed_bell);
	for (uint32_t i = 0; i < d->config.n_workers; i++) {
		hr_bell_fini(&d->accepted_bell[i]);
		left += take_back(d, d->closed[i]);
		free(d->closed[i]);
		free_ring(d->accepted[i]);
		free_ring(d->folded[i]);
		for (uint32_t to = 0; to < d->config.n_workers; to++)
			free(d->handover[i][to]);
	}
	return left;
}

/* fold refused a link: nothing more will be folded, however long one waits. */
static bool has_failed(const struct hr_dataplane *d)
{
	for (uint32_t w = 0; d->workers != NULL && w < d->config.n_workers; w++)
		if (atomic_load(&d->workers[w].has_failed))
			return true;
	return false;
}

static bool is_balanced(const struct hr_dataplane *d)
{
	struct hr_ledger ledger;

	if (d->reader == NULL)
		return true;
	hr_ledger_read(d->reader, LEDGER_PATIENCE_MS, &ledger);
	hr_info("stats", "ledger: datagrams %s, events %s",
		hr_balance_text(ledger.datagrams), hr_balance_text(ledger.events));
	if (ledger.datagrams == HR_BALANCED && ledger.events == HR_BALANCED)
		return true;
	for (int i = 0; i < HR_LEDGER_DATAGRAM_TERMS; i++)
		hr_error("stats", "ledger 1: %s %lld", hr_ledger_datagram_names[i],
			 (long long)ledger.datagram[i]);
	for (int i = 0; i < HR_LEDGER_EVENT_TERMS; i++)
		hr_error("stats", "ledger 2: %s %lld", hr_ledger_event_names[i],
			 (long long)ledger.event[i]);
	return false;
}

enum hr_exit hr_dataplane_end(struct hr_dataplane *d)
{
	const uint64_t drain_ms = has_failed(d) ? 0 : d->config.stop_drain_ms;
	const uint64_t until_us = hr_mono_us() + drain_ms * 1000;
	struct hr_err ignored;
	uint64_t left;
	bool all, balanced;

	d->state = HR_STATE_STOPPING;
	atomic_store(&d->search.ends, true);
	if (d->search.is_started)
		pthread_join(d->search.thread, NULL);
	all = drain_log(d, until_us);
	end_workers(d);
	/* It asks the views where they are. */
	hr_snapshotter_stop(d->snapshotter);
	d->snapshotter = NULL;
	all &= stop_views(d, until_us);
	hr_owner_free(d->owner); /* whose shards' state workers and views read */
	d->owner = NULL;
	/* The ports' last words: they miss frames as long as they are open. */
	(void)hr_dataplane_round(d, &ignored);
	left = free_workers(d);
	if (left > 0)
		hr_stat_add(d->shutdown_dropped, left);
	all &= left == 0;
	hr_ports_close(d->ports);
	d->ports = NULL;
	balanced = is_balanced(d);
	if (d->feed != NULL)
		hr_feed_free(d->feed);
	hr_recovery_free(atomic_load(&d->recovery));
	hr_epoch_pool_free(d->pool);
	free(d->intakes);
	free(d->seats);
	hr_keyring_free(d->keys);
	if (d->has_eal)
		hr_eal_stop();
	hr_stats_close(d->reader);
	hr_stats_free(d->stats);
	return !balanced ? HR_EXIT_OUT_OF_BALANCE
	       : all     ? HR_EXIT_DRAINED
			 : HR_EXIT_LEFT;
}
