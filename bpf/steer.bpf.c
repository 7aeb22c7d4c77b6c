/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * steer - beacons to the AF_XDP socket of their receive queue, everything else to the
 * kernel, so that ssh, ARP, neighbour discovery and ping on the same card go on
 * working. Nothing is dropped here: fragments and broken headers are counted and
 * passed, since they may belong to somebody else and the kernel knows what to do with
 * them. It is loaded by DPDK's AF_XDP driver; steer_abi.h says how user space finds
 * it, and has the verdicts.
 */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "maps.bpf.h"
#include "parse.bpf.h"
#include "steer_abi.h"

static __always_inline int parse_ip(struct cursor *c, __u32 *proto)
{
	__u32 type;
	int odd = parse_ether(c, &type);

	if (odd != PARSED)
		return odd;
	if (type == ETHERTYPE_IP4)
		return parse_ip4(c, proto);
	if (type == ETHERTYPE_IP6)
		return parse_ip6(c, proto);
	return HR_STEER_NOT_IP;
}

/* REDIRECTED: a beacon. */
static __always_inline int judge(struct cursor *c)
{
	__u32 proto, port;
	int odd, is_sound, is_ours;

	odd = parse_ip(c, &proto);
	if (odd != PARSED)
		return odd;
	if (proto == PROTO_UDP) {
		odd = parse_udp(c, &port, &is_sound);
		if (odd != PARSED)
			return odd;
		is_ours = ports_have(&hr_udp_ports, port);
	} else if (proto == PROTO_TCP) {
		odd = parse_tcp(c, &port, &is_sound);
		if (odd != PARSED)
			return odd;
		is_ours = ports_have(&hr_tcp_ports, port);
	} else {
		return HR_STEER_PROTOCOL;
	}
	if (!is_ours)
		return HR_STEER_PORT;
	return is_sound ? HR_STEER_REDIRECTED : HR_STEER_L4_LENGTH;
}

SEC("xdp")
int hr_steer(struct xdp_md *ctx)
{
	struct cursor c = {
		.at = (const __u8 *)(long)ctx->data,
		.end = (const __u8 *)(long)ctx->data_end,
	};
	int verdict, action = XDP_PASS;

	c.left = ctx->data_end - ctx->data;
	verdict = judge(&c);
	if (verdict == HR_STEER_REDIRECTED) {
		/* XDP_PASS where the queue has no socket */
		action =
			(int)bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
		if (action != XDP_REDIRECT)
			verdict = HR_STEER_NO_SOCKET;
	}
	count((__u32)verdict);
	return action;
}

/* The kernel asks; no helper used here is for the GPL only. */
char _license[] SEC("license") = "BSD";
