/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/beacon/answer.h"

/* Each writes the payload of its kind behind the header; returns its bytes. */

static uint32_t put_challenge(const struct hr_answer *a, uint8_t *p)
{
	hr_store64(p, a->server_us);
	hr_store64(p + 8, a->echo_us);
	hr_store64(p + 16, a->span_us);
	hr_store32(p + 24, a->wait_ms);
	hr_store16(p + 28, HR_WIRE_DATAGRAM_MAX);
	return HR_CHALLENGE_BYTES;
}

static uint32_t put_ack(const struct hr_answer *a, uint8_t *p)
{
	hr_store64(p, a->incarnation);
	hr_store64(p + 8, a->parked);
	hr_store32(p + 16, a->credit);
	p[22] = a->meaning;
	return HR_ACK_BYTES;
}

static uint32_t put_probe_answer(const struct hr_answer *a, uint8_t *p)
{
	put_ack(a, p);
	hr_store64(p + 24, a->server_us);
	hr_store64(p + 32, a->echo_us);
	return HR_PROBE_ANSWER_BYTES;
}

static uint32_t put_not_owner(const struct hr_answer *a, uint8_t *p)
{
	const uint32_t without =
		HR_WIRE_HEADER_BYTES + HR_NOT_OWNER_BYTES + HR_WIRE_TAG_BYTES;
	uint32_t n = a->addresses.n;

	if (n > HR_WIRE_ADDRESSES_MAX || without + n > a->room)
		n = 0;
	hr_store64(p, a->incarnation);
	hr_store16(p + 8, (uint16_t)n);
	if (n > 0)
		memcpy(p + HR_NOT_OWNER_BYTES, a->addresses.p, n);
	return HR_NOT_OWNER_BYTES + n;
}

static uint32_t put_busy(const struct hr_answer *a, uint8_t *p)
{
	hr_store64(p, a->incarnation);
	hr_store32(p + 8, a->wait_ms);
	hr_store16(p + 12, a->reason);
	return HR_BUSY_BYTES;
}

static uint32_t put_expired(const struct hr_answer *a, uint8_t *p)
{
	hr_store64(p, a->incarnation);
	hr_store64(p + 8, a->server_us);
	hr_store64(p + 16, a->span_us);
	return HR_EXPIRED_BYTES;
}

static uint32_t put_payload(const struct hr_answer *a, uint8_t *p)
{
	switch (a->kind) {
	case HR_KIND_CHALLENGE:
		return put_challenge(a, p);
	case HR_KIND_ACK:
		return put_ack(a, p);
	case HR_KIND_PROBE_ANSWER:
		return put_probe_answer(a, p);
	case HR_KIND_NOT_OWNER:
		return put_not_owner(a, p);
	case HR_KIND_BUSY:
		return put_busy(a, p);
	case HR_KIND_EXPIRED:
		return put_expired(a, p);
	default:
		return 0; /* WRONG_SHARD: the header says it all */
	}
}

uint32_t hr_answer_encode(const struct hr_answer *a,
			  const uint8_t write_key[HR_WIRE_KEY_BYTES], uint64_t sent_us,
			  uint8_t *out)
{
	uint8_t *payload = out + HR_WIRE_HEADER_BYTES;
	uint8_t stream_key[HR_WIRE_KEY_BYTES];
	struct hr_wire w = {
		.kind = a->kind,
		.direction = HR_FROM_APPLIANCE,
		.suite = HR_SUITE_SIPHASH,
		.shard = a->shard,
		.n_shards = a->n_shards,
		.generation = a->generation,
		.key_id = a->key_id,
		.birth = a->birth,
		.random = a->random,
		.sequence = a->sequence,
		.attempt = a->attempt,
		.sent_us = sent_us,
		.token = a->token,
	};

	/* What no kind writes is 0. */
	memset(payload, 0, HR_PROBE_ANSWER_BYTES);
	w.payload = (struct hr_str){ payload, put_payload(a, payload) };
	if (HR_WIRE_HEADER_BYTES + w.payload.n + HR_WIRE_TAG_BYTES > a->room)
		return 0;
	hr_wire_stream_key(write_key, a->birth, a->random, stream_key);
	return (uint32_t)hr_wire_encode(&w, stream_key, out);
}
