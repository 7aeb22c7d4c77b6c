/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_FOLD_MODEL_H
#define HR_TEST_FOLD_MODEL_H

/*
 * What fold must find, worked out from the description of a chain and docs/fold.md:
 * slow, with plain arrays that forget nothing, and without a byte of the log.
 */

#include "tests/unit/fold/chain.h"

#define MODEL_EVENTS 2048
#define MODEL_STREAMS 64
#define MODEL_NUMBERS 8192
#define MODEL_KNOWN 64

struct model_entry {
	const struct test_event *ev; /* NULL: bytes of none */
	const struct test_item *item;
	uint32_t index;
	uint32_t user_row, next_of_user;
	uint8_t verdict, reject;
	int64_t time_ms;
};

struct model_user {
	const char *user;
	uint32_t first, last, n_events, n_views, n_purchases;
	int64_t last_active_ms;
};

struct model_stream {
	uint64_t birth, random;
	bool is_alive, has_floor;
	uint32_t key_id;
	uint64_t last_us, highest, first;
	bool seen[MODEL_NUMBERS];
};

struct model_known {
	char user[TEXT_BYTES], id[TEXT_BYTES];
	uint64_t first_us;
};

struct model {
	uint16_t shard;
	uint32_t n_shards;
	struct hr_chain_config config;
	uint32_t n_streams; /* ever met */
	struct model_stream streams[MODEL_STREAMS];
	uint32_t n_known; /* events without a stream, in the order they came */
	struct model_known known[MODEL_KNOWN];
	struct hr_fold_totals totals;
	/* Of the last link. */
	uint32_t n_entries, n_users, n_claimed;
	struct model_entry entries[MODEL_EVENTS];
	struct model_user users[MODEL_EVENTS];
	uint64_t verdicts[HR_FOLD_VERDICTS], rejects[HR_REJECT_COUNT];
	uint64_t gaps, filled, dedup_hits, dedup_evicted;
};

void model_init(struct model *m, const struct test_chain *c);
void model_fold(struct model *m, const struct test_link *l);

#endif
