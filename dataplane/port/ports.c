/* SPDX-License-Identifier: BSD-3-Clause */

/* The main thread's half of port: devices are made, started, counted and closed. */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "common/log.h"
#include "dataplane/port/capture.h"
#include "dataplane/port/dpdk_log.h"
#include "dataplane/port/pool.h"
#include "dataplane/port/port_impl.h"

#define TRIES 20
#define TRY_AGAIN_US 100000
#define ANY_SOCKET ((unsigned int)SOCKET_ID_ANY)
#define ARGUMENTS_MAX (3 * HR_CONFIG_TEXT)

#define RSS_WANTED                                                                     \
	(RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_IPV6 |          \
	 RTE_ETH_RSS_NONFRAG_IPV6_UDP)
#define OFFLOADS_WANTED (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

static const struct hr_port_kind_ops pcap_ops = { .is_lossless = true };

static const struct hr_port_kind_ops *const kinds[] = {
	[HR_PORT_PCI] = &hr_port_pci,
	[HR_PORT_AF_XDP] = &hr_port_af_xdp,
	[HR_PORT_MEMIF] = &hr_port_memif,
	[HR_PORT_PCAP] = &pcap_ops,
};

int hr_port_argument_suits(const char *value, struct hr_err *err)
{
	size_t n = strcspn(value, ",[]\"'");

	if (value[n] == '\0')
		return 0;
	return hr_fail(err, -EINVAL,
		       "found \"%c\" in %s, which DPDK's device arguments cannot take; "
		       "choose a path without it",
		       value[n], value);
}

int hr_port_fail(struct hr_err *err, int code, const char *what, const char *cure)
{
	char said[300];

	hr_dpdk_log_said(said, sizeof(said));
	return hr_fail(err, code, "%s failed (%s)%s%s", what, strerror(-code), said,
		       cure);
}

static uint16_t rx_nothing(void *queue, struct rte_mbuf **out, uint16_t max)
{
	(void)queue;
	(void)out;
	(void)max;
	return 0;
}

static uint16_t tx_nothing(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	(void)queue;
	(void)mbufs;
	(void)n;
	return 0;
}

static int plug(struct hr_port *port, struct hr_err *err)
{
	char arguments[ARGUMENTS_MAX];
	int r;

	if (port->ops->driver == NULL) {
		snprintf(port->name, sizeof(port->name), "%.63s", port->config.target);
	} else {
		snprintf(port->name, sizeof(port->name), "%s%" PRIu32,
			 port->ops->driver, port->index);
		r = port->ops->arguments(arguments, sizeof(arguments), &port->config,
					 err);
		if (r < 0)
			return r;
		hr_debug("port", "%s: %s", port->name, arguments);
		r = rte_eal_hotplug_add("vdev", port->name, arguments);
		if (r < 0)
			return hr_port_fail(err, r, "making the device", "");
		port->is_plugged = true;
	}
	r = rte_eth_dev_get_port_by_name(port->name, &port->port_id);
	if (r < 0)
		return hr_fail(err, r,
			       "no driver of this DPDK took the device; install the "
			       "package librte-net-* of its maker");
	port->is_configured = true;
	return 0;
}

/* The way back is read off the frame: a tag must stand in it. Devices take it out only
 * where they were told to; not all can be asked. */
static void keep_vlan_tags(const struct hr_port *port)
{
	int offload = rte_eth_dev_get_vlan_offload(port->port_id);

	if (offload < 0 || (offload & RTE_ETH_VLAN_STRIP_OFFLOAD) == 0)
		return;
	if (rte_eth_dev_set_vlan_offload(port->port_id,
					 offload & ~RTE_ETH_VLAN_STRIP_OFFLOAD) < 0)
		hr_warn("port",
			"port %s: found a device that takes VLAN tags out of frames, "
			"expected one that does not: senders behind a tag get no "
			"answers",
			port->config.device);
}

static int configure(struct hr_port *port, struct hr_err *err)
{
	uint16_t n = (uint16_t)port->n_queues;
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = { 0 };
	int r = rte_eth_dev_info_get(port->port_id, &info);

	if (r < 0)
		return hr_port_fail(err, r, "asking the device", "");
	if (n > info.max_rx_queues || n > info.max_tx_queues)
		return hr_fail(
			err, -EINVAL,
			"found a device of at most %u queues, expected the %u of "
			"queues; write fewer",
			info.max_rx_queues < info.max_tx_queues ? info.max_rx_queues
								: info.max_tx_queues,
			n);
	conf.rxmode.offloads = info.rx_offload_capa & OFFLOADS_WANTED;
	if (port->config.kind == HR_PORT_PCI && n > 1) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			info.flow_type_rss_offloads & RSS_WANTED;
		if (conf.rx_adv_conf.rss_conf.rss_hf == 0)
			return hr_fail(err, -EINVAL,
				       "found a device that cannot spread UDP over "
				       "queues, expected one queue; write queues: 1");
	}
	/* One to send beside each to receive: answers go the way the question came. */
	r = rte_eth_dev_configure(port->port_id, n, n, &conf);
	if (r < 0)
		return hr_port_fail(err, r, "configuring the device", "");
	keep_vlan_tags(port);
	return 0;
}

