/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_INFO_H
#define HR_REDIS_INFO_H

/*
 * redis_info - is this a Redis that the view may write to, and what do its refusals
 * mean for people? Pure functions.
 */

#include <stdbool.h>

#include "common/error.h"

/*
 * What INFO says. Returns 0; -EAGAIN where it will or may pass (loading, a replica);
 * -ENOTSUP where the operator must mend it (eviction, cluster mode, too old). err has
 * the sentence.
 */
int hr_redis_info_judge(const char *info, struct hr_err *err);

/* Which process answers, and what of its append-only file. */
struct hr_redis_process {
	char run_id[64];
	bool has_aof;
	bool is_rewriting; /* it writes it anew just now */
};

void hr_redis_info_process(const char *info, struct hr_redis_process *out);

/* What it said to BGREWRITEAOF. Returns 0: it is being written anew; -EAGAIN: it will
 * be, when it has saved something else; -ENOTSUP: it will not. err has the sentence. */
int hr_redis_rewrites(const char *words, bool is_error, struct hr_err *err);

/* An error that Redis answered with: -EAGAIN or -ENOTSUP, and the sentence. */
int hr_redis_refused(const char *words, struct hr_err *err);

#endif
