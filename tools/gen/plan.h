/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PLAN_H
#define HR_PLAN_H

/*
 * plan - what a send will send, in twenty numbers. Every event and every datagram is
 * a function of the plan, so whoever holds it knows the right answers: the sender
 * before it sends, verify without having seen a byte of it.
 *
 *   plan ─▶ event i (planned.h) ─▶ datagrams (batcher.h) ─▶ wire | memif | pcap
 *     └──── plan file ──────────▶ verify: event i again, compared with what is there
 *
 * A plan file is a flat JSON object; unknown members are refused, because a plan that
 * is understood in part gives wrong answers. Cold; one thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define HR_PLAN_EVENTS_MAX 1000000000u
#define HR_PLAN_USERS_MAX 16777216u
#define HR_PLAN_PRODUCTS_MAX 1048576u
#define HR_PLAN_CATEGORIES_MAX 65536u
#define HR_PLAN_SHARDS_MAX 100u
#define HR_PLAN_DATAGRAM_MIN 640u /* any planned event fits, in either codec */

enum hr_plan_codec {
	HR_PLAN_PROTOBUF,
	HR_PLAN_JSON,
	HR_PLAN_HALF, /* as many events by one as by the other */
};

struct hr_plan {
	uint64_t seed;         /* unique among plans that are verified together */
	uint64_t n_events;     /* known only at the end where time bounds the send */
	uint32_t n_users;      /* "user_0" ... */
	uint32_t n_products;   /* "product_0" ... */
	uint32_t n_categories; /* a product's category is always the same */
	uint32_t zipf_milli;   /* exponent in thousandths; 0: uniform */
	enum hr_plan_codec codec;
	/* 1: sent by the SDK itself, which packs as it likes, begins streams of its own
	 * and gives each event a time. birth, random and datagram_events say nothing. */
	uint32_t by_sdk;
	bool headerless;          /* JSON without header and tag, shards mixed */
	uint32_t datagram_events; /* at most, 1 to 512 */
	uint32_t datagram_bytes;  /* at most, of UDP payload */
	uint32_t n_shards;
	uint32_t generation;
	uint32_t key_id;
	uint64_t birth, random; /* of the stream */
	uint64_t start_ms;      /* event time of event 0 */
	uint32_t step_ns;       /* from one event's time to the next one's */
	/* What the sender could not get rid of; 0 when it came back with success. */
	uint64_t unsent_datagrams;
	uint64_t unsent_events;
};

/* 1,000 events of 100 users; everything else as `headrace-gen send` without options.
 * birth, random and start_ms are fixed: the sender sets them from clock and kernel. */
void hr_plan_defaults(struct hr_plan *plan);

/* Every number in its range, and the plan possible. 0 or -EINVAL with err. */
int hr_plan_check(const struct hr_plan *plan, struct hr_err *err);

/* Writes a temporary file beside it first, so nobody reads half a plan. */
int hr_plan_write(const struct hr_plan *plan, const char *path, struct hr_err *err);
/* Returns 0, -EINVAL with what is wrong where, or what opening gave. Checked. */
int hr_plan_read(struct hr_plan *out, const char *path, struct hr_err *err);

/* Beginning of every event id of the plan: "g", the seed in base 32, "-"; the number
 * of the event follows. Returns the bytes, without a NUL. */
#define HR_PLAN_ID_PREFIX 16
uint32_t hr_plan_id_prefix(const struct hr_plan *plan, char out[HR_PLAN_ID_PREFIX]);

#endif
