/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * AF_XDP on a kernel interface, through DPDK's driver, which loads and attaches our
 * XDP program when the first queue is set up and detaches it when the device closes.
 *
 * The driver's own failures are hard to read, so what can be known is checked before
 * the device is made; also because a device, once made, detaches at its end whatever
 * program is attached, be it ours or not.
 */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <rte_ethdev.h>

#include "dataplane/port/dpdk_log.h"
#include "dataplane/port/port_impl.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef AF_XDP
#define AF_XDP 44
#endif

#define BESIDE_PROGRAM "../bpf/steer.bpf.o" /* as the build tree has it */
#define FDS_MAX 4096

static bool read_word(const char *interface, const char *file, char *out, int max)
{
	char path[HR_CONFIG_TEXT + 64];
	FILE *f;
	bool has_read;

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", interface, file);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	has_read = fgets(out, max, f) != NULL; /* carrier of a downed one: EINVAL */
	fclose(f);
	return has_read;
}

static bool is_up(const char *interface)
{
	char flags[32];

	return read_word(interface, "flags", flags, sizeof(flags)) &&
	       (strtoul(flags, NULL, 16) & IFF_UP) != 0;
}

static uint32_t n_receive_queues(const char *interface)
{
	char path[HR_CONFIG_TEXT + 64];
	struct dirent *entry;
	uint32_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", interface);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		n += strncmp(entry->d_name, "rx-", 3) == 0;
	closedir(dir);
	return n;
}

/* Channels that receive and send, as NICs have them; a veth has none. */
static uint32_t n_combined_channels(const char *interface)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (void *)&channels };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", interface);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		channels.combined_count = 0;
	close(fd);
	return channels.combined_count;
}

/*
 * As many sockets as receive queues: beacons of a queue without one go to the kernel.
 * Of an interface without combined channels the driver takes one queue only.
 */
static int queues_suit(const struct hr_port_config *config, struct hr_err *err)
{
	const char *interface = config->target;
	uint32_t n = n_receive_queues(interface);
	bool is_combined = n_combined_channels(interface) > 0;

	if (!is_combined && config->n_queues > 1)
		return hr_fail(
			err, -EINVAL,
			"queues: found %" PRIu32 ", expected 1: the interface has no "
			"combined channels (`ethtool -l %s`), as a veth has none; "
			"write queues: 1",
			config->n_queues, interface);
	if (n < config->n_queues && n > 0)
		return hr_fail(err, -EINVAL,
			       "queues: found %" PRIu32 ", expected the %" PRIu32
			       " receive "
			       "queues of the interface; write queues: %" PRIu32,
			       config->n_queues, n, n);
	if (n > config->n_queues && is_combined)
		return hr_fail(
			err, -EINVAL,
			"found %" PRIu32 " receive queues on the interface, expected "
			"the %" PRIu32 " of queues: what arrives on the others would "
			"go to the kernel; write queues: %" PRIu32 ", or `ethtool -L "
			"%s combined %" PRIu32 "`",
			n, config->n_queues, n, interface, config->n_queues);
	if (n > config->n_queues)
		return hr_fail(
			err, -EINVAL,
			"found %" PRIu32 " receive queues on the interface, expected "
			"1: what arrives on the others would go to the kernel; "
			"`ethtool -L PEER tx 1` at the peer of a veth, then `ethtool "
			"-L %s rx 1`",
			n, interface);
	return 0;
}

static int no_program_is_attached(const char *interface, unsigned int if_index,
				  struct hr_err *err)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, found);
	struct bpf_prog_info info = { 0 };
	uint32_t bytes = sizeof(info);
	int r = bpf_xdp_query((int)if_index, 0, &found), fd;

	if (r < 0)
		return hr_fail(err, r,
			       "whether an XDP program is attached cannot be asked: %s",
			       strerror(-r));
	if (found.attach_mode == XDP_ATTACHED_NONE)
		return 0;
	fd = bpf_prog_get_fd_by_id(found.prog_id);
	if (fd >= 0) {
		bpf_obj_get_info_by_fd(fd, &info, &bytes);
		close(fd);
	}
	return hr_fail(err, -EBUSY,
		       "found the XDP program \"%s\" (id %" PRIu32 ") attached to the "
		       "interface, expected none; headraced takes away what a killed "
		       "dataplane left behind, somebody else's has to be ended by its "
		       "owner or with `ip link set dev %s xdp off`",
		       info.name, found.prog_id, interface);
}

