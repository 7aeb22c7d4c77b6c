/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_REDIS_IMPL_H
#define SIM_REDIS_IMPL_H

/* Inside of the simulated Redis: redis.c holds the data and runs commands,
 * redis_conn.c stands in for the view's connection. */

#include "tests/sim/redis.h"
#include "tests/sim/world.h"

#define SIM_ARGS_MAX 512u

struct sim_value {
	struct hr_str name;
	uint32_t hash;
	enum sim_redis_type type;
	uint64_t version; /* of the last write; for WATCH */
	struct sim_redis_field *fields;
	uint32_t n, max;
};

struct sim_command {
	struct hr_str args[SIM_ARGS_MAX];
	uint32_t n;
};

/* Commands that were written together: what the server loses, it loses whole. */
struct sim_write {
	char *bytes;
	size_t n;
};

struct sim_reply {
	char *p;
	size_t n, max;
};

struct sim_client;

struct sim_redis {
	struct sim *sim;
	struct sim_value *values;
	uint32_t n_values, max_values;
	uint64_t version;
	struct sim_write *writes;
	uint32_t n_writes, max_writes, n_kept;
	struct sim_client *clients;
	bool cuts_next;
};

extern struct sim_redis *sim_redis_current;

/* Read one command of RESP2 from bytes[*at..n): true when it is whole. */
bool sim_command_read(const char *bytes, size_t n, size_t *at, struct sim_command *out);
/* Do it, and append its answer. Returns whether it wrote. */
bool sim_command_run(struct sim_redis *redis, const struct sim_command *command,
		     struct sim_reply *reply);
void sim_reply_text(struct sim_reply *reply, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void sim_redis_remember(struct sim_redis *redis, const char *bytes, size_t n);
uint64_t sim_redis_version(const struct sim_redis *redis, struct hr_str key);
/* redis_conn.c: every connection of this server breaks. */
void sim_clients_break(struct sim_redis *redis);
void sim_clients_forget(struct sim_redis *redis);

#endif
