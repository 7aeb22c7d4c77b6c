/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What an event and a datagram cost: events of two pairs as the C SDK writes them,
 * different users, products and times, in one datagram after the other. Prints
 * ns; the best of several rounds, so that a busy machine shows less.
 */

#include <stdio.h>
#include <time.h>

#include "dataplane/beacon/beacon.h"
#include "tests/unit/beacon/parsing.h"
#include "tests/unit/beacon/sdk_events.h"

#define EVENTS 4096
#define ROUNDS 50

static struct {
	uint8_t bytes[256];
	uint32_t n;
} events[EVENTS];

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int append_view(struct headrace_encoder *e, const char *user,
		       const char *product, const char *id, uint32_t ms)
{
	const struct headrace_pair pairs[] = {
		headrace_text("product_id", product),
		headrace_text("category", "electronics"),
	};
	const struct headrace_event ev = {
		.user = headrace_str(user),
		.type = headrace_str("product_view"),
		.id = headrace_str(id),
		.time_form = HEADRACE_TIME_MILLIS,
		.time_ms = 1705314600000 + ms,
		.pairs = pairs,
		.n_pairs = 2,
	};

	return headrace_encoder_append(e, &ev);
}

static size_t make_datagram(uint8_t *out, enum headrace_codec codec, uint32_t i,
			    uint32_t n)
{
	struct headrace_datagram d = sdk_header();
	struct headrace_encoder e;

	headrace_encoder_init(&e, codec, out, HEADRACE_DATAGRAM_DEFAULT);
	for (uint32_t k = 0; k < n; k++) {
		char user[32], product[32], id[32];

		snprintf(user, sizeof(user), "user_%u",
			 (i + k) * 2654435761u % 1000000);
		snprintf(product, sizeof(product), "product_%u", (i + k) * 97 % 10000);
		snprintf(id, sizeof(id), "0123456789abc%u", i + k);
		if (append_view(&e, user, product, id, i + k) != HEADRACE_OK)
			break;
	}
	return headrace_encoder_finish(&e, &d);
}

static void fill(enum headrace_codec codec)
{
	uint8_t datagram[HEADRACE_DATAGRAM_DEFAULT];

	for (uint32_t i = 0; i < EVENTS; i++) {
		struct hr_frames frames;
		struct hr_str event;
		struct hr_wire w;

		hr_wire_decode(&w, datagram, make_datagram(datagram, codec, i, 1));
		hr_frames_init(&frames, w.codec, w.payload, false);
		hr_frames_next(&frames, &event);
		memcpy(events[i].bytes, event.p, event.n);
		events[i].n = event.n;
	}
}

/* Keeps what was computed alive. */
static uint64_t sink;

static void parse_all(enum headrace_codec codec)
{
	uint8_t room[256];

	for (uint32_t i = 0; i < EVENTS; i++) {
		struct hr_arena arena = { room, room + sizeof(room) };
		struct hr_event ev;
		enum hr_reject r =
			codec == HEADRACE_JSON
				? hr_event_parse_json(&ev, &arena, events[i].bytes,
						      events[i].n, 0)
				: hr_event_parse_protobuf(&ev, &arena, events[i].bytes,
							  events[i].n, 0);

		sink += r + ev.user.n + (uint64_t)ev.time_ms;
	}
}

static void parse_and_render_all(enum headrace_codec codec)
{
	uint8_t room[256], out[HR_RENDER_BYTES(256)];

	for (uint32_t i = 0; i < EVENTS; i++) {
		struct hr_arena arena = { room, room + sizeof(room) };
		struct hr_event ev;

		if (codec == HEADRACE_JSON)
			hr_event_parse_json(&ev, &arena, events[i].bytes, events[i].n,
					    0);
		else
			hr_event_parse_protobuf(&ev, &arena, events[i].bytes,
						events[i].n, 0);
		sink += hr_event_render(&ev, out, sizeof(out));
	}
}

static double best_of(void (*run)(enum headrace_codec codec), enum headrace_codec codec)
{
	double best = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		const double start = now_ns();
		double ns;

		run(codec);
		ns = (now_ns() - start) / EVENTS;
		if (ns < best)
			best = ns;
	}
	return best;
}

static void bench_read(enum headrace_codec codec, const char *name)
{
	struct hr_write_key key = { .id = SDK_KEY_ID };
	struct hr_beacon_rules rules = { .generation = SDK_GENERATION,
					 .n_shards = SDK_S };
	uint8_t datagram[HEADRACE_DATAGRAM_DEFAULT];
	const uint32_t n = (uint32_t)make_datagram(datagram, codec, 0, 512);
	struct hr_keyring *ring;
	struct hr_wire w = { 0 };
	double best = 1e18;

	memcpy(key.key, sdk_write_key, sizeof(key.key));
	if (hr_keyring_new(&ring, &key, 1, NULL) != 0)
		return;
	rules.keys = ring;
	for (int i = 0; i < ROUNDS; i++) {
		const double start = now_ns();
		double ns;

		for (int k = 0; k < 1000; k++)
			sink += hr_beacon_read(&rules, datagram, n, &w);
		ns = (now_ns() - start) / 1000;
		if (ns < best)
			best = ns;
	}
	printf("%-9s read a datagram of %u bytes, %u events: %.0f ns\n", name, n,
	       w.n_events, best);
	hr_keyring_free(ring);
}

int main(void)
{
	static const struct {
		enum headrace_codec codec;
		const char *name;
	} rows[] = { { HEADRACE_PROTOBUF, "protobuf" }, { HEADRACE_JSON, "JSON" } };

	for (int i = 0; i < 2; i++) {
		double parse, both;

		fill(rows[i].codec);
		parse = best_of(parse_all, rows[i].codec);
		both = best_of(parse_and_render_all, rows[i].codec);
		printf("%-9s event of %u bytes: parse %.0f ns, render %.0f ns\n",
		       rows[i].name, events[0].n, parse, both - parse);
		bench_read(rows[i].codec, rows[i].name);
	}
	return sink == 0;
}
