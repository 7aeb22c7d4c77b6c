/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_AUDIT_MODEL_H
#define HR_AUDIT_MODEL_H

/*
 * audit model - what docs/redis.md says of every user, from folded links, one event after
 * the other, without any code of the view. All users are in memory, some 500 bytes each;
 * names of categories and products once. Values are compared as 64-bit hashes, so that
 * what was read and what is made need not be in memory together. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "dataplane/log/link.h"

/* The keys of a user, in the order of docs/redis.md. */
enum hr_audit_key {
	HR_AUDIT_PROFILE,
	HR_AUDIT_RECENT,
	HR_AUDIT_SCORES,
	HR_AUDIT_STATE,
	HR_AUDIT_CATEGORIES,
	HR_AUDIT_KEYS
};

/* Instead of a hash. */
#define HR_AUDIT_ABSENT 0
#define HR_AUDIT_WRONGTYPE 1

/* By number: a count, or a score in 64ths. Open addressing. */
struct hr_audit_tally {
	uint32_t *ids; /* number + 1; 0 is free */
	int64_t *values;
	uint32_t n, max; /* max: 0 or a power of two */
};

struct hr_audit_user {
	int64_t views, purchases, newest_ms;
	uint32_t favourite; /* number of a name + 1; 0: none */
	uint32_t n_recent;
	uint64_t next_recent; /* views ever: where the ring goes on */
	uint32_t *recent;     /* ring of recent_max */
	uint32_t max_recent;
	uint64_t period;
	struct hr_audit_tally categories, scores;
	uint64_t first_n; /* link of the first event; 0: fold knows none */
	/* Of the reader. */
	uint64_t there[HR_AUDIT_KEYS]; /* what was read, as a hash */
	bool is_read;
	uint16_t shard;
	uint32_t n;
	uint8_t name[];
};

/* (category, product) by numbers: shared by all shards. */
struct hr_audit_member {
	uint32_t category, product; /* number + 1; 0 is a free slot */
	bool is_there;              /* in Redis, as the reader says */
	bool is_made, is_wanted;
};

struct hr_audit_model;

struct hr_audit_model_conf {
	uint32_t n_shards, recent_max, members_max;
	/* The members of product:<name>:similar: told by hr_audit_model_similar() from
	 * within, each once. Returns 0 or a negated errno. */
	int (*ask_similar)(void *ctx, struct hr_str product);
	/* A category's product is made, by this link of this shard: each time. */
	void (*made)(void *ctx, struct hr_audit_member *member, uint16_t shard,
		     uint64_t n);
	void *ctx;
};

int hr_audit_model_new(struct hr_audit_model **out,
		       const struct hr_audit_model_conf *conf);
void hr_audit_model_free(struct hr_audit_model *m);
/* One more member of the set that is being asked for. 0 or -ENOMEM. */
int hr_audit_model_similar(struct hr_audit_model *m, struct hr_str member);

/* Returns 0, -ENOMEM, or what ask_similar() gave. */
int hr_audit_model_link(struct hr_audit_model *m, const struct hr_link *link);

/* NULL: no memory. */
struct hr_audit_user *hr_audit_model_user(struct hr_audit_model *m, struct hr_str name);
struct hr_audit_member *hr_audit_model_member(struct hr_audit_model *m,
					      struct hr_str category,
					      struct hr_str product);
struct hr_str hr_audit_model_name(const struct hr_audit_model *m, uint32_t id);
/* All of them: i from 0 until NULL. */
struct hr_audit_user *hr_audit_model_user_at(const struct hr_audit_model *m,
					     uint64_t i);
struct hr_audit_member *hr_audit_model_member_at(const struct hr_audit_model *m,
						 uint64_t i);

/* What fold makes of a key, as a hash. */
uint64_t hr_audit_model_hash(const struct hr_audit_model *m,
			     const struct hr_audit_user *u, enum hr_audit_key key);
/* The same for people: profile and state whole, of others how many. */
void hr_audit_model_print(const struct hr_audit_model *m, const struct hr_audit_user *u,
			  enum hr_audit_key key, char *out, size_t max);

/* Hashes of what was read; they start at 0, and hr_audit_hash_end() is their end. */
uint64_t hr_audit_hash_pair(uint64_t sum, struct hr_str field, struct hr_str value);
uint64_t hr_audit_hash_score(uint64_t sum, struct hr_str member, int64_t score64);
uint64_t hr_audit_hash_next(uint64_t sum, struct hr_str element);
uint64_t hr_audit_hash_end(uint64_t sum);

#endif