static int set_up_queues(struct hr_port *port, struct rte_mempool *pool,
			 struct hr_err *err)
{
	uint16_t rx = (uint16_t)port->config.rx_descriptors, tx = HR_TX_DESCRIPTORS;
	int r = 0;

	if (port->config.kind == HR_PORT_PCI) {
		r = rte_eth_dev_adjust_nb_rx_tx_desc(port->port_id, &rx, &tx);
		if (r == 0 && rx != port->config.rx_descriptors)
			return hr_fail(err, -EINVAL,
				       "rx_descriptors: found %" PRIu32
				       ", expected what "
				       "the device can do; write %u",
				       port->config.rx_descriptors, rx);
	}
	for (uint16_t q = 0; q < port->n_queues; q++) {
		if (port->ops->queue != NULL) {
			r = port->ops->queue(port, q, pool, err);
			if (r < 0)
				return r;
		} else {
			r = rte_eth_rx_queue_setup(port->port_id, q, rx, ANY_SOCKET,
						   NULL, pool);
		}
		if (r == 0)
			r = rte_eth_tx_queue_setup(port->port_id, q, tx, ANY_SOCKET,
						   NULL);
		if (r < 0)
			return hr_port_fail(err, r, "setting up a queue", "");
	}
	return 0;
}

static int open_device(struct hr_ports *ports, struct hr_port *port, struct hr_err *err)
{
	int r = port->ops->check(&port->config, err);

	if (r == 0 && port->config.kind == HR_PORT_MEMIF)
		r = hr_memif_prepare_socket(ports, port, err);
	hr_dpdk_log_forget();
	if (r == 0)
		r = plug(port, err);
	if (r == 0)
		r = configure(port, err);
	if (r == 0)
		r = set_up_queues(port, ports->pool, err);
	return r;
}

static int open_capture(struct hr_ports *ports, struct hr_port *port,
			struct hr_err *err)
{
	int r = hr_capture_open(&port->capture, port->config.target,
				port->config.pcap_as_fast_as_it_goes, ports->pool, err);

	port->queues[0].capture = port->capture;
	return r;
}

static void make_queue(struct hr_port *port, struct hr_rxq *q)
{
	struct hr_txq *t = &q->answers;

	atomic_init(&q->rx, rx_nothing);
	q->port = port->index;
	q->fd = -1;
	q->is_lossless = port->ops->is_lossless;
	q->is_memif = port->config.kind == HR_PORT_MEMIF;
	atomic_init(&t->tx, tx_nothing);
	t->wants_flushes = port->config.kind == HR_PORT_AF_XDP;
	if (!q->is_memif)
		return;
	t->is_in_burst = &q->is_in_burst;
	t->life = &port->all->life;
}

static int make_queues(struct hr_ports *ports, const struct hr_config *config)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < config->n_ports; i++)
		n += config->ports[i].n_queues;
	ports->queues = aligned_alloc(HR_CACHE_LINE, n * sizeof(*ports->queues));
	if (ports->queues == NULL)
		return -ENOMEM;
	memset(ports->queues, 0, n * sizeof(*ports->queues));
	ports->n_queues = n;
	ports->n_ports = config->n_ports;
	ports->n_workers = config->n_workers;

	n = 0;
	for (uint32_t i = 0; i < config->n_ports; i++) {
		struct hr_port *port = &ports->ports[i];

		port->config = config->ports[i];
		port->ops = kinds[port->config.kind];
		port->index = i;
		port->queues = &ports->queues[n];
		port->n_queues = port->config.n_queues;
		port->all = ports;
		for (uint32_t q = 0; q < port->n_queues; q++, n++)
			make_queue(port, &ports->queues[n]);
	}
	return 0;
}

static int open_all(struct hr_ports **out, const struct hr_config *config,
		    struct hr_err *err)
{
	struct hr_ports *ports = calloc(1, sizeof(*ports));
	int r;

	if (ports == NULL || make_queues(ports, config) < 0) {
		free(ports);
		return hr_fail(err, -ENOMEM, "no memory for the ports");
	}
	r = hr_pool_make(&ports->pool, config, err);
	for (uint32_t i = 0; i < ports->n_queues && r == 0; i++)
		ports->queues[i].answers.pool = ports->pool;
	for (uint32_t i = 0; i < ports->n_ports && r == 0; i++) {
		struct hr_port *port = &ports->ports[i];
		char what[HR_CONFIG_TEXT + 8];

		r = port->config.kind == HR_PORT_PCAP ? open_capture(ports, port, err)
						      : open_device(ports, port, err);
		snprintf(what, sizeof(what), "port %s", port->config.device);
		if (r < 0)
			hr_fail_in(err, r, what);
	}
	if (r < 0) {
		hr_ports_close(ports);
		return r;
	}
	*out = ports;
	return 0;
}

