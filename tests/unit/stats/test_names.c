/* SPDX-License-Identifier: BSD-3-Clause */

/* names.def and docs/metrics.md (argument 1) say the same. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/stats/names.h"
#include "tests/unit/hr_test.h"

static char *document;

static void read_document(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		return;
	document = calloc(1, 1 << 20);
	n = document == NULL ? 0 : fread(document, 1, (1 << 20) - 1, f);
	(void)n;
	fclose(f);
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void names_follow_the_field(void)
{
	for (int i = 0; i < HR_METRIC_COUNT; i++) {
		const struct hr_metric_row *m = &hr_metric_rows[i];

		CU_ASSERT_EQUAL(strspn(m->name, "abcdefghijklmnopqrstuvwxyz_"),
				strlen(m->name));
		CU_ASSERT_EQUAL(m->kind == HR_STAT_COUNTER, ends_in(m->name, "_total"));
		CU_ASSERT_EQUAL(m->kind == HR_STAT_HISTOGRAM,
				ends_in(m->name, "_seconds"));
		CU_ASSERT_TRUE(strlen(m->name) < HR_STATS_NAME_MAX);
		CU_ASSERT_TRUE(strlen(m->help) < HR_STATS_HELP_MAX);
		for (int j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(m->name, hr_metric_rows[j].name);
	}
}

static void every_row_stands_in_the_document(void)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };

	CU_ASSERT_PTR_NOT_NULL_FATAL(document);
	for (int i = 0; i < HR_METRIC_COUNT; i++) {
		const struct hr_metric_row *m = &hr_metric_rows[i];
		char line[512];

		(void)snprintf(line, sizeof(line), "\n| `%s` | %s | %s | %s |\n",
			       m->name, kinds[m->kind], m->label_keys, m->help);
		if (strstr(document, line) == NULL) {
			fprintf(stderr, "missing line:%s", line);
			CU_FAIL("the document lacks a row of names.def");
		}
	}
}

/* Rows of the first table, between its two marks, are as many as the table's. */
static void the_document_has_no_row_of_its_own(void)
{
	const char *at, *end;
	int n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(document);
	at = strstr(document, "<!-- names.def -->");
	end = strstr(document, "<!-- end of names.def -->");
	CU_ASSERT_FATAL(at != NULL && end != NULL && at < end);
	while ((at = strstr(at, "\n| `")) != NULL && at < end) {
		n++;
		at++;
	}
	CU_ASSERT_EQUAL(n, HR_METRIC_COUNT);
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "names follow the field", names_follow_the_field },
		{ "every row stands in the document",
		  every_row_stands_in_the_document },
		{ "the document has no row of its own",
		  the_document_has_no_row_of_its_own },
		CU_TEST_INFO_NULL,
	};

	if (argc == 2)
		read_document(argv[1]);
	return hr_test_run("metric names", NULL, NULL, tests);
}
