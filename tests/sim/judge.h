/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

/*
 * judge - what is true in a run. It sees every record the moment it lands, applies the
 * accept rule and fold as they are without any mutant, and compares with that what SDKs
 * were told and what views wrote.
 *
 *   I1  what an SDK was told to be committed is counted in fold(log)
 *   I2  one accepted link a (shard, n), and no event is counted twice
 *   I3  a view at n equals fold at n
 *   I6  equal digests everywhere
 *   I7  a user's events are counted in the order of track(), across streams too
 *   I9  who knows that a shard is another's begins no publisher of it (run_open.c looks)
 */

#include "dataplane/log/record.h"
#include "tests/sim/kafka.h"
#include "tests/sim/redis.h"
#include "tests/sim/store.h"

struct sim_judge;

/* Views' settings that what is right depends on. */
struct sim_rules {
	uint32_t recent_views, recommendations;
	uint32_t trim_period; /* links */
	uint32_t user_events_partitions;
	bool is_ordered; /* events come by streams */
};

struct sim_judge *sim_judge_new(struct sim *sim, const struct hr_data_set *set,
				const struct sim_rules *rules, uint32_t max_streams);
void sim_judge_free(struct sim_judge *judge);

/* A record has landed; the partition was cut: it begins anew with what is left. */
void sim_judge_record(struct sim_judge *judge, uint16_t shard, const uint8_t *bytes,
		      uint32_t n_bytes);
void sim_judge_cut(struct sim_judge *judge, uint16_t shard,
		   const struct sim_record *records, size_t n);

/* What the shard's views hold can be compared: the log holds all that it ever held. Where
 * links took the place of lost ones, views that had those stop by name. */
bool sim_judge_is_whole(const struct sim_judge *judge, uint16_t shard);

/* Events are named "<user>.<life of its sender>-<order>", order counted per user. */
void sim_judge_told_committed(struct sim_judge *judge, const char *id);
void sim_judge_told_lost(struct sim_judge *judge, const char *id);
bool sim_judge_is_counted(const struct sim_judge *judge, const char *id);

uint64_t sim_judge_n(const struct sim_judge *judge, uint16_t shard);
uint64_t sim_judge_n_events(const struct sim_judge *judge);

/* product:<id>:similar as the shop wrote it, before anything else. */
void sim_judge_similar(struct sim_judge *judge, const char *product, const char *to);

/* Compare a store with fold at its own positions. must_be_whole: and these must be the
 * newest link. */
void sim_judge_redis(struct sim_judge *judge, const struct sim_redis *redis,
		     bool must_be_whole);
void sim_judge_topics(struct sim_judge *judge, const struct sim_kafka *kafka,
		      const char *events_topic, const char *positions_topic,
		      bool must_be_whole);
/* The view that does not stand at the newest link of every shard; NULL: none. */
const char *sim_judge_what_lags(const struct sim_judge *judge,
				const struct sim_redis *redis,
				const struct sim_kafka *kafka, const char *events_topic,
				const char *positions_topic);
/* At the end: everything told to be committed is still there. */
void sim_judge_end(struct sim_judge *judge);

#endif
