/* SPDX-License-Identifier: BSD-3-Clause */

/* Texts of configuration files. */

#include "common/config.h"
#include "tests/fuzz/fuzz.h"

static void tell(void *ctx, const char *sentence)
{
	HOLDS(sentence[0] != '\0');
	++*(uint32_t *)ctx;
}

static char *written(const struct hr_config *config)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	HOLDS(to != NULL);
	HOLDS(hr_config_write(config, to) == 0);
	fclose(to);
	return text;
}

/* What is written out of a configuration is one, and the same. */
static void check_comes_back(const struct hr_config *config)
{
	struct hr_config *again = calloc(1, sizeof(*again));
	char *text = written(config), *second;
	uint32_t told = 0;

	HOLDS(hr_config_check_text(again, config->path, text, tell, &told) == 0);
	second = written(again);
	HOLDS(strcmp(text, second) == 0);
	free(second);
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hr_config *config;
	uint32_t told = 0, problems;
	char *text;

	if (n > 65536)
		return 0;
	config = calloc(1, sizeof(*config));
	text = malloc(n + 1);
	memcpy(text, data, n);
	text[n] = '\0';
	problems = hr_config_check_text(config, "/etc/headrace/headrace.yaml", text,
					tell, &told);
	HOLDS(problems == told);
	if (problems == 0)
		check_comes_back(config);
	free(text);
	free(config);
	return 0;
}
