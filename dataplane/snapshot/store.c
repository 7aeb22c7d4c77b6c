/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/snapshot/store.h"
#include "common/config.h"

const struct hr_snapshot_ops *hr_snapshot_ops_of(const struct hr_config *config)
{
	return config->log_kind == HR_LOG_KIND_FILE ? &hr_snapshot_file
						    : &hr_snapshot_kafka;
}
