/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PORT_H
#define HR_PORT_H

/*
 * port - the devices that packets come from, whatever they are: PCI NIC, AF_XDP on a
 * kernel interface, memif, pcap replay. EAL arguments, packet buffers and queues are
 * made from the configuration; people never type them.
 *
 *   config ─▶ hr_eal_start ─▶ hr_ports_open ─▶ hr_ports_start ─▶ workers poll queues
 *
 * Main thread: everything but the hr_rxq calls. Each receive queue is polled by one
 * worker: queue number q of all queues, counted over the ports in order, belongs to
 * worker q % n_workers.
 *
 * Every receive queue has a transmit queue beside it, for answers, and the worker of
 * the one is the worker of the other; a replay has nobody to answer to.
 *
 * memif and pcap lose nothing: a queue that is_lossless must not be polled while its
 * beacons could not be taken. On the others what is not polled in time is missed and
 * counted by the device (hr_ports_read).
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"

struct rte_mbuf;
struct rte_mempool;

/*
 * rte_eal_init() from the configuration: lcore 0 is the main thread on main_cpus,
 * lcore 1 + w is worker w on worker_cpus[w]; --in-memory, huge pages as configured,
 * only the PCI devices named by ports. `program` is argv[0]. Once per process.
 * Returns 0 or a negated errno with err: no huge pages, no permission, not enough
 * memory, ... each with the command that mends it.
 */
int hr_eal_start(const struct hr_config *config, const char *program,
		 struct hr_err *err);
/* The last call before the process ends: waits for the workers' functions to return. */
void hr_eal_stop(void);

struct hr_ports;

/* Make buffers and devices. Errors name the port as the configuration writes it, what
 * was found and the cure. Nothing is received yet. */
int hr_ports_open(struct hr_ports **out, const struct hr_config *config,
		  struct hr_err *err);
int hr_ports_start(struct hr_ports *ports, struct hr_err *err);
/* No worker polls any more. NULL is fine. Every buffer must be back (asserted in debug
 * builds where the device gives its own back). */
void hr_ports_close(struct hr_ports *ports);

struct hr_port_counts {
	uint64_t packets;     /* handed to workers */
	uint64_t missed;      /* the device had no room: never seen by us */
	uint64_t sent;        /* taken over by the device */
	uint64_t send_failed; /* not taken over, at each time that it was tried */
	bool is_up;           /* link; of memif: the peer is there */
	bool is_done;         /* pcap: every record was handed out */
};

/* Main thread; i is the index in config->ports. */
void hr_ports_read(const struct hr_ports *ports, uint32_t i,
		   struct hr_port_counts *out);

/* One receive queue; the worker's own. */
struct hr_rxq;

/* Queues of a worker, at most max into out; returns how many. Cold. */
uint32_t hr_ports_queues(const struct hr_ports *ports, uint32_t worker,
			 struct hr_rxq **out, uint32_t max);
bool hr_rxq_is_lossless(const struct hr_rxq *q);
/* Index of its port in config->ports. */
uint32_t hr_rxq_port(const struct hr_rxq *q);

/* Up to max packets, the caller's from now on; a replay at the file's pace hands out
 * what is due at now_us (monotonic). Hot. */
uint32_t hr_rxq_burst(struct hr_rxq *q, struct rte_mbuf **out, uint32_t max,
		      uint64_t now_us);

/* Where answers to what this queue brought are sent; the same worker's own. NULL: it
 * cannot answer (a replay). */
struct hr_txq;
struct hr_txq *hr_rxq_answers(struct hr_rxq *q);
/* Where the buffers of answers are taken from. A question's own buffer does as well. */
struct rte_mempool *hr_txq_pool(const struct hr_txq *q);

/*
 * Send frames of one segment each. Returns how many the device took over; the rest
 * stays the caller's, untouched, and is counted as failed: there is no room, no link,
 * or no peer. What is taken over is on its way at once, and its buffers come back by
 * themselves. It may still be lost, as everything on a network. Hot.
 *
 * memif: of a queue that has never sent anything one frame is taken, and the others
 * once the main thread has read the port's counts (hr_ports_read): not before then is
 * it known that the peer has a ring for them.
 */
uint32_t hr_txq_burst(struct hr_txq *q, struct rte_mbuf **mbufs, uint32_t n);

/*
 * An idle worker waits here until one of its queues may have packets, or timeout_us
 * is over. AF_XDP sockets wake it at once, a replay when its next record is due; NICs
 * and memif are looked at when the time is over, so the caller keeps it short. Only
 * queues that the caller would poll next: while it is held back, not the lossless ones
 * (n may be 0), or a replay whose record is due makes this return at once.
 */
void hr_rxq_wait(struct hr_rxq *const *queues, uint32_t n, uint32_t timeout_us);

#endif
