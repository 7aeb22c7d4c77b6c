/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Over memif: a DPDK process of its own with one device, on ordinary memory, so that
 * it runs beside a dataplane without sharing anything but the socket. Frames of shard
 * s go to queue s % n_queues, which keeps the order of a user's events.
 *
 * Nothing is lost here: a full ring is tried again until the peer made room, and at
 * the end the rings must be empty before the device goes away. memif_drain.c says how
 * that is known.
 */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "common/clock.h"
#include "tools/gen/memif_drain.h"
#include "tools/gen/way.h"

#define BURST 32
#define QUEUES_MAX 16
#define RING_LOG2 11
#define MBUFS 2047 /* few, so that they stay in the cache */
#define ARG_BYTES 512
#define CONNECT_US 200000
#define GOOD_BYE_MS 20

struct queue {
	uint32_t n;
	uint32_t n_events[BURST];
	struct rte_mbuf *burst[BURST];
};

struct hr_way {
	uint16_t port;
	bool is_server, is_eal_up, is_started;
	uint32_t n_queues, stall_ms;
	uint64_t datagrams, events;
	struct rte_mempool *pool;
	struct hr_headers headers[QUEUES_MAX]; /* a source port a queue */
	struct queue queues[QUEUES_MAX];
};

/* "0@(1)" or, wherever the process may run, "0@(0,1,2)". */
static void lcores(uint32_t cpu, char *out, size_t max)
{
	size_t at = (size_t)snprintf(out, max, "--lcores=0@(");
	cpu_set_t may;
	const char *comma = "";

	CPU_ZERO(&may);
	if (cpu != UINT32_MAX)
		CPU_SET(cpu, &may);
	else
		(void)sched_getaffinity(0, sizeof(may), &may);
	for (size_t i = 0; i < CPU_SETSIZE && at + 8 < max; i++) {
		if (!CPU_ISSET(i, &may))
			continue;
		at += (size_t)snprintf(out + at, max - at, "%s%zu", comma, i);
		comma = ",";
	}
	(void)snprintf(out + at, max - at, ")");
}

/* A server that was killed leaves its socket behind, and the next one could not make
 * its own. Where somebody listens it stays, and DPDK says so. */
static void clear_dead_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 &&
	    errno == ECONNREFUSED)
		(void)unlink(path);
	close(fd);
}

static int start_eal(const struct hr_way_conf *conf, bool is_server, const char *path,
		     struct hr_err *err)
{
	char cores[ARG_BYTES], device[ARG_BYTES], prefix[64];
	char *args[] = { "headrace-gen",
			 "--no-huge",
			 "-m",
			 "64",
			 "--no-pci",
			 "--no-shconf",
			 prefix,
			 "--no-telemetry",
			 "--iova-mode=va",
			 cores,
			 device,
			 "--log-level=*:error",
			 "--log-level=pmd.net.memif:critical" };

	lcores(conf->cpu, cores, sizeof(cores));
	snprintf(prefix, sizeof(prefix), "--file-prefix=headrace-gen-%d", getpid());
	if (snprintf(device, sizeof(device),
		     "--vdev=net_memif0,role=%s,socket=%s,socket-abstract=no,id=%u,"
		     "rsize=%d",
		     is_server ? "server" : "client", path, conf->memif_id,
		     RING_LOG2) >= (int)sizeof(device))
		return hr_fail(err, -ENAMETOOLONG, "%s: the path is too long", path);
	if (rte_eal_init((int)(sizeof(args) / sizeof(args[0])), args) < 0)
		return hr_fail(err, -EIO,
			       "DPDK did not start with memif on %s: %s (its own lines "
			       "stand above)",
			       path, rte_strerror(rte_errno));
	return 0;
}

