/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_HEADERS_H
#define HR_HEADERS_H

/*
 * headers - Ethernet, IPv4 or IPv6 and UDP headers in front of a payload, with right
 * checksums: for those who send frames without a kernel (the load generator by memif
 * and into pcap files, answers of the dataplane, tests).
 *
 * A struct hr_headers is filled once per pair of addresses; writing a frame then
 * changes only lengths, ports and checksums. Any thread; no allocation.
 */

#include <stdbool.h>
#include <stdint.h>

/* Ethernet 14 + VLAN 4 + IPv6 40 + UDP 8 */
#define HR_HEADERS_MAX 66

struct hr_headers {
	uint8_t family; /* 4 or 6 */
	bool has_vlan;
	uint16_t vlan; /* id, 0-4095 */
	uint8_t source_mac[6], dest_mac[6];
	uint8_t source[16], dest[16]; /* IPv4 in the first 4 */
	uint16_t source_port, dest_port;
	uint8_t hop_limit; /* 0 means 64 */
};

/* Bytes in front of the payload. */
uint32_t hr_headers_bytes(const struct hr_headers *headers);

/*
 * Write the headers to `frame`; the payload of payload_bytes must already lie at
 * frame + hr_headers_bytes(), since the checksum covers it. Returns the bytes of the
 * whole frame, or 0 where the payload does not fit an IP packet (65,507 bytes for
 * IPv4, 65,527 for IPv6).
 */
uint32_t hr_headers_write(const struct hr_headers *headers, uint8_t *frame,
			  uint32_t payload_bytes);

/*
 * Fill addresses from text: "10.1.0.2" or "fd00::2" (both of one family), MAC
 * addresses 02:00:00:00:00:01 (source) and 02:00:00:00:00:02. Returns 0 or -EINVAL.
 */
int hr_headers_init(struct hr_headers *headers, const char *source,
		    uint16_t source_port, const char *dest, uint16_t dest_port);

#endif