/* The object to load: the configuration's, the build tree's or the installed one. */
static int program(char *out, size_t max, const struct hr_port_config *config,
		   struct hr_err *err)
{
	char exe[HR_CONFIG_TEXT];
	ssize_t n;

	if (config->xdp_program[0] != '\0') {
		snprintf(out, max, "%s", config->xdp_program);
		if (access(out, R_OK) == 0)
			return 0;
		return hr_fail(err, -errno,
			       "xdp_program: %s cannot be read (%s), expected a BPF "
			       "object; leave the option out to use our own",
			       out, strerror(errno));
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (strrchr(exe, '/') != NULL) {
		strrchr(exe, '/')[1] = '\0';
		snprintf(out, max, "%s" BESIDE_PROGRAM, exe);
		if (access(out, R_OK) == 0)
			return 0;
	}
	snprintf(out, max, "%s", HR_XDP_INSTALLED);
	if (access(out, R_OK) == 0)
		return 0;
	return hr_fail(err, -ENOENT,
		       "found our XDP program neither at %s" BESIDE_PROGRAM " nor at "
		       "%s; build it with ninja, or name it with xdp_program",
		       exe, HR_XDP_INSTALLED);
}

static int check(const struct hr_port_config *config, struct hr_err *err)
{
	unsigned int if_index = if_nametoindex(config->target);
	char path[2 * HR_CONFIG_TEXT];
	int r;

	if (if_index == 0)
		return hr_fail(err, -ENODEV,
			       "found no interface named %s in this network namespace; "
			       "`ip link` lists them",
			       config->target);
	if (!is_up(config->target))
		return hr_fail(
			err, -ENETDOWN,
			"found the interface down; bring it up with `ip link set "
			"%s up`",
			config->target);
	r = queues_suit(config, err);
	if (r == 0)
		r = no_program_is_attached(config->target, if_index, err);
	if (r == 0)
		r = program(path, sizeof(path), config, err);
	return r;
}

/*
 * busy_budget=0: with the driver's default every empty poll is a system call, and an
 * idle worker that sleeps between them sees a packet 2 to 34 ms late.
 */
static int arguments(char *out, size_t max, const struct hr_port_config *config,
		     struct hr_err *err)
{
	char path[2 * HR_CONFIG_TEXT];
	int r = program(path, sizeof(path), config, err);

	if (r == 0)
		r = hr_port_argument_suits(path, err);
	if (r < 0)
		return r;
	/* libxdp's default folder is not where Debian puts its objects. */
	if (access(HR_LIBXDP_OBJECTS, F_OK) == 0)
		setenv("LIBXDP_OBJECT_PATH", HR_LIBXDP_OBJECTS, 0);
	return snprintf(out, max,
			"iface=%s,start_queue=0,queue_count=%" PRIu32
			",busy_budget=0,xdp_prog=%s",
			config->target, config->n_queues, path);
}

static bool is_af_xdp(int fd)
{
	int domain = 0;
	socklen_t bytes = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
	       domain == AF_XDP;
}

/* The AF_XDP sockets of this process as a set of descriptors. */
static void find_sockets(bool is_socket[FDS_MAX])
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	memset(is_socket, 0, FDS_MAX * sizeof(*is_socket));
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		unsigned long fd = strtoul(entry->d_name, NULL, 10);

		if (fd > 0 && fd < FDS_MAX)
			is_socket[fd] = is_af_xdp((int)fd);
	}
	closedir(dir);
}

