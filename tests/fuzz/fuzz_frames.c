/* SPDX-License-Identifier: BSD-3-Clause */

/* Payloads cut into events, and headerless datagrams split by shard. The first byte
 * chooses: 0 protobuf, 1 JSON lines, 2 array allowed, from 3 on split by so many
 * shards. */

#include "common/murmur2.h"
#include "dataplane/beacon/beacon.h"
#include "tests/fuzz/event_laws.h"
#include "tests/fuzz/fuzz.h"

static void walk(uint8_t codec, struct hr_str payload, bool allow_array)
{
	const uint8_t *behind = payload.p, *end = payload.p + payload.n;
	struct hr_frames f;
	struct hr_str event;
	uint32_t n = 0;
	int r;

	hr_frames_init(&f, codec, payload, allow_array);
	while ((r = hr_frames_next(&f, &event)) == 1) {
		HOLDS(event.p >= behind && event.n <= (size_t)(end - event.p));
		behind = event.p + event.n;
		n++;
		HOLDS(n <= payload.n);
	}
	HOLDS(r == 0 || r == -1);
	if (allow_array)
		return;
	HOLDS(hr_frames_fit(codec, payload, n) == (r == 0));
	HOLDS(!hr_frames_fit(codec, payload, n + 1));
	HOLDS(n == 0 || !hr_frames_fit(codec, payload, n - 1));
}

/* A line of a piece, when fold gets it, belongs to the piece's shard. */
static void check_event(const struct hr_piece *piece, struct hr_str event,
			uint16_t n_shards)
{
	struct taken t;

	taken_parse(&t, HR_CODEC_JSON, event.p, event.n);
	if (piece->refused != HR_DROP_NONE)
		HOLDS(t.verdict != HR_REJECT_NONE);
	else if (t.verdict == HR_REJECT_NONE)
		HOLDS(hr_kafka_partition(t.ev.user.p, t.ev.user.n, n_shards) ==
		      piece->shard);
	taken_free(&t);
}

static void check_piece(const struct hr_split *split, const struct hr_piece *piece,
			uint16_t n_shards)
{
	struct hr_frames f;
	struct hr_str event;

	HOLDS(piece->n_events >= 1 && piece->shard < n_shards);
	HOLDS(piece->payload.p >= split->bytes &&
	      piece->payload.p + piece->payload.n <=
		      split->bytes + sizeof(split->bytes));
	HOLDS(hr_frames_fit(HR_CODEC_JSON, piece->payload, piece->n_events));
	hr_frames_init(&f, HR_CODEC_JSON, piece->payload, false);
	while (hr_frames_next(&f, &event) == 1)
		check_event(piece, event, n_shards);
}

/* Bytes that are neither white space, nor a comma or bracket around the objects. */
static uint32_t weight(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += p[i] == '"' || p[i] == ':' || p[i] == '{' || p[i] == '}';
	return sum;
}

static void split(uint16_t n_shards, const uint8_t *data, uint32_t n)
{
	const struct hr_beacon_rules rules = { .n_shards = n_shards, .insecure = true };
	struct hr_split *out = malloc(sizeof(*out));
	uint32_t n_events = 0, carried = 0;
	bool has_shard[HR_PIECES_MAX] = { false };
	enum hr_drop drop = hr_beacon_split(&rules, data, n, out);

	HOLDS(drop == HR_DROP_NONE || drop == HR_DROP_FRAME_LONG ||
	      drop == HR_DROP_FRAME_COUNT || drop == HR_DROP_UNKEYED_JSON);
	if (drop == HR_DROP_NONE) {
		HOLDS(hr_beacon_is_headerless(data, n));
		HOLDS(out->n_pieces >= 1 && out->n_pieces <= (uint32_t)n_shards + 1);
		for (uint32_t i = 0; i < out->n_pieces; i++) {
			const struct hr_piece *piece = &out->pieces[i];
			const uint32_t slot = piece->refused ? n_shards : piece->shard;

			check_piece(out, piece, n_shards);
			HOLDS(!has_shard[slot]);
			has_shard[slot] = true;
			n_events += piece->n_events;
			carried += weight(piece->payload.p, piece->payload.n);
		}
		HOLDS(n_events <= HR_WIRE_EVENTS_MAX);
		HOLDS(carried == weight(data, n));
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *bytes;
	struct hr_str payload;

	if (n < 1 || n > 2000)
		return 0;
	bytes = exact_copy(data + 1, n - 1);
	payload = (struct hr_str){ bytes, (uint32_t)n - 1 };
	if (data[0] < 3)
		walk(data[0] == 0 ? HR_CODEC_PROTOBUF : HR_CODEC_JSON, payload,
		     data[0] == 2);
	else
		split((uint16_t)((data[0] - 3) % 100 + 1), bytes, payload.n);
	free(bytes);
	return 0;
}
