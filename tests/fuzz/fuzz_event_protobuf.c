/* SPDX-License-Identifier: BSD-3-Clause */

/* One protobuf Event message. */

#include "tests/fuzz/event_laws.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct taken t;

	if (n > HR_WIRE_PAYLOAD_MAX)
		return 0;
	taken_parse(&t, HR_CODEC_PROTOBUF, data, (uint32_t)n);
	if (t.verdict == HR_REJECT_NONE)
		check_event_laws(&t);
	taken_free(&t);
	return 0;
}
