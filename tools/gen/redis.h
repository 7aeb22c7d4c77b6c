/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_GEN_REDIS_H
#define HR_GEN_REDIS_H

/*
 * redis - many commands and their answers over one connection, in order, without a
 * round trip each. hiredis underneath; one thread.
 */

#include <hiredis/hiredis.h>

#include "common/bytes.h"
#include "common/error.h"

struct hr_redis;

/* "host:port"; password NULL: none. Waits at most 10 s for the server, here and for
 * every answer. Returns 0, -EINVAL or -EIO. */
int hr_redis_open(struct hr_redis **out, const char *address, const char *password,
		  struct hr_err *err);
void hr_redis_close(struct hr_redis *redis);

/* Queue a command. Words may hold any bytes. 0 or -EIO. */
int hr_redis_add(struct hr_redis *redis, const struct hr_str *words, uint32_t n,
		 struct hr_err *err);
/* The answer to the oldest command that has none; the caller's to free. What the
 * server refuses is -EIO with its words. */
int hr_redis_answer(struct hr_redis *redis, redisReply **out, struct hr_err *err);

/* The same, but what the server refuses is an answer too (REDIS_REPLY_ERROR). */
int hr_redis_any_answer(struct hr_redis *redis, redisReply **out, struct hr_err *err);

/* For writers: queue, and take answers now and then; settle takes the rest. */
int hr_redis_put(struct hr_redis *redis, const struct hr_str *words, uint32_t n,
		 struct hr_err *err);
int hr_redis_settle(struct hr_redis *redis, struct hr_err *err);

#endif
