/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_HOLDER_H
#define HR_TEST_HOLDER_H

/*
 * holder - a child process that does to an interface what a dataplane does: it loads
 * steer.bpf.o, attaches it, puts an AF_XDP socket of queue 0 into its map and counts
 * what arrives. By libbpf and libxdp (native or generic mode), or by DPDK's AF_XDP
 * driver as the dataplane itself.
 */

#include <stdint.h>
#include <sys/types.h>

enum holder_kind {
	HOLDER_NATIVE,
	HOLDER_GENERIC,
	HOLDER_DPDK,
};

/* Shared with the child, who writes all of it. */
struct holder_counts {
	uint32_t is_ready;
	uint64_t frames; /* arrived at the socket */
	uint64_t sound;  /* of these, hr_net_parse took them, checksums and all */
};

struct holder {
	pid_t pid;
	volatile struct holder_counts *counts;
};

/* The UDP ports that `sound` goes by; before the start. */
void holder_port(uint16_t port);

/* Returns 0 when the socket is in the map; -1 and a line on stderr if not. */
int holder_start(struct holder *h, enum holder_kind kind, const char *ifname,
		 const char *object);

/* SIGKILL: the program stays attached. */
void holder_kill(struct holder *h);

/* SIGTERM; only of a DPDK holder, whose driver takes the program off. */
int holder_stop(struct holder *h);

#endif
