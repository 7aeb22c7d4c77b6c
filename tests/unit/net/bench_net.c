/* SPDX-License-Identifier: BSD-3-Clause */

/* ns a frame of hr_net_parse_burst, frames in cache, best of several rounds. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_mbuf.h>

#include "dataplane/net/net.h"
#include "tests/unit/net/frames.h"

#define BURST 32

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double measure(const struct shape *shape, uint64_t ol_flags)
{
	static struct rte_mbuf mbufs[BURST];
	static uint8_t buffers[BURST][2048];
	static struct hr_net_ports ports;
	struct rte_mbuf *burst[BURST];
	struct hr_net_beacon out[BURST];
	uint8_t verdicts[BURST];
	static struct frame frame;
	double best = 1e9;

	hr_net_ports_add(&ports, 4000);
	build(&frame, shape);
	for (int i = 0; i < BURST; i++) {
		memcpy(buffers[i], frame.bytes, frame.n);
		mbufs[i] = (struct rte_mbuf){ .nb_segs = 1, .ol_flags = ol_flags };
		mbufs[i].buf_addr = buffers[i];
		mbufs[i].data_len = (uint16_t)frame.n;
		burst[i] = &mbufs[i];
	}
	for (int round = 0; round < 20; round++) {
		double start = now_ns();

		for (int i = 0; i < 2000; i++) {
			if (hr_net_parse_burst(burst, BURST, &ports, out, verdicts) !=
			    BURST)
				abort();
			__asm__ volatile("" ::: "memory");
		}
		double ns = (now_ns() - start) / 2000 / BURST;

		if (ns < best)
			best = ns;
	}
	return best;
}

int main(void)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	static const struct {
		const char *name;
		struct shape shape;
	} rows[] = {
		{ "IPv4   64 B", { .family = 4, .payload_bytes = 64 } },
		{ "IPv4 1232 B", { .family = 4, .payload_bytes = 1232 } },
		{ "IPv6 1232 B", { .family = 6, .payload_bytes = 1232 } },
	};

	for (int i = 0; i < 3; i++)
		printf("%s: %.1f ns by offload, %.1f ns with checksums in software\n",
		       rows[i].name, measure(&rows[i].shape, good),
		       measure(&rows[i].shape, 0));
	return 0;
}
