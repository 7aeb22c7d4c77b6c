/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * fake_appliances N SECONDS [LOSS]: N appliances that acknowledge, behind sockets on
 * loopback, for programs that use the SDK. Prints their addresses with commas between;
 * when its standard input ends (or after SECONDS) prints each event of the log,
 * "<event id> <user id>", shard by shard, in order. Write key 7 is 00 01 02 ... 0f.
 * LOSS of 1000 datagrams are lost, each way.
 */

#include <CUnit/Basic.h>
#include <stdlib.h>

/* No suite runs here: what its readers find wrong ends the program. */
#undef CU_assertImplementation
#define CU_assertImplementation(fine, line, text, file, function, fatal)               \
	((fine) ? (void)0 : abort())

#include "tests/unit/sdk/acknowledging.h"
#include "tests/unit/sdk/events.h"

#define N_SHARDS 5

static void print_item(const struct fake_item *it)
{
	const uint8_t *p = it->payload, *end = p + it->n_bytes;
	struct seen s;
	struct field f;

	if (it->kind != 1)
		return;
	while (it->codec == 1 && take_field(&p, end, &f)) {
		s = see_protobuf(f.p, f.p + f.n);
		printf("%s %s\n", s.id, s.user);
	}
	while (it->codec == 2 && p < end) {
		const uint8_t *line = memchr(p, '\n', (size_t)(end - p));

		s = see_json(p, line);
		printf("%s %s\n", s.id, s.user);
		p = line + 1;
	}
}

int main(int argc, char **argv)
{
	static struct acknowledging a;
	struct fake_conf conf = {
		.key_id = 7,
		.n_shards = N_SHARDS,
		.generation = 1,
		.n_appliances = argc > 1 ? (uint32_t)atoi(argv[1]) : 1,
		.seed = 1,
		.wall_us = 1764547200000000,
		.max_age_us = 3600000000,
		.ttl_memory_us = 600000000,
		.ttl_disk_us = (uint64_t)7 * 86400 * 1000000,
		.token_good_ms = 1800000,
		.largest = 1472,
		.credit = 64,
		.commit_us = 3000,
	};
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char byte;

	if (argc < 3 || conf.n_appliances == 0 ||
	    conf.n_appliances > FAKE_APPLIANCES_MAX)
		return 2;
	memcpy(conf.key, write_key, sizeof(conf.key));
	acknowledging_start(&a, conf);
	a.loss = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;
	for (uint32_t i = 0; i < conf.n_appliances; i++)
		printf("%s%s", i > 0 ? "," : "", a.address[i]);
	printf("\n");
	fflush(stdout);
	(void)poll(&in, 1, atoi(argv[2]) * 1000);
	(void)!read(0, &byte, 1);
	acknowledging_stop(&a);
	for (uint32_t s = 0; s < N_SHARDS; s++)
		for (uint32_t i = 0; i < fake_log_items(a.cluster, s); i++) {
			const struct fake_item it = fake_log_item(a.cluster, s, i);

			print_item(&it);
		}
	return 0;
}
