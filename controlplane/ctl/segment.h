/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_SEGMENT_H
#define HR_SEGMENT_H

/*
 * segment - the parts of a report that come out of the statistics segment, as JSON.
 * `stats` may be NULL everywhere: then the answer is null, or what the dataplane's
 * own answer `dataplane` (may be NULL too) says alone.
 */

#include <stdint.h>

#include <jansson.h>

#include "dataplane/stats/stats.h"

/* The dataplane's list, each with its counters: {"shard","state","link","reason",
 * "in_flight","events_logged"}. */
json_t *hr_segment_shards(const struct hr_stats_reader *stats, const json_t *dataplane);
/* {"name","state","reason","up","lag_links","errors"} */
json_t *hr_segment_views(const struct hr_stats_reader *stats, const json_t *dataplane);
/* {"accept":{"count","p50_s","p99_s"},"ack":{...},"log_append":{...},"views":{name:{...}}}; the
 * quantiles are null where nothing was observed. */
json_t *hr_segment_latency(const struct hr_stats_reader *stats);
/* {label: n} of every reason of drops.def and rejects.def, zeros too. */
json_t *hr_segment_refused(const struct hr_stats_reader *stats);
json_t *hr_segment_dropped(const struct hr_stats_reader *stats);
json_t *hr_segment_rejected(const struct hr_stats_reader *stats);
/* {metric name: sum of its rows} of every counter and gauge of names.def. */
json_t *hr_segment_sums(const struct hr_stats_reader *stats);
/* {"datagrams":{"balance","balanced","off","moved",terms...},"events":{... "shard"}} */
json_t *hr_segment_ledger(const struct hr_stats_reader *stats, uint32_t patience_ms);

/* Sentence of a reason's label; "" when there is none such. */
const char *hr_segment_refusal_sentence(const char *label);
const char *hr_segment_reject_sentence(const char *label);

#endif
