/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PARSE_BPF_H
#define HR_PARSE_BPF_H

/*
 * parse - from the frame to its UDP or TCP header, by the rules of dataplane/net (see
 * net.h; a test runs both over the same frames), checksums aside: those cost a walk
 * over the payload and are the dataplane's.
 *
 * Each step returns PARSED and stands behind what it has read, or the verdict that
 * names what is odd. Two bounds are kept: `left`, what remains of the layer by its
 * own length field, is the protocol's; `end` is where the frame's bytes end, and the
 * comparison that the verifier looks for before each load.
 */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "steer_abi.h"

#define PARSED (-1)

#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8

#define PROTO_HOPOPTS 0
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_FRAGMENT 44
#define PROTO_DSTOPTS 60

/* HR_NET_EXTENSIONS_MAX and HR_NET_EXTENSION_BYTES_MAX of dataplane/net/net.h */
#define EXTENSIONS_MAX 4
#define EXTENSION_BYTES_MAX 256

struct cursor {
	const __u8 *at;
	const __u8 *end;
	__u32 left; /* <= end - at */
};

static __always_inline __u32 be16(const __u8 *p)
{
	return (__u32)p[0] << 8 | p[1];
}

/* May n bytes, a constant, be read at c->at? */
static __always_inline int has(const struct cursor *c, __u32 n)
{
	return c->left >= n && c->at + n <= c->end;
}

/* The caller knows that n <= c->left. */
static __always_inline void skip(struct cursor *c, __u32 n)
{
	c->at += n;
	c->left -= n;
}

/*
 *  0      6      12     14
 *  | dst  | src  | type |           or  | 8100 | tci | type |
 */
static __always_inline int parse_ether(struct cursor *c, __u32 *type)
{
	if (!has(c, 14))
		return HR_STEER_SHORT;
	*type = be16(c->at + 12);
	skip(c, 14);
	if (*type == ETHERTYPE_VLAN || *type == ETHERTYPE_QINQ) {
		if (!has(c, 4))
			return HR_STEER_SHORT;
		*type = be16(c->at + 2);
		skip(c, 4);
	}
	return PARSED;
}

/*
 *  0        1     2      4    6        8     9       10    12    16    20
 *  | 4 ihl | tos | total | id | fragm. | ttl | proto | sum | src | dst | options
 */
static __always_inline int parse_ip4(struct cursor *c, __u32 *proto)
{
	const __u8 *p = c->at;
	__u32 header, total;

	if (!has(c, 20))
		return HR_STEER_SHORT;
	header = (p[0] & 15u) * 4;
	total = be16(p + 2);
	if (p[0] >> 4 != 4 || header < 20 || total < header)
		return HR_STEER_IP_HEADER;
	if (total > c->left)
		return HR_STEER_SHORT;
	if ((be16(p + 6) & 0x3fff) != 0)
		return HR_STEER_FRAGMENT;
	*proto = p[9];
	c->left = total;
	skip(c, header);
	return PARSED;
}

/*
 *  0                4         6      7     8     24    40
 *  | 6 class flow | payload | next | hop | src | dst | extensions
 *
 * An extension is | next | units of 8 behind the first | options.
 */
static __always_inline int parse_ip6(struct cursor *c, __u32 *proto)
{
	const __u8 *p = c->at;
	__u32 payload, options = 0;

	if (!has(c, 40))
		return HR_STEER_SHORT;
	if (p[0] >> 4 != 6)
		return HR_STEER_IP_HEADER;
	payload = be16(p + 4);
	*proto = p[6];
	if (payload > c->left - 40)
		return HR_STEER_SHORT;
	skip(c, 40);
	c->left = payload;

#pragma unroll
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u32 bytes;

		if (*proto != PROTO_HOPOPTS && *proto != PROTO_DSTOPTS)
			break;
		if (!has(c, 8))
			return HR_STEER_SHORT;
		bytes = 8u + 8u * c->at[1];
		options += bytes;
		if (options > EXTENSION_BYTES_MAX)
			return HR_STEER_PROTOCOL;
		if (bytes > c->left)
			return HR_STEER_SHORT;
		*proto = c->at[0];
		skip(c, bytes);
	}
	return *proto == PROTO_FRAGMENT ? HR_STEER_FRAGMENT : PARSED;
}

/*
 *  0     2     4     6     8
 *  | src | dst | len | sum | payload
 */
static __always_inline int parse_udp(const struct cursor *c, __u32 *port, int *is_sound)
{
	if (!has(c, 8))
		return HR_STEER_SHORT;
	*port = be16(c->at + 2);
	*is_sound = be16(c->at + 4) == c->left;
	return PARSED;
}

/*
 *  0     2     4     8     12                14       16    18    20
 *  | src | dst | seq | ack | offset | flags | window | sum | urg | options
 */
static __always_inline int parse_tcp(const struct cursor *c, __u32 *port, int *is_sound)
{
	__u32 header;

	if (!has(c, 20))
		return HR_STEER_SHORT;
	*port = be16(c->at + 2);
	header = (c->at[12] >> 4) * 4u;
	*is_sound = header >= 20 && header <= c->left;
	return PARSED;
}

#endif
