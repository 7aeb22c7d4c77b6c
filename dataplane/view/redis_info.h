/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_INFO_H
#define HR_REDIS_INFO_H

/*
 * redis_info - is this a Redis that the view may write to, and what do its refusals
 * mean for people? Pure functions.
 */

#include "common/error.h"

/*
 * What INFO says. Returns 0; -EAGAIN where it will or may pass (loading, a replica);
 * -ENOTSUP where the operator must mend it (eviction, cluster mode, too old). err has
 * the sentence.
 */
int hr_redis_info_judge(const char *info, struct hr_err *err);

/* An error that Redis answered with: -EAGAIN or -ENOTSUP, and the sentence. */
int hr_redis_refused(const char *words, struct hr_err *err);

#endif
