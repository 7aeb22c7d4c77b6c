/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_FRAMES_H
#define HR_TEST_FRAMES_H

/*
 * frames - frames for tests, written by hand and not by the code under test: a byte
 * cursor and the checksum exactly as RFC 1071 section 1 words it, 16 bits at a time.
 */

#include <stdint.h>
#include <string.h>

struct frame {
	uint8_t bytes[70000];
	uint32_t n;
	uint32_t ip, udp; /* offsets of the headers */
};

static inline void put(struct frame *f, const void *p, uint32_t n)
{
	memcpy(f->bytes + f->n, p, n);
	f->n += n;
}

static inline void put8(struct frame *f, uint32_t v)
{
	f->bytes[f->n++] = (uint8_t)v;
}

static inline void put16(struct frame *f, uint32_t v)
{
	put8(f, v >> 8);
	put8(f, v);
}

static inline void set16(struct frame *f, uint32_t at, uint32_t v)
{
	f->bytes[at] = (uint8_t)(v >> 8);
	f->bytes[at + 1] = (uint8_t)v;
}

static inline uint32_t slow_sum(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
		if (sum > 0xffff)
			sum = (sum & 0xffff) + 1; /* end-around carry */
	}
	return sum;
}

struct shape {
	uint32_t family; /* 4 or 6 */
	uint32_t vlan_tags;
	uint32_t vlan_type;     /* 0 means 0x8100 */
	uint32_t option_bytes;  /* IPv4 */
	uint32_t extensions[6]; /* IPv6: next header numbers, 0xff ends the list */
	uint32_t n_extensions;
	uint32_t extension_bytes; /* of each; 0 means 8 */
	uint32_t payload_bytes;
	uint32_t padding;
	uint32_t dest_port; /* 0 means 4000 */
};

static inline void fix_ip(struct frame *f, uint32_t header_bytes)
{
	set16(f, f->ip + 10, 0);
	set16(f, f->ip + 10, ~slow_sum(0, f->bytes + f->ip, header_bytes));
}

static inline uint32_t udp_sum(const struct frame *f, uint32_t family,
			       uint32_t udp_bytes)
{
	uint8_t tail[4] = { 0, 17, (uint8_t)(udp_bytes >> 8), (uint8_t)udp_bytes };
	uint32_t at = family == 4 ? f->ip + 12 : f->ip + 8;
	uint32_t sum = slow_sum(0, f->bytes + at, family == 4 ? 8 : 32);

	sum = slow_sum(sum, tail, 4);
	return slow_sum(sum, f->bytes + f->udp, udp_bytes);
}

static inline void fix_udp(struct frame *f, uint32_t family, uint32_t udp_bytes)
{
	uint32_t sum;

	set16(f, f->udp + 6, 0);
	sum = ~udp_sum(f, family, udp_bytes) & 0xffff;
	set16(f, f->udp + 6, sum != 0 ? sum : 0xffff);
}

static inline void build(struct frame *f, const struct shape *s)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
	uint32_t ext = s->extension_bytes != 0 ? s->extension_bytes : 8;
	uint32_t udp_bytes = 8 + s->payload_bytes;

	f->n = 0;
	put(f, macs, 12);
	for (uint32_t i = 0; i < s->vlan_tags; i++) {
		put16(f, s->vlan_type != 0 ? s->vlan_type : 0x8100);
		put16(f, 0x2000 | 7);
	}
	put16(f, s->family == 4 ? 0x0800 : 0x86dd);
	f->ip = f->n;
	if (s->family == 4) {
		put8(f, 0x40 | (5 + s->option_bytes / 4));
		put8(f, 0);
		put16(f, 20 + s->option_bytes + udp_bytes);
		put16(f, 0x1234);
		put16(f, 0x4000);
		put8(f, 63);
		put8(f, 17);
		put16(f, 0);
		put(f, "\x0a\x01\x00\x02\x0a\x01\x00\x01", 8);
		for (uint32_t i = 0; i < s->option_bytes; i++)
			put8(f, 1); /* no operation */
		fix_ip(f, 20 + s->option_bytes);
	} else {
		put8(f, 0x60);
		put8(f, 0);
		put16(f, 0);
		put16(f, s->n_extensions * ext + udp_bytes);
		put8(f, s->n_extensions != 0 ? s->extensions[0] : 17);
		put8(f, 63);
		for (uint32_t i = 0; i < 32; i++)
			put8(f, i < 16 ? 0xf0 + i : 0xa0 + i);
		for (uint32_t i = 0; i < s->n_extensions; i++) {
			put8(f, i + 1 < s->n_extensions ? s->extensions[i + 1] : 17);
			put8(f, ext / 8 - 1);
			for (uint32_t b = 2; b < ext; b++)
				put8(f, 0);
		}
	}
	f->udp = f->n;
	put16(f, 5555);
	put16(f, s->dest_port != 0 ? s->dest_port : 4000);
	put16(f, udp_bytes);
	put16(f, 0);
	for (uint32_t i = 0; i < s->payload_bytes; i++)
		put8(f, i * 7 + 3);
	fix_udp(f, s->family, udp_bytes);
	for (uint32_t i = 0; i < s->padding; i++)
		put8(f, 0xee);
}

#endif
