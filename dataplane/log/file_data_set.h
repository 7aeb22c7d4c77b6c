/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FILE_DATA_SET_H
#define HR_FILE_DATA_SET_H

/*
 * data set on files - what hr_data_set_find() does where log.kind is file: read
 * log.folder's `meta`, or make it (make = true) with the folders above. Two who make it
 * at once agree. Never waits for anybody but the disk.
 *
 * Returns 0, -ENOENT (none and not make), -EINVAL (it disagrees with the configuration,
 * or a log lies there without it), -EBADMSG (damaged), -ENOTSUP (of a later program), or
 * what the disk said; with err.
 */

#include "dataplane/log/file_disk.h"
#include "dataplane/log/record.h"

struct hr_config;

int hr_file_data_set_find(struct hr_data_set *out, const struct hr_config *config,
			  bool make, const struct hr_disk *disk, struct hr_err *err);

#endif
