/* SPDX-License-Identifier: BSD-3-Clause */

/* A datagram with a header, judged in the order of drops.def. */

#include "common/crash_point.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/beacon/event.h"

bool hr_beacon_is_headerless(const uint8_t *payload, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && (payload[i] == ' ' || payload[i] == '\n' ||
			 payload[i] == '\r' || payload[i] == '\t'))
		i++;
	return i < n && (payload[i] == '{' || payload[i] == '[');
}

static inline enum hr_drop judge_tag(const struct hr_beacon_rules *rules,
				     const struct hr_wire *w, const uint8_t *datagram,
				     uint32_t n)
{
	const uint8_t *write_key = hr_keyring_find(rules->keys, w->key_id);
	uint8_t stream_key[HR_WIRE_KEY_BYTES];

	if (write_key == NULL)
		return HR_DROP_KEY_UNKNOWN;
	hr_wire_stream_key(write_key, w->birth, w->random, stream_key);
	return hr_wire_tag_fits(stream_key, datagram, n) ? HR_DROP_NONE : HR_DROP_TAG;
}

/* HELLO asks for these three and may not know them. */
static inline enum hr_drop judge_data_set(const struct hr_beacon_rules *rules,
					  const struct hr_wire *w)
{
	if (w->kind == HR_KIND_HELLO)
		return HR_DROP_NONE;
	if (w->generation != rules->generation)
		return HR_DROP_GENERATION;
	if (w->n_shards != rules->n_shards)
		return HR_DROP_WRONG_S;
	return w->shard < rules->n_shards ? HR_DROP_NONE : HR_DROP_WRONG_SHARD;
}

enum hr_drop hr_beacon_read(const struct hr_beacon_rules *rules, const uint8_t *payload,
			    uint32_t n, struct hr_wire *out)
{
	enum hr_drop drop = (enum hr_drop)hr_wire_decode(out, payload, n);

	if (drop != HR_DROP_NONE)
		return drop;
	drop = judge_tag(rules, out, payload, n);
	if (drop != HR_DROP_NONE)
		return drop;
	drop = judge_data_set(rules, out);
	if (drop != HR_DROP_NONE)
		return drop;
	if (out->kind != HR_KIND_DATA)
		return HR_DROP_HANDSHAKE;
	HR_CRASH_IF_MARKED(PARSE, out->payload.p, out->payload.n);
	return hr_frames_fit(out->codec, out->payload, out->n_events) ? HR_DROP_NONE
								      : HR_DROP_FRAMING;
}

/* PROBE and HELLO ask for a token; theirs may be old, or none. */
static inline enum hr_drop judge_token(const struct hr_tokens *tokens,
				       const struct hr_token_of *from,
				       const struct hr_wire *w)
{
	struct hr_token_of of = *from;

	if (w->kind == HR_KIND_HELLO || w->kind == HR_KIND_PROBE)
		return HR_DROP_NONE;
	of.key_id = w->key_id;
	return hr_token_fits(tokens, &of, w->token) ? HR_DROP_NONE : HR_DROP_TOKEN;
}

enum hr_drop hr_beacon_ask(const struct hr_beacon_rules *rules,
			   const struct hr_tokens *tokens,
			   const struct hr_token_of *from, const uint8_t *payload,
			   uint32_t n, struct hr_wire *out)
{
	enum hr_drop drop = (enum hr_drop)hr_wire_decode(out, payload, n);

	if (drop != HR_DROP_NONE)
		return drop;
	drop = judge_tag(rules, out, payload, n);
	if (drop != HR_DROP_NONE)
		return drop;
	drop = judge_token(tokens, from, out);
	if (drop != HR_DROP_NONE)
		return drop;
	drop = judge_data_set(rules, out);
	if (drop != HR_DROP_NONE || out->kind != HR_KIND_DATA)
		return drop;
	HR_CRASH_IF_MARKED(PARSE, out->payload.p, out->payload.n);
	return hr_frames_fit(out->codec, out->payload, out->n_events) ? HR_DROP_NONE
								      : HR_DROP_FRAMING;
}
