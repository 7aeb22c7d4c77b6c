/* SPDX-License-Identifier: BSD-3-Clause */

/* headrace-gen: load whose right answers are known before it is sent. */

#include <stdio.h>
#include <string.h>

#include "tools/gen/commands.h"

static const struct {
	const char *word;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "send", hr_gen_send, "send events as a plan says, and write the plan down" },
	{ "sdk", hr_gen_sdk,
	  "send by the SDK, and write a ledger of what became of each event" },
	{ "relay", hr_gen_relay,
	  "a bad network: lose, double and reorder what passes, by a seed" },
	{ "shop", hr_gen_shop, "write product hashes and similar sets into Redis" },
	{ "verify", hr_gen_verify, "compare every user and event with the plan" },
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: headrace-gen COMMAND [options]; COMMAND --help says more\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].word, commands[i].what);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return HR_GEN_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].word) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return 0;
	}
	fprintf(stderr, "headrace-gen: unknown command %s\n", argv[1]);
	usage(stderr);
	return HR_GEN_USAGE;
}
