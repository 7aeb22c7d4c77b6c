/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FAKE_APPLIANCE_STREAM_H
#define FAKE_APPLIANCE_STREAM_H

/*
 * appliance_stream - the other end of an SDK: appliances that acknowledge, and the
 * one log they share. Written from docs/wire-format.md and the rules of streams, slow
 * and plain: a floor is found by reading the log from its start, every table is a
 * list that is searched. No sockets, threads or clock: questions come in as bytes
 * with the number of the address that asked, answers leave through emit(), time is
 * an argument.
 *
 * Each shard has one owner with an incarnation. An appliance that was fenced does
 * not know it until its next commit fails: until then it goes on answering as it
 * always did, as a paused one that wakes up does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_APPLIANCES_MAX 4

struct fake_cluster;

struct fake_conf {
	uint8_t key[16];
	uint32_t key_id, n_shards, generation, n_appliances;
	uint64_t seed;
	uint64_t wall_us; /* record time at time 0 */
	uint64_t max_age_us, ttl_memory_us, ttl_disk_us;
	uint32_t token_good_ms, largest;
	uint32_t credit;    /* datagrams beyond the floor */
	uint64_t commit_us; /* from the first datagram of an epoch to its acceptance */
	/* "host:port" of each appliance, as NOT_OWNER tells it. */
	char addresses[FAKE_APPLIANCES_MAX][40];
	bool says_received; /* ACKs of meaning 1 as well */
	/* An answer of this appliance for that address. */
	void (*emit)(void *arg, uint32_t appliance, uint32_t source, const uint8_t *p,
		     uint32_t n);
	void *arg;
};

/* What the log holds, in order. */
struct fake_item {
	uint64_t birth, random, sequence;
	uint8_t kind; /* 1 DATA, 7 SKIP */
	uint8_t codec;
	const uint8_t *payload;
	uint32_t n_bytes;
};

struct fake_cluster *fake_cluster_new(const struct fake_conf *conf);
void fake_cluster_free(struct fake_cluster *c);

void fake_question(struct fake_cluster *c, uint32_t appliance, uint32_t source,
		   const uint8_t *p, uint32_t n, uint64_t now_us);
/* Commit what is due; call often. */
void fake_run(struct fake_cluster *c, uint64_t now_us);

/* The appliance becomes the shard's owner, by a fence. */
void fake_take(struct fake_cluster *c, uint32_t appliance, uint32_t shard);
/* Everything tentative in it is gone; it owns what it owned, under a new fence. */
void fake_restart(struct fake_cluster *c, uint32_t appliance);
/* It hears and says nothing. */
void fake_set_down(struct fake_cluster *c, uint32_t appliance, bool is_down);
/* The log of the shard loses its newest n items, and its owner its memory. */
void fake_truncate(struct fake_cluster *c, uint32_t shard, uint32_t n);
void fake_set_credit(struct fake_cluster *c, uint32_t credit);
void fake_set_clock(struct fake_cluster *c, uint64_t wall_us);
/* Tokens of before the last change are not good any more. */
void fake_change_secret(struct fake_cluster *c);
/* The next n questions with events are answered BUSY. */
void fake_set_busy(struct fake_cluster *c, uint32_t n);
/* The data set turns out to be another one. The log must be empty. */
void fake_set_shape(struct fake_cluster *c, uint32_t n_shards, uint32_t generation);

uint32_t fake_log_items(const struct fake_cluster *c, uint32_t shard);
struct fake_item fake_log_item(const struct fake_cluster *c, uint32_t shard,
			       uint32_t i);

struct fake_counts {
	uint64_t hellos, probes, skips, datagrams;
	uint64_t refused_tag, refused_token, refused_other;
	uint64_t repeated, parked, dropped, expired, busy, not_owner, wrong_shard;
	uint64_t rebound; /* {stream, shard, sequence} came with other bytes: never */
	uint64_t same_attempt; /* two transmissions alike but sent apart: never */
	uint64_t larger; /* an answer larger than its question: the fake's own law */
};
struct fake_counts fake_counts(const struct fake_cluster *c);

#endif
