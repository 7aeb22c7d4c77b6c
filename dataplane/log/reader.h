/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_READER_H
#define HR_READER_H

/*
 * reader - the accepted links of one shard, from the first, for whoever has to
 * read the log again: a view behind memory, verify, a checker. Owner and reader
 * apply the same hr_chain. One thread at a time per reader; no outputs are made:
 * link->out is NULL until the caller folds.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/link.h"
#include "dataplane/log/record.h"
#include "dataplane/log/start.h"

struct hr_config;
struct hr_reader;

/*
 * Find the data set: the record at the lowest offset of headrace.meta. With
 * make = true an empty topic gets one first (random id and key, S and generation
 * as configured). Missing topics are made, existing ones checked against the
 * settings they must have. Returns 0, -ENOENT (none and not make), -EINVAL
 * (configuration disagrees; err names both values) or -EIO (log out of reach
 * for wait_ms).
 */
int hr_data_set_find(struct hr_data_set *out, const struct hr_config *config, bool make,
		     uint32_t wait_ms, struct hr_err *err);

int hr_reader_open(struct hr_reader **out, const struct hr_config *config,
		   const struct hr_data_set *set, uint16_t shard, struct hr_err *err);
/*
 * From behind link n of start (NULL: from the first link). The record there is read and
 * must be that link: else hr_reader_next() says -ESTALE (something else lies there) or
 * -ENODATA (nothing does). hr_reader_has_begun() tells when that is known to be well.
 */
int hr_reader_open_at(struct hr_reader **out, const struct hr_config *config,
		      const struct hr_data_set *set, uint16_t shard,
		      const struct hr_log_start *start, struct hr_err *err);
bool hr_reader_has_begun(const struct hr_reader *reader);
void hr_reader_close(struct hr_reader *reader);

/*
 * The next accepted link: 1 and *out (one reference, the caller's), 0 when the
 * end was reached or wait_ms went by (hr_reader_is_at_end tells which), or a
 * negated errno with err. Trouble with the broker is waited out, not an error.
 */
int hr_reader_next(struct hr_reader *reader, uint32_t wait_ms, struct hr_link **out,
		   struct hr_err *err);
bool hr_reader_is_at_end(const struct hr_reader *reader);

#endif
