/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_pause.h>
#include <rte_ring.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/mutant.h"
#include "dataplane/poison/poison.h"
#include "dataplane/stats/names.h"
#include "dataplane/worker.h"

/* Events folded between two looks at the queues: some 50 us. */
#define FOLD_SLICE 512u

/*
 * Idle: a few empty rounds are spun, then the worker sleeps. With nothing on its way it
 * waits for its queues: an AF_XDP socket ends that at once, everything else is looked
 * at when the time is over. While something of its shards is open or on its way it
 * naps, whatever its queues bring: a receive ring holds far more than a nap's worth,
 * a link closes every few naps at most, and so a steady trickle is taken in bursts
 * instead of one wake-up a datagram. What was accepted ends a nap: somebody waits for
 * the ACK. (Spinning 512 rounds instead, a worker never slept
 * at 5,000 datagrams/s: a whole core for 41,000 events/s.)
 */
#define SPIN_ROUNDS 16u
#define NAP_US 200u
#define COMPANY_SLEEP_US 500u
#define IDLE_SLEEP_US 2000u

#define SECOND_US 1000000u

static const char *const verdict_labels[HR_FOLD_VERDICTS] = {
	[HR_COUNTED] = "counted",   [HR_LATE] = "late",
	[HR_REPEATED] = "repeated", [HR_FILTERED] = "filtered",
	[HR_REJECTED] = "rejected", [HR_OVERFLOW] = "overflow",
};

static const char *const class_labels[HR_STREAM_CLASSES] = {
	[HR_STREAM_OFF] = "off",
	[HR_STREAM_MEMORY] = "memory",
	[HR_STREAM_DISK] = "disk",
};

static void add_fold_rows(struct hr_worker_shard *s, struct hr_stats *stats)
{
	const uint32_t n = s->shard;

	s->streams = hr_stats_add_metric(stats, HR_METRIC_STREAMS, "shard=\"%u\"", n);
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++)
		s->streams_of[i] = hr_stats_add_metric(stats, HR_METRIC_STREAMS_CLASS,
						       "shard=\"%u\",class=\"%s\"", n,
						       class_labels[i]);
	s->dedup_hits =
		hr_stats_add_metric(stats, HR_METRIC_DEDUP_HITS, "shard=\"%u\"", n);
	s->dedup_entries =
		hr_stats_add_metric(stats, HR_METRIC_DEDUP_ENTRIES, "shard=\"%u\"", n);
	s->dedup_evicted =
		hr_stats_add_metric(stats, HR_METRIC_DEDUP_EVICTED, "shard=\"%u\"", n);
	s->lost_links =
		hr_stats_add_metric(stats, HR_METRIC_LOST_LINKS, "shard=\"%u\"", n);
}

static void add_shard_rows(struct hr_worker_shard *s, struct hr_stats *stats)
{
	const uint32_t n = s->shard;

	s->in_flight = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_IN_FLIGHT,
					   "shard=\"%u\"", n);
	s->parked = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_PARKED,
					"shard=\"%u\"", n);
	s->logged =
		hr_stats_add_metric(stats, HR_METRIC_EVENTS_LOGGED, "shard=\"%u\"", n);
	s->gaps = hr_stats_add_metric(stats, HR_METRIC_STREAM_GAPS, "shard=\"%u\"", n);
	add_fold_rows(s, stats);
	for (uint32_t v = 0; v < HR_FOLD_VERDICTS; v++)
		s->verdicts[v] = hr_stats_add_metric(stats, HR_METRIC_EVENTS_VERDICT,
						     "shard=\"%u\",verdict=\"%s\"", n,
						     verdict_labels[v]);
	for (uint32_t i = HR_REJECT_NONE + 1; i < HR_REJECT_COUNT; i++)
		s->rejects[i] = hr_stats_add_metric(stats, HR_METRIC_EVENTS_REJECTED,
						    "shard=\"%u\",reason=\"%s\"", n,
						    hr_reject_rows[i].label);
}

void hr_worker_add_rows(struct hr_worker *w, struct hr_stats *stats)
{
	hr_stats_next_writer(stats);
	w->busy_permille = hr_stats_add_metric(stats, HR_METRIC_WORKER_BUSY,
					       "worker=\"%u\"", w->id);
	w->sleeps = hr_stats_add_metric(stats, HR_METRIC_WORKER_SLEEPS, "worker=\"%u\"",
					w->id);
	for (uint32_t i = 0; i < w->n_shards; i++)
		add_shard_rows(&w->shards[i], stats);
}

