/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_LOG_DEATH_H
#define HR_CTL_LOG_DEATH_H

/*
 * log death - last words where a link kills fold, and with it this program: which link
 * it was, and exit code 1. Fold notes what its thread works on (notes.h); what another
 * thread dies of is not its doing, and ends the program as without this.
 */

/* From here on; takes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT. */
void hr_log_death_begin(void);

#endif
