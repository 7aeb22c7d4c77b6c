/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RECEIVE_IMPL_H
#define HR_RECEIVE_IMPL_H

#include <rte_mbuf.h>

#include "dataplane/shard/receive.h"

#define HR_RX_BURST 32u

enum hr_handed_kind {
	HR_HANDED_ITEM,     /* to be appended */
	HR_HANDED_QUESTION, /* authentic; to be judged by its shard's streams */
	HR_HANDED_ANSWER,   /* a whole frame, to leave by one of the lanes there */
};

/* What crosses with an mbuf, in its headroom. */
struct hr_handed {
	uint8_t kind;
	uint8_t worker, lane; /* where a question came from; where an answer leaves */
	bool is_lossless;
	bool is_further; /* not the first piece of its datagram */
	uint16_t shard;
	union {
		struct hr_item item; /* payload points into the mbuf */
		struct {
			struct hr_net_beacon beacon; /* the same */
			uint64_t received_us;
		} question;
	};
};
_Static_assert(sizeof(struct hr_handed) <= RTE_PKTMBUF_HEADROOM,
	       "what is known of a datagram lies in front of it");

/* A receive queue with the burst that is being worked on: mbufs[at..n) are ours. */
struct hr_lane {
	struct hr_rxq *queue;
	bool is_lossless;
	uint32_t at, n;
	uint64_t received_us;
	struct rte_mbuf *mbufs[HR_RX_BURST];
	struct hr_net_beacon beacons[HR_RX_BURST];
	uint8_t verdicts[HR_RX_BURST];
	/* The headerless datagram at `at`, while its pieces are given away. */
	bool is_split;
	uint32_t piece;
	struct hr_split split;
	/* Answers that leave by this queue at the end of the poll. */
	uint32_t n_answers;
	struct rte_mbuf *answers[HR_RX_BURST];
};

enum hr_asked {
	HR_ASKED_HELLO,
	HR_ASKED_PROBE,
	HR_ASKED_SKIP,
	HR_ASKED_KINDS
};

/* mbufs[at..n) wait to be taken (from another worker) or to be put on the ring (to
 * one, at the end of the poll; at is 0). */
struct hr_batch {
	uint32_t at, n;
	struct rte_mbuf *mbufs[HR_RX_BURST];
};

struct hr_receive {
	struct hr_receive_conf conf;
	hr_cell *received, *split;
	hr_cell *verdicts[HR_DROP_COUNT]; /* refused or dropped */
	hr_cell *repeated, *answered[HR_ASKED_KINDS];
	hr_cell *answers_sent, *answers_lost;
	hr_cell *ack_latency;
	struct hr_tokens tokens;
	struct rte_mempool *pool;       /* of answers; NULL until something came */
	char owner[HR_OWNER_WORDS * 8]; /* scratch: addresses for NOT_OWNER */
	struct hr_batch in[HR_WORKERS_MAX], out[HR_WORKERS_MAX];
	uint32_t n_lanes;
	struct hr_lane lanes[];
};

/* receive_fast.c */
void hr_receive_flush_rings(struct hr_receive *r);
void hr_receive_count(struct hr_receive *r, enum hr_drop verdict, bool is_further);
bool hr_receive_hand_over(struct hr_receive *r, uint32_t worker,
			  const struct hr_handed *what, struct rte_mbuf *m);

/* questions_fast.c: where SDKs are acknowledged. The datagram at lane->at; its mbuf goes
 * away. */
void hr_question_take(struct hr_receive *r, struct hr_lane *lane,
		      const struct hr_now *now);
/* Start the cache misses of a whole burst's streams. */
void hr_questions_prefetch(const struct hr_receive *r, const struct hr_lane *lane);
/* One that another worker looked at, or an answer of another worker's. */
void hr_question_take_handed(struct hr_receive *r, struct rte_mbuf *m,
			     const struct hr_now *now);

#endif
