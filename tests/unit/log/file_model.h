/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_FILE_MODEL_H
#define HR_TEST_FILE_MODEL_H

/*
 * A small writer of a shard's log, killed everywhere: at every call that changes the
 * disk, with every subset of what was not synced; after every sync that failed, going on
 * or restarted without power loss; with the disk full at every byte. Then the rules:
 * whatever was reported or shown to a reader is there, at its place, for ever; what is
 * there was appended; and no crash is ever taken for damage.
 */

#include <stdint.h>

struct file_model_sum {
	uint64_t ends;   /* histories judged */
	uint64_t broken; /* of them, those that broke a rule */
	char first[256]; /* the first one, for people */
};

/* Runs until `enough` histories broke a rule, 0: all. */
void file_model_run(struct file_model_sum *sum, uint64_t enough);

#endif
