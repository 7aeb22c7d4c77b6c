/* SPDX-License-Identifier: BSD-3-Clause */

/* Runs for every frame; calls nothing outside. */

#include <rte_mbuf.h>

#include "common/wire.h"
#include "dataplane/drops.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/net.h"

_Static_assert(HR_NET_L4_BAD == RTE_MBUF_F_RX_L4_CKSUM_BAD, "ol_flags are handed on");
_Static_assert(HR_NET_L4_GOOD == RTE_MBUF_F_RX_L4_CKSUM_GOOD, "ol_flags are handed on");
_Static_assert(HR_NET_IP_BAD == RTE_MBUF_F_RX_IP_CKSUM_BAD, "ol_flags are handed on");
_Static_assert(HR_NET_IP_GOOD == RTE_MBUF_F_RX_IP_CKSUM_GOOD, "ol_flags are handed on");

#define ETHER_BYTES 14
#define VLAN_BYTES 4
#define IP4_BYTES 20
#define IP6_BYTES 40
#define UDP_BYTES 8

#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8

#define PROTO_HOPOPTS 0
#define PROTO_UDP 17
#define PROTO_FRAGMENT 44
#define PROTO_DSTOPTS 60

/* How far ahead of the parser the next headers are fetched. */
#define AHEAD 4

/* A frame on its way through the layers: [at, end) is what is left of the layer,
 * `linear` how far the bytes may be read. end > linear only where a frame lies in
 * several segments. Offsets, not pointers: a length from outside is compared before
 * any pointer is made of it. */
struct cursor {
	const uint8_t *frame;
	uint32_t at;
	uint32_t end;
	uint32_t linear;
	uint64_t pseudo; /* sum of the UDP pseudo header's addresses */
};

static inline uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline bool has(const struct cursor *c, uint32_t n)
{
	return c->end - c->at >= n && c->linear - c->at >= n;
}

/* Ones' complement sums add 16-bit values in network order: this is one of them. */
static inline uint64_t word(uint32_t host)
{
	return __builtin_bswap16((uint16_t)host);
}

/*
 *  0      6      12     14
 *  | dst  | src  | type |           or  | 8100 | tci | type |
 */
static inline int ether(struct cursor *c, uint32_t *type)
{
	if (!has(c, ETHER_BYTES))
		return HR_DROP_NET_SHORT;
	*type = be16(c->frame + 12);
	c->at = ETHER_BYTES;
	if (*type == ETHERTYPE_VLAN || *type == ETHERTYPE_QINQ) {
		if (!has(c, VLAN_BYTES))
			return HR_DROP_NET_SHORT;
		*type = be16(c->frame + c->at + 2);
		c->at += VLAN_BYTES;
	}
	return HR_DROP_NONE;
}

/*
 *  0        1     2      4    6        8     9       10    12    16    20
 *  | 4 ihl | tos | total | id | fragm. | ttl | proto | sum | src | dst | options
 */
static inline int ip4(struct cursor *c, uint32_t flags, struct hr_net_beacon *out)
{
	const uint8_t *p = c->frame + c->at;
	uint32_t header, total;

	if (!has(c, IP4_BYTES))
		return HR_DROP_NET_SHORT;
	header = (p[0] & 15u) * 4;
	total = be16(p + 2);
	if (p[0] >> 4 != 4 || header < IP4_BYTES || total < header)
		return HR_DROP_NET_IP_HEADER;
	if (total > c->end - c->at || !has(c, header))
		return HR_DROP_NET_SHORT;
	if ((flags & HR_NET_IP_GOOD) == 0 &&
	    hr_checksum_fold(hr_checksum_add(0, p, header)) != 0)
		return HR_DROP_NET_IP_CHECKSUM;
	if ((be16(p + 6) & 0x3fff) != 0)
		return HR_DROP_NET_FRAGMENT;
	if (p[9] != PROTO_UDP)
		return HR_DROP_NET_NOT_UDP;

	out->family = 4;
	memset(out->source, 0, sizeof(out->source));
	memcpy(out->source, p + 12, 4);
	c->pseudo = hr_checksum_add(0, p + 12, 8);
	c->end = c->at + total;
	c->at += header;
	return HR_DROP_NONE;
}

/*
 *  0                4         6      7     8     24    40
 *  | 6 class flow | payload | next | hop | src | dst | extensions
 *
 * An extension is | next | units of 8 behind the first | options.
 */
static inline int ip6(struct cursor *c, struct hr_net_beacon *out)
{
	const uint8_t *p = c->frame + c->at;
	uint32_t next, payload, limit;

	if (!has(c, IP6_BYTES))
		return HR_DROP_NET_SHORT;
	if (p[0] >> 4 != 6)
		return HR_DROP_NET_IP_HEADER;
	payload = be16(p + 4);
	next = p[6];
	if (payload > c->end - c->at - IP6_BYTES)
		return HR_DROP_NET_SHORT;

	out->family = 6;
	memcpy(out->source, p + 8, 16);
	c->pseudo = hr_checksum_add(0, p + 8, 32);
	c->at += IP6_BYTES;
	c->end = c->at + payload;
	limit = c->at + HR_NET_EXTENSION_BYTES_MAX;

	for (int i = 0; i < HR_NET_EXTENSIONS_MAX; i++) {
		uint32_t bytes;

		if (next != PROTO_HOPOPTS && next != PROTO_DSTOPTS)
			break;
		if (!has(c, 8))
			return HR_DROP_NET_SHORT;
		bytes = 8u + 8u * c->frame[c->at + 1];
		if (c->at + bytes > limit)
			return HR_DROP_NET_NOT_UDP;
		if (!has(c, bytes))
			return HR_DROP_NET_SHORT;
		next = c->frame[c->at];
		c->at += bytes;
	}
	if (next == PROTO_FRAGMENT)
		return HR_DROP_NET_FRAGMENT;
	return next == PROTO_UDP ? HR_DROP_NONE : HR_DROP_NET_NOT_UDP;
}