static void show_in_flight(struct hr_worker_shard *s)
{
	uint64_t n = hr_intake_in_flight(s->intake);
	uint32_t n_parked = 0;

	if (s->seat != NULL)
		n_parked = hr_streams_parked(s->seat->streams);
	n += n_parked;
	if (n_parked != s->shown_parked)
		hr_stat_set(s->parked, n_parked);
	s->shown_parked = n_parked;
	if (n == s->shown_in_flight)
		return;
	s->shown_in_flight = n;
	hr_stat_set(s->in_flight, n);
}

static void show_totals(struct hr_worker_shard *s)
{
	struct hr_fold_totals totals;

	hr_fold_read_totals(s->fold, &totals);
	hr_stat_set(s->logged, totals.logged);
	for (uint32_t v = 0; v < HR_FOLD_VERDICTS; v++)
		hr_stat_set(s->verdicts[v], totals.verdicts[v]);
	for (uint32_t i = HR_REJECT_NONE + 1; i < HR_REJECT_COUNT; i++)
		hr_stat_set(s->rejects[i], totals.rejects[i]);
	hr_stat_set(s->gaps, totals.gaps);
	hr_stat_set(s->streams, totals.streams);
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++)
		hr_stat_set(s->streams_of[i], totals.streams_of[i]);
	hr_stat_set(s->dedup_hits, totals.dedup_hits);
	hr_stat_set(s->dedup_entries, totals.dedup_entries);
	hr_stat_set(s->dedup_evicted, totals.dedup_evicted);
	hr_stat_set(s->lost_links, totals.lost_links);
}

