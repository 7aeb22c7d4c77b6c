/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_HOLDINGS_H
#define HR_HOLDINGS_H

/*
 * holdings - which shards this appliance has, across restarts: those that the
 * configuration names (appliance.shards; none: all), and those it took, without those
 * that another appliance took from it while it was alive. So a shard is named by whoever
 * fenced it last, and one that comes back does not fence it back.
 *
 *   appliance.state_dir/shards      headrace-shards 1
 *                                   data_set 0011...ff
 *                                   taken 3
 *                                   struck 1
 *                                   end
 *
 * Written whole under another name, synced, renamed, the folder synced: what is there is
 * the old list or the new one. Without the file, and for another data set, the
 * configuration alone holds. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "dataplane/log/record.h"

struct hr_holdings {
	char path[HR_CONFIG_TEXT + 16], folder[HR_CONFIG_TEXT];
	struct hr_id128 data_set;
	uint32_t n_shards;
	bool is_configured[HR_OWN_SHARDS_MAX];
	enum hr_holding {
		HR_HOLDING_AS_CONFIGURED,
		HR_HOLDING_TAKEN,
		HR_HOLDING_STRUCK,
	} holdings[HR_OWN_SHARDS_MAX];
};

/* Read it. Returns 0, also where there is no file yet, or a negated errno with err: it
 * cannot be read, or is no such list; then nobody knows which shards are ours. */
int hr_holdings_read(struct hr_holdings *h, const struct hr_config *config,
		     const struct hr_data_set *set, struct hr_err *err);

bool hr_holdings_has(const struct hr_holdings *h, uint16_t shard);

/* Taken, or struck: it is on the disk when this returns 0. Else a negated errno with
 * err, and nothing has changed. */
int hr_holdings_keep(struct hr_holdings *h, uint16_t shard, bool is_ours,
		     struct hr_err *err);

#endif
