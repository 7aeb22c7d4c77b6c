/* SPDX-License-Identifier: BSD-3-Clause */

/* Frames to UDP payloads. The first byte is what the device said of the checksums:
 * without its word a checksum that fits would have to be guessed. */

#include "dataplane/drops.h"
#include "dataplane/net/net.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct hr_net_ports ports;
	struct hr_net_beacon out;
	uint32_t flags = 0;
	uint8_t *frame;
	int drop;

	if (n < 1 || n > 4096)
		return 0;
	hr_net_ports_add(&ports, 7400);
	hr_net_ports_add(&ports, 4000);
	flags |= data[0] & 1 ? HR_NET_IP_GOOD : 0;
	flags |= data[0] & 2 ? HR_NET_L4_GOOD : 0;
	flags |= data[0] & 4 ? HR_NET_IP_BAD : 0;
	flags |= data[0] & 8 ? HR_NET_L4_BAD : 0;
	frame = exact_copy(data + 1, --n);
	drop = hr_net_parse(frame, (uint32_t)n, flags, &ports, &out);
	HOLDS(drop >= HR_DROP_NONE && drop <= HR_DROP_NET_PORT);
	if (drop == HR_DROP_NONE) {
		HOLDS(out.payload >= frame && out.payload <= frame + n);
		HOLDS(out.payload_bytes <= (size_t)(frame + n - out.payload));
		HOLDS(hr_net_ports_has(&ports, out.dest_port));
		HOLDS(out.family == 4 || out.family == 6);
		/* Every byte counts for the sum, and for a sanitizer. */
		HOLDS(hr_net_parse(frame, (uint32_t)n, flags, &ports, &out) ==
		      HR_DROP_NONE);
	}
	free(frame);
	return 0;
}
