/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_COMMANDS_H
#define HR_COMMANDS_H

/*
 * commands - what the dataplane answers on its control socket (common/control.h):
 *
 *   status  what it is, whether it is ready and if not why, shards, views, ports
 *   shards take, log accept-loss {"shard": n}, config commit, clock accept
 *           the operator's word to the owner of the log (dataplane/log/owner.h)
 *   stop    begins to stop; the process ends by itself when all is written out
 *
 * Main thread.
 */

#include <jansson.h>
#include <stdbool.h>

#include "dataplane/dataplane.h"

struct hr_commands {
	struct hr_dataplane *dataplane;
	bool must_stop; /* set by "stop" */
};

/* An hr_control_handler; ctx is a struct hr_commands. */
json_t *hr_commands_answer(void *ctx, const char *command, const json_t *request);

#endif
