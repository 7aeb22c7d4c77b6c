/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Tell an appliance that a user looked at some products, then print what became
 * of it. From any folder:
 *
 *     cc -o track track.c headrace.c -lpthread
 *     ./track 127.0.0.1:7400 1 000102030405060708090a0b0c0d0e0f user_42
 *
 * Where the appliance runs with `handshake: off` say so, and its number of shards:
 *
 *     ./track 127.0.0.1:7400 1 000102030405060708090a0b0c0d0e0f user_42 5 off
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headrace.h"

static const struct {
	const char *product, *category;
} views[] = {
	{ "product_1", "books" },
	{ "product_2", "books" },
	{ "product_3", "garden" },
};

#define N_VIEWS (sizeof(views) / sizeof(views[0]))

static int track_all(struct headrace *h, const char *user)
{
	for (size_t i = 0; i < N_VIEWS; i++) {
		int r = HEADRACE_TRACK(h, user, "product_view",
				       headrace_text("product_id", views[i].product),
				       headrace_text("category", views[i].category),
				       headrace_number("price", "19.99"),
				       headrace_integer("position", (int64_t)i + 1));

		if (r != HEADRACE_OK) {
			fprintf(stderr, "track: %s\n", headrace_result_text(r));
			return r;
		}
	}
	return HEADRACE_OK;
}

static void print_stats(struct headrace *h)
{
	struct headrace_counts s;

	headrace_stats(h, &s);
	printf("events     %" PRIu64 " tracked, %" PRIu64 " sent, %" PRIu64
	       " committed, %" PRIu64 " failed, %" PRIu64 " dropped, %" PRIu64
	       " refused\n",
	       s.events_tracked, s.events_sent, s.events_committed, s.events_failed,
	       s.events_dropped, s.events_refused);
	printf("datagrams  %" PRIu64 " sent, %" PRIu64 " bytes\n", s.datagrams_sent,
	       s.bytes_sent);
	if (s.send_unreachable > 0)
		printf("           %" PRIu64
		       " times \"port unreachable\": nobody listens "
		       "at this address\n",
		       s.send_unreachable);
}

int main(int argc, char **argv)
{
	struct headrace_config config = { 0 };
	struct headrace *h;
	char error[256];
	int r;

	if (argc < 5) {
		fprintf(stderr,
			"usage: %s <host:port> <key id> <32 hex digits | key file> "
			"<user> [shards [off]]\n",
			argv[0]);
		return 2;
	}
	config.address = argv[1];
	config.key_id = (uint32_t)strtoul(argv[2], NULL, 10);
	if (headrace_str(argv[3]).n == 2 * HEADRACE_KEY_BYTES)
		config.key_hex = argv[3];
	else
		config.key_file = argv[3];
	if (argc > 5)
		config.n_shards = (uint32_t)strtoul(argv[5], NULL, 10);
	if (argc > 6 && strcmp(argv[6], "off") == 0)
		config.handshake = HEADRACE_HANDSHAKE_OFF;

	if (headrace_open(&config, &h, error, sizeof(error)) != HEADRACE_OK) {
		fprintf(stderr, "headrace: %s\n", error);
		return 1;
	}
	r = track_all(h, argv[4]);
	if (r == HEADRACE_OK) {
		/* With the handshake: they are in the log. */
		r = headrace_flush(h, 3000);
		if (r != HEADRACE_OK)
			fprintf(stderr, "flush: %s; %" PRIu64 " events wait\n",
				headrace_result_text(r), headrace_waiting(h));
	}
	print_stats(h);
	if (headrace_close(h) != HEADRACE_OK || r != HEADRACE_OK)
		return 1;
	return 0;
}
