/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>

#include <rte_mbuf.h>

#include "dataplane/drops.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/net.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/net/frames.h"

static struct hr_net_ports ports;
static struct frame frame;

static void setup(void)
{
	memset(&ports, 0, sizeof(ports));
	hr_net_ports_add(&ports, 4000);
	hr_net_ports_add(&ports, 65535);
}

/* In a heap block of exactly n bytes, so that the address sanitizer sees a read
 * behind the end. */
static int parse_exact(const uint8_t *p, uint32_t n, uint32_t flags,
		       struct hr_net_beacon *out)
{
	uint8_t *copy = malloc(n != 0 ? n : 1);
	int drop;

	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	memcpy(copy, p, n);
	drop = hr_net_parse(n != 0 ? copy : copy + 1, n, flags, &ports, out);
	if (drop == HR_DROP_NONE) { /* rebase, so that the caller may look */
		CU_ASSERT_TRUE(out->payload >= copy &&
			       out->payload + out->payload_bytes <= copy + n);
		out->payload = p + (out->payload - copy);
	}
	free(copy);
	return drop;
}

static int parse_frame(uint32_t flags, struct hr_net_beacon *out)
{
	return parse_exact(frame.bytes, frame.n, flags, out);
}

static const struct shape good[] = {
	{ .family = 4, .payload_bytes = 32 },
	{ .family = 4, .payload_bytes = 0 },
	{ .family = 4, .payload_bytes = 1, .padding = 17 },
	{ .family = 4, .payload_bytes = 33, .vlan_tags = 1 },
	{ .family = 4, .payload_bytes = 33, .vlan_tags = 1, .vlan_type = 0x88a8 },
	{ .family = 4, .payload_bytes = 31, .option_bytes = 4 },
	{ .family = 4, .payload_bytes = 31, .option_bytes = 40, .vlan_tags = 1 },
	{ .family = 4, .payload_bytes = 1232 },
	{ .family = 4, .payload_bytes = 1472, .padding = 4 },
	{ .family = 4, .payload_bytes = 65507 },
	{ .family = 4, .payload_bytes = 9, .dest_port = 65535 },
	{ .family = 6, .payload_bytes = 32 },
	{ .family = 6, .payload_bytes = 0, .padding = 6 },
	{ .family = 6, .payload_bytes = 1233, .vlan_tags = 1 },
	{ .family = 6, .payload_bytes = 5, .extensions = { 0 }, .n_extensions = 1 },
	{ .family = 6, .payload_bytes = 5, .extensions = { 0, 60 }, .n_extensions = 2 },
	{ .family = 6,
	  .payload_bytes = 5,
	  .extensions = { 60, 60, 0, 60 },
	  .n_extensions = 4,
	  .extension_bytes = 64 },
	{ .family = 6,
	  .payload_bytes = 5,
	  .extensions = { 60 },
	  .n_extensions = 1,
	  .extension_bytes = 256 },
};

static void every_header_variant_leads_to_its_payload(void)
{
	for (size_t i = 0; i < HR_COUNT(good); i++) {
		struct hr_net_beacon b;

		build(&frame, &good[i]);
		CU_ASSERT_EQUAL(parse_frame(0, &b), HR_DROP_NONE);
		CU_ASSERT_EQUAL(b.payload_bytes, good[i].payload_bytes);
		CU_ASSERT_EQUAL(b.payload, frame.bytes + frame.udp + 8);
		CU_ASSERT_EQUAL(b.family, good[i].family);
		CU_ASSERT_EQUAL(b.source_port, 5555);
		CU_ASSERT_EQUAL(b.dest_port,
				good[i].dest_port != 0 ? good[i].dest_port : 4000);
		if (b.family == 4)
			CU_ASSERT_EQUAL(
				memcmp(b.source,
				       "\x0a\x01\x00\x02\0\0\0\0\0\0\0\0\0\0\0\0", 16),
				0);
		if (b.family == 6)
			CU_ASSERT_EQUAL(
				memcmp(b.source, frame.bytes + frame.ip + 8, 16), 0);
	}
}

