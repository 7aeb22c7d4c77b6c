/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_NET_H
#define HR_NET_H

/*
 * net - from a received frame to the UDP payload inside it, and back to who sent it.
 *
 *     Ethernet [one VLAN tag] | IPv4 [options] or IPv6 [extensions] | UDP | payload | padding
 *
 * Pure functions of the bytes; any thread. The frame stays where it is: what comes
 * out points into it and lives as long as its mbuf. The checks run in the order of
 * the NET_* rows of drops.def and the first that fails names the verdict.
 *
 * - One 802.1Q or 802.1ad tag is skipped; a second one is "not IP".
 * - IPv4: options are skipped, the header checksum is always verified.
 * - IPv6: hop-by-hop and destination options are skipped, at most
 *   HR_NET_EXTENSIONS_MAX headers of HR_NET_EXTENSION_BYTES_MAX bytes together;
 *   behind more than that no UDP is looked for. Routing headers are not UDP.
 * - Fragments are refused: beacons are never fragmented.
 * - The UDP length must be the IP payload's. Bytes behind the IP packet are padding.
 * - UDP checksum: 0 over IPv4 means "not computed" (RFC 768) and is taken, over IPv6
 *   it is refused (RFC 8200 8.1). A frame whose checksum the kernel of a veth peer
 *   left to a card that is not there (CHECKSUM_PARTIAL) is wrong and stays wrong.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HR_NET_EXTENSIONS_MAX 4
#define HR_NET_EXTENSION_BYTES_MAX 256

/*
 * What a device said about the checksums: the bits of an mbuf's ol_flags, so that
 * (uint32_t)ol_flags can be handed over as it is. "Good" is trusted; "bad" and
 * silence are computed here, so a card that calls a sound datagram bad costs time
 * and no beacon. Asserted against DPDK's names in net_fast.c.
 */
#define HR_NET_L4_BAD (1u << 3)
#define HR_NET_IP_BAD (1u << 4)
#define HR_NET_IP_GOOD (1u << 7)
#define HR_NET_L4_GOOD (1u << 8)

/* The UDP ports that are ours: one bit each, host byte order. 8 KiB; immutable
 * while bursts are parsed against it. */
struct hr_net_ports {
	uint64_t bits[65536 / 64];
};

static inline void hr_net_ports_add(struct hr_net_ports *ports, uint16_t port)
{
	ports->bits[port >> 6] |= UINT64_C(1) << (port & 63);
}

static inline bool hr_net_ports_has(const struct hr_net_ports *ports, uint16_t port)
{
	return (ports->bits[port >> 6] >> (port & 63)) & 1;
}

struct hr_net_beacon {
	const uint8_t *payload; /* into the frame */
	uint16_t payload_bytes;
	uint16_t source_port; /* host byte order, as all numbers here */
	uint16_t dest_port;
	uint8_t family;     /* 4 or 6 */
	uint8_t source[16]; /* IPv4 in the first 4, the rest zero */
};

/*
 * Parse one frame of n bytes. Returns HR_DROP_NONE and fills *out, or one of
 * HR_DROP_NET_* (dataplane/drops.h) and leaves *out unspecified.
 */
int hr_net_parse(const uint8_t *frame, uint32_t n, uint32_t checksum_flags,
		 const struct hr_net_ports *ports, struct hr_net_beacon *out);

struct rte_mbuf;

/*
 * The same over a burst; out[i] and verdicts[i] (an enum hr_drop) belong to mbufs[i].
 * Returns how many are HR_DROP_NONE. The mbufs stay the caller's.
 *
 * A frame in several segments (memif and pcap can bring 64 KB) is refused as
 * HR_DROP_FRAME_LONG when its UDP payload is longer than HR_WIRE_DATAGRAM_MAX,
 * before its checksum is looked at. A shorter one that a device cut up all the same
 * is copied together into the room behind its first segment; the lengths in the
 * mbuf are left as they are.
 */
uint32_t hr_net_parse_burst(struct rte_mbuf **mbufs, uint32_t n,
			    const struct hr_net_ports *ports, struct hr_net_beacon *out,
			    uint8_t *verdicts);

/*
 * Where the answer to a frame goes: back to whoever it came from. The MAC addresses,
 * IP addresses and ports of the question, swapped; its VLAN tag as it was. No ARP or
 * neighbour discovery of ours: the frame's source MAC is the next hop on the way back,
 * be it the sender itself or the router that brought the question. So a far end whose
 * packets come in and go out by different routers has to be reachable by the first.
 *
 * Kept by value, as long as anybody may have to be answered.
 */
struct hr_net_way {
	uint8_t dest_mac[6], source_mac[6];
	uint16_t vlan_type; /* 0x8100 or 0x88a8; 0: no tag */
	uint16_t vlan_tci;  /* priority and id, as received */
	uint16_t source_port, dest_port;
	uint8_t family;               /* 4 or 6; 0: nobody may be answered this way */
	uint8_t source[16], dest[16]; /* IPv4 in the first 4, the rest zero */
};

/* Ethernet 14, a VLAN tag 4, IPv6 40 (IPv4 20), UDP 8 */
#define HR_NET_ANSWER_HEAD_MAX 66

/* Bytes in front of an answer's payload. */
#define HR_NET_ANSWER_HEAD(way)                                                        \
	(14u + ((way)->vlan_type != 0 ? 4u : 0u) + ((way)->family == 6 ? 40u : 20u) +  \
	 8u)

/*
 * The way back from a frame that hr_net_parse() found good, with what it found. The
 * frame must not have changed since. Where the question was sent to or by a group (a
 * broadcast or multicast MAC or IP address), by nobody (0.0.0.0, ::) or from port 0,
 * family is 0: an answer would not come from where the question went, or go to many.
 */
void hr_net_way_back(const uint8_t *frame, const struct hr_net_beacon *beacon,
		     struct hr_net_way *out);

/*
 * Write the headers of an answer to `frame`; its payload must already lie at
 * frame + HR_NET_ANSWER_HEAD(way), since the checksum covers it. IPv4 goes with "do not
 * fragment" and id 0 (RFC 6864 4.1), both with hop limit 64 and no DSCP; the UDP
 * checksum is always there, computed here: an answer is small, and not every device
 * could. Returns the bytes of the whole frame; 0 where family is 0 or the payload is
 * longer than HR_NET_ANSWER_PAYLOAD_MAX. The caller sees to it that there is room.
 */
uint32_t hr_net_answer_write(uint8_t *frame, const struct hr_net_way *way,
			     uint32_t payload_bytes);

#define HR_NET_ANSWER_PAYLOAD_MAX 1472u

#endif
