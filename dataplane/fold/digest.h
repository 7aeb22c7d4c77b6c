/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FOLD_DIGEST_H
#define HR_FOLD_DIGEST_H

/*
 * digest - 128 bits over everything that fold decided, link by link: whoever has the
 * same digest at n has the same verdicts, aggregates and outputs from link 1 to n.
 *
 *   rows(n)   = XXH3-128, seed 0, over the rows below in the order of the outputs
 *   digest(n) = SipHash-2-4-128, key "headrace: digest", over
 *               digest(n - 1) | hash(link n) | rows(n) | n u64 | gaps u64 |
 *               filled u64 | entries u32 | users u32
 *   digest(0) = zero
 *
 * The link's hash binds the bytes of the log; the rows bind what became of them. Both
 * hashes are defined by bytes, not by machines. How the rows were cut into updates
 * makes no difference. Hot; one thread at a time.
 */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/fold/fold.h"

struct hr_digest {
	XXH3_state_t state;
};

void hr_digest_begin(struct hr_digest *d);
/* The next n entries of the link's outputs. */
void hr_digest_events(struct hr_digest *d, const struct hr_link *link,
		      const struct hr_out_event *events, uint32_t n);
/* Events that an item claims and does not hold. */
void hr_digest_missing(struct hr_digest *d, uint32_t item, uint8_t verdict,
		       uint8_t reject, uint32_t n);
void hr_digest_users(struct hr_digest *d, const struct hr_out_user *users, uint32_t n);
/* *digest is that of the link before, and becomes this one's. */
void hr_digest_end(struct hr_digest *d, const struct hr_link *link,
		   struct hr_id128 *digest);

#endif
