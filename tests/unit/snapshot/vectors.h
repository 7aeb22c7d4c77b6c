/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_SNAPSHOT_VECTORS_H
#define HR_TEST_SNAPSHOT_VECTORS_H

/* The data set of tests/data/snapshot_vectors.txt, for tests. */

#include "dataplane/snapshot/format.h"
#include "tests/unit/log/vectors.h"

static struct hr_data_set set;
static uint16_t shard;

static inline void read_set(const struct vector_row *row)
{
	vector_unhex(vector_get(row, "id"), set.id.b);
	vector_unhex(vector_get(row, "key"), set.hash_key);
	set.generation = (uint32_t)vector_number(row, "generation");
	set.n_shards = (uint32_t)vector_number(row, "shards");
	shard = (uint16_t)vector_number(row, "shard");
}

static inline bool is_row(const struct vector_row *row, const char *word)
{
	return strcmp(row->word[0], word) == 0;
}

#endif
