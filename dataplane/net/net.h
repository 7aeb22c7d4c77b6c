/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_NET_H
#define HR_NET_H

/*
 * net - from a received frame to the UDP payload inside it.
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

#endif
