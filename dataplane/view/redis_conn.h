/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_CONN_H
#define HR_REDIS_CONN_H

/*
 * redis_conn - one connection to Redis on which many commands go out in one write and
 * their replies are read in order. Replies are read while writing, so that neither
 * side waits for the other.
 *
 * hiredis finds the address, connects and takes replies apart; waiting is ours,
 * because every wait must end when the view is told to. One thread, except
 * hr_redis_conn_end().
 */

#include <stdatomic.h>

#include <hiredis/hiredis.h>

#include "common/error.h"
#include "dataplane/view/redis_resp.h"

struct hr_redis_conn {
	redisContext *context;        /* NULL: not connected */
	_Atomic uint64_t end_mono_us; /* no wait lasts beyond it; UINT64_MAX: never */
	int wake_fd;
	uint32_t timeout_ms; /* without a byte in either direction */
	uint64_t progress_us;
};

/* Returns 0 or a negated errno. */
int hr_redis_conn_init(struct hr_redis_conn *c, uint32_t timeout_ms);
void hr_redis_conn_fini(struct hr_redis_conn *c);

/*
 * Errors of the calls below: -ECANCELED when the end has come, -ETIMEDOUT, and what
 * connecting or the connection gave (-EPIPE: Redis closed it); err says which. After
 * an error the connection is closed.
 */
int hr_redis_conn_open(struct hr_redis_conn *c, const char *host, uint16_t port,
		       struct hr_err *err);
void hr_redis_conn_close(struct hr_redis_conn *c);
/* What was appended since the last call, or since the buffer was emptied. */
int hr_redis_conn_send(struct hr_redis_conn *c, struct hr_resp *commands,
		       struct hr_err *err);
/* The next reply, errors of commands included; the caller frees it. */
int hr_redis_conn_reply(struct hr_redis_conn *c, redisReply **out, struct hr_err *err);

/* Sleep until then, or until the end. */
void hr_redis_conn_sleep(struct hr_redis_conn *c, uint64_t until_mono_us);

/* Any thread: every wait ends at end_mono_us at the latest, also one that is on. */
void hr_redis_conn_end(struct hr_redis_conn *c, uint64_t end_mono_us);

#endif