/*
 * The kernel takes an AF_XDP socket off its queue some milliseconds after it was closed
 * or its process died, so a quick restart finds the queue taken. All is made anew for
 * the next try: a driver that fails keeps the buffers it had taken.
 */
int hr_ports_open(struct hr_ports **out, const struct hr_config *config,
		  struct hr_err *err)
{
	int r = open_all(out, config, err);

	for (int i = 1; i < TRIES && r == -EAGAIN; i++) {
		usleep(TRY_AGAIN_US);
		r = open_all(out, config, err);
	}
	return r == -EAGAIN ? -EBUSY : r;
}

int hr_port_start(struct hr_port *port)
{
	const struct rte_eth_fp_ops *fast = &rte_eth_fp_ops[port->port_id];
	int r = rte_eth_dev_start(port->port_id);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < port->n_queues; i++) {
		struct hr_rxq *q = &port->queues[i];

		if (atomic_load_explicit(&q->rx, memory_order_relaxed) != rx_nothing)
			continue; /* a memif that was started before */
		q->rx_queue = fast->rxq.data[i];
		q->answers.queue = fast->txq.data[i];
		/* Pairs with the acquire in hr_txq_burst(). */
		atomic_store_explicit(&q->answers.tx, fast->tx_pkt_burst,
				      memory_order_release);
		/* Pairs with the acquire in hr_rxq_burst(). */
		atomic_store_explicit(&q->rx, fast->rx_pkt_burst, memory_order_release);
	}
	return 0;
}

int hr_ports_start(struct hr_ports *ports, struct hr_err *err)
{
	if (hr_memif_begin(ports) < 0)
		return hr_fail(err, -ENOMEM, "no memory for a timer of the ports");
	for (uint32_t i = 0; i < ports->n_ports; i++) {
		struct hr_port *port = &ports->ports[i];
		char what[HR_CONFIG_TEXT + 8];
		int r;

		if (port->config.kind == HR_PORT_PCAP)
			continue;
		hr_dpdk_log_forget();
		r = hr_port_start(port);
		if (r < 0 && port->config.kind == HR_PORT_MEMIF &&
		    !port->config.memif_is_server) {
			hr_info("port", "%s: found no server yet; it is tried again",
				port->config.device);
			continue;
		}
		if (r < 0) {
			snprintf(what, sizeof(what), "port %s", port->config.device);
			hr_port_fail(err, r, "starting the device", "");
			return hr_fail_in(err, r, what);
		}
	}
	return 0;
}

static void close_port(struct hr_port *port)
{
	hr_capture_close(port->capture);
	if (port->is_configured && port->ops->close != NULL) {
		port->ops->close(port);
	} else if (port->is_configured) {
		rte_eth_dev_stop(port->port_id);
		rte_eth_dev_close(port->port_id);
	}
	if (port->is_plugged)
		rte_eal_hotplug_remove("vdev", port->name);
}

/* memif and pcap keep no buffers; the others take theirs with them. */
static bool gives_all_back(const struct hr_ports *ports)
{
	for (uint32_t i = 0; i < ports->n_ports; i++)
		if (!ports->ports[i].ops->is_lossless)
			return false;
	return true;
}

void hr_ports_close(struct hr_ports *ports)
{
	if (ports == NULL)
		return;
	hr_memif_end(ports);
	for (uint32_t i = ports->n_ports; i-- > 0;)
		close_port(&ports->ports[i]);
	assert(ports->pool == NULL || !gives_all_back(ports) ||
	       rte_mempool_in_use_count(ports->pool) == 0);
	hr_pool_free(ports->pool);
	hr_memif_forget(ports);
	free(ports->queues);
	free(ports);
}

void hr_ports_read(const struct hr_ports *ports, uint32_t i, struct hr_port_counts *out)
{
	const struct hr_port *port = &ports->ports[i];

	memset(out, 0, sizeof(*out));
	/* The workers count; a number a burst old does not matter. */
	for (uint32_t n = 0; n < port->n_queues; n++) {
		const struct hr_rxq *q = &port->queues[n];

		out->packets += atomic_load_explicit(&q->packets, memory_order_relaxed);
		out->sent +=
			atomic_load_explicit(&q->answers.sent, memory_order_relaxed);
		out->send_failed +=
			atomic_load_explicit(&q->answers.failed, memory_order_relaxed);
	}
	if (port->capture != NULL) {
		out->is_done = hr_capture_is_done(port->capture);
		out->is_up = !out->is_done;
		if (hr_capture_is_news_of_failure(port->capture))
			hr_error("port",
				 "port %s: the file was changed while it was read: "
				 "found %" PRIu64 " records, expected %" PRIu64,
				 port->config.device, out->packets,
				 hr_capture_n_records(port->capture));
	} else {
		port->ops->read(port, out);
	}
}

uint32_t hr_ports_queues(const struct hr_ports *ports, uint32_t worker,
			 struct hr_rxq **out, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t q = worker; q < ports->n_queues && n < max; q += ports->n_workers)
		out[n++] = &ports->queues[q];
	return n;
}
