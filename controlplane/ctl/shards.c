/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "controlplane/ctl/shards.h"

static const char *text(const json_t *from, const char *key)
{
	const char *s = json_string_value(json_object_get(from, key));

	return s == NULL ? "" : s;
}

static json_int_t integer(const json_t *from, const char *key)
{
	return json_integer_value(json_object_get(from, key));
}

/* Ids are random: the first half of one is enough to tell two apart. */
static void print_owner(FILE *to, const json_t *shard)
{
	const char *owner = text(shard, "owner");

	if (json_is_true(json_object_get(shard, "ours")))
		fprintf(to, "  %-16s", "this appliance");
	else
		fprintf(to, "  %-16.16s", owner[0] != '\0' ? owner : "nobody yet");
}

static void print_shard(FILE *to, const json_t *shard)
{
	const char *addresses = text(shard, "addresses");

	fprintf(to,
		"%5" JSON_INTEGER_FORMAT "  %-10s  %11" JSON_INTEGER_FORMAT
		"  %12" JSON_INTEGER_FORMAT "  %12" JSON_INTEGER_FORMAT,
		integer(shard, "shard"), text(shard, "state"),
		integer(shard, "incarnation"), integer(shard, "link"),
		integer(shard, "offset"));
	print_owner(to, shard);
	fprintf(to, "  %s\n", addresses[0] != '\0' ? addresses : "-");
	if (text(shard, "reason")[0] != '\0' &&
	    strcmp(text(shard, "state"), "ready") != 0)
		fprintf(to, "       %s\n", text(shard, "reason"));
}

void hr_shards_print(FILE *to, const json_t *shards)
{
	const json_t *shard;
	size_t i;

	fprintf(to, "%5s  %-10s  %11s  %12s  %12s  %-16s  %s\n", "shard", "state",
		"incarnation", "link", "offset", "owner", "listens at");
	json_array_foreach(shards, i, shard) print_shard(to, shard);
}
