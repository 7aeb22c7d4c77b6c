/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * ns of CPU time an event of fold, begin to last step: 20 events a datagram, 1,000
 * streams, 10,000 users, links as full as a record gets, outputs' memory made before
 * (the committer does that). Every link is another one, so bodies and outputs are
 * cold. Best and mean of several replays.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/fold/chain.h"

#define PER_DATAGRAM 20
#define LINKS 40
#define USERS 10000
#define STREAMS 1000
#define ROUNDS 20
#define CLOCK_US 1700000000000000u

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void event_make(struct test_random *r, struct test_event *ev)
{
	/* Low numbers often: about half of the events for a tenth of the users. */
	snprintf(ev->user, TEXT_BYTES, "user_%u",
		 test_below(r, test_below(r, USERS) + 1));
	snprintf(ev->type, TEXT_BYTES, "%s",
		 test_below(r, 10) == 0 ? "purchase" : "product_view");
	snprintf(ev->id, TEXT_BYTES, "%08x%08x", test_below(r, UINT32_MAX),
		 test_below(r, UINT32_MAX));
	snprintf(ev->product, TEXT_BYTES, "product_%u", test_below(r, 5000));
	ev->time_ms = (int64_t)(CLOCK_US / 1000) + test_below(r, 100000);
}

static void link_add(struct test_chain *c, struct test_random *r, uint8_t codec,
		     uint64_t *sequences)
{
	struct test_item *items = calloc(1000, sizeof(*items));
	uint32_t n = 0, bytes = 0;
	static uint8_t payload[1 << 16];

	while (bytes < HR_BODY_MAX - 4000) {
		struct test_item *item = &items[n++];
		const uint32_t stream = test_below(r, STREAMS);

		*item = (struct test_item){ .kind = HR_ITEM_DATAGRAM,
					    .codec = codec,
					    .birth = CLOCK_US + stream,
					    .random = stream * 77u,
					    .sequence = ++sequences[stream],
					    .received_us = CLOCK_US,
					    .claimed = ABSENT,
					    .n_events = PER_DATAGRAM };
		for (uint32_t i = 0; i < PER_DATAGRAM; i++)
			event_make(r, &item->events[i]);
		bytes += hr_item_bytes(test_payload(item, payload, sizeof(payload)));
	}
	test_chain_add_epoch(c, CLOCK_US + c->n_links * 20000u, items, n);
}

static double fold_all(struct test_chain *c, uint32_t step, double *begin_ns)
{
	struct hr_fold *fold;
	double start, ns = 0;

	*begin_ns = 0;
	if (hr_fold_new(&fold, &c->set, 0, 65536) < 0)
		abort();
	for (uint32_t i = 0; i < c->n_links; i++) {
		free(c->links[i].link.out);
		c->links[i].link.out = test_out_new(&c->links[i].link);
	}
	for (uint32_t i = 0; i < c->n_links; i++) {
		start = cpu_ns();
		if (hr_fold_begin(fold, &c->links[i].link) < 0)
			abort();
		*begin_ns += cpu_ns() - start;
		while (!hr_fold_step(fold, step))
			;
		ns += cpu_ns() - start;
	}
	hr_fold_free(fold);
	return ns;
}

static void measure(const char *name, uint8_t codec, uint32_t step)
{
	const struct hr_chain_config config = test_config(65536, 65536, 3600000000u);
	uint64_t *sequences = calloc(STREAMS, sizeof(*sequences));
	struct test_random r = { 88172645463325252u };
	double best = 1e18, sum = 0, begin_ns, best_begin = 0;
	struct test_chain c;
	uint64_t events = 0, bytes = 0;

	test_chain_init(&c, 0, 1);
	test_chain_add_config(&c, CLOCK_US, &config);
	while (c.n_links <= LINKS)
		link_add(&c, &r, codec, sequences);
	for (uint32_t i = 0; i < c.n_links; i++) {
		events += c.links[i].link.n_events;
		bytes += c.links[i].link.body.n;
	}
	for (int round = 0; round < ROUNDS; round++) {
		const double ns = fold_all(&c, step, &begin_ns);

		if (ns < best) {
			best = ns;
			best_begin = begin_ns;
		}
		sum += ns;
	}
	printf("%-9s steps of %5u: best %6.1f ns/event (begin %4.1f), mean %6.1f; "
	       "%.0f bytes/event with item heads, %u users in the last link\n",
	       name, step, best / (double)events, best_begin / (double)events,
	       sum / ROUNDS / (double)events, (double)bytes / (double)events,
	       c.links[LINKS].link.out->n_users);
	test_chain_fini(&c);
	free(sequences);
}

int main(void)
{
	measure("protobuf", HR_CODEC_PROTOBUF, 256);
	measure("protobuf", HR_CODEC_PROTOBUF, 32);
	measure("JSON", HR_CODEC_JSON, 256);
	return 0;
}
