/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_FOLD_CHAIN_H
#define HR_TEST_FOLD_CHAIN_H

/*
 * Chains for the tests of fold, from a description of what is in them: the bytes go to
 * fold, the description to the model. Everything comes from a seed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/wire.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/record.h"

#define TEXT_BYTES 80
#define ITEM_EVENTS 24
#define ABSENT (-1)

struct test_event {
	char user[TEXT_BYTES]; /* "": the event is written without one */
	char type[TEXT_BYTES];
	char id[TEXT_BYTES];      /* "": absent */
	char product[TEXT_BYTES]; /* "": absent */
	int64_t time_ms;          /* ABSENT */
	bool is_broken;           /* not what its codec calls an event */
};

struct test_item {
	uint16_t kind;
	uint8_t codec;
	uint16_t flags;
	uint32_t key_id;
	uint64_t birth, random, sequence, received_us;
	uint16_t n_events; /* in the payload */
	int claimed;       /* by the item; ABSENT: as many */
	struct test_event events[ITEM_EVENTS];
};

struct test_link {
	uint16_t kind;
	uint64_t clock_us;
	struct hr_chain_config config;
	uint32_t n_items;
	struct test_item *items;
	/* Made from it. */
	uint8_t *body;
	struct hr_link link;
};

struct test_chain {
	struct hr_data_set set;
	uint16_t shard;
	uint32_t n_links, room;
	struct test_link *links;
};

/* xorshift; state is never 0. */
struct test_random {
	uint64_t state;
};

uint32_t test_below(struct test_random *r, uint32_t n);

void test_chain_init(struct test_chain *c, uint16_t shard, uint32_t n_shards);
void test_chain_fini(struct test_chain *c);

/* Takes over items (malloc). Writes body and link, with hashes. */
struct test_link *test_chain_add_epoch(struct test_chain *c, uint64_t clock_us,
				       struct test_item *items, uint32_t n_items);
struct test_link *test_chain_add_config(struct test_chain *c, uint64_t clock_us,
					const struct hr_chain_config *config);
/* Any body at all; it is copied. n_events is what its items say. */
struct test_link *test_chain_add_body(struct test_chain *c, uint16_t kind,
				      uint64_t clock_us, struct hr_str body);

/* The last link was never there. */
void test_chain_drop_last(struct test_chain *c);

struct hr_chain_config test_config(uint64_t max_events, uint64_t max_streams,
				   uint64_t max_age_us);

/* The first spelling of "<stem><number>" from number on that belongs to the shard (or
 * to another one). */
void test_user(char out[TEXT_BYTES], uint32_t number, uint16_t shard, uint32_t n_shards,
	       bool is_ours);

/* Payload of an item, at most max bytes; returns its bytes. */
uint32_t test_payload(const struct test_item *item, uint8_t *out, uint32_t max);

/* A chain of everything: both codecs, skewed users, repeats, jumps, late arrivals,
 * streams with floors and with windows that die and return, SKIPs, shares of keys,
 * broken and foreign events, claims that are wrong, events without a stream and the
 * same again, CONFIG in the middle, LOSS and empty links. */
void test_chain_random(struct test_chain *c, uint64_t seed, uint32_t n_links);

/* ---- running it ---- */

/* Memory for the outputs of one link, its own so that a reader beyond is caught. */
struct hr_out *test_out_new(struct hr_link *link);
/* Fold the whole chain in steps of so many events; outputs stay in the links until
 * test_outs_free(). */
void test_fold_run(struct test_chain *c, struct hr_fold *fold, uint32_t step);
void test_outs_free(struct test_chain *c);

/* Every output, member by member and text by text. */
bool test_outs_equal(const struct hr_out *a, const struct hr_out *b);

#endif
