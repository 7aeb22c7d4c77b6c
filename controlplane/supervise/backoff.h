/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BACKOFF_H
#define HR_BACKOFF_H

/*
 * backoff - how long to wait before a program that died is started again. One that
 * lived for HR_BACKOFF_LIVED_MS is started at once: senders wait for it. One that died
 * younger waits for the configured delay, doubled each time, HR_BACKOFF_MAX_MS at most.
 * One thread.
 */

#include <stdint.h>

/* A delay configured longer than the maximum stays as it is. */
#define HR_BACKOFF_MAX_MS 30000u
#define HR_BACKOFF_LIVED_MS 10000u

struct hr_backoff {
	uint32_t first_ms, next_ms;
};

void hr_backoff_init(struct hr_backoff *backoff, uint32_t first_ms);

/* It died after lived_ms: how long to wait now. */
uint32_t hr_backoff_next_ms(struct hr_backoff *backoff, uint64_t lived_ms);

#endif
