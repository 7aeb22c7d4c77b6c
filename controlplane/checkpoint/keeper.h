/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECKPOINT_KEEPER_H
#define HR_CHECKPOINT_KEEPER_H

/*
 * keeper - a thread of headraced that makes a checkpoint each checkpoint.interval, from
 * the newest one on that there is. What failed is told and tried again a minute later.
 */

#include <stdint.h>
#include <time.h>

#include "common/error.h"

struct hr_config;
struct hr_keeper;

/* Of one headraced. */
struct hr_keeper_found {
	uint64_t n_made, n_failed;
	time_t newest;         /* its name's time, as last looked for; 0: none */
	struct hr_err trouble; /* why the last try made none; empty where it did */
};

/* config must outlive it. *out is NULL where none are to be made (no folder, no Redis
 * view). Returns 0, or -ENOMEM or -EAGAIN with err. */
int hr_keeper_new(struct hr_keeper **out, const struct hr_config *config,
		  struct hr_err *err);
/* Any thread; never waits for a checkpoint. */
void hr_keeper_read(struct hr_keeper *keeper, struct hr_keeper_found *out);
/* Gives up what is under way. NULL is fine. */
void hr_keeper_free(struct hr_keeper *keeper);

#endif
