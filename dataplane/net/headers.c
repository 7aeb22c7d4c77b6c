/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

#define ETHER_BYTES 14
#define VLAN_BYTES 4
#define UDP_BYTES 8
#define PROTO_UDP 17

static uint8_t *put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint32_t ip_bytes(const struct hr_headers *headers)
{
	return headers->family == 6 ? 40 : 20;
}

uint32_t hr_headers_bytes(const struct hr_headers *headers)
{
	uint32_t ether_bytes = ETHER_BYTES + (headers->has_vlan ? VLAN_BYTES : 0);

	return ether_bytes + ip_bytes(headers) + UDP_BYTES;
}

int hr_headers_init(struct hr_headers *headers, const char *source,
		    uint16_t source_port, const char *dest, uint16_t dest_port)
{
	int domain = strchr(source, ':') != NULL ? AF_INET6 : AF_INET;

	memset(headers, 0, sizeof(*headers));
	headers->family = domain == AF_INET6 ? 6 : 4;
	headers->source_port = source_port;
	headers->dest_port = dest_port;
	memcpy(headers->source_mac, "\x02\0\0\0\0\x01", 6);
	memcpy(headers->dest_mac, "\x02\0\0\0\0\x02", 6);
	if (inet_pton(domain, source, headers->source) != 1 ||
	    inet_pton(domain, dest, headers->dest) != 1)
		return -EINVAL;
	return 0;
}

static uint8_t *write_ether(const struct hr_headers *headers, uint8_t *p)
{
	memcpy(p, headers->dest_mac, 6);
	memcpy(p + 6, headers->source_mac, 6);
	p += 12;
	if (headers->has_vlan) {
		p = put16(p, 0x8100);
		p = put16(p, headers->vlan & 0xfffu);
	}
	return put16(p, headers->family == 6 ? 0x86dd : 0x0800);
}

static uint8_t *write_ip4(const struct hr_headers *headers, uint8_t *p,
			  uint32_t udp_bytes)
{
	uint16_t sum;

	memset(p, 0, 20);
	p[0] = 0x45;
	put16(p + 2, 20 + udp_bytes);
	put16(p + 6, 0x4000); /* do not fragment */
	p[8] = headers->hop_limit != 0 ? headers->hop_limit : 64;
	p[9] = PROTO_UDP;
	memcpy(p + 12, headers->source, 4);
	memcpy(p + 16, headers->dest, 4);
	sum = hr_checksum_fold(hr_checksum_add(0, p, 20));
	memcpy(p + 10, &sum, 2);
	return p + 20;
}

static uint8_t *write_ip6(const struct hr_headers *headers, uint8_t *p,
			  uint32_t udp_bytes)
{
	memset(p, 0, 8);
	p[0] = 0x60;
	put16(p + 4, udp_bytes);
	p[6] = PROTO_UDP;
	p[7] = headers->hop_limit != 0 ? headers->hop_limit : 64;
	memcpy(p + 8, headers->source, 16);
	memcpy(p + 24, headers->dest, 16);
	return p + 40;
}

static void write_udp(const struct hr_headers *headers, uint8_t *p, uint32_t udp_bytes)
{
	uint32_t address_bytes = headers->family == 6 ? 16 : 4;
	uint64_t sum = (uint64_t)htons(PROTO_UDP) + htons((uint16_t)udp_bytes);
	uint16_t folded;

	put16(p, headers->source_port);
	put16(p + 2, headers->dest_port);
	put16(p + 4, udp_bytes);
	put16(p + 6, 0);
	sum = hr_checksum_add(sum, headers->source, address_bytes);
	sum = hr_checksum_add(sum, headers->dest, address_bytes);
	folded = hr_checksum_fold(hr_checksum_add(sum, p, udp_bytes));
	if (folded == 0)
		folded = 0xffff; /* 0 would say "not computed" */
	memcpy(p + 6, &folded, 2);
}

uint32_t hr_headers_write(const struct hr_headers *headers, uint8_t *frame,
			  uint32_t payload_bytes)
{
	uint32_t max =
		headers->family == 6 ? 65535 - UDP_BYTES : 65535 - 20 - UDP_BYTES;
	uint32_t udp_bytes = UDP_BYTES + payload_bytes;
	uint8_t *p;

	if (payload_bytes > max)
		return 0;
	p = write_ether(headers, frame);
	p = headers->family == 6 ? write_ip6(headers, p, udp_bytes)
				 : write_ip4(headers, p, udp_bytes);
	write_udp(headers, p, udp_bytes);
	return hr_headers_bytes(headers) + payload_bytes;
}
