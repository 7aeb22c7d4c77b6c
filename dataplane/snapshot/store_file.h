/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SNAPSHOT_STORE_FILE_H
#define HR_SNAPSHOT_STORE_FILE_H

/* The folder of snapshots, by its path; hr_snapshot_file.open() takes the path from the
 * configuration. */

#include "dataplane/snapshot/store.h"

int hr_snapshot_folder_open(struct hr_snapshot_store **out, const char *folder,
			    uint32_t n_shards, struct hr_err *err);

#endif
