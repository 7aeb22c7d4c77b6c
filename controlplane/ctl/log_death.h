/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_LOG_DEATH_H
#define HR_CTL_LOG_DEATH_H

/*
 * log death - last words where a link kills fold, and with it this program (the
 * dataplane has its own: poison.h): which link it was, and exit code 1. One thread.
 */

#include <stdint.h>

#include "dataplane/log/link.h"

/* From here on; takes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT. */
void hr_log_death_begin(void);
/* Work on a link begins; its words are made now, since a handler may only write. */
void hr_log_death_note(uint16_t shard, const struct hr_link *link);
/* Nothing is worked on. */
void hr_log_death_clear(void);

#endif
