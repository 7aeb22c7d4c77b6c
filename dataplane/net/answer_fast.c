/* SPDX-License-Identifier: BSD-3-Clause */

/* Runs for every answer; calls nothing outside. */

#include "dataplane/net/checksum.h"
#include "dataplane/net/net.h"

_Static_assert(sizeof(struct hr_net_way) <= 64, "kept a stream: a cache line");

#define ETHER_BYTES 14
#define VLAN_BYTES 4
#define IP4_BYTES 20
#define IP6_BYTES 40
#define UDP_BYTES 8

#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8

#define PROTO_UDP 17
#define HOP_LIMIT 64
#define DO_NOT_FRAGMENT 0x4000

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint8_t *put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

/* Ones' complement sums add 16-bit values in network order: this is one of them. */
static inline uint64_t word(uint32_t host)
{
	return __builtin_bswap16((uint16_t)host);
}

static bool is_group_mac(const uint8_t mac[6])
{
	return (mac[0] & 1) != 0;
}

/* Multicast, broadcast, the reserved range above, or "this network" (RFC 1122
 * 3.2.1.3). A subnet's own broadcast address cannot be told from others: its frames
 * come to a group's MAC address. */
static bool is_no_host(uint32_t family, const uint8_t address[16])
{
	static const uint8_t nobody[16];

	if (family == 4)
		return address[0] >= 224 || address[0] == 0;
	return address[0] == 0xff || memcmp(address, nobody, 16) == 0;
}

/*
 *  0      6      12     14
 *  | dst  | src  | type | IP        or  | 8100 | tci | type | IP
 */
void hr_net_way_back(const uint8_t *frame, const struct hr_net_beacon *beacon,
		     struct hr_net_way *out)
{
	const uint16_t type = get16(frame + 12);
	const uint8_t *ip = frame + ETHER_BYTES;

	memset(out, 0, sizeof(*out));
	memcpy(out->dest_mac, frame + 6, 6);
	memcpy(out->source_mac, frame, 6);
	if (type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ) {
		out->vlan_type = type;
		out->vlan_tci = get16(frame + ETHER_BYTES);
		ip += VLAN_BYTES;
	}
	if (beacon->family == 4)
		memcpy(out->source, ip + 16, 4);
	else
		memcpy(out->source, ip + 24, 16);
	memcpy(out->dest, beacon->source, sizeof(out->dest));
	out->source_port = beacon->dest_port;
	out->dest_port = beacon->source_port;
	if (is_group_mac(out->source_mac) || is_group_mac(out->dest_mac) ||
	    is_no_host(beacon->family, out->source) ||
	    is_no_host(beacon->family, out->dest) || out->dest_port == 0)
		return;
	out->family = beacon->family;
}

static inline uint8_t *write_ether(uint8_t *p, const struct hr_net_way *way)
{
	memcpy(p, way->dest_mac, 6);
	memcpy(p + 6, way->source_mac, 6);
	p += 12;
	if (way->vlan_type != 0) {
		p = put16(p, way->vlan_type);
		p = put16(p, way->vlan_tci);
	}
	return put16(p, way->family == 4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
}

/*
 *  0        1     2      4    6        8     9       10    12    16    20
 *  | 4 ihl | tos | total | id | fragm. | ttl | proto | sum | src | dst |
 */
static inline uint8_t *write_ip4(uint8_t *p, const struct hr_net_way *way,
				 uint32_t udp_bytes)
{
	uint16_t sum;

	put16(p, 0x4500);
	put16(p + 2, IP4_BYTES + udp_bytes);
	put16(p + 4, 0);
	put16(p + 6, DO_NOT_FRAGMENT);
	p[8] = HOP_LIMIT;
	p[9] = PROTO_UDP;
	put16(p + 10, 0);
	memcpy(p + 12, way->source, 4);
	memcpy(p + 16, way->dest, 4);
	sum = hr_checksum_fold(hr_checksum_add(0, p, IP4_BYTES));
	memcpy(p + 10, &sum, 2);
	return p + IP4_BYTES;
}

/*
 *  0                4         6      7     8     24    40
 *  | 6 class flow | payload | next | hop | src | dst |
 */
static inline uint8_t *write_ip6(uint8_t *p, const struct hr_net_way *way,
				 uint32_t udp_bytes)
{
	put16(p, 0x6000);
	put16(p + 2, 0);
	put16(p + 4, udp_bytes);
	p[6] = PROTO_UDP;
	p[7] = HOP_LIMIT;
	memcpy(p + 8, way->source, 16);
	memcpy(p + 24, way->dest, 16);
	return p + IP6_BYTES;
}

/*
 *  0     2     4     6     8
 *  | src | dst | len | sum | payload
 */
static inline void write_udp(uint8_t *p, const struct hr_net_way *way,
			     uint32_t udp_bytes)
{
	uint64_t sum = word(PROTO_UDP) + word(udp_bytes);
	uint16_t folded;

	put16(p, way->source_port);
	put16(p + 2, way->dest_port);
	put16(p + 4, udp_bytes);
	put16(p + 6, 0);
	/* Of IPv4 the rest is zero and adds nothing. */
	sum = hr_checksum_add(sum, way->source, 16);
	sum = hr_checksum_add(sum, way->dest, 16);
	folded = hr_checksum_fold(hr_checksum_add(sum, p, udp_bytes));
	if (folded == 0)
		folded = 0xffff; /* 0 would say "not computed" */
	memcpy(p + 6, &folded, 2);
}

uint32_t hr_net_answer_write(uint8_t *frame, const struct hr_net_way *way,
			     uint32_t payload_bytes)
{
	const uint32_t udp_bytes = UDP_BYTES + payload_bytes;
	uint8_t *p;

	if (way->family == 0 || payload_bytes > HR_NET_ANSWER_PAYLOAD_MAX)
		return 0;
	p = write_ether(frame, way);
	p = way->family == 4 ? write_ip4(p, way, udp_bytes)
			     : write_ip6(p, way, udp_bytes);
	write_udp(p, way, udp_bytes);
	return HR_NET_ANSWER_HEAD(way) + payload_bytes;
}
