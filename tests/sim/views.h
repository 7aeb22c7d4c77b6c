/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_VIEWS_H
#define SIM_VIEWS_H

/* views - the shipped views without their threads. All calls are made with the process'
 * env entered. */

#include "dataplane/view/view.h"

struct hr_view *sim_redis_view_new(const struct hr_view_conf *conf);
/* Its process died, or ended. */
void sim_redis_view_free(struct hr_view *v);
/* One turn; returns after how many microseconds the next one is due. */
uint64_t sim_redis_view_turn(struct hr_view *v);

struct hr_view *sim_topics_view_new(const struct hr_view_conf *conf);
void sim_topics_view_free(struct hr_view *v);
/* Body of a coroutine, one a shard, and its argument. */
void sim_topics_publish(void *publisher);
void *sim_topics_publisher(struct hr_view *v, uint16_t shard);
void sim_topics_view_stop(struct hr_view *v);
/* Where it stands and why, for people. */
const char *sim_topics_view_reason(const struct hr_view *v, uint16_t shard);
/* As hr_view_ops' applied(). */
uint64_t sim_topics_view_applied(const struct hr_view *v, uint16_t shard);
uint64_t sim_topics_view_settled(const struct hr_view *v, uint16_t shard);
bool sim_topics_view_is_stopped(const struct hr_view *v, uint16_t shard);

#endif
