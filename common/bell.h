/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BELL_H
#define HR_BELL_H

/*
 * bell - ends another thread's short sleep. Whoever sleeps says so first, so that a
 * bell nobody waits for costs its ringer a load and no system call.
 *
 * A ring that comes between the sleeper's last look at its work and its sleep may be
 * missed, and one that nobody needed may end the next sleep early: sleeps are short,
 * and whoever wakes looks at everything.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hr_bell {
	_Alignas(64) atomic_bool is_awaited;
	bool is_made;
	int fd;
};

/* Returns 0 or a negated errno. */
int hr_bell_init(struct hr_bell *bell);
/* One of zeros, never made, is fine. */
void hr_bell_fini(struct hr_bell *bell);

/* Any thread. */
void hr_bell_ring(struct hr_bell *bell);
/* Its one sleeper: until it rings, or timeout_us are over. */
void hr_bell_wait(struct hr_bell *bell, uint32_t timeout_us);

/* For whoever waits for other things as well: before, with fd among what is polled for
 * reading, and behind. */
static inline void hr_bell_await(struct hr_bell *bell)
{
	atomic_store_explicit(&bell->is_awaited, true, memory_order_seq_cst);
}
/* Returns whether it rang. */
bool hr_bell_awoke(struct hr_bell *bell);

#endif
