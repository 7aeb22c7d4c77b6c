/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SETTINGS_H
#define HR_SETTINGS_H

/* settings - what headraced is told at its start: the configuration, and where the
 * dataplane's program is. Read once. */

#include <limits.h>

#include "common/config.h"
#include "common/error.h"

struct hr_settings {
	struct hr_config config;
	char config_path[PATH_MAX]; /* absolute */
	char program[PATH_MAX];     /* of the dataplane; can be executed */
};

/* Every problem of the file goes to standard error, one a line; err says the rest.
 * Sets the log level. */
int hr_settings_read(struct hr_settings *s, const char *path, struct hr_err *err);

#endif
