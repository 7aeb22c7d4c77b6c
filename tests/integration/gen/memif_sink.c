/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The other end of a memif, for tests of headrace-gen: takes frames as slowly as it is
 * told, and when the peer has gone prints how many there were.
 *
 *     memif_sink server|client SOCKET US_BETWEEN_BURSTS
 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define BURST 32
#define IDLE_ROUNDS 2000 /* of 5 ms without a peer */

static int start(char *role, const char *socket)
{
	char device[256], prefix[64];
	char *args[] = { "memif-sink",  "--no-huge", "-m",
			 "64",          "--no-pci",  "--no-telemetry",
			 "--no-shconf", prefix,      "--lcores=0@0",
			 device };
	struct rte_eth_conf none;
	struct rte_mempool *pool;

	memset(&none, 0, sizeof(none));
	snprintf(prefix, sizeof(prefix), "--file-prefix=memif-sink-%d", getpid());
	snprintf(device, sizeof(device),
		 "--vdev=net_memif0,role=%s,socket=%s,socket-abstract=no", role,
		 socket);
	if (rte_eal_init((int)(sizeof(args) / sizeof(args[0])), args) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("frames", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	return pool == NULL || rte_eth_dev_configure(0, 1, 1, &none) < 0 ||
			       rte_eth_tx_queue_setup(0, 0, 512, 0, NULL) < 0 ||
			       rte_eth_rx_queue_setup(0, 0, 512, 0, NULL, pool) < 0 ||
			       rte_eth_dev_start(0) < 0
		       ? -1
		       : 0;
}

static unsigned long take(void)
{
	struct rte_mbuf *burst[BURST];
	const uint16_t n = rte_eth_rx_burst(0, 0, burst, BURST);

	rte_pktmbuf_free_bulk(burst, n);
	return n;
}

static int is_up(void)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(0, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

int main(int argc, char **argv)
{
	unsigned long frames = 0;
	int idle = 0, was_up = 0;
	struct timespec pause = { 0, 0 };

	if (argc != 4)
		return 2;
	if (strcmp(argv[1], "server") == 0)
		(void)unlink(argv[2]);
	if (start(argv[1], argv[2]) < 0)
		return 1;
	pause.tv_nsec = atol(argv[3]) * 1000;
	while (idle < IDLE_ROUNDS && !(was_up && !is_up())) {
		if (!is_up()) {
			idle++;
			poll(NULL, 0, 5);
			continue;
		}
		was_up = 1;
		frames += take();
		if (pause.tv_nsec > 0)
			nanosleep(&pause, NULL);
	}
	printf("%lu\n", frames);
	fflush(stdout);
	(void)rmdir(rte_eal_get_runtime_dir());
	/* Not in order: DPDK's interrupt thread is busy with the peer's good-bye, and
	 * stopping the device beside it crashes now and then (22.11). */
	_exit(0);
}
