/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TOPICS_ALIGN_H
#define HR_TOPICS_ALIGN_H

/*
 * topics align - the committed records of one partition beside those that fold makes for
 * it, in order. What is there is kept as a hash and an offset a record (16 bytes); what
 * fold makes comes by, record after record:
 *
 *   there     a b     x d e              x: extra
 *   fold      a b c     d e f            c: missing within, f: missing at the tail
 *
 * The beginning may be cut on either side: retention deletes a topic's oldest records
 * (begins_late), a trimmed log does not make them any more (may_skip). One thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct hr_topics_there_record {
	uint64_t hash;
	int64_t offset;
};

/* A run of differences. */
struct hr_topics_gap {
	bool is_extra;
	int64_t from, to; /* extra: their offsets. Missing: behind the record before
			   * them, and where the next one lies (the end: the tail) */
	uint64_t first_n, last_n; /* missing: of which links */
	uint64_t count;
	bool is_tail;
};

struct hr_topics_align {
	struct hr_topics_there_record *there;
	uint64_t n, max;
	bool begins_late; /* what lay before its first offset was deleted */
	bool may_skip;    /* fold does not begin with link 1 */
	bool is_left_out; /* nobody asks for it */
	int64_t end;      /* behind the last offset, as far as readers see */

	/* While fold comes by. */
	uint64_t at;     /* next of there */
	uint64_t n_made; /* records that fold made, from its first on */
	uint64_t n_matched;
	uint64_t n_unseen; /* made before anything fitted, and deleted since */
	uint64_t n_before; /* there before fold's first one */
	uint64_t resume;   /* records of fold up to the last that fitted */
	uint64_t n_again;  /* the caller's: records that fold made in a second round */
	struct hr_topics_gap gap; /* the open run of missing ones; count 0: none */
	uint64_t *index;          /* places by hash, once something did not fit */
	void (*found)(void *ctx, const struct hr_topics_align *a,
		      const struct hr_topics_gap *gap);
	void *ctx;
	uint32_t topic, own; /* the caller's: which partition it is */
};

/* Of what is there; before fold comes. 0 or -ENOMEM. */
int hr_topics_align_add(struct hr_topics_align *a, uint64_t hash, int64_t offset);
/* What fold makes next, of link n. `must`: it has to be there, also at the tail. 0 or
 * -ENOMEM. */
int hr_topics_align_made(struct hr_topics_align *a, uint64_t hash, uint64_t n,
			 bool must);
/* Nothing more comes. */
void hr_topics_align_end(struct hr_topics_align *a);
void hr_topics_align_fini(struct hr_topics_align *a);

#endif
