/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FAKE_LOG_STORE_H
#define HR_FAKE_LOG_STORE_H

/*
 * A log in memory behind struct hr_log_ops, that does what it is told to go wrong: it
 * delays, loses, duplicates, answers late or never, and is cut. Time is told to it too;
 * one thread. Several handles may be open on one store, as several appliances are.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/log/log.h"

struct fake_store;

enum fake_fate {
	FAKE_TAKEN,     /* after delay_us it is in the log, and reported */
	FAKE_LOST,      /* it never comes; no report */
	FAKE_REFUSED,   /* it never comes; reported */
	FAKE_NO_ANSWER, /* it comes after delay_us; no report */
	FAKE_LATE,      /* it comes after late_us; no report */
	FAKE_TWICE,     /* after delay_us, reported; and again after late_us */
};

/* Its records go with the store: messages must be given back before. */
struct fake_store *fake_store_new(uint32_t n_shards);
void fake_store_free(struct fake_store *store);

/* Handles that are opened from now on are of this store. */
void fake_store_use(struct fake_store *store);
extern const struct hr_log_ops fake_log_ops;

/* Everything that is due by now happens. */
void fake_store_time(struct fake_store *store, uint64_t now_us);

/* Delays of all appends to come. */
void fake_store_delays(struct fake_store *store, uint64_t delay_us, uint64_t late_us);
/* What becomes of the next n appends of whoever. */
void fake_store_fate(struct fake_store *store, enum fake_fate fate, uint32_t n);
/* Records that carry no stamp (0), or one at this wall clock. */
void fake_store_stamp(struct fake_store *store, int64_t stamp_ms);

/* A stranger's append: in the log at once. Returns its offset. */
int64_t fake_store_put(struct fake_store *store, uint16_t shard, const void *bytes,
		       uint32_t n_bytes);
/* What stands at offset and behind it is gone. What is written later takes its place. */
void fake_store_cut(struct fake_store *store, uint16_t shard, int64_t offset);
/* What stands before it is gone. */
void fake_store_trim(struct fake_store *store, uint16_t shard, int64_t before);
int64_t fake_store_end(const struct fake_store *store, uint16_t shard);
/* The record at this offset; NULL: none. Valid until the next append. */
const uint8_t *fake_store_at(const struct fake_store *store, uint16_t shard,
			     int64_t offset, uint32_t *n_bytes);

/* Every handle has lost a connection. */
void fake_store_lose_connections(struct fake_store *store);
/* Reading fails once, in every handle. */
void fake_store_fail_reads(struct fake_store *store);
/* While set, verify() brings no answer. */
void fake_store_hold_verify(struct fake_store *store, bool holds);
/* Writers that are opened from now on fail. */
void fake_store_fail_writers(struct fake_store *store, bool fails);

/* How often a record was asked for again; appends that reached the store. */
uint64_t fake_store_verifies(const struct fake_store *store);
uint64_t fake_store_appends(const struct fake_store *store);

#endif
