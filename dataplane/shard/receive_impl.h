/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RECEIVE_IMPL_H
#define HR_RECEIVE_IMPL_H

#include <rte_mbuf.h>

#include "dataplane/shard/receive.h"

#define HR_RX_BURST 32u

/* What crosses with an mbuf, in its headroom. */
struct hr_handed {
	struct hr_item item; /* payload points into the mbuf */
	uint16_t shard;
	bool is_lossless;
	bool is_further; /* not the first piece of its datagram */
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
	struct hr_batch in[HR_WORKERS_MAX], out[HR_WORKERS_MAX];
	uint32_t n_lanes;
	struct hr_lane lanes[];
};

#endif
