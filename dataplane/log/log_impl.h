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

/*
 * The link that chain has just accepted as the record in message. Takes over the
 * message on success; the client stays until the link is put. Returns 0, -ENOMEM,
 * or what hr_body_check() says: then the reader stops by name.
 */
int hr_link_from_message(struct hr_link **out, struct hr_kafka *client,
			 rd_kafka_message_t *message, const struct hr_record *record,
			 const struct hr_chain *chain, struct hr_err *err);

#endif
