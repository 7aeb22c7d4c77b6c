/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>

#include "dataplane/drops.h"
#include "dataplane/net/headers.h"
#include "dataplane/net/net.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/net/frames.h"

static struct frame frame;

static const uint32_t sizes[] = { 0, 1, 2, 47, 1231, 1232, 1472, 9000, 65507 };

static struct hr_headers headers(uint32_t family, bool has_vlan)
{
	struct hr_headers h;

	CU_ASSERT_EQUAL(hr_headers_init(&h, family == 6 ? "fd00::2" : "10.1.0.2", 5555,
					family == 6 ? "fd00::1" : "10.1.0.1", 4000),
			0);
	h.has_vlan = has_vlan;
	h.vlan = 7;
	return h;
}

/* Checked by the tests' own slow sums, and by the parser. */
static void written_frames_hold_right_checksums(void)
{
	static struct hr_net_ports ports;

	hr_net_ports_add(&ports, 4000);
	for (uint32_t i = 0; i < 4 * HR_COUNT(sizes); i++) {
		uint32_t family = i % 2 != 0 ? 6 : 4, n = sizes[i / 4];
		struct hr_headers h = headers(family, i % 4 >= 2);
		uint32_t header_bytes = hr_headers_bytes(&h);
		struct hr_net_beacon b;

		for (uint32_t at = 0; at < n; at++)
			frame.bytes[header_bytes + at] = (uint8_t)(at * 31);
		frame.n = hr_headers_write(&h, frame.bytes, n);
		CU_ASSERT_EQUAL(frame.n, header_bytes + n);
		frame.ip = h.has_vlan ? 18 : 14;
		frame.udp = header_bytes - 8;
		if (family == 4)
			CU_ASSERT_EQUAL(slow_sum(0, frame.bytes + frame.ip, 20),
					0xffff);
		CU_ASSERT_EQUAL(udp_sum(&frame, family, 8 + n), 0xffff);
		CU_ASSERT_EQUAL(hr_net_parse(frame.bytes, frame.n, 0, &ports, &b),
				HR_DROP_NONE);
		CU_ASSERT_EQUAL(b.payload_bytes, n);
		CU_ASSERT_EQUAL(b.source_port, 5555);
		CU_ASSERT_EQUAL(memcmp(b.source, h.source, 16), 0);
	}
}

/* A sum that comes out as 0 goes out as 0xffff: 0 would say "not computed". */
static void a_checksum_is_never_written_as_zero(void)
{
	struct hr_headers h = headers(4, false);
	uint32_t seen = 0;

	for (uint32_t v = 0; v < 65536; v++) {
		set16(&frame, 42, v);
		hr_headers_write(&h, frame.bytes, 2);
		CU_ASSERT_FALSE(frame.bytes[40] == 0 && frame.bytes[41] == 0);
		seen += frame.bytes[40] == 0xff && frame.bytes[41] == 0xff;
	}
	CU_ASSERT_EQUAL(seen, 1);
}

static void what_does_not_fit_a_packet_is_not_written(void)
{
	struct hr_headers h4 = headers(4, false), h6 = headers(6, false);

	CU_ASSERT_EQUAL(hr_headers_write(&h4, frame.bytes, 65508), 0);
	CU_ASSERT_EQUAL(hr_headers_write(&h6, frame.bytes, 65528), 0);
	CU_ASSERT_EQUAL(hr_headers_write(&h6, frame.bytes, 65527), 65527 + 62);
}

static void addresses_that_are_none_are_refused(void)
{
	struct hr_headers h;

	CU_ASSERT_EQUAL(hr_headers_init(&h, "10.1.0", 1, "10.1.0.1", 1), -EINVAL);
	CU_ASSERT_EQUAL(hr_headers_init(&h, "10.1.0.2", 1, "fd00::1", 1), -EINVAL);
	CU_ASSERT_EQUAL(hr_headers_init(&h, "fd00::1", 1, "10.1.0.2", 1), -EINVAL);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "written frames hold right checksums",
		  written_frames_hold_right_checksums },
		{ "a checksum is never written as zero",
		  a_checksum_is_never_written_as_zero },
		{ "what does not fit a packet is not written",
		  what_does_not_fit_a_packet_is_not_written },
		{ "addresses that are none are refused",
		  addresses_that_are_none_are_refused },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("headers", NULL, NULL, tests);
}
