/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CHECKPOINT_PINS_H
#define HR_CHECKPOINT_PINS_H

/*
 * checkpoint_pins - how far back the checkpoints in a folder reach, for whoever keeps
 * what a Redis restored from one needs: snapshots, and the log behind them. The control
 * plane writes the folder (controlplane/checkpoint/checkpoint.h):
 *
 *     20261130T101500Z/manifest      verified
 *     20261130T111500Z.part/wanted   being made: its positions are these, or later
 *
 * Any thread.
 */

#include <stdint.h>

#define HR_CHECKPOINT_KEEP_MOST 30
#define HR_CHECKPOINT_PINS (HR_CHECKPOINT_KEEP_MOST + 2)
#define HR_CHECKPOINT_FORM "headrace-checkpoint 1"

struct hr_checkpoint_pins {
	uint64_t n[HR_CHECKPOINT_PINS]; /* links, of one shard */
	uint32_t n_pins;
	uint32_t n_verified;
};

/*
 * Of the checkpoints of this data set (32 hex digits). Returns 0; a negated errno where
 * the folder, or a checkpoint in it, cannot be read, or there are more than fit: then
 * nobody knows how far they reach. No folder: none.
 */
int hr_checkpoint_pins_read(struct hr_checkpoint_pins *out, const char *folder,
			    const char *data_set, uint16_t shard);

#endif