/* For what the kernel says, by the words it uses. */
static const char *cure(void)
{
	static const struct {
		const char *word, *cure;
	} cures[] = {
		{ "peer tx queues",
		  "; give the other end of the veth one queue with `ethtool -L PEER tx "
		  "1`, or make both ends with numtxqueues 1 numrxqueues 1" },
		{ "MTU",
		  "; make the MTU smaller with `ip link set ... mtu 1500`, at the "
		  "peer of a veth too" },
	};
	char said[300];

	hr_dpdk_log_said(said, sizeof(said));
	for (size_t i = 0; i < RTE_DIM(cures); i++)
		if (strstr(said, cures[i].word) != NULL)
			return cures[i].cure;
	return "";
}

/* bind()'s EBUSY, which the driver returns as EINVAL like everything else. */
static bool is_queue_taken(void)
{
	char said[300];

	hr_dpdk_log_said(said, sizeof(said));
	return strstr(said, "Failed to create xsk socket") != NULL;
}

/*
 * -EAGAIN: the queue is taken, perhaps only by a socket that is being closed.
 *
 * The driver does not give its socket away, and the kernel does not say to which
 * queue one is bound (getsockname() is not supported): but setting up a queue opens
 * exactly one, and only the main thread opens any. Without it, waiting would be
 * sleeping and missed packets would be unseen, so a queue without one is an error.
 */
static int queue(struct hr_port *port, uint16_t number, struct rte_mempool *pool,
		 struct hr_err *err)
{
	bool before[FDS_MAX], after[FDS_MAX];
	struct hr_rxq *q = &port->queues[number];
	int r;

	find_sockets(before);
	r = rte_eth_rx_queue_setup(port->port_id, number,
				   (uint16_t)port->config.rx_descriptors,
				   (unsigned int)SOCKET_ID_ANY, NULL, pool);
	if (r < 0 && is_queue_taken())
		return hr_fail(
			err, -EAGAIN,
			"found another AF_XDP socket on queue %u of the interface, "
			"expected none; end the program that holds it (`ss --xdp "
			"-ap` names it)",
			number);
	if (r < 0)
		return hr_port_fail(
			err, r, "attaching the XDP program to the interface", cure());
	find_sockets(after);
	for (int fd = 0; fd < FDS_MAX; fd++)
		if (after[fd] && !before[fd])
			q->fd = fd;
	if (q->fd < 0)
		return hr_fail(
			err, -EBADF,
			"the driver opened no socket for queue %u among the first "
			"%d descriptors",
			number, FDS_MAX);
	return 0;
}

/*
 * The driver of 22.11.11 unmaps the rings and forgets the socket, which would keep the
 * queue of the interface and the pinned buffers until the process ends.
 */
static void close_device(struct hr_port *port)
{
	rte_eth_dev_stop(port->port_id);
	rte_eth_dev_close(port->port_id);
	for (uint32_t i = 0; i < port->n_queues; i++)
		if (port->queues[i].fd >= 0 && is_af_xdp(port->queues[i].fd))
			close(port->queues[i].fd);
}

/*
 * And shuts the queues for answers while the link is down: see struct hr_txq.
 *
 * Not rte_eth_stats_get(): of what the socket missed it leaves out the case of a full
 * ring, and it logs an error at every call once the interface is gone.
 */
static void read_counts(const struct hr_port *port, struct hr_port_counts *out)
{
	char carrier[8];

	for (uint32_t i = 0; i < port->n_queues; i++) {
		struct xdp_statistics s;
		socklen_t bytes = sizeof(s);

		if (getsockopt(port->queues[i].fd, SOL_XDP, XDP_STATISTICS, &s,
			       &bytes) == 0)
			out->missed += s.rx_dropped + s.rx_ring_full;
	}
	out->is_up =
		read_word(port->config.target, "carrier", carrier, sizeof(carrier)) &&
		carrier[0] == '1';
	for (uint32_t i = 0; i < port->n_queues; i++)
		atomic_store_explicit(&port->queues[i].answers.is_shut, !out->is_up,
				      memory_order_relaxed);
}

const struct hr_port_kind_ops hr_port_af_xdp = {
	.driver = "net_af_xdp",
	.check = check,
	.arguments = arguments,
	.queue = queue,
	.close = close_device,
	.read = read_counts,
};
