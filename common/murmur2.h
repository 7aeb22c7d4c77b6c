/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_MURMUR2_H
#define HR_MURMUR2_H

/*
 * murmur2 - the 32-bit MurmurHash2 with the seed that Kafka's Java client uses
 * for keyed records (org.apache.kafka.common.utils.Utils.murmur2), so that our
 * partitions are the ones every Kafka client expects. Any thread.
 */

#include <stddef.h>
#include <stdint.h>

uint32_t hr_murmur2(const void *key, size_t n);

/* toPositive(murmur2(key)) % n_parts: topic partition or shard of a key. */
static inline uint32_t hr_kafka_partition(const void *key, size_t n, uint32_t n_parts)
{
	return (hr_murmur2(key, n) & 0x7fffffffu) % n_parts;
}

#endif
