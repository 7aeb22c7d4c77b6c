/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_GEN_WORLD_H
#define HR_GEN_WORLD_H

/*
 * A plan, the log that a faultless appliance would make of it (one link a datagram),
 * and what verify found, as text.
 */

#include "tools/gen/check_log.h"

struct world {
	struct hr_known known;
	struct hr_findings findings;
	char *told;
	size_t told_bytes;
	struct hr_check_log log;
};

/* An item as the dataplane logs the datagram; its payload lies in `batch`. */
struct logged {
	struct hr_item item;
	uint16_t shard;
	uint64_t link;
};

void world_init(struct world *w, const struct hr_plan *plan);
void world_fini(struct world *w);

/* Makes the plan's datagrams one after the other; `meddle` may change the item, and
 * says how often it is logged. NULL: once, as it is. */
typedef int (*meddle)(struct logged *logged, uint64_t number, void *arg);
void world_log(struct world *w, meddle how, void *arg);

/* An item on its own into the log. */
void world_log_item(struct world *w, const struct logged *logged);

#endif
