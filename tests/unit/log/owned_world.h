/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_OWNED_WORLD_H
#define HR_TEST_OWNED_WORLD_H

/*
 * One thread, told time, a log in memory (tests/fake/log_store.h), and appliances that
 * each own its one shard: what an appliance hands out is "folded" at once, unless it is
 * told to wait, and kept in order.
 */

#include "dataplane/log/owned.h"
#include "tests/fake/log_store.h"

#define BOX_LINKS 512u
#define BOX_EPOCHS 8u

struct box {
	struct world *world;
	struct hr_log *log;
	struct hr_record_clock clock;
	struct hr_owned_conf conf;
	struct hr_owned *owned;
	uint64_t viewed; /* where its views stand; UINT64_MAX: it has none */
	uint64_t random; /* state; equal ones draw equal ids */
	bool is_paused;  /* a machine that stands still */
	bool is_gone;    /* one that died: what it had under way comes or does not */

	struct hr_link *links[BOX_LINKS]; /* links[n - 1] is link n */
	uint64_t n_links;
	uint64_t forgets;   /* links before this one have left memory */
	uint32_t n_told[4]; /* by enum hr_told */
	uint64_t told_incarnation;
	uint32_t told_fence_no;

	struct hr_epoch epochs[BOX_EPOCHS];
	bool is_out[BOX_EPOCHS];
	char line[512]; /* the newest that was told */
	bool was_cloned;
	const struct hr_log_start *snapshot; /* the newest; NULL: there is none */
	uint32_t n_looked, looks; /* how often it is looked for in vain first */
	char addresses[32];
	bool others[1];              /* given to the shard */
	bool is_kept, fails_to_keep; /* the newest word that was written down */
	uint32_t n_kept;
	hr_cell cells[HR_HIST_CELLS], dropped_fenced;
};

struct world {
	struct fake_store *store;
	struct hr_data_set set;
	struct hr_now now;
	struct box *boxes[8];
	uint32_t n_boxes;
};

void world_init(struct world *w);
void world_fini(struct world *w);
/* An appliance starts; seed makes its random bits. */
struct box *box_start(struct world *w, uint64_t seed);
/* One that begins with what a snapshot told; start must live as long. */
struct box *box_start_at(struct world *w, uint64_t seed,
			 const struct hr_log_start *start);
/* One whose shard is another appliance's. */
struct box *box_look_on(struct world *w, uint64_t seed);
struct box *box_look_on_from(struct world *w, uint64_t seed,
			     const struct hr_log_start *start);
/* Killed: nothing is closed but memory. */
void box_kill(struct box *b);

/* Pass ms milliseconds. */
void world_run(struct world *w, uint32_t ms);
/* Until the shard is so, at most ms; returns whether it is. */
bool world_until(struct world *w, const struct box *b, enum hr_shard_state state,
		 uint32_t ms);
/* Until this many links are in the box. */
bool world_until_links(struct world *w, const struct box *b, uint64_t n, uint32_t ms);

/* Close an epoch with one datagram of one event: its number is its payload. With
 * ordered it is one that would be acknowledged. The shard takes it under the fence that
 * the box was told of. */
void box_close(struct box *b, uint64_t number, bool ordered);
/* Epoch buffers that the shard has not given back. */
uint32_t box_epochs_out(const struct box *b);

/* How often the datagram is in the chain that a fresh reader of the log accepts; with
 * n != NULL the links of that chain. */
uint32_t world_finds(struct world *w, uint64_t number, uint64_t *n);

/* A world, and in it an owner with n links of one ordered datagram each, numbered from 0. */
struct box *world_init_owner(struct world *w, uint64_t n);
bool box_may_ack(const struct box *b);
/* Some other owner's FENCE at the log's end. */
void world_put_fence(struct world *w, uint64_t incarnation, const char *addresses);

#endif
