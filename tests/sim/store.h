/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_STORE_H
#define SIM_STORE_H

/*
 * store - the epoch log of a run, behind the shipped interface (dataplane/log/log.h).
 *
 * What it does to its clients: an append lands late, very late (long after it was given
 * up and its writer closed), never, or twice; its report is lost, or says no although it
 * lands; records become readable some time after they landed; connections break;
 * partitions lose their end and grow again.
 *
 * A copy does not land once records were cut away: brokers refuse what is out of a
 * producer's sequence as long as they hold anything of it (Kafka's ProducerStateManager).
 * Were it to land, at the very offset of its original, behind records that are not those
 * that were there, nobody who looks at that offset could tell.
 *
 * One writer's appends land in their order, as an idempotent producer's do: behind one
 * that was lost nothing of that writer lands any more.
 */

#include "dataplane/log/log.h"
#include "tests/sim/sim.h"

struct sim_store;

struct sim_record {
	int64_t offset;
	int64_t stamped_ms;
	uint64_t readable_us;
	uint8_t *bytes;
	uint32_t n_bytes;
};

/* Wall clock of the brokers: simulated time and this. */
#define SIM_EPOCH_US UINT64_C(1700000000000000)

struct sim_store *sim_store_new(struct sim *sim, uint32_t n_partitions);
void sim_store_free(struct sim_store *store);

/* hr_log_ops has no place for these two: handles opened from now on belong to this store
 * and tell news here. news may be called from within any call of the store. */
void sim_store_use(struct sim_store *store, void (*news)(void *arg), void *arg);
/* The client's process died: its appends may still land, its handles are free()d with
 * nothing else done. */
extern const struct hr_log_ops sim_log_ops;

/* Called with every record the moment it lands. */
void sim_store_watch(struct sim_store *store,
		     void (*landed)(void *arg, uint16_t shard,
				    const struct sim_record *record),
		     void *arg);

/* The records of a partition, oldest first, readable or not: for the judges. */
const struct sim_record *sim_store_records(const struct sim_store *store,
					   uint16_t shard, size_t *n);

/* The partition loses its newest records, n of them or all there are. */
void sim_store_cut(struct sim_store *store, uint16_t shard, uint32_t n);
/* And grows again, up to this offset, by records that are none of ours: who reads on from
 * where it was notices nothing. */
void sim_store_regrow(struct sim_store *store, uint16_t shard, int64_t offset);
/* The offset behind the newest record. */
int64_t sim_store_end(const struct sim_store *store, uint16_t shard);

/* Nobody gets an answer, and nothing lands, until then. */
void sim_store_stop(struct sim_store *store, uint64_t us);

#endif
