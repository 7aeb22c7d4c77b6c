/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LOG_IMPL_H
#define HR_LOG_IMPL_H

/* Inside of the log room, shared by data set, reader and owner only. */

#include "dataplane/log/kafka.h"
#include "dataplane/log/link.h"
#include "dataplane/log/record.h"

#define HR_META_TOPIC "headrace.meta"

/* The log topic of a generation, with prefix. */
void hr_log_topic_name(char out[HR_KAFKA_TOPIC_NAME], const struct hr_config *config,
		       uint32_t generation);

#endif
