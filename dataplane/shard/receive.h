/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RECEIVE_H
#define HR_RECEIVE_H

/*
 * receive - one worker's way from its queues to the epochs of the shards' owners:
 * headers, beacon, route.
 *
 *   queue ─▶ net ─▶ beacon ─┬─ own shard ─────────────────▶ intake
 *                           └─ another's ─▶ [mbuf pointer] ─▶ its worker ─▶ intake
 *
 * A datagram crosses between workers at most once, as an mbuf, on a ring with one
 * producer and one consumer; what is known of it (its item) lies in the mbuf's
 * headroom. Pieces of a headerless datagram cross in mbufs of their own.
 *
 * A queue that loses nothing (memif, pcap) is held back: when the next datagram of a
 * burst has no place, the rest of the burst waits here and the queue is not polled.
 * On other queues it is dropped under its name.
 *
 * Counting: whoever gives a datagram (or piece) its verdict counts it received too,
 * so a datagram that waits is not in the ledger yet. Hot; one worker.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/net/net.h"
#include "dataplane/poison/barred.h"
#include "dataplane/port/port.h"
#include "dataplane/shard/intake.h"
#include "dataplane/shard/streams.h"
#include "dataplane/stats/stats.h"

#define HR_QUEUES_MAX (HR_PORTS_MAX * 16u)
/* Datagrams on their way from one worker to another. */
#define HR_HANDOVER_SLOTS 1024u

/* The addresses of a shard's owner, as the main thread knows them; workers read them
 * without asking (a seqlock: odd while they are written). */
#define HR_OWNER_WORDS 18u
struct hr_known_owner {
	_Alignas(64) _Atomic uint64_t version;
	_Atomic uint64_t words[HR_OWNER_WORDS]; /* length, then the text */
};

/* Main thread. text: at most HR_WIRE_ADDRESSES_MAX bytes. */
void hr_known_owner_set(struct hr_known_owner *known, const char *text);

/* What an acknowledging shard is to its worker, beside its intake. */
struct hr_seat {
	struct hr_streams *streams;
	const struct hr_fold
		*fold; /* the worker's; another one behind a HR_TOLD_STATE */
	struct hr_known_owner owner;
};

struct hr_receive_conf {
	uint32_t worker, n_workers;
	const uint8_t *worker_of_shard;
	struct hr_beacon_rules rules;
	const struct hr_net_ports *udp_ports;
	const struct hr_barred *barred; /* dropped unread; NULL: none is */
	struct hr_intake *intakes; /* by shard; only those of this worker are touched */
	/* The same, where SDKs are acknowledged; NULL: they are not. */
	struct hr_seat *seats;
	uint8_t secret[HR_SECRET_BYTES]; /* of address tokens */
	uint64_t max_age_us;             /* streams.max_age: told with CHALLENGE */
	/* Hand-over rings by the other worker: NULL at one's own place. */
	struct rte_ring *from[HR_WORKERS_MAX], *to[HR_WORKERS_MAX];
	struct hr_rxq *queues[HR_QUEUES_MAX];
	uint32_t n_queues;
	struct hr_stats *stats; /* rows for this worker are added */
};

struct hr_receive;

/* Returns 0 or -ENOMEM with err. Cold. */
int hr_receive_new(struct hr_receive **out, const struct hr_receive_conf *conf,
		   struct hr_err *err);
void hr_receive_free(struct hr_receive *r);

/* A burst from every queue; returns how many datagrams got a verdict. */
uint32_t hr_receive_poll(struct hr_receive *r, const struct hr_now *now);

/* What other workers handed over. */
uint32_t hr_receive_take_over(struct hr_receive *r, const struct hr_now *now);

/* ACKs of a shard that are due, and what else its streams have to do now. */
void hr_receive_tell(struct hr_receive *r, uint16_t shard, const struct hr_now *now);
/* Answers that wait to leave, by the queues here and the rings to other workers: at the
 * end of each round. */
void hr_receive_flush(struct hr_receive *r);
/* Answers were flushed: what of this shard they acknowledge has waited until now. */
void hr_receive_observe(struct hr_receive *r, uint16_t shard, uint64_t wall_us);
/* So many datagrams that had been taken are dropped. */
void hr_receive_dropped(struct hr_receive *r, enum hr_drop reason, uint32_t n);

/* Nothing is polled any more: what waits here is dropped as HR_DROP_SHUTDOWN. First
 * the bursts of the queues; when all workers have done that, the rings. */
void hr_receive_end_queues(struct hr_receive *r, const struct hr_now *now);
void hr_receive_end_rings(struct hr_receive *r, const struct hr_now *now);

/* Idle: wait until a queue that would be polled next has something, or timeout_us is
 * over. One that is held back is left out: it has something already. */
void hr_receive_wait(const struct hr_receive *r, uint32_t timeout_us);

#endif
