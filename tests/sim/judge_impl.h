/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_JUDGE_IMPL_H
#define SIM_JUDGE_IMPL_H

/* Inside of the judge: judge.c follows the log, judge_views.c has a slow model of what
 * views hold and compares it with their stores. */

#include "dataplane/log/link.h"
#include "dataplane/view/view.h"
#include "tests/sim/judge.h"

#define JUDGE_USERS_MAX 64u
#define JUDGE_SIMILAR_MAX 64u
#define JUDGE_LIST_MAX 64u

struct judge_event {
	char id[40];
	uint32_t n_counted;
	bool is_committed, is_lost;
	bool was_cut; /* it was in a link that the log lost */
	uint16_t shard;
};

#define JUDGE_ORDERS_MAX 512u

struct judge_order {
	char whose[32]; /* an event's name up to its order */
	uint64_t last;
};

struct judge_count {
	char name[32];
	int64_t value;
};

/* What Redis must say of a user. Scores in halves. */
struct judge_user {
	char name[32];
	int64_t views, purchases, newest_ms;
	struct judge_count categories[JUDGE_LIST_MAX], scores[JUDGE_LIST_MAX];
	uint32_t n_categories, n_scores;
	char recent[JUDGE_LIST_MAX][32]; /* newest first */
	uint32_t n_recent;
	uint64_t period; /* of the last update */
};

/* All users of a shard as of link n. */
struct judge_model {
	uint64_t n;
	struct judge_user *users;
	uint32_t n_users;
};

#define JUDGE_PARTITIONS_MAX 64u

/* How far the topics were compared: what is committed there never changes, so each look
 * goes on where the last one ended. */
struct judge_topics {
	struct hr_position position; /* the newest */
	bool is_missing;             /* it says that records are */
	int64_t position_at;
	uint64_t n_links;
	int64_t at[JUDGE_PARTITIONS_MAX]; /* by partition of user_events */
	uint32_t n_seen[JUDGE_PARTITIONS_MAX];
};

#define JUDGE_FLOORS_MAX 1024u

/* What of a stream is in the log of a shard: exactly this much of it, without a hole. */
struct judge_floor {
	uint64_t birth, random, floor;
};

struct judge_shard {
	struct hr_chain chain;
	struct judge_floor floors[JUDGE_FLOORS_MAX];
	uint32_t n_floors;
	struct hr_fold *fold;
	struct hr_link **links; /* n = index + 1 */
	uint64_t n_links, max_links;
	/* Of every link that was ever accepted, by n: beyond n_links is what the log lost
	 * and has not got back. */
	struct hr_id128 *known;
	uint64_t n_known, max_known;
	bool is_lossy; /* others stand in the place of lost ones */
	struct judge_order orders[JUDGE_ORDERS_MAX];
	uint32_t n_orders;
	struct judge_model model;
	struct judge_topics topics;
	uint64_t redis_version; /* that was found right at the last look */
};

struct judge_similar {
	char product[32], to[32];
};

struct sim_judge {
	struct sim *sim;
	struct hr_data_set set;
	struct sim_rules rules;
	uint32_t max_streams;
	struct judge_shard *shards;
	struct judge_event *events; /* open addressing */
	uint32_t n_events, max_events;
	struct judge_similar similar[JUDGE_SIMILAR_MAX];
	uint32_t n_similar;
};

struct judge_event *judge_event_get(struct sim_judge *j, const char *id);
void judge_model_clear(struct judge_model *m);

#endif
