/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "tests/unit/gen/world.h"
#include "tools/gen/batcher.h"

void world_init(struct world *w, const struct hr_plan *plan)
{
	struct hr_err err;

	memset(w, 0, sizeof(*w));
	if (hr_known_init(&w->known, plan, 1, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	w->findings.to = open_memstream(&w->told, &w->told_bytes);
	w->log = (struct hr_check_log){ .known = &w->known,
					.findings = &w->findings,
					.n_shards = plan->n_shards };
}

void world_fini(struct world *w)
{
	fclose(w->findings.to);
	free(w->told);
	hr_check_log_fini(&w->log);
	hr_known_fini(&w->known);
}

void world_log_item(struct world *w, const struct logged *logged)
{
	static uint8_t body[4096];
	const struct hr_link_head link = {
		.n = logged->link,
		.body_kind = HR_BODY_EPOCH,
		.body = { body, hr_item_encode(body, &logged->item) },
	};

	hr_check_link(&w->log, logged->shard, &link);
}

/* Headerless ones are split as the edge does it: a piece for each shard. */
static struct hr_str piece(struct hr_str payload, uint32_t shard, uint32_t n_shards,
			   uint8_t *out, uint16_t *n_events)
{
	struct hr_str event;
	uint32_t cursor = 0, n = 0;

	*n_events = 0;
	while (hr_payload_next(HR_CODEC_JSON, payload, &cursor, &event) > 0) {
		/* {"user_id":"... : no escapes where a user is a plain one. */
		const char *user = (const char *)event.p + 12;
		const char *end = memchr(user, '"', event.n - 12);
		char plain[64];
		size_t bytes = 0;

		for (; user < end || user[-1] == '\\'; user++) {
			if (*user == '\\')
				user++;
			plain[bytes++] = *user;
			end = memchr(user + 1, '"', 64);
		}
		if (headrace_shard(plain, bytes, n_shards) != shard)
			continue;
		memcpy(out + n, event.p, event.n);
		out[n + event.n] = '\n';
		n += event.n + 1;
		(*n_events)++;
	}
	return (struct hr_str){ out, n };
}

static void log_one(struct world *w, struct logged *logged, uint64_t number, meddle how,
		    void *arg)
{
	int times = how == NULL ? 1 : how(logged, number, arg);

	while (times-- > 0)
		world_log_item(w, logged);
}

static struct logged from_batch(const struct hr_plan *plan,
				const struct hr_batch *batch)
{
	struct logged logged = {
		.item = { .kind = plan->headerless ? HR_ITEM_EVENT : HR_ITEM_DATAGRAM,
			  .codec = batch->codec,
			  .n_events = (uint16_t)batch->n_events,
			  .received_us = 1800000000123456,
			  .payload = { batch->bytes, batch->n_bytes } },
		.shard = batch->shard,
		.link = batch->sequence + 1,
	};

	if (plan->headerless)
		return logged;
	logged.item.birth = plan->birth;
	logged.item.random = plan->random;
	logged.item.sequence = batch->sequence;
	logged.item.key_id = plan->key_id;
	logged.item.payload.p += HEADRACE_HEADER_BYTES;
	logged.item.payload.n -= HEADRACE_HEADER_BYTES + HEADRACE_TAG_BYTES;
	return logged;
}

void world_log(struct world *w, meddle how, void *arg)
{
	static const uint8_t no_key[HEADRACE_KEY_BYTES];
	const struct hr_plan *plan = &w->known.planners[0].plan;
	struct hr_batcher *batcher;
	struct hr_batch batch;
	uint64_t number = 0;

	if (hr_batcher_new(&batcher, &w->known.planners[0], no_key, NULL) < 0)
		abort();
	while (hr_batcher_next(batcher, 1, &batch)) {
		struct logged logged = from_batch(plan, &batch);
		const struct hr_str whole = logged.item.payload;
		uint8_t bytes[2048];

		for (uint16_t s = 0; plan->headerless && s < plan->n_shards; s++) {
			logged.item.payload = piece(whole, s, plan->n_shards, bytes,
						    &logged.item.n_events);
			logged.shard = s;
			if (logged.item.n_events > 0)
				log_one(w, &logged, number++, how, arg);
		}
		if (!plan->headerless)
			log_one(w, &logged, number++, how, arg);
	}
	hr_batcher_free(batcher);
	fflush(w->findings.to);
}
