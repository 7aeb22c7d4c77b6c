/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RUN_DIR_H
#define HR_RUN_DIR_H

/*
 * run_dir - the folder of an appliance that runs, and who holds it.
 *
 *     headraced.pid   locked by headraced for as long as it lives
 *     headraced.sock  its command link
 *     dataplane.pid   pid and start time, written by the dataplane's process itself
 *                     before it becomes the dataplane
 *     dataplane.sock, stats   made by the dataplane
 *
 * Main thread of headraced; hr_run_dir_path() anybody.
 */

#include <stdbool.h>

#include "common/error.h"

#define HR_RUN_DIR_HEADRACED_PID "headraced.pid"
#define HR_RUN_DIR_DATAPLANE_PID "dataplane.pid"
#define HR_RUN_DIR_PATH_MAX 512

/* dir/name; cut when longer (the schema bounds run_dir far below). */
void hr_run_dir_path(char out[HR_RUN_DIR_PATH_MAX], const char *dir, const char *name);

struct hr_run_dir;

/* Make the folder where it is missing and lock it. Returns -EWOULDBLOCK when another
 * headraced holds it: err names its pid. */
int hr_run_dir_open(struct hr_run_dir **out, const char *dir, struct hr_err *err);
/* Removes the pid file, and the folder if it was made here and is empty. NULL is
 * fine. */
void hr_run_dir_close(struct hr_run_dir *run);

/* Remove what a dataplane that is gone has left: files that a living process serves
 * or writes stay. */
void hr_run_dir_sweep(const char *dir);

#endif
