/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "dataplane/beacon/token.h"

void hr_tokens_init(struct hr_tokens *t, const uint8_t secret[HR_SECRET_BYTES],
		    uint64_t wall_us)
{
	memcpy(t->secret, secret, HR_SECRET_BYTES);
	t->hour = UINT64_MAX; /* no hour: both keys are made by the first turn */
	hr_tokens_turn(t, wall_us);
}
