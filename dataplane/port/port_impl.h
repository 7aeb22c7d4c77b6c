/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PORT_IMPL_H
#define HR_PORT_IMPL_H

/*
 * Inside of port: the queues as the worker sees them, the ports as the main thread
 * does, and what one kind of device does differently.
 *
 *     ports.c     opens, starts, reads and closes all of them
 *     pci.c af_xdp.c memif.c   checks, arguments and habits of a kind
 *     capture.c   pcap, which is no DPDK device: net_pcap drops a record when it finds
 *                 no buffer for it, knows neither its end nor the file's pace
 *     port_fast.c, wait.c      the worker's half
 */

#include <stdalign.h>
#include <stdatomic.h>

#include "dataplane/port/port.h"

#define HR_CACHE_LINE 64
#define HR_PORT_QUEUES_MAX 16

struct rte_mempool;
struct hr_capture;

/* DPDK's eth_rx_burst_t. */
typedef uint16_t (*hr_rx_burst)(void *queue, struct rte_mbuf **out, uint16_t max);

/* DPDK's eth_tx_burst_t. */
typedef uint16_t (*hr_tx_burst)(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/* Calls of the device after the last frame, to get its buffer back: the first after this
 * time, each next after twice as long. All of them take a second: far longer than the
 * main thread needs to see that a link is down. */
#define HR_FLUSHES 10u
#define HR_FLUSH_US 1000u

struct hr_txq {
	/* As rx and rx_queue below; until then a function that takes nothing. */
	_Atomic(hr_tx_burst) tx;
	void *queue;
	struct rte_mempool *pool;
	atomic_bool *is_in_burst;     /* of a memif: the receive queue's */
	const _Atomic uint32_t *life; /* of a memif: see hr_ports.life */
	/*
	 * The driver of AF_XDP sends, and takes back what was sent, when it is called,
	 * and only then. So it is called some more times when nothing is to be sent.
	 * While the link is down it would keep what it is given, a whole ring of
	 * buffers, so it is given nothing, and is called again when the link is back.
	 */
	bool wants_flushes;
	atomic_bool is_shut; /* the main thread writes */
	uint8_t flushes_left;
	uint64_t flush_us; /* when the next is due; 0: not known yet */

	/* The main thread writes: 1 + the life in which the peer was known to have this
	 * ring. */
	_Atomic uint32_t proven;
	uint32_t lacking; /* the same of the peer's not having it */
	/* The worker writes, the main thread reads. */
	_Atomic uint64_t sent, failed;
};

struct hr_rxq {
	/*
	 * The driver's function and queue, as rte_eth_rx_burst() would look them up at
	 * every call. Looked up once instead, because a memif client whose server went
	 * away is stopped and started under the worker's hands: that takes them out of
	 * DPDK's table for a moment, not out of memory. rx is stored last, by whoever
	 * starts the device; until then it is a function that brings nothing.
	 */
	alignas(HR_CACHE_LINE) _Atomic(hr_rx_burst) rx;
	void *rx_queue;
	struct hr_capture *capture; /* of a pcap: read instead */
	uint32_t port;              /* index in config->ports */
	bool is_lossless;
	bool is_memif;
	int fd; /* poll() on it tells of packets; -1 = there is none */

	/* The worker writes, the main thread reads. */
	alignas(HR_CACHE_LINE) _Atomic uint64_t packets;
	atomic_bool is_in_burst; /* of a memif, in either direction */

	alignas(HR_CACHE_LINE) struct hr_txq answers;
};

/* port_fast.c: let the device send and give back what it had not yet, where that is due.
 * Returns how long until it is again: UINT64_MAX where it is done. */
uint64_t hr_txq_flush(struct hr_txq *q, uint64_t now_us, bool is_idle);

struct hr_port;

/* What a kind of device does its own way. NULL where it has nothing to do. */
struct hr_port_kind_ops {
	const char *driver; /* its vdev is called <driver><index>; NULL: a PCI device */
	bool is_lossless;
	/* Before the device is made: is what it stands on fit? */
	int (*check)(const struct hr_port_config *config, struct hr_err *err);
	/* Arguments of the vdev. Returns as snprintf() does, or a negated errno. */
	int (*arguments)(char *out, size_t max, const struct hr_port_config *config,
			 struct hr_err *err);
	/* Instead of plain rte_eth_rx_queue_setup(). */
	int (*queue)(struct hr_port *port, uint16_t queue, struct rte_mempool *pool,
		     struct hr_err *err);
	/* Instead of plain rte_eth_dev_stop() and _close(). */
	void (*close)(struct hr_port *port);
	/* missed and is_up. */
	void (*read)(const struct hr_port *port, struct hr_port_counts *out);
};

struct hr_port {
	struct hr_port_config config;
	const struct hr_port_kind_ops *ops;
	uint32_t index;
	char name[64]; /* of the DPDK device */
	uint16_t port_id;
	bool is_plugged;    /* the vdev is made */
	bool is_configured; /* port_id is ours and must be closed */
	bool was_down;      /* memif client: at the last look; interrupt thread only */
	struct hr_capture *capture;
	struct hr_rxq *queues;
	uint32_t n_queues;
	struct hr_ports *all;
};

struct hr_ports {
	struct hr_port ports[HR_PORTS_MAX];
	uint32_t n_ports;
	uint32_t n_workers;
	struct rte_mempool *pool;
	struct hr_rxq *queues; /* of all ports, in order */
	uint32_t n_queues;
	bool has_retry; /* the alarm of memif clients runs */
	/* Grows whenever a memif's rings may have gone, before they do. */
	_Atomic uint32_t life;
};

extern const struct hr_port_kind_ops hr_port_pci;
extern const struct hr_port_kind_ops hr_port_af_xdp;
extern const struct hr_port_kind_ops hr_port_memif;

/* Start a DPDK device and let its queues be polled. Returns 0 or a negated errno. */
int hr_port_start(struct hr_port *port);

/* A failure of DPDK's, with what it said first, and a cure or "". Returns code. */
int hr_port_fail(struct hr_err *err, int code, const char *what, const char *cure);

/* A text that may stand as a value in device arguments, which know no quoting. */
int hr_port_argument_suits(const char *value, struct hr_err *err);

/* memif.c: before a server is made, a socket file left by a killed one goes. */
int hr_memif_prepare_socket(const struct hr_ports *ports, const struct hr_port *port,
			    struct hr_err *err);

/* memif.c: has a queue brought something that the peer does not have? */
bool hr_memif_lacks_queues(const struct hr_port *port);

/* memif.c: main thread; find out which rings for answers the peer has. */
void hr_memif_prove(const struct hr_port *port);

/* memif.c: before the devices start. From now on bursts are guarded and clients are
 * connected whose server is not there (yet, or any more). Returns 0 or -ENOMEM. */
int hr_memif_begin(struct hr_ports *ports);
/* Before the devices close: no more attempts. */
void hr_memif_end(struct hr_ports *ports);
/* Before the queues' memory goes. */
void hr_memif_forget(struct hr_ports *ports);

#endif