/* Up to the UDP header, whose lengths are checked: c->at is on it, c->end behind
 * the datagram. */
static inline int headers(struct cursor *c, uint32_t flags, struct hr_net_beacon *out)
{
	uint32_t type, length;
	int drop;

	drop = ether(c, &type);
	if (drop != HR_DROP_NONE)
		return drop;
	if (type == ETHERTYPE_IP4)
		drop = ip4(c, flags, out);
	else if (type == ETHERTYPE_IP6)
		drop = ip6(c, out);
	else
		return HR_DROP_NET_NOT_IP;
	if (drop != HR_DROP_NONE)
		return drop;

	if (c->end - c->at < UDP_BYTES)
		return HR_DROP_NET_UDP_LENGTH;
	if (!has(c, UDP_BYTES))
		return HR_DROP_NET_SHORT;
	length = be16(c->frame + c->at + 4);
	if (length != c->end - c->at)
		return HR_DROP_NET_UDP_LENGTH;
	return HR_DROP_NONE;
}

/*
 *  0     2     4     6     8
 *  | src | dst | len | sum | payload
 */
static inline int udp(const struct cursor *c, uint32_t flags,
		      const struct hr_net_ports *ports, struct hr_net_beacon *out)
{
	const uint8_t *p = c->frame + c->at;
	uint32_t n = c->end - c->at;

	if ((flags & HR_NET_L4_GOOD) == 0 || out->family == 6) {
		bool is_absent = (p[6] | p[7]) == 0;

		if (is_absent && out->family == 6)
			return HR_DROP_NET_UDP_CHECKSUM;
		if (!is_absent && (flags & HR_NET_L4_GOOD) == 0 &&
		    hr_checksum_fold(hr_checksum_add(
			    c->pseudo + word(PROTO_UDP) + word(n), p, n)) != 0)
			return HR_DROP_NET_UDP_CHECKSUM;
	}

	out->source_port = (uint16_t)be16(p);
	out->dest_port = (uint16_t)be16(p + 2);
	out->payload = p + UDP_BYTES;
	out->payload_bytes = (uint16_t)(n - UDP_BYTES);
	return hr_net_ports_has(ports, out->dest_port) ? HR_DROP_NONE
						       : HR_DROP_NET_PORT;
}

static inline int parse(const uint8_t *frame, uint32_t n, uint32_t flags,
			const struct hr_net_ports *ports, struct hr_net_beacon *out)
{
	struct cursor c = { .frame = frame, .end = n, .linear = n };
	int drop = headers(&c, flags, out);

	return drop != HR_DROP_NONE ? drop : udp(&c, flags, ports, out);
}

int hr_net_parse(const uint8_t *frame, uint32_t n, uint32_t checksum_flags,
		 const struct hr_net_ports *ports, struct hr_net_beacon *out)
{
	return parse(frame, n, checksum_flags, ports, out);
}

/* Copy from the later segments what makes the first one `want` bytes long. */
static bool gather(struct rte_mbuf *m, uint32_t want)
{
	uint32_t room = (uint32_t)m->buf_len - m->data_off;
	uint32_t have = m->data_len;
	uint8_t *base = rte_pktmbuf_mtod(m, uint8_t *);

	if (want > room)
		return false;
	for (const struct rte_mbuf *s = m->next; s != NULL && have < want;
	     s = s->next) {
		uint32_t n = s->data_len;

		if (n > want - have)
			n = want - have;
		memcpy(base + have, rte_pktmbuf_mtod(s, const uint8_t *), n);
		have += n;
	}
	return have >= want;
}

/* The headers of a beacon with the longest extensions lie in the first segment of
 * every device we open (2 KiB); where they do not, the frame is short. */
static __attribute__((noinline)) int parse_segments(struct rte_mbuf *m,
						    const struct hr_net_ports *ports,
						    struct hr_net_beacon *out)
{
	uint32_t flags = (uint32_t)m->ol_flags;
	struct cursor c = {
		.frame = rte_pktmbuf_mtod(m, const uint8_t *),
		.end = m->pkt_len,
		.linear = m->data_len,
	};
	int drop = headers(&c, flags, out);

	if (drop != HR_DROP_NONE)
		return drop;
	if (c.end > c.linear) {
		if (c.end - c.at > UDP_BYTES + HR_WIRE_DATAGRAM_MAX)
			return HR_DROP_FRAME_LONG;
		if (!gather(m, c.end))
			return HR_DROP_NET_SHORT;
	}
	return udp(&c, flags, ports, out);
}

uint32_t hr_net_parse_burst(struct rte_mbuf **mbufs, uint32_t n,
			    const struct hr_net_ports *ports, struct hr_net_beacon *out,
			    uint8_t *verdicts)
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i < n && i < AHEAD; i++)
		__builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], void *));

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs[i];
		int drop;

		if (i + AHEAD < n)
			__builtin_prefetch(rte_pktmbuf_mtod(mbufs[i + AHEAD], void *));
		if (__builtin_expect(m->nb_segs > 1, 0))
			drop = parse_segments(m, ports, &out[i]);
		else
			drop = parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
				     (uint32_t)m->ol_flags, ports, &out[i]);
		verdicts[i] = (uint8_t)drop;
		taken += drop == HR_DROP_NONE;
	}
	return taken;
}
