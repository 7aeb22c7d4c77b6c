/* SPDX-License-Identifier: BSD-3-Clause */

/* Datagrams with a header: as they come, and once more with the tag that makes them
 * authentic, since nobody finds one by trying. */

#include "dataplane/beacon/beacon.h"
#include "dataplane/beacon/event.h"
#include "tests/fuzz/fuzz.h"

static const struct hr_write_key keys[] = {
	{ .id = 7, .key = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } },
	{ .id = 8, .key = { 8 } },
};

static void check_taken(const struct hr_wire *w, const uint8_t *datagram, size_t n,
			const struct hr_beacon_rules *rules)
{
	uint8_t out[HR_WIRE_DATAGRAM_MAX], key[HR_WIRE_KEY_BYTES];

	HOLDS(w->kind == HR_KIND_DATA && w->direction == HR_TO_APPLIANCE);
	HOLDS(w->shard < rules->n_shards && w->n_shards == rules->n_shards);
	HOLDS(w->n_events >= 1 && w->n_events <= HR_WIRE_EVENTS_MAX);
	HOLDS(w->payload.p == datagram + HR_WIRE_HEADER_BYTES);
	HOLDS(w->payload.n == n - HR_WIRE_HEADER_BYTES - HR_WIRE_TAG_BYTES);
	HOLDS(hr_frames_fit(w->codec, w->payload, w->n_events));
	hr_wire_stream_key(hr_keyring_find(rules->keys, w->key_id), w->birth, w->random,
			   key);
	HOLDS(hr_wire_encode(w, key, out) == n && memcmp(out, datagram, n) == 0);
}

static void judge(const struct hr_beacon_rules *rules, const uint8_t *datagram,
		  size_t n)
{
	struct hr_wire w;
	const enum hr_drop drop = hr_beacon_read(rules, datagram, (uint32_t)n, &w);

	HOLDS(drop == HR_DROP_NONE ||
	      (drop >= HR_DROP_FRAME_SHORT && drop <= HR_DROP_FRAMING));
	(void)hr_beacon_is_headerless(datagram, (uint32_t)n);
	if (drop == HR_DROP_NONE)
		check_taken(&w, datagram, n, rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hr_beacon_rules rules = { .generation = 1, .n_shards = 5 };
	struct hr_keyring *ring;
	uint8_t *datagram = exact_copy(data, n);
	struct hr_wire w;

	HOLDS(hr_keyring_new(&ring, keys, 2, NULL) == 0);
	rules.keys = ring;
	judge(&rules, datagram, n);
	if (hr_wire_decode(&w, datagram, n) == HR_DROP_NONE) {
		uint8_t key[HR_WIRE_KEY_BYTES], *again = malloc(n);

		w.key_id = 7;
		w.generation = 1;
		w.n_shards = 5;
		hr_wire_stream_key(keys[0].key, w.birth, w.random, key);
		HOLDS(hr_wire_encode(&w, key, again) == n);
		judge(&rules, again, n);
		free(again);
	}
	hr_keyring_free(ring);
	free(datagram);
	return 0;
}
