/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "dataplane/shard/receive_impl.h"
#include "dataplane/stats/names.h"

static const char *const asked_labels[HR_ASKED_KINDS] = {
	[HR_ASKED_HELLO] = "hello",
	[HR_ASKED_PROBE] = "probe",
	[HR_ASKED_SKIP] = "skip",
};

void hr_known_owner_set(struct hr_known_owner *known, const char *text)
{
	uint64_t words[HR_OWNER_WORDS] = { strnlen(text, HR_WIRE_ADDRESSES_MAX) };
	uint64_t version = atomic_load_explicit(&known->version, memory_order_relaxed);

	memcpy(&words[1], text, words[0]);
	/* The reader sees an odd version, or both the same, around what it reads. */
	atomic_store_explicit(&known->version, version + 1, memory_order_seq_cst);
	for (uint32_t i = 0; i < HR_OWNER_WORDS; i++)
		atomic_store_explicit(&known->words[i], words[i], memory_order_seq_cst);
	atomic_store_explicit(&known->version, version + 2, memory_order_seq_cst);
}

static void add_rows(struct hr_receive *r)
{
	struct hr_stats *stats = r->conf.stats;
	const uint32_t w = r->conf.worker;

	hr_stats_next_writer(stats);
	r->received = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_RECEIVED,
					  "worker=\"%u\"", w);
	r->split = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_SPLIT,
				       "worker=\"%u\"", w);
	r->repeated = hr_stats_add_metric(stats, HR_METRIC_DATAGRAMS_REPEATED,
					  "worker=\"%u\"", w);
	r->answers_sent =
		hr_stats_add_metric(stats, HR_METRIC_ANSWERS_SENT, "worker=\"%u\"", w);
	r->answers_lost =
		hr_stats_add_metric(stats, HR_METRIC_ANSWERS_LOST, "worker=\"%u\"", w);
	r->ack_latency =
		hr_stats_add_metric(stats, HR_METRIC_ACK_LATENCY, "worker=\"%u\"", w);
	for (uint32_t i = 0; i < HR_ASKED_KINDS; i++)
		r->answered[i] = hr_stats_add_metric(
			stats, HR_METRIC_DATAGRAMS_ANSWERED,
			"worker=\"%u\",kind=\"%s\"", w, asked_labels[i]);
	for (int i = HR_DROP_NONE + 1; i < HR_DROP_COUNT; i++) {
		const struct hr_drop_row *row = &hr_drop_rows[i];

		r->verdicts[i] = hr_stats_add_metric(
			stats,
			row->stage == HR_STAGE_refused ? HR_METRIC_DATAGRAMS_REFUSED
						       : HR_METRIC_DATAGRAMS_DROPPED,
			"worker=\"%u\",reason=\"%s\"", w, row->label);
	}
}

int hr_receive_new(struct hr_receive **out, const struct hr_receive_conf *conf,
		   struct hr_err *err)
{
	size_t bytes =
		sizeof(struct hr_receive) + conf->n_queues * sizeof(struct hr_lane);
	struct hr_receive *r = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

	if (r == NULL)
		return hr_fail(err, -ENOMEM, "no memory for worker %u", conf->worker);
	memset(r, 0, bytes);
	r->conf = *conf;
	r->n_lanes = conf->n_queues;
	for (uint32_t i = 0; i < r->n_lanes; i++) {
		r->lanes[i].queue = conf->queues[i];
		r->lanes[i].is_lossless = hr_rxq_is_lossless(conf->queues[i]);
	}
	if (conf->seats != NULL)
		hr_tokens_init(&r->tokens, conf->secret, hr_wall_us());
	add_rows(r);
	*out = r;
	return 0;
}

/* Every question has its verdict by now: what is left is answers. */
static void drop_answers(struct hr_receive *r)
{
	void *m;

	for (uint32_t w = 0; w < r->conf.n_workers; w++) {
		for (struct hr_batch *b = &r->in[w]; b->at < b->n; b->at++)
			rte_pktmbuf_free(b->mbufs[b->at]);
		for (struct hr_batch *b = &r->out[w]; b->at < b->n; b->at++)
			rte_pktmbuf_free(b->mbufs[b->at]);
		while (r->conf.from[w] != NULL &&
		       rte_ring_dequeue(r->conf.from[w], &m) == 0)
			rte_pktmbuf_free(m);
	}
	for (uint32_t i = 0; i < r->n_lanes; i++)
		while (r->lanes[i].n_answers > 0)
			rte_pktmbuf_free(r->lanes[i].answers[--r->lanes[i].n_answers]);
}

void hr_receive_free(struct hr_receive *r)
{
	if (r == NULL)
		return;
	drop_answers(r);
	free(r);
}

void hr_receive_wait(const struct hr_receive *r, uint32_t timeout_us)
{
	struct hr_rxq *queues[HR_QUEUES_MAX];
	uint32_t n = 0;

	/* One that is held back is not polled next: a replay whose record has been due
	 * for long would end each wait at once. */
	for (uint32_t i = 0; i < r->n_lanes; i++)
		if (r->lanes[i].at == r->lanes[i].n)
			queues[n++] = r->lanes[i].queue;
	hr_rxq_wait(queues, n, timeout_us);
}
