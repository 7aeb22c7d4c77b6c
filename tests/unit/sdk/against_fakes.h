/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SDK_AGAINST_FAKES_H
#define TESTS_SDK_AGAINST_FAKES_H

/* against_fakes - what tests of the whole SDK share: appliances that acknowledge, handles
 * to them, and what their logs hold. */

#include <stdlib.h>
#include <string.h>

#include "headrace.h"

#include "tests/unit/hr_test.h"
#include "tests/unit/sdk/acknowledging.h"
#include "tests/unit/sdk/children.h"
#include "tests/unit/sdk/events.h"

#define N_SHARDS 5

static struct acknowledging other;

static inline struct fake_conf fake_conf(void)
{
	struct fake_conf conf = {
		.key_id = 7,
		.n_shards = N_SHARDS,
		.generation = 1,
		.n_appliances = 2,
		.seed = 1,
		.wall_us = 1764547200000000,
		.max_age_us = 3600000000,
		.ttl_memory_us = 600000000,
		.ttl_disk_us = (uint64_t)7 * 86400 * 1000000,
		.token_good_ms = 1800000,
		.largest = 1472,
		.credit = 64,
		.commit_us = 3000,
	};

	memcpy(conf.key, write_key, sizeof(conf.key));
	return conf;
}

static inline void start_with(const struct fake_conf *conf)
{
	acknowledging_start(&other, *conf);
}

static inline void setup(void)
{
	const struct fake_conf conf = fake_conf();

	start_with(&conf);
}

static inline void teardown(void)
{
	acknowledging_free(&other);
}

static inline struct headrace_config config(void)
{
	return (struct headrace_config){
		.address = other.address[0],
		.key_id = 7,
		.key_hex = WRITE_KEY_HEX,
	};
}

static inline struct headrace *open_with(const struct headrace_config *c)
{
	struct headrace *h;
	char error[256] = "";

	CU_ASSERT_EQUAL(headrace_open(c, &h, error, sizeof(error)), HEADRACE_OK);
	CU_ASSERT_STRING_EQUAL(error, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	return h;
}

static inline int track_as(struct headrace *h, const char *user, const char *id)
{
	const struct headrace_event ev = {
		.user = headrace_str(user),
		.type = headrace_str("click"),
		.id = headrace_str(id),
	};

	return headrace_track_event(h, &ev);
}

/* ---- what the log holds ---- */

static struct seen logged[200000];

/* All events of all logs, in each log's order. */
static inline uint32_t read_logs(uint32_t n_shards)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < n_shards; s++)
		for (uint32_t i = 0; i < fake_log_items(other.cluster, s); i++) {
			const struct fake_item it = fake_log_item(other.cluster, s, i);
			const uint8_t *p = it.payload, *end = p + it.n_bytes;
			struct field f;

			while (take_field(&p, end, &f)) {
				CU_ASSERT_FATAL(n < HR_COUNT(logged));
				logged[n++] = see_protobuf(f.p, f.p + f.n);
			}
		}
	return n;
}

static inline int by_id(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->id, ((const struct seen *)b)->id);
}

/* Each once; sorts them. */
static inline bool are_unique(uint32_t n)
{
	qsort(logged, n, sizeof(logged[0]), by_id);
	for (uint32_t i = 1; i < n; i++)
		if (strcmp(logged[i - 1].id, logged[i].id) == 0)
			return false;
	return true;
}

#endif
