/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_REDIS_H
#define SIM_REDIS_H

/*
 * redis - a Redis of a run, as far as the view uses one, behind redis_conn.h: the same
 * connection calls, answered here and now.
 *
 * A connection may break at any byte of what was sent: what was whole before it has been
 * done, the rest and the answers have not. The server may lose the end of its write
 * stream (a transaction is whole or gone, as in an AOF or a replica), or everything.
 */

#include <stdint.h>

#include "common/bytes.h"
#include "tests/sim/sim.h"

struct sim_redis;

struct sim_redis *sim_redis_new(struct sim *sim);
void sim_redis_free(struct sim_redis *redis);

/* Connections opened from now on go here. NULL: nobody listens. */
void sim_redis_use(struct sim_redis *redis);

/* Every connection breaks; the newest n transactions and single writes are gone. */
void sim_redis_back(struct sim_redis *redis, uint32_t n);
/* What was written so far is never lost. */
void sim_redis_keep(struct sim_redis *redis);
/* Writes that were ever done and not lost. */
uint32_t sim_redis_writes(const struct sim_redis *redis);
/* The next send on any connection breaks at a random byte. */
void sim_redis_cut_next(struct sim_redis *redis);
/* A write by somebody else (the shop, or a hand): words separated by blanks. */
void sim_redis_do(struct sim_redis *redis, const char *command);

/* ---- for the judges ---- */

enum sim_redis_type {
	SIM_REDIS_NONE,
	SIM_REDIS_STRING,
	SIM_REDIS_HASH,
	SIM_REDIS_LIST, /* fields, the newest first */
	SIM_REDIS_SET,
	SIM_REDIS_ZSET, /* fields and their scores as text */
};

struct sim_redis_field {
	struct hr_str field, value;
};

struct sim_redis_key {
	struct hr_str name;
	enum sim_redis_type type;
	const struct sim_redis_field *fields; /* a string: one, its value */
	uint32_t n_fields;
};

/* Another number after everything that changed its data. */
uint64_t sim_redis_changes(const struct sim_redis *redis);
/* Keys in the order they were made; false when there is no such key. */
bool sim_redis_key_at(const struct sim_redis *redis, uint32_t i,
		      struct sim_redis_key *out);
bool sim_redis_key_find(const struct sim_redis *redis, const char *name,
			struct sim_redis_key *out);
/* A field's value, or NULL. */
const struct hr_str *sim_redis_field_find(const struct sim_redis_key *key,
					  const char *field);

#endif