/* Cut anywhere before the end of the datagram: always refused as short, and (under
 * the address sanitizer) nothing behind the cut is read. */
static void every_truncation_is_short(void)
{
	for (size_t i = 0; i < HR_COUNT(good); i++) {
		uint32_t step = good[i].payload_bytes > 2000 ? 997 : 1;

		build(&frame, &good[i]);
		for (uint32_t n = 0; n < frame.n - good[i].padding; n += step) {
			struct hr_net_beacon b;

			CU_ASSERT_EQUAL(parse_exact(frame.bytes, n, 0, &b),
					HR_DROP_NET_SHORT);
		}
	}
}

struct flaw {
	const char *what;
	struct shape shape;
	uint32_t base;      /* 'f' frame, 'i' IP header, 'u' UDP header */
	uint32_t at, value; /* 16 bits set there */
	bool fix_ip, fix_udp;
	int want;
};

#define PLAIN4                                                                         \
	{                                                                              \
		.family = 4, .payload_bytes = 32                                       \
	}
#define PLAIN6                                                                         \
	{                                                                              \
		.family = 6, .payload_bytes = 32                                       \
	}

static const struct flaw flaws[] = {
	{ "ARP", PLAIN4, 'f', 12, 0x0806, 0, 0, HR_DROP_NET_NOT_IP },
	{ "802.3 length", PLAIN4, 'f', 12, 60, 0, 0, HR_DROP_NET_NOT_IP },
	{ "two tags",
	  { .family = 4, .vlan_tags = 2, .payload_bytes = 8 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_NOT_IP },
	{ "version 5", PLAIN4, 'i', 0, 0x5500, 1, 0, HR_DROP_NET_IP_HEADER },
	{ "version 6 behind 0800", PLAIN4, 'i', 0, 0x6500, 1, 0,
	  HR_DROP_NET_IP_HEADER },
	{ "version 4 behind 86dd", PLAIN6, 'i', 0, 0x4500, 0, 0,
	  HR_DROP_NET_IP_HEADER },
	{ "header length 16", PLAIN4, 'i', 0, 0x4400, 0, 0, HR_DROP_NET_IP_HEADER },
	{ "total below the header", PLAIN4, 'i', 2, 19, 1, 0, HR_DROP_NET_IP_HEADER },
	{ "total 0", PLAIN4, 'i', 2, 0, 1, 0, HR_DROP_NET_IP_HEADER },
	{ "total behind the frame", PLAIN4, 'i', 2, 61, 1, 0, HR_DROP_NET_SHORT },
	{ "payload behind the frame", PLAIN6, 'i', 4, 41, 0, 0, HR_DROP_NET_SHORT },
	{ "header checksum", PLAIN4, 'i', 10, 0x1111, 0, 0, HR_DROP_NET_IP_CHECKSUM },
	{ "hop limit changed on the way", PLAIN4, 'i', 8, 0x3e11, 0, 0,
	  HR_DROP_NET_IP_CHECKSUM },
	{ "first fragment", PLAIN4, 'i', 6, 0x2000, 1, 0, HR_DROP_NET_FRAGMENT },
	{ "last fragment", PLAIN4, 'i', 6, 0x0001, 1, 0, HR_DROP_NET_FRAGMENT },
	{ "fragment of TCP", PLAIN4, 'i', 6, 0x1fff, 1, 0, HR_DROP_NET_FRAGMENT },
	{ "TCP", PLAIN4, 'i', 8, 0x3f06, 1, 0, HR_DROP_NET_NOT_UDP },
	{ "ICMP", PLAIN4, 'i', 8, 0x3f01, 1, 0, HR_DROP_NET_NOT_UDP },
	{ "TCP over IPv6", PLAIN6, 'i', 6, 0x063f, 0, 0, HR_DROP_NET_NOT_UDP },
	{ "no next header", PLAIN6, 'i', 6, 0x3b3f, 0, 0, HR_DROP_NET_NOT_UDP },
	{ "fragment header",
	  { .family = 6, .extensions = { 44 }, .n_extensions = 1 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_FRAGMENT },
	{ "fragment header behind options",
	  { .family = 6, .extensions = { 0, 60, 44 }, .n_extensions = 3 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_FRAGMENT },
	{ "routing header",
	  { .family = 6, .extensions = { 43 }, .n_extensions = 1 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_NOT_UDP },
	{ "five extensions",
	  { .family = 6, .extensions = { 0, 60, 60, 60, 60 }, .n_extensions = 5 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_NOT_UDP },
	{ "264 bytes of extensions",
	  { .family = 6,
	    .extensions = { 0 },
	    .n_extensions = 1,
	    .extension_bytes = 264 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_NOT_UDP },
	{ "2 x 136 bytes of extensions",
	  { .family = 6,
	    .extensions = { 0, 60 },
	    .n_extensions = 2,
	    .extension_bytes = 136 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_NOT_UDP },
	{ "no room for UDP", PLAIN4, 'i', 2, 27, 1, 0, HR_DROP_NET_UDP_LENGTH },
	{ "no room for UDP, IPv6", PLAIN6, 'i', 4, 7, 0, 0, HR_DROP_NET_UDP_LENGTH },
	{ "jumbogram", PLAIN6, 'i', 4, 0, 0, 0, HR_DROP_NET_UDP_LENGTH },
	{ "UDP length 7", PLAIN4, 'u', 4, 7, 0, 0, HR_DROP_NET_UDP_LENGTH },
	{ "UDP length short by one", PLAIN4, 'u', 4, 39, 0, 0, HR_DROP_NET_UDP_LENGTH },
	{ "UDP length long by one",
	  { .family = 4, .payload_bytes = 32, .padding = 8 },
	  'u',
	  4,
	  41,
	  0,
	  0,
	  HR_DROP_NET_UDP_LENGTH },
	{ "UDP checksum", PLAIN4, 'u', 6, 0x1234, 0, 0, HR_DROP_NET_UDP_CHECKSUM },
	{ "UDP checksum, IPv6", PLAIN6, 'u', 6, 0x1234, 0, 0,
	  HR_DROP_NET_UDP_CHECKSUM },
	{ "a payload byte", PLAIN4, 'u', 8, 0x0303, 0, 0, HR_DROP_NET_UDP_CHECKSUM },
	{ "a source address", PLAIN6, 'i', 8, 0x1111, 0, 0, HR_DROP_NET_UDP_CHECKSUM },
	{ "no checksum, IPv6", PLAIN6, 'u', 6, 0, 0, 0, HR_DROP_NET_UDP_CHECKSUM },
	{ "no checksum, IPv4", PLAIN4, 'u', 6, 0, 0, 0, HR_DROP_NONE },
	{ "another port",
	  { .family = 4, .dest_port = 4001, .payload_bytes = 3 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_PORT },
	{ "another port, 3999",
	  { .family = 6, .dest_port = 3999 },
	  'f',
	  0,
	  0,
	  0,
	  0,
	  HR_DROP_NET_PORT },
	{ "reserved bit", PLAIN4, 'i', 6, 0x8000, 1, 0, HR_DROP_NONE },
};

static void every_flaw_has_its_reason(void)
{
	for (size_t i = 0; i < HR_COUNT(flaws); i++) {
		const struct flaw *w = &flaws[i];
		struct hr_net_beacon b;
		int got;

		build(&frame, &w->shape);
		if (w->base == 'i')
			set16(&frame, frame.ip + w->at, w->value);
		else if (w->base == 'u')
			set16(&frame, frame.udp + w->at, w->value);
		else if (w->at != 0)
			set16(&frame, w->at, w->value);
		if (w->fix_ip)
			fix_ip(&frame, 20);
		got = parse_frame(0, &b);
		if (got != w->want)
			printf("\n    %s: got %s, want %s ", w->what,
			       hr_drop_rows[got].label, hr_drop_rows[w->want].label);
		CU_ASSERT_EQUAL(got, w->want);
	}
}

static void what_the_device_verified_is_believed_and_nothing_else(void)
{
	static const struct {
		bool break_ip, break_udp, no_udp;
		uint32_t family, flags;
		int want;
	} cases[] = {
		{ 1, 0, 0, 4, HR_NET_IP_GOOD, HR_DROP_NONE },
		{ 1, 0, 0, 4, HR_NET_L4_GOOD, HR_DROP_NET_IP_CHECKSUM },
		{ 0, 1, 0, 4, HR_NET_L4_GOOD, HR_DROP_NONE },
		{ 0, 1, 0, 4, HR_NET_IP_GOOD, HR_DROP_NET_UDP_CHECKSUM },
		{ 0, 1, 0, 6, HR_NET_L4_GOOD, HR_DROP_NONE },
		{ 0, 0, 1, 6, HR_NET_L4_GOOD, HR_DROP_NET_UDP_CHECKSUM },
		{ 0, 0, 1, 4, HR_NET_L4_GOOD, HR_DROP_NONE },
		/* A card's "bad" is looked at again here. */
		{ 0, 0, 0, 4, HR_NET_IP_BAD | HR_NET_L4_BAD, HR_DROP_NONE },
		{ 0, 1, 0, 4, HR_NET_L4_BAD, HR_DROP_NET_UDP_CHECKSUM },
		{ 1, 0, 0, 4, HR_NET_IP_BAD, HR_DROP_NET_IP_CHECKSUM },
		/* Both bits: not in the packet, but verified (a virtual device). */
		{ 0, 1, 0, 4, HR_NET_L4_BAD | HR_NET_L4_GOOD, HR_DROP_NONE },
	};

	for (size_t i = 0; i < HR_COUNT(cases); i++) {
		const struct shape s = { .family = cases[i].family,
					 .payload_bytes = 40 };
		struct hr_net_beacon b;

		build(&frame, &s);
		if (cases[i].break_ip)
			frame.bytes[frame.ip + 10] ^= 0x55;
		if (cases[i].break_udp)
			frame.bytes[frame.udp + 6] ^= 0x55;
		if (cases[i].no_udp)
			set16(&frame, frame.udp + 6, 0);
		CU_ASSERT_EQUAL(parse_frame(cases[i].flags, &b), cases[i].want);
	}
}

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32);
}

/* Known answers of RFC 1071 section 3, then every length against the slow sum. */
static void checksums_agree_with_the_slow_sum(void)
{
	static const uint8_t rfc[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	uint8_t bytes[1600];
	uint16_t folded = hr_checksum_fold(hr_checksum_add(0, rfc, sizeof(rfc)));

	CU_ASSERT_EQUAL(__builtin_bswap16(folded), (uint16_t)~0xddf2);
	for (uint32_t n = 0; n <= sizeof(bytes); n++) {
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(n % 3 == 0 ? 0xff : random32());
		folded = hr_checksum_fold(hr_checksum_add(0, bytes, n));
		CU_ASSERT_EQUAL(__builtin_bswap16(folded),
				(uint16_t)~slow_sum(0, bytes, n));
	}
	memset(frame.bytes, 0xff, 65535); /* the most that can be added */
	folded = hr_checksum_fold(hr_checksum_add(0, frame.bytes, 65535));
	CU_ASSERT_EQUAL(__builtin_bswap16(folded),
			(uint16_t)~slow_sum(0, frame.bytes, 65535));
}

/* One changed bit is one changed word, which the checksum always sees; in what it
 * does not cover (MAC addresses, IPv6 class and flow, the TCI) it changes nothing. */
static void random_changes_never_pass_as_sound(void)
{
	uint32_t passed = 0;

	for (uint32_t round = 0; round < 200000; round++) {
		const struct shape *s = &good[random32() % HR_COUNT(good)];
		uint32_t changes = 1 + random32() % 3;
		struct hr_net_beacon b;
		int drop;

		if (s->payload_bytes > 2000)
			continue;
		build(&frame, s);
		for (uint32_t i = 0; i < changes; i++)
			frame.bytes[random32() % frame.n] ^=
				(uint8_t)(1 + random32() % 255);
		drop = parse_frame(0, &b);
		CU_ASSERT_TRUE(drop >= HR_DROP_NONE && drop <= HR_DROP_NET_PORT);
		if (drop != HR_DROP_NONE)
			continue;
		/* Whatever passes passes the independent sum as well. */
		passed++;
		if (frame.bytes[b.payload - frame.bytes - 2] != 0 ||
		    frame.bytes[b.payload - frame.bytes - 1] != 0)
			CU_ASSERT_EQUAL(udp_sum(&frame, b.family, 8u + b.payload_bytes),
					0xffff);
	}
	CU_ASSERT_TRUE(passed > 1000); /* changed MAC addresses and padding */
}

static void random_bytes_are_never_read_past_their_end(void)
{
	for (uint32_t round = 0; round < 200000; round++) {
		uint32_t n = random32() % 200;
		struct hr_net_beacon b;

		for (uint32_t i = 0; i < n; i++)
			frame.bytes[i] = (uint8_t)random32();
		if (n > 14 && round % 2 == 0)
			set16(&frame, 12, round % 4 == 0 ? 0x0800 : 0x86dd);
		if (n > 14 && round % 2 == 0)
			frame.bytes[14] = round % 4 == 0 ? 0x45 : 0x60;
		(void)parse_frame(random32() & (HR_NET_IP_GOOD | HR_NET_L4_GOOD), &b);
	}
}

/* An mbuf on the heap, as a device without a pool would hand it over. */
static struct rte_mbuf *mbuf(const uint8_t *p, uint32_t n, uint32_t room)
{
	struct rte_mbuf *m = calloc(1, sizeof(*m));

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	m->buf_addr = malloc(room);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m->buf_addr);
	memcpy(m->buf_addr, p, n);
	m->buf_len = (uint16_t)room;
	m->data_len = (uint16_t)n;
	m->pkt_len = n;
	m->nb_segs = 1;
	return m;
}

/* The frame in pieces of at most `cut` bytes, buffers of `room`. */
static struct rte_mbuf *chain(uint32_t cut, uint32_t room)
{
	struct rte_mbuf *head = NULL, **link = &head;
	uint16_t segments = 0;

	for (uint32_t at = 0; at < frame.n; at += cut) {
		uint32_t n = frame.n - at < cut ? frame.n - at : cut;

		*link = mbuf(frame.bytes + at, n, room);
		link = &(*link)->next;
		segments++;
	}
	head->nb_segs = segments;
	head->pkt_len = frame.n;
	return head;
}

static void release(struct rte_mbuf *m)
{
	while (m != NULL) {
		struct rte_mbuf *next = m->next;

		free(m->buf_addr);
		free(m);
		m = next;
	}
}

static void a_burst_gives_each_frame_its_own_verdict(void)
{
	struct rte_mbuf *mbufs[HR_COUNT(good) + HR_COUNT(flaws)];
	struct hr_net_beacon out[HR_COUNT(mbufs) + 1];
	uint8_t verdicts[HR_COUNT(mbufs) + 1];
	uint32_t n = 0, want = 0;

	for (size_t i = 0; i < HR_COUNT(good); i++) {
		if (good[i].payload_bytes > 2000)
			continue;
		build(&frame, &good[i]);
		mbufs[n] = mbuf(frame.bytes, frame.n, frame.n);
		if (i % 2 == 1) { /* broken, but verified by the device: good */
			frame.bytes[frame.udp + 6] ^= 1;
			mbufs[n]->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		}
		n++;
		want++;
	}
	for (size_t i = 0; i < 4; i++) {
		const struct shape s = { .family = 4, .dest_port = 1 };

		build(&frame, &s);
		mbufs[n++] = mbuf(frame.bytes, frame.n, frame.n);
	}
	verdicts[n] = 0xaa; /* the count given is the count processed */
	CU_ASSERT_EQUAL(hr_net_parse_burst(mbufs, n, &ports, out, verdicts), want);
	for (uint32_t i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(verdicts[i],
				i < want ? HR_DROP_NONE : HR_DROP_NET_PORT);
		if (i < want)
			CU_ASSERT_EQUAL(out[i].source_port, 5555);
		release(mbufs[i]);
	}
	CU_ASSERT_EQUAL(verdicts[n], 0xaa);
	CU_ASSERT_EQUAL(hr_net_parse_burst(NULL, 0, &ports, NULL, NULL), 0);
}

static void frames_in_segments_are_gathered_or_refused_by_name(void)
{
	static const struct {
		struct shape shape;
		uint32_t cut, room;
		bool break_udp;
		int want;
	} cases[] = {
		{ { .family = 4, .payload_bytes = 1472 }, 200, 2048, 0, HR_DROP_NONE },
		{ { .family = 6, .payload_bytes = 1232 }, 63, 2048, 0, HR_DROP_NONE },
		{ { .family = 4, .payload_bytes = 100 },
		  60,
		  2048,
		  1,
		  HR_DROP_NET_UDP_CHECKSUM },
		{ { .family = 4, .payload_bytes = 30, .padding = 5000 },
		  2048,
		  2048,
		  0,
		  HR_DROP_NONE },
		{ { .family = 4, .payload_bytes = 1473 },
		  1024,
		  2048,
		  0,
		  HR_DROP_FRAME_LONG },
		{ { .family = 4, .payload_bytes = 65507 },
		  2048,
		  2048,
		  0,
		  HR_DROP_FRAME_LONG },
		{ { .family = 4, .payload_bytes = 100 },
		  30,
		  2048,
		  0,
		  HR_DROP_NET_SHORT },
		{ { .family = 4, .payload_bytes = 100 }, 60, 64, 0, HR_DROP_NET_SHORT },
	};

	for (size_t i = 0; i < HR_COUNT(cases); i++) {
		struct hr_net_beacon b;
		struct rte_mbuf *m;
		uint8_t verdict;

		build(&frame, &cases[i].shape);
		if (cases[i].break_udp)
			frame.bytes[frame.udp + 6] ^= 1;
		m = chain(cases[i].cut, cases[i].room);
		(void)hr_net_parse_burst(&m, 1, &ports, &b, &verdict);
		CU_ASSERT_EQUAL(verdict, cases[i].want);
		if (verdict == HR_DROP_NONE)
			CU_ASSERT_EQUAL(memcmp(b.payload, frame.bytes + frame.udp + 8,
					       cases[i].shape.payload_bytes),
					0);
		release(m);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every header variant leads to its payload",
		  every_header_variant_leads_to_its_payload },
		{ "every truncation is short", every_truncation_is_short },
		{ "every flaw has its reason", every_flaw_has_its_reason },
		{ "what the device verified is believed and nothing else",
		  what_the_device_verified_is_believed_and_nothing_else },
		{ "checksums agree with the slow sum",
		  checksums_agree_with_the_slow_sum },
		{ "random changes never pass as sound",
		  random_changes_never_pass_as_sound },
		{ "random bytes are never read past their end",
		  random_bytes_are_never_read_past_their_end },
		{ "a burst gives each frame its own verdict",
		  a_burst_gives_each_frame_its_own_verdict },
		{ "frames in segments are gathered or refused by name",
		  frames_in_segments_are_gathered_or_refused_by_name },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("net", setup, NULL, tests);
}
