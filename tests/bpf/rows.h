/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_ROWS_H
#define HR_TEST_ROWS_H

/*
 * rows - frames and what the XDP program must make of them. A row is a shape of
 * frames.h, changed by hand where `edit` is given. Ours are UDP ports 4000, 4063 and
 * 65535.
 */

#include "bpf/steer_abi.h"
#include "tests/unit/net/frames.h"

#define PORT_OURS 4000
#define PORT_OURS_NEAR 4063 /* the last bit of its word: 4000 is bit 32 */
#define PORT_OURS_LAST 65535
#define PORT_TCP 4443

struct row {
	const char *name;
	enum hr_steer_verdict verdict;
	struct shape shape;
	void (*edit)(struct frame *f);
};

static inline void build_row(struct frame *f, const struct row *row)
{
	build(f, &row->shape);
	if (row->edit != NULL)
		row->edit(f);
}

static inline void set_type(struct frame *f, uint32_t type)
{
	set16(f, f->ip - 2, type);
}

static void is_arp(struct frame *f)
{
	set_type(f, 0x0806);
}

static void is_lldp(struct frame *f)
{
	set_type(f, 0x88cc);
}

static void is_802_3(struct frame *f)
{
	set_type(f, f->n - 14);
}

static void says_ip6(struct frame *f)
{
	set_type(f, 0x86dd);
}

static void says_ip4(struct frame *f)
{
	set_type(f, 0x0800);
}

/* IPv4 */

static inline void set_proto4(struct frame *f, uint8_t proto)
{
	f->bytes[f->ip + 9] = proto;
}

static void is_icmp(struct frame *f)
{
	set_proto4(f, 1);
}

static void is_sctp(struct frame *f)
{
	set_proto4(f, 132);
}

static void is_version_5(struct frame *f)
{
	f->bytes[f->ip] = 0x55;
}

static void has_header_of_16(struct frame *f)
{
	f->bytes[f->ip] = 0x44;
}

static void has_header_of_60(struct frame *f)
{
	f->bytes[f->ip] = 0x4f;
}

static void has_total_19(struct frame *f)
{
	set16(f, f->ip + 2, 19);
}

static void has_total_20(struct frame *f)
{
	set16(f, f->ip + 2, 20);
}

static void has_total_27(struct frame *f)
{
	set16(f, f->ip + 2, 27);
}

static void has_total_plus_1(struct frame *f)
{
	set16(f, f->ip + 2, f->n - f->ip + 1);
}

static void has_total_65535(struct frame *f)
{
	set16(f, f->ip + 2, 65535);
}

static void is_first_fragment(struct frame *f)
{
	set16(f, f->ip + 6, 0x2000);
}

static void is_later_fragment(struct frame *f)
{
	set16(f, f->ip + 6, 185);
}

static void has_no_flags(struct frame *f)
{
	set16(f, f->ip + 6, 0);
}

static void has_wrong_ip_checksum(struct frame *f)
{
	f->bytes[f->ip + 10] ^= 1;
}

/* IPv6 */

static void is_icmp6(struct frame *f)
{
	f->bytes[f->ip + 6] = 58;
}

static void is_version_7(struct frame *f)
{
	f->bytes[f->ip] = 0x70;
}

static void has_payload_0(struct frame *f)
{
	set16(f, f->ip + 4, 0);
}

static void has_payload_7(struct frame *f)
{
	set16(f, f->ip + 4, 7);
}

static void has_payload_plus_1(struct frame *f)
{
	set16(f, f->ip + 4, f->n - f->ip - 40 + 1);
}

/* The first extension reaches over the end of the packet: 248 bytes. */
static void has_long_extension(struct frame *f)
{
	f->bytes[f->ip + 41] = 30;
}

/* Behind hop-by-hop options comes a fragment header. */
static void has_fragment_behind(struct frame *f)
{
	f->bytes[f->ip + 40] = 44;
}

/* UDP */

static void has_udp_length_0(struct frame *f)
{
	set16(f, f->udp + 4, 0);
}

static void has_udp_length_7(struct frame *f)
{
	set16(f, f->udp + 4, 7);
}

static void has_udp_length_minus_1(struct frame *f)
{
	set16(f, f->udp + 4, f->n - f->udp - 1);
}

static void has_udp_length_plus_1(struct frame *f)
{
	set16(f, f->udp + 4, f->n - f->udp + 1);
}

static void has_no_udp_checksum(struct frame *f)
{
	set16(f, f->udp + 6, 0);
}

static void has_wrong_udp_checksum(struct frame *f)
{
	f->bytes[f->udp + 6] ^= 1;
}

/* TCP: the bytes behind the IP header are read as one; offset is byte 12. */

