/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/config.h"
#include "dataplane/log/log.h"

const struct hr_log_ops *hr_log_ops_of(const struct hr_config *config)
{
	return config->log_kind == HR_LOG_KIND_FILE ? &hr_log_file : &hr_log_kafka;
}
