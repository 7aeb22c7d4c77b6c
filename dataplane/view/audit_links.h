/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_AUDIT_LINKS_H
#define HR_AUDIT_LINKS_H

/*
 * audit links - the log, folded once more from as far back as it reaches, for whoever
 * compares or writes anew what a view's store holds. One thread; blocks.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/link.h"
#include "dataplane/view/view.h"

struct hr_config;
struct hr_replay;

struct hr_audit_links {
	const struct hr_config *config;
	const struct hr_data_set *set;
	struct hr_replay *replay;
	uint16_t shard;
	bool may_begin_later;
	bool has_begun;
	uint64_t began_behind;    /* once the first link was given; 0: link 1 */
	struct hr_position began; /* of the snapshot, where it began later */
	uint64_t heard_us;
};

/* From behind link behind_n, or from the newest snapshot before it. may_begin_later:
 * where the log does not reach so far back, from the oldest snapshot there is. */
int hr_audit_links_open(struct hr_audit_links *l, const struct hr_config *config,
			const struct hr_data_set *set, uint16_t shard,
			uint64_t behind_n, bool may_begin_later, struct hr_err *err);
void hr_audit_links_close(struct hr_audit_links *l);
/* The next folded link, with a reference of the caller's own. -ENOENT: it began behind a snapshot of
 * the newest link there is. -ENODATA: the log does not
 * reach back so far; -EIO: it says nothing for some seconds. */
int hr_audit_links_next(struct hr_audit_links *l, struct hr_link **out,
			struct hr_err *err);

#endif
