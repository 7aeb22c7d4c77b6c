/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/config.h"
#include "controlplane/ctl/check.h"

static void collect(void *ctx, const char *sentence)
{
	json_array_append_new(ctx, json_string(sentence));
}

/* Keys are read and thrown away again: none is ever shown. */
static void check_keys(const struct hr_config *config, json_t *problems)
{
	struct hr_write_key *keys;
	struct hr_err err;

	if (config->keys_file[0] == '\0')
		return;
	keys = calloc(HR_KEYS_MAX, sizeof(*keys));
	if (keys == NULL) {
		collect(problems, "no memory to read the key file");
		return;
	}
	if (hr_keys_read(keys, HR_KEYS_MAX, config->keys_file, &err) < 0)
		collect(problems, err.text);
	explicit_bzero(keys, HR_KEYS_MAX * sizeof(*keys));
	free(keys);
}

int hr_check(FILE *to, const char *path, bool as_json)
{
	struct hr_config config;
	json_t *problems = json_array(), *problem;
	size_t i, n;

	if (hr_config_check(&config, path, collect, problems) == 0)
		check_keys(&config, problems);
	n = json_array_size(problems);
	if (as_json) {
		json_t *object = json_pack("{s:s, s:b, s:O}", "file", path, "ok",
					   n == 0, "problems", problems);

		json_dumpf(object, to, JSON_INDENT(2));
		fputc('\n', to);
		json_decref(object);
	} else {
		json_array_foreach(problems, i, problem)
			fprintf(to, "%s\n", json_string_value(problem));
		if (n == 0)
			fprintf(to, "%s: ok\n", path);
	}
	json_decref(problems);
	return n == 0 ? 0 : 1;
}
