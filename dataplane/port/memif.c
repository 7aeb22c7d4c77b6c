/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * memif: shared memory with another process. As a server we wait for a client on the
 * socket; as a client we connect, and connect again when the server comes (back).
 *
 * What lies in the rings when the peer goes away is gone with it: a sender has to wait
 * until its frames were taken.
 *
 * Both ends must have the same number of queues. Of a peer with fewer the driver (22.11,
 * 24.11) takes its first ring for each of the missing ones: frames come twice and get
 * overwritten before they were read. What the peer has is the driver's secret until
 * then, so it can only be found out and said, not prevented.
 *
 * The same holds for answers: of a peer without the ring the driver would write them
 * into the first one, from which it may be reading. See hr_memif_prove().
 *
 * The driver's connections live on DPDK's interrupt thread and are not locked against
 * others. So a device is closed there, too, and a worker's burst is made to end before
 * the memory under it goes: see munmap() below.
 */

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#include "common/log.h"
#include "dataplane/port/port_impl.h"

#define RETRY_US 500000
#define RING_MAX 16384 /* the driver's */

static uint32_t log2_of(uint32_t power)
{
	return (uint32_t)__builtin_ctz(power);
}

/* Is there a process that listens? Returns 0 = none, or a negated errno. */
static int nobody_listens(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r = 0;

	if (fd < 0)
		return -errno;
	strcpy(address.sun_path, path); /* its length was checked */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		r = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		r = -errno;
	close(fd);
	return r;
}

/* A socket file that a killed process left behind would make bind() fail. */
static int take_socket_over(const char *path, struct hr_err *err)
{
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return hr_fail(err, -EEXIST,
			       "found a file at the socket's path that is no socket; "
			       "choose another path");
	r = nobody_listens(path);
	if (r == -EADDRINUSE)
		return hr_fail(err, r,
			       "found another process that listens on the socket; end "
			       "it, or choose another path");
	if (r < 0)
		return hr_fail(err, r,
			       "found a socket at the path that cannot be asked (%s); "
			       "remove it with `rm %s`",
			       strerror(-r), path);
	if (unlink(path) < 0)
		return hr_fail(err, -errno, "the old socket cannot be removed: %s",
			       strerror(errno));
	return 0;
}

static int folder_suits(const char *path, struct hr_err *err)
{
	const char *slash = strrchr(path, '/');
	char folder[HR_CONFIG_TEXT];

	snprintf(folder, sizeof(folder), "%.*s",
		 slash == NULL ? 1 : (int)(slash - path), slash == NULL ? "." : path);
	if (folder[0] == '\0' || access(folder, R_OK | W_OK) == 0)
		return 0;
	return hr_fail(err, -errno,
		       "found no folder %s that may be written (%s), expected one for "
		       "the socket; make it with `mkdir -p %s`",
		       folder, strerror(errno), folder);
}

