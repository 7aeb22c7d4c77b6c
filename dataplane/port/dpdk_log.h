/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_DPDK_LOG_H
#define HR_DPDK_LOG_H

/*
 * dpdk_log - what DPDK, its drivers and libbpf say goes into our log: errors and
 * warnings as warnings (whether they matter is for the caller to say), the rest as
 * debug. The first warning of an attempt is kept for the sentence of its error: those
 * behind it are the callers' echo.
 * Any thread may speak; the functions are the main thread's.
 */

#include <stddef.h>

/* Returns 0 or -ENOMEM. Stays open: DPDK's threads live as long as the process. */
int hr_dpdk_log_open(void);

/* Forget, before an attempt. */
void hr_dpdk_log_forget(void);
/* The first warning since then as "; DPDK says: ...", or "". */
void hr_dpdk_log_said(char *out, size_t max);

#endif