static int make_port(struct hr_way *way, struct hr_err *err)
{
	struct rte_eth_conf none;
	int r;

	memset(&none, 0, sizeof(none));
	if (rte_eth_dev_get_port_by_name("net_memif0", &way->port) < 0)
		return hr_fail(err, -ENODEV,
			       "DPDK has no memif device: its driver is missing, or "
			       "another process serves the socket");
	way->pool = rte_pktmbuf_pool_create("frames", MBUFS, 64, 0,
					    RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (way->pool == NULL)
		return hr_fail(err, -ENOMEM, "no memory for frames");
	r = rte_eth_dev_configure(way->port, 1, (uint16_t)way->n_queues, &none);
	for (uint16_t q = 0; r == 0 && q < way->n_queues; q++)
		r = rte_eth_tx_queue_setup(way->port, q, 1 << RING_LOG2, 0, NULL);
	if (r == 0)
		r = rte_eth_rx_queue_setup(way->port, 0, 1 << RING_LOG2, 0, NULL,
					   way->pool);
	return r < 0 ? hr_fail(err, r, "memif: %s", rte_strerror(-r)) : 0;
}

static bool is_connected(const struct hr_way *way)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(way->port, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

static void stop(struct hr_way *way)
{
	if (way->is_started)
		(void)rte_eth_dev_stop(way->port);
	way->is_started = false;
}

/*
 * A server listens for as long as it is started. A client of DPDK 22.11 asks once, at
 * its start: it fails where nobody listens yet, and where the server is there but not
 * its interface it is sent away and never asks again. So it is started anew.
 */
static bool try_peer(struct hr_way *way, uint64_t until_us)
{
	const uint64_t now = hr_mono_us();
	const uint64_t attempt_us = way->is_server ? until_us : now + CONNECT_US;

	if (!way->is_started)
		way->is_started = rte_eth_dev_start(way->port) == 0;
	while (hr_mono_us() < attempt_us) {
		if (way->is_started && is_connected(way))
			return true;
		poll(NULL, 0, 5);
	}
	if (!way->is_server)
		stop(way);
	return false;
}

static int await_peer(struct hr_way *way, const char *path, uint32_t wait_ms,
		      struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;

	do {
		if (try_peer(way, until_us))
			return 0;
	} while (hr_mono_us() < until_us);
	return hr_fail(err, -ETIMEDOUT,
		       "memif %s: no peer came within %u ms: start the dataplane with "
		       "device memif:%s:%s",
		       path, wait_ms, way->is_server ? "client" : "server", path);
}

static void memif_close(struct hr_way *way)
{
	if (way == NULL)
		return;
	stop(way);
	if (way->is_eal_up) {
		/* No rte_eal_cleanup(): DPDK's interrupt thread may be busy with the
		 * peer's good-bye and reads what that would unmap (seen as a crash in
		 * rte_intr_fd_get(), DPDK 22.11). The process ends behind this anyway;
		 * all that stays is the empty folder that EAL made. */
		poll(NULL, 0, GOOD_BYE_MS);
		(void)rte_eth_dev_close(way->port);
		(void)rmdir(rte_eal_get_runtime_dir());
	}
	free(way);
}

static int parse(const struct hr_way_conf *conf, bool *is_server, const char **path,
		 struct hr_err *err)
{
	const char *target = hr_way_target(conf);

	*is_server = strncmp(target, "server:", 7) == 0;
	if (!*is_server && strncmp(target, "client:", 7) != 0)
		return hr_fail(err, -EINVAL,
			       "--to %s: expected memif:client:SOCKET or "
			       "memif:server:SOCKET",
			       conf->to);
	*path = target + 7;
	if (conf->n_queues < 1 || conf->n_queues > QUEUES_MAX)
		return hr_fail(err, -EINVAL, "--queues %u: expected 1 to %d",
			       conf->n_queues, QUEUES_MAX);
	if (conf->cpu != UINT32_MAX && conf->cpu >= CPU_SETSIZE)
		return hr_fail(err, -EINVAL, "--cpu %u: there is no such CPU",
			       conf->cpu);
	return 0;
}

static int memif_open(struct hr_way **out, const struct hr_way_conf *conf,
		      struct hr_err *err)
{
	struct hr_way *way;
	const char *path = NULL;
	bool is_server = false;
	int r = parse(conf, &is_server, &path, err);

	if (r < 0)
		return r;
	way = calloc(1, sizeof(*way));
	if (way == NULL)
		return hr_fail(err, -ENOMEM, "no memory for memif");
	way->is_server = is_server;
	way->n_queues = conf->n_queues;
	way->stall_ms = conf->stall_ms;
	for (uint32_t q = 0; q < way->n_queues; q++) {
		way->headers[q] = conf->headers;
		way->headers[q].source_port = (uint16_t)(conf->headers.source_port + q);
	}
	if (is_server)
		clear_dead_socket(path);
	r = start_eal(conf, is_server, path, err);
	way->is_eal_up = r == 0;
	if (r == 0)
		r = make_port(way, err);
	if (r == 0)
		r = await_peer(way, path, conf->wait_ms, err);
	if (r < 0) {
		memif_close(way);
		return r;
	}
	*out = way;
	return 0;
}

/* ---- frames ---- */

/* The peer made no room for stall_ms, or is gone. */
static int may_go_on(const struct hr_way *way, uint64_t since_us, struct hr_err *err)
{
	const uint64_t waited_us = hr_mono_us() - since_us;

	if (!is_connected(way))
		return hr_fail(err, -ECONNRESET, "memif: the peer went away");
	if (waited_us > (uint64_t)way->stall_ms * 1000)
		return hr_fail(err, -ETIMEDOUT,
			       "memif: the peer took nothing for %u ms", way->stall_ms);
	if (waited_us > 1000)
		poll(NULL, 0, 1);
	return 0;
}

static void count(struct hr_way *way, const struct queue *queue, uint32_t from,
		  uint32_t n)
{
	way->datagrams += n;
	for (uint32_t i = 0; i < n; i++)
		way->events += queue->n_events[from + i];
}

static int push(struct hr_way *way, uint16_t q, struct hr_err *err)
{
	struct queue *queue = &way->queues[q];
	uint64_t since_us = hr_mono_us();
	uint32_t done = 0;
	int r = 0;

	while (done < queue->n && r == 0) {
		uint16_t n = rte_eth_tx_burst(way->port, q, queue->burst + done,
					      (uint16_t)(queue->n - done));

		count(way, queue, done, n);
		done += n;
		if (n > 0)
			since_us = hr_mono_us();
		else
			r = may_go_on(way, since_us, err);
	}
	for (; done < queue->n; done++)
		rte_pktmbuf_free(queue->burst[done]);
	queue->n = 0;
	return r;
}

static int memif_put(struct hr_way *way, const struct hr_batch *batch, uint64_t due_us,
		     struct hr_err *err)
{
	const uint16_t q = (uint16_t)(batch->shard % way->n_queues);
	struct queue *queue = &way->queues[q];
	const uint32_t head = hr_headers_bytes(&way->headers[q]);
	struct rte_mbuf *m = rte_pktmbuf_alloc(way->pool);
	uint8_t *frame;

	(void)due_us;
	if (m == NULL)
		return hr_fail(err, -ENOMEM, "memif: no buffer is free");
	frame = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(head + batch->n_bytes));
	memcpy(frame + head, batch->bytes, batch->n_bytes);
	(void)hr_headers_write(&way->headers[q], frame, batch->n_bytes);
	queue->n_events[queue->n] = batch->n_events;
	queue->burst[queue->n++] = m;
	return queue->n == BURST ? push(way, q, err) : 0;
}

static int memif_flush(struct hr_way *way, struct hr_err *err)
{
	int r = 0;

	for (uint16_t q = 0; q < way->n_queues && r == 0; q++)
		r = push(way, q, err);
	return r;
}

/* Progress of any kind puts the stall clock back. */
static int memif_drain(struct hr_way *way, struct hr_err *err)
{
	uint64_t since_us = hr_mono_us();
	uint32_t last = UINT32_MAX;

	for (;;) {
		int waiting = hr_memif_waiting(way->is_server, err);
		int r;

		if (waiting <= 0)
			return waiting;
		if ((uint32_t)waiting != last)
			since_us = hr_mono_us();
		last = (uint32_t)waiting;
		r = may_go_on(way, since_us, err);
		if (r < 0)
			return r;
	}
}

static void memif_sent(const struct hr_way *way, uint64_t *datagrams, uint64_t *events)
{
	*datagrams = way->datagrams;
	*events = way->events;
}

const struct hr_way_ops hr_way_memif = {
	.scheme = "memif",
	.open = memif_open,
	.put = memif_put,
	.flush = memif_flush,
	.drain = memif_drain,
	.sent = memif_sent,
	.close = memif_close,
};