static inline void set_tcp(struct frame *f, uint32_t port, uint32_t offset)
{
	uint32_t ip6 = f->bytes[f->ip] >> 4 == 6;

	f->bytes[f->ip + (ip6 ? 6 : 9)] = 6;
	set16(f, f->udp + 2, port);
	f->bytes[f->udp + 12] = (uint8_t)(offset << 4);
}

static void is_tcp(struct frame *f)
{
	set_tcp(f, PORT_OURS, 5);
}

static void is_tcp_of_ours(struct frame *f)
{
	set_tcp(f, PORT_TCP, 5);
}

static void is_tcp_with_options(struct frame *f)
{
	set_tcp(f, PORT_TCP, 8);
}

static void has_tcp_header_of_16(struct frame *f)
{
	set_tcp(f, PORT_TCP, 4);
}

static void has_tcp_header_behind_end(struct frame *f)
{
	set_tcp(f, PORT_TCP, 15);
}

#define HOP 0
#define ROUTING 43
#define FRAGMENT 44
#define ESP 50
#define AUTH 51
#define NONE 59
#define DEST 60

static const struct row rows[] = {
	/* beacons */
	{ "IPv4", HR_STEER_REDIRECTED, { .family = 4, .payload_bytes = 33 }, NULL },
	{ "IPv4, no payload", HR_STEER_REDIRECTED, { .family = 4 }, NULL },
	{ "IPv4, 1,472 bytes",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 1472 },
	  NULL },
	{ "IPv4, padded to 60 bytes",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .padding = 18 },
	  NULL },
	{ "IPv4, 4 bytes of options",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .option_bytes = 4, .payload_bytes = 9 },
	  NULL },
	{ "IPv4, 40 bytes of options",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .option_bytes = 40, .payload_bytes = 9 },
	  NULL },
	{ "IPv4, may be fragmented",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 33 },
	  has_no_flags },
	{ "IPv4 behind a VLAN tag",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .vlan_tags = 1, .payload_bytes = 33 },
	  NULL },
	{ "IPv4 behind an 802.1ad tag",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .vlan_tags = 1, .vlan_type = 0x88a8, .payload_bytes = 3 },
	  NULL },
	{ "IPv4 to the other port of a word",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 3, .dest_port = PORT_OURS_NEAR },
	  NULL },
	{ "IPv4 to port 65535",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 3, .dest_port = PORT_OURS_LAST },
	  NULL },
	{ "IPv6", HR_STEER_REDIRECTED, { .family = 6, .payload_bytes = 33 }, NULL },
	{ "IPv6, no payload, padded",
	  HR_STEER_REDIRECTED,
	  { .family = 6, .padding = 7 },
	  NULL },
	{ "IPv6 behind a VLAN tag",
	  HR_STEER_REDIRECTED,
	  { .family = 6, .vlan_tags = 1, .payload_bytes = 33 },
	  NULL },
	{ "IPv6, hop-by-hop options",
	  HR_STEER_REDIRECTED,
	  { .family = 6, .extensions = { HOP }, .n_extensions = 1, .payload_bytes = 5 },
	  NULL },
	{ "IPv6, hop-by-hop and destination options behind a VLAN tag",
	  HR_STEER_REDIRECTED,
	  { .family = 6,
	    .vlan_tags = 1,
	    .extensions = { HOP, DEST },
	    .n_extensions = 2,
	    .payload_bytes = 5 },
	  NULL },
	{ "IPv6, four extensions of 64 bytes",
	  HR_STEER_REDIRECTED,
	  { .family = 6,
	    .extensions = { HOP, DEST, DEST, DEST },
	    .n_extensions = 4,
	    .extension_bytes = 64,
	    .payload_bytes = 5 },
	  NULL },
	{ "IPv6, one extension of 256 bytes",
	  HR_STEER_REDIRECTED,
	  { .family = 6,
	    .extensions = { DEST },
	    .n_extensions = 1,
	    .extension_bytes = 256,
	    .payload_bytes = 5 },
	  NULL },

	/* beacons whose checksum the dataplane is to judge */
	{ "IPv4 with a wrong header checksum",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 33 },
	  has_wrong_ip_checksum },
	{ "IPv4 with a wrong UDP checksum",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 33 },
	  has_wrong_udp_checksum },
	{ "IPv4 without a UDP checksum",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 33 },
	  has_no_udp_checksum },
	{ "IPv6 without a UDP checksum",
	  HR_STEER_REDIRECTED,
	  { .family = 6, .payload_bytes = 33 },
	  has_no_udp_checksum },

	/* not IP */
	{ "ARP", HR_STEER_NOT_IP, { .family = 4, .payload_bytes = 33 }, is_arp },
	{ "ARP behind a VLAN tag",
	  HR_STEER_NOT_IP,
	  { .family = 4, .vlan_tags = 1, .payload_bytes = 33 },
	  is_arp },
	{ "LLDP", HR_STEER_NOT_IP, { .family = 4, .payload_bytes = 33 }, is_lldp },
	{ "802.3 length instead of a type",
	  HR_STEER_NOT_IP,
	  { .family = 4, .payload_bytes = 33 },
	  is_802_3 },
	{ "two VLAN tags",
	  HR_STEER_NOT_IP,
	  { .family = 4, .vlan_tags = 2, .payload_bytes = 33 },
	  NULL },
	{ "two 802.1ad tags",
	  HR_STEER_NOT_IP,
	  { .family = 6, .vlan_tags = 2, .vlan_type = 0x88a8, .payload_bytes = 33 },
	  NULL },

	/* broken IP headers */
	{ "IPv4 of version 5",
	  HR_STEER_IP_HEADER,
	  { .family = 4, .payload_bytes = 33 },
	  is_version_5 },
	{ "IPv4 bytes that say IPv6",
	  HR_STEER_IP_HEADER,
	  { .family = 4, .payload_bytes = 33 },
	  says_ip6 },
	{ "IPv6 bytes that say IPv4",
	  HR_STEER_IP_HEADER,
	  { .family = 6, .payload_bytes = 33 },
	  says_ip4 },
	{ "IPv6 of version 7",
	  HR_STEER_IP_HEADER,
	  { .family = 6, .payload_bytes = 33 },
	  is_version_7 },
	{ "IPv4 header of 16 bytes",
	  HR_STEER_IP_HEADER,
	  { .family = 4, .payload_bytes = 33 },
	  has_header_of_16 },
	{ "IPv4 header longer than the packet",
	  HR_STEER_IP_HEADER,
	  { .family = 4, .payload_bytes = 3 },
	  has_header_of_60 },
	{ "IPv4 total length shorter than its header",
	  HR_STEER_IP_HEADER,
	  { .family = 4, .payload_bytes = 33 },
	  has_total_19 },

	/* lengths that the frame does not hold */
	{ "IPv4 one byte longer than the frame",
	  HR_STEER_SHORT,
	  { .family = 4, .payload_bytes = 33 },
	  has_total_plus_1 },
	{ "IPv4 of 65,535 bytes",
	  HR_STEER_SHORT,
	  { .family = 4, .payload_bytes = 33 },
	  has_total_65535 },
	{ "IPv4 that ends before UDP",
	  HR_STEER_SHORT,
	  { .family = 4, .payload_bytes = 33 },
	  has_total_20 },
	{ "IPv4 that ends inside the UDP header",
	  HR_STEER_SHORT,
	  { .family = 4, .payload_bytes = 33 },
	  has_total_27 },
	{ "IPv6 one byte longer than the frame",
	  HR_STEER_SHORT,
	  { .family = 6, .payload_bytes = 33 },
	  has_payload_plus_1 },
	{ "IPv6 without payload (jumbogram)",
	  HR_STEER_SHORT,
	  { .family = 6, .payload_bytes = 33 },
	  has_payload_0 },
	{ "IPv6 that ends inside the UDP header",
	  HR_STEER_SHORT,
	  { .family = 6, .payload_bytes = 33 },
	  has_payload_7 },
	{ "IPv6 that ends inside an extension",
	  HR_STEER_SHORT,
	  { .family = 6, .extensions = { HOP }, .n_extensions = 1 },
	  has_long_extension },

	/* fragments */
	{ "IPv4 first fragment",
	  HR_STEER_FRAGMENT,
	  { .family = 4, .payload_bytes = 33 },
	  is_first_fragment },
	{ "IPv4 later fragment",
	  HR_STEER_FRAGMENT,
	  { .family = 4, .payload_bytes = 33 },
	  is_later_fragment },
	{ "IPv6 fragment",
	  HR_STEER_FRAGMENT,
	  { .family = 6,
	    .extensions = { FRAGMENT },
	    .n_extensions = 1,
	    .payload_bytes = 33 },
	  NULL },
	{ "IPv6 fragment behind hop-by-hop options",
	  HR_STEER_FRAGMENT,
	  { .family = 6, .extensions = { HOP }, .n_extensions = 1, .payload_bytes = 9 },
	  has_fragment_behind },

	/* other protocols */
	{ "ICMP", HR_STEER_PROTOCOL, { .family = 4, .payload_bytes = 56 }, is_icmp },
	{ "SCTP", HR_STEER_PROTOCOL, { .family = 4, .payload_bytes = 56 }, is_sctp },
	{ "ICMPv6, neighbour discovery",
	  HR_STEER_PROTOCOL,
	  { .family = 6, .payload_bytes = 24 },
	  is_icmp6 },
	{ "IPv6 routing header",
	  HR_STEER_PROTOCOL,
	  { .family = 6, .extensions = { ROUTING }, .n_extensions = 1 },
	  NULL },
	{ "IPv6 encrypted",
	  HR_STEER_PROTOCOL,
	  { .family = 6, .extensions = { ESP }, .n_extensions = 1 },
	  NULL },
	{ "IPv6 authentication header",
	  HR_STEER_PROTOCOL,
	  { .family = 6, .extensions = { HOP, AUTH }, .n_extensions = 2 },
	  NULL },
	{ "IPv6 no next header",
	  HR_STEER_PROTOCOL,
	  { .family = 6, .extensions = { NONE }, .n_extensions = 1 },
	  NULL },
	{ "IPv6, five extensions",
	  HR_STEER_PROTOCOL,
	  { .family = 6,
	    .extensions = { HOP, DEST, DEST, DEST, DEST },
	    .n_extensions = 5 },
	  NULL },
	{ "IPv6, 264 bytes of extensions",
	  HR_STEER_PROTOCOL,
	  { .family = 6,
	    .extensions = { HOP, DEST, DEST },
	    .n_extensions = 3,
	    .extension_bytes = 88 },
	  NULL },

	/* ports */
	{ "UDP to the port below",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 33, .dest_port = PORT_OURS - 1 },
	  NULL },
	{ "UDP to the port above",
	  HR_STEER_PORT,
	  { .family = 6, .payload_bytes = 33, .dest_port = PORT_OURS + 1 },
	  NULL },
	{ "UDP to the same bit of the next word",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 33, .dest_port = PORT_OURS + 64 },
	  NULL },
	{ "UDP to the port with its bytes swapped",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 33, .dest_port = 0xa00f },
	  NULL },
	{ "UDP to a foreign port, of a wrong length",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 33, .dest_port = 53 },
	  has_udp_length_plus_1 },
	{ "TCP to the number of a UDP port of ours",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 33 },
	  is_tcp },
	{ "TCP over IPv6",
	  HR_STEER_PORT,
	  { .family = 6, .payload_bytes = 33 },
	  is_tcp },
	{ "TCP to its own port while that map is empty",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 33 },
	  is_tcp_of_ours },

	/* lengths of beacons */
	{ "UDP length 0",
	  HR_STEER_L4_LENGTH,
	  { .family = 4, .payload_bytes = 33 },
	  has_udp_length_0 },
	{ "UDP length 7",
	  HR_STEER_L4_LENGTH,
	  { .family = 6, .payload_bytes = 33 },
	  has_udp_length_7 },
	{ "UDP one byte too short",
	  HR_STEER_L4_LENGTH,
	  { .family = 4, .payload_bytes = 33 },
	  has_udp_length_minus_1 },
	{ "UDP one byte too long",
	  HR_STEER_L4_LENGTH,
	  { .family = 6, .payload_bytes = 33 },
	  has_udp_length_plus_1 },
	{ "UDP reaching into the padding",
	  HR_STEER_L4_LENGTH,
	  { .family = 4, .payload_bytes = 3, .padding = 9 },
	  has_udp_length_minus_1 },
};

/* While PORT_TCP is in the map of TCP ports. */
static const struct row tcp_rows[] = {
	{ "TCP",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .payload_bytes = 40 },
	  is_tcp_of_ours },
	{ "TCP of 20 bytes",
	  HR_STEER_REDIRECTED,
	  { .family = 6, .payload_bytes = 12 },
	  is_tcp_of_ours },
	{ "TCP with options",
	  HR_STEER_REDIRECTED,
	  { .family = 4, .vlan_tags = 1, .payload_bytes = 40 },
	  is_tcp_with_options },
	{ "TCP to another port",
	  HR_STEER_PORT,
	  { .family = 4, .payload_bytes = 40 },
	  is_tcp },
	{ "TCP header of 16 bytes",
	  HR_STEER_L4_LENGTH,
	  { .family = 4, .payload_bytes = 40 },
	  has_tcp_header_of_16 },
	{ "TCP header longer than the packet",
	  HR_STEER_L4_LENGTH,
	  { .family = 6, .payload_bytes = 40 },
	  has_tcp_header_behind_end },
	{ "TCP cut at 19 bytes",
	  HR_STEER_SHORT,
	  { .family = 4, .payload_bytes = 11 },
	  is_tcp_of_ours },
};

#endif