static int check(const struct hr_port_config *config, struct hr_err *err)
{
	uint32_t n = config->rx_descriptors;
	int r;

	if ((n & (n - 1)) != 0 || n == 0 || n > RING_MAX)
		return hr_fail(err, -EINVAL,
			       "rx_descriptors: found %" PRIu32 ", expected a power of "
			       "two up to %d on a memif",
			       n, RING_MAX);
	if (strlen(config->target) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return hr_fail(err, -ENAMETOOLONG,
			       "found a socket path of %zu bytes, expected at most %zu",
			       strlen(config->target),
			       sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	r = folder_suits(config->target, err);
	return r;
}

static int arguments(char *out, size_t max, const struct hr_port_config *config,
		     struct hr_err *err)
{
	int r = hr_port_argument_suits(config->target, err);

	if (r < 0)
		return r;
	return snprintf(out, max,
			"role=%s,id=%" PRIu32 ",socket=%s%s,socket-abstract=no,"
			"rsize=%" PRIu32 ",bsize=2048",
			config->memif_is_server ? "server" : "client", config->memif_id,
			strchr(config->target, '/') == NULL ? "./" : "", config->target,
			log2_of(config->rx_descriptors));
}

static bool is_connected(const struct hr_port *port)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(port->port_id, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

/*
 * The driver's counts per queue leave out those that the peer does not have; ours do
 * not. A queue that is connected and has brought something is in both.
 */
_Static_assert(HR_PORT_QUEUES_MAX <= RTE_ETHDEV_QUEUE_STAT_CNTRS, "each is counted");

bool hr_memif_lacks_queues(const struct hr_port *port)
{
	bool has_brought[HR_PORT_QUEUES_MAX];
	struct rte_eth_stats stats;

	/* Ours first: the driver counts a frame before we do. */
	for (uint32_t i = 0; i < port->n_queues; i++)
		has_brought[i] = atomic_load_explicit(&port->queues[i].packets,
						      memory_order_acquire) > 0;
	if (rte_eth_stats_get(port->port_id, &stats) < 0 || !is_connected(port))
		return false;
	for (uint32_t i = 0; i < port->n_queues; i++)
		if (has_brought[i] && stats.q_ipackets[i] == 0)
			return true;
	return false;
}

/* Seen twice in one life: a peer that is just leaving has no rings either. */
static void tell_of_lacking(const struct hr_port *port, uint32_t i, uint32_t life)
{
	struct hr_txq *q = &port->queues[i].answers;
	bool is_sure = q->lacking == life + 1;
	static atomic_bool has_told;

	q->lacking = life + 1;
	if (is_sure && !atomic_exchange(&has_told, true))
		hr_error(
			"port",
			"port %s: found a peer that takes nothing on its queue %" PRIu32
			", expected as many queues in each direction as we have, "
			"%" PRIu32 ": what comes by that queue gets no answers",
			port->config.device, i, port->n_queues);
}

/*
 * The driver counts only what was sent on rings that the present peer has, but counts
 * from its own start: a queue that ever sent anything and has a count has a ring. What
 * is found is good for the life in which it was looked for.
 */
void hr_memif_prove(const struct hr_port *port)
{
	uint32_t life = atomic_load_explicit(&port->all->life, memory_order_seq_cst);
	uint64_t sent[HR_PORT_QUEUES_MAX];
	struct rte_eth_stats stats;

	/* Ours first: the driver counts a frame before we do. */
	for (uint32_t i = 0; i < port->n_queues; i++)
		sent[i] = atomic_load_explicit(&port->queues[i].answers.sent,
					       memory_order_acquire);
	if (rte_eth_stats_get(port->port_id, &stats) < 0 || !is_connected(port))
		return;
	for (uint32_t i = 0; i < port->n_queues; i++) {
		struct hr_txq *q = &port->queues[i].answers;

		if (stats.q_opackets[i] > 0)
			atomic_store_explicit(&q->proven, life + 1,
					      memory_order_relaxed);
		else if (sent[i] > 0)
			tell_of_lacking(port, i, life);
	}
}

static void read_counts(const struct hr_port *port, struct hr_port_counts *out)
{
	static atomic_bool has_told;

	/* Nothing is missed: a ring is full before a frame is lost, as the peer sees. */
	out->is_up = is_connected(port);
	if (out->sent > 0)
		hr_memif_prove(port);
	if (port->n_queues > 1 && hr_memif_lacks_queues(port) &&
	    !atomic_exchange(&has_told, true))
		hr_error("port",
			 "port %s: found a peer with fewer than %" PRIu32 " queues, "
			 "expected as many: frames were doubled and lost; give both "
			 "ends the same number",
			 port->config.device, port->n_queues);
}

static _Thread_local bool is_interrupt_thread;
/* For munmap(): where the workers' queues are. */
static _Atomic(struct hr_ports *) guarded;

static bool is_in_burst(const struct hr_ports *ports)
{
	for (uint32_t i = 0; i < ports->n_queues; i++)
		if (atomic_load_explicit(&ports->queues[i].is_in_burst,
					 memory_order_seq_cst))
			return true;
	return false;
}

/*
 * Stands before the C library's for the whole process, for one caller: when a peer
 * goes away, the driver (22.11, 24.11) clears its "connected" flag and unmaps the rings,
 * while a worker that saw the flag set may still be copying out of or into them. Without this
 * wait, one killing in about 200 of a sending peer killed us, too, when all threads
 * shared a CPU. Workers store is_in_burst before the driver reads the flag.
 */
int munmap(void *address, size_t bytes)
{
	struct hr_ports *ports = atomic_load(&guarded);

	if (is_interrupt_thread && ports != NULL) {
		/* Whoever is or comes next: pairs with guarded_send(). */
		atomic_fetch_add_explicit(&ports->life, 1, memory_order_seq_cst);
		while (is_in_burst(ports))
			sched_yield();
	}
	return (int)syscall(SYS_munmap, address, bytes);
}

struct errand {
	void (*run)(struct hr_port *port);
	struct hr_port *port;
	sem_t is_done;
};

static void run_errand(void *context)
{
	struct errand *errand = context;

	is_interrupt_thread = true;
	if (errand->run != NULL)
		errand->run(errand->port);
	sem_post(&errand->is_done);
}

/* Returns when run(port) has returned on DPDK's interrupt thread. */
static int on_interrupt_thread(void (*run)(struct hr_port *port), struct hr_port *port)
{
	struct errand errand = { .run = run, .port = port };
	int r;

	sem_init(&errand.is_done, 0, 0);
	r = rte_eal_alarm_set(1, run_errand, &errand);
	while (r == 0 && sem_wait(&errand.is_done) < 0)
		; /* a signal */
	sem_destroy(&errand.is_done);
	return r;
}

static void stop_and_close(struct hr_port *port)
{
	rte_eth_dev_stop(port->port_id);
	rte_eth_dev_close(port->port_id);
}

static void close_device(struct hr_port *port)
{
	/* Without memory for an alarm: here is better than not at all. */
	if (on_interrupt_thread(stop_and_close, port) < 0)
		stop_and_close(port);
}

/* The driver cries at every attempt; the link's state is told by hr_ports_read(). */
static void connect_quietly(struct hr_port *port)
{
	rte_log_set_level_pattern("pmd.net.memif", RTE_LOG_CRIT);
	rte_eth_dev_stop(port->port_id); /* says "already stopped" at info */
	(void)hr_port_start(port);
	rte_log_set_level_pattern("pmd.net.memif", RTE_LOG_NOTICE);
}

static void retry(void *context)
{
	struct hr_ports *ports = context;

	for (uint32_t i = 0; i < ports->n_ports; i++) {
		struct hr_port *port = &ports->ports[i];
		bool is_down = port->ops == &hr_port_memif &&
			       !port->config.memif_is_server && !is_connected(port);

		/* Down twice: a connection being made is not disturbed. */
		if (is_down && port->was_down && access(port->config.target, F_OK) == 0)
			connect_quietly(port);
		port->was_down = is_down;
	}
	rte_eal_alarm_set(RETRY_US, retry, ports);
}

int hr_memif_begin(struct hr_ports *ports)
{
	bool has_memif = false, has_client = false;
	int r = 0;

	for (uint32_t i = 0; i < ports->n_ports; i++)
		if (ports->ports[i].ops == &hr_port_memif) {
			has_memif = true;
			has_client |= !ports->ports[i].config.memif_is_server;
		}
	if (has_memif) {
		atomic_store(&guarded, ports);
		r = on_interrupt_thread(NULL, NULL);
	}
	if (r == 0 && has_client) {
		ports->has_retry = true;
		r = rte_eal_alarm_set(RETRY_US, retry, ports);
	}
	return r;
}

void hr_memif_end(struct hr_ports *ports)
{
	if (ports->has_retry)
		rte_eal_alarm_cancel(retry, ports); /* waits for one that runs */
	ports->has_retry = false;
}

void hr_memif_forget(struct hr_ports *ports)
{
	if (atomic_load(&guarded) == ports)
		on_interrupt_thread(NULL, NULL); /* out of munmap() */
	atomic_store(&guarded, NULL);
}

int hr_memif_prepare_socket(const struct hr_ports *ports, const struct hr_port *port,
			    struct hr_err *err)
{
	if (!port->config.memif_is_server)
		return 0;
	/* Several servers of ours share a socket, told apart by their ids. */
	for (uint32_t i = 0; i < port->index; i++)
		if (ports->ports[i].ops == &hr_port_memif &&
		    ports->ports[i].config.memif_is_server &&
		    strcmp(ports->ports[i].config.target, port->config.target) == 0)
			return 0;
	return take_socket_over(port->config.target, err);
}

const struct hr_port_kind_ops hr_port_memif = {
	.driver = "net_memif",
	.is_lossless = true,
	.check = check,
	.arguments = arguments,
	.close = close_device,
	.read = read_counts,
};
