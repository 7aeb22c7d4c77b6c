/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include <rte_mbuf.h>

#include "dataplane/port/port.h"
#include "tests/fake/rxq.h"

bool hr_rxq_is_lossless(const struct hr_rxq *q)
{
	return q->is_lossless;
}

uint32_t hr_rxq_burst(struct hr_rxq *q, struct rte_mbuf **out, uint32_t max,
		      uint64_t now_us)
{
	uint32_t n = 0;

	(void)now_us;
	for (; n < max && q->at < q->n; n++, q->at++) {
		char *p;

		out[n] = rte_pktmbuf_alloc(q->pool);
		if (out[n] == NULL)
			break; /* a device would leave it in its ring */
		p = rte_pktmbuf_append(out[n], (uint16_t)q->bytes[q->at]);
		memcpy(p, q->frames[q->at], q->bytes[q->at]);
	}
	return n;
}

const struct hr_rxq *fake_answer_queue[FAKE_ANSWERS];
uint64_t fake_answered_bytes;
uint32_t fake_n_answers, fake_answer_bytes[FAKE_ANSWERS];
uint8_t fake_answers[FAKE_ANSWERS][2048];

struct hr_txq *hr_rxq_answers(struct hr_rxq *q)
{
	return (struct hr_txq *)q;
}

uint32_t hr_txq_burst(struct hr_txq *q, struct rte_mbuf **mbufs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = fake_n_answers++ % FAKE_ANSWERS;

		fake_answer_queue[at] = (const struct hr_rxq *)q;
		fake_answered_bytes += mbufs[i]->pkt_len;

		fake_answer_bytes[at] = mbufs[i]->pkt_len;
		memcpy(fake_answers[at], rte_pktmbuf_mtod(mbufs[i], void *),
		       mbufs[i]->pkt_len);
		rte_pktmbuf_free(mbufs[i]);
	}
	return n;
}

uint32_t fake_waited_for;

void hr_rxq_wait(struct hr_rxq *const *queues, uint32_t n, uint32_t timeout_us)
{
	(void)queues;
	fake_waited_for = n;
	(void)timeout_us;
}
