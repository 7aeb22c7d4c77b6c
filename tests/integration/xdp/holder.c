/* SPDX-License-Identifier: BSD-3-Clause */

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <net/if.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <xdp/xsk.h>

#include "dataplane/drops.h"
#include "dataplane/net/net.h"
#include "tests/bpf/steer.h"
#include "tests/integration/xdp/holder.h"

#define FRAMES 4096u
#define FRAME_BYTES 2048u
#define BURST 64u
#define BUSY_MS 2000
#define READY_MS 20000

static struct hr_net_ports ports;
static volatile sig_atomic_t is_told_to_stop;

void holder_port(uint16_t port)
{
	hr_net_ports_add(&ports, port);
}

static void take(volatile struct holder_counts *counts, const void *frame, uint32_t n)
{
	struct hr_net_beacon beacon;

	counts->sound += hr_net_parse(frame, n, 0, &ports, &beacon) == HR_DROP_NONE;
	counts->frames++;
}

static void die(const char *what)
{
	fprintf(stderr, "holder: %s: %s\n", what, strerror(errno));
	_exit(1);
}

/* ---- libbpf and libxdp ---------------------------------------------------------- */

struct rings {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	uint8_t *area;
};

static void give(struct rings *r, uint64_t address)
{
	uint32_t at;

	if (xsk_ring_prod__reserve(&r->fill, 1, &at) == 1) {
		*xsk_ring_prod__fill_addr(&r->fill, at) = address;
		xsk_ring_prod__submit(&r->fill, 1);
	}
}

static void open_socket(struct rings *r, const char *ifname, uint32_t mode)
{
	const struct xsk_umem_config umem = {
		.fill_size = FRAMES,
		.comp_size = FRAMES,
		.frame_size = FRAME_BYTES,
	};
	const struct xsk_socket_config config = {
		.rx_size = FRAMES,
		.tx_size = FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.xdp_flags = mode,
		.bind_flags = XDP_COPY,
	};

	r->area = mmap(NULL, FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->area == MAP_FAILED)
		die("mmap");
	if (xsk_umem__create(&r->umem, r->area, FRAMES * FRAME_BYTES, &r->fill,
			     &r->completion, &umem) != 0)
		die("xsk_umem__create");
	for (uint32_t i = 0; i < FRAMES; i++)
		give(r, (uint64_t)i * FRAME_BYTES);
	/* The kernel frees the queue of a killed process a moment after it is gone. */
	for (int ms = 0; ms < BUSY_MS; ms++) {
		int code = xsk_socket__create(&r->socket, ifname, 0, r->umem, &r->rx,
					      &r->tx, &config);

		if (code == 0)
			return;
		if (code != -EBUSY)
			break;
		usleep(1000);
	}
	die("xsk_socket__create");
}

static void drain(struct rings *r, volatile struct holder_counts *counts)
{
	uint32_t at, n = xsk_ring_cons__peek(&r->rx, BURST, &at);

	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&r->rx, at + i);

		take(counts, r->area + d->addr, d->len);
		give(r, d->addr - d->addr % FRAME_BYTES);
	}
	xsk_ring_cons__release(&r->rx, n);
}

static void hold_by_libbpf(volatile struct holder_counts *counts, const char *ifname,
			   const char *object, uint32_t mode)
{
	int ifindex = (int)if_nametoindex(ifname);
	uint32_t queue = 0;
	struct steer steer;
	struct rings rings;
	int fd;

	if (steer_load(&steer, object) != 0)
		die("load");
	if (bpf_xdp_attach(ifindex, steer.program, XDP_FLAGS_UPDATE_IF_NOEXIST | mode,
			   NULL) != 0)
		die("bpf_xdp_attach");
	open_socket(&rings, ifname, mode);
	fd = xsk_socket__fd(rings.socket);
	if (bpf_map_update_elem(steer.xsks, &queue, &fd, 0) != 0)
		die("xsks_map");
	counts->is_ready = 1;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, 1000);
		drain(&rings, counts);
	}
}

/* ---- DPDK ------------------------------------------------------------------------ */

static void on_term(int sig)
{
	(void)sig;
	is_told_to_stop = 1;
}

static void start_eal(const char *ifname, const char *object)
{
	char device[512];
	char *args[] = { "holder",
			 "--no-huge",
			 "-m",
			 "64",
			 "--no-pci",
			 "--no-telemetry",
			 "--lcores",
			 "0@0",
			 "--vdev",
			 device,
			 "--log-level",
			 "error",
			 "--file-prefix=hr-test-xdp",
			 NULL };

	snprintf(device, sizeof(device), "net_af_xdp0,iface=%s,xdp_prog=%s", ifname,
		 object);
	if (rte_eal_init(sizeof(args) / sizeof(args[0]) - 1, args) < 0)
		die("rte_eal_init");
}

static void start_port(void)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"frames", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	if (pool == NULL || rte_eth_dev_configure(0, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(0, 0, 2048, 0, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(0, 0, 2048, 0, NULL) != 0 ||
	    rte_eth_dev_start(0) != 0)
		die("DPDK port");
}

static void hold_by_dpdk(volatile struct holder_counts *counts, const char *ifname,
			 const char *object)
{
	start_eal(ifname, object);
	start_port();
	signal(SIGTERM, on_term);
	counts->is_ready = 1;
	while (!is_told_to_stop) {
		struct rte_mbuf *burst[BURST];
		uint16_t n = rte_eth_rx_burst(0, 0, burst, BURST);

		for (uint16_t i = 0; i < n; i++)
			take(counts, rte_pktmbuf_mtod(burst[i], void *),
			     burst[i]->data_len);
		rte_pktmbuf_free_bulk(burst, n);
		if (n == 0)
			usleep(200);
	}
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	_exit(0);
}

/* ---- the parent's side ----------------------------------------------------------- */

static void hold(volatile struct holder_counts *counts, enum holder_kind kind,
		 const char *ifname, const char *object)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (kind == HOLDER_DPDK)
		hold_by_dpdk(counts, ifname, object);
	hold_by_libbpf(counts, ifname, object,
		       kind == HOLDER_GENERIC ? XDP_FLAGS_SKB_MODE
					      : XDP_FLAGS_DRV_MODE);
}

static bool is_gone(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == pid;
}

int holder_start(struct holder *h, enum holder_kind kind, const char *ifname,
		 const char *object)
{
	void *p = mmap(NULL, sizeof(*h->counts), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	h->counts = p;
	fflush(stdout);
	h->pid = fork();
	if (h->pid == 0)
		hold(h->counts, kind, ifname, object);
	for (int ms = 0; h->pid > 0 && ms < READY_MS; ms++) {
		if (h->counts->is_ready)
			return 0;
		if (is_gone(h->pid)) {
			h->pid = 0;
			return -1;
		}
		usleep(1000);
	}
	holder_kill(h);
	return -1;
}

static int end(struct holder *h, int sig)
{
	int status = -1;

	if (h->pid > 0) {
		kill(h->pid, sig);
		waitpid(h->pid, &status, 0);
	}
	munmap((void *)(uintptr_t)h->counts, sizeof(*h->counts));
	h->pid = 0;
	return status;
}

void holder_kill(struct holder *h)
{
	end(h, SIGKILL);
}

int holder_stop(struct holder *h)
{
	return end(h, SIGTERM);
}
