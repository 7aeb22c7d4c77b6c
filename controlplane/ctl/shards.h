/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CTL_SHARDS_H
#define HR_CTL_SHARDS_H

/* shards - who owns which shard, as the dataplane sees it. */

#include <stdio.h>

#include <jansson.h>

/* The member "shards" of the dataplane's status, for people. */
void hr_shards_print(FILE *to, const json_t *shards);

#endif
