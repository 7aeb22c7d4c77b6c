/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_VECTORS_H
#define HR_TEST_VECTORS_H

/* Rows of tests/data/epoch_log_vectors.txt for tests: words of `key=value`, the
 * first of a row without a key. HR_VECTORS is the file's path, from the build. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#define VECTOR_WORDS 12

struct vector_row {
	char *line; /* from malloc; the words point into it */
	char *word[VECTOR_WORDS];
	int n_words;
	uint8_t *bytes; /* from malloc, exactly as long: a sanitizer sees overreads */
	size_t n_bytes;
};

static inline size_t vector_unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned int byte = 0;

		CU_ASSERT_EQUAL_FATAL(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

static inline const char *vector_get(const struct vector_row *row, const char *key)
{
	size_t n = strlen(key);

	for (int i = 0; i < row->n_words; i++)
		if (strncmp(row->word[i], key, n) == 0 && row->word[i][n] == '=')
			return row->word[i] + n + 1;
	return "";
}

static inline uint64_t vector_number(const struct vector_row *row, const char *key)
{
	return strtoull(vector_get(row, key), NULL, 10);
}

/* Calls `each` for every row that is not a comment; returns how many there were. */
static inline unsigned int vectors_walk(void (*each)(const struct vector_row *row))
{
	FILE *f = fopen(HR_VECTORS, "r");
	unsigned int n = 0;
	size_t max = 0;
	char *line = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (getline(&line, &max, f) > 0) {
		struct vector_row row = { .line = line };
		char *save = NULL;

		if (line[0] == '#')
			continue;
		for (char *w = strtok_r(line, " \n", &save); w != NULL;
		     w = strtok_r(NULL, " \n", &save)) {
			CU_ASSERT_FATAL(row.n_words < VECTOR_WORDS);
			row.word[row.n_words++] = w;
		}
		row.n_bytes = strlen(vector_get(&row, "bytes")) / 2;
		row.bytes = malloc(row.n_bytes);
		vector_unhex(vector_get(&row, "bytes"), row.bytes);
		each(&row);
		free(row.bytes);
		n++;
	}
	free(line);
	fclose(f);
	return n;
}

#endif
