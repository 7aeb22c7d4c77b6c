/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECKPOINT_KEEPER_H
#define HR_CHECKPOINT_KEEPER_H

/*
 * keeper - a thread of headraced that makes a checkpoint each checkpoint.interval, from
 * the newest one on that there is. What failed is told and tried again a minute later.
 */

#include "common/error.h"

struct hr_config;
struct hr_keeper;

/* config must outlive it. *out is NULL where none are to be made (no folder, no Redis
 * view). Returns 0, or -ENOMEM or -EAGAIN with err. */
int hr_keeper_new(struct hr_keeper **out, const struct hr_config *config,
		  struct hr_err *err);
/* Gives up what is under way. NULL is fine. */
void hr_keeper_free(struct hr_keeper *keeper);

#endif