/* The chain's own limit: a link with more events would have them rejected. */
void hr_worker_obey_chain(struct hr_worker_shard *s)
{
	uint64_t most = hr_fold_config(s->fold)->setting[HR_CHAIN_MAX_EVENTS];

	if (!HR_MUTANT(local_config))
		s->intake->max_events = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

/* fold is a function of the chain: what it refuses now it refuses for ever. The main
 * thread ends the process by name. */
static void fail(struct hr_worker *w, const struct hr_link *link, int error)
{
	hr_fail(&w->failure, error, "shard %u: link %llu cannot be folded: %s",
		link->shard, (unsigned long long)link->n,
		error == -EPROTO
			? "it does not follow the link before it: this is a bug"
		: error == -ENOMEM
			? "there is no memory for the events that its CONFIG wants "
			  "known (dedup.max)"
			: "it asks for more streams than this appliance was "
			  "started with (raise streams.max to the chain's "
			  "setting), or a later program wrote it (run that one)");
	/* Pairs with the acquire of the main thread: it sees failure. */
	atomic_store_explicit(&w->has_failed, true, memory_order_release);
}

/* Nothing that is tentative under an older FENCE, or another's, will be accepted. */
static void fenced(struct hr_worker *w, struct hr_worker_shard *s,
		   const struct hr_link *told)
{
	uint32_t n = 0;

	if (s->seat != NULL)
		n = hr_streams_fence(s->seat->streams, told->incarnation);
	if (told->kind == HR_TOLD_FENCE)
		n += hr_intake_fence(s->intake, told->fence_no);
	hr_receive_dropped(w->receive, HR_DROP_FENCED, n);
}

static void swap_fold(struct hr_worker *w, struct hr_worker_shard *s,
		      struct hr_link *told)
{
	struct hr_fold *old = s->fold;

	s->fold = told->fold;
	told->fold = old;
	hr_worker_obey_chain(s);
	show_totals(s);
	if (s->seat == NULL)
		return;
	s->seat->fold = s->fold;
	hr_receive_dropped(w->receive, HR_DROP_FENCED,
			   hr_streams_set_fold(s->seat->streams, s->fold));
}

/* What is no link. */
static void obey(struct hr_worker *w, struct hr_worker_shard *s, struct hr_link *told)
{
	switch (told->kind) {
	case HR_TOLD_FENCE:
	case HR_TOLD_LOST:
		fenced(w, s, told);
		break;
	case HR_TOLD_STATE:
		swap_fold(w, s, told);
		break;
	case HR_TOLD_LINK:
		break;
	}
}

static void take_told(struct hr_worker *w)
{
	void *got;

	while (rte_ring_dequeue(w->accepted, &got) == 0) {
		struct hr_link *told = got;
		struct hr_worker_shard *s = w->by_shard[told->shard];

		assert(s->n_told < HR_TOLD_MOST); /* the committer keeps its window */
		s->told[(s->told_at + s->n_told++) % HR_TOLD_MOST] = told;
	}
}

/* The first is done: back to the committer. */
static void give_back(struct hr_worker *w, struct hr_worker_shard *s)
{
	struct hr_link *told = s->told[s->told_at];
	int r;

	s->told_at = (s->told_at + 1) % HR_TOLD_MOST;
	s->n_told--;
	s->has_begun = false;
	r = rte_ring_enqueue(w->folded, told);
	assert(r == 0); /* it cannot be full: the committer keeps HR_OWNER_WINDOW */
	(void)r;
}

/* Floors go up and ACKs out as soon as the link before is folded, whatever other shards
 * have to fold. */
static void begin(struct hr_worker *w, struct hr_worker_shard *s,
		  const struct hr_now *now)
{
	while (s->n_told > 0 && !s->has_begun) {
		struct hr_link *told = s->told[s->told_at];
		int r;

		if (told->kind != HR_TOLD_LINK) {
			obey(w, s, told);
			give_back(w, s);
			continue;
		}
		if (HR_MUTANT(floors_after_ack) && s->seat != NULL) {
			hr_streams_accepted(s->seat->streams, told, now->mono_us);
			hr_receive_tell(w->receive, s->shard, now);
		}
		r = hr_fold_begin(s->fold, told);
		if (r < 0) {
			fail(w, told, r);
			return;
		}
		HR_CRASH_POINT(floors_raised);
		s->has_begun = true;
		if (s->seat == NULL)
			return;
		hr_streams_accepted(s->seat->streams, told, now->mono_us);
		hr_receive_tell(w->receive, s->shard, now);
	}
}

static void slice(struct hr_worker *w, struct hr_worker_shard *s)
{
	struct hr_link *link = s->told[s->told_at];

	if (!hr_fold_step(s->fold, FOLD_SLICE))
		return;
	if (link->body_kind == HR_BODY_CONFIG)
		hr_worker_obey_chain(s);
	link->next_due_us = hr_fold_next_due(s->fold);
	show_totals(s);
	give_back(w, s);
}

/* Answers leave, and acknowledgements among them end a wait. */
static void send_answers(struct hr_worker *w)
{
	uint64_t wall_us;

	hr_receive_flush(w->receive);
	wall_us = hr_wall_us();
	for (uint32_t i = 0; i < w->n_shards; i++)
		if (w->shards[i].seat != NULL)
			hr_receive_observe(w->receive, w->shards[i].shard, wall_us);
}

/* A slice of one shard, the next one's in the next round. */
static bool fold_some(struct hr_worker *w, const struct hr_now *now)
{
	if (atomic_load_explicit(&w->has_failed, memory_order_relaxed))
		return false;
	take_told(w);
	for (uint32_t i = 0; i < w->n_shards; i++)
		begin(w, &w->shards[i], now);
	send_answers(w); /* folding can wait */
	if (atomic_load_explicit(&w->has_failed, memory_order_relaxed))
		return false;
	for (uint32_t i = 1; i <= w->n_shards; i++) {
		uint32_t at = (w->first_to_fold + i) % w->n_shards;

		if (!w->shards[at].has_begun)
			continue;
		w->first_to_fold = at;
		slice(w, &w->shards[at]);
		return true;
	}
	return false;
}

/* Returns whether anything of this worker's shards is open or on its way. */
static bool step_shards(struct hr_worker *w, const struct hr_now *now, bool must_close)
{
	const uint32_t min_interval_us =
		atomic_load_explicit(&w->min_interval_us, memory_order_relaxed);
	uint64_t n_closed = 0;
	bool is_busy = false;

	for (uint32_t i = 0; i < w->n_shards; i++) {
		struct hr_worker_shard *s = &w->shards[i];

		if (s->seat != NULL)
			hr_receive_tell(w->receive, s->shard, now);
		hr_intake_step(s->intake, now->mono_us, min_interval_us, must_close);
		n_closed += s->intake->n_closed;
		show_in_flight(s);
		is_busy |= hr_intake_is_busy(s->intake);
		if (s->seat != NULL)
			is_busy |= hr_streams_is_busy(s->seat->streams);
	}
	w->n_closed = n_closed;
	send_answers(w);
	return is_busy;
}

static void count_busy(struct hr_worker *w, uint64_t now_us, bool had_work)
{
	if (had_work)
		w->busy_us += now_us - w->last_us;
	w->last_us = now_us;
	if (now_us - w->second_us < SECOND_US)
		return;
	hr_stat_set(w->busy_permille, w->busy_us * 1000 / (now_us - w->second_us));
	w->busy_us = 0;
	w->second_us = now_us;
}

static void idle(struct hr_worker *w, bool is_busy)
{
	w->idle_rounds++;
	if (!w->polls_busy && w->n_rung != w->n_closed) {
		w->n_rung = w->n_closed;
		hr_bell_ring(w->closed_bell);
	}
	if (w->polls_busy || w->idle_rounds < SPIN_ROUNDS) {
		rte_pause();
		return;
	}
	hr_stat_add(w->sleeps, 1);
	if (is_busy)
		hr_bell_wait(w->accepted_bell, NAP_US);
	else
		hr_receive_wait(w->receive,
				w->has_company ? COMPANY_SLEEP_US : IDLE_SLEEP_US);
}

static void follow(struct hr_worker *w, unsigned int wanted, const struct hr_now *now)
{
	if (wanted >= HR_WORK_QUIET)
		hr_receive_end_queues(w->receive, now);
	if (wanted >= HR_WORK_CLOSE) {
		hr_receive_end_rings(w->receive, now);
		step_shards(w, now, true);
	}
	/* Pairs with the acquire in hr_workers_to(): the main thread sees what was
	 * put on rings before. */
	atomic_store_explicit(&w->reached, wanted, memory_order_release);
}

/*
 * Where the core is not the worker's alone, a port that cannot wait loses beacons while
 * somebody else has it. The highest ordinary priority, not a real-time one: a worker
 * that polls for ever must not starve the kernel's own threads on its core.
 */
#define WORKER_NICE (-20)

static void take_precedence(void)
{
	/* Of this thread alone (setpriority(2), C library/kernel differences). Without
	 * the permission it goes on as it is. */
	(void)setpriority(PRIO_PROCESS, 0, WORKER_NICE);
	prctl(PR_SET_TIMERSLACK, 1000ul); /* 50 us by default: half of a short sleep */
}

int hr_worker_run(void *arg)
{
	struct hr_worker *w = arg;
	unsigned int phase = HR_WORK_RUN;
	bool had_work = false;

	take_precedence();
	hr_poison_arm_thread();
	w->last_us = w->second_us = hr_mono_us();
	while (phase < HR_WORK_END) {
		const struct hr_now now = { hr_mono_us(), hr_wall_us() };
		/* Pairs with the release in hr_workers_to(). */
		unsigned int wanted =
			atomic_load_explicit(&w->wanted, memory_order_acquire);
		bool is_busy;

		count_busy(w, now.mono_us, had_work);
		if (wanted != phase) {
			follow(w, wanted, &now);
			phase = wanted;
		}
		had_work = fold_some(w, &now);
		if (phase == HR_WORK_RUN)
			had_work |= hr_receive_poll(w->receive, &now) > 0;
		/* At CLOSE only answers cross: every question has its verdict. */
		if (phase < HR_WORK_END)
			had_work |= hr_receive_take_over(w->receive, &now) > 0;
		is_busy = step_shards(w, &now, phase == HR_WORK_CLOSE);
		if (had_work)
			w->idle_rounds = 0;
		else
			idle(w, is_busy);
	}
	return 0;
}

bool hr_workers_to(struct hr_worker *workers, uint32_t n, enum hr_phase_of_work phase,
		   uint32_t wait_ms)
{
	const uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	for (uint32_t i = 0; i < n; i++)
		/* Pairs with the acquire in hr_worker_run(). */
		atomic_store_explicit(&workers[i].wanted, phase, memory_order_release);
	for (uint32_t i = 0; i < n; i++) {
		/* Pairs with the release in follow(). */
		while (atomic_load_explicit(&workers[i].reached, memory_order_acquire) <
		       phase) {
			if (hr_mono_us() > until_us)
				return false;
			usleep(200);
		}
	}
	return true;
}
