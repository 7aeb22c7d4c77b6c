/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECKPOINT_SERVERS_H
#define HR_CHECKPOINT_SERVERS_H

/*
 * servers - the Redis that is copied, and the one that a copy is tried in. Blocking, each
 * bounded in time; with -ECANCELED when *stops (may be NULL). One thread.
 */

#include <hiredis/hiredis.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

struct hr_config;

/* Connected to the view's Redis. 0, or a negated errno with err. */
int hr_checkpoint_connect(redisContext **out, const struct hr_config *config,
			  struct hr_err *err);

/* Its data as a replica gets them, into a file. 0, or a negated errno with err. */
int hr_checkpoint_copy(const struct hr_config *config, const char *path,
		       const atomic_bool *stops, struct hr_err *err);

/* A redis-server that has loaded <folder>/dump.rdb and writes nothing. */
struct hr_checkpoint_scratch {
	char place[64]; /* its socket's folder; "" where there is none */
	pid_t pid;      /* 0: none */
	redisContext *redis;
};

/* 0, or a negated errno with err; hr_checkpoint_scratch_end() in any case. */
int hr_checkpoint_scratch_begin(struct hr_checkpoint_scratch *s, const char *folder,
				const atomic_bool *stops, struct hr_err *err);
void hr_checkpoint_scratch_end(struct hr_checkpoint_scratch *s);

#endif
