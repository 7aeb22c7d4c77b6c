/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STEER_ABI_H
#define HR_STEER_ABI_H

/*
 * steer_abi - what the XDP program and user space agree on: names, shapes and the
 * verdicts. Included by both; holds nothing but constants.
 *
 * The maps (names have at most 15 bytes in the kernel):
 *
 *     xsks_map       XSKMAP, receive queue -> AF_XDP socket; DPDK's driver knows it
 *                    by this name and puts its sockets in
 *     hr_udp_ports   ARRAY of 1,024 u64, mmapable: bit (port & 63) of word
 *     hr_tcp_ports   (port >> 6), host byte order; headraced writes them. TCP's stays
 *                    empty until there is TCP.
 *     hr_counts      PERCPU_ARRAY of u64, one per verdict
 *
 * Whoever finds a program of this name with these four maps on an interface has
 * found ours, of whatever version; shapes as below are this version's.
 */

#define HR_STEER_PROGRAM "hr_steer"
#define HR_STEER_XSKS_MAP "xsks_map"
#define HR_STEER_UDP_PORTS_MAP "hr_udp_ports"
#define HR_STEER_TCP_PORTS_MAP "hr_tcp_ports"
#define HR_STEER_COUNTS_MAP "hr_counts"

/* Receive queues of one interface that can have a socket. */
#define HR_STEER_QUEUES_MAX 64

#define HR_STEER_PORT_WORDS (65536 / 64)

/*
 * HR_STEER(NAME, metric label, sentence). Every frame gets exactly one. Only the
 * first leaves the kernel's way; all others are XDP_PASS: the program drops nothing,
 * so whatever it does not take fares as it would without it.
 *
 * The order is the order of the checks; labels are part of the outside contract.
 */
#define HR_STEER_VERDICTS(HR_STEER)                                                    \
	HR_STEER(REDIRECTED, "redirected",                                             \
		 "beacons, handed to the AF_XDP socket of their queue")                \
	HR_STEER(NOT_IP, "not_ip",                                                     \
		 "neither IPv4 nor IPv6 behind at most one VLAN tag, such as ARP")     \
	HR_STEER(SHORT, "short",                                                       \
		 "ends inside its headers or before its lengths say so")               \
	HR_STEER(IP_HEADER, "ip_header", "IP header with a wrong version or length")   \
	HR_STEER(FRAGMENT, "fragment", "IP fragments: beacons are never fragmented")   \
	HR_STEER(PROTOCOL, "protocol",                                                 \
		 "neither UDP nor TCP, such as ICMP, or too far behind extensions")    \
	HR_STEER(PORT, "port", "UDP or TCP to a port that is not one of ours")         \
	HR_STEER(L4_LENGTH, "l4_length",                                               \
		 "to one of our ports, but its length disagrees with the IP length")   \
	HR_STEER(NO_SOCKET, "no_socket",                                               \
		 "beacons of a receive queue without an AF_XDP socket")

enum hr_steer_verdict {
#define HR_STEER_ENUM(name, label, sentence) HR_STEER_##name,
	HR_STEER_VERDICTS(HR_STEER_ENUM)
#undef HR_STEER_ENUM
	HR_STEER_COUNT
};

#endif
