/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECK_H
#define HR_CHECK_H

/* check - `headracectl check FILE`: every problem of a configuration and of the key
 * file it names, one a line, or "FILE: ok". Returns the exit code, 0 or 1. */

#include <stdbool.h>
#include <stdio.h>

int hr_check(FILE *to, const char *path, bool as_json);

#endif
